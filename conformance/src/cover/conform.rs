//! Conformance of a target that cannot be copied: every item of a cover is driven at least once.

use super::{Cover, Covered};
use crate::replay::{NotDriven, ReplayError, ReplayReport, StepFate, replay_watched};
use crate::target::{DialectUse, Target, TargetError};
use crate::verdict::{Strength, Verdict};
use lockstep_engine::Limit;
use lockstep_traces::FieldSet;
use std::collections::BTreeMap;
use std::ops::ControlFlow;

/// The result of a target on a cover.
#[derive(Clone, Debug)]
pub struct CoverageReport {
    /// The verdict.
    pub verdict: Verdict,
    /// The kind of an item.
    pub covered: Covered,
    /// Distinct items that were driven and compared.
    pub items_compared: u64,
    /// Distinct items in all.
    pub items: u64,
    /// Distinct items that could be driven in no trace.
    pub not_driven: BTreeMap<NotDriven, u64>,
    /// The uses of each entry of the target's dialect.
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

/// The fate of an item in the traces so far: the best of its steps.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fate {
    /// No trace has come to it.
    Unknown,
    /// It could not be driven; the position of the reason.
    NotDriven(usize),
    /// It was driven, and agrees.
    Agreed,
}

/// The fate of every item.
struct Items {
    fates: Vec<Fate>,
    reasons: Vec<NotDriven>,
}

impl Items {
    fn new(distinct: u64) -> Items {
        Items {
            fates: vec![Fate::Unknown; usize::try_from(distinct).unwrap_or(usize::MAX)],
            reasons: Vec::new(),
        }
    }

    /// Takes note of a step that drives that item, or was to.
    fn step(&mut self, item: u32, fate: StepFate<'_>) {
        let known = &mut self.fates[item as usize];
        match fate {
            StepFate::Agreed => *known = Fate::Agreed,
            StepFate::NotDriven(why) if *known == Fate::Unknown => {
                let reason = self.reasons.iter().position(|it| it == why);
                *known = Fate::NotDriven(reason.unwrap_or_else(|| {
                    self.reasons.push(why.clone());
                    self.reasons.len() - 1
                }));
            }
            StepFate::NotDriven(_) => {}
        }
    }

    fn agreed(&self) -> u64 {
        let agreed = |fate: &&Fate| **fate == Fate::Agreed;
        self.fates.iter().filter(agreed).count() as u64
    }

    /// Counts the items that could be driven in no trace, by kind and reason.
    fn not_driven(self) -> BTreeMap<NotDriven, u64> {
        let mut counts = BTreeMap::new();
        for fate in self.fates {
            if let Fate::NotDriven(why) = fate {
                *counts.entry(self.reasons[why].clone()).or_default() += 1;
            }
        }
        counts
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
    let mut items = Items::new(cover.distinct);
    let traces = cover
        .traces
        .iter()
        .map(|trace| Ok((trace.header.name.clone(), trace)));
    let replay = replay_watched(target, traces, None, progress, &mut |trace, step, fate| {
        if let Some(item) = cover.items[trace][step] {
            items.step(item, fate);
        }
    })?;
    let items_compared = items.agreed();
    let not_driven = items.not_driven();
    let idle: u64 = not_driven
        .iter()
        .filter(|(why, _)| why.changes_nothing)
        .map(|(_, count)| count)
        .sum();
    let mut stopped_by = cover.stopped_by;
    let dialect = match target.dialect_uses(&cover.traces) {
        Ok(dialect) => dialect,
        // A divergence stands without it.
        Err(_) if replay.divergence.is_some() => Vec::new(),
        Err(TargetError::Interrupted) => {
            stopped_by = Some(Limit::Interrupted);
            Vec::new()
        }
        Err(error) => return Err(error.into()),
    };
    let shows_nothing = target.description().compared() == FieldSet::NONE;
    let verdict = match (replay.verdict(), stopped_by) {
        (Verdict::Diverged, _) => Verdict::Diverged,
        (_, Some(stopped_by)) => Verdict::Bounded { stopped_by },
        (bounded @ Verdict::Bounded { .. }, _) => bounded,
        _ if items_compared == 0 || shows_nothing => Verdict::NothingChecked,
        _ if items_compared == cover.distinct => Verdict::Holds(Strength::EdgesCovered),
        _ if items_compared + idle == cover.distinct => {
            Verdict::Holds(Strength::EdgesCoveredWhereDriven)
        }
        _ => Verdict::InPart(Strength::EdgesCovered),
    };
    Ok(CoverageReport {
        verdict,
        covered: cover.covered,
        items_compared,
        items: cover.distinct,
        not_driven,
        dialect,
        replay,
    })
}
