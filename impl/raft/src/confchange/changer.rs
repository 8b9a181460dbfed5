//! The three changes: simple, entering a joint configuration, leaving it.

use super::{ConfChangeError, check_invariants};
use crate::tracker::{Configuration, Inflights, Progress, ProgressMap, ProgressTracker};
use crate::types::{ConfChangeKind, ConfChangeSingle, Index, NodeId};

/// The result of a change: configuration and progress, which must be put into the tracker together.
pub type Changed = (Configuration, ProgressMap);

/// Computes the configuration that follows from a change, without touching the present one.
#[derive(Clone, Debug)]
pub struct Changer {
    config: Configuration,
    progress: ProgressMap,
    new_inflights: Inflights,
    last_index: Index,
}

impl Changer {
    /// Starts from the configuration of `tracker`; new members are probed from `last_index`, the
    /// last index of the leader's log.
    pub fn new(tracker: &ProgressTracker, last_index: Index) -> Self {
        Self {
            config: tracker.config.clone(),
            progress: tracker.progress.clone(),
            new_inflights: tracker.new_inflights(),
            last_index,
        }
    }

    /// Changes that together add or remove at most one voter, and any number of learners.
    ///
    /// # Errors
    /// In a transition, if more than one voter changes, or if none would be left.
    pub fn simple(mut self, changes: &[ConfChangeSingle]) -> Result<Changed, ConfChangeError> {
        self.apply_simple(changes)?;
        Ok(self.into_changed())
    }

    /// Enters a joint configuration: the present voters become the outgoing half, and the changes
    /// make the incoming half out of them (C<sub>old,new</sub> of the Raft thesis, section 4.3).
    ///
    /// # Errors
    /// In a transition already, without voters, or if no incoming voter would be left.
    pub fn enter_joint(
        mut self,
        auto_leave: bool,
        changes: &[ConfChangeSingle],
    ) -> Result<Changed, ConfChangeError> {
        self.apply_enter_joint(auto_leave, changes)?;
        Ok(self.into_changed())
    }

    /// Leaves the joint configuration: the incoming half decides alone, and voters that were to be
    /// demoted become learners.
    ///
    /// # Errors
    /// Outside of a transition.
    pub fn leave_joint(mut self) -> Result<Changed, ConfChangeError> {
        self.check()?;
        if !self.config.voters.is_joint() {
            return Err(ConfChangeError::NotJoint);
        }
        for id in std::mem::take(&mut self.config.learners_next).iter() {
            self.config.learners.insert(id);
            self.mark_learner(id, true);
        }
        for id in std::mem::take(&mut self.config.voters.outgoing).ids() {
            if !self.config.voters.incoming.contains(id) && !self.config.learners.contains(id) {
                self.progress.remove(id);
            }
        }
        self.config.auto_leave = false;
        self.check()?;
        Ok(self.into_changed())
    }

    pub(super) fn apply_simple(
        &mut self,
        changes: &[ConfChangeSingle],
    ) -> Result<(), ConfChangeError> {
        self.check()?;
        if self.config.voters.is_joint() {
            return Err(ConfChangeError::SimpleInJoint);
        }
        let before = self.config.voters.incoming.ids().clone();
        self.apply(changes)?;
        let after = self.config.voters.incoming.ids();
        if before.symmetric_difference_len(after) > 1 {
            return Err(ConfChangeError::MoreThanOneVoter);
        }
        self.check()
    }

    pub(super) fn apply_enter_joint(
        &mut self,
        auto_leave: bool,
        changes: &[ConfChangeSingle],
    ) -> Result<(), ConfChangeError> {
        self.check()?;
        if self.config.voters.is_joint() {
            return Err(ConfChangeError::AlreadyJoint);
        }
        if self.config.voters.incoming.is_empty() {
            return Err(ConfChangeError::NoVotersToLeave);
        }
        self.config.voters.outgoing = self.config.voters.incoming.clone();
        self.apply(changes)?;
        self.config.auto_leave = auto_leave;
        self.check()
    }

    pub(super) fn into_changed(self) -> Changed {
        (self.config, self.progress)
    }

    pub(super) fn config(&self) -> &Configuration {
        &self.config
    }

    fn check(&self) -> Result<(), ConfChangeError> {
        Ok(check_invariants(&self.config, &self.progress)?)
    }

    /// Applies changes to the incoming half.
    fn apply(&mut self, changes: &[ConfChangeSingle]) -> Result<(), ConfChangeError> {
        for change in changes {
            // Without a node it is a change that the application decided to skip.
            let Some(node) = change.node else { continue };
            let adds = matches!(
                change.kind,
                ConfChangeKind::AddNode | ConfChangeKind::AddLearner
            );
            if adds && node.is_storage_thread() {
                return Err(ConfChangeError::ReservedId(node));
            }
            match change.kind {
                ConfChangeKind::AddNode => self.make_voter(node),
                ConfChangeKind::AddLearner => self.make_learner(node),
                ConfChangeKind::RemoveNode => self.remove(node),
                // Concerns the application only, such as a new address.
                ConfChangeKind::UpdateNode => {}
            }
        }
        if self.config.voters.incoming.is_empty() {
            return Err(ConfChangeError::NoVotersLeft);
        }
        Ok(())
    }

    fn make_voter(&mut self, id: NodeId) {
        self.config.learners.remove(id);
        self.config.learners_next.remove(id);
        self.config.voters.incoming.ids_mut().insert(id);
        self.track(id);
        self.mark_learner(id, false);
    }

    fn make_learner(&mut self, id: NodeId) {
        self.config.voters.incoming.ids_mut().remove(id);
        self.track(id);
        if self.config.voters.outgoing.contains(id) {
            // Still a voter of the outgoing half, and nobody is both: it waits for the end of the
            // transition.
            self.config.learners_next.insert(id);
        } else {
            self.config.learners.insert(id);
            self.mark_learner(id, true);
        }
    }

    fn remove(&mut self, id: NodeId) {
        self.config.voters.incoming.ids_mut().remove(id);
        self.config.learners.remove(id);
        self.config.learners_next.remove(id);
        // The outgoing half still needs its acknowledgements.
        if !self.config.voters.outgoing.contains(id) {
            self.progress.remove(id);
        }
    }

    /// Starts to track a new member; a known one keeps its progress.
    fn track(&mut self, id: NodeId) {
        if self.progress.contains(id) {
            return;
        }
        let mut progress = Progress::new(self.last_index, self.new_inflights.clone());
        // A new member had no chance yet to be heard of: the next check of the quorum must not
        // count that against the leader.
        progress.recent_active = true;
        self.progress.insert(id, progress);
    }

    fn mark_learner(&mut self, id: NodeId, is_learner: bool) {
        if let Some(progress) = self.progress.get_mut(id) {
            progress.is_learner = is_learner;
        }
    }
}
