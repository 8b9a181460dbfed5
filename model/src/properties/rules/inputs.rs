//! Inputs that mean nothing, and messages that only some servers send.

use super::{ServerStep, TransitionProperty, rule};
use crate::cluster::{Action, LocalEvents};
use crate::ids::{Id, MAX_SERVERS};
use crate::message::{Body, Message, Position};
use crate::server::{Outbox, Server, Stimulus};
use lockstep_traces::{Outcome, Refusal, Role};

pub(super) const ALL: &[TransitionProperty] = &[
    rule!(
        "sender_role_step",
        "candidates ask for votes, leaders send appends, snapshots, heartbeats and the request to campaign, \
         followers pass on to their leader what clients want, and servers answer whoever sent to them, in \
         their own name and at their own term (paper, section 5.1)",
        sends_something => sends_what_it_may
    ),
    rule!(
        "lease_expiry_step",
        "that a lease runs out changes nothing else (thesis, section 4.2.3)",
        lease_runs_out => |it: &ServerStep<'_>| {
            let expired = Server { lease: false, ..it.i.clone() };
            *it.next == expired && it.sends([])
        }
    ),
    rule!(
        "idle_input_step",
        "a timer in the wrong role and a client at a server that does not lead change nothing; the \
         client is told (thesis, section 6.2; etcd's raft, ErrProposalDropped)",
        changes => ignores_idle_inputs
    ),
    rule!(
        "stranger_step",
        "what a server that is no member answers was never asked: it counts for nothing (etcd's raft, \
         ErrStepPeerNotFound)",
        changes => refuses_strangers
    ),
];

fn sends_something(it: &ServerStep<'_>) -> bool {
    !it.sent().is_empty()
}

fn sends_what_it_may(it: &ServerStep<'_>) -> bool {
    let next = it.next;
    it.sent().into_iter().all(|m| {
        let mut term = next.term;
        let allowed = match m.body {
            Body::RequestVote { .. } => next.role == Role::Candidate,
            Body::AppendEntries { .. }
            | Body::Heartbeat { .. }
            | Body::TimeoutNow
            | Body::InstallSnapshot { .. } => it.leads(),
            Body::ReadIndexResponse { .. } => it.leads(),
            Body::TransferLeader { .. } => is_for_leader(next, m),
            Body::Propose { .. } | Body::ReadIndex { .. } => {
                term = 0;
                is_for_leader(next, m)
            }
            Body::RequestPreVote { .. } => {
                term += 1;
                next.role == Role::PreCandidate
            }
            Body::RequestPreVoteResponse { granted: true } => {
                term = it.message.map_or(0, |asked| asked.term);
                it.message.is_some_and(|asked| asked.from == m.to)
            }
            _ => it.message.is_some_and(|asked| asked.from == m.to),
        };
        allowed && m.from == next.id && m.to != next.id && m.term == term
    })
}

/// Whether a follower sends something to the leader that it knows.
fn is_for_leader(next: &Server, m: &Message) -> bool {
    next.role == Role::Follower && next.leader == Some(m.to)
}

fn lease_runs_out(it: &ServerStep<'_>) -> bool {
    matches!(it.action, Action::LeaseExpire(_))
}

/// Whether a step changes the server: its state before was evaluated in the step that led there.
pub(super) fn changes(it: &ServerStep<'_>) -> bool {
    it.i != it.next
}

/// Whether an input leaves the server as it is afterwards, and makes it send nothing.
pub(super) fn ignores(it: &ServerStep<'_>, stimulus: Stimulus<'_>, expected: Outcome) -> bool {
    let mut server = it.next.clone();
    let mut outbox = Outbox::new();
    let outcome = server.advance(it.settings, stimulus, &mut outbox);
    outcome == expected && outbox.is_empty() && server == *it.next
}

fn ignores_idle_inputs(it: &ServerStep<'_>) -> bool {
    let mut server = it.next.clone();
    let mut unchanged = it.next.clone();
    let mut outbox = Outbox::new();
    let mut idle = LocalEvents::that_mean_nothing(it.next, it.settings);
    let told = idle.all(|stimulus| {
        let expected = match stimulus {
            Stimulus::ReadIndex(_) => Outcome::Refused(Refusal::NoLeader),
            Stimulus::Propose(_) | Stimulus::ProposeConfChange(_) => {
                Outcome::Refused(Refusal::ProposalDropped)
            }
            _ => Outcome::Accepted,
        };
        // Who may not campaign has heard nothing from its leader either.
        unchanged.lease &= !matches!(stimulus, Stimulus::Timeout);
        server.advance(it.settings, stimulus, &mut outbox) == expected
    });
    told && outbox.is_empty() && server == unchanged
}

fn refuses_strangers(it: &ServerStep<'_>) -> bool {
    let members = it.next.configuration.members();
    let all = (1..=MAX_SERVERS as u8 + 1).filter_map(Id::new);
    let mut strangers = all.filter(|id| !members.contains(*id) && *id != it.next.id);
    let index = it.next.log.last_index();
    let hint = Position { term: 0, index: 0 };
    let answers = [
        Body::RequestVoteResponse { granted: true },
        Body::RequestPreVoteResponse { granted: true },
        Body::AppendEntriesAccepted { index },
        Body::AppendEntriesRejected { index, hint },
        Body::HeartbeatResponse { round: 0 },
        Body::HeartbeatResponse { round: 1 },
        Body::ReadIndexResponse { context: 1, index },
    ];
    // The last has no place in any cluster, the first may have been a member.
    let some = strangers.next().into_iter().chain(strangers.next_back());
    some.into_iter().all(|from| {
        answers.clone().into_iter().all(|body| {
            let message = Message {
                from,
                to: it.next.id,
                term: it.next.term.max(1) + 1,
                body,
            };
            let refused = Outcome::Refused(Refusal::UnknownPeer);
            ignores(it, Stimulus::Deliver(&message), refused)
        })
    })
}
