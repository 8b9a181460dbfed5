//! The properties on what a trace expects or a target does, and the values that break one.
//!
//! What a trace claims is not believed: a counterexample names its property, and that property is evaluated anew.

mod causes;
mod counterexample;
mod follow;
#[cfg(test)]
mod tests;

use crate::code::{CodeProperty, ObservedCode, PROPERTIES};
use crate::words;
pub use causes::Cause;
pub use counterexample::{Counterexample, CounterexampleFate, Judges};
pub(crate) use counterexample::{Replayed, evaluate};
pub use follow::{Did, Follower, Strayed};
use lockstep_model::Settings;
use lockstep_model::properties::{NamedProperty, Taken};
use lockstep_traces::{Config, Event, ServerId, Step};
use serde::Serialize;

/// A property and the configuration in which it is evaluated.
pub struct Judge {
    property: Property,
    config: Config,
}

enum Property {
    /// Of the specification.
    Specified(NamedProperty, Settings),
    /// Of an implementation, evaluated on what it shows.
    Observed(CodeProperty, Box<ObservedCode>),
}

/// A violation of a property, with its step.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Violation {
    /// The name of the property.
    pub property: String,
    /// Its statement, with the source.
    pub says: String,
    /// The step that violates it, counted from one.
    pub step: usize,
    /// Its event.
    pub event: String,
    /// The server that moves in it.
    pub server: Option<ServerId>,
    /// The values that break it.
    pub causes: Vec<Cause>,
}

impl Judge {
    /// The property of that name in the specification; `None` if there is none, or the specification does not take
    /// the configuration.
    pub fn specified(name: &str, settings: &Settings) -> Option<Judge> {
        let property = NamedProperty::find(name)?;
        Some(Judge {
            property: Property::Specified(property, *settings),
            config: settings.config(),
        })
    }

    /// The property of that name of implementations; `None` if there is none.
    pub fn of_implementations(name: &str, config: &Config) -> Option<Judge> {
        let property = PROPERTIES.iter().find(|it| it.name == name)?;
        Some(Judge {
            property: Property::Observed(*property, Box::new(ObservedCode::new(config))),
            config: config.clone(),
        })
    }

    /// Whether there is a property of that name.
    pub fn knows(name: &str) -> bool {
        NamedProperty::find(name).is_some() || PROPERTIES.iter().any(|it| it.name == name)
    }

    /// The name of the property.
    pub fn name(&self) -> &'static str {
        match &self.property {
            Property::Specified(property, _) => property.name(),
            Property::Observed(property, _) => property.name,
        }
    }

    /// Its statement, with the source.
    pub fn source(&self) -> &'static str {
        match &self.property {
            Property::Specified(property, _) => property.source(),
            Property::Observed(property, _) => property.source,
        }
    }

    /// Evaluates the property on a step; `None` if the property does not apply to the state that was seen.
    pub fn holds(&self, taken: &Taken) -> Option<bool> {
        match &self.property {
            Property::Specified(property, settings) => property.holds(settings, taken),
            Property::Observed(property, code) => code.holds(property, taken),
        }
    }

    /// Whether this step is one that servers can be in, as far as the property needs that.
    fn is_consistent(&self, taken: &Taken) -> bool {
        match &self.property {
            Property::Specified(_, settings) => taken.is_consistent(settings),
            Property::Observed(..) => true,
        }
    }

    /// Whether the property is about single states, so that what was before does not matter.
    fn is_of_states(&self) -> bool {
        match &self.property {
            Property::Specified(property, _) => matches!(property, NamedProperty::State(_)),
            Property::Observed(property, _) => property.is_of_states(),
        }
    }

    /// The violation of the property by a step at that position of a run, with the values that break it.
    pub fn violation(&self, position: usize, taken: &Taken) -> Violation {
        let event = Event::Server {
            server: taken.server,
            input: taken.input.clone(),
        };
        Violation {
            property: self.name().to_owned(),
            says: self.source().to_owned(),
            step: position + 1,
            event: words::event(&event),
            server: Some(taken.server),
            causes: causes::causes(self, taken),
        }
    }

    /// A violation of the property at that event, of which only the place is known.
    pub fn at(&self, position: usize, event: &Event) -> Violation {
        Violation {
            property: self.name().to_owned(),
            says: self.source().to_owned(),
            step: position + 1,
            event: words::event(event),
            server: event.server(),
            causes: Vec::new(),
        }
    }

    /// The violation that a search found at the end of these steps.
    ///
    /// # Panics
    ///
    /// If there is no step: the state before the first one has every property.
    pub fn at_the_end_of(&self, steps: &[Step]) -> Violation {
        let last = steps.len() - 1;
        self.along(steps)
            .unwrap_or_else(|| self.at(last, &steps[last].event))
    }

    /// Finds the first violation of the property along the steps, each taken as it is expected. `None` if they do not,
    /// or not as far as they are a run.
    pub fn along(&self, steps: &[Step]) -> Option<Violation> {
        let mut run = Follower::new(&self.config);
        for (position, step) in steps.iter().enumerate() {
            let did = step.expected.as_ref().map(Did::expected);
            let taken = run.step(&step.event, did).ok()?;
            match taken {
                Some(taken) if self.holds(&taken) == Some(false) => {
                    return Some(self.violation(position, &taken));
                }
                _ => {}
            }
        }
        None
    }
}
