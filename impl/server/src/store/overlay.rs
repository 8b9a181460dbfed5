//! A file to be read, with all changes kept in memory.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, Read as _, Seek as _, SeekFrom};
use std::path::Path;
use std::sync::{Mutex, MutexGuard, PoisonError};

use redb::StorageBackend;

/// Bytes that are kept together once one of them has changed.
const BLOCK: usize = 4096;

/// Storage for a database that begins with the content of a file, and never writes to it.
#[derive(Debug)]
pub(super) struct Overlay {
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    file: File,
    /// The file counts up to here: less than its length after a cut.
    file_bytes: u64,
    bytes: u64,
    /// By number.
    changed: BTreeMap<u64, Box<[u8]>>,
}

/// Pieces of a range that lie in one block each: number of the block, offset in it, length.
fn pieces(offset: u64, length: usize) -> impl Iterator<Item = (u64, usize, usize)> {
    let (mut at, end) = (offset, offset + length as u64);
    std::iter::from_fn(move || {
        let within = (at % BLOCK as u64) as usize;
        let some = ((end - at) as usize).min(BLOCK - within);
        let piece = (at / BLOCK as u64, within, some);
        at += some as u64;
        (some > 0).then_some(piece)
    })
}

impl State {
    /// A block as it is now; zeros behind the end.
    fn block(&mut self, number: u64) -> io::Result<Box<[u8]>> {
        if let Some(block) = self.changed.get(&number) {
            return Ok(block.clone());
        }
        let mut block = Vec::with_capacity(BLOCK);
        let start = number * BLOCK as u64;
        let there = self.file_bytes.saturating_sub(start).min(BLOCK as u64);
        if there > 0 {
            self.file.seek(SeekFrom::Start(start))?;
            self.file.by_ref().take(there).read_to_end(&mut block)?;
        }
        block.resize(BLOCK, 0);
        Ok(block.into())
    }
}

impl Overlay {
    pub(super) fn open(path: &Path) -> io::Result<Overlay> {
        let file = File::open(path)?;
        let bytes = file.metadata()?.len();
        Ok(Overlay {
            state: Mutex::new(State {
                file,
                file_bytes: bytes,
                bytes,
                changed: BTreeMap::new(),
            }),
        })
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl StorageBackend for Overlay {
    fn len(&self) -> io::Result<u64> {
        Ok(self.state().bytes)
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        let mut state = self.state();
        if offset + out.len() as u64 > state.bytes {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        let mut rest = out;
        for (number, within, some) in pieces(offset, rest.len()) {
            let block = state.block(number)?;
            let (now, later) = rest.split_at_mut(some);
            now.copy_from_slice(&block[within..within + some]);
            rest = later;
        }
        Ok(())
    }

    fn set_len(&self, bytes: u64) -> io::Result<()> {
        let mut state = self.state();
        if bytes < state.bytes {
            let (last, within) = (bytes / BLOCK as u64, (bytes % BLOCK as u64) as usize);
            let mut block = state.block(last)?;
            block[within..].fill(0);
            state.changed.retain(|number, _| *number < last);
            state.changed.insert(last, block);
            state.file_bytes = state.file_bytes.min(bytes);
        }
        state.bytes = bytes;
        Ok(())
    }

    fn sync_data(&self) -> io::Result<()> {
        Ok(())
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        let mut state = self.state();
        let mut rest = data;
        for (number, within, some) in pieces(offset, data.len()) {
            let mut block = state.block(number)?;
            let (now, later) = rest.split_at(some);
            block[within..within + some].copy_from_slice(now);
            state.changed.insert(number, block);
            rest = later;
        }
        state.bytes = state.bytes.max(offset + data.len() as u64);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn changes_are_seen_and_the_file_stays() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let mut expected: Vec<u8> = (0..20_000_u32).map(|number| number as u8).collect();
        std::fs::write(file.path(), &expected).unwrap();
        let before = expected.clone();
        let overlay = Overlay::open(file.path()).unwrap();
        let check = |expected: &[u8]| {
            assert_eq!(overlay.len().unwrap(), expected.len() as u64);
            let mut found = vec![0; expected.len()];
            overlay.read(0, &mut found).unwrap();
            assert!(found == expected);
        };
        check(&expected);
        overlay.write(4000, &[7; 5000]).unwrap();
        expected[4000..9000].fill(7);
        check(&expected);
        overlay.set_len(8999).unwrap();
        overlay.set_len(30_000).unwrap();
        expected.truncate(8999);
        expected.resize(30_000, 0);
        check(&expected);
        assert!(overlay.read(29_999, &mut [0; 2]).is_err());
        assert!(std::fs::read(file.path()).unwrap() == before);
    }
}
