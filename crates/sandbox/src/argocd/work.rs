//! What an Application's state asks Argo CD to do. Pure.

use serde_json::{Value, json};

/// Asks for a comparison.
pub(super) const REFRESH: &str = "argocd.argoproj.io/refresh";

/// What is to be done next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Work {
    /// A sync was asked for.
    Operation,
    /// A comparison was asked for.
    Refresh,
    /// It was never compared, or its sources have changed since.
    Compare,
    /// Nothing.
    Nothing,
}

/// What the state asks for.
pub(super) fn next(app: &Value) -> Work {
    if app["operation"].is_object() {
        Work::Operation
    } else if app["metadata"]["annotations"][REFRESH].is_string() {
        Work::Refresh
    } else if app["status"]["sync"]["comparedTo"] != compared_to(app)
        || app["status"]["reconciledAt"].is_null()
    {
        Work::Compare
    } else {
        Work::Nothing
    }
}

/// The sources: `spec.sources` if there are any, else `spec.source`.
pub(super) fn sources(app: &Value) -> Vec<&Value> {
    match app["spec"]["sources"].as_array() {
        Some(several) if !several.is_empty() => several.iter().collect(),
        _ => Some(&app["spec"]["source"]).filter(|s| s.is_object()).into_iter().collect(),
    }
}

/// The target revision of each source.
pub(super) fn targets(app: &Value) -> Vec<String> {
    let target = |source: &&Value| source["targetRevision"].as_str().unwrap_or("HEAD").to_owned();
    sources(app).iter().map(target).collect()
}

/// The revisions that an operation names in place of the target revisions.
pub(super) fn named_revisions(operation: &Value) -> Vec<String> {
    let sync = &operation["sync"];
    let one = sync["revision"].as_str().filter(|r| !r.is_empty()).map(str::to_owned);
    let several = sync["revisions"].as_array().into_iter().flatten();
    let several: Vec<String> = several.filter_map(Value::as_str).map(str::to_owned).collect();
    if several.is_empty() { one.into_iter().collect() } else { several }
}

/// Whether revisions are written as a list.
pub(super) fn has_several(app: &Value) -> bool {
    app["spec"]["sources"].as_array().is_some_and(|s| !s.is_empty())
}

/// What a comparison is made with.
pub(super) fn compared_to(app: &Value) -> Value {
    let mut compared = json!({});
    if has_several(app) {
        compared["sources"] = app["spec"]["sources"].clone();
    } else if app["spec"]["source"].is_object() {
        compared["source"] = app["spec"]["source"].clone();
    }
    if app["spec"]["destination"].is_object() {
        compared["destination"] = app["spec"]["destination"].clone();
    }
    compared
}

/// Whether Argo CD syncs by itself.
pub(super) fn is_automated(app: &Value) -> bool {
    app["spec"]["syncPolicy"]["automated"].is_object()
        && app["spec"]["syncPolicy"]["automated"]["enabled"] != json!(false)
}

/// Whether it also syncs again what it has synced, if the live state differs.
pub(super) fn heals_itself(app: &Value) -> bool {
    is_automated(app) && app["spec"]["syncPolicy"]["automated"]["selfHeal"] == json!(true)
}

/// Whether the operation is one that Argo CD made to heal.
pub(super) fn is_healing(operation: &Value) -> bool {
    operation["sync"]["autoHealAttemptsCount"].is_number()
}

/// Whether somebody has told the running operation to end.
pub(super) fn is_terminating(app: &Value) -> bool {
    app["status"]["operationState"]["phase"] == json!("Terminating")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_state_says_what_is_to_be_done() {
        let source = json!({"repoURL": "r"});
        let compared = json!({
            "spec": {"source": source},
            "status": {"reconciledAt": "x", "sync": {"comparedTo": {"source": source}}},
        });
        let with = |pointer: &[&str], value: Value| {
            let mut app = compared.clone();
            let slot = pointer.iter().fold(&mut app, |v, key| &mut v[*key]);
            *slot = value;
            app
        };
        // (Application, work)
        let cases = [
            (json!({"spec": {"source": source}}), Work::Compare),
            (compared.clone(), Work::Nothing),
            (with(&["spec", "source", "targetRevision"], json!("x")), Work::Compare),
            (with(&["metadata", "annotations", REFRESH], json!("hard")), Work::Refresh),
            (with(&["operation"], json!({"sync": {}})), Work::Operation),
        ];
        for (app, work) in cases {
            assert_eq!(next(&app), work, "{app}");
        }
    }
}
