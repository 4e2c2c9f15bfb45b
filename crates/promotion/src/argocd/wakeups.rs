//! Whom an event of an Application concerns: running Promotions
//! (`promotions` 8) and Stages (`stages` 3.3, `steps-argocd` 7).

use std::collections::{BTreeMap, BTreeSet, HashMap};

use serde_json::Value;

use super::application::{AUTHORIZED_STAGE, Application, is_completed};
use super::authorization::{self, AuthorizedStage};
use super::selector::{Selector, SelectorConfig};

/// The kinds of step that look at Applications.
pub const STEP_KINDS: [&str; 2] = ["argocd-update", "argocd-wait"];

fn phase(app: &Application) -> &str {
    app.status.operation_state.as_ref().map(|s| s.phase.as_str()).unwrap_or_default()
}

/// Whether a comparison after the last operation has ended is new.
fn caught_up(old: &Application, new: &Application) -> bool {
    let finished = new.status.operation_state.as_ref().and_then(|s| s.finished_at);
    let Some(finished) = finished else { return false };
    old.status.reconciled_at != new.status.reconciled_at
        && old.status.reconciled_at.is_none_or(|reconciled| reconciled < finished)
}

/// Whether this is the change after which a comparison in the second of the
/// operation's end is trusted (`steps-argocd` 13.1).
fn settles(old: &Application, new: &Application) -> bool {
    let finished =
        |app: &Application| app.status.operation_state.as_ref().and_then(|state| state.finished_at);
    finished(new).is_some()
        && finished(new) == new.status.reconciled_at
        && finished(old) == finished(new)
        && old.status != new.status
}

/// Whether an update of an Application may let a running Promotion go on.
///
/// Beyond the reference, a request that disappeared (`operation` removed
/// without an operation of its own) counts too, since a Promotion waits for
/// its turn then (`steps-argocd` 13.6), and so does a change in the second in
/// which the operation ended (13.1).
pub fn concerns_promotions(old: &Application, new: &Application) -> bool {
    let (was, is) = (is_completed(phase(old)), is_completed(phase(new)));
    (is && !was)
        || (old.operation.is_some() && new.operation.is_none())
        || old.status.history.len() < new.status.history.len()
        || old.status.health.status != new.status.health.status
        || old.status.sync.status != new.status.sync.status
        || caught_up(old, new)
        || settles(old, new)
        || old.labels() != new.labels()
}

/// The Stages whose health an update of an Application may have changed.
pub fn concerned_stages(old: &Application, new: &Application) -> Vec<AuthorizedStage> {
    let (was, is) = (&old.status, &new.status);
    let changed = was.health.status != is.health.status
        || phase(old) != phase(new)
        || was.sync.revision != is.sync.revision
        || was.sync.revisions != is.sync.revisions
        || caught_up(old, new)
        || settles(old, new);
    let value = new.annotation(AUTHORIZED_STAGE).filter(|_| changed);
    value.and_then(|value| authorization::parse(value).ok()).unwrap_or_default()
}

/// The Applications that a step's config names, with every expression already
/// evaluated: names as (namespace, name), and selectors with their namespace.
/// An entry that makes no sense is left out.
pub fn applications(config: &Value, default_namespace: &str) -> Interests {
    let mut interests = Interests::default();
    let entries = config.get("apps").and_then(Value::as_array);
    for entry in entries.into_iter().flatten() {
        let text = |key| entry.get(key).and_then(Value::as_str).filter(|s: &&str| !s.is_empty());
        let namespace = text("namespace").unwrap_or(default_namespace).to_owned();
        if let Some(name) = text("name") {
            interests.names.insert((namespace, name.to_owned()));
        } else if let Some(selector) = entry.get("selector").filter(|s| !s.is_null()) {
            let selector = serde_json::from_value::<SelectorConfig>(selector.clone())
                .ok()
                .and_then(|config| Selector::new(&config).ok());
            interests.selectors.extend(selector.map(|s| (namespace, s)));
        }
    }
    interests
}

/// Which Applications a Promotion looks at.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Interests {
    /// By name: (namespace, name).
    pub names: BTreeSet<(String, String)>,
    /// By selector, with the namespace.
    pub selectors: Vec<(String, Selector)>,
}

impl Interests {
    /// Adds those of another step.
    pub fn extend(&mut self, other: Interests) {
        self.names.extend(other.names);
        self.selectors.extend(other.selectors);
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.names.is_empty() && self.selectors.is_empty()
    }
}

/// An event of an Application.
#[derive(Clone, Copy, Debug)]
pub enum Change<'a> {
    /// It was created.
    Created(&'a Application),
    /// It was changed: before and after.
    Updated(&'a Application, &'a Application),
    /// It was deleted.
    Deleted(&'a Application),
}

/// Which running Promotions look at which Applications. `K` names a Promotion.
#[derive(Debug)]
pub struct Index<K> {
    by_name: HashMap<(String, String), BTreeSet<K>>,
    interests: BTreeMap<K, Interests>,
}

impl<K> Default for Index<K> {
    fn default() -> Self {
        Self { by_name: HashMap::new(), interests: BTreeMap::new() }
    }
}

impl<K: Ord + Clone> Index<K> {
    /// Records what a Promotion looks at, in place of what was recorded; none
    /// when it no longer runs.
    pub fn set(&mut self, promotion: &K, interests: Interests) {
        if let Some(old) = self.interests.remove(promotion) {
            for name in old.names {
                if let Some(set) = self.by_name.get_mut(&name) {
                    set.remove(promotion);
                    if set.is_empty() {
                        self.by_name.remove(&name);
                    }
                }
            }
        }
        if interests.is_empty() {
            return;
        }
        for name in &interests.names {
            self.by_name.entry(name.clone()).or_default().insert(promotion.clone());
        }
        self.interests.insert(promotion.clone(), interests);
    }

    /// The Promotions to wake, each once.
    pub fn wake(&self, change: Change<'_>) -> BTreeSet<K> {
        let (named, states): (bool, [Option<&Application>; 2]) = match change {
            // A Promotion that waits for the name fails when it does not exist,
            // so only a deletion or an update can matter to it.
            Change::Created(app) => (false, [Some(app), None]),
            Change::Updated(old, new) => {
                if !concerns_promotions(old, new) {
                    return BTreeSet::new();
                }
                (true, [Some(old), Some(new)])
            }
            Change::Deleted(app) => (true, [Some(app), None]),
        };
        let mut woken = BTreeSet::new();
        let Some(app) = states.iter().flatten().next_back() else { return woken };
        if named {
            let key = (app.namespace().to_owned(), app.name().to_owned());
            woken.extend(self.by_name.get(&key).into_iter().flatten().cloned());
        }
        for (promotion, interests) in &self.interests {
            let selected = interests.selectors.iter().any(|(namespace, selector)| {
                namespace == app.namespace()
                    && states.iter().flatten().any(|app| selector.matches(&app.labels()))
            });
            if selected {
                woken.insert(promotion.clone());
            }
        }
        woken
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::argocd::samples;

    fn app(labels: Value, status: Value) -> Application {
        samples::from(json!({
            "metadata": {"namespace": "argocd", "name": "a", "labels": labels,
                         "annotations": {"kargo.akuity.io/authorized-stage": "p:s, p:t"}},
            "status": status,
        }))
    }

    #[test]
    fn only_a_change_that_matters_wakes() {
        let t = |s: u32| json!(format!("2026-11-24T21:47:{s}Z"));
        let op = |phase: &str| json!({"operationState": {"phase": phase}});
        let times = |reconciled: Value, finished: Value| json!({"reconciledAt": reconciled, "operationState": {"phase": "Succeeded", "finishedAt": finished}});
        let null = json!(null);
        // (case, before, after, Promotions, Stages)
        let cases = [
            ("stages/22.9-6", json!({}), json!({}), false, false),
            (
                "stages/22.9-6",
                json!({"health": {"status": "Healthy"}}),
                json!({"health": {"status": "Degraded"}}),
                true,
                true,
            ),
            ("stages/22.9-6", op("Running"), op("Succeeded"), true, true),
            (
                "stages/22.9-6",
                json!({"sync": {"revision": "a"}}),
                json!({"sync": {"revision": "b"}}),
                false,
                true,
            ),
            (
                "stages/22.9-6",
                json!({"sync": {"revisions": ["a"]}}),
                json!({"sync": {"revisions": ["b"]}}),
                false,
                true,
            ),
            (
                "promotions 8",
                json!({"sync": {"status": "OutOfSync"}}),
                json!({"sync": {"status": "Synced"}}),
                true,
                false,
            ),
            ("promotions 8", op("Succeeded"), op("Failed"), false, true),
            ("stages/22.9-7", times(null.clone(), t(35)), times(t(35), t(35)), true, true),
            ("stages/22.9-7", times(t(34), t(35)), times(t(35), t(35)), true, true),
            ("stages/22.9-7", times(t(35), t(35)), times(t(40), t(35)), false, false),
            ("stages/22.9-7", times(t(36), t(35)), times(t(40), t(35)), false, false),
            ("stages/22.9-7", json!({}), json!({"reconciledAt": t(35)}), false, false),
            ("stages/22.9-7", times(t(34), t(35)), times(t(34), t(35)), false, false),
            ("steps-argocd 13.5", json!({}), json!({"history": [{"id": 0}]}), true, false),
        ];
        for (case, before, after, promotions, stages) in cases {
            let old = app(json!({}), before.clone());
            let new = app(json!({}), after.clone());
            assert_eq!(concerns_promotions(&old, &new), promotions, "{case}: {before} {after}");
            // Both Stages of the annotation.
            let expected = if stages { 2 } else { 0 };
            assert_eq!(concerned_stages(&old, &new).len(), expected, "{case}: {before} {after}");
        }
        let plain = app(json!({}), json!({}));
        assert!(concerns_promotions(&plain, &app(json!({"a": "b"}), json!({}))));
        let mut pending = plain.clone();
        pending.operation = Some(Default::default());
        assert!(concerns_promotions(&pending, &plain));
        // stages/22.9-6: an annotation that is missing or malformed wakes nobody
        for value in [json!(null), json!({"kargo.akuity.io/authorized-stage": "bogus"})] {
            let mut new = app(json!({}), op("Running"));
            new.metadata.annotations = serde_json::from_value(value).unwrap();
            assert!(concerned_stages(&plain, &new).is_empty());
        }
    }

    #[test]
    fn promotions_are_found_by_name_and_by_selector() {
        let mut index = Index::default();
        let config = |apps: Value| applications(&json!({"apps": apps}), "argocd");
        index.set(&"named", config(json!([{"name": "a"}, {"name": "b", "namespace": "x"}])));
        index.set(&"other", config(json!([{"name": "a", "namespace": "x"}])));
        index.set(
            &"selecting",
            config(json!([{"selector": {"matchLabels": {"env": "prod"}}},
                          {"selector": {"matchLabels": {"env": "prod"}}}, {"selector": {}}, 7])),
        );
        let off = app(json!({}), json!({}));
        let on = app(json!({"env": "prod"}), json!({}));
        let woken = |index: &Index<&'static str>, change| {
            index.wake(change).into_iter().collect::<Vec<_>>()
        };
        assert_eq!(woken(&index, Change::Updated(&off, &on)), ["named", "selecting"]);
        assert_eq!(woken(&index, Change::Updated(&on, &off)), ["named", "selecting"]);
        assert!(woken(&index, Change::Updated(&on, &on)).is_empty());
        assert_eq!(woken(&index, Change::Created(&on)), ["selecting"]);
        assert_eq!(woken(&index, Change::Created(&off)), Vec::<&str>::new());
        assert_eq!(woken(&index, Change::Deleted(&on)), ["named", "selecting"]);
        index.set(&"named", Interests::default());
        index.set(&"selecting", Interests::default());
        assert!(woken(&index, Change::Updated(&off, &on)).is_empty());
    }
}
