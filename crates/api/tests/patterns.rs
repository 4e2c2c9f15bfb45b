//! What the definitions' patterns and rules accept.

use serde_json::Value;

/// The schema at a path of a kind's version.
fn schema(plural: &str, path: &[&str]) -> Value {
    let (_, definition) = api::crd::definitions()
        .into_iter()
        .find(|(p, _)| *p == plural)
        .unwrap_or_else(|| panic!("no definition of {plural}"));
    let mut at = &definition["spec"]["versions"][0]["schema"]["openAPIV3Schema"];
    for name in path {
        at = if *name == "[]" { &at["items"] } else { &at["properties"][name] };
    }
    assert!(at.is_object(), "{plural} {path:?}");
    at.clone()
}

/// Whether a text is what the schema asks for.
fn accepts(schema: &Value, text: &str) -> bool {
    let length = text.chars().count() as u64;
    let pattern = regex::Regex::new(schema["pattern"].as_str().unwrap_or_default()).unwrap();
    schema["minLength"].as_u64().is_none_or(|m| length >= m)
        && schema["maxLength"].as_u64().is_none_or(|m| length <= m)
        && pattern.is_match(text)
}

#[test]
fn texts_that_patterns_accept() {
    const IMAGES: [&str; 4] = ["status", "discoveredArtifacts", "images", "[]"];
    let image = |field| [&IMAGES[..], &["references", "[]", field]].concat();
    let long_name = "a".repeat(254);
    let long_tag = "a".repeat(129);
    let cases: Vec<(&str, Value, &[&str], Vec<&str>)> = vec![
        (
            "api/schema-patterns-D1",
            schema("warehouses", &image("digest")),
            &["sha256:1234567890abcdef", "xyz:1234567890abcdef"],
            vec!["", "sha256:", ":12ab", "sha256:xyz"],
        ),
        (
            "api/schema-patterns-D2",
            schema("warehouses", &image("tag")),
            &["v1.0.0-alpha", "latest", "."],
            vec!["", "plus+one", "not a tag", &long_tag],
        ),
        (
            "api 3.6",
            schema("promotions", &["spec", "stage"]),
            &["abc", "abc.123", "abc-123-abc-123"],
            vec!["", "-a", "a-", "a+b", "a/b", "a_b", "a:b", "a b", &long_name],
        ),
        (
            "api 1.4",
            schema("warehouses", &["spec", "interval"]),
            &["10m", "1h30m", "1.5h", "1m1m", "26h0m3.456789012s"],
            vec!["500ms", "-1s", ".5s", "0", "1,4s", "+33s", "5", "1d"],
        ),
        (
            "api 3.3",
            schema("stages", &["spec", "vars", "[]", "name"]),
            &["a", "_a1", "aB"],
            vec!["", "1a", "a-b"],
        ),
    ];
    for (case, schema, good, bad) in cases {
        for text in good {
            assert!(accepts(&schema, text), "{case}: {text:?}");
        }
        for text in bad {
            assert!(!accepts(&schema, text), "{case}: {text:?}");
        }
    }
}

#[test]
fn a_promotion_request_keeps_its_stage_and_freight() {
    // spec: api/targets-E4
    for field in ["stage", "freight"] {
        let rules = schema("promotionrequests", &["spec", field]);
        assert_eq!(rules["x-kubernetes-validations"][0]["rule"], "self == oldSelf", "{field}");
    }
    for path in [&["spec"][..], &["spec", "targets"], &["spec", "targets", "[]"]] {
        let schema = schema("promotionrequests", path);
        assert!(schema.get("x-kubernetes-validations").is_none(), "{path:?}");
    }
}
