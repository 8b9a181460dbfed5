//! etcd's services on a [`Server`].

mod cluster;
mod kv;
mod maintenance;

use tonic::service::Routes;

use super::rpc::cluster_server::ClusterServer;
use super::rpc::k_v_server::KVServer;
use super::rpc::maintenance_server::MaintenanceServer;
use crate::server::Server;

/// Room for what surrounds a request of the largest size.
const OVERHEAD_BYTES: usize = 512 << 10;

/// The services as routes. Calls of services that are not here are answered by the fallback of the
/// router that they become part of.
pub fn routes(server: &Server) -> Routes {
    let service = Service {
        server: server.clone(),
    };
    let limit = server.config().max_request_bytes + OVERHEAD_BYTES;
    Routes::new(KVServer::new(service.clone()).max_decoding_message_size(limit))
        .add_service(ClusterServer::new(service.clone()).max_decoding_message_size(limit))
        .add_service(MaintenanceServer::new(service).max_decoding_message_size(limit))
}

/// The implementation of the services.
#[derive(Clone)]
struct Service {
    server: Server,
}
