//! A real Kubernetes for the tests: `etcd`, `kube-apiserver` and, where it was
//! built, `kube-controller-manager`, on loopback with certificates of their
//! own. RBAC is on, so that what runs against it needs the rights it claims to
//! need. There is no node unless one is asked for, so nothing that pods would
//! do happens.
//!
//! * [`binaries`]: where the programs are, and how they are built.
//! * [`server`]: a running API server.
//! * [`node`]: a node beside it, where pods really run.
//! * [`certificates`]: what it presents, and what signs tokens.
//! * [`process`]: programs that end with the test, whatever happens to it.
//! * [`audit`]: who asked it for what, and with which answer.

pub mod audit;
pub mod binaries;
pub mod certificates;
pub mod node;
pub mod process;
pub mod server;

pub use binaries::Binaries;
pub use node::Node;
pub use server::{Options, Server};
