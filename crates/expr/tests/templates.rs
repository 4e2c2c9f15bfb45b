//! Templates: the cases of `expressions` 11.1 to 11.4.

use expr::template::{evaluate, evaluate_json, evaluate_json_text, evaluate_value};
use expr::{Env, ErrorKind, Value};
use serde_json::{Value as Json, json};

/// What a template is to give.
enum Expect {
    Is(Json),
    /// An error whose text contains this.
    Fails(&'static str),
    /// A number that has no JSON form.
    NonFinite,
}

use Expect::{Fails, Is, NonFinite};

fn is(value: impl Into<Json>) -> Expect {
    Is(value.into())
}

fn env() -> Env {
    let mut env = Env::new();
    let decoded = Value::from_decoded_json;
    env.set(
        "vars",
        decoded(json!({"a": "A", "n": 42.0, "tag": "1.10", "big": 123456789012.0_f64})),
    );
    env.set(
        "outputs",
        decoded(json!({
            "step1": {"commit": "12345", "num": 7, "list": ["a", 1]},
            "my-step": {"x": "y"},
            "nilstep": null,
        })),
    );
    env.set("ctx", decoded(json!({"stage": "s"})));
    env.set("aString", "hello");
    env
}

fn check(rows: Vec<(&str, &str, Expect)>) {
    let env = env();
    for (id, template, expected) in rows {
        let found = evaluate(template, &env);
        match expected {
            Is(json) => match found {
                Ok(found) => assert_eq!(found, json, "{id}: {template}"),
                Err(error) => panic!("{id}: {template}: {}", error.render()),
            },
            Fails(text) => {
                let error = found.expect_err(id);
                assert!(error.render().contains(text), "{id}: {template}: {}", error.render());
            }
            NonFinite => {
                let value = evaluate_value(template, &env).expect(id);
                assert!(value.as_float().is_some_and(|f| !f.is_finite()), "{id}: {value:?}");
                assert_eq!(found.expect_err(id).kind(), ErrorKind::Json, "{id}");
            }
        }
    }
}

#[test]
fn results_are_typed_by_their_text() {
    let object = json!({"a": 1});
    check(vec![
        ("expressions/11.1-1", "42", is("42")),
        ("expressions/11.1-2", "plain ${not} $ {{ x }}", is("plain ${not} $ {{ x }}")),
        ("expressions/11.1-3", "${{ 42 }}", is(42)),
        ("expressions/11.1-3", "${{ \"42\" }}", is(42)),
        ("expressions/11.1-3", "${{ \"+5\" }}", is(5)),
        ("expressions/11.1-3", "${{ \".5\" }}", is(0.5)),
        ("expressions/11.1-4", "${{ \" 5\" }}", is(5)),
        ("expressions/11.1-4", " ${{ 5 }}", is(5)),
        ("expressions/11.1-5", "${{ quote(42) }}", is("42")),
        ("expressions/11.1-5", "${{ quote(\"42\") }}", is("42")),
        ("expressions/11.1-5", "${{ quote(3.0) }}", is("3")),
        ("expressions/11.1-5", "${{ quote(1.10) }}", is("1.1")),
        ("expressions/11.1-6", "${{ quote(nil) }}", is("null")),
        ("expressions/11.1-6", "${{ quote(true) }}", is("true")),
        ("expressions/11.1-7", "${{ quote({\"a\":1}) }}", is("{\"a\":1}")),
        ("expressions/11.1-7", "${{ quote([\"a\"]) }}", is("[\"a\"]")),
        ("expressions/11.1-8", "x${{ quote(\"42\") }}", is("x\"42\"")),
        ("expressions/11.1-9", "${{ quote(\"42\") }}${{ quote(\"43\") }}", is("42\"\"43")),
        ("expressions/11.1-10", "${{ quote(\"a\") + \"b\" }}", is("\"a\"b")),
        ("expressions/11.1-11", "${{ unsafeQuote(\"foo\") }}", is("\"foo\"")),
        ("expressions/11.1-11", "${{ unsafeQuote(42) }}", is("42")),
        ("expressions/11.1-12", "\"${{ 'hello' }}\"", is("hello")),
        ("expressions/11.1-12", "\"${{ 5 }}\"", is("5")),
        ("expressions/11.1-13", "\"${{ \"a\" }}\" and \"${{ \"b\" }}\"", is("a\" and \"b")),
        ("expressions/11.1-14", "\"hello\"", is("\"hello\"")),
        ("expressions/11.1-15", "${{ true }}", is(true)),
        ("expressions/11.1-15", "${{ \"true\" }}", is(true)),
        ("expressions/11.1-15", "${{ \"t\" }}", is(true)),
        ("expressions/11.1-15", "${{ \"F\" }}", is(false)),
        ("expressions/11.1-15", "${{ \"True\" }}", is(true)),
        ("expressions/11.1-16", "${{ \"tRUE\" }}", is("tRUE")),
        ("expressions/11.1-16", "${{ \"yes\" }}", is("yes")),
        ("expressions/11.1-16", "${{ \"~\" }}", is("~")),
        ("expressions/11.1-17", "${{ \"0\" }}", is(0)),
        ("expressions/11.1-17", "${{ \"1\" }}", is(1)),
        ("expressions/11.1-18", "${{ nil }}", is(Json::Null)),
        ("expressions/11.1-18", "${{ \"null\" }}", is(Json::Null)),
        ("expressions/11.1-19", "${{ \"\" }}", is("")),
        ("expressions/11.1-20", "${{ \"1.10\" }}", is(1.1)),
        ("expressions/11.1-20", "${{ vars.tag }}", is(1.1)),
        ("expressions/11.1-21", "${{ \"1.10.0\" }}", is("1.10.0")),
        ("expressions/11.1-22", "${{ \"0123\" }}", is(123)),
        ("expressions/11.1-22", "${{ \"1e3\" }}", is(1000)),
        ("expressions/11.1-22", "${{ \"1_000\" }}", is(1000)),
        ("expressions/11.1-22", "${{ \"0x1p-2\" }}", is(0.25)),
        ("expressions/11.1-23", "${{ \"12e4567\" }}", is("12e4567")),
        ("expressions/11.1-23", "${{ \"1e999\" }}", is("1e999")),
        ("expressions/11.1-23", "${{ \"0x10\" }}", is("0x10")),
        ("expressions/11.1-23", "${{ \"1__0\" }}", is("1__0")),
        ("expressions/11.1-24", "${{ \"NaN\" }}", NonFinite),
        ("expressions/11.1-24", "${{ \"inf\" }}", NonFinite),
        ("expressions/11.1-24", "${{ \"-Infinity\" }}", NonFinite),
        ("expressions/11.1-25", "${{ \"[1,2]\" }}", is(json!([1, 2]))),
        ("expressions/11.1-25", "${{ \"{\\\"a\\\":1}\" }}", Is(object.clone())),
        ("expressions/11.1-26", "${{ \"[1\" }}", is("[1")),
        ("expressions/11.1-26", "${{ \"1,2\" }}", is("1,2")),
        ("expressions/11.1-26", "${{ \"1 2\" }}", is("1 2")),
        ("expressions/11.1-27", "${{ {\"a\":1} }}\n", Is(object.clone())),
        ("expressions/11.1-28", "${{ quote(5) }}\n", is("5\n")),
        ("expressions/11.1-29", "${{ \"abc\" }}\n", is("abc\n")),
        ("expressions/11.1-30", "${{ 5 }}\n\n", is(5)),
        ("expressions/11.1-31", "\n${{ 5 }}\n", is(5)),
        ("expressions/11.1-32", "${{ 10 / 4 }}", is(2.5)),
        ("expressions/11.1-32", "${{ 10 / 5 }}", is(2)),
        ("expressions/11.1-32", "${{ 7 % 3 }}", is(1)),
        ("expressions/11.1-32", "${{ 2 ** 3 }}", is(8)),
        ("expressions/11.1-33", "${{ 9007199254740993 }}", is(9_007_199_254_740_992_i64)),
        ("expressions/11.1-34", "${{ 0.1 + 0.2 }}", is(0.1 + 0.2)),
        ("expressions/11.1-35", "prefix-${{ ctx.stage }}-${{ vars.n }}", is("prefix-s-42")),
        ("expressions/11.1-36", "a${{ nil }}b", is("anullb")),
        ("expressions/11.1-37", "${{ true }}${{ false }}", is("truefalse")),
        ("expressions/11.1-38", "${{ 1 }}${{ 2 }}", is(12)),
        ("expressions/11.1-39", "Hi ${{ {'a':'<x>'} }}", is("Hi {\"a\":\"\\u003cx\\u003e\"}")),
        ("expressions/11.1-40", "${{ {\"a\":\"<x>\"} }}", is(json!({"a": "<x>"}))),
        ("expressions/11.1-41", "${{ vars.missing }}", is(Json::Null)),
        ("expressions/11.1-41", "${{ missing }}", is(Json::Null)),
        ("expressions/11.1-42", "${{ vars.missing.x }}", Fails("cannot fetch x from <nil>")),
        ("expressions/11.1-43", "${{ vars.missing?.x }}", is(Json::Null)),
        ("expressions/11.1-43", "${{ vars.missing ?? \"d\" }}", is("d")),
        ("expressions/11.1-44", "${{ missing() }}", Fails("cannot call nil")),
        ("expressions/11.1-45", "${{ outputs['my-step'].x }}", is("y")),
        ("expressions/11.1-46", "${{ outputs.my-step.x }}", Fails("cannot fetch x from <nil>")),
        ("expressions/11.1-47", "${{ outputs.nilstep.x }}", Fails("cannot fetch x from <nil>")),
        ("expressions/11.1-48", "${{ outputs?.nope?.x ?? \"z\" }}", is("z")),
        ("expressions/11.1-49", "${{ outputs.step1.commit }}", is(12345)),
        (
            "expressions/11.1-50",
            "${{ outputs.step1.list[5] }}",
            Fails("index out of range: 5 (array length is 2)"),
        ),
        ("expressions/11.1-51", "${{ outputs.step1.list[-1] }}", is(1)),
        ("expressions/11.1-52", "${{ toJSON({\"a\":1}) }}", Is(object)),
        ("expressions/11.1-53", "${{ string([1,2]) }}", is("[1 2]")),
        (
            "expressions/11.1-54",
            "${{ groupBy([1], #) }}",
            Fails("json: unsupported type: map[interface {}]"),
        ),
        ("expressions/11.1-56", "${{ duration('1h') }}", is(3_600_000_000_000_i64)),
        ("expressions/11.1-57", "${{ b'abc' }}", is("YWJj")),
        (
            "expressions/11.1-58",
            "${{ vars.missing || vars.a }}",
            Fails("interface conversion: interface {} is nil, not bool"),
        ),
        ("expressions/11.1-58", "${{ vars.a && vars.n == 42 }}", Fails("interface conversion")),
        ("expressions/11.1-59", "${{ vars.n == 42 && vars.missing }}", is(Json::Null)),
        ("expressions/11.1-59", "${{ vars.missing && true }}", is(Json::Null)),
        ("expressions/11.1-60", "${{ vars.missing contains \"x\" }}", is(false)),
        ("expressions/11.1-60", "${{ \"x\" matches vars.missing }}", is(false)),
        ("expressions/11.1-61", "${{ {\"a\":1} == {\"a\":1.0} }}", is(false)),
        ("expressions/11.1-61", "${{ [[1]] == [[1.0]] }}", is(true)),
        ("expressions/11.1-62", "${{ outputs.step1.list[vars.n - 41] }}", is(1)),
        ("expressions/11.1-63", "${{ vars.missing.x || true }}", is(true)),
    ]);
}

#[test]
fn delimiters() {
    check(vec![
        (
            "expressions/11.2-1",
            "${{ aString ",
            Fails("unclosed expression: expected \"}}\" but reached end of template"),
        ),
        ("expressions/11.2-2", "${% 1 }}", Fails("unclosed expression: expected \"%}\"")),
        ("expressions/11.2-3", "${{ '{{.domain}}' }}", Fails("literal not terminated")),
        ("expressions/11.2-4", "${% '{{.domain}}' %}", is("{{.domain}}")),
        ("expressions/11.2-5", "foo ${{ aString }} and ${% 'bar' %}", is("foo hello and bar")),
        ("expressions/11.2-6", "${{ {\"a\":{\"b\":1}} }}", Fails("unexpected token EOF")),
        ("expressions/11.2-7", "${{ {\"a\":{\"b\":1} } }}", is(json!({"a": {"b": 1}}))),
        ("expressions/11.2-7", "${% {\"a\":{\"b\":1}} %}", is(json!({"a": {"b": 1}}))),
        ("expressions/11.2-8", "${{ \"%}\" }}", is("%}")),
        ("expressions/11.2-9", "${% \"%}\" %}", Fails("literal not terminated")),
        ("expressions/11.2-10", "${{ \"${%\" }} x", is("${% x")),
        ("expressions/11.2-11", "a${{}}b${{ 1 }}", is("ab${{ 1 }}")),
        ("expressions/11.2-12", "a ${{ }} b", Fails("unexpected token EOF")),
    ]);
}

#[test]
fn there_is_no_escape_for_a_delimiter() {
    check(vec![
        ("2, rule 5", "$${{ 1 }}", is("$1")),
        ("2, rule 5", "\\${{ 1 }}", is("\\1")),
        ("2, rule 5", "${{ '${{' }}", is("${{")),
    ]);
}

#[test]
fn as_yaml_and_as_json() {
    let rows = [
        ("expressions/11.3-1", "asYAML(nil)", "null\n"),
        ("expressions/11.3-1", "asYAML(true)", "true\n"),
        ("expressions/11.3-1", "asYAML(42)", "42\n"),
        ("expressions/11.3-2", "asYAML({'foo':'bar','count':2})", "count: 2\nfoo: bar\n"),
        ("expressions/11.3-3", "asYAML(['one','two'])", "- one\n- two\n"),
        ("expressions/11.3-4", "asYAML({\"b\":1,\"a\":[1,\"x\"]})", "a:\n    - 1\n    - x\nb: 1\n"),
        ("expressions/11.3-5", "asYAML(\"5\")", "\"5\"\n"),
        ("expressions/11.3-5", "asYAML(\"\")", "\"\"\n"),
        ("expressions/11.3-5", "asYAML(\"- x: y\")", "'- x: y'\n"),
        ("expressions/11.3-6", "asYAML({\"a10\":1,\"a2\":2})", "a2: 2\na10: 1\n"),
        ("expressions/11.3-7", "asJSON(nil)", "null\n"),
        ("expressions/11.3-7", "asJSON('foo')", "\"foo\"\n"),
        ("expressions/11.3-7", "asJSON([])", "[]\n"),
        (
            "expressions/11.3-8",
            "asJSON({'foo':'bar','count':2})",
            "{\n  \"count\": 2,\n  \"foo\": \"bar\"\n}\n",
        ),
        ("expressions/11.3-9", "asJSON(\"<a>&\")", "\"\\u003ca\\u003e\\u0026\"\n"),
        // Section 5.
        ("5", "asYAML([{'a': 1, 'b': 2}])", "- a: 1\n  b: 2\n"),
        ("5", "asYAML([{'a': {'b': 2}}])", "- a:\n    b: 2\n"),
        ("5", "asYAML({'a': {'b': {'c': 1}}})", "a:\n    b:\n        c: 1\n"),
        ("5", "asYAML([[1, 2], []])", "- - 1\n  - 2\n- []\n"),
        (
            "5",
            "asYAML({'t': 'true', 'n': 'n', 'd': '2024-01-01'})",
            "d: \"2024-01-01\"\n\"n\": \"n\"\nt: \"true\"\n",
        ),
        ("5", "asYAML({'m': \"a\\nb\"})", "m: |-\n    a\n    b\n"),
        ("5", "asYAML({'m': \"a\\nb\\n\"})", "m: |\n    a\n    b\n"),
        ("5", "asYAML(1234567.0)", "1.234567e+06\n"),
        ("5", "asYAML({})", "{}\n"),
        ("5", "asYAML('a: b')", "'a: b'\n"),
        ("5", "asYAML('it is #1')", "'it is #1'\n"),
    ];
    let env = env();
    for (id, expression, expected) in rows {
        // A map in a map would end the expression: `${%` has another end.
        let found = evaluate(&format!("${{% {expression} %}}"), &env);
        assert_eq!(found.expect(id), json!(expected), "{id}: {expression}");
    }
    let embedded = evaluate("--- ${{ asYAML({'a':1}) }}", &env);
    assert_eq!(embedded.expect("expressions/11.3-10"), json!("--- \"a: 1\n\""));
}

#[test]
fn json_templates() {
    let env = env();
    let text = |text: &str| evaluate_json_text(text, &env);
    let refused = |id: &str, input: &str| {
        let error = text(input).expect_err(id).to_string();
        assert!(
            error.starts_with("input is not valid JSON; are all expressions enclosed in quotes?"),
            "{id}: {error}"
        );
    };
    refused("expressions/11.4-1", "{\"key\": ${{ true }} }");
    refused("expressions/11.4-2", "[\"x\"]");
    refused("expressions/11.4-2", "\"x\"");
    let rows = [
        ("expressions/11.4-3", json!(null), json!(null)),
        ("expressions/11.4-4", json!({"${{ 'k' }}": "v"}), json!({"${{ 'k' }}": "v"})),
        (
            "expressions/11.4-5",
            json!({"a": [{"b": ["${{ ctx.stage }}", "x"]}]}),
            json!({"a": [{"b": ["s", "x"]}]}),
        ),
        (
            "expressions/11.4-6",
            json!({"a": "${{ vars.n }}", "b": "42", "d": 4.0}),
            json!({"a": 42, "b": "42", "d": 4}),
        ),
        (
            "expressions/11.4-8",
            json!({"a": "${{ 1e20 }}", "b": "${{ 1e21 }}", "c": "${{ 1e-7 }}"}),
            json!({"a": 1e20, "b": 1e21, "c": 1e-7}),
        ),
        ("expressions/11.4-9", json!({"a": "\u{7f}"}), json!(null)),
        (
            "expressions/11.4-11",
            json!({"v": "{\"foo\": \"bar\"}\n"}),
            json!({"v": "{\"foo\": \"bar\"}\n"}),
        ),
        (
            "expressions/11.4-12",
            json!({"v": "${{ {\"foo\": \"bar\"} }}\n"}),
            json!({"v": {"foo": "bar"}}),
        ),
        (
            "expressions/11.4-13",
            json!({"v": "${{ quote({\"foo\": \"bar\"}) }}\n"}),
            json!({"v": "{\"foo\":\"bar\"}\n"}),
        ),
        ("expressions/11.4-14", json!({"v": "42\n"}), json!({"v": "42\n"})),
        ("expressions/11.4-14", json!({"v": "${{ 42 }}\n"}), json!({"v": 42})),
        ("expressions/11.4-14", json!({"v": "${{ quote(42) }}\n"}), json!({"v": "42\n"})),
    ];
    for (id, input, expected) in rows {
        assert_eq!(evaluate_json(&input, &env).expect(id), expected, "{id}");
    }
    // The texts of 11.4-8 before they are decoded again.
    for (expression, text) in
        [("1e20", "100000000000000000000"), ("1e21", "1e+21"), ("1e-7", "1e-7")]
    {
        let value = expr::eval(expression, &env).unwrap();
        assert_eq!(value.to_json_text().unwrap(), text, "expressions/11.4-8");
    }
    let error = evaluate_json(&json!({"a": "${{ 'inf' }}"}), &env).expect_err("expressions/11.4-7");
    assert_eq!(error.to_string(), "json: unsupported value: +Inf (in field a)");
    let mut reserved = Env::new();
    reserved.set("quote", 1);
    let error = evaluate_json(&json!({}), &reserved).expect_err("expressions/11.4-10");
    assert_eq!(
        error.to_string(),
        "\"quote\" is a forbidden key in the environment map; it is reserved for internal use"
    );
}

#[test]
fn an_error_in_an_object_names_its_field() {
    let config = json!({"updates": [{"key": "k"}, {"value": "${{ vars.misssing.x }}"}]});
    let error = evaluate_json(&config, &env()).unwrap_err();
    assert_eq!(error.path, "updates[1].value");
    assert_eq!(
        error.render(),
        "cannot fetch x from <nil> (1:16)\n |  vars.misssing.x \n | ...............^\n\
         `misssing` is not set\nin field updates[1].value"
    );
}

#[test]
fn quote_keeps_go_escapes() {
    // Section 5: only the outer quotes are taken away.
    let rows = [
        ("quote(\"a\\\"b\")", "a\\\"b"),
        ("quote(\"a\\nb\\tc\")", "a\\nb\\tc"),
        ("quote(\"\\x7f\\u200bé\")", "\\x7f\\u200bé"),
        ("quote('日本')", "日本"),
    ];
    for (expression, expected) in rows {
        let found = evaluate(&format!("${{{{ {expression} }}}}"), &Env::new()).unwrap();
        assert_eq!(found, json!(expected), "{expression}");
    }
    for (expression, expected) in [
        ("quote()", "not enough arguments to call quote"),
        ("quote(1, 2)", "too many arguments to call quote"),
        ("quote(1/0)", "error applying quote() function: json: unsupported value: +Inf"),
        ("unsafeQuote(1/0)", "error applying quote() function: json: unsupported value: +Inf"),
        ("asJSON(-1/0)", "error applying asJSON() function: json: unsupported value: -Inf"),
    ] {
        let error = evaluate(&format!("${{{{ {expression} }}}}"), &Env::new()).unwrap_err();
        assert_eq!(error.message(), expected);
    }
}
