//! Reads: what their clients may count on, and what must happen somewhere.

use super::step::{delivered, moved};
use super::witness::{on_state, on_step};
use super::{Reads, StateProperty, Witness};
use crate::bounds::Timing;
use crate::cluster::{Cluster, ClusterState};
use crate::history::ReadHistory;
use crate::message::{Body, Message};
use crate::server::{Queue, Server};
use lockstep_traces::{Reads as ReadOption, Role};

pub(super) const STATE: &[StateProperty] = &[
    StateProperty {
        name: "linearizable_reads_inv",
        source: "\"a read-only query [..] must reflect the state of the system sometime after the read was initiated; it \
                 must at least return the results of the latest committed write\" (thesis, section 6.4): no answer is below \
                 what was acknowledged when the client asked",
        reads: Reads::Servers,
        holds: |cluster, state| !confirms(cluster) || are_current(state),
        antecedent: |cluster, state| confirms(cluster) && is_answered(state),
    },
    StateProperty {
        name: "linearizable_lease_reads_inv",
        source: "\"the lease approach assumes a bound on clock drift across servers\" (thesis, section 6.4.1): under the \
                 bound, no answer by lease is below what was acknowledged when the client asked",
        reads: Reads::Servers,
        holds: |cluster, state| !has_clocks(cluster, state) || are_current(state),
        antecedent: |cluster, state| has_clocks(cluster, state) && is_answered(state),
    },
];

/// Whether reads are confirmed by a round of heartbeats.
fn confirms(cluster: &Cluster) -> bool {
    cluster.settings.reads == ReadOption::Safe
}

/// Whether reads are answered by lease, and clocks have kept so far to what is supposed of them.
fn has_clocks(cluster: &Cluster, state: &ClusterState) -> bool {
    let broken = history(state).is_some_and(|reads| reads.clocks.broken);
    cluster.settings.reads == ReadOption::LeaseBased
        && cluster.bounds.timing != Timing::Free
        && !broken
}

fn history(state: &ClusterState) -> Option<&ReadHistory> {
    state.history.reads.as_deref()
}

/// Whether clients were answered in the last step.
fn is_answered(state: &ClusterState) -> bool {
    history(state).is_some_and(|reads| !reads.answered.is_empty())
}

/// Whether every answer of the last step is one that was asked for, and not below what was acknowledged then.
fn are_current(state: &ClusterState) -> bool {
    history(state).is_none_or(|reads| {
        let mut answers = reads.answered.iter();
        answers.all(|answer| {
            let least = reads.least(answer);
            least.is_some_and(|least| answer.state.index >= least)
        })
    })
}

fn queue(i: &Server) -> Queue {
    i.reads.as_deref().cloned().unwrap_or_default()
}

/// How many reads wait for a round of heartbeats.
fn waiting(i: &Server) -> usize {
    i.reads.as_ref().map_or(0, |reads| reads.unconfirmed.len())
}

fn is_response(m: &Message) -> bool {
    matches!(m.body, Body::HeartbeatResponse { round: 1.. })
}

pub(super) const WITNESSES: &[Witness] = &[
    on_step(
        "read_confirmed_reachable",
        "a quorum has answered the round of a read, and the client is answered",
        "read",
        |_, before, action, after| {
            delivered(before, action).is_some_and(is_response) && is_answered(after)
        },
    ),
    on_step(
        "reads_confirmed_together_reachable",
        "the answer to a later round confirms two reads at once",
        "read-again",
        |_, before, action, after| {
            delivered(before, action).is_some_and(is_response)
                && history(after).is_some_and(|reads| reads.answered.len() > 1)
        },
    ),
    on_step(
        "read_postponed_reachable",
        "a read that came before the first commit of the term begins its round with that commit",
        "read",
        |_, before, action, after| {
            moved(before, action, after).is_some_and(|(i, next)| {
                !queue(i).postponed.is_empty()
                    && queue(next).postponed.is_empty()
                    && waiting(next) > 0
            })
        },
    ),
    on_step(
        "forwarded_read_answered_reachable",
        "a client of a follower is told what the leader has answered",
        "read",
        |_, before, action, after| {
            delivered(before, action)
                .is_some_and(|m| matches!(m.body, Body::ReadIndexResponse { .. }))
                && is_answered(after)
        },
    ),
    on_step(
        "forwarded_again_reachable",
        "a server that has stopped leading passes on a read that another follower has sent it",
        "read-forward",
        |_, before, action, after| {
            delivered(before, action).is_some_and(|m| match m.body {
                Body::ReadIndex { origin, .. } => after.network.iter().any(|sent| {
                    let again =
                        matches!(sent.body, Body::ReadIndex { origin: of, .. } if of == origin);
                    sent.from == m.to && sent.from != origin && again
                }),
                _ => false,
            })
        },
    ),
    on_state(
        "context_repeated_reachable",
        "two reads of the same context wait for their rounds",
        "read-again",
        |_, state| {
            state.servers.iter().any(|i| {
                let waiting = queue(i).unconfirmed;
                let mut places = waiting.iter().enumerate();
                places.any(|(place, read)| {
                    let mut before = waiting[..place].iter();
                    before.any(|other| other.request == read.request)
                })
            })
        },
    ),
    on_step(
        "late_round_answered_reachable",
        "the answer to the round of a read that was answered already confirms nothing",
        "read-twice",
        |_, before, action, after| {
            delivered(before, action).is_some_and(is_response)
                && moved(before, action, after).is_some_and(|(i, next)| {
                    waiting(i) > 0 && i.reads == next.reads && i.role == Role::Leader
                })
        },
    ),
    on_step(
        "read_lost_reachable",
        "a leader that steps down has a read that waits for its round",
        "read-change",
        |_, before, action, after| {
            moved(before, action, after).is_some_and(|(i, next)| {
                waiting(i) > 0 && next.role == Role::Follower && next.term > i.term
            })
        },
    ),
    on_step(
        "postponed_read_outlives_reachable",
        "a read that waits for a commit is taken up in a later leadership of the server",
        "read-again",
        |_, before, action, after| {
            moved(before, action, after).is_some_and(|(i, next)| {
                let asked_before = i.role != Role::Leader || i.term > 1;
                asked_before && !queue(i).postponed.is_empty() && waiting(next) > 0
            })
        },
    ),
    on_step(
        "read_alone_reachable",
        "a leader that is the only voter answers the client of a learner at once",
        "read-single",
        |_, before, action, after| {
            delivered(before, action).is_some_and(|m| matches!(m.body, Body::ReadIndex { .. }))
                && moved(before, action, after)
                    .is_some_and(|(i, _)| i.role == Role::Leader && i.is_alone())
        },
    ),
    on_step(
        "removed_leader_confirms_reachable",
        "a leader that is no voter any more has a read confirmed by the last one",
        "read-removal",
        |_, before, action, after| {
            delivered(before, action).is_some_and(is_response)
                && is_answered(after)
                && moved(before, action, after)
                    .is_some_and(|(i, _)| !i.configuration.all_voters().contains(i.id))
        },
    ),
    on_step(
        "read_in_joint_reachable",
        "a read is confirmed by quorums of both halves of a joint configuration",
        "read-joint",
        |_, before, action, after| {
            delivered(before, action).is_some_and(is_response)
                && is_answered(after)
                && moved(before, action, after).is_some_and(|(i, _)| i.configuration.is_joint())
        },
    ),
    on_step(
        "lease_read_reachable",
        "a leader answers a read at once, by its lease",
        "lease-read",
        |cluster, before, action, after| {
            cluster.settings.reads == ReadOption::LeaseBased
                && moved(before, action, after).is_some_and(|(i, _)| i.role == Role::Leader)
                && is_answered(after)
        },
    ),
    on_state(
        "stale_lease_read_reachable",
        "nothing is supposed of clocks, and a read that is answered by lease misses what another leader has acknowledged",
        "lease-stale",
        |cluster, state| {
            cluster.settings.reads == ReadOption::LeaseBased
                && cluster.bounds.timing == Timing::Free
                && !are_current(state)
        },
    ),
    on_step(
        "lease_given_up_reachable",
        "a read reaches a leader that has told another server to campaign, and is not answered",
        "lease-transfer",
        |_, before, action, after| {
            delivered(before, action).is_some_and(|m| matches!(m.body, Body::ReadIndex { .. }))
                && moved(before, action, after)
                    .is_some_and(|(i, next)| queue(i).handed_over && i == next)
        },
    ),
];
