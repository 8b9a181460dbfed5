//! A quicker way through the state graph of a cluster, for exhaustive searches.
//!
//! A state is a handful of [parts], each of which occurs in a great many states, and is known by
//! the numbers of its parts. An event moves one server, and most transitions repeat what a server in the
//! same state did on the same input elsewhere in the graph: then the successor is a matter of a few
//! numbers, and its fingerprint, which comes from the sum of the parts' hashes, of a few additions. No
//! rule of Raft is written here again: what is remembered comes from transitions that were executed, and
//! which events there are, the history and the budgets come from the functions that
//! [`Cluster`] uses itself.
//!
//! Steps that lead to what is known already are mostly told from what led to the state ([asleep]), and not
//! looked up.
//!
//! What one thread finds out, all know: parts have the same numbers everywhere, moves are told in a [log],
//! and what was found out of servers and history is in one table ([seen]). A look-up takes no lock.

mod asleep;
mod log;
mod look;
mod moves;
mod orbits;
mod parts;
mod seen;
mod short;
#[cfg(test)]
mod tests;

use crate::cluster::{Action, Cluster, ClusterState};
use crate::codec;
use asleep::Falling;
use lockstep_engine::{Fate, Packed, Reached, Route, Shortcut, States, Steps};
use lockstep_traces::Role;
use log::Input;
use look::Look;
use moves::{Made, Moves, Standing, UNKNOWN};
use orbits::Orbits;
use parts::{Part, Parts};
use seen::Seen;
use short::{Block, Short, Tables, View};
use std::sync::Arc;

/// The shortcut of one thread.
pub(crate) struct Quick<'a> {
    cluster: &'a Cluster,
    tables: Tables,
    moves: Moves,
    /// The classes of a loss and a duplication, once they were evaluated: they move no server.
    copies: [Option<u32>; 2],
    /// The states at hand, the one of them that was listed last, and the footprints of all.
    block: Block,
    listed: u32,
    footprints: Vec<u128>,
    /// For each message, where the move is that delivers it, if it was known when the block came.
    deliveries: Vec<u32>,
    /// The state being written.
    to: Short,
    /// The footprints of the states written, and whether the terms of their messages are within their limits.
    written: Vec<(u128, bool)>,
    /// With symmetry, and a place for the representative of what is being written.
    orbits: Option<Orbits>,
    representative: Short,
    /// The state restored last, and its numbers.
    restored: Option<(Short, ClusterState)>,
    /// A place for the numbers of the state being restored.
    restoring: Block,
    /// What was found out of footprints.
    seen: Seen,
    /// Moves and footprints are to be forgotten.
    forgetting: bool,
    /// How much was saved of each of the tables.
    saved: [u32; 4],
}

/// In the first place of a route: it is about copies of a message. Otherwise that is the move.
const COPIES: u32 = u32::MAX;
/// In the last place of a route that is a move: no message is delivered.
const NO_MESSAGE: u32 = u32::MAX;
/// The same, and a value is proposed.
const PROPOSAL: u32 = u32::MAX - 1;

/// Makes `to` what `route` leads to from `from`.
fn follow(from: View<'_>, route: Route, tables: &Tables, moves: &Moves, to: &mut Short) {
    let [what, spent, third, last] = route;
    let in_flight = from.messages.len();
    if what == COPIES {
        let (copied, copies) = (third as usize, last);
        to.begin_like(from, (0, from.servers[0]), [from.history(), spent]);
        let mut falling = if spent == from.spent() {
            Falling::NOTHING
        } else {
            from.asleep().after_message(copied, in_flight)
        };
        for (position, message) in from.messages.iter().enumerate() {
            if position == copied {
                (0..copies).for_each(|_| to.push(*message));
            } else {
                falling.keep(position, to.in_flight());
                to.push(*message);
            }
        }
        return to.set_asleep(falling.asleep(to.in_flight()));
    }
    let moved = moves.get(what);
    let slot = usize::from(tables.servers.facts(moved.server).slot);
    to.begin_like(from, (slot, moved.server), [third, spent]);
    let delivered = from.messages.iter().position(|message| *message == last);
    let mut falling = match delivered {
        _ if third != from.history() || last == PROPOSAL => Falling::NOTHING,
        Some(position) => from.asleep().after_message(position, in_flight),
        None if spent == from.spent() => Falling::NOTHING,
        None => from.asleep().after_event(slot, in_flight),
    };
    falling.wake_server(slot);
    // One copy goes, wherever it is, and what was sent goes where it belongs.
    let mut sent = moves.sent(moved);
    for (position, old) in from.messages.iter().enumerate() {
        if Some(position) == delivered {
            continue;
        }
        while let Some((new, rest)) = sent.split_first()
            && tables.messages.in_order(*new, *old)
        {
            to.push(*new);
            sent = rest;
        }
        if usize::from(tables.messages.facts(*old).to) != slot {
            falling.keep(position, to.in_flight());
        }
        to.push(*old);
    }
    to.extend(sent);
    to.set_asleep(falling.asleep(to.in_flight()));
}

impl<'a> Quick<'a> {
    /// A shortcut, to representatives only if `symmetric`.
    pub(crate) fn new(cluster: &'a Cluster, symmetric: bool) -> Self {
        let shared = (Tables::new(), Moves::new(Arc::default()), Seen::new());
        Quick::sharing(shared, cluster, symmetric)
    }

    fn sharing(
        (tables, moves, seen): (Tables, Moves, Seen),
        cluster: &'a Cluster,
        symmetric: bool,
    ) -> Self {
        Quick {
            cluster,
            tables,
            moves,
            copies: [None; 2],
            block: Block::default(),
            listed: 0,
            footprints: Vec::new(),
            deliveries: Vec::new(),
            to: Short::default(),
            written: Vec::new(),
            orbits: symmetric.then(|| Orbits::new(cluster.settings().servers())),
            representative: Short::default(),
            restored: None,
            restoring: Block::default(),
            seen,
            forgetting: false,
            saved: [0; 4],
        }
    }

    fn servers(&self) -> usize {
        self.cluster.settings().servers()
    }

    /// Whether the term of every message in flight is within its limit.
    fn terms_within_limits(&self, short: View<'_>) -> bool {
        short.messages.iter().all(|message| {
            let facts = self.tables.messages.facts(*message);
            let server = short.servers.get(usize::from(facts.gauge));
            server.is_none_or(|server| self.tables.servers.facts(*server).term >= facts.least_term)
        })
    }

    /// What witnesses and antecedents of states look at in the state listed last: servers, history, and
    /// whether there are messages.
    fn outline(&self) -> (u128, bool) {
        let at = self.block.view(self.listed, self.servers());
        let footprint = self.footprints[self.listed as usize];
        (footprint, !at.messages.is_empty())
    }

    /// Makes the state last listed, or with symmetry its representative, follow `route`.
    fn follow(&mut self, number: u32, route: Route) {
        let from = self.block.view(number, self.cluster.settings().servers());
        follow(from, route, &self.tables, &self.moves, &mut self.to);
        if let Some(orbits) = &mut self.orbits {
            let (tables, cluster) = (&mut self.tables, self.cluster);
            orbits.represent(self.to.view(), &mut self.representative, tables, cluster);
            std::mem::swap(&mut self.to, &mut self.representative);
        }
    }

    /// The fingerprint of the representative of where `route` leads from state number `number`.
    fn representative_of(&mut self, number: u32, route: Route) -> u64 {
        self.follow(number, route);
        fingerprint(self.tables.sum(self.to.view()))
    }

    /// Takes these states as the block at hand.
    fn take(&mut self, states: States<'_>) {
        self.moves.begin_block(&mut self.tables, self.cluster);
        self.block.clear();
        states.iter().for_each(|short| self.block.push(short));
    }

    /// Looks up what the states of the block have in common, all at once: the tables do not fit into the
    /// first cache of a processor, which can wait for many of their places at the same time if there is
    /// little else to do in between.
    fn look_ahead(&mut self) {
        let servers = self.servers();
        self.footprints.clear();
        for number in 0..self.block.len() {
            let at = self.block.view(number, servers);
            self.footprints.push(self.tables.footprint(at));
        }
        self.seen.touch(self.footprints.iter().copied());
        self.deliveries.clear();
        for number in 0..self.block.len() {
            let at = self.block.view(number, servers);
            self.deliveries
                .resize(self.block.messages(number, servers).start, UNKNOWN);
            for message in at.messages {
                let server = at.servers[usize::from(self.tables.messages.facts(*message).to)];
                let place = self.moves.find(server, self.moves.delivery(*message));
                self.deliveries.push(place);
            }
        }
        self.moves.touch(self.deliveries.iter().copied());
    }

    /// The state listed last.
    fn look(&mut self) -> Look<'_> {
        let servers = self.cluster.settings().servers();
        let at = self.block.view(self.listed, servers);
        let footprint = self.footprints[self.listed as usize];
        Look {
            cluster: self.cluster,
            sum: footprint.wrapping_add(self.tables.rest(at)),
            deliveries: &self.deliveries[self.block.messages(self.listed, servers)],
            tables: &mut self.tables,
            moves: &mut self.moves,
            copies: self.copies,
            at,
        }
    }

    /// What becomes of an action of the state listed last.
    fn fate(&mut self, action: &Action) -> Fate {
        match self.look().fate(*action) {
            Fate::Within(_, route, class) if self.orbits.is_some() => {
                let fingerprint = self.representative_of(self.listed, route);
                Fate::Within(fingerprint, route, class)
            }
            fate => fate,
        }
    }

    /// Remembers that the server in `slot` got `input`, which led to `after`.
    fn learn_move(
        &mut self,
        (slot, input): (usize, Input),
        after: &ClusterState,
        class: u32,
        for_all: bool,
    ) {
        let tables = &mut self.tables;
        let at = self
            .block
            .view(self.listed, self.cluster.settings().servers());
        let server = tables.servers.number(&after.servers[slot], self.cluster);
        // What was sent is what is new in the network: both are sorted.
        let mut old = at.messages.to_vec();
        if let Input::Delivery(delivered) = input
            && let Some(position) = old.iter().position(|message| *message == delivered)
        {
            old.remove(position);
        }
        let mut old = old.into_iter().peekable();
        let mut sent = Vec::new();
        for message in after.network.iter() {
            let is_old = |number: &u32| tables.messages.part(*number) == message;
            if old.next_if(is_old).is_none() {
                sent.push(tables.messages.number(message, self.cluster));
            }
        }
        let standing = if !self.cluster.may_be(&after.servers[slot]) {
            Standing::Beyond
        } else if self.cluster.is_within(after) {
            Standing::Evaluated
        } else {
            Standing::Unevaluated
        };
        let made = Made {
            before: at.servers[slot],
            after: server,
            input,
            sent: &sent,
            standing,
            leads: after.servers[slot].role == Role::Leader,
            class,
        };
        self.moves.learn(&made, for_all, tables, self.cluster);
    }
}

/// Makes the state restored last that of `wanted`.
fn restore<'r>(
    restored: &'r mut Option<(Short, ClusterState)>,
    wanted: View<'_>,
    tables: &Tables,
) -> &'r ClusterState {
    let (numbers, state) = restored.get_or_insert_with(|| {
        let mut numbers = Short::default();
        numbers.clone_from(wanted);
        (numbers, wanted.state(tables))
    });
    wanted.replace(numbers.view(), state, tables);
    numbers.clone_from(wanted);
    state
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
        let shared = (self.tables.fork(), self.moves.fork(), self.seen.fork());
        Box::new(Quick::sharing(shared, self.cluster, symmetric))
    }

    fn shorten(&mut self, state: &ClusterState, out: &mut Vec<u8>) -> u64 {
        let mut short = Short::of(state, &mut self.tables, self.cluster);
        if let Some(orbits) = &mut self.orbits {
            let given = std::mem::take(&mut short);
            orbits.represent(given.view(), &mut short, &mut self.tables, self.cluster);
        }
        short.view().put(out);
        fingerprint(self.tables.sum(short.view()))
    }

    fn restore(&mut self, short: &[u8]) -> &ClusterState {
        self.restoring.clear();
        self.restoring.push(short);
        let wanted = self.restoring.view(0, self.cluster.settings().servers());
        if !self.tables.know(wanted) {
            self.tables.catch_up(self.cluster);
        }
        restore(&mut self.restored, wanted, &self.tables)
    }

    fn listed(&mut self) -> &ClusterState {
        let wanted = self
            .block
            .view(self.listed, self.cluster.settings().servers());
        restore(&mut self.restored, wanted, &self.tables)
    }

    fn begin_batch(&mut self) {
        if std::mem::take(&mut self.forgetting) {
            self.moves.log().forget();
            self.seen.forget();
        }
        self.moves.log().limit();
    }

    fn forget(&mut self) {
        self.forgetting = true;
    }

    fn read(&mut self, states: States<'_>) {
        self.take(states);
        self.seen.catch_up();
        self.look_ahead();
    }

    fn steps(&mut self, number: u32, steps: &mut Steps) -> Option<u32> {
        let at = self.block.view(number, self.servers());
        self.tables.learn_spent(at.spent(), self.cluster);
        self.listed = number;
        let first = steps.reached().len();
        self.look().list(steps);
        if self.orbits.is_some() {
            for reached in &mut steps.reached_mut()[first..] {
                reached.fingerprint = self.representative_of(number, reached.route);
            }
        }
        let (footprint, messages) = self.outline();
        self.seen.class(footprint, messages)
    }

    fn learn(&mut self, action: &Action, after: &ClusterState, class: u32, for_all: bool) -> Fate {
        let look = self.look();
        let moved = match *action {
            Action::Deliver(position) => {
                let message = look.at.messages[position as usize];
                let to = look.tables.messages.facts(message).to;
                Some((usize::from(to), Input::Delivery(message)))
            }
            local => {
                let at = local.at_server();
                at.map(|(i, kind)| (i.slot(), look.input(kind)))
            }
        };
        if let Some(moved) = moved {
            self.learn_move(moved, after, class, for_all);
        } else if self.cluster.is_within(after) {
            let duplicated = matches!(action, Action::Duplicate(_));
            self.copies[usize::from(duplicated)] = Some(class);
        } else {
            return Fate::Beyond;
        }
        self.fate(action)
    }

    fn write(&mut self, states: States<'_>, new: &[Reached], out: &mut Packed) {
        self.take(states);
        self.moves.touch(new.iter().map(|reached| reached.route[0]));
        self.written.clear();
        for reached in new {
            self.follow(reached.parent, reached.route);
            let to = self.to.view();
            out.push_with(|bytes| to.put(bytes));
            let within = self.terms_within_limits(to);
            self.written.push((self.tables.footprint(to), within));
        }
        let footprints = self.written.iter().map(|(footprint, _)| *footprint);
        self.seen.touch(footprints);
    }

    fn is_settled(&self, number: usize) -> bool {
        let (footprint, within) = self.written[number];
        within && self.seen.is_good(footprint)
    }

    fn settle_properties(&mut self, number: usize) {
        self.seen.note_good(self.written[number].0);
    }

    fn settle_state(&mut self, class: u32) {
        let (footprint, messages) = self.outline();
        self.seen.note_class(footprint, messages, class);
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
        let own = self.moves.memory() as u64
            + self.block.memory()
            + (self.footprints.capacity() * size_of::<u128>()) as u64
            + (self.deliveries.capacity() * size_of::<u32>()) as u64
            + (self.written.capacity() * size_of::<(u128, bool)>()) as u64
            + self.restoring.memory()
            + self.orbits.as_ref().map_or(0, Orbits::memory)
            + servers.memory()
            + messages.memory()
            + histories.memory()
            + spents.memory();
        let parts = servers.shared_memory()
            + messages.shared_memory()
            + histories.shared_memory()
            + spents.shared_memory();
        // What is in there may depend on which thread was quicker, and where a search stops must not.
        let found_out = if self.forgetting {
            0
        } else {
            self.moves.log().memory() + self.seen.shared_memory()
        };
        (own, parts + found_out)
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
