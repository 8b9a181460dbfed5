//! The numbers that successor keys and fingerprints are made of.

/// The most servers of a cluster: sleep sets have a bit for each.
pub const MAX_SERVERS: usize = 5;

/// In the first place of a successor key: it is about copies of a message. Otherwise that is the step.
pub(super) const COPIES: u32 = u32::MAX;
/// In the last place of a successor key that is a step: no message is delivered.
pub(super) const NO_MESSAGE: u32 = u32::MAX;
/// The same, and the input has a parameter.
pub(super) const PARAMETRIC: u32 = u32::MAX - 1;

/// 64 bits of the sum of the parts' hashes, all of which count.
#[inline]
pub(super) fn fingerprint(sum: u128) -> u64 {
    // A product of both halves, folded: additions of the same difference to different sums have
    // nothing in common afterwards.
    let low = sum as u64 ^ 0x9e37_79b9_7f4a_7c15;
    let high = (sum >> 64) as u64 ^ 0xd1b5_4a32_d192_ed03;
    let product = u128::from(low) * u128::from(high);
    (product as u64 ^ (product >> 64) as u64)
        .wrapping_add(low)
        .min(u64::MAX - 1)
}
