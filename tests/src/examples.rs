//! The manifests of `examples/`, read from disk as a user has them.

use std::path::{Path, PathBuf};

use kube::core::DynamicObject;
use serde::Deserialize;
use serde_json::Value;

/// The folder `examples/`.
pub fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../examples")
}

/// The text of a file beneath `examples/`.
///
/// # Panics
/// When it is not there.
pub fn text(path: &str) -> String {
    let path = folder().join(path);
    std::fs::read_to_string(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()))
}

/// The objects of a YAML text.
///
/// # Panics
/// When it cannot be read.
pub fn objects(yaml: &str) -> Vec<DynamicObject> {
    serde_yaml::Deserializer::from_str(yaml)
        .map(|document| Value::deserialize(document).expect("the manifest is YAML"))
        .filter(|value| !value.is_null())
        .map(|value| serde_json::from_value(value).expect("the manifest is an object"))
        .collect()
}

/// The files beneath a folder of `examples/`, as paths and texts.
///
/// # Panics
/// When the folder is not there.
pub fn repository(path: &str) -> Vec<(String, String)> {
    let root = folder().join(path);
    let mut files = Vec::new();
    let mut todo = vec![root.clone()];
    while let Some(dir) = todo.pop() {
        for entry in std::fs::read_dir(&dir).unwrap_or_else(|e| panic!("{}: {e}", dir.display())) {
            let entry = entry.expect("the folder can be read").path();
            if entry.is_dir() {
                todo.push(entry);
            } else {
                let name = entry.strip_prefix(&root).expect("it lies beneath the root");
                let text = std::fs::read_to_string(&entry).expect("the file is text");
                files.push((name.display().to_string(), text));
            }
        }
    }
    files.sort();
    files
}
