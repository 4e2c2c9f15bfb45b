//! The promotion engine: what a Promotion's steps are, in which order they
//! run, how they resume, and what they leave behind.
//!
//! * [`step`]: what a step is and what the engine hands to it.
//! * [`steps`]: one file a step.
//! * [`workdir`]: the directory a Promotion works in, and paths beneath it.
//!
//! It knows nothing of controllers: the engine runs the same in the
//! controller, in tests and in a rehearsal.

pub mod error;
pub mod step;
pub mod steps;
pub mod workdir;
pub mod world;
pub mod yaml;
