//! Simulations: what they find, and that they can be done again.

use super::two_phase::TwoPhase;
use super::verdicts::{assert_real, filter_lock, two_phase};
use crate::{Gap, Limit, Search, Swarm, SwarmReport, SwarmSettings, Verdict};
use std::time::Duration;

fn without_time(report: &SwarmReport) -> SwarmReport {
    SwarmReport {
        seconds: 0.0,
        ..report.clone()
    }
}

#[test]
fn the_threads_change_nothing() {
    for hasty in [false, true] {
        let model = TwoPhase { managers: 5, hasty };
        let one = Swarm::new(&model).run().unwrap();
        let two = Swarm::new(&model).threads(2).run().unwrap();
        assert_eq!(without_time(&one.report), without_time(&two.report));
        let paths = [one, two].map(|swarmed| format!("{:?}", swarmed.counterexample));
        assert_eq!(paths[0], paths[1]);
    }
}

#[test]
fn a_violation_is_reproduced_by_its_line_alone() {
    let model = TwoPhase {
        managers: 5,
        hasty: true,
    };
    let settings = SwarmSettings {
        seed: 7,
        first_run: 0,
        runs: 50,
        walks: 2,
        steps: 60,
    };
    let swarmed = Swarm::new(&model)
        .settings(settings)
        .threads(2)
        .run()
        .unwrap();
    let Verdict::Violated { depth, .. } = &swarmed.report.verdict else {
        panic!("{}", swarmed.report.verdict)
    };
    let trace = swarmed.counterexample.unwrap();
    assert_eq!(trace.steps.len() as u32, *depth);
    assert_real(&model, &trace);
    let line = swarmed.report.reproduce;
    assert_eq!(line.runs, 1);
    assert_eq!(
        line.to_string(),
        format!(
            "seed=7 first-run={} runs=1 walks=2 steps=60",
            line.first_run
        )
    );
    let again = Swarm::new(&model).settings(line).run().unwrap();
    assert_eq!(again.report.verdict, swarmed.report.verdict);
    assert_eq!(
        format!("{:?}", again.counterexample.unwrap()),
        format!("{trace:?}")
    );
    // No run before it finds anything.
    let before = SwarmSettings {
        runs: line.first_run,
        ..settings
    };
    if before.runs > 0 {
        let before = Swarm::new(&model).settings(before).run().unwrap();
        assert_eq!(
            before.report.verdict,
            Verdict::Bounded {
                stopped_by: Limit::Runs
            }
        );
    }
}

#[test]
fn it_covers_what_the_search_covers() {
    let model = two_phase(3);
    let searched = Search::new(&model).coverage(true).run().unwrap().report;
    let swarmed = Swarm::new(&model).run().unwrap().report;
    assert_eq!(swarmed.gaps(), searched.gaps());
    assert_eq!(
        swarmed.verdict,
        Verdict::Bounded {
            stopped_by: Limit::Runs
        }
    );
    assert!(swarmed.distinct_in_runs > swarmed.runs * 40);
    // Cut short it has gaps, and says which.
    let short = SwarmSettings {
        runs: 1,
        walks: 1,
        steps: 2,
        ..swarmed.reproduce
    };
    let gaps = Swarm::new(&model)
        .settings(short)
        .run()
        .unwrap()
        .report
        .gaps();
    assert!(gaps.contains(&Gap::WitnessNotReached("all_committed_reachable".into())));
}

#[test]
fn different_runs_do_different_things() {
    let model = filter_lock(3);
    let visited = |first_run| {
        let settings = SwarmSettings {
            seed: 1,
            first_run,
            runs: 1,
            walks: 1,
            steps: 40,
        };
        Swarm::new(&model)
            .settings(settings)
            .run()
            .unwrap()
            .report
            .actions
    };
    let distinct: std::collections::BTreeSet<_> =
        (0..10).map(|run| format!("{:?}", visited(run))).collect();
    assert!(distinct.len() > 1);
}

#[test]
fn time_stops_it() {
    let model = two_phase(3);
    let swarmed = Swarm::new(&model).max_time(Duration::ZERO).run().unwrap();
    assert_eq!(
        swarmed.report.verdict,
        Verdict::Bounded {
            stopped_by: Limit::Time
        }
    );
    assert_eq!(swarmed.report.steps, 0);
}

#[test]
fn a_stop_in_the_middle_of_one_long_run_keeps_what_was_met() {
    use std::sync::atomic::{AtomicU64, Ordering};
    let model = two_phase(5);
    let endless = SwarmSettings {
        seed: 0,
        first_run: 0,
        runs: 1,
        walks: u32::MAX,
        steps: 256,
    };
    let asked = AtomicU64::new(0);
    let stop = || asked.fetch_add(1, Ordering::Relaxed) > 10_000;
    let swarmed = Swarm::new(&model)
        .settings(endless)
        .stop(stop)
        .run()
        .unwrap();
    let stopped_by = Limit::Interrupted;
    assert_eq!(swarmed.report.verdict, Verdict::Bounded { stopped_by });
    assert!(swarmed.report.steps > 1_000);
}
