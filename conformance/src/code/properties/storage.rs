//! Stable storage: what must be on it before a server acts upon it, and what a crash may take (paper, figure 2 and section
//! 5; thesis, section 3.8).

use super::super::Code;
use super::super::components::CodeState;
use super::super::log::{Image, LogView};
use super::super::node::Node;
use super::moves::{is_async, is_grant, log, moved, restart, sent};
use super::{Property, state, step};
use lockstep_model::Action;
use lockstep_traces::{Body, Index, Message, Role};

pub(super) const ALL: &[Property] = &[
    state(
        "leader_is_durable_inv",
        "currentTerm and votedFor are \"updated on stable storage\" (paper, figure 2) before a server leads: a crash \
         takes back no leadership, and nobody leads the same term again",
        |code, state| {
            !is_async(code)
                || leads(state).all(|i| {
                    let durable = &i.view.durable;
                    (durable.term, durable.vote) == (i.view.term, Some(i.id))
                })
        },
        |code, state| is_async(code) && leads(state).next().is_some(),
    ),
    state(
        "applied_is_durable_inv",
        "what a server has applied it has on stable storage, and no outstanding append takes it away: \"apply it to its \
         state machine\" comes after it is stored (thesis, section 3.8)",
        |code, state| {
            !is_async(code)
                || state.servers.iter().all(|i| {
                    let applied = i.view.applied.0;
                    Image::after_any_crash(&i.view).all(|image| {
                        let mut stored = image.log().entries(1..=applied);
                        applied <= image.log().last_index()
                            && stored.all(|(index, entry)| {
                                state.history.committed_at(index) == Some(entry)
                            })
                    })
                })
        },
        |code, state| is_async(code) && state.servers.iter().any(|i| i.view.applied > Index(0)),
    ),
    state(
        "sane_after_crash_inv",
        "whatever outstanding appends a crash keeps, a server can come back from what is there: the commit index is \
         within the log, a snapshot is committed, no entry is newer than the term (thesis, section 3.8)",
        |code, state| !is_async(code) || outcomes(state).all(|image| is_sane(&image)),
        |code, state| is_async(code) && state.servers.iter().any(|i| !i.view.appends.is_empty()),
    ),
    step(
        "durable_monotonic_step",
        "\"each server will vote for at most one candidate in a given term\" (paper, section 5.2): on stable storage the \
         term never falls, the vote of a term never changes and the commit index never falls, crash or no crash",
        |_, before, action, after| {
            moved(before, action, after).is_none_or(|(i, next)| {
                let (old, new) = (&i.view.durable, &next.view.durable);
                let same_vote = new.term > old.term || old.vote.is_none() || new.vote == old.vote;
                new.term >= old.term && same_vote && new.commit >= old.commit
            })
        },
        |_, before, action, after| {
            moved(before, action, after).is_some_and(|(i, next)| {
                let (old, new) = (&i.view.durable, &next.view.durable);
                (old.term, old.vote, old.commit) != (new.term, new.vote, new.commit)
            })
        },
    ),
    step(
        "vote_is_stored_step",
        "a server answers a candidate once its term and its vote are on stable storage (paper, figure 2)",
        |_, before, action, after| {
            moved(before, action, after).is_none_or(|(_, next)| {
                let durable = &next.view.durable;
                let mut grants = sent(before, action, after).filter(|m| is_grant(m));
                grants.all(|m| {
                    durable.term > m.term || durable.term == m.term && durable.vote == Some(m.to)
                })
            })
        },
        |_, before, action, after| sent(before, action, after).any(is_grant),
    ),
    step(
        "acknowledged_is_stored_step",
        "a follower answers an append once the entries are on stable storage (paper, figure 2 and section 5.3)",
        |code, before, action, after| {
            moved(before, action, after).is_none_or(|(_, next)| {
                sent(before, action, after)
                    .filter_map(acknowledged)
                    .all(|(m, Index(index))| {
                        // Of a later term it may have overwritten them since.
                        let later = is_async(code) && next.view.durable.term > m.term;
                        later || index <= LogView::durable(&next.view).last_index()
                    })
            })
        },
        |_, before, action, after| {
            let acknowledges = |m| acknowledged(m).is_some_and(|(_, index)| index > Index(0));
            sent(before, action, after).any(acknowledges)
        },
    ),
    step(
        "restart_step",
        "currentTerm, votedFor and log[] are \"updated on stable storage before responding to RPCs\" (paper, figure \
         2): a restart keeps them, and is silent. With asynchronous storage it keeps what was durable and the oldest \
         outstanding appends, each as a whole, and the application has what it made durable (thesis, section 3.8)",
        |code, before, action, after| {
            restarted(before, action, after).is_none_or(|(i, next, kept)| {
                let image = match is_async(code) {
                    true => comes_back(code, i, next, kept),
                    false => {
                        (i.view.term, i.view.vote) == (next.view.term, next.view.vote)
                            && log(i) == log(next)
                    }
                };
                image
                    && next.view.role == Role::Follower
                    && sent(before, action, after).count() == 0
            })
        },
        |_, before, action, after| restarted(before, action, after).is_some(),
    ),
];

fn leads(state: &CodeState) -> impl Iterator<Item = &Node> {
    super::moves::leaders(state)
}

/// Everything that a crash of any server can leave.
fn outcomes(state: &CodeState) -> impl Iterator<Item = Image> {
    let servers = state.servers.iter();
    servers.flat_map(|i| Image::after_any_crash(&i.view))
}

fn is_sane(image: &Image) -> bool {
    let log = image.log();
    (log.base()..=log.last_index()).contains(&image.commit.0) && log.last().0 <= image.term
}

/// The index of an append that a message acknowledges.
fn acknowledged(m: &Message) -> Option<(&Message, Index)> {
    match m.body {
        Body::AppendEntriesResponse {
            index,
            rejected: None,
        } => Some((m, index)),
        _ => None,
    }
}

fn restarted<'a>(
    before: &'a CodeState,
    action: &Action,
    after: &'a CodeState,
) -> Option<(&'a Node, &'a Node, usize)> {
    let kept = restart(action)?;
    let (i, next) = moved(before, action, after)?;
    Some((i, next, kept))
}

/// Whether a server comes back from a crash that keeps `kept` of the outstanding appends with what was there.
fn comes_back(code: &Code<'_>, i: &Node, next: &Node, kept: usize) -> bool {
    let image = Image::after_crash(&i.view, kept);
    let base = Index(image.log().base());
    let applied = match code.config().application_in_memory {
        true => base,
        false => i.view.applied.max(base),
    };
    let view = &next.view;
    (view.term, view.vote) == (image.term, image.vote)
        && log(next) == image.log()
        && LogView::durable(view) == image.log()
        && view.applied == applied
        && view.commit >= image.commit.max(applied)
        && view.appends.is_empty()
}
