//! Conditions as the controllers write them: short hand over the rules of
//! `api` 6.1.

use api::Condition;
use api::conditions::NewCondition;
use jiff::Timestamp;

/// Sets the condition of that type, with `generation` as its
/// observedGeneration (0 for none).
pub fn set(
    conditions: &mut Vec<Condition>,
    type_: &str,
    state: &str,
    reason: &str,
    message: &str,
    generation: i64,
    now: Timestamp,
) {
    let condition = NewCondition {
        type_: type_.to_owned(),
        status: state.to_owned(),
        reason: reason.to_owned(),
        message: message.to_owned(),
        observed_generation: (generation != 0).then_some(generation),
        last_transition_time: None,
    };
    api::conditions::set(conditions, condition, now);
}

/// Removes the condition of that type.
pub fn remove(conditions: &mut Vec<Condition>, type_: &str) {
    api::conditions::delete(conditions, type_);
}

/// The condition of that type.
pub fn get<'a>(conditions: &'a [Condition], type_: &str) -> Option<&'a Condition> {
    conditions.iter().find(|c| c.type_ == type_)
}

/// Whether the condition of that type is there and True.
pub fn is_true(conditions: &[Condition], type_: &str) -> bool {
    get(conditions, type_).is_some_and(|c| c.status == "True")
}
