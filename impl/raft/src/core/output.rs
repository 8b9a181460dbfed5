//! The output of the core: `Ready`, and the consequences of its completion.

use super::{Core, TimerReset};
use crate::error::{CallError, Error};
use crate::observer::Observer;
use crate::ready::Ready;
use crate::storage::Storage;
use crate::types::{
    Body, EntryId, Index, Message, NodeId, StorageAppend, Term, entries_len, payloads_len,
};

/// The consequences of advancing a `Ready`, without asynchronous storage writes.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(super) struct Pending {
    /// Messages of this server to itself that waited for persistence.
    messages: Vec<Message>,
    persisted: Option<Persisted>,
    applied: Option<Applied>,
}

/// The part of a `Ready` that storage will hold.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Persisted {
    /// The term in which the write was asked for.
    term: Term,
    last: Option<EntryId>,
    snapshot: Option<Index>,
}

/// The part of a `Ready` that the application will have applied.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Applied {
    index: Index,
    encoded_bytes: u64,
    payload_bytes: u64,
}

impl<S: Storage, O: Observer> Core<S, O> {
    /// Whether there is anything for [`ready`](Core::ready) to hand out.
    pub fn has_ready(&self) -> bool {
        !self.messages.is_empty()
            || !self.messages_after_persist.is_empty()
            || self.log.has_next_unstable()
            || self.log.has_next_committed(self.applies_unstable())
            || self.soft_state() != self.told_soft_state
            || (self.hard_state() != self.told_hard_state && !self.hard_state().is_empty())
            || self.log.next_unstable_snapshot().is_some()
            || !self.read_states.is_empty()
            || !self.aborted_transfers.is_empty()
    }

    /// Takes what has to be done, see [`Ready`].
    ///
    /// # Errors
    ///
    /// [`CallError::NotAdvanced`] before the last one was [advanced](Core::advance);
    /// [`Error::Storage`].
    pub fn ready(&mut self) -> Result<Ready, Error> {
        let mut ready = Ready::default();
        self.ready_into(&mut ready)?;
        Ok(ready)
    }

    /// Like [`ready`](Core::ready), into a value whose buffers are used again. What was in it is
    /// dropped; on an error it is left empty.
    ///
    /// # Errors
    ///
    /// Those of [`ready`](Core::ready).
    pub fn ready_into(&mut self, ready: &mut Ready) -> Result<(), Error> {
        ready.clear();
        if self.pending.is_some() {
            return Err(CallError::NotAdvanced.into());
        }
        let applies_unstable = self.applies_unstable();
        self.log
            .next_committed(applies_unstable, &mut ready.committed_entries)?;
        ready
            .entries
            .extend(self.log.next_unstable_entries().cloned());
        ready.snapshot = self.log.next_unstable_snapshot().cloned();
        let (soft_state, hard_state) = (self.soft_state(), self.hard_state());
        ready.soft_state = (soft_state != self.told_soft_state).then_some(soft_state);
        ready.hard_state = (hard_state != self.told_hard_state).then_some(hard_state);
        ready.must_sync = !ready.entries.is_empty()
            || hard_state.term != self.told_hard_state.term
            || hard_state.vote != self.told_hard_state.vote;
        std::mem::swap(&mut ready.read_states, &mut self.read_states);
        std::mem::swap(&mut ready.aborted_transfers, &mut self.aborted_transfers);
        std::mem::swap(&mut ready.messages, &mut self.messages);
        let persisted = self.persisted_by(ready)?;
        let encoded_bytes = entries_len(&ready.committed_entries);
        if self.settings.async_storage_writes {
            self.hand_over(ready, persisted);
            ready.early_messages = ready.messages.len();
        } else {
            self.hold_back(ready, persisted, encoded_bytes);
        }

        self.told_soft_state = soft_state;
        self.told_hard_state = hard_state;
        self.log.accept_unstable();
        if let Some(last) = ready.committed_entries.last() {
            self.log
                .accept_applying(last.index, encoded_bytes, applies_unstable);
        }
        self.check_invariants();
        Ok(())
    }

    /// Everything in the last [`Ready`] is persisted and applied.
    ///
    /// # Errors
    ///
    /// [`CallError::NothingToAdvance`] if no `Ready` was taken since the last time;
    /// [`CallError::AdvanceAsync`] with asynchronous storage writes; [`Error::Storage`].
    pub fn advance(&mut self) -> Result<TimerReset, Error> {
        if self.settings.async_storage_writes {
            return Err(CallError::AdvanceAsync.into());
        }
        let Some(Pending {
            mut messages,
            persisted,
            applied,
        }) = self.pending.take()
        else {
            return Err(CallError::NothingToAdvance.into());
        };
        for message in messages.drain(..) {
            // Nobody waits for an answer of this server to itself.
            self.handle(message)?;
        }
        if let Some(Persisted {
            term,
            last,
            snapshot,
        }) = persisted
        {
            self.handle_storage_append(term, last, snapshot)?;
        }
        if let Some(Applied {
            index,
            encoded_bytes,
            payload_bytes,
        }) = applied
        {
            self.handle_applied(index, encoded_bytes, payload_bytes)?;
        }
        self.check_invariants();
        Ok(self.take_timer_reset())
    }

    /// Whether committed entries may be applied before they are known to be in stable storage:
    /// only if one `Ready` persists first and applies then.
    fn applies_unstable(&self) -> bool {
        !self.settings.async_storage_writes
    }

    /// Returns the position that storage will vouch for when it has written this. It exists without entries too: an
    /// earlier acknowledgement may have been ignored because the term changed, and the write of the new term's hard
    /// state comes after those entries too.
    fn persisted_by(&self, ready: &Ready) -> Result<Option<Persisted>, Error> {
        let has_entries = !self.log.unstable().entries().is_empty();
        let snapshot = ready
            .snapshot
            .as_ref()
            .map(|snapshot| snapshot.metadata.index);
        if !has_entries && snapshot.is_none() {
            return Ok(None);
        }
        let last = match has_entries {
            true => Some(self.log.last_id()?),
            false => None,
        };
        Ok(Some(Persisted {
            term: self.term,
            last,
            snapshot,
        }))
    }

    /// Messages of this server to itself wait for `advance`; the others are sent by a caller who
    /// persists first. `encoded_bytes` is the size of the committed entries.
    fn hold_back(&mut self, ready: &mut Ready, persisted: Option<Persisted>, encoded_bytes: u64) {
        let mut pending = Pending {
            persisted,
            ..Pending::default()
        };
        let own = self.settings.id;
        pending.messages.extend(
            self.messages_after_persist
                .extract_if(.., |it| it.to == own),
        );
        ready.early_messages = ready.messages.len();
        ready.messages.append(&mut self.messages_after_persist);
        pending.applied = ready.committed_entries.last().map(|last| Applied {
            index: last.index,
            encoded_bytes,
            payload_bytes: payloads_len(&ready.committed_entries),
        });
        self.pending = Some(pending);
    }

    /// Puts the work into messages to the storage threads.
    fn hand_over(&mut self, ready: &mut Ready, persisted: Option<Persisted>) {
        let id = self.settings.id;
        let mut responses = std::mem::take(&mut self.messages_after_persist);
        if ready.hard_state.is_some()
            || !ready.entries.is_empty()
            || ready.snapshot.is_some()
            || !responses.is_empty()
        {
            // Last, so that the leader counts its own acknowledgement while the terms of its new
            // entries are still at hand.
            responses.extend(persisted.map(|persisted| Message {
                from: NodeId::APPEND_THREAD,
                to: id,
                term: persisted.term,
                body: Body::StorageAppendResponse {
                    last: persisted.last,
                    snapshot: ready.snapshot.clone().map(Box::new),
                },
            }));
            ready.messages.push(Message {
                from: id,
                to: NodeId::APPEND_THREAD,
                term: ready
                    .hard_state
                    .map_or(Term::ZERO, |hard_state| hard_state.term),
                body: Body::StorageAppend(Box::new(StorageAppend {
                    hard_state: ready.hard_state,
                    entries: ready.entries.clone(),
                    snapshot: ready.snapshot.clone(),
                    responses,
                })),
            });
        }
        if !ready.committed_entries.is_empty() {
            let entries = ready.committed_entries.clone();
            let response = Message {
                from: NodeId::APPLY_THREAD,
                to: id,
                term: Term::ZERO,
                body: Body::StorageApplyResponse {
                    entries: entries.clone(),
                },
            };
            ready.messages.push(Message {
                from: id,
                to: NodeId::APPLY_THREAD,
                term: Term::ZERO,
                body: Body::StorageApply {
                    entries,
                    responses: vec![response],
                },
            });
        }
    }
}
