//! `lockstep targets` and `lockstep presets`: what there is to choose from.

use super::divergence;
use super::error::CliError;
use super::model::Chosen;
use super::target::{self, TargetArgs};
use crate::TargetSpec;
use crate::report::{Job, Status};
use crate::stop;
use clap::Args;
use lockstep_model::Preset;

/// Options of `lockstep targets`.
#[derive(Debug, Args)]
pub struct TargetsArgs {
    /// Also ask this target, which may be a program: exec:CMD; may be given more than once
    #[arg(long, value_name = "TARGET")]
    target: Vec<TargetSpec>,
}

/// Asks every target what it is. One that cannot be started here is listed with the reason.
pub fn targets(args: &TargetsArgs) -> Result<Vec<Job>, CliError> {
    // A mistake in a name is said at once.
    for spec in &args.target {
        target::targets().check(spec)?;
    }
    let asked = args.target.iter().map(ask);
    let mut asked = asked.collect::<Result<Vec<Job>, CliError>>()?;
    let mut jobs = Vec::new();
    for (name, what) in target::targets().iter() {
        if stop::requested() {
            jobs.push(Job::not_reached(
                "target",
                name,
                "interrupted before it was asked",
            ));
            continue;
        }
        let mut job = Job::new("target", name, Status::Holds, what.to_owned());
        match ask(&TargetSpec::Named(name.to_owned())) {
            Ok(mut asked) => {
                job.facts.append(&mut asked.facts);
                job.notes.append(&mut asked.notes);
            }
            Err(CliError::Skipped { why, .. }) => {
                job.notes.push(format!("not available here: {why}"));
            }
            Err(_) if stop::requested() => {
                job = Job::not_reached("target", name, "interrupted while it was asked");
            }
            Err(error) => job.notes.push(format!("not available here: {error}")),
        }
        jobs.push(job);
    }
    let text = "any program that speaks the exec protocol (`conformance/targets/PROTOCOL.md`)";
    jobs.push(Job::new(
        "target",
        "exec:CMD",
        Status::Holds,
        text.to_owned(),
    ));
    jobs.append(&mut asked);
    Ok(jobs)
}

fn ask(spec: &TargetSpec) -> Result<Job, CliError> {
    let described = TargetArgs::of(spec).describe()?;
    let available = "available".to_owned();
    let mut job = Job::new("target", spec.to_string(), Status::Holds, available);
    divergence::target_facts(&mut job, &described);
    Ok(job)
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
