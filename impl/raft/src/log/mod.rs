//! The log of one server: what is in stable storage, continued by what is not stable yet.

#[cfg(test)]
mod tests;
mod unstable;

use crate::error::StorageError;
use crate::observer::{Event, Observer, Watch};
use crate::storage::Storage;
use crate::types::{Entry, EntryId, EntryKind, Index, Snapshot, Term, entries_len, limit_count};

pub use unstable::Unstable;

/// The log of one server, and how far it is committed and applied.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct RaftLog<S> {
    storage: S,
    unstable: Unstable,
    /// The highest position known to be committed.
    /// Invariant: `applied <= applying <= committed <= last_index`.
    committed: Index,
    /// The highest position handed out to be applied.
    applying: Index,
    /// The highest position that the application has applied.
    applied: Index,
    max_applying_bytes: u64,
    /// Encoded size of the entries handed out to be applied and not acknowledged.
    applying_bytes: u64,
    /// Whether no more entries are handed out until some are acknowledged.
    applying_paused: bool,
}

impl<S: Storage> RaftLog<S> {
    /// The log as storage has it, committed and applied up to its compaction. The ends must be in
    /// order.
    pub(crate) fn new(storage: S, max_applying_bytes: u64) -> Result<RaftLog<S>, StorageError> {
        let compacted = storage.first_index()?.prev();
        let last = storage.last_index()?;
        Ok(RaftLog {
            storage,
            unstable: Unstable::new(last.next()),
            committed: compacted,
            applying: compacted,
            applied: compacted,
            max_applying_bytes,
            applying_bytes: 0,
            applying_paused: false,
        })
    }

    /// The stable part of the log.
    pub fn storage(&self) -> &S {
        &self.storage
    }

    pub(crate) fn storage_mut(&mut self) -> &mut S {
        &mut self.storage
    }

    /// The part that storage does not vouch for yet.
    pub fn unstable(&self) -> &Unstable {
        &self.unstable
    }

    /// The highest position known to be committed.
    pub fn committed(&self) -> Index {
        self.committed
    }

    /// The highest position handed out to be applied.
    pub fn applying(&self) -> Index {
        self.applying
    }

    /// The highest position that the application has applied.
    pub fn applied(&self) -> Index {
        self.applied
    }

    /// Encoded bytes of the entries that are handed out to be applied and not acknowledged.
    pub fn applying_bytes(&self) -> u64 {
        self.applying_bytes
    }

    /// The first position whose entry is still there (or would be).
    ///
    /// # Errors
    ///
    /// The errors of the storage.
    pub fn first_index(&self) -> Result<Index, StorageError> {
        match self.unstable.snapshot() {
            Some(snapshot) => Ok(snapshot.metadata.index.next()),
            None => self.storage.first_index(),
        }
    }

    /// The last position of the log.
    ///
    /// # Errors
    ///
    /// The errors of the storage.
    pub fn last_index(&self) -> Result<Index, StorageError> {
        match self.unstable.last_index() {
            Some(index) => Ok(index),
            None => self.storage.last_index(),
        }
    }

    /// The last entry of the log.
    ///
    /// # Errors
    ///
    /// The errors of the storage, and [`StorageError::Corrupt`] if it does not know the term of its own
    /// last entry.
    pub fn last_id(&self) -> Result<EntryId, StorageError> {
        let index = self.last_index()?;
        match self.term(index)? {
            Some(term) => Ok(EntryId { term, index }),
            None => Err(StorageError::Corrupt(format!(
                "the last entry {index} has no term"
            ))),
        }
    }

    /// The term of the entry at a position; `None` if it is compacted or not there.
    ///
    /// # Errors
    ///
    /// The errors of the storage.
    pub fn term(&self, index: Index) -> Result<Option<Term>, StorageError> {
        if let Some(term) = self.unstable.term(index) {
            return Ok(Some(term));
        }
        // The term of the last compacted entry is still known. What storage has behind the start
        // of the unstable part is obsolete.
        if index.next() < self.first_index()? || index >= self.unstable.offset() {
            return Ok(None);
        }
        match self.storage.term(index) {
            Ok(term) => Ok(Some(term)),
            Err(StorageError::Compacted | StorageError::Unavailable) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// The entries from `low` up to but without `high`, as many as fit into `max_bytes` and at
    /// least one; `None` if the first one is compacted.
    ///
    /// # Errors
    ///
    /// The errors of the storage. [`StorageError::Unavailable`] if the range leaves the log.
    pub fn slice(
        &self,
        low: Index,
        high: Index,
        max_bytes: u64,
    ) -> Result<Option<Vec<Entry>>, StorageError> {
        let mut entries = Vec::new();
        let found = self.read(low, high, max_bytes, &mut entries)?;
        Ok(found.then_some(entries))
    }

    /// Like [`slice`](RaftLog::slice), into a buffer, which must be empty.
    fn read(
        &self,
        low: Index,
        high: Index,
        max_bytes: u64,
        into: &mut Vec<Entry>,
    ) -> Result<bool, StorageError> {
        debug_assert!(into.is_empty());
        if low >= high {
            return Ok(true);
        }
        let offset = self.unstable.offset();
        if high > self.unstable.end() {
            return Err(StorageError::Unavailable);
        }
        if low >= offset {
            let range = self.unstable.range(low, high);
            let count = limit_count(range.clone(), max_bytes);
            into.extend(range.take(count).cloned());
            return Ok(true);
        }
        if low < self.first_index()? {
            return Ok(false);
        }
        let cut = high.min(offset);
        *into = match self.storage.entries(low, cut, max_bytes) {
            Ok(entries) => entries,
            Err(StorageError::Compacted) => return Ok(false),
            Err(error) => return Err(error),
        };
        if high > offset && into.len() as u64 == cut - low {
            // Storage gave all it was asked for: go on where it ends, within the same limit.
            let mut bytes = entries_len(into);
            for entry in self.unstable.range(offset, high) {
                bytes = bytes.saturating_add(entry.encoded_len());
                if bytes > max_bytes {
                    break;
                }
                into.push(entry.clone());
            }
        }
        Ok(true)
    }

    /// The entries from `low` to the end within `max_bytes`; `None` if the first is compacted.
    pub(crate) fn entries_from(
        &self,
        low: Index,
        max_bytes: u64,
    ) -> Result<Option<Vec<Entry>>, StorageError> {
        self.slice(low, self.last_index()?.next(), max_bytes)
    }

    /// Returns whether a log that ends with this entry is at least as up-to-date as this one (§5.4.1).
    pub(crate) fn is_up_to_date(&self, theirs: EntryId) -> Result<bool, StorageError> {
        Ok(theirs >= self.last_id()?)
    }

    pub(crate) fn matches(&self, id: EntryId) -> Result<bool, StorageError> {
        Ok(self.term(id.index)? == Some(id.term))
    }

    /// The highest position up to `index` whose term is at most `term` or unknown, and its term
    /// (zero if unknown): how far back the logs must go to agree, as far as can be told from here.
    pub(crate) fn find_conflict_by_term(
        &self,
        index: Index,
        term: Term,
    ) -> Result<EntryId, StorageError> {
        let mut index = index;
        while !index.is_zero() {
            match self.term(index)? {
                None => {
                    return Ok(EntryId {
                        term: Term::ZERO,
                        index,
                    });
                }
                Some(own) if own <= term => return Ok(EntryId { term: own, index }),
                Some(_) => index = index.prev(),
            }
        }
        Ok(EntryId::ZERO)
    }

    /// A follower's append (Raft, figure 2): `None` if `prev` does not match, else the last
    /// position of the append.
    ///
    /// `prev` must not lie before the commit index, the entries must follow it without gap.
    pub(crate) fn maybe_append<O: Observer>(
        &mut self,
        prev: EntryId,
        mut entries: Vec<Entry>,
        commit: Index,
        watch: &mut Watch<O>,
    ) -> Result<Option<Index>, StorageError> {
        debug_assert!(prev.index >= self.committed);
        if !self.matches(prev)? {
            return Ok(None);
        }
        let last_new = prev.index + entries.len() as u64;
        if let Some(at) = self.find_conflict(&entries, watch)? {
            // What is left is moved as a whole.
            entries.drain(..at);
            self.unstable
                .append(entries.into_iter(), prev.index + (at as u64 + 1), watch);
        }
        self.commit_to(commit.min(last_new));
        Ok(Some(last_new))
    }

    /// Returns the position of the first of the entries that the log does not have.
    fn find_conflict<O: Observer>(
        &self,
        entries: &[Entry],
        watch: &mut Watch<O>,
    ) -> Result<Option<usize>, StorageError> {
        // All of an append that follows the log's end is new.
        let end = self.unstable.end();
        for (at, entry) in entries.iter().enumerate() {
            if entry.index >= end {
                return Ok(Some(at));
            }
            let own = self.term(entry.index)?;
            if own != Some(entry.term) {
                watch.report(Event::ConflictFound {
                    index: entry.index,
                    existing: own.unwrap_or_default(),
                    conflicting: entry.term,
                });
                return Ok(Some(at));
            }
        }
        Ok(None)
    }

    /// A leader's append: the entries follow the end of the log.
    pub(crate) fn append<O: Observer>(
        &mut self,
        entries: impl Iterator<Item = Entry>,
        first: Index,
        watch: &mut Watch<O>,
    ) {
        debug_assert!(first > self.committed);
        self.unstable.append(entries, first, watch);
    }

    /// Commits up to a position, which must be in the log; never less than before.
    pub(crate) fn commit_to(&mut self, index: Index) {
        self.committed = self.committed.max(index);
    }

    /// A leader's commit (§5.4.2): only an entry of its own term commits by counting.
    pub(crate) fn maybe_commit(&mut self, id: EntryId) -> Result<bool, StorageError> {
        let rises = id.index > self.committed && !id.term.is_zero() && self.matches(id)?;
        if rises {
            self.commit_to(id.index);
        }
        Ok(rises)
    }

    /// Everything is replaced by a snapshot, which is committed by its nature.
    pub(crate) fn restore<O: Observer>(&mut self, snapshot: Snapshot, watch: &mut Watch<O>) {
        watch.report(Event::RestoreStarted {
            committed: self.committed,
            applied: self.applied,
            applying: self.applying,
            unstable_offset: self.unstable.offset(),
            unstable_offset_in_progress: self.unstable.offset_in_progress(),
            unstable_entries: self.unstable.entries().len(),
            snapshot: snapshot.id(),
        });
        self.committed = snapshot.metadata.index;
        self.unstable.restore(snapshot);
    }

    /// The snapshot to send to a follower that lags behind the log.
    pub(crate) fn snapshot(&self) -> Result<Snapshot, StorageError> {
        match self.unstable.snapshot() {
            Some(snapshot) => Ok(snapshot.clone()),
            None => self.storage.snapshot(),
        }
    }

    pub(crate) fn next_unstable_entries(&self) -> impl ExactSizeIterator<Item = &Entry> {
        self.unstable.next_entries()
    }

    pub(crate) fn next_unstable_snapshot(&self) -> Option<&Snapshot> {
        self.unstable.next_snapshot()
    }

    pub(crate) fn has_next_unstable(&self) -> bool {
        self.unstable.has_next()
    }

    pub(crate) fn accept_unstable(&mut self) {
        self.unstable.accept();
    }

    pub(crate) fn stable_to<O: Observer>(&mut self, id: EntryId, watch: &mut Watch<O>) {
        self.unstable.stable_to(id, watch);
    }

    pub(crate) fn stable_snapshot_to(&mut self, index: Index) {
        self.unstable.stable_snapshot_to(index);
    }

    /// Whether there are committed entries to hand out; see
    /// [`next_committed`](RaftLog::next_committed).
    pub(crate) fn has_next_committed(&self, allow_unstable: bool) -> bool {
        // With a snapshot on its way, entries wait until it is clear what they are applied to.
        !self.applying_paused
            && self.unstable.snapshot().is_none()
            && self.applying < self.max_appliable(allow_unstable)
    }

    /// Reads the committed entries to hand out next into an empty buffer. Unless `allow_unstable`,
    /// only such as are known to be in stable storage.
    pub(crate) fn next_committed(
        &self,
        allow_unstable: bool,
        into: &mut Vec<Entry>,
    ) -> Result<(), StorageError> {
        if !self.has_next_committed(allow_unstable) {
            return Ok(());
        }
        let room = self.max_applying_bytes.saturating_sub(self.applying_bytes);
        let high = self.max_appliable(allow_unstable).next();
        if self.read(self.applying.next(), high, room, into)? && !into.is_empty() {
            Ok(())
        } else {
            Err(StorageError::Corrupt(format!(
                "committed entry {} is gone before it was applied",
                self.applying.next()
            )))
        }
    }

    fn max_appliable(&self, allow_unstable: bool) -> Index {
        if allow_unstable {
            self.committed
        } else {
            self.committed.min(self.unstable.offset().prev())
        }
    }

    /// Committed entries up to `index`, of this encoded size, were handed out.
    pub(crate) fn accept_applying(&mut self, index: Index, bytes: u64, allow_unstable: bool) {
        debug_assert!(index <= self.committed);
        self.applying = index;
        self.applying_bytes += bytes;
        // That not all was handed out means that the next entry exceeds the limit.
        self.applying_paused = self.applying_bytes >= self.max_applying_bytes
            || index < self.max_appliable(allow_unstable);
    }

    /// The application has applied everything up to `index`, `bytes` of it since last time.
    pub(crate) fn applied_to(&mut self, index: Index, bytes: u64) {
        debug_assert!(self.applied <= index && index <= self.committed);
        self.applied = index;
        self.applying = self.applying.max(index);
        self.applying_bytes = self.applying_bytes.saturating_sub(bytes);
        // With nothing outstanding one entry goes through, however small the limit.
        self.applying_paused =
            self.applying_bytes > 0 && self.applying_bytes >= self.max_applying_bytes;
    }

    /// Returns whether a change of membership is committed and not applied yet.
    pub(crate) fn has_unapplied_conf_change(&self) -> Result<bool, StorageError> {
        let mut low = self.applied.next();
        let high = self.committed.next();
        let mut page = Vec::new();
        while low < high {
            page.clear();
            if !self.read(low, high, self.max_applying_bytes, &mut page)? || page.is_empty() {
                return Err(StorageError::Corrupt(format!(
                    "committed entry {low} is gone before it was applied"
                )));
            }
            if page.iter().any(|entry| entry.kind != EntryKind::Normal) {
                return Ok(true);
            }
            low += page.len() as u64;
        }
        Ok(false)
    }

    pub(crate) fn check_invariants(&self) {
        self.unstable.check_invariants();
        debug_assert!(self.applied <= self.applying && self.applying <= self.committed);
        // A storage that fails says so to whoever asked for something.
        let last = self.last_index().ok();
        debug_assert!(last.is_none_or(|last| self.committed <= last));
    }
}
