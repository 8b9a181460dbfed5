//! A few servers and the network between them.

use std::collections::VecDeque;

use bytes::Bytes;

use super::untimed::Core;
use crate::config::Config;
use crate::core::TimerEvent;
use crate::error::Error;
use crate::ready::Ready;
use crate::storage::{MemoryStorage, Storage as _};
use crate::types::*;
use crate::wire;

pub(super) fn id(id: u64) -> NodeId {
    NodeId::new(id).unwrap()
}

pub(super) fn ids(ids: &[u64]) -> Vec<NodeId> {
    ids.iter().copied().map(id).collect()
}

/// A snapshot without data, up to that entry, as a leader sends it.
pub(super) fn snapshot(term: u64, index: u64, conf_state: ConfState) -> Body {
    let metadata = SnapshotMetadata {
        conf_state,
        index: Index(index),
        term: Term(term),
    };
    let data = Bytes::new();
    Body::InstallSnapshot {
        snapshot: Box::new(Snapshot { metadata, data }),
    }
}

/// A message from one numbered server to another.
pub(super) fn message(from: u64, to: u64, term: u64, body: Body) -> Message {
    Message {
        from: id(from),
        to: id(to),
        term: Term(term),
        body,
    }
}

pub(super) fn entry(term: u64, index: u64) -> Entry {
    Entry {
        term: Term(term),
        index: Index(index),
        ..Entry::default()
    }
}

pub(super) struct Cluster {
    configs: Vec<Config>,
    nodes: Vec<Core<MemoryStorage>>,
    pub network: VecDeque<Message>,
    /// Links that lose everything, by sender and receiver.
    cut: Vec<(u64, u64)>,
    /// The data that each server has applied, empty entries left out.
    pub applied: Vec<Vec<Bytes>>,
}

impl Cluster {
    /// Voters 1 to `count` with empty logs.
    pub fn new(count: u64, change: impl Fn(&mut Config)) -> Cluster {
        let voters = (1..=count).map(id).collect::<Vec<_>>();
        let conf_state = ConfState {
            voters: voters.clone(),
            ..ConfState::default()
        };
        let storage = || MemoryStorage::with_conf_state(conf_state.clone());
        Cluster::with_storages(voters.iter().map(|_| storage()).collect(), change)
    }

    pub fn with_storages(storages: Vec<MemoryStorage>, change: impl Fn(&mut Config)) -> Cluster {
        let configs = (1..=storages.len() as u64).map(|number| {
            let mut config = Config::new(id(number));
            change(&mut config);
            config
        });
        let configs: Vec<Config> = configs.collect();
        let nodes = configs.iter().zip(storages);
        Cluster {
            nodes: nodes
                .map(|(config, storage)| Core::new(config, storage).unwrap())
                .collect(),
            applied: vec![Vec::new(); configs.len()],
            network: VecDeque::new(),
            cut: Vec::new(),
            configs,
        }
    }

    pub fn node(&self, number: u64) -> &Core<MemoryStorage> {
        &self.nodes[number as usize - 1]
    }

    pub fn node_mut(&mut self, number: u64) -> &mut Core<MemoryStorage> {
        &mut self.nodes[number as usize - 1]
    }

    pub fn isolate(&mut self, number: u64) {
        for other in 1..=self.nodes.len() as u64 {
            self.cut.extend([(number, other), (other, number)]);
        }
    }

    pub fn heal(&mut self) {
        self.cut.clear();
    }

    /// Persists, sends and applies until nothing is left to do at one server.
    pub fn work(&mut self, number: u64) -> Vec<Ready> {
        let at = number as usize - 1;
        let mut done = Vec::new();
        while self.nodes[at].has_ready() {
            let ready = self.nodes[at].ready().unwrap();
            let storage = self.nodes[at].storage_mut();
            if let Some(snapshot) = &ready.snapshot {
                storage.apply_snapshot(snapshot.clone()).unwrap();
            }
            storage
                .write(ready.entries.clone(), ready.hard_state)
                .unwrap();
            let cut = &self.cut;
            self.network.extend(
                ready
                    .messages
                    .iter()
                    .filter(|m| !cut.contains(&(m.from.get(), m.to.get())))
                    .cloned(),
            );
            for entry in &ready.committed_entries {
                self.apply(number, entry);
            }
            self.nodes[at].advance().unwrap();
            let _ = self.nodes[at].take_timer_reset();
            done.push(ready);
        }
        done
    }

    fn apply(&mut self, number: u64, entry: &Entry) {
        let change = match entry.kind {
            EntryKind::Normal if entry.data.is_empty() => return,
            EntryKind::Normal => {
                self.applied[number as usize - 1].push(entry.data.clone());
                return;
            }
            EntryKind::ConfChange => wire::decode_conf_change(&entry.data).unwrap().into(),
            EntryKind::ConfChangeV2 => wire::decode_conf_change_v2(&entry.data).unwrap(),
        };
        self.node_mut(number).apply_conf_change(&change).unwrap();
    }

    /// Delivers everything, in order, until nothing moves.
    pub fn settle(&mut self) {
        loop {
            for number in 1..=self.nodes.len() as u64 {
                self.work(number);
            }
            let Some(message) = self.network.pop_front() else {
                return;
            };
            self.deliver(message);
        }
    }

    /// Delivers one message; refusals by blame of peers are fine in a network that delays.
    pub fn deliver(&mut self, message: Message) {
        match self.node_mut(message.to.get()).step(message) {
            Ok(()) | Err(Error::Peer(_) | Error::ProposalDropped(_)) => {}
            Err(error) => panic!("{error}"),
        }
    }

    pub fn timeout(&mut self, number: u64) {
        self.node_mut(number)
            .on_timer(TimerEvent::LeaseExpired)
            .unwrap();
        self.node_mut(number)
            .on_timer(TimerEvent::ElectionTimeout)
            .unwrap();
    }

    /// Fires the election timer of one server and lets everything settle.
    pub fn elect(&mut self, number: u64) {
        for other in 1..=self.nodes.len() as u64 {
            if self.node(other).role() == Role::Follower {
                self.node_mut(other)
                    .on_timer(TimerEvent::LeaseExpired)
                    .unwrap();
            }
        }
        self.timeout(number);
        self.settle();
        assert_eq!(
            self.node(number).role(),
            Role::Leader,
            "{number} did not win"
        );
    }

    pub fn heartbeat(&mut self, number: u64) {
        self.node_mut(number)
            .on_timer(TimerEvent::HeartbeatDue)
            .unwrap();
    }

    pub fn propose(&mut self, number: u64, data: &'static str) -> Result<(), Error> {
        self.node_mut(number)
            .propose(Bytes::from_static(data.as_bytes()))
    }

    /// Loses everything that is not in storage.
    pub fn restart(&mut self, number: u64) {
        let at = number as usize - 1;
        let mut config = self.configs[at].clone();
        let storage = self.nodes[at].storage().clone();
        config.applied = self.nodes[at].applied();
        self.nodes[at] = Core::new(&config, storage).unwrap();
    }

    /// The whole log as pairs of term and index.
    pub fn log(&self, number: u64) -> Vec<(u64, u64)> {
        let log = self.node(number).log();
        let (low, high) = (log.first_index().unwrap(), log.last_index().unwrap().next());
        let entries = log.slice(low, high, u64::MAX).unwrap().unwrap();
        entries
            .iter()
            .map(|entry| (entry.term.0, entry.index.0))
            .collect()
    }
}

/// A storage with these terms as its log from index 1, and this hard state.
pub(super) fn storage(voters: &[u64], terms: &[u64], hard_state: HardState) -> MemoryStorage {
    let conf_state = ConfState {
        voters: ids(voters),
        ..ConfState::default()
    };
    let mut storage = MemoryStorage::with_conf_state(conf_state);
    let entries: Vec<Entry> = terms
        .iter()
        .zip(1..)
        .map(|(term, index)| entry(*term, index))
        .collect();
    storage.append(entries).unwrap();
    storage.set_hard_state(hard_state);
    assert_eq!(storage.last_index().unwrap().0, terms.len() as u64);
    storage
}
