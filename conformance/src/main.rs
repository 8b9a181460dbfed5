//! The command line `lockstep` with the targets that come with it. A program with one more is as short: see
//! `examples/my_raft.rs`.

use lockstep_conformance::{Targets, cli};
use std::process::ExitCode;

fn main() -> ExitCode {
    cli::main(Targets::builtin())
}
