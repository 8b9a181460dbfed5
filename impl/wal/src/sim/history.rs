//! One random history: a server that writes, fails, and starts again, on a disk that does its worst.

use std::collections::BTreeMap;

use lockstep_raft::{Entry, Index, NodeId, Snapshot};
use rand::rngs::SmallRng;
use rand::{Rng, SeedableRng};

use super::disk::{Fault, Omission, SECTOR, SimDisk};
use super::model::Model;
use crate::error::Error;
use crate::log::{Log, lock};
use crate::record::{HEADER_BYTES, MarkKey};
use crate::segment::Preamble;
use crate::{Metadata, Options, Write, record, segment, snapshot};

/// Counts of everything that happened.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Tally {
    pub histories: u64,
    pub openings: u64,
    pub writes: u64,
    pub unsynced: u64,
    pub installed: u64,
    pub created: u64,
    pub rotations: u64,
    pub released: u64,
    pub refused_writes: u64,
    pub power_losses: u64,
    pub kills: u64,
    pub closed: u64,
    pub faults: u64,
    pub failed_syncs: u64,
    pub full_disks: u64,
    pub failed_openings: u64,
    pub cut: u64,
    /// Unacknowledged writes that were there after a crash, and that were not.
    pub kept: u64,
    pub lost: u64,
    pub damaged: u64,
    pub damage_refused: u64,
    pub damage_harmless: u64,
    /// Acknowledged writes lost to damage in the last round of writes, where it cannot be told from
    /// a torn write.
    pub damage_like_a_torn_write: u64,
    /// Damage that reaches from below that round into it, so that no proof may be left.
    pub damage_of_the_whole_end: u64,
}

/// The states that may be found, oldest first.
struct Expected {
    states: Vec<Model>,
    /// The state at which damage is told from a torn write, at least.
    proven: usize,
    /// The last state that was acknowledged as durable.
    durable: usize,
    /// The last state that was acknowledged.
    shown: usize,
}

impl Expected {
    fn only(state: Model) -> Expected {
        Expected {
            states: vec![state],
            proven: 0,
            durable: 0,
            shown: 0,
        }
    }

    fn last(&self) -> &Model {
        self.states.last().expect("there is always one")
    }

    fn find(&self, state: &Model, from: usize) -> Option<usize> {
        let found = self.states[from..].iter().rposition(|it| it == state);
        found.map(|it| from + it)
    }
}

/// The end of one life of the server.
#[derive(Clone, Copy, PartialEq, Eq)]
enum End {
    Closed,
    Killed,
    PowerLost,
}

struct History<'a> {
    random: SmallRng,
    disk: SimDisk,
    options: Options,
    expected: Expected,
    /// The lowest state that may be found.
    floor: usize,
    tally: &'a mut Tally,
}

/// Runs the history of a seed.
///
/// # Errors
/// A violation of what the log guarantees.
pub(crate) fn run(seed: u64, omission: Option<Omission>, tally: &mut Tally) -> Result<(), String> {
    let mut random = SmallRng::seed_from_u64(seed);
    let disk = SimDisk::new(random.random(), omission);
    let mut options = Options::new(Metadata {
        cluster_id: 1,
        member_id: NodeId::new(2).expect("not zero"),
    });
    options.segment_bytes = [512, 1024, 2048, 4096, 16384][random.random_range(0..5)];
    let mut history = History {
        random,
        disk,
        options,
        expected: Expected::only(Model::default()),
        floor: 0,
        tally,
    };
    let result = history.run();
    let (faults, failed_syncs, full) = history.disk.counts();
    tally.histories += 1;
    tally.faults += faults;
    tally.failed_syncs += failed_syncs;
    tally.full_disks += full;
    result
}

impl History<'_> {
    fn run(&mut self) -> Result<(), String> {
        for _ in 0..self.random.random_range(1..6) {
            let mut log = self.open()?;
            if self.random.random_bool(0.6) {
                self.arm(80);
            }
            let lived = self.live(&mut log)?;
            let end = self.end(&mut log, lived)?;
            let (sequence, proven) = log.proven();
            drop(log);
            self.floor = match end {
                End::Closed | End::PowerLost => self.expected.durable,
                End::Killed => self.expected.shown,
            };
            if self.random.random_bool(0.15) {
                return self.damage(sequence, proven);
            }
        }
        self.open().map(drop)
    }

    fn arm(&mut self, calls: u32) {
        let fault = [Fault::Stop, Fault::Stop, Fault::Error, Fault::Full];
        let fault = fault[self.random.random_range(0..4)];
        self.disk.arm(self.random.random_range(0..calls), fault);
    }

    /// Opens the log, perhaps after some tries that fail, and checks the state that it has.
    fn open(&mut self) -> Result<Log<SimDisk>, String> {
        for _ in 0..self.random.random_range(0..3) {
            self.arm(30);
            let opened = Log::open(self.disk.clone(), &self.options);
            let struck = self.disk.disarm();
            match opened {
                Ok(_) if struck => return Err("opening ignored a failure".into()),
                Ok((log, _)) => {
                    // Nothing was written: it does not count that this log existed.
                    self.found(&log)?;
                    drop(log);
                }
                Err(error @ Error::Damaged { .. }) => {
                    return Err(format!("after a failure ({struck}): {error}"));
                }
                Err(error) if !struck => return Err(format!("opening failed: {error}")),
                Err(_) => self.tally.failed_openings += 1,
            }
            if self.crash() == End::PowerLost {
                self.floor = self.floor.min(self.expected.durable);
            }
        }
        let (log, recovered) = Log::open(self.disk.clone(), &self.options)
            .map_err(|error| format!("an undamaged log was refused: {error}"))?;
        self.tally.openings += 1;
        self.tally.cut += u64::from(recovered.cut.is_some());
        self.found(&log)?;
        let found = self.expected.last();
        if (recovered.hard_state, recovered.last) != (found.hard_state, found.last()) {
            return Err("the report of opening differs from the state".into());
        }
        Ok(log)
    }

    /// Checks the state that opening found. It is the only one from now on.
    fn found(&mut self, log: &Log<SimDisk>) -> Result<(), String> {
        let found = Model::of(&lock(log.view()));
        let Some(at) = self.expected.find(&found, self.floor) else {
            let (states, floor) = (&self.expected.states, self.floor);
            return Err(format!(
                "found {found}\nexpected one of{}",
                list(&states[floor..])
            ));
        };
        self.tally.kept += (at - self.floor) as u64;
        self.tally.lost += (self.expected.states.len() - 1 - at) as u64;
        self.expected = Expected::only(found);
        self.floor = 0;
        Ok(())
    }

    fn crash(&mut self) -> End {
        if self.disk.has_stopped() || self.random.random_bool(0.5) {
            self.disk.lose_power();
            self.tally.power_losses += 1;
            return End::PowerLost;
        }
        self.disk.kill();
        self.tally.kills += 1;
        End::Killed
    }

    /// Writes for a while. False if the log has stopped.
    fn live(&mut self, log: &mut Log<SimDisk>) -> Result<bool, String> {
        for _ in 0..self.random.random_range(0..12) {
            let (sequence, _) = log.proven();
            let result = match self.random.random_range(0..12) {
                0 => log.seal(),
                _ => self.group(log)?,
            };
            self.tally.rotations += log.proven().0 - sequence;
            if let Err(error) = result {
                return self.stopped(log, &error);
            }
            let files = self.disk.file_count();
            if let Err(error) = log.maintain() {
                return self.stopped(log, &error);
            }
            self.tally.released += files.saturating_sub(self.disk.file_count()) as u64;
        }
        Ok(true)
    }

    fn stopped(&mut self, log: &mut Log<SimDisk>, error: &Error) -> Result<bool, String> {
        if !self.disk.has_stopped() && !self.disk.disarm() {
            return Err(format!("the log stopped without a failure: {error}"));
        }
        match log.stage(self.expected.last().next_write(&mut self.random)) {
            Err(Error::Stopped(_)) => Ok(false),
            other => Err(format!("a stopped log took a write: {other:?}")),
        }
    }

    /// Some writes with one commit.
    fn group(&mut self, log: &mut Log<SimDisk>) -> Result<Result<(), Error>, String> {
        let (mut must_sync, mut installed) = (false, false);
        for _ in 0..self.random.random_range(1..5) {
            if self.random.random_bool(0.04) {
                self.refused(log)?;
                continue;
            }
            let mut next = self.expected.last().clone();
            let shown = &self.expected.states[self.expected.shown];
            let created = match self.random.random_bool(0.1) {
                true => shown.next_snapshot(&mut self.random),
                false => None,
            };
            let staged = if let Some(snapshot) = created {
                let mark = match snapshot::write_file(log.folder(), &snapshot, false) {
                    Ok(mark) => mark,
                    // The log does not know of it. The server may go on, except after a sync.
                    Err(error @ Error::SyncFailed { .. }) => {
                        log.stop(error.clone());
                        return Ok(Err(error));
                    }
                    Err(error) if self.disk.has_stopped() => {
                        log.stop(error.clone());
                        return Ok(Err(error));
                    }
                    Err(_) => continue,
                };
                next.create(&snapshot);
                let staged = log.stage_created(snapshot, mark);
                if installed && matches!(staged, Err(Error::SnapshotOutOfDate)) {
                    continue;
                }
                if next.snapshot.metadata.index <= self.expected.last().snapshot.metadata.index {
                    // Two in one group, the newer one first.
                    match staged {
                        Err(Error::SnapshotOutOfDate) => continue,
                        Err(error) if error.is_fatal() => return Ok(Err(error)),
                        _ => return Err("a snapshot that is out of date was taken".into()),
                    }
                }
                must_sync = true;
                self.tally.created += 1;
                staged
            } else {
                let write = next.next_write(&mut self.random);
                next.apply(&write);
                let held = self.expected.last().hard_state;
                must_sync |= write.must_sync
                    || write.snapshot.is_some()
                    || !write.entries.is_empty()
                    || (held.term, held.vote) != (next.hard_state.term, next.hard_state.vote);
                installed |= write.snapshot.is_some();
                self.tally.installed += u64::from(write.snapshot.is_some());
                self.tally.writes += 1;
                log.stage(write)
            };
            // It may be on the disk even if the call has failed.
            self.expected.states.push(next);
            if let Err(error) = staged {
                return Ok(Err(error));
            }
        }
        let proven = log.proven();
        if let Err(error) = log.commit() {
            return Ok(Err(error));
        }
        let expected = &mut self.expected;
        expected.shown = expected.states.len() - 1;
        if must_sync {
            // A write of nothing proves nothing.
            if log.proven() != proven {
                expected.proven = expected.durable;
            }
            expected.durable = expected.shown;
        } else {
            self.tally.unsynced += 1;
        }
        match Model::of(&lock(log.view())) == *expected.last() {
            true => Ok(Ok(())),
            false => Err("the view differs from the acknowledged writes".into()),
        }
    }

    /// A write that does not fit changes nothing.
    fn refused(&mut self, log: &mut Log<SimDisk>) -> Result<(), String> {
        let state = self.expected.last();
        let entry = |index| Entry {
            index,
            ..Entry::default()
        };
        let next = state.last().index.next();
        let mut write = Write::default();
        match self.random.random_range(0..3) {
            0 => write.entries = vec![entry(next.next())],
            1 => write.entries = vec![entry(next), entry(Index(next.0 + 2))],
            _ => {
                write.entries = vec![entry(next)];
                let mut snapshot = Snapshot::default();
                snapshot.metadata.index = state.snapshot.metadata.index;
                write.snapshot = Some(snapshot);
            }
        }
        self.tally.refused_writes += 1;
        match log.stage(write) {
            Err(error) if !error.is_fatal() => Ok(()),
            other => Err(format!("a write that does not fit: {other:?}")),
        }
    }

    fn end(&mut self, log: &mut Log<SimDisk>, lived: bool) -> Result<End, String> {
        if lived && self.random.random_bool(0.3) {
            match log.seal() {
                Ok(()) => {
                    let last = self.expected.states.len() - 1;
                    (self.expected.proven, self.expected.durable) = (last, last);
                    self.tally.closed += 1;
                    // Machines that were shut down in order lose no power, but it changes nothing.
                    self.disk.lose_power();
                    return Ok(End::Closed);
                }
                Err(error) => _ = self.stopped(log, &error)?,
            }
        }
        Ok(self.crash())
    }

    /// Damages a file, opens the log, and checks that the damage was refused or did no harm.
    fn damage(&mut self, sequence: u64, proven: u64) -> Result<(), String> {
        let before = self.disk.files();
        let Some((name, changed)) = self.choose_damage(&before, sequence) else {
            return Ok(());
        };
        self.disk.damage(&name, |bytes| {
            for (offset, mask) in &changed {
                bytes[*offset] ^= mask;
            }
        });
        let damaged = self.disk.files();
        self.tally.damaged += 1;

        let (lowest, highest) = (changed[0].0 as u64, changed[changed.len() - 1].0 as u64);
        if segment::sequence_of(&name) == Some(sequence) && lowest < proven && proven <= highest {
            // It may have taken all batches with it that say what was synced.
            self.tally.damage_of_the_whole_end += 1;
            return match Log::open(self.disk.clone(), &self.options) {
                Ok(_) | Err(Error::Damaged { .. }) => Ok(()),
                Err(error) => Err(format!("damage in {name} at {lowest}: {error}")),
            };
        }
        let states = &self.expected.states;
        let (must_refuse, floor) = match segment::sequence_of(&name) {
            Some(it) if it < sequence => {
                let used = segment::scan(&before[&name], |_| Ok(())).map(|it| it.end.offset);
                (lowest < used.unwrap_or(0), self.floor)
            }
            Some(it) if it == sequence => (lowest < proven, self.expected.proven.min(self.floor)),
            // A segment that appeared in the moment of the crash.
            Some(_) => (false, self.floor),
            None => {
                let prefix = |it: &Model| {
                    let id = it.snapshot.id();
                    format!("{:020}-{:020}-", id.index.0, id.term.0)
                };
                let others = before.keys().filter(|it| snapshot::index_of(it).is_some());
                let is_only = others.count() == 1;
                let is_live = |it: &Model| is_only && name.starts_with(&prefix(it));
                (states[self.floor..].iter().all(is_live), self.floor)
            }
        };
        match Log::open(self.disk.clone(), &self.options) {
            Err(error @ Error::Damaged { .. })
                if segment::sequence_of(&name) == Some(sequence)
                    && !before.contains_key(&segment::file_name(sequence + 1))
                    && lowest >= proven.max(highest_claim(&damaged[&name])) =>
            {
                Err(format!(
                    "a torn write at {lowest} of {name}, proven up to {proven}: {error}"
                ))
            }
            Err(Error::Damaged { .. }) => {
                self.tally.damage_refused += 1;
                match self.disk.files() == damaged {
                    true => Ok(()),
                    false => Err(format!("{name} is damaged, and files were changed")),
                }
            }
            Err(error) => Err(format!("damage in {name} at {lowest}: {error}")),
            Ok(_) if must_refuse => Err(format!("damage in {name} at {lowest} was not noticed")),
            Ok((log, _)) => {
                let found = Model::of(&lock(log.view()));
                match self.expected.find(&found, floor) {
                    None => Err(format!(
                        "damage in {name} at {lowest} (proven {proven} of segment {sequence}): found {found}\nexpected one of{}",
                        list(&self.expected.states)
                    )),
                    Some(at) if at < self.floor => {
                        self.tally.damage_like_a_torn_write += 1;
                        Ok(())
                    }
                    Some(_) => {
                        self.tally.damage_harmless += 1;
                        Ok(())
                    }
                }
            }
        }
    }

    /// A file, and the bytes of it to be changed, with masks.
    fn choose_damage(
        &mut self,
        files: &BTreeMap<String, Vec<u8>>,
        sequence: u64,
    ) -> Option<(String, Vec<(usize, u8)>)> {
        let ours = |name: &&String| {
            segment::sequence_of(name).is_some() || snapshot::index_of(name).is_some()
        };
        let names: Vec<&String> = files.keys().filter(ours).collect();
        let name = *names.get(self.random.random_range(0..names.len().max(1)))?;
        let bytes = &files[name];
        let used = bytes.iter().rposition(|byte| *byte != 0)? + 1;
        let erase = |range: std::ops::Range<usize>| {
            let bytes = range.map(|offset| (offset, bytes[offset]));
            bytes.filter(|(_, byte)| *byte != 0).collect::<Vec<_>>()
        };
        let is_older = segment::sequence_of(name).is_some_and(|it| it < sequence);
        let changed = match self.random.random_range(0..3) {
            // The last batch of an older segment was never written.
            0 if is_older => {
                let ends = ends_of_batches(bytes);
                match ends[..] {
                    [.., before, last] => erase(before..last),
                    _ => return None,
                }
            }
            // A sector was never written.
            1 => {
                let start = self.random.random_range(0..used) / SECTOR * SECTOR;
                erase(start..used.min(start + SECTOR))
            }
            _ => {
                let offset = self.random.random_range(0..(used + 16).min(bytes.len()));
                vec![(offset, 1 << self.random.random_range(0..8))]
            }
        };
        (!changed.is_empty()).then(|| (name.clone(), changed))
    }
}

fn list(states: &[Model]) -> String {
    states.iter().map(|it| format!("\n  {it}")).collect()
}

/// The highest offset that an end mark anywhere in a segment says was synced.
fn highest_claim(bytes: &[u8]) -> u64 {
    let Ok((preamble, _)) = Preamble::decode(bytes) else {
        return 0;
    };
    let marks = (0..bytes.len()).step_by(8).filter_map(|offset| {
        let key = MarkKey {
            nonce: preamble.nonce,
            sequence: preamble.sequence,
            offset: offset as u64,
        };
        record::end_mark(&bytes[offset..], key)
    });
    marks.map(|mark| mark.synced).max().unwrap_or(0)
}

/// The ends of all batches of an undamaged segment.
fn ends_of_batches(bytes: &[u8]) -> Vec<usize> {
    let mut ends = Vec::new();
    let mut offset = segment::PREAMBLE_BYTES as usize;
    while let Some(header) = bytes.get(offset..offset + HEADER_BYTES) {
        let length = record::u32_at(header, 0) as usize;
        if header[4] == 0 {
            break;
        }
        offset += (HEADER_BYTES + length).next_multiple_of(8);
        if header[4] == 7 {
            ends.push(offset);
        }
    }
    ends
}
