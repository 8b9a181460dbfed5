//! Why inputs were not driven, counted by reason: a few, whatever a program behind the exec protocol says.

use super::NotDriven;
use std::collections::{BTreeMap, BTreeSet};

/// The most reasons that are told apart for inputs of one kind.
const MOST: usize = 16;

/// Stands for every reason beyond those.
const OTHER: &str = "other reasons, each another one";

/// The reasons that are told apart.
#[derive(Default)]
pub(crate) struct Reasons(BTreeSet<NotDriven>);

impl Reasons {
    /// The same, or if there are too many reasons already, one that stands for the others.
    pub fn told_apart(&mut self, it: NotDriven) -> NotDriven {
        if self.0.contains(&it) {
            return it;
        }
        let same_kind = |known: &&NotDriven| {
            known.input == it.input && known.changes_nothing == it.changes_nothing
        };
        if self.0.iter().filter(same_kind).count() >= MOST {
            return NotDriven {
                reason: OTHER.to_owned(),
                ..it
            };
        }
        self.0.insert(it.clone());
        it
    }

    /// Counts an input, and returns what it was counted as.
    pub fn count(&mut self, it: NotDriven, counts: &mut BTreeMap<NotDriven, u64>) -> NotDriven {
        let it = self.told_apart(it);
        *counts.entry(it.clone()).or_default() += 1;
        it
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reasons_without_end_become_one() {
        let (mut reasons, mut counts) = (Reasons::default(), BTreeMap::new());
        let not_driven = |input, number: usize| NotDriven {
            input,
            reason: format!("reason {number}"),
            changes_nothing: false,
        };
        for number in 0..10_000 {
            reasons.count(not_driven("timeout", number), &mut counts);
            reasons.count(not_driven("restart", 0), &mut counts);
        }
        assert_eq!(counts.len(), MOST + 2);
        assert_eq!(counts.values().sum::<u64>(), 20_000);
        assert_eq!(counts[&not_driven("timeout", 3)], 1);
        assert_eq!(counts[&not_driven("restart", 0)], 10_000);
        let other = counts.iter().find(|(it, _)| it.reason == OTHER);
        assert_eq!(other.map(|(_, count)| *count), Some(10_000 - MOST as u64));
    }
}
