//! A run step by step, as properties look at it.

use crate::compare::start_view;
use crate::target::Output;
use lockstep_model::properties::{RunClocks, Taken};
use lockstep_model::{Settings, Timing};
use lockstep_traces::{
    Config, Emitted, Entry, Event, Expected, Index, Input, Message, NodeView, Outcome, ReadState,
    Reads, Role, ServerId, Term,
};
use std::collections::{BTreeMap, BTreeSet};

/// The reaction of a server to an input.
#[derive(Clone, Copy, Debug)]
pub struct Did<'a> {
    /// The server afterwards.
    pub view: &'a NodeView,
    /// The messages that it sent.
    pub sent: &'a [Emitted],
    /// The outcome told to its caller.
    pub outcome: Outcome,
    /// The reads of its clients that were answered.
    pub read_states: &'a [ReadState],
}

impl<'a> Did<'a> {
    /// The step that a trace expects.
    pub fn expected(expected: &'a Expected) -> Did<'a> {
        Did {
            view: &expected.view,
            sent: &expected.sent,
            outcome: expected.outcome,
            read_states: &expected.read_states,
        }
    }

    /// The step that a target took.
    pub fn output(output: &'a Output, view: &'a NodeView) -> Did<'a> {
        Did {
            view,
            sent: &output.sent,
            outcome: output.outcome,
            read_states: &output.read_states,
        }
    }
}

/// The run has left the trace: a message is delivered, lost or duplicated that nobody sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Strayed;

/// The servers, the network and the history of a run so far.
#[derive(Clone, Debug)]
pub struct Follower {
    config: Config,
    servers: Vec<NodeView>,
    in_flight: Vec<Message>,
    leaders: BTreeMap<Term, BTreeSet<ServerId>>,
    committed_in: Vec<Term>,
    committed: Vec<(Entry, Term)>,
    led_twice: Option<Term>,
    asked: Vec<(ServerId, u64, Index)>,
    /// Kept account of where reads are answered by lease.
    clocks: RunClocks,
    settings: Option<Settings>,
}

impl Follower {
    /// A cluster before its first event. Where reads are answered by lease, clocks are supposed to keep to
    /// [`Timing::Silent`].
    pub fn new(config: &Config) -> Follower {
        Follower::under(config, Timing::Silent)
    }

    /// Returns a cluster before its first event, with this assumption about clocks if reads are answered by lease.
    pub fn under(config: &Config, timing: Timing) -> Follower {
        let by_lease = config.reads == Reads::LeaseBased;
        Follower {
            clocks: RunClocks::new(if by_lease { timing } else { Timing::Free }),
            settings: Settings::new(config).ok(),
            servers: config.server_ids().map(|_| start_view(config)).collect(),
            config: config.clone(),
            in_flight: Vec::new(),
            leaders: BTreeMap::new(),
            committed_in: Vec::new(),
            committed: Vec::new(),
            led_twice: None,
            asked: Vec::new(),
        }
    }

    /// Takes a step; `None` if no server moves, or it is no member.
    ///
    /// # Errors
    ///
    /// The message that the event is about is not in flight. What a stranger sends may come at any time.
    pub fn step(&mut self, event: &Event, did: Option<Did<'_>>) -> Result<Option<Taken>, Strayed> {
        let (server, input) = match event {
            Event::Duplicate(message) => {
                self.find(message)?;
                self.in_flight.push(message.clone());
                return Ok(None);
            }
            Event::Drop(message) => {
                let position = self.find(message)?;
                self.in_flight.remove(position);
                return Ok(None);
            }
            Event::Server { server, input } => (*server, input),
        };
        let slot = self.config.server_ids().position(|id| id == server);
        let (Some(slot), Some(did)) = (slot, did) else {
            return Ok(None);
        };
        if let Input::Deliver(message) = input {
            let stranger = !self.config.server_ids().any(|id| id == message.from);
            if stranger && self.find(message).is_err() {
                self.in_flight.push(message.clone());
            }
            self.find(message)?;
        }
        let before = self.servers.clone();
        let in_flight = self.in_flight.clone();
        if let Input::Deliver(message) = input {
            let position = self.find(message)?;
            self.in_flight.remove(position);
        }
        let sent: Vec<Message> = did.sent.iter().map(|it| it.message.clone()).collect();
        self.in_flight.extend(sent.iter().cloned());
        self.servers[slot].clone_from(did.view);
        if let (Input::ReadIndex { context }, Outcome::Accepted) = (input, did.outcome) {
            self.ask(server, *context);
        }
        self.record(&before[slot], server, did.view);
        let taken = Taken {
            before,
            server,
            input: input.clone(),
            after: self.servers.clone(),
            in_flight,
            sent,
            leaders: self.leaders.clone(),
            committed_in: self.committed_in.clone(),
            committed: self.committed.clone(),
            led_twice: self.led_twice,
            asked: self.asked.clone(),
            read_states: did.read_states.to_vec(),
            clocks: self.clocks,
        };
        if let Some(settings) = &self.settings {
            self.clocks = taken.clocks_after(settings);
        }
        Ok(Some(taken))
    }

    fn find(&self, message: &Message) -> Result<usize, Strayed> {
        let position = self.in_flight.iter().position(|it| it == message);
        position.ok_or(Strayed)
    }

    /// A client that asks again cannot tell the answers apart, so that it is promised no more than at first.
    fn ask(&mut self, server: ServerId, context: u64) {
        let of = |it: &&(ServerId, u64, Index)| (it.0, it.1) == (server, context);
        if self.asked.iter().find(of).is_none() {
            let least = Index(self.committed_in.len() as u64);
            self.asked.push((server, context, least));
        }
    }

    fn record(&mut self, before: &NodeView, server: ServerId, view: &NodeView) {
        let leads = view.role == Role::Leader;
        if leads {
            let new = self.leaders.entry(view.term).or_default().insert(server);
            if !new && before.role != Role::Leader {
                self.led_twice.get_or_insert(view.term);
            }
        }
        if view.commit <= before.commit {
            return;
        }
        // A commit index beyond the log commits what is there.
        let base = view
            .snapshot
            .as_ref()
            .map_or(0, |snapshot| snapshot.index.0);
        let commit = view.commit.0.min(base + view.log.len() as u64);
        let commit = usize::try_from(commit).unwrap_or(usize::MAX);
        if leads && self.committed_in.len() < commit {
            self.committed_in.resize(commit, view.term);
        }
        // What a snapshot stands for others have committed, or nobody has.
        let behind = |index: usize| index.checked_sub(usize::try_from(base).ok()?);
        for index in self.committed.len()..commit {
            match behind(index).and_then(|place| view.log.get(place)) {
                Some(entry) => self.committed.push((entry.clone(), view.term)),
                None => break,
            }
        }
    }
}
