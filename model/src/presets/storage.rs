//! Models whose storage is asynchronous.

use super::membership::{CHANGE, TWO_OF_THREE, one};
use super::{FULL, PLAIN, Preset, QUIET, times};
use crate::bounds::{Bounds, Budget};
use lockstep_traces::{Config, Reads, ServerSet, Storage};

/// Nothing happens, but storage does its work.
const STORING: Bounds = Bounds {
    persists: Budget::Unlimited,
    applies: Budget::Unlimited,
    ..QUIET
};

/// Three servers as in the paper, whose storage is asynchronous.
const ASYNC: Config = Config {
    storage: Storage::Async,
    ..PLAIN
};

/// Servers with PreVote and CheckQuorum, whose storage is asynchronous.
const FULL_ASYNC: Config = Config {
    storage: Storage::Async,
    ..FULL
};

pub(super) const ALL: &[Preset] = &[
    Preset {
        name: "async-single",
        purpose: "asynchronous storage, a single voter: its own vote and entries count once they are durable, with crashes \
                  that keep some of the outstanding appends",
        config: Config {
            servers: 1,
            ..FULL_ASYNC
        },
        bounds: Bounds {
            max_term: 3,
            max_outstanding: 3,
            timeouts: times(3),
            proposals: times(2),
            restarts: times(2),
            compactions: times(1),
            ..STORING
        },
        ci: true,
    },
    Preset {
        name: "async-election",
        purpose: "asynchronous storage × election × crash: votes that wait or are lost, and a candidate that has the votes of \
                  others before its own is durable, and campaigns in the same term again",
        config: ASYNC,
        bounds: Bounds {
            max_in_flight: 2,
            timeouts: times(2),
            restarts: times(1),
            drops: times(1),
            ..STORING
        },
        ci: true,
    },
    Preset {
        name: "async-pre-vote",
        purpose: "asynchronous storage × PreVote: a server hears its own grant of an earlier round",
        config: Config {
            pre_vote: true,
            ..ASYNC
        },
        bounds: Bounds {
            max_in_flight: 2,
            max_outstanding: 3,
            timeouts: times(2),
            ..STORING
        },
        ci: true,
    },
    Preset {
        name: "async-lease",
        purpose: "asynchronous storage × PreVote × CheckQuorum: leases begin before the vote is durable that begins them",
        config: Config {
            servers: 2,
            ..FULL_ASYNC
        },
        bounds: Bounds {
            max_term: 2,
            timeouts: times(3),
            heartbeats: times(1),
            ..STORING
        },
        ci: true,
    },
    Preset {
        name: "async-conflict",
        purpose: "asynchronous storage × two leaders: what a server tells itself, and what storage acknowledges, comes a term \
                  late",
        config: ASYNC,
        bounds: Bounds {
            max_term: 2,
            max_in_flight: 2,
            timeouts: times(2),
            ..STORING
        },
        ci: true,
    },
    Preset {
        name: "async-crash",
        purpose: "asynchronous storage × crashes: an application that keeps its state in memory applies again, and a server \
                  that lost outstanding appends is sent them again",
        config: Config {
            servers: 2,
            application_in_memory: true,
            ..ASYNC
        },
        bounds: Bounds {
            max_term: 2,
            max_in_flight: 2,
            timeouts: times(2),
            restarts: times(2),
            compactions: times(1),
            ..STORING
        },
        ci: true,
    },
    Preset {
        name: "async-change",
        purpose: "asynchronous storage × membership: a server joins, commit is ahead of applied, and who has committed a \
                  change that it has not applied does not campaign",
        config: Config {
            storage: Storage::Async,
            ..TWO_OF_THREE
        },
        bounds: Bounds {
            max_term: 2,
            max_in_flight: 2,
            timeouts: times(2),
            changes: one(CHANGE.add_voter(3)),
            ..STORING
        },
        ci: true,
    },
    Preset {
        name: "async-transfer",
        purpose: "asynchronous storage × transfer × membership: a server that is told to campaign has committed a change \
                  that it has not applied",
        config: Config {
            storage: Storage::Async,
            ..TWO_OF_THREE
        },
        bounds: Bounds {
            max_term: 2,
            max_in_flight: 2,
            transfers: times(1),
            changes: one(CHANGE.add_voter(3)),
            ..STORING
        },
        ci: true,
    },
    Preset {
        name: "async-joint",
        purpose: "asynchronous storage × joint change × crashes: whoever leads leaves the joint configuration when it has \
                  applied it, and a server comes back with the configuration that its application has",
        config: Config {
            storage: Storage::Async,
            servers: 2,
            voters: ServerSet::of(&[1]),
            ..PLAIN
        },
        bounds: Bounds {
            max_term: 2,
            timeouts: times(2),
            restarts: times(2),
            changes: one(CHANGE.add_voter(2).remove(1)),
            ..STORING
        },
        ci: true,
    },
    Preset {
        name: "async-snapshot",
        purpose: "asynchronous storage × compaction × conflict: the one voter crashes and leads again with other entries, and its \
                  learner has the ones from before, not durable yet, when it gets a snapshot",
        config: Config {
            storage: Storage::Async,
            servers: 2,
            voters: ServerSet::of(&[1]),
            learners: ServerSet::of(&[2]),
            ..PLAIN
        },
        bounds: Bounds {
            max_term: 3,
            max_outstanding: 3,
            timeouts: times(3),
            heartbeats: times(1),
            restarts: times(1),
            compactions: times(1),
            ..STORING
        },
        ci: true,
    },
    Preset {
        name: "async-join",
        purpose: "asynchronous storage × a voter that joins by a snapshot: it does not campaign before the snapshot is durable",
        config: Config {
            storage: Storage::Async,
            servers: 2,
            voters: ServerSet::of(&[1]),
            ..PLAIN
        },
        bounds: Bounds {
            max_term: 2,
            timeouts: times(2),
            restarts: times(1),
            compactions: times(1),
            changes: one(CHANGE.add_voter(2)),
            ..STORING
        },
        ci: true,
    },
    Preset {
        name: "async-removal",
        purpose: "asynchronous storage × removal of the leader: it goes on leading, and the one that is left has an entry \
                  that the leader itself has not, as far as is durable",
        config: Config {
            storage: Storage::Async,
            servers: 2,
            voters: ServerSet::of(&[1, 2]),
            ..PLAIN
        },
        bounds: Bounds {
            max_in_flight: 2,
            max_outstanding: 3,
            proposals: times(1),
            changes: one(CHANGE.remove(1)),
            ..STORING
        },
        ci: true,
    },
    Preset {
        name: "async-read",
        purpose: "asynchronous storage × reads: a single voter that has lost its commit index in a crash, and is asked before it \
                  has committed in its term",
        config: Config {
            servers: 1,
            storage: Storage::Async,
            reads: Reads::Safe,
            ..PLAIN
        },
        bounds: Bounds {
            max_term: 2,
            timeouts: times(2),
            proposals: times(1),
            restarts: times(1),
            reads: [times(2), times(0)],
            ..STORING
        },
        ci: true,
    },
    Preset {
        name: "async-room",
        purpose: "asynchronous storage × room for two proposals, a single voter: what is applied gives room, not what is \
                  committed",
        config: Config {
            servers: 1,
            storage: Storage::Async,
            max_uncommitted: 2,
            ..PLAIN
        },
        bounds: Bounds {
            max_outstanding: 3,
            proposals: times(4),
            ..STORING
        },
        ci: true,
    },
];
