//! Terms, roles, campaigns and leases (paper, sections 5.1 and 5.2; thesis, sections 4.2.3, 6.2 and 9.6).

use super::membership::makes_up_for_transfer;
use super::{ServerStep, TransitionProperty, always, rule};
use crate::cluster::Action;
use crate::configuration::ConfChange;
use crate::message::{Body, Entry, Message, Payload};
use crate::properties::membership::is_quorum;
use crate::properties::step::heard_from;
use crate::server::{Flow, Progress, Server};
use lockstep_traces::Role;

pub(super) const ALL: &[TransitionProperty] = &[
    rule!(
        "higher_term_step",
        "\"if RPC request or response contains term T > currentTerm: set currentTerm = T, convert to \
         follower\" (paper, figure 2); a pre-vote request and its grant only ask for a term (thesis, \
         section 9.6), and a lease lets a vote request pass by (thesis, section 4.2.3)",
        sees_higher_term => |it: &ServerStep<'_>| {
            let term = it.message.map_or(0, |m| m.term);
            it.next.term == term && it.next.role == Role::Follower
        }
    ),
    rule!(
        "stale_term_step",
        "\"if a server receives a request with a stale term number, it rejects the request\" (paper, \
         section 5.1), and a stale response counts for nothing",
        sees_stale_term => |it: &ServerStep<'_>| it.only_answers()
    ),
    rule!(
        "stale_sender_told_step",
        "the sender of a stale request learns of the term: a leader with PreVote or CheckQuorum, which \
         no vote request could depose, and a pre-candidate (etcd's raft, Step); all else stale is met \
         with silence",
        sees_stale_term => tells_stale_sender
    ),
    rule!(
        "campaign_step",
        "\"on conversion to candidate, start election: increment currentTerm; vote for self; [..] send \
         RequestVote RPCs to all other servers\" (paper, figure 2), with PreVote once a majority has \
         granted (thesis, section 9.6), or when the leader hands over (thesis, section 3.10)",
        must_campaign => campaigns
    ),
    rule!(
        "pre_campaign_step",
        "with PreVote a server whose timer fires asks all others whether they would vote for it in the \
         next term, and knows no leader (thesis, section 9.6)",
        must_pre_campaign => pre_campaigns
    ),
    rule!(
        "follow_step",
        "\"if AppendEntries RPC received from new leader: convert to follower\" (paper, figure 2); it is \
         the leader of the term, and with CheckQuorum its lease begins again (thesis, section 4.2.3)",
        hears_leader => follows
    ),
    rule!(
        "new_leader_step",
        "\"nextIndex[]: initialized to leader last log index + 1, matchIndex[]: initialized to 0\" \
         (paper, figure 2), and \"each leader commits a blank no-op entry into the log at the start of \
         its term\" (paper, section 8), which it sends at once",
        takes_over => starts_over
    ),
    rule!(
        "lease_renewed_step",
        "a lease begins when the server hears from its leader or votes, lasts until it expires, and ends \
         with the role, the term, a restart or the leader that is forgotten (thesis, sections 4.2.3 and \
         6.4.1)",
        always => lease_is_earned
    ),
    rule!(
        "activity_step",
        "a peer counts as active from its first answer until the next quorum check (thesis, section 6.2)",
        leads_on => activity_is_earned
    ),
    rule!(
        "active_leader_stays_step",
        "a leader that a majority has answered goes on leading after a quorum check, which begins anew \
         (thesis, section 6.2); without CheckQuorum there is none",
        finds_quorum => |it: &ServerStep<'_>| {
            let mut peers = it.others().filter_map(|j| it.next.peer(j));
            let anew = !it.settings.check_quorum || peers.all(|peer| !peer.recent_active);
            it.still_leads() && anew && (it.sends([]) || makes_up_for_transfer(it))
        }
    ),
];

fn sees_higher_term(it: &ServerStep<'_>) -> bool {
    it.message.is_some_and(|m| {
        let only_asks = matches!(
            m.body,
            Body::RequestPreVote { .. } | Body::RequestPreVoteResponse { granted: true }
        );
        // Then it follows, and campaigns in the same step, if it votes: `campaign_step`.
        let campaigns = m.body == Body::TimeoutNow && it.may_campaign();
        m.term > it.i.term && !campaigns && !only_asks && !it.refused_by_lease()
    })
}

fn sees_stale_term(it: &ServerStep<'_>) -> bool {
    // A proposal that is forwarded has no term.
    it.message.is_some_and(|m| (1..it.i.term).contains(&m.term))
}

fn tells_stale_sender(it: &ServerStep<'_>) -> bool {
    let guarded = it.settings.check_quorum || it.settings.pre_vote;
    it.message.is_none_or(|m| {
        let answer = match m.body {
            Body::AppendEntries { .. } | Body::Heartbeat { .. } if guarded => {
                Some(Body::AppendEntriesAccepted { index: 0 })
            }
            Body::RequestPreVote { .. } => Some(Body::RequestPreVoteResponse { granted: false }),
            _ => None,
        };
        it.sends(answer.map(|body| (m.from, it.i.term, body)))
    })
}

fn must_campaign(it: &ServerStep<'_>) -> bool {
    let times_out =
        matches!(it.action, Action::Timeout(_)) && it.i.role != Role::Leader && it.may_campaign();
    let alone = wins_at_once(it);
    let chosen = it.i.role == Role::PreCandidate
        && it.current().is_some_and(|m| {
            let grants = m.body == Body::RequestPreVoteResponse { granted: true };
            let mut granted = it.i.granted;
            if !it.i.refused.contains(m.from) {
                granted.insert(m.from);
            }
            grants && is_quorum(it.i.configuration, granted)
        });
    chosen || told_to(it) || times_out && (alone || !it.settings.pre_vote)
}

/// Whether the leader tells a follower to campaign that may, or one that is about to follow it.
fn told_to(it: &ServerStep<'_>) -> bool {
    let follows = |m: &Message| m.term > it.i.term || it.i.role == Role::Follower;
    it.current()
        .is_some_and(|m| m.body == Body::TimeoutNow && follows(m) && it.may_campaign())
}

/// Whether its own vote elects a server within the step. With asynchronous storage that vote has to be durable first.
fn wins_at_once(it: &ServerStep<'_>) -> bool {
    it.i.is_alone() && !it.settings.is_async
}

/// Returns the number of votes of a server that has just begun to campaign.
fn first_votes(it: &ServerStep<'_>) -> usize {
    usize::from(!it.settings.is_async)
}

fn campaigns(it: &ServerStep<'_>) -> bool {
    let (i, next) = (it.i, it.next);
    let (last, transfer) = (i.log.last(), told_to(it));
    let term = match it.message {
        Some(m) if transfer => m.term + 1,
        _ => i.term + 1,
    };
    let role = match wins_at_once(it) {
        true => Role::Leader,
        false => Role::Candidate,
    };
    let requests = it
        .voters()
        .map(|j| (j, term, Body::RequestVote { last, transfer }));
    let asks = |body: &Body| matches!(body, Body::RequestVote { .. });
    (next.term, next.vote, next.role) == (term, Some(i.id), role)
        && match role {
            // Who learns from it is sent appends already.
            Role::Leader => !it.sent().iter().any(|m| asks(&m.body)),
            _ => {
                next.granted.len() == first_votes(it)
                    && next.refused.is_empty()
                    && it.sends(requests)
            }
        }
}

fn must_pre_campaign(it: &ServerStep<'_>) -> bool {
    matches!(it.action, Action::Timeout(_))
        && it.i.role != Role::Leader
        && it.settings.pre_vote
        && it.may_campaign()
        && !wins_at_once(it)
}

fn pre_campaigns(it: &ServerStep<'_>) -> bool {
    let (i, next) = (it.i, it.next);
    let last = i.log.last();
    let requests = it
        .voters()
        .map(|j| (j, i.term + 1, Body::RequestPreVote { last }));
    (next.term, next.vote, next.role) == (i.term, i.vote, Role::PreCandidate)
        && next.leader.is_none()
        && next.granted.len() == first_votes(it)
        && next.refused.is_empty()
        && it.sends(requests)
}

fn hears_leader(it: &ServerStep<'_>) -> bool {
    it.of_leader().is_some()
}

fn follows(it: &ServerStep<'_>) -> bool {
    it.of_leader().is_none_or(|m| {
        (it.next.role, it.next.term, it.next.leader) == (Role::Follower, m.term, Some(m.from))
            && it.next.lease == it.settings.check_quorum
    })
}

fn takes_over(it: &ServerStep<'_>) -> bool {
    it.i.role != Role::Leader && it.next.role == Role::Leader
}

fn starts_over(it: &ServerStep<'_>) -> bool {
    let (i, next) = (it.i, it.next);
    let last = i.log.last_index();
    let blank = Entry {
        term: next.term,
        payload: Payload::EMPTY,
    };
    let fresh = |peer: &Progress| {
        (peer.matched, peer.next, peer.flow) == (0, last + 1, Flow::Probe) && !peer.recent_active
    };
    let told = |j| {
        it.sent().iter().any(|m| {
            m.to == j && matches!(m.body, Body::AppendEntries { prev, .. } if prev == i.log.last())
        })
    };
    // Alone it commits at once, and then it may leave a joint configuration at once.
    let leave = Payload::conf_change(ConfChange::LEAVE_JOINT);
    let mut more = (last + 2..=next.log.last_index()).map_while(|index| next.log.entry(index));
    next.log.entry(last + 1) == Some(blank)
        && more.all(|entry| entry.payload == leave)
        && it.others().all(told)
        && it.who_stay().all(|j| next.peer(j).is_some_and(fresh))
}

fn lease_is_earned(it: &ServerStep<'_>) -> bool {
    let (i, next) = (it.i, it.next);
    let knows_leader = next.role == Role::Follower && next.leader.is_some();
    let voted = it
        .sent()
        .iter()
        .any(|m| m.body == Body::RequestVoteResponse { granted: true });
    let begins = it.of_leader().is_some() || voted && knows_leader;
    let ends = match it.action {
        Action::LeaseExpire(_)
        | Action::Restart(_)
        | Action::RestartKeeping(..)
        | Action::ForgetLeader(_) => true,
        // To who may not campaign it means nothing.
        Action::Timeout(_) => it.may_campaign(),
        _ => false,
    };
    let lasts = i.lease && i.term == next.term && next.role == Role::Follower && !ends;
    next.lease == (it.settings.check_quorum && (begins || lasts))
}

fn leads_on(it: &ServerStep<'_>) -> bool {
    it.still_leads() && !matches!(it.action, Action::CheckQuorum(_))
}

fn activity_is_earned(it: &ServerStep<'_>) -> bool {
    let active = |i: &Server, j| i.peer(j).is_some_and(|peer| peer.recent_active);
    let answers = it.for_leader().map(|m| m.from);
    it.who_stay()
        .all(|j| active(it.next, j) == (active(it.i, j) || answers == Some(j)))
}

fn finds_quorum(it: &ServerStep<'_>) -> bool {
    let quorum = is_quorum(it.i.configuration, heard_from(it.i));
    matches!(it.action, Action::CheckQuorum(_))
        && it.i.role == Role::Leader
        && (quorum || !it.settings.check_quorum)
}
