//! What a product establishes.

use super::pairing::HiddenState;
use crate::divergence::Divergence;
use crate::graph::Counts;
use crate::target::{Description, Strength};
use lockstep_engine::Limit;
use lockstep_traces::FieldSet;
use serde::Serialize;
use std::collections::BTreeMap;
use std::fmt;

/// What a product establishes.
#[derive(Clone, Debug)]
pub enum Verdict {
    /// Every state of the product was visited, everything compared there agrees, and the digest hides
    /// nothing that could be found.
    Bisimilar,
    /// It was stopped before the end; nothing differs so far.
    Bounded {
        /// What stopped it.
        stopped_by: Limit,
    },
    /// The sides part.
    Diverged(Box<Divergence>),
    /// Two servers with the same digest behave differently, so that the product means nothing: the
    /// target's digest leaves out something that the implementation can read.
    DigestHidesState(Box<HiddenState>),
    /// There was nothing to compare.
    NothingCompared,
}

impl Verdict {
    pub(super) fn unless_nothing_compared(self, inputs: u64) -> Verdict {
        match self {
            Verdict::Bisimilar if inputs == 0 => Verdict::NothingCompared,
            verdict => verdict,
        }
    }

    /// The strength that was earned, if any was.
    pub fn strength(&self) -> Option<Strength> {
        matches!(self, Verdict::Bisimilar).then_some(Strength::BisimilarWithinBound)
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Verdict::Bisimilar => Strength::BisimilarWithinBound.fmt(f),
            Verdict::Bounded { stopped_by } => write!(f, "bounded ({stopped_by})"),
            Verdict::Diverged(divergence) => {
                write!(
                    f,
                    "diverged (after {} events)",
                    divergence.trace.steps.len()
                )
            }
            Verdict::DigestHidesState(_) => f.write_str("digest hides state"),
            Verdict::NothingCompared => f.write_str("nothing compared"),
        }
    }
}

/// What was done on the implementation's side.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct ImplementationCounts {
    /// Distinct states of its servers, by digest.
    pub states: u64,
    /// Distinct (digest, input) that were executed.
    pub inputs: u64,
    /// Of those, how many were executed again from a second server with the same digest that had got
    /// there by another path.
    pub inputs_rerun: u64,
    /// Steps that the implementation executed in all, re-runs included.
    pub steps: u64,
    /// Distinct (digest, input) that the target has no way to be given and that were to change nothing,
    /// by its reason.
    pub not_driven: BTreeMap<String, u64>,
}

/// The verdict of a product, with everything that was counted.
#[derive(Clone, Debug)]
pub struct ProductReport {
    /// Who was compared.
    pub target: Description,
    /// What was established.
    pub verdict: Verdict,
    /// The product.
    pub counts: Counts,
    /// The implementation's side of it.
    pub implementation: ImplementationCounts,
    /// Wall-clock time.
    pub seconds: f64,
    /// Bytes that the tables of the search took.
    pub memory_bytes: u64,
}

impl ProductReport {
    /// The fields that were compared.
    pub fn fields_compared(&self) -> FieldSet {
        self.target.compared()
    }

    /// The fields that were not, because the target does not show them.
    pub fn fields_not_compared(&self) -> FieldSet {
        self.target.not_shown()
    }

    /// Transitions of the specification that were compared per second.
    pub fn transitions_per_second(&self) -> f64 {
        self.per_second(self.counts.transitions)
    }

    /// Transitions, and refused or ignored inputs, that were compared per second.
    pub fn transitions_and_probes_per_second(&self) -> f64 {
        self.per_second(self.counts.transitions + self.counts.probes)
    }

    fn per_second(&self, count: u64) -> f64 {
        count as f64 / self.seconds.max(1e-9)
    }
}
