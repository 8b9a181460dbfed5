//! The tables of the database, and the encoding of their values.
//!
//! | table | key | value |
//! | --- | --- | --- |
//! | `revisions` | main and sub revision | the key as it was written then, or that it was deleted |
//! | `index` | key, main and sub revision | whether that version is a deletion |
//! | `latest` | key that exists now | main and sub revision of its last write |
//! | `meta` | name | applied index, configuration, revision, last compaction, identity |
//! | `members`, `removed`, `alarms` | member | as the name says |
//!
//! `index` and `latest` follow from `revisions`.

use bytes::Bytes;
use prost::Message as _;
use redb::TableDefinition;

use super::error::{Result, StoreError};
use crate::api::pb::KeyValue;

/// A main and a sub revision: the number of the write, and the number of the change within it.
pub(super) type Revision = (u64, u64);

pub(super) const REVISIONS: TableDefinition<'static, Revision, &[u8]> =
    TableDefinition::new("revisions");
pub(super) const INDEX: TableDefinition<'static, (&[u8], u64, u64), bool> =
    TableDefinition::new("index");
pub(super) const LATEST: TableDefinition<'static, &[u8], Revision> = TableDefinition::new("latest");
pub(super) const META: TableDefinition<'static, &str, &[u8]> = TableDefinition::new("meta");
pub(super) const MEMBERS: TableDefinition<'static, u64, &[u8]> = TableDefinition::new("members");
pub(super) const REMOVED: TableDefinition<'static, u64, ()> = TableDefinition::new("removed");
pub(super) const ALARMS: TableDefinition<'static, (u64, i32), ()> = TableDefinition::new("alarms");

/// One change of one key.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Record {
    /// The key was written.
    Put(KeyValue),
    /// The key was deleted.
    Delete(Bytes),
}

impl Record {
    pub(super) fn key(&self) -> &Bytes {
        match self {
            Record::Put(kv) => &kv.key,
            Record::Delete(key) => key,
        }
    }

    pub(super) fn encode(&self) -> Vec<u8> {
        match self {
            Record::Put(kv) => {
                let mut bytes = Vec::with_capacity(1 + kv.encoded_len());
                bytes.push(0);
                bytes.extend(kv.encode_to_vec());
                bytes
            }
            Record::Delete(key) => [&[1], key.as_ref()].concat(),
        }
    }

    pub(super) fn decode(bytes: &[u8]) -> Result<Record> {
        match bytes.split_first() {
            Some((0, kv)) => match KeyValue::decode(kv) {
                Ok(kv) => Ok(Record::Put(kv)),
                Err(error) => Err(StoreError::corrupt(error)),
            },
            Some((1, key)) => Ok(Record::Delete(Bytes::copy_from_slice(key))),
            _ => Err(StoreError::corrupt("a version of unknown kind")),
        }
    }
}

/// Checks a main revision for the wire, where it is signed.
pub(super) fn signed(revision: u64) -> i64 {
    // Far beyond what any cluster writes; the largest one is as good as any.
    i64::try_from(revision).unwrap_or(i64::MAX)
}
