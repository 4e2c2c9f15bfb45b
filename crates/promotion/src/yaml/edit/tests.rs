use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;

fn one(key: &str, value: Value) -> Vec<Update> {
    vec![Update { key: key.to_owned(), value }]
}

#[test]
fn values_are_replaced_as_the_table_says() {
    let game = "\ncharacters:\n- name: A\n  answer: idk\n";
    let cases: Vec<(&str, &str, Vec<Update>, &str)> = vec![
        ("steps-files/6-1", "a: b", one("a", json!("c")), "a: c\n"),
        ("steps-files/6-2", "a: \"b\"\n", one("a", json!("c")), "a: c\n"),
        ("steps-files/6-2", "a: 'b'\n", one("a", json!("c")), "a: c\n"),
        ("steps-files/6-3", "a:\nb: 1\n", one("a", json!("c")), "a: c\nb: 1\n"),
        ("steps-files/6-4", "a: ~\n", one("a", json!("c")), "a: c\n"),
        ("steps-files/6-5", "x:\n-\n- b\n", one("x.0", json!("c")), "x:\n- c\n- b\n"),
        (
            "steps-files/6-6",
            game,
            one("characters.0.answer", json!(42)),
            "\ncharacters:\n- name: A\n  answer: 42\n",
        ),
        (
            "steps-files/6-7",
            game,
            one("characters.0.answer", json!("42")),
            "\ncharacters:\n- name: A\n  answer: \"42\"\n",
        ),
        (
            "steps-files/6-8",
            game,
            one("characters.0.answer", json!("Dark side")),
            "\ncharacters:\n- name: A\n  answer: Dark side\n",
        ),
        ("steps-files/6-9", "a: 1\n", one("a", json!(1.5)), "a: 1.5\n"),
        ("steps-files/6-9", "a: 1\n", one("a", json!(true)), "a: true\n"),
        ("steps-files/6-9", "a: 1\n", one("a", json!("1.10")), "a: \"1.10\"\n"),
        ("steps-files/6-9", "a: 1\n", one("a", json!("true")), "a: \"true\"\n"),
        ("steps-files/6-9", "a: 1\n", one("a", json!("null")), "a: \"null\"\n"),
        // Of row 10 only what reads back as the same string stays bare; the
        // page's second table asks for quotes around the rest.
        ("steps-files/6-10", "a: 1\n", one("a", json!("2024-01-01")), "a: 2024-01-01\n"),
        ("steps-files/6-10", "a: 1\n", one("a", json!("yes")), "a: \"yes\"\n"),
        ("steps-files/6-10", "a: 1\n", one("a", json!("~")), "a: \"~\"\n"),
        ("steps-files/6-10", "a: 1\n", one("a", json!("0x10")), "a: \"0x10\"\n"),
        (
            "steps-files/6-11",
            "a: 1\n",
            one("a", json!("{\"k\": \"v\"}")),
            "a: \"{\\\"k\\\": \\\"v\\\"}\"\n",
        ),
        ("steps-files/6-12", "a:\n  b\nc: 1\n", one("a", json!("x")), "a:\n  x\nc: 1\n"),
        ("steps-files/6-13", "a: 1\n---\na: 2\n", one("a", json!(9)), "a: 9\n---\na: 2\n"),
        ("steps-files/6-14", "---\na: 1\n", one("a", json!(9)), "---\na: 9\n"),
        ("steps-files/6-15", "- a\n- b\n", one("1", json!("9")), "- a\n- \"9\"\n"),
        (
            "steps-files/6-16",
            "example.com/version: v1\n",
            one("example\\.com/version", json!("v2")),
            "example.com/version: v2\n",
        ),
        ("steps-files/6-17", "x:\n  0: a\n", one("x.0", json!("b")), "x:\n  0: b\n"),
        ("steps-files/6-17", "x:\n  0: a\n", one("x.:0", json!("b")), "x:\n  0: b\n"),
        ("steps-files/6-18", "\"a:b\": 1\n", one("a\\:b", json!("b")), "\"a:b\": b\n"),
        (
            "steps-files/6-19",
            "base: &b\n  k: v\nx:\n  <<: *b\n",
            one("base.k", json!("z")),
            "base: &b\n  k: z\nx:\n  <<: *b\n",
        ),
        ("steps-files/6-20", "a: 1\nb: 2\n", one("a", json!("c")), "a: c\nb: 2\n"),
        ("steps-files/6-21", "? a\n: b\n", one("a", json!("c")), "? a\n: c\n"),
        (
            "steps-files/6-22",
            "b: 3\n",
            vec![
                Update { key: "b".into(), value: json!(7) },
                Update { key: "b".into(), value: json!(8) },
            ],
            "b: 8\n",
        ),
        ("steps-files/6-23", "a: b\n\n\n", one("a", json!("c")), "a: c\n\n\n"),
        ("steps-files/6-24", "a: b # keep", one("a", json!("c")), "a: c # keep\n"),
        ("steps-files/6-25", "x: {a: 1, b: 2}\n", one("x.a", json!("9")), "x: {a: \"9\", b: 2}\n"),
        ("steps-files/6-26", "x: [a, b]\n", one("x.1", json!("c")), "x: [a, c]\n"),
        (
            "steps-files/6-27",
            "x: {a: 1, b: 2}\n",
            vec![
                Update { key: "x.b".into(), value: json!(8) },
                Update { key: "x.a".into(), value: json!(7) },
            ],
            "x: {a: 7, b: 8}\n",
        ),
        (
            "steps-files/6-28",
            "a: |\n  one\n  two\n\nb: 1\n",
            one("a", json!("x")),
            "a: x\n\nb: 1\n",
        ),
        (
            "steps-files/6-28",
            "a: >- # why\n  one\n  two\nb: 1\n",
            one("a", json!("x")),
            "a: x # why\nb: 1\n",
        ),
        ("steps-files/6-28", "a: plain\n  more\nb: 1\n", one("a", json!("x")), "a: x\nb: 1\n"),
        ("steps-files/6-28", "a: \"q\n  more\"\nb: 1\n", one("a", json!("x")), "a: x\nb: 1\n"),
        ("steps-files/6-29", "a: &x b\nc: *x\n", one("a", json!("z")), "a: &x z\nc: *x\n"),
        ("steps-files/6-29", "a: &x\nc: *x\n", one("a", json!("z")), "a: &x z\nc: *x\n"),
        ("steps-files/6-30", "a: !!str 1\n", one("a", json!("z")), "a: !!str z\n"),
        ("steps-files/6-31", "a: b\r\nc: d\r\n", one("a", json!("x")), "a: x\r\nc: d\r\n"),
        ("steps-files/6-32", "{é: ü, b: ö}\n", one("b", json!("x")), "{é: ü, b: x}\n"),
        ("steps-files/6-33", "\u{feff}a: b\n", one("a", json!("c")), "\u{feff}a: c\n"),
        ("steps-files/6-37", "a: 1\n", one("a", json!("b: c")), "a: \"b: c\"\n"),
        ("steps-files/6-37", "a: 1\n", one("a", json!("b #c")), "a: \"b #c\"\n"),
        ("steps-files/6-37", "a: 1\n", one("a", json!("b\nc")), "a: \"b\\nc\"\n"),
        ("steps-files/6-37", "a: 1\n", one("a", json!(" b ")), "a: \" b \"\n"),
        ("steps-files/6-37", "a: 1\n", one("a", json!("*b")), "a: \"*b\"\n"),
        ("steps-files/6-37", "a: 1\n", one("a", json!("@b")), "a: \"@b\"\n"),
        ("steps-files/6-37", "a: 1\n", one("a", json!("")), "a: \"\"\n"),
        ("steps-files/6-37", "a: 1\n", one("a", json!("- b")), "a: \"- b\"\n"),
        ("steps-files/6-37", "a: 1\n", one("a", json!("on")), "a: \"on\"\n"),
        ("steps-files/6-37", "x: [a]\n", one("x.0", json!("b, c")), "x: [\"b, c\"]\n"),
        ("steps-files/6-38", "a: 1\n", one("a", json!(1_000_000.0)), "a: 1000000\n"),
        (
            "an empty value in a flow mapping",
            "x: {a: , b: 1}\n",
            one("x.a", json!("c")),
            "x: {a: c , b: 1}\n",
        ),
        (
            "an empty value before a comment",
            "a: # note\nb: 1\n",
            one("a", json!("c")),
            "a: c # note\nb: 1\n",
        ),
    ];
    for (case, text, updates, expected) in cases {
        match apply(text, &updates) {
            Ok(changed) => assert_eq!(changed, expected, "{case}: {text:?}"),
            Err(error) => panic!("{case}: {text:?}: {error}"),
        }
    }
}

#[test]
fn what_cannot_be_changed_is_said_and_nothing_is_changed() {
    let cases = [
        ("a: b\n", one("z", json!("c")), "error finding key z: key path not found; the file has a"),
        (
            "a: b\n",
            one("a.b", json!("c")),
            "error finding key a.b: key path not found; a is a single value",
        ),
        ("", one("a", json!("c")), "error finding key a: key path not found"),
        ("# only a comment\n", one("a", json!("c")), "error finding key a: key path not found"),
        ("b: 1\n---\na: 2\n", one("a", json!("c")), "error finding key a: key path not found"),
        (
            "base: &b\n  k: v\nx:\n  <<: *b\n",
            one("x.k", json!("c")),
            "error finding key x.k: key path not found",
        ),
        (
            "a:\n  b: 1\n",
            one("a", json!("c")),
            "error finding key a: key path does not address a scalar node",
        ),
        (
            "a: &x b\nc: *x\n",
            one("c", json!("c")),
            "error finding key c: key path does not address a scalar node",
        ),
        (
            "x: [a]\n",
            one("x.first", json!("c")),
            "error finding key x.first: strconv.Atoi: parsing \"first\": invalid syntax",
        ),
        // steps-files/6-34
        ("x: [a]\n", one("x.1", json!("c")), "error finding key x.1: index out of range: 1"),
        ("x: [a]\n", one("x.-1", json!("c")), "error finding key x.-1: index out of range: -1"),
        // steps-files/6-35
        ("a: b\n", one("a", json!(null)), "value for key \"a\" is not a scalar type"),
        // steps-files/6-36
        ("a: b\n", one("a", json!({"b": 1})), "value for key \"a\" is not a scalar type"),
        ("a: b\n", one("a", json!(["b"])), "value for key \"a\" is not a scalar type"),
        ("a: [\n", one("a", json!("c")), "error unmarshaling input: "),
        ("a: b\n", one("a..b", json!("c")), "error splitting key a..b: empty key part"),
    ];
    for (text, updates, start) in cases {
        let error = apply(text, &updates).unwrap_err().to_string();
        assert!(error.starts_with(start), "{text:?}: {error}");
    }
}

/// YAML files with every style of scalar.
fn file() -> impl Strategy<Value = String> {
    let value = prop_oneof![
        "[a-zA-Z][a-zA-Z0-9 ]{0,8}[a-z]",
        "'[a-z ]{0,6}'",
        "\"[a-zé ]{0,6}\"",
        Just("&anchor word".to_owned()),
        Just("!!str 12".to_owned()),
        Just("{x: 1, y: [a, b]}".to_owned()),
        Just("|\n    one\n\n    two".to_owned()),
        Just(">-\n    one\n    two".to_owned()),
        Just("1.50".to_owned()),
        Just(String::new()),
    ];
    let line = ("[a-zü]{1,5}", value, prop_oneof![Just(""), Just("  # note"), Just("\n")]);
    proptest::collection::vec(line, 1..8).prop_map(|lines| {
        let mut text = String::from("top:\n");
        for (i, (key, value, tail)) in lines.iter().enumerate() {
            let tail = if value.contains('\n') { "" } else { tail };
            let value = value.replace("&anchor", &format!("&a{i}"));
            text.push_str(&format!("  {key}{i}: {value}{tail}\n"));
        }
        text
    })
}

fn plain_scalars(node: &Node, path: &str, found: &mut Vec<(String, String)>) {
    match &node.kind {
        Kind::Scalar(s) if s.plain => found.push((path.to_owned(), s.text.clone())),
        Kind::Scalar(_) | Kind::Alias(_) => {}
        Kind::Sequence(items) => {
            for (i, n) in items.iter().enumerate() {
                plain_scalars(n, &format!("{path}.{i}"), found);
            }
        }
        Kind::Mapping(pairs) => {
            for (k, v) in pairs {
                if let Kind::Scalar(key) = &k.kind {
                    let path = if path.is_empty() {
                        key.text.clone()
                    } else {
                        format!("{path}.{}", key.text)
                    };
                    plain_scalars(v, &path, found);
                }
            }
        }
    }
}

proptest! {
    #[test]
    fn a_plain_scalar_replaced_by_its_own_text_changes_no_byte(text in file()) {
        let root = document::parse_first(&text).unwrap().unwrap();
        let mut found = Vec::new();
        plain_scalars(&root, "", &mut found);
        for (key, old) in found {
            if old.is_empty() || scalar::resolve(&old) != scalar::Plain::Text {
                continue;
            }
            let same = apply(&text, &one(&key, json!(old))).unwrap();
            prop_assert_eq!(&same, &text, "{}", key);
        }
    }

    #[test]
    fn any_string_reads_back_as_itself(text in file(), new in "\\PC{0,12}|[a-z:#\\-&*!|>'\"%@{}\\[\\],? \t\n]{0,10}") {
        let root = document::parse_first(&text).unwrap().unwrap();
        let mut found = Vec::new();
        plain_scalars(&root, "", &mut found);
        for (key, _) in found {
            if let Ok(changed) = apply(&text, &one(&key, json!(new))) {
                let root = document::parse_first(&changed).unwrap().unwrap();
                let parts = key_path::split(&key).unwrap();
                prop_assert_eq!(&find(Some(&root), &parts).unwrap().text, &new);
            } else {
                prop_assert!(false, "{:?} could not be written at {}", new, key);
            }
        }
    }

    #[test]
    fn no_text_makes_it_panic(text in "\\PC{0,60}|[a-z:#\\-&*!|>'\"{}\\[\\],? \n]{0,60}", key in "[a-z.0-9:\\\\]{1,8}") {
        let _ = apply(&text, &one(&key, json!("x")));
    }
}
