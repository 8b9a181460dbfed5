//! Changes of the configuration (paper, section 6; thesis, chapter 4).

use super::{ServerStep, TransitionProperty, rule};
use crate::configuration::{ConfChange, Single};
use crate::ids::{Id, IdSet};
use crate::message::{Body, Payload, Payloads};
use crate::server::{Flow, Progress};
use lockstep_traces::Role;
use smallvec::SmallVec;

pub(super) const ALL: &[TransitionProperty] = &[
    rule!(
        "change_proposed_step",
        "a change that a client proposes is appended as any proposal (paper, section 6), unless the last one may not \
         be applied yet (thesis, section 4.1), or it leaves a joint configuration that is not there, or would enter \
         one twice: then an empty entry is appended (etcd's raft, stepLeader)",
        is_proposed => appends_change
    ),
    rule!(
        "change_takes_effect_step",
        "a change is applied server by server, the last word counts: who is to vote votes, who is to go goes, who is to \
         learn learns, but not before it has lost its vote in the old half. Several changes keep the old voters as that \
         half, until an entry says that it goes (paper, section 6; thesis, sections 4.2.1 and 4.3)",
        applies_one_change => is_changed
    ),
    rule!(
        "removed_member_step",
        "what a server answers that is no member any more, or not yet by what is applied here, counts for nothing, not \
         even its term (etcd's raft, ErrStepPeerNotFound)",
        |it: &ServerStep<'_>| it.refuses_stranger() => |it: &ServerStep<'_>| it.i == it.next && it.sends([])
    ),
    rule!(
        "new_member_step",
        "a voting leader that has applied that a server joins knows nothing of its log, sends to it at once, and counts it \
         as active until the next quorum check (etcd's raft, Changer and switchToConfig)",
        adds_members => probes_new_members
    ),
    rule!(
        "removed_leader_step",
        "\"the leader steps down (returns to follower state) once it has committed the Cnew log entry\" (paper, section \
         6), here: applied, if it is set up so; otherwise it goes on, in the same term (etcd's raft, switchToConfig), and \
         so does a leader that still votes",
        changes_as_leader => |it: &ServerStep<'_>| {
            let follows = (it.next.role, it.next.leader) == (Role::Follower, None);
            it.next.term == it.i.term && follows == (it.settings.step_down_on_removal && !votes_on(it))
        }
    ),
];

fn is_proposed(it: &ServerStep<'_>) -> bool {
    it.change.is_some() && it.takes_proposals() && it.settings.may_change
}

fn appends_change(it: &ServerStep<'_>) -> bool {
    let (i, last) = (it.i, it.i.log.last_index());
    let asked = it.proposal().unwrap_or_default();
    let expected = taken(it, &asked);
    if it.is_full(&expected) {
        return it.next == i && it.sends([]);
    }
    let appended = it.next.log.entry(last + 1);
    appended.is_some_and(|entry| expected.get(0) == Some(entry.payload) && entry.term == i.term)
}

/// Returns the payloads that a leader appends in place of those that are proposed to it.
pub(super) fn taken(it: &ServerStep<'_>, asked: &Payloads) -> Payloads {
    let (i, last) = (it.i, it.i.log.last_index());
    let mut unapplied = (i.applied() + 1..=last).filter_map(|index| i.log.entry(index));
    let mut waits =
        unapplied.any(|entry| entry.term < i.term || entry.payload.as_conf_change().is_some());
    let take = |payload: Payload| match payload.as_conf_change() {
        None => payload,
        Some(change) => {
            let fits = i.configuration.is_joint() == change.leaves_joint();
            let taken = !waits && fits || it.settings.disable_conf_change_validation;
            waits |= taken;
            match taken {
                true => payload,
                false => Payload::EMPTY,
            }
        }
    };
    asked.iter().map(take).collect()
}

/// The changes that are applied in the step.
fn applied_changes(it: &ServerStep<'_>) -> SmallVec<[ConfChange; 2]> {
    let applied = it.applied();
    let entries = applied.filter_map(|index| it.next.log.entry(index));
    let changes = entries.filter_map(|entry| entry.payload.as_conf_change());
    changes.collect()
}

fn applies_one_change(it: &ServerStep<'_>) -> bool {
    it.settings.may_change && applied_changes(it).len() == 1
}

fn is_changed(it: &ServerStep<'_>) -> bool {
    let (old, new) = (it.i.configuration, it.next.configuration);
    applied_changes(it).iter().all(|change| {
        if change.leaves_joint() {
            let learners = old.learners.or(old.learners_next);
            return match old.is_joint() {
                true => (new.voters, new.learners) == (old.voters, learners) && !new.is_joint(),
                false => new == old,
            };
        }
        let outgoing = match change.auto_leave() {
            None => IdSet::EMPTY,
            Some(_) => old.voters,
        };
        let said = |id: Id| {
            let words = change.singles().filter(|single| single.server() == id);
            words.last()
        };
        let as_said = |id: Id| {
            let [votes, learns, later] =
                [new.voters, new.learners, new.learners_next].map(|set| set.contains(id));
            match said(id) {
                None => votes == old.voters.contains(id) && learns == old.learners.contains(id),
                Some(Single::AddVoter(_)) => votes && !learns && !later,
                Some(Single::Remove(_)) => !votes && !learns && !later,
                Some(Single::AddLearner(_)) => {
                    !votes && later == outgoing.contains(id) && learns != later
                }
            }
        };
        let will_vote = |id: Id| match said(id) {
            None => old.voters.contains(id),
            Some(single) => matches!(single, Single::AddVoter(_)),
        };
        // A second joint configuration, or one in which nobody votes, is none.
        let fits = !old.is_joint() && it.settings.ids().any(will_vote);
        match fits {
            true => {
                new.outgoing == outgoing
                    && new.auto_leave == (change.auto_leave() == Some(true))
                    && it.settings.ids().all(as_said)
            }
            false => new == old,
        }
    })
}

/// Whether a leader whose transfer has failed proposes to leave a joint configuration: `auto_leave_inv` says when it must.
pub(super) fn makes_up_for_transfer(it: &ServerStep<'_>) -> bool {
    let failed = it.i.transferee.is_some() && it.next.transferee.is_none();
    failed && it.next.configuration.auto_leave && it.next.log.last_index() > it.i.log.last_index()
}

/// The members that a leader has just got.
fn new_members(it: &ServerStep<'_>) -> impl Iterator<Item = Id> {
    let mut stay = IdSet::EMPTY;
    it.who_stay().for_each(|j| stay.insert(j));
    it.next.others().filter(move |j| !stay.contains(*j))
}

/// Whether a leader that has a say in its new configuration gets members. One without a say waits for the next occasion.
fn adds_members(it: &ServerStep<'_>) -> bool {
    it.still_leads() && votes_on(it) && new_members(it).next().is_some()
}

fn probes_new_members(it: &ServerStep<'_>) -> bool {
    let fresh = |peer: &Progress| {
        let held_back = peer.flow == Flow::Snapshot || peer.flow == Flow::Probe && peer.paused;
        peer.matched == 0 && peer.recent_active && held_back
    };
    let sent = it.sent();
    let told = |j| {
        let told = |body: &Body| match body {
            Body::AppendEntries { entries, .. } => !entries.is_empty(),
            // What would come before its first append may be gone.
            Body::InstallSnapshot { .. } => true,
            _ => false,
        };
        sent.iter().any(|m| m.to == j && told(&m.body))
    };
    new_members(it).all(|j| it.next.peer(j).is_some_and(fresh) && told(j))
}

/// Whether a leader that votes applies a change: in its own term, unless that takes its vote.
fn changes_as_leader(it: &ServerStep<'_>) -> bool {
    let leads = it.i.role == Role::Leader && it.votes();
    leads && it.reconfigures() && (it.next.term == it.i.term || !votes_on(it))
}

/// Whether the server is a voter of its configuration after the step.
fn votes_on(it: &ServerStep<'_>) -> bool {
    it.next.configuration.all_voters().contains(it.next.id)
}
