//! Snapshots as files of their own.

use bytes::Bytes;
use lockstep_raft::{EntryId, Index, Snapshot, SnapshotMetadata, Term, wire};

use crate::disk::{Disk, Folder};
use crate::error::{Error, Reason};
use crate::record::{SnapshotMark, u32_at, u64_at};

const MAGIC: &[u8; 8] = b"LSTEPSNP";
const VERSION: u32 = 1;
const SUFFIX: &str = ".snap";
const HEADER_BYTES: usize = 40;
const CHECKSUM_BYTES: usize = 4;

/// The name of a snapshot's file. With the checksum in it, no snapshot takes the place of another one
/// of the same entry.
pub(crate) fn file_name(mark: SnapshotMark) -> String {
    let (index, term) = (mark.id.index, mark.id.term);
    format!(
        "{:020}-{:020}-{:08x}{SUFFIX}",
        index.0, term.0, mark.checksum
    )
}

/// The last entry of the snapshot in a file of this name; `None` for other files.
pub(crate) fn index_of(name: &str) -> Option<Index> {
    let (index, rest) = name.strip_suffix(SUFFIX)?.split_once('-')?;
    let (term, checksum) = rest.split_once('-')?;
    let id = EntryId::new(Term(term.parse().ok()?), Index(index.parse().ok()?));
    let checksum = u32::from_str_radix(checksum, 16).ok()?;
    let mark = SnapshotMark {
        id,
        installed: false,
        checksum,
    };
    (file_name(mark) == name).then_some(id.index)
}

/// Writes a snapshot so that it is durable under its name. The result is the record that refers to
/// it, to be logged afterwards.
pub(crate) fn write_file<D: Disk>(
    folder: &Folder<D>,
    snapshot: &Snapshot,
    installed: bool,
) -> Result<SnapshotMark, Error> {
    let conf_state = wire::encode(&snapshot.metadata.conf_state);
    let Ok(conf_bytes) = u32::try_from(conf_state.len()) else {
        return Err(Error::Refused("the membership is too large".into()));
    };
    let id = snapshot.id();
    let mut header = Vec::with_capacity(HEADER_BYTES + conf_state.len());
    header.extend(MAGIC);
    header.extend(VERSION.to_le_bytes());
    header.extend(conf_bytes.to_le_bytes());
    header.extend(id.term.0.to_le_bytes());
    header.extend(id.index.0.to_le_bytes());
    header.extend((snapshot.data.len() as u64).to_le_bytes());
    header.extend(&conf_state);
    let mut hasher = crc32fast::Hasher::new();
    hasher.update(&header);
    hasher.update(&snapshot.data);
    let checksum = hasher.finalize();
    let length = header.len() + snapshot.data.len() + CHECKSUM_BYTES;
    let parts: [&[u8]; 3] = [&header, &snapshot.data, &checksum.to_le_bytes()];
    let mark = SnapshotMark {
        id,
        installed,
        checksum,
    };
    folder.create_whole(&file_name(mark), length as u64, &parts)?;
    Ok(mark)
}

/// Reads the snapshot that a record refers to.
pub(crate) fn read_file<D: Disk>(
    folder: &Folder<D>,
    mark: SnapshotMark,
) -> Result<Snapshot, Error> {
    let name = file_name(mark);
    let bytes = match folder.0.read(&name) {
        Err(it) if it.kind() == std::io::ErrorKind::NotFound => {
            return Err(Error::damaged(&name, 0, Reason::Missing));
        }
        bytes => bytes.map_err(|it| Error::io("read", &name, it))?,
    };
    decode(bytes.into(), mark).map_err(|reason| Error::damaged(&name, 0, reason))
}

/// The snapshot in the bytes of a file.
pub(crate) fn decode(bytes: Bytes, mark: SnapshotMark) -> Result<Snapshot, Reason> {
    if bytes.len() < HEADER_BYTES + CHECKSUM_BYTES || &bytes[..8] != MAGIC {
        return Err(Reason::NotOurs);
    }
    let end = bytes.len() - CHECKSUM_BYTES;
    let checksum = crc32fast::hash(&bytes[..end]);
    if checksum != u32_at(&bytes, end) || checksum != mark.checksum {
        return Err(Reason::Checksum);
    }
    if u32_at(&bytes, 8) != VERSION {
        return Err(Reason::Version(u32_at(&bytes, 8)));
    }
    let id = EntryId::new(Term(u64_at(&bytes, 16)), Index(u64_at(&bytes, 24)));
    let data = HEADER_BYTES.saturating_add(u32_at(&bytes, 12) as usize);
    let data_bytes = end.checked_sub(data).map(|it| it as u64);
    if id != mark.id || data_bytes != Some(u64_at(&bytes, 32)) {
        return Err(Reason::Undecodable("a snapshot of the wrong size or place"));
    }
    let conf_state = wire::decode(bytes.slice(HEADER_BYTES..data))
        .map_err(|_| Reason::Undecodable("a membership that cannot be read"))?;
    Ok(Snapshot {
        data: bytes.slice(data..end),
        metadata: SnapshotMetadata {
            conf_state,
            index: id.index,
            term: id.term,
        },
    })
}
