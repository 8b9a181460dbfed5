//! The properties along a run that something else drives: a random walk, or a trace.

use super::{ServerStep, StateProperty, state_properties, step_properties};
use crate::bounds::Bounds;
use crate::cluster::{Action, Cluster, ClusterState};
use crate::history::{Before, ReadStep};
use crate::ids::Id;
use crate::message::Message;
use crate::network::Network;
use crate::server::{ReadState, Server, Stimulus};
use crate::settings::Settings;
use lockstep_traces as vocabulary;
use lockstep_traces::{Emitted, Input, Outcome, ServerId};
use std::fmt;

/// A property that does not hold.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Violation {
    /// Its name.
    pub property: &'static str,
    /// Its statement, with the source.
    pub source: &'static str,
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "`{}`: {}", self.property, self.source)
    }
}

/// Follows the servers of a run and evaluates every property at every step.
///
/// It knows the servers and the history. Of the network it sees only what a step takes and sends, which is
/// all that properties of steps look at, and enough for the terms of messages.
#[derive(Clone, Debug)]
pub struct Monitor {
    cluster: Cluster,
    state: ClusterState,
}

impl Monitor {
    /// A cluster before its first event.
    pub fn new(settings: Settings) -> Monitor {
        let cluster = Cluster::new(settings, Bounds::UNLIMITED);
        let state = cluster.initial();
        Monitor { cluster, state }
    }

    /// Takes one step of one server: the input, the server afterwards, and what it sent.
    ///
    /// What a stranger answers is refused and no step of the protocol, so it must change nothing.
    ///
    /// # Errors
    ///
    /// The first property that does not hold.
    pub fn step(
        &mut self,
        input: &Input,
        after: &Server,
        sent: &[Emitted],
    ) -> Result<(), Violation> {
        self.step_with_reads(input, after, sent, (Outcome::Accepted, &[]))
    }

    /// The same for a step of a cluster in which clients read: with what the caller was told, and the reads that were
    /// answered to clients of the server.
    ///
    /// # Errors
    ///
    /// The first property that does not hold.
    pub fn step_with_reads(
        &mut self,
        input: &Input,
        after: &Server,
        sent: &[Emitted],
        (outcome, read_states): (Outcome, &[vocabulary::ReadState]),
    ) -> Result<(), Violation> {
        let Ok(sent) = messages(sent) else {
            return Ok(());
        };
        let i = after.id;
        if let Input::ProposeConfChange(change) = input {
            match change.try_into() {
                Ok(change) => self.cluster.bounds.changes[0].0 = change,
                Err(_) => return Ok(()),
            }
        }
        let action = match (Action::of_input(i, input), input) {
            (Some(action), _) => action,
            (None, Input::Deliver(_)) => Action::Deliver(0),
            (None, _) => return Ok(()),
        };
        let delivered = match input {
            Input::Deliver(message) => match Message::try_from(message) {
                Ok(message) => Some(message),
                Err(_) => return Ok(()),
            },
            _ => None,
        };
        let members = self.state.servers[i.slot()].configuration.members();
        let stranger = delivered
            .as_ref()
            .is_some_and(|m| m.is_response() && !members.contains(m.from));
        if stranger {
            return match self.state.servers[i.slot()] == *after && sent.len() == 0 {
                true => Ok(()),
                false => Err(Violation {
                    property: "stranger_step",
                    source: "what a server that is no member answers counts for nothing",
                }),
            };
        }
        let mut before = self.state.clone();
        if self.cluster.reads() {
            let old = before.servers[i.slot()].clone();
            let stimulus = match (input, &delivered) {
                (Input::ReadIndex { context }, _) => {
                    let context = crate::message::read_context(*context);
                    context.map_or(Stimulus::Heartbeat, Stimulus::ReadIndex)
                }
                (Input::Timeout, _) => Stimulus::Timeout,
                (Input::LeaseExpire, _) => Stimulus::LeaseExpire,
                (Input::Restart | Input::RestartKeeping { .. }, _) => Stimulus::Restart(0),
                (Input::CheckQuorum, _) => Stimulus::CheckQuorum,
                (_, Some(m)) => Stimulus::Deliver(m),
                // The others say nothing of reads.
                _ => Stimulus::Heartbeat,
            };
            let states = read_states.iter().map(ReadState::try_from);
            let Ok(answers) = states.collect::<Result<Vec<ReadState>, _>>() else {
                return Ok(());
            };
            let step = ReadStep {
                before: &old,
                after,
                stimulus,
                outcome,
                answers: &answers,
            };
            let timing = self.cluster.bounds.timing;
            self.state.history.record_reads(timing, &step);
        }
        before.network = delivered.into_iter().collect();
        self.move_to(after, sent);
        let step = ServerStep::of(&self.cluster, &before, &action, &self.state);
        let broken = step.and_then(|step| {
            let mut properties = step_properties().iter();
            properties.find(|property| !(property.holds)(&step))
        });
        if let Some(property) = broken {
            return Err(Violation {
                property: property.name,
                source: property.source,
            });
        }
        match before.servers == self.state.servers && read_states.is_empty() {
            true => self.network(),
            false => self.state(),
        }
    }

    /// Takes what several inputs at one server led to. Properties of steps say nothing of them.
    ///
    /// # Errors
    ///
    /// The first property of states that does not hold.
    pub fn jump(&mut self, after: &Server, sent: &[Emitted]) -> Result<(), Violation> {
        let Ok(sent) = messages(sent) else {
            return Ok(());
        };
        self.move_to(after, sent);
        self.state()
    }

    /// A server as it was seen last.
    pub fn server(&self, id: ServerId) -> Option<&Server> {
        let id = Id::try_from(id).ok()?;
        self.state.servers.get(id.slot())
    }

    fn move_to(&mut self, after: &Server, sent: Network) {
        let server = &mut self.state.servers[after.id.slot()];
        let before = Before::of(server);
        server.clone_from(after);
        let keep = self.cluster.keeps_entries();
        self.state.history.record(after, before, keep);
        self.state.network = sent;
    }

    fn state(&self) -> Result<(), Violation> {
        self.find(state_properties().iter())
    }

    /// Checks the properties that depend on the messages sent alone.
    fn network(&self) -> Result<(), Violation> {
        self.find(state_properties().iter().filter(|it| it.is_of_network()))
    }

    fn find(
        &self,
        mut properties: impl Iterator<Item = &'static StateProperty>,
    ) -> Result<(), Violation> {
        let broken = properties.find(|property| !property.holds(&self.cluster, &self.state));
        match broken {
            None => Ok(()),
            Some(property) => Err(Violation {
                property: property.name,
                source: property.source,
            }),
        }
    }
}

fn messages(sent: &[Emitted]) -> Result<Network, crate::ids::OutOfRange> {
    let sent = sent
        .iter()
        .map(|emitted| Message::try_from(&emitted.message));
    sent.collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Preset;
    use lockstep_traces::Role;

    fn elected() -> (Settings, Monitor) {
        let preset = Preset::named("four").expect("there is such a preset");
        let settings = Settings::new(&preset.config).expect("presets are sensible");
        (settings, Monitor::new(settings))
    }

    fn id(number: u64) -> ServerId {
        ServerId::new(number).expect("the number is not zero")
    }

    #[test]
    fn what_the_specification_does_has_every_property() {
        let (settings, mut monitor) = elected();
        let mut network = Vec::new();
        let mut steps = 0;
        let mut give = |monitor: &mut Monitor, server: ServerId, input: Input| {
            let before = monitor.server(server).expect("a member").clone();
            let step = before.step(&settings, &input);
            monitor
                .step(&input, &step.server, &step.sent)
                .expect("it holds");
            steps += 1;
            step.sent
        };
        network.extend(give(&mut monitor, id(1), Input::Timeout));
        while let Some(emitted) = network.pop() {
            let to = emitted.message.to;
            network.extend(give(&mut monitor, to, Input::Deliver(emitted.message)));
        }
        assert!(steps > 10);
        let leader = monitor.server(id(1)).expect("a member");
        assert_eq!((leader.role(), leader.commit().0), (Role::Leader, 1));
    }

    #[test]
    fn a_step_that_breaks_a_rule_is_named() {
        let (settings, mut monitor) = elected();
        let step = Server::new(&settings, id(1)).step(&settings, &Input::Timeout);
        let mut wrong = step.server.clone();
        wrong.term += 1;
        let found = monitor.clone().step(&Input::Timeout, &wrong, &step.sent);
        assert_eq!(found.map_err(|it| it.property), Err("campaign_step"));
        // A request is missing.
        let found = monitor.step(&Input::Timeout, &step.server, &step.sent[1..]);
        assert_eq!(found.map_err(|it| it.property), Err("campaign_step"));
    }

    #[test]
    fn a_state_that_no_step_explains_is_named() {
        let (settings, mut monitor) = elected();
        let mut follower = Server::new(&settings, id(1));
        assert_eq!(monitor.jump(&follower, &[]), Ok(()));
        follower.leader = Some(Id::from_slot(1));
        let found = monitor.jump(&follower, &[]);
        assert_eq!(found.map_err(|it| it.property), Err("known_leader_inv"));
    }

    #[test]
    fn a_server_is_what_its_view_says() {
        let (settings, mut monitor) = elected();
        let step = Server::new(&settings, id(1)).step(&settings, &Input::Timeout);
        monitor.jump(&step.server, &step.sent).expect("it holds");
        let view = step.server.view(&settings);
        assert_eq!(
            Server::from_view(&settings, id(1), &view),
            Some(step.server)
        );
        let mut lost = view;
        lost.durable.vote = None;
        assert_eq!(Server::from_view(&settings, id(1), &lost), None);
    }
}
