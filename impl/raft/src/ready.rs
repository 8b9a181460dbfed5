//! The work that a server wants done for it.

use crate::types::{Entry, HardState, Message, NodeId, ReadState, Snapshot, SoftState};

/// The pending work of a server: persist, send, apply (what must be durable before which message: thesis §3.8; the
/// division: etcd's `Ready`).
///
/// In the default mode, in this order:
///
/// 1. Write the [`snapshot`](Ready::snapshot) to storage; it replaces the log. It is always written
///    synchronously. Then write [`entries`](Ready::entries) and [`hard_state`](Ready::hard_state), in
///    *one atomic step*, synchronously if [`must_sync`](Ready::must_sync). Entries replace everything
///    stored at and behind the first of them. [`Storage`](crate::Storage) says what a crash in
///    between may leave, and what goes wrong in any other order.
/// 2. Send the [`messages`](Ready::messages). The first
///    [`early_messages`](Ready::early_messages) of them may leave earlier, even before the write; the
///    others only after it. Messages with a snapshot must be reported on, see
///    [`report_snapshot`](crate::RawNode::report_snapshot).
/// 3. Apply the snapshot and the [`committed_entries`](Ready::committed_entries); for each change
///    of membership among them call [`apply_conf_change`](crate::RawNode::apply_conf_change).
/// 4. Call [`advance`](crate::RawNode::advance).
///
/// With [asynchronous storage writes](crate::Config::async_storage_writes) it is enough to deliver
/// the messages, some of which are addressed to the storage threads and repeat the fields; there
/// is no `advance`.
///
/// Entries share their payload with the server's own log and must be left as they are.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Ready {
    /// Role and leader, if they changed. Need not be stored. Proposals that were made under another
    /// leader, and have not come back among the committed entries, are in doubt from now on: they may
    /// still be committed, or never.
    pub soft_state: Option<SoftState>,
    /// Answers to [`read_index`](crate::RawNode::read_index): reads that may be served once their
    /// index is applied, and reads that were given up.
    pub read_states: Vec<ReadState>,
    /// Servers to which leadership was to be transferred, and will not be: the transfer took too
    /// long, was replaced by another one, or the server is no voter any more. A transfer that is not
    /// given up ends with this server's leadership, see [`soft_state`](Ready::soft_state).
    pub aborted_transfers: Vec<NodeId>,
    /// A snapshot to be stored, in place of the whole log, and applied. It is stored first.
    pub snapshot: Option<Snapshot>,
    /// Entries to be stored, together with the hard state.
    pub entries: Vec<Entry>,
    /// Term, vote and commit index to be stored, if they changed, together with the entries.
    pub hard_state: Option<HardState>,
    /// Entries to be applied. They are stored already or among [`entries`](Ready::entries).
    pub committed_entries: Vec<Entry>,
    /// Messages to be sent, those that wait for persistence last.
    pub messages: Vec<Message>,
    /// The number of [`messages`](Ready::messages), from the first on, that do not wait for the write. With
    /// asynchronous storage writes these are all; those that wait are in the message to the storage thread.
    pub early_messages: usize,
    /// Whether the write of [`hard_state`](Ready::hard_state) and [`entries`](Ready::entries) must
    /// be durable before anything that waits for it is done: there are entries, or the term or
    /// vote changed. Of snapshots it says nothing; those must be durable always.
    pub must_sync: bool,
}

impl Ready {
    /// Empties it, and keeps its buffers.
    pub(crate) fn clear(&mut self) {
        self.soft_state = None;
        self.hard_state = None;
        self.read_states.clear();
        self.aborted_transfers.clear();
        self.entries.clear();
        self.snapshot = None;
        self.committed_entries.clear();
        self.messages.clear();
        self.early_messages = 0;
        self.must_sync = false;
    }
}
