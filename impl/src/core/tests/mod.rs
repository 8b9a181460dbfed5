//! Scenarios of the paper and the thesis, on clusters in memory.

mod async_writes;
mod cluster;
mod elections;
mod leases;
mod membership;
mod reads;
mod refusals;
mod replication;
mod snapshots;
mod transfer;
