//! `lockstep generate`: traces from the specification.

use super::check::LimitArgs;
use super::cover;
use super::error::CliError;
use super::model::{Chosen, ModelArgs};
use super::outputs::Place;
use super::pages;
use super::progress::{Reporter, Tick};
use super::side_file::save;
use crate::corpus::{CorpusError, corpus};
use crate::cover::{Streamed, cover_inputs, stream_edges};
use crate::report::{Job, Status};
use crate::stop;
use clap::{Args, ValueEnum};
use lockstep_engine::Limit;
use lockstep_traces::{TRACE_EXTENSION, Trace};
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::time::Instant;

/// Options of `lockstep generate`.
#[derive(Debug, Args)]
pub struct GenerateArgs {
    /// Items that the traces must cover
    #[arg(long, value_enum, default_value_t = What::Inputs)]
    cover: What,
    /// The folder to write to; made if it is missing
    #[arg(long, value_name = "DIR")]
    out: PathBuf,
    #[command(flatten)]
    model: ModelArgs,
    #[command(flatten)]
    limits: LimitArgs,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum What {
    /// Every distinct (server state, input), refused and ignored inputs included
    #[value(alias = "states")]
    Inputs,
    /// Every transition of the cluster's graph, which refused and ignored inputs are not; for small presets
    Edges,
    /// The corpus: every witness, every kind of event, and the stories; the preset does not matter
    Corpus,
}

impl GenerateArgs {
    /// Returns the folder of the traces.
    pub fn places(&self) -> Vec<Place> {
        vec![Place::folder("--out", &self.out)]
    }
}

/// Makes the traces and writes them, one file each. If one cannot be written, those before it stay, and the
/// report says so.
///
/// # Errors
/// The model does not exist, there is nothing to cover, or a file cannot be written.
pub fn run(args: &GenerateArgs, progress: &Reporter) -> Result<Vec<Job>, CliError> {
    if args.limits.max_depth.is_some() {
        let text = "a cover has no depth limit; bound the model instead";
        return Err(CliError::Usage(text.to_owned()));
    }
    if args.cover == What::Corpus && (!args.model.is_empty() || args.limits.limits()) {
        let text = "--cover corpus always makes the whole corpus: of the options of the model and the limits it \
                    takes --threads only";
        return Err(CliError::Usage(text.to_owned()));
    }
    let folder = Folder::make(&args.out)?;
    let job = match args.cover {
        What::Inputs => inputs(args, &folder, progress)?,
        What::Edges => edges(args, &folder, progress)?,
        What::Corpus => whole_corpus(args, &folder, progress)?,
    };
    Ok(vec![job])
}

fn inputs(args: &GenerateArgs, folder: &Folder, progress: &Reporter) -> Result<Job, CliError> {
    let chosen = args.model.choose()?;
    let clock = Instant::now();
    let options = cover::options(&chosen, &args.limits, progress);
    let made = cover_inputs(&chosen.cluster, options);
    let mut streamed = Streamed {
        distinct: made.distinct,
        states: made.states,
        stopped_by: made.stopped_by,
        ..Streamed::default()
    };
    for trace in &made.traces {
        if stop::requested() {
            streamed.stopped_by = Some(Limit::Interrupted);
            break;
        }
        if let Err(error) = folder.save(trace) {
            let all = Some(made.traces.len() as u64);
            progress.keep_part(part(args, &streamed, all, &error, clock));
            return Err(error);
        }
        streamed.traces += 1;
        streamed.steps += trace.steps.len() as u64;
    }
    covered(args, &chosen, "(server state, input)", &streamed, clock)
}

fn edges(args: &GenerateArgs, folder: &Folder, progress: &Reporter) -> Result<Job, CliError> {
    let chosen = args.model.choose()?;
    let clock = Instant::now();
    let options = cover::options(&chosen, &args.limits, progress);
    let mut failed = None;
    let mut written = Streamed::default();
    let streamed = stream_edges(&chosen.cluster, options, &mut |trace, _| {
        match folder.save(&trace) {
            Ok(()) => {
                written.traces += 1;
                written.steps += trace.steps.len() as u64;
            }
            Err(error) => {
                failed = Some(error);
                return ControlFlow::Break(());
            }
        }
        progress.tick(&Tick {
            done: written.traces,
            unit: "traces written",
            ..Tick::default()
        })
    });
    match failed {
        Some(error) => {
            progress.keep_part(part(args, &written, None, &error, clock));
            Err(error)
        }
        None => covered(args, &chosen, "transitions", &streamed, clock),
    }
}

/// Reports the traces that were written before an error.
fn part(
    args: &GenerateArgs,
    written: &Streamed,
    all: Option<u64>,
    error: &CliError,
    clock: Instant,
) -> Job {
    let name = args.out.display().to_string();
    let mut job = Job::not_reached("generate", &name, &error.to_string());
    job.seconds = clock.elapsed().as_secs_f64();
    job.fact("traces", written.traces);
    job.fact("steps", written.steps);
    if let Some(all) = all {
        job.fact("traces that are not written", all - written.traces);
    }
    job
}

fn covered(
    args: &GenerateArgs,
    chosen: &Chosen,
    what: &str,
    made: &Streamed,
    clock: Instant,
) -> Result<Job, CliError> {
    let (status, verdict) = match made.stopped_by {
        None if made.traces == 0 => {
            let text = "there is nothing to cover within the bound, so there is no trace to write";
            return Err(CliError::Usage(text.to_owned()));
        }
        None => (Status::Holds, "every one covered".to_owned()),
        Some(limit) => (Status::Stopped, format!("bounded ({limit})")),
    };
    let mut job = Job::new("generate", args.out.display().to_string(), status, verdict);
    job.seconds = clock.elapsed().as_secs_f64();
    job.fact("covers", what);
    job.fact("distinct", made.distinct);
    job.fact("traces", made.traces);
    job.fact("steps", made.steps);
    job.fact("protocol", chosen.switches());
    job.fact("bounds", chosen.bounds());
    Ok(job)
}

fn whole_corpus(
    args: &GenerateArgs,
    folder: &Folder,
    progress: &Reporter,
) -> Result<Job, CliError> {
    progress.begin("generate the corpus");
    let clock = Instant::now();
    let traces = corpus(args.limits.threads).map_err(|error| match error {
        CorpusError::Interrupted => CliError::Interrupted,
        error => CliError::Usage(error.to_string()),
    })?;
    let mut written = Streamed::default();
    for trace in &traces {
        if let Err(error) = folder.save(trace) {
            let all = Some(traces.len() as u64);
            progress.keep_part(part(args, &written, all, &error, clock));
            return Err(error);
        }
        written.traces += 1;
        written.steps += trace.steps.len() as u64;
    }
    let name = args.out.display().to_string();
    let mut job = Job::new(
        "generate",
        name,
        Status::Holds,
        "the whole corpus".to_owned(),
    );
    job.seconds = clock.elapsed().as_secs_f64();
    job.fact("traces", written.traces);
    job.fact("steps", written.steps);
    Ok(job)
}

/// The folder that the traces are written to, one file each.
struct Folder<'a>(&'a Path);

impl Folder<'_> {
    /// Makes the folder, and a file in it to see that it can be written.
    fn make(path: &Path) -> Result<Folder<'_>, CliError> {
        pages::make(path)?;
        Ok(Folder(path))
    }

    /// Writes a trace to a file with its name.
    fn save(&self, trace: &Trace) -> Result<(), CliError> {
        let path = self
            .0
            .join(format!("{}.{TRACE_EXTENSION}", trace.header.name));
        save(trace, &path).map_err(|source| CliError::Output { path, source })
    }
}
