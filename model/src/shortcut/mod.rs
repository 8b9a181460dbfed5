//! A quicker way through the state graph of a cluster, for exhaustive searches.
//!
//! A state is a handful of [parts], each of which occurs in a great many states, and is known by
//! the numbers of its parts. An event moves one server, and most transitions repeat what a server in the
//! same state did on the same input elsewhere in the graph: then the successor is a matter of a few
//! numbers, and its fingerprint, which comes from the sum of the parts' hashes, of a few additions. No
//! rule of Raft is written here again: what is remembered comes from transitions that were executed, and
//! which events there are, the history and the budgets come from the functions that
//! [`Cluster`] uses itself.

mod orbits;
mod parts;
mod seen;
mod short;
#[cfg(test)]
mod tests;

use crate::bounds::Kind;
use crate::cluster::{Action, Cluster, ClusterState, list_actions, value_after};
use crate::codec;
use crate::ids::Id;
use crate::message::Payload;
use crate::search::{Fate, Route, Shortcut, Step};
use lockstep_traces::Role;
use orbits::Orbits;
use parts::{Part, Parts};
use rustc_hash::FxHashMap;
use seen::Seen;
use short::{Short, Tables};

/// What is remembered of moves is forgotten when it exceeds so many bytes in a thread.
const MAX_MEMORY: usize = 48 << 20;

/// What a server did on an input. Small: there are more of them than fit into the caches of a processor.
#[derive(Clone, Copy)]
struct Move {
    /// The server afterwards.
    server: u32,
    /// The message that it sent, if it is one, or where in [`Quick::sent`] those that it sent begin.
    sent: u32,
    sent_len: u16,
    /// Whether the server may be in the state it is in now: otherwise every state is beyond the bound.
    may_be: bool,
    /// Whether it leads now: then the history has something to remember.
    leads: bool,
    /// What coverage counts of it.
    class: u32,
    /// Whether properties were evaluated: that is done on transitions within the bound only.
    evaluated: bool,
}

impl Move {
    /// The messages that it sent, in order; `sent` are those of all moves.
    fn sent<'m>(&'m self, sent: &'m [u32]) -> &'m [u32] {
        match self.sent_len {
            1 => std::slice::from_ref(&self.sent),
            len => &sent[self.sent as usize..self.sent as usize + usize::from(len)],
        }
    }
}

/// The shortcut of one thread.
pub(crate) struct Quick<'a> {
    cluster: &'a Cluster,
    tables: Tables,
    /// By the number of the server and the input.
    moves: FxHashMap<u64, Move>,
    /// The messages sent, move by move.
    sent: Vec<u32>,
    /// The history after a server that leads now moved, by history, server, and commit index before.
    histories: FxHashMap<(u32, u32, u32), u32>,
    /// The classes of a loss and a duplication, once they were evaluated: they move no server.
    copies: [Option<u32>; 2],
    /// The state at hand, the sum of the hashes of its parts, and its encoding.
    at: Short,
    sum: u128,
    actions: Vec<Action>,
    /// The state being written, and what it was written from.
    from: Short,
    from_bytes: Vec<u8>,
    to: Short,
    /// With symmetry, and a place for the representative of what is being written.
    orbits: Option<Orbits>,
    representative: Short,
    /// The classes of states, by outline.
    states: Seen<u32>,
    /// The footprints of states that have every property that depends on nothing else.
    good: Seen<()>,
    /// How much was saved of each of the tables.
    saved: [u32; 4],
}

/// The first input number of a message; those below are of the events without one.
const FIRST_MESSAGE: u32 = 16;
/// Marks the input number of a proposal; the rest is the value.
const PROPOSAL: u32 = 1 << 31;

/// An action without its names.
#[derive(Clone, Copy)]
enum Means {
    /// The server in a slot moves, on input number so and so.
    Move { slot: usize, input: u32 },
    /// So many copies of a message become so many.
    Copies { position: usize, copies: usize },
}

impl<'a> Quick<'a> {
    /// A shortcut, to representatives only if `symmetric`.
    pub(crate) fn new(cluster: &'a Cluster, symmetric: bool) -> Self {
        Quick::with_tables(cluster, Tables::new(), symmetric)
    }

    fn with_tables(cluster: &'a Cluster, tables: Tables, symmetric: bool) -> Self {
        Quick {
            cluster,
            tables,
            moves: FxHashMap::default(),
            sent: Vec::new(),
            histories: FxHashMap::default(),
            copies: [None; 2],
            at: Short::default(),
            sum: 0,
            actions: Vec::new(),
            from: Short::default(),
            from_bytes: Vec::new(),
            to: Short::default(),
            orbits: symmetric.then(|| Orbits::new(cluster.settings().servers())),
            representative: Short::default(),
            states: Seen::new(),
            good: Seen::new(),
            saved: [0; 4],
        }
    }

    fn take(&mut self, bytes: &[u8], into: fn(&mut Self) -> &mut Short) {
        let servers = self.cluster.settings().servers();
        let mut short = std::mem::take(into(self));
        short.take(bytes, servers, &mut self.tables, self.cluster);
        *into(self) = short;
    }

    /// Whether the term of every message in flight is within its limit.
    fn terms_within_limits(&self, short: &Short) -> bool {
        short.messages.iter().all(|message| {
            let facts = self.tables.messages.facts(*message);
            let server = short.servers.get(usize::from(facts.gauge));
            server.is_none_or(|server| self.tables.servers.facts(*server).term >= facts.least_term)
        })
    }

    /// What witnesses and antecedents of states look at: servers, history, and whether there are messages.
    fn outline(&self, footprint: u128) -> u128 {
        footprint ^ u128::from(self.at.messages.is_empty())
    }

    fn means(&self, action: Action) -> Means {
        let local = |i: Id, kind: Kind| Means::Move {
            slot: i.slot(),
            input: kind as u32,
        };
        match action {
            Action::Timeout(i) => local(i, Kind::Timeout),
            Action::LeaseExpire(i) => local(i, Kind::LeaseExpire),
            Action::Heartbeat(i) => local(i, Kind::Heartbeat),
            Action::CheckQuorum(i) => local(i, Kind::CheckQuorum),
            Action::Restart(i) => local(i, Kind::Restart),
            Action::Propose(i) => {
                let servers = self.at.servers.iter();
                let value = value_after(
                    servers.map(|number| self.tables.servers.facts(*number).highest_value),
                );
                let payload = Payload::value(value).unwrap_or(Payload::EMPTY);
                Means::Move {
                    slot: i.slot(),
                    input: PROPOSAL | payload.code(),
                }
            }
            Action::Deliver(position) => {
                let message = self.at.messages[position as usize];
                Means::Move {
                    slot: usize::from(self.tables.messages.facts(message).to),
                    input: FIRST_MESSAGE + message,
                }
            }
            Action::Duplicate(position) => Means::Copies {
                position: position as usize,
                copies: 2,
            },
            Action::Drop(position) => Means::Copies {
                position: position as usize,
                copies: 0,
            },
        }
    }

    #[inline(always)]
    fn fate(&mut self, action: Action) -> Fate {
        let mut sum = self.sum;
        let spent = self.spent_after(action);
        if spent != self.at.spent {
            let hash = |number| self.tables.spents.facts(number).hash;
            sum = sum
                .wrapping_sub(hash(self.at.spent))
                .wrapping_add(hash(spent));
        }
        let in_flight = self.at.messages.len();
        match self.means(action) {
            Means::Copies { position, copies } => {
                let Some(class) = self.copies[copies / 2] else {
                    return Fate::Unknown;
                };
                if !self.cluster.has_room(in_flight + copies - 1) {
                    return Fate::Beyond;
                }
                let hash = self.tables.messages.facts(self.at.messages[position]).hash;
                sum = match copies {
                    0 => sum.wrapping_sub(hash),
                    _ => sum.wrapping_add(hash),
                };
                self.within(sum, [spent, position as u32, copies as u32, COPIES], class)
            }
            Means::Move { slot, input } => {
                let server = self.at.servers[slot];
                let Some(moved) = self.moves.get(&key(server, input)).copied() else {
                    return Fate::Unknown;
                };
                let delivered = delivered(input);
                let in_flight = in_flight - usize::from(delivered.is_some());
                let in_flight = in_flight + usize::from(moved.sent_len);
                if !moved.may_be || !self.cluster.has_room(in_flight) {
                    return Fate::Beyond;
                }
                if !moved.evaluated {
                    return Fate::Unknown;
                }
                let server_hash = |number| self.tables.servers.facts(number).hash;
                let message_hash = |number| self.tables.messages.facts(number).hash;
                sum = sum
                    .wrapping_sub(server_hash(server))
                    .wrapping_add(server_hash(moved.server));
                if let Some(message) = delivered {
                    sum = sum.wrapping_sub(message_hash(message));
                }
                for message in moved.sent(&self.sent) {
                    sum = sum.wrapping_add(message_hash(*message));
                }
                let mut history = self.at.history;
                if moved.leads {
                    history = self.history_after(server, moved.server);
                    let hash = |number| self.tables.histories.facts(number).hash;
                    sum = sum
                        .wrapping_sub(hash(self.at.history))
                        .wrapping_add(hash(history));
                }
                self.within(sum, [spent, history, input, slot as u32], moved.class)
            }
        }
    }

    /// The fate of what leads to the state with this sum of hashes, or with symmetry to a state that it
    /// represents or is represented by.
    #[inline(always)]
    fn within(&mut self, sum: u128, route: Route, class: u32) -> Fate {
        if self.orbits.is_none() {
            return Fate::Within(fingerprint(sum), route, class);
        }
        let at = std::mem::take(&mut self.at);
        self.follow(&at, route);
        self.at = at;
        Fate::Within(fingerprint(self.tables.sum(&self.to)), route, class)
    }

    /// Makes [`Quick::to`] what `route` leads to from `from`.
    fn follow(&mut self, from: &Short, [spent, second, third, last]: Route) {
        let to = &mut self.to;
        to.servers.clear();
        from.servers
            .iter()
            .for_each(|server| to.servers.push(*server));
        to.spent = spent;
        to.messages.clear();
        if last == COPIES {
            to.history = from.history;
            for (position, message) in from.messages.iter().enumerate() {
                let copies = if position == second as usize {
                    third
                } else {
                    1
                };
                to.messages.extend((0..copies).map(|_| *message));
            }
        } else {
            let (history, input, slot) = (second, third, last as usize);
            let moved = self.moves[&key(from.servers[slot], input)];
            to.servers[slot] = moved.server;
            to.history = history;
            let messages = &self.tables.messages;
            let mut delivered = delivered(input);
            let mut sent = moved.sent(&self.sent);
            for old in &from.messages {
                if Some(*old) == delivered {
                    // One copy.
                    delivered = None;
                    continue;
                }
                while let Some((new, rest)) = sent.split_first()
                    && messages.in_order(*new, *old)
                {
                    to.messages.push(*new);
                    sent = rest;
                }
                to.messages.push(*old);
            }
            sent.iter().for_each(|new| to.messages.push(*new));
        }
        if let Some(orbits) = &mut self.orbits {
            let (tables, cluster) = (&mut self.tables, self.cluster);
            orbits.represent(&self.to, &mut self.representative, tables, cluster);
            std::mem::swap(&mut self.to, &mut self.representative);
        }
    }

    /// The number of what is spent after `action`.
    fn spent_after(&mut self, action: Action) -> u32 {
        let Some(kind) = action.kind() else {
            return self.at.spent;
        };
        if let Some(after) = self.tables.spents.facts(self.at.spent).after[kind as usize] {
            return after;
        }
        let mut spent = *self.tables.spents.part(self.at.spent);
        spent.spend(kind, self.cluster.bounds());
        let after = self.tables.spents.number(&spent, self.cluster);
        self.tables.spents.facts_mut(self.at.spent).after[kind as usize] = Some(after);
        after
    }

    /// The number of the history after a server moved that leads now.
    fn history_after(&mut self, before: u32, after: u32) -> u32 {
        let committed = self.tables.servers.part(before).commit;
        let key = (self.at.history, after, committed);
        if let Some(history) = self.histories.get(&key) {
            return *history;
        }
        let mut history = self.tables.histories.part(self.at.history).clone();
        history.record(self.tables.servers.part(after), committed);
        let number = self.tables.histories.number(&history, self.cluster);
        self.histories.insert(key, number);
        number
    }

    fn memory_of_moves(&self) -> usize {
        self.moves.capacity() * (size_of::<(u64, Move)>() + 1)
            + self.sent.capacity() * size_of::<u32>()
            + self.histories.capacity() * (size_of::<((u32, u32, u32), u32)>() + 1)
    }

    fn learn_move(&mut self, slot: usize, input: u32, after: &ClusterState, class: u32) {
        let tables = &mut self.tables;
        let before = self.at.servers[slot];
        let server = tables.servers.number(&after.servers[slot], self.cluster);
        // What was sent is what is new in the network: both are sorted.
        let delivered = delivered(input);
        let mut old = self.at.messages.clone();
        if let Some(position) = old.iter().position(|message| Some(*message) == delivered) {
            old.remove(position);
        }
        let mut old = old.into_iter().peekable();
        let start = self.sent.len();
        for message in after.network.iter() {
            let is_old = |number: &u32| tables.messages.part(*number) == message;
            if old.next_if(is_old).is_none() {
                let number = tables.messages.number(message, self.cluster);
                self.sent.push(number);
            }
        }
        let sent_len = (self.sent.len() - start) as u16;
        let sent = match sent_len {
            1 => self.sent.pop().unwrap_or_default(),
            _ => start as u32,
        };
        let moved = Move {
            server,
            sent,
            sent_len,
            may_be: self.cluster.may_be(&after.servers[slot]),
            leads: after.servers[slot].role == Role::Leader,
            class,
            evaluated: self.cluster.is_within(after),
        };
        self.moves.insert(key(before, input), moved);
    }
}

/// In the last place of a route: it is about copies of a message. Otherwise that is the slot.
const COPIES: u32 = u32::MAX;

fn key(server: u32, input: u32) -> u64 {
    u64::from(server) << 32 | u64::from(input)
}

/// The message that is delivered by input number `input`, if one is.
fn delivered(input: u32) -> Option<u32> {
    (input & PROPOSAL == 0)
        .then(|| input.checked_sub(FIRST_MESSAGE))
        .flatten()
}

/// The sum of the hashes of all parts of `state`.
pub(crate) fn sum_of_hashes(state: &ClusterState) -> u128 {
    let servers = state.servers.iter().map(parts::hash);
    let messages = state.network.iter().map(parts::hash);
    let others = parts::hash(&state.history).wrapping_add(parts::hash(&state.spent));
    servers.chain(messages).fold(others, u128::wrapping_add)
}

/// 64 bits of the sum of the parts' hashes, all of which count.
fn fingerprint(sum: u128) -> u64 {
    // A product of both halves, folded: additions of the same difference to different sums have
    // nothing in common afterwards.
    let low = sum as u64 ^ 0x9e37_79b9_7f4a_7c15;
    let high = (sum >> 64) as u64 ^ 0xd1b5_4a32_d192_ed03;
    let product = u128::from(low) * u128::from(high);
    (product as u64 ^ (product >> 64) as u64)
        .wrapping_add(low)
        .min(u64::MAX - 1)
}

impl<'a> Shortcut<'a, Cluster> for Quick<'a> {
    fn fork(&self) -> Box<dyn Shortcut<'a, Cluster> + 'a> {
        let symmetric = self.orbits.is_some();
        Box::new(Quick::with_tables(
            self.cluster,
            self.tables.fork(),
            symmetric,
        ))
    }

    fn shorten(&mut self, state: &ClusterState, out: &mut Vec<u8>) -> u64 {
        let mut short = Short::of(state, &mut self.tables, self.cluster);
        if let Some(orbits) = &mut self.orbits {
            let given = std::mem::take(&mut short);
            orbits.represent(&given, &mut short, &mut self.tables, self.cluster);
        }
        short.put(out);
        fingerprint(self.tables.sum(&short))
    }

    fn restore(&mut self, short: &[u8]) -> ClusterState {
        self.take(short, |quick| &mut quick.from);
        self.from_bytes.clear();
        self.from_bytes.extend_from_slice(short);
        self.from.state(&self.tables)
    }

    fn steps(&mut self, short: &[u8], steps: &mut Vec<Step>) -> Option<u32> {
        self.take(short, |quick| &mut quick.at);
        let footprint = self.tables.footprint(&self.at);
        self.sum = footprint.wrapping_add(self.tables.rest(&self.at));
        let at = std::mem::take(&mut self.at);
        let servers = at.servers.iter();
        let events = servers.map(|number| self.tables.servers.facts(*number).events);
        let distinct = (0..at.messages.len()).filter(|position| {
            *position == 0 || at.messages[position - 1] != at.messages[*position]
        });
        let allowed = self.tables.spents.facts(at.spent).allowed;
        steps.clear();
        let mut actions = std::mem::take(&mut self.actions);
        list_actions(allowed, events, distinct, |action| actions.push(action));
        self.at = at;
        for action in actions.drain(..) {
            steps.push(Step {
                kind: action.number() as u16,
                fate: self.fate(action),
            });
        }
        self.actions = actions;
        self.states.get(self.outline(footprint))
    }

    fn learn(&mut self, action: &Action, after: &ClusterState, class: u32) -> Fate {
        match self.means(*action) {
            Means::Copies { copies, .. } => {
                if !self.cluster.is_within(after) {
                    return Fate::Beyond;
                }
                self.copies[copies / 2] = Some(class);
            }
            Means::Move { slot, input } => self.learn_move(slot, input, after, class),
        }
        self.fate(*action)
    }

    fn write(&mut self, short: &[u8], route: Route, out: &mut Vec<u8>) -> bool {
        // Successors of a state are written one after the other.
        if self.from_bytes != short {
            self.take(short, |quick| &mut quick.from);
            self.from_bytes.clear();
            self.from_bytes.extend_from_slice(short);
        }
        let from = std::mem::take(&mut self.from);
        self.follow(&from, route);
        self.from = from;
        self.to.put(out);
        let footprint = self.tables.footprint(&self.to);
        self.good.get(footprint).is_some() && self.terms_within_limits(&self.to)
    }

    fn settle_state(&mut self, class: u32) {
        let outline = self.outline(self.tables.footprint(&self.at));
        self.states.note(outline, class);
    }

    fn settle_properties(&mut self) {
        self.good.note(self.tables.footprint(&self.to), ());
    }

    fn tidy(&mut self) {
        if self.memory_of_moves() > MAX_MEMORY {
            self.moves = FxHashMap::default();
            self.sent = Vec::new();
            self.histories = FxHashMap::default();
        }
    }

    fn save(&mut self, out: &mut Vec<u8>) {
        let Tables {
            servers,
            messages,
            histories,
            spents,
        } = &self.tables;
        let [s, m, h, p] = &mut self.saved;
        save(servers, s, out);
        save(messages, m, out);
        save(histories, h, out);
        save(spents, p, out);
    }

    fn load(&mut self, mut saved: &[u8]) {
        let Tables {
            servers,
            messages,
            histories,
            spents,
        } = &mut self.tables;
        let [s, m, h, p] = &mut self.saved;
        load(servers, s, &mut saved);
        load(messages, m, &mut saved);
        load(histories, h, &mut saved);
        load(spents, p, &mut saved);
    }

    fn memory(&self) -> (u64, u64) {
        let Tables {
            servers,
            messages,
            histories,
            spents,
        } = &self.tables;
        let own = self.memory_of_moves() as u64
            + self.states.memory()
            + self.good.memory()
            + self.orbits.as_ref().map_or(0, Orbits::memory)
            + servers.memory()
            + messages.memory()
            + histories.memory()
            + spents.memory();
        let shared = servers.shared_memory()
            + messages.shared_memory()
            + histories.shared_memory()
            + spents.shared_memory();
        (own, shared)
    }
}

/// Appends how many parts there are that were not saved yet, and those.
fn save<P: Part>(parts: &Parts<P>, saved: &mut u32, out: &mut Vec<u8>) {
    let mut bytes = Vec::new();
    let count = parts.save(*saved, &mut bytes);
    codec::put_number(count - *saved, out);
    out.extend_from_slice(&bytes);
    *saved = count;
}

fn load<P: Part>(parts: &mut Parts<P>, saved: &mut u32, bytes: &mut &[u8]) {
    let count = codec::take_number(bytes);
    for _ in 0..count {
        let len = codec::take_number(bytes) as usize;
        let (encoding, rest) = bytes.split_at(len);
        parts.load(encoding);
        *bytes = rest;
    }
    *saved += count;
}
