//! Small models in which many features meet. What goes wrong only where two of them meet hides from models that have one each.
//! Few events happen here, most of them once, so that each model is small.

use super::membership::{CHANGE, one};
use super::{PLAIN, Preset, QUIET, times};
use crate::bounds::{Bounds, Budget, Timing};
use lockstep_traces::{Config, Reads, ServerSet, Storage};

pub(super) const ALL: &[Preset] = &[
    Preset {
        name: "mix-async-lease",
        purpose: "asynchronous storage × reads by lease × forwarded proposals × a limit × a window of one",
        config: Config {
            servers: 2,
            check_quorum: true,
            one_entry_per_append: true,
            max_inflight: 1,
            forward_proposals: true,
            max_uncommitted: 1,
            storage: Storage::Async,
            reads: Reads::LeaseBased,
            ..PLAIN
        },
        bounds: Bounds {
            max_in_flight: 2,
            quorum_checks: times(1),
            proposals: times(1),
            persists: Budget::Unlimited,
            applies: Budget::Unlimited,
            reads: [times(1), times(0)],
            timing: Timing::Silent,
            ..QUIET
        },
        ci: true,
    },
    Preset {
        name: "mix-async-reports",
        purpose: "asynchronous storage × compaction × reports of the transport × repeated messages × a learner, \
                  one entry an append",
        config: Config {
            servers: 2,
            one_entry_per_append: true,
            voters: ServerSet::of(&[1]),
            learners: ServerSet::of(&[2]),
            storage: Storage::Async,
            ..PLAIN
        },
        bounds: Bounds {
            max_in_flight: 2,
            heartbeats: times(1),
            compactions: times(1),
            unreachable_reports: times(1),
            snapshot_reports: times(1),
            duplicates: times(1),
            persists: Budget::Unlimited,
            applies: Budget::Unlimited,
            ..QUIET
        },
        ci: true,
    },
    Preset {
        name: "mix-async-resignation",
        purpose: "asynchronous storage × a leader that is removed and steps down × CheckQuorum × a leader that is \
                  forgotten",
        config: Config {
            servers: 2,
            check_quorum: true,
            voters: ServerSet::of(&[1, 2]),
            step_down_on_removal: true,
            storage: Storage::Async,
            ..PLAIN
        },
        bounds: Bounds {
            max_in_flight: 2,
            quorum_checks: times(1),
            forgets: times(1),
            changes: one(CHANGE.remove(1)),
            persists: Budget::Unlimited,
            applies: Budget::Unlimited,
            ..QUIET
        },
        ci: true,
    },
    Preset {
        name: "mix-change-window",
        purpose: "a change of membership × a window of one × reports of the transport × repeated messages",
        config: Config {
            one_entry_per_append: true,
            max_inflight: 1,
            voters: ServerSet::of(&[1, 2]),
            ..PLAIN
        },
        bounds: Bounds {
            max_in_flight: 2,
            proposals: times(1),
            unreachable_reports: times(1),
            duplicates: times(1),
            changes: one(CHANGE.add_voter(3)),
            ..QUIET
        },
        ci: true,
    },
    Preset {
        name: "mix-joint-restart",
        purpose: "a learner in a joint configuration × PreVote × leases × a leader that is forgotten × restarts",
        config: Config {
            pre_vote: true,
            check_quorum: true,
            voters: ServerSet::of(&[1, 2]),
            learners: ServerSet::of(&[3]),
            ..PLAIN
        },
        bounds: Bounds {
            max_in_flight: 2,
            lease_expiries: times(1),
            restarts: times(1),
            forgets: times(1),
            disturbances: times(1),
            changes: one(CHANGE.remove(2).add_voter(3).explicit()),
            ..QUIET
        },
        ci: true,
    },
    Preset {
        name: "mix-read-compaction",
        purpose: "reads × compaction × CheckQuorum × reports of the transport × a learner, one entry an append",
        config: Config {
            servers: 2,
            check_quorum: true,
            one_entry_per_append: true,
            voters: ServerSet::of(&[1]),
            learners: ServerSet::of(&[2]),
            reads: Reads::Safe,
            ..PLAIN
        },
        bounds: Bounds {
            max_in_flight: 2,
            heartbeats: times(1),
            quorum_checks: times(1),
            compactions: times(1),
            unreachable_reports: times(1),
            snapshot_reports: times(1),
            reads: [times(1), times(0)],
            ..QUIET
        },
        ci: true,
    },
    Preset {
        name: "mix-joint-resignation",
        purpose: "a leader that is removed by a joint configuration and steps down × a limit × heartbeats × \
                  repeated messages",
        config: Config {
            max_uncommitted: 1,
            voters: ServerSet::of(&[1, 2]),
            step_down_on_removal: true,
            ..PLAIN
        },
        bounds: Bounds {
            max_in_flight: 2,
            heartbeats: times(1),
            proposals: times(1),
            duplicates: times(1),
            changes: one(CHANGE.add_voter(3).remove(1)),
            ..QUIET
        },
        ci: true,
    },
    Preset {
        name: "mix-memory",
        purpose: "an application in memory × reads × a learner that is promoted × a limit × CheckQuorum × restarts",
        config: Config {
            servers: 2,
            check_quorum: true,
            max_uncommitted: 1,
            voters: ServerSet::of(&[1]),
            learners: ServerSet::of(&[2]),
            storage: Storage::Async,
            application_in_memory: true,
            reads: Reads::Safe,
            ..PLAIN
        },
        bounds: Bounds {
            max_term: 2,
            max_in_flight: 1,
            proposals: times(1),
            restarts: times(1),
            disturbances: times(1),
            changes: one(CHANGE.add_voter(2)),
            persists: Budget::Unlimited,
            applies: Budget::Unlimited,
            reads: [times(1), times(0)],
            ..QUIET
        },
        ci: true,
    },
    Preset {
        name: "mix-lease-crash",
        purpose: "reads by lease × restarts × leases that expire × losses and repeated messages over two terms",
        config: Config {
            servers: 2,
            check_quorum: true,
            reads: Reads::LeaseBased,
            ..PLAIN
        },
        bounds: Bounds {
            max_term: 2,
            max_in_flight: 2,
            timeouts: times(2),
            lease_expiries: times(1),
            proposals: times(1),
            restarts: times(1),
            duplicates: times(1),
            drops: times(1),
            disturbances: times(1),
            reads: [times(1), times(0)],
            ..QUIET
        },
        ci: true,
    },
    Preset {
        name: "mix-transfer",
        purpose: "transfer × a window of one × reads × reports of the transport × restarts × repeated messages",
        config: Config {
            servers: 2,
            one_entry_per_append: true,
            max_inflight: 1,
            reads: Reads::Safe,
            ..PLAIN
        },
        bounds: Bounds {
            max_term: 2,
            max_in_flight: 2,
            proposals: times(1),
            restarts: times(1),
            transfers: times(1),
            unreachable_reports: times(1),
            duplicates: times(1),
            disturbances: times(1),
            reads: [times(1), times(0)],
            ..QUIET
        },
        ci: true,
    },
    Preset {
        name: "mix-forward-forget",
        purpose: "forwarded proposals × a limit of two × leaders that are forgotten × restarts × losses and \
                  repeated messages",
        config: Config {
            servers: 2,
            check_quorum: true,
            forward_proposals: true,
            max_uncommitted: 2,
            ..PLAIN
        },
        bounds: Bounds {
            max_term: 2,
            max_in_flight: 2,
            timeouts: times(2),
            heartbeats: times(1),
            proposals: times(2),
            restarts: times(1),
            forgets: times(1),
            duplicates: times(1),
            drops: times(1),
            disturbances: times(1),
            ..QUIET
        },
        ci: true,
    },
    Preset {
        name: "mix-learner-lease",
        purpose: "a learner × reads by lease × forwarded proposals × leases that expire × restarts × reports of \
                  the transport",
        config: Config {
            servers: 2,
            check_quorum: true,
            forward_proposals: true,
            voters: ServerSet::of(&[1]),
            learners: ServerSet::of(&[2]),
            reads: Reads::LeaseBased,
            ..PLAIN
        },
        bounds: Bounds {
            max_in_flight: 2,
            lease_expiries: times(1),
            proposals: times(1),
            restarts: times(1),
            unreachable_reports: times(1),
            disturbances: times(1),
            reads: [times(1), times(0)],
            ..QUIET
        },
        ci: true,
    },
];
