//! Servers and network together: the state graph.

use crate::bounds::{Bounds, Budget, Kind, KindSet, Spent};
use crate::configuration::ConfChange;
use crate::history::History;
use crate::ids::{Id, MAX_SERVERS};
use crate::message::{Message, Payload};
use crate::network::Network;
use crate::rule::RuleSet;
use crate::server::{Outbox, Server, Stimulus};
use crate::settings::Settings;
use crate::symmetry::stabiliser;
use arrayvec::ArrayVec;
use lockstep_traces as vocabulary;
use lockstep_traces::{Emitted, Event, Input, Outcome, Role, ServerId};
use std::sync::Arc;

/// A cluster of servers on an unordered, lossy, duplicating network, and the bounds within which it is
/// explored.
#[derive(Clone, Debug)]
pub struct Cluster {
    pub(crate) settings: Settings,
    pub(crate) bounds: Bounds,
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
    /// What happened, for properties.
    pub(crate) history: History,
    /// How often the environment did what, for bounds.
    pub(crate) spent: Spent,
}

/// What the environment does next. A message is named by its position in the (sorted) network of the state
/// that the action is applied to; [`Cluster::event`] spells it out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Action {
    /// The election timer of a server fires.
    Timeout(Id),
    /// The lease at a follower runs out.
    LeaseExpire(Id),
    /// The heartbeat timer of a server fires.
    Heartbeat(Id),
    /// An election timeout elapses at a leader.
    CheckQuorum(Id),
    /// A client proposes the next value.
    Propose(Id),
    /// A server crashes and comes back.
    Restart(Id),
    /// A client proposes the first change of the configuration in the menu.
    ProposeConfChange(Id),
    /// A client proposes the second one.
    ProposeOtherConfChange(Id),
    /// The network delivers a message.
    Deliver(u32),
    /// The network duplicates a message.
    Duplicate(u32),
    /// The network loses a message.
    Drop(u32),
}

/// An edge of the state graph.
#[derive(Clone, Debug)]
pub struct Transition {
    /// The state afterwards.
    pub next: ClusterState,
    /// The server that moved, if one did; no other server has changed.
    pub moved: Option<ServerId>,
    /// What its caller was told.
    pub outcome: Outcome,
    /// What it sent.
    pub sent: Vec<Emitted>,
    /// The rules that were applied.
    pub rules: RuleSet,
    /// Whether the state afterwards is within the bound. If not, the edge counts but is not followed.
    pub within_bound: bool,
}

impl Action {
    /// The names of the kinds of action, in the vocabulary of traces.
    pub const KINDS: [&'static str; 11] = [
        "Timeout",
        "LeaseExpire",
        "Heartbeat",
        "CheckQuorum",
        "Propose",
        "Restart",
        "ProposeConfChange",
        "ProposeOtherConfChange",
        "Deliver",
        "Duplicate",
        "Drop",
    ];

    /// The position of its kind in [`Action::KINDS`].
    pub fn number(self) -> usize {
        match self {
            Action::Timeout(_) => 0,
            Action::LeaseExpire(_) => 1,
            Action::Heartbeat(_) => 2,
            Action::CheckQuorum(_) => 3,
            Action::Propose(_) => 4,
            Action::Restart(_) => 5,
            Action::ProposeConfChange(_) => 6,
            Action::ProposeOtherConfChange(_) => 7,
            Action::Deliver(_) => 8,
            Action::Duplicate(_) => 9,
            Action::Drop(_) => 10,
        }
    }

    /// The event of this kind at server `i`, unless it happens to a message.
    pub fn local(kind: Kind, i: Id) -> Option<Action> {
        match kind {
            Kind::Timeout => Some(Action::Timeout(i)),
            Kind::LeaseExpire => Some(Action::LeaseExpire(i)),
            Kind::Heartbeat => Some(Action::Heartbeat(i)),
            Kind::CheckQuorum => Some(Action::CheckQuorum(i)),
            Kind::Propose => Some(Action::Propose(i)),
            Kind::Restart => Some(Action::Restart(i)),
            Kind::ProposeConfChange => Some(Action::ProposeConfChange(i)),
            Kind::ProposeOtherConfChange => Some(Action::ProposeOtherConfChange(i)),
            Kind::Duplicate | Kind::Drop => None,
        }
    }

    /// The kind of event that a budget counts; `None` for a delivery.
    pub fn kind(self) -> Option<Kind> {
        match self {
            Action::Timeout(_) => Some(Kind::Timeout),
            Action::LeaseExpire(_) => Some(Kind::LeaseExpire),
            Action::Heartbeat(_) => Some(Kind::Heartbeat),
            Action::CheckQuorum(_) => Some(Kind::CheckQuorum),
            Action::Propose(_) => Some(Kind::Propose),
            Action::Restart(_) => Some(Kind::Restart),
            Action::ProposeConfChange(_) => Some(Kind::ProposeConfChange),
            Action::ProposeOtherConfChange(_) => Some(Kind::ProposeOtherConfChange),
            Action::Deliver(_) => None,
            Action::Duplicate(_) => Some(Kind::Duplicate),
            Action::Drop(_) => Some(Kind::Drop),
        }
    }
}

/// Those events without a message that are more at a server than refused or ignored inputs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct LocalEvents {
    id: Id,
    kinds: KindSet,
}

impl LocalEvents {
    pub(crate) fn that_matter(server: &Server) -> LocalEvents {
        let leads = server.role == Role::Leader;
        let configuration = server.configuration;
        let votes = configuration.all_voters().contains(server.id);
        let takes = leads && configuration.members().contains(server.id);
        let mut kinds = KindSet::EMPTY;
        kinds.set(Kind::Timeout, !leads && votes);
        kinds.set(Kind::LeaseExpire, server.lease);
        kinds.set(Kind::Heartbeat, leads);
        kinds.set(Kind::CheckQuorum, leads);
        kinds.set(Kind::Propose, takes);
        kinds.set(Kind::ProposeConfChange, takes);
        kinds.set(Kind::ProposeOtherConfChange, takes);
        kinds.set(Kind::Restart, true);
        LocalEvents {
            id: server.id,
            kinds,
        }
    }

    pub(crate) fn contains(self, kind: Kind) -> bool {
        self.kinds.contains(kind)
    }

    /// The other events without a message, as the server takes them: they must leave it as it is.
    pub(crate) fn that_mean_nothing(server: &Server) -> impl Iterator<Item = Stimulus<'static>> {
        let matter = LocalEvents::that_matter(server);
        let value = highest_value(server) + 1;
        let idle = Kind::ALL
            .into_iter()
            .filter(move |kind| !matter.contains(*kind));
        idle.filter_map(move |kind| match kind {
            Kind::Timeout => Some(Stimulus::Timeout),
            Kind::LeaseExpire => Some(Stimulus::LeaseExpire),
            Kind::Heartbeat => Some(Stimulus::Heartbeat),
            Kind::CheckQuorum => Some(Stimulus::CheckQuorum),
            Kind::Propose => Payload::value(value).map(Stimulus::Propose),
            Kind::Restart => Some(Stimulus::Restart),
            Kind::ProposeConfChange | Kind::ProposeOtherConfChange => {
                Some(Stimulus::ProposeConfChange(ConfChange::LEAVE_JOINT))
            }
            Kind::Duplicate | Kind::Drop => None,
        })
    }

    /// Those that the budgets allow, in the order in which they are listed.
    #[inline]
    fn list(self, allowed: KindSet, list: impl FnMut(Kind)) {
        self.kinds.and(allowed).iter().for_each(list);
    }
}

/// Lists what is enabled: what the budgets allow of the events that matter at the servers, and what can
/// happen to each distinct message, given by its first position.
pub(crate) fn list_actions(
    allowed: KindSet,
    servers: impl Iterator<Item = LocalEvents>,
    messages: impl Iterator<Item = usize>,
    mut list: impl FnMut(Action),
) {
    for server in servers {
        server.list(allowed, |kind| {
            Action::local(kind, server.id)
                .into_iter()
                .for_each(&mut list);
        });
    }
    let duplicate = allowed.contains(Kind::Duplicate);
    let drop = allowed.contains(Kind::Drop);
    for position in messages {
        let position = position as u32;
        list(Action::Deliver(position));
        if duplicate {
            list(Action::Duplicate(position));
        }
        if drop {
            list(Action::Drop(position));
        }
    }
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

    /// How many messages are in flight, copies counted.
    pub fn in_flight(&self) -> usize {
        self.network.len()
    }

    /// What happened before, as far as properties need it.
    pub fn history(&self) -> &History {
        &self.history
    }

    /// How often the environment did what.
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
            | Action::ProposeOtherConfChange(i) => Some(i),
            Action::Deliver(position) => Some(self.message(position).to),
            Action::Duplicate(_) | Action::Drop(_) => None,
        }
    }

    pub(crate) fn message(&self, position: u32) -> &Message {
        self.network
            .get(position as usize)
            .expect("the action was made for this state")
    }

    /// The value that the next proposal carries: values tell proposals apart.
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
        let servers = state.servers.iter().map(LocalEvents::that_matter);
        let positions = state.network.distinct().map(|(position, _, _)| position);
        let allowed = self.bounds.allowed(&state.spent);
        list_actions(allowed, servers, positions, |action| actions.push(action));
    }

    /// The other inputs to every server: timers in the wrong role, proposals to be refused, events whose
    /// budget is spent. They are compared with an implementation and never explored.
    pub fn probes(&self, state: &ClusterState, actions: &mut Vec<Action>) {
        let allowed = self.bounds.allowed(&state.spent);
        for server in &state.servers {
            let explored = LocalEvents::that_matter(server);
            // A change of the configuration that nobody ever proposes is no probe either.
            let inputs = Kind::ALL.into_iter().filter(|kind| {
                kind.change().is_none() || self.bounds.budget(*kind) != Budget::Times(0)
            });
            let probes =
                inputs.filter(|kind| !(allowed.contains(*kind) && explored.contains(*kind)));
            actions.extend(probes.filter_map(|kind| Action::local(kind, server.id)));
        }
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
            sent: outbox.iter().map(Message::emitted).collect(),
        }
    }

    /// What an action does, in place; `outbox` must be empty, and holds what was sent afterwards.
    pub(crate) fn advance(
        &self,
        state: &mut ClusterState,
        action: Action,
        outbox: &mut Outbox,
    ) -> Outcome {
        if let Some(kind) = action.kind() {
            state.spent.spend(kind, &self.bounds);
        }
        match action {
            Action::Timeout(i) => self.move_server(state, i, Stimulus::Timeout, outbox),
            Action::LeaseExpire(i) => self.move_server(state, i, Stimulus::LeaseExpire, outbox),
            Action::Heartbeat(i) => self.move_server(state, i, Stimulus::Heartbeat, outbox),
            Action::CheckQuorum(i) => self.move_server(state, i, Stimulus::CheckQuorum, outbox),
            Action::Propose(i) => {
                let payload = Payload::value(state.next_value()).unwrap_or(Payload::EMPTY);
                self.move_server(state, i, Stimulus::Propose(payload), outbox)
            }
            Action::Restart(i) => self.move_server(state, i, Stimulus::Restart, outbox),
            Action::ProposeConfChange(i) | Action::ProposeOtherConfChange(i) => {
                let stimulus = Stimulus::ProposeConfChange(self.change(action));
                self.move_server(state, i, stimulus, outbox)
            }
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
        let committed = server.commit;
        let outcome = server.advance(&self.settings, stimulus, outbox);
        debug_assert!(
            server.check(&self.settings).is_ok(),
            "{stimulus:?} left a server inconsistent: {:?}",
            server.check(&self.settings)
        );
        state.history.record(server, committed);
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
        let message;
        let (i, stimulus) = match action {
            Action::Timeout(i) => (i, Stimulus::Timeout),
            Action::LeaseExpire(i) => (i, Stimulus::LeaseExpire),
            Action::Heartbeat(i) => (i, Stimulus::Heartbeat),
            Action::CheckQuorum(i) => (i, Stimulus::CheckQuorum),
            Action::Propose(i) => {
                let payload = Payload::value(state.next_value()).unwrap_or(Payload::EMPTY);
                (i, Stimulus::Propose(payload))
            }
            Action::Restart(i) => (i, Stimulus::Restart),
            Action::ProposeConfChange(i) | Action::ProposeOtherConfChange(i) => {
                (i, Stimulus::ProposeConfChange(self.change(action)))
            }
            Action::Deliver(position) => {
                message = state.message(position);
                (message.to, Stimulus::Deliver(message))
            }
            Action::Duplicate(_) | Action::Drop(_) => return rules,
        };
        let mut server = state.servers[i.slot()].clone();
        server.advance_noting(&self.settings, stimulus, &mut Outbox::new(), &mut rules);
        rules
    }

    /// Whether a state is within the bound. Budgets need no look: no enabled action exceeds one.
    pub fn is_within(&self, state: &ClusterState) -> bool {
        self.has_room(state.network.len()) && state.servers.iter().all(|i| self.may_be(i))
    }

    /// Whether so many messages may be in flight.
    pub(crate) fn has_room(&self, in_flight: usize) -> bool {
        in_flight <= self.bounds.max_in_flight
    }

    /// Whether a server may be in this state.
    pub(crate) fn may_be(&self, server: &Server) -> bool {
        server.term <= self.bounds.max_term
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
