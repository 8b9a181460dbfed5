//! The handling of messages of its term by a follower.

use bytes::Bytes;

use super::Core;
use super::validate::NUMBER_LIMIT;
use crate::config::ReadOnly;
use crate::error::{Error, Refusal};
use crate::observer::{Event, Observer};
use crate::storage::Storage;
use crate::types::{Body, Entry, EntryId, Index, Message, NodeId, Rejection, Role, Term};

impl<S: Storage, O: Observer> Core<S, O> {
    pub(super) fn step_follower(&mut self, message: Message) -> Result<(), Error> {
        match message.body {
            Body::AppendEntries {
                prev,
                entries,
                commit,
            } => {
                self.hear_from_leader(message.from);
                self.handle_append(message.from, prev, entries, commit)?;
            }
            Body::Heartbeat { commit, context } => {
                self.hear_from_leader(message.from);
                self.handle_heartbeat(message.from, commit, context);
            }
            Body::InstallSnapshot { snapshot } => {
                self.hear_from_leader(message.from);
                self.handle_snapshot(message.from, *snapshot)?;
            }
            Body::Propose { .. } => return self.forward_proposal(message),
            Body::ReadIndex { .. } => return self.forward_read(message),
            Body::ReadIndexResponse { index, context } => self.take_answer(index, context),
            Body::TransferLeader => return self.handle_transfer(message),
            Body::TimeoutNow => return self.timeout_now(message.from),
            Body::ForgetLeader => {
                // Nobody hears whether it was refused.
                let _ = self.handle_forget_leader();
            }
            _ => {}
        }
        Ok(())
    }

    fn handle_heartbeat(&mut self, leader: NodeId, commit: Index, context: Bytes) {
        self.log.commit_to(commit);
        self.send(leader, Body::HeartbeatResponse { context });
    }

    /// Tells a leader whose heartbeat was refused where the log of this server ends, as the refusal of an append behind
    /// it would. Nothing else comes of the heartbeat. A member that lost its disk would be silent otherwise: a
    /// learner asks for no votes, and an idle group has no appends.
    pub(crate) fn answer_refused_heartbeat(
        &mut self,
        from: NodeId,
        term: Term,
        commit: Index,
    ) -> Result<(), Error> {
        let last = self.log.last_index()?;
        let of_a_leader = term >= self.term && self.role == Role::Follower;
        let sound = !term.is_zero() && term.0 <= NUMBER_LIMIT && commit.0 <= NUMBER_LIMIT;
        let member = from != self.settings.id && self.tracker.progress.contains(from);
        if !of_a_leader || !sound || !member || commit <= last {
            return Ok(());
        }
        let rejection = Some(Rejection {
            hint_index: last,
            hint_term: self.log.term(last)?.unwrap_or_default(),
        });
        // In the term of the leader, which would not look at it otherwise. It acknowledges nothing, and so
        // need not wait for anything to be durable.
        self.messages.push(Message {
            from: self.settings.id,
            to: from,
            term,
            body: Body::AppendEntriesResponse {
                index: commit,
                rejection,
            },
        });
        Ok(())
    }

    /// Passes a request on to the leader; the sender stays the one who made it.
    pub(super) fn forward(&mut self, message: Message, leader: NodeId, term: Term) {
        self.messages.push(Message {
            to: leader,
            term,
            ..message
        });
    }

    /// The leader knows at which position a read is linearizable.
    fn forward_read(&mut self, message: Message) -> Result<(), Error> {
        let Some(leader) = self.leader else {
            self.watch
                .report(Event::ReadIndexDropped { term: self.term });
            return Err(Refusal::NoLeader.into());
        };
        self.forward(message, leader, Term::ZERO);
        Ok(())
    }

    pub(super) fn handle_forget_leader(&mut self) -> Result<(), Refusal> {
        if self.settings.read_only == ReadOnly::LeaseBased {
            // The leader's lease rests on this follower not voting for anybody else.
            self.watch.report(Event::ForgetLeaderIgnored);
            return Err(Refusal::LeaseBasedReads);
        }
        let leader = self.leader.take().ok_or(Refusal::NoLeader)?;
        self.lease = false;
        self.watch.report(Event::LeaderForgotten {
            leader,
            term: self.term,
        });
        self.give_up_reads();
        Ok(())
    }

    fn handle_append(
        &mut self,
        leader: NodeId,
        prev: EntryId,
        entries: Vec<Entry>,
        commit: Index,
    ) -> Result<(), Error> {
        if prev.index < self.log.committed() {
            // An old append. All that it could tell is committed, which the leader should know.
            self.acknowledge(leader, self.log.committed());
            return Ok(());
        }
        if let Some(last) = self
            .log
            .maybe_append(prev, entries, commit, &mut self.watch)?
        {
            self.acknowledge(leader, last);
            return Ok(());
        }
        let own_term = self.log.term(prev.index)?.unwrap_or_default();
        self.watch.report(Event::AppendRefused {
            from: leader,
            prev,
            own_term,
        });
        // The leader's log has terms of at most `prev.term` up to there; where the own terms are
        // higher, the logs cannot agree. Saying so spares the leader a round trip an entry.
        let end = prev.index.min(self.log.last_index()?);
        let hint = self.log.find_conflict_by_term(end, prev.term)?;
        let rejection = Rejection {
            hint_index: hint.index,
            hint_term: hint.term,
        };
        self.send(
            leader,
            Body::AppendEntriesResponse {
                index: prev.index,
                rejection: Some(rejection),
            },
        );
        Ok(())
    }
}
