//! The messages of `usual` in `../wire_data/record.go`, written down in our own types.

use bytes::Bytes;
use lockstep_raft::{
    Body, ConfState, Entry, EntryId, EntryKind, HardState, Index, Message, NodeId, Rejection,
    Snapshot, SnapshotMetadata, StorageAppend, Term, wire,
};

use crate::recorded::cases;

fn id(id: u64) -> NodeId {
    NodeId::new(id).unwrap()
}

fn ids(ids: &[u64]) -> Vec<NodeId> {
    ids.iter().copied().map(id).collect()
}

fn entry(term: u64, index: u64, kind: EntryKind, data: &'static [u8]) -> Entry {
    Entry {
        term: Term(term),
        index: Index(index),
        kind,
        data: Bytes::from_static(data),
    }
}

fn entries() -> Vec<Entry> {
    vec![
        entry(7, 301, EntryKind::Normal, b"put x=1"),
        entry(7, 302, EntryKind::ConfChange, &[0x10, 0x01]),
        entry(8, 303, EntryKind::ConfChangeV2, b""),
    ]
}

fn snapshot() -> Snapshot {
    Snapshot {
        metadata: SnapshotMetadata {
            conf_state: ConfState {
                voters: ids(&[1, 2, 300]),
                learners: ids(&[4]),
                voters_outgoing: ids(&[1, 2, 5]),
                learners_next: ids(&[5]),
                auto_leave: true,
            },
            index: Index(300),
            term: Term(6),
        },
        data: Bytes::from_static(b"state"),
    }
}

/// Name, term and body; every message goes from server 1 to server 2.
fn messages() -> Vec<(&'static str, u64, Body)> {
    let last = EntryId::new(Term(8), Index(303));
    let prev = EntryId::new(Term(6), Index(300));
    let read = || Bytes::from_static(b"read-1");
    let accepted = |index| Body::AppendEntriesResponse {
        index: Index(index),
        rejection: None,
    };
    let vote = Message {
        from: id(1),
        to: id(2),
        term: Term(8),
        body: Body::RequestVoteResponse { granted: true },
    };
    let applied = Message {
        from: NodeId::APPLY_THREAD,
        to: id(1),
        term: Term(0),
        body: Body::StorageApplyResponse { entries: entries() },
    };
    vec![
        (
            "propose",
            0,
            Body::Propose {
                entries: vec![entry(0, 0, EntryKind::Normal, b"put x=1"), Entry::default()],
            },
        ),
        (
            "append",
            8,
            Body::AppendEntries {
                prev,
                entries: entries(),
                commit: Index(299),
            },
        ),
        (
            "append empty",
            8,
            Body::AppendEntries {
                prev,
                entries: vec![],
                commit: Index(300),
            },
        ),
        ("append accepted", 8, accepted(303)),
        (
            "append refused",
            8,
            Body::AppendEntriesResponse {
                index: Index(300),
                rejection: Some(Rejection {
                    hint_index: Index(250),
                    hint_term: Term(5),
                }),
            },
        ),
        ("append stale", 9, accepted(0)),
        ("vote request", 9, Body::RequestVote { last, force: false }),
        (
            "vote request of a transfer",
            9,
            Body::RequestVote { last, force: true },
        ),
        (
            "vote granted",
            9,
            Body::RequestVoteResponse { granted: true },
        ),
        (
            "vote refused",
            9,
            Body::RequestVoteResponse { granted: false },
        ),
        (
            "snapshot",
            8,
            Body::InstallSnapshot {
                snapshot: Box::new(snapshot()),
            },
        ),
        (
            "heartbeat",
            8,
            Body::Heartbeat {
                commit: Index(303),
                context: Bytes::new(),
            },
        ),
        (
            "heartbeat of a read",
            8,
            Body::Heartbeat {
                commit: Index(303),
                context: read(),
            },
        ),
        (
            "heartbeat answer",
            8,
            Body::HeartbeatResponse {
                context: Bytes::new(),
            },
        ),
        (
            "heartbeat answer of a read",
            8,
            Body::HeartbeatResponse { context: read() },
        ),
        ("transfer leader", 0, Body::TransferLeader),
        ("timeout now", 8, Body::TimeoutNow),
        ("read index", 0, Body::ReadIndex { context: read() }),
        (
            "read index answer",
            8,
            Body::ReadIndexResponse {
                index: Index(303),
                context: read(),
            },
        ),
        ("pre-vote request", 9, Body::RequestPreVote { last }),
        (
            "pre-vote granted",
            9,
            Body::RequestPreVoteResponse { granted: true },
        ),
        (
            "pre-vote refused",
            8,
            Body::RequestPreVoteResponse { granted: false },
        ),
        (
            "storage append",
            8,
            Body::StorageAppend(Box::new(StorageAppend {
                hard_state: Some(HardState {
                    term: Term(8),
                    vote: Some(id(2)),
                    commit: Index(299),
                }),
                entries: entries(),
                snapshot: None,
                responses: vec![vote],
            })),
        ),
        (
            "storage append of a snapshot",
            0,
            Body::StorageAppend(Box::new(StorageAppend {
                snapshot: Some(snapshot()),
                ..StorageAppend::default()
            })),
        ),
        (
            "storage append answer",
            8,
            Body::StorageAppendResponse {
                last: Some(last),
                snapshot: None,
            },
        ),
        (
            "storage append answer of a snapshot",
            8,
            Body::StorageAppendResponse {
                last: None,
                snapshot: Some(Box::new(snapshot())),
            },
        ),
        (
            "storage apply",
            0,
            Body::StorageApply {
                entries: entries(),
                responses: vec![applied],
            },
        ),
        (
            "storage apply answer",
            0,
            Body::StorageApplyResponse { entries: entries() },
        ),
        ("forget leader", 0, Body::ForgetLeader),
    ]
}

#[test]
fn etcds_messages_mean_what_we_take_them_for() {
    let cases = cases();
    for (name, term, body) in messages() {
        let case = cases.iter().find(|case| case.name == name).expect(name);
        let expected = Message {
            from: id(1),
            to: id(2),
            term: Term(term),
            body,
        };
        assert_eq!(wire::decode(case.bytes.clone()), Ok(expected), "{name}");
    }
}
