//! The controllers in a process of their own, which can be killed, and which
//! kills itself where it is told to.

use std::process::{Child, Command, Stdio};

use crate::Pipeline;

/// Where a process is to die: before or after a step of a kind does its work.
#[derive(Clone, Copy, Debug)]
pub struct Death {
    /// The kind of step.
    pub kind: &'static str,
    /// Whether the step has done its work by then.
    pub after: bool,
}

/// A running process; it is killed when dropped.
pub struct ControllerProcess {
    child: Child,
}

impl Drop for ControllerProcess {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl ControllerProcess {
    /// Starts the controllers against the sandbox. `binary` is
    /// `env!("CARGO_BIN_EXE_controller-under-test")`.
    ///
    /// # Panics
    /// When the process cannot be started.
    pub fn start(binary: &str, pipeline: &Pipeline, death: Option<Death>) -> Self {
        let mirrors: Vec<String> = pipeline
            .args
            .registry_mirrors
            .iter()
            .map(|m| format!("{}={}", m.host, m.url))
            .collect();
        let rewrites: Vec<String> = pipeline
            .args
            .git_instead_of
            .iter()
            .map(|r| format!("{}={}", r.prefix, r.replacement))
            .collect();
        let mut command = Command::new(binary);
        command
            .env_clear()
            .env("PATH", std::env::var_os("PATH").unwrap_or_default())
            .env("KUBECONFIG", pipeline.world.kubeconfig())
            .env("SUPERCARGO_REGISTRY_MIRRORS", mirrors.join(","))
            .env("SUPERCARGO_GIT_INSTEAD_OF", rewrites.join(","))
            .env("SUPERCARGO_DATA_DIR", pipeline.world.dir.join("process"))
            .env("LOG_LEVEL", std::env::var("E2E_LOG").unwrap_or_else(|_| "error".to_owned()))
            .stdin(Stdio::null());
        if let Some(death) = death {
            let when = if death.after { "after" } else { "before" };
            command.env("DIE_AT", format!("{when}:{}", death.kind));
        }
        Self { child: command.spawn().expect("the controllers' process starts") }
    }

    /// Its process id.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Kills it with SIGKILL.
    ///
    /// # Panics
    /// When it cannot be killed.
    pub fn kill(mut self) {
        self.child.kill().expect("the process can be killed");
        self.child.wait().expect("the process ends");
    }

    /// Waits until it died by the death it was told to die; returns the signal.
    ///
    /// # Panics
    /// When it does not die.
    pub async fn died(mut self) -> Option<i32> {
        use std::os::unix::process::ExitStatusExt;
        let status = crate::await_that::answer("the controllers' death", || {
            std::future::ready(self.child.try_wait().expect("the process can be waited for"))
        })
        .await;
        status.signal()
    }
}
