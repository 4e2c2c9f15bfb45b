//! Publishing charts without a client: in a repository of the registry, and as
//! a line of a classic repository's `index.yaml`, which the same server has
//! beside its registry.

use std::fmt::Write as _;

use bytes::Bytes;
use serde_json::json;

use super::content::{File, Manifest, digest_of};
use super::{Registry, RegistryError, protocol};

const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
const CONFIG: &str = "application/vnd.cncf.helm.config.v1+json";
const CHART: &str = "application/vnd.cncf.helm.chart.content.v1.tar+gzip";

impl Registry {
    /// Publishes an (empty) chart under its version, in whose tag `_` stands
    /// for `+`; returns the digest.
    ///
    /// # Errors
    /// A name or version that no registry takes.
    pub fn push_chart(&self, repository: &str, version: &str) -> Result<String, RegistryError> {
        let tag = version.replace('+', "_");
        for (name, fits) in
            [(repository, protocol::is_repository(repository)), (&tag, protocol::is_tag(&tag))]
        {
            if !fits {
                return Err(RegistryError::Name(name.to_owned()));
            }
        }
        let name = repository.rsplit('/').next().unwrap_or_default();
        let config = json!({ "apiVersion": "v2", "name": name, "version": version }).to_string();
        let content = Bytes::from_static(&[0x1f, 0x8b]);
        let manifest = json!({
            "schemaVersion": 2,
            "mediaType": MANIFEST,
            "config": { "mediaType": CONFIG, "size": config.len(), "digest": digest_of(config.as_bytes()) },
            "layers": [{ "mediaType": CHART, "size": content.len(), "digest": digest_of(&content) }],
        });
        Ok(self.shared.content(|c| {
            c.put_blob(repository, Bytes::from(config));
            c.put_blob(repository, content);
            let bytes = Bytes::from(manifest.to_string());
            let manifest = Manifest { content_type: MANIFEST.to_owned(), bytes };
            c.put_manifest(repository, Some(&tag), manifest)
        }))
    }

    /// Makes the classic repository at that path (`/<path>/index.yaml`) offer
    /// these charts, each with its versions, and no others.
    pub fn push_index(&self, path: &str, charts: &[(&str, &[&str])]) {
        let mut text = "apiVersion: v1\nentries:\n".to_owned();
        for (chart, versions) in charts {
            let _ = writeln!(text, "  {chart}:");
            for version in *versions {
                let _ = writeln!(text, "  - name: {chart}\n    version: {version}");
            }
        }
        self.put_file(&format!("/{path}/index.yaml"), text);
    }

    /// Puts a file at that path, which begins with `/`.
    pub fn put_file(&self, path: &str, content: impl Into<Bytes>) {
        let now = jiff::Timestamp::now().to_zoned(jiff::tz::TimeZone::UTC);
        let modified = now.strftime("%a, %d %b %Y %H:%M:%S GMT").to_string();
        let file = File { bytes: content.into(), modified };
        self.shared.content(|c| c.put_file(path, file));
    }
}
