//! Conformance of a target that cannot be copied: every item of a cover is driven at least once.

use super::{Cover, Covered};
use crate::replay::{ReplayError, ReplayReport, ReplayVerdict, replay_watched};
use crate::target::{DialectUse, Strength, Target};
use lockstep_model::search::Limit;
use serde::Serialize;
use std::fmt;
use std::ops::ControlFlow;

/// What the replay of a cover establishes.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum CoverVerdict {
    /// Every item was driven and agrees.
    EdgesCovered,
    /// Nothing differs, but not every item could be driven.
    PartlyCovered,
    /// Nothing differs, but the search for items or the replay was stopped before the end.
    Bounded {
        /// What stopped it.
        stopped_by: Limit,
    },
    /// A step differs.
    Diverged,
    /// There was nothing to compare.
    NothingCompared,
}

impl fmt::Display for CoverVerdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            CoverVerdict::EdgesCovered => Strength::EdgesCovered.fmt(f),
            CoverVerdict::PartlyCovered => write!(f, "{} in part", Strength::EdgesCovered),
            CoverVerdict::Bounded { stopped_by } => write!(f, "bounded ({stopped_by})"),
            CoverVerdict::Diverged => f.write_str("diverged"),
            CoverVerdict::NothingCompared => f.write_str("nothing compared"),
        }
    }
}

/// How a target fared on a cover.
#[derive(Clone, Debug)]
pub struct CoverageReport {
    /// What was established.
    pub verdict: CoverVerdict,
    /// What an item is.
    pub covered: Covered,
    /// Distinct items that were driven and compared.
    pub items_compared: u64,
    /// Distinct items in all.
    pub items: u64,
    /// How much each entry of the target's dialect mattered.
    pub dialect: Vec<DialectUse>,
    /// The replay, with every count and the divergence.
    pub replay: ReplayReport,
}

impl CoverageReport {
    /// The share of the items that was driven and compared, from 0 to 1.
    pub fn share(&self) -> f64 {
        if self.items == 0 {
            0.0
        } else {
            self.items_compared as f64 / self.items as f64
        }
    }
}

/// Replays a cover on a target.
///
/// # Errors
///
/// The target cannot be started.
pub fn conform_by_cover<T: Target>(
    target: &T,
    cover: &Cover,
    progress: &mut dyn FnMut(&ReplayReport) -> ControlFlow<()>,
) -> Result<CoverageReport, ReplayError> {
    let mut driven = vec![false; usize::try_from(cover.distinct).unwrap_or(usize::MAX)];
    let traces = cover
        .traces
        .iter()
        .map(|trace| Ok((trace.header.name.clone(), trace.clone())));
    let replay = replay_watched(target, traces, progress, &mut |trace, step| {
        if let Some(item) = cover.items[trace][step] {
            driven[item as usize] = true;
        }
    })?;
    let items_compared = driven.iter().filter(|driven| **driven).count() as u64;
    let verdict = match (replay.verdict(), cover.stopped_by) {
        (ReplayVerdict::Diverged, _) => CoverVerdict::Diverged,
        _ if items_compared == 0 => CoverVerdict::NothingCompared,
        (ReplayVerdict::Interrupted, _) => CoverVerdict::Bounded {
            stopped_by: Limit::Interrupted,
        },
        (_, Some(stopped_by)) => CoverVerdict::Bounded { stopped_by },
        _ if items_compared < cover.distinct => CoverVerdict::PartlyCovered,
        _ => CoverVerdict::EdgesCovered,
    };
    Ok(CoverageReport {
        verdict,
        covered: cover.covered,
        items_compared,
        items: cover.distinct,
        dialect: target.dialect_uses(&cover.traces)?,
        replay,
    })
}
