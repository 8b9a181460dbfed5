//! Reads without an entry in the log (thesis, section 6.4; etcd's raft, ReadIndex).

use super::{ServerStep, TransitionProperty, rule};
use crate::cluster::Action;
use crate::dialect::Departure;
use crate::history::Answered;
use crate::ids::{Id, IdSet};
use crate::message::{Body, Message};
use crate::server::{Queue, Request, Server, Unconfirmed};
use lockstep_traces::{Reads, Role};
use std::sync::Arc;

pub(super) const ALL: &[TransitionProperty] = &[
    rule!(
        "read_forwarded_step",
        "a follower that is asked for a read \"could issue a request to the leader that just asks for a current \
         readIndex\" (thesis, section 6.4), and keeps account of what its own clients wait for; who knows no leader \
         answers nothing",
        |it: &ServerStep<'_>| is_asked(it) && it.i.role != Role::Leader => is_passed_on
    ),
    rule!(
        "read_postponed_step",
        "\"if the leader has not yet marked an entry from its current term committed, it waits until it has done so\" \
         (thesis, section 6.4)",
        |it: &ServerStep<'_>| asks_leader(it) && !has_committed(it.i) => is_postponed
    ),
    rule!(
        "reads_released_step",
        "\"as soon as\" a leader has committed an entry of its term, the reads that waited for it are answered or \
         begin a round (thesis, section 6.4)",
        |it: &ServerStep<'_>| commits_first(it) && !queue(it.i).postponed.is_empty() => are_released
    ),
    rule!(
        "read_round_step",
        "\"it issues a new round of heartbeats and waits for their acknowledgments from a majority of the cluster\" \
         (thesis, section 6.4), unless it has a lease: one to each, with the number of the read",
        |it: &ServerStep<'_>| is_taken(it) && !has_lease(it) => begins_round
    ),
    rule!(
        "round_confirmed_step",
        "\"once these acknowledgments are received, the leader knows that there could not have existed a leader for a \
         greater term at the moment it sent the heartbeats\" (thesis, section 6.4): what a quorum has confirmed by answers \
         to its round, or to later ones, is answered with all before it, and nothing else",
        is_answered => confirms
    ),
    rule!(
        "reads_recounted_step",
        "the quorum is one of the configuration in use (thesis, sections 4.1 and 6.4): a leader that changes it answers the \
         reads that are confirmed by who has answered already, with all before them, and no others",
        |it: &ServerStep<'_>| may_recount(it) && it.next.votes() => are_recounted
    ),
    rule!(
        "read_alone_step",
        "a leader that is a quorum by itself answers at once, with its commit index (thesis, section 6.4)",
        |it: &ServerStep<'_>| asks_leader(it) && has_committed(it.i) && it.i.is_alone() => is_answered_at_once
    ),
    rule!(
        "lease_read_step",
        "\"until the lease expires, the leader will service read-only requests locally\" (thesis, section 6.4.1): it votes, \
         a quorum was active since its last quorum check, and it has not told a server to campaign, whose request \
         \"other servers\" process \"even when they believe a current cluster leader exists\" (section 4.2.3)",
        |it: &ServerStep<'_>| is_taken(it) && has_lease(it) => is_answered_at_once
    ),
    rule!(
        "handed_over_step",
        "a leader that answers by lease remembers for its whole term that it has told a server to campaign (thesis, \
         sections 3.10 and 4.2.3)",
        |it: &ServerStep<'_>| it.settings.reads == Reads::LeaseBased && it.next.role == Role::Leader => |it: &ServerStep<'_>| {
            let told = it.sends_some(|m| m.body == Body::TimeoutNow && m.from == it.i.id);
            let before = it.still_leads() && queue(it.i).handed_over;
            queue(it.next).handed_over == (before || told)
        }
    ),
    rule!(
        "read_answered_step",
        "a client is told what its leader has answered, or what the server as leader has made sure of, and nothing else \
         (thesis, section 6.4)",
        answers_something => |it: &ServerStep<'_>| {
            let explained = is_taken(it)
                || is_answered(it)
                || commits_first(it)
                || may_recount(it)
                || asks_leader(it) && has_committed(it.i);
            explained || is_told_by_leader(it) && answers(it) == told(it)
        }
    ),
    rule!(
        "read_response_step",
        "the answer of the leader is handed to the client that waits longest for it (thesis, section 6.4)",
        is_told_by_leader => takes_answer
    ),
    rule!(
        "late_answer_step",
        "an answer that no read waits for is handed to nobody, and a read that comes back is not taken up again: the \
         client was told, by an answer or that the read was given up",
        |it: &ServerStep<'_>| it.follows_up() && (is_late(it) || comes_back(it)) => changes_nothing
    ),
    rule!(
        "reads_kept_step",
        "reads wait as long as the leader leads, or is followed (thesis, section 6.4)",
        |it: &ServerStep<'_>| it.i.reads.is_some() => are_kept
    ),
    rule!(
        "reads_given_up_step",
        "\"a leader [..] could be superseded by a newer leader of which it is unaware\" (thesis, section 6.4), and the \
         reads that it took, or was sent, end with its leadership: those that wait for a round, for a commit, and those \
         that were passed on, in this order",
        |it: &ServerStep<'_>| it.keeps_account() && (gives_up(it) || ends(it) && it.i.reads.is_some()) => are_given_up
    ),
    rule!(
        "reads_conserved_step",
        "every client is told once what became of its read (thesis, section 6.4, leaves that to the application): what \
         waited or was accepted waits afterwards, or is answered, or given up, as long as the server is there",
        |it: &ServerStep<'_>| it.keeps_account() && !restarts(it) && concerns_clients(it) => are_conserved
    ),
];

impl Server {
    /// Whether it is a voter of its configuration.
    fn votes(&self) -> bool {
        self.configuration.all_voters().contains(self.id)
    }
}

impl ServerStep<'_> {
    /// Whether a follower keeps account of the reads that it passed on. That of etcd's raft does not.
    fn follows_up(&self) -> bool {
        !self.settings.departs(Departure::ReadsLostSilently)
    }

    /// Whether every read of an own client is accounted for until the leadership ends.
    fn keeps_account(&self) -> bool {
        self.follows_up() && !self.settings.departs(Departure::PostponedReadsStay)
    }
}

/// Returns the reads that wait at a server.
fn queue(i: &Server) -> Queue {
    i.reads.as_deref().cloned().unwrap_or_default()
}

/// The read that a client asks for, here or at the server that passed it on. One that [comes back](comes_back) is none.
fn asked(it: &ServerStep<'_>) -> Option<Request> {
    let here = |context| {
        Some(Request {
            origin: it.i.id,
            context,
        })
    };
    match (it.action, it.message.map(|m| &m.body)) {
        (Action::ReadIndex(_), _) => here(1),
        (Action::ReadOtherIndex(_), _) => here(2),
        (_, Some(Body::ReadIndex { origin, context })) if !comes_back(it) => Some(Request {
            origin: *origin,
            context: *context,
        }),
        _ => None,
    }
}

/// Whether another server passes on a read that came from here.
fn comes_back(it: &ServerStep<'_>) -> bool {
    let own = |m: &&Message| matches!(m.body, Body::ReadIndex { origin, .. } if origin == it.i.id);
    it.follows_up() && it.message.filter(own).is_some()
}

fn is_asked(it: &ServerStep<'_>) -> bool {
    asked(it).is_some()
}

fn asks_leader(it: &ServerStep<'_>) -> bool {
    is_asked(it) && it.i.role == Role::Leader
}

/// Whether a leader takes up a read that waits for no commit, and is no quorum by itself.
fn is_taken(it: &ServerStep<'_>) -> bool {
    asks_leader(it) && has_committed(it.i) && !it.i.is_alone()
}

/// Whether a leader has committed an entry of its term.
fn has_committed(i: &Server) -> bool {
    i.log.term_at(i.commit) == Some(i.term)
}

/// Whether a leader commits the first entry of its term.
fn commits_first(it: &ServerStep<'_>) -> bool {
    let committed = (it.i.commit + 1..=it.next.commit).rev();
    let mut terms = committed.map(|index| it.next.log.term_at(index));
    let new = it.i.role != Role::Leader || it.i.term != it.next.term || !has_committed(it.i);
    it.leads() && new && terms.any(|term| term == Some(it.next.term))
}

/// Whether a leader that answers by lease has one: it votes, a quorum was active lately, and it has told nobody to campaign.
fn has_lease(it: &ServerStep<'_>) -> bool {
    let departs = |departure| it.settings.departs(departure);
    let mut quorum = IdSet::EMPTY;
    quorum.insert(it.i.id);
    for j in it.others() {
        if it.i.peer(j).is_some_and(|peer| peer.recent_active) {
            quorum.insert(j);
        }
    }
    let active = it.votes() && it.i.configuration.is_quorum(quorum);
    it.settings.reads == Reads::LeaseBased
        && it.settings.check_quorum
        && !queue(it.i).handed_over
        && (active || departs(Departure::LeaseWithoutActivity))
}

/// Everything that is answered in the step: the server whose client it is for, the context and the index.
fn answers(it: &ServerStep<'_>) -> Vec<(Id, u8, u32)> {
    let here = it.answered.iter();
    let here = here.filter_map(|it| Some((it.server, it.state.context, it.state.index?)));
    let mut answers: Vec<_> = here.collect();
    answers.extend(it.sent().into_iter().filter_map(|m| match m.body {
        Body::ReadIndexResponse { context, index } => Some((m.to, context, index)),
        _ => None,
    }));
    answers.sort_unstable();
    answers
}

fn answers_something(it: &ServerStep<'_>) -> bool {
    let responds = |m: &Message| matches!(m.body, Body::ReadIndexResponse { .. });
    let here = it.answered.iter().any(|it| it.state.index.is_some());
    here || it.sends_some(|m| responds(m) && m.from == it.i.id)
}

fn is_passed_on(it: &ServerStep<'_>) -> bool {
    let leader = it.i.leader.filter(|_| it.i.role == Role::Follower);
    let passed_on = leader.zip(asked(it)).map(|(leader, request)| {
        let Request { origin, context } = request;
        (leader, 0, Body::ReadIndex { origin, context })
    });
    let mut reads = queue(it.i);
    if !it.settings.departs(Departure::ReadsLostSilently) && leader.is_some() {
        let own = asked(it).filter(|request| request.origin == it.i.id);
        reads.forwarded.extend(own.map(|request| request.context));
    }
    *it.next == with(it, reads) && it.answered.is_empty() && it.sends(passed_on)
}

/// The server before the step, with other reads waiting.
fn with(it: &ServerStep<'_>, reads: Queue) -> Server {
    Server {
        reads: (reads != Queue::default()).then(|| Arc::new(reads)),
        ..it.i.clone()
    }
}

fn is_postponed(it: &ServerStep<'_>) -> bool {
    let mut reads = queue(it.i);
    reads.postponed.extend(asked(it));
    *it.next == with(it, reads) && it.answered.is_empty() && it.sends([])
}

/// Whether in the step everybody else is sent a heartbeat of this round.
fn beats(it: &ServerStep<'_>, number: u32) -> bool {
    it.who_stay().all(|j| {
        it.sends_some(|m| {
            matches!(m.body, Body::Heartbeat { round, .. } if round == number) && m.to == j
        })
    })
}

fn begins_round(it: &ServerStep<'_>) -> bool {
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

fn are_released(it: &ServerStep<'_>) -> bool {
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
    // A leader that removes itself by what it commits gives up what it began.
    let gone = it.next.role != Role::Leader && answered.is_empty();
    let begun = requests(&new.unconfirmed) == old.postponed
        && new.unconfirmed.iter().all(|read| of_term(read.index))
        && beats(it, old.postponed.len() as u32);
    let asks = !it.i.is_alone() || it.settings.departs(Departure::ReleasedReadsAskOthers);
    let asked = asks && begun && answered.is_empty();
    new.postponed.is_empty() && (asked || all_answered || gone)
}

/// Whether an answer to a round of heartbeats reaches the leader that began it.
fn is_answered(it: &ServerStep<'_>) -> bool {
    let of_round = |m: &&Message| matches!(m.body, Body::HeartbeatResponse { round: 1.. });
    it.for_leader().filter(of_round).is_some()
}

fn confirms(it: &ServerStep<'_>) -> bool {
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

fn is_answered_at_once(it: &ServerStep<'_>) -> bool {
    let answer = asked(it).map(|it| (it.origin, it.context));
    let answer = answer.map(|(origin, context)| (origin, context, it.i.commit));
    it.i == it.next
        && answers(it) == Vec::from_iter(answer)
        && it.sent().len() + it.answered.len() == 1
}

/// Whether a leader uses another configuration while reads wait for their rounds.
fn may_recount(it: &ServerStep<'_>) -> bool {
    let departs = it.settings.departs(Departure::RoundsNotRecounted);
    it.still_leads() && it.reconfigures() && !queue(it.i).unconfirmed.is_empty() && !departs
}

fn are_recounted(it: &ServerStep<'_>) -> bool {
    let (old, new) = (queue(it.i), queue(it.next));
    let is_quorum = |read: &Unconfirmed| it.next.configuration.is_quorum(read.acks);
    let confirmed = old.unconfirmed.iter().rposition(is_quorum);
    let confirmed = confirmed.map_or(0, |at| at + 1);
    let count = old.unconfirmed.len().saturating_sub(new.unconfirmed.len());
    // Several changes are used one after the other.
    let at_once = it.applied().count() > 1;
    let (done, waiting) = old.unconfirmed.split_at(count);
    let mut expected: Vec<_> = done
        .iter()
        .map(|read| (read.request.origin, read.request.context, read.index))
        .collect();
    expected.sort_unstable();
    (count == confirmed || at_once && count > confirmed)
        && waiting == new.unconfirmed
        && new.confirmed == old.confirmed + count as u32
        && answers(it) == expected
}

/// Whether the answer of a leader reaches a server that follows it, of whose clients one waits for it.
fn is_told_by_leader(it: &ServerStep<'_>) -> bool {
    let waits = told(it)
        .iter()
        .all(|(_, context, _)| queue(it.i).forwarded.contains(context));
    let departs = it.settings.departs(Departure::ReadsLostSilently);
    answer_arrives(it) && (departs || waits && follows_on(it))
}

/// Whether the answer of a leader reaches a server that follows it, or does so now.
fn answer_arrives(it: &ServerStep<'_>) -> bool {
    let answers = |m: &&Message| matches!(m.body, Body::ReadIndexResponse { .. });
    let follows = it.next.role == Role::Follower;
    follows && it.current().filter(answers).is_some()
}

/// Whether an answer reaches a server that does not wait for it.
fn is_late(it: &ServerStep<'_>) -> bool {
    answer_arrives(it) && it.i.term == it.next.term && !is_told_by_leader(it)
}

fn takes_answer(it: &ServerStep<'_>) -> bool {
    let mut reads = queue(it.i);
    for (_, context, _) in told(it) {
        let mut waiting = reads.forwarded.iter();
        if let Some(oldest) = waiting.position(|it| *it == context) {
            reads.forwarded.remove(oldest);
        }
    }
    answers(it) == told(it) && it.answered.len() == 1 && queue(it.next) == reads
}

fn changes_nothing(it: &ServerStep<'_>) -> bool {
    it.i == it.next && it.answered.is_empty() && it.sends([])
}

/// Returns the server, context and index of that answer.
fn told(it: &ServerStep<'_>) -> Vec<(Id, u8, u32)> {
    let answer = it.message.and_then(|m| match m.body {
        Body::ReadIndexResponse { context, index } => Some((it.i.id, context, index)),
        _ => None,
    });
    answer.into_iter().collect()
}

fn restarts(it: &ServerStep<'_>) -> bool {
    matches!(it.action, Action::Restart(_) | Action::RestartKeeping(..))
}

/// Whether the server follows the same leader in the same term before and afterwards.
fn follows_on(it: &ServerStep<'_>) -> bool {
    let of = |i: &Server| (i.role, i.term, i.leader);
    it.i.role == Role::Follower && of(it.i) == of(it.next)
}

/// Whether the leadership of the server ends, or that of the leader that it follows.
fn ends(it: &ServerStep<'_>) -> bool {
    !restarts(it) && !it.still_leads() && !follows_on(it)
}

fn are_kept(it: &ServerStep<'_>) -> bool {
    let (old, new) = (queue(it.i), queue(it.next));
    let stay = it.settings.departs(Departure::PostponedReadsStay);
    let postponed = match restarts(it) || !it.still_leads() && !stay {
        true => new.postponed.is_empty(),
        false => commits_first(it) || asks_leader(it) || new.postponed == old.postponed,
    };
    let waiting = !it.still_leads()
        || commits_first(it)
        || is_taken(it)
        || is_answered(it)
        || may_recount(it)
        || (&new.unconfirmed, new.confirmed) == (&old.unconfirmed, old.confirmed);
    let forwarded = match follows_on(it) && !restarts(it) {
        true => is_asked(it) || is_told_by_leader(it) || new.forwarded == old.forwarded,
        false => new.forwarded.is_empty(),
    };
    postponed && waiting && forwarded
}

/// Whether a client is told that its read is given up.
fn gives_up(it: &ServerStep<'_>) -> bool {
    it.answered.iter().any(|it| it.state.index.is_none())
}

/// The contexts of the reads of own clients that wait for a round, for a commit, and for an answer of another leader.
fn own_reads(i: &Server) -> Vec<u8> {
    let reads = queue(i);
    let unconfirmed = reads.unconfirmed.iter().map(|read| read.request);
    let own = unconfirmed.chain(reads.postponed);
    let own = own.filter(|request| request.origin == i.id);
    own.map(|request| request.context)
        .chain(reads.forwarded)
        .collect()
}

fn are_given_up(it: &ServerStep<'_>) -> bool {
    let (answered, given_up): (Vec<_>, Vec<_>) =
        it.answered.iter().partition(|it| it.state.index.is_some());
    let given_up = given_up.into_iter().map(|it: &Answered| it.state.context);
    // What is answered first in the same step is one of those that come first.
    let waiting = own_reads(it.i).into_iter().skip(answered.len());
    ends(it) && waiting.eq(given_up) && queue(it.next) == Queue::default()
}

/// Whether a client of the server asks, waits, or is told something.
fn concerns_clients(it: &ServerStep<'_>) -> bool {
    !it.answered.is_empty() || it.i.reads.is_some() || is_asked(it)
}

fn are_conserved(it: &ServerStep<'_>) -> bool {
    let accepts = it.i.role == Role::Leader || it.i.role == Role::Follower && it.i.leader.is_some();
    let of_own_client = |request: &Request| accepts && request.origin == it.i.id;
    let accepted = asked(it).filter(of_own_client);
    let mut before = own_reads(it.i);
    before.extend(accepted.map(|request| request.context));
    let mut after = own_reads(it.next);
    after.extend(it.answered.iter().map(|it| it.state.context));
    before.sort_unstable();
    after.sort_unstable();
    before == after
}
