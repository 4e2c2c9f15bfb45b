//! What the end-to-end suites share: a sandbox with the controllers, the
//! examples applied to it, and ways to wait for what should happen.
//!
//! * [`pipeline`]: the running world.
//! * [`examples`]: the manifests of `examples/`.
//! * [`chart`]: the documents that the Helm chart carries.
//! * [`await_that`]: waiting for conditions, never for the clock.
//! * [`controller_process`]: the controllers in a process that can be killed.
//! * [`helm`]: rendering the chart.
//! * [`described`]: what a user sees of an object.

pub mod await_that;
pub mod chart;
pub mod controller_process;
pub mod described;
pub mod examples;
pub mod helm;
pub mod pipeline;

pub use pipeline::Pipeline;
