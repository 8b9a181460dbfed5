//! The votes of one election.

use smallvec::SmallVec;

use crate::quorum::VoteResult;
use crate::types::NodeId;

/// The votes of one election: the first answer of each server counts.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Votes {
    // Invariant: strictly ascending by id.
    cast: SmallVec<[(NodeId, bool); 4]>,
}

impl Votes {
    /// Forgets every vote: a new election starts.
    pub fn clear(&mut self) {
        self.cast.clear();
    }

    /// Records the answer of `id`, unless it has answered before.
    pub fn record(&mut self, id: NodeId, granted: bool) {
        if let Err(at) = self.position(id) {
            self.cast.insert(at, (id, granted));
        }
    }

    /// The answer of `id`, if it has answered.
    pub fn get(&self, id: NodeId) -> Option<bool> {
        self.position(id).ok().map(|at| self.cast[at].1)
    }

    /// The answers in ascending order of ids.
    pub fn iter(&self) -> impl Iterator<Item = (NodeId, bool)> + '_ {
        self.cast.iter().copied()
    }

    /// Whether nobody has answered.
    pub fn is_empty(&self) -> bool {
        self.cast.is_empty()
    }

    fn position(&self, id: NodeId) -> Result<usize, usize> {
        self.cast.binary_search_by_key(&id, |&(id, _)| id)
    }
}

/// The count of the votes of one election.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Tally {
    /// Members of the configuration that voted yes.
    pub granted: usize,
    /// Members of the configuration that voted no.
    pub rejected: usize,
    /// The result of the votes.
    pub result: VoteResult,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(id: u64) -> NodeId {
        NodeId::new(id).unwrap()
    }

    #[test]
    fn the_first_answer_counts() {
        let mut votes = Votes::default();
        assert!(votes.is_empty());
        votes.record(id(2), false);
        assert!(!votes.is_empty());
        votes.record(id(1), true);
        votes.record(id(2), true);
        assert_eq!(votes.get(id(2)), Some(false));
        assert_eq!(
            votes.iter().collect::<Vec<_>>(),
            [(id(1), true), (id(2), false)]
        );
        votes.clear();
        assert_eq!(votes.get(id(1)), None);
    }
}
