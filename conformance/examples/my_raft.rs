//! A small Raft of one's own, put behind Lockstep: [`MyRaft`] makes servers, [`Server`] is one of them, and `main`
//! is the whole command line.
//!
//! ```sh
//! cargo run --release --example my_raft -- conform --target mine --preset pair
//! ```
//!
//! It shows its state and what it hands to its application, and not its messages: it sends a peer all that the
//! peer may lack, where etcd's Raft keeps account of what is on its way. And it has the mistake that Figure 8 of
//! the paper warns of: a leader counts copies of entries of older terms. Most presets do not meet that; `overtaken`
//! does. With the argument `serve` the same servers speak the exec protocol.

use lockstep_conformance::digest::digest_of;
use lockstep_conformance::{
    Description, Fork, Output, Reaction, Target, TargetError, TargetServer, Targets, cli, serve,
};
use lockstep_traces::{
    Body, Config, DurableImage, Emitted, Entry, Field, Handed, Index, Input, Message, NodeView,
    Outcome, Payload, Refusal, RejectHint, Role, ServerId, Term,
};
use std::collections::{BTreeMap, BTreeSet};
use std::process::ExitCode;

fn main() -> ExitCode {
    match std::env::args().nth(1).as_deref() {
        Some("serve") => serve(&MyRaft::new()),
        _ => cli::main(Targets::builtin().with_fork("mine", MyRaft::new)),
    }
}

/// The implementation, as a factory of servers.
#[derive(Clone, Copy, Debug, Default)]
pub struct MyRaft;

impl MyRaft {
    /// The factory.
    pub fn new() -> MyRaft {
        MyRaft
    }
}

impl Target for MyRaft {
    type Server = Server;

    fn description(&self) -> Description {
        use Field::*;
        let state = [Role, Term, Vote, Leader, Log, Commit, Applied, Lease, Votes];
        let shows = state
            .into_iter()
            .chain([Durable, Outcome, Handed])
            .collect();
        Description {
            name: "my-raft".to_owned(),
            version: "1".to_owned(),
            shows,
            derived: BTreeMap::new(),
            dialect: Vec::new(),
        }
    }

    fn start(&self, config: &Config, id: ServerId) -> Result<Server, TargetError> {
        Ok(Server::new(config, id))
    }
}

/// One server.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Server {
    config: Config,
    id: ServerId,
    view: NodeView,
    /// At a leader: the last entry that each server is known to have.
    matched: BTreeMap<ServerId, Index>,
    /// At a leader: who has answered since the last quorum check.
    active: BTreeSet<ServerId>,
    /// What the input in progress has sent.
    sent: Vec<Message>,
}

impl TargetServer for Server {
    fn apply(&mut self, input: &Input) -> Result<Reaction, TargetError> {
        let leads = self.view.role == Role::Leader;
        let mut outcome = Outcome::Accepted;
        match input {
            Input::Timeout if !leads => self.campaign(self.config.pre_vote),
            Input::LeaseExpire => self.view.lease = false,
            Input::Heartbeat if leads => self.send_heartbeats(),
            Input::CheckQuorum if leads && self.config.check_quorum => self.check_quorum(),
            Input::Propose(value) if leads => self.append(Payload::Value(*value)),
            Input::Propose(_) => outcome = Outcome::Refused(Refusal::ProposalDropped),
            Input::Deliver(message) => outcome = self.receive(message),
            Input::Restart => self.restart(),
            // What it does not have (`Target::lacks`) never comes.
            _ => {}
        }
        let news = self.view.applied.0..self.view.commit.0;
        let handed = news.map(|at| Handed {
            index: Index(at + 1),
            entry: self.view.log[at as usize].clone(),
        });
        let handed = handed.collect();
        self.view.applied = self.view.commit;
        let sent = std::mem::take(&mut self.sent).into_iter();
        let sent = sent.map(|message| Emitted {
            after_persist: is_answer(&message.body),
            message,
        });
        Ok(Reaction::Driven(Output {
            outcome,
            sent: sent.collect(),
            handed,
        }))
    }

    fn view(&mut self) -> Result<NodeView, TargetError> {
        let view = self.view.clone();
        Ok(NodeView {
            durable: DurableImage {
                term: view.term,
                vote: view.vote,
                commit: view.commit,
                log: view.log.clone(),
                snapshot: None,
            },
            ..view
        })
    }
}

/// With this the whole space is compared, and not only every edge.
impl Fork for Server {
    fn fork(&self) -> Server {
        self.clone()
    }

    fn digest(&self) -> u128 {
        digest_of(self)
    }
}

fn is_answer(body: &Body) -> bool {
    use Body::*;
    matches!(
        body,
        RequestVoteResponse { .. } | RequestPreVoteResponse { .. } | AppendEntriesResponse { .. }
    )
}

impl Server {
    fn new(config: &Config, id: ServerId) -> Server {
        let view = lockstep_conformance::compare::start_view(config);
        Server {
            config: config.clone(),
            id,
            view,
            matched: BTreeMap::new(),
            active: BTreeSet::new(),
            sent: Vec::new(),
        }
    }

    /// Term, vote, log and commit index are durable; what was applied the application knows.
    fn restart(&mut self) {
        self.enter(self.view.term, Role::Follower, None);
    }

    fn others(&self) -> Vec<ServerId> {
        let ids = self.config.server_ids();
        ids.filter(|id| *id != self.id).collect()
    }

    fn send_to_all(&mut self, term: Term, body: Body) {
        for to in self.others() {
            self.send(to, term, body.clone());
        }
    }

    fn send(&mut self, to: ServerId, term: Term, body: Body) {
        let from = self.id;
        self.sent.push(Message {
            from,
            to,
            term,
            body,
        });
    }

    /// The last entry of the log; of two logs the one with the greater is more up-to-date.
    fn last(&self) -> (Term, Index) {
        let index = Index(self.view.log.len() as u64);
        (self.term_at(index), index)
    }

    fn term_at(&self, index: Index) -> Term {
        let entry = index.0.checked_sub(1);
        let entry = entry.and_then(|at| self.view.log.get(at as usize));
        entry.map_or(Term(0), |entry| entry.term)
    }

    fn is_quorum(&self, count: usize) -> bool {
        count * 2 > self.config.servers as usize
    }

    // Elections

    fn enter(&mut self, term: Term, role: Role, leader: Option<ServerId>) {
        if term != self.view.term {
            (self.view.term, self.view.vote) = (term, None);
        }
        (self.view.role, self.view.leader) = (role, leader);
        self.view.votes.clear();
        self.matched.clear();
        self.active.clear();
        self.renew_lease();
    }

    fn renew_lease(&mut self) {
        let follows = self.view.role == Role::Follower && self.view.leader.is_some();
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
        self.send_to_all(term, body);
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
        } else if !self.is_quorum(self.config.servers as usize - no) {
            self.enter(self.view.term, Role::Follower, None);
        }
    }

    fn consider(&mut self, m: &Message, last: (Term, Index), pre: bool) {
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
            self.renew_lease();
        }
    }

    fn check_quorum(&mut self) {
        let active = std::mem::take(&mut self.active);
        if !self.is_quorum(1 + active.len()) {
            self.enter(self.view.term, Role::Follower, None);
        }
    }

    // Messages

    fn receive(&mut self, m: &Message) -> Outcome {
        let answers = is_answer(&m.body) || m.body == Body::HeartbeatResponse;
        if answers && m.from.get() > self.config.servers {
            return Outcome::Refused(Refusal::UnknownPeer);
        }
        let of_leader = matches!(m.body, Body::AppendEntries { .. } | Body::Heartbeat { .. });
        if m.term < self.view.term {
            if of_leader || matches!(m.body, Body::RequestPreVote { .. }) {
                // It hears of the newer term.
                self.acknowledge(m.from, Index(0));
            }
            return Outcome::Accepted;
        }
        if m.term > self.view.term {
            let in_lease = self.view.lease || self.view.role == Role::Leader;
            match m.body {
                Body::RequestVote { .. } | Body::RequestPreVote { .. }
                    if self.config.check_quorum && in_lease =>
                {
                    return Outcome::Accepted;
                }
                Body::RequestPreVote { .. } | Body::RequestPreVoteResponse { granted: true } => {}
                _ => self.enter(m.term, Role::Follower, None),
            }
        }
        if of_leader && self.view.role != Role::Leader {
            if self.view.role != Role::Follower {
                self.enter(m.term, Role::Follower, None);
            }
            self.view.leader = Some(m.from);
            self.renew_lease();
        }
        self.handle(m);
        Outcome::Accepted
    }

    fn handle(&mut self, m: &Message) {
        match (&m.body, self.view.role) {
            (
                Body::RequestVote {
                    last_term,
                    last_index,
                    ..
                },
                _,
            ) => self.consider(m, (*last_term, *last_index), false),
            (
                Body::RequestPreVote {
                    last_term,
                    last_index,
                },
                _,
            ) => self.consider(m, (*last_term, *last_index), true),
            (Body::RequestVoteResponse { granted }, Role::Candidate)
            | (Body::RequestPreVoteResponse { granted }, Role::PreCandidate) => {
                self.count_vote(m.from, *granted);
            }
            (
                Body::AppendEntries {
                    prev_index,
                    prev_term,
                    entries,
                    commit,
                },
                Role::Follower,
            ) => self.take(m.from, (*prev_term, *prev_index), entries, *commit),
            (Body::Heartbeat { commit }, Role::Follower) => {
                self.commit_to(*commit);
                self.send(m.from, self.view.term, Body::HeartbeatResponse);
            }
            (Body::AppendEntriesResponse { index, rejected }, Role::Leader) => {
                self.active.insert(m.from);
                if rejected.is_none() {
                    self.acknowledged(m.from, *index);
                }
            }
            (Body::HeartbeatResponse, Role::Leader) => {
                self.active.insert(m.from);
                self.send_append(m.from);
            }
            _ => {}
        }
    }

    // Replication

    fn append(&mut self, payload: Payload) {
        let term = self.view.term;
        self.view.log.push(Entry { term, payload });
        for to in self.others() {
            self.send_append(to);
        }
        self.acknowledged(self.id, self.last().1);
    }

    /// Sends a peer everything after what it is known to have.
    fn send_append(&mut self, to: ServerId) {
        let prev_index = self.matched.get(&to).copied().unwrap_or(Index(0));
        let body = Body::AppendEntries {
            prev_index,
            prev_term: self.term_at(prev_index),
            entries: self.view.log[prev_index.0 as usize..].to_vec(),
            commit: self.view.commit,
        };
        self.send(to, self.view.term, body);
    }

    fn send_heartbeats(&mut self) {
        for to in self.others() {
            let known = self.matched.get(&to).copied().unwrap_or(Index(0));
            let commit = known.min(self.view.commit);
            self.send(to, self.view.term, Body::Heartbeat { commit });
        }
    }

    fn take(&mut self, from: ServerId, prev: (Term, Index), entries: &[Entry], commit: Index) {
        let (prev_term, prev_index) = prev;
        if prev_index < self.view.commit {
            return self.acknowledge(from, self.view.commit);
        }
        if prev_index > self.last().1 || self.term_at(prev_index) != prev_term {
            let (term, index) = self.last();
            let rejected = Some(RejectHint { index, term });
            let body = Body::AppendEntriesResponse {
                index: prev_index,
                rejected,
            };
            return self.send(from, self.view.term, body);
        }
        for (at, entry) in (prev_index.0 as usize..).zip(entries) {
            let there = self.view.log.get(at);
            if there.is_none_or(|it| it.term != entry.term) {
                self.view.log.truncate(at);
                self.view.log.push(entry.clone());
            }
        }
        let last = Index(prev_index.0 + entries.len() as u64);
        self.commit_to(commit.min(last));
        self.acknowledge(from, last);
    }

    fn acknowledge(&mut self, to: ServerId, index: Index) {
        let rejected = None;
        let body = Body::AppendEntriesResponse { index, rejected };
        self.send(to, self.view.term, body);
    }

    fn commit_to(&mut self, commit: Index) {
        let last = self.last().1;
        self.view.commit = self.view.commit.max(commit.min(last));
    }

    /// Commits what a majority has. The mistake: the entry may be of an older term.
    fn acknowledged(&mut self, from: ServerId, index: Index) {
        let known = self.matched.entry(from).or_insert(Index(0));
        *known = index.max(*known);
        let mut all: Vec<Index> = self.matched.values().copied().collect();
        all.sort_unstable_by(|left, right| right.cmp(left));
        let of_majority = all.get(self.config.servers as usize / 2);
        self.commit_to(of_majority.copied().unwrap_or(Index(0)));
    }
}
