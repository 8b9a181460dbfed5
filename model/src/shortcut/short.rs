//! The short form of a state: the numbers of its parts.

use super::parts::{Part, Parts};
use crate::bounds::Spent;
use crate::cluster::{Cluster, ClusterState};
use crate::codec;
use crate::history::History;
use crate::ids::MAX_SERVERS;
use crate::message::Message;
use crate::network::Network;
use crate::server::Server;
use arrayvec::ArrayVec;

/// The parts that states are made of.
pub(super) struct Tables {
    pub servers: Parts<Server>,
    pub messages: Parts<Message>,
    pub histories: Parts<History>,
    pub spents: Parts<Spent>,
}

impl Tables {
    pub fn new() -> Self {
        Tables {
            servers: Parts::new(),
            messages: Parts::new(),
            histories: Parts::new(),
            spents: Parts::new(),
        }
    }

    /// The same numbers for another thread.
    pub fn fork(&self) -> Self {
        Tables {
            servers: self.servers.fork(),
            messages: self.messages.fork(),
            histories: self.histories.fork(),
            spents: self.spents.fork(),
        }
    }
}

impl Tables {
    /// What identifies servers and history, which most questions are about: the sum of their hashes.
    #[inline]
    pub fn footprint(&self, short: &Short) -> u128 {
        let servers = short.servers.iter();
        let servers = servers.map(|number| self.servers.facts(*number).hash);
        let history = self.histories.facts(short.history).hash;
        servers.fold(history, u128::wrapping_add)
    }

    /// The sum of the hashes of the other parts.
    #[inline]
    pub fn rest(&self, short: &Short) -> u128 {
        let messages = short.messages.iter();
        let messages = messages.map(|number| self.messages.facts(*number).hash);
        messages.fold(self.spents.facts(short.spent).hash, u128::wrapping_add)
    }

    /// The sum of the hashes of all parts.
    #[inline]
    pub fn sum(&self, short: &Short) -> u128 {
        self.footprint(short).wrapping_add(self.rest(short))
    }

    /// Inserts `message` into `messages` where it belongs.
    #[inline]
    pub fn insert(&self, message: u32, messages: &mut Vec<u32>) {
        let mut later = messages.iter();
        let place = later.position(|old| !self.messages.in_order(*old, message));
        messages.insert(place.unwrap_or(messages.len()), message);
    }
}

/// The numbers of the parts of a state.
#[derive(Debug, Default)]
pub(super) struct Short {
    /// By slot.
    pub servers: ArrayVec<u32, MAX_SERVERS>,
    pub history: u32,
    pub spent: u32,
    /// In the order of the messages, not of their numbers: positions mean the same as in the network.
    pub messages: Vec<u32>,
}

impl Short {
    /// The numbers of the parts of `state`.
    pub fn of(state: &ClusterState, tables: &mut Tables, cluster: &Cluster) -> Short {
        Short {
            servers: state
                .servers
                .iter()
                .map(|server| tables.servers.number(server, cluster))
                .collect(),
            history: tables.histories.number(&state.history, cluster),
            spent: tables.spents.number(&state.spent, cluster),
            messages: state
                .network
                .iter()
                .map(|message| tables.messages.number(message, cluster))
                .collect(),
        }
    }

    /// The state of these parts.
    pub fn state(&self, tables: &Tables) -> ClusterState {
        let server = |number: &u32| tables.servers.part(*number).clone();
        let message = |number: &u32| tables.messages.part(*number).clone();
        ClusterState {
            servers: self.servers.iter().map(server).collect(),
            network: Network::from_sorted(self.messages.iter().map(message)),
            history: tables.histories.part(self.history).clone(),
            spent: *tables.spents.part(self.spent),
        }
    }

    /// Appends the numbers to `out`.
    pub fn put(&self, out: &mut Vec<u8>) {
        // Five bytes a number at most.
        out.reserve(5 * (self.servers.len() + 2 + self.messages.len()));
        for server in &self.servers {
            codec::put_number(*server, out);
        }
        codec::put_number(self.history, out);
        codec::put_number(self.spent, out);
        for message in &self.messages {
            codec::put_number(*message, out);
        }
    }

    /// Becomes what [`put`](Self::put) wrote for a state of so many servers.
    pub fn take(
        &mut self,
        mut bytes: &[u8],
        servers: usize,
        tables: &mut Tables,
        cluster: &Cluster,
    ) {
        let bytes = &mut bytes;
        self.servers.clear();
        for _ in 0..servers {
            self.servers
                .push(take_known(bytes, &mut tables.servers, cluster));
        }
        self.history = take_known(bytes, &mut tables.histories, cluster);
        self.spent = take_known(bytes, &mut tables.spents, cluster);
        self.messages.clear();
        while !bytes.is_empty() {
            self.messages
                .push(take_known(bytes, &mut tables.messages, cluster));
        }
    }
}

#[inline]
/// Takes a number, and makes sure that its part is known in this thread.
fn take_known<P: Part>(bytes: &mut &[u8], parts: &mut Parts<P>, cluster: &Cluster) -> u32 {
    let mut number = 0;
    let mut shift = 0;
    while let Some((byte, rest)) = bytes.split_first() {
        *bytes = rest;
        number |= u32::from(byte & 0x7f) << shift;
        if *byte < 0x80 {
            break;
        }
        shift += 7;
    }
    parts.learn_up_to(number, cluster);
    number
}
