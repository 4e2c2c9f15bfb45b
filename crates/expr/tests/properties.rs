//! Properties: a printed expression parses to itself; nothing panics; budgets
//! hold.

use expr::template::{Part, evaluate_value, split};
use expr::{Budget, Env, ErrorKind, Program};
use proptest::prelude::*;
use serde_json::json;

fn env() -> Env {
    Env::from(json!({
        "i": 1, "f": 0.5, "s": "str", "ok": true, "list": [1, 2.5, "x", null, [true]],
        "map": {"a": {"b": [1]}, "c": null},
    }))
}

/// Expressions of the grammar, sensible or not.
fn expression() -> impl Strategy<Value = String> {
    let leaf = prop_oneof![
        Just("nil".to_owned()),
        Just("true".to_owned()),
        Just("$env".to_owned()),
        prop::sample::select(vec!["i", "f", "s", "ok", "list", "map", "nope"])
            .prop_map(str::to_owned),
        any::<i32>().prop_map(|i| i.unsigned_abs().to_string()),
        (0.0..1e9).prop_map(|f: f64| format!("{f:?}")),
        "[a-z<>'\\\\ é]{0,5}".prop_map(|s| format!("{s:?}")),
    ];
    leaf.prop_recursive(5, 48, 4, |inner| {
        let operator = prop::sample::select(vec![
            "+",
            "-",
            "*",
            "/",
            "%",
            "**",
            "^",
            "==",
            "!=",
            "<",
            ">",
            "<=",
            ">=",
            "in",
            "not in",
            "matches",
            "contains",
            "startsWith",
            "endsWith",
            "&&",
            "||",
            "and",
            "or",
            "??",
            "..",
        ]);
        let function = prop::sample::select(vec![
            "len",
            "string",
            "toJSON",
            "first",
            "last",
            "flatten",
            "uniq",
            "keys",
            "values",
            "sort",
            "reverse",
            "max",
            "min",
            "mean",
            "median",
            "sum",
            "count",
            "type",
            "int",
            "float",
            "upper",
            "trim",
            "abs",
            "ceil",
            "fromJSON",
            "toPairs",
            "fromPairs",
            "date",
            "duration",
            "nope",
            "toBase64",
        ]);
        let predicate = prop::sample::select(vec![
            "all",
            "any",
            "none",
            "one",
            "filter",
            "map",
            "find",
            "findIndex",
            "findLast",
            "groupBy",
            "sortBy",
            "reduce",
            "count",
            "sum",
        ]);
        let item =
            prop_oneof![Just("#".to_owned()), Just("#index".to_owned()), Just(".a".to_owned())];
        prop_oneof![
            (inner.clone(), operator, inner.clone())
                .prop_map(|(a, op, b)| format!("({a}) {op} ({b})")),
            (inner.clone(), inner.clone(), inner.clone())
                .prop_map(|(a, b, c)| format!("{a} ? {b} : {c}")),
            (inner.clone(), inner.clone()).prop_map(|(a, b)| format!("let x = {a}; [x, {b}]")),
            (inner.clone(), inner.clone(), inner.clone())
                .prop_map(|(a, b, c)| format!("(if {a} {{ {b} }} else {{ {c} }})")),
            (inner.clone(), inner.clone()).prop_map(|(a, b)| format!("({a})[{b}]")),
            (inner.clone(), inner.clone()).prop_map(|(a, b)| format!("({a})?.a?.[{b}].c")),
            (inner.clone(), inner.clone()).prop_map(|(a, b)| format!("({a})[{b}:]")),
            (inner.clone(), inner.clone()).prop_map(|(a, b)| format!("{{a: {a}, \"b c\": {b}}}")),
            (function, inner.clone()).prop_map(|(f, a)| format!("{f}({a})")),
            (predicate, inner.clone(), item, inner.clone())
                .prop_map(|(p, a, item, b)| format!("{p}({a}, {item} == ({b}))")),
            inner.clone().prop_map(|a| format!("-({a})")),
            inner.clone().prop_map(|a| format!("not ({a})")),
            inner.prop_map(|a| format!("{a} | string()")),
        ]
    })
}

fn small() -> Budget {
    Budget { steps: 20_000, memory: 20_000, text: 1 << 20 }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1500, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_printed_expression_parses_to_itself(source in expression()) {
        if let Ok(program) = Program::compile(&source) {
            let printed = program.to_string();
            let again = Program::compile(&printed)
                .unwrap_or_else(|e| panic!("{source}\n{printed}\n{}", e.render()));
            prop_assert_eq!(again.to_string(), printed);
            let (a, b) = (program.run_within(&env(), small()), again.run_within(&env(), small()));
            match (a, b) {
                (Ok(a), Ok(b)) => prop_assert_eq!(a.to_text(), b.to_text()),
                (Err(a), Err(b)) => prop_assert_eq!(a.message(), b.message()),
                (a, b) => prop_assert!(false, "{a:?} and {b:?} of {source}"),
            }
        }
    }

    #[test]
    fn nothing_panics(source in "[-a-z0-9 #.,:;?!()\\[\\]{}'\"`\\\\|&=<>+*/%^$_é]{0,40}") {
        if let Ok(program) = Program::compile(&source)
            && let Ok(value) = program.run_within(&env(), small())
        {
            let _ = (value.to_text(), value.to_json());
        }
    }

    #[test]
    fn templates_lose_no_text(text in "([a-z ]|\\$\\{\\{|\\}\\}|\\$\\{%|%\\}|1|'){0,12}") {
        let mut literal = 0;
        for part in split(&text).flatten() {
            if let Part::Literal(part) = part {
                prop_assert!(text.contains(part));
                literal += part.len();
            }
        }
        prop_assert!(literal <= text.len());
        let _ = evaluate_value(&text, &env());
    }

    #[test]
    fn budgets_hold(n in 1_i64..2_000_000, steps in 1_u64..5_000) {
        let budget = Budget { steps, ..Budget::default() };
        let program = Program::compile(&format!("len(map(1..{n}, # + 1))")).unwrap();
        match program.run_within(&Env::new(), budget) {
            Ok(value) => prop_assert!(value.as_int() == Some(n) && n.unsigned_abs() < steps),
            Err(error) => prop_assert_eq!(error.kind(), ErrorKind::Budget),
        }
    }
}

#[test]
fn what_would_exhaust_is_stopped() {
    for source in [
        "len(1..10000000)",
        "map(1..900000, map(1..900000, #))",
        "reduce(1..60, #acc + #acc, 'aaaaaaaa')",
        "repeat(repeat('a', 100000), 100000)",
        "repeat('a', 1000001)",
        "split(repeat('a', 999999), '')[0] + join(map(1..999, repeat('x', 999999)), '')",
        "all(1..999999, all(1..999999, true == (# == #)))",
        "replace(repeat('a', 900000), '', repeat('b', 900000))",
        "reduce(1..100000, [#acc])",
        "reduce(1..100000, ({a: #acc, b: [#]}))",
        "reduce(1..100000, groupBy([#acc], 1))",
        "reduce(1..100000, fromPairs([[1, #acc]]))",
    ] {
        let error = expr::eval(source, &Env::new()).expect_err(source);
        assert_eq!(error.kind(), ErrorKind::Budget, "{source}: {error}");
    }
}

#[test]
fn long_and_deep_expressions_do_not_overflow_the_stack() {
    let run = || {
        let chain = |op: &str, n: usize| vec!["1"; n].join(op);
        assert_eq!(expr::eval(&chain("+", 4_900), &Env::new()).unwrap().as_int(), Some(4_900));
        let or = vec!["1 == 2"; 1_000].join(" || ");
        assert_eq!(expr::eval(&or, &Env::new()).unwrap().as_bool(), Some(false));
        let deep =
            |open: &str, close: &str, n: usize| format!("{}1{}", open.repeat(n), close.repeat(n));
        assert!(expr::eval(&deep("(", ")", 100), &Env::new()).is_ok());
        assert!(expr::eval(&deep("[", "]", 100), &Env::new()).is_ok());
        for (open, close) in [
            ("(", ")"),
            ("[", "]"),
            ("-", ""),
            ("len(", ")"),
            ("{a:", "}"),
            ("if true {", "} else {1}"),
            ("map([1], ", ")"),
        ] {
            let error = expr::eval(&deep(open, close, 100_000), &Env::new()).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Compile, "{open}");
        }
        assert!(expr::eval(&format!("a{}", "?.b".repeat(3_000)), &Env::new()).is_err());
        assert!(expr::eval(&format!("1{}", " | string()".repeat(3_000)), &Env::new()).is_err());
        let ternaries = "true ? 1 : ".repeat(5_000) + "2";
        assert!(expr::eval(&ternaries, &Env::new()).is_err());
        let printed = Program::compile(&chain("+", 4_900)).unwrap().to_string();
        assert!(printed.starts_with("(((("));
    };
    // As small as the threads of an async runtime.
    std::thread::Builder::new().stack_size(2 << 20).spawn(run).unwrap().join().unwrap();
}
