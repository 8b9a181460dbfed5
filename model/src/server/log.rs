//! The log of one server.

use crate::message::{Entries, Entry, Position};
use crate::seq::Seq;

/// The entries of a server; the first has index one.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Log(Seq<Entry, 5>);

impl Log {
    /// The index of the last entry; zero in an empty log.
    pub fn last_index(&self) -> u32 {
        self.0.len() as u32
    }

    /// Index and term of the last entry; zeros in an empty log.
    pub fn last(&self) -> Position {
        Position {
            term: self.0.last().map_or(0, |entry| entry.term),
            index: self.last_index(),
        }
    }

    /// The entry at an index.
    pub fn entry(&self, index: u32) -> Option<Entry> {
        self.0.get((index as usize).checked_sub(1)?)
    }

    /// The term at an index: zero before the log, `None` behind it.
    pub fn term_at(&self, index: u32) -> Option<u32> {
        match index {
            0 => Some(0),
            _ => self.entry(index).map(|entry| entry.term),
        }
    }

    /// Whether this log has an entry of that term at that index (the consistency check of paper,
    /// section 5.3).
    pub fn matches(&self, position: Position) -> bool {
        self.term_at(position.index) == Some(position.term)
    }

    /// All entries in order.
    pub fn iter(&self) -> impl Iterator<Item = Entry> + '_ {
        self.0.iter()
    }

    pub(crate) fn entries(&self) -> &Seq<Entry, 5> {
        &self.0
    }

    pub(crate) fn push(&mut self, entry: Entry) {
        self.0.push(entry);
    }

    /// The entries from an index on, at most `limit` of them.
    pub(crate) fn from(&self, index: u32, limit: usize) -> Entries {
        self.0.slice((index as usize).saturating_sub(1), limit)
    }

    /// Takes over entries that follow a matching position: what conflicts is deleted with all that
    /// follows it, what is missing is appended, what is there already stays, and so does whatever
    /// follows it (paper, figure 2, AppendEntries 3 and 4).
    pub(crate) fn maybe_append(&mut self, prev: u32, entries: &Entries) {
        let mut index = prev;
        for entry in entries.iter() {
            index += 1;
            if self.term_at(index) == Some(entry.term) {
                continue;
            }
            self.truncate(index - 1);
            self.push(entry);
        }
    }

    pub(crate) fn truncate(&mut self, last: u32) {
        self.0.truncate(last as usize);
    }

    /// The highest position at or below `index` whose term is at most `term`: two logs whose terms there
    /// are above and below cannot agree any higher. Both sides of a refused append use it. The term is
    /// zero where the log ends before `index`.
    pub(crate) fn find_conflict_by_term(&self, index: u32, term: u32) -> Position {
        if index > self.last_index() {
            return Position { term: 0, index };
        }
        (1..=index)
            .rev()
            .map(|index| Position {
                term: self.term_at(index).unwrap_or(0),
                index,
            })
            .find(|position| position.term <= term)
            .unwrap_or_default()
    }
}

impl From<Seq<Entry, 5>> for Log {
    fn from(entries: Seq<Entry, 5>) -> Log {
        Log(entries)
    }
}

impl FromIterator<Entry> for Log {
    fn from_iter<I: IntoIterator<Item = Entry>>(entries: I) -> Log {
        Log(entries.into_iter().collect())
    }
}
