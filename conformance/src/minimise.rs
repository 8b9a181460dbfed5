//! The shortest way to a divergence that can be found.
//!
//! A cover chains inputs into long walks, so a divergence that it finds stands at the end of a long trace
//! most of which has nothing to do with it. Two things are tried. First the shortest path in the
//! specification's graph to the same server state and input: if the target goes wrong there too, nothing
//! shorter can show it. If not, the target remembers something that the specification does not, and steps
//! are left out of the long trace as long as it still goes wrong. Either way every step that remains is a
//! (server state, input) of the graph, so the result never shows what cannot happen within the bound.

use crate::compare::{Difference, Wanted, compare, compare_bystander};
use crate::cover::Cover;
use crate::divergence::{Actual, Divergence};
use crate::shrink::{Trial, shrink};
use crate::target::{Observation, Reaction, Target, TargetError, TargetServer, apply_caught};
use lockstep_engine::{Checkable, Component, Search};
use lockstep_model::{Bounds, Cluster, Server, Settings};
use lockstep_traces::{Event, Expected, Input, ServerId, Step, Trace};
use rustc_hash::{FxHashMap, FxHashSet};
use stateright::{Model, Property};

/// The number of times that the target is run in search of a shorter trace, at the most.
const MAX_RUNS: usize = 2_000;

/// The number of runs that count for one in which the target broke down: a program has to be started again, and may
/// have been silent for as long as it may.
const RUNS_FOR_A_BREAKDOWN: usize = 100;

/// A divergence of one server that is as short as could be found; `found` itself if nothing shorter goes
/// wrong, or if it is no divergence of a single server. A target that cannot be started again, or is
/// interrupted, ends the search for a shorter one, no more.
pub fn minimise<T: Target>(
    target: &T,
    settings: &Settings,
    cover: &Cover,
    found: &Divergence,
) -> Divergence {
    let mut best = found.clone();
    // What was found stands without a shorter one.
    let _ = shorten(target, settings, cover, &mut best);
    best
}

/// Replaces a divergence by shorter ones as they are found.
fn shorten<T: Target>(
    target: &T,
    settings: &Settings,
    cover: &Cover,
    best: &mut Divergence,
) -> Result<(), TargetError> {
    let found = best.clone();
    let Some(Step {
        event: Event::Server { server: id, .. },
        ..
    }) = found.trace.steps.last()
    else {
        return Ok(());
    };
    let graph = Graph::of(settings, cover, *id);
    let mut search = Runs {
        target,
        settings,
        id: *id,
        found: &found,
        runs: 0,
    };
    let long = inputs_of(&found.trace, *id);
    let short = graph.shortest_to_end_of(settings, *id, &long);
    if let Some(short) = short
        && short.len() < long.len()
        && let Some(shortest) = search.run(&short)?
    {
        *best = shortest;
        return Ok(());
    }
    search.leave_out(&graph, &long, best)
}

/// The inputs of one server.
fn inputs_of(trace: &Trace, id: ServerId) -> Vec<Input> {
    let of_server = |step: &Step| match &step.event {
        Event::Server { server, input } if *server == id => Some(input.clone()),
        _ => None,
    };
    trace.steps.iter().filter_map(of_server).collect()
}

/// The graph of one server within the bound: every state, with every input that meets it there.
struct Graph(FxHashMap<Server, Vec<Input>>);

impl Graph {
    fn of(settings: &Settings, cover: &Cover, id: ServerId) -> Graph {
        let mut inputs: FxHashMap<Server, FxHashSet<Input>> = FxHashMap::default();
        for trace in &cover.traces {
            let mut server = Server::new(settings, id);
            for input in inputs_of(trace, id) {
                let next = server.step(settings, &input).server;
                inputs.entry(server).or_default().insert(input);
                server = next;
            }
        }
        let ordered = |(server, inputs): (Server, FxHashSet<Input>)| {
            let mut inputs: Vec<Input> = inputs.into_iter().collect();
            inputs.sort_unstable();
            (server, inputs)
        };
        Graph(inputs.into_iter().map(ordered).collect())
    }

    /// The shortest inputs that end in the same input at the same state as these do.
    fn shortest_to_end_of(
        &self,
        settings: &Settings,
        id: ServerId,
        inputs: &[Input],
    ) -> Option<Vec<Input>> {
        let (last, before) = inputs.split_last()?;
        let start = Server::new(settings, id);
        let step = |server: Server, input| server.step(settings, input).server;
        let goal = before.iter().fold(start.clone(), step);
        let cluster = Cluster::new(*settings, Bounds::UNLIMITED);
        let way = Way {
            graph: self,
            cluster,
            start,
            goal,
        };
        // A search in memory without limits, which nothing can keep from its end.
        let found = Search::new(&way).run().ok()?.counterexample?;
        Some(found.actions().chain([last]).cloned().collect())
    }

    /// Whether every input meets its state within the bound.
    fn allows(&self, settings: &Settings, id: ServerId, inputs: &[Input]) -> bool {
        let mut server = Server::new(settings, id);
        inputs.iter().all(|input| {
            let known = self
                .0
                .get(&server)
                .is_some_and(|inputs| inputs.binary_search(input).is_ok());
            if known {
                server = server.step(settings, input).server;
            }
            known
        })
    }
}

/// The way of one server to a state.
struct Way<'a> {
    graph: &'a Graph,
    cluster: Cluster,
    start: Server,
    goal: Server,
}

impl Model for Way<'_> {
    type State = Server;
    type Action = Input;

    fn init_states(&self) -> Vec<Server> {
        vec![self.start.clone()]
    }

    fn actions(&self, server: &Server, actions: &mut Vec<Input>) {
        actions.extend(self.graph.0.get(server).into_iter().flatten().cloned());
    }

    fn next_state(&self, server: &Server, input: Input) -> Option<Server> {
        Some(server.step(self.cluster.settings(), &input).server)
    }

    fn properties(&self) -> Vec<Property<Self>> {
        vec![Property::always(
            "it is elsewhere",
            |way: &Way<'_>, server| *server != way.goal,
        )]
    }
}

impl Checkable for Way<'_> {
    fn encode(&self, server: &Server, out: &mut Vec<u8>) {
        Component::<Cluster>::encode(server, out);
    }

    fn decode(&self, bytes: &[u8]) -> Server {
        Server::decode(bytes, &self.cluster)
    }

    fn identity(&self) -> String {
        format!("the way of a server in {}", self.cluster.identity())
    }
}

/// The target, run again and again.
struct Runs<'a, T> {
    target: &'a T,
    settings: &'a Settings,
    id: ServerId,
    found: &'a Divergence,
    runs: usize,
}

impl<T: Target> Runs<'_, T> {
    /// Leaves out inputs as long as the target goes wrong and every step is one of the graph.
    fn leave_out(
        &mut self,
        graph: &Graph,
        inputs: &[Input],
        best: &mut Divergence,
    ) -> Result<(), TargetError> {
        // Without the steps of other servers, and up to where it goes wrong first.
        let Some(first) = self.run(inputs)? else {
            return Ok(());
        };
        *best = first;
        let mut failed = Ok(());
        shrink(inputs_of(&best.trace, self.id), &mut |inputs| {
            if self.runs >= MAX_RUNS {
                return Trial::GivenUp;
            }
            if !graph.allows(self.settings, self.id, inputs) {
                return Trial::Passes;
            }
            match self.run(inputs) {
                Ok(Some(found)) => {
                    *best = found;
                    Trial::Fails(best.trace.steps.len())
                }
                Ok(None) => Trial::Passes,
                Err(error) => {
                    failed = Err(error);
                    Trial::GivenUp
                }
            }
        });
        failed
    }

    /// Gives one new server these inputs and stops where it goes wrong.
    fn run(&mut self, inputs: &[Input]) -> Result<Option<Divergence>, TargetError> {
        self.runs += 1;
        let mut header = self.found.trace.header.clone();
        header.name = format!("{}-minimised", header.name);
        let mut expected_server = Server::new(self.settings, self.id);
        let mut server = self.target.start(&header.config, self.id)?;
        let shows = self.target.description().shows;
        let mut steps = Vec::new();
        for input in inputs {
            let before = expected_server.view(self.settings);
            let step = expected_server.step(self.settings, input);
            expected_server = step.server;
            let expected = Expected {
                outcome: step.outcome,
                view: expected_server.view(self.settings),
                sent: step.sent,
                read_states: step.read_states,
            };
            let (differences, actual) = match observe(&mut server, input) {
                Ok(Observation {
                    reaction: Reaction::Driven(output),
                    view,
                }) => {
                    let wanted = Wanted::new(&expected, before.applied);
                    let differences = compare(&wanted, &output, &view, shows);
                    (differences, Some(Actual { output, view }))
                }
                Ok(Observation {
                    reaction: Reaction::NotDriven { .. },
                    view,
                }) => {
                    let moved = compare_bystander(self.id, &before, &view, shows);
                    if moved.is_none() && expected.view != before {
                        // From here on it cannot be where it is expected to be.
                        return Ok(None);
                    }
                    (moved.into_iter().collect(), None)
                }
                Err(TargetError::Failed(error)) => {
                    self.runs += RUNS_FOR_A_BREAKDOWN;
                    (vec![Difference::Failed { error }], None)
                }
                Err(error) => return Err(error),
            };
            steps.push(Step {
                event: Event::Server {
                    server: self.id,
                    input: input.clone(),
                },
                expected: Some(expected),
            });
            if !differences.is_empty() {
                return Ok(Some(Divergence {
                    trace: Trace { header, steps },
                    differences,
                    actual,
                }));
            }
        }
        Ok(None)
    }
}

fn observe<S: TargetServer>(server: &mut S, input: &Input) -> Result<Observation, TargetError> {
    let reaction = apply_caught(server, input)?;
    let view = server.view()?;
    Ok(Observation { reaction, view })
}
