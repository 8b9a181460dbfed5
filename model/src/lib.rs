//! An executable specification of etcd-style Raft, and the engine that checks it.

pub mod search;
