//! The parts that states are made of, each under a number: servers, messages, histories, and what was
//! spent. There are thousands of parts where there are millions of states.

use crate::bounds::{Kind, KindSet, Spent};
use crate::cluster::{Cluster, LocalEvents, highest_value};
use crate::codec;
use crate::history::History;
use crate::ids::Id;
use crate::message::Message;
use crate::properties::gauge;
use crate::server::Server;
use rustc_hash::FxHashMap;
use std::cmp::Ordering;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use xxhash_rust::xxh3::xxh3_128_with_seed;

/// A part of a state.
pub(super) trait Part: Sized {
    /// What is asked of it over and over, in a few bytes: the parts themselves do not fit into the caches
    /// of a processor.
    type Facts;

    /// Tells the kinds of part apart in hashes.
    const KIND: u64;

    /// Appends the encoding of the part: equal parts, and only those, have equal ones.
    fn encode(&self, out: &mut Vec<u8>);

    /// The part that [`encode`](Self::encode) turned into `bytes`.
    fn decode(bytes: &[u8], cluster: &Cluster) -> Self;

    /// The facts of this part.
    fn facts(&self, cluster: &Cluster) -> Self::Facts;
}

/// The numbers given so far, the same in all threads.
#[derive(Default)]
struct Numbers {
    by_encoding: FxHashMap<Arc<[u8]>, u32>,
    encodings: Vec<Arc<[u8]>>,
    bytes: u64,
}

impl Numbers {
    fn number(&mut self, encoding: &[u8]) -> u32 {
        if let Some(number) = self.by_encoding.get(encoding) {
            return *number;
        }
        let number = u32::try_from(self.encodings.len()).expect("fewer than 2^32 parts");
        let encoding: Arc<[u8]> = encoding.into();
        // The bytes, two counts, two pointers with lengths, the number, and some room in both tables.
        self.bytes += encoding.len() as u64 + 80;
        self.encodings.push(encoding.clone());
        self.by_encoding.insert(encoding, number);
        number
    }
}

/// All parts of one kind, as one thread knows them.
pub(super) struct Parts<P: Part> {
    numbers: Arc<Mutex<Numbers>>,
    /// By number. Others may have given further numbers already.
    hashes: Vec<u128>,
    facts: Vec<P::Facts>,
    parts: Vec<P>,
    buffer: Vec<u8>,
}

impl<P: Part> Parts<P> {
    pub fn new() -> Self {
        Parts::with_numbers(Arc::default())
    }

    /// The same numbers for another thread.
    pub fn fork(&self) -> Self {
        Parts::with_numbers(self.numbers.clone())
    }

    fn with_numbers(numbers: Arc<Mutex<Numbers>>) -> Self {
        Parts {
            numbers,
            hashes: Vec::new(),
            facts: Vec::new(),
            parts: Vec::new(),
            buffer: Vec::new(),
        }
    }

    fn numbers(&self) -> MutexGuard<'_, Numbers> {
        // Nothing is left half done when a thread panics.
        self.numbers.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The number of `part`.
    pub fn number(&mut self, part: &P, cluster: &Cluster) -> u32 {
        self.buffer.clear();
        part.encode(&mut self.buffer);
        let number = self.numbers().number(&self.buffer);
        if !self.knows(number) {
            self.catch_up(cluster);
        }
        number
    }

    /// Whether part number `number` is known in this thread.
    pub fn knows(&self, number: u32) -> bool {
        (number as usize) < self.facts.len()
    }

    /// Makes sure that every part that another thread found is known in this one.
    pub fn catch_up(&mut self, cluster: &Cluster) {
        let new: Vec<Arc<[u8]>> = self.numbers().encodings[self.facts.len()..].to_vec();
        for bytes in new {
            let part = P::decode(&bytes, cluster);
            self.hashes.push(xxh3_128_with_seed(&bytes, P::KIND));
            self.facts.push(part.facts(cluster));
            self.parts.push(part);
        }
    }

    /// Part number `number`.
    pub fn part(&self, number: u32) -> &P {
        &self.parts[number as usize]
    }

    /// All parts known here, by number.
    pub fn parts(&self) -> &[P] {
        &self.parts
    }

    /// The hash of the encoding of part number `number`.
    #[inline]
    pub fn hash(&self, number: u32) -> u128 {
        self.hashes[number as usize]
    }

    /// The facts of part number `number`.
    #[inline]
    pub fn facts(&self, number: u32) -> &P::Facts {
        &self.facts[number as usize]
    }

    /// To note down a fact of part number `number`.
    pub fn facts_mut(&mut self, number: u32) -> &mut P::Facts {
        &mut self.facts[number as usize]
    }

    /// Appends the encodings from number `from` on, each with its length; the numbers there are.
    pub fn save(&self, from: u32, out: &mut Vec<u8>) -> u32 {
        let numbers = self.numbers();
        for encoding in &numbers.encodings[from as usize..] {
            codec::put_number(encoding.len() as u32, out);
            out.extend_from_slice(encoding);
        }
        numbers.encodings.len() as u32
    }

    /// Gives the next number to `encoding`.
    pub fn load(&mut self, encoding: &[u8]) {
        self.numbers().number(encoding);
    }

    /// Bytes of memory in this thread.
    pub fn memory(&self) -> u64 {
        let facts = self.facts.capacity() * size_of::<P::Facts>();
        let hashes = self.hashes.capacity() * size_of::<u128>();
        (hashes + facts + self.parts.capacity() * size_of::<P>()) as u64
    }

    /// Bytes of memory that all threads share.
    pub fn shared_memory(&self) -> u64 {
        self.numbers().bytes
    }
}

/// The hash of a part.
pub(super) fn hash<P: Part>(part: &P) -> u128 {
    let mut bytes = Vec::new();
    part.encode(&mut bytes);
    xxh3_128_with_seed(&bytes, P::KIND)
}

/// Facts of a server.
pub(super) struct ServerFacts {
    pub highest_value: u64,
    pub term: u32,
    pub commit: u32,
    pub slot: u8,
    pub events: LocalEvents,
}

impl Part for Server {
    type Facts = ServerFacts;
    const KIND: u64 = 1;

    fn encode(&self, out: &mut Vec<u8>) {
        out.push(self.id.get());
        codec::put_server(self, out);
    }

    fn decode(bytes: &[u8], cluster: &Cluster) -> Self {
        let id = Id::new(bytes[0]).expect("a server has a name");
        codec::take_server(&bytes[1..], id, cluster.settings().servers())
    }

    fn facts(&self, _: &Cluster) -> ServerFacts {
        ServerFacts {
            highest_value: highest_value(self),
            term: self.term,
            commit: self.commit,
            slot: self.id.slot() as u8,
            events: LocalEvents::that_matter(self),
        }
    }
}

/// Facts of a message in flight.
pub(super) struct MessageFacts {
    /// Where it stands among messages, as far as 64 bits tell: of two, the one with the lower rank comes
    /// first, and equal ranks tell nothing.
    pub rank: u64,
    /// The term that a server must have reached by now, and the slot of that server.
    pub least_term: u32,
    pub gauge: u8,
    /// The slot of the recipient.
    pub to: u8,
}

impl Part for Message {
    type Facts = MessageFacts;
    const KIND: u64 = 2;

    fn encode(&self, out: &mut Vec<u8>) {
        codec::put_message(self, out);
    }

    fn decode(bytes: &[u8], _: &Cluster) -> Self {
        codec::take_message(bytes)
    }

    fn facts(&self, _: &Cluster) -> MessageFacts {
        let (gauge, more) = gauge(self);
        let names = u64::from(self.from.get()) << 40 | u64::from(self.to.get()) << 32;
        MessageFacts {
            // What messages are ordered by first: sender, recipient, term.
            rank: names | u64::from(self.term),
            least_term: self.term.saturating_sub(more),
            gauge: gauge.slot() as u8,
            to: self.to.slot() as u8,
        }
    }
}

impl Parts<Message> {
    /// Whether message number `one` comes before message number `other`.
    pub fn in_order(&self, one: u32, other: u32) -> bool {
        match self.facts(one).rank.cmp(&self.facts(other).rank) {
            Ordering::Equal => self.part(one) < self.part(other),
            order => order == Ordering::Less,
        }
    }
}

impl Part for History {
    type Facts = ();
    const KIND: u64 = 3;

    fn encode(&self, out: &mut Vec<u8>) {
        codec::put_history(self, out);
    }

    fn decode(bytes: &[u8], _: &Cluster) -> Self {
        codec::take_history(bytes)
    }

    fn facts(&self, _: &Cluster) {}
}

/// Facts of what was spent.
pub(super) struct SpentFacts {
    pub allowed: KindSet,
    /// The number after one more of each kind that is allowed, and what that changes in the sum of the
    /// hashes, once it was asked for.
    pub after: Option<Box<[(u32, u128); Kind::ALL.len()]>>,
}

impl Part for Spent {
    type Facts = SpentFacts;
    const KIND: u64 = 4;

    fn encode(&self, out: &mut Vec<u8>) {
        codec::put_spent(self, out);
    }

    fn decode(bytes: &[u8], _: &Cluster) -> Self {
        codec::take_spent(bytes)
    }

    fn facts(&self, cluster: &Cluster) -> SpentFacts {
        SpentFacts {
            allowed: cluster.bounds().allowed(self),
            after: None,
        }
    }
}
