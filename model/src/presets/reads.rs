//! Models whose clients read.

use super::membership::{CHANGE, TWO_OF_THREE, one};
use super::{PLAIN, Preset, QUIET, times};
use crate::bounds::{Bounds, Timing};
use lockstep_traces::{Config, Reads, ServerSet};

/// Three servers as in the paper, whose clients read.
const READING: Config = Config {
    reads: Reads::Safe,
    ..PLAIN
};

/// Three servers as in the paper, with CheckQuorum, that answer reads by lease.
const LEASE: Config = Config {
    check_quorum: true,
    reads: Reads::LeaseBased,
    ..PLAIN
};

pub(super) const ALL: &[Preset] = &[
    Preset {
        name: "read",
        purpose: "a read at a leader or at who follows it: it waits for the first commit of the term, and for a round of \
                  heartbeats that a quorum answers",
        config: READING,
        bounds: Bounds {
            max_in_flight: 4,
            heartbeats: times(1),
            reads: [times(1), times(0)],
            ..QUIET
        },
        ci: true,
    },
    Preset {
        name: "read-twice",
        purpose: "two reads: rounds that are confirmed together or one after the other, by answers that may be late",
        config: READING,
        bounds: Bounds {
            reads: [times(1), times(1)],
            ..QUIET
        },
        ci: true,
    },
    Preset {
        name: "read-forward",
        purpose: "reads that are passed on over two terms, with PreVote: to leaders that lead no more, to servers that campaign, \
                  and once more from there",
        config: Config {
            pre_vote: true,
            ..READING
        },
        bounds: Bounds {
            max_term: 2,
            timeouts: times(2),
            reads: [times(1), times(0)],
            ..QUIET
        },
        ci: true,
    },
    Preset {
        name: "read-change",
        purpose: "reads × leader change × repeated messages: answers to the rounds of a leader that is none any more, reads that \
                  come twice",
        config: READING,
        bounds: Bounds {
            max_term: 2,
            timeouts: times(2),
            duplicates: times(1),
            reads: [times(1), times(0)],
            ..QUIET
        },
        ci: true,
    },
    Preset {
        name: "read-again",
        purpose: "a context that comes twice, among two servers over three terms: reads that are given up before their answer \
                  comes, and reads that come back",
        config: Config {
            servers: 2,
            ..READING
        },
        bounds: Bounds {
            max_term: 3,
            timeouts: times(3),
            reads: [times(2), times(0)],
            ..QUIET
        },
        ci: true,
    },
    Preset {
        name: "read-restart",
        purpose: "reads × restarts × losses among two servers, with PreVote: reads that wait are lost with the server that they wait at",
        config: Config {
            servers: 2,
            pre_vote: true,
            ..READING
        },
        bounds: Bounds {
            max_term: 3,
            timeouts: times(2),
            restarts: times(1),
            drops: times(1),
            reads: [times(1), times(0)],
            ..QUIET
        },
        ci: true,
    },
    Preset {
        name: "read-single",
        purpose: "reads × a single voter: it answers the clients of its learner and its own at once, and asks nobody",
        config: Config {
            servers: 2,
            voters: ServerSet::of(&[1]),
            learners: ServerSet::of(&[2]),
            ..READING
        },
        bounds: Bounds {
            max_term: 2,
            timeouts: times(2),
            restarts: times(1),
            duplicates: times(1),
            reads: [times(1), times(1)],
            ..QUIET
        },
        ci: true,
    },
    Preset {
        name: "read-removal",
        purpose: "reads × membership: a leader that was removed goes on leading the one voter that is left, which may elect \
                  itself; the one that is left confirms alone what waits",
        config: Config {
            servers: 2,
            voters: ServerSet::of(&[1, 2]),
            ..READING
        },
        bounds: Bounds {
            max_term: 2,
            max_in_flight: 4,
            timeouts: times(2),
            changes: one(CHANGE.remove(1)),
            reads: [times(1), times(0)],
            ..QUIET
        },
        ci: true,
    },
    Preset {
        name: "read-joint",
        purpose: "reads × joint configuration: a round needs a quorum of both halves, whichever was there when it began",
        config: Config {
            reads: Reads::Safe,
            ..TWO_OF_THREE
        },
        bounds: Bounds {
            max_term: 2,
            timeouts: times(2),
            changes: one(CHANGE.add_voter(3).remove(2).explicit()),
            reads: [times(1), times(0)],
            ..QUIET
        },
        ci: true,
    },
    Preset {
        name: "lease-read",
        purpose: "reads by lease, with clocks as they have to be: a leader that is followed no more does not answer, and one that \
                  nobody has answered lately asks first",
        config: LEASE,
        bounds: Bounds {
            max_term: 2,
            timeouts: times(2),
            quorum_checks: times(1),
            reads: [times(1), times(0)],
            timing: Timing::Silent,
            ..QUIET
        },
        ci: true,
    },
    Preset {
        name: "lease-stale",
        purpose: "reads by lease with clocks of any speed: what they can miss; and nobody forgets a leader on request",
        config: LEASE,
        bounds: Bounds {
            max_term: 2,
            timeouts: times(2),
            forgets: times(1),
            reads: [times(1), times(0)],
            ..QUIET
        },
        ci: true,
    },
    Preset {
        name: "lease-transfer",
        purpose: "reads by lease × transfer: a leader that has told a server to campaign asks before it answers a read",
        config: LEASE,
        bounds: Bounds {
            max_term: 2,
            timeouts: times(1),
            transfers: times(1),
            reads: [times(1), times(0)],
            timing: Timing::Silent,
            ..QUIET
        },
        ci: true,
    },
    Preset {
        name: "lease-removal",
        purpose: "reads by lease × membership: a leader that was removed, and has no lease, whoever is active",
        config: Config {
            servers: 2,
            voters: ServerSet::of(&[1, 2]),
            ..LEASE
        },
        bounds: Bounds {
            max_term: 2,
            timeouts: times(2),
            quorum_checks: times(1),
            changes: one(CHANGE.remove(1)),
            reads: [times(1), times(0)],
            timing: Timing::Silent,
            ..QUIET
        },
        ci: true,
    },
    Preset {
        name: "lease-transfer-failed",
        purpose: "reads by lease × a transfer that is given up, among two servers: the leader asks before it answers for the rest \
                  of its term",
        config: Config {
            servers: 2,
            ..LEASE
        },
        bounds: Bounds {
            max_term: 2,
            timeouts: times(1),
            heartbeats: times(1),
            quorum_checks: times(2),
            transfers: times(1),
            reads: [times(1), times(0)],
            timing: Timing::Silent,
            ..QUIET
        },
        ci: true,
    },
    Preset {
        name: "read-many",
        purpose: "three reads among two servers: more than two that wait for the first commit, or for one answer",
        config: Config {
            servers: 2,
            ..READING
        },
        bounds: Bounds {
            max_in_flight: 5,
            reads: [times(2), times(1)],
            ..QUIET
        },
        ci: true,
    },
    Preset {
        name: "read-given-up",
        purpose: "four reads among two servers over two terms: more than two that wait for a leader that is gone",
        config: Config {
            servers: 2,
            ..READING
        },
        bounds: Bounds {
            max_term: 2,
            max_in_flight: 2,
            timeouts: times(2),
            reads: [times(2), times(2)],
            ..QUIET
        },
        ci: true,
    },
    Preset {
        name: "read-quorum",
        purpose: "a read among four servers: one answer beside the leader's is no quorum",
        config: Config {
            servers: 4,
            ..READING
        },
        bounds: Bounds {
            max_in_flight: 4,
            reads: [times(1), times(0)],
            ..QUIET
        },
        ci: true,
    },
    Preset {
        name: "lease-learner",
        purpose: "learners × CheckQuorum × reads: a learner that is active keeps no leader leading, and its answer confirms \
                  no read",
        config: Config {
            voters: ServerSet::of(&[1, 2]),
            learners: ServerSet::of(&[3]),
            ..LEASE
        },
        bounds: Bounds {
            quorum_checks: times(1),
            reads: [times(1), times(0)],
            timing: Timing::Silent,
            ..QUIET
        },
        ci: true,
    },
    Preset {
        name: "lease-joint",
        purpose: "joint configuration × PreVote × CheckQuorum × reads by lease: votes, pre-votes, quorum checks and leases need \
                  both halves",
        config: Config {
            pre_vote: true,
            check_quorum: true,
            reads: Reads::LeaseBased,
            ..TWO_OF_THREE
        },
        bounds: Bounds {
            max_term: 2,
            timeouts: times(2),
            quorum_checks: times(1),
            changes: one(CHANGE.add_voter(3).remove(2).explicit()),
            reads: [times(1), times(0)],
            timing: Timing::Silent,
            ..QUIET
        },
        ci: true,
    },
];
