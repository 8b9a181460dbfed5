//! Servers and network together: the state graph.

use crate::bounds::{Bounds, Kind, Spent};
use crate::configuration::ConfChange;
use crate::history::{Before, History, ReadStep};
use crate::ids::{Id, MAX_SERVERS};
use crate::machine::EventNumbers;
use crate::message::{Message, Payload};
use crate::network::Network;
use crate::rule::RuleSet;
use crate::server::{Flow, Outbox, Server, Stimulus};
use crate::settings::Settings;
use crate::symmetry::stabiliser;
use arrayvec::ArrayVec;
use lockstep_engine::KindSet;
use lockstep_traces as vocabulary;
use lockstep_traces::{Emitted, Event, Input, Outcome, Reads, Role, ServerId};
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

/// An action of the environment. A message is named by its position in the (sorted) network of the state that the
/// action is applied to; [`Cluster::event`] spells it out.
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
    /// A server is told to forget its leader.
    ForgetLeader(Id),
    /// A server compacts its log.
    Compact(Id),
    /// A client proposes the first change of the configuration in the menu.
    ProposeConfChange(Id),
    /// A client proposes the second one.
    ProposeOtherConfChange(Id),
    /// The oldest outstanding append of a server is durable.
    Persist(Id),
    /// The oldest outstanding apply of a server is done.
    Apply(Id),
    /// A server crashes when this number of its outstanding appends are durable, and comes back.
    RestartKeeping(Id, u8),
    /// A client reads with context 1.
    ReadIndex(Id),
    /// A client reads with context 2.
    ReadOtherIndex(Id),
    /// A server is asked for another leader.
    TransferLeadership(Id, Id),
    /// A server is told that a peer could not be reached.
    ReportUnreachable(Id, Id),
    /// A server is told whether its snapshot reached a peer.
    ReportSnapshot(Id, Id, bool),
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

impl Action {
    /// The names of the kinds of action, in the vocabulary of traces.
    pub const KINDS: [&'static str; 21] = [
        "Timeout",
        "LeaseExpire",
        "Heartbeat",
        "CheckQuorum",
        "Propose",
        "Restart",
        "ForgetLeader",
        "Compact",
        "ProposeConfChange",
        "ProposeOtherConfChange",
        "Persist",
        "Apply",
        "ReadIndex",
        "ReadOtherIndex",
        "RestartKeeping",
        "TransferLeadership",
        "ReportUnreachable",
        "ReportSnapshot",
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
            Action::ForgetLeader(_) => 6,
            Action::Compact(_) => 7,
            Action::ProposeConfChange(_) => 8,
            Action::ProposeOtherConfChange(_) => 9,
            Action::Persist(_) => 10,
            Action::Apply(_) => 11,
            Action::ReadIndex(_) => 12,
            Action::ReadOtherIndex(_) => 13,
            Action::RestartKeeping(..) => 14,
            Action::TransferLeadership(..) => 15,
            Action::ReportUnreachable(..) => 16,
            Action::ReportSnapshot(..) => 17,
            Action::Deliver(_) => 18,
            Action::Duplicate(_) => 19,
            Action::Drop(_) => 20,
        }
    }

    /// The number of kinds of which there is one event at a server. Those about a peer have one for each, and
    /// restarts one for each number of appends that are kept.
    pub(crate) const PLAIN: usize = 14;

    /// The most outstanding appends that a restart is explored with.
    pub const MOST_KEPT: usize = 4;

    const ABOUT_PEERS: usize = Action::PLAIN + Action::MOST_KEPT;

    /// The number of events that happen to a server, counting those about each peer.
    pub const LOCAL_EVENTS: usize = Action::ABOUT_PEERS + 4 * MAX_SERVERS;

    /// The number of the event for the [engine](lockstep_engine::Machines::kind_of), whichever server it happens to.
    pub fn event_number(self) -> usize {
        let about = |place: usize, j: Id| Action::ABOUT_PEERS + place * MAX_SERVERS + j.slot();
        match self {
            Action::RestartKeeping(_, kept) => Action::PLAIN + usize::from(kept) - 1,
            Action::TransferLeadership(_, j) => about(0, j),
            Action::ReportUnreachable(_, j) => about(1, j),
            Action::ReportSnapshot(_, j, true) => about(2, j),
            Action::ReportSnapshot(_, j, false) => about(3, j),
            Action::Deliver(_) => Action::LOCAL_EVENTS,
            Action::Duplicate(_) => Action::LOCAL_EVENTS + 1,
            Action::Drop(_) => Action::LOCAL_EVENTS + 2,
            plain => plain.number(),
        }
    }

    /// The event of this number at server `i`, unless it happens to a message.
    pub fn local(number: usize, i: Id) -> Option<Action> {
        let about = |place: usize| {
            let (place, slot) = (place / MAX_SERVERS, place % MAX_SERVERS);
            let j = Id::from_slot(slot);
            match place {
                0 => Some(Action::TransferLeadership(i, j)),
                1 => Some(Action::ReportUnreachable(i, j)),
                2 => Some(Action::ReportSnapshot(i, j, true)),
                3 => Some(Action::ReportSnapshot(i, j, false)),
                _ => None,
            }
        };
        match number {
            0 => Some(Action::Timeout(i)),
            1 => Some(Action::LeaseExpire(i)),
            2 => Some(Action::Heartbeat(i)),
            3 => Some(Action::CheckQuorum(i)),
            4 => Some(Action::Propose(i)),
            5 => Some(Action::Restart(i)),
            6 => Some(Action::ForgetLeader(i)),
            7 => Some(Action::Compact(i)),
            8 => Some(Action::ProposeConfChange(i)),
            9 => Some(Action::ProposeOtherConfChange(i)),
            10 => Some(Action::Persist(i)),
            11 => Some(Action::Apply(i)),
            12 => Some(Action::ReadIndex(i)),
            13 => Some(Action::ReadOtherIndex(i)),
            number if number < Action::ABOUT_PEERS => {
                let kept = number + 1 - Action::PLAIN;
                Some(Action::RestartKeeping(i, kept as u8))
            }
            number => about(number - Action::ABOUT_PEERS),
        }
    }

    /// The numbers of the events of this kind.
    pub fn numbers_of(kind: Kind) -> impl Iterator<Item = usize> {
        let keeping = match kind {
            Kind::Restart => Action::PLAIN..Action::ABOUT_PEERS,
            _ => 0..0,
        };
        Action::first_numbers_of(kind).chain(keeping)
    }

    fn first_numbers_of(kind: Kind) -> std::ops::Range<usize> {
        let about = |place: usize, places: usize| {
            let first = Action::ABOUT_PEERS + place * MAX_SERVERS;
            first..first + places * MAX_SERVERS
        };
        match kind {
            Kind::Timeout => 0..1,
            Kind::LeaseExpire => 1..2,
            Kind::Heartbeat => 2..3,
            Kind::CheckQuorum => 3..4,
            Kind::Propose => 4..5,
            Kind::Restart => 5..6,
            Kind::ForgetLeader => 6..7,
            Kind::Compact => 7..8,
            Kind::ProposeConfChange => 8..9,
            Kind::ProposeOtherConfChange => 9..10,
            Kind::Persist => 10..11,
            Kind::Apply => 11..12,
            Kind::ReadIndex => 12..13,
            Kind::ReadOtherIndex => 13..14,
            Kind::TransferLeadership => about(0, 1),
            Kind::ReportUnreachable => about(1, 1),
            Kind::ReportSnapshot => about(2, 2),
            Kind::Duplicate => Action::LOCAL_EVENTS + 1..Action::LOCAL_EVENTS + 2,
            Kind::Drop => Action::LOCAL_EVENTS + 2..Action::LOCAL_EVENTS + 3,
        }
    }

    /// The kind of the events of this number; `None` for a delivery, of which there is no kind to count.
    pub fn kind_of_number(number: usize) -> Option<Kind> {
        let mut kinds = Kind::ALL.into_iter();
        kinds.find(|kind| Action::numbers_of(*kind).any(|it| it == number))
    }

    /// The server that it is about, if that is another one than it happens to, or may be.
    pub(crate) fn peer(self) -> Option<Id> {
        match self {
            Action::TransferLeadership(_, j)
            | Action::ReportUnreachable(_, j)
            | Action::ReportSnapshot(_, j, _) => Some(j),
            _ => None,
        }
    }

    /// Returns the action that an input to server `i` is, unless it is a delivery or names nobody who could be a
    /// server.
    pub fn of_input(i: Id, input: &Input) -> Option<Action> {
        let named = |id: &ServerId| Id::try_from(*id).ok();
        Some(match input {
            Input::Timeout => Action::Timeout(i),
            Input::LeaseExpire => Action::LeaseExpire(i),
            Input::Heartbeat => Action::Heartbeat(i),
            Input::CheckQuorum => Action::CheckQuorum(i),
            Input::Propose(_) => Action::Propose(i),
            Input::ProposeConfChange(_) => Action::ProposeConfChange(i),
            Input::Restart => Action::Restart(i),
            Input::RestartKeeping { writes } => {
                // More than there can be are all that there are.
                Action::RestartKeeping(i, u8::try_from(*writes).unwrap_or(u8::MAX))
            }
            Input::Persist => Action::Persist(i),
            Input::Apply => Action::Apply(i),
            Input::ForgetLeader => Action::ForgetLeader(i),
            Input::Compact => Action::Compact(i),
            Input::TransferLeadership { to } => Action::TransferLeadership(i, named(to)?),
            Input::ReportUnreachable { peer } => Action::ReportUnreachable(i, named(peer)?),
            Input::ReportSnapshot { peer, ok } => Action::ReportSnapshot(i, named(peer)?, *ok),
            Input::ReadIndex { context: 2 } => Action::ReadOtherIndex(i),
            Input::ReadIndex { .. } => Action::ReadIndex(i),
            Input::Deliver(_) => return None,
        })
    }

    /// The kind of event that a budget counts; `None` for a delivery.
    pub fn kind(self) -> Option<Kind> {
        match self {
            Action::Timeout(_) => Some(Kind::Timeout),
            Action::LeaseExpire(_) => Some(Kind::LeaseExpire),
            Action::Heartbeat(_) => Some(Kind::Heartbeat),
            Action::CheckQuorum(_) => Some(Kind::CheckQuorum),
            Action::Propose(_) => Some(Kind::Propose),
            Action::Restart(_) | Action::RestartKeeping(..) => Some(Kind::Restart),
            Action::Persist(_) => Some(Kind::Persist),
            Action::Apply(_) => Some(Kind::Apply),
            Action::ForgetLeader(_) => Some(Kind::ForgetLeader),
            Action::Compact(_) => Some(Kind::Compact),
            Action::TransferLeadership(..) => Some(Kind::TransferLeadership),
            Action::ReportUnreachable(..) => Some(Kind::ReportUnreachable),
            Action::ReportSnapshot(..) => Some(Kind::ReportSnapshot),
            Action::ProposeConfChange(_) => Some(Kind::ProposeConfChange),
            Action::ProposeOtherConfChange(_) => Some(Kind::ProposeOtherConfChange),
            Action::ReadIndex(_) => Some(Kind::ReadIndex),
            Action::ReadOtherIndex(_) => Some(Kind::ReadOtherIndex),
            Action::Deliver(_) => None,
            Action::Duplicate(_) => Some(Kind::Duplicate),
            Action::Drop(_) => Some(Kind::Drop),
        }
    }
}

/// The events without a message at a server that are neither refused nor ignored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct LocalEvents {
    id: Id,
    numbers: KindSet,
}

impl LocalEvents {
    pub(crate) fn that_matter(server: &Server, settings: &Settings) -> LocalEvents {
        LocalEvents::among(server, settings, 0..Action::LOCAL_EVENTS)
    }

    /// Those that matter of the events of these numbers.
    fn among(
        server: &Server,
        settings: &Settings,
        numbers: impl Iterator<Item = usize>,
    ) -> LocalEvents {
        let numbers = numbers.filter(|number| {
            Action::local(*number, server.id)
                .is_some_and(|action| matters(server, settings, action))
        });
        LocalEvents {
            id: server.id,
            numbers: numbers.fold(KindSet::EMPTY, |set, number| set.with(number, true)),
        }
    }

    /// Their numbers.
    pub(crate) fn numbers(self) -> KindSet {
        self.numbers
    }

    /// The other events without a message, as the server takes them: they must leave it as it is. Of those about a
    /// peer, the ones about the next server stand for all.
    pub(crate) fn that_mean_nothing(
        server: &Server,
        settings: &Settings,
    ) -> impl Iterator<Item = Stimulus<'static>> {
        let matter = LocalEvents::that_matter(server, settings);
        let value = highest_value(server) + 1;
        let i = server.id;
        let idle =
            (0..Action::LOCAL_EVENTS).filter(move |number| !matter.numbers.contains(*number));
        let idle = idle.filter_map(move |number| Action::local(number, i));
        // To keep more appends than are outstanding is to keep all.
        let idle = idle.filter(|action| !matches!(action, Action::RestartKeeping(..)));
        let next = Id::from_slot((i.slot() + 1) % settings.servers());
        let idle = idle.filter(move |action| is_of(settings, *action));
        let idle = idle.filter(move |action| action.peer().is_none_or(|j| j == next));
        // Whoever takes no proposals takes no change, whichever it is.
        let change = ConfChange::LEAVE_JOINT;
        idle.filter_map(move |action| stimulus(action, value, change))
            .map(|(_, stimulus)| stimulus)
    }

    /// Lists, in order, the events that the budgets allow.
    #[inline]
    fn list(self, allowed: KindSet, mut list: impl FnMut(Action)) {
        for number in self.numbers.and(allowed).iter() {
            Action::local(number, self.id)
                .into_iter()
                .for_each(&mut list);
        }
    }
}

/// Whether a local event is more at a server than an input that is refused or ignored.
fn matters(server: &Server, settings: &Settings, action: Action) -> bool {
    let leads = server.role == Role::Leader;
    let flow = |j: Id| {
        server
            .peer(j)
            .filter(|_| j != server.id)
            .map(|peer| peer.flow)
    };
    let follows = server.role == Role::Follower && server.leader.is_some();
    is_of(settings, action)
        && match action {
            // To who does not vote it means nothing.
            Action::Timeout(_) => !leads && server.may_campaign(server.applied()),
            Action::Persist(_) => server.outstanding_appends() > 0,
            Action::Apply(_) => server.outstanding_applies() > 0,
            Action::RestartKeeping(_, kept) => usize::from(kept) <= server.outstanding_appends(),
            Action::LeaseExpire(_) => server.lease,
            Action::Heartbeat(_) | Action::CheckQuorum(_) => leads,
            Action::Propose(_) if leads => {
                server.takes_proposals() && server.has_room_for(settings, 1)
            }
            // One that there is no room for is remembered.
            Action::ProposeConfChange(_) | Action::ProposeOtherConfChange(_) if leads => {
                server.takes_proposals()
            }
            Action::Propose(_)
            | Action::ProposeConfChange(_)
            | Action::ProposeOtherConfChange(_) => follows && settings.forward_proposals,
            Action::Restart(_) => true,
            Action::ForgetLeader(_) => follows && settings.reads != Reads::LeaseBased,
            Action::ReadIndex(_) | Action::ReadOtherIndex(_) => leads || follows,
            Action::Compact(_) => server.can_compact(),
            Action::TransferLeadership(_, to) if leads => {
                let asked = server.transferee == Some(to);
                let may_lead = server.configuration.all_voters().contains(to);
                may_lead && !asked && (to != server.id || server.transferee.is_some())
            }
            Action::TransferLeadership(..) => follows,
            Action::ReportUnreachable(_, j) => flow(j) == Some(Flow::Replicate),
            Action::ReportSnapshot(_, j, _) => flow(j) == Some(Flow::Snapshot),
            Action::Deliver(_) | Action::Duplicate(_) | Action::Drop(_) => false,
        }
}

/// Whether the cluster has such events: the peer that an event is about, if it is about one, is one of its servers, and
/// its configuration may change.
pub(crate) fn is_of(settings: &Settings, action: Action) -> bool {
    match action {
        Action::ProposeConfChange(_) | Action::ProposeOtherConfChange(_) => settings.may_change,
        Action::ReadIndex(_) | Action::ReadOtherIndex(_) => settings.reads != Reads::Off,
        Action::TransferLeadership(_, j)
        | Action::ReportUnreachable(_, j)
        | Action::ReportSnapshot(_, j, _) => settings.is_server(j),
        Action::Persist(_) | Action::Apply(_) | Action::RestartKeeping(..) => settings.is_async,
        _ => true,
    }
}

/// A local event as the server takes it, where a proposal carries `value` or `change`; `None` if it happens to a
/// message.
pub(crate) fn stimulus(
    action: Action,
    value: u64,
    change: ConfChange,
) -> Option<(Id, Stimulus<'static>)> {
    Some(match action {
        Action::Timeout(i) => (i, Stimulus::Timeout),
        Action::LeaseExpire(i) => (i, Stimulus::LeaseExpire),
        Action::Heartbeat(i) => (i, Stimulus::Heartbeat),
        Action::CheckQuorum(i) => (i, Stimulus::CheckQuorum),
        Action::Propose(i) => {
            let payload = Payload::value(value).unwrap_or(Payload::EMPTY);
            (i, Stimulus::Propose(payload))
        }
        Action::Restart(i) => (i, Stimulus::Restart(0)),
        Action::RestartKeeping(i, kept) => (i, Stimulus::Restart(kept.into())),
        Action::Persist(i) => (i, Stimulus::Persist),
        Action::Apply(i) => (i, Stimulus::Apply),
        Action::ProposeConfChange(i) | Action::ProposeOtherConfChange(i) => {
            (i, Stimulus::ProposeConfChange(change))
        }
        Action::ReadIndex(i) => (i, Stimulus::ReadIndex(1)),
        Action::ReadOtherIndex(i) => (i, Stimulus::ReadIndex(2)),
        Action::ForgetLeader(i) => (i, Stimulus::ForgetLeader),
        Action::Compact(i) => (i, Stimulus::Compact),
        Action::TransferLeadership(i, to) => (i, Stimulus::TransferLeadership(to)),
        Action::ReportUnreachable(i, j) => (i, Stimulus::ReportUnreachable(j)),
        Action::ReportSnapshot(i, j, ok) => (i, Stimulus::ReportSnapshot(j, ok)),
        Action::Deliver(_) | Action::Duplicate(_) | Action::Drop(_) => return None,
    })
}

/// The numbers of the events that budgets allow.
pub(crate) fn allowed_events(bounds: &Bounds, spent: &Spent) -> KindSet {
    let numbers = bounds.allowed(spent).iter().flat_map(Action::numbers_of);
    numbers.fold(KindSet::EMPTY, |set, number| set.with(number, true))
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
        server.list(allowed, &mut list);
    }
    let duplicate = allowed.contains(Action::Duplicate(0).event_number());
    let drop = allowed.contains(Action::Drop(0).event_number());
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
                .numbers
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
