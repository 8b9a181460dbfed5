//! `lockstep replay`: traces on an implementation. Needs no model: a trace carries what is expected.

use super::divergence;
use super::error::CliError;
use super::progress::{Reporter, Tick};
use super::target::{TargetArgs, Visit};
use crate::report::{Job, Status};
use clap::Args;
use lockstep_conformance::Target;
use lockstep_conformance::replay::{ReplayError, ReplayReport, ReplayVerdict, replay};
use lockstep_traces::{Trace, trace_files};
use std::path::PathBuf;
use std::time::Instant;

/// Options of `lockstep replay`.
#[derive(Debug, Args)]
pub struct ReplayArgs {
    /// Traces, or directories of traces
    #[arg(required = true, value_name = "FILE|DIR")]
    paths: Vec<PathBuf>,
    #[command(flatten)]
    target: TargetArgs,
}

/// Replays every trace that was named.
///
/// # Errors
/// A file is not a trace, a directory holds none, or the target cannot be started.
pub fn run(args: &ReplayArgs, progress: &Reporter) -> Result<Vec<Job>, CliError> {
    let mut files = Vec::new();
    for path in &args.paths {
        files.extend(trace_files(path)?);
    }
    let names: Vec<_> = args
        .paths
        .iter()
        .map(|path| path.display().to_string())
        .collect();
    let name = format!("{} on {}", names.join(" "), args.target.target);
    let visit = Replay {
        name,
        files,
        target: &args.target,
        progress,
    };
    args.target.visit(visit).map(|job| vec![job])
}

/// Traces from files, on whichever target.
pub struct Replay<'a> {
    /// What the job is called.
    pub name: String,
    /// The files, each a trace.
    pub files: Vec<PathBuf>,
    /// The options that name the target.
    pub target: &'a TargetArgs,
    /// Where progress goes.
    pub progress: &'a Reporter,
}

impl Visit for Replay<'_> {
    type Output = Job;

    fn visit<T: Target>(self, target: T) -> Result<Job, CliError> {
        self.progress.begin(format!("replay {}", self.name));
        let clock = Instant::now();
        let files = self.files.len();
        let traces = self
            .files
            .iter()
            .map(|path| Trace::read(path).map(|trace| (path.display().to_string(), trace)));
        let report = replay(&target, traces, &mut |it| {
            self.progress.tick(&Tick {
                done: it.compared,
                unit: "steps",
                note: format!("{} of {files} traces", it.traces),
                ..Tick::default()
            })
        })?;
        let mut job = job(&self.name, &report, self.target)?;
        job.seconds = clock.elapsed().as_secs_f64();
        Ok(job)
    }
}

/// What a replay says, as a job.
fn job(name: &str, report: &ReplayReport, target: &TargetArgs) -> Result<Job, CliError> {
    let (status, verdict) = match report.verdict() {
        ReplayVerdict::Agreed => (Status::Holds, "sampled: every trace agrees"),
        ReplayVerdict::Partial => {
            let status = if target.partial {
                Status::Holds
            } else {
                Status::Stopped
            };
            (status, "sampled in part: not every input could be driven")
        }
        ReplayVerdict::Interrupted => (Status::Stopped, "stopped (interrupted)"),
        ReplayVerdict::Diverged => (Status::Violated, "diverged"),
        ReplayVerdict::NothingCompared => {
            let text = format!("{name}: nothing was compared in {} traces", report.traces);
            return Err(CliError::Input(text));
        }
    };
    let mut job = Job::new("replay", name, status, verdict.to_owned());
    divergence::target_facts(&mut job, &report.target);
    job.fact("traces", report.traces);
    job.fact("traces that agree", report.agreed);
    job.fact("steps of servers", report.steps);
    job.fact("steps compared", report.compared);
    job.fact("share of steps compared, %", report.share() * 100.0);
    for (reason, count) in &report.not_driven {
        job.fact(&format!("not driven: {reason}"), *count);
    }
    if report.not_reached > 0 {
        job.fact(
            "not compared, after an input that was not driven",
            report.not_reached,
        );
    }
    if let Some((source, found)) = &report.divergence {
        job.failed(source, Status::Violated, divergence::summary(found));
        divergence::describe(&mut job, found);
        let again = target.replay_command(found, source);
        job.notes.push(format!("repeat it with: {again}"));
    } else if status == Status::Holds {
        job.passed(format!(
            "{} traces agree in every step that was driven",
            report.traces
        ));
    }
    Ok(job)
}

/// The steps that were not compared, by reason.
pub fn undriven(job: &mut Job, report: &ReplayReport) {
    for (reason, count) in &report.not_driven {
        job.fact(&format!("steps not driven: {reason}"), *count);
    }
    if report.not_reached > 0 {
        job.fact("steps after one that was not driven", report.not_reached);
    }
}

impl From<ReplayError> for CliError {
    fn from(error: ReplayError) -> CliError {
        match error {
            ReplayError::Trace(error) => error.into(),
            ReplayError::Target(error) => error.into(),
        }
    }
}
