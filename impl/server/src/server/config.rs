//! The settings of a server.

use std::path::PathBuf;
use std::time::Duration;

/// The choice between starting a cluster and joining one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ClusterState {
    /// All servers of the list start a new cluster together.
    #[default]
    New,
    /// The cluster is there, and this server was added to it as a member.
    Existing,
}

/// The settings of a server. Addresses are URLs, `http://host:port`.
#[derive(Clone, Debug)]
pub struct Config {
    /// The name of this member.
    pub name: String,
    /// The folder for all data.
    pub data_dir: PathBuf,
    /// The name and the peer addresses of every first member, this one included.
    pub initial_cluster: Vec<(String, Vec<String>)>,
    /// The choice between starting a cluster and joining one. It is read only if the folder is empty.
    pub initial_cluster_state: ClusterState,
    /// A word that sets clusters with the same addresses apart.
    pub initial_cluster_token: String,
    /// The addresses at which clients reach this server.
    pub advertise_client_urls: Vec<String>,
    /// The time between two heartbeats of a leader, and the tick of the clock.
    pub heartbeat_interval: Duration,
    /// The time without a leader after which a server campaigns, at least.
    pub election_timeout: Duration,
    /// Entries that are applied between two compactions of the log.
    pub snapshot_count: u64,
    /// Size of the files of the log. They are reserved as a whole.
    pub wal_segment_bytes: u64,
    /// Entries that a compaction leaves in memory for followers that lag behind a little.
    pub snapshot_catchup_entries: u64,
    /// The largest request.
    pub max_request_bytes: usize,
    /// The most operations of one transaction.
    pub max_txn_ops: usize,
    /// The size of the store's file above which puts are refused. Zero: 2 GiB, as in etcd.
    pub quota_backend_bytes: u64,
    /// Whether changes of membership that endanger the quorum are refused.
    pub strict_reconfig_check: bool,
    /// The most learners at a time.
    pub max_learners: usize,
}

impl Config {
    /// The settings of a server that is a cluster of its own.
    pub fn new(name: &str, data_dir: impl Into<PathBuf>, peer_url: &str) -> Config {
        Config {
            name: name.to_owned(),
            data_dir: data_dir.into(),
            initial_cluster: vec![(name.to_owned(), vec![peer_url.to_owned()])],
            initial_cluster_state: ClusterState::New,
            initial_cluster_token: "etcd-cluster".to_owned(),
            advertise_client_urls: Vec::new(),
            heartbeat_interval: Duration::from_millis(100),
            election_timeout: Duration::from_millis(1000),
            snapshot_count: 10_000,
            wal_segment_bytes: 64 << 20,
            snapshot_catchup_entries: 5_000,
            max_request_bytes: 3 << 19,
            max_txn_ops: 128,
            quota_backend_bytes: 0,
            strict_reconfig_check: true,
            max_learners: 1,
        }
    }

    /// The time that a request may take: as long as etcd's.
    pub fn request_timeout(&self) -> Duration {
        Duration::from_secs(5) + 2 * self.election_timeout
    }

    pub(crate) fn quota_bytes(&self) -> u64 {
        if self.quota_backend_bytes == 0 {
            2 << 30
        } else {
            self.quota_backend_bytes
        }
    }

    pub(crate) fn election_ticks(&self) -> u32 {
        let heartbeat = self.heartbeat_interval.as_millis().max(1);
        u32::try_from(self.election_timeout.as_millis() / heartbeat)
            .unwrap_or(u32::MAX)
            .max(2)
    }

    /// The peer addresses of this member among the first ones.
    pub(crate) fn own_peer_urls(&self) -> Option<&[String]> {
        let own = self
            .initial_cluster
            .iter()
            .find(|(name, _)| *name == self.name)?;
        Some(&own.1)
    }
}
