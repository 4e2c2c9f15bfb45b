use sandbox::git_host::{GitHost, GitHostOptions};
use serde_json::{Value, json};

use super::*;
use crate::argocd::samples::FakeArgoCd;
use crate::engine::schema;
use crate::git_access::GitAccess;
use crate::steps::argocd_testing::{context, world};

fn problems(config: Value) -> Vec<String> {
    schema::problems(&schema::compile(&ArgoCdUpdate.config_schema()).unwrap(), &config)
}

#[test]
fn a_config_is_checked() {
    let apps = |apps: Value| json!({"apps": apps});
    let selector = |s: Value| json!({"apps": [{"selector": s}]});
    let expression = |e: Value| json!({"apps": [{"selector": {"matchExpressions": [e]}}]});
    let sources = |s: Value| json!({"apps": [{"name": "a", "sources": s}]});
    let source = |mut s: Value| {
        s["repoURL"] = json!("r");
        json!({"apps": [{"name": "a", "sources": [s]}]})
    };
    // (config, problem); steps-argocd/12-1
    let wrong = [
        (json!({}), "(root): apps is required"),
        (apps(json!([])), "apps: Array must have at least 1 items"),
        (apps(json!([{}])), "apps.0: Must validate one and only one schema (oneOf)"),
        (
            apps(json!([{"name": "a", "selector": {"matchLabels": {"a": "b"}}}])),
            "apps.0: Must validate one and only one schema (oneOf)",
        ),
        (
            apps(json!([{"name": ""}])),
            "apps.0.name: String length must be greater than or equal to 1",
        ),
        (selector(json!({})), "apps.0.selector: Must validate at least one schema (anyOf)"),
        (
            selector(json!({"matchLabels": {}})),
            "apps.0.selector.matchLabels: Must have at least 1 properties",
        ),
        (
            selector(json!({"matchExpressions": []})),
            "apps.0.selector.matchExpressions: Array must have at least 1 items",
        ),
        (
            expression(json!({"operator": "Exists"})),
            "apps.0.selector.matchExpressions.0: key is required",
        ),
        (
            expression(json!({"key": "a"})),
            "apps.0.selector.matchExpressions.0: operator is required",
        ),
        (
            expression(json!({"key": "a", "operator": "InvalidOperator"})),
            "apps.0.selector.matchExpressions.0.operator must be one of the following",
        ),
        (
            apps(json!([{"name": "a", "namespace": ""}])),
            "apps.0.namespace: String length must be greater than or equal to 1",
        ),
        (sources(json!([])), "apps.0.sources: Array must have at least 1 items"),
        (sources(json!([{}])), "apps.0.sources.0: repoURL is required"),
        (
            source(json!({"updateTargetRevision": true})),
            "apps.0.sources.0: Must validate one and only one schema (oneOf)",
        ),
        (
            source(json!({"helm": {"images": [{}]}})),
            "apps.0.sources.0.helm.images.0: key is required",
        ),
        (
            source(json!({"helm": {"images": [{}]}})),
            "apps.0.sources.0.helm.images.0: value is required",
        ),
        (
            source(json!({"kustomize": {"images": []}})),
            "apps.0.sources.0.kustomize.images: Array must have at least 1 items",
        ),
        (
            source(json!({"kustomize": {"images": [{"repoURL": "i", "digest": "d", "tag": "t"}]}})),
            "apps.0.sources.0.kustomize.images.0: Must validate one and only one schema (oneOf)",
        ),
        (
            source(json!({"desiredCommitFromStep": "x"})),
            "apps.0.sources.0: Additional property desiredCommitFromStep is not allowed",
        ),
    ];
    for (config, problem) in wrong {
        let found = problems(config.clone());
        assert!(found.iter().any(|p| p.contains(problem)), "{config}: {found:?}");
    }
    // steps-argocd/12-1
    let right = [
        selector(
            json!({"matchLabels": {"a": "b"}, "matchExpressions": [{"key": "a", "operator": "Exists"}]}),
        ),
        source(json!({"desiredRevision": "x", "updateTargetRevision": true})),
        source(json!({"updateTargetRevision": false})),
        source(json!({"kustomize": {"images": [{"repoURL": "i"}]}})),
        source(json!({"helm": {"images": [{"key": "k", "value": ""}]}})),
    ];
    for config in right {
        let found = problems(config.clone());
        assert!(found.is_empty(), "{config}: {found:?}");
    }
}

fn app(name: &str, promotion: Option<&str>, phase: &str) -> Value {
    let state = promotion.map(|p| {
        json!({
            "operation": {"info": [{"name": "kargo.akuity.io/promotion", "value": p}]},
            "phase": phase, "message": "boom",
            "syncResult": {"revision": "rev"},
        })
    });
    json!({
        "metadata": {
            "name": name, "uid": "u", "labels": {"env": "prod"},
            "annotations": {"kargo.akuity.io/authorized-stage": "fake-project:fake-stage"},
        },
        "spec": {"source": {"repoURL": "https://example.com/r", "targetRevision": "main"}},
        "status": {"operationState": state},
    })
}

const OURS: Option<&str> = Some("fake-promotion");

async fn run(
    argocd: &std::sync::Arc<FakeArgoCd>,
    apps: Value,
    attempt: Attempt,
) -> Result<StepResult, StepError> {
    let (context, _dir) = context(json!({"apps": apps}), attempt);
    ArgoCdUpdate.run(&context, &world(argocd)).await
}

fn fake(objects: &[Value]) -> std::sync::Arc<FakeArgoCd> {
    std::sync::Arc::new(FakeArgoCd::with(objects))
}

fn entries(result: &StepResult) -> (usize, usize) {
    let count = |v: &Value| v.as_array().map_or(0, Vec::len);
    (
        count(&result.output.as_ref().unwrap()["apps"]),
        count(&result.health_check.as_ref().unwrap().config["apps"]),
    )
}

#[tokio::test]
async fn a_first_run_asks_and_a_later_one_ends() {
    let argocd = fake(&[app("a", None, "")]);
    let config = json!([{"name": "a", "sources": [
        {"repoURL": "https://example.com/r", "desiredRevision": "rev"}]}]);
    let result = run(&argocd, config.clone(), Attempt::First).await.unwrap();
    // steps-argocd/12-7
    assert_eq!(result.status, PromotionStepStatus::Running);
    assert_eq!((argocd.patches().len(), entries(&result)), (1, (1, 1)));
    let object = argocd.object("a");
    assert_eq!(object["operation"]["info"][1]["value"], "fake-promotion");
    assert_eq!(object["metadata"]["annotations"]["argocd.argoproj.io/refresh"], "hard");
    let event = &argocd.events()[0];
    assert_eq!(event["message"], "kargo-controller initiated sync to main");
    assert_eq!(event["involvedObject"]["resourceVersion"], object["metadata"]["resourceVersion"]);
    let output = result.output.clone().unwrap();
    assert_eq!(output["requests"]["argocd/a"]["count"], 1);
    assert_eq!(
        result.health_check.unwrap().config,
        json!({"apps": [{"name": "a", "namespace": "argocd", "desiredRevisions": ["rev"]}]})
    );

    // Whatever it knows of its request, it does not ask twice.
    for output in [Some(output), None] {
        let again = Attempt::Again { output };
        let result = run(&argocd, config.clone(), again).await.unwrap();
        assert_eq!(result.status, PromotionStepStatus::Running);
    }
    assert_eq!(argocd.patches().len(), 1);

    argocd.put(app("a", OURS, "Succeeded"));
    let result = run(&argocd, config, Attempt::Again { output: None }).await.unwrap();
    assert_eq!(result.status, PromotionStepStatus::Succeeded);
    assert_eq!(
        Value::Object(result.output.unwrap()),
        json!({"apps": [{"name": "a", "namespace": "argocd"}]})
    );
}

#[tokio::test]
async fn the_worst_phase_counts() {
    let argocd =
        fake(&[app("1", OURS, "Succeeded"), app("2", OURS, "Running"), app("3", None, "")]);
    let three = json!([{"name": "1"}, {"name": "2"}, {"name": "3"}]);
    let result = run(&argocd, three, Attempt::First).await.unwrap();
    // steps-argocd/12-7
    assert_eq!((result.status, entries(&result)), (PromotionStepStatus::Running, (3, 3)));

    let argocd = fake(&[app("1", OURS, "Succeeded"), app("2", OURS, "Succeeded")]);
    let mut other = app("4", OURS, "Succeeded");
    other["metadata"]["labels"]["env"] = json!("test");
    argocd.put(other);
    let both = json!([{"name": "4"}, {"selector": {"matchExpressions": [
        {"key": "env", "operator": "In", "values": ["prod"]}]}}]);
    let result = run(&argocd, both, Attempt::First).await.unwrap();
    // steps-argocd/12-7
    assert_eq!((result.status, entries(&result)), (PromotionStepStatus::Succeeded, (3, 3)));

    let argocd = fake(&[app("1", OURS, "Unknown")]);
    let error = run(&argocd, json!([{"name": "1"}]), Attempt::First).await.unwrap_err();
    // steps-argocd/12-7
    assert_eq!(
        error.message,
        "could not determine promotion step status from operation phases: [Unknown]"
    );

    let argocd = fake(&[app("1", OURS, "Failed")]);
    let error = run(&argocd, json!([{"name": "1"}]), Attempt::First).await.unwrap_err();
    // steps-argocd/12-5
    assert_eq!(
        error.message,
        "Argo CD Application \"1\" in namespace \"argocd\" failed with: boom"
    );
    assert!(!error.terminal);
}

#[tokio::test]
async fn phases_that_failed_without_an_error_end_errored() {
    let argocd = fake(&[]);
    let (context, _dir) = context(json!({}), Attempt::First);
    let world = World::default();
    let mut pass = Pass::new(&context, &world, argocd.as_ref());
    pass.phases = vec!["Running".into(), "Failed".into()];
    let result = pass.result().unwrap();
    // steps-argocd/12-7
    assert_eq!((result.status, result.message.as_str()), (PromotionStepStatus::Errored, ""));
    let error = Pass::new(&context, &world, argocd.as_ref()).result().unwrap_err();
    assert_eq!(
        error.message,
        "could not determine promotion step status from operation phases: []"
    );
}

#[tokio::test]
async fn the_first_failure_stops_the_step() {
    let argocd = fake(&[app("app1", None, ""), app("app2", None, ""), app("app3", None, "")]);
    argocd.break_patches_of("app2");
    let all = json!([{"selector": {"matchLabels": {"env": "prod"}}}]);
    let error = run(&argocd, all, Attempt::First).await.unwrap_err();
    // steps-argocd/12-7
    assert_eq!(
        error.message,
        "error syncing Argo CD Application \"app2\" in namespace \"argocd\": error patching Argo CD \
         Application \"app2\": failed to patch the object: something went wrong"
    );
    assert!(argocd.object("app1")["operation"].is_object());
    assert!(argocd.object("app3")["operation"].is_null());
}

#[tokio::test]
async fn incompatible_applications_are_told_before_any_is_changed() {
    let apps: Vec<Value> = (1..=5).map(|i| app(&format!("app{i}"), None, "")).collect();
    let argocd = fake(&apps);
    let config = json!([{"selector": {"matchLabels": {"env": "prod"}},
                         "sources": [{"repoURL": "https://example.com/other"}]}]);
    let error = run(&argocd, config.clone(), Attempt::First).await.unwrap_err().message;
    // steps-argocd/12-7
    assert!(
        error.starts_with(
            "selected Applications must have compatible sources; 5 incompatible (showing first 3). \
             No Applications were updated:\nApplication \"app1\" in namespace \"argocd\": no source \
             of "
        ) && !error.contains("app4")
            && !error.contains("app5"),
        "{error}"
    );
    assert!(argocd.patches().is_empty());
    let error =
        run(&argocd, json!([{"name": "app1", "sources": config[0]["sources"]}]), Attempt::First);
    assert_eq!(
        error.await.unwrap_err().message,
        "error building desired sources for Argo CD Application \"app1\" in namespace \"argocd\": no \
         source of Argo CD Application \"app1\" in namespace \"argocd\" matched update for source \
         with repoURL https://example.com/other"
    );
}

#[tokio::test(start_paused = true)]
async fn a_conflict_is_tried_again_a_few_times() {
    let argocd = fake(&[app("a", None, "")]);
    argocd.conflict(1);
    let result = run(&argocd, json!([{"name": "a"}]), Attempt::First).await.unwrap();
    // steps-argocd/12-9
    assert_eq!(result.status, PromotionStepStatus::Running);
    assert_eq!(argocd.patches().len(), 1);
    let argocd = fake(&[app("a", None, "")]);
    argocd.conflict(5);
    let error = run(&argocd, json!([{"name": "a"}]), Attempt::First).await.unwrap_err();
    assert!(error.message.ends_with("the object has been modified"), "{}", error.message);
}

#[tokio::test]
async fn a_sync_that_missed_the_revision_is_asked_for_again_after_a_pause() {
    let argocd = fake(&[app("a", OURS, "Error")]);
    let config = json!([{"name": "a", "sources": [
        {"repoURL": "https://example.com/r", "desiredRevision": "other"}]}]);
    let now = Timestamp::now();
    let known = |count: u32, at: Timestamp| {
        let output = json!({"requests": {"argocd/a": {"at": at, "count": count}}});
        Attempt::Again { output: output.as_object().cloned() }
    };
    let result = run(&argocd, config.clone(), known(3, now)).await.unwrap();
    assert_eq!(result.status, PromotionStepStatus::Running);
    assert!(result.message.contains("failed with: boom"), "{}", result.message);
    let left = result.retry_after.unwrap();
    assert!(left > Duration::from_secs(3) && left <= Duration::from_secs(4), "{left:?}");
    assert!(argocd.patches().is_empty());

    let earlier = now - Duration::from_secs(60);
    let result = run(&argocd, config, known(3, earlier)).await.unwrap();
    assert_eq!(argocd.patches().len(), 1);
    assert!(result.message.contains("failed with: boom"), "{}", result.message);
    assert_eq!(result.output.unwrap()["requests"]["argocd/a"]["count"], 4);
}

#[tokio::test]
async fn a_sync_replaced_by_argo_cds_own_is_known_by_the_history() {
    let mut object = app("a", None, "");
    object["status"] = json!({
        "operationState": {"operation": {"initiatedBy": {"automated": true}}, "phase": "Succeeded",
                           "startedAt": "2026-11-24T21:47:36Z", "syncResult": {"revision": "rev"}},
        "history": [
            {"id": 6, "revision": "old", "deployStartedAt": "2026-11-24T21:40:00Z"},
            {"id": 7, "revision": "rev", "deployStartedAt": "2026-11-24T21:47:35Z",
             "initiatedBy": {"username": "kargo-controller", "automated": true}}],
    });
    let argocd = fake(&[object]);
    let config = json!([{"name": "a"}]);
    let output = json!({"requests": {"argocd/a": {"at": "2026-11-24T21:47:35Z", "count": 1,
                                                   "lastDeployment": 6}}});
    let known = Attempt::Again { output: output.as_object().cloned() };
    for attempt in [known, Attempt::Again { output: None }] {
        let result = run(&argocd, config.clone(), attempt).await.unwrap();
        assert_eq!(result.status, PromotionStepStatus::Succeeded);
    }
    // One that has not asked yet does.
    let result = run(&argocd, config, Attempt::First).await.unwrap();
    assert_eq!(result.status, PromotionStepStatus::Running);
    assert_eq!(argocd.patches().len(), 1);
}

#[tokio::test]
async fn what_cannot_be_is_told_with_what_to_do() {
    let mut other = app("frontend-dev", None, "");
    other["metadata"]["annotations"]["kargo.akuity.io/authorized-stage"] = json!("p:s");
    let argocd = fake(&[other]);
    let error = run(&argocd, json!([{"name": "fronted-dev"}]), Attempt::First).await.unwrap_err();
    assert_eq!(
        error.message,
        "unable to find Argo CD Application \"fronted-dev\" in namespace \"argocd\"; did you mean \
         \"frontend-dev\"?"
    );
    let error = run(&argocd, json!([{"name": "frontend-dev"}]), Attempt::First).await.unwrap_err();
    assert!(
        error.message.contains("kargo.akuity.io/authorized-stage: \"p:s,fake-project:fake-stage\""),
        "{}",
        error.message
    );
    let (context, _dir) = context(json!({"apps": [{"name": "a"}]}), Attempt::First);
    let error = ArgoCdUpdate.run(&context, &World::default()).await.unwrap_err();
    assert_eq!(
        error.message,
        "Argo CD integration is disabled on this controller; cannot update Argo CD Application \
         resources"
    );
}

#[tokio::test]
async fn an_application_that_is_deleted_in_the_middle_ends_the_step() {
    let argocd = fake(&[app("a", None, ""), app("b", None, "")]);
    let config = json!([{"name": "a"}, {"name": "b"}]);
    let output = run(&argocd, config.clone(), Attempt::First).await.unwrap().output;
    argocd.remove("a");
    let error = run(&argocd, config, Attempt::Again { output }).await.unwrap_err();
    assert_eq!(error.class, ErrorClass::NotFound);
    assert!(
        error
            .message
            .starts_with("unable to find Argo CD Application \"a\" in namespace \"argocd\""),
        "{}",
        error.message
    );
    assert_eq!(argocd.patches().len(), 2, "nothing more is asked of the other");
}

#[tokio::test]
async fn somebody_elses_operation_is_waited_for() {
    let mut busy = app("a", None, "");
    busy["status"]["operationState"] = json!({
        "operation": {"initiatedBy": {"username": "someone-else"}}, "phase": "Running",
    });
    let argocd = fake(&[busy]);
    let config = json!([{"name": "a"}]);
    for attempt in [Attempt::First, Attempt::Again { output: None }] {
        let result = run(&argocd, config.clone(), attempt).await.unwrap();
        assert_eq!(result.status, PromotionStepStatus::Running);
    }
    assert!(argocd.patches().is_empty());
    // It has ended: now it is our turn, once.
    argocd.put(app("a", Some("other-promotion"), "Succeeded"));
    for attempt in [Attempt::First, Attempt::Again { output: None }] {
        let result = run(&argocd, config.clone(), attempt).await.unwrap();
        assert_eq!(result.status, PromotionStepStatus::Running);
    }
    assert_eq!(argocd.patches().len(), 1);
}

#[tokio::test]
async fn a_head_that_contains_the_desired_commit_will_do() {
    let host = GitHost::start(GitHostOptions::default()).await.unwrap();
    host.create_repository("team/app", &[("a.yaml", "a: 1\n")]).await.unwrap();
    let url = host.repository_url("team/app");
    let head = async || host.log("team/app", "main").await.unwrap()[0].id.clone();
    let change = async |text: &str| {
        host.commit_file("team/app", "main", "a.yaml", text, "change").await.unwrap();
        head().await
    };
    let before = head().await;
    let ours = change("a: 2\n").await;
    let theirs = change("a: 3\n").await;

    let dir = tempfile::tempdir().unwrap();
    let options = git::GitOptions::new(dir.path().join("mirrors"));
    let access = GitAccess::new(std::sync::Arc::new(git::Git::open(options).unwrap()));
    let synced_to = |revision: &str| {
        let mut object = app("a", OURS, "Succeeded");
        object["spec"]["source"]["repoURL"] = json!(url);
        object["status"]["operationState"]["syncResult"]["revision"] = json!(revision);
        object
    };
    let config = json!({"apps": [{"name": "a", "sources": [
        {"repoURL": url, "desiredRevision": ours}]}]});
    for (revision, wanted, patches) in [
        (&theirs, PromotionStepStatus::Succeeded, 0),
        (&ours, PromotionStepStatus::Succeeded, 0),
        // From before our commit: it must be asked for.
        (&before, PromotionStepStatus::Running, 1),
    ] {
        let argocd = fake(&[synced_to(revision)]);
        let world = World { git: Some(access.clone()), ..world(&argocd) };
        let (context, _dir) = context(config.clone(), Attempt::Again { output: None });
        let result = ArgoCdUpdate.run(&context, &world).await.unwrap();
        assert_eq!((result.status, argocd.patches().len()), (wanted, patches), "{revision}");
    }
    assert!(access.ancestry.contains(&theirs, &ours));
    assert!(!access.ancestry.contains(&before, &ours));
    // It can be told without Git too, once known; what is not known is asked for again.
    let argocd = fake(&[synced_to(&theirs)]);
    let (context, _dir) = context(config, Attempt::Again { output: None });
    let result = ArgoCdUpdate.run(&context, &world(&argocd)).await.unwrap();
    assert_eq!(result.status, PromotionStepStatus::Running);
}

/// Nobody gave the Project the credentials: no sync after sync, but words.
#[tokio::test]
async fn what_cannot_be_looked_up_is_not_asked_for_again_and_again() {
    let url = "http://127.0.0.1:1/team/app";
    let (seen, desired) = ("a".repeat(40), "b".repeat(40));
    let mut object = app("a", OURS, "Succeeded");
    object["spec"]["source"]["repoURL"] = json!(url);
    object["status"]["operationState"]["syncResult"]["revision"] = json!(seen);
    let config = json!({"apps": [{"name": "a", "sources": [
        {"repoURL": url, "desiredRevision": desired}]}]});
    let dir = tempfile::tempdir().unwrap();
    let options = git::GitOptions::new(dir.path().join("mirrors"));
    let access = GitAccess::new(std::sync::Arc::new(git::Git::open(options).unwrap()));
    let earlier = Timestamp::now() - Duration::from_secs(600);
    for (count, patches) in [(1, 1), (2, 0), (3, 0)] {
        let argocd = fake(&[object.clone()]);
        let world = World { git: Some(access.clone()), ..world(&argocd) };
        let output = json!({"requests": {"argocd/a": {"at": earlier, "count": count}}});
        let attempt = Attempt::Again { output: output.as_object().cloned() };
        let (context, _dir) = context(config.clone(), attempt);
        let result = ArgoCdUpdate.run(&context, &world).await.unwrap();
        assert_eq!(result.status, PromotionStepStatus::Running);
        assert_eq!(argocd.patches().len(), patches, "after {count}");
        for words in [&*seen, &*desired, "cannot be found out", "kargo.akuity.io/cred-type: git"] {
            assert!(result.message.contains(words), "{}", result.message);
        }
        if patches == 0 {
            assert_eq!(result.retry_after, Some(Duration::from_secs(60)));
        }
    }
}

/// A sync window that denies is told in Argo CD's words.
#[tokio::test]
async fn what_holds_a_sync_back_is_told() {
    let mut object = app("a", OURS, "Running");
    let state = &mut object["status"]["operationState"];
    state["message"] = json!("Sync operation blocked by sync window");
    state["syncResult"] = json!({"revision": ""});
    let argocd = fake(&[object]);
    let output = json!({"requests": {"argocd/a": {"at": Timestamp::now(), "count": 1}}});
    let attempt = Attempt::Again { output: output.as_object().cloned() };
    let result = run(&argocd, json!([{"name": "a"}]), attempt).await.unwrap();
    assert_eq!(result.status, PromotionStepStatus::Running);
    assert!(result.message.contains("blocked by sync window"), "{}", result.message);
    assert!(argocd.patches().is_empty());
}

#[tokio::test]
async fn nothing_is_asked_once_the_process_is_to_end() {
    let argocd = fake(&[app("a", None, "")]);
    let (context, _dir) = context(json!({"apps": [{"name": "a"}]}), Attempt::First);
    context.cancel.cancel();
    let result = ArgoCdUpdate.run(&context, &world(&argocd)).await.unwrap();
    assert_eq!(result.status, PromotionStepStatus::Running);
    assert!(argocd.patches().is_empty());
}
