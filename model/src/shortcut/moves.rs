//! What servers did on inputs: executed once, looked up ever after.

use super::parts::Parts;
use super::short::Tables;
use crate::bounds::Kind;
use crate::cluster::Cluster;
use crate::ids::MAX_SERVERS;
use crate::message::Message;
use rustc_hash::FxHashMap;

/// In place of a move: none has been made.
pub(super) const UNKNOWN: u32 = u32::MAX;

/// What can be said of a move wherever it is made.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Standing {
    /// The server may not be in the state it is in now: every state is beyond the bound.
    Beyond,
    /// It was beyond the bound where it was executed, so that no property was evaluated.
    Unevaluated,
    /// The properties of steps were evaluated.
    Evaluated,
}

/// What a server did on an input.
pub(super) struct Move {
    /// What the sum of the hashes of the parts grows by, but for those of history and budgets.
    pub change: u128,
    /// The server afterwards.
    pub server: u32,
    /// What coverage counts of it.
    pub class: u32,
    /// The message that it sent, if it is one, or where in [`Moves::sent`] those that it sent begin.
    sent: u32,
    sent_len: u16,
    pub standing: Standing,
    /// Whether the server leads now: then the history has something to remember.
    pub leads: bool,
    /// The last history before the move, and the one after it.
    history: [u32; 2],
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
    /// The message that was delivered.
    pub delivered: Option<u32>,
    pub sent: &'m [u32],
    pub standing: Standing,
    pub leads: bool,
    pub class: u32,
}

/// The moves that one thread knows.
pub(super) struct Moves {
    moves: Vec<Move>,
    /// Positions in `moves`, by the number of the server before and by input.
    rows: Vec<Vec<u32>>,
    /// The messages sent, move by move.
    sent: Vec<u32>,
    /// The history after a server that leads now moved, by history, server, and commit index before.
    histories: FxHashMap<(u32, u32, u32), u32>,
    /// The inputs that messages are, by the number of the message.
    inputs: Vec<u32>,
    /// The inputs that proposals are, with the slot of the server and the value.
    proposals: Vec<(usize, u32, u32)>,
    /// By slot, the first number that is no input yet. Inputs have numbers of their own at every
    /// server, because one gets a part of the messages only.
    next: [u32; MAX_SERVERS],
}

impl Moves {
    pub fn new() -> Self {
        Moves {
            moves: Vec::new(),
            rows: Vec::new(),
            sent: Vec::new(),
            histories: FxHashMap::default(),
            inputs: Vec::new(),
            proposals: Vec::new(),
            next: [Kind::ALL.len() as u32; MAX_SERVERS],
        }
    }

    /// Makes sure that every message known is an input.
    #[inline]
    pub fn learn_messages(&mut self, messages: &Parts<Message>) {
        while self.inputs.len() < messages.parts().len() {
            let to = messages.facts(self.inputs.len() as u32).to;
            let next = &mut self.next[usize::from(to)];
            self.inputs.push(*next);
            *next += 1;
        }
    }

    /// The input that an event without a message is, unless it is a proposal.
    #[inline]
    pub fn event(kind: Kind) -> u32 {
        kind as u32
    }

    /// The input that the delivery of message number `message` is.
    #[inline]
    pub fn delivery(&self, message: u32) -> u32 {
        self.inputs[message as usize]
    }

    /// The input that a proposal of this value is to the server in `slot`.
    pub fn proposal(&mut self, slot: usize, value: u32) -> u32 {
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

    /// Brings moves into the caches of the processor: the loads do not depend on each other, so it waits
    /// for many at the same time.
    pub fn touch(&self, places: &[u32]) {
        let places = places.iter().map(|place| self.moves.get(*place as usize));
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

    /// Remembers a move on `input`.
    pub fn learn(&mut self, input: u32, made: &Made<'_>, tables: &Tables) {
        let server = |number| tables.servers.facts(number).hash;
        let message = |number| tables.messages.facts(number).hash;
        let change = server(made.after).wrapping_sub(server(made.before));
        let change = change.wrapping_sub(made.delivered.map_or(0, message));
        let sent = made.sent.iter().map(|number| message(*number));
        let change = sent.fold(change, u128::wrapping_add);
        let moved = Move {
            change,
            server: made.after,
            class: made.class,
            sent: match made.sent {
                [one] => *one,
                _ => self.sent.len() as u32,
            },
            sent_len: made.sent.len() as u16,
            standing: made.standing,
            leads: made.leads,
            history: [UNKNOWN; 2],
        };
        if made.sent.len() > 1 {
            self.sent.extend_from_slice(made.sent);
        }
        let known = self.find(made.before, input);
        if known != UNKNOWN {
            // Executed again, now within the bound.
            self.moves[known as usize] = moved;
            return;
        }
        let place = self.moves.len() as u32;
        self.moves.push(moved);
        let server = made.before as usize;
        if server >= self.rows.len() {
            self.rows.resize_with(server + 1, Vec::new);
        }
        let row = &mut self.rows[server];
        if input as usize >= row.len() {
            row.resize(input as usize + 1, UNKNOWN);
        }
        row[input as usize] = place;
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
        let moved = &mut self.moves[place as usize];
        if moved.history[0] == history {
            return moved.history[1];
        }
        let committed = tables.servers.facts(before).commit;
        let after = moved.server;
        let known = self.histories.entry((history, after, committed));
        let next = *known.or_insert_with(|| {
            let mut next = tables.histories.part(history).clone();
            next.record(tables.servers.part(after), committed);
            tables.histories.number(&next, cluster)
        });
        moved.history = [history, next];
        next
    }

    /// Bytes of memory.
    pub fn memory(&self) -> usize {
        let rows = self
            .rows
            .iter()
            .map(|row| row.capacity() * 4)
            .sum::<usize>();
        rows + self.rows.capacity() * size_of::<Vec<u32>>()
            + self.moves.capacity() * size_of::<Move>()
            + (self.sent.capacity() + self.inputs.capacity()) * size_of::<u32>()
            + self.histories.capacity() * (size_of::<((u32, u32, u32), u32)>() + 1)
    }
}
