//! Both sides of a walk and the network between their servers.

use super::WalkCounts;
use super::choice::Choice;
use crate::compare::{Difference, Wanted, compare};
use crate::divergence::Actual;
use crate::target::{Output, TargetError};
use crate::targets::lockstep_raft::{Application, Settled, outcome, raft_config, to_raft, view};
use crate::timers::{Clock, Timeouts};
use lockstep_model::properties::{Monitor, Violation};
use lockstep_model::{Server, Settings};
use lockstep_raft::{MemoryStorage, RawNode};
use lockstep_traces::{
    Body, Config, Event, Expected, FieldSet, Index, Input, Message, NodeView, Outcome, Role,
    ServerId, Step,
};
use std::panic::{AssertUnwindSafe, catch_unwind};

/// How the timers of every server are set.
const TIMEOUTS: Timeouts = Timeouts {
    election_ticks: 10,
    heartbeat_ticks: 2,
};

/// Messages in flight beyond which the oldest is lost: a network that keeps everything would deliver
/// only what is out of date.
const MOST_IN_FLIGHT: usize = 24;

/// What is seen of the implementation after an input.
pub(super) struct Seen {
    pub output: Output,
    pub view: NodeView,
    pub election_elapsed_ticks: u32,
    pub heartbeat_elapsed_ticks: u32,
    pub randomized_ticks: u32,
    /// Whether a new random timeout was drawn.
    pub drawn: bool,
}

/// Where the two sides part.
pub(super) struct Parted {
    pub differences: Vec<Difference>,
    pub actual: Option<Actual>,
    pub timer: Option<String>,
    /// The property that does not hold, and of which side.
    pub violated: Option<String>,
}

/// One server on both sides.
struct Both {
    id: ServerId,
    spec: Server,
    view: NodeView,
    clock: Clock,
    production: RawNode<MemoryStorage>,
    application: Application,
    config: lockstep_raft::Config,
    /// The random timeout that was in force before the input.
    randomized_ticks: u32,
    /// Whether the input must draw a new one.
    draws: bool,
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
    /// Every event so far, if they are to be a trace.
    steps: Option<Vec<Step>>,
    tamper: fn(&mut Seen),
    /// Every property, evaluated on what the specification does.
    specified: Monitor,
    /// The same, on what is seen of the implementation.
    observed: Monitor,
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
            raft.election_timeout_ticks = TIMEOUTS.election_ticks;
            raft.heartbeat_timeout_ticks = TIMEOUTS.heartbeat_ticks;
            raft.seed = seed.wrapping_mul(64).wrapping_add(id.get());
            // With the first three bits of the seed every combination of switches occurs both ways.
            raft.async_storage_writes = seed & 8 != 0;
            // Committed entries come one by one, or all that there are.
            if seed & 16 != 0 {
                raft.max_committed_bytes_per_ready = 1;
            }
            let application = Application::new(&setup.storage, raft.applied);
            let production = RawNode::new(&raft, setup.storage).expect("a server that starts");
            let spec = Server::new(&settings, id);
            Both {
                id,
                view: spec.view(&settings),
                spec,
                clock: Clock::default(),
                randomized_ticks: production.timer().randomized_election_timeout_ticks(),
                draws: false,
                production,
                application,
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
            steps: None,
            tamper,
            specified: Monitor::new(settings),
            observed: Monitor::new(settings),
        }
    }

    /// The same, which keeps every event for a trace.
    pub fn recording(mut self) -> World {
        self.steps = Some(Vec::new());
        self
    }

    fn record(&mut self, event: impl FnOnce() -> (Event, Option<Expected>)) {
        if let Some(steps) = &mut self.steps {
            let (event, expected) = event();
            steps.push(Step { event, expected });
        }
    }

    /// How the servers are set up.
    pub fn config(&self) -> &Config {
        &self.config
    }

    /// Every event so far with what the specification expects; nothing unless it is recording.
    pub fn into_steps(self) -> Vec<Step> {
        self.steps.unwrap_or_default()
    }

    /// Makes a choice on both sides and compares.
    pub fn make(&mut self, choice: Choice, counts: &mut WalkCounts) -> Result<(), Box<Parted>> {
        match choice {
            Choice::Tick(at) => {
                counts.ticks += 1;
                let server = &mut self.servers[at];
                let randomized = server.randomized_ticks;
                let events = server.clock.tick(TIMEOUTS, server.view.role, randomized);
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
                    self.record(|| (Event::Drop(message), None));
                }
                Ok(())
            }
            Choice::Duplicate(message) => {
                if let Some(position) = self.pick(message) {
                    let message = self.network[position].clone();
                    self.network.push(message.clone());
                    self.record(|| (Event::Duplicate(message), None));
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
            self.record(|| (Event::Drop(message), None));
            return Ok(());
        }
        counts.deliveries += 1;
        let raft = to_raft(&message);
        let step = |node: &mut RawNode<MemoryStorage>| node.step(raft.clone());
        self.give(at, vec![Input::Deliver(message)], step, counts)
    }

    fn position(&self, id: ServerId) -> usize {
        id.get() as usize - 1
    }

    fn restart(&mut self, at: usize, counts: &mut WalkCounts) -> Result<(), Box<Parted>> {
        let server = &mut self.servers[at];
        server.config.applied = server.application.applied();
        // Another process draws other numbers.
        server.config.seed = server.config.seed.wrapping_add(1 << 32);
        let config = server.config.clone();
        let storage = server.production.core().storage();
        server.application = Application::new(storage, config.applied);
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
        call: impl Fn(&mut RawNode<MemoryStorage>) -> Result<(), lockstep_raft::Error>,
        counts: &mut WalkCounts,
    ) -> Result<(), Box<Parted>> {
        let server = &mut self.servers[at];
        let was_leader = server.view.role == Role::Leader;
        let applied = server.view.applied;
        let seen = catch_unwind(AssertUnwindSafe(|| {
            server.see(&self.config, &inputs, &call)
        }));
        let expected = self.expect(at, &inputs, counts)?;
        let mut seen = match seen {
            Ok(Ok(seen)) => seen,
            Ok(Err(error)) => return Err(broke(error.to_string())),
            Err(_) => return Err(broke("it panicked".to_owned())),
        };
        (self.tamper)(&mut seen);
        counts.draws += u64::from(seen.drawn);
        let randomized = seen.randomized_ticks;
        let violated = self.observe(at, &inputs, &seen, counts);
        self.judge(at, &expected, applied, seen, violated)?;
        self.servers[at].randomized_ticks = randomized;
        counts.refused += u64::from(expected.outcome != Outcome::Accepted);
        counts.elections += u64::from(!was_leader && expected.view.role == Role::Leader);
        counts.reach(&expected.view);
        if expected.view.commit > self.highest_commit {
            counts.committed += expected.view.commit.0 - self.highest_commit.0;
            self.highest_commit = expected.view.commit;
        }
        for emitted in expected.sent {
            self.network.push(emitted.message);
        }
        while self.network.len() > MOST_IN_FLIGHT {
            let message = self.network.remove(0);
            self.record(|| (Event::Drop(message), None));
        }
        Ok(())
    }

    /// What the specification does with these inputs, one after the other.
    fn expect(
        &mut self,
        at: usize,
        inputs: &[Input],
        counts: &mut WalkCounts,
    ) -> Result<Expected, Box<Parted>> {
        let mut violated = None;
        let server = &mut self.servers[at];
        let mut all = Expected {
            outcome: Outcome::Accepted,
            view: server.view.clone(),
            sent: Vec::new(),
        };
        server.draws = false;
        for input in inputs {
            counts.inputs += 1;
            let step = server.spec.step(&self.settings, input);
            server.spec = step.server;
            let held = self.specified.step(input, &server.spec, &step.sent);
            violated = violated.or(held.err());
            let view = server.spec.view(&self.settings);
            server.draws |= server.clock.follow(&all.view, input, &view, &step.sent);
            all.outcome = step.outcome;
            all.view.clone_from(&view);
            all.sent.extend(step.sent.iter().cloned());
            if let Some(steps) = &mut self.steps {
                let expected = Expected {
                    outcome: step.outcome,
                    view,
                    sent: step.sent,
                };
                let event = Event::Server {
                    server: server.id,
                    input: input.clone(),
                };
                steps.push(Step {
                    event,
                    expected: Some(expected),
                });
            }
        }
        server.view.clone_from(&all.view);
        match violated {
            None => Ok(all),
            Some(violation) => {
                let violated = format!("the specification itself violates {violation}");
                let mut parted = broke(violated.clone());
                parted.violated = Some(violated);
                Err(parted)
            }
        }
    }

    /// Evaluates every property on what was seen of the implementation: those of steps if one input was
    /// given, and those of states in any case. A view that is no state at all is left to the comparison.
    fn observe(
        &mut self,
        at: usize,
        inputs: &[Input],
        seen: &Seen,
        counts: &mut WalkCounts,
    ) -> Option<Violation> {
        let id = self.servers[at].id;
        let server = Server::from_view(&self.settings, id, &seen.view)?;
        let held = match inputs {
            [input] => {
                counts.judged += 1;
                self.observed.step(input, &server, &seen.output.sent)
            }
            _ => self.observed.jump(&server, &seen.output.sent),
        };
        held.err()
    }

    /// Compares what was seen with what is expected, the timers included.
    fn judge(
        &self,
        at: usize,
        expected: &Expected,
        applied: Index,
        seen: Seen,
        violated: Option<Violation>,
    ) -> Result<(), Box<Parted>> {
        let server = &self.servers[at];
        let timer = wrong_timer(server, &seen);
        let wanted = Wanted::new(expected, applied);
        let mut differences = compare(&wanted, &seen.output, &seen.view, FieldSet::ALL);
        if differences.is_empty() && timer.is_none() && violated.is_none() {
            return Ok(());
        }
        let violated = violated.map(|it| format!("the implementation violates {it}"));
        differences.extend(violated.iter().map(|error| Difference::Failed {
            error: error.clone(),
        }));
        differences.extend(timer.iter().map(|error| Difference::Failed {
            error: error.clone(),
        }));
        let actual = Actual {
            output: seen.output,
            view: seen.view,
        };
        Err(Box::new(Parted {
            differences,
            actual: Some(actual),
            timer,
            violated,
        }))
    }
}

fn broke(error: String) -> Box<Parted> {
    let differences = vec![Difference::Failed { error }];
    Box::new(Parted {
        differences,
        actual: None,
        timer: None,
        violated: None,
    })
}

impl Both {
    /// Makes the call that stands for these inputs, does everything that follows from it, and looks.
    fn see(
        &mut self,
        group: &Config,
        inputs: &[Input],
        call: &impl Fn(&mut RawNode<MemoryStorage>) -> Result<(), lockstep_raft::Error>,
    ) -> Result<Seen, TargetError> {
        // The same on a copy whose timeout is one that is never drawn: what becomes of it shows whether
        // there was a draw, where the value alone would not if the old one was drawn again.
        let mut copy = self.production.clone();
        let mark = if inputs.contains(&Input::Timeout) {
            0
        } else {
            u32::MAX
        };
        copy.timer_mut().set_randomized_election_timeout_ticks(mark);
        // The result is looked at below, of the server itself.
        let _ = call(&mut copy);
        self.application.clone().settle(&mut copy)?;
        let drawn = copy.timer().randomized_election_timeout_ticks() != mark;

        let node = &mut self.production;
        let result = call(node);
        let outcome = match inputs.last() {
            Some(input) => outcome(result, input, node.core())?,
            None => {
                result.map_err(crate::targets::lockstep_raft::failed)?;
                Outcome::Accepted
            }
        };
        let Settled { sent, handed } = self.application.settle(node)?;
        let timer = node.timer();
        Ok(Seen {
            output: Output {
                outcome,
                sent,
                handed,
            },
            view: view(node.core(), group)?,
            election_elapsed_ticks: timer.election_elapsed_ticks(),
            heartbeat_elapsed_ticks: timer.heartbeat_elapsed_ticks(),
            randomized_ticks: timer.randomized_election_timeout_ticks(),
            drawn,
        })
    }
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
    match (server.draws, seen.drawn) {
        (false, true) => return Some("an election timeout was drawn for no reason".to_owned()),
        (true, false) => return Some("no new election timeout was drawn".to_owned()),
        _ => {}
    }
    let (old, new) = (server.randomized_ticks, seen.randomized_ticks);
    if !seen.drawn && old != new {
        return Some(format!(
            "the election timeout became {new} ticks without a draw, must be {old}"
        ));
    }
    if !TIMEOUTS.drawn().contains(&new) {
        return Some(format!("an election timeout of {new} ticks was drawn"));
    }
    None
}
