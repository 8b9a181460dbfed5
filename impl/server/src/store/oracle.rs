//! A second store for tests, as simple as possible: the whole map at every revision.

use std::collections::BTreeMap;

use bytes::Bytes;

use super::Refusal;
use crate::api::pb::{
    Compare, CompareResult, CompareTarget, KeyValue, RangeRequest, Request, SortOrder, SortTarget,
    TargetUnion, TxnRequest,
};

type Map = BTreeMap<Bytes, KeyValue>;

/// The maps by revision. The first two stand for the time before the first write.
pub(super) struct Oracle {
    maps: Vec<Map>,
    compacted: usize,
}

/// The result of an operation of a transaction, without headers.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Outcome {
    Range {
        kvs: Vec<KeyValue>,
        count: usize,
        more: bool,
    },
    Put {
        before: Option<KeyValue>,
    },
    Delete {
        before: Vec<KeyValue>,
    },
    Txn {
        succeeded: bool,
        outcomes: Vec<Outcome>,
    },
}

impl Oracle {
    pub(super) fn new() -> Oracle {
        Oracle {
            maps: vec![Map::new(); 2],
            compacted: 0,
        }
    }

    pub(super) fn revision(&self) -> usize {
        self.maps.len() - 1
    }

    fn now(&self) -> &Map {
        &self.maps[self.revision()]
    }

    pub(super) fn range(&self, request: &RangeRequest) -> Result<Outcome, Refusal> {
        self.range_in(self.now(), request)
    }

    fn range_in(&self, now: &Map, request: &RangeRequest) -> Result<Outcome, Refusal> {
        let map = match usize::try_from(request.revision).unwrap_or(0) {
            0 => now,
            at if at > self.revision() => return Err(Refusal::FutureRevision),
            at if at < self.compacted => return Err(Refusal::Compacted),
            // Even in a transaction that has written: its own changes are of the next revision.
            at => &self.maps[at],
        };
        let mut kvs: Vec<KeyValue> = map
            .values()
            .filter(|kv| inside(&kv.key, &request.key, &request.range_end))
            .cloned()
            .collect();
        let count = kvs.len();
        let (min, max) = (request.min_mod_revision, request.max_mod_revision);
        kvs.retain(|kv| kv.mod_revision >= min && (max == 0 || kv.mod_revision <= max));
        let (min, max) = (request.min_create_revision, request.max_create_revision);
        kvs.retain(|kv| kv.create_revision >= min && (max == 0 || kv.create_revision <= max));
        let limit = if request.limit > 0 {
            request.limit as usize
        } else {
            usize::MAX
        };
        let plain = request.sort_order() == SortOrder::None
            && [request.min_mod_revision, request.max_mod_revision] == [0, 0]
            && [request.min_create_revision, request.max_create_revision] == [0, 0];
        if plain {
            kvs.truncate(limit.saturating_add(1));
        }
        match request.sort_target() {
            SortTarget::Key => {}
            SortTarget::Version => kvs.sort_by_key(|kv| kv.version),
            SortTarget::Create => kvs.sort_by_key(|kv| kv.create_revision),
            SortTarget::Mod => kvs.sort_by_key(|kv| kv.mod_revision),
            SortTarget::Value => kvs.sort_by(|one, other| one.value.cmp(&other.value)),
        }
        if request.sort_order() == SortOrder::Descend {
            kvs.reverse();
        }
        if request.count_only {
            kvs.clear();
        }
        let more = kvs.len() > limit;
        kvs.truncate(limit);
        if request.keys_only {
            kvs.iter_mut().for_each(|kv| kv.value.clear());
        }
        Ok(Outcome::Range { kvs, count, more })
    }

    /// Carries out one command; a single operation is a transaction without conditions.
    pub(super) fn txn(&mut self, request: &TxnRequest) -> Result<Outcome, Refusal> {
        let before = self.now().clone();
        let mut after = before.clone();
        let mut changed = false;
        let outcome = self.run(&before, &mut after, &mut changed, request)?;
        if changed {
            self.maps.push(after);
        }
        Ok(outcome)
    }

    fn run(
        &self,
        before: &Map,
        now: &mut Map,
        changed: &mut bool,
        request: &TxnRequest,
    ) -> Result<Outcome, Refusal> {
        let succeeded = request.compare.iter().all(|compare| holds(before, compare));
        let ops = if succeeded {
            &request.success
        } else {
            &request.failure
        };
        let mut outcomes = Vec::new();
        let revision = self.revision() as i64 + 1;
        for op in ops {
            outcomes.push(match op.request.as_ref().unwrap() {
                Request::RequestRange(range) => self.range_in(now, range)?,
                Request::RequestPut(put) => {
                    if put.ignore_value && !before.contains_key(&put.key) {
                        return Err(Refusal::KeyNotFound);
                    }
                    if put.lease != 0 {
                        return Err(Refusal::LeaseNotFound);
                    }
                    *changed = true;
                    let old = now.get(&put.key).cloned();
                    let mut kv = KeyValue {
                        key: put.key.clone(),
                        value: put.value.clone(),
                        create_revision: revision,
                        mod_revision: revision,
                        version: 1,
                        lease: 0,
                    };
                    if let Some(old) = &old {
                        kv.create_revision = old.create_revision;
                        kv.version = old.version + 1;
                        if put.ignore_value {
                            kv.value = old.value.clone();
                        }
                    }
                    now.insert(put.key.clone(), kv);
                    Outcome::Put {
                        before: old.filter(|_| put.prev_kv),
                    }
                }
                Request::RequestDeleteRange(delete) => {
                    let keys: Vec<Bytes> = now
                        .keys()
                        .filter(|key| inside(key, &delete.key, &delete.range_end))
                        .cloned()
                        .collect();
                    let before = keys
                        .iter()
                        .filter_map(|key| now.remove(key))
                        .collect::<Vec<_>>();
                    *changed |= !before.is_empty();
                    Outcome::Delete { before }
                }
                Request::RequestTxn(inner) => self.run(before, now, changed, inner)?,
            });
        }
        Ok(Outcome::Txn {
            succeeded,
            outcomes,
        })
    }

    pub(super) fn compact(&mut self, revision: i64) -> Result<(), Refusal> {
        let at = usize::try_from(revision).unwrap_or(0);
        if at <= self.compacted {
            return Err(Refusal::Compacted);
        }
        if at > self.revision() {
            return Err(Refusal::FutureRevision);
        }
        self.compacted = at;
        Ok(())
    }
}

fn inside(key: &[u8], from: &[u8], to: &[u8]) -> bool {
    match to {
        b"" => key == from,
        b"\0" => key >= from,
        to => key >= from && key < to,
    }
}

fn holds(map: &Map, compare: &Compare) -> bool {
    let kvs: Vec<&KeyValue> = map
        .values()
        .filter(|kv| inside(&kv.key, &compare.key, &compare.range_end))
        .collect();
    let absent = KeyValue::default();
    if kvs.is_empty() {
        return compare.target() != CompareTarget::Value && holds_one(&absent, compare);
    }
    kvs.iter().all(|kv| holds_one(kv, compare))
}

fn holds_one(kv: &KeyValue, compare: &Compare) -> bool {
    let order = match compare.target_union.as_ref().unwrap() {
        TargetUnion::Version(other) => kv.version.cmp(other),
        TargetUnion::CreateRevision(other) => kv.create_revision.cmp(other),
        TargetUnion::ModRevision(other) => kv.mod_revision.cmp(other),
        TargetUnion::Lease(other) => kv.lease.cmp(other),
        TargetUnion::Value(other) => kv.value.cmp(other),
    };
    match compare.result() {
        CompareResult::Equal => order.is_eq(),
        CompareResult::NotEqual => order.is_ne(),
        CompareResult::Greater => order.is_gt(),
        CompareResult::Less => order.is_lt(),
    }
}
