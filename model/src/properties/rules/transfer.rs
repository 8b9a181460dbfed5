//! Transfer of leadership, leaders that are forgotten, and proposals that are forwarded (thesis, sections 3.10, 4.2.3
//! and 6.2; etcd's raft).

use super::inputs::{changes, ignores};
use super::membership::{makes_up_for_transfer, taken};
use super::{ServerStep, TransitionProperty, carries_something, rule};
use crate::cluster::Action;
use crate::configuration::ConfChange;
use crate::ids::Id;
use crate::message::{Body, Entry, Message, Payload, Payloads};
use crate::server::{Server, Stimulus};
use lockstep_traces::{Outcome, Refusal, Role};

pub(super) const ALL: &[TransitionProperty] = &[
    rule!(
        "transfer_begins_step",
        "\"the prior leader [..] fully updates the target server's log to match its own\" (thesis, section \
         3.10), and tells it to campaign at once if that is done; a request for another server replaces \
         the one before (etcd's raft)",
        is_asked => begins_transfer
    ),
    rule!(
        "transfer_ignored_step",
        "a request for the server that is being handed over to already, for the leader itself, a learner or a \
         stranger begins nothing, and one for the leader ends what was begun (etcd's raft)",
        is_asked_in_vain => |it: &ServerStep<'_>| {
            let ends = asked(it) == Some(it.i.id) && may_lead(it, it.i.id);
            let kept = Server {
                transferee: it.i.transferee.filter(|_| !ends),
                ..it.i.clone()
            };
            *it.next == kept && it.sends([]) || ends && makes_up_for_transfer(it)
        }
    ),
    rule!(
        "transfer_forwarded_step",
        "a follower passes a request for another leader on to the leader that it knows; whoever knows none \
         ignores it (etcd's raft)",
        is_asked_of_another => |it: &ServerStep<'_>| {
            let leader = it.i.leader.filter(|_| it.i.role == Role::Follower);
            let transferee = asked(it).unwrap_or(it.i.id);
            let passed_on = leader.map(|to| (to, it.i.term, Body::TransferLeader { transferee }));
            it.i == it.next && it.sends(passed_on)
        }
    ),
    rule!(
        "timeout_now_sent_step",
        "the leader \"sends a TimeoutNow request to the target server\" when it has updated that server's log \
         to match its own, and not before (thesis, section 3.10)",
        hands_over => |it: &ServerStep<'_>| {
            let complete = |j| it.next.peer(j).is_some_and(|peer| peer.matched == it.next.log.last_index());
            // What is acknowledged may be what takes the leadership or the vote away.
            let handed_over = |j| [it.i.transferee, it.next.transferee].contains(&Some(j));
            told(it).all(|m| it.leads() && handed_over(m.to) && (complete(m.to) || it.reconfigures()))
        }
    ),
    rule!(
        "transfer_completed_step",
        "the acknowledgement by which the transferee is known to have the whole log makes the leader tell \
         it to campaign (thesis, section 3.10)",
        completes => |it: &ServerStep<'_>| told(it).count() == 1
    ),
    rule!(
        "transfer_lasts_step",
        "\"if leadership transfer does not complete after about an election timeout, the prior leader \
         aborts the transfer\" (thesis, section 3.10), or when another is asked for or the transferee loses its vote \
         (etcd's raft, switchToConfig), and not before",
        |it: &ServerStep<'_>| it.i.transferee.is_some() && it.still_leads() => |it: &ServerStep<'_>| {
            let elapsed = matches!(it.action, Action::CheckQuorum(_));
            let voters = it.next.configuration.all_voters();
            // Who was removed or demoted does not lead, says a leader that still has a say.
            let lost = |to: &Id| it.reconfigures() && voters.contains(it.i.id) && !voters.contains(*to);
            match asked(it).filter(|to| may_lead(it, *to)) {
                Some(to) => it.next.transferee == Some(to).filter(|to| *to != it.i.id),
                None if elapsed => it.next.transferee.is_none(),
                None => it.next.transferee == it.i.transferee.filter(|to| !lost(to)),
            }
        }
    ),
    rule!(
        "transfer_drops_proposals_step",
        "\"the prior leader stops accepting new client requests\" (thesis, section 3.10)",
        |it: &ServerStep<'_>| changes(it) && it.next.transferee.is_some() => |it: &ServerStep<'_>| {
            let dropped = Outcome::Refused(Refusal::ProposalDropped);
            let payload = Payload::value(1).unwrap_or_default();
            ignores(it, Stimulus::Propose(payload), dropped)
        }
    ),
    rule!(
        "timeout_now_ignored_step",
        "whoever campaigns already, or leads, does not begin to when it is told (etcd's raft, stepCandidate)",
        |it: &ServerStep<'_>| {
            let told = it.message.is_some_and(|m| m.body == Body::TimeoutNow && m.term == it.i.term);
            told && it.i.role != Role::Follower
        } => |it: &ServerStep<'_>| it.i == it.next && it.sends([])
    ),
    rule!(
        "transfer_overrides_lease_step",
        "the request of a server that its leader told to campaign is \"processed by other servers even \
         when they believe a current cluster leader exists\" (thesis, section 4.2.3)",
        |it: &ServerStep<'_>| {
            let transfer = |m: &Message| matches!(m.body, Body::RequestVote { transfer: true, .. });
            let held = it.i.lease || it.settings.check_quorum && it.i.role == Role::Leader;
            held && it.message.is_some_and(|m| transfer(m) && m.term > it.i.term)
        } => |it: &ServerStep<'_>| {
            let term = it.message.map_or(0, |m| m.term);
            (it.next.term, it.next.role) == (term, Role::Follower) && it.sent().len() == 1
        }
    ),
    rule!(
        "forget_leader_step",
        "a follower that is told to forgets its leader, and with it the lease and the reads that it passed on, and \
         nothing else (etcd's raft, ForgetLeader)",
        |it: &ServerStep<'_>| matches!(it.action, Action::ForgetLeader(_)) => |it: &ServerStep<'_>| {
            let forgotten = Server {
                leader: None,
                lease: false,
                // The properties of reads look at these.
                reads: it.next.reads.clone(),
                ..it.i.clone()
            };
            let follows = it.i.role == Role::Follower;
            *it.next == if follows { forgotten } else { it.i.clone() } && it.sends([])
        }
    ),
    rule!(
        "proposal_forwarded_step",
        "a follower that is to forwards what a client proposes to the leader that it knows, and does not change; \
         whoever neither leads nor forwards drops it (thesis, section 6.2; etcd's raft)",
        |it: &ServerStep<'_>| it.i.role != Role::Leader && it.proposal().is_some() => |it: &ServerStep<'_>| {
            let forwards = it.settings.forward_proposals && it.i.role == Role::Follower;
            let payloads = it.proposal().unwrap_or_default();
            let leader = it.i.leader.filter(|_| forwards && is_possible(it, &payloads));
            let forwarded = leader.map(|to| (to, 0, Body::Propose { payloads }));
            it.i == it.next && it.sends(forwarded)
        }
    ),
    rule!(
        "forwarded_proposal_step",
        "a leader takes what is forwarded to it as if a client had asked it: it appends it to its log \
         (paper, section 5.3), unless it hands over or has too much uncommitted",
        |it: &ServerStep<'_>| it.i.role == Role::Leader && it.message.is_some() && it.proposal().is_some()
            => takes_proposal
    ),
    rule!(
        "uncommitted_step",
        "a leader counts the proposals that it has appended and not applied, or fewer (etcd's raft, \
         increaseUncommittedSize): never more than the limit, and without a limit none; as long as it leads, nothing \
         but what it applies makes them fewer",
        |it: &ServerStep<'_>| it.next.role == Role::Leader && it.settings.max_uncommitted > 0
            => |it: &ServerStep<'_>| {
            let next = it.next;
            let uncommitted = (next.applied() + 1..=next.log.last_index()).filter(|index| {
                let entry = next.log.entry(*index);
                entry.is_some_and(|entry| carries_something(entry.payload) && entry.term == next.term)
            });
            let counted = next.uncommitted as usize;
            counted <= uncommitted.count()
                && next.uncommitted <= it.settings.max_uncommitted
                && (!it.still_leads() || loses_count_of_none(it))
        }
    ),
];

/// Whether everything that a leader counted before the step, or appended in it, still counts or was applied.
fn loses_count_of_none(it: &ServerStep<'_>) -> bool {
    let (i, next) = (it.i, it.next);
    let carrying = |indexes: std::ops::RangeInclusive<u32>| {
        let entries = indexes.filter_map(|index| next.log.entry(index));
        entries
            .filter(|entry| carries_something(entry.payload))
            .count()
    };
    let appended = carrying(i.log.last_index() + 1..=next.log.last_index());
    let applied = carrying(i.applied() + 1..=next.applied());
    next.uncommitted as usize + applied >= i.uncommitted as usize + appended
}

/// For whom the leadership is asked, by a call or by what a follower passed on.
fn asked(it: &ServerStep<'_>) -> Option<Id> {
    match (it.action, it.message) {
        (Action::TransferLeadership(_, to), _) => Some(to),
        (_, Some(m)) if m.term == it.i.term => match m.body {
            Body::TransferLeader { transferee } => Some(transferee),
            _ => None,
        },
        _ => None,
    }
}

/// Whether a server votes, so that it can lead.
fn may_lead(it: &ServerStep<'_>, to: Id) -> bool {
    it.i.configuration.all_voters().contains(to)
}

fn is_new(it: &ServerStep<'_>, to: Id) -> bool {
    may_lead(it, to) && to != it.i.id && it.i.transferee != Some(to)
}

fn is_asked(it: &ServerStep<'_>) -> bool {
    it.i.role == Role::Leader && asked(it).is_some_and(|to| is_new(it, to))
}

fn is_asked_in_vain(it: &ServerStep<'_>) -> bool {
    it.i.role == Role::Leader && asked(it).is_some_and(|to| !is_new(it, to))
}

fn is_asked_of_another(it: &ServerStep<'_>) -> bool {
    it.i.role != Role::Leader && asked(it).is_some()
}

fn begins_transfer(it: &ServerStep<'_>) -> bool {
    asked(it).is_none_or(|to| {
        let (i, next) = (it.i, it.next);
        let complete = i
            .peer(to)
            .is_some_and(|peer| peer.matched == i.log.last_index());
        let to_it = it.sent().into_iter().all(|m| m.to == to);
        (next.role, next.term, next.transferee) == (Role::Leader, i.term, Some(to))
            && (&i.log, i.commit) == (&next.log, next.commit)
            && to_it
            && told(it).count() == usize::from(complete)
    })
}

/// The requests to campaign that were sent.
fn told<'a>(it: &ServerStep<'a>) -> impl Iterator<Item = &'a Message> + use<'a> {
    let sent = it.sent().into_iter();
    sent.filter(|m| m.body == Body::TimeoutNow)
}

fn hands_over(it: &ServerStep<'_>) -> bool {
    it.sends_some(|m| m.body == Body::TimeoutNow)
}

fn completes(it: &ServerStep<'_>) -> bool {
    let last = it.next.log.last_index();
    it.still_leads()
        && it.for_leader().is_some_and(|m| {
            let matched = |i: &Server| i.peer(m.from).map(|peer| peer.matched);
            it.i.transferee == Some(m.from)
                && matched(it.i) != Some(last)
                && matched(it.next) == Some(last)
        })
}

/// Whether the configuration may change, if that is what is proposed.
fn is_possible(it: &ServerStep<'_>, payloads: &Payloads) -> bool {
    let mut changes = payloads.iter().filter_map(Payload::as_conf_change);
    changes.all(|change| {
        let mut servers = change.servers();
        it.settings.may_change && servers.all(|id| it.settings.is_server(id))
    })
}

fn takes_proposal(it: &ServerStep<'_>) -> bool {
    let asked = it.proposal().unwrap_or_default();
    let (old, new) = (it.i.log.last_index(), it.next);
    if !it.takes_proposals() || !is_possible(it, &asked) {
        return it.i == new && it.sends([]);
    }
    let payloads = taken(it, &asked);
    if it.is_full(&payloads) {
        // A change that there is no room for is waited for all the same.
        let kept = Server {
            pending_conf_index: new.pending_conf_index,
            ..it.i.clone()
        };
        return kept == *new && it.sends([]);
    }
    let appended = (old + 1..=new.log.last_index()).map_while(|index| new.log.entry(index));
    // Alone it commits at once, and then it may leave a joint configuration at once.
    let leave = Payload::conf_change(ConfChange::LEAVE_JOINT);
    let expected = payloads.iter().map(Some).chain(std::iter::repeat(None));
    let as_expected = |(entry, payload): (Entry, Option<Payload>)| {
        entry.term == new.term && entry.payload == payload.unwrap_or(leave)
    };
    it.still_leads()
        && new.log.last_index() >= old + payloads.len() as u32
        && appended.zip(expected).all(as_expected)
}
