//! A log in a database of its own.

use std::path::Path;

use bytes::Bytes;
use lockstep_raft::{Entry, EntryId, HardState, Index, SnapshotMetadata, Term, wire};
use redb::{Database, Durability, ReadableDatabase, ReadableTable, Table, TableDefinition};

use super::{Identity, LogError, LogState, LogStore};

/// The memory for pages of the database. The entries are in memory anyway, and read once.
const CACHE_BYTES: usize = 16 << 20;

const ENTRIES: TableDefinition<'static, u64, &[u8]> = TableDefinition::new("entries");
const STATE: TableDefinition<'static, &str, &[u8]> = TableDefinition::new("state");
const HARD_STATE: &str = "hard-state";
/// Pairs of numbers.
const IDENTITY: &str = "identity";
const START: &str = "start";

/// A log in a [`redb`] database: simple and safe, with more to write for each entry than a log that is
/// made for it.
#[derive(Debug)]
pub struct RedbLog {
    database: Database,
}

impl RedbLog {
    /// Opens the log in a file, or makes an empty one.
    ///
    /// # Errors
    /// The database cannot be opened, also because another process has it open.
    pub fn open(path: impl AsRef<Path>) -> Result<RedbLog, LogError> {
        let log = RedbLog {
            database: Database::builder()
                .set_cache_size(CACHE_BYTES)
                .create(path)
                .map_err(LogError::new)?,
        };
        log.write(true, |_, _| Ok(()))?;
        Ok(log)
    }

    fn write(
        &self,
        sync: bool,
        work: impl FnOnce(
            &mut Table<'_, u64, &'static [u8]>,
            &mut Table<'_, &'static str, &'static [u8]>,
        ) -> Result<(), redb::StorageError>,
    ) -> Result<(), LogError> {
        let mut txn = self.database.begin_write().map_err(LogError::new)?;
        let durability = if sync {
            Durability::Immediate
        } else {
            Durability::None
        };
        txn.set_durability(durability).map_err(LogError::new)?;
        {
            let mut entries = txn.open_table(ENTRIES).map_err(LogError::new)?;
            let mut state = txn.open_table(STATE).map_err(LogError::new)?;
            work(&mut entries, &mut state).map_err(LogError::new)?;
        }
        txn.commit().map_err(LogError::new)
    }
}

fn pair_bytes(one: u64, other: u64) -> [u8; 16] {
    (u128::from(one) << 64 | u128::from(other)).to_be_bytes()
}

fn pair(bytes: &[u8]) -> Result<(u64, u64), LogError> {
    let numbers = <[u8; 16]>::try_from(bytes).map_err(|_| LogError::new("no pair of numbers"))?;
    let (one, other) = numbers.split_at(8);
    let number = |bytes: &[u8]| {
        bytes
            .iter()
            .fold(0, |number, &byte| number << 8 | u64::from(byte))
    };
    Ok((number(one), number(other)))
}

impl LogStore for RedbLog {
    fn load(&mut self) -> Result<LogState, LogError> {
        let txn = self.database.begin_read().map_err(LogError::new)?;
        let stored = txn.open_table(STATE).map_err(LogError::new)?;
        let entries = txn.open_table(ENTRIES).map_err(LogError::new)?;
        let mut state = LogState::default();
        if let Some(bytes) = stored.get(IDENTITY).map_err(LogError::new)? {
            let (cluster, member) = pair(bytes.value())?;
            state.identity = Some(Identity { cluster, member });
        }
        if let Some(bytes) = stored.get(START).map_err(LogError::new)? {
            let (term, index) = pair(bytes.value())?;
            state.start = EntryId::new(Term(term), Index(index));
        }
        if let Some(bytes) = stored.get(HARD_STATE).map_err(LogError::new)? {
            let bytes = Bytes::copy_from_slice(bytes.value());
            state.hard_state = wire::decode(bytes).map_err(LogError::new)?;
        }
        for entry in entries.iter().map_err(LogError::new)? {
            let (_, bytes) = entry.map_err(LogError::new)?;
            let entry = wire::decode::<Entry>(Bytes::copy_from_slice(bytes.value()));
            state.entries.push(entry.map_err(LogError::new)?);
        }
        Ok(state)
    }

    fn set_identity(&mut self, identity: Identity) -> Result<(), LogError> {
        let bytes = pair_bytes(identity.cluster, identity.member);
        self.write(true, |_, state| {
            state.insert(IDENTITY, bytes.as_slice()).map(drop)
        })
    }

    fn append(
        &mut self,
        entries: &[Entry],
        hard_state: Option<&HardState>,
        sync: bool,
    ) -> Result<(), LogError> {
        self.write(sync, |table, state| {
            if let Some(first) = entries.first() {
                table.retain_in(first.index.get().., |_, _| false)?;
            }
            for entry in entries {
                table.insert(entry.index.get(), wire::encode(entry).as_ref())?;
            }
            if let Some(hard_state) = hard_state {
                state.insert(HARD_STATE, wire::encode(hard_state).as_ref())?;
            }
            Ok(())
        })
    }

    fn install(&mut self, snapshot: &SnapshotMetadata) -> Result<(), LogError> {
        let start = pair_bytes(snapshot.term.get(), snapshot.index.get());
        self.write(true, |entries, state| {
            entries.retain(|_, _| false)?;
            state.insert(START, start.as_slice()).map(drop)
        })
    }

    fn compact(&mut self, start: EntryId) -> Result<(), LogError> {
        let bytes = pair_bytes(start.term.get(), start.index.get());
        self.write(false, |entries, state| {
            entries.retain_in(..=start.index.get(), |_, _| false)?;
            state.insert(START, bytes.as_slice()).map(drop)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::super::MemoryLog;
    use super::*;

    fn entry(index: u64, term: u64) -> Entry {
        Entry {
            index: Index(index),
            term: Term(term),
            data: "data".into(),
            ..Entry::default()
        }
    }

    type Step<'a> = &'a dyn Fn(&mut dyn LogStore) -> Result<(), LogError>;

    /// The two logs do the same, and the one on disk still has it when it is opened again.
    #[test]
    fn logs_agree() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("log.redb");
        let mut memory = MemoryLog::default();
        let mut disk = RedbLog::open(&path).unwrap();
        let hard_state = HardState {
            term: Term(2),
            commit: Index(3),
            ..HardState::default()
        };
        let snapshot = SnapshotMetadata {
            index: Index(9),
            term: Term(3),
            ..SnapshotMetadata::default()
        };
        let steps: [Step<'_>; 7] = [
            &|log| {
                log.set_identity(Identity {
                    cluster: u64::MAX,
                    member: 7,
                })
            },
            &|log| log.append(&[entry(1, 1), entry(2, 1), entry(3, 1)], None, false),
            &|log| log.append(&[entry(3, 2)], Some(&hard_state), true),
            &|log| log.append(&[entry(4, 2)], None, true),
            &|log| log.compact(EntryId::new(Term(1), Index(2))),
            &|log| log.install(&snapshot),
            &|log| log.append(&[entry(10, 3)], None, true),
        ];
        for step in steps {
            step(&mut memory).unwrap();
            step(&mut disk).unwrap();
            let state = memory.load().unwrap();
            assert_eq!(disk.load().unwrap(), state);
            drop(disk);
            disk = RedbLog::open(&path).unwrap();
            assert_eq!(disk.load().unwrap(), state);
        }
        assert!(RedbLog::open(&path).is_err(), "it is open already");
    }
}
