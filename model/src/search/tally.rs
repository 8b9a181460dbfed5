//! Counts that add up, block by block.

use rustc_hash::FxHashMap;
use serde::{Deserialize, Serialize};

/// What was counted while expanding.
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
        if let Some(pair) = cover.pair {
            self.pairs[pair as usize] += times;
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

/// What coverage counts of a state or a step: the antecedents that hold, and the pair that meets.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(super) struct Cover {
    pub antecedents: Vec<u16>,
    pub pair: Option<u32>,
}

/// Numbers for covers, and how often each was met.
#[derive(Default)]
pub(super) struct Classes {
    numbers: FxHashMap<Cover, u32>,
    covers: Vec<Cover>,
    met: Vec<u64>,
}

impl Classes {
    /// The number of `cover`.
    pub fn number(&mut self, cover: Cover) -> u32 {
        if let Some(number) = self.numbers.get(&cover) {
            return *number;
        }
        let number = self.covers.len() as u32;
        self.numbers.insert(cover.clone(), number);
        self.covers.push(cover);
        self.met.push(0);
        number
    }

    /// Class number `number` was met.
    #[inline]
    pub fn meet(&mut self, number: u32) {
        self.met[number as usize] += 1;
    }

    /// Adds how often each was met since the last time.
    pub fn count(&mut self, tally: &mut Tally) {
        for (cover, met) in self.covers.iter().zip(&mut self.met) {
            tally.cover(cover, std::mem::take(met));
        }
    }
}

/// Adds number by number.
pub(super) fn add(to: &mut [u64], more: &[u64]) {
    to.iter_mut().zip(more).for_each(|(to, more)| *to += more);
}
