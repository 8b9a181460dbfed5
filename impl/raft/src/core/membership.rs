//! Changes of membership as they are applied (thesis §4).

use bytes::Bytes;

use super::{Core, TimerReset};
use crate::confchange::{Changer, ConfChangeError};
use crate::error::{CallError, Error};
use crate::observer::{Event, Observer};
use crate::storage::Storage;
use crate::tracker::{Configuration, ProgressMap, ProgressTracker};
use crate::types::{
    Body, ConfChangeV2, ConfState, Entry, EntryKind, Index, Message, Role, Term, entries_len,
    payloads_len,
};

impl<S: Storage, O: Observer> Core<S, O> {
    /// Makes a committed change of membership active. To be called when the entry is applied,
    /// unless the application refuses the change (then it must do so at every server). Returns the
    /// configuration to be stored in snapshots.
    ///
    /// # Errors
    ///
    /// [`CallError::ConfChange`] if the change does not fit the active configuration, which is
    /// then unchanged; [`Error::Storage`].
    pub fn apply_conf_change(
        &mut self,
        change: impl Into<ConfChangeV2>,
    ) -> Result<(ConfState, TimerReset), Error> {
        self.switch_configuration(&change.into())?;
        let conf_state = self.tracker.config.conf_state();
        Ok((conf_state, self.take_timer_reset()))
    }

    pub(super) fn switch_configuration(&mut self, change: &ConfChangeV2) -> Result<(), Error> {
        (self.tracker.config, self.tracker.progress) =
            changed(&self.tracker, self.log.last_index()?, change)
                .map_err(CallError::ConfChange)?;
        let result = self.switch_to();
        self.check_invariants();
        result
    }

    /// Reports the configuration to the observer, and updates whether this server is a learner.
    pub(super) fn note_configuration(&mut self) {
        self.watch.report(Event::ConfigurationSwitched {
            config: &self.tracker.config,
        });
        let own = self.tracker.progress.get(self.settings.id);
        self.is_learner = own.is_some_and(|progress| progress.is_learner);
    }

    fn switch_to(&mut self) -> Result<(), Error> {
        self.note_configuration();
        if self.role != Role::Leader {
            self.blank_progress();
            return Ok(());
        }
        let member = !self.is_learner && self.tracker.progress.contains(self.settings.id);
        // A removed leader goes on until somebody else is elected, unless told otherwise
        // (thesis §4.2.2).
        if !member && self.settings.step_down_on_removal {
            self.become_follower(self.term, None);
            return Ok(());
        }
        if self.tracker.config.voters.incoming.is_empty() {
            return Ok(());
        }
        if self.maybe_commit()? {
            // The quorum may have become smaller. A removed leader counts once more, too: those who
            // have what it waits for may have said so already.
            self.release_postponed_reads()?;
            self.broadcast_append()?;
        } else if member {
            // New members need not wait for the next proposal or heartbeat.
            self.broadcast_entries()?;
        }
        self.recount_reads();
        if self
            .lead_transferee
            .is_some_and(|to| !self.tracker.is_voter(to))
        {
            self.give_up_transfer();
        }
        Ok(())
    }

    /// The application has applied these entries.
    pub(super) fn handle_applied_entries(&mut self, entries: &[Entry]) -> Result<(), Error> {
        match entries.last() {
            Some(last) => {
                self.handle_applied(last.index, entries_len(entries), payloads_len(entries))
            }
            None => Ok(()),
        }
    }

    /// The application has applied everything up to `index`.
    pub(super) fn handle_applied(
        &mut self,
        index: Index,
        encoded_bytes: u64,
        payload_bytes: u64,
    ) -> Result<(), Error> {
        self.applied_to(index, encoded_bytes)?;
        self.uncommitted_bytes = self.uncommitted_bytes.saturating_sub(payload_bytes);
        Ok(())
    }

    pub(super) fn applied_to(&mut self, index: Index, encoded_bytes: u64) -> Result<(), Error> {
        let applied = self.log.applied().max(index);
        self.log.applied_to(applied, encoded_bytes);
        self.leave_joint_if_due()
    }

    /// A leader leaves a joint configuration that is to be left automatically once it is applied.
    pub(super) fn leave_joint_if_due(&mut self) -> Result<(), Error> {
        if self.role == Role::Leader
            && self.tracker.config.auto_leave
            && self.log.applied() >= self.pending_conf_index
        {
            self.leave_joint()?;
        }
        Ok(())
    }

    /// Proposes to leave the joint configuration. If a transfer of leadership is in the way, its end
    /// tries again, or the next leader.
    fn leave_joint(&mut self) -> Result<(), Error> {
        let id = self.settings.id;
        // No payload at all is the change that leaves, and is never refused for its size.
        let entries = vec![Entry::proposal(EntryKind::ConfChangeV2, Bytes::new())];
        let body = Body::Propose { entries };
        match self.handle(Message {
            from: id,
            to: id,
            term: Term::ZERO,
            body,
        }) {
            Ok(()) => {
                self.watch.report(Event::AutoLeaveProposed {
                    config: &self.tracker.config,
                });
                Ok(())
            }
            Err(Error::ProposalDropped(reason)) => {
                self.watch.report(Event::AutoLeaveDropped {
                    config: &self.tracker.config,
                    reason,
                });
                Ok(())
            }
            Err(error) => Err(error),
        }
    }
}

/// Configuration and progress after a change.
pub(super) fn changed(
    tracker: &ProgressTracker,
    last: Index,
    change: &ConfChangeV2,
) -> Result<(Configuration, ProgressMap), ConfChangeError> {
    let changer = Changer::new(tracker, last);
    if change.leaves_joint() {
        changer.leave_joint()
    } else if let Some(auto_leave) = change.enter_joint() {
        changer.enter_joint(auto_leave, &change.changes)
    } else {
        changer.simple(&change.changes)
    }
}
