//! The properties of the paper, on what an implementation shows of itself.
//!
//! They know nothing of the specification: where it says what a server does, they say what no server may do.

use super::Code;
use super::components::{CodeState, gauge};
use super::node::Node;
use lockstep_engine::{Antecedent, StepProperty};
use lockstep_model::Action;
use lockstep_traces::{Body, Entry, Index, Message, Role, Term};
use stateright::Property as Stateright;

type OnState = fn(&Code<'_>, &CodeState) -> bool;
type OnStep = fn(&Code<'_>, &CodeState, &Action, &CodeState) -> bool;

/// A property of an implementation.
#[derive(Clone, Copy)]
pub struct Property {
    /// `..._inv` of states, `..._step` of steps.
    pub name: &'static str,
    /// Its statement, with the source.
    pub source: &'static str,
    kind: PropertyOf,
}

impl Property {
    /// Whether it is about single states, so that what was before does not matter.
    pub fn is_of_states(&self) -> bool {
        matches!(self.kind, PropertyOf::State { .. })
    }

    /// Whether a step has it, or the state after the step.
    pub(crate) fn holds(
        &self,
        code: &Code<'_>,
        before: &CodeState,
        action: &Action,
        after: &CodeState,
    ) -> bool {
        match self.kind {
            PropertyOf::State { holds, .. } => holds(code, after),
            PropertyOf::Step { holds, .. } => holds(code, before, action, after),
        }
    }

    /// Whether a step, or the state after it, puts it to the test.
    pub(crate) fn says(
        &self,
        code: &Code<'_>,
        before: &CodeState,
        action: &Action,
        after: &CodeState,
    ) -> bool {
        match self.kind {
            PropertyOf::State { says, .. } => says(code, after),
            PropertyOf::Step { says, .. } => says(code, before, action, after),
        }
    }
}

#[derive(Clone, Copy)]
enum PropertyOf {
    State { holds: OnState, says: OnState },
    Step { holds: OnStep, says: OnStep },
}

const fn state(
    name: &'static str,
    source: &'static str,
    holds: OnState,
    says: OnState,
) -> Property {
    let kind = PropertyOf::State { holds, says };
    Property { name, source, kind }
}

const fn step(name: &'static str, source: &'static str, holds: OnStep, says: OnStep) -> Property {
    let kind = PropertyOf::Step { holds, says };
    Property { name, source, kind }
}

/// The property that an implementation handles every input.
pub const DOES_NOT_FAIL: &str = "does_not_fail_step";

/// Every property: those of states and those of steps, in the order in which they are looked at.
pub const ALL: &[Property] = &[
    state(
        "well_formed_inv",
        "\"applied\" and \"committed\" are positions in the log, no entry is newer than its server's term (paper, \
         figure 2)",
        |_, state| state.servers.iter().all(well_formed),
        |_, _| true,
    ),
    state(
        "persistent_inv",
        "currentTerm, votedFor and log[] are \"updated on stable storage before responding to RPCs\" (paper, figure \
         2): with atomic storage, after every input",
        |_, state| state.servers.iter().all(persistent),
        |_, state| state.servers.iter().any(|i| i.view.term > Term(0)),
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
         through the given index\" (paper, figure 3)",
        |_, state| {
            pairs(state).all(|(a, b)| match last_common_term(a, b) {
                Some(index) => a.view.log[..index] == b.view.log[..index],
                None => true,
            })
        },
        |_, state| pairs(state).any(|(a, b)| last_common_term(a, b).is_some()),
    ),
    state(
        "leader_completeness_inv",
        "\"if a log entry is committed in a given term, then that entry will be present in the logs of the leaders \
         for all higher-numbered terms\" (paper, figure 3)",
        |_, state| {
            leaders(state).all(|leader| {
                let earlier = state.history.committed.iter().enumerate();
                let mut earlier = earlier.filter(|(_, (_, term))| *term < leader.view.term);
                earlier.all(|(slot, (entry, _))| leader.view.log.get(slot) == Some(entry))
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
                let committed = i.view.log.iter().take(position(i.view.commit));
                let first = state.history.committed.iter();
                committed
                    .zip(first)
                    .all(|(entry, (first, _))| entry == first)
            })
        },
        |_, state| {
            state
                .servers
                .iter()
                .filter(|i| i.view.commit > Index(0))
                .count()
                > 1
        },
    ),
    state(
        "committed_on_quorum_inv",
        "\"a log entry is committed once the leader that created the entry has replicated it on a majority of the \
         servers\" (paper, section 5.3), durably",
        |_, state| {
            state.servers.iter().all(|i| {
                let commit = position(i.view.commit);
                let entry = |log: &[Entry]| {
                    commit
                        .checked_sub(1)
                        .and_then(|slot| log.get(slot).cloned())
                };
                let mine = entry(&i.view.log);
                let holders = state
                    .servers
                    .iter()
                    .filter(|j| entry(&j.view.durable.log) == mine);
                commit == 0 || 2 * holders.count() > state.servers.len()
            })
        },
        |_, state| state.servers.iter().any(|i| i.view.commit > Index(0)),
    ),
    state(
        "match_is_replicated_inv",
        "matchIndex: \"index of highest log entry known to be replicated on server\" (paper, figure 2), as long as \
         that server has seen no higher term",
        |_, state| {
            leaders(state).all(|leader| {
                let others = state
                    .servers
                    .iter()
                    .filter(|j| j.view.term <= leader.view.term);
                others.filter(|j| j.id != leader.id).all(|j| {
                    let matched = leader
                        .view
                        .peers
                        .get(&j.id)
                        .map_or(0, |peer| position(peer.matched));
                    let up_to = matched.checked_sub(1);
                    up_to.is_none_or(|slot| {
                        leader.view.log.get(slot).is_some()
                            && leader.view.log.get(slot) == j.view.log.get(slot)
                    })
                })
            })
        },
        |_, state| {
            leaders(state).any(|leader| {
                leader
                    .view
                    .peers
                    .values()
                    .any(|peer| peer.matched > Index(0))
            })
        },
    ),
    state(
        "message_terms_inv",
        "\"current terms are exchanged whenever servers communicate\" (paper, section 5.1): a message carries at most \
         its sender's term; a pre-vote request at most one more, and its grant at most one more than the term of the \
         server that asked (thesis, section 9.6)",
        |_, state| {
            state.network.iter().all(|m| {
                let (id, more) = gauge(m);
                let server = state.servers.get(id.get() as usize - 1);
                server.is_none_or(|i| m.term.0 <= i.view.term.0.saturating_add(more))
            })
        },
        |_, state| !state.network.is_empty(),
    ),
    step(
        DOES_NOT_FAIL,
        "an implementation handles every input that a correct cluster can give it: no panic, no error of its own; and its \
         application is handed the entries between the old and the new applied index, each once and in order",
        |_, before, action, after| {
            moved(before, action, after).is_none_or(|(_, next)| !next.is_broken())
        },
        |_, _, _, _| true,
    ),
    step(
        "term_monotonic_step",
        "currentTerm: \"latest term server has seen (initialized to 0 on first boot, increases monotonically)\" \
         (paper, figure 2), also over a restart",
        |_, before, action, after| {
            moved(before, action, after).is_none_or(|(i, next)| next.view.term >= i.view.term)
        },
        |_, before, action, after| {
            moved(before, action, after).is_some_and(|(i, next)| next.view.term != i.view.term)
        },
    ),
    step(
        "commit_monotonic_step",
        "commitIndex: \"index of highest log entry known to be committed (initialized to 0, increases monotonically)\" \
         (paper, figure 2); what is applied is never applied again",
        |_, before, action, after| {
            moved(before, action, after).is_none_or(|(i, next)| {
                (next.view.commit, next.view.applied) >= (i.view.commit, i.view.applied)
                    && next.view.applied >= i.view.applied
            })
        },
        |_, before, action, after| {
            moved(before, action, after).is_some_and(|(i, next)| next.view.commit != i.view.commit)
        },
    ),
    step(
        "committed_entries_step",
        "State Machine Safety over time: what a server has applied stays in its log (paper, figure 3 and section 5.4.3)",
        |_, before, action, after| {
            moved(before, action, after)
                .is_none_or(|(i, next)| keeps(i, next, position(i.view.commit)))
        },
        |_, before, action, after| {
            moved(before, action, after)
                .is_some_and(|(i, next)| i.view.commit > Index(0) && next.view.log != i.view.log)
        },
    ),
    step(
        "leader_append_only_step",
        "\"a leader never overwrites or deletes entries in its log; it only appends new entries\" (paper, figure 3)",
        |_, before, action, after| {
            still_leads(before, action, after)
                .is_none_or(|(i, next)| keeps(i, next, i.view.log.len()))
        },
        |_, before, action, after| {
            still_leads(before, action, after).is_some_and(|(i, next)| next.view.log != i.view.log)
        },
    ),
    step(
        "current_term_commit_step",
        "\"only log entries from the leader's current term are committed by counting replicas\" (paper, section 5.4.2)",
        |_, before, action, after| {
            commits_as_leader(before, action, after).is_none_or(|(_, next)| {
                let last = position(next.view.commit).checked_sub(1);
                last.and_then(|slot| next.view.log.get(slot))
                    .is_some_and(|entry| entry.term == next.view.term)
            })
        },
        |_, before, action, after| commits_as_leader(before, action, after).is_some(),
    ),
    step(
        "one_vote_per_term_step",
        "\"each server will vote for at most one candidate in a given term\" (paper, section 5.2), also over a restart",
        |_, before, action, after| {
            moved(before, action, after).is_none_or(|(i, next)| {
                next.view.term != i.view.term
                    || i.view.vote.is_none()
                    || next.view.vote == i.view.vote
            })
        },
        |_, before, action, after| {
            moved(before, action, after).is_some_and(|(i, _)| i.view.vote.is_some())
                && delivered(before, action).is_some_and(is_vote_request)
        },
    ),
    step(
        "up_to_date_vote_step",
        "\"the voter denies its vote if its own log is more up-to-date than that of the candidate\" (paper, section \
         5.4.1)",
        |_, before, action, after| {
            votes_for(before, action, after).is_none_or(|(i, m)| match m.body {
                Body::RequestVote {
                    last_index,
                    last_term,
                    transfer: _,
                } => (last_term, last_index) >= last(i),
                _ => true,
            })
        },
        |_, before, action, after| {
            votes_for(before, action, after).is_some_and(|(i, _)| !i.view.log.is_empty())
        },
    ),
    step(
        "pre_vote_step",
        "a pre-vote changes nobody's term or vote: the server that asks \"only increments its term\" once a majority \
         would vote for it (thesis, section 9.6)",
        |code, before, action, after| {
            moves_by_pre_vote(code, before, action, after).is_none_or(|(i, next)| {
                (i.view.term, i.view.vote) == (next.view.term, next.view.vote)
            })
        },
        |code, before, action, after| moves_by_pre_vote(code, before, action, after).is_some(),
    ),
    step(
        "lease_step",
        "\"if a server receives a RequestVote request within the minimum election timeout of hearing from a current \
         leader, it does not update its term or grant its vote\" (thesis, section 4.2.3)",
        |_, before, action, after| {
            asked_in_lease(before, action, after).is_none_or(|(i, next)| {
                (i.view.term, i.view.vote) == (next.view.term, next.view.vote)
                    && sent(before, action, after).all(|m| !is_vote_response(m))
            })
        },
        |_, before, action, after| asked_in_lease(before, action, after).is_some(),
    ),
    step(
        "check_quorum_step",
        "\"a leader steps down if an election timeout elapses without a successful round of heartbeats to a majority \
         of its cluster\" (thesis, section 6.2)",
        |code, before, action, after| {
            finds_no_quorum(code, before, action, after)
                .is_none_or(|(_, next)| next.view.role == Role::Follower)
        },
        |code, before, action, after| finds_no_quorum(code, before, action, after).is_some(),
    ),
    step(
        "restart_step",
        "currentTerm, votedFor and log[] are \"updated on stable storage before responding to RPCs\" (paper, figure \
         2): a restart keeps them, and is silent",
        |_, before, action, after| {
            restarted(before, action, after).is_none_or(|(i, next)| {
                (i.view.term, i.view.vote, &i.view.log)
                    == (next.view.term, next.view.vote, &next.view.log)
                    && next.view.role == Role::Follower
                    && sent(before, action, after).count() == 0
            })
        },
        |_, before, action, after| restarted(before, action, after).is_some(),
    ),
    step(
        "acknowledged_is_stored_step",
        "a follower answers an append once the entries are on stable storage (paper, figure 2 and section 5.3)",
        |_, before, action, after| {
            moved(before, action, after).is_none_or(|(_, next)| {
                sent(before, action, after).all(|m| match m.body {
                    Body::AppendEntriesResponse {
                        index,
                        rejected: None,
                    } => position(index) <= next.view.durable.log.len(),
                    _ => true,
                })
            })
        },
        |_, before, action, after| {
            sent(before, action, after).any(|m| {
                matches!(m.body, Body::AppendEntriesResponse { rejected: None, index } if index > Index(0))
            })
        },
    ),
];

/// The properties of states, for the engine.
pub(super) fn states<'a>() -> Vec<Stateright<Code<'a>>> {
    let states = ALL.iter().filter_map(|property| match property.kind {
        PropertyOf::State { holds, .. } => Some(Stateright::always(property.name, as_state(holds))),
        PropertyOf::Step { .. } => None,
    });
    states.collect()
}

/// The properties of steps, for the engine.
pub(super) fn steps<'a>() -> Vec<StepProperty<Code<'a>>> {
    let steps = ALL.iter().filter_map(|property| match property.kind {
        PropertyOf::Step { holds, .. } => Some(StepProperty::new(
            property.name,
            move |code: &Code<'a>, before: &CodeState, action: &Action, after: &CodeState| {
                holds(code, before, action, after)
            },
        )),
        PropertyOf::State { .. } => None,
    });
    steps.collect()
}

/// The cases in which the properties say anything, for the engine.
pub(super) fn antecedents<'a>() -> Vec<Antecedent<Code<'a>>> {
    let all = ALL.iter().map(|property| match property.kind {
        PropertyOf::State { says, .. } => {
            Antecedent::state(property.name, move |code: &Code<'a>, state: &CodeState| {
                says(code, state)
            })
        }
        PropertyOf::Step { says, .. } => Antecedent::step(
            property.name,
            move |code: &Code<'a>, before: &CodeState, action: &Action, after: &CodeState| {
                says(code, before, action, after)
            },
        ),
    });
    all.collect()
}

// Conditions hold whatever the lifetime of the code; the engine asks for those of one.
fn as_state<'a>(condition: OnState) -> fn(&Code<'a>, &CodeState) -> bool {
    condition
}

/// The names of messages.
pub(super) const BODIES: [&str; 15] = [
    "RequestVote",
    "RequestVoteResponse",
    "RequestPreVote",
    "RequestPreVoteResponse",
    "AppendEntries",
    "AppendEntriesResponse",
    "Heartbeat",
    "HeartbeatResponse",
    "TimeoutNow",
    "TransferLeader",
    "Propose",
    "InstallSnapshot",
    "RoundResponse",
    "ReadIndex",
    "ReadIndexResponse",
];

pub(super) fn number_of(body: &Body) -> usize {
    match body {
        Body::RequestVote { .. } => 0,
        Body::RequestVoteResponse { .. } => 1,
        Body::RequestPreVote { .. } => 2,
        Body::RequestPreVoteResponse { .. } => 3,
        Body::AppendEntries { .. } => 4,
        Body::AppendEntriesResponse { .. } => 5,
        Body::Heartbeat { .. } => 6,
        Body::HeartbeatResponse => 7,
        Body::TimeoutNow => 8,
        Body::TransferLeader { .. } => 9,
        Body::Propose { .. } => 10,
        Body::InstallSnapshot { .. } => 11,
        Body::RoundResponse { .. } => 12,
        Body::ReadIndex { .. } => 13,
        Body::ReadIndexResponse { .. } => 14,
    }
}

type Move<'a> = (&'a Node, &'a Node);

/// A length of the log that an index stands for.
fn position(index: Index) -> usize {
    usize::try_from(index.0).unwrap_or(usize::MAX)
}

fn leaders(state: &CodeState) -> impl Iterator<Item = &Node> {
    state.servers.iter().filter(|i| i.view.role == Role::Leader)
}

fn pairs(state: &CodeState) -> impl Iterator<Item = (&Node, &Node)> {
    let servers = &state.servers;
    let after = move |(slot, a): (usize, _)| servers[slot + 1..].iter().map(move |b| (a, b));
    servers.iter().enumerate().flat_map(after)
}

/// The length up to the last index at which two logs have an entry of the same term.
fn last_common_term(a: &Node, b: &Node) -> Option<usize> {
    let mut both = a.view.log.iter().zip(&b.view.log);
    both.rposition(|(a, b)| a.term == b.term)
        .map(|slot| slot + 1)
}

fn well_formed(i: &Node) -> bool {
    let view = &i.view;
    view.applied <= view.commit
        && position(view.commit) <= view.log.len()
        && view.log.iter().all(|entry| entry.term <= view.term)
        && view.log.is_sorted_by_key(|entry| entry.term)
        && (view.role != Role::Leader || view.leader == Some(i.id))
}

fn persistent(i: &Node) -> bool {
    let (view, durable) = (&i.view, &i.view.durable);
    (view.term, view.vote, &view.log) == (durable.term, durable.vote, &durable.log)
        && durable.commit <= view.commit
}

/// The server that moves, before and after.
fn moved<'a>(before: &'a CodeState, action: &Action, after: &'a CodeState) -> Option<Move<'a>> {
    let slot = match action {
        Action::Duplicate(_) | Action::Drop(_) => return None,
        Action::Deliver(at) => before.network[*at as usize].to.get() as usize - 1,
        Action::Timeout(i)
        | Action::LeaseExpire(i)
        | Action::Heartbeat(i)
        | Action::CheckQuorum(i)
        | Action::Propose(i)
        | Action::Restart(i)
        | Action::ProposeConfChange(i)
        | Action::ProposeOtherConfChange(i)
        | Action::ForgetLeader(i)
        | Action::Compact(i)
        | Action::Persist(i)
        | Action::Apply(i)
        | Action::ReadIndex(i)
        | Action::ReadOtherIndex(i)
        | Action::RestartKeeping(i, _)
        | Action::TransferLeadership(i, _)
        | Action::ReportUnreachable(i, _)
        | Action::ReportSnapshot(i, _, _) => usize::from(i.get()) - 1,
    };
    Some((before.servers.get(slot)?, after.servers.get(slot)?))
}

/// The message that is delivered.
fn delivered<'a>(before: &'a CodeState, action: &Action) -> Option<&'a Message> {
    match action {
        Action::Deliver(at) => Some(&before.network[*at as usize]),
        _ => None,
    }
}

/// Returns the messages that the server that moved sent: those that are new in the network, which is sorted.
fn sent<'a>(
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

fn is_vote_request(m: &Message) -> bool {
    matches!(
        m.body,
        Body::RequestVote { .. } | Body::RequestPreVote { .. }
    )
}

fn is_vote_response(m: &Message) -> bool {
    matches!(
        m.body,
        Body::RequestVoteResponse { .. } | Body::RequestPreVoteResponse { .. }
    )
}

/// The last entry's term and index.
fn last(i: &Node) -> (Term, Index) {
    let term = i.view.log.last().map_or(Term(0), |entry| entry.term);
    (term, Index(i.view.log.len() as u64))
}

fn keeps(i: &Node, next: &Node, up_to: usize) -> bool {
    let (old, new) = (&i.view.log, &next.view.log);
    let up_to = up_to.min(old.len());
    new.len() >= up_to && old[..up_to] == new[..up_to]
}

fn still_leads<'a>(
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

fn commits_as_leader<'a>(
    before: &'a CodeState,
    action: &Action,
    after: &'a CodeState,
) -> Option<Move<'a>> {
    moved(before, action, after)
        .filter(|(i, next)| next.view.role == Role::Leader && next.view.commit > i.view.commit)
}

/// A server that grants a vote, as it was before, and the request.
fn votes_for<'a>(
    before: &'a CodeState,
    action: &Action,
    after: &'a CodeState,
) -> Option<(&'a Node, &'a Message)> {
    let m = delivered(before, action)?;
    let (i, _) = moved(before, action, after)?;
    let grants = |m: &Message| matches!(m.body, Body::RequestVoteResponse { granted: true });
    let asks = matches!(m.body, Body::RequestVote { .. });
    (asks && sent(before, action, after).any(grants)).then_some((i, m))
}

fn moves_by_pre_vote<'a>(
    code: &Code<'_>,
    before: &'a CodeState,
    action: &Action,
    after: &'a CodeState,
) -> Option<Move<'a>> {
    // Alone in its cluster, a server wins at once.
    let starts =
        matches!(action, Action::Timeout(_)) && code.config().pre_vote && code.config().servers > 1;
    let asked =
        delivered(before, action).is_some_and(|m| matches!(m.body, Body::RequestPreVote { .. }));
    moved(before, action, after).filter(|_| starts || asked)
}

/// A server in the lease of a leader that is asked for a (pre-)vote of a higher term.
fn asked_in_lease<'a>(
    before: &'a CodeState,
    action: &Action,
    after: &'a CodeState,
) -> Option<Move<'a>> {
    // The request of a transferee is past leases: its leader asked for it (thesis, section 4.2.3).
    let transfer = |m: &Message| matches!(m.body, Body::RequestVote { transfer: true, .. });
    let m = delivered(before, action).filter(|m| is_vote_request(m) && !transfer(m))?;
    moved(before, action, after).filter(|(i, _)| m.term > i.view.term && i.view.lease)
}

/// A leader at its quorum check that has heard from too few.
fn finds_no_quorum<'a>(
    code: &Code<'_>,
    before: &'a CodeState,
    action: &Action,
    after: &'a CodeState,
) -> Option<Move<'a>> {
    let checks = matches!(action, Action::CheckQuorum(_)) && code.config().check_quorum;
    moved(before, action, after).filter(|(i, _)| {
        let active = i
            .view
            .peers
            .values()
            .filter(|peer| peer.recent_active)
            .count();
        checks && i.view.role == Role::Leader && 2 * (active + 1) <= before.servers.len()
    })
}

fn restarted<'a>(before: &'a CodeState, action: &Action, after: &'a CodeState) -> Option<Move<'a>> {
    moved(before, action, after).filter(|_| matches!(action, Action::Restart(_)))
}
