//! `lockstep completions` and `lockstep man`: help for shells and for `man`, made from the command line itself.

use super::error::CliError;
use super::outputs::Place;
use super::pages;
use super::streams;
use clap::{Args, Command};
use clap_complete::Shell;
use std::path::{Path, PathBuf};

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

impl ManArgs {
    /// Returns the folder of the pages.
    pub fn places(&self) -> Vec<Place> {
        vec![Place::folder("--out", &self.out)]
    }
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
    pages::make(&args.out)?;
    let mut command = command.disable_help_subcommand(true);
    command.build();
    man_of(&command, &args.out)?;
    streams::deliver(None, &format!("{}\n", args.out.display()))
}

/// Writes the pages of the verbs of a command, and its own.
fn man_of(command: &Command, folder: &Path) -> Result<(), CliError> {
    for verb in command.get_subcommands().filter(|it| !it.is_hide_set()) {
        man_of(verb, folder)?;
    }
    let page = clap_mangen::Man::new(command.clone());
    let path = folder.join(page.get_filename());
    let mut text = Vec::new();
    let rendered = page.render(&mut text);
    rendered.map_err(|source| CliError::Output {
        path: path.clone(),
        source,
    })?;
    streams::write_file(&path, &text)
}
