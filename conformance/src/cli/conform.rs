//! `lockstep conform`: an implementation against every edge of the specification's state graph.

use super::check::LimitArgs;
use super::checkpoint::CheckpointArgs;
use super::divergence::{self, TraceOutArgs};
use super::error::CliError;
use super::history;
use super::model::{Chosen, ModelArgs};
use super::outputs::Place;
use super::progress::{self, Reporter, Tick};
use super::side_file::SideFile;
use super::target::{TargetArgs, VisitFork, lacks_text};
use crate::product::{Product, ProductError, ProductReport};
use crate::report::{Job, Status};
use crate::target::Needs;
use crate::verdict::Verdict;
use crate::{Counts, Fork, Target};
use clap::Args;
use lockstep_engine::Checkable;
use lockstep_traces::Trace;
use std::time::Duration;

/// The assertion, named alike in every run.
const AGREES: &str = "every transition agrees in every field compared";

/// Options of `lockstep conform`.
#[derive(Debug, Args)]
pub struct ConformArgs {
    #[command(flatten)]
    model: ModelArgs,
    #[command(flatten)]
    pub target: TargetArgs,
    #[command(flatten)]
    limits: LimitArgs,
    #[command(flatten)]
    checkpoints: CheckpointArgs,
    #[command(flatten)]
    pub trace_out: TraceOutArgs,
}

impl ConformArgs {
    /// The places of the trace and the checkpoint.
    pub fn places(&self) -> Vec<Place> {
        let mut places = self.trace_out.places();
        places.extend(self.checkpoints.places());
        places
    }
}

/// Compares one target with one model.
///
/// # Errors
/// The model or the target does not exist, the target does not have what the model needs, or nothing was compared.
pub fn run(args: &ConformArgs, progress: &Reporter) -> Result<Vec<Job>, CliError> {
    let chosen = args.model.choose()?;
    if args.limits.max_depth.is_some() {
        let text = "a comparison has no depth limit; bound the model instead";
        return Err(CliError::Usage(text.to_owned()));
    }
    let target = args.target.start()?;
    let needs = Needs::of_model(&chosen.cluster.settings().config(), chosen.cluster.bounds());
    let lacks = target.lacks(&needs);
    if !lacks.is_empty() {
        return Err(CliError::Usage(format!(
            "{} is not applicable to {}: {}",
            chosen.name,
            args.target.target,
            lacks_text(&lacks.join(", "))
        )));
    }
    let chosen = chosen.in_dialect(target.dialect());
    drop(target);
    let trace_out = args.trace_out.file(progress);
    args.checkpoints.begin(progress);
    if args.checkpoints.are_kept() && !args.target.forks() {
        let text = "--checkpoint and --resume are not for a target whose servers cannot be copied";
        return Err(CliError::Usage(text.to_owned()));
    }
    let job = within(
        &chosen,
        &args.target,
        (&args.limits, Some(&args.checkpoints)),
        &trace_out,
        progress,
    );
    job.map(|job| vec![job])
}

impl From<ProductError> for CliError {
    fn from(error: ProductError) -> CliError {
        match error {
            ProductError::Target(error) => error.into(),
            ProductError::Search(error) => error.into(),
        }
    }
}

/// The comparison of one target with one model, as strong as the target allows.
pub fn one(
    chosen: &Chosen,
    target: &TargetArgs,
    limits: &LimitArgs,
    trace_out: &SideFile,
    progress: &Reporter,
) -> Result<Job, CliError> {
    within(chosen, target, (limits, None), trace_out, progress)
}

/// The same, with checkpoints.
fn within(
    chosen: &Chosen,
    target: &TargetArgs,
    (limits, checkpoints): (&LimitArgs, Option<&CheckpointArgs>),
    trace_out: &SideFile,
    progress: &Reporter,
) -> Result<Job, CliError> {
    if target.forks() {
        target.visit_fork(Exhaust {
            chosen,
            target,
            limits,
            checkpoints,
            trace_out,
            progress,
        })
    } else {
        super::cover::one(chosen, target, limits, trace_out, progress)
    }
}

/// The exhaustive product, on whichever target can be copied and digested.
struct Exhaust<'a> {
    chosen: &'a Chosen,
    target: &'a TargetArgs,
    limits: &'a LimitArgs,
    checkpoints: Option<&'a CheckpointArgs>,
    trace_out: &'a SideFile,
    progress: &'a Reporter,
}

impl VisitFork for Exhaust<'_> {
    type Output = Job;

    fn visit<T: Target + Sync>(self, target: T) -> Result<Job, CliError>
    where
        T::Server: Fork + Send,
    {
        let Exhaust {
            chosen,
            limits,
            checkpoints,
            progress,
            ..
        } = self;
        let name = format!("{} on {}", chosen.name, self.target.target);
        target.accepts(&chosen.cluster.settings().config())?;
        let work = format!(
            "conform {} {}",
            chosen.cluster.identity(),
            self.target.target
        );
        progress.begin_known(format!("conform {name}"), Some(&work));
        let mut product = Product::new(&chosen.cluster, &target)
            .threads(limits.threads)
            .on_progress(progress::INTERVAL, |it| {
                progress.tick(&Tick {
                    done: it.generated,
                    unit: "transitions",
                    queue: Some(it.queue),
                    memory_bytes: Some(it.memory_bytes),
                    note: format!("depth {}", it.depth),
                })
            });
        let room = super::check::room_on_disk(limits)?;
        if let Some(room) = &room {
            product = product.spill_folder(room.path());
        }
        if let Some(states) = limits.max_states {
            product = product.max_states(states);
        }
        if let Some(mebibytes) = limits.memory {
            product = product.max_memory(mebibytes << 20);
        }
        if let Some(seconds) = limits.timeout {
            product = product.max_time(Duration::from_secs(seconds));
        }
        if let Some((folder, interval)) = checkpoints.and_then(CheckpointArgs::kept) {
            product = product.checkpoint(folder, interval);
        }
        product = product.resume(checkpoints.is_some_and(|it| it.resume));
        let report = product.run()?;
        if report.verdict.strength().is_some() {
            let Counts {
                transitions,
                leaving_the_bound,
                ..
            } = report.counts;
            history::remember(&work, transitions - leaving_the_bound);
        }
        let mut job = job(&name, chosen, &report)?;
        if let Some(checkpoints) = checkpoints {
            checkpoints.note(&mut job, report.resumed_at);
        }
        let save = |job: &mut Job, trace: &Trace| {
            divergence::save(job, trace, self.target, self.trace_out, progress);
        };
        if let Some(found) = &report.divergence {
            divergence::describe(&mut job, found);
            save(&mut job, &found.trace);
        }
        if let Some(hidden) = &report.hidden {
            let trace = divergence::hidden_trace(&mut job, hidden, chosen, &target);
            save(&mut job, &trace);
        }
        Ok(job)
    }
}

fn job(name: &str, chosen: &Chosen, report: &ProductReport) -> Result<Job, CliError> {
    if report.verdict == Verdict::NothingChecked {
        let text = format!("conform {name}: nothing was compared within the bound");
        return Err(CliError::Usage(text));
    }
    let verdict = match &report.divergence {
        Some(found) => format!(
            "{} (after {} events)",
            report.verdict,
            found.trace.steps.len()
        ),
        None => report.verdict.to_string(),
    };
    let mut job = Job::new("conform", name, report.verdict.status(), verdict);
    job.seconds = report.seconds;
    divergence::target_facts(&mut job, &report.target);
    job.fact("protocol", chosen.switches());
    job.fact("bounds", chosen.bounds());
    let counts = &report.counts;
    job.fact("product states", counts.product_states);
    if let Some(states) = counts.model_states {
        job.fact("model states", states);
    }
    job.fact("transitions covered", counts.transitions);
    job.fact("of them leaving the bound", counts.leaving_the_bound);
    job.fact("of them at the network only", counts.network_transitions);
    job.fact("refused and ignored inputs compared", counts.probes);
    job.fact(
        "transitions per second",
        report.transitions_per_second() as u64,
    );
    job.fact(
        "transitions and probes per second",
        report.transitions_and_probes_per_second() as u64,
    );
    job.fact("depth", counts.depth);
    job.fact("distinct inputs compared", counts.distinct_inputs);
    let implementation = &report.implementation;
    job.fact("implementation states", implementation.states);
    job.fact("implementation steps executed", implementation.steps);
    job.fact(
        "inputs run again to test the digest",
        implementation.inputs_rerun,
    );
    for (reason, count) in &implementation.not_driven {
        job.fact(&format!("not driven, to change nothing: {reason}"), *count);
    }
    if let Some(search) = &report.search {
        job.fact("peak memory, MiB", search.memory.peak >> 20);
        if search.memory.disk > 0 {
            job.fact("on disk, MiB", search.memory.disk >> 20);
        }
        job.fact("collision probability", search.collision_probability);
        super::check::tables(&mut job, search);
        job.detail = serde_json::to_value(search).unwrap_or_default();
    }
    if let Some(trouble) = &report.trouble {
        job.notes.push(format!("a file failed: {trouble}"));
    }
    match report.verdict {
        Verdict::Holds(_) => {
            job.passed(AGREES);
            job.passed("every refused or ignored input agrees");
            job.passed("servers with equal digests behave alike");
        }
        Verdict::Bounded { stopped_by } => {
            let text = format!("no divergence in what was compared; stopped by: {stopped_by}");
            job.failed(AGREES, Status::Stopped, text);
        }
        _ => {}
    }
    if let Some(found) = &report.divergence {
        let text = divergence::summary(found);
        job.failed(AGREES, Status::Violated, text);
    }
    if let Some(hidden) = &report.hidden {
        divergence::describe_hidden(&mut job, hidden);
        let text = "the digest leaves out something that the implementation can read";
        job.failed(
            "servers with equal digests behave alike",
            Status::Violated,
            text,
        );
    }
    Ok(job)
}
