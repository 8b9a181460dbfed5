//! The errors for a configuration that makes no sense.

use super::{Changer, ConfChangeError, InvariantViolation, check_invariants, restore};
use crate::tracker::{Progress, ProgressTracker};
use crate::types::{ConfChangeKind, ConfChangeSingle, ConfState, Index, NodeId};

fn id(id: u64) -> NodeId {
    NodeId::new(id).unwrap()
}

fn ids(ids: &[u64]) -> Vec<NodeId> {
    ids.iter().copied().map(id).collect()
}

fn change(kind: ConfChangeKind, node: u64) -> ConfChangeSingle {
    ConfChangeSingle::new(kind, id(node))
}

/// Voters 1 and 2 on their way to 1 and 3; 2 becomes a learner then, 4 is one.
fn joint() -> ProgressTracker {
    restored(&ConfState {
        voters: ids(&[1, 3]),
        voters_outgoing: ids(&[1, 2]),
        learners: ids(&[4]),
        learners_next: ids(&[2]),
        auto_leave: true,
    })
    .unwrap()
}

fn simple() -> ProgressTracker {
    restored(&ConfState {
        voters: ids(&[1, 2]),
        learners: ids(&[4]),
        ..ConfState::default()
    })
    .unwrap()
}

fn restored(state: &ConfState) -> Result<ProgressTracker, ConfChangeError> {
    let mut tracker = ProgressTracker::new(16, 0);
    (tracker.config, tracker.progress) = restore(&tracker, Index(7), state)?;
    Ok(tracker)
}

fn violation(tracker: &ProgressTracker) -> Option<InvariantViolation> {
    check_invariants(&tracker.config, &tracker.progress).err()
}

/// Returns the violation after `damage` is done.
fn damaged(
    mut tracker: ProgressTracker,
    damage: impl FnOnce(&mut ProgressTracker),
) -> Option<InvariantViolation> {
    assert_eq!(violation(&tracker), None);
    damage(&mut tracker);
    violation(&tracker)
}

fn mark(tracker: &mut ProgressTracker, node: u64, is_learner: bool) {
    tracker.progress.get_mut(id(node)).unwrap().is_learner = is_learner;
}

#[test]
fn every_contradiction_is_found() {
    use InvariantViolation::*;
    for node in [1, 2, 3, 4] {
        let found = damaged(joint(), |it| {
            it.progress.remove(id(node));
        });
        assert_eq!(found, Some(Untracked(id(node))));
    }
    let found = damaged(joint(), |it| {
        it.config.learners_next.insert(id(3));
    });
    assert_eq!(found, Some(StagedWithoutVote(id(3))));
    let found = damaged(joint(), |it| mark(it, 2, true));
    assert_eq!(found, Some(StagedTwice(id(2))));
    let found = damaged(joint(), |it| {
        it.config.learners.insert(id(2));
    });
    assert_eq!(found, Some(LearnerAndOutgoingVoter(id(2))));
    let found = damaged(joint(), |it| {
        it.config.learners.insert(id(3));
    });
    assert_eq!(found, Some(LearnerAndVoter(id(3))));
    let found = damaged(joint(), |it| mark(it, 4, false));
    assert_eq!(found, Some(LearnerNotMarked(id(4))));
    let found = damaged(simple(), |it| it.config.auto_leave = true);
    assert_eq!(found, Some(AutoLeaveOutsideJoint));
    // A staged learner outside of a transition is an outgoing voter of nothing first of all.
    let found = damaged(simple(), |it| {
        it.config.learners_next.insert(id(2));
    });
    assert_eq!(found, Some(StagedWithoutVote(id(2))));
}

/// Not even if the change would mend it.
#[test]
fn nothing_follows_from_a_configuration_that_is_none() {
    let broken = |mut tracker: ProgressTracker, node, is_learner| {
        mark(&mut tracker, node, is_learner);
        Changer::new(&tracker, Index(7))
    };
    let unmarked = Err(InvariantViolation::LearnerNotMarked(id(4)).into());
    for node in [4, 5] {
        let add = [change(ConfChangeKind::AddLearner, node)];
        assert_eq!(broken(simple(), 4, false).simple(&add), unmarked);
        let changer = broken(simple(), 4, false);
        assert_eq!(changer.enter_joint(false, &add), unmarked);
    }
    assert_eq!(broken(joint(), 4, false).leave_joint(), unmarked);
    let twice = Err(InvariantViolation::StagedTwice(id(2)).into());
    assert_eq!(broken(joint(), 2, true).leave_joint(), twice);
}

#[test]
fn the_last_word_of_a_change_counts() {
    let after = |changes: &[ConfChangeSingle]| {
        let changer = Changer::new(&simple(), Index(7));
        let (config, _) = changer.enter_joint(true, changes).unwrap();
        let state = config.conf_state();
        (state.voters, state.learners, state.learners_next)
    };
    use ConfChangeKind::{AddLearner, AddNode, RemoveNode};
    // Demoted and promoted again; demoted and removed.
    let promoted = [change(AddLearner, 2), change(AddNode, 2)];
    assert_eq!(after(&promoted), (ids(&[1, 2]), ids(&[4]), vec![]));
    let removed = [change(AddLearner, 2), change(RemoveNode, 2)];
    assert_eq!(after(&removed), (ids(&[1]), ids(&[4]), vec![]));
}

#[test]
fn only_new_members_must_not_be_storage_threads() {
    let changer = || Changer::new(&simple(), Index(7));
    for thread in [NodeId::APPEND_THREAD, NodeId::APPLY_THREAD] {
        let single = |kind| [ConfChangeSingle::new(kind, thread)];
        let refused = Err(ConfChangeError::ReservedId(thread));
        for kind in [ConfChangeKind::AddNode, ConfChangeKind::AddLearner] {
            assert_eq!(changer().simple(&single(kind)), refused);
        }
        for kind in [ConfChangeKind::RemoveNode, ConfChangeKind::UpdateNode] {
            assert!(changer().simple(&single(kind)).is_ok());
        }
    }
}

#[test]
fn new_members_are_active_and_probed_from_the_end() {
    let changer = Changer::new(&simple(), Index(7));
    let (_, progress) = changer
        .simple(&[change(ConfChangeKind::AddNode, 5)])
        .unwrap();
    let member: &Progress = progress.get(id(5)).unwrap();
    assert_eq!((member.next(), member.matched()), (Index(7), Index(0)));
    assert!(member.recent_active && !member.is_learner);
}

#[test]
fn a_stored_configuration_that_contradicts_itself_is_refused() {
    let voters = || ConfState {
        voters: ids(&[1, 2]),
        ..ConfState::default()
    };
    let auto_leave = ConfState {
        auto_leave: true,
        ..voters()
    };
    let expected = InvariantViolation::AutoLeaveOutsideJoint.into();
    assert_eq!(restored(&auto_leave).unwrap_err(), expected);

    let twice = ConfState {
        voters: ids(&[1, 2, 2]),
        ..voters()
    };
    let both = ConfState {
        learners: ids(&[2]),
        ..voters()
    };
    // Of nothing that is listed, 2 is staged, but only an outgoing voter can be.
    let staged = ConfState {
        learners_next: ids(&[2]),
        ..voters()
    };
    // Listed as a learner of now, 3 still votes in the outgoing half.
    let too_early = ConfState {
        voters_outgoing: ids(&[2, 3]),
        learners: ids(&[3]),
        ..voters()
    };
    for (state, node) in [(twice, 2), (both, 2), (staged, 2), (too_early, 3)] {
        let expected = ConfChangeError::Contradiction(id(node));
        assert_eq!(restored(&state).unwrap_err(), expected, "{state:?}");
    }
}
