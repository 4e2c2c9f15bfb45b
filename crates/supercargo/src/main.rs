//! Supercargo's one binary.

fn main() -> std::process::ExitCode {
    supercargo::main()
}
