//! What was seen lately: a set of hashes that forgets.

/// The number of places, a power of two.
const PLACES: usize = 1 << 15;

/// What was asked about what was seen.
#[derive(Clone, Copy)]
pub(super) enum Question {
    Witnesses = 1,
    Properties = 2,
}

/// Knows for certain what it has, and may have forgotten anything.
pub(super) struct Seen(Vec<u64>);

impl Seen {
    pub fn new() -> Self {
        Seen(Vec::new())
    }

    /// Whether `question` was settled for what has this hash, and is remembered.
    #[inline]
    pub fn has(&self, question: Question, hash: u128) -> bool {
        let (place, mark) = place_and_mark(hash);
        let Some(seen) = self.0.get(place) else {
            return false;
        };
        seen >> 2 == mark >> 2 && seen & question as u64 != 0
    }

    /// Settles `question` for what has this hash.
    pub fn note(&mut self, question: Question, hash: u128) {
        // Nobody asks where every question is settled otherwise: then it needs no memory.
        self.0.resize(PLACES, 0);
        let (place, mark) = place_and_mark(hash);
        let seen = &mut self.0[place];
        if *seen >> 2 != mark >> 2 {
            *seen = mark & !3;
        }
        *seen |= question as u64;
    }

    /// Bytes of memory.
    pub fn memory(&self) -> u64 {
        (self.0.capacity() * size_of::<u64>()) as u64
    }
}

/// Together they are 77 bits of the hash.
fn place_and_mark(hash: u128) -> (usize, u64) {
    (hash as usize % PLACES, (hash >> 64) as u64)
}
