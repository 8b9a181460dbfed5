//! Witnesses: things that must happen somewhere, or the properties were hardly put to the test.

use super::step::{asked_in_lease, commits_as_leader, finds_no_quorum};
use super::{OnState, OnStep, Reached, ServerStep, Standing, Witness};
use crate::cluster::Action;
use crate::ids::IdSet;
use crate::message::{Body, Entry, Message, Position};
use crate::server::{Flow, Progress, Server};
use lockstep_traces::Role;

pub(super) const ALL: &[Witness] = &[
    on_state(
        "leader_elected_reachable",
        "a server leads",
        "smoke",
        |_, state| leaders(state).count() > 0,
    ),
    on_state(
        "two_leaders_reachable",
        "two servers lead at once, in different terms: the older one does not know yet",
        "default",
        |_, state| leaders(state).count() > 1,
    ),
    on_state(
        "split_vote_reachable",
        "two candidates compete in the same term",
        "pair",
        |_, state| {
            let candidates = |i: &&Server| i.role == Role::Candidate;
            let mut terms = state.servers.iter().filter(candidates).map(|i| i.term);
            let first = terms.next();
            first.is_some_and(|first| terms.any(|term| term == first))
        },
    ),
    on_state(
        "entry_committed_reachable",
        "a leader commits the entry that it appended when it was elected",
        "smoke",
        |_, state| state.servers.iter().any(|i| i.commit > 0),
    ),
    on_state(
        "value_committed_reachable",
        "a client's value is committed at a majority",
        "smoke",
        |cluster, state| {
            let has_value = |i: &&Server| (1..=i.commit).any(|index| is_value(i.log.entry(index)));
            let mut have = IdSet::EMPTY;
            let servers = state.servers.iter().filter(has_value);
            servers.for_each(|i| have.insert(i.id));
            cluster.settings.configuration.is_quorum(have)
        },
    ),
    on_state(
        "peer_paused_reachable",
        "a leader that probes a peer holds back appends until it answers",
        "smoke",
        |_, state| peers(state).any(|peer| peer.flow == Flow::Probe && peer.paused),
    ),
    on_state(
        "window_full_reachable",
        "as many appends are on their way to a peer as may be, and it is held back",
        "window",
        |cluster, state| {
            let max_inflight = cluster.settings.max_inflight;
            peers(state).any(|peer| peer.paused && peer.is_full(max_inflight))
        },
    ),
    on_step(
        "conflict_repaired_reachable",
        "an entry that a leader appended is overwritten by a later leader: the log conflict is repaired",
        "votes",
        |it| {
            it.moved().is_some_and(|(i, next)| {
                (1..=i.log.last_index()).any(|index| i.log.entry(index) != next.log.entry(index))
            })
        },
    ),
    on_step(
        "refused_by_lease_reachable",
        "a pre-vote request is ignored because the lease of a leader is live",
        "pair",
        |it| {
            let asks = |m: &Message| matches!(m.body, Body::RequestPreVote { .. });
            it.delivered.is_some_and(asks) && asked_in_lease(it).is_some_and(|(i, _)| i.lease)
        },
    ),
    on_step(
        "granted_after_lease_expired_reachable",
        "a follower whose lease has expired votes against the leader that it knows",
        "lease",
        |it| {
            it.moved().is_some_and(|(i, next)| {
                let knew_leader = i.role == Role::Follower && i.leader.is_some() && !i.lease;
                it.settings.check_quorum
                    && knew_leader
                    && next.term > i.term
                    && next.vote.is_some()
                    && next.vote != Some(i.id)
            })
        },
    ),
    on_step(
        "stepped_down_by_check_quorum_reachable",
        "a leader that hears from no majority steps down",
        "smoke",
        |it| finds_no_quorum(it).is_some_and(|(_, next)| next.role == Role::Follower),
    ),
    on_step(
        "survived_check_quorum_reachable",
        "a leader passes a quorum check because a majority has answered",
        "smoke",
        |it| {
            matches!(it.action, Action::CheckQuorum(_))
                && it.moved().is_some_and(|(i, next)| {
                    i.role == Role::Leader && next.role == Role::Leader && i != next
                })
                && finds_no_quorum(it).is_none()
        },
    ),
    on_step(
        "deposed_by_empty_acknowledgement_reachable",
        "a stale leader learns of a higher term from the empty acknowledgement of its append",
        "votes",
        |it| {
            it.delivered
                .is_some_and(|m| m.body == Body::AppendEntriesAccepted { index: 0 })
                && it
                    .moved()
                    .is_some_and(|(i, next)| i.role == Role::Leader && next.term > i.term)
        },
    ),
    on_step(
        "vote_repeated_reachable",
        "a vote is granted again to the candidate that already has it",
        "window",
        |it| {
            let asks = |m: &&Message| matches!(m.body, Body::RequestVote { .. });
            it.delivered.filter(asks).is_some_and(|m| {
                it.moved()
                    .is_some_and(|(i, _)| i.term == m.term && i.vote == Some(m.from))
                    && it.left().iter().any(|a| {
                        let granted = Body::RequestVoteResponse { granted: true };
                        a.to == m.from && a.body == granted
                    })
            })
        },
    ),
    on_step(
        "vote_refused_by_log_reachable",
        "a vote is refused because the candidate's log is behind",
        "votes",
        |it| {
            it.delivered.is_some_and(|m| match m.body {
                Body::RequestVote { last, .. } => it.moved().is_some_and(|(i, next)| {
                    last < i.log.last() && m.term > i.term && next.vote.is_none()
                }),
                _ => false,
            })
        },
    ),
    on_step(
        "voted_as_pre_candidate_reachable",
        "a pre-candidate gives its real vote to another server",
        "votes",
        |it| {
            it.moved().is_some_and(|(i, next)| {
                i.role == Role::PreCandidate
                    && next.role == Role::PreCandidate
                    && i.vote != next.vote
            })
        },
    ),
    on_step(
        "late_pre_vote_counted_reachable",
        "a pre-vote granted for an earlier round counts in a later round of the same term",
        "pair",
        |it| {
            let grants = |m: &&Message| m.body == Body::RequestPreVoteResponse { granted: true };
            it.delivered.filter(grants).is_some_and(|m| {
                it.moved().is_some_and(|(i, next)| {
                    i.role == Role::PreCandidate && m.term == i.term && i != next
                })
            })
        },
    ),
    on_step(
        "leader_restarted_reachable",
        "a leader crashes and comes back as a follower",
        "pair",
        |it| {
            matches!(it.action, Action::Restart(_))
                && it.moved().is_some_and(|(i, _)| i.role == Role::Leader)
        },
    ),
    on_step(
        "committed_by_heartbeat_reachable",
        "a follower learns of a commit from a heartbeat",
        "smoke",
        |it| {
            it.delivered
                .is_some_and(|m| matches!(m.body, Body::Heartbeat { .. }))
                && it.moved().is_some_and(|(i, next)| next.commit > i.commit)
        },
    ),
    on_step(
        "old_term_committed_reachable",
        "a leader commits an entry of an older term, only together with one of its own",
        "votes",
        |it| {
            commits_as_leader(it).is_some_and(|(i, next)| {
                (i.commit + 1..=next.commit).any(|index| next.log.term_at(index) != Some(next.term))
            })
        },
    ),
    on_step(
        "follower_hint_reachable",
        "a follower that refuses an append passes over an entry of its own whose term is too new",
        "conflict",
        |it| {
            it.delivered.is_some_and(|m| match m.body {
                Body::AppendEntries { prev, .. } => it.moved().is_some_and(|(i, next)| {
                    let upper = prev.index.min(i.log.last_index());
                    m.term >= i.term
                        && i.role != Role::Leader
                        && prev.index >= i.commit
                        && !i.log.matches(prev)
                        && next.log.find_conflict_by_term(upper, prev.term).index < upper
                }),
                _ => false,
            })
        },
    ),
    on_step(
        "leader_hint_reachable",
        "a leader whose append was refused passes over an entry of its own whose term is too new",
        "conflict",
        |it| {
            it.delivered.is_some_and(|m| match m.body {
                Body::AppendEntriesRejected { hint, .. } => it.moved().is_some_and(|(i, next)| {
                    let probe = i.log.find_conflict_by_term(hint.index, hint.term).index;
                    let next_of = |i: &Server| i.peer(m.from).map(|peer| peer.next);
                    hint.term > 0
                        && probe < hint.index
                        && next.role == Role::Leader
                        && next_of(next) < next_of(i)
                }),
                _ => false,
            })
        },
    ),
    on_step(
        "full_window_probed_reachable",
        "a heartbeat response makes a leader send an empty append to a peer whose window is full",
        "window",
        |it| {
            it.delivered.is_some_and(|m| {
                matches!(m.body, Body::HeartbeatResponse { .. })
                    && it.left().len() == 1
                    && it.moved().is_some_and(|(i, _)| {
                        i.peer(m.from)
                            .is_some_and(|peer| peer.is_full(it.settings.max_inflight))
                    })
            })
        },
    ),
    on_step(
        "window_freed_reachable",
        "an acknowledgement makes room in a full window",
        "window",
        |it| {
            let max_inflight = it.settings.max_inflight;
            it.delivered.is_some_and(|m| {
                it.moved().is_some_and(|(i, next)| {
                    let full = |i: &Server| i.peer(m.from).map(|peer| peer.is_full(max_inflight));
                    full(i) == Some(true)
                        && full(next) == Some(false)
                        && next
                            .peer(m.from)
                            .is_some_and(|peer| peer.flow == Flow::Replicate)
                })
            })
        },
    ),
    on_step(
        "transferee_campaigns_reachable",
        "a follower campaigns because its leader hands over to it",
        "transfer-lease",
        |it| {
            is_told(it)
                && it.moved().is_some_and(|(i, next)| {
                    i.role == Role::Follower && next.role == Role::Candidate
                })
        },
    ),
    on_step(
        "told_too_late_reachable",
        "a server that campaigns already is told to campaign by the leader of its term",
        "transfer",
        |it| {
            is_told(it)
                && it.moved().is_some_and(|(i, next)| {
                    it.delivered.is_some_and(|m| m.term == i.term)
                        && i.role == Role::PreCandidate
                        && i == next
                })
        },
    ),
    on_step(
        "brought_up_to_date_reachable",
        "a transferee that was behind acknowledges the last entry, and is told to campaign",
        "transfer-lease",
        |it| {
            it.delivered
                .is_some_and(|m| matches!(m.body, Body::AppendEntriesAccepted { .. }))
                && it.left().iter().any(|m| m.body == Body::TimeoutNow)
        },
    ),
    on_step(
        "transfer_replaced_reachable",
        "a leader that hands over to one server is asked to hand over to another",
        "transfer",
        |it| {
            it.moved().is_some_and(|(i, next)| {
                i.transferee.is_some()
                    && next.transferee.is_some()
                    && i.transferee != next.transferee
            })
        },
    ),
    on_step(
        "given_up_too_late_reachable",
        "a leader gives a transfer up although it has told the transferee to campaign",
        "transfer-lease",
        |it| {
            matches!(it.action, Action::CheckQuorum(_))
                && it.moved().is_some_and(|(i, next)| {
                    let peer = i.transferee.and_then(|to| i.peer(to));
                    next.role == Role::Leader
                        && peer.is_some_and(|peer| peer.matched == i.log.last_index())
                })
        },
    ),
    on_step(
        "voted_past_lease_reachable",
        "a follower in the lease of its leader votes for the server that the leader hands over to",
        "transfer-lease",
        |it| {
            it.delivered.is_some_and(|m| {
                matches!(m.body, Body::RequestVote { transfer: true, .. })
                    && it
                        .moved()
                        .is_some_and(|(i, next)| i.lease && next.vote == Some(m.from))
            })
        },
    ),
    on_step(
        "forgotten_in_lease_reachable",
        "a follower forgets a leader whose lease is live",
        "forget",
        |it| {
            matches!(it.action, Action::ForgetLeader(_)) && it.moved().is_some_and(|(i, _)| i.lease)
        },
    ),
    on_step(
        "voted_after_forgetting_reachable",
        "a follower that has an entry of its leader, but knows it no longer, votes for another server",
        "forget",
        |it| {
            it.moved().is_some_and(|(i, next)| {
                let forgot =
                    i.leader.is_none() && i.log.last().term == i.term && i.vote != Some(i.id);
                i.role == Role::Follower && forgot && next.term > i.term && next.vote.is_some()
            })
        },
    ),
    on_step(
        "forwarded_proposal_appended_reachable",
        "a leader appends what a follower has forwarded",
        "forward",
        |it| is_forwarded(it) && it.moved().is_some_and(|(i, next)| i.log != next.log),
    ),
    on_step(
        "uncommitted_limit_met_reachable",
        "a leader refuses what a follower has forwarded, because too much is uncommitted",
        "forward",
        |it| {
            is_forwarded(it)
                && it.moved().is_some_and(|(i, next)| {
                    i.transferee.is_none() && !i.has_room_for(it.settings, 1) && i == next
                })
        },
    ),
    on_step(
        "snapshot_installed_reachable",
        "a follower replaces its log by a snapshot",
        "snapshot",
        |it| {
            snapshot_of(it).is_some_and(|last| {
                it.moved().is_some_and(|(i, next)| {
                    i.log.snapshot() != last && next.log.snapshot() == last
                })
            })
        },
    ),
    on_step(
        "conflicting_log_replaced_reachable",
        "a snapshot replaces a log that has other entries where it ends",
        "snapshot-conflict",
        |it| {
            snapshot_of(it).is_some_and(|last| {
                it.moved().is_some_and(|(i, next)| {
                    i.log.last_index() >= last.index && i.log.snapshot() != next.log.snapshot()
                })
            })
        },
    ),
    on_step(
        "longer_log_kept_reachable",
        "a snapshot ends within a log that has its last entry, and the log is kept",
        "snapshot-longer",
        |it| {
            snapshot_of(it).is_some_and(|last| {
                it.moved().is_some_and(|(i, next)| {
                    next.commit == last.index
                        && i.commit < last.index
                        && i.log.last_index() > last.index
                        && i.log == next.log
                })
            })
        },
    ),
    on_state(
        "compacted_past_snapshot_reachable",
        "a peer has the snapshot that it was sent, but the leader has compacted more since",
        "snapshot-again",
        |_, state| {
            peers(state).any(|peer| peer.flow == Flow::Snapshot && peer.matched >= peer.pending)
        },
    ),
    on_step(
        "restarted_from_snapshot_reachable",
        "a server comes back from a snapshot and the entries behind it",
        "snapshot-restart",
        |it| {
            matches!(it.action, Action::Restart(_))
                && it.moved().is_some_and(|(_, next)| {
                    let snapshot = next.log.snapshot().index;
                    snapshot > 0 && next.log.last_index() > snapshot
                })
        },
    ),
];

pub(super) const fn on_state(
    name: &'static str,
    story: &'static str,
    preset: &'static str,
    reached: OnState,
) -> Witness {
    Witness {
        name,
        story,
        preset,
        reached: Reached::State(reached),
    }
}

pub(super) const fn on_step(
    name: &'static str,
    story: &'static str,
    preset: &'static str,
    reached: OnStep,
) -> Witness {
    Witness {
        name,
        story,
        preset,
        reached: Reached::Step(reached),
    }
}

fn leaders(state: Standing<'_>) -> impl Iterator<Item = &Server> {
    state.servers.iter().filter(|i| i.role == Role::Leader)
}

/// The progress of peers, as leaders know it.
fn peers(state: Standing<'_>) -> impl Iterator<Item = &Progress> {
    leaders(state).flat_map(|i| i.peers.iter().flat_map(|peers| peers.iter()))
}

fn is_value(entry: Option<Entry>) -> bool {
    entry.is_some_and(|entry| entry.payload.as_value().is_some())
}

/// Whether a server is told to campaign.
fn is_told(it: &ServerStep<'_>) -> bool {
    it.delivered.is_some_and(|m| m.body == Body::TimeoutNow)
}

/// Whether a leader is handed a proposal that a follower has forwarded.
fn is_forwarded(it: &ServerStep<'_>) -> bool {
    let forwards = |m: &Message| matches!(m.body, Body::Propose { .. });
    it.delivered.is_some_and(forwards) && it.i.role == Role::Leader
}

/// The last entry of the snapshot that is delivered.
fn snapshot_of(it: &ServerStep<'_>) -> Option<Position> {
    match it.delivered?.body {
        Body::InstallSnapshot { last, .. } => Some(last),
        _ => None,
    }
}
