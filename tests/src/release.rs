//! A Stage with one of each outside effect: its Promotions push a branch of
//! their own and a tag, open a pull request, merge it, and have Argo CD sync
//! what came of it.

use api::{Promotion, PromotionPhase};
use sandbox::git_host::pull_requests::PullState;
use serde_json::json;

use crate::Pipeline;

/// The repository at the Git host.
pub const REPOSITORY: &str = "release/gitops.git";

const IMAGE: &str = "example/release-web";

/// The aliases of the steps, in their order.
pub const STEPS: [&str; 10] =
    ["clone", "update", "commit", "tag", "push", "push-tag", "open-pr", "merge", "wait", "sync"];

/// There beforehand, so that nobody need wait for the Project's controller.
const NAMESPACE: &str = r#"
apiVersion: v1
kind: Namespace
metadata:
  name: release
  labels: {kargo.akuity.io/project: "true"}
"#;

const MANIFESTS: &str = r#"
apiVersion: kargo.akuity.io/v1alpha1
kind: Project
metadata: {name: release}
---
apiVersion: kargo.akuity.io/v1alpha1
kind: ProjectConfig
metadata: {name: release, namespace: release}
spec:
  promotionPolicies:
  - stageSelector: {name: prod}
    autoPromotionEnabled: true
---
apiVersion: argoproj.io/v1alpha1
kind: Application
metadata:
  name: release
  namespace: argocd
  annotations: {kargo.akuity.io/authorized-stage: 'release:prod'}
spec:
  project: default
  source: {repoURL: https://git.example.com/release/gitops.git, targetRevision: main, path: prod}
  destination: {server: https://kubernetes.default.svc, namespace: release}
---
apiVersion: kargo.akuity.io/v1alpha1
kind: Stage
metadata: {name: prod, namespace: release}
spec:
  requestedFreight:
  - origin: {kind: Warehouse, name: web}
    sources: {direct: true}
  promotionTemplate:
    spec:
      vars:
      - {name: repo, value: https://git.example.com/release/gitops.git}
      - {name: version, value: "${{ imageFrom('ghcr.io/example/release-web').Tag }}"}
      steps:
      - uses: git-clone
        as: clone
        config:
          repoURL: ${{ vars.repo }}
          checkout: [{branch: main, path: ./src}]
      - uses: yaml-update
        as: update
        config:
          path: ./src/prod/values.yaml
          updates: [{key: image.tag, value: "${{ quote(vars.version) }}"}]
      - uses: git-commit
        as: commit
        config: {path: ./src, message: "Release ${{ vars.version }}"}
      - uses: git-tag
        as: tag
        config: {path: ./src, tag: "release-${{ vars.version }}", message: a release}
      - uses: git-push
        as: push
        config: {path: ./src, generateTargetBranch: true}
      - uses: git-push
        as: push-tag
        config: {path: ./src, tag: "release-${{ vars.version }}"}
      - uses: git-open-pr
        as: open-pr
        config:
          repoURL: ${{ vars.repo }}
          provider: gitea
          sourceBranch: ${{ outputs.push.branch }}
          targetBranch: main
          title: Release ${{ vars.version }}
      - uses: git-merge-pr
        as: merge
        config:
          repoURL: ${{ vars.repo }}
          provider: gitea
          prNumber: ${{ outputs['open-pr'].pr.id }}
          mergeMethod: squash
          wait: true
      - uses: git-wait-for-pr
        as: wait
        config:
          repoURL: ${{ vars.repo }}
          provider: gitea
          prNumber: ${{ outputs['open-pr'].pr.id }}
      - uses: argocd-update
        as: sync
        config:
          apps:
          - name: release
            sources:
            - {repoURL: "${{ vars.repo }}", desiredRevision: "${{ outputs.wait.commit }}"}
---
apiVersion: kargo.akuity.io/v1alpha1
kind: Warehouse
metadata: {name: web, namespace: release}
spec:
  interval: 5m0s
  subscriptions:
  - image: {repoURL: ghcr.io/example/release-web, constraint: '>=1.0.0'}
"#;

/// The version of a round, counted from 1.
pub fn version(round: usize) -> String {
    format!("1.{round}.0")
}

/// Makes the repository and the resources; nothing is published yet.
///
/// # Panics
/// When one of them is refused.
pub async fn apply(pipeline: &Pipeline) {
    let files = [("prod/values.yaml", "image:\n  tag: 0.9.0\n")];
    let git = &pipeline.world.git;
    git.create_repository(REPOSITORY, &files).await.expect("the repository is made");
    pipeline.apply(NAMESPACE).await;
    pipeline.apply(MANIFESTS).await;
}

/// Publishes the version of a round and makes the Warehouse look.
///
/// # Panics
/// When the registry refuses.
pub async fn publish(pipeline: &Pipeline, round: usize) {
    let version = version(round);
    pipeline.push_tag(IMAGE, &version);
    pipeline.refresh("release", "web", &version).await;
}

/// Waits for the end of a round's Promotion.
pub async fn promoted(pipeline: &Pipeline, round: usize) -> Promotion {
    pipeline.promoted("release", "prod", &version(round)).await
}

/// What must hold after so many rounds, whatever happened on the way: each had
/// one commit, one tag, one pull request that was merged, and one sync.
///
/// # Panics
/// When it does not.
pub async fn exactly_once(pipeline: &Pipeline, promotion: &Promotion, rounds: usize, case: &str) {
    let status = promotion.status.clone().unwrap_or_default();
    assert_eq!(status.phase, PromotionPhase::Succeeded, "{case}: {}", status.message);
    let state = status.state.unwrap_or_default();
    let git = &pipeline.world.git;
    let log = git.log(REPOSITORY, "main").await.expect("the repository is there");
    assert_eq!(log.len(), rounds + 1, "{case}: one squashed commit a round: {log:#?}");
    assert_eq!(state["wait"]["commit"], json!(log[0].id), "{case}");
    assert_eq!(state["merge"]["commit"], json!(log[0].id), "{case}");
    let branch = state["push"]["branch"].as_str().unwrap_or_default();
    let ours = git.log(REPOSITORY, branch).await.expect("the branch is there");
    assert_eq!(ours.len(), rounds + 1, "{case}: one commit on {branch}: {ours:#?}");
    assert_eq!(state["push"]["commit"], json!(ours[0].id), "{case}");
    assert!(state["push"].get("intent").is_none(), "{case}: {}", state["push"]);
    let version = version(rounds);
    let tagged = git.id(REPOSITORY, &format!("release-{version}")).await.expect("it answers");
    assert_eq!(tagged.as_ref(), Some(&ours[0].id), "{case}: the tag");
    let pulls = git.pull_requests(REPOSITORY);
    assert_eq!(pulls.len(), rounds, "{case}: {pulls:#?}");
    assert!(pulls.iter().all(|p| p.state == PullState::Merged), "{case}: {pulls:#?}");
    let file = pipeline.file(REPOSITORY, "prod/values.yaml").await;
    assert_eq!(file, format!("image:\n  tag: {version}\n"), "{case}");
    let syncs = pipeline.world.argocd.knobs().operations("argocd", "release");
    assert_eq!(syncs, rounds as u64, "{case}: Argo CD was asked to sync {syncs} times");
    let promotions = pipeline.of::<Promotion>("release").list(&Default::default()).await;
    assert_eq!(promotions.expect("they can be listed").items.len(), rounds, "{case}");
}
