//! Mistakes that tests plant in the specification, to see that a check catches them.
//!
//! Each is a line or two at the rule that it breaks, behind `settings.planted(..)`. A build without tests and
//! without the feature `seeded-bugs` cannot plant any.

macro_rules! mutations {
    ($($name:ident = $id:literal, $preset:literal, $caught_by:literal: $what:literal;)*) => {
        /// A mistake in the specification.
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
        #[doc(hidden)]
        pub enum Mutation {
            /// No mistake: the specification as it is.
            #[default]
            None,
            $(#[doc = $what] $name,)*
        }

        impl Mutation {
            /// Every mistake.
            pub const ALL: &'static [Mutation] = &[$(Mutation::$name),*];

            /// Its number in the catalogue of seeded bugs, or one of our own that starts with `LS`.
            pub const fn id(self) -> &'static str {
                match self {
                    Mutation::None => "none",
                    $(Mutation::$name => $id,)*
                }
            }

            /// What is done wrong.
            pub const fn what(self) -> &'static str {
                match self {
                    Mutation::None => "nothing",
                    $(Mutation::$name => $what,)*
                }
            }

            /// The property that is violated first, or the witness that is no longer reached.
            pub const fn expected_property(self) -> &'static str {
                match self {
                    Mutation::None => "none",
                    $(Mutation::$name => $caught_by,)*
                }
            }

            /// A preset in which it is caught.
            pub const fn preset(self) -> &'static str {
                match self {
                    Mutation::None => "smoke",
                    $(Mutation::$name => $preset,)*
                }
            }
        }
    };
}

mutations! {
    VoteWithoutUpToDateLog = "EL-01", "conflict", "leader_completeness_inv":
        "a vote is granted whatever the candidate's log";
    VoteClearedByPreVote = "EL-04", "votes", "pre_vote_step":
        "becoming a pre-candidate forgets the vote of the term";
    StaleVoteCounted = "EL-05", "conflict", "leader_completeness_inv":
        "a candidate counts a vote that was given for an earlier term";
    VotesNotReset = "EL-07b", "pair", "split_vote_reachable":
        "a candidate keeps the pre-votes as votes";
    VoteTwice = "EL-15", "conflict", "one_vote_per_term_step":
        "a vote is granted although another candidate has it";
    EmptyServerForgets = "EL-16", "pair", "term_monotonic_step":
        "a server with an empty log forgets term and vote in a restart";
    StaleLeaderNotTold = "PV-01b", "votes", "deposed_by_empty_acknowledgement_reachable":
        "with PreVote alone, a leader of a lower term is not told of the higher one";
    GrantAtOwnTerm = "PV-02", "votes", "leader_elected_reachable":
        "a pre-vote is granted at the voter's own term instead of the term asked for";
    LeaderNotForgotten = "PV-04", "default", "well_formed_inv":
        "a pre-candidate keeps its leader, and so its lease";
    PreVoteRaisesTerm = "LS-01", "votes", "pre_vote_step":
        "a pre-vote request of a higher term is taken as proof of that term";
    LeaseWithoutLeader = "CQ-02", "default", "leader_elected_reachable":
        "a server that knows no leader believes to be in a lease";
    LeaseIgnored = "LS-02", "default", "lease_step":
        "a server in the lease of a leader answers vote requests";
    ResponseIsNoActivity = "CQ-05", "smoke", "survived_check_quorum_reachable":
        "what a peer answers does not count as its activity";
    StaysLeaderAlone = "CQ-08", "smoke", "check_quorum_step":
        "a leader that finds no active quorum goes on leading";
    VoteLostInRestart = "PS-01", "pair", "one_vote_per_term_step":
        "a restart forgets the vote";
    TermLostInRestart = "PS-12", "pair", "term_monotonic_step":
        "a restart forgets the term";
    EntryLostInRestart = "PS-13", "pair", "restart_step":
        "a restart loses the last entry of the log";
    TruncatesAlways = "RP-01", "window", "committed_on_quorum_inv":
        "an append deletes everything that it does not carry, conflict or not";
    PreviousTermUnchecked = "RP-02", "conflict", "log_matching_inv":
        "an append is taken if the entry before it exists, whatever its term";
    MatchMayFall = "RP-09", "window", "match_monotonic_step":
        "an older acknowledgement lowers the matching index";
    NextBelowMatch = "RP-10", "pair", "well_formed_inv":
        "a refusal lowers the next index below what is known to match";
    StaleAppendTruncates = "RP-13", "window", "committed_entries_step":
        "an append from before the commit index deletes what follows its start";
    AppendsAfterStepDown = "RP-14", "conflict", "log_matching_inv":
        "a leader that steps down appends one more entry, in the new term";
    LeaderReplacesEntry = "LS-03", "smoke", "leader_append_only_step":
        "a proposal overwrites the leader's last entry while that is not committed";
    RefusalCountsAsAcknowledgement = "LS-04", "conflict", "match_is_replicated_inv":
        "a refused append counts as replicated";
    CommitsOldTermByCounting = "CM-01", "figure8", "current_term_commit_step":
        "a leader commits an entry of an older term by counting replicas (paper, figure 8)";
    StopsAtOldTerm = "CM-02", "conflict", "old_term_committed_reachable":
        "a leader commits nothing as long as an entry of an older term is uncommitted";
    MajorityTooSmall = "CM-04", "smoke", "committed_on_quorum_inv":
        "the commit index is what one server fewer than a majority has";
    CommitsOneAtATime = "CM-10", "conflict", "current_term_commit_step":
        "a leader commits one entry at a time";
    CommitMayFall = "SP-03", "pair", "commit_monotonic_step":
        "a follower takes the commit index of a heartbeat even if it is lower than its own";
    HeartbeatCommitUnbounded = "LS-05", "default", "state_machine_safety_inv":
        "a heartbeat carries the leader's commit index although the peer may not match it";
    NoneIsServerOne = "SP-05", "conflict", "one_vote_per_term_step":
        "a vote for server 1 is taken for no vote";
    RefusalCountsAsVote = "LS-06", "conflict", "election_safety_inv":
        "a candidate counts answers, whether they grant or refuse";
    HeartbeatResponseAhead = "LS-07", "smoke", "message_terms_inv":
        "a heartbeat response carries a term that its sender has not reached";
    WindowIgnored = "FC-03a", "window", "well_formed_inv":
        "appends with entries are sent although the window is full";
    FullWindowSilent = "FC-03b", "window", "full_window_probed_reachable":
        "nothing is sent to a peer whose window is full, not even an empty append";
    LeadsWithoutTerm = "PR-06", "single", "well_formed_inv":
        "the only voter leads without a new term";
}

#[cfg(test)]
mod tests {
    use super::Mutation;
    use crate::properties::{state_properties, step_properties};
    use crate::{Cluster, Preset, Settings};
    use lockstep_engine::{Report, Search, Verdict};
    use std::collections::BTreeSet;

    fn report(preset: &Preset, mutation: Mutation) -> Report {
        let settings = Settings::new(&preset.config).expect("a preset is valid");
        let cluster = Cluster::new(settings.with_mutation(mutation), preset.bounds);
        let search = Search::new(&cluster).threads(2);
        // The mistake about server 1 treats servers differently.
        let search = search.symmetry(mutation != Mutation::NoneIsServerOne);
        search.run().expect("the search runs").report
    }

    /// The first thing that a search finds wrong with a mistake planted: the property that is violated,
    /// or the witnesses that are gone.
    fn caught_by(mutation: Mutation) -> BTreeSet<String> {
        let preset = Preset::named(mutation.preset()).expect("the preset exists");
        let with = report(preset, mutation);
        match with.verdict {
            Verdict::Violated { property, .. } => BTreeSet::from([property]),
            _ => {
                let reached = |report: Report| -> BTreeSet<String> {
                    let reached = report.witnesses.into_iter().filter(|w| w.depth.is_some());
                    reached.map(|witness| witness.name).collect()
                };
                let without = reached(report(preset, Mutation::None));
                let with = reached(with);
                without.difference(&with).cloned().collect()
            }
        }
    }

    #[test]
    fn every_property_has_a_mistake_that_it_catches() {
        let states = state_properties().iter().map(|property| property.name);
        let steps = step_properties().iter().map(|property| property.name);
        for name in states.chain(steps) {
            let mut expected = Mutation::ALL.iter().map(|m| m.expected_property());
            assert!(expected.any(|expected| expected == name), "{name}");
        }
    }

    #[test]
    fn every_mistake_is_caught_by_the_check_meant_for_it() {
        let mut wrong = Vec::new();
        for mutation in Mutation::ALL {
            let caught = caught_by(*mutation);
            if !caught.contains(mutation.expected_property()) {
                wrong.push((mutation, mutation.expected_property(), caught));
            }
        }
        assert!(wrong.is_empty(), "{wrong:#?}");
    }
}
