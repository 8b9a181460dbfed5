//! Digests wide enough to stand for what they were made of.

use std::hash::{Hash, Hasher};
use xxhash_rust::xxh3::Xxh3;

/// A 128-bit digest of everything that a value hashes.
pub fn digest_of(value: &impl Hash) -> u128 {
    let mut hasher = Wide(Xxh3::new());
    value.hash(&mut hasher);
    hasher.0.digest128()
}

/// Xxh3 with all its 128 bits; as a [`Hasher`] it would give 64.
struct Wide(Xxh3);

impl Hasher for Wide {
    fn write(&mut self, bytes: &[u8]) {
        self.0.update(bytes);
    }

    fn finish(&self) -> u64 {
        self.0.digest()
    }
}
