//! Snapshots at the server that receives them (Raft §7).

use super::Core;
use crate::confchange;
use crate::error::{Error, StorageError};
use crate::observer::{Event, Observer};
use crate::storage::Storage;
use crate::tracker::ProgressTracker;
use crate::types::{ConfState, NodeId, Snapshot};

impl<S: Storage, O: Observer> Core<S, O> {
    pub(super) fn handle_snapshot(
        &mut self,
        leader: NodeId,
        snapshot: Snapshot,
    ) -> Result<(), Error> {
        let id = snapshot.id();
        let restored = self.restore(snapshot)?;
        let commit = self.log.committed();
        self.watch.report(Event::SnapshotHandled {
            restored,
            snapshot: id,
            commit,
        });
        // Installed or known before: both end at the commit index.
        self.acknowledge(leader, commit);
        Ok(())
    }

    /// Replaces log and configuration by those of the snapshot, unless they have it all already.
    fn restore(&mut self, snapshot: Snapshot) -> Result<bool, Error> {
        let id = snapshot.id();
        if id.index <= self.log.committed() {
            return Ok(false);
        }
        if !names(&snapshot.metadata.conf_state, self.settings.id) {
            let conf_state = &snapshot.metadata.conf_state;
            self.watch
                .report(Event::RestoreRefusedByMembership { conf_state });
            return Ok(false);
        }
        if self.log.matches(id)? {
            // The log goes on from the snapshot: nothing of it may be thrown away.
            self.watch.report_with(|| {
                Ok(Event::SnapshotFastForwarded {
                    commit: self.log.committed(),
                    last: self.log.last_id()?,
                    snapshot: id,
                })
            })?;
            self.log.commit_to(id.index);
            return Ok(false);
        }
        let empty = self.tracker.without_members();
        let (config, progress) =
            confchange::restore(&empty, id.index, &snapshot.metadata.conf_state)
                .map_err(|error| StorageError::Corrupt(error.to_string()))?;
        self.log.restore(snapshot, &mut self.watch);
        self.tracker.config = config;
        self.tracker.progress = progress;
        self.blank_progress();
        self.note_configuration();
        self.watch.report_with(|| {
            Ok(Event::Restored {
                commit: self.log.committed(),
                last: self.log.last_id()?,
                snapshot: id,
            })
        })?;
        Ok(true)
    }

    /// Whether the configuration in a snapshot is one that can be restored.
    pub(super) fn restorable(&self, conf_state: &ConfState) -> bool {
        let empty: ProgressTracker = self.tracker.without_members();
        confchange::restore(&empty, self.log.committed(), conf_state).is_ok()
    }
}

/// Whether the configuration names the server. Learners to be are in the outgoing voters.
fn names(conf_state: &ConfState, id: NodeId) -> bool {
    [
        &conf_state.voters,
        &conf_state.learners,
        &conf_state.voters_outgoing,
    ]
    .into_iter()
    .any(|set| set.contains(&id))
}
