//! The specification against raft-rs and etcd's raft.

mod opinions;
mod python;

use lockstep_conformance::cover::{
    Cover, CoverOptions, CoverageReport, conform_by_cover, cover_inputs,
};
use lockstep_conformance::minimise::minimise;
use lockstep_conformance::planted::{Mistake, Planted};
use lockstep_conformance::replay::{InDialect, in_dialect, replay};
use lockstep_conformance::targets::etcd::{StorageWrites, Version, build};
use lockstep_conformance::targets::exec::{ExecOptions, ExecTarget, Program};
use lockstep_conformance::targets::raft_rs::RaftRs;
use lockstep_conformance::verdict::{Strength, Verdict};
use lockstep_conformance::{DialectUse, Difference, Target};
use lockstep_model::{Bounds, Budget, Cluster, Departure, Dialect, Preset, Settings};
use lockstep_traces::{Body, Config, Event, Field, Input};
use opinions::{WINDOW, etcd, etcd_at, go_on};
use std::collections::BTreeMap;
use std::path::Path;

/// Two elections: leaders that refuse and are refused.
const ELECTIONS: Bounds = Bounds {
    max_term: 2,
    timeouts: Budget::Times(2),
    heartbeats: Budget::Times(0),
    proposals: Budget::Times(0),
    duplicates: Budget::Times(0),
    ..WINDOW
};

fn cover(config: &Config, dialect: Dialect, bounds: Bounds) -> Cover {
    let settings = Settings::new(config).unwrap().with_dialect(dialect);
    let cover = cover_inputs(&Cluster::new(settings, bounds), CoverOptions::default());
    assert_eq!(cover.stopped_by, None);
    cover
}

fn preset(name: &str, dialect: Dialect) -> Cover {
    let preset = Preset::named(name).unwrap();
    cover(&preset.config, dialect, preset.bounds)
}

fn smoke(dialect: Dialect) -> Cover {
    preset("smoke", dialect)
}

fn config() -> Config {
    Config {
        pre_vote: true,
        one_entry_per_append: true,
        max_inflight: 1,
        ..Config::PAPER
    }
}

/// Drives what can be driven and expects no divergence in all that the target shows.
fn driven<T: Target>(target: &T, cover: &Cover) -> CoverageReport {
    let report = conform_by_cover(target, cover, &mut go_on).unwrap();
    if let Some((trace, found)) = &report.replay.divergence {
        let event = &found.trace.steps.last().unwrap().event;
        panic!("{trace}: at {event:?}: {:#?}", found.differences);
    }
    report
}

/// Drives every item and expects agreement in all that the target shows.
fn agrees<T: Target>(target: &T, cover: &Cover) -> Vec<DialectUse> {
    let report = driven(target, cover);
    assert_eq!(report.verdict, Verdict::Holds(Strength::EdgesCovered));
    assert_eq!(report.items_compared, cover.distinct);
    report.dialect
}

/// Drives etcd's raft and expects agreement in everything but timers that the server's role does not have:
/// nothing in the library's public interface raises those. They are to change nothing, and there are so
/// many of each: quorum checks, heartbeats, leases that expire.
fn agrees_where_it_has_the_timer(target: &ExecTarget, cover: &Cover, without: [u64; 3]) {
    let report = driven(target, cover);
    assert_eq!(
        report.verdict,
        Verdict::Holds(Strength::EdgesCoveredWhereDriven)
    );
    assert_eq!(report.replay.not_reached, 0);
    let found: Vec<_> = report
        .not_driven
        .iter()
        .map(|(why, count)| (why.input, why.changes_nothing, *count))
        .collect();
    let [checks, heartbeats, leases] = without;
    let expected = [
        ("check_quorum", true, checks),
        ("heartbeat", true, heartbeats),
        ("lease_expire", true, leases),
    ];
    assert_eq!(found, expected);
    let all = report.items_compared + without.iter().sum::<u64>();
    assert_eq!(all, cover.distinct);
    // No step of any trace either: no tick had to raise two timers of a leader at once.
    assert_eq!(
        report.replay.verdict(),
        Verdict::Holds(Strength::SampledWhereDriven)
    );
}

#[test]
fn raft_rs_agrees_in_its_dialect() {
    agrees(&RaftRs::new(), &smoke(Dialect::RAFT_RS));
}

/// Together these graphs need every entry of the dialect. One that is needed no more fails here, and is
/// to be removed.
#[test]
fn every_entry_of_the_dialect_is_needed() {
    let mut uses: BTreeMap<&str, u64> = BTreeMap::new();
    for bounds in [WINDOW, ELECTIONS] {
        let target = RaftRs::new();
        for entry in agrees(&target, &cover(&config(), Dialect::RAFT_RS, bounds)) {
            *uses.entry(entry.name).or_default() += entry.uses;
        }
    }
    assert!(
        uses.len() > Dialect::RAFT_RS.iter().count(),
        "normalisations are listed too"
    );
    let stale: Vec<_> = uses.iter().filter(|(_, uses)| **uses == 0).collect();
    assert!(stale.is_empty(), "{stale:?}");
}

/// The other half of "is needed": without any one of its departures, raft-rs diverges.
#[test]
fn a_missing_departure_is_a_divergence() {
    for departure in Dialect::RAFT_RS.iter() {
        let dialect = Dialect::RAFT_RS.without(departure);
        let cover = cover(&config(), dialect, WINDOW);
        let report = conform_by_cover(&RaftRs::new(), &cover, &mut go_on).unwrap();
        assert_eq!(report.verdict, Verdict::Diverged, "{departure}");
    }
}

#[test]
fn mistakes_planted_in_raft_rs_are_found() {
    let cover = smoke(Dialect::RAFT_RS);
    for mistake in [
        Mistake::WrongMessage,
        Mistake::ExtraMessage,
        Mistake::WrongRefusal,
    ] {
        let target = Planted::new(RaftRs::new(), mistake);
        let report = conform_by_cover(&target, &cover, &mut go_on).unwrap();
        assert_eq!(report.verdict, Verdict::Diverged, "{mistake:?}");
    }
}

/// The files of a build are named after the process, so its threads must take turns.
#[test]
fn threads_that_build_etcds_raft_at_once_all_get_it() {
    if etcd(StorageWrites::Synchronous).is_none() {
        return;
    }
    // Another folder, in which nothing is built yet.
    let here = tempfile::tempdir().unwrap();
    let built = std::thread::scope(|scope| {
        let build = || build(here.path(), Version::default());
        let threads: Vec<_> = (0..4).map(|_| scope.spawn(build)).collect();
        let joined = threads.into_iter().map(|it| it.join().unwrap());
        joined.collect::<Result<Vec<_>, _>>()
    });
    let built = built.unwrap_or_else(|error| panic!("{error}"));
    assert!(built.iter().all(|path| path.is_file()), "{built:?}");
}

#[test]
fn etcd_agrees_with_the_specification_in_every_version() {
    for version in Version::ALL {
        let Some(target) = etcd_at(version, StorageWrites::Synchronous) else {
            return;
        };
        let description = target.description();
        assert_eq!(description.version, format!("v{}", version.name()));
        assert!(!description.shows.contains(Field::AfterPersist));
        agrees_where_it_has_the_timer(&target, &smoke(target.dialect()), [75, 75, 168]);
        let window = cover(&config(), target.dialect(), WINDOW);
        agrees_where_it_has_the_timer(&target, &window, [93, 93, 261]);
    }
}

/// Snapshots, membership, transfer and limits, where they meet; the timers that are missing are counted elsewhere.
#[test]
fn etcd_agrees_where_snapshots_and_membership_meet() {
    for version in Version::ALL {
        for writes in [StorageWrites::Synchronous, StorageWrites::Asynchronous] {
            let Some(target) = etcd_at(version, writes) else {
                return;
            };
            let report = driven(&target, &preset("snapshot-learner", target.dialect()));
            assert_eq!(
                report.verdict,
                Verdict::Holds(Strength::EdgesCoveredWhereDriven)
            );
            assert!(report.not_driven.keys().all(|why| why.changes_nothing));
        }
    }
}

/// The real library departs from the specification in two rules, and no other, when a leader has no room for a change
/// and hands over from a joint configuration.
#[test]
fn the_departures_of_etcd_are_needed() {
    let Some(target) = etcd(StorageWrites::Synchronous) else {
        return;
    };
    let dialect = Dialect::ETCD
        .with(Departure::DroppedChangeBlocks)
        .with(Departure::AutoLeaveWaits);
    assert!(dialect.iter().all(|it| target.dialect().has(it)));
    let report = driven(&target, &preset("forward-change", dialect));
    assert_eq!(
        report.verdict,
        Verdict::Holds(Strength::EdgesCoveredWhereDriven)
    );
    let needed = |name: &str| dialect.iter().any(|it| it.name() == name);
    let mut uses = report.dialect.iter().filter(|entry| needed(entry.name));
    assert!(uses.all(|entry| entry.uses > 0));
    for departure in dialect.iter() {
        let cover = preset("forward-change", dialect.without(departure));
        let report = conform_by_cover(&target, &cover, &mut go_on).unwrap();
        assert_eq!(report.verdict, Verdict::Diverged, "{departure}");
    }
}

/// A single voter that is left begins a round for a read that waited for its first commit. Without that departure the
/// comparison diverges, and a read that waits for nothing is all that differs.
#[test]
fn a_single_voter_of_etcd_asks_others_about_released_reads() {
    for version in Version::ALL {
        let Some(target) = etcd_at(version, StorageWrites::Synchronous) else {
            return;
        };
        let departure = Departure::ReleasedReadsAskOthers;
        let dialect = target.dialect();
        assert!(dialect.has(departure));
        let report = driven(&target, &preset("read-removal", dialect));
        assert_eq!(
            report.verdict,
            Verdict::Holds(Strength::EdgesCoveredWhereDriven)
        );
        let uses = report.dialect.iter().find(|it| it.name == departure.name());
        assert!(uses.is_some_and(|it| it.uses > 0));
        let cover = preset("read-removal", dialect.without(departure));
        let report = conform_by_cover(&target, &cover, &mut go_on).unwrap();
        let (_, found) = report.replay.divergence.expect("the read stays");
        let unconfirmed = Field::UnconfirmedReads;
        let stays = |it: &Difference| match it {
            Difference::WrongState { field, .. } => *field == unconfirmed,
            Difference::MissingMessage { expected } => {
                matches!(expected.message.body, Body::ReadIndexResponse { .. })
            }
            _ => false,
        };
        assert!(
            found.differences.iter().any(stays),
            "{:?}",
            found.differences
        );
    }
}

/// Traces are of the specification as it is. In the dialect of each version they agree, and none that is applicable is
/// left out.
#[test]
fn etcd_agrees_with_the_corpus_in_its_dialect() {
    for version in Version::ALL {
        let Some(target) = etcd_at(version, StorageWrites::Synchronous) else {
            return;
        };
        let (mut translated, mut not_applicable) = (0, 0);
        let mut traces = Vec::new();
        for trace in lockstep_traces::corpus() {
            let trace = trace.read().unwrap();
            let name = trace.header.name.clone();
            match in_dialect(&trace, target.dialect()).unwrap() {
                InDialect::AsRecorded => traces.push(Ok((name, trace))),
                InDialect::Translated(trace, departures) => {
                    assert!(!departures.is_empty(), "{name}");
                    translated += 1;
                    traces.push(Ok((name, *trace)));
                }
                InDialect::NotApplicable { .. } => not_applicable += 1,
            }
        }
        let count = traces.len();
        let report = replay(&target, traces, &mut go_on).unwrap();
        assert_eq!(
            report.verdict(),
            Verdict::Holds(Strength::Sampled),
            "{:?}",
            report.divergence
        );
        assert_eq!(report.traces as usize, count);
        assert!(
            translated > 0 && not_applicable < translated,
            "{translated} {not_applicable}"
        );
    }
}

/// With asynchronous storage writes the library also shows which messages wait for persistence.
#[test]
fn etcd_with_asynchronous_writes_agrees_too() {
    for version in Version::ALL {
        let Some(target) = etcd_at(version, StorageWrites::Asynchronous) else {
            return;
        };
        assert!(target.description().shows.contains(Field::AfterPersist));
        agrees_where_it_has_the_timer(&target, &smoke(target.dialect()), [75, 75, 168]);
    }
}

/// etcd's raft does not speak raft-rs's dialect: the comparison tells the two apart.
#[test]
fn etcd_diverges_from_the_dialect_of_raft_rs() {
    let Some(target) = etcd(StorageWrites::Synchronous) else {
        return;
    };
    let cover = cover(&config(), Dialect::RAFT_RS, WINDOW);
    let report = conform_by_cover(&target, &cover, &mut go_on).unwrap();
    assert_eq!(report.verdict, Verdict::Diverged);
}

/// The toy in the documentation: what it gets wrong on purpose is found.
#[test]
fn the_planted_mistake_of_the_example_is_found() {
    if !python::is_here() {
        return;
    }
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("targets/example.py");
    let program = Program {
        executable: "python3".into(),
        arguments: vec![path.into()],
    };
    let target = ExecTarget::start_program(program, ExecOptions::default()).unwrap();
    let one_restart = Bounds {
        restarts: Budget::Times(1),
        ..ELECTIONS
    };
    let cover = cover(&config(), Dialect::ETCD, one_restart);
    let report = conform_by_cover(&target, &cover, &mut go_on).unwrap();
    let (_, found) = report.replay.divergence.expect("it forgets its vote");
    let settings = Settings::new(&config()).unwrap();
    let found = minimise(&target, &settings, &cover, &found);
    // A vote and a restart: nothing shorter can show it.
    let inputs: Vec<_> = found.trace.steps.iter().map(|step| &step.event).collect();
    assert!(
        matches!(
            inputs.as_slice(),
            [
                Event::Server {
                    input: Input::Deliver(_),
                    ..
                },
                Event::Server {
                    input: Input::Restart,
                    ..
                }
            ]
        ),
        "{inputs:?}"
    );
    let [Difference::WrongState { field, .. }] = found.differences.as_slice() else {
        panic!("one field differs: {:?}", found.differences);
    };
    assert_eq!(*field, Field::Vote);
}

/// A divergence that needs hidden state is minimised by leaving out steps, not by the shortest path.
#[test]
fn hidden_state_is_minimised_too() {
    let cover = cover(&config(), Dialect::RAFT_RS, ELECTIONS);
    let target = Planted::new(RaftRs::new(), Mistake::HiddenState);
    let report = conform_by_cover(&target, &cover, &mut go_on).unwrap();
    let (_, found) = report.replay.divergence.expect("it sulks after a refusal");
    let settings = Settings::new(&config())
        .unwrap()
        .with_dialect(Dialect::RAFT_RS);
    let short = minimise(&target, &settings, &cover, &found);
    // A refused proposal, and an input that it does not answer.
    assert_eq!(short.trace.steps.len(), 2, "{:#?}", short.trace.steps);
}

/// Threads that want the same program at the same time all get it: they build it under one name of their process.
#[test]
fn two_threads_may_build_the_same_program() {
    if etcd(StorageWrites::Synchronous).is_none() {
        return;
    }
    let cache = tempfile::tempdir().expect("there is a place for temporary files");
    let builds: Vec<_> = std::thread::scope(|threads| {
        let build = || build(cache.path(), Version::default()).map_err(|error| error.to_string());
        let threads: Vec<_> = (0..4).map(|_| threads.spawn(build)).collect();
        let ends = threads.into_iter().map(|it| it.join());
        ends.map(|it| it.expect("it does not panic")).collect()
    });
    for build in &builds {
        let program = build.as_ref().expect("it is built");
        assert!(program.is_file(), "{}", program.display());
    }
    let folder = cache.path().join("etcd-raft");
    let left = std::fs::read_dir(folder).expect("it was made");
    let left = left.map(|it| it.expect("an entry").file_name());
    let left: Vec<_> = left.map(|it| it.to_string_lossy().into_owned()).collect();
    assert!(left.iter().all(|it| !it.starts_with("build-")), "{left:?}");
}
