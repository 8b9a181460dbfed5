//! `lockstep simulate`: a swarm of random runs of the specification, for spaces that no search ends.

use super::check::{default_threads, threads};
use super::counterexample;
use super::error::CliError;
use super::model::{Chosen, ModelArgs, PlantArgs};
use super::outputs::Place;
use super::progress::{Reporter, Tick};
use super::side_file::SideFile;
use crate::divergence::replay_command;
use crate::path::steps_along;
use crate::report::{Job, Status, Table};
use crate::stop;
use clap::Args;
use lockstep_engine::{Limit, Swarm, SwarmSettings, Swarmed, Verdict};
use lockstep_model::Cluster;
use std::path::PathBuf;
use std::time::Duration;

/// Options of `lockstep simulate`.
#[derive(Debug, Args)]
pub struct SimulateArgs {
    #[command(flatten)]
    model: ModelArgs,
    #[command(flatten)]
    pub plant: PlantArgs,
    /// Seed that decides all runs
    #[arg(long, value_name = "SEED", default_value_t = 0)]
    seed: u64,
    /// The number of the first run
    #[arg(long, value_name = "N", default_value_t = 0)]
    first_run: u64,
    /// Number of runs
    #[arg(long, value_name = "N", default_value_t = 64)]
    runs: u64,
    /// Walks of a run, each from the initial state
    #[arg(long, value_name = "N", default_value_t = 16)]
    walks: u32,
    /// The most steps of a walk
    #[arg(long, value_name = "N", default_value_t = 256)]
    steps: u32,
    /// Threads; the result is the same for any number
    #[arg(long, value_name = "N", default_value_t = default_threads(), value_parser = threads)]
    threads: usize,
    /// Begin no run after N seconds
    #[arg(long, value_name = "SECONDS")]
    timeout: Option<u64>,
    /// Check only this property; may be given more than once
    #[arg(long, value_name = "NAME")]
    only: Vec<String>,
    /// Write the walk to a violation to this file, as a trace
    #[arg(long, value_name = "FILE")]
    trace_out: Option<PathBuf>,
}

impl SimulateArgs {
    /// Returns the file of the trace, if one was asked for.
    pub fn places(&self) -> Vec<Place> {
        let trace = self.trace_out.iter();
        trace.map(|path| Place::file("--trace-out", path)).collect()
    }
}

/// Simulates one model.
///
/// # Errors
/// The model does not exist, or no step was taken.
pub fn run(args: &SimulateArgs, progress: &Reporter) -> Result<Vec<Job>, CliError> {
    if args.first_run.checked_add(args.runs).is_none() {
        let text = format!(
            "--first-run {} --runs {}: the number of the last run is beyond {}",
            args.first_run,
            args.runs,
            u64::MAX
        );
        return Err(CliError::Usage(text));
    }
    let chosen = args.plant.within(args.model.choose()?);
    progress.begin(format!("simulate {}", chosen.name));
    let settings = SwarmSettings {
        seed: args.seed,
        first_run: args.first_run,
        runs: args.runs,
        walks: args.walks,
        steps: args.steps,
    };
    let path = args.trace_out.as_ref();
    let trace_out = path.map(|path| SideFile::named(path, progress));
    let mut swarm = Swarm::new(&chosen.cluster)
        .settings(settings)
        .threads(args.threads)
        .stop(stop::requested)
        .on_progress(|done| {
            let tick = Tick {
                done,
                unit: "runs",
                ..Tick::default()
            };
            // The stop is asked for more often.
            let _ = progress.tick(&tick);
        });
    if let Some(seconds) = args.timeout {
        swarm = swarm.max_time(Duration::from_secs(seconds));
    }
    if !args.only.is_empty() {
        swarm = swarm.only(args.only.iter().cloned());
    }
    let swarmed = swarm.run()?;
    let only = args.only.iter().map(|name| format!(" --only {name}"));
    let options = format!(
        "{}{}{}",
        args.model.command_line(),
        args.plant.command_line(),
        only.collect::<String>()
    );
    let mut job = job(&chosen, &options, &swarmed)?;
    if let (Some(file), Some(found)) = (&trace_out, &swarmed.counterexample) {
        let verdict = &swarmed.report.verdict;
        let trace = super::check::trace_of("simulated-counterexample", &chosen, verdict, found);
        counterexample::keep(&mut job, &trace, file, progress, |path| {
            let again = replay_command(path, "spec") + &args.plant.command_line();
            vec![("the walk, again", again)]
        });
    }
    Ok(vec![job])
}

fn job(chosen: &Chosen, model: &str, swarmed: &Swarmed<Cluster>) -> Result<Job, CliError> {
    let report = &swarmed.report;
    let (status, verdict) = match &report.verdict {
        Verdict::Violated { .. } => (Status::Violated, report.verdict.to_string()),
        // All that was asked was done: it is a sample, and says so.
        Verdict::Bounded {
            stopped_by: Limit::Runs,
        } if report.steps > 0 => (Status::Holds, format!("sampled ({} runs)", report.runs)),
        Verdict::Bounded {
            stopped_by: Limit::Runs,
        }
        | Verdict::Exhausted => {
            let text = "nothing was checked: the simulation took no step";
            return Err(CliError::Usage(text.to_owned()));
        }
        Verdict::Bounded { .. } => (Status::Stopped, report.verdict.to_string()),
    };
    let mut job = Job::new("simulate", &chosen.name, status, verdict);
    job.seconds = report.seconds;
    job.fact("purpose", chosen.purpose.as_str());
    job.fact("protocol", chosen.switches());
    job.fact("bounds", chosen.bounds());
    job.fact("runs", report.runs);
    job.fact("steps", report.steps);
    job.fact(
        "distinct states, added up over the runs",
        report.distinct_in_runs,
    );
    job.fact(
        "steps per second",
        (report.steps as f64 / report.seconds.max(1e-9)) as u64,
    );
    let again = report.reproduce.to_string().replace('=', " ");
    let options: Vec<_> = again.split(' ').collect();
    let options = options
        .chunks(2)
        .map(|pair| format!("--{}", pair.join(" ")));
    let options = options.collect::<Vec<_>>().join(" ");
    let again = format!("lockstep simulate {model} {options}");
    job.fact("repeat it with", again.as_str());
    job.commands.push(again);
    match &report.verdict {
        Verdict::Violated {
            property, depth, ..
        } => {
            let text = format!("violated at the end of a walk of {depth} steps");
            job.failed(property, Status::Violated, text);
        }
        _ if status == Status::Holds => job.passed("no property was violated in the sample"),
        _ => {
            let text = "none was violated in what was simulated";
            job.failed("no property is violated", Status::Stopped, text);
        }
    }
    let gaps: Vec<_> = report.gaps().iter().map(ToString::to_string).collect();
    if !gaps.is_empty() {
        job.tables.push(Table::new(
            "Not met in the sample",
            &["gap"],
            gaps.iter().map(|gap| vec![gap.as_str().into()]).collect(),
        ));
        job.fact("gaps", gaps.len());
    }
    if let Some(found) = &swarmed.counterexample {
        let actions: Vec<_> = found.actions().copied().collect();
        let steps = steps_along(&chosen.cluster, &actions);
        let title = "A walk to the violation, not the shortest";
        if let Verdict::Violated { property, .. } = &report.verdict {
            super::check::explain(&mut job, chosen, property, title, &steps);
        }
    }
    job.detail = serde_json::to_value(report).unwrap_or_default();
    Ok(job)
}
