//! Which Kubernetes API the suite runs on. `E2E_BACKEND` says it:
//!
//! * `sandbox`, or nothing: the embedded one, in the test's process;
//! * `envtest`: a real API server with its store, a pair for each test;
//! * `cluster`: the one that `KUBECONFIG` names, for instance kind. The tests
//!   take turns there and remove what they made;
//! * `pods`: the same, where the controllers are the pods of the chart, with
//!   their own ServiceAccounts. `E2E_ADDRESS` is where they reach this machine
//!   (`make e2e-node`, `make e2e-kind`).
//!
//! On the two in the middle, the controllers run in the test's process with the
//! token of the chart's ServiceAccount and the rights of its roles, no more.

/// A Kubernetes API to run on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Backend {
    /// The embedded one.
    Sandbox,
    /// A real API server of the test's own.
    Envtest,
    /// The cluster that `KUBECONFIG` names.
    Cluster,
    /// That cluster, with the chart's pods for controllers.
    Pods,
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
            Ok("pods") => Self::Pods,
            Ok(other) => panic!("E2E_BACKEND={other}: write sandbox, envtest, cluster or pods"),
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
