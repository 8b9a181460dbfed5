//! The engine on the specification: nothing but time may depend on how a space is searched.

use lockstep_model::search::{
    MemorySplit, Report, Search, Swarm, SwarmSettings, TimeSplit, Verdict,
};
use lockstep_model::{Cluster, Preset, Settings};

fn cluster(name: &str) -> Cluster {
    let preset = Preset::named(name).expect("the preset exists");
    let settings = Settings::new(&preset.config).expect("a preset is valid");
    Cluster::new(settings, preset.bounds)
}

/// The report without what depends on the machine.
fn report(search: Search<'_, Cluster>) -> Report {
    let report = search.run().expect("the search runs").report;
    Report {
        threads: 0,
        time: TimeSplit::default(),
        memory: MemorySplit::default(),
        ..report
    }
}

#[test]
fn the_shortcut_changes_nothing() {
    for name in ["smoke", "votes", "lease", "window", "single"] {
        let cluster = cluster(name);
        for coverage in [true, false] {
            let search = || Search::new(&cluster).coverage(coverage);
            let executed = report(search().shortcut(false));
            assert_eq!(executed.verdict, Verdict::Exhausted, "{name}");
            for threads in [1, 2] {
                assert_eq!(report(search().threads(threads)), executed, "{name}");
            }
        }
    }
}

#[test]
fn the_shortcut_changes_nothing_with_symmetry() {
    for name in ["smoke", "votes", "pair"] {
        let cluster = cluster(name);
        let search = || Search::new(&cluster).symmetry(true).coverage(true);
        let executed = report(search().shortcut(false));
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
    assert!(never.is_empty(), "{never:?} never fired");
}
