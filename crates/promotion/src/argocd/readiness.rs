//! Whether an Application is ready in the sense of `argocd-wait`
//! (`steps-argocd` 4.3).

use std::time::Duration;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::application::Application;
use super::freshness::{Trust, settling, trust};

/// What to wait for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum WaitFor {
    /// The workloads are healthy.
    Health,
    /// The live state is the wanted one.
    Sync,
    /// No operation is going on.
    Operation,
    /// The workloads are suspended.
    Suspended,
    /// The workloads are degraded.
    Degraded,
}

/// What is waited for where the config does not say.
pub const DEFAULT_WAIT_FOR: [WaitFor; 3] = [WaitFor::Health, WaitFor::Sync, WaitFor::Operation];

/// Whether an Application is ready.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Readiness {
    /// Everything waited for holds.
    Ready,
    /// Not yet; an event will tell.
    NotYet,
    /// Not to be judged before this time has passed or an event arrived.
    Settling(Duration),
    /// Not to be judged before a comparison, which must be asked for.
    NeedsRefresh,
    /// It cannot become ready: why, for the user.
    Hopeless(String),
}

/// Judges one state. `previous` is the health status of the last evaluation,
/// empty if there was none.
pub fn readiness(
    app: &Application,
    wait_for: &[WaitFor],
    previous: &str,
    settled: bool,
    now: Timestamp,
) -> Readiness {
    let errors: Vec<String> = app
        .status
        .conditions
        .iter()
        .filter(|c| c.is_error())
        .map(|c| format!("{} has {:?} condition: {}", app.title(), c.kind, c.message))
        .collect();
    if !errors.is_empty() {
        return Readiness::Hopeless(errors.join("\n"));
    }
    let wants = |what| wait_for.contains(&what);
    let state = app.status.operation_state.as_ref();
    // Between the attempts of an operation that is tried again `finishedAt` is
    // set too, but `operation` stays (13.7).
    if wants(WaitFor::Operation)
        && (app.operation.is_some() || state.is_some_and(|s| s.finished_at.is_none()))
    {
        return Readiness::NotYet;
    }
    let health = app.status.health.status.as_str();
    if wants(WaitFor::Health) || wants(WaitFor::Suspended) || wants(WaitFor::Degraded) {
        match trust(app, settled, now) {
            Trust::Fresh => {}
            Trust::Settling(rest) => return Readiness::Settling(rest),
            Trust::Stale => return Readiness::NeedsRefresh,
        }
        if wants(WaitFor::Health)
            && !wants(WaitFor::Degraded)
            && health == "Degraded"
            && !matches!(previous, "" | "Degraded" | "Unknown")
        {
            // Argo CD writes the time of the comparison before its result, so
            // right after an operation this may be the health of before it.
            if let Some(rest) = app.finished_at().and_then(|f| settling(f, now)) {
                return Readiness::Settling(rest);
            }
            return Readiness::Hopeless(format!(
                "{} health has regressed from {previous} to Degraded",
                app.title()
            ));
        }
        let passes = (wants(WaitFor::Health) && health == "Healthy")
            || (wants(WaitFor::Suspended) && health == "Suspended")
            || (wants(WaitFor::Degraded) && health == "Degraded");
        if !passes {
            return Readiness::NotYet;
        }
    }
    if wants(WaitFor::Sync) && app.status.sync.status != "Synced" {
        return Readiness::NotYet;
    }
    Readiness::Ready
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::argocd::samples;

    #[test]
    fn an_application_is_ready_when_all_that_is_waited_for_holds() {
        use WaitFor::{Degraded, Health, Operation, Suspended, Sync};
        let all = DEFAULT_WAIT_FOR.to_vec();
        let status = |health: &str, sync: &str| json!({"health": {"status": health}, "sync": {"status": sync}});
        let with = |mut base: Value, key: &str, value: Value| {
            base[key] = value;
            base
        };
        let op = |finished: Option<&str>| json!({"phase": "Failed", "finishedAt": finished});
        let t = "2026-11-24T21:47:35Z";
        let regressed = Readiness::Hopeless(
            "Argo CD Application \"a\" in namespace \"argocd\" health has regressed from \
             Progressing to Degraded"
                .into(),
        );
        // (case, status, wait for, previous, readiness)
        let cases = [
            ("steps-argocd/4.3-1", status("Healthy", "Synced"), all.clone(), "", Readiness::Ready),
            (
                "steps-argocd/4.3-2",
                status("Progressing", "Synced"),
                all.clone(),
                "",
                Readiness::NotYet,
            ),
            (
                "steps-argocd/4.3-3",
                status("Healthy", "OutOfSync"),
                all.clone(),
                "",
                Readiness::NotYet,
            ),
            ("steps-argocd/4.3-4", status("Degraded", "Synced"), vec![Sync], "", Readiness::Ready),
            (
                "steps-argocd/4.3-5",
                status("Suspended", "OutOfSync"),
                vec![Health, Suspended],
                "",
                Readiness::Ready,
            ),
            (
                "steps-argocd/4.3-6",
                status("Degraded", "Synced"),
                all.clone(),
                "",
                Readiness::NotYet,
            ),
            (
                "steps-argocd/4.3-7",
                status("Degraded", "Synced"),
                all.clone(),
                "Progressing",
                regressed,
            ),
            (
                "4.3.4, no defect",
                status("Degraded", "Synced"),
                vec![Health, Degraded],
                "Progressing",
                Readiness::Ready,
            ),
            ("4.3.4", status("Degraded", "Synced"), all.clone(), "Unknown", Readiness::NotYet),
            (
                "steps-argocd/4.3-8",
                with(status("Degraded", "OutOfSync"), "operationState", op(Some(t))),
                vec![Operation],
                "",
                Readiness::Ready,
            ),
            (
                "4.3.2",
                with(status("Healthy", "Synced"), "operationState", op(None)),
                all.clone(),
                "",
                Readiness::NotYet,
            ),
            (
                "steps-argocd/4.3-10",
                with(status("Healthy", "Synced"), "operationState", op(Some(t))),
                all.clone(),
                "",
                Readiness::NeedsRefresh,
            ),
            (
                "steps-argocd/4.3-10",
                with(
                    with(status("Healthy", "Synced"), "operationState", op(Some(t))),
                    "reconciledAt",
                    json!("2026-11-24T21:47:30Z"),
                ),
                all.clone(),
                "",
                Readiness::NeedsRefresh,
            ),
            (
                "steps-argocd/4.3-11",
                with(
                    with(status("Healthy", "Synced"), "operationState", op(Some(t))),
                    "reconciledAt",
                    json!(t),
                ),
                all.clone(),
                "",
                Readiness::Ready,
            ),
            (
                "steps-argocd/4.3-12",
                with(
                    status("Healthy", "Synced"),
                    "conditions",
                    json!([{"type": "InvalidSpecError", "message": "bad"},
                           {"type": "SharedResourceWarning", "message": "x"}]),
                ),
                vec![Sync],
                "",
                Readiness::Hopeless(
                    "Argo CD Application \"a\" in namespace \"argocd\" has \"InvalidSpecError\" \
                     condition: bad"
                        .into(),
                ),
            ),
        ];
        let now = "2026-11-24T21:48:00Z".parse().unwrap();
        for (case, status, wait_for, previous, expected) in cases {
            let app = samples::from(json!({
                "metadata": {"namespace": "argocd", "name": "a"}, "status": status,
            }));
            assert_eq!(readiness(&app, &wait_for, previous, false, now), expected, "{case}");
        }
        let app = samples::from(json!({
            "metadata": {}, "operation": {"sync": {}},
            "status": status("Healthy", "Synced"),
        }));
        // steps-argocd/4.3-9
        assert_eq!(readiness(&app, &all, "", false, now), Readiness::NotYet);
    }

    #[test]
    fn a_stale_degraded_never_fails_a_promotion() {
        let app = |reconciled: &str| {
            samples::from(json!({"metadata": {}, "status": {
                "health": {"status": "Degraded"}, "sync": {"status": "Synced"},
                "reconciledAt": reconciled,
                "operationState": {"phase": "Succeeded", "finishedAt": "2026-11-24T21:47:35Z"},
            }}))
        };
        let at = |now: &str, reconciled: &str, settled| {
            let now = now.parse().unwrap();
            readiness(&app(reconciled), &DEFAULT_WAIT_FOR, "Healthy", settled, now)
        };
        let (five, six) = ("2026-11-24T21:47:35Z", "2026-11-24T21:47:36Z");
        for (reconciled, settled) in [(five, false), (five, true), (six, false), (six, true)] {
            let early = at("2026-11-24T21:47:36.5Z", reconciled, settled);
            assert_eq!(early, Readiness::Settling(Duration::from_millis(500)), "{reconciled}");
            let late = at("2026-11-24T21:47:37Z", reconciled, settled);
            assert!(matches!(late, Readiness::Hopeless(_)), "{reconciled}: {late:?}");
        }
    }
}
