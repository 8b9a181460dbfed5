//! The consequences of an applied change of membership at the leader.

use bytes::Bytes;

use super::cluster::{Cluster, id, ids, message};
use super::untimed::Core;
use crate::config::Config;
use crate::ready::Ready;
use crate::storage::MemoryStorage;
use crate::types::*;
use crate::wire;

fn single(kind: ConfChangeKind, node: u64) -> ConfChangeV2 {
    ConfChangeV2 {
        changes: vec![ConfChangeSingle::new(kind, id(node))],
        ..ConfChangeV2::default()
    }
}

fn acknowledge(cluster: &mut Cluster, from: u64, index: u64) {
    let term = cluster.node(1).term().0;
    let index = Index(index);
    let rejection = None;
    let body = Body::AppendEntriesResponse { index, rejection };
    cluster.deliver(message(from, 1, term, body));
}

/// Of voters 1 to 4, two have an entry that needs three; with three voters, two are enough.
#[test]
fn what_waited_is_committed_when_the_quorum_gets_smaller() {
    let mut cluster = Cluster::new(4, |_| ());
    cluster.elect(1);
    let remove = single(ConfChangeKind::RemoveNode, 4);
    cluster.node_mut(1).propose_conf_change(&remove).unwrap();
    cluster.propose(1, "x").unwrap();
    cluster.work(1);
    cluster.network.clear();
    let change = Index(2);
    let command = Index(3);
    acknowledge(&mut cluster, 3, change.0);
    acknowledge(&mut cluster, 2, command.0);
    assert_eq!(cluster.node(1).commit(), change);
    cluster.network.clear();
    cluster.work(1);
    assert_eq!(cluster.node(1).commit(), command);
    // The others are told at once.
    let tells = |to| {
        let mut sent = cluster.network.iter().filter(|it| it.to == id(to));
        sent.any(|it| matches!(it.body, Body::AppendEntries { commit, .. } if commit == command))
    };
    assert!(tells(2) && tells(3));
    assert_eq!(cluster.applied[0], ["x"]);
}

/// The same, with a read that waits for the first commit of the leader.
#[test]
fn a_read_that_waited_is_asked_for_when_the_quorum_gets_smaller() {
    let mut cluster = Cluster::new(4, |_| ());
    cluster.elect(2);
    let remove = single(ConfChangeKind::RemoveNode, 4);
    cluster.node_mut(2).propose_conf_change(&remove).unwrap();
    // Server 1 has the change and does not know that it is committed.
    cluster.work(2);
    let append = cluster.network.iter().find(|it| it.to == id(1)).cloned();
    cluster.network.clear();
    cluster.deliver(append.unwrap());
    cluster.work(1);
    cluster.network.clear();
    cluster.isolate(2);
    cluster.isolate(4);
    // It wins with 3 and 4 and has its first entry on 3 only; a read comes.
    cluster.timeout(1);
    cluster.work(1);
    for voter in [3, 4] {
        let granted = Body::RequestVoteResponse { granted: true };
        cluster.deliver(message(voter, 1, 2, granted));
    }
    assert_eq!(cluster.node(1).role(), Role::Leader);
    cluster.work(1);
    cluster.node_mut(1).read_index(Bytes::from("read")).unwrap();
    cluster.work(1);
    acknowledge(&mut cluster, 3, 3);
    assert_eq!(cluster.node(1).commit(), Index(1));
    // The change is committed by a heartbeat of nobody: as if applied from elsewhere.
    cluster.network.clear();
    let data = wire::encode_conf_change_v2(&remove);
    let change = wire::decode_conf_change_v2(&data).unwrap();
    cluster.node_mut(1).apply_conf_change(&change).unwrap();
    assert_eq!(cluster.node(1).commit(), Index(3));
    cluster.work(1);
    let asks = cluster.network.iter();
    let mut asks = asks
        .filter(|it| matches!(&it.body, Body::Heartbeat { context, .. } if !context.is_empty()));
    assert!(asks.next().is_some());
}

#[test]
fn a_transfer_to_a_server_that_leaves_is_given_up() {
    let mut cluster = Cluster::new(3, |_| ());
    cluster.elect(1);
    let remove = single(ConfChangeKind::RemoveNode, 3);
    cluster.node_mut(1).propose_conf_change(&remove).unwrap();
    cluster.isolate(3);
    cluster.node_mut(1).transfer_leadership(id(3)).unwrap();
    assert_eq!(cluster.node(1).lead_transferee(), Some(id(3)));
    cluster.settle();
    assert_eq!(cluster.node(1).lead_transferee(), None);
    cluster.propose(1, "x").unwrap();
}

#[test]
fn a_transfer_to_a_server_that_stays_goes_on() {
    let mut cluster = Cluster::new(3, |_| ());
    cluster.elect(1);
    let remove = single(ConfChangeKind::RemoveNode, 3);
    cluster.node_mut(1).propose_conf_change(&remove).unwrap();
    cluster.work(1);
    cluster.network.clear();
    cluster.node_mut(1).transfer_leadership(id(2)).unwrap();
    cluster.node_mut(1).apply_conf_change(&remove).unwrap();
    assert_eq!(cluster.node(1).lead_transferee(), Some(id(2)));
}

/// A leader that is demoted, not removed, steps down too if it is to.
#[test]
fn a_demoted_leader_steps_down() {
    for step_down in [false, true] {
        let mut cluster = Cluster::new(3, |config| config.step_down_on_removal = step_down);
        cluster.elect(1);
        let demote = single(ConfChangeKind::AddLearner, 1);
        cluster.node_mut(1).propose_conf_change(&demote).unwrap();
        cluster.settle();
        let config = cluster.node(1).tracker().config.conf_state();
        assert_eq!((config.voters, config.learners), (ids(&[2, 3]), ids(&[1])));
        let is_leader = cluster.node(1).role() == Role::Leader;
        assert_eq!(is_leader, !step_down);
    }
}

/// A joint configuration is left when all of it is applied, not before, and also long after.
#[test]
fn the_end_of_a_transition_waits_for_what_is_pending() {
    let mut cluster = Cluster::new(1, |_| ());
    cluster.elect(1);
    let enter = ConfChangeV2 {
        transition: Transition::JointImplicit,
        ..single(ConfChangeKind::AddLearner, 2)
    };
    cluster.node_mut(1).propose_conf_change(&enter).unwrap();
    let pending = cluster.node(1).pending_conf_index();
    cluster.propose(1, "x").unwrap();
    // Entry by entry: `work` would apply all of it.
    cluster.node_mut(1).apply_conf_change(&enter).unwrap();
    assert!(cluster.node(1).log().applied() < pending);
    let last = cluster.node(1).log().last_index().unwrap();
    cluster.node_mut(1).leave_joint_if_due().unwrap();
    assert_eq!(cluster.node(1).log().last_index(), Ok(last));
}

/// A removed leader that goes on leading hears itself once more: of entries that it appended before it applied its
/// removal. That counts for nothing, and is no error of whoever calls `advance`.
#[test]
fn a_removed_leader_may_hear_itself() {
    let conf_state = ConfState {
        voters: ids(&[1, 2]),
        ..ConfState::default()
    };
    let storage = MemoryStorage::with_conf_state(conf_state);
    let mut node = Core::new(&Config::new(id(1)), storage).unwrap();
    let persist = |node: &mut Core<MemoryStorage>, ready: &Ready| {
        let (entries, hard_state) = (ready.entries.clone(), ready.hard_state);
        node.storage_mut().write(entries, hard_state).unwrap();
    };
    let acknowledge = |index| Body::AppendEntriesResponse {
        index: Index(index),
        rejection: None,
    };
    node.campaign().unwrap();
    let ready = node.ready().unwrap();
    persist(&mut node, &ready);
    node.advance().unwrap();
    let vote = Body::RequestVoteResponse { granted: true };
    node.step(message(2, 1, 1, vote)).unwrap();
    let remove = single(ConfChangeKind::RemoveNode, 1);
    node.propose_conf_change(&remove).unwrap();
    let ready = node.ready().unwrap();
    persist(&mut node, &ready);
    node.advance().unwrap();
    node.propose(Bytes::from_static(b"x")).unwrap();
    node.step(message(2, 1, 1, acknowledge(2))).unwrap();
    let ready = node.ready().unwrap();
    assert_eq!((ready.entries.len(), ready.committed_entries.len()), (1, 2));
    persist(&mut node, &ready);
    node.apply_conf_change(remove).unwrap();
    node.advance().unwrap();
    assert_eq!(node.role(), Role::Leader);
    node.step(message(2, 1, 1, acknowledge(3))).unwrap();
    assert_eq!(node.log().committed(), Index(3));
}
