//! One pass over a Warehouse (`warehouses` 2.4): look if it is due, judge what
//! was found, make Freight, write what changed.

use std::collections::BTreeSet;
use std::time::Duration;

use api::{DiscoveredArtifacts, Freight, FreightCreationPolicy, Time, Warehouse, WarehouseStatus};
use jiff::Timestamp;
use kube::ResourceExt;
use kube::api::{Api, PostParams};
use sources::ErrorClass;

use super::discovery::{self, Failed, Looked};
use super::due::{self, Due};
use super::memory::{Memories, delay_after};
use super::status::{self, Ending};
use super::{criteria, freight};
use crate::Context;
use crate::clock::whole_seconds;
use crate::error::{Error, is_already_exists, said};
use crate::events::Event;
use crate::freight::{alias, facts};
use crate::patch;
use crate::queue::Outcome;
use crate::store::Key;

/// A look that somebody waits for and that takes longer is announced in the
/// conditions.
const WORTH_ANNOUNCING: Duration = Duration::from_millis(500);

/// What a look brought.
type Look = Result<Looked, Failed>;

/// One pass over the Warehouse of that key.
///
/// # Errors
/// What the API server answered.
pub async fn reconcile(
    context: &Context,
    memories: &Memories,
    key: &Key,
) -> Result<Outcome, Error> {
    let Some(warehouse) = context.stores.warehouses.get(key) else { return Ok(Outcome::Done) };
    let label = warehouse.labels().get(api::labels::SHARD).map(String::as_str);
    if warehouse.metadata.deletion_timestamp.is_some()
        || !context.settings.is_responsible(label, Some(&warehouse.spec.shard))
    {
        return Ok(Outcome::Done);
    }
    let mut memory = memories.get(key, &warehouse.uid().unwrap_or_default());
    let mut written = warehouse.status.clone();
    let old = written.clone().unwrap_or_default();
    let has_failed = memory.failures > 0 || status::says_failed(&old.conditions);
    let due = due::due(&warehouse, memory.looked_at, has_failed, context.clock.now());
    let look = match due {
        Some(due) => Some(look(context, &warehouse, due, &mut written).await),
        None => None,
    };
    let now = context.clock.now();
    let decided = decide(context, &warehouse, written.as_ref(), look, now).await;
    memory.looked_at = if decided.looked { Some(now) } else { memory.looked_at };
    memory.failures = match (&decided.failure, decided.looked) {
        (Some(_), _) => memory.failures.saturating_add(1),
        (None, true) => 0,
        (None, false) => memory.failures,
    };
    let last = decided.status.discovered_artifacts.as_ref().and_then(|a| a.discovered_at.as_ref());
    let last = last.map(|at| at.0).max(memory.looked_at);
    let failures = memory.failures;
    memories.set(key, memory);

    let warehouses: Api<Warehouse> = Api::namespaced(context.client.clone(), &key.namespace);
    let write = patch::status(
        &warehouses,
        &key.name,
        written.as_ref(),
        &decided.status,
        None,
        &context.metrics,
    );
    let write = write.await;
    if let Ok(Some(object)) = &write {
        context.stores.warehouses.apply(object.clone());
    }
    if let Some(error) = decided.error {
        return Err(error);
    }
    match write {
        Err(error) if error.class() == crate::error::ErrorClass::NotFound => {
            return Ok(Outcome::Done);
        }
        Err(error) => return Err(error),
        Ok(_) => {}
    }
    let interval = warehouse.spec.interval.to_std();
    let floor = context.warehouse.min_interval;
    let delay = match decided.failure {
        Some(class) => delay_after(class, failures, interval.max(floor)),
        None => due::next_look(interval, floor, last, now),
    };
    Ok(Outcome::After(due::with_jitter(delay, rand::random::<f64>())))
}

/// Looks at the repositories. Where somebody waits and it takes its time, the
/// conditions say that it is under way; `written` is then what they are.
async fn look(
    context: &Context,
    warehouse: &Warehouse,
    due: Due,
    written: &mut Option<WarehouseStatus>,
) -> Look {
    let look = discovery::look(&context.warehouse, warehouse);
    tokio::pin!(look);
    if due.is_awaited() {
        tokio::select! {
            done = &mut look => return done,
            () = tokio::time::sleep(WORTH_ANNOUNCING) => {}
        }
        announce(context, warehouse, written).await;
    }
    look.await
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
    let mut reports = None;
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
            reports = Some(found.reports);
            let known = status.discovered_artifacts.as_ref();
            let at = known.and_then(|known| known.discovered_at.clone());
            status.discovered_artifacts =
                Some(DiscoveredArtifacts { discovered_at: at, ..found.artifacts });
            true
        }
        None => false,
    };
    status.observed_generation = generation;
    let (ending, error) =
        conclude(context, warehouse, &mut status, reports.as_deref(), &before, now).await;
    status::end(&mut status.conditions, &ending, subscriptions, generation, now);
    if looked
        && status != before
        && let Some(artifacts) = &mut status.discovered_artifacts
    {
        // Written only together with something else: an idle fleet writes
        // nothing.
        artifacts.discovered_at = Some(Time(whole_seconds(now)));
    }
    Decided { status, looked, failure: None, error }
}

/// How the pass ends, and the error with which it is to be made again.
async fn conclude(
    context: &Context,
    warehouse: &Warehouse,
    status: &mut WarehouseStatus,
    reports: Option<&[sources::image::TagReport]>,
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
    let all = context.stores.freight.all();
    let taken: BTreeSet<&String> =
        all.iter().filter_map(|f| f.labels().get(api::labels::ALIAS)).collect();
    let name = alias::generate(|alias| taken.contains(&alias.to_owned()));
    freight::name_for_people(&mut freight, name);
    freight::discovered_last(&mut freight, all.iter().map(AsRef::as_ref));
    let api: Api<Freight> = Api::namespaced(context.client.clone(), &key.namespace);
    context.metrics.wrote("Freight");
    let created = match api.create(&PostParams::default(), &freight).await {
        Ok(created) => created,
        Err(error) if is_already_exists(&error) => return Ok(false),
        Err(error) => return Err(error),
    };
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
