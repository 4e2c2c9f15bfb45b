//! Labels (`api` 8).

/// A Freight's alias.
pub const ALIAS: &str = "kargo.akuity.io/alias";
/// Marks a namespace as a Project's.
pub const PROJECT: &str = "kargo.akuity.io/project";
/// The shard that serves an object.
pub const SHARD: &str = "kargo.akuity.io/shard";
/// A Promotion's Stage, shortened to 63 bytes.
pub const STAGE: &str = "kargo.akuity.io/stage";
/// The FreightCollection that an AnalysisRun verifies.
pub const FREIGHT_COLLECTION: &str = "kargo.akuity.io/freight-collection";
/// What kind of credential a Secret holds.
pub const CRED_TYPE: &str = "kargo.akuity.io/cred-type";
