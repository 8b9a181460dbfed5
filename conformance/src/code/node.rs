//! Running servers as components of a state: each is known by the digest of its whole state. The same for servers whose
//! messages are those of the vocabulary, and for programs with messages that only they understand.

use super::history::{Before, Happened};
use lockstep_engine::{Component, KindSet, Machines, ServerFacts};
use lockstep_traces::{Index, NodeView, Role, ServerId, Term};
use std::sync::Arc;

/// A state of one server.
#[derive(Clone, Debug)]
pub struct Node {
    /// Its name.
    pub id: ServerId,
    /// The digest of its whole state.
    pub digest: u128,
    /// Its visible state.
    pub view: Arc<NodeView>,
    /// If it broke down: the number of the fault.
    pub(crate) fault: Option<u32>,
}

impl Node {
    pub(crate) fn new(id: ServerId, digest: u128, view: Arc<NodeView>) -> Node {
        Node {
            id,
            digest,
            view,
            fault: None,
        }
    }

    /// Its slot, counted from zero.
    pub fn slot(&self) -> usize {
        self.id.get() as usize - 1
    }

    /// Whether it broke down.
    pub fn is_broken(&self) -> bool {
        self.fault.is_some()
    }
}

// A state is its digest: the views of equal digests are compared when a state is entered.
impl PartialEq for Node {
    fn eq(&self, other: &Node) -> bool {
        (self.id, self.digest) == (other.id, other.digest)
    }
}

impl Eq for Node {}

impl std::hash::Hash for Node {
    fn hash<H: std::hash::Hasher>(&self, state: &mut H) {
        (self.id, self.digest).hash(state);
    }
}

/// A cluster of running servers.
pub(crate) trait RunningServers {
    /// A server in the state with this digest, if one was entered.
    fn node(&self, id: ServerId, digest: u128) -> Option<Node>;

    /// The server in this slot as it starts.
    fn start(&self, slot: usize) -> Node;

    /// The local inputs that can mean something at a server.
    fn local(&self, node: &Node) -> KindSet;

    /// The highest value that a client has proposed, of those in its log.
    fn level(&self, node: &Node) -> u64;

    /// The highest term within the bounds.
    fn max_term(&self) -> u32;

    /// The maximum number of outstanding appends at one server.
    fn max_outstanding(&self) -> usize {
        usize::MAX
    }

    /// Whether the history takes note of every step, and not only of those that elect or commit.
    fn records_all(&self) -> bool {
        false
    }

    /// Whether a server may be so within the bounds.
    fn may_be(&self, node: &Node) -> bool {
        node.view.term <= Term(self.max_term().into())
            && node.view.appends.len() <= self.max_outstanding()
    }
}

impl<M: RunningServers> Component<M> for Node {
    type Facts = ServerFacts;
    const KIND: u64 = 1;

    fn encode(&self, out: &mut Vec<u8>) {
        out.extend(self.id.get().to_le_bytes());
        out.extend(self.digest.to_le_bytes());
        // One that broke down is in no state that can be looked up.
        if let Some(fault) = self.fault {
            out.extend(fault.to_le_bytes());
        }
    }

    fn decode(bytes: &[u8], servers: &M) -> Self {
        let id = bytes.first_chunk().map(|id| u64::from_le_bytes(*id));
        let digest = bytes[8..].first_chunk().map(|it| u128::from_le_bytes(*it));
        let fault = bytes[24..].first_chunk().map(|it| u32::from_le_bytes(*it));
        let id = id.and_then(ServerId::new).expect("a server has a name");
        let digest = digest.expect("a state has a digest");
        match fault {
            None => servers.node(id, digest).expect("the state was entered"),
            Some(fault) => Node {
                fault: Some(fault),
                digest,
                ..servers.start(id.get() as usize - 1)
            },
        }
    }

    fn facts(&self, servers: &M) -> ServerFacts {
        let Index(commit) = self.view.commit;
        let Term(term) = self.view.term;
        ServerFacts {
            level: servers.level(self),
            gauge: narrow(term),
            note: Before::of(&self.view).note(),
            slot: self.slot() as u8,
            local: servers.local(self),
            recorded: self.view.role == Role::Leader || commit > 0 || servers.records_all(),
            within: servers.may_be(self),
        }
    }
}

impl<M: RunningServers> Component<M> for Happened {
    type Facts = ();
    const KIND: u64 = 3;

    fn encode(&self, out: &mut Vec<u8>) {
        serde_json::to_writer(out, self).expect("a history can be written");
    }

    fn decode(bytes: &[u8], _: &M) -> Self {
        serde_json::from_slice(bytes).expect("it was written whole")
    }

    fn facts(&self, _: &M) {}
}

/// Appends the encoding of a state: of its servers and its history, of what was spent, and of the messages in flight.
pub(crate) fn put_state<M: Machines>(
    (servers, history): (&[M::Server], &M::History),
    budgets: &M::Budgets,
    messages: &[M::Message],
    out: &mut Vec<u8>,
) {
    fn put<M, C: Component<M>>(component: &C, out: &mut Vec<u8>) {
        let length = out.len();
        out.extend([0; 4]);
        component.encode(out);
        let written = (out.len() - length - 4) as u32;
        out[length..length + 4].copy_from_slice(&written.to_le_bytes());
    }
    servers.iter().for_each(|server| put::<M, _>(server, out));
    put::<M, _>(history, out);
    put::<M, _>(budgets, out);
    messages
        .iter()
        .for_each(|message| put::<M, _>(message, out));
}

/// The components of a state.
type Parts<M> = (
    Vec<<M as Machines>::Server>,
    <M as Machines>::History,
    <M as Machines>::Budgets,
    Vec<<M as Machines>::Message>,
);

/// The parts of a state that [`put_state`] has written.
pub(crate) fn take_state<M: Machines>(mut bytes: &[u8], model: &M) -> Parts<M> {
    let mut next = || {
        let (length, rest) = bytes.split_first_chunk::<4>()?;
        let (part, rest) = rest.split_at(u32::from_le_bytes(*length) as usize);
        bytes = rest;
        Some(part)
    };
    let whole = "a state is written whole";
    let mut servers = Vec::new();
    for _ in 0..model.shape().servers {
        servers.push(M::Server::decode(next().expect(whole), model));
    }
    let history = M::History::decode(next().expect(whole), model);
    let budgets = M::Budgets::decode(next().expect(whole), model);
    let messages = std::iter::from_fn(next).map(|part| M::Message::decode(part, model));
    (servers, history, budgets, messages.collect())
}

/// The number, or the largest of 32 bits.
pub(crate) fn narrow(number: u64) -> u32 {
    u32::try_from(number).unwrap_or(u32::MAX)
}
