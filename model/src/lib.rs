//! An executable specification of etcd-style Raft, and the engine that checks it.
//!
//! The specification is a deterministic, pure transition function per server ([`Server::step`]), put
//! together with a network into a state graph ([`Cluster`]) that can be explored exhaustively. It is
//! written from the Raft paper ("In Search of an Understandable Consensus Algorithm", extended version),
//! Ongaro's thesis, and the observable behaviour of etcd's raft v3.6. Not here: snapshots, membership,
//! reads, leadership transfer, asynchronous storage.

pub mod search;

mod bounds;
mod checkable;
mod cluster;
mod codec;
mod dialect;
mod history;
mod ids;
mod message;
mod mutation;
mod network;
mod presets;
pub mod properties;
mod seq;
mod server;
mod settings;
mod symmetry;

pub use bounds::{Bounds, Budget, Kind, Spent};
pub use cluster::{Action, Cluster, ClusterState, Transition};
pub use dialect::{Departure, Dialect};
pub use history::History;
pub use ids::{Id, IdSet, MAX_SERVERS, OutOfRange};
#[doc(hidden)]
pub use mutation::Mutation;
pub use presets::Preset;
pub use server::{Server, Step};
pub use settings::{Settings, SettingsError};
