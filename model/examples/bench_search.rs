//! This engine beside stateright's searches, on the Raft specification, over four sizes of the space:
//!
//! ```text
//! cargo run --release -p lockstep-model --example bench_search [-- SIZE…]
//! ```
//!
//! Every measurement is a process of its own, so that the peak of memory is its own too.

use lockstep_model::search::bench::{Contender, Measurement, measure};
use lockstep_model::{Bounds, Budget, Cluster, Settings};
use std::process::Command;

/// The sizes: name, messages in flight, proposals, restarts, drops.
const SIZES: [(&str, usize, u16, u16, u16); 4] = [
    ("1", 3, 0, 0, 0),
    ("2", 4, 0, 0, 0),
    ("3", 3, 1, 0, 1),
    ("4", 3, 1, 1, 0),
];

fn cluster(name: &str) -> Option<Cluster> {
    let (_, in_flight, proposals, restarts, drops) =
        *SIZES.iter().find(|(size, ..)| *size == name)?;
    let config = lockstep_traces::Config {
        servers: 3,
        pre_vote: true,
        check_quorum: true,
        one_entry_per_append: false,
        max_inflight: 2,
    };
    let settings = Settings::new(&config).ok()?;
    let bounds = Bounds {
        max_term: 2,
        max_in_flight: in_flight,
        timeouts: Budget::Times(2),
        lease_expiries: Budget::Times(0),
        heartbeats: Budget::Times(0),
        quorum_checks: Budget::Times(0),
        proposals: Budget::Times(proposals),
        restarts: Budget::Times(restarts),
        duplicates: Budget::Times(0),
        drops: Budget::Times(drops),
        disturbances: Budget::Unlimited,
    };
    Some(Cluster::new(settings, bounds))
}

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    if let [flag, size, contender] = arguments.as_slice()
        && flag == "--measure"
    {
        let cluster = cluster(size).expect("the size is one of those known");
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
        "| size | search/threads | distinct | generated | seconds | states/s | bytes/state | speed | memory |"
    );
    println!("| --- | --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: |");
    for (size, ..) in SIZES {
        if !arguments.is_empty() && !arguments.iter().any(|asked| asked == size) {
            continue;
        }
        let rows: Vec<(Contender, Measurement)> = Contender::all(threads)
            .into_iter()
            .map(|contender| (contender, in_a_process(size, contender)))
            .collect();
        for (contender, row) in &rows {
            // Against stateright's fastest, and against its breadth-first search with as many threads.
            let theirs = rows
                .iter()
                .filter(|(contender, _)| is_stateright(*contender));
            let fastest = theirs.map(|(_, row)| row.rate()).fold(0.0, f64::max);
            let bfs = rows
                .iter()
                .find(|(contender, _)| contender.to_string() == "stateright-bfs/1");
            let memory = bfs.map_or(0.0, |(_, bfs)| {
                row.peak_bytes as f64 / bfs.peak_bytes as f64
            });
            println!(
                "| {size} | {contender} | {} | {} | {:.2} | {:.0} | {:.1} | {:.2} | 1/{:.1} |",
                row.distinct,
                row.generated,
                row.seconds,
                row.rate(),
                row.bytes_per_state(),
                row.rate() / fastest,
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

fn in_a_process(size: &str, contender: Contender) -> Measurement {
    let program = std::env::current_exe().expect("this program has a path");
    let output = Command::new(program)
        .args(["--measure", size, &contender.to_string()])
        .output()
        .expect("this program can be started again");
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    serde_json::from_slice(&output.stdout).expect("the measurement is numbers")
}
