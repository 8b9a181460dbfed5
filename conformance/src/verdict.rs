//! The verdict of a verb: one type for all verbs, and the one place that says which verdict is a pass.
//!
//! A verdict says how much was looked at, never more. What was found (the property that is violated, the divergence, the
//! two paths to one digest) is in the report beside it.

use crate::report::Status;
use lockstep_engine::{Limit, Verdict as Searched};
use serde::Serialize;
use std::fmt;

/// The verdict.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// Nothing is wrong with what was looked at, which is as much as the strength says.
    Holds(Strength),
    /// Nothing is wrong with what was looked at, but inputs that must have an effect could not be driven.
    InPart(Strength),
    /// The work was stopped before the end; nothing is wrong so far.
    Bounded {
        /// The limit that stopped it.
        stopped_by: Limit,
    },
    /// A property does not hold.
    Violated,
    /// The implementation and the specification, or a trace, part.
    Diverged,
    /// Two states that the implementation gives one digest are different, so that nothing else means anything.
    HiddenState,
    /// A property was asked for that could not be evaluated.
    Unanswered,
    /// There was nothing to look at, which is never a pass.
    NothingChecked,
}

/// The evidence behind a verdict, from the weakest.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Strength {
    /// Some behaviours, as far as they could be driven. The rest must change nothing.
    SampledWhereDriven,
    /// Some behaviours: random walks, or a selection of traces.
    Sampled,
    /// As [`EdgesCovered`](Self::EdgesCovered), as far as the inputs could be driven. The rest must change nothing.
    EdgesCoveredWhereDriven,
    /// Every distinct pair of server state and input of the specification's graph was driven at least
    /// once, from one representative of what the specification holds to be one state.
    EdgesCovered,
    /// Every state of the product of specification and implementation was visited, and every input
    /// compared there, with nothing of the implementation's state left out.
    BisimilarWithinBound,
    /// Every state of an implementation's own graph was visited, and has every property.
    CodeChecked,
    /// Every state of the specification within the bound was visited, and has every property.
    Exhausted,
}

impl Verdict {
    /// The verdict of a search that establishes this if it comes to its end.
    pub fn of_search(searched: &Searched, strength: Strength) -> Verdict {
        match searched {
            Searched::Exhausted => Verdict::Holds(strength),
            Searched::Bounded { stopped_by } => Verdict::Bounded {
                stopped_by: *stopped_by,
            },
            Searched::Violated { .. } => Verdict::Violated,
        }
    }

    /// The strength that was earned, if any was.
    pub fn strength(self) -> Option<Strength> {
        match self {
            Verdict::Holds(strength) => Some(strength),
            _ => None,
        }
    }

    /// The status of a job with this verdict.
    pub(crate) fn status(self) -> Status {
        match self {
            Verdict::Holds(_) => Status::Holds,
            Verdict::InPart(_)
            | Verdict::Bounded { .. }
            | Verdict::Unanswered
            | Verdict::NothingChecked => Status::Stopped,
            Verdict::Violated | Verdict::Diverged | Verdict::HiddenState => Status::Violated,
        }
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Verdict::Holds(strength) => strength.fmt(f),
            Verdict::InPart(strength) => write!(f, "{strength} in part"),
            Verdict::Bounded { stopped_by } => write!(f, "bounded ({stopped_by})"),
            Verdict::Violated => f.write_str("violated"),
            Verdict::Diverged => f.write_str("diverged"),
            Verdict::HiddenState => f.write_str("digest hides state"),
            Verdict::Unanswered => f.write_str("a property could not be evaluated"),
            Verdict::NothingChecked => f.write_str("nothing compared"),
        }
    }
}

impl fmt::Display for Strength {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Strength::SampledWhereDriven => "sampled where they can be driven",
            Strength::Sampled => "sampled",
            Strength::EdgesCoveredWhereDriven => "edges covered where they can be driven",
            Strength::EdgesCovered => "edges covered",
            Strength::BisimilarWithinBound => "bisimilar within the bound",
            Strength::CodeChecked => "code checked: exhausted",
            Strength::Exhausted => "exhausted",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Only what came to its end, and looked at all that it was about, is a pass.
    #[test]
    fn nothing_but_a_whole_result_is_a_pass() {
        let stopped_by = Limit::Memory;
        let no_passes = [
            Verdict::InPart(Strength::EdgesCovered),
            Verdict::Bounded { stopped_by },
            Verdict::Violated,
            Verdict::Diverged,
            Verdict::HiddenState,
            Verdict::Unanswered,
            Verdict::NothingChecked,
        ];
        for verdict in no_passes {
            assert_ne!(verdict.status(), Status::Holds, "{verdict}");
            assert_eq!(verdict.strength(), None, "{verdict}");
        }
        let searched = Searched::Bounded { stopped_by };
        let verdict = Verdict::of_search(&searched, Strength::CodeChecked);
        assert_eq!(verdict, Verdict::Bounded { stopped_by });
        let verdict = Verdict::of_search(&Searched::Exhausted, Strength::CodeChecked);
        assert_eq!(verdict.status(), Status::Holds);
    }
}
