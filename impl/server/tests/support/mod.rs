//! Servers in the process of the test, on loopback, and clients of them.
#![allow(dead_code, reason = "each test uses a part of it")]

use std::future::Future;
use std::path::Path;
use std::time::{Duration, Instant};

use lockstep_server::api::pb::*;
use lockstep_server::api::rpc::cluster_client::ClusterClient;
use lockstep_server::api::rpc::k_v_client::KVClient;
use lockstep_server::api::rpc::maintenance_client::MaintenanceClient;
use lockstep_server::serve::{Listeners, Served};
use lockstep_server::server::Config;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tonic::transport::Channel;

/// No step of a test takes longer, even on a busy machine.
pub const PATIENCE: Duration = Duration::from_secs(30);

/// The addresses of a server.
#[derive(Clone, Debug)]
pub struct Address {
    pub name: String,
    pub client: String,
    pub peer: String,
}

/// A free port of loopback. Somebody else may take it before it is used, which is rare.
async fn free() -> String {
    TcpListener::bind("127.0.0.1:0")
        .await
        .unwrap()
        .local_addr()
        .unwrap()
        .to_string()
}

pub async fn addresses(count: usize) -> Vec<Address> {
    let mut addresses = Vec::new();
    for number in 1..=count {
        let name = format!("server-{number}");
        addresses.push(Address {
            name,
            client: free().await,
            peer: free().await,
        });
    }
    addresses
}

/// The settings of one of the servers: twice as fast as the default.
pub fn config(dir: &Path, address: &Address, all: &[Address]) -> Config {
    let peer_url = |address: &Address| format!("http://{}", address.peer);
    let initial_cluster = all
        .iter()
        .map(|one| (one.name.clone(), vec![peer_url(one)]))
        .collect();
    Config {
        initial_cluster,
        advertise_client_urls: vec![format!("http://{}", address.client)],
        heartbeat_interval: Duration::from_millis(50),
        election_timeout: Duration::from_millis(500),
        wal_segment_bytes: 1 << 20,
        ..Config::new(&address.name, dir.join(&address.name), &peer_url(address))
    }
}

pub async fn start(config: Config, address: &Address) -> Served {
    let listeners = listeners(address).await;
    Served::start(config, listeners).await.unwrap()
}

pub async fn listeners(address: &Address) -> Listeners {
    // The port may still be in use for a moment after a restart.
    let bind = |address: String| async move {
        until("the port is free", || async {
            TcpListener::bind(&address).await.ok()
        })
        .await
    };
    Listeners {
        clients: vec![bind(address.client.clone()).await],
        peers: vec![bind(address.peer.clone()).await],
        ..Listeners::default()
    }
}

/// Waits until something has come true.
pub async fn until<T, F: Future<Output = Option<T>>>(what: &str, mut done: impl FnMut() -> F) -> T {
    let began = Instant::now();
    loop {
        if let Some(value) = done().await {
            return value;
        }
        assert!(began.elapsed() < PATIENCE, "waited in vain until {what}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// A client of one server.
#[derive(Clone)]
pub struct Client {
    pub kv: KVClient<Channel>,
    pub cluster: ClusterClient<Channel>,
    pub maintenance: MaintenanceClient<Channel>,
    pub channel: Channel,
}

impl Client {
    pub async fn connect(address: &Address) -> Client {
        let url = format!("http://{}", address.client);
        let channel = until("the server listens", || async {
            Channel::from_shared(url.clone())
                .unwrap()
                .connect()
                .await
                .ok()
        })
        .await;
        Client {
            kv: KVClient::new(channel.clone()),
            cluster: ClusterClient::new(channel.clone()),
            maintenance: MaintenanceClient::new(channel.clone()),
            channel,
        }
    }

    pub async fn put(&mut self, key: &str, value: &str) -> Result<PutResponse, tonic::Status> {
        let (key, value) = (key.to_owned().into(), value.to_owned().into());
        let request = PutRequest {
            key,
            value,
            ..PutRequest::default()
        };
        Ok(self.kv.put(request).await?.into_inner())
    }

    /// Puts, and tries again until it is acknowledged.
    pub async fn put_surely(&self, key: &str, value: &str) {
        until("the put is acknowledged", || {
            let mut client = self.clone();
            // One that was passed on to a leader that is gone is not waited for.
            let patience = Duration::from_secs(2);
            async move {
                let put = client.put(key, value);
                tokio::time::timeout(patience, put).await.ok()?.ok()
            }
        })
        .await;
    }

    pub async fn get(&mut self, key: &str) -> Option<String> {
        let request = RangeRequest {
            key: key.to_owned().into(),
            ..RangeRequest::default()
        };
        let response = self.kv.range(request).await.unwrap().into_inner();
        response
            .kvs
            .first()
            .map(|kv| String::from_utf8_lossy(&kv.value).into_owned())
    }

    pub async fn count(&mut self, serializable: bool) -> i64 {
        let everything = RangeRequest {
            key: "\0".into(),
            range_end: "\0".into(),
            count_only: true,
            serializable,
            ..RangeRequest::default()
        };
        self.kv.range(everything).await.unwrap().into_inner().count
    }

    pub async fn status(&mut self) -> StatusResponse {
        self.maintenance
            .status(StatusRequest {})
            .await
            .unwrap()
            .into_inner()
    }

    pub async fn hash(&mut self, revision: i64) -> Result<HashKvResponse, tonic::Status> {
        Ok(self
            .maintenance
            .hash_kv(HashKvRequest { revision })
            .await?
            .into_inner())
    }
}

/// The answer to a plain HTTP request.
pub async fn http_get(address: &Address, path: &str) -> String {
    let mut stream = TcpStream::connect(&address.client).await.unwrap();
    let request = format!("GET {path} HTTP/1.1\r\nHost: test\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    answer
}

/// A number of the metrics.
pub async fn metric(address: &Address, name: &str) -> f64 {
    let text = http_get(address, "/metrics").await;
    let line = text
        .lines()
        .find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
    line.unwrap_or_else(|| panic!("no {name} in {text}"))
        .trim()
        .parse()
        .unwrap()
}
