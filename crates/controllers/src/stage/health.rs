//! A Stage's health: the checks that its last Promotion left behind
//! (`stages` 10).

use api::{Health, HealthState, StageStatus};
use jiff::Timestamp;
use serde_json::Value;

use super::status::{self, reason, types};

/// What one check came to.
#[derive(Clone, Debug, PartialEq)]
pub struct Checked {
    /// How it is.
    pub state: HealthState,
    /// What is wrong.
    pub issues: Vec<String>,
    /// What was seen; must not change with each look.
    pub output: Option<Value>,
}

/// Runs health checks. Reads what is known already; never waits.
pub trait Checker {
    /// Runs a check of kind `uses`; none if there is no such kind.
    fn check(&mut self, uses: &str, config: &Value) -> Option<Checked>;
}

/// Assesses the Stage's health and writes it into `status`.
pub fn assess(
    status: &mut StageStatus,
    checker: &mut dyn Checker,
    generation: i64,
    now: Timestamp,
) {
    if status.current_promotion.is_some() {
        let issue = "Cannot assess health because a Promotion is currently in progress";
        status.health = Some(unknown(issue));
        return set(
            status,
            "Unknown",
            reason::ACTIVE_PROMOTION,
            "Stage has a Promotion in progress",
            generation,
            now,
        );
    }
    let Some(last) = &status.last_promotion else {
        status.health = None;
        return set(
            status,
            "Unknown",
            reason::NO_FREIGHT,
            "Stage has no current Freight",
            generation,
            now,
        );
    };
    let phase = last.status.as_ref().map(|s| s.phase).unwrap_or_default();
    if !phase.is_succeeded() {
        let message = "Cannot assess health because last Promotion did not succeed";
        status.health = Some(unknown(message));
        return set(status, "Unknown", &format!("LastPromotion{phase}"), message, generation, now);
    }
    let checks = last.status.as_ref().map(|s| s.health_checks.clone()).unwrap_or_default();
    let health = run(&checks, checker);
    let (state, reason, message) = match health.status {
        HealthState::Healthy => (
            "True",
            "Healthy".to_owned(),
            format!("Stage is healthy (performed {} health checks)", checks.len()),
        ),
        HealthState::Unhealthy => (
            "False",
            "Unhealthy".to_owned(),
            format!(
                "Stage is unhealthy ({} issues in {} health checks)",
                health.issues.len(),
                checks.len()
            ),
        ),
        ref other => ("Unknown", other.to_string(), String::new()),
    };
    status.health = Some(health);
    set(status, state, &reason, &message, generation, now);
}

fn run(checks: &[api::HealthCheckStep], checker: &mut dyn Checker) -> Health {
    let mut health = Health { status: HealthState::Healthy, ..Health::default() };
    let mut outputs = Vec::new();
    for check in checks {
        let config = check.config.clone().unwrap_or(Value::Null);
        let checked = checker.check(&check.uses, &config).unwrap_or_else(|| Checked {
            state: HealthState::Unknown,
            issues: vec![format!(
                "no health checker registered for health check kind {}",
                status::quote(&check.uses)
            )],
            output: None,
        });
        health.status = health.status.merge(checked.state);
        health.issues.extend(checked.issues);
        outputs.extend(checked.output);
    }
    health.output = (!outputs.is_empty()).then_some(Value::Array(outputs));
    health
}

fn unknown(issue: &str) -> Health {
    Health { status: HealthState::Unknown, issues: vec![issue.to_owned()], ..Health::default() }
}

fn set(
    status: &mut StageStatus,
    state: &str,
    reason: &str,
    message: &str,
    generation: i64,
    now: Timestamp,
) {
    status::set(status, types::HEALTHY, state, reason, message, generation, now);
}

#[cfg(test)]
mod tests;
