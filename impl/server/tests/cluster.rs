//! Servers in one process: what clients see of a cluster.

mod support;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use lockstep_raft::SnapshotMetadata;
use lockstep_server::api::pb::*;
use lockstep_server::log::{Identity, LogError, LogState, LogStore, LogWrite, MemoryLog};
use lockstep_server::serve::Served;
use lockstep_server::server::{ClusterState, Config, Exit, check_data};
use support::*;
use tonic::{Code, Status};

struct Cluster {
    dir: tempfile::TempDir,
    addresses: Vec<Address>,
    servers: Vec<Option<Served>>,
    change: fn(&mut Config),
}

impl Cluster {
    async fn start(count: usize, change: fn(&mut Config)) -> Cluster {
        let dir = tempfile::tempdir().unwrap();
        let addresses = addresses(count).await;
        let servers = (0..count).map(|_| None).collect();
        let mut cluster = Cluster {
            dir,
            addresses,
            servers,
            change,
        };
        for at in 0..count {
            cluster.restart(at).await;
        }
        cluster
    }

    async fn restart(&mut self, at: usize) {
        let address = &self.addresses[at];
        let mut config = config(self.dir.path(), address, &self.addresses);
        (self.change)(&mut config);
        self.servers[at] = Some(start(config, address).await);
    }

    async fn stop(&mut self, at: usize) -> Exit {
        self.servers[at].take().unwrap().stop().await
    }

    async fn client(&self, at: usize) -> Client {
        Client::connect(&self.addresses[at]).await
    }

    async fn leader(&self) -> usize {
        until("one leads", || async {
            self.servers.iter().position(|server| {
                let server = server.as_ref().map(Served::server);
                server.is_some_and(|server| server.leader() == Some(server.member_id()))
            })
        })
        .await
    }

    /// Waits until all servers that run have the same content.
    async fn agree(&self) -> HashKvResponse {
        let leader = self.leader().await;
        until("all have the same content", || async {
            let wanted = self.client(leader).await.hash(0).await.ok()?;
            for at in 0..self.servers.len() {
                if self.servers[at].is_some() {
                    let hash = self
                        .client(at)
                        .await
                        .hash(wanted.hash_revision)
                        .await
                        .ok()?;
                    let same = hash.hash == wanted.hash
                        && hash.compact_revision == wanted.compact_revision;
                    same.then_some(())?;
                }
            }
            Some(wanted)
        })
        .await
    }

    async fn stop_all(mut self) {
        for at in 0..self.servers.len() {
            if self.servers[at].is_some() {
                assert_eq!(self.stop(at).await, Exit::Stopped);
                let report = check_data(&self.dir.path().join(&self.addresses[at].name));
                assert!(report.problems.is_empty(), "{report}");
            }
        }
    }
}

fn refused<T: std::fmt::Debug>(result: Result<T, Status>) -> (Code, String) {
    let status = result.unwrap_err();
    (status.code(), status.message().to_owned())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_cluster_survives_the_loss_of_its_leader() {
    let mut cluster = Cluster::start(3, |_| ()).await;
    let leader = cluster.leader().await;
    let follower = (leader + 1) % 3;
    // Any server takes requests.
    let mut client = cluster.client(follower).await;
    client.put_surely("a", "1").await;
    assert_eq!(client.get("a").await.as_deref(), Some("1"));
    let header = client.put("a", "2").await.unwrap().header.unwrap();
    assert_eq!(
        header.member_id,
        cluster.servers[follower]
            .as_ref()
            .unwrap()
            .server()
            .member_id()
    );
    assert!(header.revision >= 3 && header.raft_term >= 1 && header.cluster_id != 0);
    assert_eq!(
        cluster.client(leader).await.get("a").await.as_deref(),
        Some("2")
    );

    assert_eq!(cluster.stop(leader).await, Exit::Stopped);
    for number in 0..50 {
        client.put_surely(&format!("b{number:02}"), "x").await;
    }
    assert_ne!(cluster.leader().await, leader);
    cluster.restart(leader).await;
    cluster.agree().await;
    assert_eq!(cluster.client(leader).await.count(true).await, 51);
    cluster.stop_all().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_without_a_quorum_answers_no_linearizable_read() {
    let mut cluster = Cluster::start(3, |_| ()).await;
    let leader = cluster.leader().await;
    let mut client = cluster.client(leader).await;
    client.put_surely("a", "1").await;
    for at in [(leader + 1) % 3, (leader + 2) % 3] {
        // Without a wait for their end: a new leader is not the question here.
        drop(cluster.servers[at].take());
    }
    let read = RangeRequest {
        key: "a".into(),
        ..RangeRequest::default()
    };
    let serializable = RangeRequest {
        serializable: true,
        ..read.clone()
    };
    until("the others have stopped", || {
        let (mut client, read) = (client.clone(), read.clone());
        async move {
            let answer = tokio::time::timeout(Duration::from_secs(1), client.kv.range(read));
            answer.await.is_err().then_some(())
        }
    })
    .await;
    for _ in 0..2 {
        let answer = tokio::time::timeout(Duration::from_secs(1), client.kv.range(read.clone()));
        assert!(
            !matches!(answer.await, Ok(Ok(_))),
            "nobody has confirmed it"
        );
    }
    let answer = client.kv.range(serializable).await.unwrap().into_inner();
    assert_eq!(answer.count, 1);
    drop(cluster.servers[leader].take());
}

/// A log that fails when it is told to.
struct Failing {
    log: MemoryLog,
    fails: Arc<AtomicBool>,
}

impl LogStore for Failing {
    fn load(&mut self) -> Result<LogState, LogError> {
        self.log.load()
    }

    fn set_identity(&mut self, identity: Identity) -> Result<(), LogError> {
        self.log.set_identity(identity)
    }

    fn write(&mut self, write: LogWrite) -> Result<(), LogError> {
        if self.fails.load(Ordering::SeqCst) && !write.entries.is_empty() {
            // Messages that were sent too early have time to arrive.
            std::thread::sleep(Duration::from_millis(500));
            return Err(LogError::new("no write is durable"));
        }
        self.log.write(write)
    }

    fn compact(&mut self, applied: &SnapshotMetadata) -> Result<(), LogError> {
        self.log.compact(applied)
    }
}

/// Neither a client nor a peer hears of a write that the log has not taken.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_write_that_a_quorum_could_not_log_is_not_acknowledged() {
    let dir = tempfile::tempdir().unwrap();
    let addresses = addresses(3).await;
    let mut servers = Vec::new();
    for address in &addresses {
        let fails = Arc::new(AtomicBool::new(false));
        let log = Failing {
            log: MemoryLog::default(),
            fails: fails.clone(),
        };
        let config = config(dir.path(), address, &addresses);
        let listeners = listeners(address).await;
        let served = Served::start_with_log(config, listeners, log).await;
        servers.push((served.unwrap(), fails));
    }
    let mut client = Client::connect(&addresses[0]).await;
    client.put_surely("a", "1").await;
    let leader = client.status().await.leader;
    for (server, fails) in &servers {
        fails.store(server.server().member_id() != leader, Ordering::SeqCst);
    }
    let leads = servers
        .iter()
        .position(|(server, _)| server.server().member_id() == leader);
    let mut client = Client::connect(&addresses[leads.unwrap()]).await;
    assert!(client.put("a", "2").await.is_err(), "no quorum has it");
    let failed = Exit::LogFailed("log: no write is durable".to_owned());
    for (server, fails) in servers {
        if fails.load(Ordering::SeqCst) {
            let exit = tokio::time::timeout(PATIENCE, server.exited()).await;
            assert_eq!(exit.unwrap(), failed);
        }
        server.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_single_server_keeps_its_data_over_a_restart() {
    let mut cluster = Cluster::start(1, |config| config.snapshot_count = 20).await;
    let client = cluster.client(0).await;
    for number in 0..100 {
        client.put_surely(&format!("{number}"), "x").await;
    }
    let before = cluster.agree().await;
    drop(client);
    for _ in 0..3 {
        cluster.stop(0).await;
        cluster.restart(0).await;
        assert_eq!(cluster.agree().await.hash, before.hash);
    }
    assert_eq!(cluster.client(0).await.count(false).await, 100);
    cluster.stop_all().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_lagging_follower_gets_a_snapshot_while_writes_go_on() {
    let mut cluster = Cluster::start(3, |config| {
        (config.snapshot_count, config.snapshot_catchup_entries) = (40, 10);
    })
    .await;
    let leader = cluster.leader().await;
    let slow = (leader + 1) % 3;
    let client = cluster.client(leader).await;
    client.put_surely("first", "x").await;
    cluster.stop(slow).await;
    let large = "x".repeat(20_000);
    for number in 0..120 {
        client.put_surely(&format!("{number:03}"), &large).await;
    }
    let writer = {
        let client = client.clone();
        tokio::spawn(async move {
            for number in 0..60 {
                client.put_surely(&format!("later-{number:02}"), "x").await;
            }
        })
    };
    cluster.restart(slow).await;
    writer.await.unwrap();
    cluster.agree().await;
    // The follower may have it before its leader is told so.
    until("a snapshot was needed and sent", || async {
        let mut sent = 0.0;
        for address in &cluster.addresses {
            sent += metric(address, "lockstep_server_snapshots_sent_total").await;
        }
        (sent >= 1.0).then_some(())
    })
    .await;
    assert_eq!(cluster.client(slow).await.count(true).await, 181);
    // It keeps what it got.
    cluster.stop(slow).await;
    cluster.restart(slow).await;
    cluster.agree().await;
    cluster.stop_all().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn members_come_and_go() {
    let mut cluster = Cluster::start(1, |_| ()).await;
    let mut first = cluster.client(0).await;
    first.put_surely("a", "1").await;
    until("the first member has published its name", || {
        let mut first = first.clone();
        async move {
            let list = first
                .cluster
                .member_list(MemberListRequest::default())
                .await
                .ok()?
                .into_inner();
            list.members
                .iter()
                .all(|member| !member.name.is_empty())
                .then_some(())
        }
    })
    .await;
    let added = addresses(3).await.pop().unwrap();
    let peer_urls = vec![format!("http://{}", added.peer)];

    let learner = MemberAddRequest {
        peer_urls: peer_urls.clone(),
        is_learner: true,
    };
    let answer = first
        .cluster
        .member_add(learner.clone())
        .await
        .unwrap()
        .into_inner();
    let id = answer.member.unwrap().id;
    assert_eq!(answer.members.len(), 2);
    let again = MemberAddRequest {
        // Another list has another id, and is refused for the address that both have.
        peer_urls: [peer_urls.clone(), vec!["http://127.0.0.1:1".to_owned()]].concat(),
        is_learner: false,
    };
    let text = "etcdserver: Peer URLs already exists".to_owned();
    assert_eq!(
        refused(first.cluster.member_add(again).await),
        (Code::FailedPrecondition, text)
    );
    let other = MemberAddRequest {
        peer_urls: vec!["http://127.0.0.1:1".to_owned()],
        is_learner: true,
    };
    let text = "etcdserver: too many learner members in cluster".to_owned();
    assert_eq!(
        refused(first.cluster.member_add(other).await),
        (Code::FailedPrecondition, text)
    );
    let promote = MemberPromoteRequest { id };
    let text =
        "etcdserver: can only promote a learner member which is in sync with leader".to_owned();
    assert_eq!(
        refused(first.cluster.member_promote(promote).await),
        (Code::FailedPrecondition, text)
    );

    cluster.addresses.push(added.clone());
    let mut joining = config(cluster.dir.path(), &added, &cluster.addresses);
    joining.initial_cluster_state = ClusterState::Existing;
    cluster
        .servers
        .push(Some(start(joining.clone(), &added).await));
    let mut second = cluster.client(1).await;
    until("the learner has the data", || {
        let mut second = second.clone();
        async move { (second.count(true).await == 1).then_some(()) }
    })
    .await;
    let text = "etcdserver: rpc not supported for learner".to_owned();
    assert_eq!(
        refused(second.put("b", "1").await),
        (Code::FailedPrecondition, text)
    );
    assert!(second.status().await.is_learner);
    until("the learner is ready", || {
        let mut first = first.clone();
        async move { first.cluster.member_promote(promote).await.ok() }
    })
    .await;
    let text = "etcdserver: can only promote a learner member".to_owned();
    assert_eq!(
        refused(first.cluster.member_promote(promote).await),
        (Code::FailedPrecondition, text)
    );
    second.put_surely("b", "1").await;
    until("the new member has published its name", || {
        let mut first = first.clone();
        async move {
            let list = first
                .cluster
                .member_list(MemberListRequest { linearizable: true })
                .await
                .unwrap();
            let member = list
                .into_inner()
                .members
                .into_iter()
                .find(|member| member.id == id)?;
            (member.name == "server-3" && !member.is_learner && !member.client_urls.is_empty())
                .then_some(())
        }
    })
    .await;

    // A member that is connected takes part in the quorum, so it needs some time to count.
    until("the cluster is healthy", || {
        let mut first = first.clone();
        async move {
            first
                .cluster
                .member_remove(MemberRemoveRequest { id })
                .await
                .ok()
        }
    })
    .await;
    let gone = cluster.servers.pop().unwrap().unwrap();
    let exit = tokio::time::timeout(PATIENCE, gone.exited()).await.unwrap();
    assert_eq!(exit, Exit::Removed);
    drop(second);
    gone.stop().await;
    // Its id does not come back, and it is told so.
    let back = start(joining, &cluster.addresses[1]).await;
    let exit = tokio::time::timeout(PATIENCE, back.exited()).await.unwrap();
    assert_eq!(exit, Exit::Removed);
    back.stop().await;
    let text = "etcdserver: member not found".to_owned();
    let removed = first
        .cluster
        .member_remove(MemberRemoveRequest { id })
        .await;
    assert_eq!(refused(removed), (Code::NotFound, text));
    first.put_surely("c", "1").await;
    let own = first.status().await.header.unwrap().member_id;
    let text = "etcdserver: re-configuration failed due to not enough started members".to_owned();
    let last = first
        .cluster
        .member_remove(MemberRemoveRequest { id: own })
        .await;
    assert_eq!(refused(last), (Code::FailedPrecondition, text));
    drop(first);
    cluster.stop_all().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn leadership_moves_to_a_voter() {
    let cluster = Cluster::start(3, |_| ()).await;
    let leader = cluster.leader().await;
    let mut client = cluster.client(leader).await;
    client.put_surely("a", "1").await;
    let next = cluster.servers[(leader + 1) % 3]
        .as_ref()
        .unwrap()
        .server()
        .member_id();
    let nobody = client
        .maintenance
        .move_leader(MoveLeaderRequest { target_id: 7 })
        .await;
    assert_eq!(refused(nobody).1, "etcdserver: bad leader transferee");
    client
        .maintenance
        .move_leader(MoveLeaderRequest { target_id: next })
        .await
        .unwrap();
    assert_eq!(client.status().await.leader, next);
    let late = client
        .maintenance
        .move_leader(MoveLeaderRequest { target_id: next })
        .await;
    assert_eq!(refused(late).1, "etcdserver: not leader");
    drop(client);
    cluster.stop_all().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn requests_are_refused_with_the_words_of_etcd() {
    let cluster = Cluster::start(1, |config| {
        (config.max_request_bytes, config.quota_backend_bytes) = (100_000, 1 << 30);
    })
    .await;
    let mut client = cluster.client(0).await;
    client.put_surely("a", "1").await;
    let empty = (
        Code::InvalidArgument,
        "etcdserver: key is not provided".to_owned(),
    );
    assert_eq!(refused(client.put("", "1").await), empty);
    let large = (
        Code::InvalidArgument,
        "etcdserver: request is too large".to_owned(),
    );
    assert_eq!(refused(client.put("a", &"x".repeat(100_000)).await), large);
    let future = RangeRequest {
        key: "a".into(),
        revision: 99,
        ..RangeRequest::default()
    };
    let text = "etcdserver: mvcc: required revision is a future revision".to_owned();
    assert_eq!(
        refused(client.kv.range(future).await),
        (Code::OutOfRange, text)
    );
    let leased = PutRequest {
        key: "a".into(),
        lease: 7,
        ..PutRequest::default()
    };
    let text = "etcdserver: requested lease not found".to_owned();
    assert_eq!(refused(client.kv.put(leased).await), (Code::NotFound, text));
    let compacted = CompactionRequest {
        revision: 99,
        physical: false,
    };
    assert_eq!(
        refused(client.kv.compact(compacted).await).0,
        Code::OutOfRange
    );

    // Services that are not here say so.
    let mut lease = tonic::client::Grpc::new(client.channel.clone());
    lease.ready().await.unwrap();
    let codec = tonic_prost::ProstCodec::<StatusRequest, StatusRequest>::default();
    let path = "/etcdserverpb.Lease/LeaseGrant".parse().unwrap();
    let grant = lease
        .unary(tonic::Request::new(StatusRequest {}), path, codec)
        .await;
    let text = "lockstep-server: etcdserverpb.Lease/LeaseGrant is not implemented".to_owned();
    assert_eq!(refused(grant), (Code::Unimplemented, text));
    cluster.stop_all().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_quota_raises_an_alarm_that_can_be_cleared() {
    let cluster = Cluster::start(1, |config| config.quota_backend_bytes = 1).await;
    let mut client = cluster.client(0).await;
    let full = until("the quota is noticed", || {
        let mut client = client.clone();
        async move {
            client
                .put("a", "1")
                .await
                .err()
                .filter(|error| error.code() != Code::Unavailable)
        }
    })
    .await;
    assert_eq!(full.message(), "etcdserver: mvcc: database space exceeded");
    assert_eq!(full.code(), Code::ResourceExhausted);
    let get = AlarmRequest::default();
    let alarms = client
        .maintenance
        .alarm(get)
        .await
        .unwrap()
        .into_inner()
        .alarms;
    assert_eq!(alarms.len(), 1);
    let health = http_get(&cluster.addresses[0], "/health").await;
    assert!(
        health.contains("503") && health.contains("ALARM NOSPACE"),
        "{health}"
    );
    assert_eq!(client.status().await.errors.len(), 1);
    let clear = AlarmRequest {
        action: AlarmAction::Deactivate as i32,
        ..alarms_of(&alarms[0])
    };
    assert_eq!(
        client
            .maintenance
            .alarm(clear)
            .await
            .unwrap()
            .into_inner()
            .alarms,
        alarms
    );
    let health = http_get(&cluster.addresses[0], "/health").await;
    assert!(
        health.contains("200 OK") && health.contains(r#""health":"true""#),
        "{health}"
    );
    drop(client);
    cluster.stop_all().await;
}

fn alarms_of(alarm: &AlarmMember) -> AlarmRequest {
    AlarmRequest {
        member_id: alarm.member_id,
        alarm: alarm.alarm,
        ..AlarmRequest::default()
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_backup_says_how_much_is_left() {
    let cluster = Cluster::start(1, |_| ()).await;
    let mut client = cluster.client(0).await;
    for number in 0..20 {
        client
            .put_surely(&format!("{number}"), &"x".repeat(10_000))
            .await;
    }
    let mut stream = client
        .maintenance
        .snapshot(SnapshotRequest {})
        .await
        .unwrap()
        .into_inner();
    let (mut bytes, mut left, mut pieces) = (0, u64::MAX, 0);
    while let Some(piece) = stream.message().await.unwrap() {
        assert!(piece.remaining_bytes < left);
        left = piece.remaining_bytes;
        bytes += piece.blob.len();
        pieces += 1;
    }
    assert!(pieces > 1 && bytes > 200_000 && left == 0);
    assert_eq!(bytes % 512, 32);
    drop((client, stream));
    cluster.stop_all().await;
}
