//! Signs of trouble that the protocol has no place for, kept for whoever looks at a server.
//!
//! A message that is refused changes nothing, so the protocol itself remembers nothing of it. Nor does
//! it react to a member whose log is shorter than what that member acknowledged: messages come late and
//! out of order, so one such message proves nothing. For a person both are the sign of a member that
//! lost its disk. Nothing here decides anything.

use std::collections::BTreeMap;

use crate::core::Core;
use crate::error::{Error, PeerError};
use crate::observer::Observer;
use crate::storage::Storage;
use crate::tracker::ProgressState;
use crate::types::{Body, Index, Message, NodeId, Role, Term};

/// The messages that a server refused since it started.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct RefusedMessages {
    /// The number of them.
    pub count: u64,
    /// The last of them, and the reason.
    pub last: Option<PeerError>,
}

/// A member whose log is shorter than it should be: most probably it lost its disk, or was started
/// with an empty one. A message that was overtaken by others looks the same, but only until the
/// member acknowledges the next entry. The README of this crate says what to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct ShortLog {
    /// The member.
    pub id: NodeId,
    /// The last entry that it acknowledged.
    pub acknowledged: Index,
    /// The last entry that it can have, by a later message of its own.
    pub shown: Index,
}

/// Problems that [`RawNode`](crate::RawNode) notices beside its core.
#[derive(Clone, Debug, Default)]
pub(crate) struct Health {
    pub(crate) refused: RefusedMessages,
    /// Ends of logs that are too short, with the term in which this server led.
    shown: BTreeMap<NodeId, (Term, Index)>,
    /// The number of refusals by each member, since the last tick, of entries that it has acknowledged.
    repeated: BTreeMap<NodeId, u32>,
}

/// The number of refusals of acknowledged entries that are taken in from a member between two ticks. Such a refusal
/// lowers nothing, and the leader sends the same append again at once. One that came late does no harm, and there are a
/// few of them at most; but a member that lost its log refuses again and again, as fast as the network is.
const REPEATED_REFUSALS: u32 = 8;

impl Health {
    /// Looks at a message before the core takes it in.
    pub(crate) fn look_at<S: Storage, O: Observer>(
        &mut self,
        core: &Core<S, O>,
        message: &Message,
    ) {
        let (shown, at_most) = match &message.body {
            Body::RequestVote { last, .. } | Body::RequestPreVote { last } => (last.index, true),
            Body::AppendEntriesResponse {
                rejection: Some(rejection),
                ..
            } => (rejection.hint_index, true),
            // The answer to an append that came twice says less than there is.
            Body::AppendEntriesResponse { index, .. } => (*index, false),
            _ => return,
        };
        if core.role() != Role::Leader || message.term < core.term() {
            return;
        }
        let from = message.from;
        let Some(progress) = core.tracker().progress.get(from) else {
            return;
        };
        if shown >= progress.matched() {
            self.shown.remove(&from);
        } else if at_most {
            self.shown.insert(from, (core.term(), shown));
        }
    }

    /// Whether a message is a refusal of what its sender has acknowledged, of which enough have come since
    /// the last tick. It says nothing new.
    pub(crate) fn says_nothing_new<S: Storage, O: Observer>(
        &mut self,
        core: &Core<S, O>,
        message: &Message,
    ) -> bool {
        let Body::AppendEntriesResponse {
            index,
            rejection: Some(_),
        } = message.body
        else {
            return false;
        };
        let progress = core.tracker().progress.get(message.from);
        let known = progress.is_some_and(|it| {
            it.state() == ProgressState::Probe && it.matched() == index && it.next() == index.next()
        });
        if core.role() != Role::Leader || message.term != core.term() || index.is_zero() || !known {
            return false;
        }
        let times = self.repeated.entry(message.from).or_default();
        *times += 1;
        *times > REPEATED_REFUSALS
    }

    /// One tick has passed.
    pub(crate) fn tick(&mut self) {
        self.repeated.clear();
    }

    /// Notes what came of a message.
    pub(crate) fn note(&mut self, result: &Result<(), Error>) {
        if let Err(Error::Peer(error)) = result {
            self.refused.count += 1;
            self.refused.last = Some(error.clone());
        }
    }

    /// The members whose logs are too short, in ascending order.
    pub(crate) fn short_logs<S: Storage, O: Observer>(&self, core: &Core<S, O>) -> Vec<ShortLog> {
        if core.role() != Role::Leader {
            return Vec::new();
        }
        let short = |(&id, &(term, shown)): (&NodeId, &(Term, Index))| {
            let acknowledged = core.tracker().progress.get(id)?.matched();
            (term == core.term() && shown < acknowledged).then_some(ShortLog {
                id,
                acknowledged,
                shown,
            })
        };
        self.shown.iter().filter_map(short).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Config;
    use crate::raw_node::RawNode;
    use crate::storage::MemoryStorage;
    use crate::types::{ConfState, EntryId, Rejection};

    fn id(number: u64) -> NodeId {
        NodeId::new(number).unwrap()
    }

    fn members() -> ConfState {
        ConfState {
            voters: vec![id(1), id(2), id(3)],
            ..ConfState::default()
        }
    }

    fn message(from: u64, to: u64, term: u64, body: Body) -> Message {
        let (from, to, term) = (id(from), id(to), Term(term));
        Message {
            from,
            to,
            term,
            body,
        }
    }

    fn acknowledge(node: &mut RawNode<MemoryStorage>, from: u64, index: u64) {
        let (index, rejection) = (Index(index), None);
        let body = Body::AppendEntriesResponse { index, rejection };
        node.step(message(from, 1, 1, body)).unwrap();
    }

    /// The leader of term 1, with two entries that servers 2 and 3 have acknowledged.
    fn leader() -> RawNode<MemoryStorage> {
        let mut config = Config::new(id(1));
        (config.pre_vote, config.check_quorum) = (true, true);
        let storage = MemoryStorage::with_conf_state(members());
        let mut node = RawNode::new(&config, storage).unwrap();
        node.campaign().unwrap();
        work(&mut node);
        for (term, body) in [
            (1, Body::RequestPreVoteResponse { granted: true }),
            (1, Body::RequestVoteResponse { granted: true }),
        ] {
            node.step(message(2, 1, term, body)).unwrap();
            work(&mut node);
        }
        node.propose("x".into()).unwrap();
        work(&mut node);
        for from in [2, 3] {
            acknowledge(&mut node, from, 2);
        }
        work(&mut node);
        assert_eq!(node.status().short_logs, []);
        node
    }

    fn work(node: &mut RawNode<MemoryStorage>) {
        while node.has_ready() {
            let ready = node.ready().unwrap();
            let storage = node.storage_mut();
            storage.write(ready.entries, ready.hard_state).unwrap();
            node.advance().unwrap();
        }
    }

    fn short() -> ShortLog {
        ShortLog {
            id: id(3),
            acknowledged: Index(2),
            shown: Index(0),
        }
    }

    #[test]
    fn a_wiped_member_shows_at_the_leader_and_at_itself() {
        let mut leader = leader();
        let mut config = Config::new(id(3));
        (config.pre_vote, config.check_quorum) = (true, true);
        let storage = MemoryStorage::with_conf_state(members());
        let mut wiped = RawNode::new(&config, storage).unwrap();
        assert_eq!(wiped.status().refused, RefusedMessages::default());
        // It never follows, since it does not have what the leader tells it to commit, ...
        leader.tick().unwrap();
        let ready = leader.ready().unwrap();
        for heartbeat in ready.messages.into_iter().filter(|it| it.to == id(3)) {
            wiped.step(heartbeat).unwrap_err();
        }
        leader.advance().unwrap();
        let refused = wiped.status().refused;
        assert_eq!(refused.count, 1);
        assert!(matches!(refused.last, Some(PeerError::Malformed { .. })));
        let text = wiped.status().to_string();
        assert!(
            text.contains("1 message refused: malformed Heartbeat from 1"),
            "{text}"
        );
        // ... and asks for pre-votes, which nobody grants, and the leader need not even answer.
        wiped.campaign().unwrap();
        let requests = wiped.ready().unwrap().messages;
        for request in requests.into_iter().filter(|it| it.to == id(1)) {
            leader.step(request).unwrap();
        }
        assert_eq!(leader.status().short_logs, [short()]);
        let text = leader.status().to_string();
        let line = "3: StateReplicate match=2 next=3; acknowledged entry 2 and now has 0 at most";
        assert!(text.contains(line), "{text}");
        // Once it has the log again, all is well.
        acknowledge(&mut leader, 3, 2);
        assert_eq!(leader.status().short_logs, []);
    }

    /// It asks for no votes, and an idle group has no appends: its answers to heartbeats remain.
    #[test]
    fn a_wiped_learner_of_an_idle_group_is_seen_at_the_leader() {
        let members = ConfState {
            voters: vec![id(1)],
            learners: vec![id(3)],
            ..ConfState::default()
        };
        let config = Config::new(id(1));
        let storage = MemoryStorage::with_conf_state(members.clone());
        let mut leader = RawNode::new(&config, storage).unwrap();
        leader.campaign().unwrap();
        work(&mut leader);
        leader.propose("x".into()).unwrap();
        work(&mut leader);
        acknowledge(&mut leader, 3, 2);
        work(&mut leader);
        assert_eq!(leader.status().short_logs, []);
        let storage = MemoryStorage::with_conf_state(members);
        let mut wiped = RawNode::new(&Config::new(id(3)), storage).unwrap();
        let before = wiped.status().basic;
        leader.tick().unwrap();
        let ready = leader.ready().unwrap();
        for heartbeat in ready.messages.into_iter().filter(|it| it.to == id(3)) {
            wiped.step(heartbeat).unwrap_err();
        }
        leader.advance().unwrap();
        let answers = wiped.ready().unwrap().messages;
        wiped.advance().unwrap();
        assert_eq!(answers.len(), 1);
        for answer in answers {
            leader.step(answer).unwrap();
        }
        assert_eq!(leader.status().short_logs, [short()]);
        assert!(!leader.has_ready(), "an idle group falls silent again");
        assert_eq!(wiped.status().basic, before, "it followed nobody");
    }

    /// It is asked for the same a few times a tick, and not as fast as the network is.
    #[test]
    fn a_wiped_member_is_not_asked_for_ever() {
        let mut leader = leader();
        let storage = MemoryStorage::with_conf_state(members());
        let mut wiped = RawNode::new(&Config::new(id(3)), storage).unwrap();
        // It was away while it lost its log, so that it is probed.
        leader.report_unreachable(id(3)).unwrap();
        leader.propose("y".into()).unwrap();
        let mut asked_again = |leader: &mut RawNode<MemoryStorage>| {
            let mut messages = 0;
            while leader.has_ready() {
                let ready = leader.ready().unwrap();
                let storage = leader.storage_mut();
                storage.write(ready.entries, ready.hard_state).unwrap();
                leader.advance().unwrap();
                for request in ready.messages.into_iter().filter(|it| it.to == id(3)) {
                    messages += 1;
                    assert!(messages < 100, "the two never fall silent");
                    // A heartbeat is refused, for what it wants to be committed.
                    let _ = wiped.step(request);
                }
                while wiped.has_ready() {
                    let ready = wiped.ready().unwrap();
                    let storage = wiped.storage_mut();
                    storage.write(ready.entries, ready.hard_state).unwrap();
                    wiped.advance().unwrap();
                    for answer in ready.messages.into_iter().filter(|it| it.to == id(1)) {
                        leader.step(answer).unwrap();
                    }
                }
            }
            messages
        };
        let first = asked_again(&mut leader);
        assert!((2..20).contains(&first), "{first}");
        assert_eq!(leader.status().short_logs, [short()]);
        for _ in 0..50 {
            leader.tick().unwrap();
            let again = asked_again(&mut leader);
            assert!(again < 20, "{again}");
        }
    }

    #[test]
    fn rejections_and_vote_requests_show_a_short_log() {
        let rejection = Some(Rejection {
            hint_index: Index(0),
            hint_term: Term(0),
        });
        let index = Index(2);
        let refusal = Body::AppendEntriesResponse { index, rejection };
        let last = EntryId::ZERO;
        for body in [refusal, Body::RequestVote { last, force: false }] {
            let mut node = leader();
            node.step(message(3, 1, 1, body)).unwrap();
            assert_eq!(node.status().short_logs, [short()]);
        }
        let mut node = leader();
        acknowledge(&mut node, 3, 1);
        assert_eq!(node.status().short_logs, []);
        // Nor does one of an older term, or of nobody that is a member.
        let old = Body::RequestVote { last, force: false };
        node.step(message(3, 1, 0, old.clone())).unwrap_err();
        node.step(message(9, 1, 1, old)).unwrap();
        assert_eq!(node.status().short_logs, []);
    }

    #[test]
    fn what_one_leadership_saw_is_not_shown_in_the_next() {
        let mut node = leader();
        let (last, force) = (EntryId::ZERO, false);
        let request = Body::RequestVote { last, force };
        node.step(message(3, 1, 1, request)).unwrap();
        assert_eq!(node.status().short_logs.len(), 1);
        let (commit, context) = (Index(0), bytes::Bytes::new());
        let heartbeat = Body::Heartbeat { commit, context };
        node.step(message(2, 1, 2, heartbeat)).unwrap();
        assert_eq!(node.status().short_logs, []);
    }

    #[test]
    fn refused_messages_are_counted() {
        let mut node = leader();
        for count in 1..=2 {
            node.step(message(
                9,
                1,
                1,
                Body::RequestVoteResponse { granted: true },
            ))
            .unwrap_err();
            assert_eq!(node.status().refused.count, count);
        }
        let text = node.status().to_string();
        assert!(text.contains("2 messages refused, the last: "), "{text}");
        // A proposal that is dropped is nobody's mistake.
        node.transfer_leadership(id(2)).unwrap();
        node.propose("x".into()).unwrap_err();
        assert_eq!(node.status().refused.count, 2);
    }
}
