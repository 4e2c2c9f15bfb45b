//! The controllers in a process of their own, which can be killed, and which
//! kills itself where it is told to.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use crate::Pipeline;

/// Where a process is to die.
#[derive(Clone, Copy, Debug)]
pub struct Death {
    /// The kind of step, or its alias.
    pub step: &'static str,
    /// How far it has got.
    pub when: When,
}

/// How far a step has got.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum When {
    /// It is about to begin.
    Before,
    /// It has recorded what it is about to do, and has not done it.
    Recorded,
    /// It has done its work, and nobody has heard of it.
    After,
}

impl Death {
    /// Before the step begins.
    pub fn before(step: &'static str) -> Self {
        Self { step, when: When::Before }
    }

    /// After the step's record and before its act.
    pub fn recorded(step: &'static str) -> Self {
        Self { step, when: When::Recorded }
    }

    /// After the step.
    pub fn after(step: &'static str) -> Self {
        Self { step, when: When::After }
    }
}

/// A running process; it is killed when dropped.
pub struct ControllerProcess {
    child: Child,
    log: Option<PathBuf>,
}

impl Drop for ControllerProcess {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl ControllerProcess {
    /// Starts the controllers against the world. `binary` is
    /// `env!("CARGO_BIN_EXE_controller-under-test")`.
    ///
    /// # Panics
    /// When the process cannot be started.
    pub fn start(binary: &str, pipeline: &Pipeline, death: Option<Death>) -> Self {
        Self::spawn(Self::command(binary, pipeline, death), None)
    }

    /// As [`ControllerProcess::start`], as one of several replicas of which one
    /// acts, with a disk of its own.
    ///
    /// # Panics
    /// When the process cannot be started.
    pub fn replica(binary: &str, pipeline: &Pipeline, name: &str, death: Option<Death>) -> Self {
        Self::spawn(Self::as_replica(binary, pipeline, name, death), None)
    }

    fn as_replica(binary: &str, pipeline: &Pipeline, name: &str, death: Option<Death>) -> Command {
        let mut command = Self::command(binary, pipeline, death);
        command
            .env("SUPERCARGO_LEADER_ELECTION", "true")
            .env("POD_NAME", name)
            .env("SUPERCARGO_DATA_DIR", pipeline.world.dir.join(name));
        command
    }

    /// As [`ControllerProcess::start`], with another way to the Kubernetes API.
    ///
    /// # Panics
    /// When the process cannot be started.
    pub fn through(binary: &str, pipeline: &Pipeline, kubeconfig: &Path) -> Self {
        let mut command = Self::command(binary, pipeline, None);
        command.env("KUBECONFIG", kubeconfig);
        Self::spawn(command, None)
    }

    /// As [`ControllerProcess::replica`], with another way to the Kubernetes API.
    ///
    /// # Panics
    /// When the process cannot be started.
    pub fn replica_through(
        binary: &str,
        pipeline: &Pipeline,
        name: &str,
        kubeconfig: &Path,
    ) -> Self {
        let mut command = Self::as_replica(binary, pipeline, name, None);
        command.env("KUBECONFIG", kubeconfig);
        Self::spawn(command, None)
    }

    /// As [`ControllerProcess::replica`], on a machine whose clock is that far
    /// from the others'; `None` where `libfaketime` is not installed.
    ///
    /// # Panics
    /// When the process cannot be started.
    pub fn replica_with_clock(
        binary: &str,
        pipeline: &Pipeline,
        name: &str,
        offset: &str,
    ) -> Option<Self> {
        let library = std::fs::read_dir("/usr/lib")
            .into_iter()
            .flatten()
            .flatten()
            .map(|entry| entry.path().join("faketime/libfaketimeMT.so.1"))
            .find(|path| path.is_file())?;
        let mut command = Self::as_replica(binary, pipeline, name, None);
        command
            .env("LD_PRELOAD", library)
            .env("FAKETIME", offset)
            .env("FAKETIME_DONT_FAKE_MONOTONIC", "1")
            .env("FAKETIME_NO_CACHE", "1");
        Some(Self::spawn(command, None))
    }

    /// As [`ControllerProcess::start`], with a log of that level which
    /// [`ControllerProcess::log`] reads, and with metrics.
    ///
    /// # Panics
    /// When the process cannot be started.
    pub fn start_logging(binary: &str, pipeline: &Pipeline, level: &str) -> Self {
        let mut command = Self::command(binary, pipeline, None);
        let log = pipeline.world.dir.join("process.log");
        let file = std::fs::File::create(&log).expect("the log can be made");
        command
            .env("LOG_LEVEL", level)
            .env("NO_COLOR", "1")
            .env("SUPERCARGO_HTTP_ADDRESS", "127.0.0.1:0")
            .stdout(file.try_clone().expect("the log can be shared"))
            .stderr(file);
        Self::spawn(command, Some(log))
    }

    /// As [`ControllerProcess::start`], with a log in JSON, which sends its traces
    /// to a collector at an address.
    ///
    /// # Panics
    /// When the process cannot be started.
    pub fn start_tracing(binary: &str, pipeline: &Pipeline, collector: &str) -> Self {
        let mut command = Self::command(binary, pipeline, None);
        let log = pipeline.world.dir.join("process.log");
        let file = std::fs::File::create(&log).expect("the log can be made");
        command
            .env("LOG_LEVEL", "info")
            .env("LOG_FORMAT", "json")
            .env("OTEL_EXPORTER_OTLP_ENDPOINT", collector)
            .env("OTEL_BSP_SCHEDULE_DELAY", "100")
            .stderr(file);
        Self::spawn(command, Some(log))
    }

    fn spawn(mut command: Command, log: Option<PathBuf>) -> Self {
        Self { child: command.spawn().expect("the controllers' process starts"), log }
    }

    /// What it has logged so far.
    ///
    /// # Panics
    /// When it was started without a log.
    pub fn log(&self) -> String {
        let log = self.log.as_ref().expect("it was started with a log");
        let bytes = std::fs::read(log).expect("the log can be read");
        String::from_utf8_lossy(&bytes).into_owned()
    }

    /// Where its log is, for when it has ended.
    ///
    /// # Panics
    /// When it was started without a log.
    pub fn log_path(&self) -> PathBuf {
        self.log.clone().expect("it was started with a log")
    }

    /// The text of its metrics, from the address that its log names.
    ///
    /// # Panics
    /// When they are not served.
    pub async fn metrics(&self) -> String {
        let text = self.ask("/metrics").await;
        assert!(text.starts_with("HTTP/1.1 200"), "{text}");
        text
    }

    /// Whether it says that it is ready, at the address that its log names.
    ///
    /// # Panics
    /// When it does not answer.
    pub async fn is_ready(&self) -> bool {
        self.ask("/readyz").await.starts_with("HTTP/1.1 200")
    }

    /// The whole answer to a GET.
    async fn ask(&self, path: &str) -> String {
        use tokio::io::{AsyncReadExt, AsyncWriteExt};
        let address = crate::await_that::answer("the address of the metrics", || {
            let log = self.log();
            let line = log.lines().find(|l| l.contains("metrics and health are served"));
            let address = line
                .and_then(|l| l.split("address=").nth(1))
                .map(|a| a.split_whitespace().next().unwrap_or_default().to_owned());
            std::future::ready(address)
        })
        .await;
        let mut stream =
            tokio::net::TcpStream::connect(&address).await.expect("the metrics are served");
        let ask = format!("GET {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n");
        stream.write_all(ask.as_bytes()).await.expect("the request is taken");
        let mut text = String::new();
        stream.read_to_string(&mut text).await.expect("the answer is text");
        text
    }

    /// Memory that it has now, in MiB.
    pub fn resident_mib(&self) -> f64 {
        self.memory("VmRSS:")
    }

    /// The most memory that it ever had, in MiB.
    pub fn peak_mib(&self) -> f64 {
        self.memory("VmHWM:")
    }

    /// A line of its status that tells of its memory, in MiB (proc(5)).
    fn memory(&self, line: &str) -> f64 {
        let path = Path::new("/proc").join(self.id().to_string()).join("status");
        let status = std::fs::read_to_string(path).unwrap_or_default();
        let line = status.lines().find_map(|l| l.strip_prefix(line));
        let kib = line.and_then(|l| l.trim().strip_suffix(" kB")?.trim().parse::<f64>().ok());
        kib.unwrap_or_default() / 1024.0
    }

    /// CPU time that it took so far, in seconds (proc(5)).
    pub fn cpu_seconds(&self) -> f64 {
        let path = Path::new("/proc").join(self.id().to_string()).join("stat");
        let stat = std::fs::read_to_string(path).unwrap_or_default();
        let after = stat.rsplit_once(')').map(|(_, tail)| tail).unwrap_or_default();
        let fields: Vec<f64> =
            after.split_whitespace().map(|f| f.parse().unwrap_or_default()).collect();
        // utime and stime, in ticks of a hundredth of a second.
        fields.get(11).zip(fields.get(12)).map_or(0.0, |(user, system)| (user + system) / 100.0)
    }

    fn command(binary: &str, pipeline: &Pipeline, death: Option<Death>) -> Command {
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
            .env("KUBECONFIG", pipeline.world.cluster.controllers_kubeconfig())
            .env("SUPERCARGO_REGISTRY_MIRRORS", mirrors.join(","))
            .env("SUPERCARGO_GIT_INSTEAD_OF", rewrites.join(","))
            .env("SUPERCARGO_FORGE_INSTEAD_OF", rewrites.join(","))
            .env(
                "ALLOW_CREDENTIALS_OVER_HTTP",
                pipeline.args.allow_credentials_over_http.to_string(),
            )
            .env("SUPERCARGO_DATA_DIR", pipeline.world.dir.join("process"))
            .env("LOG_LEVEL", std::env::var("E2E_LOG").unwrap_or_else(|_| "error".to_owned()))
            .stdin(Stdio::null());
        if let Some(death) = death {
            let when = match death.when {
                When::Before => "before",
                When::Recorded => "recorded",
                When::After => "after",
            };
            command.env("DIE_AT", format!("{when}:{}", death.step));
        }
        command
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

    /// Asks it to end with SIGTERM and waits until it has; whether it ended well.
    ///
    /// # Panics
    /// When it does not end.
    pub async fn terminate(mut self) -> bool {
        let asked = Command::new("kill").args(["-TERM", &self.child.id().to_string()]).status();
        assert!(asked.is_ok_and(|status| status.success()), "the signal is sent");
        let status = crate::await_that::answer("the controllers' end", || {
            std::future::ready(self.child.try_wait().expect("the process can be waited for"))
        })
        .await;
        status.success()
    }

    /// Waits until it has ended by itself; its exit code.
    ///
    /// # Panics
    /// When it does not end.
    pub async fn ended(mut self) -> Option<i32> {
        let status = crate::await_that::answer("the controllers' end", || {
            std::future::ready(self.child.try_wait().expect("the process can be waited for"))
        })
        .await;
        status.code()
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
