//! Snapshots and compaction (paper, section 7; thesis, sections 5.1 to 5.3; etcd's raft, Progress).

use super::{ServerStep, TransitionProperty, always, rule};
use crate::cluster::Action;
use crate::configuration::Configuration;
use crate::ids::Id;
use crate::message::{Body, Message, Position};
use crate::server::{Flow, Progress, Server};
use lockstep_traces::Role;

pub(super) const ALL: &[TransitionProperty] = &[
    rule!(
        "compact_step",
        "\"each server takes snapshots independently, covering just the committed entries in its log\" (paper, \
         section 7): a snapshot stands for what was applied, has the configuration in use, and nothing else changes",
        |it: &ServerStep<'_>| {
            let something = it.i.applied() > it.i.log.snapshot().index;
            matches!(it.action, Action::Compact(_)) && something && !it.i.has_unstable_snapshot()
        } => compacts
    ),
    rule!(
        "log_begins_later_step",
        "what a snapshot stands for is dropped for good: a log begins later only when it is compacted or \
         replaced by a snapshot of the leader (paper, section 7), and never earlier, unless a crash takes back what is not \
         durable",
        always => |it: &ServerStep<'_>| {
            let (old, new) = (it.i.log.snapshot(), it.next.log.snapshot());
            let compacted = matches!(it.action, Action::Compact(_));
            let lost = it.crashes() && new == it.next.durable_log().snapshot();
            old == new || lost || new.index > old.index && (compacted || installed(it).is_some())
        }
    ),
    rule!(
        "snapshot_sent_step",
        "\"the leader must occasionally send snapshots to followers that lag behind [..] when the leader has \
         already discarded the next log entry that it needs to send\" (paper, section 7): its own, to a \
         peer that was heard from, once, and nothing more until it is known what became of it (etcd's \
         raft, Progress)",
        |it: &ServerStep<'_>| {
            it.sends_some(|m| matches!(m.body, Body::InstallSnapshot { .. }))
        } => sends_what_is_needed
    ),
    rule!(
        "snapshot_installed_step",
        "\"if existing log entry has same index and term as snapshot's last included entry, retain log entries \
         following it\", otherwise \"discard the entire log\" (paper, figure 13) and take the configuration of the \
         snapshot; one that is committed already, or of a configuration without the server, changes nothing",
        |it: &ServerStep<'_>| installed(it).is_some() => installs
    ),
    rule!(
        "snapshot_answered_step",
        "a snapshot is acknowledged like an append, with the index up to which the logs are known to agree \
         (etcd's raft, handleSnapshot)",
        |it: &ServerStep<'_>| installed(it).is_some() => |it: &ServerStep<'_>| {
            let index = it.next.commit;
            installed(it).is_none_or(|(m, ..)| {
                it.sends([(m.from, m.term, Body::AppendEntriesAccepted { index })])
            })
        }
    ),
    rule!(
        "snapshot_reported_step",
        "a peer whose snapshot is reported to have arrived is probed behind it, and one whose snapshot was \
         lost behind what it is known to have; either is held back until it is heard from (etcd's raft, \
         MsgSnapStatus)",
        |it: &ServerStep<'_>| matches!(it.action, Action::ReportSnapshot(..)) => is_reported
    ),
    rule!(
        "unreachable_step",
        "what was sent ahead to a peer that could not be reached is sent again from what it is known to have \
         (etcd's raft, MsgUnreachable)",
        |it: &ServerStep<'_>| matches!(it.action, Action::ReportUnreachable(..)) => |it: &ServerStep<'_>| {
            let Action::ReportUnreachable(_, j) = it.action else {
                return true;
            };
            let probed = |old: &Progress| Progress {
                flow: Flow::Probe,
                next: old.matched + 1,
                commit_sent: old.commit_sent.min(old.matched),
                paused: false,
                inflight: Default::default(),
                ..old.clone()
            };
            is_only_change(it, j, |old| match old.flow {
                Flow::Replicate => probed(old),
                Flow::Probe | Flow::Snapshot => old.clone(),
            })
        }
    ),
    rule!(
        "snapshot_awaited_step",
        "a leader waits for what becomes of a snapshot until the peer has acknowledged so much that the log \
         goes on from there, whether by this snapshot or otherwise, or a report says what became of it \
         (etcd's raft, Progress)",
        |it: &ServerStep<'_>| it.still_leads() && it.who_stay().any(|j| waits(it.i, j)) => |it: &ServerStep<'_>| {
            let mut awaited = it.who_stay().filter(|j| waits(it.i, *j));
            awaited.all(|j| waits(it.next, j) != is_settled(it, j))
        }
    ),
];

fn compacts(it: &ServerStep<'_>) -> bool {
    let (i, next) = (it.i, it.next);
    let last = Position {
        index: i.applied(),
        term: i.log.term_at(i.applied()).unwrap_or_default(),
    };
    let mut kept = i.applied() + 1..=i.log.last_index();
    let same_log = Server {
        log: i.log.clone(),
        storage: i.storage.clone(),
        ..next.clone()
    };
    next.log.snapshot() == last
        && next.log.snapshot_configuration() == i.configuration
        && next.log.last() == i.log.last()
        && kept.all(|index| next.log.entry(index) == i.log.entry(index))
        && same_log == *i
        && it.sends([])
}

/// The snapshot that a leader sends to a server that follows it.
fn installed<'a>(it: &ServerStep<'a>) -> Option<(&'a Message, Position, Configuration)> {
    let m = it.of_leader()?;
    match m.body {
        Body::InstallSnapshot {
            last,
            configuration,
        } => Some((m, last, configuration)),
        _ => None,
    }
}

fn installs(it: &ServerStep<'_>) -> bool {
    installed(it).is_none_or(|(_, last, configuration)| {
        let (old, new) = (&it.i.log, &it.next.log);
        let commit = it.next.commit;
        let same_configuration = it.next.configuration == it.i.configuration;
        if last.index <= it.i.commit || !configuration.members().contains(it.i.id) {
            return old == new && commit == it.i.commit && same_configuration;
        }
        // What it applies one by one may change the configuration.
        let kept = same_configuration || it.reconfigures();
        let restored = [it.next.configuration, new.snapshot_configuration()];
        match old.matches(last) {
            true => old == new && commit == last.index && kept,
            false => {
                (new.snapshot(), new.last_index(), commit) == (last, last.index, last.index)
                    && (restored == [configuration; 2] || !it.settings.may_change)
            }
        }
    })
}

/// The snapshots that were sent.
fn snapshots<'a>(
    it: &ServerStep<'a>,
) -> impl Iterator<Item = (&'a Message, Position, Configuration)> {
    it.sent().into_iter().filter_map(|m| match m.body {
        Body::InstallSnapshot {
            last,
            configuration,
        } => Some((m, last, configuration)),
        _ => None,
    })
}

fn sends_what_is_needed(it: &ServerStep<'_>) -> bool {
    let own = it.next.log.snapshot();
    let answers = it.for_leader().map(|m| m.from);
    it.next.role == Role::Leader
        && snapshots(it).all(|(m, last, configuration)| {
            let to_it = it.sent().into_iter().filter(|sent| sent.to == m.to);
            let waited = it.i.peer(m.to).is_some_and(Progress::is_paused);
            let next = it.next.peer(m.to);
            let gone = |old: &Progress| {
                // The acknowledgement may have told more of the peer than was known before.
                let known = next.map_or(0, |next| next.matched).max(old.matched);
                known < own.index
            };
            // To who goes and comes back in one step it sends as to two servers.
            if it.i.peer(m.to).is_some() && !it.who_stay().any(|j| j == m.to) {
                return true;
            }
            last == own
                && configuration == it.next.log.snapshot_configuration()
                && to_it.count() == 1
                && (!waited || answers == Some(m.to))
                && !waits(it.i, m.to)
                && it.i.peer(m.to).is_none_or(gone)
                && next.is_some_and(|next| {
                    // A snapshot brings its commit index along.
                    let sent = (own.index, own.index, own.index + 1);
                    (next.pending, next.commit_sent, next.next) == sent
                        && next.flow == Flow::Snapshot
                        && next.recent_active
                })
        })
}

/// Whether the leader waits for what becomes of the snapshot for a peer.
fn waits(i: &Server, j: Id) -> bool {
    i.peer(j).is_some_and(|peer| peer.flow == Flow::Snapshot)
}

/// Whether the leader learns what became of the snapshot for a peer.
fn is_settled(it: &ServerStep<'_>, j: Id) -> bool {
    match it.for_leader().map(|m| (m.from, &m.body)) {
        Some((from, Body::AppendEntriesAccepted { index })) if from == j => {
            let matched = it.i.peer(j).map_or(0, |peer| peer.matched);
            let new = *index > matched && *index <= it.i.log.last_index();
            new && *index >= it.i.log.snapshot().index
        }
        _ => matches!(it.action, Action::ReportSnapshot(_, of, _) if of == j),
    }
}

/// Whether what the leader knows of one peer became what `change` makes of it, and nothing else has changed.
fn is_only_change(it: &ServerStep<'_>, j: Id, change: impl Fn(&Progress) -> Progress) -> bool {
    let same_peers = Server {
        peers: it.i.peers.clone(),
        ..it.next.clone()
    };
    let is_same = it
        .others()
        .all(|other| match (it.i.peer(other), it.next.peer(other)) {
            (Some(old), Some(new)) if other == j => *new == change(old),
            (old, new) => old == new,
        });
    is_same && same_peers == *it.i && it.sends([])
}

fn is_reported(it: &ServerStep<'_>) -> bool {
    let Action::ReportSnapshot(_, j, ok) = it.action else {
        return true;
    };
    is_only_change(it, j, |old| {
        if old.flow != Flow::Snapshot {
            return old.clone();
        }
        let arrived = if ok { old.pending } else { 0 };
        let next = old.matched.max(arrived) + 1;
        Progress {
            flow: Flow::Probe,
            next,
            commit_sent: old.commit_sent.min(next - 1),
            paused: true,
            pending: 0,
            ..old.clone()
        }
    })
}
