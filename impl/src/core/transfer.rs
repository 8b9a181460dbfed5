//! Handing over leadership (thesis §3.10).

use super::Core;
use crate::error::Error;
use crate::observer::{Event, Observer, TransferObstacle};
use crate::storage::Storage;
use crate::types::{Body, Message, NodeId, Term};

impl<S: Storage, O: Observer> Core<S, O> {
    /// Hands leadership over to a voter, as soon as that has the whole log; until then proposals
    /// are dropped. Given up after an election timeout (thesis §3.10). A follower asks its leader.
    ///
    /// # Errors
    ///
    /// [`Error::Storage`].
    pub fn transfer_leader(&mut self, transferee: NodeId) -> Result<(), Error> {
        let (to, body) = (self.settings.id, Body::TransferLeader);
        let result = self.handle(Message {
            from: transferee,
            to,
            term: Term::ZERO,
            body,
        });
        self.check_invariants();
        result
    }

    /// A leader is asked to hand over to a member.
    pub(super) fn handle_transfer(&mut self, to: NodeId) -> Result<(), Error> {
        let Some(progress) = self.tracker.progress.get(to) else {
            return Ok(());
        };
        let (learner, complete) = (
            progress.is_learner,
            progress.matched() == self.log.last_index()?,
        );
        let term = self.term;
        if learner {
            let obstacle = TransferObstacle::Learner;
            self.watch
                .report(Event::TransferIgnored { to, obstacle, term });
            return Ok(());
        }
        if self.lead_transferee == Some(to) {
            let obstacle = TransferObstacle::InProgress;
            self.watch
                .report(Event::TransferIgnored { to, obstacle, term });
            return Ok(());
        }
        if let Some(previous) = self.lead_transferee.take() {
            self.watch
                .report(Event::TransferAborted { to: previous, term });
        }
        if to == self.settings.id {
            let obstacle = TransferObstacle::AlreadyLeader;
            self.watch
                .report(Event::TransferIgnored { to, obstacle, term });
            return Ok(());
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

    /// A member acknowledged something; if it is to lead and has all of the log now, it may.
    pub(super) fn continue_transfer(&mut self, from: NodeId) -> Result<(), Error> {
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
