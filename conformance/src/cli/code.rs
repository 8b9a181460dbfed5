//! `lockstep check --target`: model-check an implementation itself.

use super::check::{self, CheckArgs, LimitArgs};
use super::checkpoint::CheckpointArgs;
use super::counterexample;
use super::error::CliError;
use super::model::Chosen;
use super::progress::Reporter;
use super::side_file::SideFile;
use super::target::{TargetArgs, VisitCode, lacks_text};
use super::violation;
use crate::TargetSpec;
use crate::code::{Code, CodeReport};
use crate::divergence::replay_command;
use crate::properties::Judge;
use crate::report::steps::count;
use crate::report::{Job, Status};
use crate::verdict::{Strength, Verdict as Established};
use lockstep_engine::{Report, Verdict};
use lockstep_model::Bounds;
use lockstep_traces::{Config, Trace};

/// Explores one target within the bounds of one model; without a report if there was nothing to explore.
pub fn run(
    args: &CheckArgs,
    target: &TargetSpec,
    chosen: &Chosen,
    limits: &LimitArgs,
    trace_out: Option<&SideFile>,
    progress: &Reporter,
) -> Result<(Job, Option<Report>), CliError> {
    if args.symmetry {
        let text = "--symmetry is not for implementations: their servers have names";
        return Err(CliError::Usage(text.to_owned()));
    }
    if let TargetSpec::Exec { program, line } = target {
        if args.checkpoints.are_kept() {
            let text = "--checkpoint and --resume are not for a program: another process could not read its states";
            return Err(CliError::Usage(text.to_owned()));
        }
        let program = (program, line.as_str());
        return super::opaque::run(args, program, chosen, limits, trace_out, progress);
    }
    let options = TargetArgs::of(target);
    options.explored()?;
    let exploration = Exploration {
        target: &options,
        chosen,
        limits,
        trace_out,
        progress,
        only: &args.only,
        checkpoints: Some(&args.checkpoints),
        plant: args.plant.command_line(),
    };
    options.visit_code(exploration)
}

/// Explores one target, in process, within the bounds of one model.
///
/// # Errors
/// The target cannot be explored or started, or the search cannot be done.
pub fn one(
    chosen: &Chosen,
    target: &TargetArgs,
    limits: &LimitArgs,
    trace_out: &SideFile,
    progress: &Reporter,
) -> Result<Job, CliError> {
    let exploration = Exploration {
        target,
        chosen,
        limits,
        trace_out: Some(trace_out),
        progress,
        only: &[],
        checkpoints: None,
        plant: target.options_again(),
    };
    target.visit_code(exploration).map(|(job, _)| job)
}

/// An exploration that was not made. It is no pass.
fn not_applicable(target: &TargetArgs, chosen: &Chosen, why: &str) -> Job {
    let name = format!("{} of {}", chosen.name, target.target);
    let verdict = format!("not applicable: {why}");
    let mut job = Job::new("check", name, Status::Skipped, verdict);
    job.skipped("it was explored", why);
    job
}

struct Exploration<'a> {
    target: &'a TargetArgs,
    chosen: &'a Chosen,
    limits: &'a LimitArgs,
    trace_out: Option<&'a SideFile>,
    progress: &'a Reporter,
    /// Only these properties, if there are any.
    only: &'a [String],
    checkpoints: Option<&'a CheckpointArgs>,
    /// The options beside the target, as they would be typed.
    plant: String,
}

impl VisitCode for Exploration<'_> {
    type Output = (Job, Option<Report>);

    fn bounds(&self) -> (Config, Bounds) {
        let cluster = &self.chosen.cluster;
        (cluster.settings().config(), *cluster.bounds())
    }

    fn lacks(self, lacks: &str) -> Self::Output {
        let why = lacks_text(lacks);
        (not_applicable(self.target, self.chosen, &why), None)
    }

    fn visit(self, code: Code<'_>) -> Result<Self::Output, CliError> {
        let Exploration {
            target,
            chosen,
            limits,
            trace_out,
            progress,
            checkpoints,
            ..
        } = &self;
        let name = format!("{} of {}", chosen.name, target.target);
        let only = self.only.to_vec();
        let report = code.check(|search| {
            progress.begin(format!("check {name}"));
            let search = check::with_limits(search, limits, progress);
            let search = match checkpoints {
                Some(checkpoints) => checkpoints.of(search),
                None => search,
            };
            if only.is_empty() {
                search
            } else {
                search.only(only)
            }
        })?;
        let mut job = job(&name, chosen, &code, &report)?;
        if let Some(checkpoints) = checkpoints {
            checkpoints.note(&mut job, report.checked.resumed_at);
        }
        if let Some(found) = &report.checked.counterexample {
            let mut trace = code.trace(found, check::provenance(chosen));
            if let Verdict::Violated { property, .. } = &report.checked.report.verdict {
                trace.header = trace.header.violating(property);
                explain(&mut job, property, &trace);
            }
            if let Some(file) = trace_out {
                save(&mut job, file, &self, &trace);
            }
        }
        Ok((job, Some(report.checked.report)))
    }
}

/// Explains what the implementation violates at the end of the trace.
fn explain(job: &mut Job, property: &str, trace: &Trace) {
    let config = &trace.header.config;
    if let Some(judge) = Judge::of_implementations(property, config) {
        let violation = judge.at_the_end_of(&trace.steps);
        let steps = count(trace.steps.len());
        let title = format!("A shortest path to the violation, {steps}");
        violation::describe(job, violation, title, config, &trace.steps);
    }
}

fn save(job: &mut Job, file: &SideFile, exploration: &Exploration<'_>, trace: &Trace) {
    counterexample::keep(job, trace, file, exploration.progress, |path| {
        let target = exploration.target.target.to_string();
        let again = replay_command(path, &target) + &exploration.plant;
        vec![
            ("what the implementation did, again", again),
            (
                "the same on the specification",
                replay_command(path, "spec"),
            ),
        ]
    });
}

fn job(
    name: &str,
    chosen: &Chosen,
    code: &Code<'_>,
    found: &CodeReport<'_>,
) -> Result<Job, CliError> {
    let report = &found.checked.report;
    let transitions = check::transitions(report)?;
    let broken =
        found.hidden.is_some() || (found.failure.is_some() && report.verdict == Verdict::Exhausted);
    let established = match broken {
        true => Established::HiddenState,
        false => Established::of_search(&report.verdict, Strength::CodeChecked),
    };
    let verdict = match established {
        // With the property, and the length of the way there.
        Established::Violated => report.verdict.to_string(),
        established => established.to_string(),
    };
    let mut job = Job::new("check", name, established.status(), verdict);
    job.seconds = report.time.total_seconds;
    super::divergence::target_facts(&mut job, code.description());
    check::facts(&mut job, chosen, report, transitions);
    let implementation = &found.implementation;
    job.fact("implementation states", implementation.states);
    job.fact("inputs executed", implementation.inputs);
    job.fact(
        "inputs executed again along a second path",
        implementation.inputs_rerun,
    );
    job.fact(
        "inputs without a second path",
        implementation.inputs_without_second_path,
    );
    for (reason, count) in &implementation.not_driven {
        job.fact(&format!("not driven: {reason}"), *count);
    }
    check::cases(&mut job, report);
    match (&report.verdict, broken) {
        (Verdict::Exhausted, false) => job.passed("servers with equal digests behave alike"),
        (_, true) => {
            let text = "the digest leaves out something that the implementation can read";
            job.failed(
                "servers with equal digests behave alike",
                Status::Violated,
                text,
            );
        }
        _ => {}
    }
    if let Some(hidden) = &found.hidden {
        super::divergence::describe_hidden(&mut job, hidden);
    }
    if let Some(failure) = &found.failure {
        job.notes.push(format!("the implementation: {failure}"));
    }
    check::tables(&mut job, report);
    job.detail = serde_json::to_value(report).unwrap_or_default();
    Ok(job)
}
