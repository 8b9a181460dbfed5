//! Quorum checks and leases, thesis §6.2 and §4.2.3.

use super::cluster::{Cluster, id, message};
use crate::config::Config;
use crate::core::TimerEvent;
use crate::types::*;

fn check_quorum(config: &mut Config) {
    config.check_quorum = true;
}

#[test]
fn a_leader_without_a_quorum_steps_down() {
    let mut cluster = Cluster::new(3, check_quorum);
    cluster.elect(1);
    // It has just heard from the others; one interval without them is enough.
    cluster
        .node_mut(1)
        .on_timer(TimerEvent::CheckQuorum)
        .unwrap();
    assert_eq!(cluster.node(1).role(), Role::Leader);
    cluster.isolate(1);
    cluster
        .node_mut(1)
        .on_timer(TimerEvent::CheckQuorum)
        .unwrap();
    assert_eq!(
        (cluster.node(1).role(), cluster.node(1).leader()),
        (Role::Follower, None)
    );
    assert_eq!(cluster.node(1).term(), Term(1));
}

#[test]
fn a_leader_that_hears_from_a_quorum_stays() {
    let mut cluster = Cluster::new(3, check_quorum);
    cluster.elect(1);
    cluster.isolate(3);
    for _ in 0..3 {
        cluster.heartbeat(1);
        cluster.settle();
        cluster
            .node_mut(1)
            .on_timer(TimerEvent::CheckQuorum)
            .unwrap();
    }
    assert_eq!(cluster.node(1).role(), Role::Leader);
}

#[test]
fn a_server_that_hears_from_a_leader_ignores_other_candidates() {
    let last = EntryId::new(Term(1), Index(1));
    let request = Body::RequestVote { last, force: false };
    let mut cluster = Cluster::new(3, check_quorum);
    cluster.elect(1);
    for voter in [1, 2] {
        assert!(cluster.node(voter).lease_live());
        let before = cluster.node(voter).clone();
        cluster.deliver(message(3, voter, 2, request.clone()));
        assert!(*cluster.node(voter) == before);
    }
    cluster
        .node_mut(2)
        .on_timer(TimerEvent::LeaseExpired)
        .unwrap();
    assert!(!cluster.node(2).lease_live());
    cluster.deliver(message(3, 2, 2, request));
    assert_eq!(
        (cluster.node(2).term(), cluster.node(2).vote()),
        (Term(2), Some(id(3)))
    );
}

#[test]
fn a_candidate_sent_by_the_leader_is_heard() {
    let mut cluster = Cluster::new(3, check_quorum);
    cluster.elect(1);
    let last = EntryId::new(Term(1), Index(1));
    cluster.deliver(message(3, 2, 2, Body::RequestVote { last, force: true }));
    assert_eq!(cluster.node(2).vote(), Some(id(3)));
}

#[test]
fn a_server_ahead_in_term_wakes_its_stale_leader() {
    for (check_quorum, expected) in [(true, Role::Follower), (false, Role::Leader)] {
        let mut cluster = Cluster::new(3, |config| config.check_quorum = check_quorum);
        cluster.elect(1);
        cluster.isolate(3);
        cluster.timeout(3);
        cluster.settle();
        cluster.heal();
        cluster.heartbeat(1);
        cluster.settle();
        // Without quorum checks its vote requests would have done it.
        assert_eq!(cluster.node(1).role(), expected);
    }
}

#[test]
fn a_follower_that_forgets_its_leader_votes_for_another() {
    let mut cluster = Cluster::new(3, check_quorum);
    cluster.elect(1);
    cluster.node_mut(2).forget_leader().unwrap();
    assert_eq!(
        (cluster.node(2).leader(), cluster.node(2).lease_live()),
        (None, false)
    );
    let refused = cluster.node_mut(1).forget_leader();
    assert_eq!(refused, Err(crate::Refusal::NotFollower.into()));
    assert_eq!(cluster.node(1).leader(), Some(id(1)), "not at a leader");
    cluster.timeout(3);
    cluster.work(3);
    cluster.settle();
    assert_eq!(cluster.node(2).vote(), Some(id(3)));
}

#[test]
fn a_lease_is_only_kept_with_quorum_checks() {
    let mut cluster = Cluster::new(3, |_| ());
    cluster.elect(1);
    assert!(!cluster.node(1).lease_live() && !cluster.node(2).lease_live());
}
