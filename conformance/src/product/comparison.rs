//! The implementation's side of the product: each question is put to a server of the implementation, and its answer
//! compared.

use crate::compare::{Difference, Wanted, compare, compare_start, compare_views};
use crate::divergence::Actual;
use crate::states::{Fault, HiddenState, Source, StateCounts, States};
use crate::target::TargetError;
use lockstep_model::{Companion, Question};
use lockstep_traces::{Config, FieldSet, Outcome, ServerId};

/// Why the implementation does not go any further.
pub(super) enum Stop {
    /// It cannot be started.
    Setup(TargetError),
    /// It differs from what is expected.
    Diverged(Vec<Difference>, Option<Box<Actual>>),
    /// Its digest hides state.
    Hidden(Box<HiddenState>),
    /// It was asked to.
    Interrupted,
}

impl From<Fault> for Stop {
    fn from(fault: Fault) -> Stop {
        let error = match fault {
            Fault::Setup(why) => return Stop::Setup(TargetError::Setup(why)),
            Fault::Interrupted => return Stop::Interrupted,
            Fault::Hidden(hidden) => return Stop::Hidden(hidden),
            Fault::Failed(error) | Fault::Handed(error) => error,
            Fault::NotDriven(reason) => format!("it cannot be driven: {reason}"),
        };
        Stop::Diverged(vec![Difference::Failed { error }], None)
    }
}

/// An implementation that is compared.
pub(super) struct Comparison<S: Source> {
    config: Config,
    states: States<S>,
    shown: FieldSet,
}

impl<S: Source> Comparison<S> {
    /// With servers from there, of a cluster so configured, whose views show these fields.
    pub fn new(config: Config, source: S, shown: FieldSet) -> Self {
        Comparison {
            config,
            states: States::new(source),
            shown,
        }
    }

    /// The digest of a server that has just started.
    pub fn start(&mut self, id: ServerId) -> Result<u128, Stop> {
        let number = self.states.start(id)?;
        match compare_start(&self.config, id, &self.states.view(number), self.shown) {
            Some(difference) => Err(Stop::Diverged(vec![difference], None)),
            None => Ok(self.states.digest(number)),
        }
    }

    /// Executes every (digest, input) once more: the digest must decide everything.
    pub fn rerun(&mut self) -> Result<(), Stop> {
        Ok(self.states.rerun()?)
    }

    pub fn counts(&self) -> StateCounts {
        self.states.counts()
    }

    /// The target cannot be given an input. That is well if the input is to change nothing anyway: it is
    /// counted and named. Otherwise what follows would be out of reach.
    fn not_driven(
        &mut self,
        number: u32,
        question: &Question<'_>,
        reason: String,
    ) -> Result<u128, Stop> {
        let expected = question.expected;
        let before = self.states.view(number);
        if expected.outcome == Outcome::Accepted
            && expected.sent.is_empty()
            && compare_views(&expected.view, &before, self.shown).is_empty()
        {
            self.states.count_not_driven(reason);
            return Ok(question.digest);
        }
        Err(Fault::NotDriven(reason).into())
    }
}

impl<S: Source + Send> Companion for Comparison<S> {
    type Parting = Stop;

    fn step(&mut self, question: &Question<'_>) -> Result<u128, Stop> {
        let number = self.states.number_of(question.server, question.digest);
        let number = number.expect("the digest is one that was given out");
        let attempt = match self.states.attempt(number, question.input) {
            Err(Fault::NotDriven(reason)) => return self.not_driven(number, question, reason),
            attempt => attempt?,
        };
        let wanted = Wanted::new(question.expected, question.applied_before);
        let Actual { output, view } = attempt.actual();
        let differences = compare(&wanted, output, view, self.shown);
        if !differences.is_empty() {
            let actual = Box::new(attempt.into_actual());
            return Err(Stop::Diverged(differences, Some(actual)));
        }
        Ok(self.states.settle(attempt)?.digest)
    }
}
