//! The actions of the environment: their kinds, their numbers, and the inputs that they are.

use crate::bounds::Kind;
use crate::ids::{Id, MAX_SERVERS};
use lockstep_traces::{Input, ServerId};

/// An action of the environment. A message is named by its position in the (sorted) network of the state that the
/// action is applied to; [`Cluster::event`](super::Cluster::event) spells it out.
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
