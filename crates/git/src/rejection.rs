//! Why a server did not take what was pushed: hosts say it in words of their
//! own, on the reference (`! [remote rejected] main (…)`) or on the side
//! (`remote: …`). Pure.

/// What a refusal means for the one who pushed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rejection {
    /// Another writer was faster: take in what they pushed and try again.
    Race,
    /// The branch takes no direct pushes.
    Protected,
    /// Commits must be signed, by a key that the host knows.
    Unsigned,
    /// A check found a secret in a commit.
    SecretFound,
    /// A file, or the repository, is too large.
    TooLarge,
    /// The account may not push here.
    NotAllowed,
    /// The repository is archived or a mirror.
    ReadOnly,
    /// The host could not decide just now.
    Unavailable,
    /// A check of the repository's own said no.
    Hook,
    /// Something else.
    Other,
}

impl Rejection {
    /// What a host's refusal means: `status` is what it says of the reference,
    /// `remarks` what it says on the side.
    pub fn read(status: &str, remarks: &str) -> Self {
        let status = status.trim();
        if lost_the_race(status, remarks) {
            return Self::Race;
        }
        let said = format!("{status}\n{remarks}").to_lowercase();
        let says = |words: &[&str]| words.iter().any(|word| said.contains(word));
        // The narrower meaning first: hosts put several into one answer.
        if says(&["internal api", "internal server error", "service unavailable", "try again"]) {
            Self::Unavailable
        } else if says(&["archived", "read-only", "readonly", "is a mirror", "mirror repository"]) {
            Self::ReadOnly
        } else if says(&[
            "gh009",
            "push cannot contain secrets",
            "secrets detected",
            "secret detection",
        ]) {
            Self::SecretFound
        } else if says(&[
            "gh001",
            "gh002",
            "file size limit",
            "exceeds the maximum",
            "too large",
            "storage limit",
            "over quota",
        ]) {
            Self::TooLarge
        } else if says(&[
            "verified signature",
            "must be signed",
            "unsigned commit",
            "signed with a gpg",
            "gpg signed",
            "unverified commit",
        ]) {
            Self::Unsigned
        } else if says(&[
            "gh006",
            "protected branch",
            "branch is protected",
            "is protected from",
            "through a pull request",
            "must use a pull request",
            "tf402455",
            "branch permission",
            "branch restriction",
            "denied by branch",
        ]) {
            Self::Protected
        } else if says(&[
            "tf401027",
            "not allowed to push",
            "permission",
            "not authorized",
            "unauthorized",
            "access denied",
            "forbidden",
            "prohibited",
        ]) {
            Self::NotAllowed
        } else if says(&["hook declined", "gh013", "rule violations", "push rule"]) {
            Self::Hook
        } else {
            Self::Other
        }
    }

    /// What the user can do.
    pub fn advice(self) -> Option<&'static str> {
        Some(match self {
            Self::Protected => {
                "the branch takes no direct pushes: push to a branch of its own (generateTargetBranch) and open a pull request, or let this account bypass the protection"
            }
            Self::Unsigned => {
                "the branch takes signed commits only: give git-clone an author with a signingKey that the host knows, configure one for the system, or use github-push"
            }
            Self::SecretFound => {
                "the host found a secret in a commit: remove it from what the steps write"
            }
            Self::TooLarge => "what the steps write is too large for the host",
            Self::NotAllowed => {
                "let the account of these credentials push to this repository and branch"
            }
            Self::ReadOnly => {
                "the repository takes no pushes: push to another, or make it writable"
            }
            Self::Hook => "a check of the repository refused it: its words say why",
            Self::Race | Self::Unavailable | Self::Other => return None,
        })
    }
}

/// Whether a refusal means that another writer was faster (`steps-git` 4.8).
fn lost_the_race(status: &str, remarks: &str) -> bool {
    ["non-fast-forward", "fetch first", "incorrect old value provided"].contains(&status)
        || status.starts_with("cannot lock ref")
        || status.starts_with("failed to update ref")
        || status.starts_with("failed to lock")
        // Azure DevOps: "has already been updated by another client".
        || status.contains("TF401028")
        || remarks.contains("TF401028")
}

#[cfg(test)]
mod tests {
    use super::Rejection::{self, *};

    #[test]
    fn hosts_are_understood() {
        let cases = [
            ("steps-git/4.8-1", "fetch first", "", Race),
            ("steps-git/4.8-2", "non-fast-forward", "", Race),
            ("steps-git/4.8-3", "cannot lock ref 'refs/heads/e': is at X but expected Y", "", Race),
            ("steps-git/4.8-4", "incorrect old value provided", "", Race),
            ("steps-git/4.8-4", "already exists", "", Other),
            ("libgit2's server", "failed to update ref", "", Race),
            (
                "Azure",
                "TF401028: The reference 'refs/heads/main' has already been updated by another client, so you cannot update it. Please try again.",
                "",
                Race,
            ),
            (
                "Azure",
                "TF402455: Pushes to this branch are not permitted; you must use a pull request to update this branch.",
                "",
                Protected,
            ),
            (
                "Azure",
                "TF401027: You need the Git 'GenericContribute' permission to perform this action.",
                "",
                NotAllowed,
            ),
            (
                "GitHub",
                "protected branch hook declined",
                "error: GH006: Protected branch update failed for refs/heads/main. error: Changes must be made through a pull request.",
                Protected,
            ),
            (
                "GitHub",
                "push declined due to repository rule violations",
                "error: GH013: Repository rule violations found for refs/heads/main. - Commits must have verified signatures.",
                Unsigned,
            ),
            (
                "GitHub",
                "push declined due to repository rule violations",
                "error: GH013: Repository rule violations found for refs/heads/main. - Push cannot contain secrets",
                SecretFound,
            ),
            (
                "GitHub",
                "push declined due to repository rule violations",
                "error: GH013: Repository rule violations found for refs/heads/main. - Changes must be made through a pull request.",
                Protected,
            ),
            (
                "GitHub",
                "push declined due to repository rule violations",
                "error: GH013: Repository rule violations found. - Commit message must match",
                Hook,
            ),
            (
                "GitHub",
                "pre-receive hook declined",
                "error: GH001: Large files detected.",
                TooLarge,
            ),
            (
                "GitHub",
                "refusing to allow a GitHub App to create or update workflow `.github/workflows/a.yaml` without `workflows` permission",
                "",
                NotAllowed,
            ),
            (
                "GitLab",
                "pre-receive hook declined",
                "GitLab: You are not allowed to push code to protected branches on this project.",
                Protected,
            ),
            (
                "GitLab",
                "pre-receive hook declined",
                "GitLab: You are not allowed to push code to this project.",
                NotAllowed,
            ),
            (
                "GitLab",
                "pre-receive hook declined",
                "GitLab: Commit must be signed with a GPG key",
                Unsigned,
            ),
            (
                "GitLab",
                "pre-receive hook declined",
                "GitLab: Internal API error (502). Please try again.",
                Unavailable,
            ),
            (
                "GitLab",
                "pre-receive hook declined",
                "GitLab: Commit message does not follow the pattern '^JIRA-'",
                Hook,
            ),
            (
                "Gitea",
                "pre-receive hook declined",
                "Gitea: Not allowed to push to protected branch main",
                Protected,
            ),
            (
                "Gitea",
                "pre-receive hook declined",
                "Gitea: branch main is protected from force push",
                Protected,
            ),
            (
                "Bitbucket",
                "pre-receive hook declined",
                "Permission denied to update branch main.",
                NotAllowed,
            ),
            ("a hook", "pre-receive hook declined", "not on a Friday", Hook),
            ("silence", "", "", Other),
        ];
        for (case, status, remarks, expected) in cases {
            assert_eq!(Rejection::read(status, remarks), expected, "{case}: {status} {remarks}");
        }
    }
}
