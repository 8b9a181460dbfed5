//! Traces of the specification as it is, for a target that is held to a dialect of it.
//!
//! A trace carries what is expected. Where a rule of the target's [`Dialect`] is another one, that is not what the target
//! is held to, and the trace is *translated*: the same events, with what the specification in the dialect expects. An event
//! that does not happen in the dialect (a message that nobody sends there) makes the trace *not applicable*.

use crate::target::{DialectUse, TargetError};
use crate::targets::dialect::departure_uses;
use lockstep_model::{Dialect, Server, Settings};
use lockstep_traces::{Event, Expected, Input, Message, ServerId, Step, Trace};
use std::collections::BTreeMap;

/// A trace, for a target that is held to a dialect.
#[derive(Clone, Debug)]
pub enum InDialect {
    /// It is replayed as it was recorded: the dialect makes no difference to it, or it is none of the specification
    /// as it is.
    AsRecorded,
    /// The expectation of the specification in the dialect at the same events, and the departures that make a
    /// difference.
    Translated(Box<Trace>, Vec<DialectUse>),
    /// An event does not happen in the dialect.
    NotApplicable {
        /// The step of that event, from one.
        step: usize,
        /// The departures that make a difference before it.
        departures: Vec<DialectUse>,
    },
}

/// Translates a trace for a target that is held to this dialect.
///
/// # Errors
///
/// There was a request to stop.
pub fn in_dialect(trace: &Trace, dialect: Dialect) -> Result<InDialect, TargetError> {
    let Ok(settings) = Settings::new(&trace.header.config) else {
        return Ok(InDialect::AsRecorded);
    };
    let (mut plain, mut departing) = (Run::new(settings), Run::new(settings.with_dialect(dialect)));
    let mut steps = Vec::with_capacity(trace.steps.len());
    let mut differs = false;
    for (position, step) in trace.steps.iter().enumerate() {
        let is_known = plain.take(&step.event);
        let expected = plain.expected(&step.event);
        if expected != step.expected {
            return Ok(InDialect::AsRecorded);
        }
        // A message that nobody sent comes from outside, in every dialect.
        if !departing.take(&step.event) && is_known {
            let mut before = trace.clone();
            before.steps.truncate(position);
            return Ok(InDialect::NotApplicable {
                step: position + 1,
                departures: needed(&before, dialect)?,
            });
        }
        let expected = departing.expected(&step.event);
        differs |= expected != step.expected;
        steps.push(Step {
            event: step.event.clone(),
            expected,
        });
    }
    if !differs {
        return Ok(InDialect::AsRecorded);
    }
    let header = trace.header.clone();
    let departures = needed(trace, dialect)?;
    let trace = Box::new(Trace { header, steps });
    Ok(InDialect::Translated(trace, departures))
}

/// The departures that make a difference at the events of a trace.
fn needed(trace: &Trace, dialect: Dialect) -> Result<Vec<DialectUse>, TargetError> {
    let mut uses = departure_uses(std::slice::from_ref(trace), dialect)?;
    uses.retain(|it| it.uses > 0);
    Ok(uses)
}

/// The servers of a run, and the messages on their way.
struct Run {
    settings: Settings,
    servers: BTreeMap<ServerId, Server>,
    in_flight: Vec<Message>,
}

impl Run {
    fn new(settings: Settings) -> Run {
        Run {
            settings,
            servers: BTreeMap::new(),
            in_flight: Vec::new(),
        }
    }

    /// Whether an event can happen as far as the network is concerned; the message that it takes is gone then.
    fn take(&mut self, event: &Event) -> bool {
        let (message, stays) = match event {
            Event::Server {
                input: Input::Deliver(message),
                ..
            }
            | Event::Drop(message) => (message, false),
            Event::Duplicate(message) => (message, true),
            Event::Server { .. } => return true,
        };
        let Some(place) = self.in_flight.iter().position(|it| it == message) else {
            return false;
        };
        match stays {
            true => self.in_flight.push(message.clone()),
            false => {
                self.in_flight.swap_remove(place);
            }
        }
        true
    }

    /// Moves the server of an event; `None` if none moves.
    fn expected(&mut self, event: &Event) -> Option<Expected> {
        let Event::Server { server: id, input } = event else {
            return None;
        };
        let settings = &self.settings;
        let server = self.servers.entry(*id);
        let server = server.or_insert_with(|| Server::new(settings, *id));
        let step = server.step(settings, input);
        *server = step.server;
        let sent = step.sent.iter().map(|it| it.message.clone());
        self.in_flight.extend(sent);
        Some(Expected {
            outcome: step.outcome,
            view: server.view(settings),
            sent: step.sent,
            read_states: step.read_states,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::compare::Difference;
    use crate::planted::{Mistake, Planted};
    use crate::replay::replay;
    use crate::targets::raft_rs::RaftRs;
    use lockstep_model::Departure;
    use lockstep_traces::corpus;
    use std::ops::ControlFlow;

    fn traces() -> Vec<Trace> {
        let read = corpus().iter().map(|it| it.read());
        read.collect::<Result<_, _>>().expect("the corpus is sound")
    }

    #[test]
    fn a_trace_is_replayed_as_recorded_without_a_departure() {
        for trace in traces() {
            let found = in_dialect(&trace, Dialect::ETCD).expect("nobody stops it");
            assert!(
                matches!(found, InDialect::AsRecorded),
                "{}",
                trace.header.name
            );
        }
    }

    fn same(a: &InDialect, b: &InDialect) -> bool {
        match (a, b) {
            (InDialect::Translated(a, _), InDialect::Translated(b, _)) => a == b,
            (
                InDialect::NotApplicable { step: a, .. },
                InDialect::NotApplicable { step: b, .. },
            ) => a == b,
            _ => false,
        }
    }

    /// The corpus in the dialects of the targets: each kind occurs, a translation names the departures that it
    /// needs, and with these alone it is the same.
    #[test]
    fn a_translation_names_what_it_is_for() {
        let (mut translated, mut not_applicable) = (0, 0);
        for dialect in [Dialect::ETCD_3_6, Dialect::ETCD_3_7, Dialect::RAFT_RS] {
            for trace in traces() {
                let found = in_dialect(&trace, dialect).expect("nobody stops it");
                let departures = match &found {
                    InDialect::AsRecorded => continue,
                    InDialect::Translated(other, departures) => {
                        translated += 1;
                        assert_ne!(**other, trace);
                        departures
                    }
                    InDialect::NotApplicable { step, departures } => {
                        not_applicable += 1;
                        assert!((1..=trace.steps.len()).contains(step));
                        departures
                    }
                };
                assert!(!departures.is_empty(), "{}", trace.header.name);
                let named = |it: &Departure| departures.iter().any(|other| other.name == it.name());
                let only = dialect.iter().filter(named);
                let only = only.fold(Dialect::ETCD, Dialect::with);
                let with_these = in_dialect(&trace, only).expect("nobody stops it");
                assert!(same(&found, &with_these), "{}", trace.header.name);
            }
        }
        assert!(
            translated > 10 && not_applicable > 0,
            "{translated} {not_applicable}"
        );
    }

    /// A trace that somebody has changed by hand is compared as it is.
    #[test]
    fn a_trace_of_something_else_is_replayed_as_recorded() {
        let is_translated = |trace: &Trace| {
            let found = in_dialect(trace, Dialect::RAFT_RS).expect("nobody stops it");
            matches!(found, InDialect::Translated(..))
        };
        let mut trace = traces()
            .into_iter()
            .find(is_translated)
            .expect("there is one");
        let expected = trace.steps.iter_mut().find_map(|it| it.expected.as_mut());
        expected.expect("a server moves").sent.clear();
        assert!(!is_translated(&trace));
    }

    /// A translation is no excuse: a mistake of the target is found in it all the same, and the target without the
    /// mistake agrees.
    #[test]
    fn a_mistake_is_found_in_a_translation() {
        let target = RaftRs::default();
        let planted = Planted::new(RaftRs::default(), Mistake::MissingMessage);
        let mut found = 0;
        for trace in traces() {
            let name = trace.header.name.clone();
            let needs = crate::target::Needs::of_config(&trace.header.config);
            let events = trace.steps.iter().map(|it| &it.event);
            let needs = events.fold(needs, |it, event| {
                it.and(crate::target::Needs::of_event(event))
            });
            if !crate::Target::lacks(&target, &needs).is_empty() {
                continue;
            }
            let it = in_dialect(&trace, Dialect::RAFT_RS).expect("nobody stops it");
            let InDialect::Translated(trace, _) = it else {
                continue;
            };
            let go_on = &mut |_: &_| ControlFlow::Continue(());
            let read = || [Ok((name.clone(), (*trace).clone()))];
            let report = replay(&target, read(), go_on).expect("it runs");
            assert!(report.divergence.is_none(), "{name}");
            let report = replay(&planted, read(), go_on).expect("it runs");
            let divergence = report.divergence.map(|(_, it)| it.differences);
            found += usize::from(divergence.is_some_and(|it: Vec<Difference>| !it.is_empty()));
        }
        assert!(found > 0);
    }
}
