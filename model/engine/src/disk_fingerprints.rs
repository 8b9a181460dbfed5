//! Fingerprints of old levels: all of each on disk, and a good byte of each in memory.
//!
//! A breadth-first search finds a state again mostly within a few levels; of older fingerprints it mostly
//! asks for some that are not there. So what is kept of them in memory is enough to answer "no" nearly
//! always, and to know the place in the file otherwise: they are sorted; their range is divided evenly into
//! groups, a group into buckets, a bucket into 256 parts; and of each fingerprint the part it is in is
//! kept, one byte. With five to a bucket, one of fifty look-ups reads the file in vain.
//!
//! The file has no name in its folder: nothing is left of it however the search ends.

use super::error::SearchError;
use super::record_file::Records;
use std::ops::Range;
use std::path::PathBuf;

/// Memory is asked for in at least this many bytes where much of it is given back later: such a piece is
/// mapped by itself, and takes up no more than what was ever written.
pub(super) const OWN_PAGES: usize = 32 << 20;

/// The fingerprints in a record of the file.
const CHUNK: usize = 1 << 13;
/// The bytes of a fingerprint.
const WORD: usize = size_of::<u64>();
/// The buckets of a group, so that a group is 16 bytes.
const BUCKETS: usize = 12;
/// The fingerprints in a group, on average.
const IN_GROUP: usize = 56;

/// The place for files of fingerprints.
pub(super) struct Sealing {
    pub folder: PathBuf,
    pub seed: u64,
}

/// The place of the fingerprints of a group.
#[derive(Clone, Copy)]
struct Group {
    /// The number of the first.
    start: u32,
    /// The end of each bucket, counted from `start`. 255 means that or later.
    ends: [u8; BUCKETS],
}

/// The sealed fingerprints.
pub(super) struct Sealed {
    /// Invariant: they ascend.
    file: Records,
    /// One more than there are, for the end of the last.
    groups: Vec<Group>,
    /// For each fingerprint the part of its bucket, and a few more, so that eight can always be loaded.
    parts: Vec<u8>,
}

impl Sealed {
    /// Merges the fingerprints sealed `already` with `more`, which ascend and are `count`.
    ///
    /// # Errors
    ///
    /// A file cannot be read or written, or is not what was written.
    pub fn merge(
        already: Option<Sealed>,
        more: impl Iterator<Item = u64>,
        count: usize,
        to: &Sealing,
    ) -> Result<Self, SearchError> {
        let before = already.as_ref().map_or(0, Sealed::len);
        // All but the file can be had from the file, so its memory is free for what replaces it.
        let (mut old, groups, parts) = match already {
            None => (None, Vec::new(), Vec::new()),
            Some(Sealed {
                file,
                groups,
                parts,
            }) => (Some(file), groups, parts),
        };
        let mut builder = Builder::new(before + count, groups, parts, to)?;
        let mut more = more.peekable();
        if let Some(old) = &mut old {
            let mut offset = 0;
            while offset < old.len() {
                let record = old.read(offset)?;
                for word in record.bytes.chunks_exact(WORD) {
                    let word = u64::from_le_bytes(std::array::from_fn(|byte| word[byte]));
                    while let Some(new) = more.next_if(|new| *new <= word) {
                        if new == word {
                            return Err(old.damaged(
                                "a state was found again whose fingerprint it holds".to_owned(),
                            ));
                        }
                        builder.push(new)?;
                    }
                    builder.push(word)?;
                }
                offset = record.end();
            }
        }
        more.try_for_each(|new| builder.push(new))?;
        builder.finish()
    }

    /// Returns the number of fingerprints.
    pub fn len(&self) -> usize {
        self.parts.len() - WORD
    }

    /// Bytes of memory.
    pub fn memory(&self) -> u64 {
        (self.groups.len() * size_of::<Group>() + self.parts.len()) as u64
    }

    /// Bytes on disk.
    pub fn disk(&self) -> u64 {
        self.file.len()
    }

    /// Returns whether it is one of these. Reads the file only if the part of its bucket is taken.
    ///
    /// # Errors
    ///
    /// The file cannot be read.
    pub fn contains(&self, fingerprint: u64) -> Result<bool, SearchError> {
        let Place {
            group,
            bucket,
            part,
        } = Place::of(fingerprint, self.groups.len() - 1);
        let numbers = self.bucket(group, bucket);
        for from in numbers.clone().step_by(WORD) {
            let mut taken = equal(self.parts_from(from), part);
            while taken != 0 {
                let number = from + taken.trailing_zeros() as usize / 8;
                if number < numbers.end && self.word(number)? == fingerprint {
                    return Ok(true);
                }
                taken &= taken - 1;
            }
        }
        Ok(false)
    }

    /// Eight parts.
    fn parts_from(&self, from: usize) -> u64 {
        let parts = &self.parts[from..from + WORD];
        u64::from_le_bytes(std::array::from_fn(|byte| parts[byte]))
    }

    /// Something near to what is looked at for this fingerprint.
    #[inline]
    pub fn near(&self, fingerprint: u64) -> u64 {
        let place = Place::of(fingerprint, self.groups.len() - 1);
        self.parts_from(self.bucket(place.group, place.bucket).start)
    }

    /// The numbers of the fingerprints in a bucket, and perhaps of others of its group.
    fn bucket(&self, group: usize, bucket: usize) -> Range<usize> {
        let Group { start, ends } = self.groups[group];
        let at = |end: u8| start as usize + usize::from(end);
        let from = bucket.checked_sub(1).map_or(0, |before| ends[before]);
        let to = match ends[bucket] {
            u8::MAX => self.groups[group + 1].start as usize,
            end => at(end),
        };
        at(from)..to
    }

    /// Fingerprint number `number`.
    fn word(&self, number: usize) -> Result<u64, SearchError> {
        let mut word = [0; WORD];
        let full = Records::room(CHUNK * WORD);
        let record = (number / CHUNK) as u64 * full;
        self.file
            .read_inside(record, number % CHUNK * WORD, &mut word)?;
        Ok(u64::from_le_bytes(word))
    }

    /// Reads the file.
    ///
    /// # Errors
    ///
    /// It cannot be read, or is not what was written.
    pub fn verify(&mut self) -> Result<(), SearchError> {
        self.file.scan(0, |_| ())
    }
}

/// The bytes of `parts` that equal `part`, each as its highest bit.
fn equal(parts: u64, part: u8) -> u64 {
    let differences = parts ^ u64::from_le_bytes([part; 8]);
    // Adding cannot carry into the next byte: a byte's highest bit is set if any other of it was.
    let low = u64::from_le_bytes([0x7f; 8]);
    !(((differences & low) + low) | differences | low)
}

/// The place of a fingerprint.
struct Place {
    group: usize,
    bucket: usize,
    part: u8,
}

impl Place {
    /// Returns the place in `groups` groups. It grows with the fingerprint.
    fn of(fingerprint: u64, groups: usize) -> Self {
        let of = |share: u64, parts: usize| {
            let product = u128::from(share) * parts as u128;
            ((product >> 64) as usize, product as u64)
        };
        let (group, share) = of(fingerprint, groups);
        let (bucket, share) = of(share, BUCKETS);
        Place {
            group,
            bucket,
            part: (share >> 56) as u8,
        }
    }
}

/// Takes fingerprints in order.
struct Builder {
    sealed: Sealed,
    group_count: usize,
    /// The bytes not written yet.
    chunk: Vec<u8>,
}

impl Builder {
    /// For `count` fingerprints. What `groups` and `parts` hold is not needed.
    fn new(
        count: usize,
        mut groups: Vec<Group>,
        mut parts: Vec<u8>,
        to: &Sealing,
    ) -> Result<Self, SearchError> {
        let group_count = count.div_ceil(IN_GROUP).max(1);
        groups.clear();
        groups.reserve_exact((group_count + 1).max(OWN_PAGES / size_of::<Group>()));
        parts.clear();
        parts.reserve_exact((count + WORD).max(OWN_PAGES));
        Ok(Builder {
            sealed: Sealed {
                file: Records::nameless(&to.folder, to.seed)?,
                groups,
                parts,
            },
            group_count,
            chunk: Vec::with_capacity(CHUNK * WORD),
        })
    }

    fn push(&mut self, word: u64) -> Result<(), SearchError> {
        let Place {
            group,
            bucket,
            part,
        } = Place::of(word, self.group_count);
        if group >= self.sealed.groups.len() {
            self.begin(group);
        }
        let Sealed { groups, parts, .. } = &mut self.sealed;
        parts.push(part);
        let Group { start, ends } = &mut groups[group];
        ends[bucket] = u8::try_from(parts.len() - *start as usize).unwrap_or(u8::MAX);
        self.chunk.extend_from_slice(&word.to_le_bytes());
        if self.chunk.len() == CHUNK * WORD {
            self.write()?;
        }
        Ok(())
    }

    /// Begins all groups up to this one.
    fn begin(&mut self, group: usize) {
        let Sealed { groups, parts, .. } = &mut self.sealed;
        while groups.len() <= group {
            if let Some(Group { ends, .. }) = groups.last_mut() {
                // Empty buckets end where the one before does.
                let mut end = 0;
                for it in ends {
                    end = end.max(*it);
                    *it = end;
                }
            }
            groups.push(Group {
                start: parts.len() as u32,
                ends: [0; BUCKETS],
            });
        }
    }

    fn write(&mut self) -> Result<(), SearchError> {
        if !self.chunk.is_empty() {
            self.sealed.file.append(0, &self.chunk)?;
            self.chunk.clear();
        }
        Ok(())
    }

    fn finish(mut self) -> Result<Sealed, SearchError> {
        self.begin(self.group_count);
        self.write()?;
        self.sealed.parts.extend_from_slice(&[0; WORD]);
        Ok(self.sealed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    impl Sealed {
        /// Loses the file's end.
        pub fn cut_short(&self) {
            self.file.file().set_len(20).unwrap();
        }
    }

    const COUNT: u64 = 50_000;

    fn fingerprints() -> Vec<u64> {
        let mut all: Vec<u64> = (0..COUNT)
            .map(|n| super::super::fingerprints::fingerprint(&n.to_le_bytes()))
            .collect();
        all.sort_unstable();
        all
    }

    fn merge(
        already: Option<Sealed>,
        more: &[u64],
        folder: &tempfile::TempDir,
    ) -> Result<Sealed, SearchError> {
        let folder = folder.path().to_owned();
        let to = Sealing { folder, seed: 5 };
        Sealed::merge(already, more.iter().copied(), more.len(), &to)
    }

    #[test]
    fn little_stays_in_memory_and_nothing_in_the_folder() {
        let folder = tempfile::tempdir().unwrap();
        let all = fingerprints();
        let sealed = merge(None, &all, &folder).unwrap();
        assert_eq!(sealed.len() as u64, COUNT);
        assert!(sealed.memory() < COUNT * 13 / 10);
        assert!(sealed.disk() < COUNT * 81 / 10);
        assert!(std::fs::read_dir(folder.path()).unwrap().next().is_none());
    }

    /// A look-up that is not answered from memory shows in a file that cannot be read.
    #[test]
    fn what_is_not_there_hardly_ever_needs_the_file() {
        let folder = tempfile::tempdir().unwrap();
        let sealed = merge(None, &fingerprints(), &folder).unwrap();
        sealed.cut_short();
        let absent =
            (COUNT..2 * COUNT).map(|n| super::super::fingerprints::fingerprint(&n.to_le_bytes()));
        let read = absent.filter(|it| sealed.contains(*it).is_err()).count();
        assert!(read as u64 * 40 < COUNT, "{read} of {COUNT}");
        assert!(
            fingerprints()
                .iter()
                .all(|it| sealed.contains(*it).is_err())
        );
    }

    #[test]
    fn every_byte_of_a_word_is_compared() {
        for place in 0..8 {
            for other in [0u8, 1, 0x7f, 0x80, 0x81, 0xfe, 0xff] {
                for part in [0u8, 1, 0x7f, 0x80, 0x81, 0xfe, 0xff] {
                    let mut parts = [other; 8];
                    parts[place] = part;
                    let expected: u64 = (0..8)
                        .filter(|at| parts[*at] == part)
                        .map(|at| 0x80 << (at * 8))
                        .sum();
                    assert_eq!(equal(u64::from_le_bytes(parts), part), expected);
                }
            }
        }
    }

    #[cfg(unix)]
    #[test]
    fn damage_is_noticed_in_every_pass() {
        use std::os::unix::fs::FileExt;
        let folder = tempfile::tempdir().unwrap();
        let all = fingerprints();
        let (some, others): (Vec<u64>, Vec<u64>) = all.iter().partition(|it| *it % 3 > 0);
        for at in [3, 9, 1000, 70_000, 200_000] {
            let mut sealed = merge(None, &some, &folder).unwrap();
            sealed.verify().unwrap();
            let mut byte = [0];
            sealed.file.file().read_exact_at(&mut byte, at).unwrap();
            let flipped = [byte[0] ^ 4];
            sealed.file.file().write_all_at(&flipped, at).unwrap();
            assert!(sealed.verify().is_err(), "byte {at}");
            assert!(merge(Some(sealed), &others, &folder).is_err(), "byte {at}");
        }
        let sealed = merge(None, &some, &folder).unwrap();
        let sealed = merge(Some(sealed), &others, &folder).unwrap();
        assert!(all.iter().all(|it| sealed.contains(*it).unwrap()));
        // What is sealed already cannot have been found again.
        assert!(matches!(
            merge(Some(sealed), &others[..1], &folder),
            Err(SearchError::Damaged { .. })
        ));
    }
}
