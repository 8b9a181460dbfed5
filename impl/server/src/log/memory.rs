//! A log that ends with the process.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use lockstep_raft::{Entry, EntryId, HardState, Index, SnapshotMetadata};

use super::{Identity, LogError, LogState, LogStore};

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

    fn append(
        &mut self,
        entries: &[Entry],
        hard_state: Option<&HardState>,
        _sync: bool,
    ) -> Result<(), LogError> {
        let mut state = self.state();
        if let Some(first) = entries.first() {
            if first.index <= state.start.index || first.index > last(&state).next() {
                return Err(LogError::new(format!(
                    "entry {} does not follow",
                    first.index
                )));
            }
            state.entries.retain(|entry| entry.index < first.index);
            state.entries.extend_from_slice(entries);
        }
        if let Some(hard_state) = hard_state {
            state.hard_state = *hard_state;
        }
        Ok(())
    }

    fn install(&mut self, snapshot: &SnapshotMetadata) -> Result<(), LogError> {
        let mut state = self.state();
        state.start = EntryId::new(snapshot.term, snapshot.index);
        state.entries.clear();
        Ok(())
    }

    fn compact(&mut self, start: EntryId) -> Result<(), LogError> {
        let mut state = self.state();
        state.entries.retain(|entry| entry.index > start.index);
        state.start = start;
        Ok(())
    }
}
