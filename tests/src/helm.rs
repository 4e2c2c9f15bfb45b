//! The `helm` program in tests: from the `PATH`, or built from its Go module
//! by `make helm`. Where there is none, tests that need it say so.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

use serde_json::Value;

/// Where helm is; `None` where it is missing, which is said once.
pub fn program() -> Option<&'static Path> {
    static FOUND: OnceLock<Option<PathBuf>> = OnceLock::new();
    let found = FOUND.get_or_init(|| {
        let built = Path::new(env!("CARGO_MANIFEST_DIR")).join("../target/helm/helm");
        let found = [built, PathBuf::from("helm")]
            .into_iter()
            .find(|p| Command::new(p).arg("version").output().is_ok_and(|o| o.status.success()));
        if found.is_none() {
            let why = "there is no helm; `make helm` builds it where Go is installed";
            crate::skipped::loudly("what needs helm", why);
        }
        found
    });
    found.as_deref()
}

/// The chart rendered with `values`, or why it cannot be; `None` without helm.
pub fn template(chart: &Path, values: &Value) -> Option<Result<String, String>> {
    template_with(chart, values, &[])
}

/// The same with more arguments of `helm template`.
///
/// # Panics
/// When a file cannot be written.
pub fn template_with(
    chart: &Path,
    values: &Value,
    arguments: &[&str],
) -> Option<Result<String, String>> {
    let helm = program()?;
    let folder = tempfile::tempdir().expect("a temporary folder");
    let file = folder.path().join("values.yaml");
    // JSON is YAML.
    std::fs::write(&file, values.to_string()).expect("the values can be written");
    let output = Command::new(helm)
        .args(["template", "supercargo", "--namespace", "kargo", "--values"])
        .arg(&file)
        .arg(chart)
        .args(arguments)
        .output()
        .expect("helm starts");
    Some(if output.status.success() {
        Ok(String::from_utf8_lossy(&output.stdout).into_owned())
    } else {
        Err(String::from_utf8_lossy(&output.stderr).into_owned())
    })
}
