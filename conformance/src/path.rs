//! Paths through the specification's state graph as steps of traces.

use lockstep_model::{Action, Budget, Cluster, ClusterState, Kind, Timing};
use lockstep_traces::{Expected, Provenance, Step};

/// The steps along these actions from the initial state, each with what the specification expects.
///
/// # Panics
///
/// If an action is not possible where it stands: the actions must come from this cluster.
pub fn steps_along(cluster: &Cluster, actions: &[Action]) -> Vec<Step> {
    steps_from(cluster, &mut cluster.initial(), actions)
}

/// The same from any state on, which is the last one afterwards.
///
/// # Panics
///
/// As [`steps_along`].
pub fn steps_from(cluster: &Cluster, state: &mut ClusterState, actions: &[Action]) -> Vec<Step> {
    let mut steps = Vec::with_capacity(actions.len());
    for action in actions {
        let event = cluster.event(state, action);
        let transition = cluster.apply(state, action);
        let expected = transition.moved.map(|server| Expected {
            outcome: transition.outcome,
            view: transition.next.server(server).view(cluster.settings()),
            sent: transition.sent,
            read_states: transition.read_states,
        });
        steps.push(Step { event, expected });
        *state = transition.next;
    }
    steps
}

/// Returns the name of the assumption about clocks; `None` for no assumption.
pub fn supposed(timing: Timing) -> Option<String> {
    (timing != Timing::Free).then(|| timing.to_string())
}

/// Describes the making of a trace of this cluster: the command and the bounds, those that are unlimited left out; the
/// preset is named if the cluster is one as it is.
pub fn provenance(generator: &str, preset: Option<&str>, cluster: &Cluster) -> Provenance {
    let bounds = cluster.bounds();
    let budgets = Kind::ALL
        .iter()
        .filter(|kind| bounds.have(**kind))
        .filter_map(|kind| match bounds.budget(*kind) {
            Budget::Times(times) => Some((budget_name(*kind), u64::from(times))),
            Budget::Unlimited => None,
        });
    let together = match bounds.disturbances {
        Budget::Times(times) => Some(("disturbances", u64::from(times))),
        Budget::Unlimited => None,
    };
    let sizes = [
        (
            "max_term",
            (bounds.max_term != u32::MAX).then_some(u64::from(bounds.max_term)),
        ),
        (
            "max_in_flight",
            (bounds.max_in_flight != usize::MAX).then_some(bounds.max_in_flight as u64),
        ),
    ];
    let sizes = sizes
        .into_iter()
        .filter_map(|(name, size)| Some((name, size?)));
    Provenance {
        generator: generator.to_owned(),
        preset: preset.map(str::to_owned),
        bounds: sizes
            .chain(together)
            .chain(budgets)
            .map(|(name, value)| (name.to_owned(), value))
            .collect(),
        seed: None,
        timing: supposed(bounds.timing),
    }
}

/// The name of the field of [`lockstep_model::Bounds`] that holds the budget of a kind.
pub fn budget_name(kind: Kind) -> &'static str {
    match kind {
        Kind::Timeout => "timeouts",
        Kind::LeaseExpire => "lease_expiries",
        Kind::Heartbeat => "heartbeats",
        Kind::CheckQuorum => "quorum_checks",
        Kind::Propose => "proposals",
        Kind::Restart => "restarts",
        Kind::Duplicate => "duplicates",
        Kind::Drop => "drops",
        Kind::ForgetLeader => "forgets",
        Kind::ProposeConfChange => "changes",
        Kind::ProposeOtherConfChange => "other_changes",
        Kind::Compact => "compactions",
        Kind::TransferLeadership => "transfers",
        Kind::ReportUnreachable => "unreachable_reports",
        Kind::ReportSnapshot => "snapshot_reports",
        Kind::Persist => "persists",
        Kind::Apply => "applies",
        Kind::ReadIndex => "read_indexes",
        Kind::ReadOtherIndex => "other_read_indexes",
    }
}
