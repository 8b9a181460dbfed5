//! Counts that add up, block by block.

use serde::{Deserialize, Serialize};

/// The counts made while expanding.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Tally {
    pub expanded: u64,
    pub generated: u64,
    pub terminal: u64,
    pub orbit_states: u64,
    /// By kind of action.
    pub enabled: Vec<u64>,
    pub fired: Vec<u64>,
    pub discovered: Vec<u64>,
    /// By antecedent.
    pub antecedents: Vec<u64>,
    /// By pair.
    pub pairs: Vec<u64>,
}

impl Tally {
    /// Nothing counted yet.
    pub fn new(kinds: usize, antecedents: usize, pairs: usize) -> Self {
        Tally {
            enabled: vec![0; kinds],
            fired: vec![0; kinds],
            discovered: vec![0; kinds],
            antecedents: vec![0; antecedents],
            pairs: vec![0; pairs],
            ..Tally::default()
        }
    }

    /// Counts `times` states or steps.
    pub fn cover(&mut self, cover: &Cover, times: u64) {
        for antecedent in &cover.antecedents {
            self.antecedents[usize::from(*antecedent)] += times;
        }
        for pair in &cover.pairs {
            self.pairs[usize::from(*pair)] += times;
        }
    }

    /// Adds what `other` counted.
    pub fn add(&mut self, other: &Tally) {
        self.expanded += other.expanded;
        self.generated += other.generated;
        self.terminal += other.terminal;
        self.orbit_states += other.orbit_states;
        add(&mut self.enabled, &other.enabled);
        add(&mut self.fired, &other.fired);
        add(&mut self.discovered, &other.discovered);
        add(&mut self.antecedents, &other.antecedents);
        add(&mut self.pairs, &other.pairs);
    }
}

/// The coverage of a state or a step: the antecedents that hold, and the pairs that meet.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Cover {
    /// The antecedents that hold, by position.
    pub antecedents: Vec<u16>,
    /// The pairs that meet, by position.
    pub pairs: Vec<u16>,
}

/// Adds number by number.
pub(super) fn add(to: &mut [u64], more: &[u64]) {
    to.iter_mut().zip(more).for_each(|(to, more)| *to += more);
}
