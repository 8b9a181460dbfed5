//! Exactly what is let in: the last message that is, and the first that is not.

use bytes::Bytes;

use super::async_writes::node;
use super::cluster::{Cluster, entry, id, ids, message, snapshot};
use super::untimed::Core;
use crate::core::validate::NUMBER_LIMIT;
use crate::error::{Error, PeerError};
use crate::storage::MemoryStorage;
use crate::types::*;

/// A leader (1) of term 1 and its followers, with one entry.
fn cluster_of_term_one() -> Cluster {
    let mut cluster = Cluster::new(3, |_| ());
    cluster.elect(1);
    cluster
}

fn malformed(node: &Core<MemoryStorage>, message: &Message) -> Option<&'static str> {
    let before = node.clone();
    let mut node = node.clone();
    match node.step(message.clone()) {
        Err(Error::Peer(PeerError::Malformed { reason, .. })) => {
            assert!(node == before, "{message:?} changed the state");
            Some(reason)
        }
        Err(Error::Peer(error)) => panic!("{error}"),
        _ => None,
    }
}

fn accepted(node: &Core<MemoryStorage>, message: &Message) {
    assert_eq!(malformed(node, message), None, "{message:?}");
}

/// It is let in, and changes nothing.
fn ignored(node: &Core<MemoryStorage>, message: &Message) {
    let mut after = node.clone();
    assert_eq!(after.step(message.clone()), Ok(()), "{message:?}");
    assert!(after == *node, "{message:?}");
}

fn heartbeat(commit: u64) -> Body {
    Body::Heartbeat {
        commit: Index(commit),
        context: Bytes::new(),
    }
}

fn answer(index: u64, hint: Option<u64>) -> Body {
    let rejection = hint.map(|hint| Rejection {
        hint_index: Index(hint),
        hint_term: Term(1),
    });
    let index = Index(index);
    Body::AppendEntriesResponse { index, rejection }
}

fn append(prev: (u64, u64), commit: u64) -> Body {
    Body::AppendEntries {
        prev: EntryId::new(Term(prev.0), Index(prev.1)),
        entries: vec![],
        commit: Index(commit),
    }
}

fn voters() -> ConfState {
    ConfState {
        voters: ids(&[1, 2, 3]),
        ..ConfState::default()
    }
}

fn contradictory() -> ConfState {
    ConfState {
        learners: ids(&[2]),
        ..voters()
    }
}

#[test]
fn the_largest_numbers_are_let_in() {
    let cluster = cluster_of_term_one();
    let (leader, follower) = (cluster.node(1), cluster.node(2));
    accepted(follower, &message(1, 2, NUMBER_LIMIT, heartbeat(0)));
    assert_eq!(
        malformed(follower, &message(1, 2, NUMBER_LIMIT + 1, heartbeat(0))),
        Some("the term is absurd")
    );
    let absurd = Some("the index is absurd");
    ignored(follower, &message(3, 2, 1, answer(NUMBER_LIMIT, None)));
    ignored(
        follower,
        &message(3, 2, 1, answer(NUMBER_LIMIT, Some(NUMBER_LIMIT))),
    );
    for body in [
        answer(NUMBER_LIMIT + 1, None),
        answer(NUMBER_LIMIT + 1, Some(0)),
        answer(0, Some(NUMBER_LIMIT + 1)),
        answer(NUMBER_LIMIT + 2, None),
        answer(0, Some(NUMBER_LIMIT + 2)),
    ] {
        assert_eq!(malformed(follower, &message(3, 2, 1, body)), absurd);
    }
    accepted(follower, &message(1, 2, 1, append((1, NUMBER_LIMIT), 0)));
    accepted(follower, &message(1, 2, 1, append((1, 1), NUMBER_LIMIT)));
    for body in [
        append((1, NUMBER_LIMIT + 1), 0),
        append((1, 1), NUMBER_LIMIT + 1),
    ] {
        assert_eq!(malformed(follower, &message(1, 2, 1, body)), absurd);
    }
    let last = snapshot(1, NUMBER_LIMIT, voters());
    accepted(follower, &message(1, 2, 1, last));
    let beyond = snapshot(1, NUMBER_LIMIT + 1, voters());
    assert_eq!(malformed(follower, &message(1, 2, 1, beyond)), absurd);
    accepted(leader, &message(2, 1, NUMBER_LIMIT, heartbeat(0)));
}

/// Only a leader can tell that an acknowledgement goes beyond its log, and only in its own term.
#[test]
fn answers_are_held_against_the_log_of_the_leader_they_are_for() {
    let mut cluster = cluster_of_term_one();
    cluster.elect(2);
    cluster.elect(1);
    let (leader, follower) = (cluster.node(1), cluster.node(2));
    let term = leader.term().0;
    assert_eq!(
        malformed(leader, &message(2, 1, term, answer(50, None))),
        Some("it acknowledges what this leader does not have")
    );
    ignored(leader, &message(2, 1, term - 1, answer(50, None)));
    ignored(follower, &message(3, 2, term, answer(50, None)));
    // A refusal names what was sent, which may be anything by now.
    accepted(leader, &message(2, 1, term, answer(50, Some(0))));
}

#[test]
fn of_stale_messages_only_the_kind_is_looked_at() {
    let mut cluster = cluster_of_term_one();
    cluster.elect(2);
    let follower = cluster.node(3);
    ignored(follower, &message(1, 3, 1, heartbeat(50)));
    assert_eq!(
        malformed(follower, &message(2, 3, 2, heartbeat(50))),
        Some("it commits what this server does not have")
    );
    ignored(
        follower,
        &message(1, 3, 1, snapshot(1, 50, contradictory())),
    );
    // A snapshot of what is committed is not used, so that its configuration does not matter.
    let commit = follower.commit().0;
    accepted(
        follower,
        &message(2, 3, 2, snapshot(1, commit, contradictory())),
    );
    assert_eq!(
        malformed(
            follower,
            &message(2, 3, 2, snapshot(1, commit + 1, contradictory()))
        ),
        Some("the configuration in the snapshot is invalid")
    );
}

#[test]
fn nothing_happens_in_term_zero() {
    let cluster = Cluster::new(3, |_| ());
    let node = cluster.node(1);
    let last = EntryId::ZERO;
    for body in [
        Body::RequestVote { last, force: false },
        Body::RequestVote { last, force: true },
        Body::RequestPreVote { last },
    ] {
        assert_eq!(
            malformed(node, &message(2, 1, 0, body)),
            Some("nobody campaigns for term zero")
        );
    }
    for body in [
        heartbeat(0),
        append((0, 0), 0),
        snapshot(2, 1, voters()),
        Body::TimeoutNow,
    ] {
        assert_eq!(
            malformed(node, &message(2, 1, 0, body)),
            Some("nobody leads term zero")
        );
    }
    // Except that a group may be seeded with a snapshot.
    for term in [0, 1] {
        accepted(node, &message(2, 1, 0, snapshot(term, 1, voters())));
        let other = cluster_of_term_one();
        assert_eq!(
            malformed(
                other.node(2),
                &message(1, 2, 0, snapshot(term, 9, voters()))
            ),
            Some("nobody leads term zero")
        );
    }
    let later = snapshot(2, 9, voters());
    assert_eq!(
        malformed(node, &message(2, 1, 1, later)),
        Some("the snapshot is of a later term")
    );
}

#[test]
fn a_forwarded_proposal_is_good_as_a_whole_or_not_at_all() {
    let cluster = cluster_of_term_one();
    let good = Entry::proposal(EntryKind::Normal, Bytes::from("x"));
    let bad = Entry::proposal(EntryKind::ConfChange, Bytes::from_static(b"\xff"));
    for entries in [vec![good.clone(), bad.clone()], vec![bad, good]] {
        let proposal = message(2, 1, 0, Body::Propose { entries });
        assert_eq!(
            malformed(cluster.node(1), &proposal),
            Some("it holds a configuration change that is none")
        );
    }
}

#[test]
fn what_comes_back_to_its_sender_is_let_in_and_nothing_else() {
    let cluster = cluster_of_term_one();
    let (leader, follower) = (cluster.node(1), cluster.node(2));
    let entries = vec![Entry::proposal(EntryKind::Normal, Bytes::from("x"))];
    for body in [
        Body::Propose { entries },
        Body::ReadIndex {
            context: Bytes::new(),
        },
        Body::TransferLeader,
        Body::ForgetLeader,
    ] {
        accepted(leader, &message(1, 1, 0, body));
    }
    let foreign = Some("this server did not send it");
    for body in [
        heartbeat(0),
        append((0, 0), 0),
        answer(1, None),
        Body::RequestVoteResponse { granted: true },
        Body::RequestPreVoteResponse { granted: true },
        Body::HeartbeatResponse {
            context: Bytes::new(),
        },
        Body::TimeoutNow,
    ] {
        assert_eq!(malformed(follower, &message(2, 2, 1, body)), foreign);
    }
}

#[test]
fn storage_threads_send_answers_and_nothing_else() {
    const APPEND: u64 = u64::MAX;
    const APPLY: u64 = u64::MAX - 1;
    let cluster = cluster_of_term_one();
    for thread in [APPEND, APPLY] {
        for body in [heartbeat(0), append((0, 0), 0)] {
            assert_eq!(
                malformed(cluster.node(2), &message(thread, 2, 1, body)),
                Some("a storage thread is no server")
            );
        }
    }

    let mut node = node(&[1, 2, 3]);
    let snapshot = |index| {
        let metadata = SnapshotMetadata {
            conf_state: voters(),
            index: Index(index),
            term: Term(1),
        };
        let data = Bytes::new();
        Some(Box::new(Snapshot { metadata, data }))
    };
    let written = |index| Body::StorageAppendResponse {
        last: None,
        snapshot: snapshot(index),
    };
    let applied = |entries: &[u64]| Body::StorageApplyResponse {
        entries: entries.iter().map(|index| entry(1, *index)).collect(),
    };
    // Each thread its own answers.
    for (from, body) in [
        (APPLY, written(0)),
        (APPEND, applied(&[])),
        (2, written(0)),
        (2, applied(&[])),
    ] {
        let error = node.step(message(from, 1, 0, body)).unwrap_err();
        assert!(matches!(error, Error::Peer(PeerError::LocalMessage { .. })));
    }
    assert_eq!(
        malformed(&node, &message(APPEND, 1, 0, written(1))),
        Some("the snapshot is not committed")
    );
    accepted(&node, &message(APPEND, 1, 0, written(0)));
    for entries in [&[1][..], &[0, 1]] {
        assert_eq!(
            malformed(&node, &message(APPLY, 1, 0, applied(entries))),
            Some("it was not asked to apply that")
        );
    }
    accepted(&node, &message(APPLY, 1, 0, applied(&[0])));
    assert_eq!(node.id(), id(1));
}
