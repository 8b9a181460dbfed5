use super::*;
use crate::replay::{ReplayReport, replay_read};
use crate::target::{Description, Output, Reaction, Target, TargetError, TargetServer};
use crate::targets::spec::Spec;
use crate::verdict::{Strength, Verdict};
use lockstep_model::{Dialect, Server};
use lockstep_traces::{
    Body, Expected, FieldSet, Header, Index, Input, Message, NodeView, Provenance, Role, Trace,
    TraceReader,
};
use std::collections::BTreeMap;
use std::ops::ControlFlow;

fn id(number: u64) -> ServerId {
    ServerId::new(number).expect("not zero")
}

fn config() -> Config {
    Config {
        max_inflight: 1,
        ..Config::PAPER
    }
}

fn settings() -> Settings {
    Settings::new(&config()).expect("in range")
}

/// A run of the specification, step by step.
struct Specified {
    servers: BTreeMap<ServerId, Server>,
    steps: Vec<Step>,
}

impl Specified {
    fn new() -> Specified {
        let servers = config().server_ids();
        let servers = servers.map(|id| (id, Server::new(&settings(), id)));
        Specified {
            servers: servers.collect(),
            steps: Vec::new(),
        }
    }

    /// One more step; returns what it sent.
    fn step(&mut self, server: u64, input: Input) -> Vec<Message> {
        let step = self.servers[&id(server)].step(&settings(), &input);
        let sent = step.sent.iter().map(|it| it.message.clone()).collect();
        self.steps.push(Step {
            event: Event::Server {
                server: id(server),
                input,
            },
            expected: Some(Expected {
                read_states: Vec::new(),
                outcome: step.outcome,
                view: step.server.view(&settings()),
                sent: step.sent,
            }),
        });
        self.servers.insert(id(server), step.server);
        sent
    }

    /// Returns the expectation of the last step, for a test to make wrong.
    fn last(&mut self) -> &mut Expected {
        let last = self.steps.last_mut().and_then(|it| it.expected.as_mut());
        last.expect("there is a step of a server")
    }
}

fn to(messages: &[Message], to: u64) -> Input {
    let found = messages.iter().find(|it| it.to == id(to));
    Input::Deliver(found.expect("it was sent").clone())
}

fn found(property: &str, steps: &[Step]) -> Option<Violation> {
    let judge = Judge::specified(property, &settings()).expect("there is such a property");
    judge.along(steps)
}

fn cause<'a>(violation: &'a Violation, what: &str) -> &'a Cause {
    let mut causes = violation.causes.iter();
    let found = causes.find(|it| it.what == what);
    found.unwrap_or_else(|| panic!("{what} is not among {:#?}", violation.causes))
}

/// Servers 1 and 2 both campaign in term 1, and server 2 is asked for its vote.
fn two_candidates() -> Specified {
    let mut run = Specified::new();
    let requests = run.step(1, Input::Timeout);
    run.step(2, Input::Timeout);
    run.step(2, to(&requests, 2));
    run
}

#[test]
fn a_step_is_blamed_for_the_value_that_is_wrong() {
    let mut run = two_candidates();
    assert_eq!(found("one_vote_per_term_step", &run.steps), None);
    let last = run.last();
    last.view.vote = Some(id(1));
    last.view.durable.vote = Some(id(1));
    let violation = found("one_vote_per_term_step", &run.steps).expect("it voted twice");
    assert_eq!((violation.step, violation.server), (3, Some(id(2))));
    assert!(violation.says.contains("at most one candidate"));
    let after = cause(&violation, "server 2, vote after the step");
    assert_eq!(
        (after.value.as_str(), after.holds_with.as_deref()),
        ("1", Some("2"))
    );
    // The other side of the contradiction.
    let before = cause(&violation, "server 2, vote before the step");
    assert_eq!(before.value, "2");
    // And nothing that has no part in it.
    let innocent = |it: &Cause| it.what.contains("log") || it.what.contains("commit");
    assert!(!violation.causes.iter().any(innocent), "{violation:#?}");
}

#[test]
fn a_step_is_blamed_for_what_it_did_not_do() {
    let mut run = Specified::new();
    let requests = run.step(1, Input::Timeout);
    run.step(3, to(&requests, 3));
    assert_eq!(found("vote_given_step", &run.steps), None);
    let last = run.last();
    last.view.vote = None;
    last.view.durable.vote = None;
    last.sent[0].message.body = Body::RequestVoteResponse { granted: false };
    let violation = found("vote_given_step", &run.steps).expect("it must vote");
    let sent = cause(&violation, "sent to 1");
    assert!(sent.value.ends_with("refused"), "{sent:?}");
    let with = sent.holds_with.as_deref().expect("an answer would do");
    assert!(with.ends_with("granted"), "{sent:?}");
}

#[test]
fn history_has_a_part_in_it() {
    let mut run = two_candidates();
    // Both lead term 1, says the trace.
    for (position, server) in [(0, 1), (1, 2)] {
        let expected = run.steps[position].expected.as_mut().expect("it moves");
        expected.view.role = Role::Leader;
        expected.view.leader = Some(id(server));
        expected.view.votes.clear();
        let peers = config().server_ids().filter(|it| *it != id(server));
        expected.view.peers = peers.map(|id| (id, fresh())).collect();
    }
    let violation = found("election_safety_inv", &run.steps).expect("two leaders");
    assert_eq!(violation.step, 2);
    let leaders = cause(&violation, "leaders of term 1 so far");
    assert_eq!(leaders.value, "server 1 and server 2");
}

fn fresh() -> lockstep_traces::PeerView {
    lockstep_traces::PeerView {
        matched: Index(0),
        next: Index(1),
        state: lockstep_traces::ProgressState::Probe,
        paused: false,
        recent_active: false,
        commit_sent: Index(0),
        inflight: Vec::new(),
        pending_snapshot: None,
    }
}

/// A message that nobody sent ends the run: what follows proves nothing.
#[test]
fn what_was_never_sent_is_not_judged() {
    let mut run = two_candidates();
    run.last().view.vote = Some(id(1));
    run.last().view.durable.vote = Some(id(1));
    run.steps.remove(0);
    assert_eq!(found("one_vote_per_term_step", &run.steps), None);
}

/// A target that says what a trace says, whatever it is given.
struct Parrot(Vec<Step>);

struct ParrotServer {
    said: std::vec::IntoIter<Expected>,
    view: NodeView,
}

impl Target for Parrot {
    type Server = ParrotServer;

    fn description(&self) -> Description {
        Description {
            name: "parrot".to_owned(),
            shows: FieldSet::ALL,
            ..Spec.description()
        }
    }

    fn start(&self, _: &Config, id: ServerId) -> Result<ParrotServer, TargetError> {
        let own = self.0.iter().filter(|it| it.event.server() == Some(id));
        let said: Vec<_> = own.filter_map(|it| it.expected.clone()).collect();
        Ok(ParrotServer {
            said: said.into_iter(),
            view: NodeView::default(),
        })
    }
}

impl TargetServer for ParrotServer {
    fn apply(&mut self, _: &Input) -> Result<Reaction, TargetError> {
        let said = self.said.next();
        let said = said.ok_or_else(|| TargetError::Failed("it has nothing to say".to_owned()))?;
        let before = self.view.applied;
        self.view = said.view;
        Ok(Reaction::Driven(Output {
            read_states: Vec::new(),
            outcome: said.outcome,
            sent: said.sent,
            handed: crate::compare::handed(&self.view, before),
        }))
    }

    fn view(&mut self) -> Result<NodeView, TargetError> {
        Ok(self.view.clone())
    }
}

fn counterexample() -> Trace {
    let mut run = two_candidates();
    run.last().view.vote = Some(id(1));
    run.last().view.durable.vote = Some(id(1));
    let made = Provenance {
        generator: "by hand".to_owned(),
        ..Provenance::default()
    };
    Trace {
        header: Header::new("twice", "It votes twice.", config(), made)
            .violating("one_vote_per_term_step"),
        steps: run.steps,
    }
}

fn replayed(target: &impl Target, trace: Trace) -> ReplayReport {
    let judges = Judges {
        specification: true,
        dialect: Dialect::ETCD,
    };
    let mut bytes = Vec::new();
    trace.write(&mut bytes).expect("a good trace");
    let read = [TraceReader::new(&bytes[..], "twice").map(|it| ("twice".to_owned(), it))];
    let report = replay_read(target, read, Some(judges), &mut |_| {
        ControlFlow::Continue(())
    });
    report.expect("it runs")
}

#[test]
fn only_a_target_that_does_the_same_violates_a_counterexample() {
    let trace = counterexample();
    let same = replayed(&Parrot(trace.steps.clone()), trace.clone());
    assert_eq!(same.verdict(), Verdict::Violated);
    let (_, found) = &same.counterexamples[0];
    assert!(found.departure.is_none());
    let CounterexampleFate::Violated(violation) = &found.fate else {
        panic!("{:?}", found.fate);
    };
    assert_eq!((violation.step, violation.causes.is_empty()), (3, false));

    let right = replayed(&Spec, trace.clone());
    assert_eq!(right.verdict(), Verdict::Holds(Strength::Sampled));
    let (_, found) = &right.counterexamples[0];
    let departure = found.departure.as_ref().expect("it does otherwise");
    assert_eq!(departure.trace.steps.len(), 3);
    let fate = &found.fate;
    let whole = CounterexampleFate::Held {
        steps: 3,
        whole: true,
    };
    assert_eq!(format!("{fate:?}"), format!("{whole:?}"));

    // One that breaks down holds as far as it goes, and no step at all is no answer.
    let short = replayed(&Parrot(trace.steps[..2].to_vec()), trace.clone());
    assert_eq!(short.verdict(), Verdict::Holds(Strength::Sampled));
    let mute = replayed(&Parrot(Vec::new()), trace);
    assert_eq!(mute.verdict(), Verdict::Unanswered);
}

#[test]
fn a_property_that_does_not_exist_is_bad_input() {
    let mut trace = counterexample();
    trace.header.property = Some("nonsense_step".to_owned());
    let judges = Judges {
        specification: true,
        dialect: Dialect::ETCD,
    };
    let mut bytes = Vec::new();
    trace.write(&mut bytes).expect("a good trace");
    let read = [TraceReader::new(&bytes[..], "twice").map(|it| ("twice".to_owned(), it))];
    let error = replay_read(
        &Spec,
        read,
        Some(judges),
        &mut |_| ControlFlow::Continue(()),
    );
    let error = error.expect_err("there is no such property").to_string();
    assert!(error.contains("twice:1: `property`"), "{error}");
}

/// Properties of implementations are asked of the same steps, by way of what can be seen.
#[test]
fn properties_of_implementations_are_evaluated_on_views() {
    let trace = counterexample();
    let judge = Judge::of_implementations("one_vote_per_term_step", &config());
    let violation = judge.expect("it exists").along(&trace.steps);
    let violation = violation.expect("it votes twice");
    cause(&violation, "server 2, vote after the step");
    assert!(Judge::of_implementations("campaign_step", &config()).is_none());
}

#[test]
fn every_property_has_a_judge() {
    let specified = lockstep_model::properties::state_properties().iter();
    let steps = lockstep_model::properties::step_properties().iter();
    let names = specified.map(|it| it.name).chain(steps.map(|it| it.name));
    for name in names {
        assert!(Judge::specified(name, &settings()).is_some(), "{name}");
    }
}
