//! Properties of states.

use super::membership::{is_decided, is_quorum};
use super::{Standing, StateKind, StateProperty};
use crate::bounds::Kind;
use crate::cluster::{Cluster, ClusterState};
use crate::ids::{Id, IdSet};
use crate::message::{Body, Message};
use crate::server::{Flow, Log, Progress, Server};
use lockstep_traces::Role;

pub(super) const ALL: &[StateProperty] = &[
    StateProperty {
        name: "well_formed_inv",
        source: "every server is consistent in itself: its commit index is within its log, no entry is \
                 newer than its term, votes, lease and progress exist in their roles only",
        kind: StateKind::State {
            holds: well_formed_inv,
            antecedent: |_, _| true,
        },
    },
    StateProperty {
        name: "election_safety_inv",
        source: "\"at most one leader can be elected in a given term\" (paper, figure 3), counting \
                 leaders that have crashed since: one life of one server",
        kind: StateKind::State {
            holds: election_safety_inv,
            antecedent: |_, state| state.history.leaders().any(|leaders| !leaders.is_empty()),
        },
    },
    StateProperty {
        name: "log_matching_inv",
        source: "\"if two logs contain an entry with the same index and term, then the logs are \
                 identical in all entries up through the given index\" (paper, figure 3)",
        kind: StateKind::State {
            holds: log_matching_inv,
            antecedent: |_, state| pairs(state).any(|(a, b)| last_common_term(a, b).is_some()),
        },
    },
    StateProperty {
        name: "leader_completeness_inv",
        source: "\"if a log entry is committed in a given term, then that entry will be present in the \
                 logs of the leaders for all higher-numbered terms\" (paper, figure 3)",
        kind: StateKind::State {
            holds: leader_completeness_inv,
            antecedent: |_, state| {
                let first = state.history.committed_in().next();
                leaders(state).any(|leader| first.is_some_and(|term| term < leader.term))
            },
        },
    },
    StateProperty {
        name: "state_machine_safety_inv",
        source: "\"if a server has applied a log entry at a given index to its state machine, no other \
                 server will ever apply a different log entry for the same index\" (paper, figure 3)",
        kind: StateKind::State {
            holds: state_machine_safety_inv,
            antecedent: |_, state| pairs(state).any(|(a, b)| a.commit.min(b.commit) > 0),
        },
    },
    StateProperty {
        name: "snapshot_is_committed_inv",
        source: "\"the last included index is the index of the last entry in the log that the snapshot \
                 replaces (the last entry the state machine had applied), and the last included term is the \
                 term of this entry\" (paper, section 7): what a snapshot stands for was committed",
        kind: StateKind::State {
            holds: snapshot_is_committed_inv,
            antecedent: |_, state| state.servers.iter().any(|i| i.log.snapshot().index > 0),
        },
    },
    StateProperty {
        name: "committed_on_quorum_inv",
        source: "\"a log entry is committed once the leader that created the entry has replicated it on \
                 a majority of the servers\" (paper, section 5.3), for good as long as these stay the same; where they change, \
                 `leader_commit_step` says when. With asynchronous storage: on their stable storage",
        kind: StateKind::State {
            holds: committed_on_quorum_inv,
            antecedent: |cluster, state| {
                !cluster.settings.may_change && state.servers.iter().any(|server| server.commit > 0)
            },
        },
    },
    StateProperty {
        name: "match_is_replicated_inv",
        source: "matchIndex: \"index of highest log entry known to be replicated on server\" (paper, \
                 figure 2), as long as that server has seen no higher term; durable there",
        kind: StateKind::State {
            holds: match_is_replicated_inv,
            antecedent: |_, state| {
                let peers = |leader: &Server| leader.peers.clone();
                let mut peers = leaders(state).filter_map(peers);
                peers.any(|peers| peers.iter().any(|peer| peer.matched > 0))
            },
        },
    },
    StateProperty {
        name: "elected_by_quorum_inv",
        source: "\"a candidate wins an election if it receives votes from a majority of the servers in \
                 the full cluster for the same term\" (paper, section 5.2): those servers have its name \
                 as their vote, or a later term, on stable storage; where the configuration changes, `elected_step` says it",
        kind: StateKind::State {
            holds: elected_by_quorum_inv,
            antecedent: |cluster, state| {
                !cluster.settings.may_change && leaders(state).next().is_some()
            },
        },
    },
    StateProperty {
        name: "undecided_inv",
        source: "who has the votes of a majority, its own among them, leads (paper, section 5.2), and who can no longer get \
                 them gives up (etcd's raft, quorum.VoteLost)",
        kind: StateKind::State {
            holds: undecided_inv,
            antecedent: |_, state| campaigners(state).next().is_some(),
        },
    },
    StateProperty {
        name: "known_leader_inv",
        source: "the leader that a server follows was elected in its term (paper, section 5.2)",
        kind: StateKind::State {
            holds: |_, state| {
                state.servers.iter().all(|i| {
                    let elected = state.history.leaders_of(i.term);
                    i.leader.is_none_or(|leader| elected.contains(leader))
                })
            },
            antecedent: |_, state| {
                let follows = |i: &Server| i.role == Role::Follower && i.leader.is_some();
                state.servers.iter().any(follows)
            },
        },
    },
    StateProperty {
        name: "progress_inv",
        source: "what is on its way to a peer lies between what it has and what is sent next, oldest \
                 first; nothing is while it is probed, and nothing is held back otherwise unless the window \
                 is full (thesis, section 10.2.1; etcd's raft, Inflights)",
        kind: StateKind::State {
            holds: |cluster, state| {
                let most = cluster.settings.max_inflight;
                progress(state).all(|(_, peer)| is_in_order(peer, most))
            },
            antecedent: |_, state| progress(state).any(|(_, peer)| !peer.inflight.is_empty()),
        },
    },
    StateProperty {
        name: "nothing_held_back_inv",
        source: "a leader has sent a peer all that it lacks, unless it waits for an answer or the window \
                 is full (thesis, section 10.2.1: pipelining), the peer was not heard from since what it needs \
                 was compacted, or it was reported unreachable",
        kind: StateKind::State {
            holds: |cluster, state| {
                let most = cluster.settings.max_inflight;
                progress(state).all(|(leader, peer)| {
                    let all_sent = peer.next > leader.log.last_index();
                    // A snapshot goes only to a peer that was heard from.
                    let spared = !peer.recent_active && leader.log.term_at(peer.next - 1).is_none();
                    let unreachable = cluster.bounds.have(Kind::ReportUnreachable);
                    let reported = unreachable && peer.flow == Flow::Probe;
                    all_sent || peer.is_paused() || peer.is_full(most) || spared || reported
                })
            },
            antecedent: |_, state| {
                progress(state).any(|(leader, peer)| peer.next <= leader.log.last_index())
            },
        },
    },
    StateProperty {
        name: "message_terms_inv",
        source: "\"current terms are exchanged whenever servers communicate\" (paper, section 5.1): a \
                 message carries at most its sender's term; a pre-vote request at most one more, and its \
                 grant at most one more than the term of the server that asked (thesis, section 9.6)",
        kind: StateKind::Network {
            holds: message_terms_inv,
            antecedent: |cluster, state| !cluster.settings.is_async && state.network.len() > 0,
        },
    },
];

fn leaders(state: Standing<'_>) -> impl Iterator<Item = &Server> {
    state
        .servers
        .iter()
        .filter(|server| server.role == Role::Leader)
}

fn campaigners(state: Standing<'_>) -> impl Iterator<Item = &Server> {
    let campaigns = |i: &&Server| matches!(i.role, Role::PreCandidate | Role::Candidate);
    state.servers.iter().filter(campaigns)
}

/// Every leader with what it knows of each peer.
fn progress(state: Standing<'_>) -> impl Iterator<Item = (&Server, &Progress)> {
    leaders(state).flat_map(|leader| {
        let peers = leader.others().filter_map(|j| leader.peer(j));
        peers.map(move |peer| (leader, peer))
    })
}

fn pairs(state: Standing<'_>) -> impl Iterator<Item = (&Server, &Server)> {
    let servers = state.servers;
    let after = move |(slot, a): (usize, _)| servers[slot + 1..].iter().map(move |b| (a, b));
    servers.iter().enumerate().flat_map(after)
}

/// The highest index at which two logs have an entry of the same term.
fn last_common_term(a: &Server, b: &Server) -> Option<u32> {
    let last = a.log.last_index().min(b.log.last_index());
    let hidden = a.log.snapshot().index.max(b.log.snapshot().index);
    let same_term = |index: &u32| a.log.term_at(*index) == b.log.term_at(*index);
    (hidden.max(1)..=last).rev().find(same_term)
}

/// Whether two servers have the same entries up to an index, as far as both still show them: a snapshot shows the term
/// of its last entry.
fn same_entries(a: &Server, b: &Server, up_to: u32) -> bool {
    let hidden = a.log.snapshot().index.max(b.log.snapshot().index);
    let at_snapshot = hidden == 0
        || hidden > up_to
        || match (a.log.term_at(hidden), b.log.term_at(hidden)) {
            (Some(a), Some(b)) => a == b,
            _ => true,
        };
    at_snapshot && (hidden + 1..=up_to).all(|index| a.log.entry(index) == b.log.entry(index))
}

/// Whether a log has the entry with that term at that index, or hides it behind its snapshot, which stands for
/// committed entries.
fn has(log: &Log, index: u32, term: Option<u32>) -> bool {
    log.term_at(index) == term || index < log.snapshot().index
}

fn well_formed_inv(cluster: &Cluster, state: Standing<'_>) -> bool {
    let consistent = |server: &Server| server.check(&cluster.settings).is_ok();
    state.servers.iter().all(consistent)
}

fn election_safety_inv(_: &Cluster, state: Standing<'_>) -> bool {
    // A server that has led a term, has lost that in a crash and leads it again is a second leader.
    state.history.led_twice == 0 && state.history.leaders().all(|leaders| leaders.len() <= 1)
}

fn log_matching_inv(_: &Cluster, state: Standing<'_>) -> bool {
    pairs(state).all(|(a, b)| match last_common_term(a, b) {
        Some(index) => same_entries(a, b, index),
        None => true,
    })
}

fn leader_completeness_inv(_: &Cluster, state: Standing<'_>) -> bool {
    // What is committed was committed by a leader, and no server forgets its commit index. Where logs are compacted or
    // lost the history has the entries.
    let Some(witness) = state.servers.iter().max_by_key(|server| server.commit) else {
        return true;
    };
    let committed = |index| match state.history.committed_at(index) {
        Some(entry) => Some(entry),
        None => witness.log.entry(index),
    };
    leaders(state).all(|leader| {
        (1..)
            .zip(state.history.committed_in())
            .filter(|(_, term)| *term < leader.term)
            .all(|(index, _)| match leader.log.entry(index) {
                None if index <= leader.log.snapshot().index => {
                    has(&leader.log, index, committed(index).map(|entry| entry.term))
                }
                entry => entry == committed(index),
            })
    })
}

fn state_machine_safety_inv(_: &Cluster, state: Standing<'_>) -> bool {
    pairs(state).all(|(a, b)| same_entries(a, b, a.commit.min(b.commit)))
        && (state.history.committed.is_empty()
            || state.servers.iter().all(|i| is_as_committed(state, i)))
}

/// Whether what a server has applied is what the history, if it keeps that, says was committed.
fn is_as_committed(state: Standing<'_>, i: &Server) -> bool {
    let kept = state.history.committed.len() as u32;
    let snapshot = i.log.snapshot();
    let mut indexes = snapshot.index + 1..=i.commit.min(kept);
    let committed = |index| state.history.committed_at(index);
    (snapshot.index > kept || committed(snapshot.index).is_none_or(|it| it.term == snapshot.term))
        && indexes.all(|index| committed(index) == i.log.entry(index))
}

fn snapshot_is_committed_inv(_: &Cluster, state: Standing<'_>) -> bool {
    let snapshots = state.servers.iter().map(|i| i.log.snapshot());
    let mut snapshots = snapshots.filter(|snapshot| snapshot.index > 0);
    snapshots.all(|snapshot| {
        let committed = state.history.committed_in.len() >= snapshot.index as usize;
        let entry = state.history.committed_at(snapshot.index);
        committed && entry.is_none_or(|entry| entry.term == snapshot.term)
    })
}

fn committed_on_quorum_inv(cluster: &Cluster, state: Standing<'_>) -> bool {
    let mut servers = state.servers.iter();
    cluster.settings.may_change
        || servers.all(|i| {
            // Log Matching makes the last committed entry stand for those before it. Behind a snapshot the term stands
            // for the entry.
            let (entry, term) = (i.log.entry(i.commit), i.log.term_at(i.commit));
            let holds = |j: &&Server| match (entry, j.durable_log().entry(i.commit)) {
                (Some(a), Some(b)) => a == b,
                _ => has(j.durable_log(), i.commit, term),
            };
            let holders = state.servers.iter().filter(holds);
            i.commit == 0 || is_quorum(i.configuration, names(holders))
        })
}

fn match_is_replicated_inv(_: &Cluster, state: Standing<'_>) -> bool {
    leaders(state).all(|leader| {
        let others = state.servers.iter().filter(|j| j.id != leader.id);
        others.filter(|j| j.term <= leader.term).all(|j| {
            let matched = leader.peer(j.id).map_or(0, |peer| peer.matched);
            let is_on = |log: &Log| match (leader.log.entry(matched), log.entry(matched)) {
                (Some(a), Some(b)) => a == b,
                // What the leader's snapshot hides cannot be compared.
                (None, _) if matched < leader.log.snapshot().index => log.last_index() >= matched,
                _ => has(log, matched, leader.log.term_at(matched)),
            };
            is_on(&j.log) && is_on(j.durable_log())
        })
    })
}

fn elected_by_quorum_inv(cluster: &Cluster, state: Standing<'_>) -> bool {
    let mut leaders = leaders(state);
    cluster.settings.may_change
        || leaders.all(|leader| {
            let voted = |j: &&Server| {
                let durable = j.durable_hard_state();
                let same_term = durable.term == leader.term;
                durable.term > leader.term || same_term && durable.vote == Some(leader.id)
            };
            let voters = state.servers.iter().filter(voted);
            is_quorum(leader.configuration, names(voters))
        })
}

fn undecided_inv(_: &Cluster, state: Standing<'_>) -> bool {
    campaigners(state).all(|i| {
        let own_vote_waits = i.role == Role::Candidate && !i.granted.contains(i.id);
        own_vote_waits && is_quorum(i.configuration, i.granted)
            || !is_decided(i.configuration, i.granted, i.refused)
    })
}

/// The names of servers.
fn names<'a>(servers: impl Iterator<Item = &'a Server>) -> IdSet {
    let mut names = IdSet::EMPTY;
    servers.for_each(|server| names.insert(server.id));
    names
}

fn is_in_order(peer: &Progress, most: u32) -> bool {
    let sent = || peer.inflight.iter();
    let ascends = sent().zip(sent().skip(1)).all(|(a, b)| a < b);
    let between = sent().all(|index| peer.matched < index && index < peer.next);
    let last = peer.inflight.last();
    match peer.flow {
        Flow::Probe => peer.inflight.is_empty() && peer.pending == 0,
        // It may be known to have the snapshot: the leader has compacted more since, and waits for a report.
        Flow::Snapshot => peer.inflight.is_empty() && !peer.paused && peer.pending > 0,
        Flow::Replicate => {
            let full = peer.is_full(most);
            ascends
                && peer.pending == 0
                && between
                && last.is_none_or(|last| last + 1 == peer.next)
                && (full || !peer.paused)
        }
    }
}

fn message_terms_inv(cluster: &Cluster, state: &ClusterState) -> bool {
    // Requests leave before the term of their sender is durable, and a crash may take that back.
    cluster.settings.is_async
        || state.network.iter().all(|m| {
            let (id, more) = gauge(m);
            let term = state.servers.get(id.slot()).map_or(u32::MAX, |i| i.term);
            m.term <= term.saturating_add(more)
        })
}

/// Returns the limit on the term of a message: a server, and how far the message may be ahead of that server's term.
pub(crate) fn gauge(message: &Message) -> (Id, u32) {
    match message.body {
        Body::RequestPreVote { .. } => (message.from, 1),
        Body::RequestPreVoteResponse { granted: true } => (message.to, 1),
        _ => (message.from, 0),
    }
}
