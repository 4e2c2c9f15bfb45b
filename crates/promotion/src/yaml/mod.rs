//! YAML as people write it: read with its places in the file, changed by
//! bytes, never written anew.
//!
//! * [`document`]: parser events turned into nodes with byte ranges.
//! * [`key_path`]: the keys that address a value.
//! * [`scalar`]: how a scalar's text is read and written.
//! * [`edit`]: replaces values and nothing else.
//! * [`value`]: a document as data, as `yaml-parse` sees it.

pub mod document;
pub mod edit;
pub mod key_path;
pub mod scalar;
pub mod value;
