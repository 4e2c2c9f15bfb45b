//! Annotations (`api` 8).

/// Asks for a pass over the object now; the value is a token.
pub const REFRESH: &str = "kargo.akuity.io/refresh";
/// Asks a Stage to verify again.
pub const REVERIFY: &str = "kargo.akuity.io/reverify";
/// Asks to end a Promotion, or a Stage's verification.
pub const ABORT: &str = "kargo.akuity.io/abort";
/// Who made a Promotion.
pub const CREATE_ACTOR: &str = "kargo.akuity.io/create-actor";
/// When the controller first saw a Promotion whose name a user chose (a ULID).
pub const ORDINAL: &str = "kargo.akuity.io/ordinal";
/// The Stages that may change an Argo CD Application.
pub const AUTHORIZED_STAGE: &str = "kargo.akuity.io/authorized-stage";
/// The Applications that a Stage's Promotions touch, for user interfaces.
pub const ARGOCD_CONTEXT: &str = "kargo.akuity.io/argocd-context";
/// A Promotion that holds auto-promotion from an origin.
pub const AUTO_PROMOTION_HOLD: &str = "kargo.akuity.io/auto-promotion-hold";
/// A Promotion that resumes auto-promotion from an origin.
pub const AUTO_PROMOTION_RESUME: &str = "kargo.akuity.io/auto-promotion-resume";
/// A Promotion back to earlier Freight.
pub const ROLLBACK: &str = "kargo.akuity.io/rollback";
/// A Promotion's Stage by its full name.
pub const STAGE: &str = "kargo.akuity.io/stage";
/// A Stage's colour in user interfaces.
pub const COLOR: &str = "kargo.akuity.io/color";
/// Keeps a Project's namespace when the Project goes.
pub const KEEP_NAMESPACE: &str = "kargo.akuity.io/keep-namespace";
/// Text about an object, for people.
pub const DESCRIPTION: &str = "kargo.akuity.io/description";
/// On an AnalysisRun: the Promotion that it verifies.
pub const PROMOTION: &str = "kargo.akuity.io/promotion";
/// Which migrations an object went through, as JSON. Nothing reads it.
pub const MIGRATED: &str = "kargo.akuity.io/migrated";
/// Which repositories each Project may use a GitHub App for, as JSON.
pub const GITHUB_TOKEN_SCOPES: &str = "kargo.akuity.io/github-token-scopes";
/// Where a shared Secret or ConfigMap is copied to: `*` is every Project.
pub const REPLICATE_TO: &str = "kargo.akuity.io/replicate-to";
/// When a copy was last made (RFC 3339).
pub const REPLICATED_AT: &str = "kargo.akuity.io/replicated-at";
/// Starts the annotations of Events.
pub const EVENT_PREFIX: &str = "event.kargo.akuity.io/";
/// Marks ServiceAccounts, Roles and RoleBindings as ours.
pub const RBAC_MANAGED: &str = "rbac.kargo.akuity.io/managed";
/// The claims by which users are a ServiceAccount, as JSON.
pub const RBAC_CLAIMS: &str = "rbac.kargo.akuity.io/claims";
/// Starts the older annotations with one claim each.
pub const RBAC_CLAIM_PREFIX: &str = "rbac.kargo.akuity.io/claim.";
