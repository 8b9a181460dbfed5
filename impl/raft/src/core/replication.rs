//! Messages of a leader: appends, snapshots and heartbeats (Raft §5.3, §7).

use bytes::Bytes;

use super::Core;
use crate::error::{Error, StorageError};
use crate::observer::{Event, Observer, SnapshotObstacle};
use crate::storage::Storage;
use crate::tracker::ProgressState;
use crate::types::{Body, EntryId, NodeId, payloads_len};

impl<S: Storage, O: Observer> Core<S, O> {
    /// Sends an append to everybody who may get one, if only to tell the commit index.
    pub(super) fn broadcast_append(&mut self) -> Result<(), Error> {
        let mut position = 0;
        while let Some((id, _)) = self.tracker.progress.at(position) {
            if id != self.settings.id {
                self.send_append(id)?;
            }
            position += 1;
        }
        Ok(())
    }

    /// Sends new entries to everybody who may get some.
    pub(super) fn broadcast_entries(&mut self) -> Result<(), Error> {
        let mut position = 0;
        while let Some((id, _)) = self.tracker.progress.at(position) {
            if id != self.settings.id {
                self.maybe_send_append(id, false)?;
            }
            position += 1;
        }
        Ok(())
    }

    pub(super) fn send_append(&mut self, to: NodeId) -> Result<(), Error> {
        self.maybe_send_append(to, true).map(|_| ())
    }

    /// Sends what the follower lacks: entries within the limits, or a snapshot if those are gone.
    /// Without entries only if `if_empty`. Tells whether anything was sent.
    pub(super) fn maybe_send_append(&mut self, to: NodeId, if_empty: bool) -> Result<bool, Error> {
        let Some(progress) = self.tracker.progress.get_mut(to) else {
            return Ok(false);
        };
        if progress.is_paused() {
            return Ok(false);
        }
        let next = progress.next();
        if !if_empty && next > self.log.last_index()? {
            return Ok(false);
        }
        let prev_index = next.prev();
        let Some(prev_term) = self.log.term(prev_index)? else {
            return self.maybe_send_snapshot(to);
        };
        // With a full window only empty appends go out: if all of the window was lost, the answer
        // to one shows it. (The window can be full without the pause after a heartbeat.)
        let full = progress.state() == ProgressState::Replicate && progress.inflights.is_full();
        let entries = match full {
            true => Vec::new(),
            false => match self
                .log
                .entries_from(next, self.settings.max_message_bytes)?
            {
                Some(entries) => entries,
                None => return self.maybe_send_snapshot(to),
            },
        };
        if entries.is_empty() && !if_empty {
            return Ok(false);
        }
        let commit = self.log.committed();
        progress.sent_entries(entries.len(), payloads_len(&entries));
        progress.set_sent_commit(commit);
        let prev = EntryId {
            term: prev_term,
            index: prev_index,
        };
        self.send(
            to,
            Body::AppendEntries {
                prev,
                entries,
                commit,
            },
        );
        Ok(true)
    }

    fn maybe_send_snapshot(&mut self, to: NodeId) -> Result<bool, Error> {
        let Some(progress) = self.tracker.progress.get_mut(to) else {
            return Ok(false);
        };
        if !progress.recent_active {
            let obstacle = SnapshotObstacle::Inactive;
            self.watch.report(Event::SnapshotNotSent { to, obstacle });
            return Ok(false);
        }
        let snapshot = match self.log.snapshot() {
            Ok(snapshot) if !snapshot.is_empty() => snapshot,
            Ok(_) => {
                return Err(StorageError::Corrupt(
                    "the log is compacted and there is no snapshot".into(),
                )
                .into());
            }
            Err(StorageError::SnapshotTemporarilyUnavailable) => {
                let obstacle = SnapshotObstacle::TemporarilyUnavailable;
                self.watch.report(Event::SnapshotNotSent { to, obstacle });
                return Ok(false);
            }
            Err(error) => return Err(error.into()),
        };
        self.watch.report_with(|| {
            Ok(Event::SnapshotSent {
                to,
                snapshot: snapshot.id(),
                first_index: self.log.first_index()?,
                commit: self.log.committed(),
                progress,
            })
        })?;
        progress.become_snapshot(snapshot.metadata.index);
        self.watch.report(Event::ReplicationPaused { to, progress });
        self.send(
            to,
            Body::InstallSnapshot {
                snapshot: Box::new(snapshot),
            },
        );
        Ok(true)
    }

    /// Heartbeats to everybody, with the latest read that waits for answers.
    pub(super) fn broadcast_heartbeat(&mut self) {
        let context = self.reads.last_context();
        self.broadcast_heartbeat_with(context);
    }

    pub(super) fn broadcast_heartbeat_with(&mut self, context: Bytes) {
        let mut position = 0;
        while let Some((to, _)) = self.tracker.progress.at(position) {
            position += 1;
            if to == self.settings.id {
                continue;
            }
            let Some(progress) = self.tracker.progress.get_mut(to) else {
                continue;
            };
            // A heartbeat does not check the log: it may only commit what is known to agree.
            let commit = self.log.committed().min(progress.matched());
            progress.set_sent_commit(commit);
            self.send(
                to,
                Body::Heartbeat {
                    commit,
                    context: context.clone(),
                },
            );
        }
    }

    /// Commits what a quorum holds, if it is of the own term (§5.3, §5.4.2).
    pub(super) fn maybe_commit(&mut self) -> Result<bool, Error> {
        let id = EntryId {
            term: self.term,
            index: self.tracker.committed(),
        };
        Ok(self.log.maybe_commit(id)?)
    }
}
