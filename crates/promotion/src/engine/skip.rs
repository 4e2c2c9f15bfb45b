//! Whether a step runs (`promotions` 7.3).

use api::{PromotionStepStatus, StepExecutionMetadata};
use expr::Value;

/// Whether a step that counts has failed (`failure()` in expressions).
pub fn has_failures(steps: &[StepExecutionMetadata]) -> bool {
    steps.iter().any(|s| {
        !s.continue_on_error
            && matches!(s.status, PromotionStepStatus::Errored | PromotionStepStatus::Failed)
    })
}

/// Whether the condition lets the step run.
///
/// # Errors
/// The condition is no boolean; says what it is instead.
pub fn condition(value: &Value) -> Result<bool, String> {
    value
        .as_bool()
        .ok_or_else(|| format!("expression must evaluate to a boolean, got {}", value.go_type()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn only_a_boolean_decides() {
        for (value, want) in [
            (json!(true), Ok(true)),
            (json!(false), Ok(false)),
            (json!("x"), Err("expression must evaluate to a boolean, got string")),
            (json!(1), Err("expression must evaluate to a boolean, got float64")),
            (json!(null), Err("expression must evaluate to a boolean, got <nil>")),
            (json!({}), Err("expression must evaluate to a boolean, got map[string]interface {}")),
            (json!([]), Err("expression must evaluate to a boolean, got []interface {}")),
        ] {
            assert_eq!(
                condition(&Value::from_decoded_json(value.clone())),
                want.map_err(str::to_owned),
                "{value}"
            );
        }
    }

    #[test]
    fn a_step_that_may_fail_is_no_failure() {
        let step = |status, continue_on_error| StepExecutionMetadata {
            status,
            continue_on_error,
            ..Default::default()
        };
        assert!(has_failures(&[step(PromotionStepStatus::Failed, false)]));
        assert!(has_failures(&[step(PromotionStepStatus::Errored, false)]));
        assert!(!has_failures(&[step(PromotionStepStatus::Errored, true)]));
        assert!(!has_failures(&[step(PromotionStepStatus::Aborted, false)]));
    }
}
