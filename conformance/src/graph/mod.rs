//! A breadth-first walk over the specification's state graph in company.
//!
//! A node of the walk is a state of the cluster together with one number a server, which a
//! [`Companion`] gives out: the implementation's state for the product, always the same number for the
//! plain graph. One event touches one server, so what happens is a function of *(server of the
//! specification, number, input)*. Each such question is put to the companion once; every other edge
//! that repeats it is a table look-up.
//!
//! The walk is without symmetry and without pruning, level by level. States are expanded in batches of
//! a fixed size, by several threads if wanted, and merged in order: all counts are the same for any
//! number of threads.

mod expand;
mod store;
mod tables;

pub(crate) use tables::Tables;

use crate::stop;
use expand::{Expansion, Item, expand};
use lockstep_engine::{Limit, Progress};
use lockstep_model::{Action, Cluster, ClusterState};
use lockstep_traces::{Event, Expected, Index, Input, ServerId};
use serde::Serialize;
use std::ops::ControlFlow;
use std::time::{Duration, Instant};
use store::Store;

/// States that are expanded before what they lead to is merged. Fixed, since it shapes the order in
/// which the companion is asked.
const BATCH: usize = 4096;

/// Who goes along with the specification: gives each state of a server a number.
pub(crate) trait Companion {
    /// Why it does not go any further.
    type Stop;

    /// The number of a server that has just started.
    fn start(&mut self, server: ServerId) -> Result<u32, Self::Stop>;

    /// The number after an input, asked once for every (server of the specification, number, input).
    fn step(&mut self, question: Question<'_>) -> Result<u32, Self::Stop>;
}

/// What a [`Companion`] is asked.
pub(crate) struct Question<'a> {
    /// The server that is given the input.
    pub server: ServerId,
    /// The number of its state.
    pub companion: u32,
    /// The input.
    pub input: &'a Input,
    /// A number for the input: equal inputs have equal numbers.
    pub input_number: u32,
    /// The index up to which the server has applied before it.
    pub applied_before: Index,
    /// What the specification says must be seen.
    pub expected: &'a Expected,
}

/// Called now and then while a graph is searched; a break stops the search.
pub type OnProgress<'a> = Box<dyn FnMut(&Progress) -> ControlFlow<()> + 'a>;

/// What stops a walk before the end, and how it runs.
#[derive(Clone, Debug)]
pub(crate) struct Options {
    pub threads: usize,
    pub max_states: Option<u64>,
    pub max_memory_bytes: Option<u64>,
    pub max_time: Option<Duration>,
    pub progress_interval: Duration,
}

impl Default for Options {
    fn default() -> Options {
        Options {
            threads: 1,
            max_states: None,
            max_memory_bytes: None,
            max_time: None,
            progress_interval: Duration::from_millis(500),
        }
    }
}

/// What a walk counted. Every number is the same for any number of threads.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Counts {
    /// Distinct nodes: a state of the specification with the implementation's states beside it.
    pub product_states: u64,
    /// Distinct states of the specification among them.
    pub model_states: u64,
    /// Edges within the bound, and those that leave it.
    pub transitions: u64,
    /// Of the transitions, those at which only the network moves.
    pub network_transitions: u64,
    /// Of the transitions, those that leave the bound: compared, and not followed.
    pub leaving_the_bound: u64,
    /// Inputs beyond the transitions that were compared and not followed: those that must be refused or
    /// ignored, and those whose budget is spent.
    pub probes: u64,
    /// Distinct states of servers of the specification, beyond the bound included.
    pub server_states: u64,
    /// Distinct (server of the specification, state of the implementation, input): what was really
    /// asked; every other transition and probe repeats one of these.
    pub distinct_inputs: u64,
    /// The greatest number of events on a shortest path.
    pub depth: u32,
}

/// How a walk ended.
pub(crate) enum End<S> {
    /// Everything within the bound was visited.
    Exhausted,
    /// A limit stopped it.
    Limit(Limit),
    /// The companion stopped it, at the last of these actions from the initial state.
    Stopped { stop: S, path: Vec<Action> },
}

/// A walk; [`Walk::run`] does it.
pub(crate) struct Walk<'a, C> {
    cluster: &'a Cluster,
    pub companion: C,
    options: Options,
    pub tables: Tables,
    store: Store,
    pub counts: Counts,
    started: Instant,
    reported: (Instant, u64),
}

/// The companion stopped at an edge.
struct Stopped<S> {
    stop: S,
    /// The node before it, and the action; `None` before the first event.
    edge: Option<(u32, Action)>,
}

impl<'a, C: Companion> Walk<'a, C> {
    pub fn new(cluster: &'a Cluster, companion: C, options: Options) -> Walk<'a, C> {
        let started = Instant::now();
        Walk {
            cluster,
            companion,
            options,
            tables: Tables::default(),
            store: Store::new(cluster.settings().servers()),
            counts: Counts::default(),
            started,
            reported: (started, 0),
        }
    }

    /// Walks until everything is visited, a limit is reached, `progress` breaks or the companion stops.
    pub fn run(&mut self, progress: &mut dyn FnMut(&Progress) -> ControlFlow<()>) -> End<C::Stop> {
        let end = self.run_to_end(progress);
        self.counts.product_states = self.store.len();
        self.counts.model_states = self.store.model_states();
        self.counts.server_states = self.tables.server_count();
        self.counts.distinct_inputs = self.tables.answers().len() as u64;
        match end {
            Ok(end) => end,
            Err(Stopped { stop, edge }) => End::Stopped {
                stop,
                path: self.path(edge),
            },
        }
    }

    /// How long the walk has taken so far.
    pub fn elapsed(&self) -> Duration {
        self.started.elapsed()
    }

    /// Bytes in use by the walk's own tables.
    pub fn memory_bytes(&self) -> u64 {
        self.store.memory_bytes() + self.tables.memory_bytes()
    }

    fn run_to_end(
        &mut self,
        progress: &mut dyn FnMut(&Progress) -> ControlFlow<()>,
    ) -> Result<End<C::Stop>, Stopped<C::Stop>> {
        self.begin()?;
        while self.store.next_level() {
            while let Some(batch) = self.store.next_batch(BATCH) {
                let expansions = self.expand_batch(batch);
                for expansion in expansions {
                    self.merge(&expansion)?;
                }
                if let Some(limit) = self.limit(progress) {
                    return Ok(End::Limit(limit));
                }
            }
            if self.store.level_found_states() {
                self.counts.depth += 1;
            }
        }
        Ok(End::Exhausted)
    }

    fn begin(&mut self) -> Result<(), Stopped<C::Stop>> {
        let initial = self.cluster.initial();
        let mut pairs = Vec::new();
        for server in self.cluster.settings().config().server_ids() {
            let number = self.companion.start(server);
            let number = number.map_err(|stop| Stopped { stop, edge: None })?;
            pairs.push(self.tables.pair(initial.server(server), number));
        }
        self.store
            .insert_state(self.cluster, &initial, &pairs, None);
        Ok(())
    }

    /// Expands a batch, in as many parts as there are threads.
    fn expand_batch(&self, batch: std::ops::Range<usize>) -> Vec<Expansion> {
        let part = batch.len().div_ceil(self.options.threads.max(1));
        let parts = batch.clone().step_by(part.max(1));
        let parts: Vec<_> = parts
            .map(|from| from..(from + part).min(batch.end))
            .collect();
        let (cluster, tables, store) = (self.cluster, &self.tables, &self.store);
        let work = |range| expand(cluster, tables, store, range);
        if let [one] = parts.as_slice() {
            return vec![work(one.clone())];
        }
        std::thread::scope(|scope| {
            let handles: Vec<_> = parts
                .into_iter()
                .map(|part| scope.spawn(|| work(part)))
                .collect();
            let join = |handle: std::thread::ScopedJoinHandle<'_, Expansion>| {
                handle
                    .join()
                    .unwrap_or_else(|panic| std::panic::resume_unwind(panic))
            };
            handles.into_iter().map(join).collect()
        })
    }

    fn merge(&mut self, expansion: &Expansion) -> Result<(), Stopped<C::Stop>> {
        self.counts.transitions += expansion.transitions;
        self.counts.network_transitions += expansion.network_transitions;
        self.counts.leaving_the_bound += expansion.leaving_the_bound;
        self.counts.probes += expansion.probes;
        for item in &expansion.items {
            match item {
                Item::Found(found) => self.store.insert_found(expansion.bytes(found), found),
                Item::Unknown {
                    position,
                    action,
                    probe,
                } => {
                    self.follow_unknown(*position, *action, *probe)?;
                }
            }
        }
        Ok(())
    }

    /// An edge whose answer was not known when its batch was expanded.
    fn follow_unknown(
        &mut self,
        position: usize,
        action: Action,
        probe: bool,
    ) -> Result<(), Stopped<C::Stop>> {
        let parent = self.store.node(position);
        let state = self.store.state(self.cluster, position);
        let Event::Server { server, input } = self.cluster.event(&state, &action) else {
            unreachable!("events of the network are always known");
        };
        let slot = server.get() as usize - 1;
        let mut pairs = self.store.pairs(position).to_vec();
        let transition = self.cluster.apply(&state, &action);
        let number = self.tables.input(&input);
        let answer = match self.tables.answer(pairs[slot], number) {
            Some(answer) => answer,
            None => {
                let expected = Expected {
                    outcome: transition.outcome,
                    view: transition.next.server(server).view(self.cluster.settings()),
                    sent: transition.sent,
                };
                let question = Question {
                    server,
                    companion: self.tables.companion(pairs[slot]),
                    input: &input,
                    input_number: number,
                    applied_before: state.server(server).view(self.cluster.settings()).applied,
                    expected: &expected,
                };
                let next = self.companion.step(question);
                let next = next.map_err(|stop| Stopped {
                    stop,
                    edge: Some((parent, action)),
                })?;
                let next = self.tables.pair(transition.next.server(server), next);
                self.tables.set_answer(pairs[slot], number, next);
                next
            }
        };
        if probe {
            self.counts.probes += 1;
            return Ok(());
        }
        self.counts.transitions += 1;
        if transition.within_bound {
            pairs[slot] = answer;
            self.store.insert_state(
                self.cluster,
                &transition.next,
                &pairs,
                Some((parent, action)),
            );
        } else {
            self.counts.leaving_the_bound += 1;
        }
        Ok(())
    }

    fn limit(&mut self, progress: &mut dyn FnMut(&Progress) -> ControlFlow<()>) -> Option<Limit> {
        let memory_bytes = self.memory_bytes();
        let over = |limit: Option<u64>, value: u64| limit.is_some_and(|limit| value >= limit);
        let queue = self.store.queued();
        if queue > 0 && over(self.options.max_states, self.store.len()) {
            return Some(Limit::States);
        }
        if over(self.options.max_memory_bytes, memory_bytes) {
            return Some(Limit::Memory);
        }
        if self
            .options
            .max_time
            .is_some_and(|limit| self.elapsed() >= limit)
        {
            return Some(Limit::Time);
        }
        if stop::requested() {
            return Some(Limit::Interrupted);
        }
        let (when, states) = self.reported;
        let since = when.elapsed();
        if since < self.options.progress_interval {
            return None;
        }
        self.reported = (Instant::now(), self.store.len());
        let now = Progress {
            distinct: self.store.len(),
            generated: self.counts.transitions,
            depth: self.counts.depth,
            queue,
            states_per_second: (self.store.len() - states) as f64 / since.as_secs_f64(),
            memory_bytes,
            disk_bytes: 0,
            elapsed_seconds: self.elapsed().as_secs_f64(),
        };
        progress(&now).is_break().then_some(Limit::Interrupted)
    }

    /// The actions from the initial state through an edge.
    fn path(&self, edge: Option<(u32, Action)>) -> Vec<Action> {
        let Some((node, action)) = edge else {
            return Vec::new();
        };
        let mut path = self.store.path(node);
        path.push(action);
        path
    }
}

/// The state that an action leads to, if it is within the bound.
fn successor(cluster: &Cluster, state: &ClusterState, action: Action) -> Option<ClusterState> {
    use stateright::Model;
    let next = cluster.next_state(state, action)?;
    cluster.is_within(&next).then_some(next)
}
