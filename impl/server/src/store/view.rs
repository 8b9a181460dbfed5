//! Reads of the store, in a transaction of either kind.

use std::ops::Bound;

use redb::{ReadableTable, Table};

use super::error::{Refusal, Result, StoreError};
use super::range::{self, Page};
use super::span::Span;
use super::tables::{Record, Revision, signed};
use crate::api::pb::{KeyValue, RangeRequest, RangeResponse};

/// The store as of one moment.
pub(super) struct View<L, I, R> {
    pub(super) latest: L,
    pub(super) index: I,
    pub(super) revisions: R,
    /// The main revision of the last write.
    pub(super) revision: u64,
    /// The main revision of the last compaction, zero if there was none.
    pub(super) compacted: u64,
}

/// The view of a transaction that writes.
pub(super) type WriteView<'t> = View<
    Table<'t, &'static [u8], Revision>,
    Table<'t, (&'static [u8], u64, u64), bool>,
    Table<'t, Revision, &'static [u8]>,
>;

/// Answers to questions about keys.
pub(super) trait Reads {
    /// The main revision of the last write.
    fn revision(&self) -> u64;
    /// The main revision of the last compaction, zero if there was none.
    fn compacted(&self) -> u64;
    /// The current version of one key.
    fn get(&self, key: &[u8]) -> Result<Option<KeyValue>>;
    /// The keys of a span as of a revision, `limit` of them at most, and their number without limit.
    fn scan(&self, span: &Span, at: u64, limit: usize) -> Result<Page>;

    /// Checks that a revision can be read, and turns zero and less into the current one.
    fn readable(&self, revision: i64) -> Result<u64> {
        match u64::try_from(revision).unwrap_or(0) {
            0 => Ok(self.revision()),
            at if at > self.revision() => Err(Refusal::FutureRevision.into()),
            at if at < self.compacted() => Err(Refusal::Compacted.into()),
            at => Ok(at),
        }
    }

    /// Answers a range request.
    fn range(&self, request: &RangeRequest) -> Result<RangeResponse> {
        let at = self.readable(request.revision)?;
        let span = Span::new(&request.key, &request.range_end);
        let page = self.scan(&span, at, range::scan_limit(request))?;
        Ok(range::answer(request, page, signed(self.revision())))
    }
}

impl<L, I, R> View<L, I, R>
where
    L: ReadableTable<&'static [u8], Revision>,
    I: ReadableTable<(&'static [u8], u64, u64), bool>,
    R: ReadableTable<Revision, &'static [u8]>,
{
    /// The key as it was written at a revision.
    fn version(&self, at: Revision) -> Result<KeyValue> {
        let bytes = self.revisions.get(at)?;
        match bytes
            .map(|bytes| Record::decode(bytes.value()))
            .transpose()?
        {
            Some(Record::Put(kv)) => Ok(kv),
            Some(Record::Delete(_)) | None => {
                let (main, sub) = at;
                Err(StoreError::corrupt(format!(
                    "no value of revision {main}/{sub}"
                )))
            }
        }
    }

    fn scan_latest(&self, span: &Span, limit: usize) -> Result<Page> {
        let mut page = Page::default();
        for entry in self.latest.range::<&[u8]>(span.bounds())? {
            page.count += 1;
            if page.kvs.len() < limit {
                page.kvs.push(self.version(entry?.1.value())?);
            }
        }
        Ok(page)
    }

    fn scan_history(&self, span: &Span, at: u64, limit: usize) -> Result<Page> {
        let mut page = Page::default();
        // The last version so far of the key that the scan is at, if that is no deletion.
        let mut found: Option<(Vec<u8>, Option<Revision>)> = None;
        let close = |page: &mut Page, version: Option<Revision>| -> Result<()> {
            let Some(version) = version else {
                return Ok(());
            };
            page.count += 1;
            if page.kvs.len() < limit {
                page.kvs.push(self.version(version)?);
            }
            Ok(())
        };
        for entry in self
            .index
            .range::<(&[u8], u64, u64)>(span.version_bounds())?
        {
            let (key, deleted) = entry?;
            let (key, main, sub) = key.value();
            if main > at {
                continue;
            }
            let version = (!deleted.value()).then_some((main, sub));
            match &mut found {
                Some((before, found)) if before == key => *found = version,
                _ => {
                    let before = found.replace((key.to_vec(), version));
                    close(&mut page, before.and_then(|(_, version)| version))?;
                }
            }
        }
        close(&mut page, found.and_then(|(_, version)| version))?;
        Ok(page)
    }
}

impl<L, I, R> Reads for View<L, I, R>
where
    L: ReadableTable<&'static [u8], Revision>,
    I: ReadableTable<(&'static [u8], u64, u64), bool>,
    R: ReadableTable<Revision, &'static [u8]>,
{
    fn revision(&self) -> u64 {
        self.revision
    }

    fn compacted(&self) -> u64 {
        self.compacted
    }

    fn get(&self, key: &[u8]) -> Result<Option<KeyValue>> {
        let at = self.latest.get(key)?.map(|at| at.value());
        at.map(|at| self.version(at)).transpose()
    }

    fn scan(&self, span: &Span, at: u64, limit: usize) -> Result<Page> {
        if span.is_empty() {
            return Ok(Page::default());
        }
        if at >= self.revision {
            return self.scan_latest(span, limit);
        }
        let Span::Key(key) = span else {
            return self.scan_history(span, at, limit);
        };
        // One key: its last version is found from behind.
        let key = key.as_ref();
        let bounds = (
            Bound::Included((key, 0, 0)),
            Bound::Included((key, at, u64::MAX)),
        );
        let mut page = Page::default();
        if let Some(entry) = self.index.range::<(&[u8], u64, u64)>(bounds)?.next_back() {
            let (version, deleted) = entry?;
            let (_, main, sub) = version.value();
            if !deleted.value() {
                page.count = 1;
                page.kvs
                    .extend((limit > 0).then(|| self.version((main, sub))).transpose()?);
            }
        }
        Ok(page)
    }
}
