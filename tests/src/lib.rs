//! What the end-to-end suites share: a world with the controllers, the
//! examples applied to it, and ways to wait for what should happen.
//!
//! * [`pipeline`]: the running world.
//! * [`backend`]: which Kubernetes API it has; [`cluster`]: that API, made
//!   ready; [`leftovers`]: what an earlier test left in it.
//! * [`world`]: all that surrounds the controllers.
//! * [`examples`]: the manifests of `examples/`.
//! * [`chart`]: the documents that the Helm chart carries.
//! * [`release`]: a Stage with one of each outside effect.
//! * [`rights`]: what the controllers may do, and what of it they use.
//! * [`peers`]: a real registry and a real web server, and what stands before
//!   a peer; the crate of that name has a real Gitea and a real Argo CD.
//! * [`reviewed`]: a Stage that goes through pull requests at that Gitea.
//! * [`parts`]: the Warehouses of the examples, with the sandbox's registry and
//!   Git host or with real ones.
//! * [`await_that`]: waiting for conditions, never for the clock.
//! * [`controller_process`]: the controllers in a process that can be killed.
//! * [`helm`]: rendering the chart; [`installation`]: installing it.
//! * [`fleet`]: several Stages that write to one branch.
//! * [`ships`]: Stages that only ask that Argo CD to sync.
//! * [`skipped`]: saying that a test was passed over.
//! * [`unreliable`]: a way to the Kubernetes API that fails as asked.
//! * [`deployed`]: a pipeline beside a real Argo CD; [`promptness`]: how soon a
//!   Promotion ends after what Argo CD wrote last.
//! * [`described`]: what a user sees of an object.

pub mod await_that;
pub mod backend;
pub mod chart;
pub mod cluster;
pub mod controller_process;
pub mod deployed;
pub mod described;
pub mod examples;
pub mod fleet;
pub mod held;
pub mod helm;
pub mod installation;
pub mod leftovers;
pub mod parts;
pub mod peers;
pub mod pipeline;
pub mod promptness;
pub mod release;
pub mod reviewed;
pub mod rights;
pub mod ships;
pub mod skipped;
pub mod unreliable;
pub mod world;

pub use backend::Backend;
pub use pipeline::Pipeline;
