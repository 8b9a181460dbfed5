//! The log in a real folder.

use std::fs;
use std::path::Path;
use std::sync::mpsc;

use lockstep_raft::{
    ConfState, Entry, HardState, Index, NodeId, Snapshot, SnapshotMetadata, Storage, StorageError,
    Term,
};
use lockstep_wal::{Error, Metadata, Options, Reason, Recovered, Wal, Write};

fn options() -> Options {
    let member_id = NodeId::new(3).unwrap();
    let mut options = Options::new(Metadata {
        cluster_id: 5,
        member_id,
    });
    options.segment_bytes = 4096;
    options
}

fn open(folder: &Path) -> (Wal, Recovered) {
    Wal::open(folder, options()).unwrap()
}

fn entry(index: u64) -> Entry {
    Entry {
        term: Term(2),
        index: Index(index),
        data: vec![index as u8; 100].into(),
        ..Entry::default()
    }
}

fn entries(indexes: impl IntoIterator<Item = u64>) -> Write {
    Write {
        entries: indexes.into_iter().map(entry).collect(),
        ..Write::default()
    }
}

fn names(folder: &Path, ending: &str) -> Vec<String> {
    let files = fs::read_dir(folder).unwrap();
    let names = files.map(|it| it.unwrap().file_name().into_string().unwrap());
    let mut names: Vec<String> = names.filter(|it| it.ends_with(ending)).collect();
    names.sort();
    names
}

fn flip(path: &Path, offset: usize) {
    let mut bytes = fs::read(path).unwrap();
    bytes[offset] ^= 1;
    fs::write(path, bytes).unwrap();
}

#[test]
fn a_restart_finds_everything() {
    let folder = tempfile::tempdir().unwrap();
    let (wal, recovered) = open(folder.path());
    assert!(recovered.is_new);
    let hard_state = HardState {
        term: Term(2),
        vote: NodeId::new(3),
        commit: Index(80),
    };
    for index in 1..=100 {
        wal.write(entries([index])).unwrap();
    }
    wal.write(entries([91, 92])).unwrap();
    wal.write(Write {
        hard_state: Some(hard_state),
        ..Write::default()
    })
    .unwrap();
    assert_eq!(wal.storage().last_index(), Ok(Index(92)));
    assert!(names(folder.path(), ".wal").len() > 3);
    drop(wal);

    let (wal, recovered) = open(folder.path());
    assert!(!recovered.is_new);
    assert_eq!(recovered.hard_state, hard_state);
    assert_eq!(recovered.last, entry(92).id());
    assert_eq!((recovered.snapshot, recovered.cut), (None, None));
    let storage = wal.storage();
    assert_eq!(storage.initial_state().unwrap().0, hard_state);
    let found = storage.entries(Index(1), Index(93), u64::MAX).unwrap();
    assert_eq!(found, (1..=92).map(entry).collect::<Vec<_>>());
}

#[test]
fn a_snapshot_releases_segments_and_older_snapshots() {
    let folder = tempfile::tempdir().unwrap();
    let (wal, _) = open(folder.path());
    let members = ConfState {
        voters: (1..=3).filter_map(NodeId::new).collect(),
        ..ConfState::default()
    };
    for index in 1..=100 {
        wal.write(entries([index])).unwrap();
    }
    wal.create_snapshot(Index(40), members.clone(), "forty".into())
        .unwrap();
    wal.create_snapshot(Index(90), members.clone(), "ninety".into())
        .unwrap();
    assert!(matches!(
        wal.create_snapshot(Index(90), members.clone(), "again".into()),
        Err(Error::SnapshotOutOfDate)
    ));
    assert!(matches!(
        wal.create_snapshot(Index(101), members.clone(), "early".into()),
        Err(Error::Refused(_))
    ));
    // The entries are still there for servers that lag a little, until they are compacted.
    let storage = wal.storage();
    assert_eq!(storage.first_index(), Ok(Index(1)));
    storage.compact(Index(85)).unwrap();
    assert_eq!(storage.first_index(), Ok(Index(86)));
    assert_eq!(storage.compact(Index(85)), Err(StorageError::Compacted));
    drop(wal);
    assert!(names(folder.path(), ".wal").len() <= 2);
    assert_eq!(names(folder.path(), ".snap").len(), 1);

    let (wal, recovered) = open(folder.path());
    assert_eq!(
        recovered.snapshot.unwrap(),
        SnapshotMetadata {
            conf_state: members,
            index: Index(90),
            term: Term(2),
        }
    );
    let storage = wal.storage();
    assert_eq!(storage.snapshot().unwrap().data, "ninety");
    assert_eq!(storage.first_index(), Ok(Index(91)));
    assert_eq!(storage.last_index(), Ok(Index(100)));
}

#[test]
fn an_installed_snapshot_replaces_the_log() {
    let folder = tempfile::tempdir().unwrap();
    let (wal, _) = open(folder.path());
    wal.write(entries(1..=9)).unwrap();
    let mut snapshot = Snapshot {
        data: "sent".into(),
        ..Snapshot::default()
    };
    (snapshot.metadata.index, snapshot.metadata.term) = (Index(50), Term(2));
    let write = Write {
        snapshot: Some(snapshot.clone()),
        ..entries(49..=52)
    };
    wal.write(write.clone()).unwrap();
    assert!(matches!(wal.write(write), Err(Error::SnapshotOutOfDate)));
    drop(wal);
    let (wal, _) = open(folder.path());
    let storage = wal.storage();
    assert_eq!(storage.snapshot(), Ok(snapshot));
    let found = storage.entries(Index(51), Index(53), u64::MAX).unwrap();
    assert_eq!(found, [entry(51), entry(52)]);
}

#[test]
fn completions_come_in_order_and_refusals_leave_the_log_running() {
    let folder = tempfile::tempdir().unwrap();
    let (wal, _) = open(folder.path());
    let (done, results) = mpsc::channel();
    for (number, indexes) in [1..=2, 4..=5, 3..=3, 3..=6].into_iter().enumerate() {
        let done = done.clone();
        wal.append(entries(indexes), move |result| {
            done.send((number, result.map_err(|it| it.to_string())))
                .unwrap();
        });
    }
    let gap = "refused: entry 4 was appended after entry 2".to_owned();
    let results: Vec<_> = results.iter().take(4).collect();
    assert_eq!(
        results,
        [(0, Ok(())), (1, Err(gap)), (2, Ok(())), (3, Ok(()))]
    );
    wal.write(Write::default()).unwrap();
    wal.close().unwrap();
}

#[test]
fn a_write_that_is_larger_than_a_segment_gets_one_of_its_own() {
    let folder = tempfile::tempdir().unwrap();
    let (wal, _) = open(folder.path());
    let large = Entry {
        data: vec![9; 50_000].into(),
        ..entry(2)
    };
    wal.write(entries([1])).unwrap();
    wal.write(Write {
        entries: vec![large.clone()],
        ..Write::default()
    })
    .unwrap();
    wal.write(entries([3])).unwrap();
    drop(wal);
    let (wal, _) = open(folder.path());
    let found = wal.storage().entries(Index(1), Index(4), u64::MAX).unwrap();
    assert_eq!(found, [entry(1), large, entry(3)]);
}

#[test]
fn a_folder_has_one_owner_at_a_time() {
    let folder = tempfile::tempdir().unwrap();
    let (wal, _) = open(folder.path());
    let again = Wal::open(folder.path(), options());
    assert!(matches!(again, Err(Error::Locked { .. })), "{again:?}");
    wal.write(entries([1])).unwrap();
    drop(wal);
    let mut other = options();
    other.metadata.cluster_id = 6;
    let found = Wal::open(folder.path(), other).unwrap_err();
    assert_eq!(
        found.to_string(),
        "the log belongs to member 3 of cluster 5, not to member 3 of cluster 6"
    );
    open(folder.path());
}

#[test]
fn damage_is_refused_and_nothing_is_changed() {
    let folder = tempfile::tempdir().unwrap();
    let (wal, _) = open(folder.path());
    for index in 1..=50 {
        wal.write(entries([index])).unwrap();
    }
    wal.create_snapshot(Index(2), ConfState::default(), "two".into())
        .unwrap();
    wal.close().unwrap();
    let files = names(folder.path(), "");
    let segments = names(folder.path(), ".wal");
    let snapshots = names(folder.path(), ".snap");
    for name in [&segments[0], &segments[segments.len() - 1], &snapshots[0]] {
        let path = folder.path().join(name);
        for offset in [3, 42, 60] {
            // A snapshot is short.
            let offset = offset.min(fs::read(&path).unwrap().len() - 1);
            flip(&path, offset);
            let error = Wal::open(folder.path(), options()).unwrap_err();
            assert!(
                matches!(&error, Error::Damaged { file, .. } if file == name),
                "{name} at {offset}: {error}"
            );
            assert_eq!(names(folder.path(), ""), files);
            flip(&path, offset);
        }
    }
    // The last segment is not missed: nothing behind it names it.
    for name in [&segments[0], &snapshots[0]] {
        let (path, away) = (folder.path().join(name), folder.path().join("away"));
        fs::rename(&path, &away).unwrap();
        let error = Wal::open(folder.path(), options()).unwrap_err();
        assert!(matches!(error, Error::Damaged { .. }), "{error}");
        fs::rename(&away, &path).unwrap();
    }
    open(folder.path());
}

#[test]
fn a_torn_end_is_cut_off_and_kept() {
    let folder = tempfile::tempdir().unwrap();
    let (wal, _) = open(folder.path());
    wal.write(entries([1, 2])).unwrap();
    wal.close().unwrap();
    let path = folder.path().join(&names(folder.path(), ".wal")[0]);
    let mut bytes = fs::read(&path).unwrap();
    let end = bytes
        .iter()
        .rposition(|it| *it != 0)
        .unwrap()
        .next_multiple_of(8);
    bytes[end + 1] = 7;
    bytes[end + 100] = 7;
    fs::write(&path, &bytes).unwrap();

    let (wal, recovered) = open(folder.path());
    let cut = recovered.cut.unwrap();
    assert_eq!((cut.offset, cut.bytes), (end as u64, 101));
    assert_eq!(cut.reason, Reason::Checksum);
    assert_eq!(
        names(folder.path(), ".broken"),
        std::slice::from_ref(&cut.kept_as)
    );
    let kept = fs::read(folder.path().join(&cut.kept_as)).unwrap();
    assert_eq!(kept, bytes[end..][..101]);
    assert_eq!(recovered.last, entry(2).id());
    wal.write(entries([3])).unwrap();
    drop(wal);
    let (_, recovered) = open(folder.path());
    assert_eq!((recovered.cut, recovered.last), (None, entry(3).id()));
}

#[test]
fn a_later_version_is_not_taken_for_damage_of_a_crash() {
    let folder = tempfile::tempdir().unwrap();
    drop(open(folder.path()));
    let path = folder.path().join(&names(folder.path(), ".wal")[0]);
    let mut bytes = fs::read(&path).unwrap();
    bytes[8] = 2;
    let checksum = crc32fast::hash(&bytes[..44]);
    bytes[44..48].copy_from_slice(&checksum.to_le_bytes());
    fs::write(&path, bytes).unwrap();
    let error = Wal::open(folder.path(), options()).unwrap_err();
    let reason = Reason::Version(2);
    assert!(
        matches!(&error, Error::Damaged { reason: it, .. } if *it == reason),
        "{error}"
    );
}
