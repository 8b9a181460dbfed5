//! Scenarios of the paper and the thesis, on clusters in memory.

mod async_writes;
mod bootstrap;
mod campaigns;
mod cluster;
mod crashes;
mod elections;
mod leases;
mod limits;
mod membership;
mod peers;
mod reads;
mod reconfiguration;
mod refusals;
mod replication;
mod small_print;
mod snapshots;
mod start;
mod storage_failures;
mod timers;
mod transfer;
mod untimed;
