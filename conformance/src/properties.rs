//! The properties of the specification along a trace: a counterexample is a trace like any other, and replaying
//! it must say again what it violates. What a trace claims is not asked, everything is evaluated anew.

use lockstep_model::properties::{Taken, Violated};
use lockstep_model::{Action, Bounds, Cluster, ClusterState, Id, Settings};
use lockstep_traces::{Event, Input, Message, ServerId, Step};

/// Where a trace violates a property.
pub struct Violation {
    /// The property.
    pub property: Violated,
    /// The position of the step that does, counted from one.
    pub step: usize,
    /// The state before that step.
    pub before: ClusterState,
    /// What happens in it.
    pub action: Action,
    /// The state after it.
    pub after: ClusterState,
}

impl Violation {
    /// The step as properties take it.
    pub fn taken(&self) -> Taken<'_> {
        (&self.before, self.action, &self.after)
    }
}

/// What the properties say of a trace.
pub enum Along {
    /// All hold at every step.
    Hold,
    /// One does not.
    Violated(Box<Violation>),
    /// All hold in the first steps. What follows is no path of the specification's cluster: a message is delivered
    /// that was not sent, or a server does what the specification does not.
    NotFollowed {
        /// How many steps were followed.
        steps: usize,
    },
}

/// Takes a cluster of these settings along the steps, and evaluates every property at each.
pub fn along(settings: &Settings, steps: &[Step]) -> Along {
    let cluster = Cluster::new(*settings, Bounds::UNLIMITED);
    let mut state = cluster.initial();
    for (position, step) in steps.iter().enumerate() {
        let action = action(&state, &step.event);
        let action = action.filter(|action| cluster.event(&state, action) == step.event);
        let taken = action.map(|action| (action, cluster.apply(&state, &action)));
        let followed = taken.filter(|(_, it)| match (&step.expected, it.moved) {
            (Some(expected), Some(server)) => {
                let view = it.next.server(server).view(settings);
                (expected.outcome, &expected.view) == (it.outcome, &view)
                    && is_same(&expected.sent, &it.sent)
            }
            (expected, moved) => expected.is_none() && moved.is_none(),
        });
        let Some((action, transition)) = followed else {
            return Along::NotFollowed { steps: position };
        };
        let before = std::mem::replace(&mut state, transition.next);
        if let Some(property) = Violated::by_step(&cluster, (&before, action, &state)) {
            return Along::Violated(Box::new(Violation {
                property,
                step: position + 1,
                before,
                action,
                after: state,
            }));
        }
    }
    Along::Hold
}

/// The action that makes an event happen; `None` if there is none in this state.
fn action(state: &ClusterState, event: &Event) -> Option<Action> {
    let (server, input) = match event {
        Event::Server { server, input } => (*server, input),
        Event::Duplicate(message) => return position(state, message).map(Action::Duplicate),
        Event::Drop(message) => return position(state, message).map(Action::Drop),
    };
    let id = || member(state, server);
    match input {
        Input::Timeout => id().map(Action::Timeout),
        Input::LeaseExpire => id().map(Action::LeaseExpire),
        Input::Heartbeat => id().map(Action::Heartbeat),
        Input::CheckQuorum => id().map(Action::CheckQuorum),
        Input::Propose(_) => id().map(Action::Propose),
        Input::Restart => id().map(Action::Restart),
        Input::Deliver(message) => position(state, message).map(Action::Deliver),
    }
}

fn member(state: &ClusterState, server: ServerId) -> Option<Id> {
    let id = Id::try_from(server).ok()?;
    (usize::from(id.get()) <= state.servers().count()).then_some(id)
}

/// The position of the first copy of a message in the network.
fn position(state: &ClusterState, message: &Message) -> Option<u32> {
    let mut position = 0;
    for (it, copies) in state.network() {
        if it == *message {
            return Some(position);
        }
        position += copies as u32;
    }
    None
}

/// Whether the same was sent, in any order.
fn is_same<T: PartialEq>(one: &[T], other: &[T]) -> bool {
    let mut left: Vec<&T> = other.iter().collect();
    let all = one.iter().all(|it| {
        let position = left.iter().position(|other| *other == it);
        position
            .map(|position| left.swap_remove(position))
            .is_some()
    });
    all && left.is_empty()
}
