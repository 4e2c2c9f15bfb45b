//! One chart subscription: from its URL to its result.

use std::sync::Arc;
use std::time::Duration;

use api::{ChartDiscoveryResult, ChartSubscription};
use credentials::Credential;

use super::classic::{Indexes, index_url};
use super::oci;
use super::report::VersionReport;
use super::selector::{Kind, Selector};
use crate::error::Error;
use crate::registry::Client;

/// What discovery of charts is set to.
#[derive(Clone, Debug)]
pub struct ChartSettings {
    /// The longest that one subscription's discovery may take.
    pub deadline: Duration,
    /// The largest `index.yaml` that is read, bytes.
    pub largest_index: usize,
}

impl Default for ChartSettings {
    fn default() -> Self {
        Self { deadline: Duration::from_secs(600), largest_index: 64 * 1024 * 1024 }
    }
}

/// What a subscription found, and what became of the versions.
#[derive(Clone, Debug)]
pub struct Discovered {
    /// For the Warehouse's status. `subscriptionName` is the caller's to set.
    pub result: ChartDiscoveryResult,
    /// What became of the versions.
    pub report: VersionReport,
    /// How many requests it took.
    pub requests: u64,
}

/// Discovers charts. One for the process: clones share the client and the
/// indexes that are kept.
#[derive(Clone)]
pub struct Charts {
    client: Client,
    indexes: Arc<Indexes>,
    settings: ChartSettings,
}

impl Charts {
    /// Discovery with a client, which is the one that images are discovered
    /// with ([`crate::Images::client`]).
    pub fn new(client: Client, settings: ChartSettings) -> Self {
        Self { client, indexes: Arc::default(), settings }
    }

    /// The same discovery for one Warehouse: see [`Client::on_behalf_of`].
    #[must_use]
    pub fn on_behalf_of(&self, warehouse: &str) -> Self {
        Self { client: self.client.on_behalf_of(warehouse), ..self.clone() }
    }

    /// What the subscription finds now (`warehouses` 7). Nothing found is a
    /// result without versions, and the report says why.
    ///
    /// # Errors
    /// A subscription that cannot be understood, a repository that refuses or
    /// does not answer, in the words of `warehouses` 3 O4.
    ///
    /// ```no_run
    /// # async fn example() -> Result<(), sources::Error> {
    /// let images = sources::Images::new(sources::Settings::default())?;
    /// let charts = sources::Charts::new(images.client(), sources::ChartSettings::default());
    /// let subscription = api::ChartSubscription {
    ///     repo_url: "https://charts.example.com".to_owned(),
    ///     name: "app".to_owned(),
    ///     ..Default::default()
    /// };
    /// let found = charts.discover(&subscription, None).await?;
    /// println!("{:?}; {}", found.result.versions, found.report);
    /// # Ok(())
    /// # }
    /// ```
    pub async fn discover(
        &self,
        subscription: &ChartSubscription,
        credential: Option<&Credential>,
    ) -> Result<Discovered, Error> {
        let url = &subscription.repo_url;
        let selecting = |e: Error| {
            e.within(format!(
                "error obtaining selector for chart versions from helm chart repo {url:?}: "
            ))
        };
        let discovering = |e: Error| {
            e.within(format!("error discovering chart versions from helm chart repo {url:?}: "))
        };
        let selector = Selector::new(subscription).map_err(selecting)?;
        let search = async {
            match selector.kind {
                Kind::Classic => {
                    let at = index_url(url).map_err(selecting)?;
                    let site =
                        self.client.site(&at, credential, subscription.insecure_skip_tls_verify);
                    let index = self
                        .indexes
                        .get(&site, &at, self.settings.largest_index)
                        .await
                        .map_err(discovering)?;
                    let versions = index.versions(&subscription.name);
                    Ok::<_, Error>((selector.select(versions.iter().map(|v| &**v)), site.sent()))
                }
                Kind::Oci => {
                    let address = oci::address(url).map_err(selecting)?;
                    let repository = self.client.chart_repository(
                        &address,
                        credential,
                        subscription.insecure_skip_tls_verify,
                    );
                    if credential.is_some() {
                        repository.log_in().await.map_err(|e| {
                            discovering(
                                e.within(format!("error logging in to OCI repository {url:?}: ")),
                            )
                        })?;
                    }
                    let tags = repository.tags().await.map_err(|e| {
                        discovering(e.within(format!(
                            "error retrieving versions of chart from repository {url:?}: "
                        )))
                    })?;
                    Ok((selector.select(tags.iter().map(String::as_str)), repository.sent()))
                }
            }
        };
        let found = match tokio::time::timeout(self.settings.deadline, search).await {
            Ok(found) => found?,
            Err(_) => {
                let text = format!(
                    "it took longer than {} s; check that the repository answers",
                    self.settings.deadline.as_secs()
                );
                return Err(discovering(Error::Unexpected(text)));
            }
        };
        let ((versions, report), requests) = found;
        let result = ChartDiscoveryResult {
            repo_url: url.clone(),
            name: subscription.name.clone(),
            semver_constraint: subscription.semver_constraint.clone(),
            versions,
            subscription_name: String::new(),
        };
        Ok(Discovered { result, report, requests })
    }
}
