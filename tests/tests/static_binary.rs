//! The binary that the image holds, which `make static` builds: it needs no
//! shared library, and runs in a root that has nothing but itself.
//!
//! `make static-test` builds one and names it in `E2E_STATIC_BINARY`; elsewhere
//! the tests say that they were skipped.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

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
