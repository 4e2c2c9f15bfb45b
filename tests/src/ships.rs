//! Stages that only ask Argo CD to sync: each has Applications of its own, and
//! Promotions that a test makes when it wants them.

use api::{Promotion, PromotionPhase};
use kube::ResourceExt;
use kube::api::{DynamicObject, Patch, PatchParams, PostParams};
use peers::argocd;
use serde_json::{Value, json};

use crate::deployed::Deployed;
use crate::promptness::Promptness;
use crate::{await_that, cluster};

/// The Project.
pub const PROJECT: &str = "ships";

/// Where Applications deploy to.
pub const TARGET: &str = "harbour";

const IMAGE: &str = "example/ships";

/// The Project, its one piece of Freight, and where Applications deploy to.
pub struct Ships<'a> {
    deployed: &'a Deployed,
    freight: String,
}

impl<'a> Ships<'a> {
    /// Makes them; the controllers run.
    ///
    /// # Panics
    /// When one of them is refused.
    pub async fn start(deployed: &'a Deployed) -> Self {
        let pipeline = &deployed.pipeline;
        pipeline.push_tag(IMAGE, "1.0.0");
        pipeline
            .apply(&format!(
                "
apiVersion: kargo.akuity.io/v1alpha1
kind: Project
metadata: {{name: {PROJECT}}}
---
apiVersion: kargo.akuity.io/v1alpha1
kind: Warehouse
metadata: {{name: web, namespace: {PROJECT}}}
spec:
  subscriptions:
  - image: {{repoURL: ghcr.io/{IMAGE}, constraint: '>=1.0.0'}}
"
            ))
            .await;
        deployed.namespace(TARGET).await;
        Self::again(deployed).await
    }

    /// What [`start`](Ships::start) has made before, after a pause in which a
    /// part of Argo CD was changed.
    ///
    /// # Panics
    /// When it was not made.
    pub async fn again(deployed: &'a Deployed) -> Self {
        let freight = deployed.pipeline.of::<api::Freight>(PROJECT);
        let freight = await_that::object(freight, "Freight", |_| true).await.name_any();
        Self { deployed, freight }
    }

    /// Gives the Project the credentials of a repository, by which it is told
    /// which commits a revision contains.
    ///
    /// # Panics
    /// When they are refused.
    pub async fn opens(&self, name: &str, url: &str) {
        let secret = crate::reviewed::secret(name, url, self.deployed.gitea.admin());
        let secret = secret.replace(crate::reviewed::PROJECT, PROJECT);
        self.deployed.pipeline.apply(&secret).await;
    }

    /// Makes an Application in Argo CD's namespace that the Stage of its name
    /// may sync; `spec` is merged over what all have. Waits until Argo CD has
    /// looked at it.
    ///
    /// # Panics
    /// When it is refused.
    pub async fn application(&self, name: &str, spec: &Value) -> DynamicObject {
        self.apply_application(name, name, spec).await;
        self.deployed
            .application(name, "the first look", |a| {
                a.pointer("/status/sync/status")
                    .and_then(Value::as_str)
                    .is_some_and(|s| !s.is_empty())
            })
            .await
    }

    /// The same for other Stages, joined by commas, without waiting.
    ///
    /// # Panics
    /// When it is refused.
    pub async fn apply_application(&self, name: &str, stages: &str, spec: &Value) {
        self.apply_application_in(argocd::NAMESPACE, name, stages, spec).await;
    }

    /// The same in another namespace.
    ///
    /// # Panics
    /// When it is refused.
    pub async fn apply_application_in(
        &self,
        namespace: &str,
        name: &str,
        stages: &str,
        spec: &Value,
    ) {
        let stages: Vec<String> =
            stages.split(',').map(|stage| format!("{PROJECT}:{stage}")).collect();
        let mut application = json!({
            "apiVersion": "argoproj.io/v1alpha1", "kind": "Application",
            "metadata": {
                "name": name, "namespace": namespace,
                "annotations": {"kargo.akuity.io/authorized-stage": stages.join(",")},
            },
            "spec": {
                "project": "default",
                "destination": {"server": "https://kubernetes.default.svc", "namespace": TARGET},
            },
        });
        for (field, value) in spec.as_object().into_iter().flatten() {
            application["spec"][field] = value.clone();
        }
        let application = serde_json::from_value(application).expect("it is an object");
        let made = cluster::apply(&self.deployed.pipeline.client(), &application).await;
        made.unwrap_or_else(|e| panic!("{name}: {e}"));
    }

    /// Makes a Stage whose Promotions have one step, `argocd-update`, with
    /// these apps.
    ///
    /// # Panics
    /// When it is refused.
    pub async fn stage(&self, name: &str, apps: &Value) {
        self.stage_of(
            name,
            &json!([{"uses": "argocd-update", "as": "sync", "config": {"apps": apps}}]),
        )
        .await;
    }

    /// Makes a Stage whose Promotions have these steps.
    ///
    /// # Panics
    /// When it is refused.
    pub async fn stage_of(&self, name: &str, steps: &Value) {
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
        let stage = serde_json::from_value(stage).expect("it is an object");
        self.deployed.pipeline.apply_one(&stage).await.unwrap_or_else(|e| panic!("{name}: {e}"));
    }

    /// Makes a Promotion to a Stage.
    ///
    /// # Panics
    /// When it is refused.
    pub async fn promote(&self, stage: &str) -> String {
        let promotions = self.deployed.pipeline.of::<Promotion>(PROJECT);
        let promotion = json!({
            "metadata": {"generateName": format!("{stage}-"), "namespace": PROJECT},
            "spec": {"stage": stage, "freight": self.freight, "steps": [{"uses": "by-the-stage"}]},
        });
        let promotion = serde_json::from_value(promotion).expect("it is a Promotion");
        let made = promotions.create(&PostParams::default(), &promotion).await;
        made.unwrap_or_else(|e| panic!("{stage}: {e}")).name_any()
    }

    /// Waits until a Promotion fits.
    pub async fn promotion(
        &self,
        name: &str,
        what: &str,
        fits: impl Fn(&Promotion) -> bool,
    ) -> Promotion {
        let own = name.to_owned();
        let promotions = self.deployed.pipeline.of::<Promotion>(PROJECT);
        await_that::object(promotions, &format!("{what} of Promotion {name}"), move |p| {
            p.metadata.name.as_deref() == Some(own.as_str()) && fits(p)
        })
        .await
    }

    /// Waits until the message of a Promotion or of its current step has these
    /// words while it runs.
    pub async fn running_with(&self, name: &str, words: &'static str) -> Promotion {
        self.promotion(name, words, move |p| {
            let Some(status) = &p.status else { return false };
            let last = status.step_execution_metadata.last();
            !status.phase.is_terminal()
                && (status.message.contains(words)
                    || last.is_some_and(|step| step.message.contains(words)))
        })
        .await
    }

    /// Waits for the end of a Promotion: its phase and message.
    pub async fn end(&self, name: &str) -> (PromotionPhase, String) {
        let ended = self.promotion(name, "the end", |p| {
            p.status.as_ref().is_some_and(|s| s.phase.is_terminal())
        });
        let status = ended.await.status.unwrap_or_default();
        (status.phase, status.message)
    }

    /// Waits until Argo CD has made a [`hook`], in the middle of a sync.
    pub async fn holds(&self, hook: &str) {
        let pods = self.deployed.objects("v1", "Pod", TARGET);
        await_that::answer(&format!("Pod {hook}"), || async {
            pods.get_opt(hook).await.expect("the cluster answers")
        })
        .await;
    }

    /// Says that a [`hook`] has done its work, as a node does.
    ///
    /// # Panics
    /// When it is not there.
    pub async fn lets_go(&self, hook: &str) {
        finish(self.deployed, hook).await.unwrap_or_else(|e| panic!("{hook}: {e}"));
    }

    /// Promotes to a Stage, which succeeds; prints how soon it has after the
    /// end of the sync of the Application of the same name was to be seen.
    ///
    /// # Panics
    /// When it does not.
    pub async fn succeeds_promptly(&self, stage: &str) -> String {
        let applications = self.deployed.applications(argocd::NAMESPACE);
        let promptness = Promptness::of(applications, stage);
        let name = self.succeeds(stage).await;
        match promptness.milliseconds_since_the_end_for(&name) {
            Some(time) => println!("{name} succeeded {time} ms after its sync had"),
            None => println!("{name} succeeded before the end of its sync was seen here"),
        }
        name
    }

    /// Promotes to a Stage, which succeeds.
    ///
    /// # Panics
    /// When it does not.
    pub async fn succeeds(&self, stage: &str) -> String {
        let name = self.promote(stage).await;
        let (phase, message) = self.end(&name).await;
        assert_eq!(phase, PromotionPhase::Succeeded, "{stage}: {message}");
        name
    }
}

/// A Pod that Argo CD makes before it syncs anything, and waits for: the sync
/// runs until [`Ships::lets_go`], for no node takes Pods.
pub fn hook(name: &str) -> String {
    format!(
        "apiVersion: v1
kind: Pod
metadata:
  name: {name}
  annotations: {{argocd.argoproj.io/hook: PreSync}}
spec:
  restartPolicy: Never
  containers: [{{name: check, image: 'ghcr.io/example/check:1'}}]
"
    )
}

/// Says that a [`hook`] has done its work, as a node does.
///
/// # Errors
/// Where it is not there.
pub async fn finish(deployed: &Deployed, hook: &str) -> Result<(), kube::Error> {
    let pods = deployed.objects("v1", "Pod", TARGET);
    let done = json!({"status": {"phase": "Succeeded"}});
    pods.patch_status(hook, &PatchParams::default(), &Patch::Merge(&done)).await.map(drop)
}

/// A ConfigMap as a manifest.
pub fn config_map(name: &str, value: &str) -> String {
    format!(
        "apiVersion: v1\nkind: ConfigMap\nmetadata: {{name: {name}}}\ndata: {{value: '{value}'}}\n"
    )
}

/// A manifest that the API server refuses.
pub fn refused(name: &str) -> String {
    format!(
        "apiVersion: v1\nkind: Service\nmetadata: {{name: {name}}}\nspec: {{ports: [{{port: 99999}}]}}\n"
    )
}

/// A Deployment, which nothing makes ready.
pub fn deployment(name: &str) -> String {
    format!(
        "apiVersion: apps/v1
kind: Deployment
metadata: {{name: {name}}}
spec:
  selector: {{matchLabels: {{app: {name}}}}}
  template:
    metadata: {{labels: {{app: {name}}}}}
    spec: {{containers: [{{name: web, image: 'ghcr.io/example/web:1'}}]}}
"
    )
}
