//! Changes of the membership: from one valid configuration to the next, or an error.
//!
//! Two ways lead from one set of voters to another (Raft thesis, chapter 4). A *simple* change
//! adds or removes one voter; any two majorities before and after it overlap. Everything else goes
//! through a *joint* configuration, in which the majorities of both sets must agree, and which is
//! left by a second change. Learners receive the log without a vote, so that a new server can
//! catch up first.
//!
//! A change is applied to a copy: whatever is refused leaves the configuration as it was.
//!
//! ```
//! use lockstep_raft::confchange::{Changer, ConfChangeError};
//! use lockstep_raft::tracker::ProgressTracker;
//! use lockstep_raft::{ConfChangeKind, ConfChangeSingle, Index, NodeId};
//!
//! let add = |id| ConfChangeSingle::new(ConfChangeKind::AddNode, NodeId::new(id).unwrap());
//! let mut tracker = ProgressTracker::new(256, 0);
//! let changer = |tracker: &ProgressTracker| Changer::new(tracker, Index(1));
//! (tracker.config, tracker.progress) = changer(&tracker).simple(&[add(1)])?;
//! let refused = changer(&tracker).simple(&[add(2), add(3)]);
//! assert_eq!(refused, Err(ConfChangeError::MoreThanOneVoter));
//! (tracker.config, tracker.progress) = changer(&tracker).enter_joint(false, &[add(2), add(3)])?;
//! assert_eq!(tracker.config.to_string(), "voters=(1 2 3)&&(1)");
//! (tracker.config, tracker.progress) = changer(&tracker).leave_joint()?;
//! assert_eq!(tracker.config.to_string(), "voters=(1 2 3)");
//! # Ok::<(), ConfChangeError>(())
//! ```

mod changer;
mod invariants;
mod restore;
#[cfg(test)]
mod tests;

pub use changer::Changer;
pub use invariants::{InvariantViolation, check_invariants};
pub use restore::restore;

use crate::types::NodeId;

/// Why a change of the membership was refused.
#[derive(Clone, Debug, PartialEq, Eq, Hash, thiserror::Error)]
#[non_exhaustive]
pub enum ConfChangeError {
    /// A transition must be left before the next begins.
    #[error("the configuration is joint already and must be left first")]
    AlreadyJoint,
    /// A group without voters has nothing to leave; its first voters are added one by one.
    #[error("a configuration without voters cannot become joint")]
    NoVotersToLeave,
    /// There is no transition to leave.
    #[error("the configuration is not joint, so it cannot be left")]
    NotJoint,
    /// In a transition the only change is to leave it.
    #[error("a joint configuration takes no simple change; leave it first")]
    SimpleInJoint,
    /// Two majorities that differ by more than one voter need not overlap.
    #[error("more than one voter changes; use a joint configuration")]
    MoreThanOneVoter,
    /// Nobody would be left to decide anything, for ever.
    #[error("no voter would be left")]
    NoVotersLeft,
    /// The configuration is inconsistent: a bug, or a damaged
    /// [`ConfState`](crate::types::ConfState).
    #[error(transparent)]
    Invariant(#[from] InvariantViolation),
    /// A stored configuration does not describe one that changes of the membership can lead to.
    #[error(
        "the stored configuration cannot be restored: {0} is listed twice or in sets that exclude each other"
    )]
    Contradiction(NodeId),
    /// The new member's id is the address of a storage thread, which no server may have.
    #[error("the id {0} is reserved for a storage thread and cannot be a member")]
    ReservedId(NodeId),
}
