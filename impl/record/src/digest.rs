//! The digest that stands for bytes of the application.

/// The step of the sequence that SplitMix64 mixes: 2^64 divided by the golden ratio.
const STEP: u64 = 0x9e37_79b9_7f4a_7c15;

/// A digest of 48 bits. Starting with the finalized length, each eight bytes (little-endian, the last ones filled up with zeros)
/// are mixed in by exclusive or, and the sum with `0x9e3779b97f4a7c15` goes through the finalizer of SplitMix64 (Steele,
/// Lea and Flood, "Fast splittable pseudorandom number generators", OOPSLA 2014). The upper 48 bits are the digest.
pub fn digest(bytes: &[u8]) -> u64 {
    let state = bytes
        .chunks(8)
        .fold(finalize(bytes.len() as u64), |state, chunk| {
            let mut word = [0; 8];
            word[..chunk.len()].copy_from_slice(chunk);
            finalize((state ^ u64::from_le_bytes(word)).wrapping_add(STEP))
        });
    state >> 16
}

/// Returns a number whose bits all depend on all bits of `x`; others for other numbers.
fn finalize(x: u64) -> u64 {
    let x = (x ^ x >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let x = (x ^ x >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
    x ^ x >> 31
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
                inputs.push(bytes.clone());
                // Two bits, so that what one mixes in is not taken back by the other.
                for other in 0..place {
                    let mut bytes = bytes.clone();
                    bytes[other] = 1 << bit;
                    inputs.push(bytes);
                }
            }
        }
        let many = inputs.len();
        seen.extend(inputs.iter().map(|bytes| digest(bytes)));
        assert_eq!(seen.len(), many);
        assert!(seen.iter().all(|digest| *digest < 1 << 48));
    }
}
