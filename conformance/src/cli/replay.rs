//! `lockstep replay`: traces on an implementation. Needs no model: a trace carries what is expected.

use super::divergence;
use super::error::CliError;
use super::progress::{Reporter, Tick};
use super::target::{TargetArgs, Visit};
use crate::report::human::grouped;
use crate::report::{Job, Status, Table};
use clap::Args;
use lockstep_conformance::Target;
use lockstep_conformance::replay::{NotDriven, ReplayError, ReplayReport, ReplayVerdict, replay};
use lockstep_conformance::stop;
use lockstep_traces::{PassedOver, Trace, TraceError, TraceFiles, TraceReader, trace_files};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Instant;

/// Options of `lockstep replay`.
#[derive(Debug, Args)]
pub struct ReplayArgs {
    /// Traces, or directories of traces
    #[arg(required = true, value_name = "FILE|DIR")]
    paths: Vec<PathBuf>,
    #[command(flatten)]
    pub target: TargetArgs,
}

/// Replays every trace that was named.
///
/// # Errors
/// A file is not a trace, a directory holds none, or the target cannot be started.
pub fn run(args: &ReplayArgs, progress: &Reporter) -> Result<Vec<Job>, CliError> {
    let mut files = TraceFiles::default();
    for path in &args.paths {
        files.append(trace_files(path)?);
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
    /// The files, each a trace, and what lies beside them.
    pub files: TraceFiles,
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
        let files = self.files.traces.len();
        let traces = self.files.traces.iter().map_while(|path| {
            let trace = read(path).transpose()?;
            Some(trace.map(|trace| (path.display().to_string(), trace)))
        });
        let report = replay(&target, traces, &mut |it| {
            self.progress.tick(&Tick {
                done: it.compared,
                unit: "steps",
                note: format!("{} of {files} traces", it.traces),
                ..Tick::default()
            })
        })?;
        let mut job = job(&self.name, &report, &self.files.traces, self.target)?;
        passed_over(&mut job, &self.files.passed_over);
        job.seconds = clock.elapsed().as_secs_f64();
        Ok(job)
    }
}

/// Reads a trace; `None` if there was a request to stop before its end.
fn read(path: &Path) -> Result<Option<Trace>, TraceError> {
    let mut reader = TraceReader::open(path)?;
    let header = reader.header().clone();
    let mut steps = Vec::new();
    for step in reader.by_ref() {
        if stop::requested() {
            return Ok(None);
        }
        steps.push(step?);
    }
    Ok(Some(Trace { header, steps }))
}

/// What a replay says, as a job.
fn job(
    name: &str,
    report: &ReplayReport,
    files: &[PathBuf],
    target: &TargetArgs,
) -> Result<Job, CliError> {
    let in_part = format!(
        "({} of {} steps, {:.2} %)",
        grouped(report.compared),
        grouped(report.steps),
        report.share() * 100.0
    );
    let (status, verdict) = match report.verdict() {
        ReplayVerdict::Agreed => (Status::Holds, "sampled: every trace agrees".to_owned()),
        ReplayVerdict::AgreedWhereDriven => (
            Status::Holds,
            format!(
                "sampled: every trace agrees where it can be driven {in_part}; the other steps are to \
                 change nothing"
            ),
        ),
        ReplayVerdict::Partial => {
            let status = if target.partial {
                Status::Holds
            } else {
                Status::Stopped
            };
            (
                status,
                format!("sampled in part: not every input could be driven {in_part}"),
            )
        }
        ReplayVerdict::Interrupted => (Status::Stopped, "stopped (interrupted)".to_owned()),
        ReplayVerdict::Diverged => (Status::Violated, "diverged".to_owned()),
        ReplayVerdict::NothingCompared => {
            let text = format!("{name}: nothing was compared in {} traces", report.traces);
            return Err(CliError::Input(text));
        }
    };
    let mut job = Job::new("replay", name, status, verdict);
    divergence::target_facts(&mut job, &report.target);
    job.fact("traces", report.traces);
    job.fact("traces that agree in every step", report.agreed);
    if report.agreed_where_driven > 0 {
        job.fact(
            "traces that agree where they can be driven",
            report.agreed_where_driven,
        );
    }
    job.fact("steps of servers", report.steps);
    job.fact("steps compared", report.compared);
    job.fact("share of steps compared, %", report.share() * 100.0);
    not_driven(&mut job, &report.not_driven, "steps", target.partial);
    not_reached(&mut job, report);
    if let Some((source, found)) = &report.divergence {
        job.failed(source, Status::Violated, divergence::summary(found));
        divergence::describe(&mut job, found);
        // A name that is no text is shown as one, but the command has the name itself.
        let file = files.iter().find(|it| it.display().to_string() == *source);
        if let Some(file) = file {
            let again = target.replay_command(file);
            job.notes.push(format!("repeat it with: {again}"));
        }
    } else if status == Status::Holds {
        job.passed(format!(
            "{} traces agree in every step that was driven",
            report.traces
        ));
    }
    Ok(job)
}

/// Names what lies beside the traces and was not read: a table for everybody, and an assertion that was not
/// put to the test for each.
fn passed_over(job: &mut Job, files: &[PassedOver]) {
    if files.is_empty() {
        return;
    }
    job.fact("files and folders that were not read", files.len());
    let mut rows = Vec::new();
    for PassedOver { path, why } in files {
        let (path, why) = (path.display().to_string(), why.to_string());
        job.skipped(format!("{path} was not read"), why.as_str());
        rows.push(vec![path.into(), why.into()]);
    }
    let table = Table::new("What was not read", &["path", "why"], rows);
    job.tables.push(table.shown());
}

/// Names what could not be driven, `counted` as these: a table for everybody, and an assertion that was not
/// put to the test for each kind of input and reason. One that was to change or send something stops the
/// job, unless it was `excused`.
pub fn not_driven(job: &mut Job, found: &BTreeMap<NotDriven, u64>, counted: &str, excused: bool) {
    if found.is_empty() {
        return;
    }
    job.fact(
        &format!("{counted} that could not be driven"),
        found.values().sum::<u64>(),
    );
    let mut rows = Vec::new();
    for (why, count) in found {
        let NotDriven {
            input,
            reason,
            changes_nothing,
        } = why;
        let name = format!("{input} was not driven: {reason}");
        let was_to = if *changes_nothing {
            "change nothing"
        } else {
            "change or send something"
        };
        let message = format!("{} {counted}, which were to {was_to}", grouped(*count));
        if *changes_nothing || excused {
            job.skipped(name, message);
        } else {
            job.failed(name, Status::Stopped, message);
        }
        rows.push(vec![
            (*input).into(),
            reason.as_str().into(),
            was_to.into(),
            (*count).into(),
        ]);
    }
    let columns = ["input", "why", "was to", counted];
    job.tables
        .push(Table::new("What was not driven", &columns, rows).shown());
}

/// The steps of servers that had missed one.
pub fn not_reached(job: &mut Job, report: &ReplayReport) {
    if report.not_reached > 0 {
        job.fact(
            "steps not compared, after one that was not driven",
            report.not_reached,
        );
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
