//! Our Raft beside the `raft` crate (tikv's raft-rs): the same work in the same process.
//!
//! `cargo bench -p lockstep-raft --bench raft` runs both under criterion, one after the other, and then
//! once more in turns, less than a millisecond each, for the table of ratios that it prints at the end: what
//! else the machine has to do then slows both alike. `-- table` prints the table alone.

mod support;

use std::hint::black_box;
use std::time::{Duration, Instant};

use bytes::Bytes;
use criterion::measurement::WallTime;
use criterion::{BenchmarkGroup, Criterion, Throughput};
use support::{Group, ours, raft_rs, replicate};

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

fn cycle<G: Group>(group: &mut G) {
    group.change_membership(true);
    group.change_membership(false);
}

fn membership(criterion: &mut Criterion) {
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

/// The medians of the two times of one step, and of their ratio.
struct Comparison {
    title: &'static str,
    ours: Duration,
    raft_rs: Duration,
    ratio: f64,
}

/// The number of turns of each side in a comparison, and the time that one takes.
const TURNS: usize = 1_000;
const TURN: Duration = Duration::from_micros(400);

fn compare(
    title: &'static str,
    size: u64,
    ours_step: impl Fn(&mut ours::Servers),
    raft_rs_step: impl Fn(&mut raft_rs::Servers),
) -> Comparison {
    let mut ours = Turns::new(size, ours_step);
    let mut raft_rs = Turns::new(size, raft_rs_step);
    let mut ratios = Vec::with_capacity(TURNS);
    for turn in 0..TURNS {
        // Nobody always has the first turn.
        let (a, b) = if turn % 2 == 0 {
            let first = ours.take();
            (first, raft_rs.take())
        } else {
            let first = raft_rs.take();
            (ours.take(), first)
        };
        ratios.push(b.as_secs_f64() / a.as_secs_f64());
    }
    ratios.sort_by(f64::total_cmp);
    Comparison {
        title,
        ours: ours.median(),
        raft_rs: raft_rs.median(),
        ratio: ratios[TURNS / 2],
    }
}

/// One side of a comparison.
struct Turns<G, S> {
    group: G,
    step: S,
    steps_per_turn: u32,
    times: Vec<Duration>,
}

impl<G: Group, S: Fn(&mut G)> Turns<G, S> {
    fn new(size: u64, step: S) -> Turns<G, S> {
        let mut turns = Turns {
            group: G::new(size),
            step,
            steps_per_turn: 1,
            times: Vec::with_capacity(TURNS),
        };
        // Warms up, too.
        while turns.run() * turns.steps_per_turn < TURN {
            turns.steps_per_turn *= 2;
        }
        turns
    }

    /// The time of one step.
    fn run(&mut self) -> Duration {
        let start = Instant::now();
        for _ in 0..self.steps_per_turn {
            (self.step)(&mut self.group);
        }
        start.elapsed() / self.steps_per_turn
    }

    fn take(&mut self) -> Duration {
        let time = self.run();
        self.times.push(time);
        time
    }

    fn median(mut self) -> Duration {
        black_box(self.group.applied_bytes());
        self.times.sort();
        self.times[self.times.len() / 2]
    }
}

fn comparisons() -> Vec<Comparison> {
    let mut all = Vec::new();
    let mut replication = |title, size: u64, bytes: usize, count: usize| {
        let data = Bytes::from(vec![7; bytes]);
        all.push(compare(
            title,
            size,
            |group| replicate(group, &data, count),
            |group| replicate(group, &data, count),
        ));
    };
    replication("3 servers, one proposal at a time, 16 B", 3, 16, 1);
    replication("3 servers, one proposal at a time, 1 KiB", 3, 1024, 1);
    replication("3 servers, 256 proposals in flight, 16 B", 3, 16, 256);
    replication("3 servers, 256 proposals in flight, 1 KiB", 3, 1024, 256);
    replication(
        "one append to one follower, acknowledged and committed",
        2,
        16,
        1,
    );
    let mut heartbeats = |title, followers: u64| {
        all.push(compare(
            title,
            followers + 1,
            Group::heartbeat_round,
            Group::heartbeat_round,
        ));
    };
    heartbeats("one heartbeat round, 3 followers", 3);
    heartbeats("one heartbeat round, 101 followers", 101);
    all.push(compare(
        "a learner added and removed, 3 servers",
        3,
        cycle,
        cycle,
    ));
    all
}

fn print_table() {
    println!("\n| scenario | lockstep-raft | raft-rs 0.7 | ratio |\n|---|---:|---:|---:|");
    for Comparison {
        title,
        ours,
        raft_rs,
        ratio,
    } in comparisons()
    {
        let [ours, raft_rs] = [ours, raft_rs].map(|time| time.as_secs_f64() * 1e6);
        println!("| {title} | {ours:.2} µs | {raft_rs:.2} µs | {ratio:.2} |");
    }
}

fn main() {
    same_work();
    if std::env::args().any(|argument| argument == "table") {
        return print_table();
    }
    let mut criterion = Criterion::default()
        .sample_size(50)
        .warm_up_time(Duration::from_secs(1))
        .measurement_time(Duration::from_secs(4))
        .configure_from_args();
    replication(&mut criterion);
    heartbeats(&mut criterion);
    membership(&mut criterion);
    criterion.final_summary();
    // Not under a profiler, which is to see one benchmark alone.
    if !std::env::args().any(|argument| argument == "--profile-time") {
        print_table();
    }
}
