//! The table of fields: every field of a view, of what leaves a server, and of every message, with its names and
//! with the way in which it is compared. Each line makes the field, and from the lines come [`Field`], comparing
//! and printing ([`Pairs`]), the JSON Schema, and the map of names in `traces/README.md`.
//!
//! A new field is a line here. The compiler then names every place that has to provide its value.

use crate::config::is_default;
use crate::table::{compared, messages, named};
use crate::view::{each_server_once, present};
use crate::{Configuration, Index, Outcome, Payload, ProgressState, Role, ServerId, Show, Term};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

compared! {
    /// The whole state of one server, as far as the specification speaks of it.
    ///
    /// State that a role does not have is empty there: votes exist at (pre-)candidates, peers at leaders, a
    /// lease at followers. So equal behaviour gives equal views. The default is a server that has just started.
    #[derive(Default)]
    State NodeView = ("Server", "view", "Status") {
        /// Its role.
        role: Role = ("role", "role", "SoftState.RaftState") => whole Role "role";
        /// Its term.
        term: Term = ("term", "term", "HardState.term") => whole Term "term";
        /// The server that it voted for in this term.
        #[serde(deserialize_with = "present")]
        vote: Option<ServerId> = ("vote", "vote", "HardState.vote") => whole Vote "vote";
        /// The leader that it knows of in this term; itself, if it leads.
        #[serde(deserialize_with = "present")]
        leader: Option<ServerId> = ("leader", "leader", "SoftState.Lead") => whole Leader "leader";
        /// All entries of its log, the first at index one, or behind the snapshot if there is one.
        log: Vec<Entry> = ("log", "log", "Entry") => whole Log "log";
        /// The snapshot that stands for the entries before the log.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        snapshot: Option<Snapshot> = ("log.snapshot", "snapshot", "Snapshot") => whole Snapshot "snapshot";
        /// Its commit index.
        commit: Index = ("commit", "commit", "HardState.commit") => whole Commit "commit";
        /// The index up to which its application has applied.
        applied: Index = ("commit", "applied", "Status.Applied") => whole Applied "applied";
        /// At a follower that knows a leader, with CheckQuorum: less than one election timeout has passed
        /// since it heard from that leader. False everywhere else.
        lease: bool = ("lease", "lease", "–") => whole Lease "lease";
        /// At a (pre-)candidate: the answers it has counted, its own among them; true is a grant.
        #[serde(deserialize_with = "each_server_once")]
        votes: BTreeMap<ServerId, bool>
            = ("granted, refused", "votes", "ProgressTracker.Votes") => whole Votes "votes";
        /// At a leader: what it knows of every other server.
        #[serde(deserialize_with = "each_server_once")]
        peers: BTreeMap<ServerId, PeerView> = ("peers", "peers", "Status.Progress") => each;
        /// At a leader: to whom it is transferring leadership.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        transferee: Option<ServerId>
            = ("transferee", "transferee", "Status.LeadTransferee") => whole Transferee "transferee";
        /// At a leader with a limit of uncommitted proposals: how many it counts.
        #[serde(default, skip_serializing_if = "is_default")]
        uncommitted: u64
            = ("uncommitted", "uncommitted", "raft.uncommittedSize") => whole Uncommitted "uncommitted";
        /// The configuration that it uses: that of its applied index. Empty where the configuration does not change.
        #[serde(default, skip_serializing_if = "Configuration::is_empty")]
        configuration: Configuration
            = ("configuration", "configuration", "ProgressTracker.Config") => whole Configuration "configuration";
        /// At a leader of a cluster whose configuration may change: the index that has to be applied before it takes
        /// another change; zero if that is done.
        #[serde(default, skip_serializing_if = "is_default")]
        pending_conf_index: Index
            = ("pending_conf_index", "pending_conf_index", "raft.pendingConfIndex")
            => whole PendingConfIndex "pending_conf_index";
        /// At a leader: reads that wait until it has committed an entry of its term, in the order in which they came. In
        /// etcd's raft they outlive the leadership.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        postponed_reads: Vec<ReadRequest>
            = ("reads.postponed", "postponed_reads", "raft.pendingReadIndexMessages")
            => whole PostponedReads "postponed_reads";
        /// At a leader: reads that wait until a round of heartbeats has confirmed that it leads, in the order in which they
        /// came.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        unconfirmed_reads: Vec<UnconfirmedRead>
            = ("reads.unconfirmed", "unconfirmed_reads", "readOnly.unconfirmedReads, .acks")
            => whole UnconfirmedReads "unconfirmed_reads";
        /// At a leader: how many reads rounds of heartbeats have confirmed in its term.
        #[serde(default, skip_serializing_if = "is_default")]
        confirmed_reads: u64
            = ("reads.confirmed", "confirmed_reads", "readOnly.confirmedReads")
            => whole ConfirmedReads "confirmed_reads";
        /// At a leader that answers reads by lease: it has told a server to campaign in this term, and so has no lease any
        /// more.
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        handed_over: bool = ("reads.handed_over", "handed_over", "–") => whole HandedOver "handed_over";
        /// At a follower: the contexts of the reads of its own clients that it passed on to its leader, in the order in which
        /// they came.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        forwarded_reads: Vec<u64>
            = ("reads.forwarded", "forwarded_reads", "–") => whole ForwardedReads "forwarded_reads";
        /// The state that a crash would leave: with asynchronous storage at least, for outstanding appends may be kept.
        durable: DurableImage = ("–", "durable", "Storage") => whole Durable "durable";
        /// With asynchronous storage: the index up to which the server knows that its entries are durable. Others may be.
        #[serde(default, skip_serializing_if = "is_default")]
        stable: Index = ("storage.stable", "stable", "unstable.offset") => whole Stable "stable";
        /// With asynchronous storage: the index of a snapshot that the server does not know to be durable.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        unstable_snapshot: Option<Index>
            = ("storage.unstable_snapshot", "unstable_snapshot", "unstable.snapshot")
            => whole UnstableSnapshot "unstable_snapshot";
        /// At a leader with asynchronous storage: the index up to which it counts its own entries.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        own_match: Option<Index>
            = ("peers", "own_match", "Progress.Match") => whole OwnMatch "own_match";
        /// The outstanding appends, oldest first.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        appends: Vec<Append>
            = ("storage.appends", "appends", "MsgStorageAppend") => whole Appends "appends";
        /// The last index of every outstanding apply, oldest first.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        applies: Vec<Index>
            = ("storage.applies", "applies", "MsgStorageApply") => whole Applies "applies";
    }

    /// A leader's view of one peer.
    Peer PeerView = ("Progress", "peers", "tracker.Progress") {
        /// Highest index known to be replicated there.
        matched: Index = ("matched", "match", "Progress.Match") => whole Match "match";
        /// Index of the next entry to send.
        next: Index = ("next", "next", "Progress.Next") => whole Next "next";
        /// Probe, Replicate or Snapshot.
        state: ProgressState
            = ("flow", "state", "Progress.State") => whole ProgressState "progress_state";
        /// Appends are held back until the peer answers.
        paused: bool = ("paused", "paused", "Progress.IsPaused") => whole Paused "paused";
        /// The peer was heard from since the last quorum check.
        recent_active: bool = ("recent_active", "recent_active", "Progress.RecentActive")
            => whole RecentActive "recent_active";
        /// The highest commit index that was sent to the peer.
        commit_sent: Index = ("commit_sent", "commit_sent", "Progress.sentCommit")
            => whole CommitSent "commit_sent";
        /// The last index of every append with entries that is on its way, oldest first. A target may show their
        /// number only.
        inflight: Vec<Index> = ("inflight", "inflight", "Progress.Inflights")
            => list InflightCount "inflight_count", Inflight "inflight";
        /// In state Snapshot: the index of the snapshot that is on its way.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        pending_snapshot: Option<Index> = ("pending_snapshot", "pending_snapshot", "Progress.PendingSnapshot")
            => whole PendingSnapshot "pending_snapshot";
    }

    /// Everything that left a server because of an input. The default is an input that was accepted and sent nothing.
    #[derive(Default)]
    Output Output = ("Step", "–", "Ready") {
        /// The outcome that the caller was told.
        outcome: Outcome = ("outcome", "outcome", "error") => outcome Outcome "outcome";
        /// The messages to other servers, in any order. Never one to itself.
        sent: Vec<Emitted> = ("sent", "sent", "Ready.Messages")
            => messages Messages "messages", AfterPersist "after_persist";
        /// The committed entries that the application was handed, in this order.
        handed: Vec<Handed> = ("–", "handed", "Ready.CommittedEntries") => whole Handed "handed";
        /// The reads of clients of this server that are answered or given up, in this order.
        read_states: Vec<ReadState> = ("read_states", "read_states", "Ready.ReadStates") => whole ReadStates "read_states";
    }
}

named! {
    /// The state of the server that survives a crash.
    #[derive(Default)]
    DurableImage = ("Server", "durable", "Storage") {
        /// The durable term.
        term: Term = ("term", "term", "HardState.term");
        /// The durable vote in that term.
        #[serde(deserialize_with = "present")]
        vote: Option<ServerId> = ("vote", "vote", "HardState.vote");
        /// The durable commit index.
        commit: Index = ("commit", "commit", "HardState.commit");
        /// The durable log.
        log: Vec<Entry> = ("log", "log", "Entry");
        /// The durable snapshot.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        snapshot: Option<Snapshot> = ("log.snapshot", "snapshot", "Snapshot");
    }

    /// An outstanding append: one write to storage, all of it or nothing, and what follows when it is durable.
    #[derive(Default)]
    Append = ("Append", "appends", "MsgStorageAppend") {
        /// Term, vote and commit index, if they are to be written.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        hard_state: Option<HardState> = ("hard_state", "hard_state", "term, vote, commit");
        /// The snapshot that replaces the log.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        snapshot: Option<Snapshot> = ("snapshot", "snapshot", "snapshot");
        /// The index of the first entry to be written; zero if there is none. Entries from there on are replaced.
        #[serde(default, skip_serializing_if = "is_default")]
        first: Index = ("first", "first", "entries[0].index");
        /// The entries to be written.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        entries: Vec<Entry> = ("entries", "entries", "entries");
        /// The messages that wait for it: those to others, which then leave, and those to the server itself.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        responses: Vec<Message> = ("responses", "responses", "responses");
        /// The acknowledgement that storage then gives.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        acknowledges: Option<StorageAcknowledgement>
            = ("acknowledges", "acknowledges", "MsgStorageAppendResp");
    }

    /// The state that is written beside the log.
    #[derive(Copy, Default)]
    HardState = ("HardState", "hard_state", "HardState") {
        /// The term.
        term: Term = ("term", "term", "term");
        /// The vote in that term.
        #[serde(deserialize_with = "present")]
        vote: Option<ServerId> = ("vote", "vote", "vote");
        /// The commit index.
        commit: Index = ("commit", "commit", "commit");
    }

    /// The acknowledgement by which a server learns what of its log is durable.
    #[derive(Copy, Default)]
    StorageAcknowledgement = ("Acknowledgement", "acknowledges", "MsgStorageAppendResp") {
        /// The term of the server when it handed the append over: in a later term its entries count for nothing.
        term: Term = ("term", "term", "term");
        /// The index of the last entry at that time; zero if all were known to be durable.
        #[serde(default, skip_serializing_if = "is_default")]
        last_index: Index = ("last.index", "last_index", "index");
        /// The term of that entry.
        #[serde(default, skip_serializing_if = "is_default")]
        last_term: Term = ("last.term", "last_term", "logTerm");
        /// The index of the snapshot that was written.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        snapshot: Option<Index> = ("snapshot", "snapshot", "snapshot");
    }

    /// The state of the application at an index, which stands for all entries up to there (paper, section 7).
    Snapshot = ("Position", "snapshot", "SnapshotMetadata") {
        /// The index of the last entry that it stands for.
        index: Index = ("index", "index", "index");
        /// The term of that entry.
        term: Term = ("term", "term", "term");
        /// The configuration at that index.
        configuration: Configuration = ("configuration", "configuration", "conf_state");
    }

    /// One entry of the log. Its index is its position.
    Entry = ("Entry", "log, entries", "Entry") {
        /// The term of the leader that created it.
        term: Term = ("term", "term", "term");
        /// Its payload.
        payload: Payload = ("payload", "payload", "data");
    }

    /// A committed entry that a server handed to its application.
    Handed = ("–", "handed", "Entry") {
        /// The index that the server gave for it.
        index: Index = ("–", "index", "index");
        /// The entry.
        entry: Entry = ("–", "entry", "Entry");
    }

    /// A read, and where it was asked for.
    ReadRequest = ("Request", "postponed_reads", "Message") {
        /// The server whose client reads.
        origin: ServerId = ("origin", "origin", "from");
        /// The context by which the client knows the answer.
        context: u64 = ("context", "context", "entries.data");
    }

    /// A read that waits for a round of heartbeats.
    UnconfirmedRead = ("Unconfirmed", "unconfirmed_reads", "readIndexRequest") {
        /// The server whose client reads.
        origin: ServerId = ("request.origin", "origin", "req.from");
        /// The context by which the client knows the answer.
        context: u64 = ("request.context", "context", "req.entries.data");
        /// The answer: the commit index of the leader when the read came.
        index: Index = ("index", "index", "index");
        /// The servers that have answered its round or a later one, the leader among them.
        acks: BTreeSet<ServerId> = ("acks", "acks", "readOnly.acks");
    }

    /// The fate of a read: the answer, or that it is given up.
    ReadState = ("ReadState", "read_states", "ReadState") {
        /// The context by which the client knows it.
        context: u64 = ("context", "context", "RequestCtx");
        /// The answer: what is current once everything up to this index is applied. None if the read is given up.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        index: Option<Index> = ("index", "index", "Index");
    }

    /// A message that a server sent, and whether it had to wait for the server's state to be durable.
    Emitted = ("Message", "sent", "–") {
        /// The message.
        message: Message = ("Message", "message", "Message");
        /// It may not leave before the state and the entries of the same step are durable. Never with asynchronous
        /// storage: there it leaves once they are.
        after_persist: bool = ("after_persist()", "after_persist", "MsgStorageAppend.responses");
    }

    /// A message between two servers. Fields that a kind of message leaves unused in raftpb are not here:
    /// a target that sends them non-zero has to say so.
    Message = ("Message", "message", "Message") {
        /// The sender.
        from: ServerId = ("from", "from", "from");
        /// The recipient.
        to: ServerId = ("to", "to", "to");
        /// The term that the message carries: the sender's, except in a pre-vote request and its grant,
        /// which carry the term asked for.
        term: Term = ("term", "term", "term");
        /// Its body.
        body: Body = ("body", "body", "type");
    }

    /// The position at which the logs may still agree, as the refusing follower sees it (etcd's fast log rejection).
    #[derive(Copy)]
    RejectHint = ("Position", "rejected", "Message") {
        /// The highest index at which the logs could agree.
        index: Index = ("index", "index", "rejectHint");
        /// The follower's term at that index.
        term: Term = ("term", "term", "logTerm");
    }
}

messages! {
    /// The body of a message. The names are the paper's; `traces/README.md` maps them to raftpb.
    Body {
        /// MsgVote (paper, section 5.2).
        RequestVote = ("RequestVote", "request_vote", "MsgVote") {
            /// Index of the candidate's last entry.
            last_index: Index = ("last.index", "last_index", "index");
            /// Term of the candidate's last entry.
            last_term: Term = ("last.term", "last_term", "logTerm");
            /// The leader asked it to campaign: the request overrides leases (thesis, section 4.2.3).
            #[serde(default, skip_serializing_if = "std::ops::Not::not")]
            transfer: bool = ("transfer", "transfer", "context");
        }
        /// MsgVoteResp.
        RequestVoteResponse = ("RequestVoteResponse", "request_vote_response", "MsgVoteResp") {
            /// Whether the vote is given.
            granted: bool = ("granted", "granted", "!reject");
        }
        /// MsgPreVote (thesis, section 9.6).
        RequestPreVote = ("RequestPreVote", "request_pre_vote", "MsgPreVote") {
            /// Index of the pre-candidate's last entry.
            last_index: Index = ("last.index", "last_index", "index");
            /// Term of the pre-candidate's last entry.
            last_term: Term = ("last.term", "last_term", "logTerm");
        }
        /// MsgPreVoteResp.
        RequestPreVoteResponse = ("RequestPreVoteResponse", "request_pre_vote_response", "MsgPreVoteResp") {
            /// Whether the pre-vote is given.
            granted: bool = ("granted", "granted", "!reject");
        }
        /// MsgApp (paper, section 5.3).
        AppendEntries = ("AppendEntries", "append_entries", "MsgApp") {
            /// Index of the entry before the new ones.
            prev_index: Index = ("prev.index", "prev_index", "index");
            /// Term of the entry before the new ones.
            prev_term: Term = ("prev.term", "prev_term", "logTerm");
            /// The new entries, the first at `prev_index + 1`; may be empty.
            entries: Vec<Entry> = ("entries", "entries", "entries");
            /// The leader's commit index.
            commit: Index = ("commit", "commit", "commit");
        }
        /// MsgAppResp.
        AppendEntriesResponse = (
            "AppendEntriesAccepted, AppendEntriesRejected", "append_entries_response", "MsgAppResp"
        ) {
            /// Accepted: the last index known to match. Rejected: the `prev_index` that was asked for.
            /// Zero in the empty acknowledgement of a stale leader.
            index: Index = ("index", "index", "index");
            /// Set when the append was rejected.
            #[serde(deserialize_with = "present")]
            rejected: Option<RejectHint> = ("hint", "rejected", "reject");
        }
        /// MsgHeartbeat.
        Heartbeat = ("Heartbeat", "heartbeat", "MsgHeartbeat") {
            /// The commit index that the recipient may adopt: at most what is known to match there.
            commit: Index = ("commit", "commit", "commit");
            /// The round of reads that the answer confirms, counted from the first read of the leader's term; zero if no
            /// read waits.
            #[serde(default, skip_serializing_if = "is_default")]
            round: u64 = ("round", "round", "context");
        }
        /// MsgHeartbeatResp, to a heartbeat without a round.
        HeartbeatResponse = ("HeartbeatResponse", "heartbeat_response", "MsgHeartbeatResp")
        /// MsgHeartbeatResp, to a heartbeat of a round.
        RoundResponse = ("HeartbeatResponse", "round_response", "MsgHeartbeatResp") {
            /// The round.
            round: u64 = ("round", "round", "context");
        }
        /// MsgTimeoutNow: the leader asks the transferee to campaign at once (thesis, section 3.10).
        TimeoutNow = ("TimeoutNow", "timeout_now", "MsgTimeoutNow")
        /// MsgTransferLeader: a follower passes on to its leader that another server is to lead.
        TransferLeader = ("TransferLeader", "transfer_leader", "MsgTransferLeader") {
            /// The server that should lead. raftpb has it in place of the sender.
            transferee: ServerId = ("transferee", "transferee", "from");
        }
        /// MsgProp: a follower forwards to its leader what a client proposes. Its term is zero.
        Propose = ("Propose", "propose", "MsgProp") {
            /// The payloads that are proposed; at least one.
            payloads: Vec<Payload> = ("payloads", "payloads", "entries");
        }
        /// MsgSnap (paper, section 7).
        InstallSnapshot = ("InstallSnapshot", "install_snapshot", "MsgSnap") {
            /// The snapshot.
            snapshot: Snapshot = ("snapshot", "snapshot", "snapshot");
        }
        /// MsgReadIndex: a follower passes on to its leader that a client reads. Its term is zero.
        ReadIndex = ("ReadIndex", "read_index", "MsgReadIndex") {
            /// The server whose client reads. raftpb has it in place of the sender.
            origin: ServerId = ("origin", "origin", "from");
            /// The context by which the client knows the answer.
            context: u64 = ("context", "context", "entries.data");
        }
        /// MsgReadIndexResp: the leader answers a read of another server.
        ReadIndexResponse = ("ReadIndexResponse", "read_index_response", "MsgReadIndexResp") {
            /// The context by which the client knows the answer.
            context: u64 = ("context", "context", "entries.data");
            /// The answer.
            index: Index = ("index", "index", "index");
        }
    }
}

/// The names of a message or a field.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Name {
    /// In the specification (`lockstep-model`): the path from the type that has it.
    pub specification: &'static str,
    /// The key in a trace.
    pub key: &'static str,
    /// In messages and entries the field of raftpb, elsewhere the name in etcd's raft.
    pub etcd: &'static str,
}

/// The part of a server's behaviour that a field belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Part {
    /// The state of the server itself ([`NodeView`]).
    State,
    /// A leader's view of one peer ([`PeerView`]).
    Peer,
    /// Everything that left the server ([`Output`]).
    Output,
}

/// A value that can be compared, written as JSON and shown.
pub trait Value: PartialEq + Serialize + Show {}

impl<T: PartialEq + Serialize + Show> Value for T {}

/// A type of which the fields are compared one by one.
pub trait Fields: Sized {
    /// Hands every field of both to `pairs`, in the order of the table. `None` is a peer that is not there;
    /// `peer` is the peer, if the two are what a leader knows of one.
    fn pair<P: Pairs>(
        left: Option<&Self>,
        right: Option<&Self>,
        peer: Option<ServerId>,
        pairs: &mut P,
    );
}

/// A receiver of the fields of two values of one type, side by side: a comparison, or a list of changes. Each
/// method is a way of comparing that a line of the table can name.
pub trait Pairs: Sized {
    /// A field that is one value.
    fn whole<T: Value>(
        &mut self,
        field: [Field; 1],
        peer: Option<ServerId>,
        left: Option<&T>,
        right: Option<&T>,
    );

    /// A list of which the length is a field of its own, for those who show nothing more.
    fn list<T>(
        &mut self,
        [length, contents]: [Field; 2],
        peer: Option<ServerId>,
        left: Option<&Vec<T>>,
        right: Option<&Vec<T>>,
    ) where
        Vec<T>: Value,
    {
        let (long, wide) = (left.map(Vec::len), right.map(Vec::len));
        self.whole([length], peer, long.as_ref(), wide.as_ref());
        self.whole([contents], peer, left, right);
    }

    /// One of these for each peer, of which the fields are compared.
    fn each<T: Fields + Show>(
        &mut self,
        _: [Field; 0],
        _: Option<ServerId>,
        left: Option<&BTreeMap<ServerId, T>>,
        right: Option<&BTreeMap<ServerId, T>>,
    ) {
        for_each_peer(left, right, |peer, left, right| {
            T::pair(left, right, Some(peer), self);
        });
    }

    /// Returns the outcome that the caller of an input was told.
    fn outcome(
        &mut self,
        field: [Field; 1],
        peer: Option<ServerId>,
        left: Option<&Outcome>,
        right: Option<&Outcome>,
    ) {
        self.whole(field, peer, left, right);
    }

    /// Messages in any order; whether each had to wait for persistence is a field of its own.
    fn messages(
        &mut self,
        [messages, _]: [Field; 2],
        peer: Option<ServerId>,
        left: Option<&Vec<Emitted>>,
        right: Option<&Vec<Emitted>>,
    ) {
        self.whole([messages], peer, left, right);
    }
}

/// Calls `each` with every peer that either map has.
pub fn for_each_peer<T>(
    left: Option<&BTreeMap<ServerId, T>>,
    right: Option<&BTreeMap<ServerId, T>>,
    mut each: impl FnMut(ServerId, Option<&T>, Option<&T>),
) {
    for (peer, value) in left.into_iter().flatten() {
        each(*peer, Some(value), right.and_then(|it| it.get(peer)));
    }
    for (peer, value) in right.into_iter().flatten() {
        if left.and_then(|it| it.get(peer)).is_none() {
            each(*peer, None, Some(value));
        }
    }
}

impl Field {
    /// The name in words.
    pub fn in_words(self) -> String {
        self.name().replace('_', " ")
    }
}

impl fmt::Display for Field {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// The names of everything that the table has, in its order: of every type and every kind of message, each with those
/// of its fields. The key of a type is that of the field of a trace which holds one.
pub fn names() -> impl Iterator<Item = &'static (Name, &'static [Name])> {
    COMPARED.iter().chain(NAMED).chain(Body::KINDS)
}
