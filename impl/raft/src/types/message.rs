//! Messages between servers, and between a server and its storage threads.

use super::{Entry, EntryId, HardState, Index, NodeId, Snapshot, Term};
use bytes::Bytes;

/// A message and where it goes.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Message {
    /// The sender. Of a [`Body::TransferLeader`]: the server that shall lead; of a forwarded
    /// [`Body::Propose`] or [`Body::ReadIndex`]: the server where the request was first made.
    pub from: NodeId,
    /// The addressee.
    pub to: NodeId,
    /// The sender's term; of pre-vote requests and of grants of them, the term asked for. Zero in
    /// messages that belong to no term: proposals, read requests, and the traffic with the
    /// thread that applies.
    pub term: Term,
    /// The content of the message.
    pub body: Body,
}

/// Why and how an append was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Rejection {
    /// The highest position at which the logs may agree, as far as the follower can tell.
    pub hint_index: Index,
    /// The follower's term at that position, zero if it does not know.
    pub hint_term: Term,
}

/// The body of a message, with only the fields that its kind has. Large and rare bodies are boxed, so that the frequent
/// messages are cheap to move.
///
/// | variant | `raftpb` type | `raftpb` fields |
/// |---|---|---|
/// | `Propose` | MsgProp | entries |
/// | `AppendEntries` | MsgApp | index, logTerm (of `prev`), entries, commit |
/// | `AppendEntriesResponse` | MsgAppResp | index, reject, rejectHint, logTerm |
/// | `RequestVote` | MsgVote | index, logTerm (of `last`), context = "CampaignTransfer" if `force` |
/// | `RequestVoteResponse` | MsgVoteResp | reject |
/// | `RequestPreVote` | MsgPreVote | index, logTerm (of `last`) |
/// | `RequestPreVoteResponse` | MsgPreVoteResp | reject |
/// | `InstallSnapshot` | MsgSnap | snapshot |
/// | `Heartbeat` | MsgHeartbeat | commit, context |
/// | `HeartbeatResponse` | MsgHeartbeatResp | context |
/// | `ReadIndex` | MsgReadIndex | entries\[0\].data (the context) |
/// | `ReadIndexResponse` | MsgReadIndexResp | index, entries\[0\].data (the context) |
/// | `TransferLeader` | MsgTransferLeader | |
/// | `TimeoutNow` | MsgTimeoutNow | |
/// | `ForgetLeader` | MsgForgetLeader | |
/// | `StorageAppend` | MsgStorageAppend | term, vote, commit, entries, snapshot, responses |
/// | `StorageAppendResponse` | MsgStorageAppendResp | index, logTerm (of `last`), snapshot |
/// | `StorageApply` | MsgStorageApply | entries, responses |
/// | `StorageApplyResponse` | MsgStorageApplyResp | entries |
///
/// etcd's messages of a server to itself (`MsgHup`, `MsgBeat`, `MsgCheckQuorum`, `MsgUnreachable`,
/// `MsgSnapStatus`) are calls of [`Core`](crate::Core) instead.
// The tag takes a whole word, so that messages are moved in words: behind a tag of one byte the rest of a
// message is copied in misaligned, overlapping pieces, and each read of one waits for its writes.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[repr(u64)]
#[non_exhaustive]
pub enum Body {
    /// Asks the leader to append these entries (their terms and indexes are zero).
    Propose {
        /// At least one entry.
        entries: Vec<Entry>,
    },
    /// The leader replicates its log (Raft §5.3).
    AppendEntries {
        /// The entry right before `entries`.
        prev: EntryId,
        /// Consecutive entries that follow `prev`; none only to carry the commit index or to probe.
        entries: Vec<Entry>,
        /// The leader's commit index.
        commit: Index,
    },
    /// The answer to an append or to a snapshot.
    AppendEntriesResponse {
        /// Accepted: the log agrees with the leader's up to here. Refused: the `prev` that was
        /// refused. Zero in the empty acknowledgement that tells a stale leader of a new term.
        index: Index,
        /// Set if the append was refused.
        rejection: Option<Rejection>,
    },
    /// A candidate asks for a vote (Raft §5.2).
    RequestVote {
        /// The last entry of the candidate's log.
        last: EntryId,
        /// Set if a leader asked the candidate to take over, so that leases do not count (thesis
        /// §4.2.3).
        force: bool,
    },
    /// The answer to a vote request.
    RequestVoteResponse {
        /// Whether the sender votes for the addressee.
        granted: bool,
    },
    /// A pre-candidate asks whether it would get a vote in the term after its own (thesis §9.6).
    RequestPreVote {
        /// The last entry of the pre-candidate's log.
        last: EntryId,
    },
    /// The answer to a pre-vote request.
    RequestPreVoteResponse {
        /// Whether the sender would vote for the addressee.
        granted: bool,
    },
    /// The leader replaces a log that lags behind its own oldest entry (Raft §7).
    InstallSnapshot {
        /// The snapshot; never empty in a message of this library.
        snapshot: Box<Snapshot>,
    },
    /// The leader shows that it lives.
    Heartbeat {
        /// The leader's commit index as far as the addressee is known to have the log.
        commit: Index,
        /// Identifies a round of the read protocol; empty if there is none.
        context: Bytes,
    },
    /// The answer to a heartbeat.
    HeartbeatResponse {
        /// The context of the heartbeat.
        context: Bytes,
    },
    /// Asks the leader for a position at which a read is linearizable.
    ReadIndex {
        /// The requester's own context.
        context: Bytes,
    },
    /// The answer of the leader to a forwarded read request.
    ReadIndexResponse {
        /// The position the read has to wait for.
        index: Index,
        /// The requester's own context.
        context: Bytes,
    },
    /// Asks the leader to hand over leadership to the server in [`Message::from`].
    TransferLeader,
    /// The leader tells a server to start an election at once (thesis §3.10).
    TimeoutNow,
    /// Tells a follower to forget who leads, so that it may vote for somebody else.
    ForgetLeader,
    /// To the append thread: make all of this durable, then deliver the responses.
    StorageAppend(Box<StorageAppend>),
    /// From the append thread: the writes are durable. Its term is that at which the write was
    /// asked for; a response of an older term does not vouch for entries, see
    /// [`Config::async_storage_writes`](crate::Config::async_storage_writes).
    StorageAppendResponse {
        /// The last entry that is now durable, if the log had unstable entries.
        last: Option<EntryId>,
        /// The snapshot that is now installed, if there was one.
        snapshot: Option<Box<Snapshot>>,
    },
    /// To the apply thread: apply these entries, then deliver the responses.
    StorageApply {
        /// Consecutive committed entries.
        entries: Vec<Entry>,
        /// Messages to deliver when the entries are applied.
        responses: Vec<Message>,
    },
    /// From the apply thread: these entries are applied.
    StorageApplyResponse {
        /// The entries that were applied.
        entries: Vec<Entry>,
    },
}

/// Work for the append thread, all of which must be durable before any of the responses leaves. First
/// the snapshot, then entries and hard state as one atomic step; see [`Storage`](crate::Storage).
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct StorageAppend {
    /// A snapshot to install, if any, in place of the whole log.
    pub snapshot: Option<Snapshot>,
    /// Entries to append; they replace all that is stored at and after the first one.
    pub entries: Vec<Entry>,
    /// The hard state, if it changed.
    pub hard_state: Option<HardState>,
    /// Messages to deliver, each to its addressee, when everything is durable.
    pub responses: Vec<Message>,
}

/// The kind of a message without its contents.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
#[allow(
    missing_docs,
    reason = "each kind is documented at the variant of `Body` with its name"
)]
pub enum MessageKind {
    Propose,
    AppendEntries,
    AppendEntriesResponse,
    RequestVote,
    RequestVoteResponse,
    RequestPreVote,
    RequestPreVoteResponse,
    InstallSnapshot,
    Heartbeat,
    HeartbeatResponse,
    ReadIndex,
    ReadIndexResponse,
    TransferLeader,
    TimeoutNow,
    ForgetLeader,
    StorageAppend,
    StorageAppendResponse,
    StorageApply,
    StorageApplyResponse,
}

impl Body {
    /// The kind of this body.
    pub const fn kind(&self) -> MessageKind {
        match self {
            Body::Propose { .. } => MessageKind::Propose,
            Body::AppendEntries { .. } => MessageKind::AppendEntries,
            Body::AppendEntriesResponse { .. } => MessageKind::AppendEntriesResponse,
            Body::RequestVote { .. } => MessageKind::RequestVote,
            Body::RequestVoteResponse { .. } => MessageKind::RequestVoteResponse,
            Body::RequestPreVote { .. } => MessageKind::RequestPreVote,
            Body::RequestPreVoteResponse { .. } => MessageKind::RequestPreVoteResponse,
            Body::InstallSnapshot { .. } => MessageKind::InstallSnapshot,
            Body::Heartbeat { .. } => MessageKind::Heartbeat,
            Body::HeartbeatResponse { .. } => MessageKind::HeartbeatResponse,
            Body::ReadIndex { .. } => MessageKind::ReadIndex,
            Body::ReadIndexResponse { .. } => MessageKind::ReadIndexResponse,
            Body::TransferLeader => MessageKind::TransferLeader,
            Body::TimeoutNow => MessageKind::TimeoutNow,
            Body::ForgetLeader => MessageKind::ForgetLeader,
            Body::StorageAppend(_) => MessageKind::StorageAppend,
            Body::StorageAppendResponse { .. } => MessageKind::StorageAppendResponse,
            Body::StorageApply { .. } => MessageKind::StorageApply,
            Body::StorageApplyResponse { .. } => MessageKind::StorageApplyResponse,
        }
    }
}

impl MessageKind {
    /// Whether such a message goes between a server and its storage threads, never to a peer.
    pub const fn is_local(self) -> bool {
        matches!(
            self,
            MessageKind::StorageAppend
                | MessageKind::StorageAppendResponse
                | MessageKind::StorageApply
                | MessageKind::StorageApplyResponse
        )
    }

    /// Whether such a message answers another one, so that its sender must be known.
    pub const fn is_response(self) -> bool {
        matches!(
            self,
            MessageKind::AppendEntriesResponse
                | MessageKind::RequestVoteResponse
                | MessageKind::RequestPreVoteResponse
                | MessageKind::HeartbeatResponse
                | MessageKind::ReadIndexResponse
                | MessageKind::StorageAppendResponse
                | MessageKind::StorageApplyResponse
        )
    }
}

impl Message {
    /// The kind of the message.
    pub const fn kind(&self) -> MessageKind {
        self.body.kind()
    }

    /// Whether the message vouches for something that its sender must not forget: it may leave
    /// only after everything that the sender had to persist before it is durable (thesis §3.8).
    /// Refusals are included, as in etcd.
    #[inline]
    pub(crate) fn waits_for_persistence(&self) -> bool {
        matches!(
            self.body,
            Body::AppendEntriesResponse { .. }
                | Body::RequestVoteResponse { .. }
                | Body::RequestPreVoteResponse { .. }
        )
    }
}
