//! The audit log: one line for each request, with who asked, what for, and the
//! answer's code.

use std::io::{BufRead, BufReader, Seek, SeekFrom};
use std::path::Path;

use serde_json::Value;

/// What the server is told to write down: every request once, when it is
/// answered; watches when they begin.
pub const POLICY: &str = "\
apiVersion: audit.k8s.io/v1
kind: Policy
omitStages: [RequestReceived]
rules:
- level: None
  nonResourceURLs: ['/readyz*', '/livez*', '/healthz*', '/openapi*', '/version*']
- level: None
  users: ['system:apiserver']
- level: Metadata
";

/// One request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Who asked, for example `system:serviceaccount:kargo:supercargo`.
    pub user: String,
    /// `get`, `list`, `watch`, `create`, `update`, `patch`, `delete` or
    /// `deletecollection`.
    pub verb: String,
    /// The API group; empty for the core group.
    pub group: String,
    /// The resource with its subresource, for example `stages/status`; the
    /// path where it is none.
    pub resource: String,
    /// The namespace, or empty.
    pub namespace: String,
    /// The name, or empty.
    pub name: String,
    /// The answer's HTTP code.
    pub code: u64,
    /// The answer's message, where it was refused.
    pub message: String,
}

/// The entries from byte `from` on, and where the next ones begin.
///
/// # Errors
/// What the operating system says about the file.
pub fn read(log: &Path, from: u64) -> std::io::Result<(Vec<Entry>, u64)> {
    let mut file = std::fs::File::open(log)?;
    file.seek(SeekFrom::Start(from))?;
    let mut reader = BufReader::new(file);
    let (mut entries, mut at) = (Vec::new(), from);
    let mut line = String::new();
    loop {
        line.clear();
        let length = reader.read_line(&mut line)?;
        // A line that is still being written is left for the next time.
        if length == 0 || !line.ends_with('\n') {
            return Ok((entries, at));
        }
        at += length as u64;
        if let Some(entry) = serde_json::from_str(&line).ok().and_then(|v| entry(&v)) {
            entries.push(entry);
        }
    }
}

fn entry(value: &Value) -> Option<Entry> {
    let text = |pointer: &str| {
        value.pointer(pointer).and_then(Value::as_str).unwrap_or_default().to_owned()
    };
    let verb = text("/verb");
    // A watch is written down when it begins and again when it ends.
    if verb == "watch" && text("/stage") == "ResponseComplete" {
        return None;
    }
    let subresource = text("/objectRef/subresource");
    let resource = match text("/objectRef/resource") {
        none if none.is_empty() => text("/requestURI"),
        resource if subresource.is_empty() => resource,
        resource => format!("{resource}/{subresource}"),
    };
    Some(Entry {
        user: text("/user/username"),
        verb,
        group: text("/objectRef/apiGroup"),
        resource,
        namespace: text("/objectRef/namespace"),
        name: text("/objectRef/name"),
        code: value.pointer("/responseStatus/code").and_then(Value::as_u64).unwrap_or_default(),
        message: text("/responseStatus/message"),
    })
}
