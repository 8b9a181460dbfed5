//! Where results and errors go.

use super::error::CliError;
use super::pages::write_report;
use crate::report::{Failure, Report, human, json, junit};
use clap::{Args, ValueEnum};
use std::io::{IsTerminal, Write};
use std::path::{Path, PathBuf};

/// Options of every verb that prints a report.
#[derive(Debug, Args)]
#[command(next_help_heading = "Output")]
pub struct OutputArgs {
    /// The form of the result on standard output
    #[arg(long, value_enum, default_value_t = Format::Human, global = true)]
    format: Format,
    /// Also write the result as JUnit XML to this file
    #[arg(long, value_name = "FILE", global = true)]
    junit: Option<PathBuf>,
    /// Also write a page for the result to this folder, and one for every counterexample, divergence and
    /// witness
    #[arg(long, value_name = "DIR", global = true)]
    report: Option<PathBuf>,
    /// Also list every assertion that holds, and all tables
    #[arg(short, long, global = true)]
    verbose: bool,
    /// Show no progress
    #[arg(short, long, global = true)]
    pub quiet: bool,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Format {
    /// Text for people; colours only on a terminal
    Human,
    /// One JSON object; its schema has a version and is described in conformance/README.md
    Json,
}

impl OutputArgs {
    /// Writes the report to standard output and to the files that were asked for.
    pub fn write(&self, report: &Report) -> Result<(), CliError> {
        if let Some(path) = &self.junit {
            write_file(path, junit::render(report).as_bytes())?;
        }
        if let Some(folder) = &self.report {
            let page = write_report(folder, report)?;
            eprintln!("{}", page.display());
        }
        let text = match self.format {
            Format::Human => human::render(report, self.style()),
            Format::Json => json::render(report),
        };
        let mut out = std::io::stdout().lock();
        out.write_all(text.as_bytes())
            .and_then(|()| out.flush())
            .map_err(|source| CliError::Output {
                path: PathBuf::from("standard output"),
                source,
            })
    }

    /// Tells a person why there is no report, and whatever was to read the report that there is none.
    pub fn error(&self, command: &str, error: CliError) {
        let failure = Failure::new(command, &error.to_string(), error.exit().code());
        if let Some(path) = &self.junit
            && let Err(unwritten) = write_file(path, junit::render_failure(&failure).as_bytes())
        {
            eprintln!("{unwritten}");
        }
        if matches!(self.format, Format::Json) {
            // Whoever closed standard output does not want to know.
            let _ = std::io::stdout().write_all(json::render_failure(&failure).as_bytes());
        }
        // Every error says what is beneath it in its own line, so a list of causes would repeat that.
        let handler = || {
            miette::MietteHandlerOpts::new()
                .without_cause_chain()
                .build()
        };
        // It fails if there is a hook already; then the causes are listed.
        let _ = miette::set_hook(Box::new(move |_| Box::new(handler())));
        eprintln!("{:?}", miette::Report::new(error));
    }

    fn style(&self) -> human::Style {
        let out = std::io::stdout();
        let terminal = out.is_terminal();
        human::Style {
            colour: terminal && std::env::var_os("NO_COLOR").is_none(),
            width: terminal.then(terminal_width).flatten(),
            verbose: self.verbose,
        }
    }
}

/// The width of the terminal that standard output is, if it is one.
pub fn terminal_width() -> Option<u16> {
    comfy_table::Table::new().width()
}

/// Writes a whole file.
pub fn write_file(path: &Path, bytes: &[u8]) -> Result<(), CliError> {
    std::fs::write(path, bytes).map_err(|source| CliError::Output {
        path: path.to_owned(),
        source,
    })
}
