//! The events that can be observed.

use crate::error::DropReason;
use crate::tracker::{Configuration, Progress};
use crate::types::{
    ConfChange, ConfChangeV2, ConfState, EntryId, Index, MessageKind, NodeId, Role, Term,
};
use thiserror::Error as ThisError;

/// The kind of election that a vote belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Ballot {
    /// A vote that counts (Raft §5.2).
    Vote,
    /// The question whether a vote would be given (thesis §9.6).
    PreVote,
}

/// A request for a vote as the server that is asked sees it. All values are from before its answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct VoteRequest {
    /// The kind of vote that is asked for.
    pub ballot: Ballot,
    /// The server that asks.
    pub candidate: NodeId,
    /// The last entry of the candidate's log.
    pub candidate_last: EntryId,
    /// The last entry of the own log.
    pub last: EntryId,
    /// The own term.
    pub term: Term,
    /// The server that this one has voted for in its term.
    pub vote: Option<NodeId>,
}

/// Why a server does not start the election that it is asked or due to start.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, ThisError)]
#[non_exhaustive]
pub enum CampaignObstacle {
    /// It leads already.
    #[error("it leads already")]
    AlreadyLeader,
    /// It is no voter, or a snapshot waits to be installed.
    #[error("it is no voter, or a snapshot waits to be installed")]
    NotPromotable,
    /// A committed change of membership is not applied yet: the server does not know who may vote.
    #[error("a committed change of membership is not applied yet")]
    UnappliedConfChange,
    /// The largest term there is has been reached.
    #[error("the largest term has been reached")]
    TermExhausted,
}

/// A change of membership in the form in which it was proposed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ProposedConfChange<'a> {
    /// A change of one server.
    V1(&'a ConfChange),
    /// Any change.
    V2(&'a ConfChangeV2),
}

/// Why a leader puts an empty entry in place of a proposed change of membership.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, ThisError)]
#[non_exhaustive]
pub enum ConfChangeObstacle {
    /// An earlier change may not be applied yet.
    #[error("an earlier change may be at {index}, and the log is applied only up to {applied}")]
    Pending {
        /// The highest possible index of the earlier change.
        index: Index,
        /// The applied index.
        applied: Index,
    },
    /// The configuration is joint, and this change does not leave it.
    #[error("the configuration is joint and must be left first")]
    MustLeaveJoint,
    /// The change leaves a joint configuration, and the configuration is not joint.
    #[error("the configuration is not joint")]
    NotJoint,
}

/// Why a leader does not send the snapshot that a follower needs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum SnapshotObstacle {
    /// The follower was not heard of lately.
    Inactive,
    /// The storage has to make a snapshot first.
    TemporarilyUnavailable,
}

/// Why an acknowledgement of durable entries does not let the server forget them in memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum StableMismatch {
    /// No such entry is waiting to become durable.
    Missing {
        /// The acknowledged index.
        index: Index,
    },
    /// The entry is the last one of a snapshot that waits to be installed.
    MatchesSnapshot {
        /// The acknowledged index.
        index: Index,
    },
    /// Another entry has taken its place in the meantime.
    Replaced {
        /// The acknowledged entry.
        acknowledged: EntryId,
        /// The entry that waits at the same index.
        present: EntryId,
    },
}

/// Why a request to hand over leadership is ignored.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, ThisError)]
#[non_exhaustive]
pub enum TransferObstacle {
    /// The server that should lead is a learner.
    #[error("the server is a learner")]
    Learner,
    /// Leadership is being handed over to the same server already.
    #[error("it is being transferred there already")]
    InProgress,
    /// The server leads already.
    #[error("the server leads already")]
    AlreadyLeader,
    /// This server is no leader and knows of none to ask.
    #[error("no leader is known")]
    NoLeader,
}

/// Something that a server did.
///
/// `from`, `to` and `peer` name another server; `term` is the own term at that moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Event<'a> {
    // ----- Start -----
    /// The server was built from its storage; raised last in the construction.
    Created {
        /// The configuration of the storage.
        config: &'a Configuration,
        /// The stored term.
        term: Term,
        /// The stored commit index.
        commit: Index,
        /// The index that counts as applied.
        applied: Index,
        /// The last entry of the log.
        last: EntryId,
    },

    // ----- Roles and elections -----
    /// The server is a follower of this term, maybe of a new one, maybe as before.
    BecameFollower {
        /// The new term.
        term: Term,
    },
    /// The server asks whether it could win an election; its term stays.
    BecamePreCandidate {
        /// The term.
        term: Term,
    },
    /// The server is a candidate and has voted for itself.
    BecameCandidate {
        /// The new term.
        term: Term,
    },
    /// The server leads; its log holds the empty entry that opens the term.
    BecameLeader {
        /// The term.
        term: Term,
    },
    /// No election is started.
    CampaignRefused {
        /// Why not.
        obstacle: CampaignObstacle,
        /// The term.
        term: Term,
    },
    /// An election starts. Raised before the change of role.
    ElectionStarted {
        /// The term before the election.
        term: Term,
    },
    /// A vote was asked for; raised for each voter but the server itself, by ascending id.
    VoteRequested {
        /// The kind of vote.
        ballot: Ballot,
        /// The server that was asked.
        to: NodeId,
        /// The last entry of the own log.
        last: EntryId,
        /// The own term (which a pre-vote does not change).
        term: Term,
    },
    /// A vote was received; the server's own vote is one of them.
    VoteReceived {
        /// The kind of vote.
        ballot: Ballot,
        /// The server that voted.
        from: NodeId,
        /// Whether for this server.
        granted: bool,
        /// The term.
        term: Term,
    },
    /// The votes after the one just received.
    VotesCounted {
        /// The kind of votes.
        ballot: Ballot,
        /// The number of votes for this server.
        granted: usize,
        /// The number of votes against it.
        rejected: usize,
    },
    /// A request for a vote was not even answered, since a leader is known to be alive (§4.2.3 of
    /// the thesis).
    VoteRequestIgnored(VoteRequest),
    /// A vote is given. Raised before it is recorded.
    VoteGranted(VoteRequest),
    /// A vote is refused.
    VoteRefused(VoteRequest),
    /// The leader has not heard from a quorum for an election timeout and steps down.
    QuorumLost,
    /// A follower forgets its leader, as it was told to.
    LeaderForgotten {
        /// The leader that it forgets.
        leader: NodeId,
        /// The term.
        term: Term,
    },
    /// The request to forget the leader is ignored, since reads rely on the leader's lease.
    ForgetLeaderIgnored,

    // ----- Messages and terms -----
    /// A message of a higher term arrived, and the server is about to follow to that term.
    HigherTermSeen {
        /// The message.
        kind: MessageKind,
        /// Its sender.
        from: NodeId,
        /// Its term.
        message_term: Term,
        /// The own term, before.
        term: Term,
    },
    /// A message of a lower term was ignored.
    LowerTermIgnored {
        /// The message.
        kind: MessageKind,
        /// Its sender.
        from: NodeId,
        /// Its term.
        message_term: Term,
        /// The own term.
        term: Term,
    },
    /// The append thread acknowledged entries that were written in a lower term; they may have been
    /// overwritten since, so nothing is concluded for the log.
    LowerTermAppendIgnored {
        /// The term of the acknowledgement.
        message_term: Term,
        /// The own term.
        term: Term,
    },
    /// The leader was sent something by a server that is not in the configuration.
    UnknownPeerIgnored {
        /// The sender.
        from: NodeId,
    },

    // ----- Proposals and membership -----
    /// A proposal was dropped. Not raised for [`DropReason::NotMember`].
    ProposalDropped {
        /// Why.
        reason: DropReason,
        /// The term.
        term: Term,
    },
    /// The leader puts an empty entry in place of a proposed change of membership.
    ConfChangeIgnored {
        /// The change.
        change: ProposedConfChange<'a>,
        /// The current configuration.
        config: &'a Configuration,
        /// Why.
        obstacle: ConfChangeObstacle,
    },
    /// The leader has proposed to leave the joint configuration, since it is to be left
    /// automatically.
    AutoLeaveProposed {
        /// The joint configuration.
        config: &'a Configuration,
    },
    /// The leader could not propose to leave the joint configuration; it will try again.
    AutoLeaveDropped {
        /// The joint configuration.
        config: &'a Configuration,
        /// Why.
        reason: DropReason,
    },
    /// A configuration is in force, by an applied change, by a snapshot or from the storage.
    ConfigurationSwitched {
        /// The new configuration.
        config: &'a Configuration,
    },

    // ----- The log of a follower -----
    /// An append conflicts with the own log at an index that is there already.
    ConflictFound {
        /// The index of the first conflict.
        index: Index,
        /// The own term there, zero if it was compacted.
        existing: Term,
        /// The leader's term there.
        conflicting: Term,
    },
    /// All entries that wait to become durable were replaced.
    UnstableReplaced {
        /// By entries from here on.
        from: Index,
    },
    /// Some of the entries that wait to become durable were replaced.
    UnstableTruncated {
        /// By entries from here on.
        from: Index,
    },
    /// An acknowledgement of durable entries does not match what waits.
    StableIgnored(StableMismatch),
    /// An append was refused, since the log does not hold the entry before it.
    AppendRefused {
        /// The sender of the append.
        from: NodeId,
        /// The entry before it.
        prev: EntryId,
        /// The own term at that index, zero if there is none.
        own_term: Term,
    },

    // ----- Progress of a follower, as its leader sees it -----
    /// A follower refused an append.
    AppendRefusalReceived {
        /// The follower.
        from: NodeId,
        /// The index that was refused.
        index: Index,
        /// The highest position at which the logs may agree.
        hint: EntryId,
    },
    /// The next entry to send to a follower went back.
    ProgressDecreased {
        /// The follower.
        peer: NodeId,
        /// After the decrease, before a change to probing.
        progress: &'a Progress,
    },
    /// A follower could not be reached.
    PeerUnreachable {
        /// The follower.
        peer: NodeId,
        /// After a change to probing.
        progress: &'a Progress,
    },

    // ----- Snapshots -----
    /// A follower needs a snapshot and is not sent one.
    SnapshotNotSent {
        /// The follower.
        to: NodeId,
        /// Why not.
        obstacle: SnapshotObstacle,
    },
    /// A snapshot is being sent.
    SnapshotSent {
        /// The follower.
        to: NodeId,
        /// The last entry of the snapshot.
        snapshot: EntryId,
        /// The first index of the own log.
        first_index: Index,
        /// The own commit index.
        commit: Index,
        /// Before the change to [`Snapshot`](crate::tracker::ProgressState::Snapshot).
        progress: &'a Progress,
    },
    /// Entries are not sent to a follower until it has the snapshot.
    ReplicationPaused {
        /// The follower.
        to: NodeId,
        /// After the change to [`Snapshot`](crate::tracker::ProgressState::Snapshot).
        progress: &'a Progress,
    },
    /// A follower that needed a snapshot can be sent entries again.
    SnapshotRecovered {
        /// The follower.
        peer: NodeId,
        /// With the new match, before the change of state.
        progress: &'a Progress,
    },
    /// The application reported what became of a snapshot.
    SnapshotReported {
        /// The follower.
        peer: NodeId,
        /// Whether it was not installed.
        failed: bool,
        /// After the change to probing, before the pause that follows it.
        progress: &'a Progress,
    },
    /// The log is about to be replaced by a snapshot. All positions are those from before.
    RestoreStarted {
        /// The last entry of the snapshot.
        snapshot: EntryId,
        /// The commit index.
        committed: Index,
        /// The applied index.
        applied: Index,
        /// The index up to which entries were handed out.
        applying: Index,
        /// The first index that is not known to be durable.
        unstable_offset: Index,
        /// The first index that was not handed out to be made durable.
        unstable_offset_in_progress: Index,
        /// The number of entries that are not known to be durable.
        unstable_entries: usize,
    },
    /// The log was replaced by a snapshot and the configuration of the snapshot is in force.
    Restored {
        /// The last entry of the snapshot.
        snapshot: EntryId,
        /// The commit index.
        commit: Index,
        /// The last entry of the log.
        last: EntryId,
    },
    /// The log holds all that the snapshot holds, so only the commit index follows.
    SnapshotFastForwarded {
        /// The last entry of the snapshot.
        snapshot: EntryId,
        /// The commit index, before.
        commit: Index,
        /// The last entry of the log.
        last: EntryId,
    },
    /// A snapshot was refused, since its configuration does not name this server.
    RestoreRefusedByMembership {
        /// The configuration of the snapshot.
        conf_state: &'a ConfState,
    },
    /// A message with a snapshot was dealt with.
    SnapshotHandled {
        /// Whether the snapshot replaced the log.
        restored: bool,
        /// The last entry of the snapshot.
        snapshot: EntryId,
        /// The commit index, after.
        commit: Index,
    },

    // ----- Handing over leadership -----
    /// The leader starts to hand over.
    TransferStarted {
        /// To whom.
        to: NodeId,
        /// The term.
        term: Term,
    },
    /// The leader gives up handing over, in favour of another request.
    TransferAborted {
        /// To whom it was.
        to: NodeId,
        /// The term.
        term: Term,
    },
    /// A request to hand over is ignored.
    TransferIgnored {
        /// To whom.
        to: NodeId,
        /// Why.
        obstacle: TransferObstacle,
        /// The term.
        term: Term,
    },
    /// The leader told its successor to start an election.
    TimeoutNowSent {
        /// The successor.
        to: NodeId,
        /// Whether its log was complete when the request came; otherwise it was brought up to date
        /// first.
        at_once: bool,
    },
    /// A follower was told to start an election.
    TimeoutNowReceived {
        /// By whom.
        from: NodeId,
        /// The term.
        term: Term,
    },
    /// A (pre-)candidate was told to start an election, and has one already.
    TimeoutNowIgnored {
        /// By whom.
        from: NodeId,
        /// The role.
        role: Role,
        /// The term.
        term: Term,
    },

    // ----- Reads -----
    /// A request to read was dropped, since no leader is known, or since it is this server's own that came back.
    ReadIndexDropped {
        /// The term.
        term: Term,
    },
}

impl Event<'_> {
    /// The name of the variant in small letters, such as `became_leader`: a label for metrics.
    pub fn name(&self) -> &'static str {
        match self {
            Event::Created { .. } => "created",
            Event::BecameFollower { .. } => "became_follower",
            Event::BecamePreCandidate { .. } => "became_pre_candidate",
            Event::BecameCandidate { .. } => "became_candidate",
            Event::BecameLeader { .. } => "became_leader",
            Event::CampaignRefused { .. } => "campaign_refused",
            Event::ElectionStarted { .. } => "election_started",
            Event::VoteRequested { .. } => "vote_requested",
            Event::VoteReceived { .. } => "vote_received",
            Event::VotesCounted { .. } => "votes_counted",
            Event::VoteRequestIgnored(_) => "vote_request_ignored",
            Event::VoteGranted(_) => "vote_granted",
            Event::VoteRefused(_) => "vote_refused",
            Event::QuorumLost => "quorum_lost",
            Event::LeaderForgotten { .. } => "leader_forgotten",
            Event::ForgetLeaderIgnored => "forget_leader_ignored",
            Event::HigherTermSeen { .. } => "higher_term_seen",
            Event::LowerTermIgnored { .. } => "lower_term_ignored",
            Event::LowerTermAppendIgnored { .. } => "lower_term_append_ignored",
            Event::UnknownPeerIgnored { .. } => "unknown_peer_ignored",
            Event::ProposalDropped { .. } => "proposal_dropped",
            Event::ConfChangeIgnored { .. } => "conf_change_ignored",
            Event::AutoLeaveProposed { .. } => "auto_leave_proposed",
            Event::AutoLeaveDropped { .. } => "auto_leave_dropped",
            Event::ConfigurationSwitched { .. } => "configuration_switched",
            Event::ConflictFound { .. } => "conflict_found",
            Event::UnstableReplaced { .. } => "unstable_replaced",
            Event::UnstableTruncated { .. } => "unstable_truncated",
            Event::StableIgnored(_) => "stable_ignored",
            Event::AppendRefused { .. } => "append_refused",
            Event::AppendRefusalReceived { .. } => "append_refusal_received",
            Event::ProgressDecreased { .. } => "progress_decreased",
            Event::PeerUnreachable { .. } => "peer_unreachable",
            Event::SnapshotNotSent { .. } => "snapshot_not_sent",
            Event::SnapshotSent { .. } => "snapshot_sent",
            Event::ReplicationPaused { .. } => "replication_paused",
            Event::SnapshotRecovered { .. } => "snapshot_recovered",
            Event::SnapshotReported { .. } => "snapshot_reported",
            Event::RestoreStarted { .. } => "restore_started",
            Event::Restored { .. } => "restored",
            Event::SnapshotFastForwarded { .. } => "snapshot_fast_forwarded",
            Event::RestoreRefusedByMembership { .. } => "restore_refused_by_membership",
            Event::SnapshotHandled { .. } => "snapshot_handled",
            Event::TransferStarted { .. } => "transfer_started",
            Event::TransferAborted { .. } => "transfer_aborted",
            Event::TransferIgnored { .. } => "transfer_ignored",
            Event::TimeoutNowSent { .. } => "timeout_now_sent",
            Event::TimeoutNowReceived { .. } => "timeout_now_received",
            Event::TimeoutNowIgnored { .. } => "timeout_now_ignored",
            Event::ReadIndexDropped { .. } => "read_index_dropped",
        }
    }
}
