//! stateright's own searches over the same model, to compare with, and a test of encodings.
//!
//! stateright ends a search early: with no properties at once, and with properties as soon as each of
//! them has a discovery. So the model is wrapped: the wrapper has one property that always holds, and
//! notes on the way what the model's own properties say of every state.

use stateright::{Checker, Expectation, Model, Property};
use std::collections::HashSet;
use std::fmt::Debug;
use std::hash::Hash;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use super::traits::{Checkable, encoded};

/// The searches of stateright.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Baseline {
    /// `spawn_bfs`
    BreadthFirst,
    /// `spawn_dfs`
    DepthFirst,
}

/// The findings of stateright in the whole space.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BaselineReport {
    /// Its `unique_state_count`.
    pub distinct: u64,
    /// Its `state_count`.
    pub generated: u64,
    /// The names of the `always` properties that some state does not have.
    pub violated: Vec<String>,
    /// The names of the `sometimes` properties that no state has.
    pub unreached: Vec<String>,
}

/// Searches all of `model` with stateright, on `threads` threads. Step properties are not seen.
///
/// # Panics
///
/// If the model does.
pub fn baseline<M>(model: M, search: Baseline, threads: usize) -> BaselineReport
where
    M: Model + Send + Sync + 'static,
    M::State: Clone + PartialEq + Hash + Send + Sync + 'static,
    M::Action: Clone + PartialEq,
{
    let watched = model.properties().into_iter().map(|property| Watched {
        property,
        met: AtomicBool::new(false),
    });
    let watched: Arc<[Watched<M>]> = watched.collect();
    let checker = Watching {
        model,
        watched: Arc::clone(&watched),
    }
    .checker()
    .threads(threads.max(1));
    let (distinct, generated) = match search {
        Baseline::BreadthFirst => counts(&checker.spawn_bfs().join()),
        Baseline::DepthFirst => counts(&checker.spawn_dfs().join()),
    };
    let names = |expectation: Expectation, met: bool| {
        watched
            .iter()
            .filter(|watched| watched.property.expectation == expectation)
            .filter(|watched| watched.met.load(Ordering::Relaxed) == met)
            .map(|watched| watched.property.name.to_owned())
            .collect()
    };
    BaselineReport {
        distinct,
        generated,
        violated: names(Expectation::Always, true),
        unreached: names(Expectation::Sometimes, false),
    }
}

fn counts<M: Model>(checker: &impl Checker<M>) -> (u64, u64) {
    (
        checker.unique_state_count() as u64,
        checker.state_count() as u64,
    )
}

/// A property, and whether a state was met that it makes a discovery of.
struct Watched<M: Model> {
    property: Property<M>,
    met: AtomicBool,
}

/// A model with one property, which always holds and looks at all others.
struct Watching<M: Model> {
    model: M,
    watched: Arc<[Watched<M>]>,
}

impl<M: Model> Watching<M> {
    fn look_at(&self, state: &M::State) -> bool {
        for Watched { property, met } in self.watched.iter() {
            let holds = (property.condition)(&self.model, state);
            if holds != (property.expectation == Expectation::Always) {
                met.store(true, Ordering::Relaxed);
            }
        }
        true
    }
}

impl<M: Model> Model for Watching<M> {
    type State = M::State;
    type Action = M::Action;

    fn init_states(&self) -> Vec<M::State> {
        self.model.init_states()
    }

    fn actions(&self, state: &M::State, actions: &mut Vec<M::Action>) {
        self.model.actions(state, actions);
    }

    fn next_state(&self, state: &M::State, action: M::Action) -> Option<M::State> {
        self.model.next_state(state, action)
    }

    fn within_boundary(&self, state: &M::State) -> bool {
        self.model.within_boundary(state)
    }

    fn properties(&self) -> Vec<Property<Self>> {
        vec![Property::always("every state was looked at", Self::look_at)]
    }
}

/// Walks breadth-first through up to `max_states` states of `model`, telling them apart by equality, and
/// checks the encoding: decoding gives the state back, and different states have different encodings.
/// Since the fingerprint is a hash of the encoding, every field that `==` sees then reaches it.
/// Returns the number of states checked.
///
/// # Panics
///
/// If the encoding loses or confuses something.
pub fn assert_faithful<M>(model: &M, max_states: usize) -> usize
where
    M: Checkable,
    M::State: Clone + Eq + Hash + Debug,
{
    let inside = |state: &M::State| model.within_boundary(state);
    let mut states = HashSet::new();
    let mut encodings = HashSet::new();
    let mut waiting: std::collections::VecDeque<M::State> =
        model.init_states().into_iter().filter(inside).collect();
    while let Some(state) = waiting.pop_front() {
        if states.len() == max_states {
            break;
        }
        if !states.insert(state.clone()) {
            continue;
        }
        let bytes = encoded(model, &state);
        assert_eq!(
            model.decode(&bytes),
            state,
            "decoding {bytes:?} gives another state"
        );
        assert!(
            encodings.insert(bytes),
            "another state is encoded like {state:?}"
        );
        waiting.extend(model.next_states(&state).into_iter().filter(inside));
    }
    states.len()
}
