//! What became of a subscription's candidates: what a user is told when it
//! found nothing.

use sources::git::CommitReport;

/// A text for each result, in the order of the results of that kind; none where
/// nothing new is to be told.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Reports {
    /// Of commits and tags.
    pub git: Vec<Option<String>>,
    /// Of image tags.
    pub images: Vec<Option<String>>,
    /// Of chart versions.
    pub charts: Vec<Option<String>>,
}

/// The text of a look at a Git repository; none where nothing had changed, so
/// that what the look before said stays.
pub(super) fn commits(report: &CommitReport) -> Option<String> {
    (!report.unchanged).then(|| report.to_string())
}
