//! One set of voters that decides by majority.

use std::fmt;

use smallvec::{SmallVec, smallvec};

use super::{IdSet, UNBOUNDED, VoteResult, describe};
use crate::types::{Index, NodeId};

/// A set of voters that decides by majority.
///
/// The empty set is allowed and agrees to everything; see [`UNBOUNDED`].
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct MajorityConfig {
    voters: IdSet,
}

impl MajorityConfig {
    /// The configuration with these voters.
    pub fn new(voters: IdSet) -> Self {
        Self { voters }
    }

    /// The voters.
    pub fn ids(&self) -> &IdSet {
        &self.voters
    }

    /// The voters, to change.
    pub fn ids_mut(&mut self) -> &mut IdSet {
        &mut self.voters
    }

    /// The number of voters.
    pub fn len(&self) -> usize {
        self.voters.len()
    }

    /// Whether there are no voters.
    pub fn is_empty(&self) -> bool {
        self.voters.is_empty()
    }

    /// Whether `id` votes here.
    pub fn contains(&self, id: NodeId) -> bool {
        self.voters.contains(id)
    }

    /// The number of voters that make a majority.
    pub fn quorum_len(&self) -> usize {
        self.voters.len() / 2 + 1
    }

    /// The highest index that a majority has acknowledged.
    ///
    /// `acked` says up to which index a voter's log is known to agree; `None` (nothing heard
    /// of it) counts as index 0. Does not allocate for up to seven voters.
    pub fn committed_index(&self, mut acked: impl FnMut(NodeId) -> Option<Index>) -> Index {
        if self.is_empty() {
            return UNBOUNDED;
        }
        // One allocation, or none, and no growing: this runs at every acknowledgement.
        let mut indexes: SmallVec<[Index; 7]> = smallvec![Index::ZERO; self.len()];
        for (index, id) in indexes.iter_mut().zip(self.voters.iter()) {
            *index = acked(id).unwrap_or_default();
        }
        // In ascending order the last `quorum_len` indexes belong to a majority, and the first of
        // those is what all of that majority has.
        let position = indexes.len() - self.quorum_len();
        // There are few: sorting them in place beats anything cleverer.
        indexes.sort_unstable();
        indexes[position]
    }

    /// Counts the votes; `vote` is `None` for a voter that has not answered.
    pub fn vote_result(&self, mut vote: impl FnMut(NodeId) -> Option<bool>) -> VoteResult {
        if self.is_empty() {
            return VoteResult::Won;
        }
        let (mut granted, mut missing) = (0, 0);
        for id in &self.voters {
            match vote(id) {
                Some(true) => granted += 1,
                Some(false) => {}
                None => missing += 1,
            }
        }
        if granted >= self.quorum_len() {
            VoteResult::Won
        } else if granted + missing >= self.quorum_len() {
            VoteResult::Pending
        } else {
            VoteResult::Lost
        }
    }

    /// A drawing of who has acknowledged what, one line a voter, for etcd's scripts.
    #[doc(hidden)]
    pub fn describe(&self, acked: impl FnMut(NodeId) -> Option<Index>) -> String {
        describe::describe(&self.voters, acked)
    }
}

impl FromIterator<NodeId> for MajorityConfig {
    fn from_iter<I: IntoIterator<Item = NodeId>>(ids: I) -> Self {
        Self::new(ids.into_iter().collect())
    }
}

impl fmt::Display for MajorityConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.voters.fmt(f)
    }
}
