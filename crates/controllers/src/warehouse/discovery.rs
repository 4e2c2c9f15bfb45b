//! Looking at all of a Warehouse's repositories (`warehouses` 3).

use std::time::Instant;

use api::admission::{WarehouseRules, validate_subscriptions};
use api::{
    ChartDiscoveryResult, DiscoveredArtifacts, GitDiscoveryResult, ImageDiscoveryResult,
    Subscription, SubscriptionKind, Warehouse,
};
use credentials::CredentialKind;
use futures::future::BoxFuture;
use futures::{FutureExt, StreamExt, stream};
use kube::ResourceExt;
use sources::ErrorClass;
use sources::image::TagReport;
use tokio_util::sync::CancellationToken;
use tracing::Instrument;

use super::Parts;
use super::cost::{self, Cost};
use super::metrics::{DiscoveryMetrics, Saw};
use super::report::{self, Reports};

/// Subscriptions of one Warehouse that are looked at at a time.
const AHEAD: usize = 8;
/// Further failed subscriptions that a message names.
const NAMED: usize = 3;

/// What was found, without a time.
#[derive(Clone, Debug, Default)]
pub struct Looked {
    /// The artifacts, in the order of the subscriptions.
    pub artifacts: DiscoveredArtifacts,
    /// What became of the candidates.
    pub reports: Reports,
    /// What the subscriptions cost that cost much.
    pub costs: Vec<Cost>,
}

/// Why nothing could be found.
#[derive(Clone, Debug)]
pub struct Failed {
    /// The text for the conditions.
    pub message: String,
    /// What is to be done.
    pub class: ErrorClass,
}

impl Failed {
    fn config(message: impl Into<String>) -> Self {
        Self { message: message.into(), class: ErrorClass::Config }
    }
}

/// What one subscription found.
enum Found {
    Git(GitDiscoveryResult, Option<String>),
    Image(ImageDiscoveryResult, TagReport),
    Chart(ChartDiscoveryResult, String),
}

/// Looks at every repository, side by side. `previous` is what was found when
/// the same spec was looked at last: it saves reading what has not changed.
///
/// Every subscription is looked at to its end, whatever becomes of the others,
/// so that what was read once is known the next time.
///
/// # Errors
/// The first subscription in the spec's order that cannot be read, is of a kind
/// that is not supported, or whose repository refuses or does not answer; and,
/// where the repositories answer, what admission would have refused.
pub async fn look(
    parts: &Parts,
    warehouse: &Warehouse,
    previous: Option<&DiscoveredArtifacts>,
    metrics: &DiscoveryMetrics,
    cancel: &CancellationToken,
) -> Result<Looked, Failed> {
    let project = warehouse.namespace().unwrap_or_default();
    // Hosts share their time out among those that ask.
    let asker = format!("{project}/{}", warehouse.name_any());
    let items = &warehouse.spec.subscriptions;
    let subscriptions = Subscription::decode_all(items)
        .map_err(|e| Failed::config(format!("error discovering artifacts: {e}")))?;
    let before = Previous::of(previous, &subscriptions);
    let looks: Vec<BoxFuture<'_, _>> = subscriptions
        .iter()
        .zip(before)
        .map(|(subscription, before)| {
            let (project, asker) = (project.as_str(), asker.as_str());
            async move {
                let started = Instant::now();
                let found = one(parts, project, asker, subscription, before.git, cancel).await;
                let saw = match &found {
                    Ok(found) if before.is(found) => Saw::Same,
                    Ok(_) => Saw::New,
                    Err(failed) => Saw::Failed(failed.class),
                };
                metrics.looked(kind(subscription), saw, started.elapsed());
                found
            }
            .instrument(tracing::error_span!("subscription", kind = kind(subscription)))
            .boxed()
        })
        .collect();
    let found: Vec<Result<Found, Failed>> = stream::iter(looks).buffered(AHEAD).collect().await;
    let found = all(found, &subscriptions)?;
    admit(items)?;
    Ok(sort(found, &subscriptions, metrics))
}

/// What all found, or the first failure, which also names the others.
fn all(
    found: Vec<Result<Found, Failed>>,
    subscriptions: &[Subscription],
) -> Result<Vec<Found>, Failed> {
    let mut good = Vec::with_capacity(found.len());
    let mut first: Option<Failed> = None;
    let mut others = Vec::new();
    for (result, subscription) in found.into_iter().zip(subscriptions) {
        match (result, &first) {
            (Ok(found), _) => good.push(found),
            (Err(failed), None) => first = Some(failed),
            (Err(failed), Some(_)) => {
                let url = match &subscription.kind {
                    // Without a login that stands in it.
                    SubscriptionKind::Git(git) => api::normalize_git(&git.repo_url),
                    _ => url(subscription).to_owned(),
                };
                tracing::warn!(url, error = failed.message, "a further subscription failed");
                others.push(format!("{url:?}"));
            }
        }
    }
    let Some(mut failed) = first else { return Ok(good) };
    if !others.is_empty() {
        let more = others.len().saturating_sub(NAMED);
        others.truncate(NAMED);
        let more = if more > 0 { format!(" and {more} more") } else { String::new() };
        failed.message.push_str(&format!("; also failed: {}{more}", others.join(", ")));
    }
    Err(failed)
}

/// What admission would have refused, where it did not run (`warehouses` 1.5).
/// It comes last: of what both refuse, a repository's own words say more.
fn admit(items: &[serde_json::Value]) -> Result<(), Failed> {
    let mut items = items.to_vec();
    api::admission::default_subscriptions(&mut items)
        .map_err(|e| Failed::config(format!("error finding subscriber for subscription: {e}")))?;
    let rules = WarehouseRules {
        is_constraint: &|text| sources::semver::Constraint::parse(text).is_ok(),
        // The look itself asks for it, in the same words.
        cache_by_tag_required: false,
    };
    let errors = validate_subscriptions(&items, rules);
    // A limit that is out of bounds is the nearest that is not.
    let errors = errors.iter().filter(|e| !e.field.ends_with(".discoveryLimit"));
    let texts: Vec<String> = errors.map(ToString::to_string).collect();
    match texts.is_empty() {
        true => Ok(()),
        false => Err(Failed::config(format!("error discovering artifacts: {}", texts.join(", ")))),
    }
}

/// Groups what was found by kind; within a kind the order stays.
fn sort(found: Vec<Found>, subscriptions: &[Subscription], metrics: &DiscoveryMetrics) -> Looked {
    let mut looked = Looked::default();
    let DiscoveredArtifacts { git, images, charts, .. } = &mut looked.artifacts;
    for (found, subscription) in found.into_iter().zip(subscriptions) {
        let name = subscription.name.clone();
        match found {
            Found::Git(mut result, report) => {
                result.subscription_name = name;
                git.push(result);
                looked.reports.git.push(report);
            }
            Found::Image(mut result, report) => {
                if let SubscriptionKind::Image(image) = &subscription.kind {
                    let cost = cost::of(image, &report);
                    metrics.costs(&image.image_selection_strategy, cost.manifests);
                    looked.costs.extend(Some(cost).filter(Cost::is_high));
                }
                result.subscription_name = name;
                images.push(result);
                looked.reports.images.push(Some(report.to_string()));
            }
            Found::Chart(mut result, report) => {
                result.subscription_name = name;
                charts.push(result);
                looked.reports.charts.push(Some(report));
            }
        }
    }
    looked
}

/// What a subscription found the last time, by its place among those of its
/// kind (`warehouses` 3 O2).
#[derive(Clone, Copy, Default)]
struct Previous<'a> {
    git: Option<&'a GitDiscoveryResult>,
    image: Option<&'a ImageDiscoveryResult>,
    chart: Option<&'a ChartDiscoveryResult>,
}

impl<'a> Previous<'a> {
    fn of(artifacts: Option<&'a DiscoveredArtifacts>, subscriptions: &[Subscription]) -> Vec<Self> {
        let Some(artifacts) = artifacts else { return vec![Self::default(); subscriptions.len()] };
        let (mut git, mut images, mut charts) =
            (artifacts.git.iter(), artifacts.images.iter(), artifacts.charts.iter());
        subscriptions
            .iter()
            .map(|subscription| match &subscription.kind {
                SubscriptionKind::Git(_) => Self { git: git.next(), ..Self::default() },
                SubscriptionKind::Image(_) => Self { image: images.next(), ..Self::default() },
                SubscriptionKind::Chart(_) => Self { chart: charts.next(), ..Self::default() },
                SubscriptionKind::Generic(..) => Self::default(),
            })
            .collect()
    }

    /// Whether it is the same that was found again.
    fn is(&self, found: &Found) -> bool {
        match found {
            Found::Git(new, _) => self.git.is_some_and(|old| old.commits == new.commits),
            Found::Image(new, _) => self.image.is_some_and(|old| old.references == new.references),
            Found::Chart(new, _) => self.chart.is_some_and(|old| old.versions == new.versions),
        }
    }
}

/// The name of the subscription's kind.
fn kind(subscription: &Subscription) -> &'static str {
    match &subscription.kind {
        SubscriptionKind::Git(_) => "git",
        SubscriptionKind::Image(_) => "image",
        SubscriptionKind::Chart(_) => "chart",
        SubscriptionKind::Generic(..) => "generic",
    }
}

/// The subscription's repository, or the name of its type.
fn url(subscription: &Subscription) -> &str {
    match &subscription.kind {
        SubscriptionKind::Git(s) => &s.repo_url,
        SubscriptionKind::Image(s) => &s.repo_url,
        SubscriptionKind::Chart(s) => &s.repo_url,
        SubscriptionKind::Generic(kind, _) => kind,
    }
}

async fn one(
    parts: &Parts,
    project: &str,
    asker: &str,
    subscription: &Subscription,
    previous: Option<&GitDiscoveryResult>,
    cancel: &CancellationToken,
) -> Result<Found, Failed> {
    let url = url(subscription);
    let (kind, what) = match &subscription.kind {
        SubscriptionKind::Git(_) => (CredentialKind::Git, "git repo"),
        SubscriptionKind::Image(_) => (CredentialKind::Image, "image repo"),
        SubscriptionKind::Chart(_) => (CredentialKind::Helm, "chart repository"),
        SubscriptionKind::Generic(kind, _) => {
            return Err(Failed::config(format!(
                "error finding subscriber for subscription: no matching registration found: {kind:?} is none of git, image, chart"
            )));
        }
    };
    let credential = parts.credentials.get(project, kind, url).await.map_err(|e| Failed {
        message: format!(
            "error discovering artifacts: error obtaining credentials for {what} {url:?}: {e}"
        ),
        class: match e.class() {
            credentials::ErrorClass::Auth => ErrorClass::Auth,
            credentials::ErrorClass::Config => ErrorClass::Config,
            credentials::ErrorClass::RateLimited { retry_after } => {
                ErrorClass::RateLimited { retry_after }
            }
            credentials::ErrorClass::Transient => ErrorClass::Transient,
        },
    })?;
    let credential = credential.as_ref();
    let found = match &subscription.kind {
        SubscriptionKind::Git(git) => match &parts.commits {
            Some(commits) => {
                let found = commits.discover(git, credential, previous, cancel).await;
                found.map(|found| Found::Git(found.result, report::commits(&found.report)))
            }
            None => {
                return Err(Failed::config(format!(
                    "error discovering artifacts: {url:?} cannot be looked at: this process has no directory for Git mirrors"
                )));
            }
        },
        SubscriptionKind::Image(image) => {
            let found = parts.images.on_behalf_of(asker).discover(image, credential).await;
            found.map(|found| Found::Image(found.result, found.report))
        }
        SubscriptionKind::Chart(chart) => {
            let found = parts.charts.on_behalf_of(asker).discover(chart, credential).await;
            found.map(|found| Found::Chart(found.result, found.report.to_string()))
        }
        // Refused above.
        SubscriptionKind::Generic(..) => return Err(Failed::config("no such subscription")),
    };
    found.map_err(|error| {
        let message = format!("error discovering artifacts: {error}");
        let message = match credential {
            Some(credential) => credential.masker().mask(&message),
            None => message,
        };
        Failed { message, class: error.class() }
    })
}
