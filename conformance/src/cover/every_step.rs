//! The cluster's graph with every transition, noted down while it is searched.

use super::Numbers;
use super::walks::Graph;
use lockstep_engine::Checkable;
use lockstep_model::{Action, Cluster, ClusterState};
use stateright::{Model, Property};
use std::sync::{Mutex, MutexGuard, PoisonError};
use xxhash_rust::xxh3::xxh3_128;

/// The cluster, and every step that was taken in it.
pub(super) struct EveryStep<'a> {
    cluster: &'a Cluster,
    taken: Mutex<Vec<Taken>>,
}

/// A step: where it begins and ends, by fingerprint; beyond the bound it ends nowhere.
struct Taken {
    before: u128,
    action: Action,
    after: Option<u128>,
}

impl<'a> EveryStep<'a> {
    pub fn new(cluster: &'a Cluster) -> Self {
        EveryStep {
            cluster,
            taken: Mutex::default(),
        }
    }

    fn taken(&self) -> MutexGuard<'_, Vec<Taken>> {
        // A step is either there or not when a thread panics.
        self.taken.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn fingerprint(&self, state: &ClusterState) -> u128 {
        let mut bytes = Vec::new();
        self.cluster.encode(state, &mut bytes);
        xxh3_128(&bytes)
    }

    /// The graph, which starts at node zero, the action of each edge, and how many states there are.
    pub fn graph(self) -> (Graph, Vec<Action>, u64) {
        let mut graph = Graph::default();
        let mut nodes = Numbers::new();
        let mut places = vec![graph.add_node()];
        nodes.of(self.fingerprint(&self.cluster.initial()));
        let taken = self.taken.into_inner();
        let taken = taken.unwrap_or_else(PoisonError::into_inner);
        let mut actions = Vec::with_capacity(taken.len());
        for step in taken {
            let mut node = |fingerprint, graph: &mut Graph| {
                let number = nodes.of(fingerprint) as usize;
                if number == places.len() {
                    places.push(graph.add_node());
                }
                places[number]
            };
            let before = node(step.before, &mut graph);
            let after = match step.after {
                Some(after) => node(after, &mut graph),
                // Beyond the bound: nothing follows.
                None => graph.add_node(),
            };
            graph.add(before, after);
            actions.push(step.action);
        }
        let states = nodes.len() as u64;
        (graph, actions, states)
    }
}

impl Model for EveryStep<'_> {
    type State = ClusterState;
    type Action = Action;

    fn init_states(&self) -> Vec<ClusterState> {
        self.cluster.init_states()
    }

    fn actions(&self, state: &ClusterState, actions: &mut Vec<Action>) {
        self.cluster.actions(state, actions);
    }

    fn next_state(&self, state: &ClusterState, action: Action) -> Option<ClusterState> {
        let after = self.cluster.next_state(state, action)?;
        let within = self.cluster.is_within(&after);
        let step = Taken {
            before: self.fingerprint(state),
            action,
            after: within.then(|| self.fingerprint(&after)),
        };
        self.taken().push(step);
        Some(after)
    }

    fn properties(&self) -> Vec<Property<Self>> {
        Vec::new()
    }

    fn within_boundary(&self, state: &ClusterState) -> bool {
        self.cluster.within_boundary(state)
    }
}

impl Checkable for EveryStep<'_> {
    fn encode(&self, state: &ClusterState, out: &mut Vec<u8>) {
        self.cluster.encode(state, out);
    }

    fn decode(&self, bytes: &[u8]) -> ClusterState {
        self.cluster.decode(bytes)
    }

    fn identity(&self) -> String {
        self.cluster.identity()
    }
}
