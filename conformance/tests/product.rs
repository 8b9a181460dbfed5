//! The exhaustive product, with the specification itself in the implementation's place: what it counts,
//! and that it finds every kind of mistake.

use lockstep_conformance::planted::{Mistake, Planted};
use lockstep_conformance::product::{Product, ProductReport};
use lockstep_conformance::replay::replay;
use lockstep_conformance::targets::spec::{Spec, SpecServer};
use lockstep_conformance::verdict::{Strength, Verdict};
use lockstep_conformance::{
    Counts, Description, Difference, Fork, Reaction, Side, Target, TargetError, TargetServer,
};
use lockstep_engine::{Limit, Progress, Search};
use lockstep_model::{Bounds, Budget, Cluster, Settings};
use lockstep_traces::{Config, Field, Input, NodeView, ServerId, Trace};
use std::ops::ControlFlow;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// A cluster of three that elects, replicates and beats; every other input is probed.
fn small() -> Cluster {
    let config = Config {
        pre_vote: true,
        check_quorum: true,
        ..Config::PAPER
    };
    let bounds = Bounds {
        max_in_flight: 4,
        heartbeats: Budget::Times(1),
        proposals: Budget::Times(1),
        ..Bounds::QUIET
    };
    Cluster::new(
        Settings::new(&config).expect("a good configuration"),
        bounds,
    )
}

fn run<T: Target + Sync>(target: &T, threads: usize) -> ProductReport
where
    T::Server: Fork + Send,
{
    Product::new(&small(), target)
        .threads(threads)
        .run()
        .expect("the target starts")
}

/// The counts are those of the specification alone.
#[test]
fn the_specification_is_bisimilar_to_itself() {
    let report = run(&Spec, 1);
    assert!(
        report.verdict == Verdict::Holds(Strength::BisimilarWithinBound),
        "{}",
        report.verdict
    );
    let search = Search::new(&small()).run().expect("a search").report;
    assert_eq!(report.counts.product_states, search.distinct);
    assert_eq!(report.counts.model_states, Some(search.distinct));
    assert_eq!(report.counts.depth, search.depth);
    let followed = report.counts.transitions - report.counts.leaving_the_bound;
    assert_eq!(followed + 1, search.generated);
    let expected = Counts {
        product_states: 233_197,
        model_states: Some(233_197),
        transitions: 833_301,
        network_transitions: 0,
        leaving_the_bound: 65_157,
        probes: 4_142_697,
        server_states: 627,
        distinct_inputs: 3_633,
        depth: 32,
    };
    assert_eq!(report.counts, expected);
    assert_eq!(report.implementation.states, 627);
    assert_eq!(
        report.implementation.inputs_rerun,
        report.implementation.inputs
    );
    assert_eq!(run(&Spec, 2).counts, expected, "the same with two threads");
}

/// Whether the product's report is the one that a mistake must draw.
fn is_caught(mistake: Mistake, report: &ProductReport) -> bool {
    if let Some(hidden) = &report.hidden {
        return mistake == Mistake::HiddenState
            && report.verdict == Verdict::HiddenState
            && hidden.first_path != hidden.second_path
            && matches!(hidden.differences[0], Difference::MissingMessage { .. });
    }
    let found = report.divergence.as_ref();
    let found = found.filter(|_| report.verdict == Verdict::Diverged);
    let first = found.and_then(|found| found.differences.first());
    match mistake {
        Mistake::WrongState => {
            matches!(
                first,
                Some(Difference::WrongState {
                    field: Field::Vote,
                    ..
                })
            )
        }
        Mistake::WrongMessage => matches!(first, Some(Difference::WrongMessage { .. })),
        Mistake::MissingMessage => matches!(first, Some(Difference::MissingMessage { .. })),
        Mistake::ExtraMessage => matches!(first, Some(Difference::ExtraMessage { .. })),
        Mistake::WrongRefusal => matches!(first, Some(Difference::WrongRefusal { .. })),
        Mistake::HiddenState => false,
        Mistake::Failure => matches!(first, Some(Difference::Failed { .. })),
        Mistake::HandedNever
        | Mistake::HandedTwice
        | Mistake::HandedInAnotherOrder
        | Mistake::HandedChanged
        | Mistake::HandedAgain => matches!(
            first,
            Some(Difference::WrongOutput {
                field: Field::Handed,
                ..
            })
        ),
        Mistake::NothingWaits => matches!(
            first,
            Some(Difference::WrongMessage { expected, actual })
                if expected.after_persist && !actual.after_persist
        ),
    }
}

#[test]
fn every_mistake_is_caught_by_the_check_that_is_there_for_it() {
    for mistake in Mistake::ALL {
        let report = run(&Planted::new(Spec, mistake), 1);
        assert!(
            is_caught(mistake, &report),
            "{mistake:?}: {:?}",
            report.verdict
        );
    }
}

/// The trace of a divergence leads there again without the specification, on the target that diverged,
/// and passes on one without the mistake.
#[test]
fn a_divergence_is_replayed_from_its_trace() {
    for mistake in Mistake::ALL
        .into_iter()
        .filter(|mistake| *mistake != Mistake::HiddenState)
    {
        let target = Planted::new(Spec, mistake);
        let Some(found) = run(&target, 1).divergence else {
            panic!("{mistake:?} is not found");
        };
        let mut file = Vec::new();
        found.trace.write(&mut file).expect("a good trace");
        let read = || {
            Ok((
                "divergence".to_owned(),
                Trace::parse(&file, "divergence").expect("reads"),
            ))
        };
        let replayed = replay(&target, [read()], &mut |_| ControlFlow::Continue(())).expect("runs");
        let (_, again) = replayed.divergence.expect("it diverges again");
        assert_eq!(again.differences, found.differences, "{mistake:?}");
        assert_eq!(again.trace.steps, found.trace.steps);
        let sound = replay(&Spec, [read()], &mut |_| ControlFlow::Continue(())).expect("runs");
        assert_eq!(sound.verdict(), Verdict::Holds(Strength::Sampled));
    }
}

#[test]
fn a_wrong_refusal_says_which_side_refused() {
    let Some(found) = run(&Planted::new(Spec, Mistake::WrongRefusal), 1).divergence else {
        panic!("it is not found");
    };
    assert_eq!(found.refused_by(), Some(Side::Expected));
    assert_eq!(
        found.replay_command("x.ndjson", "spec"),
        "lockstep replay x.ndjson --target spec"
    );
}

/// Cut off again and again, and taken up by another product each time, it ends as if nothing had happened: all that the
/// implementation was asked is asked again.
#[test]
fn a_product_goes_on_from_its_checkpoint() {
    let cluster = small();
    let whole = run(&Spec, 1);
    let folder = tempfile::tempdir().expect("there is room for a folder");
    let product = |states: u64| {
        let product = Product::new(&cluster, &Spec).threads(2);
        let product = product
            .checkpoint(folder.path(), Duration::ZERO)
            .resume(true);
        product.max_states(states).run().expect("it goes on")
    };
    let mut known = Vec::new();
    for states in [1_000, 50_000, 150_000] {
        let some = product(states);
        let stopped_by = Limit::States;
        assert_eq!(some.verdict, Verdict::Bounded { stopped_by });
        known.push(some.resumed_at);
    }
    assert!(known[0].is_none() && known[1].is_some_and(|states| states >= 1_000));
    assert!(known[2] > known[1], "{known:?}");
    for _ in 0..2 {
        // The second finds the checkpoint of a finished product.
        let rest = product(u64::MAX);
        assert_eq!(rest.verdict, Verdict::Holds(Strength::BisimilarWithinBound));
        assert_eq!(rest.counts, whole.counts);
        assert_eq!(rest.implementation, whole.implementation);
        assert!(rest.resumed_at.is_some_and(|states| states >= 150_000));
        let statistics = rest.search.expect("it was searched");
        let of_whole = whole.search.as_ref().expect("it was searched");
        assert_eq!(statistics.levels, of_whole.levels);
        assert_eq!(statistics.actions, of_whole.actions);
    }
}

/// The broken twin: an implementation that is another one now than when the checkpoint was written.
#[test]
fn a_checkpoint_of_another_implementation_is_refused() {
    let cluster = small();
    let folder = tempfile::tempdir().expect("there is room for a folder");
    let some = Product::new(&cluster, &Spec)
        .checkpoint(folder.path(), Duration::ZERO)
        .max_states(50_000);
    some.run().expect("it starts");
    let changed = Planted::new(Spec, Mistake::WrongState);
    let resumed = Product::new(&cluster, &changed)
        .checkpoint(folder.path(), Duration::ZERO)
        .resume(true)
        .run();
    let error = resumed.expect_err("it does something else").to_string();
    assert!(error.contains("no longer does what it did"), "{error}");
    // The right one goes on.
    let resumed = Product::new(&cluster, &Spec)
        .checkpoint(folder.path(), Duration::ZERO)
        .resume(true)
        .run()
        .expect("it goes on");
    assert_eq!(
        resumed.verdict,
        Verdict::Holds(Strength::BisimilarWithinBound)
    );
}

/// A product that was cut off has proved nothing, whatever cut it off.
#[test]
fn a_limit_is_never_a_pass() {
    let cluster = small();
    let states = Product::new(&cluster, &Spec)
        .max_states(1000)
        .run()
        .expect("starts");
    assert!(matches!(
        states.verdict,
        Verdict::Bounded {
            stopped_by: Limit::States
        }
    ));
    let memory = Product::new(&cluster, &Spec)
        .max_memory(1)
        .run()
        .expect("starts");
    assert!(matches!(
        memory.verdict,
        Verdict::Bounded {
            stopped_by: Limit::Memory
        }
    ));
    let time = Product::new(&cluster, &Spec)
        .max_time(Duration::ZERO)
        .run()
        .expect("starts");
    assert!(matches!(
        time.verdict,
        Verdict::Bounded {
            stopped_by: Limit::Time
        }
    ));
    let stop = |_: &Progress| ControlFlow::Break(());
    let stopped = Product::new(&cluster, &Spec)
        .on_progress(Duration::ZERO, stop)
        .run();
    let stopped = stopped.expect("starts").verdict;
    assert!(matches!(
        stopped,
        Verdict::Bounded {
            stopped_by: Limit::Interrupted
        }
    ));
    assert_eq!(stopped.strength(), None);
}

/// A copy that shares state with its original: stepping the one moves the other.
#[test]
fn copies_that_share_state_are_found() {
    let report = run(&Sharing, 1);
    assert!(report.verdict == Verdict::HiddenState, "{}", report.verdict);
}

struct Sharing;

struct SharingServer {
    server: SpecServer,
    /// Counts the restarts of a server and of all its copies together.
    restarts: Arc<AtomicU64>,
}

impl Target for Sharing {
    type Server = SharingServer;

    fn description(&self) -> Description {
        Spec.description()
    }

    fn start(&self, config: &Config, id: ServerId) -> Result<SharingServer, TargetError> {
        Ok(SharingServer {
            server: Spec.start(config, id)?,
            restarts: Arc::default(),
        })
    }
}

impl TargetServer for SharingServer {
    fn apply(&mut self, input: &Input) -> Result<Reaction, TargetError> {
        if matches!(input, Input::Restart) {
            self.restarts.fetch_add(1, Ordering::Relaxed);
        }
        self.server.apply(input)
    }

    fn view(&mut self) -> Result<NodeView, TargetError> {
        let mut view = self.server.view()?;
        view.lease |= self.restarts.load(Ordering::Relaxed) > 150;
        Ok(view)
    }
}

impl Fork for SharingServer {
    fn fork(&self) -> SharingServer {
        SharingServer {
            server: self.server.fork(),
            restarts: Arc::clone(&self.restarts),
        }
    }

    fn digest(&self) -> u128 {
        self.server.digest()
    }
}
