//! The durable log of a server: behind a narrow trait, so that the store above does not care which one
//! it is.
//!
//! The server keeps the entries in memory as well and reads them there, so a log is only read when the
//! server starts.

mod memory;
mod wal;

pub use memory::MemoryLog;
pub use wal::WalLog;

use std::fmt;

use lockstep_raft::{ConfState, Entry, EntryId, HardState, SnapshotMetadata};

/// The cluster and the member that a log belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Identity {
    /// The cluster.
    pub cluster: u64,
    /// The member.
    pub member: u64,
}

/// As etcd's tools print them.
impl fmt::Display for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "member {:x} of cluster {:x}", self.member, self.cluster)
    }
}

/// The content of a log.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LogState {
    /// The owner of this log; `None` if it is new.
    pub identity: Option<Identity>,
    /// The last hard state.
    pub hard_state: HardState,
    /// The entry before the first one that is held: the end of a snapshot or of a compaction.
    pub start: EntryId,
    /// The configuration of the group as of that entry.
    pub conf_state: ConfState,
    /// The entries behind it, without gaps.
    pub entries: Vec<Entry>,
}

/// A failure of a log. The server stops: what it holds in memory may be ahead of the disk.
#[derive(Debug, thiserror::Error)]
#[error("log: {0}")]
pub struct LogError(String);

impl LogError {
    /// The failure, in the words of the log.
    pub fn new(what: impl std::fmt::Display) -> LogError {
        LogError(what.to_string())
    }
}

/// One step of a log.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct LogWrite {
    /// A snapshot of another server. It replaces all entries.
    pub snapshot: Option<SnapshotMetadata>,
    /// Entries without gaps. They take the place of everything at and behind the first of them.
    pub entries: Vec<Entry>,
    /// The hard state, if it has changed.
    pub hard_state: Option<HardState>,
    /// Whether the step must be durable. With a snapshot, entries, a new term or a new vote it is, whatever
    /// is set. Without it a new commit index alone may be lost when the machine fails.
    pub sync: bool,
}

/// A durable log.
///
/// Calls come one after the other, from one thread, and may block. Each is one atomic step: after a
/// crash it happened or it did not. Whoever is told of the step is told when the call has returned.
pub trait LogStore: Send + 'static {
    /// Reads everything.
    ///
    /// # Errors
    /// The log is damaged or cannot be read.
    fn load(&mut self) -> Result<LogState, LogError>;

    /// Stores whose log this is, durably; called once, before anything else is written.
    ///
    /// # Errors
    /// The log cannot be written.
    fn set_identity(&mut self, identity: Identity) -> Result<(), LogError>;

    /// Writes snapshot, entries and hard state in one step.
    ///
    /// # Errors
    /// The log cannot be written.
    fn write(&mut self, write: LogWrite) -> Result<(), LogError>;

    /// Drops the entries up to and including the one that the store has applied, durably, with this
    /// configuration.
    ///
    /// # Errors
    /// The log cannot be written.
    fn compact(&mut self, applied: &SnapshotMetadata) -> Result<(), LogError>;
}
