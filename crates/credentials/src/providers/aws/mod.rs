//! Amazon's part that is not ECR's: signatures, and the identity that a pod
//! has.
//!
//! * [`sigv4`]: signatures of requests.
//! * [`sts`]: the Security Token Service.
//! * [`identity`]: whose the pod is, by EKS Pod Identity or IAM roles for
//!   service accounts.

pub(super) mod identity;
pub(super) mod sigv4;
pub(super) mod sts;

use jiff::Timestamp;

use crate::credential::bounded;
use crate::error::{ErrorClass, Unusable};
use crate::secret::Secret;
use crate::transport::TokenAnswer;

/// What requests are signed with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Keys {
    pub(super) id: String,
    pub(super) secret: Secret,
    /// Goes with keys that expire.
    pub(super) session: Option<Secret>,
}

/// Why Amazon gave nothing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Refused {
    /// This identity may not: the next one is tried.
    Denied(String),
    /// Anything else.
    Failed(Unusable),
}

impl From<Refused> for Unusable {
    fn from(refused: Refused) -> Self {
        match refused {
            Refused::Denied(message) => Self::new(ErrorClass::Auth, message),
            Refused::Failed(unusable) => unusable,
        }
    }
}

/// An answer that is no success, with the code and words that its body has.
pub(super) fn refused(service: &str, answer: &TokenAnswer, code: &str, said: &str) -> Refused {
    let said = [bounded(code, 80), bounded(said, 200)];
    let said: Vec<&str> = said.iter().map(String::as_str).filter(|s| !s.is_empty()).collect();
    let message = format!("{service} answered {}: {}", answer.status, said.join(": "));
    // The JSON protocol says 400 where the query protocol says 403.
    if answer.status == 403 || (answer.status == 400 && code == "AccessDeniedException") {
        return Refused::Denied(message);
    }
    let class = match answer.status {
        429 | 500.. => ErrorClass::Transient,
        400 if code.contains("Throttl") => ErrorClass::Transient,
        _ => ErrorClass::Auth,
    };
    Refused::Failed(Unusable::new(class, message))
}

/// No answer at all.
pub(super) fn silence(service: &str, reason: &str) -> Refused {
    let message = format!("no answer from {service}: {reason}");
    Refused::Failed(Unusable::new(ErrorClass::Transient, message))
}

/// The time as signatures have it: `20150830T123600Z`.
pub(super) fn stamp(now: Timestamp) -> String {
    now.strftime("%Y%m%dT%H%M%SZ").to_string()
}

/// Whether this can be a region's name: it becomes part of a host's.
pub(super) fn is_region(text: &str) -> bool {
    (1..=32).contains(&text.len())
        && text.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-')
        && !text.starts_with('-')
        && !text.ends_with('-')
}
