//! The state of a server as lines show it: what has changed since the line before.

use crate::words::{number, role};
use lockstep_raft::Role;
use lockstep_raft::observer::Effect;
use serde::Serialize;

/// The state of a server.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct View {
    role: Role,
    term: u64,
    vote: u64,
    leader: u64,
    commit: u64,
    applied: u64,
    first: u64,
    last: (u64, u64),
    lease: bool,
    transferee: u64,
}

/// The fields that a line shows.
#[derive(Debug, Serialize)]
pub(crate) struct Changed {
    #[serde(skip_serializing_if = "Option::is_none")]
    role: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    term: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    vote: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    leader: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    commit: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    applied: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    first: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    last: Option<(u64, u64)>,
    #[serde(skip_serializing_if = "Option::is_none")]
    lease: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    transferee: Option<u64>,
}

impl View {
    /// The server after an input. What its storage cannot tell stays as it was.
    pub(crate) fn of(effect: &Effect<'_>, before: &View) -> View {
        let status = &effect.status;
        let first = effect.log.first_index();
        let last = effect.log.last_id();
        View {
            role: status.soft_state.role,
            term: status.hard_state.term.get(),
            vote: number(status.hard_state.vote),
            leader: number(status.soft_state.leader),
            commit: status.hard_state.commit.get(),
            applied: status.applied.get(),
            first: first.map_or(before.first, |it| it.get()),
            last: last.map_or(before.last, |it| (it.index.get(), it.term.get())),
            lease: effect.lease && status.soft_state.role != Role::Leader,
            transferee: number(status.lead_transferee),
        }
    }

    /// The fields that differ, or all; `None` if there are none.
    pub(crate) fn changed(&self, before: &View, all: bool) -> Option<Changed> {
        fn pick<T: PartialEq>(new: T, old: T, all: bool) -> Option<T> {
            (all || new != old).then_some(new)
        }
        if !all && self == before {
            return None;
        }
        Some(Changed {
            role: pick(role(self.role), role(before.role), all),
            term: pick(self.term, before.term, all),
            vote: pick(self.vote, before.vote, all),
            leader: pick(self.leader, before.leader, all),
            commit: pick(self.commit, before.commit, all),
            applied: pick(self.applied, before.applied, all),
            first: pick(self.first, before.first, all),
            last: pick(self.last, before.last, all),
            lease: pick(self.lease, before.lease, all),
            transferee: pick(self.transferee, before.transferee, all),
        })
    }
}
