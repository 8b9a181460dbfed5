//! The structures of etcd's `raftpb` as they are on the wire, tag by tag.
//!
//! Every number and flag is an `Option`, because that is what tells an explicit zero from a field
//! that was left out: etcd writes the zero values of all of them, and so do we. What etcd leaves out
//! when it is empty (payloads, contexts, snapshots, lists) we leave out too, so that the bytes are the
//! same. Fields are written in the order of their tags.
//!
//! Plain data without meaning: the conversions in the parent module give it one.

use bytes::Bytes;

/// An entry of the log.
#[derive(Clone, PartialEq, Eq, Hash, prost::Message)]
pub struct Entry {
    /// 0 normal, 1 [`ConfChange`], 2 [`ConfChangeV2`].
    #[prost(int32, optional, tag = "1")]
    pub r#type: Option<i32>,
    /// The term of the leader that created the entry.
    #[prost(uint64, optional, tag = "2")]
    pub term: Option<u64>,
    /// The position in the log.
    #[prost(uint64, optional, tag = "3")]
    pub index: Option<u64>,
    /// The payload.
    #[prost(bytes = "bytes", optional, tag = "4")]
    pub data: Option<Bytes>,
}

/// A configuration.
#[derive(Clone, PartialEq, Eq, Hash, prost::Message)]
pub struct ConfState {
    /// The voters, of the incoming half in a transition.
    #[prost(uint64, repeated, packed = "false", tag = "1")]
    pub voters: Vec<u64>,
    /// The learners.
    #[prost(uint64, repeated, packed = "false", tag = "2")]
    pub learners: Vec<u64>,
    /// The voters of the outgoing half.
    #[prost(uint64, repeated, packed = "false", tag = "3")]
    pub voters_outgoing: Vec<u64>,
    /// Outgoing voters that become learners.
    #[prost(uint64, repeated, packed = "false", tag = "4")]
    pub learners_next: Vec<u64>,
    /// True if the transition ends by itself.
    #[prost(bool, optional, tag = "5")]
    pub auto_leave: Option<bool>,
}

/// The position of a snapshot in the log.
#[derive(Clone, PartialEq, Eq, Hash, prost::Message)]
pub struct SnapshotMetadata {
    /// The configuration as of the last entry.
    #[prost(message, optional, tag = "1")]
    pub conf_state: Option<ConfState>,
    /// The position of the last entry.
    #[prost(uint64, optional, tag = "2")]
    pub index: Option<u64>,
    /// The term of the last entry.
    #[prost(uint64, optional, tag = "3")]
    pub term: Option<u64>,
}

/// A snapshot.
#[derive(Clone, PartialEq, Eq, Hash, prost::Message)]
pub struct Snapshot {
    /// The state of the application.
    #[prost(bytes = "bytes", optional, tag = "1")]
    pub data: Option<Bytes>,
    /// Its position in the log.
    #[prost(message, optional, tag = "2")]
    pub metadata: Option<SnapshotMetadata>,
}

/// A message. Which fields mean what depends on the type; see [`Body`](crate::Body).
#[derive(Clone, PartialEq, Eq, Hash, prost::Message)]
pub struct Message {
    /// The number of the type; see [`MessageKind`](crate::MessageKind).
    #[prost(int32, optional, tag = "1")]
    pub r#type: Option<i32>,
    /// The addressee.
    #[prost(uint64, optional, tag = "2")]
    pub to: Option<u64>,
    /// The sender.
    #[prost(uint64, optional, tag = "3")]
    pub from: Option<u64>,
    /// The term of the sender.
    #[prost(uint64, optional, tag = "4")]
    pub term: Option<u64>,
    /// A term that belongs to `index`.
    #[prost(uint64, optional, tag = "5")]
    pub log_term: Option<u64>,
    /// A position in the log.
    #[prost(uint64, optional, tag = "6")]
    pub index: Option<u64>,
    /// Entries of the log, or the carriers of contexts of reads.
    #[prost(message, repeated, tag = "7")]
    pub entries: Vec<Entry>,
    /// A commit index.
    #[prost(uint64, optional, tag = "8")]
    pub commit: Option<u64>,
    /// A snapshot.
    #[prost(message, optional, tag = "9")]
    pub snapshot: Option<Snapshot>,
    /// True if the answer is no.
    #[prost(bool, optional, tag = "10")]
    pub reject: Option<bool>,
    /// The highest position at which the logs may agree.
    #[prost(uint64, optional, tag = "11")]
    pub reject_hint: Option<u64>,
    /// The context of a round of reads, or the reason of a campaign.
    #[prost(bytes = "bytes", optional, tag = "12")]
    pub context: Option<Bytes>,
    /// The server that the sender voted for; only to the thread that appends.
    #[prost(uint64, optional, tag = "13")]
    pub vote: Option<u64>,
    /// The messages to deliver afterwards; only to storage threads.
    #[prost(message, repeated, tag = "14")]
    pub responses: Vec<Message>,
}

/// The durable state besides the log.
#[derive(Clone, Copy, PartialEq, Eq, Hash, prost::Message)]
pub struct HardState {
    /// The latest term.
    #[prost(uint64, optional, tag = "1")]
    pub term: Option<u64>,
    /// The vote in that term, 0 for none.
    #[prost(uint64, optional, tag = "2")]
    pub vote: Option<u64>,
    /// The commit index.
    #[prost(uint64, optional, tag = "3")]
    pub commit: Option<u64>,
}

/// A change of one server.
#[derive(Clone, PartialEq, Eq, Hash, prost::Message)]
pub struct ConfChange {
    /// A number for the application.
    #[prost(uint64, optional, tag = "1")]
    pub id: Option<u64>,
    /// 0 add, 1 remove, 2 update, 3 add as a learner.
    #[prost(int32, optional, tag = "2")]
    pub r#type: Option<i32>,
    /// The server.
    #[prost(uint64, optional, tag = "3")]
    pub node_id: Option<u64>,
    /// Opaque bytes for the application.
    #[prost(bytes = "bytes", optional, tag = "4")]
    pub context: Option<Bytes>,
}

/// One server's part in a [`ConfChangeV2`].
#[derive(Clone, Copy, PartialEq, Eq, Hash, prost::Message)]
pub struct ConfChangeSingle {
    /// As in [`ConfChange`].
    #[prost(int32, optional, tag = "1")]
    pub r#type: Option<i32>,
    /// The server.
    #[prost(uint64, optional, tag = "2")]
    pub node_id: Option<u64>,
}

/// A change of the membership.
#[derive(Clone, PartialEq, Eq, Hash, prost::Message)]
pub struct ConfChangeV2 {
    /// 0 automatic, 1 joint and left automatically, 2 joint and left on demand.
    #[prost(int32, optional, tag = "1")]
    pub transition: Option<i32>,
    /// The servers that change.
    #[prost(message, repeated, tag = "2")]
    pub changes: Vec<ConfChangeSingle>,
    /// Opaque bytes for the application.
    #[prost(bytes = "bytes", optional, tag = "3")]
    pub context: Option<Bytes>,
}
