//! The binary that the image holds, which `make static` builds: it needs no
//! shared library, and runs in a root that has nothing but itself.
//!
//! `make static-test` builds one and names it in `E2E_STATIC_BINARY`; elsewhere
//! the tests say that they were skipped.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use e2e::{await_that, skipped};
use object::elf;
use object::read::elf::{Dyn, ElfFile64, ProgramHeader};
use tokio::net::{TcpListener, UdpSocket};

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

/// Names are looked up too: the C library does that, and in a static binary it
/// has no libraries of its own to load for it.
#[tokio::test(flavor = "multi_thread")]
async fn looks_names_up_in_an_empty_root() {
    let Some(binary) = binary("a name look-up by the static binary") else { return };
    let Some((root, mut command)) = empty_root(&binary) else { return };
    let resolver = Ipv4Addr::new(127, 0, 0, 77);
    let socket = match UdpSocket::bind((resolver, 53)).await {
        Ok(socket) => socket,
        Err(error) => {
            skipped::loudly("a name look-up by the static binary", &format!("port 53: {error}"));
            return;
        }
    };
    let names = tokio::spawn(resolve(socket));
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.expect("a free port");
    let port = listener.local_addr().expect("an address").port();
    std::fs::create_dir(root.path().join("etc")).expect("a folder");
    std::fs::write(root.path().join("etc/resolv.conf"), format!("nameserver {resolver}\n"))
        .expect("a file");
    let kubeconfig = serde_json::json!({
        "apiVersion": "v1", "kind": "Config", "current-context": "c",
        "clusters": [{"name": "c", "cluster": {"server": format!("http://{NAME}:{port}")}}],
        "contexts": [{"name": "c", "context": {"cluster": "c", "user": "u"}}],
        "users": [{"name": "u", "user": {}}],
    });
    std::fs::write(root.path().join("kubeconfig"), kubeconfig.to_string()).expect("a file");
    let mut child = command
        .arg("controller")
        .env("KUBECONFIG", "/kubeconfig")
        .env("SUPERCARGO_DATA_DIR", "/data")
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .expect("chroot starts");
    // Only who knows the name's address finds the way here.
    let found = tokio::time::timeout(await_that::PATIENCE, listener.accept()).await;
    child.kill().expect("it can be killed");
    child.wait().expect("it ends");
    names.abort();
    let (_, peer): (_, SocketAddr) =
        found.expect("the name was not looked up").expect("a connection");
    assert!(peer.ip().is_loopback());
}

/// The name that the resolver knows.
const NAME: &str = "kubernetes.example.test";

/// Answers each question for an address with 127.0.0.1, and others with nothing
/// (RFC 1035, section 4).
async fn resolve(socket: UdpSocket) {
    let mut buffer = [0; 512];
    while let Ok((length, peer)) = socket.recv_from(&mut buffer).await {
        let Some(question) = buffer.get(12..length) else { continue };
        let Some(end) = question.iter().position(|byte| *byte == 0) else { continue };
        let Some(question) = question.get(..end + 5) else { continue };
        let wants_address = question.get(end + 1..end + 3) == Some(&[0, 1]);
        let is_known = question.windows(10).any(|w| w == b"kubernetes");
        let answers = u8::from(wants_address && is_known);
        let mut answer = buffer[..2].to_vec();
        answer.extend([0x81, 0x80, 0, 1, 0, answers, 0, 0, 0, 0]);
        answer.extend(question);
        if answers == 1 {
            // The name by a pointer, an address, for a minute, of four bytes.
            answer.extend([0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 60, 0, 4, 127, 0, 0, 1]);
        }
        let _ = socket.send_to(&answer, peer).await;
    }
}
