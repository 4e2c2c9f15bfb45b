//! What goes wrong with registries and chart repositories: each error names
//! the host and the cause, has a class, takes bounded time and memory, and
//! passes with its cause.

use std::time::Duration;

use api::{ChartSubscription, ImageSubscription};
use credentials::{Credential, CredentialKind, Login, Secret, SecretRef};
use sandbox::registry::{Access, Fault, NewImage, Registry, RegistryOptions, Trouble};
use sources::registry::ClientSettings;
use sources::{ChartSettings, Charts, Error, ErrorClass, Images, Settings};

/// The longest that one attempt may take in these tests.
const PATIENCE: Duration = Duration::from_secs(2);

struct Bench {
    registry: Registry,
    images: Images,
    charts: Charts,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Source {
    Image,
    OciChart,
    ClassicChart,
}

const ALL: [Source; 3] = [Source::Image, Source::OciChart, Source::ClassicChart];

fn client() -> ClientSettings {
    ClientSettings {
        retry_delay: Duration::from_millis(1),
        request_timeout: PATIENCE,
        index_timeout: PATIENCE,
        read_timeout: PATIENCE,
        ..ClientSettings::default()
    }
}

impl Bench {
    async fn start(options: RegistryOptions) -> Self {
        let registry = Registry::start(options).await.expect("a registry");
        registry.push_tag("owner/app", "1.0.0", &NewImage::default()).expect("published");
        registry.push_chart("charts/app", "1.0.0").expect("published");
        registry.push_index("stable", &[("app", &["1.0.0"])]);
        let images = Images::new(Settings { client: client(), ..Settings::default() });
        let images = images.expect("discovery");
        let settings = ChartSettings { largest_index: 1 << 20, ..ChartSettings::default() };
        let charts = Charts::new(images.client(), settings);
        Self { registry, images, charts }
    }

    async fn open() -> Self {
        Self::start(RegistryOptions::default()).await
    }

    fn host(&self) -> String {
        self.registry.addr.to_string()
    }

    /// What the source finds: the number of tags or versions.
    async fn find(
        &self,
        source: Source,
        insecure: bool,
        credential: Option<&Credential>,
    ) -> Result<usize, Error> {
        let host = self.host();
        if source == Source::Image {
            let subscription = ImageSubscription {
                repo_url: format!("{host}/owner/app"),
                insecure_skip_tls_verify: insecure,
                ..ImageSubscription::default()
            };
            let found = self.images.discover(&subscription, credential).await?;
            return Ok(found.result.references.len());
        }
        let scheme = self.registry.url().split(':').next().unwrap_or_default().to_owned();
        let (repo_url, name) = match source {
            Source::OciChart => (format!("oci://{host}/charts/app"), ""),
            _ => (format!("{scheme}://{host}/stable"), "app"),
        };
        let subscription = ChartSubscription {
            repo_url,
            name: name.to_owned(),
            insecure_skip_tls_verify: insecure,
            ..ChartSubscription::default()
        };
        let found = self.charts.discover(&subscription, credential).await?;
        Ok(found.result.versions.len())
    }
}

fn credential(password: &str) -> Credential {
    Credential {
        kind: CredentialKind::Image,
        login: Login::Basic { username: "me".into(), password: Secret::new(password) },
        source: credentials::Source::of_project(
            SecretRef { namespace: "p".into(), name: "creds".into(), uid: "u".into() },
            "",
        ),
    }
}

fn class(error: &Error) -> &'static str {
    match error.class() {
        ErrorClass::Transient => "transient",
        ErrorClass::RateLimited { .. } => "rate limited",
        ErrorClass::Auth => "auth",
        ErrorClass::Config => "config",
        ErrorClass::NotFound => "not found",
        ErrorClass::Internal => "internal",
    }
}

#[tokio::test]
async fn every_failure_names_host_and_cause_and_passes() {
    let status = |status: u16| (status, Trouble::Status);
    for ((status, trouble), expected, cause) in [
        (status(401), "auth", "401 Unauthorized"),
        (status(403), "auth", "403 Forbidden"),
        (status(404), "not found", "404 Not Found"),
        (status(429), "rate limited", "429 Too Many Requests"),
        (status(500), "transient", "500 Internal Server Error"),
        (status(503), "transient", "503 Service Unavailable"),
        ((0, Trouble::Hang), "transient", "it took too long"),
        // A byte now and then: the time of the whole counts.
        ((0, Trouble::Drip(Duration::from_millis(20))), "transient", "it took too long"),
        ((0, Trouble::Cut), "transient", "no answer from"),
        ((0, Trouble::Redirect("http://10.0.0.1/".into())), "config", "redirect to a private"),
    ] {
        for source in ALL {
            let bench = Bench::open().await;
            // Whether plain HTTP is spoken is found out before.
            assert_eq!(bench.find(source, false, None).await.ok(), Some(1));
            let path = if source == Source::ClassicChart { "/index.yaml" } else { "/tags/list" };
            bench.registry.traffic().fail(Fault {
                status,
                trouble: trouble.clone(),
                path_contains: path.into(),
                times: 100,
                ..Fault::default()
            });
            let error = bench.find(source, false, None).await.expect_err("it fails");
            let text = error.to_string();
            let what = format!("{source:?} {trouble:?} {status}: {text}");
            assert_eq!(class(&error), expected, "{what}");
            assert!(text.contains(cause), "{what}");
            assert!(text.contains(&bench.host()), "{what}");
            let requests = bench.registry.traffic().count("", path);
            assert!(requests <= 1 + 3, "{what}: {requests} requests");
            bench.registry.traffic().heal();
            assert_eq!(bench.find(source, false, None).await.ok(), Some(1), "{what}");
        }
    }
}

#[tokio::test]
async fn answers_that_make_no_sense() {
    let html = "<html><body>it works</body></html>";
    for (source, path, trouble, expected) in [
        (Source::Image, "/tags/list", Trouble::Body(html.into()), "is no list of tags"),
        (Source::OciChart, "/tags/list", Trouble::Body(html.into()), "is no list of tags"),
        (
            Source::ClassicChart,
            "/index.yaml",
            Trouble::Body(html.into()),
            "error unmarshaling repository index from",
        ),
        (Source::Image, "/tags/list", Trouble::Endless, "the answer is larger than 8 MiB"),
        (Source::Image, "/manifests/", Trouble::Endless, "the answer is larger than 8 MiB"),
        (Source::ClassicChart, "/index.yaml", Trouble::Endless, "the index is larger than 1 MiB"),
        (Source::Image, "/blobs/", Trouble::Altered, "the content has digest sha256:"),
        (Source::Image, "/manifests/", Trouble::Body("{".into()), "unknown artifact type"),
        (Source::Image, "/blobs/", Trouble::Body("{".into()), "the content has digest sha256:"),
        (Source::Image, "/tags/list", Trouble::Tags(1_000_000), "has more than 500000 tags"),
        (Source::Image, "/tags/list", Trouble::Redirect("list".into()), "too many redirects"),
        (
            Source::ClassicChart,
            "/index.yaml",
            Trouble::Redirect("index.yaml".into()),
            "too many redirects",
        ),
    ] {
        let bench = Bench::open().await;
        bench.registry.traffic().fail(Fault {
            trouble: trouble.clone(),
            path_contains: path.into(),
            times: 2_000,
            ..Fault::default()
        });
        let error = bench.find(source, false, None).await.expect_err("it fails");
        let text = error.to_string();
        assert!(text.contains(expected), "{source:?} {trouble:?}: {text}");
        assert!(text.contains(&bench.host()), "{source:?} {trouble:?}: {text}");
        bench.registry.traffic().heal();
        assert_eq!(bench.find(source, false, None).await.ok(), Some(1), "{source:?} {trouble:?}");
    }
}

#[tokio::test]
async fn a_host_that_is_not_there() {
    for source in ALL {
        let mut bench = Bench::open().await;
        let addr = bench.registry.addr;
        // The port is free again when the registry has stopped.
        let other = Registry::start(RegistryOptions::default()).await.expect("a registry");
        drop(std::mem::replace(&mut bench.registry, other));
        while tokio::net::TcpStream::connect(addr).await.is_ok() {
            tokio::task::yield_now().await;
        }
        bench.registry.addr = addr;
        let error = bench.find(source, false, None).await.expect_err("nobody there");
        let text = error.to_string();
        assert_eq!(class(&error), "transient", "{text}");
        assert!(text.contains(&format!("no answer from {addr}")), "{source:?}: {text}");
        assert!(text.contains("check that"), "{text}");
    }
}

/// After some failures in a row the host is left alone, whoever asks.
#[tokio::test]
async fn a_host_that_does_not_answer_is_left_alone() {
    let bench = Bench::open().await;
    assert_eq!(bench.find(Source::Image, false, None).await.ok(), Some(1));
    bench.registry.traffic().fail_next(1_000, 504);
    let before = bench.registry.traffic().total();
    for _ in 0..5 {
        bench.find(Source::Image, false, None).await.expect_err("it fails");
        bench.find(Source::ClassicChart, false, None).await.expect_err("it fails");
    }
    assert_eq!(bench.registry.traffic().total() - before, 5);
    let error = bench.find(Source::OciChart, false, None).await.expect_err("it fails");
    assert!(error.to_string().contains("the last 5 requests failed (HTTP 504)"), "{error}");
    assert!(error.to_string().contains("it is asked again in "), "{error}");
}

#[tokio::test]
async fn a_pause_is_kept_for_that_host_and_no_other() {
    let (limited, other) = (Bench::open().await, Bench::open().await);
    assert_eq!(limited.find(Source::Image, false, None).await.ok(), Some(1));
    limited.registry.traffic().fail(Fault {
        status: 429,
        retry_after: Some("30".into()),
        times: 1,
        ..Fault::default()
    });
    let before = limited.registry.traffic().total();
    for source in [Source::Image, Source::OciChart, Source::ClassicChart, Source::Image] {
        let error = limited.find(source, false, None).await.expect_err("a pause");
        let ErrorClass::RateLimited { retry_after } = error.class() else {
            panic!("{source:?}: {error}");
        };
        assert!((29..=30).contains(&retry_after.as_secs()), "{retry_after:?}");
        assert!(error.to_string().contains("wants fewer requests; asking again in "), "{error}");
    }
    assert_eq!(limited.registry.traffic().total() - before, 1, "no request before the time");
    // The same client, another host.
    let repo_url = format!("{}/owner/app", other.registry.addr);
    let subscription = ImageSubscription { repo_url, ..Default::default() };
    let found = limited.images.discover(&subscription, None).await.expect("unaffected");
    assert_eq!(found.result.references.len(), 1);
}

#[tokio::test]
async fn a_credential_does_not_follow_a_redirect_to_another_host() {
    let access = || Access::Basic { username: "me".into(), password: "canary-pw".into() };
    let elsewhere = Bench::open().await;
    let with = credential("canary-pw");
    for (source, path, to) in [
        (Source::Image, "/tags/list", "/v2/owner/app/tags/list"),
        (Source::OciChart, "/tags/list", "/v2/charts/app/tags/list"),
        (Source::ClassicChart, "/index.yaml", "/stable/index.yaml"),
    ] {
        let bench =
            Bench::start(RegistryOptions { access: access(), ..RegistryOptions::default() }).await;
        assert_eq!(bench.find(source, false, Some(&with)).await.ok(), Some(1), "{source:?}");
        assert!(bench.registry.traffic().requests().iter().any(|r| r.authorized));
        let port = elsewhere.registry.addr.port();
        bench.registry.traffic().fail(Fault {
            trouble: Trouble::Redirect(format!("http://localhost:{port}{to}")),
            path_contains: path.into(),
            times: 1,
            ..Fault::default()
        });
        elsewhere.registry.traffic().clear();
        assert_eq!(bench.find(source, false, Some(&with)).await.ok(), Some(1), "{source:?}");
        let seen = elsewhere.registry.traffic().requests();
        assert_eq!(seen.len(), 1, "{source:?}: the redirect was followed");
        assert!(seen.iter().all(|r| !r.authorized), "{source:?}: {seen:?}");
    }
}

#[tokio::test]
async fn a_token_server_that_fails() {
    let access =
        Access::Token { username: "me".into(), password: "canary-pw".into(), anonymous_pull: true };
    for (status, trouble, expected, cause) in [
        (500, Trouble::Status, "transient", "/token: 500 Internal Server Error"),
        (401, Trouble::Status, "auth", "/token: 401 Unauthorized"),
        (0, Trouble::Body("no".into()), "transient", "the answer holds no token"),
        (0, Trouble::Body("{}".into()), "transient", "the answer holds no token"),
        (0, Trouble::Hang, "transient", "it took too long"),
    ] {
        let options = RegistryOptions { access: access.clone(), ..RegistryOptions::default() };
        let bench = Bench::start(options).await;
        bench.registry.traffic().fail(Fault {
            status,
            trouble: trouble.clone(),
            path_contains: "/token".into(),
            times: 100,
            ..Fault::default()
        });
        for source in [Source::Image, Source::OciChart] {
            let error = bench.find(source, false, None).await.expect_err("no token");
            let text = error.to_string();
            assert_eq!(class(&error), expected, "{source:?} {trouble:?}: {text}");
            assert!(text.contains(cause), "{source:?} {trouble:?}: {text}");
            assert!(text.contains(&bench.host()), "{source:?} {trouble:?}: {text}");
        }
        bench.registry.traffic().heal();
        assert_eq!(bench.find(Source::Image, false, None).await.ok(), Some(1), "{trouble:?}");
    }
}

#[tokio::test]
async fn a_refused_credential_is_named_by_its_secret_and_never_told() {
    let access = Access::Basic { username: "me".into(), password: "canary-pw".into() };
    let options = RegistryOptions { access, ..RegistryOptions::default() };
    let bench = Bench::start(options).await;
    let wrong = credential("canary-wrong");
    for source in ALL {
        let error = bench.find(source, false, Some(&wrong)).await.expect_err("refused");
        let text = error.to_string();
        assert_eq!(class(&error), "auth", "{source:?}: {text}");
        assert!(text.contains("refused the credential of Secret p/creds"), "{text}");
        assert!(!text.contains("canary") && !format!("{error:?}").contains("canary"), "{text}");
        let right = credential("canary-pw");
        assert_eq!(bench.find(source, false, Some(&right)).await.ok(), Some(1), "{source:?}");
    }
    let error = bench.find(Source::OciChart, false, Some(&wrong)).await.expect_err("refused");
    assert!(
        error.to_string().contains(&format!(
            "error logging in to OCI repository \"oci://{}/charts/app\": ",
            bench.host()
        )),
        "{error}"
    );
}

/// `warehouses/7-8`, and the same for images.
#[tokio::test]
async fn a_certificate_that_nobody_knows() {
    let options = RegistryOptions { tls: true, ..RegistryOptions::default() };
    let bench = Bench::start(options).await;
    for source in ALL {
        let error = bench.find(source, false, None).await.expect_err("an unknown authority");
        let text = error.to_string();
        assert_eq!(class(&error), "config", "{source:?}: {text}");
        assert!(text.contains("certificate"), "{source:?}: {text}");
        assert!(text.contains("or set insecureSkipTLSVerify"), "{source:?}: {text}");
        assert!(text.contains(&bench.host()), "{source:?}: {text}");
        assert_eq!(bench.find(source, true, None).await.ok(), Some(1), "{source:?}");
    }
    let requests = bench.registry.traffic().requests();
    assert!(requests.iter().all(|r| r.http2), "HTTP/2 where the server can");
}

/// `warehouses/7-9`: who is cancelled asks no more.
#[tokio::test]
async fn a_cancelled_discovery_ends() {
    for source in ALL {
        let bench = std::sync::Arc::new(Bench::open().await);
        assert_eq!(bench.find(source, false, None).await.ok(), Some(1));
        bench.registry.traffic().fail(Fault {
            trouble: Trouble::Hang,
            times: 100,
            ..Fault::default()
        });
        let asking = std::sync::Arc::clone(&bench);
        let task = tokio::spawn(async move { asking.find(source, false, None).await });
        let before = bench.registry.traffic().total();
        while bench.registry.traffic().hanging() == 0 {
            tokio::task::yield_now().await;
        }
        task.abort();
        let ended = task.await.expect_err("no result");
        assert!(ended.is_cancelled(), "{source:?}");
        assert_eq!(bench.registry.traffic().total(), before, "{source:?}");
        bench.registry.traffic().heal();
        assert_eq!(bench.find(source, false, None).await.ok(), Some(1), "{source:?}");
    }
}

/// `warehouses/7-11`
#[tokio::test]
async fn a_missing_index() {
    let bench = Bench::open().await;
    let subscription = ChartSubscription {
        repo_url: format!("http://{}/none/", bench.host()),
        name: "app".into(),
        ..ChartSubscription::default()
    };
    let error = bench.charts.discover(&subscription, None).await.expect_err("missing");
    let text = error.to_string();
    let url = format!("http://{}/none", bench.host());
    assert!(
        text.starts_with(&format!(
            "error discovering chart versions from helm chart repo \"{url}/\": received unexpected HTTP 404 when querying repository index at \"{url}/index.yaml\": "
        )),
        "{text}"
    );
    assert_eq!(class(&error), "not found");
}
