//! What can go wrong with Git, sorted by what is to be done about it.

use std::time::Duration;

use crate::rejection::Rejection;

/// What an error asks for (house rule 7).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ErrorClass {
    /// May succeed when tried again.
    Transient,
    /// The server refused our credentials, or we had none.
    Auth,
    /// What the user wrote cannot work.
    Config,
    /// Somebody else changed what we wanted to change.
    Conflict,
    /// What was named does not exist.
    NotFound,
    /// A defect of ours or of the disk.
    Internal,
}

/// An error of a Git operation. No variant holds a secret: what servers and
/// libgit2 say is shortened and cleaned before it gets here.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum GitError {
    /// The server wants credentials and we have none for it.
    #[error(
        "authentication required: {host} asks for credentials for {url} and no Secret labelled kargo.akuity.io/cred-type: git matches that URL; add one to the Project, or correct repoURL"
    )]
    NoCredential {
        /// The server.
        host: String,
        /// The repository.
        url: String,
    },
    /// The server refused the credentials.
    #[error(
        "authentication failed: {host} refused the credentials of {source_of} for {url}{detail}; check that they are valid and may access the repository"
    )]
    Refused {
        /// The server.
        host: String,
        /// The repository.
        url: String,
        /// The Secret, or the URL, that they come from.
        source_of: String,
        /// What the server said, in brackets.
        detail: String,
    },
    /// Another server than the one that the credentials are for asked for them.
    #[error(
        "authentication refused by us: {asking} asks for the credentials of {source_of}, which are for {host}; use the URL that {host} redirects to as repoURL if you trust it"
    )]
    OtherHost {
        /// Who asked.
        asking: String,
        /// Whom the credentials are for.
        host: String,
        /// Where they come from.
        source_of: String,
    },
    /// There is no such repository, or it may not be seen.
    #[error(
        "repository {url} was not found{detail}; check repoURL, and that {used} may read the repository"
    )]
    RepositoryNotFound {
        /// The repository.
        url: String,
        /// What the server said, in brackets.
        detail: String,
        /// The credentials that were used, in words.
        used: String,
    },
    /// The repository has no such branch.
    #[error("remote branch \"{branch}\" of repo {url} does not exist; {existing}")]
    BranchNotFound {
        /// The branch.
        branch: String,
        /// The repository.
        url: String,
        /// The branches that there are, in words.
        existing: String,
    },
    /// The repository has no such tag.
    #[error("tag \"{tag}\" of repo {url} does not exist; {existing}")]
    TagNotFound {
        /// The tag.
        tag: String,
        /// The repository.
        url: String,
        /// The tags that there are, in words.
        existing: String,
    },
    /// No branch or tag of the repository leads to the commit.
    #[error("commit {commit} is on no branch or tag of repo {url}{hint}")]
    CommitNotFound {
        /// The commit.
        commit: String,
        /// The repository.
        url: String,
        /// What that may mean.
        hint: String,
    },
    /// The repository has no commit yet, so no default branch.
    #[error(
        "repo {url} has no branch to check out; push a first commit, or name a branch with create=true"
    )]
    Empty {
        /// The repository.
        url: String,
    },
    /// A file of that name is in the way of a checkout.
    #[error("{path} already exists and is not empty; choose another path")]
    AlreadyExists {
        /// The path as configured.
        path: String,
    },
    /// A branch can be checked out once.
    #[error(
        "branch \"{branch}\" is already checked out at {path}; a branch can be checked out once"
    )]
    AlreadyCheckedOut {
        /// The branch.
        branch: String,
        /// Where.
        path: String,
    },
    /// The clone has a tag of that name.
    #[error(
        "error creating annotated tag \"{tag}\": tag '{tag}' already exists; choose another name, or set force=true"
    )]
    TagExists {
        /// The tag.
        tag: String,
    },
    /// The remote branch has commits that ours lacks.
    #[error("non-fast-forward")]
    NonFastForward,
    /// Both sides changed the same lines.
    #[error("merge conflict")]
    MergeConflict,
    /// Rebasing would lose signatures, and merging is not allowed.
    #[error("rebase is unsafe and policy prohibits merge fallback")]
    RebaseUnsafe,
    /// The server took the commits but would not move the branch or tag.
    #[error("{host} rejected {reference}: {message}{}", advice(*meaning))]
    Rejected {
        /// The server.
        host: String,
        /// The reference.
        reference: String,
        /// What it said.
        message: String,
        /// What that means.
        meaning: Rejection,
    },
    /// What was about to be pushed could not be written down first.
    #[error("{reference} was not pushed, because that could not be recorded first: {message}")]
    NotRecorded {
        /// The branch or tag.
        reference: String,
        /// Why not.
        message: String,
    },
    /// The server cannot be reached, or broke off.
    #[error("{host} could not be reached or broke off while {doing}: {message}")]
    Network {
        /// The server.
        host: String,
        /// What was being done.
        doing: String,
        /// What happened.
        message: String,
    },
    /// The server wants fewer requests.
    #[error("{host} asks to be left alone for {} s (HTTP 429); ask it less often, or with credentials that may ask more", retry_after.as_secs())]
    RateLimited {
        /// The server.
        host: String,
        /// How long.
        retry_after: Duration,
    },
    /// It took too long.
    #[error("{doing} took longer than {} s and was given up", limit.as_secs())]
    Timeout {
        /// What was being done.
        doing: String,
        /// The limit.
        limit: Duration,
    },
    /// The process ends, or has lost its lease.
    #[error("{doing} was cancelled")]
    Cancelled {
        /// What was being done.
        doing: String,
    },
    /// It sends more than we take.
    #[error("repo {url} sends more than {limit} bytes; raise the limit if that is right")]
    TooLarge {
        /// The repository.
        url: String,
        /// The limit in bytes.
        limit: u64,
    },
    /// What the user wrote cannot work.
    #[error("{0}")]
    Config(String),
    /// Something on disk is not as it should be.
    #[error("{doing}: {message}")]
    Internal {
        /// What was being done.
        doing: String,
        /// What happened.
        message: String,
    },
}

impl GitError {
    /// What the error asks for.
    pub fn class(&self) -> ErrorClass {
        match self {
            Self::NoCredential { .. } | Self::Refused { .. } | Self::OtherHost { .. } => {
                ErrorClass::Auth
            }
            Self::RepositoryNotFound { .. }
            | Self::BranchNotFound { .. }
            | Self::TagNotFound { .. }
            | Self::CommitNotFound { .. }
            | Self::Empty { .. } => ErrorClass::NotFound,
            Self::NonFastForward | Self::MergeConflict | Self::RebaseUnsafe => ErrorClass::Conflict,
            Self::Rejected { meaning: Rejection::Unavailable, .. } => ErrorClass::Transient,
            Self::Rejected { meaning: Rejection::NotAllowed, .. } => ErrorClass::Auth,
            Self::AlreadyExists { .. }
            | Self::TagExists { .. }
            | Self::AlreadyCheckedOut { .. }
            | Self::Rejected { .. }
            | Self::TooLarge { .. }
            | Self::Config(_) => ErrorClass::Config,
            Self::NotRecorded { .. }
            | Self::Network { .. }
            | Self::RateLimited { .. }
            | Self::Timeout { .. }
            | Self::Cancelled { .. } => ErrorClass::Transient,
            Self::Internal { .. } => ErrorClass::Internal,
        }
    }

    /// The same, with the words for what was being done where it took too long
    /// or was cancelled.
    pub(crate) fn with_doing(self, doing: &str) -> Self {
        let doing = doing.to_owned();
        match self {
            Self::Timeout { limit, .. } => Self::Timeout { doing, limit },
            Self::Cancelled { .. } => Self::Cancelled { doing },
            other => other,
        }
    }

    /// An error of libgit2 that has nothing to do with a server.
    pub(crate) fn local(doing: &str) -> impl Fn(git2::Error) -> Self + '_ {
        move |error| Self::Internal { doing: doing.to_owned(), message: tidy(error.message()) }
    }

    pub(crate) fn io(doing: impl Into<String>) -> impl FnOnce(std::io::Error) -> Self {
        let doing = doing.into();
        move |error| Self::Internal { doing, message: error.to_string() }
    }
}

fn advice(meaning: Rejection) -> String {
    meaning.advice().map(|advice| format!("; {advice}")).unwrap_or_default()
}

/// How much of what others say is kept, in characters.
const MAX_FOREIGN_TEXT: usize = 400;

/// Text from outside in one line of bounded length.
pub(crate) fn tidy(text: &str) -> String {
    let mut out = String::new();
    for (n, c) in text.trim().chars().enumerate() {
        if n == MAX_FOREIGN_TEXT {
            out.push('…');
            break;
        }
        out.push(if c.is_control() { ' ' } else { c });
    }
    out
}

/// The names of what there is, for an error that tells what there is not.
pub(crate) fn existing<'a>(what: &str, names: impl Iterator<Item = &'a str>) -> String {
    let mut names: Vec<&str> = names.collect();
    if names.is_empty() {
        return format!("it has no {what}");
    }
    names.sort_unstable();
    let more = names.len().saturating_sub(20);
    names.truncate(20);
    let more = if more > 0 { format!(" and {more} more") } else { String::new() };
    format!("it has the {what} {}{more}", names.join(", "))
}
