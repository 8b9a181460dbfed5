//! Servers and network together: the state graph.

mod action;
mod local_events;

pub use action::Action;
pub(crate) use local_events::{LocalEvents, allowed_events, is_of, list_actions, stimulus};

use crate::bounds::{Bounds, Kind, Spent};
use crate::configuration::ConfChange;
use crate::history::{Before, History, ReadStep};
use crate::ids::{Id, MAX_SERVERS};
use crate::machine::EventNumbers;
use crate::message::Message;
use crate::network::Network;
use crate::rule::RuleSet;
use crate::server::{Outbox, Server, Stimulus};
use crate::settings::Settings;
use crate::symmetry::stabiliser;
use arrayvec::ArrayVec;
use lockstep_traces as vocabulary;
use lockstep_traces::{Emitted, Event, Input, Outcome, Reads, ServerId};
use std::sync::Arc;

/// A cluster of servers on an unordered, lossy, duplicating network, and the bounds within which it is
/// explored.
#[derive(Clone, Debug)]
pub struct Cluster {
    pub(crate) settings: Settings,
    pub(crate) bounds: Bounds,
    /// The numbers that the engine gives to the events.
    pub(crate) numbers: EventNumbers,
    /// The renamings of servers that change nothing, by number; `None` if those are all.
    pub(crate) renamings: Option<Arc<[usize]>>,
}

/// The state of all servers, of the network, and what properties and bounds remember.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ClusterState {
    /// The servers, by slot.
    pub(crate) servers: ArrayVec<Server, MAX_SERVERS>,
    /// The messages in flight.
    pub(crate) network: Network,
    /// The history, for properties.
    pub(crate) history: History,
    /// The budgets that the environment has spent, for bounds.
    pub(crate) spent: Spent,
}

/// An edge of the state graph.
#[derive(Clone, Debug)]
pub struct Transition {
    /// The state afterwards.
    pub next: ClusterState,
    /// The server that moved, if one did; no other server has changed.
    pub moved: Option<ServerId>,
    /// The answer to its caller.
    pub outcome: Outcome,
    /// The messages that it sent.
    pub sent: Vec<Emitted>,
    /// The reads that it answered to its clients.
    pub read_states: Vec<vocabulary::ReadState>,
    /// The rules that were applied.
    pub rules: RuleSet,
    /// Whether the state afterwards is within the bound. If not, the edge counts but is not followed.
    pub within_bound: bool,
}

impl ClusterState {
    /// A server.
    ///
    /// # Panics
    ///
    /// If the cluster has no such server.
    pub fn server(&self, id: ServerId) -> &Server {
        let id = Id::try_from(id).expect("the server is a member of its cluster");
        &self.servers[id.slot()]
    }

    /// The servers, in order.
    pub fn servers(&self) -> impl Iterator<Item = &Server> {
        self.servers.iter()
    }

    /// Every distinct message in flight, with the number of its copies.
    pub fn network(&self) -> impl Iterator<Item = (vocabulary::Message, usize)> + '_ {
        let distinct = self.network.distinct();
        distinct.map(|(_, message, copies)| (message.into(), copies))
    }

    /// The number of messages in flight, copies counted.
    pub fn in_flight(&self) -> usize {
        self.network.len()
    }

    /// The history, as far as properties need it.
    pub fn history(&self) -> &History {
        &self.history
    }

    /// Returns the budgets that the environment has spent.
    pub fn spent(&self) -> &Spent {
        &self.spent
    }

    /// The server that an action moves and what happens to it; `None` if it happens to the network.
    pub(crate) fn target(&self, action: Action) -> Option<Id> {
        match action {
            Action::Timeout(i)
            | Action::LeaseExpire(i)
            | Action::Heartbeat(i)
            | Action::CheckQuorum(i)
            | Action::Propose(i)
            | Action::Restart(i)
            | Action::ProposeConfChange(i)
            | Action::ProposeOtherConfChange(i)
            | Action::ReadIndex(i)
            | Action::ReadOtherIndex(i)
            | Action::ForgetLeader(i)
            | Action::Compact(i)
            | Action::TransferLeadership(i, _)
            | Action::ReportUnreachable(i, _)
            | Action::ReportSnapshot(i, _, _)
            | Action::Persist(i)
            | Action::Apply(i)
            | Action::RestartKeeping(i, _) => Some(i),
            Action::Deliver(position) => Some(self.message(position).to),
            Action::Duplicate(_) | Action::Drop(_) => None,
        }
    }

    pub(crate) fn message(&self, position: u32) -> &Message {
        self.network
            .get(position as usize)
            .expect("the action was made for this state")
    }

    /// The value that the next proposal carries: values tell proposals apart, as far as a log still has the last one.
    pub(crate) fn next_value(&self) -> u64 {
        value_after(self.servers.iter().map(highest_value))
    }
}

/// The highest value in the log of a server, zero if there is none.
pub(crate) fn highest_value(server: &Server) -> u64 {
    let values = server
        .log
        .iter()
        .filter_map(|entry| entry.payload.as_value());
    values.max().unwrap_or(0)
}

/// The value of the next proposal, from the highest values of the servers.
pub(crate) fn value_after(highest: impl Iterator<Item = u64>) -> u64 {
    highest.max().unwrap_or(0) + 1
}

impl Cluster {
    /// A cluster with these settings, explored within these bounds.
    pub fn new(settings: Settings, bounds: Bounds) -> Cluster {
        Cluster {
            settings,
            bounds,
            numbers: EventNumbers::new(&settings, &bounds),
            renamings: stabiliser(&settings, &bounds),
        }
    }

    /// The settings of the servers.
    pub fn settings(&self) -> &Settings {
        &self.settings
    }

    /// The bounds.
    pub fn bounds(&self) -> &Bounds {
        &self.bounds
    }

    /// The one initial state: every server as [`Server::new`], nothing in flight.
    pub fn initial(&self) -> ClusterState {
        ClusterState {
            servers: self
                .settings
                .ids()
                .map(|id| Server::initial(&self.settings, id))
                .collect(),
            network: Network::default(),
            history: History::default(),
            spent: Spent::default(),
        }
    }

    /// The events within the bound that can change something: these are explored.
    pub fn enabled(&self, state: &ClusterState, actions: &mut Vec<Action>) {
        let allowed = allowed_events(&self.bounds, &state.spent);
        let local = || {
            let numbers = allowed.iter();
            numbers.take_while(|number| *number < Action::LOCAL_EVENTS)
        };
        // Those that no budget allows are not listed, so that nobody need ask whether they matter.
        let matter = |server| LocalEvents::among(server, &self.settings, local());
        let servers = state.servers.iter().map(matter);
        let positions = state.network.distinct().map(|(position, _, _)| position);
        list_actions(allowed, servers, positions, |action| actions.push(action));
    }

    /// The other inputs to every server: timers in the wrong role, proposals to be refused, events whose
    /// budget is spent. They are compared with an implementation and never explored. Events of features that the
    /// bounds leave out are not among them.
    pub fn probes(&self, state: &ClusterState, actions: &mut Vec<Action>) {
        let allowed = allowed_events(&self.bounds, &state.spent);
        for server in &state.servers {
            let explored = LocalEvents::that_matter(server, &self.settings)
                .numbers()
                .and(allowed);
            let probes = (0..Action::LOCAL_EVENTS)
                .filter(|number| !explored.contains(*number))
                .filter_map(|number| Action::local(number, server.id))
                .filter(|action| is_of(&self.settings, *action))
                .filter(|action| action.kind().is_some_and(|kind| self.bounds.have(kind)));
            actions.extend(probes);
        }
    }

    /// Whether anybody reads, so that the history has to keep what was asked for and answered.
    pub(crate) fn reads(&self) -> bool {
        self.settings.reads != Reads::Off
    }

    /// The history after a step of a cluster in which clients read. What was answered the server and its input say.
    pub(crate) fn record_step(
        &self,
        history: &History,
        (before, after): (&Server, &Server),
        stimulus: Stimulus<'_>,
    ) -> History {
        let mut outbox = Outbox::new();
        let outcome = before
            .clone()
            .advance(&self.settings, stimulus, &mut outbox);
        let step = ReadStep {
            before,
            after,
            stimulus,
            outcome,
            answers: &outbox.read_states,
        };
        let mut history = history.clone();
        history.record_reads(self.bounds.timing, &step);
        history.record(after, Before::of(before), self.keeps_entries());
        history
    }

    /// Whether the history has to keep what was committed, because logs may be compacted or lost in a crash.
    pub(crate) fn keeps_entries(&self) -> bool {
        self.bounds.have(Kind::Compact) || self.settings.is_async
    }

    /// The local events that a server gets in every state, enabled or not: those of server one stand for all.
    pub fn local_events(&self) -> Vec<Action> {
        let local =
            (0..Action::LOCAL_EVENTS).filter_map(|number| Action::local(number, Id::from_slot(0)));
        local
            .filter(|action| is_of(&self.settings, *action))
            .filter(|action| action.kind().is_some_and(|kind| self.bounds.have(kind)))
            .collect()
    }

    /// The edge that an action makes, whether it is within the bound or not.
    ///
    /// # Panics
    ///
    /// If the action names a server or a message that the state does not have.
    pub fn apply(&self, state: &ClusterState, action: &Action) -> Transition {
        let mut outbox = Outbox::new();
        let mut next = state.clone();
        let outcome = self.advance(&mut next, *action, &mut outbox);
        Transition {
            within_bound: self.is_within(&next),
            rules: self.rules(state, *action),
            next,
            moved: state.target(*action).map(ServerId::from),
            outcome,
            sent: self.settings.emitted(&outbox.messages),
            read_states: outbox.read_states(),
        }
    }

    /// Applies an action in place; `outbox` must be empty, and holds the messages sent afterwards.
    pub(crate) fn advance(
        &self,
        state: &mut ClusterState,
        action: Action,
        outbox: &mut Outbox,
    ) -> Outcome {
        if let Some(kind) = action.kind() {
            state.spent.spend(kind, &self.bounds);
        }
        if let Some((i, stimulus)) = stimulus(action, state.next_value(), self.change(action)) {
            return self.move_server(state, i, stimulus, outbox);
        }
        match action {
            Action::Deliver(position) => {
                let message = state.network.remove(position as usize);
                self.move_server(state, message.to, Stimulus::Deliver(&message), outbox)
            }
            Action::Duplicate(position) => {
                let message = state.message(position).clone();
                state.network.insert(message);
                Outcome::Accepted
            }
            Action::Drop(position) => {
                state.network.remove(position as usize);
                Outcome::Accepted
            }
            _ => Outcome::Accepted,
        }
    }

    fn move_server(
        &self,
        state: &mut ClusterState,
        i: Id,
        stimulus: Stimulus<'_>,
        outbox: &mut Outbox,
    ) -> Outcome {
        let server = &mut state.servers[i.slot()];
        let noted = Before::of(server);
        let before = self.reads().then(|| server.clone());
        let outcome = server.advance(&self.settings, stimulus, outbox);
        debug_assert!(
            server.check(&self.settings).is_ok(),
            "{stimulus:?} left a server inconsistent: {:?}",
            server.check(&self.settings)
        );
        if let Some(before) = before {
            let step = ReadStep {
                before: &before,
                after: server,
                stimulus,
                outcome,
                answers: &outbox.read_states,
            };
            state.history.record_reads(self.bounds.timing, &step);
        }
        let keep = self.keeps_entries();
        state.history.record(server, noted, keep);
        for message in outbox.iter() {
            state.network.insert(message.clone());
        }
        outcome
    }

    /// The change of the configuration that an action proposes.
    pub(crate) fn change(&self, action: Action) -> ConfChange {
        let place = action.kind().and_then(Kind::change).unwrap_or_default();
        self.bounds.changes[place].0
    }

    /// The rules that an action applies.
    pub(crate) fn rules(&self, state: &ClusterState, action: Action) -> RuleSet {
        let mut rules = RuleSet::default();
        let local = stimulus(action, state.next_value(), self.change(action));
        let (i, stimulus) = match (local, action) {
            (Some(local), _) => local,
            (None, Action::Deliver(position)) => {
                let message = state.message(position);
                (message.to, Stimulus::Deliver(message))
            }
            (None, _) => return rules,
        };
        let mut server = state.servers[i.slot()].clone();
        server.advance_noting(&self.settings, stimulus, &mut Outbox::new(), &mut rules);
        rules
    }

    /// Whether a state is within the bound. Budgets need no look: no enabled action exceeds one.
    pub fn is_within(&self, state: &ClusterState) -> bool {
        self.has_room(state.network.len()) && state.servers.iter().all(|i| self.may_be(i))
    }

    /// Whether this number of messages may be in flight.
    pub(crate) fn has_room(&self, in_flight: usize) -> bool {
        in_flight <= self.bounds.max_in_flight
    }

    /// Whether a server may be in this state.
    pub(crate) fn may_be(&self, server: &Server) -> bool {
        server.term <= self.bounds.max_term
            && server.outstanding_appends() <= self.bounds.max_outstanding
    }

    /// An action in the vocabulary.
    ///
    /// # Panics
    ///
    /// If the action names a message that the state does not have.
    pub fn event(&self, state: &ClusterState, action: &Action) -> Event {
        let to = |i: &Id, input| Event::Server {
            server: (*i).into(),
            input,
        };
        match action {
            Action::Timeout(i) => to(i, Input::Timeout),
            Action::LeaseExpire(i) => to(i, Input::LeaseExpire),
            Action::Heartbeat(i) => to(i, Input::Heartbeat),
            Action::CheckQuorum(i) => to(i, Input::CheckQuorum),
            Action::Propose(i) => to(i, Input::Propose(state.next_value())),
            Action::Restart(i) => to(i, Input::Restart),
            Action::RestartKeeping(i, kept) => {
                let writes = (*kept).into();
                to(i, Input::RestartKeeping { writes })
            }
            Action::Persist(i) => to(i, Input::Persist),
            Action::Apply(i) => to(i, Input::Apply),
            Action::ReadIndex(i) => to(i, Input::ReadIndex { context: 1 }),
            Action::ReadOtherIndex(i) => to(i, Input::ReadIndex { context: 2 }),
            Action::ForgetLeader(i) => to(i, Input::ForgetLeader),
            Action::Compact(i) => to(i, Input::Compact),
            Action::TransferLeadership(i, j) => {
                to(i, Input::TransferLeadership { to: (*j).into() })
            }
            Action::ReportUnreachable(i, j) => {
                to(i, Input::ReportUnreachable { peer: (*j).into() })
            }
            Action::ReportSnapshot(i, j, ok) => {
                let (peer, ok) = ((*j).into(), *ok);
                to(i, Input::ReportSnapshot { peer, ok })
            }
            Action::ProposeConfChange(i) | Action::ProposeOtherConfChange(i) => {
                to(i, Input::ProposeConfChange(self.change(*action).into()))
            }
            Action::Deliver(position) => {
                let message = state.message(*position);
                to(&message.to, Input::Deliver(message.into()))
            }
            Action::Duplicate(position) => Event::Duplicate(state.message(*position).into()),
            Action::Drop(position) => Event::Drop(state.message(*position).into()),
        }
    }
}
