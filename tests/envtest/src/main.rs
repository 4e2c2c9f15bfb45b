//! `envtest build` builds the programs and prints their folder; `envtest
//! serve` starts a server and prints its kubeconfig's path until the standard
//! input ends.

use std::process::ExitCode;

use envtest::{Options, Server, binaries};

fn main() -> ExitCode {
    let outcome = match std::env::args().nth(1).as_deref() {
        Some("build") => binaries::build().map(|b| println!("{}", b.folder().display())),
        Some("serve") => serve(),
        _ => Err("write `envtest build` or `envtest serve`".to_owned()),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}

fn serve() -> Result<(), String> {
    let binaries = binaries::build()?;
    let runtime = tokio::runtime::Runtime::new().map_err(|e| e.to_string())?;
    let server =
        runtime.block_on(Server::start(&binaries, Options { audit: true, controllers: true }))?;
    let path = server.audit_log().with_file_name("kubeconfig");
    server.write_kubeconfig(&path, server.admin())?;
    println!("{}", path.display());
    let mut line = String::new();
    while std::io::stdin().read_line(&mut line).is_ok_and(|read| read > 0) {}
    Ok(())
}
