//! Which branch a push goes to, and what both steps that push say where there
//! is none.

use crate::error::{ErrorClass, StepError};

/// How every error of a push begins.
pub(super) const PUSHING: &str = "error pushing commits to remote";

/// What a step's config says of the branch.
pub(super) struct PushTarget<'a> {
    /// The checkout's path, as configured.
    pub(super) path: &'a str,
    /// `targetBranch`; empty where it is not set.
    pub(super) branch: &'a str,
    /// `generateTargetBranch`.
    pub(super) generated: bool,
    /// The branch that is checked out.
    pub(super) current: Option<String>,
}

impl PushTarget<'_> {
    /// The branch: the one that is named, the Promotion's own, or else the one
    /// that is checked out.
    pub(super) fn branch(&self, promotion: &str) -> Option<String> {
        if !self.branch.is_empty() {
            Some(self.branch.to_owned())
        } else if self.generated {
            Some(format!("kargo/promotion/{promotion}"))
        } else {
            self.current.clone()
        }
    }

    /// That there is none.
    pub(super) fn none(&self) -> StepError {
        let text = format!("{PUSHING}: {} has no branch checked out; set targetBranch", self.path);
        StepError::new(ErrorClass::Config, text)
    }
}
