//! Tests of the walks: sides that agree, and planted mistakes of the sides and of their timers.

use super::*;
use crate::compare::Difference;
use crate::planted::{Mistake, Planted};
use crate::target::{Description, Reaction, Target, TargetServer};
use crate::targets::lockstep_raft::LockstepRaft;
use crate::targets::raft_rs::RaftRs;
use crate::targets::spec::{Spec, SpecServer};
use lockstep_traces::{Body, Field, Index, Input, Role, ServerId};
use std::collections::BTreeSet;
use std::sync::atomic::{AtomicUsize, Ordering};

fn walk(options: &WalkOptions, progress: Progress<'_>) -> WalkReport {
    walk_tampered(options, progress, |_| {})
}

fn walk_tampered(
    options: &WalkOptions,
    progress: Progress<'_>,
    tamper: fn(&mut Watched),
) -> WalkReport {
    super::walk_tampered(options, &LockstepRaft, progress, tamper).expect("it starts")
}

fn walks(steps: usize, walks: u64) -> WalkOptions {
    WalkOptions {
        first_seed: 1,
        walks,
        steps,
        config: None,
    }
}

fn go_on(_: WalkProgress<'_>) -> ControlFlow<()> {
    ControlFlow::Continue(())
}

#[test]
fn a_hundred_walks_agree_and_commit() {
    let report = walk(&walks(1000, 100), &mut go_on);
    assert_eq!(
        report.verdict(),
        Verdict::Holds(Strength::Sampled),
        "{:?}",
        report.divergence
    );
    let counts = report.counts;
    assert_eq!((counts.walks, counts.steps), (100, 128_000));
    assert!(
        counts.elections > 100 && counts.committed > 1000,
        "{counts:?}"
    );
    assert!(counts.refused > 100 && counts.restarts > 100, "{counts:?}");
    assert!(
        counts.longest_log > 60 && counts.farthest_behind > 10 && counts.widest_window > 4,
        "{counts:?}"
    );
    assert!(counts.judged > 10_000, "{counts:?}");
    assert_eq!(
        walk(&walks(1000, 100), &mut go_on).counts,
        counts,
        "the same once more"
    );
}

#[test]
fn walks_that_commit_nothing_are_no_pass() {
    let report = walk(&walks(5, 3), &mut go_on);
    assert_eq!(report.verdict(), Verdict::NothingChecked);
}

#[test]
fn a_wrong_message_is_found_and_the_walk_to_it_is_short() {
    let report = walk_tampered(&walks(1000, 5), &mut go_on, |seen| {
        for emitted in &mut seen.output.sent {
            if let Body::AppendEntries { commit, .. } = &mut emitted.message.body {
                *commit = Index(commit.0.saturating_sub(1));
            }
        }
    });
    let found = report.divergence.expect("it is found");
    assert!(
        matches!(
            found.divergence.differences[0],
            Difference::WrongMessage { .. }
        ),
        "{:?}",
        found.divergence.differences
    );
    assert!(
        found.thinned && found.needed < found.steps && found.needed < 60,
        "{} choices",
        found.needed
    );
    let mut bytes = Vec::new();
    found
        .divergence
        .trace
        .write(&mut bytes)
        .expect("a good trace");
    assert!(found.command().contains(&format!("--seed {}", found.seed)));
}

/// Wrong from a long log on, so that much of the walk is needed.
fn wrong_when_long(seen: &mut Watched) {
    if seen.view.log.len() >= 150 && seen.view.role == Role::Leader {
        seen.view.applied = Index(0);
    }
}

/// A walk with long logs.
fn lagging(steps: usize) -> WalkOptions {
    WalkOptions {
        first_seed: 4,
        ..walks(steps, 1)
    }
}

#[test]
fn thinning_out_has_an_end() {
    let mut thinning = Vec::new();
    let report = walk_tampered(
        &lagging(20_000),
        &mut |it| {
            thinning.extend(it.thinning);
            ControlFlow::Continue(())
        },
        wrong_when_long,
    );
    let found = report.divergence.expect("it is found");
    assert!(
        !found.thinned && found.needed <= found.steps,
        "{}",
        found.needed
    );
    assert!(thinning.len() > 10 && thinning.is_sorted_by(|a, b| a >= b));
    assert_eq!(found.left_out, 0);
    let steps = found.divergence.trace.steps.len();
    assert!(steps > 150, "{steps}");
}

#[test]
fn thinning_out_that_is_stopped_keeps_what_it_has() {
    let mut left = 3;
    let stop = &mut |it: WalkProgress<'_>| {
        left -= i32::from(it.thinning.is_some());
        if left == 0 {
            ControlFlow::Break(())
        } else {
            ControlFlow::Continue(())
        }
    };
    let report = walk_tampered(&lagging(2_000), stop, wrong_when_long);
    assert_eq!(report.verdict(), Verdict::Diverged);
    let found = report.divergence.expect("it is found");
    assert!(!found.thinned && found.needed <= found.steps);
    let mut bytes = Vec::new();
    let trace = &found.divergence.trace;
    trace.write(&mut bytes).expect("a good trace");
}

/// Inputs that the test below has seen: what goes wrong after many goes wrong after few from then on.
static SEEN: AtomicUsize = AtomicUsize::new(0);

/// Thinning out takes no longer for a difference at the end of a long walk than for one in a short walk.
#[test]
fn the_end_of_a_long_walk_is_tried_first() {
    let report = walk_tampered(&walks(20_000, 1), &mut go_on, |seen| {
        let late = SEEN.fetch_add(1, Ordering::Relaxed) > 8_000;
        if late && seen.view.role == Role::Leader {
            seen.view.applied = Index(seen.view.applied.0 + 1);
        }
    });
    let found = report.divergence.expect("it is found");
    assert!(found.steps > 10_000, "{}", found.steps);
    assert!(found.thinned && found.needed < 60, "{found:?}");
}

/// The worst there is: all that a walk of 8,000 or of 20,000 choices has appended is needed for what goes wrong at its
/// end. The effort does not grow with the walk, and what there is is kept.
#[test]
fn thinning_out_a_whole_walk_takes_bounded_effort() {
    type Tamper = fn(&mut Watched);
    let wrong: [(usize, Tamper); 2] = [
        (8_000, |seen| wrong_from(seen, LATE[0])),
        (20_000, |seen| wrong_from(seen, LATE[1])),
    ];
    for (length, tamper) in wrong {
        let mut attempts = 0;
        let mut shown = BTreeSet::new();
        let clock = Instant::now();
        let report = walk_tampered(
            &lagging(length),
            &mut |it| {
                attempts += usize::from(it.thinning.is_some());
                shown.extend(it.thinning);
                ControlFlow::Continue(())
            },
            tamper,
        );
        let found = report.divergence.expect("it is found");
        eprintln!(
            "{length}: after {} choices, {} left, {} looks, {:?}",
            found.steps,
            found.needed,
            attempts,
            clock.elapsed()
        );
        assert!(2 * found.steps > length, "{} of {length}", found.steps);
        assert!(!found.thinned, "{} are left", found.needed);
        assert!(!shown.is_empty(), "its progress is told");
        // A look at least every few hundred choices, of which there are a million at most.
        assert!(attempts < 20_000, "{attempts}");
    }
}

/// The lengths of a log that those walks reach beyond their middles.
const LATE: [usize; 2] = [400, 1_000];

fn wrong_from(seen: &mut Watched, length: usize) {
    if seen.view.log.len() >= length && seen.view.role == Role::Leader {
        seen.view.applied = Index(0);
    }
}

#[test]
fn a_wrong_state_is_found() {
    let report = walk_tampered(&walks(1000, 5), &mut go_on, |seen| {
        if seen.view.role == Role::Leader {
            seen.view.applied = Index(0);
        }
    });
    let found = report.divergence.expect("it is found");
    assert!(matches!(
        found.divergence.differences[0],
        Difference::WrongState {
            field: Field::Applied,
            ..
        }
    ));
}

fn wrong_timer(tamper: fn(&mut Watched)) -> String {
    let report = walk_tampered(&walks(1000, 5), &mut go_on, tamper);
    let found = report.divergence.expect("it is found");
    found.timer.clone().expect("it is the timer")
}

#[test]
fn a_timeout_that_is_not_drawn_anew_is_found() {
    let text = wrong_timer(|seen| seen.drawn = false);
    assert_eq!(text, "no new election timeout was drawn");
    let text = wrong_timer(|seen| seen.drawn |= seen.view.role == Role::PreCandidate);
    assert_eq!(text, "an election timeout was drawn for no reason");
}

#[test]
fn a_timeout_out_of_range_is_found() {
    let text = wrong_timer(|seen| {
        if seen.drawn {
            seen.randomized_ticks += 10;
        }
    });
    assert!(text.starts_with("an election timeout of "), "{text}");
    let text = wrong_timer(|seen| {
        if !seen.drawn {
            seen.randomized_ticks = 10 + (seen.randomized_ticks + 1) % 10;
        }
    });
    assert!(text.contains("without a draw"), "{text}");
}

#[test]
fn a_divergence_names_the_violated_property() {
    let report = walk_tampered(&walks(1000, 5), &mut go_on, |seen| {
        for emitted in &mut seen.output.sent {
            if let Body::AppendEntries { commit, .. } = &mut emitted.message.body {
                *commit = Index(commit.0.saturating_sub(1));
            }
        }
    });
    assert_eq!(report.verdict(), Verdict::Diverged);
    let found = report.divergence.expect("it is found");
    let violated = found.violated.expect("a property says so too");
    assert!(
        violated.starts_with("the implementation violates `append_content_step`"),
        "{violated}"
    );
}

#[test]
fn a_timer_that_does_not_start_over_is_found() {
    let report = walk_tampered(&walks(1000, 5), &mut go_on, |seen| {
        if seen.view.role == Role::Follower && seen.view.leader.is_some() {
            seen.election_elapsed_ticks += 1;
        }
    });
    let found = report.divergence.expect("it is found");
    assert!(found.timer.is_some());
}

/// The harness keeps the timers of a target that has none, and finds errors all the same.
#[test]
fn the_harness_keeps_the_clock_of_a_target_without_timers() {
    let walks = walks(400, 20);
    let report = super::walk(&walks, &HarnessClock(Spec), &mut go_on).expect("it starts");
    assert_eq!(report.verdict(), Verdict::Holds(Strength::Sampled));
    let counts = report.counts;
    assert!(counts.elections > 5 && counts.committed > 50, "{counts:?}");
    let wrong = HarnessClock(Planted::new(Spec, Mistake::WrongMessage));
    let report = super::walk(&walks, &wrong, &mut go_on).expect("it starts");
    assert_eq!(report.verdict(), Verdict::Diverged);
}

/// A target that shows less than there is.
struct Discreet;

struct DiscreetServer(SpecServer);

impl Target for Discreet {
    type Server = DiscreetServer;

    fn description(&self) -> Description {
        let all = Target::description(&Spec);
        Description {
            shows: all.shows.without(Field::Votes),
            ..all
        }
    }

    fn start(&self, config: &Config, id: ServerId) -> Result<DiscreetServer, TargetError> {
        Target::start(&Spec, config, id).map(DiscreetServer)
    }
}

impl TargetServer for DiscreetServer {
    fn apply(&mut self, input: &Input) -> Result<Reaction, TargetError> {
        self.0.apply(input)
    }

    fn view(&mut self) -> Result<NodeView, TargetError> {
        let mut view = self.0.view()?;
        view.votes.clear();
        Ok(view)
    }
}

#[test]
fn what_a_target_hides_violates_no_property() {
    let report = super::walk(&walks(400, 20), &HarnessClock(Discreet), &mut go_on);
    let report = report.expect("it starts");
    assert_eq!(report.verdict(), Verdict::Holds(Strength::Sampled));
    assert_eq!(report.counts.judged, 0);
}

#[test]
fn a_dialect_holds_in_walks() {
    let report = super::walk(&walks(400, 20), &HarnessClock(RaftRs::new()), &mut go_on);
    let report = report.expect("it starts");
    assert_eq!(
        report.verdict(),
        Verdict::Holds(Strength::Sampled),
        "{:?}",
        report.divergence
    );
}

/// The counts of timers that are shown are compared, and those that are not are not made up.
#[test]
fn timers_of_raft_rs_are_compared() {
    let walk = |tamper| super::walk_tampered(&walks(400, 20), &RaftRs::new(), &mut go_on, tamper);
    let report = walk(|_| {}).expect("it starts");
    assert_eq!(report.verdict(), Verdict::Holds(Strength::Sampled));
    assert!(report.counts.draws > 100, "{:?}", report.counts);
    let tampers: [fn(&mut Watched); 3] = [
        |seen| seen.election_elapsed_ticks += 1,
        |seen| seen.drawn = false,
        |seen| seen.randomized_ticks = 10 + (seen.randomized_ticks + 1) % 10,
    ];
    for tamper in tampers {
        let found = walk(tamper).expect("it starts").divergence;
        assert!(found.is_some_and(|it| it.timer.is_some()));
    }
}
