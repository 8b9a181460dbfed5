//! Reads: what their clients may count on, and what must happen somewhere.

use super::witness::{on_state, on_step};
use super::{StateKind, StateProperty, Witness};
use crate::bounds::Timing;
use crate::cluster::Cluster;
use crate::history::{Answered, History, ReadHistory};
use crate::message::{Body, Message};
use crate::server::{Queue, Server};
use lockstep_traces::{Reads as ReadOption, Role};

pub(super) const STATE: &[StateProperty] = &[
    StateProperty {
        name: "linearizable_reads_inv",
        source: "\"a read-only query [..] must reflect the state of the system sometime after the read was initiated; it \
                 must at least return the results of the latest committed write\" (thesis, section 6.4): no answer is below \
                 what was acknowledged when the client asked",
        kind: StateKind::HistoryStep {
            holds: |cluster, history| !confirms(cluster) || are_current(history),
            antecedent: |cluster, history| confirms(cluster) && is_answered(history),
        },
    },
    StateProperty {
        name: "linearizable_lease_reads_inv",
        source: "\"the lease approach assumes a bound on clock drift across servers\" (thesis, section 6.4.1): under the \
                 bound, no answer by lease is below what was acknowledged when the client asked",
        kind: StateKind::HistoryStep {
            holds: |cluster, history| !has_clocks(cluster, history) || are_current(history),
            antecedent: |cluster, history| has_clocks(cluster, history) && is_answered(history),
        },
    },
];

/// Whether reads are confirmed by a round of heartbeats.
fn confirms(cluster: &Cluster) -> bool {
    cluster.settings.reads == ReadOption::Safe
}

/// Whether reads are answered by lease, and clocks have kept so far to what is supposed of them.
fn has_clocks(cluster: &Cluster, history: &History) -> bool {
    let broken = reads(history).is_some_and(|reads| reads.clocks.broken);
    cluster.settings.reads == ReadOption::LeaseBased
        && cluster.bounds.timing != Timing::Free
        && !broken
}

fn reads(history: &History) -> Option<&ReadHistory> {
    history.reads.as_deref()
}

/// Whether clients were answered in the last step.
fn is_answered(history: &History) -> bool {
    let answered = |it: &Answered| it.state.index.is_some();
    reads(history).is_some_and(|reads| reads.answered.iter().any(answered))
}

/// Whether every answer of the last step is one that was asked for, and not below what was acknowledged then.
fn are_current(history: &History) -> bool {
    reads(history).is_none_or(|reads| {
        let answers = reads.answered.iter();
        let mut answers = answers.filter_map(|answer| Some((answer, answer.state.index?)));
        answers.all(|(answer, index)| {
            let least = reads.least(answer);
            least.is_some_and(|least| index >= least)
        })
    })
}

fn queue(i: &Server) -> Queue {
    i.reads.as_deref().cloned().unwrap_or_default()
}

/// Returns the number of reads that wait for a round of heartbeats.
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
        |it| it.delivered.is_some_and(is_response) && it.is_answered(),
    ),
    on_step(
        "reads_confirmed_together_reachable",
        "the answer to a later round confirms two reads at once",
        "read-again",
        |it| it.delivered.is_some_and(is_response) && it.answered.len() > 1,
    ),
    on_step(
        "read_postponed_reachable",
        "a read that came before the first commit of the term begins its round with that commit",
        "read",
        |it| {
            it.moved().is_some_and(|(i, next)| {
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
        |it| {
            it.delivered
                .is_some_and(|m| matches!(m.body, Body::ReadIndexResponse { .. }))
                && it.is_answered()
        },
    ),
    on_step(
        "forwarded_again_reachable",
        "a server that has stopped leading passes on a read that another follower has sent it",
        "read-forward",
        |it| {
            it.delivered.is_some_and(|m| match m.body {
                Body::ReadIndex { origin, .. } => it.left().iter().any(|sent| {
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
        |it| {
            it.delivered.is_some_and(is_response)
                && it.moved().is_some_and(|(i, next)| {
                    waiting(i) > 0 && i.reads == next.reads && i.role == Role::Leader
                })
        },
    ),
    on_step(
        "unconfirmed_read_given_up_reachable",
        "a leader that steps down tells its client that the read which waits for its round is given up",
        "read-change",
        |it| {
            it.moved().is_some_and(|(i, next)| {
                waiting(i) > 0 && next.role == Role::Follower && it.is_given_up()
            })
        },
    ),
    on_step(
        "postponed_read_given_up_reachable",
        "a leader that steps down tells its client that the read which waits for a commit is given up",
        "read-again",
        |it| {
            it.moved().is_some_and(|(i, next)| {
                !queue(i).postponed.is_empty() && next.role == Role::Follower && it.is_given_up()
            })
        },
    ),
    on_step(
        "forwarded_read_given_up_reachable",
        "a follower that follows its leader no more tells its client that the read which it passed on is given up",
        "read-forward",
        |it| {
            it.moved()
                .is_some_and(|(i, _)| !queue(i).forwarded.is_empty() && it.is_given_up())
        },
    ),
    on_step(
        "late_answer_ignored_reachable",
        "a leader answers a read that its client was told of before, and the follower ignores it",
        "read-change",
        |it| {
            it.delivered
                .is_some_and(|m| matches!(m.body, Body::ReadIndexResponse { .. }))
                && it.moved().is_some_and(|(i, next)| {
                    let current = it.delivered.is_some_and(|m| m.term == i.term);
                    current && i.role == Role::Follower && i == next && !it.is_answered()
                })
        },
    ),
    on_step(
        "read_returns_reachable",
        "a server that leads now gets a read back that it had passed on as a follower, and ignores it",
        "read-again",
        |it| {
            let own = it.delivered.is_some_and(
                |m| matches!(m.body, Body::ReadIndex { origin, .. } if origin == m.to),
            );
            own && it
                .moved()
                .is_some_and(|(i, next)| i.role == Role::Leader && i == next)
        },
    ),
    on_step(
        "round_recounted_reachable",
        "a change of the configuration confirms a read by answers that came before",
        "read-removal",
        |it| {
            it.moved().is_some_and(|(i, next)| {
                let leads = i.role == Role::Leader && next.role == Role::Leader;
                let changed = i.configuration != next.configuration;
                leads && changed && waiting(i) > 0 && it.is_answered()
            })
        },
    ),
    on_step(
        "read_alone_reachable",
        "a leader that is the only voter answers the client of a learner at once",
        "read-single",
        |it| {
            it.delivered
                .is_some_and(|m| matches!(m.body, Body::ReadIndex { .. }))
                && it
                    .moved()
                    .is_some_and(|(i, _)| i.role == Role::Leader && i.is_alone())
        },
    ),
    on_step(
        "removed_leader_confirms_reachable",
        "a leader that is no voter any more has a read confirmed by the last one",
        "read-removal",
        |it| {
            it.delivered.is_some_and(is_response)
                && it.is_answered()
                && it
                    .moved()
                    .is_some_and(|(i, _)| !i.configuration.all_voters().contains(i.id))
        },
    ),
    on_step(
        "read_in_joint_reachable",
        "a read is confirmed by quorums of both halves of a joint configuration",
        "read-joint",
        |it| {
            it.delivered.is_some_and(is_response)
                && it.is_answered()
                && it.moved().is_some_and(|(i, _)| i.configuration.is_joint())
        },
    ),
    on_step(
        "lease_read_reachable",
        "a leader answers a read at once, by its lease",
        "lease-read",
        |it| {
            it.settings.reads == ReadOption::LeaseBased
                && it.moved().is_some_and(|(i, _)| i.role == Role::Leader)
                && it.is_answered()
        },
    ),
    on_state(
        "stale_lease_read_reachable",
        "nothing is supposed of clocks, and a read that is answered by lease misses what another leader has acknowledged",
        "lease-stale",
        |cluster, state| {
            cluster.settings.reads == ReadOption::LeaseBased
                && cluster.bounds.timing == Timing::Free
                && !are_current(state.history)
        },
    ),
    on_step(
        "lease_given_up_reachable",
        "a read reaches a leader that has told another server to campaign, and begins a round",
        "lease-transfer",
        |it| {
            it.moved()
                .is_some_and(|(i, next)| queue(i).handed_over && waiting(next) > waiting(i))
        },
    ),
    on_step(
        "lease_stays_given_up_reachable",
        "a read reaches a leader that has told another server to campaign and then given the transfer up, and begins a round",
        "lease-transfer-failed",
        |it| {
            it.moved().is_some_and(|(i, next)| {
                let failed = queue(i).handed_over && i.transferee.is_none();
                failed && waiting(next) > waiting(i)
            })
        },
    ),
    on_step(
        "removed_leader_has_no_lease_reachable",
        "a read reaches a leader that was removed and goes on leading, and begins a round",
        "lease-removal",
        |it| {
            it.moved().is_some_and(|(i, next)| {
                let removed = !i.configuration.all_voters().contains(i.id);
                removed && waiting(next) > waiting(i)
            })
        },
    ),
    on_step(
        "lease_lapsed_reachable",
        "a read reaches a leader that nobody has answered since its last quorum check, and begins a round",
        "lease-read",
        |it| {
            it.moved()
                .is_some_and(|(i, next)| !queue(i).handed_over && waiting(next) > waiting(i))
        },
    ),
    on_step(
        "lapsed_read_confirmed_reachable",
        "a read that begins a round because the lease has lapsed is confirmed",
        "lease-read",
        |it| it.delivered.is_some_and(is_response) && it.is_answered(),
    ),
];
