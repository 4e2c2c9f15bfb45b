//! What people have around the controllers, as it is: a Gitea and an Argo CD,
//! built from their public Go modules, on loopback.
//!
//! * [`program`]: how they are built, and where they are then.
//! * [`gitea`]: a running Gitea; [`repository`]: one of its repositories.
//! * [`argocd`]: a running Argo CD beside an API server.

pub mod argocd;
pub mod gitea;
pub mod program;
pub mod repository;

pub use argocd::ArgoCd;
pub use gitea::Gitea;
pub use program::Program;
pub use repository::Repository;

/// A port that is free just now.
fn free_port() -> Result<u16, String> {
    let listener = std::net::TcpListener::bind((std::net::Ipv4Addr::LOCALHOST, 0));
    let address = listener.and_then(|l| l.local_addr()).map_err(|e| format!("a free port: {e}"))?;
    Ok(address.port())
}
