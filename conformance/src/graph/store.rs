//! The nodes that were found: which ones, how each was reached, and those still to be expanded as packed
//! bytes.

use super::expand::Found;
use lockstep_engine::Checkable;
use lockstep_model::{Action, Cluster, ClusterState};
use rustc_hash::FxHashSet;
use std::ops::Range;
use xxhash_rust::xxh3::{Xxh3, xxh3_128};

/// No node: the parent of an initial state.
const NONE: u32 = u32::MAX;

/// How a node was first reached.
#[derive(Clone, Copy)]
struct Link {
    parent: u32,
    action: Option<Action>,
}

/// States that wait to be expanded, one after the other.
#[derive(Default)]
struct Level {
    /// The number of the first node.
    first: u32,
    bytes: Vec<u8>,
    /// Where each state ends in `bytes`.
    ends: Vec<usize>,
    /// One pair a server, state by state.
    pairs: Vec<u32>,
}

/// All nodes. A node is known by a 128-bit fingerprint of the state's encoding and of its pairs: among a
/// hundred million nodes the chance that two share one is less than 2⁻⁷⁴.
pub(super) struct Store {
    servers: usize,
    visited: FxHashSet<u128>,
    model: FxHashSet<u128>,
    links: Vec<Link>,
    level: Level,
    next: Level,
    /// How much of `level` was handed out.
    taken: usize,
}

impl Store {
    pub fn new(servers: usize) -> Store {
        Store {
            servers,
            visited: FxHashSet::default(),
            model: FxHashSet::default(),
            links: Vec::new(),
            level: Level::default(),
            next: Level::default(),
            taken: 0,
        }
    }

    /// How many nodes were found.
    pub fn len(&self) -> u64 {
        self.links.len() as u64
    }

    /// How many distinct states of the specification they have.
    pub fn model_states(&self) -> u64 {
        self.model.len() as u64
    }

    /// How many nodes wait to be expanded.
    pub fn queued(&self) -> u64 {
        (self.level.ends.len() - self.taken + self.next.ends.len()) as u64
    }

    /// Goes on to the nodes found last; false if there are none.
    pub fn next_level(&mut self) -> bool {
        self.level = std::mem::take(&mut self.next);
        self.taken = 0;
        self.next.first = self.links.len() as u32;
        !self.level.ends.is_empty()
    }

    /// Whether the level that is being expanded has led to new nodes.
    pub fn level_found_states(&self) -> bool {
        !self.next.ends.is_empty()
    }

    /// The positions in this level of the next nodes to expand.
    pub fn next_batch(&mut self, size: usize) -> Option<Range<usize>> {
        let from = self.taken;
        self.taken = (from + size).min(self.level.ends.len());
        (from < self.taken).then_some(from..self.taken)
    }

    /// The number of the node at a position of this level.
    pub fn node(&self, position: usize) -> u32 {
        self.level.first + position as u32
    }

    /// The state at a position of this level.
    pub fn state(&self, cluster: &Cluster, position: usize) -> ClusterState {
        let start = position
            .checked_sub(1)
            .map_or(0, |before| self.level.ends[before]);
        cluster.decode(&self.level.bytes[start..self.level.ends[position]])
    }

    /// The pairs at a position of this level.
    pub fn pairs(&self, position: usize) -> &[u32] {
        &self.level.pairs[position * self.servers..(position + 1) * self.servers]
    }

    pub fn is_known(&self, fingerprint: u128) -> bool {
        self.visited.contains(&fingerprint)
    }

    pub fn insert_found(&mut self, bytes: &[u8], found: &Found) {
        let edge = Some((found.parent, found.action));
        self.insert(found.fingerprint, bytes, &found.pairs, edge);
    }

    pub fn insert_state(
        &mut self,
        cluster: &Cluster,
        state: &ClusterState,
        pairs: &[u32],
        edge: Option<(u32, Action)>,
    ) {
        let mut bytes = Vec::new();
        cluster.encode(state, &mut bytes);
        self.insert(fingerprint(&bytes, pairs), &bytes, pairs, edge);
    }

    fn insert(
        &mut self,
        fingerprint: u128,
        bytes: &[u8],
        pairs: &[u32],
        edge: Option<(u32, Action)>,
    ) {
        if !self.visited.insert(fingerprint) {
            return;
        }
        assert!(self.links.len() < NONE as usize, "fewer than 2^32 nodes");
        self.model.insert(xxh3_128(bytes));
        let (parent, action) = edge.map_or((NONE, None), |(parent, action)| (parent, Some(action)));
        self.links.push(Link { parent, action });
        self.next.bytes.extend_from_slice(bytes);
        self.next.ends.push(self.next.bytes.len());
        self.next.pairs.extend_from_slice(pairs);
    }

    /// The actions that first led to a node.
    pub fn path(&self, node: u32) -> Vec<Action> {
        let mut path = Vec::new();
        let mut link = self.links[node as usize];
        while let Some(action) = link.action {
            path.push(action);
            link = self.links[link.parent as usize];
        }
        path.reverse();
        path
    }

    pub fn memory_bytes(&self) -> u64 {
        let level = |level: &Level| {
            level.bytes.capacity() + level.ends.capacity() * 8 + level.pairs.capacity() * 4
        };
        let sets = (self.visited.capacity() + self.model.capacity()) * 19;
        let links = self.links.capacity() * size_of::<Link>();
        (sets + links + level(&self.level) + level(&self.next)) as u64
    }
}

/// The fingerprint of a node.
pub(super) fn fingerprint(bytes: &[u8], pairs: &[u32]) -> u128 {
    let mut hasher = Xxh3::new();
    hasher.update(bytes);
    for pair in pairs {
        hasher.update(&pair.to_le_bytes());
    }
    hasher.digest128()
}
