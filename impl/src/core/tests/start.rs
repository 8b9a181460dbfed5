//! A server that starts with what its storage holds.

use super::cluster::{id, storage};
use crate::config::Config;
use crate::core::Core;
use crate::error::{ConfigError, Error, StorageError};
use crate::storage::MemoryStorage;
use crate::types::*;

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

#[test]
fn a_commit_index_outside_of_the_log_is_corrupt() {
    for (commit, fits) in [(1, false), (2, true), (3, true), (4, true), (5, false)] {
        match start(compacted(commit), 0) {
            Ok(node) => {
                assert!(fits, "{commit}");
                assert_eq!(node.hard_state(), committed(commit));
            }
            Err(error) => {
                assert!(!fits, "{commit}");
                let is_corrupt = matches!(error, Error::Storage(StorageError::Corrupt(_)));
                assert!(is_corrupt, "{error}");
            }
        }
    }
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
