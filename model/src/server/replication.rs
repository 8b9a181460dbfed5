//! Replication and commitment (paper, sections 5.3 and 5.4.2), with the flow control and the fast
//! rejection of etcd's raft.

use super::recorded::Point;
use super::{Own, Progress, Turn};
use crate::dialect::Departure;
use crate::ids::Id;
use crate::message::{Body, Entries, Entry, Message, Payloads, Position};
use crate::rule::{Notes, Rule};
use lockstep_traces::Role;
use std::sync::Arc;

impl<N: Notes> Turn<'_, N> {
    /// A leader appends entries of its term. They count as replicated there once they are durable.
    pub(super) fn append_own(&mut self, payloads: &Payloads) {
        let term = self.i.term;
        payloads.for_each(|payload| {
            if payload.as_conf_change().is_none() {
                self.see(Point::Appending);
            }
        });
        payloads.for_each(|payload| {
            self.count_uncommitted(payload);
            self.i.log.push(Entry { term, payload });
        });
        if self.is_async() {
            let index = self.i.log.last_index();
            self.tell_itself(term, Body::AppendEntriesAccepted { index });
        } else {
            self.own = Some(Own::Acknowledgement);
        }
    }

    /// A leader's own log is as good as acknowledged: alone in its cluster it commits at once. In the same event it may
    /// have applied its own removal: then it does not count.
    pub(super) fn own_entries_are_durable(&mut self) {
        let i = &mut *self.i;
        if i.role != Role::Leader || !i.configuration.members().contains(i.id) {
            return;
        }
        if let Some(peers) = i
            .peers
            .as_mut()
            .filter(|peers| peers[i.id.slot()].is_forgotten())
        {
            Arc::make_mut(peers)[i.id.slot()] = Progress::untracked();
        }
        if self.maybe_commit() {
            self.release_postponed_reads();
            self.broadcast_append();
        }
    }

    pub(super) fn broadcast_append(&mut self) {
        for j in self.others() {
            self.maybe_send_append(j, true);
        }
    }

    /// Sends a peer what it lacks, unless appends to it are held back. An append without entries is sent
    /// only if `even_if_empty`: it carries the commit index, or probes. Returns whether one was sent.
    pub(super) fn maybe_send_append(&mut self, j: Id, even_if_empty: bool) -> bool {
        let settings = self.settings;
        let Some(peer) = self.i.peer(j).filter(|peer| !peer.is_paused()) else {
            self.note(Rule::PausedPeerSkipped);
            return false;
        };
        // A full window lets only empty appends through: they find out whether what fills it was lost.
        let limit = match (
            peer.is_full(settings.max_inflight),
            settings.one_entry_per_append,
        ) {
            (true, _) => 0,
            (false, true) => 1,
            (false, false) => self.notes.most_entries(j),
        };
        let log = &self.i.log;
        let index = peer.next - 1;
        if index < self.gone() {
            return self.maybe_send_snapshot(j);
        }
        let Some(term) = log.term_at(index) else {
            return self.maybe_send_snapshot(j);
        };
        let entries = log.from(peer.next, limit);
        if entries.is_empty() && !even_if_empty {
            return false;
        }
        let prev = Position { term, index };
        let commit = self.i.commit;
        if limit == 0 {
            self.note(Rule::FullWindowProbed);
        }
        self.note(Rule::AppendSent);
        self.note(Rule::SentAhead);
        if let Some(peer) = self.peer_mut(j) {
            peer.sent_entries(settings, entries.len() as u32, commit);
        }
        let body = Body::AppendEntries {
            prev,
            entries,
            commit,
        };
        self.send(j, self.i.term, body);
        true
    }

    /// The index up to which storage no longer has the entries, if it keeps some behind the snapshot; zero if it does not.
    fn gone(&self) -> u32 {
        self.notes.kept_behind().map_or(0, |(gone, _)| gone)
    }

    /// The heartbeat timer fires.
    pub(super) fn beat(&mut self) {
        let round = self.round();
        self.broadcast_heartbeat(round);
    }

    /// A leader sends everybody a heartbeat, which may be of a round of reads. A peer is told of no commit index beyond
    /// what is known to match there.
    pub(super) fn broadcast_heartbeat(&mut self, round: u32) {
        let settings = self.settings;
        for j in self.others() {
            let commit = self.i.commit;
            let Some(peer) = self.peer_mut(j) else {
                return;
            };
            let commit = commit.min(peer.matched);
            peer.told_commit(settings, commit);
            self.note(Rule::HeartbeatSent);
            self.send(j, self.i.term, Body::Heartbeat { commit, round });
        }
    }

    /// An append from the leader of the term.
    pub(super) fn handle_append(
        &mut self,
        m: &Message,
        prev: Position,
        entries: &Entries,
        commit: u32,
    ) {
        // What is committed here is in the leader's log: no need to look at an older append.
        if prev.index < self.i.commit {
            let index = self.i.commit;
            self.note(Rule::CommittedNotChecked);
            return self.reply(m, Body::AppendEntriesAccepted { index });
        }
        self.note(Rule::PreviousEntryChecked);
        if !self.i.log.matches(prev) {
            self.note(Rule::ConflictHint);
            let upper = prev.index.min(self.i.log.last_index());
            let hint = self.i.log.find_conflict_by_term(upper, prev.term);
            let index = prev.index;
            return self.reply(m, Body::AppendEntriesRejected { index, hint });
        }
        self.note(Rule::ConflictOverwritten);
        if let Some(first) = self.i.log.maybe_append(prev.index, entries) {
            self.replaced_from(first);
        }
        let index = prev.index + entries.len() as u32;
        self.commit_to(commit.min(index));
        self.reply(m, Body::AppendEntriesAccepted { index });
    }

    /// A heartbeat from the leader of the term. The answer says for which round of reads it is.
    pub(super) fn handle_heartbeat(&mut self, m: &Message, commit: u32, round: u32) {
        self.note(Rule::HeartbeatAnswered);
        self.commit_to(commit);
        self.reply(m, Body::HeartbeatResponse { round });
    }

    /// Learns from the leader what is committed. A commit index never falls.
    pub(super) fn commit_to(&mut self, commit: u32) {
        self.note(Rule::CommitAsProved);
        let i = &mut *self.i;
        i.commit = i.commit.max(commit.min(i.log.last_index()));
    }

    /// A peer has everything up to `index`. If that says anything new, the leader may commit, and sends
    /// whatever the peer now has room for.
    pub(super) fn handle_acknowledgement(&mut self, j: Id, index: u32) {
        let settings = self.settings;
        let last_index = self.i.log.last_index();
        let first = self.i.log.snapshot().index.max(self.gone()) + 1;
        let Some(peer) = self.peer_mut(j) else {
            return;
        };
        peer.recent_active = true;
        let was_paused = peer.paused;
        let was_ahead = peer.flow == super::Flow::Replicate;
        // Nothing behind the log was ever sent.
        let news = index <= last_index && peer.maybe_update(settings, index, first);
        self.note(Rule::ActivityNoted);
        self.note(Rule::MatchAcknowledged);
        if !news {
            return;
        }
        if was_ahead {
            self.note(Rule::WindowFreed);
        }
        let commit = self.i.commit;
        if self.maybe_commit() {
            self.release_postponed_reads();
            self.note(Rule::CommitTold);
            self.broadcast_append();
        } else if self.i.peer(j).is_some_and(|peer| {
            match settings.departs(Departure::NoCommitMemory) {
                true => was_paused,
                false => peer.can_bump_commit(commit),
            }
        }) {
            self.note(Rule::CommitCaughtUp);
            self.maybe_send_append(j, true);
        }
        while self.maybe_send_append(j, false) {}
        self.maybe_hand_over(j);
    }

    /// A peer does not have what precedes the entries sent. Where its term is known, everything in the
    /// leader's log of a higher term is passed over (paper, end of section 5.3, and beyond).
    pub(super) fn handle_rejection(&mut self, j: Id, index: u32, hint: Position) {
        let settings = self.settings;
        let next_probe = match hint.term {
            0 => hint.index,
            term => self.i.log.find_conflict_by_term(hint.index, term).index,
        };
        let Some(peer) = self.peer_mut(j) else {
            return;
        };
        peer.recent_active = true;
        if peer.maybe_decrease_to(settings, index, next_probe) {
            self.note(Rule::RejectionBacksOff);
            if hint.term > 0 {
                self.note(Rule::ConflictHint);
            }
            self.maybe_send_append(j, true);
        } else {
            self.note(Rule::StaleRejectionIgnored);
        }
        self.note(Rule::ActivityNoted);
    }

    /// A peer is alive: what was held back for it may go, and what it lacks is sent.
    pub(super) fn handle_heartbeat_response(&mut self, j: Id, round: u32) {
        let settings = self.settings;
        let last_index = self.i.log.last_index();
        let Some(peer) = self.peer_mut(j) else {
            return;
        };
        peer.recent_active = true;
        peer.heard(settings);
        if peer.matched < last_index || peer.flow == super::Flow::Probe {
            self.note(Rule::HeartbeatResumes);
            self.maybe_send_append(j, true);
        }
        self.note(Rule::ActivityNoted);
        self.acknowledge_read(j, round);
    }

    /// Commits the highest index that a majority has, if its entry is of the leader's own term: "only log
    /// entries from the leader's current term are committed by counting replicas" (paper, section 5.4.2).
    /// Returns whether the commit index rose.
    pub(super) fn maybe_commit(&mut self) -> bool {
        self.note(Rule::CommitByMajority);
        let index = self.majority_match();
        let of_own_term = self.i.log.term_at(index) == Some(self.i.term);
        let rises = index > self.i.commit && of_own_term;
        if rises {
            self.i.commit = index;
        }
        self.see(Point::CommitReconsidered);
        rises
    }

    /// The highest index that a quorum of the configuration is known to have. A leader that is no voter of it does not
    /// count itself (thesis, section 4.2.2), nor its own entries before they are durable ("the leader may even commit an
    /// entry before it has been written to its own disk, if a majority of followers have", thesis, section 10.2.1).
    fn majority_match(&self) -> u32 {
        let i = &*self.i;
        let Some(peers) = &i.peers else {
            return 0;
        };
        i.configuration.committed_index(|id| {
            let peer = &peers[id.slot()];
            match id == i.id && i.storage.is_none() && !peer.is_forgotten() {
                true => i.log.last_index(),
                false => peer.matched,
            }
        })
    }

    pub(super) fn peer_mut(&mut self, j: Id) -> Option<&mut Progress> {
        let (own, members) = (self.i.id, self.i.configuration.members());
        let peers = self.i.peers.as_mut()?;
        Arc::make_mut(peers)
            .get_mut(j.slot())
            .filter(|_| j != own && members.contains(j))
    }
}
