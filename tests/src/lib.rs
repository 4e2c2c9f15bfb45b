//! What the end-to-end suites share: a sandbox with the controllers, the
//! examples applied to it, and ways to wait for what should happen.
//!
//! * [`pipeline`]: the running world.
//! * [`examples`]: the manifests of `examples/`.
//! * [`await_that`]: waiting for conditions, never for the clock.
//! * [`controller_process`]: the controllers in a process that can be killed.
//! * [`described`]: what a user sees of an object.

pub mod await_that;
pub mod controller_process;
pub mod described;
pub mod examples;
pub mod pipeline;

pub use pipeline::Pipeline;
