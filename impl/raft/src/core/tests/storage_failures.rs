//! Errors of storage are passed on: a server never goes on as if it had an answer.

use std::cell::RefCell;
use std::collections::BTreeSet;

use bytes::Bytes;

use super::cluster::{entry, id, ids, message};
use super::untimed::Core;
use crate::config::Config;
use crate::error::{Error, StorageError};
use crate::storage::{MemoryStorage, Storage};
use crate::timer::Timer;
use crate::types::*;

/// A storage some of whose methods fail.
#[derive(Clone, Debug, Default)]
struct Failing {
    inner: MemoryStorage,
    broken: RefCell<BTreeSet<&'static str>>,
    /// The error that those calls return.
    error: Option<StorageError>,
    /// Whether it says that there is none, in the way of a storage without a log.
    has_no_snapshot: bool,
}

impl Failing {
    fn answer<T>(
        &self,
        method: &'static str,
        otherwise: impl FnOnce(&MemoryStorage) -> Result<T, StorageError>,
    ) -> Result<T, StorageError> {
        match &self.error {
            Some(error) if self.broken.borrow().contains(method) => Err(error.clone()),
            _ => otherwise(&self.inner),
        }
    }
}

impl Storage for Failing {
    fn initial_state(&self) -> Result<(HardState, ConfState), StorageError> {
        self.answer("initial_state", Storage::initial_state)
    }

    fn entries(&self, low: Index, high: Index, max_bytes: u64) -> Result<Vec<Entry>, StorageError> {
        self.answer("entries", |it| it.entries(low, high, max_bytes))
    }

    fn term(&self, index: Index) -> Result<Term, StorageError> {
        self.answer("term", |it| it.term(index))
    }

    fn first_index(&self) -> Result<Index, StorageError> {
        self.answer("first_index", Storage::first_index)
    }

    fn last_index(&self) -> Result<Index, StorageError> {
        self.answer("last_index", Storage::last_index)
    }

    fn snapshot(&self) -> Result<Snapshot, StorageError> {
        match self.has_no_snapshot {
            true => Ok(Snapshot::default()),
            false => self.answer("snapshot", Storage::snapshot),
        }
    }
}

/// A leader of term 2 with entries 1 to 5, of which 1 to 3 are compacted; server 2 was heard of and
/// has everything, server 3 was not.
fn leader() -> Core<Failing> {
    let conf_state = ConfState {
        voters: ids(&[1, 2, 3]),
        ..ConfState::default()
    };
    let mut inner = MemoryStorage::with_conf_state(conf_state);
    let entries: Vec<Entry> = (1..=4).map(|index| entry(1, index)).collect();
    inner.append(entries).unwrap();
    inner.set_hard_state(HardState {
        term: Term(1),
        vote: None,
        commit: Index(3),
    });
    let snapshot = inner.create_snapshot(Index(3), None, Bytes::new());
    snapshot.unwrap();
    inner.compact(Index(3)).unwrap();
    let mut config = Config::new(id(1));
    config.applied = Index(3);
    let storage = Failing {
        inner,
        ..Failing::default()
    };
    let mut node = Core::new(&config, storage).unwrap();
    node.campaign().unwrap();
    work(&mut node);
    let granted = Body::RequestVoteResponse { granted: true };
    node.step(message(2, 1, 2, granted)).unwrap();
    work(&mut node);
    acknowledge(&mut node, 2, 5).unwrap();
    work(&mut node);
    assert_eq!((node.role(), node.commit()), (Role::Leader, Index(5)));
    node
}

fn work(node: &mut Core<Failing>) -> Vec<Message> {
    let mut messages = Vec::new();
    while node.has_ready() {
        let ready = node.ready().unwrap();
        let storage = &mut node.storage_mut().inner;
        storage.append(ready.entries).unwrap();
        if let Some(hard_state) = ready.hard_state {
            storage.set_hard_state(hard_state);
        }
        messages.extend(ready.messages);
        node.advance().unwrap();
    }
    messages
}

fn acknowledge(node: &mut Core<Failing>, from: u64, index: u64) -> Result<(), Error> {
    let (index, rejection) = (Index(index), None);
    let body = Body::AppendEntriesResponse { index, rejection };
    node.step(message(from, 1, 2, body))
}

/// Server 3 says that its log is empty.
fn refuse(node: &mut Core<Failing>) -> Result<(), Error> {
    let index = node.tracker().progress.get(id(3)).unwrap().next().prev();
    let rejection = Some(Rejection {
        hint_index: Index(0),
        hint_term: Term(0),
    });
    let body = Body::AppendEntriesResponse { index, rejection };
    node.step(message(3, 1, 2, body))
}

fn fail(node: &mut Core<Failing>, method: &'static str, error: StorageError) {
    let storage = node.storage_mut();
    storage.error = Some(error);
    storage.broken.borrow_mut().clear();
    storage.broken.borrow_mut().insert(method);
}

fn broken() -> StorageError {
    StorageError::Corrupt("broken".to_owned())
}

#[test]
fn a_snapshot_that_cannot_be_read_is_an_error() {
    let mut node = leader();
    fail(&mut node, "snapshot", broken());
    assert_eq!(refuse(&mut node), Err(broken().into()));
}

#[test]
fn a_compacted_log_without_a_snapshot_is_corrupt() {
    let mut node = leader();
    node.storage_mut().has_no_snapshot = true;
    let error = refuse(&mut node).unwrap_err();
    assert!(matches!(error, Error::Storage(StorageError::Corrupt(_))));
}

/// One that is being made is asked for again when the follower is heard of again, and not before.
#[test]
fn a_snapshot_that_is_not_there_yet_is_waited_for() {
    let mut node = leader();
    let later = StorageError::SnapshotTemporarilyUnavailable;
    fail(&mut node, "snapshot", later);
    refuse(&mut node).unwrap();
    assert!(work(&mut node).is_empty());
    // What it acknowledges lies before the log: still a snapshot is needed, and still there is none.
    acknowledge(&mut node, 3, 1).unwrap();
    assert!(work(&mut node).is_empty());
    node.storage_mut().error = None;
    let context = Bytes::new();
    let heard = message(3, 1, 2, Body::HeartbeatResponse { context });
    node.step(heard).unwrap();
    let sent = work(&mut node);
    assert!(
        matches!(sent.as_slice(), [one] if one.kind() == MessageKind::InstallSnapshot),
        "{sent:?}"
    );
}

/// Between the question for the term and that for the entries the log was compacted.
#[test]
fn entries_that_were_compacted_just_now_become_a_snapshot() {
    let mut node = leader();
    // Server 3 has entry 3, the last of those that are compacted.
    let index = node.tracker().progress.get(id(3)).unwrap().next().prev();
    let rejection = Some(Rejection {
        hint_index: Index(3),
        hint_term: Term(1),
    });
    let body = Body::AppendEntriesResponse { index, rejection };
    fail(&mut node, "entries", StorageError::Compacted);
    node.step(message(3, 1, 2, body)).unwrap();
    let sent = work(&mut node);
    assert!(
        matches!(sent.as_slice(), [one] if one.kind() == MessageKind::InstallSnapshot),
        "{sent:?}"
    );
}

#[test]
fn every_call_passes_an_error_of_storage_on() {
    let expected = Err(Error::Storage(broken()));
    for method in ["last_index", "term", "entries"] {
        let mut follower = {
            let mut node = leader();
            let heartbeat = Body::Heartbeat {
                commit: Index(0),
                context: Bytes::new(),
            };
            node.step(message(2, 1, 3, heartbeat)).unwrap();
            work(&mut node);
            node
        };
        fail(&mut follower, method, broken());
        if method != "entries" {
            assert_eq!(follower.campaign(), expected, "{method}");
        }
        let mut node = leader();
        fail(&mut node, method, broken());
        if method == "term" {
            assert_eq!(node.read_index(Bytes::from("r")), expected);
        } else if method == "last_index" {
            assert_eq!(node.transfer_leadership(id(2)), expected);
            assert_eq!(node.propose(Bytes::from("x")), expected);
        } else if method == "entries" {
            let index = node.tracker().progress.get(id(3)).unwrap().next().prev();
            let rejection = Some(Rejection {
                hint_index: Index(3),
                hint_term: Term(1),
            });
            let body = Body::AppendEntriesResponse { index, rejection };
            assert_eq!(node.step(message(3, 1, 2, body)), expected);
        }
    }
}

#[test]
fn a_server_does_not_start_from_a_storage_that_fails() {
    for method in ["initial_state", "first_index", "last_index", "term"] {
        let mut node = leader();
        fail(&mut node, method, broken());
        let config = Config::new(id(1));
        let result = Core::new(&config, node.storage().clone());
        assert_eq!(result.err(), Some(broken().into()), "{method}");
    }
}

#[test]
fn a_storage_error_that_blocks_leaving_joint_is_reported() {
    let mut node = leader();
    let change = ConfChangeV2 {
        transition: Transition::JointImplicit,
        changes: vec![ConfChangeSingle::new(ConfChangeKind::AddLearner, id(4))],
        ..ConfChangeV2::default()
    };
    node.apply_conf_change(&change).unwrap();
    work(&mut node);
    assert!(node.applied() >= node.pending_conf_index());
    fail(&mut node, "last_index", broken());
    assert_eq!(node.leave_joint_if_due(), Err(broken().into()));
}

#[test]
fn a_timer_passes_an_error_of_storage_on() {
    let config = Config::new(id(1));
    let mut timer = Timer::new(&config);
    let mut node = Core::new(&config, leader().storage().clone()).unwrap();
    work(&mut node);
    timer.follow(node.take_timer_reset());
    fail(&mut node, "term", broken());
    let limit = 2 * timer.election_timeout_ticks();
    let error = (0..limit).find_map(|_| timer.tick(&mut node).err());
    assert_eq!(error, Some(broken().into()));
}
