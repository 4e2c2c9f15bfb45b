//! What Freight gets and what is refused in it (`admission` 3.7).

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use serde_json::Value;

use super::field_error::FieldError;
use super::set_or_remove;
use crate::freight::Freight;
use crate::subscription::{Subscription, SubscriptionError, SubscriptionKind};
use crate::urls::{join_path, normalize_chart, normalize_git};
use crate::warehouse::Warehouse;

/// What is done to an object.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Operation {
    /// It is made.
    Create,
    /// It is changed.
    Update,
}

/// Gives Freight its name (which is its ID), its alias and the alias's label,
/// and the time of its discovery. `new_alias` draws an alias that no Freight
/// has, in any namespace.
pub fn default_freight(
    freight: &mut Freight,
    operation: Operation,
    now: Timestamp,
    new_alias: impl FnOnce() -> String,
) {
    if operation == Operation::Create {
        freight.metadata.name = Some(crate::freight_id(freight));
        if freight.alias.is_empty() {
            freight.alias = new_alias();
        }
    }
    if freight.discovered_at.is_none() {
        let seconds = Timestamp::from_second(now.as_second()).unwrap_or(now);
        let created = freight.metadata.creation_timestamp.clone();
        freight.discovered_at = Some(created.unwrap_or(Time(seconds)));
    }
    set_or_remove(&mut freight.metadata.labels, crate::labels::ALIAS, &freight.alias);
}

/// What is wrong with new Freight. `alias_is_taken` says whether other Freight
/// of the namespace has its alias; `warehouse` is the one of its origin, if it
/// exists.
///
/// # Errors
/// When the Warehouse's subscriptions cannot be read.
pub fn validate_freight(
    freight: &Freight,
    alias_is_taken: bool,
    warehouse: Option<&Warehouse>,
) -> Result<Vec<FieldError>, SubscriptionError> {
    let mut errors = Vec::new();
    let namespace = freight.metadata.namespace.as_deref().unwrap_or_default();
    if freight.commits.is_empty()
        && freight.images.is_empty()
        && freight.charts.is_empty()
        && freight.artifacts.is_empty()
    {
        errors.push(FieldError::invalid(
            "",
            freight.metadata.name.clone().unwrap_or_default(),
            "freight must contain at least one commit, image, or chart",
        ));
    }
    if alias_is_taken {
        errors.push(FieldError::invalid(
            "alias",
            &*freight.alias,
            format!("alias already used by another piece of Freight in namespace {namespace:?}"),
        ));
    }
    match warehouse {
        None => errors.push(FieldError::invalid(
            "warehouse",
            &*freight.origin.name,
            "warehouse does not exist",
        )),
        Some(warehouse) => errors.extend(match_subscriptions(freight, warehouse)?),
    }
    Ok(errors)
}

/// Each artifact needs a subscription, and each subscription one artifact.
fn match_subscriptions(
    freight: &Freight,
    warehouse: &Warehouse,
) -> Result<Vec<FieldError>, SubscriptionError> {
    const KINDS: [(&str, &str); 3] =
        [("commits", "Git repository"), ("images", "image repository"), ("charts", "Helm chart")];
    let name = warehouse.metadata.name.as_deref().unwrap_or_default();
    let mut counts: BTreeMap<(usize, String), usize> = BTreeMap::new();
    for subscription in Subscription::decode_all(&warehouse.spec.subscriptions)? {
        let key = match subscription.kind {
            SubscriptionKind::Git(s) => (0, normalize_git(&s.repo_url)),
            SubscriptionKind::Image(s) => (1, s.repo_url),
            SubscriptionKind::Chart(s) => (2, join_path(&[&normalize_chart(&s.repo_url), &s.name])),
            SubscriptionKind::Generic(..) => continue,
        };
        counts.insert(key, 0);
    }
    let artifacts = freight
        .commits
        .iter()
        .map(|c| ((0, normalize_git(&c.repo_url)), &c.repo_url))
        .chain(freight.images.iter().map(|i| ((1, i.repo_url.clone()), &i.repo_url)))
        .chain(
            freight
                .charts
                .iter()
                .map(|c| ((2, join_path(&[&normalize_chart(&c.repo_url), &c.name])), &c.repo_url)),
        );
    let mut errors = Vec::new();
    for (key, url) in artifacts {
        if let Some(count) = counts.get_mut(&key) {
            *count += 1;
        } else if let Some((field, what)) = KINDS.get(key.0) {
            errors.push(FieldError::invalid(
                *field,
                url.as_str(),
                format!("no subscription found for {what} in Warehouse {name:?}"),
            ));
        }
    }
    for ((kind, key), count) in counts {
        let found = match count {
            0 => "no artifact",
            1 => continue,
            _ => "multiple artifacts",
        };
        if let Some((field, _)) = KINDS.get(kind) {
            errors.push(FieldError::invalid(
                *field,
                Value::Null,
                format!("{found} found for subscription {key:?} of Warehouse {name:?}"),
            ));
        }
    }
    Ok(errors)
}

/// What a change of Freight must not touch: its origin and its artifacts, in
/// their order. The first difference is reported.
pub fn validate_freight_update(old: &Freight, new: &Freight) -> Option<FieldError> {
    const DETAIL: &str = "Freight is immutable";
    fn json(value: &impl serde::Serialize) -> Value {
        serde_json::to_value(value).unwrap_or_default()
    }
    fn list<T: PartialEq + serde::Serialize>(
        path: &str,
        old: &[T],
        new: &[T],
    ) -> Option<FieldError> {
        if old.len() != new.len() {
            return Some(FieldError::invalid(path, json(&new), DETAIL));
        }
        let at = old.iter().zip(new).position(|(a, b)| a != b)?;
        Some(FieldError::invalid(format!("{path}[{at}]"), json(&new.get(at)), DETAIL))
    }
    if old.origin != new.origin {
        return Some(FieldError::invalid("origin", json(&new.origin), DETAIL));
    }
    list("commits", &old.commits, &new.commits)
        .or_else(|| list("images", &old.images, &new.images))
        .or_else(|| list("charts", &old.charts, &new.charts))
        .or_else(|| list("artifacts", &old.artifacts, &new.artifacts))
}

/// The Stages that a change approves Freight for.
pub fn newly_approved(old: &Freight, new: &Freight) -> BTreeSet<String> {
    let before = old.status.as_ref().map(|s| &s.approved_for);
    new.status
        .iter()
        .flat_map(|s| s.approved_for.keys())
        .filter(|stage| before.is_none_or(|b| !b.contains_key(*stage)))
        .cloned()
        .collect()
}

/// Why Freight may not be deleted: `stages` are those whose current collection
/// has it.
pub fn validate_freight_deletion(stages: &[String]) -> Option<String> {
    if stages.is_empty() {
        return None;
    }
    let names: Vec<String> = stages.iter().map(|s| format!("{s:?}")).collect();
    Some(format!("freight is in-use by stages ({})", names.join(", ")))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn freight(fields: Value) -> Freight {
        let mut object = json!({
            "metadata": {"namespace": "p"}, "origin": {"kind": "Warehouse", "name": "w"},
        });
        object.as_object_mut().unwrap().extend(fields.as_object().unwrap().clone());
        serde_json::from_value(object).unwrap()
    }

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(1_800_000_000 + second).unwrap()
    }

    #[test]
    fn names_are_ids_whatever_was_sent() {
        let repo = "https://github.com/example/repo";
        let commit = json!({"repoURL": repo, "id": "abc123"});
        let cases = [
            (
                "admission/A80",
                json!({"commits": [commit]}),
                "eb467a70c66949c63935106c6e282ddf25e5d1f2",
            ),
            (
                "admission/A81",
                json!({"commits": [{"repoURL": repo, "id": "abc123", "tag": "v1.0.0"}]}),
                "c1ec1cbc69c72434b57d3243c57810dd5eb19277",
            ),
            (
                "admission/A82",
                json!({"commits": [commit], "images": [
                    {"repoURL": "nginx", "tag": "1.27.0", "digest": "sha256:deadbeef"}
                ]}),
                "cb978149e1f78c84e34002ce5b80d9ed224fbf14",
            ),
            (
                "admission/A83",
                json!({
                    "charts": [{"repoURL": "oci://ghcr.io/example/chart", "version": "1.0.0"}],
                    "artifacts": [
                        {"artifactType": "git-type", "subscriptionName": "sub", "version": "v1"}
                    ],
                }),
                "989efd3bb9fcdbf5b9cda78fe42d248ea8954d2b",
            ),
        ];
        for (case, fields, id) in cases {
            let mut freight = freight(fields);
            // spec: admission/A84
            freight.metadata.name = Some("mine".into());
            default_freight(&mut freight, Operation::Create, at(0), || "a-b".into());
            assert_eq!(freight.metadata.name.as_deref(), Some(id), "{case}");
        }
    }

    #[test]
    fn the_alias_label_follows_the_field() {
        let label = |f: &Freight| {
            f.metadata.labels.as_ref().and_then(|l| l.get(crate::labels::ALIAS)).cloned()
        };
        let labelled = |alias: &str| {
            freight(json!({"alias": alias, "metadata": {
                "namespace": "p", "labels": {"kargo.akuity.io/alias": "stale"}
            }}))
        };
        let drawn = || "nimble-newt".to_owned();
        let cases = [
            (
                "api/alias-webhook-W1, warehouses/10.2-1",
                labelled("mine"),
                Operation::Create,
                "mine",
            ),
            ("admission/A85", labelled("fake-alias"), Operation::Update, "fake-alias"),
            (
                "api/alias-webhook-W2, warehouses/10.2-2",
                freight(json!({})),
                Operation::Create,
                "nimble-newt",
            ),
            ("api/alias-webhook-W3, warehouses/10.2-3", labelled(""), Operation::Update, ""),
            ("api/alias-webhook-W4", labelled(""), Operation::Create, "nimble-newt"),
        ];
        for (case, mut freight, operation, alias) in cases {
            let id = crate::freight_id(&freight);
            default_freight(&mut freight, operation, at(0), drawn);
            let name = (operation == Operation::Create).then_some(id);
            assert_eq!(freight.metadata.name, name, "{case}");
            assert_eq!(freight.alias, alias, "{case}");
            assert_eq!(label(&freight).unwrap_or_default(), alias, "{case}");
        }
        // spec: api/alias-webhook-W5
        let created = json!({"metadata": {"creationTimestamp": Time(at(5))}});
        let mut unset = freight(created.clone());
        default_freight(&mut unset, Operation::Update, at(9), drawn);
        assert_eq!(unset.discovered_at, Some(Time(at(5))));
        for operation in [Operation::Create, Operation::Update] {
            let mut set = freight(created.clone());
            set.discovered_at = Some(Time(at(1)));
            default_freight(&mut set, operation, at(9), drawn);
            assert_eq!(set.discovered_at, Some(Time(at(1))), "warehouses/10.2-4");
        }
        let mut new = freight(json!({}));
        default_freight(&mut new, Operation::Create, at(9), drawn);
        assert_eq!(new.discovered_at, Some(Time(at(9))), "warehouses/10.2-5");
    }

    #[test]
    fn artifacts_and_subscriptions_are_one_to_one() {
        let warehouse: Warehouse = serde_json::from_value(json!({
            "metadata": {"name": "w"},
            "spec": {"subscriptions": [
                {"git": {"repoURL": "https://x/y.git"}}, {"image": {"repoURL": "nginx"}}, {"s3": {}}
            ]},
        }))
        .unwrap();
        let commit = json!({"repoURL": "https://x/y", "id": "1"});
        let image = |url: &str| json!({"repoURL": url, "tag": "1"});
        type Errors = Vec<(&'static str, &'static str)>;
        type Case<'a> = (&'static str, Value, bool, Option<&'a Warehouse>, Errors);
        let cases: Vec<Case<'_>> = vec![
            (
                "fits",
                json!({"commits": [commit], "images": [image("nginx")]}),
                false,
                Some(&warehouse),
                vec![],
            ),
            (
                "admission/A89",
                json!({"commits": [commit], "images": [image("nginx")]}),
                true,
                Some(&warehouse),
                vec![(
                    "alias",
                    "alias already used by another piece of Freight in namespace \"p\"",
                )],
            ),
            (
                "admission/A91",
                json!({}),
                false,
                None,
                vec![
                    ("", "freight must contain at least one commit, image, or chart"),
                    // spec: admission/A92
                    ("warehouse", "warehouse does not exist"),
                ],
            ),
            (
                "admission/A93",
                json!({"commits": [commit]}),
                false,
                Some(&warehouse),
                vec![("images", "no artifact found for subscription \"nginx\" of Warehouse \"w\"")],
            ),
            (
                "admission/A94",
                json!({
                    "commits": [commit, {"repoURL": "https://x/y.git", "id": "2"}],
                    "images": [image("nginx")],
                }),
                false,
                Some(&warehouse),
                vec![(
                    "commits",
                    "multiple artifacts found for subscription \"https://x/y\" of Warehouse \"w\"",
                )],
            ),
            (
                "admission/A95",
                json!({"commits": [commit], "images": [image("nginx"), image("other")]}),
                false,
                Some(&warehouse),
                vec![("images", "no subscription found for image repository in Warehouse \"w\"")],
            ),
        ];
        for (case, fields, taken, warehouse, wanted) in cases {
            let errors = validate_freight(&freight(fields), taken, warehouse).unwrap();
            let got: Vec<(&str, &str)> = errors.iter().map(|e| (&*e.field, &*e.detail)).collect();
            assert_eq!(got, wanted, "{case}");
        }
    }

    #[test]
    fn what_it_is_made_of_stays() {
        let old = freight(json!({
            "commits": [{"id": "1"}], "images": [{"tag": "1"}], "alias": "a",
        }));
        let changed = |change: fn(&mut Freight)| {
            let mut new = old.clone();
            change(&mut new);
            validate_freight_update(&old, &new).map(|e| e.field)
        };
        for (case, change, wanted) in [
            (
                "admission/A96",
                (|f| f.commits[0].id = "2".into()) as fn(&mut Freight),
                Some("commits[0]"),
            ),
            ("admission/A97", |f| f.images.clear(), Some("images")),
            ("admission/A98", |f| f.origin.name = "v".into(), Some("origin")),
            ("an alias may change", |f| f.alias = "b".into(), None),
        ] {
            assert_eq!(changed(change).as_deref(), wanted, "{case}");
        }
        let mut approved = old.clone();
        approved.status.get_or_insert_default().add_approved_stage("prod", at(0));
        assert_eq!(newly_approved(&old, &approved), BTreeSet::from(["prod".to_owned()]));
        assert!(newly_approved(&approved, &approved).is_empty());
        assert_eq!(
            validate_freight_deletion(&["a".into(), "b".into()]).as_deref(),
            Some("freight is in-use by stages (\"a\", \"b\")"),
            "admission/A100"
        );
        assert_eq!(validate_freight_deletion(&[]), None, "admission/A101");
    }
}
