//! Votes and pre-votes (paper, sections 5.2 and 5.4.1; thesis, section 9.6).

use super::{ServerStep, TransitionProperty, rule};
use crate::message::{Body, Message, Position};
use crate::properties::membership::{is_decided, is_quorum};
use lockstep_traces::Role;

pub(super) const ALL: &[TransitionProperty] = &[
    rule!(
        "up_to_date_vote_step",
        "\"the voter denies its vote if its own log is more up-to-date than that of the candidate. [..] \
         If the logs have last entries with different terms, then the log with the later term is more \
         up-to-date. If the logs end with the same term, then whichever log is longer is more \
         up-to-date\" (paper, section 5.4.1)",
        is_asked => |it: &ServerStep<'_>| !grants(it) || is_up_to_date(it)
    ),
    rule!(
        "free_vote_step",
        "\"if votedFor is null or candidateId\" the vote may be granted (paper, figure 2); a pre-vote for \
         a later term is no vote (thesis, section 9.6)",
        is_asked => |it: &ServerStep<'_>| !grants(it) || is_free(it)
    ),
    rule!(
        "vote_against_leader_step",
        "a server that knows the leader of its term gives no vote of that term away (etcd's raft, Step): \
         the election is over",
        is_asked => |it: &ServerStep<'_>| !grants(it) || !is_over(it)
    ),
    rule!(
        "vote_given_step",
        "\"if votedFor is null or candidateId, and candidate's log is at least as up-to-date as \
         receiver's log, grant vote\" (paper, figure 2), also a pre-vote (thesis, section 9.6)",
        is_asked => |it: &ServerStep<'_>| {
            !is_up_to_date(it) || !is_free(it) || is_over(it) || grants(it)
        }
    ),
    rule!(
        "vote_recorded_step",
        "votedFor: \"candidateId that received vote in current term (or null if none)\" (paper, figure \
         2), there before the answer leaves; a pre-vote leaves it alone (thesis, section 9.6)",
        is_asked => is_recorded
    ),
    rule!(
        "vote_answer_step",
        "a request for a vote has one answer, at the term of the server that answers; a pre-vote is \
         granted at the term asked for (thesis, section 9.6)",
        is_asked => answers
    ),
    rule!(
        "vote_counted_step",
        "a (pre-)candidate counts the first answer of each server to its own request, and nothing else \
         (paper, section 5.2)",
        is_answered => counts
    ),
    rule!(
        "elected_step",
        "\"a candidate wins an election if it receives votes from a majority of the servers in the full \
         cluster for the same term\" (paper, section 5.2)",
        wins => |it: &ServerStep<'_>| {
            it.i.is_alone() && !it.settings.is_async
                || decided_by_itself(it, Role::Candidate)
                || decided_by(it, Role::Candidate, &Body::RequestVoteResponse { granted: true })
        }
    ),
    rule!(
        "pre_elected_step",
        "a pre-candidate enters a new term only when a majority would vote for it (thesis, section 9.6)",
        pre_wins => |it: &ServerStep<'_>| {
            let grant = Body::RequestPreVoteResponse { granted: true };
            decided_by_itself(it, Role::PreCandidate) || decided_by(it, Role::PreCandidate, &grant)
        }
    ),
];

/// The request for a (pre-)vote that the server has to answer.
fn request<'a>(it: &ServerStep<'a>) -> Option<(&'a Message, Position, bool)> {
    let m = it.current().filter(|_| !it.refused_by_lease())?;
    match m.body {
        Body::RequestVote { last, .. } => Some((m, last, false)),
        Body::RequestPreVote { last } => Some((m, last, true)),
        _ => None,
    }
}

fn is_asked(it: &ServerStep<'_>) -> bool {
    request(it).is_some()
}

fn grants(it: &ServerStep<'_>) -> bool {
    it.sent().iter().any(|m| {
        matches!(
            m.body,
            Body::RequestVoteResponse { granted: true }
                | Body::RequestPreVoteResponse { granted: true }
        )
    })
}

fn is_up_to_date(it: &ServerStep<'_>) -> bool {
    let own = it.i.log.last();
    request(it).is_some_and(|(_, last, _)| {
        last.term > own.term || last.term == own.term && last.index >= own.index
    })
}

fn is_free(it: &ServerStep<'_>) -> bool {
    request(it).is_some_and(|(m, ..)| {
        m.term > it.i.term || it.i.vote.is_none() || it.i.vote == Some(m.from)
    })
}

/// Whether the server knows the leader of the term asked for, and did not vote for the server that asks.
fn is_over(it: &ServerStep<'_>) -> bool {
    request(it).is_some_and(|(m, ..)| {
        m.term == it.i.term && it.i.leader.is_some() && it.i.vote != Some(m.from)
    })
}

fn is_recorded(it: &ServerStep<'_>) -> bool {
    request(it).is_none_or(|(m, _, pre)| {
        let kept = it.i.vote.filter(|_| it.next.term == it.i.term);
        match grants(it) && !pre {
            true => (it.next.term, it.next.vote) == (m.term, Some(m.from)),
            false => it.next.vote == kept,
        }
    })
}

fn answers(it: &ServerStep<'_>) -> bool {
    request(it).is_none_or(|(m, _, pre)| {
        let granted = grants(it);
        let term = if granted { m.term } else { it.next.term };
        let body = match pre {
            true => Body::RequestPreVoteResponse { granted },
            false => Body::RequestVoteResponse { granted },
        };
        it.sends([(m.from, term, body)])
    })
}

/// The answer to a request for a (pre-)vote, if it is none that makes the server follow its term: whether it
/// grants, and whether the server waits for it.
fn answer<'a>(it: &ServerStep<'a>) -> Option<(&'a Message, bool, bool)> {
    let m = it.current()?;
    let (granted, wanted) = match m.body {
        Body::RequestVoteResponse { granted } => (granted, Role::Candidate),
        Body::RequestPreVoteResponse { granted } => (granted, Role::PreCandidate),
        _ => return None,
    };
    let raises = m.term > it.i.term && !(granted && wanted == Role::PreCandidate);
    (!raises).then_some((m, granted, wanted == it.i.role))
}

fn is_answered(it: &ServerStep<'_>) -> bool {
    answer(it).is_some()
}

fn counts(it: &ServerStep<'_>) -> bool {
    answer(it).is_none_or(|(m, granted, waited_for)| {
        let (i, next) = (it.i, it.next);
        if !waited_for {
            return i == next;
        }
        let (mut yes, mut no) = (i.granted, i.refused);
        if !yes.contains(m.from) && !no.contains(m.from) {
            if granted { &mut yes } else { &mut no }.insert(m.from);
        }
        let own_vote_waits = i.role == Role::Candidate && !i.granted.contains(i.id);
        let decided = is_decided(i.configuration, yes, no)
            && !(own_vote_waits && is_quorum(i.configuration, yes));
        match decided {
            true => i.role != next.role,
            false => {
                (i.role, i.term, i.vote, yes, no)
                    == (next.role, next.term, next.vote, next.granted, next.refused)
            }
        }
    })
}

fn wins(it: &ServerStep<'_>) -> bool {
    it.i.role != Role::Leader && it.next.role == Role::Leader
}

fn pre_wins(it: &ServerStep<'_>) -> bool {
    it.i.role == Role::PreCandidate && it.next.role == Role::Candidate
}

/// Whether a server in this role has just heard its own vote, which is durable now and makes a majority.
fn decided_by_itself(it: &ServerStep<'_>, role: Role) -> bool {
    let mut granted = it.i.granted;
    granted.insert(it.i.id);
    let own = it.persisted().is_some_and(|append| {
        append.responses.iter().any(|m| {
            let vote = match m.body {
                Body::RequestVoteResponse { .. } => Role::Candidate,
                Body::RequestPreVoteResponse { .. } => Role::PreCandidate,
                _ => return false,
            };
            m.to == it.i.id && vote == role && m.term >= it.i.term
        })
    });
    own && it.i.role == role && it.i.configuration.is_quorum(granted)
}

/// Whether a server in this role has just been given what makes a majority.
fn decided_by(it: &ServerStep<'_>, role: Role, grant: &Body) -> bool {
    it.current().is_some_and(|m| {
        let mut granted = it.i.granted;
        granted.insert(m.from);
        let own_vote_waits = role == Role::Candidate && !it.i.granted.contains(it.i.id);
        it.i.role == role
            && !own_vote_waits
            && m.body == *grant
            && (m.term == it.i.term || role == Role::PreCandidate)
            && is_quorum(it.i.configuration, granted)
    })
}
