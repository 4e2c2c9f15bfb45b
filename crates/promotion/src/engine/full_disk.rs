//! A full disk passes: other Promotions end and take their directories along,
//! mirrors are evicted, somebody makes room. So it costs an attempt and not the
//! Promotion, which says what it waits for.

use std::io::ErrorKind;

use crate::error::{ErrorClass, StepError};
use crate::workdir::WorkDirError;

/// The system's words, which libraries pass on where they do not pass on its
/// number.
const WORDS: &str = "No space left on device";

const ADVICE: &str =
    "the controller's disk is full; what waits for it goes on when there is room: give it more";

/// Whether a full disk is why the working directory cannot be used.
pub fn is_why(error: &WorkDirError) -> bool {
    let WorkDirError::Io { source, .. } = error else { return false };
    matches!(source.kind(), ErrorKind::StorageFull | ErrorKind::QuotaExceeded)
}

/// The error as one that passes, where a full disk of ours is behind it.
pub fn passing(error: StepError) -> StepError {
    if error.class != ErrorClass::Internal || !error.message.contains(WORDS) {
        return error;
    }
    StepError {
        class: ErrorClass::Transient,
        terminal: false,
        message: format!("{} ({ADVICE})", error.message),
        ..error
    }
}

/// That there is no room for what the engine itself has to write.
pub fn error(doing: &str, error: &WorkDirError) -> StepError {
    passing(StepError::new(ErrorClass::Internal, format!("{doing}: {error}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_our_own_disk_is_waited_for() {
        // The number is the same on all Unix systems.
        let full = || std::io::Error::from_raw_os_error(28);
        let io = |source| WorkDirError::Io { path: "/data".into(), source };
        assert!(is_why(&io(full())));
        assert!(!is_why(&io(std::io::Error::from_raw_os_error(13))));
        let waits = error("error marking the working directory", &io(full()));
        assert_eq!(waits.class, ErrorClass::Transient);
        assert!(waits.message.contains("is full"), "{waits}");
        let by_class = |class| {
            passing(StepError::new(class, format!("github.com rejected main: {WORDS}"))).class
        };
        assert_eq!(by_class(ErrorClass::Internal), ErrorClass::Transient);
        // A server's words about its own.
        assert_eq!(by_class(ErrorClass::Config), ErrorClass::Config);
        let other = passing(StepError::new(ErrorClass::Internal, "something else"));
        assert_eq!((other.class, other.message.as_str()), (ErrorClass::Internal, "something else"));
    }
}
