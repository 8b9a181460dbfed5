//! The log on a simulated disk, in random histories.
//!
//! `LOCKSTEP_WAL_SEED=17` repeats one history, `LOCKSTEP_WAL_HISTORIES=1000000` runs more of them, from
//! `LOCKSTEP_WAL_FIRST_SEED` on.

pub(crate) mod disk;
mod history;
mod model;

use std::panic::{AssertUnwindSafe, catch_unwind};

use disk::Omission;
use history::{Tally, run};

const HISTORIES: u64 = 5_000;

fn number(variable: &str) -> Option<u64> {
    let text = std::env::var(variable).ok()?;
    Some(text.parse().expect("a number"))
}

#[test]
fn what_was_acknowledged_is_there() {
    let mut tally = Tally::default();
    let seeds = match number("LOCKSTEP_WAL_SEED") {
        Some(seed) => seed..seed + 1,
        None => {
            let first = number("LOCKSTEP_WAL_FIRST_SEED").unwrap_or(0);
            first..first + number("LOCKSTEP_WAL_HISTORIES").unwrap_or(HISTORIES)
        }
    };
    let start = std::time::Instant::now();
    for seed in seeds.clone() {
        let run = AssertUnwindSafe(|| run(seed, None, &mut tally));
        match catch_unwind(run) {
            Ok(Ok(())) => {}
            Ok(Err(violation)) => panic!("LOCKSTEP_WAL_SEED={seed}: {violation}"),
            Err(_) => panic!("LOCKSTEP_WAL_SEED={seed}: panic"),
        }
    }
    println!("{tally:#?}\nin {:?}", start.elapsed());
    if seeds.end - seeds.start >= HISTORIES {
        tally.assert_that_enough_happened();
    }
}

impl Tally {
    /// A simulation in which nothing goes wrong shows nothing.
    fn assert_that_enough_happened(&self) {
        let counts = [
            self.unsynced,
            self.installed,
            self.created,
            self.rotations,
            self.released,
            self.refused_writes,
            self.power_losses,
            self.kills,
            self.closed,
            self.faults,
            self.failed_syncs,
            self.full_disks,
            self.failed_openings,
            self.cut,
            self.kept,
            self.lost,
            self.damage_refused,
            self.damage_harmless,
            self.damage_like_a_torn_write,
        ];
        assert!(counts.iter().all(|it| *it >= 25), "{self:#?}");
    }
}

fn first_violation(omission: Omission) -> Option<u64> {
    let mut tally = Tally::default();
    (0..HISTORIES).find(|seed| run(*seed, Some(omission), &mut tally).is_err())
}

/// Mistakes in the log's own code are in `tests/seeded.rs`.
#[test]
fn a_log_that_leaves_out_a_sync_is_caught() {
    for omission in [Omission::FolderSyncs, Omission::FileSyncs] {
        let seed = first_violation(omission);
        println!("{omission:?}: found by seed {seed:?}");
        assert!(
            seed.is_some_and(|seed| seed < 100),
            "{omission:?}: {seed:?}"
        );
    }
}
