//! The state that the server reads.

use lockstep_raft::{ConfState, Entry, HardState, Index, Snapshot, Storage, StorageError, Term};

use crate::log::{View, lock};

/// The [`Storage`] of a server whose log a [`Wal`](crate::Wal) writes. Clones share the same state.
///
/// It is held in memory, and shows a write from its acknowledgement on. Entries that a snapshot
/// covers stay until they are [compacted](WalStorage::compact), or until the next start.
#[derive(Clone, Debug)]
pub struct WalStorage {
    view: View,
}

impl WalStorage {
    pub(crate) fn new(view: View) -> WalStorage {
        WalStorage { view }
    }

    /// Drops the entries up to and including `index` from memory. Servers that still need them get
    /// a snapshot, so [make one](crate::Wal::create_snapshot) first; that is also what frees the
    /// disk. Keep some entries behind the snapshot for servers that lag a little.
    ///
    /// # Errors
    /// [`StorageError::Compacted`] if that was done already, [`StorageError::Unavailable`] if the
    /// entry is not there yet.
    pub fn compact(&self, index: Index) -> Result<(), StorageError> {
        lock(&self.view).compact(index)
    }
}

impl Storage for WalStorage {
    fn initial_state(&self) -> Result<(HardState, ConfState), StorageError> {
        lock(&self.view).initial_state()
    }

    fn entries(&self, low: Index, high: Index, max_bytes: u64) -> Result<Vec<Entry>, StorageError> {
        lock(&self.view).entries(low, high, max_bytes)
    }

    fn term(&self, index: Index) -> Result<Term, StorageError> {
        lock(&self.view).term(index)
    }

    fn first_index(&self) -> Result<Index, StorageError> {
        lock(&self.view).first_index()
    }

    fn last_index(&self) -> Result<Index, StorageError> {
        lock(&self.view).last_index()
    }

    fn snapshot(&self) -> Result<Snapshot, StorageError> {
        lock(&self.view).snapshot()
    }
}
