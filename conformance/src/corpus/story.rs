//! Telling a story on the specification: events named as a person would name them.

use super::CorpusError;
use lockstep_model::{Action, Bounds, Cluster, ClusterState, Id, Settings};
use lockstep_traces::{Body, Config, Event, Index, Input, Message, NodeView, Role, ServerId, Term};

/// The action of the network on a message.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Fate {
    Delivered,
    Repeated,
    Lost,
}

/// A cluster without bounds, and what happened to it.
pub(crate) struct Story {
    name: &'static str,
    pub cluster: Cluster,
    state: ClusterState,
    pub actions: Vec<Action>,
}

impl Story {
    pub fn new(name: &'static str, config: &Config) -> Result<Story, CorpusError> {
        let cluster = Cluster::new(Settings::new(config)?, Bounds::UNLIMITED);
        Ok(Story {
            name,
            state: cluster.initial(),
            cluster,
            actions: Vec::new(),
        })
    }

    fn error(&self, what: impl Into<String>) -> CorpusError {
        CorpusError::Story {
            story: self.name.to_owned(),
            what: what.into(),
        }
    }

    fn act(&mut self, action: Action) {
        self.state = self.cluster.apply(&self.state, &action).next;
        self.actions.push(action);
    }

    /// Something happens to one server.
    pub fn at(&mut self, action: fn(Id) -> Action, server: u8) -> Result<(), CorpusError> {
        let id = Id::new(server).ok_or_else(|| self.error("there is no server zero"))?;
        self.act(action(id));
        Ok(())
    }

    /// Every message among these servers is delivered, and every answer, until there are none; what is
    /// addressed to others stays in flight. Delivered in the order of the network, so that a story is
    /// always the same.
    pub fn talk(&mut self, among: &[u64]) -> Result<(), CorpusError> {
        while let Some(action) = self.first(
            |m| among.contains(&m.from.get()) && among.contains(&m.to.get()),
            Fate::Delivered,
        ) {
            self.act(action);
            if self.actions.len() > 1000 {
                return Err(self.error("they never stop talking"));
            }
        }
        Ok(())
    }

    /// The first message in flight from one server to another is delivered.
    pub fn deliver(&mut self, from: u64, to: u64) -> Result<(), CorpusError> {
        let action = self.first(
            |m| m.from.get() == from && m.to.get() == to,
            Fate::Delivered,
        );
        let nothing = || self.error(format!("nothing is on its way from {from} to {to}"));
        let action = action.ok_or_else(nothing)?;
        self.act(action);
        Ok(())
    }

    /// The append from one server to another that begins there and holds that many entries is delivered.
    pub fn deliver_append(
        &mut self,
        (from, to): (u64, u64),
        prev: u64,
        count: usize,
    ) -> Result<(), CorpusError> {
        let what = format!("append of {count} entries after {prev}");
        self.deliver_that((from, to), &what, |body| {
            matches!(body, Body::AppendEntries { prev_index, entries, .. }
                if *prev_index == Index(prev) && entries.len() == count)
        })
    }

    /// The refusal of an append is delivered.
    pub fn deliver_refusal(&mut self, (from, to): (u64, u64)) -> Result<(), CorpusError> {
        self.deliver_that((from, to), "refusal", |body| {
            matches!(
                body,
                Body::AppendEntriesResponse {
                    rejected: Some(_),
                    ..
                }
            )
        })
    }

    /// The heartbeat from one server to another is delivered.
    pub fn deliver_heartbeat(&mut self, (from, to): (u64, u64)) -> Result<(), CorpusError> {
        self.deliver_that((from, to), "heartbeat", |body| {
            matches!(body, Body::Heartbeat { .. })
        })
    }

    /// The vote request from one server to another is delivered.
    pub fn deliver_vote_request(&mut self, link: (u64, u64)) -> Result<(), CorpusError> {
        self.deliver_that(link, "vote request", is_vote_request)
    }

    /// The vote request from one server to another is repeated by the network.
    pub fn duplicate_vote_request(&mut self, link: (u64, u64)) -> Result<(), CorpusError> {
        self.happen(Fate::Repeated, link, "vote request", is_vote_request)
    }

    /// The acknowledgement of an append is repeated by the network.
    pub fn duplicate_acknowledgement(&mut self, link: (u64, u64)) -> Result<(), CorpusError> {
        self.happen(Fate::Repeated, link, "acknowledgement", |body| {
            matches!(body, Body::AppendEntriesResponse { rejected: None, .. })
        })
    }

    /// The first message in flight from one server to another is delivered, and nothing is sent for it.
    pub fn deliver_unanswered(&mut self, from: u64, to: u64) -> Result<(), CorpusError> {
        let before = self.state.in_flight();
        self.deliver(from, to)?;
        match self.state.in_flight() < before {
            true => Ok(()),
            false => Err(self.error(format!("server {to} sends something"))),
        }
    }

    fn deliver_that(
        &mut self,
        link: (u64, u64),
        what: &str,
        wanted: impl Fn(&Body) -> bool,
    ) -> Result<(), CorpusError> {
        self.happen(Fate::Delivered, link, what, wanted)
    }

    fn happen(
        &mut self,
        fate: Fate,
        (from, to): (u64, u64),
        what: &str,
        wanted: impl Fn(&Body) -> bool,
    ) -> Result<(), CorpusError> {
        let between = |m: &Message| m.from.get() == from && m.to.get() == to && wanted(&m.body);
        let nothing = || self.error(format!("no {what} is on its way from {from} to {to}"));
        let action = self.first(between, fate).ok_or_else(nothing)?;
        self.act(action);
        Ok(())
    }

    /// Each voter hears the candidate and is heard, in this order.
    pub fn elect(&mut self, candidate: u64, voters: &[u64]) -> Result<(), CorpusError> {
        for voter in voters {
            self.deliver(candidate, *voter)?;
        }
        for voter in voters {
            self.deliver(*voter, candidate)?;
        }
        Ok(())
    }

    /// The story depends on nothing being in flight here.
    pub fn expect_silence(&self) -> Result<(), CorpusError> {
        match self.state.in_flight() {
            0 => Ok(()),
            some => Err(self.error(format!("{some} messages are in flight"))),
        }
    }

    /// The network loses everything in flight.
    pub fn lose_all(&mut self) {
        while let Some(action) = self.first(|_| true, Fate::Lost) {
            self.act(action);
        }
    }

    fn first(&self, wanted: impl Fn(&Message) -> bool, fate: Fate) -> Option<Action> {
        let mut actions = Vec::new();
        self.cluster.enabled(&self.state, &mut actions);
        actions.into_iter().find(|action| {
            let (message, its) = match self.cluster.event(&self.state, action) {
                Event::Server {
                    input: Input::Deliver(message),
                    ..
                } => (message, Fate::Delivered),
                Event::Duplicate(message) => (message, Fate::Repeated),
                Event::Drop(message) => (message, Fate::Lost),
                Event::Server { .. } => return false,
            };
            its == fate && wanted(&message)
        })
    }

    fn view(&self, server: u64) -> Result<NodeView, CorpusError> {
        let id = ServerId::new(server).ok_or_else(|| self.error("there is no server zero"))?;
        Ok(self.state.server(id).view(self.cluster.settings()))
    }

    /// The story depends on this server having that role and term here.
    pub fn expect_role(&self, server: u64, role: Role, term: u64) -> Result<(), CorpusError> {
        let view = self.view(server)?;
        if (view.role, view.term) == (role, Term(term)) {
            return Ok(());
        }
        Err(self.error(format!(
            "server {server} is {:?} of term {}, not {role:?} of term {term}",
            view.role, view.term
        )))
    }

    /// The story depends on the terms of this server's entries, and on its commit index, here.
    pub fn expect_log(&self, server: u64, terms: &[u64], commit: u64) -> Result<(), CorpusError> {
        let view = self.view(server)?;
        let found: Vec<u64> = view.log.iter().map(|entry| entry.term.0).collect();
        if found == terms && view.commit == Index(commit) {
            return Ok(());
        }
        Err(self.error(format!(
            "server {server} has entries of terms {found:?} with commit {}, not {terms:?} with {commit}",
            view.commit
        )))
    }

    /// The story depends on whether this server's lease is live here.
    pub fn expect_lease(&self, server: u64, live: bool) -> Result<(), CorpusError> {
        let lease = self.view(server)?.lease;
        if lease == live {
            return Ok(());
        }
        Err(self.error(format!(
            "the lease of server {server} is {lease}, not {live}"
        )))
    }
}

fn is_vote_request(body: &Body) -> bool {
    matches!(body, Body::RequestVote { .. })
}
