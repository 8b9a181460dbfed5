//! The service `Maintenance`.

use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Request, Response, Status};

use super::Service;
use crate::api::pb::{
    AlarmRequest, AlarmResponse, DefragmentRequest, DefragmentResponse, HashKvRequest,
    HashKvResponse, HashRequest, HashResponse, MoveLeaderRequest, MoveLeaderResponse,
    SnapshotRequest, SnapshotResponse, StatusRequest, StatusResponse,
};
use crate::api::rpc::maintenance_server::Maintenance;
use crate::server::VERSION;
use crate::store::Dump;

/// Pieces of a backup between the thread that reads the store and the connection.
const PIECES: usize = 4;

#[tonic::async_trait]
impl Maintenance for Service {
    type SnapshotStream = ReceiverStream<Result<SnapshotResponse, Status>>;

    async fn alarm(
        &self,
        request: Request<AlarmRequest>,
    ) -> Result<Response<AlarmResponse>, Status> {
        Ok(Response::new(
            self.server.alarm(request.into_inner()).await?,
        ))
    }

    async fn status(&self, _: Request<StatusRequest>) -> Result<Response<StatusResponse>, Status> {
        Ok(Response::new(self.server.status().await?))
    }

    async fn defragment(
        &self,
        _: Request<DefragmentRequest>,
    ) -> Result<Response<DefragmentResponse>, Status> {
        self.server.refuse_as_learner()?;
        self.server.defragment().await?;
        let header = Some(self.server.current_header().await?);
        Ok(Response::new(DefragmentResponse { header }))
    }

    async fn hash(&self, _: Request<HashRequest>) -> Result<Response<HashResponse>, Status> {
        self.server.refuse_as_learner()?;
        let HashKvResponse { header, hash, .. } = self.server.hash_kv(0).await?;
        Ok(Response::new(HashResponse { header, hash }))
    }

    async fn hash_kv(
        &self,
        request: Request<HashKvRequest>,
    ) -> Result<Response<HashKvResponse>, Status> {
        self.server.refuse_as_learner()?;
        Ok(Response::new(
            self.server.hash_kv(request.get_ref().revision).await?,
        ))
    }

    async fn snapshot(
        &self,
        _: Request<SnapshotRequest>,
    ) -> Result<Response<Self::SnapshotStream>, Status> {
        self.server.refuse_as_learner()?;
        let header = self.server.current_header().await?;
        let snapshot = self.server.snapshot()?;
        let (pieces, stream) = mpsc::channel(PIECES);
        tokio::task::spawn_blocking(move || {
            // Once to know how much it is, once to send it.
            let dump = Dump::write(&snapshot, |_| Ok(())).and_then(|mut remaining_bytes| {
                Dump::write(&snapshot, |blob| {
                    remaining_bytes -= blob.len() as u64;
                    let version = VERSION.to_owned();
                    let header = Some(header);
                    let piece = SnapshotResponse {
                        header,
                        remaining_bytes,
                        blob,
                        version,
                    };
                    pieces
                        .blocking_send(Ok(piece))
                        .map_err(std::io::Error::other)
                })
            });
            if let Err(error) = dump {
                // The client is gone, or hears why.
                let _ = pieces.blocking_send(Err(Status::internal(error.to_string())));
            }
        });
        Ok(Response::new(ReceiverStream::new(stream)))
    }

    async fn move_leader(
        &self,
        request: Request<MoveLeaderRequest>,
    ) -> Result<Response<MoveLeaderResponse>, Status> {
        self.server.move_leader(request.get_ref().target_id).await?;
        let header = Some(self.server.current_header().await?);
        Ok(Response::new(MoveLeaderResponse { header }))
    }
}
