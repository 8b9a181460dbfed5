//! The log as Raft reads it: entries in memory, the rest as of the last applied entry.

use lockstep_raft::{
    ConfState, Entry, EntryId, HardState, Index, MemoryStorage, Snapshot, SnapshotMetadata,
    Storage, StorageError, Term,
};

/// The entries that the durable log holds, and the point up to which the store has applied them.
///
/// The store is a snapshot of itself at any time, so the snapshot that this hands out is as of the last
/// applied entry. It has no data: those are streamed from the store when it is sent.
#[derive(Clone, Debug)]
pub(crate) struct LogView {
    pub(crate) entries: MemoryStorage,
    pub(crate) applied: EntryId,
    pub(crate) conf_state: ConfState,
}

impl Storage for LogView {
    fn initial_state(&self) -> Result<(HardState, ConfState), StorageError> {
        Ok((self.entries.hard_state(), self.conf_state.clone()))
    }

    fn entries(&self, low: Index, high: Index, max_bytes: u64) -> Result<Vec<Entry>, StorageError> {
        self.entries.entries(low, high, max_bytes)
    }

    fn term(&self, index: Index) -> Result<Term, StorageError> {
        self.entries.term(index)
    }

    fn first_index(&self) -> Result<Index, StorageError> {
        self.entries.first_index()
    }

    fn last_index(&self) -> Result<Index, StorageError> {
        self.entries.last_index()
    }

    fn snapshot(&self) -> Result<Snapshot, StorageError> {
        if self.applied.index.is_zero() || self.conf_state.voters.is_empty() {
            return Err(StorageError::SnapshotTemporarilyUnavailable);
        }
        let EntryId { term, index } = self.applied;
        let metadata = SnapshotMetadata {
            conf_state: self.conf_state.clone(),
            index,
            term,
        };
        Ok(Snapshot {
            metadata,
            data: bytes::Bytes::new(),
        })
    }
}
