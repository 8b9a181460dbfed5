//! The cluster in step with something else: an implementation, or whoever wants to know what is asked.
//!
//! A state is a state of the cluster together with the *mark* of each server: the digest of the companion's server
//! beside it. The pair is a machine of the engine. What happens is a function of *(server of the specification,
//! mark, input)*; each such question is put to the [`Companion`] once. Every input that is not explored is a probe:
//! it is asked too, and not followed.

use crate::bounds::Spent;
use crate::cluster::{Action, Cluster, ClusterState};
use crate::history::History;
use crate::ids::MAX_SERVERS;
use crate::message::Message;
use crate::server::{Outbox, Server};
use arrayvec::ArrayVec;
use lockstep_engine::{
    Checkable, Collapse, Component, Components, Event, Generator, Happened, Machines, Replacement,
    ServerFacts, Shape, StepProperty,
};
use lockstep_traces as vocabulary;
use lockstep_traces::{Expected, Index, Input, ServerId};
use rustc_hash::FxHashMap;
use serde::{Deserialize, Serialize};
use stateright::{Model, Property};
use std::sync::{Mutex, MutexGuard, PoisonError};

/// An observer that goes along with the specification.
pub trait Companion: Send {
    /// Why it does not agree with the specification.
    type Parting: Send;

    /// The digest of the companion's server after an input. Each question is asked once.
    ///
    /// # Errors
    ///
    /// The two part: the search ends with a shortest path to here.
    fn step(&mut self, question: &Question<'_>) -> Result<u128, Self::Parting>;
}

/// A question to a [`Companion`].
#[derive(Debug)]
pub struct Question<'q> {
    /// The server that gets the input.
    pub server: ServerId,
    /// The digest of the companion's server.
    pub digest: u128,
    /// The input.
    pub input: &'q Input,
    /// The index up to which the server has applied before it.
    pub applied_before: Index,
    /// The step that the specification expects.
    pub expected: &'q Expected,
}

/// The companion's side of a pair.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Mark {
    /// Its server has this digest.
    Digest(u128),
    /// It does not agree with what the specification did last.
    Parted,
}

/// A server of the specification with what stands beside it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Pair {
    /// The specification's server.
    pub server: Server,
    /// The companion's.
    pub mark: Mark,
}

/// A question that was asked.
#[derive(Clone, Debug)]
pub struct Answer {
    /// The pair before.
    pub before: Pair,
    /// The input.
    pub input: Input,
    /// The pair afterwards.
    pub after: Pair,
}

/// A state of the cluster with the mark of each server.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct InStepState {
    /// The specification's side.
    pub cluster: ClusterState,
    /// The companion's side, by slot.
    pub marks: ArrayVec<Mark, MAX_SERVERS>,
}

/// The name of the one property: every answer of the companion agrees.
const AGREES: &str = "both sides agree";

/// The cluster in step with a companion.
pub struct InStep<'a, C: Companion> {
    cluster: &'a Cluster,
    starts: ArrayVec<Mark, MAX_SERVERS>,
    asked: Mutex<Asked<C>>,
}

struct Asked<C: Companion> {
    companion: C,
    /// In the order asked.
    answers: Vec<Answer>,
    numbers: FxHashMap<Pair, FxHashMap<Input, usize>>,
    partings: FxHashMap<usize, C::Parting>,
    /// The number of answers in a checkpoint.
    saved: usize,
}

/// An answer in a checkpoint. The companion is asked again when it is read back.
#[derive(Serialize, Deserialize)]
struct SavedAnswer {
    server: Vec<u8>,
    before: Halves,
    input: Input,
    after: Halves,
}

/// A digest in two numbers, since JSON has none as large.
type Halves = [u64; 2];

fn halves(digest: u128) -> Halves {
    [(digest >> 64) as u64, digest as u64]
}

fn whole([high, low]: Halves) -> u128 {
    u128::from(high) << 64 | u128::from(low)
}

impl<'a, C: Companion> InStep<'a, C> {
    /// The cluster with a companion whose servers start with these digests, by slot.
    ///
    /// # Panics
    ///
    /// If there are not as many as servers.
    pub fn new(cluster: &'a Cluster, starts: impl IntoIterator<Item = u128>, companion: C) -> Self {
        let starts: ArrayVec<_, MAX_SERVERS> = starts.into_iter().map(Mark::Digest).collect();
        assert_eq!(starts.len(), cluster.settings().servers());
        InStep {
            cluster,
            starts,
            asked: Mutex::new(Asked {
                companion,
                answers: Vec::new(),
                numbers: FxHashMap::default(),
                partings: FxHashMap::default(),
                saved: 0,
            }),
        }
    }

    /// The companion, and everything that was asked, in the order of a search on one thread if that was one.
    pub fn finish(self) -> (C, Vec<Answer>) {
        let asked = self.asked.into_inner();
        let asked = asked.unwrap_or_else(PoisonError::into_inner);
        (asked.companion, asked.answers)
    }

    /// Why the two part at `action` in `state`, if they do there; each is handed out once.
    pub fn parting(&self, state: &InStepState, action: &Action) -> Option<C::Parting> {
        let (slot, input) = self.input(state, action)?;
        let mut asked = self.asked();
        let inputs = asked.numbers.get(&state.pair(slot))?;
        let number = *inputs.get(&input)?;
        asked.partings.remove(&number)
    }

    /// Asks again what is in a checkpoint.
    fn ask_again(&self, saved: SavedAnswer) -> Result<(), String> {
        let settings = self.cluster.settings();
        let server: Server = Component::<Cluster>::decode(&saved.server, self.cluster);
        let (id, view) = (server.id, server.view(settings));
        let mark = Mark::Digest(whole(saved.before));
        let step = server.step(settings, &saved.input);
        let expected = Expected {
            outcome: step.outcome,
            view: step.server.view(settings),
            sent: step.sent,
            read_states: step.read_states,
        };
        let before = Pair { server, mark };
        match self.ask(before, saved.input, &step.server, &expected) {
            Mark::Digest(after) if after == whole(saved.after) => Ok(()),
            _ => Err(format!(
                "server {} no longer does what it did at term {} with {} entries applied",
                id.get(),
                view.term.0,
                view.applied.0
            )),
        }
    }

    fn asked(&self) -> MutexGuard<'_, Asked<C>> {
        // A companion that panics takes the search with it.
        self.asked.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The slot of the server that an action moves, and its input; `None` if only the network moves.
    fn input(&self, state: &InStepState, action: &Action) -> Option<(usize, Input)> {
        match self.cluster.event(&state.cluster, action) {
            vocabulary::Event::Server { server, input } => Some((server.get() as usize - 1, input)),
            vocabulary::Event::Duplicate(_) | vocabulary::Event::Drop(_) => None,
        }
    }

    /// The mark after an input that makes `after` of the specification's server.
    fn ask(&self, before: Pair, input: Input, after: &Server, expected: &Expected) -> Mark {
        let mut asked = self.asked();
        let Asked {
            companion,
            answers,
            numbers,
            partings,
            ..
        } = &mut *asked;
        let known = numbers.get(&before).and_then(|inputs| inputs.get(&input));
        if let Some(number) = known {
            return answers[*number].after.mark;
        }
        let Mark::Digest(digest) = before.mark else {
            return Mark::Parted;
        };
        let question = Question {
            server: before.server.id.into(),
            digest,
            input: &input,
            applied_before: before.server.view(self.cluster.settings()).applied,
            expected,
        };
        let number = answers.len();
        let mark = match companion.step(&question) {
            Ok(digest) => Mark::Digest(digest),
            Err(parting) => {
                partings.insert(number, parting);
                Mark::Parted
            }
        };
        let of_pair = numbers.entry(before.clone()).or_default();
        of_pair.insert(input.clone(), number);
        let after = Pair {
            server: after.clone(),
            mark,
        };
        answers.push(Answer {
            before,
            input,
            after,
        });
        mark
    }
}

impl InStepState {
    /// The server in `slot` with its mark.
    fn pair(&self, slot: usize) -> Pair {
        Pair {
            server: self.cluster.servers[slot].clone(),
            mark: self.marks[slot],
        }
    }

    fn agrees(&self) -> bool {
        !self.marks.contains(&Mark::Parted)
    }
}

impl<C: Companion> Model for InStep<'_, C> {
    type State = InStepState;
    type Action = Action;

    fn init_states(&self) -> Vec<InStepState> {
        vec![InStepState {
            cluster: self.cluster.initial(),
            marks: self.starts.clone(),
        }]
    }

    fn actions(&self, state: &InStepState, actions: &mut Vec<Action>) {
        self.cluster.enabled(&state.cluster, actions);
    }

    fn next_state(&self, state: &InStepState, action: Action) -> Option<InStepState> {
        let mut outbox = Outbox::new();
        let mut next = state.clone();
        let outcome = self.cluster.advance(&mut next.cluster, action, &mut outbox);
        let Some((slot, input)) = self.input(state, &action) else {
            return Some(next);
        };
        let server = &next.cluster.servers[slot];
        let expected = Expected {
            outcome,
            view: server.view(self.cluster.settings()),
            sent: self.cluster.settings().emitted(&outbox.messages),
            read_states: outbox.read_states(),
        };
        let mark = self.ask(state.pair(slot), input, server, &expected);
        if mark == Mark::Parted {
            // Nothing follows, so it is left as it is: within the bound, to be seen by the property.
            next.cluster.clone_from(&state.cluster);
            if let Some(kind) = action.kind() {
                next.cluster.spent.spend(kind, &self.cluster.bounds);
            }
            if let Action::Deliver(position) = action {
                next.cluster.network.remove(position as usize);
            }
        }
        next.marks[slot] = mark;
        Some(next)
    }

    fn properties(&self) -> Vec<Property<Self>> {
        Vec::new()
    }

    fn within_boundary(&self, state: &InStepState) -> bool {
        !state.agrees() || self.cluster.is_within(&state.cluster)
    }
}

/// Writes a mark in a fixed number of bytes.
fn put_mark(mark: Mark, out: &mut Vec<u8>) {
    let (digest, parted) = match mark {
        Mark::Digest(digest) => (digest, 0),
        Mark::Parted => (0, 1),
    };
    out.extend(digest.to_le_bytes());
    out.push(parted);
}

fn take_mark(bytes: &[u8]) -> (Mark, &[u8]) {
    let (digest, rest) = bytes.split_first_chunk().expect("a mark is whole");
    let (parted, rest) = rest.split_first().expect("a mark is whole");
    let digest = u128::from_le_bytes(*digest);
    let mark = match parted {
        0 => Mark::Digest(digest),
        _ => Mark::Parted,
    };
    (mark, rest)
}

impl<C: Companion> Checkable for InStep<'_, C> {
    fn encode(&self, state: &InStepState, out: &mut Vec<u8>) {
        state.marks.iter().for_each(|mark| put_mark(*mark, out));
        state.cluster.encode(out);
    }

    fn decode(&self, mut bytes: &[u8]) -> InStepState {
        let marks = self.starts.iter().map(|_| {
            let (mark, rest) = take_mark(bytes);
            bytes = rest;
            mark
        });
        let marks = marks.collect();
        InStepState {
            cluster: ClusterState::decode(bytes),
            marks,
        }
    }

    fn identity(&self) -> String {
        format!("{} in step with {:?}", self.cluster.identity(), self.starts)
    }

    fn step_properties(&self) -> Vec<StepProperty<Self>> {
        vec![StepProperty::new(AGREES, |_, _, _, after: &InStepState| {
            after.agrees()
        })]
    }

    fn probes(&self, state: &InStepState, probes: &mut Vec<Action>) {
        self.cluster.probes(&state.cluster, probes);
    }

    fn collapse(&self, symmetric: bool) -> Option<Box<dyn Collapse<'_, Self> + '_>> {
        // The companion's servers have names.
        (!symmetric).then(|| Box::new(Generator::new(self, None)) as Box<dyn Collapse<'_, Self>>)
    }

    fn save_answers(&self, saved: &mut Vec<u8>) {
        let mut asked = self.asked();
        let new = asked.saved..asked.answers.len();
        for answer in &asked.answers[new] {
            // Where the two part the search ends, so that it is asked again after a resume.
            let (Mark::Digest(before), Mark::Digest(after)) =
                (answer.before.mark, answer.after.mark)
            else {
                continue;
            };
            let mut server = Vec::new();
            Component::<Cluster>::encode(&answer.before.server, &mut server);
            let line = serde_json::to_string(&SavedAnswer {
                server,
                before: halves(before),
                input: answer.input.clone(),
                after: halves(after),
            });
            saved.extend(line.expect("an input can be written").as_bytes());
            saved.push(b'\n');
        }
        asked.saved = asked.answers.len();
    }

    fn load_answers(&self, saved: &[u8]) -> Result<(), String> {
        for line in saved.split(|byte| *byte == b'\n') {
            if !line.is_empty() {
                let saved = serde_json::from_slice(line).map_err(|error| error.to_string())?;
                self.ask_again(saved)?;
            }
        }
        let mut asked = self.asked();
        asked.saved = asked.answers.len();
        Ok(())
    }

    fn action_kinds(&self) -> Vec<&'static str> {
        Action::KINDS.to_vec()
    }

    fn action_kind(&self, action: &Action) -> usize {
        action.number()
    }
}

impl<C: Companion> AsRef<Cluster> for InStep<'_, C> {
    fn as_ref(&self) -> &Cluster {
        self.cluster
    }
}

impl<C: Companion> Machines for InStep<'_, C> {
    type Server = Pair;
    type Message = Message;
    type History = History;
    type Budgets = Spent;

    fn shape(&self) -> Shape {
        Shape {
            probes: true,
            ..self.cluster.shape()
        }
    }

    fn server(&self, state: &InStepState, slot: usize) -> Pair {
        state.pair(slot)
    }

    fn components<'s>(&self, state: &'s InStepState) -> Components<'s, Self> {
        let Components {
            messages,
            history,
            budgets,
        } = self.cluster.components(&state.cluster);
        Components {
            messages,
            history,
            budgets,
        }
    }

    fn replace(&self, state: &mut InStepState, new: Replacement<'_, Self>) {
        for (slot, pair) in &new.servers {
            state.marks[*slot] = pair.mark;
        }
        let servers = new.servers.into_iter();
        let new = Replacement {
            servers: servers.map(|(slot, pair)| (slot, &pair.server)).collect(),
            messages: new.messages,
            history: new.history,
            budgets: new.budgets,
        };
        self.cluster.replace(&mut state.cluster, new);
    }

    fn event(&self, action: &Action) -> Event {
        Machines::event(self.cluster, action)
    }

    fn parameter(&self, levels: &mut dyn Iterator<Item = u64>) -> u32 {
        self.cluster.parameter(levels)
    }

    #[inline]
    fn kind_of(&self, number: usize) -> usize {
        Machines::kind_of(self.cluster, number)
    }

    fn spend(&self, spent: &Spent, number: usize) -> Spent {
        Machines::spend(self.cluster, spent, number)
    }

    fn record(&self, history: &History, after: &Pair, note: u32) -> History {
        self.cluster.record(history, &after.server, note)
    }

    fn record_step(
        &self,
        history: &History,
        (before, after): (&Pair, &Pair),
        happened: Happened<'_, Self>,
    ) -> History {
        // Nothing has happened where the two part.
        if after.mark == Mark::Parted {
            return history.clone();
        }
        let stimulus = self.cluster.stimulus_of(&before.server, happened);
        let step = (&before.server, &after.server);
        self.cluster.record_step(history, step, stimulus)
    }
}

impl<C: Companion> Component<InStep<'_, C>> for Pair {
    type Facts = ServerFacts;
    const KIND: u64 = 1;

    fn encode(&self, out: &mut Vec<u8>) {
        put_mark(self.mark, out);
        Component::<Cluster>::encode(&self.server, out);
    }

    fn decode(bytes: &[u8], in_step: &InStep<'_, C>) -> Self {
        let (mark, server) = take_mark(bytes);
        Pair {
            server: Component::<Cluster>::decode(server, in_step.cluster),
            mark,
        }
    }

    fn facts(&self, in_step: &InStep<'_, C>) -> ServerFacts {
        let facts = Component::<Cluster>::facts(&self.server, in_step.cluster);
        ServerFacts {
            within: facts.within || self.mark == Mark::Parted,
            ..facts
        }
    }
}
