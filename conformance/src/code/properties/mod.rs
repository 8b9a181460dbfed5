//! The properties of the paper, on what an implementation shows of itself.
//!
//! They know nothing of the specification: where it says what a server does, they say what no server may do. A property
//! of states depends on the servers and the history alone (that of [message terms](mod@states) apart, which the engine knows
//! of), and one of steps on the server that moves, its input, what it became and what it sent: the engine remembers the
//! verdict on these.

mod membership;
mod moves;
mod reads;
mod snapshot;
mod states;
mod steps;
mod storage;
#[cfg(test)]
mod tests;

use super::Code;
use super::components::CodeState;
use lockstep_engine::{Antecedent, StepProperty};
use lockstep_model::Action;
use lockstep_traces::Body;
use stateright::Property as Stateright;
use std::sync::LazyLock;

type OnState = fn(&Code<'_>, &CodeState) -> bool;
type OnStep = fn(&Code<'_>, &CodeState, &Action, &CodeState) -> bool;

/// A property of an implementation.
#[derive(Clone, Copy)]
pub struct Property {
    /// `..._inv` of states, `..._step` of steps.
    pub name: &'static str,
    /// Its statement, with the source.
    pub source: &'static str,
    kind: PropertyOf,
}

impl Property {
    /// Whether it is about single states, so that what was before does not matter.
    pub fn is_of_states(&self) -> bool {
        matches!(self.kind, PropertyOf::State { .. })
    }

    /// Whether a step has it, or the state after the step.
    pub(crate) fn holds(
        &self,
        code: &Code<'_>,
        before: &CodeState,
        action: &Action,
        after: &CodeState,
    ) -> bool {
        match self.kind {
            PropertyOf::State { holds, .. } => holds(code, after),
            PropertyOf::Step { holds, .. } => holds(code, before, action, after),
        }
    }

    /// Whether a step, or the state after it, puts it to the test.
    pub(crate) fn says(
        &self,
        code: &Code<'_>,
        before: &CodeState,
        action: &Action,
        after: &CodeState,
    ) -> bool {
        match self.kind {
            PropertyOf::State { says, .. } => says(code, after),
            PropertyOf::Step { says, .. } => says(code, before, action, after),
        }
    }
}

#[derive(Clone, Copy)]
enum PropertyOf {
    State { holds: OnState, says: OnState },
    Step { holds: OnStep, says: OnStep },
}

const fn state(
    name: &'static str,
    source: &'static str,
    holds: OnState,
    says: OnState,
) -> Property {
    let kind = PropertyOf::State { holds, says };
    Property { name, source, kind }
}

const fn step(name: &'static str, source: &'static str, holds: OnStep, says: OnStep) -> Property {
    let kind = PropertyOf::Step { holds, says };
    Property { name, source, kind }
}

/// The property that an implementation handles every input.
pub const DOES_NOT_FAIL: &str = "does_not_fail_step";

/// Every property: those of states and those of steps, in the order in which they are looked at.
pub static ALL: LazyLock<Vec<Property>> = LazyLock::new(|| {
    let all = [
        states::ALL,
        steps::ALL,
        storage::ALL,
        membership::ALL,
        snapshot::ALL,
        reads::ALL,
    ];
    all.concat()
});

/// The properties of states, for the engine.
pub(super) fn states<'a>() -> Vec<Stateright<Code<'a>>> {
    let states = ALL.iter().filter_map(|property| match property.kind {
        PropertyOf::State { holds, .. } => Some(Stateright::always(property.name, as_state(holds))),
        PropertyOf::Step { .. } => None,
    });
    states.collect()
}

/// The properties of steps, for the engine.
pub(super) fn steps<'a>() -> Vec<StepProperty<Code<'a>>> {
    let steps = ALL.iter().filter_map(|property| match property.kind {
        PropertyOf::Step { holds, .. } => Some(StepProperty::new(
            property.name,
            move |code: &Code<'a>, before: &CodeState, action: &Action, after: &CodeState| {
                holds(code, before, action, after)
            },
        )),
        PropertyOf::State { .. } => None,
    });
    steps.collect()
}

/// The cases in which the properties say anything, for the engine.
pub(super) fn antecedents<'a>() -> Vec<Antecedent<Code<'a>>> {
    let all = ALL.iter().map(|property| match property.kind {
        PropertyOf::State { says, .. } => {
            Antecedent::state(property.name, move |code: &Code<'a>, state: &CodeState| {
                says(code, state)
            })
        }
        PropertyOf::Step { says, .. } => Antecedent::step(
            property.name,
            move |code: &Code<'a>, before: &CodeState, action: &Action, after: &CodeState| {
                says(code, before, action, after)
            },
        ),
    });
    all.collect()
}

// Conditions hold whatever the lifetime of the code; the engine asks for those of one.
fn as_state<'a>(condition: OnState) -> fn(&Code<'a>, &CodeState) -> bool {
    condition
}

/// The names of messages.
pub(super) const BODIES: [&str; 15] = [
    "RequestVote",
    "RequestVoteResponse",
    "RequestPreVote",
    "RequestPreVoteResponse",
    "AppendEntries",
    "AppendEntriesResponse",
    "Heartbeat",
    "HeartbeatResponse",
    "TimeoutNow",
    "TransferLeader",
    "Propose",
    "InstallSnapshot",
    "RoundResponse",
    "ReadIndex",
    "ReadIndexResponse",
];

pub(super) fn number_of(body: &Body) -> usize {
    match body {
        Body::RequestVote { .. } => 0,
        Body::RequestVoteResponse { .. } => 1,
        Body::RequestPreVote { .. } => 2,
        Body::RequestPreVoteResponse { .. } => 3,
        Body::AppendEntries { .. } => 4,
        Body::AppendEntriesResponse { .. } => 5,
        Body::Heartbeat { .. } => 6,
        Body::HeartbeatResponse => 7,
        Body::TimeoutNow => 8,
        Body::TransferLeader { .. } => 9,
        Body::Propose { .. } => 10,
        Body::InstallSnapshot { .. } => 11,
        Body::RoundResponse { .. } => 12,
        Body::ReadIndex { .. } => 13,
        Body::ReadIndexResponse { .. } => 14,
    }
}
