//! Two sets of voters that must agree.

use std::fmt;

use super::{IdSet, MajorityConfig, VoteResult, describe};
use crate::types::{Index, NodeId};

/// A pair of voter sets; a decision needs the majority of both (Raft thesis, section 4.3).
///
/// With an empty outgoing half it is an ordinary majority configuration.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct JointConfig {
    /// The voters of the configuration that is being entered, or of the only one.
    pub incoming: MajorityConfig,
    /// The voters of the configuration that is being left; empty when there is no transition.
    pub outgoing: MajorityConfig,
}

impl JointConfig {
    /// Whether two configurations have to agree.
    pub fn is_joint(&self) -> bool {
        !self.outgoing.is_empty()
    }

    /// Whether `id` votes in one of the halves.
    pub fn contains(&self, id: NodeId) -> bool {
        self.incoming.contains(id) || self.outgoing.contains(id)
    }

    /// The voters of both halves.
    pub fn ids(&self) -> IdSet {
        self.incoming.ids().union(self.outgoing.ids())
    }

    /// The highest index that both halves have committed; see
    /// [`MajorityConfig::committed_index`].
    pub fn committed_index(&self, mut acked: impl FnMut(NodeId) -> Option<Index>) -> Index {
        let incoming = self.incoming.committed_index(&mut acked);
        if !self.is_joint() {
            return incoming;
        }
        incoming.min(self.outgoing.committed_index(acked))
    }

    /// Counts the votes: won if both halves won, lost as soon as one lost.
    pub fn vote_result(&self, mut vote: impl FnMut(NodeId) -> Option<bool>) -> VoteResult {
        let incoming = self.incoming.vote_result(&mut vote);
        let outgoing = self.outgoing.vote_result(vote);
        match (incoming, outgoing) {
            (VoteResult::Lost, _) | (_, VoteResult::Lost) => VoteResult::Lost,
            (VoteResult::Won, VoteResult::Won) => VoteResult::Won,
            _ => VoteResult::Pending,
        }
    }

    /// A drawing of who has acknowledged what, one line a voter of either half, for etcd's scripts.
    #[doc(hidden)]
    pub fn describe(&self, acked: impl FnMut(NodeId) -> Option<Index>) -> String {
        describe::describe(&self.ids(), acked)
    }
}

impl fmt::Display for JointConfig {
    /// `(1 2 3)`, or `(1 2 3)&&(3 4 5)` in a transition.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.incoming.fmt(f)?;
        if self.is_joint() {
            write!(f, "&&{}", self.outgoing)?;
        }
        Ok(())
    }
}
