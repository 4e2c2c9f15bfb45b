//! Whether a revision that Argo CD synced to contains the commit that was
//! wanted.
//!
//! Where many Stages write to one branch, Argo CD syncs to the branch's head,
//! which is past most of their commits. Such a head satisfies them all: each
//! commit is in it. The mirror of the repository knows; what it said once
//! holds for ever, so it is asked once.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use git::Freshness;
use tokio_util::sync::CancellationToken;

use super::application::Application;
use crate::git_access;
use crate::world::World;

/// How many answers are kept.
const MOST: usize = 10_000;

/// How old a listing of the repository may be that is asked first.
const RECENT: Duration = Duration::from_secs(300);

/// A question: does the revision seen contain the one desired?
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Question {
    /// The repository.
    pub repo_url: String,
    /// The revision that Argo CD reports.
    pub seen: String,
    /// The commit that is wanted.
    pub desired: String,
}

/// What is known. Clones share it. Commit ids name their history, so an
/// answer needs no repository.
#[derive(Clone, Debug, Default)]
pub struct Ancestry(Arc<Mutex<HashMap<(String, String), bool>>>);

impl Ancestry {
    /// Whether it is known that `seen` is `desired` or contains it.
    pub fn contains(&self, seen: &str, desired: &str) -> bool {
        seen == desired || self.answer(seen, desired) == Some(true)
    }

    fn answer(&self, seen: &str, desired: &str) -> Option<bool> {
        let known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        known.get(&(seen.to_owned(), desired.to_owned())).copied()
    }

    /// Notes an answer.
    pub fn note(&self, seen: &str, desired: &str, contains: bool) {
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if known.len() >= MOST {
            known.clear();
        }
        known.insert((seen.to_owned(), desired.to_owned()), contains);
    }

    /// Whether the answer is not known yet.
    pub fn is_open(&self, question: &Question) -> bool {
        self.answer(&question.seen, &question.desired).is_none()
    }

    /// Looks up what is not known yet, with the credentials of `project`:
    /// in the mirror as it is, else after a fetch. What cannot be found out
    /// stays open; why is logged and returned, each for its question.
    pub async fn look_up(
        &self,
        questions: &[Question],
        project: &str,
        world: &World,
        cancel: &CancellationToken,
    ) -> Vec<(Question, String)> {
        let mut unknown = Vec::new();
        for question in questions.iter().filter(|q| self.is_open(q)) {
            let Some(access) = &world.git else { return unknown };
            let asked = ask(&access.git, question, project, world, cancel).await;
            match asked {
                Ok(Some(answer)) => self.note(&question.seen, &question.desired, answer),
                // The server has neither or only one of them: not contained.
                Ok(None) => {}
                Err(why) => {
                    tracing::warn!(
                        repository = credentials_free(&question.repo_url),
                        seen = question.seen,
                        desired = question.desired,
                        "cannot find out whether the revision contains the commit: {why}"
                    );
                    unknown.push((question.clone(), why));
                }
            }
        }
        unknown
    }
}

/// That it cannot be found out what Argo CD has synced to, and what to do.
pub fn unreadable(question: &Question, why: &str) -> String {
    let Question { repo_url, seen, desired } = question;
    let repository = credentials_free(repo_url);
    format!(
        "Argo CD has synced to {seen}, and whether that contains the desired revision {desired} \
         cannot be found out: {why}; let the Project read {repository} by a Secret labelled \
         kargo.akuity.io/cred-type: git, or set updateTargetRevision"
    )
}

fn credentials_free(url: &str) -> String {
    match url.split_once("://").and_then(|(scheme, rest)| Some((scheme, rest.split_once('@')?))) {
        Some((scheme, (login, rest))) if !login.contains('/') => format!("{scheme}://{rest}"),
        _ => url.to_owned(),
    }
}

async fn ask(
    git: &git::Git,
    question: &Question,
    project: &str,
    world: &World,
    cancel: &CancellationToken,
) -> Result<Option<bool>, String> {
    let remote = git_access::remote_of(project, world, &question.repo_url, false).await;
    let remote = remote.map_err(|e| e.message)?;
    for freshness in [Freshness::Within(RECENT), Freshness::Now] {
        let snapshot = git.snapshot(&remote, freshness, cancel).await.map_err(|e| e.to_string())?;
        let answer = git.contains(&snapshot, &question.seen, &question.desired).await;
        match answer.map_err(|e| e.to_string())? {
            Some(answer) => return Ok(Some(answer)),
            None => continue,
        }
    }
    Ok(None)
}

/// The questions of an Application's sources: where a revision was seen that
/// is not the desired one, and both are commit ids of a git repository.
pub fn questions(app: &Application, seen: &[&str], desired: &[String]) -> Vec<Question> {
    app.sources()
        .iter()
        .zip(seen)
        .zip(desired)
        .filter(|((source, seen), desired)| {
            source.chart.is_empty() && is_commit(seen) && is_commit(desired) && *seen != desired
        })
        .map(|((source, seen), desired)| Question {
            repo_url: source.repo_url.clone(),
            seen: (*seen).to_owned(),
            desired: desired.clone(),
        })
        .collect()
}

/// Whether it is a full commit id (SHA-1 or SHA-256).
fn is_commit(text: &str) -> bool {
    matches!(text.len(), 40 | 64) && text.bytes().all(|b| b.is_ascii_hexdigit())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::argocd::samples;
    use serde_json::json;

    #[test]
    fn only_commits_of_git_sources_are_asked_about() {
        let app = samples::from(json!({
            "metadata": {"namespace": "argocd", "name": "a"},
            "spec": {"sources": [
                {"repoURL": "https://git.example.com/a"},
                {"repoURL": "https://charts.example.com", "chart": "c"},
                {"repoURL": "https://git.example.com/b"},
                {"repoURL": "https://git.example.com/c"},
            ]},
        }));
        let (x, y) = ("a".repeat(40), "b".repeat(40));
        let desired = [y.clone(), y.clone(), x.clone(), "v1.0.0".to_owned()];
        let asked = questions(&app, &[&x, &x, &x, &x], &desired);
        let wanted =
            Question { repo_url: "https://git.example.com/a".into(), seen: x.clone(), desired: y };
        assert_eq!(asked, std::slice::from_ref(&wanted));

        let known = Ancestry::default();
        assert!(known.is_open(&wanted) && !known.contains(&wanted.seen, &wanted.desired));
        known.note(&wanted.seen, &wanted.desired, true);
        assert!(!known.is_open(&wanted) && known.contains(&wanted.seen, &wanted.desired));
        assert!(known.contains(&x, &x));
    }

    #[test]
    fn logins_do_not_reach_the_log() {
        assert_eq!(credentials_free("https://u:p@host/a@b"), "https://host/a@b");
        assert_eq!(credentials_free("https://host/a@b"), "https://host/a@b");
        assert_eq!(credentials_free("git@host:a"), "git@host:a");
    }
}
