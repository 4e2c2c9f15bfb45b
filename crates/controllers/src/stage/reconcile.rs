//! The pass over a regular Stage: read, decide, write, as a list of named
//! sub-steps (`stages` 5).
//!
//! Each sub-step changes the working status. It is written once, at the end or
//! at the first error; Freight is written when it is known what it enters,
//! leaves and verified.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use api::{Freight, Promotion, Stage, StageStatus};
use jiff::Timestamp;
use kube::ResourceExt;
use kube::api::{Api, PostParams};
use serde_json::{Value, json};

use super::auto_promotion::{self, Decision, Switch, Verdict};
use super::status::{self, quote, reason, types};
use super::{argocd, deletion, freight_marks, health, promotions, soak, tasks, verification};
use crate::Context;
use crate::context::BY_WAREHOUSE;
use crate::context::CURRENTLY_IN;
use crate::error::{Error, ErrorClass, is_already_exists, is_forbidden};
use crate::events::{Event, Severity};
use crate::patch;
use crate::project::policy;
use crate::queue::Outcome;
use crate::store::Key;

/// How soon a pass that asks for another one gets it. The reference waits
/// 100 ms for its cache; here a pass reads what the last one wrote.
const AT_ONCE: Duration = Duration::from_millis(1);

/// How long a Stage's end of a Promotion is put off where Argo CD has not
/// looked at its Applications since the sync: it does so within milliseconds,
/// and then the Stage, the Freight and their verification are written once
/// and not twice. Not where another Promotion waits.
const LINGER: Duration = Duration::from_secs(2);

/// Fields of the status that this controller does not own: they are never in
/// its patches (`stages` 1.2).
const NOT_OURS: [&str; 4] =
    ["metadata", "currentPromotionRequest", "lastPromotionRequest", "promotionWindowStatus"];

/// One pass over the Stage of that key.
///
/// # Errors
/// The first sub-step's that failed, after it was written to the status.
pub async fn reconcile(context: &Context, key: &Key) -> Result<Outcome, Error> {
    let Some(stage) = context.stores.stages.get(key) else { return Ok(Outcome::Done) };
    if super::is_control_flow(&stage) || !super::is_responsible(context, &stage) {
        return Ok(Outcome::Done);
    }
    if stage.metadata.deletion_timestamp.is_some() {
        return deletion::handle(context, &stage).await;
    }
    if super::ensure_finalizer(context, &stage).await? {
        return Ok(Outcome::After(AT_ONCE));
    }
    let mut pass = Pass::new(context, Arc::clone(&stage), key.clone());
    let result = pass.run().await;
    if let (Some(left), Ok(_)) = (pass.put_off, &result) {
        return Ok(Outcome::After(left));
    }
    pass.take_refresh();
    let written = pass.write().await;
    match (result, written) {
        (Err(error), _) => Err(error),
        (Ok(_), Err(error)) => Err(error.while_("failed to update Stage status: ")),
        (Ok(true), Ok(())) => Ok(Outcome::After(AT_ONCE)),
        (Ok(false), Ok(())) => Ok(Outcome::After(pass.look_again())),
    }
}

struct Pass<'a> {
    context: &'a Context,
    stage: Arc<Stage>,
    key: Key,
    status: StageStatus,
    started: Timestamp,
    promotions: Vec<Arc<Promotion>>,
    switch: Switch,
    decisions: Vec<Decision>,
    /// What is to be written onto Freight, by name.
    marks: BTreeMap<String, Value>,
    /// Events that are sent once the status is written.
    news: Vec<Event>,
    has_non_terminal: bool,
    /// When health is to be looked at again though no event may come.
    health_again: Option<Duration>,
    /// When the Promotion ended that this pass has folded in as Succeeded.
    ended_at: Option<Timestamp>,
    /// Whether the pass is put off, and for how long.
    put_off: Option<Duration>,
}

impl<'a> Pass<'a> {
    fn new(context: &'a Context, stage: Arc<Stage>, key: Key) -> Self {
        Self {
            context,
            status: stage.status.clone().unwrap_or_default(),
            promotions: context.stores.promotions_of(&key),
            started: context.clock.now(),
            stage,
            key,
            switch: Switch::Off,
            decisions: Vec::new(),
            marks: BTreeMap::new(),
            news: Vec::new(),
            has_non_terminal: false,
            health_again: None,
            ended_at: None,
            put_off: None,
        }
    }

    fn now(&self) -> Timestamp {
        self.context.clock.now()
    }

    fn generation(&self) -> i64 {
        self.stage.metadata.generation.unwrap_or_default()
    }

    /// The sub-steps, in order; whether another pass is wanted at once.
    async fn run(&mut self) -> Result<bool, Error> {
        if let Err(error) = self.evaluate_policy() {
            let (generation, now) = (self.generation(), self.now());
            status::set(
                &mut self.status,
                types::RECONCILING,
                "True",
                "Reconciling",
                "",
                generation,
                now,
            );
            return Err(error);
        }
        let result = self.sub_steps().await;
        let no_project = (self.switch == Switch::NoProject)
            .then(|| auto_promotion::no_project(&self.key.namespace));
        let now = self.now();
        let error = result.as_ref().err().map(ToString::to_string);
        status::summarize(
            &self.stage,
            &mut self.status,
            error.as_deref(),
            no_project.as_deref(),
            now,
        );
        result?;
        let again = self.has_non_terminal
            && self.switch != Switch::NoProject
            && self.status.current_promotion.is_none()
            && promotions::verification_lets_through(&self.status);
        if !again {
            status::remove(&mut self.status, types::RECONCILING);
        }
        Ok(again)
    }

    async fn sub_steps(&mut self) -> Result<(), Error> {
        self.sync_promotions().await;
        self.sync_freight().map_err(|e| e.while_("failed to sync Freight: "))?;
        self.assess_health().await;
        if self.put_off.is_some() {
            return Ok(());
        }
        self.verify();
        self.mark_verified().map_err(|e| e.while_("failed to verify Freight for Stage: "))?;
        self.write_marks().await?;
        self.hold();
        self.say_which_tasks_are_missing();
        self.auto_promote().await.map_err(|e| e.while_("failed to auto-promote Freight: "))?;
        self.say_why_freight_waits();
        Ok(())
    }

    /// `stages` 16.1.
    fn evaluate_policy(&mut self) -> Result<(), Error> {
        self.switch = policy::switch(&self.context.stores, &self.stage).map_err(|e| {
            Error::new(
                ErrorClass::Config,
                format!(
                    "error checking auto-promotion policy for Stage {}: {e}",
                    quote(&self.key.name)
                ),
            )
        })?;
        Ok(())
    }

    /// `stages` 7.
    async fn sync_promotions(&mut self) {
        let now = self.now();
        let mut status = std::mem::take(&mut self.status);
        let given = promotions::Given {
            auto_promotion: self.switch == Switch::On,
            may_start: self.switch != Switch::NoProject,
            freight: &|name| self.freight(name).ok().map(|f| reference(&f)),
        };
        let synced = promotions::sync(&self.stage, &self.promotions, given, &mut status, now);
        self.status = status;
        self.has_non_terminal = synced.has_non_terminal;
        self.ended_at = synced.succeeded.last().and_then(|p| {
            let ended = p.status.as_ref()?.finished_at.as_ref()?;
            Some(ended.0)
        });
        if let Some(last) = synced.succeeded.last() {
            self.write_argocd_context(last).await;
        }
    }

    /// The annotation by which user interfaces find a Stage's Applications
    /// (`stages` 7.1). Failure is only logged.
    async fn write_argocd_context(&self, promotion: &Promotion) {
        let wanted = api::argocd_context(promotion);
        let name = api::annotations::ARGOCD_CONTEXT;
        if self.stage.annotations().get(name) == wanted.as_ref() {
            return;
        }
        let api: Api<Stage> = Api::namespaced(self.context.client.clone(), &self.key.namespace);
        let change = json!({ "annotations": { name: wanted } });
        match patch::metadata(&api, &self.key.name, change, &self.context.metrics).await {
            Ok(stage) => self.context.stores.stages.apply(stage),
            Err(e) => {
                tracing::warn!(stage = %self.key, error = crate::error::said(&e), "cannot write the argocd-context annotation");
            }
        }
    }

    /// `stages` 9: what left the Stage and what entered it.
    fn sync_freight(&mut self) -> Result<(), Error> {
        let (now, stage) = (self.now(), self.key.name.clone());
        let current: Vec<String> = self
            .status
            .current_collection()
            .map(|c| c.items.values().map(|f| f.name.clone()).collect())
            .unwrap_or_default();
        for freight in self.context.stores.freight.by(CURRENTLY_IN, &self.key) {
            if !current.contains(&freight.name_any())
                && let Some(change) = freight_marks::leave(&freight, &stage, now)
            {
                self.marks.insert(freight.name_any(), change);
            }
        }
        for name in current {
            let freight = self.freight(&name)?;
            if let Some(change) = freight_marks::enter(&freight, &stage, now) {
                self.marks.insert(name, change);
            }
        }
        Ok(())
    }

    fn freight(&self, name: &str) -> Result<Arc<Freight>, Error> {
        let key = Key::new(&self.key.namespace, name);
        self.context.stores.freight.get(&key).ok_or_else(|| {
            Error::new(
                ErrorClass::NotFound,
                format!("Freight {name:?} not found in namespace {:?}", self.key.namespace),
            )
        })
    }

    /// `stages` 10.
    async fn assess_health(&mut self) {
        let (generation, now) = (self.generation(), self.now());
        let mut checker = argocd::Checks::new(self.context);
        if self.status.current_promotion.is_none() {
            checker.look_up_commits(&self.key.namespace, &self.status).await;
        }
        health::assess(&mut self.status, &mut checker, generation, now);
        self.put_off = self
            .ended_at
            .filter(|_| checker.is_unsettled && !self.has_non_terminal)
            .and_then(|ended| {
                let passed = Duration::try_from(now.duration_since(ended)).unwrap_or_default();
                LINGER.checked_sub(passed).filter(|left| !left.is_zero())
            });
        if self.put_off.is_some() {
            return;
        }
        checker.ask_for_refreshes().await;
        self.health_again = checker.look_again_after;
    }

    /// `stages` 12.
    fn verify(&mut self) {
        let id = api::new_uuid();
        let now = self.now();
        let ended = verification::verify(&self.stage, &mut self.status, &id, self.started, now);
        let Some(ended) = ended else { return };
        let names: Vec<String> = self
            .status
            .current_collection()
            .map(|c| c.items.values().map(|f| f.name.clone()).collect())
            .unwrap_or_default();
        for name in names {
            if let Ok(freight) = self.freight(&name) {
                self.news.push(super::news::verification(
                    &self.context.settings,
                    &freight,
                    &self.key.name,
                    &ended,
                ));
            }
        }
    }

    /// `stages` 14.
    fn mark_verified(&mut self) -> Result<(), Error> {
        let Some(at) = verification::verified_at(&self.status, self.now()) else { return Ok(()) };
        let names: Vec<String> = self
            .status
            .current_collection()
            .map(|c| c.items.values().map(|f| f.name.clone()).collect())
            .unwrap_or_default();
        for name in names {
            let freight = self.freight(&name)?;
            if let Some(change) = freight_marks::verified(&freight, &self.key.name, at) {
                let before = self.marks.remove(&name);
                self.marks.insert(name, freight_marks::both(before, change));
            }
        }
        Ok(())
    }

    async fn write_marks(&mut self) -> Result<(), Error> {
        let api: Api<Freight> = Api::namespaced(self.context.client.clone(), &self.key.namespace);
        for (name, change) in std::mem::take(&mut self.marks) {
            let written =
                patch::status_change(&api, &name, change, None, &self.context.metrics).await;
            let freight = written.map_err(|e| {
                e.while_(format_args!(
                    "failed to sync Freight: error patching status of Freight {name:?} in namespace {:?}: ",
                    self.key.namespace
                ))
            })?;
            self.context.stores.freight.apply(freight);
        }
        Ok(())
    }

    /// `stages` 8.3.
    fn hold(&mut self) {
        self.status.effective_auto_promotion_holds = promotions::effective_holds(
            &self.stage,
            &self.promotions,
            self.switch == Switch::On,
            &self.status,
        );
    }

    /// `stages` 16.3.
    async fn auto_promote(&mut self) -> Result<(), Error> {
        let on = self.switch == Switch::On;
        self.status.auto_promotion_enabled = on;
        let available = match super::available(&self.context.stores, &self.stage, self.now()) {
            Ok(available) => available,
            // Without auto-promotion the listing is only there to say what waits.
            Err(_) if !on => return Ok(()),
            Err(e) => {
                return Err(Error::new(
                    ErrorClass::NotFound,
                    format!(
                        "error listing available Freight for Stage {}: {e}",
                        quote(&self.key.name)
                    ),
                ));
            }
        };
        self.decisions =
            auto_promotion::decide(&self.stage, &self.status, &available, &self.promotions);
        if !on {
            return Ok(());
        }
        let chosen: Vec<Arc<Freight>> = self
            .decisions
            .iter()
            .filter(|d| d.verdict == Verdict::Promote)
            .filter_map(|d| d.freight.clone())
            .collect();
        for freight in chosen {
            self.create_promotion(&freight).await?;
        }
        Ok(())
    }

    async fn create_promotion(&mut self, freight: &Freight) -> Result<(), Error> {
        let doing = || {
            format!(
                "error creating Promotion for Freight {:?} in namespace {:?}: ",
                freight.name_any(),
                self.key.namespace
            )
        };
        let mut promotion =
            super::build_promotion(&self.context.stores, &self.stage, freight, self.now())
                .map_err(|e| Error::new(ErrorClass::Config, format!("{}{e}", doing())))?;
        let api: Api<Promotion> = Api::namespaced(self.context.client.clone(), &self.key.namespace);
        self.context.metrics.wrote("Promotion");
        let (unanswered, brings) = (&self.context.unanswered, freight.name_any());
        let is_there = |key: &Key| self.context.stores.promotions.get(key).is_some();
        let asked_before = unanswered.name(&self.key, &brings, is_there);
        let name = asked_before.unwrap_or_else(|| promotion.name_any());
        promotion.metadata.name = Some(name.clone());
        unanswered.ask(&self.key, &brings, &name);
        let created = match api.create(&PostParams::default(), &promotion).await {
            // An answer was lost: what it was about is there.
            Err(e) if is_already_exists(&e) => api.get(&name).await,
            other => other,
        };
        if is_answer(&created) {
            unanswered.answered(&self.key, &brings);
        }
        match created {
            Ok(created) => {
                let (promotion, freight_name) = (created.name_any(), freight.name_any());
                tracing::info!(promotion, freight = freight_name, "a Promotion was made");
                self.news.push(super::news::promotion_created(
                    &self.context.settings,
                    &created,
                    freight,
                ));
                self.context.stores.promotions.apply(created);
                Ok(())
            }
            // An admission policy may close a promotion window.
            Err(e) if is_forbidden(&e) => {
                tracing::info!(stage = %self.key, error = crate::error::said(&e), "a Promotion was forbidden");
                Ok(())
            }
            Err(e) => Err(Error::api("", e).while_(doing())),
        }
    }

    fn say_why_freight_waits(&mut self) {
        let why = auto_promotion::why_waiting(&self.stage, &self.switch, &self.decisions);
        let (generation, now) = (self.generation(), self.now());
        match why {
            Some((reason, message)) => {
                status::set(
                    &mut self.status,
                    types::FREIGHT_WAITING,
                    "True",
                    reason,
                    &message,
                    generation,
                    now,
                );
            }
            None => status::remove(&mut self.status, types::FREIGHT_WAITING),
        }
    }

    fn say_which_tasks_are_missing(&mut self) {
        let stores = &self.context.stores;
        let known = tasks::Known {
            namespaced: names(&stores.promotion_tasks.in_namespace(&self.key.namespace)),
            cluster: names(&stores.cluster_promotion_tasks.all()),
        };
        let (generation, now) = (self.generation(), self.now());
        let Some(message) = tasks::missing(&self.stage, &known) else {
            status::remove(&mut self.status, types::TASKS_FOUND);
            return;
        };
        let before = status::condition(&self.status, types::TASKS_FOUND).map(|c| &c.message);
        if before != Some(&message) {
            self.news.push(Event {
                project: self.key.namespace.clone(),
                kind: "Stage",
                name: self.key.name.clone(),
                uid: self.stage.uid(),
                reason: reason::TASK_NOT_FOUND.to_owned(),
                message: message.clone(),
                severity: Severity::Warning,
                component: self.context.settings.controller_name("stage"),
                ..Event::default()
            });
        }
        status::set(
            &mut self.status,
            types::TASKS_FOUND,
            "False",
            reason::TASK_NOT_FOUND,
            &message,
            generation,
            now,
        );
    }

    fn take_refresh(&mut self) {
        if let Some(token) = self.stage.annotations().get(api::annotations::REFRESH) {
            self.status.last_handled_refresh.clone_from(token);
        }
    }

    /// Writes what changed of the status, then sends the news.
    async fn write(&mut self) -> Result<(), Error> {
        let before = ours(&self.stage.status.clone().unwrap_or_default());
        let after = ours(&self.status);
        let result = match patch::diff(&before, &after) {
            None => Ok(()),
            Some(change) => {
                let api: Api<Stage> =
                    Api::namespaced(self.context.client.clone(), &self.key.namespace);
                patch::status_change(&api, &self.key.name, change, None, &self.context.metrics)
                    .await
                    .map(|stage| self.context.stores.stages.apply(stage))
            }
        };
        if result.is_err() {
            // A warning is said when its condition is new, which it still is
            // at the next pass.
            self.news.retain(|event| event.severity == Severity::Normal);
        }
        let now = self.now();
        for event in self.news.drain(..) {
            self.context.events.send(event, now);
        }
        result
    }

    /// When to look again though nothing happens: at the resync, or when
    /// Freight has soaked long enough.
    fn look_again(&self) -> Duration {
        let stores = &self.context.stores;
        let mut freight = Vec::new();
        for request in &self.stage.spec.requested_freight {
            let warehouse = Key::new(&self.key.namespace, &request.origin.name);
            freight.extend(stores.freight.by(BY_WAREHOUSE, &warehouse));
        }
        let soaked = soak::next_expiry(&self.stage, freight.iter().map(AsRef::as_ref), self.now());
        let resync = self.context.settings.resync;
        [soaked, self.health_again].into_iter().flatten().fold(resync, Duration::min)
    }
}

/// The Freight as a status keeps it.
fn reference(freight: &Freight) -> api::FreightReference {
    api::FreightReference {
        name: freight.name_any(),
        origin: freight.origin.clone(),
        commits: freight.commits.clone(),
        images: freight.images.clone(),
        charts: freight.charts.clone(),
        artifacts: freight.artifacts.clone(),
    }
}

/// The part of the status that this controller owns, as JSON.
pub(super) fn ours(status: &StageStatus) -> Value {
    let mut value = serde_json::to_value(status).unwrap_or_default();
    if let Value::Object(fields) = &mut value {
        for field in NOT_OURS {
            fields.remove(field);
        }
    }
    value
}

fn names<K: kube::Resource>(objects: &[Arc<K>]) -> Vec<String> {
    objects.iter().filter_map(|o| o.meta().name.clone()).collect()
}

/// Whether the API server has said what became of a request.
fn is_answer<T>(result: &Result<T, kube::Error>) -> bool {
    match result {
        Ok(_) => true,
        Err(kube::Error::Api(status)) => (400..500).contains(&status.code),
        Err(_) => false,
    }
}
