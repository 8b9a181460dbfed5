//! Parts of states and steps that properties ask for.

use super::super::Code;
use super::super::components::CodeState;
use super::super::configuration;
use super::super::log::LogView;
use super::super::node::Node;
use super::super::server_of;
use lockstep_model::Action;
use lockstep_traces::{Body, Message, Role, ServerId, Storage};
use std::collections::BTreeSet;

/// A server before and after a step.
pub(super) type Move<'a> = (&'a Node, &'a Node);

/// Whether storage is asynchronous.
pub(super) fn is_async(code: &Code<'_>) -> bool {
    code.config().storage == Storage::Async
}

/// The log that a server works with.
pub(super) fn log(i: &Node) -> LogView<'_> {
    LogView::of(&i.view)
}

pub(super) fn leaders(state: &CodeState) -> impl Iterator<Item = &Node> {
    state.servers.iter().filter(|i| i.view.role == Role::Leader)
}

pub(super) fn pairs(state: &CodeState) -> impl Iterator<Item = (&Node, &Node)> {
    let servers = &state.servers;
    let after = move |(slot, a): (usize, _)| servers[slot + 1..].iter().map(move |b| (a, b));
    servers.iter().enumerate().flat_map(after)
}

/// The server that moves, before and after.
pub(super) fn moved<'a>(
    before: &'a CodeState,
    action: &Action,
    after: &'a CodeState,
) -> Option<Move<'a>> {
    let slot = match action {
        Action::Deliver(at) => before.network[*at as usize].to.get() as usize - 1,
        other => usize::from(server_of(other)?.get()) - 1,
    };
    Some((before.servers.get(slot)?, after.servers.get(slot)?))
}

/// The message that is delivered.
pub(super) fn delivered<'a>(before: &'a CodeState, action: &Action) -> Option<&'a Message> {
    match action {
        Action::Deliver(at) => Some(&before.network[*at as usize]),
        _ => None,
    }
}

/// Returns the messages that the server that moved sent: those that are new in the network, which is sorted.
pub(super) fn sent<'a>(
    before: &'a CodeState,
    action: &Action,
    after: &'a CodeState,
) -> impl Iterator<Item = &'a Message> {
    let gone = match action {
        Action::Deliver(at) => Some(*at as usize),
        _ => None,
    };
    let old = before.network.iter().enumerate();
    let old = old.filter(move |(at, _)| Some(*at) != gone).map(|(_, m)| m);
    let mut old = old.peekable();
    let network = matches!(action, Action::Duplicate(_) | Action::Drop(_));
    let new = after
        .network
        .iter()
        .filter(move |m| old.next_if(|it| it == m).is_none());
    new.filter(move |_| !network).map(|m| &**m)
}

/// The messages that the server that moved sent, or handed over to leave when an append is durable.
pub(super) fn given<'a>(
    before: &'a CodeState,
    action: &Action,
    after: &'a CodeState,
) -> impl Iterator<Item = &'a Message> {
    let new = moved(before, action, after)
        .into_iter()
        .flat_map(|(i, next)| {
            let appends = next.view.appends.iter().skip(i.view.appends.len());
            appends.flat_map(|append| &append.responses)
        });
    sent(before, action, after).chain(new)
}

/// The number of outstanding appends that a crash with a restart keeps; `None` if the action is no crash.
pub(super) fn restart(action: &Action) -> Option<usize> {
    match action {
        Action::Restart(_) => Some(0),
        Action::RestartKeeping(_, kept) => Some(usize::from(*kept)),
        _ => None,
    }
}

/// The server that moves, before and after, unless it crashes and may lose something.
pub(super) fn goes_on<'a>(
    code: &Code<'_>,
    before: &'a CodeState,
    action: &Action,
    after: &'a CodeState,
) -> Option<Move<'a>> {
    let loses = is_async(code) && restart(action).is_some();
    moved(before, action, after).filter(|_| !loses)
}

/// A server that leads the same term before and after.
pub(super) fn still_leads<'a>(
    before: &'a CodeState,
    action: &Action,
    after: &'a CodeState,
) -> Option<Move<'a>> {
    moved(before, action, after).filter(|(i, next)| {
        i.view.role == Role::Leader
            && next.view.role == Role::Leader
            && i.view.term == next.view.term
    })
}

pub(super) fn commits_as_leader<'a>(
    before: &'a CodeState,
    action: &Action,
    after: &'a CodeState,
) -> Option<Move<'a>> {
    moved(before, action, after)
        .filter(|(i, next)| next.view.role == Role::Leader && next.view.commit > i.view.commit)
}

/// Whether a server is a quorum by itself.
pub(super) fn is_alone(code: &Code<'_>, i: &Node) -> bool {
    let alone: BTreeSet<ServerId> = [i.id].into();
    configuration::is_quorum(&configuration::of(code, &i.view), &alone)
}

pub(super) fn is_vote_request(m: &Message) -> bool {
    matches!(
        m.body,
        Body::RequestVote { .. } | Body::RequestPreVote { .. }
    )
}

pub(super) fn is_vote_response(m: &Message) -> bool {
    matches!(
        m.body,
        Body::RequestVoteResponse { .. } | Body::RequestPreVoteResponse { .. }
    )
}

/// Whether the message gives a vote.
pub(super) fn is_grant(m: &Message) -> bool {
    matches!(m.body, Body::RequestVoteResponse { granted: true })
}
