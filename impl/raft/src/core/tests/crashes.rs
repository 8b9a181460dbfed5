//! A crash between the durable writes of a server, in the documented order and in the others.

use super::async_writes::append;
use super::cluster::{entry, id, ids, message, snapshot, storage};
use super::untimed::Core;
use crate::config::Config;
use crate::core::Refusal;
use crate::error::Error;
use crate::observer::CampaignObstacle;
use crate::storage::{MemoryStorage, Storage as _};
use crate::types::*;
use crate::wire;

/// One durable write.
#[derive(Clone, Debug)]
enum Write {
    Snapshot(Snapshot),
    /// Entries and hard state in one step.
    Log(Vec<Entry>, Option<HardState>),
    Entries(Vec<Entry>),
    HardState(Option<HardState>),
}

fn perform(disk: &mut MemoryStorage, write: &Write) {
    match write {
        Write::Snapshot(snapshot) => disk.apply_snapshot(snapshot.clone()).unwrap(),
        Write::Log(entries, hard_state) => disk.write(entries.clone(), *hard_state).unwrap(),
        Write::Entries(entries) => disk.append(entries.clone()).unwrap(),
        Write::HardState(None) => {}
        Write::HardState(Some(hard_state)) => disk.set_hard_state(*hard_state),
    }
}

/// The documented order.
fn in_order(work: &StorageAppend) -> Vec<Write> {
    let snapshot = work.snapshot.clone().map(Write::Snapshot).into_iter();
    let log = Write::Log(work.entries.clone(), work.hard_state);
    snapshot.chain([log]).collect()
}

fn change(index: u64, node: u64) -> Entry {
    let add = ConfChange {
        node: Some(id(node)),
        ..ConfChange::default()
    };
    Entry {
        kind: EntryKind::ConfChange,
        data: wire::encode_conf_change(&add),
        ..entry(2, index)
    }
}

/// Server 2 of three, in term 2, with entries 1 to 3 of terms 1, 1, 2, two of them committed.
fn disk() -> MemoryStorage {
    let (term, vote, commit) = (Term(2), Some(id(1)), Index(2));
    storage(&[1, 2, 3], &[1, 1, 2], HardState { term, vote, commit })
}

fn start(disk: MemoryStorage, asynchronous: bool) -> Result<Core<MemoryStorage>, Error> {
    let mut config = Config::new(id(2));
    config.async_storage_writes = asynchronous;
    Core::new(&config, disk)
}

/// Inputs that lead to writes of every kind, alone and together.
fn inputs() -> Vec<(&'static str, Vec<Message>)> {
    let members = || ConfState {
        voters: ids(&[1, 2, 3]),
        ..ConfState::default()
    };
    let request = Body::RequestVote {
        last: EntryId::new(Term(2), Index(9)),
        force: false,
    };
    let changes = Body::AppendEntries {
        prev: EntryId::new(Term(2), Index(3)),
        entries: vec![change(4, 4), change(5, 5)],
        commit: Index(4),
    };
    let install = || message(3, 2, 4, snapshot(3, 10, members()));
    vec![
        (
            "append",
            vec![message(1, 2, 2, append(2, (2, 3), &[2, 2], 4))],
        ),
        (
            "conflict",
            vec![message(3, 2, 3, append(3, (1, 2), &[3, 3], 3))],
        ),
        ("vote", vec![message(3, 2, 5, request.clone())]),
        (
            "vote after an append",
            vec![
                message(1, 2, 2, append(2, (2, 3), &[2], 3)),
                message(3, 2, 5, request),
            ],
        ),
        ("snapshot", vec![install()]),
        (
            "snapshot and entries behind it",
            vec![install(), message(3, 2, 4, append(4, (3, 10), &[4, 4], 4))],
        ),
        (
            "entries that a snapshot overtakes",
            vec![message(1, 2, 2, append(2, (2, 3), &[2], 3)), install()],
        ),
        ("changes of membership", vec![message(1, 2, 2, changes)]),
    ]
}

/// Some input of which all writes are handed out, and what leaves once each of them is durable.
struct Run {
    /// With the number of writes that must be durable before the messages leave.
    work: Vec<(Vec<Write>, Vec<Message>)>,
}

/// All inputs, then one `Ready`; or with asynchronous writes a `Ready` after each of them.
fn run(inputs: &[Message], asynchronous: bool) -> Run {
    let mut node = start(disk(), asynchronous).unwrap();
    let mut work = Vec::new();
    for (at, input) in inputs.iter().enumerate() {
        node.step(input.clone()).unwrap();
        if !asynchronous && at + 1 < inputs.len() {
            continue;
        }
        let ready = node.ready().unwrap();
        if asynchronous {
            for message in ready.messages {
                if let Body::StorageAppend(append) = message.body {
                    work.push((in_order(&append), append.responses));
                }
            }
        } else {
            let append = StorageAppend {
                snapshot: ready.snapshot,
                entries: ready.entries,
                hard_state: ready.hard_state,
                responses: ready.messages,
            };
            work.push((in_order(&append), append.responses));
        }
    }
    Run { work }
}

/// Checks that what a message vouches for is on the disk.
fn keeps_promise(node: &Core<MemoryStorage>, promise: &Message) {
    match &promise.body {
        Body::RequestVoteResponse { granted: true } => {
            assert!(node.term() >= promise.term);
            if node.term() == promise.term {
                assert_eq!(node.vote(), Some(promise.to));
            }
        }
        Body::AppendEntriesResponse {
            index,
            rejection: None,
        } => {
            assert!(node.term() >= promise.term);
            assert!(
                node.storage().last_index().unwrap() >= *index,
                "{promise:?}"
            );
        }
        _ => {}
    }
}

fn terms(disk: &MemoryStorage) -> Vec<(u64, u64)> {
    let last = disk.last_index().unwrap().0;
    let first = disk.first_index().unwrap().0;
    (first..=last)
        .map(|index| (index, disk.term(Index(index)).unwrap().0))
        .collect()
}

#[test]
fn a_crash_between_writes_in_the_documented_order_is_safe() {
    let mut points = 0;
    for (what, inputs) in inputs() {
        for asynchronous in [false, true] {
            let Run { work } = run(&inputs, asynchronous);
            let writes: Vec<&Write> = work.iter().flat_map(|(writes, _)| writes).collect();
            let mut complete = disk();
            writes
                .iter()
                .for_each(|write| perform(&mut complete, write));
            for durable in 0..=writes.len() {
                points += 1;
                let mut disk = disk();
                let old = disk.hard_state();
                for write in &writes[..durable] {
                    perform(&mut disk, write);
                }
                let at = format!("{what}, crash after {durable} of {}", writes.len());
                let mut node = start(disk, asynchronous).unwrap_or_else(|e| panic!("{at}: {e}"));
                assert!(node.term() >= old.term, "{at}");
                if node.term() == old.term {
                    assert_eq!(node.vote(), old.vote, "{at}");
                }
                // Nothing counts as committed but what is.
                for (index, term) in terms(node.storage()) {
                    if Index(index) <= node.commit() {
                        let stored = complete.term(Index(index)).unwrap_or(Term(term));
                        assert_eq!(stored, Term(term), "{at}: entry {index}");
                    }
                }
                let mut written = 0;
                for (writes, promises) in &work {
                    written += writes.len();
                    if written <= durable {
                        promises.iter().for_each(|it| keeps_promise(&node, it));
                    }
                }
                // What was lost comes again, and all is as if nothing had happened.
                for input in &inputs {
                    let _ = node.step(input.clone());
                }
                finish(&mut node);
                assert_eq!(terms(node.storage()), terms(&complete), "{at}");
                assert_eq!(node.storage().hard_state(), complete.hard_state(), "{at}");
            }
        }
    }
    assert!(points > 40, "{points}");
}

fn finish(node: &mut Core<MemoryStorage>) {
    while node.has_ready() {
        let ready = node.ready().unwrap();
        let asynchronous = node.async_storage_writes();
        if !asynchronous {
            if let Some(snapshot) = ready.snapshot {
                node.storage_mut().apply_snapshot(snapshot).unwrap();
            }
            let storage = node.storage_mut();
            storage.write(ready.entries, ready.hard_state).unwrap();
            node.advance().unwrap();
            continue;
        }
        for message in ready.messages {
            let responses = match message.body {
                Body::StorageAppend(work) => {
                    for write in in_order(&work) {
                        perform(node.storage_mut(), &write);
                    }
                    work.responses
                }
                Body::StorageApply { responses, .. } => responses,
                _ => continue,
            };
            for response in responses {
                if response.to == id(2) {
                    node.step(response).unwrap();
                }
            }
        }
    }
}

/// The one `Ready` that follows from an input, its writes one by one in this order, and a crash
/// after the first of them.
fn crash_after_the_first(
    input: &Message,
    order: impl Fn(StorageAppend) -> Vec<Write>,
) -> MemoryStorage {
    let mut node = start(disk(), false).unwrap();
    node.step(input.clone()).unwrap();
    let ready = node.ready().unwrap();
    let mut disk = disk();
    let work = StorageAppend {
        snapshot: ready.snapshot,
        entries: ready.entries,
        hard_state: ready.hard_state,
        responses: Vec::new(),
    };
    perform(&mut disk, &order(work)[0]);
    disk
}

fn hard_state_first(work: StorageAppend) -> Vec<Write> {
    vec![
        Write::HardState(work.hard_state),
        Write::Entries(work.entries),
    ]
}

fn entries_first(work: StorageAppend) -> Vec<Write> {
    vec![
        Write::Entries(work.entries),
        Write::HardState(work.hard_state),
    ]
}

#[test]
fn hard_state_before_entries_commits_what_was_to_be_replaced() {
    // The leader of term 3 replaces entry 3 and commits its own.
    let conflict = message(3, 2, 3, append(3, (1, 2), &[3], 3));
    let disk = crash_after_the_first(&conflict, hard_state_first);
    let mut node = start(disk, false).unwrap();
    let applied = node.ready().unwrap().committed_entries;
    let last = applied.last().map(Entry::id);
    assert_eq!(
        last,
        Some(EntryId::new(Term(2), Index(3))),
        "never committed"
    );
    // One step cannot do that.
    let disk = crash_after_the_first(&conflict, |work| in_order(&work));
    let mut node = start(disk, false).unwrap();
    let applied = node.ready().unwrap().committed_entries;
    let last = applied.last().map(Entry::id);
    assert_eq!(last, Some(EntryId::new(Term(3), Index(3))));
}

#[test]
fn hard_state_before_entries_or_snapshot_may_not_start_again() {
    let members = ConfState {
        voters: ids(&[1, 2, 3]),
        ..ConfState::default()
    };
    let install = message(3, 2, 3, snapshot(3, 10, members));
    let longer = message(1, 2, 2, append(2, (2, 3), &[2, 2], 2));
    let commit = message(1, 2, 2, {
        let prev = EntryId::new(Term(2), Index(3));
        let entries = vec![entry(2, 4), entry(2, 5)];
        Body::AppendEntries {
            prev,
            entries,
            commit: Index(5),
        }
    });
    for (input, starts) in [(&install, false), (&commit, false), (&longer, true)] {
        let disk = crash_after_the_first(input, hard_state_first);
        assert_eq!(start(disk, false).is_ok(), starts, "{input:?}");
        let disk = crash_after_the_first(input, |work| in_order(&work));
        assert!(start(disk, false).is_ok());
    }
}

#[test]
fn entries_before_hard_state_campaign_in_an_old_configuration() {
    // Entry 4 adds server 4. Entry 5 adds server 5, which was proposed when entry 4 was applied, and so
    // tells that entry 4 is committed: three of four voters elect a leader now.
    let prev = EntryId::new(Term(2), Index(3));
    let body = |entries, commit| Body::AppendEntries {
        prev,
        entries,
        commit: Index(commit),
    };
    let both = message(1, 2, 2, body(vec![change(4, 4), change(5, 5)], 4));
    let disk = crash_after_the_first(&both, entries_first);
    let mut node = start(disk, false).unwrap();
    node.campaign().unwrap();
    let voters = &node.tracker().config.voters.incoming;
    assert_eq!(
        voters.ids().as_slice(),
        ids(&[1, 2, 3]),
        "two of three are enough"
    );
    assert_eq!(
        (node.role(), node.log().last_index()),
        (Role::Candidate, Ok(Index(5)))
    );
    // With the commit index it waits until it has applied entry 4.
    let disk = crash_after_the_first(&both, |work| in_order(&work));
    let mut node = start(disk, false).unwrap();
    let unapplied = Refusal::Campaign(CampaignObstacle::UnappliedConfChange);
    assert_eq!(node.campaign(), Err(unapplied.into()));
}
