//! Errors, divided by who is to blame: the caller, a peer, the storage, or a bug.

use crate::confchange::ConfChangeError;
use crate::observer::{CampaignObstacle, ConfChangeObstacle, TransferObstacle};
use crate::types::{Index, MessageKind, NodeId};
use thiserror::Error as ThisError;

/// Any error of this library.
#[derive(Clone, Debug, PartialEq, Eq, Hash, ThisError)]
#[non_exhaustive]
pub enum Error {
    /// The configuration is not usable (caller).
    #[error("invalid configuration: {0}")]
    Config(#[from] ConfigError),
    /// The proposal was not appended and never will be (caller: retry later or elsewhere).
    #[error("proposal dropped: {0}")]
    ProposalDropped(#[from] DropReason),
    /// The request cannot be served here and now, and changed nothing (caller: retry later or
    /// elsewhere).
    #[error("request refused: {0}")]
    Refused(#[from] Refusal),
    /// The call is not allowed in this state (caller).
    #[error("invalid call: {0}")]
    Call(#[from] CallError),
    /// A message was refused and changed nothing (peer, or the transport between).
    #[error("message refused: {0}")]
    Peer(#[from] PeerError),
    /// The storage failed or contradicts itself. The server must be stopped: what it holds in
    /// memory may be ahead of what its storage can show.
    #[error("storage: {0}")]
    Storage(#[from] StorageError),
}

/// The party to blame for an [`Error`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Blame {
    /// The application called something it should not have, or at a time it should not have.
    Caller,
    /// Another server, or the network, sent what no correct server sends.
    Peer,
    /// The storage.
    Storage,
}

impl Error {
    /// The party to blame.
    pub const fn blame(&self) -> Blame {
        match self {
            Error::Config(_) | Error::ProposalDropped(_) | Error::Refused(_) | Error::Call(_) => {
                Blame::Caller
            }
            Error::Peer(_) => Blame::Peer,
            Error::Storage(_) => Blame::Storage,
        }
    }
}

/// A mistake in a [`Config`](crate::Config).
#[derive(Clone, Debug, PartialEq, Eq, Hash, ThisError)]
#[non_exhaustive]
pub enum ConfigError {
    /// The server's own id is the address of a storage thread.
    #[error("the id {0} is reserved for a storage thread")]
    ReservedId(NodeId),
    /// `heartbeat_timeout_ticks` is zero.
    #[error("the heartbeat timeout must be at least one tick")]
    HeartbeatTimeout,
    /// `election_timeout_ticks` is not greater than `heartbeat_timeout_ticks`.
    #[error(
        "the election timeout ({election} ticks) must exceed the heartbeat timeout ({heartbeat} ticks)"
    )]
    ElectionTimeout {
        /// The election timeout, in ticks.
        election: u32,
        /// The heartbeat timeout, in ticks.
        heartbeat: u32,
    },
    /// The draw of a timeout, up to twice `election_timeout_ticks`, would not fit its type.
    #[error("the election timeout ({election} ticks) exceeds the limit of {limit} ticks")]
    ElectionTimeoutTooLong {
        /// The election timeout, in ticks.
        election: u32,
        /// The greatest one, in ticks.
        limit: u32,
    },
    /// `max_inflight_messages` is zero.
    #[error("at least one message must be allowed in flight")]
    InflightMessages,
    /// `max_inflight_bytes` is less than `max_message_bytes`.
    #[error("the bytes in flight ({inflight}) must allow one full message ({message})")]
    InflightBytes {
        /// The limit on bytes in flight.
        inflight: u64,
        /// The limit on bytes of one message.
        message: u64,
    },
    /// Reads by lease need the quorum check that keeps the lease.
    #[error("lease based reads need check_quorum")]
    LeaseWithoutCheckQuorum,
    /// The applied index lies outside of what the storage says is committed.
    #[error("applied index {applied} is outside of {first}..={commit}")]
    Applied {
        /// The configured applied index.
        applied: Index,
        /// The last compacted index.
        first: Index,
        /// The stored commit index.
        commit: Index,
    },
}

/// Why a proposal was dropped.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, ThisError)]
#[non_exhaustive]
pub enum DropReason {
    /// No leader is known, so there is nobody to propose to.
    #[error("no leader is known")]
    NoLeader,
    /// Another server leads and forwarding is switched off.
    #[error("{leader} leads, and forwarding is disabled")]
    ForwardingDisabled {
        /// The server to propose to.
        leader: NodeId,
    },
    /// This leader was removed from the group.
    #[error("this leader is no longer a member")]
    NotMember,
    /// Leadership is being handed over.
    #[error("leadership is being transferred to {to}")]
    TransferInProgress {
        /// The server that shall lead.
        to: NodeId,
    },
    /// The entries would exceed the limit on uncommitted payload bytes.
    #[error("the limit max_uncommitted_bytes is reached")]
    UncommittedLimit,
    /// The change of membership does not fit the configuration that this leader has applied.
    #[error("change of membership: {0}")]
    ConfChange(ConfChangeObstacle),
}

/// Why a request that is no proposal was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, ThisError)]
#[non_exhaustive]
pub enum Refusal {
    /// Nobody is known to lead: there is nobody to ask, or to forget.
    #[error("no leader is known")]
    NoLeader,
    /// Only a leader can use this.
    #[error("this server does not lead")]
    NotLeader,
    /// Only a follower can do this.
    #[error("this server does not follow")]
    NotFollower,
    /// The configuration has no such server.
    #[error("{0} is not in the configuration")]
    UnknownServer(NodeId),
    /// A server can always reach itself.
    #[error("a server cannot be unreachable to itself")]
    Oneself,
    /// No snapshot is on its way to that server.
    #[error("no snapshot is on its way to {0}")]
    NoSnapshot(NodeId),
    /// With [`ReadOnly::LeaseBased`](crate::ReadOnly::LeaseBased) a follower must not forget its leader.
    #[error("reads by lease need the leader, so it cannot be forgotten")]
    LeaseBasedReads,
    /// This server cannot campaign.
    #[error("this server cannot campaign: {0}")]
    Campaign(CampaignObstacle),
    /// Leadership cannot be transferred to that server.
    #[error("leadership cannot be transferred: {0}")]
    Transfer(TransferObstacle),
}

/// A mistake of a caller.
#[derive(Clone, Debug, PartialEq, Eq, Hash, ThisError)]
#[non_exhaustive]
pub enum CallError {
    /// A proposal without entries.
    #[error("a proposal needs at least one entry")]
    EmptyProposal,
    /// `bootstrap` on a storage that is not empty.
    #[error("only an empty storage can be bootstrapped")]
    BootstrapNonEmpty,
    /// `bootstrap` without servers.
    #[error("bootstrap needs at least one server")]
    BootstrapNobody,
    /// A configuration change that cannot be applied to the current configuration.
    #[error("configuration change: {0}")]
    ConfChange(#[from] ConfChangeError),
    /// An entry that says to be a change of membership and cannot be decoded as one.
    #[error("the payload of a configuration change cannot be decoded")]
    Undecodable,
    /// `ready` before the last `Ready` was advanced.
    #[error("call advance for the last Ready first")]
    NotAdvanced,
    /// `advance` before any `Ready` was taken, or a second time.
    #[error("there is no Ready to advance")]
    NothingToAdvance,
    /// `advance` with asynchronous storage writes, where responses take its place.
    #[error(
        "advance must not be called with asynchronous storage writes; the storage threads answer instead"
    )]
    AdvanceAsync,
}

/// Why a message was refused.
#[derive(Clone, Debug, PartialEq, Eq, Hash, ThisError)]
#[non_exhaustive]
pub enum PeerError {
    /// A response from a server that is not in the configuration.
    #[error("{kind:?} from {from}, which is not in the configuration")]
    UnknownPeer {
        /// The sender.
        from: NodeId,
        /// The message.
        kind: MessageKind,
    },
    /// A message that only the server itself may make, from elsewhere.
    #[error("{kind:?} is local to a server, but {from} sent it")]
    LocalMessage {
        /// The sender.
        from: NodeId,
        /// The message.
        kind: MessageKind,
    },
    /// A message that no correct server sends.
    #[error("malformed {kind:?} from {from}: {reason}")]
    Malformed {
        /// The sender.
        from: NodeId,
        /// The message.
        kind: MessageKind,
        /// The mistake in it.
        reason: &'static str,
    },
}

/// An error of a [`Storage`](crate::Storage).
#[derive(Clone, Debug, PartialEq, Eq, Hash, ThisError)]
#[non_exhaustive]
pub enum StorageError {
    /// The entry was compacted away.
    #[error("the entry was compacted")]
    Compacted,
    /// The entry is not there (yet).
    #[error("the entry is not available")]
    Unavailable,
    /// The snapshot is older than the one already there.
    #[error("the snapshot is out of date")]
    SnapshotOutOfDate,
    /// A snapshot is being prepared; ask again later.
    #[error("the snapshot is temporarily unavailable")]
    SnapshotTemporarilyUnavailable,
    /// The stored states contradict each other.
    #[error("corrupt: {0}")]
    Corrupt(String),
    /// Anything else, in the words of the storage.
    #[error("{0}")]
    Other(String),
}
