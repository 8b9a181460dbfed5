//! The log of one server.

use crate::configuration::Configuration;
use crate::message::{Entries, Entry, Position};
use crate::seq::Seq;

/// The entries of a server: the first has index one, or comes behind the snapshot that stands for those before it
/// (paper, section 7).
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Log {
    /// The last entry that the snapshot stands for; zeros without one.
    snapshot: Position,
    /// The configuration there; that of nobody without a snapshot.
    configuration: Configuration,
    entries: Seq<Entry, 5>,
}

impl Log {
    /// The log of these entries behind a snapshot.
    pub(crate) fn behind(
        snapshot: Position,
        configuration: Configuration,
        entries: Seq<Entry, 5>,
    ) -> Log {
        Log {
            snapshot,
            configuration,
            entries,
        }
    }

    /// The last entry that the snapshot stands for; zeros without one.
    pub fn snapshot(&self) -> Position {
        self.snapshot
    }

    /// The configuration at the last entry that the snapshot stands for; that of nobody without a snapshot.
    pub fn snapshot_configuration(&self) -> Configuration {
        self.configuration
    }

    /// The index of the last entry; zero in an empty log without a snapshot.
    pub fn last_index(&self) -> u32 {
        self.snapshot.index + self.entries.len() as u32
    }

    /// Index and term of the last entry; zeros in an empty log without a snapshot.
    pub fn last(&self) -> Position {
        Position {
            term: self
                .entries
                .last()
                .map_or(self.snapshot.term, |entry| entry.term),
            index: self.last_index(),
        }
    }

    /// The entry at an index, if it is in the log.
    pub fn entry(&self, index: u32) -> Option<Entry> {
        let before = self.snapshot.index as usize + 1;
        self.entries.get((index as usize).checked_sub(before)?)
    }

    /// The term at an index: `None` behind the log and where a snapshot stands for more than the entry; zero at
    /// index zero.
    pub fn term_at(&self, index: u32) -> Option<u32> {
        match index == self.snapshot.index {
            true => Some(self.snapshot.term),
            false => self.entry(index).map(|entry| entry.term),
        }
    }

    /// Whether this log has an entry of that term at that index (the consistency check of paper,
    /// section 5.3).
    pub fn matches(&self, position: Position) -> bool {
        self.term_at(position.index) == Some(position.term)
    }

    /// The entries in order, from the first behind the snapshot on.
    pub fn iter(&self) -> impl Iterator<Item = Entry> + '_ {
        self.entries.iter()
    }

    pub(crate) fn entries(&self) -> &Seq<Entry, 5> {
        &self.entries
    }

    pub(crate) fn push(&mut self, entry: Entry) {
        self.entries.push(entry);
    }

    /// The entries from an index on, at most `limit` of them.
    pub(crate) fn from(&self, index: u32, limit: usize) -> Entries {
        let from = index.saturating_sub(self.snapshot.index + 1);
        self.entries.slice(from as usize, limit)
    }

    /// Drops the entries up to an index of the log, for which a snapshot stands from now on (paper, section 7). It has the
    /// configuration there.
    pub(crate) fn compact(&mut self, index: u32, configuration: Configuration) {
        let Some(term) = self.term_at(index) else {
            return;
        };
        let dropped = (index - self.snapshot.index) as usize;
        self.entries = self.entries.iter().skip(dropped).collect();
        self.snapshot = Position { term, index };
        self.configuration = configuration;
    }

    /// Takes over entries that follow a matching position: what conflicts is deleted with all that
    /// follows it, what is missing is appended, what is there already stays, and so does whatever
    /// follows it (paper, figure 2, AppendEntries 3 and 4).
    /// Returns the index from which on entries were replaced or appended, if any were.
    pub(crate) fn maybe_append(&mut self, prev: u32, entries: &Entries) -> Option<u32> {
        let mut index = prev;
        let mut first = None;
        for entry in entries.iter() {
            index += 1;
            if self.term_at(index) == Some(entry.term) {
                continue;
            }
            self.truncate(index - 1);
            self.push(entry);
            first = first.or(Some(index));
        }
        first
    }

    pub(crate) fn truncate(&mut self, last: u32) {
        let kept = last.saturating_sub(self.snapshot.index);
        self.entries.truncate(kept as usize);
    }

    /// The highest position at or below `index` whose term is at most `term`: two logs whose terms there
    /// are above and below cannot agree any higher. Both sides of a refused append use it. The term is
    /// zero where the log ends before `index`, and where a snapshot hides it.
    pub(crate) fn find_conflict_by_term(&self, index: u32, term: u32) -> Position {
        if index > self.last_index() {
            return Position { term: 0, index };
        }
        // What the snapshot hides may match.
        let hidden = Position {
            term: 0,
            index: index.min(self.snapshot.index.saturating_sub(1)),
        };
        (self.snapshot.index..=index)
            .rev()
            .map(|index| Position {
                term: self.term_at(index).unwrap_or(0),
                index,
            })
            .find(|position| position.term <= term)
            .unwrap_or(hidden)
    }
}

impl FromIterator<Entry> for Log {
    fn from_iter<I: IntoIterator<Item = Entry>>(entries: I) -> Log {
        Log {
            entries: entries.into_iter().collect(),
            ..Log::default()
        }
    }
}
