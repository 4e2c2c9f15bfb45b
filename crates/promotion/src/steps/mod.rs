//! The step kinds, one file each. A file's doc comment is the user's
//! reference: what the step does, its config, outputs, errors, an example.

pub mod yaml_update;
