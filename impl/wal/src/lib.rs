//! A write-ahead log for [`lockstep_raft`]: hard state, entries and snapshots of one server, durable
//! in a folder.
//!
//! [`Wal`] writes: a thread of its own takes writes in order, syncs once for all that wait, and calls
//! back when each is durable. [`WalStorage`] reads: the [`Storage`](lockstep_raft::Storage) of the
//! server, held in memory. The README has the format byte by byte, the guarantees, and the treatment
//! of each kind of damage.
//!
//! A server that starts from a folder, and again after a restart:
//!
//! ```
//! use std::path::Path;
//!
//! use bytes::Bytes;
//! use lockstep_raft::{Config, Index, NodeId, RawNode, Role, Storage, wire};
//! use lockstep_wal::{Metadata, Options, Wal, WalStorage};
//!
//! type Result<T> = std::result::Result<T, Box<dyn std::error::Error>>;
//!
//! /// Works off everything that the server has to do. The result is what it has applied.
//! fn work(node: &mut RawNode<WalStorage>, wal: &Wal) -> Result<Vec<Bytes>> {
//!     let mut applied = Vec::new();
//!     while node.has_ready() {
//!         let ready = node.ready()?;
//!         // 1. Persist: one write, durable when the call returns.
//!         wal.write((&ready).into())?;
//!         // 2. Send `ready.messages`: there is nobody else here. 3. Apply.
//!         for entry in &ready.committed_entries {
//!             match wire::conf_change_of(entry)? {
//!                 None => applied.push(entry.data.clone()),
//!                 Some(change) => drop(node.apply_conf_change(change)?),
//!             }
//!         }
//!         // 4. Done.
//!         node.advance()?;
//!     }
//!     Ok(applied)
//! }
//!
//! fn start(folder: &Path) -> Result<(Wal, RawNode<WalStorage>)> {
//!     let id = NodeId::new(1).unwrap();
//!     let options = Options::new(Metadata { cluster_id: 7, member_id: id });
//!     let (wal, recovered) = Wal::open(folder, options)?;
//!     let mut node = RawNode::new(&Config::new(id), wal.storage())?;
//!     if recovered.is_new {
//!         node.bootstrap(&[(id, Bytes::new())])?;
//!     }
//!     Ok((wal, node))
//! }
//!
//! # fn main() -> Result<()> {
//! let folder = tempfile::tempdir()?;
//! let (wal, mut node) = start(folder.path())?;
//! work(&mut node, &wal)?;
//! node.campaign()?;
//! work(&mut node, &wal)?;
//! assert_eq!(node.basic_status().soft_state.role, Role::Leader);
//! node.propose(Bytes::from("color=green"))?;
//! assert_eq!(work(&mut node, &wal)?, ["color=green"]);
//! drop((node, wal)); // Or the process is killed.
//!
//! let (wal, mut node) = start(folder.path())?;
//! assert_eq!(node.basic_status().hard_state.commit, Index(3));
//! let applied = work(&mut node, &wal)?;
//! assert_eq!(applied, ["", "color=green"]);
//!
//! // A snapshot of the state takes the place of the entries.
//! let voters = vec![NodeId::new(1).unwrap()];
//! let members = lockstep_raft::ConfState { voters, ..Default::default() };
//! wal.create_snapshot(Index(3), members, "color=green".into())?;
//! drop((node, wal));
//! let (wal, _node) = start(folder.path())?;
//! assert_eq!(wal.storage().first_index()?, Index(4));
//! assert_eq!(wal.storage().snapshot()?.data, "color=green");
//! # Ok(())
//! # }
//! ```
//!
//! With [asynchronous storage writes](lockstep_raft::Config::async_storage_writes) the messages to the
//! append thread go to [`Wal::append`], and the server goes on meanwhile.

mod disk;
mod error;
#[doc(hidden)]
pub mod fuzzing;
mod log;
mod record;
mod replay;
mod segment;
#[cfg(test)]
mod sim;
mod snapshot;
mod spans;
mod storage;
mod wal;

pub use error::{Error, Reason};
pub use storage::WalStorage;
pub use wal::Wal;

use std::fmt;
use std::path::Path;

use lockstep_raft::{
    Entry, EntryId, HardState, NodeId, Ready, Snapshot, SnapshotMetadata, StorageAppend,
};

/// The owner of a log. Opening a log of another owner is an error.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Metadata {
    /// The cluster that the server belongs to.
    pub cluster_id: u64,
    /// The server.
    pub member_id: NodeId,
}

impl fmt::Display for Metadata {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "member {} of cluster {}",
            self.member_id, self.cluster_id
        )
    }
}

/// Settings of a log. Those of size may differ from one opening to the next.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Options {
    /// The owner.
    pub metadata: Metadata,
    /// Size of a segment's file, 64 MiB by default. A single larger write gets a larger file.
    pub segment_bytes: u64,
    /// Upper limit, in payload bytes, of the writes that share one sync, 16 MiB by default. One
    /// write always goes through.
    pub group_bytes: u64,
}

impl Options {
    /// The default settings.
    pub fn new(metadata: Metadata) -> Options {
        Options {
            metadata,
            segment_bytes: 64 << 20,
            group_bytes: 16 << 20,
        }
    }
}

/// The state that opening has found. The entries and the snapshot are in [`Wal::storage`].
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Recovered {
    /// True if the folder held no log: one was created.
    pub is_new: bool,
    /// The owner.
    pub metadata: Metadata,
    /// The hard state.
    ///
    /// Its commit index may be lower than an applied index that the application made durable itself,
    /// if writes of the commit index alone were not [synced](Write::must_sync).
    pub hard_state: HardState,
    /// The last entry, or that of the snapshot if there are none behind it.
    pub last: EntryId,
    /// The snapshot that the log begins with.
    pub snapshot: Option<SnapshotMetadata>,
    /// The end of the log that was cut off, if a crash had left any.
    pub cut: Option<Cut>,
}

/// The end of a log that was cut off at opening. None of it was synced, as far as the log can tell.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Cut {
    /// The segment.
    pub file: String,
    /// The log ends there now.
    pub offset: u64,
    /// Bytes that were cut off.
    pub bytes: u64,
    /// The first thing that is wrong with them.
    pub reason: Reason,
    /// The file that holds a copy of them, beside the segments. Nothing reads it.
    pub kept_as: String,
}

/// A log that was read without being opened.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Inspected {
    /// The owner.
    pub metadata: Metadata,
    /// The hard state.
    pub hard_state: HardState,
    /// The snapshot that the log begins with.
    pub snapshot: Option<SnapshotMetadata>,
    /// The entries behind the snapshot.
    pub entries: Vec<Entry>,
    /// Number of segments.
    pub segments: usize,
    /// The end that opening would cut off, if a crash has left any.
    pub torn: Option<TornEnd>,
}

/// The end of a log that [opening](Wal::open) would cut off.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct TornEnd {
    /// The segment.
    pub file: String,
    /// The log would end there.
    pub offset: u64,
    /// Bytes behind the offset, without the zeros at the end.
    pub bytes: u64,
    /// The first thing that is wrong with them.
    pub reason: Reason,
}

/// Reads a log with all checks of [`Wal::open`], and changes nothing, not even what opening would
/// repair. `None` if the folder holds no log, or does not exist.
///
/// # Errors
/// [`Error::Locked`] while the log is open, [`Error::Damaged`], and [`Error::Io`].
pub fn inspect(folder: impl AsRef<Path>) -> Result<Option<Inspected>, Error> {
    match disk::RealDisk::visit(folder.as_ref())? {
        Some(disk) => log::inspect(&disk::Folder(disk)),
        None => Ok(None),
    }
}

/// The owner of the log in a folder, to open it without knowing whose it is. `None` if the folder
/// holds no log, or does not exist. Changes nothing.
///
/// # Errors
/// [`Error::Locked`] while the log is open, [`Error::Damaged`] for damage in the newest segment, and
/// [`Error::Io`].
pub fn owner(folder: impl AsRef<Path>) -> Result<Option<Metadata>, Error> {
    match disk::RealDisk::visit(folder.as_ref())? {
        Some(disk) => log::owner(&disk::Folder(disk)),
        None => Ok(None),
    }
}

/// One write: after a crash all of it is there, or nothing.
///
/// It is made from a [`Ready`], or from the [`StorageAppend`] in a message to the append thread.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Write {
    /// A snapshot from another server. It replaces the whole log.
    pub snapshot: Option<Snapshot>,
    /// Consecutive entries. They replace everything at and after the first of them. Entries that
    /// the snapshot covers are left out.
    pub entries: Vec<Entry>,
    /// The hard state, if it changed.
    pub hard_state: Option<HardState>,
    /// Set if the write must be durable before it is acknowledged. A write with entries, a snapshot, a
    /// new term or a new vote always is. Without it a new commit index alone may get lost when the
    /// machine (not the process) fails, which Raft allows for.
    pub must_sync: bool,
}

impl From<Ready> for Write {
    fn from(ready: Ready) -> Write {
        Write {
            snapshot: ready.snapshot,
            entries: ready.entries,
            hard_state: ready.hard_state,
            must_sync: ready.must_sync,
        }
    }
}

/// Payloads are shared, not copied.
impl From<&Ready> for Write {
    fn from(ready: &Ready) -> Write {
        Write {
            snapshot: ready.snapshot.clone(),
            entries: ready.entries.clone(),
            hard_state: ready.hard_state,
            must_sync: ready.must_sync,
        }
    }
}

/// The responses are left to the caller, to be delivered when the write is durable.
impl From<StorageAppend> for Write {
    fn from(append: StorageAppend) -> Write {
        Write {
            snapshot: append.snapshot,
            entries: append.entries,
            hard_state: append.hard_state,
            must_sync: true,
        }
    }
}

/// The programs in the README are compiled and run as tests.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
