//! A pipeline that opens and merges a pull request, killed at every boundary:
//! before and after every write of the status and every call of the provider.
//! One pull request, one merge, and a Promotion that ends as it should.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use api::{PromotionPhase as Phase, PromotionStatus, PromotionStep};
use async_trait::async_trait;
use forge::{
    Forge, ForgeError, Forges, Merge, NewPullRequest, OpenRequest, Provider, PullRequest, Search,
};
use sandbox::git_host::pull_requests::{MergeMethod, PullState};
use serde_json::json;
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use super::git_pr_testing::{Site, http, registry};
use crate::engine::{Engine, NoFunctions, Outcome, RecordError, Recorder, Run};
use crate::forge_access::ForgeAccess;

/// Kills the process at the n-th boundary: whoever reaches it never goes on.
#[derive(Default)]
struct Killer {
    at: AtomicUsize,
    reached: AtomicUsize,
    dead: Notify,
}

impl Killer {
    fn arm(&self, at: usize) {
        self.at.store(at, Ordering::SeqCst);
        self.reached.store(0, Ordering::SeqCst);
    }

    async fn boundary(&self) {
        if self.reached.fetch_add(1, Ordering::SeqCst) == self.at.load(Ordering::SeqCst) {
            self.dead.notify_one();
            std::future::pending::<()>().await;
        }
    }
}

/// The real provider, with a boundary on both sides of each call.
struct Mortal<T> {
    inner: T,
    killer: Arc<Killer>,
}

impl Forges for Mortal<Arc<dyn Forges>> {
    fn open(&self, request: &OpenRequest) -> Result<Arc<dyn Forge>, ForgeError> {
        let inner = self.inner.open(request)?;
        Ok(Arc::new(Mortal { inner, killer: self.killer.clone() }))
    }
}

impl<T> Mortal<T> {
    async fn around<R>(&self, call: impl Future<Output = R>) -> R {
        self.killer.boundary().await;
        let done = call.await;
        self.killer.boundary().await;
        done
    }
}

#[async_trait]
impl Forge for Mortal<Arc<dyn Forge>> {
    fn provider(&self) -> Provider {
        self.inner.provider()
    }
    async fn create(&self, new: &NewPullRequest) -> Result<PullRequest, ForgeError> {
        self.around(self.inner.create(new)).await
    }
    async fn ensure_labels(&self, number: i64, labels: &[String]) -> Result<(), ForgeError> {
        self.around(self.inner.ensure_labels(number, labels)).await
    }
    async fn find(&self, search: &Search) -> Result<Vec<PullRequest>, ForgeError> {
        self.around(self.inner.find(search)).await
    }
    async fn get(&self, number: i64) -> Result<PullRequest, ForgeError> {
        self.around(self.inner.get(number)).await
    }
    async fn merge(&self, number: i64, method: Option<&str>) -> Result<Merge, ForgeError> {
        self.around(self.inner.merge(number, method)).await
    }
}

/// The status as the API server keeps it.
struct Journal<'a> {
    status: &'a mut PromotionStatus,
    killer: Arc<Killer>,
}

#[async_trait]
impl Recorder for Journal<'_> {
    async fn record(&mut self, status: &PromotionStatus) -> Result<(), RecordError> {
        self.killer.boundary().await;
        let json = serde_json::to_value(status).unwrap();
        *self.status = serde_json::from_value(json).unwrap();
        self.killer.boundary().await;
        Ok(())
    }
}

/// What happens at the host between two processes, or while one waits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Meanwhile {
    Nothing,
    Merged(MergeMethod),
    Closed,
}

struct World {
    site: Site,
    killer: Arc<Killer>,
    lives: AtomicUsize,
}

impl World {
    async fn new() -> Self {
        let mut site = Site::new().await;
        let killer = Arc::new(Killer::default());
        let mortal = Mortal { inner: http(), killer: killer.clone() };
        site.world.forge =
            Some(ForgeAccess { forges: Arc::new(mortal), ui_base_url: String::new() });
        Self { site, killer, lives: AtomicUsize::new(0) }
    }

    fn steps(&self, repository: &str, merges: bool) -> Vec<PromotionStep> {
        let config = |fields| self.site.config(repository, fields);
        let number = "${{ outputs.open.pr.id }}";
        let mut steps = vec![json!({"uses": "git-open-pr", "as": "open", "config": config(
            json!({"sourceBranch": "stage", "targetBranch": "main", "labels": ["promotion"]}))})];
        if merges {
            steps.push(json!({"uses": "git-merge-pr", "as": "merge", "config": config(
                json!({"prNumber": number, "wait": true, "mergeMethod": "squash"}))}));
        }
        steps.push(json!({"uses": "git-wait-for-pr", "as": "wait", "config": config(
            json!({"prNumber": number}))}));
        steps.into_iter().map(|s| serde_json::from_value(s).unwrap()).collect()
    }

    /// A Promotion's life over several processes: each dies at the boundary
    /// that `deaths` gives, and the last one lives. Returns the repository,
    /// the last status, and whether every death happened.
    async fn live(
        &self,
        deaths: &[usize],
        merges: bool,
        meanwhile: Meanwhile,
    ) -> (String, PromotionStatus, bool) {
        let life = self.lives.fetch_add(1, Ordering::SeqCst);
        let repository = format!("team/app-{life}");
        self.site.repository(&repository).await;
        self.site.host.add_label(&repository, "promotion");
        let run = Run {
            project: "p".into(),
            stage: "s".into(),
            promotion: "s.1.abc".into(),
            promotion_uid: format!("uid-{life}"),
            actor: String::new(),
            rollback: false,
            ui_base_url: String::new(),
            vars: Vec::new(),
            steps: self.steps(&repository, merges),
            freight_requests: Vec::new(),
            freight: api::FreightCollection::default(),
            target_freight: api::FreightReference::default(),
            target_alias: String::new(),
            workdir: self.site.dir.path().join(format!("promotion-{life}")),
            cancel: CancellationToken::new(),
        };
        let mut status = PromotionStatus { phase: Phase::Running, ..Default::default() };
        let mut all_died = true;
        for death in deaths.iter().copied().chain([usize::MAX]) {
            let engine = Engine::new(registry(), self.site.world.clone(), NoFunctions);
            self.killer.arm(death);
            let mut journal = Journal { status: &mut status, killer: self.killer.clone() };
            let passes = async {
                for _ in 0..10 {
                    if journal.status.phase != Phase::Running {
                        return;
                    }
                    let before = journal.status.clone();
                    let outcome = engine.run(&run, before, &mut journal).await;
                    match &outcome {
                        Outcome::Finished(status) | Outcome::Waiting { status, .. } => {
                            journal.record(status).await.unwrap();
                            outcome.written(&run.workdir).unwrap();
                        }
                        Outcome::Interrupted(why) => panic!("interrupted: {why}"),
                    }
                    // A reviewer who comes while it waits.
                    self.meet(&repository, meanwhile).await;
                }
                panic!("too many passes");
            };
            tokio::select! {
                biased;
                () = self.killer.dead.notified() => {}
                () = passes => { all_died &= death == usize::MAX; }
            }
            self.meet(&repository, meanwhile).await;
        }
        (repository, status, all_died)
    }

    async fn meet(&self, repository: &str, meanwhile: Meanwhile) {
        let host = &self.site.host;
        let open = host.pull_requests(repository).iter().any(|p| p.state == PullState::Open);
        match meanwhile {
            Meanwhile::Merged(method) if open => {
                host.merge_pull_request(repository, 1, method).await.unwrap();
            }
            Meanwhile::Closed if open => {
                host.close_pull_request(repository, 1);
            }
            _ => {}
        }
    }

    /// What holds whatever happened.
    async fn assert_once(&self, repository: &str, case: &str) {
        let pulls = self.site.host.pull_requests(repository);
        assert_eq!(pulls.len(), 1, "{case}: {pulls:#?}");
        assert_eq!(pulls[0].labels, ["promotion"], "{case}");
        let merged = usize::from(pulls[0].state == PullState::Merged);
        let log = self.site.host.log(repository, "main").await.unwrap();
        let first_parents = log.iter().filter(|c| c.message.contains("(#1)")).count();
        assert!(first_parents <= merged, "{case}: {log:#?}");
    }
}

#[tokio::test]
async fn killed_at_every_boundary() {
    let world = World::new().await;
    let mut death = 0;
    loop {
        let case = format!("killed at boundary {death}");
        let (repository, status, died) = world.live(&[death], true, Meanwhile::Nothing).await;
        assert_eq!(status.phase, Phase::Succeeded, "{case}: {}", status.message);
        world.assert_once(&repository, &case).await;
        let log = world.site.host.log(&repository, "main").await.unwrap();
        assert_eq!(log.len(), 2, "{case}: one squashed commit: {log:#?}");
        let state = status.state.unwrap();
        assert_eq!(state["open"]["pr"]["id"], json!(1), "{case}");
        for alias in ["merge", "wait"] {
            assert_eq!(state[alias]["commit"], json!(log[0].id), "{case}");
        }
        if !died {
            break;
        }
        death += 1;
    }
    assert!(death > 12, "the boundaries were reached: {death}");
}

#[tokio::test]
async fn killed_twice() {
    let world = World::new().await;
    for (first, second) in [(3, 3), (5, 1), (5, 5), (7, 4), (9, 9), (10, 2)] {
        let case = format!("killed at {first}, then at {second}");
        let (repository, status, _) = world.live(&[first, second], true, Meanwhile::Nothing).await;
        assert_eq!(status.phase, Phase::Succeeded, "{case}: {}", status.message);
        world.assert_once(&repository, &case).await;
    }
}

#[tokio::test]
async fn somebody_else_acts_while_the_process_is_dead() {
    let world = World::new().await;
    for meanwhile in [
        Meanwhile::Merged(MergeMethod::Merge),
        Meanwhile::Merged(MergeMethod::Squash),
        Meanwhile::Merged(MergeMethod::Rebase),
        Meanwhile::Closed,
    ] {
        for death in 0..12 {
            let case = format!("{meanwhile:?} after death at boundary {death}");
            let (repository, status, _) = world.live(&[death], false, meanwhile).await;
            world.assert_once(&repository, &case).await;
            let pr = status.state.unwrap()["wait"]["pr"].clone();
            assert_eq!(pr["id"], json!(1), "{case}");
            if meanwhile == Meanwhile::Closed {
                assert_eq!(status.phase, Phase::Failed, "{case}: {}", status.message);
                let text = "step \"wait\": pull request 1 was closed without being merged";
                assert_eq!(status.message, text, "{case}");
                assert_eq!(pr["merged"], json!(false), "{case}");
            } else {
                assert_eq!(status.phase, Phase::Succeeded, "{case}: {}", status.message);
                assert_eq!(pr["merged"], json!(true), "{case}");
            }
        }
    }
}
