//! The Freight that a Promotion brings to its Stage, with what the Stage
//! already has from other origins (`promotions` 6.2). Pure.

use api::{FreightCollection, FreightReference, Stage};

/// The collection that the Stage has once `target` is promoted. Freight of
/// origins that the Stage no longer asks for is left behind.
pub fn freight_collection(stage: &Stage, target: &FreightReference) -> FreightCollection {
    let requests = &stage.spec.requested_freight;
    let last = stage
        .status
        .as_ref()
        .and_then(|s| s.last_promotion.as_ref())
        .and_then(|p| p.status.as_ref())
        .and_then(|s| s.freight_collection.as_ref())
        .filter(|_| requests.len() > 1);
    let kept = last.into_iter().flat_map(|last| {
        requests.iter().filter_map(|r| last.items.get(&r.origin.to_string()).cloned())
    });
    FreightCollection::of(kept.chain([target.clone()]))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn stage(requests: &[&str], last: Value) -> Stage {
        let requests: Vec<Value> = requests
            .iter()
            .map(|name| json!({"origin": {"kind": "Warehouse", "name": name}, "sources": {"direct": true}}))
            .collect();
        serde_json::from_value(json!({
            "apiVersion": "kargo.akuity.io/v1alpha1", "kind": "Stage", "metadata": {"name": "s"},
            "spec": {"requestedFreight": requests}, "status": {"lastPromotion": last},
        }))
        .unwrap()
    }

    fn reference(name: &str, origin: &str) -> Value {
        json!({"name": name, "origin": {"kind": "Warehouse", "name": origin}})
    }

    fn last(freight: &[(&str, &str)]) -> Value {
        let items: serde_json::Map<String, Value> = freight
            .iter()
            .map(|(name, origin)| (format!("Warehouse/{origin}"), reference(name, origin)))
            .collect();
        json!({"name": "p", "status": {"freightCollection": {"id": "x", "items": items}}})
    }

    #[test]
    fn what_the_stage_asks_for_is_kept() {
        // `promotions` 12, "freightCollection".
        let two = ["name-1", "name-2"];
        for (name, stage, want) in [
            ("one request", stage(&["name-1"], last(&[("f2", "name-2")])), vec!["new"]),
            ("no last Promotion", stage(&two, Value::Null), vec!["new"]),
            ("no status", stage(&two, json!({"name": "p"})), vec!["new"]),
            ("no collection", stage(&two, json!({"name": "p", "status": {}})), vec!["new"]),
            (
                "no items",
                stage(&two, json!({"name": "p", "status": {"freightCollection": {"id": "x"}}})),
                vec!["new"],
            ),
            (
                "both are there",
                stage(&two, last(&[("f1", "name-1"), ("f2", "name-2")])),
                vec!["f1", "f2", "new"],
            ),
            (
                "one is asked for no more",
                stage(&two, last(&[("f1", "name-1"), ("f3", "name-3")])),
                vec!["f1", "new"],
            ),
            (
                "the target's own origin",
                stage(&two, last(&[("f1", "name-1"), ("old", "target")])),
                vec!["f1", "new"],
            ),
        ] {
            let target: FreightReference =
                serde_json::from_value(reference("new", "target")).unwrap();
            let collection = freight_collection(&stage, &target);
            let mut names: Vec<&str> = collection.items.values().map(|f| f.name.as_str()).collect();
            names.sort_unstable();
            assert_eq!(names, want, "{name}");
        }
    }

    #[test]
    fn the_id_is_over_the_names() {
        let target: FreightReference = serde_json::from_value(reference("b", "w")).unwrap();
        let stage = stage(&["v", "w"], last(&[("a", "v")]));
        // sha1("a,b")
        let collection = freight_collection(&stage, &target);
        assert_eq!(collection.id, "5d8b1241b0484dd20c2cfeca6f692becfbab5d18");
    }
}
