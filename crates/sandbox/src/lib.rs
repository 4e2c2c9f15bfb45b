//! The embedded default: an in-memory Kubernetes API, an OCI registry, a git host and a simulated Argo CD on loopback.
pub mod argocd;
pub mod git_host;
pub mod kubernetes;
pub mod registry;
pub mod tls;
