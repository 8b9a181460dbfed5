//! `lockstep bench`: the engine beside stateright's searches, on the same models in the same run.

use super::check::{default_threads, threads};
use super::child;
use super::error::CliError;
use super::model::Chosen;
use super::progress::Reporter;
use super::streams;
use crate::report::{Job, Status, Table};
use crate::stop;
use clap::Args;
use lockstep_engine::bench::{Contender, Measurement, measure};
use lockstep_engine::temporary::TemporaryFolder;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

/// The longest time that one search may take.
const LIMIT: Duration = Duration::from_secs(24 * 3600);

/// Options of `lockstep bench`.
#[derive(Debug, Args)]
pub struct BenchArgs {
    /// The presets to search, from small to large. All four take about five minutes and 2 GB, most of
    /// which is for stateright's searches of `wide` and `five`
    #[arg(value_name = "PRESET", default_values = ["lease", "default", "wide", "five"])]
    presets: Vec<String>,
    /// The most threads
    #[arg(long, value_name = "N", default_value_t = default_threads(), value_parser = threads)]
    threads: usize,
    /// Measure everything N times, in turns, and take the least time and the most memory of each: on a machine that
    /// does other things as well, one measurement says little
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..))]
    turns: u32,
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
        let mut line =
            serde_json::to_string(&measured).map_err(|error| CliError::Usage(error.to_string()))?;
        line.push('\n');
        streams::print(&line).map_err(|error| CliError::Usage(error.to_string()))?;
        return Ok(Vec::new());
    }
    // Each before the first minute.
    for preset in &args.presets {
        Chosen::preset(preset)?;
    }
    let mut growth = Vec::new();
    for preset in &args.presets {
        progress.job("bench", preset, || {
            let (job, rows) = one(preset, args, progress)?;
            growth.push((preset.as_str(), rows));
            Ok(job)
        })?;
    }
    if growth.len() > 1 {
        progress.keep(growing(&growth));
    }
    Ok(Vec::new())
}

type Rows = Vec<(Contender, Measurement)>;

/// Reports the cost of a state as the space grows; a constant means linear growth.
fn growing(presets: &[(&str, Rows)]) -> Job {
    let mut job = Job::new("bench", "growth", Status::Holds, "measured".to_owned());
    let cells = presets.iter().flat_map(|(preset, rows)| {
        rows.iter().map(|(contender, row)| {
            vec![
                (*preset).into(),
                contender.to_string().into(),
                row.distinct.into(),
                (row.cpu_seconds * 1e6 / row.distinct as f64).into(),
                row.bytes_per_state().into(),
            ]
        })
    });
    let columns = [
        "preset",
        "search/threads",
        "distinct",
        "CPU microseconds/state",
        "bytes/state",
    ];
    let table = Table::new("What a distinct state costs", &columns, cells.collect());
    job.tables.push(table.shown());
    job
}

/// Whether this invocation is one measurement, which has no report.
pub fn is_measurement(args: &BenchArgs) -> bool {
    args.measure.is_some()
}

fn one(preset: &str, args: &BenchArgs, progress: &Reporter) -> Result<(Job, Rows), CliError> {
    let chosen = Chosen::preset(preset)?;
    let mut rows = Rows::new();
    let place = std::env::temp_dir();
    let room =
        TemporaryFolder::new(&place, "lockstep-bench-").map_err(|source| CliError::Output {
            path: place,
            source,
        })?;
    let counts = |row: &Measurement| (row.distinct, row.generated);
    let mut same = true;
    for turn in 0..args.turns {
        for (number, contender) in Contender::all(args.threads).into_iter().enumerate() {
            progress.begin(format!("bench {preset}: {contender}"));
            let measured = in_a_process(preset, contender, room.path())?;
            if turn == 0 {
                rows.push((contender, measured));
            } else {
                rows[number].1.add_turn(&measured);
            }
            same &= counts(&measured) == counts(&rows[0].1);
        }
    }
    let mut job = Job::new("bench", preset, Status::Holds, "measured".to_owned());
    job.seconds = rows.iter().map(|(_, row)| row.seconds).sum();
    job.fact("turns", args.turns);
    job.fact("protocol", chosen.switches());
    job.fact("bounds", chosen.bounds());
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
    let theirs = || {
        let rows = rows.iter();
        rows.filter(|(it, _)| matches!(it, Contender::Stateright { .. }))
    };
    let cpu_rate = |row: &Measurement| row.distinct as f64 / row.cpu_seconds;
    let fastest = theirs().map(|(_, row)| row.rate()).fold(0.0, f64::max);
    let thriftiest = theirs().map(|(_, row)| cpu_rate(row)).fold(0.0, f64::max);
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
            row.cpu_seconds.into(),
            (row.rate() as u64).into(),
            row.bytes_per_state().into(),
            (row.rate() / fastest).into(),
            (cpu_rate(row) / thriftiest).into(),
            (bfs_bytes / row.peak_bytes as f64).into(),
        ]
    });
    let columns = [
        "search/threads",
        "distinct",
        "generated",
        "seconds",
        "CPU s",
        "states/s",
        "bytes/state",
        "times stateright's fastest",
        "the same by CPU",
        "1/memory of its breadth-first",
    ];
    job.tables
        .push(Table::new("Searches of the whole space", &columns, cells.collect()).shown());
    Ok((job, rows))
}

/// The measurement of a process of its own, whose temporary files are in this folder.
fn in_a_process(preset: &str, contender: Contender, room: &Path) -> Result<Measurement, CliError> {
    let failed = |what: &str| CliError::Usage(format!("{contender} on {preset}: {what}"));
    let program = std::env::current_exe().map_err(|error| failed(&error.to_string()))?;
    let mut command = Command::new(program);
    command
        .args(["bench", preset, "--measure", &contender.to_string()])
        .env("TMPDIR", room)
        .stderr(Stdio::piped());
    let output = child::run(command, LIMIT, stop::flow).map_err(|error| {
        if stop::requested() {
            CliError::Interrupted
        } else {
            failed(&error)
        }
    })?;
    if !output.status.success() {
        return Err(failed(String::from_utf8_lossy(&output.stderr).trim()));
    }
    serde_json::from_slice(&output.stdout).map_err(|error| failed(&error.to_string()))
}
