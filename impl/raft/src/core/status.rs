//! The state of a server as seen from outside.

use super::Core;
use crate::health::RefusedMessages;
use crate::log::RaftLog;
use crate::observer::Observer;
use crate::status::{BasicStatus, Status};
use crate::storage::Storage;
use crate::tracker::{Progress, ProgressMap, ProgressTracker};
use crate::types::{Index, NodeId, Role, Term};

impl<S: Storage, O: Observer> Core<S, O> {
    /// The identity of this server.
    pub fn id(&self) -> NodeId {
        self.settings.id
    }

    /// Its term.
    pub fn term(&self) -> Term {
        self.term
    }

    /// Returns the server that it votes for in its term.
    pub fn vote(&self) -> Option<NodeId> {
        self.vote
    }

    /// Its role.
    pub fn role(&self) -> Role {
        self.role
    }

    /// Returns the leader of its term, if known.
    pub fn leader(&self) -> Option<NodeId> {
        self.leader
    }

    /// Whether it is a learner in its own view.
    pub fn is_learner(&self) -> bool {
        self.is_learner
    }

    /// The highest position known to be committed.
    pub fn commit(&self) -> Index {
        self.log.committed()
    }

    /// The highest position that the application has applied.
    pub fn applied(&self) -> Index {
        self.log.applied()
    }

    /// At a leader: who shall lead next.
    pub fn lead_transferee(&self) -> Option<NodeId> {
        self.lead_transferee
    }

    /// At a leader: the position that must be applied before the next change of membership.
    pub fn pending_conf_index(&self) -> Index {
        self.pending_conf_index
    }

    /// At a leader: payload bytes of the uncommitted end of the log, at most.
    pub fn uncommitted_bytes(&self) -> u64 {
        self.uncommitted_bytes
    }

    /// Whether storage is written asynchronously, see
    /// [`Config::async_storage_writes`](crate::Config::async_storage_writes).
    pub fn async_storage_writes(&self) -> bool {
        self.settings.async_storage_writes
    }

    /// The log.
    pub fn log(&self) -> &RaftLog<S> {
        &self.log
    }

    /// Membership and votes, and at a leader the progress of the others.
    pub fn tracker(&self) -> &ProgressTracker {
        &self.tracker
    }

    /// The storage, to be read.
    pub fn storage(&self) -> &S {
        self.log.storage()
    }

    /// The storage, to be written as [`Ready`](crate::Ready) says, or compacted.
    pub fn storage_mut(&mut self) -> &mut S {
        self.log.storage_mut()
    }

    /// Returns the observer of this server.
    pub fn observer(&self) -> &O {
        &self.watch.observer
    }

    /// Returns the observer of this server.
    pub fn observer_mut(&mut self) -> &mut O {
        &mut self.watch.observer
    }

    /// The state of this server in numbers; does not allocate.
    pub fn basic_status(&self) -> BasicStatus {
        BasicStatus {
            id: self.settings.id,
            hard_state: self.hard_state(),
            soft_state: self.soft_state(),
            applied: self.log.applied(),
            lead_transferee: self.lead_transferee,
        }
    }

    /// The state of this server, its configuration and, at a leader, the progress of everybody.
    pub fn status(&self) -> Status {
        Status {
            basic: self.basic_status(),
            config: self.tracker.config.clone(),
            progress: match self.role {
                Role::Leader => self.tracker.progress.clone(),
                _ => ProgressMap::default(),
            },
            short_logs: Vec::new(),
            refused: RefusedMessages::default(),
        }
    }

    /// Shows the progress of every member in ascending order, without a copy. It means something
    /// at a leader only.
    pub fn with_progress(&self, mut visit: impl FnMut(NodeId, &Progress)) {
        for (id, progress) in &self.tracker.progress {
            visit(id, progress);
        }
    }
}
