//! The set of fingerprints of all states found.
//!
//! 64 shards by the top bits, so that threads insert into different shards without locks. A shard is
//! a sorted array with gaps: open addressing with linear probing, where the home of a fingerprint
//! grows with the fingerprint and collided ones are kept in order. A look-up ends at the first slot
//! that is not smaller, empty slots being the largest value, and growing is one pass in order.

use xxhash_rust::xxh3::xxh3_64;

/// The number of shards. Part of no file format: a resumed search fills the table anew.
pub(super) const SHARDS: usize = 1 << SHARD_BITS;
const SHARD_BITS: u32 = 6;
const EMPTY: u64 = u64::MAX;
const FIRST_CAPACITY: usize = 64;
/// Slots after the last home, for what is pushed beyond it.
const OVERFLOW: usize = 64;

/// The fingerprint of an encoded state.
pub(super) fn fingerprint(bytes: &[u8]) -> u64 {
    // The largest value marks an empty slot.
    xxh3_64(bytes).min(EMPTY - 1)
}

/// The shard that holds `fingerprint`.
pub(super) fn shard_of(fingerprint: u64) -> usize {
    (fingerprint >> (64 - SHARD_BITS)) as usize
}

/// n²/2⁶⁵, at most 1: an upper estimate of the probability that two of n states collide.
pub(super) fn collision_probability(distinct: u64) -> f64 {
    (distinct as f64 * distinct as f64 / 2f64.powi(65)).min(1.0)
}

/// All fingerprints.
pub(super) struct Fingerprints {
    shards: Vec<Shard>,
}

impl Fingerprints {
    pub fn new() -> Self {
        Fingerprints {
            shards: (0..SHARDS).map(|_| Shard::new()).collect(),
        }
    }

    pub fn contains(&self, fingerprint: u64) -> bool {
        self.shards[shard_of(fingerprint)].contains(fingerprint)
    }

    /// Brings the places of these into the caches of the processor.
    pub fn warm(&self, fingerprints: impl Iterator<Item = u64>) {
        touch(
            fingerprints.map(|fingerprint| self.shards[shard_of(fingerprint)].at_home(fingerprint)),
        );
    }

    pub fn insert(&mut self, fingerprint: u64) -> bool {
        self.shards[shard_of(fingerprint)].insert(fingerprint)
    }

    pub fn shards_mut(&mut self) -> impl Iterator<Item = &mut Shard> {
        self.shards.iter_mut()
    }

    /// Bytes of memory.
    pub fn bytes(&self) -> u64 {
        self.shards.iter().map(Shard::bytes).sum()
    }

    /// Bytes of memory once `more[i]` fingerprints have been added to shard i, if none is known.
    pub fn bytes_after(&self, more: &[usize; SHARDS]) -> u64 {
        self.shards
            .iter()
            .zip(more)
            .map(|(shard, more)| shard.bytes_after(*more))
            .sum()
    }
}

/// Loads `slots`. They do not depend on each other and there is no branch between them, so the processor
/// waits for many at the same time.
fn touch(slots: impl Iterator<Item = u64>) {
    std::hint::black_box(slots.fold(0, std::ops::BitXor::bitxor));
}

/// The fingerprints with the same top bits.
pub(super) struct Shard {
    /// Invariant: the occupied slots ascend, each at its home or, if that was taken, in the unbroken
    /// run behind it; the last slot is empty.
    slots: Vec<u64>,
    /// The number of homes; the slots beyond are overflow.
    capacity: usize,
    len: usize,
}

impl Shard {
    fn new() -> Self {
        Shard::with_capacity(FIRST_CAPACITY)
    }

    fn with_capacity(capacity: usize) -> Self {
        Shard {
            slots: vec![EMPTY; capacity + OVERFLOW],
            capacity,
            len: 0,
        }
    }

    fn bytes(&self) -> u64 {
        (self.slots.len() * size_of::<u64>()) as u64
    }

    fn bytes_after(&self, more: usize) -> u64 {
        ((self.capacity_for(more) + OVERFLOW) * size_of::<u64>()) as u64
    }

    /// The capacity that holds `more` further ones: grown by quarters, filled to seven eighths.
    fn capacity_for(&self, more: usize) -> usize {
        let mut capacity = self.capacity;
        while self.len + more > capacity / 8 * 7 {
            capacity += capacity / 4;
        }
        capacity
    }

    fn home(&self, fingerprint: u64) -> usize {
        ((u128::from(fingerprint << SHARD_BITS) * self.capacity as u128) >> 64) as usize
    }

    fn at_home(&self, fingerprint: u64) -> u64 {
        self.slots[self.home(fingerprint)]
    }

    /// Brings the places of these into the caches of the processor.
    pub fn warm(&self, fingerprints: impl Iterator<Item = u64>) {
        touch(fingerprints.map(|fingerprint| self.at_home(fingerprint)));
    }

    fn contains(&self, fingerprint: u64) -> bool {
        self.slots[self.home(fingerprint)..]
            .iter()
            .find(|slot| **slot >= fingerprint)
            == Some(&fingerprint)
    }

    /// Makes room for `more` further ones.
    pub fn reserve(&mut self, more: usize) {
        let capacity = self.capacity_for(more);
        if capacity > self.capacity {
            self.grow(capacity);
        }
    }

    /// Adds `fingerprint`; false if it was there.
    pub fn insert(&mut self, fingerprint: u64) -> bool {
        if self.len >= self.capacity / 8 * 7 {
            self.reserve(1);
        }
        let mut at = self.home(fingerprint);
        while self.slots[at] < fingerprint {
            at += 1;
        }
        if self.slots[at] == fingerprint {
            return false;
        }
        let mut free = at;
        while self.slots[free] != EMPTY {
            free += 1;
        }
        self.keep_last_empty(free);
        self.slots.copy_within(at..free, at + 1);
        self.slots[at] = fingerprint;
        self.len += 1;
        true
    }

    /// Adds overflow if slot number `taken` is the last. (With fingerprints that are spread evenly it
    /// practically never is.)
    fn keep_last_empty(&mut self, taken: usize) {
        if taken + 1 == self.slots.len() {
            self.slots.reserve_exact(OVERFLOW);
            self.slots.resize(taken + 1 + OVERFLOW, EMPTY);
        }
    }

    /// Grows where it is, without a second shard beside it.
    fn grow(&mut self, capacity: usize) {
        self.capacity = capacity;
        self.slots.retain(|slot| *slot != EMPTY);
        let len = self.slots.len();
        let place = |next: usize, fingerprint: u64| self.home(fingerprint).max(next);
        let end = self
            .slots
            .iter()
            .fold(0, |next, slot| place(next, *slot) + 1);
        let slots = (capacity + OVERFLOW).max(end + 1);
        let mut table = std::mem::take(&mut self.slots);
        table.reserve_exact(slots - len);
        table.resize(slots, EMPTY);
        // From the end of the table to their places, in order. There are as many slots behind a place as
        // there are fingerprints still to come, so none is overwritten before it is moved.
        table.copy_within(..len, slots - len);
        let mut next = 0;
        for from in slots - len..slots {
            let fingerprint = table[from];
            let place = self.home(fingerprint).max(next);
            table[next..place].fill(EMPTY);
            table[place] = fingerprint;
            next = place + 1;
        }
        table[next..].fill(EMPTY);
        self.slots = table;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeSet;

    proptest! {
        /// Skewed inputs too: many neighbours, many at the upper end.
        #[test]
        fn it_is_a_set(
            inputs in prop::collection::vec(
                prop_oneof![any::<u64>(), 0u64..300, (EMPTY - 300)..EMPTY], 0..2000)
        ) {
            let mut reference = BTreeSet::new();
            let mut table = Fingerprints::new();
            for input in inputs {
                prop_assert_eq!(table.contains(input), reference.contains(&input));
                prop_assert_eq!(table.insert(input), reference.insert(input));
                prop_assert!(table.contains(input));
            }
            let held: usize = table.shards.iter().map(|shard| shard.len).sum();
            prop_assert_eq!(held, reference.len());
        }
    }

    #[test]
    fn growth_is_foreseen() {
        let mut table = Fingerprints::new();
        for round in 0..50u64 {
            let new: Vec<u64> = (0..1000)
                .map(|n| fingerprint(&(round * 1000 + n).to_le_bytes()))
                .collect();
            let mut more = [0; SHARDS];
            new.iter()
                .for_each(|fingerprint| more[shard_of(*fingerprint)] += 1);
            let foreseen = table.bytes_after(&more);
            for (shard, more) in table.shards_mut().zip(more) {
                shard.reserve(more);
            }
            assert_eq!(table.bytes(), foreseen);
            assert!(new.into_iter().all(|fingerprint| table.insert(fingerprint)));
            assert_eq!(table.bytes(), foreseen);
        }
    }

    #[test]
    fn the_collision_estimate() {
        assert_eq!(collision_probability(0), 0.0);
        assert_eq!(collision_probability(1 << 32), 0.5);
        assert_eq!(collision_probability(1 << 40), 1.0);
    }
}
