//! The components that states are made of, each under an id that is the same in all threads: servers,
//! messages, histories, and what was spent.

use super::machines::{Component, Machines, MessageFacts, put_number};
use rustc_hash::FxHashMap;
use std::cmp::Ordering;
use std::marker::PhantomData;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use xxhash_rust::xxh3::xxh3_128_with_seed;

/// The ids given so far, the same in all threads.
#[derive(Default)]
struct Ids {
    by_encoding: FxHashMap<Arc<[u8]>, u32>,
    encodings: Vec<Arc<[u8]>>,
    bytes: u64,
}

impl Ids {
    fn id(&mut self, encoding: &[u8]) -> u32 {
        if let Some(number) = self.by_encoding.get(encoding) {
            return *number;
        }
        let number = u32::try_from(self.encodings.len()).expect("fewer than 2^32 components");
        let encoding: Arc<[u8]> = encoding.into();
        // The bytes, two counts, two pointers with lengths, the number, and some room in both tables.
        self.bytes += encoding.len() as u64 + 80;
        self.encodings.push(encoding.clone());
        self.by_encoding.insert(encoding, number);
        number
    }
}

/// All components of one kind, as one thread knows them.
pub struct Interner<M, C: Component<M>> {
    ids: Arc<Mutex<Ids>>,
    /// By id. Others may have given further ids already.
    hashes: Vec<u128>,
    facts: Vec<C::Facts>,
    components: Vec<C>,
    buffer: Vec<u8>,
    model: PhantomData<fn(&M)>,
}

impl<M, C: Component<M>> Interner<M, C> {
    pub(super) fn new() -> Self {
        Interner::with_ids(Arc::default())
    }

    /// The same ids for another thread.
    pub(super) fn fork(&self) -> Self {
        Interner::with_ids(self.ids.clone())
    }

    fn with_ids(ids: Arc<Mutex<Ids>>) -> Self {
        Interner {
            ids,
            hashes: Vec::new(),
            facts: Vec::new(),
            components: Vec::new(),
            buffer: Vec::new(),
            model: PhantomData,
        }
    }

    fn ids(&self) -> MutexGuard<'_, Ids> {
        // Nothing is left half done when a thread panics.
        self.ids.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The id of `component`.
    pub fn id(&mut self, component: &C, model: &M) -> u32 {
        self.buffer.clear();
        component.encode(&mut self.buffer);
        let number = self.ids().id(&self.buffer);
        if !self.knows(number) {
            self.catch_up(model);
        }
        number
    }

    /// Whether the component with id `number` is known in this thread.
    pub(super) fn knows(&self, number: u32) -> bool {
        (number as usize) < self.facts.len()
    }

    /// Makes sure that every component that another thread found is known in this one.
    pub(super) fn catch_up(&mut self, model: &M) {
        let new: Vec<Arc<[u8]>> = self.ids().encodings[self.facts.len()..].to_vec();
        for bytes in new {
            let component = C::decode(&bytes, model);
            self.hashes.push(xxh3_128_with_seed(&bytes, C::KIND));
            self.facts.push(component.facts(model));
            self.components.push(component);
        }
    }

    /// The component with id `number`.
    pub fn component(&self, number: u32) -> &C {
        &self.components[number as usize]
    }

    /// All components known here, by id.
    pub fn components(&self) -> &[C] {
        &self.components
    }

    /// The hash of the encoding of the component with id `number`.
    #[inline]
    pub fn hash(&self, number: u32) -> u128 {
        self.hashes[number as usize]
    }

    /// The facts of the component with id `number`.
    #[inline]
    pub fn facts(&self, number: u32) -> &C::Facts {
        &self.facts[number as usize]
    }

    /// Appends the encodings from number `from` on, each with its length; the numbers there are.
    pub(super) fn save(&self, from: u32, out: &mut Vec<u8>) -> u32 {
        let ids = self.ids();
        for encoding in &ids.encodings[from as usize..] {
            put_number(encoding.len() as u32, out);
            out.extend_from_slice(encoding);
        }
        ids.encodings.len() as u32
    }

    /// Gives the next number to `encoding`.
    pub(super) fn load(&mut self, encoding: &[u8]) {
        self.ids().id(encoding);
    }

    /// Bytes of memory in this thread.
    pub(super) fn memory(&self) -> u64 {
        let facts = self.facts.capacity() * size_of::<C::Facts>();
        let hashes = self.hashes.capacity() * size_of::<u128>();
        (hashes + facts + self.components.capacity() * size_of::<C>()) as u64
    }

    /// Bytes of memory that all threads share.
    pub(super) fn shared_memory(&self) -> u64 {
        self.ids().bytes
    }
}

/// The incremental hash of a component.
pub(super) fn hash<M, C: Component<M>>(component: &C) -> u128 {
    let mut bytes = Vec::new();
    component.encode(&mut bytes);
    xxh3_128_with_seed(&bytes, C::KIND)
}

impl<M: Machines, C: Component<M, Facts = MessageFacts> + Ord> Interner<M, C> {
    /// Whether message number `one` comes before message number `other`.
    pub fn in_order(&self, one: u32, other: u32) -> bool {
        match self.facts(one).rank.cmp(&self.facts(other).rank) {
            Ordering::Equal => self.component(one) < self.component(other),
            order => order == Ordering::Less,
        }
    }
}
