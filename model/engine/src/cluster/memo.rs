//! The transition memo: what servers did on inputs, executed once and looked up ever after.
//!
//! Every thread has tables of its own, for it looks things up all the time. What is new in them goes into
//! a log that all share ([`Log`]), and a thread that does not know a step reads on in the log first.

use super::collapsed::Tables;
use super::interner::Interner;
use super::keys::MAX_SERVERS;
use super::log::{Context, Effect, Entry, Input, Log, Published};
use super::machines::{Happened, Machines};
use rustc_hash::FxHashMap;
use std::sync::Arc;

/// In place of a step: none has been executed.
pub(super) const UNKNOWN: u32 = u32::MAX;

/// A step apart from where it is taken.
pub(super) struct Step<'m> {
    /// The server before and after.
    pub before: u32,
    pub after: u32,
    pub input: Input,
    pub sent: &'m [u32],
    pub context: Context,
    pub recorded: bool,
    pub class: u32,
}

impl Step<'_> {
    /// Returns the step's effect, if `sent` messages were sent in all steps before.
    fn effect<M: Machines>(&self, sent: usize, tables: &Tables<M>) -> Effect {
        let server = |number| tables.servers.hash(number);
        let message = |number| tables.messages.hash(number);
        let change = server(self.after).wrapping_sub(server(self.before));
        let change = match self.input {
            Input::Delivery(delivered) => change.wrapping_sub(message(delivered)),
            Input::Local(_) | Input::Parametric(..) => change,
        };
        let hashes = self.sent.iter().map(|number| message(*number));
        Effect {
            change: hashes.fold(change, u128::wrapping_add),
            server: self.after,
            class: self.class,
            sent: match self.sent {
                [one] => *one,
                _ => sent as u32,
            },
            sent_len: self.sent.len() as u16,
            context: self.context,
            recorded: self.recorded,
        }
    }
}

/// The steps that one thread knows.
pub(super) struct Memo {
    log: Arc<Log>,
    generation: u32,
    /// As in the log.
    effects: Vec<Effect>,
    /// Positions in `effects`, by the number of the server before and by input.
    rows: Vec<Vec<u32>>,
    /// The messages sent, step by step.
    sent: Vec<u32>,
    /// For each step, the last history before it, and the one after it.
    recent: Vec<[u32; 2]>,
    /// For each step, the input.
    given: Vec<Input>,
    /// The history after a step that is recorded, by history, server, and note of the server before; in a model that
    /// records steps, by history and place of the step.
    histories: FxHashMap<(u32, u32, u32), u32>,
    /// The numbers of the inputs that messages are, by the number of the message. They mean nothing to
    /// other threads.
    inputs: Vec<u32>,
    /// The inputs with a parameter: the slot of the server, the kind and the parameter, and the number.
    parametric: Vec<((usize, usize, u32), u32)>,
    /// By slot, the first number that is no input yet. Inputs have numbers of their own at every
    /// server, because one gets a part of the messages only.
    next: [u32; MAX_SERVERS],
    local_kinds: usize,
    records_steps: bool,
}

impl Memo {
    /// For this many kinds of local input, which have the first numbers of inputs, and a history that may need
    /// [steps](super::Shape::records_steps).
    pub fn new(log: Arc<Log>, local_kinds: usize, records_steps: bool) -> Self {
        Memo {
            generation: log.generation(),
            log,
            effects: Vec::new(),
            rows: Vec::new(),
            sent: Vec::new(),
            recent: Vec::new(),
            given: Vec::new(),
            histories: FxHashMap::default(),
            inputs: Vec::new(),
            parametric: Vec::new(),
            local_kinds,
            records_steps,
            next: [local_kinds as u32; MAX_SERVERS],
        }
    }

    /// The same steps for another thread, which reads the log when it needs one.
    pub fn fork(&self) -> Self {
        Memo::new(self.log.clone(), self.local_kinds, self.records_steps)
    }

    pub fn log(&self) -> &Log {
        &self.log
    }

    /// Prepares for a block: learns the steps that all threads found so far, or forgets them if all threads were told
    /// to.
    pub fn begin_block<M: Machines>(&mut self, tables: &mut Tables<M>, model: &M) {
        if self.generation != self.log.generation() {
            *self = self.fork();
        }
        self.log.note_memory(self.memory());
        tables.catch_up(model);
        self.learn_messages(&tables.messages);
        self.catch_up(tables, model);
    }

    /// Makes sure that every step that another thread published is known in this one, and every component.
    pub fn catch_up<M: Machines>(&mut self, tables: &mut Tables<M>, model: &M) {
        if self.log.len() != self.effects.len() {
            let log = self.log.clone();
            self.take(&log.published(), tables, model);
        }
    }

    #[cold]
    fn take<M: Machines>(&mut self, published: &Published, tables: &mut Tables<M>, model: &M) {
        // Every component had its id before the step was published.
        tables.catch_up(model);
        self.learn_messages(&tables.messages);
        self.sent
            .extend_from_slice(&published.sent[self.sent.len()..]);
        for entry in &published.entries[self.effects.len()..] {
            self.enter(entry, entry.for_all, tables);
        }
    }

    /// Takes over the next step of the log, to be found again if `findable`.
    fn enter<M: Machines>(&mut self, entry: &Entry, findable: bool, tables: &Tables<M>) {
        let place = self.effects.len() as u32;
        self.effects.push(entry.effect);
        self.recent.push([UNKNOWN; 2]);
        self.given.push(entry.input);
        if !findable {
            return;
        }
        let server = entry.before as usize;
        let slot = usize::from(tables.servers.facts(entry.before).slot);
        let input = self.input(slot, entry.input) as usize;
        if server >= self.rows.len() {
            self.rows.resize_with(server + 1, Vec::new);
        }
        let row = &mut self.rows[server];
        if input >= row.len() {
            row.resize(input + 1, UNKNOWN);
        }
        match row[input] {
            UNKNOWN => row[input] = place,
            // Executed again, now within the bound: the old place is in use, and as good as the new one.
            known if self.effects[known as usize].context == Context::Unevaluated => {
                self.effects[known as usize] = entry.effect;
            }
            _ => {}
        }
    }

    /// Makes sure that every message known is an input.
    #[inline]
    fn learn_messages<M: Machines>(&mut self, messages: &Interner<M, M::Message>) {
        while self.inputs.len() < messages.components().len() {
            let to = messages.facts(self.inputs.len() as u32).to;
            let next = &mut self.next[usize::from(to)];
            self.inputs.push(*next);
            *next += 1;
        }
    }

    /// The number of `input` to the server in `slot`.
    #[inline]
    pub fn input(&mut self, slot: usize, input: Input) -> u32 {
        match input {
            Input::Local(kind) => kind as u32,
            Input::Parametric(kind, parameter) => self.parametric(slot, kind, parameter),
            Input::Delivery(message) => self.delivery(message),
        }
    }

    /// The input that the delivery of message number `message` is.
    #[inline]
    pub fn delivery(&self, message: u32) -> u32 {
        self.inputs[message as usize]
    }

    /// The input of this kind with this parameter to the server in `slot`.
    fn parametric(&mut self, slot: usize, kind: usize, parameter: u32) -> u32 {
        let mut known = self.parametric.iter();
        let what = (slot, kind, parameter);
        if let Some((_, input)) = known.find(|(known, _)| *known == what) {
            return *input;
        }
        let input = self.next[slot];
        self.next[slot] += 1;
        self.parametric.push((what, input));
        input
    }

    /// Returns the place of the step of server number `server` on `input`, or [`UNKNOWN`].
    #[inline]
    pub fn find(&self, server: u32, input: u32) -> u32 {
        let row = self.rows.get(server as usize);
        let place = row.and_then(|row| row.get(input as usize));
        place.copied().unwrap_or(UNKNOWN)
    }

    /// [`find`](Self::find)s what was not found so far, unless nothing was published since.
    #[cold]
    pub fn find_again<M: Machines>(
        &mut self,
        (server, input): (u32, u32),
        tables: &mut Tables<M>,
        model: &M,
    ) -> u32 {
        self.catch_up(tables, model);
        self.find(server, input)
    }

    /// Brings steps into the caches of the processor: the loads do not depend on each other, so it waits
    /// for many at the same time.
    pub fn touch(&self, places: impl Iterator<Item = u32>) {
        let places = places.map(|place| self.effects.get(place as usize));
        let classes = places.map(|effect| effect.map_or(0, |effect| effect.class));
        std::hint::black_box(classes.fold(0, std::ops::BitXor::bitxor));
    }

    #[inline]
    pub fn get(&self, place: u32) -> &Effect {
        &self.effects[place as usize]
    }

    /// The messages sent in a step, in order.
    #[inline]
    pub fn sent<'m>(&'m self, effect: &'m Effect) -> &'m [u32] {
        match effect.sent_len {
            1 => std::slice::from_ref(&effect.sent),
            len => &self.sent[effect.sent as usize..effect.sent as usize + usize::from(len)],
        }
    }

    /// Remembers a step, and publishes it to other threads if it is `for_all`. (They know its place in
    /// any case: a successor key that this thread found may be followed by them.)
    pub fn learn<M: Machines>(
        &mut self,
        step: &Step<'_>,
        for_all: bool,
        tables: &mut Tables<M>,
        model: &M,
    ) {
        let log = self.log.clone();
        let mut published = log.published();
        if published.entries.len() > self.effects.len() {
            self.take(&published, tables, model);
        }
        // It may have been published while it was executed here.
        let slot = usize::from(tables.servers.facts(step.before).slot);
        let input = self.input(slot, step.input);
        let known = self.find(step.before, input);
        let known = self.effects.get(known as usize);
        if known.is_some_and(|known| known.context != Context::Unevaluated) {
            return;
        }
        let entry = Entry {
            effect: step.effect(published.sent.len(), tables),
            before: step.before,
            input: step.input,
            for_all,
        };
        let sent = match step.sent {
            [_] => &[],
            many => many,
        };
        self.sent.extend_from_slice(sent);
        self.enter(&entry, true, tables);
        published.sent.extend_from_slice(sent);
        published.entries.push(entry);
        log.note_len(&published);
    }

    /// The number of the history after a step that is recorded, from server number `before`.
    #[inline]
    pub fn history_after<M: Machines>(
        &mut self,
        place: u32,
        before: u32,
        history: u32,
        tables: &mut Tables<M>,
        model: &M,
    ) -> u32 {
        let recent = &mut self.recent[place as usize];
        if recent[0] == history {
            return recent[1];
        }
        let note = tables.servers.facts(before).note;
        let after = self.effects[place as usize].server;
        let given = self.given[place as usize];
        let next = if self.records_steps {
            let known = self.histories.entry((history, place, UNKNOWN));
            *known.or_insert_with(|| {
                let happened = match given {
                    Input::Local(number) => Happened::Local(number, None),
                    Input::Parametric(number, value) => Happened::Local(number, Some(value)),
                    Input::Delivery(message) => {
                        Happened::Delivered(tables.messages.component(message))
                    }
                };
                let servers = &tables.servers;
                let step = (servers.component(before), servers.component(after));
                let next = model.record_step(tables.histories.component(history), step, happened);
                tables.histories.id(&next, model)
            })
        } else {
            let known = self.histories.entry((history, after, note));
            *known.or_insert_with(|| {
                let before = tables.histories.component(history);
                let next = model.record(before, tables.servers.component(after), note);
                tables.histories.id(&next, model)
            })
        };
        *recent = [history, next];
        next
    }

    /// Bytes of memory in this thread.
    pub fn memory(&self) -> usize {
        let rows = self
            .rows
            .iter()
            .map(|row| row.capacity() * 4)
            .sum::<usize>();
        rows + self.rows.capacity() * size_of::<Vec<u32>>()
            + self.effects.capacity() * size_of::<Effect>()
            + self.recent.capacity() * size_of::<[u32; 2]>()
            + self.given.capacity() * size_of::<Input>()
            + (self.sent.capacity() + self.inputs.capacity()) * size_of::<u32>()
            + self.histories.capacity() * (size_of::<((u32, u32, u32), u32)>() + 1)
    }
}

const _: () = assert!(
    size_of::<Effect>() == 32,
    "two steps to a line of the caches"
);
