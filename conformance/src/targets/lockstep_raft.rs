//! The production Raft of this repository, in process: the example of a target that can be copied.
//!
//! The protocol core is driven directly, its timer events as the timer of `RawNode` raises them (the
//! timer itself is what [`crate::walk`] compares). Storage is in memory and written at once, as `Ready`
//! asks, so that at the end of every input everything is durable and applied.

mod application;
mod outstanding;
mod view;
mod vocabulary;

pub(crate) use application::{Application, Settled, failed};
pub(crate) use view::view;
pub(crate) use vocabulary::{to_raft, value};

use crate::digest::digest_of;
use crate::target::{
    Description, Fork, Needs, Output, Reaction, Target, TargetError, TargetServer,
};
use crate::timers::{Reset, Tenure};
use lockstep_raft::{
    ConfState, Core, DropReason, Error, Index, MemoryStorage, PeerError, ReadOnly, SnapshotStatus,
    TimerEvent, TimerReset,
};
use lockstep_traces::{
    Body, ConfChange, Config, Field, Input, NodeView, Outcome, Payload, Reads, Refusal, ServerId,
    Storage,
};
use outstanding::Outstanding;
use vocabulary::node;

/// The production Raft as a target.
#[derive(Clone, Copy, Debug, Default)]
pub struct LockstepRaft;

/// The production Raft with asynchronous storage writes: what has to be done comes as messages to the
/// storage threads. Here they are delivered at once, so that it must do the same as without.
#[derive(Clone, Copy, Debug, Default)]
pub struct AsyncLockstepRaft;

impl Target for LockstepRaft {
    type Server = LockstepServer;

    fn description(&self) -> Description {
        description("lockstep-raft")
    }

    fn lacks(&self, _: &Needs) -> Vec<&'static str> {
        Vec::new()
    }

    fn start(&self, config: &Config, id: ServerId) -> Result<LockstepServer, TargetError> {
        LockstepServer::new(config, id, false)
    }
}

impl Target for AsyncLockstepRaft {
    type Server = LockstepServer;

    fn description(&self) -> Description {
        description("lockstep-raft-async")
    }

    fn start(&self, config: &Config, id: ServerId) -> Result<LockstepServer, TargetError> {
        LockstepServer::new(config, id, true)
    }
}

fn description(name: &str) -> Description {
    Description::new(name, env!("CARGO_PKG_VERSION"), Field::ALL)
}

/// One server: the core with its storage and application, and what it needs to be built again.
#[derive(Clone, Debug)]
pub struct LockstepServer {
    config: lockstep_raft::Config,
    group: Config,
    core: Core<MemoryStorage>,
    application: Application,
}

/// The configuration of a server of the production Raft for comparison, and its initial storage.
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
    raft.max_uncommitted_entries_bytes = config
        .max_uncommitted
        .saturating_mul(vocabulary::PAYLOAD_BYTES as u64);
    raft.max_inflight_bytes = 0;
    raft.proposal_forwarding = config.forward_proposals;
    raft.read_only = match config.reads {
        Reads::LeaseBased => ReadOnly::LeaseBased,
        Reads::Off | Reads::Safe => ReadOnly::Safe,
    };
    raft.step_down_on_removal = config.step_down_on_removal;
    raft.conf_change_validation = !config.disable_conf_change_validation;
    let voters = match config.may_change() {
        false => config.server_ids().map(node).collect(),
        true => config.voters.iter().map(node).collect(),
    };
    let storage = MemoryStorage::with_conf_state(ConfState {
        voters,
        learners: config.learners.iter().map(node).collect(),
        ..ConfState::default()
    });
    Ok(Setup { raft, storage })
}

impl TargetServer for LockstepServer {
    fn apply(&mut self, input: &Input) -> Result<Reaction, TargetError> {
        let before = Tenure::from(&self.view()?);
        let none = TimerReset::default();
        let mut done = Settled::default();
        let result = match input {
            Input::Timeout => self.core.on_timer(TimerEvent::ElectionTimeout),
            Input::LeaseExpire => self.core.on_timer(TimerEvent::LeaseExpired),
            Input::CheckQuorum => self.core.on_timer(TimerEvent::CheckQuorum),
            Input::Heartbeat => self.core.on_timer(TimerEvent::HeartbeatDue),
            Input::Propose(value) => self.core.propose(vocabulary::value(*value)).map(|()| none),
            Input::ProposeConfChange(change) => self.propose_conf_change(change),
            Input::Deliver(message) => self.core.step(to_raft(message)),
            Input::Restart => {
                self.restart(0)?;
                Ok(none)
            }
            Input::RestartKeeping { writes } => {
                self.restart(*writes)?;
                Ok(none)
            }
            Input::Persist => {
                done = self.application.persist_oldest(&mut self.core)?;
                Ok(none)
            }
            Input::Apply => {
                done = self.application.apply_oldest(&mut self.core)?;
                Ok(none)
            }
            Input::ReadIndex { context } => self
                .core
                .read_index(vocabulary::context(*context))
                .map(|()| none),
            Input::TransferLeadership { to } => self.core.transfer_leadership(node(*to)),
            Input::ForgetLeader => self.core.forget_leader().map(|()| none),
            Input::Compact => {
                // Nobody makes a snapshot while another one is being installed.
                if self.core.log().unstable().snapshot().is_none() {
                    application::compact(&mut self.core, self.application.applied())?;
                }
                Ok(none)
            }
            Input::ReportUnreachable { peer } => {
                self.core.report_unreachable(node(*peer)).map(|()| none)
            }
            Input::ReportSnapshot { peer, ok } => {
                let status = match ok {
                    true => SnapshotStatus::Finished,
                    false => SnapshotStatus::Failed,
                };
                let reported = self.core.report_snapshot(node(*peer), status);
                reported.map(|()| none)
            }
        };
        let ordered = *result.as_ref().unwrap_or(&none);
        let outcome = outcome(result.map(drop), input, &self.core)?;
        let waiting = self
            .application
            .outstanding()
            .map_or(0, Outstanding::writes);
        let Settled {
            mut sent,
            mut handed,
            mut timer,
            read_states,
        } = self.application.settle(&mut self.core)?;
        sent.splice(0..0, done.sent);
        handed.splice(0..0, done.handed);
        timer = timer.and(done.timer);
        let after = Tenure::from(&self.view()?);
        // A vote is given when it is handed over, not when it leaves.
        let given_now = match self.application.outstanding() {
            None => sent.clone(),
            Some(outstanding) => outstanding.responses_behind(waiting, self.core.id())?,
        };
        // Orders to the timer. There is none here, but they are checked all the same: on every edge,
        // where a walk sees only some. A restart has none left, since a new timer counts from zero.
        let orders = match input {
            Input::Restart | Input::RestartKeeping { .. } => Reset::default(),
            _ => Reset::of(before, input, after, &given_now),
        };
        let TimerReset {
            election,
            heartbeat,
            redraw,
        } = ordered.and(timer);
        let given = Reset {
            election,
            heartbeat,
            draw: redraw,
        };
        application::agree("what it orders its timer", given, orders)?;
        Ok(Reaction::Driven(Output {
            outcome,
            sent,
            handed,
            read_states,
        }))
    }

    fn view(&mut self) -> Result<NodeView, TargetError> {
        view(&self.core, &self.application, &self.group)
    }
}

impl Fork for LockstepServer {
    fn fork(&self) -> LockstepServer {
        self.clone()
    }

    fn digest(&self) -> u128 {
        // Derived `Hash` all the way down: every field of the core and of the storage is in it, and
        // what the application was told and handed. The configuration never changes, but for the
        // applied index, which the application has as well.
        digest_of(&(&self.core, &self.application))
    }
}

impl LockstepServer {
    fn new(
        config: &Config,
        id: ServerId,
        async_storage_writes: bool,
    ) -> Result<LockstepServer, TargetError> {
        let Setup { mut raft, storage } = raft_config(config, id)?;
        let stores_later = config.storage == Storage::Async;
        raft.async_storage_writes = async_storage_writes || stores_later;
        let application = application(config, &storage, raft.applied);
        let core =
            Core::new(&raft, storage).map_err(|error| TargetError::Setup(error.to_string()))?;
        Ok(LockstepServer {
            config: raft,
            group: config.clone(),
            core,
            application,
        })
    }

    /// As if somebody had passed it on: then a change that cannot be taken now becomes an empty entry, as in etcd's
    /// raft, where the call here says why.
    fn propose_conf_change(&mut self, change: &ConfChange) -> Result<TimerReset, Error> {
        let own = self.core.id();
        let others = self.group.server_ids().map(node);
        let from = others.into_iter().find(|id| *id != own).unwrap_or(own);
        let payload = Payload::ConfChange(change.clone());
        self.core.step(lockstep_raft::Message {
            from,
            to: own,
            term: lockstep_raft::Term::ZERO,
            body: lockstep_raft::Body::Propose {
                entries: vec![vocabulary::proposal(&payload)],
            },
        })
    }

    /// The process dies, and another is started on the same storage.
    fn restart(&mut self, kept: u64) -> Result<(), TargetError> {
        let in_memory = self.group.application_in_memory;
        let crashed = self
            .application
            .after_crash(self.core.storage(), kept, in_memory)?;
        let (storage, applied) = crashed;
        self.config.applied = applied;
        self.application = application(&self.group, &storage, applied);
        self.core = Core::new(&self.config, storage).map_err(failed)?;
        Ok(())
    }
}

/// The application of a server that starts on that storage, with storage threads as the group has them.
fn application(group: &Config, storage: &MemoryStorage, applied: Index) -> Application {
    let application = Application::new(storage, applied);
    match group.storage {
        Storage::Atomic => application,
        Storage::Async => application.with_storage_threads(),
    }
}

/// Translates the result that the core returned for that input into the vocabulary. The details of an error are
/// compared with its cause.
pub(crate) fn outcome(
    result: Result<(), Error>,
    input: &Input,
    core: &Core<MemoryStorage>,
) -> Result<Outcome, TargetError> {
    let error = match result {
        Ok(()) => return Ok(Outcome::Accepted),
        Err(error) => error,
    };
    let refusal = match (&error, input) {
        // The caller asked for what makes no sense at this server now. The vocabulary, as etcd's raft, has no
        // word for that: nothing changes, which the comparison sees.
        (
            Error::Refused(_),
            Input::TransferLeadership { .. }
            | Input::ForgetLeader
            | Input::ReportUnreachable { .. }
            | Input::ReportSnapshot { .. },
        ) => return Ok(Outcome::Accepted),
        // Nobody hears what becomes of a read that another server passed on.
        (Error::Refused(lockstep_raft::Refusal::NoLeader), Input::Deliver(message))
            if matches!(message.body, Body::ReadIndex { .. }) =>
        {
            return Ok(Outcome::Accepted);
        }
        (Error::Refused(lockstep_raft::Refusal::NoLeader), Input::ReadIndex { .. }) => {
            Refusal::NoLeader
        }
        (
            Error::ProposalDropped(reason),
            Input::Propose(_) | Input::ProposeConfChange(_) | Input::Deliver(_),
        ) => {
            let must_be = match (core.leader(), core.lead_transferee()) {
                (None, _) => DropReason::NoLeader,
                (Some(leader), _) if leader != core.id() => {
                    DropReason::ForwardingDisabled { leader }
                }
                _ if !core.tracker().progress.contains(core.id()) => DropReason::NotMember,
                (_, Some(to)) => DropReason::TransferInProgress { to },
                _ => DropReason::UncommittedLimit,
            };
            application::agree("the reason of a dropped proposal", *reason, must_be)?;
            Refusal::ProposalDropped
        }
        (
            Error::Peer(
                PeerError::UnknownPeer { from, kind } | PeerError::LocalMessage { from, kind },
            ),
            Input::Deliver(message),
        ) => {
            let message = to_raft(message);
            let refused = (message.from, message.kind());
            application::agree("the refused message", (*from, *kind), refused)?;
            match error {
                Error::Peer(PeerError::LocalMessage { .. }) => Refusal::LocalMessage,
                _ => Refusal::UnknownPeer,
            }
        }
        _ => return Err(failed(error)),
    };
    Ok(Outcome::Refused(refusal))
}
