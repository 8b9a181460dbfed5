//! Records: their bytes and their checksums. Knows nothing of files or batches.

use bytes::Bytes;
use lockstep_raft::{Entry, EntryId, EntryKind, HardState, Index, NodeId, Term};

use crate::Metadata;
use crate::error::Reason;

/// Bytes in front of each payload: length, kind, checksum.
pub(crate) const HEADER_BYTES: usize = 12;

/// Records begin at multiples of this.
pub(crate) const ALIGNMENT: usize = 8;

/// The largest payload of one record.
pub(crate) const MAX_PAYLOAD_BYTES: usize = 1 << 30;

/// Fixed part of an entry's payload.
const ENTRY_BYTES: usize = 17;

/// A reference to a snapshot file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct SnapshotMark {
    /// The last entry that the snapshot includes.
    pub id: EntryId,
    /// True if it came from another server and replaces the whole log; false if it was made here.
    pub installed: bool,
    /// Checksum of the file.
    pub checksum: u32,
}

/// The end of a batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct EndMark {
    /// The segment was synced up to this offset before the batch was written.
    pub synced: u64,
    /// Records of the batch, without this one.
    pub records: u32,
    /// Checksum by which the mark is recognised without the records in front of it.
    pub check: u32,
}

impl EndMark {
    pub(crate) fn new(key: MarkKey, synced: u64, records: u32) -> EndMark {
        let mut hasher = crc32fast::Hasher::new();
        for word in [key.nonce, key.sequence, key.offset, synced] {
            hasher.update(&word.to_le_bytes());
        }
        hasher.update(&records.to_le_bytes());
        EndMark {
            synced,
            records,
            check: hasher.finalize(),
        }
    }

    /// True if the mark was written at this place.
    pub(crate) fn is_at(self, key: MarkKey) -> bool {
        self == EndMark::new(key, self.synced, self.records)
    }
}

/// The place of an end mark: its check depends on it, so that a copy elsewhere is not taken for one.
#[derive(Clone, Copy, Debug)]
pub(crate) struct MarkKey {
    pub nonce: u64,
    pub sequence: u64,
    pub offset: u64,
}

/// One record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Record {
    /// The owner of the log.
    Metadata(Metadata),
    /// Term, vote and commit index.
    HardState(HardState),
    /// One entry; it replaces what is held at and after its index.
    Entry(Entry),
    /// A snapshot.
    Snapshot(SnapshotMark),
    /// The last entry before this segment.
    Last(EntryId),
    /// The log was opened. The number is random and tells apart equal writes before and after.
    Opened(u64),
    /// All records since the last end mark belong together.
    End(EndMark),
}

impl Record {
    fn kind(&self) -> u8 {
        match self {
            Record::Metadata(_) => 1,
            Record::HardState(_) => 2,
            Record::Entry(_) => 3,
            Record::Snapshot(_) => 4,
            Record::Last(_) => 5,
            Record::Opened(_) => 6,
            Record::End(_) => 7,
        }
    }

    fn payload_len(&self) -> usize {
        match self {
            Record::Metadata(_) | Record::Last(_) | Record::End(_) => 16,
            Record::HardState(_) | Record::Snapshot(_) => 24,
            Record::Entry(entry) => ENTRY_BYTES + entry.data.len(),
            Record::Opened(_) => 8,
        }
    }

    /// Bytes of the record with header and padding.
    pub(crate) fn encoded_len(&self) -> usize {
        (HEADER_BYTES + self.payload_len()).next_multiple_of(ALIGNMENT)
    }

    /// Appends the record to `out`, and its checksum to the chain.
    ///
    /// The payload must not exceed [`MAX_PAYLOAD_BYTES`].
    pub(crate) fn encode(&self, chain: &mut u32, out: &mut Vec<u8>) {
        let start = out.len();
        let length = u32::try_from(self.payload_len()).expect("the caller has checked the size");
        out.extend(length.to_le_bytes());
        out.extend([self.kind(), 0, 0, 0]);
        out.extend([0; 4]);
        let words = |out: &mut Vec<u8>, words: &[u64]| {
            words.iter().for_each(|it| out.extend(it.to_le_bytes()));
        };
        match self {
            Record::Metadata(it) => words(out, &[it.cluster_id, it.member_id.get()]),
            Record::HardState(it) => {
                let vote = it.vote.map_or(0, NodeId::get);
                words(out, &[it.term.0, vote, it.commit.0]);
            }
            Record::Entry(it) => {
                words(out, &[it.term.0, it.index.0]);
                out.push(match it.kind {
                    EntryKind::Normal => 0,
                    EntryKind::ConfChange => 1,
                    EntryKind::ConfChangeV2 => 2,
                });
                out.extend_from_slice(&it.data);
            }
            Record::Snapshot(it) => {
                words(out, &[it.id.term.0, it.id.index.0]);
                out.extend(it.checksum.to_le_bytes());
                out.extend(u32::from(it.installed).to_le_bytes());
            }
            Record::Last(it) => words(out, &[it.term.0, it.index.0]),
            Record::Opened(it) => words(out, &[*it]),
            Record::End(it) => {
                words(out, &[it.synced]);
                out.extend(it.records.to_le_bytes());
                out.extend(it.check.to_le_bytes());
            }
        }
        out.resize(start + self.encoded_len(), 0);
        *chain = checksum(*chain, &out[start..]);
        out[start + 8..start + HEADER_BYTES].copy_from_slice(&chain.to_le_bytes());
    }
}

/// Continues the chain over a record, whose own checksum does not count.
pub(crate) fn checksum(chain: u32, record: &[u8]) -> u32 {
    let mut hasher = crc32fast::Hasher::new_with_initial(chain);
    hasher.update(&record[..8]);
    hasher.update(&record[HEADER_BYTES..]);
    hasher.finalize()
}

/// The result of reading one record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Decoded {
    /// A record, its encoded length, and the chain behind it.
    Record(Record, usize, u32),
    /// Zeros: nothing was written here.
    Nothing,
    /// Bytes that may be left of a write that was cut off.
    Torn(Reason),
    /// The checksum is right and the contents cannot be read: no crash leaves that.
    Undecodable(&'static str),
}

/// Reads the record at the beginning of `bytes`, which extend to the end of the file.
pub(crate) fn decode(bytes: &[u8], chain: u32) -> Decoded {
    let Some(header) = bytes.first_chunk::<HEADER_BYTES>() else {
        return match bytes.iter().all(|byte| *byte == 0) {
            true => Decoded::Nothing,
            false => Decoded::Torn(Reason::Checksum),
        };
    };
    if *header == [0; HEADER_BYTES] {
        return Decoded::Nothing;
    }
    let length = u32_at(header, 0);
    // No overflow: `usize` has at least 32 bits, and larger lengths end here.
    if length as usize > MAX_PAYLOAD_BYTES {
        return Decoded::Torn(Reason::Length(length));
    }
    let whole = (HEADER_BYTES + length as usize).next_multiple_of(ALIGNMENT);
    let Some(record) = bytes.get(..whole) else {
        return Decoded::Torn(Reason::Length(length));
    };
    let chain = checksum(chain, record);
    if chain != u32_at(header, 8) {
        return Decoded::Torn(Reason::Checksum);
    }
    match payload(&record[4..8], &record[HEADER_BYTES..][..length as usize]) {
        Ok(record) => Decoded::Record(record, whole, chain),
        Err(reason) => Decoded::Undecodable(reason),
    }
}

/// The end mark at the beginning of `bytes`, if there is one that was written at this place. The
/// checksum chain is not looked at.
pub(crate) fn end_mark(bytes: &[u8], key: MarkKey) -> Option<EndMark> {
    let bytes = bytes.get(..HEADER_BYTES + 16)?;
    if u32_at(bytes, 0) != 16 || bytes[4..8] != [7, 0, 0, 0] {
        return None;
    }
    match payload(&bytes[4..8], &bytes[HEADER_BYTES..]) {
        Ok(Record::End(mark)) if mark.is_at(key) => Some(mark),
        _ => None,
    }
}

fn payload(kind: &[u8], bytes: &[u8]) -> Result<Record, &'static str> {
    let sized = |expected: usize| match bytes.len() == expected {
        true => Ok(()),
        false => Err("a record of the wrong size"),
    };
    Ok(match kind {
        [1, 0, 0, 0] => {
            sized(16)?;
            Record::Metadata(Metadata {
                cluster_id: u64_at(bytes, 0),
                member_id: NodeId::new(u64_at(bytes, 8)).ok_or("a member without an id")?,
            })
        }
        [2, 0, 0, 0] => {
            sized(24)?;
            Record::HardState(HardState {
                term: Term(u64_at(bytes, 0)),
                vote: NodeId::new(u64_at(bytes, 8)),
                commit: Index(u64_at(bytes, 16)),
            })
        }
        [3, 0, 0, 0] => {
            if bytes.len() < ENTRY_BYTES {
                return Err("an entry without its fixed part");
            }
            Record::Entry(Entry {
                term: Term(u64_at(bytes, 0)),
                index: Index(u64_at(bytes, 8)),
                kind: match bytes[16] {
                    0 => EntryKind::Normal,
                    1 => EntryKind::ConfChange,
                    2 => EntryKind::ConfChangeV2,
                    _ => return Err("an entry of an unknown kind"),
                },
                data: Bytes::copy_from_slice(&bytes[ENTRY_BYTES..]),
            })
        }
        [4, 0, 0, 0] => {
            sized(24)?;
            Record::Snapshot(SnapshotMark {
                id: id_at(bytes),
                checksum: u32_at(bytes, 16),
                installed: match u32_at(bytes, 20) {
                    0 => false,
                    1 => true,
                    _ => return Err("a snapshot mark of an unknown kind"),
                },
            })
        }
        [5, 0, 0, 0] => {
            sized(16)?;
            Record::Last(id_at(bytes))
        }
        [6, 0, 0, 0] => {
            sized(8)?;
            Record::Opened(u64_at(bytes, 0))
        }
        [7, 0, 0, 0] => {
            sized(16)?;
            Record::End(EndMark {
                synced: u64_at(bytes, 0),
                records: u32_at(bytes, 8),
                check: u32_at(bytes, 12),
            })
        }
        _ => return Err("a record of an unknown kind"),
    })
}

fn id_at(bytes: &[u8]) -> EntryId {
    EntryId::new(Term(u64_at(bytes, 0)), Index(u64_at(bytes, 8)))
}

/// # Panics
/// If `bytes` ends before.
pub(crate) fn u32_at(bytes: &[u8], offset: usize) -> u32 {
    u32::from_le_bytes(bytes[offset..][..4].try_into().expect("four bytes"))
}

/// # Panics
/// If `bytes` ends before.
pub(crate) fn u64_at(bytes: &[u8], offset: usize) -> u64 {
    u64::from_le_bytes(bytes[offset..][..8].try_into().expect("eight bytes"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn ids() -> impl Strategy<Value = EntryId> {
        any::<(u64, u64)>().prop_map(|(term, index)| EntryId::new(Term(term), Index(index)))
    }

    fn records() -> impl Strategy<Value = Record> {
        let kinds = [
            EntryKind::Normal,
            EntryKind::ConfChange,
            EntryKind::ConfChangeV2,
        ];
        let data = prop::collection::vec(any::<u8>(), 0..300);
        prop_oneof![
            (any::<u64>(), 1..=u64::MAX).prop_map(|(cluster_id, member)| {
                let member_id = NodeId::new(member).expect("not zero");
                Record::Metadata(Metadata {
                    cluster_id,
                    member_id,
                })
            }),
            any::<(u64, u64, u64)>().prop_map(|(term, vote, commit)| {
                Record::HardState(HardState {
                    term: Term(term),
                    vote: NodeId::new(vote),
                    commit: Index(commit),
                })
            }),
            (ids(), prop::sample::select(kinds.to_vec()), data).prop_map(|(id, kind, data)| {
                Record::Entry(Entry {
                    term: id.term,
                    index: id.index,
                    kind,
                    data: data.into(),
                })
            }),
            (ids(), any::<bool>(), any::<u32>()).prop_map(|(id, installed, checksum)| {
                Record::Snapshot(SnapshotMark {
                    id,
                    installed,
                    checksum,
                })
            }),
            ids().prop_map(Record::Last),
            any::<u64>().prop_map(Record::Opened),
            any::<(u64, u32, u32)>().prop_map(|(synced, records, check)| {
                Record::End(EndMark {
                    synced,
                    records,
                    check,
                })
            }),
        ]
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn what_is_encoded_is_decoded(
            records in prop::collection::vec(records(), 1..6),
            seed in any::<u32>(),
        ) {
            let (mut bytes, mut chain) = (Vec::new(), seed);
            for record in &records {
                let before = bytes.len();
                record.encode(&mut chain, &mut bytes);
                prop_assert_eq!(bytes.len() - before, record.encoded_len());
            }
            let (mut rest, mut chain) = (&bytes[..], seed);
            for record in &records {
                let Decoded::Record(found, length, next) = decode(rest, chain) else {
                    return Err(TestCaseError::fail(format!("{:?}", decode(rest, chain))));
                };
                prop_assert_eq!(&found, record);
                (rest, chain) = (&rest[length..], next);
            }
            prop_assert_eq!(decode(rest, chain), Decoded::Nothing);
        }

        #[test]
        fn every_bit_counts(record in records(), seed in any::<u32>(), bit in any::<prop::sample::Index>()) {
            let (mut bytes, mut chain) = (Vec::new(), seed);
            record.encode(&mut chain, &mut bytes);
            let bit = bit.index(bytes.len() * 8);
            bytes[bit / 8] ^= 1 << (bit % 8);
            prop_assert!(matches!(decode(&bytes, seed), Decoded::Torn(_)));
            prop_assert!(!matches!(decode(&bytes, !seed), Decoded::Record(..)));
        }

        #[test]
        fn arbitrary_bytes_are_no_record(bytes in prop::collection::vec(any::<u8>(), 0..100), seed in any::<u32>()) {
            let found = decode(&bytes, seed);
            prop_assert!(matches!(found, Decoded::Torn(_)) || bytes.iter().take(12).all(|it| *it == 0));
        }
    }

    #[test]
    fn an_end_mark_is_known_by_its_place() {
        let key = MarkKey {
            nonce: 7,
            sequence: 1,
            offset: 64,
        };
        let (mut bytes, mut chain) = (Vec::new(), 1);
        let mark = EndMark::new(key, 48, 3);
        Record::End(mark).encode(&mut chain, &mut bytes);
        assert_eq!(end_mark(&bytes, key), Some(mark));
        for other in [
            MarkKey { nonce: 8, ..key },
            MarkKey { sequence: 2, ..key },
            MarkKey { offset: 72, ..key },
        ] {
            assert_eq!(end_mark(&bytes, other), None);
        }
        assert_eq!(end_mark(&bytes[..20], key), None);
    }

    #[test]
    fn a_kind_of_the_future_is_not_taken_for_a_torn_write() {
        let (mut bytes, mut chain) = (Vec::new(), 5);
        Record::Opened(1).encode(&mut chain, &mut bytes);
        bytes[4] = 8;
        let chain = checksum(5, &bytes);
        bytes[8..12].copy_from_slice(&chain.to_le_bytes());
        assert_eq!(
            decode(&bytes, 5),
            Decoded::Undecodable("a record of an unknown kind")
        );
    }
}
