//! `lockstep coverage`: what searches of the presets meet, and what they miss.

use super::check::{self, LimitArgs};
use super::error::CliError;
use super::model::Chosen;
use super::progress::Reporter;
use super::verify;
use crate::report::Job;
use crate::stop;
use clap::Args;
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
    let mut chosen = Vec::new();
    for name in &names {
        chosen.push(Chosen::preset(name)?);
    }
    let mut searched = Vec::new();
    for chosen in &chosen {
        if !stop::requested() {
            let name = &chosen.name;
            let report = check::limited(&chosen.cluster, &args.limits, name, progress).run()?;
            searched.push((name.clone(), report.report));
        }
    }
    let mut job = verify::coverage(&names, &searched);
    let seconds = |(_, report): &(String, lockstep_engine::Report)| report.time.total_seconds;
    job.seconds = searched.iter().map(seconds).sum();
    Ok(vec![job])
}
