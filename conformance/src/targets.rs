//! The implementations that Lockstep can be pointed at.

pub mod dialect;
pub mod etcd;
pub mod exec;
pub mod lockstep_raft;
pub mod raft_rs;
pub mod spec;
