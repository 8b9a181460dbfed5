//! The durable log of a server: behind a narrow trait, so that the store above does not care which one
//! it is.
//!
//! The server keeps the entries in memory as well and reads them there, so a log is only read when the
//! server starts.

mod memory;
mod redb;

pub use self::redb::RedbLog;
pub use memory::MemoryLog;

use lockstep_raft::{Entry, EntryId, HardState, SnapshotMetadata};

/// The cluster and the member that a log belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Identity {
    /// The cluster.
    pub cluster: u64,
    /// The member.
    pub member: u64,
}

/// The content of a log.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LogState {
    /// Whose log this is; `None` if it is new.
    pub identity: Option<Identity>,
    /// The last hard state.
    pub hard_state: HardState,
    /// The entry before the first one that is held: the end of a snapshot or of a compaction.
    pub start: EntryId,
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

/// A durable log.
///
/// Calls come one after the other, from one thread, and may block. Each is one atomic step: after a
/// crash it happened or it did not. Those that must be durable when they return say so.
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

    /// Appends entries and replaces the hard state, in one step. The entries take the place of
    /// everything that is held at and behind the first of them. Durable if `sync` is set.
    ///
    /// # Errors
    /// The log cannot be written.
    fn append(
        &mut self,
        entries: &[Entry],
        hard_state: Option<&HardState>,
        sync: bool,
    ) -> Result<(), LogError>;

    /// Replaces all entries by the end of a snapshot, durably. The hard state stays.
    ///
    /// # Errors
    /// The log cannot be written.
    fn install(&mut self, snapshot: &SnapshotMetadata) -> Result<(), LogError>;

    /// Drops the entries up to and including this one, which are applied durably elsewhere.
    ///
    /// # Errors
    /// The log cannot be written.
    fn compact(&mut self, start: EntryId) -> Result<(), LogError>;
}
