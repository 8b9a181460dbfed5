//! The command line: `lockstep check`, `conform`, `verify` and their relatives. `lockstep --help` lists
//! them with the exit codes.

mod cli;
mod report;

use std::process::ExitCode;

fn main() -> ExitCode {
    ExitCode::from(cli::main().code())
}
