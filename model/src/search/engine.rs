//! The search itself: one thread, everything in memory.

use super::builder::{Search, Selected};
use super::error::SearchError;
use super::report::{
    ActionCount, AntecedentCount, Checked, Level, Limit, MemorySplit, PairCount, Progress,
    PropertyKind, Report, TimeSplit, Trace, Verdict, Witness,
};
use super::traits::{AntecedentCondition, Checkable, encoded};
use rustc_hash::FxHashSet;
use std::time::Instant;
use xxhash_rust::xxh3::xxh3_64;

/// How many states are expanded between two looks at the limits.
const BATCH: usize = 4096;

struct Found {
    property: &'static str,
    kind: PropertyKind,
    depth: u32,
    state: usize,
    step: Option<usize>,
}

pub(super) fn run<M>(mut search: Search<'_, M>) -> Result<Checked<M>, SearchError>
where
    M: Checkable,
    M::Action: Clone,
{
    let model = search.model;
    let options = search.options.clone();
    let selected = Selected::new(model, options.only.as_deref())?;
    let started = Instant::now();
    let canonical = search.canonical;
    let orbit_size = search.orbit_size;
    let antecedents = if options.coverage {
        model.antecedents()
    } else {
        Vec::new()
    };
    let pairs = if options.coverage {
        model.pairs()
    } else {
        Vec::new()
    };
    let mut antecedent_counts = vec![0u64; antecedents.len()];
    let mut pair_counts = vec![0u64; pairs.len()];
    let kinds = model.action_kinds();
    let mut action_counts = vec![(0u64, 0u64, 0u64); kinds.len()];

    let mut seen: FxHashSet<u64> = FxHashSet::default();
    let mut links: Vec<(usize, usize)> = Vec::new();
    let mut level: Vec<Vec<u8>> = Vec::new();
    let mut levels: Vec<Level> = Vec::new();
    let mut generated = 0u64;
    let mut orbit_states = 0u64;
    let mut violation: Option<Found> = None;
    let mut witnesses: Vec<Option<usize>> = vec![None; selected.sometimes.len()];
    let mut stopped: Option<Limit> = None;
    let represent = |state: M::State| match canonical {
        Some(canonical) => canonical(model, &state),
        None => state,
    };
    let violated_state = |state: &M::State| {
        selected
            .always
            .iter()
            .find(|property| !(property.condition)(model, state))
    };

    for (number, state) in model.init_states().into_iter().enumerate() {
        if !model.within_boundary(&state) {
            continue;
        }
        generated += 1;
        let state = represent(state);
        let bytes = encoded(model, &state);
        if seen.insert(xxh3_64(&bytes)) {
            if let (None, Some(property)) = (&violation, violated_state(&state)) {
                violation = Some(Found {
                    property: property.name,
                    kind: PropertyKind::State,
                    depth: 0,
                    state: links.len(),
                    step: None,
                });
            }
            links.push((usize::MAX, number));
            level.push(bytes);
        }
    }
    if level.is_empty() {
        return Err(SearchError::NoInitialState);
    }

    let mut depth = 0u32;
    let mut first_of_level = 0usize;
    let mut reported = (Instant::now(), 0usize);
    let mut actions = Vec::new();
    while !level.is_empty() {
        let mut row = Level {
            distinct: level.len() as u64,
            ..Level::default()
        };
        let mut next: Vec<Vec<u8>> = Vec::new();
        if violation.is_none() && options.max_depth.is_some_and(|max| depth >= max) {
            stopped = Some(Limit::Depth);
        }
        for (position, bytes) in level.iter().enumerate() {
            if position % BATCH == 0 {
                if violation.is_none() && stopped.is_none() {
                    if options
                        .max_states
                        .is_some_and(|max| links.len() as u64 >= max)
                    {
                        stopped = Some(Limit::States);
                    } else if options.max_time.is_some_and(|max| started.elapsed() >= max) {
                        stopped = Some(Limit::Time);
                    } else if options
                        .max_memory
                        .is_some_and(|max| links.len() as u64 * 40 > max)
                    {
                        stopped = Some(Limit::Memory);
                    }
                }
                if let Some(callback) = search.progress.as_mut()
                    && reported.0.elapsed() >= options.progress_interval
                {
                    let progress = Progress {
                        distinct: links.len() as u64,
                        generated,
                        depth,
                        queue: (level.len() - position + next.len()) as u64,
                        states_per_second: (links.len() - reported.1) as f64
                            / reported.0.elapsed().as_secs_f64(),
                        memory_bytes: links.len() as u64 * 40,
                        disk_bytes: 0,
                        elapsed_seconds: started.elapsed().as_secs_f64(),
                    };
                    reported = (Instant::now(), links.len());
                    if callback(&progress).is_break() && stopped.is_none() {
                        stopped = Some(Limit::Interrupted);
                    }
                }
            }
            if violation.is_some() || stopped.is_some() {
                break;
            }
            let parent = first_of_level + position;
            let state = model.decode(bytes);
            for (witness, property) in witnesses.iter_mut().zip(&selected.sometimes) {
                if witness.is_none() && (property.condition)(model, &state) {
                    *witness = Some(parent);
                }
            }
            for (count, antecedent) in antecedent_counts.iter_mut().zip(&antecedents) {
                if let AntecedentCondition::State(condition) = antecedent.condition {
                    *count += u64::from(condition(model, &state));
                }
            }
            if let Some(orbit_size) = orbit_size {
                orbit_states += orbit_size(model, &state);
            }
            row.expanded += 1;
            let before = row.generated;
            model.actions(&state, &mut actions);
            for (number, action) in actions.drain(..).enumerate() {
                let counts = &mut action_counts[model.action_kind(&action)];
                counts.0 += 1;
                let Some(after) = model.next_state(&state, action.clone()) else {
                    continue;
                };
                if !model.within_boundary(&after) {
                    continue;
                }
                counts.1 += 1;
                row.generated += 1;
                for (count, antecedent) in antecedent_counts.iter_mut().zip(&antecedents) {
                    if let AntecedentCondition::Step(condition) = antecedent.condition {
                        *count += u64::from(condition(model, &state, &action, &after));
                    }
                }
                if options.coverage
                    && let Some(pair) = model.pair(&state, &action)
                {
                    pair_counts[pair] += 1;
                }
                if violation.is_none()
                    && let Some(property) = selected
                        .steps
                        .iter()
                        .find(|property| !(property.condition)(model, &state, &action, &after))
                {
                    violation = Some(Found {
                        property: property.name,
                        kind: PropertyKind::Step,
                        depth: depth + 1,
                        state: parent,
                        step: Some(number),
                    });
                }
                let after = represent(after);
                let bytes = encoded(model, &after);
                if seen.insert(xxh3_64(&bytes)) {
                    counts.2 += 1;
                    if let (None, Some(property)) = (&violation, violated_state(&after)) {
                        violation = Some(Found {
                            property: property.name,
                            kind: PropertyKind::State,
                            depth: depth + 1,
                            state: links.len(),
                            step: None,
                        });
                    }
                    links.push((parent, number));
                    next.push(bytes);
                }
            }
            row.terminal += u64::from(row.generated == before);
        }
        generated += row.generated;
        levels.push(row);
        if violation.is_some() || stopped.is_some() {
            if !next.is_empty() {
                levels.push(Level {
                    distinct: next.len() as u64,
                    ..Level::default()
                });
            }
            break;
        }
        first_of_level += level.len();
        level = next;
        depth += 1;
    }

    let path = |mut state: usize| {
        let mut numbers = Vec::new();
        while links[state].0 != usize::MAX {
            numbers.push(links[state].1);
            state = links[state].0;
        }
        (
            links[state].1,
            numbers.into_iter().rev().collect::<Vec<_>>(),
        )
    };
    let counterexample = violation
        .as_ref()
        .map(|found| {
            let (init, mut numbers) = path(found.state);
            numbers.extend(found.step);
            rebuild(model, canonical, init, &numbers)
        })
        .transpose()?;
    let depth_of = |state: usize| path(state).1.len() as u32;
    let mut reached = Vec::new();
    for (property, witness) in selected.sometimes.iter().zip(&witnesses) {
        if let Some(state) = witness {
            let (init, numbers) = path(*state);
            reached.push((
                property.name.to_owned(),
                rebuild(model, canonical, init, &numbers)?,
            ));
        }
    }
    let distinct = links.len() as u64;
    let verdict = match (&violation, stopped) {
        (Some(found), _) => Verdict::Violated {
            property: found.property.to_owned(),
            kind: found.kind,
            depth: found.depth,
        },
        (None, Some(stopped_by)) => Verdict::Bounded { stopped_by },
        (None, None) => Verdict::Exhausted,
    };
    let report = Report {
        model: model.identity(),
        verdict,
        symmetry: canonical.is_some(),
        threads: options.threads,
        distinct,
        generated,
        orbit_states: orbit_size.map(|_| orbit_states),
        depth: levels.len() as u32 - 1,
        levels,
        actions: kinds
            .iter()
            .zip(action_counts)
            .map(|(kind, (enabled, fired, discovered))| ActionCount {
                kind: (*kind).to_owned(),
                enabled,
                fired,
                discovered,
            })
            .collect(),
        checked: selected.checked(),
        witnesses: selected
            .sometimes
            .iter()
            .zip(&witnesses)
            .map(|(property, witness)| Witness {
                name: property.name.to_owned(),
                depth: witness.map(depth_of),
            })
            .collect(),
        antecedents: antecedents
            .iter()
            .zip(antecedent_counts)
            .map(|(antecedent, held)| AntecedentCount {
                property: antecedent.property.to_owned(),
                held,
            })
            .collect(),
        pairs: pairs
            .into_iter()
            .zip(pair_counts)
            .map(|(pair, met)| PairCount { pair, met })
            .collect(),
        collision_probability: collision_probability(distinct),
        time: TimeSplit {
            total_seconds: started.elapsed().as_secs_f64(),
            ..TimeSplit::default()
        },
        memory: MemorySplit::default(),
    };
    Ok(Checked {
        report,
        counterexample,
        witnesses: reached,
    })
}

/// n²/2⁶⁵, at most 1.
fn collision_probability(distinct: u64) -> f64 {
    (distinct as f64 * distinct as f64 / 2f64.powi(65)).min(1.0)
}

/// Executes again the path of representatives that starts at initial state number `init` and takes
/// the actions with these `numbers`, with real states instead of representatives.
fn rebuild<M>(
    model: &M,
    canonical: Option<super::builder::StateMap<M, M::State>>,
    init: usize,
    numbers: &[usize],
) -> Result<Trace<M>, SearchError>
where
    M: Checkable,
    M::Action: Clone,
{
    let lost = |what: &str| SearchError::NotReproducible(what.to_owned());
    let real = |_: ()| model.init_states().into_iter().nth(init);
    let start = real(()).ok_or_else(|| lost("its initial state is gone"))?;
    let mut trace = Trace {
        init: start,
        steps: Vec::with_capacity(numbers.len()),
    };
    let mut representative = match canonical {
        Some(canonical) => canonical(model, &trace.init),
        None => real(()).ok_or_else(|| lost("its initial state is gone"))?,
    };
    for number in numbers {
        let mut actions = Vec::new();
        model.actions(&representative, &mut actions);
        let action = actions
            .into_iter()
            .nth(*number)
            .ok_or_else(|| lost("its action is not offered"))?;
        let after = model
            .next_state(&representative, action.clone())
            .ok_or_else(|| lost("its action does nothing"))?;
        let Some(canonical) = canonical else {
            let copy = model.decode(&encoded(model, &after));
            trace.steps.push((action, copy));
            representative = after;
            continue;
        };
        representative = canonical(model, &after);
        let wanted = encoded(model, &representative);
        let mut actions = Vec::new();
        model.actions(trace.last(), &mut actions);
        let step = actions.into_iter().find_map(|action| {
            let after = model.next_state(trace.last(), action.clone())?;
            (encoded(model, &canonical(model, &after)) == wanted).then_some((action, after))
        });
        trace
            .steps
            .push(step.ok_or_else(|| lost("no action matches that of the representative"))?);
    }
    Ok(trace)
}
