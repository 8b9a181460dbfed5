//! Membership: how a change of the configuration is proposed, when it takes effect, and what that means to a leader,
//! to who is new and to who is removed (paper, section 6; thesis, chapter 4; etcd's raft).
//!
//! Etcd's raft departs from the thesis in one point: a server uses a configuration once its entry is *applied*, not
//! once it is in the log (thesis, section 4.1). So the configuration in use is always a committed one, a change that
//! is overwritten was never in effect, and two servers may use configurations that are several changes apart. What
//! keeps quorums together is that a leader proposes no change before it has applied the last one.

use super::recorded::Point;
use super::{Progress, Server, Turn};
use crate::configuration::{Changed, ConfChange};
use crate::dialect::Departure;
use crate::ids::Id;
use crate::message::{Payload, Payloads, one};
use crate::rule::{Notes, Rule};
use lockstep_traces::Role;
use std::sync::Arc;

impl Server {
    /// Whether a server that has applied everything up to `applied` may campaign; see [`Turn::may_campaign`]. Nor does it
    /// while it waits for a snapshot to be durable: what it has applied is no part of its log then.
    pub(crate) fn may_campaign(&self, applied: u32) -> bool {
        let voter = self.configuration.all_voters().contains(self.id);
        voter && !self.has_unstable_snapshot() && !self.has_unapplied_change(applied)
    }

    /// Whether something committed that is not applied yet changes the configuration. With storage that is atomic a
    /// server applies in the same event what it commits, so this holds only in the midst of an event.
    fn has_unapplied_change(&self, applied: u32) -> bool {
        let mut unapplied = applied + 1..=self.commit;
        unapplied.any(|index| self.change_at(index).is_some())
    }

    /// The change that the entry at an index carries.
    fn change_at(&self, index: u32) -> Option<ConfChange> {
        self.log.entry(index)?.payload.as_conf_change()
    }
}

impl<N: Notes> Turn<'_, N> {
    /// Whether the server may campaign: only a voter of its own configuration may, and not while it has something
    /// committed and not applied that changes the configuration, for then its own configuration is an old one. (In the
    /// thesis, section 4.2.2, a server campaigns although it is no part of its configuration: there that may not be
    /// committed yet. Here it always is.)
    pub(super) fn may_campaign(&mut self) -> bool {
        self.note(Rule::VoterCampaigns);
        self.i.may_campaign(self.applied)
    }

    /// The change that the entry at an index carries.
    fn change_at(&self, index: u32) -> Option<ConfChange> {
        self.i.change_at(index)
    }

    /// Returns the payloads that a leader appends in place of those that are proposed to it: a change of the
    /// configuration that it may not take becomes an empty entry. That proposal is lost, and the client finds out when
    /// the entry is applied. For a change that it takes the leader waits from now on.
    pub(super) fn check_changes(&mut self, payloads: &Payloads) -> Payloads {
        let mut index = self.i.log.last_index();
        let mut checked = Payloads::new();
        payloads.for_each(|payload| {
            index += 1;
            checked.push(match payload.as_conf_change() {
                Some(change) if self.may_change(change) => {
                    self.see(Point::ChangeProposed(change));
                    self.i.pending_conf_index = index;
                    payload
                }
                Some(_) => {
                    self.note(Rule::ChangeBecomesEmpty);
                    Payload::EMPTY
                }
                None => payload,
            });
        });
        checked
    }

    /// Whether the configuration may change at all, and all servers that the change is about are there.
    pub(super) fn is_possible(&self, change: ConfChange) -> bool {
        let mut servers = change.servers();
        self.settings.may_change && servers.all(|id| self.settings.is_server(id))
    }

    /// The next change has to wait until the last one is committed (thesis, section 4.1), here: applied. Which entries of
    /// its log carry a change a leader does not look up: it waits for all that it had when it was elected. A joint
    /// configuration takes no change but the one that leaves it.
    fn may_change(&self, change: ConfChange) -> bool {
        let pending = self.i.pending_conf_index > self.applied;
        let fits = self.i.configuration.is_joint() == change.leaves_joint();
        !pending && fits || self.settings.disable_conf_change_validation
    }

    /// Applies everything up to a committed index. Returns whether there was anything.
    pub(super) fn apply_committed(&mut self, commit: u32) -> bool {
        let first = self.applied + 1;
        for index in first..=commit {
            if let Some(change) = self.change_at(index) {
                self.apply_conf_change(change);
            }
        }
        self.release_uncommitted(commit);
        first <= commit
    }

    /// The configuration of an entry takes effect when the entry is applied. A change that does not fit the
    /// configuration changes nothing. Validation does not look for one: the application is not to propose it, and etcd's
    /// raft panics.
    pub(super) fn apply_conf_change(&mut self, change: ConfChange) {
        self.note(Rule::ChangeTakesEffect);
        let possible = self.is_possible(change);
        let changed = self.i.configuration.apply(change).ok();
        let Some(changed) = changed.filter(|_| possible) else {
            return;
        };
        if change.leaves_joint() {
            self.note(Rule::JointLeft);
        } else if changed.configuration.is_joint() {
            self.note(Rule::JointEntered);
        }
        self.switch_to(changed);
    }

    /// Uses another configuration. A leader that is no voter of it steps down, if it is set up so, or goes on leading the
    /// others without counting itself (thesis, section 4.2.2). A leader may find that more is committed by the new
    /// quorum, or more reads confirmed; one that votes sends to those who are new. (In etcd's raft a leader that does
    /// not vote looks at nothing: [`Departure::RemovedLeaderWaits`].)
    fn switch_to(&mut self, changed: Changed) {
        self.see(Point::Switching(changed.configuration));
        self.i.configuration = changed.configuration;
        if self.i.role != Role::Leader {
            return;
        }
        self.track(changed);
        let votes = changed.configuration.all_voters().contains(self.i.id);
        if !votes {
            self.note(Rule::RemovedLeader);
            if self.settings.step_down_on_removal {
                self.become_follower(self.i.term, None);
            }
            let waits = self.settings.departs(Departure::RemovedLeaderWaits);
            if waits || self.i.role != Role::Leader {
                return;
            }
        }
        if self.maybe_commit() {
            self.note(Rule::QuorumShrinks);
            self.broadcast_append();
        } else if votes {
            self.send_what_is_missing();
        }
        self.check_transferee();
        self.recount_reads();
    }

    /// Ends a transfer of leadership to a server that was removed or demoted: a server that does not vote cannot lead.
    fn check_transferee(&mut self) {
        let voters = self.i.configuration.all_voters();
        if self.i.transferee.is_some_and(|to| !voters.contains(to)) {
            self.give_up_transfer();
        }
    }

    /// A leader forgets who is gone, and begins to probe who is new. That one counts as active, or the next quorum
    /// check would find it silent before it was ever asked.
    fn track(&mut self, changed: Changed) {
        let last_index = self.i.log.last_index();
        let own = self.i.id;
        let Some(peers) = &mut self.i.peers else {
            return;
        };
        let members = changed.configuration.members();
        for (slot, peer) in Arc::make_mut(peers).iter_mut().enumerate() {
            let id = Id::from_slot(slot);
            if !members.contains(id) {
                *peer = Progress::untracked();
            } else if changed.fresh.contains(id) && id != own {
                *peer = Progress::joining(last_index);
            } else if changed.fresh.contains(id) {
                *peer = Progress::forgotten();
            }
        }
        if !changed.fresh.is_empty() {
            self.note(Rule::NewMemberProbed);
        }
    }

    /// Sends a new member what it lacks, so that it need not wait for the next heartbeat or proposal.
    fn send_what_is_missing(&mut self) {
        for j in self.others() {
            self.maybe_send_append(j, false);
        }
    }

    /// Everything up to `index` is applied. A leader that waited for it takes changes again.
    pub(super) fn applied_to(&mut self, index: u32) {
        self.applied = index;
        if let Some(storage) = &mut self.i.storage {
            Arc::make_mut(storage).applied = index;
        }
        if self.i.pending_conf_index <= index {
            self.i.pending_conf_index = 0;
        }
        self.leave_joint_if_due();
    }

    /// If the configuration in use is a joint one that leaves itself, a leader proposes that now, whoever had proposed the
    /// joint one: "once C-old,new has been committed, [..] it is now safe for the leader to create a log entry describing
    /// C-new" (paper, section 6). A leader that is about to hand over leaves that to its successor, or to the time when
    /// the transfer has failed.
    pub(super) fn leave_joint_if_due(&mut self) {
        let waits = self.i.pending_conf_index > 0;
        if self.i.configuration.auto_leave && !waits && self.takes_proposals() {
            self.note(Rule::AutoLeave);
            self.append_own(&one(Payload::conf_change(ConfChange::LEAVE_JOINT)));
            self.i.pending_conf_index = self.i.log.last_index();
            self.broadcast_append();
        }
    }
}
