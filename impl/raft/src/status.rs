//! The state of a server for people and for metrics.

use std::fmt;

use bytes::Bytes;

use crate::health::{RefusedMessages, ShortLog};
use crate::tracker::{Configuration, ProgressMap};
use crate::types::{HardState, Index, NodeId, SoftState};

/// The state of a server in numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct BasicStatus {
    /// The server.
    pub id: NodeId,
    /// Term, vote and commit index, as of now (not: as stored).
    pub hard_state: HardState,
    /// Role and leader.
    pub soft_state: SoftState,
    /// The applied index of the application.
    pub applied: Index,
    /// At a leader: who shall lead next.
    pub lead_transferee: Option<NodeId>,
}

/// The state of a server with its view of the group.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Status {
    /// The numbers.
    pub basic: BasicStatus,
    /// The active configuration.
    pub config: Configuration,
    /// At a leader the progress of every member, itself included; elsewhere empty.
    pub progress: ProgressMap,
    /// At a leader that [`RawNode`](crate::RawNode) drives: the members whose logs are shorter than
    /// what they acknowledged.
    pub short_logs: Vec<ShortLog>,
    /// The messages that [`RawNode::step`](crate::RawNode::step) refused.
    pub refused: RefusedMessages,
}

/// The reads that wait at a server (thesis, section 6.4).
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct PendingReads {
    /// At a leader: those that wait for the first commit of its term, the server whose client asked and the context,
    /// oldest first.
    pub postponed: Vec<(NodeId, Bytes)>,
    /// At a leader: those that wait for a round of heartbeats, oldest first.
    pub rounds: Vec<ReadRound>,
    /// At a leader: the number of reads that rounds have confirmed in its term.
    pub confirmed: u64,
    /// At a follower: the contexts of its own clients' reads that it passed on, oldest first.
    pub forwarded: Vec<Bytes>,
    /// At a leader: whether it has told a server to campaign in this term, so that it answers by no lease.
    pub timeout_now_sent: bool,
}

/// A read that waits for a round of heartbeats.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct ReadRound {
    /// The server whose client asked.
    pub from: NodeId,
    /// The caller's context.
    pub context: Bytes,
    /// The commit index when the read came.
    pub index: Index,
    /// The servers that have answered, the leader among them, in ascending order.
    pub acks: Vec<NodeId>,
}

impl fmt::Display for Status {
    /// Several lines for people: the server, at a leader each member, and what is wrong.
    ///
    /// ```text
    /// 1: Leader of term 2, commit 21, applied 21, voters=(1 2 3)
    ///   1: StateReplicate match=21 next=22
    ///   2: StateReplicate match=21 next=22
    ///   3: StateReplicate match=21 next=22 inactive; acknowledged entry 21 and now has 0 at most
    /// 2 messages refused, the last: malformed Heartbeat from 2: it commits what this server does not have
    /// ```
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let BasicStatus {
            id,
            hard_state,
            soft_state,
            applied,
            ..
        } = &self.basic;
        write!(
            f,
            "{id}: {:?} of term {}, commit {}, applied {applied}, {}",
            soft_state.role, hard_state.term, hard_state.commit, self.config
        )?;
        for (id, progress) in &self.progress {
            write!(f, "\n  {id}: {progress}")?;
            if let Some(short) = self.short_logs.iter().find(|short| short.id == id) {
                let (acknowledged, shown) = (short.acknowledged, short.shown);
                write!(
                    f,
                    "; acknowledged entry {acknowledged} and now has {shown} at most"
                )?;
            }
        }
        match (&self.refused.last, self.refused.count) {
            (None, _) => Ok(()),
            (Some(last), 1) => write!(f, "\n1 message refused: {last}"),
            (Some(last), count) => write!(f, "\n{count} messages refused, the last: {last}"),
        }
    }
}
