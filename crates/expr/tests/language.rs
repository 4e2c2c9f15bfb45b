//! The language: rows from the text of `expressions` 6 and the raw
//! expressions of 11.9.

use std::sync::Arc;

use expr::{Env, Function, Value, eval};
use serde_json::json;

fn env() -> Env {
    let mut env = Env::from(json!({
        "i": 3, "f": 1.5, "s": "text", "list": [1, 2, 3], "nested": {"a": {"b": 1}},
        "items": [{"n": 2, "t": "b"}, {"n": 1, "t": "a"}],
    }));
    env.set("vars", Value::from_decoded_json(json!({"n": 42, "a": "A"})));
    env.set("labels", Value::string_map([("k", "v")]));
    env
}

#[test]
fn values() {
    let env = env();
    let mut wrong = Vec::new();
    for (source, expected) in [
        // 6.1
        ("010", json!(10)),
        ("0x1F + 0o17 + 0b11 + 1_000", json!(31 + 15 + 3 + 1000)),
        (".5 + 5. + 1e3", json!(1005.5)),
        ("'\\x41\\u00e9\\101\\n'", json!("Aé A\n".replace(' ', ""))),
        ("`a``b\\n`", json!("a`b\\n")),
        ("1 /* two */ + 3 // four", json!(4)),
        ("{a: 1, 'b': 2, (s): 3, 4: 5,}", json!({"a": 1, "b": 2, "text": 3, "4": 5})),
        ("null ?? none ?? undefined ?? len", json!(null)),
        // 6.2
        ("let x = 2; let y = x * 3; y + x", json!(8)),
        ("if i > 2 { 'big' } else if i > 1 { 'mid' } else { 'small' }", json!("big")),
        ("1 < 2 < 3 and not (3 < 2 < 1)", json!(true)),
        ("not (i == 3) ? 1 : 2", json!(2)),
        ("-2 ** 2", json!(-4)),
        ("2 ** 3 ** 2", json!(512)),
        ("list | filter(# > 1) | map(# * 2)", json!([4, 6])),
        ("1..3", json!([1, 2, 3])),
        ("3..1", json!([])),
        ("1; 2; 3", json!(3)),
        ("false ?: 1 == 1 ? 'a' : 'b'", json!("a")),
        // 6.3
        ("7 / 2", json!(3.5)),
        ("-7 % 3", json!(-1)),
        ("int(vars.n) % 5", json!(2)),
        ("[1, 2.0] == [1.0, 2]", json!(true)),
        ("vars.n == '42'", json!(false)),
        ("'a' < 'b' && !('b' < 'a')", json!(true)),
        ("2 in list and 5 not in list and 'a' in nested", json!(true)),
        ("1 in nil", json!(false)),
        ("s matches '^te.t$'", json!(true)),
        ("s startsWith 'te' and s endsWith 'xt' and s contains 'ex'", json!(true)),
        ("vars.missing || true", json!(true)),
        ("vars.missing && true", json!(null)),
        ("vars.missing && 1 + 1 == 2 && 'a' + 'b' == 'ab'", json!(null)),
        ("vars.missing && not (3 * 2 == 6)", json!(false)),
        ("'vars' in $env", json!(true)),
        ("map(list, {# * #index})", json!([0, 2, 6])),
        ("reduce(list, #acc + #)", json!(6)),
        // 6.4
        ("labels.nope", json!("")),
        ("labels.nope ?? 'd'", json!("")),
        ("get(labels, 'nope') ?? 'd'", json!("d")),
        ("nested?.x?.y?.z", json!(null)),
        ("nested.x?.y.z", json!(null)),
        ("list[-1] + list[0.9]", json!(4)),
        ("list[1:] == [2, 3] and list[:-1] == [1, 2] and list[5:9] == []", json!(true)),
        ("'héllo'[0:2]", json!("h\u{fffd}")),
        ("s[0]", json!(116)),
        ("get(list, 9)", json!(null)),
        // 6.5
        ("len('äöü')", json!(3)),
        ("indexOf('äb', 'b')", json!(2)),
        ("int('010')", json!(10)),
        ("string(nil)", json!("<nil>")),
        ("string(1000000.0)", json!("1e+06")),
        ("string({'a': 1})", json!("map[a:1]")),
        ("string([1, 'a'])", json!("[1 a]")),
        ("max([])", json!(null)),
        ("mean([]) + sum([])", json!(0)),
        ("all([], # > 1)", json!(true)),
        ("round(2.5) + round(-2.5)", json!(0)),
        ("split('a,b', ',', 0)", json!(null)),
        ("sortBy(items, .n) | map(.t) | join('')", json!("ab")),
        ("sort([3, 1, 2], 'desc')", json!([3, 2, 1])),
        ("type(now())", json!("time.Time")),
        ("date('2024-05-01').Year()", json!(2024)),
        ("string(date('2024-05-01').Month())", json!("May")),
        ("date('2024-05-02') - date('2024-05-01') == duration('24h')", json!(true)),
        ("date('02 Jan 06 15:04 UTC').Unix()", json!(1_136_214_240)),
        ("date('2024-05-01T12:30:00+02:00').UTC().Hour()", json!(10)),
        ("date('01/05/2024', '02/01/2006').Format('Mon 2 January 2006')", json!("Wed 1 May 2024")),
        ("string(duration('90m'))", json!("1h30m0s")),
        ("uniq([1, 1.0, 2])", json!([1, 2])),
        ("flatten([1, [2, [3, []]]])", json!([1, 2, 3])),
        ("fromPairs(toPairs({'a': 1})).a", json!(1)),
        ("bitushr(-1, 63) + bitnand(7, 2)", json!(6)),
        ("first(filter(list, # > 1))", json!(2)),
    ] {
        match eval(source, &env) {
            Ok(value) if value.to_json() == expected => {}
            Ok(value) => wrong.push(format!("{source}: {} instead of {expected}", value.to_json())),
            Err(error) => wrong.push(format!("{source}: {}", error.render())),
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn errors_begin_as_the_reference_says() {
    let env = env();
    let mut wrong = Vec::new();
    for (source, expected) in [
        ("'\\q'", "invalid char escape"),
        ("'a", "literal not terminated"),
        (
            "9223372036854775808",
            "invalid integer literal: strconv.ParseInt: parsing \"9223372036854775808\": value out of range",
        ),
        (
            "s ?? 'x' == 'y'",
            "Operator (==) and coalesce expressions (??) cannot be mixed. Wrap either by parentheses.",
        ),
        ("vars.n % 2", "invalid operation: float64 % int"),
        ("1 % 0", "runtime error: integer divide by zero"),
        ("'a' + 1", "invalid operation: + (mismatched types string and int)"),
        ("s + i", "invalid operation: string + int"),
        ("1 == '1'", "invalid operation: == (mismatched types int and string)"),
        ("s ? 1 : 2", "interface conversion: interface {} is string, not bool"),
        ("!nope", "interface conversion: interface {} is nil, not bool"),
        ("nope && nil", "invalid operation: && (mismatched types unknown and nil)"),
        ("'a' in 'abc'", "invalid operation: in (mismatched types string and string)"),
        ("s matches '('", "error parsing regexp"),
        ("s contains 1", "invalid operation: contains (mismatched types unknown and int)"),
        ("s contains i", "interface conversion: interface {} is int, not string"),
        ("let foo = 1; let foo = 2; foo", "cannot redeclare variable foo"),
        ("nope.x", "cannot fetch x from <nil>"),
        ("nested?.x[\"y\"]", "cannot fetch y from <nil>"),
        ("list['a']", "invalid operation: int(string)"),
        ("list[5]", "index out of range: 5 (array length is 3)"),
        ("[1][0.5]", "array elements can only be selected using an integer (got float64)"),
        ("vars.n.b", "cannot fetch b from float64"),
        ("s.b", "invalid operation: int(string)"),
        ("nope()", "invalid operation: cannot call nil"),
        ("len(nil)", "invalid argument for len (type nil)"),
        ("int('5.0')", "invalid operation: int(5.0)"),
        ("int(' 5')", "invalid operation: int( 5)"),
        ("date('nope')", "invalid date nope"),
        ("duration('1d')", "time: unknown unit \"d\" in duration \"1d\""),
        ("map(list, nil)", "predicate should has one input and one output param"),
        ("map(list, #foo)", "unknown pointer #foo"),
        ("1 +", "unexpected token EOF"),
        ("$env | map(#)", "reflect: call of reflect.Value.Index on map Value"),
        ("sort([1, 'a'])", "invalid operation: int < string"),
        ("sort([1], 'up')", "invalid order up, expected asc or desc"),
        ("sortBy([1], #, 'up')", "unknown order, use asc or desc"),
        ("upper()", "not enough arguments to call upper"),
    ] {
        match eval(source, &env) {
            Err(error) if error.message().starts_with(expected) => {}
            Err(error) => wrong.push(format!("{source}: {}", error.message())),
            Ok(value) => wrong.push(format!("{source}: {}", value.to_text())),
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn errors_show_the_place_and_what_to_do() {
    let mut env = env();
    env.set_function(
        Function::new("imageFrom", |_| Ok(Value::Nil))
            .with_signature("imageFrom(repoURL[, origin])"),
    );
    for (source, expected) in [
        (
            "image.tag",
            "cannot fetch tag from <nil> (1:7)\n | image.tag\n | ......^\n\
             `image` is not defined; did you mean `imageFrom(repoURL[, origin])`?",
        ),
        (
            "1 +\n  nested.q.r",
            "cannot fetch r from <nil> (2:12)\n |   nested.q.r\n | ...........^\n`q` is not set",
        ),
        (
            "vars.a + vars.n",
            "invalid operation: string + float64 (1:8)\n | vars.a + vars.n\n | .......^",
        ),
        (
            "uper('a')",
            "invalid operation: cannot call nil (1:1)\n | uper('a')\n | ^\n\
             `uper` is not defined; did you mean `upper(...)`?",
        ),
        (
            "zzzzzz.y",
            "cannot fetch y from <nil> (1:8)\n | zzzzzz.y\n | .......^\n`zzzzzz` is not defined; \
             defined here are f, i, items, labels, list, nested, s, vars, imageFrom",
        ),
    ] {
        assert_eq!(eval(source, &env).expect_err(source).render(), expected);
    }
}

#[test]
fn criteria_have_no_environment() {
    // Place H.
    let mut env = Env::nil();
    env.set_function(Function::new("commitFrom", |args| {
        if args.first().and_then(Value::as_str) == Some("none") {
            return Ok(Value::Nil);
        }
        let tag =
            expr::Field { name: "Tag", json_name: "tag", omit_empty: true, value: "v1".into() };
        Ok(expr::Record::new("v1alpha1.DiscoveredCommit", vec![tag]).into())
    }));
    let run = |source: &str| eval(source, &env);
    let same = run("commitFrom(\"x\").Tag == commitFrom(\"y\").Tag");
    assert_eq!(same.unwrap(), Value::from(true), "expressions/11.9-1");
    let error = run("foo == nil").unwrap_err();
    assert_eq!(error.message(), "cannot fetch foo from <nil>", "expressions/11.9-2");
    assert!(run("commitFrom(\"none\").Tag").is_err(), "expressions/11.9-3");
    assert_eq!(run("\"true\"").unwrap().truth(), Some(true), "expressions/11.9-4");
    assert_eq!(run("1").unwrap().truth(), Some(true), "expressions/11.9-4");
    assert_eq!(run("\"maybe\"").unwrap().truth(), None, "expressions/11.9-5");
}

#[test]
fn git_filters() {
    // Place I.
    let mut env = Env::new();
    env.set("id", "abc");
    env.set("author", "human");
    env.set("subject", "fix");
    let date: jiff::Timestamp = "2024-06-01T00:00:00Z".parse().unwrap();
    env.set("commitDate", date);
    let truth = |source: &str| eval(source, &env).map(|v| v.truth());
    for source in [
        "!(author contains \"bot\")",
        "commitDate.Year() >= 2024",
        "commitDate > date(\"2024-01-01\")",
    ] {
        assert_eq!(truth(source).unwrap(), Some(true), "expressions/11.9-6: {source}");
    }
    assert_eq!(truth("nope").unwrap(), None, "expressions/11.9-7");
    let chosen = truth("subject contains \"x\" ? \"false\" : \"t\"");
    assert_eq!(chosen.unwrap(), Some(false));
    env.set("subject", "feature");
    let chosen = eval("subject contains \"x\" ? \"false\" : \"t\"", &env).unwrap();
    assert_eq!((chosen.as_str(), chosen.truth()), (Some("t"), Some(true)), "expressions/11.9-8");
    let error = eval("quote(id)", &env).unwrap_err();
    assert!(error.message().contains("cannot call nil"), "expressions/11.9-9");
}

#[test]
fn receivers() {
    // Place J, with functions as members of a map.
    let headers = Function::new("header", |args| {
        let name = args.first().map(Value::to_text).unwrap_or_default();
        Ok(if name.eq_ignore_ascii_case("X-Foo") { "1".into() } else { "".into() })
    });
    let body = Value::from_decoded_json(json!({"n": 5, "l": [{"t": "b"}, {"t": "a"}]}));
    let request: expr::Map =
        [("header", Value::from(headers)), ("body", body)].into_iter().collect();
    let mut env = Env::new();
    env.set("request", Value::Map(Arc::new(request)));
    env.set(
        "normalizeGit",
        Value::from(Function::new("normalizeGit", |args| match args.first() {
            Some(Value::String(url)) => Ok(url.to_lowercase().into()),
            other => Err(format!(
                "argument must be string, got {}",
                other.map_or("<nil>", Value::go_type)
            )
            .into()),
        })),
    );
    let run = |source: &str| eval(source, &env);
    let found = run("request.header(\"x-foo\") == \"1\" && request.body.n == 5");
    assert_eq!(found.unwrap(), Value::from(true), "expressions/11.9-10");
    let found = run("any(request.body.l, .t == \"a\")");
    assert_eq!(found.unwrap(), Value::from(true), "expressions/11.9-11");
    assert!(run("request.body.nope.x").is_err(), "expressions/11.9-12");
    let error = run("normalizeGit(request.body.n)").unwrap_err();
    assert_eq!(error.message(), "argument must be string, got float64", "expressions/11.9-13");
}
