//! The Raft thread: ticks, messages and requests in; writes, messages and answers out.
//!
//! Everything that one round of Raft has ready is one write of the log with one sync, and one
//! transaction of the store, however many requests it is for.

use std::collections::HashMap;
use std::fs::File;
use std::io::BufReader;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::time::{Duration, Instant};

use bytes::Bytes;
use lockstep_raft::{
    Body, ConfChange, ConfChangeV2, ConfState, DropReason, Entry, EntryId, EntryKind,
    Error as RaftError, Index, Message, NodeId, RawNode, Ready, Role, Snapshot, SnapshotMetadata,
    SnapshotStatus, Storage as _, wire,
};
use prost::Message as _;
use tokio::runtime::Handle;
use tokio::sync::oneshot;

use super::apply::{self, Outcome};
use super::command::{Applied, ConfChangeContext, InternalRaftRequest};
use super::error::Error;
use super::inner::{Exit, Inner, Input, RaftState};
use super::log_view::LogView;
use super::membership;
use super::reads::Reads;
use super::snapshots;
use crate::log::{LogError, LogStore, LogWrite};
use crate::store::{Batch, Dump, StoreError};

/// The most inputs that are taken before their work is done.
const INPUTS_PER_ROUND: usize = 1024;
/// The most proposals that wait for a leader.
const MAX_PARKED: usize = 5000;
/// Applied entries after which the store is synced, at the latest.
const ENTRIES_PER_SYNC: u64 = 4096;
/// The time after which the store is synced, at the latest, if there is anything to sync.
const SYNC_INTERVAL: Duration = Duration::from_secs(5);
/// The time after which a question for a read index counts as lost.
const READ_PATIENCE: Duration = Duration::from_millis(500);

/// A failure that stops the server.
struct Fatal(Exit);

fn fatal(error: impl std::fmt::Display) -> Fatal {
    Fatal(Exit::Failed(error.to_string()))
}

impl From<LogError> for Fatal {
    fn from(error: LogError) -> Fatal {
        Fatal(Exit::LogFailed(error.to_string()))
    }
}

/// Proposals that wait for a leader, or for their place among changes of membership.
enum Parked {
    Command(Entry),
    Change(ConfChange),
}

pub(super) struct RaftLoop {
    inner: Arc<Inner>,
    node: RawNode<LogView>,
    log: Box<dyn LogStore>,
    inputs: Receiver<Input>,
    runtime: Handle,
    waiters: HashMap<u64, oneshot::Sender<Outcome>>,
    parked: Vec<(u64, Parked)>,
    reads: Reads,
    /// The last log entry when the log was last compacted, and when the store was last synced.
    compacted_at: u64,
    synced: (u64, Instant),
    /// The time to stop, after this server was removed.
    leave_at: Option<Instant>,
}

impl RaftLoop {
    pub(super) fn new(
        inner: Arc<Inner>,
        node: RawNode<LogView>,
        log: Box<dyn LogStore>,
        inputs: Receiver<Input>,
        runtime: Handle,
    ) -> RaftLoop {
        let applied = node.storage().applied.index.get();
        RaftLoop {
            inner,
            node,
            log,
            inputs,
            runtime,
            waiters: HashMap::new(),
            parked: Vec::new(),
            reads: Reads::default(),
            compacted_at: applied,
            synced: (applied, Instant::now()),
            leave_at: None,
        }
    }

    /// Runs until the server stops, and says why it did.
    pub(super) fn run(mut self) {
        let _farewell = Farewell(self.inner.clone());
        let runtime = self.runtime.clone();
        // The transport starts tasks.
        let _entered = runtime.enter();
        let exit = self.work().and_then(|exit| self.sync().map(|()| exit));
        let exit = exit.unwrap_or_else(|Fatal(exit)| exit);
        if let Exit::Failed(error) | Exit::LogFailed(error) = &exit {
            tracing::error!(%error, "the server cannot go on");
        }
        for (_, waiter) in self.waiters.drain() {
            let _ = waiter.send(Err(Error::Stopped));
        }
        if let Some(transport) = self.inner.transport.get() {
            transport.stop();
        }
        self.inner.exit.send_modify(|known| {
            known.get_or_insert(exit);
        });
    }

    fn work(&mut self) -> Result<Exit, Fatal> {
        let interval = self.inner.config.heartbeat_interval;
        let mut next_tick = Instant::now() + interval;
        self.rounds()?;
        loop {
            let now = Instant::now();
            match self
                .inputs
                .recv_timeout(next_tick.saturating_duration_since(now))
            {
                Ok(input) => {
                    let mut next = Some(input);
                    let mut taken = 0;
                    while let Some(input) = next {
                        if matches!(input, Input::Stop) {
                            return Ok(Exit::Stopped);
                        }
                        self.take(input)?;
                        taken += 1;
                        let more = taken < INPUTS_PER_ROUND;
                        next = if more {
                            self.inputs.try_recv().ok()
                        } else {
                            None
                        };
                    }
                }
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => return Ok(Exit::Stopped),
            }
            let now = Instant::now();
            if now >= next_tick {
                self.node.tick().map_err(fatal)?;
                // A thread that was held up does not make up for the ticks: others count them too.
                next_tick = (next_tick + interval).max(now);
                self.waiters.retain(|_, waiter| !waiter.is_closed());
            }
            self.propose_parked()?;
            self.ask_for_reads()?;
            self.rounds()?;
            self.look_after_files()?;
            if self.leave_at.is_some_and(|at| now >= at) {
                return Ok(Exit::Removed);
            }
        }
    }

    fn take(&mut self, input: Input) -> Result<(), Fatal> {
        match input {
            Input::Message(message) => {
                let what = (message.from, message.kind());
                let result = self.node.step(message);
                self.refused("a message", result, what)?;
            }
            Input::Propose { reply, .. } if self.parked.len() >= MAX_PARKED => {
                let _ = reply.send(Err(Error::TooManyRequests));
            }
            Input::Propose { id, data, reply } => {
                self.waiters.insert(id, reply);
                let entry = Entry::proposal(EntryKind::Normal, data);
                self.parked.push((id, Parked::Command(entry)));
            }
            Input::Change { id, change, reply } => {
                self.waiters.insert(id, reply);
                self.parked.push((id, Parked::Change(change)));
            }
            Input::Read(reader) => self.reads.push(reader),
            Input::Transfer { to, reply } => {
                let result = match self.node.transfer_leadership(to) {
                    Ok(()) => Ok(()),
                    Err(RaftError::Storage(error)) => return Err(fatal(error)),
                    Err(error) => {
                        tracing::info!(%to, %error, "leadership is not transferred");
                        Err(Error::BadTransferee)
                    }
                };
                let _ = reply.send(result);
            }
            Input::Inspect(reply) => drop(reply.send(Box::new(self.node.status()))),
            Input::Unreachable(peer) => {
                let result = self.node.report_unreachable(peer);
                self.refused("a report", result, peer)?;
            }
            Input::SnapshotSent(peer, status) => {
                match status {
                    SnapshotStatus::Finished => self.inner.metrics.snapshots_sent.inc(),
                    SnapshotStatus::Failed => self.inner.metrics.snapshots_failed.inc(),
                }
                let result = self.node.report_snapshot(peer, status);
                self.refused("a report", result, peer)?;
            }
            Input::Stop => {}
        }
        Ok(())
    }

    /// Lets pass what changed nothing, and stops at a failure of the storage.
    fn refused<T: std::fmt::Debug>(
        &self,
        what: &str,
        result: Result<(), RaftError>,
        about: T,
    ) -> Result<(), Fatal> {
        match result {
            Ok(()) => Ok(()),
            Err(RaftError::Storage(error)) => Err(fatal(error)),
            Err(error) => {
                tracing::debug!(?about, %error, "{what} was refused");
                Ok(())
            }
        }
    }

    /// Proposes what waits, in order. What cannot be proposed now waits on, until whoever asked for it
    /// gives up.
    fn propose_parked(&mut self) -> Result<(), Fatal> {
        if self.parked.is_empty() {
            return Ok(());
        }
        let waiters = &self.waiters;
        self.parked
            .retain(|(id, _)| waiters.get(id).is_some_and(|waiter| !waiter.is_closed()));
        let mut parked = std::mem::take(&mut self.parked).into_iter().peekable();
        while let Some((id, proposal)) = parked.next() {
            let (ids, result, again) = match proposal {
                Parked::Command(entry) => {
                    // One append for all commands that follow each other.
                    let (mut ids, mut entries) = (vec![id], vec![entry]);
                    while let Some((_, Parked::Command(_))) = parked.peek()
                        && let Some((id, Parked::Command(entry))) = parked.next()
                    {
                        ids.push(id);
                        entries.push(entry);
                    }
                    let result = self.node.propose_entries(entries.clone());
                    (
                        ids,
                        result,
                        entries.into_iter().map(Parked::Command).collect(),
                    )
                }
                Parked::Change(change) => {
                    let result = self.node.propose_conf_change(change.clone());
                    (vec![id], result, vec![Parked::Change(change)])
                }
            };
            match result {
                Ok(()) => {}
                Err(RaftError::Storage(error)) => return Err(fatal(error)),
                Err(RaftError::ProposalDropped(DropReason::UncommittedLimit)) => {
                    ids.iter()
                        .for_each(|&id| self.answer(id, Err(Error::TooManyRequests)));
                }
                Err(RaftError::ProposalDropped(_)) => {
                    self.parked.extend(ids.into_iter().zip(again))
                }
                Err(error) => {
                    let error = Error::Failed(error.to_string());
                    ids.iter()
                        .for_each(|&id| self.answer(id, Err(error.clone())));
                }
            }
        }
        Ok(())
    }

    fn answer(&mut self, id: u64, outcome: Outcome) {
        if let Some(waiter) = self.waiters.remove(&id) {
            let _ = waiter.send(outcome); // Whoever waited too long is gone.
        }
    }

    fn ask_for_reads(&mut self) -> Result<(), Fatal> {
        let ids = &self.inner.ids;
        let Some(context) = self
            .reads
            .question(Instant::now(), READ_PATIENCE, || ids.next())
        else {
            return Ok(());
        };
        self.inner.metrics.read_indexes.inc();
        match self.node.read_index(context) {
            Ok(()) => Ok(()),
            Err(RaftError::Storage(error)) => Err(fatal(error)),
            Err(_) => {
                // Nobody leads. The readers wait for a leader, or until they have waited too long.
                self.reads.again();
                Ok(())
            }
        }
    }

    /// Does what Raft has ready, until nothing is left.
    fn rounds(&mut self) -> Result<(), Fatal> {
        while self.node.has_ready() {
            let ready = self.node.ready().map_err(fatal)?;
            self.round(ready)?;
            self.node.advance().map_err(fatal)?;
            let applied = self.node.storage().applied.index;
            self.reads.applied(applied);
            // A read that is answered at once makes room for the next question.
            self.ask_for_reads()?;
        }
        Ok(())
    }

    fn round(&mut self, mut ready: Ready) -> Result<(), Fatal> {
        let late = ready.messages.split_off(ready.early_messages);
        self.send(ready.messages)?;
        let write = LogWrite {
            snapshot: ready.snapshot.as_ref().map(|it| it.metadata.clone()),
            entries: ready.entries.clone(),
            hard_state: ready.hard_state,
            sync: ready.must_sync,
        };
        if write != LogWrite::default() {
            let timer = self.inner.metrics.log_append_seconds.start_timer();
            // Nobody hears of it, neither a peer nor a client, before it is durable.
            self.log.write(write)?;
            timer.observe_duration();
            if let Some(snapshot) = ready.snapshot {
                self.install(snapshot)?;
            }
            let entries = &mut self.node.storage_mut().entries;
            entries
                .write(ready.entries, ready.hard_state)
                .map_err(fatal)?;
        }
        self.send(late)?;
        if !ready.committed_entries.is_empty() {
            self.apply(ready.committed_entries)?;
        }
        self.publish();
        for state in &ready.read_states {
            self.reads.answer(state);
        }
        Ok(())
    }

    fn send(&self, messages: Vec<Message>) -> Result<(), Fatal> {
        let Some(transport) = self.inner.transport.get() else {
            return Ok(());
        };
        for mut message in messages {
            let Body::InstallSnapshot { snapshot } = &mut message.body else {
                transport.send(message);
                continue;
            };
            // The store may be ahead of what Raft asked for. What is sent is the store as of now, so
            // the message says so.
            let state = self.inner.store.snapshot().map_err(fatal)?;
            let EntryId { term, index } = state.applied().map_err(fatal)?;
            snapshot.metadata.conf_state = state.conf_state().map_err(fatal)?;
            (snapshot.metadata.term, snapshot.metadata.index) = (term, index);
            tracing::info!(to = %message.to, %index, "a snapshot is sent");
            transport.send_snapshot(message, move |writer| {
                let dump = Dump::write(&state, |chunk| writer.write(chunk));
                dump.map(drop).map_err(std::io::Error::other)
            });
        }
        Ok(())
    }

    /// Replaces the store by a snapshot that is in the log, and whose data arrived in a file.
    fn install(&mut self, snapshot: Snapshot) -> Result<(), Fatal> {
        let id = snapshot.id();
        tracing::info!(index = %id.index, "a snapshot is installed");
        let dir = self.inner.snapshot_dir();
        let file = File::open(snapshots::file(&dir, id)).map_err(fatal)?;
        self.inner
            .store
            .restore(BufReader::new(file))
            .map_err(fatal)?;
        // Only now: should the server stop before, it finds the file when it starts.
        snapshots::clean(&dir).map_err(fatal)?;
        let storage = self.node.storage_mut();
        storage.applied = id;
        storage.conf_state = snapshot.metadata.conf_state.clone();
        storage.entries.apply_snapshot(snapshot).map_err(fatal)?;
        self.compacted_at = id.index.get();
        self.inner.refresh_membership().map_err(fatal)
    }

    /// Applies entries in one transaction of the store, and answers those who wait for them.
    fn apply(&mut self, entries: Vec<Entry>) -> Result<(), Fatal> {
        let Some(last) = entries.last().map(Entry::id) else {
            return Ok(());
        };
        let timer = self.inner.metrics.store_commit_seconds.start_timer();
        let inner = self.inner.clone();
        let mut done = Done::default();
        let node = &mut self.node;
        let work = |batch: &mut Batch<'_>| {
            let mut applied = batch.applied()?;
            for entry in entries {
                if entry.index != applied.index.next() {
                    let (next, last) = (entry.index, applied.index);
                    return Err(StoreError::corrupt(format!(
                        "entry {next} was to follow {last}"
                    )));
                }
                applied = entry.id();
                apply_entry(node, batch, entry, &mut done)?;
            }
            if let Some(conf_state) = &done.conf_state {
                batch.set_conf_state(conf_state)?;
            }
            batch.set_applied(applied)
        };
        inner.store.write(work).map_err(fatal)?;
        timer.observe_duration();
        let storage = self.node.storage_mut();
        storage.applied = last;
        if let Some(conf_state) = done.conf_state {
            storage.conf_state = conf_state;
            self.inner.refresh_membership().map_err(fatal)?;
        } else if done.members_changed {
            self.inner.refresh_membership().map_err(fatal)?;
        }
        for (id, outcome) in done.outcomes {
            self.answer(id, outcome);
        }
        if done.removed.contains(&self.inner.id) {
            tracing::warn!("this server was removed from the cluster");
            let patience = 2 * self.inner.config.election_timeout;
            self.leave_at.get_or_insert(Instant::now() + patience);
        }
        Ok(())
    }

    /// Tells the other parts of the server the state of Raft.
    fn publish(&self) {
        let status = self.node.basic_status();
        let state = RaftState {
            leader: status.soft_state.leader,
            role: status.soft_state.role,
            term: status.hard_state.term,
            committed: status.hard_state.commit,
            applied: self.node.storage().applied.index,
        };
        let metrics = &self.inner.metrics;
        self.inner.raft.send_if_modified(|known| {
            if known.leader != state.leader {
                metrics.leader_changes.inc();
                tracing::info!(leader = ?state.leader, term = %state.term, "the leader changed");
            }
            std::mem::replace(known, state) != state
        });
        metrics
            .proposals_pending
            .set(i64::try_from(self.waiters.len()).unwrap_or(i64::MAX));
        metrics.has_leader.set(i64::from(state.leader.is_some()));
        metrics.is_leader.set(i64::from(state.role == Role::Leader));
        metrics
            .proposals_committed
            .set(i64::try_from(state.committed.get()).unwrap_or(i64::MAX));
        metrics
            .proposals_applied
            .set(i64::try_from(state.applied.get()).unwrap_or(i64::MAX));
    }

    /// Syncs the store and compacts the log, now and then.
    fn look_after_files(&mut self) -> Result<(), Fatal> {
        let applied = self.node.storage().applied.index;
        let unsynced = applied.get().saturating_sub(self.synced.0);
        let late = unsynced > 0 && self.synced.1.elapsed() >= SYNC_INTERVAL;
        let compact =
            applied.get().saturating_sub(self.compacted_at) >= self.inner.config.snapshot_count;
        if unsynced >= ENTRIES_PER_SYNC || late || compact {
            self.sync()?;
            self.synced = (applied.get(), Instant::now());
            let bytes = self.inner.store.file_bytes().map_err(fatal)?;
            self.inner
                .metrics
                .store_bytes
                .set(i64::try_from(bytes).unwrap_or(i64::MAX));
        }
        if compact {
            self.compacted_at = applied.get();
            self.compact()?;
        }
        Ok(())
    }

    /// Makes the store durable. The commit index first: no durable store is ahead of it.
    fn sync(&mut self) -> Result<(), Fatal> {
        let hard_state = self.node.storage().entries.hard_state();
        if !hard_state.is_empty() {
            self.log.write(LogWrite {
                hard_state: Some(hard_state),
                sync: true,
                ..LogWrite::default()
            })?;
        }
        self.inner.store.sync().map_err(fatal)
    }

    /// Drops the entries of the log that the store has durably. In memory some are kept, for slow followers
    /// that may still need them.
    fn compact(&mut self) -> Result<(), Fatal> {
        let storage = self.node.storage();
        let EntryId { term, index } = storage.applied;
        self.log.compact(&SnapshotMetadata {
            conf_state: storage.conf_state.clone(),
            index,
            term,
        })?;
        let keep = self.inner.config.snapshot_catchup_entries;
        let index = Index(index.get().saturating_sub(keep));
        let storage = self.node.storage_mut();
        if index >= storage.first_index().map_err(fatal)? {
            storage.entries.compact(index).map_err(fatal)?;
        }
        tracing::debug!(%index, "the log was compacted");
        Ok(())
    }
}

/// Says that the server has ended if its thread ends by a panic.
struct Farewell(Arc<Inner>);

impl Drop for Farewell {
    fn drop(&mut self) {
        self.0.exit.send_modify(|known| {
            known.get_or_insert_with(|| Exit::Failed("the Raft thread panicked".to_owned()));
        });
    }
}

/// The outcomes of a batch of entries.
#[derive(Default)]
struct Done {
    outcomes: Vec<(u64, Outcome)>,
    conf_state: Option<ConfState>,
    members_changed: bool,
    removed: Vec<NodeId>,
}

fn apply_entry(
    node: &mut RawNode<LogView>,
    batch: &mut Batch<'_>,
    entry: Entry,
    done: &mut Done,
) -> Result<(), StoreError> {
    match entry.kind {
        EntryKind::Normal if entry.data.is_empty() => Ok(()), // It opens a term.
        EntryKind::Normal => {
            let request = InternalRaftRequest::decode(entry.data).map_err(StoreError::corrupt)?;
            let id = request.id();
            let outcome = apply::apply(batch, request)?;
            done.members_changed |= matches!(outcome, Ok(Applied::MemberAttributes));
            done.outcomes.push((id, outcome));
            Ok(())
        }
        EntryKind::ConfChange | EntryKind::ConfChangeV2 => {
            let change = wire::conf_change_of(&entry).map_err(StoreError::corrupt)?;
            apply_change(node, batch, change.unwrap_or_default(), done)
        }
    }
}

fn apply_change(
    node: &mut RawNode<LogView>,
    batch: &mut Batch<'_>,
    mut change: ConfChangeV2,
    done: &mut Done,
) -> Result<(), StoreError> {
    let context = std::mem::replace(&mut change.context, Bytes::new());
    let context = ConfChangeContext::decode(context).map_err(StoreError::corrupt)?;
    let mut outcome = Ok(());
    for single in &mut change.changes {
        let Some(id) = single.node else { continue };
        outcome = membership::apply(batch, single.kind, id, &context)?;
        match &outcome {
            Ok(()) if single.kind == lockstep_raft::ConfChangeKind::RemoveNode => {
                done.removed.push(id)
            }
            Ok(()) => {}
            // A change that does not fit is void, at all servers alike.
            Err(error) => {
                tracing::warn!(%id, %error, "a change of membership has no effect");
                single.node = None;
            }
        }
    }
    let conf_state = node
        .apply_conf_change(change)
        .map_err(StoreError::corrupt)?;
    done.conf_state = Some(conf_state);
    let members = batch.members()?;
    done.outcomes
        .push((context.request, outcome.map(|()| Applied::Members(members))));
    Ok(())
}
