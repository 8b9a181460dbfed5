//! A group of servers in one thread, with random faults from a seed. Whoever watches the servers does not change the run.

use bytes::Bytes;
use lockstep_raft::observer::Observer;
use lockstep_raft::{
    Body, CallError, ConfChangeKind, ConfChangeSingle, ConfChangeV2, ConfState, Config, Entry,
    Error, MemoryStorage, Message, MessageKind, NoObserver, NodeId, RawNode, ReadOnly, Ready, Role,
    SnapshotStatus, Storage, StorageAppend, Transition, wire,
};
use lockstep_record::{Cause, Recorder, Sink};
use rand::rngs::SmallRng;
use rand::{Rng, SeedableRng};
use std::collections::VecDeque;

/// An observer that may know the line of each message.
pub trait Watcher: Observer {
    /// The lines of the messages of the last `Ready` to others.
    fn causes(&self) -> Vec<Cause> {
        Vec::new()
    }

    /// The line of the message that comes next.
    fn caused_by(&mut self, _cause: Cause) {}
}

impl Watcher for NoObserver {}

impl<K: Sink> Watcher for Recorder<K> {
    fn causes(&self) -> Vec<Cause> {
        Recorder::causes(self).to_vec()
    }

    fn caused_by(&mut self, cause: Cause) {
        Recorder::caused_by(self, cause);
    }
}

/// The kind of run.
#[derive(Clone, Debug)]
pub struct Options {
    /// The seed of all choices.
    pub seed: u64,
    /// The number of servers; one more may be added if the configuration changes.
    pub servers: u64,
    /// The number of steps.
    pub steps: usize,
    /// PreVote and CheckQuorum.
    pub careful: bool,
    /// Asynchronous storage writes.
    pub async_storage: bool,
    /// Crashes.
    pub crashes: bool,
    /// Snapshots and compaction.
    pub snapshots: bool,
    /// Changes of the configuration.
    pub changes: bool,
    /// Reads.
    pub reads: bool,
    /// Deliveries name the line of their send.
    pub causes: bool,
    /// The servers start with a list of peers in their log, and not with a stored configuration.
    pub bootstrap: bool,
    /// One message of this number is lost.
    pub loss: u32,
    /// A planted mistake: the disk loses with a crash the last write that it said was durable.
    pub forgets: bool,
}

impl Default for Options {
    fn default() -> Options {
        Options {
            seed: 1,
            servers: 3,
            steps: 1000,
            careful: false,
            async_storage: false,
            crashes: false,
            snapshots: false,
            changes: false,
            reads: false,
            causes: true,
            bootstrap: false,
            loss: 20,
            forgets: false,
        }
    }
}

struct Server<O> {
    id: NodeId,
    node: RawNode<MemoryStorage, O>,
    /// A `Ready` that is not written yet, with the lines of its messages.
    taken: Option<(Ready, Vec<Option<Cause>>)>,
    /// Asynchronous writes, and entries that are to be applied.
    appends: VecDeque<(StorageAppend, Vec<Option<Cause>>)>,
    applies: VecDeque<(Vec<Entry>, Vec<Message>)>,
    applied: u64,
    members: ConfState,
    /// The disk before the last write that had to be durable, if the disk is one that forgets.
    older: Option<MemoryStorage>,
}

/// A group of servers.
pub struct Cluster<O, F> {
    options: Options,
    watch: F,
    random: SmallRng,
    servers: Vec<Server<O>>,
    network: Vec<(Message, Option<Cause>)>,
    proposals: u64,
    /// All that the servers said to others and handed to their applications, in order.
    pub output: Vec<String>,
    /// Whether `output` is kept.
    pub keeps_output: bool,
    /// The number of entries that were applied at some server.
    pub applied: u64,
}

type Result<T = ()> = std::result::Result<T, Error>;

fn id(number: u64) -> Option<NodeId> {
    NodeId::new(number)
}

impl<O: Watcher, F: FnMut(NodeId) -> O> Cluster<O, F> {
    /// Starts the servers.
    pub fn new(options: &Options, mut watch: F) -> Result<Cluster<O, F>> {
        let voters: Vec<NodeId> = (1..=options.servers).filter_map(id).collect();
        let members = ConfState {
            voters,
            ..ConfState::default()
        };
        let mut random = SmallRng::seed_from_u64(options.seed);
        let all = options.servers + u64::from(options.changes);
        let mut servers = Vec::new();
        for id in (1..=all).filter_map(id) {
            let first = members.voters.contains(&id);
            let storage = match first && !options.bootstrap {
                true => MemoryStorage::with_conf_state(members.clone()),
                false => MemoryStorage::new(),
            };
            let members = match first {
                true => members.clone(),
                false => ConfState::default(),
            };
            let config = config(options, id, &mut random);
            let mut node = RawNode::with_observer(&config, storage, watch(id))?;
            if first && options.bootstrap {
                let peers: Vec<(NodeId, Bytes)> = members
                    .voters
                    .iter()
                    .map(|id| (*id, Bytes::new()))
                    .collect();
                node.bootstrap(&peers)?;
            }
            servers.push(Server {
                id,
                node,
                taken: None,
                appends: VecDeque::new(),
                applies: VecDeque::new(),
                applied: 0,
                members,
                older: None,
            });
        }
        Ok(Cluster {
            options: options.clone(),
            watch,
            random,
            servers,
            network: Vec::new(),
            proposals: 0,
            output: Vec::new(),
            keeps_output: false,
            applied: 0,
        })
    }

    /// Lets the whole run happen.
    pub fn run(&mut self) -> Result {
        for _ in 0..self.options.steps {
            self.step()?;
        }
        Ok(())
    }

    /// The servers.
    pub fn nodes(&mut self) -> impl Iterator<Item = &mut RawNode<MemoryStorage, O>> {
        self.servers.iter_mut().map(|server| &mut server.node)
    }

    fn step(&mut self) -> Result {
        let place = self.random.random_range(0..self.servers.len());
        match self.random.random_range(0..100) {
            0..14 => self.servers[place].node.tick(),
            14..48 => self.deliver(),
            48..78 => self.work(place),
            78..88 => self.propose(place),
            88..91 if self.options.changes => self.change(place),
            91..93 if self.options.snapshots => self.compact(place),
            93 if self.options.crashes => self.crash(place),
            94 => self.ask(place),
            95..97 if self.options.reads => {
                let context = self.random.random_range(0..1000u32);
                refused(
                    self.servers[place]
                        .node
                        .read_index(context.to_string().into()),
                )
            }
            _ => self.work(place),
        }
    }

    fn deliver(&mut self) -> Result {
        if self.network.is_empty() {
            return Ok(());
        }
        let place = self.random.random_range(0..self.network.len());
        let (message, cause) = match self.random.random_ratio(1, 30) {
            true => self.network[place].clone(),
            false => self.network.swap_remove(place),
        };
        let lost = self.random.random_ratio(1, self.options.loss.max(2));
        let (from, to, kind) = (message.from, message.to, message.kind());
        if !lost && let Some(server) = self.servers.iter_mut().find(|it| it.id == to) {
            if let Some(cause) = cause {
                server.node.observer_mut().caused_by(cause);
            }
            refused(server.node.step(message))?;
        }
        let snapshot = kind == MessageKind::InstallSnapshot;
        if let Some(sender) = self.servers.iter_mut().find(|it| it.id == from) {
            if snapshot {
                let status = match lost {
                    true => SnapshotStatus::Failed,
                    false => SnapshotStatus::Finished,
                };
                refused(sender.node.report_snapshot(to, status))?;
            } else if lost && self.random.random_ratio(1, 3) {
                refused(sender.node.report_unreachable(to))?;
            }
        }
        Ok(())
    }

    fn propose(&mut self, place: usize) -> Result {
        let many = self.random.random_range(1..4);
        let first = self.proposals;
        self.proposals += many;
        let data = |number: u64| Bytes::from(format!("value {number}"));
        let node = &mut self.servers[place].node;
        refused(match many {
            1 => node.propose(data(first)),
            _ => node.propose_entries(
                (first..first + many)
                    .map(|number| Entry {
                        data: data(number),
                        ..Entry::default()
                    })
                    .collect(),
            ),
        })
    }

    fn change(&mut self, place: usize) -> Result {
        let all = self.servers.len() as u64;
        let mut single = || {
            let id = id(self.random.random_range(1..=all))?;
            let kind = match self.random.random_range(0..4) {
                0 => ConfChangeKind::RemoveNode,
                1 => ConfChangeKind::AddLearner,
                _ => ConfChangeKind::AddNode,
            };
            Some(ConfChangeSingle::new(kind, id))
        };
        let changes: Vec<ConfChangeSingle> = [single(), single()].into_iter().flatten().collect();
        let change = match self.random.random_range(0..5) {
            0 => ConfChangeV2::default(),
            1 => ConfChangeV2 {
                changes,
                transition: Transition::JointExplicit,
                ..ConfChangeV2::default()
            },
            2 => ConfChangeV2 {
                changes,
                ..ConfChangeV2::default()
            },
            _ => ConfChangeV2 {
                changes: changes[..1].to_vec(),
                ..ConfChangeV2::default()
            },
        };
        // Enough voters stay for the run to go on.
        let leaves = |it: &ConfChangeSingle| it.kind != ConfChangeKind::AddNode;
        let voters = self.servers[place].members.voters.len();
        if voters <= 2 && change.changes.iter().any(leaves) {
            return Ok(());
        }
        refused(self.servers[place].node.propose_conf_change(change))
    }

    fn ask(&mut self, place: usize) -> Result {
        let all = self.servers.len() as u64;
        let to = self.random.random_range(1..=all);
        let choice = self.random.random_range(0..4);
        let node = &mut self.servers[place].node;
        let status = node.basic_status();
        match (choice, id(to)) {
            (0, Some(to)) if status.soft_state.role == Role::Leader => {
                refused(node.transfer_leadership(to))
            }
            (1, _) => refused(node.forget_leader()),
            (2, _) => refused(node.campaign()),
            _ => Ok(()),
        }
    }

    /// The application makes a snapshot of what it has applied, and keeps a few entries behind it.
    fn compact(&mut self, place: usize) -> Result {
        let server = &mut self.servers[place];
        let (applied, members) = (server.applied.into(), server.members.clone());
        let storage = server.node.storage_mut();
        if !members.voters.is_empty()
            && applied > storage.snapshot()?.metadata.index
            && storage.last_index()? >= applied
        {
            storage.create_snapshot(applied, Some(members), "state".into())?;
            let kept = self.random.random_range(0..4);
            let upto = applied.get().saturating_sub(kept).into();
            if upto >= storage.first_index()? {
                storage.compact(upto)?;
            }
            let hard_state = storage.hard_state();
            storage.set_hard_state(lockstep_raft::HardState {
                commit: hard_state.commit.max(applied),
                ..hard_state
            });
        }
        Ok(())
    }

    /// The process is killed and starts again. Of its writes under way it finds the oldest, any number of them.
    fn crash(&mut self, place: usize) -> Result {
        let server = &mut self.servers[place];
        if let Some((ready, _)) = server.taken.take()
            && self.random.random()
        {
            write(
                server.node.storage_mut(),
                ready.snapshot,
                ready.entries,
                ready.hard_state,
            )?;
        }
        let kept = self.random.random_range(0..=server.appends.len());
        for (append, _) in server.appends.drain(..).take(kept) {
            write(
                server.node.storage_mut(),
                append.snapshot,
                append.entries,
                append.hard_state,
            )?;
        }
        server.applies.clear();
        let storage = match server.older.take() {
            Some(older) => older,
            None => server.node.storage().clone(),
        };
        let snapshot = storage.snapshot()?.metadata;
        let mut config = config(&self.options, server.id, &mut self.random);
        config.applied = snapshot.index;
        server.applied = snapshot.index.get();
        server.members = snapshot.conf_state;
        // The old recorder is closed before the new one looks at what it left.
        let id = server.id;
        let mut servers = std::mem::take(&mut self.servers);
        let old = servers.remove(place);
        drop(old.node);
        let node = RawNode::with_observer(&config, storage, (self.watch)(id))?;
        servers.insert(
            place,
            Server {
                id,
                node,
                taken: None,
                appends: VecDeque::new(),
                applies: VecDeque::new(),
                applied: old.applied,
                members: old.members,
                older: None,
            },
        );
        self.servers = servers;
        Ok(())
    }

    fn work(&mut self, place: usize) -> Result {
        match self.options.async_storage {
            true => self.work_async(place),
            false => self.work_sync(place),
        }
    }

    /// Takes a `Ready`, or does what the last one asks for.
    fn work_sync(&mut self, place: usize) -> Result {
        let server = &mut self.servers[place];
        let Some((ready, mut causes)) = server.taken.take() else {
            if server.node.has_ready() {
                let mut ready = server.node.ready()?;
                let mut causes = self.causes(place, ready.messages.len());
                let early = ready.early_messages;
                let messages: Vec<Message> = ready.messages.drain(..early).collect();
                self.send(messages, causes.drain(..early).collect());
                self.servers[place].taken = Some((ready, causes));
            }
            return Ok(());
        };
        if self.options.forgets && ready.must_sync && ready.snapshot.is_none() {
            server.older = Some(server.node.storage().clone());
        }
        write(
            server.node.storage_mut(),
            ready.snapshot.clone(),
            ready.entries,
            ready.hard_state,
        )?;
        if let Some(snapshot) = ready.snapshot {
            server.applied = snapshot.metadata.index.get();
            server.members = snapshot.metadata.conf_state;
        }
        causes.resize(ready.messages.len(), None);
        self.send(ready.messages, causes);
        self.note_reads(place, &ready.read_states);
        self.apply(place, &ready.committed_entries)?;
        self.servers[place].node.advance()
    }

    fn work_async(&mut self, place: usize) -> Result {
        let server = &mut self.servers[place];
        let choice = self.random.random_range(0..3);
        if choice == 0
            && let Some((append, causes)) = server.appends.pop_front()
        {
            let storage = server.node.storage_mut();
            if let Some(snapshot) = &append.snapshot {
                server.applied = snapshot.metadata.index.get();
                server.members.clone_from(&snapshot.metadata.conf_state);
            }
            write(storage, append.snapshot, append.entries, append.hard_state)?;
            let mut causes = causes.into_iter();
            for message in append.responses {
                match message.to == self.servers[place].id {
                    true => refused(self.servers[place].node.step(message))?,
                    false => self.send(vec![message], vec![causes.next().flatten()]),
                }
            }
            return Ok(());
        }
        if choice == 1
            && let Some((entries, responses)) = server.applies.pop_front()
        {
            // A snapshot may have overtaken them.
            let applied = server.applied;
            let entries: Vec<Entry> = entries
                .into_iter()
                .filter(|entry| entry.index.get() > applied)
                .collect();
            self.apply(place, &entries)?;
            for message in responses {
                refused(self.servers[place].node.step(message))?;
            }
            return Ok(());
        }
        if !server.node.has_ready() {
            return Ok(());
        }
        let ready = server.node.ready()?;
        let mut causes = self.causes(place, 0).into_iter();
        self.note_reads(place, &ready.read_states);
        for message in ready.messages {
            match message.body {
                Body::StorageAppend(append) => {
                    let server = &mut self.servers[place];
                    let to_others = append.responses.iter().filter(|it| it.to != server.id);
                    let waiting = (0..to_others.count()).map(|_| causes.next().flatten());
                    server.appends.push_back((*append, waiting.collect()));
                }
                Body::StorageApply { entries, responses } => {
                    self.servers[place].applies.push_back((entries, responses));
                }
                body => {
                    let cause = causes.next().flatten();
                    self.send(vec![Message { body, ..message }], vec![cause]);
                }
            }
        }
        Ok(())
    }

    fn causes(&self, place: usize, least: usize) -> Vec<Option<Cause>> {
        if !self.options.causes {
            return vec![None; least];
        }
        let causes = self.servers[place].node.observer().causes();
        let mut causes: Vec<Option<Cause>> = causes.into_iter().map(Some).collect();
        causes.resize(causes.len().max(least), None);
        causes
    }

    fn send(&mut self, messages: Vec<Message>, causes: Vec<Option<Cause>>) {
        for (message, cause) in messages.into_iter().zip(causes) {
            self.note(|| format!("{message:?}"));
            if self.network.len() == 64 {
                let lost = self.random.random_range(0..self.network.len());
                self.network.swap_remove(lost);
            }
            self.network.push((message, cause));
        }
    }

    fn apply(&mut self, place: usize, entries: &[Entry]) -> Result {
        for entry in entries {
            self.note(|| format!("{place} applies {entry:?}"));
            self.applied += 1;
            let server = &mut self.servers[place];
            server.applied = entry.index.get();
            let Some(change) = wire::conf_change_of(entry).ok().flatten() else {
                continue;
            };
            match server.node.apply_conf_change(change) {
                Ok(members) => server.members = members,
                Err(Error::Call(CallError::ConfChange(_))) => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    fn note_reads(&mut self, place: usize, reads: &[lockstep_raft::ReadState]) {
        for read in reads {
            self.note(|| format!("{place} read {read:?}"));
        }
    }

    fn note(&mut self, text: impl FnOnce() -> String) {
        if self.keeps_output {
            self.output.push(text());
        }
    }
}

fn config(options: &Options, id: NodeId, random: &mut SmallRng) -> Config {
    let mut config = Config::new(id);
    config.seed = random.random();
    (config.pre_vote, config.check_quorum) = (options.careful, options.careful);
    config.async_storage_writes = options.async_storage;
    (config.max_inflight_messages, config.max_message_bytes) = (4, 100);
    config.read_only = ReadOnly::Safe;
    config
}

/// Refusals are part of the run.
fn refused(result: Result) -> Result {
    match result {
        Err(Error::Storage(error)) => Err(Error::Storage(error)),
        _ => Ok(()),
    }
}

fn write(
    storage: &mut MemoryStorage,
    snapshot: Option<lockstep_raft::Snapshot>,
    entries: Vec<Entry>,
    hard_state: Option<lockstep_raft::HardState>,
) -> Result {
    if let Some(snapshot) = snapshot
        && snapshot.metadata.index > storage.snapshot()?.metadata.index
    {
        storage.apply_snapshot(snapshot)?;
    }
    Ok(storage.write(entries, hard_state)?)
}
