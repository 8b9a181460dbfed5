//! `lockstep generate`: traces from the specification.

use super::check::LimitArgs;
use super::cover;
use super::error::CliError;
use super::model::ModelArgs;
use super::progress::Reporter;
use crate::report::{Job, Status};
use clap::{Args, ValueEnum};
use lockstep_conformance::corpus::corpus;
use lockstep_conformance::cover::{Cover, CoverOptions, cover_edges, cover_inputs};
use lockstep_model::Cluster;
use lockstep_traces::{TRACE_EXTENSION, Trace};
use std::path::{Path, PathBuf};
use std::time::Instant;

/// Options of `lockstep generate`.
#[derive(Debug, Args)]
pub struct GenerateArgs {
    /// What the traces must cover
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

/// Makes the traces and writes them, one file each.
///
/// # Errors
/// The model does not exist, there is nothing to cover, or a file cannot be written.
pub fn run(args: &GenerateArgs, progress: &Reporter) -> Result<Vec<Job>, CliError> {
    let job = match args.cover {
        What::Inputs => covering(args, "(server state, input)", cover_inputs, progress)?,
        What::Edges => covering(args, "transitions", cover_edges, progress)?,
        What::Corpus => whole_corpus(args, progress)?,
    };
    Ok(vec![job])
}

fn covering(
    args: &GenerateArgs,
    what: &str,
    make: fn(&Cluster, CoverOptions<'_>) -> Cover,
    progress: &Reporter,
) -> Result<Job, CliError> {
    let chosen = args.model.choose()?;
    let clock = Instant::now();
    let made = make(
        &chosen.cluster,
        cover::options(&chosen, &args.limits, progress),
    );
    if made.traces.is_empty() {
        let text = "there is nothing to cover within the bound, so there is no trace to write";
        return Err(CliError::Usage(text.to_owned()));
    }
    save(&made.traces, &args.out)?;
    let (status, verdict) = match made.stopped_by {
        None => (Status::Holds, "every one covered".to_owned()),
        Some(limit) => (Status::Stopped, format!("bounded ({limit})")),
    };
    let mut job = Job::new("generate", args.out.display().to_string(), status, verdict);
    job.seconds = clock.elapsed().as_secs_f64();
    job.fact("covers", what);
    job.fact("distinct", made.distinct);
    job.fact("traces", made.traces.len());
    job.fact("steps", made.steps());
    job.fact("protocol", chosen.switches());
    job.fact("bounds", chosen.bounds());
    Ok(job)
}

fn whole_corpus(args: &GenerateArgs, progress: &Reporter) -> Result<Job, CliError> {
    progress.begin("generate the corpus");
    let clock = Instant::now();
    let traces = corpus(args.limits.threads).map_err(|error| CliError::Usage(error.to_string()))?;
    save(&traces, &args.out)?;
    let name = args.out.display().to_string();
    let mut job = Job::new(
        "generate",
        name,
        Status::Holds,
        "the whole corpus".to_owned(),
    );
    job.seconds = clock.elapsed().as_secs_f64();
    job.fact("traces", traces.len());
    job.fact(
        "steps",
        traces.iter().map(|trace| trace.steps.len()).sum::<usize>(),
    );
    Ok(job)
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
