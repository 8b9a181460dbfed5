//! The components of a cluster of programs, and how the engine explores them.

use super::properties;
use super::states::{Effect, Input, Packet};
use super::view::highest_value;
use super::{Action, Opaque};
use crate::code::node::{RunningServers, narrow, put_state, take_state};
use crate::code::{Before, CodeState, Happened, Node};
use crate::digest::digest_of;
use crate::stop;
use lockstep_engine::{
    Antecedent, Checkable, Collapse, Component, Components, Event, Generator, KindSet, Machines,
    MessageFacts, Replacement, Shape, StepProperty,
};
use lockstep_model::{Budget, Kind, Spent};
use lockstep_traces::{Role, ServerId};
use stateright::{Model, Property};
use std::sync::Arc;
use std::sync::atomic::Ordering;

/// The number of times that each event has happened that has a limit: the inputs in the order of the description,
/// then duplications and losses.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Counts(pub Vec<u16>);

/// The state of all servers, of the network, and what properties and bounds remember.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct OpaqueState {
    /// The servers and the history, as properties see them. Its network is empty: nobody understands these messages.
    pub shown: CodeState,
    /// The messages in flight, sorted, each copy by itself.
    pub packets: Vec<Arc<Packet>>,
    /// The number of events of the environment so far, by kind.
    pub counts: Counts,
}

/// The effect of an input at a server.
pub(super) struct Step {
    pub node: Node,
    pub sent: Arc<[Arc<Packet>]>,
}

impl Opaque {
    /// The input of a server that an action is; `None` if only the network moves.
    pub(super) fn input(&self, state: &OpaqueState, action: Action) -> Option<(usize, Input)> {
        match action {
            Action::Local(slot, number) => {
                let input = &self.inputs[usize::from(number)];
                let input = match input.kind {
                    Some(Kind::Propose) => {
                        let values = state
                            .shown
                            .servers
                            .iter()
                            .map(|node| highest_value(&node.view));
                        Input::Propose(values.max().unwrap_or(0) + 1)
                    }
                    _ => Input::Named(Arc::clone(&self.names[usize::from(number)])),
                };
                Some((usize::from(slot), input))
            }
            Action::Deliver(at) => {
                let packet = &state.packets[at as usize];
                let slot = packet.to.get() as usize - 1;
                Some((slot, Input::Deliver(Arc::clone(packet))))
            }
            Action::Duplicate(_) | Action::Drop(_) => None,
        }
    }

    /// Returns a server's step on an input. If that is not known yet, everything that can happen in this state is asked
    /// at once, because the search needs it anyway.
    pub(super) fn step(&self, state: &OpaqueState, slot: usize, input: &Input) -> Step {
        let node = &state.shown.servers[slot];
        let unmoved = || Step {
            node: node.clone(),
            sent: Arc::new([]),
        };
        let Some(number) = self.states.number_of(node.id, node.digest) else {
            // It broke down; nothing follows.
            return unmoved();
        };
        let effect = self.states.effect(number, input, || {
            let mut actions = Vec::new();
            self.actions(state, &mut actions);
            let inputs = actions
                .into_iter()
                .filter_map(|action| self.input(state, action));
            let numbered = inputs.filter_map(|(slot, input)| {
                let node = &state.shown.servers[slot];
                Some((self.states.number_of(node.id, node.digest)?, input))
            });
            numbered.collect()
        });
        match effect {
            Effect::Moved(number, sent) => Step {
                node: self.node_of(number),
                sent,
            },
            Effect::Broken(fault) => Step {
                node: Node {
                    fault: Some(fault),
                    // One that is in no state that can be looked up.
                    digest: node.digest ^ digest_of(&("broken", fault)),
                    ..node.clone()
                },
                sent: Arc::new([]),
            },
            Effect::NotAsked => {
                // Else the program broke down too often, and one of its failures is found at this depth.
                if stop::requested() {
                    self.interrupted.store(true, Ordering::Relaxed);
                } else {
                    self.given_up.store(true, Ordering::Relaxed);
                }
                unmoved()
            }
        }
    }

    fn node_of(&self, number: u32) -> Node {
        let (id, digest, view) = self.states.node(number);
        Node::new(id, digest, view)
    }

    /// The number of events that are no inputs of the program: behind those.
    fn event_number(&self, action: Action) -> usize {
        match action {
            Action::Local(_, number) => usize::from(number),
            Action::Deliver(_) => self.inputs.len(),
            Action::Duplicate(_) => self.inputs.len() + 1,
            Action::Drop(_) => self.inputs.len() + 2,
        }
    }

    /// The budget of an event, its place among the counts, and whether it is a disturbance.
    fn budget(&self, number: usize) -> Option<(usize, Budget, bool)> {
        let inputs = self.inputs.len();
        match number.checked_sub(inputs) {
            None => Some((
                number,
                self.bounds.inputs[number],
                self.inputs[number].disturbance,
            )),
            Some(1) => Some((inputs, self.bounds.duplicates, true)),
            Some(2) => Some((inputs + 1, self.bounds.drops, true)),
            Some(_) => None,
        }
    }

    /// Whether an event may happen once more.
    fn allows(&self, number: usize, counts: &Counts) -> bool {
        let Some((place, budget, disturbs)) = self.budget(number) else {
            return true;
        };
        let disturbances = || {
            let all = 0..self.inputs.len() + 3;
            let of = all.filter_map(|number| self.budget(number));
            let of = of.filter(|(.., disturbs)| *disturbs);
            of.map(|(place, ..)| counts.0[place])
                .fold(0, u16::saturating_add)
        };
        budget.allows(counts.0[place])
            && (!disturbs || self.bounds.disturbances.allows(disturbances()))
    }

    fn spent(&self, counts: &Counts, number: usize) -> Counts {
        let mut after = counts.clone();
        if let Some((place, Budget::Times(_), _)) = self.budget(number) {
            after.0[place] = after.0[place].saturating_add(1);
        }
        after
    }

    fn matters(&self, number: usize, node: &Node) -> bool {
        !node.is_broken() && self.inputs[number].roles.contains(&node.view.role)
    }

    fn starts(&self) -> Vec<Node> {
        self.starts
            .iter()
            .map(|number| self.node_of(*number))
            .collect()
    }
}

impl Model for Opaque {
    type State = OpaqueState;
    type Action = Action;

    fn init_states(&self) -> Vec<OpaqueState> {
        vec![OpaqueState {
            shown: CodeState {
                servers: self.starts(),
                network: Vec::new(),
                history: Happened::default(),
                spent: Spent::default(),
            },
            packets: Vec::new(),
            counts: Counts(vec![0; self.inputs.len() + 2]),
        }]
    }

    fn actions(&self, state: &OpaqueState, actions: &mut Vec<Action>) {
        for (slot, node) in state.shown.servers.iter().enumerate() {
            let numbers = 0..self.inputs.len();
            let enabled = numbers.filter(|number| {
                self.matters(*number, node) && self.allows(*number, &state.counts)
            });
            actions.extend(enabled.map(|number| Action::Local(slot as u8, number as u8)));
        }
        let allows = |action| self.allows(self.event_number(action), &state.counts);
        let (duplicates, drops) = (allows(Action::Duplicate(0)), allows(Action::Drop(0)));
        for (position, packet) in state.packets.iter().enumerate() {
            if position > 0 && state.packets[position - 1] == *packet {
                continue;
            }
            let position = position as u32;
            actions.push(Action::Deliver(position));
            if duplicates {
                actions.push(Action::Duplicate(position));
            }
            if drops {
                actions.push(Action::Drop(position));
            }
        }
    }

    fn next_state(&self, state: &OpaqueState, action: Action) -> Option<OpaqueState> {
        let mut after = state.clone();
        after.counts = self.spent(&state.counts, self.event_number(action));
        match action {
            Action::Duplicate(at) => {
                let copy = Arc::clone(&state.packets[at as usize]);
                after.packets.insert(at as usize, copy);
            }
            Action::Drop(at) => {
                after.packets.remove(at as usize);
            }
            Action::Local(..) | Action::Deliver(_) => {
                let (slot, input) = self.input(state, action)?;
                if let Action::Deliver(at) = action {
                    after.packets.remove(at as usize);
                }
                let before = Before::of(&state.shown.servers.get(slot)?.view);
                let Step { node, sent } = self.step(state, slot, &input);
                after.shown.history.record(before, &node);
                after.shown.servers[slot] = node;
                for packet in sent.iter() {
                    let position = after.packets.partition_point(|other| other < packet);
                    after.packets.insert(position, Arc::clone(packet));
                }
            }
        }
        Some(after)
    }

    fn within_boundary(&self, state: &OpaqueState) -> bool {
        state.packets.len() <= self.bounds.max_in_flight
            && state.shown.servers.iter().all(|node| self.may_be(node))
    }

    fn properties(&self) -> Vec<Property<Self>> {
        properties::states(self)
    }
}

const ROLES: [Role; 4] = super::wire::EVERY_ROLE;

impl Checkable for Opaque {
    fn encode(&self, state: &OpaqueState, out: &mut Vec<u8>) {
        let CodeState {
            servers, history, ..
        } = &state.shown;
        put_state::<Self>((servers, history), &state.counts, &state.packets, out);
    }

    fn decode(&self, bytes: &[u8]) -> OpaqueState {
        let (servers, history, counts, packets) = take_state(bytes, self);
        OpaqueState {
            shown: CodeState {
                servers,
                network: Vec::new(),
                history,
                spent: Spent::default(),
            },
            counts,
            packets,
        }
    }

    fn identity(&self) -> String {
        let of = self.states.description();
        format!(
            "opaque {} {} {:?} {:?}",
            of.name, of.version, self.config, self.bounds
        )
    }

    fn step_properties(&self) -> Vec<StepProperty<Self>> {
        properties::steps(self)
    }

    fn antecedents(&self) -> Vec<Antecedent<Self>> {
        properties::antecedents(self)
    }

    fn collapse(&self, symmetric: bool) -> Option<Box<dyn Collapse<'_, Self> + '_>> {
        // The servers of a program cannot be renamed.
        (!symmetric).then(|| Box::new(Generator::new(self, None)) as Box<dyn Collapse<'_, Self>>)
    }

    fn action_kinds(&self) -> Vec<&'static str> {
        self.kinds.clone()
    }

    fn action_kind(&self, action: &Action) -> usize {
        self.event_number(*action)
    }

    fn pairs(&self) -> Vec<String> {
        ROLES
            .iter()
            .map(|role| format!("{role:?} receives a message"))
            .collect()
    }

    fn meet(&self, state: &OpaqueState, action: &Action, met: &mut dyn FnMut(usize)) {
        let Action::Deliver(at) = action else {
            return;
        };
        let to = state.packets[*at as usize].to.get() as usize - 1;
        let role = state.shown.servers.get(to).map(|node| node.view.role);
        if let Some(number) = ROLES.iter().position(|it| Some(*it) == role) {
            met(number);
        }
    }
}

impl Machines for Opaque {
    type Server = Node;
    type Message = Arc<Packet>;
    type History = Happened;
    type Budgets = Counts;

    fn shape(&self) -> Shape {
        let inputs = self.inputs.len();
        let proposals = self.inputs.iter().enumerate();
        let proposals = proposals.filter(|(_, input)| input.kind == Some(Kind::Propose));
        Shape {
            servers: self.starts.len(),
            max_in_flight: self.bounds.max_in_flight,
            local_kinds: inputs,
            deliver: inputs,
            duplicate: inputs + 1,
            drop: inputs + 2,
            parametric: proposals.map(|(number, _)| number).collect(),
            probes: false,
            records_steps: false,
        }
    }

    fn server(&self, state: &OpaqueState, slot: usize) -> Node {
        state.shown.servers[slot].clone()
    }

    fn components<'s>(&self, state: &'s OpaqueState) -> Components<'s, Self> {
        Components {
            messages: &state.packets,
            history: &state.shown.history,
            budgets: &state.counts,
        }
    }

    fn replace(&self, state: &mut OpaqueState, new: Replacement<'_, Self>) {
        for (slot, node) in new.servers {
            state.shown.servers[slot].clone_from(node);
        }
        if let Some(messages) = new.messages {
            state.packets = messages.into_iter().cloned().collect();
        }
        if let Some(history) = new.history {
            state.shown.history.clone_from(history);
        }
        state.counts.clone_from(new.budgets);
    }

    fn event(&self, action: &Action) -> Event {
        let number = self.event_number(*action);
        match action {
            Action::Local(slot, _) => Event::Local(usize::from(*slot), number),
            Action::Deliver(at) | Action::Duplicate(at) | Action::Drop(at) => {
                Event::Message(*at as usize, number)
            }
        }
    }

    fn parameter(&self, levels: &mut dyn Iterator<Item = u64>) -> u32 {
        narrow(levels.max().unwrap_or(0)).saturating_add(1)
    }

    fn spend(&self, counts: &Counts, number: usize) -> Counts {
        self.spent(counts, number)
    }

    fn record(&self, history: &Happened, after: &Node, note: u32) -> Happened {
        let mut history = history.clone();
        history.record(Before::from_note(note), after);
        history
    }
}

impl RunningServers for Opaque {
    fn node(&self, id: ServerId, digest: u128) -> Option<Node> {
        Some(self.node_of(self.states.number_of(id, digest)?))
    }

    fn start(&self, slot: usize) -> Node {
        self.node_of(self.starts[slot])
    }

    fn local(&self, node: &Node) -> KindSet {
        let local = (0..self.inputs.len()).filter(|number| self.matters(*number, node));
        local.collect()
    }

    fn level(&self, node: &Node) -> u64 {
        highest_value(&node.view)
    }

    fn max_term(&self) -> u32 {
        self.bounds.max_term
    }
}

impl Component<Opaque> for Arc<Packet> {
    type Facts = MessageFacts;
    const KIND: u64 = 2;

    fn encode(&self, out: &mut Vec<u8>) {
        out.extend(self.from.get().to_le_bytes());
        out.extend(self.to.get().to_le_bytes());
        out.extend(self.text.as_bytes());
    }

    fn decode(bytes: &[u8], _: &Opaque) -> Self {
        let id = |bytes: &[u8]| {
            let id = bytes.first_chunk().map(|id| u64::from_le_bytes(*id));
            id.and_then(ServerId::new).expect("a server has a name")
        };
        Arc::new(Packet {
            from: id(bytes),
            to: id(&bytes[8..]),
            text: String::from_utf8(bytes[16..].to_vec()).expect("it was text"),
        })
    }

    fn facts(&self, _: &Opaque) -> MessageFacts {
        MessageFacts {
            // What messages are ordered by first: sender, recipient.
            rank: self.from.get().min(0xff) << 8 | self.to.get().min(0xff),
            // Nobody knows its term.
            least_gauge: 0,
            gauge: u8::MAX,
            to: narrow(self.to.get() - 1).min(255) as u8,
        }
    }
}

impl Component<Opaque> for Counts {
    type Facts = KindSet;
    const KIND: u64 = 4;

    fn encode(&self, out: &mut Vec<u8>) {
        out.extend(self.0.iter().flat_map(|count| count.to_le_bytes()));
    }

    fn decode(bytes: &[u8], _: &Opaque) -> Self {
        let (counts, _) = bytes.as_chunks::<2>();
        Counts(
            counts
                .iter()
                .map(|count| u16::from_le_bytes(*count))
                .collect(),
        )
    }

    fn facts(&self, model: &Opaque) -> KindSet {
        let numbers = 0..model.inputs.len() + 3;
        numbers
            .filter(|number| model.allows(*number, self))
            .collect()
    }
}
