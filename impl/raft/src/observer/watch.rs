//! An observer and the node it watches, so that a report is one line at its call site.

use super::{Event, Observer};
use crate::error::StorageError;
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

    /// As [`report`](Watch::report), for an event with values that nothing else needs: they are
    /// read only if somebody listens, and can fail only then.
    #[inline]
    pub(crate) fn report_with<'a>(
        &mut self,
        event: impl FnOnce() -> Result<Event<'a>, StorageError>,
    ) -> Result<(), StorageError> {
        if self.observer.is_enabled() {
            self.observer.on_event(self.node, &event()?);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::observer::NoObserver;
    use crate::types::NodeId;

    #[derive(Default)]
    struct Count(u64);

    impl Observer for Count {
        fn on_event(&mut self, _node: NodeId, _event: &Event<'_>) {
            self.0 += 1;
        }
    }

    fn failing<'a>() -> Result<Event<'a>, StorageError> {
        Err(StorageError::Unavailable)
    }

    #[test]
    fn a_lazy_event_is_put_together_only_for_somebody() {
        let node = NodeId::new(1).unwrap();
        let observer = NoObserver;
        let mut nobody = Watch { node, observer };
        assert_eq!(nobody.report_with(failing), Ok(()));

        let observer = Count::default();
        let mut watch = Watch { node, observer };
        assert_eq!(watch.report_with(failing), Err(StorageError::Unavailable));
        assert_eq!(watch.observer.0, 0);
        assert_eq!(watch.report_with(|| Ok(Event::QuorumLost)), Ok(()));
        assert_eq!(watch.observer.0, 1);
    }
}
