//! What a sync request changes on an Application (`steps-argocd` 3.7), as a
//! JSON merge patch that touches nothing else.

use serde_json::{Map, Value, json};

use super::application::{Application, Initiator, PROMOTION_INFO, REFRESH, Source};

/// Lays `source` over `target`: objects key by key, arrays element by element
/// in the source's length, anything else is replaced. So what is not modelled
/// (a chart's value files, a parameter's `forceString`) stays.
pub fn deep_merge(source: &Value, target: &Value) -> Value {
    match (source, target) {
        (Value::Object(source), Value::Object(target)) => {
            let mut merged = target.clone();
            for (key, value) in source {
                let value = match target.get(key) {
                    Some(old) => deep_merge(value, old),
                    None => value.clone(),
                };
                merged.insert(key.clone(), value);
            }
            Value::Object(merged)
        }
        (Value::Array(source), Value::Array(target)) => source
            .iter()
            .enumerate()
            .map(|(i, value)| match target.get(i) {
                Some(old) => deep_merge(value, old),
                None => value.clone(),
            })
            .collect(),
        _ => source.clone(),
    }
}

/// The JSON merge patch (RFC 7386) that makes `to` of `from`; none if they
/// are equal. A null in `to` counts as an absent key.
pub fn merge_patch(from: &Value, to: &Value) -> Option<Value> {
    let (Value::Object(from), Value::Object(to)) = (from, to) else {
        return (from != to).then(|| to.clone());
    };
    let mut patch = Map::new();
    for (key, old) in from {
        if !old.is_null() && to.get(key).is_none_or(Value::is_null) {
            patch.insert(key.clone(), Value::Null);
        }
    }
    for (key, new) in to.iter().filter(|(_, new)| !new.is_null()) {
        match from.get(key).filter(|old| !old.is_null()) {
            Some(old) => {
                if let Some(change) = merge_patch(old, new) {
                    patch.insert(key.clone(), change);
                }
            }
            None => {
                patch.insert(key.clone(), new.clone());
            }
        }
    }
    (!patch.is_empty()).then_some(Value::Object(patch))
}

/// The name under which requests are made when no person asked.
pub const CONTROLLER: &str = "kargo-controller";

/// Who asks Argo CD, from the Promotion's actor annotation.
pub fn initiator(actor: &str) -> Initiator {
    let name = actor.split_once(':').map_or(actor, |(_, name)| name);
    if actor.is_empty() || actor == "unknown actor" || name.is_empty() {
        Initiator { username: CONTROLLER.to_owned(), automated: true }
    } else {
        Initiator { username: name.to_owned(), automated: false }
    }
}

/// The `operation` to write. Neither revisions nor pruning are asked for: the
/// Application's own target revisions and sync policy decide.
pub fn operation(app: &Application, promotion: &str, initiator: &Initiator) -> Value {
    let policy = app.spec.sync_policy.as_ref();
    let mut sync = Map::new();
    if let Some(options) = policy.map(|p| &p.sync_options).filter(|o| !o.is_empty()) {
        sync.insert("syncOptions".into(), json!(options));
    }
    json!({
        "initiatedBy": initiator,
        "info": [
            {"name": "Reason", "value": "Promotion triggered a sync of this Application resource."},
            {"name": PROMOTION_INFO, "value": promotion},
        ],
        "sync": sync,
        "retry": policy.and_then(|p| p.retry.clone()).unwrap_or_default(),
    })
}

/// The whole patch for the live object, with its resourceVersion as the
/// precondition. Always non-empty, because `operation` is new.
pub fn sync_request(
    live: &Value,
    app: &Application,
    sources: &[Source],
    operation: Value,
) -> Value {
    let mut wanted = live.clone();
    let object = |value: &mut Value| {
        if !value.is_object() {
            *value = json!({});
        }
    };
    object(&mut wanted);
    object(&mut wanted["metadata"]);
    object(&mut wanted["metadata"]["annotations"]);
    wanted["metadata"]["annotations"][REFRESH] = json!("hard");
    let spec = if app.spec.sources.is_empty() {
        sources.first().map(|source| json!({"source": source}))
    } else {
        Some(json!({"sources": sources}))
    };
    if let Some(spec) = spec {
        wanted["spec"] = deep_merge(&spec, &live["spec"]);
    }
    wanted["operation"] = operation;
    if live["status"].is_object() {
        wanted["status"]["operationState"] = Value::Null;
    }
    let mut patch = merge_patch(live, &wanted).unwrap_or_else(|| json!({}));
    object(&mut patch["metadata"]);
    patch["metadata"]["resourceVersion"] = live["metadata"]["resourceVersion"].clone();
    patch
}

/// The patch that asks for a comparison alone (`steps-argocd` 6).
pub fn refresh_request() -> Value {
    json!({"metadata": {"annotations": {REFRESH: "hard"}}})
}

/// What the event of a request says (`steps-argocd` 3.8).
pub fn event_message(app: &Application) -> String {
    let suffix = match app.sources() {
        [] => String::new(),
        [one] => format!(" to {}", one.target_revision),
        several => format!(" to {} sources", several.len()),
    };
    format!("{CONTROLLER} initiated sync{suffix}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::argocd::samples;

    #[test]
    fn a_deep_merge_keeps_what_is_not_in_the_source() {
        // (case, source, target, merged)
        let cases = [
            (
                "steps-argocd/3.7-1",
                json!({"k1": "v1", "k2": {"a": 1, "b": true}}),
                json!({"k1": "old", "k2": {"b": false, "c": 3}}),
                json!({"k1": "v1", "k2": {"a": 1, "b": true, "c": 3}}),
            ),
            (
                "steps-argocd/3.7-2",
                json!(["v", {"k": 1}, true]),
                json!(["o", {"k": 0, "m": 2}, false]),
                json!(["v", {"k": 1, "m": 2}, true]),
            ),
            ("steps-argocd/3.7-3", json!(["a"]), json!(["x", "y"]), json!(["a"])),
            ("steps-argocd/3.7-4", json!({"a": 1}), json!([1]), json!({"a": 1})),
            ("steps-argocd/3.7-5", json!([1]), json!({"a": 1}), json!([1])),
            ("steps-argocd/3.7-6", json!("a"), json!(7), json!("a")),
            ("steps-argocd/3.7-7", json!(null), json!({"a": 1}), json!(null)),
            ("steps-argocd/3.7-8", json!({"a": 1}), json!(null), json!({"a": 1})),
        ];
        for (case, source, target, merged) in cases {
            assert_eq!(deep_merge(&source, &target), merged, "{case}");
        }
    }

    fn request(live: Value, sources: Value) -> Value {
        let app = samples::from(live.clone());
        let sources: Vec<Source> = serde_json::from_value(sources).unwrap();
        sync_request(&live, &app, &sources, operation(&app, "p", &initiator("")))
    }

    #[test]
    fn a_request_changes_sources_operation_and_state_alone() {
        let op = json!({
            "info": [
                {"name": "Reason", "value": "Promotion triggered a sync of this Application resource."},
                {"name": "kargo.akuity.io/promotion", "value": "p"},
            ],
            "initiatedBy": {"automated": true, "username": "kargo-controller"},
            "retry": {}, "sync": {},
        });
        let meta =
            json!({"annotations": {"argocd.argoproj.io/refresh": "hard"}, "resourceVersion": "7"});
        let live = |spec: Value, status: Value| json!({"metadata": {"name": "a", "resourceVersion": "7"}, "spec": spec, "status": status});
        let old = json!({"repoURL": "r", "targetRevision": "old", "path": "d"});
        let new = json!([{"repoURL": "r", "targetRevision": "new"}]);
        let changed = json!({"repoURL": "r", "targetRevision": "new", "path": "d"});
        let state =
            json!({"operationState": {"phase": "Succeeded"}, "health": {"status": "Healthy"}});
        let cleared = json!({"operationState": null});
        // (live, sources, patch); steps-argocd/12-9
        let cases = [
            (
                live(json!({"sources": [old]}), state.clone()),
                new.clone(),
                json!({"metadata": meta, "spec": {"sources": [changed]}, "operation": op, "status": cleared}),
            ),
            (
                live(json!({"source": old}), state.clone()),
                new.clone(),
                json!({"metadata": meta, "spec": {"source": {"targetRevision": "new"}},
                       "operation": op, "status": cleared}),
            ),
            (
                live(json!({"source": old, "sources": [old]}), state.clone()),
                new.clone(),
                json!({"metadata": meta, "spec": {"sources": [changed]}, "operation": op, "status": cleared}),
            ),
            (
                live(json!({"sourceHydrator": {"x": 1}}), state.clone()),
                json!([]),
                json!({"metadata": meta, "operation": op, "status": cleared}),
            ),
            (
                live(
                    json!({"source": {"repoURL": "r", "helm": {"valueFiles": ["a"],
                     "parameters": [{"name": "k", "value": "1", "forceString": true}]}}}),
                    state.clone(),
                ),
                json!([{"repoURL": "r", "helm": {"parameters": [{"name": "k", "value": ""}]}}]),
                json!({"metadata": meta, "operation": op, "status": cleared, "spec": {"source": {"helm":
                     {"parameters": [{"name": "k", "value": "", "forceString": true}]}}}}),
            ),
            (
                live(json!({"source": old}), json!(null)),
                new.clone(),
                json!({"metadata": meta, "spec": {"source": {"targetRevision": "new"}}, "operation": op}),
            ),
        ];
        for (live, sources, patch) in cases {
            assert_eq!(request(live.clone(), sources), patch, "{live}");
        }
    }

    #[test]
    fn options_and_retries_of_the_application_are_kept() {
        let app = samples::from(json!({"metadata": {"name": "a"}, "spec": {"syncPolicy": {
            "syncOptions": ["CreateNamespace=true"],
            "retry": {"limit": 2, "refresh": true,
                      "backoff": {"duration": "1s", "factor": 2, "maxDuration": "5s"}}}}}));
        let operation = operation(&app, "p", &initiator("email:a@b"));
        assert_eq!(operation["sync"], json!({"syncOptions": ["CreateNamespace=true"]}));
        assert_eq!(
            operation["retry"],
            json!({"limit": 2, "backoff": {"duration": "1s", "factor": 2, "maxDuration": "5s"}})
        );
        assert_eq!(operation["initiatedBy"], json!({"username": "a@b"}));
    }

    #[test]
    fn the_actor_becomes_the_user_of_the_request() {
        // (actor, username, automated); steps-argocd/12-12
        let cases = [
            ("email:fake-actor", "fake-actor", false),
            ("admin", "admin", false),
            ("kubernetes:system:x", "system:x", false),
            ("", "kargo-controller", true),
            ("unknown actor", "kargo-controller", true),
        ];
        for (actor, username, automated) in cases {
            assert_eq!(initiator(actor), Initiator { username: username.into(), automated });
        }
    }

    #[test]
    fn an_event_says_what_is_synced() {
        let text =
            |spec: Value| event_message(&samples::from(json!({"metadata": {}, "spec": spec})));
        let source = |revision: &str| json!({"repoURL": "r", "targetRevision": revision});
        // steps-argocd/12-11
        assert_eq!(
            text(json!({"source": source("rev-123")})),
            "kargo-controller initiated sync to rev-123"
        );
        assert_eq!(
            text(json!({"sources": [source("rev-456")]})),
            "kargo-controller initiated sync to rev-456"
        );
        assert_eq!(
            text(json!({"sources": [source("a"), source("b")]})),
            "kargo-controller initiated sync to 2 sources"
        );
        assert_eq!(text(json!({})), "kargo-controller initiated sync");
    }
}
