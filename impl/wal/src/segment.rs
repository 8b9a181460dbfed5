//! Segments: the fixed part at the beginning of each file, and reading one to its end. Knows nothing
//! of files, so that the fuzzer can call it on any bytes.

use crate::error::Reason;
use crate::record::{self, ALIGNMENT, Decoded, MarkKey, Record, u32_at, u64_at};

/// Bytes of the fixed part.
pub(crate) const PREAMBLE_BYTES: u64 = 48;

const MAGIC: &[u8; 8] = b"LSTEPWAL";
const VERSION: u32 = 1;
const SUFFIX: &str = ".wal";

/// The name of a segment's file.
pub(crate) fn file_name(sequence: u64) -> String {
    format!("{sequence:020}{SUFFIX}")
}

/// The sequence number in the name of a segment's file; `None` for other files.
pub(crate) fn sequence_of(name: &str) -> Option<u64> {
    let digits = name.strip_suffix(SUFFIX)?;
    let sequence = digits.parse().ok()?;
    (file_name(sequence) == name).then_some(sequence)
}

/// The end of a segment: offset and checksum chain behind its last batch.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct End {
    pub offset: u64,
    pub chain: u32,
}

/// The fixed part at the beginning of a segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Preamble {
    pub sequence: u64,
    /// A random number, the same in all segments of a log.
    pub nonce: u64,
    /// The end of the segment before this one; zero in the first.
    pub previous: End,
}

impl Preamble {
    /// Appends the bytes to `out`. The result is the chain for the records behind it.
    pub(crate) fn encode(&self, out: &mut Vec<u8>) -> u32 {
        let start = out.len();
        out.extend(MAGIC);
        out.extend(VERSION.to_le_bytes());
        out.extend([0; 4]);
        out.extend(self.sequence.to_le_bytes());
        out.extend(self.nonce.to_le_bytes());
        out.extend(self.previous.offset.to_le_bytes());
        out.extend(self.previous.chain.to_le_bytes());
        let chain = crc32fast::hash(&out[start..]);
        out.extend(chain.to_le_bytes());
        chain
    }

    /// The fixed part of a segment, and the chain for the records behind it.
    pub(crate) fn decode(bytes: &[u8]) -> Result<(Preamble, u32), Reason> {
        let bytes = bytes
            .get(..PREAMBLE_BYTES as usize)
            .ok_or(Reason::NotOurs)?;
        if &bytes[..8] != MAGIC {
            return Err(Reason::NotOurs);
        }
        let chain = u32_at(bytes, 44);
        if crc32fast::hash(&bytes[..44]) != chain {
            return Err(Reason::Checksum);
        }
        if u32_at(bytes, 8) != VERSION {
            return Err(Reason::Version(u32_at(bytes, 8)));
        }
        let preamble = Preamble {
            sequence: u64_at(bytes, 16),
            nonce: u64_at(bytes, 24),
            previous: End {
                offset: u64_at(bytes, 32),
                chain: u32_at(bytes, 40),
            },
        };
        Ok((preamble, chain))
    }
}

/// Something wrong at an offset of the segment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Damage {
    pub offset: u64,
    pub reason: Reason,
}

/// A segment that was read to its end, or to the first damage that a crash may have left.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Scan {
    pub preamble: Preamble,
    /// Behind the last whole batch before any damage.
    pub end: End,
    /// The highest offset up to which a batch says that the segment was synced.
    pub synced: u64,
    /// The first thing that is wrong behind `end`, if anything is there.
    pub damage: Option<Damage>,
    /// The end of everything that is not zero.
    pub used: u64,
}

/// Reads a segment, and hands each whole batch to `replay` together with the offset of its end.
///
/// # Errors
/// Damage that no crash leaves: in the fixed part, in the first batch (both are durable before the
/// file gets its name), in a record whose checksum is right, or below an offset that was synced; and
/// a batch that `replay` does not take.
pub(crate) fn scan(
    bytes: &[u8],
    mut replay: impl FnMut(Vec<Record>) -> Result<(), String>,
) -> Result<Scan, Damage> {
    let at = |offset: usize, reason| Damage {
        offset: offset as u64,
        reason,
    };
    let (preamble, mut chain) = Preamble::decode(bytes).map_err(|reason| at(0, reason))?;
    let key = |offset: usize| MarkKey {
        nonce: preamble.nonce,
        sequence: preamble.sequence,
        offset: offset as u64,
    };
    let used = bytes.iter().rposition(|byte| *byte != 0);
    let used = used.map_or(0, |last| last + 1);

    let mut end = End {
        offset: PREAMBLE_BYTES,
        chain,
    };
    let (mut batch, mut synced) = (Vec::new(), PREAMBLE_BYTES);
    let mut offset = PREAMBLE_BYTES as usize;
    let damage = loop {
        match record::decode(&bytes[offset.min(bytes.len())..], chain) {
            Decoded::Record(Record::End(mark), length, next) => {
                // The chain has confirmed every record, so this is no torn write.
                let is_whole = mark.records as usize == batch.len();
                if !mark.is_at(key(offset)) || !is_whole || mark.synced > offset as u64 {
                    let reason = Reason::Undecodable("an end mark of another batch");
                    return Err(at(offset, reason));
                }
                replay(std::mem::take(&mut batch))
                    .map_err(|what| at(offset, Reason::Contradiction(what)))?;
                // The first batch is durable before the segment has its name.
                if end.offset == PREAMBLE_BYTES {
                    synced = (offset + length) as u64;
                }
                (offset, chain) = (offset + length, next);
                end = End {
                    offset: offset as u64,
                    chain,
                };
                synced = synced.max(mark.synced);
            }
            Decoded::Record(record, length, next) => {
                batch.push(record);
                (offset, chain) = (offset + length, next);
            }
            Decoded::Nothing if !batch.is_empty() => break Some(at(offset, Reason::Unfinished)),
            Decoded::Nothing if used > offset => break Some(at(offset, Reason::Hole)),
            Decoded::Nothing => break None,
            Decoded::Torn(reason) => break Some(at(offset, reason)),
            Decoded::Undecodable(reason) => return Err(at(offset, Reason::Undecodable(reason))),
        }
    };
    if end.offset == PREAMBLE_BYTES {
        return Err(damage.unwrap_or(at(offset, Reason::Unfinished)));
    }
    // Batches behind the damage do not count, but what they say of the ones before does.
    if let Some(damage) = &damage {
        let behind = (end.offset as usize..used).step_by(ALIGNMENT);
        let marks = behind.filter_map(|offset| record::end_mark(&bytes[offset..], key(offset)));
        synced = marks.map(|mark| mark.synced).fold(synced, u64::max);
        if end.offset < synced {
            return Err(damage.clone());
        }
    }
    Ok(Scan {
        preamble,
        end,
        synced,
        damage,
        used: used as u64,
    })
}
