//! Starts a Kubernetes for tests by hand, or builds its programs.

use std::path::PathBuf;
use std::process::{Command, ExitCode};

use envtest::{Node, Options, Server, binaries};

const USAGE: &str = "\
envtest build            builds the programs and prints their folder
envtest build-node       the same with what a node needs
envtest serve            starts an API server and prints its kubeconfig's path
                         until the standard input ends
envtest node IMAGE... -- COMMAND...
                         starts a node with the images of these archives, runs
                         the command beside it and ends as the command did; run
                         it by tests/node/run, which clears up after it";

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let built = |b: binaries::Binaries| println!("{}", b.folder().display());
    let outcome = match arguments.first().map(String::as_str) {
        Some("build") => binaries::build().map(built).map(|()| ExitCode::SUCCESS),
        Some("build-node") => binaries::build_for_node().map(built).map(|()| ExitCode::SUCCESS),
        Some("serve") => serve().map(|()| ExitCode::SUCCESS),
        Some("node") => node(arguments.get(1..).unwrap_or_default()),
        _ => Err(USAGE.to_owned()),
    };
    outcome.unwrap_or_else(|error| {
        eprintln!("{error}");
        ExitCode::FAILURE
    })
}

fn runtime() -> Result<tokio::runtime::Runtime, String> {
    tokio::runtime::Runtime::new().map_err(|e| e.to_string())
}

fn serve() -> Result<(), String> {
    let binaries = binaries::build()?;
    let options = Options { audit: true, controllers: true, pods: false };
    let server = runtime()?.block_on(Server::start(&binaries, options))?;
    let path = server.audit_log().with_file_name("kubeconfig");
    server.write_kubeconfig(&path, server.admin())?;
    println!("{}", path.display());
    let mut line = String::new();
    while std::io::stdin().read_line(&mut line).is_ok_and(|read| read > 0) {}
    Ok(())
}

fn node(arguments: &[String]) -> Result<ExitCode, String> {
    let mut parts = arguments.splitn(2, |a| a == "--");
    let images: Vec<PathBuf> = parts.next().unwrap_or_default().iter().map(PathBuf::from).collect();
    let [program, rest @ ..] = parts.next().unwrap_or_default() else {
        return Err(USAGE.to_owned());
    };
    let runtime = runtime()?;
    let node = runtime.block_on(Node::start(&images))?;
    let server = node.server();
    let kubeconfig = server.dir().join("kubeconfig");
    server.write_kubeconfig(&kubeconfig, server.admin())?;
    let status = Command::new(program)
        .args(rest)
        .env("KUBECONFIG", &kubeconfig)
        .env("E2E_ADDRESS", envtest::server::ADDRESS.to_string())
        .env("E2E_AUDIT_LOG", server.audit_log())
        .status()
        .map_err(|e| format!("{program}: {e}"))?;
    let code = status.code().and_then(|code| u8::try_from(code).ok());
    Ok(code.map_or(ExitCode::FAILURE, ExitCode::from))
}
