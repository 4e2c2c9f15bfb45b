//! Kargo's resources (`kargo.akuity.io/v1alpha1`) as Rust types, and the rules
//! that follow from their data alone. No I/O happens here.
//!
//! One file a kind; what kinds share stands in files of its own.

pub mod actors;
pub mod admission;
mod argocd_context;
mod artifacts;
pub mod availability;
pub mod candidates;
mod cluster_config;
mod cluster_promotion_task;
pub mod collections;
pub mod conditions;
pub mod crd;
pub mod discovery;
mod duration;
mod enums;
mod freight;
mod freight_id;
mod go_url;
mod health;
mod kind;
pub mod names;
pub mod policy;
mod project;
mod project_config;
mod promotion;
mod promotion_request;
mod promotion_task;
pub mod promotions;
pub mod requests;
mod retry;
mod schema;
mod selector_schema;
pub mod soak;
mod stage;
mod step;
mod subscription;
mod target;
pub mod urls;
mod verification;
mod warehouse;

pub mod annotations;
pub mod labels;

pub use argocd_context::argocd_context;
pub use artifacts::{
    ArtifactReference, Chart, FreightCollection, FreightOrigin, FreightReference, GitCommit, Image,
};
pub use cluster_config::{ClusterConfig, ClusterConfigSpec, ClusterConfigStatus, GitClientConfig};
pub use cluster_promotion_task::ClusterPromotionTask;
pub use duration::{DurationError, GoDuration};
pub use enums::{HealthState, PromotionPhase, PromotionStepStatus, VerificationPhase};
pub use freight::{ApprovedStage, CurrentStage, Freight, FreightStatus, VerifiedStage};
pub use freight_id::{freight_id, hashed_text};
pub use health::{Health, HealthCheckStep};
pub use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};
pub use kind::{API_VERSION, CustomKind, GROUP, VERSION};
pub use project::{HealthStats, KindStats, Project, ProjectSpec, ProjectStats, ProjectStatus};
pub use project_config::{
    ArtifactoryReceiver, AutoRollback, GenericReceiver, GenericWebhookAction, GenericWebhookTarget,
    IndexSelector, IndexSelectorRequirement, Link, LocalSecretReference, ProjectConfig,
    ProjectConfigSpec, ProjectConfigStatus, PromotionPolicy, PromotionPolicySelector,
    PromotionWindow, SecretReceiver, WebhookReceiverConfig, WebhookReceiverDetails,
};
pub use promotion::{Promotion, PromotionSpec, PromotionStatus, StepExecutionMetadata};
pub use promotion_request::{
    NamedTarget, PromotionRequest, PromotionRequestSpec, PromotionRequestStatus,
    PromotionRequestSummary, TargetStatusReference,
};
pub use promotion_task::{PromotionTask, PromotionTaskSpec};
pub use requests::{AbortRequest, VerificationRequest, go_json};
pub use retry::PromotionStepRetry;
pub use stage::{
    AnalysisRunArgument, AnalysisRunMetadata, AnalysisTemplateReference, AutoPromotionHold,
    AutoPromotionOptions, FreightRequest, FreightSources, NamedFreight, PromotionReference,
    PromotionRequestReference, PromotionTemplate, PromotionTemplateSpec, PromotionWindowStatus,
    Stage, StageSpec, StageStatus, StageTargets, Verification,
};
pub use step::{ExpressionVariable, PromotionStep, PromotionTaskReference};
pub use subscription::{
    ChartSubscription, DEFAULT_DISCOVERY_LIMIT, GenericSubscription, GitSubscription,
    ImageSubscription, Subscription, SubscriptionError, SubscriptionKind, discovery_limit,
};
pub use target::{Target, TargetSpec, TargetStatus};
pub use urls::{normalize_chart, normalize_git, normalize_image};
pub use verification::{AnalysisRunReference, VerificationInfo};
pub use warehouse::{
    ChartDiscoveryResult, DiscoveredArtifacts, DiscoveredCommit, DiscoveredImageReference,
    DiscoveryResult, FreightCreationCriteria, FreightCreationPolicy, GitDiscoveryResult,
    ImageDiscoveryResult, ObservedRefs, ObservedTag, Warehouse, WarehouseSpec, WarehouseStatus,
};

/// The definitions of all kinds.
pub fn crds()
-> Vec<k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition>
{
    crd::all()
}

/// The finalizer by which controllers keep an object until they are done.
pub const FINALIZER: &str = "kargo.akuity.io/finalizer";

/// A name of a Kubernetes object, 253 bytes at most: a longer one is cut, and
/// told from others by a hash (`api` 7.18).
pub fn shorten_resource_name(name: &str) -> String {
    labels::shorten_to(name, 253)
}

/// A random UUID (version 4), as verifications are known by.
pub fn new_uuid() -> String {
    uuid::Uuid::new_v4().to_string()
}
