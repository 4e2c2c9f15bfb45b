//! How conditions are set (`api` 6.1).

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};

/// The longest message, in bytes.
pub const MAX_MESSAGE: usize = 32768;

const TRUNCATED: &str = " ... (truncated)";

/// A condition to be set. Its time is that of the change unless one is given.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct NewCondition {
    /// The type.
    pub type_: String,
    /// `True`, `False` or `Unknown`.
    pub status: String,
    /// Why, in a word.
    pub reason: String,
    /// Why, for people.
    pub message: String,
    /// The generation that was looked at.
    pub observed_generation: Option<i64>,
    /// When it changed, if that is known better.
    pub last_transition_time: Option<Timestamp>,
}

/// Sets a condition. One that says the same of the same generation is left
/// alone; its time advances only with its status.
pub fn set(conditions: &mut Vec<Condition>, new: NewCondition, now: Timestamp) {
    let message = shortened(new.message);
    let existing = conditions.iter_mut().find(|c| c.type_ == new.type_);
    let time = match (&existing, new.last_transition_time) {
        (_, Some(given)) => Time(given),
        (Some(old), None) if old.status == new.status => old.last_transition_time.clone(),
        (_, None) => Time(whole_seconds(now)),
    };
    let condition = Condition {
        type_: new.type_,
        status: new.status,
        reason: new.reason,
        message,
        observed_generation: new.observed_generation,
        last_transition_time: time,
    };
    match existing {
        Some(old) => {
            let same = old.status == condition.status
                && old.reason == condition.reason
                && old.message == condition.message
                && old.observed_generation >= condition.observed_generation;
            if !same {
                *old = condition;
            }
        }
        None => conditions.push(condition),
    }
}

/// Removes the condition of that type, if there is one.
pub fn delete(conditions: &mut Vec<Condition>, type_: &str) {
    conditions.retain(|c| c.type_ != type_);
}

fn whole_seconds(time: Timestamp) -> Timestamp {
    Timestamp::from_second(time.as_second()).unwrap_or(time)
}

fn shortened(message: String) -> String {
    if message.len() <= MAX_MESSAGE {
        return message;
    }
    let mut at = MAX_MESSAGE - TRUNCATED.len();
    while !message.is_char_boundary(at) {
        at -= 1;
    }
    format!("{}{TRUNCATED}", &message[..at])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(1_800_000_000 + second).unwrap()
    }

    fn ready(status: &str, generation: i64) -> NewCondition {
        NewCondition {
            type_: "Ready".into(),
            status: status.into(),
            reason: "R".into(),
            message: "m".into(),
            observed_generation: Some(generation),
            last_transition_time: None,
        }
    }

    #[test]
    fn conditions_are_added_renewed_or_left() {
        let mut all = Vec::new();
        // spec: api/condition-set-N1
        set(&mut all, ready("True", 1), at(0));
        assert_eq!((all.len(), all[0].last_transition_time.0), (1, at(0)));
        // spec: api/condition-set-N2
        let before = all.clone();
        set(&mut all, ready("True", 1), at(5));
        assert_eq!(all, before);
        // spec: api/condition-set-N3
        set(&mut all, ready("True", 2), at(6));
        assert_eq!((all[0].observed_generation, all[0].last_transition_time.0), (Some(2), at(0)));
        // The page keeps the time when the status flips; here it advances, as
        // the page allows and Kubernetes asks for.
        set(&mut all, ready("False", 2), at(7));
        assert_eq!(all[0].last_transition_time.0, at(7));
        // spec: api/condition-set-N5
        let given = NewCondition { last_transition_time: Some(at(99)), ..ready("True", 3) };
        set(&mut all, given, at(8));
        assert_eq!(all[0].last_transition_time.0, at(99));
        // spec: api/condition-set-N6
        set(&mut all, NewCondition { message: "é".repeat(16434), ..ready("True", 4) }, at(9));
        assert!(all[0].message.len() <= MAX_MESSAGE && all[0].message.ends_with(TRUNCATED));
        // spec: api/condition-set-N7
        delete(&mut all, "Healthy");
        assert_eq!(all.len(), 1);
        delete(&mut all, "Ready");
        assert!(all.is_empty());
    }
}
