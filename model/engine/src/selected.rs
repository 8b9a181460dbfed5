//! The properties that a search evaluates.

use super::error::SearchError;
use super::traits::{Checkable, StepProperty};
use stateright::{Expectation, Property};

/// The properties of a model that a search evaluates.
pub(super) struct Selected<M: Checkable> {
    pub always: Vec<Property<M>>,
    pub steps: Vec<StepProperty<M>>,
    pub sometimes: Vec<Property<M>>,
    pub step_witnesses: Vec<StepProperty<M>>,
}

impl<M: Checkable> Selected<M> {
    /// The properties of `model` named in `only`, or all of them.
    pub fn new(model: &M, only: Option<&[String]>) -> Result<Self, SearchError> {
        let wanted = |name: &str| only.is_none_or(|only| only.iter().any(|asked| asked == name));
        let mut properties = model.properties();
        let mut steps = model.step_properties();
        let mut step_witnesses = model.step_witnesses();
        let all_steps = steps.iter().chain(&step_witnesses).map(|step| step.name);
        let names: Vec<&str> = properties.iter().map(|p| p.name).chain(all_steps).collect();
        let mut sorted = names.clone();
        sorted.sort_unstable();
        if let Some(twice) = sorted.windows(2).find(|pair| pair[0] == pair[1]) {
            return Err(SearchError::DuplicateProperty(twice[0].to_owned()));
        }
        let mut asked = only.unwrap_or_default().iter();
        if let Some(asked) = asked.find(|asked| !names.contains(&asked.as_str())) {
            return Err(SearchError::UnknownProperty {
                asked: asked.clone(),
                available: names.into_iter().map(str::to_owned).collect(),
            });
        }
        properties.retain(|property| wanted(property.name));
        steps.retain(|step| wanted(step.name));
        step_witnesses.retain(|step| wanted(step.name));
        let eventually = |p: &&Property<M>| p.expectation == Expectation::Eventually;
        if let Some(property) = properties.iter().find(eventually) {
            return Err(SearchError::Eventually(property.name.to_owned()));
        }
        let (always, sometimes) = properties
            .into_iter()
            .partition(|p| p.expectation == Expectation::Always);
        Ok(Selected {
            always,
            steps,
            sometimes,
            step_witnesses,
        })
    }

    /// The names of everything that must hold.
    pub fn checked(&self) -> Vec<String> {
        let states = self.always.iter().map(|property| property.name);
        states
            .chain(self.steps.iter().map(|step| step.name))
            .map(str::to_owned)
            .collect()
    }

    /// The names of the witnesses: of states, then of steps.
    pub fn witnesses(&self) -> Vec<String> {
        let states = self.sometimes.iter().map(|property| property.name);
        let steps = self.step_witnesses.iter().map(|step| step.name);
        states.chain(steps).map(str::to_owned).collect()
    }
}
