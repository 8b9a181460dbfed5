//! The assumption about clocks that reads by lease need, and whether a run has kept to it.
//!
//! Timers are independent here. So a run that breaks the assumption is explored like any other, and nothing is said of
//! the reads that follow ([`Timing`]).

use super::node::Node;
use lockstep_model::Timing;
use lockstep_traces::{Body, Input, Role, ServerId, Term};
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;

/// The facts about clocks so far, of the highest term that has had a leader.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Clocks {
    /// The followers whose lease or timer may end now: the leader has found them silent for an election timeout.
    silent: BTreeSet<ServerId>,
    /// The followers whose lease or timer has ended since they last heard from the leader.
    ended: BTreeSet<ServerId>,
    /// A lease or a timer ended, or an answer came, when it must not.
    pub(crate) broken: bool,
}

impl Clocks {
    /// Clocks that have broken every assumption.
    pub(crate) const BROKEN: Clocks = Clocks {
        silent: BTreeSet::new(),
        ended: BTreeSet::new(),
        broken: true,
    };

    /// Takes note of a step of a server, where `led` is the highest term that had a leader before.
    pub(crate) fn note(
        &mut self,
        timing: Timing,
        (before, after): (&Node, &Node),
        input: &Input,
        led: Term,
    ) {
        if timing == Timing::Free || self.broken {
            return;
        }
        let (i, next) = (&before.view, &after.view);
        let (leads, led_now) = (i.role == Role::Leader, next.role == Role::Leader);
        // Of the terms before it nothing is said.
        let in_term = i.term == led;
        let mut broken = false;
        if led_now && !(leads && i.term == next.term) {
            if next.term > led {
                // The only voter leads at once when its timer ends.
                let early = i.lease && in_term && !self.silent.contains(&before.id);
                *self = Clocks::default();
                broken = *input == Input::Timeout && early;
            }
        } else {
            broken = self.note_in_term(timing, (before, after), input, led);
        }
        if broken {
            *self = Clocks::BROKEN;
        }
    }

    /// Takes note of a step by which nobody becomes leader; whether it breaks the assumption.
    fn note_in_term(
        &mut self,
        timing: Timing,
        (before, after): (&Node, &Node),
        input: &Input,
        led: Term,
    ) -> bool {
        let (i, next) = (&before.view, &after.view);
        let (leads, in_term) = (i.role == Role::Leader, i.term == led);
        match input {
            // The leader's clock.
            Input::CheckQuorum if leads && in_term => {
                let spoke = |active: bool| timing == Timing::Silent && active;
                let silent = i
                    .peers
                    .iter()
                    .filter(|(_, peer)| !spoke(peer.recent_active));
                self.silent.extend(silent.map(|(id, _)| *id));
                false
            }
            // A follower's clock. A server that comes back has waited for as long.
            Input::Timeout | Input::LeaseExpire | Input::Restart | Input::RestartKeeping { .. }
                if i.lease && in_term =>
            {
                self.ended.insert(before.id);
                !self.silent.contains(&before.id)
            }
            Input::Deliver(m) if m.term == led && next.term == led => {
                let from_leader = matches!(
                    m.body,
                    Body::AppendEntries { .. }
                        | Body::Heartbeat { .. }
                        | Body::InstallSnapshot { .. }
                );
                if from_leader && next.leader == Some(m.from) && next.role != Role::Leader {
                    self.silent.remove(&after.id);
                    self.ended.remove(&after.id);
                }
                let answer = matches!(
                    m.body,
                    Body::AppendEntriesResponse { .. }
                        | Body::HeartbeatResponse
                        | Body::RoundResponse { .. }
                );
                let heard = answer && leads && i.peers.contains_key(&m.from);
                if heard && timing == Timing::Silent {
                    self.silent.remove(&m.from);
                    return self.ended.contains(&m.from);
                }
                false
            }
            _ => false,
        }
    }
}
