//! Handing over leadership (thesis §3.10).

use super::{Core, TimerReset};
use crate::error::{Error, Refusal};
use crate::observer::{Event, Observer, TransferObstacle};
use crate::storage::Storage;
use crate::types::{Body, Message, NodeId, Term};

impl<S: Storage, O: Observer> Core<S, O> {
    /// Hands leadership over to a voter, as soon as that has the whole log; until then proposals
    /// are dropped. Given up after an election timeout (thesis §3.10), or when another transfer is
    /// asked for: then [`Ready::aborted_transfers`] says so. A leader that learns of a later term has
    /// handed over, to whomever: [`Ready::soft_state`] says so. A leader that is to hand over to itself
    /// gives a transfer up at once. A follower asks its leader, and does not hear what came of it
    /// except by who leads.
    ///
    /// # Errors
    ///
    /// [`Refusal::Transfer`] with the reason; [`Error::Storage`].
    ///
    /// [`Ready::aborted_transfers`]: crate::Ready::aborted_transfers
    /// [`Ready::soft_state`]: crate::Ready::soft_state
    pub fn transfer_leadership(&mut self, transferee: NodeId) -> Result<TimerReset, Error> {
        let (to, body) = (self.settings.id, Body::TransferLeader);
        let result = self.handle(Message {
            from: transferee,
            to,
            term: Term::ZERO,
            body,
        });
        self.check_invariants();
        result.map(|()| self.take_timer_reset())
    }

    /// A follower passes the request for another leader on to the one that it knows.
    pub(super) fn handle_transfer(&mut self, request: Message) -> Result<(), Error> {
        let Some(leader) = self.leader else {
            return self.refuse_transfer(request.from, TransferObstacle::NoLeader);
        };
        self.forward(request, leader, self.term);
        Ok(())
    }

    /// The leader tells this server to campaign at once, past pre-votes and leases.
    pub(super) fn timeout_now(&mut self, from: NodeId) -> Result<(), Error> {
        let term = self.term;
        self.watch.report(Event::TimeoutNowReceived { from, term });
        // If it may not campaign, nobody waits to hear that.
        self.start_election(true).map(drop)
    }

    /// A leader is asked to hand over to a member.
    pub(super) fn begin_transfer(&mut self, to: NodeId) -> Result<(), Error> {
        let Some(progress) = self.tracker.progress.get(to) else {
            return Err(Refusal::UnknownServer(to).into());
        };
        let (learner, complete) = (
            progress.is_learner,
            progress.matched() == self.log.last_index()?,
        );
        let term = self.term;
        if learner {
            return self.refuse_transfer(to, TransferObstacle::Learner);
        }
        if self.lead_transferee == Some(to) {
            let obstacle = TransferObstacle::InProgress;
            self.watch
                .report(Event::TransferIgnored { to, obstacle, term });
            return Ok(());
        }
        let previous = self.give_up_transfer();
        if let Some(to) = previous {
            self.watch.report(Event::TransferAborted { to, term });
        }
        if to == self.settings.id {
            let refused = self.refuse_transfer(to, TransferObstacle::AlreadyLeader);
            if previous.is_none() {
                return refused;
            }
            return self.leave_joint_if_due();
        }
        self.watch.report(Event::TransferStarted { to, term });
        // The transfer has one election timeout from now.
        self.timer_reset.election = true;
        self.lead_transferee = Some(to);
        if complete {
            self.send_timeout_now(to);
            self.watch
                .report(Event::TimeoutNowSent { to, at_once: true });
            return Ok(());
        }
        self.send_append(to)
    }

    /// A transfer that is under way will not be completed by this leader. What waited for its end is to
    /// be tried again, see [`leave_joint_if_due`](Core::leave_joint_if_due).
    pub(super) fn give_up_transfer(&mut self) -> Option<NodeId> {
        let previous = self.lead_transferee.take();
        self.aborted_transfers.extend(previous);
        previous
    }

    pub(super) fn refuse_transfer(
        &mut self,
        to: NodeId,
        obstacle: TransferObstacle,
    ) -> Result<(), Error> {
        let term = self.term;
        self.watch
            .report(Event::TransferIgnored { to, obstacle, term });
        Err(Refusal::Transfer(obstacle).into())
    }

    /// A member acknowledged something; if it is to lead and has all of the log now, it may.
    pub(super) fn maybe_hand_over(&mut self, from: NodeId) -> Result<(), Error> {
        if self.lead_transferee == Some(from)
            && let Some(progress) = self.tracker.progress.get(from)
            && progress.matched() == self.log.last_index()?
        {
            self.watch.report(Event::TimeoutNowSent {
                to: from,
                at_once: false,
            });
            self.send_timeout_now(from);
        }
        Ok(())
    }

    fn send_timeout_now(&mut self, to: NodeId) {
        self.timeout_now_sent = true;
        self.send(to, Body::TimeoutNow);
    }
}
