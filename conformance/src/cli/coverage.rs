//! `lockstep coverage`: what searches of the presets meet, and what they miss.

use super::check::{self, LimitArgs};
use super::error::CliError;
use super::model::Chosen;
use super::progress::Reporter;
use super::verify;
use crate::report::{Job, Status};
use clap::Args;
use lockstep_engine::Verdict;
use lockstep_model::Preset;

/// Options of `lockstep coverage`.
#[derive(Debug, Args)]
pub struct CoverageArgs {
    /// The presets to search; without any, those of `lockstep verify`
    #[arg(value_name = "PRESET")]
    presets: Vec<String>,
    #[command(flatten)]
    limits: LimitArgs,
}

/// Searches the presets and adds up what they met.
///
/// # Errors
/// There is no such preset, or a search met with an error.
pub fn run(args: &CoverageArgs, progress: &Reporter) -> Result<Vec<Job>, CliError> {
    let ci = Preset::all()
        .iter()
        .filter(|preset| preset.ci)
        .map(|preset| preset.name);
    let names: Vec<_> = if args.presets.is_empty() {
        ci.collect()
    } else {
        args.presets.iter().map(String::as_str).collect()
    };
    let mut searched = Vec::new();
    let mut cut = Vec::new();
    for name in names {
        let chosen = Chosen::preset(name)?;
        let search = check::limited(&chosen.cluster, &args.limits, name, progress);
        let report = search.run()?.report;
        if report.verdict != Verdict::Exhausted {
            cut.push(format!("{name}: {}", report.verdict));
        }
        searched.push((name.to_owned(), report));
    }
    let mut job = verify::coverage(&searched);
    job.seconds = searched
        .iter()
        .map(|(_, report)| report.time.total_seconds)
        .sum();
    for text in cut {
        job.failed(
            "the presets were searched to their ends",
            Status::Stopped,
            text,
        );
    }
    Ok(vec![job])
}
