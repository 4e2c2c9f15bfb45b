//! What the API answers when it refuses: `Status` objects with the reason, code, message and details
//! that a real API server sends, because clients decide by them.

use super::resource::Resource;
use serde_json::{Value, json};

/// One reason why an object is not valid: a field and what is wrong with it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cause {
    /// The machine's word, e.g. `FieldValueRequired`.
    pub reason: &'static str,
    /// The person's words, without the field.
    pub message: String,
    /// The path of the field, e.g. `spec.steps[0].uses`; empty for the whole object.
    pub field: String,
}

impl Cause {
    /// A cause of the given kind.
    pub fn new(reason: &'static str, field: &str, message: impl Into<String>) -> Self {
        Self { reason, message: message.into(), field: field.to_owned() }
    }

    /// The field holds a value that it may not hold; `value` is JSON as it stands.
    pub fn invalid(field: &str, value: &Value, detail: impl std::fmt::Display) -> Self {
        Self::new("FieldValueInvalid", field, format!("Invalid value: {value}: {detail}"))
    }

    fn text(&self) -> String {
        let field = if self.field.is_empty() { "<nil>" } else { &self.field };
        format!("{field}: {}", self.message)
    }
}

/// A refusal, in the form that goes over the wire.
#[derive(Clone, Debug, PartialEq)]
pub struct Failure {
    /// HTTP status code.
    pub code: u16,
    /// The `reason` of the Status object.
    pub reason: &'static str,
    /// The `message` of the Status object.
    pub message: String,
    /// The `details` of the Status object, if any.
    pub details: Option<Value>,
}

/// What is said where nothing is served.
const NO_SUCH_PATH: &str = "404 page not found";

impl Failure {
    /// A refusal without details.
    pub fn new(code: u16, reason: &'static str, message: impl Into<String>) -> Self {
        Self { code, reason, message: message.into(), details: None }
    }

    /// 400: the request itself cannot be understood.
    pub fn bad_request(message: impl Into<String>) -> Self {
        Self::new(400, "BadRequest", message)
    }

    /// 404 for a path that names no resource at all.
    pub fn no_such_path() -> Self {
        Self::new(404, "NotFound", NO_SUCH_PATH)
    }

    /// Whether it goes out as plain text: what answers paths that nothing is served at knows of no
    /// `Status` objects.
    pub fn is_plain(&self) -> bool {
        self.code == 404 && self.message == NO_SUCH_PATH
    }

    /// 404 for one object.
    pub fn not_found(resource: &Resource, name: &str) -> Self {
        Self::about(
            resource,
            name,
            404,
            "NotFound",
            format!("{} \"{name}\" not found", resource.qualified()),
        )
    }

    /// 409: an object of that name exists.
    pub fn already_exists(resource: &Resource, name: &str) -> Self {
        let message = format!("{} \"{name}\" already exists", resource.qualified());
        Self::about(resource, name, 409, "AlreadyExists", message)
    }

    /// 409: the object is not what the client believes it to be.
    pub fn conflict(resource: &Resource, name: &str, why: &str) -> Self {
        let message =
            format!("Operation cannot be fulfilled on {} \"{name}\": {why}", resource.qualified());
        Self::about(resource, name, 409, "Conflict", message)
    }

    /// 409: the resourceVersion is not the current one.
    pub fn modified(resource: &Resource, name: &str) -> Self {
        Self::conflict(
            resource,
            name,
            "the object has been modified; please apply your changes to the latest version and try again",
        )
    }

    /// 403: the object may not be written in the state that things are in.
    pub fn forbidden(resource: &Resource, name: &str, why: &str) -> Self {
        let message = format!("{} \"{name}\" is forbidden: {why}", resource.qualified());
        Self::about(resource, name, 403, "Forbidden", message)
    }

    /// 422: the object breaks its schema; every cause is told.
    pub fn invalid(resource: &Resource, name: &str, causes: &[Cause]) -> Self {
        let kind = if resource.group.is_empty() {
            resource.kind.clone()
        } else {
            format!("{}.{}", resource.kind, resource.group)
        };
        let texts: Vec<String> = causes.iter().map(Cause::text).collect();
        let list = match texts.as_slice() {
            [one] => one.clone(),
            many => format!("[{}]", many.join(", ")),
        };
        let mut details = json!({
            "name": name,
            "kind": resource.kind,
            "causes": causes.iter().map(|cause| {
                let field = if cause.field.is_empty() { "<nil>" } else { &cause.field };
                json!({"reason": cause.reason, "message": cause.message, "field": field})
            }).collect::<Vec<_>>(),
        });
        if !resource.group.is_empty() {
            details["group"] = json!(resource.group);
        }
        Self {
            code: 422,
            reason: "Invalid",
            message: format!("{kind} \"{name}\" is invalid: {list}"),
            details: Some(details),
        }
    }

    /// 410: the wanted resourceVersion is no longer in the history.
    pub fn expired(message: impl Into<String>) -> Self {
        Self::new(410, "Expired", message)
    }

    /// 415: the body is of a kind that this resource does not take.
    pub fn unsupported_media_type(supported: &str) -> Self {
        Self::new(
            415,
            "UnsupportedMediaType",
            format!(
                "the body of the request was in an unknown format - accepted media types include: {supported}"
            ),
        )
    }

    /// 405: the resource does not have this verb.
    pub fn method_not_allowed() -> Self {
        let mut failure = Self::new(
            405,
            "MethodNotAllowed",
            "the server does not allow this method on the requested resource",
        );
        failure.details = Some(json!({}));
        failure
    }

    fn about(
        resource: &Resource,
        name: &str,
        code: u16,
        reason: &'static str,
        message: String,
    ) -> Self {
        let mut details = json!({"name": name, "kind": resource.plural});
        if !resource.group.is_empty() {
            details["group"] = json!(resource.group);
        }
        Self { code, reason, message, details: Some(details) }
    }

    /// The `Status` object.
    pub fn to_status(&self) -> Value {
        let mut status = json!({
            "kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure",
            "message": self.message, "reason": self.reason, "code": self.code,
        });
        if let Some(details) = &self.details {
            status["details"] = details.clone();
        }
        status
    }
}
