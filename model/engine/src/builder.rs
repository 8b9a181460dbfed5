//! The builder of a search and the loop over its levels.

use super::report::Progress;
use super::traits::{Checkable, StateMap, Symmetry};
use std::ops::ControlFlow;
use std::path::PathBuf;
use std::time::Duration;

/// A callback with the progress of the search; [`ControlFlow::Break`] ends it.
pub(super) type ProgressCallback<'a> = Box<dyn FnMut(&Progress) -> ControlFlow<()> + 'a>;

/// A condition on states that is no part of the model.
pub(super) struct EachState<'a, M: Checkable> {
    pub name: &'static str,
    pub holds: &'a (dyn Fn(&M::State) -> bool + Sync),
}

/// A breadth-first search of a model, level by level.
///
/// ```
/// # use lockstep_engine::{Checkable, Search, Verdict};
/// # use stateright::Model;
/// struct Counter;
/// impl Model for Counter {
///     type State = u8;
///     type Action = u8;
///     fn init_states(&self) -> Vec<u8> { vec![0] }
///     fn actions(&self, _: &u8, actions: &mut Vec<u8>) { actions.extend([1, 3]) }
///     fn next_state(&self, state: &u8, step: u8) -> Option<u8> { Some((state + step) % 10) }
/// }
/// impl Checkable for Counter {
///     fn encode(&self, state: &u8, out: &mut Vec<u8>) { out.push(*state) }
///     fn decode(&self, bytes: &[u8]) -> u8 { bytes[0] }
///     fn identity(&self) -> String { "counter modulo 10".into() }
/// }
/// let checked = Search::new(&Counter).threads(2).run()?;
/// assert_eq!(checked.report.verdict, Verdict::Exhausted);
/// assert_eq!((checked.report.distinct, checked.report.generated), (10, 21));
/// # Ok::<(), lockstep_engine::SearchError>(())
/// ```
pub struct Search<'a, M: Checkable> {
    pub(super) model: &'a M,
    pub(super) options: Options,
    pub(super) canonical: Option<StateMap<M, M::State>>,
    pub(super) orbit_size: Option<StateMap<M, u64>>,
    pub(super) progress: Option<ProgressCallback<'a>>,
    pub(super) each_state: Option<EachState<'a, M>>,
}

/// The settings of a search that are plain data.
#[derive(Clone, Debug)]
pub(super) struct Options {
    pub threads: usize,
    pub max_states: Option<u64>,
    pub max_memory: Option<u64>,
    pub max_time: Option<Duration>,
    pub max_depth: Option<u32>,
    pub only: Option<Vec<String>>,
    pub coverage: bool,
    pub collapse: bool,
    pub on_disk: bool,
    pub spill_folder: Option<PathBuf>,
    pub checkpoint: Option<(PathBuf, Duration)>,
    pub resume: bool,
    pub progress_interval: Duration,
}

impl<'a, M: Checkable> Search<'a, M> {
    /// A search of the whole of `model` on one thread, without limits.
    pub fn new(model: &'a M) -> Self {
        Search {
            model,
            options: Options {
                threads: 1,
                max_states: None,
                max_memory: None,
                max_time: None,
                max_depth: None,
                only: None,
                coverage: false,
                collapse: true,
                on_disk: false,
                spill_folder: None,
                checkpoint: None,
                resume: false,
                progress_interval: Duration::from_millis(500),
            },
            canonical: None,
            orbit_size: None,
            progress: None,
            each_state: None,
        }
    }

    /// Searches on `threads` threads (0 counts as 1). The number changes nothing but the time.
    #[must_use]
    pub fn threads(mut self, threads: usize) -> Self {
        self.options.threads = threads.max(1);
        self
    }

    /// Stops once at least `states` distinct states were found.
    #[must_use]
    pub fn max_states(mut self, states: u64) -> Self {
        self.options.max_states = Some(states);
        self
    }

    /// Holds at most `bytes` bytes of fingerprints, frontier, links and successors at work. Beyond
    /// it the frontier and the links go to disk, then the fingerprints of old levels, and then all
    /// fingerprints but those found at the moment. What cannot go, and stops the search, is about 1.3 bytes
    /// for each state and the successors at work. With little more room than that the search is slow,
    /// because what is on disk is read and written again each time the rest is full.
    /// What the process needs besides (code, threads' stacks, the model) is not counted.
    #[must_use]
    pub fn max_memory(mut self, bytes: u64) -> Self {
        self.options.max_memory = Some(bytes);
        self
    }

    /// Stops after about `time`, counted anew after a resume.
    #[must_use]
    pub fn max_time(mut self, time: Duration) -> Self {
        self.options.max_time = Some(time);
        self
    }

    /// Finds states up to `depth` steps away and expands none of those at `depth` itself.
    #[must_use]
    pub fn max_depth(mut self, depth: u32) -> Self {
        self.options.max_depth = Some(depth);
        self
    }

    /// Checks only the properties with these names (of states, of steps, witnesses).
    #[must_use]
    pub fn only<S: Into<String>>(mut self, properties: impl IntoIterator<Item = S>) -> Self {
        self.options.only = Some(properties.into_iter().map(Into::into).collect());
        self
    }

    /// Counts antecedents and pairs as well.
    #[must_use]
    pub fn coverage(mut self, on: bool) -> Self {
        self.options.coverage = on;
        self
    }

    /// Turns the model's [`collapse`](Checkable::collapse) on or off, if it has one (on by default).
    #[must_use]
    pub fn collapse(mut self, on: bool) -> Self {
        self.options.collapse = on;
        self
    }

    /// Puts what goes to disk into a temporary folder inside `folder`, instead of the system's.
    #[must_use]
    pub fn spill_folder(mut self, folder: impl Into<PathBuf>) -> Self {
        self.options.spill_folder = Some(folder.into());
        self
    }

    /// Puts frontier, links and the fingerprints of old levels on disk from the start, instead of once
    /// [`max_memory`](Self::max_memory) is reached (off by default).
    #[must_use]
    pub fn on_disk(mut self, on: bool) -> Self {
        self.options.on_disk = on;
        self
    }

    /// Keeps a checkpoint in `folder` (made if missing), brought up to date every `interval`.
    /// An earlier checkpoint there is overwritten, unless [`resume`](Self::resume) is on.
    #[must_use]
    pub fn checkpoint(mut self, folder: impl Into<PathBuf>, interval: Duration) -> Self {
        self.options.checkpoint = Some((folder.into(), interval));
        self
    }

    /// Goes on from the checkpoint in the folder of [`checkpoint`](Self::checkpoint), or starts from
    /// the beginning if there is none yet.
    #[must_use]
    pub fn resume(mut self, on: bool) -> Self {
        self.options.resume = on;
        self
    }

    /// Evaluates a condition beside those of the model, in the property `name`: once for every distinct state that is
    /// expanded, by the thread that expands it. It may be slow, and remember what it found out; it is looked at in whole
    /// states, and nothing is assumed about what its answer depends on. With symmetry it sees representatives.
    #[must_use]
    pub fn each_state(
        mut self,
        name: &'static str,
        holds: &'a (dyn Fn(&M::State) -> bool + Sync),
    ) -> Self {
        self.each_state = Some(EachState { name, holds });
        self
    }

    /// Calls `callback` about every `interval`, between two batches of states.
    #[must_use]
    pub fn on_progress(
        mut self,
        interval: Duration,
        callback: impl FnMut(&Progress) -> ControlFlow<()> + 'a,
    ) -> Self {
        self.options.progress_interval = interval;
        self.progress = Some(Box::new(callback));
        self
    }
}

impl<M: Symmetry> Search<'_, M> {
    /// Counts and expands one representative of all states that are permutations of each other.
    /// Traces still show the states and actions of a real run, not of representatives.
    #[must_use]
    pub fn symmetry(mut self, on: bool) -> Self {
        self.canonical = on.then_some(M::canonical);
        if !on {
            self.orbit_size = None;
        }
        self
    }

    /// With symmetry: also adds up how many states the representatives stand for (slow).
    #[must_use]
    pub fn count_orbits(mut self, on: bool) -> Self {
        self.orbit_size = on.then_some(M::orbit_size);
        self
    }
}
