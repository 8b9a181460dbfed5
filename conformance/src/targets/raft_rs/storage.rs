//! A log in memory, shared between the library and the adapter. The library's own `MemStorage` starts
//! behind a snapshot; this one starts empty, with the voters in its initial state.

use raft::eraftpb::{ConfState, Entry, HardState, Snapshot};
use raft::util::limit_size;
use raft::{GetEntriesContext, RaftState, Result, Storage, StorageError};
use std::cell::{Ref, RefCell};
use std::rc::Rc;

/// The state that survives a crash.
#[derive(Clone, Debug, Default)]
pub struct Durable {
    pub hard: HardState,
    /// The first has index one.
    pub entries: Vec<Entry>,
    voters: Vec<u64>,
}

/// A handle to one [`Durable`].
#[derive(Clone, Debug, Default)]
pub struct SharedStorage(Rc<RefCell<Durable>>);

impl SharedStorage {
    /// Nothing but the voters.
    pub fn new(voters: Vec<u64>) -> SharedStorage {
        let durable = Durable {
            voters,
            ..Durable::default()
        };
        SharedStorage(Rc::new(RefCell::new(durable)))
    }

    pub fn durable(&self) -> Ref<'_, Durable> {
        self.0.borrow()
    }

    /// Whether it holds that entry as it is.
    pub fn holds(&self, entry: &Entry) -> bool {
        self.durable().entries.get(position(entry.index)) == Some(entry)
    }

    pub fn set_hard_state(&self, hard: HardState) {
        self.0.borrow_mut().hard = hard;
    }

    pub fn set_commit(&self, commit: u64) {
        self.0.borrow_mut().hard.commit = commit;
    }

    /// Appends, and cuts off first what the new entries replace.
    pub fn append(&self, entries: &[Entry]) {
        if let Some(first) = entries.first() {
            let log = &mut self.0.borrow_mut().entries;
            log.truncate(position(first.index));
            log.extend_from_slice(entries);
        }
    }
}

/// Returns the position of an index's entry in the list; the end of the list for an index that does not fit.
fn position(index: u64) -> usize {
    usize::try_from(index.saturating_sub(1)).unwrap_or(usize::MAX)
}

impl Storage for SharedStorage {
    fn initial_state(&self) -> Result<RaftState> {
        let durable = self.durable();
        let voters = ConfState {
            voters: durable.voters.clone(),
            ..ConfState::default()
        };
        Ok(RaftState::new(durable.hard.clone(), voters))
    }

    fn entries(
        &self,
        low: u64,
        high: u64,
        max_size: impl Into<Option<u64>>,
        _context: GetEntriesContext,
    ) -> Result<Vec<Entry>> {
        let durable = self.durable();
        let range = position(low)..position(high);
        let mut entries = durable
            .entries
            .get(range)
            .ok_or(StorageError::Unavailable)?
            .to_vec();
        limit_size(&mut entries, max_size.into());
        Ok(entries)
    }

    fn term(&self, index: u64) -> Result<u64> {
        if index == 0 {
            return Ok(0);
        }
        let durable = self.durable();
        let entry = durable.entries.get(position(index));
        Ok(entry.ok_or(StorageError::Unavailable)?.term)
    }

    fn first_index(&self) -> Result<u64> {
        Ok(1)
    }

    fn last_index(&self) -> Result<u64> {
        Ok(self.durable().entries.len() as u64)
    }

    fn snapshot(&self, _request_index: u64, _to: u64) -> Result<Snapshot> {
        // Nothing is ever compacted, so no peer needs one.
        Err(StorageError::SnapshotTemporarilyUnavailable.into())
    }
}
