//! Both sides of a walk and the network between their servers.

use super::WalkCounts;
use super::choice::Choice;
use super::recording::Recording;
use super::ticks::{self, Call, TickServer, TickTarget, Timers, Timing};
use crate::compare::{Difference, Wanted, compare};
use crate::divergence::{Actual, Side};
use crate::target::{Output, TargetError};
use crate::timers::{Clock, Timeouts};
use lockstep_model::properties::{Monitor, Violation};
use lockstep_model::{Dialect, Server, Settings};
use lockstep_traces::{
    Body, Config, Event, Expected, FieldSet, Index, Input, Message, NodeView, Outcome, Role,
    ServerId, Step,
};
use rand::rngs::SmallRng;
use rand::{Rng, SeedableRng};
use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};

/// Election and heartbeat timeouts: the usual ones of etcd, more and less of each, the shortest that there are, and
/// heartbeats that are rarer than every other tick.
const TIMEOUTS: [(u32, u32); 11] = [
    (10, 2),
    (10, 2),
    (10, 3),
    (4, 1),
    (10, 2),
    (10, 1),
    (10, 2),
    (17, 5),
    (2, 1),
    (7, 3),
    (10, 2),
];

/// The timeouts of every server in the walk with this seed.
fn timeouts(seed: u64) -> Timeouts {
    let (election_ticks, heartbeat_ticks) = TIMEOUTS[(seed % TIMEOUTS.len() as u64) as usize];
    Timeouts {
        election_ticks,
        heartbeat_ticks,
    }
}

/// Messages in flight beyond which the oldest is lost: a network that keeps everything would deliver
/// only what is out of date.
const MOST_IN_FLIGHT: usize = 24;

/// The observation of the implementation after an input.
pub(super) struct Seen {
    pub output: Output,
    pub view: NodeView,
    pub election_elapsed_ticks: u32,
    pub heartbeat_elapsed_ticks: u32,
    pub randomized_ticks: u32,
    /// Whether a new random timeout was drawn.
    pub drawn: bool,
}

/// The point at which the two sides part.
pub(super) struct Parted {
    pub differences: Vec<Difference>,
    pub actual: Option<Actual>,
    pub timer: Option<String>,
    /// The property that does not hold, and of which side.
    pub violated: Option<Broken>,
    /// The target was not waited for, since the work must stop: the sides do not part.
    pub interrupted: bool,
}

/// A property that does not hold on one of the sides.
pub(super) struct Broken {
    pub side: Side,
    pub violation: Violation,
}

impl fmt::Display for Broken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let who = match self.side {
            Side::Target => "the implementation violates",
            Side::Expected | Side::Both => "the specification itself violates",
        };
        write!(f, "{who} {}", self.violation)
    }
}

/// One server on both sides.
struct Both {
    id: ServerId,
    spec: Server,
    view: NodeView,
    clock: Clock,
    target: Box<dyn TickServer>,
    /// The random timeout that was in force before the input.
    randomized_ticks: u32,
    /// Whether the input must draw a new one.
    draws: bool,
}

/// Both sides of a walk.
pub(super) struct World {
    config: Config,
    settings: Settings,
    timeouts: Timeouts,
    servers: Vec<Both>,
    network: Vec<Message>,
    isolated: Option<usize>,
    next_value: u64,
    highest_commit: Index,
    /// Every event so far, if they are to be a trace.
    steps: Option<Recording>,
    tamper: fn(&mut Seen),
    /// The fields that the target shows.
    shown: FieldSet,
    /// Whether the properties apply: they are those of the specification as it is, and a dialect has other rules.
    judged: bool,
    /// Draws the timeouts of servers that do not keep their timers themselves.
    jitter: SmallRng,
    /// Every property, evaluated on what the specification does.
    specified: Monitor,
    /// The same, on what is seen of the implementation.
    observed: Monitor,
}

impl World {
    /// A fresh cluster; the jitter of its timers follows from the seed.
    ///
    /// # Errors
    ///
    /// One of the two sides does not take the configuration.
    pub fn new(
        seed: u64,
        config: &Config,
        target: &dyn TickTarget,
        tamper: fn(&mut Seen),
    ) -> Result<World, TargetError> {
        let settings = Settings::new(config)
            .map_err(|error| TargetError::Setup(error.to_string()))?
            .with_dialect(target.dialect());
        let mut jitter = SmallRng::seed_from_u64(seed);
        let timeouts = timeouts(seed);
        let mut servers = Vec::new();
        for id in config.server_ids() {
            let timing = Timing {
                election_ticks: timeouts.election_ticks,
                heartbeat_ticks: timeouts.heartbeat_ticks,
                seed: seed.wrapping_mul(64).wrapping_add(id.get()),
                walk: seed,
            };
            let server = target.start(config, id, &timing)?;
            let spec = Server::new(&settings, id);
            let drawn = jitter.random_range(timeouts.drawn());
            servers.push(Both {
                id,
                view: spec.view(&settings),
                spec,
                clock: Clock::default(),
                randomized_ticks: server.randomized_ticks().unwrap_or(drawn),
                draws: false,
                target: server,
            });
        }
        Ok(World {
            timeouts,
            servers,
            config: config.clone(),
            settings,
            network: Vec::new(),
            isolated: None,
            next_value: 1,
            highest_commit: Index(0),
            steps: None,
            tamper,
            shown: target.description().shows,
            judged: target.dialect() == Dialect::ETCD,
            jitter,
            specified: Monitor::new(settings),
            observed: Monitor::new(settings),
        })
    }

    /// The same, which keeps every event for a trace.
    pub fn recording(mut self) -> World {
        self.steps = Some(Recording::default());
        self
    }

    fn record(&mut self, event: impl FnOnce() -> (Event, Option<Expected>)) {
        if let Some(steps) = &mut self.steps {
            let (event, expected) = event();
            steps.push(Step { event, expected });
        }
    }

    /// The settings of the specification, in the dialect of the target.
    pub fn settings(&self) -> Settings {
        self.settings
    }

    /// The last events with what the specification expects, and how many came before them; nothing unless it is
    /// recording.
    pub fn into_steps(self) -> (Vec<Step>, usize) {
        self.steps.unwrap_or_default().into_steps()
    }

    /// Makes a choice on both sides and compares.
    pub fn make(&mut self, choice: Choice, counts: &mut WalkCounts) -> Result<(), Box<Parted>> {
        match choice {
            Choice::Tick(at) => {
                counts.ticks += 1;
                let server = &mut self.servers[at];
                let randomized = server.randomized_ticks;
                let events = server
                    .clock
                    .tick(self.timeouts, server.view.role, randomized);
                counts.timer_events += events.len() as u64;
                self.give(at, events, true, counts)
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
                self.give(at, vec![Input::Propose(value)], false, counts)
            }
            Choice::Restart(at) => {
                counts.restarts += 1;
                self.give(at, vec![Input::Restart], false, counts)
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
        self.give(at, vec![Input::Deliver(message)], false, counts)
    }

    fn position(&self, id: ServerId) -> usize {
        id.get() as usize - 1
    }

    /// Gives inputs to the specification, and to the implementation the tick that raises them, or the one that
    /// there is.
    fn give(
        &mut self,
        at: usize,
        inputs: Vec<Input>,
        ticks: bool,
        counts: &mut WalkCounts,
    ) -> Result<(), Box<Parted>> {
        let server = &mut self.servers[at];
        let was_leader = server.view.role == Role::Leader;
        let applied = server.view.applied;
        let call = match inputs.as_slice() {
            [input] if !ticks => Call::Input(input),
            events => Call::Tick(events),
        };
        let seen = catch_unwind(AssertUnwindSafe(|| server.target.call(call)));
        let expected = self.expect(at, &inputs, counts)?;
        let mut seen = match seen {
            Ok(Ok(seen)) => self.timed(at, seen),
            Ok(Err(TargetError::Interrupted)) => return Err(interrupted()),
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

    /// Adds the timers that the harness keeps to the observation, if the server has none or does not show them.
    fn timed(&mut self, at: usize, seen: ticks::Seen) -> Seen {
        let server = &self.servers[at];
        let drawn = self.jitter.random_range(self.timeouts.drawn());
        let clock = server.clock;
        let kept = Timers {
            election_elapsed_ticks: None,
            heartbeat_elapsed_ticks: None,
            randomized_ticks: if server.draws {
                drawn
            } else {
                server.randomized_ticks
            },
            drawn: server.draws,
        };
        let Timers {
            election_elapsed_ticks,
            heartbeat_elapsed_ticks,
            randomized_ticks,
            drawn,
        } = seen.timers.unwrap_or(kept);
        Seen {
            output: seen.output,
            view: seen.view,
            election_elapsed_ticks: election_elapsed_ticks.unwrap_or(clock.election_elapsed_ticks),
            heartbeat_elapsed_ticks: heartbeat_elapsed_ticks
                .unwrap_or(clock.heartbeat_elapsed_ticks),
            randomized_ticks,
            drawn,
        }
    }

    /// Applies these inputs to the specification, one after the other.
    fn expect(
        &mut self,
        at: usize,
        inputs: &[Input],
        counts: &mut WalkCounts,
    ) -> Result<Expected, Box<Parted>> {
        let mut violated = None;
        let judged = self.judged;
        let server = &mut self.servers[at];
        let mut all = Expected {
            outcome: Outcome::Accepted,
            view: server.view.clone(),
            sent: Vec::new(),
            read_states: Vec::new(),
        };
        server.draws = false;
        for input in inputs {
            counts.inputs += 1;
            let step = server.spec.step(&self.settings, input);
            server.spec = step.server;
            let held = self.specified.step(input, &server.spec, &step.sent);
            violated = violated.or(held.err().filter(|_| judged));
            let view = server.spec.view(&self.settings);
            server.draws |= server.clock.follow(&all.view, input, &view, &step.sent);
            all.outcome = step.outcome;
            all.view.clone_from(&view);
            all.sent.extend(step.sent.iter().cloned());
            all.read_states.extend(step.read_states.iter().cloned());
            if let Some(steps) = &mut self.steps {
                let expected = Expected {
                    outcome: step.outcome,
                    view,
                    sent: step.sent,
                    read_states: step.read_states,
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
                let violated = Broken {
                    side: Side::Expected,
                    violation,
                };
                let mut parted = broke(violated.to_string());
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
        // What is hidden looks like what is wrong.
        if !self.judged || self.shown != FieldSet::ALL {
            return None;
        }
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
        let timer = wrong_timer(server, self.timeouts, &seen);
        let wanted = Wanted::new(expected, applied);
        let mut differences = compare(&wanted, &seen.output, &seen.view, self.shown);
        if differences.is_empty() && timer.is_none() && violated.is_none() {
            return Ok(());
        }
        let violated = violated.map(|violation| Broken {
            side: Side::Target,
            violation,
        });
        differences.extend(violated.iter().map(|it| Difference::Failed {
            error: it.to_string(),
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
            interrupted: false,
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
        interrupted: false,
    })
}

fn interrupted() -> Box<Parted> {
    Box::new(Parted {
        differences: Vec::new(),
        actual: None,
        timer: None,
        violated: None,
        interrupted: true,
    })
}

/// In what the timers differ from what they must have counted.
fn wrong_timer(server: &Both, timeouts: Timeouts, seen: &Seen) -> Option<String> {
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
    if !timeouts.drawn().contains(&new) {
        return Some(format!("an election timeout of {new} ticks was drawn"));
    }
    None
}
