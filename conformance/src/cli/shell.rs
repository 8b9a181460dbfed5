//! `lockstep completions` and `lockstep man`: help for shells and for `man`, made from the command line itself.

use super::error::CliError;
use super::streams;
use clap::{Args, Command};
use clap_complete::Shell;
use std::path::PathBuf;

/// Options of `lockstep completions`.
#[derive(Debug, Args)]
pub struct CompletionsArgs {
    /// The shell
    #[arg(value_enum)]
    shell: Shell,
}

/// Options of `lockstep man`.
#[derive(Debug, Args)]
pub struct ManArgs {
    /// The folder for the pages, one for each verb
    #[arg(long, value_name = "DIR", default_value = "target/man")]
    out: PathBuf,
}

/// Prints the completions of a shell.
///
/// # Errors
/// Standard output is closed.
pub fn completions(args: &CompletionsArgs, mut command: Command) -> Result<(), CliError> {
    let mut text = Vec::new();
    clap_complete::generate(args.shell, &mut command, "lockstep", &mut text);
    streams::deliver(None, &String::from_utf8_lossy(&text))
}

/// Writes the manual pages.
///
/// # Errors
/// The folder cannot be written.
pub fn man(args: &ManArgs, command: Command) -> Result<(), CliError> {
    let fail = |source| CliError::Output {
        path: args.out.clone(),
        source,
    };
    std::fs::create_dir_all(&args.out).map_err(fail)?;
    clap_mangen::generate_to(command, &args.out).map_err(fail)?;
    streams::deliver(None, &format!("{}\n", args.out.display()))
}
