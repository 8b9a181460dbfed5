//! Raft §5.2 and §5.4.1; pre-votes, thesis §9.6.

use super::cluster::{Cluster, id, ids, message, storage};
use super::untimed::Core;
use crate::config::Config;
use crate::error::Refusal;
use crate::observer::CampaignObstacle;
use crate::types::*;

fn vote_request(from: u64, to: u64, term: u64, last: (u64, u64)) -> Message {
    let last = EntryId::new(Term(last.0), Index(last.1));
    message(from, to, term, Body::RequestVote { last, force: false })
}

/// The answers to vote requests that are on the network.
fn votes(cluster: &Cluster) -> Vec<(u64, bool)> {
    let vote = |message: &Message| match message.body {
        Body::RequestVoteResponse { granted } => Some((message.to.get(), granted)),
        _ => None,
    };
    cluster.network.iter().filter_map(vote).collect()
}

#[test]
fn a_majority_elects_one_leader() {
    for count in [1, 2, 3, 5] {
        let mut cluster = Cluster::new(count, |_| ());
        cluster.elect(1);
        for other in 1..=count {
            assert_eq!(cluster.node(other).leader(), Some(id(1)));
            assert_eq!(cluster.node(other).term(), Term(1));
        }
        // The leader opens its term with an entry of its own.
        assert_eq!(cluster.log(count), [(1, 1)]);
        assert_eq!(cluster.node(count).commit(), Index(1));
    }
}

#[test]
fn a_minority_elects_nobody() {
    let mut cluster = Cluster::new(5, |_| ());
    for other in [3, 4, 5] {
        cluster.isolate(other);
    }
    cluster.timeout(1);
    cluster.settle();
    assert_eq!(cluster.node(1).role(), Role::Candidate);
    // In another term, with others, it works.
    cluster.heal();
    cluster.elect(1);
    assert_eq!(cluster.node(1).term(), Term(2));
}

#[test]
fn a_server_has_one_vote_a_term_even_after_a_restart() {
    let mut cluster = Cluster::new(3, |_| ());
    for (from, expected) in [(1, true), (3, false), (1, true)] {
        cluster.deliver(vote_request(from, 2, 1, (0, 0)));
        cluster.work(2);
        assert_eq!(votes(&cluster), [(from, expected)]);
        cluster.network.clear();
        cluster.restart(2);
    }
    cluster.deliver(vote_request(3, 2, 2, (0, 0)));
    cluster.work(2);
    assert_eq!(votes(&cluster), [(3, true)]);
}

#[test]
fn votes_go_to_logs_that_are_at_least_as_up_to_date() {
    let hard_state = HardState {
        term: Term(3),
        ..HardState::default()
    };
    for (candidate, expected) in [
        ((0, 0), false),
        ((1, 9), false),
        ((2, 2), false),
        ((2, 3), true),
        ((2, 4), true),
        ((3, 1), true),
    ] {
        let storages = (0..3)
            .map(|_| storage(&[1, 2, 3], &[1, 2, 2], hard_state))
            .collect();
        let mut cluster = Cluster::with_storages(storages, |_| ());
        cluster.deliver(vote_request(1, 2, 4, candidate));
        cluster.work(2);
        assert_eq!(votes(&cluster), [(1, expected)], "last entry {candidate:?}");
        // The term counts in any case.
        assert_eq!(cluster.node(2).term(), Term(4));
    }
}

#[test]
fn a_candidate_yields_to_the_leader_of_its_term() {
    let mut cluster = Cluster::new(3, |_| ());
    cluster.timeout(1);
    cluster.timeout(2);
    cluster.work(1);
    cluster.work(2);
    let to_3 = cluster
        .network
        .iter()
        .position(|m| m.from == id(1) && m.to == id(3))
        .unwrap();
    let request = cluster.network.remove(to_3).unwrap();
    cluster.deliver(request);
    cluster.settle();
    assert_eq!(cluster.node(1).role(), Role::Leader);
    assert_eq!(cluster.node(2).role(), Role::Follower);
    assert_eq!(cluster.node(2).leader(), Some(id(1)));
    assert_eq!(cluster.node(2).term(), Term(1));
}

#[test]
fn refusals_of_a_majority_end_a_candidacy() {
    let hard_state = HardState {
        term: Term(1),
        ..HardState::default()
    };
    let logs: [&[u64]; 3] = [&[], &[1], &[1]];
    let storages = logs.map(|log| storage(&[1, 2, 3], log, hard_state));
    let mut cluster = Cluster::with_storages(storages.into(), |_| ());
    cluster.timeout(1);
    cluster.settle();
    assert_eq!(cluster.node(1).role(), Role::Follower);
    assert_eq!(cluster.node(1).term(), Term(2));
    cluster.elect(2);
}

#[test]
fn a_partitioned_server_disturbs_nobody_with_pre_votes() {
    for (pre_vote, term) in [(true, Term(1)), (false, Term(4))] {
        let mut cluster = Cluster::new(3, |config| config.pre_vote = pre_vote);
        cluster.elect(1);
        cluster.isolate(3);
        for _ in 0..3 {
            cluster.timeout(3);
            cluster.settle();
        }
        assert_eq!(cluster.node(3).term(), term);
        cluster.propose(1, "x").unwrap();
        cluster.settle();
        cluster.heal();
        cluster.timeout(3);
        cluster.settle();
        assert_eq!(cluster.node(1).role() == Role::Leader, pre_vote);
    }
}

#[test]
fn pre_votes_change_neither_term_nor_vote() {
    let mut cluster = Cluster::new(3, |config| config.pre_vote = true);
    cluster.timeout(1);
    cluster.work(1);
    assert_eq!(cluster.node(1).role(), Role::PreCandidate);
    assert_eq!(cluster.node(1).hard_state(), HardState::default());
    let last = EntryId::ZERO;
    cluster.deliver(message(1, 2, 7, Body::RequestPreVote { last }));
    cluster.work(2);
    assert_eq!(cluster.node(2).hard_state(), HardState::default());
    let granted = cluster.network.back().unwrap();
    assert_eq!(granted.body, Body::RequestPreVoteResponse { granted: true });
    assert_eq!(
        granted.term,
        Term(7),
        "a grant carries the term that was asked for"
    );
}

#[test]
fn a_refused_pre_vote_of_a_higher_term_is_learned_from() {
    let mut cluster = Cluster::new(3, |config| config.pre_vote = true);
    cluster.timeout(1);
    cluster.work(1);
    cluster.deliver(message(
        2,
        1,
        5,
        Body::RequestPreVoteResponse { granted: false },
    ));
    assert_eq!(
        (cluster.node(1).role(), cluster.node(1).term()),
        (Role::Follower, Term(5))
    );
}

#[test]
fn only_the_answers_to_the_own_question_count() {
    let mut cluster = Cluster::new(5, |config| config.pre_vote = true);
    cluster.timeout(1);
    cluster.work(1);
    let pre_vote = |from| message(from, 1, 1, Body::RequestPreVoteResponse { granted: true });
    cluster.deliver(message(
        2,
        1,
        0,
        Body::RequestVoteResponse { granted: true },
    ));
    cluster.deliver(pre_vote(2));
    assert_eq!(cluster.node(1).role(), Role::PreCandidate);
    cluster.deliver(pre_vote(3));
    cluster.work(1);
    assert_eq!(cluster.node(1).role(), Role::Candidate);
    // These come late and say nothing about the election that they led to.
    cluster.deliver(pre_vote(4));
    cluster.deliver(pre_vote(5));
    cluster.work(1);
    assert_eq!(cluster.node(1).role(), Role::Candidate);
}

#[test]
fn learners_vote_and_do_not_campaign() {
    let conf_state = ConfState {
        voters: ids(&[1]),
        learners: ids(&[2]),
        ..ConfState::default()
    };
    let storages = (0..2).map(|_| crate::MemoryStorage::with_conf_state(conf_state.clone()));
    let mut cluster = Cluster::with_storages(storages.collect(), |_| ());
    assert!(cluster.node(2).is_learner() && !cluster.node(2).promotable());
    cluster.timeout(2);
    assert_eq!(cluster.node(2).role(), Role::Follower);
    // It may have been made a voter without knowing it yet.
    cluster.deliver(vote_request(1, 2, 1, (0, 0)));
    cluster.work(2);
    assert_eq!(votes(&cluster), [(1, true)]);
}

#[test]
fn a_server_with_a_committed_change_to_apply_does_not_campaign() {
    let config = Config::new(id(1));
    let mut node = Core::new(&config, crate::MemoryStorage::new()).unwrap();
    node.bootstrap(&[(id(1), "".into()), (id(2), "".into())])
        .unwrap();
    let unapplied = Refusal::Campaign(CampaignObstacle::UnappliedConfChange);
    assert_eq!(node.campaign(), Err(unapplied.into()));
    assert_eq!(node.role(), Role::Follower);
    let ready = node.ready().unwrap();
    assert_eq!(ready.committed_entries.len(), 2);
    assert_eq!(ready.hard_state.unwrap().commit, Index(2));
    node.storage_mut().append(ready.entries).unwrap();
    node.advance().unwrap();
    node.campaign().unwrap();
    assert_eq!(node.role(), Role::Candidate);
}
