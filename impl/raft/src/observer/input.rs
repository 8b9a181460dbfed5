//! The inputs of a server and what came of each, for an observer that records them.

use bytes::Bytes;

use crate::config::Config;
use crate::core::{SnapshotStatus, TimerEvent};
use crate::error::{Error, StorageError};
use crate::log::RaftLog;
use crate::ready::Ready;
use crate::status::BasicStatus;
use crate::storage::Storage;
use crate::tracker::Configuration;
use crate::types::{ConfChangeV2, Entry, EntryId, Index, Message, NodeId, Term};

/// An input of a server. Ticks are none by themselves: what they bring about is [`Input::Timer`].
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub enum Input<'a> {
    /// The server was built from its storage.
    Created(&'a Config),
    /// A message, from another server or from a storage thread. A message that [`RawNode`](crate::RawNode) does not
    /// pass on, since it says nothing new, is none.
    Step(&'a Message),
    /// A timer fired.
    Timer(TimerEvent),
    /// [`campaign`](crate::RawNode::campaign).
    Campaign,
    /// [`propose`](crate::RawNode::propose) and its kin: the entries, still without term and index.
    Propose(&'a [Entry]),
    /// [`read_index`](crate::RawNode::read_index), with the context of the caller.
    ReadIndex(&'a Bytes),
    /// [`transfer_leadership`](crate::RawNode::transfer_leadership).
    TransferLeadership(NodeId),
    /// [`forget_leader`](crate::RawNode::forget_leader).
    ForgetLeader,
    /// [`report_unreachable`](crate::RawNode::report_unreachable).
    ReportUnreachable(NodeId),
    /// [`report_snapshot`](crate::RawNode::report_snapshot).
    ReportSnapshot(NodeId, SnapshotStatus),
    /// [`apply_conf_change`](crate::RawNode::apply_conf_change).
    ApplyConfChange(&'a ConfChangeV2),
    /// [`bootstrap`](crate::RawNode::bootstrap).
    Bootstrap(&'a [(NodeId, Bytes)]),
    /// [`ready`](crate::RawNode::ready).
    Ready,
    /// [`advance`](crate::RawNode::advance).
    Advance,
}

/// The outcome of an input, and the server after it.
#[derive(Clone, Copy)]
pub struct Effect<'a> {
    /// The error that the caller is told, if there is one.
    pub error: Option<&'a Error>,
    /// The server in numbers.
    pub status: BasicStatus,
    /// Whether a follower is in the lease of its leader. Always so at a leader with CheckQuorum.
    pub lease: bool,
    /// The configuration in use.
    pub config: &'a Configuration,
    /// The messages to others that wait for the next `Ready` and may leave at once, oldest first.
    pub messages: &'a [Message],
    /// The messages, to the server itself too, that wait for the next `Ready` and for what it writes, oldest first.
    pub messages_after_persist: &'a [Message],
    /// The value that an [`Input::Ready`] is answered with.
    pub ready: Option<&'a Ready>,
    /// The log.
    pub log: &'a dyn LogView,
}

/// The log of a server, to be read by its observer.
pub trait LogView {
    /// The first index that the log still has, or would have.
    ///
    /// # Errors
    ///
    /// The errors of the storage.
    fn first_index(&self) -> Result<Index, StorageError>;

    /// The last entry.
    ///
    /// # Errors
    ///
    /// The errors of the storage.
    fn last_id(&self) -> Result<EntryId, StorageError>;

    /// The term at an index; `None` if it is not known any more, or not yet.
    ///
    /// # Errors
    ///
    /// The errors of the storage.
    fn term(&self, index: Index) -> Result<Option<Term>, StorageError>;

    /// The entries from `from` up to but without `to`; `None` if some were compacted.
    ///
    /// # Errors
    ///
    /// The errors of the storage.
    fn entries(&self, from: Index, to: Index) -> Result<Option<Vec<Entry>>, StorageError>;
}

impl<S: Storage> LogView for RaftLog<S> {
    fn first_index(&self) -> Result<Index, StorageError> {
        RaftLog::first_index(self)
    }

    fn last_id(&self) -> Result<EntryId, StorageError> {
        RaftLog::last_id(self)
    }

    fn term(&self, index: Index) -> Result<Option<Term>, StorageError> {
        RaftLog::term(self, index)
    }

    fn entries(&self, from: Index, to: Index) -> Result<Option<Vec<Entry>>, StorageError> {
        self.slice(from, to, u64::MAX)
    }
}
