//! A bug in the specification: is a property violated, or a witness no longer reached?

use super::{Bug, Caught, Finding, Graph, Rung, Searched, Seen, WALKS};
use crate::path::{provenance, steps_along};
use crate::properties::Judge;
use crate::targets::spec::Spec;
use crate::walk::{HarnessClock, walk};
use lockstep_engine::{Checked, Report, Search, Verdict};
use lockstep_model::properties::witnesses;
use lockstep_model::recovery::{self, Recovery};
use lockstep_model::{Action, Cluster, ClusterState, Preset, Settings};
use lockstep_traces::{Header, Trace};
use std::ops::ControlFlow;
use std::time::Instant;

/// Searches with the specification as it is in this process, preset after preset, and walks. With `all`, every
/// preset of the rungs is searched, whatever the others find; with names in `within`, only those presets, in that order.
///
/// # Panics
///
/// If a preset cannot be set up or searched.
pub fn try_specification(bug: &Bug, rungs: &[Rung], all: bool, within: &[String]) -> Finding {
    let clock = Instant::now();
    let mut graphs = Vec::new();
    let mut caught = None;
    let mut seen = Vec::new();
    for rung in rungs {
        let place = |it: &&Preset| within.iter().position(|name| name == it.name);
        let mut presets = super::presets(*rung);
        presets.retain(|it| within.is_empty() || place(it).is_some());
        presets.sort_by_key(place);
        let mut runs: Vec<_> = presets.into_iter().map(Some).collect();
        if *rung == Rung::Walks {
            runs.push(None);
        }
        for run in runs {
            if caught.is_some() && !all {
                break;
            }
            let found = match run {
                Some(preset) => search(bug, *rung, preset, &mut graphs),
                None => walks(),
            };
            if let Some(found) = found {
                seen.extend(all.then(|| Seen::from(&found)));
                caught.get_or_insert(found);
            }
        }
    }
    let preset = bug.preset.as_deref().and_then(Preset::named);
    let searched = bug.caught_by.as_deref().zip(preset);
    Finding {
        id: bug.id.clone(),
        side: bug.side,
        what: bug.what.clone(),
        breaks: bug.breaks.clone(),
        caught,
        seen,
        graphs,
        searched: searched.map(|(name, preset)| search_for(name, preset)),
        seconds: clock.elapsed().as_secs_f64(),
    }
}

/// The walks of `lockstep verify`, with the specification on both sides: only a property can see anything.
fn walks() -> Option<Caught> {
    let clock = Instant::now();
    let on_both = HarnessClock(Spec);
    let report = walk(&WALKS, &on_both, &mut |_| ControlFlow::Continue(()));
    let found = report.expect("the specification starts").divergence?;
    let violated = found.violated.as_deref();
    let trace = found.divergence.trace;
    Some(Caught {
        rung: Rung::Walks,
        run: "walks".to_owned(),
        by: violated
            .map_or("it does not agree with itself", property)
            .to_owned(),
        panicked: false,
        states: 0,
        seconds: clock.elapsed().as_secs_f64(),
        steps: trace.steps.len(),
        trace_ends: true,
        rules: super::rules(&trace),
        causes: None,
        path: super::path(&trace),
        trace: Some(trace),
    })
}

/// The name of the property in a sentence about its violation: it stands between backticks.
fn property(sentence: &str) -> &str {
    sentence.split('`').nth(1).unwrap_or(sentence)
}

/// A search for one property or witness, with the specification as it is in this process, and whether the
/// collapse of states changes its result.
///
/// # Panics
///
/// If the preset cannot be set up, or there is nothing of that name.
pub fn search_for(name: &str, preset: &Preset) -> Searched {
    let search = |collapse| {
        if name == recovery::NAME {
            return try_states(preset, collapse).report;
        }
        let cluster = cluster(preset);
        let search = Search::new(&cluster).threads(2).collapse(collapse);
        let search = search.only([name]).max_states(super::MAX_STATES);
        search.run().expect("the name is that of a property").report
    };
    let (found, plain) = (search(true), search(false));
    let reached = |report: &Report| report.witnesses.iter().any(|it| it.depth.is_some());
    Searched {
        preset: preset.name.to_owned(),
        only: name.to_owned(),
        violated: matches!(found.verdict, Verdict::Violated { .. }),
        reached: reached(&found),
        same_without_collapse: plain.verdict == found.verdict && reached(&plain) == reached(&found),
    }
}

/// A search in which every state is tried, whether the cluster comes back from it.
fn try_states(preset: &Preset, collapse: bool) -> Checked<Cluster> {
    let cluster = cluster(preset);
    let recovery = Recovery::new(cluster.settings());
    let comes_back = |state: &ClusterState| recovery.comes_back(state);
    let search = Search::new(&cluster).threads(2).collapse(collapse);
    let search = search.only::<&str>([]).max_states(super::MAX_STATES);
    let search = search.each_state(recovery::NAME, &comes_back);
    search.run().expect("a search in memory needs nothing")
}

/// Tries every state, if that is what has to see the bug in this preset. The way ends in a state from which the cluster does
/// not come back: what it lacks then no step shows.
fn stuck(bug: &Bug, rung: Rung, preset: &Preset, clock: Instant) -> Option<Caught> {
    let sees = bug.caught_by.as_deref() == Some(recovery::NAME);
    if !sees || bug.preset.as_deref() != Some(preset.name) {
        return None;
    }
    let checked = try_states(preset, true);
    let found = checked.counterexample?;
    Some(Caught {
        rung,
        run: preset.name.to_owned(),
        by: recovery::NAME.to_owned(),
        panicked: false,
        states: checked.report.distinct,
        seconds: clock.elapsed().as_secs_f64(),
        steps: found.steps.len(),
        trace_ends: false,
        rules: Vec::new(),
        causes: None,
        path: Vec::new(),
        trace: None,
    })
}

fn search(bug: &Bug, rung: Rung, preset: &Preset, graphs: &mut Vec<Graph>) -> Option<Caught> {
    let clock = Instant::now();
    let checked = check(preset);
    if checked.report.verdict == Verdict::Exhausted {
        graphs.push(Graph {
            preset: preset.name.to_owned(),
            states: checked.report.distinct,
            transitions: checked.report.generated,
        });
    }
    let (by, trace) = match &checked.report.verdict {
        Verdict::Violated { property, .. } => {
            let found = checked.counterexample.as_ref()?;
            let actions: Vec<_> = found.actions().copied().collect();
            let trace = trace(bug, preset, property, &actions);
            (property.clone(), Some(trace))
        }
        Verdict::Exhausted => match missed(&checked.report, preset) {
            Some(missed) => (missed, None),
            None => return stuck(bug, rung, preset, clock),
        },
        Verdict::Bounded { .. } => return None,
    };
    Some(Caught {
        rung,
        run: preset.name.to_owned(),
        by,
        panicked: false,
        states: checked.report.distinct,
        seconds: clock.elapsed().as_secs_f64(),
        steps: trace.as_ref().map_or(0, |trace| trace.steps.len()),
        trace_ends: trace.is_some(),
        rules: trace.as_ref().map_or_else(Vec::new, super::rules),
        causes: trace.as_ref().and_then(causes),
        path: trace.as_ref().map(super::path).unwrap_or_default(),
        trace,
    })
}

/// A rule that is too strict violates nothing: it makes something impossible. Each witness names a preset
/// that reaches it, and the corpus holds the way there: one that is not reached there fails the corpus.
fn missed(report: &Report, preset: &Preset) -> Option<String> {
    let named = witnesses().iter().filter(|it| it.preset == preset.name);
    let gone: Vec<_> = named
        .map(|witness| witness.name)
        .filter(|name| report.unreached().any(|unreached| unreached == *name))
        .collect();
    (!gone.is_empty()).then(|| format!("not reached: {}", gone.join(", ")))
}

/// The number of values found that break the property at the end of the trace.
fn causes(trace: &Trace) -> Option<usize> {
    let settings = Settings::new(&trace.header.config).ok()?;
    let judge = Judge::specified(trace.header.property.as_deref()?, &settings)?;
    Some(judge.along(&trace.steps).map_or(0, |it| it.causes.len()))
}

fn check(preset: &Preset) -> Checked<Cluster> {
    Search::new(&cluster(preset))
        .threads(2)
        .max_states(super::MAX_STATES)
        .run()
        .expect("a search in memory needs nothing")
}

fn cluster(preset: &Preset) -> Cluster {
    let settings = Settings::new(&preset.config).expect("presets are valid");
    Cluster::new(settings, preset.bounds)
}

fn trace(bug: &Bug, preset: &Preset, property: &str, actions: &[Action]) -> Trace {
    let cluster = cluster(preset);
    let purpose = format!("{} in the specification violates {property}", bug.id);
    let made = provenance("lockstep mutants", Some(preset.name), &cluster);
    Trace {
        header: Header::new("seeded-bug", purpose, preset.config.clone(), made).violating(property),
        steps: steps_along(&cluster, actions),
    }
}
