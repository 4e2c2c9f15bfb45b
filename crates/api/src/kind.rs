//! What makes a Rust type one of the group's kinds: its names, its scope, the
//! columns that `kubectl get` shows, and how it is written.

use kube::core::crd::CustomResourceExt;
use schemars::{Schema, SchemaGenerator};

/// The API group.
pub const GROUP: &str = "kargo.akuity.io";
/// The one version, served and stored.
pub const VERSION: &str = "v1alpha1";
/// Group and version, as objects carry them.
pub const API_VERSION: &str = "kargo.akuity.io/v1alpha1";

/// A column of `kubectl get`: its name, its JSON path, its type.
pub type Column = (&'static str, &'static str, &'static str);

/// What the definition of a kind is made from.
pub trait CustomKind: CustomResourceExt {
    /// The kind.
    const KIND: &'static str;
    /// The plural.
    const PLURAL: &'static str;
    /// Short names.
    const SHORT_NAMES: &'static [&'static str];
    /// Whether its objects live in namespaces.
    const NAMESPACED: bool;
    /// What `kubectl get` shows.
    const COLUMNS: &'static [Column];
    /// Whether it has a status, written apart.
    const HAS_STATUS: bool;
    /// Root fields that must be there.
    const REQUIRED: &'static [&'static str];
    /// What it is, in a sentence.
    const ABOUT: &'static str;

    /// The schemas of its root fields beside the usual ones.
    fn root_fields(generator: &mut SchemaGenerator) -> Vec<(&'static str, Schema)>;
}

/// The columns with the state of condition `Ready`.
pub(crate) const READY: Column =
    ("Ready", r#".status.conditions[?(@.type=="Ready")].status"#, "string");
/// The column with the message of condition `Ready`.
pub(crate) const STATUS: Column =
    ("Status", r#".status.conditions[?(@.type=="Ready")].message"#, "string");
/// The column with the object's age.
pub(crate) const AGE: Column = ("Age", ".metadata.creationTimestamp", "date");

/// Makes a type with `metadata` a kind of the group.
macro_rules! resource {
    ($kind:ident, $plural:literal, $scope:ident, $short:expr, $columns:expr, $required:expr, $status:literal, $about:literal) => {
        impl kube::Resource for $kind {
            type DynamicType = ();
            type Scope = k8s_openapi::$scope;

            fn kind(_: &()) -> std::borrow::Cow<'_, str> {
                stringify!($kind).into()
            }

            fn group(_: &()) -> std::borrow::Cow<'_, str> {
                $crate::kind::GROUP.into()
            }

            fn version(_: &()) -> std::borrow::Cow<'_, str> {
                $crate::kind::VERSION.into()
            }

            fn api_version(_: &()) -> std::borrow::Cow<'_, str> {
                $crate::kind::API_VERSION.into()
            }

            fn plural(_: &()) -> std::borrow::Cow<'_, str> {
                $plural.into()
            }

            fn meta(&self) -> &k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta {
                &self.metadata
            }

            fn meta_mut(
                &mut self,
            ) -> &mut k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta {
                &mut self.metadata
            }
        }

        impl kube::core::crd::CustomResourceExt for $kind {
            fn crd() -> k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition
            {
                $crate::crd::of::<Self>()
            }

            fn crd_name() -> &'static str {
                concat!($plural, ".kargo.akuity.io")
            }

            fn api_resource() -> kube::core::ApiResource {
                kube::core::ApiResource::erase::<Self>(&())
            }

            fn shortnames() -> &'static [&'static str] {
                <Self as $crate::kind::CustomKind>::SHORT_NAMES
            }
        }

        impl $crate::kind::CustomKind for $kind {
            const KIND: &'static str = stringify!($kind);
            const PLURAL: &'static str = $plural;
            const SHORT_NAMES: &'static [&'static str] = $short;
            const NAMESPACED: bool = resource!(@namespaced $scope);
            const COLUMNS: &'static [$crate::kind::Column] = $columns;
            const HAS_STATUS: bool = $status;
            const REQUIRED: &'static [&'static str] = $required;
            const ABOUT: &'static str = $about;

            fn root_fields(
                generator: &mut schemars::SchemaGenerator,
            ) -> Vec<(&'static str, schemars::Schema)> {
                Self::root_schemas(generator)
            }
        }
    };
    (@namespaced NamespaceResourceScope) => { true };
    (@namespaced ClusterResourceScope) => { false };
}

/// Gives a kind of `metadata`, `spec` and `status` its constructor, its root
/// schemas, and the way it is written: with `apiVersion` and `kind`, and
/// without an empty spec where the schema does not ask for one.
macro_rules! spec_and_status {
    ($kind:ident, $spec:ty, $status:ty) => {
        impl $kind {
            /// An object of that name without a status.
            pub fn new(name: &str, spec: $spec) -> Self {
                Self {
                    metadata: k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta {
                        name: Some(name.to_owned()),
                        ..Default::default()
                    },
                    spec,
                    status: None,
                }
            }

            fn root_schemas(
                generator: &mut schemars::SchemaGenerator,
            ) -> Vec<(&'static str, schemars::Schema)> {
                vec![
                    ("spec", generator.subschema_for::<$spec>()),
                    ("status", generator.subschema_for::<$status>()),
                ]
            }
        }

        impl serde::Serialize for $kind {
            fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                use serde::ser::SerializeMap;
                let mut map = serializer.serialize_map(None)?;
                map.serialize_entry("apiVersion", $crate::kind::API_VERSION)?;
                map.serialize_entry("kind", stringify!($kind))?;
                map.serialize_entry("metadata", &self.metadata)?;
                let required = <Self as $crate::kind::CustomKind>::REQUIRED.contains(&"spec");
                if required || self.spec != <$spec>::default() {
                    map.serialize_entry("spec", &self.spec)?;
                }
                if let Some(status) = &self.status {
                    map.serialize_entry("status", status)?;
                }
                map.end()
            }
        }

        impl kube::core::object::HasSpec for $kind {
            type Spec = $spec;

            fn spec(&self) -> &$spec {
                &self.spec
            }

            fn spec_mut(&mut self) -> &mut $spec {
                &mut self.spec
            }
        }

        impl kube::core::object::HasStatus for $kind {
            type Status = $status;

            fn status(&self) -> Option<&$status> {
                self.status.as_ref()
            }

            fn status_mut(&mut self) -> &mut Option<$status> {
                &mut self.status
            }
        }
    };
}

/// As [`spec_and_status`], for a kind without a status.
macro_rules! spec_only {
    ($kind:ident, $spec:ty) => {
        impl $kind {
            /// An object of that name.
            pub fn new(name: &str, spec: $spec) -> Self {
                Self {
                    metadata: ObjectMeta { name: Some(name.to_owned()), ..Default::default() },
                    spec,
                }
            }

            fn root_schemas(generator: &mut SchemaGenerator) -> Vec<(&'static str, Schema)> {
                vec![("spec", generator.subschema_for::<$spec>())]
            }
        }

        impl serde::Serialize for $kind {
            fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                use serde::ser::SerializeMap;
                let mut map = serializer.serialize_map(None)?;
                map.serialize_entry("apiVersion", $crate::kind::API_VERSION)?;
                map.serialize_entry("kind", stringify!($kind))?;
                map.serialize_entry("metadata", &self.metadata)?;
                map.serialize_entry("spec", &self.spec)?;
                map.end()
            }
        }
    };
}

pub(crate) use {resource, spec_and_status, spec_only};
