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
        Some("serve") => serve(&MyRaft),
        _ => cli::main(Targets::builtin().with_fork("mine", || MyRaft)),
    }
}

/// The factory of servers.
struct MyRaft;

impl Target for MyRaft {
    type Server = Server;

    fn description(&self) -> Description {
        use Field::*;
        let state = [Role, Term, Vote, Leader, Log, Commit, Applied, Lease, Votes];
        let shows = state.into_iter().chain([Durable, Outcome, Handed]);
        Description::new("my-raft", "1", shows)
    }

    fn start(&self, config: &Config, id: ServerId) -> Result<Server, TargetError> {
        let mut server = Server {
            config: config.clone(),
            id,
            view: NodeView::default(),
            matched: BTreeMap::new(),
            active: BTreeSet::new(),
            output: Output::default(),
        };
        server.enter(Term(0), Role::Follower, None);
        Ok(server)
    }
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
    /// The messages that left the server because of the input in progress.
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
            Input::Propose(_) => self.output.outcome = Outcome::Refused(Refusal::ProposalDropped),
            Input::Deliver(message) => self.receive(message),
            // Term, vote, log and commit index are durable; what was applied the application knows.
            Input::Restart => self.enter(self.view.term, Role::Follower, None),
            // What it does not have (`Target::lacks`) never comes.
            _ => {}
        }
        Ok(Reaction::Driven(std::mem::take(&mut self.output)))
    }

    fn view(&mut self) -> Result<NodeView, TargetError> {
        let mut view = self.view.clone();
        view.durable = DurableImage {
            term: view.term,
            vote: view.vote,
            commit: view.commit,
            log: view.log.clone(),
            snapshot: None,
        };
        Ok(view)
    }
}

impl Server {
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
        let (last_term, last_index) = self.last();
        let term = Term(self.view.term.0 + 1);
        let body = if pre_vote {
            // Asks in the next term, and does not enter it.
            self.enter(self.view.term, Role::PreCandidate, None);
            Body::RequestPreVote {
                last_index,
                last_term,
            }
        } else {
            self.enter(term, Role::Candidate, None);
            self.view.vote = Some(self.id);
            Body::RequestVote {
                last_index,
                last_term,
                transfer: false,
            }
        };
        for to in self.peers() {
            self.send(to, term, body.clone());
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

    fn answer_candidate(&mut self, m: &Message, last: (Term, Index)) {
        let pre = matches!(m.body, Body::RequestPreVote { .. });
        let free = self.view.vote.is_none() && self.view.leader.is_none();
        let may = free || self.view.vote == Some(m.from) || pre && m.term > self.view.term;
        let granted = may && last >= self.last();
        let term = if granted { m.term } else { self.view.term };
        if pre {
            return self.send(m.from, term, Body::RequestPreVoteResponse { granted });
        }
        self.send(m.from, term, Body::RequestVoteResponse { granted });
        if granted {
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

    /// Term and index of the last entry; of two logs the one with the greater is more up-to-date.
    fn last(&self) -> (Term, Index) {
        let index = Index(self.view.log.len() as u64);
        (self.term_at(index), index)
    }

    /// Zero where the log has no entry.
    fn term_at(&self, index: Index) -> Term {
        let position = (index.0 as usize).wrapping_sub(1);
        let entry = self.view.log.get(position);
        entry.map_or(Term(0), |entry| entry.term)
    }

    // Messages

    fn peers(&self) -> impl Iterator<Item = ServerId> + use<> {
        let own = self.id;
        self.config.server_ids().filter(move |id| *id != own)
    }

    fn send(&mut self, to: ServerId, term: Term, body: Body) {
        let message = Message::new(self.id, to, term, body);
        // What it changes is durable at once.
        self.output.sent.push(Emitted {
            message,
            after_persist: true,
        });
    }

    fn receive(&mut self, m: &Message) {
        use Body::*;
        if m.body.is_response() && !self.matched.contains_key(&m.from) {
            self.output.outcome = Outcome::Refused(Refusal::UnknownPeer);
            return;
        }
        if m.term < self.view.term {
            // Who sent it hears of the newer term.
            return self.answer_leader(m.from, Index(0), None);
        }
        let pre_vote = matches!(m.body, RequestPreVote { .. });
        if m.term > self.view.term {
            let in_lease = self.view.lease || self.view.role == Role::Leader;
            let asks = pre_vote || matches!(m.body, RequestVote { .. });
            if asks && self.config.check_quorum && in_lease {
                return;
            }
            if !pre_vote && m.body != (RequestPreVoteResponse { granted: true }) {
                self.enter(m.term, Role::Follower, None);
            }
        }
        let of_leader = matches!(m.body, AppendEntries { .. } | Heartbeat { .. });
        if of_leader && self.view.role != Role::Leader {
            self.enter(m.term, Role::Follower, Some(m.from));
        }
        let (from, role) = (m.from, self.view.role);
        match m.body.clone() {
            RequestVote {
                last_term,
                last_index,
                ..
            }
            | RequestPreVote {
                last_term,
                last_index,
            } => self.answer_candidate(m, (last_term, last_index)),
            RequestVoteResponse { granted } if role == Role::Candidate => {
                self.count_vote(from, granted);
            }
            RequestPreVoteResponse { granted } if role == Role::PreCandidate => {
                self.count_vote(from, granted);
            }
            AppendEntries {
                prev_index,
                prev_term,
                entries,
                commit,
            } if role == Role::Follower => {
                self.replicate(from, (prev_term, prev_index), entries, commit);
            }
            Heartbeat { commit, .. } if role == Role::Follower => {
                self.commit_to(commit);
                self.send(from, self.view.term, HeartbeatResponse);
            }
            AppendEntriesResponse {
                index,
                rejected: None,
            } if role == Role::Leader => self.hear(from, index),
            AppendEntriesResponse { .. } | HeartbeatResponse if role == Role::Leader => {
                self.hear(from, Index(0));
            }
            _ => {}
        }
    }

    // Replication

    fn append(&mut self, payload: Payload) {
        let term = self.view.term;
        self.view.log.push(Entry { term, payload });
        self.send_appends();
        self.hear(self.id, self.last().1);
    }

    /// Sends every peer what follows the last entry that it is known to have.
    fn send_appends(&mut self) {
        for to in self.peers() {
            let prev_index = self.matched[&to];
            let body = Body::AppendEntries {
                prev_index,
                prev_term: self.term_at(prev_index),
                entries: self.view.log[prev_index.0 as usize..].to_vec(),
                commit: self.view.commit,
            };
            self.send(to, self.view.term, body);
        }
    }

    fn replicate(&mut self, from: ServerId, prev: (Term, Index), new: Vec<Entry>, commit: Index) {
        let (prev_term, prev_index) = prev;
        if prev_index < self.view.commit {
            return self.answer_leader(from, self.view.commit, None);
        }
        if self.term_at(prev_index) != prev_term {
            let (term, index) = self.last();
            return self.answer_leader(from, prev_index, Some(RejectHint { index, term }));
        }
        let mut last = prev_index;
        for entry in new {
            last.0 += 1;
            if self.term_at(last) != entry.term {
                self.view.log.truncate(last.0 as usize - 1);
                self.view.log.push(entry);
            }
        }
        self.commit_to(commit.min(last));
        self.answer_leader(from, last, None);
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
        let (old, new) = (self.view.commit, commit.min(self.last().1));
        for index in (old.0 + 1..=new.0).map(Index) {
            let entry = self.view.log[index.0 as usize - 1].clone();
            self.output.handed.push(Handed { index, entry });
        }
        self.view.commit = old.max(new);
        self.view.applied = self.view.commit;
    }
}
