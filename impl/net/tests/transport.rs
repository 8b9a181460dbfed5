//! Transports of one process, on loopback.

use std::io;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use bytes::Bytes;
use lockstep_net::proto::Question;
use lockstep_net::{Handler, Options, SnapshotSink, Transport, ask_stranger};
use lockstep_raft::{
    Body, Entry, EntryId, Index, Message, NodeId, Snapshot, SnapshotMetadata, SnapshotStatus, Term,
};
use tokio::net::TcpListener;
use tokio_stream::wrappers::TcpListenerStream;
use tonic::Status;

fn id(id: u64) -> NodeId {
    NodeId::new(id).unwrap()
}

/// A server that writes down what it hears.
#[derive(Default)]
struct Ears {
    messages: Mutex<Vec<Message>>,
    unreachable: AtomicUsize,
    snapshots: Mutex<Vec<SnapshotStatus>>,
    received: Arc<Mutex<Vec<Vec<u8>>>>,
    refuses_next: AtomicBool,
    strangers: Mutex<Vec<NodeId>>,
    removed: AtomicBool,
}

struct Sink {
    bytes: Vec<u8>,
    fails: bool,
    done: Arc<Mutex<Vec<Vec<u8>>>>,
}

impl SnapshotSink for Sink {
    fn write(&mut self, chunk: Bytes) -> io::Result<()> {
        self.bytes.extend_from_slice(&chunk);
        if self.fails && self.bytes.len() > 1_000_000 {
            return Err(io::Error::other("the disk is full"));
        }
        Ok(())
    }

    fn finish(self: Box<Self>) -> io::Result<()> {
        self.done.lock().unwrap().push(self.bytes);
        Ok(())
    }
}

impl Handler for Ears {
    fn message(&self, message: Message) {
        self.messages.lock().unwrap().push(message);
    }

    fn unreachable(&self, _: NodeId) {
        self.unreachable.fetch_add(1, Ordering::Relaxed);
    }

    fn snapshot_sent(&self, _: NodeId, status: SnapshotStatus) {
        self.snapshots.lock().unwrap().push(status);
    }

    fn snapshot_sink(&self, _: &Message) -> io::Result<Box<dyn SnapshotSink>> {
        let fails = self.refuses_next.swap(false, Ordering::Relaxed);
        Ok(Box::new(Sink {
            bytes: Vec::new(),
            fails,
            done: self.received.clone(),
        }))
    }

    fn is_removed(&self, peer: NodeId) -> bool {
        self.strangers.lock().unwrap().contains(&peer)
    }

    fn removed(&self) {
        self.removed.store(true, Ordering::Relaxed);
    }

    async fn answer(&self, question: Question) -> Result<Bytes, Status> {
        match question.method.as_str() {
            "echo" => Ok(question.body),
            other => Err(Status::unimplemented(other)),
        }
    }
}

struct Server {
    ears: Arc<Ears>,
    transport: Transport<Ears>,
    url: String,
    task: tokio::task::JoinHandle<()>,
}

fn options() -> Options {
    Options {
        max_queued_messages: 20_000,
        timeout: Duration::from_secs(2),
        backoff: Duration::from_millis(20),
        ..Options::default()
    }
}

async fn server_at(number: u64, cluster: u64, address: &str) -> Server {
    let listener = until_some(|| async { TcpListener::bind(address).await.ok() }).await;
    let url = format!("http://{}", listener.local_addr().unwrap());
    let ears = Arc::new(Ears::default());
    let transport = Transport::new(cluster, id(number), options(), ears.clone());
    let service = transport.service().into_server();
    let task = tokio::spawn(async move {
        let server = tonic::transport::Server::builder().add_service(service);
        server
            .serve_with_incoming(TcpListenerStream::new(listener))
            .await
            .unwrap();
    });
    Server {
        ears,
        transport,
        url,
        task,
    }
}

async fn server(number: u64, cluster: u64) -> Server {
    server_at(number, cluster, "127.0.0.1:0").await
}

async fn until_some<T, F: Future<Output = Option<T>>>(mut done: impl FnMut() -> F) -> T {
    let began = Instant::now();
    loop {
        if let Some(value) = done().await {
            return value;
        }
        assert!(began.elapsed() < Duration::from_secs(20), "waited in vain");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

async fn until(mut done: impl FnMut() -> bool) {
    until_some(|| std::future::ready(done().then_some(()))).await;
}

fn append(number: u64, bytes: usize) -> Message {
    let entry = Entry {
        term: Term(1),
        index: Index(number + 1),
        data: vec![0; bytes].into(),
        ..Entry::default()
    };
    let prev = EntryId::new(Term(1), Index(number));
    let body = Body::AppendEntries {
        prev,
        entries: vec![entry],
        commit: Index(0),
    };
    Message {
        from: id(1),
        to: id(2),
        term: Term(1),
        body,
    }
}

fn install() -> Message {
    let metadata = SnapshotMetadata {
        index: Index(9),
        term: Term(1),
        ..Default::default()
    };
    let snapshot = Box::new(Snapshot {
        metadata,
        ..Snapshot::default()
    });
    Message {
        from: id(1),
        to: id(2),
        term: Term(1),
        body: Body::InstallSnapshot { snapshot },
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn messages_arrive_in_order() {
    let (one, two) = (server(1, 7).await, server(2, 7).await);
    one.transport.set_peer(id(2), vec![two.url.clone()]);
    until(|| one.transport.active_since(id(2)).is_some()).await;
    for number in 0..10_000 {
        one.transport.send(append(number, 10));
    }
    until(|| two.ears.messages.lock().unwrap().len() == 10_000).await;
    let messages = two.ears.messages.lock().unwrap();
    assert!(
        messages
            .iter()
            .zip(0..)
            .all(|(message, number)| *message == append(number, 10))
    );
    assert_eq!(one.ears.unreachable.load(Ordering::Relaxed), 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_does_not_fit_is_dropped_and_reported_at_once() {
    let one = server(1, 7).await;
    one.transport.send(append(0, 10));
    assert_eq!(
        one.ears.unreachable.load(Ordering::Relaxed),
        1,
        "nobody knows this peer"
    );
    // A peer that takes connections and answers nothing.
    let silent = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", silent.local_addr().unwrap());
    one.transport.set_peer(id(2), vec![url]);
    let began = Instant::now();
    for number in 0..200 {
        one.transport.send(append(number, 1 << 20));
    }
    assert!(began.elapsed() < Duration::from_secs(1), "sending blocks");
    let dropped = one.ears.unreachable.load(Ordering::Relaxed);
    assert!(
        dropped >= 200 - 64,
        "64 MiB may wait, but {dropped} of 200 MiB were dropped"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_peer_that_comes_back_is_found_again() {
    let (one, two) = (server(1, 7).await, server(2, 7).await);
    one.transport.set_peer(id(2), vec![two.url.clone()]);
    until(|| one.transport.active_since(id(2)).is_some()).await;
    let address = two.url.trim_start_matches("http://").to_owned();
    two.transport.stop();
    two.task.abort();
    until(|| one.transport.active_since(id(2)).is_none()).await;
    assert!(one.ears.unreachable.load(Ordering::Relaxed) > 0);
    let two = server_at(2, 7, &address).await;
    until(|| {
        one.transport.send(append(1, 10));
        !two.ears.messages.lock().unwrap().is_empty()
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn only_members_of_the_cluster_are_served() {
    let (one, two, other) = (server(1, 7).await, server(2, 7).await, server(1, 8).await);
    other.transport.set_peer(id(2), vec![two.url.clone()]);
    until(|| other.ears.unreachable.load(Ordering::Relaxed) > 2).await;
    assert!(other.transport.active_since(id(2)).is_none());
    assert!(!other.ears.removed.load(Ordering::Relaxed));

    one.transport.set_peer(id(2), vec![two.url.clone()]);
    until(|| one.transport.active_since(id(2)).is_some()).await;
    two.ears.strangers.lock().unwrap().push(id(1));
    // It is told at its next message.
    until(|| {
        one.transport.send(append(0, 10));
        one.ears.removed.load(Ordering::Relaxed)
    })
    .await;
    assert!(two.ears.messages.lock().unwrap().is_empty());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_message_under_a_false_name_ends_the_connection() {
    let (one, two) = (server(1, 7).await, server(2, 7).await);
    one.transport.set_peer(id(2), vec![two.url.clone()]);
    until(|| one.transport.active_since(id(2)).is_some()).await;
    one.transport.send(Message {
        from: id(2),
        ..append(0, 1)
    });
    until(|| one.ears.unreachable.load(Ordering::Relaxed) > 0).await;
    one.transport.send(Message {
        from: NodeId::APPEND_THREAD,
        ..append(0, 1)
    });
    assert!(two.ears.messages.lock().unwrap().is_empty());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_snapshot_that_is_broken_off_begins_again() {
    let (one, two) = (server(1, 7).await, server(2, 7).await);
    let reports = || one.ears.snapshots.lock().unwrap().clone();
    one.transport.send_snapshot(install(), |_| Ok(()));
    assert_eq!(
        reports(),
        [SnapshotStatus::Failed],
        "nobody knows this peer"
    );
    one.transport.set_peer(id(2), vec![two.url.clone()]);

    let data: Bytes = (0..3_000_000u32)
        .map(|number| (number % 251) as u8)
        .collect();
    let send = || {
        let data = data.clone();
        one.transport
            .send_snapshot(install(), move |writer| writer.write(data));
    };
    two.ears.refuses_next.store(true, Ordering::Relaxed);
    send();
    until(|| reports().len() == 2).await;
    assert_eq!(reports()[1], SnapshotStatus::Failed, "the receiver failed");
    one.transport
        .send_snapshot(install(), |_| Err(io::Error::other("the sender failed")));
    until(|| reports().len() == 3).await;
    assert_eq!(reports()[2], SnapshotStatus::Failed);
    assert!(two.ears.messages.lock().unwrap().is_empty());
    assert!(two.ears.received.lock().unwrap().is_empty());

    send();
    until(|| reports().len() == 4).await;
    assert_eq!(reports()[3], SnapshotStatus::Finished);
    assert_eq!(*two.ears.messages.lock().unwrap(), [install()]);
    assert!(two.ears.received.lock().unwrap()[0] == data);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn questions_are_answered_to_anyone() {
    let (one, two) = (server(1, 7).await, server(2, 7).await);
    one.transport.set_peer(id(2), vec![two.url.clone()]);
    let body = Bytes::from("hello");
    assert_eq!(
        one.transport
            .ask(id(2), "echo", body.clone())
            .await
            .unwrap(),
        body
    );
    let urls = ["http://127.0.0.1:1".to_owned(), two.url.clone()];
    let answer = ask_stranger(&urls, "echo", body.clone(), Duration::from_secs(2)).await;
    assert_eq!(answer.unwrap(), body);
    let error = one.transport.ask(id(2), "other", body).await.unwrap_err();
    assert_eq!(error.code(), tonic::Code::Unimplemented);
}
