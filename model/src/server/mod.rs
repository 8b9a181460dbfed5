//! One server: its state, and the one transition function.
//!
//! Read `i` as the server that moves, `j` as the sender, `m` as the message.

mod election;
mod log;
mod membership;
mod progress;
mod reads;
pub mod recorded;
mod replication;
mod snapshot;
mod storage;
mod transfer;
mod view;

pub use log::Log;
pub use progress::{Flow, Progress};
pub(crate) use reads::{Queue, ReadState, Request, Unconfirmed};
pub(crate) use storage::configuration_at;
pub use storage::{Acknowledgement, Append, HardState, Image, Storage};

use crate::configuration::{ConfChange, Configuration};
use crate::dialect::Departure;
use crate::ids::{Id, IdSet, MAX_MEMBERS};
use crate::message::{self, Body, Message, Payload, Payloads};
use crate::rule::{Notes, Rule, RuleSet, Unnoted};
use crate::settings::Settings;
use arrayvec::ArrayVec;
use lockstep_traces::{Emitted, Input, Outcome, Refusal, Role, ServerId};
use recorded::Point;
use smallvec::SmallVec;
use std::sync::Arc;
use storage::Unwritten;

/// The state of one server. Where storage is atomic it is durable as a whole except for role, leader, lease, votes, peers
/// and pending change: every event ends with term, vote, log and commit index written and everything committed applied.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Server {
    /// Its name.
    pub(crate) id: Id,
    /// Its role in its term.
    pub(crate) role: Role,
    /// The latest term it has seen (paper, figure 2: currentTerm).
    pub(crate) term: u32,
    /// The server that it voted for in that term (paper, figure 2: votedFor).
    pub(crate) vote: Option<Id>,
    /// The leader of that term, if it has heard of one.
    pub(crate) leader: Option<Id>,
    /// At a follower that knows a leader, with CheckQuorum: an election timeout has not passed since it
    /// heard from that leader. False everywhere else, so that equal behaviour is equal state.
    pub(crate) lease: bool,
    /// Its log.
    pub(crate) log: Log,
    /// The highest index known to be committed; where storage is atomic also what its application has applied.
    pub(crate) commit: u32,
    /// At a (pre-)candidate: who has granted.
    pub(crate) granted: IdSet,
    /// At a (pre-)candidate: who has refused.
    pub(crate) refused: IdSet,
    /// The configuration that it uses: that of what it has applied.
    pub(crate) configuration: Configuration,
    /// At a leader: the index that it must have applied before it takes another change of the configuration; zero if it
    /// has, so that equal behaviour is equal state.
    pub(crate) pending_conf_index: u32,
    /// At a leader: what it knows of each member, by slot. Its own slot and those of other servers say nothing, but for
    /// [`Progress::forgotten`], and with asynchronous storage for how far it counts its own entries.
    pub(crate) peers: Option<Arc<ArrayVec<Progress, MAX_MEMBERS>>>,
    /// At a leader: to whom it is transferring leadership.
    pub(crate) transferee: Option<Id>,
    /// At a leader with a limit: how many of its proposals it counts as uncommitted.
    pub(crate) uncommitted: u32,
    /// The durable state and the outstanding work, if storage is asynchronous.
    pub(crate) storage: Option<Arc<Storage>>,
    /// The reads that wait; `None` if there is nothing to say of reads.
    pub(crate) reads: Option<Arc<Queue>>,
}

/// The result of one input.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Step {
    /// The server afterwards.
    pub server: Server,
    /// The outcome that the caller is told.
    pub outcome: Outcome,
    /// The messages to other servers, in the order sent.
    pub sent: Vec<Emitted>,
    /// The reads of clients of this server that are answered or given up, in order.
    pub read_states: Vec<lockstep_traces::ReadState>,
    /// The rules that were applied.
    pub rules: RuleSet,
}

/// The output of a server on an event.
#[derive(Debug, Default)]
pub struct Outbox {
    /// The messages to other servers.
    pub(crate) messages: SmallVec<[Message; 6]>,
    /// The fate of reads of its clients.
    pub(crate) read_states: SmallVec<[ReadState; 2]>,
}

impl Outbox {
    pub(crate) fn new() -> Outbox {
        Outbox::default()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.messages.is_empty() && self.read_states.is_empty()
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &Message> {
        self.messages.iter()
    }

    pub(crate) fn read_states(&self) -> Vec<lockstep_traces::ReadState> {
        let states = self.read_states.iter();
        states.map(|state| (*state).into()).collect()
    }
}

/// An input in compact form: what [`Input`] says, without copying the message.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Stimulus<'a> {
    Timeout,
    LeaseExpire,
    Heartbeat,
    CheckQuorum,
    Propose(Payload),
    ProposeConfChange(ConfChange),
    Deliver(&'a Message),
    /// A crash; the number of outstanding appends that had become durable.
    Restart(usize),
    TransferLeadership(Id),
    ForgetLeader,
    Compact,
    ReportUnreachable(Id),
    ReportSnapshot(Id, bool),
    Persist,
    Apply,
    ReadIndex(u8),
}

impl Server {
    /// A server before its first event: a follower in term zero with an empty log.
    ///
    /// # Panics
    ///
    /// If `id` is not a server of these settings.
    pub fn new(settings: &Settings, id: ServerId) -> Server {
        let id = Id::try_from(id).ok().filter(|id| settings.is_server(*id));
        Server::initial(settings, id.expect("the server is one of its cluster"))
    }

    pub(crate) fn initial(settings: &Settings, id: Id) -> Server {
        Server {
            id,
            role: Role::Follower,
            term: 0,
            vote: None,
            leader: None,
            lease: false,
            log: Log::default(),
            commit: 0,
            granted: IdSet::EMPTY,
            refused: IdSet::EMPTY,
            configuration: settings.configuration,
            pending_conf_index: 0,
            peers: None,
            transferee: None,
            uncommitted: 0,
            storage: settings.is_async.then(Arc::default),
            reads: None,
        }
    }

    /// Applies an input to this server. Every input has a result: an input that a server must ignore is accepted and
    /// changes nothing, one that it must refuse is refused and changes nothing.
    ///
    /// Numbers that the specification cannot hold (see [`crate::OutOfRange`]) are refused as well: a
    /// message with one as if from an unknown peer, a call about an unknown peer likewise, a proposal of one as
    /// dropped. The same goes for changes of servers that it cannot hold, and a read with such a context has no leader.
    pub fn step(&self, settings: &Settings, input: &Input) -> Step {
        let refuse = |refusal| Step {
            server: self.clone(),
            outcome: Outcome::Refused(refusal),
            sent: Vec::new(),
            read_states: Vec::new(),
            rules: RuleSet::default(),
        };
        let message;
        let stimulus = match input {
            Input::Timeout => Stimulus::Timeout,
            Input::LeaseExpire => Stimulus::LeaseExpire,
            Input::Heartbeat => Stimulus::Heartbeat,
            Input::CheckQuorum => Stimulus::CheckQuorum,
            Input::Propose(value) => match Payload::value(*value) {
                Some(payload) => Stimulus::Propose(payload),
                None => return refuse(Refusal::ProposalDropped),
            },
            Input::ProposeConfChange(change) => match ConfChange::try_from(change) {
                Ok(change) => Stimulus::ProposeConfChange(change),
                Err(_) => return refuse(Refusal::ProposalDropped),
            },
            Input::Deliver(m) => match Message::try_from(m) {
                Ok(m) => {
                    message = m;
                    Stimulus::Deliver(&message)
                }
                Err(_) => return refuse(Refusal::UnknownPeer),
            },
            Input::Restart => Stimulus::Restart(0),
            Input::RestartKeeping { writes } => {
                Stimulus::Restart(usize::try_from(*writes).unwrap_or(usize::MAX))
            }
            Input::Persist => Stimulus::Persist,
            Input::Apply => Stimulus::Apply,
            Input::ForgetLeader => Stimulus::ForgetLeader,
            Input::Compact => Stimulus::Compact,
            Input::TransferLeadership { to } => match Id::try_from(*to) {
                Ok(to) => Stimulus::TransferLeadership(to),
                Err(_) => return refuse(Refusal::UnknownPeer),
            },
            Input::ReportUnreachable { peer } => match Id::try_from(*peer) {
                Ok(peer) => Stimulus::ReportUnreachable(peer),
                Err(_) => return refuse(Refusal::UnknownPeer),
            },
            Input::ReportSnapshot { peer, ok } => match Id::try_from(*peer) {
                Ok(peer) => Stimulus::ReportSnapshot(peer, *ok),
                Err(_) => return refuse(Refusal::UnknownPeer),
            },
            Input::ReadIndex { context } => match message::read_context(*context) {
                Some(context) => Stimulus::ReadIndex(context),
                None => return refuse(Refusal::NoLeader),
            },
        };
        let mut server = self.clone();
        let mut outbox = Outbox::new();
        let mut rules = RuleSet::default();
        let outcome = server.advance_noting(settings, stimulus, &mut outbox, &mut rules);
        Step {
            server,
            outcome,
            sent: settings.emitted(&outbox.messages),
            read_states: outbox.read_states(),
            rules,
        }
    }

    /// Changes the server in place and appends to `outbox` what it sends.
    pub(crate) fn advance(
        &mut self,
        settings: &Settings,
        stimulus: Stimulus<'_>,
        outbox: &mut Outbox,
    ) -> Outcome {
        self.advance_noting(settings, stimulus, outbox, &mut Unnoted)
    }

    /// The one transition function. It tells `notes` which rules it applies.
    pub(crate) fn advance_noting(
        &mut self,
        settings: &Settings,
        stimulus: Stimulus<'_>,
        outbox: &mut Outbox,
        notes: &mut impl Notes,
    ) -> Outcome {
        let mut turn = Turn {
            settings,
            applied: self.applied(),
            unwritten: Unwritten::of(self),
            i: self,
            outbox,
            own: None,
            notes,
        };
        let outcome = turn.take(stimulus);
        match turn.is_async() {
            true => turn.hand_over(),
            false => turn.settle(),
        }
        outcome
    }

    /// The progress of a peer; `None` at a server that does not lead, and for strangers.
    pub(crate) fn peer(&self, id: Id) -> Option<&Progress> {
        let peers = self.peers.as_ref()?;
        let member = self.configuration.members().contains(id);
        peers.get(id.slot()).filter(|_| member)
    }

    /// Whether its own vote is a quorum.
    pub(crate) fn is_alone(&self) -> bool {
        let mut own = IdSet::EMPTY;
        own.insert(self.id);
        self.configuration.is_quorum(own)
    }

    /// The other members of its configuration, in order.
    pub(crate) fn others(&self) -> impl Iterator<Item = Id> + use<> {
        let i = self.id;
        let members = self.configuration.members().iter();
        members.filter(move |id| *id != i)
    }

    /// Whether it takes proposals: it leads, is part of its own configuration, and is not about to hand over.
    pub(crate) fn takes_proposals(&self) -> bool {
        let member = self.configuration.members().contains(self.id);
        self.role == Role::Leader && member && self.transferee.is_none()
    }

    /// Whether a leader may append `more` entries that carry something. If none is uncommitted, anything goes, and
    /// entries that carry nothing do not count.
    pub(crate) fn has_room_for(&self, settings: &Settings, more: u32) -> bool {
        let limit = settings.max_uncommitted;
        let counts = limit > 0 && more > 0 && self.uncommitted > 0;
        !counts || self.uncommitted.saturating_add(more) <= limit
    }

    /// Checks the invariants of a server between events, which hold whatever the others do.
    pub(crate) fn check(&self, settings: &Settings) -> Result<(), &'static str> {
        let claim = |holds: bool, broken| if holds { Ok(()) } else { Err(broken) };
        let leads = self.role == Role::Leader;
        let campaigns = matches!(self.role, Role::PreCandidate | Role::Candidate);
        claim(
            self.commit <= self.log.last_index(),
            "commit is beyond the log",
        )?;
        claim(
            self.log.snapshot().index <= self.commit,
            "a snapshot is beyond what is committed",
        )?;
        claim(
            self.log.last().term <= self.term,
            "an entry is newer than the term",
        )?;
        claim(leads == self.peers.is_some(), "peers are a leader's")?;
        claim(
            leads == (self.leader == Some(self.id)),
            "a leader knows itself as leader",
        )?;
        claim(
            !campaigns || self.leader.is_none(),
            "a (pre-)candidate knows no leader",
        )?;
        claim(
            !self.lease
                || settings.check_quorum && self.role == Role::Follower && self.leader.is_some(),
            "a lease is a follower's that knows a leader",
        )?;
        claim(
            campaigns || self.granted.is_empty() && self.refused.is_empty(),
            "votes are a (pre-)candidate's",
        )?;
        claim(
            !leads && self.role != Role::Candidate || self.vote == Some(self.id),
            "candidates and leaders voted for themselves",
        )?;
        claim(
            self.transferee.is_none_or(|to| leads && to != self.id),
            "a transferee is another server, and a leader's",
        )?;
        claim(
            self.uncommitted == 0 || leads && settings.max_uncommitted > 0,
            "proposals are counted by a leader with a limit",
        )?;
        claim(
            leads || self.pending_conf_index == 0,
            "only a leader waits for a change",
        )?;
        claim(
            self.pending_conf_index == 0 || self.pending_conf_index > self.applied(),
            "a leader waits for a change that it has applied",
        )?;
        claim(
            self.configuration.is_valid(),
            "a configuration has voters, no voter learns, and what is left later is joint",
        )?;
        let at_snapshot = self.log.snapshot_configuration();
        claim(
            match self.log.snapshot().index {
                0 => at_snapshot == Configuration::default(),
                _ => at_snapshot.is_valid(),
            },
            "a snapshot has a configuration, and nothing else has one",
        )?;
        if let Some(reads) = &self.reads {
            claim(**reads != Queue::default(), "nothing is said of reads")?;
            reads.check(self, settings)?;
        }
        let in_order = |peer: &Progress| {
            (peer.matched < peer.next || settings.departs(Departure::ProbeBelowMatch))
                && peer.next <= self.log.last_index() + 1
                && peer.inflight.len() <= settings.max_inflight as usize
        };
        claim(
            self.applied() <= self.commit,
            "what is not committed is applied",
        )?;
        claim(
            self.storage.is_some() == settings.is_async,
            "outstanding work is of asynchronous storage",
        )?;
        claim(
            self.storage
                .as_ref()
                .is_none_or(|storage| storage.knows_its_snapshot()),
            "a snapshot is unknown to be durable as long as it is outstanding",
        )?;
        let own = |slot: usize| settings.is_async && slot == self.id.slot();
        let peers = self.peers.iter().flat_map(|peers| peers.iter());
        let mut peers = peers.enumerate();
        claim(
            peers.all(|(slot, peer)| own(slot) || in_order(peer)),
            "progress is out of order",
        )
    }
}

/// A vote or acknowledgement that a server has yet to give itself in the same event, once it is durable. It takes no
/// message, but it comes after everything else that the call itself does.
#[derive(Clone, Copy, Debug)]
enum Own {
    /// A (pre-)candidate grants its own request.
    Vote,
    /// A leader has its new entries.
    Acknowledgement,
}

/// One event at one server.
struct Turn<'a, N> {
    settings: &'a Settings,
    /// The index that is applied. With atomic storage committed entries are applied before the event ends.
    applied: u32,
    /// The writes that it has yet to hand over to asynchronous storage.
    unwritten: Unwritten,
    /// The server that moves.
    i: &'a mut Server,
    /// The messages that it sends to others.
    outbox: &'a mut Outbox,
    /// The vote or acknowledgement that it has yet to give itself.
    own: Option<Own>,
    /// The listener for the rules that are applied.
    notes: &'a mut N,
}

impl<N: Notes> Turn<'_, N> {
    #[inline(always)]
    fn note(&mut self, rule: Rule) {
        self.notes.note(rule);
    }

    /// A recorder of the run sees this.
    #[inline(always)]
    fn see(&mut self, point: Point<'_>) {
        self.notes.see(point, self.i);
    }

    fn take(&mut self, stimulus: Stimulus<'_>) -> Outcome {
        match stimulus {
            Stimulus::Timeout => self.timeout(),
            Stimulus::LeaseExpire => self.expire_lease(),
            Stimulus::Heartbeat => self.beat(),
            Stimulus::CheckQuorum => self.election_elapsed(),
            Stimulus::Propose(payload) => return self.propose(payload),
            Stimulus::ProposeConfChange(change) => {
                return self.propose(Payload::conf_change(change));
            }
            Stimulus::Deliver(m) => return self.receive(m),
            Stimulus::Restart(kept) => self.restart(kept),
            Stimulus::Persist => self.persist(),
            Stimulus::Apply => self.apply(),
            Stimulus::TransferLeadership(to) => self.handle_transfer(to),
            Stimulus::ForgetLeader => self.forget_leader(),
            Stimulus::Compact => self.compact(),
            Stimulus::ReportUnreachable(j) => self.peer_unreachable(j),
            Stimulus::ReportSnapshot(j, ok) => self.snapshot_reported(j, ok),
            Stimulus::ReadIndex(context) => return self.read(context),
        }
        Outcome::Accepted
    }

    /// State is durable now: the server applies what is committed, and hears itself, which may give it more to apply and
    /// to say to itself.
    fn settle(&mut self) {
        loop {
            let (own, commit) = (self.own.take(), self.i.commit);
            let applies = self.apply_committed(commit);
            match own {
                Some(Own::Vote) => self.handle_vote(self.i.id, true),
                Some(Own::Acknowledgement) => self.own_entries_are_durable(),
                None if !applies => return,
                None => {}
            }
            if applies {
                self.applied_to(commit);
            }
        }
    }

    fn receive(&mut self, m: &Message) -> Outcome {
        if let Err(refusal) = self.validate(m) {
            return Outcome::Refused(refusal);
        }
        // What a server tells itself never leaves it.
        if m.from == self.i.id {
            return Outcome::Accepted;
        }
        // A proposal is as good in any term, and carries none.
        if let Body::Propose { payloads } = &m.body {
            return self.handle_proposal(payloads);
        }
        // Nor does a read.
        if let Body::ReadIndex { origin, context } = m.body {
            self.handle_forwarded_read(Request { origin, context });
            return Outcome::Accepted;
        }
        if m.term == 0 {
            return Outcome::Accepted;
        }
        if m.term < self.i.term {
            self.answer_stale(m);
            return Outcome::Accepted;
        }
        if m.term > self.i.term && !self.catch_up_with_term(m) {
            return Outcome::Accepted;
        }
        self.handle(m);
        Outcome::Accepted
    }

    /// A response of a server that is no member is refused: it was never asked.
    fn validate(&mut self, m: &Message) -> Result<(), Refusal> {
        if m.is_response() && !self.i.configuration.members().contains(m.from) {
            self.note(Rule::StrangerRefused);
            return Err(Refusal::UnknownPeer);
        }
        Ok(())
    }

    /// A message of a lower term is ignored, with two exceptions that bring the sender up to date.
    fn answer_stale(&mut self, m: &Message) {
        self.note(Rule::StaleTermIgnored);
        match m.body {
            // A server whose term ran ahead while it was cut off takes nothing from the leader, and with
            // PreVote or CheckQuorum cannot depose it by asking for votes either: an empty
            // acknowledgement at the higher term does (thesis, section 6.2 has the problem).
            Body::AppendEntries { .. } | Body::Heartbeat { .. }
                if self.settings.check_quorum || self.settings.pre_vote =>
            {
                self.note(Rule::StaleSenderTold);
                self.reply(m, Body::AppendEntriesAccepted { index: 0 });
            }
            // A pre-candidate with an old term but a better log must learn of the term, or nobody can
            // ever be elected.
            Body::RequestPreVote { .. } => {
                self.note(Rule::StaleSenderTold);
                self.reply(m, Body::RequestPreVoteResponse { granted: false });
            }
            _ => {}
        }
    }

    /// A message of a higher term: the server becomes a follower of that term (paper, section 5.1),
    /// unless the term was only asked for, or the server is in the lease of a leader. Returns false if the
    /// message is to be ignored.
    fn catch_up_with_term(&mut self, m: &Message) -> bool {
        match m.body {
            // "If a server receives a RequestVote request within the minimum election timeout of hearing
            // from a current leader, it does not update its term or grant its vote" (thesis, 4.2.3).
            // In a transfer the leader has asked for the campaign, and the request is "processed by other servers even
            // when they believe a current cluster leader exists" (the same section).
            Body::RequestVote {
                transfer: false, ..
            }
            | Body::RequestPreVote { .. }
                if self.lease_live() =>
            {
                self.note(Rule::LeaseRefusesVote);
                return false;
            }
            Body::RequestPreVote { .. } | Body::RequestPreVoteResponse { granted: true } => {}
            Body::AppendEntries { .. } | Body::Heartbeat { .. } | Body::InstallSnapshot { .. } => {
                self.become_follower(m.term, Some(m.from));
            }
            _ => self.become_follower(m.term, None),
        }
        if self.i.term == m.term {
            self.note(Rule::HigherTermFollowed);
        }
        true
    }

    /// A message of the server's own term, or a pre-vote message of a higher one.
    fn handle(&mut self, m: &Message) {
        match &m.body {
            Body::RequestVote { last, .. } => self.handle_vote_request(m, *last, false),
            Body::RequestPreVote { last } => self.handle_vote_request(m, *last, true),
            Body::RequestVoteResponse { granted } => {
                if self.i.role == Role::Candidate {
                    self.handle_vote(m.from, *granted);
                }
            }
            Body::RequestPreVoteResponse { granted } => {
                if self.i.role == Role::PreCandidate {
                    self.handle_vote(m.from, *granted);
                }
            }
            Body::AppendEntries {
                prev,
                entries,
                commit,
            } => {
                if self.hear_from_leader(m) {
                    self.handle_append(m, *prev, entries, *commit);
                }
            }
            Body::Heartbeat { commit, round } => {
                if self.hear_from_leader(m) {
                    self.handle_heartbeat(m, *commit, *round);
                }
            }
            Body::AppendEntriesAccepted { index } => self.handle_acknowledgement(m.from, *index),
            Body::AppendEntriesRejected { index, hint } => {
                self.handle_rejection(m.from, *index, *hint);
            }
            Body::HeartbeatResponse { round } => {
                self.handle_heartbeat_response(m.from, *round);
            }
            Body::ReadIndexResponse { .. } => self.take_answer(m),
            Body::TimeoutNow => self.timeout_now(),
            Body::TransferLeader { transferee } => self.handle_transfer(*transferee),
            Body::InstallSnapshot {
                last,
                configuration,
            } => {
                if self.hear_from_leader(m) {
                    self.handle_snapshot(m, *last, *configuration);
                }
            }
            // They have no term.
            Body::Propose { .. } | Body::ReadIndex { .. } => {}
        }
    }

    /// The server comes back from what is durable.
    fn restart(&mut self, kept: usize) {
        self.note(Rule::DurableStateKept);
        match self.is_async() {
            true => self.load_image(kept),
            false => self.load_state(),
        }
    }

    /// Everything volatile is lost: a follower that knows no leader comes back (thesis, section 3.8).
    fn load_state(&mut self) {
        let i = &mut *self.i;
        let durable = Server {
            term: i.term,
            vote: i.vote,
            log: std::mem::take(&mut i.log),
            commit: i.commit,
            configuration: i.configuration,
            ..Server::initial(self.settings, i.id)
        };
        *i = durable;
    }

    /// Handles the proposal of a client.
    fn propose(&mut self, payload: Payload) -> Outcome {
        self.handle_proposal(&std::iter::once(payload).collect())
    }

    /// Appends a proposal, at a leader that takes proposals and has room for it. Others forward it to the leader that
    /// they know, or drop it. A change of the configuration that nobody could apply is dropped everywhere.
    fn handle_proposal(&mut self, payloads: &Payloads) -> Outcome {
        let mut changes = payloads.iter().filter_map(Payload::as_conf_change);
        if !changes.all(|change| self.is_possible(change)) {
            return self.drop_proposal();
        }
        if self.i.role != Role::Leader {
            return self.forward_proposal(payloads);
        }
        if !self.takes_proposals() {
            return self.drop_proposal();
        }
        let pending = self.i.pending_conf_index;
        let payloads = self.check_changes(payloads);
        if !self.has_room(&payloads) {
            // Nothing of it is in the log, so there is nothing to wait for.
            if !self.settings.departs(Departure::DroppedChangeBlocks) {
                self.i.pending_conf_index = pending;
            }
            return self.drop_proposal();
        }
        payloads.for_each(|payload| {
            let change = payload.as_conf_change().is_some();
            self.note(match change {
                true => Rule::ChangeAppended,
                false => Rule::ProposalAppended,
            });
        });
        self.append_own(&payloads);
        self.broadcast_append();
        Outcome::Accepted
    }

    /// Whether the server takes proposals: it leads, is part of its own configuration, and is not about to hand over. A
    /// leader that was removed drops them, or its log would grow for ever (etcd's raft).
    fn takes_proposals(&self) -> bool {
        self.i.takes_proposals()
    }

    /// A follower forwards a proposal to its leader, if the setting says so (thesis, section 6.2).
    fn forward_proposal(&mut self, payloads: &Payloads) -> Outcome {
        let leader = self.i.leader.filter(|_| self.settings.forward_proposals);
        let Some(leader) = leader else {
            return self.drop_proposal();
        };
        self.note(Rule::ProposalForwarded);
        let payloads = payloads.clone();
        self.send(leader, 0, Body::Propose { payloads });
        Outcome::Accepted
    }

    /// Whether a leader has room for these payloads among the uncommitted proposals.
    fn has_room(&mut self, payloads: &Payloads) -> bool {
        let more = carry_something(payloads.iter());
        let room = self.i.has_room_for(self.settings, more);
        if !room {
            self.note(Rule::UncommittedLimited);
        }
        room
    }

    /// A leader with a limit counts what it appends for clients.
    fn count_uncommitted(&mut self, payload: Payload) {
        if self.settings.max_uncommitted > 0 {
            self.i.uncommitted += carry_something([payload].into_iter());
        }
    }

    /// Stops counting entries applied up to `index` as uncommitted. Entries of earlier terms were never counted, so
    /// that fewer may be counted than there are.
    fn release_uncommitted(&mut self, index: u32) {
        if self.i.uncommitted > 0 {
            let committed = self.applied + 1..=index;
            let entries = committed.filter_map(|index| self.i.log.entry(index));
            let released = carry_something(entries.map(|entry| entry.payload));
            self.i.uncommitted = self.i.uncommitted.saturating_sub(released);
        }
    }

    fn drop_proposal(&mut self) -> Outcome {
        self.note(Rule::ProposalDropped);
        Outcome::Refused(Refusal::ProposalDropped)
    }

    fn send(&mut self, to: Id, term: u32, body: Body) {
        self.send_or_wait(Message {
            from: self.i.id,
            to,
            term,
            body,
        });
    }

    /// Answers at the server's own term.
    fn reply(&mut self, m: &Message, body: Body) {
        self.send(m.from, self.i.term, body);
    }

    /// The other members, in order.
    fn others(&self) -> impl Iterator<Item = Id> + use<N> {
        self.i.others()
    }
}

/// Returns the number of entries that carry something. The change that leaves a joint configuration does not, so that
/// no limit holds it back.
fn carry_something(payloads: impl Iterator<Item = Payload>) -> u32 {
    let empty = [
        Payload::EMPTY,
        Payload::conf_change(ConfChange::LEAVE_JOINT),
    ];
    payloads.filter(|it| !empty.contains(it)).count() as u32
}
