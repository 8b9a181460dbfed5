//! The production Raft of this repository and the specification, in lockstep.

use lockstep_conformance::planted::{Mistake, Planted};
use lockstep_conformance::product::Product;
use lockstep_conformance::targets::lockstep_raft::{AsyncLockstepRaft, LockstepRaft};
use lockstep_conformance::verdict::{Strength, Verdict};
use lockstep_conformance::{Fork, Target, TargetServer};
use lockstep_model::{Bounds, Budget, Cluster, Settings};
use lockstep_traces::{Config, FieldSet, Input, ServerId};

const FULL: Config = Config {
    pre_vote: true,
    check_quorum: true,
    ..Config::PAPER
};

/// Everything happens here, in two terms; every other input is probed.
fn cluster(config: &Config) -> Cluster {
    let bounds = Bounds {
        max_term: 2,
        max_in_flight: 2,
        timeouts: Budget::Times(2),
        heartbeats: Budget::Times(1),
        quorum_checks: Budget::Times(1),
        proposals: Budget::Times(1),
        drops: Budget::Times(2),
        ..Bounds::QUIET
    };
    Cluster::new(Settings::new(config).expect("a good configuration"), bounds)
}

#[test]
fn the_production_raft_is_bisimilar_to_the_specification() {
    is_bisimilar(&LockstepRaft);
}

#[test]
fn with_asynchronous_storage_writes_it_is_too() {
    is_bisimilar(&AsyncLockstepRaft);
}

/// The four settings of the election switches, with and without pipelining of entries.
fn is_bisimilar<T: Target + Sync>(target: &T)
where
    T::Server: Fork + Send,
{
    let mut states = Vec::new();
    for (pre_vote, check_quorum) in [(true, true), (true, false), (false, true), (false, false)] {
        let one_entry_per_append = pre_vote != check_quorum;
        let config = Config {
            pre_vote,
            check_quorum,
            one_entry_per_append,
            ..FULL
        };
        let report = Product::new(&cluster(&config), target).threads(2).run();
        let report = report.expect("it starts");
        assert!(
            report.verdict == Verdict::Holds(Strength::BisimilarWithinBound),
            "{config:?}: {:?}",
            report.verdict
        );
        assert_eq!(report.fields_compared(), FieldSet::ALL);
        assert_eq!(
            report.implementation.inputs_rerun,
            report.implementation.inputs
        );
        println!(
            "{:?} {:?} {}",
            report.counts, report.implementation, report.seconds
        );
        states.push(report.counts.product_states);
    }
    assert_eq!(states, [7_771, 2_494, 59_692, 26_398]);
}

/// The comparison bites on the production Raft as well.
#[test]
fn every_planted_mistake_is_caught() {
    for mistake in Mistake::ALL {
        let target = Planted::new(LockstepRaft, mistake);
        let report = Product::new(&cluster(&FULL), &target)
            .run()
            .expect("it starts");
        match mistake {
            Mistake::HiddenState => {
                assert!(report.verdict == Verdict::HiddenState, "{mistake:?}");
            }
            _ => assert!(report.verdict == Verdict::Diverged, "{mistake:?}"),
        }
    }
}

/// A copy is a server of its own: giving one an input leaves the other as it was.
#[test]
fn a_copy_shares_nothing() {
    let one = ServerId::new(1).expect("not zero");
    let mut server = LockstepRaft.start(&FULL, one).expect("it starts");
    let (digest, view) = (server.digest(), server.view().expect("a view"));
    let mut copy = server.fork();
    assert_eq!(copy.digest(), digest);
    copy.apply(&Input::Timeout).expect("a timeout");
    assert_ne!(copy.digest(), digest);
    assert_eq!(
        (server.digest(), server.view().expect("a view")),
        (digest, view)
    );
}
