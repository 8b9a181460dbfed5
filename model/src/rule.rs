//! The rules of the protocol by name: where each is from, and which function holds it.
//!
//! A step of the specification notes the rules that it applies ([`Step::rules`](crate::Step)). A divergence,
//! a counterexample and the Explorer name them, so that the reader knows where to look. A search notes
//! nothing.

use crate::ids::Id;
use crate::server::Server;
use crate::server::recorded::Point;
use std::fmt;

/// A function: the file, from the folder `src` of its package, and its name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place {
    /// The file.
    pub file: &'static str,
    /// The function.
    pub function: &'static str,
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.file, self.function)
    }
}

macro_rules! rules {
    ($($name:ident $says:literal, $section:literal,
        $spec_file:literal $spec:literal, $raft_file:literal $raft:literal, $etcd_file:literal $etcd:literal;)*) => {
        /// A rule of the protocol.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum Rule {
            $(#[doc = $says] $name,)*
        }

        impl Rule {
            /// Every rule.
            pub const ALL: &'static [Rule] = &[$(Rule::$name),*];

            /// Its name.
            pub const fn name(self) -> &'static str {
                match self { $(Rule::$name => stringify!($name),)* }
            }

            /// The rule in a few words.
            pub const fn says(self) -> &'static str {
                match self { $(Rule::$name => $says,)* }
            }

            /// The section of the paper or thesis; etcd's raft, where it goes beyond both.
            pub const fn section(self) -> &'static str {
                match self { $(Rule::$name => $section,)* }
            }

            /// The function of the specification.
            pub const fn specification(self) -> Place {
                match self { $(Rule::$name => Place { file: $spec_file, function: $spec },)* }
            }

            /// The function of the production Raft.
            pub const fn production(self) -> Place {
                match self { $(Rule::$name => Place { file: $raft_file, function: $raft },)* }
            }

            /// The function of etcd's raft v3.6.
            pub const fn etcd(self) -> Place {
                match self { $(Rule::$name => Place { file: $etcd_file, function: $etcd },)* }
            }
        }
    };
}

rules! {
    HigherTermFollowed "A message of a higher term makes the server a follower of that term.",
        "paper, section 5.1",
        "server/mod.rs" "catch_up_with_term", "core/mod.rs" "catch_up_with_term", "raft.go" "Step";
    StaleTermIgnored "A message of a lower term changes nothing.",
        "paper, section 5.1",
        "server/mod.rs" "answer_stale", "core/mod.rs" "answer_stale", "raft.go" "Step";
    StaleSenderTold "The sender of a stale append, heartbeat or pre-vote request learns of the term.",
        "etcd's raft; thesis, section 6.2",
        "server/mod.rs" "answer_stale", "core/mod.rs" "answer_stale", "raft.go" "Step";
    StrangerRefused "The response of a server that is no member is refused.",
        "etcd's raft",
        "server/mod.rs" "validate", "core/validate.rs" "validate", "rawnode.go" "Step";
    LeaseRefusesVote "A server in the lease of a leader ignores requests for votes.",
        "thesis, section 4.2.3",
        "server/election.rs" "lease_live", "core/election.rs" "lease_live", "raft.go" "Step";
    LeaseBegins "Hearing from the leader, or giving a vote, begins the lease.",
        "thesis, section 4.2.3",
        "server/election.rs" "renew_lease", "core/election.rs" "renew_lease", "raft.go" "stepFollower";
    LeaseExpires "A lease runs out.",
        "thesis, section 4.2.3",
        "server/election.rs" "expire_lease", "core/election.rs" "expire_lease", "raft.go" "tickElection";
    PreVoteFirst "A server whose timer fires asks first who would vote for it, at its own term.",
        "thesis, section 9.6",
        "server/election.rs" "become_pre_candidate", "core/election.rs" "become_pre_candidate",
        "raft.go" "becomePreCandidate";
    CampaignInNewTerm "A candidate enters a new term, votes for itself and asks all others.",
        "paper, section 5.2",
        "server/election.rs" "become_candidate", "core/election.rs" "become_candidate",
        "raft.go" "becomeCandidate";
    OneVotePerTerm "A server votes for at most one candidate in a term, and against no leader it knows.",
        "paper, section 5.2",
        "server/election.rs" "can_vote", "core/election.rs" "can_vote", "raft.go" "Step";
    UpToDateVote "A vote goes to a log that is at least as up-to-date as the voter's.",
        "paper, section 5.4.1",
        "server/election.rs" "is_up_to_date", "log/mod.rs" "is_up_to_date", "log.go" "isUpToDate";
    VoteAnswered "A request for a vote is answered; a pre-vote is granted at the term asked for.",
        "paper, figure 2; thesis, section 9.6",
        "server/election.rs" "handle_vote_request", "core/election.rs" "handle_vote_request",
        "raft.go" "Step";
    VoteCounted "A candidate counts the first answer of each server.",
        "paper, section 5.2",
        "server/election.rs" "handle_vote", "core/election.rs" "handle_vote", "raft.go" "poll";
    MajorityElects "The votes of a majority make a leader, or let a pre-candidate campaign.",
        "paper, section 5.2",
        "server/election.rs" "handle_vote", "core/election.rs" "handle_vote", "raft.go" "stepCandidate";
    LostElectionEnds "A candidate that can no longer win becomes a follower.",
        "etcd's raft",
        "server/election.rs" "handle_vote", "core/election.rs" "handle_vote", "raft.go" "stepCandidate";
    LeaderFollowed "Whoever hears from the leader of its term follows it.",
        "paper, section 5.2",
        "server/election.rs" "hear_from_leader", "core/mod.rs" "hear_from_leader",
        "raft.go" "stepFollower";
    NewLeaderAppends "A new leader knows nothing of its peers and appends an empty entry.",
        "paper, sections 5.3 and 8",
        "server/election.rs" "become_leader", "core/election.rs" "become_leader",
        "raft.go" "becomeLeader";
    CheckQuorum "A leader that hears from no majority for an election timeout steps down.",
        "thesis, section 6.2",
        "server/election.rs" "check_quorum", "core/leader.rs" "check_quorum",
        "raft.go" "stepLeader";
    DurableStateKept "A restart keeps term, vote, log and commit index, and nothing else.",
        "paper, figure 2",
        "server/mod.rs" "load_state", "core/mod.rs" "load_state", "raft.go" "loadState";
    ProposalAppended "A leader appends what a client proposes.",
        "paper, section 5.3",
        "server/mod.rs" "handle_proposal", "core/proposal.rs" "handle_proposal", "raft.go" "stepLeader";
    ProposalDropped "A server that does not lead, or is about to hand over, drops what a client proposes.",
        "etcd's raft",
        "server/mod.rs" "drop_proposal", "core/proposal.rs" "drop_proposal", "raft.go" "stepFollower";
    ProposalForwarded "A follower forwards what a client proposes to the leader that it knows.",
        "thesis, section 6.2",
        "server/mod.rs" "forward_proposal", "core/proposal.rs" "forward_proposal", "raft.go" "stepFollower";
    UncommittedLimited "A leader with too many uncommitted proposals refuses more.",
        "etcd's raft",
        "server/mod.rs" "has_room", "core/proposal.rs" "has_room", "raft.go" "increaseUncommittedSize";
    TransferForwarded "A follower passes a request for another leader on to its leader.",
        "etcd's raft",
        "server/transfer.rs" "handle_transfer", "core/transfer.rs" "handle_transfer",
        "raft.go" "stepFollower";
    TransferBegins "A leader that hands over brings the transferee up to date.",
        "thesis, section 3.10",
        "server/transfer.rs" "begin_transfer", "core/transfer.rs" "begin_transfer", "raft.go" "stepLeader";
    TimeoutNowSent "A transferee whose log is complete is told to campaign.",
        "thesis, section 3.10",
        "server/transfer.rs" "maybe_hand_over", "core/transfer.rs" "maybe_hand_over",
        "raft.go" "sendTimeoutNow";
    TimeoutNowObeyed "A follower that its leader tells to campaign does so at once, past leases.",
        "thesis, sections 3.10 and 4.2.3",
        "server/transfer.rs" "timeout_now", "core/transfer.rs" "timeout_now", "raft.go" "hup";
    TransferGivenUp "A transfer ends after an election timeout, or when another is asked for.",
        "thesis, section 3.10",
        "server/transfer.rs" "give_up_transfer", "core/transfer.rs" "give_up_transfer",
        "raft.go" "abortLeaderTransfer";
    LeaderForgotten "A follower that is told to forgets its leader and the lease.",
        "etcd's raft",
        "server/transfer.rs" "forget_leader", "core/mod.rs" "forget_leader",
        "raft.go" "stepFollower";
    LogCompacted "A snapshot stands for all that is applied, and the log begins behind it.",
        "paper, section 7",
        "server/snapshot.rs" "compact", "storage/memory.rs" "compact", "storage.go" "Compact";
    SnapshotSent "A peer that needs entries which are gone is sent the snapshot.",
        "paper, section 7",
        "server/snapshot.rs" "maybe_send_snapshot", "core/replication.rs" "maybe_send_snapshot",
        "raft.go" "maybeSendSnapshot";
    SilentPeerSpared "A peer that was not heard from lately is sent no snapshot.",
        "etcd's raft",
        "server/snapshot.rs" "maybe_send_snapshot", "core/replication.rs" "maybe_send_snapshot",
        "raft.go" "maybeSendSnapshot";
    SnapshotAnswered "A snapshot is acknowledged; one that is committed already, or is for others, changes nothing.",
        "paper, figure 13",
        "server/snapshot.rs" "handle_snapshot", "core/snapshot.rs" "handle_snapshot",
        "raft.go" "handleSnapshot";
    MatchingLogKept "A log that has the last entry of a snapshot is kept, and commits up to there.",
        "paper, figure 13",
        "server/snapshot.rs" "restore", "core/snapshot.rs" "restore", "raft.go" "restore";
    LogReplaced "A snapshot with a last entry that the log does not have replaces the log.",
        "paper, figure 13",
        "server/snapshot.rs" "restore", "core/snapshot.rs" "restore", "raft.go" "restore";
    SnapshotReported "A peer whose snapshot was reported is probed, behind the snapshot if it arrived.",
        "etcd's raft",
        "server/progress.rs" "snapshot_reported", "tracker/progress.rs" "snapshot_reported",
        "raft.go" "stepLeader";
    UnreachableProbed "A peer that could not be reached is probed.",
        "etcd's raft",
        "server/progress.rs" "unreachable", "tracker/progress.rs" "unreachable", "raft.go" "stepLeader";
    VoterCampaigns "Only a voter campaigns, and only with its committed changes applied.",
        "etcd's raft; thesis, section 4.2.2",
        "server/membership.rs" "may_campaign", "core/election.rs" "may_campaign", "raft.go" "hup";
    ChangeAppended "A leader appends a change of the configuration that a client proposes.",
        "paper, section 6",
        "server/mod.rs" "handle_proposal", "core/proposal.rs" "handle_proposal",
        "raft.go" "stepLeader";
    ChangeBecomesEmpty "A change that comes before the last one is applied, or does not fit, becomes an empty entry.",
        "thesis, section 4.1",
        "server/membership.rs" "check_changes", "core/proposal.rs" "check_changes", "raft.go" "stepLeader";
    NewLeaderWaits "A new leader takes no change before it has applied all that it had.",
        "thesis, section 4.1; etcd's raft",
        "server/election.rs" "become_leader", "core/election.rs" "become_leader",
        "raft.go" "becomeLeader";
    ChangeTakesEffect "A change takes effect when it is applied.",
        "paper, section 6; etcd's raft",
        "server/membership.rs" "apply_conf_change", "core/membership.rs" "apply_conf_change",
        "raft.go" "applyConfChange";
    JointEntered "What needs a majority needs one of the old and one of the new voters.",
        "paper, section 6",
        "configuration.rs" "enter_joint", "confchange/changer.rs" "enter_joint", "confchange/confchange.go" "EnterJoint";
    JointLeft "The old voters go, and who was to learn afterwards learns.",
        "paper, section 6",
        "configuration.rs" "leave_joint", "confchange/changer.rs" "leave_joint", "confchange/confchange.go" "LeaveJoint";
    AutoLeave "Whoever leads proposes to leave a joint configuration that leaves itself, once it is applied.",
        "paper, section 6",
        "server/membership.rs" "leave_joint_if_due", "core/membership.rs" "leave_joint_if_due",
        "raft.go" "appliedTo";
    NewMemberProbed "A leader probes who is new at the end of its log, and counts it as active.",
        "etcd's raft; thesis, section 4.2.1",
        "server/membership.rs" "track", "confchange/changer.rs" "track",
        "confchange/confchange.go" "initProgress";
    QuorumShrinks "A leader commits at once what the quorum of a new configuration has.",
        "etcd's raft",
        "server/membership.rs" "switch_to", "core/membership.rs" "switch_to", "raft.go" "switchToConfig";
    RemovedLeader "A leader that applied its removal steps down if it is set up so, or no longer counts itself.",
        "thesis, section 4.2.2",
        "server/membership.rs" "switch_to", "core/membership.rs" "switch_to", "raft.go" "switchToConfig";
    ResponseWaits "A vote or acknowledgement waits until what it speaks of is durable.",
        "paper, figure 2; thesis, section 3.8",
        "server/mod.rs" "send", "core/mod.rs" "send", "raft.go" "send";
    AppendHandedOver "Term, vote, commit index, entries and snapshot that are new are one write.",
        "thesis, section 3.8; etcd's raft",
        "server/storage.rs" "hand_over", "core/output.rs" "hand_over",
        "rawnode.go" "newStorageAppendMsg";
    WaitingLeave "What waited for an append leaves when it is durable, and the server hears itself.",
        "thesis, section 3.8",
        "server/storage.rs" "hand_over", "core/output.rs" "hand_over", "rawnode.go" "newStorageAppendMsg";
    StorageAcknowledged "Entries that storage acknowledges in their term are durable for good.",
        "etcd's raft",
        "server/storage.rs" "handle_storage_append", "core/mod.rs" "handle_storage_append",
        "log_unstable.go" "stableTo";
    LateAcknowledgementIgnored "What storage acknowledges in a later term says nothing of the entries.",
        "etcd's raft",
        "server/storage.rs" "handle_storage_append", "core/mod.rs" "handle_storage_append", "raft.go" "Step";
    SnapshotDurable "A snapshot that is durable is applied, in whatever term.",
        "etcd's raft",
        "server/storage.rs" "handle_storage_append", "core/mod.rs" "handle_storage_append",
        "raft.go" "appliedSnap";
    OwnEntriesCounted "A leader counts its own entries once they are durable.",
        "thesis, section 10.2.1",
        "server/replication.rs" "maybe_commit", "core/replication.rs" "maybe_commit", "raft.go" "appendEntry";
    OwnVoteFirst "A candidate does not lead before its own term and vote are durable.",
        "paper, figure 2; thesis, section 3.8",
        "server/election.rs" "handle_vote", "core/election.rs" "handle_vote",
        "raft.go" "campaign";
    DurableApplied "Only entries that are committed and durable are applied, and none before a snapshot.",
        "etcd's raft",
        "server/storage.rs" "max_appliable", "log/mod.rs" "max_appliable",
        "log.go" "maxAppliableIndex";
    AppendSent "A leader sends a peer what it lacks, with the entry before it.",
        "paper, section 5.3",
        "server/replication.rs" "maybe_send_append", "core/replication.rs" "maybe_send_append",
        "raft.go" "maybeSendAppend";
    PausedPeerSkipped "No append goes to a peer that is held back until it answers.",
        "thesis, section 10.2.1",
        "server/progress.rs" "is_paused", "tracker/progress.rs" "is_paused",
        "tracker/progress.go" "IsPaused";
    FullWindowProbed "A full window lets only appends without entries through.",
        "etcd's raft",
        "server/progress.rs" "is_full", "tracker/inflights.rs" "is_full",
        "tracker/inflights.go" "Full";
    SentAhead "What is sent ahead is on its way until it is acknowledged, and a probe waits for its answer.",
        "thesis, section 10.2.1",
        "server/progress.rs" "sent_entries", "tracker/progress.rs" "sent_entries",
        "tracker/progress.go" "SentEntries";
    HeartbeatSent "A heartbeat tells a peer no commit index beyond its match.",
        "paper, section 5.2; etcd's raft",
        "server/replication.rs" "broadcast_heartbeat", "core/replication.rs" "broadcast_heartbeat",
        "raft.go" "sendHeartbeat";
    HeartbeatAnswered "A heartbeat is answered, and its commit index is taken.",
        "paper, section 5.2",
        "server/replication.rs" "handle_heartbeat", "core/follower.rs" "handle_heartbeat", "raft.go" "handleHeartbeat";
    HeartbeatResumes "The answer to a heartbeat lets a peer that was held back have what it lacks.",
        "paper, section 5.3",
        "server/replication.rs" "handle_heartbeat_response", "core/leader.rs" "handle_heartbeat_response",
        "raft.go" "stepLeader";
    CommittedNotChecked "An append from before the commit index is acknowledged with the commit index.",
        "etcd's raft",
        "server/replication.rs" "handle_append", "core/follower.rs" "handle_append",
        "raft.go" "handleAppendEntries";
    PreviousEntryChecked "An append is taken only if the entry before it matches.",
        "paper, section 5.3",
        "server/replication.rs" "handle_append", "core/follower.rs" "handle_append",
        "raft.go" "handleAppendEntries";
    ConflictOverwritten "Entries that conflict are deleted with all that follow, and only those.",
        "paper, section 5.3",
        "server/log.rs" "maybe_append", "log/mod.rs" "maybe_append", "log.go" "maybeAppend";
    ConflictHint "A refusal names the highest position at which the logs can agree.",
        "paper, section 5.3",
        "server/log.rs" "find_conflict_by_term", "log/mod.rs" "find_conflict_by_term",
        "log.go" "findConflictByTerm";
    CommitAsProved "A follower commits what the leader has committed, as far as the append proves it.",
        "paper, section 5.3 and figure 2",
        "server/replication.rs" "commit_to", "log/mod.rs" "commit_to", "log.go" "commitTo";
    MatchAcknowledged "An acknowledgement raises the match, and ends a probe.",
        "paper, section 5.3",
        "server/progress.rs" "maybe_update", "tracker/progress.rs" "maybe_update",
        "tracker/progress.go" "MaybeUpdate";
    WindowFreed "An acknowledgement frees what it covers of the window.",
        "thesis, section 10.2.1",
        "server/progress.rs" "free_up_to", "tracker/inflights.rs" "free_up_to",
        "tracker/inflights.go" "FreeLE";
    ActivityNoted "A peer that answers is active.",
        "thesis, section 6.2",
        "server/replication.rs" "handle_heartbeat_response", "core/leader.rs" "handle_heartbeat_response",
        "raft.go" "stepLeader";
    CommitByMajority "A leader commits what a majority has, if the entry is of its own term.",
        "paper, sections 5.3 and 5.4.2",
        "server/replication.rs" "maybe_commit", "core/replication.rs" "maybe_commit",
        "raft.go" "maybeCommit";
    CommitTold "A commit is told to every peer that is not held back.",
        "paper, section 5.3",
        "server/replication.rs" "handle_acknowledgement", "core/leader.rs" "handle_acknowledgement",
        "raft.go" "stepLeader";
    CommitCaughtUp "A peer that can commit more than it was told is told.",
        "etcd's raft",
        "server/progress.rs" "can_bump_commit", "tracker/progress.rs" "can_bump_commit",
        "tracker/progress.go" "CanBumpCommit";
    RejectionBacksOff "A refusal makes the leader probe where the logs can agree.",
        "paper, section 5.3",
        "server/progress.rs" "maybe_decrease_to", "tracker/progress.rs" "maybe_decrease_to",
        "tracker/progress.go" "MaybeDecrTo";
    ReadForwarded "A follower passes a read on to the leader that it knows.",
        "thesis, section 6.4",
        "server/reads.rs" "forward_read", "core/follower.rs" "forward_read", "raft.go" "stepFollower";
    ReadRefused "A server that knows no leader answers no read.",
        "etcd's raft",
        "server/reads.rs" "forward_read", "core/follower.rs" "forward_read", "raft.go" "stepFollower";
    ReadPostponed "A read waits until the leader has committed an entry of its term.",
        "thesis, section 6.4",
        "server/reads.rs" "read_index", "core/reads.rs" "read_index", "raft.go" "stepLeader";
    ReadsReleased "The first commit of the term takes up the reads that waited for it.",
        "thesis, section 6.4",
        "server/reads.rs" "release_postponed_reads", "core/reads.rs" "release_postponed_reads",
        "raft.go" "releasePendingReadIndexMessages";
    ReadAlone "A leader that is a quorum by itself answers at once.",
        "etcd's raft",
        "server/reads.rs" "start_read", "core/reads.rs" "start_read", "raft.go" "stepLeader";
    RoundBegins "A read begins a round of heartbeats, which has the number of the read.",
        "thesis, section 6.4; etcd's raft",
        "server/reads.rs" "begin_round", "core/reads.rs" "begin_round", "raft.go" "sendMsgReadIndexResponse";
    RoundAnswered "The answer to a heartbeat of a round counts for this round and those before.",
        "thesis, section 6.4; etcd's raft",
        "server/reads.rs" "acknowledge_read", "core/reads.rs" "acknowledge_read", "read_only.go" "recvAck";
    RoundConfirmed "A read that a quorum has confirmed is answered, with all before it.",
        "thesis, section 6.4",
        "server/reads.rs" "acknowledge_read", "core/reads.rs" "acknowledge_read", "read_only.go" "recvAck";
    RoundsRecounted "A change of the configuration answers the reads that it makes confirmed.",
        "thesis, sections 6.4 and 4.1",
        "server/reads.rs" "recount_reads", "core/reads.rs" "recount_reads", "raft.go" "switchToConfig";
    ReadsGivenUp "A server tells its clients which reads end with the leadership.",
        "Lockstep; etcd's raft tells nobody",
        "server/reads.rs" "give_up_reads", "core/reads.rs" "give_up_reads", "raft.go" "reset";
    ReadAnswered "The answer to a read is the commit index that the leader had when it took the read.",
        "thesis, section 6.4",
        "server/reads.rs" "answer_read", "core/reads.rs" "answer_read", "raft.go" "responseToReadIndexReq";
    ReadResponseTaken "A follower hands its client the answer of the leader.",
        "thesis, section 6.4",
        "server/reads.rs" "take_answer", "core/reads.rs" "take_answer",
        "raft.go" "stepFollower";
    LateAnswerIgnored "An answer that no read waits for is ignored.",
        "Lockstep; etcd's raft hands it on",
        "server/reads.rs" "take_answer", "core/reads.rs" "take_answer",
        "raft.go" "stepFollower";
    ReturnedReadIgnored "A read of an own client that comes back from another server was given up.",
        "Lockstep; etcd's raft takes it up",
        "server/reads.rs" "is_returned_read", "core/reads.rs" "is_returned_read", "raft.go" "stepLeader";
    LeaseRead "A leader with a lease answers a read at once.",
        "thesis, section 6.4.1",
        "server/reads.rs" "confirm_read", "core/reads.rs" "confirm_read",
        "raft.go" "sendMsgReadIndexResponse";
    LeaseGivenUp "A leader that has told a server to campaign answers no reads by lease.",
        "thesis, sections 6.4.1 and 4.2.3",
        "server/reads.rs" "has_lease", "core/reads.rs" "has_lease",
        "raft.go" "sendMsgReadIndexResponse";
    LeaseLapsed "A leader that votes no more, or that no quorum has answered lately, asks before it answers a read.",
        "thesis, section 6.4.1",
        "server/reads.rs" "has_lease", "core/reads.rs" "has_lease",
        "raft.go" "sendMsgReadIndexResponse";
    StaleRejectionIgnored "An old refusal changes nothing.",
        "etcd's raft",
        "server/progress.rs" "maybe_decrease_to", "tracker/progress.rs" "maybe_decrease_to",
        "tracker/progress.go" "MaybeDecrTo";
}

/// The texts that hold the rules.
const SOURCES: &[(&str, &str)] = &[
    ("server/mod.rs", include_str!("server/mod.rs")),
    ("server/election.rs", include_str!("server/election.rs")),
    (
        "server/replication.rs",
        include_str!("server/replication.rs"),
    ),
    ("configuration.rs", include_str!("configuration.rs")),
    ("server/membership.rs", include_str!("server/membership.rs")),
    ("server/progress.rs", include_str!("server/progress.rs")),
    ("server/snapshot.rs", include_str!("server/snapshot.rs")),
    ("server/storage.rs", include_str!("server/storage.rs")),
    ("server/transfer.rs", include_str!("server/transfer.rs")),
    ("server/log.rs", include_str!("server/log.rs")),
    ("server/reads.rs", include_str!("server/reads.rs")),
];

impl Rule {
    /// The function of the specification that holds the rule, as it stands in its file, with its documentation.
    pub fn code(self) -> &'static str {
        let Place { file, function } = self.specification();
        let text = SOURCES.iter().find(|(name, _)| *name == file);
        text.and_then(|(_, text)| function_in(text, function))
            .unwrap_or_default()
    }
}

/// The lines of a function: those of its documentation, and those up to the bracket that closes it, which stands
/// where the function begins.
fn function_in(text: &'static str, name: &str) -> Option<&'static str> {
    let begins = format!("fn {name}(");
    let line = text[..text.find(&begins)?].rfind('\n')? + 1;
    let indent = text[line..].chars().take_while(|it| *it == ' ').count();
    let close = format!("\n{}}}\n", " ".repeat(indent));
    let end = line + text[line..].find(&close)? + close.len();
    let mut start = line;
    while let Some(before) = text[..start - 1].rfind('\n').map(|at| at + 1) {
        if !text[before..start].trim_start().starts_with("///") {
            break;
        }
        start = before;
    }
    Some(&text[start..end])
}

/// A set of rules.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct RuleSet(u128);

const _: () = assert!(Rule::ALL.len() <= 128, "a rule is a bit");

impl RuleSet {
    /// Whether a rule is in the set.
    pub const fn contains(self, rule: Rule) -> bool {
        self.0 & 1 << rule as u32 != 0
    }

    /// Whether there is none.
    pub const fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// The rules, in order.
    pub fn iter(self) -> impl Iterator<Item = Rule> {
        Rule::ALL
            .iter()
            .copied()
            .filter(move |rule| self.contains(*rule))
    }
}

/// A listener for the rules that a step applies.
pub(crate) trait Notes {
    fn note(&mut self, rule: Rule);

    /// The server is at a point of its input that a recorder of a run sees.
    #[inline(always)]
    fn see(&mut self, _: Point<'_>, _: &Server) {}

    /// The most entries of the next append to a peer: Raft leaves open how many it carries.
    #[inline(always)]
    fn most_entries(&mut self, _: Id) -> usize {
        usize::MAX
    }

    /// The index up to which storage no longer has the entries, and that of the snapshot that stands for them, if the
    /// application keeps more behind its snapshot than the specification does, which drops them all.
    #[inline(always)]
    fn kept_behind(&self) -> Option<(u32, u32)> {
        None
    }
}

/// Nobody wants to know: compiles to nothing.
pub(crate) struct Unnoted;

impl Notes for Unnoted {
    #[inline(always)]
    fn note(&mut self, _: Rule) {}
}

impl Notes for RuleSet {
    fn note(&mut self, rule: Rule) {
        self.0 |= 1 << rule as u32;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_rule_has_its_code() {
        for rule in Rule::ALL {
            let code = rule.code();
            let begins = format!("fn {}(", rule.specification().function);
            assert!(code.contains(&begins), "{}: {code}", rule.name());
            assert_eq!(
                code.matches('{').count(),
                code.matches('}').count(),
                "{code}"
            );
        }
        assert_eq!(function_in("\nfn other() {\n}\n", "lost"), None);
        let code = Rule::UpToDateVote.code();
        assert!(
            code.trim_start().starts_with("/// \"The voter denies"),
            "{code}"
        );
        assert!(
            code.ends_with("last >= self.i.log.last()\n    }\n"),
            "{code}"
        );
    }
}
