//! Swarm simulation: many random runs, each different, each reproducible.
//!
//! A run is decided by the seed of the swarm and its own number alone: it shares nothing with other
//! runs, so neither the threads nor the other runs change what it does. Each run favours other kinds
//! of action (its temperament), within the run the kinds that it has taken rarely, and steps to states
//! that it has not seen.
//!
//! A simulation never exhausts a space: without a violation its verdict is bounded by the runs.

use super::error::SearchError;
use super::fingerprints::fingerprint;
use super::parallel::Threads;
use super::report::{
    ActionCount, AntecedentCount, Gap, Limit, PairCount, PropertyKind, Trace, Verdict, Witness,
    gaps,
};
use super::selected::Selected;
use super::tally::Tally;
use super::traits::{Antecedent, AntecedentCondition, Checkable, Judged, encoded, judged};
use rustc_hash::FxHashSet;
use serde::{Deserialize, Serialize};
use stateright::Model;
use std::collections::BTreeMap;
use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// The number of actions tried in a state before one that leads to a state already seen is taken.
const TRIES: usize = 3;
/// The weights that a run may give a kind of action: zero (then it is taken only if nothing else can be), small and
/// large. A run without some kinds of action reaches states that these would have prevented.
const TEMPERAMENTS: [u64; 4] = [0, 0, 1, 16];
/// The number of steps in a row without a state that is new to the run, after which a walk ends.
const STALE: u32 = 64;

/// The maximum number of states that a run remembers; after that, none is new to it.
const MOST_SEEN: usize = 1 << 22;

/// A swarm of simulations of a model.
///
/// With the same model and settings it gives the same report, on any number of threads, unless time
/// stops it.
pub struct Swarm<'a, M: Checkable> {
    model: &'a M,
    settings: SwarmSettings,
    threads: usize,
    max_time: Option<Duration>,
    only: Option<Vec<String>>,
    stop: Option<Stop<'a>>,
    progress: Option<Progress<'a>>,
}

/// Asks whether to stop; called by every thread, at every step.
type Stop<'a> = Box<dyn Fn() -> bool + Sync + 'a>;
/// Is told the number of runs that are done, by any thread.
type Progress<'a> = Box<dyn Fn(u64) + Sync + 'a>;

/// The settings that determine all runs of a swarm. `Display` writes it in one line.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SwarmSettings {
    /// The seed of the swarm.
    pub seed: u64,
    /// The number of the first run.
    pub first_run: u64,
    /// The number of runs.
    pub runs: u64,
    /// The number of walks that a run makes, each from an initial state.
    pub walks: u32,
    /// The most steps of a walk.
    pub steps: u32,
}

impl fmt::Display for SwarmSettings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let SwarmSettings {
            seed,
            first_run,
            runs,
            walks,
            steps,
        } = self;
        write!(
            f,
            "seed={seed} first-run={first_run} runs={runs} walks={walks} steps={steps}"
        )
    }
}

/// The report of a swarm.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct SwarmReport {
    /// The model's [`identity`](Checkable::identity).
    pub model: String,
    /// [`Verdict::Violated`], or bounded by the runs or the time.
    pub verdict: Verdict,
    /// The settings that do the violating run alone, or the whole swarm if there is no violation.
    pub reproduce: SwarmSettings,
    /// The number of runs done.
    pub runs: u64,
    /// The steps of all runs.
    pub steps: u64,
    /// The sum over all runs of the distinct states that each saw.
    pub distinct_in_runs: u64,
    /// One row for each kind of action; `discovered` counts the states that were new to their run.
    pub actions: Vec<ActionCount>,
    /// One row for each antecedent, counted once for each step taken.
    pub antecedents: Vec<AntecedentCount>,
    /// One row for each pair that can meet.
    pub pairs: Vec<PairCount>,
    /// One row for each witness, with the fewest steps after which it was met (not the fewest there are).
    pub witnesses: Vec<Witness>,
    /// Wall-clock seconds.
    pub seconds: f64,
}

impl SwarmReport {
    /// Everything that the swarm should have met and did not.
    pub fn gaps(&self) -> Vec<Gap> {
        gaps(
            &self.actions,
            &self.antecedents,
            &self.pairs,
            &self.witnesses,
        )
    }
}

/// A finished swarm.
pub struct Swarmed<M: Model> {
    /// The verdict and the counts.
    pub report: SwarmReport,
    /// For [`Verdict::Violated`]: the walk that ends in the violation.
    pub counterexample: Option<Trace<M>>,
}

impl<'a, M: Checkable> Swarm<'a, M> {
    /// 64 runs of 16 walks of 256 steps, with seed 0, on one thread.
    pub fn new(model: &'a M) -> Self {
        let settings = SwarmSettings {
            seed: 0,
            first_run: 0,
            runs: 64,
            walks: 16,
            steps: 256,
        };
        Swarm {
            model,
            settings,
            threads: 1,
            max_time: None,
            only: None,
            stop: None,
            progress: None,
        }
    }

    /// Uses these settings, such as those that a report wants reproduced.
    #[must_use]
    pub fn settings(mut self, settings: SwarmSettings) -> Self {
        self.settings = settings;
        self
    }

    /// Runs on `threads` threads (0 counts as 1).
    #[must_use]
    pub fn threads(mut self, threads: usize) -> Self {
        self.threads = threads.max(1);
        self
    }

    /// Begins no run after `time`.
    #[must_use]
    pub fn max_time(mut self, time: Duration) -> Self {
        self.max_time = Some(time);
        self
    }

    /// Stops, in the middle of a run if need be, once `stop` says so. What was met until then is in the
    /// report, and its verdict is bounded by the interruption.
    #[must_use]
    pub fn stop(mut self, stop: impl Fn() -> bool + Sync + 'a) -> Self {
        self.stop = Some(Box::new(stop));
        self
    }

    /// Calls `progress` with the number of runs done, after each.
    #[must_use]
    pub fn on_progress(mut self, progress: impl Fn(u64) + Sync + 'a) -> Self {
        self.progress = Some(Box::new(progress));
        self
    }

    /// Checks only the properties with these names (of states, of steps, witnesses).
    #[must_use]
    pub fn only<S: Into<String>>(mut self, properties: impl IntoIterator<Item = S>) -> Self {
        self.only = Some(properties.into_iter().map(Into::into).collect());
        self
    }
}

/// The record of one run.
struct Run {
    tally: Tally,
    witnesses: Vec<Option<u32>>,
    violation: Option<RunViolation>,
}

struct RunViolation {
    property: &'static str,
    kind: PropertyKind,
    /// The number of the initial state and of each action.
    init: usize,
    path: Vec<u32>,
}

impl<M> Swarm<'_, M>
where
    M: Checkable + Sync,
    M::Action: Clone,
{
    /// Simulates.
    ///
    /// # Errors
    ///
    /// See [`SearchError`]: the request or the model makes no sense.
    pub fn run(self) -> Result<Swarmed<M>, SearchError> {
        let started = Instant::now();
        let model = self.model;
        let simulator = Simulator {
            model,
            selected: Selected::new(model, self.only.as_deref())?,
            antecedents: model.antecedents(),
            kinds: model.action_kinds().len(),
            pairs: model.pairs().len(),
            settings: self.settings,
            stop: self.stop,
        };
        if !model
            .init_states()
            .iter()
            .any(|state| model.within_boundary(state))
        {
            return Err(SearchError::NoInitialState);
        }
        let SwarmSettings {
            first_run, runs, ..
        } = self.settings;
        // Runs with a lower number than the first violation known are always finished, so that the one
        // reported does not depend on the threads.
        let first_violation = AtomicU64::new(u64::MAX);
        let done = Mutex::new(Runs::new(simulator.empty(), first_run));
        let in_time = |_: &u64| {
            !simulator.stopped() && self.max_time.is_none_or(|max| started.elapsed() < max)
        };
        let numbers = (first_run..first_run.saturating_add(runs)).take_while(in_time);
        Threads::new(self.threads)?.for_each(
            usize::try_from(runs).unwrap_or(usize::MAX),
            numbers,
            || (),
            |(), number| {
                if number > first_violation.load(Ordering::Relaxed) {
                    return;
                }
                let run = simulator.run(number);
                if run.violation.is_some() {
                    first_violation.fetch_min(number, Ordering::Relaxed);
                }
                let done = done.lock().map(|mut done| done.add(number, run));
                if let (Some(progress), Ok(done)) = (&self.progress, done) {
                    progress(done);
                }
            },
        );
        // A thread that panicked has taken the swarm with it.
        let done = done.into_inner().unwrap_or_else(PoisonError::into_inner);
        simulator.conclude(done.finish(), started)
    }
}

/// The runs that are done, added up in the order of their numbers as far as there is no gap. So memory
/// does not grow with the runs, and what comes after a violation is never counted.
struct Runs {
    total: Run,
    runs: u64,
    /// The number of the run that violates a property.
    violating: Option<u64>,
    /// The number of the run that is added next.
    next: u64,
    /// Runs that were done before one with a lower number.
    waiting: BTreeMap<u64, Run>,
}

impl Runs {
    fn new(empty: Run, first: u64) -> Runs {
        Runs {
            total: empty,
            runs: 0,
            violating: None,
            next: first,
            waiting: BTreeMap::new(),
        }
    }

    /// Adds a run, and returns how many were added.
    fn add(&mut self, number: u64, run: Run) -> u64 {
        self.waiting.insert(number, run);
        while let Some(run) = self.waiting.remove(&self.next) {
            self.count(self.next, run);
            self.next = self.next.saturating_add(1);
        }
        self.runs
    }

    fn count(&mut self, number: u64, run: Run) {
        if self.violating.is_some() {
            return;
        }
        self.runs += 1;
        self.total.tally.add(&run.tally);
        for (fewest, depth) in self.total.witnesses.iter_mut().zip(run.witnesses) {
            *fewest = [*fewest, depth].into_iter().flatten().min();
        }
        if run.violation.is_some() {
            self.total.violation = run.violation;
            self.violating = Some(number);
        }
    }

    /// Adds what is left; there are gaps only if the swarm was stopped.
    fn finish(mut self) -> Runs {
        for (number, run) in std::mem::take(&mut self.waiting) {
            self.count(number, run);
        }
        self
    }
}

/// Does runs.
struct Simulator<'a, M: Checkable> {
    model: &'a M,
    selected: Selected<M>,
    antecedents: Vec<Antecedent<M>>,
    kinds: usize,
    pairs: usize,
    settings: SwarmSettings,
    stop: Option<Stop<'a>>,
}

impl<M> Simulator<'_, M>
where
    M: Checkable,
    M::Action: Clone,
{
    fn run(&self, number: u64) -> Run {
        let mut random = Random::new(self.settings.seed, number);
        let temperament: Vec<u64> = (0..self.kinds)
            .map(|_| TEMPERAMENTS[random.below(4) as usize])
            .collect();
        let mut run = self.empty();
        let mut seen = FxHashSet::default();
        for _ in 0..self.settings.walks {
            self.walk(&mut random, &temperament, &mut seen, &mut run);
            if run.violation.is_some() || self.stopped() {
                break;
            }
        }
        run
    }

    /// A run that has met nothing.
    fn empty(&self) -> Run {
        Run {
            tally: Tally::new(self.kinds, self.antecedents.len(), self.pairs),
            witnesses: vec![None; self.selected.witnesses().len()],
            violation: None,
        }
    }

    fn stopped(&self) -> bool {
        self.stop.as_ref().is_some_and(|stop| stop())
    }

    fn walk(
        &self,
        random: &mut Random,
        temperament: &[u64],
        seen: &mut FxHashSet<u64>,
        run: &mut Run,
    ) {
        let model = self.model;
        let mut initial: Vec<(usize, M::State)> =
            model.init_states().into_iter().enumerate().collect();
        initial.retain(|(_, state)| model.within_boundary(state));
        let (init, mut state) = initial.swap_remove(random.below(initial.len() as u64) as usize);
        let mut path = Vec::new();
        self.is_new(&state, seen);
        if let Some(property) = self.look_at(&state, 0, run) {
            run.violation = Some(RunViolation {
                property,
                kind: PropertyKind::State,
                init,
                path,
            });
            return;
        }
        let mut actions = Vec::new();
        let mut stale = 0;
        for depth in 1..=self.settings.steps {
            actions.clear();
            model.actions(&state, &mut actions);
            let Some((number, after, new)) =
                self.choose(&state, &actions, random, temperament, seen, run)
            else {
                run.tally.terminal += 1;
                return;
            };
            let action = &actions[number];
            path.push(number as u32);
            let kind = model.action_kind(action);
            run.tally.generated += 1;
            run.tally.fired[kind] += 1;
            run.tally.discovered[kind] += u64::from(new);
            let violated = judged(model, &state, action, &after, |step| {
                self.look_at_step(step, depth, run)
            });
            let violated = match violated {
                Some(property) => Some((property, PropertyKind::Step)),
                None => Some(PropertyKind::State)
                    .and_then(|kind| Some((self.look_at(&after, depth, run)?, kind))),
            };
            if let Some((property, kind)) = violated {
                run.violation = Some(RunViolation {
                    property,
                    kind,
                    init,
                    path,
                });
                return;
            }
            state = after;
            stale = if new { 0 } else { stale + 1 };
            if stale == STALE || self.stopped() {
                return;
            }
        }
    }

    /// Picks an action by weight, and another one if it leads to a state already seen, up to a few
    /// times. `None` if no action leads anywhere within the boundary.
    fn choose(
        &self,
        state: &M::State,
        actions: &[M::Action],
        random: &mut Random,
        temperament: &[u64],
        seen: &mut FxHashSet<u64>,
        run: &mut Run,
    ) -> Option<(usize, M::State, bool)> {
        let mut weights: Vec<u64> = actions
            .iter()
            .map(|action| {
                let kind = self.model.action_kind(action);
                run.tally.enabled[kind] += 1;
                // Rare kinds weigh more: each doubling of how often it was taken counts against it.
                (temperament[kind] << 20) / u64::from(1 + (1 + run.tally.fired[kind]).ilog2())
            })
            .map(|weight| weight.max(1))
            .collect();
        let mut fallback = None;
        let mut tries = 0;
        while let Some(number) = random.weighted(&weights) {
            weights[number] = 0;
            let Some(after) = self.model.next_state(state, actions[number].clone()) else {
                continue;
            };
            if !self.model.within_boundary(&after) {
                continue;
            }
            if self.is_new(&after, seen) {
                return Some((number, after, true));
            }
            fallback.get_or_insert((number, after, false));
            tries += 1;
            if tries == TRIES {
                break;
            }
        }
        fallback
    }

    fn is_new(&self, state: &M::State, seen: &mut FxHashSet<u64>) -> bool {
        let fingerprint = fingerprint(&encoded(self.model, state));
        if seen.len() < MOST_SEEN {
            seen.insert(fingerprint)
        } else {
            // Not remembered, and so not counted as one more either.
            false
        }
    }

    /// Counts what a state shows; the first property that it does not have.
    fn look_at(&self, state: &M::State, depth: u32, run: &mut Run) -> Option<&'static str> {
        run.tally.expanded += 1;
        for (property, first) in self.selected.sometimes.iter().zip(&mut run.witnesses) {
            if first.is_none_or(|first| depth < first) && (property.condition)(self.model, state) {
                *first = Some(depth);
            }
        }
        for (held, antecedent) in run.tally.antecedents.iter_mut().zip(&self.antecedents) {
            if let AntecedentCondition::State(condition) = &antecedent.condition {
                *held += u64::from(condition(self.model, state));
            }
        }
        let mut always = self.selected.always.iter();
        Some(
            always
                .find(|property| !(property.condition)(self.model, state))?
                .name,
        )
    }

    /// Counts what a step shows; the first property that it does not have.
    fn look_at_step(
        &self,
        judged: &Judged<'_, M>,
        depth: u32,
        run: &mut Run,
    ) -> Option<&'static str> {
        let of_steps = &mut run.witnesses[self.selected.sometimes.len()..];
        for (step, first) in self.selected.step_witnesses.iter().zip(of_steps) {
            if first.is_none_or(|first| depth < first) && judged.holds(&step.condition) {
                *first = Some(depth);
            }
        }
        for (held, antecedent) in run.tally.antecedents.iter_mut().zip(&self.antecedents) {
            if let AntecedentCondition::Step(condition) = &antecedent.condition {
                *held += u64::from(judged.holds(condition));
            }
        }
        let pairs = &mut run.tally.pairs;
        self.model
            .meet(judged.before, judged.action, &mut |pair| pairs[pair] += 1);
        let mut steps = self.selected.steps.iter();
        Some(steps.find(|step| !judged.holds(&step.condition))?.name)
    }

    /// Writes the report.
    fn conclude(&self, done: Runs, started: Instant) -> Result<Swarmed<M>, SearchError> {
        let model = self.model;
        let names = self.selected.witnesses();
        let Runs {
            total,
            runs,
            violating,
            ..
        } = done;
        let Run {
            tally: total,
            witnesses,
            violation,
        } = total;
        let mut verdict = Verdict::Bounded {
            stopped_by: if self.stopped() {
                Limit::Interrupted
            } else if runs == self.settings.runs {
                Limit::Runs
            } else {
                Limit::Time
            },
        };
        let mut reproduce = self.settings;
        let mut counterexample = None;
        if let (Some(number), Some(violation)) = (violating, violation) {
            let RunViolation {
                property,
                kind,
                init,
                path,
            } = violation;
            verdict = Verdict::Violated {
                property: property.to_owned(),
                kind,
                depth: path.len() as u32,
            };
            reproduce = SwarmSettings {
                first_run: number,
                runs: 1,
                ..self.settings
            };
            let any = |_: &M, _: Option<super::counterexample::Step<'_, M>>, _: &M::State| true;
            let rebuilt = super::counterexample::rebuild(model, None, init as u64, &path, &any)?;
            counterexample = Some(rebuilt);
        }
        let actions = model.action_kinds().into_iter().enumerate();
        let pairs = model.pairs().into_iter().zip(&total.pairs);
        let antecedents = self.antecedents.iter().zip(&total.antecedents);
        let report = SwarmReport {
            model: model.identity(),
            verdict,
            reproduce,
            runs,
            steps: total.generated,
            distinct_in_runs: total.discovered.iter().sum(),
            actions: actions
                .map(|(kind, name)| ActionCount {
                    kind: name.to_owned(),
                    enabled: total.enabled[kind],
                    fired: total.fired[kind],
                    discovered: total.discovered[kind],
                })
                .collect(),
            antecedents: antecedents
                .map(|(antecedent, held)| AntecedentCount {
                    property: antecedent.property.to_owned(),
                    held: *held,
                })
                .collect(),
            pairs: pairs
                .map(|(pair, met)| PairCount { pair, met: *met })
                .collect(),
            witnesses: names
                .into_iter()
                .zip(witnesses)
                .map(|(name, depth)| Witness { name, depth })
                .collect(),
            seconds: started.elapsed().as_secs_f64(),
        };
        Ok(Swarmed {
            report,
            counterexample,
        })
    }
}

/// Random numbers that stay what they are (SplitMix64, Steele, Lea and Flood 2014): a printed seed must
/// give the same run in a later version.
struct Random(u64);

impl Random {
    fn new(seed: u64, run: u64) -> Self {
        let mut random = Random(seed);
        let start = random.next() ^ run.wrapping_mul(0xd134_2543_de82_ef95);
        Random(start)
    }

    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// A number below `limit`, which is not zero.
    fn below(&mut self, limit: u64) -> u64 {
        ((u128::from(self.next()) * u128::from(limit)) >> 64) as u64
    }

    /// A position, with a probability proportional to its weight; `None` if all weigh nothing.
    fn weighted(&mut self, weights: &[u64]) -> Option<usize> {
        let total: u64 = weights.iter().sum();
        if total == 0 {
            return None;
        }
        let mut at = self.below(total);
        weights.iter().position(|weight| {
            let here = at < *weight;
            at = at.saturating_sub(*weight);
            here
        })
    }
}
