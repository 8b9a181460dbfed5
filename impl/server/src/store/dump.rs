//! The store as one stream of bytes: for followers that lag behind, and for backups.
//!
//! A magic word and a version; one length-prefixed record for each value; a record of length zero;
//! zeros up to a multiple of 512 bytes; the SHA-256 of all of that. The length so leaves 32 modulo 512,
//! which is how etcd's tools recognise a backup with a checksum. Their restore cannot read it.

use std::io::{self, Read};

use bytes::{Buf as _, Bytes, BytesMut};
use prost::Message as _;
use redb::{ReadableTable as _, WriteTransaction};
use sha2::{Digest as _, Sha256};

use super::batch::Batch;
use super::error::{Result, StoreError};
use super::meta;
use super::snapshot::Snapshot;
use super::tables::Record;

const MAGIC: &[u8; 16] = b"lockstep-store-1";
const BLOCK_BYTES: u64 = 512;
const DIGEST_BYTES: usize = 32;
/// A chunk is handed out once it has this many bytes.
const CHUNK_BYTES: usize = 64 << 10;
/// No record of a sound dump is longer: requests are limited to far less.
const MAX_RECORD_BYTES: usize = 1 << 30;

/// One value of the store.
#[derive(Clone, PartialEq, prost::Message)]
struct Value {
    #[prost(oneof = "Kind", tags = "1, 2, 3, 4, 5")]
    kind: Option<Kind>,
}

#[derive(Clone, PartialEq, prost::Oneof)]
enum Kind {
    #[prost(message, tag = "1")]
    Meta(Meta),
    #[prost(bytes = "bytes", tag = "2")]
    Member(Bytes),
    #[prost(uint64, tag = "3")]
    Removed(u64),
    #[prost(message, tag = "4")]
    Alarm(crate::api::pb::AlarmMember),
    #[prost(message, tag = "5")]
    Version(Version),
}

#[derive(Clone, PartialEq, prost::Message)]
struct Meta {
    #[prost(string, tag = "1")]
    name: String,
    #[prost(bytes = "bytes", tag = "2")]
    value: Bytes,
}

#[derive(Clone, PartialEq, prost::Message)]
struct Version {
    #[prost(uint64, tag = "1")]
    main: u64,
    #[prost(uint64, tag = "2")]
    sub: u64,
    #[prost(bytes = "bytes", tag = "3")]
    record: Bytes,
}

/// Writes a dump piece by piece to whatever takes the pieces.
pub struct Dump<F> {
    buffer: BytesMut,
    digest: Sha256,
    bytes: u64,
    sink: F,
}

impl<F: FnMut(Bytes) -> io::Result<()>> Dump<F> {
    /// Writes the whole store, and returns the number of bytes. `sink` may block, and stops the dump
    /// by an error.
    ///
    /// # Errors
    /// That of `sink`; a failure of the database.
    pub fn write(snapshot: &Snapshot, sink: F) -> Result<u64> {
        let mut dump = Dump {
            buffer: BytesMut::new(),
            digest: Sha256::new(),
            bytes: 0,
            sink,
        };
        dump.raw(MAGIC)?;
        for entry in snapshot.meta.iter()? {
            let (name, value) = entry?;
            if [meta::CLUSTER, meta::MEMBER].contains(&name.value()) {
                continue;
            }
            let value = Bytes::copy_from_slice(value.value());
            dump.value(Kind::Meta(Meta {
                name: name.value().to_owned(),
                value,
            }))?;
        }
        for entry in snapshot.members.iter()? {
            dump.value(Kind::Member(Bytes::copy_from_slice(entry?.1.value())))?;
        }
        for id in snapshot.removed()? {
            dump.value(Kind::Removed(id))?;
        }
        for alarm in snapshot.alarms()? {
            dump.value(Kind::Alarm(alarm))?;
        }
        for entry in snapshot.view.revisions.iter()? {
            let (at, record) = entry?;
            let (main, sub) = at.value();
            let record = Bytes::copy_from_slice(record.value());
            dump.value(Kind::Version(Version { main, sub, record }))?;
        }
        dump.finish()
    }

    fn value(&mut self, kind: Kind) -> Result<()> {
        let bytes = Value { kind: Some(kind) }.encode_length_delimited_to_vec();
        self.raw(&bytes)
    }

    fn raw(&mut self, bytes: &[u8]) -> Result<()> {
        self.digest.update(bytes);
        self.bytes += bytes.len() as u64;
        self.buffer.extend_from_slice(bytes);
        if self.buffer.len() >= CHUNK_BYTES {
            self.flush()?;
        }
        Ok(())
    }

    fn flush(&mut self) -> Result<()> {
        while !self.buffer.is_empty() {
            let length = self.buffer.len().min(2 * CHUNK_BYTES);
            (self.sink)(self.buffer.split_to(length).freeze())?;
        }
        Ok(())
    }

    fn finish(mut self) -> Result<u64> {
        // At least one zero, which is the record of length zero.
        let zeros = BLOCK_BYTES - self.bytes % BLOCK_BYTES;
        let zeros = [0; BLOCK_BYTES as usize]
            .get(..zeros as usize)
            .unwrap_or_default()
            .to_vec();
        self.raw(&zeros)?;
        let digest = self.digest.clone().finalize();
        self.bytes += digest.len() as u64;
        self.buffer.extend_from_slice(&digest);
        self.flush()?;
        Ok(self.bytes)
    }
}

/// Reads a dump and computes its digest on the way.
pub struct Reader<R> {
    from: R,
    digest: Sha256,
    bytes: u64,
}

impl<R: Read> Reader<R> {
    /// Begins to read, and checks the magic word.
    ///
    /// # Errors
    /// The stream ends, fails, or is no dump.
    pub fn new(from: R) -> Result<Reader<R>> {
        let mut reader = Reader {
            from,
            digest: Sha256::new(),
            bytes: 0,
        };
        let mut magic = [0; MAGIC.len()];
        reader.exact(&mut magic)?;
        match &magic == MAGIC {
            true => Ok(reader),
            false => Err(StoreError::corrupt("this is no snapshot of this version")),
        }
    }

    fn exact(&mut self, bytes: &mut [u8]) -> Result<()> {
        self.from.read_exact(bytes)?;
        self.digest.update(&*bytes);
        self.bytes += bytes.len() as u64;
        Ok(())
    }

    /// The bytes of the next record, `None` at the end.
    fn record(&mut self) -> Result<Option<Bytes>> {
        let mut prefix = BytesMut::new();
        loop {
            let mut byte = [0];
            self.exact(&mut byte)?;
            prefix.extend_from_slice(&byte);
            if byte[0] & 0x80 == 0 || prefix.len() == 10 {
                break;
            }
        }
        let length = prost::decode_length_delimiter(&mut prefix.freeze().chunk());
        match length.map_err(StoreError::corrupt)? {
            0 => Ok(None),
            length if length > MAX_RECORD_BYTES => Err(StoreError::corrupt(format!(
                "a record of {length} bytes in a snapshot"
            ))),
            length => {
                let mut bytes = vec![0; length];
                self.exact(&mut bytes)?;
                Ok(Some(bytes.into()))
            }
        }
    }

    /// The next value, `None` at the end.
    fn value(&mut self) -> Result<Option<Kind>> {
        let Some(bytes) = self.record()? else {
            return Ok(None);
        };
        match Value::decode(bytes).map_err(StoreError::corrupt)?.kind {
            Some(kind) => Ok(Some(kind)),
            None => Err(StoreError::corrupt("a value of unknown kind in a snapshot")),
        }
    }

    /// Reads the padding behind the last record, and compares the digest.
    fn finish(mut self) -> Result<()> {
        while !self.bytes.is_multiple_of(BLOCK_BYTES) {
            self.exact(&mut [0])?;
        }
        let mut digest = [0; DIGEST_BYTES];
        self.from.read_exact(&mut digest)?;
        match digest == <[u8; DIGEST_BYTES]>::from(self.digest.finalize()) {
            true => Ok(()),
            false => Err(StoreError::corrupt(
                "the checksum of a snapshot does not match",
            )),
        }
    }

    /// Reads everything, and checks structure and digest.
    ///
    /// # Errors
    /// The stream ends, fails, or is damaged.
    pub fn verify(mut self) -> Result<()> {
        while self.value()?.is_some() {}
        self.finish()
    }
}

/// Writes what a stream holds to a file, durably.
///
/// # Errors
/// The stream or the file fails.
pub fn copy(mut from: impl Read, to: &std::path::Path) -> Result<()> {
    let mut file = std::fs::File::create(to)?;
    io::copy(&mut from, &mut file)?;
    file.sync_all()?;
    Ok(())
}

/// Fills the empty tables of a transaction with a dump.
pub(super) fn restore(txn: &WriteTransaction, dump: impl Read) -> Result<()> {
    let mut reader = Reader::new(dump)?;
    let mut batch = Batch::open(txn)?;
    while let Some(kind) = reader.value()? {
        match kind {
            Kind::Meta(Meta { name, value }) => {
                drop(batch.meta.insert(name.as_str(), value.as_ref())?)
            }
            Kind::Member(bytes) => {
                let member = crate::api::pb::Member::decode(bytes).map_err(StoreError::corrupt)?;
                batch.set_member(&member)?;
            }
            Kind::Removed(id) => drop(batch.removed.insert(id, ())?),
            Kind::Alarm(alarm) => drop(batch.alarms.insert((alarm.member_id, alarm.alarm), ())?),
            Kind::Version(Version { main, sub, record }) => {
                batch.keys.record((main, sub), &Record::decode(&record)?)?;
            }
        }
    }
    // Not `Batch::close`: the numbers are those of the dump.
    drop(batch);
    reader.finish()
}
