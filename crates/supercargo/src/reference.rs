//! The reference of the step kinds: their pages beneath `docs/steps`, and the
//! JSON Schemas that `supercargo schema` prints.

use std::path::Path;

use promotion::reference::{doc_comment, file_of, index, page};
use promotion::step::Registry;
use serde_json::{Map, Value};

/// Where the step kinds' files are, from the top of the source tree.
const STEPS: &str = "crates/promotion/src/steps";

/// The pages of all step kinds, as (file name, Markdown), read from the
/// source tree at `top`.
///
/// # Errors
/// What is missing, for contributors: one problem a line.
pub fn pages(registry: &Registry, top: &Path) -> Result<Vec<(String, String)>, String> {
    let mut problems = Vec::new();
    let mut docs: Vec<(&str, String)> = Vec::new();
    let mut pages = Vec::new();
    for kind in registry.names() {
        let Some(step) = registry.get(kind) else { continue };
        let Some(file) = file_of(&top.join(STEPS), kind) else {
            let name = kind.replace('-', "_");
            problems.push(format!("{kind}: {STEPS} has no {name}.rs and no {name}/mod.rs"));
            continue;
        };
        let source = std::fs::read_to_string(&file).map_err(|e| format!("{kind}: {e}"))?;
        let doc = doc_comment(&source);
        let shown = file.strip_prefix(top).unwrap_or(&file).display().to_string();
        match page(step.as_ref(), &doc, &shown) {
            Ok(text) => pages.push((format!("{kind}.md"), text)),
            Err(found) => problems.extend(found),
        }
        docs.push((kind, doc));
    }
    if !problems.is_empty() {
        return Err(problems.join("\n"));
    }
    let listed = index(docs.iter().map(|(kind, doc)| (*kind, doc.as_str())));
    pages.push(("README.md".to_owned(), listed));
    Ok(pages)
}

/// The JSON Schema of a kind's config, or of all kinds by their names.
///
/// # Errors
/// A kind that does not exist, with those that do.
pub fn schema(registry: &Registry, kind: Option<&str>) -> Result<Value, String> {
    let of = |kind: &str| {
        let mut schema = registry.get(kind)?.config_schema();
        if let Value::Object(fields) = &mut schema {
            fields.insert("$schema".into(), "http://json-schema.org/draft-07/schema#".into());
            fields.insert("title".into(), format!("config of {kind}").into());
        }
        Some(schema)
    };
    match kind {
        Some(kind) => of(kind).ok_or_else(|| {
            let known: Vec<&str> = registry.names().collect();
            format!("there is no step kind {kind:?}; there are {}", known.join(", "))
        }),
        None => {
            let all = registry.names().filter_map(|kind| Some((kind.to_owned(), of(kind)?)));
            Ok(Value::Object(all.collect::<Map<_, _>>()))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wiring::steps;

    #[test]
    fn a_kind_has_a_schema() {
        let one = schema(&steps(), Some("git-push")).unwrap();
        assert_eq!(one["title"], "config of git-push");
        assert_eq!(one["properties"]["path"]["type"], "string");
        let all = schema(&steps(), None).unwrap();
        assert_eq!(all["git-push"], one);
        assert_eq!(all.as_object().map(Map::len), Some(steps().names().count()));
        let error = schema(&steps(), Some("git-psh")).unwrap_err();
        assert!(error.contains("\"git-psh\"") && error.contains("git-push"), "{error}");
    }
}
