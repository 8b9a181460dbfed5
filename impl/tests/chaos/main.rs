//! A group of servers under everything that can go wrong: partitions, loss, duplication, reordering,
//! crashes that lose what was not synced, compaction and changes of the membership.
//!
//! Every run is made from one seed and repeats exactly. `LOCKSTEP_CHAOS_SEED` runs a single one,
//! `LOCKSTEP_CHAOS_SEEDS` that many of them in place of 1,000.

mod cluster;
mod history;
mod recovery;
mod server;
mod twins;

use std::panic::{AssertUnwindSafe, catch_unwind};

use cluster::{Cluster, Tally};
use server::Mistakes;

/// What goes wrong in the run of a seed.
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
            Ok(tally) => total.add(&tally),
            Err(problem) => panic!(
                "seed {seed} fails: {problem}\nto repeat it: LOCKSTEP_CHAOS_SEED={seed} \
                 cargo test -p lockstep-raft --test chaos a_group_survives"
            ),
        }
    }
    println!("{count} seeds: {total:?}");
    // Runs in which little happens show little.
    assert!(
        total.exceeds(
            &Tally {
                elections: 3,
                commits: 20,
                configurations: 2,
                crashes: 5,
                snapshots: 1,
                reads: 10,
            },
            count
        ),
        "too little happened in {count} runs: {total:?}"
    );
}

#[test]
fn a_seed_repeats_exactly() {
    for seed in 0..20 {
        let once = failure(seed, Mistakes::default());
        assert_eq!(once, failure(seed, Mistakes::default()), "seed {seed}");
    }
}
