//! The choices of a walk that its difference needs.
//!
//! First the end of the walk alone is tried, in lengths that double: most differences need only the last few dozen
//! choices, however long the walk was. Then delta debugging leaves out what is not needed. A walk of *n* choices
//! takes some *n* attempts of up to *n* choices, and a choice takes the longer the longer the logs are, so the
//! effort has a limit.

use super::choice::Choice;
use super::{Progress, Walk, WalkCounts, WalkProgress, Walked};
use crate::shrink::{Shrunk, Trial, shrink};
use std::collections::VecDeque;
use std::time::{Duration, Instant};

/// The most choices of a walk that are remembered for this.
const REMEMBERED: usize = 1 << 20;

/// The length of the first end that is tried.
const SHORTEST_END: usize = 64;

/// The limit of the effort, in choices that are made among short logs: a measure of time without a clock, so that a
/// walk is thinned out alike on every machine.
const EFFORT: u64 = 1_000_000;

/// The time limit, for a slow target.
const PATIENCE: Duration = Duration::from_secs(60);

/// The number of entries of the longest log that make a choice take as long again.
const ENTRIES: u64 = 32;

/// The last choices of a walk.
#[derive(Default)]
pub(super) struct Recent(VecDeque<Choice>);

impl Recent {
    pub fn push(&mut self, choice: Choice) {
        if self.0.len() == REMEMBERED {
            self.0.pop_front();
        }
        self.0.push_back(choice);
    }
}

/// The rest of a walk after thinning.
pub(super) struct Thinned {
    /// The choices; `None` if all are left, and they are too many to be remembered.
    pub choices: Option<Vec<Choice>>,
    /// Whether every one of them is known to be needed.
    pub whole: bool,
}

/// Thins out a walk that differs after `at` choices, of which the last are `recent`.
pub(super) fn thin(
    walk: Walk<'_>,
    recent: Recent,
    at: usize,
    counts: &WalkCounts,
    progress: Progress<'_>,
) -> Thinned {
    let last: Vec<Choice> = recent.0.into();
    let mut attempts = Attempts {
        walk,
        used: 0,
        began: Instant::now(),
        left: at,
        counts,
        progress,
    };
    let choices = match attempts.end(&last, at) {
        End::Fails(choices) => choices,
        End::Needed if last.len() == at => last,
        End::GivenUp if last.len() == at => {
            return Thinned {
                choices: Some(last),
                whole: false,
            };
        }
        End::Needed | End::GivenUp => {
            return Thinned {
                choices: None,
                whole: false,
            };
        }
    };
    let Shrunk { list, whole } = shrink(choices, &mut |choices| attempts.make(choices));
    Thinned {
        choices: Some(list),
        whole,
    }
}

/// The result of trying the ends of a walk.
enum End {
    /// This end alone fails.
    Fails(Vec<Choice>),
    /// None does that is much shorter than the walk.
    Needed,
    GivenUp,
}

/// Attempts at a shorter walk.
struct Attempts<'a> {
    walk: Walk<'a>,
    used: u64,
    began: Instant,
    /// The number of choices that the shortest walk has that fails.
    left: usize,
    counts: &'a WalkCounts,
    progress: Progress<'a>,
}

impl Attempts<'_> {
    /// Finds the shortest end that fails, of those that are tried, of a walk of `at` choices.
    fn end(&mut self, last: &[Choice], at: usize) -> End {
        let mut size = SHORTEST_END;
        // One that is nearly as long is left to the shrinking.
        while size <= at / 2 && size <= last.len() {
            let end = &last[last.len() - size..];
            match self.make(end) {
                Trial::Fails(needed) => return End::Fails(end[..needed].to_vec()),
                Trial::Passes => size *= 2,
                Trial::GivenUp => return End::GivenUp,
            }
        }
        End::Needed
    }

    /// Makes these choices.
    fn make(&mut self, choices: &[Choice]) -> Trial {
        let Attempts {
            walk,
            used,
            began,
            left,
            counts: total,
            progress,
        } = self;
        let mut go_on = |made: &WalkCounts| {
            let flow = progress(WalkProgress {
                counts: total,
                thinning: Some(*left),
            });
            match *used + effort(made) > EFFORT || began.elapsed() > PATIENCE {
                true => std::ops::ControlFlow::Break(()),
                false => flow,
            }
        };
        let mut made = WalkCounts::default();
        if go_on(&made).is_break() {
            return Trial::GivenUp;
        }
        let walked = walk.take(choices.iter().copied(), &mut made, &mut go_on);
        *used += effort(&made);
        match walked {
            Ok(Walked::Parted(at, _)) => {
                *left = at;
                Trial::Fails(at)
            }
            Ok(Walked::Agreed) => Trial::Passes,
            // What was found stands, whether or not the target can be started again.
            Ok(Walked::Interrupted) | Err(_) => Trial::GivenUp,
        }
    }
}

/// Returns the effort that was spent.
fn effort(made: &WalkCounts) -> u64 {
    made.steps * (1 + made.longest_log / ENTRIES)
}
