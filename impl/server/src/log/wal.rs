//! The log on disk.

use std::error::Error as _;
use std::path::PathBuf;

use lockstep_raft::{EntryId, NodeId, SnapshotMetadata, Storage as _};
use lockstep_wal::{Metadata, Options, Wal, Write};

use super::{Identity, LogError, LogState, LogStore, LogWrite};

/// The write-ahead log of [`lockstep_wal`] in a folder of its own.
///
/// A snapshot in it is a mark with the membership and without data: the state as of that entry, or of a
/// later one, is in the store, or waits beside it to be restored.
#[derive(Debug)]
pub struct WalLog {
    folder: PathBuf,
    segment_bytes: u64,
    open: Option<Open>,
}

#[derive(Debug)]
struct Open {
    identity: Identity,
    wal: Wal,
}

impl From<lockstep_wal::Error> for LogError {
    /// The failure with its causes.
    fn from(error: lockstep_wal::Error) -> LogError {
        let mut text = error.to_string();
        let mut cause = error.source();
        while let Some(error) = cause {
            let reason = error.to_string();
            // Some failures name their cause themselves.
            if !text.ends_with(&reason) {
                text = format!("{text}: {reason}");
            }
            cause = error.source();
        }
        LogError::new(text)
    }
}

impl From<Metadata> for Identity {
    fn from(metadata: Metadata) -> Identity {
        Identity {
            cluster: metadata.cluster_id,
            member: metadata.member_id.get(),
        }
    }
}

impl WalLog {
    /// Opens the log in a folder. If there is none, it is created when its owner is known: by
    /// [`set_identity`](LogStore::set_identity).
    ///
    /// # Errors
    /// The log is locked by another process, damaged, or cannot be read or written.
    pub fn open(folder: impl Into<PathBuf>, segment_bytes: u64) -> Result<WalLog, LogError> {
        let mut log = WalLog {
            folder: folder.into(),
            segment_bytes,
            open: None,
        };
        if let Some(owner) = lockstep_wal::owner(&log.folder)? {
            log.open_as(owner)?;
        }
        Ok(log)
    }

    fn open_as(&mut self, owner: Metadata) -> Result<(), LogError> {
        let mut options = Options::new(owner);
        options.segment_bytes = self.segment_bytes;
        let (wal, recovered) = Wal::open(&self.folder, options)?;
        if let Some(cut) = recovered.cut {
            tracing::warn!(
                file = %cut.file, offset = cut.offset, bytes = cut.bytes, reason = %cut.reason, kept_as = %cut.kept_as,
                "the end of the log was cut off: it was never synced"
            );
        }
        let identity = owner.into();
        self.open = Some(Open { identity, wal });
        Ok(())
    }

    fn wal(&self) -> Result<&Wal, LogError> {
        let open = self.open.as_ref();
        open.map(|open| &open.wal)
            .ok_or_else(|| LogError::new("the owner of the log is not known"))
    }
}

impl LogStore for WalLog {
    fn load(&mut self) -> Result<LogState, LogError> {
        let Some(Open { identity, wal }) = &self.open else {
            return Ok(LogState::default());
        };
        let storage = wal.storage();
        let (hard_state, conf_state) = storage.initial_state().map_err(LogError::new)?;
        let first = storage.first_index().map_err(LogError::new)?;
        let last = storage.last_index().map_err(LogError::new)?;
        let term = storage.term(first.prev()).map_err(LogError::new)?;
        let entries = storage.entries(first, last.next(), u64::MAX);
        Ok(LogState {
            identity: Some(*identity),
            hard_state,
            start: EntryId::new(term, first.prev()),
            conf_state,
            entries: entries.map_err(LogError::new)?,
        })
    }

    fn set_identity(&mut self, identity: Identity) -> Result<(), LogError> {
        let member_id = NodeId::new(identity.member)
            .ok_or_else(|| LogError::new("a member whose id is zero"))?;
        self.open = None;
        self.open_as(Metadata {
            cluster_id: identity.cluster,
            member_id,
        })
    }

    fn write(&mut self, write: LogWrite) -> Result<(), LogError> {
        let snapshot = write.snapshot.map(|metadata| lockstep_raft::Snapshot {
            metadata,
            data: bytes::Bytes::new(),
        });
        // Returns when the write is durable: nothing that follows from it has left the server yet.
        Ok(self.wal()?.write(Write {
            snapshot,
            entries: write.entries,
            hard_state: write.hard_state,
            must_sync: write.sync,
        })?)
    }

    fn compact(&mut self, applied: &SnapshotMetadata) -> Result<(), LogError> {
        let wal = self.wal()?;
        let (index, conf_state) = (applied.index, applied.conf_state.clone());
        wal.create_snapshot(index, conf_state, bytes::Bytes::new())?;
        // The server holds those that slow followers may still need.
        wal.storage().compact(index).map_err(LogError::new)
    }
}

#[cfg(test)]
mod tests {
    use lockstep_raft::{ConfState, Entry, HardState, Index, Term};

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

    fn entries(entries: impl Into<Vec<Entry>>) -> LogWrite {
        LogWrite {
            entries: entries.into(),
            ..LogWrite::default()
        }
    }

    type Step<'a> = &'a dyn Fn(&mut dyn LogStore) -> Result<(), LogError>;

    const ONE: Identity = Identity {
        cluster: u64::MAX,
        member: 7,
    };

    /// The two logs do the same, and the one on disk still has it when it is opened again.
    #[test]
    fn logs_agree() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("member").join("wal");
        let open = || WalLog::open(&path, 4096);
        let mut memory = MemoryLog::default();
        let mut disk = open().unwrap();
        assert!(!path.exists(), "nobody knows yet whose it is");
        let hard_state = HardState {
            term: Term(2),
            commit: Index(3),
            ..HardState::default()
        };
        let point = |index, term| SnapshotMetadata {
            index: Index(index),
            term: Term(term),
            conf_state: ConfState {
                voters: vec![NodeId::new(index).unwrap()],
                ..ConfState::default()
            },
        };
        let steps: [Step<'_>; 8] = [
            &|log| log.set_identity(ONE),
            &|log| log.write(entries([entry(1, 1), entry(2, 1), entry(3, 1)])),
            &|log| {
                log.write(LogWrite {
                    hard_state: Some(hard_state),
                    sync: true,
                    ..entries([entry(3, 2)])
                })
            },
            &|log| log.write(entries([entry(4, 2)])),
            &|log| log.compact(&point(2, 1)),
            &|log| {
                log.write(LogWrite {
                    snapshot: Some(point(9, 3)),
                    ..LogWrite::default()
                })
            },
            &|log| log.write(entries([entry(10, 3)])),
            &|log| log.compact(&point(10, 3)),
        ];
        for step in steps {
            step(&mut memory).unwrap();
            step(&mut disk).unwrap();
            let state = memory.load().unwrap();
            assert_eq!(disk.load().unwrap(), state);
            drop(disk);
            disk = open().unwrap();
            assert_eq!(disk.load().unwrap(), state);
        }
        let error = open().unwrap_err().to_string();
        assert!(error.ends_with("is locked by another process"), "{error}");
        drop(disk);
        let mut other = WalLog {
            open: None,
            folder: path,
            segment_bytes: 4096,
        };
        let error = other.set_identity(Identity { member: 8, ..ONE });
        let error = error.unwrap_err().to_string();
        assert!(error.contains("the log belongs to member 7 of"), "{error}");
    }
}
