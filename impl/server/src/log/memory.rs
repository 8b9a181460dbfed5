//! A log that ends with the process.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use lockstep_raft::{EntryId, Index, SnapshotMetadata};

use super::{Identity, LogError, LogState, LogStore, LogWrite};

/// A log in memory, for tests. Clones share their content, so that a server in the same process can be
/// started again with the log of an earlier one.
#[derive(Clone, Debug, Default)]
pub struct MemoryLog {
    state: Arc<Mutex<LogState>>,
}

impl MemoryLog {
    fn state(&self) -> MutexGuard<'_, LogState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn last(state: &LogState) -> Index {
    state
        .entries
        .last()
        .map_or(state.start.index, |entry| entry.index)
}

impl LogStore for MemoryLog {
    fn load(&mut self) -> Result<LogState, LogError> {
        Ok(self.state().clone())
    }

    fn set_identity(&mut self, identity: Identity) -> Result<(), LogError> {
        self.state().identity = Some(identity);
        Ok(())
    }

    fn write(&mut self, write: LogWrite) -> Result<(), LogError> {
        let mut state = self.state();
        if let Some(snapshot) = write.snapshot {
            state.start = EntryId::new(snapshot.term, snapshot.index);
            state.conf_state = snapshot.conf_state;
            state.entries.clear();
        }
        if let Some(first) = write.entries.first() {
            if first.index <= state.start.index || first.index > last(&state).next() {
                return Err(LogError::new(format!(
                    "entry {} does not follow",
                    first.index
                )));
            }
            state.entries.retain(|entry| entry.index < first.index);
            state.entries.extend_from_slice(&write.entries);
        }
        if let Some(hard_state) = write.hard_state {
            state.hard_state = hard_state;
        }
        Ok(())
    }

    fn compact(&mut self, applied: &SnapshotMetadata) -> Result<(), LogError> {
        let mut state = self.state();
        state.entries.retain(|entry| entry.index > applied.index);
        state.start = EntryId::new(applied.term, applied.index);
        state.conf_state = applied.conf_state.clone();
        Ok(())
    }
}
