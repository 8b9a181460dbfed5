//! A server with its listeners: gRPC for clients and peers, and HTTP for health and metrics beside it.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::{Request, State};
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tonic::Status;

use crate::api::services;
use crate::log::LogStore;
use crate::server::{Config, Exit, PeerRoutes as _, Running, Server, StartError};

/// The time that a stop waits for requests to end.
const PATIENCE: Duration = Duration::from_secs(5);

/// Bound listeners of a server.
#[derive(Debug, Default)]
pub struct Listeners {
    /// For clients, with health and metrics.
    pub clients: Vec<TcpListener>,
    /// For the other servers.
    pub peers: Vec<TcpListener>,
    /// For health and metrics alone.
    pub metrics: Vec<TcpListener>,
}

/// Binds a listener to each URL.
///
/// # Errors
/// A URL is not of the form `http://host:port`, or cannot be bound; the text names it.
pub async fn bind(urls: &[String]) -> io::Result<Vec<TcpListener>> {
    let mut listeners = Vec::new();
    for url in urls {
        let named = |error: io::Error| io::Error::new(error.kind(), format!("{url}: {error}"));
        let Some(address) = url.strip_prefix("http://") else {
            let text = "only http:// is supported, there is no TLS yet";
            return Err(named(io::Error::new(io::ErrorKind::InvalidInput, text)));
        };
        let address = address.trim_end_matches('/');
        listeners.push(TcpListener::bind(address).await.map_err(named)?);
    }
    Ok(listeners)
}

/// A server that serves.
pub struct Served {
    running: Arc<Running>,
    stop: watch::Sender<bool>,
    tasks: JoinSet<()>,
    addresses: Vec<SocketAddr>,
}

impl Served {
    /// Starts a server and serves on the listeners.
    ///
    /// # Errors
    /// [`StartError`] says what is wrong.
    pub async fn start(config: Config, listeners: Listeners) -> Result<Served, StartError> {
        Ok(Served::serve(Running::start(config).await?, listeners))
    }

    /// Starts a server with a log of the caller's choice and serves on the listeners.
    ///
    /// # Errors
    /// [`StartError`] says what is wrong.
    pub async fn start_with_log(
        config: Config,
        listeners: Listeners,
        log: impl LogStore,
    ) -> Result<Served, StartError> {
        let running = Running::start_with_log(config, log).await?;
        Ok(Served::serve(running, listeners))
    }

    fn serve(running: Running, listeners: Listeners) -> Served {
        let running = Arc::new(running);
        let server = running.server();
        let (stop, stopped) = watch::channel(false);
        let mut served = Served {
            running: running.clone(),
            stop,
            tasks: JoinSet::new(),
            addresses: Vec::new(),
        };
        let clients = client_router(server);
        for listener in listeners.clients {
            served.addresses.extend(listener.local_addr());
            served
                .tasks
                .spawn(accept(listener, clients.clone(), stopped.clone()));
        }
        if let Some(service) = server.peer_service() {
            let peers = service.into_routes().into_axum_router();
            for listener in listeners.peers {
                served
                    .tasks
                    .spawn(accept(listener, peers.clone(), stopped.clone()));
            }
        }
        for listener in listeners.metrics {
            served
                .tasks
                .spawn(accept(listener, http_router(server), stopped.clone()));
        }
        served
    }

    /// The server.
    pub fn server(&self) -> &Server {
        self.running.server()
    }

    /// The addresses for clients.
    pub fn client_addresses(&self) -> &[SocketAddr] {
        &self.addresses
    }

    /// Waits until the server stops by itself, and says why it did.
    pub async fn exited(&self) -> Exit {
        self.running.exited().await
    }

    /// Stops: the server first, so that requests and the streams of peers end, then the listeners.
    /// Returns when the files are closed, or can be.
    pub async fn stop(mut self) -> Exit {
        let exit = self.running.stop().await;
        self.stop.send_replace(true);
        let all = async { while self.tasks.join_next().await.is_some() {} };
        if tokio::time::timeout(PATIENCE, all).await.is_err() {
            tracing::warn!("some requests do not end");
        }
        exit
    }
}

async fn accept(listener: TcpListener, router: Router, mut stopped: watch::Receiver<bool>) {
    // An error means that nobody can say so any more.
    let stopped = async move { drop(stopped.wait_for(|stopped| *stopped).await) };
    if let Err(error) = axum::serve(listener, router)
        .with_graceful_shutdown(stopped)
        .await
    {
        tracing::error!(%error, "a listener failed");
    }
}

fn client_router(server: &Server) -> Router {
    // The routes of gRPC have a fallback of their own, without a reason; this one gives the reason.
    let grpc = services::routes(server).into_axum_router().reset_fallback();
    grpc.merge(http_router(server)).fallback(unserved)
}

fn http_router(server: &Server) -> Router {
    Router::new()
        .route("/health", get(health))
        .route("/metrics", get(metrics))
        .route("/version", get(version))
        .with_state(server.clone())
}

/// Answers calls of services that are not here.
async fn unserved(request: Request) -> Response {
    let content_type = request.headers().get(header::CONTENT_TYPE);
    let is_grpc =
        content_type.is_some_and(|value| value.as_bytes().starts_with(b"application/grpc"));
    if !is_grpc {
        return StatusCode::NOT_FOUND.into_response();
    }
    let call = request.uri().path().trim_start_matches('/');
    Status::unimplemented(format!("lockstep-server: {call} is not implemented")).into_http()
}

fn json(status: StatusCode, body: String) -> Response {
    let json = HeaderValue::from_static("application/json");
    (status, [(header::CONTENT_TYPE, json)], body).into_response()
}

async fn health(State(server): State<Server>) -> Response {
    match server.health().await {
        Ok(()) => json(
            StatusCode::OK,
            r#"{"health":"true","reason":""}"#.to_owned(),
        ),
        Err(reason) => {
            let reason: String = reason
                .chars()
                .filter(|c| !matches!(c, '"' | '\\'))
                .collect();
            let body = format!(r#"{{"health":"false","reason":"{reason}"}}"#);
            json(StatusCode::SERVICE_UNAVAILABLE, body)
        }
    }
}

async fn metrics(State(server): State<Server>) -> Response {
    let text = HeaderValue::from_static("text/plain; version=0.0.4");
    ([(header::CONTENT_TYPE, text)], server.metrics_text()).into_response()
}

async fn version() -> Response {
    let version = crate::server::VERSION;
    json(
        StatusCode::OK,
        format!(r#"{{"etcdserver":"{version}","etcdcluster":"{version}"}}"#),
    )
}
