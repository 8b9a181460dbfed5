//! `lockstep targets` and `lockstep presets`: what there is to choose from.

use super::divergence;
use super::error::CliError;
use super::model::Chosen;
use super::target::{TARGETS, TargetArgs, Visit};
use crate::report::{Job, Status};
use clap::Args;
use lockstep_conformance::Target;
use lockstep_model::Preset;

/// Options of `lockstep targets`.
#[derive(Debug, Args)]
pub struct TargetsArgs {
    /// Also ask this target, which may be a program: exec:CMD; may be given more than once
    #[arg(long, value_name = "TARGET")]
    target: Vec<String>,
}

/// Asks every target what it is. One that cannot be started here is listed with the reason.
pub fn targets(args: &TargetsArgs) -> Result<Vec<Job>, CliError> {
    let mut jobs = Vec::new();
    for (name, what) in TARGETS {
        let mut job = Job::new("target", name, Status::Holds, what.to_owned());
        if name != "exec:CMD" {
            match ask(name) {
                Ok(mut asked) => {
                    job.facts.append(&mut asked.facts);
                    job.notes.append(&mut asked.notes);
                }
                Err(CliError::Skipped { why, .. }) => {
                    job.notes.push(format!("not available here: {why}"));
                }
                Err(error) => job.notes.push(format!("not available here: {error}")),
            }
        }
        jobs.push(job);
    }
    for name in &args.target {
        jobs.push(ask(name)?);
    }
    Ok(jobs)
}

fn ask(name: &str) -> Result<Job, CliError> {
    struct Describe<'a>(&'a str);

    impl Visit for Describe<'_> {
        type Output = Job;

        fn visit<T: Target>(self, target: T) -> Result<Job, CliError> {
            let mut job = Job::new("target", self.0, Status::Holds, "available".to_owned());
            divergence::target_facts(&mut job, &target.description());
            Ok(job)
        }
    }

    TargetArgs::named(name).visit(Describe(name))
}

/// Every preset with its purpose and bounds.
pub fn presets() -> Result<Vec<Job>, CliError> {
    let all = Preset::all().iter();
    all.map(|preset| {
        let chosen = Chosen::preset(preset.name)?;
        let mut job = Job::new(
            "preset",
            preset.name,
            Status::Holds,
            preset.purpose.to_owned(),
        );
        job.fact("protocol", chosen.switches());
        job.fact("bounds", chosen.bounds());
        job.fact("part of verify", preset.ci);
        Ok(job)
    })
    .collect()
}
