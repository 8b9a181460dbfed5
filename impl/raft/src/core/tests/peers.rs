//! Reports, and answers that come at the wrong time, at a leader.

use super::cluster::{Cluster, id, message};
use super::snapshots::lagging;
use crate::core::SnapshotStatus;
use crate::error::Refusal;
use crate::tracker::{Progress, ProgressState};
use crate::types::*;

fn progress(cluster: &Cluster) -> Progress {
    let progress = &cluster.node(1).tracker().progress;
    progress.get(id(3)).unwrap().clone()
}

fn acknowledge(cluster: &mut Cluster, index: u64) {
    let term = cluster.node(1).term().0;
    let index = Index(index);
    let rejection = None;
    let body = Body::AppendEntriesResponse { index, rejection };
    cluster.deliver(message(3, 1, term, body));
}

/// A snapshot is on its way to server 3; the log begins behind index 4.
fn with_snapshot_on_its_way() -> Cluster {
    let mut cluster = lagging();
    cluster.heartbeat(1);
    while progress(&cluster).state() != ProgressState::Snapshot {
        for number in 1..=3 {
            cluster.work(number);
        }
        let message = cluster.network.pop_front().unwrap();
        cluster.deliver(message);
    }
    assert_eq!(progress(&cluster).pending_snapshot(), Index(4));
    cluster
}

#[test]
fn an_acknowledgement_below_the_log_keeps_the_snapshot_pending() {
    let mut cluster = with_snapshot_on_its_way();
    cluster.work(1);
    cluster.network.clear();
    acknowledge(&mut cluster, 2);
    assert_eq!(progress(&cluster).matched(), Index(2));
    assert_eq!(progress(&cluster).state(), ProgressState::Snapshot);
    // And no other one is sent.
    cluster.work(1);
    assert!(cluster.network.is_empty());
    // From wherever the follower got it: this is where the log goes on.
    acknowledge(&mut cluster, 4);
    assert_eq!(progress(&cluster).state(), ProgressState::Replicate);
    assert_eq!(progress(&cluster).next(), Index(5));
}

#[test]
fn a_failed_snapshot_is_probed_from_the_match() {
    let mut cluster = with_snapshot_on_its_way();
    acknowledge(&mut cluster, 2);
    cluster
        .node_mut(1)
        .report_snapshot(id(3), SnapshotStatus::Failed)
        .unwrap();
    let failed = progress(&cluster);
    assert_eq!(failed.state(), ProgressState::Probe);
    assert_eq!((failed.next(), failed.is_paused()), (Index(3), true));
    assert_eq!(failed.pending_snapshot(), Index(0));
}

#[test]
fn a_report_without_a_pending_snapshot_changes_nothing() {
    let mut cluster = lagging();
    let before = cluster.node(1).clone();
    for status in [SnapshotStatus::Finished, SnapshotStatus::Failed] {
        for (peer, refusal) in [
            (2, Refusal::NoSnapshot(id(2))),
            (9, Refusal::UnknownServer(id(9))),
        ] {
            let refused = cluster.node_mut(1).report_snapshot(id(peer), status);
            assert_eq!(refused, Err(refusal.into()));
        }
        let refused = cluster.node_mut(1).report_unreachable(id(9));
        assert_eq!(refused, Err(Refusal::UnknownServer(id(9)).into()));
        let refused = cluster.node_mut(1).report_unreachable(id(1));
        assert_eq!(refused, Err(Refusal::Oneself.into()));
        assert!(*cluster.node(1) == before);
    }
}

#[test]
fn a_report_at_a_follower_changes_nothing() {
    let mut cluster = with_snapshot_on_its_way();
    let before = cluster.node(2).clone();
    for node in [1, 3] {
        let refused = cluster.node_mut(2).report_unreachable(id(node));
        assert_eq!(refused, Err(Refusal::NotLeader.into()));
        let status = SnapshotStatus::Finished;
        let refused = cluster.node_mut(2).report_snapshot(id(node), status);
        assert_eq!(refused, Err(Refusal::NotLeader.into()));
        assert!(*cluster.node(2) == before);
    }
}

/// Neither ends it the wait for a snapshot, nor the pause of a probe.
#[test]
fn an_unreachable_peer_outside_replicate_stays_as_it_is() {
    let mut cluster = with_snapshot_on_its_way();
    let before = progress(&cluster);
    cluster.node_mut(1).report_unreachable(id(3)).unwrap();
    assert_eq!(progress(&cluster), before);
    cluster
        .node_mut(1)
        .report_snapshot(id(3), SnapshotStatus::Finished)
        .unwrap();
    let before = progress(&cluster);
    assert_eq!(before.state(), ProgressState::Probe);
    assert!(before.is_paused());
    cluster.node_mut(1).report_unreachable(id(3)).unwrap();
    assert_eq!(progress(&cluster), before);
}

/// A follower whose log is compacted does not know the term where it could agree: the leader probes there.
#[test]
fn a_hint_without_a_term_is_taken_as_it_is() {
    let mut cluster = Cluster::new(3, |_| ());
    cluster.elect(1);
    cluster.isolate(3);
    for data in ["a", "b", "c", "d"] {
        cluster.propose(1, data).unwrap();
    }
    cluster.settle();
    cluster.node_mut(1).report_unreachable(id(3)).unwrap();
    // A refusal of an old probe is none; this is one of the last.
    let index = progress(&cluster).next().prev();
    assert!(index < Index(3));
    let mut ahead = cluster.node(1).clone();
    let probe = |hint_index| Body::AppendEntriesResponse {
        index: Index(5),
        rejection: Some(Rejection {
            hint_index: Index(hint_index),
            hint_term: Term(0),
        }),
    };
    // As if it had just been elected: it probes from its end.
    let member = ahead.tracker.progress.get_mut(id(3)).unwrap();
    member.reset(Index(6));
    ahead.step(message(3, 1, 1, probe(3))).unwrap();
    let member = ahead.tracker.progress.get(id(3)).unwrap();
    assert_eq!(member.next(), Index(4));
}
