//! Names of servers as the specification keeps them: one byte each, so that a state stays small.

use lockstep_traces::ServerId;
use std::fmt;
use std::num::NonZeroU8;

/// The number of servers that a cluster of the specification may have.
pub const MAX_SERVERS: usize = 5;

/// The number of servers that one server can tell apart: those of a recorded run are not explored, so they may be more.
pub const MAX_MEMBERS: usize = 7;

const _: () = assert!(
    MAX_SERVERS <= MAX_MEMBERS && MAX_MEMBERS < 8,
    "a change names a server in three bits"
);

/// The name of a server: `1..=servers` for members, any other number for a stranger.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Id(NonZeroU8);

impl Id {
    /// The server of that number; `None` for zero.
    pub const fn new(number: u8) -> Option<Id> {
        match NonZeroU8::new(number) {
            Some(number) => Some(Id(number)),
            None => None,
        }
    }

    /// The member in slot `slot`, counted from zero.
    pub(crate) fn from_slot(slot: usize) -> Id {
        debug_assert!(slot < MAX_MEMBERS);
        Id(NonZeroU8::MIN.saturating_add(slot as u8))
    }

    /// The number of this server; at least one.
    pub const fn get(self) -> u8 {
        self.0.get()
    }

    /// The slot of this server in an array of all members.
    pub(crate) fn slot(self) -> usize {
        usize::from(self.get()) - 1
    }
}

impl From<Id> for ServerId {
    fn from(id: Id) -> ServerId {
        ServerId::new(u64::from(id.get())).unwrap_or_else(|| unreachable!("an Id is never zero"))
    }
}

impl TryFrom<ServerId> for Id {
    type Error = OutOfRange;

    fn try_from(id: ServerId) -> Result<Id, OutOfRange> {
        u8::try_from(id.get())
            .ok()
            .and_then(Id::new)
            .ok_or(OutOfRange)
    }
}

impl fmt::Debug for Id {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "s{}", self.0)
    }
}

impl fmt::Display for Id {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// A number is larger than the specification can hold: server names fit into 8 bits; terms, indexes and
/// client values into 31.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "a number is out of the range of the specification (names 8 bits, terms, indexes and values 31 bits)"
)]
pub struct OutOfRange;

/// A set of members.
#[derive(Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct IdSet(u8);

impl IdSet {
    /// Nobody.
    pub const EMPTY: IdSet = IdSet(0);

    /// The set with the members of these bits, bit 0 for server 1.
    pub(crate) const fn from_bits(bits: u8) -> IdSet {
        IdSet(bits)
    }

    /// One bit for each member, bit 0 for server 1.
    pub(crate) const fn bits(self) -> u8 {
        self.0
    }

    /// The servers `1..=servers`.
    pub(crate) const fn first(servers: u8) -> IdSet {
        IdSet(((1u16 << servers) - 1) as u8)
    }

    /// Everybody who is in either set.
    pub(crate) const fn or(self, other: IdSet) -> IdSet {
        IdSet(self.0 | other.0)
    }

    /// Everybody who is in both sets.
    pub(crate) const fn and(self, other: IdSet) -> IdSet {
        IdSet(self.0 & other.0)
    }

    /// Everybody who is in this set and not in the other one.
    pub(crate) const fn without(self, other: IdSet) -> IdSet {
        IdSet(self.0 & !other.0)
    }

    /// Takes a member out.
    pub(crate) fn remove(&mut self, id: Id) {
        debug_assert!(id.slot() < MAX_MEMBERS);
        self.0 &= !(1 << id.slot());
    }

    /// Adds a member.
    pub fn insert(&mut self, id: Id) {
        debug_assert!(id.slot() < MAX_MEMBERS);
        self.0 |= 1 << id.slot();
    }

    /// Whether the server is in the set.
    pub fn contains(self, id: Id) -> bool {
        id.slot() < MAX_MEMBERS && self.0 & 1 << id.slot() != 0
    }

    /// The number of members in the set.
    pub const fn len(self) -> usize {
        self.0.count_ones() as usize
    }

    /// Whether the set is empty.
    pub const fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// The members, in order.
    pub fn iter(self) -> impl Iterator<Item = Id> {
        (0..MAX_MEMBERS)
            .map(Id::from_slot)
            .filter(move |id| self.contains(*id))
    }
}

impl fmt::Debug for IdSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.iter()).finish()
    }
}
