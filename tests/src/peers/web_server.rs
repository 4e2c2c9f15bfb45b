//! `git http-backend` and files behind lighttpd, over TLS with a login: how
//! people serve repositories without a forge, and charts without a registry.

use std::path::{Path, PathBuf};
use std::process::Command;

use envtest::process::Process;

use super::access_log::Asked;
use super::{PASSWORD, USER};

/// A running web server.
pub struct WebServer {
    port: u16,
    http: reqwest::Client,
    folder: PathBuf,
    _process: Process,
}

impl WebServer {
    /// Starts one that serves the bare repositories beneath `repositories`;
    /// its own files are beneath `dir`. `None` where lighttpd or its TLS
    /// module is not installed.
    ///
    /// # Panics
    /// When it does not start.
    pub async fn start(dir: &Path, repositories: &Path) -> Option<Self> {
        let program = super::program("lighttpd")?;
        if !Path::new("/usr/lib/lighttpd/mod_openssl.so").is_file() {
            println!("skipped: lighttpd has no mod_openssl; `make test-deps` installs it");
            return None;
        }
        let started = Self::run(&program, dir, repositories).await;
        Some(started.unwrap_or_else(|e| panic!("lighttpd: {e}")))
    }

    async fn run(program: &Path, dir: &Path, repositories: &Path) -> Result<Self, String> {
        let folder = super::folder(dir, "web-server")?;
        let port = super::free_port().map_err(|e| e.to_string())?;
        let backend = Command::new("git").arg("--exec-path").output().map_err(|e| e.to_string())?;
        let backend = String::from_utf8_lossy(&backend.stdout).trim().to_owned();
        let own = folder.display();
        let config = format!(
            r#"
server.modules = ("mod_alias", "mod_auth", "mod_authn_file", "mod_cgi", "mod_setenv", "mod_accesslog", "mod_openssl")
server.document-root = "{own}"
server.bind = "127.0.0.1"
server.port = {port}
server.errorlog = "{own}/errors.log"
accesslog.filename = "{own}/access.log"
server.upload-dirs = ("{own}")
ssl.engine = "enable"
ssl.pemfile = "{own}/server.crt"
ssl.privkey = "{own}/server.key"
auth.backend = "plain"
auth.backend.plain.userfile = "{own}/passwords"
auth.require = ("" => ("method" => "basic", "realm" => "tests", "require" => "valid-user"))
alias.url = ("/git" => "{backend}/git-http-backend", "/files" => "{own}/files")
$HTTP["url"] !~ "^/files/" {{
    cgi.assign = ("" => "")
}}
setenv.add-environment = ("GIT_PROJECT_ROOT" => "{root}", "GIT_HTTP_EXPORT_ALL" => "1")
"#,
            root = repositories.display(),
        );
        let write = |name: &str, text: String| {
            std::fs::write(folder.join(name), text).map_err(|e| format!("{name}: {e}"))
        };
        std::fs::create_dir_all(folder.join("files")).map_err(|e| format!("files: {e}"))?;
        write("passwords", format!("{USER}:{PASSWORD}\n"))?;
        write("lighttpd.conf", config)?;
        let mut command = Command::new(program);
        command.args(["-D", "-f"]).arg(folder.join("lighttpd.conf"));
        let mut process = Process::start("lighttpd", &command, &folder, None)?;
        super::listens(&mut process, port).await?;
        let http = super::client()?;
        Ok(Self { port, http, folder, _process: process })
    }

    /// What stands before a repository's path.
    pub fn url(&self) -> String {
        format!("{}/git", self.address())
    }

    /// What stands before a file's path.
    pub fn files_url(&self) -> String {
        format!("{}/files", self.address())
    }

    fn address(&self) -> String {
        format!("https://127.0.0.1:{}", self.port)
    }

    /// Puts a file beneath [`WebServer::files_url`].
    ///
    /// # Panics
    /// When it cannot be written.
    pub fn write(&self, path: &str, text: &str) {
        let path = self.folder.join("files").join(path);
        let parent = path.parent().expect("a file lies in a folder");
        std::fs::create_dir_all(parent).expect("the folder can be made");
        std::fs::write(&path, text).expect("the file can be written");
    }

    /// What others than the test have asked of it, oldest first.
    ///
    /// # Panics
    /// When it does not answer, or its log cannot be read.
    pub async fn asked(&self) -> Vec<Asked> {
        super::logged(&self.http, &self.address(), &self.folder.join("access.log")).await
    }
}
