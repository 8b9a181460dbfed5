//! Thesis §4.

use super::cluster::{Cluster, id, ids};
use crate::core::TimerEvent;
use crate::storage::MemoryStorage;
use crate::types::*;

/// Voters 1 to `voters` of `servers`; the others know of them and are not members.
fn cluster(voters: u64, servers: u64, step_down: bool) -> Cluster {
    let members: Vec<NodeId> = (1..=voters).map(id).collect();
    let conf_state = ConfState {
        voters: members,
        ..ConfState::default()
    };
    let storages = (1..=servers).map(|_| MemoryStorage::with_conf_state(conf_state.clone()));
    let mut cluster = Cluster::with_storages(storages.collect(), |config| {
        config.step_down_on_removal = step_down;
    });
    cluster.elect(1);
    cluster
}

fn change(transition: Transition, changes: &[(ConfChangeKind, u64)]) -> ConfChangeV2 {
    let changes = changes
        .iter()
        .map(|(kind, node)| ConfChangeSingle::new(*kind, id(*node)));
    ConfChangeV2 {
        transition,
        changes: changes.collect(),
        ..ConfChangeV2::default()
    }
}

fn conf_state(cluster: &Cluster, number: u64) -> ConfState {
    cluster.node(number).tracker().config.conf_state()
}

#[test]
fn a_voter_is_added_and_catches_up() {
    let mut cluster = cluster(1, 2, false);
    cluster.propose(1, "x").unwrap();
    let kind = ConfChangeKind::AddNode;
    let change = ConfChange {
        kind,
        node: Some(id(2)),
        ..ConfChange::default()
    };
    cluster.node_mut(1).propose_conf_change(&change).unwrap();
    cluster.settle();
    for number in [1, 2] {
        assert_eq!(conf_state(&cluster, number).voters, ids(&[1, 2]));
    }
    cluster.propose(2, "y").unwrap();
    cluster.settle();
    assert_eq!(cluster.applied, vec![vec!["x", "y"]; 2]);
}

#[test]
fn all_voters_are_replaced_through_a_joint_configuration() {
    use ConfChangeKind::{AddNode, RemoveNode};
    let mut cluster = cluster(2, 4, true);
    let changes = [(AddNode, 3), (AddNode, 4), (RemoveNode, 1), (RemoveNode, 2)];
    let change = change(Transition::Auto, &changes);
    cluster.node_mut(1).propose_conf_change_v2(&change).unwrap();
    cluster.settle();
    // The leader left the joint configuration by itself, and with it the group.
    assert_eq!(cluster.node(1).role(), Role::Follower);
    assert_eq!(conf_state(&cluster, 1).voters, ids(&[3, 4]));
    cluster.elect(3);
    let expected = ConfState {
        voters: ids(&[3, 4]),
        ..ConfState::default()
    };
    assert_eq!(
        [conf_state(&cluster, 3), conf_state(&cluster, 4)],
        [expected.clone(), expected]
    );
}

#[test]
fn after_a_transfer_that_failed_the_next_applied_entry_leaves_the_joint_configuration() {
    use ConfChangeKind::{AddNode, RemoveNode};
    let mut cluster = cluster(3, 4, false);
    let change = change(Transition::Auto, &[(AddNode, 4), (RemoveNode, 3)]);
    cluster.node_mut(1).propose_conf_change_v2(&change).unwrap();
    cluster.isolate(3);
    cluster.node_mut(1).transfer_leader(id(3)).unwrap();
    cluster.settle();
    // No proposals meanwhile, not even the leader's own.
    assert_eq!(conf_state(&cluster, 1).voters_outgoing, ids(&[1, 2, 3]));
    cluster
        .node_mut(1)
        .on_timer(TimerEvent::CheckQuorum)
        .unwrap();
    cluster.settle();
    // The end of the transfer proposes nothing by itself, as in etcd.
    assert_eq!(cluster.node(1).lead_transferee(), None);
    assert_eq!(conf_state(&cluster, 1).voters_outgoing, ids(&[1, 2, 3]));
    cluster.node_mut(1).propose("next".into()).unwrap();
    cluster.settle();
    assert_eq!(conf_state(&cluster, 1).voters_outgoing, []);
}

#[test]
fn an_explicit_joint_configuration_stays_until_it_is_left() {
    let mut cluster = cluster(1, 2, false);
    let enter = change(Transition::JointExplicit, &[(ConfChangeKind::AddNode, 2)]);
    cluster.node_mut(1).propose_conf_change_v2(&enter).unwrap();
    cluster.settle();
    let joint = conf_state(&cluster, 1);
    assert_eq!(
        (joint.voters, joint.voters_outgoing),
        (ids(&[1, 2]), ids(&[1]))
    );
    // Another change is not taken: an empty entry comes in its place.
    let another = change(Transition::Auto, &[(ConfChangeKind::RemoveNode, 2)]);
    cluster
        .node_mut(1)
        .propose_conf_change_v2(&another)
        .unwrap();
    cluster.settle();
    assert_eq!(conf_state(&cluster, 1).voters, ids(&[1, 2]));
    cluster
        .node_mut(1)
        .propose_conf_change_v2(&ConfChangeV2::default())
        .unwrap();
    cluster.settle();
    for number in [1, 2] {
        assert_eq!(conf_state(&cluster, number).voters_outgoing, []);
    }
}

#[test]
fn one_change_at_a_time() {
    let mut cluster = cluster(1, 3, false);
    for node in [2, 3] {
        let change = change(Transition::Auto, &[(ConfChangeKind::AddNode, node)]);
        cluster.node_mut(1).propose_conf_change_v2(&change).unwrap();
    }
    cluster.settle();
    assert_eq!(conf_state(&cluster, 1).voters, ids(&[1, 2]));
}

#[test]
fn a_change_that_does_not_fit_is_an_error_and_changes_nothing() {
    let mut cluster = cluster(1, 1, false);
    let before = cluster.node(1).clone();
    let last_voter = change(Transition::Auto, &[(ConfChangeKind::RemoveNode, 1)]);
    cluster
        .node_mut(1)
        .apply_conf_change(&last_voter)
        .unwrap_err();
    cluster
        .node_mut(1)
        .apply_conf_change(&ConfChangeV2::default())
        .unwrap_err();
    assert!(*cluster.node(1) == before);
}

#[test]
fn a_removed_leader_may_stay_until_somebody_else_is_elected() {
    let mut cluster = cluster(3, 3, false);
    let remove = change(Transition::Auto, &[(ConfChangeKind::RemoveNode, 1)]);
    cluster.node_mut(1).propose_conf_change_v2(&remove).unwrap();
    cluster.settle();
    assert_eq!(cluster.node(1).role(), Role::Leader);
    let dropped = cluster.propose(1, "x").unwrap_err();
    assert_eq!(dropped, crate::DropReason::NotMember.into());
    assert!(!cluster.node(1).promotable());
    cluster.elect(2);
    assert_eq!(conf_state(&cluster, 2).voters, ids(&[2, 3]));
}

#[test]
fn a_learner_gets_the_log_and_is_promoted() {
    let mut cluster = cluster(1, 2, false);
    let add = change(Transition::Auto, &[(ConfChangeKind::AddLearner, 2)]);
    cluster.node_mut(1).propose_conf_change_v2(&add).unwrap();
    cluster.settle();
    assert!(cluster.node(2).is_learner());
    cluster.propose(1, "x").unwrap();
    cluster.settle();
    assert_eq!(cluster.applied[1], ["x"]);
    let promote = change(Transition::Auto, &[(ConfChangeKind::AddNode, 2)]);
    cluster
        .node_mut(1)
        .propose_conf_change_v2(&promote)
        .unwrap();
    cluster.settle();
    assert!(!cluster.node(2).is_learner());
    cluster.elect(2);
}

#[test]
fn a_smaller_quorum_commits_what_waited() {
    let mut cluster = cluster(2, 2, false);
    let remove = change(Transition::Auto, &[(ConfChangeKind::RemoveNode, 2)]);
    cluster.node_mut(1).propose_conf_change_v2(&remove).unwrap();
    for number in [1, 2, 1] {
        cluster.work(number);
        while let Some(message) = cluster.network.pop_front() {
            cluster.deliver(message);
        }
    }
    cluster.isolate(2);
    cluster.propose(1, "x").unwrap();
    cluster.settle();
    assert_eq!(cluster.applied[0], ["x"]);
}
