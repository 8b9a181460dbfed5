//! A log in memory, shared between the library and the adapter. The library's own `MemStorage` starts
//! behind a snapshot, and makes snapshots of what is committed; this one starts empty, with the voters in its initial
//! state, and its application makes the snapshots.

use raft::eraftpb::{ConfState, Entry, HardState, Snapshot};
use raft::util::limit_size;
use raft::{GetEntriesContext, RaftState, Result, Storage, StorageError};
use std::cell::{Ref, RefCell};
use std::rc::Rc;

/// The state that survives a crash.
#[derive(Clone, Debug, Default)]
pub struct Durable {
    pub hard: HardState,
    /// The first stands right behind the snapshot.
    pub entries: Vec<Entry>,
    /// The configuration at what is applied.
    pub members: ConfState,
    /// What stands for the entries before the log; index zero if there is none.
    pub snapshot: Snapshot,
}

impl Durable {
    /// The index of the last entry that the snapshot stands for.
    pub fn compacted(&self) -> u64 {
        self.snapshot.get_metadata().index
    }

    /// The index of the last entry.
    pub fn last(&self) -> u64 {
        self.compacted() + self.entries.len() as u64
    }

    /// Where the entry of an index is in the list; `None` for one before the log.
    fn position(&self, index: u64) -> Option<usize> {
        let behind = index.checked_sub(self.compacted() + 1)?;
        usize::try_from(behind).ok()
    }

    fn entry(&self, index: u64) -> Option<&Entry> {
        self.entries.get(self.position(index)?)
    }
}

/// A handle to one [`Durable`].
#[derive(Clone, Debug, Default)]
pub struct SharedStorage(Rc<RefCell<Durable>>);

impl SharedStorage {
    /// Nothing but the members.
    pub fn new(members: ConfState) -> SharedStorage {
        let durable = Durable {
            members,
            ..Durable::default()
        };
        SharedStorage(Rc::new(RefCell::new(durable)))
    }

    pub fn durable(&self) -> Ref<'_, Durable> {
        self.0.borrow()
    }

    /// Whether it holds that entry as it is.
    pub fn holds(&self, entry: &Entry) -> bool {
        self.durable().entry(entry.index) == Some(entry)
    }

    pub fn set_hard_state(&self, hard: HardState) {
        self.0.borrow_mut().hard = hard;
    }

    pub fn set_commit(&self, commit: u64) {
        self.0.borrow_mut().hard.commit = commit;
    }

    pub fn set_members(&self, members: ConfState) {
        self.0.borrow_mut().members = members;
    }

    /// Appends, and cuts off first what the new entries replace.
    pub fn append(&self, entries: &[Entry]) {
        if let Some(first) = entries.first() {
            let durable = &mut *self.0.borrow_mut();
            let keep = durable.position(first.index).unwrap_or(0);
            durable.entries.truncate(keep);
            durable.entries.extend_from_slice(entries);
        }
    }

    /// Takes a snapshot in place of the log and the configuration.
    pub fn install(&self, snapshot: Snapshot) {
        let durable = &mut *self.0.borrow_mut();
        durable.members = snapshot.get_metadata().get_conf_state().clone();
        durable.entries.clear();
        durable.snapshot = snapshot;
    }

    /// Makes a snapshot up to an index that is in the log, and drops the log up to there.
    pub fn compact(&self, index: u64, data: Vec<u8>) {
        let durable = &mut *self.0.borrow_mut();
        let (Some(term), Some(position)) = (
            durable.entry(index).map(|it| it.term),
            durable.position(index),
        ) else {
            return;
        };
        let mut snapshot = Snapshot {
            data: data.into(),
            ..Snapshot::default()
        };
        let meta = snapshot.mut_metadata();
        (meta.index, meta.term) = (index, term);
        meta.set_conf_state(durable.members.clone());
        durable.entries.drain(..=position);
        durable.snapshot = snapshot;
    }
}

impl Storage for SharedStorage {
    fn initial_state(&self) -> Result<RaftState> {
        let durable = self.durable();
        Ok(RaftState::new(
            durable.hard.clone(),
            durable.members.clone(),
        ))
    }

    fn entries(
        &self,
        low: u64,
        high: u64,
        max_size: impl Into<Option<u64>>,
        _context: GetEntriesContext,
    ) -> Result<Vec<Entry>> {
        let durable = self.durable();
        let (Some(low), Some(high)) = (durable.position(low), durable.position(high)) else {
            return Err(StorageError::Compacted.into());
        };
        let entries = durable.entries.get(low..high);
        let mut entries = entries.ok_or(StorageError::Unavailable)?.to_vec();
        limit_size(&mut entries, max_size.into());
        Ok(entries)
    }

    fn term(&self, index: u64) -> Result<u64> {
        let durable = self.durable();
        if index == durable.compacted() {
            return Ok(durable.snapshot.get_metadata().term);
        }
        if index < durable.compacted() {
            return Err(StorageError::Compacted.into());
        }
        Ok(durable.entry(index).ok_or(StorageError::Unavailable)?.term)
    }

    fn first_index(&self) -> Result<u64> {
        Ok(self.durable().compacted() + 1)
    }

    fn last_index(&self) -> Result<u64> {
        Ok(self.durable().last())
    }

    fn snapshot(&self, _request_index: u64, _to: u64) -> Result<Snapshot> {
        let snapshot = self.durable().snapshot.clone();
        match snapshot.get_metadata().index {
            0 => Err(StorageError::SnapshotTemporarilyUnavailable.into()),
            _ => Ok(snapshot),
        }
    }
}
