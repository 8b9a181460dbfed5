//! The rules between log and store, which hold whenever the server is not running.

use std::collections::HashSet;

use lockstep_raft::{
    ConfChangeKind, ConfChangeV2, ConfState, Config, Entry, EntryId, HardState, Index,
    MemoryStorage, NodeId, RawNode, Snapshot as RaftSnapshot, SnapshotMetadata, Term, wire,
};
use prost::Message as _;

use super::command::ConfChangeContext;
use crate::log::LogState;
use crate::store::{Snapshot, StoreError};

/// The last entry of the log, or that before the first one if there is none.
pub(super) fn last(log: &LogState) -> EntryId {
    log.entries.last().map_or(log.start, Entry::id)
}

/// The index up to which the log says that entries are committed.
pub(super) fn committed(log: &LogState) -> Index {
    log.hard_state.commit.max(log.start.index)
}

/// The term of an entry, if it is held.
fn term(log: &LogState, index: Index) -> Option<Term> {
    if index == log.start.index {
        return Some(log.start.term);
    }
    let entry = log.entries.iter().find(|entry| entry.index == index);
    entry.map(|entry| entry.term)
}

/// Everything in which log and store contradict each other, or the log itself.
pub(super) fn disagreements(log: &LogState, store: &Snapshot) -> Result<Vec<String>, StoreError> {
    let mut found = Vec::new();
    let (applied, last, committed) = (store.applied()?, last(log), committed(log));
    match (log.identity, store.identity()?) {
        (Some(one), Some(other)) if one != other => {
            found.push(format!("the log belongs to {one}, the store to {other}"));
        }
        (None, Some(owner)) => {
            found.push(format!("the store belongs to {owner}, and there is no log"))
        }
        (_, None) if !applied.index.is_zero() => {
            found.push("the store has applied entries and does not say whose it is".to_owned());
        }
        _ => {}
    }
    if applied.index > last.index {
        found.push(format!(
            "the store has applied entry {}, and the log ends with entry {}",
            applied.index, last.index
        ));
    } else if applied.index > committed {
        found.push(format!(
            "the store has applied entry {}, and the log has committed up to entry {committed}",
            applied.index
        ));
    }
    if let Some(term) = term(log, applied.index).filter(|term| *term != applied.term) {
        found.push(format!(
            "the store has applied entry {} of term {}, and the log has it with term {term}",
            applied.index, applied.term
        ));
    }
    if committed > last.index {
        found.push(format!(
            "the log has committed up to entry {committed}, and ends with entry {}",
            last.index
        ));
    }
    if log.hard_state.term < last.term {
        found.push(format!(
            "the log is in term {}, and its last entry has term {}",
            log.hard_state.term, last.term
        ));
    }
    Ok(found)
}

fn sorted(mut conf_state: ConfState) -> ConfState {
    conf_state.voters.sort_unstable();
    conf_state.learners.sort_unstable();
    conf_state.voters_outgoing.sort_unstable();
    conf_state.learners_next.sort_unstable();
    conf_state
}

/// The configuration in the store must be the one that the log begins with, after the changes in the log up
/// to the applied index. The result is the number of these changes, and the contradiction if there is one.
///
/// A change that does not fit the members is void. Most of that shows in the log; where it depends on members
/// of earlier times, both outcomes are possible.
pub(super) fn configuration(
    log: &LogState,
    store: &Snapshot,
) -> Result<(usize, Option<String>), StoreError> {
    let (applied, found) = (store.applied()?, sorted(store.conf_state()?));
    if applied.index < log.start.index || applied.index > last(log).index {
        return Ok((0, None));
    }
    let removed: HashSet<u64> = store.removed()?.into_iter().collect();
    let members = store.members()?;
    let urls = members
        .into_iter()
        .map(|member| (member.id, member.peer_urls));
    let mut urls: Vec<(u64, Vec<String>)> = urls.collect();
    let mut possible = vec![sorted(log.conf_state.clone())];
    let mut changes = 0;
    let applied_entries = log.entries.iter().filter(|it| it.index <= applied.index);
    for entry in applied_entries {
        let change = wire::conf_change_of(entry).map_err(StoreError::corrupt)?;
        let Some(change) = change else { continue };
        changes += 1;
        let context = change.context.clone();
        let context = ConfChangeContext::decode(context).map_err(StoreError::corrupt)?;
        let new_urls = context.member.unwrap_or_default().peer_urls;
        let mut next = Vec::new();
        for before in possible {
            let (mut may_apply, mut may_not) = (true, false);
            for single in &change.changes {
                let Some(id) = single.node else { continue };
                let is_learner = before.learners.contains(&id);
                let is_member = is_learner || before.voters.contains(&id);
                match single.kind {
                    ConfChangeKind::AddNode if context.is_promote => may_apply &= is_learner,
                    ConfChangeKind::AddNode | ConfChangeKind::AddLearner => {
                        may_apply &= !is_member;
                        may_not |= removed.contains(&id.get())
                            || urls.iter().any(|(other, urls)| {
                                *other != id.get() && urls.iter().any(|it| new_urls.contains(it))
                            });
                    }
                    ConfChangeKind::RemoveNode | ConfChangeKind::UpdateNode => {
                        may_apply &= is_member;
                    }
                }
            }
            if may_apply {
                next.push(after(&before, log.start, &change)?);
            }
            if may_not || !may_apply {
                next.push(before);
            }
        }
        next.dedup();
        possible = next;
        let id = change.changes.first().and_then(|single| single.node);
        urls.extend(id.map(|id| (id.get(), new_urls)));
    }
    let contradiction = match possible.as_slice() {
        _ if possible.contains(&found) => None,
        [expected, ..] => Some(format!(
            "the configuration at entry {} is {} in the store and {} by the log",
            applied.index,
            show(&found),
            show(expected)
        )),
        [] => None,
    };
    Ok((changes, contradiction))
}

/// The configuration after a change, by the rules of Raft.
fn after(
    before: &ConfState,
    start: EntryId,
    change: &ConfChangeV2,
) -> Result<ConfState, StoreError> {
    let mut storage = MemoryStorage::new();
    let mut applied = Index::ZERO;
    // A new group begins with changes, and without a snapshot.
    if !before.voters.is_empty() {
        // Any point will do, and any server.
        let (index, term) = (start.index.max(Index(1)), start.term.max(Term(1)));
        let metadata = SnapshotMetadata {
            conf_state: before.clone(),
            index,
            term,
        };
        let data = bytes::Bytes::new();
        storage
            .apply_snapshot(RaftSnapshot { data, metadata })
            .map_err(StoreError::corrupt)?;
        storage.set_hard_state(HardState {
            term,
            vote: None,
            commit: index,
        });
        applied = index;
    }
    let id = NodeId::new(1).ok_or_else(|| StoreError::corrupt("one is zero"))?;
    let config = Config {
        applied,
        ..Config::new(id)
    };
    let mut node = RawNode::new(&config, storage).map_err(StoreError::corrupt)?;
    let after = node.apply_conf_change(change.clone());
    Ok(sorted(after.map_err(StoreError::corrupt)?))
}

/// The configuration for people: ids as etcd's tools print them.
pub(super) fn show(conf_state: &ConfState) -> String {
    let list = |ids: &[NodeId]| {
        let ids: Vec<String> = ids.iter().map(|id| format!("{:x}", id.get())).collect();
        ids.join(" ")
    };
    let mut text = format!("[voters {}", list(&conf_state.voters));
    if !conf_state.learners.is_empty() {
        text += &format!(", learners {}", list(&conf_state.learners));
    }
    if !conf_state.voters_outgoing.is_empty() {
        text += &format!(", outgoing {}", list(&conf_state.voters_outgoing));
    }
    text + "]"
}
