use crate::{Index, ServerId, Term};
use serde::{Deserialize, Serialize};

/// What an entry of the log carries.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Payload {
    /// Nothing: the entry that a leader appends when it is elected.
    Empty,
    /// The value of a client; targets carry it as its decimal digits.
    Value(u64),
}

/// One entry of the log. Its index is its position.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Entry {
    /// The term of the leader that created it.
    pub term: Term,
    /// What it carries.
    pub payload: Payload,
}

/// A committed entry that a server handed to its application.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Handed {
    /// The index that the server gave for it.
    pub index: Index,
    /// The entry.
    pub entry: Entry,
}

/// A message between two servers. Fields that a kind of message leaves unused in raftpb are not here:
/// a target that sends them non-zero has to say so.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Message {
    /// The sender.
    pub from: ServerId,
    /// The recipient.
    pub to: ServerId,
    /// The term that the message carries: the sender's, except in a pre-vote request and its grant,
    /// which carry the term asked for.
    pub term: Term,
    /// What it says.
    pub body: Body,
}

/// What a message says. The names are the paper's; the table of the specification maps them to raftpb.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Body {
    /// MsgVote (paper, section 5.2).
    RequestVote {
        /// Index of the candidate's last entry (raftpb `index`).
        last_index: Index,
        /// Term of the candidate's last entry (raftpb `logTerm`).
        last_term: Term,
    },
    /// MsgVoteResp.
    RequestVoteResponse {
        /// Whether the vote is given (raftpb `!reject`).
        granted: bool,
    },
    /// MsgPreVote (thesis, section 9.6).
    RequestPreVote {
        /// Index of the pre-candidate's last entry (raftpb `index`).
        last_index: Index,
        /// Term of the pre-candidate's last entry (raftpb `logTerm`).
        last_term: Term,
    },
    /// MsgPreVoteResp.
    RequestPreVoteResponse {
        /// Whether the pre-vote is given (raftpb `!reject`).
        granted: bool,
    },
    /// MsgApp (paper, section 5.3).
    AppendEntries {
        /// Index of the entry before the new ones (raftpb `index`).
        prev_index: Index,
        /// Term of the entry before the new ones (raftpb `logTerm`).
        prev_term: Term,
        /// The new entries, the first at `prev_index + 1`; may be empty.
        entries: Vec<Entry>,
        /// The leader's commit index.
        commit: Index,
    },
    /// MsgAppResp.
    AppendEntriesResponse {
        /// Accepted: the last index known to match. Refused: the `prev_index` that was asked for
        /// (raftpb `index`). Zero in the empty acknowledgement of a stale leader.
        index: Index,
        /// Set when the append was refused (raftpb `reject`, `rejectHint`, `logTerm`).
        rejected: Option<RejectHint>,
    },
    /// MsgHeartbeat.
    Heartbeat {
        /// The commit index that the recipient may adopt: at most what is known to match there.
        commit: Index,
    },
    /// MsgHeartbeatResp.
    HeartbeatResponse,
}

/// Where the logs may still agree, as the refusing follower sees it (etcd's fast log rejection).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RejectHint {
    /// The highest index at which the logs could agree (raftpb `rejectHint`).
    pub index: Index,
    /// The follower's term at that index (raftpb `logTerm`).
    pub term: Term,
}

/// A message that a server sent, and whether it had to wait for the server's state to be durable.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Emitted {
    /// The message.
    pub message: Message,
    /// It may not leave before the state and the entries of the same step are durable.
    pub after_persist: bool,
}
