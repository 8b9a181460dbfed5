//! Sharing out work among threads.

use super::error::SearchError;
use rayon::{ThreadPool, ThreadPoolBuilder};
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

/// The time that a thread that has nothing to do stays awake. To be woken up takes it longer than most of what the
/// others do meanwhile.
const AWAKE: Duration = Duration::from_micros(200);

/// Threads that work on one thing after the other: this one, and others that wait in between.
pub(super) struct Threads {
    others: Option<ThreadPool>,
    /// The number of times that there was work to share out.
    rounds: Arc<AtomicU64>,
}

impl Threads {
    /// This thread alone.
    pub fn alone() -> Self {
        Threads {
            others: None,
            rounds: Arc::default(),
        }
    }

    /// Returns a team of `count` threads, this one included; at least this one.
    ///
    /// # Errors
    ///
    /// The system gives no more threads.
    pub fn new(count: usize) -> Result<Self, SearchError> {
        let others = (count > 1).then(|| {
            let threads = ThreadPoolBuilder::new().num_threads(count - 1);
            threads.build().map_err(SearchError::Threads)
        });
        Ok(Threads {
            others: others.transpose()?,
            ..Threads::alone()
        })
    }

    /// Calls `work` once for each of `items`, of which there are `count`. The threads take them in order, and
    /// each makes itself a `scratch` first.
    ///
    /// # Panics
    ///
    /// If `work` does.
    pub fn for_each<T, S>(
        &self,
        count: usize,
        items: impl Iterator<Item = T> + Send,
        scratch: impl Fn() -> S + Sync,
        work: impl Fn(&mut S, T) + Sync,
    ) {
        let items = Mutex::new(items);
        // A poisoned lock means that another thread is already panicking; this one just ends.
        let next = || items.lock().ok().and_then(|mut items| items.next());
        let run = || {
            let mut scratch = scratch();
            while let Some(item) = next() {
                work(&mut scratch, item);
            }
        };
        let Some(others) = &self.others else {
            return run();
        };
        let round = self.rounds.fetch_add(1, Ordering::Release) + 1;
        let at_work = AtomicUsize::new(others.current_num_threads().min(count.saturating_sub(1)));
        others.in_place_scope(|scope| {
            for _ in 0..at_work.load(Ordering::Relaxed) {
                scope.spawn(|_| {
                    run();
                    at_work.fetch_sub(1, Ordering::Release);
                });
            }
            run();
            wait_until(|| at_work.load(Ordering::Acquire) == 0);
        });
        for _ in 0..others.current_num_threads() {
            let rounds = self.rounds.clone();
            others.spawn(move || wait_until(|| rounds.load(Ordering::Acquire) != round));
        }
    }
}

/// Returns when that has happened, or after a while.
fn wait_until(happened: impl Fn() -> bool) {
    let began = Instant::now();
    while !happened() && began.elapsed() < AWAKE {
        std::hint::spin_loop();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_item_is_worked_on_once() {
        for threads in 0..4 {
            let threads = Threads::new(threads).unwrap();
            for count in [1000, 2, 1, 0] {
                let mut items = vec![0; count];
                threads.for_each(count, items.iter_mut(), || 1, |one, item| *item += *one);
                assert_eq!(items, vec![1; count]);
            }
        }
    }
}
