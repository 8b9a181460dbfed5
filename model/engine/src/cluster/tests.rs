//! A small cluster of machines that is not Raft, and what must hold of its collapsed states.

use super::*;
use crate::{Checkable, Report, Search, StepProperty, TimeSplit, Verdict};
use proptest::prelude::*;
use stateright::{Model, Property};

/// Servers in a ring. A server that is prodded sends a token with the number of its prods to the next one; a
/// server that gets one adds its number to its sum and passes odd ones on. A server that is asked resets its sum
/// to a value that depends on all servers. The history remembers the highest sum of any server.
#[derive(Clone, Debug)]
struct Ring {
    servers: u8,
    prods: u8,
    asks: u8,
    losses: u8,
    copies: u8,
    max_in_flight: usize,
    max_sum: u8,
    /// The seeded bug: the history misses what even tokens do.
    forgetful: bool,
    /// The history remembers the last server that has a sum, and not the highest sum.
    remembers_last: bool,
    /// The seeded bug: the facts do not say that the history changes.
    undeclared: bool,
    /// A sum that no server may reach.
    forbidden: u8,
    /// Inputs that are not enabled are probed.
    probing: bool,
    /// The value to which a server whose sum is zero must not be reset: only probes do that.
    sour: u8,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
struct Node {
    slot: u8,
    prods: u8,
    sum: u8,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
struct Token {
    to: u8,
    number: u8,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Highest(u8);

/// Prods, asks, duplications, losses.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct Spent([u8; 4]);

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct State {
    servers: Vec<Node>,
    tokens: Vec<Token>,
    highest: Highest,
    spent: Spent,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Action {
    Prod(usize),
    Ask(usize),
    Deliver(usize),
    Duplicate(usize),
    Drop(usize),
}

const KINDS: [&str; 5] = ["Prod", "Ask", "Deliver", "Duplicate", "Drop"];

impl Ring {
    fn limit(&self, kind: usize) -> Option<(usize, u8)> {
        match kind {
            0 => Some((0, self.prods)),
            1 => Some((1, self.asks)),
            3 => Some((2, self.copies)),
            4 => Some((3, self.losses)),
            _ => None,
        }
    }

    fn allows(&self, spent: &Spent, kind: usize) -> bool {
        self.limit(kind)
            .is_none_or(|(place, limit)| spent.0[place] < limit)
    }

    fn records(&self, node: &Node) -> bool {
        node.sum > 0 && !(self.forgetful && node.sum.is_multiple_of(2))
    }

    fn local(node: &Node) -> KindSet {
        KindSet::EMPTY.with(0, true).with(1, node.sum > 0)
    }
}

impl Model for Ring {
    type State = State;
    type Action = Action;

    fn init_states(&self) -> Vec<State> {
        let node = |slot| Node {
            slot,
            prods: 0,
            sum: 0,
        };
        vec![State {
            servers: (0..self.servers).map(node).collect(),
            tokens: Vec::new(),
            highest: Highest(0),
            spent: Spent([0; 4]),
        }]
    }

    fn actions(&self, state: &State, actions: &mut Vec<Action>) {
        for (slot, node) in state.servers.iter().enumerate() {
            for kind in Ring::local(node).iter() {
                if self.allows(&state.spent, kind) {
                    actions.push(if kind == 0 {
                        Action::Prod(slot)
                    } else {
                        Action::Ask(slot)
                    });
                }
            }
        }
        for (position, token) in state.tokens.iter().enumerate() {
            if position > 0 && state.tokens[position - 1] == *token {
                continue;
            }
            actions.push(Action::Deliver(position));
            if self.allows(&state.spent, 3) {
                actions.push(Action::Duplicate(position));
            }
            if self.allows(&state.spent, 4) {
                actions.push(Action::Drop(position));
            }
        }
    }

    fn next_state(&self, state: &State, action: Action) -> Option<State> {
        let mut after = state.clone();
        after.spent = self.spend(&state.spent, self.action_kind(&action));
        let mut sent = Vec::new();
        let moved = match action {
            Action::Prod(slot) => {
                let node = &mut after.servers[slot];
                node.prods += 1;
                sent.push(Token {
                    to: (slot as u8 + 1) % self.servers,
                    number: node.prods,
                });
                Some(slot)
            }
            Action::Ask(slot) => {
                let mut levels = state.servers.iter().map(|node| u64::from(node.sum));
                after.servers[slot].sum = self.parameter(&mut levels) as u8;
                Some(slot)
            }
            Action::Deliver(position) => {
                let token = after.tokens.remove(position);
                let node = &mut after.servers[usize::from(token.to)];
                node.sum += token.number;
                if token.number % 2 == 1 {
                    sent.push(Token {
                        to: (token.to + 1) % self.servers,
                        number: token.number + 1,
                    });
                }
                Some(usize::from(token.to))
            }
            Action::Duplicate(position) => {
                sent.push(state.tokens[position].clone());
                None
            }
            Action::Drop(position) => {
                after.tokens.remove(position);
                None
            }
        };
        if let Some(slot) = moved {
            let node = &after.servers[slot];
            if self.records(node) {
                after.highest = self.record(&after.highest, node, 0);
            }
        }
        after.tokens.extend(sent);
        after.tokens.sort();
        Some(after)
    }

    fn within_boundary(&self, state: &State) -> bool {
        state.tokens.len() <= self.max_in_flight
            && state.servers.iter().all(|node| node.sum <= self.max_sum)
    }

    fn properties(&self) -> Vec<Property<Self>> {
        vec![
            Property::always("no sum is forbidden", |ring: &Ring, state: &State| {
                state.servers.iter().all(|node| node.sum != ring.forbidden)
            }),
            Property::always("the history is right", |_, state: &State| {
                state.servers.iter().all(|node| node.sum <= state.highest.0)
            }),
            Property::sometimes("a sum of three", |_, state: &State| {
                state.servers.iter().any(|node| node.sum == 3)
            }),
        ]
    }
}

impl Checkable for Ring {
    fn encode(&self, state: &State, out: &mut Vec<u8>) {
        for node in &state.servers {
            out.extend([node.prods, node.sum]);
        }
        out.push(state.highest.0);
        out.extend(state.spent.0);
        for token in &state.tokens {
            out.extend([token.to, token.number]);
        }
    }

    fn decode(&self, bytes: &[u8]) -> State {
        let (nodes, rest) = bytes.split_at(2 * usize::from(self.servers));
        let nodes = nodes.chunks(2).zip(0..);
        State {
            servers: nodes
                .map(|(node, slot)| Node {
                    slot,
                    prods: node[0],
                    sum: node[1],
                })
                .collect(),
            highest: Highest(rest[0]),
            spent: Spent(std::array::from_fn(|place| rest[1 + place])),
            tokens: rest[5..]
                .chunks(2)
                .map(|token| Token {
                    to: token[0],
                    number: token[1],
                })
                .collect(),
        }
    }

    fn identity(&self) -> String {
        format!("{self:?}")
    }

    fn step_properties(&self) -> Vec<StepProperty<Self>> {
        vec![
            StepProperty::new("prods grow", |_, before: &State, _, after: &State| {
                let nodes = before.servers.iter().zip(&after.servers);
                nodes
                    .into_iter()
                    .all(|(before, after)| before.prods <= after.prods)
            }),
            StepProperty::new(
                "no reset is sour",
                |ring: &Ring, before: &State, action, after: &State| {
                    let Action::Ask(slot) = *action else {
                        return true;
                    };
                    before.servers[slot].sum > 0 || after.servers[slot].sum != ring.sour
                },
            ),
        ]
    }

    fn probes(&self, state: &State, probes: &mut Vec<Action>) {
        if !self.probing {
            return;
        }
        for (slot, node) in state.servers.iter().enumerate() {
            for (kind, action) in [Action::Prod(slot), Action::Ask(slot)].iter().enumerate() {
                if !(self.allows(&state.spent, kind) && Ring::local(node).contains(kind)) {
                    probes.push(*action);
                }
            }
        }
    }

    fn step_witnesses(&self) -> Vec<StepProperty<Self>> {
        vec![StepProperty::new(
            "a reset",
            |_, before: &State, action, after: &State| matches!(action, Action::Ask(slot) if after.servers[*slot].sum > before.servers[*slot].sum),
        )]
    }

    fn collapse(&self, _: bool) -> Option<Box<dyn Collapse<'_, Self> + '_>> {
        Some(Box::new(Generator::new(self, None)))
    }

    fn action_kinds(&self) -> Vec<&'static str> {
        KINDS.to_vec()
    }

    fn action_kind(&self, action: &Action) -> usize {
        match action {
            Action::Prod(_) => 0,
            Action::Ask(_) => 1,
            Action::Deliver(_) => 2,
            Action::Duplicate(_) => 3,
            Action::Drop(_) => 4,
        }
    }
}

impl Machines for Ring {
    type Server = Node;
    type Message = Token;
    type History = Highest;
    type Budgets = Spent;

    fn shape(&self) -> Shape {
        Shape {
            servers: usize::from(self.servers),
            max_in_flight: self.max_in_flight,
            local_kinds: 2,
            deliver: 2,
            duplicate: 3,
            drop: 4,
            parametric: KindSet::EMPTY.with(1, true),
            probes: self.probing,
            records_steps: false,
        }
    }

    fn server(&self, state: &State, slot: usize) -> Node {
        state.servers[slot].clone()
    }

    fn components<'s>(&self, state: &'s State) -> Components<'s, Self> {
        Components {
            messages: &state.tokens,
            history: &state.highest,
            budgets: &state.spent,
        }
    }

    fn replace(&self, state: &mut State, new: Replacement<'_, Self>) {
        for (slot, node) in new.servers {
            state.servers[slot] = node.clone();
        }
        if let Some(tokens) = new.messages {
            state.tokens = tokens.into_iter().cloned().collect();
        }
        if let Some(highest) = new.history {
            state.highest = highest.clone();
        }
        state.spent = *new.budgets;
    }

    fn event(&self, action: &Action) -> Event {
        let kind = self.action_kind(action);
        match action {
            Action::Prod(slot) | Action::Ask(slot) => Event::Local(*slot, kind),
            Action::Deliver(at) | Action::Duplicate(at) | Action::Drop(at) => {
                Event::Message(*at, kind)
            }
        }
    }

    fn parameter(&self, levels: &mut dyn Iterator<Item = u64>) -> u32 {
        levels.max().unwrap_or(0) as u32 / 2 + 1
    }

    fn spend(&self, spent: &Spent, kind: usize) -> Spent {
        let mut after = *spent;
        if let Some((place, _)) = self.limit(kind) {
            after.0[place] += 1;
        }
        after
    }

    fn record(&self, highest: &Highest, after: &Node, _: u32) -> Highest {
        if self.remembers_last {
            return Highest(after.slot + 1);
        }
        Highest(highest.0.max(after.sum))
    }
}

impl Component<Ring> for Node {
    type Facts = ServerFacts;
    const KIND: u64 = 1;

    fn encode(&self, out: &mut Vec<u8>) {
        out.extend([self.slot, self.prods, self.sum]);
    }

    fn decode(bytes: &[u8], _: &Ring) -> Self {
        Node {
            slot: bytes[0],
            prods: bytes[1],
            sum: bytes[2],
        }
    }

    fn facts(&self, ring: &Ring) -> ServerFacts {
        ServerFacts {
            level: self.sum.into(),
            gauge: 0,
            note: 0,
            slot: self.slot,
            local: Ring::local(self),
            recorded: ring.records(self) && !ring.undeclared,
            within: self.sum <= ring.max_sum,
        }
    }
}

impl Component<Ring> for Token {
    type Facts = MessageFacts;
    const KIND: u64 = 2;

    fn encode(&self, out: &mut Vec<u8>) {
        out.extend([self.to, self.number]);
    }

    fn decode(bytes: &[u8], _: &Ring) -> Self {
        Token {
            to: bytes[0],
            number: bytes[1],
        }
    }

    fn facts(&self, _: &Ring) -> MessageFacts {
        MessageFacts {
            // It says nothing of the number: equal ranks have to be told apart.
            rank: self.to.into(),
            least_gauge: 0,
            gauge: u8::MAX,
            to: self.to,
        }
    }
}

impl Component<Ring> for Highest {
    type Facts = ();
    const KIND: u64 = 3;

    fn encode(&self, out: &mut Vec<u8>) {
        out.push(self.0);
    }

    fn decode(bytes: &[u8], _: &Ring) -> Self {
        Highest(bytes[0])
    }

    fn facts(&self, _: &Ring) {}
}

impl Component<Ring> for Spent {
    type Facts = KindSet;
    const KIND: u64 = 4;

    fn encode(&self, out: &mut Vec<u8>) {
        out.extend(self.0);
    }

    fn decode(bytes: &[u8], _: &Ring) -> Self {
        Spent(std::array::from_fn(|place| bytes[place]))
    }

    fn facts(&self, ring: &Ring) -> KindSet {
        let kinds = (0..KINDS.len()).filter(|kind| ring.allows(self, *kind));
        kinds.fold(KindSet::EMPTY, |set, kind| set.with(kind, true))
    }
}

fn ring() -> Ring {
    Ring {
        servers: 3,
        prods: 3,
        asks: 2,
        losses: 1,
        copies: 1,
        max_in_flight: 4,
        max_sum: 7,
        forgetful: false,
        remembers_last: false,
        undeclared: false,
        forbidden: u8::MAX,
        probing: false,
        sour: u8::MAX,
    }
}

fn report(search: Search<'_, Ring>) -> Report {
    let checked = search.coverage(true).run().expect("nothing goes to disk");
    Report {
        time: TimeSplit::default(),
        memory: crate::MemorySplit::default(),
        threads: 1,
        ..checked.report
    }
}

#[test]
fn collapsing_changes_nothing() {
    let ring = ring();
    let executed = report(Search::new(&ring).collapse(false));
    assert_eq!(executed.verdict, Verdict::Exhausted);
    assert!(executed.distinct > 3000, "{}", executed.distinct);
    for threads in 1..=3 {
        assert_eq!(report(Search::new(&ring).threads(threads)), executed);
    }
}

/// A violation of a step of the history, and one of a state that only one way of many leads to first.
#[test]
fn violations_are_the_same() {
    let broken = [
        Ring {
            forgetful: true,
            ..ring()
        },
        Ring {
            forbidden: 6,
            ..ring()
        },
        Ring {
            forbidden: 5,
            asks: 0,
            ..ring()
        },
    ];
    for ring in broken {
        let executed = report(Search::new(&ring).collapse(false));
        assert!(
            matches!(executed.verdict, Verdict::Violated { .. }),
            "{:?}",
            executed.verdict
        );
        for threads in 1..=2 {
            assert_eq!(report(Search::new(&ring).threads(threads)), executed);
        }
    }
}

/// Probes are evaluated wherever they can differ, and count for nothing.
#[test]
fn probes_are_evaluated_and_not_followed() {
    let quiet = report(Search::new(&ring()));
    let probing = Ring {
        probing: true,
        ..ring()
    };
    let probed = report(Search::new(&probing));
    assert_eq!(probed.verdict, Verdict::Exhausted);
    assert_eq!(
        (probed.distinct, &probed.levels),
        (quiet.distinct, &quiet.levels)
    );
    for sour in 1..=4 {
        let ring = Ring {
            probing: true,
            sour,
            ..ring()
        };
        let trace = |search: Search<'_, Ring>| {
            let found = search.run().expect("nothing goes to disk").counterexample;
            let steps = found.expect("a probe violates it").steps;
            steps
                .into_iter()
                .map(|(action, _)| action)
                .collect::<Vec<_>>()
        };
        let executed = trace(Search::new(&ring).collapse(false));
        for threads in 1..=2 {
            assert_eq!(trace(Search::new(&ring).threads(threads)), executed);
        }
        // Without probes nobody sees it.
        let blind = Ring {
            probing: false,
            ..ring
        };
        assert_eq!(report(Search::new(&blind)).verdict, Verdict::Exhausted);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 40, ..ProptestConfig::default() })]

    #[test]
    fn collapsing_changes_nothing_within_any_bounds(
        (servers, prods, asks, losses, copies) in (1u8..=4, 1u8..=3, 0u8..=2, 0u8..=1, 0u8..=1),
        (max_in_flight, max_sum) in (1usize..=4, 2u8..=6),
    ) {
        let ring = Ring { servers, prods, asks, losses, copies, max_in_flight, max_sum, ..ring() };
        let limited = || Search::new(&ring).max_states(20_000);
        let executed = report(limited().collapse(false));
        prop_assert_eq!(report(limited()), executed.clone());
        prop_assert_eq!(report(limited().threads(2)), executed);
    }
}

/// Every action that is asleep in a state commutes with the step that led there.
#[test]
fn what_is_asleep_is_independent() {
    let ring = ring();
    let mut generator = Generator::new(&ring, None);
    let mut waiting = Vec::new();
    for state in ring.init_states() {
        let mut bytes = Vec::new();
        generator.collapse(&state, &mut bytes);
        waiting.push(bytes);
    }
    let mut found = std::collections::HashSet::new();
    let (mut asleep, mut executed) = (0, 0);
    for _ in 0..9 {
        let mut packed = Vec::new();
        let block: Vec<_> = waiting.iter().map(Vec::as_slice).collect();
        let block = States::of(&mut packed, &block);
        generator.begin_batch();
        generator.read(block);
        let mut new = Vec::new();
        for parent in 0..waiting.len() as u32 {
            let mut steps = Steps::new(KINDS.len());
            steps.class(None, Default::default());
            steps.begin(parent);
            generator.list(parent, &mut steps);
            let state = generator.listed().clone();
            let mut actions = Vec::new();
            ring.actions(&state, &mut actions);
            for action in actions {
                let after = ring.next_state(&state, action).expect("it leads somewhere");
                let result = match generator.lookup(&action) {
                    Lookup::Unknown => {
                        executed += 1;
                        generator.learn(&action, &after, 0, true)
                    }
                    result => result,
                };
                match result {
                    Lookup::Unknown => panic!("it was learned"),
                    Lookup::Beyond => assert!(!ring.within_boundary(&after)),
                    // It was found from a state before, on this level at the latest.
                    Lookup::Known(_) => {
                        assert!(found.contains(&after), "{action:?} in {state:?}");
                        asleep += 1;
                    }
                    Lookup::Within(fingerprint, key, _) => {
                        if found.insert(after) {
                            new.push(Reached {
                                fingerprint,
                                key,
                                parent,
                                action: 0,
                                kind: 0,
                            });
                        }
                    }
                }
            }
        }
        let mut written = Packed::default();
        generator.write(block, &new, &mut written);
        waiting = written.states().iter().map(<[u8]>::to_vec).collect();
    }
    assert!(asleep > found.len() / 5, "{asleep} of {}", found.len());
    assert!(executed < found.len(), "{executed} of {}", found.len());
}

/// Both orders of what is declared independent, in the first states: how many there were.
fn both_orders(ring: &Ring, blind: bool) -> Result<u64, Dependent<Action>> {
    let mut states = ring.init_states();
    let mut next = 0;
    let mut pairs = 0;
    while next < states.len() && states.len() < 2000 {
        let state = states[next].clone();
        next += 1;
        pairs += check_independence(ring, &state, |footprint| Footprint {
            history: footprint.history && !blind,
            ..footprint
        })?;
        let mut actions = Vec::new();
        ring.actions(&state, &mut actions);
        for action in actions {
            let after = ring.next_state(&state, action).expect("it leads somewhere");
            if ring.within_boundary(&after) && !states.contains(&after) {
                states.push(after);
            }
        }
    }
    Ok(pairs)
}

#[test]
fn independent_actions_commute() {
    let pairs = both_orders(&ring(), false).expect("they commute");
    assert!(pairs > 500, "{pairs}");
}

/// A history that says who was the last: what is left out of a footprint is found.
#[test]
fn a_footprint_without_the_history_is_found_out() {
    let ring = Ring {
        remembers_last: true,
        ..ring()
    };
    assert!(both_orders(&ring, false).expect("they commute") > 500);
    let found = both_orders(&ring, true).expect_err("the order matters");
    assert!(found.footprints.iter().all(|it| it.server.is_some()));
    // The same, left out by the model itself.
    let undeclared = Ring {
        undeclared: true,
        ..ring
    };
    both_orders(&undeclared, false).expect_err("the order matters");
}
