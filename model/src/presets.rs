//! Named models.

mod large;
mod membership;
mod mixed;
mod reads;
mod storage;

use crate::bounds::{Bounds, Budget};
use lockstep_traces::Config;
use std::sync::LazyLock;

/// A model with a name and a purpose.
#[derive(Clone, Debug)]
pub struct Preset {
    /// Its name.
    pub name: &'static str,
    /// Its purpose.
    pub purpose: &'static str,
    /// The configuration of the servers.
    pub config: Config,
    /// The bounds of the environment.
    pub bounds: Bounds,
    /// Whether it is part of the checks that run on every change.
    pub ci: bool,
}

impl Preset {
    /// Every preset, the CI ones first.
    pub fn all() -> &'static [Preset] {
        static PRESETS: LazyLock<Vec<Preset>> = LazyLock::new(|| {
            [
                ALL,
                membership::ALL,
                storage::ALL,
                reads::ALL,
                mixed::ALL,
                large::ALL,
            ]
            .concat()
        });
        &PRESETS
    }

    /// The preset of that name.
    pub fn named(name: &str) -> Option<&'static Preset> {
        Preset::all().iter().find(|preset| preset.name == name)
    }
}

const fn times(times: u16) -> Budget {
    Budget::Times(times)
}

/// Three servers with PreVote and CheckQuorum.
const FULL: Config = Config {
    pre_vote: true,
    check_quorum: true,
    ..Config::PAPER
};

/// Three servers as in the paper.
const PLAIN: Config = Config::PAPER;

/// Nothing happens: presets say what does.
const QUIET: Bounds = Bounds::QUIET;

/// One of everything, but one disturbance in each run.
const ONE_OF_EACH: Bounds = Bounds {
    lease_expiries: times(1),
    heartbeats: times(1),
    quorum_checks: times(1),
    proposals: times(1),
    restarts: times(1),
    duplicates: times(1),
    drops: times(1),
    disturbances: times(1),
    ..QUIET
};

/// Elections, replication, transfer, forwarding, and snapshots.
const ALL: &[Preset] = &[
    Preset {
        name: "smoke",
        purpose: "a second's look: one election, a proposal, and one heartbeat, quorum check or loss",
        config: FULL,
        bounds: Bounds {
            lease_expiries: times(0),
            restarts: times(0),
            duplicates: times(0),
            ..ONE_OF_EACH
        },
        ci: true,
    },
    Preset {
        name: "default",
        purpose: "PreVote and CheckQuorum together over two terms, with one disturbance of any kind",
        config: FULL,
        bounds: Bounds {
            max_term: 2,
            timeouts: times(2),
            ..ONE_OF_EACH
        },
        ci: true,
    },
    Preset {
        name: "votes",
        purpose: "PreVote alone: rounds that overlap, late and repeated answers, votes of \
                  pre-candidates",
        config: Config {
            check_quorum: false,
            ..FULL
        },
        bounds: Bounds {
            max_term: 2,
            timeouts: times(3),
            drops: times(1),
            ..QUIET
        },
        ci: true,
    },
    Preset {
        name: "lease",
        purpose: "CheckQuorum without PreVote: leases, quorum checks and leaders that step down",
        config: Config {
            pre_vote: false,
            ..FULL
        },
        bounds: Bounds {
            max_term: 2,
            timeouts: times(2),
            lease_expiries: times(1),
            heartbeats: times(1),
            quorum_checks: times(1),
            ..QUIET
        },
        ci: true,
    },
    Preset {
        name: "revote",
        purpose: "a vote asked for twice by a leader whose lease has expired: with one timeout, and a \
                  lease, a heartbeat, a loss and a repetition in the same run",
        config: Config {
            pre_vote: false,
            ..FULL
        },
        bounds: Bounds {
            lease_expiries: times(1),
            heartbeats: times(1),
            duplicates: times(1),
            drops: times(1),
            ..QUIET
        },
        ci: true,
    },
    Preset {
        name: "conflict",
        purpose: "the paper's Raft over three terms: logs that diverge, refused appends with hints of \
                  both sides, repair, entries of old terms",
        config: PLAIN,
        bounds: Bounds {
            max_term: 3,
            timeouts: times(3),
            drops: times(2),
            ..QUIET
        },
        ci: true,
    },
    Preset {
        name: "overtaken",
        purpose: "the paper's Raft over three terms with one entry an append and many losses: a longer \
                  log of an older term against a newer one, old entries that a majority has",
        config: Config {
            one_entry_per_append: true,
            ..PLAIN
        },
        bounds: Bounds {
            max_term: 3,
            max_in_flight: 2,
            timeouts: times(3),
            proposals: times(1),
            drops: times(5),
            ..QUIET
        },
        ci: true,
    },
    Preset {
        name: "pair",
        purpose: "two servers over three terms: every message meets every role",
        config: Config { servers: 2, ..FULL },
        bounds: Bounds {
            max_term: 3,
            timeouts: times(3),
            restarts: times(1),
            heartbeats: times(1),
            proposals: times(1),
            ..QUIET
        },
        ci: true,
    },
    Preset {
        name: "window",
        purpose: "flow control: several proposals, one entry an append, a window of two that fills, \
                  is probed and drains, with loss and reordering",
        config: Config {
            servers: 2,
            one_entry_per_append: true,
            ..PLAIN
        },
        bounds: Bounds {
            max_in_flight: 4,
            proposals: times(3),
            heartbeats: times(1),
            drops: times(1),
            duplicates: times(1),
            disturbances: times(1),
            ..QUIET
        },
        ci: true,
    },
    Preset {
        name: "flow",
        purpose: "a window of two at two peers: an append sent again carries a commit index beyond what \
                  it proves",
        config: Config {
            one_entry_per_append: true,
            ..PLAIN
        },
        bounds: Bounds {
            max_in_flight: 4,
            proposals: times(2),
            heartbeats: times(1),
            ..QUIET
        },
        ci: true,
    },
    Preset {
        name: "narrow",
        purpose: "a window of one, with a heartbeat, a loss or a repetition",
        config: Config {
            servers: 2,
            one_entry_per_append: true,
            max_inflight: 1,
            ..PLAIN
        },
        bounds: Bounds {
            proposals: times(3),
            heartbeats: times(1),
            drops: times(1),
            duplicates: times(1),
            disturbances: times(1),
            ..QUIET
        },
        ci: true,
    },
    Preset {
        name: "pipeline",
        purpose: "a window of eight that fills while appends and acknowledgements are lost: an \
                  acknowledgement frees one to eight of it, logs of ten entries",
        config: Config {
            servers: 2,
            one_entry_per_append: true,
            max_inflight: 8,
            ..PLAIN
        },
        bounds: Bounds {
            max_in_flight: 2,
            proposals: times(9),
            drops: Budget::Unlimited,
            ..QUIET
        },
        ci: true,
    },
    Preset {
        name: "batch",
        purpose: "appends of up to six entries, logs of seven",
        config: Config {
            servers: 2,
            ..PLAIN
        },
        bounds: Bounds {
            proposals: times(6),
            ..QUIET
        },
        ci: true,
    },
    Preset {
        name: "four",
        purpose: "four servers and two candidates: two votes are no majority",
        config: Config {
            servers: 4,
            ..PLAIN
        },
        bounds: Bounds {
            max_in_flight: 5,
            timeouts: times(2),
            ..QUIET
        },
        ci: true,
    },
    Preset {
        name: "quorum",
        purpose: "five servers and one candidate: three votes and three copies are a majority",
        config: Config {
            servers: 5,
            ..PLAIN
        },
        bounds: Bounds {
            max_in_flight: 7,
            ..QUIET
        },
        ci: true,
    },
    Preset {
        name: "single",
        purpose: "a cluster of one: elected and committing by itself, all within one event",
        config: Config { servers: 1, ..FULL },
        bounds: Bounds {
            max_term: 3,
            timeouts: times(3),
            proposals: times(2),
            heartbeats: times(1),
            quorum_checks: times(1),
            restarts: times(2),
            ..QUIET
        },
        ci: true,
    },
    Preset {
        name: "transfer",
        purpose: "transfer of leadership over two terms, asked for at leaders and followers: a transferee that is \
                  behind, a second request, and a transfer that is given up or fails",
        config: Config {
            check_quorum: false,
            ..FULL
        },
        bounds: Bounds {
            max_term: 2,
            timeouts: times(2),
            transfers: times(2),
            quorum_checks: times(1),
            ..QUIET
        },
        ci: true,
    },
    Preset {
        name: "transfer-lease",
        purpose: "transfer under CheckQuorum and PreVote: the transferee's request against live leases, quorum \
                  checks and another candidate",
        config: FULL,
        bounds: Bounds {
            max_term: 2,
            timeouts: times(2),
            transfers: times(1),
            quorum_checks: times(1),
            ..QUIET
        },
        ci: true,
    },
    Preset {
        name: "transfer-rival",
        purpose: "a transferee and another candidate ask for votes of the same term, without PreVote",
        config: PLAIN,
        bounds: Bounds {
            max_term: 2,
            timeouts: times(2),
            transfers: times(1),
            drops: times(1),
            ..QUIET
        },
        ci: true,
    },
    Preset {
        name: "forget",
        purpose: "followers that forget their leader and vote again: leases that end before their time",
        config: FULL,
        bounds: Bounds {
            max_term: 2,
            timeouts: times(2),
            lease_expiries: times(1),
            heartbeats: times(1),
            forgets: times(1),
            ..QUIET
        },
        ci: true,
    },
    Preset {
        name: "forward",
        purpose: "proposals that followers forward, to leaders that have room, are full, hand over or are gone",
        config: Config {
            servers: 2,
            forward_proposals: true,
            max_uncommitted: 1,
            check_quorum: false,
            ..FULL
        },
        bounds: Bounds {
            max_term: 3,
            timeouts: times(2),
            proposals: times(2),
            transfers: times(1),
            ..QUIET
        },
        ci: true,
    },
    Preset {
        name: "snapshot",
        purpose: "compaction among three servers: a peer that needs what is gone, snapshots that come twice or late, \
                  and what the transport reports of them",
        config: PLAIN,
        bounds: Bounds {
            heartbeats: times(1),
            compactions: times(2),
            unreachable_reports: times(1),
            snapshot_reports: times(1),
            duplicates: times(1),
            ..QUIET
        },
        ci: true,
    },
    Preset {
        name: "snapshot-conflict",
        purpose: "compaction over two terms with a loss: a server that was left behind with entries of its own meets \
                  a snapshot",
        config: PLAIN,
        bounds: Bounds {
            max_term: 2,
            timeouts: times(2),
            heartbeats: times(1),
            compactions: times(1),
            drops: times(1),
            ..QUIET
        },
        ci: true,
    },
    Preset {
        name: "snapshot-longer",
        purpose: "compaction in one term with a loss: a snapshot that ends within the log of the server that gets it",
        config: PLAIN,
        bounds: Bounds {
            heartbeats: times(2),
            proposals: times(1),
            compactions: times(1),
            drops: times(1),
            ..QUIET
        },
        ci: true,
    },
    Preset {
        name: "snapshot-again",
        purpose: "compaction twice over two terms: a leader that has compacted more by the time that its snapshot \
                  arrives, or leads with a log that was compacted before",
        config: PLAIN,
        bounds: Bounds {
            max_term: 2,
            timeouts: times(2),
            heartbeats: times(1),
            compactions: times(2),
            snapshot_reports: times(1),
            ..QUIET
        },
        ci: true,
    },
    Preset {
        name: "snapshot-restart",
        purpose: "restarts of servers whose logs begin behind a snapshot, with PreVote",
        config: Config {
            pre_vote: true,
            ..PLAIN
        },
        bounds: Bounds {
            max_term: 2,
            timeouts: times(2),
            heartbeats: times(1),
            restarts: times(1),
            compactions: times(1),
            ..QUIET
        },
        ci: true,
    },
    Preset {
        name: "snapshot-transfer",
        purpose: "compaction × transfer: who is to lead is sent a snapshot first, and told to campaign when it has it",
        config: PLAIN,
        bounds: Bounds {
            heartbeats: times(1),
            transfers: times(1),
            compactions: times(1),
            drops: times(1),
            ..QUIET
        },
        ci: true,
    },
    Preset {
        name: "room",
        purpose: "room for two proposals, of clients here or forwarded: it fills, is freed by one commit or two, and does not begin anew when a transfer \
                  fails",
        config: Config {
            servers: 2,
            forward_proposals: true,
            max_uncommitted: 2,
            ..PLAIN
        },
        bounds: Bounds {
            quorum_checks: times(1),
            proposals: times(3),
            transfers: times(1),
            ..QUIET
        },
        ci: true,
    },
];
