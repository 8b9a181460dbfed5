//! Invariants that hold after every call.

use super::Core;
use crate::observer::Observer;
use crate::storage::Storage;
use crate::tracker::ProgressState;
use crate::types::{Index, Role};

impl<S: Storage, O: Observer> Core<S, O> {
    /// Checks, in builds with debug assertions, what is noted beside the fields.
    pub(super) fn check_invariants(&self) {
        if cfg!(debug_assertions) {
            self.log.check_invariants();
            self.check_role();
            self.check_progress();
        }
    }

    fn check_role(&self) {
        let own = self.settings.id;
        match self.role {
            Role::Leader => debug_assert_eq!(self.leader, Some(own)),
            Role::Candidate => debug_assert_eq!((self.leader, self.vote), (None, Some(own))),
            Role::PreCandidate => debug_assert_eq!(self.leader, None),
            Role::Follower => debug_assert_ne!(self.leader, Some(own)),
        }
        if self.lease {
            debug_assert!(self.settings.check_quorum);
            debug_assert!(self.role == Role::Follower && self.leader.is_some());
        }
        if !matches!(self.role, Role::Candidate | Role::PreCandidate) {
            debug_assert!(self.tracker.votes.is_empty());
        }
        if self.role != Role::Follower || self.leader.is_none() {
            debug_assert!(self.forwarded_reads.is_empty());
        }
        if self.role != Role::Leader {
            debug_assert_eq!(
                (self.pending_conf_index, self.uncommitted_bytes),
                (Index::ZERO, 0)
            );
            debug_assert!(self.lead_transferee.is_none() && !self.timeout_now_sent);
            debug_assert!(self.postponed_reads.is_empty());
        }
        debug_assert!(self.messages.iter().all(|message| message.to != own));
        debug_assert!(
            self.messages_after_persist
                .iter()
                .all(|m| m.waits_for_persistence())
        );
    }

    fn check_progress(&self) {
        // A storage that fails says so to whoever asked for something.
        let Ok(last) = self.log.last_index() else {
            return;
        };
        for (_, progress) in &self.tracker.progress {
            debug_assert!(progress.matched() < progress.next());
            if self.role == Role::Leader {
                debug_assert!(progress.matched() <= last);
                debug_assert!(
                    progress.state() == ProgressState::Snapshot || progress.next() <= last.next()
                );
            } else {
                debug_assert_eq!((progress.matched(), progress.next()), (Index(0), Index(1)));
                debug_assert!(!progress.recent_active && progress.inflights.is_empty());
            }
        }
    }
}
