//! What happened between a new tag and a synced Application, as lines and as a
//! table of where the time went. Pure.

use std::time::Duration;

/// One thing that happened, and when, counted from the new tag.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Moment {
    /// Since the tag was published.
    pub at: Duration,
    /// What it was.
    pub what: String,
}

/// A step of the Promotion.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StepSpan {
    /// Its alias.
    pub alias: String,
    /// Its kind.
    pub kind: String,
    /// When it began first.
    pub began: Duration,
    /// When its last attempt ended.
    pub ended: Duration,
    /// How long its attempts took together.
    pub worked: Duration,
}

/// One tag's way to the Application.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Run {
    /// The tag.
    pub tag: String,
    /// The commit that the Promotion made.
    pub commit: String,
    /// When the Freight was there.
    pub freight: Duration,
    /// When the Promotion was there.
    pub promotion: Duration,
    /// The steps, in order.
    pub steps: Vec<StepSpan>,
    /// When the Application was at the commit, Synced and Healthy.
    pub synced: Duration,
    /// When the Promotion had succeeded.
    pub succeeded: Duration,
}

impl Run {
    /// From the tag to the synced Application.
    pub fn total(&self) -> Duration {
        self.synced
    }

    /// What the controller took beside the steps' own work, a step.
    pub fn overhead_per_step(&self) -> Duration {
        let worked: Duration = self.steps.iter().map(|s| s.worked).sum();
        let waited = self.waiting_for_argocd();
        let end = self.steps.last().map_or(self.promotion, |s| s.ended);
        let between = end.saturating_sub(self.promotion).saturating_sub(worked + waited);
        between / u32::try_from(self.steps.len().max(1)).unwrap_or(1)
    }

    /// The time in which the last step waited for Argo CD.
    fn waiting_for_argocd(&self) -> Duration {
        self.steps.last().map_or(Duration::ZERO, |last| {
            last.ended.saturating_sub(last.began).saturating_sub(last.worked)
        })
    }
}

/// The first seven characters of a commit's id.
pub fn short(commit: &str) -> &str {
    commit.get(..7).unwrap_or(commit)
}

/// Milliseconds with one digit behind the point below ten.
pub fn millis(time: Duration) -> String {
    let ms = time.as_secs_f64() * 1000.0;
    if ms < 9.95 { format!("{ms:.1} ms") } else { format!("{ms:.0} ms") }
}

/// A moment as a line.
pub fn line(moment: &Moment) -> String {
    format!("{:>9}  {}", millis(moment.at), moment.what)
}

/// Where the time went.
pub fn table(run: &Run) -> Vec<String> {
    let mut rows = vec![
        ("tag -> Freight".to_owned(), run.freight),
        ("Freight -> Promotion".to_owned(), run.promotion.saturating_sub(run.freight)),
    ];
    for step in &run.steps {
        rows.push((format!("step {} ({})", step.alias, step.kind), step.worked));
    }
    rows.push(("Argo CD: compare and sync".to_owned(), run.waiting_for_argocd()));
    let known: Duration = rows.iter().map(|(_, time)| *time).sum();
    rows.push(("the controller between steps".to_owned(), run.synced.saturating_sub(known)));
    rows.push(("tag -> Application synced".to_owned(), run.total()));
    let width = rows.iter().map(|(name, _)| name.chars().count()).max().unwrap_or_default();
    let mut lines = vec!["where the time went".to_owned()];
    for (name, time) in rows {
        lines.push(format!("  {name:<width$}  {:>9}", millis(time)));
    }
    lines.push(format!(
        "  {:<width$}  {:>9}",
        "controller's own time a step",
        millis(run.overhead_per_step())
    ));
    lines
}

/// Median and worst of several runs.
pub fn summary(took: &[Duration]) -> String {
    let mut sorted = took.to_vec();
    sorted.sort_unstable();
    let median = sorted.get(sorted.len() / 2).copied().unwrap_or_default();
    let worst = sorted.last().copied().unwrap_or_default();
    format!(
        "tag -> Application synced, {} runs: median {}, worst {}",
        sorted.len(),
        millis(median),
        millis(worst)
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ms(n: u64) -> Duration {
        Duration::from_millis(n)
    }

    fn step(kind: &str, began: u64, ended: u64, worked: u64) -> StepSpan {
        StepSpan {
            alias: "step-1".into(),
            kind: kind.into(),
            began: ms(began),
            ended: ms(ended),
            worked: ms(worked),
        }
    }

    #[test]
    fn the_table_accounts_for_all_time() {
        let run = Run {
            freight: ms(10),
            promotion: ms(15),
            steps: vec![step("git-push", 20, 50, 30), step("argocd-update", 51, 121, 10)],
            synced: ms(120),
            succeeded: ms(122),
            ..Run::default()
        };
        assert_eq!(run.waiting_for_argocd(), ms(60));
        assert_eq!(run.overhead_per_step(), ms(3));
        let lines = table(&run);
        assert_eq!(lines.first().map(String::as_str), Some("where the time went"));
        assert!(
            lines.iter().any(|l| l.contains("tag -> Application synced") && l.ends_with("120 ms"))
        );
    }

    #[test]
    fn the_median_is_of_the_sorted_runs() {
        assert_eq!(
            summary(&[ms(300), ms(100), ms(200)]),
            "tag -> Application synced, 3 runs: median 200 ms, worst 300 ms"
        );
    }
}
