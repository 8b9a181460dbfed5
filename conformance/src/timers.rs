//! The rules for timers, written a second time apart from the implementation: when etcd's timers start over, in terms
//! of what can be seen.
//!
//! * *electionElapsed* starts over whenever a server enters a term, or a role other than pre-candidate;
//!   when a follower hears from the leader of its term; when it gives its vote (a pre-vote does not
//!   count); when its timer fires; at a leader with every quorum check, and when it begins to transfer leadership,
//!   which then has one election timeout.
//! * *heartbeatElapsed* is a leader's and starts over when it becomes one and with every heartbeat.
//! * A new random timeout is drawn, evenly from `election_timeout..=2 * election_timeout - 1`, when a
//!   server starts and whenever it enters a term, or a role other than pre-candidate. At no other time:
//!   a pre-candidate asks again after the same timeout, and who hears from a leader keeps it too.

use lockstep_traces::{Body, Emitted, Input, NodeView, Role, ServerId, Term};
use std::ops::RangeInclusive;

/// The part of a server's state that its timers depend on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Tenure {
    pub role: Role,
    pub term: Term,
    pub leader: Option<ServerId>,
    pub transferee: Option<ServerId>,
}

impl From<&NodeView> for Tenure {
    fn from(view: &NodeView) -> Tenure {
        Tenure {
            role: view.role,
            term: view.term,
            leader: view.leader,
            transferee: view.transferee,
        }
    }
}

/// The effect of an input on the timers of a server.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Reset {
    /// The election timeout counts from now.
    pub election: bool,
    /// The heartbeat timeout counts from now.
    pub heartbeat: bool,
    /// A new random timeout is drawn.
    pub draw: bool,
}

impl Reset {
    /// The consequences of an input other than a restart.
    pub fn of(before: Tenure, input: &Input, after: Tenure, sent: &[Emitted]) -> Reset {
        let moved = (before.role, before.term) != (after.role, after.term);
        let begins = moved && after.role != Role::PreCandidate;
        let heard = match input {
            Input::Deliver(message) => {
                let of_leader = matches!(
                    message.body,
                    Body::AppendEntries { .. }
                        | Body::Heartbeat { .. }
                        | Body::InstallSnapshot { .. }
                );
                of_leader && message.term == after.term && after.leader == Some(message.from)
            }
            Input::Timeout
            | Input::LeaseExpire
            | Input::Heartbeat
            | Input::CheckQuorum
            | Input::Propose(_)
            | Input::Restart
            | Input::TransferLeadership { .. }
            | Input::ProposeConfChange(_)
            | Input::ForgetLeader
            | Input::Compact
            | Input::ReportUnreachable { .. }
            | Input::ReportSnapshot { .. }
            | Input::Persist
            | Input::Apply
            | Input::RestartKeeping { .. }
            | Input::ReadIndex { .. } => false,
        };
        let voted = sent.iter().any(|emitted| {
            matches!(
                emitted.message.body,
                Body::RequestVoteResponse { granted: true }
            )
        });
        let hands_over = after.transferee.is_some() && before.transferee != after.transferee;
        Reset {
            election: begins || heard || voted || hands_over,
            heartbeat: begins,
            draw: begins,
        }
    }
}

/// The counts that the timers of one server must have.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Clock {
    pub election_elapsed_ticks: u32,
    pub heartbeat_elapsed_ticks: u32,
}

/// The timeouts of a server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Timeouts {
    /// Ticks between the checks of a quorum, and the shortest election timeout.
    pub election_ticks: u32,
    /// Ticks between heartbeats.
    pub heartbeat_ticks: u32,
}

impl Timeouts {
    /// The random timeouts that can be drawn.
    pub fn drawn(self) -> RangeInclusive<u32> {
        self.election_ticks..=2 * self.election_ticks - 1
    }
}

impl Clock {
    /// The timer events that the next tick must raise, in order, if the server campaigns after
    /// `randomized` ticks. The counts are those after the tick and before the events.
    pub fn tick(&mut self, timeouts: Timeouts, role: Role, randomized: u32) -> Vec<Input> {
        self.election_elapsed_ticks += 1;
        let mut events = Vec::new();
        if role == Role::Leader {
            self.heartbeat_elapsed_ticks += 1;
            if self.election_elapsed_ticks >= timeouts.election_ticks {
                events.push(Input::CheckQuorum);
            }
            if self.heartbeat_elapsed_ticks >= timeouts.heartbeat_ticks {
                events.push(Input::Heartbeat);
            }
        } else {
            if self.election_elapsed_ticks == timeouts.election_ticks {
                events.push(Input::LeaseExpire);
            }
            if self.election_elapsed_ticks >= randomized {
                events.push(Input::Timeout);
            }
        }
        events
    }

    /// Follows an input that took a server from one view to another. Returns whether a new random
    /// timeout must have been drawn.
    pub fn follow(
        &mut self,
        before: &NodeView,
        input: &Input,
        after: &NodeView,
        sent: &[Emitted],
    ) -> bool {
        let restarts = matches!(input, Input::Restart | Input::RestartKeeping { .. });
        let reset = Reset::of(before.into(), input, after.into(), sent);
        let fired = match input {
            Input::Timeout => before.role != Role::Leader,
            Input::CheckQuorum => before.role == Role::Leader,
            _ => false,
        };
        if reset.election || fired || restarts {
            self.election_elapsed_ticks = 0;
        }
        if reset.heartbeat || restarts || matches!(input, Input::Heartbeat) {
            self.heartbeat_elapsed_ticks = 0;
        }
        reset.draw || restarts
    }
}
