//! A running Gitea: a store of its own, one administrator, on loopback. It
//! refuses to run as root and is given nobody's rights there.

use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use envtest::process::Process;
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use crate::Program;

/// The administrator.
pub const ADMIN: &str = "keeper";

/// Everybody's password.
const PASSWORD: &str = "open-sesame-1";

/// As whom it runs where the tests run as root: nobody.
const NOBODY: &str = "65534";

/// How long it may take to answer for the first time.
const PATIENCE: Duration = Duration::from_secs(60);

/// A running Gitea; it ends when it is dropped, and with the process.
pub struct Gitea {
    url: String,
    admin: String,
    http: reqwest::Client,
    _process: Process,
    _dir: tempfile::TempDir,
}

/// What it has answered.
#[derive(Clone, Debug)]
pub struct Answer {
    /// The status.
    pub status: StatusCode,
    /// The body, as JSON where it is, else as a text.
    pub body: Value,
}

impl Gitea {
    /// The one that the tests of one process share, each with repositories of
    /// its own; `None` where it was not built.
    ///
    /// # Panics
    /// When it does not start.
    pub fn shared() -> Option<&'static Self> {
        static SHARED: OnceLock<Option<Gitea>> = OnceLock::new();
        let start = || {
            Program::Gitea.present()?;
            // A runtime of its own: the test that asks first does not own it.
            let started = std::thread::spawn(|| {
                let runtime = tokio::runtime::Runtime::new().map_err(|e| e.to_string())?;
                runtime.block_on(Self::start())
            });
            match started.join() {
                Ok(Ok(gitea)) => Some(gitea),
                Ok(Err(why)) => panic!("Gitea: {why}"),
                Err(_) => panic!("Gitea's thread has panicked"),
            }
        };
        SHARED.get_or_init(start).as_ref()
    }

    /// Starts one and waits until it answers.
    ///
    /// # Errors
    /// Why it does not, with its last words.
    pub async fn start() -> Result<Self, String> {
        let built = Program::Gitea.present().ok_or("it was not built: run `make peers`")?;
        let dir = tempfile::Builder::new().prefix("gitea-").tempdir();
        let dir = dir.map_err(|e| format!("a temporary directory: {e}"))?;
        let folder = dir.path();
        let steward = Steward::of(&built, folder)?;
        let port = crate::free_port()?;
        let url = format!("http://127.0.0.1:{port}");
        let config = configuration(&steward, port);
        std::fs::write(folder.join("app.ini"), config).map_err(|e| format!("app.ini: {e}"))?;
        steward.own(folder)?;
        steward.say(&["migrate"])?;
        let email = format!("{ADMIN}@localhost.localdomain");
        let said = steward.say(&[
            "admin",
            "user",
            "create",
            "--admin",
            "--username",
            ADMIN,
            "--password",
            PASSWORD,
            "--email",
            &email,
            "--must-change-password=false",
            "--access-token",
            "--access-token-name=tests",
            "--access-token-scopes=all",
        ])?;
        let admin = token_in(&said).ok_or_else(|| format!("it gave no token: {said}"))?;
        let mut process =
            Process::start("gitea", &steward.command(&["web"]), folder, Some(folder))?;
        let _ = rustls::crypto::ring::default_provider().install_default();
        let http = reqwest::Client::builder()
            .no_proxy()
            // Each test has a runtime of its own, and its connections end with it.
            .pool_max_idle_per_host(0)
            .build()
            .map_err(|e| e.to_string())?;
        let version = format!("{url}/api/v1/version");
        let until = tokio::time::Instant::now() + PATIENCE;
        let mut pause = tokio::time::interval(Duration::from_millis(20));
        loop {
            pause.tick().await;
            if !process.runs() {
                return Err(format!("it has ended; {}", process.last_words()));
            }
            if http.get(&version).send().await.is_ok_and(|a| a.status().is_success()) {
                break;
            }
            if tokio::time::Instant::now() > until {
                return Err(format!("it does not answer; {}", process.last_words()));
            }
        }
        Ok(Self { url, admin, http, _process: process, _dir: dir })
    }

    /// Its address, without a `/` at the end.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// The administrator's token.
    pub fn admin(&self) -> &str {
        &self.admin
    }

    /// Asks the API as the holder of a token; `path` is below `/api/v1/`.
    ///
    /// # Panics
    /// When it does not answer.
    pub async fn ask(&self, token: &str, method: Method, path: &str, body: &Value) -> Answer {
        let request = self.request(method, path, body);
        answered(request.header("authorization", format!("token {token}"))).await
    }

    fn request(&self, method: Method, path: &str, body: &Value) -> reqwest::RequestBuilder {
        let request = self.http.request(method, format!("{}/api/v1/{path}", self.url));
        if body.is_null() { request } else { request.json(body) }
    }

    /// The same as the administrator, who succeeds.
    ///
    /// # Panics
    /// When the administrator does not.
    pub async fn done(&self, method: Method, path: &str, body: &Value) -> Value {
        let shown = format!("{method} {path}");
        let answer = self.ask(&self.admin, method, path, body).await;
        assert!(answer.status.is_success(), "{shown}: {} {}", answer.status, answer.body);
        answer.body
    }

    /// Reads as the administrator.
    ///
    /// # Panics
    /// When there is nothing of that path.
    pub async fn get(&self, path: &str) -> Value {
        self.done(Method::GET, path, &Value::Null).await
    }

    /// Makes a user of a name that nobody has, and returns it.
    ///
    /// # Panics
    /// When it is refused.
    pub async fn user(&self, prefix: &str) -> String {
        let name = unused(prefix);
        let user = json!({
            "username": name, "password": PASSWORD, "email": format!("{name}@localhost.localdomain"),
            "must_change_password": false,
        });
        self.done(Method::POST, "admin/users", &user).await;
        name
    }

    /// A token of a user, for these scopes: `all`, `read:repository`, ….
    ///
    /// # Panics
    /// When it is refused.
    pub async fn token(&self, user: &str, scopes: &[&str]) -> String {
        let wanted = json!({"name": unused("token"), "scopes": scopes});
        let request = self.request(Method::POST, &format!("users/{user}/tokens"), &wanted);
        let answer = answered(request.basic_auth(user, Some(PASSWORD))).await;
        let token = answer.body["sha1"].as_str();
        token.unwrap_or_else(|| panic!("no token of {user}: {answer:?}")).to_owned()
    }
}

async fn answered(request: reqwest::RequestBuilder) -> Answer {
    let response = request.send().await.expect("Gitea answers");
    let status = response.status();
    let text = response.text().await.expect("Gitea answers to the end");
    let body = serde_json::from_str(&text).unwrap_or(Value::String(text));
    Answer { status, body }
}

/// A name that nothing at this process's Gitea has.
pub fn unused(prefix: &str) -> String {
    static NAMES: AtomicUsize = AtomicUsize::new(0);
    format!("{prefix}-{}", NAMES.fetch_add(1, Ordering::Relaxed))
}

/// The token in what the making of a user prints: forty digits.
fn token_in(said: &str) -> Option<String> {
    let is_token = |w: &&str| w.len() == 40 && w.bytes().all(|b| b.is_ascii_hexdigit());
    said.split_whitespace().rfind(is_token).map(str::to_owned)
}

/// How its program is run: with which files, and with whose rights.
struct Steward {
    program: PathBuf,
    files: PathBuf,
    folder: PathBuf,
    /// Whether rights are to be given up first.
    is_root: bool,
}

impl Steward {
    fn of(built: &Path, folder: &Path) -> Result<Self, String> {
        let output = Command::new("id").arg("-u").output().map_err(|e| format!("id: {e}"))?;
        let is_root = output.stdout.trim_ascii() == b"0";
        let (mut program, mut files) = (built.join("gitea"), built.join("static"));
        if is_root && !is_open(built) {
            // Nobody cannot get there, and can here.
            for name in ["gitea", "static"] {
                let copied =
                    Command::new("cp").arg("-r").arg(built.join(name)).arg(folder).status();
                if !copied.is_ok_and(|s| s.success()) {
                    return Err(format!("{name} cannot be copied to {}", folder.display()));
                }
            }
            (program, files) = (folder.join("gitea"), folder.join("static"));
        }
        Ok(Self { program, files, folder: folder.to_owned(), is_root })
    }

    /// Gives a folder to the user that it runs as.
    fn own(&self, folder: &Path) -> Result<(), String> {
        if !self.is_root {
            return Ok(());
        }
        let mut chown = Command::new("chown");
        chown.args(["-R", &format!("{NOBODY}:{NOBODY}")]).arg(folder);
        match chown.status() {
            Ok(status) if status.success() => Ok(()),
            other => Err(format!("chown of {}: {other:?}", folder.display())),
        }
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = if self.is_root {
            let mut command = Command::new("setpriv");
            command.args(["--reuid", NOBODY, "--regid", NOBODY, "--clear-groups"]);
            command.arg(&self.program);
            command
        } else {
            Command::new(&self.program)
        };
        command.arg("--config").arg(self.folder.join("app.ini")).args(arguments);
        command
            .env("HOME", &self.folder)
            .env("GITEA_WORK_DIR", &self.folder)
            .env_remove("USER")
            .env_remove("XDG_CONFIG_HOME");
        command
    }

    /// Runs it to its end, and returns what it printed.
    fn say(&self, arguments: &[&str]) -> Result<String, String> {
        let output = self.command(arguments).current_dir(&self.folder).output();
        let output = output.map_err(|e| format!("{}: {e}", self.program.display()))?;
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        if output.status.success() {
            return Ok(text(&output.stdout));
        }
        let (out, err) = (text(&output.stdout), text(&output.stderr));
        Err(format!("gitea {}: {}: {out}{err}", arguments.join(" "), output.status))
    }
}

/// Whether others than the owner may go through all folders to this one.
fn is_open(folder: &Path) -> bool {
    use std::os::unix::fs::PermissionsExt;
    let open = |path: &Path| path.metadata().is_ok_and(|m| m.permissions().mode() & 0o005 == 0o005);
    folder.canonicalize().is_ok_and(|path| path.ancestors().all(open))
}

fn configuration(steward: &Steward, port: u16) -> String {
    let (folder, files) = (steward.folder.display(), steward.files.display());
    format!(
        "APP_NAME = tests
RUN_MODE = prod
WORK_PATH = {folder}

[server]
PROTOCOL = http
HTTP_ADDR = {host}
HTTP_PORT = {port}
ROOT_URL = http://{host}:{port}/
STATIC_ROOT_PATH = {files}
DISABLE_SSH = true
OFFLINE_MODE = true
LFS_START_SERVER = false

[database]
DB_TYPE = sqlite3
PATH = {folder}/gitea.db
SQLITE_JOURNAL_MODE = WAL

[security]
INSTALL_LOCK = true
MIN_PASSWORD_LENGTH = 6

[service]
DISABLE_REGISTRATION = true

[repository]
DEFAULT_BRANCH = main

[indexer]
ISSUE_INDEXER_TYPE = db

[log]
MODE = console
LEVEL = Warn

[actions]
ENABLED = false

[cron]
ENABLED = false

[session]
PROVIDER = memory
",
        host = Ipv4Addr::LOCALHOST,
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_found_among_words() {
        let token = "0123456789abcdef0123456789abcdef01234567";
        let said = format!("New user 'a' has been made\nAccess token was made: {token}\n");
        assert_eq!(token_in(&said).as_deref(), Some(token));
        assert_eq!(token_in("nothing of that kind"), None);
    }
}
