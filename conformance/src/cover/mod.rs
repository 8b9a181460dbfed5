//! Traces that cover a graph: few, short, and the same every time.
//!
//! A server's state depends on its own inputs alone, so every behaviour of a single server that a
//! preset can show is a *(server state, input)* of its graph, and there are some ten thousand of those
//! in a graph of millions of cluster states. [`cover_inputs`] makes traces in which each of them occurs:
//! the servers of such a trace walk their own graphs side by side, and what is delivered to one need not
//! have been sent by another *in that trace* (it was, somewhere in the cluster's graph).
//!
//! [`cover_edges`] takes every transition of the cluster's graph instead, for graphs that are small; what
//! is refused or ignored leads nowhere, is no transition, and is left to the former.

mod conform;
mod walks;

pub use conform::{CoverVerdict, CoverageReport, conform_by_cover};

use crate::graph::{Companion, End, OnProgress, Options, Question, Walk};
use crate::path::provenance;
use lockstep_engine::Limit;
use lockstep_model::{Action, Cluster, ClusterState, Server};
use lockstep_traces::{Event, Expected, Header, Input, ServerId, Step, Trace};
use rustc_hash::FxHashMap;
use serde::Serialize;
use std::collections::VecDeque;
use std::convert::Infallible;
use std::ops::ControlFlow;
use std::time::{Duration, Instant};
use walks::{Graph, walks};

/// The longest walk that is chained in one trace, in inputs: long enough to need few traces, short
/// enough to read the one that fails.
const LONGEST_WALK: usize = 400;

/// What was covered.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Covered {
    /// Every distinct (server state, input).
    Inputs,
    /// Every transition of the cluster's graph.
    Edges,
}

/// Traces, and what they cover.
#[derive(Clone, Debug)]
pub struct Cover {
    /// What each item is.
    pub covered: Covered,
    /// The traces, in order.
    pub traces: Vec<Trace>,
    /// For each trace and each of its steps: the number of the item that it drives; `None` for an event
    /// of the network.
    pub items: Vec<Vec<Option<u32>>>,
    /// How many items there are.
    pub distinct: u64,
    /// Distinct states between them: of servers, or of the cluster.
    pub states: u64,
    /// What stopped the search for items before the end, if it was stopped: then the traces do not cover
    /// the graph.
    pub stopped_by: Option<Limit>,
}

/// How the graph is searched for what is to be covered.
pub struct CoverOptions<'a> {
    /// Threads that search.
    pub threads: usize,
    /// The name of the preset, if the cluster is one as it is; it goes into the traces.
    pub preset: Option<String>,
    /// Stops at that many states of the cluster.
    pub max_states: Option<u64>,
    /// Stops after that time.
    pub max_time: Option<Duration>,
    /// Called now and then; a break stops the search.
    pub on_progress: OnProgress<'a>,
}

impl Default for CoverOptions<'_> {
    fn default() -> Self {
        CoverOptions {
            threads: 1,
            preset: None,
            max_states: None,
            max_time: None,
            on_progress: Box::new(|_| ControlFlow::Continue(())),
        }
    }
}

/// Nobody: the walk is over the specification's graph alone.
struct Alone;

impl Companion for Alone {
    type Stop = Infallible;

    fn start(&mut self, _: ServerId) -> Result<u32, Infallible> {
        Ok(0)
    }

    fn step(&mut self, _: Question<'_>) -> Result<u32, Infallible> {
        Ok(0)
    }
}

/// Traces in which every distinct (server state, input) of the graph occurs: inputs that must be refused
/// or ignored, and those that leave the bound, included.
pub fn cover_inputs(cluster: &Cluster, mut options: CoverOptions<'_>) -> Cover {
    let search = Options {
        threads: options.threads,
        max_states: options.max_states,
        max_time: options.max_time,
        ..Options::default()
    };
    let mut walk = Walk::new(cluster, Alone, search);
    let stopped_by = match walk.run(&mut options.on_progress) {
        End::Exhausted => None,
        End::Limit(limit) => Some(limit),
        End::Stopped { stop, .. } => match stop {},
    };
    let tables = &walk.tables;
    let mut graph = Graph::new(tables.pair_count());
    for answer in tables.answers() {
        graph.add(answer.pair, answer.next);
    }
    let config = cluster.settings().config();
    // Nobody has a number of its own, so the servers started as the first pairs.
    let starts = 0..u32::try_from(config.servers).unwrap_or(u32::MAX);
    let by_server: Vec<Vec<Vec<u32>>> = starts
        .map(|start| walks(&mut graph, start, LONGEST_WALK))
        .collect();
    let count = by_server.iter().map(Vec::len).max().unwrap_or(0);
    let mut cover = Cover {
        covered: Covered::Inputs,
        traces: Vec::with_capacity(count),
        items: Vec::with_capacity(count),
        distinct: tables.answers().len() as u64,
        states: tables.server_count(),
        stopped_by,
    };
    for position in 0..count {
        let mut steps = Vec::new();
        let mut items = Vec::new();
        for (id, of_server) in config.server_ids().zip(&by_server) {
            let Some(of_server) = of_server.get(position) else {
                continue;
            };
            let inputs = of_server.iter().map(|item| {
                let answer = tables.answers()[*item as usize];
                tables.input_of(answer.input)
            });
            steps.extend(server_steps(cluster, id, inputs));
            items.extend(of_server.iter().map(|item| Some(*item)));
        }
        cover.push(cluster, &options, steps, items);
    }
    cover
}

impl Cover {
    fn push(
        &mut self,
        cluster: &Cluster,
        options: &CoverOptions<'_>,
        steps: Vec<Step>,
        items: Vec<Option<u32>>,
    ) {
        let number = self.traces.len() + 1;
        let (name, purpose) = match self.covered {
            Covered::Inputs => (
                format!("inputs-{number:04}"),
                "One of the traces that together give every server state every input.",
            ),
            Covered::Edges => (
                format!("edges-{number:04}"),
                "One of the traces that together take every transition.",
            ),
        };
        let made = provenance("lockstep generate", options.preset.as_deref(), cluster);
        let header = Header::new(name, purpose, cluster.settings().config(), made);
        self.traces.push(Trace { header, steps });
        self.items.push(items);
    }

    /// Steps in all traces together.
    pub fn steps(&self) -> u64 {
        self.traces
            .iter()
            .map(|trace| trace.steps.len() as u64)
            .sum()
    }
}

/// The steps of one server that is given these inputs.
fn server_steps<'a>(
    cluster: &Cluster,
    id: ServerId,
    inputs: impl Iterator<Item = &'a Input>,
) -> Vec<Step> {
    let settings = cluster.settings();
    let mut server = Server::new(settings, id);
    let mut steps = Vec::new();
    for input in inputs {
        let step = server.step(settings, input);
        server = step.server;
        let expected = Expected {
            outcome: step.outcome,
            view: server.view(settings),
            sent: step.sent,
        };
        let event = Event::Server {
            server: id,
            input: input.clone(),
        };
        steps.push(Step {
            event,
            expected: Some(expected),
        });
    }
    steps
}

/// Traces that take every transition of the cluster's graph, those that leave the bound included. Inputs
/// that are refused or ignored are no transitions of the graph: [`cover_inputs`] has those. For small
/// graphs: the whole graph is held in memory, and so are the traces.
pub fn cover_edges(cluster: &Cluster, options: CoverOptions<'_>) -> Cover {
    let mut whole = WholeGraph::new(cluster);
    let stopped_by = whole.search(cluster, &options);
    let paths = walks(&mut whole.graph, 0, LONGEST_WALK);
    let mut cover = Cover {
        covered: Covered::Edges,
        traces: Vec::with_capacity(paths.len()),
        items: Vec::with_capacity(paths.len()),
        distinct: whole.actions.len() as u64,
        states: whole.numbers.len() as u64,
        stopped_by,
    };
    for path in paths {
        let actions: Vec<Action> = path
            .iter()
            .map(|item| whole.actions[*item as usize])
            .collect();
        let steps = crate::path::steps_along(cluster, &actions);
        let items = path.into_iter().map(Some).collect();
        cover.push(cluster, &options, steps, items);
    }
    cover
}

/// The cluster's graph with every transition.
struct WholeGraph {
    numbers: FxHashMap<ClusterState, u32>,
    /// The nodes within the bound that are still to be expanded.
    queue: VecDeque<(u32, ClusterState)>,
    graph: Graph,
    actions: Vec<Action>,
}

impl WholeGraph {
    fn new(cluster: &Cluster) -> WholeGraph {
        let initial = cluster.initial();
        WholeGraph {
            numbers: FxHashMap::from_iter([(initial.clone(), 0)]),
            queue: VecDeque::from([(0, initial)]),
            graph: Graph::new(1),
            actions: Vec::new(),
        }
    }

    fn search(&mut self, cluster: &Cluster, options: &CoverOptions<'_>) -> Option<Limit> {
        let started = Instant::now();
        while let Some((node, state)) = self.queue.pop_front() {
            if options
                .max_states
                .is_some_and(|limit| self.numbers.len() as u64 >= limit)
            {
                return Some(Limit::States);
            }
            if options
                .max_time
                .is_some_and(|limit| started.elapsed() >= limit)
            {
                return Some(Limit::Time);
            }
            self.expand(cluster, node, &state);
        }
        None
    }

    fn expand(&mut self, cluster: &Cluster, node: u32, state: &ClusterState) {
        let mut actions = Vec::new();
        cluster.enabled(state, &mut actions);
        for action in actions {
            let transition = cluster.apply(state, &action);
            let target = if transition.within_bound {
                self.node(transition.next)
            } else {
                // Beyond the bound: nothing follows.
                self.graph.add_node()
            };
            self.graph.add(node, target);
            self.actions.push(action);
        }
    }

    /// The node of a state within the bound.
    fn node(&mut self, state: ClusterState) -> u32 {
        if let Some(node) = self.numbers.get(&state) {
            return *node;
        }
        let node = self.graph.add_node();
        self.numbers.insert(state.clone(), node);
        self.queue.push_back((node, state));
        node
    }
}
