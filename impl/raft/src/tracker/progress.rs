//! The leader's view of one follower.

use std::fmt;

use super::Inflights;
use crate::types::Index;

/// The mode in which the leader sends to a follower.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum ProgressState {
    /// The last agreeing index is not known: one append at a time finds it.
    #[default]
    Probe,
    /// The logs agree up to the last acknowledgement: appends are sent optimistically.
    Replicate,
    /// The follower needs a snapshot first: no appends.
    Snapshot,
}

impl fmt::Display for ProgressState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            ProgressState::Probe => "StateProbe",
            ProgressState::Replicate => "StateReplicate",
            ProgressState::Snapshot => "StateSnapshot",
        })
    }
}

/// The leader's view of one follower: how far its log is known to agree, what to send next, and
/// whether to send at all.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Progress {
    // Invariant: matched < next.
    matched: Index,
    next: Index,
    sent_commit: Index,
    state: ProgressState,
    pending_snapshot: Index,
    /// Whether the follower was heard of since the last check of the quorum; always true for the
    /// leader itself.
    pub recent_active: bool,
    /// Whether the follower has no vote.
    pub is_learner: bool,
    /// Whether appends wait until the follower is heard of again: after a probe, or with a full
    /// window. The answer to a heartbeat clears it, so that a lost append does not stall forever.
    pub flow_paused: bool,
    /// The appends that were sent and not acknowledged; only used in
    /// [`Replicate`](ProgressState::Replicate).
    pub inflights: Inflights,
}

impl Progress {
    /// A follower of which nothing is known, to be probed from `next` (at least index 1) on.
    pub fn new(next: Index, inflights: Inflights) -> Self {
        Self {
            matched: Index::default(),
            next: next.max(Index(1)),
            sent_commit: Index::default(),
            state: ProgressState::Probe,
            pending_snapshot: Index::default(),
            recent_active: false,
            is_learner: false,
            flow_paused: false,
            inflights,
        }
    }

    /// Forgets everything but whether the follower is a learner: a leader of a new term starts.
    pub fn reset(&mut self, next: Index) {
        let mut inflights = std::mem::replace(&mut self.inflights, Inflights::new(0, 0));
        inflights.clear();
        *self = Self {
            is_learner: self.is_learner,
            ..Self::new(next, inflights)
        };
    }

    /// Up to which index the follower's log is known to agree with the leader's.
    pub fn matched(&self) -> Index {
        self.matched
    }

    /// The index of the next entry to send. What lies between the match and this is in flight; in
    /// [`Snapshot`](ProgressState::Snapshot) it is what follows the pending snapshot.
    pub fn next(&self) -> Index {
        self.next
    }

    /// The highest commit index on its way to the follower. It goes back when the follower may not
    /// have been able to use it.
    pub fn sent_commit(&self) -> Index {
        self.sent_commit
    }

    /// Returns the mode in which the leader sends to the follower.
    pub fn state(&self) -> ProgressState {
        self.state
    }

    /// The index of the snapshot on its way, 0 if there is none.
    pub fn pending_snapshot(&self) -> Index {
        self.pending_snapshot
    }

    /// Goes on probing one append at a time, after the match or, if larger, after a snapshot that
    /// was delivered.
    pub fn become_probe(&mut self) {
        // The match may lie before the snapshot, since the acknowledgement of a snapshot can be
        // lost while the report of its delivery is not.
        let next = match self.state {
            ProgressState::Snapshot => self.matched.max(self.pending_snapshot),
            ProgressState::Probe | ProgressState::Replicate => self.matched,
        };
        self.enter(ProgressState::Probe);
        self.set_next(next.next());
        self.regress_sent_commit();
    }

    /// Starts sending optimistically from what follows the match.
    pub fn become_replicate(&mut self) {
        self.enter(ProgressState::Replicate);
        self.set_next(self.matched.next());
    }

    /// Waits for the follower to take the snapshot up to `index`.
    pub fn become_snapshot(&mut self, index: Index) {
        self.enter(ProgressState::Snapshot);
        self.pending_snapshot = index;
        self.set_next(index.max(self.matched).next());
        self.sent_commit = index;
    }

    /// The snapshot on its way arrived, or will not: probing goes on behind it, or from the match.
    pub fn snapshot_reported(&mut self, arrived: bool) {
        if !arrived {
            // Probing must not start behind a snapshot that is not there.
            self.pending_snapshot = Index::default();
        }
        self.become_probe();
    }

    /// The follower could not be reached: whatever is on its way has probably been lost.
    pub fn unreachable(&mut self) {
        if self.state == ProgressState::Replicate {
            self.become_probe();
        }
    }

    /// Notes that an append with `entries` entries of `bytes` bytes was sent, the first of them at
    /// [`next`](Self::next). An append without entries is noted as well.
    ///
    /// Nothing is sent in [`Snapshot`](ProgressState::Snapshot): to say so is a bug in the caller
    /// and caught in debug builds.
    pub fn sent_entries(&mut self, entries: usize, bytes: u64) {
        match self.state {
            ProgressState::Replicate => {
                if entries > 0 {
                    self.next += entries as u64;
                    self.inflights.add(self.next.prev(), bytes);
                }
                // What is sent into a full window is a probe, and probes go one at a time.
                self.flow_paused = self.inflights.is_full();
            }
            // An empty append does not pause a probe, as in etcd.
            ProgressState::Probe => self.flow_paused |= entries > 0,
            ProgressState::Snapshot => {
                debug_assert!(false, "an append was sent while a snapshot is pending");
            }
        }
    }

    /// Whether sending this commit index can let the follower commit more than what was sent to it
    /// already: it can commit no further than what it has been sent of the log.
    pub fn can_bump_commit(&self, commit: Index) -> bool {
        commit > self.sent_commit && self.sent_commit < self.next.prev()
    }

    /// Notes the commit index that was sent to the follower.
    pub fn set_sent_commit(&mut self, commit: Index) {
        self.sent_commit = commit;
    }

    /// The follower acknowledged everything up to `index`, which the caller has checked to be part
    /// of the leader's log. False, and nothing changes, if that was known already.
    pub fn maybe_update(&mut self, index: Index) -> bool {
        if index <= self.matched {
            return false;
        }
        self.matched = index;
        self.next = self.next.max(index.next());
        self.flow_paused = false;
        true
    }

    /// The follower refused the append after `rejected`, and its log may agree at `match_hint`.
    /// False, and nothing changes, if the refusal is outdated (messages are repeated and come out
    /// of order). After a refusal in [`Replicate`](ProgressState::Replicate) the caller goes back to
    /// [probing](Self::become_probe).
    pub fn maybe_decrease_to(&mut self, rejected: Index, match_hint: Index) -> bool {
        if self.state == ProgressState::Replicate {
            if rejected <= self.matched {
                return false;
            }
            self.set_next(self.matched.next());
            self.regress_sent_commit();
            return true;
        }
        // One probe is on its way at a time, so a refusal of anything else is old.
        if self.next.prev() != rejected {
            return false;
        }
        let hinted = rejected.min(Index(match_hint.0.saturating_add(1)));
        self.set_next(hinted.max(self.matched.next()));
        self.regress_sent_commit();
        self.flow_paused = false;
        true
    }

    /// Whether appends have to wait.
    pub fn is_paused(&self) -> bool {
        match self.state {
            ProgressState::Probe | ProgressState::Replicate => self.flow_paused,
            ProgressState::Snapshot => true,
        }
    }

    fn enter(&mut self, state: ProgressState) {
        self.state = state;
        self.flow_paused = false;
        self.pending_snapshot = Index::default();
        self.inflights.clear();
    }

    fn set_next(&mut self, next: Index) {
        debug_assert!(self.matched < next);
        self.next = next;
    }

    fn regress_sent_commit(&mut self) {
        self.sent_commit = self.sent_commit.min(self.next.prev());
    }
}

impl fmt::Display for Progress {
    /// `StateReplicate match=5 next=8 learner paused pendingSnap=3 inactive inflight=2[full]`;
    /// what does not apply is left out.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} match={} next={}",
            self.state, self.matched, self.next
        )?;
        if self.is_learner {
            f.write_str(" learner")?;
        }
        if self.is_paused() {
            f.write_str(" paused")?;
        }
        if self.pending_snapshot > Index::default() {
            write!(f, " pendingSnap={}", self.pending_snapshot)?;
        }
        if !self.recent_active {
            f.write_str(" inactive")?;
        }
        if !self.inflights.is_empty() {
            write!(f, " inflight={}", self.inflights.len())?;
            if self.inflights.is_full() {
                f.write_str("[full]")?;
            }
        }
        Ok(())
    }
}
