//! The digest that stands for bytes of the application.

/// An odd number with its bits well mixed: 2^64 divided by the golden ratio.
const FACTOR: u64 = 0x9e37_79b9_7f4a_7c15;

/// A digest of 48 bits. Starting with the length, each eight bytes (little-endian, the last ones filled up with zeros)
/// are mixed in by exclusive or, a product with `0x9e3779b97f4a7c15` and a rotation to the left by 29; in the end the upper half
/// is mixed into the lower one, and the upper 48 bits of one more product are the digest.
pub fn digest(bytes: &[u8]) -> u64 {
    let mut chunks = bytes.chunks_exact(8);
    let mut state = bytes.len() as u64;
    let mix = |state: u64, word: u64| (state ^ word).wrapping_mul(FACTOR).rotate_left(29);
    for chunk in &mut chunks {
        let mut word = [0; 8];
        word.copy_from_slice(chunk);
        state = mix(state, u64::from_le_bytes(word));
    }
    let rest = chunks.remainder();
    if !rest.is_empty() {
        let mut word = [0; 8];
        word[..rest.len()].copy_from_slice(rest);
        state = mix(state, u64::from_le_bytes(word));
    }
    (state ^ state >> 32).wrapping_mul(FACTOR) >> 16
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn bytes_that_differ_a_little_have_other_digests() {
        let mut seen = BTreeSet::new();
        let mut inputs: Vec<Vec<u8>> = (0..40).map(|length| vec![0; length]).collect();
        for place in 0..40 {
            for bit in 0..8 {
                let mut bytes = vec![0; 40];
                bytes[place] = 1 << bit;
                inputs.push(bytes);
            }
        }
        let many = inputs.len();
        seen.extend(inputs.iter().map(|bytes| digest(bytes)));
        assert_eq!(seen.len(), many);
        assert!(seen.iter().all(|digest| *digest < 1 << 48));
    }
}
