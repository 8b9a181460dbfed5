//! Counts, verdicts, traces and limits.

use super::filter_lock::FilterLock;
use super::two_phase::TwoPhase;
use crate::{
    Checkable, Checked, Limit, MemorySplit, PropertyKind, Report, Search, SearchError,
    StepProperty, TimeSplit, Trace, Verdict,
};
use stateright::{Model, Property};
use std::fmt::Debug;
use std::ops::ControlFlow;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

pub(super) fn two_phase(managers: u8) -> TwoPhase {
    TwoPhase {
        managers,
        hasty: false,
    }
}

pub(super) fn filter_lock(processes: u8) -> FilterLock {
    FilterLock {
        processes,
        short_sighted: false,
        deepest: processes,
    }
}

/// Returns the part of a result that must be the same however the search was run.
pub(super) fn essence<M>(checked: &Checked<M>) -> (Report, String)
where
    M: Model,
    M::State: Debug,
    M::Action: Debug,
{
    let report = Report {
        threads: 1,
        time: TimeSplit::default(),
        memory: MemorySplit::default(),
        ..checked.report.clone()
    };
    (
        report,
        format!("{:?} {:?}", checked.counterexample, checked.witnesses),
    )
}

/// Checks that the trace is a path of the model.
pub(super) fn assert_real<M>(model: &M, trace: &Trace<M>)
where
    M: Model,
    M::State: PartialEq + Debug,
    M::Action: Clone,
{
    assert!(model.init_states().contains(&trace.init));
    let mut last = &trace.init;
    for (action, state) in &trace.steps {
        assert_eq!(model.next_state(last, action.clone()).as_ref(), Some(state));
        last = state;
    }
}

#[test]
fn two_phase_commit_has_the_published_counts() {
    // 288 and 8,832 are what TLC and stateright report for the specification of the paper.
    let checked = Search::new(&two_phase(3)).run().unwrap();
    assert_eq!(checked.report.verdict, Verdict::Exhausted);
    assert_eq!(checked.report.distinct, 288);
    let checked = Search::new(&two_phase(5)).run().unwrap();
    assert_eq!(checked.report.verdict, Verdict::Exhausted);
    assert_eq!(checked.report.distinct, 8832);
    let depths: Vec<_> = checked.report.witnesses.iter().map(|w| w.depth).collect();
    assert_eq!(depths, [Some(5), Some(16), Some(3)]);
    for ((_, trace), depth) in checked.witnesses.iter().zip([5, 16, 3]) {
        assert_real(&two_phase(5), trace);
        assert_eq!(trace.steps.len(), depth);
    }
    let levels = &checked.report.levels;
    assert_eq!(levels.iter().map(|level| level.distinct).sum::<u64>(), 8832);
    assert_eq!(levels.iter().map(|level| level.expanded).sum::<u64>(), 8832);
    assert_eq!(
        levels.iter().map(|level| level.generated).sum::<u64>() + 1,
        checked.report.generated
    );
    assert_eq!(levels.len() as u32, checked.report.depth + 1);
    let discovered: u64 = checked
        .report
        .actions
        .iter()
        .map(|action| action.discovered)
        .sum();
    assert_eq!(discovered, 8831);
}

#[test]
fn a_mistake_gives_a_shortest_counterexample() {
    let model = TwoPhase {
        managers: 4,
        hasty: true,
    };
    let checked = Search::new(&model).run().unwrap();
    // Three prepare and are heard, commit, one hears it; the fourth aborts alone.
    assert_eq!(
        checked.report.verdict,
        Verdict::Violated {
            property: "consistent_inv".into(),
            kind: PropertyKind::State,
            depth: 9
        }
    );
    let trace = checked.counterexample.unwrap();
    assert_eq!(trace.steps.len(), 9);
    assert_real(&model, &trace);

    // Another property of the same model fails earlier or later, and only if it is asked for.
    let only = Search::new(&model)
        .only(["decisions_are_final_step"])
        .run()
        .unwrap();
    let Verdict::Violated {
        property,
        kind,
        depth,
    } = only.report.verdict
    else {
        panic!("{:?}", only.report.verdict)
    };
    assert_eq!(
        (property.as_str(), kind),
        ("decisions_are_final_step", PropertyKind::Step)
    );
    assert_eq!(only.counterexample.unwrap().steps.len() as u32, depth);
}

#[test]
fn a_short_sighted_lock_is_broken() {
    let sound = Search::new(&filter_lock(3)).run().unwrap();
    assert_eq!(sound.report.verdict, Verdict::Exhausted);
    assert_eq!(sound.report.unreached().count(), 0);
    let model = FilterLock {
        short_sighted: true,
        ..filter_lock(3)
    };
    let broken = Search::new(&model).run().unwrap();
    let Verdict::Violated {
        property, depth, ..
    } = &broken.report.verdict
    else {
        panic!("{:?}", broken.report.verdict)
    };
    assert_eq!(property, "mutual_exclusion_inv");
    let trace = broken.counterexample.unwrap();
    assert_eq!(trace.steps.len() as u32, *depth);
    assert_real(&model, &trace);
    // No shorter one: everything at smaller depths was visited and holds.
    let shorter = Search::new(&model).max_depth(depth - 1).run().unwrap();
    assert_eq!(
        shorter.report.verdict,
        Verdict::Bounded {
            stopped_by: Limit::Depth
        }
    );
}

#[test]
fn what_is_beyond_the_boundary_is_not_visited() {
    let bounded = FilterLock {
        deepest: 2,
        ..filter_lock(3)
    };
    let checked = Search::new(&bounded).run().unwrap();
    assert_eq!(checked.report.verdict, Verdict::Exhausted);
    assert_eq!(
        checked.report.unreached().collect::<Vec<_>>(),
        ["entered_reachable"]
    );
    assert!(checked.report.distinct < Search::new(&filter_lock(3)).run().unwrap().report.distinct);
}

#[test]
fn threads_and_spilling_change_nothing() {
    for hasty in [false, true] {
        let model = TwoPhase { managers: 7, hasty };
        let plain = Search::new(&model).coverage(true).run().unwrap();
        assert!(plain.report.distinct > 100_000, "too small to be a test");
        for threads in [2, 3] {
            let other = Search::new(&model)
                .coverage(true)
                .threads(threads)
                .run()
                .unwrap();
            assert_eq!(essence(&plain), essence(&other));
        }
        // Less than everything takes: something goes to disk.
        let memory = &plain.report.memory;
        let tight = memory.peak - memory.links / 4;
        let spilled = Search::new(&model)
            .coverage(true)
            .threads(2)
            .max_memory(tight)
            .run()
            .unwrap();
        assert_eq!(essence(&plain), essence(&spilled));
        assert!(spilled.report.memory.disk > 0);
        assert!(spilled.report.memory.peak <= tight);
        assert!(plain.report.memory.disk == 0);
    }
}

/// Half of what the fingerprints take: the old ones have to go to disk as well.
#[test]
fn without_memory_for_the_fingerprints_the_result_is_the_same() {
    let model = two_phase(7);
    let search = || Search::new(&model).coverage(true);
    let plain = search().run().unwrap();
    let memory = &plain.report.memory;
    let tight = memory.fingerprints / 2 + memory.batch + memory.links / 4;
    for threads in [1, 2] {
        let sealed = search().threads(threads).max_memory(tight).run().unwrap();
        assert_eq!(essence(&plain), essence(&sealed));
        let taken = &sealed.report.memory;
        assert!(taken.peak <= tight, "{} of {tight}", taken.peak);
        assert!(taken.fingerprints < memory.fingerprints);
        let on_disk = search().threads(threads).on_disk(true).run().unwrap();
        assert_eq!(essence(&plain), essence(&on_disk));
        assert!(on_disk.report.memory.fingerprints < memory.fingerprints);
    }
}

/// The file of the fingerprints has no name, but on Linux a process finds its own open files.
#[cfg(target_os = "linux")]
fn nameless_files(folder: &std::path::Path) -> Vec<std::path::PathBuf> {
    let open = std::fs::read_dir("/proc/self/fd").unwrap();
    let open = open.filter_map(|entry| Some(entry.ok()?.path()));
    open.filter(|path| {
        std::fs::read_link(path).is_ok_and(|file| {
            file.starts_with(folder) && file.to_string_lossy().ends_with("(deleted)")
        })
    })
    .collect()
}

#[cfg(target_os = "linux")]
#[test]
fn a_damaged_file_of_fingerprints_is_no_verdict() {
    use std::os::unix::fs::FileExt;
    let model = two_phase(7);
    let plain = Search::new(&model).run().unwrap();
    let memory = &plain.report.memory;
    let tight = memory.fingerprints / 2 + memory.batch + memory.links / 4;
    for cut in [false, true] {
        let folder = tempfile::tempdir().unwrap();
        let mut done = false;
        let search = Search::new(&model).max_memory(tight);
        let search = search.spill_folder(folder.path());
        let found = search
            .on_progress(Duration::ZERO, |_| {
                for path in nameless_files(folder.path()) {
                    let file = std::fs::OpenOptions::new();
                    let file = file.clone().read(true).write(true).open(path).unwrap();
                    if cut {
                        file.set_len(30).unwrap();
                    } else {
                        let mut byte = [0];
                        file.read_exact_at(&mut byte, 40).unwrap();
                        file.write_all_at(&[!byte[0]], 40).unwrap();
                    }
                    done = true;
                }
                ControlFlow::Continue(())
            })
            .run();
        assert!(done, "there was no such file");
        let error = found.err().expect("it must not end with a verdict");
        let expected = match error {
            SearchError::Io { .. } => cut,
            SearchError::Damaged { .. } => !cut,
            _ => false,
        };
        assert!(expected, "{error}");
    }
}

#[test]
fn symmetry_divides_by_the_orbits() {
    let model = two_phase(5);
    let full = Search::new(&model).run().unwrap();
    let reduced = Search::new(&model)
        .symmetry(true)
        .count_orbits(true)
        .run()
        .unwrap();
    assert_eq!(reduced.report.verdict, Verdict::Exhausted);
    assert_eq!(reduced.report.orbit_states, Some(full.report.distinct));
    assert_eq!(reduced.report.depth, full.report.depth);
    // With an exact canonical form the count does not depend on the order of search.
    assert_eq!(reduced.report.distinct, 314);
    assert_eq!(
        reduced
            .report
            .witnesses
            .iter()
            .map(|w| w.depth)
            .collect::<Vec<_>>(),
        full.report
            .witnesses
            .iter()
            .map(|w| w.depth)
            .collect::<Vec<_>>()
    );
    for (_, trace) in &reduced.witnesses {
        assert_real(&model, trace);
    }
    let two = Search::new(&model)
        .symmetry(true)
        .count_orbits(true)
        .threads(2)
        .run()
        .unwrap();
    assert_eq!(essence(&reduced), essence(&two));

    let hasty = TwoPhase {
        managers: 4,
        hasty: true,
    };
    for property in ["consistent_inv", "decisions_are_final_step"] {
        let full = Search::new(&hasty).only([property]).run().unwrap();
        let reduced = Search::new(&hasty)
            .only([property])
            .symmetry(true)
            .run()
            .unwrap();
        assert_eq!(full.report.verdict, reduced.report.verdict);
        assert_real(&hasty, &reduced.counterexample.unwrap());
    }
}

#[test]
fn every_limit_is_named() {
    let model = two_phase(6);
    let stopped = |search: Search<'_, TwoPhase>| {
        let checked = search.run().unwrap();
        let Verdict::Bounded { stopped_by } = checked.report.verdict else {
            panic!("{}", checked.report.verdict)
        };
        (stopped_by, checked.report)
    };
    let search = || Search::new(&model);
    let (limit, report) = stopped(search().max_states(1000));
    assert_eq!(limit, Limit::States);
    assert!(report.distinct >= 1000 && report.distinct < 50_000);
    let (limit, report) = stopped(search().max_depth(5));
    assert_eq!((limit, report.depth), (Limit::Depth, 5));
    assert_eq!(report.levels[5].expanded, 0);
    assert_eq!(
        report
            .levels
            .iter()
            .take(5)
            .map(|l| l.expanded)
            .sum::<u64>()
            + report.levels[5].distinct,
        report.distinct
    );
    assert_eq!(stopped(search().max_time(Duration::ZERO)).0, Limit::Time);
    let (limit, report) = stopped(search().max_memory(400_000));
    assert_eq!(limit, Limit::Memory);
    assert!(report.memory.peak <= 400_000);
    let interrupt = search().on_progress(Duration::ZERO, |_| ControlFlow::Break(()));
    assert_eq!(stopped(interrupt).0, Limit::Interrupted);
    // A limit that is not reached does not make a search bounded.
    let checked = search().max_depth(1000).max_states(u64::MAX).run().unwrap();
    assert_eq!(checked.report.verdict, Verdict::Exhausted);
    let depth = checked.report.depth;
    assert_eq!(
        search().max_depth(depth + 1).run().unwrap().report.verdict,
        Verdict::Exhausted
    );
    assert_eq!(stopped(search().max_depth(depth)).0, Limit::Depth);
}

#[test]
fn progress_is_told() {
    let model = two_phase(6);
    let mut seen = Vec::new();
    let checked = Search::new(&model)
        .on_progress(Duration::ZERO, |progress| {
            seen.push(progress.clone());
            ControlFlow::Continue(())
        })
        .run()
        .unwrap();
    assert!(
        seen.windows(2)
            .all(|two| two[0].distinct <= two[1].distinct)
    );
    assert!(
        seen.iter()
            .all(|progress| progress.distinct <= checked.report.distinct)
    );
    assert!(
        seen.iter()
            .any(|progress| progress.queue > 0 && progress.memory_bytes > 0)
    );
}

#[test]
fn coverage_finds_the_gaps() {
    let checked = Search::new(&two_phase(3)).coverage(true).run().unwrap();
    let gaps: Vec<String> = checked
        .report
        .gaps()
        .iter()
        .map(ToString::to_string)
        .collect();
    // None commits before it is prepared, none hears the opposite of what was decided.
    assert_eq!(
        gaps,
        [
            "undecided hears commit never met",
            "committed hears abort never met",
            "aborted hears commit never met",
        ]
    );
    let none = Search::new(&two_phase(3))
        .coverage(true)
        .max_depth(1)
        .run()
        .unwrap();
    let gaps: Vec<String> = none.report.gaps().iter().map(ToString::to_string).collect();
    assert!(gaps.contains(&"action hear commit never fired".to_owned()));
    assert!(gaps.contains(&"property consistent_inv was never put to the test".to_owned()));
    assert!(gaps.contains(&"witness all_committed_reachable was not reached".to_owned()));
}

/// A model that can be made wrong in the ways that are refused.
struct Odd {
    properties: fn() -> Vec<Property<Odd>>,
    initial: Vec<u8>,
    forgetful: bool,
}

impl Model for Odd {
    type State = (u8, u8);
    type Action = u8;
    fn init_states(&self) -> Vec<(u8, u8)> {
        self.initial.iter().map(|first| (*first, 0)).collect()
    }
    fn actions(&self, _: &(u8, u8), actions: &mut Vec<u8>) {
        actions.extend([1, 2]);
    }
    fn next_state(&self, state: &(u8, u8), action: u8) -> Option<(u8, u8)> {
        (state.0 < 9).then_some((state.0 + action, state.1 + action))
    }
    fn properties(&self) -> Vec<Property<Self>> {
        (self.properties)()
    }
    fn within_boundary(&self, state: &(u8, u8)) -> bool {
        state.0 < 100
    }
}

impl Checkable for Odd {
    fn encode(&self, state: &(u8, u8), out: &mut Vec<u8>) {
        out.push(state.0);
        if !self.forgetful {
            out.push(state.1);
        }
    }
    fn decode(&self, bytes: &[u8]) -> (u8, u8) {
        (bytes[0], bytes.get(1).copied().unwrap_or_default())
    }
    fn identity(&self) -> String {
        "odd".into()
    }
    fn step_properties(&self) -> Vec<StepProperty<Self>> {
        vec![StepProperty::new("small_step", |_, _, action, _| {
            *action < 3
        })]
    }
}

fn odd() -> Odd {
    Odd {
        properties: Vec::new,
        initial: vec![0],
        forgetful: false,
    }
}

#[test]
fn senseless_requests_are_refused() {
    let eventually = Odd {
        properties: || vec![Property::eventually("ends", |_, _| true)],
        ..odd()
    };
    assert!(
        matches!(Search::new(&eventually).run(), Err(SearchError::Eventually(name)) if name == "ends")
    );
    // Leaving it out is a way to search such a model all the same.
    assert!(Search::new(&eventually).only(["small_step"]).run().is_ok());
    let twice = Odd {
        properties: || vec![Property::always("small_step", |_, _| true)],
        ..odd()
    };
    assert!(matches!(
        Search::new(&twice).run(),
        Err(SearchError::DuplicateProperty(_))
    ));
    let unknown = Search::new(&odd()).only(["smal_step"]).run();
    assert!(
        matches!(unknown, Err(SearchError::UnknownProperty { available, .. }) if available == ["small_step"])
    );
    let none = Odd {
        initial: vec![100],
        ..odd()
    };
    assert!(matches!(
        Search::new(&none).run(),
        Err(SearchError::NoInitialState)
    ));
}

#[test]
fn an_initial_state_can_be_the_counterexample() {
    let model = Odd {
        properties: || {
            vec![Property::always("not_seven", |_, state: &(u8, u8)| {
                state.0 != 7
            })]
        },
        initial: vec![0, 100, 0, 7],
        ..odd()
    };
    let checked = Search::new(&model).run().unwrap();
    assert_eq!((checked.report.distinct, checked.report.generated), (2, 3));
    let trace = checked.counterexample.unwrap();
    assert_eq!((trace.init, trace.steps.len()), ((7, 0), 0));
}

#[test]
fn a_lossy_encoding_is_noticed_when_a_trace_is_rebuilt() {
    let model = Odd {
        properties: || {
            vec![Property::always("same", |_, state: &(u8, u8)| {
                state.0 == state.1
            })]
        },
        forgetful: true,
        ..odd()
    };
    assert!(matches!(
        Search::new(&model).run(),
        Err(SearchError::NotReproducible(_))
    ));
    let model = Odd {
        forgetful: false,
        ..model
    };
    assert_eq!(
        Search::new(&model).run().unwrap().report.verdict,
        Verdict::Exhausted
    );
}

/// A condition beside those of the model is evaluated once for every state, on any number of threads, and what does not
/// have it is shown by a shortest path.
#[test]
fn a_condition_on_each_state_sees_every_state_once() {
    let model = two_phase(3);
    for threads in [1, 2] {
        let seen = AtomicU64::new(0);
        let count = |_: &_| {
            seen.fetch_add(1, Ordering::Relaxed);
            true
        };
        let search = Search::new(&model).threads(threads);
        let checked = search.each_state("counted", &count).run().expect("it runs");
        assert_eq!(seen.into_inner(), checked.report.distinct);
        assert_eq!(checked.report.verdict, Verdict::Exhausted);
        assert!(checked.report.checked.contains(&"counted".to_owned()));
    }
    let initial = model.init_states().remove(0);
    let lonely = |state: &_| *state == initial;
    let search = Search::new(&model).threads(2);
    let checked = search.each_state("lonely", &lonely).run().expect("it runs");
    let (property, kind) = ("lonely".to_owned(), PropertyKind::State);
    assert_eq!(
        checked.report.verdict,
        Verdict::Violated {
            property,
            kind,
            depth: 1
        }
    );
    let trace = checked.counterexample.expect("there is a path");
    assert_real(&model, &trace);
    assert!(!lonely(trace.last()));
}
