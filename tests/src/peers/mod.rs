//! Real peers instead of the sandbox's: programs from Debian, with the
//! certificates and passwords that people have in front of theirs. Each is
//! absent where its program is.
//!
//! * [`docker_registry`]: the reference registry.
//! * [`web_server`]: `git http-backend` and files behind lighttpd.
//! * [`access_log`]: what they were asked.
//! * [`front`]: what stands before one and fails as asked.

pub mod access_log;
pub mod docker_registry;
pub mod front;
pub mod web_server;

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};

use supercargo::cli::ControllerArgs;
use supercargo::sandbox::world;

use crate::world::World;
use access_log::{Asked, OWN_AGENT};
use docker_registry::DockerRegistry;
use web_server::WebServer;

/// The user that both let in.
pub const USER: &str = "robot";

/// The user's password.
pub const PASSWORD: &str = "open sesame";

/// A real registry and a real Git host in the place of the sandbox's.
pub struct Peers {
    /// The registry.
    pub registry: DockerRegistry,
    /// The Git host; it serves the repositories of the sandbox's.
    pub web: WebServer,
}

impl Peers {
    /// Starts them beside a world; `None` where one is not installed.
    ///
    /// # Panics
    /// When one does not start.
    pub async fn start(world: &World) -> Option<Self> {
        let registry = DockerRegistry::start(&world.dir).await?;
        let web = WebServer::start(&world.dir, world.git.root()).await?;
        Some(Self { registry, web })
    }

    /// The controllers' settings by which public names lead here.
    pub fn map_names(&self, args: &mut ControllerArgs, world: &World) {
        world::map_names(args, &self.registry.url(), &self.web.url(), &world.dir);
    }
}

/// A Secret of a Project with the login for a repository. `kind` is `image`,
/// `git` or `helm`.
pub fn login(project: &str, name: &str, kind: &str, url: &str) -> String {
    format!(
        "apiVersion: v1\nkind: Secret\nmetadata:\n  name: {name}\n  namespace: {project}\n  labels:\n    kargo.akuity.io/cred-type: {kind}\nstringData:\n  repoURL: {url}\n  username: {USER}\n  password: {PASSWORD}\n"
    )
}

/// A manifest whose subscriptions take any certificate.
pub fn unchecked(manifest: &str) -> String {
    let mut text = String::new();
    for line in manifest.lines() {
        text.push_str(line);
        text.push('\n');
        let word = line.trim_start();
        if word.starts_with("repoURL: ") {
            let indent = line.len() - word.len();
            text.push_str(&format!("{:indent$}insecureSkipTLSVerify: true\n", ""));
        }
    }
    text
}

/// A client for the test's own requests.
fn client() -> Result<reqwest::Client, String> {
    reqwest::Client::builder()
        .tls_danger_accept_invalid_certs(true)
        .no_proxy()
        .user_agent(OWN_AGENT)
        .build()
        .map_err(|e| e.to_string())
}

/// What a peer has logged of others' requests. Logs are written some time after
/// the answer: a request of our own is a mark, and all before it is there once
/// it is.
async fn logged(http: &reqwest::Client, address: &str, log: &Path) -> Vec<Asked> {
    static MARKS: AtomicUsize = AtomicUsize::new(0);
    let mark = format!("/mark-{}-{}", std::process::id(), MARKS.fetch_add(1, Ordering::Relaxed));
    http.get(format!("{address}{mark}")).send().await.expect("the peer answers");
    crate::await_that::answer("the mark in the access log", || {
        let text = std::fs::read(log).unwrap_or_default();
        let text = String::from_utf8_lossy(&text).into_owned();
        std::future::ready(text.contains(&format!("{mark} ")).then(|| access_log::read(&text)))
    })
    .await
}

/// Where a program is; says so where it is not.
pub fn program(name: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let found = std::env::split_paths(&path)
        .chain(["/usr/sbin".into(), "/usr/bin".into()])
        .map(|folder| folder.join(name))
        .find(|file| file.is_file());
    if found.is_none() {
        println!("skipped: {name} is not on this machine; `make test-deps` installs it");
    }
    found
}

/// A port that is free just now.
fn free_port() -> std::io::Result<u16> {
    let listener = std::net::TcpListener::bind((std::net::Ipv4Addr::LOCALHOST, 0))?;
    Ok(listener.local_addr()?.port())
}

/// A folder for a peer with a certificate that nobody trusts.
fn folder(dir: &Path, name: &str) -> Result<PathBuf, String> {
    let folder = dir.join(name);
    std::fs::create_dir_all(&folder).map_err(|e| format!("{}: {e}", folder.display()))?;
    envtest::certificates::write(&folder)?;
    Ok(folder)
}

/// Waits until something listens on the port, or the program has ended.
///
/// # Panics
/// When nothing does in time.
async fn listens(process: &mut envtest::process::Process, port: u16) -> Result<(), String> {
    let listening = crate::await_that::answer("a peer that listens", || {
        let runs = process.runs();
        async move {
            if !runs {
                return Some(false);
            }
            let at = (std::net::Ipv4Addr::LOCALHOST, port);
            tokio::net::TcpStream::connect(at).await.is_ok().then_some(true)
        }
    });
    if listening.await { Ok(()) } else { Err(process.last_words()) }
}
