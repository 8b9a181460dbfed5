//! A server as a task: an async handle over [`RawNode`], on tokio.
//!
//! [`Node`] owns a task in which the [`RawNode`] lives, and passes calls to it through
//! bounded channels. It adds no protocol and no input or output of its own: the application still ticks, persists,
//! applies and sends. What it adds is that any number of tasks may call it, that a call waits instead
//! of piling up work, and that everything ends in order.
//!
//! # The loop of the application
//!
//! One task of the application runs the loop that [`RawNode`] documents:
//!
//! 1. [`ready`](Node::ready) waits for work.
//! 2. Persist its snapshot, then its entries and hard state in one atomic step (through
//!    [`SharedStorage`], or through a storage of the application's own that is shared with the server).
//! 3. Send its messages.
//! 4. Apply its committed entries; each change of membership goes through
//!    [`apply_conf_change`](Node::apply_conf_change).
//! 5. [`advance`](Node::advance).
//!
//! Other tasks [`tick`](Node::tick), [`propose`](Node::propose), and hand in messages of other servers
//! by [`step`](Node::step).
//!
//! # Back-pressure
//!
//! * A proposal waits while no leader is known, and while the task is busy; at most
//!   [`PROPOSAL_QUEUE`] of them are queued, the callers of others wait in `propose`.
//! * A message waits in `step` when [`MESSAGE_QUEUE`] are queued. A transport that cannot wait should drop
//!   it, as the network might have.
//! * The next `Ready` is not made before the last one was advanced (with asynchronous storage
//!   writes: before the last one was taken).
//! * A tick never waits. If [`TICK_QUEUE`] are queued, the task does not keep up; further ticks are
//!   counted by [`missed_ticks`](Node::missed_ticks) and lost, so that time stands still for the
//!   server rather than jump.
//!
//! # End
//!
//! [`stop`](Node::stop) ends the task; every call that waits at that time, and every later one, returns
//! [`NodeError::Stopped`]. Dropping the last handle ends the task as well. If the storage fails, the
//! task ends by itself, and calls return [`NodeError::Failed`] with the reason: a server must not go on
//! with a log it cannot read. A panic in the task is told apart as [`NodeError::Panicked`].
//!
//! ```
//! use lockstep_raft::node::{Node, SharedStorage};
//! use lockstep_raft::storage::MemoryStorage;
//! use lockstep_raft::{Config, ConfState, NodeId, wire};
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let me = NodeId::new(1).unwrap();
//! let members = ConfState { voters: vec![me], ..ConfState::default() };
//! let storage = SharedStorage::new(MemoryStorage::with_conf_state(members));
//! let node = Node::restart(&Config::new(me), storage.clone())?;
//! node.campaign().await?;
//! tokio::spawn({
//!     let node = node.clone();
//!     async move { node.propose("hello").await }
//! });
//! let mut applied = Vec::new();
//! while applied.is_empty() {
//!     let ready = node.ready().await?;
//!     storage.with(|memory| {
//!         if let Some(snapshot) = ready.snapshot {
//!             memory.apply_snapshot(snapshot)?;
//!         }
//!         memory.write(ready.entries, ready.hard_state) // In one atomic step.
//!     })?;
//!     for entry in ready.committed_entries {
//!         match wire::conf_change_of(&entry)? {
//!             Some(change) => drop(node.apply_conf_change(change).await?),
//!             None if entry.data.is_empty() => {} // A new leader's first entry.
//!             None => applied.push(entry.data),
//!         }
//!     }
//!     node.advance().await?;
//! }
//! assert_eq!(applied, ["hello"]);
//! node.stop().await?;
//! # Ok(())
//! # }
//! ```

mod shared_storage;
mod task;
#[cfg(test)]
mod tests;

pub use shared_storage::SharedStorage;

use std::sync::Arc;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};

use bytes::Bytes;
use thiserror::Error as ThisError;
use tokio::sync::{Mutex, mpsc, oneshot, watch};

use crate::wire;
use crate::{
    ConfChangeV2, ConfState, Config, Entry, EntryKind, Error, Message, NodeId, Observer, RawNode,
    Ready, SnapshotStatus, Status, Storage,
};
use task::{Command, Proposal, Task};

/// The number of proposals that may be queued; the callers of further ones wait.
pub const PROPOSAL_QUEUE: usize = 256;
/// The number of messages of other servers that may be queued; the callers of further ones wait.
pub const MESSAGE_QUEUE: usize = 1024;
/// The number of ticks that may be queued; further ones are missed.
pub const TICK_QUEUE: usize = 128;
/// The number of other calls that may be queued; the callers of further ones wait.
const COMMAND_QUEUE: usize = 64;

/// Why a call to a [`Node`] did not succeed.
#[derive(Clone, Debug, PartialEq, Eq, ThisError)]
#[non_exhaustive]
pub enum NodeError {
    /// The server was stopped.
    #[error("the server is stopped")]
    Stopped,
    /// The server had to end; this is the error that ended it.
    #[error("the server has failed: {0}")]
    Failed(Error),
    /// The server's task panicked, which is a bug in this library, in the storage or in the observer.
    #[error("the server's task has panicked")]
    Panicked,
    /// The server refused the call and goes on.
    #[error(transparent)]
    Refused(#[from] Error),
}

/// A handle to a server that runs as a task; clones are handles to the same server.
///
/// See the [module](self) for the contract.
#[derive(Clone, Debug)]
pub struct Node {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    proposals: mpsc::Sender<Proposal>,
    messages: mpsc::Sender<Message>,
    commands: mpsc::Sender<Command>,
    ticks: mpsc::Sender<()>,
    readies: Mutex<mpsc::Receiver<Ready>>,
    missed_ticks: AtomicU64,
    /// True once the task shall end.
    stop: watch::Sender<bool>,
    /// Closed once the task has ended.
    ended: watch::Receiver<()>,
    failure: Arc<OnceLock<NodeError>>,
}

impl Node {
    /// Starts a server on an empty storage, as a member of a group of `peers`, each with bytes for
    /// the application (such as an address). Every first member must be given the same list.
    ///
    /// The first [`Ready`] holds the changes of membership that add the peers, already committed. Before
    /// they are applied the server does not campaign.
    ///
    /// ```
    /// use lockstep_raft::node::{Node, SharedStorage};
    /// use lockstep_raft::storage::MemoryStorage;
    /// use lockstep_raft::{Config, NodeId};
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let peers = [1, 2, 3].map(|id| (NodeId::new(id).unwrap(), format!("10.0.0.{id}:7000").into()));
    /// let storage = SharedStorage::new(MemoryStorage::new());
    /// let node = Node::bootstrap(&Config::new(peers[0].0), storage, &peers)?;
    /// assert_eq!(node.ready().await?.committed_entries.len(), 3);
    /// # node.stop().await?;
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    ///
    /// An invalid configuration, a storage that is not empty, or no peers.
    ///
    /// # Panics
    ///
    /// Outside of a tokio runtime.
    pub fn bootstrap<S>(
        config: &Config,
        storage: S,
        peers: &[(NodeId, Bytes)],
    ) -> Result<Node, Error>
    where
        S: Storage + Send + 'static,
    {
        let mut raw = RawNode::new(config, storage)?;
        raw.bootstrap(peers)?;
        Ok(Node::run(raw))
    }

    /// Starts a server from what its storage holds: after a restart, or as a new member of an
    /// existing group, whose membership it then learns from its leader.
    ///
    /// # Errors
    ///
    /// An invalid configuration or a storage that contradicts itself.
    ///
    /// # Panics
    ///
    /// Outside of a tokio runtime.
    pub fn restart<S>(config: &Config, storage: S) -> Result<Node, Error>
    where
        S: Storage + Send + 'static,
    {
        Ok(Node::run(RawNode::new(config, storage)?))
    }

    /// Runs a server that was set up by other means, for instance with an observer.
    ///
    /// # Panics
    ///
    /// Outside of a tokio runtime.
    pub fn run<S, O>(raw: RawNode<S, O>) -> Node
    where
        S: Storage + Send + 'static,
        O: Observer + Send + 'static,
    {
        let async_storage_writes = raw.core().async_storage_writes();
        let (proposals, proposals_out) = mpsc::channel(PROPOSAL_QUEUE);
        let (messages, messages_out) = mpsc::channel(MESSAGE_QUEUE);
        let (commands, commands_out) = mpsc::channel(COMMAND_QUEUE);
        let (ticks, ticks_out) = mpsc::channel(TICK_QUEUE);
        let (readies_in, readies) = mpsc::channel(1);
        let (stop, stop_out) = watch::channel(false);
        let (ended_in, ended) = watch::channel(());
        let failure = Arc::new(OnceLock::new());
        let task = Task {
            raw,
            proposals: proposals_out,
            messages: messages_out,
            commands: commands_out,
            ticks: ticks_out,
            readies: readies_in,
            stop: stop_out,
            awaiting_advance: false,
            async_storage_writes,
        };
        let task_failure = Arc::clone(&failure);
        let task = tokio::spawn(task.run());
        tokio::spawn(async move {
            let failure = match task.await {
                Ok(Ok(())) => None,
                Ok(Err(error)) => Some(NodeError::Failed(error)),
                Err(join) if join.is_panic() => Some(NodeError::Panicked),
                // The runtime shuts down.
                Err(_) => None,
            };
            if let Some(failure) = failure {
                // The only writer, so it cannot be set already.
                let _ = task_failure.set(failure);
            }
            // The channels of the task are closed by now: whoever waits on one finds the reason.
            drop(ended_in);
        });
        let readies = Mutex::new(readies);
        let missed_ticks = AtomicU64::new(0);
        let shared = Shared {
            proposals,
            messages,
            commands,
            ticks,
            readies,
            missed_ticks,
            stop,
            ended,
            failure,
        };
        Node {
            shared: Arc::new(shared),
        }
    }

    /// Waits for the next work. Only one task should do so.
    ///
    /// Nothing is lost if the future is dropped before it is done.
    ///
    /// # Errors
    ///
    /// The server has ended.
    pub async fn ready(&self) -> Result<Ready, NodeError> {
        let mut readies = self.shared.readies.lock().await;
        if *self.shared.stop.borrow() {
            // What was made before the stop and not taken is as lost as in a crash.
            return Err(self.end().await);
        }
        let ready = readies.recv().await;
        match ready {
            Some(ready) => Ok(ready),
            None => Err(self.end().await),
        }
    }

    /// Says that the last [`Ready`] is dealt with: its entries are durable, its committed entries
    /// applied. Not to be called with asynchronous storage writes.
    ///
    /// # Errors
    ///
    /// [`NodeError::Refused`] if there is no `Ready` to advance, or with asynchronous storage writes;
    /// else the server has ended.
    pub async fn advance(&self) -> Result<(), NodeError> {
        self.request(Command::Advance).await?
    }

    /// Lets one tick pass. Never waits; see the module about ticks that come too fast.
    pub fn tick(&self) {
        if self.shared.ticks.try_send(()).is_err() {
            self.shared.missed_ticks.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// The number of ticks lost since the task did not keep up, or had ended.
    pub fn missed_ticks(&self) -> u64 {
        self.shared.missed_ticks.load(Ordering::Relaxed)
    }

    /// Proposes a command. Waits while no leader is known.
    ///
    /// `Ok` says that the proposal was appended here or sent to the leader, not that it will be
    /// committed: a change of leader can lose it, so the application has to watch for it among its
    /// committed entries and propose it again after a while. If the future is dropped early, the
    /// proposal may still be made.
    ///
    /// # Errors
    ///
    /// [`NodeError::Refused`] if the proposal was dropped, else the server has ended.
    pub async fn propose(&self, data: impl Into<Bytes>) -> Result<(), NodeError> {
        self.propose_entries(vec![Entry::proposal(EntryKind::Normal, data.into())])
            .await
    }

    /// Proposes a change of membership. Waits while no leader is known.
    ///
    /// # Errors
    ///
    /// As [`propose`](Node::propose). A change that does not fit the configuration of this leader is
    /// refused; one that is passed on to a leader which cannot take it becomes an empty entry there.
    pub async fn propose_conf_change(
        &self,
        change: impl Into<ConfChangeV2>,
    ) -> Result<(), NodeError> {
        let data = wire::encode_conf_change_v2(&change.into());
        self.propose_entries(vec![Entry::proposal(EntryKind::ConfChangeV2, data)])
            .await
    }

    /// The former name of [`propose_conf_change`](Node::propose_conf_change).
    ///
    /// # Errors
    ///
    /// The same.
    #[deprecated(note = "`propose_conf_change` takes every kind of change")]
    pub async fn propose_conf_change_v2(&self, change: &ConfChangeV2) -> Result<(), NodeError> {
        self.propose_conf_change(change.clone()).await
    }

    /// Proposes several entries at once: all of them or none. Waits while no leader is known.
    ///
    /// # Errors
    ///
    /// As [`propose`](Node::propose), and those of
    /// [`RawNode::propose_entries`](crate::RawNode::propose_entries).
    pub async fn propose_entries(&self, entries: Vec<Entry>) -> Result<(), NodeError> {
        let (reply, answer) = oneshot::channel();
        let proposal = Proposal { entries, reply };
        if self.shared.proposals.send(proposal).await.is_err() {
            return Err(self.end().await);
        }
        match answer.await {
            Ok(result) => Ok(result?),
            Err(_) => Err(self.end().await),
        }
    }

    /// Hands in a message from another server, or from a storage thread; which of them shows in
    /// [`Message::from`] alone, see [`RawNode::step`](crate::RawNode::step).
    ///
    /// `Ok` says that it is queued. What the server thinks of it shows in what it does; a message that
    /// it must not accept changes nothing, and is counted in [`Status::refused`] with the reason of
    /// the last one.
    ///
    /// # Errors
    ///
    /// The server has ended.
    pub async fn step(&self, message: Message) -> Result<(), NodeError> {
        match self.shared.messages.send(message).await {
            Ok(()) => Ok(()),
            Err(_) => Err(self.end().await),
        }
    }

    /// Applies a change of membership that was committed, and returns the new membership. To be
    /// called for each such entry, in order, before [`advance`](Node::advance).
    ///
    /// # Errors
    ///
    /// [`NodeError::Refused`] if the change does not fit the configuration, else the server has ended.
    pub async fn apply_conf_change(
        &self,
        change: impl Into<ConfChangeV2>,
    ) -> Result<ConfState, NodeError> {
        let change = change.into();
        self.request(|reply| Command::ApplyConfChange { change, reply })
            .await?
    }

    /// Starts an election.
    ///
    /// # Errors
    ///
    /// [`NodeError::Refused`] if the server may not campaign, else the server has ended.
    pub async fn campaign(&self) -> Result<(), NodeError> {
        self.request(Command::Campaign).await?
    }

    /// Asks the leader to hand over leadership.
    ///
    /// # Errors
    ///
    /// [`NodeError::Refused`] with the reason, else the server has ended. A transfer that is given up
    /// later shows in [`Ready::aborted_transfers`] of the leader.
    pub async fn transfer_leadership(&self, transferee: NodeId) -> Result<(), NodeError> {
        self.request(|reply| Command::TransferLeadership { transferee, reply })
            .await?
    }

    /// Lets a follower forget its leader, so that it may vote for another one at once.
    ///
    /// # Errors
    ///
    /// [`NodeError::Refused`] with the reason, else the server has ended.
    pub async fn forget_leader(&self) -> Result<(), NodeError> {
        self.request(Command::ForgetLeader).await?
    }

    /// Asks for a position from which a read is linearizable. The answer comes in
    /// [`Ready::read_states`] with the same context: the position, or that the read was given up. If
    /// a message between a follower and its leader is lost there is no answer: ask again after a
    /// timeout.
    ///
    /// # Errors
    ///
    /// [`NodeError::Refused`] if no leader is known, else the server has ended.
    pub async fn read_index(&self, context: impl Into<Bytes>) -> Result<(), NodeError> {
        let context = context.into();
        self.request(|reply| Command::ReadIndex { context, reply })
            .await?
    }

    /// The state of the server, and on a leader that of its followers.
    ///
    /// # Errors
    ///
    /// The server has ended.
    pub async fn status(&self) -> Result<Status, NodeError> {
        self.request(|reply| Command::Status { reply }).await
    }

    /// Says that the last message to `peer` could not be sent.
    ///
    /// # Errors
    ///
    /// [`NodeError::Refused`] if the report is of no use here, which a transport may ignore; else the
    /// server has ended.
    pub async fn report_unreachable(&self, peer: NodeId) -> Result<(), NodeError> {
        self.request(|reply| Command::ReportUnreachable { peer, reply })
            .await?
    }

    /// Says what became of a snapshot sent to `peer`. A leader that is not told sends nothing to that
    /// peer until it hears of it.
    ///
    /// # Errors
    ///
    /// [`NodeError::Refused`] if the report is of no use here, which a transport may ignore; else the
    /// server has ended.
    pub async fn report_snapshot(
        &self,
        peer: NodeId,
        status: SnapshotStatus,
    ) -> Result<(), NodeError> {
        self.request(|reply| Command::ReportSnapshot {
            peer,
            status,
            reply,
        })
        .await?
    }

    /// Ends the server and waits until it has ended. Calling it again does no harm.
    ///
    /// # Errors
    ///
    /// The error by which the server ended before, if it did not end by being stopped.
    pub async fn stop(&self) -> Result<(), NodeError> {
        self.shared.stop.send_replace(true);
        match self.end().await {
            NodeError::Stopped => Ok(()),
            failed => Err(failed),
        }
    }

    /// Sends a command to the task and waits for the answer.
    async fn request<T>(
        &self,
        command: impl FnOnce(oneshot::Sender<T>) -> Command,
    ) -> Result<T, NodeError> {
        let (reply, answer) = oneshot::channel();
        if self.shared.commands.send(command(reply)).await.is_err() {
            return Err(self.end().await);
        }
        match answer.await {
            Ok(result) => Ok(result),
            Err(_) => Err(self.end().await),
        }
    }

    /// Waits for the end of the task and says why it ended.
    async fn end(&self) -> NodeError {
        let mut ended = self.shared.ended.clone();
        while ended.changed().await.is_ok() {}
        self.shared
            .failure
            .get()
            .cloned()
            .unwrap_or(NodeError::Stopped)
    }
}
