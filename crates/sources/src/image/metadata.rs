//! What manifests, indexes and configs say of an image (`warehouses` 6.4 to
//! 6.7): pure functions of their bytes.

use std::collections::BTreeMap;
use std::fmt;

use jiff::Timestamp;
use serde::{Deserialize, Deserializer, Serialize};
use sha2::{Digest, Sha256};

/// Entries of an index that are looked at.
pub(super) const MOST_ENTRIES: usize = 128;

/// The digest of `{}`, the config of artifacts that have none.
const EMPTY_CONFIG: &str =
    "sha256:44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a";

type Annotations = BTreeMap<String, String>;

/// An operating system, an architecture, perhaps a variant.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Platform {
    os: String,
    architecture: String,
    variant: String,
}

impl Platform {
    /// Reads `os/arch[/variant]`.
    pub(super) fn parse(text: &str) -> Option<Self> {
        let mut parts = text.splitn(3, '/');
        let mut part = || parts.next().unwrap_or_default().to_owned();
        let platform = Self { os: part(), architecture: part(), variant: part() };
        (!platform.os.is_empty() && !platform.architecture.is_empty()).then_some(platform)
    }
}

impl fmt::Display for Platform {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.os, self.architecture)?;
        if self.variant.is_empty() { Ok(()) } else { write!(f, "/{}", self.variant) }
    }
}

/// What is known of one digest.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Metadata {
    /// Of the top-level object.
    pub(super) digest: String,
    annotations: Annotations,
    /// When it was built.
    pub(super) created: Option<Timestamp>,
    /// The images of an index; none for a single image, which has no platform
    /// list and so matches no platform.
    entries: Option<Vec<(Platform, Annotations)>>,
}

impl Metadata {
    /// Whether there is an image for the platform, if one is asked for.
    pub(super) fn serves(&self, platform: Option<&Platform>) -> bool {
        platform.is_none_or(|wanted| {
            self.entries.iter().flatten().any(|(platform, _)| platform == wanted)
        })
    }

    /// Its annotations, overlaid by those of the platform's entry.
    pub(super) fn annotations(&self, platform: Option<&Platform>) -> Annotations {
        let mut annotations = self.annotations.clone();
        let entry = platform.and_then(|wanted| {
            self.entries.iter().flatten().find(|(platform, _)| platform == wanted)
        });
        if let Some((_, overlay)) = entry {
            annotations.extend(overlay.clone());
        }
        annotations
    }

    /// A single image.
    pub(super) fn image(digest: &str, manifest: &Manifest, config: &Config) -> Self {
        let created = claim(&manifest.annotations).or_else(|| {
            let labelled = claim(&config.config.labels);
            config.created.max(labelled)
        });
        Self {
            digest: digest.to_owned(),
            annotations: manifest.annotations.clone(),
            created,
            entries: None,
        }
    }

    /// An index over images; `children` are those of its usable entries.
    pub(super) fn index(
        digest: &str,
        index: &Index,
        children: &[(Entry, Option<Timestamp>)],
    ) -> Self {
        let newest =
            || children.iter().filter_map(|(e, built)| claim(&e.annotations).or(*built)).max();
        let entry = |(e, _): &(Entry, Option<Timestamp>)| {
            let platform = e.platform.clone().unwrap_or_default();
            let platform = Platform {
                os: platform.os,
                architecture: platform.architecture,
                variant: platform.variant,
            };
            (platform, e.annotations.clone())
        };
        Self {
            digest: digest.to_owned(),
            annotations: index.annotations.clone(),
            created: claim(&index.annotations).or_else(newest),
            entries: Some(children.iter().map(entry).collect()),
        }
    }
}

/// The time that annotations or labels claim (`warehouses` 6.7).
fn claim(annotations: &Annotations) -> Option<Timestamp> {
    ["org.opencontainers.image.created", "org.label-schema.build-date"]
        .iter()
        .find_map(|key| annotations.get(*key)?.parse().ok())
}

/// What an object is, by its exact content type.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ObjectKind {
    Manifest,
    Index,
}

impl ObjectKind {
    pub(super) fn of(content_type: &str) -> Option<Self> {
        match content_type {
            "application/vnd.oci.image.index.v1+json"
            | "application/vnd.docker.distribution.manifest.list.v2+json" => Some(Self::Index),
            "application/vnd.oci.image.manifest.v1+json"
            | "application/vnd.docker.distribution.manifest.v2+json" => Some(Self::Manifest),
            _ => None,
        }
    }
}

/// An image's manifest, as far as it matters.
#[derive(Debug, Default, Deserialize)]
pub(super) struct Manifest {
    #[serde(default)]
    pub(super) config: Descriptor,
    #[serde(default, deserialize_with = "or_default")]
    pub(super) annotations: Annotations,
}

/// What a manifest names its config with. An artifact may have none.
#[derive(Debug, Default, Deserialize)]
pub(super) struct Descriptor {
    #[serde(default, rename = "mediaType")]
    media_type: String,
    #[serde(default)]
    pub(super) digest: String,
    /// Bytes; 0 where it is not said.
    #[serde(default)]
    pub(super) size: u64,
    /// The content itself, base64.
    #[serde(default)]
    pub(super) data: Option<String>,
}

impl Descriptor {
    /// Whether there is anything to be read: artifacts may have no config, or
    /// the empty one that the image specification has for them.
    pub(super) fn is_empty(&self) -> bool {
        self.digest.is_empty() || self.digest == EMPTY_CONFIG
    }

    /// Whether it is an image's config. An artifact's may be anything.
    pub(super) fn is_of_image(&self) -> bool {
        matches!(
            self.media_type.as_str(),
            "" | "application/vnd.oci.image.config.v1+json"
                | "application/vnd.docker.container.image.v1+json"
        )
    }

    /// The content that stands in the descriptor itself, if any.
    ///
    /// # Errors
    /// Content that is not what size and digest say.
    pub(super) fn embedded(&self) -> Result<Option<Vec<u8>>, String> {
        use base64::Engine;
        let Some(data) = self.data.as_deref().filter(|d| !d.is_empty()) else { return Ok(None) };
        let bytes = base64::engine::general_purpose::STANDARD
            .decode(data)
            .map_err(|e| format!("the embedded config {} is no base64: {e}", self.digest))?;
        self.check(&bytes)?;
        Ok(Some(bytes))
    }

    /// Whether content has the size and digest that were named.
    ///
    /// # Errors
    /// What it has instead.
    pub(super) fn check(&self, bytes: &[u8]) -> Result<(), String> {
        let digest = format!("sha256:{}", hex::encode(Sha256::digest(bytes)));
        if digest != self.digest {
            return Err(format!("the config {} has digest {digest}", self.digest));
        }
        if self.size != 0 && self.size != bytes.len() as u64 {
            return Err(format!(
                "the config {} has {} bytes and not {}",
                self.digest,
                bytes.len(),
                self.size
            ));
        }
        Ok(())
    }
}

/// An index, as far as it matters.
#[derive(Debug, Default, Deserialize)]
pub(super) struct Index {
    #[serde(default, deserialize_with = "or_default")]
    pub(super) manifests: Vec<Entry>,
    #[serde(default, deserialize_with = "or_default")]
    pub(super) annotations: Annotations,
}

/// An entry of an index.
#[derive(Clone, Debug, Default, Deserialize)]
pub(super) struct Entry {
    #[serde(default)]
    pub(super) digest: String,
    #[serde(default)]
    platform: Option<EntryPlatform>,
    #[serde(default, deserialize_with = "or_default")]
    annotations: Annotations,
}

#[derive(Clone, Debug, Default, Deserialize)]
struct EntryPlatform {
    #[serde(default)]
    os: String,
    #[serde(default)]
    architecture: String,
    #[serde(default)]
    variant: String,
}

impl Entry {
    /// Whether it is an image and no attestation or the like.
    pub(super) fn is_usable(&self) -> bool {
        let known = |text: &str| !text.is_empty() && text != "unknown";
        self.platform.as_ref().is_some_and(|p| known(&p.os) && known(&p.architecture))
    }
}

/// An image's config, as far as it matters.
#[derive(Debug, Default, Deserialize)]
pub(super) struct Config {
    #[serde(default, deserialize_with = "time")]
    created: Option<Timestamp>,
    #[serde(default, deserialize_with = "or_default")]
    config: InnerConfig,
}

#[derive(Debug, Default, Deserialize)]
struct InnerConfig {
    #[serde(default, rename = "Labels", deserialize_with = "or_default")]
    labels: Annotations,
}

/// `null` counts as absent.
fn or_default<'de, D: Deserializer<'de>, T: Default + Deserialize<'de>>(
    deserializer: D,
) -> Result<T, D::Error> {
    Ok(Option::deserialize(deserializer)?.unwrap_or_default())
}

/// A time; Go's zero time counts as absent.
fn time<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Timestamp>, D::Error> {
    let text: Option<String> = Option::deserialize(deserializer)?;
    let text = text.filter(|t| !t.is_empty() && !t.starts_with("0001-01-01T00:00:00"));
    text.map(|t| t.parse().map_err(serde::de::Error::custom)).transpose()
}
