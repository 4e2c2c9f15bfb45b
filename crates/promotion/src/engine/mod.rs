//! The engine: runs a Promotion's steps, resumes them, and says how it ended
//! (`promotions` 7).
//!
//! What is to be done is decided by pure functions over values: [`plan`]
//! (where to resume), [`skip`], [`completion`], [`final_phase`], [`outputs`].
//! [`run`] is the shell around them.

mod applications;
pub mod bounds;
pub mod completion;
#[cfg(test)]
mod crash_tests;
pub mod environment;
#[cfg(test)]
mod fault_tests;
pub mod final_phase;
pub mod full_disk;
pub mod intents;
pub mod journal;
pub mod outputs;
mod pass;
pub mod plan;
pub mod record;
pub mod run;
pub mod schema;
pub mod scope;
#[cfg(test)]
mod scope_tests;
#[cfg(test)]
mod secret_tests;
pub mod skip;
pub mod status_functions;
#[cfg(test)]
mod tests;
pub mod times;

pub use pass::limits;
pub use record::{RecordError, Recorder};
pub use run::{Engine, Interruption, Outcome, Run, SHOW_AFTER, alias_of};
pub use scope::{Functions, NoFunctions};
