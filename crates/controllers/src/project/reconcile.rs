//! The pass over a Project: its namespace, who may do what there, and its
//! numbers (`projects` 4).

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use api::{Project, ProjectStatus};
use jiff::Timestamp;
use k8s_openapi::api::core::v1::ServiceAccount;
use kube::ResourceExt;
use kube::api::{Api, ListParams};
use serde_json::json;
use tokio::time::Instant;

use super::namespace::{self, FINALIZER, Refusal, has_finalizer, without_finalizer};
use super::{policy, roles, stats};
use crate::Context;
use crate::condition;
use crate::error::{Error, is_not_found};
use crate::events::{Event, Severity};
use crate::patch;
use crate::queue::Outcome;
use crate::store::Key;

/// Condition types of a Project.
pub mod types {
    #![allow(missing_docs)]
    pub const READY: &str = "Ready";
    pub const RECONCILING: &str = "Reconciling";
    pub const STALLED: &str = "Stalled";
    pub const HEALTHY: &str = "Healthy";
    /// Ours: present while the Project carries its legacy policies.
    pub const LEGACY: &str = "LegacyPromotionPolicies";
}

/// The ServiceAccounts of controllers carry this label.
const CONTROLLER_ACCOUNTS: &str = "app.kubernetes.io/component=controller";

/// When each Project's namespace and permissions were last found right, so
/// that a pass for its numbers alone does not read them all again.
#[derive(Default)]
pub struct Ensured(Mutex<HashMap<String, (String, Instant)>>);

impl Ensured {
    fn is_recent(&self, project: &Project, within: Duration) -> bool {
        let known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        known
            .get(&project.uid().unwrap_or_default())
            .is_some_and(|(print, at)| *print == fingerprint(project) && at.elapsed() < within)
    }

    fn remember(&self, project: &Project) {
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        known.insert(project.uid().unwrap_or_default(), (fingerprint(project), Instant::now()));
    }

    fn forget(&self, project: &Project) {
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        known.remove(&project.uid().unwrap_or_default());
    }
}

/// What of a Project its namespace and permissions depend on.
fn fingerprint(project: &Project) -> String {
    let actor = project.annotations().get(api::annotations::CREATE_ACTOR);
    format!("{:?} {actor:?}", project.metadata.generation)
}

/// One pass over the Project of that name.
///
/// # Errors
/// The first sub-step's that failed, after it was written to the status.
pub async fn reconcile(context: &Context, ensured: &Ensured, key: &Key) -> Result<Outcome, Error> {
    let Some(project) = context.stores.projects.get(key) else { return Ok(Outcome::Done) };
    let projects: Api<Project> = Api::all(context.client.clone());
    if project.metadata.deletion_timestamp.is_some() {
        clean_up(context, &projects, &project).await?;
        ensured.forget(&project);
        return Ok(Outcome::Done);
    }
    ensure_finalizer(context, &projects, &project).await?;
    let mut pass = Pass {
        context,
        ensured,
        status: project.status.clone().unwrap_or_default(),
        project: Arc::clone(&project),
        notice: None,
    };
    let result = pass.run().await;
    let written = patch::status(
        &projects,
        &key.name,
        project.status.as_ref(),
        &pass.status,
        None,
        &context.metrics,
    )
    .await;
    // A notice whose condition could not be written is new at the next pass.
    if let Some(notice) = pass.notice.take().filter(|_| written.is_ok()) {
        context.events.send(notice, context.clock.now());
    }
    result?;
    if let Some(project) = written? {
        context.stores.projects.apply(project);
    }
    Ok(Outcome::After(context.settings.resync))
}

struct Pass<'a> {
    context: &'a Context,
    ensured: &'a Ensured,
    project: Arc<Project>,
    status: ProjectStatus,
    notice: Option<Event>,
}

impl Pass<'_> {
    async fn run(&mut self) -> Result<(), Error> {
        self.say_where_policies_belong();
        // Twice in the time between two passes that nothing woke.
        let within = self.context.settings.resync / 2;
        let is_ready = condition::is_true(&self.status.conditions, types::READY);
        if !(is_ready && self.ensured.is_recent(&self.project, within)) {
            self.sync().await?;
            self.ensured.remember(&self.project);
        }
        self.collect_stats();
        Ok(())
    }

    fn name(&self) -> String {
        self.project.name_any()
    }

    fn now(&self) -> Timestamp {
        self.context.clock.now()
    }

    fn set(&mut self, type_: &str, state: &str, reason: &str, message: &str) {
        let generation = self.project.metadata.generation.unwrap_or_default();
        let now = self.now();
        condition::set(&mut self.status.conditions, type_, state, reason, message, generation, now);
    }

    /// Namespace and permissions, in the order of `projects` 4.3.
    async fn sync(&mut self) -> Result<(), Error> {
        let name = self.name();
        let (client, metrics) = (&self.context.client, &self.context.metrics);
        match namespace::ensure(client, &name, metrics).await {
            Ok(()) => {}
            Err(refusal) => return Err(self.refused(refusal)),
        }
        let kargo = self.context.settings.kargo_namespace.clone();
        let bindings = Api::namespaced(client.clone(), &name);
        for wanted in roles::system_bindings(&name, &kargo) {
            if let Err(e) = roles::ensure(&bindings, &wanted, metrics).await {
                return Err(self.failed(
                    "EnsuringSystemPermissionsFailed",
                    "Failed to ensure Project permissions for system ServiceAccounts: ",
                    e,
                ));
            }
        }
        if self.context.settings.manage_controller_role_bindings
            && let Err(e) = self.ensure_controller_bindings(&name, &kargo).await
        {
            return Err(self.failed(
                "EnsuringControllerPermissionsFailed",
                "Failed to ensure project permissions for controller: ",
                e,
            ));
        }
        let actor = self.project.annotations().get(api::annotations::CREATE_ACTOR).cloned();
        if let Err(e) = roles::ensure_user_roles(client, &name, actor.as_deref(), metrics).await {
            return Err(self.failed(
                "EnsuringDefaultUserRoles",
                "Failed to ensure existence of default project ServiceAccount, Roles, and RoleBindings: ",
                e,
            ));
        }
        condition::remove(&mut self.status.conditions, types::RECONCILING);
        // The reference leaves a Stalled from before on a Project that is well.
        condition::remove(&mut self.status.conditions, types::STALLED);
        self.set(types::READY, "True", "Synced", "Project is synced and ready for use");
        Ok(())
    }

    async fn ensure_controller_bindings(&self, project: &str, kargo: &str) -> Result<(), Error> {
        let accounts: Api<ServiceAccount> = Api::namespaced(self.context.client.clone(), kargo);
        let listed = accounts.list(&ListParams::default().labels(CONTROLLER_ACCOUNTS)).await;
        let listed =
            listed.map_err(|e| Error::api("error listing controller ServiceAccounts", e))?;
        let bindings = Api::namespaced(self.context.client.clone(), project);
        for account in listed {
            let name = account.name_any();
            if account.metadata.deletion_timestamp.is_some() {
                // An account with a finalizer outlives `helm uninstall`, for which
                // nobody is left to take it off; what is installed next would be
                // given an account whose tokens are refused. None is put there,
                // and one that is there goes.
                if has_finalizer(&account) {
                    let change = json!({ "finalizers": without_finalizer(&account) });
                    let patched = patch::metadata(&accounts, &name, change, &self.context.metrics);
                    patched.await.map_err(|e| {
                        Error::api(format_args!("error patching ServiceAccount {name:?}"), e)
                    })?;
                }
                continue;
            }
            let wanted = roles::controller_binding(project, kargo, &name);
            roles::ensure(&bindings, &wanted, &self.context.metrics).await?;
        }
        Ok(())
    }

    fn refused(&mut self, refusal: Refusal) -> Error {
        let name = self.name();
        let error = match refusal {
            Refusal::Foreign(error) => {
                let message = format!(
                    "Namespace {name:?} already exists but is not labeled as a Project namespace using label {:?}",
                    namespace::LABEL
                );
                self.set(types::STALLED, "True", "ExistingNamespaceMissingLabel", &message);
                error
            }
            Refusal::Other(error) => {
                condition::remove(&mut self.status.conditions, types::STALLED);
                error
            }
        };
        self.failed(
            "EnsuringNamespaceFailed",
            "Failed to ensure existence of project namespace: ",
            error,
        )
    }

    fn failed(&mut self, reason: &str, prefix: &str, error: Error) -> Error {
        let doing = "Ensuring project namespace and permissions";
        self.set(types::RECONCILING, "True", "Syncing", doing);
        self.set(types::READY, "False", reason, &format!("{prefix}{error}"));
        error
    }

    fn collect_stats(&mut self) {
        let name = self.name();
        let stores = &self.context.stores;
        let counted = stats::collect(
            &stores.warehouses.in_namespace(&name),
            &stores.stages.in_namespace(&name),
        );
        self.status.stats = Some(counted);
        condition::remove(&mut self.status.conditions, types::HEALTHY);
    }

    /// A Project that still carries the legacy policies is told where they
    /// belong: by a condition, and by an Event when it is new.
    fn say_where_policies_belong(&mut self) {
        let Some(message) = policy::legacy_notice(&self.project) else {
            condition::remove(&mut self.status.conditions, types::LEGACY);
            return;
        };
        let before = condition::get(&self.status.conditions, types::LEGACY);
        if before.is_none_or(|c| c.message != message) {
            self.notice = Some(Event {
                kind: "Project",
                name: self.name(),
                uid: self.project.uid(),
                reason: "LegacyPromotionPolicies".to_owned(),
                message: message.clone(),
                severity: Severity::Warning,
                component: "project-controller".to_owned(),
                ..Event::default()
            });
        }
        self.set(types::LEGACY, "True", "MoveToProjectConfig", &message);
    }
}

async fn ensure_finalizer(
    context: &Context,
    projects: &Api<Project>,
    project: &Project,
) -> Result<(), Error> {
    if has_finalizer(project) {
        return Ok(());
    }
    let mut finalizers = project.finalizers().to_vec();
    finalizers.push(FINALIZER.to_owned());
    let change = json!({ "finalizers": finalizers });
    let project = patch::metadata(projects, &project.name_any(), change, &context.metrics)
        .await
        .map_err(|e| Error::api("failed to ensure finalizer on project", e))?;
    context.stores.projects.apply(project);
    Ok(())
}

/// The Project goes (`projects` 4.7): its cluster-wide roles, its namespace,
/// then its finalizer.
async fn clean_up(
    context: &Context,
    projects: &Api<Project>,
    project: &Project,
) -> Result<(), Error> {
    if !has_finalizer(project) {
        return Ok(());
    }
    let name = project.name_any();
    let (client, metrics) = (&context.client, &context.metrics);
    let admin = roles::project_admin_name(&name);
    let bindings = Api::<k8s_openapi::api::rbac::v1::ClusterRoleBinding>::all(client.clone());
    roles::delete(&bindings, &admin, metrics).await?;
    let cluster_roles = Api::<k8s_openapi::api::rbac::v1::ClusterRole>::all(client.clone());
    roles::delete(&cluster_roles, &admin, metrics).await?;
    namespace::release(client, project, metrics).await?;
    let change = json!({ "finalizers": without_finalizer(project) });
    match patch::metadata(projects, &name, change, metrics).await {
        Err(e) if !is_not_found(&e) => {
            Err(Error::api("failed to remove finalizer from project", e))
        }
        _ => Ok(()),
    }
}
