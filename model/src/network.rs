//! The network: an unordered multiset of messages in flight. It delivers them in any order, and may
//! duplicate and lose them.

use crate::message::Message;
use smallvec::SmallVec;

/// The messages in flight, sorted, each copy by itself: equal networks are equal values.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Network(SmallVec<[Message; 5]>);

impl Network {
    /// The number of messages in flight, copies counted.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// The message at a position.
    pub fn get(&self, position: usize) -> Option<&Message> {
        self.0.get(position)
    }

    pub(crate) fn as_slice(&self) -> &[Message] {
        &self.0
    }

    /// Every copy, sorted.
    pub fn iter(&self) -> impl Iterator<Item = &Message> {
        self.0.iter()
    }

    /// Every distinct message once: its first position, itself, and how many copies there are.
    pub fn distinct(&self) -> impl Iterator<Item = (usize, &Message, usize)> {
        let mut position = 0;
        self.0.chunk_by(|a, b| a == b).map(move |copies| {
            let first = position;
            position += copies.len();
            (first, &copies[0], copies.len())
        })
    }

    /// The network of messages that are sorted already.
    pub(crate) fn from_sorted(messages: impl Iterator<Item = Message>) -> Network {
        let network = Network(messages.collect());
        debug_assert!(network.0.is_sorted());
        network
    }

    pub(crate) fn insert(&mut self, message: Message) {
        let position = self.0.partition_point(|m| *m < message);
        self.0.insert(position, message);
    }

    /// Takes out the message at a position, which must exist.
    pub(crate) fn remove(&mut self, position: usize) -> Message {
        self.0.remove(position)
    }
}

impl FromIterator<Message> for Network {
    fn from_iter<I: IntoIterator<Item = Message>>(messages: I) -> Network {
        let mut messages: SmallVec<_> = messages.into_iter().collect();
        messages.sort_unstable();
        Network(messages)
    }
}
