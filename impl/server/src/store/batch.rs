//! Writes: one transaction of the database for a batch of applied entries.

use lockstep_raft::{ConfState, EntryId, Index, Term, wire};
use prost::Message as _;
use redb::{ReadableTable, Table, WriteTransaction};

use super::error::{Refusal, Result, StoreError};
use super::meta;
use super::span::Span;
use super::tables::{
    ALARMS, INDEX, LATEST, MEMBERS, META, REMOVED, REVISIONS, Record, Revision, signed,
};
use super::txn::{self, Path};
use super::view::{Reads, View, WriteView};
use crate::api::pb::{
    AlarmMember, AlarmType, CompactionResponse, DeleteRangeRequest, DeleteRangeResponse, KeyValue,
    Member, PutRequest, PutResponse, Request, Response, ResponseHeader, TxnRequest, TxnResponse,
};
use crate::log::Identity;

/// A batch of changes that becomes visible, and durable, as a whole.
pub struct Batch<'t> {
    pub(super) keys: Keys<'t>,
    pub(super) meta: Table<'t, &'static str, &'static [u8]>,
    pub(super) members: Table<'t, u64, &'static [u8]>,
    pub(super) removed: Table<'t, u64, ()>,
    pub(super) alarms: Table<'t, (u64, i32), ()>,
}

/// The keys, and the place of the next change.
pub(super) struct Keys<'t> {
    pub(super) view: WriteView<'t>,
    /// Changes of the command that is being carried out.
    changes: u64,
}

impl Reads for Keys<'_> {
    fn revision(&self) -> u64 {
        self.view.revision
    }

    fn compacted(&self) -> u64 {
        self.view.compacted
    }

    fn get(&self, key: &[u8]) -> Result<Option<KeyValue>> {
        self.view.get(key)
    }

    fn scan(&self, span: &Span, at: u64, limit: usize) -> Result<super::range::Page> {
        self.view.scan(span, at, limit)
    }
}

impl Keys<'_> {
    /// The revision of the next change. All changes of one command have the same main revision, and
    /// from the first one on the command itself sees it.
    fn next(&mut self) -> Revision {
        if self.changes == 0 {
            self.view.revision += 1;
        }
        self.changes += 1;
        (self.view.revision, self.changes - 1)
    }

    /// Stores one change at a given revision.
    pub(super) fn record(&mut self, at: Revision, record: &Record) -> Result<()> {
        let key = record.key().as_ref();
        self.view.revisions.insert(at, record.encode().as_slice())?;
        match record {
            Record::Put(_) => {
                self.view.index.insert((key, at.0, at.1), false)?;
                self.view.latest.insert(key, at)?;
            }
            Record::Delete(_) => {
                self.view.index.insert((key, at.0, at.1), true)?;
                self.view.latest.remove(key)?;
            }
        }
        Ok(())
    }

    fn put(&mut self, request: &PutRequest) -> Result<PutResponse> {
        let before = self.view.get(&request.key)?;
        let at = self.next();
        let kept = |keep: bool| before.as_ref().filter(|_| keep);
        let kv = KeyValue {
            key: request.key.clone(),
            create_revision: before
                .as_ref()
                .map_or(signed(at.0), |kv| kv.create_revision),
            mod_revision: signed(at.0),
            version: before.as_ref().map_or(0, |kv| kv.version) + 1,
            value: kept(request.ignore_value)
                .map_or(&request.value, |kv| &kv.value)
                .clone(),
            lease: kept(request.ignore_lease).map_or(request.lease, |kv| kv.lease),
        };
        self.record(at, &Record::Put(kv))?;
        Ok(PutResponse {
            header: self.header(),
            prev_kv: before.filter(|_| request.prev_kv),
        })
    }

    fn delete_range(&mut self, request: &DeleteRangeRequest) -> Result<DeleteRangeResponse> {
        let span = Span::new(&request.key, &request.range_end);
        let page = self.view.scan(&span, self.view.revision, usize::MAX)?;
        for kv in &page.kvs {
            let at = self.next();
            self.record(at, &Record::Delete(kv.key.clone()))?;
        }
        Ok(DeleteRangeResponse {
            header: self.header(),
            deleted: i64::try_from(page.kvs.len()).unwrap_or(i64::MAX),
            prev_kvs: if request.prev_kv {
                page.kvs
            } else {
                Vec::new()
            },
        })
    }

    fn header(&self) -> Option<ResponseHeader> {
        let revision = signed(self.view.revision);
        Some(ResponseHeader {
            revision,
            ..ResponseHeader::default()
        })
    }

    /// Drops what no read at `revision` or later needs.
    fn discard(&mut self, revision: u64) -> Result<()> {
        let mut victims = Vec::new();
        // The versions up to the revision of the key that the scan is at: only the last one is
        // needed, and not even that if it is a deletion.
        let mut last: Option<(Vec<u8>, Revision, bool)> = None;
        for entry in self.view.index.iter()? {
            let (version, deleted) = entry?;
            let (key, main, sub) = version.value();
            if main > revision {
                continue;
            }
            let next = (key.to_vec(), (main, sub), deleted.value());
            if let Some((before, at, deleted)) = last.replace(next)
                && (deleted || before == key)
            {
                victims.push((before, at));
            }
        }
        if let Some((key, at, true)) = last {
            victims.push((key, at));
        }
        for (key, at) in victims {
            self.view.index.remove((key.as_slice(), at.0, at.1))?;
            self.view.revisions.remove(at)?;
        }
        Ok(())
    }
}

impl<'t> Batch<'t> {
    pub(super) fn open(txn: &'t WriteTransaction) -> Result<Batch<'t>> {
        let meta = txn.open_table(META)?;
        let view = View {
            latest: txn.open_table(LATEST)?,
            index: txn.open_table(INDEX)?,
            revisions: txn.open_table(REVISIONS)?,
            revision: meta::number(&meta, meta::REVISION)?.unwrap_or(1),
            compacted: meta::number(&meta, meta::COMPACTED)?.unwrap_or(0),
        };
        Ok(Batch {
            keys: Keys { view, changes: 0 },
            meta,
            members: txn.open_table(MEMBERS)?,
            removed: txn.open_table(REMOVED)?,
            alarms: txn.open_table(ALARMS)?,
        })
    }

    /// Writes down the numbers that changed.
    pub(super) fn close(mut self) -> Result<()> {
        let numbers = [
            (meta::REVISION, self.keys.view.revision),
            (meta::COMPACTED, self.keys.view.compacted),
        ];
        for (name, number) in numbers {
            self.meta.insert(name, number.to_be_bytes().as_slice())?;
        }
        Ok(())
    }

    /// The main revision of the last write.
    pub fn revision(&self) -> i64 {
        signed(self.keys.view.revision)
    }

    fn header(&self) -> Option<ResponseHeader> {
        self.keys.header()
    }

    /// Carries out a put.
    ///
    /// # Errors
    /// [`Refusal::KeyNotFound`], [`Refusal::LeaseNotFound`], [`Refusal::NoSpace`]; a failure of the database.
    pub fn put(&mut self, request: &PutRequest) -> Result<PutResponse> {
        self.check_space()?;
        txn::check_put(&self.keys, request)?;
        self.keys.changes = 0;
        self.keys.put(request)
    }

    /// Carries out a delete.
    ///
    /// # Errors
    /// A failure of the database.
    pub fn delete_range(&mut self, request: &DeleteRangeRequest) -> Result<DeleteRangeResponse> {
        self.keys.changes = 0;
        self.keys.delete_range(request)
    }

    /// Carries out a transaction.
    ///
    /// # Errors
    /// The [`Refusal`] of any operation on its path, and nothing changes; a failure of the database.
    pub fn txn(&mut self, request: &TxnRequest) -> Result<TxnResponse> {
        if writes_values(request) {
            self.check_space()?;
        }
        let path = Path::choose(&self.keys, request)?;
        path.check(&self.keys, request)?;
        self.keys.changes = 0;
        let mut response = path.run(
            &mut self.keys,
            request,
            &mut |keys, request| match request {
                Request::RequestPut(put) => Ok(Response::ResponsePut(keys.put(put)?)),
                Request::RequestDeleteRange(delete) => {
                    Ok(Response::ResponseDeleteRange(keys.delete_range(delete)?))
                }
                Request::RequestRange(_) | Request::RequestTxn(_) => {
                    Err(StoreError::corrupt("a read among the writes"))
                }
            },
        )?;
        response.header = self.header();
        Ok(response)
    }

    /// Discards the versions that no read at `revision` or later needs.
    ///
    /// # Errors
    /// [`Refusal::Compacted`], [`Refusal::FutureRevision`]; a failure of the database.
    pub fn compact(&mut self, revision: i64) -> Result<CompactionResponse> {
        let at = u64::try_from(revision).unwrap_or(0);
        if at <= self.keys.view.compacted {
            return Err(Refusal::Compacted.into());
        }
        if at > self.keys.view.revision {
            return Err(Refusal::FutureRevision.into());
        }
        self.keys.discard(at)?;
        self.keys.view.compacted = at;
        Ok(CompactionResponse {
            header: self.header(),
        })
    }

    pub(super) fn set_identity(&mut self, identity: Identity) -> Result<()> {
        let Identity { cluster, member } = identity;
        self.meta
            .insert(meta::CLUSTER, cluster.to_be_bytes().as_slice())?;
        self.meta
            .insert(meta::MEMBER, member.to_be_bytes().as_slice())?;
        Ok(())
    }

    /// Sets the entry up to which everything is applied.
    ///
    /// # Errors
    /// A failure of the database.
    pub fn set_applied(&mut self, applied: EntryId) -> Result<()> {
        self.meta.insert(
            meta::APPLIED_INDEX,
            applied.index.get().to_be_bytes().as_slice(),
        )?;
        self.meta.insert(
            meta::APPLIED_TERM,
            applied.term.get().to_be_bytes().as_slice(),
        )?;
        Ok(())
    }

    /// The entry up to which everything is applied.
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

    /// Sets the configuration of the group.
    ///
    /// # Errors
    /// A failure of the database.
    pub fn set_conf_state(&mut self, conf_state: &ConfState) -> Result<()> {
        self.meta
            .insert(meta::CONF_STATE, wire::encode(conf_state).as_ref())?;
        Ok(())
    }

    /// Adds a member, or replaces its attributes.
    ///
    /// # Errors
    /// A failure of the database.
    pub fn set_member(&mut self, member: &Member) -> Result<()> {
        self.members
            .insert(member.id, member.encode_to_vec().as_slice())?;
        Ok(())
    }

    /// The member with this id.
    ///
    /// # Errors
    /// A failure of the database.
    pub fn member(&self, id: u64) -> Result<Option<Member>> {
        let bytes = self.members.get(id)?;
        bytes
            .map(|bytes| Member::decode(bytes.value()).map_err(StoreError::corrupt))
            .transpose()
    }

    /// All members.
    ///
    /// # Errors
    /// A failure of the database.
    pub fn members(&self) -> Result<Vec<Member>> {
        meta::members(&self.members)
    }

    /// Removes a member for good: its id never comes back.
    ///
    /// # Errors
    /// A failure of the database.
    pub fn remove_member(&mut self, id: u64) -> Result<()> {
        self.members.remove(id)?;
        self.removed.insert(id, ())?;
        Ok(())
    }

    /// Returns whether a member was removed.
    ///
    /// # Errors
    /// A failure of the database.
    pub fn is_removed(&self, id: u64) -> Result<bool> {
        Ok(self.removed.get(id)?.is_some())
    }

    /// Raises an alarm of a member.
    ///
    /// # Errors
    /// A failure of the database.
    pub fn raise(&mut self, member: u64, alarm: AlarmType) -> Result<()> {
        self.alarms.insert((member, alarm as i32), ())?;
        Ok(())
    }

    /// Clears the alarms of this kind (all kinds: `None`) of a member (of all members: zero), and
    /// returns them.
    ///
    /// # Errors
    /// A failure of the database.
    pub fn clear(&mut self, member: u64, alarm: AlarmType) -> Result<Vec<AlarmMember>> {
        let mut alarms = meta::alarms(&self.alarms)?;
        alarms.retain(|raised| {
            (member == 0 || raised.member_id == member)
                && (alarm == AlarmType::None || raised.alarm == alarm as i32)
        });
        for raised in &alarms {
            self.alarms.remove((raised.member_id, raised.alarm))?;
        }
        Ok(alarms)
    }

    fn check_space(&self) -> Result<()> {
        let alarms = meta::alarms(&self.alarms)?;
        match alarms
            .iter()
            .any(|raised| raised.alarm == AlarmType::Nospace as i32)
        {
            true => Err(Refusal::NoSpace.into()),
            false => Ok(()),
        }
    }
}

/// Whether any path of a transaction has a put.
pub fn writes_values(request: &TxnRequest) -> bool {
    let mut ops = request.success.iter().chain(&request.failure);
    ops.any(|op| match &op.request {
        Some(Request::RequestPut(_)) => true,
        Some(Request::RequestTxn(inner)) => writes_values(inner),
        _ => false,
    })
}
