//! Membership: properties of states, and witnesses (paper, section 6; thesis, chapter 4). The rules themselves are in
//! `rules/membership.rs`.
//!
//! Two properties of states do not hold where the configuration changes: that what is committed is on a quorum, and
//! that a leader has the votes of a quorum. Both are true of the configuration *at the step* that commits or elects,
//! and are said of that step.

use super::step::commits_as_leader;
use super::witness::{on_state, on_step};
use super::{Standing, StateKind, StateProperty, Witness};
use crate::cluster::{Action, Cluster};
use crate::configuration::{Changed, ConfChange, Configuration};
use crate::ids::IdSet;
use crate::message::{Body, Payload};
use crate::server::Server;
use lockstep_traces::Role;

pub(super) const STATE: &[StateProperty] = &[
    StateProperty {
        name: "configuration_inv",
        source: "\"cluster configurations are stored and communicated using special entries in the replicated \
                 log\" (paper, section 6): the configuration in use is the one at first with all changes that are \
                 applied, in order, and no other, or that of a snapshot that is not durable yet (etcd's raft, \
                 applyConfChange and restore)",
        kind: StateKind::State {
            holds: |cluster, state| {
                let first = cluster.settings.configuration;
                let mut servers = state.servers.iter();
                !cluster.settings.may_change
                    || servers.all(|i| {
                        let (at, base) = match i.log.snapshot().index {
                            0 => (0, first),
                            at => (at, i.log.snapshot_configuration()),
                        };
                        governing(i, base, at + 1..=i.applied()) == i.configuration
                    })
            },
            antecedent: |cluster, state| {
                let first = cluster.settings.configuration;
                state.servers.iter().any(|i| i.configuration != first)
            },
        },
    },
    StateProperty {
        name: "snapshot_configuration_inv",
        source: "\"the snapshot also includes the latest configuration in the log as of last included index\" (paper, \
                 section 7): the one at first with all changes up to there that were committed, and no other",
        kind: StateKind::State {
            holds: |cluster, state| {
                let mut servers = state.servers.iter();
                servers.all(|i| snapshot_is_as_committed(cluster, state, i))
            },
            antecedent: |cluster, state| {
                let first = cluster.settings.configuration;
                let mut servers = state.servers.iter();
                servers
                    .any(|i| i.log.snapshot().index > 0 && i.log.snapshot_configuration() != first)
            },
        },
    },
    StateProperty {
        name: "one_change_inv",
        source: "the next change has to wait until the last one is committed (thesis, section 4.1), here: applied. At a \
                 leader at most one change is in the log and not applied, inherited ones included",
        kind: StateKind::State {
            holds: |cluster, state| {
                !cluster.settings.may_change
                    || cluster.settings.disable_conf_change_validation
                    || leaders(state).all(|leader| unapplied_changes(leader).count() <= 1)
            },
            antecedent: |cluster, state| {
                !cluster.settings.disable_conf_change_validation
                    && leaders(state).any(|leader| unapplied_changes(leader).count() > 0)
            },
        },
    },
    StateProperty {
        name: "voter_campaigns_inv",
        source: "who only learns does not campaign (thesis, section 4.2.1), nor does who is no part of the configuration \
                 that it has applied, for that is committed (etcd's raft, promotable); such a server leads only until it \
                 has applied that, if it is to step down then",
        kind: StateKind::State {
            holds: |cluster, state| {
                state.servers.iter().all(|i| {
                    let must_vote = match i.role {
                        Role::Follower => false,
                        Role::PreCandidate | Role::Candidate => true,
                        Role::Leader => cluster.settings.step_down_on_removal,
                    };
                    !must_vote || votes(i)
                })
            },
            antecedent: |_, state| {
                let mut servers = state.servers.iter();
                servers.any(|i| i.role != Role::Follower && !is_everybody(i.configuration, state))
            },
        },
    },
    StateProperty {
        name: "auto_leave_inv",
        source: "a joint configuration that leaves itself is left: whoever leads and has applied it has proposed that, \
                 or has yet to apply the first entry of its term (etcd's raft, appliedTo), or hands over",
        kind: StateKind::State {
            holds: |_, state| {
                leads_auto_leave(state).all(|leader| {
                    let log = &leader.log;
                    let mut unapplied = leader.applied() + 1..=log.last_index();
                    leader.transferee.is_some()
                        || log.term_at(leader.applied()) < Some(leader.term)
                        || unapplied.any(|index| {
                            log.entry(index).is_some_and(|entry| entry.payload == LEAVE)
                        })
                })
            },
            antecedent: |_, state| {
                leads_auto_leave(state).any(|leader| leader.transferee.is_none())
            },
        },
    },
];

const LEAVE: Payload = Payload::conf_change(ConfChange::LEAVE_JOINT);

/// The configuration after the changes among these entries, from `configuration` on.
pub(super) fn governing(
    i: &Server,
    configuration: Configuration,
    indexes: std::ops::RangeInclusive<u32>,
) -> Configuration {
    changes(i, indexes).fold(configuration, |configuration, change| {
        after(configuration, change).configuration
    })
}

/// Returns the members before and after each of these entries that are not new to the leader in between.
pub(super) fn members_throughout(
    i: &Server,
    mut configuration: Configuration,
    indexes: std::ops::RangeInclusive<u32>,
) -> IdSet {
    let mut members = configuration.members();
    for change in changes(i, indexes) {
        let changed = after(configuration, change);
        configuration = changed.configuration;
        members = members.and(configuration.members()).without(changed.fresh);
    }
    members
}

/// The changes among these entries of a log.
fn changes(
    i: &Server,
    indexes: std::ops::RangeInclusive<u32>,
) -> impl Iterator<Item = ConfChange> + '_ {
    let entries = indexes.filter_map(|index| i.log.entry(index));
    entries.filter_map(|entry| entry.payload.as_conf_change())
}

/// A configuration after a change; one that does not fit changes nothing.
fn after(configuration: Configuration, change: ConfChange) -> Changed {
    configuration.apply(change).unwrap_or(Changed {
        configuration,
        fresh: IdSet::EMPTY,
    })
}

/// Whether a snapshot has the configuration that the history, if it keeps entries, says was in use at its index.
fn snapshot_is_as_committed(cluster: &Cluster, state: Standing<'_>, i: &Server) -> bool {
    let (at, kept) = (i.log.snapshot().index, &state.history.committed);
    if at == 0 || kept.len() < at as usize {
        return true;
    }
    let entries = kept.iter().take(at as usize);
    let changes = entries.filter_map(|entry| entry.payload.as_conf_change());
    let first = cluster.settings.configuration;
    i.log.snapshot_configuration()
        == changes.fold(first, |configuration, change| {
            after(configuration, change).configuration
        })
}

/// Whether these servers are a quorum: "a majority from both the old and new configurations" (paper, section 6). Counted
/// here by itself, so that a server that counts otherwise is found out.
pub(super) fn is_quorum(configuration: Configuration, ids: IdSet) -> bool {
    let halves = [configuration.voters, configuration.outgoing];
    let mut halves = halves.into_iter().filter(|half| !half.is_empty());
    halves.all(|half| 2 * half.and(ids).len() > half.len())
}

/// Whether these answers are a quorum, or leave none that could still be one.
pub(super) fn is_decided(configuration: Configuration, granted: IdSet, refused: IdSet) -> bool {
    let possible = configuration.all_voters().without(refused);
    is_quorum(configuration, granted) || !is_quorum(configuration, possible)
}

fn leaders(state: Standing<'_>) -> impl Iterator<Item = &Server> {
    state.servers.iter().filter(|i| i.role == Role::Leader)
}

/// Leaders that have applied a joint configuration that leaves itself.
fn leads_auto_leave(state: Standing<'_>) -> impl Iterator<Item = &Server> {
    leaders(state).filter(|i| i.configuration.auto_leave)
}

/// The changes in a log that are not applied yet.
fn unapplied_changes(i: &Server) -> impl Iterator<Item = ConfChange> + '_ {
    changes(i, i.applied() + 1..=i.log.last_index())
}

/// Whether a server votes in its own configuration.
fn votes(i: &Server) -> bool {
    i.configuration.all_voters().contains(i.id)
}

fn is_member(i: &Server) -> bool {
    i.configuration.members().contains(i.id)
}

/// Whether all servers vote in a configuration.
fn is_everybody(configuration: Configuration, state: Standing<'_>) -> bool {
    configuration.all_voters().len() == state.servers.len()
}

pub(super) const WITNESSES: &[Witness] = &[
    on_state(
        "two_configurations_reachable",
        "two servers use different configurations at the same time",
        "simple-change",
        |_, state| {
            let mut servers = state.servers.iter().map(|i| i.configuration);
            let first = servers.next();
            servers.any(|other| Some(other) != first)
        },
    ),
    on_state(
        "newcomer_caught_up_reachable",
        "a server that was a stranger has applied that it votes",
        "simple-change",
        |cluster, state| {
            let stranger = |i: &Server| !cluster.settings.configuration.members().contains(i.id);
            state.servers.iter().any(|i| stranger(i) && votes(i))
        },
    ),
    on_step(
        "newcomer_voted_reachable",
        "a server that is a stranger by its own configuration votes for one that counts it",
        "simple-change",
        |it| {
            let asked = it.delivered;
            asked.is_some_and(|m| matches!(m.body, Body::RequestVote { .. }))
                && it.moved().is_some_and(|(i, next)| {
                    !is_member(i) && i.vote != next.vote && next.vote.is_some()
                })
        },
    ),
    on_step(
        "change_becomes_empty_reachable",
        "a change that is proposed too early becomes an empty entry",
        "simple-change",
        |it| {
            is_change(&it.action)
                && it.moved().is_some_and(|(i, next)| {
                    let entry = next.log.entry(i.log.last_index() + 1);
                    entry.is_some_and(|entry| entry.payload == Payload::EMPTY)
                })
        },
    ),
    on_step(
        "change_overwritten_reachable",
        "a change that was not committed is overwritten: it was never in effect",
        "simple-change",
        |it| {
            it.moved().is_some_and(|(i, next)| {
                unapplied_changes(i).count() > unapplied_changes(next).count()
                    && i.commit == next.commit
            })
        },
    ),
    on_state(
        "removed_reachable",
        "a server has applied its own removal",
        "removal",
        |cluster, state| {
            let first = cluster.settings.configuration.members();
            state
                .servers
                .iter()
                .any(|i| first.contains(i.id) && !is_member(i))
        },
    ),
    on_step(
        "removed_leader_commits_reachable",
        "a leader that is not part of its own configuration commits what the others have",
        "removal",
        |it| commits_as_leader(it).is_some_and(|(i, _)| !is_member(i)),
    ),
    on_step(
        "removed_leader_steps_down_reachable",
        "a leader applies its own removal and steps down",
        "resignation",
        |it| {
            it.moved().is_some_and(|(i, next)| {
                i.role == Role::Leader
                    && next.role == Role::Follower
                    && i.term == next.term
                    && votes(i)
                    && !votes(next)
            })
        },
    ),
    on_step(
        "removed_server_returns_reachable",
        "a server that had applied its removal applies that it votes again",
        "return",
        |it| {
            it.moved().is_some_and(|(i, next)| {
                let first = |i: &Server| {
                    (1..=i.log.last_index()).find(|index| {
                        i.log
                            .entry(*index)
                            .is_some_and(|it| it.payload.as_conf_change().is_some())
                    })
                };
                !votes(i) && votes(next) && first(i).is_some_and(|index| index <= i.commit)
            })
        },
    ),
    on_state(
        "joint_reachable",
        "a leader has applied a joint configuration",
        "joint",
        |_, state| leaders(state).any(|i| i.configuration.is_joint()),
    ),
    on_step(
        "joint_left_reachable",
        "a server applies that the joint configuration is left",
        "joint",
        |it| {
            it.moved().is_some_and(|(i, next)| {
                i.configuration.is_joint() && !next.configuration.is_joint()
            })
        },
    ),
    on_step(
        "joint_left_by_successor_reachable",
        "a leader proposes to leave a joint configuration that another leader had proposed",
        "handover",
        |it| {
            it.moved().is_some_and(|(i, next)| {
                let last = next.log.entry(next.log.last_index());
                i.log.last_index() < next.log.last_index()
                    && next.role == Role::Leader
                    && next.configuration.is_joint()
                    && last.is_some_and(|entry| entry.payload == LEAVE)
                    && (1..=next.commit).any(|index| {
                        next.log.entry(index).is_some_and(|entry| {
                            entry.payload.as_conf_change().is_some() && entry.term < next.term
                        })
                    })
            })
        },
    ),
    on_step(
        "learner_demoted_reachable",
        "a voter of the old half becomes a learner when the joint configuration is left",
        "demotion",
        |it| {
            it.moved().is_some_and(|(i, next)| {
                !i.configuration.learners_next.is_empty() && !next.configuration.learners.is_empty()
            })
        },
    ),
    on_state(
        "learner_voted_reachable",
        "a learner by its own configuration has voted, and the candidate could not lead without its vote",
        "learner",
        |_, state| {
            let needed = |i: &Server, j: &Server| {
                let voted = |k: &&Server| (k.term, k.vote) == (i.term, Some(i.id));
                let mut voters = IdSet::EMPTY;
                let all = state.servers.iter().filter(voted);
                all.for_each(|k| voters.insert(k.id));
                let mut others = IdSet::EMPTY;
                voters
                    .iter()
                    .filter(|k| *k != j.id)
                    .for_each(|k| others.insert(k));
                is_quorum(i.configuration, voters) && !is_quorum(i.configuration, others)
            };
            let learns = |j: &&Server| j.configuration.learners.contains(j.id);
            leaders(state).any(|i| {
                let mut learners = state.servers.iter().filter(learns);
                learners.any(|j| i.configuration.voters.contains(j.id) && needed(i, j))
            })
        },
    ),
    on_step(
        "joined_by_snapshot_reachable",
        "a stranger learns from a snapshot that it votes",
        "snapshot-join",
        |it| {
            it.moved()
                .is_some_and(|(i, next)| replaces_log(i, next) && !is_member(i) && votes(next))
        },
    ),
    on_step(
        "snapshot_without_receiver_reachable",
        "a new member is sent a snapshot that is older than its membership, and ignores it",
        "snapshot-join",
        |it| {
            it.delivered.is_some_and(|m| match m.body {
                Body::InstallSnapshot {
                    last,
                    configuration,
                } => it.moved().is_some_and(|(i, next)| {
                    let for_others = !configuration.members().contains(i.id);
                    for_others && last.index > i.commit && next.commit == i.commit
                }),
                _ => false,
            })
        },
    ),
    on_step(
        "joint_snapshot_reachable",
        "a snapshot brings a joint configuration",
        "snapshot-joint",
        |it| {
            it.moved()
                .is_some_and(|(i, next)| replaces_log(i, next) && next.configuration.is_joint())
        },
    ),
    on_step(
        "transferee_removed_reachable",
        "a transfer ends because the transferee is removed",
        "transfer-removal",
        |it| {
            it.moved().is_some_and(|(i, next)| {
                next.role == Role::Leader
                    && next.transferee.is_none()
                    && i.transferee
                        .is_some_and(|to| !next.configuration.members().contains(to))
            })
        },
    ),
    on_step(
        "removed_leader_hands_over_reachable",
        "a leader that has applied its own removal tells another server to campaign",
        "transfer-removal",
        |it| {
            it.moved().is_some_and(|(i, next)| {
                let told = || it.left().iter().any(|m| m.body == Body::TimeoutNow);
                !is_member(i) && next.role == Role::Leader && told()
            })
        },
    ),
    on_step(
        "told_before_promotion_reachable",
        "a server that still learns by its own configuration is told to campaign, and does nothing",
        "transfer-learner",
        |it| {
            let told = it.delivered.is_some_and(|m| m.body == Body::TimeoutNow);
            told && it
                .moved()
                .is_some_and(|(i, next)| !votes(i) && next.role == Role::Follower)
        },
    ),
    on_state(
        "joint_not_left_reachable",
        "a leader that hands over has applied a joint configuration that leaves itself, and has not proposed that",
        "forward-change",
        |_, state| {
            leads_auto_leave(state).any(|leader| {
                let mut unapplied = unapplied_changes(leader);
                leader.transferee.is_some() && !unapplied.any(|change| change.leaves_joint())
            })
        },
    ),
    on_step(
        "change_forwarded_reachable",
        "a leader appends a change of the configuration that a follower has forwarded",
        "forward-change",
        |it| {
            let forwarded = it
                .delivered
                .is_some_and(|m| matches!(m.body, Body::Propose { .. }));
            forwarded
                && it.moved().is_some_and(|(i, next)| {
                    changes(next, i.log.last_index() + 1..=next.log.last_index()).count() > 0
                })
        },
    ),
    on_state(
        "learner_promoted_reachable",
        "a learner has applied its promotion",
        "learner",
        |cluster, state| {
            let first = cluster.settings.configuration.learners;
            state
                .servers
                .iter()
                .any(|i| first.contains(i.id) && votes(i))
        },
    ),
];

/// Whether a snapshot replaces the log.
fn replaces_log(i: &Server, next: &Server) -> bool {
    i.log.snapshot().index < next.log.snapshot().index && i.commit < next.log.snapshot().index
}

/// Whether a client proposes a change of the configuration.
fn is_change(action: &Action) -> bool {
    matches!(
        action,
        Action::ProposeConfChange(_) | Action::ProposeOtherConfChange(_)
    )
}
