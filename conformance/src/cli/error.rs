//! Errors that end a command without a verdict.

use super::exit::Exit;
use crate::report::visible;
use lockstep_engine::SearchError;
use lockstep_traces::TraceError;
use miette::{Diagnostic, MietteDiagnostic};
use std::path::PathBuf;
use thiserror::Error;

/// Why there is no report.
#[derive(Debug, Error, Diagnostic)]
pub enum CliError {
    /// The command line asks for something that there is not.
    #[error("{0}")]
    #[diagnostic(code(usage))]
    Usage(String),
    /// Two things that the command line names are one file; neither is written.
    #[error("{0}")]
    #[diagnostic(code(usage))]
    SamePlace(String),
    /// An optional requirement is missing, such as Go; nothing was checked, and that is no failure.
    #[error("skipped: {why}")]
    #[diagnostic(code(skipped))]
    Skipped {
        /// The target that was not started.
        target: String,
        /// Why not.
        why: String,
    },
    /// The work was asked to stop before there was anything to report.
    #[error("interrupted")]
    #[diagnostic(code(stopped))]
    Interrupted,
    /// A trace is not one.
    #[error(transparent)]
    #[diagnostic(
        code(input),
        help("`traces/README.md` describes the format; nothing was checked")
    )]
    Trace(#[from] TraceError),
    /// There is an input file that says nothing, or the wrong thing.
    #[error("{0}")]
    #[diagnostic(code(input))]
    Input(String),
    /// The search could not be done.
    #[error(transparent)]
    #[diagnostic(code(search))]
    Search(#[from] SearchError),
    /// A result could not be written.
    #[error("{}: cannot be written: {source}", path.display())]
    #[diagnostic(code(output))]
    Output {
        /// The file.
        path: PathBuf,
        /// The error of the system.
        source: std::io::Error,
    },
}

impl CliError {
    /// Whether a report says it, and not an error message.
    pub fn is_a_result(&self) -> bool {
        matches!(self, CliError::Skipped { .. } | CliError::Interrupted)
    }

    /// The same for a person, without a character that does anything but stand where it is: names of files
    /// and what is in them come from outside.
    pub fn visible(&self) -> MietteDiagnostic {
        let diagnostic = MietteDiagnostic::new(visible::text(&self.to_string()));
        let text = |it: Box<dyn std::fmt::Display + '_>| it.to_string();
        MietteDiagnostic {
            code: self.code().map(text),
            help: self.help().map(text),
            ..diagnostic
        }
    }

    /// The exit code of this error.
    pub fn exit(&self) -> Exit {
        match self {
            CliError::Skipped { .. } => Exit::Holds,
            CliError::Interrupted => Exit::Stopped,
            CliError::Usage(_) | CliError::SamePlace(_) | CliError::Output { .. } => Exit::Usage,
            CliError::Trace(_) | CliError::Input(_) => Exit::Input,
            CliError::Search(error) => match error {
                SearchError::Checkpoint { .. } | SearchError::Damaged { .. } => Exit::Input,
                _ => Exit::Usage,
            },
        }
    }
}
