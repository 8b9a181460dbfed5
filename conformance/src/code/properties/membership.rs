//! Configurations, and the quorums of elections and commits in the configuration that governs them (paper, section 6;
//! thesis, chapter 4).

use super::super::components::CodeState;
use super::super::log::LogView;
use super::super::node::Node;
use super::super::{Code, configuration};
use super::moves::{Move, commits_as_leader, delivered, is_grant, log, moved};
use super::{Property, state, step};
use lockstep_model::Action;
use lockstep_traces::{Body, Index, Message, Role, ServerId};
use std::collections::BTreeSet;

pub(super) const ALL: &[Property] = &[
    state(
        "configuration_inv",
        "\"cluster configurations are stored and communicated using special entries in the replicated log\" (paper, \
         section 6): the configuration in use is the one at first with all changes that are applied, in order, or that of \
         the snapshot that the log begins with and the changes behind it",
        |code, state| {
            let mut servers = state.servers.iter();
            !code.config().may_change()
                || servers.all(|i| i.view.configuration == applied_configuration(code, i))
        },
        |code, state| {
            let first = configuration::first(code);
            let mut servers = state.servers.iter();
            code.config().may_change() && servers.any(|i| i.view.configuration != first)
        },
    ),
    step(
        "elected_by_quorum_step",
        "\"a candidate wins an election if it receives votes from a majority of the servers in the full cluster for the \
         same term\" (paper, section 5.2), counted in the configuration that it uses",
        |code, before, action, after| {
            elected(before, action, after).is_none_or(|(i, next)| {
                let granted = i.view.votes.iter().filter(|(_, granted)| **granted);
                let mut voters: BTreeSet<ServerId> = granted.map(|(id, _)| *id).collect();
                let vote = delivered(before, action);
                let vote = vote.filter(|m| is_grant(m) && m.term == next.view.term);
                voters.extend(vote.map(|m| m.from));
                voters.insert(i.id);
                configuration::is_quorum(&configuration::of(code, &i.view), &voters)
            })
        },
        |_, before, action, after| elected(before, action, after).is_some(),
    ),
    step(
        "committed_by_quorum_step",
        "\"if there exists an N such that N > commitIndex, a majority of matchIndex[i] >= N\" (paper, figure 2), a majority \
         of each half of the configuration that governs the entry (section 6), and itself only with what it has stored",
        |code, before, action, after| {
            commits_as_leader(before, action, after).is_none_or(|(i, next)| {
                let Index(commit) = next.view.commit;
                let holders = holders((i, next), delivered(before, action), commit);
                let from = configuration::of(code, &i.view);
                let applied = i.view.applied.0;
                let mut governing =
                    configuration::along(log(next), from, (applied, commit)).into_iter();
                governing.any(|it| configuration::is_quorum(&it, &holders))
            })
        },
        |_, before, action, after| commits_as_leader(before, action, after).is_some(),
    ),
];

/// The configuration that the applied entries make, from the snapshot on if there is one.
fn applied_configuration(code: &Code<'_>, i: &Node) -> lockstep_traces::Configuration {
    let first = match log(i).snapshot() {
        Some(snapshot) => snapshot.configuration.clone(),
        None => configuration::first(code),
    };
    let applied = (log(i).base(), i.view.applied.0);
    let along = configuration::along(log(i), first.clone(), applied);
    along.last().cloned().unwrap_or(first)
}

/// A server that becomes leader.
fn elected<'a>(before: &'a CodeState, action: &Action, after: &'a CodeState) -> Option<Move<'a>> {
    moved(before, action, after).filter(|(i, next)| {
        let (old, new) = (&i.view, &next.view);
        new.role == Role::Leader && (old.role != Role::Leader || old.term != new.term)
    })
}

/// The servers that a leader knows to have an entry, itself among them if it is on its stable storage.
fn holders((i, next): Move<'_>, m: Option<&Message>, index: u64) -> BTreeSet<ServerId> {
    let leads = i.view.role == Role::Leader && i.view.term == next.view.term;
    let before = i.view.peers.iter().filter(|_| leads);
    let known = before.chain(&next.view.peers);
    let known = known.filter(|(_, peer)| peer.matched.0 >= index);
    let mut holders: BTreeSet<ServerId> = known.map(|(id, _)| *id).collect();
    // Who was removed by what it acknowledged is known no more.
    holders.extend(
        m.filter(|m| m.term == next.view.term)
            .and_then(|m| match m.body {
                Body::AppendEntriesResponse {
                    index: acknowledged,
                    rejected: None,
                } if acknowledged.0 >= index => Some(m.from),
                _ => None,
            }),
    );
    let term = log(next).term_at(index);
    if term.is_some_and(|term| LogView::durable(&next.view).has(index, term)) {
        holders.insert(next.id);
    }
    holders
}
