//! `lockstep walk`: random walks by ticks through an implementation and the specification, timers included.

use super::divergence::{self, TraceOutArgs};
use super::error::CliError;
use super::progress::{Reporter, Tick};
use super::side_file::SideFile;
use super::target::TargetArgs;
use crate::report::human::grouped;
use crate::report::{Job, Status, sentence};
use crate::stop;
use crate::verdict::Verdict;
use crate::walk::jitter::Jitter;
use crate::walk::{WalkOptions, WalkReport, walk};
use clap::Args;
use std::time::Instant;

/// The assertion about the walks, named alike in every run.
const AGREES: &str = "every walk agrees at every step";

/// The assertion about the sample of random timeouts.
const EVEN: &str = "election timeouts are drawn evenly, each apart from the last";

/// The verdict of walks that were asked to stop.
const INTERRUPTED: &str = "bounded (interrupted)";

/// Options of `lockstep walk`.
#[derive(Debug, Args)]
pub struct WalkArgs {
    /// The seed of the first walk; the others follow it
    #[arg(long, value_name = "SEED", default_value_t = 0)]
    seed: u64,
    /// Number of walks
    #[arg(long, value_name = "N", default_value_t = 100)]
    seeds: u64,
    /// Number of choices that each walk makes; one in fifteen makes five times as many
    #[arg(long, value_name = "N", default_value_t = 1000)]
    steps: usize,
    #[command(flatten)]
    pub target: TargetArgs,
    #[command(flatten)]
    pub trace_out: TraceOutArgs,
}

/// Does the walks that were asked for.
///
/// # Errors
/// There was nothing to walk, or a result could not be written.
pub fn run(args: &WalkArgs, progress: &Reporter) -> Result<Vec<Job>, CliError> {
    if args.seeds == 0 || args.steps == 0 {
        let text = "no walk, or walks without a step: nothing would be compared";
        return Err(CliError::Usage(text.to_owned()));
    }
    if args.seed.checked_add(args.seeds).is_none() {
        let text = format!(
            "--seed {} --seeds {}: the last seed would be above {}",
            args.seed,
            args.seeds,
            u64::MAX
        );
        return Err(CliError::Usage(text));
    }
    let options = WalkOptions {
        first_seed: args.seed,
        walks: args.seeds,
        steps: args.steps,
        config: None,
    };
    let trace_out = args.trace_out.file(progress);
    one(&options, &args.target, &trace_out, progress).map(|job| vec![job])
}

/// The walks of CI: 93 of 1,000 choices, and seven of 5,000.
pub fn standard(
    target: &TargetArgs,
    trace_out: &SideFile,
    progress: &Reporter,
) -> Result<Job, CliError> {
    let options = WalkOptions {
        first_seed: 0,
        walks: 100,
        steps: 1000,
        config: None,
    };
    one(&options, target, trace_out, progress)
}

fn one(
    options: &WalkOptions,
    target: &TargetArgs,
    trace_out: &SideFile,
    progress: &Reporter,
) -> Result<Job, CliError> {
    let name = format!(
        "{} seeds from {} on {}",
        options.walks, options.first_seed, target.target
    );
    let (walked, own_timers) = target.ticking()?;
    progress.begin(format!("walk {name}"));
    let clock = Instant::now();
    let report = walk(options, walked.as_ref(), &mut |it| {
        let counts = it.counts;
        progress.tick(&Tick {
            done: counts.steps,
            unit: "steps",
            note: match it.thinning {
                None => format!("{} of {} walks", counts.walks, options.walks),
                Some(left) => {
                    let left = grouped(left as u64);
                    format!("the last walk differs, and is thinned out: {left} choices left")
                }
            },
            ..Tick::default()
        })
    })?;
    let jitter = walked.jitter();
    let mut job = job(&name, &report, jitter.as_ref());
    if walked.draws() && jitter.is_none() && stop::requested() {
        if job.status == Status::Holds {
            job.verdict = INTERRUPTED.to_owned();
        }
        job.failed(EVEN, Status::Stopped, "interrupted");
    }
    divergence::target_facts(&mut job, &walked.description());
    let kept = match own_timers {
        true => "kept by the target, and compared",
        false => "kept by the harness, and not compared",
    };
    job.fact("timers", kept);
    job.seconds = clock.elapsed().as_secs_f64();
    if let Some(found) = &report.divergence {
        divergence::describe_after(&mut job, found.left_out, &found.divergence);
        if let Some(violation) = &found.violation {
            let text = sentence(violation);
            job.failed(&violation.property, Status::Violated, text);
            job.violations.push(violation.clone());
        }
        if found.left_out == 0 {
            let trace = &found.divergence.trace;
            divergence::save(&mut job, trace, target, trace_out, progress);
        } else {
            let text = "the way there is not saved: it is too long, or its end was not waited for";
            job.notes.push(text.to_owned());
        }
        let again = target.walk_command(found);
        job.command("with the timers, it is repeated by", again);
    }
    Ok(job)
}

fn job(name: &str, report: &WalkReport, jitter: Option<&Jitter>) -> Job {
    let uneven = jitter.is_some_and(|it| !it.wrong.is_empty());
    let (status, verdict) = match report.verdict() {
        Verdict::Holds(_) if uneven => (
            Status::Violated,
            "election timeouts are drawn unevenly".to_owned(),
        ),
        Verdict::Bounded { .. } => (Status::Stopped, INTERRUPTED.to_owned()),
        Verdict::NothingChecked => (Status::Violated, "nothing was committed".to_owned()),
        verdict => (verdict.status(), verdict.to_string()),
    };
    let mut job = Job::new("walk", name, status, verdict);
    let counts = &report.counts;
    job.fact("walks", counts.walks);
    if counts.not_applicable > 0 {
        job.fact("walks that are not applicable", counts.not_applicable);
        let text = "the target does not have what their configurations turn on";
        job.skipped(format!("{} walks", counts.not_applicable), text);
    }
    job.fact("steps", counts.steps);
    job.fact("ticks", counts.ticks);
    job.fact("inputs compared", counts.inputs);
    let evaluated = "steps judged by every property, on the implementation";
    job.fact(evaluated, counts.judged);
    job.fact("timer events raised by ticks", counts.timer_events);
    job.fact("deliveries", counts.deliveries);
    job.fact("refused by both sides", counts.refused);
    job.fact("elections", counts.elections);
    job.fact("proposals taken", counts.proposals);
    job.fact("entries committed", counts.committed);
    job.fact("election timeouts drawn", counts.draws);
    job.fact("restarts", counts.restarts);
    job.fact("highest term", counts.highest_term);
    job.fact("longest log", counts.longest_log);
    job.fact("farthest behind", counts.farthest_behind);
    job.fact("most appends on their way to a peer", counts.widest_window);
    if let Some(jitter) = jitter {
        job.fact("election timeouts sampled", jitter.draws);
        match jitter.wrong.as_slice() {
            [] => job.passed(EVEN),
            wrong => job.failed(EVEN, Status::Violated, wrong.join("; ")),
        }
    }
    match &report.divergence {
        None if report.verdict().strength().is_some() => job.passed(AGREES),
        None if report.verdict() == Verdict::NothingChecked => {
            let text = "nothing was, so that the walks say nothing";
            job.failed("something is committed", Status::Violated, text);
        }
        None => job.failed(AGREES, Status::Stopped, "no divergence so far"),
        Some(found) => {
            let what = match found.timer.as_ref().or(found.violated.as_ref()) {
                Some(what) => what.clone(),
                None => divergence::summary_after(found.left_out, &found.divergence),
            };
            let left = match found.thinned {
                true => "are needed",
                false => "are left, some perhaps not needed: thinning out was given up",
            };
            let text = format!(
                "seed {} after {} choices, of which {} {left}: {what}",
                found.seed, found.steps, found.needed
            );
            job.failed(AGREES, Status::Violated, text);
        }
    }
    job.detail = serde_json::to_value(counts).unwrap_or_default();
    job
}
