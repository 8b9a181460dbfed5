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
mod every_step;
mod walks;

pub use conform::{CoverageReport, conform_by_cover};

use crate::OnProgress;
use crate::path::provenance;
use crate::stop;
use every_step::EveryStep;
use lockstep_engine::{Checkable, Limit, Search, Verdict};
use lockstep_model::{Action, Cluster, Companion, InStep, Question, Server};
use lockstep_traces::{Event, Expected, Header, Input, ServerId, Step, Trace};
use rustc_hash::FxHashMap;
use serde::Serialize;
use std::convert::Infallible;
use std::hash::Hash;
use std::ops::ControlFlow;
use std::time::Duration;
use walks::{Graph, walks};

/// The interval at which progress is told.
const PROGRESS_INTERVAL: Duration = Duration::from_millis(200);

/// The longest walk that is chained in one trace, in inputs: long enough to need few traces, short
/// enough to read the one that fails.
const LONGEST_WALK: usize = 400;

/// The kind of item that a cover covers.
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
    /// The kind of each item.
    pub covered: Covered,
    /// The traces, in order.
    pub traces: Vec<Trace>,
    /// For each trace and each of its steps: the number of the item that it drives; `None` for an event
    /// of the network.
    pub items: Vec<Vec<Option<u32>>>,
    /// The number of items.
    pub distinct: u64,
    /// Distinct states between them: of servers, or of the cluster.
    pub states: u64,
    /// The limit that stopped the search for items, if one did: then the traces do not cover the graph.
    pub stopped_by: Option<Limit>,
}

/// Options of a search for the items to cover.
pub struct CoverOptions<'a> {
    /// The name of the preset, if the cluster is one as it is; it goes into the traces.
    pub preset: Option<String>,
    /// Stops at that many states of the cluster.
    pub max_states: Option<u64>,
    /// As [`Search::max_memory`]; what is to be covered, and the traces, are not in the sum.
    pub max_memory: Option<u64>,
    /// Stops after that time.
    pub max_time: Option<Duration>,
    /// Called now and then; a break stops the search.
    pub on_progress: OnProgress<'a>,
}

impl Default for CoverOptions<'_> {
    fn default() -> Self {
        CoverOptions {
            preset: None,
            max_states: None,
            max_memory: None,
            max_time: None,
            on_progress: Box::new(|_| ControlFlow::Continue(())),
        }
    }
}

/// A companion that agrees with everything: the search asks it each input that the specification's servers are given.
struct Listener;

impl Companion for Listener {
    type Parting = Infallible;

    fn step(&mut self, _: &Question<'_>) -> Result<u128, Infallible> {
        Ok(0)
    }
}

impl<'a> CoverOptions<'a> {
    /// Searches a graph within these limits; what stopped it.
    fn search<'s, M>(&'s mut self, model: &'s M) -> Option<Limit>
    where
        M: Checkable + Sync,
        M::Action: Clone,
    {
        let progress = &mut self.on_progress;
        // On one thread: what comes first has the first number, and shapes the traces.
        let mut search =
            Search::new(model).on_progress(PROGRESS_INTERVAL, |it| match stop::flow() {
                ControlFlow::Continue(()) => progress(it),
                stop => stop,
            });
        if let Some(states) = self.max_states {
            search = search.max_states(states);
        }
        if let Some(bytes) = self.max_memory {
            search = search.max_memory(bytes);
        }
        if let Some(time) = self.max_time {
            search = search.max_time(time);
        }
        match search.run() {
            Ok(checked) => match checked.report.verdict {
                Verdict::Bounded { stopped_by } => Some(stopped_by),
                Verdict::Exhausted | Verdict::Violated { .. } => None,
            },
            // Of a disk: nothing else can go wrong with a search without properties.
            Err(_) => Some(Limit::Disk),
        }
    }
}

/// Numbers by order of appearance.
struct Numbers<T>(FxHashMap<T, u32>);

impl<T: Hash + Eq> Numbers<T> {
    fn new() -> Self {
        Numbers(FxHashMap::default())
    }

    fn of(&mut self, item: T) -> u32 {
        let next = self.0.len() as u32;
        *self.0.entry(item).or_insert(next)
    }

    fn len(&self) -> usize {
        self.0.len()
    }
}

/// Traces in which every distinct (server state, input) of the graph occurs: inputs that must be refused
/// or ignored, and those that leave the bound, included.
pub fn cover_inputs(cluster: &Cluster, mut options: CoverOptions<'_>) -> Cover {
    let config = cluster.settings().config();
    let in_step = InStep::new(cluster, config.server_ids().map(|_| 0), Listener);
    let stopped_by = options.search(&in_step);
    let (_, answers) = in_step.finish();
    let mut numbers = Numbers::new();
    let starts: Vec<u32> = config
        .server_ids()
        .map(|id| numbers.of(Server::new(cluster.settings(), id)))
        .collect();
    let edges: Vec<(u32, u32)> = answers
        .iter()
        .map(|answer| {
            let before = numbers.of(answer.before.server.clone());
            (before, numbers.of(answer.after.server.clone()))
        })
        .collect();
    let mut graph = Graph::new(numbers.len());
    for (before, after) in edges {
        graph.add(before, after);
    }
    let by_server: Vec<Vec<Vec<u32>>> = starts
        .into_iter()
        .map(|start| walks(&mut graph, start, LONGEST_WALK))
        .collect();
    let count = by_server.iter().map(Vec::len).max().unwrap_or(0);
    let mut cover = Cover {
        covered: Covered::Inputs,
        traces: Vec::with_capacity(count),
        items: Vec::with_capacity(count),
        distinct: answers.len() as u64,
        states: numbers.len() as u64,
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
            let inputs = of_server.iter().map(|item| &answers[*item as usize].input);
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
            read_states: step.read_states,
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
    /// The number of traces handed over.
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
    let every = EveryStep::new(cluster);
    let stopped_by = options.search(&every);
    let (mut graph, actions, states) = every.graph();
    let mut streamed = Streamed {
        distinct: actions.len() as u64,
        states,
        stopped_by,
        ..Streamed::default()
    };
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
