//! A storage that the server reads and the application writes.

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use crate::{ConfState, Entry, HardState, Index, Snapshot, Storage, StorageError, Term};

/// A storage in memory (or any other whose methods are quick) shared between a server's task, which
/// reads it, and the application, which writes it. Clones share the same storage.
///
/// ```
/// use lockstep_raft::node::SharedStorage;
/// use lockstep_raft::storage::MemoryStorage;
/// use lockstep_raft::{Entry, Index, Storage, Term};
///
/// let storage = SharedStorage::new(MemoryStorage::new());
/// let entry = Entry { term: Term(1), index: Index(1), ..Entry::default() };
/// storage.with(|memory| memory.append(&[entry]))?;
/// assert_eq!(storage.clone().last_index()?, Index(1));
/// # Ok::<(), lockstep_raft::StorageError>(())
/// ```
#[derive(Default)]
pub struct SharedStorage<S> {
    inner: Arc<Mutex<S>>,
}

impl<S> SharedStorage<S> {
    /// Shares a storage.
    pub fn new(storage: S) -> SharedStorage<S> {
        SharedStorage {
            inner: Arc::new(Mutex::new(storage)),
        }
    }

    /// Runs an action on the storage, while nobody else does. Must not be called from within itself.
    pub fn with<T>(&self, action: impl FnOnce(&mut S) -> T) -> T {
        // A panic of another action says nothing about this storage that its own checks would not.
        action(&mut self.inner.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl<S> Clone for SharedStorage<S> {
    fn clone(&self) -> SharedStorage<S> {
        SharedStorage {
            inner: Arc::clone(&self.inner),
        }
    }
}

impl<S> fmt::Debug for SharedStorage<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SharedStorage").finish_non_exhaustive()
    }
}

impl<S: Storage> Storage for SharedStorage<S> {
    fn initial_state(&self) -> Result<(HardState, ConfState), StorageError> {
        self.with(|storage| storage.initial_state())
    }

    fn entries(&self, low: Index, high: Index, max_bytes: u64) -> Result<Vec<Entry>, StorageError> {
        self.with(|storage| storage.entries(low, high, max_bytes))
    }

    fn term(&self, index: Index) -> Result<Term, StorageError> {
        self.with(|storage| storage.term(index))
    }

    fn first_index(&self) -> Result<Index, StorageError> {
        self.with(|storage| storage.first_index())
    }

    fn last_index(&self) -> Result<Index, StorageError> {
        self.with(|storage| storage.last_index())
    }

    fn snapshot(&self) -> Result<Snapshot, StorageError> {
        self.with(|storage| storage.snapshot())
    }
}
