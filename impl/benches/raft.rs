//! Our Raft beside the `raft` crate (tikv's raft-rs): the same work in the same process.
//!
//! `cargo bench -p lockstep-raft --bench raft` runs both and prints, at the end, a table of ratios.

mod support;

use std::hint::black_box;
use std::path::PathBuf;
use std::time::Duration;

use bytes::Bytes;
use criterion::measurement::WallTime;
use criterion::{BenchmarkGroup, Criterion, Throughput};
use support::{Group, ours, raft_rs, replicate};

/// Each scenario by the name of its group, as the table shows it.
const SCENARIOS: [(&str, &str); 8] = [
    ("one-16B", "3 servers, one proposal at a time, 16 B"),
    ("one-1KiB", "3 servers, one proposal at a time, 1 KiB"),
    ("256-16B", "3 servers, 256 proposals in flight, 16 B"),
    ("256-1KiB", "3 servers, 256 proposals in flight, 1 KiB"),
    (
        "append",
        "one append to one follower, acknowledged and committed",
    ),
    ("heartbeat-3", "one heartbeat round, 3 followers"),
    ("heartbeat-101", "one heartbeat round, 101 followers"),
    ("conf-change", "a learner added and removed, 3 servers"),
];

fn both(
    criterion: &mut Criterion,
    scenario: &str,
    size: u64,
    operations: u64,
    ours_step: impl Fn(&mut ours::Servers),
    raft_rs_step: impl Fn(&mut raft_rs::Servers),
) {
    let mut group = criterion.benchmark_group(scenario);
    group.throughput(Throughput::Elements(operations));
    measure(&mut group, "lockstep", size, ours_step);
    measure(&mut group, "raft-rs", size, raft_rs_step);
    group.finish();
}

fn measure<G: Group>(
    group: &mut BenchmarkGroup<'_, WallTime>,
    name: &str,
    size: u64,
    step: impl Fn(&mut G),
) {
    let mut servers = G::new(size);
    group.bench_function(name, |bencher| bencher.iter(|| step(&mut servers)));
    black_box(servers.applied_bytes());
}

fn replication(criterion: &mut Criterion) {
    for (name, bytes) in [("16B", 16), ("1KiB", 1024)] {
        let data = Bytes::from(vec![7; bytes]);
        for (prefix, count) in [("one", 1), ("256", 256)] {
            both(
                criterion,
                &format!("{prefix}-{name}"),
                3,
                count as u64,
                |group| replicate(group, &data, count),
                |group| replicate(group, &data, count),
            );
        }
    }
    let data = Bytes::from(vec![7; 16]);
    both(
        criterion,
        "append",
        2,
        1,
        |group| replicate(group, &data, 1),
        |group| replicate(group, &data, 1),
    );
}

fn heartbeats(criterion: &mut Criterion) {
    for followers in [3, 101] {
        both(
            criterion,
            &format!("heartbeat-{followers}"),
            followers + 1,
            1,
            Group::heartbeat_round,
            Group::heartbeat_round,
        );
    }
}

fn membership(criterion: &mut Criterion) {
    fn cycle<G: Group>(group: &mut G) {
        group.change_membership(true);
        group.change_membership(false);
    }
    both(criterion, "conf-change", 3, 2, cycle, cycle);
}

/// Both kinds of group must have done the same work, or the comparison means nothing.
fn same_work() {
    fn bytes<G: Group>() -> u64 {
        let mut group = G::new(3);
        replicate(&mut group, &Bytes::from(vec![7; 100]), 300);
        group.applied_bytes()
    }
    assert_eq!(bytes::<ours::Servers>(), 3 * 300 * 100);
    assert_eq!(bytes::<raft_rs::Servers>(), 3 * 300 * 100);
}

/// The folder that criterion writes to.
fn results() -> PathBuf {
    let target = std::env::var_os("CARGO_TARGET_DIR").map(PathBuf::from);
    let workspace = || PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../target");
    target.unwrap_or_else(workspace).join("criterion")
}

/// The median time of a benchmark in nanoseconds, if it has been run. The mean would show what else the
/// machine has to do.
fn median(scenario: &str, name: &str) -> Option<f64> {
    let path = results()
        .join(scenario)
        .join(name)
        .join("new/estimates.json");
    let estimates = std::fs::read_to_string(path).ok()?;
    let estimates: serde_json::Value = serde_json::from_str(&estimates).ok()?;
    estimates["median"]["point_estimate"].as_f64()
}

fn print_table() {
    println!("\n| scenario | lockstep-raft | raft-rs 0.7 | ratio |\n|---|---:|---:|---:|");
    for (scenario, title) in SCENARIOS {
        if let (Some(ours), Some(theirs)) =
            (median(scenario, "lockstep"), median(scenario, "raft-rs"))
        {
            let micros = |nanos: f64| format!("{:.2} µs", nanos / 1000.0);
            let ratio = theirs / ours;
            println!(
                "| {title} | {} | {} | {ratio:.2} |",
                micros(ours),
                micros(theirs)
            );
        }
    }
}

fn main() {
    same_work();
    let mut criterion = Criterion::default()
        .sample_size(50)
        .warm_up_time(Duration::from_secs(1))
        .measurement_time(Duration::from_secs(4))
        .configure_from_args();
    replication(&mut criterion);
    heartbeats(&mut criterion);
    membership(&mut criterion);
    criterion.final_summary();
    print_table();
}
