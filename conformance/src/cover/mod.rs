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
use crate::stop;
use lockstep_engine::{Checkable, Limit, Progress};
use lockstep_model::{Action, Cluster, ClusterState, Server};
use lockstep_traces::{Event, Expected, Header, Input, ServerId, Step, Trace};
use rustc_hash::FxHashMap;
use serde::Serialize;
use std::collections::VecDeque;
use std::convert::Infallible;
use std::ops::ControlFlow;
use std::time::{Duration, Instant};
use walks::{Graph, walks};
use xxhash_rust::xxh3::xxh3_128;

/// How often progress is told.
const PROGRESS_INTERVAL: Duration = Duration::from_millis(200);

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
    /// Stops when the tables of the search take that many bytes; the traces are not in the sum.
    pub max_memory: Option<u64>,
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
            max_memory: None,
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
        max_memory_bytes: options.max_memory,
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
        if stop::requested() {
            cover.stopped_by = Some(Limit::Interrupted);
            break;
        }
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
        let number = cover.traces.len() + 1;
        let preset = options.preset.as_deref();
        let made = trace(Covered::Inputs, number, cluster, preset, steps);
        cover.traces.push(made);
        cover.items.push(items);
    }
    cover
}

/// The trace with this number in a cover.
fn trace(
    covered: Covered,
    number: usize,
    cluster: &Cluster,
    preset: Option<&str>,
    steps: Vec<Step>,
) -> Trace {
    let (name, purpose) = match covered {
        Covered::Inputs => (
            format!("inputs-{number:04}"),
            "One of the traces that together give every server state every input.",
        ),
        Covered::Edges => (
            format!("edges-{number:04}"),
            "One of the traces that together take every transition.",
        ),
    };
    let made = provenance("lockstep generate", preset, cluster);
    let header = Header::new(name, purpose, cluster.settings().config(), made);
    Trace { header, steps }
}

impl Cover {
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
/// that are refused or ignored are no transitions of the graph: [`cover_inputs`] has those. For graphs of
/// which every transition fits into memory; so must the traces, unless they are
/// [streamed](stream_edges).
pub fn cover_edges(cluster: &Cluster, options: CoverOptions<'_>) -> Cover {
    let mut traces = Vec::new();
    let mut items = Vec::new();
    let streamed = stream_edges(cluster, options, &mut |trace, of_trace| {
        traces.push(trace);
        items.push(of_trace.iter().copied().map(Some).collect());
        ControlFlow::Continue(())
    });
    Cover {
        covered: Covered::Edges,
        traces,
        items,
        distinct: streamed.distinct,
        states: streamed.states,
        stopped_by: streamed.stopped_by,
    }
}

/// The counts of a cover whose traces were handed over one by one.
#[derive(Clone, Copy, Debug, Default)]
pub struct Streamed {
    /// How many traces were handed over.
    pub traces: u64,
    /// Steps in all of them together.
    pub steps: u64,
    /// As [`Cover::distinct`].
    pub distinct: u64,
    /// As [`Cover::states`].
    pub states: u64,
    /// As [`Cover::stopped_by`].
    pub stopped_by: Option<Limit>,
}

/// The traces of [`cover_edges`], each handed to `take` with the numbers of the transitions that it takes,
/// and not kept. A break ends it.
pub fn stream_edges(
    cluster: &Cluster,
    mut options: CoverOptions<'_>,
    take: &mut dyn FnMut(Trace, &[u32]) -> ControlFlow<()>,
) -> Streamed {
    let mut whole = WholeGraph::new(cluster);
    let stopped_by = whole.search(cluster, &mut options);
    let mut streamed = Streamed {
        distinct: whole.actions.len() as u64,
        states: whole.numbers.len() as u64,
        stopped_by,
        ..Streamed::default()
    };
    let WholeGraph {
        mut graph, actions, ..
    } = whole;
    for path in walks(&mut graph, 0, LONGEST_WALK) {
        let along: Vec<Action> = path.iter().map(|item| actions[*item as usize]).collect();
        let steps = crate::path::steps_along(cluster, &along);
        streamed.traces += 1;
        streamed.steps += steps.len() as u64;
        let number = usize::try_from(streamed.traces).unwrap_or(usize::MAX);
        let preset = options.preset.as_deref();
        let made = trace(Covered::Edges, number, cluster, preset, steps);
        if take(made, &path).is_break() || stop::requested() {
            streamed.stopped_by = Some(Limit::Interrupted);
            break;
        }
    }
    streamed
}

/// The cluster's graph with every transition.
struct WholeGraph {
    /// By the fingerprint of a state: its node.
    numbers: FxHashMap<u128, u32>,
    /// The nodes within the bound that are still to be expanded.
    queue: VecDeque<(u32, ClusterState)>,
    graph: Graph,
    actions: Vec<Action>,
    encoded: Vec<u8>,
}

/// How many states are expanded between two looks at the limits.
const LOOK_STATES: u64 = 256;

impl WholeGraph {
    fn new(cluster: &Cluster) -> WholeGraph {
        let mut whole = WholeGraph {
            numbers: FxHashMap::default(),
            queue: VecDeque::new(),
            graph: Graph::default(),
            actions: Vec::new(),
            encoded: Vec::new(),
        };
        whole.node(cluster, cluster.initial());
        whole
    }

    fn search(&mut self, cluster: &Cluster, options: &mut CoverOptions<'_>) -> Option<Limit> {
        let started = Instant::now();
        let mut reported = started;
        let mut expanded: u64 = 0;
        while let Some((node, state)) = self.queue.pop_front() {
            let over = |limit: Option<u64>, value: u64| limit.is_some_and(|limit| value >= limit);
            if over(options.max_states, self.numbers.len() as u64) {
                return Some(Limit::States);
            }
            if expanded.is_multiple_of(LOOK_STATES) {
                let memory_bytes = self.memory_bytes();
                if stop::requested() {
                    return Some(Limit::Interrupted);
                }
                if over(options.max_memory, memory_bytes) {
                    return Some(Limit::Memory);
                }
                if options
                    .max_time
                    .is_some_and(|limit| started.elapsed() >= limit)
                {
                    return Some(Limit::Time);
                }
                if reported.elapsed() >= PROGRESS_INTERVAL {
                    reported = Instant::now();
                    let elapsed_seconds = started.elapsed().as_secs_f64();
                    let now = Progress {
                        distinct: self.numbers.len() as u64,
                        generated: self.actions.len() as u64,
                        depth: 0,
                        queue: self.queue.len() as u64,
                        states_per_second: self.numbers.len() as f64 / elapsed_seconds,
                        memory_bytes,
                        disk_bytes: 0,
                        elapsed_seconds,
                    };
                    if (options.on_progress)(&now).is_break() {
                        return Some(Limit::Interrupted);
                    }
                }
            }
            expanded += 1;
            self.expand(cluster, node, &state);
        }
        None
    }

    /// An estimate: what each entry takes, with the spare room of its collection.
    fn memory_bytes(&self) -> u64 {
        let transition = size_of::<Action>() + 3 * size_of::<u32>();
        let waiting = size_of::<ClusterState>() + 1024;
        let bytes = self.numbers.capacity() * 48
            + self.actions.capacity() * transition
            + self.queue.len() * waiting;
        bytes as u64
    }

    fn expand(&mut self, cluster: &Cluster, node: u32, state: &ClusterState) {
        let mut actions = Vec::new();
        cluster.enabled(state, &mut actions);
        for action in actions {
            let transition = cluster.apply(state, &action);
            let target = if transition.within_bound {
                self.node(cluster, transition.next)
            } else {
                // Beyond the bound: nothing follows.
                self.graph.add_node()
            };
            self.graph.add(node, target);
            self.actions.push(action);
        }
    }

    /// The node of a state within the bound.
    fn node(&mut self, cluster: &Cluster, state: ClusterState) -> u32 {
        self.encoded.clear();
        cluster.encode(&state, &mut self.encoded);
        let fingerprint = xxh3_128(&self.encoded);
        if let Some(node) = self.numbers.get(&fingerprint) {
            return *node;
        }
        let node = self.graph.add_node();
        self.numbers.insert(fingerprint, node);
        self.queue.push_back((node, state));
        node
    }
}
