//! The log without threads: writes are staged, committed together, and recovered at opening.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use lockstep_raft::{
    Entry, EntryId, HardState, Index, MemoryStorage, Snapshot, SnapshotMetadata, Storage,
};

use crate::disk::{Disk, Folder, NamedFile, is_unfinished};
use crate::error::{Error, Reason};
use crate::record::{EndMark, HEADER_BYTES, MAX_PAYLOAD_BYTES, MarkKey, Record, SnapshotMark};
use crate::replay::{MAX_INDEX, Replay};
use crate::segment::{self, End, PREAMBLE_BYTES, Preamble, Scan};
use crate::snapshot;
use crate::spans::Spans;
use crate::{Cut, Inspected, Metadata, Options, Recovered, TornEnd, Write};

/// Bytes of an end mark with its header.
const END_BYTES: u64 = 32;

/// The largest segment that [`Options`] can ask for.
const MAX_SEGMENT_BYTES: u64 = 1 << 40;

/// Files have a length of whole sectors.
const SECTOR_BYTES: u64 = 512;

/// The state in memory that the server reads. It shows a write when the write is acknowledged.
pub(crate) type View = Arc<Mutex<MemoryStorage>>;

/// Locks the view. Nobody panics in the middle of a change of it.
pub(crate) fn lock(view: &View) -> MutexGuard<'_, MemoryStorage> {
    view.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A log in a folder.
///
/// The order of calls is `stage`, as many as there are waiting writes; `commit`, after which they are
/// acknowledged; `maintain`.
pub(crate) struct Log<D: Disk> {
    folder: Folder<D>,
    metadata: Metadata,
    segment_bytes: u64,
    nonce: u64,
    current: Current<D::File>,
    spans: Spans,
    /// The state after all staged writes.
    tail: Tail,
    staged: Vec<Staged>,
    /// A staged write has to be durable before it is acknowledged.
    must_sync: bool,
    view: View,
    /// The log holds more than a snapshot of this entry needs, once its mark cannot get lost.
    release: Option<Index>,
    stopped: Option<Arc<Error>>,
}

/// The segment that is written.
struct Current<F> {
    sequence: u64,
    file: NamedFile<F>,
    length: u64,
    /// End of what is in the file or in `buffer`.
    end: End,
    /// Bytes that were not handed to the file yet. They end at `end`.
    buffer: Vec<u8>,
    /// Everything up to here is durable.
    synced: u64,
    /// The highest `synced` in a durable end mark: damage below is told from a torn write.
    proven: u64,
}

#[derive(Clone, Copy)]
struct Tail {
    hard_state: HardState,
    snapshot: Option<SnapshotMark>,
    last: EntryId,
}

impl Tail {
    fn snapshot_index(&self) -> Index {
        self.snapshot.map_or(Index::ZERO, |mark| mark.id.index)
    }
}

/// A write that is not yet visible in the view.
enum Staged {
    Write(Write),
    Created(Snapshot),
}

impl<D: Disk> Log<D> {
    /// Opens the log of a folder, and creates one if the folder holds none.
    pub(crate) fn open(disk: D, options: &Options) -> Result<(Log<D>, Recovered), Error> {
        let folder = Folder(disk);
        let names = folder.list()?;
        let sequences = segments(&names)?;
        match sequences.is_empty() {
            true => Log::create(folder, options, &names),
            false => Log::recover(folder, options, &names, &sequences),
        }
    }

    fn create(
        folder: Folder<D>,
        options: &Options,
        names: &[String],
    ) -> Result<(Log<D>, Recovered), Error> {
        remove_all(&folder, names.iter().filter(|it| is_unfinished(it)))?;
        let tail = Tail {
            hard_state: HardState::default(),
            snapshot: None,
            last: EntryId::ZERO,
        };
        let preamble = Preamble {
            sequence: 1,
            nonce: folder.0.nonce(),
            previous: End::default(),
        };
        let current = begin(
            &folder,
            preamble,
            options.metadata,
            &tail,
            options.segment_bytes,
            0,
        )?;
        let mut spans = Spans::default();
        spans.begin(1);
        let log = Log {
            folder,
            metadata: options.metadata,
            segment_bytes: options.segment_bytes,
            nonce: preamble.nonce,
            current,
            spans,
            tail,
            staged: Vec::new(),
            must_sync: false,
            view: View::default(),
            release: None,
            stopped: None,
        };
        let recovered = Recovered {
            is_new: true,
            metadata: options.metadata,
            hard_state: HardState::default(),
            last: EntryId::ZERO,
            snapshot: None,
            cut: None,
        };
        Ok((log, recovered))
    }

    fn recover(
        folder: Folder<D>,
        options: &Options,
        names: &[String],
        sequences: &[u64],
    ) -> Result<(Log<D>, Recovered), Error> {
        // Everything is read and checked before anything is changed.
        let Read {
            replay,
            scan,
            bytes,
        } = read(&folder, sequences)?;
        let name = segment::file_name(scan.preamble.sequence);
        let found = replay.metadata.unwrap_or(options.metadata);
        if found != options.metadata {
            return Err(Error::OtherCluster {
                expected: options.metadata,
                found,
            });
        }
        let (hard_state, mark, spans) = (replay.hard_state, replay.snapshot, replay.spans.clone());
        let entries = replay
            .into_entries()
            .map_err(|it| Error::damaged(&name, scan.end.offset, Reason::Contradiction(it)))?;
        let snapshot = mark.map(|mark| snapshot::read_file(&folder, mark));
        let snapshot = snapshot.transpose()?;

        let cut = cut(&folder, &scan, &bytes, names)?;
        let mut file = folder.open(&name)?;
        // These bytes may be in the cache alone: of a process that was killed before its sync, or
        // of a sync that failed, after which the cache counts as clean. They are written again.
        let doubtful = scan.synced as usize..scan.end.offset as usize;
        file.write_at(scan.synced, &bytes[doubtful])?;
        if cut.is_some() {
            let zeros = vec![0; (scan.used - scan.end.offset) as usize];
            file.write_at(scan.end.offset, &zeros)?;
        }
        file.sync()?;
        folder.sync()?;
        let live = mark.map(snapshot::file_name);
        let is_left_over = |name: &&String| {
            let is_snapshot = snapshot::index_of(name).is_some();
            is_unfinished(name) || (is_snapshot && Some(*name) != live.as_ref())
        };
        // Listed again: `cut` may have finished a file that was unfinished.
        remove_all(&folder, folder.list()?.iter().filter(is_left_over))?;

        let metadata = snapshot.as_ref().map(|it| it.metadata.clone());
        let last = entries.last().map(Entry::id);
        let last = last.or(mark.map(|mark| mark.id)).unwrap_or(EntryId::ZERO);
        let mut view = MemoryStorage::new();
        let filled = match snapshot {
            Some(snapshot) => view.apply_snapshot(snapshot),
            None => Ok(()),
        };
        filled
            .and_then(|()| view.write(entries, Some(hard_state)))
            .map_err(|it| {
                let reason = Reason::Contradiction(it.to_string());
                Error::damaged(&name, scan.end.offset, reason)
            })?;

        let mut log = Log {
            metadata: found,
            segment_bytes: options.segment_bytes,
            nonce: scan.preamble.nonce,
            current: Current {
                sequence: scan.preamble.sequence,
                file,
                length: bytes.len() as u64,
                end: scan.end,
                buffer: Vec::new(),
                synced: scan.end.offset,
                proven: scan.synced,
            },
            spans,
            tail: Tail {
                hard_state,
                snapshot: mark,
                last,
            },
            staged: Vec::new(),
            must_sync: true,
            view: Arc::new(Mutex::new(view)),
            release: mark.map(|mark| mark.id.index),
            stopped: None,
            folder,
        };
        // It says that all of the above is durable, and no batch that was cut off can follow it.
        log.append(&[Record::Opened(log.folder.0.nonce())])?;
        log.flush(true)?;
        log.must_sync = false;
        log.release()?;
        let recovered = Recovered {
            is_new: false,
            metadata: found,
            hard_state,
            last,
            snapshot: metadata,
            cut,
        };
        Ok((log, recovered))
    }

    /// The state in memory.
    pub(crate) fn view(&self) -> &View {
        &self.view
    }

    pub(crate) fn folder(&self) -> &Folder<D> {
        &self.folder
    }

    /// Takes in one write, to be part of the next commit.
    ///
    /// # Errors
    /// One that [is fatal](Error::is_fatal) stops the log. After any other the write is left out.
    pub(crate) fn stage(&mut self, write: Write) -> Result<(), Error> {
        self.check()?;
        let result = self.try_stage(write);
        self.note(result)
    }

    fn try_stage(&mut self, mut write: Write) -> Result<(), Error> {
        self.validate(&mut write)?;
        let mut records = Vec::with_capacity(write.entries.len() + 2);
        let installed = write.snapshot.as_ref();
        let installed = installed.map(|it| snapshot::write_file(&self.folder, it, true));
        let installed = installed.transpose()?;
        records.extend(installed.map(Record::Snapshot));
        records.extend(write.entries.iter().cloned().map(Record::Entry));
        records.extend(write.hard_state.map(Record::HardState));
        self.must_sync |= self.must_be_durable(&write);
        if !records.is_empty() {
            self.append(&records)?;
        }
        // Only now, since `append` may begin a segment with the state before this write.
        if let Some(mark) = installed {
            self.spans.clear();
            self.tail.snapshot = Some(mark);
            self.tail.last = mark.id;
            self.release = Some(mark.id.index);
        }
        if let (Some(first), Some(last)) = (write.entries.first(), write.entries.last()) {
            self.spans.append(first.index, last.index);
            self.tail.last = last.id();
        }
        self.tail.hard_state = write.hard_state.unwrap_or(self.tail.hard_state);
        self.staged.push(Staged::Write(write));
        Ok(())
    }

    fn must_be_durable(&self, write: &Write) -> bool {
        let held = self.tail.hard_state;
        let is_promise = |it: HardState| (it.term, it.vote) != (held.term, held.vote);
        write.must_sync
            || write.snapshot.is_some()
            || !write.entries.is_empty()
            || write.hard_state.is_some_and(is_promise)
    }

    /// Leaves out what the snapshot covers, and refuses what does not fit.
    fn validate(&self, write: &mut Write) -> Result<(), Error> {
        let refused = |what: String| Err(Error::Refused(what));
        let (mut covered, mut last) = (self.tail.snapshot_index(), self.tail.last.index);
        if let Some(snapshot) = &write.snapshot {
            let index = snapshot.metadata.index;
            if index <= covered {
                return Err(Error::SnapshotOutOfDate);
            }
            if index > MAX_INDEX {
                return refused(format!("index {index} is too large"));
            }
            (covered, last) = (index, index);
        }
        write.entries.retain(|entry| entry.index > covered);
        let mut before = None;
        for entry in &write.entries {
            let index = entry.index;
            let fits = match before {
                None => index <= last.next(),
                Some(before) => index.prev() == before,
            };
            if !fits {
                let before = before.unwrap_or(last);
                return refused(format!("entry {index} was appended after entry {before}"));
            }
            if index > MAX_INDEX {
                return refused(format!("index {index} is too large"));
            }
            if entry.data.len() > MAX_PAYLOAD_BYTES - HEADER_BYTES * 2 {
                return refused(format!("entry {index} has {} bytes", entry.data.len()));
            }
            before = Some(index);
        }
        if u32::try_from(write.entries.len() + 2).is_err() {
            return refused(format!("a write of {} entries", write.entries.len()));
        }
        Ok(())
    }

    /// Takes in the mark of a snapshot that was made here and whose file is durable.
    ///
    /// # Errors
    /// As [`stage`](Log::stage).
    pub(crate) fn stage_created(
        &mut self,
        snapshot: Snapshot,
        mark: SnapshotMark,
    ) -> Result<(), Error> {
        self.check()?;
        let id = snapshot.id();
        if id.index <= self.tail.snapshot_index() {
            return Err(Error::SnapshotOutOfDate);
        }
        if id.index > self.tail.last.index || lock(&self.view).term(id.index) != Ok(id.term) {
            return Err(Error::Refused(format!(
                "the log has no entry {} of term {}",
                id.index, id.term
            )));
        }
        self.must_sync = true;
        let appended = self.append(&[Record::Snapshot(mark)]);
        self.note(appended)?;
        self.tail.snapshot = Some(mark);
        self.release = Some(id.index);
        self.staged.push(Staged::Created(snapshot));
        Ok(())
    }

    /// Makes all staged writes durable, if one of them has to be, and visible in the view.
    ///
    /// # Errors
    /// The log has stopped; each staged write is in the log whole, or not at all.
    pub(crate) fn commit(&mut self) -> Result<(), Error> {
        self.check()?;
        let result = self.flush(self.must_sync).and_then(|()| self.show());
        self.note(result)
    }

    /// Releases what the newest snapshot replaces.
    ///
    /// # Errors
    /// The log has stopped.
    pub(crate) fn maintain(&mut self) -> Result<(), Error> {
        if self.release.is_none() {
            return Ok(());
        }
        self.check()?;
        let result = self.try_maintain();
        self.note(result)
    }

    fn try_maintain(&mut self) -> Result<(), Error> {
        // A mark that could be taken for a torn write might get lost, and then what it replaces would be needed.
        self.try_seal()?;
        self.release()
    }

    fn release(&mut self) -> Result<(), Error> {
        let Some(index) = self.release.take() else {
            return Ok(());
        };
        while let Some(sequence) = self.spans.releasable(index) {
            self.folder.remove(&segment::file_name(sequence))?;
            // One by one, so that a crash leaves no gap between two segments.
            self.folder.sync()?;
            self.spans.release();
        }
        // Newer ones are being written at this moment.
        let names = self.folder.list()?;
        let is_old = |name: &&String| snapshot::index_of(name).is_some_and(|it| it < index);
        remove_all(&self.folder, names.iter().filter(is_old))
    }

    /// Makes the log say that everything in it is durable: damage anywhere is told from a torn
    /// write from now on.
    ///
    /// # Errors
    /// The log has stopped.
    pub(crate) fn seal(&mut self) -> Result<(), Error> {
        self.check()?;
        let result = self.try_seal();
        self.note(result)
    }

    fn try_seal(&mut self) -> Result<(), Error> {
        self.flush(true)?;
        if self.current.proven < self.current.end.offset - END_BYTES {
            self.append(&[])?;
            self.flush(true)?;
        }
        Ok(())
    }

    /// For the simulation: the current segment, and the offset below which damage is recognised.
    #[cfg(test)]
    pub(crate) fn proven(&self) -> (u64, u64) {
        (self.current.sequence, self.current.proven)
    }

    /// Stops the log for a failure elsewhere.
    pub(crate) fn stop(&mut self, error: Error) {
        let _ = self.note(Err(error));
    }

    fn check(&self) -> Result<(), Error> {
        match &self.stopped {
            Some(cause) => Err(Error::Stopped(Arc::clone(cause))),
            None => Ok(()),
        }
    }

    fn note(&mut self, result: Result<(), Error>) -> Result<(), Error> {
        if let Err(error) = &result
            && error.is_fatal()
            && self.stopped.is_none()
        {
            self.stopped = Some(Arc::new(error.clone()));
        }
        result
    }

    /// Puts one batch into the buffer; into that of a new segment if it does not fit.
    fn append(&mut self, records: &[Record]) -> Result<(), Error> {
        let bytes = records
            .iter()
            .map(|it| it.encoded_len() as u64)
            .sum::<u64>()
            + END_BYTES;
        if self.current.end.offset + bytes > self.current.length {
            self.rotate(bytes)?;
        }
        let current = &mut self.current;
        encode_batch(
            records,
            current.sequence,
            self.nonce,
            current.synced,
            &mut current.end,
            &mut current.buffer,
        );
        Ok(())
    }

    /// Hands the buffer to the file.
    fn flush(&mut self, sync: bool) -> Result<(), Error> {
        let current = &mut self.current;
        if !current.buffer.is_empty() {
            let start = current.end.offset - current.buffer.len() as u64;
            current.file.write_at(start, &current.buffer)?;
            current.buffer.clear();
        }
        if sync && current.synced < current.end.offset {
            current.file.sync()?;
            // The batches of this round say that everything before the round was synced.
            current.proven = current.synced;
            current.synced = current.end.offset;
        }
        Ok(())
    }

    /// Makes the staged writes visible.
    fn show(&mut self) -> Result<(), Error> {
        self.must_sync = false;
        let mut view = lock(&self.view);
        for staged in self.staged.drain(..) {
            let shown = match staged {
                Staged::Write(write) => {
                    let installed = write.snapshot.map(|it| view.apply_snapshot(it));
                    installed
                        .unwrap_or(Ok(()))
                        .and_then(|()| view.write(write.entries, write.hard_state))
                }
                Staged::Created(Snapshot { data, metadata }) => {
                    let SnapshotMetadata {
                        conf_state, index, ..
                    } = metadata;
                    let created = view.create_snapshot(index, Some(conf_state), data);
                    created.map(drop)
                }
            };
            shown?;
        }
        Ok(())
    }

    /// Begins a new segment with room for a batch of `bytes` bytes.
    fn rotate(&mut self, bytes: u64) -> Result<(), Error> {
        // A segment is durable before the next one appears.
        self.flush(true)?;
        let preamble = Preamble {
            sequence: self.current.sequence + 1,
            nonce: self.nonce,
            previous: self.current.end,
        };
        self.current = begin(
            &self.folder,
            preamble,
            self.metadata,
            &self.tail,
            self.segment_bytes,
            bytes,
        )?;
        self.spans.begin(preamble.sequence);
        Ok(())
    }
}

/// Creates a segment that begins with the state so far and has room for `bytes` more.
fn begin<D: Disk>(
    folder: &Folder<D>,
    preamble: Preamble,
    metadata: Metadata,
    tail: &Tail,
    segment_bytes: u64,
    bytes: u64,
) -> Result<Current<D::File>, Error> {
    let mut start = Vec::new();
    let mut end = End {
        offset: PREAMBLE_BYTES,
        chain: preamble.encode(&mut start),
    };
    let mut records = vec![
        Record::Metadata(metadata),
        Record::HardState(tail.hard_state),
        Record::Last(tail.last),
    ];
    records.extend(tail.snapshot.map(Record::Snapshot));
    let (sequence, nonce) = (preamble.sequence, preamble.nonce);
    encode_batch(
        &records,
        sequence,
        nonce,
        PREAMBLE_BYTES,
        &mut end,
        &mut start,
    );
    let length = segment_bytes
        .min(MAX_SEGMENT_BYTES)
        .max(end.offset + bytes)
        .next_multiple_of(SECTOR_BYTES);
    let file = folder.create_whole(&segment::file_name(sequence), length, &[&start])?;
    Ok(Current {
        sequence,
        file,
        length,
        end,
        buffer: Vec::new(),
        synced: end.offset,
        proven: end.offset,
    })
}

/// Appends records and their end mark to `out`, which ends at `end`.
fn encode_batch(
    records: &[Record],
    sequence: u64,
    nonce: u64,
    synced: u64,
    end: &mut End,
    out: &mut Vec<u8>,
) {
    let start = out.len();
    for record in records {
        record.encode(&mut end.chain, out);
    }
    let key = MarkKey {
        nonce,
        sequence,
        offset: end.offset + (out.len() - start) as u64,
    };
    let count = u32::try_from(records.len()).expect("writes are limited");
    Record::End(EndMark::new(key, synced, count)).encode(&mut end.chain, out);
    end.offset += (out.len() - start) as u64;
}

/// The segments of a log, read to the end.
struct Read {
    replay: Replay,
    /// The last segment,
    scan: Scan,
    /// and its bytes.
    bytes: Vec<u8>,
}

fn read<D: Disk>(folder: &Folder<D>, sequences: &[u64]) -> Result<Read, Error> {
    let mut replay = Replay::default();
    let mut before: Option<Scan> = None;
    for &sequence in sequences {
        let name = segment::file_name(sequence);
        if let Some(before) = &before {
            let expected = before.preamble.sequence + 1;
            if sequence != expected {
                let missing = segment::file_name(expected);
                return Err(Error::damaged(&missing, 0, Reason::Missing));
            }
        }
        let bytes = folder.read(&name)?;
        let at_start = |reason| Error::damaged(&name, 0, reason);
        let (preamble, _) = Preamble::decode(&bytes).map_err(at_start)?;
        if preamble.sequence != sequence {
            return Err(at_start(Reason::Sequence(preamble.sequence)));
        }
        if let Some(before) = &before
            && (preamble.nonce, preamble.previous) != (before.preamble.nonce, before.end)
        {
            // A segment is durable before the next one appears, so this is no torn write.
            let end = before.end.offset;
            return Err(match &before.damage {
                Some(damage) => {
                    let name = segment::file_name(before.preamble.sequence);
                    Error::damaged(&name, damage.offset, damage.reason.clone())
                }
                None => at_start(Reason::Link { end }),
            });
        }
        let mut is_first_batch = true;
        let scan = segment::scan(&bytes, |records| {
            match std::mem::take(&mut is_first_batch) {
                true => replay.begin(sequence, records),
                false => replay.write(records),
            }
        })
        .map_err(|it| Error::damaged(&name, it.offset, it.reason))?;
        if Some(&sequence) == sequences.last() {
            return Ok(Read {
                replay,
                scan,
                bytes,
            });
        }
        before = Some(scan);
    }
    let first = segment::file_name(1);
    Err(Error::damaged(&first, 0, Reason::Missing))
}

/// The sequence numbers of the segments in ascending order.
///
/// # Errors
/// There are snapshots without any segment.
fn segments(names: &[String]) -> Result<Vec<u64>, Error> {
    let mut sequences: Vec<u64> = names
        .iter()
        .filter_map(|it| segment::sequence_of(it))
        .collect();
    sequences.sort_unstable();
    let has_orphan = names.iter().any(|it| snapshot::index_of(it).is_some());
    match sequences.is_empty() && has_orphan {
        true => Err(Error::damaged(&segment::file_name(1), 0, Reason::Missing)),
        false => Ok(sequences),
    }
}

/// Reads a log as opening it would, and changes nothing. `None` if the folder holds none.
pub(crate) fn inspect<D: Disk>(folder: &Folder<D>) -> Result<Option<Inspected>, Error> {
    let sequences = segments(&folder.list()?)?;
    if sequences.is_empty() {
        return Ok(None);
    }
    let Read { replay, scan, .. } = read(folder, &sequences)?;
    let file = segment::file_name(scan.preamble.sequence);
    let contradiction = |it| Error::damaged(&file, scan.end.offset, Reason::Contradiction(it));
    let (hard_state, mark) = (replay.hard_state, replay.snapshot);
    let metadata = replay
        .metadata
        .ok_or_else(|| contradiction("a log without its owner".into()))?;
    let entries = replay.into_entries().map_err(contradiction)?;
    let snapshot = mark.map(|mark| snapshot::read_file(folder, mark));
    Ok(Some(Inspected {
        metadata,
        hard_state,
        snapshot: snapshot.transpose()?.map(|it| it.metadata),
        entries,
        segments: sequences.len(),
        torn: scan.damage.as_ref().map(|damage| TornEnd {
            file: file.clone(),
            offset: scan.end.offset,
            bytes: scan.used - scan.end.offset,
            reason: damage.reason.clone(),
        }),
    }))
}

/// The owner in the newest segment, of which nothing else is checked. `None` if the folder holds no log.
pub(crate) fn owner<D: Disk>(folder: &Folder<D>) -> Result<Option<Metadata>, Error> {
    let Some(&newest) = segments(&folder.list()?)?.last() else {
        return Ok(None);
    };
    let name = segment::file_name(newest);
    let mut owner = None;
    segment::scan(&folder.read(&name)?, |records| {
        owner = owner.or(records.iter().find_map(|record| match record {
            Record::Metadata(metadata) => Some(*metadata),
            _ => None,
        }));
        Ok(())
    })
    .map_err(|it| Error::damaged(&name, it.offset, it.reason))?;
    let nobody = || Reason::Contradiction("the segment does not name its owner".into());
    let owner = owner.ok_or_else(|| Error::damaged(&name, 0, nobody()))?;
    Ok(Some(owner))
}

/// Keeps a copy of everything behind the first damage.
fn cut<D: Disk>(
    folder: &Folder<D>,
    scan: &Scan,
    bytes: &[u8],
    names: &[String],
) -> Result<Option<Cut>, Error> {
    let Some(damage) = &scan.damage else {
        return Ok(None);
    };
    let (sequence, offset) = (scan.preamble.sequence, scan.end.offset);
    let name = |number: u64| format!("{sequence:020}-{offset}-{number}.broken");
    let kept_as = (0..)
        .map(name)
        .find(|it| !names.contains(it))
        .expect("there are more numbers than files");
    let broken = &bytes[offset as usize..scan.used as usize];
    folder.create_whole(&kept_as, broken.len() as u64, &[broken])?;
    Ok(Some(Cut {
        file: segment::file_name(sequence),
        offset,
        bytes: broken.len() as u64,
        reason: damage.reason.clone(),
        kept_as,
    }))
}

fn remove_all<'a, D: Disk>(
    folder: &Folder<D>,
    names: impl Iterator<Item = &'a String>,
) -> Result<(), Error> {
    let mut removed = false;
    for name in names {
        folder.remove(name)?;
        removed = true;
    }
    match removed {
        true => folder.sync(),
        false => Ok(()),
    }
}
