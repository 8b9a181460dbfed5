//! Appends, acknowledgements, commitment and flow control (paper, sections 5.3 and 5.4.2; thesis, section
//! 10.2.1).

use super::{ServerStep, TransitionProperty, rule};
use crate::cluster::Action;
use crate::dialect::Departure;
use crate::ids::{Id, IdSet};
use crate::message::{Body, Entries, Entry, Message, Payload, Position};
use crate::properties::membership::{governing, is_quorum, members_throughout};
use crate::server::{Flow, Progress, Server};
use lockstep_traces::Role;

pub(super) const ALL: &[TransitionProperty] = &[
    rule!(
        "proposal_step",
        "\"if command received from client: append entry to local log\" (paper, figure 2), with the \
         term of the leader (section 5.3)",
        is_proposed => appends_proposal
    ),
    rule!(
        "append_content_step",
        "AppendEntries carries \"prevLogIndex: index of log entry immediately preceding new ones, \
         prevLogTerm: term of prevLogIndex entry, entries[], leaderCommit\" (paper, figure 2): a piece \
         of the leader's log, and its commit index",
        sends_appends => are_of_own_log
    ),
    rule!(
        "append_entries_step",
        "\"reply false if log doesn't contain an entry at prevLogIndex whose term matches prevLogTerm; \
         if an existing entry conflicts with a new one (same index but different terms), delete the \
         existing entry and all that follow it; append any new entries not already in the log\" (paper, \
         figure 2): that, and no more",
        is_appended => takes_entries
    ),
    rule!(
        "acknowledgement_step",
        "an append is answered once: with the index up to which the log is known to be the leader's, or \
         with the index that was refused (paper, section 5.3)",
        is_appended => is_acknowledged
    ),
    rule!(
        "conflict_hint_step",
        "\"the follower can include the term of the conflicting entry\" (paper, section 5.3): a refusal \
         names the highest position at which the logs can still agree",
        refuses_append => hint_is_tight
    ),
    rule!(
        "follower_commit_step",
        "\"if leaderCommit > commitIndex, set commitIndex = min(leaderCommit, index of last new \
         entry)\" (paper, figure 2); a heartbeat has no new entry, a snapshot is of what is committed, and \
         nothing else says what is committed",
        does_not_lead => commits_as_told
    ),
    rule!(
        "leader_commit_step",
        "\"if there exists an N such that N > commitIndex, a majority of matchIndex[i] >= N, and \
         log[N].term == currentTerm: set commitIndex = N\" (paper, figure 2), the highest such N",
        leads_now => commits_what_a_majority_has
    ),
    rule!(
        "commit_told_step",
        "\"the leader [..] includes that index in future AppendEntries RPCs (including heartbeats) so that \
         the other servers eventually find out\" (paper, section 5.3): at once to every peer that is \
         not held back",
        commits_more => tells_commit
    ),
    rule!(
        "commit_caught_up_step",
        "a peer whose acknowledgement shows that it can commit more than it was told is sent the commit \
         index, with entries or without, and nobody else is sent an append without entries for it (etcd's \
         raft, CanBumpCommit)",
        acknowledges_more => commit_is_caught_up
    ),
    rule!(
        "match_acknowledged_step",
        "\"if successful: update nextIndex and matchIndex for follower\" (paper, figure 2), to what it \
         acknowledged, and on no other occasion",
        is_answered => match_is_acknowledged
    ),
    rule!(
        "probe_ends_step",
        "a peer that acknowledges what it is known to have is no longer probed: what follows is sent \
         ahead, or a snapshot of it (thesis, section 10.2.1; etcd's raft, Progress)",
        answers_probe => |it: &ServerStep<'_>| {
            it.message.is_some_and(|m| {
                it.next.peer(m.from).is_some_and(|peer| match peer.flow {
                    Flow::Probe => false,
                    Flow::Replicate => true,
                    Flow::Snapshot => peer.matched < it.next.log.snapshot().index,
                })
            })
        }
    ),
    rule!(
        "back_off_step",
        "\"if AppendEntries fails because of log inconsistency: decrement nextIndex and retry\" (paper, \
         figure 2), at once to the highest position at which the logs can agree; an old refusal says \
         nothing",
        is_refused => backs_off
    ),
    rule!(
        "heartbeat_step",
        "\"send initial empty AppendEntries RPCs (heartbeat) to each server; repeat during idle \
         periods\" (paper, figure 2): one to each, with no commit index beyond what the peer is known to \
         have, for it is not checked there (etcd's raft, bcastHeartbeat)",
        beats => beats_once_to_each
    ),
    rule!(
        "heartbeat_answer_step",
        "a heartbeat of the leader of the term is answered (paper, section 5.2; thesis, section 6.2)",
        hears_heartbeat => |it: &ServerStep<'_>| {
            it.of_leader()
                .is_none_or(|m| it.sends([(m.from, m.term, Body::HeartbeatResponse { round: round_of(m) })]))
        }
    ),
    rule!(
        "lost_append_repeated_step",
        "\"if followers crash or run slowly, or if network packets are lost, the leader retries \
         AppendEntries RPCs indefinitely\" (paper, section 5.3): the answer to a heartbeat makes it \
         send to a peer that lacks entries, or whose log is not known",
        hears_from_behind => |it: &ServerStep<'_>| {
            it.message.is_some_and(|m| is_sent_more(it, m.from))
        }
    ),
    rule!(
        "flow_control_step",
        "a probed peer has one append with entries on its way, a peer that is held back is sent no \
         append before it answers, and what is sent ahead is remembered (thesis, section 10.2.1; etcd's \
         raft, Progress)",
        sends_appends => flow_is_controlled
    ),
];

fn appends<'a>(it: &ServerStep<'a>) -> impl Iterator<Item = &'a Message> {
    let sent = it.sent().into_iter();
    sent.filter(|m| matches!(m.body, Body::AppendEntries { .. }))
}

fn is_proposed(it: &ServerStep<'_>) -> bool {
    matches!(it.action, Action::Propose(_)) && it.takes_proposals()
}

fn appends_proposal(it: &ServerStep<'_>) -> bool {
    let (old, new) = (it.i.log.last_index(), &it.next.log);
    // In a run that counts its proposals, also those that were refused, values have gaps.
    let is_new = |payload: Payload| payload.as_value().is_some_and(|value| value >= it.value);
    let appended = |entry: Entry| entry.term == it.i.term && is_new(entry.payload);
    it.still_leads() && new.last_index() == old + 1 && new.entry(old + 1).is_some_and(appended)
}

fn sends_appends(it: &ServerStep<'_>) -> bool {
    appends(it).next().is_some()
}

fn are_of_own_log(it: &ServerStep<'_>) -> bool {
    let log = &it.next.log;
    let most = match it.settings.one_entry_per_append {
        true => 1,
        false => usize::MAX,
    };
    appends(it).all(|m| match &m.body {
        Body::AppendEntries {
            prev,
            entries,
            commit,
        } => {
            let own = (prev.index + 1..).map_while(|index| log.entry(index));
            log.matches(*prev)
                && entries.iter().eq(own.take(entries.len()))
                && entries.len() <= most
                && (it.i.commit..=it.next.commit).contains(commit)
                && (*commit == it.next.commit || commits_in_stages(it))
                && m.term == it.next.term
                && it.leads()
        }
        _ => true,
    })
}

/// Whether what the leader sends first may say less than what it commits in the end: it commits by itself, or more by a
/// configuration that has just come into use.
fn commits_in_stages(it: &ServerStep<'_>) -> bool {
    it.i.is_alone() || it.reconfigures()
}

fn append<'a>(it: &ServerStep<'a>) -> Option<(&'a Message, Position, &'a Entries, u32)> {
    let m = it.of_leader()?;
    match &m.body {
        Body::AppendEntries {
            prev,
            entries,
            commit,
        } => Some((m, *prev, entries, *commit)),
        _ => None,
    }
}

fn is_appended(it: &ServerStep<'_>) -> bool {
    append(it).is_some()
}

/// Whether the entries of the append are to be taken: it begins where the logs agree, and not before what
/// is committed, which they have in common already.
fn fits(it: &ServerStep<'_>, prev: Position) -> bool {
    prev.index >= it.i.commit && it.i.log.matches(prev)
}

fn takes_entries(it: &ServerStep<'_>) -> bool {
    append(it).is_none_or(|(_, prev, entries, _)| {
        let (old, new) = (&it.i.log, &it.next.log);
        if !fits(it, prev) {
            return old == new;
        }
        let end = prev.index + entries.len() as u32;
        let carried = |index| entries.get((index - prev.index - 1) as usize);
        let conflicts = (prev.index + 1..=end.min(old.last_index()))
            .any(|index| old.term_at(index) != carried(index).map(|entry| entry.term));
        let last = match conflicts {
            true => end,
            false => end.max(old.last_index()),
        };
        new.last_index() == last
            && new.snapshot() == old.snapshot()
            && (1..=last).all(|index| {
                let carried = (prev.index + 1..=end)
                    .contains(&index)
                    .then(|| carried(index));
                new.entry(index) == carried.unwrap_or_else(|| old.entry(index))
            })
    })
}

fn is_acknowledged(it: &ServerStep<'_>) -> bool {
    append(it).is_none_or(|(m, prev, entries, _)| {
        let accepted = if prev.index < it.i.commit {
            Some(it.i.commit)
        } else if it.i.log.matches(prev) {
            Some(prev.index + entries.len() as u32)
        } else {
            None
        };
        match accepted {
            Some(index) => it.sends([(m.from, m.term, Body::AppendEntriesAccepted { index })]),
            None => match it.sent()[..] {
                [answer] => {
                    let refused = matches!(answer.body,
                        Body::AppendEntriesRejected { index, .. } if index == prev.index);
                    (answer.to, answer.term) == (m.from, m.term) && refused
                }
                _ => false,
            },
        }
    })
}

fn refuses_append(it: &ServerStep<'_>) -> bool {
    append(it).is_some_and(|(_, prev, ..)| prev.index >= it.i.commit && !it.i.log.matches(prev))
}

fn hint_is_tight(it: &ServerStep<'_>) -> bool {
    let hints = it.sent().into_iter().filter_map(|m| match m.body {
        Body::AppendEntriesRejected { hint, .. } => Some(hint),
        _ => None,
    });
    append(it).is_none_or(|(_, prev, ..)| {
        let (log, mut hints) = (&it.i.log, hints);
        let highest = prev.index.min(log.last_index());
        hints.all(|hint| {
            let mut above = hint.index + 1..=highest;
            hint.index <= highest
                && log.matches(hint)
                && hint.term <= prev.term
                && above.all(|index| log.term_at(index) > Some(prev.term))
        })
    })
}

fn does_not_lead(it: &ServerStep<'_>) -> bool {
    let goes_on = it.next.term >= it.i.term && !it.crashes();
    it.next.role != Role::Leader && goes_on && !it.was_removed_as_leader()
}

fn commits_as_told(it: &ServerStep<'_>) -> bool {
    let told = match it.of_leader().map(|m| &m.body) {
        Some(Body::AppendEntries {
            prev,
            entries,
            commit,
        }) if fits(it, *prev) => (*commit).min(prev.index + entries.len() as u32),
        Some(Body::Heartbeat { commit, .. }) => (*commit).min(it.i.log.last_index()),
        Some(Body::InstallSnapshot {
            last,
            configuration,
        }) if configuration.members().contains(it.i.id) => last.index,
        _ => 0,
    };
    it.next.commit == it.i.commit.max(told)
}

fn leads_now(it: &ServerStep<'_>) -> bool {
    it.leads()
}

/// Whether a leader commits what it must in a step: the highest index that a quorum has, and whenever it has applied a
/// change the highest that a quorum of the new configuration has. (Once it has applied its own removal, that of etcd's
/// raft looks again only when somebody acknowledges something.)
fn commits_what_a_majority_has(it: &ServerStep<'_>) -> bool {
    if it.settings.is_async {
        return commits_what_is_durable(it);
    }
    let next = it.next;
    let led = it.i.role == Role::Leader && it.i.term == next.term;
    let acknowledged = it.for_leader().and_then(|m| match m.body {
        Body::AppendEntriesAccepted { index } if index <= it.i.log.last_index() => {
            Some((m.from, index))
        }
        _ => None,
    });
    let matched = |j: Id| {
        let known = it.i.peer(j).filter(|_| led).map_or(0, |peer| peer.matched);
        match acknowledged {
            Some((from, index)) if from == j => known.max(index),
            _ => known,
        }
    };
    let appends = next.log.last_index() > it.i.log.last_index();
    let peers = it.i.peers.as_ref();
    let forgotten = peers.is_some_and(|peers| peers[it.i.id.slot()].is_forgotten());
    // Who has come back counts for nothing before it has acknowledged something, the leader itself included.
    let mut known = it.i.configuration.members();
    if forgotten && !appends {
        known.remove(next.id);
    }
    let mut configuration = it.i.configuration;
    let mut commit = it.i.commit;
    // What the leader appends in the step: first what it was asked for, or the entry of a new leader, and later maybe
    // that it leaves a joint configuration.
    let asked = match it.proposal() {
        Some(payloads) => payloads.len() as u32,
        None => u32::from(!led),
    };
    let last_index = next.log.last_index();
    let mut last = last_index.min(it.i.log.last_index() + asked);
    let mut leads = true;
    let waits = it.settings.departs(Departure::RemovedLeaderWaits);
    let mut looks = it.votes() || appends || acknowledged.is_some();
    for applied in it.i.commit.. {
        // Every entry is applied in its turn, the first of these before the step.
        let change = (applied > it.i.commit).then(|| next.log.entry(applied));
        let change = change.flatten().and_then(|it| it.payload.as_conf_change());
        if change.is_some() {
            known = known.and(members_throughout(next, configuration, applied..=applied));
            configuration = governing(next, configuration, applied..=applied);
            let votes = configuration.all_voters().contains(next.id);
            leads &= votes || !it.settings.step_down_on_removal;
            looks = leads && (votes || !waits);
        }
        if applied > it.i.commit && configuration.auto_leave && last < last_index {
            last = last_index;
            looks = leads;
        }
        if looks {
            let counted = |index: &u32| {
                let mut have = IdSet::EMPTY;
                let members = configuration.members().and(known).iter();
                members
                    .filter(|j| *j == next.id || matched(*j) >= *index)
                    .for_each(|j| have.insert(j));
                next.log.term_at(*index) == Some(next.term) && is_quorum(configuration, have)
            };
            commit = (commit + 1..=last).rev().find(counted).unwrap_or(commit);
            looks = false;
        }
        if applied >= commit {
            break;
        }
    }
    next.commit == commit
}

/// With asynchronous storage a leader counts itself as it counts others: as far as it has heard that its entries are
/// durable. It looks when it hears of an acknowledgement, its own included, and when it applies a change. One that has
/// removed itself may wait for an acknowledgement of something new ([`Departure::RemovedLeaderWaits`]).
fn commits_what_is_durable(it: &ServerStep<'_>) -> bool {
    let (i, next) = (it.i, it.next);
    let Some(peers) = &next.peers else {
        // It has applied its own removal.
        return next.commit >= i.commit;
    };
    let own = |i: &Server| i.peers.as_ref().map(|peers| peers[i.id.slot()].matched);
    let changes = it.reconfigures();
    let waits = it.settings.departs(Departure::RemovedLeaderWaits);
    let may_look = !waits || it.next.configuration.all_voters().contains(next.id);
    let heard = it.for_leader().is_some_and(|m| {
        let matched = |i: &Server| i.peer(m.from).map(|peer| peer.matched);
        may_look || matched(i) != matched(next)
    });
    let looks = heard || may_look && (changes || own(i) != own(next));
    let counted = |index: &u32| {
        let mut have = IdSet::EMPTY;
        let members = next.configuration.members().iter();
        let members = members.filter(|j| peers[j.slot()].matched >= *index);
        members.for_each(|j| have.insert(j));
        next.log.term_at(*index) == Some(next.term) && next.configuration.is_quorum(have)
    };
    let mut above = i.commit + 1..=next.log.last_index();
    let highest = above.clone().rev().find(counted).unwrap_or(i.commit);
    match looks {
        // Several changes at once may each have committed something.
        true if changes => next.commit >= highest,
        true => next.commit == highest,
        false => next.commit == i.commit || above.all(|index| index > next.commit),
    }
}

fn commits_more(it: &ServerStep<'_>) -> bool {
    it.still_leads() && it.next.commit > it.i.commit
}

fn tells_commit(it: &ServerStep<'_>) -> bool {
    let answers = it.for_leader().map(|m| m.from);
    it.who_stay().all(|j| {
        let held_back = it.i.peer(j).is_some_and(Progress::is_paused) && answers != Some(j);
        // A peer that takes no more after an append of this step hears of what was committed later another time.
        let stopped = it.next.peer(j).is_some_and(Progress::is_paused);
        let tells = |m: &Message| match m.body {
            Body::AppendEntries { commit, .. } => {
                m.to == j && (stopped || commit == it.next.commit)
            }
            _ => false,
        };
        held_back || needs_snapshot(it, j) || appends(it).any(tells)
    })
}

/// Whether the log has no append for a peer, so that it waits for a snapshot or for being heard from.
fn needs_snapshot(it: &ServerStep<'_>, j: Id) -> bool {
    it.next.peer(j).is_some_and(|peer| {
        let gone = it.next.log.term_at(peer.next.saturating_sub(1)).is_none();
        gone || peer.flow == Flow::Snapshot
    })
}

/// Whether a peer was sent what it lacks: an append, or a snapshot if that is what it needs.
fn is_sent_more(it: &ServerStep<'_>, j: Id) -> bool {
    it.sent().iter().any(|m| match m.body {
        Body::AppendEntries { .. } => m.to == j,
        Body::InstallSnapshot { .. } => m.to == j && needs_snapshot(it, j),
        _ => false,
    })
}

/// The acknowledgement of a peer that says something new, with what the leader knew of the peer.
fn news<'a>(it: &ServerStep<'a>) -> Option<(&'a Message, u32, &'a Progress)> {
    let m = it.for_leader()?;
    let Body::AppendEntriesAccepted { index } = m.body else {
        return None;
    };
    let old = it.i.peer(m.from)?;
    let new = match old.flow {
        Flow::Probe => index >= old.matched,
        Flow::Replicate | Flow::Snapshot => index > old.matched,
    };
    (new && index <= it.i.log.last_index()).then_some((m, index, old))
}

fn answers_probe(it: &ServerStep<'_>) -> bool {
    // What it says may be what removes it.
    let stays = |m: &Message| it.who_stay().any(|j| j == m.from);
    it.still_leads() && news(it).is_some_and(|(m, _, old)| old.flow == Flow::Probe && stays(m))
}

fn acknowledges_more(it: &ServerStep<'_>) -> bool {
    let by_appends = |(m, ..): (&Message, u32, &Progress)| !needs_snapshot(it, m.from);
    news(it).is_some_and(by_appends) && it.i.commit == it.next.commit
}

fn commit_is_caught_up(it: &ServerStep<'_>) -> bool {
    news(it).is_none_or(|(m, index, old)| {
        let has_been_sent = match old.flow {
            Flow::Probe => index,
            Flow::Replicate | Flow::Snapshot => index.max(old.next - 1),
        };
        let can_commit = it.i.commit.min(has_been_sent);
        let mut without_entries = appends(it).filter(
            |m| matches!(&m.body, Body::AppendEntries { entries, .. } if entries.is_empty()),
        );
        match old.commit_sent < can_commit {
            true => appends(it).any(|append| append.to == m.from),
            false => without_entries.next().is_none(),
        }
    })
}

fn is_answered(it: &ServerStep<'_>) -> bool {
    it.still_leads()
}

fn match_is_acknowledged(it: &ServerStep<'_>) -> bool {
    let acknowledged = it.for_leader().and_then(|m| match m.body {
        Body::AppendEntriesAccepted { index } => Some((m.from, index)),
        _ => None,
    });
    let matched = |i: &Server, j| i.peer(j).map_or(0, |peer| peer.matched);
    it.who_stay().all(|j| {
        let old = matched(it.i, j);
        let new = match acknowledged {
            // Behind the log there is nothing to have.
            Some((from, index)) if from == j && index <= it.i.log.last_index() => old.max(index),
            _ => old,
        };
        matched(it.next, j) == new
    })
}

/// The refusal, and what the leader knew of the peer.
fn refusal<'a>(it: &ServerStep<'a>) -> Option<(&'a Message, u32, Position, &'a Progress)> {
    let m = it.for_leader()?;
    match m.body {
        Body::AppendEntriesRejected { index, hint } => Some((m, index, hint, it.i.peer(m.from)?)),
        _ => None,
    }
}

fn is_refused(it: &ServerStep<'_>) -> bool {
    refusal(it).is_some()
}

fn backs_off(it: &ServerStep<'_>) -> bool {
    refusal(it).is_none_or(|(m, index, hint, old)| {
        let Some(new) = it.next.peer(m.from) else {
            return false;
        };
        let retried = |prev: u32| {
            is_snapshot_sent(it, m.from, prev) || appends(it).any(|append| {
                append.to == m.from
                    && matches!(append.body, Body::AppendEntries { prev: at, .. } if at.index == prev)
            })
        };
        let stale = match old.flow {
            Flow::Replicate => index <= old.matched,
            Flow::Probe | Flow::Snapshot => index + 1 != old.next,
        };
        if stale {
            let mut heard = old.clone();
            heard.recent_active = true;
            return *new == heard && it.sends([]);
        }
        // While a snapshot is on its way nothing is sent, and what is sent afterwards does not depend on `next`.
        if old.flow == Flow::Snapshot {
            return new.flow == Flow::Snapshot && it.sends([]);
        }
        let snapshot = it.i.log.snapshot();
        // Below the snapshot there is nothing to probe with.
        let gone = new.flow == Flow::Snapshot && new.pending == snapshot.index;
        let at = match gone {
            true => snapshot.index - 1,
            false => new.next.saturating_sub(1),
        };
        let tight = match old.flow {
            Flow::Replicate if gone => old.matched < snapshot.index,
            Flow::Replicate => at == old.matched,
            Flow::Probe | Flow::Snapshot => {
                let log = &it.i.log;
                let limit = index.saturating_sub(1).min(hint.index);
                let possible = |index: &u32| hint.term == 0 || log.term_at(*index) <= Some(hint.term);
                let highest = (old.matched + 1..=limit).rev().find(possible);
                let highest = highest.unwrap_or(old.matched);
                at == highest || gone && highest < snapshot.index
            }
        };
        let probed = new.flow == Flow::Probe || gone;
        probed && at >= old.matched && tight && retried(at)
    })
}

/// Whether a peer was sent a snapshot in place of an append behind `prev`.
fn is_snapshot_sent(it: &ServerStep<'_>, j: Id, prev: u32) -> bool {
    let snapshot = |m: &&Message| m.to == j && matches!(m.body, Body::InstallSnapshot { .. });
    it.i.log.term_at(prev).is_none() && it.sent().iter().any(snapshot)
}

fn beats(it: &ServerStep<'_>) -> bool {
    matches!(it.action, Action::Heartbeat(_)) && it.i.role == Role::Leader
}

fn beats_once_to_each(it: &ServerStep<'_>) -> bool {
    // Of the round of the last read that waits for one.
    let round = match &it.i.reads {
        Some(reads) if !reads.unconfirmed.is_empty() => {
            reads.confirmed + reads.unconfirmed.len() as u32
        }
        _ => 0,
    };
    let beat = |j| {
        let matched = it.i.peer(j).map_or(0, |peer| peer.matched);
        let commit = it.i.commit.min(matched);
        (j, it.i.term, Body::Heartbeat { commit, round })
    };
    it.still_leads() && it.sends(it.others().map(beat))
}

/// The round of reads that a heartbeat is of.
fn round_of(m: &Message) -> u32 {
    match m.body {
        Body::Heartbeat { round, .. } => round,
        _ => 0,
    }
}

fn hears_heartbeat(it: &ServerStep<'_>) -> bool {
    it.of_leader()
        .is_some_and(|m| matches!(m.body, Body::Heartbeat { .. }))
}

fn hears_from_behind(it: &ServerStep<'_>) -> bool {
    it.for_leader().is_some_and(|m| {
        let behind = |peer: &Progress| match peer.flow {
            Flow::Probe => true,
            Flow::Replicate => peer.matched < it.i.log.last_index(),
            Flow::Snapshot => false,
        };
        matches!(m.body, Body::HeartbeatResponse { .. }) && it.i.peer(m.from).is_some_and(behind)
    })
}

fn flow_is_controlled(it: &ServerStep<'_>) -> bool {
    let answers = it.for_leader().map(|m| m.from);
    let with_entries = |m: &&Message| matches!(&m.body, Body::AppendEntries { entries, .. } if !entries.is_empty());
    it.next.role != Role::Leader
        || it.next.others().all(|j| {
            // To who goes and comes back in one step it sends as to two servers.
            let returns = it.i.peer(j).is_some() && !it.who_stay().any(|it| it == j);
            if returns {
                return true;
            }
            let (old, Some(new)) = (it.i.peer(j), it.next.peer(j)) else {
                return appends(it).all(|m| m.to != j);
            };
            let mut to_it = appends(it).filter(|m| m.to == j);
            let held_back = old.is_some_and(Progress::is_paused) && answers != Some(j);
            let ahead = appends(it).filter(|m| m.to == j).filter(with_entries);
            match new.flow {
                _ if held_back => to_it.next().is_none(),
                _ if to_it.next().is_none() => true,
                Flow::Snapshot => false,
                // An append without entries holds nothing back.
                Flow::Probe => match ahead.count() {
                    0 => !new.paused,
                    1 => new.paused,
                    _ => false,
                },
                Flow::Replicate => ahead.into_iter().all(|m| {
                    let last = match &m.body {
                        Body::AppendEntries { prev, entries, .. } => {
                            prev.index + entries.len() as u32
                        }
                        _ => 0,
                    };
                    new.inflight.iter().any(|sent| sent == last)
                }),
            }
        })
}
