//! Measures agreement with the reference: `agree <folder>` reads
//! `corpus.jsonl` and `env.json` there, evaluates every expression and
//! compares results and kinds of error.

use std::collections::BTreeMap;
use std::path::Path;

use expr::{Env, ErrorKind, Program, Value};
use serde_json::Value as Json;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let folder = std::env::args().nth(1).ok_or("usage: agree <folder>")?;
    let folder = Path::new(&folder);
    let env: Json = serde_json::from_str(&std::fs::read_to_string(folder.join("env.json"))?)?;
    let env = Env::from(env);
    let corpus = std::fs::read_to_string(folder.join("corpus.jsonl"))?;
    std::panic::set_hook(Box::new(|_| {}));
    let (mut agree, mut total, mut panics) = (0, 0, 0);
    let mut causes: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for line in corpus.lines().filter(|line| !line.is_empty()) {
        let row: Json = serde_json::from_str(line)?;
        let source = row["expr"].as_str().ok_or("a row without expr")?;
        total += 1;
        let found = match std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            outcome(source, &env)
        })) {
            Ok(found) => found,
            Err(_) => {
                panics += 1;
                Err("panic".to_owned())
            }
        };
        let expected = match row.get("error") {
            Some(kind) => Err(kind.as_str().unwrap_or_default().to_owned()),
            None => Ok(row["json"].clone()),
        };
        let (cause, same) = compare(&expected, &found);
        if same {
            agree += 1;
        } else {
            let shown = format!(
                "{source}\n      expected {}\n      found    {}",
                show(&expected),
                show(&found)
            );
            causes.entry(cause).or_default().push(shown);
        }
    }
    for (cause, rows) in &causes {
        println!("{} x {cause}", rows.len());
        for row in rows.iter().take(400) {
            println!("    {row}");
        }
    }
    println!("agree {agree} of {total}, {panics} panics");
    Ok(())
}

fn show(outcome: &Result<Json, String>) -> String {
    let text = match outcome {
        Ok(json) => json.to_string(),
        Err(error) => format!("error {error}"),
    };
    text.chars().take(200).collect()
}

type Outcome = Result<Json, String>;

fn outcome(source: &str, env: &Env) -> Outcome {
    let value = Program::compile(source).and_then(|program| program.run(env));
    match value {
        Ok(value) => json(&value).ok_or_else(|| "json".to_owned()),
        Err(error) => Err(match error.kind() {
            ErrorKind::Compile => format!("compile: {error}"),
            _ => format!("run: {error}"),
        }),
    }
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
        Value::Map(map) if !map.is_nil() => map
            .iter()
            .map(|(k, v)| Some((k.to_owned(), json(v)?)))
            .collect::<Option<serde_json::Map<_, _>>>()
            .map(Json::Object),
        other => other.try_to_json().ok(),
    }
}

fn compare(expected: &Outcome, found: &Outcome) -> (String, bool) {
    match (expected, found) {
        (Ok(a), Ok(b)) => ("another result".to_owned(), equal(a, b)),
        (Err(a), Err(b)) => {
            let kind = b.split(':').next().unwrap_or_default();
            (format!("error {kind} instead of error {a}"), a == kind)
        }
        (Ok(_), Err(b)) => (format!("error where there is a result: {}", cause(b)), false),
        (Err(a), Ok(_)) => (format!("a result where there is an error {a}"), false),
    }
}

fn cause(message: &str) -> &str {
    message.split('(').next().unwrap_or_default()
}

/// Numbers are equal when they are the same float.
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
