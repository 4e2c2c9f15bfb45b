//! Builds the programs of the real peers.

use std::process::ExitCode;

use peers::Program;

const USAGE: &str = "\
peers build              builds the programs and prints their folders";

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    if arguments != ["build"] {
        eprintln!("{USAGE}");
        return ExitCode::FAILURE;
    }
    for program in Program::ALL {
        match program.build() {
            Ok(folder) => println!("{}", folder.display()),
            Err(error) => {
                eprintln!("{error}");
                return ExitCode::FAILURE;
            }
        }
    }
    ExitCode::SUCCESS
}
