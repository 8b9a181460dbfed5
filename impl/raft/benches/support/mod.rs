//! Groups of servers in memory, ours and those of the `raft` crate, behind the same few calls.
//!
//! Both do the same work: every server appends to its memory storage, keeps its hard state, applies
//! every entry (which adds the length of the payload to a sum), and hands on messages without encoding
//! them. Both start from the same membership and the same limits, have pre-vote and check-quorum off,
//! and drop the entries of their logs that are applied whenever [`KEPT_ENTRIES`] have gathered.

mod nodes;
pub mod ours;
pub mod raft_rs;

use bytes::Bytes;

/// After how many applied entries a log is compacted.
pub const KEPT_ENTRIES: u64 = 4096;

/// A group of servers; server 1 leads.
pub trait Group {
    /// A group of `size` voters whose leader is elected and has committed the first entry.
    fn new(size: u64) -> Self;

    /// Proposes at the leader; nothing is sent yet.
    fn propose(&mut self, data: Bytes);

    /// Lets all servers work and exchange messages until nothing is left to do.
    fn settle(&mut self);

    /// One heartbeat round: the leader's timer fires, everybody answers.
    fn heartbeat_round(&mut self);

    /// Adds server 1000 as a learner, or removes it again.
    fn change_membership(&mut self, add: bool);

    /// Bytes of payload that all servers together have applied.
    fn applied_bytes(&self) -> u64;
}

/// Proposes `count` payloads at once and sees them applied everywhere.
pub fn replicate<G: Group>(group: &mut G, data: &Bytes, count: usize) {
    for _ in 0..count {
        group.propose(data.clone());
    }
    group.settle();
}
