//! Events as `tracing` events.

use ::tracing::Level;
use ::tracing::level_filters::LevelFilter;

use super::{Event, Observer};
use crate::types::NodeId;

/// Emits a `tracing` event of target `lockstep_raft` for each [`Event`], in the current span.
///
/// Its fields are `server` (the id as a number), `event` (the [name](Event::name)) and `detail` (all
/// values, in the form of `Debug`). Levels: `WARN` for what an operator should look at, `INFO` for
/// changes of role and membership, `DEBUG` for the rest, of which there are at most a few an election
/// or a lost message; no event is raised for ordinary replication.
///
/// ```
/// use lockstep_raft::observer::TracingObserver;
/// use lockstep_raft::storage::MemoryStorage;
/// use lockstep_raft::{Config, NodeId, RawNode};
///
/// let config = Config::new(NodeId::new(1).unwrap());
/// let server = RawNode::with_observer(&config, MemoryStorage::new(), TracingObserver)?;
/// # drop(server);
/// # Ok::<(), lockstep_raft::Error>(())
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct TracingObserver;

impl Observer for TracingObserver {
    #[inline]
    fn is_enabled(&self) -> bool {
        LevelFilter::current() != LevelFilter::OFF
    }

    fn on_event(&mut self, node: NodeId, event: &Event<'_>) {
        // The level of a tracing event is part of its call site, hence one site a level.
        macro_rules! emit {
            ($level:expr) => {
                ::tracing::event!(
                    target: "lockstep_raft",
                    $level,
                    server = node.get(),
                    event = event.name(),
                    detail = ?event,
                )
            };
        }
        match level(event) {
            Level::WARN => emit!(Level::WARN),
            Level::INFO => emit!(Level::INFO),
            _ => emit!(Level::DEBUG),
        }
    }
}

fn level(event: &Event<'_>) -> Level {
    match event {
        Event::QuorumLost
        | Event::ForgetLeaderIgnored
        | Event::RestoreRefusedByMembership { .. } => Level::WARN,
        Event::Created { .. }
        | Event::BecameFollower { .. }
        | Event::BecamePreCandidate { .. }
        | Event::BecameCandidate { .. }
        | Event::BecameLeader { .. }
        | Event::LeaderForgotten { .. }
        | Event::ConfChangeIgnored { .. }
        | Event::ConfigurationSwitched { .. }
        | Event::Restored { .. }
        | Event::TransferStarted { .. } => Level::INFO,
        _ => Level::DEBUG,
    }
}

#[cfg(test)]
mod tests {
    use std::fmt::{Debug, Write};
    use std::sync::{Arc, Mutex};

    use ::tracing::field::{Field, Visit};
    use ::tracing::span::{Attributes, Id, Record};
    use ::tracing::{Metadata, Subscriber};

    use super::*;
    use crate::types::Term;

    /// Keeps a line for each event.
    #[derive(Clone, Default)]
    struct Lines(Arc<Mutex<Vec<String>>>);

    struct Fields(String);

    impl Visit for Fields {
        fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
            write!(self.0, " {field}={value:?}").unwrap();
        }
    }

    impl Subscriber for Lines {
        fn enabled(&self, _: &Metadata<'_>) -> bool {
            true
        }

        fn new_span(&self, _: &Attributes<'_>) -> Id {
            Id::from_u64(1)
        }

        fn record(&self, _: &Id, _: &Record<'_>) {}

        fn record_follows_from(&self, _: &Id, _: &Id) {}

        fn event(&self, event: &::tracing::Event<'_>) {
            let metadata = event.metadata();
            let mut fields = Fields(format!("{} {}", metadata.level(), metadata.target()));
            event.record(&mut fields);
            self.0.lock().unwrap().push(fields.0);
        }

        fn enter(&self, _: &Id) {}

        fn exit(&self, _: &Id) {}
    }

    #[test]
    fn events_carry_server_name_and_values() {
        let lines = Lines::default();
        let node = NodeId::new(7).unwrap();
        ::tracing::subscriber::with_default(lines.clone(), || {
            TracingObserver.on_event(node, &Event::BecameLeader { term: Term(3) });
            TracingObserver.on_event(node, &Event::QuorumLost);
            TracingObserver.on_event(node, &Event::ElectionStarted { term: Term(3) });
        });
        let expected = [
            "INFO lockstep_raft server=7 event=\"became_leader\" detail=BecameLeader { term: 3 }",
            "WARN lockstep_raft server=7 event=\"quorum_lost\" detail=QuorumLost",
            "DEBUG lockstep_raft server=7 event=\"election_started\" \
             detail=ElectionStarted { term: 3 }",
        ];
        assert_eq!(*lines.0.lock().unwrap(), expected);
    }
}
