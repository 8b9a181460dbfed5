//! The thread that writes, and the handle on it.

use std::path::Path;
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, Sender};
use std::sync::{Mutex, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use bytes::Bytes;
use lockstep_raft::{ConfState, Index, Snapshot, SnapshotMetadata, Storage as _};

use crate::disk::{Disk, Folder, RealDisk};
use crate::error::Error;
use crate::log::{Log, View, lock};
use crate::record::SnapshotMark;
use crate::snapshot;
use crate::{Options, Recovered, WalStorage, Write};

/// Without writes for this long, the end of the log is marked as durable.
const IDLE: Duration = Duration::from_secs(1);

/// Called when a write is durable, or has failed.
type Done = Box<dyn FnOnce(Result<(), Error>) + Send>;

struct Job {
    work: Work,
    done: Done,
}

enum Work {
    Write(Write),
    /// A snapshot that was made here. Its file is durable.
    Created(Snapshot, SnapshotMark),
    /// A failure outside of the thread.
    Stop(Error),
}

impl Work {
    fn payload_bytes(&self) -> u64 {
        match self {
            Work::Write(write) => write.entries.iter().map(|it| it.payload_len()).sum(),
            Work::Created(..) | Work::Stop(_) => 0,
        }
    }
}

/// A log that is open for writing. All methods may be called from any thread.
///
/// Dropping it finishes and syncs all writes that were handed in; [`close`](Wal::close) also reports
/// the result.
#[derive(Debug)]
pub struct Wal {
    // Invariant: both are there until it is closed or dropped.
    jobs: Option<Sender<Job>>,
    writer: Option<JoinHandle<Result<(), Error>>>,
    folder: Folder<RealDisk>,
    view: View,
    /// Held while a snapshot is made: one at a time.
    creating: Mutex<()>,
}

impl Wal {
    /// Opens the log in a folder; creates folder and log if they do not exist.
    ///
    /// Opening reads and checks everything before it changes anything. An end that no sync has
    /// confirmed and that is not whole is [cut off](Recovered::cut).
    ///
    /// # Errors
    /// [`Error::Locked`] while the folder is open elsewhere, [`Error::OtherCluster`] for the log of
    /// another owner, [`Error::Damaged`] for damage below an offset that was synced; the folder is
    /// left as it is. [`Error::DiskFull`], [`Error::SyncFailed`] and [`Error::Io`] from the file system.
    ///
    /// # Panics
    /// If the operating system cannot start a thread.
    pub fn open(folder: impl AsRef<Path>, options: Options) -> Result<(Wal, Recovered), Error> {
        let disk = RealDisk::lock(folder.as_ref())?;
        let (log, recovered) = Log::open(disk, &options)?;
        let (folder, view) = (log.folder().clone(), View::clone(log.view()));
        let (jobs, waiting) = mpsc::channel();
        let writer = thread::Builder::new()
            .name("lockstep-wal".into())
            .spawn(move || run(log, &waiting, options.group_bytes, IDLE))
            .expect("the operating system starts a thread");
        let wal = Wal {
            jobs: Some(jobs),
            writer: Some(writer),
            folder,
            view,
            creating: Mutex::new(()),
        };
        Ok((wal, recovered))
    }

    /// The state for the server to read. It outlives the `Wal` and then stays as it is.
    pub fn storage(&self) -> WalStorage {
        WalStorage::new(View::clone(&self.view))
    }

    /// Hands in a write and returns at once. `done` is called from the thread of the log, in the
    /// order of the writes: with `Ok` when the write is durable and visible in the
    /// [storage](Wal::storage).
    ///
    /// `done` should be quick, since no write proceeds meanwhile, and must not panic: that ends the
    /// thread.
    ///
    /// Nothing limits the number of waiting writes; Raft's own limits on entries in flight do.
    ///
    /// # Errors
    /// To `done`: [`Error::Refused`] and [`Error::SnapshotOutOfDate`] concern this write alone. After
    /// any other error nothing is written any more and every further write gets [`Error::Stopped`]. A
    /// failed write may be in the log all the same, whole; the process must stop.
    pub fn append(&self, write: Write, done: impl FnOnce(Result<(), Error>) + Send + 'static) {
        self.send(Work::Write(write), Box::new(done));
    }

    /// Writes, and waits until it is durable.
    ///
    /// # Errors
    /// Those of [`append`](Wal::append).
    pub fn write(&self, write: Write) -> Result<(), Error> {
        self.wait(Work::Write(write))
    }

    /// Stores a snapshot of the application's state as of entry `index`, which it has applied, and
    /// waits until it is durable. Segments and snapshots that it replaces are removed. `conf_state` is the
    /// membership as of that entry.
    ///
    /// The file is written on the calling thread while other writes go on.
    ///
    /// # Errors
    /// [`Error::SnapshotOutOfDate`] if there is a snapshot of `index` or later, [`Error::Refused`] if
    /// the entry is not held, and [`Error::DiskFull`] or [`Error::Io`] if the file cannot be written:
    /// the log goes on. [`Error::SyncFailed`] stops it.
    pub fn create_snapshot(
        &self,
        index: Index,
        conf_state: ConfState,
        data: Bytes,
    ) -> Result<(), Error> {
        let _one_at_a_time = self.creating.lock().unwrap_or_else(PoisonError::into_inner);
        let term = {
            let view = lock(&self.view);
            let newest = view.snapshot().map(|it| it.metadata.index);
            if newest.is_ok_and(|newest| index <= newest) {
                return Err(Error::SnapshotOutOfDate);
            }
            let term = view.term(index);
            term.map_err(|it| Error::Refused(format!("entry {index}: {it}")))?
        };
        let metadata = SnapshotMetadata {
            conf_state,
            index,
            term,
        };
        let snapshot = Snapshot { data, metadata };
        let mark = match snapshot::write_file(&self.folder, &snapshot, false) {
            Ok(mark) => mark,
            Err(error) => {
                if matches!(error, Error::SyncFailed { .. }) {
                    self.send(Work::Stop(error.clone()), Box::new(|_| {}));
                }
                return Err(error);
            }
        };
        self.wait(Work::Created(snapshot, mark))
    }

    /// Finishes all writes that were handed in and marks the end of the log as durable, so that
    /// damage anywhere in it is recognised at the next opening.
    ///
    /// # Errors
    /// The failure that has stopped the log, if any.
    pub fn close(mut self) -> Result<(), Error> {
        self.finish()
    }

    fn finish(&mut self) -> Result<(), Error> {
        drop(self.jobs.take());
        let writer = self.writer.take();
        // Dropped by a callback: the thread ends by itself.
        if matches!(&writer, Some(writer) if writer.thread().id() == thread::current().id()) {
            return Ok(());
        }
        match writer.map(JoinHandle::join) {
            Some(Ok(result)) => result,
            // It has panicked in a callback, or is joined already.
            Some(Err(_)) | None => Err(Error::Closed),
        }
    }

    fn send(&self, work: Work, done: Done) {
        let job = Job { work, done };
        let failed = match &self.jobs {
            Some(jobs) => jobs.send(job).err().map(|it| it.0),
            None => Some(job),
        };
        if let Some(job) = failed {
            (job.done)(Err(Error::Closed));
        }
    }

    fn wait(&self, work: Work) -> Result<(), Error> {
        let (done, result) = mpsc::sync_channel(1);
        // Whoever waits is still there.
        self.send(work, Box::new(move |result| drop(done.send(result))));
        result.recv().unwrap_or(Err(Error::Closed))
    }
}

impl Drop for Wal {
    fn drop(&mut self) {
        let _ = self.finish();
    }
}

/// The thread: takes all jobs that wait, syncs once, and answers them. After `idle` without jobs it
/// proves the end of the log.
fn run<D: Disk>(
    mut log: Log<D>,
    waiting: &Receiver<Job>,
    group_bytes: u64,
    idle: Duration,
) -> Result<(), Error> {
    let mut answers: Vec<(Done, Result<(), Error>)> = Vec::new();
    let mut is_sealed = true;
    loop {
        let first = match is_sealed {
            true => waiting.recv().map_err(RecvTimeoutError::from),
            false => waiting.recv_timeout(idle),
        };
        let first = match first {
            Ok(first) => first,
            Err(RecvTimeoutError::Disconnected) => return log.seal(),
            Err(RecvTimeoutError::Timeout) => {
                // A failure is reported to the next write, and by `close`.
                let _ = log.seal();
                is_sealed = true;
                continue;
            }
        };
        is_sealed = false;
        let mut bytes = 0;
        let mut next = Some(first);
        while let Some(Job { work, done }) = next.take() {
            bytes += work.payload_bytes();
            let staged = match work {
                Work::Write(write) => log.stage(write),
                Work::Created(snapshot, mark) => log.stage_created(snapshot, mark),
                Work::Stop(error) => {
                    log.stop(error);
                    Ok(())
                }
            };
            answers.push((done, staged));
            if bytes < group_bytes {
                next = waiting.try_recv().ok();
            }
        }
        let committed = log.commit();
        for (done, staged) in answers.drain(..) {
            done(staged.and_then(|()| committed.clone()));
        }
        // A failure is reported to the next write, and by `close`.
        let _ = log.maintain();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Metadata;
    use crate::sim::disk::{Fault, SimDisk};
    use lockstep_raft::{Entry, NodeId, Term};

    fn entry(index: u64) -> Write {
        let entry = Entry {
            term: Term(1),
            index: Index(index),
            data: vec![1; 400].into(),
            ..Entry::default()
        };
        Write {
            entries: vec![entry],
            ..Write::default()
        }
    }

    /// The results of four writes, one after the other, the second of which meets a fault.
    fn results(fault: Fault, calls: u32, segment_bytes: u64) -> Vec<String> {
        let mut options = Options::new(Metadata {
            cluster_id: 1,
            member_id: NodeId::new(1).expect("not zero"),
        });
        options.segment_bytes = segment_bytes;
        let disk = SimDisk::new(1, None);
        let (log, _) = Log::open(disk.clone(), &options).unwrap();
        let (jobs, waiting) = mpsc::channel();
        let writer = thread::spawn(move || run(log, &waiting, 1, Duration::MAX));
        let mut results = Vec::new();
        for index in 1..=4 {
            if index == 2 {
                disk.arm(calls, fault);
            }
            let (answer, answered) = mpsc::channel();
            let done: Done = Box::new(move |result| answer.send(result).unwrap());
            let work = Work::Write(entry(index));
            jobs.send(Job { work, done }).unwrap();
            results.push(match answered.recv().unwrap() {
                Ok(()) => "ok".to_owned(),
                Err(error) => error.to_string(),
            });
        }
        drop(jobs);
        let closed = writer.join().unwrap();
        results.push(closed.unwrap_err().to_string());
        results
    }

    #[test]
    fn a_failure_stops_the_log_and_names_its_cause() {
        let file = "00000000000000000001.wal";
        let cause = format!("syncing {file} failed; the log has stopped");
        let stopped = format!("the log has stopped: {cause}");
        assert_eq!(
            results(Fault::Error, 1, 4096),
            ["ok", &cause, &stopped, &stopped, &stopped]
        );
        let cause = format!("cannot write {file}");
        let stopped = format!("the log has stopped: {cause}");
        assert_eq!(
            results(Fault::Error, 0, 4096),
            ["ok", &cause, &stopped, &stopped, &stopped]
        );
    }

    #[test]
    fn a_full_disk_is_named_and_nothing_is_lost() {
        let cause = "the disk is full: no room for 00000000000000000003.wal";
        let stopped = format!("the log has stopped: {cause}");
        // Each write needs a new segment.
        assert_eq!(
            results(Fault::Full, 0, 1),
            ["ok", cause, &stopped, &stopped, &stopped]
        );
    }
}
