//! The stored state of a server, examined before it takes part in anything.
//!
//! Term and vote, log, snapshot, configuration and applied index are written by several calls, come
//! out of backups, and are copied by people. [`examine`] holds each against each: it mends a
//! contradiction that has only one possible reading, and refuses to start on any other. The table in
//! the README of this crate lists all pairs; the tests have one case for each row.

use super::membership::changed;
use super::validate::NUMBER_LIMIT;
use crate::confchange;
use crate::config::Config;
use crate::error::{ConfigError, Error, StorageError};
use crate::storage::Storage;
use crate::tracker::ProgressTracker;
use crate::types::{ConfState, EntryId, HardState, Index, Snapshot, Term};
use crate::wire;

/// Upper limit, in encoded bytes, of the entries that are read at once.
const PAGE_BYTES: u64 = 1 << 20;

/// The state in which a server starts.
pub(super) struct Start {
    /// Term, vote and commit index, mended.
    pub hard_state: HardState,
    /// The part of [`hard_state`](Start::hard_state) that need not be written again.
    pub told: HardState,
    /// The applied index, if the application gave one.
    pub applied: Option<Index>,
    /// The members, and the limits of their flow control.
    pub tracker: ProgressTracker,
}

/// The two ends of a stored log.
#[derive(Clone, Copy)]
struct Extent {
    compacted: EntryId,
    last: EntryId,
}

/// Reads the stored state, and mends or refuses what contradicts itself in it.
///
/// # Errors
///
/// [`StorageError::Corrupt`] with both values; [`ConfigError::Applied`]; any error of the storage.
pub(super) fn examine<S: Storage>(config: &Config, storage: &S) -> Result<Start, Error> {
    let (stored, conf_state) = storage.initial_state()?;
    let log = examine_log(storage)?;
    let snapshot = match storage.snapshot() {
        Ok(snapshot) => Some(snapshot),
        Err(StorageError::SnapshotTemporarilyUnavailable) => None,
        Err(error) => return Err(error.into()),
    };
    let covered = match snapshot.as_ref().filter(|snapshot| !snapshot.is_empty()) {
        Some(snapshot) => examine_snapshot(storage, log, snapshot, &conf_state)?,
        None => log.compacted.index,
    };
    let hard_state = mend(&stored, log, covered)?;
    let applied = examine_applied(config.applied, log, hard_state.commit)?;
    let tracker = tracker(config, log.last.index, &conf_state)?;
    if let (Some(applied), Some(snapshot)) = (applied, snapshot) {
        examine_configuration(storage, &tracker, log, &snapshot, &conf_state, applied)?;
    }
    let told = HardState {
        commit: hard_state.commit,
        ..stored
    };
    Ok(Start {
        hard_state,
        told,
        applied,
        tracker,
    })
}

/// Log with log: the ends are in order, every position between them has a term, and the terms
/// never go down.
fn examine_log<S: Storage>(storage: &S) -> Result<Extent, StorageError> {
    let (first, last) = (storage.first_index()?, storage.last_index()?);
    let compacted = first.prev();
    if first.is_zero() {
        return Err(corrupt("the log begins with entry 0; its first entry is 1"));
    }
    if last < compacted {
        return Err(corrupt(format!(
            "the last entry {last} lies before the last compacted one {compacted}"
        )));
    }
    if last.0 > NUMBER_LIMIT {
        return Err(corrupt(format!(
            "the last entry {last} lies beyond the limit of {NUMBER_LIMIT}"
        )));
    }
    let mut before = Term::ZERO;
    let mut log = Extent {
        compacted: EntryId::ZERO,
        last: EntryId::ZERO,
    };
    for index in (compacted.0..=last.0).map(Index) {
        let term = match storage.term(index) {
            Err(StorageError::Compacted | StorageError::Unavailable) => Err(corrupt(format!(
                "the log holds entries {first} to {last}, and entry {index} has no term"
            ))),
            result => result,
        }?;
        if term < before {
            return Err(corrupt(format!(
                "entry {index} is of term {term}, and the one before it of term {before}"
            )));
        }
        if term.0 > NUMBER_LIMIT {
            return Err(corrupt(format!(
                "entry {index} is of term {term}, beyond the limit of {NUMBER_LIMIT}"
            )));
        }
        before = term;
        log.last = EntryId { term, index };
        if index == compacted {
            log.compacted = log.last;
        }
    }
    Ok(log)
}

/// Snapshot with log and configuration. Returns the last entry that both of them cover.
fn examine_snapshot<S: Storage>(
    storage: &S,
    log: Extent,
    snapshot: &Snapshot,
    conf_state: &ConfState,
) -> Result<Index, StorageError> {
    let EntryId { term, index } = snapshot.id();
    if index > log.last.index {
        return Err(corrupt(format!(
            "the snapshot ends with entry {index}, and the log before it, with entry {}",
            log.last.index
        )));
    }
    if index < log.compacted.index {
        return Err(corrupt(format!(
            "the snapshot ends with entry {index}, and the log begins after entry {}",
            log.compacted.index
        )));
    }
    let own = storage.term(index)?;
    if own != term {
        return Err(corrupt(format!(
            "entry {index} is of term {term} in the snapshot and of term {own} in the log"
        )));
    }
    if conf_state.voters.is_empty() {
        return Err(corrupt(format!(
            "the snapshot ends with entry {index}, and the configuration has no voters who could \
             have committed it"
        )));
    }
    Ok(index)
}

/// Hard state with itself, log and snapshot (which ends at `covered`).
fn mend(stored: &HardState, log: Extent, covered: Index) -> Result<HardState, StorageError> {
    if let Some(vote) = stored.vote {
        if stored.term.is_zero() {
            return Err(corrupt(format!(
                "a vote for server {vote} is stored with term 0, in which nobody votes"
            )));
        }
        if vote.is_storage_thread() {
            return Err(corrupt(format!(
                "a vote for {vote}, which is no server, is stored with term {}",
                stored.term
            )));
        }
    }
    if stored.term.0 > NUMBER_LIMIT {
        return Err(corrupt(format!(
            "the stored term {} lies beyond the limit of {NUMBER_LIMIT}",
            stored.term
        )));
    }
    if stored.commit > log.last.index {
        return Err(corrupt(format!(
            "the stored commit index {} lies beyond the log, which ends with entry {}",
            stored.commit, log.last.index
        )));
    }
    // A group may be seeded with a snapshot of term 1 before its first election, which is for
    // that term. Nothing else is there, so there is no second entry of term 1 to take it for.
    let seed = stored.is_empty() && log.last == log.compacted && log.last.term <= Term(1);
    let raised = !seed && log.last.term > stored.term;
    Ok(HardState {
        // No vote of the last entry's term can have been given to anybody who would come to ask
        // again: who asks for votes in a term has no entry of that term yet, so this log refuses it.
        term: if raised { log.last.term } else { stored.term },
        vote: stored.vote.filter(|_| !raised),
        // Only what is committed is compacted or put into snapshots.
        commit: stored.commit.max(covered),
    })
}

/// Applied index with log, snapshot and commit index.
fn examine_applied(
    applied: Index,
    log: Extent,
    commit: Index,
) -> Result<Option<Index>, ConfigError> {
    let first = log.compacted.index;
    if applied.is_zero() {
        return Ok(None);
    }
    if applied < first || applied > commit {
        return Err(ConfigError::Applied {
            applied,
            first,
            commit,
        });
    }
    Ok(Some(applied))
}

/// Configuration with itself.
fn tracker(
    config: &Config,
    last: Index,
    conf_state: &ConfState,
) -> Result<ProgressTracker, StorageError> {
    let mut tracker = ProgressTracker::new(config.max_inflight_messages, config.max_inflight_bytes);
    (tracker.config, tracker.progress) = confchange::restore(&tracker, last, conf_state)
        .map_err(|error| corrupt(format!("the configuration: {error}")))?;
    Ok(tracker)
}

/// Configuration with snapshot and applied index: the changes of membership between the two are
/// not handed out again, so the configuration must have them.
fn examine_configuration<S: Storage>(
    storage: &S,
    tracker: &ProgressTracker,
    log: Extent,
    snapshot: &Snapshot,
    conf_state: &ConfState,
    applied: Index,
) -> Result<(), Error> {
    let (index, of_snapshot) = (snapshot.metadata.index, &snapshot.metadata.conf_state);
    let none = tracker.without_members();
    let last = log.last.index;
    let (config, _) = confchange::restore(&none, last, of_snapshot)
        .map_err(|error| corrupt(format!("the configuration in the snapshot: {error}")))?;
    if config != tracker.config {
        return match !snapshot.is_empty() && index == applied {
            false => Ok(()), // It is that of a later entry.
            true => Err(corrupt(format!(
                "the configuration at entry {index}, which is the applied one, is {config} in the \
                 snapshot, and stored is {}",
                tracker.config
            ))
            .into()),
        };
    }
    let mut now = tracker.clone();
    let mut low = index.max(log.compacted.index).next();
    while low <= applied {
        let page = storage.entries(low, applied.next(), PAGE_BYTES)?;
        if page.is_empty() {
            return Err(StorageError::Unavailable.into());
        }
        low += page.len() as u64;
        // What cannot be decoded, or does not fit, was applied by nobody.
        for change in page.iter().filter_map(|it| wire::conf_change_of(it).ok()?) {
            if let Ok(next) = changed(&now, last, &change) {
                (now.config, now.progress) = next;
            }
        }
    }
    if now.config != tracker.config {
        return Err(corrupt(format!(
            "entries up to {applied} are applied, which makes the configuration {}, and stored is \
             {conf_state}, that of the snapshot, which ends with entry {index}",
            now.config,
            conf_state = describe(conf_state, tracker),
        ))
        .into());
    }
    Ok(())
}

/// A configuration as it is printed; one without members has a word of its own.
fn describe(conf_state: &ConfState, tracker: &ProgressTracker) -> String {
    match conf_state.voters.is_empty() {
        true => "none".to_owned(),
        false => tracker.config.to_string(),
    }
}

fn corrupt(text: impl Into<String>) -> StorageError {
    StorageError::Corrupt(text.into())
}
