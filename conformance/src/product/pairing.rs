//! The implementation's side of the product: its distinct server states, and the proof by re-running
//! that their digest hides nothing.

use super::report::ImplementationCounts;
use crate::compare::{
    Difference, Wanted, compare, compare_bystander, compare_start, compare_views,
};
use crate::digest::digest_of;
use crate::divergence::Actual;
use crate::graph::{Companion, Question};
use crate::stop;
use crate::target::{Fork, Reaction, Target, TargetError, TargetServer, apply_caught};
use lockstep_traces::{Config, Expected, FieldSet, Input, NodeView, Outcome, ServerId};
use rustc_hash::FxHashMap;
use std::borrow::Cow;
use std::collections::BTreeMap;
use std::rc::Rc;

/// Two servers with the same digest that are not in the same state.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HiddenState {
    /// Which server of the cluster.
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

/// Why the implementation does not go any further.
pub(super) enum Stop {
    /// It cannot be started, or is not waited for.
    Setup(TargetError),
    /// It differs from what is expected.
    Diverged(Vec<Difference>, Option<Box<Actual>>),
    /// Its digest hides state.
    Hidden(Box<HiddenState>),
    /// It was asked to.
    Interrupted,
}

/// Why an input has no result.
#[derive(Debug, thiserror::Error)]
enum Fault {
    #[error("{0}")]
    Target(#[from] TargetError),
    #[error("it cannot be driven: {0}")]
    NotDriven(String),
}

impl From<Fault> for Stop {
    fn from(fault: Fault) -> Stop {
        let error = match fault {
            Fault::Target(TargetError::Interrupted) => return Stop::Interrupted,
            Fault::Target(TargetError::Failed(error)) => error,
            Fault::Target(error) => return Stop::Setup(error),
            Fault::NotDriven(_) => fault.to_string(),
        };
        Stop::Diverged(vec![Difference::Failed { error }], None)
    }
}

/// How a server got where it is.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Origin {
    /// The number of the state before.
    before: u32,
    /// The number of the input.
    input: u32,
}

/// What an input did to the first server in a state.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Edge {
    /// The number of the input.
    input: u32,
    /// The state afterwards.
    next: u32,
    /// Everything that left the server, the messages in any order.
    reaction: u128,
}

/// One distinct state of a server, by digest.
struct Known<S> {
    id: ServerId,
    digest: u128,
    /// The first server that was seen in it.
    first: S,
    view: NodeView,
    /// How it got there; `None` at the start.
    origin: Option<Origin>,
    /// Another way that was seen to lead there from another state.
    other: Option<Origin>,
    /// Every input that was executed here.
    edges: Vec<Edge>,
}

/// All distinct states of the implementation's servers.
pub(super) struct Pairing<'a, T: Target> {
    target: &'a T,
    config: Config,
    shown: FieldSet,
    known: Vec<Known<T::Server>>,
    numbers: FxHashMap<(ServerId, u128), u32>,
    executed: FxHashMap<(u32, u32), Edge>,
    inputs: FxHashMap<u32, Input>,
    steps: u64,
    rerun: u64,
    /// Distinct (digest, input) that could not be driven, by the target's reason.
    not_driven: BTreeMap<String, u64>,
}

/// What came of one input.
struct Stepped<S> {
    server: S,
    actual: Actual,
    digest: u128,
}

impl<'a, T: Target> Pairing<'a, T>
where
    T::Server: Fork,
{
    pub fn new(target: &'a T, config: Config) -> Pairing<'a, T> {
        Pairing {
            target,
            config,
            shown: target.description().shows,
            known: Vec::new(),
            numbers: FxHashMap::default(),
            executed: FxHashMap::default(),
            inputs: FxHashMap::default(),
            steps: 0,
            rerun: 0,
            not_driven: BTreeMap::new(),
        }
    }

    pub fn counts(&self) -> ImplementationCounts {
        ImplementationCounts {
            states: self.known.len() as u64,
            inputs: self.executed.len() as u64,
            inputs_rerun: self.rerun,
            steps: self.steps,
            not_driven: self.not_driven.clone(),
        }
    }

    /// Gives an input to a copy of that server.
    fn execute(&mut self, server: &T::Server, input: &Input) -> Result<Stepped<T::Server>, Fault> {
        self.steps += 1;
        let mut server = server.fork();
        let output = match apply_caught(&mut server, input)? {
            Reaction::Driven(output) => output,
            Reaction::NotDriven { reason } => return Err(Fault::NotDriven(reason)),
        };
        let view = server.view()?;
        let digest = server.digest();
        let actual = Actual { output, view };
        Ok(Stepped {
            server,
            actual,
            digest,
        })
    }

    /// The target cannot be given an input. That is well if the input is to change nothing anyway: it is
    /// counted and named. Otherwise what follows would be out of reach.
    fn not_driven(
        &mut self,
        number: u32,
        expected: &Expected,
        reason: String,
    ) -> Result<u32, Stop> {
        let before = &self.known[number as usize].view;
        if expected.outcome == Outcome::Accepted
            && expected.sent.is_empty()
            && compare_views(&expected.view, before, self.shown).is_empty()
        {
            *self.not_driven.entry(reason).or_default() += 1;
            return Ok(number);
        }
        Err(Fault::NotDriven(reason).into())
    }

    /// The number of the state that a server is in now.
    fn number(
        &mut self,
        id: ServerId,
        digest: u128,
        server: T::Server,
        view: &NodeView,
        origin: Option<Origin>,
    ) -> Result<u32, Stop> {
        if let Some(number) = self.numbers.get(&(id, digest)).copied() {
            let known = &self.known[number as usize];
            if known.view != *view {
                let differences = compare_views(&known.view, view, FieldSet::ALL);
                return Err(self.hidden(number, self.path(origin), None, differences));
            }
            let elsewhere = origin.filter(|origin| origin.before != number);
            if let Some(origin) = elsewhere.filter(|origin| known.origin != Some(*origin)) {
                self.known[number as usize].other = Some(origin);
            }
            return Ok(number);
        }
        let number = self.known.len() as u32;
        self.numbers.insert((id, digest), number);
        let (first, view) = (server, view.clone());
        let (other, edges) = (None, Vec::new());
        self.known.push(Known {
            id,
            digest,
            first,
            view,
            origin,
            other,
            edges,
        });
        Ok(number)
    }

    /// The inputs from the start through that one.
    fn path(&self, mut origin: Option<Origin>) -> Vec<Input> {
        let mut path = Vec::new();
        while let Some(Origin { before, input }) = origin {
            path.push(self.inputs[&input].clone());
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
    ) -> Stop {
        let known = &self.known[number as usize];
        let server = known.id;
        let first_path = self.path(known.origin);
        Stop::Hidden(Box::new(HiddenState {
            server,
            first_path,
            second_path,
            input,
            differences,
        }))
    }

    /// Executes every (state, input) once more, from a second server that got to the state by another
    /// path, and compares: the digest must decide everything.
    ///
    /// The second servers carry as much history as can be had: each has been given every input that
    /// changes nothing in the states it passed, and hands its history on to the states it leads to.
    pub fn rerun(&mut self) -> Result<(), Stop> {
        let mut seconds: FxHashMap<u32, Second<T::Server>> = FxHashMap::default();
        for number in 0..self.known.len() as u32 {
            if stop::requested() {
                return Err(Stop::Interrupted);
            }
            self.assert_untouched(number)?;
            let mut second = match seconds.remove(&number) {
                Some(second) => second,
                None => self.second_server(number)?,
            };
            let mut edges = self.known[number as usize].edges.clone();
            edges.sort_by_key(|edge| edge.next != number);
            // Where no other path is known, the inputs that change nothing make one, for all but the first.
            let alone = !second.history.is_another_path();
            edges.extend(edges.first().copied().filter(|_| alone));
            for edge in edges {
                let server = self.rerun_edge(number, &second, edge)?;
                let history = second.history.clone().after(edge.input);
                if edge.next == number {
                    second = Second { server, history };
                } else if edge.next > number {
                    seconds.insert(edge.next, Second { server, history });
                }
            }
        }
        Ok(())
    }

    /// A copy shares nothing with its original: stepping the one has left the other as it was.
    fn assert_untouched(&mut self, number: u32) -> Result<(), Stop> {
        let shown = self.shown;
        let known = &mut self.known[number as usize];
        let mut differences = match known.first.view() {
            Ok(view) => compare_bystander(known.id, &known.view, &view, shown)
                .into_iter()
                .collect(),
            Err(error) => vec![Difference::Failed {
                error: error.to_string(),
            }],
        };
        if differences.is_empty() && known.first.digest() != known.digest {
            let error = "its digest changed while copies of it were stepped".to_owned();
            differences.push(Difference::Failed { error });
        }
        if differences.is_empty() {
            return Ok(());
        }
        let path = self.path(self.known[number as usize].origin);
        Err(self.hidden(number, path, None, differences))
    }

    /// A server in that state that came by another way, if another way was seen.
    fn second_server(&mut self, number: u32) -> Result<Second<T::Server>, Stop> {
        let known = &self.known[number as usize];
        let Some(Origin { before, input }) = known.other else {
            return Ok(Second {
                server: known.first.fork(),
                history: History::at(number),
            });
        };
        let start = self.known[before as usize].first.fork();
        let stepped = self.execute(&start, &self.inputs[&input].clone())?;
        let history = History::at(before).after(input);
        Ok(Second {
            server: stepped.server,
            history,
        })
    }

    fn rerun_edge(
        &mut self,
        number: u32,
        second: &Second<T::Server>,
        edge: Edge,
    ) -> Result<T::Server, Stop> {
        let input = self.inputs[&edge.input].clone();
        let again = self.execute(&second.server, &input);
        self.rerun += u64::from(second.history.is_another_path());
        let next = &self.known[edge.next as usize];
        let (digest, view) = (next.digest, next.view.clone());
        let differences = match again {
            Ok(again)
                if again.digest == digest
                    && again.actual.view == view
                    && reaction(&again.actual) == edge.reaction =>
            {
                return Ok(again.server);
            }
            Ok(again) => {
                let first = self.known[number as usize].first.fork();
                let first = self.execute(&first, &input)?.actual;
                let first = Wanted {
                    output: Cow::Borrowed(&first.output),
                    view: &first.view,
                };
                let again = again.actual;
                compare(&first, &again.output, &again.view, FieldSet::ALL)
            }
            Err(Fault::Target(TargetError::Interrupted)) => return Err(Stop::Interrupted),
            Err(Fault::Target(error)) if !matches!(error, TargetError::Failed(_)) => {
                return Err(Stop::Setup(error));
            }
            Err(fault) => vec![Difference::Failed {
                error: fault.to_string(),
            }],
        };
        let path = self.history_path(&second.history);
        Err(self.hidden(number, path, Some(input), differences))
    }

    fn history_path(&self, history: &History) -> Vec<Input> {
        let mut path = self.path(self.known[history.base as usize].origin);
        path.extend(
            history
                .inputs()
                .into_iter()
                .map(|input| self.inputs[&input].clone()),
        );
        path
    }
}

impl<T: Target> Companion for Pairing<'_, T>
where
    T::Server: Fork,
{
    type Stop = Stop;

    fn start(&mut self, id: ServerId) -> Result<u32, Stop> {
        let started = self.target.start(&self.config, id).and_then(|mut server| {
            let view = server.view()?;
            Ok((server, view))
        });
        let (server, view) = started.map_err(Stop::Setup)?;
        if let Some(difference) = compare_start(id, &view, self.shown) {
            return Err(Stop::Diverged(vec![difference], None));
        }
        self.number(id, server.digest(), server, &view, None)
    }

    fn step(&mut self, question: Question<'_>) -> Result<u32, Stop> {
        let Question {
            server: id,
            companion,
            input,
            input_number,
            applied_before,
            expected,
        } = question;
        self.inputs
            .entry(input_number)
            .or_insert_with(|| input.clone());
        let before = self.known[companion as usize].first.fork();
        let stepped = match self.execute(&before, input) {
            Err(Fault::NotDriven(reason)) => return self.not_driven(companion, expected, reason),
            stepped => stepped?,
        };
        let Stepped {
            server,
            actual,
            digest,
        } = stepped;
        let wanted = Wanted::new(expected, applied_before);
        let differences = compare(&wanted, &actual.output, &actual.view, self.shown);
        if !differences.is_empty() {
            return Err(Stop::Diverged(differences, Some(Box::new(actual))));
        }
        let origin = Some(Origin {
            before: companion,
            input: input_number,
        });
        let next = self.number(id, digest, server, &actual.view, origin)?;
        let edge = Edge {
            input: input_number,
            next,
            reaction: reaction(&actual),
        };
        match self.executed.insert((companion, input_number), edge) {
            None => self.known[companion as usize].edges.push(edge),
            Some(first) if first == edge => {}
            Some(_) => {
                let path = self.path(self.known[companion as usize].origin);
                let error = "the same input gave another result the second time".to_owned();
                let differences = vec![Difference::Failed { error }];
                return Err(self.hidden(companion, path, Some(input.clone()), differences));
            }
        }
        Ok(next)
    }
}

/// A number for everything that left the server, the messages in any order.
fn reaction(actual: &Actual) -> u128 {
    let mut output = actual.output.clone();
    output.sent.sort_unstable();
    digest_of(&output)
}

/// A second server in some state.
struct Second<S> {
    server: S,
    history: History,
}

/// The inputs that a second server was given since it was copied from a first one.
#[derive(Clone)]
struct History {
    /// The state it was copied in.
    base: u32,
    last: Option<Rc<Given>>,
}

struct Given {
    input: u32,
    before: Option<Rc<Given>>,
}

impl History {
    fn at(base: u32) -> History {
        History { base, last: None }
    }

    fn after(self, input: u32) -> History {
        let last = Some(Rc::new(Given {
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
        while let Some(mut given) = before.and_then(Rc::into_inner) {
            before = given.before.take();
        }
    }
}
