//! From the batches of all segments to the state that they leave.

use std::collections::VecDeque;

use lockstep_raft::{Entry, EntryId, HardState, Index, Term};

use crate::Metadata;
use crate::record::{Record, SnapshotMark};
use crate::spans::Spans;

/// The limit of Raft on indexes: with it no arithmetic on them overflows.
pub(crate) const MAX_INDEX: Index = Index(u64::MAX / 2);

fn bounded(index: Index) -> Result<(), String> {
    match index <= MAX_INDEX {
        true => Ok(()),
        false => Err(format!("index {index} is too large")),
    }
}

/// The state after the batches so far.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Replay {
    pub metadata: Option<Metadata>,
    pub hard_state: HardState,
    pub snapshot: Option<SnapshotMark>,
    pub spans: Spans,
    /// The last entry that is not held. Its term is zero if it is not known: then a snapshot has
    /// to cover it.
    base: EntryId,
    // Invariant: the indexes are consecutive and follow `base`.
    entries: VecDeque<Entry>,
}

impl Replay {
    /// The first batch of a segment: the state at its beginning. It is news in the first segment only.
    pub(crate) fn begin(&mut self, sequence: u64, records: Vec<Record>) -> Result<(), String> {
        self.spans.begin(sequence);
        let is_first = self.spans.len() == 1;
        for record in records {
            match record {
                Record::Metadata(metadata) => {
                    if *self.metadata.get_or_insert(metadata) != metadata {
                        return Err(format!("the segment belongs to {metadata}"));
                    }
                }
                Record::HardState(_) | Record::Snapshot(_) | Record::Last(_) if !is_first => {}
                Record::HardState(hard_state) => self.hard_state = hard_state,
                Record::Snapshot(mark) => {
                    bounded(mark.id.index)?;
                    self.snapshot = Some(mark);
                }
                Record::Last(last) => {
                    bounded(last.index)?;
                    self.base = last;
                }
                _ => return Err("the segment begins with a write and not with its owner".into()),
            }
        }
        match self.metadata {
            Some(_) => Ok(()),
            None => Err("the segment does not name its owner".into()),
        }
    }

    /// Any other batch: one write.
    pub(crate) fn write(&mut self, records: Vec<Record>) -> Result<(), String> {
        for record in records {
            match record {
                Record::HardState(hard_state) => self.hard_state = hard_state,
                Record::Snapshot(mark) => {
                    bounded(mark.id.index)?;
                    if mark.installed {
                        self.entries.clear();
                        self.base = mark.id;
                        self.spans.clear();
                    }
                    self.snapshot = Some(mark);
                }
                Record::Entry(entry) => self.append(entry)?,
                Record::Opened(_) => {}
                _ => return Err("a write that begins a segment".into()),
            }
        }
        Ok(())
    }

    fn append(&mut self, entry: Entry) -> Result<(), String> {
        let (index, last) = (entry.index, self.last());
        if index.is_zero() || index > last.next() {
            return Err(format!("entry {index} follows entry {last}"));
        }
        if index <= self.base.index {
            // What it replaces lies before the segments that are left, behind a snapshot.
            self.base = EntryId::new(Term::ZERO, index.prev());
        }
        let held = index - self.base.index.next();
        self.entries.truncate(held as usize);
        self.entries.push_back(entry);
        self.spans.append(index, index);
        Ok(())
    }

    fn last(&self) -> Index {
        self.base.index + self.entries.len() as u64
    }

    /// The entries behind the snapshot.
    ///
    /// # Errors
    /// Entries are missing, or the snapshot is of another entry than the log has.
    pub(crate) fn into_entries(mut self) -> Result<Vec<Entry>, String> {
        let snapshot = self.snapshot.map_or(EntryId::ZERO, |mark| mark.id);
        let (first, last) = (self.base.index.next(), self.last());
        if snapshot.index < self.base.index || snapshot.index > last {
            let snapshot = snapshot.index;
            return Err(format!(
                "the log has entries {first} to {last} and the snapshot is of entry {snapshot}"
            ));
        }
        let covered = (snapshot.index - self.base.index) as usize;
        let found = match covered.checked_sub(1) {
            Some(position) => self.entries[position].id(),
            None if self.base.term.is_zero() => snapshot,
            None => self.base,
        };
        if found != snapshot {
            let (one, other) = (found.term, snapshot.term);
            return Err(format!(
                "entry {} has term {one} in the log and term {other} in the snapshot",
                snapshot.index
            ));
        }
        self.entries.drain(..covered);
        Ok(self.entries.into())
    }
}
