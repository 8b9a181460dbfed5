//! The application around one server: it does what every [`Ready`] asks for, and holds the server to
//! what it says.
//!
//! What the vocabulary has a word for goes into the [`Output`](crate::target::Output) and is compared
//! with the specification. The rest of a `Ready` says in another way what the state says already (a
//! soft state that changed, a hard state to be stored, what must be synchronised); each of these is
//! compared here with the state of the server and with what it said before. `conformance/COMPARED.md`
//! lists every field.

use super::outstanding::{self, Apply, Outstanding};
use super::vocabulary::{from_raft, handed, read_state, snapshot_data};
use crate::target::TargetError;
use lockstep_raft::types::StorageAppend;
use lockstep_raft::{
    Body, CallError, ConfChangeV2, ConfState, Core, Entry, HardState, Index, MemoryStorage,
    Message, NodeId, RawNode, Ready, Role, Snapshot, SoftState, Storage, Term, TimerReset,
};
use lockstep_traces::{Emitted, Handed, ReadState};
use std::fmt;

/// A server of the production Raft, with its timer or without.
pub(crate) trait Node {
    /// The server without its timer.
    fn core(&self) -> &Core<MemoryStorage>;
    /// Its storage, to be written.
    fn storage_mut(&mut self) -> &mut MemoryStorage;
    /// Writes the pending work into a value that is used again.
    fn ready_into(&mut self, ready: &mut Ready) -> Result<(), lockstep_raft::Error>;
    /// That is done. Orders to the timer are those that the server does not follow itself.
    fn advance(&mut self) -> Result<TimerReset, lockstep_raft::Error>;
    /// A change of membership is applied.
    fn apply_conf_change(
        &mut self,
        change: ConfChangeV2,
    ) -> Result<(ConfState, TimerReset), lockstep_raft::Error>;
    /// A message for it.
    fn step(&mut self, message: Message) -> Result<TimerReset, lockstep_raft::Error>;
}

impl Node for Core<MemoryStorage> {
    fn core(&self) -> &Core<MemoryStorage> {
        self
    }
    fn storage_mut(&mut self) -> &mut MemoryStorage {
        self.storage_mut()
    }
    fn ready_into(&mut self, ready: &mut Ready) -> Result<(), lockstep_raft::Error> {
        self.ready_into(ready)
    }
    fn advance(&mut self) -> Result<TimerReset, lockstep_raft::Error> {
        self.advance()
    }
    fn apply_conf_change(
        &mut self,
        change: ConfChangeV2,
    ) -> Result<(ConfState, TimerReset), lockstep_raft::Error> {
        self.apply_conf_change(change)
    }
    fn step(&mut self, message: Message) -> Result<TimerReset, lockstep_raft::Error> {
        self.step(message)
    }
}

impl Node for RawNode<MemoryStorage> {
    fn core(&self) -> &Core<MemoryStorage> {
        self.core()
    }
    fn storage_mut(&mut self) -> &mut MemoryStorage {
        self.storage_mut()
    }
    fn ready_into(&mut self, ready: &mut Ready) -> Result<(), lockstep_raft::Error> {
        self.ready_into(ready)
    }
    fn advance(&mut self) -> Result<TimerReset, lockstep_raft::Error> {
        self.advance().map(|()| TimerReset::default())
    }
    fn apply_conf_change(
        &mut self,
        change: ConfChangeV2,
    ) -> Result<(ConfState, TimerReset), lockstep_raft::Error> {
        let applied = self.apply_conf_change(change);
        applied.map(|members| (members, TimerReset::default()))
    }
    fn step(&mut self, message: Message) -> Result<TimerReset, lockstep_raft::Error> {
        self.step(message).map(|()| TimerReset::default())
    }
}

/// The application of one server: what it was told and handed so far.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Application {
    /// The index of the last entry that it was handed; survives a restart.
    applied: Index,
    /// Role and leader, as last told.
    soft_state: SoftState,
    /// Term, vote and commit index, as last told to store.
    hard_state: HardState,
    /// The target of its leadership transfer, when it last looked.
    transferee: Option<NodeId>,
    /// The work of the storage threads, if that takes time.
    outstanding: Option<Outstanding>,
}

/// The output of a server while all of its pending work was done.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Settled {
    pub sent: Vec<Emitted>,
    pub handed: Vec<Handed>,
    /// Orders to the timer that nobody followed yet.
    pub timer: TimerReset,
    /// Reads that were answered.
    pub read_states: Vec<ReadState>,
}

impl Application {
    /// An application that has applied up to that index, of a server that starts on that storage.
    pub fn new(storage: &MemoryStorage, applied: Index) -> Application {
        Application {
            applied,
            soft_state: SoftState::default(),
            hard_state: storage.hard_state(),
            transferee: None,
            outstanding: None,
        }
    }

    /// The same with storage threads that take their time.
    #[must_use]
    pub fn with_storage_threads(self) -> Application {
        Application {
            outstanding: Some(Outstanding::default()),
            ..self
        }
    }

    /// The work of the storage threads; `None` if it is done at once.
    pub fn outstanding(&self) -> Option<&Outstanding> {
        self.outstanding.as_ref()
    }

    /// Returns the state after a crash that keeps the oldest `kept` outstanding writes: the storage, and the index up
    /// to which the application has applied. An application that keeps its state in memory has its last snapshot. A
    /// server knows that the entries it has applied are committed.
    ///
    /// # Errors
    ///
    /// [`TargetError::Failed`] if a write does not fit.
    pub fn after_crash(
        &self,
        storage: &MemoryStorage,
        kept: u64,
        in_memory: bool,
    ) -> Result<(MemoryStorage, Index), TargetError> {
        let mut storage = storage.clone();
        let Some(outstanding) = &self.outstanding else {
            return Ok((storage, self.applied));
        };
        for append in outstanding.oldest(kept) {
            outstanding::write(&mut storage, append)?;
        }
        let first = storage
            .first_index()
            .map_err(|error| failed(error.into()))?;
        let first = first.prev();
        let applied = match in_memory {
            true => {
                let snapshot = storage.snapshot().map_err(|error| failed(error.into()))?;
                storage.set_conf_state(snapshot.metadata.conf_state);
                first
            }
            false => self.applied.max(first),
        };
        let hard_state = storage.hard_state();
        storage.set_hard_state(HardState {
            commit: hard_state.commit.max(applied),
            ..hard_state
        });
        Ok((storage, applied))
    }

    /// The oldest outstanding write is done: what waited for it leaves, and the server hears what it is told.
    ///
    /// # Errors
    ///
    /// [`TargetError::Failed`] if the server breaks down or contradicts itself.
    pub fn persist_oldest(&mut self, node: &mut impl Node) -> Result<Settled, TargetError> {
        let mut settled = Settled::default();
        let append = self.outstanding.as_mut().and_then(Outstanding::next_append);
        if let Some(append) = append {
            outstanding::write(node.storage_mut(), &append)?;
            if let Some(snapshot) = &append.snapshot {
                self.applied = snapshot.metadata.index;
            }
            self.respond(node, &append.responses, &mut settled)?;
            // Nothing that leaves now has to wait any more.
            for emitted in &mut settled.sent {
                emitted.after_persist = false;
            }
        }
        Ok(settled)
    }

    /// The oldest outstanding apply is done.
    ///
    /// # Errors
    ///
    /// [`TargetError::Failed`] if the server breaks down or contradicts itself.
    pub fn apply_oldest(&mut self, node: &mut impl Node) -> Result<Settled, TargetError> {
        let mut settled = Settled::default();
        let apply = self.outstanding.as_mut().and_then(Outstanding::next_apply);
        if let Some(Apply { entries, responses }) = apply {
            self.apply(node, &entries, &mut settled)?;
            self.respond(node, &responses, &mut settled)?;
        }
        Ok(settled)
    }

    /// The index of the last entry that it was handed.
    pub fn applied(&self) -> Index {
        self.applied
    }

    /// Does everything that has to be done: persists, sends, applies, until nothing is left.
    ///
    /// # Errors
    ///
    /// [`TargetError::Failed`] if the server breaks down or contradicts itself.
    pub fn settle(&mut self, node: &mut impl Node) -> Result<Settled, TargetError> {
        let mut settled = Settled::default();
        let before = (self.soft_state.role, self.hard_state.term);
        // The transfers of leadership that it says were given up.
        let mut aborted = Vec::new();
        // Used again and again: what is left in it from the last time would show.
        let mut ready = Ready::default();
        while node.core().has_ready() {
            node.ready_into(&mut ready).map_err(failed)?;
            self.hear(&ready, node.core())?;
            aborted.extend(&ready.aborted_transfers);
            for state in &ready.read_states {
                settled.read_states.push(read_state(state)?);
            }
            if node.core().async_storage_writes() {
                self.deliver(node, &ready, &mut settled)?;
            } else {
                self.work_off(node, &ready, &mut settled)?;
            }
        }
        let core = node.core();
        self.look_at_transfer(before, &aborted, core)?;
        agree(
            "the soft state last told",
            self.soft_state,
            core.soft_state(),
        )?;
        agree(
            "the hard state last told",
            self.hard_state,
            core.hard_state(),
        )?;
        Ok(settled)
    }

    /// A transfer that is given up is reported, and no other. One that ends with the leadership may have succeeded:
    /// it is for the server to say.
    fn look_at_transfer(
        &mut self,
        before: (Role, Term),
        aborted: &[NodeId],
        core: &Core<MemoryStorage>,
    ) -> Result<(), TargetError> {
        let old = std::mem::replace(&mut self.transferee, core.lead_transferee());
        let gone = old.filter(|_| old != self.transferee);
        let leads_on = before == (Role::Leader, core.term()) && core.role() == Role::Leader;
        let must_be: Vec<NodeId> = gone.into_iter().collect();
        if leads_on || !aborted.is_empty() {
            agree("Ready::aborted_transfers", aborted, must_be.as_slice())?;
        }
        Ok(())
    }

    /// Checks what a `Ready` says of the state, and takes note of it.
    fn hear(&mut self, ready: &Ready, core: &Core<MemoryStorage>) -> Result<(), TargetError> {
        let Ready {
            soft_state,
            hard_state,
            read_states,
            aborted_transfers,
            entries,
            snapshot,
            committed_entries,
            messages,
            early_messages,
            must_sync,
        } = ready;
        let before = self.hard_state;
        let changed = changed(self.soft_state, core.soft_state());
        agree("Ready::soft_state", *soft_state, changed)?;
        self.soft_state = core.soft_state();
        let changed = self::changed(self.hard_state, core.hard_state());
        agree("Ready::hard_state", *hard_state, changed)?;
        self.hard_state = core.hard_state();
        if let Some(snapshot) = snapshot {
            let id = snapshot.id();
            let ahead = id.index > self.applied;
            agree("Ready::snapshot: ahead of what is applied", ahead, true)?;
        }
        // With writes outstanding an entry may be stored that another took the place of since.
        if self.outstanding.is_none() {
            check_entries(core.storage(), entries)?;
        }
        if *early_messages > messages.len() {
            let text = format!("{early_messages} of {} messages are early", messages.len());
            return Err(TargetError::Failed(text));
        }
        let vital = (before.term, before.vote) != (self.hard_state.term, self.hard_state.vote);
        agree("Ready::must_sync", *must_sync, vital || !entries.is_empty())?;
        let nothing = soft_state.is_none()
            && hard_state.is_none()
            && entries.is_empty()
            && committed_entries.is_empty()
            && messages.is_empty()
            && snapshot.is_none()
            && read_states.is_empty()
            && aborted_transfers.is_empty();
        agree("a Ready without anything in it", nothing, false)
    }

    /// Without asynchronous storage writes: the four steps that `Ready` describes.
    fn work_off(
        &mut self,
        node: &mut impl Node,
        ready: &Ready,
        settled: &mut Settled,
    ) -> Result<(), TargetError> {
        self.install(node.storage_mut(), ready.snapshot.as_ref())?;
        persist(node.storage_mut(), ready.hard_state, &ready.entries)?;
        for (position, message) in ready.messages.iter().enumerate() {
            let after_persist = position >= ready.early_messages;
            if after_persist {
                check_vouched(node.core().storage(), message)?;
            }
            settled.sent.push(Emitted {
                message: from_raft(message, node.core().id())?,
                after_persist,
            });
        }
        self.apply(node, &ready.committed_entries, settled)?;
        let ordered = node.advance().map_err(failed)?;
        settled.timer = settled.timer.and(ordered);
        Ok(())
    }

    /// With asynchronous storage writes: every message is delivered, those to the storage threads too.
    fn deliver(
        &mut self,
        node: &mut impl Node,
        ready: &Ready,
        settled: &mut Settled,
    ) -> Result<(), TargetError> {
        let (mut appends, mut applies) = (0, 0);
        agree(
            "Ready::early_messages",
            ready.early_messages,
            ready.messages.len(),
        )?;
        for message in &ready.messages {
            let Message {
                from,
                to,
                term,
                body,
            } = message;
            match (*to, body) {
                (NodeId::APPEND_THREAD, Body::StorageAppend(append)) => {
                    appends += 1;
                    let StorageAppend {
                        hard_state,
                        entries,
                        snapshot,
                        responses: _, // Those are for later.
                    } = append.as_ref();
                    agree("StorageAppend: from", *from, node.core().id())?;
                    agree("StorageAppend::hard_state", *hard_state, ready.hard_state)?;
                    let in_term = hard_state.map_or_else(Default::default, |it| it.term);
                    agree("StorageAppend: term", *term, in_term)?;
                    agree("StorageAppend::entries", entries, &ready.entries)?;
                    agree("StorageAppend::snapshot", snapshot, &ready.snapshot)?;
                    self.hand_append(node, append, settled)?;
                }
                (NodeId::APPLY_THREAD, Body::StorageApply { entries, responses }) => {
                    applies += 1;
                    agree("StorageApply: from", *from, node.core().id())?;
                    agree("StorageApply: term", term.0, 0)?;
                    agree("StorageApply::entries", entries, &ready.committed_entries)?;
                    check_response_to_apply(responses, node.core().id(), entries)?;
                    let (entries, responses) = (entries.clone(), responses.clone());
                    self.hand_apply(node, Apply { entries, responses }, settled)?;
                }
                _ => settled.sent.push(Emitted {
                    message: from_raft(message, node.core().id())?,
                    after_persist: false,
                }),
            }
        }
        let writes =
            ready.hard_state.is_some() || !ready.entries.is_empty() || ready.snapshot.is_some();
        if appends > 1 || (writes && appends == 0) {
            return Err(TargetError::Failed(format!(
                "{appends} appends in one Ready"
            )));
        }
        let due = usize::from(!ready.committed_entries.is_empty());
        agree("the number of StorageApply", applies, due)
    }

    /// A write for a storage thread, which does it at once or when it comes to it.
    fn hand_append(
        &mut self,
        node: &mut impl Node,
        append: &StorageAppend,
        settled: &mut Settled,
    ) -> Result<(), TargetError> {
        if let Some(outstanding) = &mut self.outstanding {
            outstanding.append(append.clone());
            return Ok(());
        }
        self.install(node.storage_mut(), append.snapshot.as_ref())?;
        persist(node.storage_mut(), append.hard_state, &append.entries)?;
        self.respond(node, &append.responses, settled)
    }

    /// Entries for a storage thread, which applies them at once or when it comes to it.
    fn hand_apply(
        &mut self,
        node: &mut impl Node,
        apply: Apply,
        settled: &mut Settled,
    ) -> Result<(), TargetError> {
        if let Some(outstanding) = &mut self.outstanding {
            outstanding.apply(apply);
            return Ok(());
        }
        self.apply(node, &apply.entries, settled)?;
        self.respond(node, &apply.responses, settled)
    }

    /// Hands on what waited for a storage thread: to the server itself, or to others.
    fn respond(
        &mut self,
        node: &mut impl Node,
        responses: &[Message],
        settled: &mut Settled,
    ) -> Result<(), TargetError> {
        for message in responses {
            if message.to == node.core().id() {
                let ordered = node.step(message.clone()).map_err(failed)?;
                settled.timer = settled.timer.and(ordered);
            } else {
                check_vouched(node.core().storage(), message)?;
                settled.sent.push(Emitted {
                    message: from_raft(message, node.core().id())?,
                    after_persist: true,
                });
            }
        }
        Ok(())
    }

    /// Stores a snapshot, and takes it in place of the entries that it stands for.
    fn install(
        &mut self,
        storage: &mut MemoryStorage,
        snapshot: Option<&Snapshot>,
    ) -> Result<(), TargetError> {
        let Some(snapshot) = snapshot else {
            return Ok(());
        };
        // Nothing that is no snapshot of an application.
        super::vocabulary::snapshot(snapshot)?;
        let applied = storage.apply_snapshot(snapshot.clone());
        applied.map_err(|error| failed(error.into()))?;
        self.applied = snapshot.metadata.index;
        Ok(())
    }

    /// Takes committed entries as they come; that they are the right ones is for the comparison to say.
    fn apply(
        &mut self,
        node: &mut impl Node,
        entries: &[Entry],
        settled: &mut Settled,
    ) -> Result<(), TargetError> {
        for entry in entries {
            if !holds(node.core().storage(), entry) {
                let text = format!("it hands out an entry that is not stored: {entry:?}");
                return Err(TargetError::Failed(text));
            }
            settled.handed.push(handed(entry)?);
            self.applied = entry.index;
            let change = lockstep_raft::wire::conf_change_of(entry).ok().flatten();
            match change.map(|change| node.apply_conf_change(change)) {
                None => {}
                Some(Ok((members, ordered))) => {
                    node.storage_mut().set_conf_state(members);
                    settled.timer = settled.timer.and(ordered);
                }
                // It does not fit, and changes nothing.
                Some(Err(lockstep_raft::Error::Call(CallError::ConfChange(_)))) => {}
                Some(Err(error)) => return Err(failed(error)),
            }
        }
        Ok(())
    }
}

/// The application makes a snapshot of what it has applied, and drops the log behind it.
pub(super) fn compact(core: &mut Core<MemoryStorage>, applied: Index) -> Result<(), TargetError> {
    let compacted = core.log().first_index().map(Index::prev);
    let compacted = compacted.map_err(|error| failed(error.into()))?;
    if applied <= compacted {
        return Ok(());
    }
    let members = core.tracker().config.conf_state();
    let storage = core.storage_mut();
    let done = storage
        .create_snapshot(applied, Some(members), snapshot_data(applied))
        .map(drop)
        .and_then(|()| storage.compact(applied));
    done.map_err(|error| failed(error.into()))?;
    // A snapshot is of what is committed. With writes outstanding the hard state may not say so yet.
    let hard_state = storage.hard_state();
    storage.set_hard_state(HardState {
        commit: hard_state.commit.max(applied),
        ..hard_state
    });
    Ok(())
}

/// The new value, if it is another than the old one.
fn changed<T: PartialEq>(old: T, new: T) -> Option<T> {
    (old != new).then_some(new)
}

/// Entries to be stored begin with one that is not stored yet.
fn check_entries(storage: &MemoryStorage, entries: &[Entry]) -> Result<(), TargetError> {
    match entries.first() {
        Some(first) if holds(storage, first) => {
            let text = format!("it wants an entry stored that is stored already: {first:?}");
            Err(TargetError::Failed(text))
        }
        _ => Ok(()),
    }
}

/// Checks that storage holds all that a message vouches for when it leaves: the term, a vote that is given, the entries
/// that are acknowledged.
fn check_vouched(storage: &MemoryStorage, message: &Message) -> Result<(), TargetError> {
    let Message {
        from: _,
        to,
        term,
        body,
    } = message;
    let stored = storage.hard_state();
    let last = storage.last_index().map_err(|error| failed(error.into()))?;
    let vouched = match body {
        // It is given in the term that was asked for, which does not exist yet.
        Body::RequestPreVoteResponse { granted: true } => true,
        Body::RequestVoteResponse { granted: true } => {
            (stored.term, stored.vote) == (*term, Some(*to))
        }
        Body::AppendEntriesResponse {
            index,
            rejection: None,
        } => stored.term >= *term && last >= *index,
        _ => stored.term >= *term,
    };
    if vouched {
        return Ok(());
    }
    let text = format!("what it vouches for is not stored ({stored:?}, last {last}): {message:?}");
    Err(TargetError::Failed(text))
}

/// Checks that a server is told once that entries were applied, and of all of them.
fn check_response_to_apply(
    responses: &[Message],
    own: NodeId,
    entries: &[Entry],
) -> Result<(), TargetError> {
    let [response] = responses else {
        return agree(
            "the number of responses to StorageApply",
            responses.len(),
            1,
        );
    };
    let Message {
        from,
        to,
        term,
        body,
    } = response;
    agree("StorageApplyResponse: from", *from, NodeId::APPLY_THREAD)?;
    agree("StorageApplyResponse: to", *to, own)?;
    agree("StorageApplyResponse: term", term.0, 0)?;
    match body {
        Body::StorageApplyResponse { entries: applied } => {
            agree("StorageApplyResponse::entries", applied.as_slice(), entries)
        }
        _ => {
            let text = format!("this is no response to StorageApply: {response:?}");
            Err(TargetError::Failed(text))
        }
    }
}

fn holds(storage: &MemoryStorage, entry: &Entry) -> bool {
    let stored = storage.entries(entry.index, entry.index.next(), u64::MAX);
    stored.is_ok_and(|stored| stored.first() == Some(entry))
}

fn persist(
    storage: &mut MemoryStorage,
    hard_state: Option<HardState>,
    entries: &[Entry],
) -> Result<(), TargetError> {
    storage
        .write(entries, hard_state)
        .map_err(|error| failed(error.into()))
}

/// Two ways to say one thing must say the same.
pub(super) fn agree<T: PartialEq + fmt::Debug>(
    what: &str,
    is: T,
    must_be: T,
) -> Result<(), TargetError> {
    if is == must_be {
        return Ok(());
    }
    let text = format!("it contradicts itself: {what} is {is:?}, must be {must_be:?}");
    Err(TargetError::Failed(text))
}

pub(crate) fn failed(error: lockstep_raft::Error) -> TargetError {
    TargetError::Failed(error.to_string())
}

#[cfg(test)]
mod tests;
