//! The transport between Raft servers, on gRPC.
//!
//! To each peer goes one ordered stream of messages, and a separate one for each snapshot. Queues are
//! bounded by number and bytes, and [`Transport::send`] never blocks: what does not fit is dropped and
//! reported, as Raft wants it. Each call carries the version of the protocol, the cluster and both
//! members; a member that was removed is told so.
//!
//! Not in here: encryption. Peers talk in plain text, so their addresses must be those of a trusted network.

mod handler;
mod handshake;
mod peer;
pub mod proto;
mod service;
mod snapshot;
mod transport;

pub use handler::{Handler, SnapshotSink};
pub use handshake::VERSION;
pub use service::PeerService;
pub use snapshot::SnapshotWriter;
pub use transport::{Options, Transport, ask_stranger};
