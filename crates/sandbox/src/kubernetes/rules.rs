//! CEL rules (`x-kubernetes-validations`) as far as the CRDs use them.

use serde_json::Value;
use std::collections::HashMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

/// One compiled rule.
#[derive(Clone)]
pub struct Rule {
    /// The rule as written.
    pub text: String,
    /// What is said when it does not hold; empty for the standard words.
    pub message: String,
    /// The machine's word for the refusal.
    pub reason: &'static str,
    /// Field below the rule's place that the refusal names.
    pub field_path: String,
    /// Whether the rule compares with the former value, so that it only holds for updates.
    pub transition: bool,
    program: Arc<cel::Program>,
}

impl std::fmt::Debug for Rule {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Rule").field(&self.text).finish()
    }
}

impl Rule {
    /// Reads one entry of `x-kubernetes-validations`.
    ///
    /// # Errors
    /// The compiler's message.
    pub fn parse(raw: &Value) -> Result<Self, String> {
        let text = |key: &str| raw.get(key).and_then(Value::as_str).unwrap_or_default().to_owned();
        let rule = text("rule");
        // The parser is not ours: whatever it does with a rule, the API stays up.
        let compiled = catch_unwind(|| cel::Program::compile(&rule))
            .map_err(|_| "compilation failed: the rule cannot be read".to_owned())?
            .map_err(|error| format!("compilation failed: {error}"))?;
        Ok(Self {
            transition: mentions(&rule, "oldSelf"),
            message: text("message"),
            reason: match text("reason").as_str() {
                "FieldValueForbidden" => "FieldValueForbidden",
                "FieldValueRequired" => "FieldValueRequired",
                "FieldValueDuplicate" => "FieldValueDuplicate",
                _ => "FieldValueInvalid",
            },
            field_path: text("fieldPath"),
            program: Arc::new(compiled),
            text: rule,
        })
    }

    /// Whether the rule holds for `value`; `Err` tells what went wrong in evaluating it.
    ///
    /// # Errors
    /// The evaluator's message, e.g. for a key that is not there.
    pub fn holds(&self, value: &Value, old: Option<&Value>) -> Result<bool, String> {
        let run = || {
            let mut context = cel::Context::default();
            context.add_variable_from_value("self", convert(value));
            if let Some(old) = old {
                context.add_variable_from_value("oldSelf", convert(old));
            }
            self.program.execute(&context)
        };
        match catch_unwind(AssertUnwindSafe(run)) {
            Ok(Ok(cel::Value::Bool(holds))) => Ok(holds),
            Ok(Ok(other)) => {
                Err(format!("evaluated to {:?} instead of a boolean", other.type_of()))
            }
            Ok(Err(error)) => Err(error.to_string()),
            Err(_) => Err("evaluation failed".to_owned()),
        }
    }

    /// What is said when the rule does not hold.
    pub fn says(&self) -> String {
        if self.message.is_empty() {
            format!("failed rule: {}", self.text)
        } else {
            self.message.clone()
        }
    }
}

fn mentions(rule: &str, word: &str) -> bool {
    rule.split(|letter: char| !letter.is_ascii_alphanumeric() && letter != '_')
        .any(|found| found == word)
}

fn convert(value: &Value) -> cel::Value {
    match value {
        Value::Null => cel::Value::Null,
        Value::Bool(flag) => cel::Value::Bool(*flag),
        Value::Number(number) => match number.as_i64() {
            Some(whole) => cel::Value::Int(whole),
            None => cel::Value::Float(number.as_f64().unwrap_or_default()),
        },
        Value::String(text) => cel::Value::String(Arc::new(text.clone())),
        Value::Array(items) => cel::Value::List(Arc::new(items.iter().map(convert).collect())),
        Value::Object(fields) => {
            let map: HashMap<String, cel::Value> =
                fields.iter().map(|(key, value)| (key.clone(), convert(value))).collect();
            cel::Value::from(map)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    /// Every rule that the CRDs hold, with a value that keeps it and one that breaks it.
    #[test]
    fn the_rules_of_the_crds_hold_and_break() {
        for (rule, good, bad) in [
            (
                "has(self.uses) && !has(self.task)",
                json!({"uses": "x"}),
                json!({"uses": "x", "task": {"name": "t"}}),
            ),
            ("has(self.uses) && !has(self.task)", json!({"uses": "x"}), json!({})),
            ("(has(self.uses) ? !has(self.task) : has(self.task))", json!({"task": {}}), json!({})),
            (
                "(has(self.uses) ? !has(self.task) : has(self.task))",
                json!({"uses": ""}),
                json!({"uses": "x", "task": {}}),
            ),
            (
                "!has(self.task) || !has(self.continueOnError)",
                json!({"task": {}}),
                json!({"task": {}, "continueOnError": false}),
            ),
            (
                "!has(self.task) || !has(self.retry)",
                json!({"retry": {}}),
                json!({"task": {}, "retry": {}}),
            ),
            (
                "has(self.freight) != has(self.origin)",
                json!({"freight": "f"}),
                json!({"freight": "f", "origin": {}}),
            ),
            ("has(self.freight) != has(self.origin)", json!({"origin": {}}), json!({})),
            (
                "has(self.stage) ? !has(self.stageSelector) : has(self.stageSelector)",
                json!({"stage": "s"}),
                json!({"stage": "s", "stageSelector": {}}),
            ),
            (
                "self.size() == 0 || self[0] == 'Failed' || self[0] == 'Errored'",
                json!([]),
                json!(["Other"]),
            ),
            (
                "self.size() <= 1 || self[1] == 'Failed' || self[1] == 'Error'",
                json!(["Failed", "Error"]),
                json!(["a", "b"]),
            ),
            ("self.all(x, x.size() > 1)", json!(["ab"]), json!(["a"])),
            ("self.items.exists(x, x > 2)", json!({"items": [1, 3]}), json!({"items": [1]})),
        ] {
            let compiled = Rule::parse(&json!({"rule": rule})).unwrap();
            assert_eq!(compiled.holds(&good, None), Ok(true), "{rule} {good}");
            assert_eq!(compiled.holds(&bad, None), Ok(false), "{rule} {bad}");
            assert!(!compiled.transition);
        }
        let same =
            Rule::parse(&json!({"rule": "self == oldSelf", "message": "immutable"})).unwrap();
        assert!(same.transition);
        assert_eq!(same.holds(&json!("a"), Some(&json!("a"))), Ok(true));
        assert_eq!(same.holds(&json!("a"), Some(&json!("b"))), Ok(false));
        assert!(Rule::parse(&json!({"rule": "self =="})).is_err());
        assert!(Rule::parse(&json!({"rule": "self.x"})).unwrap().holds(&json!({}), None).is_err());
    }
}
