//! Expands a part of a level. Reads the tables and changes nothing, so that several threads can do it.

use super::store::{Store, fingerprint};
use super::{Tables, successor};
use lockstep_engine::Checkable;
use lockstep_model::{Action, Cluster, ClusterState};
use lockstep_traces::Event;
use smallvec::SmallVec;
use std::ops::Range;

/// What the expansion of some states gave.
#[derive(Default)]
pub(super) struct Expansion {
    /// New nodes and open questions, in order.
    pub items: Vec<Item>,
    /// Edges whose answer was known.
    pub transitions: u64,
    pub network_transitions: u64,
    pub leaving_the_bound: u64,
    pub probes: u64,
    bytes: Vec<u8>,
}

/// One thing that is left to do for an edge.
pub(super) enum Item {
    /// The edge leads to a node that may be new.
    Found(Found),
    /// What the edge does was never asked before.
    Unknown {
        /// The position of its state in the level.
        position: usize,
        action: Action,
        /// It is compared and not followed.
        probe: bool,
    },
}

/// A node that may be new.
pub(super) struct Found {
    pub fingerprint: u128,
    pub parent: u32,
    pub action: Action,
    pub pairs: SmallVec<[u32; 5]>,
    bytes: Range<usize>,
}

impl Expansion {
    /// The encoded state of a node.
    pub fn bytes(&self, found: &Found) -> &[u8] {
        &self.bytes[found.bytes.clone()]
    }
}

/// Expands the states at these positions of the level.
pub(super) fn expand(
    cluster: &Cluster,
    tables: &Tables,
    store: &Store,
    positions: Range<usize>,
) -> Expansion {
    let mut expander = Expander {
        cluster,
        tables,
        store,
        result: Expansion::default(),
    };
    let mut actions = Vec::new();
    for position in positions {
        let state = store.state(cluster, position);
        actions.clear();
        cluster.enabled(&state, &mut actions);
        for action in &actions {
            expander.follow(position, &state, *action);
        }
        actions.clear();
        cluster.probes(&state, &mut actions);
        for action in &actions {
            expander.probe(position, &state, *action);
        }
    }
    expander.result
}

struct Expander<'a> {
    cluster: &'a Cluster,
    tables: &'a Tables,
    store: &'a Store,
    result: Expansion,
}

impl Expander<'_> {
    fn follow(&mut self, position: usize, state: &ClusterState, action: Action) {
        let mut pairs = SmallVec::from_slice(self.store.pairs(position));
        match self.answer(position, state, action) {
            Known::Network => self.result.network_transitions += 1,
            Known::Server { slot, next } => pairs[slot] = next,
            Known::Nothing => {
                self.result.items.push(Item::Unknown {
                    position,
                    action,
                    probe: false,
                });
                return;
            }
        }
        self.result.transitions += 1;
        let Some(next) = successor(self.cluster, state, action) else {
            self.result.leaving_the_bound += 1;
            return;
        };
        let start = self.result.bytes.len();
        self.cluster.encode(&next, &mut self.result.bytes);
        let fingerprint = fingerprint(&self.result.bytes[start..], &pairs);
        if self.store.is_known(fingerprint) {
            self.result.bytes.truncate(start);
            return;
        }
        let bytes = start..self.result.bytes.len();
        let parent = self.store.node(position);
        let found = Found {
            fingerprint,
            parent,
            action,
            pairs,
            bytes,
        };
        self.result.items.push(Item::Found(found));
    }

    fn probe(&mut self, position: usize, state: &ClusterState, action: Action) {
        match self.answer(position, state, action) {
            Known::Nothing => {
                self.result.items.push(Item::Unknown {
                    position,
                    action,
                    probe: true,
                });
            }
            Known::Network | Known::Server { .. } => self.result.probes += 1,
        }
    }

    fn answer(&self, position: usize, state: &ClusterState, action: Action) -> Known {
        let Event::Server { server, input } = self.cluster.event(state, &action) else {
            return Known::Network;
        };
        let slot = server.get() as usize - 1;
        let pair = self.store.pairs(position)[slot];
        let number = self.tables.known_input(&input);
        match number.and_then(|number| self.tables.answer(pair, number)) {
            Some(next) => Known::Server { slot, next },
            None => Known::Nothing,
        }
    }
}

/// What is known of an edge.
enum Known {
    /// No server moves.
    Network,
    /// The server in that slot becomes that pair.
    Server { slot: usize, next: u32 },
    /// It was never asked.
    Nothing,
}
