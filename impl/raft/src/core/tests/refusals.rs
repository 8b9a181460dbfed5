//! Invalid input: nothing breaks whatever arrives, and a refused input changes nothing.

use bytes::Bytes;

use super::cluster::{Cluster, entry, id, ids, message, snapshot};
use super::untimed::Core;
use crate::confchange::ConfChangeError;
use crate::config::Config;
use crate::error::{Blame, CallError, Error, PeerError};
use crate::storage::MemoryStorage;
use crate::types::*;
use crate::wire;

/// A leader (1) and a follower (2) with a committed and applied entry or two.
fn cluster() -> Cluster {
    let mut cluster = Cluster::new(3, |_| ());
    cluster.elect(1);
    cluster.propose(1, "x").unwrap();
    cluster.settle();
    cluster
}

fn append(prev: (u64, u64), entries: Vec<Entry>, commit: u64) -> Body {
    let prev = EntryId::new(Term(prev.0), Index(prev.1));
    Body::AppendEntries {
        prev,
        entries,
        commit: Index(commit),
    }
}

fn voters(numbers: &[u64]) -> ConfState {
    ConfState {
        voters: ids(numbers),
        ..ConfState::default()
    }
}

fn refused(cluster: &mut Cluster, message: Message) -> PeerError {
    let number = message.to.get();
    let before = cluster.node(number).clone();
    let error = cluster
        .node_mut(number)
        .step(message.clone())
        .expect_err(&format!("{message:?}"));
    assert!(
        *cluster.node(number) == before,
        "{message:?} changed the state"
    );
    assert_eq!(error.blame(), Blame::Peer);
    match error {
        Error::Peer(error) => error,
        error => panic!("{error}"),
    }
}

#[test]
fn local_messages_do_not_come_from_others() {
    let mut cluster = cluster();
    for body in [
        Body::StorageAppend(Box::default()),
        Body::StorageApply {
            entries: vec![],
            responses: vec![],
        },
        Body::StorageApplyResponse { entries: vec![] },
        Body::StorageAppendResponse {
            last: None,
            snapshot: None,
        },
    ] {
        for from in [1, 2, 9, u64::MAX, u64::MAX - 1] {
            let error = refused(&mut cluster, message(from, 1, 1, body.clone()));
            assert!(matches!(error, PeerError::LocalMessage { .. }), "{error}");
        }
    }
}

#[test]
fn responses_of_strangers_are_refused() {
    let mut cluster = cluster();
    for body in [
        Body::AppendEntriesResponse {
            index: Index(1),
            rejection: None,
        },
        Body::HeartbeatResponse {
            context: Bytes::new(),
        },
        Body::RequestVoteResponse { granted: true },
        Body::RequestPreVoteResponse { granted: true },
        Body::ReadIndexResponse {
            index: Index(1),
            context: Bytes::new(),
        },
    ] {
        let error = refused(&mut cluster, message(9, 1, 7, body));
        assert!(matches!(error, PeerError::UnknownPeer { .. }), "{error}");
    }
}

#[test]
fn malformed_messages_are_refused() {
    let mut cluster = cluster();
    let absurd = u64::MAX - 1;
    let rejection = Some(Rejection {
        hint_index: Index(absurd),
        hint_term: Term(1),
    });
    let both = ConfState {
        voters: ids(&[2]),
        learners: ids(&[2]),
        ..ConfState::default()
    };
    let twice = vec![entry(1, 3), entry(1, 3)];
    for body in [
        // Gaps and disorder in what should be a slice of a log.
        append((1, 2), vec![entry(1, 4)], 2),
        append((1, 2), twice, 2),
        append((1, 2), vec![entry(0, 3)], 2),
        append((1, 2), vec![entry(9, 3)], 2),
        append((9, 2), vec![], 2),
        append((1, absurd), vec![entry(1, u64::MAX)], 2),
        append((1, 2), vec![], absurd),
        // A commit index, or an acknowledgement, beyond the log.
        Body::Heartbeat {
            commit: Index(9),
            context: Bytes::new(),
        },
        snapshot(9, 9, ConfState::default()),
        snapshot(1, absurd, voters(&[2])),
        snapshot(1, 9, both),
        snapshot(1, 9, voters(&[2, u64::MAX])),
        snapshot(1, 9, voters(&[2, u64::MAX - 1])),
        Body::AppendEntriesResponse {
            index: Index(2),
            rejection,
        },
        Body::Propose {
            entries: vec![entry(0, 0)],
        },
        Body::ReadIndex {
            context: Bytes::new(),
        },
        Body::RequestVote {
            last: EntryId::new(Term(absurd), Index(1)),
            force: false,
        },
    ] {
        for term in [1, 2, 5] {
            if term == 2
                && matches!(&body, Body::AppendEntries { entries, .. } if entries.iter().any(|e| e.term == Term(2)))
            {
                continue;
            }
            let error = refused(&mut cluster, message(1, 2, term, body.clone()));
            assert!(matches!(error, PeerError::Malformed { .. }), "{error}");
        }
    }
    // The leader itself.
    for (term, body) in [
        (
            1,
            Body::AppendEntriesResponse {
                index: Index(9),
                rejection: None,
            },
        ),
        (
            absurd,
            Body::Heartbeat {
                commit: Index(0),
                context: Bytes::new(),
            },
        ),
        (
            0,
            Body::Heartbeat {
                commit: Index(0),
                context: Bytes::new(),
            },
        ),
        (0, Body::TimeoutNow),
        (0, snapshot(0, 9, voters(&[1, 2, 3]))),
        (0, append((0, 0), vec![], 0)),
        (0, Body::Propose { entries: vec![] }),
        (
            0,
            Body::Propose {
                entries: vec![Entry::proposal(EntryKind::ConfChange, "\u{7}".into())],
            },
        ),
    ] {
        let error = refused(&mut cluster, message(2, 1, term, body));
        assert!(matches!(error, PeerError::Malformed { .. }), "{error}");
    }
}

#[test]
fn calls_that_make_no_sense_are_errors() {
    let mut cluster = cluster();
    let node = cluster.node_mut(1);
    assert_eq!(
        node.propose_entries(vec![]),
        Err(CallError::EmptyProposal.into())
    );
    let undecodable = Entry::proposal(EntryKind::ConfChangeV2, "\u{7}".into());
    assert_eq!(
        node.propose_entries(vec![undecodable]),
        Err(CallError::Undecodable.into())
    );
    assert_eq!(node.bootstrap(&[]), Err(CallError::BootstrapNobody.into()));
    assert_eq!(
        node.bootstrap(&[(id(1), Bytes::new())]),
        Err(CallError::BootstrapNonEmpty.into())
    );
    node.propose(Bytes::from("y")).unwrap();
    node.ready().unwrap();
    assert_eq!(node.ready().unwrap_err(), CallError::NotAdvanced.into());
}

#[test]
fn a_storage_thread_is_no_member() {
    for thread in [NodeId::APPEND_THREAD, NodeId::APPLY_THREAD] {
        for kind in [ConfChangeKind::AddNode, ConfChangeKind::AddLearner] {
            for transition in [Transition::Auto, Transition::JointExplicit] {
                let mut cluster = cluster();
                let change = ConfChangeV2 {
                    transition,
                    changes: vec![ConfChangeSingle::new(kind, thread)],
                    ..ConfChangeV2::default()
                };
                let before = cluster.node(1).clone();
                let expected: Error = CallError::from(ConfChangeError::ReservedId(thread)).into();
                let node = cluster.node_mut(1);
                assert_eq!(
                    node.apply_conf_change(&change).as_ref(),
                    Err(&expected),
                    "applied"
                );
                // Nor does it get that far.
                assert_eq!(
                    node.propose_conf_change(&change).as_ref(),
                    Err(&expected),
                    "proposed"
                );
                let simple = ConfChange {
                    kind,
                    node: Some(thread),
                    ..ConfChange::default()
                };
                assert_eq!(node.propose_conf_change(&simple).as_ref(), Err(&expected));
                // As an entry of its own kind, too.
                let data = wire::encode_conf_change(&simple);
                let own = vec![Entry::proposal(EntryKind::ConfChange, data)];
                assert_eq!(node.propose_entries(own), Err(expected));
                assert!(*cluster.node(1) == before);
                let data = wire::encode_conf_change(&simple);
                let entries = vec![Entry::proposal(EntryKind::ConfChange, data)];
                let error = refused(&mut cluster, message(2, 1, 0, Body::Propose { entries }));
                assert!(error.to_string().contains("storage thread"), "{error}");
            }
        }
        let storage = MemoryStorage::with_conf_state(voters(&[1, thread.get()]));
        let error = Core::new(&Config::new(id(1)), storage)
            .map(|_| ())
            .unwrap_err();
        assert_eq!(error.blame(), Blame::Storage);
    }
}

#[test]
fn a_change_of_nobody_is_void() {
    let mut cluster = cluster();
    let before = cluster.node(1).status().config.conf_state();
    let nobody = ConfChange::default();
    cluster.node_mut(1).propose_conf_change(&nobody).unwrap();
    cluster.settle();
    assert_eq!(cluster.node(1).status().config.conf_state(), before);
}

#[test]
fn a_server_of_term_zero_takes_a_snapshot_of_term_zero() {
    let mut cluster = Cluster::new(3, |_| ());
    let mut snapshot_of = |number: u64, term: u64, snapshot: Body| {
        let message = message(1, number, 0, snapshot);
        assert_eq!(cluster.node(number).term(), Term(term));
        let result = cluster.node_mut(number).step(message);
        (result, cluster.node(number).commit())
    };
    // What a server can be started from; a later term than the first has been led.
    let seed = || snapshot(1, 9, voters(&[1, 2, 3]));
    let (late, commit) = snapshot_of(2, 0, snapshot(2, 9, voters(&[1, 2, 3])));
    assert!(late.is_err() && commit == Index(0));
    assert_eq!(snapshot_of(2, 0, seed()), (Ok(()), Index(9)));
    cluster.elect(3);
    let error = refused(&mut cluster, message(1, 3, 0, seed()));
    assert!(error.to_string().contains("term zero"), "{error}");
}

#[test]
fn a_stranger_that_asks_is_answered() {
    // A new member has not heard of anybody, and nobody of it.
    let mut cluster = cluster();
    cluster.deliver(message(9, 2, 2, append((1, 2), vec![entry(2, 3)], 3)));
    assert_eq!(cluster.node(2).leader(), Some(id(9)));
    cluster.work(2);
    assert_eq!(cluster.network.back().unwrap().to, id(9));
}
