//! Several Stages that write to one branch of one repository, each with an
//! Application of its own: one tag starts as many Promotions at once.

use api::PromotionPhase;

use crate::{Pipeline, await_that};

/// The image of all Stages.
pub const IMAGE: &str = "example/fleet-web";

/// Their repository.
pub const REPOSITORY: &str = "fleet/gitops.git";

/// Their Project.
pub const PROJECT: &str = "fleet";

/// The Project, its Warehouse, and `stages` Stages `s0`, `s1`, … with their
/// Applications.
pub fn manifests(stages: usize) -> String {
    let mut text = String::from(
        "
apiVersion: kargo.akuity.io/v1alpha1
kind: Project
metadata: {name: fleet, labels: {made-by: tests}}
---
apiVersion: kargo.akuity.io/v1alpha1
kind: ProjectConfig
metadata: {name: fleet, namespace: fleet}
spec:
  promotionPolicies:
  - stageSelector: {name: 'glob:*'}
    autoPromotionEnabled: true
",
    );
    for n in 0..stages {
        text.push_str(&format!(
            "---
apiVersion: argoproj.io/v1alpha1
kind: Application
metadata:
  name: fleet-{n}
  namespace: argocd
  annotations: {{kargo.akuity.io/authorized-stage: 'fleet:s{n}'}}
spec:
  project: default
  source: {{repoURL: https://git.example.com/fleet/gitops.git, targetRevision: main, path: s{n}}}
  destination: {{server: https://kubernetes.default.svc, namespace: fleet}}
---
apiVersion: kargo.akuity.io/v1alpha1
kind: Stage
metadata: {{name: s{n}, namespace: fleet}}
spec:
  requestedFreight:
  - origin: {{kind: Warehouse, name: web}}
    sources: {{direct: true}}
  promotionTemplate:
    spec:
      steps:
      - uses: git-clone
        config:
          repoURL: https://git.example.com/fleet/gitops.git
          checkout: [{{branch: main, path: ./src}}]
      - uses: yaml-update
        as: update
        config:
          path: ./src/s{n}/values.yaml
          updates:
          - {{key: image.tag, value: \"${{{{ quote(imageFrom('ghcr.io/{IMAGE}').Tag) }}}}\"}}
      - uses: git-commit
        as: commit
        config: {{path: ./src, message: \"${{{{ ctx.stage }}}}\"}}
      - uses: git-push
        as: push
        config: {{path: ./src}}
      - uses: argocd-update
        config:
          apps:
          - name: fleet-{n}
            sources:
            - repoURL: https://git.example.com/fleet/gitops.git
              desiredRevision: ${{{{ outputs.push.commit }}}}
"
        ));
    }
    text.push_str(&format!(
        "---
apiVersion: kargo.akuity.io/v1alpha1
kind: Warehouse
metadata: {{name: web, namespace: fleet}}
spec:
  interval: 5m0s
  subscriptions:
  - image: {{repoURL: ghcr.io/{IMAGE}, constraint: '>=1.0.0'}}
"
    ));
    text
}

/// Makes the repository, with a file for each Stage.
///
/// # Panics
/// When the host refuses.
pub async fn repository(pipeline: &Pipeline, stages: usize) {
    let files: Vec<(String, &str)> =
        (0..stages).map(|n| (format!("s{n}/values.yaml"), "image:\n  tag: 0.9.0\n")).collect();
    let files: Vec<(&str, &str)> = files.iter().map(|(n, t)| (n.as_str(), *t)).collect();
    let git = &pipeline.world.git;
    git.create_repository(REPOSITORY, &files).await.expect("the repository is made");
}

/// Waits until some of the Promotions of that tag have ended and others have
/// not: the middle, whatever the machine's speed.
pub async fn in_the_middle(pipeline: &Pipeline, tag: &str) {
    let of_tag = |p: &api::Promotion| {
        let freight = p.status.as_ref().and_then(|s| s.freight.as_ref());
        freight.is_some_and(|f| f.images.iter().any(|i| i.tag == tag))
    };
    let promotions = pipeline.of::<api::Promotion>(PROJECT);
    await_that::object(promotions, &format!("a Promotion of {tag} at its last step"), |p| {
        let running = p.status.as_ref().is_some_and(|s| s.phase == PromotionPhase::Running);
        running && of_tag(p) && p.status.as_ref().is_some_and(|s| s.current_step >= 3)
    })
    .await;
}

/// Waits until all Stages have got the Freight of that tag, the `round`-th of
/// all, and sees to it that each did so once: one commit, one sync a Stage.
///
/// # Panics
/// When a Promotion failed, was lost, or acted twice.
pub async fn promoted_once(pipeline: &Pipeline, stages: usize, tag: &str, round: usize) {
    for n in 0..stages {
        let promotion = pipeline.promoted(PROJECT, &format!("s{n}"), tag).await;
        let status = promotion.status.unwrap_or_default();
        assert_eq!(status.phase, PromotionPhase::Succeeded, "s{n}, {tag}: {}", status.message);
        let file = pipeline.file(REPOSITORY, &format!("s{n}/values.yaml")).await;
        assert!(file.contains(tag), "s{n}: {file}");
    }
    let commits = pipeline.commits(REPOSITORY).await;
    assert_eq!(commits.len(), stages * round + 1, "one commit a Stage: {commits:#?}");
    for n in 0..stages {
        let syncs = pipeline.world.argocd.knobs().operations("argocd", &format!("fleet-{n}"));
        assert_eq!(syncs, round as u64, "fleet-{n} was synced {syncs} times");
    }
    let all = pipeline.of::<api::Promotion>(PROJECT).list(&Default::default()).await;
    let all = all.expect("Promotions can be listed").items.len();
    assert_eq!(all, stages * round, "one Promotion a Stage and tag");
}
