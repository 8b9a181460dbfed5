//! The distinct states of an implementation's servers, by digest: how each is reached, what every input does in
//! it, and the proof by executing again that the digest hides nothing. Serves the [product](crate::product) and the
//! exploration of the [code](crate::code) alike.
//!
//! Each (state, input) is executed once. A state is kept as a copy of a server where servers can be copied
//! ([`Copies`]), and is otherwise reached again by the inputs that led to it first ([`Paths`]).

use crate::compare::{Difference, Wanted, compare, compare_views};
use crate::digest::digest_of;
use crate::divergence::Actual;
use crate::stop;
use crate::target::{Digest, Fork, Reaction, Target, TargetError, TargetServer, apply_caught};
use lockstep_traces::{Config, FieldSet, Input, NodeView, ServerId};
use rustc_hash::{FxHashMap, FxHashSet};
use serde::Serialize;
use std::borrow::Cow;
use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

/// Two servers with the same digest that are not in the same state.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HiddenState {
    /// The server of the cluster.
    pub server: ServerId,
    /// The inputs by which the first got there, from its start.
    pub first_path: Vec<Input>,
    /// The inputs by which the second got there.
    pub second_path: Vec<Input>,
    /// The input at which they part; `None` if their views differ already.
    pub input: Option<Input>,
    /// In what they part; "expected" is the first, "actual" the second.
    pub differences: Vec<Difference>,
}

/// The means by which servers are brought into a state again.
pub(crate) trait Source {
    /// A running server.
    type Server: TargetServer;
    /// The part of a state that is kept.
    type Kept: Send;

    /// Whether a second server hands its history on: worth it if a state is not restored by its whole path.
    const HANDS_ON: bool;

    /// A new server.
    fn start(&self, id: ServerId) -> Result<Self::Server, TargetError>;

    /// The part that is kept of the state that a server is in.
    fn keep(&self, server: Self::Server) -> Self::Kept;

    /// A server in a state that was kept, to which this path leads from the start.
    fn revive(
        &self,
        id: ServerId,
        kept: &Self::Kept,
        path: impl FnOnce() -> Vec<Input>,
    ) -> Result<Self::Server, TargetError>;

    /// The digest of everything that a server can read.
    fn digest(&self, server: &Self::Server) -> u128;
}

/// Servers that can be copied.
pub(crate) struct Copies<'a, T> {
    pub target: &'a T,
    pub config: Config,
}

impl<T: Target> Source for Copies<'_, T>
where
    T::Server: Fork + Send,
{
    type Server = T::Server;
    type Kept = T::Server;

    const HANDS_ON: bool = true;

    fn start(&self, id: ServerId) -> Result<T::Server, TargetError> {
        self.target.start(&self.config, id)
    }

    fn keep(&self, server: T::Server) -> T::Server {
        server
    }

    fn revive(
        &self,
        _: ServerId,
        kept: &T::Server,
        _: impl FnOnce() -> Vec<Input>,
    ) -> Result<T::Server, TargetError> {
        Ok(kept.fork())
    }

    fn digest(&self, server: &T::Server) -> u128 {
        server.digest()
    }
}

/// Servers that cannot be copied: each is started anew and given the inputs that lead to its state.
pub(crate) struct Paths<'a, T> {
    pub target: &'a T,
    pub config: Config,
}

impl<T: Target> Source for Paths<'_, T>
where
    T::Server: Digest,
{
    type Server = T::Server;
    type Kept = ();

    const HANDS_ON: bool = false;

    fn start(&self, id: ServerId) -> Result<T::Server, TargetError> {
        self.target.start(&self.config, id)
    }

    fn keep(&self, _: T::Server) {}

    fn revive(
        &self,
        id: ServerId,
        (): &(),
        path: impl FnOnce() -> Vec<Input>,
    ) -> Result<T::Server, TargetError> {
        let mut server = self.start(id)?;
        for input in path() {
            apply_caught(&mut server, &input)?;
        }
        Ok(server)
    }

    fn digest(&self, server: &T::Server) -> u128 {
        server.digest()
    }
}

/// Why an input has no result.
#[derive(Debug)]
pub(crate) enum Fault {
    /// The target cannot be started.
    Setup(String),
    /// The target broke down.
    Failed(String),
    /// The target has no means of receiving the input.
    NotDriven(String),
    /// The application was handed something else than the entries between the applied indexes.
    Handed(String),
    /// Its digest hides state.
    Hidden(Box<HiddenState>),
    /// The work must stop.
    Interrupted,
}

impl From<TargetError> for Fault {
    fn from(error: TargetError) -> Fault {
        match error {
            TargetError::Setup(why) => Fault::Setup(why),
            TargetError::Failed(why) => Fault::Failed(why),
            TargetError::Interrupted => Fault::Interrupted,
        }
    }
}

/// The state before, and the input.
type Origin = (u32, u32);

/// The effect of an input in a state.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Edge {
    input: u32,
    next: u32,
    /// Everything that left the server, the messages in any order.
    reaction: u128,
}

struct Known<K> {
    id: ServerId,
    digest: u128,
    kept: K,
    view: Arc<NodeView>,
    /// The step by which it was reached first; `None` at the start.
    origin: Option<Origin>,
    /// Another way that leads there from another state.
    other: Option<Origin>,
    edges: Vec<Edge>,
}

/// The work on the implementation's side.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct StateCounts {
    /// Distinct states of its servers, by digest.
    pub states: u64,
    /// Distinct (digest, input) that were executed.
    pub inputs: u64,
    /// Of those, how many were executed again by a server with the same digest that had got there by another
    /// path.
    pub inputs_rerun: u64,
    /// Of those, how many could not be: no second path leads to their state.
    pub inputs_without_second_path: u64,
    /// Steps that the implementation executed in all, apart from those that only restored a state.
    pub steps: u64,
    /// Distinct (digest, input) that the target has no way to be given, by its reason.
    pub not_driven: BTreeMap<String, u64>,
}

/// A server after an input that was executed, and not entered among the states yet.
pub(crate) struct Attempt<S> {
    number: u32,
    input: u32,
    after: After<S>,
}

impl<S> Attempt<S> {
    /// The reaction of the server.
    pub fn actual(&self) -> &Actual {
        &self.after.actual
    }

    /// The same, for good.
    pub fn into_actual(self) -> Actual {
        self.after.actual
    }
}

/// The result of an input.
pub(crate) struct Stepped {
    pub digest: u128,
    pub view: Arc<NodeView>,
    pub actual: Actual,
}

/// All distinct states of an implementation's servers.
pub(crate) struct States<S: Source> {
    source: S,
    known: Vec<Known<S::Kept>>,
    numbers: FxHashMap<(ServerId, u128), u32>,
    executed: FxHashMap<Origin, Edge>,
    inputs: Vec<Input>,
    input_numbers: FxHashMap<Input, u32>,
    counts: StateCounts,
}

/// A server after an input.
struct After<S> {
    server: S,
    actual: Actual,
    digest: u128,
}

impl<S: Source> States<S> {
    pub fn new(source: S) -> Self {
        States {
            source,
            known: Vec::new(),
            numbers: FxHashMap::default(),
            executed: FxHashMap::default(),
            inputs: Vec::new(),
            input_numbers: FxHashMap::default(),
            counts: StateCounts::default(),
        }
    }

    pub fn counts(&self) -> StateCounts {
        StateCounts {
            states: self.known.len() as u64,
            inputs: self.executed.len() as u64,
            ..self.counts.clone()
        }
    }

    /// The number of the state of this server with this digest, if there is one.
    pub fn number_of(&self, id: ServerId, digest: u128) -> Option<u32> {
        self.numbers.get(&(id, digest)).copied()
    }

    /// The view of a state.
    pub fn view(&self, number: u32) -> Arc<NodeView> {
        self.known[number as usize].view.clone()
    }

    /// The digest of a state.
    pub fn digest(&self, number: u32) -> u128 {
        self.known[number as usize].digest
    }

    /// The number of the state in which a server starts.
    pub fn start(&mut self, id: ServerId) -> Result<u32, Fault> {
        let mut server = self.source.start(id)?;
        let view = server.view()?;
        let digest = self.source.digest(&server);
        self.enter(id, digest, server, &view, None)
    }

    /// Counts an input that the target has no way to be given.
    pub fn count_not_driven(&mut self, reason: String) {
        *self.counts.not_driven.entry(reason).or_default() += 1;
    }

    /// Executes an input in a state.
    pub fn attempt(&mut self, number: u32, input: &Input) -> Result<Attempt<S::Server>, Fault> {
        let server = self.revive(number)?;
        self.counts.steps += 1;
        let after = self.give(server, input)?;
        let input = self.input(input);
        Ok(Attempt {
            number,
            input,
            after,
        })
    }

    /// Enters the state that an input led to. An input that was executed before must have the same result.
    pub fn settle(&mut self, attempt: Attempt<S::Server>) -> Result<Stepped, Fault> {
        let Attempt {
            number,
            input,
            after,
        } = attempt;
        let After {
            server,
            actual,
            digest,
        } = after;
        let id = self.known[number as usize].id;
        let origin = Some((number, input));
        let next = self.enter(id, digest, server, &actual.view, origin)?;
        let edge = Edge {
            input,
            next,
            reaction: reaction(&actual),
        };
        match self.executed.insert((number, input), edge) {
            None => self.known[number as usize].edges.push(edge),
            Some(first) if first == edge => {}
            Some(_) => {
                let error = "the same input gave another result the second time".to_owned();
                let differences = vec![Difference::Failed { error }];
                let path = self.path(self.known[number as usize].origin);
                let input = self.inputs[input as usize].clone();
                return Err(self.hidden(number, path, Some(input), differences));
            }
        }
        let view = self.view(next);
        Ok(Stepped {
            digest,
            view,
            actual,
        })
    }

    fn input(&mut self, input: &Input) -> u32 {
        if let Some(number) = self.input_numbers.get(input) {
            return *number;
        }
        let number = self.inputs.len() as u32;
        self.inputs.push(input.clone());
        self.input_numbers.insert(input.clone(), number);
        number
    }

    /// A server in that state.
    fn revive(&self, number: u32) -> Result<S::Server, Fault> {
        let known = &self.known[number as usize];
        let path = || self.path(known.origin);
        Ok(self.source.revive(known.id, &known.kept, path)?)
    }

    fn give(&self, mut server: S::Server, input: &Input) -> Result<After<S::Server>, Fault> {
        let output = match apply_caught(&mut server, input)? {
            Reaction::Driven(output) => output,
            Reaction::NotDriven { reason } => return Err(Fault::NotDriven(reason)),
        };
        let view = server.view()?;
        let digest = self.source.digest(&server);
        let actual = Actual { output, view };
        Ok(After {
            server,
            actual,
            digest,
        })
    }

    /// The number of the state that a server is in now.
    fn enter(
        &mut self,
        id: ServerId,
        digest: u128,
        server: S::Server,
        view: &NodeView,
        origin: Option<Origin>,
    ) -> Result<u32, Fault> {
        if let Some(number) = self.number_of(id, digest) {
            let known = &self.known[number as usize];
            if *known.view != *view {
                let differences = compare_views(&known.view, view, FieldSet::ALL);
                return Err(self.hidden(number, self.path(origin), None, differences));
            }
            return Ok(number);
        }
        let number = self.known.len() as u32;
        self.numbers.insert((id, digest), number);
        self.known.push(Known {
            id,
            digest,
            kept: self.source.keep(server),
            view: Arc::new(view.clone()),
            origin,
            other: None,
            edges: Vec::new(),
        });
        Ok(number)
    }

    /// The inputs from the start through that one.
    fn path(&self, mut origin: Option<Origin>) -> Vec<Input> {
        let mut path = Vec::new();
        while let Some((before, input)) = origin {
            path.push(self.inputs[input as usize].clone());
            origin = self.known[before as usize].origin;
        }
        path.reverse();
        path
    }

    fn hidden(
        &self,
        number: u32,
        second_path: Vec<Input>,
        input: Option<Input>,
        differences: Vec<Difference>,
    ) -> Fault {
        let known = &self.known[number as usize];
        Fault::Hidden(Box::new(HiddenState {
            server: known.id,
            first_path: self.path(known.origin),
            second_path,
            input,
            differences,
        }))
    }

    /// Puts the states into an order that does not depend on the order in which threads asked: breadth first
    /// from the starts, by input. Also finds a second way to each state that has one.
    fn order(&mut self) -> Vec<u32> {
        let mut order = Vec::with_capacity(self.known.len());
        let starts = (0..self.known.len() as u32).filter(|number| {
            let known = &self.known[*number as usize];
            known.origin.is_none()
        });
        let mut starts: Vec<u32> = starts.collect();
        starts.sort_unstable_by_key(|number| self.known[*number as usize].id);
        let mut seen: FxHashSet<u32> = starts.iter().copied().collect();
        let mut queue = VecDeque::from(starts);
        while let Some(number) = queue.pop_front() {
            order.push(number);
            let mut edges = self.known[number as usize].edges.clone();
            edges.sort_by(|a, b| self.inputs[a.input as usize].cmp(&self.inputs[b.input as usize]));
            for edge in &edges {
                let origin = (number, edge.input);
                let next = &mut self.known[edge.next as usize];
                if seen.insert(edge.next) {
                    next.origin = Some(origin);
                    queue.push_back(edge.next);
                } else if edge.next != number && next.origin != Some(origin) && next.other.is_none()
                {
                    next.other = Some(origin);
                }
            }
            self.known[number as usize].edges = edges;
        }
        order
    }

    /// Executes every (state, input) once more, by a second server that got to the state by another path, and
    /// compares: the digest must decide everything.
    ///
    /// The second servers carry as much history as can be had: each has been given every input that changes
    /// nothing in the states it passed, and hands its history on to the states it leads to.
    pub fn rerun(&mut self) -> Result<(), Fault> {
        let order = self.order();
        let mut position = vec![0; order.len()];
        for (at, number) in order.iter().enumerate() {
            position[*number as usize] = at;
        }
        let mut seconds: FxHashMap<u32, Second<S::Kept>> = FxHashMap::default();
        for number in order {
            if stop::requested() {
                return Err(Fault::Interrupted);
            }
            self.assert_untouched(number)?;
            self.make_first(number)?;
            let mut second = match seconds.remove(&number) {
                Some(second) => second,
                None => self.second_server(number)?,
            };
            let mut edges = self.known[number as usize].edges.clone();
            edges.sort_by_key(|edge| edge.next != number);
            // Where no other path is known, the inputs that change nothing make one, for all but the first.
            let alone = !second.history.is_another_path();
            edges.extend(edges.first().copied().filter(|_| alone));
            let mut without: FxHashSet<u32> = FxHashSet::default();
            for edge in edges {
                if second.history.is_another_path() {
                    without.remove(&edge.input);
                    self.counts.inputs_rerun += 1;
                } else {
                    without.insert(edge.input);
                }
                let server = self.rerun_edge(number, &second, edge)?;
                let history = second.history.clone().after(edge.input);
                let later = position[edge.next as usize] > position[number as usize];
                if edge.next == number && (S::HANDS_ON || !second.history.is_another_path()) {
                    let kept = self.source.keep(server);
                    second = Second { kept, history };
                } else if later && S::HANDS_ON {
                    let kept = self.source.keep(server);
                    seconds.insert(edge.next, Second { kept, history });
                }
            }
            self.counts.inputs_without_second_path += without.len() as u64;
        }
        Ok(())
    }

    /// Checks that stepping copies of a state did not change the state that is kept.
    fn assert_untouched(&self, number: u32) -> Result<(), Fault> {
        let known = &self.known[number as usize];
        let mut server = self.revive(number)?;
        let view = server.view()?;
        let mut differences = compare_views(&known.view, &view, FieldSet::ALL);
        if differences.is_empty() && self.source.digest(&server) != known.digest {
            let error = "its digest changed while copies of it were stepped".to_owned();
            differences.push(Difference::Failed { error });
        }
        if differences.is_empty() {
            return Ok(());
        }
        let path = self.path(known.origin);
        Err(self.hidden(number, path, None, differences))
    }

    /// Keeps of a state what came by its first path: which path was taken first depended on who asked first.
    fn make_first(&mut self, number: u32) -> Result<(), Fault> {
        let Some((before, input)) = self.known[number as usize].origin.filter(|_| S::HANDS_ON)
        else {
            return Ok(());
        };
        let after = self.give(self.revive(before)?, &self.inputs[input as usize])?;
        let known = &self.known[number as usize];
        let mut differences = compare_views(&known.view, &after.actual.view, FieldSet::ALL);
        if differences.is_empty() && after.digest != known.digest {
            let error = "the same input gave another result the second time".to_owned();
            differences.push(Difference::Failed { error });
        }
        if !differences.is_empty() {
            let path = self.path(Some((before, input)));
            return Err(self.hidden(number, path, None, differences));
        }
        self.known[number as usize].kept = self.source.keep(after.server);
        Ok(())
    }

    /// A server in that state that came by another way, if there is one.
    fn second_server(&mut self, number: u32) -> Result<Second<S::Kept>, Fault> {
        let Some((before, input)) = self.known[number as usize].other else {
            return Ok(Second {
                kept: self.source.keep(self.revive(number)?),
                history: History::at(number),
            });
        };
        let server = self.revive(before)?;
        self.counts.steps += 1;
        let after = self.give(server, &self.inputs[input as usize])?;
        Ok(Second {
            kept: self.source.keep(after.server),
            history: History::at(before).after(input),
        })
    }

    fn rerun_edge(
        &mut self,
        number: u32,
        second: &Second<S::Kept>,
        edge: Edge,
    ) -> Result<S::Server, Fault> {
        self.counts.steps += 1;
        let input = self.inputs[edge.input as usize].clone();
        let id = self.known[number as usize].id;
        let path = || self.history_path(&second.history);
        let server = self.source.revive(id, &second.kept, path)?;
        let again = self.give(server, &input);
        let next = &self.known[edge.next as usize];
        let differences = match again {
            Ok(again)
                if again.digest == next.digest
                    && again.actual.view == *next.view
                    && reaction(&again.actual) == edge.reaction =>
            {
                return Ok(again.server);
            }
            Ok(again) => {
                let first = self.give(self.revive(number)?, &input)?.actual;
                let first = Wanted {
                    output: Cow::Borrowed(&first.output),
                    view: &first.view,
                };
                let again = again.actual;
                compare(&first, &again.output, &again.view, FieldSet::ALL)
            }
            Err(Fault::Setup(why)) => return Err(Fault::Setup(why)),
            Err(fault @ (Fault::Hidden(_) | Fault::Interrupted)) => return Err(fault),
            Err(Fault::Failed(error)) => {
                let error = TargetError::Failed(error).to_string();
                vec![Difference::Failed { error }]
            }
            Err(Fault::NotDriven(error) | Fault::Handed(error)) => {
                vec![Difference::Failed { error }]
            }
        };
        let path = self.history_path(&second.history);
        Err(self.hidden(number, path, Some(input), differences))
    }

    fn history_path(&self, history: &History) -> Vec<Input> {
        let mut path = self.path(self.known[history.base as usize].origin);
        let given = history.inputs().into_iter();
        path.extend(given.map(|input| self.inputs[input as usize].clone()));
        path
    }
}

/// A number for everything that left the server, the messages in any order.
fn reaction(actual: &Actual) -> u128 {
    let mut output = actual.output.clone();
    output.sent.sort_unstable();
    digest_of(&output)
}

/// A second server in some state.
struct Second<K> {
    kept: K,
    history: History,
}

/// The inputs that a second server was given since it was made from a first one.
#[derive(Clone)]
struct History {
    /// The state it was made in.
    base: u32,
    last: Option<Arc<Given>>,
}

struct Given {
    input: u32,
    before: Option<Arc<Given>>,
}

impl History {
    fn at(base: u32) -> History {
        History { base, last: None }
    }

    fn after(self, input: u32) -> History {
        let last = Some(Arc::new(Given {
            input,
            before: self.last,
        }));
        History { last, ..self }
    }

    fn is_another_path(&self) -> bool {
        self.last.is_some()
    }

    fn inputs(&self) -> Vec<u32> {
        let mut inputs = Vec::new();
        let mut given = &self.last;
        while let Some(one) = given {
            inputs.push(one.input);
            given = &one.before;
        }
        inputs.reverse();
        inputs
    }
}

impl Drop for Given {
    /// One after the other: a history can be longer than the stack is deep.
    fn drop(&mut self) {
        let mut before = self.before.take();
        while let Some(mut given) = before.and_then(Arc::into_inner) {
            before = given.before.take();
        }
    }
}
