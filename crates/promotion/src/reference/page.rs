//! Writes the page of a step kind, and the list of them all.

use std::fmt::Write as _;

use super::fields::{Field, fields};
use crate::step::{Effect, Step};

/// A row of the config table in a doc comment.
struct Row {
    path: String,
    default: String,
    meaning: String,
}

/// The page of a step kind from its doc comment, as Markdown; `file` is where
/// the comment stands.
///
/// # Errors
/// What the comment lacks, one problem a line: a field of the schema without
/// a row, a row without a field, no example.
pub fn page(step: &dyn Step, doc: &str, file: &str) -> Result<String, Vec<String>> {
    let kind = step.kind();
    let mut problems = Vec::new();
    let (before, rows, after) = split_at_table(doc);
    let schema_fields = fields(&step.config_schema());
    for row in &rows {
        if !schema_fields.iter().any(|f| f.path == without_item(&row.path)) {
            problems.push(format!("`{}` is in the table but not in the schema", row.path));
        }
    }
    for field in &schema_fields {
        let told = rows.iter().any(|row| covers(&row.path, &field.path));
        if !told && !field.is_container {
            problems.push(format!("`{}` is in the schema but not in the table", field.path));
        }
    }
    if summary(kind, doc).is_none() {
        problems.push(format!("the first line does not begin with `{kind}`: and what it does"));
    }
    if examples(doc).is_empty() {
        problems.push("there is no example, a block that begins with ```yaml".to_owned());
    }
    if !problems.is_empty() {
        return Err(problems.into_iter().map(|p| format!("{kind} ({file}): {p}")).collect());
    }

    let mut out = format!("<!-- Written by `make docs` from {file}: change it there. -->\n\n");
    let _ = writeln!(out, "# {kind}\n");
    let _ = writeln!(out, "{}", demoted(&without_kind(kind, &before)).trim_end());
    if !schema_fields.is_empty() {
        if !before.contains("# Config") {
            out.push_str("\n## Config\n");
        }
        out.push('\n');
        out.push_str(&table(&schema_fields, &rows));
    }
    let rest = demoted(&after);
    if !rest.trim().is_empty() {
        let _ = writeln!(out, "\n{}", rest.trim());
    }
    let _ = write!(out, "\n## How it runs\n\n{}", behaviour(step));
    Ok(out)
}

/// The list of all step kinds: name, what it does.
pub fn index<'a>(steps: impl Iterator<Item = (&'a str, &'a str)>) -> String {
    let mut out = String::from(
        "<!-- Written by `make docs`: each page comes from the step's file in \
         crates/promotion/src/steps. -->\n\n# Steps\n\n\
         What a Promotion may do, one page a kind. `supercargo schema <kind>` prints the JSON \
         Schema that a\nkind's config is checked against, for editors.\n\n| kind | |\n|---|---|\n",
    );
    for (kind, doc) in steps {
        let what = summary(kind, doc).unwrap_or_default();
        let _ = writeln!(out, "| [`{kind}`]({kind}.md) | {what} |");
    }
    out
}

/// The YAML blocks of a doc comment.
pub fn examples(doc: &str) -> Vec<String> {
    let mut found = Vec::new();
    let mut open: Option<String> = None;
    for line in doc.lines() {
        match (&mut open, line.trim_end()) {
            (None, "```yaml") => open = Some(String::new()),
            (Some(_), "```") => found.extend(open.take()),
            (Some(block), line) => {
                block.push_str(line);
                block.push('\n');
            }
            (None, _) => {}
        }
    }
    found
}

/// What the kind does: the first sentence of its comment.
fn summary(kind: &str, doc: &str) -> Option<String> {
    let paragraph = doc.split("\n\n").next()?.replace('\n', " ");
    let text = paragraph.trim().strip_prefix(&format!("`{kind}`:"))?.trim();
    let end = text.find(". ").map_or(text.len(), |at| at + 1);
    let mut text = text.get(..end).unwrap_or(text).to_owned();
    if let Some(first) = text.get_mut(..1) {
        first.make_ascii_uppercase();
    }
    Some(text)
}

/// The comment's beginning as the page's: without the kind's name.
fn without_kind(kind: &str, doc: &str) -> String {
    let text = doc.trim_start();
    let mut text = text.strip_prefix(&format!("`{kind}`:")).unwrap_or(text).trim_start().to_owned();
    if let Some(first) = text.get_mut(..1) {
        first.make_ascii_uppercase();
    }
    text
}

/// The text with each heading one deeper, and without the line that tells
/// contributors where the rules come from.
fn demoted(text: &str) -> String {
    let mut out = String::new();
    let mut in_block = false;
    for line in text.lines() {
        in_block ^= line.starts_with("```");
        if !in_block && line.starts_with("Source of the rules:") {
            continue;
        }
        if !in_block && line.starts_with('#') {
            out.push('#');
        }
        out.push_str(line);
        out.push('\n');
    }
    out
}

/// What stands before the config table, its rows, and what stands after it.
fn split_at_table(doc: &str) -> (String, Vec<Row>, String) {
    let (mut before, mut rows, mut after) = (String::new(), Vec::new(), String::new());
    let (mut in_table, mut done, mut in_block) = (false, false, false);
    let mut middle_is_default = true;
    for line in doc.lines() {
        in_block ^= line.starts_with("```");
        let cells = cells(line);
        let is_head = !done
            && !in_block
            && matches!(cells.first().map(String::as_str), Some("config" | "field"));
        if is_head {
            in_table = true;
            done = true;
            middle_is_default = cells.get(1).is_none_or(|c| c.is_empty() || c == "default");
            continue;
        }
        if in_table && line.starts_with('|') {
            let (Some(paths), Some(meaning)) = (cells.first(), cells.last()) else { continue };
            let default = match (cells.len(), cells.get(1)) {
                (3.., Some(middle)) if middle_is_default => middle.clone(),
                _ => String::new(),
            };
            for path in paths_of(paths) {
                rows.push(Row { path, default: default.clone(), meaning: meaning.clone() });
            }
            continue;
        }
        in_table = false;
        let part = if done { &mut after } else { &mut before };
        part.push_str(line);
        part.push('\n');
    }
    (before, rows, after)
}

/// The cells of a table's line; none where it is none, or only divides.
fn cells(line: &str) -> Vec<String> {
    let Some(inner) = line.strip_prefix('|').and_then(|l| l.trim_end().strip_suffix('|')) else {
        return Vec::new();
    };
    if inner.chars().all(|c| matches!(c, '-' | '|' | ':' | ' ')) {
        return Vec::new();
    }
    let mut out = vec![String::new()];
    let mut escaped = false;
    for c in inner.chars() {
        match (c, out.last_mut()) {
            ('|', _) if !escaped => out.push(String::new()),
            (c, Some(cell)) => cell.push(c),
            _ => {}
        }
        escaped = c == '\\';
    }
    out.into_iter().map(|cell| cell.trim().to_owned()).collect()
}

/// The fields that a cell names: what stands between backticks. One that
/// begins with a dot lies beside the one before it.
fn paths_of(cell: &str) -> Vec<String> {
    let mut paths: Vec<String> = Vec::new();
    for name in cell.split('`').skip(1).step_by(2) {
        let beside = paths.last().and_then(|p| p.rsplit_once('.')).map(|(parent, _)| parent);
        let path = match (name.strip_prefix('.'), beside) {
            (Some(last), Some(parent)) => format!("{parent}.{last}"),
            _ => name.to_owned(),
        };
        paths.push(path);
    }
    paths
}

fn without_item(path: &str) -> &str {
    path.strip_suffix("[]").unwrap_or(path)
}

/// Whether a row for `row` also tells of `field`: it is the field, or what
/// holds it.
fn covers(row: &str, field: &str) -> bool {
    let row = without_item(row);
    field
        .strip_prefix(row)
        .is_some_and(|rest| rest.is_empty() || rest.starts_with('.') || rest.starts_with("[]"))
}

/// The fields in the order of the rows, those of one row in the schema's.
fn table(fields: &[Field], rows: &[Row]) -> String {
    let place = |field: &Field| {
        let own = rows.iter().position(|row| covers(&row.path, &field.path));
        let below = || rows.iter().position(|row| covers(&field.path, without_item(&row.path)));
        own.or_else(below).unwrap_or(usize::MAX)
    };
    let mut sorted: Vec<(usize, usize, &Field)> =
        fields.iter().enumerate().map(|(i, f)| (place(f), i, f)).collect();
    sorted.sort_by_key(|(place, i, field)| (*place, !field.is_container, *i));
    let mut out = String::from("| field | type | default | meaning |\n|---|---|---|---|\n");
    for (_, _, field) in sorted {
        let row = rows.iter().find(|row| without_item(&row.path) == field.path);
        let told = row.map(|row| row.default.clone()).filter(|d| !d.is_empty());
        let default = if field.required {
            "required".to_owned()
        } else {
            let from_schema = field.default.as_ref().map(|d| format!("`{d}`"));
            told.or(from_schema).unwrap_or_default()
        };
        let meaning = row.map(|row| row.meaning.as_str()).unwrap_or_default();
        let _ = writeln!(out, "| `{}` | {} | {default} | {meaning} |", field.path, field.kind);
    }
    out
}

/// What holds for the kind beside its config.
fn behaviour(step: &dyn Step) -> String {
    let effect = match step.effect() {
        Effect::Reads => "It changes nothing.",
        Effect::WorkingDirectory => {
            "It changes the Promotion's working directory alone. Where that directory is lost, the \
             step is\nreplayed, to the same bytes."
        }
        Effect::Outside => {
            "It acts outside of the controller: what it is about to do is written on the Promotion \
             first, and after\na restart it recognises what it did."
        }
    };
    let limit = match step.default_timeout() {
        Some(timeout) => format!(
            "It may take {}, unless `retry.timeout` says otherwise",
            api::GoDuration::from(timeout)
        ),
        None => "It has no time limit, unless `retry.timeout` sets one".to_owned(),
    };
    let threshold = match step.default_error_threshold().max(1) {
        1 => "the first error that is not a passing fault ends it".to_owned(),
        n => format!("{n} errors that are not passing faults end it"),
    };
    format!("{effect}\n\n{limit}; {threshold}, unless `retry.errorThreshold` is higher.\n")
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::error::StepError;
    use crate::step::{StepContext, StepResult};
    use crate::world::World;

    struct Sample(Value);

    #[async_trait::async_trait]
    impl Step for Sample {
        fn kind(&self) -> &'static str {
            "sample"
        }
        fn effect(&self) -> Effect {
            Effect::Reads
        }
        fn config_schema(&self) -> Value {
            self.0.clone()
        }
        async fn run(&self, _: &StepContext, _: &World) -> Result<StepResult, StepError> {
            Ok(StepResult::succeeded())
        }
    }

    fn schema() -> Value {
        json!({"type": "object", "required": ["path"], "properties": {
            "path": {"type": "string"},
            "force": {"type": "boolean"},
            "items": {"type": "array", "items": {"type": "object", "required": ["name"],
                "properties": {"name": {"type": "string"}, "value": {"type": "integer"}}}},
        }})
    }

    const DOC: &str = "`sample`: does a thing. And more\nof it.\n\n\
        | config | | |\n|---|---|---|\n| `path` | required | the file, a\\|b |\n\
        | `items[].name`, `.value` | | of an item |\n| `force` | `false` | whether |\n\n\
        # Output\n\nNothing.\n\n# Example\n\n```yaml\n# a comment\n- uses: sample\n```\n\n\
        Source of the rules: nowhere.\n";

    #[test]
    fn the_table_is_the_schema_with_the_comments_words() {
        let page = page(&Sample(schema()), DOC, "sample.rs").unwrap();
        for part in [
            "# sample\n\nDoes a thing. And more\nof it.\n\n## Config\n\n| field |",
            "| `path` | string | required | the file, a\\|b |\n\
             | `items` | list of objects |  |  |\n\
             | `items[].name` | string | required | of an item |\n\
             | `items[].value` | integer |  | of an item |\n\
             | `force` | boolean | `false` | whether |\n",
            "## Output\n\nNothing.\n\n## Example\n\n```yaml\n# a comment\n- uses: sample\n```\n\n## How",
        ] {
            assert!(page.contains(part), "{part}\nis not in\n{page}");
        }
        assert!(!page.contains("Source of the rules"));
        let index = index([("sample", DOC)].into_iter());
        assert!(index.contains("| [`sample`](sample.md) | Does a thing. |"), "{index}");
    }

    #[test]
    fn what_the_comment_lacks_is_said() {
        let mut more = schema();
        more["properties"]["extra"] = json!({"type": "string"});
        more["properties"].as_object_mut().unwrap().remove("force");
        let problems = page(&Sample(more), "`other`: x.\n\n| field | meaning |\n|---|---|\n| `path` | x |\n| `items` | x |\n| `force` | y |\n", "f.rs").unwrap_err();
        let said = problems.join("\n");
        for part in [
            "sample (f.rs): `force` is in the table but not in the schema",
            "`extra` is in the schema but not in the table",
            "the first line does not begin with `sample`:",
            "there is no example",
        ] {
            assert!(said.contains(part), "{part}: {said}");
        }
        assert!(!said.contains("items"), "a row for the list covers its items: {said}");
    }
}
