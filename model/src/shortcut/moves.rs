//! What servers did on inputs: executed once, looked up ever after.
//!
//! Every thread has tables of its own, for it looks things up all the time. What is new in them goes into
//! a log that all share ([`Log`]), and a thread that does not know a move reads on in the log first.

use super::log::{Entry, Input, Log, Told};
use super::parts::Parts;
use super::short::Tables;
use crate::bounds::Kind;
use crate::cluster::Cluster;
use crate::ids::MAX_SERVERS;
use crate::message::Message;
use rustc_hash::FxHashMap;
use std::sync::Arc;

/// In place of a move: none has been made.
pub(super) const UNKNOWN: u32 = u32::MAX;

/// What can be said of a move wherever it is made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Standing {
    /// The server may not be in the state it is in now: every state is beyond the bound.
    Beyond,
    /// It was beyond the bound where it was executed, so that no property was evaluated.
    Unevaluated,
    /// The properties of steps were evaluated.
    Evaluated,
}

/// What a server did on an input.
#[derive(Clone, Copy)]
pub(super) struct Move {
    /// What the sum of the hashes of the parts grows by, but for those of history and budgets.
    pub change: u128,
    /// The server afterwards.
    pub server: u32,
    /// What coverage counts of it.
    pub class: u32,
    /// The message that it sent, if it is one, or where those that it sent begin among all sent.
    sent: u32,
    sent_len: u16,
    pub standing: Standing,
    /// Whether the server leads now: then the history has something to remember.
    pub leads: bool,
}

impl Move {
    /// How many messages the server sent.
    pub fn sent_len(&self) -> usize {
        usize::from(self.sent_len)
    }
}

/// What a move is, without what it takes from where it is made.
pub(super) struct Made<'m> {
    /// The server before and after.
    pub before: u32,
    pub after: u32,
    pub input: Input,
    pub sent: &'m [u32],
    pub standing: Standing,
    pub leads: bool,
    pub class: u32,
}

impl Made<'_> {
    /// The move, if so many messages were sent in all moves before.
    fn moved(&self, sent: usize, tables: &Tables) -> Move {
        let server = |number| tables.servers.hash(number);
        let message = |number| tables.messages.hash(number);
        let change = server(self.after).wrapping_sub(server(self.before));
        let change = match self.input {
            Input::Delivery(delivered) => change.wrapping_sub(message(delivered)),
            Input::Event(_) | Input::Proposal(_) => change,
        };
        let hashes = self.sent.iter().map(|number| message(*number));
        Move {
            change: hashes.fold(change, u128::wrapping_add),
            server: self.after,
            class: self.class,
            sent: match self.sent {
                [one] => *one,
                _ => sent as u32,
            },
            sent_len: self.sent.len() as u16,
            standing: self.standing,
            leads: self.leads,
        }
    }
}

/// The moves that one thread knows.
pub(super) struct Moves {
    log: Arc<Log>,
    generation: u32,
    /// As in the log.
    moves: Vec<Move>,
    /// Positions in `moves`, by the number of the server before and by input.
    rows: Vec<Vec<u32>>,
    /// The messages sent, move by move.
    sent: Vec<u32>,
    /// For each move, the last history before it, and the one after it.
    recent: Vec<[u32; 2]>,
    /// The history after a server that leads now moved, by history, server, and commit index before.
    histories: FxHashMap<(u32, u32, u32), u32>,
    /// The numbers of the inputs that messages are, by the number of the message. They mean nothing to
    /// other threads.
    inputs: Vec<u32>,
    /// The inputs that proposals are, with the slot of the server and the value.
    proposals: Vec<(usize, u32, u32)>,
    /// By slot, the first number that is no input yet. Inputs have numbers of their own at every
    /// server, because one gets a part of the messages only.
    next: [u32; MAX_SERVERS],
}

impl Moves {
    pub fn new(log: Arc<Log>) -> Self {
        Moves {
            generation: log.generation(),
            log,
            moves: Vec::new(),
            rows: Vec::new(),
            sent: Vec::new(),
            recent: Vec::new(),
            histories: FxHashMap::default(),
            inputs: Vec::new(),
            proposals: Vec::new(),
            next: [Kind::ALL.len() as u32; MAX_SERVERS],
        }
    }

    /// The same moves for another thread, which reads the log when it needs one.
    pub fn fork(&self) -> Self {
        Moves::new(self.log.clone())
    }

    pub fn log(&self) -> &Log {
        &self.log
    }

    /// What there is to do before a block: knows what all threads found out so far, or forgets it if it
    /// was forgotten by all.
    pub fn begin_block(&mut self, tables: &mut Tables, cluster: &Cluster) {
        if self.generation != self.log.generation() {
            *self = self.fork();
        }
        self.log.note_memory(self.memory());
        tables.catch_up(cluster);
        self.learn_messages(&tables.messages);
        self.catch_up(tables, cluster);
    }

    /// Makes sure that every move that another thread told is known in this one, and every part.
    pub fn catch_up(&mut self, tables: &mut Tables, cluster: &Cluster) {
        if self.log.len() != self.moves.len() {
            let log = self.log.clone();
            self.take(&log.told(), tables, cluster);
        }
    }

    #[cold]
    fn take(&mut self, told: &Told, tables: &mut Tables, cluster: &Cluster) {
        // Every part had its number before the move was told.
        tables.catch_up(cluster);
        self.learn_messages(&tables.messages);
        self.sent.extend_from_slice(&told.sent[self.sent.len()..]);
        for entry in &told.entries[self.moves.len()..] {
            self.enter(entry, entry.for_all, tables);
        }
    }

    /// Takes over the next move of the log, to be found again if `findable`.
    fn enter(&mut self, entry: &Entry, findable: bool, tables: &Tables) {
        let place = self.moves.len() as u32;
        self.moves.push(entry.moved);
        self.recent.push([UNKNOWN; 2]);
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
            known if self.moves[known as usize].standing == Standing::Unevaluated => {
                self.moves[known as usize] = entry.moved;
            }
            _ => {}
        }
    }

    /// Makes sure that every message known is an input.
    #[inline]
    fn learn_messages(&mut self, messages: &Parts<Message>) {
        while self.inputs.len() < messages.parts().len() {
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
            Input::Event(kind) => kind as u32,
            Input::Delivery(message) => self.delivery(message),
            Input::Proposal(value) => self.proposal(slot, value),
        }
    }

    /// The input that the delivery of message number `message` is.
    #[inline]
    pub fn delivery(&self, message: u32) -> u32 {
        self.inputs[message as usize]
    }

    /// The input that a proposal of this value is to the server in `slot`.
    fn proposal(&mut self, slot: usize, value: u32) -> u32 {
        let mut known = self.proposals.iter();
        if let Some((.., input)) = known.find(|known| (known.0, known.1) == (slot, value)) {
            return *input;
        }
        let input = self.next[slot];
        self.next[slot] += 1;
        self.proposals.push((slot, value, input));
        input
    }

    /// Where the move of server number `server` on `input` is, or [`UNKNOWN`].
    #[inline]
    pub fn find(&self, server: u32, input: u32) -> u32 {
        let row = self.rows.get(server as usize);
        let place = row.and_then(|row| row.get(input as usize));
        place.copied().unwrap_or(UNKNOWN)
    }

    /// [`find`](Self::find)s what was not found so far, unless nothing was told since.
    #[cold]
    pub fn find_again(
        &mut self,
        (server, input): (u32, u32),
        tables: &mut Tables,
        cluster: &Cluster,
    ) -> u32 {
        self.catch_up(tables, cluster);
        self.find(server, input)
    }

    /// Brings moves into the caches of the processor: the loads do not depend on each other, so it waits
    /// for many at the same time.
    pub fn touch(&self, places: impl Iterator<Item = u32>) {
        let places = places.map(|place| self.moves.get(place as usize));
        let classes = places.map(|moved| moved.map_or(0, |moved| moved.class));
        std::hint::black_box(classes.fold(0, std::ops::BitXor::bitxor));
    }

    #[inline]
    pub fn get(&self, place: u32) -> &Move {
        &self.moves[place as usize]
    }

    /// The messages sent in a move, in order.
    #[inline]
    pub fn sent<'m>(&'m self, moved: &'m Move) -> &'m [u32] {
        match moved.sent_len {
            1 => std::slice::from_ref(&moved.sent),
            len => &self.sent[moved.sent as usize..moved.sent as usize + usize::from(len)],
        }
    }

    /// Remembers a move, and tells it to other threads if it is `for_all`. (They are told where it is in
    /// any case: a route that this thread found may be followed by them.)
    pub fn learn(
        &mut self,
        made: &Made<'_>,
        for_all: bool,
        tables: &mut Tables,
        cluster: &Cluster,
    ) {
        let log = self.log.clone();
        let mut told = log.told();
        if told.entries.len() > self.moves.len() {
            self.take(&told, tables, cluster);
        }
        // It may have been told while it was executed here.
        let slot = usize::from(tables.servers.facts(made.before).slot);
        let input = self.input(slot, made.input);
        let known = self.find(made.before, input);
        let known = self.moves.get(known as usize);
        if known.is_some_and(|known| known.standing != Standing::Unevaluated) {
            return;
        }
        let entry = Entry {
            moved: made.moved(told.sent.len(), tables),
            before: made.before,
            input: made.input,
            for_all,
        };
        let sent = match made.sent {
            [_] => &[],
            many => many,
        };
        self.sent.extend_from_slice(sent);
        self.enter(&entry, true, tables);
        told.sent.extend_from_slice(sent);
        told.entries.push(entry);
        log.note_len(&told);
    }

    /// The number of the history after a move to where the server leads, from server number `before`.
    #[inline]
    pub fn history_after(
        &mut self,
        place: u32,
        before: u32,
        history: u32,
        tables: &mut Tables,
        cluster: &Cluster,
    ) -> u32 {
        let recent = &mut self.recent[place as usize];
        if recent[0] == history {
            return recent[1];
        }
        let committed = tables.servers.facts(before).commit;
        let after = self.moves[place as usize].server;
        let known = self.histories.entry((history, after, committed));
        let next = *known.or_insert_with(|| {
            let mut next = tables.histories.part(history).clone();
            next.record(tables.servers.part(after), committed);
            tables.histories.number(&next, cluster)
        });
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
            + self.moves.capacity() * size_of::<Move>()
            + self.recent.capacity() * size_of::<[u32; 2]>()
            + (self.sent.capacity() + self.inputs.capacity()) * size_of::<u32>()
            + self.histories.capacity() * (size_of::<((u32, u32, u32), u32)>() + 1)
    }
}

const _: () = assert!(size_of::<Move>() == 32, "two moves to a line of the caches");

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cluster::ClusterState;
    use crate::{Preset, Settings};
    use stateright::Model;

    /// What threads have, and parts to make moves of.
    struct Thread<'c> {
        tables: Tables,
        moves: Moves,
        cluster: &'c Cluster,
    }

    impl Thread<'_> {
        fn fork(&self) -> Self {
            Thread {
                tables: self.tables.fork(),
                moves: self.moves.fork(),
                ..*self
            }
        }

        fn learn(&mut self, made: &Made<'_>, for_all: bool) {
            self.moves
                .learn(made, for_all, &mut self.tables, self.cluster);
        }

        fn find(&mut self, (before, input): (u32, Input)) -> u32 {
            let input = self.moves.input(0, input);
            self.moves
                .find_again((before, input), &mut self.tables, self.cluster)
        }

        fn standing(&mut self, what: (u32, Input)) -> Option<Standing> {
            let place = self.find(what);
            (place != UNKNOWN).then(|| self.moves.get(place).standing)
        }
    }

    fn cluster() -> Cluster {
        let preset = Preset::named("smoke").expect("there is such a preset");
        let settings = Settings::new(&preset.config).expect("presets are sensible");
        Cluster::new(settings, preset.bounds)
    }

    /// A thread, a server, and two messages to it.
    fn thread(cluster: &Cluster) -> (Thread<'_>, u32, [u32; 2]) {
        let mut tables = Tables::new();
        let mut state: ClusterState = cluster.init_states().remove(0);
        let server = tables.servers.number(&state.servers[0], cluster);
        let mut messages = Vec::new();
        while messages.len() < 2 {
            let mut actions = Vec::new();
            cluster.actions(&state, &mut actions);
            state = actions
                .into_iter()
                .find_map(|action| cluster.next_state(&state, action))
                .expect("something happens in every state");
            for message in state.network.iter() {
                let number = tables.messages.number(message, cluster);
                if !messages.contains(&number) {
                    messages.push(number);
                }
            }
        }
        let moves = Moves::new(Arc::default());
        let thread = Thread {
            tables,
            moves,
            cluster,
        };
        (thread, server, [messages[0], messages[1]])
    }

    fn made(server: u32, input: Input, sent: &[u32]) -> Made<'_> {
        Made {
            before: server,
            after: server,
            input,
            sent,
            standing: Standing::Evaluated,
            leads: false,
            class: 0,
        }
    }

    #[test]
    fn what_one_thread_tells_the_other_finds() {
        let cluster = cluster();
        let (mut one, server, messages) = thread(&cluster);
        let mut other = one.fork();
        let inputs = [
            Input::Event(Kind::Timeout),
            Input::Proposal(1),
            Input::Proposal(2),
            Input::Event(Kind::Restart),
        ];
        let sent = [&[][..], &messages[..1], &messages[..], &messages[1..]];
        // They meet proposals in another order: inputs have other numbers.
        other.moves.input(0, Input::Proposal(2));
        for (input, sent) in inputs.into_iter().zip(sent) {
            assert_eq!(other.find((server, input)), UNKNOWN);
            one.learn(&made(server, input, sent), true);
            let place = other.find((server, input));
            assert_ne!(place, UNKNOWN);
            assert_eq!(place, one.find((server, input)));
            for thread in [&one, &other] {
                assert_eq!(thread.moves.sent(thread.moves.get(place)), sent);
            }
            // It is known: nothing new.
            other.learn(&made(server, input, sent), true);
            assert_eq!(other.find((server, input)), place);
        }
        assert_eq!(one.moves.log().told().entries.len(), 4);
        assert_eq!(one.moves.log().told().sent, messages);
        assert_ne!(
            one.moves.input(0, Input::Proposal(2)),
            other.moves.input(0, Input::Proposal(2))
        );
    }

    /// What a thread must find out itself has a place all the same, which routes can name.
    #[test]
    fn what_is_not_for_all_is_not_found() {
        let cluster = cluster();
        let (mut one, server, messages) = thread(&cluster);
        let mut other = one.fork();
        let what = (server, Input::Event(Kind::Timeout));
        one.learn(&made(server, what.1, &messages), false);
        let place = one.find(what);
        assert_eq!(other.find(what), UNKNOWN);
        assert_eq!(other.moves.sent(other.moves.get(place)), messages);
        let mut third = other.fork();
        other.learn(&made(server, what.1, &messages), true);
        assert_eq!(one.find(what), place);
        let own = other.find(what);
        assert!(own != place && own != UNKNOWN);
        assert_eq!(third.find(what), own);
    }

    /// A move beyond the bound is executed again within it.
    #[test]
    fn what_was_evaluated_replaces_what_was_not() {
        let cluster = cluster();
        let (mut one, server, _) = thread(&cluster);
        let [mut other, mut third] = [one.fork(), one.fork()];
        let what = (server, Input::Event(Kind::Timeout));
        let beyond = Made {
            standing: Standing::Unevaluated,
            ..made(server, what.1, &[])
        };
        one.learn(&beyond, true);
        let place = other.find(what);
        assert_eq!(other.standing(what), Some(Standing::Unevaluated));
        third.learn(&made(server, what.1, &[]), true);
        for thread in [&mut one, &mut other, &mut third] {
            let Thread { moves, tables, .. } = thread;
            moves.catch_up(tables, &cluster);
            assert_eq!(thread.standing(what), Some(Standing::Evaluated));
            // Routes that name the old place lead there still.
            assert_eq!(thread.moves.get(place).standing, Standing::Evaluated);
        }
        one.learn(&beyond, true);
        assert_eq!(other.standing(what), Some(Standing::Evaluated));
        assert_eq!(one.moves.log().told().entries.len(), 2);
    }

    /// A thread that was told later than it evaluated for itself does not fall back.
    #[test]
    fn what_was_evaluated_stays_so() {
        let cluster = cluster();
        let (mut one, server, _) = thread(&cluster);
        let mut other = one.fork();
        let what = (server, Input::Event(Kind::Timeout));
        one.learn(&made(server, what.1, &[]), false);
        let beyond = Made {
            standing: Standing::Unevaluated,
            ..made(server, what.1, &[])
        };
        other.learn(&beyond, true);
        one.moves.begin_block(&mut one.tables, &cluster);
        assert_eq!(one.standing(what), Some(Standing::Evaluated));
        assert_eq!(other.standing(what), Some(Standing::Unevaluated));
    }

    #[test]
    fn all_forget_together() {
        let cluster = cluster();
        let (mut one, server, _) = thread(&cluster);
        let mut other = one.fork();
        let what = (server, Input::Event(Kind::Timeout));
        one.learn(&made(server, what.1, &[]), true);
        other.moves.begin_block(&mut other.tables, &cluster);
        one.moves.log().limit();
        assert_ne!(one.find(what), UNKNOWN);
        one.moves.log().forget();
        for thread in [&mut other, &mut one] {
            thread.moves.begin_block(&mut thread.tables, thread.cluster);
            assert_eq!(thread.find(what), UNKNOWN);
        }
        other.learn(&made(server, what.1, &[]), true);
        assert_eq!((one.find(what), other.find(what)), (0, 0));
    }
}
