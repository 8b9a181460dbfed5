//! The streams and files that results and errors go to.

use super::error::CliError;
use super::exit::Exit;
use super::outputs::Place;
use super::pages::{make, write_report};
use super::progress::Reporter;
use super::side_file::SideFile;
use super::signals;
use super::streams::{self, say};
use super::terminal;
use crate::report::{Failure, Report, human, json, junit};
use clap::{Args, ValueEnum};
use std::io::IsTerminal;
use std::path::PathBuf;

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
    /// One JSON object; its schema has a version and is described in conformance/OUTPUT.md
    Json,
}

impl OutputArgs {
    /// Whether standard output is text for people, and not one object.
    pub fn is_for_people(&self) -> bool {
        matches!(self.format, Format::Human)
    }

    /// The files that are written beside the result.
    pub fn places(&self) -> Vec<Place> {
        let mut places = Vec::new();
        places.extend(self.junit.iter().map(|path| Place::file("--junit", path)));
        if let Some(folder) = &self.report {
            places.push(Place::folder("--report", folder));
            let files = ["index.html", "report.json"].map(|name| folder.join(name));
            places.extend(files.map(|path| Place::file("--report", path)));
        }
        places
    }

    /// Refuses the options of a report, for a verb that has none.
    ///
    /// # Errors
    /// One is given.
    pub fn without_report(&self, verb: &str) -> Result<(), CliError> {
        let json = matches!(self.format, Format::Json);
        if !json && self.junit.is_none() && self.report.is_none() {
            return Ok(());
        }
        Err(CliError::Usage(format!(
            "`{verb}` has no report: --format json, --junit and --report are for the other verbs"
        )))
    }

    /// Tries the files that were asked for.
    pub fn begin(&self, reporter: &Reporter) {
        // The other file may lie in that folder.
        if let Some(folder) = &self.report
            && let Err(error) = make(folder)
        {
            reporter.warn(format!("{error}; the work is done all the same"));
        }
        if let Some(path) = &self.junit {
            // It is written in any case, and then listed if it still cannot be.
            SideFile::named(path, reporter);
        }
    }

    /// Writes the report to the files that were asked for and to standard output.
    pub fn write(&self, mut report: Report, reporter: &Reporter) -> Exit {
        // The work is done. What is written now may wait for whoever reads it, and a signal is to end that.
        reporter.end_programs();
        signals::end_soon();
        if let Some(path) = &self.junit {
            let text = junit::render(&report);
            // A failure is listed below.
            let _ = SideFile::at(path).write(text.as_bytes(), reporter);
        }
        if let Some(folder) = &self.report {
            match write_report(folder, &report) {
                Ok(page) => say(page.display()),
                Err(error) => {
                    say(&error);
                    report = report.with_unwritten(vec![error.to_string()]);
                }
            }
        }
        report = report.with_unwritten(reporter.all_unwritten());
        let text = match self.format {
            Format::Human => human::render(&report, self.style(reporter)),
            Format::Json => json::render(&report),
        };
        reporter.clean_up();
        signals::end_at_the_next();
        match (streams::print(&text), report.exit()) {
            (Err(error), exit) => {
                say(format!("standard output: cannot be written: {error}"));
                match exit {
                    Exit::Holds => Exit::Usage,
                    exit => exit,
                }
            }
            (Ok(()), exit) => exit,
        }
    }

    /// Tells a person why there is no report, and whatever was to read the report that there is none.
    pub fn error(&self, command: &str, error: CliError, reporter: &Reporter) {
        reporter.end_programs();
        signals::end_soon();
        let failure = Failure::new(command, &error.to_string(), error.exit().code());
        let failure = failure.after(reporter.part());
        // Which of the two files was meant is not known.
        let apart = !matches!(error, CliError::SamePlace(_));
        if let Some(path) = self.junit.as_ref().filter(|_| apart) {
            let text = junit::render_failure(&failure);
            // That it cannot be written is said where it is found out.
            let _ = SideFile::at(path).write(text.as_bytes(), reporter);
        }
        // The error is on standard error too.
        let _ = streams::print(&match self.format {
            Format::Human => human::render_part(&failure, self.style(reporter)),
            Format::Json => json::render_failure(&failure),
        });
        // Every error says what is beneath it in its own line, so a list of causes would repeat that.
        let stream = std::io::stderr();
        let (colours, width) = (terminal::colours(&stream), terminal::text_width(&stream));
        let handler = move || {
            miette::MietteHandlerOpts::new()
                .without_cause_chain()
                .color(colours)
                .width(width)
                .build()
        };
        // It fails if there is a hook already; then the causes are listed.
        let _ = miette::set_hook(Box::new(move |_| Box::new(handler())));
        say(format!("{:?}", miette::Report::new(error.visible())));
    }

    fn style(&self, reporter: &Reporter) -> human::Style {
        let out = std::io::stdout();
        human::Style {
            colour: terminal::colours(&out),
            width: terminal::width(&out),
            verbose: self.verbose,
            lines_shown: out.is_terminal() && reporter.lines_shown(),
        }
    }
}
