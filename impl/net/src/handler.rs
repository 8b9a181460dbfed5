//! The server above the transport.

use std::future::Future;
use std::io;

use bytes::Bytes;
use lockstep_raft::{Message, NodeId, SnapshotStatus};
use tonic::Status;

use crate::proto::Question;

/// Takes what arrives, and hears of what does not. None of these may block, [`SnapshotSink`] aside.
pub trait Handler: Send + Sync + 'static {
    /// A Raft message came from a peer. A server that cannot keep up drops it.
    fn message(&self, message: Message);

    /// Messages to a peer were dropped.
    fn unreachable(&self, peer: NodeId);

    /// A snapshot arrived at a peer or did not.
    fn snapshot_sent(&self, peer: NodeId, status: SnapshotStatus);

    /// A snapshot begins to arrive; `message` is the one that it belongs to, without data. Once the
    /// sink has all of it, the message goes to [`message`](Handler::message).
    ///
    /// # Errors
    /// The snapshot cannot be taken.
    fn snapshot_sink(&self, message: &Message) -> io::Result<Box<dyn SnapshotSink>>;

    /// Whether this peer was removed from the cluster.
    fn is_removed(&self, peer: NodeId) -> bool;

    /// A peer says that this server was removed from the cluster.
    fn removed(&self);

    /// Answers a question of another server, which may be none of the cluster yet.
    fn answer(&self, question: Question) -> impl Future<Output = Result<Bytes, Status>> + Send;
}

/// Takes the bytes of a snapshot, on a thread where it may block. One that is dropped before it is
/// finished was broken off, and begins again later with another sink.
pub trait SnapshotSink: Send {
    /// Takes the next bytes.
    ///
    /// # Errors
    /// They cannot be stored; the snapshot is broken off.
    fn write(&mut self, chunk: Bytes) -> io::Result<()>;

    /// All bytes were written: makes them durable.
    ///
    /// # Errors
    /// They cannot be stored, or are damaged.
    fn finish(self: Box<Self>) -> io::Result<()>;
}
