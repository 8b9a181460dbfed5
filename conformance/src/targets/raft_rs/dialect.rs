//! Departures of raft-rs from etcd's raft by design, as far as they are a matter of form. Each departure has a name, a
//! reason and a source, is counted when it makes a difference, and is listed in the report. Departures with
//! consequences for the state are switches of the specification (`lockstep_model::Dialect`).

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// A departure in the form of what is sent or said, which the adapter takes away.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Normalisation {
    /// Vote requests and refused votes carry the sender's commit index and its term.
    CommitInVotes,
    /// Answers to appends and heartbeats carry the follower's commit index.
    CommitInAcknowledgements,
    /// A follower that knows a leader forwards a proposal to it.
    ForwardedProposal,
    /// A server that does not lead holds back everything it sends until its state is durable.
    EverythingWaits,
    /// A leader holds back nothing, its answers included.
    LeaderAnswersAtOnce,
}

impl Normalisation {
    /// All of them.
    pub const ALL: [Normalisation; 5] = [
        Normalisation::CommitInVotes,
        Normalisation::CommitInAcknowledgements,
        Normalisation::ForwardedProposal,
        Normalisation::EverythingWaits,
        Normalisation::LeaderAnswersAtOnce,
    ];

    /// Its name in reports.
    pub const fn name(self) -> &'static str {
        match self {
            Normalisation::CommitInVotes => "commit-in-votes",
            Normalisation::CommitInAcknowledgements => "commit-in-acknowledgements",
            Normalisation::ForwardedProposal => "forwarded-proposal",
            Normalisation::EverythingWaits => "everything-waits",
            Normalisation::LeaderAnswersAtOnce => "leader-answers-at-once",
        }
    }

    /// Returns the behaviour of raft-rs, the reason that it is no error, and the place where raft-rs says so.
    pub const fn reason(self) -> &'static str {
        match self {
            Normalisation::CommitInVotes => {
                "vote requests and refused votes carry commit index and commit term, from which a server \
                 may learn what is committed; the fields are dropped, so committing by vote is not \
                 compared (raft-rs: maybe_commit_by_vote, since 0.6)"
            }
            Normalisation::CommitInAcknowledgements => {
                "answers to appends and heartbeats carry the follower's commit index, which only group \
                 commit and the application's view of a peer use (raft-rs: Progress::committed_index)"
            }
            Normalisation::ForwardedProposal => {
                "there is no switch that turns forwarding off: a proposal that a follower forwards counts \
                 as dropped (raft-rs: step_follower, MsgPropose)"
            }
            Normalisation::EverythingWaits => {
                "a server that does not lead holds back all messages until its state is durable, not \
                 only its answers: stricter than needed (raft-rs: Ready::persisted_messages)"
            }
            Normalisation::LeaderAnswersAtOnce => {
                "a leader sends its refusals at once: it leads because its term and vote are durable, \
                 and they depend on nothing newer (raft-rs: Ready::messages; thesis, section 10.2.1)"
            }
        }
    }
}

/// The number of times that each normalisation made a difference, for all servers of a target together.
#[derive(Clone, Debug, Default)]
pub struct Uses(Arc<[AtomicU64; Normalisation::ALL.len()]>);

impl Uses {
    pub(super) fn count(&self, normalisation: Normalisation) {
        self.0[normalisation as usize].fetch_add(1, Ordering::Relaxed);
    }

    /// The number of times that it made a difference.
    pub fn of(&self, normalisation: Normalisation) -> u64 {
        self.0[normalisation as usize].load(Ordering::Relaxed)
    }
}
