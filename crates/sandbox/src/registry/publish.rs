//! Making a small image without a client: what the demo's "push a new tag"
//! and the tests use.

use std::collections::BTreeMap;

use bytes::Bytes;
use jiff::Timestamp;
use serde_json::{Value, json};

use super::content::{Content, Manifest, digest_of};

const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
const INDEX: &str = "application/vnd.oci.image.index.v1+json";
const CONFIG: &str = "application/vnd.oci.image.config.v1+json";
const LAYER: &str = "application/vnd.oci.image.layer.v1.tar";

/// An image to publish. The default is one `linux/amd64` image without labels,
/// annotations or a creation time.
#[derive(Clone, Debug, Default)]
pub struct NewImage {
    /// When it was built, for the config's `created`.
    pub created: Option<Timestamp>,
    /// The config's labels.
    pub labels: BTreeMap<String, String>,
    /// Annotations of the top-level object: the manifest, or the index.
    pub annotations: BTreeMap<String, String>,
    /// `os/arch[/variant]` each. Empty for a single image; else an index over
    /// one image a platform.
    pub platforms: Vec<String>,
    /// Makes otherwise equal images differ.
    pub content: String,
}

impl NewImage {
    /// An image built at that time.
    pub fn created(at: Timestamp) -> Self {
        Self { created: Some(at), ..Self::default() }
    }
}

/// Puts the image and points the tag at it; returns its digest.
pub(super) fn publish(
    content: &mut Content,
    repository: &str,
    tag: &str,
    image: &NewImage,
) -> String {
    if image.platforms.is_empty() {
        let bytes = single(content, repository, tag, image, "linux/amd64", &image.annotations);
        return content.put_manifest(repository, Some(tag), manifest(MANIFEST, bytes));
    }
    let mut entries = Vec::new();
    for platform in &image.platforms {
        let bytes = single(content, repository, tag, image, platform, &BTreeMap::new());
        let size = bytes.len();
        let digest = content.put_manifest(repository, None, manifest(MANIFEST, bytes));
        entries.push(json!({
            "mediaType": MANIFEST,
            "digest": digest,
            "size": size,
            "platform": platform_of(platform),
        }));
    }
    let mut index = json!({ "schemaVersion": 2, "mediaType": INDEX, "manifests": entries });
    annotate(&mut index, &image.annotations);
    content.put_manifest(repository, Some(tag), manifest(INDEX, index.to_string().into_bytes()))
}

/// Puts one image's config and layer; returns its manifest's bytes.
fn single(
    content: &mut Content,
    repository: &str,
    tag: &str,
    image: &NewImage,
    platform: &str,
    annotations: &BTreeMap<String, String>,
) -> Vec<u8> {
    let layer = empty_tar();
    let mut config = platform_of(platform);
    config["rootfs"] = json!({ "type": "layers", "diff_ids": [digest_of(&layer)] });
    config["config"] = json!({
        "Env": [format!("SUPERCARGO_SANDBOX={repository}:{tag}{}", image.content)],
    });
    if !image.labels.is_empty() {
        config["config"]["Labels"] = json!(image.labels);
    }
    if let Some(created) = image.created {
        config["created"] = json!(created.to_string());
    }
    let config = config.to_string().into_bytes();
    let mut manifest = json!({
        "schemaVersion": 2,
        "mediaType": MANIFEST,
        "config": { "mediaType": CONFIG, "size": config.len(), "digest": digest_of(&config) },
        "layers": [{ "mediaType": LAYER, "size": layer.len(), "digest": digest_of(&layer) }],
    });
    annotate(&mut manifest, annotations);
    content.put_blob(repository, Bytes::from(config));
    content.put_blob(repository, Bytes::from(layer));
    manifest.to_string().into_bytes()
}

fn manifest(content_type: &str, bytes: Vec<u8>) -> Manifest {
    Manifest { content_type: content_type.to_owned(), bytes: Bytes::from(bytes) }
}

fn annotate(manifest: &mut Value, annotations: &BTreeMap<String, String>) {
    if !annotations.is_empty() {
        manifest["annotations"] = json!(annotations);
    }
}

fn platform_of(platform: &str) -> Value {
    let mut parts = platform.splitn(3, '/');
    let mut value = json!({
        "os": parts.next().unwrap_or_default(),
        "architecture": parts.next().unwrap_or_default(),
    });
    if let Some(variant) = parts.next() {
        value["variant"] = json!(variant);
    }
    value
}

/// A tar archive without entries: two blocks of zeros.
fn empty_tar() -> Vec<u8> {
    vec![0; 1024]
}
