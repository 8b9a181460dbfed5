//! Quorums: which index a set of voters has committed, and how their votes add up.
//!
//! Pure arithmetic over sets of node ids. Nothing here knows of logs, messages or roles; the
//! caller answers "what has this voter acknowledged" and "how did this voter vote", and gets the
//! decision of the quorum. A configuration is either one majority or, during a change of
//! membership, two that must agree (Raft thesis, section 4.3).
//!
//! ```
//! use lockstep_raft::quorum::{JointConfig, MajorityConfig, VoteResult};
//! use lockstep_raft::{Index, NodeId};
//!
//! let majority = |ids: [u64; 3]| ids.into_iter().filter_map(NodeId::new).collect::<MajorityConfig>();
//! let (old, new) = (majority([1, 2, 3]), majority([3, 4, 5]));
//! // Servers 1, 2 and 3 have 9 entries, the others 4.
//! let acked = |id: NodeId| Some(Index(if id.get() <= 3 { 9 } else { 4 }));
//! assert_eq!(old.committed_index(acked), Index(9));
//! let joint = JointConfig { incoming: new, outgoing: old };
//! assert_eq!(joint.committed_index(acked), Index(4));
//! assert_eq!(joint.vote_result(|id| Some(id.get() <= 3)), VoteResult::Lost);
//! ```

mod describe;
mod id_set;
mod joint;
mod majority;

pub use id_set::{IdSet, Ids};
pub use joint::JointConfig;
pub use majority::MajorityConfig;

use std::fmt;

use crate::types::Index;

/// The committed index of an empty quorum: no bound.
///
/// It is the neutral element when two quorums must agree, so that a joint configuration with one
/// empty half decides as the other half alone does.
pub const UNBOUNDED: Index = Index(u64::MAX);

/// The state of a vote, as far as the votes that were cast decide it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum VoteResult {
    /// Votes that are still missing decide.
    Pending,
    /// No quorum can be reached any more.
    Lost,
    /// A quorum has voted yes.
    Won,
}

impl fmt::Display for VoteResult {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            VoteResult::Pending => "VotePending",
            VoteResult::Lost => "VoteLost",
            VoteResult::Won => "VoteWon",
        })
    }
}
