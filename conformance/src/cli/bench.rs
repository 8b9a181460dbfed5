//! `lockstep bench`: the engine beside stateright's searches, on the same models in the same run.

use super::check::{default_threads, threads};
use super::error::CliError;
use super::model::Chosen;
use super::progress::Reporter;
use crate::report::{Job, Status, Table};
use clap::Args;
use lockstep_model::search::bench::{Contender, Measurement, measure};
use std::process::Command;

/// Options of `lockstep bench`.
#[derive(Debug, Args)]
pub struct BenchArgs {
    /// The presets to search
    #[arg(value_name = "PRESET", default_values = ["smoke", "votes", "lease"])]
    presets: Vec<String>,
    /// The most threads
    #[arg(long, value_name = "N", default_value_t = default_threads(), value_parser = threads)]
    threads: usize,
    /// Do one measurement in this process and print it
    #[arg(long, value_name = "CONTENDER", hide = true)]
    measure: Option<Contender>,
}

/// Measures every contender on every preset, each in a process of its own, since the peak of memory
/// belongs to a process.
///
/// # Errors
/// There is no such preset, or a measurement could not be made.
pub fn run(args: &BenchArgs, progress: &Reporter) -> Result<Vec<Job>, CliError> {
    if let Some(contender) = args.measure {
        let [preset] = args.presets.as_slice() else {
            return Err(CliError::Usage(
                "one preset is measured at a time".to_owned(),
            ));
        };
        let measured = measure(Chosen::preset(preset)?.cluster, contender)?;
        println!(
            "{}",
            serde_json::to_string(&measured).map_err(|error| CliError::Usage(error.to_string()))?
        );
        return Ok(Vec::new());
    }
    args.presets
        .iter()
        .map(|preset| one(preset, args.threads, progress))
        .collect()
}

/// Whether this invocation is one measurement, which has no report.
pub fn is_measurement(args: &BenchArgs) -> bool {
    args.measure.is_some()
}

fn one(preset: &str, threads: usize, progress: &Reporter) -> Result<Job, CliError> {
    let chosen = Chosen::preset(preset)?;
    let mut rows: Vec<(Contender, Measurement)> = Vec::new();
    for contender in Contender::all(threads) {
        progress.begin(format!("bench {preset}: {contender}"));
        rows.push((contender, in_a_process(preset, contender)?));
    }
    let mut job = Job::new("bench", preset, Status::Holds, "measured".to_owned());
    job.seconds = rows.iter().map(|(_, row)| row.seconds).sum();
    job.fact("protocol", chosen.switches());
    job.fact("bounds", chosen.bounds());
    let counts = |row: &Measurement| (row.distinct, row.generated);
    let same = rows
        .iter()
        .all(|(_, row)| counts(row) == counts(&rows[0].1));
    if same {
        job.passed("all searches count the same states and transitions");
    } else {
        let text = "they differ; the table shows where";
        job.failed(
            "all searches count the same states and transitions",
            Status::Violated,
            text,
        );
    }
    let theirs = rows
        .iter()
        .filter(|(it, _)| matches!(it, Contender::Stateright { .. }));
    let fastest = theirs.map(|(_, row)| row.rate()).fold(0.0, f64::max);
    let bfs = rows
        .iter()
        .find(|(it, _)| it.to_string() == "stateright-bfs/1");
    let bfs_bytes = bfs.map_or(0.0, |(_, row)| row.peak_bytes as f64);
    let cells = rows.iter().map(|(contender, row)| {
        vec![
            contender.to_string().into(),
            row.distinct.into(),
            row.generated.into(),
            row.seconds.into(),
            (row.rate() as u64).into(),
            row.bytes_per_state().into(),
            (row.rate() / fastest).into(),
            (row.peak_bytes as f64 / bfs_bytes).into(),
        ]
    });
    let columns = [
        "search/threads",
        "distinct",
        "generated",
        "seconds",
        "states/s",
        "bytes/state",
        "speed, of stateright's fastest",
        "memory, of stateright's breadth-first",
    ];
    job.tables
        .push(Table::new("Searches of the whole space", &columns, cells.collect()).shown());
    Ok(job)
}

fn in_a_process(preset: &str, contender: Contender) -> Result<Measurement, CliError> {
    let failed = |what: &str| CliError::Usage(format!("{contender} on {preset}: {what}"));
    let program = std::env::current_exe().map_err(|error| failed(&error.to_string()))?;
    let output = Command::new(program)
        .args(["bench", preset, "--measure", &contender.to_string()])
        .output()
        .map_err(|error| failed(&error.to_string()))?;
    if !output.status.success() {
        return Err(failed(String::from_utf8_lossy(&output.stderr).trim()));
    }
    serde_json::from_slice(&output.stdout).map_err(|error| failed(&error.to_string()))
}
