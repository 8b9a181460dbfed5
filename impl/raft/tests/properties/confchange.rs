//! Changes of the membership keep what joint consensus promises.

use std::collections::BTreeSet;

use lockstep_raft::confchange::{Changer, ConfChangeError, check_invariants, restore};
use lockstep_raft::quorum::{JointConfig, VoteResult};
use lockstep_raft::tracker::{Configuration, ProgressTracker};
use lockstep_raft::{ConfChangeKind, ConfChangeSingle, ConfState, Index, NodeId};
use proptest::collection::vec;
use proptest::prelude::*;

use crate::id;

/// More servers than a change touches, few enough to try every subset.
const SERVERS: u64 = 6;

#[derive(Clone, Debug)]
enum Op {
    Simple(Vec<ConfChangeSingle>),
    EnterJoint(bool, Vec<ConfChangeSingle>),
    LeaveJoint,
}

fn single() -> impl Strategy<Value = ConfChangeSingle> {
    let kind = prop_oneof![
        4 => Just(ConfChangeKind::AddNode),
        3 => Just(ConfChangeKind::AddLearner),
        3 => Just(ConfChangeKind::RemoveNode),
        1 => Just(ConfChangeKind::UpdateNode),
    ];
    // Zero is the change that the application made void.
    (kind, 0..=SERVERS).prop_map(|(kind, node)| ConfChangeSingle {
        kind,
        node: NodeId::new(node),
    })
}

fn op() -> impl Strategy<Value = Op> {
    prop_oneof![
        4 => vec(single(), 1..3).prop_map(Op::Simple),
        3 => (any::<bool>(), vec(single(), 0..6)).prop_map(|(auto, ccs)| Op::EnterJoint(auto, ccs)),
        3 => Just(Op::LeaveJoint),
    ]
}

/// Puts the result of a change into the tracker; what is refused must change nothing.
fn change(tracker: &mut ProgressTracker, op: &Op) -> Result<(), ConfChangeError> {
    let changer = Changer::new(tracker, Index(7));
    let (config, progress) = match op {
        Op::Simple(changes) => changer.simple(changes)?,
        Op::EnterJoint(auto_leave, changes) => changer.enter_joint(*auto_leave, changes)?,
        Op::LeaveJoint => changer.leave_joint()?,
    };
    tracker.config = config;
    tracker.progress = progress;
    Ok(())
}

fn decides(voters: &JointConfig, servers: u32) -> bool {
    let agrees = |id: NodeId| servers & (1 << id.get()) != 0;
    voters.vote_result(|id| Some(agrees(id))) == VoteResult::Won
}

/// Two disjoint sets of servers of which one decides in one configuration, one in the other.
fn split_brain(one: &JointConfig, other: &JointConfig) -> Option<(u32, u32)> {
    let all = (2u32 << SERVERS) - 2;
    (0..=all)
        .step_by(2)
        .map(|servers| (servers, all & !servers))
        .find(|&(servers, others)| decides(one, servers) && decides(other, others))
}

fn members(config: &Configuration) -> BTreeSet<NodeId> {
    let voters = config.voters.ids();
    voters
        .iter()
        .chain(&config.learners)
        .chain(&config.learners_next)
        .collect()
}

fn tracker_with(voters: impl IntoIterator<Item = u64>) -> ProgressTracker {
    let mut tracker = ProgressTracker::new(4, 0);
    for voter in voters {
        let add = ConfChangeSingle::new(ConfChangeKind::AddNode, id(voter));
        change(&mut tracker, &Op::Simple(vec![add])).expect("a voter can be added");
    }
    tracker
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1_000))]

    #[test]
    fn any_sequence_of_changes_keeps_the_invariants(ops in vec(op(), 1..30)) {
        let mut tracker = tracker_with([1]);
        for op in ops {
            let before = tracker.clone();
            let was_joint = before.config.voters.is_joint();
            if change(&mut tracker, &op).is_err() {
                prop_assert_eq!(&tracker, &before);
                continue;
            }
            let config = &tracker.config;
            prop_assert_eq!(check_invariants(config, &tracker.progress), Ok(()));
            prop_assert!(!config.voters.incoming.is_empty(), "nobody is left to decide");
            prop_assert!(tracker.progress.ids().eq(members(config)), "tracked: {}", tracker.progress);
            for (id, progress) in &tracker.progress {
                prop_assert_eq!(progress.is_learner, config.learners.contains(id));
                if let Some(known) = before.progress.get(id) {
                    prop_assert_eq!(known.matched(), progress.matched());
                    prop_assert_eq!(known.next(), progress.next());
                }
            }
            // The safety argument of membership changes: no two deciding sets miss each other.
            prop_assert_eq!(split_brain(&before.config.voters, &config.voters), None);
            match op {
                Op::Simple(_) => prop_assert!(!was_joint && !config.voters.is_joint()),
                Op::EnterJoint(auto_leave, _) => {
                    prop_assert!(!was_joint && config.voters.is_joint());
                    prop_assert_eq!(&config.voters.outgoing, &before.config.voters.incoming);
                    prop_assert_eq!(config.auto_leave, auto_leave);
                }
                Op::LeaveJoint => {
                    prop_assert!(was_joint && !config.voters.is_joint());
                    prop_assert_eq!(&config.voters.incoming, &before.config.voters.incoming);
                    prop_assert!(config.learners_next.is_empty() && !config.auto_leave);
                }
            }
            let stored = config.conf_state();
            let (restored, progress) =
                restore(&ProgressTracker::new(4, 0), Index(7), &stored).expect("was reached");
            prop_assert_eq!(&restored, config);
            prop_assert!(progress.ids().eq(tracker.progress.ids()));
        }
    }

    /// The end is the same with one joint change as with one simple change after the other. Server 1
    /// stays a voter, since the simple way may not pass through a group without voters.
    #[test]
    fn a_joint_change_ends_where_simple_changes_end(changes in vec(single(), 0..10)) {
        let changes: Vec<_> =
            changes.into_iter().filter(|change| change.node != NodeId::new(1)).collect();
        let mut simple = tracker_with([1, 2, 3]);
        for &single in &changes {
            prop_assert_eq!(change(&mut simple, &Op::Simple(vec![single])), Ok(()));
        }
        for auto_leave in [false, true] {
            let mut joint = tracker_with([1, 2, 3]);
            prop_assert_eq!(change(&mut joint, &Op::EnterJoint(auto_leave, changes.clone())), Ok(()));
            prop_assert_eq!(change(&mut joint, &Op::LeaveJoint), Ok(()));
            prop_assert_eq!(&joint.config, &simple.config);
            prop_assert_eq!(joint.progress.to_string(), simple.progress.to_string());
        }
    }

    /// Any stored configuration, sound or not, is restored exactly or refused, and never panics.
    #[test]
    fn a_restored_configuration_is_the_stored_one(
        lists in [vec(1..=5u64, 0..4), vec(1..=5u64, 0..4), vec(1..=5u64, 0..3), vec(1..=5u64, 0..3)],
        auto_leave in any::<bool>(),
    ) {
        let [voters, voters_outgoing, learners, learners_next] =
            lists.map(|ids| ids.into_iter().map(id).collect::<Vec<_>>());
        let state = ConfState { voters, learners, voters_outgoing, learners_next, auto_leave };
        if let Ok((config, progress)) = restore(&ProgressTracker::new(4, 0), Index(7), &state) {
            let sorted = |ids: &[NodeId]| {
                let mut ids = ids.to_vec();
                ids.sort();
                ids
            };
            let restored = config.conf_state();
            prop_assert_eq!(&restored.voters, &sorted(&state.voters));
            prop_assert_eq!(&restored.learners, &sorted(&state.learners));
            prop_assert_eq!(&restored.voters_outgoing, &sorted(&state.voters_outgoing));
            prop_assert_eq!(&restored.learners_next, &sorted(&state.learners_next));
            prop_assert_eq!(restored.auto_leave, state.auto_leave);
            prop_assert_eq!(check_invariants(&config, &progress), Ok(()));
        }
    }
}

/// The check for disjoint majorities sees the change that joint consensus exists to prevent.
#[test]
fn replacing_two_voters_at_once_splits_the_group() {
    let old = JointConfig {
        incoming: (1..=3).map(id).collect(),
        ..JointConfig::default()
    };
    let new = JointConfig {
        incoming: (3..=5).map(id).collect(),
        ..JointConfig::default()
    };
    assert!(split_brain(&old, &new).is_some());
    let joint = JointConfig {
        incoming: new.incoming.clone(),
        outgoing: old.incoming.clone(),
    };
    assert_eq!(split_brain(&old, &joint), None);
    assert_eq!(split_brain(&joint, &new), None);
    // And that is why it is refused as a simple change.
    let mut tracker = tracker_with([1, 2, 3]);
    let replace = [
        (ConfChangeKind::AddNode, 4),
        (ConfChangeKind::RemoveNode, 1),
    ]
    .map(|(kind, node)| ConfChangeSingle::new(kind, id(node)));
    let refused = change(&mut tracker, &Op::Simple(replace.to_vec()));
    assert_eq!(refused, Err(ConfChangeError::MoreThanOneVoter));
}

/// Each guard on a stored configuration refuses what it is there for.
#[test]
fn damaged_configurations_are_refused() {
    let list = |ids: &[u64]| ids.iter().copied().map(id).collect::<Vec<_>>();
    let voters = ConfState {
        voters: list(&[1, 2]),
        ..ConfState::default()
    };
    let damaged = [
        ConfState {
            voters: list(&[1, 2, 2]),
            ..ConfState::default()
        },
        ConfState {
            learners: list(&[2]),
            ..voters.clone()
        },
        ConfState {
            learners_next: list(&[3]),
            ..voters.clone()
        },
        ConfState {
            learners: list(&[3]),
            ..ConfState::default()
        },
        ConfState {
            voters_outgoing: list(&[3]),
            learners_next: list(&[4]),
            ..voters.clone()
        },
        ConfState {
            voters_outgoing: list(&[3]),
            learners: list(&[3]),
            ..voters.clone()
        },
        ConfState {
            auto_leave: true,
            ..voters.clone()
        },
    ];
    for state in damaged {
        let restored = restore(&ProgressTracker::new(4, 0), Index(7), &state);
        assert!(restored.is_err(), "{state:?} was restored as {restored:?}");
    }
    assert!(restore(&ProgressTracker::new(4, 0), Index(7), &voters).is_ok());
    let empty = restore(&ProgressTracker::new(4, 0), Index(7), &ConfState::default());
    assert_eq!(
        empty.map(|(config, _)| config),
        Ok(Configuration::default())
    );
}
