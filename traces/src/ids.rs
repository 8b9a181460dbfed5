use serde::{Deserialize, Serialize};
use std::fmt;
use std::num::NonZeroU64;

/// The name of a server. Never zero: zero is what raftpb writes for "nobody", and a name that equals
/// "nobody" lets a server vote twice.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(transparent)]
pub struct ServerId(NonZeroU64);

impl ServerId {
    /// The server of that number, or `None` for zero.
    pub const fn new(id: u64) -> Option<ServerId> {
        match NonZeroU64::new(id) {
            Some(id) => Some(ServerId(id)),
            None => None,
        }
    }

    /// The number of this server; at least one.
    pub const fn get(self) -> u64 {
        self.0.get()
    }
}

impl fmt::Display for ServerId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl fmt::Debug for ServerId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "s{}", self.0)
    }
}

macro_rules! counter {
    ($(#[$doc:meta])* $name:ident, $prefix:literal) => {
        $(#[$doc])*
        #[derive(
            Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize
        )]
        #[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
        #[serde(transparent)]
        pub struct $name(pub u64);

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, concat!($prefix, "{}"), self.0)
            }
        }
    };
}

counter!(
    /// A term (Raft paper, section 5.1). Zero is the term before any election.
    Term,
    "t"
);
counter!(
    /// A position in the log. The first entry has index one; zero means "before the log".
    Index,
    "i"
);
