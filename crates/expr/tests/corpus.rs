//! Agreement with the reference's answers, where they are at hand.

use std::path::Path;

use expr::{Env, ErrorKind, Program, Value};
use serde_json::Value as Json;

/// Rows on which this implementation differs on purpose; `docs/differences.md`
/// says why.
const DIFFERENT: [&str; 3] = [
    // The order of a map's entries is unspecified: here that of the keys.
    "last(toPairs($env))",
    "toPairs($env) | groupBy(i)",
    // The reference leaves a value too many on its stack.
    "[str, list | findLastIndex(true)]",
];

#[test]
fn agrees_with_the_reference() {
    let folder = Path::new("../../../shared/data/expr");
    let Ok(corpus) = std::fs::read_to_string(folder.join("corpus.jsonl")) else {
        eprintln!("skipped: no corpus in {}", folder.display());
        return;
    };
    let env = std::fs::read_to_string(folder.join("env.json")).unwrap();
    let env = Env::from(serde_json::from_str::<Json>(&env).unwrap());
    let mut differences = Vec::new();
    let mut total = 0;
    for line in corpus.lines() {
        let row: Json = serde_json::from_str(line).unwrap();
        let source = row["expr"].as_str().unwrap();
        total += 1;
        let found = outcome(source, &env);
        let same = match row.get("error") {
            Some(kind) => found.as_ref().err().map(String::as_str) == kind.as_str(),
            None => found.as_ref().is_ok_and(|found| equal(found, &row["json"])),
        };
        if !same && !DIFFERENT.contains(&source) {
            differences.push(format!("{line}\n  found {found:?}"));
        }
    }
    assert!(total > 20_000, "only {total} rows");
    assert!(
        differences.is_empty(),
        "{} differences:\n{}",
        differences.len(),
        differences.join("\n")
    );
}

fn outcome(source: &str, env: &Env) -> Result<Json, String> {
    let value = Program::compile(source).and_then(|program| program.run(env));
    let value = value.map_err(|error| match error.kind() {
        ErrorKind::Compile => "compile".to_owned(),
        _ => "run".to_owned(),
    })?;
    json(&value).ok_or_else(|| "json".to_owned())
}

/// The value as the corpus records it: maps with keys of any type by the text
/// of the key, where all are texts or whole numbers.
fn json(value: &Value) -> Option<Json> {
    match value {
        Value::Table(table) => {
            let entry = |(key, value): (&Value, &Value)| match key {
                Value::String(_) | Value::Int(_) | Value::Uint(_) => {
                    Some((key.to_text(), json(value)?))
                }
                _ => None,
            };
            table.iter().map(entry).collect::<Option<serde_json::Map<_, _>>>().map(Json::Object)
        }
        Value::Array(items) => items.iter().map(json).collect::<Option<Vec<_>>>().map(Json::Array),
        Value::Map(map) => map
            .iter()
            .map(|(k, v)| Some((k.to_owned(), json(v)?)))
            .collect::<Option<serde_json::Map<_, _>>>()
            .map(Json::Object),
        other => other.try_to_json().ok(),
    }
}

fn equal(a: &Json, b: &Json) -> bool {
    match (a, b) {
        (Json::Number(a), Json::Number(b)) => a.as_f64() == b.as_f64(),
        (Json::Array(a), Json::Array(b)) => {
            a.len() == b.len() && a.iter().zip(b).all(|(a, b)| equal(a, b))
        }
        (Json::Object(a), Json::Object(b)) => {
            a.len() == b.len() && a.iter().all(|(k, v)| b.get(k).is_some_and(|w| equal(v, w)))
        }
        _ => a == b,
    }
}
