//! `git http-backend` behind lighttpd, over TLS with a login: how people serve
//! repositories without a forge.

use std::path::Path;
use std::process::Command;

use envtest::process::Process;

use super::{PASSWORD, USER};

/// A running web server.
pub struct WebServer {
    port: u16,
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
server.modules = ("mod_alias", "mod_auth", "mod_authn_file", "mod_cgi", "mod_setenv", "mod_openssl")
server.document-root = "{own}"
server.bind = "127.0.0.1"
server.port = {port}
server.errorlog = "{own}/errors.log"
server.upload-dirs = ("{own}")
ssl.engine = "enable"
ssl.pemfile = "{own}/server.crt"
ssl.privkey = "{own}/server.key"
auth.backend = "plain"
auth.backend.plain.userfile = "{own}/passwords"
auth.require = ("" => ("method" => "basic", "realm" => "tests", "require" => "valid-user"))
alias.url = ("/git" => "{backend}/git-http-backend")
cgi.assign = ("" => "")
setenv.add-environment = ("GIT_PROJECT_ROOT" => "{root}", "GIT_HTTP_EXPORT_ALL" => "1")
"#,
            root = repositories.display(),
        );
        let write = |name: &str, text: String| {
            std::fs::write(folder.join(name), text).map_err(|e| format!("{name}: {e}"))
        };
        write("passwords", format!("{USER}:{PASSWORD}\n"))?;
        write("lighttpd.conf", config)?;
        let mut command = Command::new(program);
        command.args(["-D", "-f"]).arg(folder.join("lighttpd.conf"));
        let mut process = Process::start("lighttpd", &command, &folder, None)?;
        super::listens(&mut process, port).await?;
        Ok(Self { port, _process: process })
    }

    /// What stands before a repository's path.
    pub fn url(&self) -> String {
        format!("https://127.0.0.1:{}/git", self.port)
    }
}
