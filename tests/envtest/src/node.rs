//! A node beside the API server, so that pods really run: containerd with
//! runc and a point-to-point network, the scheduler and the kubelet. There is
//! no proxy and no DNS: pods find the API server, and whatever else listens on
//! this machine, at [`ADDRESS`].
//!
//! What it leaves in the kernel (addresses, mounts, the processes of pods)
//! outlives it, so it wants a machine of its own: `tests/node/run` gives it
//! namespaces that end with it.

use std::path::{Path, PathBuf};
use std::process::Command;

use k8s_openapi::api::core::v1::{Node as NodeObject, ServiceAccount};
use kube::api::Api;
use serde_json::json;

use crate::binaries;
use crate::process::Process;
use crate::server::{self, ADDRESS, Options, Server};

/// What the node is called.
pub const NAME: &str = "node";

/// The image that holds a pod's namespaces open.
pub const PAUSE: &str = "localhost/pause:1";

/// Where Debian puts the programs that give pods their network.
const NETWORK_PROGRAMS: &str = "/usr/lib/cni";

/// The addresses of pods.
const PODS: &str = "10.88.0.0/24";

/// A running node with its API server.
pub struct Node {
    // The order is the order of the end: who acts before what it acts on.
    _kubelet: Process,
    _scheduler: Process,
    _containerd: Process,
    server: Server,
}

impl Node {
    /// Starts all parts with the images of these archives, one of which is
    /// [`PAUSE`], and waits until pods can be made.
    ///
    /// # Errors
    /// Why they cannot, with the last words of the program that failed.
    pub async fn start(images: &[PathBuf]) -> Result<Self, String> {
        let programs = binaries::build_for_node()?;
        for arguments in [
            vec!["link".to_owned(), "set".to_owned(), "lo".to_owned(), "up".to_owned()],
            format!("addr replace {ADDRESS}/32 dev lo").split(' ').map(str::to_owned).collect(),
        ] {
            run(Command::new("ip").args(&arguments))?;
        }
        let options = Options { audit: true, controllers: true, pods: true };
        let server = Server::start(&programs, options).await?;
        let dir = server.dir().to_owned();
        let config = dir.join("node.kubeconfig");
        server.write_kubeconfig(&config, server.admin())?;

        let (containerd, socket) = start_containerd(&dir).await?;
        for image in images {
            run(Command::new("ctr")
                .arg("--address")
                .arg(&socket)
                .args(["--namespace", "k8s.io", "images", "import"])
                .arg(image))?;
        }
        let mut scheduler = Command::new(programs.scheduler().ok_or("no kube-scheduler")?);
        scheduler
            .arg(format!("--kubeconfig={}", config.display()))
            .args(["--leader-elect=false", "--secure-port=0"]);
        let scheduler = Process::start("kube-scheduler", &scheduler, &dir, None)?;
        let kubelet = programs.kubelet().ok_or("no kubelet")?;
        let mut kubelet = start_kubelet(&kubelet, &dir, &config, &socket)?;

        let client = server.client().await?;
        let nodes: Api<NodeObject> = Api::all(client.clone());
        let accounts: Api<ServiceAccount> = Api::default_namespaced(client);
        server::wait("the node", &mut kubelet, || async {
            let node = nodes.get_opt(NAME).await.ok().flatten();
            let ready = node.and_then(|n| n.status).is_some_and(|status| {
                let mut conditions = status.conditions.iter().flatten();
                conditions.any(|c| c.type_ == "Ready" && c.status == "True")
            });
            ready && accounts.get_opt("default").await.is_ok_and(|found| found.is_some())
        })
        .await?;
        Ok(Self { _kubelet: kubelet, _scheduler: scheduler, _containerd: containerd, server })
    }

    /// Its API server.
    pub fn server(&self) -> &Server {
        &self.server
    }
}

fn run(command: &mut Command) -> Result<(), String> {
    let name = command.get_program().to_string_lossy().into_owned();
    let output = command.output().map_err(|e| format!("{name}: {e}"))?;
    if output.status.success() {
        return Ok(());
    }
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    Err(format!("{command:?} ended with {}: {said}", output.status))
}

fn write(path: &Path, text: &str) -> Result<(), String> {
    std::fs::write(path, text).map_err(|e| format!("{}: {e}", path.display()))
}

/// Starts containerd; returns where it listens.
async fn start_containerd(dir: &Path) -> Result<(Process, PathBuf), String> {
    let networks = dir.join("networks");
    std::fs::create_dir_all(&networks).map_err(|e| format!("{}: {e}", networks.display()))?;
    let addresses = json!({"type": "host-local", "subnet": PODS,
        "dataDir": dir.join("addresses"), "routes": [{"dst": "0.0.0.0/0"}]});
    let network = json!({"cniVersion": "0.4.0", "name": "pods",
        "plugins": [{"type": "ptp", "ipMasq": false, "ipam": addresses}]});
    write(&networks.join("10-pods.conflist"), &network.to_string())?;

    let socket = dir.join("containerd.sock");
    let config = format!(
        r#"version = 2
root = "{dir}/containerd"
state = "{dir}/containerd-state"
[grpc]
  address = "{socket}"
[plugins."io.containerd.grpc.v1.cri"]
  sandbox_image = "{PAUSE}"
  # Neither has to be had on a machine that runs tests.
  disable_apparmor = true
  restrict_oom_score_adj = true
  [plugins."io.containerd.grpc.v1.cri".cni]
    bin_dir = "{NETWORK_PROGRAMS}"
    conf_dir = "{networks}"
"#,
        dir = dir.display(),
        socket = socket.display(),
        networks = networks.display(),
    );
    let file = dir.join("containerd.toml");
    write(&file, &config)?;
    let mut command = Command::new("containerd");
    command.arg("--config").arg(&file);
    let mut containerd = Process::start("containerd", &command, dir, None)?;
    server::wait("containerd", &mut containerd, || async {
        let mut asked = Command::new("ctr");
        run(asked.arg("--address").arg(&socket).arg("version")).is_ok()
    })
    .await?;
    Ok((containerd, socket))
}

fn start_kubelet(
    program: &Path,
    dir: &Path,
    kubeconfig: &Path,
    socket: &Path,
) -> Result<Process, String> {
    let settings = json!({
        "apiVersion": "kubelet.config.k8s.io/v1beta1",
        "kind": "KubeletConfiguration",
        "containerRuntimeEndpoint": format!("unix://{}", socket.display()),
        // Both kinds of control groups, whatever started them.
        "cgroupDriver": "cgroupfs",
        "failCgroupV1": false,
        "failSwapOn": false,
        "enforceNodeAllocatable": [],
        // Whoever reaches it is in the namespaces of the tests.
        "authentication": {"anonymous": {"enabled": true}, "webhook": {"enabled": false}},
        "authorization": {"mode": "AlwaysAllow"},
        "healthzBindAddress": "127.0.0.1",
        "resolvConf": "",
        // The machine may be full; the images were imported and must stay.
        "evictionHard": {"nodefs.available": "1%", "memory.available": "50Mi"},
        "imageGCHighThresholdPercent": 100,
    });
    let config = dir.join("kubelet.yaml");
    // JSON is YAML.
    write(&config, &settings.to_string())?;
    let mut command = Command::new(program);
    command
        .arg(format!("--config={}", config.display()))
        .arg(format!("--kubeconfig={}", kubeconfig.display()))
        .arg(format!("--root-dir={}", dir.join("kubelet").display()))
        .arg(format!("--cert-dir={}", dir.join("kubelet-certificates").display()))
        .arg(format!("--hostname-override={NAME}"))
        .arg(format!("--node-ip={ADDRESS}"));
    Process::start("kubelet", &command, dir, None)
}
