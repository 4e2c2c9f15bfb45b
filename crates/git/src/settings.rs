//! libgit2's process-wide settings: the only place in Supercargo with `unsafe`.
//!
//! They are global variables of libgit2, so they are set once, before the
//! first repository is opened, and never again.

#![allow(unsafe_code)]

use std::path::PathBuf;
use std::sync::OnceLock;
use std::time::Duration;

use git2::{ConfigLevel, opts};

/// What holds for every Git operation of the process.
#[derive(Clone, Debug)]
pub struct ProcessSettings {
    /// How long a connection may take to be made.
    pub connect_timeout: Duration,
    /// How long a server may send nothing in the middle of an exchange.
    pub server_timeout: Duration,
    /// Certificates to trust (PEM), in place of the system's.
    pub ca_file: Option<PathBuf>,
}

impl Default for ProcessSettings {
    fn default() -> Self {
        Self {
            connect_timeout: Duration::from_secs(15),
            server_timeout: Duration::from_secs(30),
            ca_file: None,
        }
    }
}

static APPLIED: OnceLock<Result<(), String>> = OnceLock::new();

fn milliseconds(time: Duration) -> i32 {
    i32::try_from(time.as_millis()).unwrap_or(i32::MAX)
}

/// Applies the settings the first time it is called in the process; later
/// calls change nothing and return the first one's outcome.
///
/// # Errors
/// What libgit2 says, for example about the certificates.
pub(crate) fn apply_once(settings: &ProcessSettings) -> Result<(), String> {
    APPLIED.get_or_init(|| apply(settings).map_err(|e| e.message().to_owned())).clone()
}

fn apply(settings: &ProcessSettings) -> Result<(), git2::Error> {
    // SAFETY: these functions change global variables of libgit2 without a
    // lock. `APPLIED` lets one thread in, once; every way to a repository in
    // this crate leads through `Git::open`, which has called this before.
    unsafe {
        // No file of the machine (~/.gitconfig, /etc/gitconfig) takes part:
        // neither its identities nor its URL rewriting nor its ignore rules.
        for level in
            [ConfigLevel::System, ConfigLevel::Global, ConfigLevel::XDG, ConfigLevel::ProgramData]
        {
            opts::set_search_path(level, "")?;
        }
        // Volumes are often owned by another user than the container's.
        opts::set_verify_owner_validation(false)?;
        opts::set_server_connect_timeout_in_milliseconds(milliseconds(settings.connect_timeout))?;
        opts::set_server_timeout_in_milliseconds(milliseconds(settings.server_timeout))?;
        if let Some(file) = &settings.ca_file {
            opts::set_ssl_cert_file(file.as_path())?;
        }
        git2::transport::register("http", crate::http::transport)?;
        git2::transport::register("https", crate::http::transport)?;
    }
    Ok(())
}
