//! Failures of the log, each with the file that it is about.

use std::io;
use std::path::PathBuf;
use std::sync::Arc;

use crate::Metadata;

/// A failure of the log.
///
/// Cloning is cheap: one failure is reported to every write that it affects.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The file system has no room for a new segment or snapshot. What was written before is
    /// intact: free some space and open the log again.
    #[error("the disk is full: no room for {file}")]
    DiskFull {
        /// The file that could not be created or written.
        file: String,
        /// The report of the operating system.
        source: Arc<io::Error>,
    },
    /// A sync failed. The operating system may have dropped the data and report success the next
    /// time, so nothing is retried. The process must stop and open the log again.
    #[error("syncing {file} failed; the log has stopped")]
    SyncFailed {
        /// The file, or the folder, that was to be synced.
        file: String,
        /// The report of the operating system.
        source: Arc<io::Error>,
    },
    /// Any other call to the operating system failed.
    #[error("cannot {action} {file}")]
    Io {
        /// The call: `read`, `write`, `rename`, …
        action: &'static str,
        /// The file it was about.
        file: String,
        /// The report of the operating system.
        source: Arc<io::Error>,
    },
    /// Another process (or another `Wal` of this one) has the folder open.
    #[error("{} is locked by another process", folder.display())]
    Locked {
        /// The folder of the log.
        folder: PathBuf,
    },
    /// The folder holds the log of another cluster or member.
    #[error("the log belongs to {found}, not to {expected}")]
    OtherCluster {
        /// The metadata in [`Options`](crate::Options).
        expected: Metadata,
        /// The metadata in the log.
        found: Metadata,
    },
    /// Data that was durable is damaged. Opening refuses it and changes nothing.
    #[error("{file} is damaged at offset {offset}: {reason}")]
    Damaged {
        /// The file, relative to the folder of the log.
        file: String,
        /// Offset of the damaged record in the file.
        offset: u64,
        /// The first thing that is wrong there.
        reason: Reason,
    },
    /// A write that does not fit what is stored. Nothing was written, and the log goes on.
    #[error("refused: {0}")]
    Refused(String),
    /// A snapshot that is not newer than the one in the log. Nothing was written, and the log goes
    /// on.
    #[error("the snapshot is out of date")]
    SnapshotOutOfDate,
    /// The state in memory did not take a write that the log has taken. The log has stopped.
    #[error("the state in memory contradicts the log: {0}")]
    View(#[from] lockstep_raft::StorageError),
    /// An earlier write failed, so this one was not tried.
    #[error("the log has stopped: {0}")]
    Stopped(#[source] Arc<Error>),
    /// The log was closed before this write was handed in.
    #[error("the log is closed")]
    Closed,
}

impl Error {
    /// True if the log takes no more writes after this error. A refused write and a snapshot that
    /// is out of date leave it running.
    pub fn is_fatal(&self) -> bool {
        !matches!(self, Error::Refused(_) | Error::SnapshotOutOfDate)
    }

    pub(crate) fn io(action: &'static str, file: &str, source: io::Error) -> Error {
        let (file, full) = (
            file.to_owned(),
            source.kind() == io::ErrorKind::StorageFull
                || source.kind() == io::ErrorKind::QuotaExceeded,
        );
        let source = Arc::new(source);
        match (action, full) {
            // Space is reserved before it is written to, so a sync that finds none is a failed sync.
            ("sync", _) => Error::SyncFailed { file, source },
            (_, true) => Error::DiskFull { file, source },
            _ => Error::Io {
                action,
                file,
                source,
            },
        }
    }

    pub(crate) fn damaged(file: &str, offset: u64, reason: Reason) -> Error {
        Error::Damaged {
            file: file.to_owned(),
            offset,
            reason,
        }
    }
}

/// The first thing that is wrong with a damaged record or file.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Reason {
    /// The file is shorter than its fixed part, or does not begin with the magic bytes.
    #[error("not a file of this log")]
    NotOurs,
    /// Written by a later version of this library.
    #[error("format version {0} is not supported")]
    Version(u32),
    /// The sequence number in a segment is not that of its name.
    #[error("the segment says that it is number {0}")]
    Sequence(u64),
    /// A segment of another log, or one that does not follow the segment before it.
    #[error("the segment does not continue the one before it, which ends at offset {end}")]
    Link {
        /// End of the last whole batch in the segment before.
        end: u64,
    },
    /// A file that must exist does not.
    #[error("the file is missing")]
    Missing,
    /// A record that extends beyond the end of its file.
    #[error("a record of {0} bytes does not fit into the file")]
    Length(u32),
    /// Checksum mismatch.
    #[error("checksum mismatch")]
    Checksum,
    /// Records after a gap.
    #[error("a hole in front of other data")]
    Hole,
    /// The records of a batch without its end mark.
    #[error("a batch without its end mark")]
    Unfinished,
    /// A record with a correct checksum that this version cannot read.
    #[error("{0}")]
    Undecodable(&'static str),
    /// A batch with a correct checksum that contradicts those before it.
    #[error("{0}")]
    Contradiction(String),
}
