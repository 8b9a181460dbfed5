//! Traces that cover a graph: that they cover it, that they are the same every time, and that a target
//! which cannot be copied is held to them.

use lockstep_conformance::cover::{
    Cover, CoverOptions, CoverageReport, conform_by_cover, cover_edges, cover_inputs,
};
use lockstep_conformance::minimise::minimise;
use lockstep_conformance::planted::{Mistake, Planted};
use lockstep_conformance::targets::lockstep_raft::LockstepRaft;
use lockstep_conformance::targets::spec::Spec;
use lockstep_conformance::verdict::{Strength, Verdict};
use lockstep_conformance::{
    Description, Difference, Divergence, Reaction, Target, TargetError, TargetServer,
};
use lockstep_engine::Limit;
use lockstep_model::{Action, Cluster, ClusterState, Preset, Server, Settings};
use lockstep_traces::{Config, Event, Expected, Input, NodeView, Role, ServerId, Step, Trace};
use std::collections::HashSet;
use std::ops::ControlFlow;

fn preset(name: &str) -> Cluster {
    let preset = Preset::named(name).expect("a preset");
    Cluster::new(
        Settings::new(&preset.config).expect("a good configuration"),
        preset.bounds,
    )
}

fn smoke() -> Cover {
    cover_inputs(&preset("smoke"), CoverOptions::default())
}

/// Every item occurs, the traces are well formed, and there are few of them.
#[test]
fn every_server_state_and_input_of_smoke_is_covered() {
    let cover = smoke();
    assert_eq!(cover.stopped_by, None);
    let mut seen = vec![false; usize::try_from(cover.distinct).expect("small")];
    for item in cover.items.iter().flatten().flatten() {
        seen[*item as usize] = true;
    }
    assert!(seen.iter().all(|seen| *seen));
    for trace in &cover.traces {
        trace
            .write(Vec::new())
            .expect("a trace that a reader takes");
    }
    assert_eq!((cover.states, cover.distinct), (609, 3_321));
    // Some 230 inputs raise a term beyond the bound, from where nothing leads back: a trace ends there.
    assert_eq!((cover.traces.len(), cover.steps()), (235, 7_122));
    assert!(smoke().traces == cover.traces, "the same once more");
}

#[test]
fn every_transition_of_a_small_graph_is_covered() {
    let cover = cover_edges(&preset("single"), CoverOptions::default());
    let mut seen = vec![false; usize::try_from(cover.distinct).expect("small")];
    for item in cover.items.iter().flatten().flatten() {
        seen[*item as usize] = true;
    }
    assert!(seen.iter().all(|seen| *seen));
    // As many as the product has transitions in this graph.
    assert_eq!((cover.states, cover.distinct), (175, 301));
    let report = conform_by_cover(&LockstepRaft, &cover, &mut |_| ControlFlow::Continue(()));
    let report = report.expect("it starts");
    assert_eq!(report.replay.divergence, None);
    assert!(report.replay.not_driven.is_empty());
}

/// Found anew, without what the cover is made of: the transitions of the graph on one side, those that the
/// traces take on the other.
#[test]
fn the_traces_themselves_take_every_transition() {
    let cluster = preset("single");
    let mut of_graph = HashSet::new();
    let mut states = vec![cluster.initial()];
    let mut known: HashSet<ClusterState> = states.iter().cloned().collect();
    while let Some(state) = states.pop() {
        let mut actions = Vec::new();
        cluster.enabled(&state, &mut actions);
        for action in actions {
            let transition = cluster.apply(&state, &action);
            if transition.within_bound && known.insert(transition.next.clone()) {
                states.push(transition.next);
            }
            of_graph.insert((state.clone(), action));
        }
    }
    let mut taken = HashSet::new();
    for trace in cover_edges(&cluster, CoverOptions::default()).traces {
        let mut state = cluster.initial();
        for step in &trace.steps {
            let mut actions = Vec::new();
            cluster.enabled(&state, &mut actions);
            let same = |action: &Action| cluster.event(&state, action) == step.event;
            let action = actions.into_iter().find(same).expect("it is possible here");
            let next = cluster.apply(&state, &action).next;
            taken.insert((state, action));
            state = next;
        }
    }
    assert_eq!(of_graph.len(), 301);
    assert!(taken == of_graph);
}

#[test]
fn the_production_raft_agrees_on_the_cover() {
    let cover = smoke();
    let report = conform_by_cover(&LockstepRaft, &cover, &mut |_| ControlFlow::Continue(()));
    let report = report.expect("it starts");
    assert_eq!(report.verdict, Verdict::Holds(Strength::EdgesCovered));
    assert!(report.replay.not_driven.is_empty());
    let spec = conform_by_cover(&Spec, &cover, &mut |_| ControlFlow::Continue(())).expect("runs");
    assert_eq!(spec.verdict, Verdict::Holds(Strength::EdgesCovered));
    assert_eq!((spec.share(), spec.replay.not_reached), (1.0, 0));
}

#[test]
fn the_cover_finds_every_planted_mistake() {
    let cover = smoke();
    for mistake in Mistake::ALL {
        let target = Planted::new(LockstepRaft, mistake);
        let report = conform_by_cover(&target, &cover, &mut |_| ControlFlow::Continue(()));
        assert_eq!(
            report.expect("it starts").verdict,
            Verdict::Diverged,
            "{mistake:?}"
        );
    }
}

#[test]
fn a_cover_that_was_cut_off_is_no_pass() {
    let options = CoverOptions {
        max_states: Some(1000),
        ..CoverOptions::default()
    };
    let cover = cover_inputs(&preset("smoke"), options);
    assert_eq!(cover.stopped_by, Some(Limit::States));
    let report = conform_by_cover(&Spec, &cover, &mut |_| ControlFlow::Continue(()));
    let bounded = Verdict::Bounded {
        stopped_by: Limit::States,
    };
    assert_eq!(report.expect("it starts").verdict, bounded);
}

/// The specification, which some inputs cannot be given to.
struct Deaf {
    to: fn(&Input, &NodeView) -> bool,
    /// It says that it was not given the input, and handles it.
    lies: bool,
}

struct DeafServer {
    server: <Spec as Target>::Server,
    to: fn(&Input, &NodeView) -> bool,
    lies: bool,
}

impl Target for Deaf {
    type Server = DeafServer;

    fn description(&self) -> Description {
        Spec.description()
    }

    fn start(&self, config: &Config, id: ServerId) -> Result<DeafServer, TargetError> {
        Ok(DeafServer {
            server: Spec.start(config, id)?,
            to: self.to,
            lies: self.lies,
        })
    }
}

impl TargetServer for DeafServer {
    fn apply(&mut self, input: &Input) -> Result<Reaction, TargetError> {
        if !(self.to)(input, &self.server.view()?) {
            return self.server.apply(input);
        }
        if self.lies {
            self.server.apply(input)?;
        }
        Ok(Reaction::NotDriven {
            reason: "deaf".to_owned(),
        })
    }

    fn view(&mut self) -> Result<NodeView, TargetError> {
        self.server.view()
    }
}

fn on_smoke(to: fn(&Input, &NodeView) -> bool, lies: bool) -> CoverageReport {
    let target = Deaf { to, lies };
    conform_by_cover(&target, &smoke(), &mut |_| ControlFlow::Continue(())).expect("it starts")
}

/// A timer of a role that has no such timer.
fn idle_timer(input: &Input, view: &NodeView) -> bool {
    let timer = matches!(input, Input::Heartbeat | Input::CheckQuorum);
    timer && view.role != Role::Leader
}

#[test]
fn a_target_that_is_not_driven_has_not_passed() {
    let report = on_smoke(|_, _| true, false);
    assert_eq!(report.verdict, Verdict::NothingChecked);
    assert_eq!(report.replay.compared, 0);
    let not_driven: u64 = report.replay.not_driven.values().sum();
    assert!(
        report
            .replay
            .not_driven
            .keys()
            .all(|it| it.reason == "deaf")
    );
    assert_eq!(not_driven + report.replay.not_reached, report.replay.steps);
}

/// It is no failure, and it is not a hundred per cent.
#[test]
fn no_ops_that_cannot_be_driven_are_counted_and_named() {
    let report = on_smoke(idle_timer, false);
    assert_eq!(
        report.verdict,
        Verdict::Holds(Strength::EdgesCoveredWhereDriven)
    );
    assert_eq!(
        report.replay.verdict(),
        Verdict::Holds(Strength::SampledWhereDriven)
    );
    assert_eq!(report.replay.not_reached, 0);
    let named: Vec<_> = report
        .not_driven
        .iter()
        .map(|(why, count)| (why.input, why.reason.as_str(), why.changes_nothing, *count))
        .collect();
    let expected = [
        ("check_quorum", "deaf", true, 75),
        ("heartbeat", "deaf", true, 75),
    ];
    assert_eq!(named, expected);
    assert_eq!(report.items_compared + 150, report.items);
    assert!(report.share() < 1.0);
}

/// An input that changes the server, sends something or is refused must be driven.
#[test]
fn what_does_something_and_is_not_driven_is_no_pass() {
    let deaf_to: [fn(&Input, &NodeView) -> bool; 3] = [
        |input, view| *input == Input::Heartbeat && view.role == Role::Leader,
        |input, _| *input == Input::Restart,
        |input, view| matches!(input, Input::Propose(_)) && view.role != Role::Leader,
    ];
    for (position, to) in deaf_to.into_iter().enumerate() {
        let report = on_smoke(to, false);
        assert_eq!(
            report.verdict,
            Verdict::InPart(Strength::EdgesCovered),
            "{position}"
        );
        assert_eq!(report.replay.verdict(), Verdict::InPart(Strength::Sampled));
        assert!(report.not_driven.keys().any(|it| !it.changes_nothing));
    }
}

/// The server must be as it was, whatever the target says.
#[test]
fn a_server_that_moves_without_being_driven_diverges() {
    let report = on_smoke(|input, _| *input == Input::Timeout, true);
    assert_eq!(report.verdict, Verdict::Diverged);
    let (_, found) = report.replay.divergence.expect("it diverges");
    assert!(
        matches!(found.differences.as_slice(), [Difference::Bystander { .. }]),
        "{:?}",
        found.differences
    );
    // At a server that has just started, which every way begins with.
    let target = Deaf {
        to: |input, _| *input == Input::Timeout,
        lies: true,
    };
    let cluster = preset("smoke");
    let short = minimise(&target, cluster.settings(), &smoke(), &found);
    assert_eq!(short.trace.steps.len(), 1);
    // The same target, without the lie, does not.
    let report = on_smoke(|input, _| *input == Input::Timeout, false);
    assert_ne!(report.verdict, Verdict::Diverged);
}

/// An input that was not driven leaves the server elsewhere, and its behaviour from there on is no divergence.
#[test]
fn a_shorter_way_never_leads_through_what_was_not_driven() {
    let target = Deaf {
        to: |input, _| *input == Input::Timeout,
        lies: false,
    };
    let (cluster, cover) = (preset("smoke"), smoke());
    let settings = cluster.settings();
    let id = ServerId::new(1).expect("a name");
    let mut server = Server::new(settings, id);
    let steps = [Input::Timeout, Input::CheckQuorum].map(|input| {
        let step = server.step(settings, &input);
        server = step.server;
        Step {
            event: Event::Server { server: id, input },
            expected: Some(Expected {
                read_states: Vec::new(),
                outcome: step.outcome,
                view: server.view(settings),
                sent: step.sent,
            }),
        }
    });
    let found = Divergence {
        trace: Trace {
            header: cover.traces[0].header.clone(),
            steps: steps.into(),
        },
        differences: vec![Difference::Failed {
            error: "found elsewhere".to_owned(),
        }],
        actual: None,
    };
    let short = minimise(&target, settings, &cover, &found);
    assert_eq!(short, found);
}
