//! The handling of messages of its term by a leader.

use super::Core;
use super::proposal::Misfits;
use crate::error::{Error, Refusal};
use crate::observer::{Event, Observer};
use crate::storage::Storage;
use crate::tracker::ProgressState;
use crate::types::{Body, EntryId, Index, Message, NodeId, Rejection, Role, Term};

/// The fate of a snapshot that was sent, as the application reports it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum SnapshotStatus {
    /// The snapshot was delivered.
    Finished,
    /// The snapshot could not be delivered or applied.
    Failed,
}

impl<S: Storage, O: Observer> Core<S, O> {
    pub(super) fn step_leader(&mut self, message: Message) -> Result<(), Error> {
        match message.body {
            Body::Propose { entries } => return self.handle_proposal(entries, Misfits::Replace),
            Body::ReadIndex { context } => return self.handle_read(message.from, context),
            Body::ForgetLeader => return Ok(()),
            _ => {}
        }
        // All else concerns a follower.
        if !self.tracker.progress.contains(message.from) {
            self.watch
                .report(Event::UnknownPeerIgnored { from: message.from });
            return match message.body {
                Body::TransferLeader => Err(Refusal::UnknownServer(message.from).into()),
                _ => Ok(()),
            };
        }
        match message.body {
            Body::AppendEntriesResponse {
                index,
                rejection: None,
            } => self.handle_acknowledgement(message.from, index),
            Body::AppendEntriesResponse {
                index,
                rejection: Some(rejection),
            } => self.handle_rejection(message.from, index, rejection),
            Body::HeartbeatResponse { context } => {
                self.handle_heartbeat_response(message.from, &context)
            }
            Body::TransferLeader => self.begin_transfer(message.from),
            _ => Ok(()),
        }
    }

    /// One election timeout has passed at a leader.
    pub(super) fn leader_timeout_passed(&mut self) -> Result<(), Error> {
        // A transfer that took longer than this will not succeed any more (thesis §3.10). First, since a
        // server that steps down has none that it could report as given up.
        let given_up = self.give_up_transfer().is_some();
        if self.settings.check_quorum {
            self.check_quorum();
        }
        match given_up {
            true => self.leave_joint_if_due(),
            false => Ok(()),
        }
    }

    /// A leader that no quorum has answered lately steps down: another one may have been elected on the other side
    /// of a partition, and clients had better ask there (thesis §6.2).
    fn check_quorum(&mut self) {
        let own = self.settings.id;
        if !self.tracker.quorum_active() {
            self.watch.report(Event::QuorumLost);
            self.become_follower(self.term, None);
        } else {
            for (id, progress) in self.tracker.progress.iter_mut() {
                progress.recent_active = id == own;
            }
        }
    }

    /// The log of a follower (or the own stable one) agrees with this one up to `index`.
    fn handle_acknowledgement(&mut self, from: NodeId, index: Index) -> Result<(), Error> {
        let Some(progress) = self.tracker.progress.get_mut(from) else {
            return Ok(());
        };
        progress.recent_active = true;
        let old = !progress.maybe_update(index);
        // An acknowledgement that says nothing new still ends probing, for instance after a
        // message was reported lost though the log is complete.
        if old && !(progress.matched() == index && progress.state() == ProgressState::Probe) {
            return Ok(());
        }
        match progress.state() {
            ProgressState::Probe => progress.become_replicate(),
            ProgressState::Snapshot if progress.matched().next() >= self.log.first_index()? => {
                // From wherever the follower got it: what it has connects to the log again.
                self.watch.report(Event::SnapshotRecovered {
                    peer: from,
                    progress,
                });
                progress.become_probe();
                progress.become_replicate();
            }
            ProgressState::Snapshot => {}
            ProgressState::Replicate => progress.inflights.free_up_to(index),
        }

        let own = from == self.settings.id;
        // A quorum can only have come by something new through something new.
        let news = progress.matched() > self.log.committed();
        if news && self.maybe_commit()? {
            self.release_postponed_reads()?;
            self.broadcast_append()?;
        } else if !own {
            let commit = self.log.committed();
            let progress = self.tracker.progress.get(from);
            if progress.is_some_and(|progress| progress.can_bump_commit(commit)) {
                // The next heartbeat would tell, too, but later.
                self.send_append(from)?;
            }
        }
        if !own {
            // The acknowledgement may have made room for several appends.
            while self.maybe_send_append(from, false)? {}
        }
        self.maybe_hand_over(from)
    }

    /// A follower's log does not agree with this one at `index`.
    fn handle_rejection(
        &mut self,
        from: NodeId,
        index: Index,
        rejection: Rejection,
    ) -> Result<(), Error> {
        let Rejection {
            hint_index,
            hint_term,
        } = rejection;
        let hint = EntryId {
            term: hint_term,
            index: hint_index,
        };
        self.watch
            .report(Event::AppendRefusalReceived { from, index, hint });
        // The follower's term at the hint bounds all of its terms before. Where the terms of this
        // log are higher the logs cannot agree: skip a term a round trip, not an entry.
        let next_probe = match hint_term {
            Term::ZERO => hint_index,
            _ => self.log.find_conflict_by_term(hint_index, hint_term)?.index,
        };
        let Some(progress) = self.tracker.progress.get_mut(from) else {
            return Ok(());
        };
        progress.recent_active = true;
        if progress.maybe_decrease_to(index, next_probe) {
            self.watch.report(Event::ProgressDecreased {
                peer: from,
                progress,
            });
            if progress.state() == ProgressState::Replicate {
                progress.become_probe();
            }
            self.send_append(from)?;
        }
        Ok(())
    }

    fn handle_heartbeat_response(&mut self, from: NodeId, context: &[u8]) -> Result<(), Error> {
        let last = self.log.last_index()?;
        let Some(progress) = self.tracker.progress.get_mut(from) else {
            return Ok(());
        };
        progress.recent_active = true;
        progress.flow_paused = false;
        // A probe may have been lost, or all that fills the window: heartbeats keep it going. With
        // a full window the append is empty, and its answer tells what arrived.
        if progress.matched() < last || progress.state() == ProgressState::Probe {
            self.send_append(from)?;
        }
        self.acknowledge_read(from, context);
        Ok(())
    }

    /// The transport reports that it could not reach a server: the leader probes it from what it
    /// is known to have (as etcd's `ReportUnreachable`).
    ///
    /// # Errors
    ///
    /// [`Refusal::NotLeader`] and [`Refusal::UnknownServer`]: the report is of no use here, as often
    /// when leaders and members change. A transport may well ignore it.
    pub fn report_unreachable(&mut self, peer: NodeId) -> Result<(), Error> {
        if self.role != Role::Leader {
            return Err(Refusal::NotLeader.into());
        }
        // Its own log is where it is: nothing is on its way to it.
        if peer == self.settings.id {
            return Err(Refusal::Oneself.into());
        }
        let Some(progress) = self.tracker.progress.get_mut(peer) else {
            self.watch.report(Event::UnknownPeerIgnored { from: peer });
            return Err(Refusal::UnknownServer(peer).into());
        };
        progress.unreachable();
        self.watch.report(Event::PeerUnreachable { peer, progress });
        self.check_invariants();
        Ok(())
    }

    /// The application reports what became of a snapshot message. A leader that gets no report
    /// sends nothing more to that server, until the server itself acknowledges something (Raft §7;
    /// as etcd's `ReportSnapshot`).
    ///
    /// # Errors
    ///
    /// [`Refusal::NotLeader`], [`Refusal::UnknownServer`] and [`Refusal::NoSnapshot`]: the report comes
    /// too late, or twice. A transport may well ignore it.
    pub fn report_snapshot(&mut self, peer: NodeId, status: SnapshotStatus) -> Result<(), Error> {
        if self.role != Role::Leader {
            return Err(Refusal::NotLeader.into());
        }
        let Some(progress) = self.tracker.progress.get_mut(peer) else {
            self.watch.report(Event::UnknownPeerIgnored { from: peer });
            return Err(Refusal::UnknownServer(peer).into());
        };
        if progress.state() != ProgressState::Snapshot {
            return Err(Refusal::NoSnapshot(peer).into());
        }
        let failed = status == SnapshotStatus::Failed;
        progress.snapshot_reported(!failed);
        self.watch.report(Event::SnapshotReported {
            peer,
            failed,
            progress,
        });
        // Delivered: its acknowledgement tells how to go on. Failed: wait for a heartbeat.
        progress.flow_paused = true;
        self.check_invariants();
        Ok(())
    }
}
