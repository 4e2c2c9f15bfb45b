//! Many Stages write to one branch, each pinned to its own commit: Argo CD is
//! at the branch's head, which is past most of them, and all succeed.

use api::PromotionPhase;
use e2e::Pipeline;

const IMAGE: &str = "example/fleet-web";
const STAGES: usize = 6;

fn manifests() -> String {
    let mut text = String::from(
        "
apiVersion: kargo.akuity.io/v1alpha1
kind: Project
metadata: {name: fleet}
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
    for n in 0..STAGES {
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

#[tokio::test(flavor = "multi_thread")]
async fn stages_pinned_to_their_own_commits_all_succeed() {
    let pipeline = Pipeline::start().await;
    let files: Vec<(String, &str)> =
        (0..STAGES).map(|n| (format!("s{n}/values.yaml"), "image:\n  tag: 0.9.0\n")).collect();
    let files: Vec<(&str, &str)> = files.iter().map(|(n, t)| (n.as_str(), *t)).collect();
    let git = &pipeline.world.git;
    git.create_repository("fleet/gitops.git", &files).await.expect("the repository is made");
    pipeline.push_tag(IMAGE, "1.0.0");
    pipeline.apply(&manifests()).await;
    for n in 0..STAGES {
        let promotion = pipeline.promoted("fleet", &format!("s{n}"), "1.0.0").await;
        let status = promotion.status.unwrap_or_default();
        assert_eq!(status.phase, PromotionPhase::Succeeded, "s{n}: {}", status.message);
    }
    let commits = pipeline.commits("fleet/gitops.git").await;
    assert_eq!(commits.len(), STAGES + 1, "one commit a Stage: {commits:#?}");
    for n in 0..STAGES {
        let syncs = pipeline.world.argocd.knobs().operations("argocd", &format!("fleet-{n}"));
        assert_eq!(syncs, 1, "fleet-{n} was synced {syncs} times");
        // The head that it was synced to contains its commit, so it is well.
        let stage = format!("s{n}");
        e2e::await_that::object(pipeline.of::<api::Stage>("fleet"), "a healthy Stage", move |s| {
            let health = s.status.as_ref().and_then(|s| s.health.as_ref());
            s.metadata.name.as_deref() == Some(stage.as_str())
                && health.is_some_and(|h| h.status == api::HealthState::Healthy)
        })
        .await;
    }
}
