//! Asynchronous storage: properties of states, and witnesses (thesis, section 3.8). The rules themselves are in
//! `rules/storage.rs`.

use super::witness::{on_state, on_step};
use super::{ServerStep, Standing, StateKind, StateProperty, Witness};
use crate::cluster::{Action, Cluster};
use crate::message::{Body, Message};
use crate::server::{Append, Image, Server, Storage};
use lockstep_traces::Role;

pub(super) const STATE: &[StateProperty] = &[
    StateProperty {
        name: "sane_after_crash_inv",
        source: "whatever outstanding appends a crash keeps, a server can come back from what is there: the commit index is \
                 within the log, the snapshot is committed, no entry is newer than the term (thesis, section 3.8)",
        kind: StateKind::State {
            holds: |cluster, state| {
                after_any_crash(cluster, state).all(|(_, _, image)| {
                    let (log, hard_state) = (&image.log, image.hard_state);
                    hard_state.commit <= log.last_index()
                        && log.snapshot().index <= hard_state.commit
                        && log.last().term <= hard_state.term
                })
            },
            antecedent: has_outstanding,
        },
    },
    StateProperty {
        name: "applied_is_durable_inv",
        source: "what a server has applied it has on stable storage, and no outstanding append takes it away: \"apply it to \
                 its state machine\" comes after it is stored (thesis, section 3.8; etcd's raft, applyUnstableEntries)",
        kind: StateKind::State {
            holds: |cluster, state| {
                after_any_crash(cluster, state).all(|(_, storage, image)| {
                    let log = &image.log;
                    let mut applied = log.snapshot().index + 1..=storage.applied;
                    storage.applied <= log.last_index()
                        && applied
                            .all(|index| log.entry(index) == state.history.committed_at(index))
                })
            },
            antecedent: |_, state| storages(state).any(|(_, storage)| storage.applied > 0),
        },
    },
    StateProperty {
        name: "stable_is_durable_inv",
        source: "entries that a server knows to be durable are, and no outstanding append overwrites them (etcd's raft, \
                 newStorageAppendRespMsg: the ABA problem)",
        kind: StateKind::State {
            holds: |cluster, state| {
                after_any_crash(cluster, state).all(|(i, storage, image)| {
                    let mut stable = i.log.snapshot().index + 1..=storage.stable;
                    storage.unstable_snapshot > 0
                        || stable.all(|index| i.log.entry(index) == image.log.entry(index))
                })
            },
            antecedent: |_, state| {
                storages(state)
                    .any(|(_, storage)| storage.stable > 0 && !storage.appends.is_empty())
            },
        },
    },
    StateProperty {
        name: "own_match_is_durable_inv",
        source: "\"each server also persists new log entries before they are counted towards the entries' commitment\" \
                 (thesis, section 3.8): what a leader counts of its own term's entries it has on stable storage",
        kind: StateKind::State {
            holds: |_, state| {
                own_matches(state).all(|(leader, index)| {
                    let own_term = leader.log.term_at(index) == Some(leader.term);
                    let durable = leader.durable_log();
                    !own_term || durable.term_at(index) == Some(leader.term)
                })
            },
            antecedent: |_, state| own_matches(state).any(|(_, index)| index > 0),
        },
    },
    StateProperty {
        name: "leader_is_durable_inv",
        source: "currentTerm and votedFor are \"updated on stable storage\" (paper, figure 2) before a server leads: a crash \
                 takes back no leadership",
        kind: StateKind::State {
            holds: |_, state| {
                storages(state).all(|(i, storage)| {
                    let durable = storage.durable.hard_state;
                    i.role != Role::Leader || (durable.term, durable.vote) == (i.term, Some(i.id))
                })
            },
            antecedent: |_, state| storages(state).any(|(i, _)| i.role == Role::Leader),
        },
    },
];

pub(super) const WITNESSES: &[Witness] = &[
    on_step(
        "vote_left_when_durable_reachable",
        "a vote leaves when the voter's term and vote are durable",
        "async-election",
        |it| {
            persisted(it).is_some_and(|(_, append)| {
                append.hard_state.is_some_and(|it| it.vote.is_some())
                    && append.responses.iter().any(is_grant)
            })
        },
    ),
    on_step(
        "own_vote_last_reachable",
        "a candidate has the votes of a majority, and leads when its own is durable",
        "async-election",
        |it| {
            persisted(it).is_some_and(|(i, _)| {
                i.configuration.is_quorum(i.granted)
                    && it
                        .moved()
                        .is_some_and(|(_, next)| next.role == Role::Leader)
            })
        },
    ),
    on_step(
        "candidacy_lost_reachable",
        "a candidate crashes before its term and vote are durable, and others have voted for it",
        "async-election",
        |it| {
            it.restarts()
                && it.moved().is_some_and(|(i, next)| {
                    i.role == Role::Candidate && !i.granted.is_empty() && next.term < i.term
                })
        },
    ),
    on_step(
        "vote_lost_reachable",
        "a voter crashes before its vote is durable, which has not left",
        "async-election",
        |it| {
            it.restarts()
                && it.moved().is_some_and(|(i, next)| {
                    i.vote.is_some_and(|to| to != i.id) && next.term < i.term
                })
        },
    ),
    on_step(
        "crash_kept_some_reachable",
        "a crash keeps the older of two outstanding appends",
        "async-single",
        |it| {
            matches!(it.action, Action::RestartKeeping(_, 1))
                && it.moved().is_some_and(|(i, _)| i.outstanding_appends() > 1)
        },
    ),
    on_step(
        "append_lost_reachable",
        "a leader crashes and loses an entry that it has sent already",
        "async-crash",
        |it| {
            it.restarts()
                && it.moved().is_some_and(|(i, next)| {
                    i.role == Role::Leader && next.log.last() < i.log.last()
                })
        },
    ),
    on_step(
        "committed_before_own_reachable",
        "a leader commits an entry that is not durable at itself",
        "async-conflict",
        |it| {
            it.moved().is_some_and(|(i, next)| {
                next.role == Role::Leader
                    && next.commit > i.commit
                    && next.durable_log().last_index() < next.commit
            })
        },
    ),
    on_step(
        "late_own_vote_reachable",
        "a server hears its own vote of an earlier term",
        "async-conflict",
        |it| hears_late(it, |m| is_grant(m) && m.to == m.from),
    ),
    on_step(
        "late_own_entries_reachable",
        "a leader of old hears in a later term that its entries are durable",
        "async-conflict",
        |it| {
            hears_late(it, |m| {
                m.to == m.from && matches!(m.body, Body::AppendEntriesAccepted { .. })
            })
        },
    ),
    on_step(
        "late_acknowledgement_reachable",
        "storage acknowledges entries in a later term, in which they are still the server's",
        "async-conflict",
        |it| acknowledged(it).is_some_and(|(i, ack)| ack.term < i.term && i.log.matches(ack.last)),
    ),
    on_step(
        "overwritten_acknowledged_reachable",
        "storage acknowledges entries that were overwritten since",
        "async-snapshot",
        |it| acknowledged(it).is_some_and(|(i, ack)| !i.log.matches(ack.last)),
    ),
    on_step(
        "earlier_round_counted_reachable",
        "a pre-candidate hears its own grant of an earlier round, and counts it",
        "async-pre-vote",
        |it| {
            persisted(it).is_some_and(|(i, append)| {
                let own = append.responses.iter().any(|m| {
                    m.to == i.id
                        && m.term == i.term
                        && m.body == Body::RequestPreVoteResponse { granted: true }
                });
                own && i.role == Role::PreCandidate
                    && it.moved().is_some_and(|(i, next)| {
                        next.granted != i.granted || next.role == Role::Candidate
                    })
            })
        },
    ),
    on_step(
        "applied_again_reachable",
        "an application that lost its state applies an entry again",
        "async-crash",
        |it| {
            it.restarts()
                && it
                    .moved()
                    .is_some_and(|(i, next)| next.applied() < i.applied())
        },
    ),
    on_state(
        "commit_ahead_of_applied_reachable",
        "a timer fires at a voter that has committed a change of the configuration and not applied it",
        "async-change",
        |_, state| {
            state.servers.iter().any(|i| {
                let mut unapplied = i.applied() + 1..=i.commit;
                let change = |index| {
                    let entry = i.log.entry(index);
                    entry.is_some_and(|entry| entry.payload.as_conf_change().is_some())
                };
                i.role == Role::Follower && unapplied.any(change)
            })
        },
    ),
    on_step(
        "unstable_replaced_reachable",
        "a snapshot replaces entries that are not durable yet",
        "async-snapshot",
        |it| {
            it.moved().is_some_and(|(i, next)| {
                let stable = i.storage.as_deref().map_or(0, |it| it.stable);
                let snapshot = it
                    .delivered
                    .is_some_and(|m| matches!(m.body, Body::InstallSnapshot { .. }));
                snapshot && next.has_unstable_snapshot() && i.log.last_index() > stable
            })
        },
    ),
    on_step(
        "late_snapshot_reachable",
        "a snapshot is durable in a later term, and is applied",
        "async-snapshot",
        |it| acknowledged(it).is_some_and(|(i, ack)| ack.term < i.term && ack.snapshot > 0),
    ),
];

fn storages(state: Standing<'_>) -> impl Iterator<Item = (&Server, &Storage)> {
    let servers = state.servers.iter();
    servers.filter_map(|i| Some((i, i.storage.as_deref()?)))
}

fn has_outstanding(_: &Cluster, state: Standing<'_>) -> bool {
    storages(state).any(|(_, storage)| !storage.appends.is_empty())
}

/// Every server with what each crash would leave of it.
fn after_any_crash<'a>(
    cluster: &'a Cluster,
    state: Standing<'a>,
) -> impl Iterator<Item = (&'a Server, &'a Storage, Image)> {
    storages(state).flat_map(move |(i, storage)| {
        (0..=storage.appends.len())
            .map(move |kept| (i, storage, storage.after_crash(&cluster.settings, kept)))
    })
}

/// Leaders, and for how far they count their own entries.
fn own_matches(state: Standing<'_>) -> impl Iterator<Item = (&Server, u32)> {
    storages(state).filter_map(|(i, _)| Some((i, i.peers.as_ref()?[i.id.slot()].matched)))
}

fn is_grant(m: &Message) -> bool {
    m.body == Body::RequestVoteResponse { granted: true }
}

/// The append that becomes durable, and the server.
fn persisted<'a>(it: &ServerStep<'a>) -> Option<(&'a Server, &'a Append)> {
    Some((it.i, it.persisted()?))
}

/// Returns the acknowledgement of entries by storage.
fn acknowledged<'a>(it: &ServerStep<'a>) -> Option<(&'a Server, crate::server::Acknowledgement)> {
    let (i, append) = persisted(it)?;
    Some((i, append.acknowledges?))
}

/// Whether a server hears such a message of an earlier term from itself.
fn hears_late(it: &ServerStep<'_>, wanted: impl Fn(&Message) -> bool) -> bool {
    persisted(it).is_some_and(|(i, append)| {
        let mut late = append.responses.iter().filter(|m| m.term < i.term);
        late.any(wanted)
    })
}
