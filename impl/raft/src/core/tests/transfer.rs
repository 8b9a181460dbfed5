//! Transfer of leadership, thesis §3.10.

use super::cluster::{Cluster, id};
use crate::core::TimerEvent;
use crate::error::{DropReason, Refusal};
use crate::observer::TransferObstacle;
use crate::types::*;

#[test]
fn a_complete_transferee_leads_despite_leases_and_pre_votes() {
    let mut cluster = Cluster::new(3, |config| {
        config.check_quorum = true;
        config.pre_vote = true;
    });
    cluster.elect(1);
    cluster.node_mut(1).transfer_leadership(id(3)).unwrap();
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
    cluster.node_mut(1).transfer_leadership(id(3)).unwrap();
    cluster.settle();
    assert_eq!(cluster.node(3).role(), Role::Leader);
    assert_eq!(cluster.applied[2], ["x"]);
}

#[test]
fn a_follower_passes_the_request_on() {
    let mut cluster = Cluster::new(3, |_| ());
    cluster.elect(1);
    cluster.node_mut(2).transfer_leadership(id(3)).unwrap();
    cluster.settle();
    assert_eq!(cluster.node(3).role(), Role::Leader);
}

#[test]
fn proposals_wait_for_a_transfer_to_end() {
    let mut cluster = Cluster::new(3, |_| ());
    cluster.elect(1);
    cluster.isolate(3);
    cluster.node_mut(1).transfer_leadership(id(3)).unwrap();
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
    cluster.node_mut(1).transfer_leadership(id(2)).unwrap();
    assert!(cluster.node_mut(1).take_timer_reset().election);
    cluster.node_mut(1).transfer_leadership(id(2)).unwrap();
    assert!(
        !cluster.node_mut(1).take_timer_reset().election,
        "the first one goes on"
    );
    cluster.node_mut(1).transfer_leadership(id(3)).unwrap();
    cluster.settle();
    assert_eq!(cluster.node(3).role(), Role::Leader);
}

#[test]
fn transfers_that_make_no_sense_are_refused() {
    let transfer = |obstacle| Refusal::Transfer(obstacle);
    let mut cluster = Cluster::new(3, |_| ());
    let nobody = transfer(TransferObstacle::NoLeader);
    let refused = cluster.node_mut(1).transfer_leadership(id(2));
    assert_eq!(refused, Err(nobody.into()));
    cluster.timeout(1);
    let refused = cluster.node_mut(1).transfer_leadership(id(2));
    assert_eq!(refused, Err(nobody.into()), "nor does a candidate know");
    cluster.elect(1);
    for (to, refusal) in [
        (1, transfer(TransferObstacle::AlreadyLeader)),
        (9, Refusal::UnknownServer(id(9))),
    ] {
        let refused = cluster.node_mut(1).transfer_leadership(id(to));
        assert_eq!(refused, Err(refusal.into()));
        assert!(!cluster.node(1).has_ready());
    }
    let demote = ConfChangeSingle::new(ConfChangeKind::AddLearner, id(3));
    let demote = ConfChangeV2 {
        changes: vec![demote],
        ..ConfChangeV2::default()
    };
    cluster.node_mut(1).propose_conf_change(&demote).unwrap();
    cluster.settle();
    let refused = cluster.node_mut(1).transfer_leadership(id(3));
    assert_eq!(refused, Err(transfer(TransferObstacle::Learner).into()));
}

/// The servers to which leadership was not transferred after all, by what server 1 has ready.
fn aborted(cluster: &mut Cluster) -> Vec<NodeId> {
    let done = cluster.work(1).into_iter();
    done.flat_map(|ready| ready.aborted_transfers).collect()
}

#[test]
fn a_transfer_that_is_given_up_is_reported() {
    let mut cluster = Cluster::new(3, |_| ());
    cluster.elect(1);
    cluster.isolate(2);
    cluster.isolate(3);
    cluster.node_mut(1).transfer_leadership(id(3)).unwrap();
    assert_eq!(aborted(&mut cluster), []);
    // The same once more is not another one; another one replaces it.
    cluster.node_mut(1).transfer_leadership(id(3)).unwrap();
    assert_eq!(aborted(&mut cluster), []);
    cluster.node_mut(1).transfer_leadership(id(2)).unwrap();
    assert_eq!(aborted(&mut cluster), [id(3)]);
    // One to the leader itself gives it up.
    cluster.node_mut(1).transfer_leadership(id(1)).unwrap();
    assert_eq!(aborted(&mut cluster), [id(2)]);
    // So does time.
    cluster.node_mut(1).transfer_leadership(id(3)).unwrap();
    let event = TimerEvent::CheckQuorum;
    cluster.node_mut(1).on_timer(event).unwrap();
    assert_eq!(aborted(&mut cluster), [id(3)]);
    cluster.node_mut(1).on_timer(event).unwrap();
    assert_eq!(aborted(&mut cluster), []);
    // One that succeeds is none.
    cluster.heal();
    cluster.node_mut(1).transfer_leadership(id(3)).unwrap();
    assert_eq!(aborted(&mut cluster), []);
    cluster.settle();
    assert_eq!(cluster.node(3).role(), Role::Leader);
    assert_eq!(aborted(&mut cluster), []);
}

#[test]
fn a_leader_that_loses_its_quorum_reports_its_transfer() {
    let mut cluster = Cluster::new(3, |config| config.check_quorum = true);
    cluster.elect(1);
    cluster.isolate(1);
    let event = TimerEvent::CheckQuorum;
    cluster.node_mut(1).on_timer(event).unwrap();
    cluster.node_mut(1).transfer_leadership(id(3)).unwrap();
    assert_eq!(aborted(&mut cluster), []);
    cluster.node_mut(1).on_timer(event).unwrap();
    assert_eq!(cluster.node(1).role(), Role::Follower);
    assert_eq!(aborted(&mut cluster), [id(3)]);
}
