//! What timers count, said once more and apart from the implementation: when etcd's timers start over,
//! in terms of what can be seen.
//!
//! *electionElapsed* starts over whenever a server changes its role or its term, when it hears from the
//! leader of its term, when it gives its vote (a pre-vote does not count), when it campaigns, and at a
//! leader with every quorum check. *heartbeatElapsed* is a leader's and starts over when it becomes one
//! and with every heartbeat. A new random timeout is drawn with every change of role or term.

use lockstep_traces::{Body, Emitted, Input, NodeView, Role};

/// Ticks between the checks of a quorum, and the shortest election timeout.
pub(super) const ELECTION_TICKS: u32 = 10;
/// Ticks between heartbeats.
pub(super) const HEARTBEAT_TICKS: u32 = 2;

/// What the timers of one server must have counted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Clock {
    pub election_elapsed_ticks: u32,
    pub heartbeat_elapsed_ticks: u32,
}

impl Clock {
    /// The timer events that the next tick must raise, in order, if the server campaigns after
    /// `randomized` ticks. The counts are those after the tick and before the events.
    pub fn tick(&mut self, role: Role, randomized: u32) -> Vec<Input> {
        self.election_elapsed_ticks += 1;
        let mut events = Vec::new();
        if role == Role::Leader {
            self.heartbeat_elapsed_ticks += 1;
            if self.election_elapsed_ticks >= ELECTION_TICKS {
                events.push(Input::CheckQuorum);
            }
            if self.heartbeat_elapsed_ticks >= HEARTBEAT_TICKS {
                events.push(Input::Heartbeat);
            }
        } else {
            if self.election_elapsed_ticks == ELECTION_TICKS {
                events.push(Input::LeaseExpire);
            }
            if self.election_elapsed_ticks >= randomized {
                events.push(Input::Timeout);
            }
        }
        events
    }

    /// Follows an input that took a server from one view to another. Returns whether a new random
    /// timeout may have been drawn.
    pub fn follow(
        &mut self,
        before: &NodeView,
        input: &Input,
        after: &NodeView,
        sent: &[Emitted],
    ) -> bool {
        let changed = before.role != after.role || before.term != after.term;
        let starts_over = match input {
            Input::Timeout => before.role != Role::Leader,
            Input::CheckQuorum => before.role == Role::Leader,
            Input::Restart => true,
            Input::Deliver(message) => {
                let of_leader = matches!(
                    message.body,
                    Body::AppendEntries { .. } | Body::Heartbeat { .. }
                );
                of_leader && message.term == after.term && after.leader == Some(message.from)
            }
            Input::LeaseExpire | Input::Heartbeat | Input::Propose(_) => false,
        };
        let voted = sent.iter().any(|emitted| {
            matches!(
                emitted.message.body,
                Body::RequestVoteResponse { granted: true }
            )
        });
        if changed || starts_over || voted {
            self.election_elapsed_ticks = 0;
        }
        if changed || matches!(input, Input::Heartbeat | Input::Restart) {
            self.heartbeat_elapsed_ticks = 0;
        }
        changed || matches!(input, Input::Timeout | Input::Restart)
    }
}
