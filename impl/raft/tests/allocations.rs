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
    /// Whether answers to heartbeats are lost, so that a read waits on.
    loses_answers: bool,
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
            loses_answers: false,
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
                    Body::HeartbeatResponse { .. } => {
                        self.answers += 1;
                        if self.loses_answers {
                            continue;
                        }
                    }
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

const ROUNDS: u64 = 100;

/// Allocations of heartbeat rounds, all of which must be answered.
fn in_heartbeat_rounds(group: &mut Group) -> usize {
    // Until every buffer has its size.
    for _ in 0..10 {
        group.heartbeat_round();
    }
    (group.heartbeats, group.answers) = (0, 0);
    let count = allocations(|| {
        for _ in 0..ROUNDS {
            group.heartbeat_round();
        }
    });
    let expected = ROUNDS * (group.servers.len() as u64 - 1);
    assert_eq!((group.heartbeats, group.answers), (expected, expected));
    count
}

fn main() {
    for followers in [3, 101] {
        let mut group = Group::new(followers + 1);
        let idle = in_heartbeat_rounds(&mut group);

        // A read that waits for a quorum goes along with every heartbeat.
        group.loses_answers = true;
        group.servers[0]
            .0
            .read_index("read".into())
            .expect("the storage is sound");
        group.settle();
        let with_read = in_heartbeat_rounds(&mut group);
        assert_eq!(
            (idle, with_read),
            (0, 0),
            "allocations in {ROUNDS} heartbeat rounds of {followers} followers, without and with a read"
        );
        assert!(group.servers[0].1.read_states.is_empty());
        group.loses_answers = false;
        let answered = allocations(|| group.heartbeat_round());
        assert!(answered > 0, "the read was waiting");

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
            "{ROUNDS} heartbeat rounds of {followers} followers: {idle} allocations, {with_read} while a read \
             waits ({proposing} in one replication)"
        );
    }
}
