//! The steps that threads publish to each other.

use std::sync::atomic::{AtomicU32, AtomicUsize, Ordering::Relaxed};
use std::sync::{Mutex, MutexGuard, PoisonError};

/// The memory of steps in a thread, in bytes, beyond which they are forgotten.
const MAX_MEMORY: usize = 48 << 20;

/// An input of a server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Input {
    /// A local input of this kind that has no parameter.
    Local(usize),
    /// A local input of this kind with this parameter.
    Parametric(usize, u32),
    /// The delivery of the message with this id.
    Delivery(u32),
}

/// Facts about a step that are true wherever it is taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Context {
    /// The server may not be in the state it is in now: every state is beyond the bound.
    Beyond,
    /// It was beyond the bound where it was executed, so that no property was evaluated.
    Unevaluated,
    /// The properties of steps were evaluated.
    Evaluated,
}

/// The effect of an input at a server.
#[derive(Clone, Copy)]
pub(super) struct Effect {
    /// The growth of the sum of the hashes of the components, but for those of history and budgets.
    pub change: u128,
    /// The server afterwards.
    pub server: u32,
    /// Its coverage class.
    pub class: u32,
    /// The message that it sent, if it is one, or where those that it sent begin among all sent.
    pub sent: u32,
    pub sent_len: u16,
    pub context: Context,
    /// Whether the history has something to remember.
    pub recorded: bool,
}

impl Effect {
    /// The number of messages that the server sent.
    pub fn sent_len(&self) -> usize {
        usize::from(self.sent_len)
    }
}

/// The steps that any thread executed. A *place* is a position here: it means the same step in all threads.
///
/// Nobody has to take the lock to see whether there is news. The numbers beside it say no more than that,
/// and whoever needs to know what the news is takes the lock: so relaxed loads and stores do.
#[derive(Default)]
pub(super) struct Log {
    published: Mutex<Published>,
    len: AtomicUsize,
    /// The number of times that everything was forgotten.
    generation: AtomicU32,
    /// The most bytes that a thread needed for what it knows of this generation.
    memory: AtomicUsize,
}

/// The steps published so far.
#[derive(Default)]
pub(super) struct Published {
    pub entries: Vec<Entry>,
    /// The messages sent, step by step.
    pub sent: Vec<u32>,
}

/// A step, and what it is the step of.
pub(super) struct Entry {
    pub effect: Effect,
    pub before: u32,
    pub input: Input,
    /// Whether all may find it. Otherwise it has this place, and other threads must execute it themselves.
    pub for_all: bool,
}

impl Log {
    pub fn published(&self) -> MutexGuard<'_, Published> {
        // What is published is whole before its length is known: nothing is left half done if a thread panics.
        self.published
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    /// Returns the number of steps, as of a moment ago.
    #[inline]
    pub fn len(&self) -> usize {
        self.len.load(Relaxed)
    }

    /// Lets everybody know that there is news.
    pub fn note_len(&self, published: &Published) {
        self.len.store(published.entries.len(), Relaxed);
    }

    pub fn generation(&self) -> u32 {
        self.generation.load(Relaxed)
    }

    /// Notes the memory that a thread needs for its steps.
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
        let mut published = self.published();
        *published = Published::default();
        self.note_len(&published);
        self.memory.store(0, Relaxed);
        self.generation.fetch_add(1, Relaxed);
    }

    /// Bytes of memory.
    pub fn memory(&self) -> u64 {
        let published = self.published();
        let entries = published.entries.capacity() * size_of::<Entry>();
        (entries + published.sent.capacity() * size_of::<u32>()) as u64
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
