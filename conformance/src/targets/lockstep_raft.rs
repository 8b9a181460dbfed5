//! The production Raft of this repository, in process: the example of a target that can be copied.
//!
//! The protocol core is driven directly, its timer events as the timer of `RawNode` raises them (the
//! timer itself is what [`crate::walk`] compares). Storage is in memory and written at once, as `Ready`
//! asks, so that at the end of every input everything is durable and applied.

use crate::digest::digest_of;
use crate::target::{Description, Fork, Reaction, Target, TargetError, TargetServer};
use bytes::Bytes;
use lockstep_raft::tracker::Progress;
use lockstep_raft::{
    ConfState, Core, MemoryStorage, NodeId, PeerError, Ready, Storage, TimerEvent,
};
use lockstep_traces::{
    Body, Config, DurableImage, Emitted, Entry, FieldSet, Index, Input, Message, NodeView, Outcome,
    Payload, PeerView, ProgressState, Refusal, RejectHint, Role, ServerId, Term,
};

/// The production Raft as a target.
#[derive(Clone, Copy, Debug, Default)]
pub struct LockstepRaft;

impl Target for LockstepRaft {
    type Server = LockstepServer;

    fn description(&self) -> Description {
        Description {
            name: "lockstep-raft".to_owned(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            shows: FieldSet::ALL,
            dialect: Vec::new(),
        }
    }

    fn start(&self, config: &Config, id: ServerId) -> Result<LockstepServer, TargetError> {
        let config = raft_config(config, id)?;
        let core = start(&config.raft, config.storage)
            .map_err(|error| TargetError::Setup(error.to_string()))?;
        Ok(LockstepServer {
            config: config.raft,
            core,
        })
    }
}

/// One server: the core with its storage, and what it needs to be built again.
#[derive(Clone, Debug)]
pub struct LockstepServer {
    config: lockstep_raft::Config,
    core: Core<MemoryStorage>,
}

/// How a server of the production Raft is set up for comparison, and the storage it starts from.
pub(crate) struct Setup {
    pub raft: lockstep_raft::Config,
    pub storage: MemoryStorage,
}

/// The production configuration that behaves as a configuration of the vocabulary says.
pub(crate) fn raft_config(config: &Config, id: ServerId) -> Result<Setup, TargetError> {
    let inflight = usize::try_from(config.max_inflight)
        .map_err(|error| TargetError::Setup(format!("max_inflight: {error}")))?;
    let mut raft = lockstep_raft::Config::new(node(id));
    raft.pre_vote = config.pre_vote;
    raft.check_quorum = config.check_quorum;
    raft.max_inflight_messages = inflight;
    raft.max_message_bytes = if config.one_entry_per_append {
        0
    } else {
        u64::MAX
    };
    raft.max_committed_bytes_per_ready = u64::MAX;
    raft.max_uncommitted_entries_bytes = 0;
    raft.max_inflight_bytes = 0;
    raft.proposal_forwarding = false;
    let voters = config.server_ids().map(node).collect();
    let storage = MemoryStorage::with_conf_state(ConfState {
        voters,
        ..ConfState::default()
    });
    Ok(Setup { raft, storage })
}

/// A core on that storage. Its first orders to the timer are taken at once: there is no timer here.
fn start(
    config: &lockstep_raft::Config,
    storage: MemoryStorage,
) -> Result<Core<MemoryStorage>, lockstep_raft::Error> {
    let mut core = Core::new(config, storage)?;
    core.take_timer_reset();
    Ok(core)
}

impl TargetServer for LockstepServer {
    fn apply(&mut self, input: &Input) -> Result<Reaction, TargetError> {
        let result = match input {
            Input::Timeout => self.core.on_timer(TimerEvent::ElectionTimeout),
            Input::LeaseExpire => self.core.on_timer(TimerEvent::LeaseExpired),
            Input::CheckQuorum => self.core.on_timer(TimerEvent::CheckQuorum),
            Input::Heartbeat => self.core.on_timer(TimerEvent::HeartbeatDue),
            Input::Propose(value) => self.core.propose(Bytes::from(value.to_string())),
            Input::Deliver(message) => self.core.step(to_raft(message)),
            Input::Restart => self.restart(),
        };
        let outcome = outcome(result)?;
        let sent = self.settle()?;
        Ok(Reaction::Driven { outcome, sent })
    }

    fn view(&mut self) -> Result<NodeView, TargetError> {
        view(&self.core)
    }
}

impl Fork for LockstepServer {
    fn fork(&self) -> LockstepServer {
        self.clone()
    }

    fn digest(&self) -> u128 {
        // Derived `Hash` all the way down: every field of the core and of the storage is in it. The
        // configuration never changes, but for the applied index, which the core has as well.
        digest_of(&self.core)
    }
}

impl LockstepServer {
    /// The process dies, and another is started on the same storage.
    fn restart(&mut self) -> Result<(), lockstep_raft::Error> {
        self.config.applied = self.core.applied();
        let storage = self.core.storage().clone();
        self.core = start(&self.config, storage)?;
        Ok(())
    }

    /// Does everything that is to be done: persists, sends, applies, until nothing is left.
    fn settle(&mut self) -> Result<Vec<Emitted>, TargetError> {
        let mut sent = Vec::new();
        while self.core.has_ready() {
            let ready = self.core.ready().map_err(failed)?;
            check_sync(self.core.storage(), &ready)?;
            persist(self.core.storage_mut(), &ready)?;
            for message in &ready.messages {
                let after_persist = message.waits_for_persistence();
                sent.push(Emitted {
                    message: from_raft(message)?,
                    after_persist,
                });
            }
            self.core.advance().map_err(failed)?;
        }
        // Orders to the timer; there is none here.
        self.core.take_timer_reset();
        Ok(sent)
    }
}

/// What must not be lost in a crash has to be marked so.
fn check_sync(storage: &MemoryStorage, ready: &Ready) -> Result<(), TargetError> {
    let (stored, _) = storage
        .initial_state()
        .map_err(|error| failed(error.into()))?;
    let vital = ready
        .hard_state
        .is_some_and(|new| (new.term, new.vote) != (stored.term, stored.vote));
    if (vital || !ready.entries.is_empty()) && !ready.must_sync {
        let text = "a term, a vote or entries need not be synchronised to disk, it says";
        return Err(TargetError::Failed(text.to_owned()));
    }
    Ok(())
}

/// Writes what a `Ready` wants written.
pub(crate) fn persist(storage: &mut MemoryStorage, ready: &Ready) -> Result<(), TargetError> {
    if ready.snapshot.is_some() {
        return Err(TargetError::Failed(
            "it wants to install a snapshot".to_owned(),
        ));
    }
    storage
        .append(ready.entries.clone())
        .map_err(|error| failed(error.into()))?;
    if let Some(hard_state) = ready.hard_state {
        storage.set_hard_state(hard_state);
    }
    Ok(())
}

/// What the caller of the core was told, in the vocabulary.
pub(crate) fn outcome(result: Result<(), lockstep_raft::Error>) -> Result<Outcome, TargetError> {
    use lockstep_raft::Error;
    match result {
        Ok(()) => Ok(Outcome::Accepted),
        Err(Error::ProposalDropped(_)) => Ok(Outcome::Refused(Refusal::ProposalDropped)),
        Err(Error::Peer(PeerError::UnknownPeer { .. })) => {
            Ok(Outcome::Refused(Refusal::UnknownPeer))
        }
        Err(Error::Peer(PeerError::LocalMessage { .. })) => {
            Ok(Outcome::Refused(Refusal::LocalMessage))
        }
        Err(error) => Err(failed(error)),
    }
}

pub(crate) fn failed(error: lockstep_raft::Error) -> TargetError {
    TargetError::Failed(error.to_string())
}

/// Everything that can be seen of a core.
pub(crate) fn view(core: &Core<MemoryStorage>) -> Result<NodeView, TargetError> {
    let last = core
        .log()
        .last_index()
        .map_err(|error| failed(error.into()))?;
    let first = lockstep_raft::Index(1);
    let log = core.log().slice(first, last.next(), u64::MAX);
    let log = log.map_err(|error| failed(error.into()))?;
    let log = log.ok_or_else(|| TargetError::Failed("its log was compacted".to_owned()))?;
    let role = role(core.role());
    let mut peers = std::collections::BTreeMap::new();
    if role == Role::Leader {
        core.with_progress(|id, progress| {
            if id != core.id() {
                peers.insert(server(id), peer_view(progress));
            }
        });
    }
    let votes = core.tracker().votes.iter();
    Ok(NodeView {
        role,
        term: term(core.term()),
        vote: core.vote().map(server),
        leader: core.leader().map(server),
        log: entries(&log)?,
        commit: index(core.commit()),
        applied: index(core.applied()),
        lease: core.lease_live() && role == Role::Follower,
        votes: votes.map(|(id, granted)| (server(id), granted)).collect(),
        peers,
        durable: durable(core.storage())?,
    })
}

fn durable(storage: &MemoryStorage) -> Result<DurableImage, TargetError> {
    let hard_state = storage.hard_state();
    let last = storage.last_index().map_err(|error| failed(error.into()))?;
    let log = if last.is_zero() {
        Vec::new()
    } else {
        let stored = storage.entries(lockstep_raft::Index(1), last.next(), u64::MAX);
        stored.map_err(|error| failed(error.into()))?
    };
    Ok(DurableImage {
        term: term(hard_state.term),
        vote: hard_state.vote.map(server),
        commit: index(hard_state.commit),
        log: entries(&log)?,
    })
}

fn peer_view(progress: &Progress) -> PeerView {
    PeerView {
        matched: index(progress.matched()),
        next: index(progress.next()),
        state: match progress.state() {
            lockstep_raft::tracker::ProgressState::Probe => ProgressState::Probe,
            lockstep_raft::tracker::ProgressState::Replicate => ProgressState::Replicate,
            lockstep_raft::tracker::ProgressState::Snapshot => ProgressState::Snapshot,
        },
        paused: progress.is_paused(),
        recent_active: progress.recent_active,
        commit_sent: index(progress.sent_commit()),
        inflight: progress.inflights.last_indexes().map(index).collect(),
    }
}

fn entries(log: &[lockstep_raft::Entry]) -> Result<Vec<Entry>, TargetError> {
    log.iter().map(entry).collect()
}

fn entry(entry: &lockstep_raft::Entry) -> Result<Entry, TargetError> {
    let foreign = || TargetError::Failed(format!("an entry that nobody proposed: {entry:?}"));
    if entry.kind != lockstep_raft::EntryKind::Normal {
        return Err(foreign());
    }
    let payload = match entry.data.as_ref() {
        [] => Payload::Empty,
        digits => {
            let digits = std::str::from_utf8(digits)
                .ok()
                .and_then(|text| text.parse().ok());
            Payload::Value(digits.ok_or_else(foreign)?)
        }
    };
    Ok(Entry {
        term: term(entry.term),
        payload,
    })
}

/// A message of the vocabulary as the production Raft receives it.
pub(crate) fn to_raft(message: &Message) -> lockstep_raft::Message {
    use lockstep_raft::Body as To;
    let body = match &message.body {
        Body::RequestVote {
            last_index,
            last_term,
        } => To::RequestVote {
            last: position(*last_term, *last_index),
            force: false,
        },
        Body::RequestVoteResponse { granted } => To::RequestVoteResponse { granted: *granted },
        Body::RequestPreVote {
            last_index,
            last_term,
        } => To::RequestPreVote {
            last: position(*last_term, *last_index),
        },
        Body::RequestPreVoteResponse { granted } => {
            To::RequestPreVoteResponse { granted: *granted }
        }
        Body::AppendEntries {
            prev_index,
            prev_term,
            entries,
            commit,
        } => To::AppendEntries {
            prev: position(*prev_term, *prev_index),
            entries: (1..)
                .zip(entries)
                .map(|(offset, entry)| raft_entry(*prev_index, offset, entry))
                .collect(),
            commit: lockstep_raft::Index(commit.0),
        },
        Body::AppendEntriesResponse { index, rejected } => To::AppendEntriesResponse {
            index: lockstep_raft::Index(index.0),
            rejection: rejected.map(|hint| lockstep_raft::Rejection {
                hint_index: lockstep_raft::Index(hint.index.0),
                hint_term: lockstep_raft::Term(hint.term.0),
            }),
        },
        Body::Heartbeat { commit } => To::Heartbeat {
            commit: lockstep_raft::Index(commit.0),
            context: Bytes::new(),
        },
        Body::HeartbeatResponse => To::HeartbeatResponse {
            context: Bytes::new(),
        },
    };
    lockstep_raft::Message {
        from: node(message.from),
        to: node(message.to),
        term: lockstep_raft::Term(message.term.0),
        body,
    }
}

fn raft_entry(prev: Index, offset: u64, entry: &Entry) -> lockstep_raft::Entry {
    lockstep_raft::Entry {
        term: lockstep_raft::Term(entry.term.0),
        index: lockstep_raft::Index(prev.0 + offset),
        kind: lockstep_raft::EntryKind::Normal,
        data: match entry.payload {
            Payload::Empty => Bytes::new(),
            Payload::Value(value) => Bytes::from(value.to_string()),
        },
    }
}

/// A message of the production Raft in the vocabulary.
pub(crate) fn from_raft(message: &lockstep_raft::Message) -> Result<Message, TargetError> {
    use lockstep_raft::Body as From;
    let foreign = || TargetError::Failed(format!("it sent what has no place here: {message:?}"));
    let body = match &message.body {
        From::RequestVote { last, force: false } => Body::RequestVote {
            last_index: index(last.index),
            last_term: term(last.term),
        },
        From::RequestVoteResponse { granted } => Body::RequestVoteResponse { granted: *granted },
        From::RequestPreVote { last } => Body::RequestPreVote {
            last_index: index(last.index),
            last_term: term(last.term),
        },
        From::RequestPreVoteResponse { granted } => {
            Body::RequestPreVoteResponse { granted: *granted }
        }
        From::AppendEntries {
            prev,
            entries: new,
            commit,
        } => {
            let follow = (1..)
                .zip(new)
                .all(|(offset, entry)| entry.index == prev.index + offset);
            if !follow {
                return Err(foreign());
            }
            Body::AppendEntries {
                prev_index: index(prev.index),
                prev_term: term(prev.term),
                entries: entries(new)?,
                commit: index(*commit),
            }
        }
        From::AppendEntriesResponse {
            index: acknowledged,
            rejection,
        } => Body::AppendEntriesResponse {
            index: index(*acknowledged),
            rejected: rejection.map(|rejection| RejectHint {
                index: index(rejection.hint_index),
                term: term(rejection.hint_term),
            }),
        },
        From::Heartbeat { commit, context } if context.is_empty() => Body::Heartbeat {
            commit: index(*commit),
        },
        From::HeartbeatResponse { context } if context.is_empty() => Body::HeartbeatResponse,
        _ => return Err(foreign()),
    };
    Ok(Message {
        from: server(message.from),
        to: server(message.to),
        term: term(message.term),
        body,
    })
}

fn position(term: Term, index: Index) -> lockstep_raft::EntryId {
    lockstep_raft::EntryId::new(lockstep_raft::Term(term.0), lockstep_raft::Index(index.0))
}

fn role(role: lockstep_raft::Role) -> Role {
    match role {
        lockstep_raft::Role::Follower => Role::Follower,
        lockstep_raft::Role::PreCandidate => Role::PreCandidate,
        lockstep_raft::Role::Candidate => Role::Candidate,
        lockstep_raft::Role::Leader => Role::Leader,
    }
}

fn node(id: ServerId) -> NodeId {
    NodeId::new(id.get()).unwrap_or_else(|| unreachable!("a server's name is never zero"))
}

fn server(id: NodeId) -> ServerId {
    ServerId::new(id.get()).unwrap_or_else(|| unreachable!("a node's id is never zero"))
}

fn index(index: lockstep_raft::Index) -> Index {
    Index(index.0)
}

fn term(term: lockstep_raft::Term) -> Term {
    Term(term.0)
}
