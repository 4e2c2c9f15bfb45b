//! The promotion engine: what a Promotion's steps are, in which order they
//! run, how they resume, and what they leave behind.
//!
//! * [`argocd`]: Applications, and what their state means.
//! * [`around`]: what happens around each attempt at a step.
//! * [`git_access`]: how steps get at Git; [`git_user`]: who commits.
//! * [`forge_access`]: how steps get at pull requests.
//! * [`engine`]: runs the steps and resumes them.
//! * [`build`], [`inflation`]: a Promotion from a Stage, tasks in place.
//! * [`functions`]: what expressions may call.
//! * [`observe`]: who is told of every attempt at a step.
//! * [`reference`]: the page of a step kind, for users.
//! * [`step`]: what a step is and what the engine hands to it.
//! * [`steps`]: one file a step.
//! * [`workdir`]: the directory a Promotion works in, and paths beneath it.
//!
//! It knows nothing of controllers: the engine runs the same in the
//! controller, in tests and in a rehearsal.

pub mod argocd;
pub mod around;
pub mod build;
pub mod engine;
pub mod error;
pub mod forge_access;
pub mod functions;
pub mod git_access;
pub mod git_user;
pub mod inflation;
pub mod observe;
pub mod reference;
pub mod step;
pub mod steps;
pub mod workdir;
pub mod world;
pub mod yaml;
