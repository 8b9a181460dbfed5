//! The state of the store as of one moment, to be read while writes go on.

use lockstep_raft::{ConfState, EntryId, Index, Term, wire};
use redb::{ReadOnlyTable, ReadTransaction, ReadableTable};

use super::error::{Result, StoreError};
use super::meta;
use super::tables::{ALARMS, INDEX, LATEST, MEMBERS, META, REMOVED, REVISIONS, Revision, signed};
use super::txn::Path;
use super::view::{Reads, View};
use crate::api::pb::{
    AlarmMember, Member, RangeRequest, RangeResponse, ResponseHeader, TxnRequest, TxnResponse,
};
use crate::log::Identity;

type ReadView = View<
    ReadOnlyTable<&'static [u8], Revision>,
    ReadOnlyTable<(&'static [u8], u64, u64), bool>,
    ReadOnlyTable<Revision, &'static [u8]>,
>;

/// A consistent state of the whole store.
pub struct Snapshot {
    pub(super) view: ReadView,
    pub(super) meta: ReadOnlyTable<&'static str, &'static [u8]>,
    pub(super) members: ReadOnlyTable<u64, &'static [u8]>,
    pub(super) removed: ReadOnlyTable<u64, ()>,
    pub(super) alarms: ReadOnlyTable<(u64, i32), ()>,
}

/// Hashes of the store at a revision.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Hash {
    /// The hash.
    pub hash: u32,
    /// The revision up to which it was taken.
    pub revision: i64,
    /// The last compaction: hashes are comparable only if it is the same.
    pub compacted: i64,
}

impl Snapshot {
    pub(super) fn open(txn: &ReadTransaction) -> Result<Snapshot> {
        let meta = txn.open_table(META)?;
        let view = View {
            latest: txn.open_table(LATEST)?,
            index: txn.open_table(INDEX)?,
            revisions: txn.open_table(REVISIONS)?,
            revision: meta::number(&meta, meta::REVISION)?.unwrap_or(1),
            compacted: meta::number(&meta, meta::COMPACTED)?.unwrap_or(0),
        };
        Ok(Snapshot {
            view,
            meta,
            members: txn.open_table(MEMBERS)?,
            removed: txn.open_table(REMOVED)?,
            alarms: txn.open_table(ALARMS)?,
        })
    }

    /// The main revision of the last write.
    pub fn revision(&self) -> i64 {
        signed(self.view.revision)
    }

    /// The main revision of the last compaction, zero if there was none.
    pub fn compacted(&self) -> i64 {
        signed(self.view.compacted)
    }

    /// Answers a range request.
    ///
    /// # Errors
    /// A revision that is compacted or not there yet; a failure of the database.
    pub fn range(&self, request: &RangeRequest) -> Result<RangeResponse> {
        self.view.range(request)
    }

    /// Answers a transaction that only reads.
    ///
    /// # Errors
    /// As [`range`](Snapshot::range), and for a transaction that writes.
    pub fn txn(&mut self, request: &TxnRequest) -> Result<TxnResponse> {
        let path = Path::choose(&self.view, request)?;
        path.check(&self.view, request)?;
        let mut response = path.run(&mut self.view, request, &mut |_, _| {
            Err(StoreError::corrupt(
                "a write in a transaction that only reads",
            ))
        })?;
        let revision = self.revision();
        response.header = Some(ResponseHeader {
            revision,
            ..ResponseHeader::default()
        });
        Ok(response)
    }

    /// The entry of the log up to which everything is applied.
    ///
    /// # Errors
    /// A failure of the database.
    pub fn applied(&self) -> Result<EntryId> {
        let number = |name| Ok::<u64, StoreError>(meta::number(&self.meta, name)?.unwrap_or(0));
        Ok(EntryId::new(
            Term(number(meta::APPLIED_TERM)?),
            Index(number(meta::APPLIED_INDEX)?),
        ))
    }

    /// The owner of the store, `None` if that was never set.
    ///
    /// # Errors
    /// A failure of the database.
    pub fn identity(&self) -> Result<Option<Identity>> {
        meta::identity(&self.meta)
    }

    /// The configuration of the group as of [`applied`](Snapshot::applied).
    ///
    /// # Errors
    /// A failure of the database.
    pub fn conf_state(&self) -> Result<ConfState> {
        match self.meta.get(meta::CONF_STATE)? {
            Some(bytes) => wire::decode(bytes::Bytes::copy_from_slice(bytes.value()))
                .map_err(StoreError::corrupt),
            None => Ok(ConfState::default()),
        }
    }

    /// All members in ascending order of their ids.
    ///
    /// # Errors
    /// A failure of the database.
    pub fn members(&self) -> Result<Vec<Member>> {
        meta::members(&self.members)
    }

    /// The ids of the members that were removed.
    ///
    /// # Errors
    /// A failure of the database.
    pub fn removed(&self) -> Result<Vec<u64>> {
        self.removed
            .iter()?
            .map(|entry| Ok(entry?.0.value()))
            .collect()
    }

    /// The alarms that are raised.
    ///
    /// # Errors
    /// A failure of the database.
    pub fn alarms(&self) -> Result<Vec<AlarmMember>> {
        meta::alarms(&self.alarms)
    }

    /// Hashes all versions up to a revision (zero: all of them). The hash is that of servers of this
    /// kind, and another one than etcd's.
    ///
    /// # Errors
    /// A revision that is compacted or not there yet; a failure of the database.
    pub fn hash(&self, revision: i64) -> Result<Hash> {
        let at = self.view.readable(revision)?;
        let mut hash = crc32c::crc32c(&self.view.compacted.to_be_bytes());
        for entry in self.view.revisions.range(..=(at, u64::MAX))? {
            let (revision, record) = entry?;
            let (main, sub) = revision.value();
            hash = crc32c::crc32c_append(hash, &main.to_be_bytes());
            hash = crc32c::crc32c_append(hash, &sub.to_be_bytes());
            hash = crc32c::crc32c_append(hash, record.value());
        }
        Ok(Hash {
            hash,
            revision: signed(at),
            compacted: self.compacted(),
        })
    }
}
