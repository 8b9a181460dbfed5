//! The vocabulary of the library: plain values, all `Clone + Debug + Eq + Hash`, with no behaviour
//! beyond what their own fields decide.
//!
//! Names are those of the Raft paper and of the thesis. The `Msg…` names of etcd's `raftpb` appear
//! only at the wire boundary; the map between the two is the table at [`Body`].

mod conf;
mod entry;
mod ids;
mod message;
mod state;

pub use conf::{ConfChange, ConfChangeKind, ConfChangeSingle, ConfChangeV2, ConfState, Transition};
pub use entry::{Entry, EntryId, EntryKind, Snapshot, SnapshotMetadata, limit_count};
pub(crate) use entry::{entries_len, payloads_len};
pub use ids::{Index, NodeId, Term};
pub use message::{Body, Message, MessageKind, Rejection, StorageAppend};
pub use state::{HardState, ReadState, Role, SoftState};
