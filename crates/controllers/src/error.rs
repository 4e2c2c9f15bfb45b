//! What can go wrong in a reconcile, sorted by what is to be done about it.

pub use promotion::error::ErrorClass;

/// An error of a reconcile: the queue tries the object again after a while
/// (house rule 7).
#[derive(Debug, thiserror::Error)]
#[error("{message}")]
pub struct Error {
    message: String,
    class: ErrorClass,
    #[source]
    source: Option<Box<kube::Error>>,
}

impl Error {
    /// An error in our own words.
    pub fn new(class: ErrorClass, message: impl Into<String>) -> Self {
        Self { message: message.into(), class, source: None }
    }

    /// An answer of the API server, with `doing` in front of what it said.
    pub fn api(doing: impl std::fmt::Display, source: kube::Error) -> Self {
        Self {
            message: format!("{doing}: {}", said(&source)),
            class: class_of(&source),
            source: Some(Box::new(source)),
        }
    }

    /// The same error with `doing` in front of its text.
    #[must_use]
    pub fn while_(mut self, doing: impl std::fmt::Display) -> Self {
        self.message = format!("{doing}{}", self.message);
        self
    }

    /// What is to be done about it.
    pub fn class(&self) -> ErrorClass {
        self.class
    }
}

/// The API server's own words, without the client library's wrapping.
pub fn said(error: &kube::Error) -> String {
    match error {
        kube::Error::Api(status) if !status.message.is_empty() => status.message.clone(),
        kube::Error::Api(status) => format!("{} ({})", status.reason, status.code),
        other => {
            let mut text = other.to_string();
            let mut cause = std::error::Error::source(other);
            while let Some(e) = cause {
                let part = e.to_string();
                if !text.contains(&part) {
                    text = format!("{text}: {part}");
                }
                cause = e.source();
            }
            text
        }
    }
}

/// The class of an API server's answer.
pub fn class_of(error: &kube::Error) -> ErrorClass {
    match error {
        kube::Error::Api(status) => match status.code {
            401 | 403 => ErrorClass::Auth,
            404 => ErrorClass::NotFound,
            409 => ErrorClass::Conflict,
            400 | 422 => ErrorClass::Config,
            _ => ErrorClass::Transient,
        },
        kube::Error::SerdeError(_) | kube::Error::BuildRequest(_) => ErrorClass::Internal,
        _ => ErrorClass::Transient,
    }
}

/// Whether the API server says that there is no such object.
pub fn is_not_found(error: &kube::Error) -> bool {
    matches!(error, kube::Error::Api(status) if status.code == 404)
}

/// Whether the API server says that the object exists already.
pub fn is_already_exists(error: &kube::Error) -> bool {
    matches!(error, kube::Error::Api(status) if status.code == 409 && status.reason == "AlreadyExists")
}

/// Whether the API server forbids it (an admission policy, or RBAC).
pub fn is_forbidden(error: &kube::Error) -> bool {
    matches!(error, kube::Error::Api(status) if status.code == 403)
}

/// Whether the API server refuses the object's content.
pub fn is_invalid(error: &kube::Error) -> bool {
    matches!(error, kube::Error::Api(status) if status.code == 422)
}
