//! The log at the seams: between storage and what is not stable yet, at limits, at the end.

use bytes::Bytes;

use super::RaftLog;
use crate::error::StorageError;
use crate::observer::{NoObserver, Watch};
use crate::storage::{MemoryStorage, Storage};
use crate::types::*;

fn watch() -> Watch<NoObserver> {
    Watch {
        node: NodeId::new(1).unwrap(),
        observer: NoObserver,
    }
}

fn entry(term: u64, index: u64, bytes: usize) -> Entry {
    Entry {
        term: Term(term),
        index: Index(index),
        kind: EntryKind::Normal,
        data: Bytes::from(vec![b'x'; bytes]),
    }
}

fn storage(last: u64, compacted: u64) -> MemoryStorage {
    let mut storage = MemoryStorage::default();
    let entries: Vec<Entry> = (1..=last).map(|index| entry(1, index, 10)).collect();
    storage.append(entries).unwrap();
    if compacted > 0 {
        storage
            .create_snapshot(Index(compacted), None, Bytes::new())
            .unwrap();
        storage.compact(Index(compacted)).unwrap();
    }
    storage
}

/// Entries 3 and 4 in storage behind a compaction at 2, and 5 to 7 of term 2 not stable.
fn log() -> RaftLog<MemoryStorage> {
    let mut log = RaftLog::new(storage(4, 2), 1000).unwrap();
    let entries = (5..=7).map(|index| entry(2, index, 10));
    log.append(entries, Index(5), &mut watch());
    log
}

fn indexes(entries: Option<Vec<Entry>>) -> Option<Vec<u64>> {
    let entries = entries?;
    Some(entries.iter().map(|entry| entry.index.0).collect())
}

#[test]
fn terms_are_known_from_the_last_compacted_entry_to_the_end() {
    let terms = |log: &RaftLog<MemoryStorage>| -> Vec<Option<u64>> {
        let term = |index| log.term(Index(index)).unwrap().map(|term| term.0);
        (0..=9).map(term).collect()
    };
    let (one, two) = (Some(1), Some(2));
    let expected = [None, None, one, one, one, two, two, two, None, None];
    assert_eq!(terms(&log()), expected);

    // What storage has behind the start of the unstable part is obsolete.
    let mut log = log();
    log.append([entry(3, 3, 1)].into_iter(), Index(3), &mut watch());
    let expected = [None, None, one, Some(3), None, None, None, None, None, None];
    assert_eq!(terms(&log), expected);
}

#[test]
fn a_snapshot_that_is_not_installed_yet_is_all_there_is() {
    let mut log = RaftLog::new(storage(6, 0), 1000).unwrap();
    let metadata = SnapshotMetadata {
        index: Index(4),
        term: Term(2),
        ..SnapshotMetadata::default()
    };
    let snapshot = Snapshot {
        metadata,
        data: Bytes::from("state"),
    };
    log.restore(snapshot.clone(), &mut watch());
    assert_eq!(
        (log.first_index(), log.last_index()),
        (Ok(Index(5)), Ok(Index(4)))
    );
    assert_eq!(log.snapshot(), Ok(snapshot.clone()));
    for index in [1, 3, 5, 6, 7] {
        assert_eq!(log.term(Index(index)), Ok(None), "{index}");
    }
    assert_eq!(log.term(Index(4)), Ok(Some(Term(2))));
    assert_eq!(log.slice(Index(2), Index(4), u64::MAX), Ok(None));
    assert_eq!(log.next_unstable_snapshot(), Some(&snapshot));
    log.accept_unstable();
    assert_eq!(log.next_unstable_snapshot(), None);
    // An older one is reported as installed: this one is still on its way.
    log.stable_snapshot_to(Index(3));
    assert!(log.unstable().snapshot().is_some());
    log.append([entry(2, 5, 1)].into_iter(), Index(5), &mut watch());
    assert_eq!(log.last_index(), Ok(Index(5)));
    log.stable_snapshot_to(Index(4));
    assert!(log.unstable().snapshot().is_none());
}

#[test]
fn a_range_is_read_across_the_end_of_what_is_stable() {
    let log = log();
    let slice = |low, high| log.slice(Index(low), Index(high), u64::MAX).map(indexes);
    assert_eq!(slice(3, 8), Ok(Some(vec![3, 4, 5, 6, 7])));
    assert_eq!(slice(4, 6), Ok(Some(vec![4, 5])));
    assert_eq!(slice(3, 5), Ok(Some(vec![3, 4])));
    assert_eq!(slice(5, 8), Ok(Some(vec![5, 6, 7])));
    assert_eq!(slice(2, 4), Ok(None), "compacted");
    assert_eq!(slice(3, 9), Err(StorageError::Unavailable));
    assert_eq!(slice(6, 9), Err(StorageError::Unavailable));
    for (low, high) in [(3, 3), (4, 3), (5, 5), (6, 5), (2, 1), (1, 1), (8, 8)] {
        assert_eq!(slice(low, high), Ok(Some(vec![])), "{low}..{high}");
    }
}

#[test]
fn a_range_is_cut_off_at_the_limit_wherever_that_is() {
    let log = log();
    let size = entry(1, 3, 10).encoded_len();
    for (limit, expected) in [(0, 1), (1, 1), (2, 2), (3, 3), (4, 4), (5, 5), (6, 5)] {
        for less in [0, 1] {
            let bytes = (limit * size).saturating_sub(less);
            let count = match less {
                1 if limit <= 5 => (expected - 1).max(1),
                _ => expected,
            };
            let found = indexes(log.slice(Index(3), Index(8), bytes).unwrap());
            let found = found.unwrap();
            assert_eq!(found, (3..3 + count).collect::<Vec<_>>(), "{bytes} bytes");
        }
    }
}

/// A small entry must not take the place of a large one that storage left out before it.
#[test]
fn nothing_is_left_out_in_the_middle() {
    let mut storage = MemoryStorage::default();
    storage
        .append(vec![entry(1, 1, 10), entry(1, 2, 500)])
        .unwrap();
    let mut log = RaftLog::new(storage, 1000).unwrap();
    log.append([entry(1, 3, 0)].into_iter(), Index(3), &mut watch());
    let found = log.slice(Index(1), Index(4), 200).unwrap();
    assert_eq!(indexes(found), Some(vec![1]));
}

#[test]
fn only_what_differs_is_written_again() {
    let mut log = log();
    log.accept_unstable();
    let id = EntryId::new(Term(1), Index(4));
    let mut append = |entries: Vec<Entry>| {
        let last = log.maybe_append(id, entries, Index(0), &mut watch());
        let next: Vec<u64> = log
            .next_unstable_entries()
            .map(|entry| entry.index.0)
            .collect();
        let ends = log.last_index().unwrap().0;
        log.accept_unstable();
        (last.unwrap(), next, ends)
    };
    let two = |index| entry(2, index, 10);
    // All of it is there; some of it is; more comes behind; the middle differs.
    assert_eq!(append(vec![two(5), two(6)]), (Some(Index(6)), vec![], 7));
    let longer = (5..=9).map(two).collect();
    assert_eq!(append(longer), (Some(Index(9)), vec![8, 9], 9));
    let other = vec![two(5), entry(3, 6, 1)];
    assert_eq!(append(other), (Some(Index(6)), vec![6], 6));
    assert_eq!(log.term(Index(5)), Ok(Some(Term(2))));
    assert_eq!(log.term(Index(6)), Ok(Some(Term(3))));
}

/// Entries that are overwritten while they are being written are written anew from there on.
#[test]
fn the_unstable_part_is_cut_in_its_middle() {
    let mut log = log();
    assert!(log.has_next_unstable());
    log.accept_unstable();
    assert!(!log.has_next_unstable());
    log.append([entry(3, 6, 1)].into_iter(), Index(6), &mut watch());
    assert_eq!(log.unstable().offset(), Index(5));
    assert_eq!(log.unstable().offset_in_progress(), Index(6));
    assert!(log.has_next_unstable());
    assert_eq!(log.last_index(), Ok(Index(6)));
    let all = log.slice(Index(5), Index(7), u64::MAX).unwrap().unwrap();
    assert_eq!(all, [entry(2, 5, 10), entry(3, 6, 1)]);
    // Only part of it was handed out when all of it is known to be stable.
    log.stable_to(EntryId::new(Term(3), Index(6)), &mut watch());
    assert_eq!(log.unstable().offset(), Index(7));
    assert_eq!(log.unstable().offset_in_progress(), Index(7));
    assert!(!log.has_next_unstable());
}

/// A log with entries 1 to 4 committed, and this limit of bytes handed out to be applied.
fn committed(max_applying_bytes: u64) -> RaftLog<MemoryStorage> {
    let mut log = RaftLog::new(storage(4, 0), max_applying_bytes).unwrap();
    log.commit_to(Index(4));
    log
}

fn next(log: &RaftLog<MemoryStorage>) -> Vec<u64> {
    let mut entries = Vec::new();
    log.next_committed(true, &mut entries).unwrap();
    entries.iter().map(|entry| entry.index.0).collect()
}

#[test]
fn what_is_handed_out_is_limited() {
    let size = entry(1, 1, 10).encoded_len();
    let mut log = committed(2 * size);
    assert_eq!(next(&log), [1, 2]);
    log.accept_applying(Index(2), 2 * size, true);
    assert_eq!((log.applying(), log.applying_bytes()), (Index(2), 2 * size));
    assert!(!log.has_next_committed(true));
    log.applied_to(Index(1), size);
    assert_eq!((log.applied(), log.applying()), (Index(1), Index(2)));
    assert!(log.has_next_committed(true));
    assert_eq!(next(&log), [3]);
    log.accept_applying(Index(3), size, true);
    assert!(!log.has_next_committed(true));
    log.applied_to(Index(3), 2 * size);
    assert_eq!(log.applying_bytes(), 0);
    assert_eq!(next(&log), [4]);
}

/// If not all was handed out, the next entry did not fit, even if there is room for something.
#[test]
fn what_did_not_fit_waits_for_room() {
    let size = entry(1, 1, 10).encoded_len();
    let mut log = committed(2 * size + 1);
    log.accept_applying(Index(2), 2 * size, true);
    assert!(!log.has_next_committed(true));
    // All of it was, and there is room: what comes goes out at once.
    let mut log = committed(5 * size);
    assert_eq!(next(&log), [1, 2, 3, 4]);
    log.accept_applying(Index(4), 4 * size, true);
    let more = [entry(1, 5, 10)].into_iter();
    log.append(more, Index(5), &mut watch());
    log.commit_to(Index(5));
    assert_eq!(next(&log), [5]);
    // The limit is reached exactly, or passed by an entry that is larger.
    for limit in [4 * size, 4 * size - 1] {
        let mut log = committed(limit);
        log.accept_applying(Index(4), 4 * size, true);
        let more = [entry(1, 5, 10)].into_iter();
        log.append(more, Index(5), &mut watch());
        log.commit_to(Index(5));
        assert!(!log.has_next_committed(true));
    }
}

#[test]
fn as_long_as_the_limit_is_outstanding_nothing_more_goes_out() {
    let mut log = committed(1);
    log.accept_applying(Index(2), 10, true);
    for (bytes, goes) in [(8, false), (1, false), (1, true)] {
        log.applied_to(Index(1), bytes);
        assert_eq!(log.has_next_committed(true), goes);
    }
    // However small the limit is, one entry goes through if nothing is outstanding.
    let mut log = committed(0);
    assert_eq!(next(&log), [1]);
    log.accept_applying(Index(1), 10, true);
    log.applied_to(Index(1), 10);
    assert_eq!(next(&log), [2]);
}

#[test]
fn only_stable_entries_are_handed_out_unless_allowed() {
    let mut log = log();
    log.commit_to(Index(6));
    let mut entries = Vec::new();
    log.next_committed(false, &mut entries).unwrap();
    assert_eq!(indexes(Some(entries)), Some(vec![3, 4]));
    assert_eq!(next(&log), [3, 4, 5, 6]);
}

#[test]
fn a_committed_entry_that_is_gone_is_corruption() {
    let mut log = committed(1000);
    let storage = log.storage_mut();
    storage
        .create_snapshot(Index(2), None, Bytes::new())
        .unwrap();
    storage.compact(Index(2)).unwrap();
    let mut entries = Vec::new();
    let result = log.next_committed(true, &mut entries);
    assert!(matches!(result, Err(StorageError::Corrupt(_))));
    let result = log.has_unapplied_conf_change();
    assert!(matches!(result, Err(StorageError::Corrupt(_))));
}

#[test]
fn a_change_of_membership_is_found_on_every_page() {
    for limit in [0, 1000] {
        for at in 1..=6 {
            let mut storage = storage(5, 0);
            let mut change = entry(1, at, 10);
            change.kind = EntryKind::ConfChange;
            let mut entries = vec![change];
            entries.extend((at + 1..=6).map(|index| entry(1, index, 10)));
            storage.append(entries).unwrap();
            let mut log = RaftLog::new(storage, limit).unwrap();
            log.commit_to(Index(5));
            // What is not committed does not count, nor what is applied.
            assert_eq!(log.has_unapplied_conf_change(), Ok(at <= 5));
            log.applied_to(Index(3), 0);
            assert_eq!(log.has_unapplied_conf_change(), Ok((4..=5).contains(&at)));
        }
    }
}

/// Breaks its promise: at least one entry, if there are any.
struct Hollow(MemoryStorage);

impl Storage for Hollow {
    fn initial_state(&self) -> Result<(HardState, ConfState), StorageError> {
        self.0.initial_state()
    }

    fn entries(&self, _: Index, _: Index, _: u64) -> Result<Vec<Entry>, StorageError> {
        Ok(Vec::new())
    }

    fn term(&self, index: Index) -> Result<Term, StorageError> {
        self.0.term(index)
    }

    fn first_index(&self) -> Result<Index, StorageError> {
        self.0.first_index()
    }

    fn last_index(&self) -> Result<Index, StorageError> {
        self.0.last_index()
    }

    fn snapshot(&self) -> Result<Snapshot, StorageError> {
        self.0.snapshot()
    }
}

#[test]
fn a_storage_that_gives_nothing_is_corrupt() {
    let mut log = RaftLog::new(Hollow(storage(4, 0)), 1000).unwrap();
    log.commit_to(Index(4));
    let mut entries = Vec::new();
    let result = log.next_committed(true, &mut entries);
    assert!(matches!(result, Err(StorageError::Corrupt(_))));
    let result = log.has_unapplied_conf_change();
    assert!(matches!(result, Err(StorageError::Corrupt(_))));
}

/// Knows its last entry, and not the term of it.
struct Termless(MemoryStorage);

impl Storage for Termless {
    fn initial_state(&self) -> Result<(HardState, ConfState), StorageError> {
        self.0.initial_state()
    }

    fn entries(&self, low: Index, high: Index, max_bytes: u64) -> Result<Vec<Entry>, StorageError> {
        self.0.entries(low, high, max_bytes)
    }

    fn term(&self, index: Index) -> Result<Term, StorageError> {
        match self.0.term(index)? {
            _ if index == self.0.last_index()? => Err(StorageError::Unavailable),
            term => Ok(term),
        }
    }

    fn first_index(&self) -> Result<Index, StorageError> {
        self.0.first_index()
    }

    fn last_index(&self) -> Result<Index, StorageError> {
        self.0.last_index()
    }

    fn snapshot(&self) -> Result<Snapshot, StorageError> {
        self.0.snapshot()
    }
}

/// Or every candidate would be as up-to-date as this log.
#[test]
fn a_last_entry_without_a_term_is_corruption() {
    let log = RaftLog::new(Termless(storage(4, 2)), 1000).unwrap();
    assert_eq!(log.last_index(), Ok(Index(4)));
    assert!(matches!(log.last_id(), Err(StorageError::Corrupt(_))));
    let theirs = EntryId::new(Term(1), Index(1));
    let result = log.is_up_to_date(theirs);
    assert!(matches!(result, Err(StorageError::Corrupt(_))));
    // With an entry of a known term behind it all is well.
    let mut log = log;
    log.append([entry(2, 5, 1)].into_iter(), Index(5), &mut watch());
    assert_eq!(log.last_id(), Ok(EntryId::new(Term(2), Index(5))));
}
