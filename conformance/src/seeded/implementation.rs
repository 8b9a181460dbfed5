//! A bug in the production Raft: does it diverge from the specification?

use super::thin::thin;
use super::{Bug, Caught, Finding, Rung, Seen, WALKS};
use crate::compare::Difference;
use crate::divergence::Divergence;
use crate::product::Product;
use crate::replay::{ReplayReport, replay};
use crate::targets::lockstep_raft::LockstepRaft;
use crate::walk::{count_differing, jitter, walk};
use lockstep_model::{Cluster, Preset, Settings};
use lockstep_traces::Trace;
use std::collections::BTreeSet;
use std::ops::ControlFlow;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Instant;

/// Climbs the ladder with the production Raft as it is in this process. `corpus` are the traces of the
/// first rung. With `all`, every run of the rungs is made, whatever the others find.
///
/// # Panics
///
/// If a preset cannot be set up.
pub fn try_implementation(
    bug: &Bug,
    rungs: &[Rung],
    corpus: &[(String, Trace)],
    all: bool,
) -> Finding {
    let clock = Instant::now();
    let caught = rungs.iter().find_map(|rung| climb(*rung, corpus));
    let seen = match all {
        true => rungs.iter().flat_map(|rung| seen(*rung, corpus)).collect(),
        false => Vec::new(),
    };
    Finding {
        id: bug.id.clone(),
        side: bug.side,
        what: bug.what.clone(),
        breaks: bug.breaks.clone(),
        caught,
        seen,
        graphs: Vec::new(),
        searched: None,
        seconds: clock.elapsed().as_secs_f64(),
    }
}

fn climb(rung: Rung, corpus: &[(String, Trace)]) -> Option<Caught> {
    match rung {
        Rung::Corpus => watched(rung, "the corpus", || replay_corpus(corpus)),
        Rung::Walks => {
            let found = watched(rung, "walks", walks);
            found.or_else(|| watched(rung, "sampled timeouts", timeouts))
        }
        Rung::Smoke | Rung::Ci | Rung::Bigger => {
            let mut presets = super::presets(rung).into_iter();
            presets.find_map(|preset| exhaust(rung, preset))
        }
    }
}

/// The runs of a rung that see the bug.
fn seen(rung: Rung, corpus: &[(String, Trace)]) -> Vec<Seen> {
    let many = |run: &str, times: usize, of: usize| Seen {
        rung,
        run: run.to_owned(),
        by: String::new(),
        times: times as u64,
        of: of as u64,
        steps: 0,
        path: Vec::new(),
    };
    let seen = match rung {
        Rung::Corpus => {
            let differs = |trace: &&(String, Trace)| {
                let trace = [(*trace).clone()];
                let replayed = || replay_traces(&trace).divergence.is_some();
                catch_unwind(AssertUnwindSafe(replayed)).unwrap_or(true)
            };
            vec![many(
                "the corpus",
                corpus.iter().filter(differs).count(),
                corpus.len(),
            )]
        }
        Rung::Walks => {
            let differing = count_differing(&WALKS, &LockstepRaft);
            let timeouts = catch_unwind(timeouts).is_ok_and(|found| found.is_some());
            vec![
                many("walks", differing as usize, WALKS.walks as usize),
                many("sampled timeouts", usize::from(timeouts), 1),
            ]
        }
        Rung::Smoke | Rung::Ci | Rung::Bigger => {
            let found = super::presets(rung).into_iter();
            let found = found.filter_map(|preset| exhaust(rung, preset));
            found.map(|it| Seen::from(&it)).collect()
        }
    };
    seen.into_iter().filter(|it| it.times > 0).collect()
}

/// The findings of a run of one rung.
struct Found {
    by: String,
    states: u64,
    trace: Option<Trace>,
}

/// Runs one piece of work; a panic in it is the implementation breaking down, which is a catch.
fn watched(rung: Rung, run: &str, work: impl FnOnce() -> Option<Found>) -> Option<Caught> {
    let clock = Instant::now();
    let (found, panicked) = match catch_unwind(AssertUnwindSafe(work)) {
        Ok(found) => (found?, false),
        Err(panic) => (broke_down(panic.as_ref()), true),
    };
    Some(Caught {
        rung,
        run: run.to_owned(),
        by: found.by,
        panicked,
        states: found.states,
        seconds: clock.elapsed().as_secs_f64(),
        steps: found.trace.as_ref().map_or(0, |trace| trace.steps.len()),
        trace_ends: found.trace.is_some(),
        rules: found.trace.as_ref().map_or_else(Vec::new, super::rules),
        causes: None,
        path: found.trace.as_ref().map(super::path).unwrap_or_default(),
        trace: found.trace,
    })
}

fn broke_down(panic: &(dyn std::any::Any + Send)) -> Found {
    let text = panic
        .downcast_ref::<String>()
        .map(String::as_str)
        .or_else(|| panic.downcast_ref::<&str>().copied())
        .unwrap_or("a panic without a text");
    Found {
        by: format!("panic: {text}"),
        states: 0,
        trace: None,
    }
}

fn replay_corpus(corpus: &[(String, Trace)]) -> Option<Found> {
    let (name, divergence) = replay_traces(corpus).divergence?;
    let thinned = thin(&LockstepRaft, *divergence).expect("the production Raft starts once more");
    let mut found = found(thinned, 0);
    found.by = format!("{} ({name})", found.by);
    Some(found)
}

fn replay_traces(traces: &[(String, Trace)]) -> ReplayReport {
    let traces = traces.iter().cloned().map(Ok);
    replay(&LockstepRaft, traces, &mut |_| ControlFlow::Continue(()))
        .expect("the production Raft starts with every configuration of the corpus")
}

fn exhaust(rung: Rung, preset: &Preset) -> Option<Caught> {
    watched(rung, preset.name, || {
        let settings = Settings::new(&preset.config).expect("presets are valid");
        let cluster = Cluster::new(settings, preset.bounds);
        let report = Product::new(&cluster, &LockstepRaft)
            .preset(preset.name)
            .max_states(super::MAX_STATES)
            .run()
            .expect("the production Raft starts with every preset");
        let states = report.counts.product_states;
        match (report.divergence, report.hidden) {
            (Some(divergence), _) => Some(found(*divergence, states)),
            (None, Some(_)) => Some(Found {
                by: report.verdict.to_string(),
                states,
                trace: None,
            }),
            (None, None) => None,
        }
    })
}

fn walks() -> Option<Found> {
    let report = walk(&WALKS, &LockstepRaft, &mut |_| ControlFlow::Continue(()));
    let report = report.expect("the production Raft starts");
    let walk = report.divergence?;
    let mut found = found(walk.divergence, 0);
    if let Some(timer) = walk.timer {
        found.by = format!("timer: {timer}");
    }
    Some(found)
}

/// The sample of random election timeouts, which `lockstep walk` takes as well.
fn timeouts() -> Option<Found> {
    let wrong = jitter::sample()?.wrong;
    (!wrong.is_empty()).then(|| Found {
        by: wrong.join("; "),
        states: 0,
        trace: None,
    })
}

fn found(divergence: Divergence, states: u64) -> Found {
    let names: BTreeSet<String> = divergence.differences.iter().map(name).collect();
    Found {
        by: names.into_iter().collect::<Vec<_>>().join(", "),
        states,
        trace: Some(divergence.trace),
    }
}

/// The field, or the kind of difference where it is about a message or a refusal.
fn name(difference: &Difference) -> String {
    match difference {
        Difference::WrongState { field, .. }
        | Difference::WrongOutput { field, .. }
        | Difference::Bystander { field, .. }
        | Difference::WrongStart { field, .. } => field.to_string(),
        Difference::WrongRefusal { .. } => "wrong refusal".to_owned(),
        Difference::WrongMessage { .. } => "wrong message".to_owned(),
        Difference::MissingMessage { .. } => "missing message".to_owned(),
        Difference::ExtraMessage { .. } => "extra message".to_owned(),
        Difference::Failed { error } => format!("failure: {error}"),
    }
}
