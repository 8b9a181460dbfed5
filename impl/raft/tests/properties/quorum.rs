//! Quorums against oracles that try every majority.

use std::collections::BTreeMap;

use lockstep_raft::quorum::{JointConfig, MajorityConfig, UNBOUNDED, VoteResult};
use lockstep_raft::{Index, NodeId};
use proptest::collection::{btree_map, btree_set};
use proptest::prelude::*;

use crate::id;

type Acked = BTreeMap<NodeId, Index>;
type Votes = BTreeMap<NodeId, bool>;

/// Every set of voters that is a majority, by trying all subsets.
fn majorities(config: &MajorityConfig) -> Vec<Vec<NodeId>> {
    let voters: Vec<NodeId> = config.ids().iter().collect();
    (0..1u32 << voters.len())
        .map(|subset| {
            let member = |at: &usize| subset & (1 << at) != 0;
            (0..voters.len())
                .filter(member)
                .map(|at| voters[at])
                .collect()
        })
        .filter(|subset: &Vec<NodeId>| 2 * subset.len() > voters.len())
        .collect()
}

/// The best index that all of some majority have: the definition of a committed index.
fn committed_by_definition(config: &MajorityConfig, acked: &Acked) -> Index {
    if config.is_empty() {
        return UNBOUNDED;
    }
    let of_majority = |majority: &Vec<NodeId>| {
        let indexes = majority
            .iter()
            .map(|id| acked.get(id).copied().unwrap_or_default());
        indexes.min().expect("a majority has members")
    };
    majorities(config)
        .iter()
        .map(of_majority)
        .max()
        .expect("there is a majority")
}

/// Counts votes by the definition: a majority that can still be completed, and one that is complete already.
fn vote_by_definition(halves: &[&MajorityConfig], votes: &Votes) -> VoteResult {
    let wins = |missing_vote: bool| {
        halves.iter().filter(|half| !half.is_empty()).all(|half| {
            majorities(half).iter().any(|majority| {
                majority
                    .iter()
                    .all(|id| votes.get(id).copied().unwrap_or(missing_vote))
            })
        })
    };
    match (wins(false), wins(true)) {
        (true, _) => VoteResult::Won,
        (false, true) => VoteResult::Pending,
        (false, false) => VoteResult::Lost,
    }
}

/// Up to nine voters, so that the sets also outgrow their place without allocation.
fn voters() -> impl Strategy<Value = MajorityConfig> {
    btree_set(1..=10u64, 0..=9).prop_map(|ids| ids.into_iter().map(id).collect())
}

fn acked() -> impl Strategy<Value = Acked> {
    btree_map((1..=10u64).prop_map(id), (0..6u64).prop_map(Index), 0..=10)
}

fn votes() -> impl Strategy<Value = Votes> {
    btree_map((1..=10u64).prop_map(id), any::<bool>(), 0..=10)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    #[test]
    fn a_majority_commits_what_its_definition_says(config in voters(), acked in acked()) {
        let committed = config.committed_index(|id| acked.get(&id).copied());
        prop_assert_eq!(committed, committed_by_definition(&config, &acked));
    }

    #[test]
    fn a_joint_quorum_commits_what_both_halves_do(
        incoming in voters(),
        outgoing in voters(),
        acked in acked(),
    ) {
        let expected = committed_by_definition(&incoming, &acked)
            .min(committed_by_definition(&outgoing, &acked));
        let joint = JointConfig { incoming, outgoing };
        prop_assert_eq!(joint.committed_index(|id| acked.get(&id).copied()), expected);
        let swapped = JointConfig { incoming: joint.outgoing, outgoing: joint.incoming };
        prop_assert_eq!(swapped.committed_index(|id| acked.get(&id).copied()), expected);
    }

    #[test]
    fn a_vote_is_decided_once_missing_votes_cannot_change_it(
        incoming in voters(),
        outgoing in voters(),
        votes in votes(),
    ) {
        let alone = incoming.vote_result(|id| votes.get(&id).copied());
        prop_assert_eq!(alone, vote_by_definition(&[&incoming], &votes));
        let expected = vote_by_definition(&[&incoming, &outgoing], &votes);
        let joint = JointConfig { incoming, outgoing };
        prop_assert_eq!(joint.vote_result(|id| votes.get(&id).copied()), expected);
    }
}

/// The oracles notice a quorum that is too small by one.
#[test]
fn half_of_the_voters_is_no_majority() {
    let config: MajorityConfig = (1..=4).map(id).collect();
    let acked: Acked = [(id(1), Index(5)), (id(2), Index(5))].into();
    assert_eq!(committed_by_definition(&config, &acked), Index(0));
    let too_small = {
        let mut indexes: Vec<Index> = config
            .ids()
            .iter()
            .map(|id| acked.get(&id).copied().unwrap_or_default())
            .collect();
        indexes.sort();
        indexes[indexes.len() - config.len() / 2]
    };
    assert_ne!(too_small, committed_by_definition(&config, &acked));
}
