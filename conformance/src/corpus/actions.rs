//! The shortest way to each kind of event that does something.

use super::{CorpusError, trace};
use lockstep_model::{Action, Bounds, Budget, Cluster, ClusterState, Settings, Transition};
use lockstep_traces::{Body, Config, Event, Input, Message, Trace};
use rustc_hash::FxHashSet;
use std::collections::VecDeque;

/// The names of the kinds of event.
const KINDS: [&str; 16] = [
    "timeout",
    "lease-expire",
    "heartbeat",
    "check-quorum",
    "propose",
    "restart",
    "duplicate",
    "drop",
    "request-vote",
    "request-vote-response",
    "request-pre-vote",
    "request-pre-vote-response",
    "append-entries",
    "append-entries-response",
    "heartbeat-message",
    "heartbeat-response",
];

/// Two servers in one term, with everything that can happen to them once.
const BOUNDS: Bounds = Bounds {
    lease_expiries: Budget::Times(1),
    heartbeats: Budget::Times(1),
    quorum_checks: Budget::Times(1),
    proposals: Budget::Times(1),
    restarts: Budget::Times(1),
    duplicates: Budget::Times(1),
    drops: Budget::Times(1),
    disturbances: Budget::Times(1),
    ..Bounds::QUIET
};

/// One trace a kind, each ending in an event of that kind that changes something.
pub(super) fn traces() -> Result<Vec<Trace>, CorpusError> {
    let config = Config {
        servers: 2,
        pre_vote: true,
        check_quorum: true,
        ..Config::PAPER
    };
    let cluster = Cluster::new(Settings::new(&config)?, BOUNDS);
    let mut found: Vec<Option<Vec<Action>>> = vec![None; KINDS.len()];
    search(&cluster, &mut found);
    KINDS
        .iter()
        .zip(found)
        .map(|(kind, actions)| {
            let actions = actions.ok_or_else(|| CorpusError::NoSuchAction((*kind).to_owned()))?;
            let purpose = format!("The shortest way to a {kind} that does something.");
            Ok(trace(
                &cluster,
                &format!("action-{kind}"),
                &purpose,
                None,
                &actions,
            ))
        })
        .collect()
}

/// Breadth-first, until there is a way to every kind.
fn search(cluster: &Cluster, found: &mut [Option<Vec<Action>>]) {
    let initial = cluster.initial();
    let mut seen = FxHashSet::from_iter([initial.clone()]);
    let mut queue = VecDeque::from([(initial, Vec::new())]);
    let mut actions = Vec::new();
    while let Some((state, way)) = queue.pop_front() {
        actions.clear();
        cluster.enabled(&state, &mut actions);
        for action in &actions {
            let transition = cluster.apply(&state, action);
            let mut way: Vec<Action> = way.clone();
            way.push(*action);
            let kind = KINDS
                .iter()
                .position(|kind| *kind == kind_of(&cluster.event(&state, action)));
            let slot = kind
                .map(|kind| &mut found[kind])
                .filter(|slot| slot.is_none());
            if let Some(slot) = slot.filter(|_| does_something(&state, &transition)) {
                *slot = Some(way.clone());
            }
            if transition.within_bound && seen.insert(transition.next.clone()) {
                queue.push_back((transition.next, way));
            }
        }
        if found.iter().all(Option::is_some) {
            return;
        }
    }
}

/// Whether more happens than that the network loses what it delivers.
fn does_something(before: &ClusterState, transition: &Transition) -> bool {
    transition.moved.is_none()
        || !transition.sent.is_empty()
        || !before.servers().eq(transition.next.servers())
}

fn kind_of(event: &Event) -> &'static str {
    match event {
        Event::Duplicate(_) => "duplicate",
        Event::Drop(_) => "drop",
        Event::Server { input, .. } => match input {
            Input::Timeout => "timeout",
            Input::LeaseExpire => "lease-expire",
            Input::Heartbeat => "heartbeat",
            Input::CheckQuorum => "check-quorum",
            Input::Propose(_) => "propose",
            Input::Restart => "restart",
            Input::TransferLeadership { .. } => "transfer-leadership",
            Input::ProposeConfChange(_) => "propose-conf-change",
            Input::ForgetLeader => "forget-leader",
            Input::Compact => "compact",
            Input::ReportUnreachable { .. } => "report-unreachable",
            Input::ReportSnapshot { .. } => "report-snapshot",
            Input::Persist => "persist",
            Input::Apply => "apply",
            Input::RestartKeeping { .. } => "restart-keeping",
            Input::ReadIndex { .. } => "read-index",
            Input::Deliver(Message { body, .. }) => match body {
                Body::RequestVote { .. } => "request-vote",
                Body::RequestVoteResponse { .. } => "request-vote-response",
                Body::RequestPreVote { .. } => "request-pre-vote",
                Body::RequestPreVoteResponse { .. } => "request-pre-vote-response",
                Body::AppendEntries { .. } => "append-entries",
                Body::AppendEntriesResponse { .. } => "append-entries-response",
                Body::Heartbeat { .. } => "heartbeat-message",
                Body::HeartbeatResponse => "heartbeat-response",
                Body::TimeoutNow => "timeout-now",
                Body::TransferLeader { .. } => "transfer-leader",
                Body::Propose { .. } => "forwarded-proposal",
                Body::InstallSnapshot { .. } => "install-snapshot",
                Body::RoundResponse { .. } => "round-response",
                Body::ReadIndex { .. } => "forwarded-read",
                Body::ReadIndexResponse { .. } => "read-index-response",
            },
        },
    }
}
