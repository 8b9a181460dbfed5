//! A group of our servers.

use bytes::Bytes;
use lockstep_raft::storage::MemoryStorage;
use lockstep_raft::{ConfChange, ConfChangeKind, Entry, Message, RawNode, Ready, wire};

use super::nodes::{self, id};
use super::{Group, KEPT_ENTRIES};

struct Server {
    node: RawNode<MemoryStorage>,
    applied_bytes: u64,
    compacted: u64,
}

pub struct Servers {
    servers: Vec<Server>,
    /// One for each server, whose buffers are used again.
    readies: Vec<Ready>,
    in_flight: Vec<Message>,
}

fn server(number: u64, voters: u64) -> Server {
    Server {
        node: nodes::ours(number, voters),
        applied_bytes: 0,
        compacted: 0,
    }
}

impl Server {
    fn apply(&mut self, entries: &[Entry]) {
        let Some(last) = entries.last().map(|entry| entry.index) else {
            return;
        };
        for entry in entries {
            self.applied_bytes += entry.data.len() as u64;
            if let Some(change) = wire::conf_change_of(entry).expect("we encoded it") {
                self.node
                    .apply_conf_change(change)
                    .expect("the change is valid");
            }
        }
        if last.get() - self.compacted >= KEPT_ENTRIES {
            self.node
                .storage_mut()
                .compact(last)
                .expect("what is applied is there");
            self.compacted = last.get();
        }
    }

    fn work(&mut self, ready: &mut Ready, out: &mut Vec<Message>) {
        self.node.ready_into(ready).expect("the storage is sound");
        let storage = self.node.storage_mut();
        if !ready.entries.is_empty() {
            storage
                .append(std::mem::take(&mut ready.entries))
                .expect("entries follow each other");
        }
        if let Some(state) = ready.hard_state {
            storage.set_hard_state(state);
        }
        out.append(&mut ready.messages);
        self.apply(&ready.committed_entries);
        self.node.advance().expect("a Ready was taken");
    }
}

impl Servers {
    fn leader(&mut self) -> &mut RawNode<MemoryStorage> {
        &mut self.servers[0].node
    }
}

impl Group for Servers {
    fn new(size: u64) -> Servers {
        let servers = (1..=size).map(|number| server(number, size)).collect();
        let readies = (0..size).map(|_| Ready::default()).collect();
        let mut group = Servers {
            servers,
            readies,
            in_flight: Vec::new(),
        };
        group.leader().campaign().expect("a voter may campaign");
        group.settle();
        assert_eq!(group.leader().core().leader(), Some(id(1)));
        group
    }

    fn propose(&mut self, data: Bytes) {
        self.leader()
            .propose(data)
            .expect("the leader takes proposals");
    }

    fn settle(&mut self) {
        loop {
            let mut worked = false;
            for (server, ready) in self.servers.iter_mut().zip(&mut self.readies) {
                while server.node.has_ready() {
                    server.work(ready, &mut self.in_flight);
                    worked = true;
                }
            }
            for message in std::mem::take(&mut self.in_flight) {
                worked = true;
                if let Some(server) = self.servers.get_mut(message.to.get() as usize - 1) {
                    server
                        .node
                        .step(message)
                        .expect("messages are of known servers");
                }
            }
            if !worked {
                return;
            }
        }
    }

    fn heartbeat_round(&mut self) {
        self.leader().tick().expect("the storage is sound");
        self.settle();
    }

    fn change_membership(&mut self, add: bool) {
        let change = ConfChange {
            kind: if add {
                ConfChangeKind::AddLearner
            } else {
                ConfChangeKind::RemoveNode
            },
            node: Some(id(1000)),
            ..ConfChange::default()
        };
        self.leader()
            .propose_conf_change(change)
            .expect("the leader takes proposals");
        self.settle();
    }

    fn applied_bytes(&self) -> u64 {
        self.servers.iter().map(|server| server.applied_bytes).sum()
    }
}
