//! git-open-pr, git-wait-for-pr and git-merge-pr, each by itself
//! (`steps-git` 11, 12 and 16).

use std::time::Duration;

use api::PromotionStepStatus as Status;
use forge::{ForgeError, Merge, PullRequest, State};
use sandbox::git_host::GitService;
use sandbox::git_host::pull_requests::{MergeMethod, PullState};
use serde_json::{Value, json};

use super::git_pr_testing::{Site, TOKEN, Told, attempt_in, registry};
use crate::error::{ErrorClass, StepError};
use crate::step::{Attempt, StepResult};

const REPO: &str = "team/app";
const OPEN: &str = "git-open-pr";
const WAIT: &str = "git-wait-for-pr";
const MERGE: &str = "git-merge-pr";

fn branches() -> Value {
    json!({"sourceBranch": "stage", "targetBranch": "main"})
}

fn with(mut fields: Value, name: &str, value: Value) -> Value {
    fields[name] = value;
    fields
}

fn number(result: &StepResult) -> i64 {
    result.output.as_ref().unwrap()["pr"]["id"].as_i64().unwrap()
}

#[test]
fn configs_are_checked() {
    const URL: &str = "https://github.com/a/b.git";
    for (case, kind, config, expected) in [
        (
            "nothing",
            OPEN,
            json!({}),
            vec![
                "(root): repoURL is required",
                "(root): sourceBranch is required",
                "(root): targetBranch is required",
            ],
        ),
        (
            "steps-git/16-1",
            OPEN,
            json!({"repoURL": URL, "sourceBranch": "a", "targetBranch": "b", "title": ""}),
            vec!["title: String length must be greater than or equal to 1"],
        ),
        (
            "steps-git/16-1",
            WAIT,
            json!({"repoURL": URL, "prNumber": 0}),
            vec!["prNumber: Must be greater than or equal to 1"],
        ),
        (
            "steps-git/16-1",
            WAIT,
            json!({"repoURL": URL, "prNumber": 1, "pollInterval": "soon"}),
            vec!["pollInterval: Does not match pattern '(?:\\d+(ns|us|µs|ms|s|m|h))+'"],
        ),
        (
            "a repository as SSH writes it",
            MERGE,
            json!({"repoURL": "git@github.com:a/b.git", "prNumber": 1}),
            vec!["repoURL: Does not match format 'uri'"],
        ),
        (
            "another provider",
            MERGE,
            json!({"repoURL": URL, "prNumber": 1, "provider": "svn"}),
            vec![
                "provider: provider must be one of the following: \"azure\", \"bitbucket\", \"gitea\", \"github\", \"gitlab\"",
            ],
        ),
        (
            "a field of old",
            WAIT,
            json!({"repoURL": URL, "prNumber": 1, "prNumberFromStep": "x"}),
            vec!["(root): Additional property prNumberFromStep is not allowed"],
        ),
        (
            "another number",
            WAIT,
            json!({"repoURL": URL, "prNumber": "7"}),
            vec!["prNumber: Invalid type. Expected: integer, given: string"],
        ),
        ("a number as it comes back", WAIT, json!({"repoURL": URL, "prNumber": 7.0}), vec![]),
        (
            "all of open",
            OPEN,
            json!({"repoURL": "ssh://git@h/a/b", "sourceBranch": "a", "targetBranch": "b", "title": "t",
                "description": "d", "labels": ["l"], "provider": "gitea", "createTargetBranch": true,
                "insecureSkipTLSVerify": true}),
            vec![],
        ),
        (
            "all of merge",
            MERGE,
            json!({"repoURL": URL, "prNumber": 1, "wait": true, "mergeMethod": "squash", "pollInterval": "1m"}),
            vec![],
        ),
    ] {
        let mut problems = registry().config_problems(kind, &config).unwrap();
        problems.sort();
        assert_eq!(problems, expected, "{case}: {config}");
    }
}

#[tokio::test]
async fn a_pull_request_is_opened_from_the_commit() {
    let mut site = Site::new().await;
    site.repository(REPO).await;
    site.host.add_label(REPO, "promotion");
    // Of the two words of the spec's cases with this commit: 11-1 and 11-2
    // are to the byte in the step's own tests.
    let config = site.config(REPO, with(branches(), "labels", json!(["promotion"])));
    let result = site.run(OPEN, config).await.unwrap();
    assert_eq!(result.status, Status::Succeeded);
    let pulls = site.host.pull_requests(REPO);
    assert_eq!(pulls.len(), 1);
    let pull = &pulls[0];
    assert_eq!((&*pull.title, &*pull.head, &*pull.base), ("T", "stage", "main"));
    assert!(pull.body.starts_with("\nB\n"), "{:?}", pull.body);
    assert_eq!(pull.labels, ["promotion"]);
    let url = format!("{}/{REPO}/pulls/1", site.host.url());
    assert_eq!(json!(result.output.unwrap()), json!({"pr": {"id": 1, "url": url}}));

    // Where there is a user interface the description leads to it.
    site.branch(REPO, "other", "T\n").await;
    site.world.forge.as_mut().unwrap().ui_base_url = "https://kargo.example.com/".into();
    let config = site.config(REPO, json!({"sourceBranch": "other", "targetBranch": "main"}));
    site.run(OPEN, config).await.unwrap();
    let body = site.host.pull_requests(REPO)[1].body.clone();
    let link = "[View in Kargo UI](https://kargo.example.com/project/p/stage/s)";
    assert!(body.contains(link), "{body}");
}

#[tokio::test]
async fn branches_decide_whether_there_is_something_to_open() {
    let site = Site::new().await;
    site.repository(REPO).await;
    site.host.set_branch(REPO, "same", "main").await.unwrap();
    // A further commit that changes nothing.
    site.host.commit_file(REPO, "same", "README.md", "other\n", "away").await.unwrap();
    site.host.commit_file(REPO, "same", "README.md", "hello\n", "and back").await.unwrap();
    site.branch(REPO, "README.md", "A branch with a file's name\n").await;
    for (case, source, target, further, expected) in [
        ("steps-git/11-4", "README.md", "main", json!({}), Ok(Status::Succeeded)),
        (
            "steps-git/11-5",
            "stage",
            "nowhere",
            json!({}),
            Err("target branch \"nowhere\" does not exist"),
        ),
        ("steps-git/11-6", "same", "main", json!({}), Ok(Status::Skipped)),
        (
            "steps-git/11-7",
            "stage",
            "main",
            json!({"createTargetBranch": true}),
            Ok(Status::Succeeded),
        ),
        ("a source that is not there", "gone", "main", json!({}), Err("error cloning http")),
    ] {
        let mut fields = json!({"sourceBranch": source, "targetBranch": target});
        fields.as_object_mut().unwrap().extend(further.as_object().cloned().unwrap());
        let before = site.host.pull_requests(REPO).len();
        let result = site.run(OPEN, site.config(REPO, fields)).await;
        let opened = site.host.pull_requests(REPO).len() - before;
        match (result, expected) {
            (Ok(result), Ok(status)) => {
                assert_eq!(result.status, status, "{case}");
                assert_eq!(opened, usize::from(status == Status::Succeeded), "{case}");
                assert_eq!(result.output.is_some(), status == Status::Succeeded, "{case}");
            }
            (Err(error), Err(text)) => {
                assert!(error.message.starts_with(text), "{case}: {error}");
                assert_eq!((error.class, error.failed), (ErrorClass::NotFound, false), "{case}");
                assert_eq!(opened, 0, "{case}");
            }
            (result, _) => panic!("{case}: {result:?}"),
        }
    }
}

#[tokio::test]
async fn an_open_one_of_the_same_commit_is_adopted() {
    let site = Site::new().await;
    site.repository(REPO).await;
    site.host.set_branch(REPO, "release", "main").await.unwrap();
    // By a person, and from the same commit to another branch as well.
    let by_hand = site.config(REPO, json!({"sourceBranch": "stage", "targetBranch": "release"}));
    assert_eq!(number(&site.run(OPEN, by_hand).await.unwrap()), 1);
    let config = site.config(REPO, branches());
    assert_eq!(number(&site.run(OPEN, config.clone()).await.unwrap()), 2);
    // A second Promotion, which is no attempt of the first.
    assert_eq!(number(&site.run(OPEN, config.clone()).await.unwrap()), 2);
    assert_eq!(site.host.pull_requests(REPO).len(), 2);
    // One that was closed is none: there is still something to ask for.
    site.host.close_pull_request(REPO, 2);
    assert_eq!(number(&site.run(OPEN, config.clone()).await.unwrap()), 3);
    // What this step had as its output asks nobody.
    site.host.traffic().clear();
    let output = json!({"pr": {"id": 9.0, "url": "u"}});
    let first = Attempt::Again { output: output.as_object().cloned() };
    let result = site.attempt(OPEN, config, first, Some(output.clone())).await.unwrap();
    assert_eq!(json!(result.output.unwrap()), output);
    assert_eq!(site.host.traffic().total(), 0);
}

#[tokio::test]
async fn a_step_that_was_cut_off_knows_its_own_whatever_became_of_it() {
    for (case, meanwhile) in [
        ("nothing", None),
        ("merged", Some(MergeMethod::Merge)),
        ("squashed", Some(MergeMethod::Squash)),
        ("rebased", Some(MergeMethod::Rebase)),
        ("fast-forward", Some(MergeMethod::FastForwardOnly)),
    ] {
        let site = Site::new().await;
        site.repository(REPO).await;
        let config = site.config(REPO, branches());
        assert_eq!(number(&site.run(OPEN, config.clone()).await.unwrap()), 1, "{case}");
        if let Some(method) = meanwhile {
            site.host.merge_pull_request(REPO, 1, method).await.unwrap();
        }
        // Also where the branch has moved on.
        site.host.commit_file(REPO, "stage", "more", "x", "more").await.unwrap();
        let result = site.again(OPEN, config).await.unwrap();
        assert_eq!((result.status, number(&result)), (Status::Succeeded, 1), "{case}");
        assert_eq!(site.host.pull_requests(REPO).len(), 1, "{case}");
    }
    let site = Site::new().await;
    site.repository(REPO).await;
    let config = site.config(REPO, branches());
    site.run(OPEN, config.clone()).await.unwrap();
    site.host.close_pull_request(REPO, 1);
    assert_eq!(number(&site.again(OPEN, config).await.unwrap()), 1, "closed");
    assert_eq!(site.host.pull_requests(REPO)[0].state, PullState::Closed);
}

#[tokio::test]
async fn what_goes_wrong_while_opening_is_said() {
    let mut site = Site::new().await;
    site.repository(REPO).await;
    let config = site.config(REPO, branches());
    let labels = site.config(REPO, with(branches(), "labels", json!(["x", "y"])));
    let error = site.run(OPEN, labels).await.unwrap_err();
    assert_eq!(
        error.message,
        "error creating pull request: labels not found in repository team/app: x, y"
    );
    assert_eq!(error.class, ErrorClass::Config);
    let unknown = json!({"repoURL": site.host.repository_url(REPO),
        "sourceBranch": "stage", "targetBranch": "main"});
    let error = site.run(OPEN, unknown).await.unwrap_err();
    let expected = "error creating git provider service: no registered providers for http";
    assert!(error.message.starts_with(expected), "{error}");
    for (status, class) in [(503, ErrorClass::Transient), (403, ErrorClass::Auth)] {
        site.host.traffic().fail_next(3, status, Some(GitService::Other));
        let error = site.run(OPEN, config.clone()).await.unwrap_err();
        let expected = "error determining if pull request already exists: GET http";
        assert!(error.message.starts_with(expected), "{error}");
        assert_eq!(error.class, class);
        site.host.traffic().fail_next(0, status, None);
    }
    // With a token, without one, with another.
    site.guard(REPO, Some(TOKEN));
    assert_eq!(number(&site.run(OPEN, config.clone()).await.unwrap()), 1);
    for (given, hint) in [(None, "no Secret"), (Some("another-token"), "Secret p/repo")] {
        site.guard(REPO, given);
        let error = site.run(OPEN, config.clone()).await.unwrap_err();
        assert_eq!(error.class, ErrorClass::Auth, "{error}");
        assert!(error.message.contains(hint), "{error}");
    }
    assert_eq!(site.host.pull_requests(REPO).len(), 1);
}

fn pull(state: State, merge_commit: Option<&str>) -> PullRequest {
    PullRequest {
        number: 7,
        url: "https://example.com/pr/7".into(),
        state,
        merge_commit: merge_commit.map(str::to_owned),
        head_commit: "a".repeat(40),
        head: "h".into(),
        base: "b".into(),
        body: String::new(),
        created_at: None,
    }
}

fn no_answer() -> ForgeError {
    ForgeError::NoAnswer {
        method: "GET",
        url: "https://example.com/api".into(),
        host: "example.com".into(),
        reason: "it took too long".into(),
    }
}

async fn told(
    kind: &str,
    told: &Told,
    fields: Value,
    attempt: Attempt,
) -> Result<StepResult, StepError> {
    let dir = tempfile::tempdir().unwrap();
    let mut config = json!({"repoURL": "https://gitea.example/a/b", "prNumber": 7});
    config.as_object_mut().unwrap().extend(fields.as_object().cloned().unwrap());
    attempt_in(&told.world(), &dir, kind, config, attempt, None).await
}

#[tokio::test]
async fn waiting_goes_by_what_the_pull_request_is() {
    // spec: steps-git/16-4
    let seconds = |n| Some(Duration::from_secs(n));
    for (case, pull, fields, expected, retry_after, output) in [
        (
            "open",
            pull(State::Open, None),
            json!({}),
            Ok(Status::Running),
            seconds(30),
            json!({"pr": {"id": 7, "url": "https://example.com/pr/7", "open": true, "merged": false}}),
        ),
        (
            "open, with a pace",
            pull(State::Open, Some("trial")),
            json!({"pollInterval": "90s"}),
            Ok(Status::Running),
            seconds(90),
            json!({"pr": {"id": 7, "url": "https://example.com/pr/7", "open": true, "merged": false}, "commit": "trial"}),
        ),
        (
            "merged",
            pull(State::Merged, Some("c0ffee")),
            json!({}),
            Ok(Status::Succeeded),
            None,
            json!({"pr": {"id": 7, "url": "https://example.com/pr/7", "open": false, "merged": true}, "commit": "c0ffee"}),
        ),
        (
            "closed",
            pull(State::Closed, None),
            json!({}),
            Err("pull request 7 was closed without being merged"),
            None,
            json!({"pr": {"id": 7, "url": "https://example.com/pr/7", "open": false, "merged": false}}),
        ),
    ] {
        let provider = Told::default();
        provider.get.lock().unwrap().push_back(Ok(pull));
        match (told(WAIT, &provider, fields, Attempt::First).await, expected) {
            (Ok(result), Ok(status)) => {
                assert_eq!((result.status, result.retry_after), (status, retry_after), "{case}");
                assert_eq!(json!(result.output), output, "{case}");
                if status == Status::Running {
                    let message = &result.message;
                    assert!(message.starts_with("waiting since 20"), "{case}: {message}");
                    assert!(message.contains("https://example.com/pr/7"), "{case}: {message}");
                }
            }
            (Err(error), Err(text)) => {
                assert_eq!(error.message, text, "{case}");
                assert!(error.failed && error.terminal, "{case}");
                assert_eq!(json!(error.output), output, "{case}");
            }
            (result, _) => panic!("{case}: {result:?}"),
        }
    }
}

#[tokio::test]
async fn waiting_outlives_the_providers_trouble() {
    let known = json!({"pr": {"id": 7, "url": "u", "open": true, "merged": false}});
    let again = Attempt::Again { output: known.as_object().cloned() };
    let pause = Duration::from_secs(120);
    for (error, at_least) in [
        (no_answer(), Duration::from_secs(30)),
        (ForgeError::Paused { host: "example.com".into(), retry_after: pause }, pause),
    ] {
        let provider = Told::default();
        provider.get.lock().unwrap().push_back(Err(error));
        let result = told(WAIT, &provider, json!({}), again.clone()).await.unwrap();
        assert_eq!(result.status, Status::Running);
        assert!(result.retry_after.unwrap() >= at_least);
        assert_eq!(json!(result.output), known, "what is known stays");
        assert!(result.message.contains("the last look failed: "), "{}", result.message);
    }
    for (error, class) in [
        (ForgeError::Config("no".into()), ErrorClass::Config),
        (ForgeError::State("no".into()), ErrorClass::Conflict),
    ] {
        let provider = Told::default();
        provider.get.lock().unwrap().push_back(Err(error));
        let error = told(WAIT, &provider, json!({}), Attempt::First).await.unwrap_err();
        assert_eq!(error.message, "error getting pull request 7: no");
        assert_eq!((error.class, error.failed), (class, false));
    }
    // The schema's pattern is a search, so this comes through.
    let pace = json!({"pollInterval": "abc5s"});
    let error = told(WAIT, &Told::default(), pace, Attempt::First).await.unwrap_err();
    assert!(error.message.starts_with("error parsing pollInterval: "), "{error}");
}

#[tokio::test]
async fn merging_goes_by_what_the_provider_answers() {
    // spec: steps-git/16-4
    let not_ready = || Ok(Merge::NotReady { why: "checks are missing".into(), unsettled: false });
    let unsettled = || Ok(Merge::NotReady { why: "it is looking".into(), unsettled: true });
    let merged = |commit| Ok(Merge::Merged(pull(State::Merged, commit)));
    let refused = || Err(ForgeError::State("pull request 7 is closed but not merged".into()));
    for (case, answer, fields, expected, retry_after) in [
        ("merged", merged(Some("c0ffee")), json!({}), Ok(Some("c0ffee")), 0),
        ("an empty merge commit", merged(None), json!({}), Ok(Some("")), 0),
        (
            "an error",
            refused(),
            json!({"wait": true}),
            Err("error merging pull request 7: pull request 7 is closed but not merged"),
            0,
        ),
        (
            "not ready",
            not_ready(),
            json!({}),
            Err("pull request 7 is not ready to merge and wait is disabled: checks are missing"),
            0,
        ),
        ("not ready, with wait", not_ready(), json!({"wait": true}), Ok(None), 10),
        // The provider has not looked yet: nobody fails for that at once.
        ("unsettled", unsettled(), json!({}), Ok(None), 10),
        (
            "not ready, with a pace",
            not_ready(),
            json!({"wait": true, "pollInterval": "45s"}),
            Ok(None),
            45,
        ),
        ("no answer, with wait", Err(no_answer()), json!({"wait": true}), Ok(None), 10),
    ] {
        let provider = Told::default();
        provider.merge.lock().unwrap().push_back(answer);
        match (told(MERGE, &provider, fields, Attempt::First).await, expected) {
            (Ok(result), Ok(Some(commit))) => {
                assert_eq!(result.status, Status::Succeeded, "{case}");
                assert_eq!(json!(result.output), json!({"commit": commit}), "{case}");
            }
            (Ok(result), Ok(None)) => {
                assert_eq!((result.status, result.output), (Status::Running, None), "{case}");
                assert_eq!(result.retry_after, Some(Duration::from_secs(retry_after)), "{case}");
                assert!(result.message.contains("pull request 7 can be merged: "), "{case}");
            }
            (Err(error), Err(text)) => {
                assert_eq!(error.message, text, "{case}");
                assert!(error.failed && error.terminal && error.output.is_none(), "{case}");
            }
            (result, _) => panic!("{case}: {result:?}"),
        }
    }
    // What may pass is tried again even without wait.
    let provider = Told::default();
    provider.merge.lock().unwrap().push_back(Err(no_answer()));
    let error = told(MERGE, &provider, json!({}), Attempt::First).await.unwrap_err();
    assert_eq!((error.class, error.terminal), (ErrorClass::Transient, false));
}

#[tokio::test]
async fn a_pull_request_is_merged_at_the_host() {
    let site = Site::new().await;
    site.repository(REPO).await;
    site.run(OPEN, site.config(REPO, branches())).await.unwrap();
    let config = site.config(REPO, json!({"prNumber": 1, "mergeMethod": "squash"}));
    let result = site.run(MERGE, config.clone()).await.unwrap();
    let log = site.host.log(REPO, "main").await.unwrap();
    assert_eq!((log.len(), log[0].parents.len()), (2, 1), "{log:#?}");
    assert_eq!(json!(result.output), json!({"commit": log[0].id}));
    // Again, as after a crash.
    let again = site.again(MERGE, config).await.unwrap();
    assert_eq!(again.output, result.output);
    assert_eq!(site.host.log(REPO, "main").await.unwrap().len(), 2);
    let waited = site.run(WAIT, site.config(REPO, json!({"prNumber": 1}))).await.unwrap();
    assert_eq!(waited.status, Status::Succeeded);
    assert_eq!(waited.output.unwrap()["commit"], json!(log[0].id));
    // A conflict waits, or fails, and says so.
    site.branch(REPO, "late", "late").await;
    site.host.commit_file(REPO, "main", "tag", "conflict", "first").await.unwrap();
    let late = json!({"sourceBranch": "late", "targetBranch": "main"});
    site.run(OPEN, site.config(REPO, late)).await.unwrap();
    let config = site.config(REPO, json!({"prNumber": 2}));
    let first = site.run(MERGE, config.clone()).await.unwrap();
    assert_eq!(first.status, Status::Running, "the host may be looking still");
    assert!(first.message.contains("there are conflicts"), "{}", first.message);
    let error = site.after(31, MERGE, config).await.unwrap_err();
    assert!(error.message.contains("there are conflicts"), "{error}");
    assert!(error.failed && error.terminal, "{error}");
    let missing = site.config(REPO, json!({"prNumber": 99}));
    let error = site.run(WAIT, missing).await.unwrap_err();
    assert_eq!(error.class, ErrorClass::NotFound);
}
