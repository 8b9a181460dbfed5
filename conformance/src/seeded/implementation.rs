//! A bug in the production Raft: does it diverge from the specification?

use super::thin::thin;
use super::{Bug, Caught, Finding, Rung};
use crate::compare::Difference;
use crate::divergence::Divergence;
use crate::product::{Product, Verdict};
use crate::replay::replay;
use crate::targets::lockstep_raft::LockstepRaft;
use crate::walk::{WalkOptions, walk};
use lockstep_model::{Cluster, Preset, Settings};
use lockstep_traces::Trace;
use std::collections::BTreeSet;
use std::ops::ControlFlow;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Instant;

/// Climbs the ladder with the production Raft as it is in this process. `corpus` are the traces of the
/// first rung.
///
/// # Panics
///
/// If a preset cannot be set up.
pub fn try_implementation(bug: &Bug, rungs: &[Rung], corpus: &[(String, Trace)]) -> Finding {
    let clock = Instant::now();
    let caught = rungs.iter().find_map(|rung| climb(*rung, corpus));
    Finding {
        id: bug.id.clone(),
        side: bug.side,
        what: bug.what.clone(),
        caught,
        searched: None,
        seconds: clock.elapsed().as_secs_f64(),
    }
}

fn climb(rung: Rung, corpus: &[(String, Trace)]) -> Option<Caught> {
    match rung {
        Rung::Corpus => watched(rung, "the corpus", || replay_corpus(corpus)),
        Rung::Smoke => exhaust(rung, super::smoke()),
        Rung::Ci => super::other_ci_presets().find_map(|preset| exhaust(rung, preset)),
        Rung::Walks => watched(rung, "walks", walks),
        Rung::Bigger => super::bigger_presets().find_map(|preset| exhaust(rung, preset)),
    }
}

/// What a run of one rung found.
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
    let traces = corpus.iter().cloned().map(Ok);
    let report = replay(&LockstepRaft, traces, &mut |_| ControlFlow::Continue(()))
        .expect("the production Raft starts with every configuration of the corpus");
    let (name, divergence) = report.divergence?;
    let thinned = thin(&LockstepRaft, *divergence).expect("the production Raft starts once more");
    let mut found = found(thinned, 0);
    found.by = format!("{} ({name})", found.by);
    Some(found)
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
        match report.verdict {
            Verdict::Diverged(divergence) => Some(found(*divergence, states)),
            Verdict::DigestHidesState(_) => Some(Found {
                by: "digest hides state".to_owned(),
                states,
                trace: None,
            }),
            Verdict::Bisimilar | Verdict::Bounded { .. } | Verdict::NothingCompared => None,
        }
    })
}

fn walks() -> Option<Found> {
    let options = WalkOptions {
        first_seed: 1,
        walks: 100,
        steps: 1_000,
        config: None,
    };
    let report = walk(&options, &mut |_| ControlFlow::Continue(()));
    let walk = report.divergence?;
    let mut found = found(walk.divergence, 0);
    if let Some(timer) = walk.timer {
        found.by = format!("timer: {timer}");
    }
    Some(found)
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
