//! A Stage whose Promotions go through a pull request at the real Gitea: what
//! it is made of, and what must hold of it in the end.

use std::convert::Infallible;
use std::time::Duration;

use api::{Promotion, PromotionPhase};
use kube::ResourceExt;
use kube::api::{ListParams, Patch, PatchParams};
use peers::{Gitea, Repository};
use serde_json::{Value, json};

use crate::{Pipeline, await_that};

/// The Project.
pub const PROJECT: &str = "orders";

/// The image.
pub const IMAGE: &str = "example/orders-web";

/// The file that Promotions change.
pub const FILE: &str = "prod/values.yaml";

/// What a repository has at first.
pub const FILES: [(&str, &str); 2] =
    [("README.md", "what runs where\n"), (FILE, "image:\n  tag: 0.9.0\n")];

/// The real Gitea; says loudly that a test is passed over where it was not
/// built.
pub fn gitea(test: &str) -> Option<&'static Gitea> {
    let found = Gitea::shared();
    if found.is_none() {
        let why = "Gitea was not built; `make peers` builds it where Go is installed";
        crate::skipped::loudly(test, why);
    }
    found
}

/// The Secret by which a token opens the repository at `url`.
pub fn secret(name: &str, url: &str, token: &str) -> String {
    format!(
        "---
apiVersion: v1
kind: Secret
metadata:
  name: {name}
  namespace: {PROJECT}
  labels: {{kargo.akuity.io/cred-type: git}}
stringData: {{repoURL: '{url}', username: robot, password: {token}}}
"
    )
}

/// The Project with its Warehouse.
pub fn project() -> String {
    format!(
        "
apiVersion: v1
kind: Namespace
metadata: {{name: {PROJECT}, labels: {{kargo.akuity.io/project: 'true'}}}}
---
apiVersion: kargo.akuity.io/v1alpha1
kind: Project
metadata: {{name: {PROJECT}}}
---
apiVersion: kargo.akuity.io/v1alpha1
kind: ProjectConfig
metadata: {{name: {PROJECT}, namespace: {PROJECT}}}
spec:
  promotionPolicies:
  - stageSelector: {{name: 'glob:*'}}
    autoPromotionEnabled: true
---
apiVersion: kargo.akuity.io/v1alpha1
kind: Warehouse
metadata: {{name: web, namespace: {PROJECT}}}
spec:
  interval: 5m0s
  subscriptions:
  - image: {{repoURL: ghcr.io/{IMAGE}, constraint: '>=1.0.0'}}
"
    )
}

/// What a Stage does with its pull request once it is open.
#[derive(Clone, Debug)]
pub enum Then {
    /// Waits until somebody merges it.
    Wait,
    /// Merges it by a method, and waits until it can where `wait`.
    Merge {
        /// In Gitea's words.
        method: &'static str,
        /// Whether it waits.
        wait: bool,
    },
}

/// A Stage that opens a pull request against `main` of the repository at
/// `url`, and does `then`.
pub fn stage(name: &str, url: &str, then: &Then) -> String {
    let last = match then {
        Then::Wait => json!({"uses": "git-wait-for-pr", "as": "end", "config": {
            "repoURL": url, "provider": "gitea", "prNumber": "${{ outputs['open-pr'].pr.id }}",
        }}),
        Then::Merge { method, wait } => json!({"uses": "git-merge-pr", "as": "end", "config": {
            "repoURL": url, "provider": "gitea", "prNumber": "${{ outputs['open-pr'].pr.id }}",
            "mergeMethod": method, "wait": wait,
        }}),
    };
    let tag = format!("${{{{ imageFrom('ghcr.io/{IMAGE}').Tag }}}}");
    let steps = json!([
        {"uses": "git-clone", "config": {
            "repoURL": url, "checkout": [{"branch": "main", "path": "./src"}],
        }},
        {"uses": "yaml-update", "as": "update", "config": {
            "path": format!("./src/{FILE}"),
            "updates": [{"key": "image.tag", "value": format!("${{{{ quote(imageFrom('ghcr.io/{IMAGE}').Tag) }}}}")}],
        }},
        {"uses": "git-commit", "config": {
            "path": "./src", "message": "${{ outputs.update.commitMessage }}",
        }},
        {"uses": "git-push", "as": "push", "config": {
            "path": "./src", "generateTargetBranch": true,
        }},
        {"uses": "git-open-pr", "as": "open-pr", "config": {
            "repoURL": url, "provider": "gitea", "sourceBranch": "${{ outputs.push.branch }}",
            "targetBranch": "main", "title": format!("Promote {tag} to ${{{{ ctx.stage }}}}"),
        }},
        last,
    ]);
    let stage = json!({
        "apiVersion": "kargo.akuity.io/v1alpha1", "kind": "Stage",
        "metadata": {"name": name, "namespace": PROJECT},
        "spec": {
            "requestedFreight": [
                {"origin": {"kind": "Warehouse", "name": "web"}, "sources": {"direct": true}},
            ],
            "promotionTemplate": {"spec": {"steps": steps}},
        },
    });
    // JSON is YAML.
    format!("---\n{stage}\n")
}

/// Publishes version 1.0.0 and makes the Stage `prod` for the repository at
/// `url`, which the token opens.
///
/// # Panics
/// When one of them is refused.
pub async fn apply(pipeline: &Pipeline, url: &str, token: &str, then: &Then) {
    pipeline.push_tag(IMAGE, "1.0.0");
    pipeline.apply(&project()).await;
    pipeline.apply(&secret("gitea", url, token)).await;
    pipeline.apply(&stage("prod", url, then)).await;
}

/// A pipeline whose controllers present credentials over plain HTTP; they are
/// not started yet.
///
/// # Panics
/// When it cannot be had.
pub async fn pipeline() -> Pipeline {
    let mut pipeline = Pipeline::without_controllers().await;
    pipeline.args.allow_credentials_over_http = true;
    pipeline
}

/// Waits for something while Promotions are woken again and again, as a
/// receiver wakes them that hears of every change at the Git host.
async fn woken<T>(pipeline: &Pipeline, awaited: impl Future<Output = T>) -> T {
    tokio::select! {
        found = awaited => found,
        never = wake(pipeline) => match never {},
    }
}

async fn wake(pipeline: &Pipeline) -> Infallible {
    let promotions = pipeline.of::<Promotion>(PROJECT);
    let mut pause = tokio::time::interval(Duration::from_millis(500));
    for token in 0_usize.. {
        pause.tick().await;
        let Ok(all) = promotions.list(&ListParams::default()).await else { continue };
        for promotion in all {
            let word = format!("heard-{token}");
            let change = json!({"metadata": {"annotations": {api::annotations::REFRESH: word}}});
            let (name, patch) = (promotion.name_any(), Patch::Merge(&change));
            let _ = promotions.patch(&name, &PatchParams::default(), &patch).await;
        }
    }
    std::future::pending().await
}

/// The Promotion to `prod` once its output of the step `alias` fits.
pub async fn with_output(
    pipeline: &Pipeline,
    what: &str,
    alias: &'static str,
    fits: impl Fn(&Value) -> bool,
) -> Promotion {
    await_that::object(pipeline.of(PROJECT), what, move |p: &Promotion| {
        let state = p.status.as_ref().and_then(|s| s.state.as_ref());
        state.and_then(|s| s.get(alias)).is_some_and(&fits)
    })
    .await
}

/// The Promotion once its last step says something that fits.
pub async fn saying(pipeline: &Pipeline, what: &str, part: &'static str) -> Promotion {
    let said = await_that::object(pipeline.of(PROJECT), what, move |p: &Promotion| {
        let steps = p.status.as_ref().map(|s| s.step_execution_metadata.as_slice());
        let last = steps.and_then(<[_]>::last);
        last.is_some_and(|step| step.message.contains(part))
    });
    woken(pipeline, said).await
}

/// Waits until the Promotion to `prod` has opened its pull request; the number.
///
/// # Panics
/// When it does not.
pub async fn opened(pipeline: &Pipeline) -> i64 {
    let promotion = with_output(pipeline, "a Promotion with a pull request", "open-pr", |o| {
        o["pr"]["id"].is_i64()
    })
    .await;
    let state = promotion.status.and_then(|s| s.state).unwrap_or_default();
    state["open-pr"]["pr"]["id"].as_i64().expect("it has a number")
}

/// Waits for the end of the Promotion of version 1.0.0 to a Stage: its phase,
/// its message, and the output of its last step.
pub async fn ended(pipeline: &Pipeline, stage: &str) -> (PromotionPhase, String, Value) {
    woken(pipeline, ended_by_itself(pipeline, stage)).await
}

/// The same where nothing wakes it but its own timers.
pub async fn ended_by_itself(pipeline: &Pipeline, stage: &str) -> (PromotionPhase, String, Value) {
    let promotion = pipeline.promoted(PROJECT, stage, "1.0.0").await;
    let status = promotion.status.unwrap_or_default();
    let state = status.state.unwrap_or_default();
    (status.phase, status.message, state.get("end").cloned().unwrap_or_default())
}

/// What must hold after a Promotion whose pull request was merged: one pull
/// request, and `main` has the merge and what it brings.
///
/// # Panics
/// When it does not.
pub async fn merged_once(repository: &Repository, output: &Value) {
    let pulls = repository.pulls().await;
    assert_eq!(pulls.len(), 1, "one pull request: {pulls:#?}");
    assert_eq!(pulls[0]["merged"], true, "{}", pulls[0]);
    assert_eq!(output["commit"], pulls[0]["merge_commit_sha"], "{output}");
    let commits = repository.commits("main").await;
    let merge = output["commit"].as_str().unwrap_or_default().to_owned();
    assert!(commits.contains(&merge), "{merge} is not in main: {commits:?}");
    assert_eq!(repository.file("main", FILE).await, "image:\n  tag: 1.0.0\n");
}
