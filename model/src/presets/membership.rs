//! Models whose configuration changes.

use super::{PLAIN, Preset, QUIET, times};
use crate::bounds::{Bounds, Budget};
use crate::configuration::ConfChange;
use lockstep_traces::{Config, ServerSet};

/// Three servers as in the paper, of which two vote at first.
pub(super) const TWO_OF_THREE: Config = Config {
    voters: ServerSet::of(&[1, 2]),
    ..PLAIN
};

/// Three servers as in the paper, all of which vote at first, and any of which may go.
pub(super) const THREE: Config = Config {
    voters: ServerSet::of(&[1, 2, 3]),
    ..PLAIN
};

/// A change of nothing, to build on.
pub(super) const CHANGE: ConfChange = ConfChange::LEAVE_JOINT;

/// A place in the menu that is not used.
const NONE: (ConfChange, Budget) = (CHANGE, times(0));

/// One change, which is proposed once.
pub(super) const fn one(change: ConfChange) -> [(ConfChange, Budget); 2] {
    [(change, times(1)), NONE]
}

/// Two changes, each of which is proposed once.
pub(super) const fn two(first: ConfChange, second: ConfChange) -> [(ConfChange, Budget); 2] {
    [(first, times(1)), (second, times(1))]
}

pub(super) const ALL: &[Preset] = &[
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
        name: "transfer-ended",
        purpose: "transfer × joint configuration: a leader that is asked for itself, or told of an election timeout, gives up \
                  the transfer, and leaves the joint configuration then",
        config: TWO_OF_THREE,
        bounds: Bounds {
            quorum_checks: times(1),
            transfers: times(2),
            changes: one(CHANGE.add_voter(3).remove(2)),
            ..QUIET
        },
        ci: true,
    },
    Preset {
        name: "resignation-learner",
        purpose: "a leader steps down when it has applied that it learns only, and not when it is removed",
        config: Config {
            step_down_on_removal: true,
            ..THREE
        },
        bounds: Bounds {
            changes: one(CHANGE.add_learner(1)),
            ..QUIET
        },
        ci: true,
    },
    Preset {
        name: "turnover",
        purpose: "three parts of one change: two voters come and one goes",
        config: Config {
            voters: ServerSet::of(&[1]),
            ..PLAIN
        },
        bounds: Bounds {
            changes: one(CHANGE.add_voter(2).add_voter(3).remove(1)),
            ..QUIET
        },
        ci: true,
    },
    Preset {
        name: "snapshot-outgoing",
        purpose: "compaction × demotion: who votes in the old half only, and learns when it is left, was left behind and gets \
                  a snapshot of a joint configuration that does not leave itself",
        config: THREE,
        bounds: Bounds {
            max_in_flight: 2,
            heartbeats: times(1),
            compactions: times(1),
            drops: times(1),
            changes: two(CHANGE.add_learner(3).explicit(), ConfChange::LEAVE_JOINT),
            ..QUIET
        },
        ci: true,
    },
    Preset {
        name: "snapshot-lease",
        purpose: "compaction × CheckQuorum: a snapshot is contact with the leader, whose lease it renews",
        config: Config {
            servers: 2,
            check_quorum: true,
            voters: ServerSet::of(&[1]),
            learners: ServerSet::of(&[2]),
            ..PLAIN
        },
        bounds: Bounds {
            lease_expiries: times(1),
            heartbeats: times(1),
            proposals: times(1),
            compactions: times(1),
            drops: times(1),
            ..QUIET
        },
        ci: true,
    },
];
