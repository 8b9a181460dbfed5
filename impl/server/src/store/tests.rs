//! The store against its oracle, and by hand.

use bytes::Bytes;
use lockstep_raft::{ConfState, EntryId, Index, NodeId, Term};
use proptest::prelude::*;

use super::oracle::{Oracle, Outcome};
use super::*;
use crate::api::pb::*;

fn store() -> (tempfile::TempDir, Store) {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(dir.path().join("store.redb")).unwrap();
    (dir, store)
}

fn put(key: &'static str, value: &'static str) -> PutRequest {
    PutRequest {
        key: key.into(),
        value: value.into(),
        ..PutRequest::default()
    }
}

fn get(key: &'static str) -> RangeRequest {
    RangeRequest {
        key: key.into(),
        ..RangeRequest::default()
    }
}

fn all() -> RangeRequest {
    RangeRequest {
        key: "\0".into(),
        range_end: "\0".into(),
        ..RangeRequest::default()
    }
}

fn op(request: Request) -> RequestOp {
    RequestOp {
        request: Some(request),
    }
}

fn refusal<T: std::fmt::Debug>(result: Result<T>) -> Refusal {
    match result.unwrap_err() {
        StoreError::Refused(refusal) => refusal,
        error => panic!("{error}"),
    }
}

fn outcome(response: &Response) -> Outcome {
    match response {
        Response::ResponseRange(range) => Outcome::Range {
            kvs: range.kvs.clone(),
            count: range.count as usize,
            more: range.more,
        },
        Response::ResponsePut(put) => Outcome::Put {
            before: put.prev_kv.clone(),
        },
        Response::ResponseDeleteRange(delete) => {
            assert_eq!(delete.deleted, delete.prev_kvs.len() as i64);
            Outcome::Delete {
                before: delete.prev_kvs.clone(),
            }
        }
        Response::ResponseTxn(txn) => txn_outcome(txn),
    }
}

fn txn_outcome(txn: &TxnResponse) -> Outcome {
    let outcomes = txn
        .responses
        .iter()
        .map(|op| outcome(op.response.as_ref().unwrap()));
    Outcome::Txn {
        succeeded: txn.succeeded,
        outcomes: outcomes.collect(),
    }
}

#[test]
fn the_empty_store_is_at_revision_1() {
    let (_dir, store) = store();
    let snapshot = store.snapshot().unwrap();
    assert_eq!((snapshot.revision(), snapshot.compacted()), (1, 0));
    let answer = snapshot.range(&all()).unwrap();
    assert_eq!((answer.count, answer.header.unwrap().revision), (0, 1));
}

#[test]
fn versions_count_from_creation() {
    let (_dir, store) = store();
    store.write(|batch| batch.put(&put("a", "1"))).unwrap();
    store.write(|batch| batch.put(&put("a", "2"))).unwrap();
    let kv = store
        .snapshot()
        .unwrap()
        .range(&get("a"))
        .unwrap()
        .kvs
        .remove(0);
    assert_eq!((kv.create_revision, kv.mod_revision, kv.version), (2, 3, 2));
    let delete = DeleteRangeRequest {
        key: "a".into(),
        prev_kv: true,
        ..Default::default()
    };
    let deleted = store.write(|batch| batch.delete_range(&delete)).unwrap();
    assert_eq!(deleted.prev_kvs[0].value, "2");
    assert_eq!(deleted.header.unwrap().revision, 4);
    // A delete of nothing is no change.
    let deleted = store.write(|batch| batch.delete_range(&delete)).unwrap();
    assert_eq!((deleted.deleted, deleted.header.unwrap().revision), (0, 4));
    store.write(|batch| batch.put(&put("a", "3"))).unwrap();
    let snapshot = store.snapshot().unwrap();
    let kv = snapshot.range(&get("a")).unwrap().kvs.remove(0);
    assert_eq!((kv.create_revision, kv.mod_revision, kv.version), (5, 5, 1));
    let old = snapshot
        .range(&RangeRequest {
            revision: 3,
            ..get("a")
        })
        .unwrap();
    assert_eq!(old.kvs[0].value, "2");
    assert_eq!(
        snapshot
            .range(&RangeRequest {
                revision: 4,
                ..get("a")
            })
            .unwrap()
            .count,
        0
    );
}

#[test]
fn a_put_keeps_what_it_is_told_to_keep() {
    let (_dir, store) = store();
    let keep = PutRequest {
        ignore_value: true,
        prev_kv: true,
        ..put("a", "")
    };
    assert_eq!(
        refusal(store.write(|batch| batch.put(&keep))),
        Refusal::KeyNotFound
    );
    store.write(|batch| batch.put(&put("a", "1"))).unwrap();
    let answer = store.write(|batch| batch.put(&keep)).unwrap();
    assert_eq!(answer.prev_kv.unwrap().version, 1);
    let kv = store
        .snapshot()
        .unwrap()
        .range(&get("a"))
        .unwrap()
        .kvs
        .remove(0);
    assert_eq!((kv.value, kv.version), (Bytes::from("1"), 2));
    let keep = PutRequest {
        ignore_lease: true,
        ..put("a", "2")
    };
    store.write(|batch| batch.put(&keep)).unwrap();
    let leased = PutRequest {
        lease: 7,
        ..put("a", "3")
    };
    assert_eq!(
        refusal(store.write(|batch| batch.put(&leased))),
        Refusal::LeaseNotFound
    );
}

#[test]
fn a_refused_transaction_changes_nothing() {
    let (_dir, store) = store();
    let leased = PutRequest {
        lease: 7,
        ..put("b", "1")
    };
    let success = vec![
        op(Request::RequestPut(put("a", "1"))),
        op(Request::RequestPut(leased)),
    ];
    let txn = TxnRequest {
        success,
        ..TxnRequest::default()
    };
    let result = store.write(|batch| {
        let refused = refusal(batch.txn(&txn));
        // The batch goes on: the entry was applied, by refusing it.
        batch.set_applied(EntryId::new(Term(1), Index(9)))?;
        Ok(refused)
    });
    assert_eq!(result.unwrap(), Refusal::LeaseNotFound);
    let snapshot = store.snapshot().unwrap();
    assert_eq!(
        (snapshot.range(&all()).unwrap().count, snapshot.revision()),
        (0, 1)
    );
    assert_eq!(snapshot.applied().unwrap().index, Index(9));
}

#[test]
fn the_changes_of_a_transaction_share_a_revision() {
    let (_dir, store) = store();
    let success = vec![
        op(Request::RequestPut(put("a", "1"))),
        op(Request::RequestRange(get("a"))),
        op(Request::RequestPut(put("b", "1"))),
    ];
    let txn = TxnRequest {
        success,
        ..TxnRequest::default()
    };
    let answer = store.write(|batch| batch.txn(&txn)).unwrap();
    assert_eq!(answer.header.unwrap().revision, 2);
    let Some(Response::ResponseRange(range)) = &answer.responses[1].response else {
        panic!()
    };
    assert_eq!((range.count, range.header.unwrap().revision), (1, 2));
    let kvs = store.snapshot().unwrap().range(&all()).unwrap().kvs;
    assert!(kvs.iter().all(|kv| kv.mod_revision == 2) && kvs.len() == 2);
}

#[test]
fn compaction_discards_what_cannot_be_read_any_more() {
    let (_dir, store) = store();
    for value in ["1", "2", "3"] {
        store.write(|batch| batch.put(&put("a", value))).unwrap();
    }
    let delete = DeleteRangeRequest {
        key: "a".into(),
        ..Default::default()
    };
    store.write(|batch| batch.delete_range(&delete)).unwrap();
    store.write(|batch| batch.put(&put("b", "1"))).unwrap();
    assert_eq!(
        refusal(store.write(|batch| batch.compact(9))),
        Refusal::FutureRevision
    );
    assert_eq!(
        refusal(store.write(|batch| batch.compact(0))),
        Refusal::Compacted
    );
    store.write(|batch| batch.compact(3)).unwrap();
    assert_eq!(
        refusal(store.write(|batch| batch.compact(3))),
        Refusal::Compacted
    );
    let at = |revision| {
        let snapshot = store.snapshot().unwrap();
        snapshot.range(&RangeRequest {
            revision,
            ..get("a")
        })
    };
    assert_eq!(refusal(at(2)), Refusal::Compacted);
    assert_eq!(refusal(at(7)), Refusal::FutureRevision);
    assert_eq!(at(3).unwrap().kvs[0].value, "2");
    store.write(|batch| batch.compact(6)).unwrap();
    let mut versions = 0;
    let written = store.snapshot().unwrap();
    for entry in redb::ReadableTable::iter(&written.view.revisions).unwrap() {
        entry.unwrap();
        versions += 1;
    }
    assert_eq!(versions, 1, "only `b` is left");
}

#[test]
fn an_alarm_for_space_refuses_puts_and_no_deletes() {
    let (_dir, store) = store();
    store
        .write(|batch| batch.raise(3, AlarmType::Nospace))
        .unwrap();
    assert_eq!(
        refusal(store.write(|batch| batch.put(&put("a", "1")))),
        Refusal::NoSpace
    );
    let success = vec![op(Request::RequestPut(put("a", "1")))];
    let txn = TxnRequest {
        failure: success,
        ..TxnRequest::default()
    };
    assert_eq!(
        refusal(store.write(|batch| batch.txn(&txn))),
        Refusal::NoSpace
    );
    let delete = DeleteRangeRequest {
        key: "a".into(),
        ..Default::default()
    };
    store.write(|batch| batch.delete_range(&delete)).unwrap();
    assert_eq!(
        store
            .write(|batch| batch.clear(4, AlarmType::Nospace))
            .unwrap(),
        []
    );
    assert_eq!(
        store
            .write(|batch| batch.clear(3, AlarmType::None))
            .unwrap()
            .len(),
        1
    );
    store.write(|batch| batch.put(&put("a", "1"))).unwrap();
}

#[test]
fn a_failed_batch_leaves_no_trace() {
    let (_dir, store) = store();
    let failed: Result<()> = store.write(|batch| {
        batch.put(&put("a", "1"))?;
        Err(StoreError::corrupt("a test"))
    });
    failed.unwrap_err();
    let snapshot = store.snapshot().unwrap();
    assert_eq!(
        (snapshot.revision(), snapshot.range(&all()).unwrap().count),
        (1, 0)
    );
}

#[test]
fn applied_index_and_commands_survive_together() {
    let (dir, store) = store();
    let id = |index| EntryId::new(Term(1), Index(index));
    let apply = |store: &Store, index| {
        store.write(|batch| {
            batch.put(&put("a", "1"))?;
            batch.set_applied(id(index))
        })
    };
    apply(&store, 1).unwrap();
    store.sync().unwrap();
    apply(&store, 2).unwrap();
    // A crash: the file as it is now, without what the database would do when it is closed.
    std::fs::copy(
        dir.path().join("store.redb"),
        dir.path().join("crashed.redb"),
    )
    .unwrap();
    let crashed = Store::open(dir.path().join("crashed.redb")).unwrap();
    let snapshot = crashed.snapshot().unwrap();
    let applied = snapshot.applied().unwrap().index.get();
    assert!(applied >= 1, "what was synced is lost");
    assert_eq!(
        snapshot.range(&get("a")).unwrap().kvs[0].version,
        applied as i64
    );
}

#[test]
fn a_dump_restores_everything() {
    let (_dir, store) = store();
    let members = ConfState {
        voters: vec![NodeId::new(1).unwrap()],
        ..ConfState::default()
    };
    store
        .write(|batch| {
            batch.put(&put("a", "1"))?;
            batch.put(&put("b", "1"))?;
            batch.put(&put("a", "2"))?;
            batch.delete_range(&DeleteRangeRequest {
                key: "b".into(),
                ..Default::default()
            })?;
            batch.compact(3)?;
            batch.set_applied(EntryId::new(Term(2), Index(7)))?;
            batch.set_conf_state(&members)?;
            batch.set_member(&Member {
                id: 1,
                name: "one".into(),
                ..Member::default()
            })?;
            batch.remove_member(5)?;
            batch.raise(1, AlarmType::Corrupt)
        })
        .unwrap();
    let mut dump = Vec::new();
    let length = Dump::write(&store.snapshot().unwrap(), |chunk| {
        dump.extend_from_slice(&chunk);
        Ok(())
    });
    assert_eq!(length.unwrap(), dump.len() as u64);
    assert_eq!(dump.len() % 512, 32);
    DumpReader::new(dump.as_slice()).unwrap().verify().unwrap();

    let (_other_dir, other) = self::store();
    other.write(|batch| batch.put(&put("c", "gone"))).unwrap();
    for damaged in [
        &dump[..dump.len() - 1],
        &dump[..dump.len() - 40],
        &dump[..20],
        &[],
    ] {
        other.restore(damaged).unwrap_err();
    }
    for at in (0..dump.len()).step_by(7) {
        let mut damaged = dump.clone();
        damaged[at] ^= 1;
        other.restore(damaged.as_slice()).unwrap_err();
    }
    let kvs = other.snapshot().unwrap().range(&all()).unwrap().kvs;
    assert_eq!(kvs[0].value, "gone", "a damaged dump changes nothing");

    other.restore(dump.as_slice()).unwrap();
    let (one, two) = (store.snapshot().unwrap(), other.snapshot().unwrap());
    assert_eq!(one.hash(0).unwrap(), two.hash(0).unwrap());
    assert_eq!(one.range(&all()).unwrap(), two.range(&all()).unwrap());
    assert_eq!(two.applied().unwrap(), EntryId::new(Term(2), Index(7)));
    assert_eq!(two.conf_state().unwrap(), members);
    assert_eq!(two.members().unwrap(), one.members().unwrap());
    assert_eq!(two.removed().unwrap(), [5]);
    assert_eq!(two.alarms().unwrap().len(), 1);
}

#[test]
fn defragmentation_keeps_everything() {
    let (_dir, store) = store();
    for _ in 0..50 {
        store.write(|batch| batch.put(&put("a", "1"))).unwrap();
    }
    let before = store.snapshot().unwrap().hash(0).unwrap();
    store.defragment().unwrap();
    assert_eq!(store.snapshot().unwrap().hash(0).unwrap(), before);
    assert!(store.file_bytes().unwrap() > 0);
}

/// Few keys, some of which are prefixes of others.
fn key() -> impl Strategy<Value = Bytes> {
    prop::sample::select(vec!["a", "aa", "ab", "b", "c"]).prop_map(Bytes::from)
}

fn end() -> impl Strategy<Value = Bytes> {
    prop::sample::select(vec!["", "", "\0", "ab", "b", "d"]).prop_map(Bytes::from)
}

prop_compose! {
    fn any_range()(
        (key, range_end) in (key(), end()),
        limit in prop::sample::select(vec![0, 0, 1, 2, 10]),
        revision in prop::sample::select(vec![0, 0, 0, 1, 2, 3, 5, 8, 13, 40]),
        (sort_order, sort_target) in (0..3, 0..5),
        (keys_only, count_only) in (any::<bool>(), prop::bool::weighted(0.1)),
        bounds in prop::array::uniform4(prop::sample::select(vec![0, 0, 0, 2, 4, 7])),
    ) -> RangeRequest {
        RangeRequest {
            key, range_end, limit, revision, sort_order, sort_target, keys_only, count_only,
            serializable: false,
            min_mod_revision: bounds[0],
            max_mod_revision: bounds[1],
            min_create_revision: bounds[2],
            max_create_revision: bounds[3],
        }
    }
}

prop_compose! {
    fn any_put()(
        key in key(),
        value in prop::sample::select(vec!["", "x", "y", "z"]),
        lease in prop::sample::select(vec![0, 0, 0, 0, 0, 0, 0, 9]),
        prev_kv in any::<bool>(),
        ignore_value in prop::bool::weighted(0.2),
    ) -> PutRequest {
        PutRequest { key, value: value.into(), lease, prev_kv, ignore_value, ignore_lease: false }
    }
}

prop_compose! {
    fn any_delete()(key in key(), range_end in end()) -> DeleteRangeRequest {
        DeleteRangeRequest { key, range_end, prev_kv: true }
    }
}

fn any_compare() -> impl Strategy<Value = Compare> {
    let union = prop_oneof![
        (0..4i64).prop_map(TargetUnion::Version),
        (0..9i64).prop_map(TargetUnion::CreateRevision),
        (0..9i64).prop_map(TargetUnion::ModRevision),
        prop::sample::select(vec!["", "x", "y"]).prop_map(|value| TargetUnion::Value(value.into())),
        (0..2i64).prop_map(TargetUnion::Lease),
    ];
    (key(), end(), 0..4, union).prop_map(|(key, range_end, result, union)| {
        let target = match union {
            TargetUnion::Version(_) => CompareTarget::Version,
            TargetUnion::CreateRevision(_) => CompareTarget::Create,
            TargetUnion::ModRevision(_) => CompareTarget::Mod,
            TargetUnion::Value(_) => CompareTarget::Value,
            TargetUnion::Lease(_) => CompareTarget::Lease,
        };
        let target = target as i32;
        Compare {
            result,
            target,
            key,
            range_end,
            target_union: Some(union),
        }
    })
}

fn any_op() -> impl Strategy<Value = Request> {
    prop_oneof![
        3 => any_put().prop_map(Request::RequestPut),
        2 => any_range().prop_map(Request::RequestRange),
        1 => any_delete().prop_map(Request::RequestDeleteRange),
    ]
}

fn any_txn() -> impl Strategy<Value = TxnRequest> {
    let compare = || prop::collection::vec(any_compare(), 0..3);
    let ops = || prop::collection::vec(any_op().prop_map(op), 0..3);
    let flat = || {
        let parts = (compare(), ops(), ops());
        parts.prop_map(|(compare, success, failure)| TxnRequest {
            compare,
            success,
            failure,
        })
    };
    (flat(), prop::option::weighted(0.3, flat())).prop_map(|(mut outer, inner)| {
        outer
            .success
            .extend(inner.map(|inner| op(Request::RequestTxn(inner))));
        outer
    })
}

/// A put that keeps a value can only be checked before the transaction if nothing in the same
/// transaction deletes the key: the interface refuses such requests.
fn passes_the_interface(txn: &TxnRequest) -> bool {
    crate::api::check::txn(txn, 128).is_ok()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(80))]

    #[test]
    fn the_store_does_as_its_oracle(
        steps in prop::collection::vec((any_txn(), any_range(), prop::option::weighted(0.1, 0..12i64)), 1..24),
    ) {
        let (_dir, store) = store();
        let mut oracle = Oracle::new();
        for (txn, range, compact) in steps {
            if passes_the_interface(&txn) {
                let expected = oracle.txn(&txn);
                let found = store.write(|batch| match batch.txn(&txn) {
                    Err(StoreError::Refused(refusal)) => Ok(Err(refusal)),
                    result => result.map(Ok),
                });
                let found = found.unwrap();
                if let Ok(response) = &found {
                    prop_assert_eq!(response.header.unwrap().revision, oracle.revision() as i64);
                }
                prop_assert_eq!(found.map(|txn| txn_outcome(&txn)), expected);
            }
            if let Some(revision) = compact {
                let found = store.write(|batch| match batch.compact(revision) {
                    Err(StoreError::Refused(refusal)) => Ok(Err(refusal)),
                    result => result.map(|_| Ok(())),
                });
                prop_assert_eq!(found.unwrap(), oracle.compact(revision));
            }
            let snapshot = store.snapshot().unwrap();
            let found = match snapshot.range(&range) {
                Err(StoreError::Refused(refusal)) => Err(refusal),
                result => Ok(outcome(&Response::ResponseRange(result.unwrap()))),
            };
            prop_assert_eq!(found, oracle.range(&range));
        }
    }
}
