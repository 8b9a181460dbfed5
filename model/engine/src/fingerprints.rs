//! The set of fingerprints of all states found.
//!
//! 64 shards by the top bits, so that threads insert into different shards without locks. A shard is
//! a sorted array with gaps: open addressing with linear probing, where the home of a fingerprint
//! grows with the fingerprint and collided ones are kept in order. A look-up ends at the first slot
//! that is not smaller, empty slots being the largest value, and growing is one pass in order.
//!
//! The number of the shard says the top six bits again, so a slot has room for the depth of the state. It
//! tells which fingerprints are old: those can be [sealed](super::disk_fingerprints), which leaves little more than a
//! byte of each in memory. A fingerprint is in the table or sealed, never both.

#[cfg(test)]
mod tests;

use super::disk_fingerprints::{OWN_PAGES, Sealed, Sealing};
use super::error::SearchError;
use super::parallel::Threads;
use std::sync::{Mutex, PoisonError};
use xxhash_rust::xxh3::xxh3_64;

/// The number of shards. Part of no file format: a resumed search fills the table anew.
pub(super) const SHARDS: usize = 1 << SHARD_BITS;
pub(super) const SHARD_BITS: u32 = 6;
const EMPTY: u64 = u64::MAX;
const FIRST_CAPACITY: usize = 64;
/// Slots after the last home, for what is pushed beyond it.
const OVERFLOW: usize = 64;
/// The growth policy of a table.
struct Growth {
    /// By which part of itself it grows.
    step: usize,
    /// The eighths of it that may be filled. (The fuller it is, the farther is the next gap.)
    eighths: usize,
    /// The number of slots in a shard below which it doubles instead.
    small: usize,
}

/// If it may take what memory it needs.
const FREE: Growth = Growth {
    step: 4,
    eighths: 6,
    small: 1 << 14,
};
/// If it must not.
const TIGHT: Growth = Growth {
    step: 16,
    eighths: 7,
    small: 0,
};

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

/// The level of a state, as far as a slot tells it: the depth modulo 63, so that no slot in use is all ones.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Tag(u8);

impl Tag {
    const COUNT: u32 = (1 << SHARD_BITS) - 1;

    pub fn of(depth: u32) -> Self {
        Tag((depth % Tag::COUNT) as u8)
    }

    /// The tags of what is this many levels older, or more.
    fn before(self, levels: u32) -> impl Iterator<Item = usize> {
        let tags = (0..Tag::COUNT as u8).map(Tag);
        let old = tags.filter(move |tag| self.after(*tag) >= levels);
        old.map(|tag| usize::from(tag.0))
    }

    /// Returns the number of levels from `earlier` to this one, as far as tags tell: zero for one that is 63 levels
    /// older. (Then it is sealed later than it could be, which changes nothing else.)
    fn after(self, earlier: Tag) -> u32 {
        (u32::from(self.0) + Tag::COUNT - u32::from(earlier.0)) % Tag::COUNT
    }
}

/// The bits of a slot that hold the tag.
const LOW: u64 = (1 << SHARD_BITS) - 1;

/// All fingerprints.
pub(super) struct Fingerprints {
    /// The table: the shards one behind the other, `stride` slots each. Fingerprints without their top
    /// bits, and their tags. One allocation, which grows where it is: 64 would leave holes behind.
    /// Invariant: the occupied slots of a shard ascend, each at its home or, if that was taken, in the
    /// unbroken run behind it; the last slot of each is empty.
    slots: Vec<u64>,
    stride: usize,
    /// The number of homes in a shard; the slots beyond are overflow.
    capacity: usize,
    growth: Growth,
    counts: Vec<Count>,
    /// The fingerprints that are no longer in the table.
    sealed: Option<Sealed>,
    /// Why a look-up failed. Look-ups are made from many threads and have no other way to say so.
    fault: Mutex<Option<SearchError>>,
}

/// The fingerprints in a shard, counted.
#[derive(Clone)]
struct Count {
    /// The number of slots occupied.
    len: usize,
    /// The number of each tag.
    tagged: [u32; Tag::COUNT as usize],
    /// Slots for which there was no room behind their homes. (If fingerprints are spread evenly there
    /// practically never are any.)
    left_over: Vec<u64>,
}

impl Count {
    /// The number of those that [`Fingerprints::seal`] would move out of the table.
    fn older(&self, newest: Tag, levels: u32) -> usize {
        let old = newest.before(levels);
        old.map(|tag| self.tagged[tag] as usize).sum()
    }
}

impl Fingerprints {
    pub fn new() -> Self {
        let empty = Count {
            len: 0,
            tagged: [0; Tag::COUNT as usize],
            left_over: Vec::new(),
        };
        let mut table = Fingerprints {
            slots: Vec::with_capacity(OWN_PAGES / size_of::<u64>()),
            stride: 0,
            capacity: 0,
            growth: FREE,
            counts: vec![empty; SHARDS],
            sealed: None,
            fault: Mutex::default(),
        };
        table.spread(FIRST_CAPACITY);
        table
    }

    /// Whether it is in the table or sealed. Answers do not count until [`sound`](Self::sound) was asked.
    pub fn contains(&self, fingerprint: u64) -> bool {
        self.is_in_table(fingerprint)
            || match &self.sealed {
                None => false,
                Some(sealed) => is_sealed(sealed, fingerprint, &self.fault),
            }
    }

    fn is_in_table(&self, fingerprint: u64) -> bool {
        let number = shard_of(fingerprint);
        let slots = &self.slots[number * self.stride..(number + 1) * self.stride];
        let slot = fingerprint << SHARD_BITS;
        is_same(slots[first_from(slots, slot, self.capacity)], slot)
    }

    /// Checks that every look-up since the last call could be made.
    ///
    /// # Errors
    ///
    /// The first failure of one that could not.
    pub fn sound(&mut self) -> Result<(), SearchError> {
        let fault = self.fault.get_mut();
        let fault = fault.unwrap_or_else(PoisonError::into_inner);
        fault.take().map_or(Ok(()), Err)
    }

    /// As [`Shard::insert`], with room made for it.
    pub fn insert(&mut self, fingerprint: u64, tag: Tag) -> bool {
        let number = shard_of(fingerprint);
        let mut more = [0; SHARDS];
        more[number] = 1;
        self.reserve(&more, &Threads::alone());
        let mut shard = self.shards_mut().nth(number);
        let new = shard
            .as_mut()
            .is_some_and(|shard| shard.insert(fingerprint, tag));
        self.settle();
        new
    }

    /// The shards, to insert into. Room must have been [reserved](Self::reserve) before, and what came of
    /// it must be [settled](Self::settle) after.
    pub fn shards_mut(&mut self) -> impl Iterator<Item = Shard<'_>> {
        let capacity = self.capacity;
        let (sealed, fault) = (self.sealed.as_ref(), &self.fault);
        let shards = self.slots.chunks_exact_mut(self.stride);
        shards
            .zip(&mut self.counts)
            .map(move |(slots, count)| Shard {
                slots,
                capacity,
                count,
                sealed,
                fault,
            })
    }

    /// The number of fingerprints in the table.
    pub fn in_table(&self) -> u64 {
        self.counts.iter().map(|count| count.len as u64).sum()
    }

    /// The number of those that [`seal`](Self::seal) would move out of it.
    pub fn older(&self, newest: Tag, levels: u32) -> u64 {
        let counts = self.counts.iter();
        counts.map(|count| count.older(newest, levels) as u64).sum()
    }

    /// Bytes of memory, without what is on disk.
    pub fn bytes(&self) -> u64 {
        self.bytes_of(self.stride)
    }

    /// Bytes of memory once `more[i]` fingerprints have been added to shard i, if none is known.
    pub fn bytes_after(&self, more: &[usize; SHARDS]) -> u64 {
        self.bytes_of(self.capacity_for(more) + self.stride - self.capacity)
    }

    fn bytes_of(&self, stride: usize) -> u64 {
        let sealed = self.sealed.as_ref().map_or(0, Sealed::memory);
        (stride * SHARDS * size_of::<u64>()) as u64 + sealed
    }

    /// Bytes on disk.
    pub fn disk(&self) -> u64 {
        self.sealed.as_ref().map_or(0, Sealed::disk)
    }

    /// The capacity of a shard that holds `more` further ones.
    fn capacity_for(&self, more: &[usize; SHARDS]) -> usize {
        let lens = self.counts.iter().zip(more);
        let len = lens.map(|(count, more)| count.len + more).max();
        let mut capacity = self.capacity;
        let Growth {
            step,
            eighths,
            small,
        } = self.growth;
        while len.unwrap_or(0) > capacity / 8 * eighths {
            capacity += if capacity < small {
                capacity
            } else {
                capacity / step
            };
        }
        capacity
    }

    /// Makes room for `more[i]` further ones in shard i.
    pub fn reserve(&mut self, more: &[usize; SHARDS], threads: &Threads) {
        let capacity = self.capacity_for(more);
        if capacity == self.capacity {
            return;
        }
        let old = self.stride;
        // No slot comes to be farther behind its home than it was, so the overflow is enough.
        let gap = capacity - self.capacity;
        self.lay_out(capacity, old + gap);
        // To the end of its place with every shard, the last one first: what comes before stays whole.
        for number in (0..SHARDS).rev() {
            let from = number * old..(number + 1) * old;
            self.slots.copy_within(from, number * self.stride + gap);
        }
        // Homes move by at most the gap, so none is overwritten before it is moved.
        let shards = self.slots.chunks_exact_mut(self.stride);
        threads.for_each(
            SHARDS,
            shards,
            || (),
            |(), shard| spread_shard(shard, gap, capacity),
        );
    }

    /// Finds places for what was left over.
    pub fn settle(&mut self) {
        if self.counts.iter().all(|count| count.left_over.is_empty()) {
            return;
        }
        let mut slots = Vec::new();
        for (shard, count) in self.slots.chunks_exact(self.stride).zip(&mut self.counts) {
            let first = slots.len();
            slots.extend(shard.iter().filter(|slot| **slot != EMPTY));
            slots.append(&mut count.left_over);
            slots[first..].sort_unstable();
            count.len = slots.len() - first;
        }
        self.slots = slots;
        self.spread(self.capacity);
    }

    /// Moves what is older than `newest` by `levels` or more levels out of the table, which then has room for
    /// `more` further ones, and for as many as fit into `bytes` bytes with what stays in memory of those
    /// that are sealed. From now on it grows by small steps.
    ///
    /// # Errors
    ///
    /// What is sealed already cannot be read or is not what was written, or a file cannot be written.
    /// Then the fingerprints must not be used any more.
    pub fn seal(
        &mut self,
        newest: Tag,
        levels: u32,
        more: &[usize; SHARDS],
        bytes: u64,
        to: &Sealing,
    ) -> Result<(), SearchError> {
        let count = self.older(newest, levels) as usize;
        // Of an empty slot, the low bits are none of the 63 tags.
        let old_tags = newest
            .before(levels)
            .fold(0, |tags, tag| tags | 1u64 << tag);
        let is_old = |slot: u64| old_tags >> (slot & LOW) & 1 == 1;
        if count > 0 {
            let shards = (0u64..).zip(self.slots.chunks_exact(self.stride));
            let old = shards.flat_map(|(number, shard)| {
                let old = shard.iter().filter(|slot| is_old(**slot));
                old.map(move |slot| number << (64 - SHARD_BITS) | slot >> SHARD_BITS)
            });
            self.sealed = Some(Sealed::merge(self.sealed.take(), old, count, to)?);
        }
        self.slots.retain(|slot| *slot != EMPTY && !is_old(*slot));
        for count in &mut self.counts {
            count.len -= count.older(newest, levels);
            newest.before(levels).for_each(|tag| count.tagged[tag] = 0);
        }
        self.growth = TIGHT;
        let lens = self.counts.iter().zip(more);
        let len = lens.map(|(count, more)| count.len + more).max();
        let least = len.unwrap_or(0).div_ceil(7) * 8;
        let slots = bytes.saturating_sub(self.bytes_of(0)) as usize / size_of::<u64>();
        let most = (slots / SHARDS).saturating_sub(OVERFLOW);
        self.spread(most.max(least).max(FIRST_CAPACITY));
        Ok(())
    }

    /// Reads everything that is sealed once more.
    ///
    /// # Errors
    ///
    /// It cannot be read, or is not what was written: then look-ups may have been answered wrongly.
    pub fn verify(&mut self) -> Result<(), SearchError> {
        self.sealed.as_mut().map_or(Ok(()), Sealed::verify)
    }

    /// Spreads the slots, which must have no gaps, over shards of this capacity, without a second table
    /// beside it.
    fn spread(&mut self, capacity: usize) {
        let mut rest = self.slots.as_slice();
        let mut stride = capacity + OVERFLOW;
        for count in &self.counts {
            let (shard, others) = rest.split_at(count.len);
            let end = shard
                .iter()
                .fold(0, |next, slot| home(*slot, capacity).max(next) + 1);
            stride = stride.max(end + 1);
            rest = others;
        }
        let mut end = self.slots.len();
        self.lay_out(capacity, stride);
        // The last shard goes to its place first: it is not before where it was, and behind all others.
        for (number, count) in self.counts.iter().enumerate().rev() {
            let from = end - count.len..end;
            end = from.start;
            let place = number * stride..(number + 1) * stride;
            // There are as many slots behind a home as there are fingerprints still to come, so none is
            // overwritten before it is moved.
            let gap = stride - count.len;
            self.slots.copy_within(from, place.start + gap);
            spread_shard(&mut self.slots[place], gap, capacity);
        }
    }

    /// Makes the table as long as shards of this capacity and stride are, with the slots left where they are.
    fn lay_out(&mut self, capacity: usize, stride: usize) {
        let (slots, all) = (&mut self.slots, stride * SHARDS);
        if all > slots.capacity() {
            slots.reserve_exact(all - slots.len());
        }
        slots.resize(all, EMPTY);
        slots.shrink_to(OWN_PAGES / size_of::<u64>());
        self.capacity = capacity;
        self.stride = stride;
    }
}

/// Moves the slots of a shard, which are behind a gap of `gap` slots and ascend, to their homes.
fn spread_shard(shard: &mut [u64], gap: usize, capacity: usize) {
    let mut next = 0;
    for from in gap..shard.len() {
        let slot = shard[from];
        if slot == EMPTY {
            continue;
        }
        let to = home(slot, capacity).max(next);
        // A slot or none, mostly: not worth a call.
        while next < to {
            shard[next] = EMPTY;
            next += 1;
        }
        shard[to] = slot;
        next = to + 1;
    }
    shard[next..].fill(EMPTY);
}

/// The home of what has this slot, or would have, in a shard.
fn home(slot: u64, capacity: usize) -> usize {
    ((u128::from(slot & !LOW) * capacity as u128) >> 64) as usize
}

/// Loads `slots`. They do not depend on each other and there is no branch between them, so the processor
/// waits for many at the same time.
fn touch(slots: impl Iterator<Item = u64>) {
    std::hint::black_box(slots.fold(0, std::ops::BitXor::bitxor));
}

/// The part of the table with the same top bits.
pub(super) struct Shard<'t> {
    slots: &'t mut [u64],
    capacity: usize,
    count: &'t mut Count,
    sealed: Option<&'t Sealed>,
    fault: &'t Mutex<Option<SearchError>>,
}

impl Shard<'_> {
    /// Brings the places of these into the caches of the processor.
    pub fn warm(&self, fingerprints: impl Iterator<Item = u64> + Clone) {
        let homes = fingerprints.clone();
        touch(homes.map(|it| self.slots[home(it << SHARD_BITS, self.capacity)]));
        if let Some(sealed) = self.sealed {
            let missed = fingerprints.filter(|it| {
                let slot = it << SHARD_BITS;
                !is_same(
                    self.slots[first_from(self.slots, slot, self.capacity)],
                    slot,
                )
            });
            // First which, then all of them at once.
            let missed: Vec<u64> = missed.collect();
            touch(missed.into_iter().map(|it| sealed.near(it)));
        }
    }

    /// Adds `fingerprint`; false if it was in the table or is sealed. Answers do not count until
    /// [`sound`](Fingerprints::sound) was asked.
    pub fn insert(&mut self, fingerprint: u64, tag: Tag) -> bool {
        let slot = fingerprint << SHARD_BITS;
        let at = first_from(self.slots, slot, self.capacity);
        if is_same(self.slots[at], slot) {
            return false;
        }
        if let Some(sealed) = self.sealed
            && is_sealed(sealed, fingerprint, self.fault)
        {
            return false;
        }
        let left_over = &mut self.count.left_over;
        if !left_over.is_empty() && left_over.iter().any(|it| is_same(*it, slot)) {
            return false;
        }
        // What is behind it moves on by one, up to the next gap.
        let last = self.slots.len() - 1;
        let mut moving = slot | u64::from(tag.0);
        for place in &mut self.slots[at..last] {
            moving = std::mem::replace(place, moving);
            if moving == EMPTY {
                break;
            }
        }
        if moving == EMPTY {
            self.count.len += 1;
        } else {
            // The last stays empty.
            left_over.push(moving);
        }
        self.count.tagged[usize::from(tag.0)] += 1;
        true
    }
}

/// The number of the first slot of a shard that is not less than `slot`: there it is, or is to go.
#[inline]
fn first_from(slots: &[u64], slot: u64, capacity: usize) -> usize {
    let mut at = home(slot, capacity);
    while slots[at] < slot {
        at += 1;
    }
    at
}

/// Whether it is sealed. False, and noted in `fault`, if that cannot be found out.
fn is_sealed(sealed: &Sealed, fingerprint: u64, fault: &Mutex<Option<SearchError>>) -> bool {
    sealed.contains(fingerprint).unwrap_or_else(|error| {
        let mut fault = fault.lock().unwrap_or_else(PoisonError::into_inner);
        fault.get_or_insert(error);
        false
    })
}

/// Whether a slot holds the fingerprint of `slot`, which has no tag. (An empty one differs from every one by
/// 63 or more.)
fn is_same(held: u64, slot: u64) -> bool {
    held ^ slot < LOW
}
