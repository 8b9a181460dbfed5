//! The findings of `conformance/findings/`: each trace still shows what its page says.
//!
//! A trace there carries what etcd's raft (the specification) does. It is the shortest on which one
//! departure of raft-rs shows: made by this test from the specification, and checked against raft-rs
//! itself and, where there is Go, against etcd's raft. `LOCKSTEP_REWRITE=1` writes the files anew;
//! understand the difference before you commit it.

mod opinions;

use lockstep_conformance::compare::Wanted;
use lockstep_conformance::cover::{CoverOptions, conform_by_cover, cover_inputs};
use lockstep_conformance::minimise::minimise;
use lockstep_conformance::replay::replay;
use lockstep_conformance::targets::etcd::StorageWrites;
use lockstep_conformance::targets::raft_rs::RaftRs;
use lockstep_conformance::verdict::{Strength, Verdict};
use lockstep_conformance::{Description, Reaction, Target, TargetError, TargetServer};
use lockstep_model::{Cluster, Departure, Dialect, Server, Settings};
use lockstep_traces::{Config, Expected, Field, FieldSet, Input, NodeView, ServerId, Trace};
use opinions::{WINDOW, etcd, go_on};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// The specification in a dialect, as a target.
struct Spoken(Dialect);

struct Speaker {
    settings: Settings,
    server: Server,
}

impl Target for Spoken {
    type Server = Speaker;

    fn description(&self) -> Description {
        Description {
            name: "spec".to_owned(),
            version: String::new(),
            // As for raft-rs, which does not have it.
            shows: FieldSet::ALL.without(Field::CommitSent),
            derived: BTreeMap::new(),
            dialect: Vec::new(),
        }
    }

    fn start(&self, config: &Config, id: ServerId) -> Result<Speaker, TargetError> {
        let settings = Settings::new(config).unwrap().with_dialect(self.0);
        Ok(Speaker {
            server: Server::new(&settings, id),
            settings,
        })
    }
}

impl TargetServer for Speaker {
    fn apply(&mut self, input: &Input) -> Result<Reaction, TargetError> {
        let before = self.server.view(&self.settings).applied;
        let step = self.server.step(&self.settings, input);
        self.server = step.server;
        let expected = Expected {
            read_states: Vec::new(),
            outcome: step.outcome,
            view: self.server.view(&self.settings),
            sent: step.sent,
        };
        let output = Wanted::new(&expected, before).output.into_owned();
        Ok(Reaction::Driven(output))
    }

    fn view(&mut self) -> Result<NodeView, TargetError> {
        Ok(self.server.view(&self.settings))
    }
}

/// One leader, a window of one, and a network that duplicates.
fn window() -> Cluster {
    let config = Config {
        one_entry_per_append: true,
        max_inflight: 1,
        ..Config::PAPER
    };
    Cluster::new(Settings::new(&config).unwrap(), WINDOW)
}

fn file_of(departure: Departure) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("findings")
        .join(format!("raft-rs-{departure}.ndjson"))
}

/// The verdict of a target on a trace, and at which step it diverges.
fn verdict<T: Target>(target: &T, trace: &Trace) -> (Verdict, Option<usize>) {
    let traces = [Ok((trace.header.name.clone(), trace.clone()))];
    let report = replay(target, traces, &mut go_on).unwrap();
    let step = report.divergence.as_ref();
    (
        report.verdict(),
        step.map(|(_, found)| found.trace.steps.len()),
    )
}

#[test]
fn the_departures_of_raft_rs_show_on_their_traces() {
    let cluster = window();
    let settings = *cluster.settings();
    let cover = cover_inputs(&cluster, CoverOptions::default());
    for departure in Dialect::RAFT_RS.iter() {
        let spoken = Spoken(Dialect::ETCD.with(departure));
        let report = conform_by_cover(&spoken, &cover, &mut go_on).unwrap();
        let (_, found) = report.replay.divergence.expect("the departure shows");
        let mut trace = minimise(&spoken, &settings, &cover, &found).trace;
        trace.header.name = format!("raft-rs-{departure}");
        trace.header.purpose = "The shortest on which raft-rs shows this departure.".to_owned();
        trace.header.made.generator = "cargo test --test findings".to_owned();

        let path = file_of(departure);
        if std::env::var_os("LOCKSTEP_REWRITE").is_some() {
            trace.save(&path).unwrap();
        }
        let kept = Trace::read(&path).expect("LOCKSTEP_REWRITE=1 writes it");
        assert_eq!(
            kept, trace,
            "{departure}: LOCKSTEP_REWRITE=1 writes it anew"
        );
        assert_eq!(
            verdict(&RaftRs::new(), &trace),
            (Verdict::Diverged, Some(trace.steps.len())),
            "{departure} on raft-rs"
        );
    }
}

#[test]
fn etcd_does_what_the_traces_say() {
    let Some(target) = etcd(StorageWrites::Synchronous) else {
        return;
    };
    for departure in Dialect::RAFT_RS.iter() {
        let trace = Trace::read(&file_of(departure)).unwrap();
        let (verdict, _) = verdict(&target, &trace);
        assert_eq!(verdict, Verdict::Holds(Strength::Sampled), "{departure}");
    }
}
