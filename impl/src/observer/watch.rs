//! An observer and the node it watches, so that a report is one line at its call site.

use super::{Event, Observer};
use crate::types::NodeId;

/// An observer and the node it watches.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Watch<O> {
    pub(crate) node: NodeId,
    pub(crate) observer: O,
}

impl<O: Observer> Watch<O> {
    #[inline]
    pub(crate) fn report(&mut self, event: Event<'_>) {
        if self.observer.is_enabled() {
            self.observer.on_event(self.node, &event);
        }
    }
}
