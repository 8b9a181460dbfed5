//! States of a server that are handed to the application.

use super::{Index, NodeId, Term};
use bytes::Bytes;

/// The durable state besides the log (Raft, figure 2: `currentTerm` and `votedFor`), and the commit index, which is
/// kept as a convenience.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct HardState {
    /// The latest term the server has seen.
    pub term: Term,
    /// The server that it voted for in that term.
    pub vote: Option<NodeId>,
    /// The highest log position known to be committed.
    pub commit: Index,
}

impl HardState {
    /// Whether nothing was ever stored.
    pub fn is_empty(&self) -> bool {
        *self == HardState::default()
    }
}

/// The part a server plays in its term (Raft §5.1, pre-candidates: thesis §9.6).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Role {
    /// Answers leaders and candidates.
    #[default]
    Follower,
    /// Asks whether it could win before it disturbs anybody with a new term.
    PreCandidate,
    /// Asks for votes.
    Candidate,
    /// Replicates its log to the others.
    Leader,
}

/// State that is useful to know and need not be stored.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct SoftState {
    /// The leader of the current term, if known.
    pub leader: Option<NodeId>,
    /// The part this server plays.
    pub role: Role,
}

/// The answer to a request for a linearizable read (thesis §6.4).
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct ReadState {
    /// The read may be served once everything up to this index is applied. `None`: it was given up,
    /// since the leader that was asked lost its leadership, as far as this server knows. Ask again.
    pub index: Option<Index>,
    /// The context that the application gave with its request.
    pub context: Bytes,
}
