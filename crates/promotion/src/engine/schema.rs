//! Validation of a step's config against its JSON Schema, in the words users
//! know (`steps-files` 0.4, `steps-git` 1: `<context>: <text>`).

use jsonschema::error::{TypeKind, ValidationErrorKind};
use jsonschema::{ValidationError, Validator};
use serde_json::Value;

/// How many problems one message lists.
const MOST: usize = 20;

/// Compiles a schema once for many validations.
///
/// # Errors
/// The schema itself is wrong, which is a defect of the step.
pub fn compile(schema: &Value) -> Result<Validator, String> {
    jsonschema::options()
        .with_draft(jsonschema::Draft::Draft7)
        .should_validate_formats(true)
        .with_format("uri", api::urls::is_uri)
        .with_format("email", is_address)
        .build(schema)
        .map_err(|e| format!("the step's own config schema is wrong: {e}"))
}

/// Whether Go's mail package reads the text as one address: `a@b`, or
/// `Name <a@b>` (`steps-git` 2 rule 8).
fn is_address(text: &str) -> bool {
    let address = match text.trim().strip_suffix('>').and_then(|t| t.rsplit_once('<')) {
        Some((_, address)) => address,
        None => text.trim(),
    };
    let plain = |part: &str| {
        !part.is_empty()
            && !part.chars().any(|c| c.is_whitespace() || c.is_control() || "<>(),;:".contains(c))
    };
    address
        .rsplit_once('@')
        .is_some_and(|(local, domain)| plain(local) && !local.contains('@') && plain(domain))
}

/// What is wrong with `config`, one line a problem, in a steady order; empty
/// when it fits.
pub fn problems(validator: &Validator, config: &Value) -> Vec<String> {
    let mut out = Vec::new();
    for error in validator.iter_errors(config) {
        describe(&error, &mut out);
    }
    let mut seen = std::collections::HashSet::new();
    out.retain(|line| seen.insert(line.clone()));
    out.truncate(MOST);
    out
}

/// `(root)`, or the dotted path of the offending value: `updates.0.key`.
fn field(error: &ValidationError<'_>) -> String {
    let pointer = error.instance_path().as_str();
    let path: Vec<String> =
        pointer.split('/').skip(1).map(|part| part.replace("~1", "/").replace("~0", "~")).collect();
    if path.is_empty() { "(root)".to_owned() } else { path.join(".") }
}

fn describe(error: &ValidationError<'_>, out: &mut Vec<String>) {
    use ValidationErrorKind as K;
    let field = field(error);
    let mut say = |text: String| out.push(format!("{field}: {text}"));
    match error.kind() {
        K::Required { property } => {
            say(format!("{} is required", property.as_str().unwrap_or_default()));
        }
        K::AdditionalProperties { unexpected } | K::UnevaluatedProperties { unexpected } => {
            for property in unexpected {
                say(format!("Additional property {property} is not allowed"));
            }
        }
        K::AdditionalItems { .. } => say("No additional items allowed on array".to_owned()),
        K::Type { kind } => {
            let expected = match kind {
                TypeKind::Single(one) => one.to_string(),
                TypeKind::Multiple(many) => {
                    let names: Vec<String> = many.iter().map(|t| t.to_string()).collect();
                    format!("[{}]", names.join(","))
                }
            };
            say(format!("Invalid type. Expected: {expected}, given: {}", given(error.instance())));
        }
        K::MinLength { limit } => {
            say(format!("String length must be greater than or equal to {limit}"));
        }
        K::MaxLength { limit } => {
            say(format!("String length must be less than or equal to {limit}"));
        }
        K::MinItems { limit } => say(format!("Array must have at least {limit} items")),
        K::MaxItems { limit } => say(format!("Array must have at most {limit} items")),
        K::MinProperties { limit } => say(format!("Must have at least {limit} properties")),
        K::MaxProperties { limit } => say(format!("Must have at most {limit} properties")),
        K::Minimum { limit } => {
            say(format!("Must be greater than or equal to {}", number(limit)));
        }
        K::Maximum { limit } => say(format!("Must be less than or equal to {}", number(limit))),
        K::ExclusiveMinimum { limit } => say(format!("Must be greater than {}", number(limit))),
        K::ExclusiveMaximum { limit } => say(format!("Must be less than {}", number(limit))),
        K::Enum { options } => {
            let allowed: Vec<String> = options
                .as_array()
                .map(|all| all.iter().map(Value::to_string).collect())
                .unwrap_or_default();
            say(format!("{field} must be one of the following: {}", allowed.join(", ")));
        }
        K::Constant { expected_value } => say(format!("{field} does not match: {expected_value}")),
        K::Pattern { pattern } => say(format!("Does not match pattern '{pattern}'")),
        K::Format { format } => say(format!("Does not match format '{format}'")),
        K::UniqueItems => say("array items must be unique".to_owned()),
        K::Contains => say("At least one of the items must match".to_owned()),
        K::Not { .. } => say("Must not validate the schema (not)".to_owned()),
        K::AnyOf { context } => {
            say("Must validate at least one schema (anyOf)".to_owned());
            nearest(context, out);
        }
        K::OneOfNotValid { context } => {
            say("Must validate one and only one schema (oneOf)".to_owned());
            nearest(context, out);
        }
        K::OneOfMultipleValid { .. } => {
            say("Must validate one and only one schema (oneOf)".to_owned());
        }
        _ => say(error.to_string()),
    }
}

/// The problems of the alternative that came nearest to fitting.
fn nearest(alternatives: &[Vec<ValidationError<'static>>], out: &mut Vec<String>) {
    if let Some(best) = alternatives.iter().min_by_key(|errors| errors.len()) {
        for error in best {
            describe(error, out);
        }
    }
}

fn given(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "boolean",
        Value::Number(n) if n.is_f64() => "number",
        Value::Number(_) => "integer",
        Value::String(_) => "string",
        Value::Array(_) => "array",
        Value::Object(_) => "object",
    }
}

/// A limit as the reference prints it: scientific from a million on.
fn number(limit: &Value) -> String {
    let Some(value) = limit.as_f64() else { return limit.to_string() };
    if value != 0.0 && !(1e-4..1e6).contains(&value.abs()) {
        let text = format!("{value:e}");
        let (mantissa, exponent) = text.split_once('e').unwrap_or((&text, "0"));
        let (sign, digits) = match exponent.strip_prefix('-') {
            Some(digits) => ('-', digits),
            None => ('+', exponent),
        };
        return format!("{mantissa}e{sign}{digits:0>2}");
    }
    value.to_string()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn check(schema: &Value, config: &Value) -> Vec<String> {
        problems(&compile(schema).unwrap(), config)
    }

    #[test]
    fn says_what_users_know() {
        let schema = json!({
            "type": "object", "additionalProperties": false, "required": ["path"],
            "properties": {
                "path": {"type": "string", "minLength": 1},
                "n": {"type": "integer", "minimum": 0, "maximum": 2147483647u32},
                "updates": {"type": "array", "minItems": 1, "items": {
                    "type": "object", "required": ["key"],
                    "properties": {"key": {"type": "string"}, "kind": {"enum": ["Stage", "Freight"]}}}},
            },
        });
        for (config, want) in [
            (json!({}), vec!["(root): path is required"]),
            (json!(null), vec!["(root): Invalid type. Expected: object, given: null"]),
            (json!({"path": ""}), vec!["path: String length must be greater than or equal to 1"]),
            (json!({"path": "a", "x": 1}), vec!["(root): Additional property x is not allowed"]),
            (json!({"path": 1}), vec!["path: Invalid type. Expected: string, given: integer"]),
            (json!({"path": "a", "n": -1}), vec!["n: Must be greater than or equal to 0"]),
            (
                json!({"path": "a", "n": 3e9 as u64}),
                vec!["n: Must be less than or equal to 2.147483647e+09"],
            ),
            (
                json!({"path": "a", "updates": []}),
                vec!["updates: Array must have at least 1 items"],
            ),
            (
                json!({"path": "a", "updates": [{"kind": "x"}]}),
                vec![
                    "updates.0.kind: updates.0.kind must be one of the following: \"Stage\", \"Freight\"",
                    "updates.0: key is required",
                ],
            ),
        ] {
            let mut got = check(&schema, &config);
            got.sort();
            assert_eq!(got, want, "{config}");
        }
    }

    #[test]
    fn formats_are_those_of_go() {
        let schema = json!({"type": "object", "properties": {
            "url": {"type": "string", "format": "uri"},
            "email": {"type": "string", "format": "email"},
        }});
        for (url, fits) in [
            ("https://github.com/a/b.git", true),
            ("ssh://git@github.com/a/b.git", true),
            ("foo:bar", true),
            ("git@github.com:a/b.git", false),
            ("github.com/a/b", false),
            ("https://h\\\\x/a", false),
            ("", false),
        ] {
            let want: &[&str] = if fits { &[] } else { &["url: Does not match format 'uri'"] };
            assert_eq!(check(&schema, &json!({"url": url})), want, "{url}");
        }
        for (email, fits) in [
            ("a@b", true),
            ("Name <a@b>", true),
            ("<a@b>", true),
            ("", false),
            ("a", false),
            ("a b@c", false),
        ] {
            let want: &[&str] = if fits { &[] } else { &["email: Does not match format 'email'"] };
            assert_eq!(check(&schema, &json!({"email": email})), want, "{email}");
        }
    }

    #[test]
    fn a_failed_choice_lists_the_nearest_alternative() {
        let schema = json!({"type": "object", "oneOf": [
            {"required": ["path"], "not": {"required": ["paths"]}},
            {"required": ["paths"], "not": {"required": ["path"]}},
        ]});
        assert_eq!(
            check(&schema, &json!({})),
            ["(root): Must validate one and only one schema (oneOf)", "(root): path is required"]
        );
        let both = check(&schema, &json!({"path": "a", "paths": ["b"]}));
        assert_eq!(both.first().unwrap(), "(root): Must validate one and only one schema (oneOf)");
    }
}
