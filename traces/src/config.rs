use crate::{ServerId, ServerSet};
use serde::{Deserialize, Serialize};
use std::ops::Not;

/// The configuration of the servers of a cluster: everything that a server has to be told before its first event. It is
/// part of every trace, so that a target can be built from the trace alone.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// The number of servers; they are named `1..=servers`. The log of each starts empty, its term zero.
    pub servers: u64,
    /// A pre-vote round precedes every election (thesis, section 9.6).
    pub pre_vote: bool,
    /// Leaders step down when they hear no quorum for an election timeout, and followers in the lease
    /// of a leader ignore vote requests (thesis, sections 6.2 and 4.2.3).
    pub check_quorum: bool,
    /// An append carries at most one entry; otherwise as many as there are.
    pub one_entry_per_append: bool,
    /// The maximum number of unacknowledged appends with entries at a peer in state Replicate; at least one.
    pub max_inflight: u64,
    /// A follower that knows a leader forwards to it what clients propose; otherwise it refuses.
    #[serde(default, skip_serializing_if = "Not::not")]
    pub forward_proposals: bool,
    /// The number of uncommitted proposals at which a leader refuses another; zero is no limit. The unit is an entry
    /// that carries something: in etcd's raft, which counts bytes, a value of one digit.
    #[serde(default, skip_serializing_if = "is_default")]
    pub max_uncommitted: u64,
    /// The voters at first. Named exactly if the configuration may change; then every server starts with
    /// this configuration, and who is not part of it is a stranger to it. Otherwise all servers are voters for good.
    #[serde(default, skip_serializing_if = "ServerSet::is_empty")]
    pub voters: ServerSet,
    /// The learners at first.
    #[serde(default, skip_serializing_if = "ServerSet::is_empty")]
    pub learners: ServerSet,
    /// A leader steps down when it applies its own removal or demotion (etcd: `StepDownOnRemoval`).
    #[serde(default, skip_serializing_if = "Not::not")]
    pub step_down_on_removal: bool,
    /// A leader takes every proposed change of the configuration as it is (etcd: `DisableConfChangeValidation`).
    #[serde(default, skip_serializing_if = "Not::not")]
    pub disable_conf_change_validation: bool,
    /// The mode in which servers write to their storage.
    #[serde(default, skip_serializing_if = "is_default")]
    pub storage: Storage,
    /// With storage that is asynchronous: the application keeps its state in memory. After a restart it begins from its
    /// last snapshot, and applies again what comes behind. Otherwise what it has applied is durable at once.
    #[serde(default, skip_serializing_if = "Not::not")]
    pub application_in_memory: bool,
    /// The way in which clients read without an entry of their own in the log.
    #[serde(default, skip_serializing_if = "is_default")]
    pub reads: Reads,
}

/// The mode in which a server writes to its storage.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum Storage {
    /// Every input ends with everything durable and everything committed applied.
    #[default]
    Atomic,
    /// Writes and applies are outstanding until [`Input::Persist`](crate::Input::Persist) and
    /// [`Input::Apply`](crate::Input::Apply) say that they are done (etcd: `AsyncStorageWrites`).
    Async,
}

/// The way in which a leader answers reads (etcd: `ReadOnlyOption`).
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum Reads {
    /// Nobody reads.
    #[default]
    Off,
    /// After a round of heartbeats has confirmed that it leads (thesis, section 6.4).
    Safe,
    /// At once, by its lease, which CheckQuorum renews (thesis, section 6.4.1).
    LeaseBased,
}

impl Config {
    /// Three servers as in the paper, with a configuration that does not change.
    pub const PAPER: Config = Config {
        servers: 3,
        pre_vote: false,
        check_quorum: false,
        one_entry_per_append: false,
        max_inflight: 2,
        forward_proposals: false,
        max_uncommitted: 0,
        voters: ServerSet::NONE,
        learners: ServerSet::NONE,
        step_down_on_removal: false,
        disable_conf_change_validation: false,
        storage: Storage::Atomic,
        application_in_memory: false,
        reads: Reads::Off,
    };

    /// Whether version 1 of the trace format has everything that is set.
    pub(crate) fn is_of_version_1(&self) -> bool {
        let features = self.forward_proposals || self.max_uncommitted > 0 || self.may_change();
        let stored = self.storage == Storage::Async || self.application_in_memory;
        !features && !stored && self.reads == Reads::Off
    }

    /// The servers of the cluster, in order.
    pub fn server_ids(&self) -> impl Iterator<Item = ServerId> + use<> {
        (1..=self.servers).filter_map(ServerId::new)
    }

    /// Whether the configuration may change.
    pub fn may_change(&self) -> bool {
        !self.voters.is_empty()
    }
}

/// Whether a value is left out of a trace.
pub(crate) fn is_default<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}
