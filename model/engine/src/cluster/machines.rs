//! A cluster of machines as the engine sees it: its components, and how the environment treats them.

use crate::traits::Checkable;
use crate::varint;

/// A part of the states of `M` that is interned: there are thousands where there are millions of states.
pub trait Component<M>: Clone + Send {
    /// Facts that are asked for over and over, in a few bytes: the components themselves do not fit into the caches of
    /// a processor.
    type Facts: Send;

    /// Tells the kinds of component apart in hashes.
    const KIND: u64;

    /// Appends the encoding of the component: equal components, and only those, have equal ones.
    fn encode(&self, out: &mut Vec<u8>);

    /// The component that [`encode`](Self::encode) turned into `bytes`.
    fn decode(bytes: &[u8], model: &M) -> Self;

    /// The facts of this component.
    fn facts(&self, model: &M) -> Self::Facts;
}

/// A model that is a cluster of machines: deterministic servers, a network of messages, a history for
/// properties, and budgets for the environment. The engine collapses its states ([`Generator`]) and executes a
/// step of a server once for each distinct (state of the server, input).
///
/// An action happens to one server ([`Event::Local`]) or to one message in flight ([`Event::Message`]). A server
/// that moves depends on its own state and the input alone, changes no other server, and sends messages. The
/// [actions](stateright::Model::actions) of a state are listed in this order: server by server the local inputs
/// that are enabled, by kind; then for each distinct message, in order, its delivery, duplication and loss.
///
/// [`Generator`]: super::Generator
pub trait Machines: Checkable<State: Send> + Sync + Sized {
    /// The state of one server; the slot of the server is part of it.
    type Server: Component<Self, Facts = ServerFacts>;
    /// A message in flight.
    type Message: Component<Self, Facts = MessageFacts> + Ord;
    /// The history that properties need.
    type History: Component<Self, Facts = ()>;
    /// The budgets that the environment has spent.
    type Budgets: Component<Self, Facts = KindSet>;

    /// Returns the number of servers, and the events of the environment.
    fn shape(&self) -> Shape;

    /// The server in `slot` of a state.
    fn server(&self, state: &Self::State, slot: usize) -> Self::Server;

    /// The other components of a state.
    fn components<'s>(&self, state: &'s Self::State) -> Components<'s, Self>;

    /// Replaces components of a state.
    fn replace(&self, state: &mut Self::State, new: Replacement<'_, Self>);

    /// The event that an action is.
    fn event(&self, action: &Self::Action) -> Event;

    /// The parameter of a local input whose kind is [parametric](Shape::parametric), such as the value that a
    /// proposal carries: from the [levels](ServerFacts::level) of all servers.
    fn parameter(&self, levels: &mut dyn Iterator<Item = u64>) -> u32;

    /// The kind of action, as a position in [`action_kinds`](Checkable::action_kinds), that event number `number` is
    /// of. Several local inputs may be of one kind: one for each peer that it can be about.
    #[inline]
    fn kind_of(&self, number: usize) -> usize {
        number
    }

    /// The budgets after one more event of this number.
    fn spend(&self, budgets: &Self::Budgets, number: usize) -> Self::Budgets;

    /// The history after a server moved to `after`, if that is [recorded](ServerFacts::recorded); `note` is the
    /// [note](ServerFacts::note) of the server before.
    fn record(&self, history: &Self::History, after: &Self::Server, note: u32) -> Self::History;

    /// The history after a step that is [recorded](ServerFacts::recorded), in a model that has to know more of the step
    /// ([`Shape::records_steps`]).
    fn record_step(
        &self,
        history: &Self::History,
        (before, after): (&Self::Server, &Self::Server),
        _: Happened<'_, Self>,
    ) -> Self::History {
        self.record(history, after, before.facts(self).note)
    }
}

/// The input that a server got.
pub enum Happened<'m, M: Machines> {
    /// The local input of this number, and its [parameter](Machines::parameter) if it has one.
    Local(usize, Option<u32>),
    /// A message.
    Delivered(&'m M::Message),
}

/// The numbers of a cluster, and of the events that its actions are. A model without inputs that are about a peer numbers
/// events by kind; otherwise [`Machines::kind_of`] says of which kind each is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shape {
    /// The number of servers, at most [`MAX_SERVERS`](super::MAX_SERVERS).
    pub servers: usize,
    /// The number of messages that may be in flight at once, copies counted.
    pub max_in_flight: usize,
    /// The numbers of local inputs are those below this one.
    pub local_kinds: usize,
    /// The number of a delivery.
    pub deliver: usize,
    /// The number of a duplication.
    pub duplicate: usize,
    /// The number of a loss; the largest of all.
    pub drop: usize,
    /// The local inputs whose parameter depends on the whole cluster. They are independent of nothing.
    pub parametric: KindSet,
    /// Whether there are [probes](Checkable::probes): then they are local inputs, and what they do to a server
    /// depends on that server, their numbers and the [parameter](Machines::parameter) alone. Each server must get
    /// the same local inputs in every state, each as an action or as a probe.
    pub probes: bool,
    /// Whether the history needs the step as it is ([`Machines::record_step`]), and not only where it leads.
    pub records_steps: bool,
}

/// The components of a state, apart from its servers.
pub struct Components<'s, M: Machines> {
    /// The messages in flight, sorted, each copy by itself.
    pub messages: &'s [M::Message],
    /// The history.
    pub history: &'s M::History,
    /// The spent budgets.
    pub budgets: &'s M::Budgets,
}

/// Components that replace those of a state.
pub struct Replacement<'s, M: Machines> {
    /// Servers, with their slots.
    pub servers: Vec<(usize, &'s M::Server)>,
    /// All messages in flight, sorted; `None` if they stay.
    pub messages: Option<Vec<&'s M::Message>>,
    /// The history; `None` if it stays.
    pub history: Option<&'s M::History>,
    /// The spent budgets.
    pub budgets: &'s M::Budgets,
}

/// An event at a server or of a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Event {
    /// The server in this slot gets the input of this number.
    Local(usize, usize),
    /// The message at this position is subject to the event of this number.
    Message(usize, usize),
}

/// A set of events by their numbers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct KindSet(u64);

impl KindSet {
    /// No kind.
    pub const EMPTY: KindSet = KindSet(0);

    /// Whether `kind` is a member.
    #[inline]
    pub fn contains(self, kind: usize) -> bool {
        self.0 >> kind & 1 == 1
    }

    /// The set with `kind` as a member or not.
    ///
    /// # Panics
    ///
    /// If `kind` is 64 or more.
    #[must_use]
    pub fn with(self, kind: usize, member: bool) -> KindSet {
        assert!(kind < 64, "a model has at most 64 kinds of event");
        KindSet(self.0 & !(1 << kind) | u64::from(member) << kind)
    }

    /// The members of both sets.
    #[inline]
    #[must_use]
    pub fn and(self, other: KindSet) -> KindSet {
        KindSet(self.0 & other.0)
    }

    /// The members, ascending.
    #[inline]
    pub fn iter(self) -> impl Iterator<Item = usize> {
        let mut rest = self.0;
        std::iter::from_fn(move || {
            let kind = (rest != 0).then(|| rest.trailing_zeros() as usize)?;
            rest &= rest - 1;
            Some(kind)
        })
    }
}

impl FromIterator<usize> for KindSet {
    fn from_iter<I: IntoIterator<Item = usize>>(kinds: I) -> Self {
        let kinds = kinds.into_iter();
        kinds.fold(KindSet::EMPTY, |set, kind| set.with(kind, true))
    }
}

/// Facts of a server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ServerFacts {
    /// The value that a [parameter](Machines::parameter) depends on.
    pub level: u64,
    /// The value that limits messages, such as the term.
    pub gauge: u32,
    /// The facts that the history needs of the server before a step.
    pub note: u32,
    /// Its slot.
    pub slot: u8,
    /// The local inputs that are more than refused or ignored.
    pub local: KindSet,
    /// Whether the history has something to remember when a step leads here.
    pub recorded: bool,
    /// Whether a server in this state is within the boundary.
    pub within: bool,
}

/// Facts of a message in flight.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MessageFacts {
    /// Its place among messages, as far as 64 bits tell: of two, the one with the lower rank comes first, and
    /// equal ranks tell nothing.
    pub rank: u64,
    /// The least [gauge](ServerFacts::gauge) that the server in `gauge` must have while it is in flight.
    pub least_gauge: u32,
    /// The slot of that server; beyond all slots if there is none.
    pub gauge: u8,
    /// The slot of the recipient.
    pub to: u8,
}

/// Appends a number to an encoding.
pub(super) fn put_number(number: u32, out: &mut Vec<u8>) {
    varint::put(number.into(), out);
}

/// Takes a number off an encoding.
pub(super) fn take_number(bytes: &mut &[u8]) -> u32 {
    varint::take(bytes) as u32
}
