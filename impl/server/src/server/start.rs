//! From settings and files to a running server.

use std::collections::HashSet;
use std::fs::{self, File};
use std::io::BufReader;
use std::path::Path;
use std::sync::{Arc, Mutex, OnceLock, RwLock, mpsc};
use std::time::Duration;

use bytes::Bytes;
use lockstep_net::{Options, Transport};
use lockstep_raft::{
    Config as RaftConfig, Entry, EntryId, HardState, Index, MemoryStorage, NodeId, RawNode, Role,
    Snapshot, SnapshotMetadata,
};
use prost::Message as _;
use rand::Rng as _;
use tokio::sync::watch;

use super::command::ConfChangeContext;
use super::config::{ClusterState, Config};
use super::ids;
use super::inner::{ASK_MEMBERS, Inbox, Inner, RaftState};
use super::log_view::LogView;
use super::raft_loop::RaftLoop;
use super::{Running, Server, agreement, files, snapshots};
use crate::api::pb::{Member, MemberListResponse};
use crate::log::{Identity, LogError, LogState, LogStore, LogWrite, WalLog};
use crate::metrics::Metrics;
use crate::store::{Store, StoreError};

/// Work that may wait for the Raft thread.
const INPUTS: usize = 8192;

/// Why a server does not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The settings contradict themselves or the data.
    #[error("{0}")]
    Settings(String),
    /// A file or folder cannot be used.
    #[error("{path}: {error}")]
    Folder {
        /// The folder.
        path: String,
        /// The reason.
        error: std::io::Error,
    },
    /// The log cannot be used.
    #[error(transparent)]
    Log(#[from] LogError),
    /// Log and store do not belong together.
    #[error("log and store disagree: {0}")]
    Disagree(String),
    /// The store cannot be used.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// Raft refuses what is stored.
    #[error("raft: {0}")]
    Raft(#[from] lockstep_raft::Error),
    /// No member of the cluster to join answered.
    #[error("no member of the cluster answers: {0}")]
    NobodyAnswers(String),
}

fn settings(what: impl std::fmt::Display) -> StartError {
    StartError::Settings(what.to_string())
}

/// The first members, as the settings name them.
struct First {
    identity: Identity,
    members: Vec<Member>,
}

fn first_members(config: &Config) -> Result<First, StartError> {
    let member = |(name, urls): &(String, Vec<String>)| Member {
        id: ids::member(urls, &config.initial_cluster_token, None),
        name: name.clone(),
        peer_urls: urls.clone(),
        ..Member::default()
    };
    let members: Vec<Member> = config.initial_cluster.iter().map(member).collect();
    let member_ids: Vec<u64> = members.iter().map(|member| member.id).collect();
    if member_ids.iter().collect::<HashSet<_>>().len() < members.len() {
        return Err(settings(
            "two members of the initial cluster have the same addresses",
        ));
    }
    let own = members.iter().find(|member| member.name == config.name);
    let own = own.ok_or_else(|| {
        settings(format!(
            "the initial cluster has no member with the name {:?}",
            config.name
        ))
    })?;
    let identity = Identity {
        cluster: ids::cluster(&member_ids),
        member: own.id,
    };
    Ok(First { identity, members })
}

/// Asks the members of an existing cluster who they are, and who this server is among them.
async fn join(config: &Config) -> Result<First, StartError> {
    let own = config.own_peer_urls().ok_or_else(|| {
        settings(format!(
            "the initial cluster has no member with the name {:?}",
            config.name
        ))
    })?;
    let others = config
        .initial_cluster
        .iter()
        .filter(|(name, _)| *name != config.name);
    let mut failed = "the initial cluster has no other member".to_owned();
    for (_, urls) in others {
        let timeout = Duration::from_secs(2);
        match lockstep_net::ask_stranger(urls, ASK_MEMBERS, Bytes::new(), timeout).await {
            Err(status) => failed = status.message().to_owned(),
            Ok(answer) => {
                let answer = MemberListResponse::decode(answer).map_err(settings)?;
                let sorted = |urls: &[String]| {
                    let mut urls = urls.to_vec();
                    urls.sort();
                    urls
                };
                let found = answer
                    .members
                    .iter()
                    .find(|member| sorted(&member.peer_urls) == sorted(own));
                let found = found.ok_or_else(|| {
                    settings(format!(
                        "the cluster has no member with the peer addresses {own:?}"
                    ))
                })?;
                let cluster = answer.header.unwrap_or_default().cluster_id;
                let identity = Identity {
                    cluster,
                    member: found.id,
                };
                return Ok(First {
                    identity,
                    members: answer.members,
                });
            }
        }
    }
    Err(StartError::NobodyAnswers(failed))
}

/// Opens the files in the folder of the settings, and starts a server on them.
///
/// # Errors
/// [`StartError`] says what is wrong.
pub(super) async fn start(config: Config) -> Result<Running, StartError> {
    create_dir(&config.data_dir)?;
    let log = WalLog::open(files::log(&config.data_dir), config.wal_segment_bytes)?;
    start_with(config, log).await
}

fn create_dir(path: &Path) -> Result<(), StartError> {
    fs::create_dir_all(path).map_err(|error| StartError::Folder {
        path: path.display().to_string(),
        error,
    })
}

/// Starts a server with a log of the caller's choice.
///
/// # Errors
/// [`StartError`] says what is wrong.
pub(super) async fn start_with(config: Config, log: impl LogStore) -> Result<Running, StartError> {
    let mut log: Box<dyn LogStore> = Box::new(log);
    let snapshot_dir = files::snapshots(&config.data_dir);
    create_dir(&snapshot_dir)?;
    let store = Store::open(files::store(&config.data_dir))?;
    let mut state = log.load()?;
    raise_commit(&mut *log, &mut state, &store)?;
    if let Some(reason) = agreement::disagreements(&state, &store.snapshot()?)?.first() {
        return Err(StartError::Disagree(reason.clone()));
    }
    let (identity, first) = match state.identity {
        Some(identity) => {
            let knows_nobody = store.snapshot()?.members()?.is_empty();
            let first = match config.initial_cluster_state {
                // It had joined and then stopped before it had heard of the others.
                ClusterState::Existing if knows_nobody => Some(join(&config).await?),
                _ => first_members(&config).ok(),
            };
            // A member that was added later has another id than its addresses alone would give it.
            (identity, first.filter(|first| first.identity == identity))
        }
        None => {
            let first = match config.initial_cluster_state {
                ClusterState::New => first_members(&config)?,
                ClusterState::Existing => join(&config).await?,
            };
            log.set_identity(first.identity)?;
            (first.identity, Some(first))
        }
    };
    let id = NodeId::new(identity.member).filter(|id| !id.is_storage_thread());
    let id = id.ok_or_else(|| settings("the addresses of this member yield a reserved id"))?;
    if store.snapshot()?.identity()?.is_none() {
        store.set_identity(identity)?;
    }
    restore_left_over(&store, &snapshot_dir, &state)?;

    let fresh =
        state.hard_state.is_empty() && state.entries.is_empty() && state.start == EntryId::ZERO;
    let view = view(&store, state)?;
    let mut node = RawNode::new(&raft_config(&config, id, view.applied.index), view)?;
    let bootstraps = fresh
        && config.initial_cluster_state == ClusterState::New
        && first
            .as_ref()
            .is_some_and(|first| first.identity == identity);
    if let Some(First { members, .. }) = first.as_ref().filter(|_| bootstraps) {
        let context = |member: &Member| {
            // The names come later, when the members have started and say them.
            let member = Member {
                name: String::new(),
                ..member.clone()
            };
            let context = ConfChangeContext {
                member: Some(member),
                ..ConfChangeContext::default()
            };
            Bytes::from(context.encode_to_vec())
        };
        let mut servers: Vec<(NodeId, Bytes)> = members
            .iter()
            .filter_map(|member| Some((NodeId::new(member.id)?, context(member))))
            .collect();
        servers.sort_unstable_by_key(|(id, _)| *id);
        node.bootstrap(&servers)?;
    }

    let (inputs, receiver) = mpsc::sync_channel(INPUTS);
    let metrics = Metrics::new().map_err(settings)?;
    let raft = RaftState {
        leader: None,
        role: Role::Follower,
        term: node.basic_status().hard_state.term,
        committed: node.basic_status().hard_state.commit,
        applied: node.storage().applied.index,
    };
    let inner = Arc::new(Inner {
        ids: ids::RequestIds::new(identity.member),
        config,
        identity,
        id,
        store,
        metrics,
        inputs,
        raft: watch::Sender::new(raft),
        membership: RwLock::default(),
        exit: watch::Sender::new(None),
        transport: OnceLock::new(),
    });
    let inbox = Arc::new(Inbox {
        inner: Arc::downgrade(&inner),
    });
    let transport = Transport::new(identity.cluster, id, Options::default(), inbox);
    for member in first.iter().flat_map(|first| &first.members) {
        if let Some(id) = NodeId::new(member.id) {
            transport.set_peer(id, member.peer_urls.clone());
        }
    }
    // It was empty until now.
    drop(inner.transport.set(transport));
    inner.refresh_membership()?;

    let runtime = tokio::runtime::Handle::current();
    let raft_loop = RaftLoop::new(inner.clone(), node, log, receiver, runtime);
    let thread = std::thread::Builder::new().name(format!("raft-{}", inner.config.name));
    let thread = thread.spawn(move || raft_loop.run()).map_err(settings)?;
    let server = Server { inner };
    let publish = tokio::spawn(server.clone().publish());
    Ok(Running {
        server,
        thread: Mutex::new(Some(thread)),
        publish,
    })
}

/// Raises the commit index to what is applied, since nothing else is. The commit index that said so may
/// have been lost: it need not have been synced.
fn raise_commit(
    log: &mut dyn LogStore,
    state: &mut LogState,
    store: &Store,
) -> Result<(), StartError> {
    let applied = store.snapshot()?.applied()?.index;
    let last = state.entries.last().map_or(state.start, Entry::id).index;
    if state.hard_state.commit < applied && applied <= last {
        state.hard_state.commit = applied;
        log.write(LogWrite {
            hard_state: Some(state.hard_state),
            sync: true,
            ..LogWrite::default()
        })?;
    }
    Ok(())
}

/// Restores a snapshot that was installed in the log and not yet in the store when the server stopped.
fn restore_left_over(store: &Store, dir: &Path, state: &LogState) -> Result<(), StartError> {
    let applied = store.snapshot()?.applied()?;
    if state.start.index > applied.index {
        let path = snapshots::file(dir, state.start);
        let file = File::open(&path).map_err(|error| {
            let (path, start, applied) = (path.display(), state.start.index, applied.index);
            StartError::Disagree(format!(
                "the log begins behind entry {start}, the store has applied entry {applied}, and the snapshot between them cannot be read: {path}: {error}"
            ))
        })?;
        store.restore(BufReader::new(file))?;
    }
    snapshots::clean(dir).map_err(|error| StartError::Folder {
        path: dir.display().to_string(),
        error,
    })
}

/// The log as Raft reads it.
fn view(store: &Store, state: LogState) -> Result<LogView, StartError> {
    let snapshot = store.snapshot()?;
    let (applied, conf_state) = (snapshot.applied()?, snapshot.conf_state()?);
    let mut entries = MemoryStorage::new();
    let storage_error = |error| StartError::Raft(lockstep_raft::Error::Storage(error));
    if state.start != EntryId::ZERO {
        let EntryId { term, index } = state.start;
        let metadata = SnapshotMetadata {
            index,
            term,
            ..SnapshotMetadata::default()
        };
        entries
            .apply_snapshot(Snapshot {
                metadata,
                data: Bytes::new(),
            })
            .map_err(storage_error)?;
    }
    entries.append(state.entries).map_err(storage_error)?;
    entries.set_hard_state(HardState {
        commit: state.hard_state.commit.max(state.start.index),
        ..state.hard_state
    });
    Ok(LogView {
        entries,
        applied,
        conf_state,
    })
}

fn raft_config(config: &Config, id: NodeId, applied: Index) -> RaftConfig {
    RaftConfig {
        election_timeout_ticks: config.election_ticks(),
        heartbeat_timeout_ticks: 1,
        seed: rand::rng().random(),
        applied,
        max_message_bytes: 512 << 10,
        max_committed_bytes_per_ready: 4 << 20,
        max_uncommitted_entries_bytes: 256 << 20,
        max_inflight_messages: 512,
        check_quorum: true,
        pre_vote: true,
        ..RaftConfig::new(id)
    }
}
