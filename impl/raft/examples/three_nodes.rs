//! Three servers in one process: they elect a leader and replicate 10,000 proposals; in the middle the
//! leader is killed with proposals on their way, the others go on, it comes back, and nothing that
//! was acknowledged is missing anywhere.
//!
//! ```text
//! cargo run --release -p lockstep-raft --example three_nodes
//! ```
//!
//! Exits with 0 if all of that came true, with 1 and the reason if not.

use std::collections::BTreeSet;
use std::process::ExitCode;
use std::time::Instant;

use bytes::Bytes;
use lockstep_raft::{
    ConfState, Config, Error, Index, MemoryStorage, Message, NodeId, RawNode, Role,
};

const SERVERS: u64 = 3;
const PROPOSALS: u64 = 10_000;
const IN_FLIGHT: u64 = 100;
/// In ticks of all servers; far more than an election needs.
const PATIENCE: usize = 1_000;

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(problem) => {
            eprintln!("FAILED: {problem}");
            ExitCode::FAILURE
        }
    }
}

fn run() -> Result<(), String> {
    let start = Instant::now();
    let mut group = Group::new().map_err(|error| error.to_string())?;
    let first = group.elect()?;
    println!(
        "server {} leads term {}",
        group.id(first),
        group.term(first)
    );

    group.replicate(PROPOSALS / 2)?;
    println!("{} proposals acknowledged", group.acknowledged.len());

    // Some more are under way when the leader dies; the client does not know what became of them.
    group.propose_more(first)?;
    group.kill(first);
    println!(
        "server {} killed, {} proposals unanswered",
        group.id(first),
        group.unanswered.len()
    );

    let second = group.elect()?;
    println!(
        "server {} leads term {}",
        group.id(second),
        group.term(second)
    );
    group.replicate(PROPOSALS)?;
    println!("{} proposals acknowledged", group.acknowledged.len());

    group.restart(first).map_err(|error| error.to_string())?;
    group.wait("the killed server catches up", |group| group.agrees())?;
    group.check()?;
    println!(
        "server {} is back; all {} proposals are on all {SERVERS} servers, in the same order ({:.1} s)",
        group.id(first),
        PROPOSALS,
        start.elapsed().as_secs_f64(),
    );
    Ok(())
}

/// A server: what dies with it, and its disk.
struct Server {
    config: Config,
    /// `None` while it is dead.
    node: Option<RawNode<MemoryStorage>>,
    disk: MemoryStorage,
    /// The state machine: numbers in the order in which they were committed, each once.
    applied: Vec<u64>,
    known: BTreeSet<u64>,
}

struct Group {
    servers: Vec<Server>,
    network: Vec<Message>,
    /// The values that the client was told to be committed.
    acknowledged: BTreeSet<u64>,
    /// The values that it proposed and has not heard of.
    unanswered: BTreeSet<u64>,
}

impl Group {
    fn new() -> Result<Group, Error> {
        let ids = || (1..=SERVERS).filter_map(NodeId::new);
        let members = ConfState {
            voters: ids().collect(),
            ..ConfState::default()
        };
        let mut group = Group {
            servers: Vec::new(),
            network: Vec::new(),
            acknowledged: BTreeSet::new(),
            unanswered: BTreeSet::new(),
        };
        for (at, id) in ids().enumerate() {
            let mut config = Config::new(id);
            (config.pre_vote, config.check_quorum) = (true, true);
            group.servers.push(Server {
                config,
                node: None,
                disk: MemoryStorage::with_conf_state(members.clone()),
                applied: Vec::new(),
                known: BTreeSet::new(),
            });
            group.restart(at)?;
        }
        Ok(group)
    }

    fn id(&self, at: usize) -> NodeId {
        self.servers[at].config.id
    }

    fn term(&self, at: usize) -> u64 {
        let node = self.servers[at].node.as_ref();
        node.map_or(0, |node| node.basic_status().hard_state.term.get())
    }

    fn leader(&self) -> Option<usize> {
        let leads = |server: &Server| {
            let node = server.node.as_ref()?;
            (node.basic_status().soft_state.role == Role::Leader).then_some(())
        };
        // While an old leader does not know yet that it was replaced, the later term counts.
        let leaders = (0..self.servers.len()).filter(|&at| leads(&self.servers[at]).is_some());
        leaders.max_by_key(|&at| self.term(at))
    }

    fn kill(&mut self, at: usize) {
        let server = &mut self.servers[at];
        // Everything in it was written to disk before it mattered.
        if let Some(node) = server.node.take() {
            server.disk = node.storage().clone();
        }
        server.applied.clear();
        server.known.clear();
    }

    fn restart(&mut self, at: usize) -> Result<(), Error> {
        let server = &mut self.servers[at];
        server.node = Some(RawNode::new(&server.config, server.disk.clone())?);
        Ok(())
    }

    /// Lets time pass until something has come true.
    fn wait(&mut self, what: &str, done: impl Fn(&Group) -> bool) -> Result<(), String> {
        for _ in 0..PATIENCE {
            if done(self) {
                return Ok(());
            }
            for server in &mut self.servers {
                if let Some(node) = &mut server.node {
                    node.tick().map_err(|error| error.to_string())?;
                }
            }
            self.work().map_err(|error| error.to_string())?;
        }
        Err(format!("waited {PATIENCE} ticks in vain until {what}"))
    }

    fn elect(&mut self) -> Result<usize, String> {
        self.wait("a leader is elected", |group| group.leader().is_some())?;
        self.leader().ok_or_else(|| "nobody leads".to_owned())
    }

    /// Proposes, and proposes again what got lost, until `count` proposals are acknowledged.
    fn replicate(&mut self, count: u64) -> Result<(), String> {
        while (self.acknowledged.len() as u64) < count {
            let leader = self.elect()?;
            let before = self.acknowledged.len();
            self.propose_more(leader)?;
            self.wait("proposals are acknowledged", |group| {
                group.acknowledged.len() > before
            })?;
        }
        Ok(())
    }

    fn propose_more(&mut self, leader: usize) -> Result<(), String> {
        // Every number below is acknowledged or unanswered.
        let next = (self.acknowledged.len() + self.unanswered.len()) as u64;
        let room = IN_FLIGHT.saturating_sub(self.unanswered.len() as u64);
        self.unanswered.extend(next..PROPOSALS.min(next + room));
        let Some(node) = &mut self.servers[leader].node else {
            return Ok(());
        };
        for number in &self.unanswered {
            let data = Bytes::copy_from_slice(&number.to_le_bytes());
            node.propose(data).map_err(|error| error.to_string())?;
        }
        Ok(())
    }

    /// Everybody does what there is to do, until all is quiet.
    fn work(&mut self) -> Result<(), Error> {
        loop {
            for at in 0..self.servers.len() {
                self.work_off(at)?;
            }
            if self.network.is_empty() {
                return Ok(());
            }
            for message in std::mem::take(&mut self.network) {
                let to = self
                    .servers
                    .iter_mut()
                    .find(|server| server.config.id == message.to);
                // The dead receive nothing.
                if let Some(node) = to.and_then(|server| server.node.as_mut()) {
                    node.step(message)?;
                }
            }
        }
    }

    fn work_off(&mut self, at: usize) -> Result<(), Error> {
        let server = &mut self.servers[at];
        let Some(node) = &mut server.node else {
            return Ok(());
        };
        while node.has_ready() {
            let ready = node.ready()?;
            // First persist (entries and hard state in one step), then send, then apply.
            let storage = node.storage_mut();
            if let Some(snapshot) = ready.snapshot {
                storage.apply_snapshot(snapshot)?;
            }
            storage.write(ready.entries, ready.hard_state)?;
            self.network.extend(ready.messages);
            for entry in &ready.committed_entries {
                // The empty entry that opens a term is no proposal.
                let Ok(number) = entry.data.as_ref().try_into().map(u64::from_le_bytes) else {
                    continue;
                };
                // A proposal that was made twice counts once.
                if server.known.insert(number) {
                    server.applied.push(number);
                }
                if self.unanswered.remove(&number) {
                    self.acknowledged.insert(number);
                }
            }
            node.advance()?;
        }
        Ok(())
    }

    fn agrees(&self) -> bool {
        let ends: BTreeSet<Option<Index>> = self
            .servers
            .iter()
            .map(|server| Some(server.node.as_ref()?.basic_status().applied))
            .collect();
        ends.len() == 1 && !ends.contains(&None)
    }

    /// Nothing acknowledged is missing, and everybody has it in the same order.
    fn check(&self) -> Result<(), String> {
        for server in &self.servers {
            let id = server.config.id;
            if let Some(lost) = self
                .acknowledged
                .iter()
                .find(|number| !server.known.contains(number))
            {
                return Err(format!("server {id} has lost proposal {lost}"));
            }
            if server.applied != self.servers[0].applied {
                return Err(format!(
                    "server {id} has another order than server {}",
                    self.id(0)
                ));
            }
        }
        match self.acknowledged.len() as u64 {
            PROPOSALS => Ok(()),
            count => Err(format!(
                "{count} of {PROPOSALS} proposals were acknowledged"
            )),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_is_lost() {
        assert_eq!(run(), Ok(()));
    }

    #[test]
    fn what_is_lost_or_moved_is_noticed() {
        let mut group = Group::new().unwrap();
        group.replicate(PROPOSALS).unwrap();
        group.wait("all have it", Group::agrees).unwrap();
        assert_eq!(group.check(), Ok(()));
        group.servers[1].applied.swap(3, 4);
        assert!(group.check().unwrap_err().contains("another order"));
        group.servers[1].known.remove(&7);
        assert!(group.check().unwrap_err().contains("lost proposal 7"));
        group.servers[1].known.insert(7);
        group.servers[1].applied.swap(3, 4);
        group.acknowledged.remove(&7);
        assert!(group.check().unwrap_err().contains("were acknowledged"));
    }
}
