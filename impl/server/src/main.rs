//! The binary `lockstep-server`: see `lockstep-server --help`.

mod cli;

use std::process::ExitCode;

fn main() -> ExitCode {
    cli::run()
}
