//! A Project's namespace: made, adopted or refused (`projects` 4.4), and let go
//! with the Project (4.7) or taking the Project with it (5).

use k8s_openapi::api::core::v1::Namespace;
use kube::api::{Api, ObjectMeta, PostParams};
use kube::{Client, ResourceExt};
use serde_json::json;

use crate::error::{Error, ErrorClass, is_already_exists, is_not_found};
use crate::metrics::Metrics;
use crate::patch;

/// The label that makes a namespace a Project's.
pub const LABEL: &str = api::labels::PROJECT;
/// The finalizer on the namespace and the Project.
pub const FINALIZER: &str = api::FINALIZER;
/// The annotation on either that keeps the namespace when the Project goes.
pub const KEEP: &str = api::annotations::KEEP_NAMESPACE;

/// What to do about the namespace of a Project.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Adoption {
    /// It does not exist: create it.
    Create,
    /// It is the Project's, and has the finalizer or not.
    Ours {
        /// Whether the finalizer is there.
        finalizer: bool,
    },
    /// It belongs to somebody else: leave it alone.
    Foreign,
}

/// Decides about the namespace as it is. Only the label's exact value `true`
/// counts.
pub fn adoption(found: Option<&Namespace>) -> Adoption {
    match found {
        None => Adoption::Create,
        Some(ns) if ns.labels().get(LABEL).map(String::as_str) == Some("true") => {
            Adoption::Ours { finalizer: has_finalizer(ns) }
        }
        Some(_) => Adoption::Foreign,
    }
}

/// Why the namespace could not be ensured.
#[derive(Debug)]
pub enum Refusal {
    /// A namespace of that name is there and is not labelled as a Project's.
    Foreign(Error),
    /// Anything else.
    Other(Error),
}

/// Makes sure that the Project has its namespace.
///
/// # Errors
/// See [`Refusal`].
pub async fn ensure(client: &Client, project: &str, metrics: &Metrics) -> Result<(), Refusal> {
    let namespaces: Api<Namespace> = Api::all(client.clone());
    let found = namespaces.get_opt(project).await.map_err(|e| {
        Refusal::Other(Error::api(format_args!("error getting namespace {project:?}"), e))
    })?;
    match adoption(found.as_ref()) {
        Adoption::Ours { finalizer: true } => Ok(()),
        Adoption::Ours { finalizer: false } => {
            let mut finalizers = found.map(|n| n.finalizers().to_vec()).unwrap_or_default();
            finalizers.push(FINALIZER.to_owned());
            patch::metadata(&namespaces, project, json!({ "finalizers": finalizers }), metrics)
                .await
                .map(drop)
                .map_err(|e| {
                    Refusal::Other(Error::api(
                        format_args!("error patching namespace {project:?}"),
                        e,
                    ))
                })
        }
        Adoption::Foreign => Err(Refusal::Foreign(Error::new(
            ErrorClass::Config,
            format!(
                "failed to sync Project {project:?} with namespace {project:?}: namespace already exists and is not labeled as a Project namespace; if it may become this Project's: kubectl label namespace {project} --overwrite {LABEL}=true"
            ),
        ))),
        Adoption::Create => {
            let namespace = Namespace {
                metadata: ObjectMeta {
                    name: Some(project.to_owned()),
                    labels: Some([(LABEL.to_owned(), "true".to_owned())].into()),
                    finalizers: Some(vec![FINALIZER.to_owned()]),
                    ..ObjectMeta::default()
                },
                ..Namespace::default()
            };
            metrics.wrote("Namespace");
            match namespaces.create(&PostParams::default(), &namespace).await {
                // Somebody was faster: the next pass looks at theirs.
                Err(e) if is_already_exists(&e) => Err(Refusal::Other(Error::api(
                    format_args!("error creating namespace {project:?}"),
                    e,
                ))),
                Err(e) => Err(Refusal::Other(Error::api(
                    format_args!("error creating namespace {project:?}"),
                    e,
                ))),
                Ok(_) => Ok(()),
            }
        }
    }
}

/// Whether our finalizer is on the object.
pub fn has_finalizer<K: kube::Resource>(object: &K) -> bool {
    object.meta().finalizers.iter().flatten().any(|f| f == FINALIZER)
}

/// The finalizers that remain without ours.
pub fn without_finalizer<K: kube::Resource>(object: &K) -> Vec<String> {
    object.meta().finalizers.iter().flatten().filter(|f| *f != FINALIZER).cloned().collect()
}

/// Whether the object says that the namespace stays when the Project goes: the
/// exact value `true`.
pub fn is_kept<K: kube::Resource>(object: &K) -> bool {
    let annotations = object.meta().annotations.as_ref();
    annotations.and_then(|a| a.get(KEEP)).map(String::as_str) == Some("true")
}

/// Lets the namespace go: takes our finalizer off and, unless it is to be
/// kept, deletes it. A namespace that is gone is fine.
///
/// # Errors
/// What the API server answered.
pub async fn release(
    client: &Client,
    project: &api::Project,
    metrics: &Metrics,
) -> Result<(), Error> {
    let name = project.name_any();
    let namespaces: Api<Namespace> = Api::all(client.clone());
    let found = namespaces
        .get_opt(&name)
        .await
        .map_err(|e| Error::api(format_args!("error getting namespace {name:?}"), e))?;
    let Some(namespace) = found else { return Ok(()) };
    if has_finalizer(&namespace) {
        let rest = json!({ "finalizers": without_finalizer(&namespace) });
        match patch::metadata(&namespaces, &name, rest, metrics).await {
            Err(e) if !is_not_found(&e) => {
                return Err(Error::api("failed to remove finalizer from namespace", e));
            }
            _ => {}
        }
    }
    if is_kept(project) || is_kept(&namespace) {
        return Ok(());
    }
    super::roles::delete(&namespaces, &name, metrics).await
}

/// What a namespace's own state asks for (`projects` 5).
#[derive(Clone, Debug, PartialEq)]
pub enum NamespaceStep {
    /// Nothing.
    None,
    /// These owner references remain: those to the Project are of old versions.
    StripOwner(Vec<k8s_openapi::apimachinery::pkg::apis::meta::v1::OwnerReference>),
    /// Delete the Project, then take our finalizer off.
    DeleteProject,
}

/// Decides what a namespace's own state asks for.
pub fn namespace_step(namespace: &Namespace) -> NamespaceStep {
    let owners = namespace.owner_references();
    let name = namespace.name_any();
    let is_project = |o: &&k8s_openapi::apimachinery::pkg::apis::meta::v1::OwnerReference| {
        o.api_version == "kargo.akuity.io/v1alpha1" && o.kind == "Project" && o.name == name
    };
    if owners.iter().any(|o| is_project(&o)) {
        let rest = owners.iter().filter(|o| !is_project(o)).cloned().collect();
        return NamespaceStep::StripOwner(rest);
    }
    if namespace.metadata.deletion_timestamp.is_some() && has_finalizer(namespace) {
        NamespaceStep::DeleteProject
    } else {
        NamespaceStep::None
    }
}

/// Does what [`namespace_step`] says.
///
/// # Errors
/// What the API server answered.
pub async fn reconcile(
    client: &Client,
    namespace: &Namespace,
    metrics: &Metrics,
) -> Result<(), Error> {
    let name = namespace.name_any();
    let namespaces: Api<Namespace> = Api::all(client.clone());
    match namespace_step(namespace) {
        NamespaceStep::None => Ok(()),
        NamespaceStep::StripOwner(rest) => {
            let change = json!({ "ownerReferences": rest });
            patch::metadata(&namespaces, &name, change, metrics)
                .await
                .map(drop)
                .map_err(|e| Error::api(format_args!("error patching namespace {name:?}"), e))
        }
        NamespaceStep::DeleteProject => {
            let projects: Api<api::Project> = Api::all(client.clone());
            super::roles::delete(&projects, &name, metrics).await?;
            let rest = json!({ "finalizers": without_finalizer(namespace) });
            match patch::metadata(&namespaces, &name, rest, metrics).await {
                Err(e) if !is_not_found(&e) => {
                    Err(Error::api("failed to remove finalizer from namespace", e))
                }
                _ => Ok(()),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::Value;

    fn namespace(metadata: Value) -> Namespace {
        serde_json::from_value(json!({ "metadata": metadata })).expect("a Namespace")
    }

    #[test]
    fn only_a_labelled_namespace_is_adopted() {
        let label = |v: &str| namespace(json!({"name": "p", "labels": {LABEL: v}}));
        for (case, found, expected) in [
            ("projects/P12", None, Adoption::Create),
            ("projects/P13", Some(namespace(json!({"name": "p"}))), Adoption::Foreign),
            ("projects/P14", Some(label("yes")), Adoption::Foreign),
            ("adopted", Some(label("true")), Adoption::Ours { finalizer: false }),
        ] {
            assert_eq!(adoption(found.as_ref()), expected, "{case}");
        }
    }

    #[test]
    fn a_namespace_that_goes_takes_its_project_with_it() {
        let gone = "2026-01-01T00:00:00Z";
        for (case, metadata, expected) in [
            ("projects/N1", json!({"name": "p", "finalizers": [FINALIZER]}), NamespaceStep::None),
            ("projects/N2", json!({"name": "p", "deletionTimestamp": gone}), NamespaceStep::None),
            (
                "both",
                json!({"name": "p", "deletionTimestamp": gone, "finalizers": [FINALIZER]}),
                NamespaceStep::DeleteProject,
            ),
        ] {
            assert_eq!(namespace_step(&namespace(metadata)), expected, "{case}");
        }
        let owner = |kind: &str| json!({"apiVersion": "kargo.akuity.io/v1alpha1", "kind": kind, "name": "p", "uid": "u"});
        let step = namespace_step(&namespace(
            json!({"name": "p", "ownerReferences": [owner("Project"), owner("Other")]}),
        ));
        let NamespaceStep::StripOwner(rest) = step else { panic!("projects/N6: {step:?}") };
        assert_eq!(
            rest.iter().map(|o| o.kind.as_str()).collect::<Vec<_>>(),
            ["Other"],
            "projects/N6"
        );
    }

    #[test]
    fn keeping_a_namespace_takes_the_exact_word() {
        let with = |v: &str| namespace(json!({"name": "p", "annotations": {KEEP: v}}));
        assert!(is_kept(&with("true")));
        for value in ["false", "TRUE"] {
            assert!(!is_kept(&with(value)), "projects/P8");
        }
        assert!(!is_kept(&namespace(json!({"name": "p"}))), "projects/P9");
    }
}
