//! One peer: its queue, and the task that empties it.

use std::io;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use lockstep_raft::{Body, Message, NodeId, SnapshotStatus, wire};
use tokio::sync::mpsc;
use tokio::task::AbortHandle;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Request, Status};

use crate::handler::Handler;
use crate::handshake::{self, Handshake};
use crate::proto::rpc::peer_client::PeerClient;
use crate::proto::{Frames, HELLO, Piece, Question};
use crate::snapshot::SnapshotWriter;
use crate::transport::{Shared, connect};

/// Batches of messages between the queue and the connection.
const BATCHES: usize = 4;
/// The largest batch, in messages and in bytes of entries.
const BATCH_MESSAGES: usize = 128;
const BATCH_BYTES: usize = 1 << 20;

/// The part of a peer that its queue, its task and its snapshots share.
struct State {
    queued_bytes: AtomicUsize,
    snapshot_under_way: AtomicBool,
    active_since: Mutex<Option<Instant>>,
}

impl State {
    fn set_active(&self, since: Option<Instant>) {
        *self
            .active_since
            .lock()
            .unwrap_or_else(PoisonError::into_inner) = since;
    }
}

/// A peer. Dropping it ends its connections.
pub(crate) struct Peer {
    id: NodeId,
    urls: Vec<String>,
    queue: mpsc::Sender<Message>,
    max_queued_bytes: usize,
    state: Arc<State>,
    task: AbortHandle,
}

impl Drop for Peer {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Peer {
    pub(crate) fn start<H: Handler>(shared: Arc<Shared<H>>, id: NodeId, urls: Vec<String>) -> Peer {
        let (queue, receiver) = mpsc::channel(shared.options.max_queued_messages);
        let state = Arc::new(State {
            queued_bytes: AtomicUsize::new(0),
            snapshot_under_way: AtomicBool::new(false),
            active_since: Mutex::new(None),
        });
        let max_queued_bytes = shared.options.max_queued_bytes;
        let sender = Sender {
            shared,
            id,
            urls: urls.clone(),
            state: state.clone(),
            receiver,
        };
        let task = tokio::spawn(sender.run()).abort_handle();
        Peer {
            id,
            urls,
            queue,
            max_queued_bytes,
            state,
            task,
        }
    }

    pub(crate) fn urls(&self) -> &[String] {
        &self.urls
    }

    pub(crate) fn active_since(&self) -> Option<Instant> {
        *self
            .state
            .active_since
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    /// Queues a message; `false` if there is no room for it.
    pub(crate) fn send(&self, message: Message) -> bool {
        let bytes = weight(&message);
        let queued = self.state.queued_bytes.fetch_add(bytes, Ordering::Relaxed);
        // A message that exceeds the limit alone goes through if nothing else waits.
        let fits = queued == 0 || queued.saturating_add(bytes) <= self.max_queued_bytes;
        let sent = fits && self.queue.try_send(message).is_ok();
        if !sent {
            self.state.queued_bytes.fetch_sub(bytes, Ordering::Relaxed);
        }
        sent
    }

    /// Begins to send a snapshot; `false` if another one is under way.
    pub(crate) fn send_snapshot<H: Handler>(
        &self,
        shared: &Arc<Shared<H>>,
        message: Message,
        source: impl FnOnce(&mut SnapshotWriter) -> io::Result<()> + Send + 'static,
    ) -> bool {
        if self.state.snapshot_under_way.swap(true, Ordering::AcqRel) {
            return false;
        }
        let (writer, pieces) = SnapshotWriter::new();
        let (shared, state) = (shared.clone(), self.state.clone());
        let (id, urls) = (self.id, self.urls.clone());
        tokio::spawn(async move {
            let written = tokio::task::spawn_blocking(move || {
                let mut writer = writer;
                writer.start(&message)?;
                source(&mut writer)?;
                writer.end()
            });
            let sent = send_pieces(&shared, id, &urls, pieces).await;
            let status = match (sent, written.await) {
                (Ok(()), Ok(Ok(()))) => SnapshotStatus::Finished,
                (sent, written) => {
                    tracing::warn!(peer = %id, ?sent, ?written, "a snapshot was broken off");
                    SnapshotStatus::Failed
                }
            };
            state.snapshot_under_way.store(false, Ordering::Release);
            shared.handler.snapshot_sent(id, status);
        });
        true
    }
}

async fn send_pieces<H: Handler>(
    shared: &Shared<H>,
    id: NodeId,
    urls: &[String],
    pieces: mpsc::Receiver<Piece>,
) -> Result<(), Status> {
    let mut failed = Status::unavailable("the peer has no address");
    for url in urls {
        match connect(url, shared.options.timeout).await {
            Err(status) => failed = status,
            Ok(mut client) => {
                let request = with_handshake(shared, id, ReceiverStream::new(pieces));
                return client.snapshot(request).await.map(drop);
            }
        }
    }
    Err(failed)
}

fn with_handshake<H, T>(shared: &Shared<H>, to: NodeId, inner: T) -> Request<T> {
    let mut request = Request::new(inner);
    let handshake = Handshake {
        cluster: shared.cluster,
        from: shared.id,
        to,
    };
    handshake.write(request.metadata_mut());
    request
}

/// The bytes that count against the limit of a queue: those of entries, which are what is large.
fn weight(message: &Message) -> usize {
    match &message.body {
        Body::AppendEntries { entries, .. } | Body::Propose { entries } => {
            entries.iter().map(|entry| entry.data.len()).sum()
        }
        _ => 0,
    }
}

/// The task of a peer: connects, sends, and begins again when the connection breaks.
struct Sender<H> {
    shared: Arc<Shared<H>>,
    id: NodeId,
    urls: Vec<String>,
    state: Arc<State>,
    receiver: mpsc::Receiver<Message>,
}

impl<H: Handler> Sender<H> {
    async fn run(mut self) {
        let mut backoff = self.shared.options.backoff;
        for attempt in 0.. {
            let Some(url) = self.urls.get(attempt % self.urls.len().max(1)).cloned() else {
                return; // Without an address there is nothing to do.
            };
            let began = Instant::now();
            let broken = self.connection(&url).await;
            self.state.set_active(None);
            let Err(status) = broken else {
                return; // The peer was dropped.
            };
            if handshake::says_removed(&status) {
                self.shared.handler.removed();
            }
            tracing::debug!(peer = %self.id, url, %status, "no connection");
            self.shared.handler.unreachable(self.id);
            // What waits is out of date by the time that there is a connection.
            while let Ok(message) = self.receiver.try_recv() {
                self.forget(&message);
            }
            if began.elapsed() > self.shared.options.timeout {
                backoff = self.shared.options.backoff;
            }
            tokio::time::sleep(backoff).await;
            backoff = (backoff * 2).min(self.shared.options.timeout);
        }
    }

    fn forget(&self, message: &Message) {
        self.state
            .queued_bytes
            .fetch_sub(weight(message), Ordering::Relaxed);
    }

    /// Sends until the connection breaks (an error) or the peer is dropped.
    async fn connection(&mut self, url: &str) -> Result<(), Status> {
        let mut client: PeerClient<_> = connect(url, self.shared.options.timeout).await?;
        let hello = Question {
            method: HELLO.to_owned(),
            body: bytes::Bytes::new(),
        };
        let hello = client.ask(with_handshake(&self.shared, self.id, hello));
        match tokio::time::timeout(self.shared.options.timeout, hello).await {
            Ok(answer) => drop(answer?),
            Err(_) => return Err(Status::unavailable("no answer to the handshake in time")),
        }
        let (batches, stream) = mpsc::channel::<Frames>(BATCHES);
        let request = with_handshake(&self.shared, self.id, ReceiverStream::new(stream));
        let call = client.messages(request);
        tokio::pin!(call);
        self.state.set_active(Some(Instant::now()));
        tracing::info!(peer = %self.id, url, "connected");
        loop {
            tokio::select! {
                // The server ends the call only to refuse, or because the connection broke.
                end = &mut call => return Err(end.err().unwrap_or_else(|| Status::aborted("closed"))),
                room = batches.reserve() => {
                    let Ok(room) = room else {
                        return Err(Status::aborted("closed"));
                    };
                    tokio::select! {
                        end = &mut call => {
                            return Err(end.err().unwrap_or_else(|| Status::aborted("closed")));
                        }
                        message = self.receiver.recv() => match message {
                            Some(message) => room.send(self.batch(message)),
                            None => return Ok(()),
                        },
                    }
                }
            }
        }
    }

    /// The message with what else waits.
    fn batch(&mut self, first: Message) -> Frames {
        let mut bytes = 0;
        let mut messages = Vec::new();
        let mut next = Some(first);
        while let Some(message) = next {
            self.forget(&message);
            bytes += weight(&message);
            messages.push(wire::encode(&message));
            let full = bytes >= BATCH_BYTES || messages.len() >= BATCH_MESSAGES;
            next = if full {
                None
            } else {
                self.receiver.try_recv().ok()
            };
        }
        Frames { messages }
    }
}
