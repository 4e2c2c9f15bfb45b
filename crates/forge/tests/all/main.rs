//! Every provider against a fake of its published API: a server on loopback
//! that refuses any method, path, parameter, header or field that the API
//! does not know, and answers in the API's shapes.

mod fake;
mod faults;
mod github_merge;
mod merging;
mod requests;
