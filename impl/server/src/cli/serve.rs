//! `lockstep-server serve`: one server, with etcd's flags and environment variables.

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use clap::{ArgAction, Args, ValueEnum};
use lockstep_server::serve::{Listeners, Served, bind};
use lockstep_server::server::{ClusterState, Config};

use super::signals::Signals;
use super::{Failure, Usage, stop};

/// The longest heartbeat interval and election timeout, in milliseconds: that of etcd.
const MAX_TIMEOUT_MS: u64 = 50_000;
/// The smallest limit of a request that leaves room for the names and addresses of members, in bytes.
const MIN_REQUEST_BYTES: u64 = 4 << 10;
/// The largest limit of a request, in bytes: a few of them fit into what Raft holds uncommitted.
const MAX_REQUEST_BYTES: u64 = 64 << 20;

/// The settings of a server. The flags have the names, variables and defaults of etcd's where it has them.
#[derive(Args, Debug)]
pub struct Serve {
    /// Name of this member
    #[arg(long, env = "ETCD_NAME", default_value = "default")]
    name: String,
    /// Folder for all data [default: NAME.lockstep]
    #[arg(long, env = "ETCD_DATA_DIR")]
    data_dir: Option<PathBuf>,
    /// First members, as NAME=URL pairs [default: this one alone]
    #[arg(long, env = "ETCD_INITIAL_CLUSTER")]
    initial_cluster: Option<String>,
    /// State of the cluster: the members start a new one, or this one joins an existing one
    #[arg(long, env = "ETCD_INITIAL_CLUSTER_STATE", default_value = "new")]
    initial_cluster_state: State,
    /// A word that sets clusters with the same addresses apart
    #[arg(
        long,
        env = "ETCD_INITIAL_CLUSTER_TOKEN",
        default_value = "etcd-cluster"
    )]
    initial_cluster_token: String,
    /// Addresses to listen on for clients
    #[arg(
        long,
        env = "ETCD_LISTEN_CLIENT_URLS",
        default_value = "http://127.0.0.1:2379",
        value_delimiter = ','
    )]
    listen_client_urls: Vec<String>,
    /// Addresses at which clients reach this server [default: those it listens on]
    #[arg(long, env = "ETCD_ADVERTISE_CLIENT_URLS", value_delimiter = ',')]
    advertise_client_urls: Vec<String>,
    /// Addresses to listen on for the other servers
    #[arg(
        long,
        env = "ETCD_LISTEN_PEER_URLS",
        default_value = "http://127.0.0.1:2380",
        value_delimiter = ','
    )]
    listen_peer_urls: Vec<String>,
    /// Addresses at which the other servers reach this one [default: those it listens on]
    #[arg(long, env = "ETCD_INITIAL_ADVERTISE_PEER_URLS", value_delimiter = ',')]
    initial_advertise_peer_urls: Vec<String>,
    /// Addresses to listen on for health and metrics, besides those for clients
    #[arg(long, env = "ETCD_LISTEN_METRICS_URLS", value_delimiter = ',')]
    listen_metrics_urls: Vec<String>,
    /// Time between heartbeats, in milliseconds
    #[arg(long, env = "ETCD_HEARTBEAT_INTERVAL", default_value_t = 100, value_parser = clap::value_parser!(u64).range(1..=MAX_TIMEOUT_MS))]
    heartbeat_interval: u64,
    /// Time without a leader until an election, in milliseconds; at least five heartbeats
    #[arg(long, env = "ETCD_ELECTION_TIMEOUT", default_value_t = 1000, value_parser = clap::value_parser!(u64).range(1..=MAX_TIMEOUT_MS))]
    election_timeout: u64,
    /// Entries between two compactions of the log
    #[arg(long, env = "ETCD_SNAPSHOT_COUNT", default_value_t = 10_000)]
    snapshot_count: u64,
    /// Size of the files of the log, which are reserved as a whole (not a flag of etcd's)
    #[arg(long, env = "LOCKSTEP_WAL_SEGMENT_BYTES", default_value_t = 64 << 20)]
    wal_segment_bytes: u64,
    /// Entries that a compaction of the log leaves in memory
    #[arg(long, env = "ETCD_SNAPSHOT_CATCHUP_ENTRIES", default_value_t = 5_000)]
    snapshot_catchup_entries: u64,
    /// Largest request in bytes
    #[arg(long, env = "ETCD_MAX_REQUEST_BYTES", default_value_t = 3 << 19, value_parser = clap::value_parser!(u64).range(MIN_REQUEST_BYTES..=MAX_REQUEST_BYTES))]
    max_request_bytes: u64,
    /// Most operations in a transaction
    #[arg(long, env = "ETCD_MAX_TXN_OPS", default_value_t = 128)]
    max_txn_ops: usize,
    /// Size of the store at which puts are refused; 0 is 2 GiB
    #[arg(long, env = "ETCD_QUOTA_BACKEND_BYTES", default_value_t = 0)]
    quota_backend_bytes: u64,
    /// Refuse changes of membership that endanger the quorum
    #[arg(long, env = "ETCD_STRICT_RECONFIG_CHECK", default_value_t = true, action = ArgAction::Set, num_args = 0..=1, require_equals = true, default_missing_value = "true")]
    strict_reconfig_check: bool,
    /// Most learners at a time
    #[arg(long, env = "ETCD_MAX_LEARNERS", default_value_t = 1)]
    max_learners: usize,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum State {
    /// All members start together
    New,
    /// This member was added to a cluster that is there
    Existing,
}

fn non_empty(urls: &[String], default: &[String]) -> Vec<String> {
    if urls.is_empty() {
        default.to_vec()
    } else {
        urls.to_vec()
    }
}

/// Reads `NAME=URL,NAME=URL`; a name may come more than once.
fn parse_cluster(text: &str) -> Result<Vec<(String, Vec<String>)>, String> {
    let mut members: Vec<(String, Vec<String>)> = Vec::new();
    for pair in text.split(',').filter(|pair| !pair.is_empty()) {
        let (name, url) = pair
            .split_once('=')
            .ok_or_else(|| format!("--initial-cluster: {pair:?} is not of the form NAME=URL"))?;
        match members.iter_mut().find(|(known, _)| known == name) {
            Some((_, urls)) => urls.push(url.to_owned()),
            None => members.push((name.to_owned(), vec![url.to_owned()])),
        }
    }
    Ok(members)
}

/// Refuses what is no address; of those of this server also what it cannot listen on.
fn check_urls(flag: &str, urls: &[String]) -> Result<(), Usage> {
    let sound = |url: &&String| {
        let address = url
            .strip_prefix("http://")
            .map(|it| it.trim_end_matches('/'));
        let parts = address.and_then(|address| address.rsplit_once(':'));
        parts.is_some_and(|(host, port)| !host.is_empty() && port.parse::<u16>().is_ok())
    };
    match urls.iter().find(|url| !sound(url)) {
        None => Ok(()),
        Some(url) => Err(Usage(format!(
            "{flag}: {url:?} is not of the form http://HOST:PORT (there is no TLS yet)"
        ))),
    }
}

impl Serve {
    fn config(&self) -> Result<Config, Usage> {
        if self.election_timeout < 5 * self.heartbeat_interval {
            return Err(Usage(format!(
                "--election-timeout ({} ms) must be at least five times --heartbeat-interval ({} ms)",
                self.election_timeout, self.heartbeat_interval
            )));
        }
        if self.name.is_empty() {
            return Err(Usage("--name must not be empty".to_owned()));
        }
        for (flag, urls) in [
            ("--listen-client-urls", &self.listen_client_urls),
            ("--advertise-client-urls", &self.advertise_client_urls),
            ("--listen-peer-urls", &self.listen_peer_urls),
            (
                "--initial-advertise-peer-urls",
                &self.initial_advertise_peer_urls,
            ),
            ("--listen-metrics-urls", &self.listen_metrics_urls),
        ] {
            check_urls(flag, urls)?;
        }
        let own = non_empty(&self.initial_advertise_peer_urls, &self.listen_peer_urls);
        let initial_cluster = match &self.initial_cluster {
            Some(text) => parse_cluster(text).map_err(Usage)?,
            None => vec![(self.name.clone(), own.clone())],
        };
        for (_, urls) in &initial_cluster {
            check_urls("--initial-cluster", urls)?;
        }
        if let Some((name, urls)) = initial_cluster.iter().find(|(name, _)| *name == self.name)
            && *urls != own
        {
            return Err(Usage(format!(
                "--initial-cluster has {urls:?} for {name}, and this member advertises {own:?}"
            )));
        }
        let data_dir = self.data_dir.clone();
        Ok(Config {
            name: self.name.clone(),
            data_dir: data_dir.unwrap_or_else(|| PathBuf::from(format!("{}.lockstep", self.name))),
            initial_cluster,
            initial_cluster_state: match self.initial_cluster_state {
                State::New => ClusterState::New,
                State::Existing => ClusterState::Existing,
            },
            initial_cluster_token: self.initial_cluster_token.clone(),
            advertise_client_urls: non_empty(&self.advertise_client_urls, &self.listen_client_urls),
            heartbeat_interval: Duration::from_millis(self.heartbeat_interval),
            election_timeout: Duration::from_millis(self.election_timeout),
            snapshot_count: self.snapshot_count.max(1),
            wal_segment_bytes: self.wal_segment_bytes,
            snapshot_catchup_entries: self.snapshot_catchup_entries,
            // It is within a range that fits.
            max_request_bytes: usize::try_from(self.max_request_bytes).unwrap_or(usize::MAX),
            max_txn_ops: self.max_txn_ops,
            quota_backend_bytes: self.quota_backend_bytes,
            strict_reconfig_check: self.strict_reconfig_check,
            max_learners: self.max_learners,
        })
    }

    pub(super) async fn run(self, mut signals: Signals) -> Result<ExitCode, Failure> {
        let config = self.config()?;
        let (clients, peers) = (
            self.listen_client_urls.clone(),
            self.listen_peer_urls.clone(),
        );
        // A task of its own, so that a signal ends even a start that reads a long log.
        let starting = tokio::spawn(async move {
            let listeners = Listeners {
                clients: bind(&self.listen_client_urls).await?,
                peers: bind(&self.listen_peer_urls).await?,
                metrics: bind(&self.listen_metrics_urls).await?,
            };
            Ok::<_, Failure>(Served::start(config, listeners).await?)
        });
        let served = tokio::select! {
            served = starting => served??,
            () = signals.arrived() => return Ok(ExitCode::SUCCESS),
        };
        tracing::info!(
            member = format!("{:x}", served.server().member_id()),
            ?clients,
            ?peers,
            "the server is up"
        );
        tokio::select! {
            () = signals.arrived() => {}
            _ = served.exited() => {}
        }
        Ok(stop(vec![served], &mut signals).await)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cluster_is_pairs_of_names_and_addresses() {
        let urls = |urls: &[&str]| urls.iter().map(ToString::to_string).collect::<Vec<_>>();
        let expected = vec![
            ("a".to_owned(), urls(&["http://one:1", "http://two:1"])),
            ("b".to_owned(), urls(&["http://three:1"])),
        ];
        let text = "a=http://one:1,b=http://three:1,a=http://two:1";
        assert_eq!(parse_cluster(text), Ok(expected));
        assert!(parse_cluster("a").unwrap_err().contains("NAME=URL"));
    }
}
