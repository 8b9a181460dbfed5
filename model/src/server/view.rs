//! A server in the vocabulary that conformance compares.

use super::{Flow, Log, Progress, Queue, Request, Server, Unconfirmed};
use crate::configuration::{Configuration, id_set};
use crate::ids::{Id, IdSet};
use crate::message::{self, Position};
use crate::settings::Settings;
use lockstep_traces as vocabulary;
use lockstep_traces::{
    DurableImage, Index, NodeView, PeerView, ProgressState, ReadRequest, Role, ServerId, Term,
    UnconfirmedRead,
};
use std::sync::Arc;

impl Server {
    /// Everything that the specification says of this server.
    pub fn view(&self, settings: &Settings) -> NodeView {
        let log: Vec<_> = self.log.iter().map(Into::into).collect();
        let last = self.log.snapshot();
        let snapshot =
            (last.index > 0).then(|| message::snapshot(last, self.log.snapshot_configuration()));
        let term = Term(u64::from(self.term));
        let commit = index(self.commit);
        let vote = self.vote.map(ServerId::from);
        let votes = [(self.granted, true), (self.refused, false)];
        let none = Queue::default();
        let reads = self.reads.as_deref().unwrap_or(&none);
        NodeView {
            role: self.role,
            term,
            vote,
            leader: self.leader.map(ServerId::from),
            log: log.clone(),
            snapshot: snapshot.clone(),
            commit,
            applied: commit,
            lease: self.lease,
            votes: votes
                .into_iter()
                .flat_map(|(ids, granted)| ids.iter().map(move |id| (id.into(), granted)))
                .collect(),
            peers: self
                .others()
                .filter_map(|id| Some((id.into(), self.peer(id)?.view())))
                .collect(),
            transferee: self.transferee.map(ServerId::from),
            uncommitted: u64::from(self.uncommitted),
            configuration: match settings.may_change {
                true => self.configuration.view(),
                false => vocabulary::Configuration::default(),
            },
            pending_conf_index: index(self.pending_conf_index),
            postponed_reads: reads.postponed.iter().map(Request::view).collect(),
            unconfirmed_reads: reads.unconfirmed.iter().map(Unconfirmed::view).collect(),
            confirmed_reads: u64::from(reads.confirmed),
            handed_over: reads.handed_over,
            durable: DurableImage {
                term,
                vote,
                commit,
                log,
                snapshot,
            },
        }
    }

    /// The server that has this view; `None` if no server can, because a number is out of range or the
    /// durable image is not the state.
    pub fn from_view(settings: &Settings, id: ServerId, view: &NodeView) -> Option<Server> {
        let id = Id::try_from(id).ok().filter(|id| settings.is_server(*id))?;
        let name = |id: &ServerId| Id::try_from(*id).ok();
        let answers = |granted: bool| {
            let mut ids = IdSet::EMPTY;
            let given = view.votes.iter().filter(|(_, answer)| **answer == granted);
            given.for_each(|(id, _)| name(id).into_iter().for_each(|id| ids.insert(id)));
            ids
        };
        let configuration = match settings.may_change {
            true => Configuration::try_from(&view.configuration).ok()?,
            false => settings.configuration,
        };
        let members = configuration.members();
        let peers = settings
            .ids()
            .map(|j| match j == id || !members.contains(j) {
                true => Some(Progress::untracked()),
                false => Progress::from_view(view.peers.get(&j.into())?),
            });
        let leads = view.role == Role::Leader;
        let entries = view.log.iter().map(|entry| entry.try_into().ok());
        let (snapshot, snapshot_configuration) = match &view.snapshot {
            Some(snapshot) => {
                let last = Position {
                    term: narrow(snapshot.term.0)?,
                    index: narrow(snapshot.index.0)?,
                };
                (last, Configuration::try_from(&snapshot.configuration).ok()?)
            }
            None => (Position::default(), Configuration::default()),
        };
        let server = Server {
            id,
            role: view.role,
            term: narrow(view.term.0)?,
            vote: view.vote.as_ref().and_then(name),
            leader: view.leader.as_ref().and_then(name),
            lease: view.lease,
            log: Log::behind(
                snapshot,
                snapshot_configuration,
                entries.collect::<Option<_>>()?,
            ),
            commit: narrow(view.commit.0)?,
            granted: answers(true),
            refused: answers(false),
            configuration,
            pending_conf_index: narrow(view.pending_conf_index.0)?,
            peers: match leads {
                true => Some(Arc::new(peers.collect::<Option<_>>()?)),
                false => None,
            },
            transferee: view.transferee.as_ref().and_then(name),
            uncommitted: narrow(view.uncommitted)?,
            reads: Queue::from_view(view)?,
        };
        (server.view(settings) == *view).then_some(server)
    }

    /// Its name.
    pub fn id(&self) -> ServerId {
        self.id.into()
    }

    /// Its role.
    pub fn role(&self) -> Role {
        self.role
    }

    /// Its term.
    pub fn term(&self) -> Term {
        Term(u64::from(self.term))
    }

    /// Its commit index.
    pub fn commit(&self) -> Index {
        index(self.commit)
    }
}

impl Queue {
    /// The reads that this view shows; `None` if no server can have them, `Some(None)` if there is nothing to say.
    #[allow(clippy::option_option)]
    fn from_view(view: &NodeView) -> Option<Option<Arc<Queue>>> {
        let request = |origin: ServerId, context: u64| {
            Some(Request {
                origin: Id::try_from(origin).ok()?,
                context: message::read_context(context)?,
            })
        };
        let unconfirmed = |read: &UnconfirmedRead| {
            Some(Unconfirmed {
                request: request(read.origin, read.context)?,
                index: narrow(read.index.0)?,
                acks: id_set(read.acks.iter().copied()).ok()?,
            })
        };
        let postponed = view.postponed_reads.iter();
        let postponed = postponed.map(|read| request(read.origin, read.context));
        let reads = Queue {
            postponed: postponed.collect::<Option<_>>()?,
            unconfirmed: view
                .unconfirmed_reads
                .iter()
                .map(unconfirmed)
                .collect::<Option<_>>()?,
            confirmed: narrow(view.confirmed_reads)?,
            handed_over: view.handed_over,
        };
        Some((reads != Queue::default()).then(|| Arc::new(reads)))
    }
}

impl Request {
    fn view(&self) -> ReadRequest {
        ReadRequest {
            origin: self.origin.into(),
            context: self.context.into(),
        }
    }
}

impl Unconfirmed {
    fn view(&self) -> UnconfirmedRead {
        UnconfirmedRead {
            origin: self.request.origin.into(),
            context: self.request.context.into(),
            index: index(self.index),
            acks: self.acks.iter().map(ServerId::from).collect(),
        }
    }
}

impl Progress {
    fn from_view(view: &PeerView) -> Option<Progress> {
        let inflight = view.inflight.iter().map(|index| narrow(index.0));
        Some(Progress {
            matched: narrow(view.matched.0)?,
            next: narrow(view.next.0)?,
            commit_sent: narrow(view.commit_sent.0)?,
            flow: match view.state {
                ProgressState::Probe => Flow::Probe,
                ProgressState::Replicate => Flow::Replicate,
                ProgressState::Snapshot => Flow::Snapshot,
            },
            // While a snapshot is on its way that is what holds appends back.
            paused: view.paused && view.state != ProgressState::Snapshot,
            recent_active: view.recent_active,
            inflight: inflight.collect::<Option<_>>()?,
            pending: narrow(view.pending_snapshot.unwrap_or_default().0)?,
        })
    }

    fn view(&self) -> PeerView {
        PeerView {
            matched: index(self.matched),
            next: index(self.next),
            state: match self.flow {
                Flow::Probe => ProgressState::Probe,
                Flow::Replicate => ProgressState::Replicate,
                Flow::Snapshot => ProgressState::Snapshot,
            },
            paused: self.is_paused(),
            recent_active: self.recent_active,
            commit_sent: index(self.commit_sent),
            inflight: self.inflight.iter().map(index).collect(),
            pending_snapshot: (self.pending > 0).then(|| index(self.pending)),
        }
    }
}

fn narrow(number: u64) -> Option<u32> {
    u32::try_from(number).ok()
}

fn index(index: u32) -> Index {
    Index(u64::from(index))
}
