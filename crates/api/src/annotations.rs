//! Annotations (`api` 8).

/// Asks for a pass over the object now; the value is a token.
pub const REFRESH: &str = "kargo.akuity.io/refresh";
/// Asks a Stage to verify again.
pub const REVERIFY: &str = "kargo.akuity.io/reverify";
/// Asks to end a Promotion, or a Stage's verification.
pub const ABORT: &str = "kargo.akuity.io/abort";
/// Who made a Promotion.
pub const CREATE_ACTOR: &str = "kargo.akuity.io/create-actor";
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
