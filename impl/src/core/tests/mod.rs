//! Scenarios of the paper and the thesis, on clusters in memory.

mod async_writes;
mod bootstrap;
mod campaigns;
mod cluster;
mod elections;
mod leases;
mod membership;
mod peers;
mod reads;
mod reconfiguration;
mod refusals;
mod replication;
mod snapshots;
mod transfer;
