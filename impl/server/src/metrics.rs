//! Numbers for Prometheus, under etcd's names where there is a counterpart.

use prometheus::{
    Encoder as _, Histogram, HistogramOpts, IntCounter, IntGauge, Registry, TextEncoder,
    exponential_buckets,
};

/// The numbers of one server.
#[derive(Clone, Debug)]
pub(crate) struct Metrics {
    registry: Registry,
    pub(crate) has_leader: IntGauge,
    pub(crate) is_leader: IntGauge,
    pub(crate) is_learner: IntGauge,
    pub(crate) leader_changes: IntCounter,
    pub(crate) proposals_committed: IntGauge,
    pub(crate) proposals_applied: IntGauge,
    pub(crate) proposals_pending: IntGauge,
    pub(crate) proposals_failed: IntCounter,
    pub(crate) read_indexes: IntCounter,
    pub(crate) log_append_seconds: Histogram,
    pub(crate) store_commit_seconds: Histogram,
    pub(crate) store_bytes: IntGauge,
    pub(crate) messages_dropped: IntCounter,
    pub(crate) snapshots_sent: IntCounter,
    pub(crate) snapshots_failed: IntCounter,
}

impl Metrics {
    pub(crate) fn new() -> Result<Metrics, prometheus::Error> {
        let registry = Registry::new();
        let gauge = |name: &str, help: &str| {
            let gauge = IntGauge::new(name, help)?;
            registry.register(Box::new(gauge.clone()))?;
            Ok::<_, prometheus::Error>(gauge)
        };
        let counter = |name: &str, help: &str| {
            let counter = IntCounter::new(name, help)?;
            registry.register(Box::new(counter.clone()))?;
            Ok::<_, prometheus::Error>(counter)
        };
        let seconds = |name: &str, help: &str| {
            let buckets = exponential_buckets(0.0001, 2.0, 16)?;
            let histogram = Histogram::with_opts(HistogramOpts::new(name, help).buckets(buckets))?;
            registry.register(Box::new(histogram.clone()))?;
            Ok::<_, prometheus::Error>(histogram)
        };
        Ok(Metrics {
            has_leader: gauge("etcd_server_has_leader", "1 if a leader is known")?,
            is_leader: gauge("etcd_server_is_leader", "1 if this server leads")?,
            is_learner: gauge("etcd_server_is_learner", "1 if this server is a learner")?,
            leader_changes: counter(
                "etcd_server_leader_changes_seen_total",
                "Changes of the leader that this server saw",
            )?,
            proposals_committed: gauge(
                "etcd_server_proposals_committed_total",
                "Index of the last committed entry",
            )?,
            proposals_applied: gauge(
                "etcd_server_proposals_applied_total",
                "Index of the last applied entry",
            )?,
            proposals_pending: gauge(
                "etcd_server_proposals_pending",
                "Proposals of this server that are not applied yet",
            )?,
            proposals_failed: counter(
                "etcd_server_proposals_failed_total",
                "Proposals of this server that timed out or were refused",
            )?,
            read_indexes: counter(
                "lockstep_server_read_index_total",
                "Questions to the quorum, each for all reads that waited",
            )?,
            log_append_seconds: seconds(
                "etcd_disk_wal_fsync_duration_seconds",
                "Time to append a batch to the log, with its sync",
            )?,
            store_commit_seconds: seconds(
                "etcd_disk_backend_commit_duration_seconds",
                "Time to apply a batch of entries to the store",
            )?,
            store_bytes: gauge(
                "etcd_mvcc_db_total_size_in_bytes",
                "Size of the file of the store",
            )?,
            messages_dropped: counter(
                "lockstep_server_messages_dropped_total",
                "Raft messages that arrived while this server could not keep up",
            )?,
            snapshots_sent: counter(
                "lockstep_server_snapshots_sent_total",
                "Snapshots that arrived at another server",
            )?,
            snapshots_failed: counter(
                "lockstep_server_snapshots_failed_total",
                "Snapshots that did not arrive",
            )?,
            registry,
        })
    }

    /// All numbers in the text format of Prometheus.
    pub(crate) fn text(&self) -> Result<String, prometheus::Error> {
        let mut text = Vec::new();
        TextEncoder::new().encode(&self.registry.gather(), &mut text)?;
        Ok(String::from_utf8_lossy(&text).into_owned())
    }
}
