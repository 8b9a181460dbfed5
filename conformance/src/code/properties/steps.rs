//! Properties of steps: what no server may do, whatever happens to it.

use super::super::Code;
use super::super::components::CodeState;
use super::super::configuration;
use super::super::log::LogView;
use super::super::node::Node;
use super::moves::{
    Move, commits_as_leader, delivered, given, goes_on, is_alone, is_async, is_grant,
    is_vote_request, is_vote_response, log, moved, restart, still_leads,
};
use super::{DOES_NOT_FAIL, Property, step};
use lockstep_model::Action;
use lockstep_traces::{Body, Index, Message, Role, ServerId};
use std::collections::BTreeSet;

pub(super) const ALL: &[Property] = &[
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
         (paper, figure 2), also over a restart; a crash may lose a term that was not durable",
        |code, before, action, after| {
            goes_on(code, before, action, after)
                .is_none_or(|(i, next)| next.view.term >= i.view.term)
        },
        |_, before, action, after| {
            moved(before, action, after).is_some_and(|(i, next)| next.view.term != i.view.term)
        },
    ),
    step(
        "commit_monotonic_step",
        "commitIndex: \"index of highest log entry known to be committed (initialized to 0, increases monotonically)\" \
         (paper, figure 2); what is applied is never applied again, unless a crash loses that it was",
        |code, before, action, after| {
            goes_on(code, before, action, after).is_none_or(|(i, next)| {
                next.view.commit >= i.view.commit && next.view.applied >= i.view.applied
            })
        },
        |_, before, action, after| {
            moved(before, action, after).is_some_and(|(i, next)| next.view.commit != i.view.commit)
        },
    ),
    step(
        "committed_entries_step",
        "State Machine Safety over time: what a server has applied stays in its log (paper, figure 3 and section \
         5.4.3), or a snapshot stands for it",
        |code, before, action, after| {
            moved(before, action, after).is_none_or(|(i, next)| {
                match is_async(code) && restart(action).is_some() {
                    true => LogView::durable(&i.view).is_kept_by(log(next), i.view.applied.0),
                    false => log(i).is_kept_by(log(next), i.view.commit.0),
                }
            })
        },
        |_, before, action, after| {
            moved(before, action, after)
                .is_some_and(|(i, next)| i.view.commit > Index(0) && log(next) != log(i))
        },
    ),
    step(
        "leader_append_only_step",
        "\"a leader never overwrites or deletes entries in its log; it only appends new entries\" (paper, figure 3)",
        |_, before, action, after| {
            still_leads(before, action, after)
                .is_none_or(|(i, next)| log(i).is_kept_by(log(next), log(i).last_index()))
        },
        |_, before, action, after| {
            still_leads(before, action, after).is_some_and(|(i, next)| log(next) != log(i))
        },
    ),
    step(
        "current_term_commit_step",
        "\"only log entries from the leader's current term are committed by counting replicas\" (paper, section 5.4.2)",
        |_, before, action, after| {
            commits_as_leader(before, action, after).is_none_or(|(_, next)| {
                log(next).term_at(next.view.commit.0) == Some(next.view.term)
            })
        },
        |_, before, action, after| commits_as_leader(before, action, after).is_some(),
    ),
    step(
        "one_vote_per_term_step",
        "\"each server will vote for at most one candidate in a given term\" (paper, section 5.2), also over a restart; \
         a crash may lose a vote that was not durable, of which durable_monotonic_step says the same",
        |code, before, action, after| {
            goes_on(code, before, action, after).is_none_or(|(i, next)| {
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
                } => (last_term, last_index) >= log(i).last(),
                _ => true,
            })
        },
        |_, before, action, after| {
            votes_for(before, action, after).is_some_and(|(i, _)| log(i).last_index() > 0)
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
                    && given(before, action, after).all(|m| !is_vote_response(m))
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
];

/// A server that grants a vote, as it was before, and the request.
fn votes_for<'a>(
    before: &'a CodeState,
    action: &Action,
    after: &'a CodeState,
) -> Option<(&'a Node, &'a Message)> {
    let m = delivered(before, action)?;
    let (i, _) = moved(before, action, after)?;
    let asks = matches!(m.body, Body::RequestVote { .. });
    (asks && given(before, action, after).any(is_grant)).then_some((i, m))
}

fn moves_by_pre_vote<'a>(
    code: &Code<'_>,
    before: &'a CodeState,
    action: &Action,
    after: &'a CodeState,
) -> Option<Move<'a>> {
    let times_out = matches!(action, Action::Timeout(_)) && code.config().pre_vote;
    let asked =
        delivered(before, action).is_some_and(|m| matches!(m.body, Body::RequestPreVote { .. }));
    // Alone in its configuration, a server wins at once.
    moved(before, action, after).filter(|(i, _)| asked || times_out && !is_alone(code, i))
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
        let active = i.view.peers.iter().filter(|(_, peer)| peer.recent_active);
        let active: BTreeSet<ServerId> = active.map(|(id, _)| *id).chain([i.id]).collect();
        let of = configuration::of(code, &i.view);
        checks && i.view.role == Role::Leader && !configuration::is_quorum(&of, &active)
    })
}
