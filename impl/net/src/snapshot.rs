//! Snapshots, cut into pieces: the sending and the receiving side.

use std::io;

use bytes::Bytes;
use lockstep_raft::{Message, MessageKind, wire};
use tokio::sync::mpsc;
use tonic::{Status, Streaming};

use crate::handler::SnapshotSink;
use crate::proto::{Part, Piece};

/// Pieces on their way between the thread that reads or writes and the connection.
const PIECES: usize = 8;
/// The largest chunk of data in one piece.
const CHUNK_BYTES: usize = 256 << 10;

/// Takes the bytes of a snapshot that is being sent.
pub struct SnapshotWriter {
    pieces: mpsc::Sender<Piece>,
    bytes: u64,
}

impl SnapshotWriter {
    /// A writer, and the stream of what it is given.
    pub(crate) fn new() -> (SnapshotWriter, mpsc::Receiver<Piece>) {
        let (pieces, receiver) = mpsc::channel(PIECES);
        (SnapshotWriter { pieces, bytes: 0 }, receiver)
    }

    fn piece(&self, part: Part) -> io::Result<()> {
        let sent = self.pieces.blocking_send(Piece { part: Some(part) });
        sent.map_err(|_| io::Error::new(io::ErrorKind::BrokenPipe, "the connection is gone"))
    }

    pub(crate) fn start(&self, message: &Message) -> io::Result<()> {
        self.piece(Part::Start(wire::encode(message)))
    }

    /// Sends the next bytes, and blocks while the peer does not keep up.
    ///
    /// # Errors
    /// The connection is gone.
    pub fn write(&mut self, mut data: Bytes) -> io::Result<()> {
        while !data.is_empty() {
            let chunk = data.split_to(data.len().min(CHUNK_BYTES));
            self.bytes += chunk.len() as u64;
            self.piece(Part::Chunk(chunk))?;
        }
        Ok(())
    }

    pub(crate) fn end(self) -> io::Result<()> {
        self.piece(Part::End(self.bytes))
    }
}

/// Reads the first piece: the message that the snapshot belongs to.
pub(crate) async fn start(pieces: &mut Streaming<Piece>) -> Result<Message, Status> {
    let Some(Piece {
        part: Some(Part::Start(bytes)),
    }) = pieces.message().await?
    else {
        return Err(Status::invalid_argument(
            "a snapshot begins with its message",
        ));
    };
    match wire::decode::<Message>(bytes) {
        Ok(message) if message.kind() == MessageKind::InstallSnapshot => Ok(message),
        Ok(_) => Err(Status::invalid_argument(
            "the message of a snapshot installs none",
        )),
        Err(error) => Err(Status::invalid_argument(error.to_string())),
    }
}

/// Reads the other pieces into a sink.
pub(crate) async fn receive(
    mut pieces: Streaming<Piece>,
    mut sink: Box<dyn SnapshotSink>,
) -> Result<(), Status> {
    let (chunks, mut receiver) = mpsc::channel::<Bytes>(PIECES);
    let (done, finish) = tokio::sync::oneshot::channel::<()>();
    let writer = tokio::task::spawn_blocking(move || {
        while let Some(chunk) = receiver.blocking_recv() {
            sink.write(chunk)?;
        }
        match finish.blocking_recv() {
            Ok(()) => sink.finish(),
            Err(_) => Err(io::Error::new(io::ErrorKind::UnexpectedEof, "broken off")),
        }
    });
    let mut bytes = 0u64;
    let broken = loop {
        match pieces.message().await {
            Ok(Some(Piece {
                part: Some(Part::Chunk(chunk)),
            })) => {
                bytes += chunk.len() as u64;
                if chunks.send(chunk).await.is_err() {
                    break None; // The writer has failed, and says why.
                }
            }
            Ok(Some(Piece {
                part: Some(Part::End(sent)),
            })) if sent == bytes => {
                let _ = done.send(());
                break None;
            }
            Ok(Some(_)) => break Some(Status::invalid_argument("a piece out of order")),
            Ok(None) => break Some(Status::aborted("the snapshot was broken off")),
            Err(status) => break Some(status),
        }
    };
    drop(chunks);
    if let Some(status) = broken {
        return Err(status);
    }
    match writer.await {
        Ok(result) => result.map_err(|error| Status::internal(error.to_string())),
        Err(error) => Err(Status::internal(error.to_string())),
    }
}
