//! The binary that the image holds, which `make static` builds: it needs no
//! shared library, and runs in a root that has nothing but itself.
//!
//! `make static-test` builds one and names it in `E2E_STATIC_BINARY`; elsewhere
//! the tests say that they were skipped.

use std::net::{TcpListener, UdpSocket};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::mpsc;
use std::time::{Duration, Instant};

use e2e::skipped;
use object::elf;
use object::read::elf::{Dyn, ElfFile64, ProgramHeader};

/// The binary, if one is named.
fn binary(what: &str) -> Option<PathBuf> {
    let named = std::env::var_os("E2E_STATIC_BINARY").filter(|v| !v.is_empty());
    if named.is_none() {
        skipped::loudly(what, "E2E_STATIC_BINARY names no binary; `make static-test` builds one");
    }
    named.map(PathBuf::from)
}

#[test]
fn needs_no_shared_library() {
    let Some(binary) = binary("the static binary's ELF headers") else { return };
    let bytes = std::fs::read(&binary).unwrap_or_else(|e| panic!("{}: {e}", binary.display()));
    let file: ElfFile64<'_> = ElfFile64::parse(bytes.as_slice()).expect("it is an ELF file");
    let endian = file.endian();
    for header in file.elf_program_headers() {
        // What would load shared libraries.
        assert_ne!(header.p_type(endian), elf::PT_INTERP, "it asks for an interpreter");
        let dynamic = header.dynamic(endian, bytes.as_slice()).expect("its headers can be read");
        for entry in dynamic.unwrap_or_default() {
            assert_ne!(entry.tag(endian), elf::DT_NEEDED, "it needs a shared library");
        }
    }
}

/// A root with the binary alone, and the command that starts it there.
fn empty_root(binary: &Path) -> Option<(tempfile::TempDir, Command)> {
    let root = tempfile::tempdir().expect("a temporary folder");
    std::fs::copy(binary, root.path().join("supercargo")).expect("the binary can be copied");
    let mut command = Command::new("chroot");
    command.arg(root.path()).arg("/supercargo").env_clear().stdin(Stdio::null());
    // Where chroot itself is looked for.
    command.env("PATH", std::env::var_os("PATH").unwrap_or_default());
    let mut asked = Command::new("chroot");
    if !asked.args(["/", "true"]).status().is_ok_and(|status| status.success()) {
        skipped::loudly("the static binary in an empty root", "chroot wants root");
        return None;
    }
    Some((root, command))
}

#[test]
fn starts_in_an_empty_root() {
    let Some(binary) = binary("the static binary in an empty root") else { return };
    let Some((_root, mut command)) = empty_root(&binary) else { return };
    let output = command.arg("version").output().expect("chroot starts");
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said}");
    let version: serde_json::Value = serde_json::from_slice(&output.stdout).expect("it is JSON");
    assert_eq!(version["version"], env!("CARGO_PKG_VERSION"), "{version}");
}

/// Names its resolver in the root's `/etc/resolv.conf`, which knows no port.
const RESOLVER: &str = "127.0.0.53:53";

/// The answer to a query (RFC 1035 4.1): 127.0.0.1 to one for an A record of any
/// name, no record to others.
fn answer(query: &[u8]) -> Option<Vec<u8>> {
    let name = 12 + query.get(12..)?.iter().position(|byte| *byte == 0)? + 1;
    let question = query.get(12..name + 4)?;
    let address = question.ends_with(&[0, 1, 0, 1]);
    let mut said = query[..2].to_vec();
    said.extend([0x81, 0x80, 0, 1, 0, u8::from(address), 0, 0, 0, 0]);
    said.extend(question);
    if address {
        // The name above, A, IN, a minute, four bytes.
        said.extend([0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 60, 0, 4, 127, 0, 0, 1]);
    }
    Some(said)
}

#[test]
fn finds_hosts_by_name_in_an_empty_root() {
    let what = "the static binary's look-up of a name";
    let Some(binary) = binary(what) else { return };
    let Some((root, mut command)) = empty_root(&binary) else { return };
    let resolver = match UdpSocket::bind(RESOLVER) {
        Ok(resolver) => resolver,
        Err(e) => return skipped::loudly(what, &format!("{RESOLVER} cannot be used: {e}")),
    };
    std::thread::spawn(move || {
        let mut query = [0; 512];
        while let Ok((size, from)) = resolver.recv_from(&mut query) {
            if let Some(said) = answer(&query[..size]) {
                let _ = resolver.send_to(&said, from);
            }
        }
    });
    let api = TcpListener::bind("127.0.0.1:0").expect("a port");
    let port = api.local_addr().expect("its address").port();
    std::fs::create_dir(root.path().join("etc")).expect("a folder");
    // A container has these devices, whatever its image (OCI runtime
    // specification, "Default Devices").
    std::fs::create_dir(root.path().join("dev")).expect("a folder");
    for (name, minor) in [("random", "8"), ("urandom", "9")] {
        let device = root.path().join("dev").join(name);
        let made = Command::new("mknod").arg(device).args(["c", "1", minor]).status();
        assert!(made.is_ok_and(|status| status.success()), "/dev/{name} cannot be made");
    }
    // The image brings certificates to trust; any one will do here.
    let certificate = rcgen::generate_simple_self_signed(["example.com".to_owned()]);
    let pem = certificate.expect("a certificate").cert.pem();
    std::fs::write(root.path().join("etc/trusted.pem"), pem).expect("a file");
    command.env("SSL_CERT_FILE", "/etc/trusted.pem");
    std::fs::create_dir(root.path().join("data")).expect("a folder");
    std::fs::write(root.path().join("etc/resolv.conf"), "nameserver 127.0.0.53\n").expect("a file");
    let kubeconfig = format!(
        "{{apiVersion: v1, kind: Config, current-context: c, contexts: [{{name: c, context: {{cluster: c, user: u}}}}], \
         users: [{{name: u, user: {{}}}}], clusters: [{{name: c, cluster: {{server: 'http://api.cluster.example:{port}'}}}}]}}"
    );
    std::fs::write(root.path().join("kubeconfig"), kubeconfig).expect("a file");
    command.env("KUBECONFIG", "/kubeconfig").env("SUPERCARGO_DATA_DIR", "/data");
    command.arg("controller").stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut process = command.spawn().expect("chroot starts");
    let (accepted, called) = mpsc::channel();
    std::thread::spawn(move || accepted.send(api.accept().is_ok()));
    let until = Instant::now() + Duration::from_secs(60);
    let mut reached = false;
    while !reached && Instant::now() < until && process.try_wait().is_ok_and(|done| done.is_none())
    {
        reached = called.recv_timeout(Duration::from_millis(100)).unwrap_or(false);
    }
    let _ = process.kill();
    let said = process.wait_with_output().expect("its output");
    assert!(
        reached,
        "it did not reach the API server: {}{}",
        String::from_utf8_lossy(&said.stdout),
        String::from_utf8_lossy(&said.stderr)
    );
}
