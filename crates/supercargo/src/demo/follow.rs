//! One new tag, followed until the Application is at its commit.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use api::{Freight, Promotion, PromotionPhase};
use futures::{Stream, StreamExt};
use kube::ResourceExt;
use kube::api::{Api, ApiResource, DynamicObject, Patch, PatchParams};
use kube::core::GroupVersionKind;
use kube::runtime::{WatchStreamExt, watcher};
use promotion::observe::StepRun;
use serde_json::{Value, json};
use tokio::sync::mpsc;
use tokio::task::JoinSet;

use super::quickstart;
use super::show::Show;
use super::timeline::{self, Moment, Run, StepSpan, millis, short};
use crate::sandbox::world::World;

/// What the demo sees happen.
enum Seen {
    Freight(Box<Freight>),
    Promotion(Box<Promotion>),
    Application(Box<DynamicObject>),
    Step(StepRun),
}

/// Follows tags on their way, one after the other.
pub struct Follower<'w> {
    world: &'w World,
    seen: mpsc::UnboundedReceiver<(Instant, Seen)>,
    _watches: JoinSet<()>,
}

impl<'w> Follower<'w> {
    /// Starts to watch the running sandbox.
    pub(super) fn new(world: &'w World, steps: Option<mpsc::UnboundedReceiver<StepRun>>) -> Self {
        let (send, seen) = mpsc::unbounded_channel();
        let mut watches = JoinSet::new();
        let client = world.api.client();
        let forward =
            |watches: &mut JoinSet<()>,
             stream: std::pin::Pin<Box<dyn Stream<Item = Seen> + Send>>| {
                let send = send.clone();
                watches.spawn(async move {
                    let mut stream = stream;
                    while let Some(seen) = stream.next().await {
                        if send.send((Instant::now(), seen)).is_err() {
                            return;
                        }
                    }
                });
            };
        let freight: Api<Freight> = Api::namespaced(client.clone(), quickstart::PROJECT);
        forward(&mut watches, objects(freight, |f| Seen::Freight(Box::new(f))));
        let promotions: Api<Promotion> = Api::namespaced(client.clone(), quickstart::PROJECT);
        forward(&mut watches, objects(promotions, |p| Seen::Promotion(Box::new(p))));
        let kind =
            ApiResource::from_gvk(&GroupVersionKind::gvk("argoproj.io", "v1alpha1", "Application"));
        let applications: Api<DynamicObject> = Api::namespaced_with(client, "argocd", &kind);
        let events = watcher(applications, watcher::Config::default())
            .default_backoff()
            .applied_objects()
            .filter_map(async |o| o.ok().map(|o| Seen::Application(Box::new(o))));
        forward(&mut watches, Box::pin(events));
        if let Some(mut steps) = steps {
            watches.spawn(async move {
                while let Some(step) = steps.recv().await {
                    if send.send((step.ended, Seen::Step(step))).is_err() {
                        return;
                    }
                }
            });
        }
        Self { world, seen, _watches: watches }
    }

    /// Publishes a tag, makes the Warehouse look, and follows the tag until the
    /// Application is at its commit; with `show`, every event as it happens.
    pub(super) async fn publish(
        &mut self,
        tag: &str,
        patience: Duration,
        show: Option<&Show>,
    ) -> Result<Run, String> {
        if let Some(show) = show {
            show.line("");
            show.line(&format!(
                "now       {}:{tag} is pushed, and the Warehouse is told to look",
                quickstart::IMAGE
            ));
            show.line("");
        }
        let began = Instant::now();
        quickstart::push(self.world, tag)?;
        let api: Api<api::Warehouse> =
            Api::namespaced(self.world.api.client(), quickstart::PROJECT);
        let token = json!({"metadata": {"annotations": {api::annotations::REFRESH: tag}}});
        api.patch(quickstart::WAREHOUSE, &PatchParams::default(), &Patch::Merge(&token))
            .await
            .map_err(|e| format!("Warehouse {}: {e}", quickstart::WAREHOUSE))?;
        self.follow(tag, began, patience, show).await
    }

    /// Follows a tag that is there already.
    pub(super) async fn until_deployed(
        &mut self,
        tag: &str,
        patience: Duration,
    ) -> Result<Run, String> {
        self.follow(tag, Instant::now(), patience, None).await
    }

    async fn follow(
        &mut self,
        tag: &str,
        began: Instant,
        patience: Duration,
        show: Option<&Show>,
    ) -> Result<Run, String> {
        let mut way = Way::new(tag, began);
        let deadline = tokio::time::Instant::now() + patience;
        while !way.is_done() {
            let next = tokio::time::timeout_at(deadline, self.seen.recv()).await;
            let Ok(Some((at, seen))) = next else {
                return Err(format!(
                    "{tag} was not deployed within {} s; {}\n{}",
                    patience.as_secs(),
                    way.waits_for(),
                    self.explain().await
                ));
            };
            let moments = way.see(at, seen)?;
            if let Some(show) = show {
                for moment in moments {
                    show.line(&timeline::line(&moment));
                    if moment.what.starts_with("commit ") {
                        self.show_diff(&way.run.commit, show).await;
                    }
                }
                show.doing(way.waits_for());
            }
        }
        self.check(&way.run).await?;
        Ok(way.run)
    }

    async fn show_diff(&self, commit: &str, show: &Show) {
        if let Ok(diff) = self.world.peers.git.diff(quickstart::REPOSITORY, commit).await {
            for line in diff.lines().filter(|l| l.starts_with(['+', '-', '@'])) {
                show.line(&format!("             {line}"));
            }
        }
    }

    /// The commit must be on the branch, with the tag in the file.
    async fn check(&self, run: &Run) -> Result<(), String> {
        let log = self
            .world
            .peers
            .git
            .log(quickstart::REPOSITORY, "main")
            .await
            .map_err(|e| e.to_string())?;
        if !log.iter().any(|c| c.id == run.commit) {
            return Err(format!("commit {} is not on branch main", run.commit));
        }
        let file = self
            .world
            .peers
            .git
            .read_file(quickstart::REPOSITORY, "main", quickstart::INSTANCE)
            .await
            .map_err(|e| e.to_string())?;
        let text = String::from_utf8_lossy(file.as_deref().unwrap_or_default()).into_owned();
        if !text.contains(&format!("tag:    {} ", run.tag)) {
            return Err(format!("{} does not have tag {}", quickstart::INSTANCE, run.tag));
        }
        Ok(())
    }

    /// What Stage and Warehouse say, for one who waited in vain.
    async fn explain(&self) -> String {
        let client = self.world.api.client();
        let mut said = Vec::new();
        let stages: Api<api::Stage> = Api::namespaced(client.clone(), quickstart::PROJECT);
        for stage in stages.list(&Default::default()).await.map(|l| l.items).unwrap_or_default() {
            for c in stage.status.iter().flat_map(|s| &s.conditions) {
                said.push(format!(
                    "  Stage {}: {}={} {}: {}",
                    stage.name_any(),
                    c.type_,
                    c.status,
                    c.reason,
                    c.message
                ));
            }
        }
        let warehouses: Api<api::Warehouse> = Api::namespaced(client.clone(), quickstart::PROJECT);
        for warehouse in
            warehouses.list(&Default::default()).await.map(|l| l.items).unwrap_or_default()
        {
            for c in warehouse.status.iter().flat_map(|s| &s.conditions) {
                said.push(format!(
                    "  Warehouse {}: {}={} {}: {}",
                    warehouse.name_any(),
                    c.type_,
                    c.status,
                    c.reason,
                    c.message
                ));
            }
        }
        let promotions: Api<Promotion> = Api::namespaced(client, quickstart::PROJECT);
        for promotion in
            promotions.list(&Default::default()).await.map(|l| l.items).unwrap_or_default()
        {
            let status = promotion.status.clone().unwrap_or_default();
            said.push(format!(
                "  Promotion {}: {} {}",
                promotion.name_any(),
                status.phase,
                status.message
            ));
        }
        said.join("\n")
    }
}

fn objects<K>(
    api: Api<K>,
    seen: fn(K) -> Seen,
) -> std::pin::Pin<Box<dyn Stream<Item = Seen> + Send>>
where
    K: kube::Resource + Clone + std::fmt::Debug + serde::de::DeserializeOwned + Send + 'static,
    K::DynamicType: Default,
{
    let events = watcher(api, watcher::Config::default())
        .default_backoff()
        .applied_objects()
        .filter_map(move |o| std::future::ready(o.ok().map(seen)));
    Box::pin(events)
}

/// What is known of one tag's way.
struct Way {
    tag: String,
    began: Instant,
    run: Run,
    freight: Option<String>,
    promotion: Option<String>,
    early_steps: BTreeMap<String, Vec<StepRun>>,
    is_synced: bool,
    is_succeeded: bool,
}

impl Way {
    fn new(tag: &str, began: Instant) -> Self {
        Self {
            tag: tag.to_owned(),
            began,
            run: Run { tag: tag.to_owned(), ..Run::default() },
            freight: None,
            promotion: None,
            early_steps: BTreeMap::new(),
            is_synced: false,
            is_succeeded: false,
        }
    }

    fn is_done(&self) -> bool {
        self.is_synced && self.is_succeeded
    }

    fn waits_for(&self) -> &'static str {
        match (&self.freight, &self.promotion) {
            (None, _) => "waiting for Freight",
            (_, None) => "waiting for a Promotion",
            _ if self.run.commit.is_empty() => "waiting for the commit",
            _ if !self.is_synced => "waiting for Argo CD",
            _ => "waiting for the Promotion's end",
        }
    }

    fn since(&self, at: Instant) -> Duration {
        at.saturating_duration_since(self.began)
    }

    /// Takes in what was seen; returns what of it is news.
    fn see(&mut self, at: Instant, seen: Seen) -> Result<Vec<Moment>, String> {
        let elapsed = self.since(at);
        let news = |what: String| vec![Moment { at: elapsed, what }];
        match seen {
            Seen::Freight(freight) => {
                let has_tag = freight.images.iter().any(|i| i.tag == self.tag);
                if !has_tag || self.freight.is_some() {
                    return Ok(Vec::new());
                }
                self.run.freight = elapsed;
                self.freight = Some(freight.name_any());
                Ok(news(format!(
                    "Freight {} ({}) of tag {}",
                    short(&freight.name_any()),
                    freight.alias,
                    self.tag
                )))
            }
            Seen::Promotion(promotion) => Ok(self.see_promotion(elapsed, &promotion)?),
            Seen::Application(application) => Ok(self.see_application(elapsed, &application)),
            Seen::Step(step) => {
                if self.promotion.as_deref() == Some(step.promotion.as_str()) {
                    return Ok(self.see_step(&step));
                }
                self.early_steps.entry(step.promotion.clone()).or_default().push(step);
                Ok(Vec::new())
            }
        }
    }

    fn see_promotion(
        &mut self,
        elapsed: Duration,
        promotion: &Promotion,
    ) -> Result<Vec<Moment>, String> {
        let name = promotion.name_any();
        let mut news = Vec::new();
        if self.freight.is_some()
            && promotion.spec.freight == self.freight
            && self.promotion.is_none()
        {
            self.run.promotion = elapsed;
            self.promotion = Some(name.clone());
            news.push(Moment { at: elapsed, what: format!("Promotion {name}") });
            for step in self.early_steps.remove(&name).unwrap_or_default() {
                news.extend(self.see_step(&step));
            }
        }
        if self.promotion.as_deref() != Some(name.as_str()) {
            return Ok(news);
        }
        let status = promotion.status.clone().unwrap_or_default();
        match status.phase {
            PromotionPhase::Succeeded if !self.is_succeeded => {
                self.is_succeeded = true;
                self.run.succeeded = elapsed;
                news.push(Moment { at: elapsed, what: "Promotion Succeeded".to_owned() });
            }
            phase if phase.is_terminal() && !phase.is_succeeded() => {
                return Err(format!("Promotion {name} {phase}: {}", status.message));
            }
            _ => {}
        }
        Ok(news)
    }

    fn see_step(&mut self, step: &StepRun) -> Vec<Moment> {
        let (began, ended) = (self.since(step.began), self.since(step.ended));
        let worked = ended.saturating_sub(began);
        match self.run.steps.iter_mut().find(|s| s.alias == step.alias) {
            Some(known) => {
                known.ended = ended;
                known.worked += worked;
            }
            None => self.run.steps.push(StepSpan {
                alias: step.alias.clone(),
                kind: step.kind.to_owned(),
                began,
                ended,
                worked,
            }),
        }
        let mut news = vec![Moment {
            at: ended,
            what: format!(
                "  step {:<24} {:<14} {:<9} {}",
                step.alias,
                step.kind,
                step.end.label(),
                millis(worked)
            ),
        }];
        if step.kind == "git-commit"
            && let Some(commit) = &step.commit
        {
            self.run.commit = commit.clone();
        }
        if step.kind == "git-push"
            && let Some(commit) = &step.commit
        {
            self.run.commit = commit.clone();
            news.push(Moment { at: ended, what: format!("commit {} is on main", short(commit)) });
        }
        news
    }

    fn see_application(&mut self, elapsed: Duration, application: &DynamicObject) -> Vec<Moment> {
        let text = |path: &str| {
            application.data.pointer(path).and_then(Value::as_str).unwrap_or_default().to_owned()
        };
        let at_commit =
            !self.run.commit.is_empty() && text("/status/sync/revision") == self.run.commit;
        let well =
            text("/status/sync/status") == "Synced" && text("/status/health/status") == "Healthy";
        if self.is_synced || !at_commit || !well {
            return Vec::new();
        }
        self.is_synced = true;
        self.run.synced = elapsed;
        vec![Moment {
            at: elapsed,
            what: format!(
                "Application {} Synced and Healthy at {}",
                application.name_any(),
                short(&self.run.commit)
            ),
        }]
    }
}
