//! Properties of transitions.

use super::membership::{is_quorum, members_throughout};
use super::{ServerStep, TransitionProperty};
use crate::cluster::Action;
use crate::ids::{Id, IdSet};
use crate::message::{Body, Message};
use crate::server::{Log, Server};
use lockstep_traces::Role;

pub(super) const ALL: &[TransitionProperty] = &[
    TransitionProperty {
        name: "term_monotonic_step",
        source: "currentTerm: \"latest term server has seen (initialized to 0 on first boot, increases \
                 monotonically)\" (paper, figure 2), also over a restart; a crash may lose a term that was not durable",
        holds: |it| goes_on(it).is_none_or(|(i, next)| next.term >= i.term),
        antecedent: |it| it.moved().is_some_and(|(i, next)| next.term != i.term),
    },
    TransitionProperty {
        name: "commit_monotonic_step",
        source: "commitIndex: \"index of highest log entry known to be committed (initialized to 0, \
                 increases monotonically)\" (paper, figure 2); a restart may lower it to what was durable, \
                 which with atomic storage is all of it",
        holds: |it| goes_on(it).is_none_or(|(i, next)| next.commit >= i.commit),
        antecedent: |it| it.moved().is_some_and(|(i, next)| next.commit != i.commit),
    },
    TransitionProperty {
        name: "committed_entries_step",
        source: "State Machine Safety over time: what a server has applied stays in its log (paper, \
                 figure 3 and section 5.4.3)",
        holds: |it| {
            it.moved()
                .is_none_or(|(i, next)| match is_crash(i, &it.action) {
                    false => keeps(&i.log, &next.log, i.commit),
                    true => keeps(i.durable_log(), &next.log, i.applied()),
                })
        },
        antecedent: |it| {
            it.moved()
                .is_some_and(|(i, next)| i.commit > 0 && next.log != i.log)
        },
    },
    TransitionProperty {
        name: "leader_append_only_step",
        source: "\"a leader never overwrites or deletes entries in its log; it only appends new \
                 entries\" (paper, figure 3)",
        holds: |it| {
            still_leads(it).is_none_or(|(i, next)| keeps(&i.log, &next.log, i.log.last_index()))
        },
        antecedent: |it| still_leads(it).is_some_and(|(i, next)| next.log != i.log),
    },
    TransitionProperty {
        name: "match_monotonic_step",
        source: "matchIndex: \"index of highest log entry known to be replicated on server (initialized \
                 to 0, increases monotonically)\" (paper, figure 2), as long as the server is a member",
        holds: |it| {
            still_leads(it).is_none_or(|(i, next)| {
                let matched = |i: &Server, j| i.peer(j).map(|peer| peer.matched);
                let applied = i.applied() + 1..=next.applied();
                let stay = members_throughout(next, i.configuration, applied);
                stay.iter().all(|j| matched(i, j) <= matched(next, j))
            })
        },
        antecedent: |it| {
            let acknowledges = |m: &Message| matches!(m.body, Body::AppendEntriesAccepted { .. });
            still_leads(it).is_some() && it.delivered.is_some_and(acknowledges)
        },
    },
    TransitionProperty {
        name: "current_term_commit_step",
        source: "\"only log entries from the leader's current term are committed by counting \
                 replicas\" (paper, section 5.4.2)",
        holds: |it| {
            commits_as_leader(it)
                .is_none_or(|(_, next)| next.log.term_at(next.commit) == Some(next.term))
        },
        antecedent: |it| commits_as_leader(it).is_some(),
    },
    TransitionProperty {
        name: "pre_vote_step",
        source: "a pre-vote changes nobody's term or vote: the server that asks \"only increments its \
                 term\" once a majority would vote for it (thesis, section 9.6)",
        holds: |it| {
            moves_by_pre_vote(it).is_none_or(|(i, next)| (i.term, i.vote) == (next.term, next.vote))
        },
        antecedent: |it| moves_by_pre_vote(it).is_some(),
    },
    TransitionProperty {
        name: "one_vote_per_term_step",
        source: "\"each server will vote for at most one candidate in a given term\" (paper, section \
                 5.2), also over a restart; with asynchronous storage `durable_monotonic_step` says that",
        holds: |it| {
            goes_on(it).is_none_or(|(i, next)| {
                next.term != i.term || i.vote.is_none() || next.vote == i.vote
            })
        },
        antecedent: |it| {
            let asked = matches!(it.delivered, Some(m) if is_vote_request(m));
            it.moved().is_some_and(|(i, _)| i.vote.is_some()) && asked
        },
    },
    TransitionProperty {
        name: "lease_step",
        source: "\"if a server receives a RequestVote request within the minimum election timeout of \
                 hearing from a current leader, it does not update its term or grant its vote\" (thesis, \
                 section 4.2.3); nor does it answer. The request of a transferee is the exception",
        holds: |it| asked_in_lease(it).is_none_or(|(i, next)| i == next && it.left().is_empty()),
        antecedent: |it| asked_in_lease(it).is_some(),
    },
    TransitionProperty {
        name: "check_quorum_step",
        source: "\"a leader steps down if an election timeout elapses without a successful round of \
                 heartbeats to a majority of its cluster\" (thesis, section 6.2)",
        holds: |it| finds_no_quorum(it).is_none_or(|(_, next)| next.role == Role::Follower),
        antecedent: |it| finds_no_quorum(it).is_some(),
    },
    TransitionProperty {
        name: "restart_step",
        source: "currentTerm, votedFor and log[] are \"updated on stable storage before responding to \
                 RPCs\" (paper, figure 2): a restart keeps them and nothing else, and is silent; with asynchronous storage \
                 `crash_step` says what it keeps",
        holds: |it| {
            restarted(it).is_none_or(|(i, next)| {
                if it.settings.is_async {
                    return it.left().is_empty();
                }
                let durable = Server {
                    term: i.term,
                    vote: i.vote,
                    commit: i.commit,
                    log: i.log.clone(),
                    configuration: i.configuration,
                    ..Server::initial(it.settings, i.id)
                };
                *next == durable && it.left().is_empty()
            })
        },
        antecedent: |it| restarted(it).is_some(),
    },
];

type Move<'a> = (&'a Server, &'a Server);

pub(super) fn is_vote_request(m: &Message) -> bool {
    matches!(
        m.body,
        Body::RequestVote { .. } | Body::RequestPreVote { .. }
    )
}

/// Whether a request for a (pre-)vote is ignored in the lease of a leader: not if the leader has asked for it.
pub(super) fn respects_lease(m: &Message) -> bool {
    is_vote_request(m) && !matches!(m.body, Body::RequestVote { transfer: true, .. })
}

/// Whether a server has the entries that it had up to an index, in its log or by a snapshot, which takes nothing back.
fn keeps(log: &Log, next: &Log, up_to: u32) -> bool {
    // Most steps leave the log as it is.
    if log == next {
        return true;
    }
    let (old, new) = (log.snapshot(), next.snapshot());
    // Where both are known the snapshot stands for what was there.
    let stands = new.index > up_to || log.term_at(new.index).is_none_or(|term| term == new.term);
    let mut kept = new.index + 1..=up_to;
    old.index <= new.index
        && stands
        && up_to <= next.last_index()
        && kept.all(|index| log.entry(index) == next.entry(index))
}

/// Whether a server crashes and may lose something.
pub(super) fn is_crash(i: &Server, action: &Action) -> bool {
    let restarts = matches!(action, Action::Restart(_) | Action::RestartKeeping(..));
    i.storage.is_some() && restarts
}

/// The server before and after, unless it crashes and may lose something.
fn goes_on<'a>(it: &ServerStep<'a>) -> Option<Move<'a>> {
    it.moved().filter(|(i, _)| !is_crash(i, &it.action))
}

fn still_leads<'a>(it: &ServerStep<'a>) -> Option<Move<'a>> {
    it.moved().filter(|(i, next)| {
        i.role == Role::Leader && next.role == Role::Leader && i.term == next.term
    })
}

pub(super) fn commits_as_leader<'a>(it: &ServerStep<'a>) -> Option<Move<'a>> {
    let commits = |(i, next): &Move<'a>| next.role == Role::Leader && next.commit > i.commit;
    it.moved().filter(commits)
}

/// A server that asks for pre-votes, or is asked for one. Alone in its configuration, a server wins at once.
fn moves_by_pre_vote<'a>(it: &ServerStep<'a>) -> Option<Move<'a>> {
    let times_out = matches!(it.action, Action::Timeout(_));
    let starts = times_out && it.settings.pre_vote && !it.i.is_alone();
    let asks = |m: &Message| matches!(m.body, Body::RequestPreVote { .. });
    it.moved()
        .filter(|_| starts || it.delivered.is_some_and(asks))
}

/// A server in the lease of a leader, or the leader itself, that is asked for a (pre-)vote of a higher
/// term.
pub(super) fn asked_in_lease<'a>(it: &ServerStep<'a>) -> Option<Move<'a>> {
    let m = it.delivered.filter(|m| respects_lease(m))?;
    it.moved().filter(|(i, _)| {
        let leads = it.settings.check_quorum && i.role == Role::Leader;
        m.term > i.term && (i.lease || leads)
    })
}

/// A leader at its quorum check that has heard from too few.
pub(super) fn finds_no_quorum<'a>(it: &ServerStep<'a>) -> Option<Move<'a>> {
    let checks = matches!(it.action, Action::CheckQuorum(_)) && it.settings.check_quorum;
    it.moved().filter(|(i, _)| {
        checks && i.role == Role::Leader && !is_quorum(i.configuration, heard_from(i))
    })
}

/// Itself, and whom a leader has heard from since its last quorum check.
pub(super) fn heard_from(i: &Server) -> IdSet {
    let active = |j: &Id| i.peer(*j).is_some_and(|peer| peer.recent_active);
    let mut heard = IdSet::EMPTY;
    let active = i.others().filter(active);
    active.chain([i.id]).for_each(|j| heard.insert(j));
    heard
}

fn restarted<'a>(it: &ServerStep<'a>) -> Option<Move<'a>> {
    it.moved().filter(|_| it.restarts())
}
