//! The values that break a property.
//!
//! Nothing here knows what a property says. One value of the step is exchanged for another one, and the property
//! is asked again: if it holds now, that value is one of those that break it, and the other one shows what would
//! not. So this works for every property, and cannot say anything untrue of one.

use super::Judge;
use crate::words;
use lockstep_model::properties::Taken;
use lockstep_traces::{
    Body, Entry, Index, Input, Message, NodeView, Payload, PeerView, ProgressState, RejectHint,
    Role, ServerId, Term,
};
use serde::Serialize;
use std::collections::BTreeSet;

/// A value that breaks a property.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Cause {
    /// The place: a field of a server before or after the step, the message that is delivered, what is sent.
    pub what: String,
    /// The value there.
    pub value: String,
    /// A value with which the property holds, everything else being equal; `None` if this is only all that the
    /// step did.
    pub holds_with: Option<String>,
}

/// One value exchanged for another one.
struct Exchange {
    what: String,
    value: String,
    other: String,
    taken: Taken,
}

/// The values of a step that break the property.
pub(super) fn causes(judge: &Judge, taken: &Taken) -> Vec<Cause> {
    let consistent = judge.is_consistent(taken);
    let holds = |taken: &Taken| {
        (!consistent || judge.is_consistent(taken)) && judge.holds(taken) == Some(true)
    };
    let mut found = mended(result(judge, taken), &holds);
    if found.is_empty() {
        found = together(taken, &holds);
    }
    if !judge.is_of_states() {
        found.extend(mended(given(taken), &holds));
    }
    if found.iter().all(|it| it.holds_with.is_none()) {
        found.splice(0..0, all_that_changed(taken));
    }
    found
}

/// The first exchange at each place with which the property holds.
fn mended(exchanges: Vec<Exchange>, holds: &impl Fn(&Taken) -> bool) -> Vec<Cause> {
    let mut found: Vec<Cause> = Vec::new();
    for exchange in exchanges {
        let known = found.iter().any(|it| it.what == exchange.what);
        if !known && holds(&exchange.taken) {
            found.push(Cause {
                what: exchange.what,
                value: exchange.value,
                holds_with: Some(exchange.other),
            });
        }
    }
    found
}

/// The smallest part of what the step changed without which the property holds, if no single value is one.
fn together(taken: &Taken, holds: &impl Fn(&Taken) -> bool) -> Vec<Cause> {
    let slot = taken.server.get() as usize - 1;
    let (before, after) = (&taken.before[slot], &taken.after[slot]);
    let differs = |field: &&Field| (field.show)(before) != (field.show)(after);
    let mut undone: Vec<&Field> = FIELDS.iter().filter(differs).collect();
    let mut silent = !taken.sent.is_empty();
    let state = |fields: &[&Field], silent: bool| {
        let mut taken = taken.clone();
        for field in fields {
            (field.copy)(&mut taken.after[slot], before);
        }
        if silent {
            taken.sent.clear();
        }
        taken
    };
    if !holds(&state(&undone, silent)) {
        return Vec::new();
    }
    for field in undone.clone() {
        let fewer: Vec<_> = undone
            .iter()
            .filter(|it| it.name != field.name)
            .copied()
            .collect();
        if holds(&state(&fewer, silent)) {
            undone = fewer;
        }
    }
    silent = silent && !holds(&state(&undone, false));
    let mut found: Vec<Cause> = Vec::new();
    for field in &undone {
        found.push(Cause {
            what: format!("server {}, {} after the step", taken.server, field.name),
            value: (field.show)(after),
            holds_with: Some((field.show)(before)),
        });
    }
    if silent {
        found.push(Cause {
            what: "sent".to_owned(),
            value: list(&taken.sent),
            holds_with: Some("nothing".to_owned()),
        });
    }
    if found.len() > 1 {
        for cause in &mut found {
            let all = cause.holds_with.take().unwrap_or_default();
            cause.holds_with = Some(format!("{all} (all of these together)"));
        }
    }
    found
}

/// Everything that the step did: what breaks the property is that it did no more.
fn all_that_changed(taken: &Taken) -> Vec<Cause> {
    let slot = taken.server.get() as usize - 1;
    let (before, after) = (&taken.before[slot], &taken.after[slot]);
    let differs = |field: &&Field| (field.show)(before) != (field.show)(after);
    let changed = FIELDS.iter().filter(differs).map(|field| Cause {
        what: format!("server {}, {} after the step", taken.server, field.name),
        value: (field.show)(after),
        holds_with: None,
    });
    let sent = Cause {
        what: "sent".to_owned(),
        value: list(&taken.sent),
        holds_with: None,
    };
    changed.chain([sent]).collect()
}

fn list(messages: &[Message]) -> String {
    match messages {
        [] => "nothing".to_owned(),
        messages => {
            let messages: Vec<_> = messages.iter().map(words::message).collect();
            messages.join("; ")
        }
    }
}

/// A field of a server.
struct Field {
    name: &'static str,
    show: fn(&NodeView) -> String,
    copy: fn(&mut NodeView, &NodeView),
}

/// The fields in which a step can change a server. What is durable goes with them where it was the same.
const FIELDS: [Field; 8] = [
    Field {
        name: "role",
        show: |view| words::role(view.role),
        copy: |view, from| set_role(view, from.role, from),
    },
    Field {
        name: "term",
        show: |view| view.term.to_string(),
        copy: |view, from| set_term(view, from.term),
    },
    Field {
        name: "vote",
        show: |view| words::server(view.vote),
        copy: |view, from| set_vote(view, from.vote),
    },
    Field {
        name: "leader",
        show: |view| words::server(view.leader),
        copy: |view, from| view.leader = from.leader,
    },
    Field {
        name: "lease",
        show: |view| words::live(view.lease),
        copy: |view, from| view.lease = from.lease,
    },
    Field {
        name: "log",
        show: |view| words::log(&view.log),
        copy: |view, from| set_log(view, from.log.clone()),
    },
    Field {
        name: "commit",
        show: |view| view.commit.to_string(),
        copy: |view, from| set_commit(view, from.commit),
    },
    Field {
        name: "votes",
        show: |view| words::votes(&view.votes),
        copy: |view, from| view.votes.clone_from(&from.votes),
    },
];

/// A role brings along what only that role has.
fn set_role(view: &mut NodeView, role: Role, from: &NodeView) {
    view.role = role;
    if role != Role::Leader {
        view.peers.clear();
    } else if !from.peers.is_empty() {
        view.peers.clone_from(&from.peers);
    }
    if role != Role::Follower {
        view.lease = false;
    }
    if matches!(role, Role::PreCandidate | Role::Candidate) {
        view.leader = None;
        view.votes.clone_from(&from.votes);
    } else {
        view.votes.clear();
    }
    if role == from.role {
        view.leader = from.leader;
    } else if role == Role::Follower && view.leader == view.vote {
        view.leader = None;
    }
}

fn set_term(view: &mut NodeView, term: Term) {
    if view.durable.term == view.term {
        view.durable.term = term;
    }
    view.term = term;
}

fn set_vote(view: &mut NodeView, vote: Option<ServerId>) {
    if view.durable.vote == view.vote {
        view.durable.vote = vote;
    }
    view.vote = vote;
}

fn set_log(view: &mut NodeView, log: Vec<Entry>) {
    if view.durable.log == view.log {
        view.durable.log.clone_from(&log);
    }
    view.log = log;
}

fn set_commit(view: &mut NodeView, commit: Index) {
    if view.durable.commit == view.commit {
        view.durable.commit = commit;
    }
    if view.applied == view.commit {
        view.applied = commit;
    }
    view.commit = commit;
}

/// The exchanges of one step, as they are gathered.
struct Exchanges<'a> {
    taken: &'a Taken,
    list: Vec<Exchange>,
}

impl Exchanges<'_> {
    /// Exchanges one value, unless the other one is the same.
    fn add(&mut self, what: &str, value: String, other: String, change: impl FnOnce(&mut Taken)) {
        if value == other {
            return;
        }
        let mut taken = self.taken.clone();
        change(&mut taken);
        self.list.push(Exchange {
            what: what.to_owned(),
            value,
            other,
            taken,
        });
    }
}

/// Exchanges in the result of a step: the servers afterwards, what was sent, and what happened so far.
fn result(judge: &Judge, taken: &Taken) -> Vec<Exchange> {
    let mut all = Exchanges {
        taken,
        list: Vec::new(),
    };
    let moved = taken.server.get() as usize - 1;
    let of_states = judge.is_of_states();
    server(
        &mut all,
        moved,
        &|taken| &mut taken.after,
        if of_states { "" } else { " after the step" },
    );
    sent(&mut all);
    if of_states {
        for slot in (0..taken.after.len()).filter(|slot| *slot != moved) {
            server(&mut all, slot, &|taken| &mut taken.after, "");
        }
        history(&mut all);
    }
    all.list
}

/// Exchanges in what the step was given: the server before it, and the message.
fn given(taken: &Taken) -> Vec<Exchange> {
    let mut all = Exchanges {
        taken,
        list: Vec::new(),
    };
    let moved = taken.server.get() as usize - 1;
    server(
        &mut all,
        moved,
        &|taken| &mut taken.before,
        " before the step",
    );
    if let Input::Deliver(message) = &taken.input {
        for other in near(message) {
            let value = words::message(message);
            all.add("delivered", value, words::message(&other), |taken| {
                let flying = taken.in_flight.iter_mut().find(|it| *it == message);
                flying.into_iter().for_each(|it| it.clone_from(&other));
                taken.input = Input::Deliver(other.clone());
            });
        }
    }
    all.list
}

type Views = dyn Fn(&mut Taken) -> &mut Vec<NodeView>;

/// Exchanges in one server: first for what was before the step, then for what is near.
fn server(all: &mut Exchanges<'_>, slot: usize, views: &Views, when: &str) {
    let mut own = all.taken.clone();
    let view = views(&mut own)[slot].clone();
    let before = all.taken.before[slot].clone();
    let ids: Vec<ServerId> = (1..=all.taken.after.len() as u64)
        .filter_map(ServerId::new)
        .collect();
    let name = |field: &str| format!("server {}, {field}{when}", slot + 1);
    let mut put = |field: &str, other: NodeView, show: &dyn Fn(&NodeView) -> String| {
        let (value, new) = (show(&view), show(&other));
        all.add(&name(field), value, new, |taken| views(taken)[slot] = other);
    };
    for field in &FIELDS {
        let mut other = view.clone();
        (field.copy)(&mut other, &before);
        put(field.name, other, &field.show);
    }
    let mut change = |field: usize, change: &dyn Fn(&mut NodeView)| {
        let mut other = view.clone();
        change(&mut other);
        put(FIELDS[field].name, other, &FIELDS[field].show);
    };
    let (last, id) = (view.log.len() as u64, ids.get(slot).copied());
    for role in [Role::Follower, Role::PreCandidate, Role::Candidate] {
        change(0, &|other| {
            set_role(other, role, &view);
            if matches!(role, Role::PreCandidate | Role::Candidate) && other.votes.is_empty() {
                other.votes.extend(id.map(|id| (id, true)));
            }
        });
    }
    for term in [view.term.0.saturating_sub(1), view.term.0 + 1] {
        change(1, &|other| set_term(other, Term(term)));
    }
    for server in [None].into_iter().chain(ids.iter().copied().map(Some)) {
        change(2, &|other| set_vote(other, server));
        change(3, &|other| other.leader = server);
    }
    change(4, &|other| other.lease = !view.lease);
    for other in &all_logs(all_views(&own), &view) {
        change(5, &|it| set_log(it, other.clone()));
    }
    for commit in lately(last).rev() {
        change(6, &|other| set_commit(other, Index(commit)));
    }
    for id in &ids {
        change(7, &|other| {
            if other.votes.remove(id).is_none() {
                other.votes.insert(*id, true);
            }
        });
        change(7, &|other| {
            let answer = other.votes.get(id).is_none_or(|granted| *granted);
            other.votes.insert(*id, !answer);
        });
    }
    for (id, peer) in &view.peers {
        let old = before.peers.get(id);
        for (field, other) in peers(peer, old, last, view.commit) {
            let mut changed = view.clone();
            changed.peers.insert(*id, other);
            put(&format!("peer {id}, {field}"), changed, &|view| {
                view.peers
                    .get(id)
                    .map_or_else(String::new, |peer| peer_field(peer, field))
            });
        }
    }
}

/// The number of positions at the end of a log that are tried: a long one has too many.
const LATELY: usize = 16;

/// The last positions up to that one.
fn lately(last: u64) -> std::ops::RangeInclusive<u64> {
    last.saturating_sub(LATELY as u64)..=last
}

fn all_views(taken: &Taken) -> impl Iterator<Item = &NodeView> {
    taken.before.iter().chain(&taken.after)
}

/// Logs that stand elsewhere, and those that are one entry longer or shorter.
fn all_logs<'a>(views: impl Iterator<Item = &'a NodeView>, own: &NodeView) -> BTreeSet<Vec<Entry>> {
    let mut logs: BTreeSet<Vec<Entry>> = views.map(|view| view.log.clone()).collect();
    for len in lately(own.log.len() as u64).map(|len| len as usize) {
        if len == own.log.len() {
            continue;
        }
        logs.insert(own.log[..len].to_vec());
        let mut other = own.log.clone();
        other[len].term = own.term;
        logs.insert(other);
    }
    let mut longer = own.log.clone();
    longer.push(Entry {
        term: own.term,
        payload: Payload::Empty,
    });
    logs.insert(longer);
    logs
}

/// Other values of what a leader knows of a peer, each with the name of its field.
fn peers(
    peer: &PeerView,
    old: Option<&PeerView>,
    last: u64,
    commit: Index,
) -> Vec<(&'static str, PeerView)> {
    let mut all = Vec::new();
    let mut put = |field, change: &dyn Fn(&mut PeerView)| {
        let mut other = peer.clone();
        change(&mut other);
        all.push((field, other));
    };
    if let Some(old) = old {
        put("match", &|it| it.matched = old.matched);
        put("next", &|it| it.next = old.next);
        put("state", &|it| it.state = old.state);
        put("commit sent", &|it| it.commit_sent = old.commit_sent);
        put("inflight", &|it| it.inflight.clone_from(&old.inflight));
    }
    for index in lately(last) {
        put("match", &|it| it.matched = Index(index));
        put("next", &|it| it.next = Index(index + 1));
    }
    for index in lately(commit.0) {
        put("commit sent", &|it| it.commit_sent = Index(index));
    }
    for state in [ProgressState::Probe, ProgressState::Replicate] {
        put("state", &|it| it.state = state);
    }
    put("paused", &|it| it.paused = !it.paused);
    put("active", &|it| it.recent_active = !it.recent_active);
    put("inflight", &|it| it.inflight.clear());
    for index in lately(last) {
        put("inflight", &|it| it.inflight.push(Index(index)));
        put("inflight", &|it| {
            it.inflight.retain(|other| other.0 > index)
        });
    }
    all
}

fn peer_field(peer: &PeerView, field: &str) -> String {
    match field {
        "match" => peer.matched.to_string(),
        "next" => peer.next.to_string(),
        "state" => format!("{:?}", peer.state),
        "commit sent" => peer.commit_sent.to_string(),
        "paused" => yes(peer.paused),
        "active" => yes(peer.recent_active),
        _ => {
            let inflight: Vec<_> = peer.inflight.iter().map(ToString::to_string).collect();
            format!("[{}]", inflight.join(" "))
        }
    }
}

fn yes(holds: bool) -> String {
    if holds { "yes" } else { "no" }.to_owned()
}

/// Exchanges in what was sent: each message left out or another one, and one more to each server.
fn sent(all: &mut Exchanges<'_>) {
    let taken = all.taken;
    for (position, message) in taken.sent.iter().enumerate() {
        let what = format!("sent to {}", message.to);
        let value = words::message(message);
        all.add(&what, value.clone(), "nothing".to_owned(), |taken| {
            taken.sent.remove(position);
        });
        for other in near(message) {
            all.add(&what, value.clone(), words::message(&other), |taken| {
                taken.sent[position] = other.clone();
            });
        }
    }
    let moved = &taken.after[taken.server.get() as usize - 1];
    for to in (1..=taken.after.len() as u64).filter_map(ServerId::new) {
        if to == taken.server {
            continue;
        }
        let what = format!("sent to {to}");
        let old: Vec<Message> = taken
            .sent
            .iter()
            .filter(|it| it.to == to)
            .cloned()
            .collect();
        for body in bodies(moved) {
            let more = Message {
                from: taken.server,
                to,
                term: moved.term,
                body,
            };
            let new = [old.as_slice(), std::slice::from_ref(&more)].concat();
            all.add(&what, list(&old), list(&new), |taken| taken.sent.push(more));
        }
    }
}

/// Returns the messages that a server can be expected to send, by its state.
fn bodies(view: &NodeView) -> Vec<Body> {
    let last_index = Index(view.log.len() as u64);
    let last_term = view.log.last().map_or(Term(0), |entry| entry.term);
    let mut all = vec![
        Body::RequestVoteResponse { granted: true },
        Body::RequestVoteResponse { granted: false },
        Body::RequestPreVoteResponse { granted: true },
        Body::RequestPreVoteResponse { granted: false },
        Body::HeartbeatResponse,
        Body::RequestVote {
            last_index,
            last_term,
            transfer: false,
        },
    ];
    for index in lately(last_index.0) {
        all.push(Body::AppendEntriesResponse {
            index: Index(index),
            rejected: None,
        });
        all.push(Body::Heartbeat {
            commit: Index(index),
            round: 0,
        });
        let prev = index
            .checked_sub(1)
            .and_then(|slot| view.log.get(slot as usize));
        all.push(Body::AppendEntries {
            prev_index: Index(index),
            prev_term: prev.map_or(Term(0), |entry| entry.term),
            entries: view.log[index as usize..].to_vec(),
            commit: view.commit,
        });
    }
    all
}

/// Messages that differ in one number or answer.
fn near(message: &Message) -> Vec<Message> {
    let mut all = Vec::new();
    for term in [message.term.0.saturating_sub(1), message.term.0 + 1] {
        all.push(Message {
            term: Term(term),
            ..message.clone()
        });
    }
    let around = |index: Index| {
        [
            Index(index.0.saturating_sub(1)),
            Index(index.0 + 1),
            Index(0),
        ]
    };
    let mut put = |body: Body| {
        all.push(Message {
            body,
            ..message.clone()
        });
    };
    match &message.body {
        Body::RequestVoteResponse { granted } => {
            put(Body::RequestVoteResponse { granted: !granted });
        }
        Body::RequestPreVoteResponse { granted } => {
            put(Body::RequestPreVoteResponse { granted: !granted });
        }
        Body::RequestVote {
            last_index,
            last_term,
            transfer,
        } => {
            let transfer = *transfer;
            for last_index in around(*last_index) {
                let last_term = *last_term;
                put(Body::RequestVote {
                    last_index,
                    last_term,
                    transfer,
                });
            }
            for term in [last_term.0.saturating_sub(1), last_term.0 + 1] {
                put(Body::RequestVote {
                    last_index: *last_index,
                    last_term: Term(term),
                    transfer,
                });
            }
        }
        Body::TransferLeader { .. }
        | Body::TimeoutNow
        | Body::Propose { .. }
        | Body::InstallSnapshot { .. } => {}
        Body::RequestPreVote {
            last_index,
            last_term,
        } => {
            for last_index in around(*last_index) {
                let last_term = *last_term;
                put(Body::RequestPreVote {
                    last_index,
                    last_term,
                });
            }
            for term in [last_term.0.saturating_sub(1), last_term.0 + 1] {
                put(Body::RequestPreVote {
                    last_index: *last_index,
                    last_term: Term(term),
                });
            }
        }
        Body::AppendEntries {
            prev_index,
            prev_term,
            entries,
            commit,
        } => {
            let body = |prev_index, prev_term, entries: &[Entry], commit| Body::AppendEntries {
                prev_index,
                prev_term,
                entries: entries.to_vec(),
                commit,
            };
            for commit in around(*commit) {
                put(body(*prev_index, *prev_term, entries, commit));
            }
            for len in (0..entries.len()).rev().take(LATELY) {
                put(body(*prev_index, *prev_term, &entries[..len], *commit));
            }
            for index in around(*prev_index) {
                put(body(index, *prev_term, entries, *commit));
            }
            for term in [prev_term.0.saturating_sub(1), prev_term.0 + 1] {
                put(body(*prev_index, Term(term), entries, *commit));
            }
        }
        Body::AppendEntriesResponse { index, rejected } => {
            for index in around(*index) {
                let rejected = *rejected;
                put(Body::AppendEntriesResponse { index, rejected });
            }
            match rejected {
                None => put(Body::AppendEntriesResponse {
                    index: *index,
                    rejected: Some(RejectHint {
                        index: Index(index.0.saturating_sub(1)),
                        term: Term(0),
                    }),
                }),
                Some(hint) => {
                    put(Body::AppendEntriesResponse {
                        index: *index,
                        rejected: None,
                    });
                    for at in around(hint.index) {
                        put(Body::AppendEntriesResponse {
                            index: *index,
                            rejected: Some(RejectHint {
                                index: at,
                                term: hint.term,
                            }),
                        });
                    }
                }
            }
        }
        Body::Heartbeat { commit, round } => {
            for commit in around(*commit) {
                let round = *round;
                put(Body::Heartbeat { commit, round });
            }
            for round in [round.saturating_sub(1), round + 1] {
                let commit = *commit;
                put(Body::Heartbeat { commit, round });
            }
        }
        Body::RoundResponse { round } => {
            for round in [round.saturating_sub(1).max(1), round + 1] {
                put(Body::RoundResponse { round });
            }
        }
        Body::ReadIndexResponse { context, index } => {
            for index in around(*index) {
                let context = *context;
                put(Body::ReadIndexResponse { context, index });
            }
        }
        Body::ReadIndex { .. } => {}
        Body::HeartbeatResponse => {}
    }
    all
}

/// Exchanges in what happened before: who has led a term, and when an index was committed.
fn history(all: &mut Exchanges<'_>) {
    let taken = all.taken;
    let name = |leaders: &BTreeSet<ServerId>| {
        let leaders: Vec<_> = leaders.iter().map(|id| format!("server {id}")).collect();
        leaders.join(" and ")
    };
    for (term, leaders) in &taken.leaders {
        for leader in leaders.iter().filter(|_| leaders.len() > 1) {
            let mut fewer = leaders.clone();
            fewer.remove(leader);
            let what = format!("leaders of term {term} so far");
            all.add(&what, name(leaders), name(&fewer), |taken| {
                taken.leaders.insert(*term, fewer.clone());
            });
        }
    }
    for (slot, term) in taken.committed_in.iter().enumerate().rev().take(LATELY) {
        let what = format!("the term in which index {} was committed", slot + 1);
        let later = Term(term.0 + 1);
        all.add(&what, term.to_string(), later.to_string(), |taken| {
            taken.committed_in[slot] = later;
        });
    }
}
