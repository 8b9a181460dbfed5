//! Tests of the exports.

use super::{Graph, dot, itf, shiviz};
use crate::show::Story;
use lockstep_model::{Cluster, Preset, Settings};
use lockstep_traces::Trace;
use serde_json::Value;
use std::path::Path;

fn trace(name: &str) -> Trace {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../traces/corpus");
    Trace::read(&folder.join(format!("{name}.ndjson"))).expect("it is part of the corpus")
}

/// Every state has every variable, every whole number is one of the format, and messages do not pile up.
#[test]
fn a_trace_in_the_informal_trace_format() {
    let trace = trace("story-figure-8-overwritten");
    let whole: Value = serde_json::from_str(&itf(&trace)).expect("it is JSON");
    let states = whole["states"].as_array().expect("states");
    assert_eq!(states.len(), trace.steps.len() + 1);
    for (index, state) in states.iter().enumerate() {
        assert_eq!(state["#meta"]["index"], index);
        for variable in whole["vars"].as_array().expect("variables") {
            let name = variable.as_str().expect("a name");
            assert!(!state[name].is_null(), "{name} at {index}");
        }
        assert_eq!(
            state["servers"]["#map"].as_array().map(Vec::len),
            Some(trace.header.config.servers as usize)
        );
    }
    let last = states.last().expect("a state");
    let story = Story::of_trace(&trace);
    let copies = last["network"]["#map"].as_array().expect("a map").iter();
    let copies = copies.map(|it| it[1]["#bigint"].as_str().and_then(|it| it.parse().ok()));
    let copies: usize = copies.map(|it: Option<usize>| it.expect("a number")).sum();
    assert_eq!(copies, story.in_flight().count());
}

#[test]
fn an_election_for_shiviz() {
    let story = Story::of_trace(&trace("witness-leader_elected"));
    insta::assert_snapshot!(shiviz(&story));
}

/// A delivery knows everything that its sender knew.
#[test]
fn clocks_follow_messages() {
    let story = Story::of_trace(&trace("story-figure-8-overwritten"));
    let log = shiviz(&story);
    let events: Vec<&str> = log.lines().skip(2).step_by(2).collect();
    let clock = |step: usize| -> std::collections::BTreeMap<String, u64> {
        let (_, clock) = events[step].split_once(' ').expect("host and clock");
        serde_json::from_str(clock).expect("a clock")
    };
    assert_eq!(events.len(), story.steps.len());
    for flight in &story.flights {
        if let (Some(born), crate::show::Fate::Delivered(end)) = (flight.born, flight.fate) {
            let (sent, delivered) = (clock(born), clock(end));
            assert!(sent.iter().all(|(host, count)| delivered[host] >= *count));
        }
    }
}

fn cluster(preset: &str) -> Cluster {
    let preset = Preset::named(preset).expect("a preset");
    let settings = Settings::new(&preset.config).expect("it can be specified");
    Cluster::new(settings, preset.bounds)
}

/// The graph has the states and transitions of a search.
#[test]
fn a_small_graph_in_dot() {
    let cluster = cluster("single");
    let graph = Graph::of(&cluster, 1_000).expect("it is small");
    let report = lockstep_engine::Search::new(&cluster)
        .run()
        .expect("it can be searched")
        .report;
    assert_eq!(graph.states.len() as u64, report.distinct);
    let transitions: u64 = report.levels.iter().map(|it| it.generated).sum();
    assert_eq!(graph.edges.len() as u64, transitions);
    let text = dot(&graph, &cluster, "single");
    assert_eq!(text.matches(" -> ").count(), graph.edges.len());
    assert!(text.starts_with("digraph \"single\" {") && text.ends_with("}\n"));
    assert!(Graph::of(&cluster, 100).is_err());
}
