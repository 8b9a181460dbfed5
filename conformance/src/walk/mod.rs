//! Random walks: an implementation driven by ticks, as in production, beside the specification.
//!
//! A walk reaches beyond any bound: many terms, long logs, five servers. And it is the only comparison
//! that includes the timer: nobody tells the implementation that a timer fires, ticks do, and whenever
//! they must have raised a timer event the specification is given the same event. What the timers count
//! and when they draw is checked against `timers.rs`, a few lines that say when etcd's timers start over;
//! that the timeouts are drawn evenly is for [`jitter`] to say. All that is for a target that keeps its timers
//! itself ([`TickTarget`]); for every other one the harness keeps them ([`HarnessClock`]).
//!
//! A walk follows from its seed alone. When it diverges its choices are thinned out until every one that
//! is left is needed, or until that takes too long; what remains is a trace that `lockstep replay` accepts.

mod choice;
pub mod jitter;
mod production;
mod recording;
mod thin;
mod ticks;
mod world;

pub use ticks::{Call, HarnessClock, Seen, TickServer, TickTarget, Timers, Timing};

use crate::divergence::{Actual, Divergence, Side};
use crate::properties::{Judge, Violation};
use crate::stop;
use crate::target::{Needs, TargetError};
use crate::verdict::{Strength, Verdict};
use choice::{Choice, choices};
use lockstep_engine::Limit;
use lockstep_model::Settings;
use lockstep_traces::{Config, Expected, Header, NodeView, Provenance, Trace};
use serde::Serialize;
use std::ops::ControlFlow;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::{Duration, Instant};
use thin::{Recent, Thinned, thin};
use world::{Broken, Parted, Seen as Watched, World};

/// The walks to do.
#[derive(Clone, Debug)]
pub struct WalkOptions {
    /// The seed of the first walk; the others follow it.
    pub first_seed: u64,
    /// The number of walks.
    pub walks: u64,
    /// The number of choices that each walk makes.
    pub steps: usize,
    /// The configuration of the servers; `None` lets each seed choose among one to five servers, all switches and
    /// windows of several sizes.
    pub config: Option<Config>,
}

/// Counts of the events in walks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct WalkCounts {
    /// Walks that were begun.
    pub walks: u64,
    /// Walks that were not, since the target lacks what their configuration turns on.
    pub not_applicable: u64,
    /// Choices that were made.
    pub steps: u64,
    /// Ticks of all servers.
    pub ticks: u64,
    /// Inputs that both sides were given and that were compared, timer events among them.
    pub inputs: u64,
    /// Steps of the implementation on which every property was evaluated. On the specification it is all
    /// inputs. None in a dialect, since the properties are those of the specification as it is, and none for a
    /// target that does not show every field.
    pub judged: u64,
    /// Timer events that ticks raised.
    pub timer_events: u64,
    /// Messages that were delivered.
    pub deliveries: u64,
    /// Inputs that both sides refused.
    pub refused: u64,
    /// Times that a server became leader.
    pub elections: u64,
    /// Entries that were committed, counted where the commit index was first that high in a walk.
    pub committed: u64,
    /// Proposals that a leader took.
    pub proposals: u64,
    /// Random election timeouts that were drawn.
    pub draws: u64,
    /// Servers that crashed and came back.
    pub restarts: u64,
    /// The highest term of all walks.
    pub highest_term: u64,
    /// The most entries in a log.
    pub longest_log: u64,
    /// The most entries that a leader had and a peer was not known to have.
    pub farthest_behind: u64,
    /// The most appends on their way to a peer, as far as its leader knew.
    pub widest_window: u64,
}

impl WalkCounts {
    /// Counts how far a server has come.
    fn reach(&mut self, view: &NodeView) {
        let last = view.log.len() as u64;
        self.highest_term = self.highest_term.max(view.term.0);
        self.longest_log = self.longest_log.max(last);
        for peer in view.peers.values() {
            let window = peer.inflight.len() as u64;
            let behind = last.saturating_sub(peer.matched.0);
            self.widest_window = self.widest_window.max(window);
            self.farthest_behind = self.farthest_behind.max(behind);
        }
    }
}

/// The walk that differs.
#[derive(Clone, Debug)]
pub struct WalkDivergence {
    /// Its seed.
    pub seed: u64,
    /// After how many choices it differs.
    pub steps: usize,
    /// The number of choices left when those that are not needed are left out.
    pub needed: usize,
    /// Whether every one of those is known to be needed. It is not if that took too long to find out, or was
    /// stopped.
    pub thinned: bool,
    /// The shortened way there.
    pub divergence: Divergence,
    /// The number of steps that come before those of the divergence's trace: not zero only if the way there is too
    /// long to be kept, so that it can only be walked again.
    pub left_out: usize,
    /// The fault of the timers, if that is what differs: a trace cannot say it.
    pub timer: Option<String>,
    /// The property that does not hold, if one does not, and of which side.
    pub violated: Option<String>,
    /// The same with the values that break it.
    pub violation: Option<Violation>,
}

/// The verdict of walks, with everything that was counted.
#[derive(Clone, Debug)]
pub struct WalkReport {
    /// The counts.
    pub counts: WalkCounts,
    /// The first walk that differs.
    pub divergence: Option<Box<WalkDivergence>>,
    interrupted: bool,
}

impl WalkReport {
    /// The verdict.
    pub fn verdict(&self) -> Verdict {
        if let Some(found) = &self.divergence {
            // A violation is a difference more. If it is the only one, the sides agree.
            match &found.violated {
                Some(_) if found.divergence.differences.len() == 1 => Verdict::Violated,
                _ => Verdict::Diverged,
            }
        } else if self.interrupted {
            Verdict::Bounded {
                stopped_by: Limit::Interrupted,
            }
        } else if self.counts.committed == 0 {
            Verdict::NothingChecked
        } else {
            Verdict::Holds(Strength::Sampled)
        }
    }
}

impl WalkDivergence {
    /// The command that repeats the walk from its seed, timers included.
    pub fn command(&self) -> String {
        format!(
            "lockstep walk --seed {} --seeds 1 --steps {}",
            self.seed, self.steps
        )
    }
}

/// The progress of walks.
#[derive(Clone, Copy, Debug)]
pub struct WalkProgress<'a> {
    /// The counts so far.
    pub counts: &'a WalkCounts,
    /// A walk differs, and is being thinned out: how many choices are left.
    pub thinning: Option<usize>,
}

/// A callback, which may stop the walks.
type Progress<'a> = &'a mut dyn FnMut(WalkProgress<'_>) -> ControlFlow<()>;

/// The time for writing down the way to a divergence after a request to stop.
const LAST_WORDS: Duration = Duration::from_secs(1);

/// The number of choices made between two calls for progress.
const PROGRESS_CHOICES: u64 = 512;

/// Does the walks, one after the other, until one differs. `progress` is called now and then.
///
/// # Errors
///
/// [`TargetError::Setup`] if the target cannot be started.
pub fn walk(
    options: &WalkOptions,
    target: &dyn TickTarget,
    progress: Progress<'_>,
) -> Result<WalkReport, TargetError> {
    walk_tampered(options, target, progress, |_| {})
}

/// Counts the walks that differ, each taken to its first difference.
pub fn count_differing(options: &WalkOptions, target: &dyn TickTarget) -> u64 {
    let seeds = options.first_seed..options.first_seed + options.walks;
    let differs = |seed: &u64| {
        let config = options.config.clone();
        let config = config.unwrap_or_else(|| choice::config(*seed));
        let choices = choices(*seed, options.steps, &config);
        let (mut counts, mut progress) = (WalkCounts::default(), |_: &WalkCounts| stop::flow());
        let walk = || {
            let walk = Walk {
                seed: *seed,
                config: &config,
                target,
                tamper: |_| {},
            };
            let walked = walk.take(choices, &mut counts, &mut progress);
            // One that cannot even be started differs as well.
            matches!(walked, Ok(Walked::Parted(..)) | Err(_))
        };
        // An implementation that breaks down differs as well.
        catch_unwind(AssertUnwindSafe(walk)).unwrap_or(true)
    };
    seeds.filter(differs).count() as u64
}

/// [`walk`], with a hand in what is seen of the implementation: the broken twin plants mistakes there.
fn walk_tampered(
    options: &WalkOptions,
    target: &dyn TickTarget,
    progress: Progress<'_>,
    tamper: fn(&mut Watched),
) -> Result<WalkReport, TargetError> {
    let mut report = WalkReport {
        counts: WalkCounts::default(),
        divergence: None,
        interrupted: false,
    };
    for number in 0..options.walks {
        let seed = options.first_seed.wrapping_add(number);
        let config = options
            .config
            .clone()
            .unwrap_or_else(|| choice::config(seed));
        if !target.lacks(&Needs::of_config(&config)).is_empty() {
            report.counts.not_applicable += 1;
            continue;
        }
        let choices = || choices(seed, options.steps, &config);
        let walk = Walk {
            seed,
            config: &config,
            target,
            tamper,
        };
        let mut recent = Recent::default();
        let remembered = choices().inspect(|choice| recent.push(*choice));
        let walked = walk.take(remembered, &mut report.counts, &mut |counts| {
            progress(WalkProgress {
                counts,
                thinning: None,
            })
        })?;
        match walked {
            Walked::Agreed => {}
            Walked::Interrupted => {
                report.interrupted = true;
                return Ok(report);
            }
            Walked::Parted(at, parted) => {
                let thinned = thin(walk, recent, at, &report.counts, progress);
                let found = walk.diverged(at, parted, thinned, choices().take(at))?;
                report.divergence = Some(Box::new(found));
                return Ok(report);
            }
        }
        let so_far = WalkProgress {
            counts: &report.counts,
            thinning: None,
        };
        if progress(so_far).is_break() {
            report.interrupted = number + 1 < options.walks;
            return Ok(report);
        }
    }
    Ok(report)
}

/// The end of a walk.
enum Walked {
    Agreed,
    Interrupted,
    /// After how many choices the sides differed, and how.
    Parted(usize, Box<Parted>),
}

/// A walk before its choices.
#[derive(Clone, Copy)]
struct Walk<'a> {
    seed: u64,
    config: &'a Config,
    target: &'a dyn TickTarget,
    tamper: fn(&mut Watched),
}

impl Walk<'_> {
    fn world(self) -> Result<World, TargetError> {
        World::new(self.seed, self.config, self.target, self.tamper)
    }

    /// Makes these choices.
    fn take(
        self,
        choices: impl Iterator<Item = Choice>,
        counts: &mut WalkCounts,
        progress: &mut dyn FnMut(&WalkCounts) -> ControlFlow<()>,
    ) -> Result<Walked, TargetError> {
        let mut world = self.world()?;
        counts.walks += 1;
        for (position, choice) in choices.enumerate() {
            counts.steps += 1;
            if let Err(parted) = world.make(choice, counts) {
                return Ok(match parted.interrupted {
                    true => Walked::Interrupted,
                    false => Walked::Parted(position + 1, parted),
                });
            }
            // In a walk that is long enough to have long logs, a choice takes a while.
            let due = counts.steps.is_multiple_of(PROGRESS_CHOICES) || stop::requested();
            if due && progress(counts).is_break() {
                return Ok(Walked::Interrupted);
            }
        }
        Ok(Walked::Agreed)
    }

    /// Returns the divergence after choice `at` of `all`, shown by the choices that thinning left. After a request to
    /// stop, a divergence whose way takes long is told without it.
    fn diverged(
        self,
        at: usize,
        parted: Box<Parted>,
        thinned: Thinned,
        all: impl Iterator<Item = Choice>,
    ) -> Result<WalkDivergence, TargetError> {
        let mut world = self.world()?.recording();
        let (needed, again) = match thinned.choices {
            Some(choices) => (choices.len(), follow(&mut world, choices.into_iter())),
            None => (at, follow(&mut world, all)),
        };
        let recorded = again.is_some();
        let parted = again.unwrap_or(parted);
        let settings = world.settings();
        let (steps, left_out) = match world.into_steps() {
            (steps, left_out) if recorded => (steps, left_out),
            (steps, left_out) => (Vec::new(), left_out + steps.len()),
        };
        let made = Provenance {
            generator: "lockstep walk".to_owned(),
            seed: Some(self.seed),
            ..Provenance::default()
        };
        let purpose = "A random walk at whose end the implementation and the specification part.";
        let name = format!("walk-{}", self.seed);
        let header = Header::new(name, purpose, self.config.clone(), made);
        let broken = parted.violated.as_ref();
        let header = match broken {
            // The sides agree, so the trace is a counterexample.
            Some(broken) if parted.differences.len() == 1 => {
                header.violating(broken.violation.property)
            }
            _ => header,
        };
        let trace = Trace { header, steps };
        let explained = broken
            .filter(|_| left_out == 0)
            .and_then(|it| explained(it, &settings, &trace, parted.actual.as_ref()));
        Ok(WalkDivergence {
            seed: self.seed,
            steps: at,
            needed,
            thinned: thinned.whole,
            violation: explained,
            violated: broken.map(ToString::to_string),
            divergence: Divergence {
                trace,
                differences: parted.differences,
                actual: parted.actual,
            },
            left_out,
            timer: parted.timer,
        })
    }
}

/// Makes choices up to the one at which the sides part. `None` if the work is to stop and it takes too long.
fn follow(world: &mut World, choices: impl Iterator<Item = Choice>) -> Option<Box<Parted>> {
    let mut counts = WalkCounts::default();
    let mut asked = None;
    for choice in choices {
        if let Err(parted) = world.make(choice, &mut counts) {
            return (!parted.interrupted).then_some(parted);
        }
        if stop::requested() && asked.get_or_insert_with(Instant::now).elapsed() > LAST_WORDS {
            return None;
        }
    }
    None
}

/// The values that break the property at the end of the trace, on the side that violates it.
fn explained(
    broken: &Broken,
    settings: &Settings,
    trace: &Trace,
    actual: Option<&Actual>,
) -> Option<Violation> {
    let judge = Judge::specified(broken.violation.property, settings)?;
    let mut steps = trace.steps.clone();
    if let (Side::Target, Some(actual), Some(last)) = (broken.side, actual, steps.last_mut()) {
        last.expected = Some(Expected {
            outcome: actual.output.outcome,
            view: actual.view.clone(),
            sent: actual.output.sent.clone(),
            read_states: actual.output.read_states.clone(),
        });
    }
    (!steps.is_empty()).then(|| judge.at_the_end_of(&steps))
}

#[cfg(test)]
mod tests {
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
        assert_eq!((counts.walks, counts.steps), (100, 100_000));
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
}
