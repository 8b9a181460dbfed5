//! States waiting to be expanded: encoded, in blocks, in memory or on disk.

use super::error::SearchError;
use super::record_file::Records;
use super::varint;
use std::collections::VecDeque;

/// The most states in a piece.
pub(super) const PIECE_STATES: u32 = 256;
/// In the tag of a record, beside the number of states: not yet a block. It counts only if no record
/// follows, because the block that it becomes, or more of it, is in the next one.
const OPEN: u32 = 1 << 31;
/// The most states in a block, the unit of work.
pub(super) const BLOCK_STATES: u32 = 512;

/// Encoded states, each with its length, in pieces of a few.
#[derive(Default)]
pub struct Packed {
    bytes: Vec<u8>,
    states: u32,
    /// The start of each piece.
    starts: Vec<usize>,
}

impl Packed {
    pub(super) fn clear(&mut self) {
        self.bytes.clear();
        self.states = 0;
        self.starts.clear();
    }

    /// Adds the state with this encoding.
    pub(super) fn push(&mut self, state: &[u8]) {
        self.push_with(|bytes| bytes.extend_from_slice(state));
    }

    /// Adds a state whose encoding is what `write` appends.
    #[inline]
    pub fn push_with(&mut self, write: impl FnOnce(&mut Vec<u8>)) {
        if self.states.is_multiple_of(PIECE_STATES) {
            self.starts.push(self.bytes.len());
        }
        self.states += 1;
        // Mostly the length takes one byte.
        let place = self.bytes.len();
        self.bytes.push(0);
        write(&mut self.bytes);
        let len = self.bytes.len() - place - 1;
        if len < 1 << 7 {
            self.bytes[place] = len as u8;
        } else {
            let mut prefix = Vec::new();
            varint::put(len as u64, &mut prefix);
            self.bytes.splice(place..=place, prefix);
        }
    }

    /// The states added.
    pub fn states(&self) -> States<'_> {
        States {
            packed: &self.bytes,
        }
    }

    /// The pieces, each with its number of states.
    fn pieces(&self) -> impl Iterator<Item = (u32, &[u8])> {
        (0..self.starts.len()).map(|number| {
            let end = self.starts.get(number + 1).copied();
            let bytes = &self.bytes[self.starts[number]..end.unwrap_or(self.bytes.len())];
            let before = number as u32 * PIECE_STATES;
            ((self.states - before).min(PIECE_STATES), bytes)
        })
    }

    /// Bytes of memory.
    pub(super) fn memory(&self) -> u64 {
        self.bytes.capacity() as u64
    }
}

/// The encodings of a block of states.
#[derive(Clone, Copy)]
pub struct States<'b> {
    packed: &'b [u8],
}

impl<'b> States<'b> {
    /// These states, which take no place yet.
    #[doc(hidden)]
    pub fn of(bytes: &'b mut Vec<u8>, states: &[&[u8]]) -> Self {
        let mut packed = Packed::default();
        states.iter().for_each(|state| packed.push(state));
        *bytes = packed.bytes;
        States { packed: bytes }
    }

    /// The encodings, in order.
    #[inline]
    pub fn iter(self) -> impl Iterator<Item = &'b [u8]> {
        let mut rest = self.packed;
        std::iter::from_fn(move || {
            if rest.is_empty() {
                return None;
            }
            let len = varint::take(&mut rest) as usize;
            let state;
            (state, rest) = rest.split_at(len);
            Some(state)
        })
    }
}

/// A block of the frontier.
pub(super) struct Block {
    pub states: u32,
    /// `None` if it is on disk only.
    bytes: Option<Vec<u8>>,
    /// Its place on disk, if it is there.
    offset: Option<u64>,
}

impl Block {
    /// The states of a block that was taken.
    pub fn states(&self) -> States<'_> {
        States {
            packed: self.bytes.as_deref().unwrap_or_default(),
        }
    }
}

/// The states of one level that wait to be expanded, in order.
pub(super) struct Frontier {
    blocks: VecDeque<Block>,
    /// Pieces that are not yet a block, and how many states they are.
    open: Vec<u8>,
    open_states: u32,
    states: u64,
    memory: u64,
    file: Option<Records>,
}

impl Frontier {
    pub fn new() -> Self {
        Frontier {
            blocks: VecDeque::new(),
            open: Vec::new(),
            open_states: 0,
            states: 0,
            memory: 0,
            file: None,
        }
    }

    /// Reads the frontier that a file holds from `offset` on.
    pub fn reopen(mut file: Records, offset: u64) -> Result<Self, SearchError> {
        let mut blocks = VecDeque::new();
        let mut open = None;
        file.scan(offset, |record| {
            if record.tag & OPEN != 0 {
                open = Some((record.tag & !OPEN, record.bytes));
                return;
            }
            open = None;
            blocks.push_back(Block {
                states: record.tag,
                bytes: None,
                offset: Some(record.offset),
            });
        })?;
        let (open_states, open) = open.unwrap_or_default();
        let states: u64 = blocks.iter().map(|block| u64::from(block.states)).sum();
        Ok(Frontier {
            blocks,
            states: states + u64::from(open_states),
            memory: open.len() as u64,
            open,
            open_states,
            file: Some(file),
        })
    }

    pub fn is_empty(&self) -> bool {
        self.states == 0
    }

    /// States waiting.
    pub fn states(&self) -> u64 {
        self.states
    }

    /// Bytes in memory.
    pub fn memory(&self) -> u64 {
        self.memory
    }

    /// Bytes on disk.
    pub fn disk(&self) -> u64 {
        self.file.as_ref().map_or(0, Records::len)
    }

    pub fn file(&self) -> Option<&Records> {
        self.file.as_ref()
    }

    /// Returns the offset in the file of the first block that waits, or the file's end.
    pub fn file_offset(&self) -> u64 {
        self.blocks
            .front()
            .and_then(|block| block.offset)
            .unwrap_or_else(|| self.disk())
    }

    /// Adds states at the end.
    pub fn push(&mut self, packed: &Packed) {
        for (states, bytes) in packed.pieces() {
            if self.open_states + states > BLOCK_STATES {
                self.close();
            }
            self.open_states += states;
            self.states += u64::from(states);
            self.memory += bytes.len() as u64;
            self.open.extend_from_slice(bytes);
        }
    }

    /// Makes what is not yet a block one.
    pub fn close(&mut self) {
        if self.open_states > 0 {
            self.blocks.push_back(Block {
                states: self.open_states,
                // A copy that is no larger than it must be.
                bytes: Some(self.open.as_slice().to_vec()),
                offset: None,
            });
        }
        self.open.clear();
        self.open_states = 0;
    }

    /// Takes up to `count` blocks off the front.
    pub fn take(&mut self, count: usize) -> Result<Vec<Block>, SearchError> {
        self.close();
        let mut taken = Vec::with_capacity(count.min(self.blocks.len()));
        while taken.len() < count
            && let Some(mut block) = self.blocks.pop_front()
        {
            self.states -= u64::from(block.states);
            match (&block.bytes, block.offset, &mut self.file) {
                (Some(bytes), _, _) => self.memory -= bytes.len() as u64,
                (None, Some(offset), Some(file)) => block.bytes = Some(file.read(offset)?.bytes),
                _ => unreachable!("a block is in memory or in the file"),
            }
            taken.push(block);
        }
        Ok(taken)
    }

    /// Puts back what was taken last.
    pub fn put_back(&mut self, taken: Vec<Block>) {
        for block in taken.into_iter().rev() {
            self.states += u64::from(block.states);
            self.memory += block.bytes.as_ref().map_or(0, Vec::len) as u64;
            self.blocks.push_front(block);
        }
    }

    /// Writes every block to disk, into a file that `make` makes if there is none yet. If `keep` is set the blocks stay
    /// in memory too, and what is not yet a block is written as such, so that nothing is missing in the file. It never
    /// becomes one by this: a search that is stopped stops after a number of blocks, so where they end must not depend
    /// on memory and checkpoints.
    pub fn save(
        &mut self,
        keep: bool,
        make: impl FnOnce() -> Result<Records, SearchError>,
    ) -> Result<(), SearchError> {
        let file = match &mut self.file {
            Some(file) => file,
            none => none.insert(make()?),
        };
        for block in &mut self.blocks {
            if let Some(bytes) = &block.bytes {
                if block.offset.is_none() {
                    block.offset = Some(file.append(block.states, bytes)?);
                }
                if !keep {
                    self.memory -= bytes.len() as u64;
                    block.bytes = None;
                }
            }
        }
        if keep && self.open_states > 0 {
            file.append(self.open_states | OPEN, &self.open)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Returns the number of states of each of the blocks that wait, the one at the end included.
    fn sizes(frontier: &mut Frontier) -> Vec<u32> {
        frontier.close();
        frontier.blocks.iter().map(|block| block.states).collect()
    }

    fn states_of(blocks: Vec<Block>) -> Vec<Vec<u8>> {
        let mut states = Vec::new();
        for block in blocks {
            states.extend(block.states().iter().map(<[u8]>::to_vec));
        }
        states
    }

    /// Some so long that their length takes two bytes.
    fn any_state() -> impl Strategy<Value = Vec<u8>> {
        prop_oneof![
            9 => prop::collection::vec(0u8..3, 0..12),
            1 => prop::collection::vec(0u8..3, 120..140),
        ]
    }

    proptest! {
        #[test]
        fn states_come_back_in_order(
            states in prop::collection::vec(any_state(), 1..2000),
            save_at in 0usize..2000,
            keep in any::<bool>(),
        ) {
            let folder = tempfile::tempdir().unwrap();
            let mut frontier = Frontier::new();
            let make = || Records::create(folder.path().join("frontier"), 0);
            let mut packed = Packed::default();
            let mut undisturbed = Frontier::new();
            for (number, some) in states.chunks(300).enumerate() {
                packed.clear();
                some.iter().for_each(|state| packed.push(state));
                frontier.push(&packed);
                undisturbed.push(&packed);
                if number == save_at % 7 {
                    frontier.save(keep, make).unwrap();
                    if keep {
                        // As a resumed search finds it.
                        let len = frontier.disk();
                        drop(frontier);
                        let file = Records::reopen(folder.path().join("frontier"), 0, len).unwrap();
                        frontier = Frontier::reopen(file, 0).unwrap();
                        continue;
                    }
                    prop_assert!(keep || frontier.memory() == frontier.open.len() as u64);
                }
            }
            prop_assert_eq!(frontier.states(), states.len() as u64);
            prop_assert_eq!(sizes(&mut frontier), sizes(&mut undisturbed));
            let first = frontier.take(1).unwrap();
            frontier.put_back(first);
            let first = frontier.take(1).unwrap();
            frontier.save(false, make).unwrap();
            let (offset, len) = (frontier.file_offset(), frontier.disk());
            drop(frontier);
            let file = Records::reopen(folder.path().join("frontier"), 0, len).unwrap();
            let mut frontier = Frontier::reopen(file, offset).unwrap();
            let mut back = states_of(first);
            back.extend(states_of(frontier.take(usize::MAX).unwrap()));
            prop_assert_eq!(frontier.states(), 0);
            prop_assert_eq!(frontier.memory(), 0);
            prop_assert_eq!(back, states);
        }
    }
}
