//! Transfer of leadership, thesis §3.10.

use super::cluster::{Cluster, id};
use crate::core::TimerEvent;
use crate::error::DropReason;
use crate::types::*;

#[test]
fn leadership_moves_to_who_is_complete_despite_leases_and_pre_votes() {
    let mut cluster = Cluster::new(3, |config| {
        config.check_quorum = true;
        config.pre_vote = true;
    });
    cluster.elect(1);
    cluster.node_mut(1).transfer_leader(id(3)).unwrap();
    cluster.settle();
    assert_eq!(cluster.node(3).role(), Role::Leader);
    assert_eq!(
        (cluster.node(1).leader(), cluster.node(1).term()),
        (Some(id(3)), Term(2))
    );
}

#[test]
fn a_lagging_server_is_brought_up_to_date_first() {
    let mut cluster = Cluster::new(3, |_| ());
    cluster.elect(1);
    cluster.isolate(3);
    cluster.propose(1, "x").unwrap();
    cluster.settle();
    cluster.heal();
    cluster.heartbeat(1);
    cluster.node_mut(1).transfer_leader(id(3)).unwrap();
    cluster.settle();
    assert_eq!(cluster.node(3).role(), Role::Leader);
    assert_eq!(cluster.applied[2], ["x"]);
}

#[test]
fn a_follower_passes_the_request_on() {
    let mut cluster = Cluster::new(3, |_| ());
    cluster.elect(1);
    cluster.node_mut(2).transfer_leader(id(3)).unwrap();
    cluster.settle();
    assert_eq!(cluster.node(3).role(), Role::Leader);
}

#[test]
fn proposals_wait_for_a_transfer_to_end() {
    let mut cluster = Cluster::new(3, |_| ());
    cluster.elect(1);
    cluster.isolate(3);
    cluster.node_mut(1).transfer_leader(id(3)).unwrap();
    let dropped = cluster.propose(1, "x").unwrap_err();
    assert_eq!(dropped, DropReason::TransferInProgress { to: id(3) }.into());
    cluster.settle();
    // After an election timeout the leader goes on.
    cluster
        .node_mut(1)
        .on_timer(TimerEvent::CheckQuorum)
        .unwrap();
    assert_eq!(cluster.node(1).lead_transferee(), None);
    cluster.propose(1, "x").unwrap();
}

#[test]
fn a_second_transfer_replaces_the_first() {
    let mut cluster = Cluster::new(3, |_| ());
    cluster.elect(1);
    cluster.isolate(2);
    cluster.node_mut(1).transfer_leader(id(2)).unwrap();
    assert!(cluster.node_mut(1).take_timer_reset().election);
    cluster.node_mut(1).transfer_leader(id(2)).unwrap();
    assert!(
        !cluster.node_mut(1).take_timer_reset().election,
        "the first one goes on"
    );
    cluster.node_mut(1).transfer_leader(id(3)).unwrap();
    cluster.settle();
    assert_eq!(cluster.node(3).role(), Role::Leader);
}

#[test]
fn transfers_that_make_no_sense_are_ignored() {
    let mut cluster = Cluster::new(3, |_| ());
    cluster.node_mut(1).transfer_leader(id(2)).unwrap();
    assert!(!cluster.node(1).has_ready(), "nobody to ask");
    cluster.elect(1);
    for nobody in [1, 9] {
        cluster.node_mut(1).transfer_leader(id(nobody)).unwrap();
        assert_eq!(cluster.node(1).lead_transferee(), None);
    }
}
