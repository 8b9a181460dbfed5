//! Servers as processes that are killed: what was acknowledged is there afterwards.

mod support;

use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use lockstep_server::api::pb::RangeRequest;
use lockstep_server::server::check_data;
use support::*;

const ROUNDS: usize = 5;
/// Acknowledged writes in a round, of keys and of a counter each.
const PUTS: usize = 15;

/// A process that ends with the test.
struct Process(Child);

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.0.kill(); // It may have ended.
        let _ = self.0.wait();
    }
}

fn spawn(dir: &Path, address: &Address, all: &[Address]) -> Process {
    let url = |address: &str| format!("http://{address}");
    let cluster: Vec<String> = all
        .iter()
        .map(|one| format!("{}={}", one.name, url(&one.peer)))
        .collect();
    let child = Command::new(env!("CARGO_BIN_EXE_lockstep-server"))
        .args([
            "serve",
            "--heartbeat-interval=50",
            "--election-timeout=500",
            "--log-level=warn",
        ])
        .args(["--snapshot-count=40", "--snapshot-catchup-entries=10"])
        // Many segments come and go.
        .arg("--wal-segment-bytes=16384")
        .env("ETCD_NAME", &address.name)
        .env("ETCD_DATA_DIR", dir.join(&address.name))
        .env("ETCD_INITIAL_CLUSTER", cluster.join(","))
        .env("ETCD_LISTEN_CLIENT_URLS", url(&address.client))
        .env("ETCD_LISTEN_PEER_URLS", url(&address.peer))
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn();
    Process(child.unwrap())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn acknowledged_writes_survive_kill() {
    let dir = tempfile::tempdir().unwrap();
    let addresses = addresses(3).await;
    let mut processes: Vec<Process> = addresses
        .iter()
        .map(|address| spawn(dir.path(), address, &addresses))
        .collect();
    let mut acknowledged = 0;
    let (mut counted, mut tried) = (0, 0);
    for round in 0..ROUNDS {
        let mut client = Client::connect(&addresses[round % 3]).await;
        for number in 0..PUTS {
            client.put_surely(&format!("{round}-{number}"), "x").await;
            acknowledged += 1;
            tried += 1;
            counted += i64::from(client.put("counter", "x").await.is_ok());
        }
        // The leader is killed in the middle of writes whose outcome nobody waits for.
        let leader = until("one leads", || {
            let mut client = client.clone();
            async move { Some(client.status().await.leader).filter(|&leader| leader != 0) }
        })
        .await;
        let mut victim = None;
        for (at, address) in addresses.iter().enumerate() {
            if Client::connect(address)
                .await
                .status()
                .await
                .header
                .unwrap()
                .member_id
                == leader
            {
                victim = Some(at);
            }
        }
        let victim = victim.unwrap();
        let writes = (0..20).map(|number| {
            let mut client = client.clone();
            tokio::spawn(async move { client.put(&format!("doubt-{number}"), "x").await })
        });
        let writes: Vec<_> = writes.collect();
        tokio::time::sleep(Duration::from_millis(5)).await;
        processes[victim].0.kill().unwrap();
        processes[victim].0.wait().unwrap();
        writes.into_iter().for_each(|write| write.abort());
        let other = Client::connect(&addresses[(victim + 1) % 3]).await;
        other.put_surely(&format!("after-{round}"), "x").await;
        acknowledged += 1;
        processes[victim] = spawn(dir.path(), &addresses[victim], &addresses);
        Client::connect(&addresses[victim])
            .await
            .put_surely("victim", "x")
            .await;
        let _ = client.put("again", "x").await;
    }
    let mut client = Client::connect(&addresses[0]).await;
    assert!(client.count(false).await >= acknowledged);
    for round in 0..ROUNDS {
        for number in 0..PUTS {
            let key = format!("{round}-{number}");
            assert_eq!(
                client.get(&key).await.as_deref(),
                Some("x"),
                "{key} is lost"
            );
        }
    }
    let hash = client.hash(0).await.unwrap();
    for address in &addresses {
        until("all have the same content", || async {
            let other = Client::connect(address)
                .await
                .hash(hash.hash_revision)
                .await
                .ok()?;
            (other.hash == hash.hash).then_some(())
        })
        .await;
    }
    // Each put took effect once.
    let request = RangeRequest {
        key: "counter".into(),
        ..RangeRequest::default()
    };
    let counter = client.kv.range(request).await.unwrap().into_inner();
    let version = counter.kvs.first().unwrap().version;
    assert!(
        (counted..=tried).contains(&version),
        "{counted} puts were acknowledged and {tried} tried, and the key has version {version}"
    );
    for mut process in processes {
        process.0.kill().unwrap();
        process.0.wait().unwrap();
    }
    for address in &addresses {
        let report = check_data(&dir.path().join(&address.name));
        assert!(report.problems.is_empty(), "{report}");
    }
}
