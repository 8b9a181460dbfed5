//! Both sides of a walk and the network between their servers.

use super::WalkCounts;
use super::choice::Choice;
use super::clock::{Clock, ELECTION_TICKS, HEARTBEAT_TICKS};
use crate::compare::{Difference, compare};
use crate::divergence::Actual;
use crate::target::TargetError;
use crate::targets::lockstep_raft::{from_raft, outcome, persist, raft_config, to_raft, view};
use lockstep_model::{Server, Settings};
use lockstep_raft::{MemoryStorage, RawNode};
use lockstep_traces::{
    Body, Config, Emitted, Event, Expected, FieldSet, Index, Input, Message, NodeView, Outcome,
    Role, ServerId, Step,
};
use std::panic::{AssertUnwindSafe, catch_unwind};

/// Messages in flight beyond which the oldest is lost: a network that keeps everything would deliver
/// only what is out of date.
const MOST_IN_FLIGHT: usize = 24;

/// What is seen of the implementation after an input.
pub(super) struct Seen {
    pub outcome: Outcome,
    pub sent: Vec<Emitted>,
    pub view: NodeView,
    pub election_elapsed_ticks: u32,
    pub heartbeat_elapsed_ticks: u32,
    pub randomized_ticks: u32,
}

/// Where the two sides part.
pub(super) struct Parted {
    pub differences: Vec<Difference>,
    pub actual: Option<Actual>,
    pub timer: Option<String>,
}

/// One server on both sides.
struct Both {
    id: ServerId,
    spec: Server,
    view: NodeView,
    clock: Clock,
    production: RawNode<MemoryStorage>,
    config: lockstep_raft::Config,
    /// The random timeout that is in force.
    randomized_ticks: u32,
}

/// Both sides of a walk.
pub(super) struct World {
    config: Config,
    settings: Settings,
    servers: Vec<Both>,
    network: Vec<Message>,
    isolated: Option<usize>,
    next_value: u64,
    highest_commit: Index,
    steps: Vec<Step>,
    tamper: fn(&mut Seen),
}

impl World {
    /// A fresh cluster; the jitter of its timers follows from the seed.
    ///
    /// # Panics
    ///
    /// If one of the two sides does not take the configuration.
    pub fn new(seed: u64, config: &Config, tamper: fn(&mut Seen)) -> World {
        let settings = Settings::new(config).expect("a configuration that the specification takes");
        let server = |id: ServerId| {
            let setup = raft_config(config, id).expect("a configuration that the core takes");
            let mut raft = setup.raft;
            raft.election_timeout_ticks = ELECTION_TICKS;
            raft.heartbeat_timeout_ticks = HEARTBEAT_TICKS;
            raft.seed = seed.wrapping_mul(64).wrapping_add(id.get());
            let production = RawNode::new(&raft, setup.storage).expect("a server that starts");
            let spec = Server::new(&settings, id);
            Both {
                id,
                view: spec.view(&settings),
                spec,
                clock: Clock::default(),
                randomized_ticks: production.timer().randomized_election_timeout_ticks(),
                production,
                config: raft,
            }
        };
        World {
            servers: config.server_ids().map(server).collect(),
            config: config.clone(),
            settings,
            network: Vec::new(),
            isolated: None,
            next_value: 1,
            highest_commit: Index(0),
            steps: Vec::new(),
            tamper,
        }
    }

    /// How the servers are set up.
    pub fn config(&self) -> &Config {
        &self.config
    }

    /// Every event so far with what the specification expects.
    pub fn into_steps(self) -> Vec<Step> {
        self.steps
    }

    /// Makes a choice on both sides and compares.
    pub fn make(&mut self, choice: Choice, counts: &mut WalkCounts) -> Result<(), Box<Parted>> {
        match choice {
            Choice::Tick(at) => {
                counts.ticks += 1;
                let server = &mut self.servers[at];
                let events = server.clock.tick(server.view.role, server.randomized_ticks);
                counts.timer_events += events.len() as u64;
                self.give(at, events, RawNode::tick, counts)
            }
            Choice::Deliver(message) => match self.pick(message) {
                Some(position) => {
                    let message = self.network.remove(position);
                    self.deliver(message, counts)
                }
                None => Ok(()),
            },
            Choice::Drop(message) => {
                if let Some(position) = self.pick(message) {
                    let message = self.network.remove(position);
                    self.steps.push(Step {
                        event: Event::Drop(message),
                        expected: None,
                    });
                }
                Ok(())
            }
            Choice::Duplicate(message) => {
                if let Some(position) = self.pick(message) {
                    let message = self.network[position].clone();
                    self.network.push(message.clone());
                    self.steps.push(Step {
                        event: Event::Duplicate(message),
                        expected: None,
                    });
                }
                Ok(())
            }
            Choice::Propose(at) => {
                let value = self.next_value;
                self.next_value += 1;
                counts.proposals += u64::from(self.servers[at].view.role == Role::Leader);
                let propose =
                    |node: &mut RawNode<MemoryStorage>| node.propose(value.to_string().into());
                self.give(at, vec![Input::Propose(value)], propose, counts)
            }
            Choice::Restart(at) => {
                counts.restarts += 1;
                self.restart(at, counts)
            }
            Choice::Isolate(at) => {
                self.isolated = if self.isolated == Some(at) {
                    None
                } else {
                    Some(at)
                };
                Ok(())
            }
            Choice::Stranger(at) => {
                let stranger = ServerId::new(self.config.servers + 1);
                let stranger = stranger.unwrap_or_else(|| unreachable!("more than zero"));
                let server = &self.servers[at];
                let message = Message {
                    from: stranger,
                    to: server.id,
                    term: server.view.term,
                    body: Body::AppendEntriesResponse {
                        index: Index(1),
                        rejected: None,
                    },
                };
                self.deliver(message, counts)
            }
        }
    }

    fn pick(&self, message: usize) -> Option<usize> {
        message.checked_rem(self.network.len())
    }

    fn deliver(&mut self, message: Message, counts: &mut WalkCounts) -> Result<(), Box<Parted>> {
        let at = self.position(message.to);
        let lost = self
            .isolated
            .is_some_and(|isolated| isolated == at || self.servers[isolated].id == message.from);
        if lost {
            self.steps.push(Step {
                event: Event::Drop(message),
                expected: None,
            });
            return Ok(());
        }
        counts.deliveries += 1;
        let raft = to_raft(&message);
        let step = |node: &mut RawNode<MemoryStorage>| node.step(raft);
        self.give(at, vec![Input::Deliver(message)], step, counts)
    }

    fn position(&self, id: ServerId) -> usize {
        id.get() as usize - 1
    }

    fn restart(&mut self, at: usize, counts: &mut WalkCounts) -> Result<(), Box<Parted>> {
        let server = &mut self.servers[at];
        server.config.applied = server.production.core().applied();
        // Another process draws other numbers.
        server.config.seed = server.config.seed.wrapping_add(1 << 32);
        let config = server.config.clone();
        let again = move |node: &mut RawNode<MemoryStorage>| {
            *node = RawNode::new(&config, node.storage().clone())?;
            Ok(())
        };
        self.give(at, vec![Input::Restart], again, counts)
    }

    /// Gives inputs to the specification, and to the implementation the call that stands for them.
    fn give(
        &mut self,
        at: usize,
        inputs: Vec<Input>,
        call: impl FnOnce(&mut RawNode<MemoryStorage>) -> Result<(), lockstep_raft::Error>,
        counts: &mut WalkCounts,
    ) -> Result<(), Box<Parted>> {
        let server = &mut self.servers[at];
        let was_leader = server.view.role == Role::Leader;
        let seen = catch_unwind(AssertUnwindSafe(|| see(&mut server.production, call)));
        let expected = self.expect(at, inputs, counts);
        let mut seen = match seen {
            Ok(Ok(seen)) => seen,
            Ok(Err(error)) => return Err(broke(error.to_string())),
            Err(_) => return Err(broke("it panicked".to_owned())),
        };
        (self.tamper)(&mut seen);
        self.judge(at, &expected, seen)?;
        counts.refused += u64::from(expected.outcome != Outcome::Accepted);
        counts.elections += u64::from(!was_leader && expected.view.role == Role::Leader);
        counts.highest_term = counts.highest_term.max(expected.view.term.0);
        if expected.view.commit > self.highest_commit {
            counts.committed += expected.view.commit.0 - self.highest_commit.0;
            self.highest_commit = expected.view.commit;
        }
        for emitted in expected.sent {
            self.network.push(emitted.message);
        }
        while self.network.len() > MOST_IN_FLIGHT {
            let message = self.network.remove(0);
            self.steps.push(Step {
                event: Event::Drop(message),
                expected: None,
            });
        }
        Ok(())
    }

    /// What the specification does with these inputs, one after the other.
    fn expect(&mut self, at: usize, inputs: Vec<Input>, counts: &mut WalkCounts) -> Expected {
        let server = &mut self.servers[at];
        let mut all = Expected {
            outcome: Outcome::Accepted,
            view: server.view.clone(),
            sent: Vec::new(),
        };
        for input in inputs {
            counts.inputs += 1;
            let step = server.spec.step(&self.settings, &input);
            server.spec = step.server;
            let view = server.spec.view(&self.settings);
            let redrawn = server.clock.follow(&all.view, &input, &view, &step.sent);
            if redrawn {
                let timer = server.production.timer();
                server.randomized_ticks = timer.randomized_election_timeout_ticks();
            }
            all.outcome = step.outcome;
            all.view.clone_from(&view);
            all.sent.extend(step.sent.iter().cloned());
            let expected = Expected {
                outcome: step.outcome,
                view,
                sent: step.sent,
            };
            let event = Event::Server {
                server: server.id,
                input,
            };
            self.steps.push(Step {
                event,
                expected: Some(expected),
            });
        }
        server.view.clone_from(&all.view);
        all
    }

    /// Compares what was seen with what is expected, the timers included.
    fn judge(&self, at: usize, expected: &Expected, seen: Seen) -> Result<(), Box<Parted>> {
        let server = &self.servers[at];
        let timer = wrong_timer(server, &seen);
        let mut differences = compare(
            expected,
            seen.outcome,
            &seen.sent,
            &seen.view,
            FieldSet::ALL,
        );
        if differences.is_empty() && timer.is_none() {
            return Ok(());
        }
        differences.extend(timer.iter().map(|error| Difference::Failed {
            error: error.clone(),
        }));
        let actual = Actual {
            outcome: seen.outcome,
            sent: seen.sent,
            view: seen.view,
        };
        Err(Box::new(Parted {
            differences,
            actual: Some(actual),
            timer,
        }))
    }
}

fn broke(error: String) -> Box<Parted> {
    let differences = vec![Difference::Failed { error }];
    Box::new(Parted {
        differences,
        actual: None,
        timer: None,
    })
}

/// Makes a call, does everything that follows from it, and looks.
fn see(
    node: &mut RawNode<MemoryStorage>,
    call: impl FnOnce(&mut RawNode<MemoryStorage>) -> Result<(), lockstep_raft::Error>,
) -> Result<Seen, TargetError> {
    let failed = crate::targets::lockstep_raft::failed;
    let outcome = outcome(call(node))?;
    let mut sent = Vec::new();
    while node.has_ready() {
        let ready = node.ready().map_err(failed)?;
        persist(node.storage_mut(), &ready)?;
        for message in &ready.messages {
            let after_persist = message.waits_for_persistence();
            sent.push(Emitted {
                message: from_raft(message)?,
                after_persist,
            });
        }
        node.advance().map_err(failed)?;
    }
    Ok(Seen {
        outcome,
        sent,
        view: view(node.core())?,
        election_elapsed_ticks: node.timer().election_elapsed_ticks(),
        heartbeat_elapsed_ticks: node.timer().heartbeat_elapsed_ticks(),
        randomized_ticks: node.timer().randomized_election_timeout_ticks(),
    })
}

/// In what the timers differ from what they must have counted.
fn wrong_timer(server: &Both, seen: &Seen) -> Option<String> {
    let clock = server.clock;
    let leads = server.view.role == Role::Leader;
    if seen.election_elapsed_ticks != clock.election_elapsed_ticks {
        return Some(format!(
            "the election timer counts {} ticks, must be {}",
            seen.election_elapsed_ticks, clock.election_elapsed_ticks
        ));
    }
    if leads && seen.heartbeat_elapsed_ticks != clock.heartbeat_elapsed_ticks {
        return Some(format!(
            "the heartbeat timer counts {} ticks, must be {}",
            seen.heartbeat_elapsed_ticks, clock.heartbeat_elapsed_ticks
        ));
    }
    if seen.randomized_ticks != server.randomized_ticks {
        return Some("a new election timeout was drawn for no reason".to_owned());
    }
    if !(ELECTION_TICKS..2 * ELECTION_TICKS).contains(&seen.randomized_ticks) {
        return Some(format!(
            "an election timeout of {} ticks was drawn",
            seen.randomized_ticks
        ));
    }
    None
}
