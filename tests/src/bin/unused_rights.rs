//! Lists the granted rights that no test has used: `unused-rights FILE`, where
//! FILE is what `E2E_USED_RIGHTS` named during the tests.

use std::path::Path;
use std::process::ExitCode;

fn main() -> ExitCode {
    let Some(file) = std::env::args().nth(1) else {
        eprintln!("write `unused-rights FILE`");
        return ExitCode::FAILURE;
    };
    match e2e::rights::unused(Path::new(&file)) {
        Ok(unused) => {
            println!("rights of the chart's roles that no test has used: {}", unused.len());
            for right in unused {
                let group = if right.group.is_empty() { "core" } else { &right.group };
                println!("  {:<8} {}.{group}", right.verb, right.resource);
            }
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("{file}: {error}");
            ExitCode::FAILURE
        }
    }
}
