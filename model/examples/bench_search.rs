//! This engine beside stateright's searches, on the Raft specification, over presets of four sizes:
//!
//! ```text
//! cargo run --release -p lockstep-model --example bench_search [-- PRESET…]
//! ```
//!
//! Every measurement is a process of its own, so that the peak of memory is its own too.

use lockstep_model::search::bench::{Contender, Measurement, measure};
use lockstep_model::{Cluster, Preset, Settings};
use std::process::Command;

/// The presets that are searched if none are named: four sizes, each several times the one before.
const PRESETS: [&str; 4] = ["smoke", "lease", "default", "wide"];

fn cluster(name: &str) -> Option<Cluster> {
    let preset = Preset::named(name)?;
    let settings = Settings::new(&preset.config).ok()?;
    Some(Cluster::new(settings, preset.bounds))
}

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    if let [flag, preset, contender] = arguments.as_slice()
        && flag == "--measure"
    {
        let cluster = cluster(preset).expect("the preset is one of those known");
        let contender: Contender = contender
            .parse()
            .expect("the contender is one of those known");
        let measured = measure(cluster, contender).expect("the search runs");
        println!(
            "{}",
            serde_json::to_string(&measured).expect("numbers can be written")
        );
        return;
    }
    let threads = std::thread::available_parallelism().map_or(2, usize::from);
    println!(
        "| preset | search/threads | distinct | generated | seconds | CPU s | states/s | states/CPU s | bytes/state | speed | CPU speed | memory |"
    );
    println!("| --- | --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: |");
    let named: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let presets = if named.is_empty() {
        PRESETS.to_vec()
    } else {
        named
    };
    for preset in presets {
        let rows: Vec<(Contender, Measurement)> = Contender::all(threads)
            .into_iter()
            .map(|contender| (contender, in_a_process(preset, contender)))
            .collect();
        for (contender, row) in &rows {
            // Against stateright's fastest, and against its breadth-first search with as many threads.
            let fastest = |rate: fn(&Measurement) -> f64| {
                let theirs = rows
                    .iter()
                    .filter(|(contender, _)| is_stateright(*contender));
                theirs.map(|(_, row)| rate(row)).fold(0.0, f64::max)
            };
            let bfs = rows
                .iter()
                .find(|(contender, _)| contender.to_string() == "stateright-bfs/1");
            let memory = bfs.map_or(0.0, |(_, bfs)| {
                row.peak_bytes as f64 / bfs.peak_bytes as f64
            });
            println!(
                "| {preset} | {contender} | {} | {} | {:.2} | {:.2} | {:.0} | {:.0} | {:.1} | {:.2} | {:.2} | 1/{:.1} |",
                row.distinct,
                row.generated,
                row.seconds,
                row.cpu_seconds,
                row.rate(),
                row.cpu_rate(),
                row.bytes_per_state(),
                row.rate() / fastest(Measurement::rate),
                row.cpu_rate() / fastest(Measurement::cpu_rate),
                1.0 / memory,
            );
        }
        let counts = |row: &Measurement| (row.distinct, row.generated);
        assert!(
            rows.iter()
                .all(|(_, row)| counts(row) == counts(&rows[0].1)),
            "the searches do not agree on the counts"
        );
    }
}

fn is_stateright(contender: Contender) -> bool {
    matches!(contender, Contender::Stateright { .. })
}

fn in_a_process(preset: &str, contender: Contender) -> Measurement {
    let program = std::env::current_exe().expect("this program has a path");
    let output = Command::new(program)
        .args(["--measure", preset, &contender.to_string()])
        .output()
        .expect("this program can be started again");
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    serde_json::from_slice(&output.stdout).expect("the measurement is numbers")
}
