//! What was found out of servers and history together: a table that may forget.

/// The number of sets at first, and at most: both powers of two.
const FIRST_SETS: usize = 1 << 10;
const MOST_SETS: usize = 1 << 15;
/// The places of a set, together a line of the processor's caches.
const WAYS: usize = 4;
/// No class.
const NO_CLASS: u16 = u16::MAX;

/// What it has is certain, and it may have forgotten anything.
#[derive(Default)]
pub(super) struct Seen {
    sets: Vec<[Place; WAYS]>,
    taken: usize,
}

/// What is known of servers and history with these 95 bits of the hash.
#[derive(Clone, Copy)]
struct Place {
    /// The lowest bit is set if every property that depends on nothing else holds. No place that is
    /// taken has zero here.
    high: u64,
    low: u32,
    /// The classes of states with and without messages in flight.
    classes: [u16; 2],
}

const FREE: Place = Place {
    high: 0,
    low: 0,
    classes: [NO_CLASS; 2],
};

impl Place {
    fn of(footprint: u128) -> Place {
        Place {
            // The second bit makes up for a hash that is zero here.
            high: (footprint >> 64) as u64 & !1 | 2,
            low: footprint as u32,
            ..FREE
        }
    }

    fn is_free(&self) -> bool {
        self.high == 0
    }

    /// Whether this is the place of the footprint that `other` was made of.
    #[inline]
    fn is(&self, other: &Place) -> bool {
        self.high & !1 == other.high && self.low == other.low
    }
}

impl Seen {
    #[inline]
    fn find(&self, footprint: u128) -> Option<&Place> {
        let sought = Place::of(footprint);
        let set = self
            .sets
            .get(sought.low as usize & self.sets.len().wrapping_sub(1))?;
        set.iter().find(|place| place.is(&sought))
    }

    /// Whether every property that depends on servers and history alone is known to hold.
    #[inline]
    pub fn is_good(&self, footprint: u128) -> bool {
        self.find(footprint)
            .is_some_and(|place| place.high & 1 == 1)
    }

    /// The class of states with or without messages, if it is remembered.
    #[inline]
    pub fn class(&self, footprint: u128, messages: bool) -> Option<u32> {
        let class = self.find(footprint)?.classes[usize::from(messages)];
        (class != NO_CLASS).then_some(u32::from(class))
    }

    /// Brings the place of this footprint into the caches of the processor; something to depend on.
    #[inline]
    pub fn touch(&self, footprint: u128) -> u64 {
        let set = footprint as usize & self.sets.len().wrapping_sub(1);
        self.sets.get(set).map_or(0, |places| places[0].high)
    }

    pub fn note_good(&mut self, footprint: u128) {
        self.entry(footprint).high |= 1;
    }

    pub fn note_class(&mut self, footprint: u128, messages: bool, class: u32) {
        // Of classes there are a few dozen. One with a higher number is not remembered.
        let class = u16::try_from(class).unwrap_or(NO_CLASS);
        self.entry(footprint).classes[usize::from(messages)] = class;
    }

    /// The place of this footprint, taken from another one if need be.
    fn entry(&mut self, footprint: u128) -> &mut Place {
        if self.taken >= self.sets.len() * WAYS / 2 && self.sets.len() < MOST_SETS {
            self.grow();
        }
        let sought = Place::of(footprint);
        let (set, way) = self.place_for(&sought);
        let place = &mut self.sets[set][way];
        if !place.is(&sought) {
            self.taken += usize::from(place.is_free());
            *place = sought;
        }
        place
    }

    /// Where `sought` is or may go.
    fn place_for(&self, sought: &Place) -> (usize, usize) {
        let set = sought.low as usize & (self.sets.len() - 1);
        let places = &self.sets[set];
        let at = |found: fn(&Place, &Place) -> bool| {
            let mut places = places.iter();
            places.position(|place| found(place, sought))
        };
        let way = at(Place::is).or_else(|| at(|place, _| place.is_free()));
        // A full set gives up the place that these bits name: they tell nothing of the set.
        (set, way.unwrap_or((sought.high >> 62) as usize))
    }

    fn grow(&mut self) {
        let more = (2 * self.sets.len()).max(FIRST_SETS);
        let old = std::mem::replace(&mut self.sets, vec![[FREE; WAYS]; more]);
        for place in old.into_iter().flatten().filter(|place| !place.is_free()) {
            // Two sets come of one: there is room.
            let (set, way) = self.place_for(&Place {
                high: place.high & !1,
                ..place
            });
            self.sets[set][way] = place;
        }
    }

    /// Bytes of memory.
    pub fn memory(&self) -> u64 {
        (self.sets.capacity() * size_of::<[Place; WAYS]>()) as u64
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::HashMap;

    proptest! {
        /// What it says was noted of just that footprint, and while there is room it has all.
        #[test]
        fn it_says_nothing_but_what_was_noted(
            notes in prop::collection::vec((0u128..50, 0u128..50, prop::option::of((any::<bool>(), 0u32..70_000))), 1..400)
        ) {
            let mut seen = Seen::default();
            let mut noted: HashMap<u128, (bool, [Option<u32>; 2])> = HashMap::new();
            for (high, low, what) in notes {
                // Many of one set: what tells them apart is above the bits that name it.
                let footprint = (high / 8) << 66 | (low / 4) << 20 | (low % 4);
                match what {
                    None => {
                        seen.note_good(footprint);
                        noted.entry(footprint).or_default().0 = true;
                    }
                    Some((messages, class)) => {
                        seen.note_class(footprint, messages, class);
                        let known = (class < u32::from(NO_CLASS)).then_some(class);
                        noted.entry(footprint).or_default().1[usize::from(messages)] = known;
                    }
                }
                let (good, classes) = noted[&footprint];
                prop_assert!(!seen.is_good(footprint) || good);
                for messages in [false, true] {
                    let class = seen.class(footprint, messages);
                    prop_assert!(class.is_none() || class == classes[usize::from(messages)]);
                }
            }
            for (footprint, (good, classes)) in noted {
                prop_assert!(!seen.is_good(footprint) || good);
                for messages in [false, true] {
                    let class = seen.class(footprint, messages);
                    prop_assert!(class.is_none() || class == classes[usize::from(messages)]);
                }
            }
        }
    }

    #[test]
    fn it_remembers_most_of_what_fits() {
        let mut seen = Seen::default();
        let hash = |number: u32| xxhash_rust::xxh3::xxh3_128(&number.to_le_bytes());
        let count = (MOST_SETS * WAYS / 2) as u32;
        (0..count).for_each(|number| seen.note_good(hash(number)));
        let kept = (0..count).filter(|number| seen.is_good(hash(*number)));
        let kept = kept.count() as u32;
        assert!(kept > count / 10 * 9, "{kept} of {count}");
        assert!((count..2 * count).all(|number| !seen.is_good(hash(number))));
    }
}
