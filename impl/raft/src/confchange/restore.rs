//! From a stored configuration to a live one.

use super::changer::Changed;
use super::{Changer, ConfChangeError, InvariantViolation};
use crate::quorum::IdSet;
use crate::tracker::ProgressTracker;
use crate::types::{ConfChangeKind, ConfChangeSingle, ConfState, Index, NodeId};

/// The configuration that `state` describes, with fresh progress for every member.
///
/// Found by replaying changes that lead to it: the outgoing voters first, one by one, then the
/// transition to the incoming ones. So what is restored passed every check a change has to pass.
/// `tracker` gives the limits of flow control; it has no members yet.
///
/// # Errors
/// If no changes lead to that configuration; it is damaged.
pub fn restore(
    tracker: &ProgressTracker,
    last_index: Index,
    state: &ConfState,
) -> Result<Changed, ConfChangeError> {
    let mut changer = Changer::new(tracker, last_index);

    let add_voters = singles(ConfChangeKind::AddNode, &state.voters);
    let add_learners = singles(ConfChangeKind::AddLearner, &state.learners);
    let add_learners_next = singles(ConfChangeKind::AddLearner, &state.learners_next);
    let incoming = add_voters.chain(add_learners).chain(add_learners_next);

    if state.voters_outgoing.is_empty() {
        for change in incoming {
            changer.apply_simple(&[change])?;
        }
    } else {
        for change in singles(ConfChangeKind::AddNode, &state.voters_outgoing) {
            changer.apply_simple(&[change])?;
        }
        let remove_outgoing = singles(ConfChangeKind::RemoveNode, &state.voters_outgoing);
        let changes: Vec<ConfChangeSingle> = remove_outgoing.chain(incoming).collect();
        changer.apply_enter_joint(state.auto_leave, &changes)?;
    }
    describes(&changer, state)?;
    Ok(changer.into_changed())
}

fn singles(kind: ConfChangeKind, ids: &[NodeId]) -> impl Iterator<Item = ConfChangeSingle> + '_ {
    ids.iter()
        .map(move |&node| ConfChangeSingle::new(kind, node))
}

/// Checks that the configuration that was restored is the one that was asked for. A stored configuration in which one
/// id is both voter and learner leads somewhere else, silently, because the later change wins.
fn describes(changer: &Changer, state: &ConfState) -> Result<(), ConfChangeError> {
    let config = changer.config();
    if config.auto_leave != state.auto_leave {
        return Err(InvariantViolation::AutoLeaveOutsideJoint.into());
    }
    let sets = [
        (config.voters.incoming.ids(), &state.voters),
        (config.voters.outgoing.ids(), &state.voters_outgoing),
        (&config.learners, &state.learners),
        (&config.learners_next, &state.learners_next),
    ];
    for (restored, stored) in sets {
        let mut once = IdSet::new();
        let differing = stored
            .iter()
            .copied()
            .find(|&id| !once.insert(id) || !restored.contains(id))
            .or_else(|| restored.iter().find(|&id| !once.contains(id)));
        if let Some(id) = differing {
            return Err(ConfChangeError::Contradiction(id));
        }
    }
    Ok(())
}
