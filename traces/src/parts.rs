//! Short forms for a Raft that keeps its state in the vocabulary: the ends of logs, requests for votes, and what leaves
//! a server.

use crate::{
    Body, Config, DurableImage, Emitted, Entry, Handed, Index, Message, NodeView, Outcome, Output,
    Refusal, ServerId, Term,
};

impl Config {
    /// The servers of the cluster but one, in order.
    pub fn others(&self, id: ServerId) -> impl Iterator<Item = ServerId> + use<> {
        self.server_ids().filter(move |other| *other != id)
    }
}

impl NodeView {
    /// Term and index of the last entry, or of the snapshot if there is no entry behind it. Of two logs, the one with
    /// the greater pair is more up-to-date.
    pub fn last(&self) -> (Term, Index) {
        let index = Index(self.before().0 + self.log.len() as u64);
        (self.term_at(index), index)
    }

    /// The term of the entry at an index; zero where there is none.
    pub fn term_at(&self, index: Index) -> Term {
        match &self.snapshot {
            Some(snapshot) if snapshot.index == index => snapshot.term,
            _ => self.entry_at(index).map_or(Term(0), |entry| entry.term),
        }
    }

    /// The entry at an index, if the log has it.
    pub fn entry_at(&self, index: Index) -> Option<&Entry> {
        let position = index.0.checked_sub(self.before().0 + 1)?;
        self.log.get(usize::try_from(position).ok()?)
    }

    /// The index before the first entry of the log.
    fn before(&self) -> Index {
        self.snapshot.as_ref().map_or(Index(0), |it| it.index)
    }

    /// The same view of a server whose state and log are durable at once.
    #[must_use]
    pub fn durable_at_once(mut self) -> NodeView {
        self.durable = DurableImage {
            term: self.term,
            vote: self.vote,
            commit: self.commit,
            log: self.log.clone(),
            snapshot: self.snapshot.clone(),
        };
        self
    }
}

impl Output {
    /// Adds a message that leaves when the state and the entries of the step are durable.
    pub fn send(&mut self, message: Message) {
        self.sent.push(Emitted {
            message,
            after_persist: true,
        });
    }

    /// Refuses the input.
    pub fn refuse(&mut self, refusal: Refusal) {
        self.outcome = Outcome::Refused(refusal);
    }

    /// Hands the application every entry that is committed and not applied yet, in order, and counts it as applied.
    pub fn apply_committed(&mut self, view: &mut NodeView) {
        for index in (view.applied.0 + 1..=view.commit.0).map(Index) {
            if let Some(entry) = view.entry_at(index).cloned() {
                self.handed.push(Handed { index, entry });
            }
        }
        view.applied = view.commit;
    }
}

impl Body {
    /// A request for a vote, or for a pre-vote, of a server whose log ends there.
    pub const fn vote_request(pre_vote: bool, last: (Term, Index)) -> Body {
        let (last_term, last_index) = last;
        match pre_vote {
            true => Body::RequestPreVote {
                last_index,
                last_term,
            },
            false => Body::RequestVote {
                last_index,
                last_term,
                transfer: false,
            },
        }
    }

    /// The answer to a request for a vote, or for a pre-vote.
    pub const fn vote_response(pre_vote: bool, granted: bool) -> Body {
        match pre_vote {
            true => Body::RequestPreVoteResponse { granted },
            false => Body::RequestVoteResponse { granted },
        }
    }

    /// Term and index of the last entry of the server that asks, in a request for a vote or a pre-vote.
    pub const fn candidate_log(&self) -> Option<(Term, Index)> {
        match self {
            Body::RequestVote {
                last_term,
                last_index,
                ..
            }
            | Body::RequestPreVote {
                last_term,
                last_index,
            } => Some((*last_term, *last_index)),
            _ => None,
        }
    }

    /// The index up to which the sender has the log, in an append response that rejects nothing.
    pub const fn acknowledged(&self) -> Option<Index> {
        match self {
            Body::AppendEntriesResponse {
                index,
                rejected: None,
            } => Some(*index),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Configuration, Payload, RejectHint, Snapshot};

    fn view() -> NodeView {
        let entry = |term| Entry {
            term: Term(term),
            payload: Payload::Value(term),
        };
        NodeView {
            log: vec![entry(1), entry(3)],
            ..NodeView::default()
        }
    }

    fn behind_a_snapshot() -> NodeView {
        NodeView {
            snapshot: Some(Snapshot {
                index: Index(4),
                term: Term(1),
                configuration: Configuration::default(),
            }),
            ..view()
        }
    }

    #[test]
    fn a_log_is_read_by_index() {
        assert_eq!(NodeView::default().last(), (Term(0), Index(0)));
        let view = view();
        assert_eq!(view.last(), (Term(3), Index(2)));
        let terms = [0, 1, 2, 3].map(|index| view.term_at(Index(index)).0);
        assert_eq!(terms, [0, 1, 3, 0]);

        let view = behind_a_snapshot();
        assert_eq!(view.last(), (Term(3), Index(6)));
        let terms = [3, 4, 5, 6, 7].map(|index| view.term_at(Index(index)).0);
        assert_eq!(terms, [0, 1, 1, 3, 0]);
    }

    #[test]
    fn what_is_durable_at_once_is_everything() {
        let view = NodeView {
            term: Term(5),
            commit: Index(6),
            ..behind_a_snapshot()
        };
        let durable = view.clone().durable_at_once().durable;
        assert_eq!((durable.term, durable.commit), (view.term, view.commit));
        assert_eq!((durable.log, durable.snapshot), (view.log, view.snapshot));
    }

    #[test]
    fn every_committed_entry_is_handed_once_and_in_order() {
        let mut view = view();
        let mut output = Output::default();
        for commit in [0, 1, 1, 2] {
            view.commit = Index(commit);
            output.apply_committed(&mut view);
        }
        let handed: Vec<_> = output.handed.iter().map(|it| it.index.0).collect();
        assert_eq!((handed, view.applied), (vec![1, 2], Index(2)));
        assert_eq!(output.handed[1].entry, view.log[1]);
    }

    #[test]
    fn requests_for_votes_are_told_from_others() {
        let last = (Term(2), Index(7));
        for (pre_vote, kind) in [(false, "RequestVote"), (true, "RequestPreVote")] {
            let request = Body::vote_request(pre_vote, last);
            assert_eq!(request.kind(), kind);
            assert_eq!(request.candidate_log(), Some(last));
            let response = Body::vote_response(pre_vote, true);
            assert!(response.is_response() && response.kind().starts_with(kind));
            assert_eq!(response.candidate_log(), None);
        }
    }

    #[test]
    fn what_is_rejected_is_not_acknowledged() {
        let response = |rejected| Body::AppendEntriesResponse {
            index: Index(3),
            rejected,
        };
        let hint = RejectHint {
            index: Index(1),
            term: Term(1),
        };
        assert_eq!(response(None).acknowledged(), Some(Index(3)));
        assert_eq!(response(Some(hint)).acknowledged(), None);
        assert_eq!(Body::HeartbeatResponse.acknowledged(), None);
    }
}
