//! Thesis §4.

use super::cluster::{Cluster, id, ids};
use super::untimed::Core;
use crate::core::TimerEvent;
use crate::error::DropReason;
use crate::observer::ConfChangeObstacle;
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
    cluster.node_mut(1).propose_conf_change(&change).unwrap();
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
fn a_failed_transfer_lets_the_joint_configuration_end() {
    use ConfChangeKind::{AddNode, RemoveNode};
    let mut cluster = cluster(3, 4, false);
    let change = change(Transition::Auto, &[(AddNode, 4), (RemoveNode, 3)]);
    cluster.node_mut(1).propose_conf_change(&change).unwrap();
    cluster.isolate(3);
    cluster.node_mut(1).transfer_leadership(id(3)).unwrap();
    cluster.settle();
    // No proposals meanwhile, not even the leader's own.
    assert_eq!(conf_state(&cluster, 1).voters_outgoing, ids(&[1, 2, 3]));
    cluster
        .node_mut(1)
        .on_timer(TimerEvent::CheckQuorum)
        .unwrap();
    cluster.settle();
    // Nothing else has happened since, and nothing else need happen.
    assert_eq!(cluster.node(1).lead_transferee(), None);
    assert_eq!(conf_state(&cluster, 1).voters_outgoing, []);
}

#[test]
fn a_withdrawn_transfer_lets_the_joint_configuration_end() {
    use ConfChangeKind::{AddNode, RemoveNode};
    let mut cluster = cluster(3, 4, false);
    let change = change(Transition::Auto, &[(AddNode, 4), (RemoveNode, 3)]);
    cluster.node_mut(1).propose_conf_change(&change).unwrap();
    cluster.isolate(3);
    cluster.node_mut(1).transfer_leadership(id(3)).unwrap();
    cluster.settle();
    assert_eq!(conf_state(&cluster, 1).voters_outgoing, ids(&[1, 2, 3]));
    cluster.node_mut(1).transfer_leadership(id(1)).unwrap();
    cluster.settle();
    assert_eq!(conf_state(&cluster, 1).voters_outgoing, []);
}

/// Of voters 1 and 2, server 1 leads and is removed. With asynchronous writes server 2 has what comes
/// after the change before server 1 has: 2 is the quorum, and 1 counts no more.
#[test]
fn a_removed_leader_commits_what_the_others_have() {
    let mut node = super::async_writes::node(&[1, 2]);
    node.campaign().unwrap();
    let vote = Body::RequestVoteResponse { granted: true };
    perform_all(&mut node);
    node.step(super::cluster::message(2, 1, 1, vote)).unwrap();
    let remove = change(Transition::Auto, &[(ConfChangeKind::RemoveNode, 1)]);
    perform_all(&mut node);
    let acknowledge = |node: &mut Core<MemoryStorage>, index| {
        let (index, rejection) = (Index(index), None);
        let body = Body::AppendEntriesResponse { index, rejection };
        node.step(super::cluster::message(2, 1, 1, body)).unwrap();
    };
    acknowledge(&mut node, 1);
    perform_all(&mut node);
    node.propose_conf_change(&remove).unwrap();
    perform_all(&mut node);
    node.propose("x".into()).unwrap();
    // The write of the command is on its way when its acknowledgement by server 2 arrives.
    let (_, mut work) = super::async_writes::ready(&mut node);
    acknowledge(&mut node, 3);
    assert_eq!(node.commit(), Index(2));
    node.apply_conf_change(&remove).unwrap();
    assert_eq!((node.role(), node.commit()), (Role::Leader, Index(3)));
    assert_eq!(work.len(), 1);
    let responses = super::async_writes::perform(&mut node, work.remove(0));
    assert!(!responses.is_empty());
}

fn perform_all(node: &mut Core<MemoryStorage>) {
    while node.has_ready() {
        let (_, work) = super::async_writes::ready(node);
        for work in work {
            for response in super::async_writes::perform(node, work) {
                if response.to == id(1) {
                    node.step(response).unwrap();
                }
            }
        }
    }
}

#[test]
fn an_explicit_joint_configuration_stays_until_it_is_left() {
    let mut cluster = cluster(1, 2, false);
    let enter = change(Transition::JointExplicit, &[(ConfChangeKind::AddNode, 2)]);
    cluster.node_mut(1).propose_conf_change(&enter).unwrap();
    cluster.settle();
    let joint = conf_state(&cluster, 1);
    assert_eq!(
        (joint.voters, joint.voters_outgoing),
        (ids(&[1, 2]), ids(&[1]))
    );
    // Another change is not taken, and whoever proposes it hears why.
    let another = change(Transition::Auto, &[(ConfChangeKind::RemoveNode, 2)]);
    let before = cluster.node(1).clone();
    let refused = cluster.node_mut(1).propose_conf_change(&another);
    let must_leave = DropReason::ConfChange(ConfChangeObstacle::MustLeaveJoint);
    assert_eq!(refused, Err(must_leave.into()));
    assert!(*cluster.node(1) == before);
    // If a follower passes it on, an empty entry comes in its place.
    let refused = cluster.node_mut(2).propose_conf_change(&another);
    assert_eq!(refused, Ok(()));
    let last = cluster.node(1).log().last_index().unwrap();
    cluster.settle();
    assert_eq!(cluster.node(1).commit(), last.next());
    assert_eq!(conf_state(&cluster, 1).voters, ids(&[1, 2]));
    cluster
        .node_mut(1)
        .propose_conf_change(ConfChangeV2::default())
        .unwrap();
    cluster.settle();
    for number in [1, 2] {
        assert_eq!(conf_state(&cluster, number).voters_outgoing, []);
    }
}

#[test]
fn one_change_at_a_time() {
    let mut cluster = cluster(1, 3, false);
    let change = |node| change(Transition::Auto, &[(ConfChangeKind::AddNode, node)]);
    let leader = cluster.node_mut(1);
    leader.propose_conf_change(change(2)).unwrap();
    let (index, applied) = (leader.pending_conf_index(), leader.applied());
    let pending = ConfChangeObstacle::Pending { index, applied };
    let refused = leader.propose_conf_change(change(3));
    assert_eq!(refused, Err(DropReason::ConfChange(pending).into()));
    // Of several entries none is taken, then.
    let data = crate::wire::encode_conf_change_v2(&change(3));
    let entries = vec![
        Entry::proposal(EntryKind::Normal, "x".into()),
        Entry::proposal(EntryKind::ConfChangeV2, data),
    ];
    assert!(leader.propose_entries(entries).is_err());
    cluster.settle();
    assert_eq!(conf_state(&cluster, 1).voters, ids(&[1, 2]));
    assert!(cluster.applied[0].is_empty());
    // There is nothing to leave.
    let leave = ConfChangeV2::default();
    let refused = cluster.node_mut(1).propose_conf_change(&leave);
    let not_joint = DropReason::ConfChange(ConfChangeObstacle::NotJoint);
    assert_eq!(refused, Err(not_joint.into()));
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
        .apply_conf_change(ConfChangeV2::default())
        .unwrap_err();
    assert!(*cluster.node(1) == before);
}

#[test]
fn a_removed_leader_may_stay_until_somebody_else_is_elected() {
    let mut cluster = cluster(3, 3, false);
    let remove = change(Transition::Auto, &[(ConfChangeKind::RemoveNode, 1)]);
    cluster.node_mut(1).propose_conf_change(&remove).unwrap();
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
    cluster.node_mut(1).propose_conf_change(&add).unwrap();
    cluster.settle();
    assert!(cluster.node(2).is_learner());
    cluster.propose(1, "x").unwrap();
    cluster.settle();
    assert_eq!(cluster.applied[1], ["x"]);
    let promote = change(Transition::Auto, &[(ConfChangeKind::AddNode, 2)]);
    cluster.node_mut(1).propose_conf_change(&promote).unwrap();
    cluster.settle();
    assert!(!cluster.node(2).is_learner());
    cluster.elect(2);
}

#[test]
fn a_smaller_quorum_commits_what_waited() {
    let mut cluster = cluster(2, 2, false);
    let remove = change(Transition::Auto, &[(ConfChangeKind::RemoveNode, 2)]);
    cluster.node_mut(1).propose_conf_change(&remove).unwrap();
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
