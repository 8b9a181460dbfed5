//! A server that starts with what its storage holds.

use super::cluster::{entry, id, ids, storage};
use super::untimed::Core;
use crate::config::Config;
use crate::error::{ConfigError, Error, StorageError};
use crate::storage::{MemoryStorage, Storage};
use crate::types::*;
use crate::wire;

fn committed(commit: u64) -> HardState {
    HardState {
        term: Term(3),
        vote: Some(id(2)),
        commit: Index(commit),
    }
}

fn start(storage: MemoryStorage, applied: u64) -> Result<Core<MemoryStorage>, Error> {
    let mut config = Config::new(id(1));
    config.applied = Index(applied);
    Core::new(&config, storage)
}

/// Entries 1 to 4, of which the first two are compacted.
fn compacted(commit: u64) -> MemoryStorage {
    let mut storage = storage(&[1, 2], &[1, 1, 2, 3], committed(4));
    storage.create_snapshot(Index(2), None, "".into()).unwrap();
    storage.compact(Index(2)).unwrap();
    storage.set_hard_state(committed(commit));
    storage
}

#[test]
fn parameters_that_do_not_fit_are_refused() {
    let mut config = Config::new(id(1));
    config.election_timeout_ticks = 0;
    let result = Core::new(&config, MemoryStorage::default());
    assert!(matches!(result, Err(Error::Config(_))));
}

/// The contents of a storage of the application's own, field by field, which may be anything.
#[derive(Clone, Debug)]
struct Says {
    hard_state: HardState,
    members: ConfState,
    first: u64,
    last: u64,
    /// From `first - 1` on.
    terms: Vec<u64>,
    snapshot: Snapshot,
    entries: MemoryStorage,
}

impl Storage for Says {
    fn initial_state(&self) -> Result<(HardState, ConfState), StorageError> {
        Ok((self.hard_state, self.members.clone()))
    }

    fn entries(&self, low: Index, high: Index, max: u64) -> Result<Vec<Entry>, StorageError> {
        self.entries.entries(low, high, max)
    }

    fn term(&self, index: Index) -> Result<Term, StorageError> {
        let at = (index.0 + 1).checked_sub(self.first);
        let term = at.and_then(|at| self.terms.get(at as usize));
        term.map(|&term| Term(term))
            .ok_or(StorageError::Unavailable)
    }

    fn first_index(&self) -> Result<Index, StorageError> {
        Ok(Index(self.first))
    }

    fn last_index(&self) -> Result<Index, StorageError> {
        Ok(Index(self.last))
    }

    fn snapshot(&self) -> Result<Snapshot, StorageError> {
        Ok(self.snapshot.clone())
    }
}

fn members(voters: &[u64]) -> ConfState {
    ConfState {
        voters: ids(voters),
        ..ConfState::default()
    }
}

/// Entries 1 to 4 of terms 1, 1, 2, 3, the first two compacted and in a snapshot; three committed.
fn sound() -> Says {
    let entries = compacted(3);
    Says {
        hard_state: committed(3),
        members: members(&[1, 2]),
        first: 3,
        last: 4,
        terms: vec![1, 2, 3],
        snapshot: entries.snapshot().unwrap(),
        entries,
    }
}

/// The hard state with which a server starts from this storage, or what it says against it.
fn verdict(applied: u64, change: impl FnOnce(&mut Says)) -> Result<HardState, String> {
    let mut says = sound();
    change(&mut says);
    let mut config = Config::new(id(1));
    config.applied = Index(applied);
    match Core::new(&config, says) {
        Ok(node) => Ok(node.hard_state()),
        Err(error @ (Error::Storage(StorageError::Corrupt(_)) | Error::Config(_))) => {
            Err(error.to_string())
        }
        Err(error) => panic!("{error}"),
    }
}

/// The start is refused, and what is said names all of this.
fn refused(names: &[&str], applied: u64, change: impl FnOnce(&mut Says)) {
    let error = verdict(applied, change).unwrap_err();
    let words: Vec<&str> = error.split([' ', ',', ';', ':']).collect();
    for name in names {
        assert!(words.contains(name), "{name} is not in {error:?}");
    }
}

const LIMIT: u64 = u64::MAX / 2;

#[test]
fn what_does_not_contradict_itself_is_taken_as_it_is() {
    assert_eq!(verdict(3, |_| ()), Ok(committed(3)));
    let other = Some(id(9)); // It was removed since.
    let changed = verdict(0, |says| says.hard_state.vote = other);
    assert_eq!(changed.map(|state| state.vote), Ok(other));
    assert_eq!(
        verdict(0, |says| says.hard_state.term = Term(LIMIT)).map(|it| it.term),
        Ok(Term(LIMIT))
    );
}

#[test]
fn hard_state_with_itself() {
    refused(&["vote", "2", "0"], 0, |says| {
        says.hard_state.term = Term(0)
    });
    refused(&["append-thread", "3"], 0, |says| {
        says.hard_state.vote = Some(NodeId::APPEND_THREAD);
    });
    refused(&["9223372036854775808", "9223372036854775807"], 0, |says| {
        says.hard_state.term = Term(LIMIT + 1);
    });
}

#[test]
fn a_term_below_the_last_entry_is_raised_without_its_vote() {
    for (term, vote) in [(0, None), (1, Some(id(2))), (2, Some(id(1))), (2, None)] {
        let start = verdict(0, |says| {
            (says.hard_state.term, says.hard_state.vote) = (Term(term), vote)
        });
        let (term, vote, commit) = (Term(3), None, Index(3));
        assert_eq!(start, Ok(HardState { term, vote, commit }));
    }
    // One entry and nothing else: there is no snapshot that could be a seed.
    let mut storage = storage(&[1, 2], &[1], HardState::default());
    assert_eq!(start(storage.clone(), 0).unwrap().term(), Term(1));
    // A snapshot alone, of a term that it cannot have been made for.
    storage.append([entry(2, 1), entry(2, 2)]).unwrap();
    let snapshot = storage
        .create_snapshot(Index(2), None, "".into())
        .unwrap()
        .clone();
    let mut restored = MemoryStorage::new();
    restored.apply_snapshot(snapshot).unwrap();
    let node = start(restored, 0).unwrap();
    assert_eq!(
        (node.term(), node.vote(), node.commit()),
        (Term(2), None, Index(2))
    );
}

#[test]
fn what_was_raised_is_stored_with_the_next_ready() {
    let mut storage = storage(&[1, 2], &[1, 5], committed(1));
    let mut node = start(storage.clone(), 1).unwrap();
    let ready = node.ready().unwrap();
    let raised = HardState {
        term: Term(5),
        vote: None,
        commit: Index(1),
    };
    assert_eq!((ready.hard_state, ready.must_sync), (Some(raised), true));
    // A commit index that was raised is written when there is something else to write.
    storage.set_hard_state(committed(0));
    storage.set_hard_state(HardState {
        term: Term(5),
        ..committed(0)
    });
    storage.create_snapshot(Index(1), None, "".into()).unwrap();
    let node = start(storage, 1).unwrap();
    assert_eq!((node.commit(), node.has_ready()), (Index(1), false));
}

#[test]
fn a_group_may_be_seeded_with_a_snapshot_of_term_one() {
    let mut seed = storage(&[1, 2], &[1, 1], HardState::default());
    let snapshot = seed
        .create_snapshot(Index(2), None, "".into())
        .unwrap()
        .clone();
    let mut storage = MemoryStorage::new();
    storage.apply_snapshot(snapshot).unwrap();
    let node = start(storage.clone(), 2).unwrap();
    assert_eq!(
        (node.term(), node.commit(), node.has_ready()),
        (Term(0), Index(2), false)
    );
    // Anything behind it, or a stored commit index, and it is no seed.
    let mut more = storage.clone();
    more.append([entry(1, 3)]).unwrap();
    assert_eq!(start(more, 2).unwrap().term(), Term(1));
    storage.set_hard_state(HardState {
        commit: Index(2),
        ..HardState::default()
    });
    assert_eq!(start(storage, 2).unwrap().term(), Term(1));
}

#[test]
fn a_commit_index_below_the_snapshot_is_raised() {
    for commit in 0..=2 {
        assert_eq!(
            verdict(2, |says| says.hard_state.commit = Index(commit)),
            Ok(committed(2))
        );
        let mut inside = compacted(commit);
        inside.create_snapshot(Index(4), None, "".into()).unwrap();
        assert_eq!(start(inside, 4).unwrap().commit(), Index(4));
    }
    // A storage that cannot show its snapshot now still knows what it has compacted.
    let mut beyond = compacted(0);
    beyond.compact(Index(3)).unwrap();
    assert!(beyond.snapshot().is_err());
    assert_eq!(start(beyond, 3).unwrap().commit(), Index(3));
}

#[test]
fn a_commit_index_beyond_the_log_is_refused() {
    assert_eq!(
        verdict(0, |says| says.hard_state.commit = Index(4)),
        Ok(committed(4))
    );
    refused(&["5", "4"], 0, |says| says.hard_state.commit = Index(5));
}

#[test]
fn log_with_itself() {
    refused(&["0", "1"], 0, |says| says.first = 0);
    refused(&["1", "2"], 0, |says| says.last = 1);
    refused(&["9223372036854775808", "9223372036854775807"], 0, |says| {
        says.last = LIMIT + 1
    });
    refused(&["3", "4"], 0, |says| says.terms.truncate(2));
    refused(&["4", "2", "1"], 0, |says| says.terms = vec![1, 2, 1]);
    refused(&["3", "1", "2"], 0, |says| says.terms = vec![2, 1, 2]);
    refused(&["4", "9223372036854775808"], 0, |says| {
        says.terms = vec![1, 2, LIMIT + 1]
    });
    refused(&["3", "0"], 0, |says| says.terms = vec![0, 0, 3]);
    refused(&["first", "7", "0"], 0, |says| {
        (says.first, says.last, says.terms) = (1, 0, vec![7]);
    });
}

#[test]
fn snapshot_with_log() {
    let position = |says: &mut Says, index, term| {
        says.snapshot.metadata.index = Index(index);
        says.snapshot.metadata.term = Term(term);
    };
    refused(&["5", "4"], 0, |says| position(says, 5, 3));
    refused(&["1", "2"], 0, |says| position(says, 1, 1));
    refused(&["4", "2", "3"], 0, |says| position(says, 4, 2));
    assert_eq!(verdict(0, |says| position(says, 4, 3)), Ok(committed(4)));
    // None at all: one has to be made before a server that lags behind can be helped.
    assert_eq!(
        verdict(2, |says| says.snapshot = Snapshot::default()),
        Ok(committed(3))
    );
}

#[test]
fn configuration_with_itself_and_with_the_snapshot() {
    refused(&["2"], 0, |says| says.members.learners = ids(&[2]));
    refused(&["2", "voters"], 0, |says| {
        says.members = ConfState::default()
    });
    refused(&["2", "voters=(1", "voters=(1"], 2, |says| {
        says.members = members(&[1, 2, 3])
    });
    // The same in another order.
    assert!(verdict(2, |says| says.members = members(&[2, 1])).is_ok());
    // Whatever the applied index is, and whether it is known: no entry leads from one to the other.
    for applied in [0, 2, 3] {
        refused(&["voters=(1", "voters=(1", "3"], applied, |says| {
            says.members = members(&[1, 2, 3])
        });
        refused(&["voters=(1)", "voters=(1"], applied, |says| {
            says.members = members(&[1])
        });
        refused(&["voters=()", "voters=(1"], applied, |says| {
            says.snapshot.metadata.conf_state = ConfState::default()
        });
        refused(&["snapshot"], applied, |says| {
            says.snapshot.metadata.conf_state.learners = ids(&[2])
        });
    }
    // Compacted entries named the members, and no snapshot has them.
    refused(&["no", "voters", "2"], 0, |says| {
        says.snapshot = Snapshot::default();
        says.members = ConfState::default();
    });
}

/// The storage follows what is applied, which may be more than is known to be: the configuration is that after
/// some entry from the applied one to the committed one.
#[test]
fn configuration_with_the_entries_that_lead_to_it() {
    let change = |index, node| Entry {
        kind: EntryKind::ConfChange,
        data: wire::encode_conf_change(&ConfChange {
            node: Some(id(node)),
            ..ConfChange::default()
        }),
        ..entry(3, index)
    };
    // Entries 3, 4 and 5 add servers 3, 4 and 5; the last is not committed.
    let storage = |voters: &[u64]| {
        let mut says = sound();
        let added = (3..=5).map(|index| change(index, index));
        says.entries.append(added.collect::<Vec<_>>()).unwrap();
        (says.last, says.terms) = (5, vec![1, 3, 3, 3]);
        says.hard_state = committed(4);
        says.members = members(voters);
        says
    };
    let accepted = |voters: &[u64], applied| {
        let mut config = Config::new(id(1));
        config.applied = Index(applied);
        match Core::new(&config, storage(voters)) {
            Ok(_) => true,
            Err(Error::Storage(StorageError::Corrupt(text))) => {
                assert!(text.contains("voters=(1 2"), "{text}");
                false
            }
            Err(error) => panic!("{error}"),
        }
    };
    let configurations: [&[u64]; 4] = [&[1, 2], &[1, 2, 3], &[1, 2, 3, 4], &[1, 2, 3, 4, 5]];
    for (applied, first) in [(0, 0), (2, 0), (3, 1), (4, 2)] {
        for (number, voters) in configurations.into_iter().enumerate() {
            // That after entry 5 comes too early.
            let expected = (first..=2).contains(&number);
            assert_eq!(
                accepted(voters, applied),
                expected,
                "{voters:?} with {applied} applied"
            );
        }
        assert!(
            !accepted(&[1, 2, 4], applied),
            "out of order, {applied} applied"
        );
    }
}

#[test]
fn applied_with_configuration() {
    let add = |node| ConfChange {
        node: Some(id(node)),
        ..ConfChange::default()
    };
    let change = |index, node| Entry {
        kind: EntryKind::ConfChange,
        data: wire::encode_conf_change(&add(node)),
        ..entry(1, index)
    };
    let mut storage = storage(
        &[1, 2],
        &[1],
        HardState {
            commit: Index(3),
            ..committed(3)
        },
    );
    let state = storage.hard_state();
    storage.append([change(2, 3), change(3, 4)]).unwrap();
    storage.set_hard_state(state);
    // Nothing is applied that the configuration lacks.
    for applied in [0, 1] {
        assert!(start(storage.clone(), applied).is_ok());
    }
    let error = start(storage.clone(), 2).unwrap_err().to_string();
    for name in ["2", "voters=(1 2 3)", "voters=(1 2)", "0"] {
        assert!(error.contains(name), "{error}");
    }
    // A snapshot says which configuration goes with which entry.
    storage
        .create_snapshot(Index(2), Some(members(&[1, 2, 3])), "".into())
        .unwrap();
    assert!(start(storage.clone(), 2).is_ok());
    assert!(start(storage, 3).is_err());

    // A group that was bootstrapped has its first members in its log.
    let mut bootstrapped = MemoryStorage::new();
    bootstrapped.append([change(1, 1), change(2, 2)]).unwrap();
    bootstrapped.set_hard_state(committed(2));
    assert!(start(bootstrapped.clone(), 0).is_ok());
    let error = start(bootstrapped, 2).unwrap_err().to_string();
    assert!(
        error.contains("voters=(1 2)") && error.contains("none"),
        "{error}"
    );

    // A change that changes nothing, or that nobody can have applied, contradicts nothing.
    let mut again = super::cluster::storage(&[1, 2], &[1], committed(1));
    again
        .append([
            change(2, 2),
            Entry {
                data: "?".into(),
                ..change(3, 3)
            },
        ])
        .unwrap();
    again.set_hard_state(committed(3));
    assert!(start(again, 3).is_ok());
}

/// The applied entries are read in pages of a mebibyte, and a change on the second one counts too.
#[test]
fn applied_with_configuration_beyond_one_page() {
    let big = |index| Entry {
        data: vec![0; 700 << 10].into(),
        ..entry(1, index)
    };
    let added = ConfChange {
        node: Some(id(3)),
        ..ConfChange::default()
    };
    let change = Entry {
        kind: EntryKind::ConfChange,
        data: wire::encode_conf_change(&added),
        ..entry(1, 4)
    };
    let mut storage = storage(&[1, 2], &[1], committed(1));
    storage.append([big(2), big(3), change]).unwrap();
    storage.set_hard_state(committed(4));
    assert!(start(storage.clone(), 3).is_ok());
    let error = start(storage, 4).unwrap_err().to_string();
    assert!(error.contains("voters=(1 2 3)"), "{error}");
}

#[test]
fn what_is_applied_lies_between_the_compacted_and_the_committed() {
    for (applied, result) in [
        (0, Some(2)),
        (1, None),
        (2, Some(2)),
        (3, Some(3)),
        (4, None),
    ] {
        let found = start(compacted(3), applied);
        match (result, found) {
            (Some(expected), Ok(node)) => {
                assert_eq!(node.applied(), Index(expected));
                assert_eq!(node.log().applying_bytes(), 0);
            }
            (None, Err(Error::Config(ConfigError::Applied { first, commit, .. }))) => {
                assert_eq!((first, commit), (Index(2), Index(3)));
            }
            (_, found) => panic!("{applied}: {found:?}"),
        }
    }
}

#[test]
fn nothing_is_told_that_has_not_changed() {
    let mut node = start(compacted(2), 2).unwrap();
    assert!(!node.has_ready());
    let ready = node.ready().unwrap();
    assert_eq!(ready, crate::Ready::default());
}
