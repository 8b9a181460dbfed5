//! `lockstep report`: results of earlier commands as one page.

use super::error::CliError;
use super::files;
use super::outputs::Place;
use super::pages::write_reports;
use super::streams;
use clap::Args;
use serde_json::Value;
use std::path::PathBuf;

/// Options of `lockstep report`.
#[derive(Debug, Args)]
pub struct ReportArgs {
    /// Results in JSON, as `--format json` prints them and `--report` keeps them
    #[arg(value_name = "JSON", required = true)]
    results: Vec<PathBuf>,
    /// The folder for the page, `index.html`
    #[arg(long, value_name = "DIR", default_value = "target/reports/page")]
    out: PathBuf,
}

impl ReportArgs {
    /// Returns the files that are read and the place of the page.
    pub fn places(&self) -> Vec<Place> {
        let read = self.results.iter().map(|path| Place::read("JSON", path));
        let page = Place::file("--out", self.out.join("index.html"));
        read.chain([page]).collect()
    }
}

/// Writes the page of some results.
///
/// # Errors
/// A file is no result, or the page cannot be written.
pub fn run(args: &ReportArgs) -> Result<(), CliError> {
    let mut reports = Vec::new();
    for path in &args.results {
        let wrong = |why: String| CliError::Input(format!("{}: {why}", path.display()));
        let bytes = files::read_text(path).map_err(|error| wrong(error.to_string()))?;
        let report: Value =
            serde_json::from_slice(&bytes).map_err(|error| wrong(error.to_string()))?;
        if report["lockstep_report"].as_u64() != Some(u64::from(crate::report::REPORT_VERSION)) {
            return Err(wrong(format!(
                "this is no result of `lockstep --format json` in version {} of the report",
                crate::report::REPORT_VERSION
            )));
        }
        reports.push(report);
    }
    let page = write_reports(&args.out, &reports)?;
    streams::deliver(None, &format!("{}\n", page.display()))
}
