//! Discovery: list the tags, select, resolve what was selected.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

use api::{DiscoveredImageReference, ImageDiscoveryResult, ImageSubscription, Time};
use credentials::Credential;
use futures::future::BoxFuture;
use futures::{FutureExt, StreamExt, TryStreamExt, stream};
use jiff::Timestamp;

use super::cache::Cache;
use super::metadata::{
    Config, Descriptor, Entry, Index, MOST_ENTRIES, Manifest, Metadata, ObjectKind,
};
use super::report::{Reason, TagReport};
use super::selector::{Selector, Strategy};
use crate::disk_cache::DiskCache;
use crate::error::Error;
use crate::registry::{Client, ClientSettings, Fetched, Repository};

/// Tags of one subscription that are resolved at a time.
const AHEAD: usize = 8;
/// The same where every tag must be (NewestBuild).
const ALL_AHEAD: usize = 16;
/// Images of one index that are read at a time.
const CHILDREN_AHEAD: usize = 4;
/// How deep indexes may lie in indexes.
const DEPTH: usize = 3;

/// Whether metadata may be remembered by tag (`CACHE_BY_TAG_POLICY`,
/// `warehouses` 6.2).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum CacheByTag {
    /// Never.
    Forbid,
    /// Where the subscription says so.
    #[default]
    Allow,
    /// The subscription must say so.
    Require,
    /// Always.
    Force,
}

impl FromStr for CacheByTag {
    type Err = std::convert::Infallible;

    /// Unknown words count as Allow, as in the reference.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Ok(match text {
            "Forbid" => Self::Forbid,
            "Require" => Self::Require,
            "Force" => Self::Force,
            _ => Self::Allow,
        })
    }
}

/// What discovery of images is set to.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The registry client's settings, mirrors among them.
    pub client: ClientSettings,
    /// Digests, and tags, that are remembered (`MAX_IMAGE_CACHE_ENTRIES`).
    pub cache_entries: usize,
    /// Where what is known of digests and tags survives a restart; none keeps
    /// it in memory only.
    pub cache_folder: Option<PathBuf>,
    /// The most that this folder may hold, bytes.
    pub cache_folder_bytes: u64,
    /// Whether tags may be taken as never moving.
    pub cache_by_tag: CacheByTag,
    /// The longest that one subscription's discovery may take.
    pub deadline: Duration,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            client: ClientSettings::default(),
            cache_entries: 100_000,
            cache_folder: None,
            cache_folder_bytes: 256 * 1024 * 1024,
            cache_by_tag: CacheByTag::Allow,
            deadline: Duration::from_secs(600),
        }
    }
}

/// What a subscription found, and what became of the tags.
#[derive(Clone, Debug)]
pub struct Discovered {
    /// For the Warehouse's status. `subscriptionName` is the caller's to set.
    pub result: ImageDiscoveryResult,
    /// What became of the tags.
    pub report: TagReport,
    /// How many requests it took.
    pub requests: u64,
}

/// Discovers images. One for the process: clones share the client and what is
/// known of digests.
#[derive(Clone)]
pub struct Images {
    client: Client,
    cache: Arc<Cache>,
    policy: CacheByTag,
    deadline: Duration,
}

impl Images {
    /// Discovery with these settings.
    ///
    /// # Errors
    /// A TLS set-up that cannot be had, a cache folder that cannot be used.
    pub fn new(settings: Settings) -> Result<Self, Error> {
        let open = |folder: &PathBuf| {
            DiskCache::open(folder, settings.cache_folder_bytes).map_err(|e| {
                Error::Config(format!(
                    "the folder {} for image metadata cannot be used: {e}",
                    folder.display()
                ))
            })
        };
        let disk = settings.cache_folder.as_ref().map(open).transpose()?;
        Ok(Self {
            client: Client::new(settings.client)?,
            cache: Arc::new(Cache::new(settings.cache_entries, disk)),
            policy: settings.cache_by_tag,
            deadline: settings.deadline,
        })
    }

    /// The client that it uses, for [`crate::Charts`] to share.
    pub fn client(&self) -> Client {
        self.client.clone()
    }

    /// The same discovery for one Warehouse: see [`Client::on_behalf_of`].
    #[must_use]
    pub fn on_behalf_of(&self, warehouse: &str) -> Self {
        Self { client: self.client.on_behalf_of(warehouse), ..self.clone() }
    }

    /// What the subscription finds now (`warehouses` 6.3). Nothing found is a
    /// result without references, and the report says why.
    ///
    /// # Errors
    /// A subscription that cannot be understood, a registry that refuses or
    /// does not answer, in the words of `warehouses` 3 O4.
    ///
    /// ```no_run
    /// # async fn example() -> Result<(), sources::Error> {
    /// let images = sources::Images::new(sources::Settings::default())?;
    /// let subscription = api::ImageSubscription {
    ///     repo_url: "ghcr.io/owner/app".to_owned(),
    ///     constraint: "^1".to_owned(),
    ///     ..Default::default()
    /// };
    /// let found = images.discover(&subscription, None).await?;
    /// println!("{:?}; {}", found.result.references, found.report);
    /// # Ok(())
    /// # }
    /// ```
    pub async fn discover(
        &self,
        subscription: &ImageSubscription,
        credential: Option<&Credential>,
    ) -> Result<Discovered, Error> {
        let url = &subscription.repo_url;
        let by_tag = self.cache_by_tag(subscription)?;
        let selecting =
            |e: Error| e.within(format!("error obtaining selector for image {url:?}: "));
        let selector = Selector::new(subscription).map_err(selecting)?;
        let address = &selector.address;
        let repository =
            self.client.repository(address, credential, subscription.insecure_skip_tls_verify);
        let search = Search {
            images: self,
            known: address.to_string(),
            repository,
            selector: &selector,
            by_tag,
        };
        let discovering =
            |e: Error| e.within(format!("error discovering newest applicable images {url:?}: "));
        let found = match tokio::time::timeout(self.deadline, search.run()).await {
            Ok(found) => found.map_err(discovering)?,
            Err(_) => {
                let text = format!(
                    "it took longer than {} s; narrow the tags with allowTagsRegexes or a constraint",
                    self.deadline.as_secs()
                );
                return Err(discovering(Error::Unexpected(text)));
            }
        };
        let (references, report) = found;
        let result = ImageDiscoveryResult {
            repo_url: url.clone(),
            platform: subscription.platform.clone(),
            references,
            subscription_name: String::new(),
        };
        Ok(Discovered { result, report, requests: search.repository.sent() })
    }

    fn cache_by_tag(&self, subscription: &ImageSubscription) -> Result<bool, Error> {
        let asked = subscription.cache_by_tag;
        let allowed = match self.policy {
            CacheByTag::Forbid => false,
            CacheByTag::Allow => asked,
            CacheByTag::Force => true,
            CacheByTag::Require if asked => true,
            CacheByTag::Require => {
                return Err(Error::Config(
                    "caching image metadata by tag is required by controller configuration; \
                     enable with caution as this feature is safe only for subscriptions not \
                     involving \"mutable\" tags"
                        .to_owned(),
                ));
            }
        };
        Ok(allowed && subscription.image_selection_strategy != "Digest")
    }
}

/// One discovery under way.
struct Search<'a> {
    images: &'a Images,
    repository: Repository,
    /// What the cache knows the repository by.
    known: String,
    selector: &'a Selector,
    by_tag: bool,
}

type Found = (Vec<DiscoveredImageReference>, TagReport);

/// A tag's image; none for a tag that was removed since the listing.
type Resolved = Option<Arc<Metadata>>;

impl Search<'_> {
    async fn run(&self) -> Result<Found, Error> {
        let cache = &self.images.cache;
        cache.open(&self.known).await;
        if self.selector.strategy == Strategy::Digest {
            let found = self.follow().await;
            cache.close(&self.known, None).await;
            return found;
        }
        let tags = self.repository.tags().await.map_err(|e| {
            e.within(format!(
                "error listing tags: error listing tags for repo URL {}: ",
                self.repository.address()
            ))
        })?;
        let present: BTreeSet<String> = tags.iter().cloned().collect();
        let (tags, report) = self.selector.select(tags);
        let found = match self.selector.strategy {
            Strategy::NewestBuild => self.newest(tags, report).await,
            _ => self.first(tags, report).await,
        };
        // Also after an error: what was read need not be read again.
        cache.close(&self.known, Some(&present)).await;
        found
    }

    /// The first tags in order whose images serve the platform. No tag is
    /// resolved beyond those that are still needed, or that may be where a
    /// platform drops some.
    async fn first(&self, tags: Vec<String>, mut report: TagReport) -> Result<Found, Error> {
        let limit = self.selector.limit;
        let mut references = Vec::new();
        let mut tags = tags.into_iter();
        while references.len() < limit {
            let needed = limit - references.len();
            let ahead = if self.selector.platform.is_some() { needed.max(AHEAD) } else { needed };
            let some: Vec<String> = tags.by_ref().take(ahead).collect();
            if some.is_empty() {
                break;
            }
            let mut resolved = stream::iter(some)
                .map(|tag| async move {
                    let metadata = self.resolve(&tag).await.map_err(|e| {
                        e.within(format!(
                            "error getting images by tags: error retrieving image with tag {tag:?}: "
                        ))
                    })?;
                    Ok::<_, Error>((tag, metadata))
                })
                .buffered(AHEAD);
            while references.len() < limit
                && let Some((tag, metadata)) = resolved.try_next().await?
            {
                self.keep(&tag, metadata.as_deref(), &mut references, &mut report);
            }
        }
        Ok((references, report))
    }

    async fn newest(&self, tags: Vec<String>, mut report: TagReport) -> Result<Found, Error> {
        let mut resolved: Vec<(String, Resolved)> = stream::iter(tags)
            .map(|tag| async move {
                let metadata = self
                    .resolve(&tag)
                    .await
                    .map_err(|e| e.within("error retrieving images for all matched tags: "))?;
                Ok::<_, Error>((tag, metadata))
            })
            .buffer_unordered(ALL_AHEAD)
            .try_collect()
            .await?;
        let created = |resolved: &Resolved| resolved.as_ref().and_then(|m| m.created);
        resolved.sort_by(|(a, of_a), (b, of_b)| {
            created(of_b).cmp(&created(of_a)).then_with(|| b.as_bytes().cmp(a.as_bytes()))
        });
        let mut references = Vec::new();
        for (tag, metadata) in &resolved {
            self.keep(tag, metadata.as_deref(), &mut references, &mut report);
        }
        references.truncate(self.selector.limit);
        Ok((references, report))
    }

    /// The one tag that is followed; a tag that is not there is no error, and
    /// neither is one of which a part is not there.
    async fn follow(&self) -> Result<Found, Error> {
        let tag = self.selector.followed();
        let mut report = TagReport::default();
        let mut references = Vec::new();
        match self.resolve(tag).await {
            Ok(Some(metadata)) => {
                report.seen = 1;
                self.keep(tag, Some(&metadata), &mut references, &mut report);
            }
            Ok(None) => {}
            Err(error) if error.is_not_found() => {}
            Err(error) => {
                return Err(error.within(format!("error retrieving image with tag {tag:?}: ")));
            }
        }
        Ok((references, report))
    }

    fn keep(
        &self,
        tag: &str,
        metadata: Option<&Metadata>,
        references: &mut Vec<DiscoveredImageReference>,
        report: &mut TagReport,
    ) {
        let Some(metadata) = metadata else {
            report.drop(Reason::Vanished, || tag.to_owned());
            return;
        };
        let platform = self.selector.platform.as_ref();
        if !metadata.serves(platform) {
            report.drop(Reason::Platform(self.selector.platform_text()), || tag.to_owned());
            return;
        }
        references.push(DiscoveredImageReference {
            tag: tag.to_owned(),
            digest: metadata.digest.clone(),
            annotations: metadata.annotations(platform),
            created_at: metadata.created.and_then(whole_seconds),
        });
    }

    /// What is known of a tag's image now: a look at the tag's digest, and
    /// where that is new, the image itself.
    async fn resolve(&self, tag: &str) -> Result<Resolved, Error> {
        let cache = &self.images.cache;
        let naming = |e: Error| {
            e.within(format!(
                "error getting image descriptor for tag {tag:?} from repo URL {}: ",
                self.known
            ))
        };
        if let Some(known) = cache.tag(&self.known, tag) {
            if self.by_tag
                && let Some(metadata) = cache.digest(&known).await
            {
                return Ok(Some(metadata));
            }
            let now = match self.repository.digest(tag).await {
                Ok(now) => now,
                Err(error) if error.is_not_found() => return Ok(None),
                Err(error) => return Err(naming(error)),
            };
            if let Some(now) = now
                && let Some(metadata) = cache.digest(&now).await
            {
                cache.put_tag(&self.known, tag, &now);
                return Ok(Some(metadata));
            }
        }
        let fetched = match self.repository.manifest(tag).await {
            Ok(fetched) => fetched,
            Err(error) if error.is_not_found() => return Ok(None),
            Err(error) => return Err(naming(error)),
        };
        let metadata = match cache.digest(&fetched.digest).await {
            Some(metadata) => metadata,
            None => match self.read(fetched, 0).await {
                Ok(metadata) => metadata,
                // Parts go with the tag; without it, they are not missed.
                Err(error) if error.is_not_found() && self.vanished(tag).await => return Ok(None),
                Err(error) => return Err(naming(error)),
            },
        };
        cache.put_tag(&self.known, tag, &metadata.digest);
        Ok(Some(metadata))
    }

    async fn vanished(&self, tag: &str) -> bool {
        self.repository.digest(tag).await.is_err_and(|e| e.is_not_found())
    }

    /// The metadata of a fetched object, its parts fetched as needed.
    fn read(&self, fetched: Fetched, depth: usize) -> BoxFuture<'_, Result<Arc<Metadata>, Error>> {
        async move {
            let Some(kind) = ObjectKind::of(&fetched.content_type) else {
                return Err(Error::Unexpected(format!(
                    "unknown artifact type: {}",
                    fetched.content_type
                )));
            };
            let metadata = match kind {
                ObjectKind::Manifest => self.image(&fetched).await?,
                ObjectKind::Index => self.index(&fetched, depth).await?,
            };
            let metadata = Arc::new(metadata);
            self.images.cache.put(&metadata).await;
            Ok(metadata)
        }
        .boxed()
    }

    async fn image(&self, fetched: &Fetched) -> Result<Metadata, Error> {
        let manifest: Manifest = parse(&fetched.bytes, "manifest", &fetched.digest)?;
        let config = self.config(&manifest.config).await?;
        Ok(Metadata::image(&fetched.digest, &manifest, &config))
    }

    async fn config(&self, descriptor: &Descriptor) -> Result<Config, Error> {
        if descriptor.is_empty() {
            return Ok(Config::default());
        }
        let bytes = match descriptor.embedded().map_err(Error::Unexpected)? {
            Some(bytes) => bytes.into(),
            None => {
                let bytes = self.repository.blob(&descriptor.digest).await?;
                descriptor.check(&bytes).map_err(Error::Unexpected)?;
                bytes
            }
        };
        match parse(&bytes, "image config", &descriptor.digest) {
            Err(_) if !descriptor.is_of_image() => Ok(Config::default()),
            parsed => parsed,
        }
    }

    async fn index(&self, fetched: &Fetched, depth: usize) -> Result<Metadata, Error> {
        let index: Index = parse(&fetched.bytes, "index", &fetched.digest)?;
        let usable: Vec<Entry> =
            index.manifests.iter().filter(|e| e.is_usable()).cloned().collect();
        if usable.is_empty() {
            return Err(Error::Unexpected(
                "empty V2 manifest list or OCI index is not supported".to_owned(),
            ));
        }
        if usable.len() > MOST_ENTRIES || depth >= DEPTH {
            return Err(Error::Unexpected(format!(
                "the index {} has more than {MOST_ENTRIES} images, or lies too deep",
                fetched.digest
            )));
        }
        let children: Vec<(Entry, Option<Timestamp>)> = stream::iter(usable)
            .map(|entry| async move {
                let child = match self.images.cache.digest(&entry.digest).await {
                    Some(child) => child,
                    None => {
                        let fetched = self.repository.manifest_of(&entry.digest).await?;
                        self.read(fetched, depth + 1).await?
                    }
                };
                Ok::<_, Error>((entry, child.created))
            })
            .buffered(CHILDREN_AHEAD)
            .try_collect()
            .await?;
        Ok(Metadata::index(&fetched.digest, &index, &children))
    }
}

fn parse<'a, T: serde::Deserialize<'a>>(
    bytes: &'a [u8],
    what: &str,
    digest: &str,
) -> Result<T, Error> {
    serde_json::from_slice(bytes)
        .map_err(|e| Error::Unexpected(format!("the {what} {digest} cannot be read: {e}")))
}

/// The time as the API keeps it.
fn whole_seconds(at: Timestamp) -> Option<Time> {
    Timestamp::from_second(at.as_second()).ok().map(Time)
}
