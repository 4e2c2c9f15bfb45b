//! What Events say about Freight (`projects` 12.3).

use std::collections::BTreeMap;

use api::Freight;
use kube::ResourceExt;
use serde::Serialize;

/// The facts about `freight` and the Stage that an Event concerns, by name
/// without the Event annotations' prefix. `stage` is empty for Events that
/// concern none.
pub fn facts(freight: &Freight, stage: &str) -> BTreeMap<&'static str, String> {
    let mut facts = BTreeMap::from([
        ("project", freight.namespace().unwrap_or_default()),
        ("stage-name", stage.to_owned()),
        ("freight-name", freight.name_any()),
    ]);
    if let Some(at) = freight.effective_discovered_at() {
        facts.insert("freight-create-time", crate::clock::whole_seconds(at).to_string());
    }
    if !freight.alias.is_empty() {
        facts.insert("freight-alias", freight.alias.clone());
    }
    if !freight.origin.name.is_empty() {
        facts.insert("freight-warehouse-name", freight.origin.name.clone());
    }
    list(&mut facts, "freight-commits", &freight.commits);
    list(&mut facts, "freight-images", &freight.images);
    list(&mut facts, "freight-charts", &freight.charts);
    list(&mut facts, "freight-artifacts", &freight.artifacts);
    facts
}

fn list<T: Serialize>(facts: &mut BTreeMap<&'static str, String>, name: &'static str, items: &[T]) {
    if items.is_empty() {
        return;
    }
    if let Ok(text) = api::go_json(&items) {
        facts.insert(name, text);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn what_an_event_says() {
        let freight: Freight = serde_json::from_value(json!({
            "metadata": {"namespace": "p", "name": "f", "creationTimestamp": "2026-01-01T00:00:00Z"},
            "origin": {"kind": "Warehouse", "name": "w"},
            "commits": [{"id": "abc123", "tag": "v1.0.0"}],
            "artifacts": [{"artifactType": "my-type", "subscriptionName": "my-sub", "version": "v1.0.0"}],
        }))
        .expect("Freight");
        let said = facts(&freight, "");
        let fact = |name: &str| said.get(name).map(String::as_str);
        let commits = r#"[{"id":"abc123","tag":"v1.0.0"}]"#;
        assert_eq!(fact("freight-commits"), Some(commits), "projects/E9");
        let artifacts =
            r#"[{"artifactType":"my-type","subscriptionName":"my-sub","version":"v1.0.0"}]"#;
        assert_eq!(fact("freight-artifacts"), Some(artifacts), "projects/E11");
        assert_eq!(fact("freight-images"), None, "projects/E12");
        assert_eq!(fact("stage-name"), Some(""), "projects/E16");
        assert_eq!(fact("freight-create-time"), Some("2026-01-01T00:00:00Z"));
    }
}
