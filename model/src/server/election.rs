//! Elections: pre-vote, votes, leases, and the change of roles (paper, sections 5.1, 5.2 and 5.4.1;
//! thesis, sections 4.2.3, 6.2 and 9.6).

use super::recorded::Point;
use super::{Own, Progress, Server, Turn};
use crate::configuration::VoteResult;
use crate::dialect::Departure;
use crate::ids::{Id, IdSet};
use crate::message::{Body, Message, Payload, Position, one};
use crate::rule::{Notes, Rule};
use lockstep_traces::Role;
use std::sync::Arc;

impl<N: Notes> Turn<'_, N> {
    /// The election timer fires: unless it leads, or is no voter, the server asks for votes, or first for pre-votes.
    pub(super) fn timeout(&mut self) {
        if self.i.role == Role::Leader {
            return;
        }
        // That its timer fires says that nothing was heard from the leader for an election timeout, whether or not
        // the server may do anything about it.
        if !self.may_campaign() {
            if self.i.lease {
                self.expire_lease();
            }
            return;
        }
        if self.settings.pre_vote {
            self.become_pre_candidate();
        } else {
            self.become_candidate(false);
        }
    }

    /// Asks everybody whether they would vote for it in the next term. Neither term nor vote changes
    /// (thesis, section 9.6).
    fn become_pre_candidate(&mut self) {
        self.note(Rule::PreVoteFirst);
        let i = &mut *self.i;
        i.role = Role::PreCandidate;
        i.leader = None;
        i.lease = false;
        i.granted = IdSet::EMPTY;
        i.refused = IdSet::EMPTY;
        let last = i.log.last();
        self.give_up_reads();
        self.request(self.i.term + 1, Body::RequestPreVote { last });
    }

    /// Enters a new term as candidate and asks everybody for their vote (paper, section 5.2). In a `transfer` of
    /// leadership the request says so, for it overrides leases (thesis, section 4.2.3).
    pub(super) fn become_candidate(&mut self, transfer: bool) {
        self.note(Rule::CampaignInNewTerm);
        self.enter(self.i.term + 1, Role::Candidate, None);
        self.i.vote = Some(self.i.id);
        self.see(Point::BecameCandidate);
        let last = self.i.log.last();
        self.request(self.i.term, Body::RequestVote { last, transfer });
    }

    /// Asks all voters of its configuration, of both halves of a joint one.
    fn request(&mut self, term: u32, body: Body) {
        let (i, voters) = (self.i.id, self.i.configuration.all_voters());
        for j in voters.iter().filter(|j| *j != i) {
            self.send(j, term, body.clone());
        }
        if self.is_async() {
            let granted = true;
            let own = match body {
                Body::RequestPreVote { .. } => Body::RequestPreVoteResponse { granted },
                _ => Body::RequestVoteResponse { granted },
            };
            self.tell_itself(term, own);
        } else {
            self.own = Some(Own::Vote);
        }
    }

    /// Takes a role in a term: the vote belongs to the term, everything else that is volatile starts over.
    fn enter(&mut self, term: u32, role: Role, leader: Option<Id>) {
        let i = &mut *self.i;
        if i.term != term {
            i.term = term;
            i.vote = None;
        }
        i.role = role;
        i.leader = leader;
        i.lease = false;
        i.granted = IdSet::EMPTY;
        i.refused = IdSet::EMPTY;
        i.pending_conf_index = 0;
        i.peers = None;
        i.transferee = None;
        i.uncommitted = 0;
        self.give_up_reads();
    }

    pub(super) fn become_follower(&mut self, term: u32, leader: Option<Id>) {
        self.enter(term, Role::Follower, leader);
        self.renew_lease();
        self.see(Point::BecameFollower);
    }

    /// A new leader knows nothing of its peers, and appends an entry of its own term at once: it may count
    /// replicas of nothing else (paper, sections 5.4.2 and 8). What it has of its predecessors may hold a change of the
    /// configuration: it takes no other one before it has applied that.
    fn become_leader(&mut self) {
        self.note(Rule::NewLeaderAppends);
        self.enter(self.i.term, Role::Leader, Some(self.i.id));
        self.see(Point::BecameLeader);
        let (i, last_index) = (self.i.id, self.i.log.last_index());
        // Its own slot and those of strangers say nothing, so they are always the same.
        let members = self.i.configuration.members();
        let is_async = self.is_async();
        let fresh = |j| match j != i && members.contains(j) {
            true => Progress::new(last_index),
            // Its own entry of this term is behind them all, and counts only when they are durable too.
            false if j == i && is_async => Progress::own(last_index),
            false => Progress::untracked(),
        };
        self.i.peers = Some(Arc::new(self.settings.ids().map(fresh).collect()));
        if self.settings.may_change && last_index > self.applied {
            self.note(Rule::NewLeaderWaits);
            self.i.pending_conf_index = last_index;
        }
        self.append_own(&one(Payload::EMPTY));
        self.broadcast_append();
    }

    /// Whether less than an election timeout has passed since the server heard from the leader that it
    /// knows. A leader hears itself all the time.
    pub(super) fn lease_live(&self) -> bool {
        self.settings.check_quorum && (self.i.lease || self.i.role == Role::Leader)
    }

    /// The lease runs out: an election timeout has passed in which nothing was heard from the leader.
    pub(super) fn expire_lease(&mut self) {
        self.note(Rule::LeaseExpires);
        self.i.lease = false;
    }

    /// The timer that the lease is read from starts again.
    fn renew_lease(&mut self) {
        self.i.lease =
            self.settings.check_quorum && self.i.role == Role::Follower && self.i.leader.is_some();
        if self.i.lease {
            self.note(Rule::LeaseBegins);
        }
    }

    /// An append or heartbeat of the server's own term comes from the leader of that term: whoever does
    /// not lead follows it. Returns false at a leader, which ignores it.
    pub(super) fn hear_from_leader(&mut self, m: &Message) -> bool {
        match self.i.role {
            Role::Leader => return false,
            Role::Candidate | Role::PreCandidate => self.become_follower(m.term, Some(m.from)),
            Role::Follower => {
                if self.i.leader != Some(m.from) {
                    self.give_up_reads();
                }
                self.i.leader = Some(m.from);
                self.renew_lease();
            }
        }
        self.note(Rule::LeaderFollowed);
        true
    }

    /// A request for a vote in the server's own term, or for a pre-vote in that or a higher one.
    pub(super) fn handle_vote_request(&mut self, m: &Message, last: Position, pre: bool) {
        self.note(Rule::OneVotePerTerm);
        self.note(Rule::UpToDateVote);
        self.note(Rule::VoteAnswered);
        let granted = self.can_vote(m, pre) && self.is_up_to_date(last);
        // A grant carries the term asked for: the asker would ignore an older one.
        let term = if granted { m.term } else { self.i.term };
        let body = if pre {
            Body::RequestPreVoteResponse { granted }
        } else {
            Body::RequestVoteResponse { granted }
        };
        self.send(m.from, term, body);
        if granted && !pre {
            self.i.vote = Some(m.from);
            self.renew_lease();
        }
    }

    /// "Each server will vote for at most one candidate in a given term, on a first-come-first-served
    /// basis" (paper, section 5.2). It repeats a vote that it has cast, casts none against a leader that
    /// it knows, and a pre-vote for a later term is no vote.
    fn can_vote(&self, m: &Message, pre: bool) -> bool {
        let free = self.i.vote.is_none() && self.i.leader.is_none();
        self.i.vote == Some(m.from) || free || pre && m.term > self.i.term
    }

    /// "The voter denies its vote if its own log is more up-to-date than that of the candidate" (paper,
    /// section 5.4.1).
    fn is_up_to_date(&self, last: Position) -> bool {
        last >= self.i.log.last()
    }

    /// An answer to the request of a (pre-)candidate; the first of each server counts.
    pub(super) fn handle_vote(&mut self, j: Id, granted: bool) {
        self.note(Rule::VoteCounted);
        let Server {
            granted: yes,
            refused: no,
            ..
        } = &mut *self.i;
        if !yes.contains(j) && !no.contains(j) {
            if granted { yes } else { no }.insert(j);
        }
        let (yes, no) = (self.i.granted, self.i.refused);
        match self.i.configuration.vote_result(yes, no) {
            VoteResult::Pending => {}
            VoteResult::Won if self.waits_for_own_vote() => self.note(Rule::OwnVoteFirst),
            VoteResult::Won => {
                self.note(Rule::MajorityElects);
                match self.i.role {
                    Role::PreCandidate => self.become_candidate(false),
                    _ => self.become_leader(),
                }
            }
            VoteResult::Lost => {
                self.note(Rule::LostElectionEnds);
                self.become_follower(self.i.term, None);
            }
        }
    }

    /// A candidate does not lead before its own term and vote are durable, whoever else has voted for it: after a crash it
    /// would not know that it led, and could lead the same term again with other entries. In etcd's raft it does.
    fn waits_for_own_vote(&self) -> bool {
        let departs = self.settings.departs(Departure::LeadsBeforeOwnVote);
        let counted = self.i.granted.contains(self.i.id);
        self.i.role == Role::Candidate && !counted && !departs
    }

    /// An election timeout has elapsed at a leader. A transfer of leadership has had its time (thesis, section 3.10).
    pub(super) fn election_elapsed(&mut self) {
        self.check_quorum();
        if self.give_up_transfer() {
            self.after_failed_transfer();
        }
    }

    /// A leader steps down if no quorum was heard from for an election timeout (thesis, section 6.2).
    fn check_quorum(&mut self) {
        if !self.settings.check_quorum {
            return;
        }
        let i = self.i.id;
        let Some(peers) = &mut self.i.peers else {
            return;
        };
        let mut active = IdSet::EMPTY;
        active.insert(i);
        for (slot, peer) in Arc::make_mut(peers).iter_mut().enumerate() {
            if slot != i.slot() {
                if peer.recent_active {
                    active.insert(Id::from_slot(slot));
                }
                peer.recent_active = false;
            }
        }
        self.note(Rule::CheckQuorum);
        if !self.i.configuration.is_quorum(active) {
            self.become_follower(self.i.term, None);
        }
    }
}
