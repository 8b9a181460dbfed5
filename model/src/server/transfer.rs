//! Transfer of leadership, and leaders that are forgotten (thesis, section 3.10; etcd's raft, ForgetLeader).

use super::{Progress, Turn};
use crate::dialect::Departure;
use crate::ids::Id;
use crate::message::Body;
use crate::rule::{Notes, Rule};
use lockstep_traces::{Reads, Role};

impl<N: Notes> Turn<'_, N> {
    /// Somebody asks for another leader. A follower passes the request on; a server that knows no leader, or
    /// campaigns, ignores it.
    pub(super) fn handle_transfer(&mut self, to: Id) {
        match (self.i.role, self.i.leader) {
            (Role::Leader, _) => self.begin_transfer(to),
            (Role::Follower, Some(leader)) => {
                self.note(Rule::TransferForwarded);
                self.send(leader, self.i.term, Body::TransferLeader { transferee: to });
            }
            _ => {}
        }
    }

    /// "The prior leader stops accepting new client requests and fully updates the target server's log to match
    /// its own" (thesis, section 3.10). A request for the same server is ignored, one for another replaces it, and
    /// one for the leader itself ends it. Who does not vote cannot lead: a request for a learner or a stranger is ignored.
    fn begin_transfer(&mut self, to: Id) {
        if self.i.transferee == Some(to) || !self.i.configuration.all_voters().contains(to) {
            return;
        }
        let failed = self.give_up_transfer();
        if to == self.i.id {
            if failed {
                self.after_failed_transfer();
            }
            return;
        }
        self.note(Rule::TransferBegins);
        self.i.transferee = Some(to);
        if !self.maybe_hand_over(to) {
            self.maybe_send_append(to, true);
        }
    }

    /// Tells the transferee to campaign, once it is known to have the whole log (thesis, section 3.10). Returns
    /// whether it was told.
    pub(super) fn maybe_hand_over(&mut self, j: Id) -> bool {
        let last_index = self.i.log.last_index();
        let complete = |peer: &Progress| peer.matched == last_index;
        let ready = self.i.transferee == Some(j) && self.i.peer(j).is_some_and(complete);
        if ready {
            self.note(Rule::TimeoutNowSent);
            self.send(j, self.i.term, Body::TimeoutNow);
            self.give_up_lease();
        }
        ready
    }

    /// "If leadership transfer does not complete after about an election timeout, the prior leader aborts the
    /// transfer and resumes accepting client requests" (thesis, section 3.10). The message that tells the transferee
    /// to campaign may still be on its way. Returns whether there was a transfer.
    pub(super) fn give_up_transfer(&mut self) -> bool {
        let failed = self.i.transferee.take().is_some();
        if failed {
            self.note(Rule::TransferGivenUp);
        }
        failed
    }

    /// A leader that goes on leading makes up for what it left to the successor that it does not get.
    pub(super) fn after_failed_transfer(&mut self) {
        if !self.settings.departs(Departure::AutoLeaveWaits) {
            self.leave_joint_if_due();
        }
    }

    /// The leader asks this server to campaign. It does so at once: without a pre-vote, since it does not come back
    /// from a partition. Whoever campaigns already does not begin again, and who may not campaign does nothing.
    pub(super) fn timeout_now(&mut self) {
        if self.i.role == Role::Follower && self.may_campaign() {
            self.note(Rule::TimeoutNowObeyed);
            self.become_candidate(true);
        }
    }

    /// A follower forgets its leader and with it the lease, so that it may vote; it goes on in its term. Where the leader
    /// answers reads by lease it may not.
    pub(super) fn forget_leader(&mut self) {
        let lease = self.settings.reads == Reads::LeaseBased;
        if self.i.role == Role::Follower && self.i.leader.is_some() && !lease {
            self.note(Rule::LeaderForgotten);
            self.i.leader = None;
            self.i.lease = false;
            self.give_up_reads();
        }
    }
}
