//! The reference page of a step kind, made of what its file says about it
//! and of the JSON Schema that its config is checked against.
//!
//! A step's file begins with its reference as a doc comment:
//!
//! ```text
//! //! `my-step`: what it does, in one sentence.
//! //!
//! //! What else there is to know.
//! //!
//! //! # Config
//! //!
//! //! | field | default | meaning |
//! //! |---|---|---|
//! //! | `path` | | the file, beneath the working directory |
//! //! | `items[].name`, `.value` | | both belong to one item |
//! //!
//! //! # Output
//! //!
//! //! `commit`: the id of the new commit.
//! //!
//! //! # Errors
//! //!
//! //! A file that is not there.
//! //!
//! //! # Example
//! //!
//! //! ```yaml
//! //! - uses: my-step
//! //!   config:
//! //!     path: ./src
//! //! ```
//! ```
//!
//! The page takes the text over, but for the config table: its fields, types
//! and what is required come from the schema, so a page cannot name a field
//! that does not exist, nor forget one that does. `make docs` writes the
//! pages; a test says when they are behind, and runs their examples.

mod fields;
mod page;
mod source;

pub use fields::{Field, fields};
pub use page::{examples, index, page};
pub use source::{doc_comment, file_of};
