//! The payloads of entries: commands, and the context of changes of membership. Names and numbers are
//! those of etcd's `raft_internal.proto`, as far as there is a counterpart.

use bytes::Bytes;
use prost::Message as _;

use crate::api::pb::{
    AlarmRequest, AlarmResponse, CompactionRequest, CompactionResponse, DeleteRangeRequest,
    DeleteRangeResponse, Member, PutRequest, PutResponse, TxnRequest, TxnResponse,
};

/// Identifies a request among those of all servers.
#[derive(Clone, Copy, PartialEq, Eq, prost::Message)]
pub(crate) struct RequestHeader {
    #[prost(uint64, tag = "1")]
    pub(crate) id: u64,
}

/// A command in the log.
#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct InternalRaftRequest {
    #[prost(message, optional, tag = "100")]
    pub(crate) header: Option<RequestHeader>,
    #[prost(oneof = "Command", tags = "4, 5, 6, 7, 10, 1301")]
    pub(crate) command: Option<Command>,
}

/// The kinds of commands.
#[derive(Clone, PartialEq, prost::Oneof)]
pub(crate) enum Command {
    #[prost(message, tag = "4")]
    Put(PutRequest),
    #[prost(message, tag = "5")]
    DeleteRange(DeleteRangeRequest),
    #[prost(message, tag = "6")]
    Txn(TxnRequest),
    #[prost(message, tag = "7")]
    Compaction(CompactionRequest),
    #[prost(message, tag = "10")]
    Alarm(AlarmRequest),
    #[prost(message, tag = "1301")]
    ClusterMemberAttrSet(ClusterMemberAttrSetRequest),
}

/// Publishes the attributes of a member.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub(crate) struct ClusterMemberAttrSetRequest {
    #[prost(uint64, tag = "1")]
    pub(crate) member_id: u64,
    #[prost(message, optional, tag = "2")]
    pub(crate) member_attributes: Option<Attributes>,
}

/// The attributes that a member says of itself.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub(crate) struct Attributes {
    #[prost(string, tag = "1")]
    pub(crate) name: String,
    #[prost(string, repeated, tag = "2")]
    pub(crate) client_urls: Vec<String>,
}

/// The context of a change of membership.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub(crate) struct ConfChangeContext {
    /// The request, zero for the first members.
    #[prost(uint64, tag = "1")]
    pub(crate) request: u64,
    /// The member that is added or changed.
    #[prost(message, optional, tag = "2")]
    pub(crate) member: Option<Member>,
    /// Whether a learner becomes a voter.
    #[prost(bool, tag = "3")]
    pub(crate) is_promote: bool,
}

/// The outcome of a command that was applied.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Applied {
    Put(PutResponse),
    DeleteRange(DeleteRangeResponse),
    Txn(TxnResponse),
    Compaction(CompactionResponse),
    Alarm(AlarmResponse),
    MemberAttributes,
    Members(Vec<Member>),
}

impl InternalRaftRequest {
    /// The bytes of a command.
    pub(crate) fn encode(id: u64, command: Command) -> Bytes {
        let header = Some(RequestHeader { id });
        InternalRaftRequest {
            header,
            command: Some(command),
        }
        .encode_to_vec()
        .into()
    }

    pub(crate) fn id(&self) -> u64 {
        self.header.map_or(0, |header| header.id)
    }
}
