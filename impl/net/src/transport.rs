//! The sending side: all peers of a server.

use std::collections::HashMap;
use std::io;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::{Duration, Instant};

use bytes::Bytes;
use lockstep_raft::{Message, NodeId, SnapshotStatus};
use tokio::sync::watch;
use tonic::transport::{Channel, Endpoint};
use tonic::{Request, Status};

use crate::handler::Handler;
use crate::peer::Peer;
use crate::proto::Question;
use crate::proto::rpc::peer_client::PeerClient;
use crate::service::PeerService;
use crate::snapshot::SnapshotWriter;

/// The largest message of gRPC that a peer takes. One Raft message has to fit: an append with one
/// entry, which is a request of a client.
pub(crate) const MAX_FRAME_BYTES: usize = 64 << 20;

/// The limits of a transport.
#[derive(Clone, Debug)]
pub struct Options {
    /// The most messages that may wait for one peer.
    pub max_queued_messages: usize,
    /// The maximum number of bytes of entries that wait for one peer.
    pub max_queued_bytes: usize,
    /// The timeout of a connection, and of the answer to a ping on it.
    pub timeout: Duration,
    /// The pause after the first failed attempt to connect; it doubles with each one up to
    /// [`timeout`](Options::timeout).
    pub backoff: Duration,
}

impl Default for Options {
    fn default() -> Options {
        Options {
            max_queued_messages: 4096,
            max_queued_bytes: 64 << 20,
            timeout: Duration::from_secs(2),
            backoff: Duration::from_millis(50),
        }
    }
}

pub(crate) struct Shared<H> {
    pub(crate) cluster: u64,
    pub(crate) id: NodeId,
    pub(crate) options: Options,
    pub(crate) handler: Arc<H>,
}

/// The connections of one server to its peers. Its methods are called on a tokio runtime, or while
/// one is entered.
pub struct Transport<H> {
    shared: Arc<Shared<H>>,
    peers: RwLock<HashMap<NodeId, Peer>>,
    stopped: watch::Sender<bool>,
}

impl<H: Handler> Transport<H> {
    /// The transport of this member of this cluster, without peers.
    pub fn new(cluster: u64, id: NodeId, options: Options, handler: Arc<H>) -> Transport<H> {
        let shared = Shared {
            cluster,
            id,
            options,
            handler,
        };
        Transport {
            shared: Arc::new(shared),
            peers: RwLock::default(),
            stopped: watch::Sender::new(false),
        }
    }

    /// The receiving side.
    pub fn service(&self) -> PeerService<H> {
        let Shared {
            cluster,
            id,
            handler,
            ..
        } = &*self.shared;
        let stopped = self.stopped.subscribe();
        PeerService {
            cluster: *cluster,
            id: *id,
            handler: handler.clone(),
            stopped,
        }
    }

    fn with_peers<T>(&self, work: impl FnOnce(&mut HashMap<NodeId, Peer>) -> T) -> T {
        work(&mut self.peers.write().unwrap_or_else(PoisonError::into_inner))
    }

    fn with_peer<T>(&self, id: NodeId, work: impl FnOnce(&Peer) -> T) -> Option<T> {
        let peers = self.peers.read().unwrap_or_else(PoisonError::into_inner);
        peers.get(&id).map(work)
    }

    /// Adds a peer, or changes its addresses (`http://host:port`). Those are tried in turn.
    pub fn set_peer(&self, id: NodeId, urls: Vec<String>) {
        if id == self.shared.id {
            return;
        }
        self.with_peers(|peers| match peers.get(&id) {
            Some(peer) if peer.urls() == urls => {}
            _ => drop(peers.insert(id, Peer::start(self.shared.clone(), id, urls))),
        });
    }

    /// Drops a peer with its connections and what waits for it.
    pub fn remove_peer(&self, id: NodeId) {
        drop(self.with_peers(|peers| peers.remove(&id)));
    }

    /// Drops all peers, and ends all calls of theirs.
    pub fn stop(&self) {
        self.stopped.send_replace(true);
        self.with_peers(HashMap::clear);
    }

    /// Sends a message, and never blocks: if the peer is unknown or its queue is full, the message
    /// is dropped and the peer reported as unreachable.
    pub fn send(&self, message: Message) {
        let to = message.to;
        let sent = self.with_peer(to, |peer| peer.send(message));
        if sent != Some(true) {
            self.shared.handler.unreachable(to);
        }
    }

    /// Sends a snapshot: `message` installs it, and `source` writes its data, on a thread where it
    /// may block. The outcome is reported. There is one at a time to each peer.
    pub fn send_snapshot(
        &self,
        message: Message,
        source: impl FnOnce(&mut SnapshotWriter) -> io::Result<()> + Send + 'static,
    ) {
        let to = message.to;
        let begun = self.with_peer(to, |peer| peer.send_snapshot(&self.shared, message, source));
        if begun != Some(true) {
            self.shared
                .handler
                .snapshot_sent(to, SnapshotStatus::Failed);
        }
    }

    /// Since when a peer takes messages; `None` if it does not.
    pub fn active_since(&self, id: NodeId) -> Option<Instant> {
        self.with_peer(id, Peer::active_since).flatten()
    }

    /// Asks the application of a peer.
    ///
    /// # Errors
    /// The peer cannot be reached, or answers with an error.
    pub async fn ask(&self, id: NodeId, method: &str, body: Bytes) -> Result<Bytes, Status> {
        let urls = self
            .with_peer(id, |peer| peer.urls().to_vec())
            .unwrap_or_default();
        ask_stranger(&urls, method, body, self.shared.options.timeout).await
    }
}

pub(crate) async fn connect(url: &str, timeout: Duration) -> Result<PeerClient<Channel>, Status> {
    let endpoint = Endpoint::from_shared(url.to_owned());
    let endpoint = endpoint.map_err(|error| Status::invalid_argument(error.to_string()))?;
    let endpoint = endpoint
        .connect_timeout(timeout)
        .tcp_nodelay(true)
        .http2_keep_alive_interval(timeout)
        .keep_alive_timeout(timeout)
        .keep_alive_while_idle(true);
    // The attempt includes the resolution of names, which has no time-out of its own.
    let channel = match tokio::time::timeout(timeout, endpoint.connect()).await {
        Ok(Ok(channel)) => channel,
        Ok(Err(error)) => return Err(Status::unavailable(format!("{url}: {error}"))),
        Err(_) => return Err(Status::unavailable(format!("{url}: no connection in time"))),
    };
    Ok(PeerClient::new(channel)
        .max_decoding_message_size(MAX_FRAME_BYTES)
        .max_encoding_message_size(MAX_FRAME_BYTES))
}

/// Asks the application of a server whose id is not known, at the first address that answers.
///
/// # Errors
/// None can be reached, or one answers with an error.
pub async fn ask_stranger(
    urls: &[String],
    method: &str,
    body: Bytes,
    timeout: Duration,
) -> Result<Bytes, Status> {
    let mut failed = Status::unavailable("the server has no address");
    for url in urls {
        let mut client = match connect(url, timeout).await {
            Ok(client) => client,
            Err(status) => {
                failed = status;
                continue;
            }
        };
        let question = Question {
            method: method.to_owned(),
            body: body.clone(),
        };
        match client.ask(Request::new(question)).await {
            Ok(answer) => return Ok(answer.into_inner().body),
            Err(status) => failed = status,
        }
    }
    Err(failed)
}
