//! `lockstep-server demo`: three servers in one process.

use std::future::{Future as _, poll_fn};
use std::path::Path;
use std::process::ExitCode;
use std::task::Poll;

use clap::Args;
use lockstep_server::serve::{Listeners, Served};
use lockstep_server::server::Config;
use tokio::net::TcpListener;

use super::signals::Signals;
use super::streams::print;
use super::{Failure, stop};

/// The ports for clients and for peers that etcd's own examples use.
const PORTS: [(u16, u16); 3] = [(2379, 2380), (22379, 22380), (32379, 32380)];

/// A demonstration.
#[derive(Args, Debug)]
pub struct Demo {
    /// Let the system choose the ports, instead of 2379, 22379, 32379 and the ones after each
    #[arg(long)]
    any_ports: bool,
}

async fn listener(port: u16) -> std::io::Result<TcpListener> {
    TcpListener::bind(("127.0.0.1", port)).await
}

fn url(listener: &TcpListener) -> std::io::Result<String> {
    Ok(format!("http://{}", listener.local_addr()?))
}

impl Demo {
    pub(super) async fn run(self, mut signals: Signals) -> Result<ExitCode, Failure> {
        let data = tempfile::Builder::new()
            .prefix("lockstep-demo-")
            .tempdir()?;
        let mut servers = Vec::new();
        let up = tokio::select! {
            up = self.start(data.path(), &mut servers) => up,
            () = signals.arrived() => return Ok(stop(servers, &mut signals).await),
        };
        let shown = match up {
            Ok(endpoints) => {
                // Its reader may not read, and a signal ends that too.
                let text = explanation(&endpoints, data.path());
                let printed = tokio::task::spawn_blocking(move || print(&text));
                tokio::select! {
                    printed = printed => printed?.map_err(Failure::from),
                    () = signals.arrived() => return Ok(stop(servers, &mut signals).await),
                }
            }
            Err(error) => Err(error),
        };
        if shown.is_ok() {
            tokio::select! {
                () = signals.arrived() => {}
                () = one_exits(&servers) => {}
            }
        }
        let code = stop(servers, &mut signals).await;
        shown.map(|()| code)
    }

    /// Starts the servers, and waits until one leads. The result is their addresses for clients.
    async fn start(&self, data: &Path, servers: &mut Vec<Served>) -> Result<Vec<String>, Failure> {
        let mut sockets = Vec::new();
        for (client, peer) in PORTS {
            let (client, peer) = if self.any_ports {
                (0, 0)
            } else {
                (client, peer)
            };
            let bound = (listener(client).await, listener(peer).await);
            sockets.push(match bound {
                (Ok(client), Ok(peer)) => (client, peer),
                (Err(error), _) | (_, Err(error)) => {
                    let hint = "another program has one of the ports; --any-ports takes free ones";
                    return Err(format!("{error}: {hint}").into());
                }
            });
        }
        let mut cluster = Vec::new();
        for (number, (_, peer)) in (1..).zip(&sockets) {
            cluster.push((format!("server-{number}"), vec![url(peer)?]));
        }
        let mut endpoints = Vec::new();
        for ((name, peer_urls), (client, peer)) in cluster.iter().zip(sockets) {
            let client_url = url(&client)?;
            endpoints.push(client_url.trim_start_matches("http://").to_owned());
            let config = Config {
                initial_cluster: cluster.clone(),
                advertise_client_urls: vec![client_url],
                wal_segment_bytes: 16 << 20,
                ..Config::new(name, data.join(name), &peer_urls.concat())
            };
            let listeners = Listeners {
                clients: vec![client],
                peers: vec![peer],
                ..Listeners::default()
            };
            servers.push(Served::start(config, listeners).await?);
        }
        if let Some(server) = servers.first() {
            server.server().linearize().await?;
        }
        Ok(endpoints)
    }
}

/// Waits until one of the servers stops by itself.
async fn one_exits(servers: &[Served]) {
    let mut exits: Vec<_> = servers.iter().map(|it| Box::pin(it.exited())).collect();
    poll_fn(|context| {
        let mut ended = exits.iter_mut().map(|it| it.as_mut().poll(context));
        match ended.any(|it| it.is_ready()) {
            true => Poll::Ready(()),
            false => Poll::Pending,
        }
    })
    .await;
}

/// Explains how to talk to the servers.
fn explanation(endpoints: &[String], data: &Path) -> String {
    let (all, first) = (
        endpoints.join(","),
        endpoints.first().map_or("", String::as_str),
    );
    format!(
        "Three servers are up. Their data is in {}, until they stop.

    export ETCDCTL_ENDPOINTS={all}
    etcdctl put color green
    etcdctl get color
    etcdctl endpoint status --write-out=table
    curl http://{first}/health
    curl http://{first}/metrics

Ctrl-C stops them.
",
        data.display()
    )
}
