//! The state of a server of the production Raft in the vocabulary.

use super::application::{Application, agree, failed};
use super::vocabulary::{
    PAYLOAD_BYTES, configuration, entries, index, node, read_context, role, server, snapshot, term,
};
use crate::target::TargetError;
use lockstep_raft::tracker::{self, Progress};
use lockstep_raft::{BasicStatus, ConfState, Core, MemoryStorage, PendingReads, Status, Storage};
use lockstep_traces::{
    Config, Configuration, DurableImage, Index, NodeView, PeerView, ProgressState, ReadRequest,
    Reads, Role, Snapshot, UnconfirmedRead,
};
use std::collections::BTreeMap;

/// Everything that can be seen of a core of that group.
pub(crate) fn view(
    core: &Core<MemoryStorage>,
    application: &Application,
    group: &Config,
) -> Result<NodeView, TargetError> {
    let last = core
        .log()
        .last_index()
        .map_err(|error| failed(error.into()))?;
    let first = core.log().first_index();
    let first = first.map_err(|error| failed(error.into()))?;
    let log = core.log().slice(first, last.next(), u64::MAX);
    let log = log.map_err(|error| failed(error.into()))?;
    let log = log.ok_or_else(|| TargetError::Failed("its log was compacted".to_owned()))?;
    check_status(core, last, application.outstanding().is_some(), group)?;
    let role = role(core.role());
    let mut peers = BTreeMap::new();
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
        log: entries(&log, first)?,
        commit: index(core.commit()),
        applied: index(core.applied()),
        // A leader is within its own lease, which is none in the vocabulary.
        lease: core.lease_live() && role != Role::Leader,
        votes: votes.map(|(id, granted)| (server(id), granted)).collect(),
        peers,
        durable: durable(core.storage())?,
        // One that waits to be stored is what the log begins with.
        snapshot: match core.log().unstable().snapshot() {
            Some(waiting) => Some(snapshot(waiting)?),
            None => stored_snapshot(core.storage())?,
        },
        transferee: core.lead_transferee().map(server),
        configuration: match group.may_change() {
            false => Configuration::default(),
            true => configuration(&core.tracker().config.conf_state()),
        },
        pending_conf_index: match core.pending_conf_index() {
            pending if group.may_change() && role == Role::Leader && pending > core.applied() => {
                index(pending)
            }
            _ => Index(0),
        },
        // It is counted whether there is a limit or not.
        uncommitted: match group.max_uncommitted {
            0 => 0,
            _ => core.uncommitted_bytes().div_ceil(PAYLOAD_BYTES as u64),
        },
        ..outstanding(core, application, waiting(core, group)?)?
    })
}

/// The part of the view that only clients that read bring about.
fn waiting(core: &Core<MemoryStorage>, group: &Config) -> Result<NodeView, TargetError> {
    let PendingReads {
        postponed,
        rounds,
        confirmed,
        forwarded,
        timeout_now_sent,
    } = core.pending_reads();
    let postponed = postponed.iter().map(|(from, context)| {
        Ok(ReadRequest {
            origin: server(*from),
            context: read_context(context)?,
        })
    });
    let unconfirmed = rounds.iter().map(|round| {
        Ok(UnconfirmedRead {
            origin: server(round.from),
            context: read_context(&round.context)?,
            index: index(round.index),
            acks: round.acks.iter().copied().map(server).collect(),
        })
    });
    Ok(NodeView {
        postponed_reads: postponed.collect::<Result<_, TargetError>>()?,
        unconfirmed_reads: unconfirmed.collect::<Result<_, TargetError>>()?,
        forwarded_reads: forwarded
            .iter()
            .map(read_context)
            .collect::<Result<_, _>>()?,
        confirmed_reads: confirmed,
        // Where no lease answers it does not matter.
        handed_over: timeout_now_sent && group.reads == Reads::LeaseBased,
        ..NodeView::default()
    })
}

/// The part of the view that only asynchronous storage has.
fn outstanding(
    core: &Core<MemoryStorage>,
    application: &Application,
    rest: NodeView,
) -> Result<NodeView, TargetError> {
    let Some(outstanding) = application.outstanding() else {
        return Ok(rest);
    };
    let unstable = core.log().unstable();
    let own = core.tracker().progress.get(core.id());
    let leads = core.role() == lockstep_raft::Role::Leader;
    Ok(NodeView {
        stable: index(unstable.offset().prev()),
        unstable_snapshot: unstable.snapshot().map(|it| index(it.metadata.index)),
        own_match: leads.then(|| own.map_or(Index(0), |it| index(it.matched()))),
        appends: outstanding.appends(core.id())?,
        applies: outstanding.applies(),
        ..rest
    })
}

/// The snapshot that stands for the entries before the log, if there are any.
fn stored_snapshot(storage: &MemoryStorage) -> Result<Option<Snapshot>, TargetError> {
    let first = storage.first_index();
    let first = first.map_err(|error| failed(error.into()))?;
    if first.0 == 1 {
        return Ok(None);
    }
    let stored = storage.snapshot().map_err(|error| failed(error.into()))?;
    agree(
        "the end of the snapshot",
        stored.metadata.index,
        first.prev(),
    )?;
    snapshot(&stored).map(Some)
}

/// The status for people and metrics says what the state says.
fn check_status(
    core: &Core<MemoryStorage>,
    last: lockstep_raft::Index,
    stores_later: bool,
    group: &Config,
) -> Result<(), TargetError> {
    let Status {
        basic,
        config,
        progress,
        short_logs,
        refused,
    } = core.status();
    // Only who drives a core knows these.
    agree("Status::short_logs", short_logs.len(), 0)?;
    agree("Status::refused", refused.count, 0)?;
    agree("Core::basic_status", basic, core.basic_status())?;
    let BasicStatus {
        id,
        hard_state,
        soft_state,
        applied,
        lead_transferee,
    } = basic;
    agree("BasicStatus::id", id, core.id())?;
    agree("HardState::term", hard_state.term, core.term())?;
    agree("HardState::vote", hard_state.vote, core.vote())?;
    agree("HardState::commit", hard_state.commit, core.commit())?;
    agree("SoftState::role", soft_state.role, core.role())?;
    agree("SoftState::leader", soft_state.leader, core.leader())?;
    agree("BasicStatus::applied", applied, core.applied())?;
    agree(
        "BasicStatus::lead_transferee",
        lead_transferee,
        core.lead_transferee(),
    )?;
    let members = core.tracker().config.conf_state();
    agree(
        "Core::is_learner",
        core.is_learner(),
        members.learners.contains(&core.id()),
    )?;
    let leads = core.role() == lockstep_raft::Role::Leader;
    if leads {
        agree(
            "the lease of a leader",
            core.lease_live(),
            group.check_quorum,
        )?;
    }
    let tracker::Configuration {
        voters: _,
        auto_leave: _,
        learners: _,
        learners_next: _,
    } = &config;
    agree("Status::config", &config.conf_state(), &members)?;
    if !group.may_change() {
        let voters = group.server_ids().map(node).collect();
        let all = ConfState {
            voters,
            ..ConfState::default()
        };
        agree("Status::config", &members, &all)?;
    }
    let ConfState {
        voters,
        learners,
        voters_outgoing,
        learners_next: _, // They are among the outgoing voters.
        auto_leave: _,
    } = &members;
    let mut expected = [voters.as_slice(), learners, voters_outgoing].concat();
    expected.sort_unstable();
    expected.dedup();
    let known: Vec<_> = progress.ids().collect();
    agree(
        "Status::progress",
        known,
        if leads { expected } else { Vec::new() },
    )?;
    for (id, progress) in &progress {
        let tracked = core.tracker().progress.get(id);
        agree("Status::progress", Some(progress), tracked)?;
        let learner = learners.contains(&id);
        agree("Progress::is_learner", progress.is_learner, learner)?;
        let in_flight = progress.inflights.last_indexes().count();
        agree("Inflights::len", progress.inflights.len(), in_flight)?;
        agree(
            "Inflights::is_empty",
            progress.inflights.is_empty(),
            in_flight == 0,
        )?;
        // A leader that was removed and added again does not count its own log until it appends.
        if id == core.id() && !stores_later && !group.disable_conf_change_validation {
            let PeerView {
                matched,
                next,
                state,
                paused,
                recent_active,
                commit_sent: _, // Nothing is sent to itself.
                inflight,
                pending_snapshot,
            } = peer_view(progress);
            agree("its own pending snapshot", pending_snapshot, None)?;
            agree("its own match", matched, index(last))?;
            agree("its own next", next, index(last.next()))?;
            agree("its own state", state, ProgressState::Replicate)?;
            agree("its own paused", paused, false)?;
            agree("its own recent_active", recent_active, true)?;
            agree("its own window", inflight, Vec::new())?;
        }
    }
    Ok(())
}

fn durable(storage: &MemoryStorage) -> Result<DurableImage, TargetError> {
    let lockstep_raft::HardState {
        term: of,
        vote,
        commit,
    } = storage.hard_state();
    let first = storage.first_index();
    let first = first.map_err(|error| failed(error.into()))?;
    let last = storage.last_index();
    let last = last.map_err(|error| failed(error.into()))?;
    let log = if last < first {
        Vec::new()
    } else {
        let stored = storage.entries(first, last.next(), u64::MAX);
        stored.map_err(|error| failed(error.into()))?
    };
    Ok(DurableImage {
        term: term(of),
        vote: vote.map(server),
        commit: index(commit),
        log: entries(&log, first)?,
        snapshot: stored_snapshot(storage)?,
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
        pending_snapshot: (!progress.pending_snapshot().is_zero())
            .then(|| index(progress.pending_snapshot())),
    }
}
