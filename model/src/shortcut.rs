//! A quicker way to the successors of a cluster, for exhaustive searches.
//!
//! An event moves one server, and most transitions of a state graph repeat what a server in the same
//! state did on the same input elsewhere in the graph. So the result of [`Server::advance`] is
//! remembered by the encoding of server and input, and the encoding of a successor is put together from
//! that of the state before. No rule of Raft is written here again: what is remembered comes from a
//! transition that was executed, and bookkeeping (history, budgets, the network) uses the functions that
//! [`Cluster::advance`](crate::Cluster) uses.

use crate::cluster::{Action, Cluster, ClusterState};
use crate::codec;
use crate::ids::Id;
use crate::message::Message;
use crate::search::Shortcut;
use crate::server::Server;
use lockstep_traces::Role;
use rustc_hash::FxHashMap;

/// What is remembered is forgotten when it exceeds so many bytes.
const MAX_MEMORY: u64 = 16 << 20;

/// What a server did.
struct Moved {
    /// The server afterwards, if it leads: then the history has something to remember.
    leader: Option<Server>,
    /// Its encoding.
    encoded: Box<[u8]>,
    /// What it sent, sorted, each with its encoding.
    sent: Box<[(Message, Box<[u8]>)]>,
}

/// The transitions of servers seen so far.
pub(crate) struct Memory<'a> {
    cluster: &'a Cluster,
    moves: FxHashMap<Box<[u8]>, Moved>,
    bytes: u64,
    /// Whether a loss and a duplication have been executed once: they move no server.
    network_moves: [bool; 2],
    /// Where each server of the state at hand ends, and each message.
    servers: Vec<usize>,
    messages: Vec<usize>,
    /// Where the number of messages begins.
    count_at: usize,
    /// Where the budgets begin, the last thing in the encoding.
    spent_at: usize,
    key: Vec<u8>,
}

impl<'a> Memory<'a> {
    pub(crate) fn new(cluster: &'a Cluster) -> Self {
        Memory {
            cluster,
            moves: FxHashMap::default(),
            bytes: 0,
            network_moves: [false; 2],
            servers: Vec::new(),
            messages: Vec::new(),
            count_at: 0,
            spent_at: 0,
            key: Vec::new(),
        }
    }

    /// Where a server of the state at hand begins.
    fn server_start(&self, slot: usize) -> usize {
        // The number of servers is one byte.
        if slot == 0 { 1 } else { self.servers[slot - 1] }
    }

    fn message<'b>(&self, position: usize, bytes: &'b [u8]) -> &'b [u8] {
        let ends = &self.messages[position..=position + 1];
        &bytes[ends[0]..ends[1]]
    }

    /// Everything that decides what the server does: its state, its name and the input.
    fn set_key(&mut self, state: &ClusterState, bytes: &[u8], action: Action, slot: usize) {
        self.key.clear();
        self.key.push(slot as u8);
        self.key.push(action.number() as u8);
        self.key
            .extend_from_slice(&bytes[self.server_start(slot)..self.servers[slot]]);
        match action {
            Action::Deliver(position) => {
                let ends = &self.messages[position as usize..=position as usize + 1];
                self.key.extend_from_slice(&bytes[ends[0]..ends[1]]);
            }
            Action::Propose(_) => self.key.extend(state.next_value().to_le_bytes()),
            _ => {}
        }
    }
}

impl Shortcut<Cluster> for Memory<'_> {
    fn begin(&mut self, state: &ClusterState, bytes: &[u8]) {
        self.servers.clear();
        self.messages.clear();
        let mut at = 1;
        for _ in &state.servers {
            at = codec::end_of_server(bytes, at, state.servers.len());
            self.servers.push(at);
        }
        self.count_at = at;
        at = codec::end_of_numbers(bytes, at, 1);
        self.messages.push(at);
        for _ in 0..state.network.len() {
            at = codec::end_of_message(bytes, at);
            self.messages.push(at);
        }
        self.spent_at = codec::end_of_history(bytes, at);
    }

    fn known(
        &mut self,
        state: &ClusterState,
        bytes: &[u8],
        action: &Action,
        out: &mut Vec<u8>,
    ) -> Option<bool> {
        let mut spent = state.spent;
        if let Some(kind) = action.kind() {
            spent.spend(kind, &self.cluster.bounds);
        }
        let in_flight = state.network.len();
        let fits = |in_flight: usize| in_flight <= self.cluster.bounds.max_in_flight;
        let history_at = self.messages[in_flight];
        let spent_at = self.spent_at;
        let Some(slot) = state.target(*action).map(Id::slot) else {
            // A message is lost or doubled.
            let (position, copies) = match action {
                Action::Drop(position) if self.network_moves[0] => (*position as usize, 0),
                Action::Duplicate(position) if self.network_moves[1] => (*position as usize, 2),
                _ => return None,
            };
            if !fits(in_flight + copies - 1) {
                return Some(false);
            }
            out.extend_from_slice(&bytes[..self.count_at]);
            codec::put_number((in_flight + copies - 1) as u32, out);
            out.extend_from_slice(&bytes[self.messages[0]..self.messages[position]]);
            for _ in 0..copies {
                out.extend_from_slice(self.message(position, bytes));
            }
            out.extend_from_slice(&bytes[self.messages[position + 1]..spent_at]);
            codec::put_spent(&spent, out);
            return Some(true);
        };
        self.set_key(state, bytes, *action, slot);
        let moved = self.moves.get(self.key.as_slice())?;
        let delivered = match action {
            Action::Deliver(position) => Some(*position as usize),
            _ => None,
        };
        let in_flight = in_flight - usize::from(delivered.is_some()) + moved.sent.len();
        if !fits(in_flight) {
            return Some(false);
        }
        out.extend_from_slice(&bytes[..self.server_start(slot)]);
        out.extend_from_slice(&moved.encoded);
        out.extend_from_slice(&bytes[self.servers[slot]..self.count_at]);
        codec::put_number(in_flight as u32, out);
        let mut sent = moved.sent.iter().peekable();
        for (position, message) in state.network.iter().enumerate() {
            if Some(position) != delivered {
                while let Some((_, encoded)) = sent.next_if(|(new, _)| new < message) {
                    out.extend_from_slice(encoded);
                }
                out.extend_from_slice(self.message(position, bytes));
            }
        }
        sent.for_each(|(_, encoded)| out.extend_from_slice(encoded));
        let committed = state.servers[slot].commit;
        if let Some(leader) = &moved.leader {
            let mut history = state.history.clone();
            history.record(leader, committed);
            codec::put_history(&history, out);
        } else {
            out.extend_from_slice(&bytes[history_at..spent_at]);
        }
        codec::put_spent(&spent, out);
        Some(true)
    }

    fn learn(&mut self, state: &ClusterState, bytes: &[u8], action: &Action, after: &ClusterState) {
        let Some(slot) = state.target(*action).map(Id::slot) else {
            match action {
                Action::Drop(_) => self.network_moves[0] = true,
                Action::Duplicate(_) => self.network_moves[1] = true,
                _ => {}
            }
            return;
        };
        self.set_key(state, bytes, *action, slot);
        let delivered = match action {
            Action::Deliver(position) => Some(*position as usize),
            _ => None,
        };
        let server = &after.servers[slot];
        let mut encoded = Vec::new();
        codec::put_server(server, &mut encoded);
        // What was sent is what is new in the network: both are sorted.
        let mut old = state
            .network
            .iter()
            .enumerate()
            .filter(|(at, _)| Some(*at) != delivered)
            .peekable();
        let mut sent = Vec::new();
        for message in after.network.iter() {
            if old.next_if(|(_, old)| *old == message).is_none() {
                let mut encoded = Vec::new();
                codec::put_message(message, &mut encoded);
                sent.push((message.clone(), encoded.into_boxed_slice()));
            }
        }
        let sizes: usize = sent
            .iter()
            .map(|(_, encoded)| encoded.len() + size_of::<(Message, Box<[u8]>)>() + 16)
            .sum();
        let size =
            self.key.len() + encoded.len() + sizes + size_of::<(Box<[u8]>, Moved)>() * 8 / 7 + 48;
        if self.bytes + size as u64 > MAX_MEMORY {
            self.moves.clear();
            self.bytes = 0;
        }
        self.bytes += size as u64;
        let moved = Moved {
            leader: (server.role == Role::Leader).then(|| server.clone()),
            encoded: encoded.into_boxed_slice(),
            sent: sent.into_boxed_slice(),
        };
        self.moves.insert(self.key.as_slice().into(), moved);
    }

    fn memory(&self) -> u64 {
        self.bytes
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::search::{Checkable, encoded};
    use crate::{Bounds, Budget, Settings};
    use lockstep_traces::Config;
    use stateright::Model;
    use std::collections::{HashSet, VecDeque};

    /// Every successor of every state, as executed and as remembered, in a space with every kind of event.
    #[test]
    fn what_is_remembered_is_what_is_executed() {
        let config = Config {
            servers: 3,
            pre_vote: true,
            check_quorum: true,
            one_entry_per_append: false,
            max_inflight: 2,
        };
        let once = Budget::Times(1);
        let bounds = Bounds {
            max_term: 2,
            max_in_flight: 3,
            timeouts: once,
            lease_expiries: once,
            heartbeats: once,
            quorum_checks: once,
            proposals: once,
            restarts: once,
            duplicates: once,
            drops: once,
            ..Bounds::UNLIMITED
        };
        let settings = Settings::new(&config).expect("the settings are sensible");
        let cluster = Cluster::new(settings, bounds);
        let mut memory = Memory::new(&cluster);
        let mut seen = HashSet::new();
        let mut waiting = VecDeque::from(cluster.init_states());
        let (mut remembered, mut beyond, mut executed) = (0, 0, 0);
        while let Some(state) = waiting.pop_front() {
            if seen.len() >= 20_000 {
                break;
            }
            let bytes = encoded(&cluster, &state);
            memory.begin(&state, &bytes);
            let mut actions = Vec::new();
            cluster.actions(&state, &mut actions);
            for action in actions {
                let after = cluster
                    .next_state(&state, action)
                    .expect("every action leads somewhere");
                let mut out = Vec::new();
                match memory.known(&state, &bytes, &action, &mut out) {
                    None => {
                        executed += 1;
                        if cluster.within_boundary(&after) {
                            memory.learn(&state, &bytes, &action, &after);
                        }
                    }
                    Some(within) => {
                        assert_eq!(
                            within,
                            cluster.within_boundary(&after),
                            "{action:?} in {state:?}"
                        );
                        if within {
                            assert_eq!(cluster.decode(&out), after, "{action:?} in {state:?}");
                            assert_eq!(out, encoded(&cluster, &after));
                        }
                        remembered += 1;
                        beyond += u32::from(!within);
                    }
                }
                if cluster.within_boundary(&after) && seen.insert(after.clone()) {
                    waiting.push_back(after);
                }
            }
        }
        assert!(beyond > 1000, "{beyond} successors were beyond the bound");
        assert!(
            remembered > 3 * executed,
            "{executed} executed, {remembered} remembered"
        );
    }
}
