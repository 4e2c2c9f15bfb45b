//! GitHub's readiness and what its refusals of a merge mean
//! (`steps-git` 13.4).

use forge::Merge;
use serde_json::json;

use crate::fake::{Can, Fake, Is, MERGE_SHA, PLAYED, Reply};

/// The case, `mergeable_state`, how it stands, what a merge is refused with,
/// what comes of it, and how many merge calls there are.
type Case = (&'static str, &'static str, Is, Option<&'static str>, Outcome, usize);

enum Outcome {
    Merged,
    NotReady,
    Error(&'static str),
}

#[tokio::test]
async fn a_merge_at_github_depends_on_its_state_and_answer() {
    use Outcome::{Error, Merged, NotReady};
    const CI: &str = "Required status check \"ci\" is expected.";
    const SQUASH: &str = "Squash merges are not allowed on this repository.";
    let cases: Vec<Case> = vec![
        ("steps-git/13.4-1", "blocked", Is::Open, None, Merged, 1),
        ("steps-git/13.4-2", "blocked", Is::Open, Some(CI), NotReady, 1),
        ("steps-git/13.4-3", "clean", Is::Open, Some(CI), Error(CI), 1),
        ("steps-git/13.4-4", "blocked", Is::Open, Some(SQUASH), Error("not allowed"), 1),
        ("steps-git/13.4-5", "draft", Is::Open, None, NotReady, 0),
        (
            "steps-git/13.4-6",
            "clean",
            Is::Closed,
            None,
            Error("pull request 1 is closed but not merged"),
            0,
        ),
        ("steps-git/13.4-7", "clean", Is::Merged, None, Merged, 0),
        ("unstable", "unstable", Is::Open, None, Merged, 1),
        ("has_hooks", "has_hooks", Is::Open, None, Merged, 1),
        ("behind", "behind", Is::Open, Some("behind"), NotReady, 1),
        ("unknown", "unknown", Is::Open, None, NotReady, 0),
        (
            "dirty",
            "dirty",
            Is::Open,
            None,
            Error("pull request 1 has conflicts and cannot be merged"),
            0,
        ),
        ("a word of tomorrow, mergeable", "sparkling", Is::Open, None, Merged, 1),
        (
            "the base moved",
            "clean",
            Is::Open,
            Some("Base branch was modified. Review and try the merge again."),
            NotReady,
            1,
        ),
        (
            "no longer mergeable",
            "clean",
            Is::Open,
            Some("Pull Request is not mergeable"),
            NotReady,
            1,
        ),
    ];
    let played = PLAYED[0];
    for (case, state, is, refusal, outcome, calls) in cases {
        let fake = Fake::start(played).await;
        {
            let mut model = fake.model();
            model.add("h", "b", is);
            model.words.mergeable_state = Some(state);
            if let Some(message) = refusal {
                model.merge_replies.push_back(Reply::new(405, (played.error)(405, message)));
            }
        }
        let result = fake.forge().merge(1, None).await;
        fake.check();
        match (result, outcome) {
            (Ok(Merge::Merged(pull)), Merged) => {
                assert_eq!(pull.merge_commit.as_deref(), Some(MERGE_SHA), "{case}");
            }
            (Ok(Merge::NotReady { why, .. }), NotReady) => {
                assert!(why.contains(state), "{case}: {why}")
            }
            (Err(error), Error(text)) => {
                assert!(error.to_string().contains(text), "{case}: {error}");
            }
            (result, _) => panic!("{case}: {result:?}"),
        }
        assert_eq!(fake.model().merge_calls(), calls, "{case}");
    }
}

#[tokio::test]
async fn states_that_are_absent_go_by_mergeable() {
    let played = PLAYED[0];
    for (can, merged) in [(Can::Merge, true), (Can::NotYet, false)] {
        let fake = Fake::start(played).await;
        fake.model().add("h", "b", Is::Open).can = can;
        fake.model().words.mergeable_state = Some("");
        let result = fake.forge().merge(1, None).await.unwrap();
        assert_eq!(matches!(result, Merge::Merged(_)), merged);
        fake.check();
    }
}

#[tokio::test]
async fn a_merge_that_is_answered_with_no_is_rejected() {
    let played = PLAYED[0];
    let fake = Fake::start(played).await;
    fake.model().add("h", "b", Is::Open);
    let no = json!({"sha": null, "merged": false, "message": "no"});
    fake.model().merge_replies.push_back(Reply::new(200, no));
    let error = fake.forge().merge(1, None).await.unwrap_err();
    assert_eq!(error.to_string(), "merge rejected for pull request 1");
}
