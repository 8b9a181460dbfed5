//! Invariants of the window of appends in flight and of a follower's progress.

use std::collections::VecDeque;

use lockstep_raft::Index;
use lockstep_raft::tracker::{Inflights, Progress, ProgressState};
use proptest::collection::vec;
use proptest::prelude::*;

#[derive(Clone, Debug)]
enum WindowOp {
    Add { gap: u64, bytes: u64 },
    FreeUpTo(u64),
    Clear,
}

fn window_op() -> impl Strategy<Value = WindowOp> {
    prop_oneof![
        6 => (1..4u64, 0..50u64).prop_map(|(gap, bytes)| WindowOp::Add { gap, bytes }),
        3 => (0..60u64).prop_map(WindowOp::FreeUpTo),
        1 => Just(WindowOp::Clear),
    ]
}

#[derive(Clone, Debug)]
enum ProgressOp {
    Probe,
    Replicate,
    Snapshot(u64),
    SnapshotReported(bool),
    Unreachable,
    Sent { entries: usize, bytes: u64 },
    SentCommit(u64),
    Acknowledged(u64),
    Refused { rejected: u64, hint: u64 },
    HeardOf,
    Reset(u64),
}

fn progress_op() -> impl Strategy<Value = ProgressOp> {
    prop_oneof![
        1 => Just(ProgressOp::Probe),
        2 => Just(ProgressOp::Replicate),
        1 => (0..30u64).prop_map(ProgressOp::Snapshot),
        1 => any::<bool>().prop_map(ProgressOp::SnapshotReported),
        1 => Just(ProgressOp::Unreachable),
        6 => (0..4usize, 0..50u64).prop_map(|(entries, bytes)| ProgressOp::Sent { entries, bytes }),
        2 => (0..30u64).prop_map(ProgressOp::SentCommit),
        3 => (0..30u64).prop_map(ProgressOp::Acknowledged),
        3 => (0..30u64, prop_oneof![0..30u64, Just(u64::MAX)])
            .prop_map(|(rejected, hint)| ProgressOp::Refused { rejected, hint }),
        2 => Just(ProgressOp::HeardOf),
        1 => (0..30u64).prop_map(ProgressOp::Reset),
    ]
}

/// Applies what the state machine would do; false if it would not do that in this state.
fn apply(progress: &mut Progress, op: &ProgressOp) -> bool {
    match *op {
        ProgressOp::Probe => progress.become_probe(),
        ProgressOp::Replicate => progress.become_replicate(),
        ProgressOp::Snapshot(index) => progress.become_snapshot(Index(index)),
        ProgressOp::SnapshotReported(arrived) => {
            if progress.state() != ProgressState::Snapshot {
                return false;
            }
            progress.snapshot_reported(arrived);
        }
        ProgressOp::Unreachable => progress.unreachable(),
        ProgressOp::Sent { .. } if progress.state() == ProgressState::Snapshot => return false,
        // Nothing but empty appends goes into a full window.
        ProgressOp::Sent { entries, .. } if entries > 0 && progress.inflights.is_full() => {
            return false;
        }
        ProgressOp::Sent { entries, bytes } => progress.sent_entries(entries, bytes),
        ProgressOp::SentCommit(commit) => progress.set_sent_commit(Index(commit)),
        ProgressOp::Acknowledged(index) => {
            let before = progress.clone();
            let news = progress.maybe_update(Index(index));
            assert_eq!(news, index > before.matched().0);
            assert!(
                news || *progress == before,
                "an old acknowledgement changed something"
            );
            progress.inflights.free_up_to(Index(index));
        }
        ProgressOp::Refused { rejected, hint } => {
            let before = progress.clone();
            if progress.maybe_decrease_to(Index(rejected), Index(hint)) {
                assert!(
                    progress.next() <= before.next(),
                    "a refusal moves backwards"
                );
                if progress.state() == ProgressState::Replicate {
                    progress.become_probe();
                }
            } else {
                assert_eq!(*progress, before, "an old refusal changed something");
            }
        }
        ProgressOp::HeardOf => progress.flow_paused = false,
        ProgressOp::Reset(next) => progress.reset(Index(next)),
    }
    true
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1_000))]

    #[test]
    fn a_window_counts_what_it_holds(
        max_messages in 1..6usize,
        max_bytes in prop_oneof![Just(0u64), 1..120u64],
        ops in vec(window_op(), 0..80),
    ) {
        let mut window = Inflights::new(max_messages, max_bytes);
        let mut oracle: VecDeque<(u64, u64)> = VecDeque::new();
        let mut last = 0;
        for op in ops {
            match op {
                WindowOp::Add { .. } if window.is_full() => continue,
                WindowOp::Add { gap, bytes } => {
                    last += gap;
                    window.add(Index(last), bytes);
                    oracle.push_back((last, bytes));
                }
                WindowOp::FreeUpTo(index) => {
                    window.free_up_to(Index(index));
                    oracle.retain(|&(at, _)| at > index);
                }
                WindowOp::Clear => {
                    window.clear();
                    oracle.clear();
                }
            }
            let bytes: u64 = oracle.iter().map(|&(_, bytes)| bytes).sum();
            prop_assert_eq!(window.bytes(), bytes);
            prop_assert_eq!(window.len(), oracle.len());
            prop_assert!(window.last_indexes().map(Index::get).eq(oracle.iter().map(|&(at, _)| at)));
            let full = oracle.len() == max_messages || (max_bytes > 0 && bytes >= max_bytes);
            prop_assert_eq!(window.is_full(), full);
        }
    }

    #[test]
    fn progress_keeps_its_invariants(ops in vec(progress_op(), 0..80)) {
        let mut progress = Progress::new(Index(5), Inflights::new(3, 100));
        for op in ops {
            let before = progress.matched();
            if !apply(&mut progress, &op) {
                continue;
            }
            prop_assert!(progress.matched() < progress.next(), "after {op:?}: {progress}");
            if !matches!(op, ProgressOp::Reset(_)) {
                prop_assert!(progress.matched() >= before, "the match went back after {op:?}");
            }
            let replicates = progress.state() == ProgressState::Replicate;
            prop_assert!(replicates || progress.inflights.is_empty(), "after {op:?}: {progress}");
            if progress.state() == ProgressState::Snapshot {
                prop_assert!(progress.is_paused());
            } else {
                prop_assert_eq!(progress.pending_snapshot(), Index(0));
            }
            for last in progress.inflights.last_indexes() {
                prop_assert!(last < progress.next(), "sent what is still to be sent: {progress}");
            }
        }
    }
}
