//! The progress of every member.

use std::fmt;

use super::Progress;
use crate::types::NodeId;

/// Up to this many members are searched one by one.
const FEW: usize = 7;

/// The progress of every member, in ascending order of ids.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct ProgressMap {
    // Invariant: strictly ascending by id.
    members: Vec<(NodeId, Progress)>,
}

impl ProgressMap {
    /// The number of members tracked.
    pub fn len(&self) -> usize {
        self.members.len()
    }

    /// Whether nobody is tracked.
    pub fn is_empty(&self) -> bool {
        self.members.is_empty()
    }

    /// The progress of `id`.
    pub fn get(&self, id: NodeId) -> Option<&Progress> {
        self.position(id).ok().map(|at| &self.members[at].1)
    }

    /// The progress of `id`, to change.
    pub fn get_mut(&mut self, id: NodeId) -> Option<&mut Progress> {
        match self.position(id) {
            Ok(at) => Some(&mut self.members[at].1),
            Err(_) => None,
        }
    }

    /// Whether `id` is tracked.
    pub fn contains(&self, id: NodeId) -> bool {
        self.position(id).is_ok()
    }

    /// Tracks `id`; gives back the progress that was tracked before.
    pub fn insert(&mut self, id: NodeId, progress: Progress) -> Option<Progress> {
        match self.position(id) {
            Ok(at) => Some(std::mem::replace(&mut self.members[at].1, progress)),
            Err(at) => {
                self.members.insert(at, (id, progress));
                None
            }
        }
    }

    /// Stops tracking `id`.
    pub fn remove(&mut self, id: NodeId) -> Option<Progress> {
        self.position(id).ok().map(|at| self.members.remove(at).1)
    }

    /// The member at a position in ascending order, for loops that need the rest of the state between
    /// two members.
    pub fn at(&self, position: usize) -> Option<(NodeId, &Progress)> {
        let (id, progress) = self.members.get(position)?;
        Some((*id, progress))
    }

    /// As [`at`](Self::at), to change.
    pub fn at_mut(&mut self, position: usize) -> Option<(NodeId, &mut Progress)> {
        let (id, progress) = self.members.get_mut(position)?;
        Some((*id, progress))
    }

    /// The members in ascending order.
    pub fn ids(&self) -> impl Iterator<Item = NodeId> + '_ {
        self.members.iter().map(|&(id, _)| id)
    }

    /// The members with their progress in ascending order.
    pub fn iter(&self) -> impl Iterator<Item = (NodeId, &Progress)> {
        self.into_iter()
    }

    /// The members with their progress in ascending order, to change.
    pub fn iter_mut(&mut self) -> impl Iterator<Item = (NodeId, &mut Progress)> {
        self.members
            .iter_mut()
            .map(|(id, progress)| (*id, progress))
    }

    #[inline]
    fn position(&self, id: NodeId) -> Result<usize, usize> {
        // Every message asks for its sender: among few, looking at one after the other is quicker.
        if self.members.len() <= FEW {
            let at = self
                .members
                .iter()
                .take_while(|member| member.0 < id)
                .count();
            return match self.members.get(at) {
                Some(member) if member.0 == id => Ok(at),
                _ => Err(at),
            };
        }
        self.members.binary_search_by_key(&id, |&(id, _)| id)
    }
}

impl<'a> IntoIterator for &'a ProgressMap {
    type Item = (NodeId, &'a Progress);
    type IntoIter = std::iter::Map<
        std::slice::Iter<'a, (NodeId, Progress)>,
        fn(&'a (NodeId, Progress)) -> (NodeId, &'a Progress),
    >;

    fn into_iter(self) -> Self::IntoIter {
        self.members.iter().map(|(id, progress)| (*id, progress))
    }
}

impl fmt::Display for ProgressMap {
    /// One line a member: `1: StateProbe match=0 next=1`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (id, progress) in self {
            writeln!(f, "{id}: {progress}")?;
        }
        Ok(())
    }
}
