//! Identities and positions as types of their own, so that a term is never passed for an index.

use std::fmt;
use std::num::NonZeroU64;
use std::ops::{Add, AddAssign, Sub};

/// The identity of one server of a Raft group. Never zero: "nobody" is `Option<NodeId>::None`.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct NodeId(NonZeroU64);

impl NodeId {
    /// Address of the thread that writes the log, used with asynchronous storage writes.
    pub const APPEND_THREAD: NodeId = NodeId(NonZeroU64::MAX);
    /// Address of the thread that applies committed entries, used with asynchronous storage writes.
    pub const APPLY_THREAD: NodeId = match NonZeroU64::new(u64::MAX - 1) {
        Some(id) => NodeId(id),
        None => unreachable!(),
    };

    /// The identity with this number, or `None` for zero.
    pub const fn new(id: u64) -> Option<NodeId> {
        match NonZeroU64::new(id) {
            Some(id) => Some(NodeId(id)),
            None => None,
        }
    }

    /// The number itself; never zero.
    pub const fn get(self) -> u64 {
        self.0.get()
    }

    /// Whether this is the address of a local storage thread and not of a server.
    pub const fn is_storage_thread(self) -> bool {
        self.get() >= NodeId::APPLY_THREAD.get()
    }
}

impl From<NonZeroU64> for NodeId {
    fn from(id: NonZeroU64) -> NodeId {
        NodeId(id)
    }
}

impl From<NodeId> for u64 {
    fn from(id: NodeId) -> u64 {
        id.get()
    }
}

impl fmt::Debug for NodeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl fmt::Display for NodeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            NodeId::APPEND_THREAD => f.write_str("append-thread"),
            NodeId::APPLY_THREAD => f.write_str("apply-thread"),
            NodeId(id) => write!(f, "{id}"),
        }
    }
}

macro_rules! number {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(pub u64);

        impl $name {
            /// Zero.
            pub const ZERO: $name = $name(0);

            /// The number itself.
            pub const fn get(self) -> u64 {
                self.0
            }

            /// The number after this one.
            #[must_use]
            pub const fn next(self) -> $name {
                $name(self.0 + 1)
            }

            /// Whether this is zero.
            pub const fn is_zero(self) -> bool {
                self.0 == 0
            }
        }

        impl From<u64> for $name {
            fn from(value: u64) -> $name {
                $name(value)
            }
        }

        impl From<$name> for u64 {
            fn from(value: $name) -> u64 {
                value.0
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{}", self.0)
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{}", self.0)
            }
        }
    };
}

number! {
    /// An election term (Raft §5.1). Zero is the term before the first election, and the term of
    /// messages that belong to no term (see [`Message::term`](super::Message::term)).
    Term
}

number! {
    /// A position in the replicated log. The first entry has index 1; zero is "before the log".
    Index
}

impl Index {
    /// The index before this one; zero stays zero.
    #[must_use]
    pub const fn prev(self) -> Index {
        Index(self.0.saturating_sub(1))
    }
}

impl Add<u64> for Index {
    type Output = Index;

    fn add(self, count: u64) -> Index {
        Index(self.0 + count)
    }
}

impl AddAssign<u64> for Index {
    fn add_assign(&mut self, count: u64) {
        self.0 += count;
    }
}

/// The distance between two positions; the right one must not lie behind the left one.
impl Sub for Index {
    type Output = u64;

    fn sub(self, other: Index) -> u64 {
        self.0 - other.0
    }
}
