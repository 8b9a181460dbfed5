//! A cache of verdicts on servers and history together: a table that all threads share, and that may forget.
//!
//! It takes no locks, and none is needed. A place is two words, and another thread may be about to write
//! either of them, so a reader can meet a word of one note beside a word of another. But the first word is
//! kept mixed with the second (`key ^ data`): what is torn has a key that nothing has, and passes for
//! forgotten. Every word by itself is atomic, and nothing that a note says leads to other memory, so no
//! order between words matters: relaxed loads and stores do, which are plain ones on most processors. Two
//! threads that note something in the same place at the same time may lose what one of them noted.

use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// The number of sets at first, and at most: both powers of two.
const FIRST_SETS: usize = 1 << 10;
const MOST_SETS: usize = 1 << 15;
/// The places of a set, together a line of the processor's caches.
const WAYS: usize = 4;
/// In the second word of a place: every property that depends on nothing else holds. Above are bits of the
/// hash, below the classes of states without and with messages in flight, each one more than it is,
/// or zero.
const ALL_HOLD: u64 = 1 << 32;

/// The view that one thread has of the table. What it says is certain, and it may have forgotten anything.
pub(super) struct VerdictCache {
    shared: Arc<Shared>,
    sets: Arc<[Set]>,
}

struct Shared {
    /// The table that is used from the next block on.
    sets: Mutex<Arc<[Set]>>,
    /// The number of places taken, as far as this was noticed.
    taken: AtomicUsize,
}

#[derive(Default)]
#[repr(align(64))]
struct Set([Place; WAYS]);

/// The verdict on servers and history with 95 bits of their hash: the key, mixed with the data, and the data. Both are
/// zero in an empty place, which says nothing of the hash that is zero.
#[derive(Default)]
struct Place<W = AtomicU64>([W; 2]);

/// A word that threads read and write without an order. (Loom has its own.)
trait Word {
    fn read(&self) -> u64;
    fn write(&self, value: u64);
}

impl Word for AtomicU64 {
    #[inline]
    fn read(&self) -> u64 {
        self.load(Relaxed)
    }

    #[inline]
    fn write(&self, value: u64) {
        self.store(value, Relaxed);
    }
}

/// The bits of a hash by which it is known.
#[derive(Clone, Copy)]
struct Name {
    key: u64,
    /// The bits of the hash in the data of its place: those above the lowest 33, the others zero.
    low: u64,
}

impl Name {
    #[inline]
    fn of(hash: u128) -> Name {
        Name {
            key: (hash >> 64) as u64,
            low: (hash as u64) << 33,
        }
    }
}

impl<W: Word> Place<W> {
    /// The data, if this is the place of `name`.
    #[inline]
    fn of(&self, name: Name) -> Option<u64> {
        let (mixed, data) = self.load();
        (mixed ^ data == name.key && data >> 33 << 33 == name.low).then_some(data)
    }

    #[inline]
    fn load(&self) -> (u64, u64) {
        (self.0[0].read(), self.0[1].read())
    }

    fn store(&self, name: Name, data: u64) {
        self.0[0].write(name.key ^ data);
        self.0[1].write(data);
    }

    fn is_free(&self) -> bool {
        self.load() == (0, 0)
    }
}

fn new_sets(count: usize) -> Arc<[Set]> {
    (0..count).map(|_| Set::default()).collect()
}

/// The set of a hash, of which the low bits suffice.
#[inline]
fn set_for(sets: &[Set], hash: u128) -> &Set {
    &sets[hash as usize & (sets.len() - 1)]
}

/// The place of `name` in `sets`, or the one that it may take.
fn place_for(sets: &[Set], name: Name) -> &Place {
    let Set(places) = set_for(sets, u128::from(name.low >> 33));
    let is = |place: &&Place| place.of(name).is_some();
    let free = |place: &&Place| place.is_free();
    let found = places.iter().find(is);
    let found = found.or_else(|| places.iter().find(free));
    // A full set gives up the place that these bits name: they tell nothing of the set.
    found.unwrap_or(&places[(name.key >> 62) as usize])
}

/// Returns the first bit, in the data, of the class of states with or without messages.
fn shift_of(messages: bool) -> u32 {
    16 * u32::from(messages)
}

impl VerdictCache {
    pub fn new() -> Self {
        let sets = new_sets(FIRST_SETS);
        VerdictCache {
            shared: Arc::new(Shared {
                sets: Mutex::new(sets.clone()),
                taken: AtomicUsize::new(0),
            }),
            sets,
        }
    }

    /// The same table for another thread.
    pub fn fork(&self) -> Self {
        let shared = self.shared.clone();
        let sets = shared.current().clone();
        VerdictCache { shared, sets }
    }

    /// Begins an empty table for all threads.
    pub fn forget(&self) {
        *self.shared.current() = new_sets(FIRST_SETS);
        self.shared.taken.store(0, Relaxed);
    }

    /// Uses the table that the others use, which grows if it is half full. What was noted since in the one
    /// that this thread used, and what others note in that one while it is copied, may be forgotten.
    pub fn catch_up(&mut self) {
        let mut current = self.shared.current();
        let taken = self.shared.taken.load(Relaxed);
        if taken >= current.len() * WAYS / 2 && current.len() < MOST_SETS {
            let more = new_sets(2 * current.len());
            let mut taken = 0;
            for place in current.iter().flat_map(|Set(places)| places) {
                let (mixed, data) = place.load();
                if (mixed, data) == (0, 0) {
                    continue;
                }
                // Two sets come of one: there is room. What is torn stays torn.
                let name = Name {
                    key: mixed ^ data,
                    low: data >> 33 << 33,
                };
                place_for(&more, name).store(name, data);
                taken += 1;
            }
            self.shared.taken.store(taken, Relaxed);
            *current = more;
        }
        if !Arc::ptr_eq(&self.sets, &current) {
            self.sets = current.clone();
        }
    }

    #[inline]
    fn find(&self, hash: u128) -> Option<u64> {
        let name = Name::of(hash);
        let Set(places) = set_for(&self.sets, hash);
        places.iter().find_map(|place| place.of(name))
    }

    /// Whether every property that depends on servers and history alone is known to hold.
    #[inline]
    pub fn all_hold(&self, hash: u128) -> bool {
        self.find(hash).is_some_and(|data| data & ALL_HOLD != 0)
    }

    /// The class of states with or without messages, if it is remembered.
    #[inline]
    pub fn class(&self, hash: u128, messages: bool) -> Option<u32> {
        let data = self.find(hash)?;
        u32::from((data >> shift_of(messages)) as u16).checked_sub(1)
    }

    /// Brings the places of these hashes into the caches of the processor.
    pub fn touch(&self, hashes: impl Iterator<Item = u128>) {
        let sets = hashes.map(|hash| set_for(&self.sets, hash));
        let places = sets.map(|Set(places)| places[0].load().0);
        std::hint::black_box(places.fold(0, std::ops::BitXor::bitxor));
    }

    pub fn note_all_hold(&self, hash: u128) {
        self.note(hash, 0, ALL_HOLD);
    }

    pub fn note_class(&self, hash: u128, messages: bool, class: u32) {
        // Of classes there are a few dozen. One with a higher number is not remembered.
        let class = u16::try_from(class).ok();
        let class = class
            .and_then(|class| class.checked_add(1))
            .unwrap_or_default();
        let shift = shift_of(messages);
        self.note(
            hash,
            u64::from(u16::MAX) << shift,
            u64::from(class) << shift,
        );
    }

    /// Replaces `old` bits of what is known of this hash by `new` ones.
    fn note(&self, hash: u128, old: u64, new: u64) {
        let name = Name::of(hash);
        let place = place_for(&self.sets, name);
        let known = place.of(name).unwrap_or_else(|| {
            if place.is_free() {
                self.shared.taken.fetch_add(1, Relaxed);
            }
            name.low
        });
        place.store(name, known & !old | new);
    }

    /// Bytes of memory that all threads share.
    pub fn shared_memory(&self) -> u64 {
        size_of_val::<[Set]>(&self.shared.current()) as u64
    }
}

impl Shared {
    fn current(&self) -> MutexGuard<'_, Arc<[Set]>> {
        // Nothing is left half done when a thread panics.
        self.sets.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::HashMap;

    proptest! {
        /// The cache returns a note only for the hash that it was made for, and while there is room it has all.
        #[test]
        fn it_says_nothing_but_what_was_noted(
            notes in prop::collection::vec((0u128..50, 0u128..50, prop::option::of((any::<bool>(), 0u32..70_000))), 1..400)
        ) {
            let cache = VerdictCache::new();
            let mut noted: HashMap<u128, (bool, [Option<u32>; 2])> = HashMap::new();
            for (high, low, what) in notes {
                // Many of one set: what tells them apart is above the bits that name it.
                let hash = (high / 8) << 66 | (low / 4) << 20 | (low % 4);
                match what {
                    None => {
                        cache.note_all_hold(hash);
                        noted.entry(hash).or_default().0 = true;
                    }
                    Some((messages, class)) => {
                        cache.note_class(hash, messages, class);
                        let known = (class < u32::from(u16::MAX)).then_some(class);
                        noted.entry(hash).or_default().1[usize::from(messages)] = known;
                    }
                }
                let (good, classes) = noted[&hash];
                prop_assert!(!cache.all_hold(hash) || good);
                for messages in [false, true] {
                    let class = cache.class(hash, messages);
                    prop_assert!(class.is_none() || class == classes[usize::from(messages)]);
                }
            }
            for (hash, (good, classes)) in noted {
                prop_assert!(!cache.all_hold(hash) || good);
                for messages in [false, true] {
                    let class = cache.class(hash, messages);
                    prop_assert!(class.is_none() || class == classes[usize::from(messages)]);
                }
            }
        }
    }

    #[test]
    fn it_remembers_most_of_what_fits() {
        let mut cache = VerdictCache::new();
        let hash_of = |number: u32| xxhash_rust::xxh3::xxh3_128(&number.to_le_bytes());
        let count = (MOST_SETS * WAYS / 2) as u32;
        for number in 0..count {
            cache.note_all_hold(hash_of(number));
            cache.catch_up();
        }
        let kept = (0..count).filter(|number| cache.all_hold(hash_of(*number)));
        let kept = kept.count() as u32;
        assert!(kept > count / 10 * 9, "{kept} of {count}");
        assert!((count..2 * count).all(|number| !cache.all_hold(hash_of(number))));
    }

    /// Three hashes with the same low half.
    fn neighbours() -> [u128; 3] {
        [1, 2, 3].map(|high| high << 64 | 7)
    }

    #[test]
    fn what_one_thread_notes_the_other_finds() {
        let mut one = VerdictCache::new();
        let other = one.fork();
        let [a, b, c] = neighbours();
        one.note_class(a, true, 5);
        other.note_all_hold(a);
        other.note_class(b, false, 6);
        for cache in [&one, &other] {
            assert!(cache.all_hold(a) && !cache.all_hold(b) && !cache.all_hold(c));
            assert_eq!([true, false].map(|m| cache.class(a, m)), [Some(5), None]);
            assert_eq!([true, false].map(|m| cache.class(b, m)), [None, Some(6)]);
            assert_eq!([true, false].map(|m| cache.class(c, m)), [None, None]);
        }
        one.forget();
        one.catch_up();
        assert!(!one.all_hold(a));
    }

    /// A note of which another thread has overwritten one word so far.
    #[test]
    fn what_is_torn_is_not_believed() {
        let cache = VerdictCache::new();
        let [a, b, _] = neighbours();
        let words = |hash: u128, class| {
            cache.note_all_hold(hash);
            cache.note_class(hash, true, class);
            place_for(&cache.sets, Name::of(hash)).load()
        };
        let (of_a, of_b) = (words(a, 1), words(b, 2));
        let place = place_for(&cache.sets, Name::of(a));
        assert_eq!(place.load(), of_a);
        for (first, second) in [(of_a.0, of_b.1), (of_b.0, of_a.1), (of_a.0, 0), (0, of_a.1)] {
            place.0[0].store(first, Relaxed);
            place.0[1].store(second, Relaxed);
            assert!(!cache.all_hold(a), "{first:x} {second:x}");
            assert_eq!(cache.class(a, true), None);
            assert_eq!(cache.class(b, true), Some(2), "that one is whole");
        }
        cache.note_class(a, true, 3);
        assert_eq!(cache.class(a, true), Some(3));
        assert!(!cache.all_hold(a), "that was forgotten");
    }

    /// One thread finds the table half full, and the other goes on with the old one for a while.
    #[test]
    fn it_grows_for_all_threads() {
        let mut one = VerdictCache::new();
        let mut other = one.fork();
        let hash_of = |number: u32| xxhash_rust::xxh3::xxh3_128(&number.to_le_bytes());
        let taken = || one.shared.taken.load(Relaxed);
        let noted = (0..).take_while(|number| {
            one.note_class(hash_of(*number), false, *number);
            taken() < FIRST_SETS * WAYS / 2
        });
        let half = noted.count() as u32;
        let kept: Vec<u32> = (0..=half)
            .filter(|number| one.class(hash_of(*number), false).is_some())
            .collect();
        other.catch_up();
        assert_eq!(
            other.shared_memory(),
            2 * size_of_val::<[Set]>(&one.sets) as u64
        );
        one.note_all_hold(hash_of(half + 1));
        assert!(one.all_hold(hash_of(half + 1)) && !other.all_hold(hash_of(half + 1)));
        other.note_all_hold(hash_of(half + 2));
        one.catch_up();
        assert!(Arc::ptr_eq(&one.sets, &other.sets));
        assert!(one.all_hold(hash_of(half + 2)));
        for number in kept {
            assert_eq!(one.class(hash_of(number), false), Some(number));
        }
    }

    /// Two threads that write to a place at the same time never make it return, for a hash, a note of another.
    #[test]
    fn threads_do_not_mislead_each_other() {
        let cache = VerdictCache::new();
        let class_of = |number: u32| number.wrapping_mul(0x9e37_79b9) >> 17;
        let work = |mut cache: VerdictCache, seed: u32| {
            let mut found = 0;
            for step in 0..2_000_000u32 {
                // Eight that share four places.
                let mixed = (step ^ seed).wrapping_mul(0x85eb_ca6b);
                let number = (mixed ^ mixed >> 13).wrapping_mul(0xc2b2_ae35) >> 29;
                let hash = u128::from(number) << 125 | 7;
                if let Some(class) = cache.class(hash, true) {
                    assert_eq!(class, class_of(number));
                    found += 1;
                }
                cache.note_class(hash, true, class_of(number));
                if step % 1000 == 0 {
                    cache.catch_up();
                }
            }
            found
        };
        let found = std::thread::scope(|scope| {
            let other = scope.spawn(|| work(cache.fork(), 0));
            work(cache.fork(), 1 << 31) + other.join().expect("nothing wrong is said")
        });
        assert!(found > 1000, "{found}");
    }
}

/// Every interleaving of threads that use one place, and every value that relaxed loads may see.
#[cfg(test)]
mod interleavings {
    use super::*;
    use loom::sync::Arc;
    use loom::sync::atomic::AtomicU64 as LoomWord;
    use std::sync::atomic::AtomicBool;

    impl Word for LoomWord {
        fn read(&self) -> u64 {
            self.load(Relaxed)
        }

        fn write(&self, value: u64) {
            self.store(value, Relaxed);
        }
    }

    const NAMES: [Name; 2] = [
        Name {
            key: 0x1111,
            low: 1 << 33,
        },
        Name {
            key: 0x2222,
            low: 1 << 33,
        },
    ];
    /// The data noted of each.
    const DATA: [u64; 2] = [1 << 33 | ALL_HOLD, 1 << 33 | 7];

    /// One thread notes in a place that is taken while another reads it with `read`; whether that ever met what
    /// nobody noted.
    fn torn(
        write: fn(&Place<LoomWord>, usize),
        read: fn(&Place<LoomWord>, usize) -> Option<u64>,
    ) -> bool {
        static TORN: AtomicBool = AtomicBool::new(false);
        TORN.store(false, Relaxed);
        loom::model(move || {
            let place = Arc::new(Place([LoomWord::new(0), LoomWord::new(0)]));
            write(&place, 1);
            let writer = {
                let place = place.clone();
                loom::thread::spawn(move || write(&place, 0))
            };
            for number in [0, 1] {
                if read(&place, number).is_some_and(|data| data != DATA[number]) {
                    TORN.store(true, Relaxed);
                }
            }
            writer.join().expect("it does not panic");
        });
        TORN.load(Relaxed)
    }

    /// In one test: both use the same flag.
    #[test]
    fn what_is_torn_passes_for_forgotten() {
        let store =
            |place: &Place<LoomWord>, number: usize| place.store(NAMES[number], DATA[number]);
        assert!(!torn(store, |place, number| place.of(NAMES[number])));
        // The seeded bug: a key that is not mixed with the data.
        let bare = |place: &Place<LoomWord>, number: usize| {
            place.0[0].write(NAMES[number].key);
            place.0[1].write(DATA[number]);
        };
        let read = |place: &Place<LoomWord>, number: usize| {
            let (key, data) = place.load();
            (key == NAMES[number].key && data != 0).then_some(data)
        };
        assert!(torn(bare, read));
    }
}
