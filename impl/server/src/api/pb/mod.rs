//! The messages of etcd's v3 interface, with the names and field numbers of its public `rpc.proto`
//! and `kv.proto`. The fields mean what [etcd's reference of the interface][reference] says.
//!
//! [reference]: https://etcd.io/docs/v3.6/dev-guide/api_reference_v3/
#![allow(
    missing_docs,
    reason = "the fields are those of etcd's interface, and documented there"
)]

mod cluster;
mod kv;
mod maintenance;

pub use cluster::*;
pub use kv::*;
pub use maintenance::*;

/// The state of the server that answered.
#[derive(Clone, Copy, PartialEq, Eq, Hash, prost::Message)]
pub struct ResponseHeader {
    #[prost(uint64, tag = "1")]
    pub cluster_id: u64,
    #[prost(uint64, tag = "2")]
    pub member_id: u64,
    #[prost(int64, tag = "3")]
    pub revision: i64,
    #[prost(uint64, tag = "4")]
    pub raft_term: u64,
}
