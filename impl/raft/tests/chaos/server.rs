//! One server: the node, the disk under it and the application on top, and how each can fail.

use std::collections::VecDeque;

use bytes::Bytes;
use lockstep_raft::{
    Blame, Body, Config, Entry, EntryKind, HardState, Index, MemoryStorage, Message, NodeId,
    RawNode, Ready, Snapshot, Storage as _, StorageAppend, wire,
};
use rand::Rng as _;
use rand::rngs::SmallRng;

use crate::history::{Checked, History, Violation, holds, known};
use crate::tally::Tally;

/// Mistakes of an application that Raft cannot survive; planted to see that the checks notice.
#[derive(Clone, Copy, Debug, Default)]
pub struct Mistakes {
    /// The vote is not on the disk after a crash.
    pub loses_votes: bool,
    /// Answers are sent before what they vouch for is on the disk.
    pub answers_before_sync: bool,
    /// One server in a while applies something else than what was committed.
    pub applies_wrongly: bool,
    /// Snapshots carry an old membership.
    pub stale_membership: bool,
    /// Leases are relied on though the clocks of leaders go slow.
    pub slow_leaders: bool,
}

/// The state of the application: a chain over everything that was applied.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Application {
    /// The last entry applied.
    pub index: Index,
    /// Stands for all entries up to there.
    pub state: u64,
}

impl Application {
    fn apply(&mut self, entry: &Entry) {
        self.index = entry.index;
        // FNV-1a over everything that identifies the entry.
        let words = [self.state, entry.term.0, entry.index.0].map(u64::to_le_bytes);
        self.state = words
            .iter()
            .flatten()
            .chain(entry.data.iter())
            .fold(0xcbf2_9ce4_8422_2325, |hash, &byte| {
                (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
            });
    }

    fn restore(snapshot: &Snapshot) -> Application {
        let state = snapshot.data.as_ref().try_into().map(u64::from_le_bytes);
        Application {
            index: snapshot.metadata.index,
            state: state.unwrap_or_default(),
        }
    }
}

/// A server that runs.
pub struct Running {
    /// The node; its storage is what was written, synced or not.
    pub node: RawNode<MemoryStorage>,
    /// The application.
    pub application: Application,
    /// Work of the storage threads, with asynchronous writes.
    append_work: VecDeque<Message>,
    apply_work: VecDeque<Message>,
}

/// A server, running or crashed.
pub struct Server {
    /// The state that survives a crash.
    pub durable: MemoryStorage,
    /// The state that does not; `None` while crashed.
    pub running: Option<Running>,
    config: Config,
    mistakes: Mistakes,
}

/// The effects of an input at a server.
pub struct Effects<'a> {
    /// Decides where crashes happen.
    pub rng: &'a mut SmallRng,
    /// The chance of a crash at each point where one makes a difference.
    pub crash_chance: f64,
    /// The messages that leave the server.
    pub sent: &'a mut Vec<Message>,
    /// The history that checks each observation.
    pub history: &'a mut History,
    /// The tally of events.
    pub tally: &'a mut Tally,
}

impl Server {
    /// A crashed server with this disk.
    pub fn new(config: Config, disk: MemoryStorage, mistakes: Mistakes) -> Server {
        Server {
            durable: disk,
            running: None,
            config,
            mistakes,
        }
    }

    /// Its identity.
    pub fn id(&self) -> NodeId {
        self.config.id
    }

    /// Its configuration.
    pub fn config(&self) -> &Config {
        &self.config
    }

    /// Whether it would still have an entry after a crash.
    pub fn has_durable(&self, entry: lockstep_raft::EntryId) -> bool {
        holds(&self.durable, entry)
    }

    /// Starts with what is on the disk.
    pub fn start(&mut self) {
        let snapshot = known(self.durable.snapshot());
        // Every life draws its own timeouts.
        self.config.seed = self.config.seed.wrapping_add(0x9e37_79b9);
        self.config.applied = snapshot.metadata.index;
        if self.mistakes.loses_votes {
            let hard_state = self.durable.hard_state();
            self.durable.set_hard_state(HardState {
                vote: None,
                ..hard_state
            });
        }
        self.running = Some(Running {
            node: RawNode::new(&self.config, self.durable.clone()).expect("the disk is sound"),
            application: Application::restore(&snapshot),
            append_work: VecDeque::new(),
            apply_work: VecDeque::new(),
        });
    }

    /// Loses everything that is not on the disk.
    pub fn crash(&mut self, history: &mut History) {
        self.running = None;
        history.stopped(self.id());
    }

    /// Takes and handles what the node wants done; false if there is nothing to do. The server may
    /// crash on the way.
    pub fn settle(&mut self, effects: &mut Effects<'_>) -> Result<bool, Violation> {
        match &mut self.running {
            Some(running) if running.node.has_ready() => {}
            _ => return Ok(false),
        }
        if self.config.async_storage_writes {
            self.hand_out_work(effects)?;
        } else {
            self.persist_and_apply(effects)?;
        }
        Ok(true)
    }

    /// Compacts the log: a snapshot of the application, then without the entries before it.
    pub fn compact(&mut self, keep: u64, sync: bool) {
        let Some(running) = &mut self.running else {
            return;
        };
        let Application { index, state } = running.application;
        let members = running.node.core().tracker().config.conf_state();
        let members = (!self.mistakes.stale_membership).then_some(members);
        let storage = running.node.storage_mut();
        let data = Bytes::copy_from_slice(&state.to_le_bytes());
        // The thread that applies may be ahead of the one that writes the commit index: a restart
        // raises that to the snapshot. That there is nothing newer to make a snapshot of is no reason to fail.
        if storage.create_snapshot(index, members, data).is_ok() {
            let _ = storage.compact(Index(index.0.saturating_sub(keep)));
        }
        if sync {
            self.sync();
        }
    }

    /// Lets a storage thread do the oldest piece of its work; which one, chance decides.
    pub fn storage_thread(&mut self, effects: &mut Effects<'_>) -> Checked {
        let Some(running) = &mut self.running else {
            return Ok(());
        };
        let append = effects.rng.random_bool(0.5);
        let work = match append {
            true => running.append_work.pop_front(),
            false => running.apply_work.pop_front(),
        };
        match work.map(|message| message.body) {
            Some(Body::StorageAppend(append)) => {
                let StorageAppend {
                    hard_state,
                    entries,
                    snapshot,
                    responses,
                } = *append;
                if !self.write(hard_state, &entries, snapshot, effects) || self.crashes(effects) {
                    return Ok(());
                }
                self.sync();
                self.deliver(responses, effects)
            }
            Some(Body::StorageApply { entries, responses }) => {
                self.apply(&entries, effects)?;
                self.deliver(responses, effects)
            }
            _ => Ok(()),
        }
    }

    /// Returns the amount of work that waits for the storage threads.
    pub fn waiting_work(&self) -> usize {
        self.running.as_ref().map_or(0, |running| {
            running.append_work.len() + running.apply_work.len()
        })
    }

    /// One `Ready` in the order that its documentation asks for, with crashes in between.
    fn persist_and_apply(&mut self, effects: &mut Effects<'_>) -> Checked {
        let Some(running) = &mut self.running else {
            return Ok(());
        };
        let ready = running.node.ready().expect("the last one was advanced");
        answered(self.config.id, &ready, effects)?;
        let committed = running.node.core().commit();
        count_pieces(&ready.committed_entries, committed, effects.tally);
        let mut early = ready.messages;
        let late = match self.mistakes.answers_before_sync {
            true => Vec::new(),
            false => early.split_off(ready.early_messages),
        };
        self.send(early, effects)?;
        if self.crashes(effects) {
            return Ok(());
        }
        let must_sync = ready.must_sync || ready.snapshot.is_some();
        let snapshot = ready.snapshot.clone();
        if !self.write(ready.hard_state, &ready.entries, snapshot, effects) || self.crashes(effects)
        {
            return Ok(());
        }
        if must_sync {
            self.sync();
        }
        self.send(late, effects)?;
        if self.crashes(effects) {
            return Ok(());
        }
        self.install(ready.snapshot.as_ref(), effects)?;
        self.apply(&ready.committed_entries, effects)?;
        if let Some(running) = &mut self.running {
            running.node.advance().expect("there is a Ready to advance");
        }
        Ok(())
    }

    fn hand_out_work(&mut self, effects: &mut Effects<'_>) -> Checked {
        let Some(running) = &mut self.running else {
            return Ok(());
        };
        let ready = running
            .node
            .ready()
            .expect("asynchronous writes need no advance");
        answered(self.config.id, &ready, effects)?;
        let mut outgoing = Vec::new();
        for message in ready.messages {
            if let Body::StorageApply { entries, .. } = &message.body {
                count_pieces(entries, running.node.core().commit(), effects.tally);
            }
            match message.to {
                NodeId::APPEND_THREAD => running.append_work.push_back(message),
                NodeId::APPLY_THREAD => running.apply_work.push_back(message),
                _ => outgoing.push(message),
            }
        }
        self.send(outgoing, effects)
    }

    /// The two steps in which a `Ready` is written, with a crash between them if chance wants it;
    /// false if there was one.
    fn write(
        &mut self,
        hard_state: Option<HardState>,
        entries: &[Entry],
        snapshot: Option<Snapshot>,
        effects: &mut Effects<'_>,
    ) -> bool {
        if let (Some(snapshot), Some(running)) = (snapshot, &mut self.running) {
            known(running.node.storage_mut().apply_snapshot(snapshot));
            self.sync();
            if self.crashes(effects) {
                return false;
            }
        }
        let Some(running) = &mut self.running else {
            return false;
        };
        known(running.node.storage_mut().write(entries, hard_state));
        true
    }

    fn sync(&mut self) {
        if let Some(running) = &self.running {
            self.durable = running.node.storage().clone();
        }
    }

    fn install(&mut self, snapshot: Option<&Snapshot>, effects: &mut Effects<'_>) -> Checked {
        let (Some(snapshot), Some(running)) = (snapshot, &mut self.running) else {
            return Ok(());
        };
        running.application = Application::restore(snapshot);
        let Application { index, state } = running.application;
        effects.history.applied(self.config.id, index, state)?;
        let members = &snapshot.metadata.conf_state;
        effects.history.configured(self.config.id, index, members)
    }

    fn apply(&mut self, entries: &[Entry], effects: &mut Effects<'_>) -> Checked {
        let id = self.config.id;
        let Some(running) = &mut self.running else {
            return Ok(());
        };
        for entry in entries {
            // A snapshot may have overtaken entries that the thread that applies still had to do.
            if self.config.async_storage_writes && entry.index <= running.application.index {
                continue;
            }
            assert_eq!(
                entry.index,
                running.application.index.next(),
                "applied in order"
            );
            let change = match entry.kind {
                EntryKind::Normal => None,
                EntryKind::ConfChange => Some(known(wire::decode_conf_change(&entry.data)).into()),
                EntryKind::ConfChangeV2 => Some(known(wire::decode_conf_change_v2(&entry.data))),
            };
            running.application.apply(entry);
            if self.mistakes.applies_wrongly && effects.rng.random_bool(0.01) {
                running.application.state ^= 1;
            }
            let Application { index, state } = running.application;
            effects.history.applied(id, index, state)?;
            if let Some(change) = change {
                // A change that does not fit is one that nobody can apply.
                let _ = running.node.apply_conf_change(&change);
                let members = running.node.core().tracker().config.conf_state();
                effects.history.configured(id, index, &members)?;
            }
        }
        Ok(())
    }

    /// Responses of a storage thread: to the server itself, or to others.
    fn deliver(&mut self, responses: Vec<Message>, effects: &mut Effects<'_>) -> Checked {
        let (own, others): (Vec<Message>, Vec<Message>) = responses
            .into_iter()
            .partition(|message| message.to == self.config.id);
        self.send(others, effects)?;
        for message in own {
            if let Body::StorageAppendResponse { snapshot, .. } = &message.body {
                self.install(snapshot.clone().as_deref(), effects)?;
            }
            if let Some(running) = &mut self.running {
                // A server that is no member any more refuses even its own acknowledgements.
                take_in(running, message);
            }
        }
        Ok(())
    }

    fn send(&self, messages: Vec<Message>, effects: &mut Effects<'_>) -> Checked {
        for message in messages {
            if let Body::RequestVoteResponse { granted: true } = message.body {
                effects
                    .history
                    .voted(message.from, message.term, message.to)?;
            }
            effects.sent.push(message);
        }
        Ok(())
    }

    fn crashes(&mut self, effects: &mut Effects<'_>) -> bool {
        let crashes = effects.rng.random_bool(effects.crash_chance);
        if crashes {
            self.crash(effects.history);
        }
        crashes
    }
}

fn answered(id: NodeId, ready: &Ready, effects: &mut Effects<'_>) -> Checked {
    for state in &ready.read_states {
        let read = state.context.as_ref().try_into().map(u64::from_le_bytes);
        let read = read.expect("our own context");
        match state.index {
            Some(index) => effects.history.read_granted(id, read, index)?,
            None => effects.tally.count("reads given up"),
        }
    }
    let aborted = ready.aborted_transfers.len() as u64;
    effects.tally.add("transfers given up", aborted);
    Ok(())
}

fn count_pieces(handed_out: &[Entry], committed: Index, tally: &mut Tally) {
    let end = handed_out.last().map(|entry| entry.index);
    if end.is_some_and(|end| end < committed) {
        tally.count("committed entries handed out in pieces");
    }
}

/// Refused are answers from former members and proposals at a wrong place; the storage must not fail.
pub fn take_in(running: &mut Running, message: Message) {
    if let Err(error) = running.node.step(message) {
        assert_ne!(error.blame(), Blame::Storage, "{error}");
    }
}
