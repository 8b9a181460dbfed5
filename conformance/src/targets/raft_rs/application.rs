//! The application around one server: it does what every `Ready` and `LightReady` asks for, and holds
//! the library to what it says.
//!
//! What the vocabulary has a word for is compared with the specification. The rest says in another way
//! what the public state says already; it is compared here, with that state and with what was said
//! before. `conformance/COMPARED.md` lists every field.

use super::message::entry_from_raft;
use super::storage::SharedStorage;
use lockstep_traces::{Handed, Index};
use raft::eraftpb::{Entry, HardState, Message, Snapshot};
use raft::{RawNode, Ready, SoftState, StateRole};
use std::fmt;

/// The application of one server: what it was told and handed so far.
#[derive(Debug)]
pub struct Application {
    /// The index of the last entry that it was handed; survives a restart.
    applied: u64,
    /// Role and leader, as last told.
    soft_state: SoftState,
    /// Term, vote and commit index, as last told to store.
    hard_state: HardState,
    /// The number of the last `Ready`.
    number: u64,
}

/// A message with the list that it was in.
#[derive(Debug)]
pub struct Sent {
    pub message: Message,
    /// In the list of those that wait until everything is persisted.
    pub waited: bool,
    /// Whether the server was leading when it handed out the list.
    pub leads: bool,
}

/// The output of a server while all of its pending work was done.
#[derive(Debug, Default)]
pub struct Settled {
    pub sent: Vec<Sent>,
    pub handed: Vec<Handed>,
}

impl Application {
    /// An application that has applied up to that index, of a server that has just started.
    pub fn new(node: &RawNode<SharedStorage>, applied: u64) -> Application {
        Application {
            applied,
            soft_state: node.raft.soft_state(),
            hard_state: node.raft.hard_state(),
            number: 0,
        }
    }

    /// The index of the last entry that it was handed.
    pub fn applied(&self) -> u64 {
        self.applied
    }

    /// Persists, sends, applies and advances until nothing is ready.
    ///
    /// # Errors
    /// What the library contradicts itself in, or what the vocabulary cannot express.
    pub fn settle(
        &mut self,
        node: &mut RawNode<SharedStorage>,
        storage: &SharedStorage,
    ) -> Result<Settled, String> {
        let mut settled = Settled::default();
        while node.has_ready() {
            let leads = node.raft.state == StateRole::Leader;
            let mut ready = node.ready();
            self.hear(&ready, node, storage)?;
            let sent = |waited| {
                move |message| Sent {
                    message,
                    waited,
                    leads,
                }
            };
            let early = ready.take_messages().into_iter();
            settled.sent.extend(early.map(sent(false)));
            storage.append(ready.entries());
            if let Some(hard) = ready.hs() {
                storage.set_hard_state(hard.clone());
            }
            let late = ready.take_persisted_messages().into_iter();
            settled.sent.extend(late.map(sent(true)));
            self.apply(storage, &ready.take_committed_entries(), &mut settled)?;
            let mut light = node.advance_append(ready);
            let raised = node.raft.raft_log.committed > self.hard_state.commit;
            let commit = raised.then_some(node.raft.raft_log.committed);
            agree("LightReady::commit_index", light.commit_index(), commit)?;
            if let Some(commit) = light.commit_index() {
                self.hard_state.commit = commit;
                storage.set_commit(commit);
            }
            let light_messages = light.take_messages().into_iter();
            settled.sent.extend(light_messages.map(sent(false)));
            self.apply(storage, &light.take_committed_entries(), &mut settled)?;
            node.advance_apply_to(self.applied);
        }
        let raft = &node.raft;
        agree(
            "the soft state last told",
            &self.soft_state,
            &raft.soft_state(),
        )?;
        agree(
            "the hard state last told",
            &self.hard_state,
            &raft.hard_state(),
        )?;
        check_status(node)?;
        Ok(settled)
    }

    /// Checks what a `Ready` says of the state, and takes note of it.
    fn hear(
        &mut self,
        ready: &Ready,
        node: &RawNode<SharedStorage>,
        storage: &SharedStorage,
    ) -> Result<(), String> {
        self.number += 1;
        agree("Ready::number", ready.number(), self.number)?;
        let (soft, hard) = (node.raft.soft_state(), node.raft.hard_state());
        let changed = (soft != self.soft_state).then_some(&soft);
        agree("Ready::ss", ready.ss(), changed)?;
        let changed = (hard != self.hard_state).then_some(&hard);
        agree("Ready::hs", ready.hs(), changed)?;
        agree("Ready::read_states", ready.read_states().len(), 0)?;
        agree("Ready::snapshot", ready.snapshot(), &Snapshot::default())?;
        let first = ready.entries().first();
        if first.is_some_and(|first| storage.holds(first)) {
            return Err(format!(
                "wants an entry stored that is stored already: {first:?}"
            ));
        }
        let vital = (hard.term, hard.vote) != (self.hard_state.term, self.hard_state.vote);
        let must_sync = vital || !ready.entries().is_empty();
        agree("Ready::must_sync", ready.must_sync(), must_sync)?;
        self.soft_state = soft;
        self.hard_state = hard;
        Ok(())
    }

    /// Takes committed entries as they come; that they are the right ones is for the comparison to say.
    fn apply(
        &mut self,
        storage: &SharedStorage,
        entries: &[Entry],
        settled: &mut Settled,
    ) -> Result<(), String> {
        for entry in entries {
            if !storage.holds(entry) {
                return Err(format!("hands out an entry that is not stored: {entry:?}"));
            }
            settled.handed.push(Handed {
                index: Index(entry.index),
                entry: entry_from_raft(entry)?,
            });
            self.applied = entry.index;
        }
        Ok(())
    }
}

/// The status says what the public state says.
fn check_status(node: &RawNode<SharedStorage>) -> Result<(), String> {
    let raft::Status {
        id,
        hs,
        ss,
        applied,
        progress,
    } = node.status();
    let raft = &node.raft;
    agree("Status::id", id, raft.id)?;
    let of_raft = (raft.term, raft.vote, raft.raft_log.committed);
    agree("Status::hs", (hs.term, hs.vote, hs.commit), of_raft)?;
    let of_raft = (raft.leader_id, raft.state);
    agree("Status::ss", (ss.leader_id, ss.raft_state), of_raft)?;
    agree("Status::applied", applied, raft.raft_log.applied)?;
    let leads = raft.state == StateRole::Leader;
    agree("Status::progress", progress.is_some(), leads)?;
    let own = progress.and_then(|all| all.get(raft.id));
    agree("its own progress", own.is_some(), leads)?;
    if let Some(own) = own {
        let last = raft.raft_log.last_index();
        agree("its own match", own.matched, last)?;
        agree("its own next", own.next_idx, last + 1)?;
        agree("its own state", own.state, raft::ProgressState::Replicate)?;
        agree("its own paused", own.is_paused(), false)?;
        agree("its own window", own.ins.count(), 0)?;
    }
    Ok(())
}

/// Two ways to say one thing must say the same.
pub fn agree<T: PartialEq + fmt::Debug>(what: &str, is: T, must_be: T) -> Result<(), String> {
    if is == must_be {
        return Ok(());
    }
    Err(format!(
        "contradicts itself: {what} is {is:?}, must be {must_be:?}"
    ))
}
