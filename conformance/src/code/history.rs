//! The history that properties of an implementation need.

use super::node::Node;
use lockstep_traces::{Entry, Index, NodeView, Role, Term};

/// The facts on a server that the history needs before it moves.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Before {
    /// Its commit index.
    pub commit: u64,
    /// Whether it led.
    pub led: bool,
}

impl Before {
    pub(crate) fn of(view: &NodeView) -> Before {
        Before {
            commit: view.commit.0,
            led: view.role == Role::Leader,
        }
    }

    /// In one number, for the [facts](lockstep_engine::ServerFacts) of a server.
    pub(crate) fn note(self) -> u32 {
        let commit = u32::try_from(self.commit).unwrap_or(u32::MAX);
        commit.min(u32::MAX >> 1) << 1 | u32::from(self.led)
    }

    /// Decodes the number that [`Before::note`] made.
    pub(crate) fn from_note(note: u32) -> Before {
        Before {
            commit: (note >> 1).into(),
            led: note & 1 != 0,
        }
    }
}

/// The history of a run, as the views showed it.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Happened {
    /// The leaders of each term that had one, as a set of slots, by term.
    pub leaders: Vec<(Term, u8)>,
    /// The first term that one server has led twice, with a crash between: what it appended at first may be lost.
    pub led_twice: Option<Term>,
    /// For each index, from index one on, the entry that was committed there first, and the term of the server
    /// that did.
    pub committed: Vec<(Entry, Term)>,
}

impl Happened {
    /// Records the move of a server from `before` to `after`.
    pub(crate) fn record(&mut self, before: Before, after: &Node) {
        let view = &after.view;
        if view.role == Role::Leader {
            let bit = 1 << after.slot();
            match self
                .leaders
                .binary_search_by_key(&view.term, |(term, _)| *term)
            {
                Ok(place) => {
                    let led = &mut self.leaders[place].1;
                    if !before.led && *led & bit != 0 {
                        self.led_twice.get_or_insert(view.term);
                    }
                    *led |= bit;
                }
                Err(place) => self.leaders.insert(place, (view.term, bit)),
            }
        }
        let Index(commit) = view.commit;
        if commit > before.commit {
            let new = view.log.iter().take(commit as usize);
            let new = new.skip(self.committed.len());
            self.committed
                .extend(new.map(|entry| (entry.clone(), view.term)));
        }
    }
}
