//! The first members of a new group.

use bytes::Bytes;

use super::{Core, TimerReset};
use crate::error::{CallError, Error};
use crate::observer::Observer;
use crate::storage::Storage;
use crate::types::{ConfChange, ConfChangeKind, Entry, EntryKind, HardState, Index, NodeId, Term};
use crate::wire;

impl<S: Storage, O: Observer> Core<S, O> {
    /// Starts a new group: the log begins with changes of membership, committed in term 1, that
    /// add these servers one by one. Every one of them must be started with the same list. The
    /// contexts are handed to the application with the changes.
    ///
    /// The alternative is a storage that starts with a snapshot of the desired membership, which
    /// leaves nothing to apply.
    ///
    /// # Errors
    ///
    /// [`CallError::BootstrapNonEmpty`] and [`CallError::BootstrapNobody`];
    /// [`Error::Storage`].
    pub fn bootstrap(&mut self, servers: &[(NodeId, Bytes)]) -> Result<TimerReset, Error> {
        if servers.is_empty() {
            return Err(CallError::BootstrapNobody.into());
        }
        if !self.log.last_index()?.is_zero() {
            return Err(CallError::BootstrapNonEmpty.into());
        }
        // Nothing of this is stored yet, so the first Ready must hold all of it.
        self.told_hard_state = HardState::default();
        self.become_follower(Term(1), None);
        let changes = servers.iter().map(|(id, context)| ConfChange {
            id: 0,
            kind: ConfChangeKind::AddNode,
            node: Some(*id),
            context: context.clone(),
        });
        let changes: Vec<ConfChange> = changes.collect();
        let entries = changes.iter().zip(1..).map(|(change, index)| Entry {
            term: Term(1),
            index: Index(index),
            kind: EntryKind::ConfChange,
            data: wire::encode_conf_change(change),
        });
        self.log.append(entries, Index(1), &mut self.watch);
        self.log.commit_to(Index(servers.len() as u64));
        // They are active at once, so that nothing is ever decided by fewer servers, and once
        // more when the application applies them, which changes nothing.
        for change in changes {
            self.switch_configuration(&change.into())?;
        }
        Ok(self.take_timer_reset())
    }
}
