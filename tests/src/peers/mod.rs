//! Real peers instead of the sandbox's: programs from Debian, with the
//! certificates and passwords that people have in front of theirs. Each is
//! absent where its program is.
//!
//! * [`docker_registry`]: the reference registry.
//! * [`web_server`]: `git http-backend` behind lighttpd.

pub mod docker_registry;
pub mod web_server;

use std::path::{Path, PathBuf};

/// The user that both let in.
pub const USER: &str = "robot";

/// The user's password.
pub const PASSWORD: &str = "open sesame";

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
