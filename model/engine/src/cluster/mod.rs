//! Clusters of machines: collapse compression, transition memo, incremental hash, sleep sets.
//!
//! A state is a handful of [components](Component), each of which occurs in a great many states, and is known by
//! the ids of its components (collapse compression). An event moves one server, and most transitions repeat what
//! a server in the same state did on the same input elsewhere in the graph: then the successor is a matter of a
//! few ids (transition memo), and its fingerprint, which comes from the sum of the components' hashes, of a few
//! additions (incremental hash). No rule of the model is written here again: what is remembered comes from
//! transitions that were executed, and which events there are, the history and the budgets come from the functions
//! of the model itself ([`Machines`]).
//!
//! Steps that lead to what is known already are mostly told from what led to the state ([sleep]), and not
//! looked up.
//!
//! What one thread finds out, all know: components have the same ids everywhere, steps are published in a [log],
//! and what was found out of servers and history is in one table ([verdict_cache]). A look-up takes no lock.

mod collapsed;
mod footprint;
mod interner;
mod keys;
mod log;
mod lookup;
mod machines;
mod memo;
mod sleep;
#[cfg(test)]
mod tests;
mod verdict_cache;

pub use collapsed::{Collapsed, Tables, View};
pub use footprint::{Dependent, Footprint, check_independence};
pub use interner::Interner;
pub use keys::MAX_SERVERS;
pub use machines::{
    Component, Components, Event, Happened, KindSet, Machines, MessageFacts, Replacement,
    ServerFacts, Shape,
};

use crate::frontier::{Packed, States};
use crate::steps::{Lookup, Reached, Steps, SuccessorKey};
use crate::traits::Collapse;
use collapsed::Block;
use keys::{COPIES, PARAMETRIC, fingerprint};
use log::{Context, Input};
use lookup::Lookups;
use machines::{put_number, take_number};
use memo::{Memo, Step, UNKNOWN};
use sleep::Builder;
use std::sync::Arc;
use verdict_cache::VerdictCache;

/// Exact symmetry of collapsed states. What a thread knows of it is its own.
pub trait Canonical<M: Machines>: Send {
    /// The same for another thread.
    fn fork(&self) -> Box<dyn Canonical<M>>;

    /// Makes `to` the representative of everything that `from` can be permuted to. The messages of `from` may
    /// be in any order, those of `to` are sorted.
    fn represent(&mut self, from: View<'_>, to: &mut Collapsed, tables: &mut Tables<M>, model: &M);

    /// Bytes of memory.
    fn memory(&self) -> u64;
}

/// The successor generator of one thread.
pub struct Generator<'a, M: Machines> {
    model: &'a M,
    shape: Shape,
    tables: Tables<M>,
    memo: Memo,
    /// The classes of a loss and a duplication, once they were evaluated: they move no server.
    copies: [Option<u32>; 2],
    /// The states at hand, the one of them that was listed last, and the hashes of servers and history of all.
    block: Block,
    listed: u32,
    hashes: Vec<u128>,
    /// For each message, where the step is that delivers it, if it was known when the block came.
    deliveries: Vec<u32>,
    /// The state being written.
    to: Collapsed,
    /// The hashes of servers and history of the states written, and whether their messages are within their
    /// limits.
    written: Vec<(u128, bool)>,
    /// With symmetry, and a place for the representative of what is being written.
    canonical: Option<Box<dyn Canonical<M>>>,
    representative: Collapsed,
    /// The state restored last, and its ids.
    restored: Option<(Collapsed, M::State)>,
    /// A place for the ids of the state being restored.
    restoring: Block,
    /// The verdicts on servers and history.
    verdicts: VerdictCache,
    /// Steps and verdicts are to be forgotten.
    forgetting: bool,
    /// The saved length of each of the tables.
    saved: [u32; 4],
    /// For each server, the parameters with which its probes were evaluated: a bit each.
    probed: Vec<u64>,
}

/// Parameters from this one on have no bit in [`Generator::probed`]: their probes are evaluated in every state.
const MAX_PARAMETER: u32 = 64;

/// Makes `to` what `key` leads to from `from`.
fn follow<M: Machines>(
    from: View<'_>,
    key: SuccessorKey,
    tables: &Tables<M>,
    memo: &Memo,
    to: &mut Collapsed,
) {
    let [what, spent, third, last] = key;
    let in_flight = from.messages.len();
    if what == COPIES {
        let (copied, copies) = (third as usize, last);
        to.begin_like(from, (0, from.servers[0]), [from.history(), spent]);
        let mut builder = if spent == from.budgets() {
            Builder::NOTHING
        } else {
            from.asleep().after_message(copied, in_flight)
        };
        for (position, message) in from.messages.iter().enumerate() {
            if position == copied {
                (0..copies).for_each(|_| to.push(*message));
            } else {
                builder.keep(position, to.in_flight());
                to.push(*message);
            }
        }
        return to.set_asleep(builder.asleep(to.in_flight()));
    }
    let effect = memo.get(what);
    let slot = usize::from(tables.servers.facts(effect.server).slot);
    to.begin_like(from, (slot, effect.server), [third, spent]);
    let delivered = from.messages.iter().position(|message| *message == last);
    let mut builder = match delivered {
        _ if third != from.history() || last == PARAMETRIC => Builder::NOTHING,
        Some(position) => from.asleep().after_message(position, in_flight),
        None if spent == from.budgets() => Builder::NOTHING,
        None => from.asleep().after_event(slot, in_flight),
    };
    builder.wake_server(slot);
    // One copy goes, wherever it is, and what was sent goes where it belongs.
    let mut sent = memo.sent(effect);
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
            builder.keep(position, to.in_flight());
        }
        to.push(*old);
    }
    to.extend(sent);
    to.set_asleep(builder.asleep(to.in_flight()));
}

impl<'a, M: Machines> Generator<'a, M> {
    /// A successor generator, to representatives only if there is a `canonical` form.
    pub fn new(model: &'a M, canonical: Option<Box<dyn Canonical<M>>>) -> Self {
        let Shape {
            local_kinds,
            records_steps,
            ..
        } = model.shape();
        let memo = Memo::new(Arc::default(), local_kinds, records_steps);
        let shared = (Tables::new(), memo, VerdictCache::new());
        Generator::sharing(shared, model, canonical)
    }

    fn sharing(
        (tables, memo, verdicts): (Tables<M>, Memo, VerdictCache),
        model: &'a M,
        canonical: Option<Box<dyn Canonical<M>>>,
    ) -> Self {
        Generator {
            model,
            shape: model.shape(),
            tables,
            memo,
            copies: [None; 2],
            block: Block::default(),
            listed: 0,
            hashes: Vec::new(),
            deliveries: Vec::new(),
            to: Collapsed::default(),
            written: Vec::new(),
            canonical,
            representative: Collapsed::default(),
            restored: None,
            restoring: Block::default(),
            verdicts,
            forgetting: false,
            saved: [0; 4],
            probed: Vec::new(),
        }
    }

    fn servers(&self) -> usize {
        self.shape.servers
    }

    /// Whether every message in flight is within its limit.
    fn messages_within_limits(&self, state: View<'_>) -> bool {
        state.messages.iter().all(|message| {
            let facts = self.tables.messages.facts(*message);
            let server = state.servers.get(usize::from(facts.gauge));
            server
                .is_none_or(|server| self.tables.servers.facts(*server).gauge >= facts.least_gauge)
        })
    }

    /// Returns all that witnesses and antecedents of states look at in the state listed last: servers and history, as a
    /// hash, and whether there are messages.
    fn outline(&self) -> (u128, bool) {
        let at = self.block.view(self.listed, self.servers());
        let hash = self.hashes[self.listed as usize];
        (hash, !at.messages.is_empty())
    }

    /// Makes the state last listed, or with symmetry its representative, follow `key`.
    fn follow(&mut self, number: u32, key: SuccessorKey) {
        let from = self.block.view(number, self.shape.servers);
        follow(from, key, &self.tables, &self.memo, &mut self.to);
        if let Some(canonical) = &mut self.canonical {
            let (tables, model) = (&mut self.tables, self.model);
            canonical.represent(self.to.view(), &mut self.representative, tables, model);
            std::mem::swap(&mut self.to, &mut self.representative);
        }
    }

    /// The servers of the state listed last, and the parameter that local inputs have in it.
    fn probes(&self) -> (&[u32], u32) {
        let at = self.block.view(self.listed, self.shape.servers);
        let levels = &mut at
            .servers
            .iter()
            .map(|id| self.tables.servers.facts(*id).level);
        (at.servers, self.model.parameter(levels))
    }

    /// The fingerprint of the representative of where `key` leads from state number `number`.
    fn representative_of(&mut self, number: u32, key: SuccessorKey) -> u64 {
        self.follow(number, key);
        fingerprint(self.tables.sum(self.to.view()))
    }

    /// Takes these states as the block at hand.
    fn take(&mut self, states: States<'_>) {
        self.memo.begin_block(&mut self.tables, self.model);
        self.block.clear();
        states.iter().for_each(|short| self.block.push(short));
    }

    /// Looks up what the states of the block have in common, all at once: the tables do not fit into the
    /// first cache of a processor, which can wait for many of their places at the same time if there is
    /// little else to do in between.
    fn look_ahead(&mut self) {
        let servers = self.servers();
        self.hashes.clear();
        for number in 0..self.block.len() {
            let at = self.block.view(number, servers);
            self.hashes
                .push(self.tables.hash_of_servers_and_history(at));
        }
        self.verdicts.touch(self.hashes.iter().copied());
        self.deliveries.clear();
        for number in 0..self.block.len() {
            let at = self.block.view(number, servers);
            self.deliveries
                .resize(self.block.messages(number, servers).start, UNKNOWN);
            for message in at.messages {
                let server = at.servers[usize::from(self.tables.messages.facts(*message).to)];
                let place = self.memo.find(server, self.memo.delivery(*message));
                self.deliveries.push(place);
            }
        }
        self.memo.touch(self.deliveries.iter().copied());
    }

    /// The state listed last.
    fn lookups(&mut self) -> Lookups<'_, M> {
        let servers = self.shape.servers;
        let at = self.block.view(self.listed, servers);
        let hash = self.hashes[self.listed as usize];
        Lookups {
            model: self.model,
            shape: self.shape,
            sum: hash.wrapping_add(self.tables.rest(at)),
            deliveries: &self.deliveries[self.block.messages(self.listed, servers)],
            tables: &mut self.tables,
            memo: &mut self.memo,
            copies: self.copies,
            at,
        }
    }

    /// Looks up an action of the state listed last.
    fn lookup(&mut self, action: &M::Action) -> Lookup {
        let event = self.model.event(action);
        match self.lookups().lookup(event) {
            Lookup::Within(_, key, class) if self.canonical.is_some() => {
                let fingerprint = self.representative_of(self.listed, key);
                Lookup::Within(fingerprint, key, class)
            }
            lookup => lookup,
        }
    }

    /// Remembers that the server in `slot` got `input`, which led to `after`.
    fn learn_step(
        &mut self,
        (slot, input): (usize, Input),
        after: &M::State,
        class: u32,
        for_all: bool,
    ) {
        let (tables, model) = (&mut self.tables, self.model);
        let at = self.block.view(self.listed, self.shape.servers);
        let components = model.components(after);
        let server = tables.servers.id(&model.server(after, slot), model);
        // What was sent is what is new in the network: both are sorted.
        let mut old = at.messages.to_vec();
        if let Input::Delivery(delivered) = input
            && let Some(position) = old.iter().position(|message| *message == delivered)
        {
            old.remove(position);
        }
        let mut old = old.into_iter().peekable();
        let mut sent = Vec::new();
        for message in components.messages {
            let is_old = |id: &u32| tables.messages.component(*id) == message;
            if old.next_if(is_old).is_none() {
                sent.push(tables.messages.id(message, model));
            }
        }
        let facts = *tables.servers.facts(server);
        let context = if !facts.within {
            Context::Beyond
        } else if model.within_boundary(after) {
            Context::Evaluated
        } else {
            Context::Unevaluated
        };
        let step = Step {
            before: at.servers[slot],
            after: server,
            input,
            sent: &sent,
            context,
            recorded: facts.recorded,
            class,
        };
        self.memo.learn(&step, for_all, tables, model);
    }
}

/// Makes the state restored last that of `wanted`.
fn restore<'r, M: Machines>(
    restored: &'r mut Option<(Collapsed, M::State)>,
    wanted: View<'_>,
    tables: &Tables<M>,
    model: &M,
) -> &'r M::State {
    if let Some((ids, state)) = restored {
        wanted.replace(Some(ids.view()), state, tables, model);
        ids.become_like(wanted);
    } else {
        let mut states = model.init_states();
        let mut state = states.swap_remove(0);
        wanted.replace(None, &mut state, tables, model);
        let mut ids = Collapsed::default();
        ids.become_like(wanted);
        *restored = Some((ids, state));
    }
    match restored {
        Some((_, state)) => state,
        None => unreachable!("it was just restored"),
    }
}

/// The incremental hash of `state`: the sum of the hashes of its components.
pub fn incremental_hash<M: Machines>(model: &M, state: &M::State) -> u128 {
    let components = model.components(state);
    let servers = (0..model.shape().servers).map(|slot| model.server(state, slot));
    let servers = servers.map(|server| interner::hash(&server));
    let messages = components.messages.iter().map(interner::hash);
    let others =
        interner::hash(components.history).wrapping_add(interner::hash(components.budgets));
    servers.chain(messages).fold(others, u128::wrapping_add)
}

impl<'a, M: Machines> Collapse<'a, M> for Generator<'a, M> {
    fn fork(&self) -> Box<dyn Collapse<'a, M> + 'a> {
        let canonical = self.canonical.as_ref().map(|canonical| canonical.fork());
        let shared = (self.tables.fork(), self.memo.fork(), self.verdicts.fork());
        Box::new(Generator::sharing(shared, self.model, canonical))
    }

    fn collapse(&mut self, state: &M::State, out: &mut Vec<u8>) -> u64 {
        let mut collapsed = Collapsed::of(state, &mut self.tables, self.model);
        if let Some(canonical) = &mut self.canonical {
            let given = std::mem::take(&mut collapsed);
            canonical.represent(given.view(), &mut collapsed, &mut self.tables, self.model);
        }
        collapsed.view().put(out);
        fingerprint(self.tables.sum(collapsed.view()))
    }

    fn restore(&mut self, collapsed: &[u8]) -> &M::State {
        self.restoring.clear();
        self.restoring.push(collapsed);
        let wanted = self.restoring.view(0, self.shape.servers);
        if !self.tables.know(wanted) {
            self.tables.catch_up(self.model);
        }
        restore(&mut self.restored, wanted, &self.tables, self.model)
    }

    fn listed(&mut self) -> &M::State {
        let wanted = self.block.view(self.listed, self.shape.servers);
        restore(&mut self.restored, wanted, &self.tables, self.model)
    }

    fn begin_batch(&mut self) {
        if std::mem::take(&mut self.forgetting) {
            self.memo.log().forget();
            self.verdicts.forget();
        }
        self.memo.log().limit();
    }

    fn forget(&mut self) {
        self.forgetting = true;
    }

    fn read(&mut self, states: States<'_>) {
        self.take(states);
        self.verdicts.catch_up();
        self.look_ahead();
    }

    fn list(&mut self, number: u32, steps: &mut Steps) -> Option<u32> {
        let at = self.block.view(number, self.servers());
        self.tables.learn_spent(at.budgets(), self.model);
        self.listed = number;
        let first = steps.reached().len();
        self.lookups().list(steps);
        if self.canonical.is_some() {
            for reached in &mut steps.reached_mut()[first..] {
                reached.fingerprint = self.representative_of(number, reached.key);
            }
        }
        let (hash, messages) = self.outline();
        self.verdicts.class(hash, messages)
    }

    fn learn(&mut self, action: &M::Action, after: &M::State, class: u32, for_all: bool) -> Lookup {
        let event = self.model.event(action);
        let lookups = self.lookups();
        let step = match event {
            Event::Local(slot, kind) => Some((slot, lookups.input(kind))),
            Event::Message(position, kind) if kind == lookups.shape.deliver => {
                let message = lookups.at.messages[position];
                let to = lookups.tables.messages.facts(message).to;
                Some((usize::from(to), Input::Delivery(message)))
            }
            Event::Message(..) => None,
        };
        if let Some(step) = step {
            self.learn_step(step, after, class, for_all);
        } else if self.model.within_boundary(after) {
            let duplicated =
                matches!(event, Event::Message(_, kind) if kind == self.shape.duplicate);
            self.copies[usize::from(duplicated)] = Some(class);
        } else {
            return Lookup::Beyond;
        }
        self.lookup(action)
    }

    fn probed(&self) -> bool {
        if !self.shape.probes {
            return true;
        }
        let (servers, parameter) = self.probes();
        let probed = |id: &u32| self.probed.get(*id as usize).copied().unwrap_or(0);
        parameter < MAX_PARAMETER && servers.iter().all(|id| probed(id) >> parameter & 1 == 1)
    }

    fn note_probed(&mut self) {
        let (servers, parameter) = self.probes();
        if parameter >= MAX_PARAMETER {
            return;
        }
        let servers = servers.to_vec();
        for id in servers {
            let id = id as usize;
            self.probed.resize(self.probed.len().max(id + 1), 0);
            self.probed[id] |= 1 << parameter;
        }
    }

    fn write(&mut self, states: States<'_>, new: &[Reached], out: &mut Packed) {
        self.take(states);
        self.memo.touch(new.iter().map(|reached| reached.key[0]));
        self.written.clear();
        for reached in new {
            self.follow(reached.parent, reached.key);
            let to = self.to.view();
            out.push_with(|bytes| to.put(bytes));
            let within = self.messages_within_limits(to);
            self.written
                .push((self.tables.hash_of_servers_and_history(to), within));
        }
        let hashes = self.written.iter().map(|(hash, _)| *hash);
        self.verdicts.touch(hashes);
    }

    fn all_hold(&self, number: usize) -> bool {
        let (hash, within) = self.written[number];
        within && self.verdicts.all_hold(hash)
    }

    fn note_all_hold(&mut self, number: usize) {
        self.verdicts.note_all_hold(self.written[number].0);
    }

    fn note_class(&mut self, class: u32) {
        let (hash, messages) = self.outline();
        self.verdicts.note_class(hash, messages, class);
    }

    fn save(&mut self, out: &mut Vec<u8>) {
        let Tables {
            servers,
            messages,
            histories,
            budgets,
            ..
        } = &self.tables;
        let [s, m, h, p] = &mut self.saved;
        save(servers, s, out);
        save(messages, m, out);
        save(histories, h, out);
        save(budgets, p, out);
    }

    fn load(&mut self, mut saved: &[u8]) {
        let Tables {
            servers,
            messages,
            histories,
            budgets,
            ..
        } = &mut self.tables;
        let [s, m, h, p] = &mut self.saved;
        load(servers, s, &mut saved);
        load(messages, m, &mut saved);
        load(histories, h, &mut saved);
        load(budgets, p, &mut saved);
    }

    fn memory(&self) -> (u64, u64) {
        let (own, components) = self.tables.memory();
        let own = own
            + self.memo.memory() as u64
            + self.block.memory()
            + (self.hashes.capacity() * size_of::<u128>()) as u64
            + (self.deliveries.capacity() * size_of::<u32>()) as u64
            + (self.written.capacity() * size_of::<(u128, bool)>()) as u64
            + self.restoring.memory()
            + (self.probed.capacity() * size_of::<u64>()) as u64
            + self
                .canonical
                .as_ref()
                .map_or(0, |canonical| canonical.memory());
        // What is in there may depend on which thread was quicker, and where a search stops must not.
        let found_out = if self.forgetting {
            0
        } else {
            self.memo.log().memory() + self.verdicts.shared_memory()
        };
        (own, components + found_out)
    }
}

/// Appends how many components there are that were not saved yet, and those.
fn save<M, C: Component<M>>(components: &Interner<M, C>, saved: &mut u32, out: &mut Vec<u8>) {
    let mut bytes = Vec::new();
    let count = components.save(*saved, &mut bytes);
    put_number(count - *saved, out);
    out.extend_from_slice(&bytes);
    *saved = count;
}

fn load<M, C: Component<M>>(components: &mut Interner<M, C>, saved: &mut u32, bytes: &mut &[u8]) {
    let count = take_number(bytes);
    for _ in 0..count {
        let len = take_number(bytes) as usize;
        let (encoding, rest) = bytes.split_at(len);
        components.load(encoding);
        *bytes = rest;
    }
    *saved += count;
}
