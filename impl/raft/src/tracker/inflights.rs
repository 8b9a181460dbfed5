//! The window of appends that a follower has not acknowledged yet (pipelining, thesis §10.2.2; the
//! limits are those of etcd's `tracker.Inflights`).

use std::collections::VecDeque;

use crate::types::Index;

/// The appends on their way to one follower, limited in number and in bytes.
///
/// The limit in bytes is soft: the message that reaches or passes it still fits. The window grows
/// on demand, so an idle group costs nothing. (As etcd's `tracker.Inflights`.)
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Inflights {
    // Invariant: ascending by last index.
    messages: VecDeque<Inflight>,
    // Invariant: the sum over `messages`.
    bytes: u64,
    max_messages: usize,
    max_bytes: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct Inflight {
    last_index: Index,
    bytes: u64,
}

impl Inflights {
    /// An empty window for `max_messages` messages and `max_bytes` bytes of entries (0: no limit
    /// in bytes).
    pub fn new(max_messages: usize, max_bytes: u64) -> Self {
        Self {
            messages: VecDeque::new(),
            bytes: 0,
            max_messages,
            max_bytes,
        }
    }

    /// Notes that a message was sent whose last entry is at `last_index`, with `bytes` of entries.
    ///
    /// The caller has seen that the window is not [full](Self::is_full), and sends in order of
    /// the log: anything else is a bug in the caller and caught in debug builds.
    pub fn add(&mut self, last_index: Index, bytes: u64) {
        debug_assert!(!self.is_full(), "a message was added to a full window");
        debug_assert!(
            self.messages
                .back()
                .is_none_or(|last| last.last_index <= last_index),
            "messages are added in order of the log"
        );
        self.messages.push_back(Inflight { last_index, bytes });
        self.bytes += bytes;
    }

    /// Frees what an acknowledgement of everything up to `index` covers.
    pub fn free_up_to(&mut self, index: Index) {
        while let Some(first) = self.messages.front().copied()
            && first.last_index <= index
        {
            self.messages.pop_front();
            self.bytes -= first.bytes;
        }
    }

    /// Whether the next message has to wait.
    pub fn is_full(&self) -> bool {
        self.messages.len() >= self.max_messages
            || (self.max_bytes != 0 && self.bytes >= self.max_bytes)
    }

    /// The number of messages in flight.
    pub fn len(&self) -> usize {
        self.messages.len()
    }

    /// Whether no message is in flight.
    pub fn is_empty(&self) -> bool {
        self.messages.is_empty()
    }

    /// The bytes of entries in flight.
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    /// The last index of each message in flight, in the order sent.
    pub fn last_indexes(&self) -> impl Iterator<Item = Index> + '_ {
        self.messages.iter().map(|message| message.last_index)
    }

    /// Forgets every message; keeps the limits and the memory.
    pub fn clear(&mut self) {
        self.messages.clear();
        self.bytes = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn is_limited_in_messages() {
        let mut window = Inflights::new(2, 0);
        window.add(Index(3), 100);
        assert!(!window.is_full());
        window.add(Index(5), 100);
        assert!(window.is_full());
        window.free_up_to(Index(4));
        assert!(!window.is_full());
        assert_eq!(window.last_indexes().collect::<Vec<_>>(), [Index(5)]);
        assert_eq!(window.bytes(), 100);
    }

    #[test]
    fn is_limited_in_bytes_softly() {
        let mut window = Inflights::new(10, 100);
        window.add(Index(1), 99);
        assert!(!window.is_full());
        window.add(Index(2), 500);
        assert!(window.is_full());
        window.free_up_to(Index(1));
        assert!(window.is_full());
        window.free_up_to(Index(2));
        assert!(!window.is_full() && window.is_empty());
    }

    #[test]
    fn an_old_acknowledgement_frees_nothing() {
        let mut window = Inflights::new(10, 0);
        window.add(Index(7), 1);
        window.free_up_to(Index(6));
        assert_eq!(window.len(), 1);
        window.clear();
        assert_eq!((window.len(), window.bytes()), (0, 0));
    }

    #[test]
    #[should_panic(expected = "full window")]
    #[cfg(debug_assertions)]
    fn a_message_into_a_full_window_is_a_bug() {
        Inflights::new(0, 0).add(Index(1), 1);
    }
}
