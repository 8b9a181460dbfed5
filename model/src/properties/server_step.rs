//! The step of one server: everything that a property of steps sees.
//!
//! The engine evaluates these properties once for each (server before, input) and remembers the answer, so they must
//! depend on nothing else. What a step is made of decides that: the server before and after, the input with its
//! parameter, what was sent, and the answers to clients. The networks are known only to this module, which compares
//! them to find what was sent. No other server, no message on its way, no history and no budget can be reached.

use crate::cluster::{Action, Cluster, ClusterState};
use crate::configuration::ConfChange;
use crate::history::Answered;
use crate::message::Message;
use crate::network::Network;
use crate::server::{Append, Server};
use crate::settings::Settings;
use smallvec::SmallVec;

/// A step of one server.
pub struct ServerStep<'a> {
    pub(super) settings: &'a Settings,
    pub(super) action: Action,
    /// The message that is delivered, unless it is refused because its sender is a stranger.
    pub(super) message: Option<&'a Message>,
    pub(super) delivered: Option<&'a Message>,
    pub(super) i: &'a Server,
    pub(super) next: &'a Server,
    /// The least value that a proposal can carry: no log has it.
    pub(super) value: u64,
    /// The change of the configuration that is proposed.
    pub(super) change: Option<ConfChange>,
    /// The answers to reads of its clients.
    pub(super) answered: &'a [Answered],
    before: &'a Network,
    after: &'a Network,
}

impl<'a> ServerStep<'a> {
    /// The step that `action` is of the server that it moves; `None` if only the network moves.
    pub fn of(
        cluster: &'a Cluster,
        before: &'a ClusterState,
        action: &Action,
        after: &'a ClusterState,
    ) -> Option<ServerStep<'a>> {
        let slot = before.target(*action)?.slot();
        let (i, next) = (&before.servers[slot], &after.servers[slot]);
        let delivered = match action {
            Action::Deliver(position) => Some(before.message(*position)),
            _ => None,
        };
        Some(ServerStep {
            settings: &cluster.settings,
            action: *action,
            message: delivered.filter(|m| !is_strange(i, m)),
            delivered,
            i,
            next,
            value: match action {
                Action::Propose(_) => before.next_value(),
                _ => 0,
            },
            change: match action {
                Action::ProposeConfChange(_) | Action::ProposeOtherConfChange(_) => {
                    Some(cluster.change(*action))
                }
                _ => None,
            },
            answered: match &after.history.reads {
                Some(reads) => &reads.answered,
                None => &[],
            },
            before: &before.network,
            after: &after.network,
        })
    }

    /// The server before the step.
    pub fn before(&self) -> &'a Server {
        self.i
    }

    /// The server after the step.
    pub fn after(&self) -> &'a Server {
        self.next
    }

    /// The message that is delivered.
    pub fn delivered(&self) -> Option<&'a Message> {
        self.delivered
    }

    /// The server before and after.
    pub(super) fn moved(&self) -> Option<(&'a Server, &'a Server)> {
        Some((self.i, self.next))
    }

    /// Whether the server comes back after a crash.
    pub(super) fn restarts(&self) -> bool {
        matches!(self.action, Action::Restart(_) | Action::RestartKeeping(..))
    }

    /// Whether clients of the server are answered.
    pub(super) fn is_answered(&self) -> bool {
        self.answered.iter().any(|it| it.state.index.is_some())
    }

    /// Whether clients of the server are told that their reads are given up.
    pub(super) fn is_given_up(&self) -> bool {
        self.answered.iter().any(|it| it.state.index.is_none())
    }

    /// The append that becomes durable in the step.
    pub(super) fn persisted(&self) -> Option<&'a Append> {
        let persists = matches!(self.action, Action::Persist(_));
        let storage = self.i.storage.as_deref().filter(|_| persists);
        storage?.appends.first()
    }

    /// The messages that left, sorted.
    pub fn left(&self) -> SmallVec<[&'a Message; 6]> {
        if self.after.len() + usize::from(self.delivered.is_some()) == self.before.len() {
            return SmallVec::new();
        }
        let mut old = self.before.iter().peekable();
        let mut delivered = self.delivered;
        let mut sent = SmallVec::new();
        for message in self.after.iter() {
            while old.peek().is_some_and(|it| *it < message) {
                old.next();
            }
            // One copy of what was delivered is gone.
            if delivered == old.peek().copied() && delivered == Some(message) {
                delivered = None;
                old.next();
            }
            match old.peek() {
                Some(it) if *it == message => {
                    old.next();
                }
                _ => sent.push(message),
            }
        }
        sent
    }

    /// Whether a message of which `wanted` holds can have been sent: one is in flight. This says nothing of the step alone,
    /// and serves only to know at once that there is none.
    pub(super) fn can_have_sent(&self, wanted: impl Fn(&Message) -> bool) -> bool {
        self.after.iter().any(wanted)
    }
}

/// Whether a message is the answer of a server that is no member of the recipient's configuration.
pub(super) fn is_strange(i: &Server, m: &Message) -> bool {
    m.is_response() && !i.configuration.members().contains(m.from)
}
