//! A group of servers of the `raft` crate (tikv's raft-rs), driven as its documentation says.

use bytes::Bytes;
use protobuf::Message as _;
use raft::RawNode;
use raft::eraftpb::{ConfChange, ConfChangeType, Entry, EntryType, Message};
use raft::storage::MemStorage;

use super::nodes;
use super::{Group, KEPT_ENTRIES};

struct Server {
    node: RawNode<MemStorage>,
    applied_bytes: u64,
    compacted: u64,
}

pub struct Servers {
    servers: Vec<Server>,
    in_flight: Vec<Message>,
}

fn server(id: u64, voters: u64) -> Server {
    Server {
        node: nodes::raft_rs(id, voters),
        applied_bytes: 0,
        compacted: 0,
    }
}

impl Server {
    fn apply(&mut self, entries: Vec<Entry>) {
        let Some(last) = entries.last().map(|entry| entry.index) else {
            return;
        };
        for entry in entries {
            self.applied_bytes += entry.data.len() as u64;
            if entry.get_entry_type() == EntryType::EntryConfChange {
                let mut change = ConfChange::default();
                change.merge_from_bytes(&entry.data).expect("we encoded it");
                let state = self
                    .node
                    .apply_conf_change(&change)
                    .expect("the change is valid");
                self.node.store().wl().set_conf_state(state);
            }
        }
        if last - self.compacted >= KEPT_ENTRIES {
            self.node
                .store()
                .wl()
                .compact(last)
                .expect("what is applied is there");
            self.compacted = last;
        }
    }

    fn work(&mut self, out: &mut Vec<Message>) {
        let mut ready = self.node.ready();
        out.append(&mut ready.take_messages());
        self.apply(ready.take_committed_entries());
        let store = self.node.store().clone();
        if !ready.entries().is_empty() {
            store
                .wl()
                .append(ready.entries())
                .expect("entries follow each other");
        }
        if let Some(state) = ready.hs() {
            store.wl().set_hardstate(state.clone());
        }
        out.append(&mut ready.take_persisted_messages());
        let mut light = self.node.advance(ready);
        if let Some(commit) = light.commit_index() {
            store.wl().mut_hard_state().set_commit(commit);
        }
        out.append(&mut light.take_messages());
        self.apply(light.take_committed_entries());
        self.node.advance_apply();
    }
}

impl Servers {
    fn leader(&mut self) -> &mut RawNode<MemStorage> {
        &mut self.servers[0].node
    }
}

impl Group for Servers {
    fn new(size: u64) -> Servers {
        let servers = (1..=size).map(|id| server(id, size)).collect();
        let mut group = Servers {
            servers,
            in_flight: Vec::new(),
        };
        group.leader().campaign().expect("a voter may campaign");
        group.settle();
        assert_eq!(group.leader().raft.leader_id, 1);
        group
    }

    fn propose(&mut self, data: Bytes) {
        let leader = self.leader();
        let mut message = Message::default();
        message.set_msg_type(raft::eraftpb::MessageType::MsgPropose);
        message.from = 1;
        // `RawNode::propose` takes a vector and would have to copy the payload.
        message.mut_entries().push(Entry {
            data,
            ..Entry::default()
        });
        leader
            .raft
            .step(message)
            .expect("the leader takes proposals");
    }

    fn settle(&mut self) {
        loop {
            let mut worked = false;
            for server in &mut self.servers {
                while server.node.has_ready() {
                    server.work(&mut self.in_flight);
                    worked = true;
                }
            }
            for message in std::mem::take(&mut self.in_flight) {
                worked = true;
                if let Some(server) = self.servers.get_mut(message.to as usize - 1) {
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
        self.leader().ping();
        self.settle();
    }

    fn change_membership(&mut self, add: bool) {
        let mut change = ConfChange::default();
        change.set_change_type(if add {
            ConfChangeType::AddLearnerNode
        } else {
            ConfChangeType::RemoveNode
        });
        change.node_id = 1000;
        self.leader()
            .propose_conf_change(Vec::new(), change)
            .expect("the leader takes proposals");
        self.settle();
    }

    fn applied_bytes(&self) -> u64 {
        self.servers.iter().map(|server| server.applied_bytes).sum()
    }
}
