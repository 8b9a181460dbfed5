//! Reads without an entry of their own in the log (thesis, section 6.4; etcd's raft, ReadIndex).
//!
//! Whoever reads is told an index: what it reads is current once everything up to there is applied. The leader tells its
//! commit index, when it has made sure of two things: that the index is as high as any that a leader before it has
//! acknowledged, for which it must have committed an entry of its own term; and that nobody leads after it yet, for
//! which it needs answers of a quorum that were given after the read came, or a lease.
//!
//! The answers are told from older ones by the number of the round that they are for. The leader counts: the first read of
//! its term has number one. (Etcd's raft v3.6 takes the context that the client gave the read, which may come
//! twice: [`Departure::ReadsByContext`].)
//!
//! Every read of a client ends once as long as its server is there: it is answered, or given up with the leadership
//! under which it came. (Etcd's raft tells nobody: [`Departure::ReadsLostSilently`].)

use super::{Server, Turn};
use crate::dialect::Departure;
use crate::ids::{Id, IdSet, OutOfRange};
use crate::message::{Body, Message, read_context};
use crate::rule::{Notes, Rule};
use lockstep_traces as vocabulary;
use lockstep_traces::{Index, Outcome, Refusal, Role};
use std::sync::Arc;

/// A read, and where it was asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Request {
    /// The server whose client reads.
    pub(crate) origin: Id,
    /// The context by which the client knows the answer; at least one.
    pub(crate) context: u8,
}

/// A read that waits for a round of heartbeats.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Unconfirmed {
    /// The read.
    pub(crate) request: Request,
    /// The answer: the commit index when it came.
    pub(crate) index: u32,
    /// The servers that have answered its round or a later one, the leader among them.
    pub(crate) acks: IdSet,
}

/// The fate of a read of a client of this server: it is answered, or given up.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct ReadState {
    /// The context by which the client knows it.
    pub(crate) context: u8,
    /// The index up to which everything must be applied for the answer to be current; `None` if the read was given up.
    pub(crate) index: Option<u32>,
}

/// The reads that wait at a server, and what goes with them.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Queue {
    /// At a leader: those that wait until it has committed an entry of its term, oldest first.
    pub(crate) postponed: Vec<Request>,
    /// At a leader: those that wait for a round of heartbeats, oldest first.
    pub(crate) unconfirmed: Vec<Unconfirmed>,
    /// At a leader: how many reads rounds have confirmed. The read after those has the next number.
    pub(crate) confirmed: u32,
    /// At a leader that answers by lease: it has told a server to campaign in this term. The transfer may have been given
    /// up since.
    pub(crate) handed_over: bool,
    /// At a follower: the contexts of the reads of its own clients that it passed on to its leader, oldest first.
    pub(crate) forwarded: Vec<u8>,
}

impl Queue {
    /// Whether everything is left that a leader only has.
    fn is_of_follower(&self, settings: &crate::Settings) -> bool {
        let stay = settings.departs(Departure::PostponedReadsStay);
        let postponed = !stay && !self.postponed.is_empty();
        !postponed && self.unconfirmed.is_empty() && self.confirmed == 0 && !self.handed_over
    }

    /// Checks the invariants of a server `i` with this queue, which hold whatever the others do.
    pub(crate) fn check(&self, i: &Server, settings: &crate::Settings) -> Result<(), &'static str> {
        if i.role != Role::Leader && !self.is_of_follower(settings) {
            return Err("reads are taken up and confirmed by a leader");
        }
        let follows = i.role == Role::Follower && i.leader.is_some();
        if !follows && !self.forwarded.is_empty() {
            return Err("reads wait for a leader that the server follows");
        }
        if self.handed_over && settings.reads != vocabulary::Reads::LeaseBased {
            return Err("only a lease ends with a transfer");
        }
        match settings.reads {
            vocabulary::Reads::Off if *self != Queue::default() => Err("nobody reads"),
            _ => Ok(()),
        }
    }
}

impl From<ReadState> for vocabulary::ReadState {
    fn from(state: ReadState) -> vocabulary::ReadState {
        vocabulary::ReadState {
            context: state.context.into(),
            index: state.index.map(|index| Index(index.into())),
        }
    }
}

impl TryFrom<&vocabulary::ReadState> for ReadState {
    type Error = OutOfRange;

    fn try_from(state: &vocabulary::ReadState) -> Result<ReadState, OutOfRange> {
        let index = state.index.map(|index| u32::try_from(index.0));
        Ok(ReadState {
            context: read_context(state.context).ok_or(OutOfRange)?,
            index: index.transpose().map_err(|_| OutOfRange)?,
        })
    }
}

impl<N: Notes> Turn<'_, N> {
    /// A client reads at this server. One that knows no leader says so.
    pub(super) fn read(&mut self, context: u8) -> Outcome {
        let origin = self.i.id;
        match self.handle_read(Request { origin, context }) {
            Ok(()) => Outcome::Accepted,
            Err(refusal) => Outcome::Refused(refusal),
        }
    }

    /// A read that another server passed on. One that is refused is lost: nobody can be told. A read of this server's own
    /// client that comes back is over: the server gave it up when it stopped following the leader that it had asked.
    pub(super) fn handle_forwarded_read(&mut self, request: Request) {
        if self.is_returned_read(request) {
            self.note(Rule::ReturnedReadIgnored);
            return;
        }
        let _ = self.handle_read(request);
    }

    /// Whether a read that was passed on is one of this server's own clients.
    fn is_returned_read(&self, request: Request) -> bool {
        request.origin == self.i.id && !self.settings.departs(Departure::ReadsLostSilently)
    }

    /// A read of a client, here or at the server that passed it on.
    fn handle_read(&mut self, request: Request) -> Result<(), Refusal> {
        if self.settings.reads == vocabulary::Reads::Off {
            return Ok(());
        }
        match self.i.role {
            Role::Leader => {
                self.read_index(request);
                Ok(())
            }
            _ => self.forward_read(request),
        }
    }

    /// A follower passes a read on to the leader that it knows (thesis, section 6.4: "the follower could issue a
    /// request to the leader that just asks for a current readIndex"). Like a proposal it is as good in any term. The
    /// follower keeps account of what its own clients wait for.
    fn forward_read(&mut self, request: Request) -> Result<(), Refusal> {
        let follows = self.i.role == Role::Follower;
        let Some(leader) = self.i.leader.filter(|_| follows) else {
            self.note(Rule::ReadRefused);
            return Err(Refusal::NoLeader);
        };
        self.note(Rule::ReadForwarded);
        let Request { origin, context } = request;
        if origin == self.i.id && !self.settings.departs(Departure::ReadsLostSilently) {
            self.reads_mut().forwarded.push(context);
        }
        self.send(leader, 0, Body::ReadIndex { origin, context });
        Ok(())
    }

    /// "If the leader has not yet marked an entry from its current term committed, it waits until it has done so" (thesis,
    /// section 6.4): only then it knows what was committed before its term.
    fn read_index(&mut self, request: Request) {
        if self.answers_without_asking() {
            self.answer_read(request, self.i.commit);
        } else if !self.has_committed_in_term() {
            self.note(Rule::ReadPostponed);
            self.reads_mut().postponed.push(request);
        } else {
            self.start_read(request);
        }
    }

    /// Whether the leader answers at once, as etcd's raft does, because there is one voter: without a commit in its
    /// term, and even if that voter is another server.
    fn answers_without_asking(&self) -> bool {
        let configuration = self.i.configuration;
        let one = configuration.voters.len() == 1 && configuration.outgoing.is_empty();
        let departure = match self.i.is_alone() {
            true => Departure::SingleVoterReadsAtOnce,
            false => Departure::LastVoterNotAsked,
        };
        one && self.settings.departs(departure)
    }

    /// Whether the leader has committed an entry of its term.
    fn has_committed_in_term(&self) -> bool {
        self.i.log.term_at(self.i.commit) == Some(self.i.term)
    }

    /// A read that waits for no commit any more. A leader that is a quorum by itself answers.
    fn start_read(&mut self, request: Request) {
        if self.i.is_alone() {
            self.note(Rule::ReadAlone);
            self.answer_read(request, self.i.commit);
        } else {
            self.confirm_read(request);
        }
    }

    /// A read that needs a lease, or others who confirm it.
    fn confirm_read(&mut self, request: Request) {
        if self.has_lease() {
            self.note(Rule::LeaseRead);
            self.answer_read(request, self.i.commit);
        } else {
            self.begin_round(request);
        }
    }

    /// With the first commit of the term the reads that waited for it are taken up.
    pub(super) fn release_postponed_reads(&mut self) {
        if self.i.reads.is_none() || !self.has_committed_in_term() {
            return;
        }
        let postponed = std::mem::take(&mut self.reads_mut().postponed);
        for request in postponed {
            self.note(Rule::ReadsReleased);
            match self.settings.departs(Departure::ReleasedReadsAskOthers) {
                true => self.confirm_read(request),
                false => self.start_read(request),
            }
        }
        self.tidy_reads();
    }

    /// Whether the leader answers by lease. "The leader would rely on the normal heartbeat mechanism to maintain a lease"
    /// (thesis, section 6.4.1), so a quorum must have been active lately, the leader among its voters. The request of a
    /// server that the leader has told to campaign overrides the leases of others, and may still be on its way when the
    /// transfer was given up: for the rest of its term the leader has no lease.
    fn has_lease(&mut self) -> bool {
        if self.settings.reads != vocabulary::Reads::LeaseBased {
            return false;
        }
        let handed_over = self.i.reads.as_ref().is_some_and(|reads| reads.handed_over);
        if handed_over && !self.settings.departs(Departure::LeaseAfterTimeoutNow) {
            self.note(Rule::LeaseGivenUp);
            return false;
        }
        if !self.is_renewed() && !self.settings.departs(Departure::LeaseWithoutActivity) {
            self.note(Rule::LeaseLapsed);
            return false;
        }
        true
    }

    /// Whether the leader votes, and a quorum has been active since its last quorum check; the leader itself always is.
    fn is_renewed(&self) -> bool {
        let i = &*self.i;
        let active = |j: &Id| i.peer(*j).is_some_and(|peer| peer.recent_active);
        let mut quorum = IdSet::EMPTY;
        quorum.insert(i.id);
        i.others().filter(active).for_each(|j| quorum.insert(j));
        let votes = i.configuration.all_voters().contains(i.id);
        votes && i.configuration.is_quorum(quorum)
    }

    /// A leader that answers by lease told a server to campaign.
    pub(super) fn give_up_lease(&mut self) {
        if self.settings.reads == vocabulary::Reads::LeaseBased {
            self.reads_mut().handed_over = true;
        }
    }

    /// "The leader needs to make sure it hasn't been superseded by a newer leader of which it is unaware. It issues a new
    /// round of heartbeats and waits for their acknowledgments from a majority of the cluster" (thesis, section 6.4).
    fn begin_round(&mut self, request: Request) {
        let context = u32::from(request.context);
        let by_context = self.settings.departs(Departure::ReadsByContext);
        let (index, own) = (self.i.commit, self.i.id);
        let reads = self.reads_mut();
        let same = |read: &Unconfirmed| read.request.context == request.context;
        if !by_context || !reads.unconfirmed.iter().any(same) {
            let mut acks = IdSet::EMPTY;
            acks.insert(own);
            reads.unconfirmed.push(Unconfirmed {
                request,
                index,
                acks,
            });
        }
        self.note(Rule::RoundBegins);
        let round = match by_context {
            true => context,
            false => self.round(),
        };
        self.broadcast_heartbeat(round);
    }

    /// The round that a heartbeat sent now is of: the number of the last read that waits for one, zero if none does.
    pub(super) fn round(&self) -> u32 {
        let Some(reads) = &self.i.reads else {
            return 0;
        };
        match reads.unconfirmed.last() {
            None => 0,
            Some(last) if self.settings.departs(Departure::ReadsByContext) => {
                last.request.context.into()
            }
            Some(_) => reads.confirmed + reads.unconfirmed.len() as u32,
        }
    }

    /// Server j has answered a heartbeat of this round, and with it of all rounds before: it followed this leader when all
    /// those reads had come. What a quorum has answered is confirmed, with all reads before it.
    pub(super) fn acknowledge_read(&mut self, j: Id, round: u32) {
        let waits = |reads: &Arc<Queue>| !reads.unconfirmed.is_empty();
        if round == 0 || !self.i.reads.as_ref().is_some_and(waits) {
            return;
        }
        self.note(Rule::RoundAnswered);
        let by_context = self.settings.departs(Departure::ReadsByContext);
        let configuration = self.i.configuration;
        let reads = self.reads_mut();
        let before = reads.confirmed;
        let mut confirmed = 0;
        for (place, read) in (1..).zip(&mut reads.unconfirmed) {
            let number = before + place;
            let answered = match by_context {
                true => u32::from(read.request.context) == round,
                false => number <= round,
            };
            if answered {
                read.acks.insert(j);
            }
            // The configuration may be another one than when the earlier answers came.
            if (answered || !by_context) && configuration.is_quorum(read.acks) {
                confirmed = place as usize;
            }
        }
        self.answer_confirmed(confirmed);
    }

    /// Another configuration is in use: what those who have answered confirm now is answered, with all reads before it.
    pub(super) fn recount_reads(&mut self) {
        let configuration = self.i.configuration;
        let Some(reads) = &self.i.reads else {
            return;
        };
        if self.settings.departs(Departure::RoundsNotRecounted) {
            return;
        }
        let mut waiting = reads.unconfirmed.iter();
        let last = waiting.rposition(|read| configuration.is_quorum(read.acks));
        if let Some(last) = last {
            self.note(Rule::RoundsRecounted);
            self.answer_confirmed(last + 1);
        }
    }

    /// Answers the `count` oldest reads that wait for a round, which are confirmed.
    fn answer_confirmed(&mut self, count: usize) {
        let by_context = self.settings.departs(Departure::ReadsByContext);
        let reads = self.reads_mut();
        let answers: Vec<Unconfirmed> = reads.unconfirmed.drain(..count).collect();
        if !by_context {
            reads.confirmed += count as u32;
        }
        for read in answers {
            self.note(Rule::RoundConfirmed);
            self.answer_read(read.request, read.index);
        }
        self.tidy_reads();
    }

    /// The answer goes to the client, or to the server that it asked.
    fn answer_read(&mut self, Request { origin, context }: Request, index: u32) {
        self.note(Rule::ReadAnswered);
        if origin == self.i.id {
            self.tell_client(context, Some(index));
        } else {
            self.send(
                origin,
                self.i.term,
                Body::ReadIndexResponse { context, index },
            );
        }
    }

    /// A client of this server is told what became of its read.
    fn tell_client(&mut self, context: u8, index: Option<u32>) {
        self.outbox.read_states.push(ReadState { context, index });
    }

    /// The leader has answered a read of this server. Who does not follow it any more ignores it, and so does a follower
    /// that waits for no such answer: the read was given up, or answered already. Of several reads of one context the oldest is
    /// answered.
    pub(super) fn take_answer(&mut self, m: &Message) {
        let Body::ReadIndexResponse { context, index } = m.body else {
            return;
        };
        if self.i.role != Role::Follower || self.settings.reads == vocabulary::Reads::Off {
            return;
        }
        if !self.settings.departs(Departure::ReadsLostSilently) {
            let waiting = self.i.reads.iter().flat_map(|reads| &reads.forwarded);
            let mut places = waiting.enumerate();
            let Some((place, _)) = places.find(|(_, it)| **it == context) else {
                self.note(Rule::LateAnswerIgnored);
                return;
            };
            self.reads_mut().forwarded.remove(place);
            self.tidy_reads();
        }
        self.note(Rule::ReadResponseTaken);
        self.tell_client(context, Some(index));
    }

    /// Reads end with the leadership under which they came: the rounds are those of one leader, and a follower does not know
    /// what became of what it passed on. The server tells its own clients, who may ask again: first those whose reads
    /// wait for a round, then those that wait for a commit, then those whose reads it passed on. Servers that passed
    /// reads on to it find out for themselves that they have another leader.
    pub(super) fn give_up_reads(&mut self) {
        if self.i.reads.is_none() {
            return;
        }
        let settings = self.settings;
        let reads = self.reads_mut();
        let mut given_up = std::mem::take(reads);
        if settings.departs(Departure::PostponedReadsStay) {
            reads.postponed = std::mem::take(&mut given_up.postponed);
        }
        self.tidy_reads();
        let own = self.i.id;
        let unconfirmed = given_up.unconfirmed.iter().map(|read| read.request);
        let taken = unconfirmed.chain(given_up.postponed);
        let taken: Vec<Request> = taken.collect();
        if !taken.is_empty() || !given_up.forwarded.is_empty() {
            self.note(Rule::ReadsGivenUp);
        }
        if settings.departs(Departure::ReadsLostSilently) {
            return;
        }
        let taken = taken.into_iter().filter(|it| it.origin == own);
        let contexts = taken.map(|it| it.context).chain(given_up.forwarded);
        contexts.for_each(|context| self.tell_client(context, None));
    }

    fn reads_mut(&mut self) -> &mut Queue {
        Arc::make_mut(self.i.reads.get_or_insert_default())
    }

    /// Equal behaviour is equal state.
    fn tidy_reads(&mut self) {
        self.i.reads.take_if(|reads| **reads == Queue::default());
    }
}
