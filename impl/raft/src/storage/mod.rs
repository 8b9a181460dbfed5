//! Read access to a server's log and state: what Raft keeps on stable storage (Raft §5 and figure 2) and its snapshots
//! (Raft §7), cut as etcd's `Storage` is.

mod memory;

pub use memory::MemoryStorage;

use crate::error::StorageError;
use crate::types::{ConfState, Entry, HardState, Index, Snapshot, Term};

/// Read access to a server's durable state (the methods and their errors are those of etcd's `Storage`).
///
/// Raft only reads. The application writes, as each [`Ready`](crate::Ready) (or each message to the
/// append thread) tells it, through whatever access its storage has; see
/// [`RawNode::storage_mut`](crate::RawNode::storage_mut).
///
/// # What a crash may leave
///
/// The writes of one [`Ready`](crate::Ready), or of one
/// [`StorageAppend`](crate::StorageAppend), are two steps, in this order:
///
/// 1. the snapshot, if there is one. It replaces the whole log: storing it and dropping the entries
///    is one atomic step.
/// 2. the entries and the hard state, as *one* atomic step (one record of a write-ahead log, one
///    transaction, one batch).
///
/// After a crash at any point in between, the server starts again and has broken no promise, since
/// every message that vouches for a write leaves after it. No other order is safe, and none that
/// takes entries and hard state apart:
///
/// * hard state first: the new commit index covers old entries that the new ones were to replace,
///   and the server applies what was never committed; or it lies beyond the log, and the server does
///   not start;
/// * entries first: the log has a change of membership that could only be proposed since the one
///   before it was committed, and the commit index that says so is lost. The server may campaign
///   under the configuration before both, whose majorities need not overlap with those of the others;
/// * snapshot last: the commit index lies beyond the log, and the server does not start.
///
/// [`MemoryStorage::write`] is the second step in memory.
///
/// # Contract
///
/// Two rules hold the two sides together. What was handed out to be persisted must be visible here
/// once its acknowledgement (`advance` or the storage response) was given, and nothing that is
/// visible may change except by later writes of that kind and by compaction of applied entries.
///
/// An error other than those named by a method means that the storage cannot be trusted any more;
/// it is passed on as [`Error::Storage`](crate::Error::Storage).
pub trait Storage {
    /// The stored hard state (default if none) and the membership as of the last snapshot, or as of
    /// [`Config::applied`](crate::Config::applied).
    fn initial_state(&self) -> Result<(HardState, ConfState), StorageError>;

    /// The entries from `low` up to but without `high`, cut off so that their
    /// [`encoded_len`](Entry::encoded_len) stays within `max_bytes`; at least one entry, if there are
    /// any, even if it alone exceeds the limit.
    ///
    /// [`StorageError::Compacted`] if `low` lies before [`first_index`](Storage::first_index),
    /// [`StorageError::Unavailable`] if an entry is missing.
    fn entries(&self, low: Index, high: Index, max_bytes: u64) -> Result<Vec<Entry>, StorageError>;

    /// The term of the entry at `index`, which lies between `first_index - 1` and `last_index`: the
    /// term of the last compacted entry is kept for matching.
    ///
    /// [`StorageError::Compacted`] before that range, [`StorageError::Unavailable`] behind it.
    fn term(&self, index: Index) -> Result<Term, StorageError>;

    /// The index of the first entry that [`entries`](Storage::entries) may return: one after the
    /// last compacted entry, 1 in an empty log.
    fn first_index(&self) -> Result<Index, StorageError>;

    /// The index of the last entry, `first_index - 1` if there are none.
    fn last_index(&self) -> Result<Index, StorageError>;

    /// The most recent snapshot, not older than `first_index - 1` (Raft §7).
    ///
    /// [`StorageError::SnapshotTemporarilyUnavailable`] if one has to be made first: Raft asks again
    /// when it next has reason to send one.
    fn snapshot(&self) -> Result<Snapshot, StorageError>;
}
