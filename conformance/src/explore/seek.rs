//! The shortest way to a condition, and the edges of a small graph: both by the engine.

use lockstep_engine::{Checkable, Limit, Search, SearchError, StepProperty, Verdict};
use lockstep_model::{Action, Cluster, ClusterState};
use stateright::{Model, Property};
use std::ops::ControlFlow;
use std::time::Duration;

/// A condition on a transition: the state before, the action, the state after.
pub type Watch<'a> = dyn Fn(&ClusterState, &Action, &ClusterState) -> bool + Sync + 'a;

/// The result of a search for a condition.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Sought {
    /// The shortest way, from where it began.
    Found(Vec<Action>),
    /// Every state within the bounds was visited, and none is one.
    Nowhere {
        /// The number of states.
        states: u64,
    },
    /// It was stopped before the end.
    Stopped {
        /// The limit that stopped it.
        by: Limit,
        /// The number of states visited.
        states: u64,
    },
}

/// Limits of a search.
#[derive(Clone, Copy, Debug)]
pub struct Reach {
    /// Threads.
    pub threads: usize,
    /// Distinct states.
    pub states: u64,
    /// Time.
    pub time: Duration,
}

/// A cluster that begins somewhere, with something to watch for.
struct Watched<'a> {
    cluster: &'a Cluster,
    start: &'a ClusterState,
    watch: &'a Watch<'a>,
}

/// Searches for the first transition from `start` on that `watch` is true of. `progress` is told the states
/// found and the depth, and may stop the search.
///
/// # Errors
///
/// The engine cannot be started.
pub fn shortest(
    cluster: &Cluster,
    start: &ClusterState,
    watch: &Watch<'_>,
    reach: Reach,
    mut progress: impl FnMut(u64, u32) -> ControlFlow<()>,
) -> Result<Sought, SearchError> {
    let watched = Watched {
        cluster,
        start,
        watch,
    };
    let checked = Search::new(&watched)
        .threads(reach.threads)
        .max_states(reach.states)
        .max_time(reach.time)
        .on_progress(Duration::from_millis(50), |it| {
            progress(it.distinct, it.depth)
        })
        .run()?;
    let states = checked.report.distinct;
    Ok(match (checked.report.verdict, checked.counterexample) {
        (Verdict::Violated { .. }, Some(trace)) => {
            Sought::Found(trace.actions().copied().collect())
        }
        (Verdict::Bounded { stopped_by }, _) => Sought::Stopped {
            by: stopped_by,
            states,
        },
        _ => Sought::Nowhere { states },
    })
}

impl Model for Watched<'_> {
    type State = ClusterState;
    type Action = Action;

    fn init_states(&self) -> Vec<ClusterState> {
        vec![self.start.clone()]
    }

    fn actions(&self, state: &ClusterState, actions: &mut Vec<Action>) {
        self.cluster.enabled(state, actions);
    }

    fn next_state(&self, state: &ClusterState, action: Action) -> Option<ClusterState> {
        self.cluster.next_state(state, action)
    }

    fn properties(&self) -> Vec<Property<Self>> {
        Vec::new()
    }

    fn within_boundary(&self, state: &ClusterState) -> bool {
        // Where it begins may lie beyond the bounds.
        state == self.start || self.cluster.is_within(state)
    }
}

impl Checkable for Watched<'_> {
    fn encode(&self, state: &ClusterState, out: &mut Vec<u8>) {
        self.cluster.encode(state, out);
    }

    fn decode(&self, bytes: &[u8]) -> ClusterState {
        self.cluster.decode(bytes)
    }

    fn identity(&self) -> String {
        format!("{} from a state", self.cluster.identity())
    }

    fn step_properties(&self) -> Vec<StepProperty<Self>> {
        vec![StepProperty::new(
            "sought",
            |model: &Self, before: &ClusterState, action: &Action, after: &ClusterState| {
                !(model.watch)(before, action, after)
            },
        )]
    }
}
