//! The stored state of a server, examined before it takes part in anything.
//!
//! Term and vote, log, snapshot, configuration and applied index are written by several calls, come
//! out of backups, and are copied by people. [`examine`] holds each against each: it mends a
//! contradiction that has only one possible reading, and refuses to start on any other. The table in
//! the README of this crate lists all pairs; the tests have one case for each row.

use std::ops::RangeInclusive;

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
    if conf_state.voters.is_empty() && !log.compacted.index.is_zero() {
        return Err(corrupt(format!(
            "the configuration has no voters, and the log, which begins after entry {}, has lost \
             the entries that named them",
            log.compacted.index
        ))
        .into());
    }
    if let Some(snapshot) = snapshot {
        let from = applied.unwrap_or(log.compacted.index);
        let range = from..=hard_state.commit;
        examine_configuration(storage, &tracker, log, &snapshot, &conf_state, range)?;
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
        // What was compacted may be the seed of a group, which is of no term.
        if term.is_zero() && index > compacted {
            return Err(corrupt(format!(
                "entry {index} is of term 0, in which there are no entries"
            )));
        }
        if index.is_zero() && !term.is_zero() {
            return Err(corrupt(format!(
                "the position before the first entry is of term {term} and not of term 0"
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

/// Configuration with snapshot, applied index and log. What is stored has to be the configuration after
/// an entry that is committed, and not one from before the applied one: the changes of membership up to
/// there are not handed out again. It may be a later one, since the application may write its
/// configuration before the applied index.
fn examine_configuration<S: Storage>(
    storage: &S,
    tracker: &ProgressTracker,
    log: Extent,
    snapshot: &Snapshot,
    conf_state: &ConfState,
    applied_to_committed: RangeInclusive<Index>,
) -> Result<(), Error> {
    let (index, of_snapshot) = (snapshot.metadata.index, &snapshot.metadata.conf_state);
    if snapshot.is_empty() && of_snapshot.voters.is_empty() && !conf_state.voters.is_empty() {
        // The first members came from elsewhere, so there is nothing to start from.
        return Ok(());
    }
    let mut now = tracker.without_members();
    let last = log.last.index;
    (now.config, now.progress) = confchange::restore(&now, last, of_snapshot)
        .map_err(|error| corrupt(format!("the configuration in the snapshot: {error}")))?;
    let (applied, committed) = applied_to_committed.into_inner();
    let applied = applied.max(index);
    let mut at_applied = now.config.to_string();
    if index == applied && now.config == tracker.config {
        return Ok(());
    }
    let mut low = index.max(log.compacted.index).next();
    while low <= committed {
        let page = storage.entries(low, committed.next(), PAGE_BYTES)?;
        if page.is_empty() {
            return Err(StorageError::Unavailable.into());
        }
        low += page.len() as u64;
        for entry in page {
            // What cannot be decoded, or does not fit, was applied by nobody.
            let change = wire::conf_change_of(&entry).ok().flatten();
            if let Some(Ok(next)) = change.map(|it| changed(&now, last, &it)) {
                (now.config, now.progress) = next;
            }
            if entry.index == applied {
                at_applied = now.config.to_string();
            }
            if entry.index >= applied && now.config == tracker.config {
                return Ok(());
            }
        }
    }
    let stored = describe(conf_state, tracker);
    Err(corrupt(format!(
        "the stored configuration is {stored}; with entry {applied} applied it is {at_applied}, and no entry \
         up to the committed one, {committed}, makes it the stored one (the snapshot ends with entry {index})"
    ))
    .into())
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
