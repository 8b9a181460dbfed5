//! A leader's view of one peer, and how it throttles the sending.

use crate::dialect::Departure;
use crate::seq::Seq;
use crate::settings::Settings;

/// The mode in which a leader replicates to a peer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Flow {
    /// The matching index is unknown: one append with entries at a time.
    Probe,
    /// Appends are pipelined, up to the limit in flight.
    Replicate,
    /// A snapshot is on its way, and no append until it is settled what became of it.
    Snapshot,
}

/// A leader's view of one peer.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Progress {
    /// The highest index known to be replicated there.
    pub(crate) matched: u32,
    /// The index of the next entry to send. Invariant: `matched < next`.
    pub(crate) next: u32,
    /// The commit index last sent, lowered when the peer may not have taken it.
    pub(crate) commit_sent: u32,
    /// Probing, pipelining, or waiting for a snapshot.
    pub(crate) flow: Flow,
    /// Appends are held back until the peer answers.
    pub(crate) paused: bool,
    /// The peer was heard from since the last quorum check.
    pub(crate) recent_active: bool,
    /// The last index of each append with entries on its way, oldest first; empty while probing.
    pub(crate) inflight: Seq<u32, 3>,
    /// The index of the snapshot that is on its way; zero if none is.
    pub(crate) pending: u32,
}

impl Progress {
    /// The progress of a peer of a new leader whose log ends at `last_index` (paper, figure 2: nextIndex is
    /// initialised to the leader's last log index + 1, matchIndex to 0).
    pub(crate) fn new(last_index: u32) -> Progress {
        Progress {
            matched: 0,
            next: last_index + 1,
            commit_sent: 0,
            flow: Flow::Probe,
            paused: false,
            recent_active: false,
            inflight: Seq::new(),
            pending: 0,
        }
    }

    /// In the slot of a server of which a leader has no progress: its own, or that of a stranger.
    pub(crate) fn untracked() -> Progress {
        Progress::new(0)
    }

    /// In a leader's own slot, with asynchronous storage: it counts its own entries up to an index.
    pub(crate) fn own(index: u32) -> Progress {
        Progress {
            matched: index,
            ..Progress::untracked()
        }
    }

    /// The progress of a peer that joins a leader whose log ends at `last_index`. It is probed there, and counts as
    /// active until the next quorum check (etcd's raft, Changer).
    pub(crate) fn joining(last_index: u32) -> Progress {
        Progress {
            next: last_index.max(1),
            recent_active: true,
            ..Progress::new(0)
        }
    }

    /// In a leader's own slot, after it was removed and came back while it led: it has forgotten that it has its own
    /// entries, until it appends another one (etcd's raft, Changer). Only without validation can this be.
    pub(crate) fn forgotten() -> Progress {
        Progress {
            paused: true,
            ..Progress::untracked()
        }
    }

    /// Whether this is [`forgotten`](Self::forgotten); asked of a leader's own slot.
    pub(crate) fn is_forgotten(&self) -> bool {
        self.paused
    }

    /// Starts over from what is known to match, one append at a time; after a snapshot from behind it.
    pub(crate) fn become_probe(&mut self) {
        let snapshot = self.pending;
        self.reset_to(Flow::Probe);
        self.next = self.next.max(snapshot + 1);
        self.regress_sent_commit();
    }

    /// A snapshot up to `index` is on its way.
    pub(crate) fn become_snapshot(&mut self, index: u32) {
        self.reset_to(Flow::Snapshot);
        self.pending = index;
        self.next = index + 1;
        self.commit_sent = index;
    }

    /// Takes the report on the snapshot: if it arrived, the entries that follow it are sent next. Appends are held back
    /// until the peer is heard from.
    pub(crate) fn snapshot_reported(&mut self, ok: bool) {
        if self.flow == Flow::Snapshot {
            if !ok {
                self.pending = 0;
            }
            self.become_probe();
            self.paused = true;
        }
    }

    /// The peer could not be reached: what was sent ahead is probably lost.
    pub(crate) fn unreachable(&mut self) {
        if self.flow == Flow::Replicate {
            self.become_probe();
        }
    }

    /// Starts to pipeline from what is known to match.
    pub(crate) fn become_replicate(&mut self) {
        self.reset_to(Flow::Replicate);
    }

    fn reset_to(&mut self, flow: Flow) {
        self.flow = flow;
        self.paused = false;
        self.inflight = Seq::new();
        self.pending = 0;
        self.next = self.matched + 1;
    }

    /// Assumes that the commit index sent beyond `next` was not taken.
    fn regress_sent_commit(&mut self) {
        self.commit_sent = self.commit_sent.min(self.next - 1);
    }

    /// Whether appends are held back until the peer answers.
    pub(crate) fn is_paused(&self) -> bool {
        self.paused || self.flow == Flow::Snapshot
    }

    /// Whether the window of a pipelining peer is full: then appends go without entries.
    pub(crate) fn is_full(&self, max_inflight: u32) -> bool {
        self.flow == Flow::Replicate && self.inflight.len() >= max_inflight as usize
    }

    /// An append with that many entries was sent.
    pub(crate) fn sent_entries(&mut self, settings: &Settings, entries: u32, commit: u32) {
        match self.flow {
            Flow::Replicate => {
                if entries > 0 {
                    self.next += entries;
                    self.inflight.push(self.next - 1);
                }
                self.paused = self.is_full(settings.max_inflight);
            }
            // An empty append does not pause a probing peer.
            Flow::Probe => self.paused |= entries > 0,
            // It is held back.
            Flow::Snapshot => {}
        }
        self.told_commit(settings, commit);
    }

    /// The peer was sent this commit index.
    pub(crate) fn told_commit(&mut self, settings: &Settings, commit: u32) {
        if !settings.departs(Departure::NoCommitMemory) {
            self.commit_sent = commit;
        }
    }

    /// Whether an append sent now could raise the peer's commit index beyond what was sent already.
    pub(crate) fn can_bump_commit(&self, commit: u32) -> bool {
        self.commit_sent < commit && self.commit_sent < self.next - 1
    }

    /// The peer acknowledged everything up to `index`. Returns whether that says something new: a higher
    /// match, or that a probe reached the peer after all. The leader's log begins at `first`.
    pub(crate) fn maybe_update(&mut self, settings: &Settings, index: u32, first: u32) -> bool {
        let raised = index > self.matched;
        // This changes `next` only if the match rose, or with [`Departure::ProbeBelowMatch`].
        self.next = self.next.max(index.saturating_add(1));
        if raised {
            self.matched = index;
            self.paused = false;
        }
        let equal = index == self.matched
            && (raised || !settings.departs(Departure::EqualAcknowledgementIgnored));
        match self.flow {
            Flow::Probe if equal => self.become_replicate(),
            Flow::Replicate if raised => {
                self.free_up_to(index);
                self.hold_back_while_full(settings);
            }
            // However the peer got there, through this snapshot or another one: the log goes on from there.
            Flow::Snapshot if raised && index + 1 >= first => {
                self.become_probe();
                self.become_replicate();
            }
            Flow::Snapshot if raised => {}
            Flow::Probe | Flow::Replicate | Flow::Snapshot => return false,
        }
        true
    }

    /// Frees the appends that an acknowledgement up to `index` covers.
    fn free_up_to(&mut self, index: u32) {
        self.inflight = self.inflight.iter().filter(|sent| *sent > index).collect();
    }

    /// With [`Departure::FullWindowPauses`]: whether appends are held back is no more than whether the
    /// window is full.
    fn hold_back_while_full(&mut self, settings: &Settings) {
        if self.flow == Flow::Replicate && settings.departs(Departure::FullWindowPauses) {
            self.paused = self.is_full(settings.max_inflight);
        }
    }

    /// The peer is alive: what was held back for it may go.
    pub(crate) fn heard(&mut self, settings: &Settings) {
        self.paused = false;
        if settings.departs(Departure::HeartbeatResponseFreesWindow)
            && self.is_full(settings.max_inflight)
        {
            self.inflight = self.inflight.iter().skip(1).collect();
        }
        self.hold_back_while_full(settings);
    }

    /// The peer refused the append after `refused`; the logs can agree at `hint` at the highest. Returns
    /// false if the refusal is stale.
    pub(crate) fn maybe_decrease_to(
        &mut self,
        settings: &Settings,
        refused: u32,
        hint: u32,
    ) -> bool {
        match self.flow {
            Flow::Replicate if refused <= self.matched => false,
            Flow::Replicate => {
                self.become_probe();
                true
            }
            Flow::Probe | Flow::Snapshot if refused != self.next - 1 => false,
            Flow::Probe | Flow::Snapshot => {
                let lowest = if settings.departs(Departure::ProbeBelowMatch) {
                    1
                } else {
                    self.matched + 1
                };
                self.next = refused.min(hint.saturating_add(1)).max(lowest);
                self.regress_sent_commit();
                self.paused = false;
                true
            }
        }
    }
}
