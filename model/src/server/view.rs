//! A server in the vocabulary that conformance compares.

use super::{
    Acknowledgement, Append, Flow, HardState, Image, Log, Progress, Queue, Request, Server,
    Storage, Unconfirmed,
};
use crate::configuration::{Configuration, id_set};
use crate::ids::{Id, IdSet};
use crate::message::{self, Message, Position};
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
        let vote = self.vote.map(ServerId::from);
        let outstanding = self.storage.as_deref();
        let leads = self.role == Role::Leader;
        let own = self.peers.iter().filter(|_| outstanding.is_some() && leads);
        let votes = [(self.granted, true), (self.refused, false)];
        let none = Queue::default();
        let reads = self.reads.as_deref().unwrap_or(&none);
        NodeView {
            role: self.role,
            term: term(self.term),
            vote,
            leader: self.leader.map(ServerId::from),
            log,
            snapshot,
            commit: index(self.commit),
            applied: index(self.applied()),
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
            durable: durable(self.durable_hard_state(), self.durable_log()),
            stable: index(outstanding.map_or(0, |it| it.stable)),
            unstable_snapshot: outstanding.and_then(|it| some_index(it.unstable_snapshot)),
            own_match: own.map(|peers| index(peers[self.id.slot()].matched)).next(),
            appends: outstanding
                .map_or_else(Vec::new, |it| it.appends.iter().map(Append::view).collect()),
            applies: outstanding.map_or_else(Vec::new, |it| {
                it.applies.iter().copied().map(index).collect()
            }),
            postponed_reads: reads.postponed.iter().map(Request::view).collect(),
            unconfirmed_reads: reads.unconfirmed.iter().map(Unconfirmed::view).collect(),
            confirmed_reads: u64::from(reads.confirmed),
            handed_over: reads.handed_over,
            forwarded_reads: reads.forwarded.iter().copied().map(u64::from).collect(),
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
                true if j == id => match view.own_match {
                    Some(index) => Some(Progress::own(narrow(index.0)?)),
                    None => Some(Progress::untracked()),
                },
                true => Some(Progress::untracked()),
                false => Progress::from_view(view.peers.get(&j.into())?),
            });
        let leads = view.role == Role::Leader;
        let storage = match settings.is_async {
            true => Some(Arc::new(Storage::from_view(view)?)),
            false => None,
        };
        let server = Server {
            id,
            role: view.role,
            term: narrow(view.term.0)?,
            vote: view.vote.as_ref().and_then(name),
            leader: view.leader.as_ref().and_then(name),
            lease: view.lease,
            log: log_of(view.snapshot.as_ref(), &view.log)?,
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
            storage,
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
        term(self.term)
    }

    /// Its commit index.
    pub fn commit(&self) -> Index {
        index(self.commit)
    }
}

fn durable(hard_state: HardState, log: &Log) -> DurableImage {
    let last = log.snapshot();
    DurableImage {
        term: term(hard_state.term),
        vote: hard_state.vote.map(ServerId::from),
        commit: index(hard_state.commit),
        log: log.iter().map(Into::into).collect(),
        snapshot: (last.index > 0).then(|| message::snapshot(last, log.snapshot_configuration())),
    }
}

fn log_of(snapshot: Option<&vocabulary::Snapshot>, log: &[vocabulary::Entry]) -> Option<Log> {
    let entries = log.iter().map(|entry| entry.try_into().ok());
    let (last, configuration) = match snapshot {
        Some(snapshot) => snapshot_of(snapshot)?,
        None => Default::default(),
    };
    Some(Log::behind(
        last,
        configuration,
        entries.collect::<Option<_>>()?,
    ))
}

fn snapshot_of(snapshot: &vocabulary::Snapshot) -> Option<(Position, Configuration)> {
    let last = Position {
        term: narrow(snapshot.term.0)?,
        index: narrow(snapshot.index.0)?,
    };
    Some((last, Configuration::try_from(&snapshot.configuration).ok()?))
}

/// Somebody who may be there; `None` within if it cannot be named.
fn name(id: Option<ServerId>) -> Option<Option<Id>> {
    id.map(|id| Id::try_from(id).ok())
        .map_or(Some(None), |id| id.map(Some))
}

impl Storage {
    fn from_view(view: &NodeView) -> Option<Storage> {
        let DurableImage {
            term,
            vote,
            commit,
            log,
            snapshot,
        } = &view.durable;
        let appends = view.appends.iter().map(Append::from_view);
        let applies = view.applies.iter().map(|index| narrow(index.0));
        Some(Storage {
            durable: Image {
                hard_state: HardState {
                    term: narrow(term.0)?,
                    vote: name(*vote)?,
                    commit: narrow(commit.0)?,
                },
                log: log_of(snapshot.as_ref(), log)?,
            },
            applied: narrow(view.applied.0)?,
            stable: narrow(view.stable.0)?,
            unstable_snapshot: narrow(view.unstable_snapshot.unwrap_or_default().0)?,
            appends: appends.collect::<Option<_>>()?,
            applies: applies.collect::<Option<_>>()?,
        })
    }
}

impl Append {
    fn view(&self) -> vocabulary::Append {
        vocabulary::Append {
            hard_state: self.hard_state.map(|it| vocabulary::HardState {
                term: term(it.term),
                vote: it.vote.map(ServerId::from),
                commit: index(it.commit),
            }),
            snapshot: self
                .snapshot
                .map(|(last, configuration)| message::snapshot(last, configuration)),
            first: index(self.first),
            entries: self.entries.iter().map(Into::into).collect(),
            responses: self.responses.iter().map(Into::into).collect(),
            acknowledges: self
                .acknowledges
                .map(|it| vocabulary::StorageAcknowledgement {
                    term: term(it.term),
                    last_index: index(it.last.index),
                    last_term: term(it.last.term),
                    snapshot: some_index(it.snapshot),
                }),
        }
    }

    fn from_view(view: &vocabulary::Append) -> Option<Append> {
        let hard_state = match &view.hard_state {
            None => None,
            Some(it) => Some(HardState {
                term: narrow(it.term.0)?,
                vote: name(it.vote)?,
                commit: narrow(it.commit.0)?,
            }),
        };
        let snapshot = match &view.snapshot {
            None => None,
            Some(snapshot) => Some(snapshot_of(snapshot)?),
        };
        let acknowledges = match &view.acknowledges {
            None => None,
            Some(it) => Some(Acknowledgement {
                term: narrow(it.term.0)?,
                last: Position {
                    term: narrow(it.last_term.0)?,
                    index: narrow(it.last_index.0)?,
                },
                snapshot: narrow(it.snapshot.unwrap_or_default().0)?,
            }),
        };
        let entries = view.entries.iter().map(|entry| entry.try_into().ok());
        let responses = view.responses.iter().map(|m| Message::try_from(m).ok());
        Some(Append {
            hard_state,
            snapshot,
            first: narrow(view.first.0)?,
            entries: entries.collect::<Option<_>>()?,
            responses: responses.collect::<Option<_>>()?,
            acknowledges,
        })
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
        let forwarded = view.forwarded_reads.iter();
        let forwarded = forwarded.map(|context| message::read_context(*context));
        let reads = Queue {
            postponed: postponed.collect::<Option<_>>()?,
            unconfirmed: view
                .unconfirmed_reads
                .iter()
                .map(unconfirmed)
                .collect::<Option<_>>()?,
            confirmed: narrow(view.confirmed_reads)?,
            handed_over: view.handed_over,
            forwarded: forwarded.collect::<Option<_>>()?,
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

fn term(term: u32) -> Term {
    Term(u64::from(term))
}

fn some_index(number: u32) -> Option<Index> {
    (number > 0).then(|| index(number))
}

fn index(index: u32) -> Index {
    Index(u64::from(index))
}
