//! A mistake in the specification: is a property violated?

use super::{Caught, Finding, Rung, Side};
use crate::path::{provenance, steps_along};
use lockstep_engine::{Checked, Report, Search, Verdict};
use lockstep_model::properties::witnesses;
use lockstep_model::{Action, Cluster, Mutation, Preset, Settings};
use lockstep_traces::{Header, Trace};
use std::time::Instant;

/// Searches with one mistake planted in the specification, preset after preset.
///
/// # Panics
///
/// If a preset cannot be set up or searched.
pub fn try_specification(mutation: Mutation, rungs: &[Rung]) -> Finding {
    let clock = Instant::now();
    let caught = rungs.iter().find_map(|rung| climb(mutation, *rung));
    Finding {
        id: mutation.id().to_owned(),
        side: Side::Specification,
        what: mutation.what().to_owned(),
        caught,
        seconds: clock.elapsed().as_secs_f64(),
    }
}

fn climb(mutation: Mutation, rung: Rung) -> Option<Caught> {
    match rung {
        // Neither compares anything with a property.
        Rung::Corpus | Rung::Walks => None,
        Rung::Smoke => search(mutation, rung, super::smoke()),
        Rung::Ci => super::other_ci_presets().find_map(|it| search(mutation, rung, it)),
        Rung::Bigger => super::bigger_presets().find_map(|it| search(mutation, rung, it)),
    }
}

fn search(mutation: Mutation, rung: Rung, preset: &Preset) -> Option<Caught> {
    let clock = Instant::now();
    let checked = check(mutation, preset);
    let (by, trace) = match &checked.report.verdict {
        Verdict::Violated { property, .. } => {
            let found = checked.counterexample.as_ref()?;
            let actions: Vec<_> = found.actions().copied().collect();
            let trace = trace(mutation, preset, property, &actions);
            (property.clone(), Some(trace))
        }
        Verdict::Exhausted => (missed(&checked.report, preset)?, None),
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

fn check(mutation: Mutation, preset: &Preset) -> Checked<Cluster> {
    Search::new(&cluster(mutation, preset))
        .threads(2)
        .max_states(super::MAX_STATES)
        .run()
        .expect("a search in memory needs nothing")
}

fn cluster(mutation: Mutation, preset: &Preset) -> Cluster {
    let settings = Settings::new(&preset.config).expect("presets are valid");
    Cluster::new(settings.with_mutation(mutation), preset.bounds)
}

fn trace(mutation: Mutation, preset: &Preset, property: &str, actions: &[Action]) -> Trace {
    let cluster = cluster(mutation, preset);
    let purpose = format!("{} in the specification violates {property}", mutation.id());
    let made = provenance("lockstep mutants", Some(preset.name), &cluster);
    Trace {
        header: Header::new("mutant", purpose, preset.config.clone(), made),
        steps: steps_along(&cluster, actions),
    }
}
