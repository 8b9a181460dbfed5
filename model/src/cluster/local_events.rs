//! The events without a message: which of them matter at a server, and how the server takes each.

use super::{Action, highest_value};
use crate::bounds::{Bounds, Spent};
use crate::configuration::ConfChange;
use crate::ids::Id;
use crate::message::Payload;
use crate::server::{Flow, Server, Stimulus};
use crate::settings::Settings;
use lockstep_engine::KindSet;
use lockstep_traces::{Reads, Role};

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

    /// Returns the events of these numbers that matter.
    pub(super) fn among(
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
