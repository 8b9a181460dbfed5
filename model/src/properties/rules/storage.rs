//! Asynchronous storage (paper, section 5 and figure 2; thesis, sections 3.8 and 10.2.1; etcd's raft,
//! `AsyncStorageWrites`).

use super::inputs::changes;
use super::{ServerStep, TransitionProperty, may_campaign, rule};
use crate::cluster::Action;
use crate::message::{Body, Message};
use crate::server::{
    Append, HardState, Image, Outbox, Server, Stimulus, Storage, configuration_at,
};
use lockstep_traces::{Outcome, Role};

pub(super) const ALL: &[TransitionProperty] = &[
    rule!(
        "waiting_step",
        "\"updated on stable storage before responding to RPCs\" (paper, figure 2): a vote, an acknowledgement or a refusal \
         leaves when the append that it waited for is durable, and then at once (etcd's raft, send)",
        is_async => leaves_when_durable
    ),
    rule!(
        "left_is_durable_step",
        "\"a server must persist its current term and vote [..] and new log entries before they are counted\" (thesis, \
         section 3.8): what a vote or an acknowledgement says when it leaves is on stable storage",
        |it: &ServerStep<'_>| it.had_waited().next().is_some() => |it: &ServerStep<'_>| {
            it.had_waited().all(|m| is_durable(it, m))
        }
    ),
    rule!(
        "persist_step",
        "an append is one write: term, vote, commit index, entries and snapshot become durable together, and in the order \
         in which they were handed over (etcd's raft, MsgStorageAppend)",
        |it: &ServerStep<'_>| matches!(it.action, Action::Persist(_)) => persists
    ),
    rule!(
        "append_handed_over_step",
        "whatever changes of term, vote, commit index and log is handed over in the step that changes it (etcd's raft, \
         Ready), and storage acknowledges with it the last entry that is not known to be durable",
        is_async => hands_over_all
    ),
    rule!(
        "apply_step",
        "what the application is handed is applied in order and once, and nothing else is (paper, section 5.3); \
         a snapshot is applied when it is durable",
        is_async => applies
    ),
    rule!(
        "applies_durable_step",
        "only committed entries that are durable are handed to the application, all of them at once, and none before a \
         snapshot that is not durable (etcd's raft, maxAppliableIndex)",
        is_async => hands_to_application
    ),
    rule!(
        "stable_step",
        "entries are known to be durable once storage acknowledges them in the term in which they were handed over, and no \
         longer when they are overwritten (etcd's raft, newStorageAppendRespMsg)",
        is_async => is_acknowledged
    ),
    rule!(
        "own_entries_step",
        "a leader counts its own entries when they are durable, and not before (thesis, section 10.2.1)",
        |it: &ServerStep<'_>| it.settings.is_async && it.still_leads() => |it: &ServerStep<'_>| {
            let slot = it.i.id.slot();
            let own = |i: &Server| i.peers.as_ref().map_or(0, |peers| peers[slot].matched);
            let heard = it.persisted().into_iter().flat_map(|it| &it.responses).filter_map(|m| match m.body {
                Body::AppendEntriesAccepted { index } if m.to == it.i.id && m.term == it.i.term => Some(index),
                _ => None,
            });
            let heard = heard.max().unwrap_or(0);
            // A leader that was removed and comes back has forgotten that it has them.
            own(it.next) <= own(it.i).max(heard)
                && (it.reconfigures() || !is_member(it) || own(it.next) == own(it.i).max(heard))
        }
    ),
    rule!(
        "durable_monotonic_step",
        "\"each server will vote for at most one candidate in a given term\" (paper, section 5.2): on stable storage the \
         term never falls, the vote of a term never changes, and the commit index never falls, crash or no crash",
        is_async => |it: &ServerStep<'_>| {
            let (old, new) = (it.i.durable_hard_state(), it.next.durable_hard_state());
            let same_vote = new.term > old.term || old.vote.is_none() || new.vote == old.vote;
            new.term >= old.term && same_vote && new.commit >= old.commit
        }
    ),
    rule!(
        "own_vote_step",
        "a candidate leads when its own term and vote are durable (paper, figure 2: \"updated on stable storage\"), since \
         otherwise it could lead the same term again after a crash",
        |it: &ServerStep<'_>| {
            it.settings.is_async && it.i.role != Role::Leader && it.next.role == Role::Leader
        } => |it: &ServerStep<'_>| {
            let HardState { term, vote, .. } = it.next.durable_hard_state();
            (term, vote) == (it.next.term, Some(it.next.id))
        }
    ),
    rule!(
        "unapplied_change_step",
        "a voter that has committed a change of the configuration and not applied it does not campaign, nor does one that \
         waits for a snapshot to be durable (etcd's raft, hup)",
        |it: &ServerStep<'_>| {
            let votes = it.next.configuration.all_voters().contains(it.next.id);
            is_async(it) && changes(it) && votes && !may_campaign(it.next)
        } => does_not_campaign
    ),
    rule!(
        "crash_step",
        "a crash leaves what was durable, with any number of the oldest outstanding appends, each of them as a whole, and the \
         application has what it made durable (thesis, section 3.8)",
        |it: &ServerStep<'_>| it.crashes() => comes_back
    ),
];

/// Whether the timer of the server, if it fires, ends at most its lease.
fn does_not_campaign(it: &ServerStep<'_>) -> bool {
    let mut server = it.next.clone();
    let mut outbox = Outbox::new();
    let outcome = server.advance(it.settings, Stimulus::Timeout, &mut outbox);
    let expected = Server {
        lease: false,
        ..it.next.clone()
    };
    outcome == Outcome::Accepted && outbox.is_empty() && server == expected
}

fn is_async(it: &ServerStep<'_>) -> bool {
    it.settings.is_async
}

fn is_member(it: &ServerStep<'_>) -> bool {
    it.i.configuration.members().contains(it.i.id)
}

fn leaves_when_durable(it: &ServerStep<'_>) -> bool {
    let left = it.left();
    let left = left.into_iter().filter(|m| m.after_persist());
    let mut waited: Vec<&Message> = it.had_waited().collect();
    waited.sort_unstable();
    left.eq(waited)
}

/// Whether what a message says is on stable storage after the step. A pre-vote promises nothing.
fn is_durable(it: &ServerStep<'_>, m: &Message) -> bool {
    let HardState { term, vote, .. } = it.next.durable_hard_state();
    let current = |then: bool| term > m.term || term == m.term && then;
    match m.body {
        Body::RequestPreVoteResponse { granted: true } => true,
        Body::RequestVoteResponse { granted: true } => current(vote == Some(m.to)),
        Body::AppendEntriesAccepted { index } => {
            current(index <= it.next.durable_log().last_index())
        }
        _ => current(true),
    }
}

/// Whether storage holds an append afterwards.
fn written(image: &Image, append: &Append) -> bool {
    let (_, log) = (&image.hard_state, &image.log);
    let state = append.hard_state.is_none_or(|new| {
        let HardState { term, vote, commit } = image.hard_state;
        (term, vote) == (new.term, new.vote) && commit >= new.commit
    });
    let snapshot = append.snapshot.is_none_or(|(last, configuration)| {
        (log.snapshot(), log.snapshot_configuration()) == (last, configuration)
    });
    let entries = append.entries.iter().zip(append.first..);
    let last = append.first + append.entries.len() as u32;
    let all = append.first == 0 || log.last_index() + 1 == last;
    let mut entries = entries.map(|(entry, index)| log.entry(index) == Some(entry));
    state && snapshot && all && entries.all(|same| same)
}

fn persists(it: &ServerStep<'_>) -> bool {
    let (Some(append), Some(i), Some(next)) = (it.persisted(), &it.i.storage, &it.next.storage)
    else {
        return it.i == it.next && it.sends([]);
    };
    let (old, new) = (&i.durable.log, &next.durable.log);
    // What is neither replaced nor behind what is written stays.
    let kept = match (append.snapshot, append.first) {
        (Some(_), _) => 0,
        (None, 0) => old.last_index(),
        (None, first) => first - 1,
    };
    let mut kept = old.snapshot().index + 1..=kept;
    let unchanged = kept.all(|index| old.entry(index) == new.entry(index));
    let state = append.hard_state.is_some() || i.durable.hard_state == next.durable.hard_state;
    let queue = next.appends.starts_with(&i.appends[1..]);
    written(&next.durable, append) && unchanged && state && queue
}

fn hands_over_all(it: &ServerStep<'_>) -> bool {
    let Some(storage) = &it.next.storage else {
        return false;
    };
    let all = |storage: &Storage| {
        let mut image = storage.durable.clone();
        storage
            .appends
            .iter()
            .for_each(|append| image.write(append));
        image
    };
    let image = all(storage);
    let unknown = storage.stable < it.next.log.last_index();
    let acknowledges = it.handed_over().is_none_or(|append| {
        let acknowledged = append.acknowledges.map_or(0, |it| it.last.index);
        let term = append
            .acknowledges
            .is_none_or(|ack| ack.term == it.next.term);
        term && acknowledged == if unknown { it.next.log.last_index() } else { 0 }
    });
    (image.hard_state, &image.log) == (it.next.hard_state(), &it.next.log) && acknowledges
}

fn applies(it: &ServerStep<'_>) -> bool {
    let (Some(i), Some(next)) = (&it.i.storage, &it.next.storage) else {
        return false;
    };
    let snapshot = it.persisted().and_then(|append| append.snapshot);
    match (it.action, snapshot) {
        _ if it.crashes() => true,
        (Action::Apply(_), _) => {
            let rest = i.applies.get(1..).unwrap_or_default();
            next.applied == i.applies.first().copied().unwrap_or(i.applied)
                && next.applies.starts_with(rest)
        }
        (_, Some((last, _))) => next.applied == i.applied.max(last.index),
        _ => next.applied == i.applied,
    }
}

fn hands_to_application(it: &ServerStep<'_>) -> bool {
    let Some(next) = &it.next.storage else {
        return false;
    };
    let handed = next.applies.last().copied().unwrap_or(next.applied);
    let ascends = std::iter::once(&next.applied)
        .chain(&next.applies)
        .is_sorted();
    match next.unstable_snapshot {
        0 => ascends && handed == next.applied.max(it.next.commit.min(next.stable)),
        _ => next.applies.is_empty(),
    }
}

fn is_acknowledged(it: &ServerStep<'_>) -> bool {
    let (Some(i), Some(next)) = (&it.i.storage, &it.next.storage) else {
        return false;
    };
    if it.crashes() {
        return next.stable == it.next.log.last_index();
    }
    let acknowledged = it.persisted().and_then(|append| append.acknowledges);
    let acknowledged = acknowledged
        .filter(|ack| ack.term == it.next.term && it.i.log.matches(ack.last))
        .map_or(0, |ack| ack.last.index);
    let overwritten = it.handed_over().map_or(0, |append| append.first);
    let kept = match overwritten {
        0 => i.stable,
        first => i.stable.min(first - 1),
    };
    // A snapshot that replaced the log is all that there is.
    match it.handed_over().and_then(|append| append.snapshot) {
        Some((last, _)) => next.stable == last.index,
        None => next.stable == kept.max(acknowledged),
    }
}

fn comes_back(it: &ServerStep<'_>) -> bool {
    let (Some(i), Some(next)) = (&it.i.storage, &it.next.storage) else {
        return false;
    };
    let kept = match it.action {
        Action::RestartKeeping(_, kept) => usize::from(kept),
        _ => 0,
    };
    let mut image = i.durable.clone();
    i.appends
        .iter()
        .take(kept)
        .for_each(|append| image.write(append));
    let snapshot = image.log.snapshot().index;
    let applied = match it.settings.application_in_memory {
        true => snapshot,
        false => i.applied.max(snapshot),
    };
    let commit = image.hard_state.commit.max(applied);
    let same = (it.next.term, it.next.vote, &it.next.log)
        == (image.hard_state.term, image.hard_state.vote, &image.log);
    let volatile = (it.next.role, it.next.leader, it.next.lease) == (Role::Follower, None, false);
    same && volatile
        && (it.next.commit, next.applied) == (commit, applied)
        && it.next.configuration == configuration_at(it.settings, &image.log, applied)
        && next.durable.log == image.log
        && next.durable.hard_state == it.next.hard_state()
        && next.appends.is_empty()
}
