//! The protocol: one server's state machine, without clock, randomness, network or disk.
//!
//! [`Core`] is told what happens (a message arrived, a timer fired, somebody proposes) and collects
//! what has to be done in consequence; [`Core::ready`] hands that out. The files follow the paper:
//! elections, the three roles, replication, and then what the thesis adds: membership, reads and
//! transfer of leadership. Not here: when timers fire ([`Timer`](crate::Timer)).

mod bootstrap;
mod candidate;
mod election;
mod follower;
mod invariants;
mod leader;
mod membership;
mod output;
mod proposal;
mod reads;
mod replication;
mod shown;
mod snapshot;
mod status;
mod stored;
#[cfg(test)]
mod tests;
mod transfer;
mod validate;

use std::collections::VecDeque;

use bytes::Bytes;

use crate::config::{Config, ReadOnly};
use crate::error::{Error, Refusal};
use crate::log::RaftLog;
use crate::observer::{Ballot, Event, NoObserver, Observer, Watch};
use crate::storage::Storage;
use crate::tracker::ProgressTracker;
use crate::types::{
    Body, EntryId, HardState, Index, Message, MessageKind, NodeId, ReadState, Role, SoftState, Term,
};
use output::Pending;
use reads::{ReadRequest, Reads};
use stored::{Start, examine};

pub use leader::SnapshotStatus;

/// One Raft server as a deterministic state machine.
///
/// Four groups of methods, in the order of use:
///
/// 1. *inputs*: [`step`](Core::step) for messages, [`on_timer`](Core::on_timer) for time,
///    [`propose`](Core::propose), [`campaign`](Core::campaign), [`read_index`](Core::read_index) and
///    so on for the application;
/// 2. each input that can move a timer returns a [`TimerReset`]: what the timers must do now
///    ([`RawNode`](crate::RawNode) sees to that);
/// 3. *outputs*: while [`has_ready`](Core::has_ready), take a [`ready`](Core::ready), persist, send
///    and apply what it holds;
/// 4. [`advance`](Core::advance) when that is done (or the storage responses, with
///    [asynchronous writes](Config::async_storage_writes)).
///
/// The whole state is in the value: two equal cores with equal storages behave equally for ever,
/// and a clone is a fork. A call that returns an error has changed nothing, unless it is an
/// [`Error::Storage`].
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Core<S, O = NoObserver> {
    settings: Settings,
    term: Term,
    /// The server that this one votes for in `term`.
    vote: Option<NodeId>,
    role: Role,
    /// The leader of `term`, as far as known.
    /// Invariant: `Some(id)` at a leader, `None` at a (pre-)candidate.
    leader: Option<NodeId>,
    /// Whether less than one election timeout has passed since the leader was heard from.
    /// Invariant: only with `check_quorum`, at a follower that knows a leader. (A leader is always
    /// within its own lease.)
    lease: bool,
    log: RaftLog<S>,
    /// Membership, votes and the progress of followers.
    /// Invariant: votes only at (pre-)candidates; progress is blank except at a leader.
    tracker: ProgressTracker,
    /// Whether this server receives the log without a vote.
    is_learner: bool,

    /// Messages to others that may leave at once.
    messages: Vec<Message>,
    /// Messages, to this server too, that may leave when everything before them is persisted.
    messages_after_persist: Vec<Message>,
    read_states: Vec<ReadState>,
    /// Transfers of leadership that were given up.
    aborted_transfers: Vec<NodeId>,

    /// At a leader: who shall lead next.
    lead_transferee: Option<NodeId>,
    /// At a leader: whether anybody was told to campaign in this term. Such a server disregards
    /// leases, whenever the message reaches it: from now on the own lease proves nothing.
    timeout_now_sent: bool,
    /// At a leader: no change of membership may be proposed before this position is applied. Zero
    /// elsewhere.
    pending_conf_index: Index,
    /// At a leader: payload bytes of the uncommitted end of the log, at most.
    uncommitted_bytes: u64,
    /// At a leader: reads that wait for a quorum.
    reads: Reads,
    /// At a leader: reads that wait for the first committed entry of the term.
    postponed_reads: Vec<ReadRequest>,
    /// At a follower: own reads that its leader was asked for, oldest first.
    /// Invariant: only while a leader is known.
    forwarded_reads: VecDeque<Bytes>,

    timer_reset: TimerReset,
    /// The soft state that the application was last told.
    told_soft_state: SoftState,
    told_hard_state: HardState,
    /// The work that the last `Ready` promises is done when it is advanced.
    pending: Option<Pending>,
    watch: Watch<O>,
}

/// The part of [`Config`] that the protocol needs.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Settings {
    id: NodeId,
    async_storage_writes: bool,
    max_message_bytes: u64,
    /// Zero is no limit.
    max_uncommitted_bytes: u64,
    check_quorum: bool,
    pre_vote: bool,
    read_only: ReadOnly,
    proposal_forwarding: bool,
    conf_change_validation: bool,
    step_down_on_removal: bool,
}

/// An event of the timers, see [`Core::on_timer`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum TimerEvent {
    /// The randomised election timer fired: the server campaigns, unless it leads.
    ElectionTimeout,
    /// One election timeout (the plain one) has passed since a follower last heard from its leader:
    /// the lease of that leader ends there.
    LeaseExpired,
    /// One election timeout (the plain one) has passed at a leader since the last time: it checks its
    /// quorum and gives up a transfer of leadership.
    CheckQuorum,
    /// A leader's heartbeat is due.
    HeartbeatDue,
}

/// The timer changes that an input to a [`Core`] requires. A [`Timer`](crate::Timer) makes them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[must_use = "the timers of the server must do this"]
pub struct TimerReset {
    /// Count the election timeout from now.
    pub election: bool,
    /// Count the heartbeat timeout from now.
    pub heartbeat: bool,
    /// Draw a new random election timeout.
    pub redraw: bool,
}

impl TimerReset {
    /// Combines the changes that two inputs require.
    pub const fn and(self, other: TimerReset) -> TimerReset {
        TimerReset {
            election: self.election || other.election,
            heartbeat: self.heartbeat || other.heartbeat,
            redraw: self.redraw || other.redraw,
        }
    }
}

impl<S: Storage> Core<S> {
    /// A server with the state that its storage holds, unobserved.
    ///
    /// # Errors
    ///
    /// [`Error::Config`] for parameters that do not fit together, or an applied index that does not
    /// fit the storage; [`Error::Storage`] for a storage that fails, or contradicts itself in a way
    /// that has more than one reading (the README lists all pairs of stored values).
    pub fn new(config: &Config, storage: S) -> Result<Core<S>, Error> {
        Core::with_observer(config, storage, NoObserver)
    }
}

impl<S: Storage, O: Observer> Core<S, O> {
    /// A server with the state that its storage holds, and somebody who watches it.
    ///
    /// # Errors
    ///
    /// Those of [`Core::new`].
    pub fn with_observer(config: &Config, storage: S, observer: O) -> Result<Core<S, O>, Error> {
        config.validate()?;
        let Start {
            hard_state,
            told,
            applied,
            tracker,
        } = examine(config, &storage)?;
        let log = RaftLog::new(storage, config.applying_limit())?;
        let last = log.last_id()?;
        let mut core = Core {
            settings: Settings::from(config),
            term: Term::ZERO,
            vote: None,
            role: Role::Follower,
            leader: None,
            lease: false,
            log,
            tracker,
            is_learner: false,
            messages: Vec::new(),
            messages_after_persist: Vec::new(),
            read_states: Vec::new(),
            lead_transferee: None,
            timeout_now_sent: false,
            pending_conf_index: Index::ZERO,
            uncommitted_bytes: 0,
            reads: Reads::default(),
            postponed_reads: Vec::new(),
            forwarded_reads: VecDeque::new(),
            aborted_transfers: Vec::new(),
            timer_reset: TimerReset::default(),
            told_soft_state: SoftState::default(),
            told_hard_state: HardState::default(),
            pending: None,
            watch: Watch {
                node: config.id,
                observer,
            },
        };
        core.note_configuration();
        core.load_state(&hard_state);
        if let Some(applied) = applied {
            core.log.applied_to(applied, 0);
        }
        core.become_follower(core.term, None);
        // Its timers start with it: there is nothing to reset.
        core.timer_reset = TimerReset::default();
        core.told_soft_state = core.soft_state();
        core.told_hard_state = told;

        core.watch.report(Event::Created {
            config: &core.tracker.config,
            term: core.term,
            commit: core.log.committed(),
            applied: core.log.applied(),
            last,
        });
        core.check_invariants();
        Ok(core)
    }

    fn load_state(&mut self, stored: &HardState) {
        self.log.commit_to(stored.commit);
        self.term = stored.term;
        self.vote = stored.vote;
    }

    /// Takes in a message: from another server, or a response of a storage thread. What follows from
    /// it is in the next [`ready`](Core::ready). Whom the message is addressed to is not looked at:
    /// the transport has brought it here. One that is refused has changed nothing, and one that is
    /// stale, repeated or out of order is no error (Raft §5.1; the transport may lose, repeat and
    /// reorder messages). Nor is a request of another server for a read or a transfer that cannot be
    /// served: the observer is told.
    ///
    /// With [asynchronous writes](Config::async_storage_writes) a storage response is known by
    /// [`Message::from`] alone, so the transport must refuse messages from peers that bear the id
    /// of a storage thread ([`NodeId::is_storage_thread`]).
    ///
    /// # Errors
    ///
    /// [`Error::Peer`] if the message is local to another server, is a response from a server that
    /// is not in the configuration, or is none that a correct server sends;
    /// [`Error::ProposalDropped`] for a forwarded proposal; [`Error::Storage`].
    pub fn step(&mut self, message: Message) -> Result<TimerReset, Error> {
        self.validate(&message)?;
        if self.is_returned_read(&message) {
            self.watch
                .report(Event::ReadIndexDropped { term: self.term });
            return Ok(TimerReset::default());
        }
        let result = self.handle(message);
        self.check_invariants();
        match result {
            // Nobody here waits for it, and its term may have been news.
            Ok(()) | Err(Error::Refused(_)) => Ok(self.take_timer_reset()),
            Err(error) => Err(error),
        }
    }

    /// Takes in the passing of time; see [`TimerEvent`]. Events that mean nothing in the current
    /// role are ignored.
    ///
    /// # Errors
    ///
    /// [`Error::Storage`].
    pub fn on_timer(&mut self, event: TimerEvent) -> Result<TimerReset, Error> {
        match (event, self.role) {
            (TimerEvent::ElectionTimeout, Role::Leader) => {}
            (TimerEvent::ElectionTimeout, _) => {
                self.lease = false;
                self.start_election(false)?;
            }
            (TimerEvent::LeaseExpired, _) => self.expire_lease(),
            (TimerEvent::CheckQuorum, Role::Leader) => self.leader_timeout_passed()?,
            (TimerEvent::CheckQuorum, _) => {}
            (TimerEvent::HeartbeatDue, Role::Leader) => self.broadcast_heartbeat(),
            (TimerEvent::HeartbeatDue, _) => {}
        }
        self.check_invariants();
        Ok(self.take_timer_reset())
    }

    fn take_timer_reset(&mut self) -> TimerReset {
        std::mem::take(&mut self.timer_reset)
    }

    /// Campaigns, first for pre-votes if those are on. Not if this server leads, is no voter, or
    /// has a committed change of membership still to apply.
    ///
    /// # Errors
    ///
    /// [`Refusal::Campaign`] with the reason; [`Error::Storage`].
    pub fn campaign(&mut self) -> Result<TimerReset, Error> {
        let result = self.start_election(false);
        self.check_invariants();
        match result? {
            Some(obstacle) => Err(Refusal::Campaign(obstacle).into()),
            None => Ok(self.take_timer_reset()),
        }
    }

    /// A follower forgets who leads (and so may vote for another); for applications that know by
    /// other means that the leader is gone (as etcd's `ForgetLeader`).
    ///
    /// # Errors
    ///
    /// [`Refusal::NotFollower`], [`Refusal::NoLeader`], and [`Refusal::LeaseBasedReads`].
    pub fn forget_leader(&mut self) -> Result<(), Error> {
        let result = match self.role {
            Role::Follower => self.handle_forget_leader(),
            _ => Err(Refusal::NotFollower),
        };
        self.check_invariants();
        Ok(result?)
    }

    /// The message is valid; the term decides first (Raft §5.1).
    fn handle(&mut self, message: Message) -> Result<(), Error> {
        if has_term(&message) {
            if message.term > self.term {
                if self.ignores_vote_request(&message)? {
                    return Ok(());
                }
                self.catch_up_with_term(&message);
            } else if message.term < self.term {
                return self.answer_stale(message);
            }
        }
        match message.body {
            Body::RequestVote { last, .. } => {
                self.handle_vote_request(Ballot::Vote, message.from, message.term, last)
            }
            Body::RequestPreVote { last } => {
                self.handle_vote_request(Ballot::PreVote, message.from, message.term, last)
            }
            Body::StorageAppendResponse { last, snapshot } => {
                let snapshot = snapshot.map(|snapshot| snapshot.metadata.index);
                self.handle_storage_append(message.term, last, snapshot)
            }
            Body::StorageApplyResponse { entries } => self.handle_applied_entries(&entries),
            _ => match self.role {
                Role::Follower => self.step_follower(message),
                Role::PreCandidate | Role::Candidate => self.step_candidate(message),
                Role::Leader => self.step_leader(message),
            },
        }
    }

    /// A message of a higher term makes a follower of everybody, except that pre-votes are asked
    /// for and granted in terms that do not exist yet (thesis §9.6).
    fn catch_up_with_term(&mut self, message: &Message) {
        let leader = match message.body {
            Body::RequestPreVote { .. } | Body::RequestPreVoteResponse { granted: true } => return,
            Body::AppendEntries { .. } | Body::Heartbeat { .. } | Body::InstallSnapshot { .. } => {
                Some(message.from)
            }
            _ => None,
        };
        self.watch.report(Event::HigherTermSeen {
            kind: message.kind(),
            from: message.from,
            message_term: message.term,
            term: self.term,
        });
        self.become_follower(message.term, leader);
    }

    fn answer_stale(&mut self, message: Message) -> Result<(), Error> {
        let wakes_leader = self.settings.check_quorum || self.settings.pre_vote;
        match message.body {
            // A leader of an older term gets no vote requests of ours that would tell it, if
            // those are pre-votes or are ignored for its own lease. This empty acknowledgement
            // does, so that a server with a higher term cannot be stuck outside of its group.
            Body::AppendEntries { .. } | Body::Heartbeat { .. } if wakes_leader => {
                self.acknowledge(message.from, Index::ZERO);
            }
            // A pre-candidate behind in term must hear of it, or neither side could ever win.
            Body::RequestPreVote { last } => {
                self.reject_vote(Ballot::PreVote, message.from, last)?;
            }
            Body::StorageAppendResponse { last, snapshot } => {
                let snapshot = snapshot.map(|snapshot| snapshot.metadata.index);
                self.handle_storage_append(message.term, last, snapshot)?;
            }
            _ => self.watch.report(Event::LowerTermIgnored {
                kind: message.kind(),
                from: message.from,
                message_term: message.term,
                term: self.term,
            }),
        }
        Ok(())
    }

    /// The storage holds everything up to `last`, and the snapshot, as asked for in `term`.
    fn handle_storage_append(
        &mut self,
        term: Term,
        last: Option<EntryId>,
        snapshot: Option<Index>,
    ) -> Result<(), Error> {
        match last {
            Some(last) if term == self.term => self.log.stable_to(last, &mut self.watch),
            // The entries may have been overwritten since, even by entries that look the same,
            // and an earlier write of something else may still be on its way: two changes of term
            // can bring the log back to where it was. A later write will vouch for them.
            Some(_) => self.watch.report(Event::LowerTermAppendIgnored {
                message_term: term,
                term: self.term,
            }),
            None => {}
        }
        // A snapshot is committed, whatever the term.
        if let Some(index) = snapshot {
            self.log.stable_snapshot_to(index);
            self.applied_to(index, 0)?;
        }
        Ok(())
    }

    /// The state that may only change before what follows from it leaves the server.
    pub fn hard_state(&self) -> HardState {
        HardState {
            term: self.term,
            vote: self.vote,
            commit: self.log.committed(),
        }
    }

    /// Role and known leader.
    pub fn soft_state(&self) -> SoftState {
        SoftState {
            leader: self.leader,
            role: self.role,
        }
    }

    /// Enters `term` (or starts it anew) without any memory of roles played before.
    fn reset(&mut self, term: Term) {
        if self.term != term {
            self.term = term;
            self.vote = None;
        }
        self.leader = None;
        self.lease = false;
        self.timer_reset = TimerReset {
            election: true,
            heartbeat: true,
            redraw: true,
        };
        self.lead_transferee = None;
        self.timeout_now_sent = false;
        self.tracker.votes.clear();
        self.blank_progress();
        self.pending_conf_index = Index::ZERO;
        self.uncommitted_bytes = 0;
        self.give_up_reads();
    }

    /// Progress means nothing except at a leader.
    fn blank_progress(&mut self) {
        for (_, progress) in self.tracker.progress.iter_mut() {
            progress.reset(Index(1));
        }
    }

    fn become_follower(&mut self, term: Term, leader: Option<NodeId>) {
        self.reset(term);
        self.role = Role::Follower;
        self.leader = leader;
        self.renew_lease();
        self.watch.report(Event::BecameFollower { term });
    }

    /// A follower heard from its leader.
    fn hear_from_leader(&mut self, leader: NodeId) {
        if self.leader != Some(leader) {
            self.give_up_reads();
        }
        self.leader = Some(leader);
        self.renew_lease();
        self.timer_reset.election = true;
    }

    /// Sends in the current term.
    #[inline(always)]
    fn send(&mut self, to: NodeId, body: Body) {
        self.send_at(self.term, to, body);
    }

    // Inlined so that a message is written once, where it is kept: copying it field by field and then
    // as a whole costs more than all the rest of sending.
    #[inline(always)]
    fn send_at(&mut self, term: Term, to: NodeId, body: Body) {
        let message = Message {
            from: self.settings.id,
            to,
            term,
            body,
        };
        if message.waits_for_persistence() {
            self.messages_after_persist.push(message);
        } else {
            debug_assert!(to != self.settings.id, "{message:?} to itself");
            self.messages.push(message);
        }
    }

    /// Tells a leader that the log agrees with its own up to `index`.
    fn acknowledge(&mut self, to: NodeId, index: Index) {
        self.send(
            to,
            Body::AppendEntriesResponse {
                index,
                rejection: None,
            },
        );
    }

    fn is_voter(&self) -> bool {
        self.tracker.is_voter(self.settings.id)
    }
}

/// Whether the term of the message says anything. Proposals and read requests are made outside of
/// any term, and so are requests that the application made right here.
fn has_term(message: &Message) -> bool {
    match message.kind() {
        MessageKind::Propose | MessageKind::ReadIndex | MessageKind::StorageApplyResponse => false,
        MessageKind::TransferLeader | MessageKind::ForgetLeader => !message.term.is_zero(),
        _ => true,
    }
}

impl From<&Config> for Settings {
    fn from(config: &Config) -> Settings {
        Settings {
            id: config.id,
            async_storage_writes: config.async_storage_writes,
            max_message_bytes: config.max_message_bytes,
            max_uncommitted_bytes: config.max_uncommitted_entries_bytes,
            check_quorum: config.check_quorum,
            pre_vote: config.pre_vote,
            read_only: config.read_only,
            proposal_forwarding: config.proposal_forwarding,
            conf_change_validation: config.conf_change_validation,
            step_down_on_removal: config.step_down_on_removal,
        }
    }
}
