//! Snapshots and logs that are compacted (paper, section 7).

use super::super::Code;
use super::super::components::CodeState;
use super::super::configuration;
use super::super::log::LogView;
use super::super::node::Node;
use super::moves::{delivered, log, moved, sent};
use super::{Property, state, step};
use lockstep_model::Action;
use lockstep_traces::{Body, Configuration, Message, Payload, Snapshot};

pub(super) const ALL: &[Property] = &[
    state(
        "snapshot_is_committed_inv",
        "a snapshot stands for committed entries: it has \"the index and term of the last entry in the log that the \
         snapshot replaces\", and \"the latest configuration in the log as of last included index\" (paper, section 7)",
        |code, state| {
            state.servers.iter().all(|i| {
                let snapshots = [log(i).snapshot(), LogView::durable(&i.view).snapshot()];
                let mut snapshots = snapshots.into_iter().flatten();
                snapshots.all(|snapshot| is_committed(code, state, snapshot))
            })
        },
        |_, state| state.servers.iter().any(|i| log(i).snapshot().is_some()),
    ),
    step(
        "snapshot_sent_step",
        "a leader sends a snapshot of what it has applied, with the index and the term of the last entry that it \
         stands for (paper, section 7)",
        |_, before, action, after| {
            moved(before, action, after).is_none_or(|(_, next)| {
                snapshots_sent(before, action, after).all(|snapshot| {
                    snapshot.index <= next.view.applied
                        && log(next).has(snapshot.index.0, snapshot.term)
                })
            })
        },
        |_, before, action, after| snapshots_sent(before, action, after).next().is_some(),
    ),
    step(
        "snapshot_keeps_log_step",
        "a snapshot that \"describes a prefix of its log\" takes nothing from a follower: \"entries following the \
         snapshot are still valid and must be retained\" (paper, section 7)",
        |_, before, action, after| {
            gets_prefix(before, action, after)
                .is_none_or(|(i, next)| log(i).is_kept_by(log(next), log(i).last_index()))
        },
        |_, before, action, after| gets_prefix(before, action, after).is_some(),
    ),
    step(
        "compaction_step",
        "to compact the log takes nothing but the entries that the application has applied, for which the snapshot \
         stands (paper, section 7)",
        |_, before, action, after| {
            compacts(before, action, after).is_none_or(|(i, next)| {
                (i.view.term, i.view.vote, i.view.role)
                    == (next.view.term, next.view.vote, next.view.role)
                    && (i.view.commit, i.view.applied) == (next.view.commit, next.view.applied)
                    && log(next).base() <= i.view.applied.0.max(log(i).base())
                    && log(i).is_kept_by(log(next), log(i).last_index())
                    && log(i).last_index() == log(next).last_index()
            })
        },
        |_, before, action, after| {
            compacts(before, action, after).is_some_and(|(i, next)| log(i) != log(next))
        },
    ),
];

/// Whether a snapshot is of what was committed, with the configuration that was in use then.
fn is_committed(code: &Code<'_>, state: &CodeState, snapshot: &Snapshot) -> bool {
    let entry = state.history.committed_at(snapshot.index.0);
    let configured = || {
        !code.config().may_change()
            || snapshot.configuration == committed_configuration(code, state, snapshot.index.0)
    };
    entry.is_some_and(|entry| entry.term == snapshot.term) && configured()
}

/// The configuration after all committed changes up to an index.
fn committed_configuration(code: &Code<'_>, state: &CodeState, index: u64) -> Configuration {
    let committed = (1..=index).map_while(|index| state.history.committed_at(index));
    committed.fold(configuration::first(code), |before, entry| {
        match &entry.payload {
            Payload::ConfChange(change) => configuration::changed(&before, change),
            Payload::Empty | Payload::Value(_) => before,
        }
    })
}

fn snapshot_of(m: &Message) -> Option<&Snapshot> {
    match &m.body {
        Body::InstallSnapshot { snapshot } => Some(snapshot),
        _ => None,
    }
}

fn snapshots_sent<'a>(
    before: &'a CodeState,
    action: &Action,
    after: &'a CodeState,
) -> impl Iterator<Item = &'a Snapshot> {
    sent(before, action, after).filter_map(snapshot_of)
}

/// A server that gets a snapshot of which its log has the last entry, and what it becomes.
fn gets_prefix<'a>(
    before: &'a CodeState,
    action: &Action,
    after: &'a CodeState,
) -> Option<(&'a Node, &'a Node)> {
    let snapshot = delivered(before, action).and_then(snapshot_of)?;
    moved(before, action, after)
        .filter(|(i, _)| log(i).term_at(snapshot.index.0) == Some(snapshot.term))
}

fn compacts<'a>(
    before: &'a CodeState,
    action: &Action,
    after: &'a CodeState,
) -> Option<(&'a Node, &'a Node)> {
    moved(before, action, after).filter(|_| matches!(action, Action::Compact(_)))
}
