//! The program with settings that can or cannot be used, as its processes are
//! started.
#![allow(clippy::unwrap_used)]

use std::process::{Command, Output};

/// `supercargo controller` with these variables and no cluster to go to.
fn start(variables: &[(&str, &str)]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_supercargo"))
        .arg("controller")
        .env_clear()
        .env("KUBECONFIG", "/nonexistent/kubeconfig")
        .envs(variables.iter().copied())
        .output()
        .unwrap()
}

#[test]
fn settings_of_logs_that_cannot_be_used_end_it_with_their_name() {
    // install/I41
    for (name, value) in [("LOG_LEVEL", "foo"), ("LOG_FORMAT", "xml"), ("LOG_LEVEL", "a=b=c")] {
        let output = start(&[(name, value)]);
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(!output.status.success());
        assert!(said.contains(name) && said.contains(value), "{said}");
        assert!(!said.contains("panicked"), "{said}");
    }
}

#[test]
fn settings_of_logs_are_read_without_regard_to_case() {
    // install/I42: what stops it is the cluster, which comes later.
    let output = start(&[("LOG_LEVEL", "DEBUG"), ("LOG_FORMAT", "JSON")]);
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(said.contains("no cluster"), "{said}");
    let output = start(&[("LOG_LEVEL", "info,kube_client=warn"), ("LOG_FORMAT", "Console")]);
    assert!(String::from_utf8_lossy(&output.stderr).contains("no cluster"));
}
