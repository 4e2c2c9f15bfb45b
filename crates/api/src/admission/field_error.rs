//! What is wrong with a field, in the words of Kubernetes (`admission` 1.5).

use std::fmt;

use serde_json::Value;

/// The kind of a [`FieldError`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FieldErrorKind {
    /// A value that does not fit.
    Invalid,
    /// A field that must not be there.
    Forbidden,
    /// A field that must be there.
    Required,
    /// A value that is there already.
    Duplicate,
    /// A value that is not one of those listed.
    NotSupported,
}

impl FieldErrorKind {
    /// The `reason` of the cause in a Status.
    pub fn reason(self) -> &'static str {
        match self {
            Self::Invalid => "FieldValueInvalid",
            Self::Forbidden => "FieldValueForbidden",
            Self::Required => "FieldValueRequired",
            Self::Duplicate => "FieldValueDuplicate",
            Self::NotSupported => "FieldValueNotSupported",
        }
    }

    fn words(self) -> &'static str {
        match self {
            Self::Invalid => "Invalid value",
            Self::Forbidden => "Forbidden",
            Self::Required => "Required value",
            Self::Duplicate => "Duplicate value",
            Self::NotSupported => "Unsupported value",
        }
    }
}

/// What is wrong with a field.
#[derive(Clone, Debug, PartialEq)]
pub struct FieldError {
    /// Of which kind it is.
    pub kind: FieldErrorKind,
    /// The field's path, as `spec.steps[0].as`.
    pub field: String,
    /// The value that is there; null where there is none to show.
    pub value: Value,
    /// What is wrong with it.
    pub detail: String,
}

impl FieldError {
    fn new(kind: FieldErrorKind, field: String, value: Value, detail: String) -> Self {
        Self { kind, field, value, detail }
    }

    /// A value that does not fit.
    pub fn invalid(
        field: impl Into<String>,
        value: impl Into<Value>,
        detail: impl Into<String>,
    ) -> Self {
        Self::new(FieldErrorKind::Invalid, field.into(), value.into(), detail.into())
    }

    /// A field that must not be there.
    pub fn forbidden(field: impl Into<String>, detail: impl Into<String>) -> Self {
        Self::new(FieldErrorKind::Forbidden, field.into(), Value::Null, detail.into())
    }

    /// A field that must be there.
    pub fn required(field: impl Into<String>, detail: impl Into<String>) -> Self {
        Self::new(FieldErrorKind::Required, field.into(), Value::Null, detail.into())
    }

    /// A value that is there already.
    pub fn duplicate(field: impl Into<String>, value: impl Into<Value>) -> Self {
        Self::new(FieldErrorKind::Duplicate, field.into(), value.into(), String::new())
    }

    /// A value that is not one of `supported`.
    pub fn not_supported(
        field: impl Into<String>,
        value: impl Into<Value>,
        supported: &[&str],
    ) -> Self {
        let names: Vec<String> = supported.iter().map(|s| format!("{s:?}")).collect();
        let detail = format!("supported values: {}", names.join(", "));
        Self::new(FieldErrorKind::NotSupported, field.into(), value.into(), detail)
    }

    /// The `message` of the cause in a Status: all but the path.
    pub fn message(&self) -> String {
        let mut text = self.kind.words().to_owned();
        if !matches!(self.kind, FieldErrorKind::Forbidden | FieldErrorKind::Required) {
            text = format!("{text}: {}", self.value);
        }
        if !self.detail.is_empty() {
            text = format!("{text}: {}", self.detail);
        }
        text
    }
}

impl fmt::Display for FieldError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.field, self.message())
    }
}

/// The message by which an object of that kind and name is refused.
pub fn invalid(kind: &str, name: &str, errors: &[FieldError]) -> String {
    let all: Vec<String> = errors.iter().map(ToString::to_string).collect();
    let all = match all.as_slice() {
        [one] => one.clone(),
        several => format!("[{}]", several.join(", ")),
    };
    format!("{kind}.{} {name:?} is invalid: {all}", crate::GROUP)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_are_those_of_kubernetes() {
        let one = FieldError::invalid("spec.stage", "s", "no such Stage");
        assert_eq!(
            invalid("Promotion", "p", std::slice::from_ref(&one)),
            r#"Promotion.kargo.akuity.io "p" is invalid: spec.stage: Invalid value: "s": no such Stage"#
        );
        let two = [one, FieldError::duplicate("spec.targets[1].name", "a")];
        assert_eq!(
            invalid("X", "p", &two),
            "X.kargo.akuity.io \"p\" is invalid: [spec.stage: Invalid value: \"s\": no such Stage, \
             spec.targets[1].name: Duplicate value: \"a\"]"
        );
        for (error, text) in [
            (FieldError::forbidden("a", "no"), "a: Forbidden: no"),
            (FieldError::required("a", "yes"), "a: Required value: yes"),
            (
                FieldError::invalid("a", 101, "must be <= 100"),
                "a: Invalid value: 101: must be <= 100",
            ),
            (FieldError::invalid("a", "x", ""), "a: Invalid value: \"x\""),
            (
                FieldError::not_supported("a", "x", &["Y", "Z"]),
                "a: Unsupported value: \"x\": supported values: \"Y\", \"Z\"",
            ),
        ] {
            assert_eq!(error.to_string(), text);
        }
        assert_eq!(FieldErrorKind::NotSupported.reason(), "FieldValueNotSupported");
    }
}
