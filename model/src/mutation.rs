//! Mistakes that tests plant in the specification, to see that a property catches them.

/// A mistake. Each is one line at the rule that it breaks, guarded by `settings.planted(..)`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[doc(hidden)]
pub enum Mutation {
    /// No mistake: the specification as it is.
    #[default]
    None,
    /// A vote is granted whatever the candidate's log.
    VoteWithoutUpToDateLog,
    /// A server grants its vote to everybody who asks in its term.
    VoteTwice,
    /// A restart forgets the vote.
    VoteLostOnRestart,
    /// A leader commits an entry of an older term by counting replicas (paper, figure 8).
    CommitOldTermByCounting,
}
