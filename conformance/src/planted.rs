//! Targets with one deliberate mistake: the broken twins of the comparison.
//!
//! A comparison that finds nothing proves nothing unless it is seen to find something. [`Planted`]
//! wraps any target and adds one [`Mistake`]; tests show that it is caught, and by the check that is
//! there for it. The mistakes sit in the wrapper, at its border: they need no switch in the
//! implementation that is wrapped.

use crate::target::{
    Description, DialectUse, Fork, Needs, Output, Reaction, Target, TargetError, TargetServer,
};
use lockstep_model::Dialect;
use lockstep_traces::{
    Config, Handed, Index, Input, NodeView, Outcome, Payload, ServerId, Term, Trace,
};
use serde::Serialize;

/// One mistake of every kind that the comparison tells apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Mistake {
    /// After a restart the vote is forgotten.
    WrongState,
    /// Messages sent while a proposal is handled carry a term that is one too high.
    WrongMessage,
    /// Of the messages that a heartbeat timer sends, the last is lost.
    MissingMessage,
    /// Of the messages that an election timer sends, the first is sent twice.
    ExtraMessage,
    /// A proposal that must be refused is accepted, and ignored.
    WrongRefusal,
    /// Once it has refused a proposal, the server sends nothing in answer to the next input, and its
    /// digest does not say so.
    HiddenState,
    /// A restart breaks the server, as if it could not read back its own log.
    Failure,
    /// Committed entries count as applied, and the application is handed none.
    HandedNever,
    /// Of the committed entries that the application is handed at once, the last comes twice.
    HandedTwice,
    /// Committed entries that the application is handed at once come in reverse.
    HandedInAnotherOrder,
    /// The application is handed entries with other payloads than those that were committed.
    HandedChanged,
    /// After a restart the application is handed once more what it has applied already.
    HandedAgain,
    /// No message waits until what it vouches for is durable.
    NothingWaits,
}

impl Mistake {
    /// Every mistake.
    pub const ALL: [Mistake; 13] = [
        Mistake::WrongState,
        Mistake::WrongMessage,
        Mistake::MissingMessage,
        Mistake::ExtraMessage,
        Mistake::WrongRefusal,
        Mistake::HiddenState,
        Mistake::Failure,
        Mistake::HandedNever,
        Mistake::HandedTwice,
        Mistake::HandedInAnotherOrder,
        Mistake::HandedChanged,
        Mistake::HandedAgain,
        Mistake::NothingWaits,
    ];
}

/// A target with one mistake added.
#[derive(Clone, Debug)]
pub struct Planted<T> {
    target: T,
    mistake: Mistake,
}

impl<T> Planted<T> {
    /// That target, with that mistake.
    pub fn new(target: T, mistake: Mistake) -> Planted<T> {
        Planted { target, mistake }
    }
}

impl<T: Target> Target for Planted<T> {
    type Server = PlantedServer<T::Server>;

    fn description(&self) -> Description {
        let mut description = self.target.description();
        description
            .dialect
            .push(format!("a mistake was planted: {:?}", self.mistake));
        description
    }

    fn dialect_uses(&self, traces: &[Trace]) -> Result<Vec<DialectUse>, TargetError> {
        self.target.dialect_uses(traces)
    }

    fn dialect(&self) -> Dialect {
        self.target.dialect()
    }

    fn lacks(&self, needs: &Needs) -> Vec<&'static str> {
        self.target.lacks(needs)
    }

    fn accepts(&self, config: &Config) -> Result<(), TargetError> {
        self.target.accepts(config)
    }

    fn start(&self, config: &Config, id: ServerId) -> Result<Self::Server, TargetError> {
        let server = self.target.start(config, id)?;
        Ok(PlantedServer {
            server,
            mistake: self.mistake,
            restarted: false,
            sulks: false,
        })
    }
}

/// A server with one mistake added.
#[derive(Clone, Debug)]
pub struct PlantedServer<S> {
    server: S,
    mistake: Mistake,
    /// The last input was a restart.
    restarted: bool,
    /// The last input was a proposal that was refused; deliberately left out of the digest.
    sulks: bool,
}

impl<S: TargetServer> TargetServer for PlantedServer<S> {
    fn apply(&mut self, input: &Input) -> Result<Reaction, TargetError> {
        self.restarted = matches!(input, Input::Restart);
        if self.restarted && self.mistake == Mistake::Failure {
            return Err(TargetError::Failed("a planted failure".to_owned()));
        }
        let Output {
            mut outcome,
            mut sent,
            mut handed,
            read_states,
        } = match self.server.apply(input)? {
            Reaction::Driven(output) => output,
            not_driven @ Reaction::NotDriven { .. } => return Ok(not_driven),
        };
        match (self.mistake, input) {
            (Mistake::WrongMessage, Input::Propose(_)) => {
                for emitted in &mut sent {
                    emitted.message.term = Term(emitted.message.term.0 + 1);
                }
            }
            (Mistake::MissingMessage, Input::Heartbeat) => drop(sent.pop()),
            (Mistake::ExtraMessage, Input::Timeout) => {
                let copy = sent.first().cloned();
                sent.extend(copy);
            }
            (Mistake::WrongRefusal, Input::Propose(_)) => outcome = Outcome::Accepted,
            (Mistake::HiddenState, _) => {
                if self.sulks {
                    sent.clear();
                }
                self.sulks = matches!(outcome, Outcome::Refused(_));
            }
            (Mistake::HandedNever, _) => handed.clear(),
            (Mistake::HandedTwice, _) => {
                let last = handed.last().cloned();
                handed.extend(last);
            }
            (Mistake::HandedInAnotherOrder, _) => handed.reverse(),
            (Mistake::HandedChanged, _) => {
                for given in &mut handed {
                    given.entry.payload = match given.entry.payload {
                        Payload::Empty => Payload::Value(1),
                        Payload::Value(_) | Payload::ConfChange(_) => Payload::Empty,
                    };
                }
            }
            (Mistake::HandedAgain, Input::Restart) => {
                let view = self.server.view()?;
                let log = (1..).map(Index).zip(view.log);
                let applied = log.take_while(|(index, _)| *index <= view.applied);
                handed = applied
                    .map(|(index, entry)| Handed { index, entry })
                    .collect();
            }
            (Mistake::NothingWaits, _) => {
                for emitted in &mut sent {
                    emitted.after_persist = false;
                }
            }
            _ => {}
        }
        Ok(Reaction::Driven(Output {
            outcome,
            sent,
            handed,
            read_states,
        }))
    }

    fn view(&mut self) -> Result<NodeView, TargetError> {
        let mut view = self.server.view()?;
        if self.mistake == Mistake::WrongState && self.restarted {
            view.vote = None;
        }
        Ok(view)
    }
}

impl<S: Fork> Fork for PlantedServer<S> {
    fn fork(&self) -> Self {
        PlantedServer {
            server: self.server.fork(),
            ..*self
        }
    }

    fn digest(&self) -> u128 {
        let restarted = self.mistake == Mistake::WrongState && self.restarted;
        self.server.digest() ^ u128::from(restarted)
    }
}
