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

#[cfg(test)]
mod tests {
    use super::*;
    use lockstep_traces::{Index, Message, NodeView, PeerView, ProgressState};
    use std::sync::Arc;

    fn id(number: u64) -> ServerId {
        ServerId::new(number).expect("not zero")
    }

    fn node(number: u64, view: NodeView) -> Node {
        Node::new(id(number), 0, Arc::new(view))
    }

    fn leader(active: bool) -> Node {
        let peer = PeerView {
            matched: Index(0),
            next: Index(1),
            state: ProgressState::Probe,
            paused: false,
            recent_active: active,
            commit_sent: Index(0),
            inflight: Vec::new(),
            pending_snapshot: None,
        };
        let view = NodeView {
            role: Role::Leader,
            term: Term(1),
            leader: Some(id(1)),
            peers: [(id(2), peer)].into(),
            ..NodeView::default()
        };
        node(1, view)
    }

    fn follower(lease: bool) -> Node {
        let view = NodeView {
            term: Term(1),
            leader: Some(id(1)),
            lease,
            ..NodeView::default()
        };
        node(2, view)
    }

    /// The clocks after these steps, in a term that has a leader.
    fn after(timing: Timing, steps: &[(&Node, &Node, Input)]) -> Clocks {
        let mut clocks = Clocks::default();
        for (before, after, input) in steps {
            clocks.note(timing, (before, after), input, Term(1));
        }
        clocks
    }

    fn sent(from: u64, to: u64, body: Body) -> Input {
        Input::Deliver(Message::new(id(from), id(to), Term(1), body))
    }

    #[test]
    fn a_lease_ends_only_after_its_leader_has_found_the_follower_silent() {
        let (held, ended) = (follower(true), follower(false));
        let expires = (&held, &ended, Input::LeaseExpire);
        let (heard, silent) = (leader(true), leader(false));
        let check = |of| (of, &silent, Input::CheckQuorum);
        for timing in [Timing::Elapsed, Timing::Silent] {
            assert!(after(timing, std::slice::from_ref(&expires)).broken);
            assert!(!after(timing, &[check(&silent), expires.clone()]).broken);
        }
        assert!(!after(Timing::Free, std::slice::from_ref(&expires)).broken);
        // A check that has heard from it says nothing, if it has to be silent.
        assert!(!after(Timing::Elapsed, &[check(&heard), expires.clone()]).broken);
        assert!(after(Timing::Silent, &[check(&heard), expires.clone()]).broken);
        // Nor does one before it heard from its leader again.
        let beat = Body::Heartbeat {
            commit: Index(0),
            round: 0,
        };
        let beaten = (&held, &held, sent(1, 2, beat));
        assert!(after(Timing::Silent, &[check(&silent), beaten, expires.clone()]).broken);
        // An answer must not come after its sender's lease has ended.
        let answered = (&silent, &heard, sent(2, 1, Body::HeartbeatResponse));
        let late = [check(&silent), expires.clone(), answered.clone()];
        assert!(after(Timing::Silent, &late).broken && !after(Timing::Elapsed, &late).broken);
        assert!(after(Timing::Silent, &[check(&silent), answered, expires]).broken);
    }
}
