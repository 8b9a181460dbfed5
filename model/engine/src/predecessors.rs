//! For every state, the state it was first reached from and the number of the action: two bytes a
//! state, enough to execute the path to any state again.
//!
//! States are numbered in the order in which they are found, and expanded in that order, so the
//! numbers of the parents ascend: a link is the difference to the parent before, and the action.

use super::error::SearchError;
use super::record_file::Records;
use super::varint;

/// The least links in a segment, in which one has to be looked up one by one.
const SEGMENT: u32 = 1024;

/// The links of the states found from one block.
#[derive(Default)]
pub(super) struct LinkPiece {
    count: u32,
    /// Parent (as a position in the block) and action of the first.
    first: (u32, u32),
    /// The others, as differences.
    rest: Vec<u8>,
    last: u32,
}

impl LinkPiece {
    /// Forgets all links.
    pub fn clear(&mut self) {
        self.count = 0;
        self.rest.clear();
    }

    /// Bytes of memory.
    pub fn memory(&self) -> u64 {
        self.rest.capacity() as u64
    }

    /// The next state was reached from number `parent` of the block by action number `action`.
    pub fn push(&mut self, parent: u32, action: u32) {
        if self.count == 0 {
            self.first = (parent, action);
        } else {
            put(u64::from(parent - self.last), action, &mut self.rest);
        }
        self.last = parent;
        self.count += 1;
    }

    pub fn count(&self) -> u32 {
        self.count
    }
}

/// Small steps of the parent share the byte of a small action number.
fn put(step: u64, action: u32, out: &mut Vec<u8>) {
    varint::put(step, out);
    varint::put(u64::from(action), out);
}

struct Segment {
    /// The state whose link is the first.
    first: u64,
    count: u32,
    /// The parent that the first difference is to.
    base: u64,
    bytes: Option<Vec<u8>>,
    offset: Option<u64>,
}

/// The links of all states but the initial ones.
pub(super) struct Links {
    /// The number of initial states, which come first and have no link.
    initial: u64,
    segments: Vec<Segment>,
    /// Invariant: the last link's parent.
    last: u64,
    count: u64,
    memory: u64,
    file: Option<Records>,
}

impl Links {
    pub fn new(initial: u64) -> Self {
        Links {
            initial,
            segments: Vec::new(),
            last: 0,
            count: 0,
            memory: 0,
            file: None,
        }
    }

    /// Reads the links that a file holds.
    pub fn reopen(initial: u64, mut file: Records) -> Result<Self, SearchError> {
        let mut links = Links::new(initial);
        let mut segments = Vec::new();
        let (mut last, mut count) = (0, 0);
        file.scan(0, |record| {
            segments.push(Segment {
                first: initial + count,
                count: record.tag,
                base: last,
                bytes: None,
                offset: Some(record.offset),
            });
            count += u64::from(record.tag);
            let mut rest = record.bytes.as_slice();
            while !rest.is_empty() {
                last += varint::take(&mut rest);
                varint::take(&mut rest);
            }
        })?;
        links.segments = segments;
        links.last = last;
        links.count = count;
        links.file = Some(file);
        Ok(links)
    }

    /// The number of states: the initial ones and those with a link.
    pub fn states(&self) -> u64 {
        self.initial + self.count
    }

    /// Bytes in memory.
    pub fn memory(&self) -> u64 {
        self.memory + (self.segments.len() * size_of::<Segment>()) as u64
    }

    /// Bytes on disk.
    pub fn disk(&self) -> u64 {
        self.file.as_ref().map_or(0, Records::len)
    }

    pub fn file(&self) -> Option<&Records> {
        self.file.as_ref()
    }

    /// Adds the links of the states found from the block whose first state has number `block`.
    pub fn push(&mut self, block: u64, piece: &LinkPiece) {
        if piece.count == 0 {
            return;
        }
        let open = self
            .segments
            .last()
            .is_some_and(|s| s.count < SEGMENT && s.offset.is_none());
        if !open {
            self.segments.push(Segment {
                first: self.states(),
                count: 0,
                base: self.last,
                bytes: Some(Vec::with_capacity(2 * SEGMENT as usize)),
                offset: None,
            });
        }
        if let Some(Segment {
            count,
            bytes: Some(bytes),
            ..
        }) = self.segments.last_mut()
        {
            let before = bytes.len();
            put(
                block + u64::from(piece.first.0) - self.last,
                piece.first.1,
                bytes,
            );
            bytes.extend_from_slice(&piece.rest);
            *count += piece.count;
            self.memory += (bytes.len() - before) as u64;
            if *count >= SEGMENT {
                bytes.shrink_to_fit();
            }
        }
        self.last = block + u64::from(piece.last);
        self.count += u64::from(piece.count);
    }

    /// Writes everything to disk, as [`Frontier::save`](super::frontier::Frontier::save) does.
    pub fn save(
        &mut self,
        keep: bool,
        make: impl FnOnce() -> Result<Records, SearchError>,
    ) -> Result<(), SearchError> {
        let file = match &mut self.file {
            Some(file) => file,
            none => none.insert(make()?),
        };
        // Those before have been saved and dropped.
        let from = self
            .segments
            .partition_point(|segment| segment.bytes.is_none());
        for segment in &mut self.segments[from..] {
            if let Some(bytes) = &segment.bytes {
                if segment.offset.is_none() {
                    segment.offset = Some(file.append(segment.count, bytes)?);
                }
                if !keep {
                    self.memory -= bytes.len() as u64;
                    segment.bytes = None;
                }
            }
        }
        Ok(())
    }

    /// The path to `state`: the number of its initial state, and the actions' numbers in order.
    pub fn path(&mut self, mut state: u64) -> Result<(u64, Vec<u32>), SearchError> {
        let mut actions = Vec::new();
        while state >= self.initial {
            let (parent, action) = self.link(state)?;
            actions.push(action);
            state = parent;
        }
        actions.reverse();
        Ok((state, actions))
    }

    fn link(&mut self, state: u64) -> Result<(u64, u32), SearchError> {
        let at = self
            .segments
            .partition_point(|segment| segment.first <= state)
            - 1;
        let segment = &self.segments[at];
        let read;
        let mut bytes = match (&segment.bytes, segment.offset, &mut self.file) {
            (Some(bytes), _, _) => bytes.as_slice(),
            (None, Some(offset), Some(file)) => {
                read = file.read(offset)?.bytes;
                read.as_slice()
            }
            _ => unreachable!("a segment is in memory or in the file"),
        };
        let mut parent = segment.base;
        let mut action = 0;
        for _ in segment.first..=state {
            parent += varint::take(&mut bytes);
            action = varint::take(&mut bytes) as u32;
        }
        Ok((parent, action))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn every_path_comes_back(
            initial in 1u64..4,
            children in prop::collection::vec(0u32..4, 1..3000),
            save_every in 1usize..1000,
            keep in any::<bool>(),
        ) {
            let folder = tempfile::tempdir().unwrap();
            let make = || Records::create(folder.path().join("links"), 0);
            let mut links = Links::new(initial);
            let mut expected: Vec<Option<(u64, u32)>> = vec![None; initial as usize];
            for (parent, children) in children.iter().enumerate() {
                if parent >= expected.len() {
                    break;
                }
                let mut piece = LinkPiece::default();
                for child in 0..*children {
                    piece.push(3, child * 100);
                    expected.push(Some((parent as u64 + 3, child * 100)));
                }
                // Blocks of one state that pretend to be longer: only the sum counts.
                links.push(parent as u64, &piece);
                if parent % save_every == 0 {
                    links.save(keep, make).unwrap();
                }
            }
            prop_assert_eq!(links.states(), expected.len() as u64);
            for (state, link) in expected.iter().enumerate() {
                if let Some(link) = link {
                    prop_assert_eq!(links.link(state as u64).unwrap(), *link);
                }
            }
            links.save(false, make).unwrap();
            let file = Records::reopen(folder.path().join("links"), 0, links.disk()).unwrap();
            let mut again = Links::reopen(initial, file).unwrap();
            prop_assert_eq!(again.last, links.last);
            for (state, link) in expected.iter().enumerate() {
                if let Some(link) = link {
                    prop_assert_eq!(again.link(state as u64).unwrap(), *link);
                }
            }
        }
    }
}
