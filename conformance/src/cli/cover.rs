//! `lockstep conform` for a target that cannot be copied: traces that give every server state every input
//! are made from the specification and replayed.

use super::check::LimitArgs;
use super::dialect;
use super::divergence;
use super::error::CliError;
use super::model::Chosen;
use super::progress::{Reporter, Tick};
use super::side_file::SideFile;
use super::target::{TargetArgs, Visit};
use crate::cover::{Cover, CoverOptions, CoverageReport, conform_by_cover, cover_inputs};
use crate::minimise::minimise;
use crate::report::human::grouped;
use crate::report::{Job, Status};
use crate::verdict::{Strength, Verdict};
use crate::{Divergence, Target};
use std::time::{Duration, Instant};

/// The assertion, named alike in every run.
const AGREES: &str = "every (server state, input) that was driven agrees";

/// Makes the traces and replays them.
///
/// # Errors
/// The target cannot be started, or nothing was compared.
pub fn one(
    chosen: &Chosen,
    target: &TargetArgs,
    limits: &LimitArgs,
    trace_out: &SideFile,
    progress: &Reporter,
) -> Result<Job, CliError> {
    let clock = Instant::now();
    let name = format!("{} on {}", chosen.name, target.target);
    let (mut job, found) = target.visit(Drive {
        name,
        chosen,
        limits,
        target,
        progress,
    })?;
    job.seconds = clock.elapsed().as_secs_f64();
    if let Some(found) = found {
        divergence::describe(&mut job, &found);
        divergence::save(&mut job, &found.trace, target, trace_out, progress);
    }
    Ok(job)
}

/// Returns the options of a search for the items to cover.
pub fn options<'a>(
    chosen: &Chosen,
    limits: &LimitArgs,
    progress: &'a Reporter,
) -> CoverOptions<'a> {
    progress.begin(format!("cover {}", chosen.name));
    CoverOptions {
        preset: (!chosen.changed).then(|| chosen.preset.clone()),
        max_states: limits.max_states,
        max_memory: limits.memory.map(|mebibytes| mebibytes << 20),
        max_time: limits.timeout.map(Duration::from_secs),
        on_progress: Box::new(|it| {
            progress.tick(&Tick {
                done: it.generated,
                unit: "transitions",
                queue: Some(it.queue),
                memory_bytes: Some(it.memory_bytes),
                note: format!("depth {}", it.depth),
            })
        }),
    }
}

struct Drive<'a> {
    name: String,
    chosen: &'a Chosen,
    limits: &'a LimitArgs,
    target: &'a TargetArgs,
    progress: &'a Reporter,
}

type Found = Box<Divergence>;

impl Visit for Drive<'_> {
    type Output = (Job, Option<Found>);

    fn visit<T: Target>(self, target: T) -> Result<Self::Output, CliError> {
        let Drive {
            name,
            chosen,
            limits,
            progress,
            ..
        } = &self;
        // Before the graph is searched, which can take minutes.
        target.accepts(&chosen.cluster.settings().config())?;
        let cover = &cover_inputs(&chosen.cluster, options(chosen, limits, progress));
        progress.begin(format!("conform {name}"));
        let clock = Instant::now();
        let traces = cover.traces.len();
        let report = conform_by_cover(&target, cover, &mut |it| {
            progress.tick(&Tick {
                done: it.compared,
                unit: "steps",
                note: format!("{} of {traces} traces", it.traces),
                ..Tick::default()
            })
        })?;
        let seconds = clock.elapsed().as_secs_f64();
        let found = report.replay.divergence.as_ref().map(|(_, found)| {
            let settings = chosen.cluster.settings();
            Box::new(minimise(&target, settings, cover, found))
        });
        let mut job = job(
            name,
            chosen,
            cover,
            &report,
            found.as_deref(),
            self.target.partial,
        )?;
        let rate = report.replay.compared as f64 / seconds.max(f64::EPSILON);
        job.fact("implementation steps per second", rate as u64);
        Ok((job, found))
    }
}

fn job(
    name: &str,
    chosen: &Chosen,
    cover: &Cover,
    report: &CoverageReport,
    found: Option<&Divergence>,
    partial: bool,
) -> Result<Job, CliError> {
    let status = match report.verdict {
        Verdict::InPart(_) if partial => Status::Holds,
        Verdict::NothingChecked => {
            let text = format!("conform {name}: nothing was compared within the bound");
            return Err(CliError::Usage(text));
        }
        verdict => verdict.status(),
    };
    let share = report.share() * 100.0;
    let in_part = format!(
        "{} ({} of {}, {share:.2} %)",
        report.verdict,
        grouped(report.items_compared),
        grouped(report.items)
    );
    let verdict = match report.verdict {
        Verdict::Holds(Strength::EdgesCoveredWhereDriven) => {
            format!("{in_part}; the others are to change nothing")
        }
        Verdict::Holds(_) => format!("{} ({share:.2} %)", report.verdict),
        Verdict::InPart(_) => in_part,
        other => other.to_string(),
    };
    let mut job = Job::new("conform", name, status, verdict);
    divergence::target_facts(&mut job, &report.replay.target);
    job.fact("protocol", chosen.switches());
    job.fact("bounds", chosen.bounds());
    job.fact("distinct server states", cover.states);
    job.fact("distinct (server state, input)", report.items);
    job.fact("of them driven and compared", report.items_compared);
    job.fact("traces", report.replay.traces);
    job.fact("implementation steps executed", report.replay.compared);
    let counted = "(server state, input)";
    super::replay::not_driven(&mut job, &report.not_driven, counted, partial);
    super::replay::not_reached(&mut job, &report.replay);
    dialect::describe(&mut job, &report.dialect);
    match found {
        Some(found) => {
            let text = divergence::summary(found);
            job.failed(AGREES, Status::Violated, text);
        }
        None if status == Status::Holds => job.passed(AGREES),
        None => {
            let text = format!("{share:.2} % of them agree, the others were not driven");
            job.failed(AGREES, Status::Stopped, text);
        }
    }
    Ok(job)
}
