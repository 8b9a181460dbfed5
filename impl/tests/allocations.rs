//! The heartbeat path allocates nothing: a leader's tick, the heartbeats, their handling at every
//! follower and the answers, with buffers that are used again.
//!
//! Without a test harness, since the allocator counts for the whole process.

use std::alloc::System;

use lockstep_raft::{
    Body, ConfState, Config, MemoryStorage, Message, NodeId, RawNode, Ready, Role,
};
use stats_alloc::{INSTRUMENTED_SYSTEM, Region, StatsAlloc};

#[global_allocator]
static ALLOCATOR: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

/// A group in which each server has a `Ready` that is used again and again, as is the queue of messages.
struct Group {
    servers: Vec<(RawNode<MemoryStorage>, Ready)>,
    in_flight: Vec<Message>,
    delivering: Vec<Message>,
    heartbeats: u64,
    answers: u64,
}

fn id(number: u64) -> NodeId {
    NodeId::new(number).expect("servers are numbered from 1")
}

impl Group {
    fn new(size: u64) -> Group {
        let members = ConfState {
            voters: (1..=size).map(id).collect(),
            ..ConfState::default()
        };
        let server = |number| {
            let storage = MemoryStorage::with_conf_state(members.clone());
            let server = RawNode::new(&Config::new(id(number)), storage);
            (
                server.expect("the configuration is valid"),
                Ready::default(),
            )
        };
        let mut group = Group {
            servers: (1..=size).map(server).collect(),
            in_flight: Vec::new(),
            delivering: Vec::new(),
            heartbeats: 0,
            answers: 0,
        };
        group.servers[0].0.campaign().expect("a voter may campaign");
        group.settle();
        assert_eq!(
            group.servers[0].0.basic_status().soft_state.role,
            Role::Leader
        );
        group
    }

    fn settle(&mut self) {
        loop {
            for (server, ready) in &mut self.servers {
                while server.has_ready() {
                    server.ready_into(ready).expect("the last one was advanced");
                    let storage = server.storage_mut();
                    if let Some(state) = ready.hard_state {
                        storage.set_hard_state(state);
                    }
                    if !ready.entries.is_empty() {
                        storage
                            .append(&ready.entries[..])
                            .expect("they follow each other");
                    }
                    self.in_flight.append(&mut ready.messages);
                    server.advance().expect("the storage is sound");
                }
            }
            if self.in_flight.is_empty() {
                return;
            }
            std::mem::swap(&mut self.in_flight, &mut self.delivering);
            for message in self.delivering.drain(..) {
                match message.body {
                    Body::Heartbeat { .. } => self.heartbeats += 1,
                    Body::HeartbeatResponse { .. } => self.answers += 1,
                    _ => {}
                }
                let to = message.to.get() as usize - 1;
                self.servers[to]
                    .0
                    .step(message)
                    .expect("the sender is known");
            }
        }
    }

    fn heartbeat_round(&mut self) {
        self.servers[0].0.tick().expect("the storage is sound");
        self.settle();
    }
}

/// Allocations (and reallocations) of the action.
fn allocations(action: impl FnOnce()) -> usize {
    let region = Region::new(ALLOCATOR);
    action();
    let stats = region.change();
    stats.allocations + stats.reallocations
}

fn main() {
    for size in [3, 101] {
        let mut group = Group::new(size);
        // Until every buffer has its size.
        for _ in 0..10 {
            group.heartbeat_round();
        }
        (group.heartbeats, group.answers) = (0, 0);
        let rounds = 100;
        let count = allocations(|| {
            for _ in 0..rounds {
                group.heartbeat_round();
            }
        });
        let expected = rounds * (size - 1);
        assert_eq!((group.heartbeats, group.answers), (expected, expected));
        assert_eq!(
            count, 0,
            "allocations in {rounds} heartbeat rounds of {size} servers"
        );

        // The counter does count.
        let proposing = allocations(|| {
            group.servers[0]
                .0
                .propose(vec![1; 100].into())
                .expect("the leader takes proposals");
            group.settle();
        });
        assert!(proposing > 0);
        println!(
            "{rounds} heartbeat rounds of {size} servers: {count} allocations ({proposing} in one replication)"
        );
    }
}
