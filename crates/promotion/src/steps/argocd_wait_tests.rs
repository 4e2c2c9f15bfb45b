use std::sync::Arc;

use api::PromotionStepStatus;
use serde_json::{Value, json};

use super::*;
use crate::argocd::samples::FakeArgoCd;
use crate::engine::schema;
use crate::steps::argocd_testing::{context, world};

fn app(name: &str, health: &str) -> Value {
    json!({
        "metadata": {"name": name, "labels": {"env": "prod"}},
        "status": {"health": {"status": health}, "sync": {"status": "Synced"}},
    })
}

async fn run(
    argocd: &Arc<FakeArgoCd>,
    apps: Value,
    attempt: Attempt,
) -> Result<StepResult, StepError> {
    let (context, _dir) = context(json!({"apps": apps}), attempt);
    ArgoCdWait.run(&context, &world(argocd)).await
}

#[test]
fn a_config_is_checked() {
    let problems = |config: Value| {
        schema::problems(&schema::compile(&ArgoCdWait.config_schema()).unwrap(), &config)
    };
    let found = problems(json!({"apps": [{"name": "a", "waitFor": ["invalid"]}]}));
    // steps-argocd/12-1
    assert!(
        found
            .iter()
            .any(|p| p.contains("apps.0.waitFor.0: apps.0.waitFor.0 must be one of the following")),
        "{found:?}"
    );
    for (wait_for, right) in [
        (json!([]), false),
        (json!(["health", "health"]), false),
        (json!(["health", "suspended"]), true),
    ] {
        let config = json!({"apps": [{"name": "a", "waitFor": wait_for}]});
        assert_eq!(problems(config.clone()).is_empty(), right, "{config}");
    }
}

#[tokio::test]
async fn it_waits_for_all_applications() {
    let argocd = Arc::new(FakeArgoCd::with(&[app("a", "Healthy"), app("b", "Progressing")]));
    let both = json!([{"selector": {"matchLabels": {"env": "prod"}}}]);
    let result = run(&argocd, both.clone(), Attempt::First).await.unwrap();
    // steps-argocd/4.3-13
    assert_eq!((result.status, result.retry_after), (PromotionStepStatus::Running, None));
    assert_eq!(
        Value::Object(result.output.unwrap()),
        json!({
            "apps": [{"name": "a", "namespace": "argocd"}, {"name": "b", "namespace": "argocd"}],
            "healthStatus": {"argocd/a": "Healthy", "argocd/b": "Progressing"},
        })
    );
    assert_eq!(result.health_check, None);
    argocd.put(app("b", "Healthy"));
    let result = run(&argocd, both, Attempt::First).await.unwrap();
    assert_eq!(result.status, PromotionStepStatus::Succeeded);
    assert!(argocd.patches().is_empty());
}

#[tokio::test]
async fn a_regression_is_known_by_the_last_output() {
    let argocd = Arc::new(FakeArgoCd::with(&[app("my-app", "Degraded")]));
    let config = json!([{"name": "my-app"}]);
    let again = |output: Value| Attempt::Again { output: output.as_object().cloned() };
    let previous = again(json!({"healthStatus": {"argocd/my-app": "Progressing", "x": 7}}));
    let error = run(&argocd, config.clone(), previous).await.unwrap_err();
    // steps-argocd/4.3-15
    assert!(error.terminal);
    assert_eq!(
        error.message,
        "Argo CD Application \"my-app\" in namespace \"argocd\" health has regressed from \
         Progressing to Degraded"
    );
    // steps-argocd/4.3-14
    assert_eq!(
        error.output.map(|o| Value::Object(*o)),
        Some(json!({
            "apps": [{"name": "my-app", "namespace": "argocd"}],
            "healthStatus": {"argocd/my-app": "Degraded"},
        }))
    );
    let odd = again(json!({"healthStatus": ["Progressing"]}));
    let result = run(&argocd, config, odd).await.unwrap();
    assert_eq!(result.status, PromotionStepStatus::Running);
}

#[tokio::test]
async fn a_stale_state_is_compared_again_once() {
    let mut object = app("a", "Healthy");
    object["status"]["operationState"] =
        json!({"phase": "Succeeded", "finishedAt": "2026-11-24T21:47:35Z"});
    let argocd = Arc::new(FakeArgoCd::with(&[object]));
    for _ in 0..2 {
        let result = run(&argocd, json!([{"name": "a"}]), Attempt::First).await.unwrap();
        assert_eq!(result.status, PromotionStepStatus::Running);
    }
    assert_eq!(argocd.patches(), [refresh_request()]);
}

#[tokio::test]
async fn what_is_not_there_is_an_error() {
    let argocd = Arc::new(FakeArgoCd::default());
    let error = run(&argocd, json!([{"name": "a"}]), Attempt::First).await.unwrap_err();
    assert!(
        error
            .message
            .starts_with("unable to find Argo CD Application \"a\" in namespace \"argocd\""),
        "{}",
        error.message
    );
    let (context, _dir) = context(json!({"apps": [{"name": "a"}]}), Attempt::First);
    let error = ArgoCdWait.run(&context, &World::default()).await.unwrap_err();
    assert_eq!(
        error.message,
        "Argo CD integration is disabled on this controller; cannot wait for Argo CD Application \
         resources"
    );
}
