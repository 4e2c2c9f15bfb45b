//! Images and charts against Debian's `docker-registry`: a name and password
//! (htpasswd), HTTPS with a certificate signed by itself. Where the package is
//! not installed (`make test-deps` installs it), this says so and passes.

use std::io::{BufRead, BufReader, Write};
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use api::{ChartSubscription, ImageSubscription};
use credentials::{Credential, CredentialKind, Login, Secret, SecretRef, Source};
use serde_json::json;
use sha2::{Digest, Sha256};
use sources::registry::ClientSettings;
use sources::{ChartSettings, Charts, ErrorClass, Images, Settings};

/// `me` with the password `canary-pw`, as `htpasswd -B` writes it.
const HTPASSWD: &str = "me:$2y$05$IdWUwyUV/K.769eAH4sErOACDAK9Pq4oIoLUXYn5XtVzw7bPXUXlK";
const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
const INDEX: &str = "application/vnd.oci.image.index.v1+json";

/// A running registry; stopped when dropped.
struct Real {
    process: Child,
    addr: SocketAddr,
    client: reqwest::Client,
    _folder: tempfile::TempDir,
}

impl Drop for Real {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

fn write(path: &Path, text: &str) {
    let mut file = std::fs::File::create(path).expect("a file");
    file.write_all(text.as_bytes()).expect("written");
}

impl Real {
    /// Starts one; none where it is not installed.
    fn start() -> Option<Self> {
        let folder = tempfile::tempdir().expect("a folder");
        let at = |name: &str| folder.path().join(name);
        let names = ["localhost".to_owned(), "127.0.0.1".to_owned()];
        let made = rcgen::generate_simple_self_signed(names).expect("a certificate");
        write(&at("cert.pem"), &made.cert.pem());
        write(&at("key.pem"), &made.signing_key.serialize_pem());
        write(&at("htpasswd"), HTPASSWD);
        let config = json!({
            "version": "0.1",
            "log": { "level": "info" },
            "storage": { "filesystem": { "rootdirectory": at("data") }, "delete": { "enabled": true } },
            "http": {
                "addr": "127.0.0.1:0",
                "secret": "not-so-secret",
                "tls": { "certificate": at("cert.pem"), "key": at("key.pem") },
            },
            "auth": { "htpasswd": { "realm": "test", "path": at("htpasswd") } },
        });
        write(&at("config.yml"), &config.to_string());
        let started = Command::new("docker-registry")
            .arg("serve")
            .arg(at("config.yml"))
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn();
        let mut process = match started {
            Ok(process) => process,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return None,
            Err(error) => panic!("docker-registry does not start: {error}"),
        };
        let log = BufReader::new(process.stderr.take().expect("its log"));
        let mut lines = log.lines().map_while(Result::ok);
        let addr = lines
            .find_map(|line| {
                let (_, after) = line.split_once("listening on ")?;
                let end = after.find([',', '"', ' ']).unwrap_or(after.len());
                after.get(..end)?.parse().ok()
            })
            .expect("the address that it listens on");
        // Reads on, so that the registry is never stuck writing.
        std::thread::spawn(move || lines.for_each(drop));
        let _ = rustls::crypto::ring::default_provider().install_default();
        let client = reqwest::Client::builder().tls_danger_accept_invalid_certs(true);
        let client = client.build().expect("a client");
        Some(Self { process, addr, client, _folder: folder })
    }

    async fn send(&self, request: reqwest::RequestBuilder) -> reqwest::Response {
        let answer = request.basic_auth("me", Some("canary-pw")).send().await.expect("an answer");
        assert!(answer.status().is_success(), "{answer:?}");
        answer
    }

    fn url(&self, path: &str) -> String {
        format!("https://{}/v2/{path}", self.addr)
    }

    async fn blob(&self, repository: &str, content: &str) -> serde_json::Value {
        let begun = self.client.post(self.url(&format!("{repository}/blobs/uploads/")));
        let begun = self.send(begun).await;
        let digest = format!("sha256:{}", hex::encode(Sha256::digest(content)));
        let location = begun.headers()["location"].to_str().expect("a location").to_owned();
        let mut at = url::Url::parse(&self.url("")).and_then(|u| u.join(&location)).expect("one");
        at.query_pairs_mut().append_pair("digest", &digest);
        let put = self.client.put(at).header("content-type", "application/octet-stream");
        self.send(put.body(content.to_owned())).await;
        json!({ "digest": digest, "size": content.len() })
    }

    async fn manifest(
        &self,
        repository: &str,
        reference: &str,
        content_type: &str,
        manifest: serde_json::Value,
    ) -> String {
        let text = manifest.to_string();
        let digest = format!("sha256:{}", hex::encode(Sha256::digest(&text)));
        let reference = if reference.is_empty() { digest.as_str() } else { reference };
        let put = self.client.put(self.url(&format!("{repository}/manifests/{reference}")));
        self.send(put.header("content-type", content_type).body(text)).await;
        digest
    }

    /// Pushes an image (or chart) that was built in that month of 2024.
    async fn push(&self, repository: &str, tag: &str, month: u8, config_type: &str) -> String {
        let created = format!("2024-{month:02}-01T00:00:00Z");
        let config = json!({ "architecture": "amd64", "os": "linux", "created": created });
        let mut config = self.blob(repository, &config.to_string()).await;
        config["mediaType"] = json!(config_type);
        let mut layer = self.blob(repository, "layer").await;
        layer["mediaType"] = json!("application/vnd.oci.image.layer.v1.tar");
        let manifest = json!({
            "schemaVersion": 2, "mediaType": MANIFEST, "config": config, "layers": [layer],
            "annotations": { "month": month.to_string() },
        });
        self.manifest(repository, tag, MANIFEST, manifest).await
    }
}

fn credential(kind: CredentialKind, password: &str) -> Credential {
    Credential {
        kind,
        login: Login::Basic { username: "me".into(), password: Secret::new(password) },
        source: Source::of_project(
            SecretRef { namespace: "p".into(), name: "creds".into(), uid: "u".into() },
            "",
        ),
    }
}

#[tokio::test]
async fn images_and_charts_of_a_real_registry() {
    let Some(real) = Real::start() else {
        eprintln!("SKIPPED: docker-registry is not installed; `make test-deps` installs it");
        return;
    };
    const IMAGE: &str = "application/vnd.oci.image.config.v1+json";
    let first = real.push("owner/app", "1.0.0", 3, IMAGE).await;
    real.push("owner/app", "1.1.0", 1, IMAGE).await;
    let child = real.push("owner/app", "latest", 2, IMAGE).await;
    let index = json!({
        "schemaVersion": 2, "mediaType": INDEX,
        "manifests": [{
            "mediaType": MANIFEST, "digest": child, "size": 500,
            "platform": { "os": "linux", "architecture": "arm64" },
        }],
    });
    let index = real.manifest("owner/app", "2.0.0", INDEX, index).await;
    real.push("charts/app", "1.0.0", 1, "application/vnd.cncf.helm.config.v1+json").await;
    real.push("charts/app", "1.1.0_b", 1, "application/vnd.cncf.helm.config.v1+json").await;

    let client =
        ClientSettings { retry_delay: Duration::from_millis(1), ..ClientSettings::default() };
    let images = Images::new(Settings { client, ..Settings::default() }).expect("discovery");
    let charts = Charts::new(images.client(), ChartSettings::default());
    let right = credential(CredentialKind::Image, "canary-pw");
    let image = |strategy: &str, platform: &str| ImageSubscription {
        repo_url: format!("{}/owner/app", real.addr),
        image_selection_strategy: strategy.into(),
        platform: platform.into(),
        insecure_skip_tls_verify: true,
        ..ImageSubscription::default()
    };
    let tags = |found: &sources::Discovered| -> Vec<String> {
        found.result.references.iter().map(|r| r.tag.clone()).collect()
    };

    let semver = image("SemVer", "");
    let cold = images.discover(&semver, Some(&right)).await.expect("found");
    assert_eq!(tags(&cold), ["2.0.0", "1.1.0", "1.0.0"]);
    assert_eq!(
        (&cold.result.references[0].digest, &cold.result.references[2].digest),
        (&index, &first)
    );
    assert_eq!(cold.result.references[2].annotations["month"], "3");
    let warm = images.discover(&semver, Some(&right)).await.expect("found");
    assert_eq!((tags(&warm), warm.requests), (tags(&cold), 1 + 3), "a listing and a look at each");
    let newest = images.discover(&image("NewestBuild", ""), Some(&right)).await.expect("found");
    assert_eq!(tags(&newest), ["1.0.0", "latest", "2.0.0", "1.1.0"]);
    let arm = images.discover(&image("SemVer", "linux/arm64"), Some(&right)).await.expect("found");
    assert_eq!(tags(&arm), ["2.0.0"]);

    // A tag that moved, and one that vanished.
    let moved = real.push("owner/app", "1.0.0", 5, IMAGE).await;
    let digest = &warm.result.references[1].digest;
    real.send(real.client.delete(real.url(&format!("owner/app/manifests/{digest}")))).await;
    let found = images.discover(&semver, Some(&right)).await.expect("found");
    assert_eq!(tags(&found), ["2.0.0", "1.0.0"]);
    assert_eq!(found.result.references[1].digest, moved);

    // Who may not, and whom the certificate does not convince.
    for password in [None, Some("canary-wrong")] {
        let credential = password.map(|p| credential(CredentialKind::Image, p));
        let error = images.discover(&semver, credential.as_ref()).await.expect_err("refused");
        assert_eq!(error.class(), ErrorClass::Auth, "{error}");
        assert!(!error.to_string().contains("canary"), "{error}");
    }
    let checked = ImageSubscription { insecure_skip_tls_verify: false, ..semver.clone() };
    let error = images.discover(&checked, Some(&right)).await.expect_err("not convinced");
    assert_eq!(error.class(), ErrorClass::Config, "{error}");

    let chart = |insecure: bool, constraint: &str| ChartSubscription {
        repo_url: format!("oci://{}/charts/app", real.addr),
        semver_constraint: constraint.into(),
        insecure_skip_tls_verify: insecure,
        ..ChartSubscription::default()
    };
    let right = credential(CredentialKind::Helm, "canary-pw");
    let found = charts.discover(&chart(true, ""), Some(&right)).await.expect("found");
    assert_eq!(found.result.versions, ["1.1.0+b", "1.0.0"]);
    let found = charts.discover(&chart(true, "~1.0"), Some(&right)).await.expect("found");
    assert_eq!(found.result.versions, ["1.0.0"]);
    let error = charts.discover(&chart(true, ""), None).await.expect_err("refused");
    assert_eq!(error.class(), ErrorClass::Auth, "{error}");
    let error = charts.discover(&chart(false, ""), Some(&right)).await.expect_err("not convinced");
    assert_eq!(error.class(), ErrorClass::Config, "{error}");
}
