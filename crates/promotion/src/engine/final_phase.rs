//! How a Promotion ended, from how its steps ended (`promotions` 7.6).

use api::{PromotionPhase, PromotionStepStatus, StepExecutionMetadata};

/// The worst status of the steps that count, and the message of the first
/// step that had it. A step with `continueOnError` does not count.
pub fn final_phase(steps: &[StepExecutionMetadata]) -> (PromotionPhase, String) {
    let mut worst = severity(PromotionStepStatus::Succeeded);
    let mut phase = PromotionPhase::Succeeded;
    let mut message = String::new();
    for step in steps.iter().filter(|s| !s.continue_on_error) {
        let status = step.status;
        if severity(status) > worst {
            worst = severity(status);
            phase = phase_of(status);
            message.clone_from(&step.message);
        }
    }
    (phase, message)
}

/// The API's order, and last what is no status of a step at all.
fn severity(status: PromotionStepStatus) -> u8 {
    status.severity().unwrap_or(u8::MAX)
}

fn phase_of(status: PromotionStepStatus) -> PromotionPhase {
    match status {
        PromotionStepStatus::Succeeded | PromotionStepStatus::Skipped => PromotionPhase::Succeeded,
        PromotionStepStatus::Aborted => PromotionPhase::Aborted,
        PromotionStepStatus::Failed => PromotionPhase::Failed,
        _ => PromotionPhase::Errored,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use PromotionStepStatus as S;

    fn step(status: S, message: &str) -> StepExecutionMetadata {
        StepExecutionMetadata { status, message: message.to_owned(), ..Default::default() }
    }

    #[test]
    fn the_worst_step_decides() {
        // `promotions` 12, "Final phase".
        for (statuses, want) in [
            (vec![S::Succeeded], PromotionPhase::Succeeded),
            (vec![S::Succeeded, S::Skipped], PromotionPhase::Succeeded),
            (vec![S::Succeeded, S::Skipped, S::Aborted], PromotionPhase::Aborted),
            (vec![S::Succeeded, S::Skipped, S::Aborted, S::Failed], PromotionPhase::Failed),
            (vec![S::Succeeded, S::Skipped, S::Failed, S::Errored], PromotionPhase::Errored),
            (vec![S::Succeeded, S::Skipped, S::Running], PromotionPhase::Errored),
        ] {
            let steps: Vec<_> = statuses.iter().map(|s| step(*s, "")).collect();
            assert_eq!(final_phase(&steps).0, want, "{statuses:?}");
        }
    }

    #[test]
    fn a_step_that_may_fail_does_not_count() {
        let mut steps = vec![step(S::Succeeded, ""), step(S::Errored, "x"), step(S::Succeeded, "")];
        steps[1].continue_on_error = true;
        assert_eq!(final_phase(&steps), (PromotionPhase::Succeeded, String::new()));
    }

    #[test]
    fn the_first_of_the_worst_gives_the_message() {
        let steps = [step(S::Skipped, "s"), step(S::Errored, "one"), step(S::Errored, "two")];
        assert_eq!(final_phase(&steps), (PromotionPhase::Errored, "one".to_owned()));
        assert_eq!(final_phase(&steps[..1]), (PromotionPhase::Succeeded, "s".to_owned()));
    }
}
