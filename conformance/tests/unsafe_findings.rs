//! The unsafe departures of etcd's raft: for each a counterexample in `conformance/findings/`.
//!
//! The specification with that one departure violates the property that the trace names, and the real library does at
//! every step what the trace says. `LOCKSTEP_REWRITE=1` writes the files anew; understand the difference before you
//! commit it.

#[expect(dead_code, reason = "the bounds are for tests that drive the targets")]
mod opinions;

use lockstep_conformance::Target;
use lockstep_conformance::path::{provenance, steps_along};
use lockstep_conformance::properties::{Counterexample, CounterexampleFate, Judges};
use lockstep_conformance::replay::{replay, replay_read};
use lockstep_conformance::targets::etcd::{StorageWrites, Version};
use lockstep_conformance::verdict::{Strength, Verdict};
use lockstep_engine::Search;
use lockstep_model::properties::NamedProperty;
use lockstep_model::{Action, Bounds, Budget, Cluster, Departure, Dialect, Id, Preset, Settings};
use lockstep_traces::{
    Body, Config, Event, Header, Input, Message, Reads, Storage, Trace, TraceReader,
};
use opinions::{etcd_at, go_on};
use std::path::{Path, PathBuf};

/// A departure, and a run that shows what it leads to.
struct Finding {
    departure: Departure,
    property: &'static str,
    purpose: &'static str,
    steps: usize,
    /// The preset of the model, if it is one as it is.
    preset: Option<&'static str>,
    model: fn() -> (Config, Bounds),
    /// The run; a shortest one is searched for if there is none.
    story: Option<fn(&Cluster) -> Vec<Action>>,
    versions: &'static [Version],
}

const FINDINGS: [Finding; 6] = [
    Finding {
        departure: Departure::AutoLeaveWaits,
        property: "auto_leave_inv",
        purpose: "A leader whose transfer has failed stays in the joint configuration that the transfer kept it from leaving.",
        steps: 10,
        preset: Some("forward-change"),
        model: || of_preset("forward-change"),
        story: None,
        versions: &Version::ALL,
    },
    Finding {
        departure: Departure::LeadsBeforeOwnVote,
        property: "election_safety_inv",
        purpose: "A candidate leads by the votes of others before its own is durable, crashes, and another leads its term.",
        steps: 16,
        preset: Some("async-election"),
        model: || of_preset("async-election"),
        story: None,
        versions: &Version::ALL,
    },
    Finding {
        departure: Departure::SingleVoterReadsAtOnce,
        property: "linearizable_reads_inv",
        purpose: "A single voter that lost its commit index in a crash answers a read before it has committed in its term.",
        steps: 7,
        preset: None,
        model: single_voter,
        story: None,
        versions: &Version::ALL,
    },
    Finding {
        departure: Departure::LastVoterNotAsked,
        property: "linearizable_reads_inv",
        purpose: "A leader that was removed answers a read alone, while the one voter that is left leads a later term.",
        steps: 11,
        preset: Some("read-removal"),
        model: || of_preset("read-removal"),
        story: None,
        versions: &Version::ALL,
    },
    Finding {
        departure: Departure::LeaseAfterTimeoutNow,
        property: "linearizable_lease_reads_inv",
        purpose: "A leader that has told a server to campaign answers a read by lease, while that server leads.",
        steps: 19,
        preset: Some("lease-transfer"),
        model: || of_preset("lease-transfer"),
        story: None,
        versions: &Version::ALL,
    },
    Finding {
        departure: Departure::ReadsByContext,
        property: "linearizable_reads_inv",
        purpose: "The late answer to an earlier round of the same context confirms a read that came after it was given.",
        steps: 30,
        preset: None,
        model: || (READING, Bounds::UNLIMITED),
        story: Some(late_answer),
        versions: &[Version::V3_6],
    },
];

const READING: Config = Config {
    reads: Reads::Safe,
    ..Config::PAPER
};

fn of_preset(name: &str) -> (Config, Bounds) {
    let preset = Preset::named(name).expect("there is such a preset");
    (preset.config.clone(), preset.bounds)
}

/// One voter with asynchronous storage, two terms, a crash and a read.
fn single_voter() -> (Config, Bounds) {
    let config = Config {
        servers: 1,
        storage: Storage::Async,
        ..READING
    };
    let (_, bounds) = of_preset("async-single");
    let bounds = Bounds {
        max_term: 2,
        timeouts: Budget::Times(2),
        proposals: Budget::Times(1),
        restarts: Budget::Times(1),
        compactions: Budget::Times(0),
        reads: [Budget::Times(1), Budget::Times(0)],
        ..bounds
    };
    (config, bounds)
}

/// Etcd #20418. Clients use no context twice: the network repeats a read that a follower passes on.
fn late_answer(cluster: &Cluster) -> Vec<Action> {
    let name = |number| Id::new(number).expect("it is not zero");
    let mut run = Run::new(cluster);
    run.act(Action::Timeout(name(1)));
    run.deliver_all(|_| true);
    run.act(Action::ReadIndex(name(2)));
    run.meet(Action::Duplicate, is_read);
    run.meet(Action::Deliver, is_read);
    run.meet(Action::Deliver, between(1, 2));
    run.meet(Action::Deliver, between(1, 3));
    // The answer of server 3 stays on its way, and so does the repeated read.
    run.meet(Action::Deliver, |m| between(2, 1)(m) && !is_read(m));
    run.meet(Action::Deliver, |m| {
        matches!(m.body, Body::ReadIndexResponse { .. })
    });
    run.act(Action::Timeout(name(2)));
    run.deliver_all(|m| m.term.0 == 2 && m.to.get() != 1 && m.from.get() != 1);
    run.act(Action::ReadOtherIndex(name(1)));
    run.meet(Action::Deliver, is_read);
    run.meet(Action::Deliver, |m| between(3, 1)(m) && m.term.0 == 1);
    run.actions
}

/// A run in which the network does what a story says.
struct Run<'a> {
    cluster: &'a Cluster,
    state: lockstep_model::ClusterState,
    actions: Vec<Action>,
}

impl Run<'_> {
    fn new(cluster: &Cluster) -> Run<'_> {
        Run {
            cluster,
            state: cluster.initial(),
            actions: Vec::new(),
        }
    }

    fn act(&mut self, action: Action) {
        self.state = self.cluster.apply(&self.state, &action).next;
        self.actions.push(action);
    }

    fn find(&self, kind: fn(u32) -> Action, wanted: impl Fn(&Message) -> bool) -> Option<Action> {
        let in_flight = u32::try_from(self.state.in_flight()).expect("there are few");
        (0..in_flight)
            .map(kind)
            .find(|action| match self.cluster.event(&self.state, action) {
                Event::Server {
                    input: Input::Deliver(m),
                    ..
                }
                | Event::Duplicate(m)
                | Event::Drop(m) => wanted(&m),
                Event::Server { .. } => false,
            })
    }

    fn meet(&mut self, kind: fn(u32) -> Action, wanted: impl Fn(&Message) -> bool) {
        let action = self.find(kind, wanted);
        self.act(action.expect("there is such a message"));
    }

    fn deliver_all(&mut self, wanted: impl Fn(&Message) -> bool) {
        while let Some(action) = self.find(Action::Deliver, &wanted) {
            self.act(action);
        }
    }
}

fn between(from: u64, to: u64) -> impl Fn(&Message) -> bool {
    move |m| (m.from.get(), m.to.get()) == (from, to)
}

fn is_read(m: &Message) -> bool {
    matches!(m.body, Body::ReadIndex { .. })
}

impl Finding {
    fn cluster(&self, dialect: Dialect) -> Cluster {
        let (config, bounds) = (self.model)();
        let settings = Settings::new(&config).expect("the configuration is in range");
        Cluster::new(settings.with_dialect(dialect), bounds)
    }

    /// The counterexample, from the specification with this departure and no other.
    fn trace(&self) -> Trace {
        let cluster = self.cluster(Dialect::ETCD.with(self.departure));
        let actions = match self.story {
            Some(story) => story(&cluster),
            None => searched(&cluster, self.property).expect("the property is violated"),
        };
        let name = format!("etcd-{}", self.departure);
        let made = provenance("cargo test --test unsafe_findings", self.preset, &cluster);
        let config = cluster.settings().config();
        Trace {
            header: Header::new(&name, self.purpose, config, made).violating(self.property),
            steps: steps_along(&cluster, &actions),
        }
    }

    fn path(&self) -> PathBuf {
        Path::new(env!("CARGO_MANIFEST_DIR"))
            .join("findings")
            .join(format!("etcd-{}.ndjson", self.departure))
    }
}

/// A shortest run that violates the property.
fn searched(cluster: &Cluster, property: &str) -> Option<Vec<Action>> {
    let checked = Search::new(cluster).threads(2).only([property]).run();
    let found = checked.expect("the search runs").counterexample?;
    Some(found.actions().copied().collect())
}

#[test]
fn what_is_unsafe_violates_its_property() {
    for finding in &FINDINGS {
        let trace = finding.trace();
        assert!(finding.departure.is_unsafe());
        assert!(NamedProperty::find(finding.property).is_some());
        assert_eq!(trace.steps.len(), finding.steps, "{}", finding.departure);
        if std::env::var_os("LOCKSTEP_REWRITE").is_some() {
            trace.save(&finding.path()).unwrap();
        }
        let kept = Trace::read(&finding.path()).expect("LOCKSTEP_REWRITE=1 writes it");
        assert!(
            kept == trace,
            "{}: LOCKSTEP_REWRITE=1 writes it anew",
            finding.departure
        );
    }
}

/// As it is the specification holds in the same model.
#[test]
fn the_specification_violates_none_of_them() {
    for finding in FINDINGS.iter().filter(|it| it.story.is_none()) {
        let found = searched(&finding.cluster(Dialect::ETCD), finding.property);
        assert_eq!(found, None, "{}", finding.departure);
    }
}

/// The departures of etcd's raft that are not unsafe change the pace, or what clients are told, and violate nothing.
#[test]
fn what_is_not_unsafe_violates_nothing() {
    for name in ["async-removal", "async-read", "read-removal", "read-twice"] {
        let (config, bounds) = of_preset(name);
        let settings = Settings::new(&config).expect("the configuration is in range");
        for departure in Dialect::ETCD_3_6.iter().filter(|it| !it.is_unsafe()) {
            let dialect = Dialect::ETCD.with(departure);
            let cluster = Cluster::new(settings.with_dialect(dialect), bounds);
            let checked = Search::new(&cluster).threads(2).run();
            let checked = checked.expect("the search runs");
            let verdict = &checked.report.verdict;
            assert!(
                checked.counterexample.is_none(),
                "{departure} in {name}: {verdict:?}"
            );
        }
    }
}

/// The library takes every step of the trace, to the last one, and what it shows violates the property again. A version
/// that was mended does not.
#[test]
fn etcd_does_what_is_unsafe() {
    for version in Version::ALL {
        let Some(target) = etcd_at(version, StorageWrites::Synchronous) else {
            return;
        };
        for finding in &FINDINGS {
            let what = format!("{} on {}", finding.departure, version.name());
            let mut trace = Trace::read(&finding.path()).unwrap();
            let mut bytes = Vec::new();
            trace.write(&mut bytes).unwrap();
            trace.header.property = None;
            let traces = [Ok((what.clone(), trace))];
            let verdict = replay(&target, traces, &mut go_on).unwrap().verdict();
            let expected = match finding.versions.contains(&version) {
                true => Verdict::Holds(Strength::Sampled),
                false => Verdict::Diverged,
            };
            assert_eq!(verdict, expected, "{what}");

            let reader = TraceReader::new(&bytes[..], &what).map(|it| (what.clone(), it));
            let judges = Judges {
                specification: false,
                dialect: target.dialect(),
            };
            let again = replay_read(&target, [reader], Some(judges), &mut go_on).unwrap();
            let [(_, counterexample)] = &again.counterexamples[..] else {
                panic!("{what}: its property is evaluated once");
            };
            let violated = violated(counterexample, finding.property);
            assert_eq!(violated, finding.versions.contains(&version), "{what}");
            assert_eq!(again.verdict() == Verdict::Violated, violated, "{what}");
        }
    }
}

fn violated(counterexample: &Counterexample, property: &str) -> bool {
    let violated = matches!(counterexample.fate, CounterexampleFate::Violated(_));
    violated && counterexample.property == property
}
