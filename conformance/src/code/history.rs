//! The history that properties of an implementation need.

use super::node::Node;
use lockstep_traces::{Entry, Index, Role, Term};

/// The history of a run, as the views showed it.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Happened {
    /// Who has led each term that had a leader, as a set of slots, by term.
    pub leaders: Vec<(Term, u8)>,
    /// For each index, from index one on, the entry that was committed there first, and the term of the server
    /// that did.
    pub committed: Vec<(Entry, Term)>,
}

impl Happened {
    /// What there is to remember after a server moved to `after`, whose commit index was `committed` before.
    pub(crate) fn record(&mut self, after: &Node, committed: u64) {
        let view = &after.view;
        if view.role == Role::Leader {
            let bit = 1 << after.slot();
            match self
                .leaders
                .binary_search_by_key(&view.term, |(term, _)| *term)
            {
                Ok(place) => self.leaders[place].1 |= bit,
                Err(place) => self.leaders.insert(place, (view.term, bit)),
            }
        }
        let Index(commit) = view.commit;
        if commit > committed {
            let new = view.log.iter().take(commit as usize);
            let new = new.skip(self.committed.len());
            self.committed
                .extend(new.map(|entry| (entry.clone(), view.term)));
        }
    }
}
