//! Debian's `docker-registry`, the reference implementation of the
//! distribution protocol, over TLS with a login.

use std::collections::HashSet;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Mutex, PoisonError};

use envtest::process::Process;
use serde_json::json;
use sha2::{Digest, Sha256};

use super::access_log::Asked;
use super::{PASSWORD, USER};

/// [`PASSWORD`] as the registry's password file wants it (bcrypt).
const HASH: &str = "$2b$05$abcdefghijklmnopqrstuupx2xBUC4954936wVIjyyPHmUBFu0wCW";

/// An image to publish.
#[derive(Clone, Debug)]
pub struct NewImage {
    /// When it was built.
    pub created: jiff::Timestamp,
    /// Makes otherwise equal images differ.
    pub content: String,
}

/// A running registry.
pub struct DockerRegistry {
    port: u16,
    http: reqwest::Client,
    log: PathBuf,
    /// Repository and digest of the blobs that were pushed.
    blobs: Mutex<HashSet<(String, String)>>,
    _process: Process,
}

impl DockerRegistry {
    /// Starts one whose files are beneath `dir`; `None` where it is not
    /// installed.
    ///
    /// # Panics
    /// When it does not start.
    pub async fn start(dir: &Path) -> Option<Self> {
        let program = super::program("docker-registry")?;
        Some(Self::run(&program, dir).await.unwrap_or_else(|e| panic!("docker-registry: {e}")))
    }

    async fn run(program: &Path, dir: &Path) -> Result<Self, String> {
        let folder = super::folder(dir, "docker-registry")?;
        let port = super::free_port().map_err(|e| e.to_string())?;
        let path = |name: &str| folder.join(name).display().to_string();
        let config = json!({
            "version": 0.1,
            "log": {"level": "error", "accesslog": {"disabled": false}},
            "storage": {"filesystem": {"rootdirectory": path("storage")}},
            "http": {
                "addr": format!("127.0.0.1:{port}"),
                "tls": {"certificate": path("server.crt"), "key": path("server.key")},
            },
            "auth": {"htpasswd": {"realm": "tests", "path": path("passwords")}},
        });
        let write = |name: &str, text: String| {
            std::fs::write(folder.join(name), text).map_err(|e| format!("{name}: {e}"))
        };
        write("passwords", format!("{USER}:{HASH}\n"))?;
        // JSON is YAML.
        write("config.yml", config.to_string())?;
        let mut command = Command::new(program);
        command.arg("serve").arg(path("config.yml")).env("OTEL_TRACES_EXPORTER", "none");
        let mut process = Process::start("docker-registry", &command, &folder, None)?;
        super::listens(&mut process, port).await?;
        let http = super::client()?;
        let log = folder.join("docker-registry.log");
        Ok(Self { port, http, log, blobs: Mutex::default(), _process: process })
    }

    /// Its address.
    pub fn url(&self) -> String {
        format!("https://127.0.0.1:{}", self.port)
    }

    /// What others than the test have asked of it, oldest first.
    ///
    /// # Panics
    /// When it does not answer, or its log cannot be read.
    pub async fn asked(&self) -> Vec<Asked> {
        super::logged(&self.http, &self.url(), &self.log).await
    }

    /// Publishes a small image, built now, under a tag.
    ///
    /// # Panics
    /// When the registry refuses.
    pub async fn push_tag(&self, repository: &str, tag: &str) {
        let image = NewImage { created: jiff::Timestamp::now(), content: tag.to_owned() };
        self.push(repository, tag, &image).await;
    }

    /// Publishes a small image under a tag, as `docker push` does.
    ///
    /// # Panics
    /// When the registry refuses.
    pub async fn push(&self, repository: &str, tag: &str, image: &NewImage) {
        let layer = self.push_blob(repository, b"a layer".to_vec()).await;
        let config = json!({
            "architecture": "amd64", "os": "linux", "config": {},
            "created": image.created.to_string(),
            "rootfs": {"type": "layers", "diff_ids": [layer["digest"]]},
            "comment": image.content,
        });
        let config = self.push_blob(repository, config.to_string().into_bytes()).await;
        let kind = "application/vnd.oci.image.manifest.v1+json";
        let manifest = json!({
            "schemaVersion": 2,
            "mediaType": kind,
            "config": {
                "mediaType": "application/vnd.oci.image.config.v1+json",
                "digest": config["digest"], "size": config["size"],
            },
            "layers": [{
                "mediaType": "application/vnd.oci.image.layer.v1.tar",
                "digest": layer["digest"], "size": layer["size"],
            }],
        });
        let url = format!("{}/v2/{repository}/manifests/{tag}", self.url());
        let request = self.http.put(url).header("content-type", kind).body(manifest.to_string());
        self.done(request).await;
    }

    async fn push_blob(&self, repository: &str, bytes: Vec<u8>) -> serde_json::Value {
        let digest = format!("sha256:{}", hex::encode(Sha256::digest(&bytes)));
        let size = bytes.len();
        let blob = (repository.to_owned(), digest.clone());
        let blobs = || self.blobs.lock().unwrap_or_else(PoisonError::into_inner);
        if blobs().contains(&blob) {
            return json!({"digest": digest, "size": size});
        }
        let url = format!("{}/v2/{repository}/blobs/uploads/", self.url());
        let begun = self.done(self.http.post(url)).await;
        let place = begun.headers().get("location").and_then(|v| v.to_str().ok());
        let place = place.expect("an upload has a place").to_owned();
        let join = if place.contains('?') { '&' } else { '?' };
        let put = self.http.put(format!("{place}{join}digest={digest}")).body(bytes);
        self.done(put).await;
        blobs().insert(blob);
        json!({"digest": digest, "size": size})
    }

    async fn done(&self, request: reqwest::RequestBuilder) -> reqwest::Response {
        let request = request.basic_auth(USER, Some(PASSWORD));
        let response = request.send().await.expect("the registry answers");
        let code = response.status();
        assert!(code.is_success(), "{code}: {}", response.url());
        response
    }
}
