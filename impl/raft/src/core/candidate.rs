//! The handling of messages of its term by a candidate or pre-candidate.

use super::Core;
use crate::error::{DropReason, Error, Refusal};
use crate::observer::{Event, Observer, TransferObstacle};
use crate::storage::Storage;
use crate::types::{Body, Message, Role};

impl<S: Storage, O: Observer> Core<S, O> {
    pub(super) fn step_candidate(&mut self, message: Message) -> Result<(), Error> {
        match message.body {
            Body::Propose { .. } => self.drop_proposal(DropReason::NoLeader),
            Body::ReadIndex { .. } => Err(Refusal::NoLeader.into()),
            Body::TransferLeader => Err(Refusal::Transfer(TransferObstacle::NoLeader).into()),
            Body::AppendEntries { .. } | Body::Heartbeat { .. } | Body::InstallSnapshot { .. } => {
                // Somebody else won this term (§5.2).
                self.become_follower(message.term, Some(message.from));
                self.step_follower(message)
            }
            // Only votes of the kind asked for count: a pre-vote that comes late says nothing
            // about the election that it led to.
            Body::RequestPreVoteResponse { granted } if self.role == Role::PreCandidate => {
                self.handle_vote(message.from, granted)
            }
            Body::RequestVoteResponse { granted } if self.role == Role::Candidate => {
                self.handle_vote(message.from, granted)
            }
            Body::TimeoutNow => {
                self.watch.report(Event::TimeoutNowIgnored {
                    term: self.term,
                    role: self.role,
                    from: message.from,
                });
                Ok(())
            }
            _ => Ok(()),
        }
    }
}
