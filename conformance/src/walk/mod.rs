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
//! is left is needed; what remains is a trace that `lockstep replay` accepts.

mod choice;
pub mod jitter;
mod production;
mod shrink;
mod ticks;
mod world;

pub use ticks::{Call, HarnessClock, Seen, TickServer, TickTarget, Timers, Timing};

use crate::divergence::{Actual, Divergence, Side};
use crate::properties::{Judge, Violation};
use crate::stop;
use crate::target::TargetError;
use choice::{Choice, choices};
use lockstep_model::Settings;
use lockstep_traces::{Config, Expected, Header, NodeView, Provenance, Trace};
use serde::Serialize;
pub(crate) use shrink::shrink;
use std::ops::ControlFlow;
use std::panic::{AssertUnwindSafe, catch_unwind};
use world::{Broken, Seen as Watched, World};

/// Which walks to do.
#[derive(Clone, Debug)]
pub struct WalkOptions {
    /// The seed of the first walk; the others follow it.
    pub first_seed: u64,
    /// How many walks.
    pub walks: u64,
    /// How many choices each walk makes.
    pub steps: usize,
    /// How the servers are set up; `None` lets each seed choose among one to five servers, all switches
    /// and windows of several sizes.
    pub config: Option<Config>,
}

/// What walks have met.
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

/// What walks establish.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum WalkVerdict {
    /// Nothing differs.
    Sampled,
    /// Nothing differs, but nothing was committed either: such walks say nothing.
    NothingCommitted,
    /// A walk differs.
    Diverged,
    /// The sides agree, and what they do violates a property.
    Violated,
    /// It was stopped before the last walk; nothing differs so far.
    Interrupted,
}

/// The walk that differs.
#[derive(Clone, Debug)]
pub struct WalkDivergence {
    /// Its seed.
    pub seed: u64,
    /// After how many choices it differs.
    pub steps: usize,
    /// How many choices are left when those that are not needed are left out.
    pub needed: usize,
    /// The shortened way there.
    pub divergence: Divergence,
    /// What the timers show wrongly, if that is what differs: a trace cannot say it.
    pub timer: Option<String>,
    /// The property that does not hold, if one does not, and of which side.
    pub violated: Option<String>,
    /// The same with the values that break it.
    pub violation: Option<Violation>,
}

/// The verdict of walks, with everything that was counted.
#[derive(Clone, Debug)]
pub struct WalkReport {
    /// What was met.
    pub counts: WalkCounts,
    /// The first walk that differs.
    pub divergence: Option<Box<WalkDivergence>>,
    interrupted: bool,
}

impl WalkReport {
    /// What was established.
    pub fn verdict(&self) -> WalkVerdict {
        if let Some(found) = &self.divergence {
            // A violation is a difference more. If it is the only one, the sides agree.
            match &found.violated {
                Some(_) if found.divergence.differences.len() == 1 => WalkVerdict::Violated,
                _ => WalkVerdict::Diverged,
            }
        } else if self.interrupted {
            WalkVerdict::Interrupted
        } else if self.counts.committed == 0 {
            WalkVerdict::NothingCommitted
        } else {
            WalkVerdict::Sampled
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

/// How many choices are made between two calls for progress.
const PROGRESS_CHOICES: u64 = 512;

/// Does the walks, one after the other, until one differs. `progress` is called now and then.
///
/// # Errors
///
/// [`TargetError::Setup`] if the target cannot be started.
pub fn walk(
    options: &WalkOptions,
    target: &dyn TickTarget,
    progress: &mut dyn FnMut(&WalkCounts) -> ControlFlow<()>,
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
            matches!(walked, Ok(Walked::Parted(_)) | Err(_))
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
    progress: &mut dyn FnMut(&WalkCounts) -> ControlFlow<()>,
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
        if !target.lacks(&config).is_empty() {
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
        match walk.take(choices(), &mut report.counts, progress)? {
            Walked::Agreed => {}
            Walked::Interrupted => {
                report.interrupted = true;
                return Ok(report);
            }
            Walked::Parted(at) => {
                let needed = shrink::shrink(choices().take(at).collect(), &mut |choices| {
                    let choices = choices.iter().copied();
                    let (counts, progress) = (&mut WalkCounts::default(), &mut |_: &WalkCounts| {
                        stop::flow()
                    });
                    match walk.take(choices, counts, progress) {
                        Ok(Walked::Parted(at)) => Some(at),
                        Ok(Walked::Agreed | Walked::Interrupted) | Err(_) => None,
                    }
                });
                let world = World::new(seed, &config, target, tamper)?.recording();
                report.divergence = Some(Box::new(diverged(world, seed, at, &needed)));
                return Ok(report);
            }
        }
        if progress(&report.counts).is_break() {
            report.interrupted = number + 1 < options.walks;
            return Ok(report);
        }
    }
    Ok(report)
}

/// How a walk ended.
enum Walked {
    Agreed,
    Interrupted,
    /// After how many choices the sides differed.
    Parted(usize),
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
    /// Makes these choices.
    fn take(
        self,
        choices: impl Iterator<Item = Choice>,
        counts: &mut WalkCounts,
        progress: &mut dyn FnMut(&WalkCounts) -> ControlFlow<()>,
    ) -> Result<Walked, TargetError> {
        let mut world = World::new(self.seed, self.config, self.target, self.tamper)?;
        counts.walks += 1;
        for (position, choice) in choices.enumerate() {
            counts.steps += 1;
            if world.make(choice, counts).is_err() {
                return Ok(Walked::Parted(position + 1));
            }
            // In a walk that is long enough to have long logs, a choice takes a while.
            let due = counts.steps.is_multiple_of(PROGRESS_CHOICES) || stop::requested();
            if due && progress(counts).is_break() {
                return Ok(Walked::Interrupted);
            }
        }
        Ok(Walked::Agreed)
    }
}

/// The divergence that these choices lead to.
fn diverged(mut world: World, seed: u64, steps: usize, needed: &[Choice]) -> WalkDivergence {
    let mut counts = WalkCounts::default();
    let difference = needed
        .iter()
        .find_map(|choice| world.make(*choice, &mut counts).err());
    let difference = difference.unwrap_or_else(|| unreachable!("the shortened walk differs too"));
    let made = Provenance {
        generator: "lockstep walk".to_owned(),
        seed: Some(seed),
        ..Provenance::default()
    };
    let purpose = "A random walk at whose end the implementation and the specification part.";
    let header = Header::new(
        format!("walk-{seed}"),
        purpose,
        world.config().clone(),
        made,
    );
    let settings = world.settings();
    let broken = difference.violated.as_ref();
    let header = match broken {
        // The sides agree, so the trace is a counterexample.
        Some(broken) if difference.differences.len() == 1 => {
            header.violating(broken.violation.property)
        }
        _ => header,
    };
    let trace = Trace {
        header,
        steps: world.into_steps(),
    };
    WalkDivergence {
        seed,
        steps,
        needed: needed.len(),
        violation: broken
            .and_then(|it| explained(it, &settings, &trace, difference.actual.as_ref())),
        violated: broken.map(ToString::to_string),
        divergence: Divergence {
            trace,
            differences: difference.differences,
            actual: difference.actual,
        },
        timer: difference.timer,
    }
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

    fn walk(
        options: &WalkOptions,
        progress: &mut dyn FnMut(&WalkCounts) -> ControlFlow<()>,
    ) -> WalkReport {
        walk_tampered(options, progress, |_| {})
    }

    fn walk_tampered(
        options: &WalkOptions,
        progress: &mut dyn FnMut(&WalkCounts) -> ControlFlow<()>,
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

    fn go_on(_: &WalkCounts) -> ControlFlow<()> {
        ControlFlow::Continue(())
    }

    #[test]
    fn a_hundred_walks_agree_and_commit() {
        let report = walk(&walks(1000, 100), &mut go_on);
        assert_eq!(
            report.verdict(),
            WalkVerdict::Sampled,
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
        assert_eq!(report.verdict(), WalkVerdict::NothingCommitted);
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
            found.needed < found.steps && found.needed < 60,
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
    fn a_divergence_names_the_property_that_the_implementation_violates() {
        let report = walk_tampered(&walks(1000, 5), &mut go_on, |seen| {
            for emitted in &mut seen.output.sent {
                if let Body::AppendEntries { commit, .. } = &mut emitted.message.body {
                    *commit = Index(commit.0.saturating_sub(1));
                }
            }
        });
        assert_eq!(report.verdict(), WalkVerdict::Diverged);
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

    /// Whoever keeps no timers has them kept, and what goes wrong is found all the same.
    #[test]
    fn a_target_without_timers_is_walked_by_the_clock_of_the_harness() {
        let walks = walks(400, 20);
        let report = super::walk(&walks, &HarnessClock(Spec), &mut go_on).expect("it starts");
        assert_eq!(report.verdict(), WalkVerdict::Sampled);
        let counts = report.counts;
        assert!(counts.elections > 5 && counts.committed > 50, "{counts:?}");
        let wrong = HarnessClock(Planted::new(Spec, Mistake::WrongMessage));
        let report = super::walk(&walks, &wrong, &mut go_on).expect("it starts");
        assert_eq!(report.verdict(), WalkVerdict::Diverged);
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
        assert_eq!(report.verdict(), WalkVerdict::Sampled);
        assert_eq!(report.counts.judged, 0);
    }

    #[test]
    fn a_dialect_holds_in_walks() {
        let report = super::walk(&walks(400, 20), &HarnessClock(RaftRs::new()), &mut go_on);
        let report = report.expect("it starts");
        assert_eq!(
            report.verdict(),
            WalkVerdict::Sampled,
            "{:?}",
            report.divergence
        );
    }
}
