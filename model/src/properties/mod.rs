//! The properties that must hold, and the witnesses that must be reachable.
//!
//! Names say the kind: `..._inv` holds in every state, `..._step` on every transition, `..._reachable` is
//! a witness that something interesting happens at all. Every property has an antecedent: the case in
//! which it says something. A property whose antecedent never holds in a search was not tested by it.

mod membership;
mod monitor;
mod reads;
mod rules;
mod state;
mod step;
mod storage;
mod taken;
mod witness;

use crate::cluster::{Action, Cluster, ClusterState};
use lockstep_engine::{Antecedent, StepProperty};
use stateright::Property;
use std::sync::LazyLock;

pub use monitor::{Monitor, Violation};
pub(crate) use state::gauge;
pub use taken::{NamedProperty, RunClocks, Taken};

/// A condition on a state.
pub type OnState = fn(&Cluster, &ClusterState) -> bool;

/// A condition on a transition: the state before, the action, the state after.
pub type OnStep = fn(&Cluster, &ClusterState, &Action, &ClusterState) -> bool;

/// A property of every state.
#[derive(Clone, Copy)]
pub struct StateProperty {
    /// `..._inv`.
    pub name: &'static str,
    /// Its statement, with the source.
    pub source: &'static str,
    /// The part of a state that it reads.
    pub reads: Reads,
    /// Whether a state has the property.
    pub holds: OnState,
    /// Whether it says anything of the state.
    pub antecedent: OnState,
}

/// The part of a state that a property of states reads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reads {
    /// The servers and the history, neither the network nor what was spent.
    Servers,
    /// Whether the term of every message is within its limit, which the term of one server sets.
    MessageTerms,
}

/// A property of every transition.
#[derive(Clone, Copy)]
pub struct TransitionProperty {
    /// `..._step`.
    pub name: &'static str,
    /// Its statement, with the source.
    pub source: &'static str,
    /// Whether a transition has the property.
    pub holds: OnStep,
    /// Whether it says anything of the transition.
    pub antecedent: OnStep,
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
    /// When it has happened.
    pub reached: Reached,
}

/// When a witness is reached.
#[derive(Clone, Copy)]
pub enum Reached {
    /// In a state.
    State(OnState),
    /// On a transition.
    Step(OnStep),
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

/// Those properties of transitions that say what one rule of the protocol says.
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

/// Properties of states and witnesses of states, for stateright's engine and ours.
pub(crate) fn for_stateright() -> Vec<Property<Cluster>> {
    let always = state_properties()
        .iter()
        .map(|property| Property::always(property.name, property.holds));
    let sometimes = witnesses()
        .iter()
        .filter_map(|witness| match witness.reached {
            Reached::State(condition) => Some(Property::sometimes(witness.name, condition)),
            Reached::Step(_) => None,
        });
    always.chain(sometimes).collect()
}

pub(crate) fn for_steps() -> Vec<StepProperty<Cluster>> {
    let property = |property: &TransitionProperty| StepProperty::new(property.name, property.holds);
    step_properties().iter().map(property).collect()
}

pub(crate) fn step_witnesses() -> Vec<StepProperty<Cluster>> {
    let step = |witness: &Witness| match witness.reached {
        Reached::State(_) => None,
        Reached::Step(condition) => Some(StepProperty::new(witness.name, condition)),
    };
    witnesses().iter().filter_map(step).collect()
}

pub(crate) fn antecedents() -> Vec<Antecedent<Cluster>> {
    let states = state_properties()
        .iter()
        .map(|property| Antecedent::state(property.name, property.antecedent));
    let steps = step_properties()
        .iter()
        .map(|property| Antecedent::step(property.name, property.antecedent));
    states.chain(steps).collect()
}
