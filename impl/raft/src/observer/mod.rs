//! Watching a server from within: structured events for logs, metrics and traces.
//!
//! An [`Observer`] is told of every step that a server takes which its messages and its hard state
//! do not show by themselves: why a vote was refused, what was ignored and dropped, when a follower
//! fell out of replication. It sees and cannot interfere. Without one ([`NoObserver`]) nothing is read
//! from the storage for its sake, and what is left of a report is for the compiler to remove.
//!
//! A recorder needs the inputs too, and what came of each. An observer that
//! [sees inputs](Observer::sees_inputs) is shown every [`Input`] that [`RawNode`](crate::RawNode) passes on,
//! and its [`Effect`]. Such a server does the same, and sends the same, as one that nobody watches.
//!
//! Each variant of [`Event`] says at which moment it is raised and whether its values are those from
//! before or after the step. Events of one call arrive in the order of the steps. What an event leaves
//! out can be read from the server after the call.

mod event;
mod input;
#[cfg(feature = "tracing")]
mod tracing;
mod watch;

pub use event::{
    Ballot, CampaignObstacle, ConfChangeObstacle, Event, ProposedConfChange, SnapshotObstacle,
    StableMismatch, TransferObstacle, VoteRequest,
};
pub use input::{Effect, Input, LogView};
#[cfg(feature = "tracing")]
pub use tracing::TracingObserver;

pub(crate) use watch::Watch;

use crate::types::NodeId;

/// Is told what a server does.
///
/// ```
/// use lockstep_raft::{Event, NodeId, Observer};
///
/// /// Counts the elections that a server starts.
/// #[derive(Default)]
/// struct Elections(u64);
///
/// impl Observer for Elections {
///     fn on_event(&mut self, _server: NodeId, event: &Event<'_>) {
///         if let Event::ElectionStarted { .. } = event {
///             self.0 += 1;
///         }
///     }
/// }
/// ```
pub trait Observer {
    /// Whether anybody listens. If not, [`on_event`](Observer::on_event) is not called, and what
    /// only an event needs is not read from the storage. With somebody, a storage that fails then
    /// fails the call.
    #[inline]
    fn is_enabled(&self) -> bool {
        true
    }

    /// Called at each [`Event`] of the server `node`, in the middle of the call that causes it, so
    /// it should be quick.
    fn on_event(&mut self, node: NodeId, event: &Event<'_>);

    /// Whether inputs and their effects are shown. If not, [`on_input`](Observer::on_input) and
    /// [`on_effect`](Observer::on_effect) are not called.
    #[inline]
    fn sees_inputs(&self) -> bool {
        false
    }

    /// Called with each input that [`RawNode`](crate::RawNode) passes on, before it is taken in.
    #[inline]
    fn on_input(&mut self, _node: NodeId, _input: &Input<'_>) {}

    /// Called after each input with what came of it.
    #[inline]
    fn on_effect(&mut self, _node: NodeId, _effect: &Effect<'_>) {}
}

/// Nobody listens; costs nothing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct NoObserver;

impl Observer for NoObserver {
    #[inline]
    fn is_enabled(&self) -> bool {
        false
    }

    #[inline]
    fn on_event(&mut self, _node: NodeId, _event: &Event<'_>) {}
}

impl<O: Observer + ?Sized> Observer for Box<O> {
    #[inline]
    fn is_enabled(&self) -> bool {
        (**self).is_enabled()
    }

    fn on_event(&mut self, node: NodeId, event: &Event<'_>) {
        (**self).on_event(node, event);
    }

    #[inline]
    fn sees_inputs(&self) -> bool {
        (**self).sees_inputs()
    }

    fn on_input(&mut self, node: NodeId, input: &Input<'_>) {
        (**self).on_input(node, input);
    }

    fn on_effect(&mut self, node: NodeId, effect: &Effect<'_>) {
        (**self).on_effect(node, effect);
    }
}

/// Both are told, the first one first.
impl<A: Observer, B: Observer> Observer for (A, B) {
    #[inline]
    fn is_enabled(&self) -> bool {
        self.0.is_enabled() || self.1.is_enabled()
    }

    fn on_event(&mut self, node: NodeId, event: &Event<'_>) {
        self.0.on_event(node, event);
        self.1.on_event(node, event);
    }

    #[inline]
    fn sees_inputs(&self) -> bool {
        self.0.sees_inputs() || self.1.sees_inputs()
    }

    fn on_input(&mut self, node: NodeId, input: &Input<'_>) {
        self.0.on_input(node, input);
        self.1.on_input(node, input);
    }

    fn on_effect(&mut self, node: NodeId, effect: &Effect<'_>) {
        self.0.on_effect(node, effect);
        self.1.on_effect(node, effect);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::types::Term;

    #[derive(Default)]
    struct Count(u64);

    impl Observer for Count {
        fn on_event(&mut self, _node: NodeId, _event: &Event<'_>) {
            self.0 += 1;
        }
    }

    #[test]
    fn a_pair_tells_both_and_listens_if_one_does() {
        let node = NodeId::new(1).unwrap();
        let event = Event::BecameLeader { term: Term(1) };
        let mut pair = (
            Count::default(),
            Box::new(Count::default()) as Box<dyn Observer>,
        );
        pair.on_event(node, &event);
        assert_eq!(pair.0.0, 1);
        assert!((NoObserver, Count::default()).is_enabled());
        assert!(!(NoObserver, NoObserver).is_enabled());
        assert!(!Box::new(NoObserver).is_enabled());
    }
}
