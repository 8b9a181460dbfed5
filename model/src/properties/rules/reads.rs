//! Reads without an entry in the log (thesis, section 6.4; etcd's raft, ReadIndex).

use super::{Applied, TransitionProperty, rule};
use crate::cluster::Action;
use crate::ids::{Id, IdSet};
use crate::message::{Body, Message};
use crate::server::{Queue, Request, Server, Unconfirmed};
use lockstep_traces::{Reads, Role};
use std::sync::Arc;

pub(super) const ALL: &[TransitionProperty] = &[
    rule!(
        "read_forwarded_step",
        "a follower that is asked for a read \"could issue a request to the leader that just asks for a current \
         readIndex\" (thesis, section 6.4); who knows no leader answers nothing",
        |it: &Applied<'_>| is_asked(it) && it.i.role != Role::Leader => is_passed_on
    ),
    rule!(
        "read_postponed_step",
        "\"if the leader has not yet marked an entry from its current term committed, it waits until it has done so\" \
         (thesis, section 6.4)",
        |it: &Applied<'_>| asks_leader(it) && !has_committed(it.i) => is_postponed
    ),
    rule!(
        "reads_released_step",
        "\"as soon as\" a leader has committed an entry of its term, the reads that waited for it are answered or \
         begin a round (thesis, section 6.4)",
        |it: &Applied<'_>| commits_first(it) && !queue(it.i).postponed.is_empty() => are_released
    ),
    rule!(
        "read_round_step",
        "\"it issues a new round of heartbeats and waits for their acknowledgments from a majority of the cluster\" \
         (thesis, section 6.4): one to each, with the number of the read",
        |it: &Applied<'_>| is_taken(it) && it.settings.reads == Reads::Safe => begins_round
    ),
    rule!(
        "round_confirmed_step",
        "\"once these acknowledgments are received, the leader knows that there could not have existed a leader for a \
         greater term at the moment it sent the heartbeats\" (thesis, section 6.4): what a quorum has confirmed by answers \
         to its round, or to later ones, is answered with all before it, and nothing else",
        |it: &Applied<'_>| is_answered(it) && it.settings.reads == Reads::Safe => confirms
    ),
    rule!(
        "read_alone_step",
        "a leader that is a quorum by itself answers at once, with its commit index (thesis, section 6.4)",
        |it: &Applied<'_>| asks_leader(it) && has_committed(it.i) && it.i.is_alone() => is_answered_at_once
    ),
    rule!(
        "lease_read_step",
        "\"until the lease expires, the leader will service read-only requests locally\" (thesis, section 6.4.1), and \
         not once it has told a server to campaign, whose request \"other servers\" process \"even when they believe a \
         current cluster leader exists\" (section 4.2.3)",
        |it: &Applied<'_>| is_taken(it) && it.settings.reads == Reads::LeaseBased => answers_by_lease
    ),
    rule!(
        "handed_over_step",
        "a leader that answers by lease remembers for its whole term that it has told a server to campaign (thesis, \
         sections 3.10 and 4.2.3)",
        |it: &Applied<'_>| it.settings.reads == Reads::LeaseBased && it.next.role == Role::Leader => |it: &Applied<'_>| {
            let told = it.sends_some(|m| m.body == Body::TimeoutNow && m.from == it.i.id);
            let before = it.still_leads() && queue(it.i).handed_over;
            queue(it.next).handed_over == (before || told)
        }
    ),
    rule!(
        "read_answered_step",
        "a client is told what its leader has answered, or what the server as leader has made sure of, and nothing else \
         (thesis, section 6.4)",
        answers_something => |it: &Applied<'_>| {
            let explained = is_taken(it)
                || is_answered(it)
                || commits_first(it)
                || asks_leader(it) && has_committed(it.i);
            explained || is_told_by_leader(it) && answers(it) == told(it)
        }
    ),
    rule!(
        "read_response_step",
        "the answer of the leader is handed to the client (thesis, section 6.4), unless the server does not follow it",
        is_told_by_leader => |it: &Applied<'_>| answers(it) == told(it)
    ),
    rule!(
        "reads_kept_step",
        "reads that wait for a commit wait until there is one, whoever leads; those that wait for a round do so as long \
         as the leader leads (etcd's raft)",
        |it: &Applied<'_>| it.i.reads.is_some() => are_kept
    ),
];

/// What waits at a server.
fn queue(i: &Server) -> Queue {
    i.reads.as_deref().cloned().unwrap_or_default()
}

/// The read that a client asks for, here or at the server that passed it on.
fn asked(it: &Applied<'_>) -> Option<Request> {
    let here = |context| {
        Some(Request {
            origin: it.i.id,
            context,
        })
    };
    match (it.action, it.message.map(|m| &m.body)) {
        (Action::ReadIndex(_), _) => here(1),
        (Action::ReadOtherIndex(_), _) => here(2),
        (_, Some(Body::ReadIndex { origin, context })) => Some(Request {
            origin: *origin,
            context: *context,
        }),
        _ => None,
    }
}

fn is_asked(it: &Applied<'_>) -> bool {
    asked(it).is_some()
}

fn asks_leader(it: &Applied<'_>) -> bool {
    is_asked(it) && it.i.role == Role::Leader
}

/// Whether a leader takes up a read that waits for no commit, and is no quorum by itself.
fn is_taken(it: &Applied<'_>) -> bool {
    asks_leader(it) && has_committed(it.i) && !it.i.is_alone()
}

/// Whether a leader has committed an entry of its term.
fn has_committed(i: &Server) -> bool {
    i.log.term_at(i.commit) == Some(i.term)
}

/// Whether a leader commits the first entry of its term.
fn commits_first(it: &Applied<'_>) -> bool {
    let committed = (it.i.commit + 1..=it.next.commit).rev();
    let mut terms = committed.map(|index| it.next.log.term_at(index));
    let new = it.i.role != Role::Leader || it.i.term != it.next.term || !has_committed(it.i);
    it.leads() && new && terms.any(|term| term == Some(it.next.term))
}

/// Everything that is answered in the step: the server whose client it is for, the context and the index.
fn answers(it: &Applied<'_>) -> Vec<(Id, u8, u32)> {
    let here = it.answered.iter();
    let here = here.map(|it| (it.server, it.state.context, it.state.index));
    let mut answers: Vec<_> = here.collect();
    answers.extend(it.sent().into_iter().filter_map(|m| match m.body {
        Body::ReadIndexResponse { context, index } => Some((m.to, context, index)),
        _ => None,
    }));
    answers.sort_unstable();
    answers
}

fn answers_something(it: &Applied<'_>) -> bool {
    let responds = |m: &Message| matches!(m.body, Body::ReadIndexResponse { .. });
    !it.answered.is_empty() || it.sends_some(|m| responds(m) && m.from == it.i.id)
}

fn is_passed_on(it: &Applied<'_>) -> bool {
    let leader = it.i.leader.filter(|_| it.i.role == Role::Follower);
    let passed_on = leader.zip(asked(it)).map(|(leader, request)| {
        let Request { origin, context } = request;
        (leader, 0, Body::ReadIndex { origin, context })
    });
    it.i == it.next && it.answered.is_empty() && it.sends(passed_on)
}

/// The server before the step, with other reads waiting.
fn with(it: &Applied<'_>, reads: Queue) -> Server {
    Server {
        reads: (reads != Queue::default()).then(|| Arc::new(reads)),
        ..it.i.clone()
    }
}

fn is_postponed(it: &Applied<'_>) -> bool {
    let mut reads = queue(it.i);
    reads.postponed.extend(asked(it));
    *it.next == with(it, reads) && it.answered.is_empty() && it.sends([])
}

/// Whether in the step everybody else is sent a heartbeat of this round.
fn beats(it: &Applied<'_>, number: u32) -> bool {
    it.who_stay().all(|j| {
        it.sends_some(|m| {
            matches!(m.body, Body::Heartbeat { round, .. } if round == number) && m.to == j
        })
    })
}

fn begins_round(it: &Applied<'_>) -> bool {
    let mut reads = queue(it.i);
    let mut acks = IdSet::EMPTY;
    acks.insert(it.i.id);
    reads
        .unconfirmed
        .extend(asked(it).map(|request| Unconfirmed {
            request,
            index: it.i.commit,
            acks,
        }));
    let number = reads.confirmed + reads.unconfirmed.len() as u32;
    queue(it.next) == reads
        && answers(it).is_empty()
        && beats(it, number)
        && it.sent().len() == it.others().count()
}

fn are_released(it: &Applied<'_>) -> bool {
    let (old, new) = (queue(it.i), queue(it.next));
    let requests =
        |reads: &[Unconfirmed]| -> Vec<Request> { reads.iter().map(|read| read.request).collect() };
    let of_term = |index: u32| it.next.log.term_at(index) == Some(it.next.term);
    let answered = answers(it);
    let mut asked: Vec<_> = old
        .postponed
        .iter()
        .map(|it| (it.origin, it.context))
        .collect();
    asked.sort_unstable();
    let all_answered = answered
        .iter()
        .map(|(origin, context, _)| (*origin, *context))
        .eq(asked)
        && answered.iter().all(|(.., index)| of_term(*index));
    // A leader that removes itself by what it commits has lost what it began.
    let gone = it.next.role != Role::Leader && answered.is_empty();
    let settled = match it.settings.reads {
        Reads::Safe => {
            let begun = requests(&new.unconfirmed) == old.postponed
                && new.unconfirmed.iter().all(|read| of_term(read.index))
                && beats(it, old.postponed.len() as u32);
            begun && answered.is_empty() || all_answered || gone
        }
        _ => all_answered || queue(it.next).handed_over && answered.is_empty() || gone,
    };
    new.postponed.is_empty() && settled
}

/// Whether an answer to a round of heartbeats reaches the leader that began it.
fn is_answered(it: &Applied<'_>) -> bool {
    let of_round = |m: &&Message| matches!(m.body, Body::HeartbeatResponse { round: 1.. });
    it.for_leader().filter(of_round).is_some()
}

fn confirms(it: &Applied<'_>) -> bool {
    let (old, new) = (queue(it.i), queue(it.next));
    let Some((j, round)) = it.for_leader().and_then(|m| match m.body {
        Body::HeartbeatResponse { round } => Some((m.from, round)),
        _ => None,
    }) else {
        return true;
    };
    let member = it.i.configuration.members().contains(j);
    let numbered = (old.confirmed + 1..).zip(old.unconfirmed);
    let mut waiting: Vec<Unconfirmed> = numbered
        .map(|(number, mut read)| {
            if number <= round && member {
                read.acks.insert(j);
            }
            read
        })
        .collect();
    let is_quorum = |read: &Unconfirmed| it.i.configuration.is_quorum(read.acks);
    let confirmed = waiting
        .iter()
        .rposition(is_quorum)
        .map_or(0, |at| at as u32 + 1);
    let done = waiting.drain(..confirmed as usize);
    let mut expected: Vec<_> = done
        .map(|read| (read.request.origin, read.request.context, read.index))
        .collect();
    expected.sort_unstable();
    answers(it) == expected
        && new.unconfirmed == waiting
        && new.confirmed == old.confirmed + confirmed
}

fn is_answered_at_once(it: &Applied<'_>) -> bool {
    let answer = asked(it).map(|it| (it.origin, it.context));
    let answer = answer.map(|(origin, context)| (origin, context, it.i.commit));
    it.i == it.next
        && answers(it) == Vec::from_iter(answer)
        && it.sent().len() + it.answered.len() == 1
}

fn answers_by_lease(it: &Applied<'_>) -> bool {
    if queue(it.i).handed_over {
        return it.i == it.next && it.answered.is_empty() && it.sends([]);
    }
    it.settings.check_quorum && is_answered_at_once(it)
}

/// Whether the answer of a leader reaches a server that follows it, or does so now.
fn is_told_by_leader(it: &Applied<'_>) -> bool {
    let answers = |m: &&Message| matches!(m.body, Body::ReadIndexResponse { .. });
    let follows = it.next.role == Role::Follower;
    follows && it.current().filter(answers).is_some()
}

/// What that answer says.
fn told(it: &Applied<'_>) -> Vec<(Id, u8, u32)> {
    let answer = it.message.and_then(|m| match m.body {
        Body::ReadIndexResponse { context, index } => Some((it.i.id, context, index)),
        _ => None,
    });
    answer.into_iter().collect()
}

fn are_kept(it: &Applied<'_>) -> bool {
    let (old, new) = (queue(it.i), queue(it.next));
    let restarts = matches!(it.action, Action::Restart(_) | Action::RestartKeeping(..));
    let postponed =
        restarts || commits_first(it) || asks_leader(it) || new.postponed == old.postponed;
    let waiting = !it.still_leads()
        || commits_first(it)
        || is_taken(it)
        || is_answered(it)
        || (&new.unconfirmed, new.confirmed) == (&old.unconfirmed, old.confirmed);
    postponed && waiting
}
