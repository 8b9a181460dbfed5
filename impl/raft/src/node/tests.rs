//! A runtime with one thread makes these tests deterministic: tasks run only while the test waits.

use std::collections::BTreeMap;
use std::future::Future;
use std::pin::pin;
use std::sync::atomic::AtomicBool;
use std::task::Poll;

use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::task::{JoinHandle, yield_now};

use super::*;
use crate::storage::MemoryStorage;
use crate::{
    Body, CallError, ConfChange, ConfChangeKind, ConfChangeSingle, DropReason, Event, HardState,
    Index, NoObserver, Role, Snapshot, StorageError, Term,
};

fn id(number: u64) -> NodeId {
    NodeId::new(number).unwrap()
}

fn config(number: u64) -> Config {
    Config::new(id(number))
}

/// The only voter of its group, with the changes of `bootstrap` still to be applied.
fn single() -> (Node, SharedStorage<MemoryStorage>) {
    let storage = SharedStorage::new(MemoryStorage::new());
    let node = Node::bootstrap(&config(1), storage.clone(), &[(id(1), Bytes::new())]).unwrap();
    (node, storage)
}

/// A server that a test drives through the channels of its loop.
struct Served {
    node: Node,
    applied: UnboundedReceiver<Bytes>,
    reads: UnboundedReceiver<(Option<Index>, Bytes)>,
    task: JoinHandle<NodeError>,
}

/// Runs the loop of an application until the server ends. Messages to servers without an address are
/// lost.
fn serve(
    node: Node,
    storage: SharedStorage<MemoryStorage>,
    peers: BTreeMap<NodeId, UnboundedSender<Message>>,
) -> Served {
    let (applied_in, applied) = unbounded_channel();
    let (reads_in, reads) = unbounded_channel();
    let served = node.clone();
    let application = async move {
        loop {
            let ready = node.ready().await?;
            storage
                .with(|memory| {
                    if let Some(snapshot) = ready.snapshot {
                        memory.apply_snapshot(snapshot)?;
                    }
                    memory.write(ready.entries, ready.hard_state)
                })
                .unwrap();
            for message in ready.messages {
                if let Some(peer) = peers.get(&message.to) {
                    // A server that has ended takes no more messages.
                    let _ = peer.send(message);
                }
            }
            for entry in ready.committed_entries {
                if let Some(change) = wire::conf_change_of(&entry).unwrap() {
                    node.apply_conf_change(change).await?;
                } else if !entry.data.is_empty() {
                    applied_in.send(entry.data).unwrap();
                }
            }
            for read in ready.read_states {
                reads_in.send((read.index, read.context)).unwrap();
            }
            node.advance().await?;
        }
    };
    let task = tokio::spawn(async move {
        let ended: Result<(), NodeError> = application.await;
        ended.unwrap_err()
    });
    Served {
        node: served,
        applied,
        reads,
        task,
    }
}

/// Three voters, all served, that reach each other.
fn three() -> Vec<Served> {
    let peers: Vec<_> = (1..=3).map(|number| (id(number), Bytes::new())).collect();
    let (senders, receivers): (Vec<_>, Vec<_>) = (0..3).map(|_| unbounded_channel()).unzip();
    let routes: BTreeMap<_, _> = (1..=3).map(id).zip(senders).collect();
    let mut servers = Vec::new();
    for (number, mut inbox) in (1..=3).zip(receivers) {
        let storage = SharedStorage::new(MemoryStorage::new());
        let node = Node::bootstrap(&config(number), storage.clone(), &peers).unwrap();
        let receiver = node.clone();
        tokio::spawn(async move {
            while let Some(message) = inbox.recv().await {
                if receiver.step(message).await.is_err() {
                    return;
                }
            }
        });
        servers.push(serve(node, storage, routes.clone()));
    }
    servers
}

/// Campaigns until the server leads; it may not before the changes of `bootstrap` are applied.
async fn elect(node: &Node) {
    while node.status().await.unwrap().basic.soft_state.role != Role::Leader {
        match node.campaign().await {
            Ok(()) | Err(NodeError::Refused(Error::Refused(_))) => yield_now().await,
            Err(error) => panic!("{error}"),
        }
    }
}

/// Whether the future is done once every task has had time for what it can do.
async fn is_done(future: &mut (impl Future + Unpin)) -> bool {
    for _ in 0..100 {
        yield_now().await;
    }
    std::future::poll_fn(|cx| Poll::Ready(pin!(&mut *future).poll(cx).is_ready())).await
}

#[tokio::test]
async fn a_proposal_waits_for_a_leader_and_is_applied() {
    let (node, storage) = single();
    let mut served = serve(node.clone(), storage, BTreeMap::new());
    let mut proposal = Box::pin(node.propose("x"));
    assert!(!is_done(&mut proposal).await);
    elect(&node).await;
    proposal.await.unwrap();
    assert_eq!(served.applied.recv().await.unwrap(), "x");
}

#[tokio::test]
async fn more_proposals_than_the_queue_holds_all_get_through() {
    let (node, storage) = single();
    let mut served = serve(node.clone(), storage, BTreeMap::new());
    let count = 3 * PROPOSAL_QUEUE;
    let proposals: Vec<_> = (0..count)
        .map(|n| {
            let node = node.clone();
            tokio::spawn(async move { node.propose(n.to_string()).await })
        })
        .collect();
    for _ in 0..10 {
        yield_now().await;
    }
    assert_eq!(node.shared.proposals.capacity(), 0);
    elect(&node).await;
    for proposal in proposals {
        proposal.await.unwrap().unwrap();
    }
    for n in 0..count {
        assert_eq!(served.applied.recv().await.unwrap(), n.to_string());
    }
}

#[tokio::test]
async fn stopping_ends_every_call_that_waits() {
    let (node, _storage) = single();
    while let Ok(Some(_)) = tokio::time::timeout(std::time::Duration::ZERO, node.ready())
        .await
        .map(Result::ok)
    {
        // The Ready of the bootstrap is taken and never advanced, so the next one never comes.
    }
    let waiting: Vec<JoinHandle<NodeError>> = (0..2 * PROPOSAL_QUEUE)
        .map(|_| {
            let node = node.clone();
            tokio::spawn(async move { node.propose("never").await.unwrap_err() })
        })
        .chain([{
            let node = node.clone();
            tokio::spawn(async move { node.ready().await.unwrap_err() })
        }])
        .collect();
    for _ in 0..10 {
        yield_now().await;
    }
    assert!(waiting.iter().all(|call| !call.is_finished()));
    node.stop().await.unwrap();
    for call in waiting {
        assert_eq!(call.await.unwrap(), NodeError::Stopped);
    }
}

/// One call of a handle and of a server without one: it compiles only while names and arguments agree.
macro_rules! both {
    ($node:ident, $raw:ident, $call:ident($($argument:expr),*)) => {{
        let _ = $raw.$call($($argument),*);
        $node.$call($($argument),*).await.unwrap_err()
    }};
}

#[tokio::test]
async fn every_call_after_the_stop_says_so() {
    let (node, _storage) = single();
    node.stop().await.unwrap();
    node.stop().await.unwrap();
    let mut raw = RawNode::new(&Config::new(id(1)), MemoryStorage::new()).unwrap();
    let message = || Message {
        from: id(2),
        to: id(1),
        term: Term(1),
        body: Body::TimeoutNow,
    };
    let (simple, general) = (ConfChange::default(), ConfChangeV2::default());
    let finished = SnapshotStatus::Finished;
    let entry = || Entry::proposal(EntryKind::Normal, Bytes::new());
    for error in [
        both!(node, raw, ready()),
        both!(node, raw, advance()),
        both!(node, raw, propose(Bytes::from_static(b"x"))),
        both!(node, raw, propose_entries(vec![entry()])),
        both!(node, raw, propose_conf_change(&simple)),
        both!(node, raw, propose_conf_change(general.clone())),
        both!(node, raw, step(message())),
        both!(node, raw, apply_conf_change(&simple)),
        both!(node, raw, apply_conf_change(general.clone())),
        both!(node, raw, campaign()),
        both!(node, raw, transfer_leadership(id(2))),
        both!(node, raw, forget_leader()),
        both!(node, raw, read_index(Bytes::from_static(b"r"))),
        both!(node, raw, report_unreachable(id(2))),
        both!(node, raw, report_snapshot(id(2), finished)),
        node.status().await.unwrap_err(),
    ] {
        assert_eq!(error, NodeError::Stopped);
    }
    node.tick();
    assert_eq!(node.missed_ticks(), 1);
}

/// Says when the server that it watches is gone.
struct Farewell(Option<oneshot::Sender<()>>);

impl Observer for Farewell {
    fn on_event(&mut self, _node: NodeId, _event: &Event<'_>) {}
}

impl Drop for Farewell {
    fn drop(&mut self) {
        // The test may have ended first.
        let _ = self.0.take().unwrap().send(());
    }
}

#[tokio::test]
async fn the_task_ends_with_its_last_handle() {
    let (gone_in, mut gone) = oneshot::channel();
    let observer = Farewell(Some(gone_in));
    let raw = RawNode::with_observer(&config(1), MemoryStorage::new(), observer).unwrap();
    let node = Node::run(raw);
    let other = node.clone();
    drop(node);
    assert!(!is_done(&mut gone).await);
    drop(other);
    gone.await.unwrap();
}

#[tokio::test]
async fn the_loop_of_the_application_ends_with_a_stop() {
    let (node, storage) = single();
    let served = serve(node.clone(), storage, BTreeMap::new());
    elect(&node).await;
    node.propose("x").await.unwrap();
    node.stop().await.unwrap();
    assert_eq!(served.task.await.unwrap(), NodeError::Stopped);
}

/// A storage whose disk can break.
#[derive(Default)]
struct Breakable {
    memory: MemoryStorage,
    broken: Arc<AtomicBool>,
}

impl Breakable {
    fn check<T>(&self, result: Result<T, StorageError>) -> Result<T, StorageError> {
        if self.broken.load(Ordering::SeqCst) {
            return Err(StorageError::Other("disk on fire".to_owned()));
        }
        result
    }
}

impl Storage for Breakable {
    fn initial_state(&self) -> Result<(HardState, ConfState), StorageError> {
        self.check(self.memory.initial_state())
    }

    fn entries(&self, low: Index, high: Index, max: u64) -> Result<Vec<Entry>, StorageError> {
        self.check(self.memory.entries(low, high, max))
    }

    fn term(&self, index: Index) -> Result<Term, StorageError> {
        self.check(self.memory.term(index))
    }

    fn first_index(&self) -> Result<Index, StorageError> {
        self.check(self.memory.first_index())
    }

    fn last_index(&self) -> Result<Index, StorageError> {
        self.check(self.memory.last_index())
    }

    fn snapshot(&self) -> Result<Snapshot, StorageError> {
        self.check(self.memory.snapshot())
    }
}

#[tokio::test]
async fn a_server_whose_storage_fails_ends_and_says_why() {
    let voters = ConfState {
        voters: vec![id(1)],
        ..ConfState::default()
    };
    let mut memory = MemoryStorage::with_conf_state(voters);
    let stored = |index| Entry {
        term: Term(1),
        index: Index(index),
        ..Entry::default()
    };
    memory.append([stored(1), stored(2)]).unwrap();
    memory.set_hard_state(HardState {
        term: Term(1),
        vote: None,
        commit: Index(2),
    });
    let storage = Breakable {
        memory,
        broken: Arc::default(),
    };
    let broken = Arc::clone(&storage.broken);
    let node = Node::restart(&config(1), storage).unwrap();
    broken.store(true, Ordering::SeqCst);
    // Reading the committed entries fails.
    let failed = NodeError::Failed(StorageError::Other("disk on fire".to_owned()).into());
    assert_eq!(node.ready().await.unwrap_err(), failed);
    assert_eq!(node.propose("x").await.unwrap_err(), failed);
    assert_eq!(node.stop().await.unwrap_err(), failed);
}

#[tokio::test]
async fn ticks_beyond_the_queue_are_counted() {
    let (node, _storage) = single();
    for _ in 0..TICK_QUEUE + 5 {
        node.tick();
    }
    assert_eq!(node.missed_ticks(), 5);
}

#[tokio::test]
async fn ticks_start_an_election() {
    let (node, storage) = single();
    let mut served = serve(node.clone(), storage, BTreeMap::new());
    let mut proposal = Box::pin(node.propose("x"));
    while !is_done(&mut proposal).await {
        node.tick();
    }
    assert_eq!(served.applied.recv().await.unwrap(), "x");
    assert_eq!(node.missed_ticks(), 0);
}

#[tokio::test]
async fn dropping_a_waiting_ready_loses_nothing() {
    let (node, storage) = single();
    for _ in 0..3 {
        // Polled once, then dropped.
        let mut ready = Box::pin(node.ready());
        let polled =
            std::future::poll_fn(|cx| Poll::Ready(ready.as_mut().poll(cx).is_ready())).await;
        assert!(!polled);
        drop(ready);
    }
    let mut served = serve(node.clone(), storage, BTreeMap::new());
    elect(&node).await;
    node.propose("x").await.unwrap();
    assert_eq!(served.applied.recv().await.unwrap(), "x");
}

/// One that lies ready is not dealt with before somebody has taken it, so that what it holds is durable.
#[tokio::test]
async fn an_advance_of_what_nobody_has_taken_is_refused() {
    let members = ConfState {
        voters: vec![id(1)],
        ..ConfState::default()
    };
    let storage = SharedStorage::new(MemoryStorage::with_conf_state(members));
    let node = Node::restart(&config(1), storage.clone()).unwrap();
    node.campaign().await.unwrap();
    let nothing = NodeError::Refused(CallError::NothingToAdvance.into());
    assert_eq!(
        node.advance().await.unwrap_err().to_string(),
        nothing.to_string()
    );
    let first = node.ready().await.unwrap();
    let write = |ready: Ready| {
        let stored = storage.with(|memory| memory.write(ready.entries, ready.hard_state));
        stored.unwrap();
    };
    write(first);
    node.advance().await.unwrap();
    for _ in 0..10 {
        yield_now().await;
    }
    assert_eq!(
        node.advance().await.unwrap_err().to_string(),
        nothing.to_string()
    );
    let commit = node.status().await.unwrap().basic.hard_state.commit;
    assert_eq!(commit, Index(0), "the entry of the election is not stored");
    write(node.ready().await.unwrap());
    node.advance().await.unwrap();
}

#[tokio::test]
async fn an_advance_without_a_ready_is_refused() {
    let node = Node::restart(&config(1), MemoryStorage::new()).unwrap();
    let before = node.status().await.unwrap();
    let nothing = NodeError::Refused(CallError::NothingToAdvance.into());
    assert_eq!(node.advance().await, Err(nothing));
    assert_eq!(node.status().await.unwrap(), before);
}

#[tokio::test]
async fn an_advance_beside_asynchronous_writes_is_refused() {
    let config = Config {
        async_storage_writes: true,
        ..config(1)
    };
    let node = Node::restart(&config, MemoryStorage::new()).unwrap();
    assert!(matches!(
        node.advance().await,
        Err(NodeError::Refused(Error::Call(_)))
    ));
}

#[tokio::test]
async fn three_servers_replicate_read_and_hand_over() {
    let mut servers = three();
    elect(&servers[0].node).await;
    servers[1]
        .node
        .propose("by way of a follower")
        .await
        .unwrap();
    for server in &mut servers {
        assert_eq!(server.applied.recv().await.unwrap(), "by way of a follower");
    }

    servers[2].node.read_index("read").await.unwrap();
    let (index, context) = servers[2].reads.recv().await.unwrap();
    assert_eq!(context, "read");
    let index = index.expect("nobody lost its leadership");
    assert!(
        index > Index(4),
        "the entry of the proposal lies behind the bootstrap: {index}"
    );

    servers[0].node.transfer_leadership(id(3)).await.unwrap();
    while servers[2]
        .node
        .status()
        .await
        .unwrap()
        .basic
        .soft_state
        .role
        != Role::Leader
    {
        yield_now().await;
    }
    servers[0].node.propose("to the new leader").await.unwrap();
    for server in &mut servers {
        assert_eq!(server.applied.recv().await.unwrap(), "to the new leader");
    }
}

#[tokio::test]
async fn membership_changes_by_committed_entries() {
    let (node, storage) = single();
    let _served = serve(node.clone(), storage, BTreeMap::new());
    elect(&node).await;
    let learner = ConfChangeSingle::new(ConfChangeKind::AddLearner, id(2));
    let change = ConfChangeV2 {
        changes: vec![learner],
        ..ConfChangeV2::default()
    };
    // Before the first entry of a new leader is applied a change is refused.
    while !node.status().await.unwrap().config.learners.contains(id(2)) {
        match node.propose_conf_change(&change).await {
            Ok(()) | Err(NodeError::Refused(Error::ProposalDropped(_))) => yield_now().await,
            Err(error) => panic!("{error}"),
        }
    }
}

#[tokio::test]
async fn a_dropped_proposal_says_why() {
    let config = Config {
        max_uncommitted_entries_bytes: 4,
        ..config(1)
    };
    let voters = ConfState {
        voters: vec![id(1), id(2)],
        ..ConfState::default()
    };
    let storage = SharedStorage::new(MemoryStorage::with_conf_state(voters));
    let node = Node::restart(&config, storage.clone()).unwrap();
    let _served = serve(node.clone(), storage, BTreeMap::new());
    node.campaign().await.unwrap();
    let body = Body::RequestVoteResponse { granted: true };
    node.step(Message {
        from: id(2),
        to: id(1),
        term: Term(1),
        body,
    })
    .await
    .unwrap();
    while node.status().await.unwrap().basic.soft_state.role != Role::Leader {
        yield_now().await;
    }
    node.propose("12345").await.unwrap();
    let refused = NodeError::Refused(DropReason::UncommittedLimit.into());
    assert_eq!(node.propose("6").await.unwrap_err(), refused);
}

/// Panics when the server starts an election.
struct Bomb;

impl Observer for Bomb {
    fn on_event(&mut self, _node: NodeId, event: &Event<'_>) {
        assert!(!matches!(event, Event::ElectionStarted { .. }), "a bug");
    }
}

#[tokio::test]
async fn a_bug_ends_the_server_and_is_not_taken_for_a_stop() {
    let voters = ConfState {
        voters: vec![id(1)],
        ..ConfState::default()
    };
    let storage = MemoryStorage::with_conf_state(voters);
    let node = Node::run(RawNode::with_observer(&config(1), storage, Bomb).unwrap());
    assert_eq!(node.campaign().await.unwrap_err(), NodeError::Panicked);
    assert_eq!(node.stop().await.unwrap_err(), NodeError::Panicked);
}

#[tokio::test]
async fn a_server_without_an_observer_can_be_run() {
    let raw = RawNode::with_observer(&config(1), MemoryStorage::new(), NoObserver).unwrap();
    Node::run(raw).stop().await.unwrap();
}
