//! What threads tell each other of moves.

use super::moves::Move;
use crate::bounds::Kind;
use std::sync::atomic::{AtomicU32, AtomicUsize, Ordering::Relaxed};
use std::sync::{Mutex, MutexGuard, PoisonError};

/// Moves are forgotten when they exceed so many bytes in a thread.
const MAX_MEMORY: usize = 48 << 20;

/// What a server got.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Input {
    /// An event without a message, other than a proposal.
    Event(Kind),
    /// The delivery of the message of this number.
    Delivery(u32),
    /// A proposal of the payload of this code.
    Proposal(u32),
}

/// The moves that any thread made. A *place* is a position here: it means the same move in all threads.
///
/// Nobody has to take the lock to see whether there is news. The numbers beside it say no more than that,
/// and whoever needs to know what the news is takes the lock: so relaxed loads and stores do.
#[derive(Default)]
pub(super) struct Log {
    told: Mutex<Told>,
    len: AtomicUsize,
    /// How often everything was forgotten.
    generation: AtomicU32,
    /// The most bytes that a thread needed for what it knows of this generation.
    memory: AtomicUsize,
}

/// What was told so far.
#[derive(Default)]
pub(super) struct Told {
    pub entries: Vec<Entry>,
    /// The messages sent, move by move.
    pub sent: Vec<u32>,
}

/// A move, and what it is the move of.
pub(super) struct Entry {
    pub moved: Move,
    pub before: u32,
    pub input: Input,
    /// Whether all may find it. Otherwise it has this place, and other threads must execute it themselves.
    pub for_all: bool,
}

impl Log {
    pub fn told(&self) -> MutexGuard<'_, Told> {
        // What is told is whole before its length is known: nothing is left half done if a thread panics.
        self.told.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// How many moves there are, or were a moment ago.
    #[inline]
    pub fn len(&self) -> usize {
        self.len.load(Relaxed)
    }

    /// Lets everybody know that there is news.
    pub fn note_len(&self, told: &Told) {
        self.len.store(told.entries.len(), Relaxed);
    }

    pub fn generation(&self) -> u32 {
        self.generation.load(Relaxed)
    }

    /// A thread needs so many bytes for what it knows.
    pub fn note_memory(&self, bytes: usize) {
        self.memory.fetch_max(bytes, Relaxed);
    }

    /// Forgets everything if it has become too much, while no thread is at work: places have no meaning
    /// afterwards.
    pub fn limit(&self) {
        if self.memory.load(Relaxed) > MAX_MEMORY {
            self.forget();
        }
    }

    /// Forgets everything, while no thread is at work.
    pub fn forget(&self) {
        let mut told = self.told();
        *told = Told::default();
        self.note_len(&told);
        self.memory.store(0, Relaxed);
        self.generation.fetch_add(1, Relaxed);
    }

    /// Bytes of memory.
    pub fn memory(&self) -> u64 {
        let told = self.told();
        let entries = told.entries.capacity() * size_of::<Entry>();
        (entries + told.sent.capacity() * size_of::<u32>()) as u64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_has_become_too_much_is_forgotten() {
        let log = Log::default();
        for (bytes, generation) in [(MAX_MEMORY, 0), (MAX_MEMORY + 1, 1), (1, 1)] {
            log.note_memory(bytes);
            log.note_memory(2);
            log.limit();
            assert_eq!(log.generation(), generation);
        }
    }
}
