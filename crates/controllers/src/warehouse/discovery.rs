//! Looking at all of a Warehouse's repositories (`warehouses` 3).

use api::{
    DiscoveredArtifacts, ImageDiscoveryResult, ImageSubscription, Subscription, SubscriptionKind,
    Warehouse,
};
use credentials::CredentialKind;
use futures::future::BoxFuture;
use futures::{FutureExt, StreamExt, stream};
use kube::ResourceExt;
use sources::ErrorClass;
use sources::image::TagReport;

use super::Parts;

/// Subscriptions of one Warehouse that are looked at at a time.
const AHEAD: usize = 4;

/// What was found, without a time.
#[derive(Clone, Debug, Default)]
pub struct Looked {
    /// The artifacts, in the order of the subscriptions.
    pub artifacts: DiscoveredArtifacts,
    /// What became of the tags, for each of `artifacts.images`.
    pub reports: Vec<TagReport>,
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

/// Looks at every repository. Subscriptions are looked at side by side;
/// results keep their order, and the first that failed in that order is told.
///
/// # Errors
/// The first subscription that cannot be read, is of a kind that is not
/// supported, or whose repository refuses or does not answer.
pub async fn look(parts: &Parts, warehouse: &Warehouse) -> Result<Looked, Failed> {
    let project = warehouse.namespace().unwrap_or_default();
    let subscriptions = Subscription::decode_all(&warehouse.spec.subscriptions)
        .map_err(|e| Failed::config(format!("error discovering artifacts: {e}")))?;
    let looks: Vec<BoxFuture<'_, _>> = subscriptions
        .iter()
        .map(|subscription| one(parts, &project, subscription).boxed())
        .collect();
    let mut results = stream::iter(looks).buffered(AHEAD);
    let mut looked = Looked::default();
    while let Some(result) = results.next().await {
        let (image, report) = result?;
        looked.artifacts.images.push(image);
        looked.reports.push(report);
    }
    Ok(looked)
}

async fn one(
    parts: &Parts,
    project: &str,
    subscription: &Subscription,
) -> Result<(ImageDiscoveryResult, TagReport), Failed> {
    match &subscription.kind {
        SubscriptionKind::Image(image) => {
            let (mut result, report) = images(parts, project, image).await?;
            result.subscription_name.clone_from(&subscription.name);
            Ok((result, report))
        }
        SubscriptionKind::Git(git) => Err(not_supported("Git", &git.repo_url)),
        SubscriptionKind::Chart(chart) => Err(not_supported("chart", &chart.repo_url)),
        SubscriptionKind::Generic(kind, _) => Err(Failed::config(format!(
            "error finding subscriber for subscription: no matching registration found: {kind:?} is none of git, image, chart"
        ))),
    }
}

/// What cannot be done yet is said, never passed over.
fn not_supported(kind: &str, url: &str) -> Failed {
    Failed::config(format!(
        "error discovering artifacts: subscriptions to {kind} repositories are not supported by this version of Supercargo ({url:?}); take the subscription out, or put it in a Warehouse of its own, so that the others are looked at"
    ))
}

async fn images(
    parts: &Parts,
    project: &str,
    subscription: &ImageSubscription,
) -> Result<(ImageDiscoveryResult, TagReport), Failed> {
    let url = &subscription.repo_url;
    let credential =
        parts.credentials.get(project, CredentialKind::Image, url).await.map_err(|e| Failed {
            message: format!(
                "error discovering artifacts: error obtaining credentials for image repo {url:?}: {e}"
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
    match parts.images.discover(subscription, credential.as_ref()).await {
        Ok(found) => Ok((found.result, found.report)),
        Err(error) => {
            let message = format!("error discovering artifacts: {error}");
            let message = match &credential {
                Some(credential) => credential.masker().mask(&message),
                None => message,
            };
            Err(Failed { message, class: error.class() })
        }
    }
}
