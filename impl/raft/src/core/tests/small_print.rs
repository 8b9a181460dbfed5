//! Details that are promised somewhere, and that nothing else here would notice.

use bytes::Bytes;

use super::async_writes::{append, node, perform, ready};
use super::cluster::{Cluster, entry, id, ids, message, snapshot, storage};
use super::untimed::Core;
use crate::core::TimerEvent;
use crate::error::{CallError, DropReason, Error};
use crate::ready::Ready;
use crate::storage::MemoryStorage;
use crate::types::*;

fn single(kind: ConfChangeKind, node: u64) -> ConfChangeV2 {
    ConfChangeV2 {
        changes: vec![ConfChangeSingle::new(kind, id(node))],
        ..ConfChangeV2::default()
    }
}

#[test]
fn a_forwarded_proposal_that_is_dropped_says_so() {
    let mut cluster = Cluster::new(3, |_| ());
    let entries = vec![Entry::proposal(EntryKind::Normal, Bytes::from("x"))];
    let forwarded = message(2, 1, 0, Body::Propose { entries });
    let error = cluster.node_mut(1).step(forwarded).unwrap_err();
    assert_eq!(error, Error::ProposalDropped(DropReason::NoLeader));
}

/// A learner cannot campaign; its timer fired all the same, and so the lease of its leader is over.
#[test]
fn a_timeout_ends_the_lease_of_a_server_that_cannot_campaign() {
    let conf_state = ConfState {
        voters: ids(&[2, 3]),
        learners: ids(&[1]),
        ..ConfState::default()
    };
    let storages = vec![MemoryStorage::with_conf_state(conf_state); 3];
    let mut cluster = Cluster::with_storages(storages, |config| config.check_quorum = true);
    cluster.elect(2);
    assert!(cluster.node(1).lease_live());
    let timeout = TimerEvent::ElectionTimeout;
    cluster.node_mut(1).on_timer(timeout).unwrap();
    assert!(!cluster.node(1).lease_live());
    assert_eq!(cluster.node(1).role(), Role::Follower);
}

#[test]
fn a_transfer_asked_for_in_another_term_is_not_done() {
    let mut cluster = Cluster::new(3, |_| ());
    for number in [1, 2, 1] {
        cluster.elect(number);
    }
    let term = cluster.node(1).term();
    assert!(term > Term(1));
    let stale = message(2, 1, term.0 - 1, Body::TransferLeader);
    cluster.deliver(stale);
    assert_eq!(cluster.node(1).lead_transferee(), None);
    let current = message(2, 1, term.0, Body::TransferLeader);
    cluster.deliver(current);
    assert_eq!(cluster.node(1).lead_transferee(), Some(id(2)));
}

/// The follower says in which term it asks, so that a later leader need not obey.
#[test]
fn a_transfer_that_is_passed_on_bears_its_term() {
    let mut cluster = Cluster::new(3, |_| ());
    cluster.elect(1);
    cluster.node_mut(2).transfer_leadership(id(3)).unwrap();
    cluster.work(2);
    let passed_on = cluster.network.back().unwrap();
    let expected = message(3, 1, cluster.node(1).term().0, Body::TransferLeader);
    assert_eq!(*passed_on, expected);
}

#[test]
fn leadership_does_not_go_to_a_learner() {
    let conf_state = ConfState {
        voters: ids(&[1, 2]),
        learners: ids(&[3]),
        ..ConfState::default()
    };
    let storages = vec![MemoryStorage::with_conf_state(conf_state); 3];
    let mut cluster = Cluster::with_storages(storages, |_| ());
    cluster.elect(1);
    cluster.node_mut(1).transfer_leadership(id(3)).unwrap_err();
    assert_eq!(cluster.node(1).lead_transferee(), None);
    assert!(!cluster.node(1).has_ready());
}

#[test]
fn a_lagging_transferee_is_caught_up_before_it_leads() {
    let mut cluster = Cluster::new(3, |_| ());
    cluster.elect(1);
    cluster.isolate(3);
    cluster.propose(1, "x").unwrap();
    cluster.propose(1, "y").unwrap();
    cluster.settle();
    cluster.heal();
    cluster.node_mut(1).report_unreachable(id(3)).unwrap();
    cluster.node_mut(1).transfer_leadership(id(3)).unwrap();
    cluster.work(1);
    let sent: Vec<_> = cluster.network.drain(..).collect();
    assert!(matches!(
        sent.as_slice(),
        [Message { body: Body::AppendEntries { entries, .. }, .. }] if entries.len() == 2
    ));
    let acknowledge = |cluster: &mut Cluster, index| {
        let (index, rejection) = (Index(index), None);
        let body = Body::AppendEntriesResponse { index, rejection };
        cluster.deliver(message(3, 1, 1, body));
        cluster.work(1);
        let mut sent = cluster.network.drain(..);
        sent.any(|it| it.kind() == MessageKind::TimeoutNow)
    };
    assert!(!acknowledge(&mut cluster, 2));
    assert!(acknowledge(&mut cluster, 3));
}

#[test]
fn a_leader_alone_asks_no_learner_to_confirm_a_read() {
    let conf_state = ConfState {
        voters: ids(&[1]),
        learners: ids(&[2]),
        ..ConfState::default()
    };
    let storages = vec![MemoryStorage::with_conf_state(conf_state); 2];
    let mut cluster = Cluster::with_storages(storages, |_| ());
    cluster.elect(1);
    cluster.node_mut(1).read_index(Bytes::from("r")).unwrap();
    let ready = cluster.work(1);
    assert_eq!(ready[0].read_states.len(), 1);
    assert!(cluster.network.is_empty());
}

#[test]
fn a_leader_counts_itself_among_those_who_confirm_a_read() {
    let mut cluster = Cluster::new(3, |_| ());
    cluster.elect(1);
    cluster.node_mut(1).read_index(Bytes::from("r")).unwrap();
    cluster.work(1);
    let asked = cluster.network.iter().find(|it| it.to == id(2)).cloned();
    cluster.network.clear();
    cluster.deliver(asked.unwrap());
    cluster.work(2);
    let answer = cluster.network.pop_front().unwrap();
    cluster.deliver(answer);
    assert_eq!(cluster.work(1)[0].read_states.len(), 1);
}

/// Two reads of two terms with one number: the later leadership owes nothing to the earlier read.
#[test]
fn reads_of_an_earlier_leadership_are_not_answered() {
    let mut cluster = Cluster::new(3, |_| ());
    cluster.elect(1);
    cluster.isolate(1);
    for context in ["open", "postponed"] {
        cluster
            .node_mut(1)
            .read_index(Bytes::from(context))
            .unwrap();
        cluster.work(1);
        // The next leadership of its own begins without a commit.
        let last = EntryId::new(Term(1), Index(1));
        let term = cluster.node(1).term().0 + 1;
        let request = Body::RequestVote { last, force: false };
        cluster.deliver(message(2, 1, term, request));
        cluster.timeout(1);
        cluster.work(1);
        let granted = Body::RequestVoteResponse { granted: true };
        cluster.deliver(message(3, 1, term + 1, granted));
        assert_eq!(cluster.node(1).role(), Role::Leader);
    }
    cluster.heal();
    let mut answered = 0;
    for _ in 0..10 {
        cluster.heartbeat(1);
        for number in 1..=3 {
            let done = cluster.work(number);
            answered += done.iter().map(|it| it.read_states.len()).sum::<usize>();
        }
        while let Some(message) = cluster.network.pop_front() {
            cluster.deliver(message);
        }
    }
    assert!(cluster.node(1).commit() >= Index(3));
    assert_eq!(answered, 0);
}

#[test]
fn the_uncommitted_limit_may_be_reached_and_not_exceeded() {
    let mut cluster = Cluster::new(3, |config| config.max_uncommitted_entries_bytes = 10);
    cluster.elect(1);
    cluster.isolate(1);
    cluster.propose(1, "1").unwrap();
    assert_eq!(cluster.node(1).uncommitted_bytes(), 1);
    let dropped = Err(Error::ProposalDropped(DropReason::UncommittedLimit));
    assert_eq!(cluster.propose(1, "2345678901"), dropped);
    cluster.propose(1, "234567890").unwrap();
    assert_eq!(cluster.node(1).uncommitted_bytes(), 10);
    assert_eq!(cluster.propose(1, "1"), dropped);
}

#[test]
fn one_entry_that_is_no_change_of_membership_spoils_a_proposal() {
    let mut cluster = Cluster::new(1, |_| ());
    cluster.elect(1);
    let good = Entry::proposal(EntryKind::Normal, Bytes::from("x"));
    let bad = Entry::proposal(EntryKind::ConfChange, Bytes::from_static(b"\xff"));
    for entries in [vec![good.clone(), bad.clone()], vec![bad, good]] {
        let error = cluster.node_mut(1).propose_entries(entries).unwrap_err();
        assert_eq!(error, CallError::Undecodable.into());
    }
}

/// The first in the order of ids is a member like any other.
#[test]
fn a_new_member_with_the_lowest_id_gets_the_log_at_once() {
    let conf_state = ConfState {
        voters: ids(&[2, 3]),
        ..ConfState::default()
    };
    let storages = vec![MemoryStorage::with_conf_state(conf_state); 3];
    let mut cluster = Cluster::with_storages(storages, |_| ());
    cluster.elect(2);
    cluster.network.clear();
    let add = single(ConfChangeKind::AddNode, 1);
    cluster.node_mut(2).propose_conf_change(&add).unwrap();
    cluster.work(2);
    cluster.network.clear();
    let (index, rejection) = (Index(2), None);
    let body = Body::AppendEntriesResponse { index, rejection };
    cluster.deliver(message(3, 2, 1, body));
    cluster.network.clear();
    cluster.work(2);
    let to_new = cluster.network.iter().filter(|it| it.to == id(1));
    assert_eq!(to_new.count(), 1);
}

#[test]
fn a_ready_is_filled_anew() {
    let mut cluster = Cluster::new(1, |_| ());
    cluster.elect(1);
    cluster.propose(1, "x").unwrap();
    let node = cluster.node_mut(1);
    let mut used = Ready {
        soft_state: Some(SoftState::default()),
        hard_state: Some(HardState::default()),
        read_states: vec![ReadState {
            index: Some(Index(9)),
            context: Bytes::new(),
        }],
        aborted_transfers: vec![id(9)],
        entries: vec![entry(9, 9)],
        snapshot: Some(Snapshot::default()),
        committed_entries: vec![entry(9, 9)],
        messages: vec![message(2, 1, 9, Body::TimeoutNow)],
        early_messages: 1,
        must_sync: true,
    };
    let mut other = node.clone();
    let fresh = other.ready().unwrap();
    node.ready_into(&mut used).unwrap();
    assert_eq!(used, fresh);
    // On an error it is left empty.
    used.soft_state = Some(SoftState::default());
    used.hard_state = Some(HardState::default());
    used.snapshot = Some(Snapshot::default());
    used.must_sync = true;
    used.early_messages = 1;
    used.read_states = vec![ReadState {
        index: Some(Index(9)),
        context: Bytes::new(),
    }];
    used.aborted_transfers = vec![id(9)];
    node.ready_into(&mut used).unwrap_err();
    assert_eq!(used, Ready::default());
}

/// An append that brings nothing new is acknowledged, though there is nothing to write: the answer
/// goes the way of all that waits, behind the writes before it.
#[test]
fn an_answer_without_a_write_goes_through_the_storage_thread() {
    let mut node = node(&[1, 2, 3]);
    node.step(message(2, 1, 1, append(1, (0, 0), &[1], 0)))
        .unwrap();
    let (_, works) = ready(&mut node);
    for work in works {
        perform(&mut node, work);
    }
    node.step(message(2, 1, 1, append(1, (0, 0), &[1], 0)))
        .unwrap();
    let (others, works) = ready(&mut node);
    assert!(others.is_empty());
    let [work] = works.as_slice() else {
        panic!("{works:?}")
    };
    let answers = perform(&mut node, work.clone());
    assert!(answers.iter().any(|answer| answer.to == id(2)));
}

/// Entries that were handed out to be applied are not handed out again, however many there are.
#[test]
fn several_entries_at_once_are_handed_out_once() {
    let mut node = node(&[1, 2, 3]);
    node.step(message(2, 1, 1, append(1, (0, 0), &[1, 1, 1], 0)))
        .unwrap();
    let (_, works) = ready(&mut node);
    for work in works {
        let answers = perform(&mut node, work);
        for answer in answers.into_iter().filter(|it| it.to == id(1)) {
            node.step(answer).unwrap();
        }
    }
    let heartbeat = Body::Heartbeat {
        commit: Index(3),
        context: Bytes::new(),
    };
    node.step(message(2, 1, 1, heartbeat)).unwrap();
    let (_, works) = ready(&mut node);
    let applied: Vec<_> = works
        .iter()
        .filter_map(|work| match &work.body {
            Body::StorageApply { entries, .. } => Some(entries.len()),
            _ => None,
        })
        .collect();
    assert_eq!(applied, [3]);
    assert_eq!(node.log().applying(), Index(3));
    let bytes = node.log().applying_bytes();
    assert!(bytes > 0);

    // A snapshot that is installed meanwhile does not answer for them.
    let install = snapshot(1, 7, node.tracker().config.conf_state());
    node.step(message(2, 1, 1, install)).unwrap();
    let (_, installs) = ready(&mut node);
    for work in installs {
        for answer in perform(&mut node, work) {
            if answer.to == id(1) {
                node.step(answer).unwrap();
            }
        }
    }
    assert_eq!(node.applied(), Index(7));
    assert_eq!(node.log().applying_bytes(), bytes);
    // The application says that it has applied all of them, by the last.
    for work in works {
        if let Body::StorageApply { responses, .. } = work.body {
            for response in responses {
                node.step(response).unwrap();
            }
        }
    }
    assert_eq!(node.log().applying_bytes(), 0);
}

#[test]
fn what_is_applied_counts_up_to_the_last_entry() {
    let mut node = node(&[1]);
    assert!(node.async_storage_writes());
    node.campaign().unwrap();
    for _ in 0..3 {
        node.propose(Bytes::from("x")).ok();
        let (_, works) = ready(&mut node);
        for work in works {
            for answer in perform(&mut node, work) {
                node.step(answer).unwrap();
            }
        }
    }
    let (_, works) = ready(&mut node);
    for work in works {
        for answer in perform(&mut node, work) {
            node.step(answer).unwrap();
        }
    }
    assert_eq!(node.applied(), node.commit());
    assert!(node.applied() >= Index(2));
}

/// An old snapshot would take back what is committed; also where the log no longer knows that far back.
#[test]
fn a_snapshot_of_what_is_committed_changes_nothing() {
    let committed = HardState {
        term: Term(2),
        vote: None,
        commit: Index(4),
    };
    let mut old = storage(&[1, 2], &[1, 1, 2, 2, 2], committed);
    old.create_snapshot(Index(3), None, Bytes::new()).unwrap();
    old.compact(Index(3)).unwrap();
    let mut config = crate::Config::new(id(1));
    config.applied = Index(4);
    let mut node = Core::new(&config, old).unwrap();
    // Of another term where it is committed: no correct leader has such a snapshot.
    for (term, index) in [(1, 1), (1, 2), (1, 3), (2, 3), (1, 4), (2, 4)] {
        let metadata = SnapshotMetadata {
            conf_state: node.tracker().config.conf_state(),
            index: Index(index),
            term: Term(term),
        };
        let snapshot = Box::new(Snapshot {
            metadata,
            data: Bytes::new(),
        });
        node.step(message(2, 1, 2, Body::InstallSnapshot { snapshot }))
            .unwrap();
        assert_eq!(node.commit(), Index(4));
        assert_eq!(node.log().last_index(), Ok(Index(5)));
        let ready = node.ready().unwrap();
        assert_eq!(ready.snapshot, None);
        let acknowledged = Body::AppendEntriesResponse {
            index: Index(4),
            rejection: None,
        };
        assert_eq!(ready.messages, [message(1, 2, 2, acknowledged)]);
        node.advance().unwrap();
    }
}

#[test]
fn a_snapshot_is_a_sign_of_life_of_the_leader() {
    let mut cluster = Cluster::new(3, |config| config.check_quorum = true);
    cluster.elect(1);
    let node = cluster.node_mut(2);
    node.forget_leader().unwrap();
    let _ = node.take_timer_reset();
    assert_eq!((node.leader(), node.lease_live()), (None, false));
    let install = snapshot(1, 1, node.tracker().config.conf_state());
    node.step(message(1, 2, 1, install)).unwrap();
    assert_eq!((node.leader(), node.lease_live()), (Some(id(1)), true));
    assert!(node.take_timer_reset().election);
}

/// The request to forget the leader may also come as a message, from whoever watches the group.
#[test]
fn a_follower_is_told_to_forget_its_leader() {
    let mut cluster = Cluster::new(3, |_| ());
    cluster.elect(1);
    cluster.deliver(message(3, 2, 0, Body::ForgetLeader));
    assert_eq!(cluster.node(2).leader(), None);
    let before = cluster.node(1).clone();
    cluster.deliver(message(3, 1, 0, Body::ForgetLeader));
    assert!(*cluster.node(1) == before);
}

/// In one message of the apply thread, several entries.
#[test]
fn entries_are_applied_up_to_the_last_of_them() {
    let mut node = node(&[1, 2, 3]);
    node.step(message(2, 1, 1, append(1, (0, 0), &[1, 1, 1], 0)))
        .unwrap();
    let (_, works) = ready(&mut node);
    for work in works {
        for answer in perform(&mut node, work) {
            if answer.to == id(1) {
                node.step(answer).unwrap();
            }
        }
    }
    let heartbeat = Body::Heartbeat {
        commit: Index(3),
        context: Bytes::new(),
    };
    node.step(message(2, 1, 1, heartbeat)).unwrap();
    let (_, works) = ready(&mut node);
    for work in works {
        for answer in perform(&mut node, work) {
            node.step(answer).unwrap();
        }
    }
    assert_eq!(node.applied(), Index(3));
}

/// A vote request that comes twice is granted twice; the second time the leader of the term may be
/// known, and then granting counts as hearing from it.
#[test]
fn a_repeated_vote_renews_the_lease_only_with_quorum_checks() {
    for check_quorum in [false, true] {
        let mut cluster = Cluster::new(3, |config| config.check_quorum = check_quorum);
        cluster.elect(1);
        let node = cluster.node_mut(2);
        node.on_timer(TimerEvent::LeaseExpired).unwrap();
        let _ = node.take_timer_reset();
        assert!(!node.lease_live());
        let last = EntryId::new(Term(1), Index(1));
        let repeated = Body::RequestVote { last, force: false };
        node.step(message(1, 2, 1, repeated)).unwrap();
        assert_eq!((node.vote(), node.leader()), (Some(id(1)), Some(id(1))));
        assert_eq!(node.lease_live(), check_quorum);
        assert!(node.take_timer_reset().election);
    }
}
