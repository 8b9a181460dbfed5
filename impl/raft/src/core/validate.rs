//! Validation of incoming messages. A message that passes can be handled without harm, whoever sent it.

use super::Core;
use super::proposal::defect;
use crate::error::{CallError, Error, PeerError};
use crate::observer::Observer;
use crate::storage::Storage;
use crate::types::{
    Body, Entry, EntryId, Index, Message, MessageKind, NodeId, Role, Snapshot, Term,
};

/// No term or index of a group that runs for a thousand years comes near this. Refusing more
/// keeps all arithmetic far from its limits.
pub(super) const NUMBER_LIMIT: u64 = u64::MAX / 2;

impl<S: Storage, O: Observer> Core<S, O> {
    /// Refuses what no correct server sends, before anything is changed.
    pub(super) fn validate(&self, message: &Message) -> Result<(), Error> {
        let (kind, from) = (message.kind(), message.from);
        if kind.is_local() {
            // Only answers to what was asked of the storage threads come in as messages.
            let asked = self.settings.async_storage_writes
                && match kind {
                    MessageKind::StorageAppendResponse => from == NodeId::APPEND_THREAD,
                    MessageKind::StorageApplyResponse => from == NodeId::APPLY_THREAD,
                    _ => false,
                };
            if !asked {
                return Err(PeerError::LocalMessage { from, kind }.into());
            }
        } else if kind.is_response()
            && from != self.settings.id
            && !self.tracker.progress.contains(from)
        {
            // What this server says to itself may come after it was removed: then it counts for nothing, and nobody
            // is to blame.
            return Err(PeerError::UnknownPeer { from, kind }.into());
        }
        let reason = match self.defect_of_sender(kind, from) {
            Some(reason) => Some(reason),
            None => self.defect(message)?,
        };
        match reason {
            None => Ok(()),
            Some(reason) => Err(PeerError::Malformed { from, kind, reason }.into()),
        }
    }

    /// Requests come from other servers, or from this one by way of others; the only answers of
    /// this server to itself are those that storage held back.
    fn defect_of_sender(&self, kind: MessageKind, from: NodeId) -> Option<&'static str> {
        if kind.is_local() {
            return None;
        }
        if from.is_storage_thread() {
            return Some("a storage thread is no server");
        }
        let returns = match kind {
            MessageKind::Propose
            | MessageKind::ReadIndex
            | MessageKind::TransferLeader
            | MessageKind::ForgetLeader => true,
            MessageKind::AppendEntriesResponse
            | MessageKind::RequestVoteResponse
            | MessageKind::RequestPreVoteResponse => self.settings.async_storage_writes,
            _ => false,
        };
        (from == self.settings.id && !returns).then_some("this server did not send it")
    }

    fn defect(&self, message: &Message) -> Result<Option<&'static str>, Error> {
        if message.term.0 > NUMBER_LIMIT {
            return Ok(Some("the term is absurd"));
        }
        // Of a stale message only the kind is looked at.
        let current = message.term >= self.term;
        Ok(match &message.body {
            Body::Propose { entries } => defect_of_proposal(message.term, entries),
            Body::ReadIndex { .. } if !message.term.is_zero() => Some("it belongs to no term"),
            Body::RequestVote { last, .. } | Body::RequestPreVote { last } => {
                defect_of_candidate(message.term, *last)
            }
            Body::AppendEntries {
                prev,
                entries,
                commit,
            } => defect_of_append(message.term, *prev, entries, *commit),
            Body::Heartbeat { commit, .. } => match message.term {
                Term::ZERO => Some("nobody leads term zero"),
                _ if current && *commit > self.log.last_index()? => {
                    Some("it commits what this server does not have")
                }
                _ => None,
            },
            Body::InstallSnapshot { snapshot } => self.defect_of_snapshot(message.term, snapshot),
            Body::TimeoutNow if message.term.is_zero() => Some("nobody leads term zero"),
            Body::AppendEntriesResponse { index, rejection } => {
                let hint = rejection.map_or(Index::ZERO, |rejection| rejection.hint_index);
                if index.0 > NUMBER_LIMIT || hint.0 > NUMBER_LIMIT {
                    Some("the index is absurd")
                } else if rejection.is_none()
                    && self.role == Role::Leader
                    && message.term == self.term
                    && *index > self.log.last_index()?
                {
                    Some("it acknowledges what this leader does not have")
                } else {
                    None
                }
            }
            Body::StorageAppendResponse { snapshot, .. } => snapshot
                .as_ref()
                .is_some_and(|snapshot| snapshot.metadata.index > self.log.committed())
                .then_some("the snapshot is not committed"),
            Body::StorageApplyResponse { entries } => entries
                .last()
                .is_some_and(|last| last.index > self.log.applying())
                .then_some("it was not asked to apply that"),
            _ => None,
        })
    }

    fn defect_of_snapshot(&self, term: Term, snapshot: &Snapshot) -> Option<&'static str> {
        let id = snapshot.id();
        // Nobody leads term zero, but a group may be seeded with a snapshot before the first
        // election, by a server that was started from it.
        let seeds = term.is_zero() && self.term.is_zero() && id.term.0 <= 1;
        if term.is_zero() && !seeds {
            Some("nobody leads term zero")
        } else if id.index.0 > NUMBER_LIMIT {
            Some("the index is absurd")
        } else if id.term > term && !seeds {
            Some("the snapshot is of a later term")
        } else if term >= self.term
            && id.index > self.log.committed()
            && !self.restorable(&snapshot.metadata.conf_state)
        {
            Some("the configuration in the snapshot is invalid")
        } else {
            None
        }
    }
}

fn defect_of_proposal(term: Term, entries: &[Entry]) -> Option<&'static str> {
    if !term.is_zero() {
        Some("it belongs to no term")
    } else if entries.is_empty() {
        Some("it proposes nothing")
    } else {
        entries.iter().find_map(defect).map(|defect| match defect {
            CallError::ConfChange(_) => "it makes a storage thread a server",
            _ => "it holds a configuration change that is none",
        })
    }
}

fn defect_of_candidate(term: Term, last: EntryId) -> Option<&'static str> {
    if term.is_zero() {
        Some("nobody campaigns for term zero")
    } else if last.term > term {
        Some("its log is ahead of its term")
    } else {
        None
    }
}

/// A slice of a leader's log: consecutive positions, terms that never decrease, none of them
/// later than the leader's own.
fn defect_of_append(
    term: Term,
    prev: EntryId,
    entries: &[Entry],
    commit: Index,
) -> Option<&'static str> {
    if term.is_zero() {
        return Some("nobody leads term zero");
    }
    if prev.index.0 > NUMBER_LIMIT || commit.0 > NUMBER_LIMIT {
        return Some("the index is absurd");
    }
    let mut last = prev;
    for entry in entries {
        if entry.index != last.index.next() {
            return Some("its entries are not consecutive");
        }
        if entry.term.is_zero() {
            return Some("it holds entries of term zero, in which nobody leads");
        }
        if entry.term < last.term {
            return Some("the terms of its entries decrease");
        }
        last = entry.id();
    }
    (last.term > term).then_some("it holds entries of a later term")
}
