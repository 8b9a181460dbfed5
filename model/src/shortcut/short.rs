//! The short form of a state: the numbers of its parts.

use super::asleep::Asleep;
use super::parts::Parts;
use crate::bounds::{Kind, Spent};
use crate::cluster::{Cluster, ClusterState};
use crate::history::History;
use crate::message::Message;
use crate::network::Network;
use crate::server::Server;
use std::ops::Range;

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
    /// Makes sure that what there is to spend after spent number `spent` is known.
    #[inline]
    pub fn learn_spent(&mut self, spent: u32, cluster: &Cluster) {
        if self.spents.facts(spent).after.is_none() {
            self.spend(spent, cluster);
        }
    }

    #[cold]
    fn spend(&mut self, spent: u32, cluster: &Cluster) {
        let (allowed, hash) = (self.spents.facts(spent).allowed, self.spents.hash(spent));
        let after = Kind::ALL.map(|kind| {
            if !allowed.contains(kind) {
                return (spent, 0);
            }
            let mut after = *self.spents.part(spent);
            after.spend(kind, cluster.bounds());
            let after = self.spents.number(&after, cluster);
            (after, self.spents.hash(after).wrapping_sub(hash))
        });
        self.spents.facts_mut(spent).after = Some(Box::new(after));
    }

    /// What identifies servers and history, which most questions are about: the sum of their hashes.
    #[inline]
    pub fn footprint(&self, short: View<'_>) -> u128 {
        let servers = short.servers.iter();
        let servers = servers.map(|number| self.servers.hash(*number));
        let history = self.histories.hash(short.history());
        servers.fold(history, u128::wrapping_add)
    }

    /// The sum of the hashes of the other parts.
    #[inline]
    pub fn rest(&self, short: View<'_>) -> u128 {
        let messages = short.messages.iter();
        let messages = messages.map(|number| self.messages.hash(*number));
        messages.fold(self.spents.hash(short.spent()), u128::wrapping_add)
    }

    /// The sum of the hashes of all parts.
    #[inline]
    pub fn sum(&self, short: View<'_>) -> u128 {
        self.footprint(short).wrapping_add(self.rest(short))
    }

    /// Whether all parts of a state are known in this thread.
    pub fn know(&self, short: View<'_>) -> bool {
        let servers = &mut short.servers.iter();
        let messages = &mut short.messages.iter();
        servers.all(|number| self.servers.knows(*number))
            && messages.all(|number| self.messages.knows(*number))
            && self.histories.knows(short.history())
            && self.spents.knows(short.spent())
    }

    /// Makes sure that every part that another thread found is known in this one.
    pub fn catch_up(&mut self, cluster: &Cluster) {
        self.servers.catch_up(cluster);
        self.messages.catch_up(cluster);
        self.histories.catch_up(cluster);
        self.spents.catch_up(cluster);
    }
}

/// The numbers between those of servers and messages.
const OTHERS: usize = 3;

/// The numbers of the parts of a state, somewhere.
#[derive(Clone, Copy)]
pub(super) struct View<'s> {
    /// By slot.
    pub servers: &'s [u32],
    /// Of the history, of what was spent, and what is asleep.
    others: &'s [u32; OTHERS],
    /// In the order of the messages, not of their numbers: positions mean the same as in the network.
    pub messages: &'s [u32],
    /// All of them, in this order.
    all: &'s [u32],
}

impl<'s> View<'s> {
    #[inline]
    fn new(all: &'s [u32], servers: usize) -> Self {
        let (of_servers, rest) = all.split_at(servers);
        let (others, messages) = rest
            .split_first_chunk()
            .expect("every state has a history and budgets");
        View {
            servers: of_servers,
            others,
            messages,
            all,
        }
    }

    #[inline]
    pub fn history(&self) -> u32 {
        self.others[0]
    }

    #[inline]
    pub fn spent(&self) -> u32 {
        self.others[1]
    }

    #[inline]
    pub fn asleep(&self) -> Asleep {
        Asleep::from_bits(self.others[2])
    }

    /// The state of these parts.
    pub fn state(&self, tables: &Tables) -> ClusterState {
        let server = |number: &u32| tables.servers.part(*number).clone();
        let message = |number: &u32| tables.messages.part(*number).clone();
        ClusterState {
            servers: self.servers.iter().map(server).collect(),
            network: Network::from_sorted(self.messages.iter().map(message)),
            history: tables.histories.part(self.history()).clone(),
            spent: *tables.spents.part(self.spent()),
        }
    }

    /// Makes the state of `old` that of these parts. Mostly they have most of them in common.
    pub fn replace(&self, old: View<'_>, state: &mut ClusterState, tables: &Tables) {
        for (slot, (new, old)) in self.servers.iter().zip(old.servers).enumerate() {
            if new != old {
                state.servers[slot].clone_from(tables.servers.part(*new));
            }
        }
        if self.messages != old.messages {
            let message = |number: &u32| tables.messages.part(*number).clone();
            state.network = Network::from_sorted(self.messages.iter().map(message));
        }
        if self.history() != old.history() {
            state
                .history
                .clone_from(tables.histories.part(self.history()));
        }
        state.spent = *tables.spents.part(self.spent());
    }

    /// Appends the numbers to `out`: two bytes each, or, if that is not enough for all, four bytes each and
    /// another byte, which makes the length odd.
    #[inline]
    pub fn put(&self, out: &mut Vec<u8>) {
        if self.all.iter().fold(0, |all, number| all | number) > u32::from(u16::MAX) {
            out.extend(self.all.iter().flat_map(|number| number.to_le_bytes()));
            out.push(0);
            return;
        }
        out.reserve(2 * self.all.len());
        for number in self.all {
            out.extend_from_slice(&(*number as u16).to_le_bytes());
        }
    }
}

/// The numbers of the parts of one state.
#[derive(Debug, Default)]
pub(super) struct Short {
    numbers: Vec<u32>,
    servers: usize,
}

impl Short {
    /// The numbers of the parts of `state`.
    pub fn of(state: &ClusterState, tables: &mut Tables, cluster: &Cluster) -> Short {
        let mut short = Short::default();
        let servers = state.servers.iter();
        short.begin(
            servers.map(|server| tables.servers.number(server, cluster)),
            tables.histories.number(&state.history, cluster),
            tables.spents.number(&state.spent, cluster),
        );
        for message in state.network.iter() {
            short.push(tables.messages.number(message, cluster));
        }
        short
    }

    /// Becomes a state of these servers, without messages.
    pub fn begin(&mut self, servers: impl Iterator<Item = u32>, history: u32, spent: u32) {
        self.numbers.clear();
        self.numbers.extend(servers);
        self.servers = self.numbers.len();
        self.numbers
            .extend([history, spent, Asleep::NOTHING.bits()]);
    }

    /// Becomes `from` with another server in `slot`, another history, other budgets, no messages and nothing
    /// asleep.
    #[inline]
    pub fn begin_like(&mut self, from: View<'_>, (slot, server): (usize, u32), others: [u32; 2]) {
        self.numbers.clear();
        self.servers = from.servers.len();
        // A handful of numbers: one by one is quicker than a copy in one go.
        from.servers.iter().for_each(|server| self.push(*server));
        others.iter().for_each(|other| self.push(*other));
        self.push(Asleep::NOTHING.bits());
        self.numbers[slot] = server;
    }

    /// Becomes `from`.
    pub fn clone_from(&mut self, from: View<'_>) {
        self.numbers.clear();
        self.numbers.extend_from_slice(from.all);
        self.servers = from.servers.len();
    }

    /// Adds a message behind all others.
    #[inline]
    pub fn push(&mut self, message: u32) {
        self.numbers.push(message);
    }

    /// Adds messages behind all others.
    #[inline]
    pub fn extend(&mut self, messages: &[u32]) {
        messages.iter().for_each(|message| self.push(*message));
    }

    /// Adds a message where it belongs.
    pub fn insert(&mut self, message: u32, tables: &Tables) {
        let first = self.servers + OTHERS;
        let mut later = self.numbers[first..].iter();
        let place = later.position(|old| !tables.messages.in_order(*old, message));
        let place = place.map_or(self.numbers.len(), |place| first + place);
        self.numbers.insert(place, message);
    }

    /// How many messages there are.
    #[inline]
    pub fn in_flight(&self) -> usize {
        self.numbers.len() - self.servers - OTHERS
    }

    /// So much is asleep in it.
    #[inline]
    pub fn set_asleep(&mut self, asleep: Asleep) {
        self.numbers[self.servers + OTHERS - 1] = asleep.bits();
    }

    #[inline]
    pub fn view(&self) -> View<'_> {
        View::new(&self.numbers, self.servers)
    }
}

/// The numbers of the parts of many states.
#[derive(Default)]
pub(super) struct Block {
    numbers: Vec<u32>,
    /// Where those of each state end.
    ends: Vec<u32>,
}

impl Block {
    /// Forgets all states.
    pub fn clear(&mut self) {
        self.numbers.clear();
        self.ends.clear();
    }

    /// Adds what [`View::put`] wrote.
    #[inline]
    pub fn push(&mut self, bytes: &[u8]) {
        let (pairs, rest) = bytes.as_chunks::<2>();
        if rest.is_empty() {
            let numbers = pairs.iter().map(|pair| u16::from_le_bytes(*pair));
            self.numbers.extend(numbers.map(u32::from));
        } else {
            let (quadruples, _) = bytes.as_chunks::<4>();
            let numbers = quadruples.iter().map(|four| u32::from_le_bytes(*four));
            self.numbers.extend(numbers);
        }
        self.ends.push(self.numbers.len() as u32);
    }

    /// State number `number`, of so many servers.
    #[inline]
    pub fn view(&self, number: u32, servers: usize) -> View<'_> {
        View::new(&self.numbers[self.range(number)], servers)
    }

    /// Where the messages of state number `number`, of so many servers, are among all numbers.
    #[inline]
    pub fn messages(&self, number: u32, servers: usize) -> Range<usize> {
        let range = self.range(number);
        range.start + servers + OTHERS..range.end
    }

    #[inline]
    fn range(&self, number: u32) -> Range<usize> {
        let number = number as usize;
        let start = number.checked_sub(1).map_or(0, |before| self.ends[before]);
        start as usize..self.ends[number] as usize
    }

    /// How many states there are.
    pub fn len(&self) -> u32 {
        self.ends.len() as u32
    }

    /// Bytes of memory.
    pub fn memory(&self) -> u64 {
        ((self.numbers.capacity() + self.ends.capacity()) * size_of::<u32>()) as u64
    }
}
