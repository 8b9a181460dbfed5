//! Invariants of every configuration and the progress of its members.

use crate::tracker::{Configuration, ProgressMap};
use crate::types::NodeId;

/// A configuration and the progress of its members do not belong together.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, thiserror::Error)]
#[non_exhaustive]
pub enum InvariantViolation {
    /// Every voter and learner is tracked.
    #[error("member {0} is not tracked")]
    Untracked(NodeId),
    /// Only a voter that is on its way out waits to become a learner.
    #[error("{0} is in learners_next, but is no outgoing voter")]
    StagedWithoutVote(NodeId),
    /// A staged learner still votes.
    #[error("{0} is in learners_next, but is a learner already")]
    StagedTwice(NodeId),
    /// Nobody is learner and outgoing voter.
    #[error("{0} is both a learner and an outgoing voter")]
    LearnerAndOutgoingVoter(NodeId),
    /// Nobody is learner and voter.
    #[error("{0} is both a learner and a voter")]
    LearnerAndVoter(NodeId),
    /// The progress of a learner says so.
    #[error("learner {0} is tracked as a voter")]
    LearnerNotMarked(NodeId),
    /// Only in a transition are there staged learners.
    #[error("learners_next is not empty, but the configuration is not joint")]
    StagedOutsideJoint,
    /// Only a transition can be left automatically.
    #[error("auto_leave is set, but the configuration is not joint")]
    AutoLeaveOutsideJoint,
}

/// Checks that a configuration and the progress of its members belong together.
///
/// The empty configuration is valid: every group starts from it.
pub fn check_invariants(
    config: &Configuration,
    progress: &ProgressMap,
) -> Result<(), InvariantViolation> {
    let voters = config.voters.ids();
    let members = voters
        .iter()
        .chain(&config.learners)
        .chain(&config.learners_next);
    for id in members {
        if !progress.contains(id) {
            return Err(InvariantViolation::Untracked(id));
        }
    }
    let is_marked = |id| progress.get(id).is_some_and(|member| member.is_learner);
    for id in &config.learners_next {
        if !config.voters.outgoing.contains(id) {
            return Err(InvariantViolation::StagedWithoutVote(id));
        }
        if is_marked(id) {
            return Err(InvariantViolation::StagedTwice(id));
        }
    }
    for id in &config.learners {
        if config.voters.outgoing.contains(id) {
            return Err(InvariantViolation::LearnerAndOutgoingVoter(id));
        }
        if config.voters.incoming.contains(id) {
            return Err(InvariantViolation::LearnerAndVoter(id));
        }
        if !is_marked(id) {
            return Err(InvariantViolation::LearnerNotMarked(id));
        }
    }
    if !config.voters.is_joint() {
        if !config.learners_next.is_empty() {
            return Err(InvariantViolation::StagedOutsideJoint);
        }
        if config.auto_leave {
            return Err(InvariantViolation::AutoLeaveOutsideJoint);
        }
    }
    Ok(())
}
