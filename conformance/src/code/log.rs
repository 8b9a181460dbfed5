//! The log of a view, which may begin behind a snapshot.

use lockstep_traces::{Append, Entry, Index, NodeView, Snapshot, Term};
use std::ops::RangeInclusive;

/// A log: what a snapshot stands for, and the entries behind it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct LogView<'a> {
    snapshot: Option<&'a Snapshot>,
    entries: &'a [Entry],
}

impl<'a> LogView<'a> {
    /// The log that a server works with.
    pub fn of(view: &'a NodeView) -> LogView<'a> {
        LogView {
            snapshot: view.snapshot.as_ref(),
            entries: &view.log,
        }
    }

    /// The log that is on stable storage.
    pub fn durable(view: &'a NodeView) -> LogView<'a> {
        LogView {
            snapshot: view.durable.snapshot.as_ref(),
            entries: &view.durable.log,
        }
    }

    /// The snapshot that it begins with.
    pub fn snapshot(self) -> Option<&'a Snapshot> {
        self.snapshot
    }

    /// The index of the last entry that the snapshot stands for; zero without one.
    pub fn base(self) -> u64 {
        self.snapshot.map_or(0, |snapshot| snapshot.index.0)
    }

    /// The index of the last entry, behind the snapshot or the last that it stands for.
    pub fn last_index(self) -> u64 {
        self.base() + self.entries.len() as u64
    }

    /// The term and the index of the last entry.
    pub fn last(self) -> (Term, Index) {
        let index = self.last_index();
        (self.term_at(index).unwrap_or_default(), Index(index))
    }

    /// The entry at an index, unless it is hidden behind the snapshot or there is none.
    pub fn entry(self, index: u64) -> Option<&'a Entry> {
        let behind = index.checked_sub(self.base())?.checked_sub(1)?;
        self.entries.get(usize::try_from(behind).ok()?)
    }

    /// The entries at these indexes that are not hidden.
    pub fn entries(self, indexes: RangeInclusive<u64>) -> impl Iterator<Item = (u64, &'a Entry)> {
        let first = self.base() + 1;
        let known = (first..).zip(self.entries);
        known.filter(move |(index, _)| indexes.contains(index))
    }

    /// The term of the entry at an index, which a snapshot shows of its last one.
    pub fn term_at(self, index: u64) -> Option<Term> {
        match self.snapshot {
            Some(snapshot) if snapshot.index.0 == index => Some(snapshot.term),
            None if index == 0 => Some(Term(0)),
            _ => self.entry(index).map(|entry| entry.term),
        }
    }

    /// Whether it has the entry of that term at an index, or hides it behind its snapshot, which stands for
    /// committed entries.
    pub fn has(self, index: u64, term: Term) -> bool {
        index < self.base() || self.term_at(index) == Some(term)
    }

    /// Whether it has this entry at an index, as far as it shows it.
    pub fn agrees(self, index: u64, entry: &Entry) -> bool {
        match self.entry(index) {
            Some(own) => own == entry,
            None => self.has(index, entry.term),
        }
    }

    /// Whether `next` still has what this log has up to an index, in its entries or by a snapshot, which takes nothing back.
    pub fn is_kept_by(self, next: LogView<'_>, up_to: u64) -> bool {
        // Most steps leave the log as it is.
        if self == next {
            return true;
        }
        let up_to = up_to.min(self.last_index());
        let stands =
            next.base() > up_to || next.snapshot.is_none_or(|it| self.has(it.index.0, it.term));
        self.base() <= next.base()
            && stands
            && up_to <= next.last_index()
            && self
                .entries(next.base() + 1..=up_to)
                .all(|(index, entry)| next.entry(index) == Some(entry))
    }
}

/// The highest index at which two logs show an entry of the same term.
pub(super) fn last_common_term(a: LogView<'_>, b: LogView<'_>) -> Option<u64> {
    let last = a.last_index().min(b.last_index());
    let hidden = a.base().max(b.base()).max(1);
    let same = |index: &u64| a.term_at(*index) == b.term_at(*index);
    (hidden..=last).rev().find(same)
}

/// Whether two logs have the same entries up to an index, as far as both still show them.
pub(super) fn same_entries(a: LogView<'_>, b: LogView<'_>, up_to: u64) -> bool {
    let hidden = a.base().max(b.base());
    let at_snapshot = hidden == 0
        || hidden > up_to
        || match (a.term_at(hidden), b.term_at(hidden)) {
            (Some(a), Some(b)) => a == b,
            _ => true,
        };
    let mut shown = a.entries(hidden + 1..=up_to);
    at_snapshot && shown.all(|(index, entry)| b.entry(index) == Some(entry))
}

/// The state that a crash leaves, of which a server comes back.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Image {
    pub term: Term,
    pub vote: Option<lockstep_traces::ServerId>,
    pub commit: Index,
    snapshot: Option<Snapshot>,
    entries: Vec<Entry>,
}

impl Image {
    /// The state on stable storage.
    pub fn durable(view: &NodeView) -> Image {
        Image {
            term: view.durable.term,
            vote: view.durable.vote,
            commit: view.durable.commit,
            snapshot: view.durable.snapshot.clone(),
            entries: view.durable.log.clone(),
        }
    }

    /// The states that a crash can leave: it keeps any number of the oldest outstanding appends.
    pub fn after_any_crash(view: &NodeView) -> impl Iterator<Item = Image> {
        let written = view
            .appends
            .iter()
            .scan(Image::durable(view), |image, append| {
                image.write(append);
                Some(image.clone())
            });
        std::iter::once(Image::durable(view)).chain(written)
    }

    /// The state that a crash leaves that keeps `writes` of the outstanding appends.
    pub fn after_crash(view: &NodeView, writes: usize) -> Image {
        let mut image = Image::durable(view);
        let kept = view.appends.iter().take(writes);
        kept.for_each(|append| image.write(append));
        image
    }

    /// Its log.
    pub fn log(&self) -> LogView<'_> {
        LogView {
            snapshot: self.snapshot.as_ref(),
            entries: &self.entries,
        }
    }

    fn write(&mut self, append: &Append) {
        if let Some(state) = append.hard_state {
            (self.term, self.vote) = (state.term, state.vote);
            // A compaction may have raised it meanwhile.
            self.commit = self.commit.max(state.commit);
        }
        if let Some(snapshot) = &append.snapshot {
            self.entries.clear();
            self.snapshot = Some(snapshot.clone());
        }
        // Entries that were compacted since are not written again.
        let first = self.log().base() + 1;
        let new = (append.first.0..).zip(&append.entries);
        for (index, entry) in new.filter(|(index, _)| *index >= first) {
            self.entries
                .truncate(usize::try_from(index - first).unwrap_or(usize::MAX));
            self.entries.push(entry.clone());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use lockstep_traces::{HardState, Payload, ServerId};

    fn entry(term: u64, value: u64) -> Entry {
        Entry {
            term: Term(term),
            payload: Payload::Value(value),
        }
    }

    fn snapshot(index: u64, term: u64) -> Option<Snapshot> {
        Some(Snapshot {
            index: Index(index),
            term: Term(term),
            configuration: Default::default(),
        })
    }

    fn view(snapshot: Option<Snapshot>, log: &[Entry]) -> NodeView {
        NodeView {
            snapshot,
            log: log.to_vec(),
            ..NodeView::default()
        }
    }

    #[test]
    fn a_log_begins_behind_its_snapshot() {
        let view = view(snapshot(2, 1), &[entry(1, 7), entry(2, 8)]);
        let log = LogView::of(&view);
        assert_eq!((log.base(), log.last_index()), (2, 4));
        assert_eq!(log.last(), (Term(2), Index(4)));
        assert_eq!(log.entry(2), None);
        assert_eq!(log.entry(3), Some(&entry(1, 7)));
        assert_eq!(log.term_at(2), Some(Term(1)));
        assert_eq!((log.term_at(1), log.term_at(5)), (None, None));
        assert!(log.has(1, Term(9)) && log.has(2, Term(1)) && !log.has(2, Term(2)));
        assert!(!log.has(5, Term(2)));
    }

    #[test]
    fn logs_are_compared_from_the_snapshot_on() {
        let whole = view(None, &[entry(1, 1), entry(1, 2), entry(2, 3)]);
        let compacted = view(snapshot(2, 1), &[entry(2, 3)]);
        let other = view(snapshot(2, 1), &[entry(2, 4)]);
        let wrong = view(snapshot(2, 2), &[entry(2, 3)]);
        let of = LogView::of;
        assert_eq!(last_common_term(of(&whole), of(&compacted)), Some(3));
        assert!(same_entries(of(&whole), of(&compacted), 3));
        assert!(!same_entries(of(&whole), of(&other), 3));
        assert!(!same_entries(of(&whole), of(&wrong), 3));
        assert!(of(&whole).is_kept_by(of(&compacted), 3));
        assert!(!of(&whole).is_kept_by(of(&other), 3));
        assert!(of(&whole).is_kept_by(of(&other), 2));
        assert!(!of(&whole).is_kept_by(of(&wrong), 3));
        // What is hidden does not come back, and what is shown is not lost.
        assert!(!of(&compacted).is_kept_by(of(&whole), 3));
        assert!(!of(&whole).is_kept_by(of(&view(snapshot(2, 1), &[])), 3));
    }

    #[test]
    fn a_crash_keeps_the_oldest_appends_as_a_whole() {
        let mut view = view(None, &[entry(2, 9)]);
        view.durable.log = vec![entry(1, 1), entry(1, 2)];
        view.durable.term = Term(1);
        let vote = ServerId::new(2);
        view.appends = vec![
            Append {
                hard_state: Some(HardState {
                    term: Term(2),
                    vote,
                    commit: Index(0),
                }),
                first: Index(1),
                entries: vec![entry(2, 9)],
                ..Append::default()
            },
            Append {
                snapshot: snapshot(4, 3),
                ..Append::default()
            },
        ];
        let images: Vec<_> = Image::after_any_crash(&view).collect();
        assert_eq!(images.len(), 3);
        assert_eq!((images[0].term, images[0].log().last_index()), (Term(1), 2));
        assert_eq!((images[1].term, images[1].vote), (Term(2), vote));
        assert_eq!(images[1].log().last(), (Term(2), Index(1)));
        assert_eq!(images[2].log().last(), (Term(3), Index(4)));
        for (writes, image) in images.iter().enumerate() {
            assert_eq!(*image, Image::after_crash(&view, writes));
        }
    }
}
