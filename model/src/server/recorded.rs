//! The interface for validating recorded runs: the rules at the grain at which a library calls them, and the points of
//! an input at which a recorder writes a line.
//!
//! A recorded server takes inputs, hands over what is to be written when its application asks (etcd's raft: `Ready`), and
//! hears itself when that is written (`Advance`, or the answer of the append thread). The inputs `Persist` and `Apply` do several
//! of these things at once. Here each is an input by itself; all of them end in the same rules.

use super::{Acknowledgement, Append, HardState, Image, Log, Outbox, Server, Storage, Turn};
use crate::configuration::{ConfChange, Configuration};
use crate::ids::{Id, IdSet};
use crate::message::{Body, Entry, Message, Payload, Position};
use crate::rule::{Notes, Rule};
use crate::seq::Seq;
use crate::settings::Settings;
use lockstep_traces::{Outcome, ReadState};
use std::sync::Arc;

/// A point of an input at which a recorder of the run sees the server.
#[derive(Clone, Copy, Debug)]
pub enum Point<'a> {
    /// It has become a follower.
    BecameFollower,
    /// It has become a candidate and voted for itself.
    BecameCandidate,
    /// It has become leader; its first entry comes after this.
    BecameLeader,
    /// A leader is about to append an entry that is no change of the configuration.
    Appending,
    /// A leader is about to append a change of the configuration.
    ChangeProposed(ConfChange),
    /// A leader has looked whether more is committed.
    CommitReconsidered,
    /// It is about to use another configuration, because of an entry.
    Switching(Configuration),
    /// It is about to use the configuration of a snapshot that has replaced its log.
    Restoring(Configuration),
    /// It sends a message, perhaps to itself. The message may wait for what is not durable.
    Sent(&'a Message),
}

/// Sees the points of an input, and decides what Raft leaves open.
pub trait Observer {
    /// The server is at a point.
    fn see(&mut self, point: Point<'_>, server: &Server);

    /// A rule is applied.
    fn note(&mut self, rule: Rule);

    /// The most entries of the next append to a peer.
    fn most_entries(&mut self, to: Id) -> usize;

    /// The index up to which storage no longer has the entries, and that of its snapshot; `None` if it has all.
    fn kept_behind(&self) -> Option<(u32, u32)>;

    /// A read of a client of this server is answered or given up.
    fn answer(&mut self, _: ReadState) {}
}

struct Observed<'a>(&'a mut dyn Observer);

impl Notes for Observed<'_> {
    fn note(&mut self, rule: Rule) {
        self.0.note(rule);
    }

    fn see(&mut self, point: Point<'_>, server: &Server) {
        self.0.see(point, server);
    }

    fn most_entries(&mut self, to: Id) -> usize {
        self.0.most_entries(to)
    }

    fn kept_behind(&self) -> Option<(u32, u32)> {
        self.0.kept_behind()
    }
}

/// An input to a recorded server.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Stimulus {
    /// The election timer fires.
    Timeout,
    /// The lease of a follower runs out.
    LeaseExpire,
    /// The heartbeat timer fires.
    Heartbeat,
    /// An election timeout has passed at a leader.
    CheckQuorum,
    /// Clients propose these, in one call.
    Propose(Vec<Payload>),
    /// A message comes from another server.
    Deliver(Message),
    /// A client reads; the context by which it knows the answer is not zero.
    ReadIndex(u8),
    /// The server is asked for another leader.
    TransferLeadership(Id),
    /// It is told to forget its leader.
    ForgetLeader,
    /// A peer could not be reached.
    ReportUnreachable(Id),
    /// The report on a snapshot that was sent to a peer.
    ReportSnapshot(Id, bool),
    /// It hears what it told itself, now that this is durable.
    HearItself(Message),
    /// Storage acknowledges what it has written.
    Acknowledge(Acknowledgement),
    /// The application applies the entry at an index, and what it changes takes effect.
    ApplyEntry(u32),
    /// The server is told that everything up to an index is applied.
    Applied(u32),
}

impl Server {
    /// Applies an input to this server, which must have asynchronous storage.
    pub fn take(
        &mut self,
        settings: &Settings,
        stimulus: &Stimulus,
        observer: &mut dyn Observer,
    ) -> Outcome {
        let mut outbox = Outbox::new();
        let mut notes = Observed(observer);
        let mut turn = Turn {
            settings,
            applied: self.applied(),
            unwritten: super::Unwritten::of(self),
            i: self,
            outbox: &mut outbox,
            own: None,
            notes: &mut notes,
        };
        let outcome = turn.take_recorded(stimulus);
        turn.hand_over();
        let answers = outbox.read_states();
        answers.into_iter().for_each(|state| observer.answer(state));
        outcome
    }

    /// Takes out what the server has handed over since this was called last: its writes, and the index up to which it would
    /// have the application apply (what is committed and known to be durable), if that rose.
    pub fn take_handed_over(&mut self) -> (Vec<Append>, Option<u32>) {
        let Some(storage) = self.storage.as_mut() else {
            return (Vec::new(), None);
        };
        if storage.appends.is_empty() && storage.applies.is_empty() {
            return (Vec::new(), None);
        }
        let storage = Arc::make_mut(storage);
        let applies = std::mem::take(&mut storage.applies);
        (
            std::mem::take(&mut storage.appends),
            applies.last().copied(),
        )
    }

    /// A server that comes back from a durable image, with an application that has applied everything up to an index.
    pub fn from_image(settings: &Settings, id: Id, image: &Image, applied: u32) -> Server {
        let mut server = Server::initial(settings, id);
        server.storage = Some(Arc::new(Storage {
            durable: image.clone(),
            applied,
            ..Storage::default()
        }));
        let mut outbox = Outbox::new();
        server.advance(settings, super::Stimulus::Restart(0), &mut outbox);
        // The image is kept by whoever records.
        if let Some(storage) = &mut server.storage {
            Arc::make_mut(storage).durable = Image::default();
        }
        server
    }

    /// As before its first input, but that it uses a configuration already (etcd's raft: `Bootstrap`).
    #[must_use]
    pub fn with_configuration(self, configuration: Configuration) -> Server {
        Server {
            configuration,
            ..self
        }
    }

    /// Its name.
    pub fn name(&self) -> Id {
        self.id
    }

    /// Term, vote and commit index in memory.
    pub fn in_memory(&self) -> HardState {
        self.hard_state()
    }

    /// Its log.
    pub fn log(&self) -> &Log {
        &self.log
    }

    /// Whether it is in the lease of a leader.
    pub fn has_lease(&self) -> bool {
        self.lease
    }

    /// The leader that it knows.
    pub fn known_leader(&self) -> Option<Id> {
        self.leader
    }

    /// To whom a leader is transferring leadership.
    pub fn transfers_to(&self) -> Option<Id> {
        self.transferee
    }

    /// The configuration that it uses.
    pub fn configuration(&self) -> Configuration {
        self.configuration
    }

    /// The index up to which its application has applied.
    pub fn has_applied(&self) -> u32 {
        self.applied()
    }

    /// The change of the configuration that the entry at an index carries.
    pub fn change(&self, index: u32) -> Option<ConfChange> {
        self.log.entry(index)?.payload.as_conf_change()
    }

    /// At a leader that is a member: how far it counts its own entries.
    pub fn own_match(&self) -> Option<u32> {
        let member = self.configuration.members().contains(self.id);
        let peers = self.peers.as_ref().filter(|_| member)?;
        Some(peers[self.id.slot()].matched)
    }

    /// At a leader: the index of the next entry that a peer is sent, and how many appends with entries are on their way there.
    pub fn next_and_inflight(&self, peer: Id) -> Option<(u32, usize)> {
        let peer = self.peer(peer)?;
        Some((peer.next, peer.inflight.len()))
    }
}

impl<N: Notes> Turn<'_, N> {
    fn take_recorded(&mut self, stimulus: &Stimulus) -> Outcome {
        use super::Stimulus as To;
        match stimulus {
            Stimulus::Timeout => self.take(To::Timeout),
            Stimulus::LeaseExpire => self.take(To::LeaseExpire),
            Stimulus::Heartbeat => self.take(To::Heartbeat),
            Stimulus::CheckQuorum => self.take(To::CheckQuorum),
            Stimulus::Propose(payloads) => {
                self.handle_proposal(&payloads.iter().copied().collect())
            }
            Stimulus::Deliver(message) => self.take(To::Deliver(message)),
            Stimulus::ReadIndex(context) => self.take(To::ReadIndex(*context)),
            Stimulus::TransferLeadership(to) => self.take(To::TransferLeadership(*to)),
            Stimulus::ForgetLeader => self.take(To::ForgetLeader),
            Stimulus::ReportUnreachable(peer) => self.take(To::ReportUnreachable(*peer)),
            Stimulus::ReportSnapshot(peer, ok) => self.take(To::ReportSnapshot(*peer, *ok)),
            Stimulus::HearItself(message) => {
                self.hear_itself(message);
                Outcome::Accepted
            }
            Stimulus::Acknowledge(acknowledgement) => {
                self.handle_storage_append(*acknowledgement);
                Outcome::Accepted
            }
            Stimulus::ApplyEntry(index) => {
                let entry = self.i.log.entry(*index);
                if let Some(change) = entry.and_then(|entry| entry.payload.as_conf_change()) {
                    self.apply_conf_change(change);
                }
                Outcome::Accepted
            }
            Stimulus::Applied(index) => {
                self.release_uncommitted(*index);
                self.applied_to(*index);
                Outcome::Accepted
            }
        }
    }
}

impl Image {
    /// Returns the image from which a server starts that has these entries, all written.
    pub fn new(hard_state: HardState, log: Log) -> Image {
        Image { hard_state, log }
    }

    /// Term, vote and commit index.
    pub fn hard_state(&self) -> HardState {
        self.hard_state
    }

    /// The log.
    pub fn log(&self) -> &Log {
        &self.log
    }
}

impl HardState {
    /// Term, vote and commit index.
    pub fn new(term: u32, vote: Option<Id>, commit: u32) -> HardState {
        HardState { term, vote, commit }
    }

    /// The term.
    pub fn term(self) -> u32 {
        self.term
    }

    /// The vote in that term.
    pub fn vote(self) -> Option<Id> {
        self.vote
    }

    /// The commit index.
    pub fn commit(self) -> u32 {
        self.commit
    }
}

impl Acknowledgement {
    /// The acknowledgement of what was handed over in a term: the last entry (zeros if all were known to be durable), and the
    /// index of a snapshot (zero if none was written).
    pub fn new(term: u32, last: Position, snapshot: u32) -> Acknowledgement {
        Acknowledgement {
            term,
            last,
            snapshot,
        }
    }
}

impl Append {
    /// The messages that wait until this is durable, those to the server itself among them.
    pub fn responses(&self) -> &[Message] {
        &self.responses
    }

    /// Returns the acknowledgement that storage gives once it is durable.
    pub fn acknowledgement(&self) -> Option<Acknowledgement> {
        self.acknowledges
    }

    /// Whether more is written than a commit index: that alone may be lost, so nobody waits for it.
    pub fn must_sync(&self, before: HardState) -> bool {
        let kept = |new: HardState| new.term == before.term && new.vote == before.vote;
        self.first > 0 || self.snapshot.is_some() || !self.hard_state.is_none_or(kept)
    }
}

impl Log {
    /// The log that begins behind a snapshot, or at the beginning if its index is zero.
    pub fn begin(snapshot: Position, configuration: Configuration) -> Log {
        Log::behind(snapshot, configuration, Seq::new())
    }

    /// Appends an entry.
    pub fn append(&mut self, entry: Entry) {
        self.push(entry);
    }
}

impl Configuration {
    /// The configuration in which these servers vote.
    pub fn voted_by(voters: IdSet) -> Configuration {
        Configuration::of_voters(voters)
    }

    /// The voters; in a joint configuration those of the new half.
    pub fn incoming(self) -> IdSet {
        self.voters
    }

    /// The voters of the old half of a joint configuration.
    pub fn outgoing(self) -> IdSet {
        self.outgoing
    }

    /// The voters of both halves.
    pub fn all_voters_set(self) -> IdSet {
        self.all_voters()
    }

    /// Everybody: voters and learners.
    pub fn all_members(self) -> IdSet {
        self.members()
    }

    /// Whether there are two halves.
    pub fn has_two_halves(self) -> bool {
        self.is_joint()
    }
}

impl Settings {
    /// The settings under which a recorded cluster of this many servers is validated: storage is asynchronous, the
    /// configuration begins as given, and anybody may change it.
    ///
    /// # Panics
    ///
    /// If there are more than [`MAX_MEMBERS`](crate::MAX_MEMBERS) servers.
    #[must_use]
    pub fn for_recorded(self, servers: u8, configuration: Configuration) -> Settings {
        assert!(
            usize::from(servers) <= crate::MAX_MEMBERS,
            "too many servers"
        );
        self.widened(servers, configuration)
    }
}

/// A vote for a pre-candidate, or the refusal of one.
pub fn pre_vote(from: Id, to: Id, term: u32, granted: bool) -> Message {
    let body = Body::RequestPreVoteResponse { granted };
    Message {
        from,
        to,
        term,
        body,
    }
}
