//! Real mistakes of real Rafts, planted so that the tools that look for mistakes can be measured.
//!
//! Nothing of this exists in a normal build: without the feature `seeded-bugs`, `seeded!(..)` is the
//! constant `false` and the compiler removes the mistake behind it. No release build has the feature;
//! `lockstep mutants` does. The names are those of the catalogue of the conformance crate, with a letter
//! where one entry is planted in several ways.

/// Whether a mistake is switched on: `seeded!(El01)`. Always `false` without the feature.
#[cfg(not(feature = "seeded-bugs"))]
macro_rules! seeded {
    ($bug:ident) => {
        $crate::seeded::is_active(stringify!($bug))
    };
}

/// No mistake is ever switched on. The name is taken so that each use is an expression of its own.
#[cfg(not(feature = "seeded-bugs"))]
#[inline(always)]
pub(crate) const fn is_active(_bug: &str) -> bool {
    false
}

#[cfg(feature = "seeded-bugs")]
macro_rules! seeded {
    ($bug:ident) => {
        $crate::seeded::is_active($crate::seeded::Bug::$bug)
    };
}

pub(crate) use seeded;

#[cfg(feature = "seeded-bugs")]
pub(crate) use switch::is_active;
#[cfg(feature = "seeded-bugs")]
pub use switch::{Bug, activate};

#[cfg(feature = "seeded-bugs")]
mod switch {
    use std::sync::atomic::{AtomicUsize, Ordering};

    macro_rules! bugs {
        ($($(#[doc = $what:literal])+ $name:ident = $id:literal,)+) => {
            /// A planted mistake.
            #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
            pub enum Bug {
                $($(#[doc = $what])+ $name,)+
            }

            impl Bug {
                /// Every planted mistake, in the order of the catalogue.
                pub const ALL: &[Bug] = &[$(Bug::$name),+];

                /// The name in the catalogue, such as `EL-01`, with a letter where an entry is planted
                /// in several ways.
                pub const fn id(self) -> &'static str {
                    match self {
                        $(Bug::$name => $id,)+
                    }
                }

                /// What the mistake does, in a sentence.
                pub fn what(self) -> &'static str {
                    match self {
                        $(Bug::$name => concat!($($what),+).trim_start(),)+
                    }
                }
            }
        };
    }

    bugs! {
        /// A vote is granted without comparing the logs.
        El01 = "EL-01",
        /// A pre-candidate forgets the vote that it cast in its term.
        El04 = "EL-04",
        /// A candidate counts a vote of an older term.
        El05 = "EL-05",
        /// A new round of pre-votes keeps the answers of the last one.
        El07a = "EL-07a",
        /// A new term keeps the votes of the last one.
        El07b = "EL-07b",
        /// A leader whose election timer fires campaigns against itself.
        El11 = "EL-11",
        /// A candidate ignores the appends of the leader of its term.
        El13a = "EL-13a",
        /// A candidate ignores the heartbeats of the leader of its term.
        El13b = "EL-13b",
        /// A leader grants a pre-vote to a server with an older log.
        El14 = "EL-14",
        /// A vote is granted although another candidate has it, as if every candidate were the target
        /// of a transfer.
        El15 = "EL-15",
        /// A server with an empty log restarts without term and vote.
        El16 = "EL-16",
        /// A pre-vote request of a lower term is not answered.
        Pv01a = "PV-01a",
        /// With PreVote alone, a leader of a lower term is not told of the higher one.
        Pv01b = "PV-01b",
        /// A pre-vote is granted in the voter's own term.
        Pv02 = "PV-02",
        /// A pre-candidate does not forget its leader.
        Pv04 = "PV-04",
        /// Granting a pre-vote renews the lease of the leader.
        Pv06 = "PV-06",
        /// An append that is refused does not count as hearing from the leader.
        Pv07 = "PV-07",
        /// A follower that gets a late pre-vote campaigns.
        Pv08 = "PV-08",
        /// A follower that knows no leader is in a lease all the same.
        Cq02 = "CQ-02",
        /// A heartbeat response does not count as activity of the peer.
        Cq05a = "CQ-05a",
        /// An acknowledgement does not count as activity of the peer.
        Cq05b = "CQ-05b",
        /// A refused append does not count as activity of the peer.
        Cq05c = "CQ-05c",
        /// A message of an older term counts as activity of the peer.
        Cq07 = "CQ-07",
        /// A leader without an active quorum stays leader.
        Cq08 = "CQ-08",
        /// A follower truncates its log at every append, conflict or not.
        Rp01 = "RP-01",
        /// An unknown entry counts as agreeing with the leader's log.
        Rp02 = "RP-02",
        /// A follower acknowledges its last entry instead of the last one that was checked.
        Rp04 = "RP-04",
        /// A follower commits beyond the entries that were checked.
        Rp05 = "RP-05",
        /// A leader takes an acknowledgement of an older term.
        Rp07 = "RP-07",
        /// An old acknowledgement lowers what is known to match.
        Rp09 = "RP-09",
        /// An old refusal lowers the next entry to send below what is known to match.
        Rp10 = "RP-10",
        /// The search for the conflict skips the term that could match.
        Rp12a = "RP-12a",
        /// The search for the conflict ends one entry too high.
        Rp12b = "RP-12b",
        /// A follower handles appends that lie before its commit index.
        Rp13 = "RP-13",
        /// A follower appends a proposal to its own log.
        Rp14 = "RP-14",
        /// A leader commits an entry of an older term by counting.
        Cm01 = "CM-01",
        /// A leader commits nothing while the next entry is of an older term.
        Cm02 = "CM-02",
        /// A leader commits what one server holds.
        Cm04 = "CM-04",
        /// A leader commits one entry at a time.
        Cm10 = "CM-10",
        /// A leader commits only when a quorum holds its last entry.
        Cm11 = "CM-11",
        /// A heartbeat response does not resume a paused peer.
        Fc02 = "FC-02",
        /// A full window sends nothing after a heartbeat response.
        Fc03a = "FC-03a",
        /// A full window is overrun after a heartbeat response.
        Fc03b = "FC-03b",
        /// A vote does not wait until it is durable.
        Ps01a = "PS-01a",
        /// A restart forgets the vote.
        Ps01b = "PS-01b",
        /// An acknowledgement does not wait until the entries are durable.
        Ps08 = "PS-08",
        /// A server with a log restarts without term, vote and commit index.
        Ps12 = "PS-12",
        /// The storage in memory loses the last entry of a batch, and reports success.
        Ps13 = "PS-13",
        /// A new term or vote need not be synchronised to disk.
        Ps15 = "PS-15",
        /// A response from a stranger is let in.
        Pr05 = "PR-05",
        /// The only voter leads without a new term.
        Pr06 = "PR-06",
        /// The commit index falls where an old message says less.
        Sp03 = "SP-03",
        /// A vote for server 1 is taken for no vote.
        Sp05 = "SP-05",
    }

    /// The active mistake, as its place in `Bug::ALL` plus one; zero is none. One for the process: a
    /// mistake has to be seen by every server and every thread of a search.
    static ACTIVE: AtomicUsize = AtomicUsize::new(0);

    /// Switches one mistake on, and every other off; `None` switches all off. For the whole process.
    pub fn activate(bug: Option<Bug>) {
        ACTIVE.store(bug.map_or(0, |bug| bug as usize + 1), Ordering::SeqCst);
    }

    /// Whether this mistake is switched on.
    pub(crate) fn is_active(bug: Bug) -> bool {
        ACTIVE.load(Ordering::Relaxed) == bug as usize + 1
    }
}
