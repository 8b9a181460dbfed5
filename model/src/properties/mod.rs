//! The properties that must hold, and the witnesses that must be reachable.
//!
//! Names say where a property is looked at: `..._inv` holds in every state, `..._step` on every transition,
//! `..._reachable` is a witness that something interesting happens at all. Every property has an antecedent: the case
//! in which it says something. A property whose antecedent never holds in a search was not tested by it.
//!
//! There are four kinds, and each is given exactly what the engine remembers its answer by. So it cannot depend on
//! anything else:
//!
//! | kind | given | remembered by |
//! | --- | --- | --- |
//! | step ([`OnStep`]) | [`ServerStep`]: settings, server before, input, server after, messages | (server, input) |
//! | history step ([`OnHistory`]) | the history with the facts of the step in it | servers and history |
//! | state ([`OnState`]) | [`Standing`]: servers and history | servers and history |
//! | network ([`OnNetwork`]) | the whole state | never |
//!
//! A step property that looks at another server does not compile:
//!
//! ```compile_fail
//! # use lockstep_model::properties::OnStep;
//! let nobody_is_ahead: OnStep =
//!     |step| step.servers.iter().all(|other| other.commit() <= step.after().commit());
//! ```
//!
//! One that looks at the server that moves does:
//!
//! ```
//! # use lockstep_model::properties::OnStep;
//! let commit_grows: OnStep = |step| step.before().commit() <= step.after().commit();
//! ```
//!
//! Nor does a condition on a whole state pass for one on a step, or one on messages for one on servers and history:
//!
//! ```compile_fail
//! # use lockstep_model::properties::OnState;
//! let silence: OnState = |_, state| state.in_flight() == 0;
//! ```
//!
//! ```
//! # use lockstep_model::properties::{OnNetwork, OnState};
//! let silence: OnNetwork = |_, state| state.in_flight() == 0;
//! let somebody: OnState = |_, state| !state.servers.is_empty();
//! ```

mod membership;
mod monitor;
mod reads;
mod rules;
mod server_step;
mod state;
mod step;
mod storage;
mod taken;
mod witness;

use crate::cluster::{Action, Cluster, ClusterState};
use crate::history::History;
use crate::server::Server;
use lockstep_engine::{Antecedent, StepProperty};
use stateright::Property;
use std::sync::LazyLock;

pub use monitor::{Monitor, Violation};
pub use server_step::ServerStep;
pub(crate) use state::gauge;
pub use taken::{NamedProperty, RunClocks, Taken};

/// The servers of a state and its history, without the network and without what was spent.
#[derive(Clone, Copy, Debug)]
pub struct Standing<'a> {
    /// The servers, by slot.
    pub servers: &'a [Server],
    /// The history.
    pub history: &'a History,
}

impl<'a> Standing<'a> {
    /// That of a state.
    pub fn of(state: &'a ClusterState) -> Self {
        Standing {
            servers: &state.servers,
            history: &state.history,
        }
    }
}

/// A condition on a step of one server.
pub type OnStep = fn(&ServerStep<'_>) -> bool;

/// A condition on what a step added to the history, and on what was there before.
pub type OnHistory = fn(&Cluster, &History) -> bool;

/// A condition on servers and history.
pub type OnState = fn(&Cluster, Standing<'_>) -> bool;

/// A condition on the whole state, messages in flight included.
pub type OnNetwork = fn(&Cluster, &ClusterState) -> bool;

/// A property that is looked at in every state.
#[derive(Clone, Copy)]
pub struct StateProperty {
    /// `..._inv`.
    pub name: &'static str,
    /// Its statement, with the source.
    pub source: &'static str,
    /// Its conditions, by what they see.
    pub kind: StateKind,
}

/// The kinds of property that are looked at in every state, each with its condition and the case in which that says
/// anything.
#[derive(Clone, Copy)]
pub enum StateKind {
    /// Of the history, to which the last step added its facts.
    HistoryStep {
        /// The condition that must hold.
        holds: OnHistory,
        /// The case in which the condition says anything.
        antecedent: OnHistory,
    },
    /// Of servers and history.
    State {
        /// The condition that must hold.
        holds: OnState,
        /// The case in which the condition says anything.
        antecedent: OnState,
    },
    /// Of messages and servers.
    Network {
        /// The condition that must hold.
        holds: OnNetwork,
        /// The case in which the condition says anything.
        antecedent: OnNetwork,
    },
}

impl StateProperty {
    /// Whether a state has the property.
    pub fn holds(&self, cluster: &Cluster, state: &ClusterState) -> bool {
        match self.kind {
            StateKind::HistoryStep { holds, .. } => holds(cluster, &state.history),
            StateKind::State { holds, .. } => holds(cluster, Standing::of(state)),
            StateKind::Network { holds, .. } => holds(cluster, state),
        }
    }

    /// Whether that says anything of the state.
    pub fn antecedent(&self, cluster: &Cluster, state: &ClusterState) -> bool {
        match self.kind {
            StateKind::HistoryStep { antecedent, .. } => antecedent(cluster, &state.history),
            StateKind::State { antecedent, .. } => antecedent(cluster, Standing::of(state)),
            StateKind::Network { antecedent, .. } => antecedent(cluster, state),
        }
    }

    /// Whether it depends on messages.
    pub fn is_of_network(&self) -> bool {
        matches!(self.kind, StateKind::Network { .. })
    }
}

/// A property of every step of a server.
#[derive(Clone, Copy)]
pub struct TransitionProperty {
    /// `..._step`.
    pub name: &'static str,
    /// Its statement, with the source.
    pub source: &'static str,
    /// The condition that must hold.
    pub holds: OnStep,
    /// The case in which the condition says anything.
    pub antecedent: OnStep,
}

impl TransitionProperty {
    /// Whether a transition has the property: any that moves no server does.
    pub fn holds(
        &self,
        cluster: &Cluster,
        before: &ClusterState,
        action: &Action,
        after: &ClusterState,
    ) -> bool {
        ServerStep::of(cluster, before, action, after).is_none_or(|step| (self.holds)(&step))
    }

    /// Whether that says anything of the transition.
    pub fn antecedent(
        &self,
        cluster: &Cluster,
        before: &ClusterState,
        action: &Action,
        after: &ClusterState,
    ) -> bool {
        ServerStep::of(cluster, before, action, after).is_some_and(|step| (self.antecedent)(&step))
    }
}

/// Something that must be reachable, or the model is too small to mean much.
#[derive(Clone, Copy)]
pub struct Witness {
    /// `..._reachable`.
    pub name: &'static str,
    /// The story.
    pub story: &'static str,
    /// The smallest of the CI presets that reaches it.
    pub preset: &'static str,
    /// The condition under which it is reached.
    pub reached: Reached,
}

/// The condition under which a witness is reached.
#[derive(Clone, Copy)]
pub enum Reached {
    /// In a state.
    State(OnState),
    /// On a step of a server.
    Step(OnStep),
}

impl Witness {
    /// Whether a state is one.
    pub fn is_state(&self, cluster: &Cluster, state: &ClusterState) -> bool {
        match self.reached {
            Reached::State(condition) => condition(cluster, Standing::of(state)),
            Reached::Step(_) => false,
        }
    }

    /// Whether a transition is one.
    pub fn is_step(
        &self,
        cluster: &Cluster,
        before: &ClusterState,
        action: &Action,
        after: &ClusterState,
    ) -> bool {
        match self.reached {
            Reached::State(_) => false,
            Reached::Step(condition) => {
                ServerStep::of(cluster, before, action, after).is_some_and(|step| condition(&step))
            }
        }
    }
}

/// The properties of states, in the order in which they are looked at.
pub fn state_properties() -> &'static [StateProperty] {
    static ALL: LazyLock<Vec<StateProperty>> =
        LazyLock::new(|| [state::ALL, membership::STATE, storage::STATE, reads::STATE].concat());
    &ALL
}

/// The properties of transitions, in the order in which they are looked at; all of them come before those
/// of the state that a transition leads to. Those that follow from several rules come before the rules
/// themselves.
pub fn step_properties() -> &'static [TransitionProperty] {
    static ALL: LazyLock<Vec<TransitionProperty>> =
        LazyLock::new(|| step::ALL.iter().chain(rule_properties()).copied().collect());
    &ALL
}

/// Returns the properties of transitions that restate one rule of the protocol.
pub fn rule_properties() -> impl Iterator<Item = &'static TransitionProperty> {
    rules::ALL.iter().flat_map(|rules| rules.iter())
}

/// The witnesses.
pub fn witnesses() -> &'static [Witness] {
    static ALL: LazyLock<Vec<Witness>> = LazyLock::new(|| {
        [
            witness::ALL,
            membership::WITNESSES,
            storage::WITNESSES,
            reads::WITNESSES,
        ]
        .concat()
    });
    &ALL
}

/// stateright takes conditions that are plain functions of a whole state: one for each place of a table.
macro_rules! at_each_place {
    ($function:ident: $($place:literal)*) => { [$($function::<$place>),*] };
}

type WholeState = fn(&Cluster, &ClusterState) -> bool;

const HOLDS_AT: [WholeState; 64] = at_each_place!(holds_at:
    0 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20 21 22 23 24 25 26 27 28 29 30 31
    32 33 34 35 36 37 38 39 40 41 42 43 44 45 46 47 48 49 50 51 52 53 54 55 56 57 58 59 60 61 62 63);

const REACHED_AT: [WholeState; 64] = at_each_place!(reached_at:
    0 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20 21 22 23 24 25 26 27 28 29 30 31
    32 33 34 35 36 37 38 39 40 41 42 43 44 45 46 47 48 49 50 51 52 53 54 55 56 57 58 59 60 61 62 63);

fn holds_at<const PLACE: usize>(cluster: &Cluster, state: &ClusterState) -> bool {
    state_properties()[PLACE].holds(cluster, state)
}

fn reached_at<const PLACE: usize>(cluster: &Cluster, state: &ClusterState) -> bool {
    state_witnesses()[PLACE].is_state(cluster, state)
}

/// The witnesses that are states.
fn state_witnesses() -> &'static [Witness] {
    static STATES: LazyLock<Vec<Witness>> = LazyLock::new(|| {
        let states = witnesses().iter();
        let states = states.filter(|it| matches!(it.reached, Reached::State(_)));
        states.copied().collect()
    });
    &STATES
}

/// Properties of states and witnesses of states, for stateright's engine and ours.
pub(crate) fn for_stateright() -> Vec<Property<Cluster>> {
    let (all, states) = (state_properties(), state_witnesses());
    // What has no place would not be looked at.
    assert!(all.len() <= HOLDS_AT.len() && states.len() <= REACHED_AT.len());
    let always = all
        .iter()
        .zip(HOLDS_AT)
        .map(|(property, holds)| Property::always(property.name, holds));
    let sometimes = states
        .iter()
        .zip(REACHED_AT)
        .map(|(witness, reached)| Property::sometimes(witness.name, reached));
    always.chain(sometimes).collect()
}

/// A condition on steps that the cluster judges with others.
#[derive(Clone, Copy)]
pub(crate) struct Shared {
    /// The condition.
    pub(crate) condition: OnStep,
    /// Whether it holds on a step that moves no server.
    pub(crate) otherwise: bool,
}

/// The conditions on steps, which the engine knows by their places: the properties, as many antecedents, the witnesses.
pub(crate) fn shared_conditions() -> &'static [Shared] {
    static ALL: LazyLock<Vec<Shared>> = LazyLock::new(|| {
        let shared = |otherwise| {
            move |condition| Shared {
                condition,
                otherwise,
            }
        };
        let steps = step_properties().iter();
        let holds = steps.clone().map(|it| it.holds).map(shared(true));
        let antecedents = steps.map(|it| it.antecedent).map(shared(false));
        let witnesses = step_witness_conditions()
            .map(|(_, it)| it)
            .map(shared(false));
        holds.chain(antecedents).chain(witnesses).collect()
    });
    &ALL
}

fn step_witness_conditions() -> impl Iterator<Item = (&'static str, OnStep)> {
    witnesses().iter().filter_map(|it| match it.reached {
        Reached::Step(condition) => Some((it.name, condition)),
        Reached::State(_) => None,
    })
}

pub(crate) fn for_steps() -> Vec<StepProperty<Cluster>> {
    let places = step_properties().iter().zip(0..);
    let shared =
        |(property, place): (&TransitionProperty, _)| StepProperty::shared(property.name, place);
    places.map(shared).collect()
}

pub(crate) fn step_witnesses() -> Vec<StepProperty<Cluster>> {
    let places = step_witness_conditions().zip(2 * step_properties().len()..);
    let shared = |((name, _), place)| StepProperty::shared(name, place);
    places.map(shared).collect()
}

pub(crate) fn antecedents() -> Vec<Antecedent<Cluster>> {
    let states = state_properties().iter().map(|property| {
        Antecedent::state(property.name, |cluster, state| {
            property.antecedent(cluster, state)
        })
    });
    let steps = step_properties().iter().zip(step_properties().len()..);
    let shared =
        |(property, place): (&TransitionProperty, _)| Antecedent::shared(property.name, place);
    states.chain(steps.map(shared)).collect()
}
