//! Any Raft, in any language: a program explored as it is, with messages that nobody but it understands, against the
//! properties of the paper.
//!
//! The program takes an input, says what it sent, shows role, term, log and commit, and names its state (protocol 2
//! with `messages: opaque`, `conformance/targets/PROTOCOL.md`). The harness keeps its messages, delivers them in any
//! order, twice or never, and asks about each distinct (state, input) once. The engine is the one of the
//! specification; there is none of it here.
//!
//! After an exhaustive search every (state, input) is asked again from the start of a server, along another path where
//! there is one: a program whose states do not tell everything is found out.

mod again;
mod components;
mod copies;
pub(crate) mod fuzzing;
mod properties;
mod states;
mod trace;
mod view;
mod wire;

pub use again::{Parts, replay};
pub use components::{Counts as EventCounts, OpaqueState};
pub use properties::{ALL as PROPERTIES, Rule, not_put_to_the_test};
pub use states::{Contradiction, Counts, NotDeterministic, Packet};
pub use trace::{Head, OpaqueStep, OpaqueTrace, TraceError};
pub use wire::{DeclaredInput, Description, PROTOCOL, Shown};

use crate::code::{Code, ObservedCode};
use crate::target::TargetError;
use crate::targets::exec::{ExecOptions, Program};
use copies::Copies;
use lockstep_engine::{Checked, Limit, Search, SearchError, Verdict};
use lockstep_model::{Bounds, Budget, Kind};
use lockstep_traces::Config;
use states::States;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// An event: an input of a server by its slot and its number in the description, or something that happens to the
/// message at this position.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Action {
    /// A server gets an input.
    Local(u8, u8),
    /// A message arrives.
    Deliver(u32),
    /// There is one more copy of a message.
    Duplicate(u32),
    /// A message is lost.
    Drop(u32),
}

/// The bounds of an exploration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OpaqueBounds {
    /// The highest term that a server may enter.
    pub max_term: u32,
    /// The number of messages that may be in flight at once, copies counted.
    pub max_in_flight: usize,
    /// The budget of each input, in the order of the description.
    pub inputs: Vec<Budget>,
    /// The budget of duplications.
    pub duplicates: Budget,
    /// The budget of losses.
    pub drops: Budget,
    /// The budget of all disturbances together.
    pub disturbances: Budget,
}

impl OpaqueBounds {
    /// The bounds of a model, for a program with these inputs; those of its own have the budget that it declares, or
    /// one of `own`.
    pub fn new(of: &Description, bounds: &Bounds, own: &BTreeMap<String, Budget>) -> OpaqueBounds {
        let budget = |input: &DeclaredInput| match input.kind {
            Some(kind) => bounds.budget(kind),
            None => own.get(&input.name).copied().unwrap_or(input.at_most),
        };
        OpaqueBounds {
            max_term: bounds.max_term,
            max_in_flight: bounds.max_in_flight,
            inputs: of.inputs.iter().map(budget).collect(),
            duplicates: bounds.duplicates,
            drops: bounds.drops,
            disturbances: bounds.disturbances,
        }
    }

    /// Every bound with its name, in order.
    pub fn rows(&self, of: &Description) -> Vec<(String, String)> {
        let inputs = of.inputs.iter().zip(&self.inputs);
        let inputs = inputs.map(|(input, budget)| (input.name.clone(), budget.to_string()));
        let mut rows = vec![
            ("max term".to_owned(), self.max_term.to_string()),
            ("max in flight".to_owned(), self.max_in_flight.to_string()),
        ];
        rows.extend(inputs);
        rows.push(("duplicates".to_owned(), self.duplicates.to_string()));
        rows.push(("drops".to_owned(), self.drops.to_string()));
        rows.push(("disturbances".to_owned(), self.disturbances.to_string()));
        rows
    }
}

/// The verdict if the work was to stop before the end.
const INTERRUPTED: Verdict = Verdict::Bounded {
    stopped_by: Limit::Interrupted,
};

/// A cluster of servers of one program, as the engine explores it.
pub struct Opaque {
    config: Config,
    bounds: OpaqueBounds,
    inputs: Vec<DeclaredInput>,
    names: Vec<Arc<str>>,
    kinds: Vec<&'static str>,
    states: States,
    starts: Vec<u32>,
    observed: Code<'static>,
    /// True if an answer has been missing since a request to stop.
    interrupted: AtomicBool,
    /// The program broke down too often to be asked everything.
    given_up: AtomicBool,
}

/// The results of exploring a program, beside the report of the search.
pub struct OpaqueReport {
    /// The search: verdict, counts, shortest counterexample.
    pub checked: Checked<Opaque>,
    /// The work on the program's side.
    pub program: Counts,
    /// If it does not always do the same: then the search means nothing.
    pub contradiction: Option<Box<NotDeterministic>>,
    /// If it broke down: what it said.
    pub failure: Option<String>,
}

/// A program that is about to be explored.
pub struct Started(Copies);

impl Started {
    /// Starts a program, of which up to `copies` may run at the same time.
    ///
    /// # Errors
    ///
    /// It cannot be started, or does not speak this protocol.
    pub fn new(
        program: &Program,
        options: ExecOptions,
        config: &Config,
        copies: usize,
    ) -> Result<Started, TargetError> {
        Copies::start(program, options, config, copies).map(Started)
    }

    /// The description of the program.
    pub fn description(&self) -> &Description {
        self.0.description()
    }

    /// The cluster, within these bounds.
    ///
    /// # Errors
    ///
    /// A server cannot be set up.
    pub fn within(self, config: &Config, bounds: OpaqueBounds) -> Result<Opaque, TargetError> {
        let Started(copies) = self;
        let inputs = copies.description().inputs.clone();
        let states = States::new(copies, config.servers);
        let ids: Vec<_> = config.server_ids().collect();
        let starts = states.start(&ids)?;
        // The engine knows kinds by names that live as long as the process; there are few, once a run.
        let name = |input: &DeclaredInput| &*Box::leak(input.name.clone().into_boxed_str());
        let network = ["deliver", "duplicate", "drop"];
        Ok(Opaque {
            config: config.clone(),
            bounds,
            names: inputs
                .iter()
                .map(|input| input.name.as_str().into())
                .collect(),
            kinds: inputs.iter().map(name).chain(network).collect(),
            inputs,
            states,
            starts,
            observed: ObservedCode::new(config).into_code(),
            interrupted: AtomicBool::new(false),
            given_up: AtomicBool::new(false),
        })
    }
}

impl Opaque {
    /// The description of the program.
    pub fn description(&self) -> &Description {
        self.states.description()
    }

    /// The configuration of the cluster.
    pub fn config(&self) -> &Config {
        &self.config
    }

    /// The bounds of the exploration.
    pub fn bounds(&self) -> &OpaqueBounds {
        &self.bounds
    }

    /// Returns the maximum number of copies of the program at the same time.
    pub fn copies(&self) -> usize {
        self.states.copies()
    }

    /// Whether an action restarts a server.
    fn is_restart(&self, action: Action) -> bool {
        match action {
            Action::Local(_, number) => {
                self.inputs[usize::from(number)].kind == Some(Kind::Restart)
            }
            _ => false,
        }
    }

    /// Explores it, as `search` is set up; afterwards asks every (state, input) again, if all were visited.
    ///
    /// # Errors
    ///
    /// See [`SearchError`].
    pub fn check<'s>(
        &'s self,
        set_up: impl FnOnce(Search<'s, Opaque>) -> Search<'s, Opaque>,
    ) -> Result<OpaqueReport, SearchError> {
        let mut checked = set_up(Search::new(self)).run()?;
        let found = checked.counterexample.as_ref();
        let failed = found.and_then(|found| {
            let nodes = found.last().shown.servers.iter();
            nodes.filter_map(|node| node.fault).next_back()
        });
        let gave_up = self.given_up.load(Ordering::Relaxed);
        if self.interrupted.load(Ordering::Relaxed) || gave_up && failed.is_none() {
            // What was not answered looks like an input that changes nothing: nothing follows from that. A failure
            // of the program is one all the same.
            checked.report.verdict = INTERRUPTED;
            checked.counterexample = None;
        }
        let mut failure = failed.and_then(|number| self.states.fault(number));
        let mut contradiction = self.states.contradiction().map(Box::new);
        if checked.report.verdict == Verdict::Exhausted && contradiction.is_none() {
            match self.states.ask_again() {
                Ok(()) => {}
                Err(Contradiction::Differs(found)) => contradiction = Some(found),
                Err(Contradiction::Broken(what)) => failure = Some(what),
                Err(Contradiction::Interrupted) => checked.report.verdict = INTERRUPTED,
            }
        }
        Ok(OpaqueReport {
            checked,
            program: self.states.counts(),
            contradiction,
            failure,
        })
    }
}
