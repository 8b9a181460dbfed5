//! Leader election (Raft §5.2, §5.4.1) with pre-votes (thesis §9.6) and leases (thesis §4.2.3).

use super::Core;
use crate::error::Error;
use crate::observer::{Ballot, CampaignObstacle, Event, Observer, VoteRequest};
use crate::quorum::VoteResult;
use crate::storage::Storage;
use crate::types::{Body, Entry, EntryId, EntryKind, Message, NodeId, Role, Term};

/// The kind of election that a campaign runs.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Campaign {
    /// Asks whether an election could be won.
    PreVote,
    /// An election. `force`: the leader asked for it, so leases do not count.
    Vote { force: bool },
}

impl<S: Storage, O: Observer> Core<S, O> {
    /// Starts an election, or tells what is in the way. A transfer skips the pre-vote: the leader
    /// itself wants to be replaced.
    pub(super) fn start_election(
        &mut self,
        transfer: bool,
    ) -> Result<Option<CampaignObstacle>, Error> {
        if let Err(obstacle) = self.may_campaign()? {
            self.watch.report(Event::CampaignRefused {
                obstacle,
                term: self.term,
            });
            return Ok(Some(obstacle));
        }
        self.watch
            .report(Event::ElectionStarted { term: self.term });
        self.run(match transfer {
            false if self.settings.pre_vote => Campaign::PreVote,
            _ => Campaign::Vote { force: transfer },
        })?;
        Ok(None)
    }

    /// Checks that this server may campaign; the inner error is the obstacle.
    fn may_campaign(&self) -> Result<Result<(), CampaignObstacle>, Error> {
        Ok(if self.role == Role::Leader {
            Err(CampaignObstacle::AlreadyLeader)
        } else if !self.promotable() {
            Err(CampaignObstacle::NotPromotable)
        } else if self.log.applied() < self.log.committed()
            && self.log.has_unapplied_conf_change()?
        {
            Err(CampaignObstacle::UnappliedConfChange)
        } else if self.term.0 >= super::validate::NUMBER_LIMIT {
            Err(CampaignObstacle::TermExhausted)
        } else {
            Ok(())
        })
    }

    /// Whether this server may become leader: it is a voter and no snapshot is on its way.
    pub fn promotable(&self) -> bool {
        let member = self.tracker.progress.get(self.settings.id);
        member.is_some_and(|progress| !progress.is_learner)
            && self.log.unstable().snapshot().is_none()
    }

    fn run(&mut self, campaign: Campaign) -> Result<(), Error> {
        let term = match campaign {
            Campaign::PreVote => {
                self.become_pre_candidate();
                self.term.next()
            }
            Campaign::Vote { .. } => {
                self.become_candidate();
                self.term
            }
        };
        let last = self.log.last_id()?;
        let voters = self.tracker.config.voters.ids();
        for to in &voters {
            if to == self.settings.id {
                // The own vote counts once it is durable, like any other.
                self.send_at(term, to, campaign.granted());
                continue;
            }
            let ballot = campaign.ballot();
            self.watch.report(Event::VoteRequested {
                ballot,
                to,
                last,
                term: self.term,
            });
            self.send_at(term, to, campaign.request(last));
        }
        Ok(())
    }

    fn become_pre_candidate(&mut self) {
        debug_assert!(self.role != Role::Leader);
        // Term, vote and timers stay: nothing happened yet, this server only asks.
        self.tracker.votes.clear();
        self.leader = None;
        self.give_up_reads();
        self.lease = false;
        self.role = Role::PreCandidate;
        self.watch
            .report(Event::BecamePreCandidate { term: self.term });
    }

    fn become_candidate(&mut self) {
        debug_assert!(self.role != Role::Leader);
        self.reset(self.term.next());
        self.vote = Some(self.settings.id);
        self.role = Role::Candidate;
        self.watch
            .report(Event::BecameCandidate { term: self.term });
    }

    fn become_leader(&mut self) -> Result<(), Error> {
        debug_assert!(self.role != Role::Follower);
        self.reset(self.term);
        self.leader = Some(self.settings.id);
        self.role = Role::Leader;
        let last = self.log.last_index()?;
        for (id, progress) in self.tracker.progress.iter_mut() {
            progress.reset(last.next());
            if id == self.settings.id {
                progress.maybe_update(last);
                progress.become_replicate();
                progress.recent_active = true;
            }
        }
        // There may be a change of membership in the log; waiting for all of it to be applied is
        // cheaper than to look for it.
        self.pending_conf_index = last;
        // An entry of the own term is what lets older ones commit (§5.4.2, §8).
        self.append(vec![Entry::proposal(EntryKind::Normal, Default::default())])?;
        self.watch.report(Event::BecameLeader { term: self.term });
        Ok(())
    }

    /// Returns whether to ignore a vote request of a higher term, since a leader is alive as far as this server knows
    /// (thesis §4.2.3).
    pub(super) fn ignores_vote_request(&mut self, message: &Message) -> Result<bool, Error> {
        let (candidate_last, ballot) = match message.body {
            Body::RequestVote { last, force: false } => (last, Ballot::Vote),
            Body::RequestPreVote { last } => (last, Ballot::PreVote),
            _ => return Ok(false),
        };
        if !self.lease_live() {
            return Ok(false);
        }
        self.report_request(
            Event::VoteRequestIgnored,
            ballot,
            message.from,
            candidate_last,
        )?;
        Ok(true)
    }

    /// Whether this server holds that the leader it knows (itself, perhaps) is alive: only with
    /// [`check_quorum`](crate::Config::check_quorum).
    pub fn lease_live(&self) -> bool {
        self.lease || (self.settings.check_quorum && self.role == Role::Leader)
    }

    /// The time begins anew in which a follower holds that its leader is alive.
    pub(super) fn renew_lease(&mut self) {
        self.lease =
            self.settings.check_quorum && self.role == Role::Follower && self.leader.is_some();
    }

    /// That time is over.
    pub(super) fn expire_lease(&mut self) {
        self.lease = false;
    }

    /// A vote request of the own term, or a pre-vote request of this or a later one.
    pub(super) fn handle_vote_request(
        &mut self,
        ballot: Ballot,
        from: NodeId,
        term: Term,
        candidate_last: EntryId,
    ) -> Result<(), Error> {
        let pre = ballot == Ballot::PreVote;
        let eligible = self.log.is_up_to_date(candidate_last)?;
        if !self.can_vote(from, term, pre) || !eligible {
            return self.reject_vote(ballot, from, candidate_last);
        }
        // Learners vote too: one that was promoted may not know it yet, and its vote may be
        // needed to elect the leader that would tell it.
        self.report_request(Event::VoteGranted, ballot, from, candidate_last)?;
        // A grant carries the term that was asked for: for a pre-vote, that is not the own one.
        if pre {
            self.send_at(term, from, Body::RequestPreVoteResponse { granted: true });
        } else {
            self.send_at(term, from, Body::RequestVoteResponse { granted: true });
            self.vote = Some(from);
            // A vote given counts as hearing from a leader.
            self.timer_reset.election = true;
            self.renew_lease();
        }
        Ok(())
    }

    /// One vote in a term, which may be repeated, and none against a leader that is known (Raft §5.2). A pre-vote for
    /// a later term is no vote.
    fn can_vote(&self, from: NodeId, term: Term, pre: bool) -> bool {
        self.vote == Some(from)
            || (self.vote.is_none() && self.leader.is_none())
            || (pre && term > self.term)
    }

    pub(super) fn reject_vote(
        &mut self,
        ballot: Ballot,
        from: NodeId,
        candidate_last: EntryId,
    ) -> Result<(), Error> {
        self.report_request(Event::VoteRefused, ballot, from, candidate_last)?;
        let answer = match ballot {
            Ballot::PreVote => Body::RequestPreVoteResponse { granted: false },
            Ballot::Vote => Body::RequestVoteResponse { granted: false },
        };
        self.send(from, answer);
        Ok(())
    }

    fn report_request(
        &mut self,
        event: fn(VoteRequest) -> Event<'static>,
        ballot: Ballot,
        candidate: NodeId,
        candidate_last: EntryId,
    ) -> Result<(), Error> {
        Ok(self.watch.report_with(|| {
            Ok(event(VoteRequest {
                ballot,
                candidate,
                candidate_last,
                last: self.log.last_id()?,
                term: self.term,
                vote: self.vote,
            }))
        })?)
    }

    /// A vote for or against this (pre-)candidate, of the kind it asked for.
    pub(super) fn handle_vote(&mut self, from: NodeId, granted: bool) -> Result<(), Error> {
        let ballot = match self.role {
            Role::PreCandidate => Ballot::PreVote,
            _ => Ballot::Vote,
        };
        self.watch.report(Event::VoteReceived {
            ballot,
            from,
            granted,
            term: self.term,
        });
        self.tracker.votes.record(from, granted);
        let tally = self.tracker.tally_votes();
        self.watch.report(Event::VotesCounted {
            ballot,
            granted: tally.granted,
            rejected: tally.rejected,
        });
        match tally.result {
            VoteResult::Won if ballot == Ballot::PreVote => {
                self.run(Campaign::Vote { force: false })
            }
            // Who leads without a durable vote of its own could, after a crash, win the same term
            // again and fill the same positions with other entries.
            VoteResult::Won if self.tracker.votes.get(self.settings.id) != Some(true) => Ok(()),
            VoteResult::Won => {
                self.become_leader()?;
                self.broadcast_append()
            }
            VoteResult::Lost => {
                self.become_follower(self.term, None);
                Ok(())
            }
            VoteResult::Pending => Ok(()),
        }
    }
}

impl Campaign {
    fn ballot(self) -> Ballot {
        match self {
            Campaign::PreVote => Ballot::PreVote,
            Campaign::Vote { .. } => Ballot::Vote,
        }
    }

    fn request(self, last: EntryId) -> Body {
        match self {
            Campaign::PreVote => Body::RequestPreVote { last },
            Campaign::Vote { force } => Body::RequestVote { last, force },
        }
    }

    fn granted(self) -> Body {
        match self {
            Campaign::PreVote => Body::RequestPreVoteResponse { granted: true },
            Campaign::Vote { .. } => Body::RequestVoteResponse { granted: true },
        }
    }
}
