//! An executable specification of etcd-style Raft, and the engine that checks it.
//!
//! The specification is a deterministic, pure transition function per server ([`Server::step`]), put
//! together with a network into a state graph ([`Cluster`]) that can be explored exhaustively. It is
//! written from the Raft paper ("In Search of an Understandable Consensus Algorithm", extended version),
//! Ongaro's thesis, and the observable behaviour of etcd's raft v3.6, with the reads of v3.7.
//!
//! # One event
//!
//! One [`Input`](lockstep_traces::Input) is the call and everything that follows at that server: what it
//! tells itself (a candidate its vote, a leader that it has its own entries) comes after everything else,
//! when the new state is durable; what is committed is applied at once. So between events `applied` is
//! `commit`, and the durable image is the state.
//!
//! With *asynchronous storage* an input ends when what is to be written and applied is handed over. Later inputs say
//! that the oldest append is durable (`Persist`) or the oldest apply is done (`Apply`), and a restart keeps any number of the
//! oldest outstanding appends.
//!
//! # Time
//!
//! There is no clock. A follower that knows a leader has a *lease* bit (with CheckQuorum): less than one
//! election timeout has passed since it heard from the leader, or since it gave its vote. The environment
//! says when the lease runs out and when a timer fires. At a leader the input `CheckQuorum` says that an election
//! timeout has passed.
//!
//! # Names
//!
//! Numbers are 32 bits inside and 64 bits in traces. The body of a message has the name of the paper; an
//! answer to an append is two bodies here and one in traces and in raftpb.
//!
//! | specification | trace key | raftpb |
//! | --- | --- | --- |
//! | `Message.from`, `.to`, `.term` | `from`, `to`, `term` | `from`, `to`, `term` |
//! | `RequestVote` | `request_vote` | `MsgVote` |
//! | `RequestVote.last` | `last_index`, `last_term` | `index`, `logTerm` |
//! | `RequestVote.transfer` | `transfer` | `context` (`CampaignTransfer`) |
//! | `RequestVoteResponse` | `request_vote_response` | `MsgVoteResp` |
//! | `RequestVoteResponse.granted` | `granted` | `!reject` |
//! | `RequestPreVote` | `request_pre_vote` | `MsgPreVote` |
//! | `RequestPreVote.last` | `last_index`, `last_term` | `index`, `logTerm` |
//! | `RequestPreVoteResponse` | `request_pre_vote_response` | `MsgPreVoteResp` |
//! | `RequestPreVoteResponse.granted` | `granted` | `!reject` |
//! | `AppendEntries` | `append_entries` | `MsgApp` |
//! | `AppendEntries.prev` | `prev_index`, `prev_term` | `index`, `logTerm` |
//! | `AppendEntries.entries` | `entries` | `entries` |
//! | `AppendEntries.commit` | `commit` | `commit` |
//! | `AppendEntriesAccepted` | `append_entries_response`, `rejected` null | `MsgAppResp`, `!reject` |
//! | `AppendEntriesAccepted.index` | `index` | `index` |
//! | `AppendEntriesRejected` | `append_entries_response`, `rejected` set | `MsgAppResp`, `reject` |
//! | `AppendEntriesRejected.index` | `index` | `index` |
//! | `AppendEntriesRejected.hint` | `rejected.index`, `rejected.term` | `rejectHint`, `logTerm` |
//! | `Heartbeat` | `heartbeat` | `MsgHeartbeat` |
//! | `Heartbeat.commit`, `.round` | `commit`, `round` | `commit`, `context` |
//! | `HeartbeatResponse` | `heartbeat_response`, with a round `round_response` | `MsgHeartbeatResp` |
//! | `HeartbeatResponse.round` | `round` | `context` |
//! | `TimeoutNow` | `timeout_now` | `MsgTimeoutNow` |
//! | `TransferLeader.transferee` | `transfer_leader`, `transferee` | `MsgTransferLeader`, `from` |
//! | `Propose.payloads` | `propose`, `payloads` | `MsgProp`, `entries` |
//! | `InstallSnapshot.last`, `.configuration` | `install_snapshot`, `snapshot` | `MsgSnap`, `snapshot.metadata` |
//! | `ReadIndex.origin`, `.context` | `read_index`, `origin`, `context` | `MsgReadIndex`, `from`, `entries` |
//! | `ReadIndexResponse.context`, `.index` | `read_index_response`, `context`, `index` | `MsgReadIndexResp`, `entries`, `index` |
//! | `Entry.term`, `.payload` | `term`, `payload` | `Term`, `Data` (decimal digits, or none; `ConfChangeV2`) |
//! | `ConfChange` | `changes`, `transition` | `ConfChangeV2` |
//! | `Server.role`, `.leader` | `role`, `leader` | `SoftState.RaftState`, `.Lead` |
//! | `Server.term`, `.vote`, `.commit` | `term`, `vote`, `commit` | `HardState` |
//! | `Server.granted`, `.refused` | `votes` (true, false) | `tracker.Votes` |
//! | `Server.log.snapshot` | `snapshot` | `SnapshotMetadata` |
//! | `Server.transferee` | `transferee` | `raft.leadTransferee` |
//! | `Server.uncommitted` | `uncommitted` | `raft.uncommittedSize`, in entries |
//! | `Server.configuration` | `configuration` | `tracker.Config`, `ConfState` |
//! | `Server.pending_conf_index` | `pending_conf_index` | `raft.pendingConfIndex`, if above `applied` |
//! | `Server.reads.postponed` | `postponed_reads` | `raft.pendingReadIndexMessages` |
//! | `Server.reads.unconfirmed`, `.confirmed` | `unconfirmed_reads`, `confirmed_reads` | `readOnly` |
//! | `Server.reads.handed_over` | `handed_over` | – |
//! | `Server.lease` | `lease` | `electionElapsed < electionTimeout` |
//! | `Progress.matched`, `.next` | `match`, `next` | `Progress.Match`, `.Next` |
//! | `Progress.flow` | `state` | `Progress.State` |
//! | `Progress.paused` | `paused` | `Progress.MsgAppFlowPaused` |
//! | `Progress.recent_active` | `recent_active` | `Progress.RecentActive` |
//! | `Progress.commit_sent` | `commit_sent` | `Progress.sentCommit` |
//! | `Progress.inflight` | `inflight` | `Progress.Inflights` |
//! | `Progress.pending` | `pending_snapshot` | `Progress.PendingSnapshot` |

mod bounds;
mod canonical;
mod checkable;
mod cluster;
mod codec;
#[cfg(test)]
mod collapse_tests;
mod configuration;
mod dialect;
mod history;
mod ids;
mod in_step;
mod machine;
mod message;
mod network;
mod presets;
pub mod properties;
pub mod recovery;
mod rule;
mod seq;
mod server;
mod settings;
mod symmetry;

/// The disagreements between the specification and the implementations that were settled, with who was
/// wrong, in Markdown.
pub const FINDINGS: &str = include_str!("../FINDINGS.md");

pub use bounds::{Bounds, Budget, Kind, Spent, Timing};
pub use cluster::{Action, Cluster, ClusterState, Transition};
pub use configuration::{ConfChange, Configuration};
pub use dialect::{Departure, Dialect};
pub use history::History;
pub use ids::{Id, IdSet, MAX_MEMBERS, MAX_SERVERS, OutOfRange};
pub use in_step::{Answer, Companion, InStep, InStepState, Mark, Pair, Question};
#[doc(hidden)]
pub use presets::Preset;
pub use rule::{Place, Rule, RuleSet};
pub use server::{Server, Step};

/// Recorded runs: the rules at the grain of a library, and what its recorder sees.
pub mod recorded {
    pub use crate::message::{Body, Entries, Entry, Message, Payload, Position};
    pub use crate::server::recorded::{Observer, Point, Stimulus, pre_vote};
    pub use crate::server::{Acknowledgement, Append, HardState, Image, Log};
}
pub use settings::{Settings, SettingsError};
