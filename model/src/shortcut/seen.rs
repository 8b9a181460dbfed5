//! What was seen lately: a map from hashes that forgets.

/// The number of places, a power of two.
const PLACES: usize = 1 << 15;

/// What it has is certain, and it may have forgotten anything.
pub(super) struct Seen<T>(Vec<(u64, T)>);

impl<T: Copy + Default> Seen<T> {
    pub fn new() -> Self {
        Seen(Vec::new())
    }

    /// What was noted of this hash, if it is remembered.
    #[inline]
    pub fn get(&self, hash: u128) -> Option<T> {
        let (place, mark) = place_and_mark(hash);
        let (seen, noted) = self.0.get(place)?;
        (*seen == mark).then_some(*noted)
    }

    pub fn note(&mut self, hash: u128, what: T) {
        // Nobody notes anything where every question is settled otherwise: then it needs no memory.
        self.0.resize(PLACES, (0, T::default()));
        let (place, mark) = place_and_mark(hash);
        self.0[place] = (mark, what);
    }

    /// Bytes of memory.
    pub fn memory(&self) -> u64 {
        (self.0.capacity() * size_of::<(u64, T)>()) as u64
    }
}

/// Together they are 79 bits of the hash. A mark of an empty place is no mark of a hash.
fn place_and_mark(hash: u128) -> (usize, u64) {
    (hash as usize % PLACES, (hash >> 64) as u64 | 1)
}
