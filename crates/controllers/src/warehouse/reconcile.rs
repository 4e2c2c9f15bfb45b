//! One pass over a Warehouse (`warehouses` 2.4): look if it is due, judge what
//! was found, make Freight, write what changed.

use std::sync::Arc;
use std::time::Duration;

use api::admission::{Operation, default_freight};
use api::{DiscoveredArtifacts, Freight, FreightCreationPolicy, Time, Warehouse, WarehouseStatus};
use jiff::Timestamp;
use kube::ResourceExt;
use kube::api::{Api, PostParams};
use sources::ErrorClass;
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;

use super::discovery::{self, Failed, Looked};
use super::due::{self, Due};
use super::memory::{Memories, delay_after};
use super::report::Reports;
use super::status::{self, Ending};
use super::{criteria, freight};
use crate::Context;
use crate::clock::whole_seconds;
use crate::context::BY_WAREHOUSE;
use crate::error::{Error, is_already_exists, said};
use crate::events::Event;
use crate::freight::{facts, is_taken};
use crate::patch;
use crate::queue::Outcome;
use crate::store::Key;

/// A look that somebody waits for and that takes longer is announced in the
/// conditions.
const WORTH_ANNOUNCING: Duration = Duration::from_millis(500);
/// The shortest time between two looks, whatever the spec says.
const SHORTEST_INTERVAL: Duration = Duration::from_secs(1);

/// What a look brought.
type Look = Result<Looked, Failed>;

/// What the passes share.
pub struct Controller {
    context: Arc<Context>,
    /// What is known from pass to pass.
    pub memories: Memories,
    /// The passes that decide and write at a time.
    workers: Semaphore,
    shutdown: CancellationToken,
}

impl Controller {
    /// The passes of one process; looks are given up at `shutdown`.
    pub fn new(context: Arc<Context>, shutdown: CancellationToken) -> Self {
        let workers = Semaphore::new(context.settings.workers.warehouse.max(1));
        Self { context, memories: Memories::default(), workers, shutdown }
    }

    /// One pass over the Warehouse of that key.
    ///
    /// # Errors
    /// What the API server answered.
    pub async fn reconcile(&self, key: &Key) -> Result<Outcome, Error> {
        let context = self.context.as_ref();
        let Some(warehouse) = context.stores.warehouses.get(key) else { return Ok(Outcome::Done) };
        let label = warehouse.labels().get(api::labels::SHARD).map(String::as_str);
        if warehouse.metadata.deletion_timestamp.is_some()
            || !context.settings.is_responsible(label, Some(&warehouse.spec.shard))
        {
            return Ok(Outcome::Done);
        }
        let mut memory = self.memories.get(key, &warehouse.uid().unwrap_or_default());
        let mut written = warehouse.status.clone();
        let old = written.clone().unwrap_or_default();
        let has_failed = memory.failures > 0 || status::says_failed(&old.conditions);
        let due = due::due(&warehouse, memory.looked_at, has_failed, context.clock.now());
        let look = match due {
            Some(due) => {
                let Some(look) = self.look(key, &warehouse, due, &mut written).await else {
                    // It is gone or has another spec, and then waits for its
                    // next pass already; or the process ends.
                    return Ok(Outcome::Done);
                };
                Some(look)
            }
            None => None,
        };
        let Ok(_worker) = self.workers.acquire().await else { return Ok(Outcome::Done) };
        let there = context.stores.warehouses.get(key);
        if there.is_none_or(|there| there.metadata.uid != warehouse.metadata.uid) {
            return Ok(Outcome::Done);
        }
        if let (Some(due), Some(Ok(looked))) = (due, &look)
            && due.is_news()
        {
            tell_costs(context, &warehouse, looked);
        }
        let now = context.clock.now();
        let decided = decide(context, &warehouse, written.as_ref(), look, now).await;
        memory.looked_at = if decided.looked { Some(now) } else { memory.looked_at };
        memory.failures = match (&decided.failure, decided.looked) {
            (Some(_), _) => memory.failures.saturating_add(1),
            (None, true) => 0,
            (None, false) => memory.failures,
        };
        let found = decided.status.discovered_artifacts.as_ref();
        let last = found.and_then(|a| a.discovered_at.as_ref());
        let last = last.map(|at| at.0).max(memory.looked_at);
        let failures = memory.failures;
        self.memories.set(key, memory);
        if decided.looked {
            let oldest = self.memories.oldest_look().unwrap_or(now);
            context.metrics.discovery.succeeded(now, oldest);
        }
        let Decided { status, looked, failure, error } = decided;
        let write = self.write(key, written.as_ref(), &status, looked).await;
        if let Some(error) = error {
            return Err(error);
        }
        match write {
            Err(error) if error.class() == crate::error::ErrorClass::NotFound => {
                self.memories.remove(key);
                return Ok(Outcome::Done);
            }
            Err(error) => return Err(error),
            Ok(()) => {}
        }
        let interval = warehouse.spec.interval.to_std().max(SHORTEST_INTERVAL);
        let floor = context.warehouse.min_interval;
        let delay = match failure {
            Some(class) => delay_after(class, failures, interval.max(floor)),
            None => due::next_look(interval, floor, last, now),
        };
        Ok(Outcome::After(due::with_jitter(delay, rand::random::<f64>())))
    }

    /// Looks at the repositories; none where the look was given up. Where
    /// somebody waits and it takes its time, the conditions say that it is
    /// under way; `written` is then what they are.
    async fn look(
        &self,
        key: &Key,
        warehouse: &Warehouse,
        due: Due,
        written: &mut Option<WarehouseStatus>,
    ) -> Option<Look> {
        let context = self.context.as_ref();
        let cancel = self.memories.begin(key, &self.shutdown);
        let _under_way = context.metrics.discovery.begins();
        if due == Due::Refresh {
            // Who asks may have made a Secret just now.
            context.warehouse.credentials.forget(&key.namespace);
        }
        // What was found by another spec is no help (`warehouses` 2.4-4b).
        let status = warehouse.status.as_ref();
        let previous = status
            .filter(|s| Some(s.observed_generation) == warehouse.metadata.generation)
            .and_then(|s| s.discovered_artifacts.as_ref());
        let metrics = &context.metrics.discovery;
        let look = discovery::look(&context.warehouse, warehouse, previous, metrics, &cancel);
        let announced = async {
            tokio::pin!(look);
            if due.is_awaited() {
                tokio::select! {
                    done = &mut look => return done,
                    () = tokio::time::sleep(WORTH_ANNOUNCING) => {}
                }
                announce(context, warehouse, written).await;
            }
            look.await
        };
        let look = cancel.run_until_cancelled(announced).await?;
        // A look that was told to stop may end in an error of its own.
        if cancel.is_cancelled() {
            return None;
        }
        self.memories.end(key);
        Some(look)
    }

    /// Writes the status, if it is any other than what is written.
    async fn write(
        &self,
        key: &Key,
        written: Option<&WarehouseStatus>,
        status: &WarehouseStatus,
        looked: bool,
    ) -> Result<(), Error> {
        let context = self.context.as_ref();
        let warehouses: Api<Warehouse> = Api::namespaced(context.client.clone(), &key.namespace);
        let metrics = &context.metrics;
        match patch::status(&warehouses, &key.name, written, status, None, metrics).await? {
            Some(object) => context.stores.warehouses.apply(object),
            None if looked => metrics.discovery.unchanged(),
            None => {}
        }
        Ok(())
    }
}

/// Tells the user which subscriptions read much, when the spec is looked at for
/// the first time.
fn tell_costs(context: &Context, warehouse: &Warehouse, looked: &Looked) {
    for cost in &looked.costs {
        context.events.send(
            Event {
                project: warehouse.namespace().unwrap_or_default(),
                kind: "Warehouse",
                name: warehouse.name_any(),
                uid: warehouse.uid(),
                reason: "CostlySubscription".to_owned(),
                message: cost.words(),
                component: context.settings.controller_name("warehouse"),
                ..Event::default()
            },
            context.clock.now(),
        );
    }
}

async fn announce(context: &Context, warehouse: &Warehouse, written: &mut Option<WarehouseStatus>) {
    let mut status = written.clone().unwrap_or_default();
    let generation = warehouse.metadata.generation.unwrap_or_default();
    let subscriptions = warehouse.spec.subscriptions.len();
    status::begin(&mut status.conditions, subscriptions, generation, context.clock.now());
    let namespace = warehouse.namespace().unwrap_or_default();
    let api: Api<Warehouse> = Api::namespaced(context.client.clone(), &namespace);
    let name = warehouse.name_any();
    let write = patch::status(&api, &name, written.as_ref(), &status, None, &context.metrics).await;
    match write {
        Ok(Some(object)) => {
            *written = Some(status);
            context.stores.warehouses.apply(object);
        }
        Ok(None) => {}
        // The look goes on; its result says the rest.
        Err(error) => tracing::debug!(warehouse = name, %error, "cannot announce a discovery"),
    }
}

/// What a pass decided.
struct Decided {
    status: WarehouseStatus,
    /// Whether the repositories were looked at, with success.
    looked: bool,
    /// Why looking failed.
    failure: Option<ErrorClass>,
    /// Why the pass is to be made again.
    error: Option<Error>,
}

/// Judges what was found and makes Freight of it.
async fn decide(
    context: &Context,
    warehouse: &Warehouse,
    written: Option<&WarehouseStatus>,
    look: Option<Look>,
    now: Timestamp,
) -> Decided {
    let generation = warehouse.metadata.generation.unwrap_or_default();
    let subscriptions = warehouse.spec.subscriptions.len();
    let before = written.cloned().unwrap_or_default();
    let mut status = before.clone();
    if let Some(token) = due::refresh_token(warehouse) {
        token.clone_into(&mut status.last_handled_refresh);
    }
    let mut reports = Reports::default();
    let looked = match look {
        Some(Err(failed)) => {
            tracing::warn!(
                warehouse = warehouse.name_any(),
                namespace = warehouse.namespace(),
                error = failed.message,
                "artifacts could not be discovered"
            );
            let ending = Ending::DiscoveryFailed(failed.message);
            status::end(&mut status.conditions, &ending, subscriptions, generation, now);
            return Decided { status, looked: false, failure: Some(failed.class), error: None };
        }
        Some(Ok(found)) => {
            reports = found.reports;
            let known = status.discovered_artifacts.as_ref();
            let at = known.and_then(|known| known.discovered_at.clone());
            status.discovered_artifacts =
                Some(DiscoveredArtifacts { discovered_at: at, ..found.artifacts });
            true
        }
        None => false,
    };
    status.observed_generation = generation;
    let (ending, error) = conclude(context, warehouse, &mut status, &reports, &before, now).await;
    status::end(&mut status.conditions, &ending, subscriptions, generation, now);
    if looked
        && (status != before || due::is_heartbeat_due(&before, now))
        && let Some(artifacts) = &mut status.discovered_artifacts
    {
        // Written together with something else, or once an hour: an idle fleet
        // writes nothing.
        artifacts.discovered_at = Some(Time(whole_seconds(now)));
    }
    Decided { status, looked, failure: None, error }
}

/// How the pass ends, and the error with which it is to be made again.
async fn conclude(
    context: &Context,
    warehouse: &Warehouse,
    status: &mut WarehouseStatus,
    reports: &Reports,
    before: &WarehouseStatus,
    now: Timestamp,
) -> (Ending, Option<Error>) {
    let artifacts = status.discovered_artifacts.as_ref();
    if let Some(problem) = status::validate(artifacts, reports, &before.conditions) {
        return (Ending::Invalid(problem), None);
    }
    if warehouse.spec.freight_creation_policy == FreightCreationPolicy::Manual {
        return (Ending::Manual, None);
    }
    match criteria::are_met(warehouse.spec.freight_creation_criteria.as_ref(), artifacts) {
        Err(error) => return (Ending::CriteriaFailed(error), None),
        Ok(false) => return (Ending::CriteriaUnmet, None),
        Ok(true) => {}
    }
    let namespace = warehouse.namespace().unwrap_or_default();
    let built = freight::build(&namespace, &warehouse.name_any(), artifacts, now);
    let freight = match built {
        Ok(freight) => freight,
        Err(text) => {
            let error = Error::new(
                crate::error::ErrorClass::Internal,
                format!("error building Freight from latest artifacts: {text}"),
            );
            return (Ending::BuildFailed(text), Some(error));
        }
    };
    let name = freight.name_any();
    match make(context, freight, now).await {
        Ok(created) => {
            // A pass that comes upon the Freight that the last one made says
            // what the last one said.
            let said_so =
                before.last_freight_id == name && status::says_created(&before.conditions);
            status.last_freight_id = name;
            (if created || said_so { Ending::Created } else { Ending::Exists }, None)
        }
        Err(error) => {
            let text = said(&error);
            let ending = Ending::CreateFailed {
                name: name.clone(),
                namespace: namespace.clone(),
                error: text,
            };
            let doing = format!("error creating Freight {name:?} in namespace {namespace:?}");
            (ending, Some(Error::api(doing, error)))
        }
    }
}

/// Creates Freight unless it is there; returns whether it was created.
async fn make(
    context: &Context,
    mut freight: Freight,
    now: Timestamp,
) -> Result<bool, kube::Error> {
    let key = Key::of(&freight);
    if context.stores.freight.get(&key).is_some() {
        return Ok(false);
    }
    let origin = Key::new(&*key.namespace, &*freight.origin.name);
    let others = context.stores.freight.by(BY_WAREHOUSE, &origin);
    freight::discovered_last(&mut freight, others.iter().map(AsRef::as_ref));
    // What admission does where it runs (`api` 4.4).
    let reserved = context.aliases.draw(|alias| is_taken(context, alias));
    let new_alias = || reserved.alias().to_owned();
    default_freight(&mut freight, Operation::Create, now, new_alias);
    let api: Api<Freight> = Api::namespaced(context.client.clone(), &key.namespace);
    context.metrics.wrote("Freight");
    let created = match api.create(&PostParams::default(), &freight).await {
        Ok(created) => created,
        Err(error) if is_already_exists(&error) => return Ok(false),
        Err(error) => return Err(error),
    };
    tracing::info!(freight = %key, alias = created.alias, "Freight was made");
    let component = context.settings.controller_name("warehouse");
    let mut facts = facts(&created, "");
    facts.insert("actor", format!("controller:{component}"));
    context.events.send(
        Event {
            project: key.namespace.clone(),
            kind: "Freight",
            name: created.name_any(),
            uid: created.uid(),
            reason: "FreightCreated".to_owned(),
            message: "Freight created from discovered artifacts".to_owned(),
            facts,
            component,
            ..Event::default()
        },
        now,
    );
    context.stores.freight.apply(created);
    Ok(true)
}
