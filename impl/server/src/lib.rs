//! A replicated key-value store with etcd's v3 gRPC interface, on the production Raft of this repository.

pub mod api;
pub mod log;
mod metrics;
pub mod serve;
pub mod server;
pub mod store;
