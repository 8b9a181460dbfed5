//! The engine on the specification: nothing but time may depend on how a space is searched.

use lockstep_engine::{MemorySplit, Report, Search, Swarm, SwarmSettings, TimeSplit, Verdict};
use lockstep_model::{Bounds, Budget, Cluster, Preset, Settings};
use lockstep_traces::{Config, Storage};
use proptest::prelude::*;
use proptest::test_runner::RngSeed;

fn cluster(name: &str) -> Cluster {
    let preset = Preset::named(name).expect("the preset exists");
    let settings = Settings::new(&preset.config).expect("a preset is valid");
    Cluster::new(settings, preset.bounds)
}

fn report(search: Search<'_, Cluster>) -> Report {
    plain(search.run().expect("the search runs").report)
}

/// The report without what depends on the machine.
fn plain(report: Report) -> Report {
    Report {
        threads: 0,
        time: TimeSplit::default(),
        memory: MemorySplit::default(),
        ..report
    }
}

#[test]
fn collapsing_changes_nothing() {
    for name in [
        "smoke",
        "votes",
        "lease",
        "window",
        "single",
        "joint",
        "async-crash",
    ] {
        let cluster = cluster(name);
        for coverage in [true, false] {
            let search = || Search::new(&cluster).coverage(coverage);
            let executed = report(search().collapse(false));
            assert_eq!(executed.verdict, Verdict::Exhausted, "{name}");
            for threads in [1, 2] {
                assert_eq!(report(search().threads(threads)), executed, "{name}");
            }
        }
    }
}

/// Two leaders at the same time, each with something to commit and to propose: the order in which they do it
/// matters.
#[test]
fn collapsing_changes_nothing_with_two_leaders() {
    let config = Config {
        servers: 3,
        pre_vote: false,
        check_quorum: false,
        one_entry_per_append: false,
        max_inflight: 2,
        ..Config::PAPER
    };
    let never = Budget::Times(0);
    let bounds = Bounds {
        max_term: 2,
        timeouts: Budget::Times(2),
        lease_expiries: never,
        heartbeats: never,
        quorum_checks: never,
        proposals: Budget::Times(2),
        restarts: never,
        forgets: never,
        compactions: never,
        transfers: never,
        unreachable_reports: never,
        snapshot_reports: never,
        duplicates: never,
        drops: never,
        disturbances: never,
        ..Bounds::QUIET
    };
    let cluster = Cluster::new(Settings::new(&config).expect("it is valid"), bounds);
    let search = || Search::new(&cluster).coverage(true).threads(2);
    let executed = report(search().collapse(false));
    assert_eq!(executed.verdict, Verdict::Exhausted);
    assert_eq!(report(search()), executed);
}

fn budget() -> impl Strategy<Value = Budget> {
    prop_oneof![
        Just(Budget::Times(0)),
        Just(Budget::Times(1)),
        Just(Budget::Times(2)),
        Just(Budget::Unlimited),
    ]
}

fn any_cluster() -> impl Strategy<Value = Cluster> {
    let settings = (2u64..=3, any::<[bool; 6]>(), 1u64..=2, 0u64..=1);
    let limits = (1u32..=3, 1usize..=10);
    let budgets = prop::collection::vec(budget(), 14);
    (settings, limits, budgets).prop_map(|(settings, limits, budgets)| {
        let (servers, switches, max_inflight, max_uncommitted) = settings;
        let [
            pre_vote,
            check_quorum,
            one_entry_per_append,
            forward_proposals,
            is_async,
            in_memory,
        ] = switches;
        let (max_term, max_in_flight) = limits;
        let config = Config {
            servers,
            pre_vote,
            check_quorum,
            one_entry_per_append,
            max_inflight,
            forward_proposals,
            max_uncommitted,
            storage: match is_async {
                true => Storage::Async,
                false => Storage::Atomic,
            },
            application_in_memory: is_async && in_memory,
            ..Config::PAPER
        };
        let bounds = Bounds {
            max_term,
            max_in_flight,
            timeouts: budgets[0],
            lease_expiries: budgets[1],
            heartbeats: budgets[2],
            quorum_checks: budgets[3],
            proposals: budgets[4],
            restarts: budgets[5],
            duplicates: budgets[6],
            drops: budgets[7],
            disturbances: budgets[8],
            forgets: budgets[9],
            compactions: budgets[10],
            transfers: budgets[11],
            unreachable_reports: budgets[12],
            snapshot_reports: budgets[13],
            ..Bounds::QUIET
        };
        Cluster::new(Settings::new(&config).expect("it is valid"), bounds)
    })
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: 60,
        rng_seed: RngSeed::Fixed(12),
        failure_persistence: None,
        ..ProptestConfig::default()
    })]

    /// Any bounds give the same result, including the order in which states are found, which shows in the traces.
    #[test]
    fn collapsing_changes_nothing_within_any_bounds(cluster in any_cluster()) {
        let outcome = |search: Search<'_, Cluster>| {
            let checked = search.max_states(12_000).run().expect("the search runs");
            let witnesses = format!("{:?}", checked.witnesses);
            (plain(checked.report), witnesses)
        };
        let executed = outcome(Search::new(&cluster).collapse(false));
        prop_assert_eq!(outcome(Search::new(&cluster)), executed);
    }
}

#[test]
fn collapsing_changes_nothing_with_symmetry() {
    for name in [
        "smoke",
        "votes",
        "pair",
        "learner",
        "async-joint",
        "async-crash",
    ] {
        let cluster = cluster(name);
        let search = || Search::new(&cluster).symmetry(true).coverage(true);
        let executed = report(search().collapse(false));
        assert_eq!(executed.verdict, Verdict::Exhausted, "{name}");
        for threads in [1, 2] {
            assert_eq!(report(search().threads(threads)), executed, "{name}");
        }
    }
}

#[test]
fn symmetry_divides_by_the_orbits() {
    for name in ["smoke", "votes"] {
        let cluster = cluster(name);
        let full = report(Search::new(&cluster));
        let reduced = report(
            Search::new(&cluster)
                .symmetry(true)
                .count_orbits(true)
                .threads(2),
        );
        assert_eq!(reduced.verdict, Verdict::Exhausted, "{name}");
        assert_eq!(reduced.orbit_states, Some(full.distinct), "{name}");
        assert_eq!(reduced.depth, full.depth, "{name}");
        assert_eq!(reduced.witnesses, full.witnesses, "{name}");
        assert!(
            reduced.distinct * 11 < full.distinct * 2,
            "{name}: {}",
            reduced.distinct
        );
    }
}

/// Of five servers the whole space is too large for a test; the orbits must add up on every level.
#[test]
fn symmetry_divides_five_servers_by_the_orbits() {
    let cluster = cluster("five");
    let search = || Search::new(&cluster).max_depth(8).threads(2);
    let full = report(search());
    let reduced = report(search().symmetry(true).count_orbits(true));
    // States of the last level are found, but not looked at any more.
    let looked_at = full.distinct - full.levels.last().map_or(0, |level| level.distinct);
    assert_eq!(reduced.orbit_states, Some(looked_at));
    assert_eq!(reduced.levels.len(), full.levels.len());
    assert_eq!(reduced.verdict, full.verdict);
    assert!(
        reduced.distinct * 60 < full.distinct,
        "{}",
        reduced.distinct
    );
    let quick = report(search().symmetry(true));
    assert_eq!(quick.levels, reduced.levels);
}

#[test]
fn with_little_memory_it_is_the_same() {
    let cluster = cluster("lease");
    let full = Search::new(&cluster).run().expect("the search runs").report;
    let tight = full.memory.fingerprints + full.memory.batch + full.memory.links / 2;
    let spilled = Search::new(&cluster)
        .max_memory(tight)
        .run()
        .expect("the search runs")
        .report;
    assert!(spilled.memory.disk > 0 && spilled.memory.peak <= tight);
    assert_eq!(
        (spilled.distinct, spilled.generated),
        (full.distinct, full.generated)
    );
    assert_eq!(
        (spilled.verdict, spilled.levels),
        (full.verdict, full.levels)
    );
}

#[test]
fn on_disk_it_is_the_same() {
    let cluster = cluster("votes");
    let full = Search::new(&cluster).run().expect("the search runs").report;
    let on_disk = Search::new(&cluster).on_disk(true).run();
    let on_disk = on_disk.expect("the search runs").report;
    assert!(on_disk.memory.disk > 0);
    assert!(on_disk.memory.links + on_disk.memory.frontier < full.memory.links);
    assert_eq!(on_disk.levels, full.levels);
    assert_eq!(on_disk.verdict, full.verdict);
}

#[test]
fn a_swarm_finds_no_violation_and_elects() {
    let cluster = cluster("default");
    let settings = SwarmSettings {
        seed: 1,
        first_run: 0,
        runs: 200,
        walks: 8,
        steps: 100,
    };
    let swarm = || Swarm::new(&cluster).settings(settings);
    let one = swarm().run().expect("the swarm runs").report;
    let two = swarm().threads(2).run().expect("the swarm runs").report;
    assert!(
        !matches!(one.verdict, Verdict::Violated { .. }),
        "{}",
        one.verdict
    );
    assert_eq!(
        (&one.actions, &one.pairs, one.steps),
        (&two.actions, &two.pairs, two.steps)
    );
    let never: Vec<&str> = one
        .actions
        .iter()
        .filter(|action| action.fired == 0)
        .map(|a| a.kind.as_str())
        .collect();
    // The preset has no budget for these.
    let others = [
        "ForgetLeader",
        "Compact",
        "ProposeConfChange",
        "ProposeOtherConfChange",
        "Persist",
        "Apply",
        "ReadIndex",
        "ReadOtherIndex",
        "RestartKeeping",
        "TransferLeadership",
        "ReportUnreachable",
        "ReportSnapshot",
    ];
    assert_eq!(never, others);
}
