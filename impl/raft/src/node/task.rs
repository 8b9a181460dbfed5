//! The task that a [`Node`](super::Node) talks to.

use bytes::Bytes;
use tokio::sync::{mpsc, oneshot, watch};

use super::NodeError;
use crate::{
    CallError, ConfChangeV2, ConfState, Entry, Error, Message, NodeId, Observer, RawNode, Ready,
    SnapshotStatus, Status, Storage,
};

type Reply<T> = oneshot::Sender<T>;
type Outcome = Result<(), NodeError>;

/// Entries to be proposed as soon as a leader is known.
#[derive(Debug)]
pub(super) struct Proposal {
    pub(super) entries: Vec<Entry>,
    pub(super) reply: Reply<Result<(), Error>>,
}

/// Every other call.
#[derive(Debug)]
pub(super) enum Command {
    Advance(Reply<Outcome>),
    Campaign(Reply<Outcome>),
    ForgetLeader(Reply<Outcome>),
    ApplyConfChange {
        change: ConfChangeV2,
        reply: Reply<Result<ConfState, NodeError>>,
    },
    TransferLeadership {
        transferee: NodeId,
        reply: Reply<Outcome>,
    },
    ReadIndex {
        context: Bytes,
        reply: Reply<Outcome>,
    },
    ReportUnreachable {
        peer: NodeId,
        reply: Reply<Outcome>,
    },
    ReportSnapshot {
        peer: NodeId,
        status: SnapshotStatus,
        reply: Reply<Outcome>,
    },
    Status {
        reply: Reply<Status>,
    },
}

/// An input of the task.
enum Input {
    /// The application has taken the last `Ready`, and there is work for another one.
    RoomForReady,
    Command(Command),
    Tick,
    Message(Message),
    Proposal(Proposal),
}

pub(super) struct Task<S, O> {
    pub(super) raw: RawNode<S, O>,
    pub(super) proposals: mpsc::Receiver<Proposal>,
    pub(super) messages: mpsc::Receiver<Message>,
    pub(super) commands: mpsc::Receiver<Command>,
    pub(super) ticks: mpsc::Receiver<()>,
    pub(super) readies: mpsc::Sender<Ready>,
    pub(super) stop: watch::Receiver<bool>,
    /// Whether a `Ready` is out that must be advanced before the next one.
    pub(super) awaiting_advance: bool,
    pub(super) async_storage_writes: bool,
}

impl<S: Storage, O: Observer> Task<S, O> {
    /// Serves until it is told to stop, all handles are gone, or the server fails.
    ///
    /// # Errors
    ///
    /// What the server failed of.
    pub(super) async fn run(mut self) -> Result<(), Error> {
        while let Some(input) = self.next_input().await {
            match input {
                Input::RoomForReady => {
                    let ready = self.raw.ready()?;
                    self.awaiting_advance = !self.async_storage_writes;
                    if self.readies.try_send(ready).is_err() {
                        // There is room, so the last handle is gone.
                        return Ok(());
                    }
                }
                Input::Command(command) => self.execute(command)?,
                Input::Tick => fatal(self.raw.tick())?,
                Input::Message(message) => fatal(self.raw.step(message))?,
                Input::Proposal(Proposal { entries, reply }) => {
                    let result = self.raw.propose_entries(entries);
                    fatal(result.clone())?;
                    // Whoever has stopped waiting does not want to know.
                    let _ = reply.send(result);
                }
            }
        }
        Ok(())
    }

    /// Waits for something to do; `None` is the end. Fair among the inputs that are there, so that no
    /// caller starves another.
    async fn next_input(&mut self) -> Option<Input> {
        let may_offer = !self.awaiting_advance && self.raw.has_ready();
        let has_leader = self.raw.core().leader().is_some();
        tokio::select! {
            () = told_to_stop(&mut self.stop) => None,
            // Fails only when the last handle is gone.
            permit = self.readies.reserve(), if may_offer => permit.ok().map(|_| Input::RoomForReady),
            Some(command) = self.commands.recv() => Some(Input::Command(command)),
            Some(()) = self.ticks.recv() => Some(Input::Tick),
            Some(message) = self.messages.recv() => Some(Input::Message(message)),
            Some(proposal) = self.proposals.recv(), if has_leader => Some(Input::Proposal(proposal)),
        }
    }

    /// Whether a `Ready` lies in the channel, where nobody has taken it yet.
    fn ready_is_offered(&self) -> bool {
        self.readies.capacity() < self.readies.max_capacity()
    }

    fn execute(&mut self, command: Command) -> Result<(), Error> {
        match command {
            // One that nobody has taken is not dealt with, however often somebody says so.
            Command::Advance(reply) if self.ready_is_offered() => {
                answer(reply, Err(CallError::NothingToAdvance.into()))
            }
            Command::Advance(reply) => {
                self.awaiting_advance = false;
                answer(reply, self.raw.advance())
            }
            Command::Campaign(reply) => answer(reply, self.raw.campaign()),
            Command::ForgetLeader(reply) => answer(reply, self.raw.forget_leader()),
            Command::ApplyConfChange { change, reply } => {
                answer(reply, self.raw.apply_conf_change(change))
            }
            Command::TransferLeadership { transferee, reply } => {
                answer(reply, self.raw.transfer_leadership(transferee))
            }
            Command::ReadIndex { context, reply } => answer(reply, self.raw.read_index(context)),
            Command::ReportUnreachable { peer, reply } => {
                answer(reply, self.raw.report_unreachable(peer))
            }
            Command::ReportSnapshot {
                peer,
                status,
                reply,
            } => answer(reply, self.raw.report_snapshot(peer, status)),
            Command::Status { reply } => {
                let _ = reply.send(self.raw.status());
                Ok(())
            }
        }
    }
}

/// Waits for [`Node::stop`](super::Node::stop), or for the last handle to be dropped.
async fn told_to_stop(stop: &mut watch::Receiver<bool>) {
    // An error means that there is no handle left.
    let _ = stop.wait_for(|stop| *stop).await;
}

/// Tells the caller the result, and the task whether it has to end.
fn answer<T>(reply: Reply<Result<T, NodeError>>, result: Result<T, Error>) -> Result<(), Error> {
    match result {
        Err(error) if is_fatal(&error) => Err(error),
        other => {
            let _ = reply.send(other.map_err(NodeError::Refused));
            Ok(())
        }
    }
}

/// Passes on only what a server cannot survive.
fn fatal(result: Result<(), Error>) -> Result<(), Error> {
    match result {
        Err(error) if is_fatal(&error) => Err(error),
        _ => Ok(()),
    }
}

fn is_fatal(error: &Error) -> bool {
    matches!(error, Error::Storage(_))
}
