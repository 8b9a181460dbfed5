//! The components of a cluster of implementations, and how the engine explores them.

use super::history::{Before, Happened, ReadStep};
use super::node::{Node, RunningServers, narrow, put_state, take_state};
use super::properties;
use super::{Code, matters, server_of};
use crate::states::Fault;
use crate::target::TargetError;
use lockstep_engine::{
    Antecedent, Checkable, Collapse, Component, Components, Event, Generator,
    Happened as HappenedTo, KindSet, Machines, MessageFacts, Replacement, Shape, StepProperty,
};
use lockstep_model::{Action, Id, Kind, Spent};
use lockstep_traces::{
    Body, Emitted, Input, Message, Outcome, Payload, ReadState, Reads, Role, ServerId, Storage,
};
use stateright::{Model, Property};
use std::sync::Arc;

/// The state of all servers, of the network, and what properties and bounds remember.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct CodeState {
    /// The servers, by slot.
    pub servers: Vec<Node>,
    /// The messages in flight, sorted, each copy by itself.
    pub network: Vec<Arc<Message>>,
    /// The history, for properties.
    pub history: Happened,
    /// The budgets that the environment has spent.
    pub spent: Spent,
}

impl CodeState {
    /// The value that the next proposal carries.
    pub(crate) fn next_value(&self) -> u64 {
        self.servers.iter().map(level).max().unwrap_or(0) + 1
    }
}

/// The highest value in the log of a server.
fn level(node: &Node) -> u64 {
    let value = |payload: &Payload| match payload {
        Payload::Value(value) => Some(*value),
        Payload::Empty | Payload::ConfChange(_) => None,
    };
    let values = node
        .view
        .log
        .iter()
        .filter_map(|entry| value(&entry.payload));
    values.max().unwrap_or(0)
}

/// The effect of an input at a server.
#[derive(Clone, Debug)]
pub(super) struct Answer {
    pub node: Node,
    pub outcome: Outcome,
    pub sent: Vec<Emitted>,
    pub read_states: Vec<ReadState>,
}

impl Answer {
    pub fn unchanged(node: Node) -> Answer {
        Answer {
            node,
            outcome: Outcome::Accepted,
            sent: Vec::new(),
            read_states: Vec::new(),
        }
    }
}

impl Code<'_> {
    /// Whether clients read, so that the history has to keep what they asked for and were told.
    fn reads(&self) -> bool {
        self.config.reads != Reads::Off
    }

    /// The history after a step of a server.
    fn history_after(
        &self,
        history: &Happened,
        before: &Node,
        input: &Input,
        answer: &Answer,
    ) -> Happened {
        let mut history = history.clone();
        if self.reads() {
            let step = ReadStep {
                servers: (before, &answer.node),
                input,
                outcome: answer.outcome,
                read_states: &answer.read_states,
            };
            history.record_reads(self.bounds.timing, &step);
        }
        history.record(Before::of(&before.view), &answer.node);
        history
    }
}

/// The text of a fault.
pub(super) fn text_of(fault: &Fault) -> String {
    match fault {
        Fault::Setup(text) | Fault::Handed(text) => text.clone(),
        Fault::Failed(text) => TargetError::Failed(text.clone()).to_string(),
        Fault::NotDriven(text) => format!("it cannot be driven: {text}"),
        Fault::Hidden(_) => "its digest hides state".to_owned(),
        Fault::Interrupted => "it was interrupted".to_owned(),
    }
}

impl Model for Code<'_> {
    type State = CodeState;
    type Action = Action;

    fn init_states(&self) -> Vec<CodeState> {
        vec![CodeState {
            servers: self.starts(),
            network: Vec::new(),
            history: Happened::default(),
            spent: Spent::default(),
        }]
    }

    fn actions(&self, state: &CodeState, actions: &mut Vec<Action>) {
        for node in &state.servers {
            let Ok(id) = Id::try_from(node.id) else {
                continue;
            };
            let local = (0..Action::LOCAL_EVENTS).filter_map(|number| Action::local(number, id));
            let allowed = |action: &Action| {
                let kind = action.kind();
                kind.is_some_and(|kind| self.bounds.allow(kind, &state.spent))
            };
            actions.extend(local.filter(|action| {
                matters(*action, node, &self.config) && allowed(action) && !node.is_broken()
            }));
        }
        for (position, message) in state.network.iter().enumerate() {
            if position > 0 && state.network[position - 1] == *message {
                continue;
            }
            let position = position as u32;
            actions.push(Action::Deliver(position));
            if self.bounds.allow(Kind::Duplicate, &state.spent) {
                actions.push(Action::Duplicate(position));
            }
            if self.bounds.allow(Kind::Drop, &state.spent) {
                actions.push(Action::Drop(position));
            }
        }
    }

    fn next_state(&self, state: &CodeState, action: Action) -> Option<CodeState> {
        let mut after = state.clone();
        if let Some(kind) = action.kind() {
            after.spent.spend(kind, &self.bounds);
        }
        match action {
            Action::Duplicate(position) => {
                let copy = state.network[position as usize].clone();
                after.network.insert(position as usize, copy);
            }
            Action::Drop(position) => {
                after.network.remove(position as usize);
            }
            _ => {
                let (slot, input) = self.input(state, &action)?;
                if let Action::Deliver(position) = action {
                    after.network.remove(position as usize);
                }
                let before = state.servers.get(slot)?;
                let answer = self.answer(before, &input);
                after.history = self.history_after(&state.history, before, &input, &answer);
                let Answer { node, sent, .. } = answer;
                after.servers[slot] = node;
                for message in sent.into_iter().map(|emitted| Arc::new(emitted.message)) {
                    let position = after.network.partition_point(|other| *other < message);
                    after.network.insert(position, message);
                }
            }
        }
        Some(after)
    }

    fn within_boundary(&self, state: &CodeState) -> bool {
        state.network.len() <= self.bounds.max_in_flight
            && state.servers.iter().all(|node| self.may_be(node))
    }

    fn properties(&self) -> Vec<Property<Self>> {
        properties::states()
    }
}

const ROLES: [Role; 4] = [
    Role::Follower,
    Role::PreCandidate,
    Role::Candidate,
    Role::Leader,
];

impl Checkable for Code<'_> {
    fn encode(&self, state: &CodeState, out: &mut Vec<u8>) {
        put_state::<Self>(
            (&state.servers, &state.history),
            &state.spent,
            &state.network,
            out,
        );
    }

    fn decode(&self, bytes: &[u8]) -> CodeState {
        let (servers, history, spent, network) = take_state(bytes, self);
        CodeState {
            servers,
            history,
            spent,
            network,
        }
    }

    fn identity(&self) -> String {
        let of = self.description();
        format!(
            "code {} {} {:?} {:?}",
            of.name, of.version, self.config, self.bounds
        )
    }

    fn step_properties(&self) -> Vec<StepProperty<Self>> {
        properties::steps()
    }

    fn antecedents(&self) -> Vec<Antecedent<Self>> {
        properties::antecedents()
    }

    fn collapse(&self, symmetric: bool) -> Option<Box<dyn Collapse<'_, Self> + '_>> {
        // The servers of an implementation cannot be renamed.
        (!symmetric).then(|| Box::new(Generator::new(self, None)) as Box<dyn Collapse<'_, Self>>)
    }

    fn save_answers(&self, saved: &mut Vec<u8>) {
        self.save(saved);
    }

    fn load_answers(&self, saved: &[u8]) -> Result<(), String> {
        self.load(saved)
    }

    fn action_kinds(&self) -> Vec<&'static str> {
        Action::KINDS.to_vec()
    }

    fn action_kind(&self, action: &Action) -> usize {
        action.number()
    }

    fn pairs(&self) -> Vec<String> {
        let pair = |role: Role| {
            let bodies = properties::BODIES.iter();
            bodies.map(move |body| format!("{role:?} receives {body}"))
        };
        ROLES.into_iter().flat_map(pair).collect()
    }

    fn meet(&self, state: &CodeState, action: &Action, met: &mut dyn FnMut(usize)) {
        let Action::Deliver(position) = action else {
            return;
        };
        let message = &state.network[*position as usize];
        let receiver = state.servers.get(message.to.get() as usize - 1);
        let role = receiver.map(|server| server.view.role);
        if let Some(number) = ROLES.iter().position(|it| Some(*it) == role) {
            met(number * properties::BODIES.len() + properties::number_of(&message.body));
        }
    }
}

impl Machines for Code<'_> {
    type Server = Node;
    type Message = Arc<Message>;
    type History = Happened;
    type Budgets = Spent;

    fn shape(&self) -> Shape {
        let propose = Action::numbers_of(Kind::Propose).next();
        let propose = propose.unwrap_or_else(|| unreachable!("every kind has a number"));
        Shape {
            servers: self.config.server_ids().count(),
            max_in_flight: self.bounds.max_in_flight,
            local_kinds: Action::LOCAL_EVENTS,
            deliver: Action::Deliver(0).event_number(),
            duplicate: Action::Duplicate(0).event_number(),
            drop: Action::Drop(0).event_number(),
            parametric: KindSet::EMPTY.with(propose, true),
            probes: false,
            records_steps: self.reads(),
        }
    }

    fn server(&self, state: &CodeState, slot: usize) -> Node {
        state.servers[slot].clone()
    }

    fn components<'s>(&self, state: &'s CodeState) -> Components<'s, Self> {
        Components {
            messages: &state.network,
            history: &state.history,
            budgets: &state.spent,
        }
    }

    fn replace(&self, state: &mut CodeState, new: Replacement<'_, Self>) {
        for (slot, node) in new.servers {
            state.servers[slot].clone_from(node);
        }
        if let Some(messages) = new.messages {
            state.network = messages.into_iter().cloned().collect();
        }
        if let Some(history) = new.history {
            state.history.clone_from(history);
        }
        state.spent = *new.budgets;
    }

    fn event(&self, action: &Action) -> Event {
        match (action, server_of(action)) {
            (Action::Deliver(at) | Action::Duplicate(at) | Action::Drop(at), _) => {
                Event::Message(*at as usize, action.event_number())
            }
            (_, i) => {
                let i = i.unwrap_or_else(|| unreachable!("it happens to a server"));
                Event::Local(usize::from(i.get()) - 1, action.event_number())
            }
        }
    }

    fn parameter(&self, levels: &mut dyn Iterator<Item = u64>) -> u32 {
        levels.max().unwrap_or(0) as u32 + 1
    }

    fn kind_of(&self, number: usize) -> usize {
        match Id::new(1).and_then(|first| Action::local(number, first)) {
            Some(action) => action.number(),
            // What happens to messages comes last in both.
            None => number - Action::LOCAL_EVENTS + Action::Deliver(0).number(),
        }
    }

    fn spend(&self, spent: &Spent, number: usize) -> Spent {
        let mut after = *spent;
        if let Some(kind) = Action::kind_of_number(number) {
            after.spend(kind, &self.bounds);
        }
        after
    }

    fn record(&self, history: &Happened, after: &Node, note: u32) -> Happened {
        let mut history = history.clone();
        history.record(Before::from_note(note), after);
        history
    }

    fn record_step(
        &self,
        history: &Happened,
        (before, _): (&Node, &Node),
        happened: HappenedTo<'_, Self>,
    ) -> Happened {
        let input = match happened {
            HappenedTo::Delivered(message) => Some(Input::Deliver(Message::clone(message))),
            HappenedTo::Local(number, value) => Id::try_from(before.id)
                .ok()
                .and_then(|id| Action::local(number, id))
                .and_then(|action| self.local_input(&action, value.unwrap_or_default().into())),
        };
        match input {
            // The step was executed before: this looks its answer up.
            Some(input) => {
                let answer = self.answer(before, &input);
                self.history_after(history, before, &input, &answer)
            }
            None => history.clone(),
        }
    }
}

impl RunningServers for Code<'_> {
    fn node(&self, id: ServerId, digest: u128) -> Option<Node> {
        Code::node(self, id, digest)
    }

    fn start(&self, slot: usize) -> Node {
        self.starts()[slot].clone()
    }

    fn local(&self, node: &Node) -> KindSet {
        let id = Id::try_from(node.id).ok();
        let local = (0..Action::LOCAL_EVENTS).filter(|number| {
            let action = id.and_then(|id| Action::local(*number, id));
            action.is_some_and(|it| matters(it, node, &self.config) && !node.is_broken())
        });
        local.collect()
    }

    fn level(&self, node: &Node) -> u64 {
        level(node)
    }

    fn max_term(&self) -> u32 {
        self.bounds.max_term
    }

    fn max_outstanding(&self) -> usize {
        self.bounds.max_outstanding
    }

    fn records_all(&self) -> bool {
        self.reads()
    }
}

impl<'a> Component<Code<'a>> for Arc<Message> {
    type Facts = MessageFacts;
    const KIND: u64 = 2;

    fn encode(&self, out: &mut Vec<u8>) {
        serde_json::to_writer(out, &**self).expect("a message can be written");
    }

    fn decode(bytes: &[u8], _: &Code<'a>) -> Self {
        Arc::new(serde_json::from_slice(bytes).expect("it was written whole"))
    }

    fn facts(&self, code: &Code<'a>) -> MessageFacts {
        let (gauge, more) = gauge(self);
        // A crash may take a term back that was told already.
        let bounded = code.config.storage == Storage::Atomic;
        let least = if bounded {
            self.term.0.saturating_sub(more)
        } else {
            0
        };
        let names = self.from.get().min(0xff) << 40 | self.to.get().min(0xff) << 32;
        MessageFacts {
            // What messages are ordered by first: sender, recipient, term.
            rank: names | u64::from(narrow(self.term.0)),
            least_gauge: narrow(least),
            gauge: narrow(gauge.get() - 1).min(255) as u8,
            to: narrow(self.to.get() - 1).min(255) as u8,
        }
    }
}

/// Returns the limit on the term of a message: a server, and how far the message may be ahead of that server's term.
pub(super) fn gauge(message: &Message) -> (ServerId, u64) {
    match message.body {
        Body::RequestPreVote { .. } => (message.from, 1),
        Body::RequestPreVoteResponse { granted: true } => (message.to, 1),
        _ => (message.from, 0),
    }
}

impl<'a> Component<Code<'a>> for Spent {
    type Facts = KindSet;
    const KIND: u64 = 4;

    fn encode(&self, out: &mut Vec<u8>) {
        let kinds = Kind::ALL.into_iter();
        out.extend(kinds.flat_map(|kind| self.of(kind).to_le_bytes()));
    }

    fn decode(bytes: &[u8], _: &Code<'a>) -> Self {
        let (counts, _) = bytes.as_chunks::<2>();
        let mut spent = Spent::default();
        for (kind, count) in Kind::ALL.into_iter().zip(counts) {
            spent.set(kind, u16::from_le_bytes(*count));
        }
        spent
    }

    fn facts(&self, code: &Code<'a>) -> KindSet {
        let allowed = Kind::ALL.into_iter();
        let allowed = allowed.filter(|kind| code.bounds.allow(*kind, self));
        allowed.flat_map(Action::numbers_of).collect()
    }
}
