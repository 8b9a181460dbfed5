//! Log entries, their identities and sizes, and snapshots of what entries built.

use super::{ConfState, Index, Term};
use bytes::Bytes;

/// The kind of an entry's payload.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum EntryKind {
    /// A command of the application, or the empty entry by which a leader opens its term.
    #[default]
    Normal,
    /// An encoded [`ConfChange`](super::ConfChange): one server added, removed or updated.
    ConfChange,
    /// An encoded [`ConfChangeV2`](super::ConfChangeV2); an empty payload leaves a joint configuration.
    ConfChangeV2,
}

/// One entry of the replicated log.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Entry {
    /// The term whose leader created the entry. In a proposal: zero, the leader fills it in.
    pub term: Term,
    /// The position in the log. In a proposal: zero, the leader fills it in.
    pub index: Index,
    /// The kind of [`data`](Entry::data).
    pub kind: EntryKind,
    /// The payload. Cloning it shares the bytes.
    pub data: Bytes,
}

impl Entry {
    /// An entry still to be proposed: no term, no index.
    pub fn proposal(kind: EntryKind, data: Bytes) -> Entry {
        Entry {
            term: Term::ZERO,
            index: Index::ZERO,
            kind,
            data,
        }
    }

    /// The pair (term, index) that identifies the entry and, by the Log Matching Property
    /// (Raft §5.3), everything before it.
    pub fn id(&self) -> EntryId {
        EntryId {
            term: self.term,
            index: self.index,
        }
    }

    /// Bytes of the entry as etcd's `raftpb` encodes it: the size that all limits on messages and
    /// on entries being applied are counted in.
    pub fn encoded_len(&self) -> u64 {
        // One byte of tag for each field and one for the kind; number fields are always written.
        let data = match self.data.len() as u64 {
            0 => 0,
            len => 1 + varint_len(len) + len,
        };
        4 + varint_len(self.term.0) + varint_len(self.index.0) + data
    }

    /// Bytes of the payload alone: what the limit on uncommitted entries is counted in, so that
    /// the empty entries of Raft itself weigh nothing.
    pub fn payload_len(&self) -> u64 {
        self.data.len() as u64
    }
}

fn varint_len(value: u64) -> u64 {
    prost::encoding::encoded_len_varint(value) as u64
}

/// Identity of a log entry: the term that created it and its position.
///
/// The order is that of Raft's election restriction (§5.4.1): a log is at least as up-to-date as
/// another when the id of its last entry is greater or equal.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct EntryId {
    /// The term that created the entry; zero only together with index zero.
    pub term: Term,
    /// The position of the entry.
    pub index: Index,
}

impl EntryId {
    /// The position before the first entry of every log.
    pub const ZERO: EntryId = EntryId {
        term: Term::ZERO,
        index: Index::ZERO,
    };

    /// The id with this term and index.
    pub const fn new(term: Term, index: Index) -> EntryId {
        EntryId { term, index }
    }
}

/// Total [`Entry::encoded_len`] of the entries.
pub(crate) fn entries_len(entries: &[Entry]) -> u64 {
    entries.iter().map(Entry::encoded_len).sum()
}

/// Total [`Entry::payload_len`] of the entries.
pub(crate) fn payloads_len(entries: &[Entry]) -> u64 {
    entries.iter().map(Entry::payload_len).sum()
}

/// Counts the leading entries that fit into `max_bytes` of encoded size; at least one, if any.
pub fn limit_count<'a>(entries: impl IntoIterator<Item = &'a Entry>, max_bytes: u64) -> usize {
    let mut bytes = 0u64;
    let mut count = 0;
    for entry in entries {
        bytes = bytes.saturating_add(entry.encoded_len());
        if count > 0 && bytes > max_bytes {
            break;
        }
        count += 1;
    }
    count
}

/// The log position that a snapshot replaces, and the configuration under which it was taken.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct SnapshotMetadata {
    /// The membership as of [`index`](SnapshotMetadata::index).
    pub conf_state: ConfState,
    /// The last entry the snapshot includes. Zero marks an empty snapshot, which is none.
    pub index: Index,
    /// The term of that entry.
    pub term: Term,
}

/// The state of the application after an entry, in place of the log up to that entry (Raft §7).
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Snapshot {
    /// Its place in the log.
    pub metadata: SnapshotMetadata,
    /// The application's own encoding of its state; opaque to Raft.
    pub data: Bytes,
}

impl Snapshot {
    /// Whether this stands for "no snapshot".
    pub fn is_empty(&self) -> bool {
        self.metadata.index.is_zero()
    }

    /// Identity of the last entry that the snapshot includes.
    pub fn id(&self) -> EntryId {
        EntryId {
            term: self.metadata.term,
            index: self.metadata.index,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_follow_the_protobuf_encoding() {
        assert_eq!([0, 127, 128, u64::MAX].map(varint_len), [1, 1, 2, 10]);
        assert_eq!(Entry::default().encoded_len(), 6);
        let entry = Entry {
            term: Term(300),
            index: Index(1),
            kind: EntryKind::Normal,
            data: Bytes::from(vec![0; 200]),
        };
        assert_eq!(entry.encoded_len(), 2 + (1 + 2) + (1 + 1) + (1 + 2 + 200));
    }

    #[test]
    fn a_limit_always_lets_one_entry_through() {
        let entries = vec![Entry::default(); 3];
        assert_eq!(
            [0, 6, 11, 12, 18, 99].map(|max| limit_count(&entries, max)),
            [1, 1, 1, 2, 3, 3]
        );
        assert_eq!(limit_count(&[], 99), 0);
    }

    #[test]
    fn ids_are_ordered_by_term_first() {
        assert!(EntryId::new(Term(2), Index(1)) > EntryId::new(Term(1), Index(9)));
        assert!(EntryId::new(Term(2), Index(2)) > EntryId::new(Term(2), Index(1)));
    }
}
