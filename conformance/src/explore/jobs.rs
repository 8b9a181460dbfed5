//! Searches that run while the browser asks how far they are.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use serde::Serialize;

/// The number of results kept for browsers that have not asked yet.
const KEPT: usize = 16;

/// A search, as the browser sees it.
#[derive(Clone, Debug, Serialize)]
#[serde(tag = "state", rename_all = "snake_case")]
pub enum Job {
    /// It is still looking.
    Running {
        /// Distinct states so far.
        states: u64,
        /// Steps from where it began.
        depth: u32,
    },
    /// It found a way.
    Found {
        /// The link of the whole path.
        path: String,
        /// The number of steps that it added.
        steps: usize,
    },
    /// There is none within the bounds.
    Nowhere {
        /// Distinct states.
        states: u64,
    },
    /// It gave up.
    Stopped {
        /// The limit that ended it.
        by: String,
        /// Distinct states.
        states: u64,
    },
    /// It could not be done.
    Failed {
        /// The reason.
        error: String,
    },
}

/// The searches of this process.
#[derive(Debug, Default)]
pub struct Jobs(Mutex<Table>);

#[derive(Debug, Default)]
struct Table {
    next: u64,
    jobs: BTreeMap<u64, (Job, Arc<AtomicBool>)>,
}

impl Jobs {
    fn table(&self) -> std::sync::MutexGuard<'_, Table> {
        // An entry is whole whenever the lock is free.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Enters a search; its number, and the flag that asks it to stop. Older searches are asked to stop: one
    /// machine looks for one thing at a time.
    pub fn begin(&self) -> (u64, Arc<AtomicBool>) {
        let mut table = self.table();
        for (_, stop) in table.jobs.values() {
            stop.store(true, Ordering::Relaxed);
        }
        table.next += 1;
        let number = table.next;
        let stop = Arc::new(AtomicBool::new(false));
        let running = Job::Running {
            states: 0,
            depth: 0,
        };
        table.jobs.insert(number, (running, Arc::clone(&stop)));
        while table.jobs.len() > KEPT {
            table.jobs.pop_first();
        }
        (number, stop)
    }

    /// Notes how a search stands.
    pub fn set(&self, number: u64, job: Job) {
        if let Some(entry) = self.table().jobs.get_mut(&number) {
            entry.0 = job;
        }
    }

    /// Returns the state of a search.
    pub fn get(&self, number: u64) -> Option<Job> {
        self.table().jobs.get(&number).map(|(job, _)| job.clone())
    }

    /// Asks a search to stop.
    pub fn stop(&self, number: u64) {
        if let Some((_, stop)) = self.table().jobs.get(&number) {
            stop.store(true, Ordering::Relaxed);
        }
    }

    /// Asks every search to stop.
    pub fn stop_all(&self) {
        for (_, stop) in self.table().jobs.values() {
            stop.store(true, Ordering::Relaxed);
        }
    }
}
