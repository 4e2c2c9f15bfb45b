//! How commits are made anew at GitHub: pure decisions of `github-push`
//! (`steps-git` 10 rule 4).

use std::collections::HashMap;

use forge::{ComparedCommit, Comparison, NewCommit};

/// What is to be done about a branch, by how our commits stand to it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Decision {
    /// The branch has them.
    Done,
    /// Make them anew on top of their merge base, and move the branch.
    Replay,
    /// Somebody was faster: take in their commits and try again.
    Retry(String),
    /// It cannot work.
    Refuse(String),
}

/// Decides from the comparison of `base`, where the branch is, and `source`,
/// our last commit.
pub(super) fn decide(
    compared: &Comparison,
    base: &str,
    source: &str,
    force: bool,
    max_commits: usize,
) -> Decision {
    match (compared.status.as_str(), force) {
        ("identical", _) => return Decision::Done,
        ("ahead", _) | ("behind" | "diverged", true) => {}
        ("behind", false) => {
            return Decision::Retry(
                "source branch is behind target branch and force pushing is not enabled".to_owned(),
            );
        }
        ("diverged", false) => {
            return Decision::Retry(
                "source and target branches have diverged and force pushing is not enabled"
                    .to_owned(),
            );
        }
        (other, _) => {
            return Decision::Refuse(format!(
                "unexpected comparison status {other:?} for {base}..{source}"
            ));
        }
    }
    if compared.total > max_commits {
        return Decision::Refuse(format!(
            "commit range {}..{source} contains {} commits, which exceeds the configured maximum of {max_commits}",
            compared.merge_base, compared.total
        ));
    }
    Decision::Replay
}

/// The commit that takes the place of the `index`-th of a range. `made` maps
/// the ids of those before it to what they have become; `previous` is the last
/// of these, or the merge base.
///
/// # Errors
/// A commit that GitHub told without its tree.
pub(super) fn replayed(
    commit: &ComparedCommit,
    index: usize,
    trust: &git::CommitTrust,
    verify_untrusted: bool,
    made: &HashMap<String, String>,
    previous: &str,
) -> Result<NewCommit, String> {
    if commit.tree.is_empty() {
        return Err(format!("commit {index} in range has missing tree information"));
    }
    let parents = match commit.parents.as_slice() {
        [] | [_] => vec![previous.to_owned()],
        several => several.iter().map(|old| made.get(old).unwrap_or(old).clone()).collect(),
    };
    let mut message = commit.message.clone();
    let signs = trust.trusted || verify_untrusted;
    if signs {
        let (name, email) = (&commit.author.name, &commit.author.email);
        let known = !name.is_empty() && !email.is_empty();
        if known && (*name != trust.name || *email != trust.email) {
            message.push_str(&format!("\n\nCo-authored-by: {name} <{email}>"));
        }
    }
    let people = (!signs).then(|| (commit.author.clone(), commit.committer.clone()));
    Ok(NewCommit { message, tree: commit.tree.clone(), parents, people })
}

#[cfg(test)]
mod tests {
    use forge::Signer;

    use super::*;

    fn compared(status: &str, total: usize) -> Comparison {
        Comparison { status: status.into(), merge_base: "mb".into(), total, commits: Vec::new() }
    }

    #[test]
    fn how_commits_stand_decides() {
        let behind = "source branch is behind target branch and force pushing is not enabled";
        let diverged = "source and target branches have diverged and force pushing is not enabled";
        for (status, force, total, expected) in [
            ("identical", false, 0, Decision::Done),
            ("identical", true, 0, Decision::Done),
            ("ahead", false, 3, Decision::Replay),
            ("ahead", true, 3, Decision::Replay),
            ("behind", true, 0, Decision::Replay),
            ("diverged", true, 2, Decision::Replay),
            ("behind", false, 0, Decision::Retry(behind.into())),
            ("diverged", false, 2, Decision::Retry(diverged.into())),
            ("odd", true, 0, Decision::Refuse("unexpected comparison status \"odd\" for b..s".into())),
            (
                "ahead",
                false,
                4,
                Decision::Refuse(
                    "commit range mb..s contains 4 commits, which exceeds the configured maximum of 3"
                        .into(),
                ),
            ),
        ] {
            let found = decide(&compared(status, total), "b", "s", force, 3);
            assert_eq!(found, expected, "{status} {force}");
        }
    }

    fn person(name: &str) -> Signer {
        let email = if name.is_empty() { String::new() } else { format!("{name}@e.x") };
        Signer { name: name.into(), email, date: "2026-01-01T00:00:00Z".into() }
    }

    fn commit(parents: &[&str], author: &str) -> ComparedCommit {
        ComparedCommit {
            id: "id".into(),
            message: "m".into(),
            tree: "t".into(),
            parents: parents.iter().map(|p| (*p).to_owned()).collect(),
            author: person(author),
            committer: person("committer"),
        }
    }

    #[test]
    fn github_signs_what_we_trust() {
        let trust = |trusted: bool| git::CommitTrust {
            trusted,
            name: if trusted { "bot".into() } else { String::new() },
            email: if trusted { "bot@e.x".into() } else { String::new() },
        };
        let plain = "m";
        let by_alice = "m\n\nCo-authored-by: alice <alice@e.x>";
        for (trusted, verify, author, message, named) in [
            (true, false, "bot", plain, false),
            (true, false, "alice", by_alice, false),
            (true, false, "", plain, false),
            (false, true, "alice", by_alice, false),
            (false, false, "alice", plain, true),
        ] {
            let commit = commit(&["p"], author);
            let new = replayed(&commit, 0, &trust(trusted), verify, &HashMap::new(), "mb").unwrap();
            assert_eq!(new.message, message, "{trusted} {verify} {author}");
            let people = named.then(|| (person(author), person("committer")));
            assert_eq!(new.people, people, "{trusted} {verify} {author}");
            assert_eq!(new.tree, "t");
        }
    }

    #[test]
    fn parents_are_what_they_have_become() {
        let trust = git::CommitTrust { trusted: false, name: String::new(), email: String::new() };
        let made: HashMap<String, String> = [("a".to_owned(), "A".to_owned())].into();
        for (parents, expected) in [
            (vec![], vec!["mb"]),
            (vec!["whatever"], vec!["mb"]),
            (vec!["a", "stranger"], vec!["A", "stranger"]),
        ] {
            let new = replayed(&commit(&parents, "x"), 0, &trust, false, &made, "mb").unwrap();
            assert_eq!(new.parents, expected);
        }
        let bare = ComparedCommit { tree: String::new(), ..commit(&[], "x") };
        let error = replayed(&bare, 3, &trust, false, &made, "mb").unwrap_err();
        assert_eq!(error, "commit 3 in range has missing tree information");
    }
}
