//! A log and its state in memory.

use std::collections::VecDeque;

use bytes::Bytes;

use super::Storage;
use crate::error::StorageError;
use crate::types::{ConfState, Entry, EntryId, HardState, Index, Snapshot, Term};

/// A [`Storage`] in memory: for tests, for simulations, and for groups that are rebuilt from their
/// peers when they restart.
///
/// A plain value: cloning it is a backup, and two of them are equal if they hold the same. (As
/// etcd's `MemoryStorage`, except that it never hands out a snapshot older than its log.)
///
/// ```
/// use lockstep_raft::storage::MemoryStorage;
/// use lockstep_raft::{ConfState, Entry, Index, NodeId, Storage, Term};
///
/// # fn main() -> Result<(), lockstep_raft::StorageError> {
/// let voters = (1..=3).filter_map(NodeId::new).collect();
/// let mut storage = MemoryStorage::with_conf_state(ConfState { voters, ..ConfState::default() });
/// let entry = Entry { term: Term(1), index: Index(1), ..Entry::default() };
/// storage.append([entry])?;
/// assert_eq!(storage.last_index()?, Index(1));
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct MemoryStorage {
    hard_state: HardState,
    snapshot: Snapshot,
    /// The configuration of the last entry that was applied, if it is another than that of the snapshot.
    conf_state: Option<ConfState>,
    /// The last entry that is not held any more; its term is still needed for matching.
    compacted: EntryId,
    // Invariant: the indexes are consecutive and follow `compacted`.
    entries: VecDeque<Entry>,
}

impl MemoryStorage {
    /// An empty storage of a server that is in no group yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// An empty storage of a server that starts in this group.
    pub fn with_conf_state(conf_state: ConfState) -> Self {
        let mut storage = Self::default();
        storage.snapshot.metadata.conf_state = conf_state;
        storage
    }

    /// Stores the configuration that the application has arrived at: what
    /// [`apply_conf_change`](crate::RawNode::apply_conf_change) returned. A server that starts with an applied index
    /// needs it, since the changes up to there are not handed out again.
    pub fn set_conf_state(&mut self, conf_state: ConfState) {
        self.conf_state = Some(conf_state);
    }

    /// The stored hard state.
    pub fn hard_state(&self) -> HardState {
        self.hard_state
    }

    /// Stores entries and hard state of one [`Ready`](crate::Ready) in one step: both or neither, as
    /// a storage on disk has to. A snapshot of the same `Ready` is [applied](Self::apply_snapshot)
    /// before. [`Storage`] says why.
    ///
    /// # Errors
    /// Those of [`append`](Self::append), and nothing is stored.
    pub fn write(
        &mut self,
        entries: impl Into<Vec<Entry>>,
        hard_state: Option<HardState>,
    ) -> Result<(), StorageError> {
        self.append(entries)?;
        if let Some(hard_state) = hard_state {
            self.hard_state = hard_state;
        }
        Ok(())
    }

    /// Stores a hard state alone, to set up a storage. A running server's goes with its entries, by
    /// [`write`](Self::write).
    pub fn set_hard_state(&mut self, hard_state: HardState) {
        self.hard_state = hard_state;
    }

    /// Appends entries, in place of everything that is held at and after the first of them. Entries
    /// that were compacted already are left out (Raft §5.3). Entries of a running server go with its
    /// hard state, by [`write`](Self::write).
    ///
    /// # Errors
    /// [`StorageError::Corrupt`], and nothing is stored, if the entries are not consecutive or if
    /// entries are missing between them and what is held.
    pub fn append(&mut self, entries: impl Into<Vec<Entry>>) -> Result<(), StorageError> {
        let mut entries = entries.into();
        if let Some(pair) = entries
            .windows(2)
            .find(|pair| pair[0].index.0.checked_add(1) != Some(pair[1].index.0))
        {
            let (one, other) = (pair[0].index, pair[1].index);
            let what = format!("entry {other} was appended right after entry {one}");
            return Err(StorageError::Corrupt(what));
        }
        let compacted = entries.partition_point(|entry| entry.index <= self.compacted.index);
        entries.drain(..compacted);
        let Some(first) = entries.first() else {
            return Ok(());
        };
        let (first, last) = (first.index, self.last());
        if first > last.next() {
            let what = format!("entry {first} was appended after entry {last}");
            return Err(StorageError::Corrupt(what));
        }
        self.entries.truncate(self.position(first));
        self.entries.extend(entries);
        Ok(())
    }

    /// Makes a snapshot of the application's state as of `index`, to be sent to servers that lag
    /// behind the log. `conf_state` is the configuration as of that entry, `None` if it has not
    /// changed since the last snapshot. The log stays as it is until it is
    /// [compacted](Self::compact) (Raft §7; as etcd's `CreateSnapshot`).
    ///
    /// ```
    /// # include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/doc_support/servers.rs"));
    /// # fn main() -> Result<(), Error> {
    /// let mut storage = MemoryStorage::new();
    /// let entry = |index| Entry { term: Term(1), index: Index(index), ..Entry::default() };
    /// storage.append([entry(1), entry(2), entry(3)])?;
    /// // The application has applied two entries.
    /// let snapshot = storage.create_snapshot(Index(2), None, "state".into())?.clone();
    /// storage.compact(Index(2))?;
    /// assert_eq!(storage.first_index()?, Index(3));
    ///
    /// // A server that lags behind gets it in place of its whole log.
    /// let mut lagging = MemoryStorage::new();
    /// lagging.append([entry(1)])?;
    /// lagging.apply_snapshot(snapshot.clone())?;
    /// assert_eq!((lagging.first_index()?, lagging.last_index()?), (Index(3), Index(2)));
    /// lagging.append([entry(3)])?;
    /// assert_eq!(lagging.apply_snapshot(snapshot), Err(StorageError::SnapshotOutOfDate));
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// [`StorageError::SnapshotOutOfDate`] if there is a snapshot of `index` or later already,
    /// [`StorageError::Compacted`] or [`StorageError::Unavailable`] if the entry is not held.
    pub fn create_snapshot(
        &mut self,
        index: Index,
        conf_state: Option<ConfState>,
        data: Bytes,
    ) -> Result<&Snapshot, StorageError> {
        if index <= self.snapshot.metadata.index {
            return Err(StorageError::SnapshotOutOfDate);
        }
        let term = self.term(index)?;
        self.snapshot.metadata.index = index;
        self.snapshot.metadata.term = term;
        if let Some(conf_state) = conf_state {
            self.snapshot.metadata.conf_state = conf_state;
        }
        self.snapshot.data = data;
        Ok(&self.snapshot)
    }

    /// Installs a snapshot in place of the whole log (Raft §7), in one step.
    ///
    /// # Errors
    /// [`StorageError::SnapshotOutOfDate`], and nothing changes, if there is a snapshot of that index
    /// or a later one already.
    pub fn apply_snapshot(&mut self, snapshot: Snapshot) -> Result<(), StorageError> {
        if snapshot.metadata.index <= self.snapshot.metadata.index {
            return Err(StorageError::SnapshotOutOfDate);
        }
        self.compacted = snapshot.id();
        self.entries.clear();
        self.snapshot = snapshot;
        self.conf_state = None;
        Ok(())
    }

    /// Drops the entries up to and including `index`; the application has applied them. Servers
    /// that still need them get a snapshot, so [make one](Self::create_snapshot) first (Raft §7).
    ///
    /// # Errors
    /// [`StorageError::Compacted`] if that was done already, [`StorageError::Unavailable`] if the
    /// entry is not there yet.
    pub fn compact(&mut self, index: Index) -> Result<(), StorageError> {
        if index <= self.compacted.index {
            return Err(StorageError::Compacted);
        }
        let term = self.term(index)?;
        self.entries.drain(..self.position(index.next()));
        self.compacted = EntryId::new(term, index);
        Ok(())
    }

    fn last(&self) -> Index {
        self.compacted.index + self.entries.len() as u64
    }

    /// Returns the position at which the entry at `index`, which is not compacted, is held or would be.
    fn position(&self, index: Index) -> usize {
        // What is held fits into memory, and everybody asks for at most one position behind it.
        (index - self.compacted.index.next()) as usize
    }
}

impl Storage for MemoryStorage {
    fn initial_state(&self) -> Result<(HardState, ConfState), StorageError> {
        let conf_state = self.conf_state.as_ref();
        let conf_state = conf_state.unwrap_or(&self.snapshot.metadata.conf_state);
        Ok((self.hard_state, conf_state.clone()))
    }

    fn entries(&self, low: Index, high: Index, max_bytes: u64) -> Result<Vec<Entry>, StorageError> {
        if low <= self.compacted.index {
            return Err(StorageError::Compacted);
        }
        if high > self.last().next() {
            return Err(StorageError::Unavailable);
        }
        if low >= high {
            return Ok(Vec::new());
        }
        let held = self.entries.range(self.position(low)..self.position(high));
        let count = crate::types::limit_count(held.clone(), max_bytes);
        Ok(held.take(count).cloned().collect())
    }

    fn term(&self, index: Index) -> Result<Term, StorageError> {
        if index < self.compacted.index {
            return Err(StorageError::Compacted);
        }
        if index == self.compacted.index {
            return Ok(self.compacted.term);
        }
        if index > self.last() {
            return Err(StorageError::Unavailable);
        }
        Ok(self.entries[self.position(index)].term)
    }

    fn first_index(&self) -> Result<Index, StorageError> {
        Ok(self.compacted.index.next())
    }

    fn last_index(&self) -> Result<Index, StorageError> {
        Ok(self.last())
    }

    fn snapshot(&self) -> Result<Snapshot, StorageError> {
        // One that ends before the log begins would leave a gap at whoever gets it.
        if self.snapshot.metadata.index < self.compacted.index {
            return Err(StorageError::SnapshotTemporarilyUnavailable);
        }
        Ok(self.snapshot.clone())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(index: u64, term: u64) -> Entry {
        Entry {
            term: Term(term),
            index: Index(index),
            ..Entry::default()
        }
    }

    /// Entries 1 to 6 with terms 1, 1, 2, 2, 3, 3, the first two of them compacted.
    fn storage() -> MemoryStorage {
        let mut storage = MemoryStorage::new();
        let entries: Vec<Entry> = (1..=6)
            .map(|index| entry(index, index.div_ceil(2)))
            .collect();
        storage.append(entries).unwrap();
        storage.compact(Index(2)).unwrap();
        storage
    }

    fn held(storage: &MemoryStorage) -> Vec<(u64, u64)> {
        let ids = storage.entries.iter().map(Entry::id);
        ids.map(|id| (id.index.0, id.term.0)).collect()
    }

    #[test]
    fn what_was_compacted_is_gone_but_for_the_last_term() {
        let storage = storage();
        assert_eq!(storage.first_index(), Ok(Index(3)));
        assert_eq!(storage.last_index(), Ok(Index(6)));
        assert_eq!(storage.term(Index(1)), Err(StorageError::Compacted));
        assert_eq!(storage.term(Index(2)), Ok(Term(1)));
        assert_eq!(storage.term(Index(6)), Ok(Term(3)));
        assert_eq!(storage.term(Index(7)), Err(StorageError::Unavailable));
        let entries = |low, high, max| storage.entries(Index(low), Index(high), max);
        assert_eq!(entries(2, 4, 99), Err(StorageError::Compacted));
        assert_eq!(entries(6, 8, 99), Err(StorageError::Unavailable));
        assert_eq!(entries(4, 6, 99), Ok(vec![entry(4, 2), entry(5, 3)]));
        assert_eq!(entries(4, 6, 0), Ok(vec![entry(4, 2)]));
        assert_eq!(entries(7, 7, 99), Ok(vec![]));
    }

    #[test]
    fn an_append_replaces_what_conflicts() {
        let mut truncated = storage();
        truncated.append([entry(4, 4)]).unwrap();
        assert_eq!(held(&truncated), [(3, 2), (4, 4)]);
        let mut overlapping = storage();
        overlapping
            .append((1..=3).map(|index| entry(index, 5)).collect::<Vec<_>>())
            .unwrap();
        assert_eq!(held(&overlapping), [(3, 5)]);
        let mut old = storage();
        old.append([entry(1, 1), entry(2, 1)]).unwrap();
        assert_eq!(old, storage());
        let mut following = storage();
        following.append([entry(7, 3)]).unwrap();
        assert_eq!(following.last_index(), Ok(Index(7)));
    }

    #[test]
    fn a_write_stores_both_or_neither() {
        let hard_state = HardState {
            term: Term(4),
            ..HardState::default()
        };
        let mut written = storage();
        written.write([entry(7, 4)], Some(hard_state)).unwrap();
        assert_eq!(
            (written.last_index(), written.hard_state()),
            (Ok(Index(7)), hard_state)
        );
        let before = written.clone();
        assert!(written.write([entry(9, 5)], None).is_err());
        let default = Some(HardState::default());
        assert!(written.write([entry(9, 5)], default).is_err());
        assert_eq!(written, before);
        written.write([], None).unwrap();
        assert_eq!(written, before);
    }

    #[test]
    fn gaps_are_refused() {
        let mut gap = storage();
        assert!(matches!(
            gap.append([entry(8, 3)]),
            Err(StorageError::Corrupt(_))
        ));
        assert!(matches!(
            gap.append([entry(4, 3), entry(6, 3)]),
            Err(StorageError::Corrupt(_))
        ));
        assert_eq!(gap, storage());
    }

    #[test]
    fn snapshots_are_made_of_held_entries_and_never_go_back() {
        let mut storage = storage();
        // The log was compacted and no snapshot covers what is gone.
        assert_eq!(
            storage.snapshot(),
            Err(StorageError::SnapshotTemporarilyUnavailable)
        );
        let data = Bytes::from_static(b"state");
        let mut create = |index| {
            storage
                .create_snapshot(Index(index), None, data.clone())
                .map(Snapshot::id)
        };
        assert_eq!(create(1), Err(StorageError::Compacted));
        assert_eq!(create(7), Err(StorageError::Unavailable));
        assert_eq!(create(4), Ok(EntryId::new(Term(2), Index(4))));
        assert_eq!(create(4), Err(StorageError::SnapshotOutOfDate));
        assert_eq!(storage.snapshot().map(|snapshot| snapshot.data), Ok(data));
        storage.compact(Index(4)).unwrap();
        assert_eq!(storage.compact(Index(4)), Err(StorageError::Compacted));
        assert_eq!(storage.compact(Index(7)), Err(StorageError::Unavailable));
        storage.compact(Index(6)).unwrap();
        assert_eq!(
            (storage.first_index(), storage.last_index()),
            (Ok(Index(7)), Ok(Index(6)))
        );
    }

    #[test]
    fn an_installed_snapshot_replaces_the_log() {
        let mut other = storage();
        let snapshot = other
            .create_snapshot(Index(5), None, Bytes::new())
            .unwrap()
            .clone();
        let mut lagging = MemoryStorage::new();
        lagging.append([entry(1, 1)]).unwrap();
        lagging.apply_snapshot(snapshot.clone()).unwrap();
        assert_eq!(
            (lagging.first_index(), lagging.last_index()),
            (Ok(Index(6)), Ok(Index(5)))
        );
        assert_eq!(lagging.term(Index(5)), Ok(Term(3)));
        assert_eq!(
            lagging.apply_snapshot(snapshot),
            Err(StorageError::SnapshotOutOfDate)
        );
        lagging.append([entry(6, 3)]).unwrap();
        assert_eq!(lagging.last_index(), Ok(Index(6)));
    }
}
