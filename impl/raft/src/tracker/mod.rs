//! A leader's view of the other servers, and the membership that every server knows.
//!
//! [`Progress`] is the leader's view of one follower's log and the flow control towards it,
//! [`Inflights`] the window of unacknowledged appends within it, and [`Configuration`] the
//! membership. They decide nothing by themselves: the state machine calls them at the transitions of
//! the protocol.
//!
//! ```
//! use lockstep_raft::Index;
//! use lockstep_raft::tracker::{Inflights, Progress};
//!
//! // A window of two appends, without a limit in bytes; the follower is probed from index 5.
//! let mut follower = Progress::new(Index(5), Inflights::new(2, 0));
//! follower.sent_entries(1, 10);
//! assert!(follower.is_paused(), "one probe at a time");
//! follower.maybe_update(Index(5)); // It was accepted: from now on optimistically.
//! follower.become_replicate();
//! follower.sent_entries(1, 10);
//! assert_eq!((follower.next(), follower.is_paused()), (Index(7), false));
//! follower.sent_entries(1, 10);
//! assert!(follower.is_paused(), "the window is full");
//! ```

mod configuration;
mod inflights;
mod progress;
mod progress_map;
#[cfg(test)]
mod tests;
mod votes;

pub use configuration::Configuration;
pub use inflights::Inflights;
pub use progress::{Progress, ProgressState};
pub use progress_map::ProgressMap;
#[doc(hidden)]
pub use votes::{Tally, Votes};

use crate::quorum::{UNBOUNDED, VoteResult};
use crate::types::{Index, NodeId};

/// The membership, the progress of every member, and the votes of the current election.
#[doc(hidden)]
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct ProgressTracker {
    /// The active configuration.
    pub config: Configuration,
    /// One progress for every voter and learner of the configuration.
    pub progress: ProgressMap,
    /// The votes of the current election, as far as they were cast.
    pub votes: Votes,
    max_inflight_messages: usize,
    max_inflight_bytes: u64,
}

impl ProgressTracker {
    /// A tracker of an empty configuration.
    ///
    /// Each follower may have `max_inflight_messages` appends in flight, and `max_inflight_bytes`
    /// of entries (0: no limit in bytes).
    pub fn new(max_inflight_messages: usize, max_inflight_bytes: u64) -> Self {
        Self {
            config: Configuration::default(),
            progress: ProgressMap::default(),
            votes: Votes::default(),
            max_inflight_messages,
            max_inflight_bytes,
        }
    }

    /// A tracker with the same limits and nobody in it.
    pub fn without_members(&self) -> Self {
        Self::new(self.max_inflight_messages, self.max_inflight_bytes)
    }

    /// An empty window with the limits of this tracker.
    pub fn new_inflights(&self) -> Inflights {
        Inflights::new(self.max_inflight_messages, self.max_inflight_bytes)
    }

    /// Whether there is exactly one voter and no transition.
    pub fn is_singleton(&self) -> bool {
        self.config.voters.incoming.len() == 1 && !self.config.voters.is_joint()
    }

    /// The highest index that the voters have acknowledged in a quorum.
    ///
    /// Index 0 for a configuration without voters: it can commit nothing, since nobody is there to
    /// have stored anything.
    pub fn committed(&self) -> Index {
        let committed = self
            .config
            .voters
            .committed_index(|id| self.progress.get(id).map(Progress::matched));
        if committed == UNBOUNDED {
            Index::default()
        } else {
            committed
        }
    }

    /// Whether a quorum of voters was heard of since the flags were last cleared.
    pub fn quorum_active(&self) -> bool {
        let result = self.config.voters.vote_result(|id| {
            self.progress
                .get(id)
                .filter(|progress| !progress.is_learner)
                .map(|progress| progress.recent_active)
        });
        result == VoteResult::Won
    }

    /// The count of the votes that members of the configuration cast, and what they decide.
    pub fn tally_votes(&self) -> Tally {
        let mut tally = Tally {
            granted: 0,
            rejected: 0,
            result: self.config.voters.vote_result(|id| self.votes.get(id)),
        };
        for (id, progress) in &self.progress {
            match self.votes.get(id) {
                Some(_) if progress.is_learner => {}
                Some(true) => tally.granted += 1,
                Some(false) => tally.rejected += 1,
                None => {}
            }
        }
        tally
    }

    /// Whether `id` is a voter, of either half in a transition.
    pub fn is_voter(&self, id: NodeId) -> bool {
        self.config.voters.contains(id)
    }
}
