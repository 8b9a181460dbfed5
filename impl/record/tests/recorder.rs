//! The recorder: it changes nothing, stays small, turns its files, and survives being killed.

#[path = "../examples/cluster/mod.rs"]
mod cluster;

use cluster::{Cluster, Options};
use lockstep_raft::{ConfState, Config, MemoryStorage, NoObserver, NodeId, RawNode};
use lockstep_record::{Memory, Recorder, Sink};
use std::collections::BTreeMap;
use std::fs;
use std::io;

fn id(number: u64) -> NodeId {
    NodeId::new(number).expect("a name")
}

/// Every kind of run.
fn kinds() -> Vec<Options> {
    let mut kinds = Vec::new();
    for (number, (careful, async_storage)) in
        [(false, false), (true, false), (false, true), (true, true)]
            .into_iter()
            .enumerate()
    {
        let all = Options {
            seed: 100 + number as u64,
            steps: 3000,
            careful,
            async_storage,
            crashes: true,
            snapshots: true,
            changes: true,
            reads: true,
            bootstrap: number % 2 == 1,
            ..Options::default()
        };
        kinds.push(all);
    }
    kinds
}

#[test]
fn a_recorded_server_does_what_an_unrecorded_one_does() {
    for options in kinds() {
        // With causes the harness asks the recorder, and the servers are told the same.
        let mut plain = Cluster::new(&options, |_| NoObserver).expect("it starts");
        plain.keeps_output = true;
        plain.run().expect("it runs");
        let memory: BTreeMap<NodeId, Memory> = (1..=4)
            .map(|number| (id(number), Memory::default()))
            .collect();
        let open = |id: NodeId| Recorder::new(id, memory[&id].clone());
        let mut recorded = Cluster::new(&options, open).expect("it starts");
        recorded.keeps_output = true;
        recorded.run().expect("it runs");
        assert!(plain.output.len() > 200, "{}", plain.output.len());
        assert_eq!(plain.output, recorded.output);
        let before: Vec<_> = plain.nodes().map(|node| node.status()).collect();
        let after: Vec<_> = recorded.nodes().map(|node| node.status()).collect();
        assert_eq!(before, after);
        assert!(memory[&id(1)].bytes().len() > 10_000);
    }
}

#[test]
fn every_line_is_json_and_numbered_without_gaps() {
    let memory = Memory::default();
    let options = Options {
        steps: 2000,
        ..Options::default()
    };
    let open = |node: NodeId| {
        let sink = match node == id(1) {
            true => memory.clone(),
            false => Memory::default(),
        };
        Recorder::new(node, sink)
    };
    let mut cluster = Cluster::new(&options, open).expect("it starts");
    cluster.run().expect("it runs");
    drop(cluster);
    let text = String::from_utf8(memory.bytes()).expect("text");
    let mut lines = text.lines().map(|line| {
        let line: serde_json::Value = serde_json::from_str(line).expect(line);
        line
    });
    let header = lines.next().expect("a header");
    assert_eq!(header["lockstep_record"], lockstep_record::FORMAT_VERSION);
    let numbers: Vec<u64> = lines.filter_map(|line| line["line"].as_u64()).collect();
    assert!(numbers.len() > 100);
    assert!(numbers.iter().copied().eq(1..=numbers.len() as u64));
}

/// Runs server 1 alone, which campaigns, and proposes.
fn alone(recorder: Recorder, storage: MemoryStorage, proposals: usize) -> MemoryStorage {
    let mut node =
        RawNode::with_observer(&Config::new(id(1)), storage, recorder).expect("it starts");
    node.campaign().expect("it may");
    let mut left = proposals;
    while node.has_ready() {
        let ready = node.ready().expect("there is one");
        let storage = node.storage_mut();
        storage
            .write(ready.entries, ready.hard_state)
            .expect("it is written");
        node.advance().expect("it is done");
        if left > 0 && !node.has_ready() {
            left -= 1;
            node.propose("x".into()).expect("it leads");
        }
    }
    assert!(node.observer().failure().is_none());
    node.storage().clone()
}

fn storage() -> MemoryStorage {
    MemoryStorage::with_conf_state(ConfState {
        voters: vec![id(1)],
        ..ConfState::default()
    })
}

fn files(folder: &std::path::Path) -> Vec<(String, String)> {
    let mut files: Vec<(String, String)> = fs::read_dir(folder)
        .expect("a folder")
        .map(|entry| {
            let path = entry.expect("an entry").path();
            let name = path
                .file_name()
                .expect("a name")
                .to_string_lossy()
                .into_owned();
            (name, fs::read_to_string(path).expect("text"))
        })
        .collect();
    files.sort();
    files
}

#[test]
fn files_turn_and_a_restart_goes_on_counting() {
    let folder = tempfile::tempdir().expect("a folder");
    let open = || Recorder::open(folder.path(), id(1), 4000).expect("a file");
    let stored = alone(open(), storage(), 100);
    let first = files(folder.path());
    assert!(first.len() > 3, "{}", first.len());
    // Never much longer than asked for: no file is left before a line is complete.
    assert!(
        first
            .iter()
            .all(|(_, text)| text.len() < 6000 && text.ends_with('\n'))
    );
    alone(open(), stored, 1);
    let all = files(folder.path());
    let mut next = 1;
    for (name, text) in &all {
        let mut lines = text.lines();
        let header: serde_json::Value =
            serde_json::from_str(lines.next().expect("a header")).expect("JSON");
        assert_eq!(header["after"], next - 1, "{name}");
        for (place, line) in lines.enumerate() {
            let line: serde_json::Value = serde_json::from_str(line).expect("JSON");
            assert_eq!(line["line"], next, "{name}");
            // The first line of a file has the whole state: a file can be read by itself.
            assert!(place > 0 || line["view"]["transferee"] == 0, "{name}");
            next += 1;
        }
    }
}

#[test]
fn a_torn_line_is_left_and_its_number_used_again() {
    let folder = tempfile::tempdir().expect("a folder");
    let open = || Recorder::open(folder.path(), id(1), 1 << 30).expect("a file");
    let stored = alone(open(), storage(), 5);
    let (name, text) = files(folder.path()).remove(0);
    let lines = text.lines().count();
    fs::write(folder.path().join(name), &text[..text.len() - 7]).expect("it is torn");
    alone(open(), stored, 1);
    let second = &files(folder.path())[1].1;
    // The header does not count, nor does the line that is torn.
    assert!(
        second.contains(&format!("\"after\":{}}}\n", lines - 2)),
        "{second}"
    );
}

/// A sink that has room for this number of bytes.
struct Full(usize);

impl Sink for Full {
    fn write(&mut self, lines: &[u8]) -> io::Result<()> {
        self.0 = self
            .0
            .checked_sub(lines.len())
            .ok_or_else(|| io::Error::other("the disk is full"))?;
        Ok(())
    }
}

#[test]
fn a_full_disk_stops_the_recorder_and_not_the_server() {
    let options = Options {
        steps: 2000,
        ..Options::default()
    };
    let mut plain = Cluster::new(&options, |_| NoObserver).expect("it starts");
    plain.keeps_output = true;
    plain.run().expect("it runs");
    let mut full = Cluster::new(&options, |id| Recorder::new(id, Full(5000))).expect("it starts");
    full.keeps_output = true;
    full.run().expect("it runs");
    assert_eq!(plain.output, full.output);
    for node in full.nodes() {
        let failure = node.observer().failure().expect("it has stopped");
        assert_eq!(failure.to_string(), "the disk is full");
    }
}

#[test]
fn all_is_written_before_a_ready_is_handed_out() {
    let memory = Memory::default();
    let recorder = Recorder::new(id(1), memory.clone());
    let mut node =
        RawNode::with_observer(&Config::new(id(1)), storage(), recorder).expect("it starts");
    node.campaign().expect("it may");
    assert!(memory.bytes().is_empty(), "lines are collected");
    let ready = node.ready().expect("there is one");
    assert!(ready.hard_state.is_some());
    let text = String::from_utf8(memory.bytes()).expect("text");
    assert!(
        text.ends_with("}\n") && text.contains("\"ready\""),
        "{text}"
    );
}
