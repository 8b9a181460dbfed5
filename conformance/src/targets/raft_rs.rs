//! tikv's raft-rs 0.7, in process, through its public API and public fields.
//!
//! Its timers cannot be raised one by one by ticks alone, but its election counter is public: the adapter
//! moves it and lets one tick do the rest; heartbeats it has a call for. No timer fires that was not asked for, so the jitter that the
//! library draws for itself changes nothing. In walks it is given ticks instead, and its timers are compared. It has no clone, which makes *edges covered* the verdict
//! that it can earn.

mod application;
mod dialect;
mod message;
mod storage;
mod ticks;

pub use dialect::{Normalisation, Uses};

use super::dialect::departure_uses;
use crate::digest::digest_of;
use crate::target::{
    Description, DialectUse, Digest, Output, Reaction, Target, TargetError, TargetServer,
};
use application::{Application, Sent, Settled, agree};
use lockstep_model::Dialect;
use lockstep_traces::{
    Config, DurableImage, Emitted, Field, FieldSet, Index, Input, NodeView, Outcome, PeerView,
    ProgressState, Refusal, Role, ServerId, Term, Trace,
};
use message::{from_raft, log_from_raft, payload_data, to_raft};
use raft::eraftpb::{Message, MessageType};
use raft::{INVALID_ID, INVALID_INDEX, Progress, RawNode, StateRole};
use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use storage::SharedStorage;

/// The version of the crate that is linked in; Cargo's lock file pins it.
const VERSION: &str = "0.7.0";

/// Ticks of an election timeout. Quorum checks of a leader advance its heartbeat counter by one each, so
/// that many fit between two heartbeats.
const ELECTION_TICKS: usize = 1 << 20;

/// Ticks of a heartbeat interval; never reached by ticks.
const HEARTBEAT_TICKS: usize = ELECTION_TICKS - 1;

/// The speed of the timers of a server.
#[derive(Clone, Copy, Debug)]
struct Ticks {
    election: usize,
    heartbeat: usize,
    /// One more than the longest random election timeout that it draws.
    drawn_below: usize,
}

/// No timer fires by ticks.
const UNTIMED: Ticks = Ticks {
    election: ELECTION_TICKS,
    heartbeat: HEARTBEAT_TICKS,
    drawn_below: 2 * ELECTION_TICKS,
};

/// The library as a target.
#[derive(Clone, Debug, Default)]
pub struct RaftRs {
    uses: Uses,
}

impl RaftRs {
    /// A target that has counted nothing yet.
    pub fn new() -> RaftRs {
        RaftRs::default()
    }

    /// The rules of the specification that are different here.
    pub const DIALECT: Dialect = Dialect::RAFT_RS;

    /// The number of times that each normalisation has made a difference so far.
    pub fn uses(&self) -> &Uses {
        &self.uses
    }

    fn start_with(
        &self,
        config: &Config,
        id: ServerId,
        ticks: Ticks,
    ) -> Result<RaftRsServer, TargetError> {
        let voters = config.server_ids().map(ServerId::get).collect();
        let storage = SharedStorage::new(voters);
        let node = new_node(config, id, ticks, storage.clone(), 0).map_err(TargetError::Setup)?;
        Ok(RaftRsServer {
            application: Application::new(&node, 0),
            node,
            storage,
            config: config.clone(),
            ticks,
            id,
            uses: self.uses.clone(),
        })
    }
}

impl Target for RaftRs {
    type Server = RaftRsServer;

    fn description(&self) -> Description {
        Description {
            name: "raft-rs".to_owned(),
            version: VERSION.to_owned(),
            // No input that it is given leads to all but the first.
            shows: [
                Field::CommitSent,
                Field::Snapshot,
                Field::Transferee,
                Field::Uncommitted,
                Field::Configuration,
                Field::PendingConfIndex,
                Field::PendingSnapshot,
                Field::PostponedReads,
                Field::UnconfirmedReads,
                Field::ConfirmedReads,
                Field::HandedOver,
                Field::ForwardedReads,
                Field::Stable,
                Field::UnstableSnapshot,
                Field::OwnMatch,
                Field::Appends,
                Field::Applies,
                Field::ReadStates,
            ]
            .into_iter()
            .fold(FieldSet::ALL, FieldSet::without),
            derived: BTreeMap::from([(
                Field::Lease,
                "worked out by the library's own rule from its election counter, leader and switch, \
                 which are read"
                    .to_owned(),
            )]),
            dialect: RaftRs::DIALECT
                .iter()
                .map(|entry| (entry.name(), entry.reason()))
                .chain(
                    Normalisation::ALL
                        .into_iter()
                        .map(|entry| (entry.name(), entry.reason())),
                )
                .map(|(name, reason)| format!("{name}: {reason}"))
                .collect(),
        }
    }

    fn dialect(&self) -> Dialect {
        RaftRs::DIALECT
    }

    fn dialect_uses(&self, traces: &[Trace]) -> Result<Vec<DialectUse>, TargetError> {
        let mut entries = departure_uses(traces, RaftRs::DIALECT)?;
        let normalisations = Normalisation::ALL.into_iter().map(|entry| DialectUse {
            name: entry.name(),
            reason: entry.reason(),
            uses: self.uses.of(entry),
        });
        entries.extend(normalisations);
        Ok(entries)
    }

    fn start(&self, config: &Config, id: ServerId) -> Result<RaftRsServer, TargetError> {
        self.start_with(config, id, UNTIMED)
    }
}

fn new_node(
    config: &Config,
    id: ServerId,
    ticks: Ticks,
    storage: SharedStorage,
    applied: u64,
) -> Result<RawNode<SharedStorage>, String> {
    let max_inflight_msgs = usize::try_from(config.max_inflight)
        .map_err(|_| format!("max_inflight is too large: {}", config.max_inflight))?;
    let config = raft::Config {
        id: id.get(),
        election_tick: ticks.election,
        heartbeat_tick: ticks.heartbeat,
        max_election_tick: ticks.drawn_below,
        applied,
        max_size_per_msg: if config.one_entry_per_append {
            0
        } else {
            raft::NO_LIMIT
        },
        max_inflight_msgs,
        check_quorum: config.check_quorum,
        pre_vote: config.pre_vote,
        ..raft::Config::default()
    };
    let logger = slog::Logger::root(slog::Discard, slog::o!());
    RawNode::new(&config, storage, &logger).map_err(|error| error.to_string())
}

/// One server.
pub struct RaftRsServer {
    node: RawNode<SharedStorage>,
    application: Application,
    storage: SharedStorage,
    config: Config,
    ticks: Ticks,
    id: ServerId,
    uses: Uses,
}

impl TargetServer for RaftRsServer {
    fn apply(&mut self, input: &Input) -> Result<Reaction, TargetError> {
        self.react(|server| server.call(input))
    }

    fn view(&mut self) -> Result<NodeView, TargetError> {
        self.view_or_error().map_err(TargetError::Failed)
    }
}

impl RaftRsServer {
    /// Makes a call and does everything that follows from it.
    fn react(
        &mut self,
        call: impl FnOnce(&mut RaftRsServer) -> Result<Outcome, String>,
    ) -> Result<Reaction, TargetError> {
        let applied = AssertUnwindSafe(|| {
            let outcome = call(self)?;
            let settled = self.application.settle(&mut self.node, &self.storage)?;
            self.without_forwarding(outcome, settled)
        });
        // A panic leaves the server in no state to go on; the error says that it is not used again.
        match catch_unwind(applied) {
            Ok(result) => result.map_err(TargetError::Failed),
            Err(panic) => Err(TargetError::Failed(panic_text(panic.as_ref()))),
        }
    }
}

impl Digest for RaftRsServer {
    fn digest(&self) -> u128 {
        let raft = &self.node.raft;
        // What followers keep of their last leadership is there as well: the library resets it later.
        let mut progress: Vec<_> = raft.prs().iter().collect();
        progress.sort_unstable_by_key(|(id, _)| **id);
        let mut votes: Vec<_> = raft.prs().votes().iter().collect();
        votes.sort_unstable();
        let view = self.view_or_error().map_err(|error| error.to_string());
        digest_of(&(
            (view.as_ref().ok(), view.as_ref().err()),
            (format!("{progress:?}"), votes),
            (raft.election_elapsed, raft.heartbeat_elapsed()),
            (raft.pending_conf_index, raft.lead_transferee),
            (raft.raft_log.persisted, self.application.applied()),
        ))
    }
}

impl RaftRsServer {
    /// Makes the call of an input.
    fn call(&mut self, input: &Input) -> Result<Outcome, String> {
        let raft = &mut self.node.raft;
        let leads = raft.state == StateRole::Leader;
        let result = match input {
            Input::Timeout => self.node.campaign(),
            Input::Propose(value) => {
                let data = payload_data(&lockstep_traces::Payload::Value(*value));
                self.node.propose(Vec::new(), data)
            }
            Input::Deliver(m) => self.node.step(to_raft(m)),
            Input::Heartbeat => {
                // Documented to do nothing at a server that does not lead.
                self.node.ping();
                Ok(())
            }
            Input::LeaseExpire if leads => {
                // At a leader the end of an election timeout is a quorum check, which is another input;
                // here all of it passes but the last tick.
                raft.election_elapsed = raft.election_elapsed.max(ELECTION_TICKS - 1);
                Ok(())
            }
            Input::LeaseExpire => {
                raft.election_elapsed = raft.election_elapsed.max(raft.election_timeout());
                Ok(())
            }
            // No tick raises it at a server that does not lead, nor without a heartbeat when one is due.
            Input::CheckQuorum if !leads || raft.heartbeat_elapsed() + 1 >= HEARTBEAT_TICKS => {
                let mut m = Message::default();
                m.set_msg_type(MessageType::MsgCheckQuorum);
                raft.step(m)
            }
            Input::CheckQuorum => {
                raft.election_elapsed = raft.election_timeout() - 1;
                raft.tick();
                Ok(())
            }
            Input::Restart => {
                let applied = self.application.applied();
                self.node = new_node(
                    &self.config,
                    self.id,
                    self.ticks,
                    self.storage.clone(),
                    applied,
                )?;
                self.application = Application::new(&self.node, applied);
                Ok(())
            }
            // `lacks` says so: no preset or trace that needs it comes here.
            Input::TransferLeadership { .. }
            | Input::ProposeConfChange(_)
            | Input::ForgetLeader
            | Input::Compact
            | Input::ReportUnreachable { .. }
            | Input::ReportSnapshot { .. }
            | Input::Persist
            | Input::Apply
            | Input::RestartKeeping { .. }
            | Input::ReadIndex { .. } => {
                return Err(format!("{} is not driven yet", input.name()));
            }
        };
        match result {
            Ok(()) => Ok(Outcome::Accepted),
            Err(raft::Error::ProposalDropped) => Ok(Outcome::Refused(Refusal::ProposalDropped)),
            Err(raft::Error::StepPeerNotFound) => Ok(Outcome::Refused(Refusal::UnknownPeer)),
            Err(raft::Error::StepLocalMsg) => Ok(Outcome::Refused(Refusal::LocalMessage)),
            Err(error) => Err(format!("returned an unexpected error: {error}")),
        }
    }

    /// The reaction, in which a forwarded proposal is a dropped one.
    fn without_forwarding(&self, outcome: Outcome, settled: Settled) -> Result<Reaction, String> {
        let Settled { sent, handed } = settled;
        if let [only] = sent.as_slice()
            && only.message.get_msg_type() == MessageType::MsgPropose
        {
            self.uses.count(Normalisation::ForwardedProposal);
            return Ok(Reaction::Driven(Output {
                outcome: Outcome::Refused(Refusal::ProposalDropped),
                sent: Vec::new(),
                handed,
                read_states: Vec::new(),
            }));
        }
        let sent = sent
            .into_iter()
            .map(|sent| self.emitted(sent))
            .collect::<Result<_, _>>()?;
        Ok(Reaction::Driven(Output {
            outcome,
            sent,
            handed,
            read_states: Vec::new(),
        }))
    }

    /// The message with its mark. The library does not decide by the kind of message what must wait: a
    /// leader holds back nothing and everybody else everything. Where it keeps to that, the mark is the
    /// one of the specification; where it does not, the other one, which is a difference.
    fn emitted(&self, sent: Sent) -> Result<Emitted, String> {
        let Sent {
            message,
            waited,
            leads,
        } = sent;
        let must_wait = matches!(
            message.get_msg_type(),
            MessageType::MsgAppendResponse
                | MessageType::MsgRequestVoteResponse
                | MessageType::MsgRequestPreVoteResponse
        );
        match (must_wait, waited, leads) {
            (false, true, false) => self.uses.count(Normalisation::EverythingWaits),
            (true, false, true) => self.uses.count(Normalisation::LeaderAnswersAtOnce),
            _ => {}
        }
        let by_its_rule = waited != leads;
        Ok(Emitted {
            message: from_raft(message, &self.uses)?,
            after_persist: must_wait == by_its_rule,
        })
    }

    fn view_or_error(&self) -> Result<NodeView, String> {
        let raft = &self.node.raft;
        let role = match raft.state {
            StateRole::Follower => Role::Follower,
            StateRole::PreCandidate => Role::PreCandidate,
            StateRole::Candidate => Role::Candidate,
            StateRole::Leader => Role::Leader,
        };
        let votes = raft.prs().votes().iter();
        let others = raft.prs().iter().filter(|(id, _)| **id != self.id.get());
        let durable = self.storage.durable();
        Ok(NodeView {
            role,
            term: Term(raft.term),
            vote: server(raft.vote),
            leader: server(raft.leader_id),
            log: log_from_raft(&raft.raft_log.all_entries(), 1)?,
            commit: Index(raft.raft_log.committed),
            applied: Index(raft.raft_log.applied),
            lease: raft.check_quorum
                && role == Role::Follower
                && raft.leader_id != INVALID_ID
                && raft.election_elapsed < raft.election_timeout(),
            votes: votes
                .filter_map(|(id, granted)| Some((server(*id)?, *granted)))
                .collect(),
            peers: match role {
                Role::Leader => others
                    .filter_map(|(id, progress)| Some((server(*id)?, progress)))
                    .map(|(id, progress)| Ok((id, peer(progress)?)))
                    .collect::<Result<_, String>>()?,
                _ => BTreeMap::new(),
            },
            durable: DurableImage {
                term: Term(durable.hard.term),
                vote: server(durable.hard.vote),
                commit: Index(durable.hard.commit),
                log: log_from_raft(&durable.entries, 1)?,
                snapshot: None,
            },
            snapshot: None,
            transferee: None,
            configuration: lockstep_traces::Configuration::default(),
            pending_conf_index: Index(0),
            uncommitted: 0,
            ..NodeView::default()
        })
    }
}

fn server(id: u64) -> Option<ServerId> {
    ServerId::new(id)
}

fn peer(progress: &Progress) -> Result<PeerView, String> {
    let Progress {
        matched,
        next_idx,
        state,
        paused: _, // By `is_paused`, which takes the state into account.
        pending_snapshot,
        pending_request_snapshot,
        recent_active,
        ins,
        commit_group_id,
        committed_index: _, // See `Normalisation::CommitInAcknowledgements`.
    } = progress;
    let idle = (
        *pending_snapshot,
        *pending_request_snapshot,
        *commit_group_id,
    );
    agree("the progress of snapshots and groups", idle, (0, 0, 0))?;
    let inflight = inflight(progress);
    agree("the appends in flight", ins.count(), inflight.len())?;
    Ok(PeerView {
        matched: Index(*matched),
        next: Index(*next_idx),
        state: match state {
            raft::ProgressState::Probe => ProgressState::Probe,
            raft::ProgressState::Replicate => ProgressState::Replicate,
            raft::ProgressState::Snapshot => ProgressState::Snapshot,
        },
        paused: progress.is_paused(),
        recent_active: *recent_active,
        // The library does not remember it.
        commit_sent: Index(INVALID_INDEX),
        inflight,
        pending_snapshot: None,
    })
}

/// The last index of each append on its way. The library shows their number only, but a copy of its
/// window can be emptied index by index, and each step shows what left.
fn inflight(progress: &Progress) -> Vec<Index> {
    let mut window = progress.ins.clone();
    let mut indexes = Vec::new();
    for index in 0..progress.next_idx.saturating_add(1) {
        let before = window.count();
        if before == 0 {
            break;
        }
        window.free_to(index);
        indexes.extend((window.count()..before).map(|_| Index(index)));
    }
    indexes
}

fn panic_text(panic: &(dyn std::any::Any + Send)) -> String {
    let text = panic
        .downcast_ref::<String>()
        .map(String::as_str)
        .or_else(|| panic.downcast_ref::<&str>().copied());
    format!("panic: {}", text.unwrap_or("without a text"))
}
