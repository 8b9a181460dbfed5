//! Timers at their edges; [`Timer`] has tests of its own beside it.

use bytes::Bytes;

use super::cluster::{Cluster, id, ids, message};
use super::untimed::Core;
use crate::config::Config;
use crate::core::SnapshotStatus;
use crate::raw_node::RawNode;
use crate::ready::Ready;
use crate::storage::MemoryStorage;
use crate::timer::Timer;
use crate::types::*;

fn config() -> Config {
    let mut config = Config::new(id(1));
    config.election_timeout_ticks = 5;
    config.heartbeat_timeout_ticks = 2;
    config.check_quorum = true;
    config
}

fn storage(voters: &[u64], learners: &[u64]) -> MemoryStorage {
    MemoryStorage::with_conf_state(ConfState {
        voters: ids(voters),
        learners: ids(learners),
        ..ConfState::default()
    })
}

fn heartbeat() -> Message {
    let body = Body::Heartbeat {
        commit: Index(0),
        context: Bytes::new(),
    };
    message(2, 1, 1, body)
}

#[test]
fn a_timer_starts_at_zero_with_the_configured_intervals() {
    let timer = Timer::new(&config());
    assert_eq!(timer.election_timeout_ticks(), 5);
    assert_eq!(timer.heartbeat_timeout_ticks(), 2);
    assert_eq!(timer.election_elapsed_ticks(), 0);
    assert_eq!(timer.heartbeat_elapsed_ticks(), 0);
    assert!((5..10).contains(&timer.randomized_election_timeout_ticks()));
}

#[test]
fn a_timeout_that_is_set_below_what_has_passed_is_over() {
    let mut node = RawNode::new(&config(), storage(&[1, 2], &[])).unwrap();
    for _ in 0..4 {
        node.tick().unwrap();
    }
    node.timer_mut().set_randomized_election_timeout_ticks(2);
    node.tick().unwrap();
    assert_eq!(node.core().role(), Role::Candidate);
}

#[test]
fn the_timer_of_a_learner_goes_on() {
    let mut node = RawNode::new(&config(), storage(&[2, 3], &[1])).unwrap();
    for _ in 0..100 {
        node.tick().unwrap();
    }
    assert_eq!(node.timer().election_elapsed_ticks(), 100);
}

#[test]
fn idle_ticks_count_and_the_next_busy_one_checks_the_quorum() {
    let mut node = RawNode::new(&config(), storage(&[1, 2], &[])).unwrap();
    node.campaign().unwrap();
    work(&mut node);
    let granted = Body::RequestVoteResponse { granted: true };
    node.step(message(2, 1, 1, granted)).unwrap();
    work(&mut node);
    assert_eq!(node.core().role(), Role::Leader);
    for ticks in 1..=20 {
        node.tick_quiesced().unwrap();
        assert_eq!(node.timer().election_elapsed_ticks(), ticks);
    }
    assert_eq!(node.core().role(), Role::Leader);
    node.tick().unwrap();
    assert_eq!(node.core().role(), Role::Follower);
}

fn work(node: &mut RawNode<MemoryStorage>) -> Vec<Message> {
    let (mut ready, mut messages) = (Ready::default(), Vec::new());
    while node.has_ready() {
        node.ready_into(&mut ready).unwrap();
        let storage = node.storage_mut();
        storage.append(ready.entries.clone()).unwrap();
        if let Some(hard_state) = ready.hard_state {
            storage.set_hard_state(hard_state);
        }
        messages.append(&mut ready.messages);
        node.advance().unwrap();
    }
    messages
}

#[test]
fn calls_reach_the_core_and_its_timers() {
    let mut node = RawNode::new(&config(), storage(&[1, 2], &[])).unwrap();
    node.step(heartbeat()).unwrap();
    for _ in 0..5 {
        assert!(node.core().lease_live());
        node.tick_quiesced().unwrap();
    }
    assert!(!node.core().lease_live());
    // Whoever follows a leader counts from its last sign of life.
    node.step(heartbeat()).unwrap();
    assert_eq!(node.timer().election_elapsed_ticks(), 0);
    let mut members = Vec::new();
    node.with_progress(|member, progress| members.push((member, progress.matched())));
    assert_eq!(members, [(id(1), Index(0)), (id(2), Index(0))]);
    assert_eq!(node.basic_status().hard_state.term, Term(1));
}

#[test]
fn a_report_on_a_snapshot_reaches_the_leader() {
    let mut cluster = Cluster::new(2, |_| ());
    cluster.elect(1);
    cluster.isolate(2);
    cluster.propose(1, "x").unwrap();
    cluster.settle();
    let core: &Core<MemoryStorage> = cluster.node(1);
    let mut storage = core.storage().clone();
    storage.set_hard_state(HardState {
        commit: Index(1),
        ..core.hard_state()
    });
    storage
        .create_snapshot(Index(1), None, Bytes::new())
        .unwrap();
    storage.compact(Index(1)).unwrap();
    let mut node = RawNode::new(&config(), storage).unwrap();
    node.campaign().unwrap();
    work(&mut node);
    let term = node.core().term().0;
    let granted = Body::RequestVoteResponse { granted: true };
    node.step(message(2, 1, term, granted)).unwrap();
    work(&mut node);
    let refusal = Body::AppendEntriesResponse {
        index: node
            .core()
            .tracker()
            .progress
            .get(id(2))
            .unwrap()
            .next()
            .prev(),
        rejection: Some(Rejection {
            hint_index: Index(0),
            hint_term: Term(0),
        }),
    };
    node.step(message(2, 1, term, refusal)).unwrap();
    let sent = work(&mut node);
    assert!(
        sent.iter()
            .any(|it| it.kind() == MessageKind::InstallSnapshot)
    );
    let state = |node: &RawNode<MemoryStorage>| {
        let progress = node.core().tracker().progress.get(id(2)).unwrap();
        (progress.state(), progress.pending_snapshot())
    };
    use crate::tracker::ProgressState::{Probe, Snapshot};
    assert_eq!(state(&node), (Snapshot, Index(1)));
    node.report_snapshot(id(2), SnapshotStatus::Failed).unwrap();
    assert_eq!(state(&node), (Probe, Index(0)));
}

/// A leader of two, with its first entry not committed.
fn leader(change: impl FnOnce(&mut Config)) -> RawNode<MemoryStorage> {
    let mut config = config();
    change(&mut config);
    let mut node = RawNode::new(&config, storage(&[1, 2], &[])).unwrap();
    node.campaign().unwrap();
    work(&mut node);
    let term = node.core().term().0;
    let granted = Body::RequestVoteResponse { granted: true };
    node.step(message(2, 1, term, granted)).unwrap();
    work(&mut node);
    assert_eq!(node.core().role(), Role::Leader);
    node
}

/// Sets a timeout that is never drawn, so that a draw shows.
fn mark(node: &mut RawNode<MemoryStorage>) {
    let timer = node.timer_mut();
    timer.set_randomized_election_timeout_ticks(u32::MAX);
}

fn starts_anew(node: &RawNode<MemoryStorage>) -> bool {
    let timer = node.timer();
    timer.election_elapsed_ticks() == 0
        && timer.heartbeat_elapsed_ticks() == 0
        && (5..10).contains(&timer.randomized_election_timeout_ticks())
}

#[test]
fn a_transfer_has_an_election_timeout_from_when_it_begins() {
    let mut node = leader(|config| config.check_quorum = false);
    for _ in 0..4 {
        node.tick().unwrap();
    }
    node.transfer_leadership(id(2)).unwrap();
    for ticks in 0..5 {
        assert_eq!(node.timer().election_elapsed_ticks(), ticks);
        assert_eq!(node.core().lead_transferee(), Some(id(2)));
        node.tick().unwrap();
    }
    assert_eq!(node.core().lead_transferee(), None);
}

#[test]
fn a_leader_that_applies_its_removal_starts_its_timers_anew() {
    let mut node = leader(|config| config.step_down_on_removal = true);
    for _ in 0..3 {
        node.tick().unwrap();
    }
    mark(&mut node);
    let removal = ConfChangeV2 {
        changes: vec![ConfChangeSingle::new(ConfChangeKind::RemoveNode, id(1))],
        ..ConfChangeV2::default()
    };
    node.apply_conf_change(removal).unwrap();
    assert_eq!(node.core().role(), Role::Follower);
    assert!(starts_anew(&node));
}

#[test]
fn a_campaign_that_is_asked_for_starts_the_timers_anew() {
    let mut node = RawNode::new(&config(), storage(&[1, 2], &[])).unwrap();
    for _ in 0..3 {
        node.tick().unwrap();
    }
    mark(&mut node);
    node.campaign().unwrap();
    assert_eq!(node.core().role(), Role::Candidate);
    assert!(starts_anew(&node));
}
