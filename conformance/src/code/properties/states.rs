//! Properties of states.

use super::super::components::{CodeState, gauge};
use super::super::log::{LogView, last_common_term, same_entries};
use super::super::node::Node;
use super::moves::{is_async, leaders, log, pairs};
use super::{Property, state};
use lockstep_traces::{Index, NodeView, Role, Term};

pub(super) const ALL: &[Property] = &[
    state(
        "well_formed_inv",
        "\"applied\" and \"committed\" are positions in the log, no entry is newer than its server's term (paper, \
         figure 2), and a snapshot is of what is committed (section 7)",
        |_, state| state.servers.iter().all(well_formed),
        |_, _| true,
    ),
    state(
        "persistent_inv",
        "currentTerm, votedFor and log[] are \"updated on stable storage before responding to RPCs\" (paper, figure \
         2): with atomic storage, after every input",
        |code, state| is_async(code) || state.servers.iter().all(|i| persistent(&i.view)),
        |code, state| !is_async(code) && state.servers.iter().any(|i| i.view.term > Term(0)),
    ),
    state(
        "election_safety_inv",
        "\"at most one leader can be elected in a given term\" (paper, figure 3), counting leaders that have crashed \
         since, and a server that leads a term once more after a crash",
        |_, state| {
            let mut leaders = state.history.leaders.iter();
            state.history.led_twice.is_none() && leaders.all(|(_, led)| led.count_ones() <= 1)
        },
        |_, state| !state.history.leaders.is_empty(),
    ),
    state(
        "log_matching_inv",
        "\"if two logs contain an entry with the same index and term, then the logs are identical in all entries up \
         through the given index\" (paper, figure 3), as far as both show them",
        |_, state| {
            pairs(state).all(|(a, b)| match last_common_term(log(a), log(b)) {
                Some(index) => same_entries(log(a), log(b), index),
                None => true,
            })
        },
        |_, state| pairs(state).any(|(a, b)| last_common_term(log(a), log(b)).is_some()),
    ),
    state(
        "leader_completeness_inv",
        "\"if a log entry is committed in a given term, then that entry will be present in the logs of the leaders \
         for all higher-numbered terms\" (paper, figure 3), or their snapshot stands for it",
        |_, state| {
            leaders(state).all(|leader| {
                let mut earlier = (1..)
                    .zip(&state.history.committed)
                    .filter(|(_, (_, term))| *term < leader.view.term);
                earlier.all(|(index, (entry, _))| log(leader).agrees(index, entry))
            })
        },
        |_, state| {
            let first = state.history.committed.first();
            leaders(state).any(|leader| first.is_some_and(|(_, term)| *term < leader.view.term))
        },
    ),
    state(
        "state_machine_safety_inv",
        "\"if a server has applied a log entry at a given index to its state machine, no other server will ever apply \
         a different log entry for the same index\" (paper, figure 3)",
        |_, state| {
            state.servers.iter().all(|i| {
                let mut committed = log(i).entries(1..=i.view.commit.0);
                committed.all(|(index, entry)| {
                    let first = state.history.committed_at(index);
                    first.is_none_or(|first| first == entry)
                })
            })
        },
        |_, state| {
            let committed = state.servers.iter().filter(|i| i.view.commit > Index(0));
            committed.count() > 1
        },
    ),
    state(
        "committed_on_quorum_inv",
        "\"a log entry is committed once the leader that created the entry has replicated it on a majority of the \
         servers\" (paper, section 5.3), durably, and for good as long as these stay the same; where they change, \
         committed_by_quorum_step says when",
        |code, state| {
            code.config().may_change()
                || state.servers.iter().all(|i| {
                    let Index(commit) = i.view.commit;
                    let holders = state.servers.iter().filter(|j| holds(i, j, commit));
                    commit == 0 || 2 * holders.count() > state.servers.len()
                })
        },
        |code, state| {
            !code.config().may_change() && state.servers.iter().any(|i| i.view.commit > Index(0))
        },
    ),
    state(
        "match_is_replicated_inv",
        "matchIndex: \"index of highest log entry known to be replicated on server\" (paper, figure 2), as long as \
         that server has seen no higher term; durable there",
        |_, state| {
            leaders(state).all(|leader| {
                let mut others = state
                    .servers
                    .iter()
                    .filter(|j| j.view.term <= leader.view.term && j.id != leader.id);
                let matched = |j: &Node| leader.view.peers.get(&j.id).map_or(0, |it| it.matched.0);
                others.all(|j| {
                    let logs = [LogView::of(&j.view), LogView::durable(&j.view)];
                    logs.iter()
                        .all(|it| is_replicated(log(leader), *it, matched(j)))
                })
            })
        },
        |_, state| {
            let mut peers = leaders(state).flat_map(|leader| leader.view.peers.values());
            peers.any(|peer| peer.matched > Index(0))
        },
    ),
    state(
        "message_terms_inv",
        "\"current terms are exchanged whenever servers communicate\" (paper, section 5.1): a message carries at most \
         its sender's term; a pre-vote request at most one more, and its grant at most one more than the term of the \
         server that asked (thesis, section 9.6). With asynchronous storage a request leaves before the term is \
         durable, and a crash may take that back",
        |code, state| is_async(code) || message_terms(state),
        |code, state| !is_async(code) && !state.network.is_empty(),
    ),
];

fn well_formed(i: &Node) -> bool {
    let (view, log) = (&i.view, log(i));
    let first = log.snapshot().map_or(Term(0), |snapshot| snapshot.term);
    view.applied <= view.commit
        && (log.base()..=log.last_index()).contains(&view.commit.0)
        && log.last().0 <= view.term
        && view.log.iter().all(|entry| entry.term >= first)
        && view.log.is_sorted_by_key(|entry| entry.term)
        && (view.role != Role::Leader || view.leader == Some(i.id))
}

fn persistent(view: &NodeView) -> bool {
    let durable = &view.durable;
    (view.term, view.vote) == (durable.term, durable.vote)
        && LogView::of(view) == LogView::durable(view)
        && durable.commit <= view.commit
}

/// Whether a server has the entry on stable storage that another one has committed at this index.
fn holds(i: &Node, j: &Node, commit: u64) -> bool {
    let stored = LogView::durable(&j.view);
    match (log(i).entry(commit), log(i).term_at(commit)) {
        (Some(entry), _) => stored.agrees(commit, entry),
        // The term stands for the entry behind a snapshot.
        (None, Some(term)) => stored.has(commit, term),
        (None, None) => false,
    }
}

/// Whether a log has what a leader has up to an index.
fn is_replicated(leader: LogView<'_>, log: LogView<'_>, matched: u64) -> bool {
    match (leader.entry(matched), leader.term_at(matched)) {
        _ if matched == 0 => true,
        (Some(entry), _) => log.agrees(matched, entry),
        (None, Some(term)) => log.has(matched, term),
        // What the leader's snapshot hides cannot be compared.
        (None, None) => matched < leader.base() && matched <= log.last_index(),
    }
}

fn message_terms(state: &CodeState) -> bool {
    state.network.iter().all(|m| {
        let (id, more) = gauge(m);
        let server = state.servers.get(id.get() as usize - 1);
        server.is_none_or(|i| m.term.0 <= i.view.term.0.saturating_add(more))
    })
}
