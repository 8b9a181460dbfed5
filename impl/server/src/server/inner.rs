//! State of a server that its Raft thread, its transport and its services share.

use std::collections::HashSet;
use std::path::PathBuf;
use std::sync::mpsc::{SyncSender, TrySendError};
use std::sync::{OnceLock, PoisonError, RwLock, Weak};

use lockstep_net::{Handler, SnapshotSink, Transport, proto::Question};
use lockstep_raft::{ConfChange, Index, Message, NodeId, Role, SnapshotStatus, Status, Term};
use prost::Message as _;
use tokio::sync::{oneshot, watch};

use super::apply::Outcome;
use super::config::Config;
use super::error::Error;
use super::ids::RequestIds;
use super::reads::Reader;
use super::snapshots::Incoming;
use crate::api::pb::{Member, MemberListResponse, MemberPromoteResponse, ResponseHeader};
use crate::log::Identity;
use crate::metrics::Metrics;
use crate::store::Store;

/// The question for cluster id and members, of a server that wants to join.
pub(super) const ASK_MEMBERS: &str = "lockstep.members";
/// The question to the leader to promote a learner.
pub(super) const ASK_PROMOTE: &str = "lockstep.promote";

/// Work for the Raft thread.
pub(super) enum Input {
    /// A message from a peer.
    Message(Message),
    /// A command, to be answered when it is applied.
    Propose {
        id: u64,
        data: bytes::Bytes,
        reply: oneshot::Sender<Outcome>,
    },
    /// A change of membership, to be answered when it is applied.
    Change {
        id: u64,
        change: ConfChange,
        reply: oneshot::Sender<Outcome>,
    },
    /// A linearizable read.
    Read(Reader),
    /// A transfer of leadership.
    Transfer {
        to: NodeId,
        reply: oneshot::Sender<Result<(), Error>>,
    },
    /// A look at the state of Raft.
    Inspect(oneshot::Sender<Box<Status>>),
    /// Messages to a peer were dropped.
    Unreachable(NodeId),
    /// The outcome of a snapshot that was sent.
    SnapshotSent(NodeId, SnapshotStatus),
    /// The end.
    Stop,
}

/// The last that the Raft thread said about itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct RaftState {
    pub(super) leader: Option<NodeId>,
    pub(super) role: Role,
    pub(super) term: Term,
    pub(super) committed: Index,
    pub(super) applied: Index,
}

/// The members as of the last applied entry.
#[derive(Debug, Default)]
pub(super) struct Membership {
    pub(super) members: Vec<Member>,
    pub(super) removed: HashSet<u64>,
}

/// Why a server stopped.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Exit {
    /// It was asked to.
    Stopped,
    /// It was removed from the cluster.
    Removed,
    /// Its store failed, or holds what contradicts itself.
    Failed(String),
    /// Its log failed: no write was acknowledged that is not durable.
    LogFailed(String),
}

pub(super) struct Inner {
    pub(super) config: Config,
    pub(super) identity: Identity,
    pub(super) id: NodeId,
    pub(super) store: Store,
    pub(super) ids: RequestIds,
    pub(super) metrics: Metrics,
    pub(super) inputs: SyncSender<Input>,
    pub(super) raft: watch::Sender<RaftState>,
    pub(super) membership: RwLock<Membership>,
    pub(super) exit: watch::Sender<Option<Exit>>,
    pub(super) transport: OnceLock<Transport<Inbox>>,
}

impl Inner {
    pub(super) fn raft(&self) -> RaftState {
        *self.raft.borrow()
    }

    pub(super) fn members(&self) -> Vec<Member> {
        self.membership
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .members
            .clone()
    }

    pub(super) fn member(&self, id: u64) -> Option<Member> {
        let membership = self
            .membership
            .read()
            .unwrap_or_else(PoisonError::into_inner);
        membership
            .members
            .iter()
            .find(|member| member.id == id)
            .cloned()
    }

    pub(super) fn is_removed(&self, id: u64) -> bool {
        self.membership
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .removed
            .contains(&id)
    }

    pub(super) fn is_learner(&self) -> bool {
        self.member(self.identity.member)
            .is_some_and(|member| member.is_learner)
    }

    /// Hands work to the Raft thread, and never blocks.
    pub(super) fn input(&self, input: Input) -> Result<(), Error> {
        self.inputs.try_send(input).map_err(|error| match error {
            TrySendError::Full(_) => Error::TooManyRequests,
            TrySendError::Disconnected(_) => Error::Stopped,
        })
    }

    /// Reads the members anew, and tells the transport.
    pub(super) fn refresh_membership(&self) -> crate::store::Result<()> {
        let snapshot = self.store.snapshot()?;
        let membership = Membership {
            members: snapshot.members()?,
            removed: snapshot.removed()?.into_iter().collect(),
        };
        if let Some(transport) = self.transport.get() {
            for member in &membership.members {
                if let Some(id) = NodeId::new(member.id) {
                    transport.set_peer(id, member.peer_urls.clone());
                }
            }
            for id in membership.removed.iter().filter_map(|&id| NodeId::new(id)) {
                transport.remove_peer(id);
            }
        }
        *self
            .membership
            .write()
            .unwrap_or_else(PoisonError::into_inner) = membership;
        let learner = self.is_learner();
        self.metrics.is_learner.set(i64::from(learner));
        Ok(())
    }

    pub(super) fn header(&self, revision: i64) -> ResponseHeader {
        ResponseHeader {
            cluster_id: self.identity.cluster,
            member_id: self.identity.member,
            revision,
            raft_term: self.raft().term.get(),
        }
    }

    pub(super) fn snapshot_dir(&self) -> PathBuf {
        super::files::snapshots(&self.config.data_dir)
    }
}

/// The server as its transport knows it. The reference is weak: the transport belongs to the server.
pub(super) struct Inbox {
    pub(super) inner: Weak<Inner>,
}

impl Inbox {
    fn input(&self, input: Input) {
        let Some(inner) = self.inner.upgrade() else {
            return;
        };
        // Raft copes with losses; it is a server that cannot keep up that must not be given more.
        if inner.input(input).is_err() {
            inner.metrics.messages_dropped.inc();
        }
    }
}

impl Handler for Inbox {
    fn message(&self, message: Message) {
        self.input(Input::Message(message));
    }

    fn unreachable(&self, peer: NodeId) {
        self.input(Input::Unreachable(peer));
    }

    fn snapshot_sent(&self, peer: NodeId, status: SnapshotStatus) {
        self.input(Input::SnapshotSent(peer, status));
    }

    fn snapshot_sink(&self, message: &Message) -> std::io::Result<Box<dyn SnapshotSink>> {
        let Some(inner) = self.inner.upgrade() else {
            return Err(std::io::Error::other("the server has stopped"));
        };
        Ok(Box::new(Incoming::begin(&inner.snapshot_dir(), message)?))
    }

    fn is_removed(&self, peer: NodeId) -> bool {
        self.inner
            .upgrade()
            .is_some_and(|inner| inner.is_removed(peer.get()))
    }

    fn removed(&self) {
        if let Some(inner) = self.inner.upgrade() {
            tracing::warn!("a peer says that this server was removed from the cluster");
            inner
                .exit
                .send_if_modified(|exit| exit.is_none() && exit.replace(Exit::Removed).is_none());
            drop(inner.input(Input::Stop));
        }
    }

    async fn answer(&self, question: Question) -> Result<bytes::Bytes, tonic::Status> {
        let Some(inner) = self.inner.upgrade() else {
            return Err(Error::Stopped.into());
        };
        match question.method.as_str() {
            ASK_MEMBERS => {
                let header = Some(inner.header(0));
                let answer = MemberListResponse {
                    header,
                    members: inner.members(),
                };
                Ok(answer.encode_to_vec().into())
            }
            ASK_PROMOTE => {
                let id = u64::decode(question.body)
                    .map_err(|error| tonic::Status::invalid_argument(error.to_string()))?;
                let members = super::Server { inner }.promote_here(id).await?;
                let answer = MemberPromoteResponse {
                    header: None,
                    members,
                };
                Ok(answer.encode_to_vec().into())
            }
            method => Err(tonic::Status::unimplemented(format!(
                "no answer to {method}"
            ))),
        }
    }
}
