//! Scenarios of the paper and the thesis, on clusters in memory.

mod cluster;
mod elections;
mod replication;
