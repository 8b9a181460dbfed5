//! The wire format: bytes under the tags and types of etcd's `raftpb`.
//!
//! What etcd writes we decode, and what we write has the same bytes as what etcd writes for the same
//! message. Bytes come from elsewhere: whatever is wrong with them is an error, never a panic.
//!
//! ```
//! use lockstep_raft::{Body, Message, NodeId, Term, wire};
//!
//! let [one, two] = [1, 2].map(|id| NodeId::new(id).unwrap());
//! let vote = Message { from: one, to: two, term: Term(7), body: Body::RequestVoteResponse { granted: true } };
//! let bytes = wire::encode(&vote);
//! assert_eq!(wire::decode::<Message>(bytes), Ok(vote));
//! ```

mod conf;
#[doc(hidden)]
pub mod fuzzing;
mod message;
pub mod raftpb;
mod state;

use bytes::Bytes;
use prost::Message as _;

use crate::types::{
    ConfChange, ConfChangeV2, ConfState, Entry, EntryKind, HardState, Message, MessageKind, NodeId,
    Snapshot,
};

/// Bytes that are not a value of the type that was asked for.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum WireError {
    /// Not a protobuf encoding, or one of other types under the same tags.
    #[error("malformed protobuf: {0}")]
    Protobuf(#[from] prost::DecodeError),
    /// A number that stands for nothing we know.
    #[error("unknown {what}: {value}")]
    Unknown {
        /// The meaning that it should have.
        what: &'static str,
        /// The number.
        value: i32,
    },
    /// A message that a server of etcd sends to itself.
    #[error("a message of type {0} is local to a server and must not be sent")]
    ToItself(i32),
    /// The id of a server is missing or zero.
    #[error("{0} is missing or zero")]
    NoServer(&'static str),
    /// A read without its context, or with more than one.
    #[error("{kind:?} needs its context in exactly one entry, and has {entries}")]
    Context {
        /// The message.
        kind: MessageKind,
        /// The number of entries that it has.
        entries: usize,
    },
}

/// A type that has a wire format.
pub trait Wire: Sized + sealed::Sealed {
    /// The structure of `raftpb` that carries it.
    type Raw: prost::Message + Default;

    /// The value in the form of `raftpb`. Payloads are shared, not copied.
    fn to_raw(&self) -> Self::Raw;

    /// The value from the form of `raftpb`.
    ///
    /// # Errors
    /// If it has no meaning for us.
    fn from_raw(raw: Self::Raw) -> Result<Self, WireError>;
}

mod sealed {
    /// The wire format is etcd's: nothing is to be added to it.
    pub trait Sealed {}
}

macro_rules! sealed {
    ($($type:ty),+) => { $(impl sealed::Sealed for $type {})+ };
}

sealed!(
    Message,
    Entry,
    Snapshot,
    HardState,
    ConfState,
    ConfChange,
    ConfChangeV2
);

/// The bytes of a value.
pub fn encode<T: Wire>(value: &T) -> Bytes {
    value.to_raw().encode_to_vec().into()
}

/// The value of some bytes. Payloads share the memory of `bytes`.
///
/// # Errors
/// If the bytes are damaged or have no meaning for us.
pub fn decode<T: Wire>(bytes: Bytes) -> Result<T, WireError> {
    T::from_raw(T::Raw::decode(bytes)?)
}

/// The payload of an entry of the kind [`ConfChange`](crate::EntryKind::ConfChange).
pub fn encode_conf_change(change: &ConfChange) -> Bytes {
    encode(change)
}

/// The change in an entry of the kind [`ConfChange`](crate::EntryKind::ConfChange).
///
/// # Errors
/// As [`decode`].
pub fn decode_conf_change(data: &[u8]) -> Result<ConfChange, WireError> {
    decode(Bytes::copy_from_slice(data))
}

/// The payload of an entry of the kind [`ConfChangeV2`](crate::EntryKind::ConfChangeV2).
pub fn encode_conf_change_v2(change: &ConfChangeV2) -> Bytes {
    encode(change)
}

/// The change in an entry of the kind [`ConfChangeV2`](crate::EntryKind::ConfChangeV2). An empty
/// payload is the change that leaves a joint configuration.
///
/// # Errors
/// As [`decode`].
pub fn decode_conf_change_v2(data: &[u8]) -> Result<ConfChangeV2, WireError> {
    decode(Bytes::copy_from_slice(data))
}

/// The change of membership in an entry, in the general form; `None` for an entry of the application.
///
/// ```
/// use lockstep_raft::{ConfChangeV2, Entry, EntryKind, wire};
///
/// assert_eq!(wire::conf_change_of(&Entry::default())?, None);
/// let leave = Entry { kind: EntryKind::ConfChangeV2, ..Entry::default() };
/// assert_eq!(wire::conf_change_of(&leave)?, Some(ConfChangeV2::default()));
/// # Ok::<(), wire::WireError>(())
/// ```
///
/// # Errors
/// As [`decode`].
pub fn conf_change_of(entry: &Entry) -> Result<Option<ConfChangeV2>, WireError> {
    match entry.kind {
        EntryKind::Normal => Ok(None),
        EntryKind::ConfChange => {
            decode::<ConfChange>(entry.data.clone()).map(|change| Some(change.into()))
        }
        EntryKind::ConfChangeV2 => decode(entry.data.clone()).map(Some),
    }
}

/// Empty bytes are left out, as etcd leaves out those it never set.
fn non_empty(bytes: &Bytes) -> Option<Bytes> {
    (!bytes.is_empty()).then(|| bytes.clone())
}

fn server(id: Option<u64>, what: &'static str) -> Result<NodeId, WireError> {
    optional_server(id).ok_or(WireError::NoServer(what))
}

/// Zero and absent both mean nobody.
fn optional_server(id: Option<u64>) -> Option<NodeId> {
    NodeId::new(id.unwrap_or_default())
}
