//! Models for which a run on every change has no time.

use super::membership::{CHANGE, TWO_OF_THREE, one};
use super::{FULL, PLAIN, Preset, QUIET, times};
use crate::bounds::{Bounds, Budget};
use lockstep_traces::Config;

pub(super) const ALL: &[Preset] = &[
    Preset {
        name: "figure8",
        purpose: "four terms, one entry an append, the paper's Raft: the space in which committing an \
                  entry of an old term by counting replicas is found out",
        config: Config {
            one_entry_per_append: true,
            ..PLAIN
        },
        bounds: Bounds {
            max_term: 4,
            timeouts: times(4),
            drops: Budget::Unlimited,
            ..QUIET
        },
        ci: false,
    },
    Preset {
        name: "wide",
        purpose: "more messages in flight, so that reordering is less bounded",
        config: FULL,
        bounds: Bounds {
            max_term: 2,
            max_in_flight: 4,
            timeouts: times(2),
            proposals: times(1),
            restarts: times(1),
            ..QUIET
        },
        ci: false,
    },
    Preset {
        name: "five",
        purpose: "five servers: quorums of three, and a symmetry of 120",
        config: Config {
            servers: 5,
            ..PLAIN
        },
        bounds: Bounds {
            max_in_flight: 6,
            timeouts: times(2),
            drops: times(1),
            ..QUIET
        },
        ci: false,
    },
    Preset {
        name: "deep",
        purpose: "wide, with a lease expiry and a quorum check as well: for a long search",
        config: FULL,
        bounds: Bounds {
            max_term: 2,
            max_in_flight: 4,
            timeouts: times(2),
            lease_expiries: times(1),
            quorum_checks: times(1),
            proposals: times(1),
            restarts: times(1),
            ..QUIET
        },
        ci: false,
    },
    Preset {
        name: "handover-large",
        purpose: "handover with a fourth term, a fourth message in flight and a proposal: 326 million states",
        config: TWO_OF_THREE,
        bounds: Bounds {
            max_term: 4,
            max_in_flight: 4,
            timeouts: times(4),
            proposals: times(1),
            restarts: times(1),
            drops: times(1),
            disturbances: times(1),
            changes: one(CHANGE.add_voter(3).remove(2)),
            ..QUIET
        },
        ci: false,
    },
    Preset {
        name: "snapshot-silent",
        purpose: "a peer that was found silent by a quorum check needs what is gone: it is sent no snapshot",
        config: Config {
            check_quorum: true,
            one_entry_per_append: true,
            max_inflight: 1,
            ..PLAIN
        },
        bounds: Bounds {
            quorum_checks: times(1),
            proposals: times(2),
            compactions: times(1),
            unreachable_reports: times(1),
            ..QUIET
        },
        ci: false,
    },
];
