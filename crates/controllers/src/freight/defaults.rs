//! Pure: what Freight lacks that admission would have given it (`api` 4.4).

use api::Freight;
use kube::ResourceExt;
use serde_json::{Map, Value, json};

/// Whether anything is to be written at all.
pub fn is_wanting(freight: &Freight) -> bool {
    missing(freight, || "some-alias".to_owned()).is_some()
}

/// The merge patch that completes `freight`; none if it is complete.
///
/// * A field `alias` sets the label; the field wins.
/// * Freight that was never edited and has no alias gets `new_alias`.
/// * Freight whose alias was taken away loses the label.
/// * `discoveredAt` is the time of creation.
pub fn missing(freight: &Freight, new_alias: impl FnOnce() -> String) -> Option<Value> {
    let mut change = Map::new();
    let alias = Some(freight.alias.clone()).filter(|a| !a.is_empty());
    let label = freight.labels().get(api::labels::ALIAS).cloned();
    let is_new = freight.metadata.generation.is_none_or(|g| g <= 1);
    let mut set_label = |value: Value| {
        change.insert("metadata".to_owned(), json!({ "labels": { api::labels::ALIAS: value } }));
    };
    let generated = match (&alias, &label) {
        (Some(alias), label) => {
            if label.as_ref() != Some(alias) {
                set_label(json!(alias));
            }
            None
        }
        (None, _) if is_new => {
            let alias = new_alias();
            set_label(json!(alias));
            Some(alias)
        }
        (None, Some(_)) => {
            set_label(Value::Null);
            None
        }
        (None, None) => None,
    };
    if let Some(alias) = generated {
        change.insert("alias".to_owned(), json!(alias));
    }
    if freight.discovered_at.is_none()
        && let Some(created) = freight.creation_timestamp()
    {
        change.insert("discoveredAt".to_owned(), json!(created));
    }
    (!change.is_empty()).then_some(Value::Object(change))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn freight(alias: Option<&str>, label: Option<&str>, generation: i64) -> Freight {
        let mut object = json!({
            "apiVersion": "kargo.akuity.io/v1alpha1",
            "kind": "Freight",
            "metadata": {
                "name": "f", "namespace": "p", "generation": generation,
                "creationTimestamp": "2026-01-01T00:00:00Z",
            },
            "origin": {"kind": "Warehouse", "name": "w"},
            "discoveredAt": "2026-01-01T00:00:00Z",
        });
        if let Some(alias) = alias {
            object["alias"] = json!(alias);
        }
        if let Some(label) = label {
            object["metadata"]["labels"] = json!({ api::labels::ALIAS: label });
        }
        serde_json::from_value(object).expect("Freight")
    }

    #[test]
    fn the_label_follows_the_field() {
        let label = |v: Value| json!({"metadata": {"labels": {api::labels::ALIAS: v}}});
        let mut both = label(json!("new"));
        both["alias"] = json!("new");
        for (case, f, expected) in [
            ("api/W1", freight(Some("a"), None, 1), Some(label(json!("a")))),
            ("api/W2", freight(None, None, 1), Some(both.clone())),
            ("api/W3", freight(None, Some("a"), 2), Some(label(Value::Null))),
            ("api/W4", freight(None, Some("a"), 1), Some(both)),
            ("complete", freight(Some("a"), Some("a"), 1), None),
            ("no alias wanted", freight(None, None, 2), None),
        ] {
            assert_eq!(missing(&f, || "new".to_owned()), expected, "{case}");
        }
    }

    #[test]
    fn discovered_when_created() {
        let case = "api/W5";
        let mut f = freight(Some("a"), Some("a"), 3);
        f.discovered_at = None;
        let expected = json!({"discoveredAt": "2026-01-01T00:00:00Z"});
        assert_eq!(missing(&f, String::new), Some(expected), "{case}");
        let kept = freight(Some("a"), Some("a"), 3);
        assert_eq!(missing(&kept, String::new), None, "{case}");
    }
}
