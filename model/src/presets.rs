//! Named models.

use crate::bounds::{Bounds, Budget};
use crate::configuration::ConfChange;
use lockstep_traces::{Config, ServerSet, Storage};

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
        ALL
    }

    /// The preset of that name.
    pub fn named(name: &str) -> Option<&'static Preset> {
        ALL.iter().find(|preset| preset.name == name)
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

/// Servers with PreVote and CheckQuorum, whose storage is asynchronous.
const FULL_ASYNC: Config = Config {
    storage: Storage::Async,
    ..FULL
};

/// Three servers as in the paper.
const PLAIN: Config = Config::PAPER;

/// Nothing happens: presets say what does.
const QUIET: Bounds = Bounds::QUIET;

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

/// Three servers as in the paper, of which two vote at first.
const TWO_OF_THREE: Config = Config {
    voters: ServerSet::of(&[1, 2]),
    ..PLAIN
};

/// Three servers as in the paper, all of which vote at first, and any of which may go.
const THREE: Config = Config {
    voters: ServerSet::of(&[1, 2, 3]),
    ..PLAIN
};

/// A change of nothing, to build on.
const CHANGE: ConfChange = ConfChange::LEAVE_JOINT;

/// A place in the menu that is not used.
const NONE: (ConfChange, Budget) = (CHANGE, times(0));

/// One change, which is proposed once.
const fn one(change: ConfChange) -> [(ConfChange, Budget); 2] {
    [(change, times(1)), NONE]
}

/// Two changes, each of which is proposed once.
const fn two(first: ConfChange, second: ConfChange) -> [(ConfChange, Budget); 2] {
    [(first, times(1)), (second, times(1))]
}

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
        name: "simple-change",
        purpose: "a third server joins two, while two of them campaign: changes that come too early, are overwritten, \
                  or take effect at one server before the other",
        config: TWO_OF_THREE,
        bounds: Bounds {
            max_term: 2,
            timeouts: times(2),
            changes: two(CHANGE.add_voter(3), CHANGE.remove(3)),
            ..QUIET
        },
        ci: true,
    },
    Preset {
        name: "removal",
        purpose: "a server is removed, and goes on leading if it led, by the votes of the others",
        config: THREE,
        bounds: Bounds {
            max_term: 2,
            timeouts: times(2),
            // The second one comes too early, or is nothing new.
            changes: [(CHANGE.remove(1), times(2)), NONE],
            ..QUIET
        },
        ci: true,
    },
    Preset {
        name: "resignation",
        purpose: "CheckQuorum: a leader steps down when it has applied its own removal, and the rest elect another",
        config: Config {
            check_quorum: true,
            step_down_on_removal: true,
            ..THREE
        },
        bounds: Bounds {
            max_term: 2,
            timeouts: times(2),
            quorum_checks: times(1),
            changes: one(CHANGE.remove(1)),
            ..QUIET
        },
        ci: true,
    },
    Preset {
        name: "return",
        purpose: "a server is removed and comes back, with the log that it had",
        config: THREE,
        bounds: Bounds {
            drops: times(1),
            changes: two(CHANGE.remove(3), CHANGE.add_voter(3)),
            ..QUIET
        },
        ci: true,
    },
    Preset {
        name: "joint",
        purpose: "one voter replaces another by a joint configuration that somebody has to leave",
        config: TWO_OF_THREE,
        bounds: Bounds {
            max_term: 2,
            timeouts: times(2),
            changes: two(
                CHANGE.add_voter(3).remove(2).explicit(),
                ConfChange::LEAVE_JOINT,
            ),
            ..QUIET
        },
        ci: true,
    },
    Preset {
        name: "handover",
        purpose: "one voter replaces another by a joint configuration that leaves itself, while the leader changes: \
                  whoever leads leaves it",
        config: TWO_OF_THREE,
        bounds: Bounds {
            max_term: 3,
            timeouts: times(3),
            restarts: times(1),
            drops: times(1),
            disturbances: times(1),
            changes: one(CHANGE.add_voter(3).remove(2)),
            ..QUIET
        },
        ci: true,
    },
    Preset {
        name: "learner",
        purpose: "a learner is promoted while two servers campaign: it may be asked to vote before it knows",
        config: Config {
            pre_vote: true,
            learners: ServerSet::of(&[3]),
            ..TWO_OF_THREE
        },
        bounds: Bounds {
            max_term: 2,
            timeouts: times(2),
            drops: times(1),
            changes: one(CHANGE.add_voter(3)),
            ..QUIET
        },
        ci: true,
    },
    Preset {
        name: "demotion",
        purpose: "a voter becomes a learner by way of a joint configuration, in which it still votes",
        config: TWO_OF_THREE,
        bounds: Bounds {
            max_term: 2,
            timeouts: times(2),
            proposals: times(1),
            heartbeats: times(1),
            changes: one(CHANGE.add_voter(3).add_learner(2)),
            ..QUIET
        },
        ci: true,
    },
    Preset {
        name: "replacement",
        purpose: "one of three voters is replaced: four servers, a joint configuration in which two halves of three \
                  differ by one",
        config: Config {
            servers: 4,
            ..THREE
        },
        bounds: Bounds {
            max_term: 2,
            timeouts: times(2),
            changes: one(CHANGE.add_voter(4).remove(1)),
            ..QUIET
        },
        ci: true,
    },
    Preset {
        name: "succession",
        purpose: "two changes in a row, one voter comes and another goes: quorums two changes apart need not meet, so \
                  the second one waits for the first",
        config: Config {
            servers: 4,
            ..THREE
        },
        bounds: Bounds {
            max_term: 2,
            timeouts: times(2),
            changes: two(CHANGE.add_voter(4), CHANGE.remove(1)),
            ..QUIET
        },
        ci: true,
    },
    Preset {
        name: "unchecked",
        purpose: "changes that nobody holds back: two at once in the log, by which a leader is removed and comes back",
        config: Config {
            disable_conf_change_validation: true,
            ..TWO_OF_THREE
        },
        bounds: Bounds {
            max_term: 2,
            timeouts: times(2),
            changes: two(CHANGE.remove(1), CHANGE.add_voter(1)),
            ..QUIET
        },
        ci: true,
    },
    Preset {
        name: "snapshot-join",
        purpose: "compaction × membership × restart over two terms: a stranger joins a leader that has compacted its log, \
                  learns of it from a snapshot, and ignores one that is older than its membership",
        config: TWO_OF_THREE,
        bounds: Bounds {
            max_term: 2,
            timeouts: times(2),
            restarts: times(1),
            compactions: times(1),
            changes: one(CHANGE.add_voter(3)),
            ..QUIET
        },
        ci: true,
    },
    Preset {
        name: "snapshot-learner",
        purpose: "compaction × promotion: a learner that was left behind gets a snapshot in which it learns, or votes already",
        config: Config {
            learners: ServerSet::of(&[3]),
            ..TWO_OF_THREE
        },
        bounds: Bounds {
            heartbeats: times(1),
            compactions: times(2),
            drops: times(1),
            changes: one(CHANGE.add_voter(3)),
            ..QUIET
        },
        ci: true,
    },
    Preset {
        name: "snapshot-joint",
        purpose: "compaction × joint change × leader change: snapshots of a configuration with two halves, which their \
                  receiver then leaves or leads",
        config: TWO_OF_THREE,
        bounds: Bounds {
            max_term: 2,
            timeouts: times(2),
            compactions: times(2),
            drops: times(1),
            changes: one(CHANGE.add_voter(3).remove(2)),
            ..QUIET
        },
        ci: true,
    },
    Preset {
        name: "transfer-removal",
        purpose: "transfer × membership: the leader, the transferee or a third server is removed while leadership is \
                  handed over",
        config: THREE,
        bounds: Bounds {
            max_term: 2,
            timeouts: times(1),
            transfers: times(2),
            changes: one(CHANGE.remove(1)),
            ..QUIET
        },
        ci: true,
    },
    Preset {
        name: "transfer-learner",
        purpose: "transfer × promotion: requests for a learner and for who was one, told to campaign before it knows that \
                  it votes",
        config: Config {
            learners: ServerSet::of(&[3]),
            ..TWO_OF_THREE
        },
        bounds: Bounds {
            max_term: 2,
            timeouts: times(2),
            transfers: times(2),
            changes: one(CHANGE.add_voter(3)),
            ..QUIET
        },
        ci: true,
    },
    Preset {
        name: "forward-change",
        purpose: "changes of the configuration that a follower forwards, to a leader that has room, is full, waits for \
                  another one, or hands over and so does not leave the joint configuration",
        config: Config {
            forward_proposals: true,
            max_uncommitted: 1,
            ..TWO_OF_THREE
        },
        bounds: Bounds {
            max_term: 2,
            timeouts: times(1),
            proposals: times(1),
            quorum_checks: times(1),
            transfers: times(1),
            changes: one(CHANGE.add_voter(3).remove(2)),
            ..QUIET
        },
        ci: true,
    },
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
