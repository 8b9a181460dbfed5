//! `lockstep generate`: traces from the specification.

use super::check::{LimitArgs, default_threads};
use super::cover;
use super::error::CliError;
use super::model::ModelArgs;
use super::progress::Reporter;
use crate::report::{Job, Status};
use clap::{Args, ValueEnum};
use lockstep_conformance::corpus::corpus;
use lockstep_conformance::cover::{Cover, cover_edges, cover_inputs};
use lockstep_traces::{TRACE_EXTENSION, Trace};
use std::path::{Path, PathBuf};
use std::time::Instant;

/// Options of `lockstep generate`.
#[derive(Debug, Args)]
pub struct GenerateArgs {
    /// What the traces of the preset must cover
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

#[derive(Clone, Copy, Debug, ValueEnum)]
enum What {
    /// Every distinct (server state, input)
    #[value(alias = "states")]
    Inputs,
    /// Every transition of the cluster's graph; for small presets
    Edges,
    /// Nothing of a preset: the traces that are checked in, see `traces/corpus`
    Corpus,
}

/// Makes the traces and writes them, one file each.
///
/// # Errors
/// The model does not exist, there is nothing to cover, or a file cannot be written.
pub fn run(args: &GenerateArgs, progress: &Reporter) -> Result<Vec<Job>, CliError> {
    if matches!(args.cover, What::Corpus) {
        return checked_in(args);
    }
    let chosen = args.model.choose()?;
    let clock = Instant::now();
    let options = cover::options(&chosen, &args.limits, progress);
    let (what, made) = match args.cover {
        What::Edges => ("transitions", cover_edges(&chosen.cluster, options)),
        What::Inputs | What::Corpus => (
            "(server state, input)",
            cover_inputs(&chosen.cluster, options),
        ),
    };
    if made.traces.is_empty() {
        let text = "there is nothing to cover within the bound, so there is no trace to write";
        return Err(CliError::Usage(text.to_owned()));
    }
    save(&made.traces, &args.out)?;
    let mut job = job(&args.out, what, &made);
    job.seconds = clock.elapsed().as_secs_f64();
    job.fact("protocol", chosen.switches());
    job.fact("bounds", chosen.bounds());
    Ok(vec![job])
}

/// Makes the traces that are checked in.
fn checked_in(args: &GenerateArgs) -> Result<Vec<Job>, CliError> {
    let clock = Instant::now();
    let made = corpus(default_threads()).map_err(|error| CliError::Input(error.to_string()))?;
    save(&made, &args.out)?;
    let folder = args.out.display().to_string();
    let verdict = "every witness, kind of event and story".to_owned();
    let mut job = Job::new("generate", folder, Status::Holds, verdict);
    job.fact("traces", made.len());
    job.fact(
        "steps",
        made.iter().map(|trace| trace.steps.len()).sum::<usize>(),
    );
    job.seconds = clock.elapsed().as_secs_f64();
    Ok(vec![job])
}

fn job(folder: &Path, what: &str, made: &Cover) -> Job {
    let (status, verdict) = match made.stopped_by {
        None => (Status::Holds, "every one covered".to_owned()),
        Some(limit) => (Status::Stopped, format!("bounded ({limit})")),
    };
    let mut job = Job::new("generate", folder.display().to_string(), status, verdict);
    job.fact("covers", what);
    job.fact("distinct", made.distinct);
    job.fact("traces", made.traces.len());
    job.fact("steps", made.steps());
    job
}

/// Writes each trace to a file with its name.
pub fn save(traces: &[Trace], folder: &Path) -> Result<(), CliError> {
    let fail = |path: &Path| {
        let path = path.to_owned();
        move |source| CliError::Output { path, source }
    };
    std::fs::create_dir_all(folder).map_err(fail(folder))?;
    for trace in traces {
        let path = folder.join(format!("{}.{TRACE_EXTENSION}", trace.header.name));
        trace.save(&path).map_err(fail(&path))?;
    }
    Ok(())
}
