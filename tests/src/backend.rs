//! Which Kubernetes API the suite runs on. `E2E_BACKEND` says it:
//!
//! * `sandbox`, or nothing: the embedded one, in the test's process;
//! * `envtest`: a real API server with its store, a pair for each test;
//! * `cluster`: the one that `KUBECONFIG` names, for instance kind. The tests
//!   take turns there and remove what they made.
//!
//! On the last two, the controllers have the token of a ServiceAccount and the
//! rights of `tests/rbac.yaml`, no more.

/// A Kubernetes API to run on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Backend {
    /// The embedded one.
    Sandbox,
    /// A real API server of the test's own.
    Envtest,
    /// The cluster that `KUBECONFIG` names.
    Cluster,
}

impl Backend {
    /// The one that `E2E_BACKEND` names.
    ///
    /// # Panics
    /// When it names none of them.
    pub fn chosen() -> Self {
        match std::env::var("E2E_BACKEND").as_deref() {
            Err(_) | Ok("" | "sandbox") => Self::Sandbox,
            Ok("envtest") => Self::Envtest,
            Ok("cluster") => Self::Cluster,
            Ok(other) => panic!("E2E_BACKEND={other}: write sandbox, envtest or cluster"),
        }
    }

    /// Whether this is the embedded one. Says that a test is passed over where
    /// it is not.
    pub fn is_sandbox_for(self, test: &str) -> bool {
        if self != Self::Sandbox {
            println!("skipped on {self:?}: {test} needs what only the sandbox has");
        }
        self == Self::Sandbox
    }
}
