//! A group of servers under everything that can go wrong: partitions, loss, duplication, reordering,
//! crashes that lose what was not synced, compaction and changes of the membership.
//!
//! Every run is made from one seed and repeats exactly. `LOCKSTEP_CHAOS_SEED` runs a single one,
//! `LOCKSTEP_CHAOS_SEEDS` that many of them in place of 1,000.

mod cluster;
mod history;
mod recovery;
mod server;
mod tally;
mod timing;
mod twins;

use std::panic::{AssertUnwindSafe, catch_unwind};

use cluster::Cluster;
use server::Mistakes;
use tally::Tally;

/// Runs a seed, and returns its tally or the failure.
fn failure(seed: u64, mistakes: Mistakes) -> Result<Tally, String> {
    let run = catch_unwind(AssertUnwindSafe(|| Cluster::new(seed, mistakes).run()));
    match run {
        Ok(Ok(tally)) => Ok(tally),
        Ok(Err(violation)) => Err(format!("{}: {}", violation.property, violation.detail)),
        Err(panic) => {
            let text = panic.downcast_ref::<String>().cloned();
            let text = text.or_else(|| panic.downcast_ref::<&str>().map(|text| (*text).to_owned()));
            Err(format!("panic: {}", text.unwrap_or_default()))
        }
    }
}

fn number(variable: &str) -> Option<u64> {
    let value = std::env::var(variable).ok()?;
    Some(
        value
            .parse()
            .unwrap_or_else(|_| panic!("{variable}={value} is no number")),
    )
}

#[test]
fn a_group_survives_everything_that_goes_wrong() {
    let seeds = match number("LOCKSTEP_CHAOS_SEED") {
        Some(seed) => seed..seed + 1,
        None => 0..number("LOCKSTEP_CHAOS_SEEDS").unwrap_or(1_000),
    };
    let count = seeds.end - seeds.start;
    let mut total = Tally::default();
    for seed in seeds {
        match failure(seed, Mistakes::default()) {
            Ok(tally) => total.merge(&tally),
            Err(problem) => panic!(
                "seed {seed} fails: {problem}\nto repeat it: LOCKSTEP_CHAOS_SEED={seed} \
                 cargo test -p lockstep-raft --test chaos a_group_survives"
            ),
        }
    }
    println!("{count} seeds:\n{total}");
    // Runs in which little happens show little.
    let lacking = total.lacks(&[
        ("elections", 3 * count),
        ("commits", 20 * count),
        ("configurations", count),
        ("crashes", 5 * count),
        ("snapshots", count),
        ("reads", 10 * count),
    ]);
    assert!(
        lacking.is_empty(),
        "too little happened in {count} runs: {lacking:?}"
    );
}

/// Every option in every combination that matters, and what each leads to, in these very seeds.
#[test]
fn the_first_seeds_meet_every_option_and_limit() {
    let mut total = Tally::default();
    for seed in 0..200 {
        let tally = failure(seed, Mistakes::default());
        total.merge(&tally.unwrap_or_else(|problem| panic!("seed {seed}: {problem}")));
    }
    let lacking = total.lacks(&[
        ("seeds with []", 10),
        ("seeds with [async ]", 10),
        ("seeds with [check-quorum ]", 10),
        ("seeds with [check-quorum async ]", 10),
        ("seeds with [pre-vote ]", 10),
        ("seeds with [pre-vote async ]", 10),
        ("seeds with [pre-vote check-quorum ]", 10),
        ("seeds with [pre-vote check-quorum async ]", 10),
        ("seeds with reads by lease", 20),
        ("reads granted at once", 400),
        ("seeds with max_inflight_bytes", 40),
        ("windows full of bytes", 1_000),
        ("seeds with one message in flight", 20),
        ("windows full of messages", 1_000),
        ("seeds with max_message_bytes", 40),
        ("appends that end before the log", 1_000),
        ("seeds with max_uncommitted_entries_bytes", 40),
        ("proposals beyond the limit on uncommitted bytes", 40),
        ("seeds with max_committed_bytes_per_ready", 40),
        ("committed entries handed out in pieces", 400),
        ("seeds that took a majority away", 3),
        ("crashes", 1_000),
        ("snapshots", 400),
        ("reads given up", 10),
        ("transfers given up", 10),
        ("configurations", 400),
    ]);
    assert!(lacking.is_empty(), "{lacking:?}\nin\n{total}");
}

#[test]
fn a_seed_repeats_exactly() {
    for seed in 0..20 {
        let once = failure(seed, Mistakes::default());
        assert_eq!(once, failure(seed, Mistakes::default()), "seed {seed}");
    }
}
