//! etcd's services on a [`Server`].

mod cluster;
mod kv;
mod maintenance;

use tonic::service::Routes;
use tonic::service::interceptor::InterceptedService;
use tonic::{Request, Status};

use super::rpc::cluster_server::ClusterServer;
use super::rpc::k_v_server::KVServer;
use super::rpc::maintenance_server::MaintenanceServer;
use crate::server::{Error, Server};

/// Room for what surrounds a request of the largest size.
const OVERHEAD_BYTES: usize = 512 << 10;

/// The services as routes. Calls of services that are not here are answered by the fallback of the
/// router that they become part of.
pub fn routes(server: &Server) -> Routes {
    let service = Service {
        server: server.clone(),
    };
    let limit = server.config().max_request_bytes + OVERHEAD_BYTES;
    let check = require_leader(server);
    let kv = KVServer::new(service.clone()).max_decoding_message_size(limit);
    let cluster = ClusterServer::new(service.clone()).max_decoding_message_size(limit);
    let maintenance = MaintenanceServer::new(service).max_decoding_message_size(limit);
    Routes::new(InterceptedService::new(kv, check.clone()))
        .add_service(InterceptedService::new(cluster, check.clone()))
        .add_service(InterceptedService::new(maintenance, check))
}

/// Refuses calls that say in their metadata, as etcd's clients do, that they need a leader, while none
/// is known.
fn require_leader(
    server: &Server,
) -> impl Fn(Request<()>) -> Result<Request<()>, Status> + Clone + Send + Sync + 'static {
    let server = server.clone();
    move |request| {
        let wanted = request.metadata().get("hasleader");
        if wanted.is_some_and(|value| value == "true") && server.leader().is_none() {
            return Err(Error::NoLeader.into());
        }
        Ok(request)
    }
}

/// The implementation of the services.
#[derive(Clone)]
struct Service {
    server: Server,
}
