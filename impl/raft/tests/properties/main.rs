//! Property tests of the pure parts, against brute force and against their stated invariants.

mod arbitrary;
mod confchange;
mod quorum;
mod tracker;

use lockstep_raft::NodeId;

/// The id with this number, which is not zero.
fn id(id: u64) -> NodeId {
    NodeId::new(id).expect("ids of tests are not zero")
}
