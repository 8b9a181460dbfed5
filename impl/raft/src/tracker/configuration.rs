//! The membership.

use std::fmt;

use crate::quorum::{IdSet, JointConfig};
use crate::types::ConfState;

/// The membership of a group: voters (two sets in a transition) and learners.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Configuration {
    /// The voters.
    pub voters: JointConfig,
    /// Whether a transition ends by itself: the leader proposes to leave the joint configuration
    /// once it is applied. Otherwise the application has to.
    pub auto_leave: bool,
    /// The servers that receive the log without a vote.
    ///
    /// Invariant: disjoint from the voters of both halves.
    pub learners: IdSet,
    /// The voters that become learners when the transition ends. They still vote in the outgoing half, and nobody is
    /// voter and learner at once.
    ///
    /// Invariant: a subset of the outgoing voters.
    pub learners_next: IdSet,
}

impl Configuration {
    /// The form in which the configuration is stored, every list in ascending order.
    pub fn conf_state(&self) -> ConfState {
        let list = |ids: &IdSet| ids.as_slice().to_vec();
        ConfState {
            voters: list(self.voters.incoming.ids()),
            voters_outgoing: list(self.voters.outgoing.ids()),
            learners: list(&self.learners),
            learners_next: list(&self.learners_next),
            auto_leave: self.auto_leave,
        }
    }
}

impl fmt::Display for Configuration {
    /// `voters=(1 2)&&(1 3) learners=(4) learners_next=(3) autoleave`; empty parts are left out.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "voters={}", self.voters)?;
        if !self.learners.is_empty() {
            write!(f, " learners={}", self.learners)?;
        }
        if !self.learners_next.is_empty() {
            write!(f, " learners_next={}", self.learners_next)?;
        }
        if self.auto_leave {
            f.write_str(" autoleave")?;
        }
        Ok(())
    }
}
