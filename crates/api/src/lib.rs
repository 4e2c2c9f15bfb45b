//! Kargo's resources (`kargo.akuity.io/v1alpha1`) as Rust types, and the rules
//! that follow from their data alone. No I/O happens here.
//!
//! One file a kind; what kinds share stands in files of its own.

mod artifacts;
mod cluster_config;
mod cluster_promotion_task;
pub mod crd;
mod duration;
mod enums;
mod freight;
mod health;
mod kind;
mod project;
mod project_config;
mod promotion;
mod promotion_request;
mod promotion_task;
mod schema;
mod selector_schema;
mod stage;
mod step;
mod subscription;
mod target;
mod verification;
mod warehouse;

pub mod annotations;
pub mod labels;

pub use artifacts::{
    ArtifactReference, Chart, FreightCollection, FreightOrigin, FreightReference, GitCommit, Image,
};
pub use cluster_config::{ClusterConfig, ClusterConfigSpec, ClusterConfigStatus, GitClientConfig};
pub use cluster_promotion_task::ClusterPromotionTask;
pub use duration::{DurationError, GoDuration};
pub use enums::{HealthState, PromotionPhase, PromotionStepStatus, VerificationPhase};
pub use freight::{ApprovedStage, CurrentStage, Freight, FreightStatus, VerifiedStage};
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
pub use stage::{
    AnalysisRunArgument, AnalysisRunMetadata, AnalysisTemplateReference, AutoPromotionHold,
    AutoPromotionOptions, FreightRequest, FreightSources, NamedFreight, PromotionReference,
    PromotionRequestReference, PromotionTemplate, PromotionTemplateSpec, PromotionWindowStatus,
    Stage, StageSpec, StageStatus, StageTargets, Verification,
};
pub use step::{ExpressionVariable, PromotionStep, PromotionStepRetry, PromotionTaskReference};
pub use subscription::{
    ChartSubscription, DEFAULT_DISCOVERY_LIMIT, GenericSubscription, GitSubscription,
    ImageSubscription, Subscription, SubscriptionError, SubscriptionKind, discovery_limit,
};
pub use target::{Target, TargetSpec, TargetStatus};
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
