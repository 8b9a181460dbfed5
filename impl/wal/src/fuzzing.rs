//! Entry points of the fuzzer. Not part of the interface.

use crate::record::{self, EndMark, HEADER_BYTES, MarkKey, u32_at, u64_at};
use crate::replay::Replay;
use crate::segment::{self, PREAMBLE_BYTES};

/// Reads any bytes as the first segment of a log. True if it was accepted.
///
/// # Panics
/// If the result contradicts itself.
pub fn read_segment(bytes: &[u8]) -> bool {
    let mut replay = Replay::default();
    let mut is_first_batch = true;
    let scan = segment::scan(bytes, |records| match std::mem::take(&mut is_first_batch) {
        true => replay.begin(1, records),
        false => replay.write(records),
    });
    let Ok(scan) = scan else {
        return false;
    };
    assert!(scan.end.offset <= scan.used.next_multiple_of(8));
    assert!(scan.synced <= scan.end.offset);
    assert_eq!(scan.damage.is_some(), scan.used > scan.end.offset);
    replay.into_entries().is_ok()
}

/// The same with all checksums put right first, so that the contents of records are met too.
pub fn read_repaired_segment(bytes: &[u8]) -> bool {
    let mut bytes = bytes.to_vec();
    repair(&mut bytes);
    read_segment(&bytes)
}

fn repair(bytes: &mut [u8]) {
    let start = PREAMBLE_BYTES as usize;
    if bytes.len() < start {
        return;
    }
    bytes[..16].copy_from_slice(b"LSTEPWAL\x01\0\0\0\0\0\0\0");
    let mut chain = crc32fast::hash(&bytes[..44]);
    bytes[44..48].copy_from_slice(&chain.to_le_bytes());
    let (sequence, nonce) = (u64_at(bytes, 16), u64_at(bytes, 24));
    let (mut offset, mut records) = (start, 0u32);
    while bytes.len() - offset >= HEADER_BYTES {
        // Short and of a known kind, so that many fit.
        bytes[offset + 1..offset + 4].fill(0);
        bytes[offset + 5..offset + 8].fill(0);
        bytes[offset + 4] = bytes[offset + 4] % 7 + 1;
        let size = [16, 24, 17 + bytes[offset] as u32 % 9, 24, 16, 8, 16];
        let length = size[bytes[offset + 4] as usize - 1];
        bytes[offset..offset + 4].copy_from_slice(&length.to_le_bytes());
        let whole = (HEADER_BYTES + length as usize).next_multiple_of(record::ALIGNMENT);
        let Some(record) = bytes.get_mut(offset..offset + whole) else {
            return;
        };
        record[HEADER_BYTES + length as usize..].fill(0);
        if record[4] == 7 {
            let key = MarkKey {
                nonce,
                sequence,
                offset: offset as u64,
            };
            let mark = EndMark::new(key, u64_at(record, 12) % (offset as u64 + 9), records);
            record[12..20].copy_from_slice(&mark.synced.to_le_bytes());
            record[20..24].copy_from_slice(&mark.records.to_le_bytes());
            record[24..28].copy_from_slice(&mark.check.to_le_bytes());
        }
        records = if record[4] == 7 { 0 } else { records + 1 };
        // Indexes are small, so that some follow each other.
        if matches!(record[4], 3..=5) && record[27] < 250 {
            let index = u32_at(record, 20) % 8;
            record[20..28].copy_from_slice(&u64::from(index).to_le_bytes());
        }
        chain = record::checksum(chain, record);
        record[8..12].copy_from_slice(&chain.to_le_bytes());
        offset += whole;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand::rngs::SmallRng;
    use rand::{Rng, SeedableRng};

    #[test]
    fn no_bytes_make_the_reader_panic() {
        let mut random = SmallRng::seed_from_u64(1);
        let (mut accepted, mut unrepaired) = (0, 0);
        for _ in 0..200_000 {
            let mut bytes = vec![0; random.random_range(0..600)];
            random.fill(&mut bytes[..]);
            if let Some(kind) = bytes.get_mut(PREAMBLE_BYTES as usize + 4) {
                *kind = 0; // It becomes 1: metadata.
            }
            accepted += u32::from(read_repaired_segment(&bytes));
            unrepaired += u32::from(read_segment(&bytes));
        }
        println!("{accepted} accepted");
        assert!(accepted > 100, "{accepted}");
        assert_eq!(unrepaired, 0);
    }
}
