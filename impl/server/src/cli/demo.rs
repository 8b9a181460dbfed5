//! `lockstep-server demo`: three servers in one process.

use std::io::Write as _;
use std::process::ExitCode;

use clap::Args;
use lockstep_server::serve::{Listeners, Served};
use lockstep_server::server::{Config, Exit};
use tokio::net::TcpListener;

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
    pub async fn run(self) -> Result<ExitCode, Box<dyn std::error::Error>> {
        let data = tempfile::Builder::new()
            .prefix("lockstep-demo-")
            .tempdir()?;
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
        let mut servers = Vec::new();
        let mut endpoints = Vec::new();
        for ((name, peer_urls), (client, peer)) in cluster.iter().zip(sockets) {
            let client_url = url(&client)?;
            endpoints.push(client_url.trim_start_matches("http://").to_owned());
            let config = Config {
                initial_cluster: cluster.clone(),
                advertise_client_urls: vec![client_url],
                wal_segment_bytes: 16 << 20,
                ..Config::new(name, data.path().join(name), &peer_urls.concat())
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
        explain(&endpoints, data.path())?;
        super::interrupted().await;
        let mut code = ExitCode::SUCCESS;
        for server in servers {
            match server.stop().await {
                Exit::Stopped => {}
                exit => code = super::code(exit),
            }
        }
        Ok(code)
    }
}

fn explain(endpoints: &[String], data: &std::path::Path) -> std::io::Result<()> {
    let (all, first) = (
        endpoints.join(","),
        endpoints.first().map_or("", String::as_str),
    );
    let mut out = std::io::stdout().lock();
    writeln!(
        out,
        "Three servers are up. Their data is in {}, until they stop.",
        data.display()
    )?;
    writeln!(out)?;
    writeln!(out, "    export ETCDCTL_ENDPOINTS={all}")?;
    writeln!(out, "    etcdctl put color green")?;
    writeln!(out, "    etcdctl get color")?;
    writeln!(out, "    etcdctl endpoint status --write-out=table")?;
    writeln!(out, "    curl http://{first}/health")?;
    writeln!(out, "    curl http://{first}/metrics")?;
    writeln!(out)?;
    writeln!(out, "Ctrl-C stops them.")?;
    out.flush()
}
