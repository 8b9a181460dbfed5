//! Campaigns, and the knowledge of a new leader.

use super::cluster::{Cluster, entry, id, message, storage};
use crate::core::TimerEvent;
use crate::core::validate::NUMBER_LIMIT;
use crate::error::Refusal;
use crate::observer::CampaignObstacle;
use crate::storage::Storage as _;
use crate::tracker::ProgressState;
use crate::types::*;

#[test]
fn a_leader_does_not_campaign() {
    let mut cluster = Cluster::new(3, |_| ());
    cluster.elect(1);
    let before = cluster.node(1).clone();
    let refused = cluster.node_mut(1).campaign();
    let obstacle = CampaignObstacle::AlreadyLeader;
    assert_eq!(refused, Err(Refusal::Campaign(obstacle).into()));
    assert!(*cluster.node(1) == before);
}

#[test]
fn commands_that_are_not_applied_yet_are_no_obstacle() {
    let mut cluster = Cluster::new(3, |_| ());
    let append = Body::AppendEntries {
        prev: EntryId::ZERO,
        entries: vec![entry(1, 1)],
        commit: Index(1),
    };
    cluster.deliver(message(2, 1, 1, append));
    let log = cluster.node(1).log();
    assert!(log.applied() < log.committed());
    cluster.node_mut(1).campaign().unwrap();
    assert_eq!(cluster.node(1).role(), Role::Candidate);
}

#[test]
fn terms_come_to_an_end_before_numbers_do() {
    let role_after_campaign_in = |term| {
        let hard_state = HardState {
            term: Term(term),
            ..HardState::default()
        };
        let storages = vec![storage(&[1, 2], &[], hard_state); 2];
        let mut cluster = Cluster::with_storages(storages, |_| ());
        (cluster.node_mut(1).campaign(), cluster.node(1).role())
    };
    let candidate = (Ok(()), Role::Candidate);
    assert_eq!(role_after_campaign_in(NUMBER_LIMIT - 1), candidate);
    let refusal = Refusal::Campaign(CampaignObstacle::TermExhausted);
    let follower = (Err(refusal.into()), Role::Follower);
    assert_eq!(role_after_campaign_in(NUMBER_LIMIT), follower);
}

/// Three servers with a log of two entries, and server 1 the leader of term 2, its own entry of that term
/// not written yet.
fn just_elected() -> Cluster {
    let hard_state = HardState {
        term: Term(1),
        ..HardState::default()
    };
    let storages = vec![storage(&[1, 2, 3], &[1, 1], hard_state); 3];
    let mut cluster = Cluster::with_storages(storages, |config| config.check_quorum = true);
    cluster.node_mut(1).campaign().unwrap();
    cluster.work(1);
    cluster.network.clear();
    let granted = Body::RequestVoteResponse { granted: true };
    cluster.deliver(message(2, 1, 2, granted));
    assert_eq!(cluster.node(1).role(), Role::Leader);
    assert_eq!(cluster.node(1).storage().last_index(), Ok(Index(2)));
    cluster
}

#[test]
fn a_new_leader_knows_its_own_log() {
    let cluster = just_elected();
    let own = cluster.node(1).tracker().progress.get(id(1)).unwrap();
    assert_eq!(own.matched(), Index(2));
    assert_eq!(own.state(), ProgressState::Replicate);
    assert!(own.recent_active);
    let other = cluster.node(1).tracker().progress.get(id(2)).unwrap();
    assert_eq!((other.matched(), other.next()), (Index(0), Index(3)));
    assert_eq!(other.state(), ProgressState::Probe);
    assert!(!other.recent_active);
}

/// The log of a new leader may hold a change of membership: none is proposed before all of that log is applied.
#[test]
fn a_new_leader_holds_changes_of_membership_back() {
    let cluster = just_elected();
    assert_eq!(cluster.node(1).pending_conf_index(), Index(2));
}

#[test]
fn a_new_leader_counts_itself_before_its_first_write() {
    let mut cluster = just_elected();
    let append = Body::AppendEntriesResponse {
        index: Index(2),
        rejection: None,
    };
    cluster.deliver(message(2, 1, 2, append));
    let check = TimerEvent::CheckQuorum;
    cluster.node_mut(1).on_timer(check).unwrap();
    assert_eq!(cluster.node(1).role(), Role::Leader);
    // The check starts over: nobody but itself was heard of since.
    let active = |node| {
        let progress = &cluster.node(1).tracker().progress;
        progress.get(id(node)).unwrap().recent_active
    };
    assert_eq!([1, 2, 3].map(active), [true, false, false]);
}
