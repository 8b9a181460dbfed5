//! A small sorted set of node ids.

use std::fmt;

use smallvec::SmallVec;

use crate::types::NodeId;

/// A sorted set of node ids, without allocation up to seven members.
///
/// Clusters have few members and look them up all the time: a sorted array in place beats a hash
/// map in both, and makes iteration, equality and hashing depend on the members only.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct IdSet {
    // Invariant: strictly ascending.
    ids: SmallVec<[NodeId; 7]>,
}

impl IdSet {
    /// The empty set.
    pub fn new() -> Self {
        Self::default()
    }

    /// The number of members.
    pub fn len(&self) -> usize {
        self.ids.len()
    }

    /// Whether there are no members.
    pub fn is_empty(&self) -> bool {
        self.ids.is_empty()
    }

    /// Whether `id` is a member.
    pub fn contains(&self, id: NodeId) -> bool {
        self.position(id).is_ok()
    }

    /// Adds `id`; false if it was a member already.
    pub fn insert(&mut self, id: NodeId) -> bool {
        match self.position(id) {
            Ok(_) => false,
            Err(at) => {
                self.ids.insert(at, id);
                true
            }
        }
    }

    /// Removes `id`; false if it was not a member.
    pub fn remove(&mut self, id: NodeId) -> bool {
        match self.position(id) {
            Ok(at) => {
                self.ids.remove(at);
                true
            }
            Err(_) => false,
        }
    }

    /// Removes every member.
    pub fn clear(&mut self) {
        self.ids.clear();
    }

    /// The members in ascending order.
    pub fn iter(&self) -> Ids<'_> {
        self.ids.iter().copied()
    }

    /// The members in ascending order.
    pub fn as_slice(&self) -> &[NodeId] {
        &self.ids
    }

    /// The members of both sets.
    pub fn union(&self, other: &IdSet) -> IdSet {
        let mut union = self.clone();
        union.extend(other);
        union
    }

    /// The number of ids that are a member of exactly one of the two sets.
    pub fn symmetric_difference_len(&self, other: &IdSet) -> usize {
        let common = self.iter().filter(|&id| other.contains(id)).count();
        (self.len() - common) + (other.len() - common)
    }

    fn position(&self, id: NodeId) -> Result<usize, usize> {
        self.ids.binary_search(&id)
    }
}

/// Iterates over the members of an [`IdSet`] in ascending order.
pub type Ids<'a> = std::iter::Copied<std::slice::Iter<'a, NodeId>>;

impl<'a> IntoIterator for &'a IdSet {
    type Item = NodeId;
    type IntoIter = Ids<'a>;

    fn into_iter(self) -> Self::IntoIter {
        self.iter()
    }
}

impl Extend<NodeId> for IdSet {
    fn extend<I: IntoIterator<Item = NodeId>>(&mut self, ids: I) {
        for id in ids {
            self.insert(id);
        }
    }
}

impl FromIterator<NodeId> for IdSet {
    fn from_iter<I: IntoIterator<Item = NodeId>>(ids: I) -> Self {
        let mut set = IdSet::new();
        set.extend(ids);
        set
    }
}

impl fmt::Display for IdSet {
    /// The members in parentheses, separated by spaces: `(1 2 3)`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("(")?;
        for (at, id) in self.iter().enumerate() {
            if at > 0 {
                f.write_str(" ")?;
            }
            write!(f, "{id}")?;
        }
        f.write_str(")")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(id: u64) -> NodeId {
        NodeId::new(id).unwrap()
    }

    fn set(ids: &[u64]) -> IdSet {
        ids.iter().copied().map(id).collect()
    }

    #[test]
    fn stays_sorted_and_without_repetition() {
        let mut ids = set(&[9, 2, 5, 2, 9]);
        assert_eq!(ids.as_slice(), [id(2), id(5), id(9)]);
        assert!(!ids.insert(id(5)));
        assert!(ids.insert(id(3)));
        assert!(ids.remove(id(2)));
        assert!(!ids.remove(id(2)));
        assert_eq!(ids.to_string(), "(3 5 9)");
        assert!(ids.contains(id(9)) && !ids.contains(id(2)));
    }

    #[test]
    fn counts_what_two_sets_do_not_share() {
        assert_eq!(
            set(&[1, 2, 3]).symmetric_difference_len(&set(&[1, 2, 3])),
            0
        );
        assert_eq!(
            set(&[1, 2, 3]).symmetric_difference_len(&set(&[2, 3, 4])),
            2
        );
        assert_eq!(set(&[]).symmetric_difference_len(&set(&[7])), 1);
        assert_eq!(set(&[1, 3]).union(&set(&[2, 3])), set(&[1, 2, 3]));
    }
}
