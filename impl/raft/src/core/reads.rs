//! Linearizable reads without log entries (thesis §6.4).

use std::collections::VecDeque;

use bytes::Bytes;

use super::Core;
use crate::config::ReadOnly;
use crate::error::Error;
use crate::observer::Observer;
use crate::quorum::{IdSet, VoteResult};
use crate::status::{PendingReads, ReadRound};
use crate::storage::Storage;
use crate::types::{Body, Index, Message, NodeId, ReadState, Role, Term};

/// The number of reads of which a follower keeps account while its leader is asked.
pub(super) const MAX_FORWARDED_READS: usize = 1 << 12;

fn given_up(context: Bytes) -> ReadState {
    ReadState {
        index: None,
        context,
    }
}

/// A read that somebody asked for.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct ReadRequest {
    from: NodeId,
    context: Bytes,
}

/// Reads that wait until a quorum has confirmed that this server still led when they came.
///
/// Each read is a round of heartbeats with a number of its own. The number and not the caller's
/// context goes with the heartbeats: callers repeat contexts, and an answer to an earlier round
/// must not count for a later one.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(super) struct Reads {
    /// Invariant: ascending and without gaps by `number`, from 1 in each term.
    rounds: VecDeque<Round>,
    last_number: u64,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Round {
    number: u64,
    /// The number as heartbeats carry it, kept so that no heartbeat allocates.
    context: Bytes,
    /// The commit index when the read came.
    index: Index,
    acks: IdSet,
    request: ReadRequest,
}

impl Reads {
    /// Opens a round, and returns the context for its heartbeats.
    fn begin_round(&mut self, request: ReadRequest, index: Index) -> Bytes {
        self.last_number += 1;
        let number = self.last_number;
        let context = Bytes::copy_from_slice(&number.to_be_bytes());
        self.rounds.push_back(Round {
            number,
            context: context.clone(),
            index,
            acks: IdSet::new(),
            request,
        });
        context
    }

    /// The context of the last open round; empty if there is none.
    pub(super) fn last_context(&self) -> Bytes {
        self.rounds
            .back()
            .map_or_else(Bytes::new, |round| round.context.clone())
    }

    fn find(&mut self, context: &[u8]) -> Option<&mut Round> {
        let number = u64::from_be_bytes(context.try_into().ok()?);
        let first = self.rounds.front()?.number;
        self.rounds
            .get_mut(usize::try_from(number.checked_sub(first)?).ok()?)
    }

    /// Closes all rounds up to this one: who led then led before.
    fn close_up_to(&mut self, number: u64) -> impl Iterator<Item = Round> + use<> {
        let count = self
            .rounds
            .iter()
            .take_while(|round| round.number <= number)
            .count();
        let later = self.rounds.split_off(count);
        std::mem::replace(&mut self.rounds, later).into_iter()
    }
}

impl<S: Storage, O: Observer> Core<S, O> {
    /// The reads that wait at this server.
    pub fn pending_reads(&self) -> PendingReads {
        let Reads {
            rounds,
            last_number,
        } = &self.reads;
        let round = |round: &Round| ReadRound {
            from: round.request.from,
            context: round.request.context.clone(),
            index: round.index,
            acks: round.acks.iter().collect(),
        };
        let request = |request: &ReadRequest| (request.from, request.context.clone());
        PendingReads {
            postponed: self.postponed_reads.iter().map(request).collect(),
            rounds: rounds.iter().map(round).collect(),
            confirmed: last_number - rounds.len() as u64,
            forwarded: self.forwarded_reads.iter().cloned().collect(),
            timeout_now_sent: self.timeout_now_sent,
        }
    }

    /// Asks for a position at which a read is linearizable. The answer is a
    /// [`ReadState`] with this context in a later `Ready`: the read may be served once everything
    /// up to its index is applied (thesis §6.4). A follower asks its leader.
    ///
    /// A read that this server gives up, since the leader that was asked lost its leadership (as far as
    /// this server knows), comes back as a [`ReadState`] without an index. The network may still lose
    /// the question or the answer of a follower: ask again after a timeout. A follower keeps account
    /// of the last 4,096 reads; an older one is given up.
    ///
    /// # Errors
    ///
    /// [`Refusal::NoLeader`]; [`Error::Storage`].
    ///
    /// [`Refusal::NoLeader`]: crate::Refusal::NoLeader
    pub fn read_index(&mut self, context: Bytes) -> Result<(), Error> {
        let id = self.settings.id;
        let forwarded = (self.role == Role::Follower).then(|| context.clone());
        let body = Body::ReadIndex { context };
        let result = self.handle(Message {
            from: id,
            to: id,
            term: Term::ZERO,
            body,
        });
        if result.is_ok() {
            self.forwarded_reads.extend(forwarded);
            if self.forwarded_reads.len() > MAX_FORWARDED_READS {
                let oldest = self.forwarded_reads.pop_front();
                self.read_states.extend(oldest.map(given_up));
            }
        }
        self.check_invariants();
        result
    }

    /// The leader has answered a read. Answers that come twice, or after the read was given up, are
    /// dropped: there is one answer to a request.
    pub(super) fn take_answer(&mut self, index: Index, context: Bytes) {
        let asked = self.forwarded_reads.iter().position(|it| *it == context);
        if let Some(at) = asked {
            self.forwarded_reads.remove(at);
            let index = Some(index);
            self.read_states.push(ReadState { index, context });
        }
    }

    /// Nobody will answer what this server was asked or has asked. Other servers that asked it see for
    /// themselves that their leader has changed.
    pub(super) fn give_up_reads(&mut self) {
        let rounds = std::mem::take(&mut self.reads).rounds;
        let own = rounds
            .into_iter()
            .map(|round| round.request)
            .chain(self.postponed_reads.drain(..))
            .filter(|request| request.from == self.settings.id)
            .map(|request| request.context);
        let contexts = own.chain(self.forwarded_reads.drain(..));
        self.read_states.extend(contexts.map(given_up));
    }

    pub(super) fn handle_read(&mut self, from: NodeId, context: Bytes) -> Result<(), Error> {
        let request = ReadRequest { from, context };
        if self.has_committed_in_term()? {
            self.start_read(request);
        } else {
            // The commit index of a new leader may lag behind what clients were told (§8).
            self.postponed_reads.push(request);
        }
        Ok(())
    }

    fn has_committed_in_term(&self) -> Result<bool, Error> {
        Ok(self.log.term(self.log.committed())? == Some(self.term))
    }

    pub(super) fn release_postponed_reads(&mut self) -> Result<(), Error> {
        if !self.postponed_reads.is_empty() && self.has_committed_in_term()? {
            for request in std::mem::take(&mut self.postponed_reads) {
                self.start_read(request);
            }
        }
        Ok(())
    }

    fn start_read(&mut self, request: ReadRequest) {
        // A leader that is no voter (any more) cannot confirm anything alone.
        if self.tracker.is_singleton() && self.is_voter() {
            self.answer_read(request, self.log.committed());
        } else {
            self.confirm_read(request);
        }
    }

    /// A leader that told a server to campaign must expect it to be elected, whatever leases say. And one that has not
    /// heard from a quorum since its last check still leads until the next, which may be longer than the leases of
    /// the others last.
    fn confirm_read(&mut self, request: ReadRequest) {
        let index = self.log.committed();
        if self.has_lease() {
            self.answer_read(request, index);
            return;
        }
        let context = self.reads.begin_round(request, index);
        self.broadcast_heartbeat_with(context.clone());
        // In small configurations the leader may be quorum enough.
        self.acknowledge_read(self.settings.id, &context);
    }

    /// Whether this leader may answer reads without asking anybody (thesis, section 6.4.1).
    fn has_lease(&self) -> bool {
        self.settings.read_only == ReadOnly::LeaseBased
            && self.is_voter()
            && !self.timeout_now_sent
            && self.tracker.quorum_active()
    }

    /// Whether a read is one of this server's own that comes back. It was given up with the leader that it was passed
    /// on to: whoever asked was told, and may have asked again with the same context.
    pub(super) fn is_returned_read(&self, message: &Message) -> bool {
        message.from == self.settings.id && matches!(message.body, Body::ReadIndex { .. })
    }

    /// Somebody answered a heartbeat, and so confirmed that this server leads.
    pub(super) fn acknowledge_read(&mut self, from: NodeId, context: &[u8]) {
        let Some(round) = self.reads.find(context) else {
            return;
        };
        round.acks.insert(from);
        let (number, acks) = (round.number, &round.acks);
        let result = self
            .tracker
            .config
            .voters
            .vote_result(|id| acks.contains(id).then_some(true));
        if result == VoteResult::Won {
            self.answer_rounds(number);
        }
    }

    /// The configuration has changed: those who have answered may be a quorum now, and whoever has
    /// not may never answer.
    pub(super) fn recount_reads(&mut self) {
        let voters = &self.tracker.config.voters;
        let confirmed = self.reads.rounds.iter().rev().find(|round| {
            let answered = |id| round.acks.contains(id).then_some(true);
            voters.vote_result(answered) == VoteResult::Won
        });
        if let Some(number) = confirmed.map(|round| round.number) {
            self.answer_rounds(number);
        }
    }

    fn answer_rounds(&mut self, number: u64) {
        for round in self.reads.close_up_to(number) {
            self.answer_read(round.request, round.index);
        }
    }

    fn answer_read(&mut self, request: ReadRequest, index: Index) {
        let ReadRequest { from, context } = request;
        if from == self.settings.id {
            let index = Some(index);
            self.read_states.push(ReadState { index, context });
        } else {
            self.send(from, Body::ReadIndexResponse { index, context });
        }
    }
}
