//! The receiving side: the gRPC service of a server for its peers.

use std::future::Future;
use std::sync::Arc;

use lockstep_raft::{Message, NodeId, wire};
use tokio::sync::watch;
use tonic::{Request, Response, Status, Streaming};

use crate::handler::Handler;
use crate::handshake::{self, Handshake};
use crate::proto::rpc::peer_server::{Peer, PeerServer};
use crate::proto::{Answer, Closed, Frames, HELLO, Piece, Question};
use crate::snapshot;
use crate::transport::MAX_FRAME_BYTES;

/// Takes the calls of peers, and hands what they bring to the [`Handler`].
pub struct PeerService<H> {
    pub(crate) cluster: u64,
    pub(crate) id: NodeId,
    pub(crate) handler: Arc<H>,
    /// Turns true when the server stops.
    pub(crate) stopped: watch::Receiver<bool>,
}

fn stopping() -> Status {
    Status::unavailable("the server stops")
}

impl<H: Handler> PeerService<H> {
    /// The service, to be mounted on a gRPC server.
    pub fn into_server(self) -> PeerServer<PeerService<H>> {
        PeerServer::new(self)
            .max_decoding_message_size(MAX_FRAME_BYTES)
            .max_encoding_message_size(MAX_FRAME_BYTES)
    }

    /// Resolves when the server stops: calls that go on end then.
    fn stopped(&self) -> impl Future<Output = ()> + use<H> {
        let mut stopped = self.stopped.clone();
        // An error means that the transport is gone.
        async move { drop(stopped.wait_for(|stopped| *stopped).await) }
    }

    fn accept<T>(&self, request: &Request<T>) -> Result<NodeId, Status> {
        if *self.stopped.borrow() {
            return Err(stopping());
        }
        let from = Handshake::accept(request.metadata(), self.cluster, self.id)?;
        self.check_member(from)?;
        Ok(from)
    }

    fn check_member(&self, from: NodeId) -> Result<(), Status> {
        if self.handler.is_removed(from) {
            Err(handshake::removed())
        } else {
            Ok(())
        }
    }

    /// Checks a message. `from` need not be the peer: what a follower passes on to the leader keeps
    /// its first sender. But nobody speaks for this server or its storage threads.
    fn check(&self, message: &Message) -> Result<(), Status> {
        let forged = message.from == self.id || message.from.is_storage_thread();
        if message.to != self.id || forged || message.kind().is_local() {
            return Err(Status::invalid_argument(format!(
                "{:?} from {} to {} is not a message between servers",
                message.kind(),
                message.from,
                message.to
            )));
        }
        Ok(())
    }
}

#[tonic::async_trait]
impl<H: Handler> Peer for PeerService<H> {
    async fn messages(
        &self,
        request: Request<Streaming<Frames>>,
    ) -> Result<Response<Closed>, Status> {
        let from = self.accept(&request)?;
        let mut stream = request.into_inner();
        let stopped = self.stopped();
        tokio::pin!(stopped);
        loop {
            let frames = tokio::select! {
                frames = stream.message() => frames?,
                () = &mut stopped => return Err(stopping()),
            };
            let Some(frames) = frames else { break };
            self.check_member(from)?;
            for bytes in frames.messages {
                let message = wire::decode::<Message>(bytes);
                let message =
                    message.map_err(|error| Status::invalid_argument(error.to_string()))?;
                self.check(&message)?;
                self.handler.message(message);
            }
        }
        Ok(Response::new(Closed {}))
    }

    async fn snapshot(
        &self,
        request: Request<Streaming<Piece>>,
    ) -> Result<Response<Closed>, Status> {
        self.accept(&request)?;
        let mut pieces = request.into_inner();
        let message = snapshot::start(&mut pieces).await?;
        self.check(&message)?;
        let sink = self.handler.snapshot_sink(&message);
        let sink = sink.map_err(|error| Status::unavailable(error.to_string()))?;
        tokio::select! {
            received = snapshot::receive(pieces, sink) => received?,
            () = self.stopped() => return Err(stopping()),
        }
        self.handler.message(message);
        Ok(Response::new(Closed {}))
    }

    async fn ask(&self, request: Request<Question>) -> Result<Response<Answer>, Status> {
        if request.get_ref().method == HELLO {
            self.accept(&request)?;
            return Ok(Response::new(Answer::default()));
        }
        let body = self.handler.answer(request.into_inner()).await?;
        Ok(Response::new(Answer { body }))
    }
}
