//! The footprint of a step, as the model declares it, and the independence that sleep sets rely on.
//!
//! The declaration is in the facts of the components: the slot of a server, the recipient of a message, whether
//! a step is [recorded](super::ServerFacts::recorded), and which inputs are
//! [parametric](super::Shape::parametric). [`check_independence`] executes both orders to see that it is right.

use super::machines::{Component, Event, Happened, Machines};
use crate::traits::encoded;

/// The parts of a state that an action touches.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Footprint {
    /// The slot of the server that moves.
    pub server: Option<usize>,
    /// The position of the message that is delivered, duplicated or lost.
    pub message: Option<usize>,
    /// Whether the history changes, as far as the model declares that.
    pub history: bool,
    /// Whether what happens depends on the whole cluster.
    pub cluster: bool,
}

impl Footprint {
    /// The footprint of `action`, which leads from `before` to `after`.
    pub fn of<M: Machines>(
        model: &M,
        before: &M::State,
        action: &M::Action,
        after: &M::State,
    ) -> Footprint {
        let shape = model.shape();
        let components = model.components(before);
        let mut footprint = Footprint {
            server: None,
            message: None,
            history: false,
            cluster: false,
        };
        match model.event(action) {
            Event::Local(slot, kind) => {
                footprint.server = Some(slot);
                footprint.cluster = shape.parametric.contains(kind);
            }
            Event::Message(position, kind) => {
                footprint.message = Some(position);
                let to = components.messages[position].facts(model).to;
                footprint.server = (kind == shape.deliver).then_some(usize::from(to));
            }
        }
        if let Some(slot) = footprint.server {
            let (old, server) = (model.server(before, slot), model.server(after, slot));
            let happened = match model.event(action) {
                Event::Local(_, number) => {
                    let servers = (0..shape.servers).map(|slot| model.server(before, slot));
                    let mut levels = servers.map(|server| server.facts(model).level);
                    let parametric = shape.parametric.contains(number);
                    let parameter = parametric.then(|| model.parameter(&mut levels));
                    Happened::Local(number, parameter)
                }
                Event::Message(position, _) => Happened::Delivered(&components.messages[position]),
            };
            let next = match shape.records_steps {
                true => model.record_step(components.history, (&old, &server), happened),
                false => model.record(components.history, &server, old.facts(model).note),
            };
            let bytes = |history: &M::History| {
                let mut bytes = Vec::new();
                history.encode(&mut bytes);
                bytes
            };
            footprint.history =
                server.facts(model).recorded && bytes(&next) != bytes(components.history);
        }
        footprint
    }

    /// Whether two actions of one state lead to the same state in either order, if both orders are possible.
    pub fn is_independent_of(&self, other: &Footprint) -> bool {
        let apart = |one: Option<usize>, other: Option<usize>| one.is_none() || one != other;
        apart(self.server, other.server)
            && apart(self.message, other.message)
            && !(self.history || other.history || self.cluster || other.cluster)
    }
}

/// Two actions that are declared independent and are not.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Dependent<A> {
    /// The actions.
    pub actions: [A; 2],
    /// Their declared footprints.
    pub footprints: [Footprint; 2],
}

/// Executes both orders of every two actions of `state` that are declared independent, where `declared` may
/// change what is declared; how many pairs were possible in both orders.
///
/// # Errors
///
/// The first pair that leads to two states, or that is possible in one order only.
pub fn check_independence<M>(
    model: &M,
    state: &M::State,
    declared: impl Fn(Footprint) -> Footprint,
) -> Result<u64, Dependent<M::Action>>
where
    M: Machines<Action: Clone>,
{
    let mut actions = Vec::new();
    model.actions(state, &mut actions);
    let mut taken = Vec::new();
    for action in actions {
        if let Some(after) = model.next_state(state, action.clone()) {
            let footprint = declared(Footprint::of(model, state, &action, &after));
            taken.push((action, after, footprint));
        }
    }
    let mut pairs = 0;
    for (number, (one, after_one, of_one)) in taken.iter().enumerate() {
        for (other, after_other, of_other) in &taken[..number] {
            if !of_one.is_independent_of(of_other) {
                continue;
            }
            let both = [
                second(model, state, other, after_one),
                second(model, state, one, after_other),
            ];
            match both {
                [Some(one), Some(other)] if one == other => pairs += 1,
                [None, None] => {}
                _ => {
                    return Err(Dependent {
                        actions: [other.clone(), one.clone()],
                        footprints: [*of_other, *of_one],
                    });
                }
            }
        }
    }
    Ok(pairs)
}

/// Returns the state, encoded, to which `action` of `state` leads from `between`, if it is possible there.
fn second<M>(model: &M, state: &M::State, action: &M::Action, between: &M::State) -> Option<Vec<u8>>
where
    M: Machines<Action: Clone>,
{
    let wanted = model.event(action);
    let mut actions = Vec::new();
    model.actions(between, &mut actions);
    let same = |action: &M::Action| match (wanted, model.event(action)) {
        (Event::Message(old, kind), Event::Message(new, other)) => {
            let old = &model.components(state).messages[old];
            kind == other && model.components(between).messages[new] == *old
        }
        (wanted, event) => wanted == event,
    };
    let action = actions.into_iter().find(same)?;
    Some(encoded(model, &model.next_state(between, action)?))
}
