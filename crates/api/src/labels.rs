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
/// On a Lease: the controller whose heartbeat it is.
pub const CONTROLLER: &str = "kargo.akuity.io/controller";
/// On a copy: the name of what it is a copy of.
pub const REPLICATED_FROM: &str = "kargo.akuity.io/replicated-from";
/// On a copy: a hash over what was copied.
pub const REPLICATED_SHA: &str = "kargo.akuity.io/replicated-sha";
/// Marks a Secret that holds a token of the API.
pub const RBAC_API_TOKEN: &str = "rbac.kargo.akuity.io/api-token";
/// Marks ServiceAccounts whose roles come with the installation.
pub const RBAC_SYSTEM_ROLE: &str = "rbac.kargo.akuity.io/system-role";

/// A value that fits a label, 63 bytes at most: a longer one is cut, and told
/// from others by a hash (`api` 7.18).
pub fn shorten(value: &str) -> String {
    shorten_to(value, 63)
}

pub(crate) fn shorten_to(value: &str, longest: usize) -> String {
    use sha2::{Digest, Sha256};
    if value.len() <= longest {
        return value.to_owned();
    }
    let hash = hex::encode(Sha256::digest(value.as_bytes()));
    let mut at = longest - 9;
    while !value.is_char_boundary(at) {
        at -= 1;
    }
    format!("{}-{}", value[..at].trim_end_matches('-'), &hash[..8])
}

#[cfg(test)]
mod tests {
    use super::shorten;

    #[test]
    fn long_values_are_cut_and_hashed() {
        let long = "this-is-a-long-stage-name-that-does-not-fit-in-a-kubernetes-label-value-at-all";
        let cases = [
            (
                long.to_owned(),
                "this-is-a-long-stage-name-that-does-not-fit-in-a-kuber-bed188a5".to_owned(),
            ),
            ("a".repeat(64), format!("{}-ffe054fe", "a".repeat(54))),
            (
                format!("{}-{}", "a".repeat(53), "b".repeat(20)),
                format!("{}-af3ec493", "a".repeat(53)),
            ),
            ("short".to_owned(), "short".to_owned()),
        ];
        for (value, shortened) in cases {
            assert_eq!(shorten(&value), shortened);
        }
    }
}
