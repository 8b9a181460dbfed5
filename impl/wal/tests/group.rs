//! Three servers with asynchronous storage writes, each on a log of its own; they are stopped at random
//! and start again from their folders.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::mpsc::{self, Receiver, Sender};
use std::time::Duration;

use bytes::Bytes;
use lockstep_raft::{
    Body, ConfState, Config, Entry, Index, Message, NodeId, RawNode, Role, Storage, wire,
};
use lockstep_wal::{Metadata, Options, Wal, WalStorage};
use rand::rngs::SmallRng;
use rand::{Rng, SeedableRng};

type Result<T> = std::result::Result<T, Box<dyn std::error::Error>>;

struct Server {
    node: RawNode<WalStorage>,
    wal: Wal,
    members: ConfState,
    /// The commands applied since the start, by index.
    applied: BTreeMap<u64, Bytes>,
}

struct Group {
    folder: tempfile::TempDir,
    servers: BTreeMap<NodeId, Server>,
    network: Vec<Message>,
    /// Responses of the append threads.
    durable: Receiver<(NodeId, Vec<Message>)>,
    done: Sender<(NodeId, Vec<Message>)>,
    writing: usize,
    /// The share of messages that get lost.
    loss: f64,
    /// Everything that was ever applied anywhere.
    committed: BTreeMap<u64, Bytes>,
}

impl Group {
    fn ids() -> impl Iterator<Item = NodeId> {
        (1..=3).filter_map(NodeId::new)
    }

    fn folder_of(&self, id: NodeId) -> PathBuf {
        self.folder.path().join(id.to_string())
    }

    fn start(&mut self, id: NodeId) -> Result<()> {
        let mut options = Options::new(Metadata {
            cluster_id: 1,
            member_id: id,
        });
        options.segment_bytes = 2048;
        let (wal, recovered) = Wal::open(self.folder_of(id), options)?;
        let mut config = Config::new(id);
        config.async_storage_writes = true;
        let mut node = RawNode::new(&config, wal.storage())?;
        let mut members = ConfState::default();
        let mut applied = BTreeMap::new();
        if recovered.is_new {
            let all: Vec<_> = Group::ids().map(|id| (id, Bytes::new())).collect();
            node.bootstrap(&all)?;
        } else if let Some(metadata) = recovered.snapshot {
            members = metadata.conf_state;
            let data = wal.storage().snapshot()?.data;
            applied.insert(metadata.index.0, data);
        }
        let server = Server {
            node,
            wal,
            members,
            applied,
        };
        self.servers.insert(id, server);
        Ok(())
    }

    /// Works off what one server has to do. Storage goes on in the background.
    fn work(&mut self, id: NodeId) -> Result<()> {
        let Some(server) = self.servers.get_mut(&id) else {
            return Ok(());
        };
        while server.node.has_ready() {
            for message in server.node.ready()?.messages {
                match message.body {
                    Body::StorageAppend(mut work) => {
                        if let Some(snapshot) = &work.snapshot {
                            server
                                .applied
                                .insert(snapshot.metadata.index.0, snapshot.data.clone());
                            server.members = snapshot.metadata.conf_state.clone();
                        }
                        let responses = std::mem::take(&mut work.responses);
                        let done = self.done.clone();
                        self.writing += 1;
                        server.wal.append((*work).into(), move |result| {
                            result.expect("nothing fails here");
                            let _ = done.send((id, responses));
                        });
                    }
                    Body::StorageApply { entries, responses } => {
                        for entry in &entries {
                            apply(server, entry, &mut self.committed)?;
                        }
                        self.network.extend(responses);
                    }
                    _ => self.network.push(message),
                }
            }
        }
        Ok(())
    }

    fn deliver(&mut self, message: Message) -> Result<()> {
        if let Some(server) = self.servers.get_mut(&message.to) {
            let to = message.to;
            match server.node.step(message) {
                Ok(()) | Err(lockstep_raft::Error::ProposalDropped(_)) => {}
                Err(error) => return Err(error.into()),
            }
            self.work(to)?;
        }
        Ok(())
    }

    /// Ticks, and delivers whatever there is for a while.
    fn step(&mut self, random: &mut SmallRng) -> Result<()> {
        for id in Group::ids() {
            if let Some(server) = self.servers.get_mut(&id) {
                server.node.tick()?;
                self.work(id)?;
            }
        }
        for _ in 0..20 {
            while let Ok((_, responses)) = self.durable.try_recv() {
                self.writing -= 1;
                self.network.extend(responses);
            }
            for message in std::mem::take(&mut self.network) {
                let is_local = message.from == message.to || message.from.is_storage_thread();
                if is_local || random.random_bool(1.0 - self.loss) {
                    self.deliver(message)?;
                }
            }
            if self.writing > 0
                && let Ok((_, responses)) = self.durable.recv_timeout(Duration::from_millis(50))
            {
                self.writing -= 1;
                self.network.extend(responses);
            }
        }
        Ok(())
    }

    fn leader(&mut self) -> Option<&mut Server> {
        let mut servers = self.servers.values_mut();
        servers.find(|it| it.node.basic_status().soft_state.role == Role::Leader)
    }
}

fn apply(server: &mut Server, entry: &Entry, committed: &mut BTreeMap<u64, Bytes>) -> Result<()> {
    match wire::conf_change_of(entry)? {
        Some(change) => server.members = server.node.apply_conf_change(change)?,
        None => {
            let before = committed.entry(entry.index.0).or_insert(entry.data.clone());
            assert_eq!(*before, entry.data, "entry {}", entry.index);
        }
    }
    server.applied.insert(entry.index.0, entry.data.clone());
    Ok(())
}

#[test]
fn a_group_keeps_what_it_committed_across_restarts() -> Result<()> {
    let mut random = SmallRng::seed_from_u64(7);
    let (done, durable) = mpsc::channel();
    let mut group = Group {
        folder: tempfile::tempdir()?,
        servers: BTreeMap::new(),
        network: Vec::new(),
        durable,
        done,
        writing: 0,
        loss: 0.02,
        committed: BTreeMap::new(),
    };
    for id in Group::ids() {
        group.start(id)?;
        group.work(id)?;
    }
    let (mut restarts, mut snapshots) = (0, 0);
    for round in 0..240 {
        group.step(&mut random)?;
        if let Some(leader) = group.leader() {
            let data = format!("command {round}").into_bytes();
            let _ = leader.node.propose(data.into());
        }
        if round % 40 == 39 {
            // One server stops. Messages to it and from its storage are lost.
            let id = NodeId::new(random.random_range(1..=3)).ok_or("zero")?;
            drop(group.servers.remove(&id));
            group.network.retain(|it| it.from != id && it.to != id);
            while let Ok((from, responses)) = group.durable.try_recv() {
                group.writing -= 1;
                if from != id {
                    group.network.extend(responses);
                }
            }
            group.start(id)?;
            group.work(id)?;
            restarts += 1;
        }
        if round % 25 == 24 {
            for server in group.servers.values() {
                let index = server.node.basic_status().applied;
                let members = server.members.clone();
                let data = server.applied.get(&index.0).cloned().unwrap_or_default();
                if index > Index(5) && server.wal.create_snapshot(index, members, data).is_ok() {
                    server.wal.storage().compact(index)?;
                    snapshots += 1;
                }
            }
        }
    }
    group.loss = 0.0;
    let mut rounds = 0;
    loop {
        group.step(&mut random)?;
        let applied = group.servers.values();
        let applied: Vec<Index> = applied.map(|it| it.node.basic_status().applied).collect();
        if applied.iter().all(|it| *it == applied[0]) {
            break;
        }
        rounds += 1;
        assert!(rounds < 1000, "{applied:?}");
    }
    let committed = group.committed.len();
    println!("{committed} entries, {restarts} restarts, {snapshots} snapshots");
    assert!(committed > 100 && restarts == 6 && snapshots > 10);
    Ok(())
}
