//! A server in the vocabulary that conformance compares.

use super::{Flow, Progress, Server};
use crate::settings::Settings;
use lockstep_traces::{
    DurableImage, Index, NodeView, PeerView, ProgressState, Role, ServerId, Term,
};

impl Server {
    /// Everything that the specification says of this server.
    pub fn view(&self, settings: &Settings) -> NodeView {
        let log: Vec<_> = self.log.iter().map(Into::into).collect();
        let term = Term(u64::from(self.term));
        let commit = index(self.commit);
        let vote = self.vote.map(ServerId::from);
        let votes = [(self.granted, true), (self.refused, false)];
        NodeView {
            role: self.role,
            term,
            vote,
            leader: self.leader.map(ServerId::from),
            log: log.clone(),
            commit,
            applied: commit,
            lease: self.lease,
            votes: votes
                .into_iter()
                .flat_map(|(ids, granted)| ids.iter().map(move |id| (id.into(), granted)))
                .collect(),
            peers: settings
                .ids()
                .filter(|id| *id != self.id)
                .filter_map(|id| Some((id.into(), self.peer(id)?.view())))
                .collect(),
            durable: DurableImage {
                term,
                vote,
                commit,
                log,
            },
        }
    }

    /// Its name.
    pub fn id(&self) -> ServerId {
        self.id.into()
    }

    /// Its role.
    pub fn role(&self) -> Role {
        self.role
    }

    /// Its term.
    pub fn term(&self) -> Term {
        Term(u64::from(self.term))
    }

    /// Its commit index.
    pub fn commit(&self) -> Index {
        index(self.commit)
    }
}

impl Progress {
    fn view(&self) -> PeerView {
        PeerView {
            matched: index(self.matched),
            next: index(self.next),
            state: match self.flow {
                Flow::Probe => ProgressState::Probe,
                Flow::Replicate => ProgressState::Replicate,
            },
            paused: self.paused,
            recent_active: self.recent_active,
            commit_sent: index(self.commit_sent),
            inflight: self.inflight.iter().map(index).collect(),
        }
    }
}

fn index(index: u32) -> Index {
    Index(u64::from(index))
}
