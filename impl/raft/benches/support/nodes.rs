//! Single servers with their memory storage: ours, and those of the `raft` crate, set up alike.

use lockstep_raft::storage::MemoryStorage;
use lockstep_raft::{ConfState, NodeId};
use raft::storage::MemStorage;
use slog::{Logger, o};

/// The number of appends that may be in flight to one follower.
const MAX_INFLIGHT: usize = 256;

/// The server with this number, counted from 1.
pub fn id(number: u64) -> NodeId {
    NodeId::new(number).expect("servers are numbered from 1")
}

/// One of our servers, in a group of this many voters.
pub fn ours(number: u64, voters: u64) -> lockstep_raft::RawNode<MemoryStorage> {
    let config = lockstep_raft::Config {
        election_timeout_ticks: 10,
        heartbeat_timeout_ticks: 1,
        max_message_bytes: u64::MAX,
        max_inflight_messages: MAX_INFLIGHT,
        check_quorum: false,
        pre_vote: false,
        ..lockstep_raft::Config::new(id(number))
    };
    let membership = ConfState {
        voters: (1..=voters).map(id).collect(),
        ..ConfState::default()
    };
    let storage = MemoryStorage::with_conf_state(membership);
    lockstep_raft::RawNode::new(&config, storage).expect("the configuration is valid")
}

/// One of the `raft` crate, in a group of this many voters.
pub fn raft_rs(id: u64, voters: u64) -> raft::RawNode<MemStorage> {
    let config = raft::Config {
        id,
        election_tick: 10,
        heartbeat_tick: 1,
        max_size_per_msg: u64::MAX,
        max_inflight_msgs: MAX_INFLIGHT,
        ..raft::Config::default()
    };
    let storage = MemStorage::new_with_conf_state(((1..=voters).collect::<Vec<_>>(), vec![]));
    let logger = Logger::root(slog::Discard, o!());
    raft::RawNode::new(&config, storage, &logger).expect("the configuration is valid")
}
