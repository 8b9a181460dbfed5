//! A process that writes is killed at random moments; what it was told is durable is there.
//!
//! The simulation covers the loss of power; this covers the real file system, the thread and the lock.
//! `LOCKSTEP_WAL_KILLS=200` kills more often, `LOCKSTEP_WAL_SEED=3` starts with other moments.

use std::io::{BufRead, BufReader, Write as _};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use bytes::Bytes;
use lockstep_raft::{
    ConfState, Entry, HardState, Index, NodeId, Snapshot, SnapshotMetadata, Storage, Term,
};
use lockstep_wal::{Metadata, Options, Wal, Write};
use rand::rngs::SmallRng;
use rand::{Rng, SeedableRng};

const KILLS: u64 = 20;
const FOLDER: &str = "LOCKSTEP_WAL_CHILD_FOLDER";
const TIME_OUT: Duration = Duration::from_secs(60);
const WAITING: u64 = 64;

fn number(variable: &str, default: u64) -> u64 {
    let text = std::env::var(variable).ok();
    text.map_or(default, |text| text.parse().expect("a number"))
}

fn options() -> Options {
    let member_id = NodeId::new(1).unwrap();
    let mut options = Options::new(Metadata {
        cluster_id: 9,
        member_id,
    });
    options.segment_bytes = 32 << 10;
    options
}

/// Every payload follows from its index, so that whoever reads one can check it.
fn payload(index: u64) -> Bytes {
    let byte = index.wrapping_mul(0x9e37_79b9_7f4a_7c15).to_le_bytes();
    let length = (index * 7 % 300) as usize;
    byte.iter().copied().cycle().take(length).collect()
}

fn snapshot(index: u64) -> Snapshot {
    Snapshot {
        data: payload(index),
        metadata: SnapshotMetadata {
            conf_state: ConfState::default(),
            index: Index(index),
            term: Term(1 + index / 1000),
        },
    }
}

/// Write number `number` ends with this entry, and with a hard state that says so.
fn last_of(number: u64) -> u64 {
    number * 3
}

fn write(number: u64) -> Write {
    let entries = last_of(number - 1) + 1..=last_of(number);
    let entries = entries.map(|index| Entry {
        term: Term(1 + index / 1000),
        index: Index(index),
        data: payload(index),
        ..Entry::default()
    });
    let mut write = Write {
        entries: entries.collect(),
        hard_state: Some(HardState {
            term: Term(1 + last_of(number) / 1000),
            vote: NodeId::new(number),
            commit: Index(last_of(number)),
        }),
        ..Write::default()
    };
    if number.is_multiple_of(97) {
        // From another server: all of its entries are in the snapshot.
        write.snapshot = Some(snapshot(last_of(number)));
    }
    write
}

/// Opens the log, checks all of it, and returns the number of the last write.
fn check(folder: &Path) -> (Wal, u64) {
    let (wal, recovered) = Wal::open(folder, options()).unwrap();
    let hard_state = recovered.hard_state;
    let number = hard_state.vote.map_or(0, NodeId::get);
    assert_eq!(hard_state.commit.0, last_of(number), "{recovered:?}");
    assert_eq!(recovered.last.index.0, last_of(number), "{recovered:?}");
    let storage = wal.storage();
    let first = storage.first_index().unwrap();
    let found = storage.snapshot().unwrap();
    assert_eq!(found.metadata.index.next(), first);
    if !found.is_empty() {
        assert_eq!(found, snapshot(first.0 - 1));
    }
    let entries = storage.entries(first, Index(last_of(number) + 1), u64::MAX);
    for (entry, index) in entries.unwrap().iter().zip(first.0..) {
        assert_eq!((entry.index, &entry.data), (Index(index), &payload(index)));
    }
    (wal, number)
}

/// The process that is killed. It says `ack N` when write N is durable.
#[test]
#[ignore = "started by the test below"]
fn child() {
    let Some(folder) = std::env::var_os(FOLDER) else {
        return;
    };
    let (wal, mut number) = check(Path::new(&folder));
    let (done, acknowledged) = mpsc::channel();
    let say = |line: String| {
        let mut out = std::io::stdout().lock();
        // One call: the parent ignores a line without an end.
        out.write_all(line.as_bytes()).unwrap();
        out.flush().unwrap();
    };
    say(format!("\nopen {number}\n"));
    let mut waiting = 0;
    loop {
        number += 1;
        let done = done.clone();
        let this = number;
        wal.append(write(number), move |result| {
            result.unwrap();
            done.send(this).unwrap();
        });
        waiting += 1;
        // Many writes wait at once, so that a kill finds some of them half done.
        while waiting > WAITING || (waiting > 0 && number.is_multiple_of(50)) {
            let last: u64 = acknowledged.recv().unwrap();
            waiting -= 1;
            say(format!("ack {last}\n"));
        }
        if number.is_multiple_of(50) {
            let index = last_of(number) - 10;
            let data = payload(index);
            match wal.create_snapshot(Index(index), ConfState::default(), data) {
                Ok(()) | Err(lockstep_wal::Error::SnapshotOutOfDate) => {}
                Err(lockstep_wal::Error::Refused(_)) => {} // An installed one was just before.
                Err(error) => panic!("{error}"),
            }
        }
    }
}

fn start(folder: &Path) -> Child {
    Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "child", "--ignored", "--nocapture"])
        .env(FOLDER, folder)
        .stdout(Stdio::piped())
        .spawn()
        .unwrap()
}

/// Starts a child, kills it after a while, and returns (the last write it reported, lines).
fn kill_one(folder: &Path, after: Duration) -> (u64, u64) {
    let mut child = start(folder);
    let out = BufReader::new(child.stdout.take().unwrap());
    let (opened, is_open) = mpsc::channel();
    let reader = thread::spawn(move || {
        let (mut last, mut lines) = (0, 0);
        for line in out.split(b'\n').map_while(Result::ok) {
            let line = String::from_utf8_lossy(&line).into_owned();
            if line.starts_with("open ") {
                let _ = opened.send(());
            }
            if let Some(number) = line.strip_prefix("ack ") {
                // The last line may be cut off, and then names an earlier write or none.
                last = last.max(number.parse().unwrap_or(0));
                lines += 1;
            }
        }
        (last, lines)
    });
    let open = is_open.recv_timeout(TIME_OUT);
    thread::sleep(after);
    let early = child.try_wait().unwrap();
    child.kill().unwrap();
    child.wait().unwrap();
    let result = reader.join().unwrap();
    assert!(
        open.is_ok() && early.is_none(),
        "the child ended by itself: {early:?}"
    );
    result
}

#[test]
fn killed_processes_lose_nothing_that_they_acknowledged() {
    let seed = number("LOCKSTEP_WAL_SEED", 1);
    let kills = number("LOCKSTEP_WAL_KILLS", KILLS);
    println!("LOCKSTEP_WAL_SEED={seed}");
    let mut random = SmallRng::seed_from_u64(seed);
    let folder = tempfile::tempdir().unwrap();
    let (mut before, mut acknowledged, mut unacknowledged, mut cut) = (0, 0, 0, 0);
    for kill in 0..kills {
        let after = Duration::from_micros(random.random_range(0..60_000));
        let (last, lines) = kill_one(folder.path(), after);
        let (wal, found) = check(folder.path());
        assert!(
            found >= last.max(before),
            "kill {kill}: write {last} was acknowledged, {before} was found before, {found} is there"
        );
        acknowledged += lines;
        unacknowledged += found - last.max(before);
        before = found;
        drop(wal);
        let is_broken = |it: &std::io::Result<std::fs::DirEntry>| {
            let name = it.as_ref().map(|it| it.file_name().into_string());
            matches!(name, Ok(Ok(name)) if name.ends_with(".broken"))
        };
        cut = std::fs::read_dir(folder.path())
            .unwrap()
            .filter(is_broken)
            .count();
    }
    println!(
        "{kills} kills, {before} writes, {acknowledged} acknowledged, {unacknowledged} there without \
         having been acknowledged, {cut} ends cut off"
    );
    assert!(
        acknowledged > kills,
        "it was killed too early to show anything"
    );
}
