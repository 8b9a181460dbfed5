use crate::{ConfChange, Message, ServerId};
use serde::{Deserialize, Serialize};

/// An input of the environment to one server.
///
/// One input is the call and everything that follows from it at that server: the new state is made
/// durable, committed entries are applied, messages that the server addresses to itself are handled,
/// until nothing is left to do. With [asynchronous storage](crate::Storage::Async) that is to hand over what is to be
/// written and applied. Inputs that a server must refuse or ignore are inputs like any other.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum Input {
    /// The randomised election timer fires. Ignored by a leader.
    Timeout,
    /// One election timeout has passed since the server, a follower that knows a leader, last heard
    /// from that leader; its own randomised timer has not fired yet. Means nothing in any other role.
    LeaseExpire,
    /// The heartbeat timer fires. Means nothing at a server that does not lead.
    Heartbeat,
    /// An election timeout has elapsed at a leader: with CheckQuorum it steps down unless it has heard from a
    /// quorum, and it gives up a transfer of leadership. Means nothing at a server that does not lead.
    CheckQuorum,
    /// A client proposes a value.
    Propose(u64),
    /// A client proposes a change of the configuration, to a cluster whose configuration may change.
    ProposeConfChange(ConfChange),
    /// The network delivers a message that is addressed to this server.
    Deliver(Message),
    /// The server loses all volatile state and comes back from what is durable.
    Restart,
    /// An operator asks for another leader, at any server. A follower passes the request on to its leader.
    TransferLeadership {
        /// The server that should lead.
        to: ServerId,
    },
    /// An operator tells a follower to forget its leader, and with it its lease. Means nothing in any other role.
    ForgetLeader,
    /// The application makes a snapshot of everything that it has applied, and the log up to there is dropped.
    Compact,
    /// The transport tells the server that a peer could not be reached. Means nothing at a server that does not
    /// lead.
    ReportUnreachable {
        /// The peer.
        peer: ServerId,
    },
    /// The transport tells the server what became of the snapshot that it sent to a peer. Means nothing at a server
    /// that does not lead.
    ReportSnapshot {
        /// The peer.
        peer: ServerId,
        /// Whether it arrived.
        ok: bool,
    },
    /// With storage that is asynchronous: the oldest outstanding append is durable. What waited for it leaves, and the
    /// server hears what it had told itself. Means nothing if none is outstanding.
    Persist,
    /// With storage that is asynchronous: the application has done the oldest outstanding apply. Means nothing if none
    /// is outstanding.
    Apply,
    /// As [`Input::Restart`], with storage that is asynchronous: the oldest `writes` of the outstanding appends, or all
    /// if there are fewer, had become durable before the crash. A plain restart loses them all.
    RestartKeeping {
        /// The number of appends; at least one.
        writes: u64,
    },
    /// A client asks for the index up to which it has to read, to read what is current. A follower asks its leader.
    ReadIndex {
        /// The context by which the client knows the answer; at least one.
        context: u64,
    },
}

impl Input {
    /// The kind of the input: its key in a trace.
    pub const fn name(&self) -> &'static str {
        match self {
            Input::Timeout => "timeout",
            Input::LeaseExpire => "lease_expire",
            Input::Heartbeat => "heartbeat",
            Input::CheckQuorum => "check_quorum",
            Input::Propose(_) => "propose",
            Input::ProposeConfChange(_) => "propose_conf_change",
            Input::Deliver(_) => "deliver",
            Input::Restart => "restart",
            Input::TransferLeadership { .. } => "transfer_leadership",
            Input::ForgetLeader => "forget_leader",
            Input::Compact => "compact",
            Input::ReportUnreachable { .. } => "report_unreachable",
            Input::ReportSnapshot { .. } => "report_snapshot",
            Input::Persist => "persist",
            Input::Apply => "apply",
            Input::RestartKeeping { .. } => "restart_keeping",
            Input::ReadIndex { .. } => "read_index",
        }
    }
}

/// An event of the environment: at one server or in the network.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Event {
    /// An input to one server. A delivery consumes the message from the network.
    Server {
        /// The server that moves.
        server: ServerId,
        /// The input that it gets.
        input: Input,
    },
    /// The network makes a second copy of a message in flight; no server moves.
    Duplicate(Message),
    /// The network loses a message in flight; no server moves.
    Drop(Message),
}

impl Event {
    /// The server that moves, if one does.
    pub fn server(&self) -> Option<ServerId> {
        match self {
            Event::Server { server, .. } => Some(*server),
            Event::Duplicate(_) | Event::Drop(_) => None,
        }
    }
}

/// Why a server refuses an input outright, as its caller sees it. A refusal leaves the server unchanged
/// and sends nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum Refusal {
    /// The proposal cannot be taken: no leader here, a transfer of leadership, or no room.
    ProposalDropped,
    /// A response from a server that is no member (etcd: `ErrStepPeerNotFound`).
    UnknownPeer,
    /// A message that only a server itself may raise came from outside (etcd: `ErrStepLocalMsg`).
    LocalMessage,
    /// Nobody answers the read: the server knows no leader.
    NoLeader,
}

/// The outcome that the caller of an input is told. An input that is ignored without an error is `Accepted`: that it
/// changed nothing shows in the view.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize,
)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// The call returned without an error.
    #[default]
    Accepted,
    /// The call returned an error.
    Refused(Refusal),
}
