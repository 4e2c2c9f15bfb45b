//! A running API server with its store, and what tests do with it: clients,
//! tokens of ServiceAccounts, the audit log, and taking it down.

use std::net::{Ipv4Addr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;
use std::time::Duration;

use base64::Engine;
use k8s_openapi::api::authentication::v1::{TokenRequest, TokenRequestSpec};
use k8s_openapi::api::core::v1::ServiceAccount;
use kube::api::{Api, PostParams};
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::{Client, Config};
use serde_json::json;
use tempfile::TempDir;

use crate::audit::{self, Entry};
use crate::binaries::Binaries;
use crate::certificates::{self, Authority};
use crate::process::Process;

/// The longest that a server may take until it is ready.
const PATIENCE: Duration = Duration::from_secs(120);

/// How often it is asked whether it is.
const PAUSE: Duration = Duration::from_millis(50);

/// How often a start is tried again where a port was taken meanwhile.
const TRIES: usize = 5;

/// The token of the user who may do everything.
const ADMIN: &str = "admin-of-the-tests";

/// Where pods find the API server, and whatever else listens on this machine:
/// the first address of [`SERVICES`], which becomes the Service `kubernetes`.
pub const ADDRESS: Ipv4Addr = Ipv4Addr::new(10, 0, 0, 1);

/// The addresses of Services.
const SERVICES: &str = "10.0.0.0/24";

/// The port of the Service `kubernetes`. There is no proxy: the API server
/// listens there itself.
const PODS_PORT: u16 = 443;

/// The issuer of ServiceAccounts' tokens.
const ISSUER: &str = "https://kubernetes.default.svc.cluster.local";

/// What a server is started with.
#[derive(Clone, Copy, Debug, Default)]
pub struct Options {
    /// Write an audit log.
    pub audit: bool,
    /// Run the controllers that empty deleted namespaces and delete what has
    /// lost its owner, where they were built.
    pub controllers: bool,
    /// Serve a node and its pods too: at [`ADDRESS`], with the ServiceAccounts
    /// that pods have and all of Kubernetes' own controllers.
    pub pods: bool,
}

/// A running API server. All of it ends when this is dropped or the test's
/// process does.
pub struct Server {
    binaries: Binaries,
    options: Options,
    authority: Authority,
    port: u16,
    store: u16,
    // The order is the order of the end: clients before what they ask.
    controllers: Option<Process>,
    api: Option<Process>,
    _etcd: Process,
    dir: PathBuf,
    _temporary: TempDir,
}

impl Server {
    /// Starts a store and an API server, and waits until it is ready.
    ///
    /// # Errors
    /// Why it is not, with the last words of the program that failed.
    pub async fn start(binaries: &Binaries, options: Options) -> Result<Self, String> {
        let _ = rustls::crypto::ring::default_provider().install_default();
        let temporary = tempfile::Builder::new()
            .prefix("envtest-")
            .tempdir()
            .map_err(|e| format!("a temporary directory: {e}"))?;
        let dir = temporary.path().to_owned();
        let authority = certificates::write(&dir)?;
        std::fs::write(dir.join("audit.yaml"), audit::POLICY).map_err(|e| e.to_string())?;
        std::fs::write(dir.join("users.csv"), format!("{ADMIN},admin,admin,\"system:masters\"\n"))
            .map_err(|e| e.to_string())?;
        let (etcd, store) = start_etcd(binaries, &dir).await?;
        let mut server = Self {
            binaries: binaries.clone(),
            options,
            authority,
            port: 0,
            store,
            controllers: None,
            api: None,
            _etcd: etcd,
            dir,
            _temporary: temporary,
        };
        let mut last = String::new();
        for _ in 0..TRIES {
            server.port = if options.pods { PODS_PORT } else { free_port()? };
            match server.start_api_server().await {
                Ok(()) => {
                    if options.controllers {
                        server.start_controllers()?;
                    }
                    return Ok(server);
                }
                Err(why) if why.contains("address already in use") => last = why,
                Err(why) => return Err(why),
            }
        }
        Err(last)
    }

    /// Starts the API server again after [`Server::kill_api_server`], at the
    /// same address with the same data, and waits until it is ready.
    ///
    /// # Errors
    /// Why it is not.
    pub async fn start_api_server(&mut self) -> Result<(), String> {
        let file = |name: &str| self.dir.join(name);
        let mut command = Command::new(self.binaries.api_server());
        command
            .arg(format!("--etcd-servers=http://127.0.0.1:{}", self.store))
            .arg(format!("--secure-port={}", self.port))
            .arg("--endpoint-reconciler-type=none")
            .arg(format!("--service-cluster-ip-range={SERVICES}"))
            .args(["--authorization-mode=RBAC", "--allow-privileged=true"])
            .args(["--max-requests-inflight=2000", "--max-mutating-requests-inflight=1000"])
            .arg(format!("--service-account-issuer={ISSUER}"));
        for (flag, name) in [
            ("cert-dir", ""),
            ("tls-cert-file", "server.crt"),
            ("tls-private-key-file", "server.key"),
            ("token-auth-file", "users.csv"),
            ("service-account-key-file", "tokens.pub"),
            ("service-account-signing-key-file", "tokens.key"),
        ] {
            command.arg(format!("--{flag}={}", file(name).display()));
        }
        if self.options.pods {
            command
                .args(["--bind-address=0.0.0.0", "--kubelet-preferred-address-types=InternalIP"])
                .arg(format!("--advertise-address={ADDRESS}"));
        } else {
            command
                .args(["--bind-address=127.0.0.1", "--advertise-address=127.0.0.1"])
                // There is nothing that would make the ServiceAccounts of Pods.
                .arg("--disable-admission-plugins=ServiceAccount");
        }
        if self.options.audit {
            command.arg(format!("--audit-policy-file={}", file("audit.yaml").display()));
            command.arg(format!("--audit-log-path={}", self.audit_log().display()));
        }
        let mut api = Process::start("kube-apiserver", &command, &self.dir, None)?;
        let client = self.client().await?;
        wait("the API server", &mut api, || async {
            let request = http::Request::get("/readyz").body(Vec::new()).unwrap_or_default();
            client.request_text(request).await.is_ok_and(|text| text == "ok")
        })
        .await?;
        self.api = Some(api);
        Ok(())
    }

    /// Kills the API server as a failing machine does; the store stays.
    pub fn kill_api_server(&mut self) {
        self.api = None;
    }

    /// Starts the controllers that empty deleted namespaces and delete what has
    /// lost its owner; says whether they run. They do not where they were not
    /// built.
    ///
    /// # Errors
    /// Why they cannot be started.
    pub fn start_controllers(&mut self) -> Result<bool, String> {
        if self.controllers.is_some() {
            return Ok(true);
        }
        let Some(program) = self.binaries.controller_manager() else { return Ok(false) };
        let config = self.dir.join("controllers.kubeconfig");
        self.write_kubeconfig(&config, ADMIN)?;
        let mut command = Command::new(program);
        command
            .arg(format!("--kubeconfig={}", config.display()))
            .args(["--leader-elect=false", "--secure-port=0"])
            .arg("--concurrent-namespace-syncs=4");
        if self.options.pods {
            for (flag, name) in [
                ("service-account-private-key-file", "tokens.key"),
                ("root-ca-file", "authority.crt"),
            ] {
                command.arg(format!("--{flag}={}", self.dir.join(name).display()));
            }
        } else {
            command.arg("--controllers=namespace-controller,garbage-collector-controller");
        }
        self.controllers =
            Some(Process::start("kube-controller-manager", &command, &self.dir, None)?);
        Ok(true)
    }

    /// Where it is.
    pub fn url(&self) -> String {
        format!("https://127.0.0.1:{}", self.port)
    }

    /// The token of the user who may do everything.
    pub fn admin(&self) -> &'static str {
        ADMIN
    }

    /// Whether deleted namespaces are emptied and orphans deleted.
    pub fn has_controllers(&self) -> bool {
        self.controllers.is_some()
    }

    /// A client of the user who may do everything.
    ///
    /// # Errors
    /// What `kube` says.
    pub async fn client(&self) -> Result<Client, String> {
        self.client_of(ADMIN).await
    }

    /// A client with that token.
    ///
    /// # Errors
    /// What `kube` says.
    pub async fn client_of(&self, token: &str) -> Result<Client, String> {
        let said = |e: &dyn std::fmt::Display| format!("a client of {}: {e}", self.url());
        let file: Kubeconfig =
            serde_json::from_value(self.kubeconfig(token)).map_err(|e| said(&e))?;
        let config = Config::from_custom_kubeconfig(file, &KubeConfigOptions::default())
            .await
            .map_err(|e| said(&e))?;
        Client::try_from(config).map_err(|e| said(&e))
    }

    fn kubeconfig(&self, token: &str) -> serde_json::Value {
        let authority = base64::engine::general_purpose::STANDARD.encode(&self.authority.pem);
        json!({
            "apiVersion": "v1",
            "kind": "Config",
            "current-context": "envtest",
            "contexts": [{"name": "envtest", "context": {"cluster": "envtest", "user": "user"}}],
            "clusters": [{"name": "envtest", "cluster": {
                "server": self.url(), "certificate-authority-data": authority,
            }}],
            "users": [{"name": "user", "user": {"token": token}}],
        })
    }

    /// Writes a kubeconfig with that token.
    ///
    /// # Errors
    /// What the operating system says.
    pub fn write_kubeconfig(&self, path: &Path, token: &str) -> Result<(), String> {
        // JSON is YAML.
        let text = self.kubeconfig(token).to_string();
        std::fs::write(path, text).map_err(|e| format!("{}: {e}", path.display()))
    }

    /// A token of a ServiceAccount, as a pod gets one; it holds for an hour.
    ///
    /// # Errors
    /// What the API says.
    pub async fn token_of(&self, namespace: &str, name: &str) -> Result<String, String> {
        token(&self.client().await?, namespace, name).await
    }

    /// Where its files are, and those of what belongs to it.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// Where the audit log is.
    pub fn audit_log(&self) -> PathBuf {
        self.dir.join("audit.log")
    }

    /// The audit log from byte `from` on, and where the next entries begin.
    ///
    /// # Errors
    /// What the operating system says; there is none unless [`Options::audit`].
    pub fn audit(&self, from: u64) -> Result<(Vec<Entry>, u64), String> {
        let log = self.audit_log();
        audit::read(&log, from).map_err(|e| format!("{}: {e}", log.display()))
    }
}

/// The server that the tests of one process share, each in namespaces of its
/// own; `None` where there are no programs. It ends with the process.
///
/// # Panics
/// When it does not start.
pub fn shared() -> Option<&'static Server> {
    static SHARED: OnceLock<Option<Server>> = OnceLock::new();
    let start = || {
        let binaries = Binaries::present()?;
        let options = Options { audit: true, controllers: true, pods: false };
        // A runtime of its own: the test that asks first does not own it.
        let started = std::thread::spawn(move || {
            let runtime = tokio::runtime::Runtime::new().map_err(|e| e.to_string())?;
            runtime.block_on(Server::start(&binaries, options))
        });
        match started.join() {
            Ok(Ok(server)) => Some(server),
            Ok(Err(why)) => panic!("{why}"),
            Err(_) => panic!("the API server's thread has panicked"),
        }
    };
    SHARED.get_or_init(start).as_ref()
}

/// A token of a ServiceAccount of any cluster, for an hour.
///
/// # Errors
/// What the API says.
pub async fn token(client: &Client, namespace: &str, name: &str) -> Result<String, String> {
    let accounts: Api<ServiceAccount> = Api::namespaced(client.clone(), namespace);
    let wanted = TokenRequest {
        spec: Some(TokenRequestSpec {
            expiration_seconds: Some(3600),
            ..TokenRequestSpec::default()
        }),
        ..TokenRequest::default()
    };
    let made = accounts
        .create_token_request(name, &PostParams::default(), &wanted)
        .await
        .map_err(|e| format!("a token of ServiceAccount {namespace}/{name}: {e}"))?;
    made.status
        .and_then(|s| s.token)
        .ok_or_else(|| format!("ServiceAccount {namespace}/{name} got no token"))
}

fn free_port() -> Result<u16, String> {
    let listener =
        TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).map_err(|e| format!("a free port: {e}"))?;
    listener.local_addr().map(|a| a.port()).map_err(|e| format!("a free port: {e}"))
}

async fn start_etcd(binaries: &Binaries, dir: &Path) -> Result<(Process, u16), String> {
    let mut last = String::new();
    for _ in 0..TRIES {
        let (port, peers) = (free_port()?, free_port()?);
        let url = format!("http://127.0.0.1:{port}");
        let mut command = Command::new(binaries.etcd());
        command
            .arg(format!("--data-dir={}", dir.join("etcd").display()))
            .arg("--unsafe-no-fsync")
            .arg(format!("--listen-client-urls={url}"))
            .arg(format!("--advertise-client-urls={url}"))
            .arg(format!("--listen-peer-urls=http://127.0.0.1:{peers}"));
        // It ends last, and takes with it what a test that died has left.
        let mut etcd = Process::start("etcd", &command, dir, Some(dir))?;
        let ready = wait("etcd", &mut etcd, || async {
            tokio::net::TcpStream::connect((Ipv4Addr::LOCALHOST, port)).await.is_ok()
        });
        match ready.await {
            Ok(()) => return Ok((etcd, port)),
            Err(why) if why.contains("address already in use") => last = why,
            Err(why) => return Err(why),
        }
    }
    Err(last)
}

/// Asks until the answer is yes, the program has ended, or patience has.
pub(crate) async fn wait<F>(
    what: &str,
    process: &mut Process,
    ask: impl Fn() -> F,
) -> Result<(), String>
where
    F: Future<Output = bool>,
{
    let until = tokio::time::Instant::now() + PATIENCE;
    let mut pause = tokio::time::interval(PAUSE);
    loop {
        pause.tick().await;
        if !process.runs() {
            return Err(format!("{what} has ended; {}", process.last_words()));
        }
        if ask().await {
            return Ok(());
        }
        if tokio::time::Instant::now() > until {
            return Err(format!("{what} does not become ready; {}", process.last_words()));
        }
    }
}
