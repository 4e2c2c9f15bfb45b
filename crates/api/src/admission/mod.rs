//! What admission gives objects and what it refuses, as pure functions: the
//! webhooks call them, and the controllers again where no webhook stands
//! before them (`admission` 2, 3). Look-ups are the callers'.

mod config;
mod field_error;
mod freight;
mod identity;
mod project_check;
mod promoter;
mod promotion;
#[cfg(test)]
mod promotion_cases;
mod promotion_request;
mod promotion_surroundings;
mod stage;
mod steps;
mod warehouse;
mod warehouse_rules;

pub use config::{validate_cluster_config, validate_project_config, validate_project_config_name};
pub use field_error::{FieldError, FieldErrorKind, invalid};
pub use freight::{
    Operation, default_freight, newly_approved, validate_freight, validate_freight_deletion,
    validate_freight_update,
};
pub use identity::{ControlPlane, Requester, enrich_abort, enrich_verification};
pub use project_check::check_project;
pub use promoter::{PromoteReview, PromotionCreated, promote_review, promotion_created};
pub use promotion::{
    PromotionRefusal, default_promotion_metadata, keep_actor_and_holds, mark_hold_or_resume,
    target_errors, template_of, validate_promotion_spec, validate_promotion_update,
};
pub use promotion_request::validate_promotion_request;
pub use promotion_surroundings::{
    OriginRefusal, freight_of_origin, missing_stage, validate_promoted_freight,
};
pub use stage::validate_stage;
pub use steps::{reserved_alias, validate_aliases, validate_task};
pub use warehouse::{
    UnknownSubscription, WarehouseRules, default_subscriptions, validate_subscriptions,
};
pub use warehouse_rules::{is_chart_url, is_git_url, is_image_url};

use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;

/// Makes the shard label that of the spec: the field wins, and an empty one
/// removes the label (`api` 8.2).
pub fn default_shard(metadata: &mut ObjectMeta, shard: &str) {
    set_or_remove(&mut metadata.labels, crate::labels::SHARD, shard);
}

/// Sets a label or annotation, or removes it where the value is empty.
fn set_or_remove(
    map: &mut Option<std::collections::BTreeMap<String, String>>,
    key: &str,
    value: &str,
) {
    if value.is_empty() {
        if let Some(map) = map {
            map.remove(key);
        }
    } else {
        map.get_or_insert_default().insert(key.to_owned(), value.to_owned());
    }
}
