//! The end of the log that storage does not vouch for yet.

use std::collections::VecDeque;

use crate::observer::{Event, Observer, StableMismatch, Watch};
use crate::types::{Entry, EntryId, Index, Snapshot, Term};

/// Entries and a snapshot on their way to stable storage.
///
/// They stay here from the moment they are accepted until storage has acknowledged them, so that
/// the log reads the same before, during and after the write. Storage may hold entries at and
/// after [`offset`](Unstable::offset) that are obsolete; what is here takes precedence.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Unstable {
    /// Invariant: `entries[i].index == offset + i`.
    entries: VecDeque<Entry>,
    /// Invariant: if there is a snapshot, `offset > snapshot.index`.
    offset: Index,
    /// Entries before this have been handed out to be written.
    /// Invariant: `offset <= in_progress <= offset + entries.len()`.
    in_progress: Index,
    snapshot: Option<Snapshot>,
    /// Whether the snapshot has been handed out to be installed.
    snapshot_in_progress: bool,
}

impl Unstable {
    pub(super) fn new(offset: Index) -> Unstable {
        Unstable {
            entries: VecDeque::new(),
            offset,
            in_progress: offset,
            snapshot: None,
            snapshot_in_progress: false,
        }
    }

    /// The position of the first entry here, or of the next one if there is none.
    pub fn offset(&self) -> Index {
        self.offset
    }

    /// One after the last entry that was handed out to be written.
    pub fn offset_in_progress(&self) -> Index {
        self.in_progress
    }

    /// The entries, oldest first.
    pub fn entries(&self) -> &VecDeque<Entry> {
        &self.entries
    }

    /// The snapshot that waits to be installed or is being installed.
    pub fn snapshot(&self) -> Option<&Snapshot> {
        self.snapshot.as_ref()
    }

    pub(super) fn end(&self) -> Index {
        self.offset + self.entries.len() as u64
    }

    /// The last position, if anything here decides it.
    pub(super) fn last_index(&self) -> Option<Index> {
        if self.entries.is_empty() {
            self.snapshot
                .as_ref()
                .map(|snapshot| snapshot.metadata.index)
        } else {
            Some(self.end().prev())
        }
    }

    pub(super) fn term(&self, index: Index) -> Option<Term> {
        if index >= self.offset {
            let entry = self.entries.get((index - self.offset) as usize)?;
            return Some(entry.term);
        }
        let snapshot = self.snapshot.as_ref()?;
        (snapshot.metadata.index == index).then_some(snapshot.metadata.term)
    }

    /// The entries that are not being written yet.
    pub(super) fn next_entries(&self) -> impl ExactSizeIterator<Item = &Entry> {
        self.entries
            .range((self.in_progress - self.offset) as usize..)
    }

    pub(super) fn next_snapshot(&self) -> Option<&Snapshot> {
        self.snapshot
            .as_ref()
            .filter(|_| !self.snapshot_in_progress)
    }

    pub(super) fn has_next(&self) -> bool {
        self.in_progress < self.end()
    }

    /// Everything here is now being written.
    pub(super) fn accept(&mut self) {
        self.in_progress = self.end();
        self.snapshot_in_progress = self.snapshot.is_some();
    }

    /// Storage holds everything up to this entry, and no write on its way will change that.
    pub(super) fn stable_to<O: Observer>(&mut self, id: EntryId, watch: &mut Watch<O>) {
        let index = id.index;
        let mismatch = match self.term(index) {
            None => StableMismatch::Missing { index },
            Some(_) if index < self.offset => StableMismatch::MatchesSnapshot { index },
            Some(term) if term != id.term => StableMismatch::Replaced {
                acknowledged: id,
                present: EntryId { term, index },
            },
            Some(_) => {
                let count = (index.next() - self.offset) as usize;
                self.entries.drain(..count);
                self.offset = index.next();
                self.in_progress = self.in_progress.max(self.offset);
                return;
            }
        };
        watch.report(Event::StableIgnored(mismatch));
    }

    /// The snapshot that ends at this position is installed.
    pub(super) fn stable_snapshot_to(&mut self, index: Index) {
        if self
            .snapshot
            .as_ref()
            .is_some_and(|snapshot| snapshot.metadata.index == index)
        {
            self.snapshot = None;
            self.snapshot_in_progress = false;
        }
    }

    /// Everything is replaced by this snapshot.
    pub(super) fn restore(&mut self, snapshot: Snapshot) {
        *self = Unstable::new(snapshot.metadata.index.next());
        self.snapshot = Some(snapshot);
    }

    /// Appends consecutive entries; what was at their positions and behind is dropped.
    ///
    /// There must be at least one entry and no gap before it.
    pub(super) fn append<O: Observer>(
        &mut self,
        entries: impl Iterator<Item = Entry>,
        first: Index,
        watch: &mut Watch<O>,
    ) {
        debug_assert!(
            first <= self.end(),
            "gap before {first}, log ends at {}",
            self.end()
        );
        if first == self.end() {
            // The common case: nothing to replace.
        } else if first <= self.offset {
            watch.report(Event::UnstableReplaced { from: first });
            self.entries.clear();
            self.offset = first;
            self.in_progress = first;
        } else {
            watch.report(Event::UnstableTruncated { from: first });
            self.entries.truncate((first - self.offset) as usize);
            self.in_progress = self.in_progress.min(first);
        }
        self.entries.extend(entries);
    }

    /// The entries in a range that lies within.
    pub(super) fn range(
        &self,
        low: Index,
        high: Index,
    ) -> impl ExactSizeIterator<Item = &Entry> + Clone {
        self.entries
            .range((low - self.offset) as usize..(high - self.offset) as usize)
    }

    pub(super) fn check_invariants(&self) {
        debug_assert!(self.offset <= self.in_progress && self.in_progress <= self.end());
        debug_assert!(
            self.snapshot
                .as_ref()
                .is_none_or(|snapshot| snapshot.metadata.index < self.offset)
        );
        debug_assert!(self.snapshot.is_some() || !self.snapshot_in_progress);
        debug_assert!(
            self.entries
                .iter()
                .zip(self.offset.0..)
                .all(|(entry, index)| entry.index.0 == index)
        );
    }
}
