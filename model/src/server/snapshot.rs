//! Snapshots and compaction (paper, section 7; thesis, sections 5.1 to 5.3).
//!
//! A snapshot is known by its last entry, which by Log Matching stands for all entries up to there, and by the
//! configuration there: "the snapshot also includes the latest configuration in the log as of last included index" (paper, section 7).

use super::recorded::Point;
use super::storage::configuration_at;
use super::{Log, Server, Turn};
use crate::configuration::Configuration;
use crate::ids::Id;
use crate::message::{Body, Message, Position};
use crate::rule::{Notes, Rule};
use crate::seq::Seq;
use std::sync::Arc;

impl Server {
    /// Whether there is something to compact.
    pub(crate) fn can_compact(&self) -> bool {
        self.applied() > self.log.snapshot().index && !self.has_unstable_snapshot()
    }
}

impl<N: Notes> Turn<'_, N> {
    /// The application makes a snapshot of all that it has applied; "once a server completes writing a snapshot, it may
    /// delete all log entries up through the last included index, as well as any prior snapshot" (paper, section 7).
    /// With asynchronous storage that is an affair of the application and what is durable, and done at once; while a
    /// snapshot of the leader is not durable the application waits for that.
    pub(super) fn compact(&mut self) {
        let (index, configuration) = (self.applied, self.i.configuration);
        if !self.i.can_compact() {
            return;
        }
        self.note(Rule::LogCompacted);
        self.i.log.compact(index, configuration);
        if let Some(storage) = &mut self.i.storage {
            let durable = &mut Arc::make_mut(storage).durable;
            durable.log.compact(index, configuration);
            durable.hard_state.commit = durable.hard_state.commit.max(index);
        }
    }

    /// "The leader must occasionally send snapshots to followers that lag behind. This happens when the leader has
    /// already discarded the next log entry that it needs to send" (paper, section 7). A peer that was not heard from
    /// lately is sent none: it could not take it. Returns whether one was sent.
    pub(super) fn maybe_send_snapshot(&mut self, j: Id) -> bool {
        let (last, configuration) = self.snapshot_to_send();
        let Some(peer) = self.peer_mut(j) else {
            return false;
        };
        if !peer.recent_active {
            self.note(Rule::SilentPeerSpared);
            return false;
        }
        peer.become_snapshot(last.index);
        self.note(Rule::SnapshotSent);
        let body = Body::InstallSnapshot {
            last,
            configuration,
        };
        self.send(j, self.i.term, body);
        true
    }

    /// The last entry of the latest snapshot, and the configuration there.
    fn snapshot_to_send(&self) -> (Position, Configuration) {
        let log = &self.i.log;
        let kept_behind = self.notes.kept_behind();
        match kept_behind.and_then(|(_, index)| Some((index, log.term_at(index)?))) {
            None => (log.snapshot(), log.snapshot_configuration()),
            Some((index, term)) => {
                let configuration = configuration_at(self.settings, log, index);
                (Position { term, index }, configuration)
            }
        }
    }

    /// A snapshot from the leader of the term is answered with the index up to which the logs are known to agree:
    /// that of the snapshot, or what is committed here already.
    pub(super) fn handle_snapshot(
        &mut self,
        m: &Message,
        last: Position,
        configuration: Configuration,
    ) {
        self.note(Rule::SnapshotAnswered);
        if last.index > self.i.commit && self.is_for_this_server(configuration) {
            self.restore(last, configuration);
        }
        let index = self.i.commit;
        self.reply(m, Body::AppendEntriesAccepted { index });
    }

    /// Whether a snapshot is for this server: it is a voter or learner of the configuration there, and the configuration
    /// is one that the cluster can have.
    fn is_for_this_server(&self, configuration: Configuration) -> bool {
        let members = configuration.members();
        let exist = members.iter().all(|id| self.settings.is_server(id));
        exist && configuration.is_valid() && members.contains(self.i.id)
    }

    /// "If existing log entry has same index and term as snapshot's last included entry, retain log entries following
    /// it", else "discard the entire log" (paper, figure 13). The server goes on with a log that has the entry as it is: it
    /// takes no more from the snapshot than that its entries are committed, and applies them one by one. A log that is
    /// replaced brings its configuration with it.
    fn restore(&mut self, last: Position, configuration: Configuration) {
        if self.i.log.matches(last) {
            self.note(Rule::MatchingLogKept);
            self.commit_to(last.index);
        } else {
            self.note(Rule::LogReplaced);
            let configuration = match self.settings.may_change {
                true => configuration,
                false => self.settings.configuration,
            };
            self.i.log = Log::behind(last, configuration, Seq::new());
            self.i.commit = last.index;
            self.see(Point::Restoring(configuration));
            self.i.configuration = configuration;
            match self.is_async() {
                true => self.log_was_replaced(last.index),
                false => self.applied = last.index,
            }
        }
    }

    /// The transport knows what became of a snapshot.
    pub(super) fn snapshot_reported(&mut self, j: Id, ok: bool) {
        if let Some(peer) = self.peer_mut(j) {
            peer.snapshot_reported(ok);
            self.note(Rule::SnapshotReported);
        }
    }

    /// The transport could not reach a peer.
    pub(super) fn peer_unreachable(&mut self, j: Id) {
        if let Some(peer) = self.peer_mut(j) {
            peer.unreachable();
            self.note(Rule::UnreachableProbed);
        }
    }
}
