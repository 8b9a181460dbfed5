//! Tests of the whole engine, on small models that are not Raft, where that does not matter.

pub(crate) mod filter_lock;
pub(crate) mod two_phase;

mod agreement;
mod resume;
mod swarm;
mod verdicts;
