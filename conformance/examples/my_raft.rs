//! A small Raft of one's own behind Lockstep. `main` is the whole command line:
//!
//! ```sh
//! cargo run --release --example my_raft -- conform --target mine --preset pair
//! ```
//!
//! With the argument `serve` the same servers speak the exec protocol. They show their state and what they hand to
//! their application, but not their messages: they send appends in place of heartbeats, as the paper does, and keep no
//! account of what is on its way, as etcd's Raft does. They have the mistake that Figure 8 of the paper warns of: a
//! leader counts copies of entries of older terms. Most presets do not meet that; `overtaken` does.

use lockstep_conformance::prelude::*;
use std::collections::{BTreeMap, BTreeSet};
use std::process::ExitCode;

fn main() -> ExitCode {
    match std::env::args().nth(1).as_deref() {
        Some("serve") => serve(&my_raft()),
        _ => cli::main(Targets::builtin().with_fork("mine", my_raft)),
    }
}

/// The name of the Raft, the fields that it shows, and how a server starts.
fn my_raft() -> impl Target<Server = Server> {
    use Field::*;
    let state = [Role, Term, Vote, Leader, Log, Commit, Applied, Lease, Votes];
    let shows = state.into_iter().chain([Durable, Outcome, Handed]);
    StartedBy::new(Description::new("my-raft", "1", shows), Server::new)
}

/// One server. It can be copied and hashed, so the whole space is compared, and not only every edge.
#[derive(Clone, Hash)]
struct Server {
    config: Config,
    id: ServerId,
    view: NodeView,
    /// At a leader: the last entry that each server is known to have.
    matched: BTreeMap<ServerId, Index>,
    /// At a leader: who was heard of since the last quorum check.
    active: BTreeSet<ServerId>,
    /// Everything that leaves the server because of the input in progress.
    output: Output,
}

impl TargetServer for Server {
    fn apply(&mut self, input: &Input) -> Result<Reaction, TargetError> {
        let leads = self.view.role == Role::Leader;
        match input {
            Input::Timeout if !leads => self.campaign(self.config.pre_vote),
            Input::LeaseExpire => self.view.lease = false,
            Input::Heartbeat if leads => self.send_appends(),
            Input::CheckQuorum if leads && self.config.check_quorum => self.check_quorum(),
            Input::Propose(value) if leads => self.append(Payload::Value(*value)),
            Input::Propose(_) => self.output.refuse(Refusal::ProposalDropped),
            Input::Deliver(message) => self.receive(message),
            // Term, vote, log and commit index are durable; what was applied the application knows.
            Input::Restart => self.enter(self.view.term, Role::Follower, None),
            // What it does not have (`Target::lacks`) never comes.
            _ => {}
        }
        Ok(Reaction::Driven(std::mem::take(&mut self.output)))
    }

    fn view(&mut self) -> Result<NodeView, TargetError> {
        Ok(self.view.clone().durable_at_once())
    }
}

impl Server {
    fn new(config: &Config, id: ServerId) -> Server {
        let mut server = Server {
            config: config.clone(),
            id,
            view: NodeView::default(),
            matched: BTreeMap::new(),
            active: BTreeSet::new(),
            output: Output::default(),
        };
        server.enter(Term(0), Role::Follower, None);
        server
    }

    // Elections

    fn enter(&mut self, term: Term, role: Role, leader: Option<ServerId>) {
        if term != self.view.term {
            (self.view.term, self.view.vote) = (term, None);
        }
        (self.view.role, self.view.leader) = (role, leader);
        self.view.votes.clear();
        let servers = self.config.server_ids();
        self.matched = servers.map(|id| (id, Index(0))).collect();
        self.active.clear();
        let follows = role == Role::Follower && leader.is_some();
        self.view.lease = self.config.check_quorum && follows;
    }

    fn campaign(&mut self, pre_vote: bool) {
        let term = Term(self.view.term.0 + 1);
        if pre_vote {
            // Asks in the next term, and does not enter it.
            self.enter(self.view.term, Role::PreCandidate, None);
        } else {
            self.enter(term, Role::Candidate, None);
            self.view.vote = Some(self.id);
        }
        for to in self.config.others(self.id) {
            self.send(to, term, Body::vote_request(pre_vote, self.view.last()));
        }
        self.count_vote(self.id, true);
    }

    fn count_vote(&mut self, voter: ServerId, granted: bool) {
        self.view.votes.entry(voter).or_insert(granted);
        let yes = self.view.votes.values().filter(|it| **it).count();
        let no = self.view.votes.len() - yes;
        if self.is_quorum(yes) && self.view.role == Role::PreCandidate {
            self.campaign(false);
        } else if self.is_quorum(yes) {
            self.enter(self.view.term, Role::Leader, Some(self.id));
            self.append(Payload::Empty);
        } else if !self.is_quorum(self.matched.len() - no) {
            self.enter(self.view.term, Role::Follower, None);
        }
    }

    fn answer_candidate(&mut self, m: &Message, pre_vote: bool) {
        let free = self.view.vote.is_none() && self.view.leader.is_none();
        let next = pre_vote && m.term > self.view.term;
        let may = free || next || self.view.vote == Some(m.from);
        let granted = may && m.body.candidate_log() >= Some(self.view.last());
        let term = if granted { m.term } else { self.view.term };
        self.send(m.from, term, Body::vote_response(pre_vote, granted));
        if granted && !pre_vote {
            self.view.vote = Some(m.from);
            self.view.lease = self.config.check_quorum && self.view.leader.is_some();
        }
    }

    fn check_quorum(&mut self) {
        let mut active = std::mem::take(&mut self.active);
        active.insert(self.id);
        if !self.is_quorum(active.len()) {
            self.enter(self.view.term, Role::Follower, None);
        }
    }

    fn is_quorum(&self, count: usize) -> bool {
        count * 2 > self.matched.len()
    }

    // Messages

    fn send(&mut self, to: ServerId, term: Term, body: Body) {
        self.output.send(Message::new(self.id, to, term, body));
    }

    fn receive(&mut self, m: &Message) {
        if m.body.is_response() && !self.matched.contains_key(&m.from) {
            self.output.refuse(Refusal::UnknownPeer);
        } else if m.term < self.view.term {
            // Who sent it hears of the newer term.
            self.answer_leader(m.from, Index(0), None);
        } else if m.term == self.view.term || self.follows_newer_term(m) {
            self.handle(m);
        }
    }

    /// A message of a newer term is handled in that term, and a pre-vote in its own. Nobody gets a vote in a lease.
    fn follows_newer_term(&mut self, m: &Message) -> bool {
        let in_lease = self.view.lease || self.view.role == Role::Leader;
        if self.config.check_quorum && in_lease && m.body.candidate_log().is_some() {
            return false;
        }
        let granted = Body::vote_response(true, true);
        if !matches!(m.body, Body::RequestPreVote { .. }) && m.body != granted {
            self.enter(m.term, Role::Follower, None);
        }
        true
    }

    fn handle(&mut self, m: &Message) {
        use Body::*;
        let of_leader = matches!(m.body, AppendEntries { .. } | Heartbeat { .. });
        if of_leader && self.view.role != Role::Leader {
            self.enter(m.term, Role::Follower, Some(m.from));
        }
        match (self.view.role, &m.body) {
            (_, RequestVote { .. }) => self.answer_candidate(m, false),
            (_, RequestPreVote { .. }) => self.answer_candidate(m, true),
            (Role::Candidate, RequestVoteResponse { granted })
            | (Role::PreCandidate, RequestPreVoteResponse { granted }) => {
                self.count_vote(m.from, *granted);
            }
            (Role::Follower, AppendEntries { .. }) => self.replicate(m),
            (Role::Follower, Heartbeat { commit, .. }) => {
                self.commit_to(*commit);
                self.send(m.from, self.view.term, HeartbeatResponse);
            }
            (Role::Leader, AppendEntriesResponse { .. } | HeartbeatResponse) => {
                self.hear(m.from, m.body.acknowledged().unwrap_or_default());
            }
            _ => {}
        }
    }

    // Replication

    fn append(&mut self, payload: Payload) {
        let term = self.view.term;
        self.view.log.push(Entry { term, payload });
        self.send_appends();
        self.hear(self.id, self.view.last().1);
    }

    /// Sends every peer what follows the last entry that it is known to have.
    fn send_appends(&mut self) {
        for to in self.config.others(self.id) {
            let prev_index = self.matched[&to];
            let body = Body::AppendEntries {
                prev_index,
                prev_term: self.view.term_at(prev_index),
                entries: self.view.log[prev_index.0 as usize..].to_vec(),
                commit: self.view.commit,
            };
            self.send(to, self.view.term, body);
        }
    }

    fn replicate(&mut self, m: &Message) {
        let Body::AppendEntries {
            prev_index,
            prev_term,
            ref entries,
            commit,
        } = m.body
        else {
            return;
        };
        if prev_index < self.view.commit {
            return self.answer_leader(m.from, self.view.commit, None);
        }
        if self.view.term_at(prev_index) != prev_term {
            let (term, index) = self.view.last();
            return self.answer_leader(m.from, prev_index, Some(RejectHint { index, term }));
        }
        let mut last = prev_index;
        for entry in entries {
            last.0 += 1;
            if self.view.term_at(last) != entry.term {
                self.view.log.truncate(last.0 as usize - 1);
                self.view.log.push(entry.clone());
            }
        }
        self.commit_to(commit.min(last));
        self.answer_leader(m.from, last, None);
    }

    fn answer_leader(&mut self, to: ServerId, index: Index, rejected: Option<RejectHint>) {
        let body = Body::AppendEntriesResponse { index, rejected };
        self.send(to, self.view.term, body);
    }

    /// Somebody has the log up to an index. What a majority has is committed: the mistake, if it is of an older term.
    fn hear(&mut self, from: ServerId, index: Index) {
        self.active.insert(from);
        let known = self.matched.entry(from).or_default();
        *known = index.max(*known);
        let mut all: Vec<Index> = self.matched.values().copied().collect();
        all.sort_unstable();
        self.commit_to(all[(all.len() - 1) / 2]);
    }

    fn commit_to(&mut self, commit: Index) {
        let commit = commit.min(self.view.last().1);
        self.view.commit = self.view.commit.max(commit);
        self.output.apply_committed(&mut self.view);
    }
}
