//! The result of a search: the verdict with its bound, the counts, and the traces.

use super::error::SearchError;
use serde::{Deserialize, Serialize};
use stateright::Model;
use std::fmt;

/// The verdict of a search. A search that was cut off never says more than [`Verdict::Bounded`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// Every state within the model's own bounds was visited and no property was violated.
    Exhausted,
    /// No property was violated in what was visited, but the search was stopped before the end.
    Bounded {
        /// The limit that stopped it.
        stopped_by: Limit,
    },
    /// A property was violated. The counterexample is a shortest one.
    Violated {
        /// The name of the property.
        property: String,
        /// The kind of property: of the last state, or of the last step.
        kind: PropertyKind,
        /// The number of steps of the counterexample.
        depth: u32,
    },
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Verdict::Exhausted => f.write_str("exhausted"),
            Verdict::Bounded { stopped_by } => write!(f, "bounded ({stopped_by})"),
            Verdict::Violated {
                property, depth, ..
            } => {
                write!(f, "violated ({property}, {depth} steps)")
            }
        }
    }
}

/// The kind of a property.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PropertyKind {
    /// stateright's `always`: every reachable state has it.
    State,
    /// A [`StepProperty`](super::StepProperty): every transition has it.
    Step,
}

/// A limit that stops a search before the end.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Limit {
    /// As many distinct states as were allowed have been found.
    States,
    /// The data that must stay in memory no longer fit into the memory allowed.
    Memory,
    /// The time allowed is over.
    Time,
    /// The states at the greatest depth allowed were found and not expanded.
    Depth,
    /// A file of the search could not be read or written, on a full disk for example.
    Disk,
    /// The progress callback asked for the end.
    Interrupted,
    /// The runs of a simulation are done; a simulation never exhausts a space.
    Runs,
}

impl fmt::Display for Limit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Limit::States => "states",
            Limit::Memory => "memory",
            Limit::Time => "time",
            Limit::Depth => "depth",
            Limit::Disk => "disk",
            Limit::Interrupted => "interrupted",
            Limit::Runs => "runs",
        })
    }
}

/// The counts of one search. Everything but [`time`](Self::time) and [`memory`](Self::memory) is the
/// same for any number of threads, with or without spilling to disk, and after any number of resumes.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Report {
    /// The model's [`identity`](super::Checkable::identity).
    pub model: String,
    /// The verdict.
    pub verdict: Verdict,
    /// Whether states were counted up to symmetry.
    pub symmetry: bool,
    /// The number of threads used.
    pub threads: usize,
    /// Distinct states within the boundary (representatives, with symmetry).
    pub distinct: u64,
    /// States generated: the initial states and the result of every transition within the boundary,
    /// counted as stateright's `state_count` does.
    pub generated: u64,
    /// With symmetry and [`count_orbits`](super::Search::count_orbits): the distinct states that
    /// the expanded representatives stand for.
    pub orbit_states: Option<u64>,
    /// The greatest depth at which a state was found; initial states have depth 0. (stateright's
    /// `max_depth` is one more, since it counts the initial state.)
    pub depth: u32,
    /// One row for each depth, from 0.
    pub levels: Vec<Level>,
    /// One row for each kind of action.
    pub actions: Vec<ActionCount>,
    /// The properties that were checked, in the order of the model: state, then step properties.
    pub checked: Vec<String>,
    /// One row for each witness: `sometimes` properties, then step witnesses.
    pub witnesses: Vec<Witness>,
    /// One row for each antecedent; empty unless coverage was asked for.
    pub antecedents: Vec<AntecedentCount>,
    /// One row for each pair that can meet; empty unless coverage was asked for.
    pub pairs: Vec<PairCount>,
    /// An upper estimate of the probability that two different states had the same 64-bit
    /// fingerprint, so that one was hidden: n²/2⁶⁵ for n distinct states.
    pub collision_probability: f64,
    /// The time spent, by purpose.
    pub time: TimeSplit,
    /// The memory used, by purpose.
    pub memory: MemorySplit,
}

impl Report {
    /// The witnesses that were not found.
    pub fn unreached(&self) -> impl Iterator<Item = &str> {
        self.witnesses
            .iter()
            .filter(|witness| witness.depth.is_none())
            .map(|w| w.name.as_str())
    }

    /// Everything that the search should have met and did not: actions that never fired,
    /// antecedents that never held, pairs that never met, witnesses never reached.
    pub fn gaps(&self) -> Vec<Gap> {
        gaps(
            &self.actions,
            &self.antecedents,
            &self.pairs,
            &self.witnesses,
        )
    }

    /// Generated states for each distinct one that was expanded.
    pub fn branching(&self) -> f64 {
        let expanded: u64 = self.levels.iter().map(|level| level.expanded).sum();
        let generated: u64 = self.levels.iter().map(|level| level.generated).sum();
        if expanded == 0 {
            0.0
        } else {
            generated as f64 / expanded as f64
        }
    }
}

/// The gaps: everything that was never met.
pub(super) fn gaps(
    actions: &[ActionCount],
    antecedents: &[AntecedentCount],
    pairs: &[PairCount],
    witnesses: &[Witness],
) -> Vec<Gap> {
    let actions = actions.iter().filter(|row| row.fired == 0);
    let antecedents = antecedents.iter().filter(|row| row.held == 0);
    let pairs = pairs.iter().filter(|row| row.met == 0);
    let witnesses = witnesses.iter().filter(|row| row.depth.is_none());
    actions
        .map(|row| Gap::ActionNeverFired(row.kind.clone()))
        .chain(antecedents.map(|row| Gap::AntecedentNeverHeld(row.property.clone())))
        .chain(pairs.map(|row| Gap::PairNeverMet(row.pair.clone())))
        .chain(witnesses.map(|row| Gap::WitnessNotReached(row.name.clone())))
        .collect()
}

/// Something a search should have met and did not.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Gap {
    /// No action of this kind ever led to a state within the boundary.
    ActionNeverFired(String),
    /// The property with this name was never put to the test.
    AntecedentNeverHeld(String),
    /// The pair never met.
    PairNeverMet(String),
    /// No state or step is the witness of this name.
    WitnessNotReached(String),
}

impl fmt::Display for Gap {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Gap::ActionNeverFired(kind) => write!(f, "action {kind} never fired"),
            Gap::AntecedentNeverHeld(property) => {
                write!(f, "property {property} was never put to the test")
            }
            Gap::PairNeverMet(pair) => write!(f, "{pair} never met"),
            Gap::WitnessNotReached(name) => write!(f, "witness {name} was not reached"),
        }
    }
}

/// The states of one depth.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Level {
    /// The distinct states first found at this depth.
    pub distinct: u64,
    /// The number of them that were expanded: all, unless the search was stopped.
    pub expanded: u64,
    /// The transitions within the boundary out of the expanded ones.
    pub generated: u64,
    /// The expanded ones that have no transition within the boundary.
    pub terminal: u64,
}

/// The number of times that a kind of action was met.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ActionCount {
    /// The kind.
    pub kind: String,
    /// The number of times that the model offered such an action in an expanded state.
    pub enabled: u64,
    /// The number of times that it led to a state within the boundary.
    pub fired: u64,
    /// The number of times that it was the one that led to a new state.
    pub discovered: u64,
}

/// A `sometimes` property or step witness, and where it was reached first.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Witness {
    /// The name of the property.
    pub name: String,
    /// The number of steps of a shortest path to it, the step itself included; `None` if none was found.
    pub depth: Option<u32>,
}

/// The number of times that a property was put to the test.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AntecedentCount {
    /// The name of the property.
    pub property: String,
    /// In how many distinct expanded states (or transitions, for a step property) it was.
    pub held: u64,
}

/// The number of times that a pair met.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PairCount {
    /// The name of the pair.
    pub pair: String,
    /// On how many transitions it met.
    pub met: u64,
}

/// The time that a search spent in each phase. The phases are wall-clock times, and do not add up to the total.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct TimeSplit {
    /// From the start to the end, in seconds, those before a resume included.
    pub total_seconds: f64,
    /// Expanding states: actions, next states, properties, encoding, first look-up.
    pub expand_seconds: f64,
    /// Inserting fingerprints.
    pub insert_seconds: f64,
    /// Writing the next level and the links.
    pub emit_seconds: f64,
    /// Writing checkpoints.
    pub checkpoint_seconds: f64,
}

/// The memory that a search used for each purpose, each at its peak, in bytes.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct MemorySplit {
    /// The table of fingerprints, and what stays in memory of those on disk.
    pub fingerprints: u64,
    /// Encoded states waiting to be expanded, held in memory.
    pub frontier: u64,
    /// Predecessor links held in memory.
    pub links: u64,
    /// Successors of the batch at work.
    pub batch: u64,
    /// The peak of the sum.
    pub peak: u64,
    /// Encoded states, links and fingerprints on disk.
    pub disk: u64,
}

/// The progress of a search, for a callback.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Progress {
    /// Distinct states so far.
    pub distinct: u64,
    /// Generated states so far.
    pub generated: u64,
    /// The depth of the states that are being expanded.
    pub depth: u32,
    /// States found and not yet expanded.
    pub queue: u64,
    /// Distinct states found per second since the last callback.
    pub states_per_second: f64,
    /// Bytes of memory in use for fingerprints, frontier, links and the batch at work.
    pub memory_bytes: u64,
    /// Bytes on disk.
    pub disk_bytes: u64,
    /// Seconds since the start, those before a resume included.
    pub elapsed_seconds: f64,
}

/// A path through the model from an initial state.
pub struct Trace<M: Model> {
    /// The initial state.
    pub init: M::State,
    /// Each action with the state it led to.
    pub steps: Vec<(M::Action, M::State)>,
}

impl<M: Model> Trace<M> {
    /// The last state.
    pub fn last(&self) -> &M::State {
        self.steps.last().map_or(&self.init, |(_, state)| state)
    }

    /// The actions in order.
    pub fn actions(&self) -> impl Iterator<Item = &M::Action> {
        self.steps.iter().map(|(action, _)| action)
    }
}

impl<M: Model> Clone for Trace<M>
where
    M::State: Clone,
    M::Action: Clone,
{
    fn clone(&self) -> Self {
        Trace {
            init: self.init.clone(),
            steps: self.steps.clone(),
        }
    }
}

impl<M: Model> fmt::Debug for Trace<M>
where
    M::State: fmt::Debug,
    M::Action: fmt::Debug,
{
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Trace")
            .field("init", &self.init)
            .field("steps", &self.steps)
            .finish()
    }
}

/// A finished search: the report, and the paths that belong to it.
pub struct Checked<M: Model> {
    /// The verdict and the counts.
    pub report: Report,
    /// For [`Verdict::Violated`]: a shortest path that ends in the violation.
    pub counterexample: Option<Trace<M>>,
    /// For each witness that was reached: its name and a shortest path that ends in it.
    pub witnesses: Vec<(String, Trace<M>)>,
    /// The distinct states found before, if the search went on from a checkpoint.
    pub resumed_at: Option<u64>,
    /// The first failure of a file: the cause of [`Limit::Disk`], or of a path or checkpoint that is missing
    /// beside another verdict.
    pub trouble: Option<SearchError>,
}
