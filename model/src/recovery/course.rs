//! One round of the fair schedule.
//!
//! Nothing here is lost, repeated or crashes. A round is one timer event and all that follows from it: messages are
//! delivered in the order in which they were sent (those in flight at the beginning in their sorted order), then storage
//! writes, then applications apply, until nothing moves.

use crate::cluster::{Action, ClusterState, highest_value, value_after};
use crate::configuration::{ConfChange, Configuration};
use crate::ids::{Id, IdSet, MAX_SERVERS};
use crate::message::{Body, Message, Payload, Position};
use crate::server::{Flow, Outbox, Server, Stimulus, configuration_at};
use crate::settings::Settings;
use arrayvec::ArrayVec;
use lockstep_traces::Role;
use std::collections::VecDeque;

/// The servers of a cluster, by slot.
pub(super) type Servers = ArrayVec<Server, MAX_SERVERS>;

/// The most events of one round. A round that has more does not end: the servers answer each other for ever.
pub(super) const MOST_EVENTS: usize = 2_000;

/// A cluster on the way back. Between rounds nothing is in flight, and no storage has work to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Course {
    /// The servers.
    pub servers: Servers,
    /// The servers that follow a leader and have heard it in the last round.
    pub heard: IdSet,
    /// The leaders whose heartbeat timer fired last: the next to fire is that of an election timeout.
    pub beaten: IdSet,
    /// The new entry that the leader of this term was asked for.
    pub asked: Option<Position>,
}

/// A timer event.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) enum Timer {
    /// The election timer of a server that does not lead.
    Election(Id),
    /// The heartbeat timer of a leader.
    Heartbeat(Id),
    /// An election timeout has elapsed at a leader.
    Elapsed(Id),
}

/// The servers that may have the turn.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Turns {
    /// Whether servers take turns: else it is the leader's turn, and that of nobody else passes.
    pub in_order: bool,
    /// The servers whose turn it may be.
    servers: IdSet,
    leaders: IdSet,
    beaten: IdSet,
}

/// Something that happens in a round.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Happening {
    /// A local event.
    Local(Action),
    /// A message is delivered.
    Delivered(Message),
}

/// A thing that a cluster lacks to be back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lack {
    /// The servers answer each other without end.
    Quiet,
    /// Nobody leads.
    Leader,
    /// A member has not heard the leader.
    Hearing(Id),
    /// The configuration is joint.
    SimpleConfiguration,
    /// A leader is still handing over.
    EndOfTransfer(Id),
    /// A peer of the leader is behind, or is not sent what it lacks.
    CaughtUp(Id),
    /// The leader takes no proposal.
    NewEntry,
    /// A member has not applied the new entry.
    Applied(Id),
}

impl std::fmt::Display for Lack {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Lack::Quiet => write!(f, "a round has more than {MOST_EVENTS} events"),
            Lack::Leader => f.write_str("nobody leads"),
            Lack::Hearing(i) => write!(f, "server {i} has not heard the leader"),
            Lack::SimpleConfiguration => f.write_str("the configuration is joint"),
            Lack::EndOfTransfer(i) => write!(f, "server {i} is still handing over leadership"),
            Lack::CaughtUp(i) => write!(f, "server {i} is not caught up"),
            Lack::NewEntry => f.write_str("the leader takes no new entry"),
            Lack::Applied(i) => write!(f, "server {i} has not applied the new entry"),
        }
    }
}

/// A round at work.
struct Round<'a> {
    settings: &'a Settings,
    course: &'a mut Course,
    /// The messages in flight, oldest first.
    in_flight: VecDeque<Message>,
    /// For each leader, by slot, the peers whose snapshot was reported in this round.
    reported: [IdSet; MAX_SERVERS],
    /// The leaders that were asked to leave the joint configuration in this round.
    left: IdSet,
    /// The events so far.
    events: usize,
    happened: Option<&'a mut Vec<Happening>>,
}

impl Timer {
    /// The server whose timer fires.
    pub fn server(self) -> Id {
        match self {
            Timer::Election(i) | Timer::Heartbeat(i) | Timer::Elapsed(i) => i,
        }
    }
}

impl Turns {
    /// The timer that fires next, if servers take turns in this order.
    pub fn next(&self, order: &[Id]) -> Option<Timer> {
        let mut order = order.iter().copied();
        let i = order.find(|i| self.servers.contains(*i))?;
        Some(match (self.leaders.contains(i), self.beaten.contains(i)) {
            (false, _) => Timer::Election(i),
            (true, false) => Timer::Heartbeat(i),
            (true, true) => Timer::Elapsed(i),
        })
    }
}

impl Course {
    /// The course from a state on: what is in flight arrives, as the rest of the round that the state is in.
    ///
    /// # Errors
    ///
    /// The servers do not come to rest.
    pub fn from(
        state: &ClusterState,
        settings: &Settings,
        happened: Option<&mut Vec<Happening>>,
    ) -> Result<Course, Lack> {
        let mut course = Course {
            servers: state.servers.clone(),
            heard: IdSet::EMPTY,
            beaten: IdSet::EMPTY,
            asked: None,
        };
        let in_flight = state.network.iter().cloned().collect();
        course.round(settings, in_flight, None, happened)?;
        Ok(course)
    }

    /// Returns whose turn it may be: servers that have heard no leader, and leaders; once all voters have heard a leader,
    /// that leader alone.
    pub fn turns(&self, settings: &Settings) -> Turns {
        let voters = self.newest_configuration(settings).all_voters();
        let ids = || self.servers.iter().map(|server| server.id);
        let set = |ids: &mut dyn Iterator<Item = Id>| {
            ids.fold(IdSet::EMPTY, |mut set, i| {
                set.insert(i);
                set
            })
        };
        let leaders = set(&mut ids().filter(|i| self.leads(*i)));
        let waiting = set(&mut ids().filter(|i| voters.contains(*i)));
        let waiting = waiting.without(leaders).without(self.heard);
        let leader = set(&mut self.leader().map(|leader| leader.id).into_iter());
        let in_order = !waiting.is_empty();
        Turns {
            in_order,
            servers: if in_order {
                waiting.or(leaders)
            } else {
                leader
            },
            leaders,
            beaten: self.beaten,
        }
    }

    /// Fires a timer and runs what follows. Then, if nothing is lacking but a new entry, the leader is asked for one.
    ///
    /// # Errors
    ///
    /// The part that the cluster lacks to be back.
    pub fn fire(
        &mut self,
        settings: &Settings,
        timer: Timer,
        happened: Option<&mut Vec<Happening>>,
    ) -> Result<(), Lack> {
        self.round(settings, VecDeque::new(), Some(timer), happened)
    }

    /// The leader of the highest term, if anybody leads.
    pub fn leader(&self) -> Option<&Server> {
        let leaders = self.servers.iter().filter(|it| it.role == Role::Leader);
        leaders.max_by_key(|leader| leader.term)
    }

    /// Whether the leader is no member of its own configuration, and so takes no proposals.
    pub fn removed_server_leads(&self) -> bool {
        let removed = |leader: &Server| !leader.configuration.members().contains(leader.id);
        self.leader().is_some_and(removed)
    }

    /// Whether nobody leads, and no voter of the newest committed configuration has applied it: each campaigns by an older
    /// one, or not at all.
    pub fn voters_are_unaware(&self, settings: &Settings) -> bool {
        let newest = self.newest_configuration(settings);
        let voters = newest.all_voters();
        let mut voters = self.servers.iter().filter(|it| voters.contains(it.id));
        self.leader().is_none() && voters.all(|server| server.configuration != newest)
    }

    /// The configuration at the highest index that anybody knows to be committed.
    pub fn newest_configuration(&self, settings: &Settings) -> Configuration {
        let newest = self.servers.iter().max_by_key(|server| server.commit);
        newest.map_or(settings.configuration, |server| match settings.may_change {
            true => configuration_at(settings, &server.log, server.commit),
            false => settings.configuration,
        })
    }

    fn leads(&self, i: Id) -> bool {
        self.servers[i.slot()].role == Role::Leader
    }

    /// Whether a server follows a leader that leads its term.
    fn follows_a_leader(&self, i: Id) -> bool {
        let server = &self.servers[i.slot()];
        let leader = server.leader.map(|leader| &self.servers[leader.slot()]);
        leader.is_some_and(|leader| leader.role == Role::Leader && leader.term == server.term)
    }

    fn round(
        &mut self,
        settings: &Settings,
        in_flight: VecDeque<Message>,
        timer: Option<Timer>,
        happened: Option<&mut Vec<Happening>>,
    ) -> Result<(), Lack> {
        let mut round = Round {
            settings,
            course: self,
            in_flight,
            reported: [IdSet::EMPTY; MAX_SERVERS],
            left: IdSet::EMPTY,
            events: 0,
            happened,
        };
        if let Some(timer) = timer {
            round.expire_leases(timer);
            round.fire(timer);
        }
        round.settle()?;
        if timer.is_none() {
            return Ok(());
        }
        match round.course.lacks() {
            Err(Lack::NewEntry) if round.course.asked.is_none() => {
                round.ask();
                round.settle()?;
                round.course.lacks()
            }
            lack => lack,
        }
    }

    /// # Errors
    ///
    /// The first thing that is lacking: [`Lack::NewEntry`] if nothing else is, and none was asked for.
    pub fn lacks(&self) -> Result<(), Lack> {
        let leader = self.leader().ok_or(Lack::Leader)?;
        let members = leader.configuration.members();
        let unheard = |i: &Id| *i != leader.id && !self.follows(*i, leader);
        if let Some(i) = members.iter().find(unheard) {
            return Err(Lack::Hearing(i));
        }
        let configurations = self.members(leader).map(|server| server.configuration);
        let mut configurations = configurations.chain([leader.configuration]);
        if configurations.any(Configuration::is_joint) {
            return Err(Lack::SimpleConfiguration);
        }
        // A removed server that still leads an older term hands over for ever, and nobody listens.
        if leader.transferee.is_some() {
            return Err(Lack::EndOfTransfer(leader.id));
        }
        let behind = |server: &&Server| !is_caught_up(server, leader);
        if let Some(server) = self.members(leader).find(behind) {
            return Err(Lack::CaughtUp(server.id));
        }
        let asked = self.asked.ok_or(Lack::NewEntry)?;
        let lacks = |server: &&Server| server.applied() < asked.index;
        let mut all = self.members(leader).chain([leader]);
        match all.find(lacks) {
            Some(server) => Err(Lack::Applied(server.id)),
            None => Ok(()),
        }
    }

    /// The other members of the leader's configuration.
    fn members<'s>(&'s self, leader: &'s Server) -> impl Iterator<Item = &'s Server> + 's {
        let others = leader.others();
        others.filter_map(|id| self.servers.get(id.slot()))
    }

    /// Whether a server follows this leader and has heard it.
    fn follows(&self, i: Id, leader: &Server) -> bool {
        let follows = self.servers.get(i.slot());
        let follows = follows.is_some_and(|it| it.leader == Some(leader.id));
        follows && self.heard.contains(i)
    }
}

/// Whether a server has all that its leader has, has applied it, and is known to. How the leader would send it more the
/// new entry shows.
fn is_caught_up(server: &Server, leader: &Server) -> bool {
    let last = leader.log.last();
    let known = leader.peer(server.id);
    let known = known.is_some_and(|peer| peer.matched == last.index);
    let applied = |server: &Server| server.applied() == last.index;
    known && server.log.last() == last && applied(server) && applied(leader)
}

/// Whether a message can only come from the leader of its term.
fn is_of_leader(message: &Message) -> bool {
    matches!(
        message.body,
        Body::AppendEntries { .. } | Body::Heartbeat { .. } | Body::InstallSnapshot { .. }
    )
}

impl Round<'_> {
    /// An election timer that fires says that an election timeout has passed for everybody. It ends the leases of servers that
    /// have heard no leader and whose own timer does not fire in this schedule.
    fn expire_leases(&mut self, timer: Timer) {
        let Timer::Election(_) = timer else {
            return;
        };
        let course = &*self.course;
        let voters = course.newest_configuration(self.settings).all_voters();
        let ends = |server: &&Server| server.lease && !voters.contains(server.id);
        let silent = |server: &&Server| !course.heard.contains(server.id);
        let servers = course.servers.iter().filter(ends).filter(silent);
        let ids: ArrayVec<Id, MAX_SERVERS> = servers.map(|server| server.id).collect();
        for i in ids {
            self.local(i, Stimulus::LeaseExpire, Action::LeaseExpire(i));
        }
    }

    fn fire(&mut self, timer: Timer) {
        let (i, action) = match timer {
            Timer::Election(i) => (i, Action::Timeout(i)),
            Timer::Heartbeat(i) => (i, Action::Heartbeat(i)),
            Timer::Elapsed(i) => (i, Action::CheckQuorum(i)),
        };
        // An election timeout at a leader is many heartbeats long: nobody else has heard nothing for as long.
        if let Timer::Elapsed(_) = timer {
            self.course.beaten.remove(i);
        } else {
            self.course.heard = IdSet::EMPTY;
        }
        if let Timer::Heartbeat(_) = timer {
            self.course.beaten.insert(i);
        }
        let stimulus = match timer {
            Timer::Election(_) => Stimulus::Timeout,
            Timer::Heartbeat(_) => Stimulus::Heartbeat,
            Timer::Elapsed(_) => Stimulus::CheckQuorum,
        };
        self.local(i, stimulus, action);
    }

    /// Delivers, persists and applies until nothing moves.
    fn settle(&mut self) -> Result<(), Lack> {
        while self.next_event() {
            self.events += 1;
            if self.events > MOST_EVENTS {
                return Err(Lack::Quiet);
            }
        }
        self.note_silence();
        Ok(())
    }

    /// Whether there was something to do.
    fn next_event(&mut self) -> bool {
        if let Some(message) = self.in_flight.pop_front() {
            self.deliver(message);
            return true;
        }
        let servers = &self.course.servers;
        if let Some(server) = servers.iter().find(|it| it.outstanding_appends() > 0) {
            let i = server.id;
            self.local(i, Stimulus::Persist, Action::Persist(i));
            return true;
        }
        if let Some(server) = servers.iter().find(|it| it.outstanding_applies() > 0) {
            let i = server.id;
            self.local(i, Stimulus::Apply, Action::Apply(i));
            return true;
        }
        if let Some(i) = self.outdated_snapshot() {
            self.local(i, Stimulus::Compact, Action::Compact(i));
            return true;
        }
        if let Some((i, j, arrived)) = self.lost_snapshot() {
            self.reported[i.slot()].insert(j);
            let action = Action::ReportSnapshot(i, j, arrived);
            self.local(i, Stimulus::ReportSnapshot(j, arrived), action);
            return true;
        }
        if let Some(i) = self.unleft_joint() {
            self.left.insert(i);
            let stimulus = Stimulus::ProposeConfChange(ConfChange::LEAVE_JOINT);
            self.local(i, stimulus, Action::ProposeConfChange(i));
            return true;
        }
        false
    }

    /// A peer that a leader has sent a snapshot, of which nothing is under way any more, and whether it arrived: the
    /// transport knows.
    fn lost_snapshot(&self) -> Option<(Id, Id, bool)> {
        self.course.servers.iter().find_map(|leader| {
            let reported = self.reported[leader.id.slot()];
            let mut unreported = leader.others().filter(|j| !reported.contains(*j));
            unreported.find_map(|j| {
                let peer = leader.peer(j)?;
                let to = self.course.servers.get(j.slot())?;
                let arrived = to.commit >= peer.pending;
                (peer.flow == Flow::Snapshot).then_some((leader.id, j, arrived))
            })
        })
    }

    /// A leader that has sent a peer a snapshot from before the peer was a member, which the peer ignores. No rule of Raft
    /// makes a snapshot: the application does, of what it has applied.
    fn outdated_snapshot(&self) -> Option<Id> {
        let (leader, peer, arrived) = self.lost_snapshot()?;
        let server = &self.course.servers[leader.slot()];
        let known = server.log.snapshot_configuration().members();
        (!arrived && !known.contains(peer) && server.can_compact()).then_some(leader)
    }

    /// A leader in a joint configuration that does not leave itself.
    fn unleft_joint(&self) -> Option<Id> {
        let explicit = |leader: &&Server| {
            let configuration = leader.configuration;
            configuration.is_joint()
                && !configuration.auto_leave
                && leader.takes_proposals()
                && leader.pending_conf_index == 0
                && !self.left.contains(leader.id)
        };
        let leader = self.course.servers.iter().find(explicit)?;
        Some(leader.id)
    }

    /// A client proposes a new entry to the leader.
    fn ask(&mut self) {
        let Some(leader) = self.course.leader() else {
            return;
        };
        let (i, last) = (leader.id, leader.log.last_index());
        let value = value_after(self.course.servers.iter().map(highest_value));
        let payload = Payload::value(value).unwrap_or(Payload::EMPTY);
        self.local(i, Stimulus::Propose(payload), Action::Propose(i));
        let leader = &self.course.servers[i.slot()];
        self.course.asked = (leader.log.last_index() > last).then(|| Position {
            term: leader.term,
            index: last + 1,
        });
    }

    /// A server that follows nobody who leads has heard no leader, whatever it heard before; a leader of another term was asked
    /// for nothing.
    fn note_silence(&mut self) {
        let course = &mut *self.course;
        let ids: ArrayVec<Id, MAX_SERVERS> = course.servers.iter().map(|it| it.id).collect();
        for i in ids {
            if !course.follows_a_leader(i) || course.leads(i) {
                course.heard.remove(i);
            }
            if !course.leads(i) {
                course.beaten.remove(i);
            }
        }
        let term = course.leader().map(|leader| leader.term);
        course.asked = course.asked.filter(|asked| Some(asked.term) == term);
    }

    fn deliver(&mut self, message: Message) {
        let i = message.to;
        if i.slot() < self.course.servers.len() {
            self.step(i, Stimulus::Deliver(&message));
            let server = &self.course.servers[i.slot()];
            let follows = server.leader == Some(message.from) && server.term == message.term;
            if follows && server.role == Role::Follower && is_of_leader(&message) {
                self.course.heard.insert(i);
            }
        }
        if let Some(happened) = &mut self.happened {
            happened.push(Happening::Delivered(message));
        }
    }

    fn local(&mut self, i: Id, stimulus: Stimulus<'_>, action: Action) {
        self.step(i, stimulus);
        if let Some(happened) = &mut self.happened {
            happened.push(Happening::Local(action));
        }
    }

    fn step(&mut self, i: Id, stimulus: Stimulus<'_>) {
        let mut outbox = Outbox::new();
        let server = &mut self.course.servers[i.slot()];
        #[cfg(test)]
        let before = server.clone();
        server.advance(self.settings, stimulus, &mut outbox);
        debug_assert_eq!(server.check(self.settings), Ok(()), "{stimulus:?}");
        #[cfg(test)]
        super::tests::break_rule(&before, stimulus, server, &mut outbox);
        self.in_flight.extend(outbox.messages);
    }
}
