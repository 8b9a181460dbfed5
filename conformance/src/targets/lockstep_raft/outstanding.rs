//! Storage threads that take their time: with [asynchronous storage](lockstep_traces::Storage::Async) what a server
//! hands over stays outstanding until an input says that it is done.

use super::application::{agree, failed};
use super::vocabulary::{entries, from_raft, index, server, snapshot, term};
use crate::target::TargetError;
use lockstep_raft::types::StorageAppend;
use lockstep_raft::{Body, Entry, Message, NodeId};
use lockstep_traces::{Append, Emitted, HardState, Index, StorageAcknowledgement};
use std::collections::VecDeque;

/// The work that the storage threads of one server have, oldest first.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(crate) struct Outstanding {
    appends: VecDeque<StorageAppend>,
    applies: VecDeque<Apply>,
}

/// Entries to be applied, and what the server is to be told then.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Apply {
    pub entries: Vec<Entry>,
    pub responses: Vec<Message>,
}

impl Outstanding {
    /// Takes a write. A snapshot takes the place of all that was to be applied.
    pub(super) fn append(&mut self, append: StorageAppend) {
        if append.snapshot.is_some() {
            self.applies.clear();
        }
        self.appends.push_back(append);
    }

    /// Takes entries to be applied.
    pub(super) fn apply(&mut self, apply: Apply) {
        self.applies.push_back(apply);
    }

    /// The oldest write, which is done now.
    pub(super) fn next_append(&mut self) -> Option<StorageAppend> {
        self.appends.pop_front()
    }

    /// The oldest part to be applied, which is done now.
    pub(super) fn next_apply(&mut self) -> Option<Apply> {
        self.applies.pop_front()
    }

    /// The number of writes.
    pub(super) fn writes(&self) -> usize {
        self.appends.len()
    }

    /// The messages that wait for the writes behind the first `writes`.
    pub(super) fn responses_behind(
        &self,
        writes: usize,
        own: NodeId,
    ) -> Result<Vec<Emitted>, TargetError> {
        let new = self.appends.iter().skip(writes);
        let responses = new.flat_map(|append| &append.responses);
        let others = responses.filter(|it| !matches!(it.body, Body::StorageAppendResponse { .. }));
        let emitted = |message| {
            Ok(Emitted {
                message: from_raft(message, own)?,
                after_persist: true,
            })
        };
        others.map(emitted).collect()
    }

    /// The oldest writes, those that a crash keeps.
    pub(super) fn oldest(&self, kept: u64) -> impl Iterator<Item = &StorageAppend> {
        let kept = usize::try_from(kept).unwrap_or(usize::MAX);
        self.appends.iter().take(kept)
    }

    /// The writes in the vocabulary.
    pub(super) fn appends(&self, own: NodeId) -> Result<Vec<Append>, TargetError> {
        let appends = self.appends.iter();
        appends.map(|append| append_view(append, own)).collect()
    }

    /// The last index of every part to be applied.
    pub(super) fn applies(&self) -> Vec<Index> {
        let last = |apply: &Apply| apply.entries.last().map(|entry| index(entry.index));
        self.applies.iter().filter_map(last).collect()
    }
}

fn append_view(append: &StorageAppend, own: NodeId) -> Result<Append, TargetError> {
    let StorageAppend {
        hard_state,
        snapshot: installed,
        entries: written,
        responses,
    } = append;
    let first = written.first().map(|entry| entry.index);
    let mut waiting = Vec::new();
    let mut acknowledges = None;
    for response in responses {
        match acknowledgement(response, installed.as_ref())? {
            None if acknowledges.is_none() => waiting.push(from_raft(response, own)?),
            Some(it) if acknowledges.is_none() => acknowledges = Some(it),
            _ => {
                let text = format!("a storage thread acknowledges last and once: {responses:?}");
                return Err(TargetError::Failed(text));
            }
        }
    }
    Ok(Append {
        hard_state: hard_state.map(|it| HardState {
            term: term(it.term),
            vote: it.vote.map(server),
            commit: index(it.commit),
        }),
        snapshot: installed.as_ref().map(snapshot).transpose()?,
        first: first.map_or(Index(0), index),
        entries: match first {
            None => Vec::new(),
            Some(first) => entries(written, first)?,
        },
        responses: waiting,
        acknowledges,
    })
}

/// The acknowledgement of a storage thread; `None` if it is another message.
fn acknowledgement(
    message: &Message,
    installed: Option<&lockstep_raft::Snapshot>,
) -> Result<Option<StorageAcknowledgement>, TargetError> {
    let Message {
        from,
        to: _, // The server itself: the caller hands it over there.
        term: of,
        body: Body::StorageAppendResponse { last, snapshot },
    } = message
    else {
        return Ok(None);
    };
    agree("StorageAppendResponse: from", *from, NodeId::APPEND_THREAD)?;
    agree(
        "StorageAppendResponse::snapshot",
        snapshot.as_deref(),
        installed,
    )?;
    Ok(Some(StorageAcknowledgement {
        term: term(*of),
        last_index: last.map_or(Index(0), |it| index(it.index)),
        last_term: last.map_or(lockstep_traces::Term(0), |it| term(it.term)),
        snapshot: installed.map(|it| index(it.metadata.index)),
    }))
}

/// A write that is done. The commit index never falls: the application may have made a later one durable.
pub(super) fn write(
    storage: &mut lockstep_raft::MemoryStorage,
    append: &StorageAppend,
) -> Result<(), TargetError> {
    if let Some(snapshot) = &append.snapshot {
        let installed = storage.apply_snapshot(snapshot.clone());
        installed.map_err(|error| failed(error.into()))?;
    }
    let stored = storage.hard_state().commit;
    let hard_state = append.hard_state.map(|it| lockstep_raft::HardState {
        commit: it.commit.max(stored),
        ..it
    });
    let written = storage.write(append.entries.as_slice(), hard_state);
    written.map_err(|error| failed(error.into()))
}
