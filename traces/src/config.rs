use crate::ServerId;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// How the servers of a cluster are set up: everything that a server has to be told before its first
/// event. It is part of every trace, so that a target can be built from the trace alone.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// The number of voters; they are named `1..=servers`. The log of each starts empty, its term zero.
    pub servers: u64,
    /// A pre-vote round precedes every election (thesis, section 9.6).
    pub pre_vote: bool,
    /// Leaders step down when they hear no quorum for an election timeout, and followers in the lease
    /// of a leader ignore vote requests (thesis, sections 6.2 and 4.2.3).
    pub check_quorum: bool,
    /// An append carries at most one entry; otherwise as many as there are.
    pub one_entry_per_append: bool,
    /// How many appends with entries may be unacknowledged at a peer in state Replicate; at least one.
    pub max_inflight: u64,
    /// A follower that knows a leader forwards to it what clients propose; otherwise it refuses.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub forward_proposals: bool,
    /// A leader refuses a proposal when so many of its proposals are uncommitted; zero is no limit. The unit is an entry
    /// that carries something: in etcd's raft, which counts bytes, a value of one digit.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub max_uncommitted: u64,
}

#[allow(clippy::trivially_copy_pass_by_ref)] // as serde calls it
pub(crate) fn is_zero(number: &u64) -> bool {
    *number == 0
}

impl Config {
    /// Whether version 1 of the trace format has everything that is set.
    pub(crate) fn is_of_version_1(&self) -> bool {
        !self.forward_proposals && self.max_uncommitted == 0
    }

    /// The servers of the cluster, in order.
    pub fn server_ids(&self) -> impl Iterator<Item = ServerId> + use<> {
        (1..=self.servers).filter_map(ServerId::new)
    }
}
