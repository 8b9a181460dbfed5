//! Collapsed states: the ids of the components of a state (collapse compression, Holzmann 1997).

use super::interner::Interner;
use super::machines::{KindSet, Machines, Replacement};
use super::sleep::SleepSet;
use std::ops::Range;

/// By number of the event, the id of the budgets afterwards, and what that changes in the incremental hash.
type Spending = Box<[(u32, u128)]>;

/// The components that states are made of, as one thread knows them.
pub struct Tables<M: Machines> {
    /// The servers.
    pub servers: Interner<M, M::Server>,
    /// The messages.
    pub messages: Interner<M, M::Message>,
    /// The histories.
    pub histories: Interner<M, M::History>,
    /// The spent budgets.
    pub budgets: Interner<M, M::Budgets>,
    /// For each of the budgets, once it was asked for: the id after one more event of each number, and what that
    /// changes in the incremental hash.
    spent: Vec<Option<Spending>>,
}

impl<M: Machines> Tables<M> {
    pub(super) fn new() -> Self {
        Tables {
            servers: Interner::new(),
            messages: Interner::new(),
            histories: Interner::new(),
            budgets: Interner::new(),
            spent: Vec::new(),
        }
    }

    /// The same ids for another thread.
    pub(super) fn fork(&self) -> Self {
        Tables {
            servers: self.servers.fork(),
            messages: self.messages.fork(),
            histories: self.histories.fork(),
            budgets: self.budgets.fork(),
            spent: Vec::new(),
        }
    }

    /// The kinds of event that budgets number `budgets` allow.
    #[inline]
    pub(super) fn allowed(&self, budgets: u32) -> KindSet {
        *self.budgets.facts(budgets)
    }

    /// The id of the budgets after an event of this kind, and what that changes in the incremental hash. What
    /// there is to spend must have been [learned](Self::learn_spent).
    #[inline]
    pub(super) fn spend(&self, budgets: u32, kind: usize) -> (u32, u128) {
        match &self.spent[budgets as usize] {
            Some(after) => after[kind],
            None => (budgets, 0),
        }
    }

    /// Makes sure that what there is to spend of budgets number `budgets` is known.
    #[inline]
    pub(super) fn learn_spent(&mut self, budgets: u32, model: &M) {
        let known = self.spent.get(budgets as usize);
        if known.is_none_or(Option::is_none) {
            self.find_spent(budgets, model);
        }
    }

    #[cold]
    fn find_spent(&mut self, budgets: u32, model: &M) {
        let (allowed, hash) = (self.allowed(budgets), self.budgets.hash(budgets));
        let after = (0..=model.shape().drop).map(|kind| {
            if !allowed.contains(kind) {
                return (budgets, 0);
            }
            let after = model.spend(self.budgets.component(budgets), kind);
            let after = self.budgets.id(&after, model);
            (after, self.budgets.hash(after).wrapping_sub(hash))
        });
        let after: Spending = after.collect();
        let known = self.spent.len().max(budgets as usize + 1);
        self.spent.resize(known, None);
        self.spent[budgets as usize] = Some(after);
    }

    /// The hash of servers and history, which most questions are about: the sum of the hashes of both.
    #[inline]
    pub(super) fn hash_of_servers_and_history(&self, state: View<'_>) -> u128 {
        let servers = state.servers.iter();
        let servers = servers.map(|id| self.servers.hash(*id));
        let history = self.histories.hash(state.history());
        servers.fold(history, u128::wrapping_add)
    }

    /// The sum of the hashes of the other components.
    #[inline]
    pub(super) fn rest(&self, state: View<'_>) -> u128 {
        let messages = state.messages.iter();
        let messages = messages.map(|id| self.messages.hash(*id));
        messages.fold(self.budgets.hash(state.budgets()), u128::wrapping_add)
    }

    /// The incremental hash of a state: the sum of the hashes of its components.
    #[inline]
    pub fn sum(&self, state: View<'_>) -> u128 {
        self.hash_of_servers_and_history(state)
            .wrapping_add(self.rest(state))
    }

    /// Whether all components of a state are known in this thread.
    pub(super) fn know(&self, state: View<'_>) -> bool {
        let servers = &mut state.servers.iter();
        let messages = &mut state.messages.iter();
        servers.all(|id| self.servers.knows(*id))
            && messages.all(|id| self.messages.knows(*id))
            && self.histories.knows(state.history())
            && self.budgets.knows(state.budgets())
    }

    /// Makes sure that every component that another thread found is known in this one.
    pub(super) fn catch_up(&mut self, model: &M) {
        self.servers.catch_up(model);
        self.messages.catch_up(model);
        self.histories.catch_up(model);
        self.budgets.catch_up(model);
    }

    /// Bytes of memory in this thread, and bytes that all threads share.
    pub(super) fn memory(&self) -> (u64, u64) {
        let own = self.servers.memory()
            + self.messages.memory()
            + self.histories.memory()
            + self.budgets.memory();
        let shared = self.servers.shared_memory()
            + self.messages.shared_memory()
            + self.histories.shared_memory()
            + self.budgets.shared_memory();
        (own, shared)
    }
}

/// The ids between those of servers and messages.
const OTHERS: usize = 3;

/// The ids of the components of a state, somewhere.
#[derive(Clone, Copy)]
pub struct View<'s> {
    /// The servers, by slot.
    pub servers: &'s [u32],
    /// Of the history, of what was spent, and what is asleep.
    others: &'s [u32; OTHERS],
    /// The messages, in the order of the messages and not of their ids: positions mean the same as in the network.
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

    /// The id of the history.
    #[inline]
    pub fn history(&self) -> u32 {
        self.others[0]
    }

    /// The id of what was spent.
    #[inline]
    pub fn budgets(&self) -> u32 {
        self.others[1]
    }

    #[inline]
    pub(super) fn asleep(&self) -> SleepSet {
        SleepSet::from_bits(self.others[2])
    }

    /// Makes `state`, which is that of `old`, the state of these components; replaces everything if there is no
    /// `old`. Mostly the two have most of them in common.
    pub(super) fn replace<M: Machines>(
        &self,
        old: Option<View<'_>>,
        state: &mut M::State,
        tables: &Tables<M>,
        model: &M,
    ) {
        let mut servers = Vec::new();
        for (slot, new) in self.servers.iter().enumerate() {
            if old.is_none_or(|old| old.servers[slot] != *new) {
                servers.push((slot, tables.servers.component(*new)));
            }
        }
        let messages = old.is_none_or(|old| old.messages != self.messages);
        let history = old.is_none_or(|old| old.history() != self.history());
        let new = Replacement {
            servers,
            messages: messages.then(|| {
                let messages = self.messages.iter();
                messages.map(|id| tables.messages.component(*id)).collect()
            }),
            history: history.then(|| tables.histories.component(self.history())),
            budgets: tables.budgets.component(self.budgets()),
        };
        model.replace(state, new);
    }

    /// Appends the ids to `out`: two bytes each, or, if that is not enough for all, four bytes each and
    /// another byte, which makes the length odd.
    #[inline]
    pub(super) fn put(&self, out: &mut Vec<u8>) {
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

/// The ids of the components of one state.
#[derive(Debug, Default)]
pub struct Collapsed {
    ids: Vec<u32>,
    servers: usize,
}

impl Collapsed {
    /// The collapsed form of `state`.
    pub(super) fn of<M: Machines>(state: &M::State, tables: &mut Tables<M>, model: &M) -> Self {
        let mut collapsed = Collapsed::default();
        let components = model.components(state);
        let history = tables.histories.id(components.history, model);
        let budgets = tables.budgets.id(components.budgets, model);
        let servers = (0..model.shape().servers).map(|slot| model.server(state, slot));
        collapsed.begin(
            servers.map(|server| tables.servers.id(&server, model)),
            history,
            budgets,
        );
        for message in components.messages {
            collapsed.push(tables.messages.id(message, model));
        }
        collapsed
    }

    /// Becomes a state of these servers, without messages.
    pub fn begin(&mut self, servers: impl Iterator<Item = u32>, history: u32, budgets: u32) {
        self.ids.clear();
        self.ids.extend(servers);
        self.servers = self.ids.len();
        self.ids
            .extend([history, budgets, SleepSet::NOTHING.bits()]);
    }

    /// Becomes `from` with another server in `slot`, another history, other budgets, no messages and nothing
    /// asleep.
    #[inline]
    pub(super) fn begin_like(
        &mut self,
        from: View<'_>,
        (slot, server): (usize, u32),
        others: [u32; 2],
    ) {
        self.ids.clear();
        self.servers = from.servers.len();
        // A handful of ids: one by one is quicker than a copy in one go.
        from.servers.iter().for_each(|server| self.push(*server));
        others.iter().for_each(|other| self.push(*other));
        self.push(SleepSet::NOTHING.bits());
        self.ids[slot] = server;
    }

    /// Becomes `from`.
    pub(super) fn become_like(&mut self, from: View<'_>) {
        self.ids.clear();
        self.ids.extend_from_slice(from.all);
        self.servers = from.servers.len();
    }

    /// Adds a message behind all others.
    #[inline]
    pub fn push(&mut self, message: u32) {
        self.ids.push(message);
    }

    /// Adds messages behind all others.
    #[inline]
    pub(super) fn extend(&mut self, messages: &[u32]) {
        messages.iter().for_each(|message| self.push(*message));
    }

    /// Adds a message where it belongs.
    pub fn insert<M: Machines>(&mut self, message: u32, tables: &Tables<M>) {
        let first = self.servers + OTHERS;
        let mut later = self.ids[first..].iter();
        let place = later.position(|old| !tables.messages.in_order(*old, message));
        let place = place.map_or(self.ids.len(), |place| first + place);
        self.ids.insert(place, message);
    }

    /// The number of messages.
    #[inline]
    pub(super) fn in_flight(&self) -> usize {
        self.ids.len() - self.servers - OTHERS
    }

    /// Sets its sleep set.
    #[inline]
    pub(super) fn set_asleep(&mut self, asleep: SleepSet) {
        self.ids[self.servers + OTHERS - 1] = asleep.bits();
    }

    /// The ids.
    #[inline]
    pub fn view(&self) -> View<'_> {
        View::new(&self.ids, self.servers)
    }
}

/// The ids of the components of many states.
#[derive(Default)]
pub(super) struct Block {
    ids: Vec<u32>,
    /// The end of those of each state.
    ends: Vec<u32>,
}

impl Block {
    /// Forgets all states.
    pub fn clear(&mut self) {
        self.ids.clear();
        self.ends.clear();
    }

    /// Adds what [`View::put`] wrote.
    #[inline]
    pub fn push(&mut self, bytes: &[u8]) {
        let (pairs, rest) = bytes.as_chunks::<2>();
        if rest.is_empty() {
            let ids = pairs.iter().map(|pair| u16::from_le_bytes(*pair));
            self.ids.extend(ids.map(u32::from));
        } else {
            let (quadruples, _) = bytes.as_chunks::<4>();
            let ids = quadruples.iter().map(|four| u32::from_le_bytes(*four));
            self.ids.extend(ids);
        }
        self.ends.push(self.ids.len() as u32);
    }

    /// Returns state number `number`, of `servers` servers.
    #[inline]
    pub fn view(&self, number: u32, servers: usize) -> View<'_> {
        View::new(&self.ids[self.range(number)], servers)
    }

    /// Returns the range of the messages of state number `number`, of `servers` servers, among all ids.
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

    /// The number of states.
    pub fn len(&self) -> u32 {
        self.ends.len() as u32
    }

    /// Bytes of memory.
    pub fn memory(&self) -> u64 {
        ((self.ids.capacity() + self.ends.capacity()) * size_of::<u32>()) as u64
    }
}
