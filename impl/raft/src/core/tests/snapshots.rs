//! Raft §7.

use bytes::Bytes;

use super::cluster::{Cluster, id, message, storage};
use crate::config::Config;
use crate::core::{SnapshotStatus, TimerEvent};
use crate::storage::Storage as _;
use crate::tracker::ProgressState;
use crate::types::*;

/// Server 3 misses entries that the others then compact.
pub(super) fn lagging() -> Cluster {
    lagging_with(|_| ())
}

fn lagging_with(change: fn(&mut Config)) -> Cluster {
    let mut cluster = Cluster::new(3, change);
    cluster.elect(1);
    cluster.isolate(3);
    for data in ["a", "b", "c"] {
        cluster.propose(1, data).unwrap();
    }
    cluster.settle();
    for number in [1, 2] {
        let storage = cluster.node_mut(number).storage_mut();
        storage
            .create_snapshot(Index(4), None, Bytes::from_static(b"abc"))
            .unwrap();
        storage.compact(Index(4)).unwrap();
    }
    cluster.heal();
    cluster
}

fn state(cluster: &Cluster) -> ProgressState {
    cluster
        .node(1)
        .tracker()
        .progress
        .get(id(3))
        .unwrap()
        .state()
}

fn snapshot(term: u64, index: u64, voters: &[u64]) -> Snapshot {
    let voters = super::cluster::ids(voters);
    let conf_state = ConfState {
        voters,
        ..ConfState::default()
    };
    let metadata = SnapshotMetadata {
        conf_state,
        index: Index(index),
        term: Term(term),
    };
    Snapshot {
        metadata,
        data: Bytes::new(),
    }
}

#[test]
fn a_follower_behind_the_log_gets_a_snapshot() {
    let mut cluster = lagging();
    cluster.heartbeat(1);
    cluster.settle();
    assert_eq!(cluster.node(3).applied(), Index(4));
    assert_eq!(cluster.node(3).storage().first_index(), Ok(Index(5)));
    assert_eq!(cluster.node(3).storage().snapshot().unwrap().data, "abc");
    assert_eq!(state(&cluster), ProgressState::Replicate);
    cluster.propose(1, "d").unwrap();
    cluster.settle();
    assert_eq!(cluster.applied[2], ["d"]);
}

#[test]
fn replication_waits_for_the_snapshot() {
    let mut cluster = lagging();
    cluster.heartbeat(1);
    while state(&cluster) != ProgressState::Snapshot {
        for number in 1..=3 {
            cluster.work(number);
        }
        let message = cluster.network.pop_front().unwrap();
        cluster.deliver(message);
    }
    cluster.work(1);
    assert!(
        cluster
            .network
            .iter()
            .any(|m| m.kind() == MessageKind::InstallSnapshot)
    );
    cluster.network.clear();
    cluster.propose(1, "d").unwrap();
    cluster.work(1);
    assert!(cluster.network.iter().all(|message| message.to != id(3)));
    // It was lost: after a report and a heartbeat there is another one.
    cluster
        .node_mut(1)
        .report_snapshot(id(3), SnapshotStatus::Failed)
        .unwrap();
    assert_eq!(state(&cluster), ProgressState::Probe);
    cluster.heartbeat(1);
    cluster.settle();
    assert_eq!(cluster.node(3).applied(), Index(5));
}

#[test]
fn a_delivered_snapshot_is_probed_behind() {
    let mut cluster = lagging();
    cluster.heartbeat(1);
    while state(&cluster) != ProgressState::Snapshot {
        for number in 1..=3 {
            cluster.work(number);
        }
        let message = cluster.network.pop_front().unwrap();
        cluster.deliver(message);
    }
    cluster
        .node_mut(1)
        .report_snapshot(id(3), SnapshotStatus::Finished)
        .unwrap();
    let progress = cluster.node(1).tracker().progress.get(id(3)).unwrap();
    assert_eq!(
        (progress.state(), progress.next()),
        (ProgressState::Probe, Index(5))
    );
    assert!(progress.is_paused());
}

#[test]
fn a_silent_follower_gets_no_snapshot() {
    let mut cluster = lagging_with(|config| config.check_quorum = true);
    cluster.isolate(3);
    for _ in 0..2 {
        cluster
            .node_mut(1)
            .on_timer(TimerEvent::CheckQuorum)
            .unwrap();
        cluster.heartbeat(1);
        cluster.settle();
    }
    cluster.node_mut(1).report_unreachable(id(3)).unwrap();
    cluster.heal();
    cluster.propose(1, "d").unwrap();
    cluster.work(1);
    assert!(cluster.network.iter().all(|message| message.to != id(3)));
    assert_eq!(state(&cluster), ProgressState::Probe);
    // It speaks up.
    cluster.heartbeat(1);
    cluster.settle();
    assert_eq!(cluster.node(3).applied(), Index(5));
}

#[test]
fn a_snapshot_does_not_discard_a_log_that_contains_it() {
    let hard_state = HardState {
        term: Term(2),
        ..HardState::default()
    };
    let storages = vec![storage(&[1, 2, 3], &[1, 1, 2, 2, 2], hard_state); 3];
    let mut cluster = Cluster::with_storages(storages, |_| ());
    let body = Body::InstallSnapshot {
        snapshot: Box::new(snapshot(2, 3, &[1, 2, 3])),
    };
    cluster.deliver(message(1, 2, 2, body));
    cluster.work(2);
    assert_eq!(cluster.node(2).commit(), Index(3));
    assert_eq!(cluster.log(2).len(), 5);
    let answer = Body::AppendEntriesResponse {
        index: Index(3),
        rejection: None,
    };
    assert_eq!(cluster.network.back().unwrap().body, answer);
}

#[test]
fn a_snapshot_replaces_a_log_that_contradicts_it() {
    let hard_state = HardState {
        term: Term(2),
        ..HardState::default()
    };
    let storages = vec![storage(&[1, 2, 3], &[1, 1, 1], hard_state); 3];
    let mut cluster = Cluster::with_storages(storages, |_| ());
    let body = Body::InstallSnapshot {
        snapshot: Box::new(snapshot(2, 3, &[1, 2, 4])),
    };
    cluster.deliver(message(1, 2, 2, body));
    assert!(
        !cluster.node(2).promotable(),
        "there is a snapshot to install first"
    );
    cluster.work(2);
    assert_eq!(
        (cluster.node(2).commit(), cluster.node(2).applied()),
        (Index(3), Index(3))
    );
    assert_eq!(cluster.log(2), []);
    assert!(cluster.node(2).tracker().is_voter(id(4)));
    assert!(cluster.node(2).promotable());
}

#[test]
fn a_snapshot_for_somebody_else_is_ignored() {
    let mut cluster = Cluster::new(3, |_| ());
    let body = Body::InstallSnapshot {
        snapshot: Box::new(snapshot(2, 3, &[1, 3])),
    };
    cluster.deliver(message(1, 2, 2, body));
    cluster.work(2);
    assert_eq!(cluster.node(2).commit(), Index(0));
    assert_eq!(cluster.log(2), []);
}
