//! Append-only files of checksummed records: what goes to disk, as overflow or as a checkpoint.
//!
//! A record is a header (length, tag, checksum; 16 bytes, little-endian) and its bytes. The checksum
//! covers the tag and the record's place in the file too, and is seeded with the search it belongs to,
//! so that a record is never taken for another one.

use super::error::SearchError;
use std::fs::{File, OpenOptions};
use std::io::{BufReader, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use xxhash_rust::xxh3::xxh3_64_with_seed;

const HEADER: usize = 16;

/// A file of records.
pub(super) struct Records {
    path: PathBuf,
    file: File,
    /// The bytes written, which may be fewer than the file has after a crash.
    len: u64,
    seed: u64,
}

/// One record as it was read.
pub(super) struct Record {
    pub offset: u64,
    pub tag: u32,
    pub bytes: Vec<u8>,
}

impl Record {
    /// The offset of the next.
    pub fn end(&self) -> u64 {
        self.offset + Records::room(self.bytes.len())
    }
}

/// Reads at a place of a file. Where else the file is read from does not matter, and may change.
#[cfg(unix)]
fn read_exact_at(file: &File, part: &mut [u8], at: u64) -> std::io::Result<()> {
    std::os::unix::fs::FileExt::read_exact_at(file, part, at)
}

#[cfg(windows)]
fn read_exact_at(file: &File, mut part: &mut [u8], mut at: u64) -> std::io::Result<()> {
    use std::os::windows::fs::FileExt;
    while !part.is_empty() {
        match file.seek_read(part, at) {
            Ok(0) => return Err(std::io::ErrorKind::UnexpectedEof.into()),
            Ok(count) => {
                part = &mut part[count..];
                at += count as u64;
            }
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

/// A fault in a file that was read.
enum Fault {
    Io(std::io::Error),
    Damaged,
}

impl Records {
    /// An empty file at `path`; one that was there is emptied.
    pub fn create(path: PathBuf, seed: u64) -> Result<Self, SearchError> {
        Records::open(path, seed, 0, true)
    }

    /// An empty file in `folder` that has no name there and ends with this.
    pub fn nameless(folder: &Path, seed: u64) -> Result<Self, SearchError> {
        let path = folder.to_owned();
        match tempfile::tempfile_in(folder) {
            Ok(file) => Ok(Records {
                path,
                file,
                len: 0,
                seed,
            }),
            Err(source) => Err(SearchError::Io { path, source }),
        }
    }

    /// The file at `path`, cut to the first `len` bytes.
    pub fn reopen(path: PathBuf, seed: u64, len: u64) -> Result<Self, SearchError> {
        let records = Records::open(path, seed, len, false)?;
        let there = records.io(records.file.metadata())?.len();
        if there < len {
            return Err(records.damaged(format!("it ends after {there} of {len} bytes")));
        }
        records.io(records.file.set_len(len))?;
        Ok(records)
    }

    fn open(path: PathBuf, seed: u64, len: u64, create: bool) -> Result<Self, SearchError> {
        let mut options = OpenOptions::new();
        options
            .read(true)
            .write(true)
            .create(create)
            .truncate(create);
        match options.open(&path) {
            Ok(file) => Ok(Records {
                path,
                file,
                len,
                seed,
            }),
            Err(source) => Err(SearchError::Io { path, source }),
        }
    }

    /// Bytes written.
    pub fn len(&self) -> u64 {
        self.len
    }

    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Adds a record; its offset.
    pub fn append(&mut self, tag: u32, bytes: &[u8]) -> Result<u64, SearchError> {
        let offset = self.len;
        let mut header = [0; HEADER];
        header[..4].copy_from_slice(&(bytes.len() as u32).to_le_bytes());
        header[4..8].copy_from_slice(&tag.to_le_bytes());
        header[8..].copy_from_slice(&self.checksum(offset, tag, bytes).to_le_bytes());
        let written = self
            .file
            .seek(SeekFrom::Start(offset))
            .and_then(|_| self.file.write_all(&header))
            .and_then(|()| self.file.write_all(bytes));
        self.io(written)?;
        self.len += Records::room(bytes.len());
        Ok(offset)
    }

    /// The record at `offset`.
    pub fn read(&mut self, offset: u64) -> Result<Record, SearchError> {
        let sought = self.file.seek(SeekFrom::Start(offset));
        self.io(sought)?;
        let record = read_record(&mut self.file, offset, self.len, self.seed);
        self.fault(record, offset)
    }

    /// Returns the bytes that a record of `bytes` bytes takes in the file.
    pub fn room(bytes: usize) -> u64 {
        (HEADER + bytes) as u64
    }

    /// A part of the record at `offset`, from its byte number `from` on. Not compared with the checksum,
    /// which needs all of the record.
    pub fn read_inside(
        &self,
        offset: u64,
        from: usize,
        part: &mut [u8],
    ) -> Result<(), SearchError> {
        let at = offset + Records::room(from);
        self.io(read_exact_at(&self.file, part, at))
    }

    /// Calls `each` with every record from `offset` to the end.
    pub fn scan(
        &mut self,
        mut offset: u64,
        mut each: impl FnMut(Record),
    ) -> Result<(), SearchError> {
        let sought = self.file.seek(SeekFrom::Start(offset));
        self.io(sought)?;
        let mut reader = BufReader::with_capacity(1 << 18, &self.file);
        while offset < self.len {
            let record = read_record(&mut reader, offset, self.len, self.seed);
            let record = self.fault(record, offset)?;
            offset = record.end();
            each(record);
        }
        Ok(())
    }

    /// Waits until everything is on the disk.
    pub fn sync(&self) -> Result<(), SearchError> {
        self.io(self.file.sync_data())
    }

    fn checksum(&self, offset: u64, tag: u32, bytes: &[u8]) -> u64 {
        checksum(self.seed, offset, tag, bytes)
    }

    fn io<T>(&self, result: std::io::Result<T>) -> Result<T, SearchError> {
        result.map_err(|source| SearchError::Io {
            path: self.path.clone(),
            source,
        })
    }

    /// The error that this file is not what it should be.
    pub fn damaged(&self, reason: String) -> SearchError {
        SearchError::Damaged {
            path: self.path.clone(),
            reason,
        }
    }

    fn fault<T>(&self, result: Result<T, Fault>, offset: u64) -> Result<T, SearchError> {
        result.map_err(|fault| match fault {
            Fault::Io(source) => SearchError::Io {
                path: self.path.clone(),
                source,
            },
            Fault::Damaged => self.damaged(format!(
                "the record at byte {offset} is not what was written there"
            )),
        })
    }
}

fn checksum(seed: u64, offset: u64, tag: u32, bytes: &[u8]) -> u64 {
    let place = seed ^ offset.rotate_left(32) ^ u64::from(tag).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    xxh3_64_with_seed(bytes, place)
}

fn read_record(from: &mut impl Read, offset: u64, end: u64, seed: u64) -> Result<Record, Fault> {
    let mut header = [0; HEADER];
    from.read_exact(&mut header).map_err(Fault::Io)?;
    let word = |at: usize| u32::from_le_bytes(std::array::from_fn(|byte| header[at + byte]));
    let (len, tag) = (word(0) as usize, word(4));
    let expected = u64::from(word(8)) | u64::from(word(12)) << 32;
    if offset + (HEADER + len) as u64 > end {
        return Err(Fault::Damaged);
    }
    let mut bytes = vec![0; len];
    from.read_exact(&mut bytes).map_err(Fault::Io)?;
    if checksum(seed, offset, tag, &bytes) != expected {
        return Err(Fault::Damaged);
    }
    Ok(Record { offset, tag, bytes })
}

#[cfg(test)]
mod tests {
    use super::*;

    impl Records {
        /// To do damage with.
        pub fn file(&self) -> &File {
            &self.file
        }
    }

    fn written() -> (tempfile::TempDir, Records, Vec<u64>) {
        let folder = tempfile::tempdir().unwrap();
        let mut records = Records::create(folder.path().join("records"), 7).unwrap();
        let offsets = (0..20u32)
            .map(|n| records.append(n, &vec![n as u8; n as usize * 10]).unwrap())
            .collect();
        (folder, records, offsets)
    }

    #[test]
    fn records_come_back() {
        let (_folder, mut records, offsets) = written();
        assert_eq!(records.read(offsets[3]).unwrap().bytes, vec![3; 30]);
        let mut tags = Vec::new();
        records
            .scan(offsets[5], |record| tags.push(record.tag))
            .unwrap();
        assert_eq!(tags, (5..20).collect::<Vec<_>>());
    }

    #[test]
    fn a_reopened_file_forgets_what_came_later() {
        let (_folder, records, offsets) = written();
        let path = records.path().to_owned();
        drop(records);
        let mut records = Records::reopen(path.clone(), 7, offsets[4]).unwrap();
        let mut count = 0;
        records.scan(0, |_| count += 1).unwrap();
        assert_eq!(count, 4);
        assert!(matches!(
            Records::reopen(path, 7, offsets[5]),
            Err(SearchError::Damaged { .. })
        ));
    }

    #[test]
    fn every_flipped_bit_is_noticed() {
        let (_folder, mut records, offsets) = written();
        let (from, to) = (offsets[2], offsets[4]);
        let path = records.path().to_owned();
        let whole = std::fs::read(&path).unwrap();
        for at in from..to {
            for bit in 0..8 {
                let mut damaged = whole.clone();
                damaged[at as usize] ^= 1 << bit;
                std::fs::write(&path, damaged).unwrap();
                assert!(
                    records.scan(from, |_| ()).is_err(),
                    "bit {bit} of byte {at}"
                );
            }
        }
        std::fs::write(&path, whole).unwrap();
        records.scan(0, |_| ()).unwrap();
        assert!(
            Records::reopen(path, 8, offsets[9])
                .unwrap()
                .scan(0, |_| ())
                .is_err()
        );
    }
}
