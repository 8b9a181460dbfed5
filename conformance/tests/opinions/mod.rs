//! Parts that the tests of raft-rs and etcd's raft share.

use lockstep_conformance::replay::ReplayReport;
use lockstep_conformance::targets::etcd::{self, EtcdError, StorageWrites, Version};
use lockstep_conformance::targets::exec::{ExecOptions, ExecTarget};
use lockstep_model::{Bounds, Budget};
use std::ops::ControlFlow;

/// One leader, a full window, and a network that duplicates: everything in which raft-rs replicates
/// differently.
pub const WINDOW: Bounds = Bounds {
    heartbeats: Budget::Times(1),
    proposals: Budget::Times(2),
    duplicates: Budget::Times(1),
    ..Bounds::QUIET
};

pub fn go_on(_: &ReplayReport) -> ControlFlow<()> {
    ControlFlow::Continue(())
}

/// The newest version of etcd's raft.
pub fn etcd(writes: StorageWrites) -> Option<ExecTarget> {
    etcd_at(Version::default(), writes)
}

/// A version of etcd's raft. Where there is no Go this says so, and the test that asks passes, except where
/// `LOCKSTEP_REQUIRE_GO` is set (our CI sets it).
pub fn etcd_at(version: Version, writes: StorageWrites) -> Option<ExecTarget> {
    let cache = etcd::default_cache().unwrap();
    match etcd::start(&cache, version, writes, ExecOptions::default()) {
        Ok(target) => Some(target),
        Err(error @ EtcdError::NoGo(_)) => {
            eprintln!("skipped: {error}");
            None
        }
        Err(error) => panic!("{error}"),
    }
}
