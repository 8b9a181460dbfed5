//! Searches one preset of the specification and prints the report as JSON, for nightly runs:
//!
//! ```text
//! cargo run --release -p lockstep-model --example search_preset -- PRESET [symmetry] [threads=N] \
//!     [memory=BYTES] [seconds=N] [states=N] [checkpoint=FOLDER]
//! ```
//!
//! Progress goes to stderr every ten seconds. The peak of the process's memory comes last.

use lockstep_model::search::{Search, bench::peak_bytes};
use lockstep_model::{Cluster, Preset, Settings};
use std::error::Error;
use std::ops::ControlFlow;
use std::time::Duration;

fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args().skip(1);
    let name = arguments.next().ok_or("the name of a preset is wanted")?;
    let preset = Preset::named(&name).ok_or("there is no such preset")?;
    let cluster = Cluster::new(Settings::new(&preset.config)?, preset.bounds);
    let mut search = Search::new(&cluster).threads(2);
    for argument in arguments {
        search = match argument.split_once('=') {
            None if argument == "symmetry" => search.symmetry(true),
            Some(("threads", threads)) => search.threads(threads.parse()?),
            Some(("memory", bytes)) => search.max_memory(bytes.parse()?),
            Some(("seconds", seconds)) => search.max_time(Duration::from_secs(seconds.parse()?)),
            Some(("states", states)) => search.max_states(states.parse()?),
            Some(("checkpoint", folder)) => search
                .checkpoint(folder, Duration::from_secs(60))
                .resume(true),
            _ => return Err(format!("{argument:?} is not understood").into()),
        };
    }
    let search = search.on_progress(Duration::from_secs(10), |progress| {
        eprintln!(
            "{:.0} s: {} distinct, depth {}, queue {}, {:.0}/s, {} MiB memory, {} MiB disk",
            progress.elapsed_seconds,
            progress.distinct,
            progress.depth,
            progress.queue,
            progress.states_per_second,
            progress.memory_bytes >> 20,
            progress.disk_bytes >> 20,
        );
        ControlFlow::Continue(())
    });
    let report = search.run()?.report;
    println!("{}", serde_json::to_string_pretty(&report)?);
    println!("verdict: {}", report.verdict);
    println!("peak of the process: {} bytes", peak_bytes());
    Ok(())
}
