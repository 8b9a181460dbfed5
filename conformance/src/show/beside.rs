//! An implementation beside the specification, along a trace.

use super::story::Story;
use crate::compare::{Difference, Wanted, compare, compare_bystander, compare_start, start_view};
use crate::divergence::Actual;
use crate::target::{Reaction, Run, Script, Target, TargetError};
use lockstep_traces::{Config, Event, FieldSet, NodeView, ServerId, Step};
use std::collections::BTreeMap;

/// The behaviour of an implementation along a path.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Beside {
    /// One for each step of the path that was reached.
    pub steps: Vec<BesideStep>,
    /// Why it ended early: the implementation broke down at the step after the last.
    pub failed: Option<String>,
}

/// The behaviour of an implementation at one step.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct BesideStep {
    /// Its reaction; `None` at a step of the network, and for an input that it cannot receive.
    pub actual: Option<Actual>,
    /// Why the input could not be driven.
    pub not_driven: Option<String>,
    /// In what it differs from what is expected.
    pub differences: Vec<Difference>,
}

impl Beside {
    /// The first step that differs, from zero.
    pub fn first_difference(&self) -> Option<usize> {
        let differs = |it: &BesideStep| !it.differences.is_empty();
        let broke = self.failed.as_ref().map(|_| self.steps.len());
        self.steps.iter().position(differs).or(broke)
    }

    /// Puts it beside the steps of a story of the same path.
    pub fn tell(&self, story: &mut Story) {
        for (number, step) in self.steps.iter().enumerate() {
            story.set_actual(number, step.actual.as_ref(), &step.differences);
        }
        if let Some(error) = &self.failed {
            let error = error.clone();
            let broke = [Difference::Failed { error }];
            story.set_actual(self.steps.len(), None, &broke);
        }
    }
}

/// Drives an implementation along a path and compares after every step. Unlike a replay it goes on after a
/// difference, to show what the implementation does then; from there on the two no longer get the same
/// messages, so that later differences mean little.
///
/// # Errors
///
/// The target cannot be started.
pub fn beside<T: Target>(
    target: &T,
    config: &Config,
    steps: &[Step],
) -> Result<Beside, TargetError> {
    let inputs = steps.iter().filter_map(|step| match &step.event {
        Event::Server { server, input } => Some((*server, input)),
        Event::Duplicate(_) | Event::Drop(_) => None,
    });
    let script = Script {
        steps: inputs.collect(),
    };
    let mut ran = None;
    target.run(config, &[script], &mut |_, run| ran = Some(run))?;
    let lost = || TargetError::Setup("the target lost the path".to_owned());
    let shown = target.description().shows;
    Ok(judge(config, steps, ran.ok_or_else(lost)?, shown))
}

fn judge(config: &Config, steps: &[Step], run: Run, shown: FieldSet) -> Beside {
    let mut views: BTreeMap<ServerId, NodeView> = config
        .server_ids()
        .map(|server| (server, start_view(config)))
        .collect();
    let mut beside = Beside::default();
    let starts = config.server_ids().zip(&run.initial);
    let started = starts.filter_map(|(server, view)| compare_start(config, server, view, shown));
    let mut early: Vec<_> = started.collect();
    let mut seen = run.steps.into_iter();
    for step in steps {
        let mut told = BesideStep {
            differences: std::mem::take(&mut early),
            ..BesideStep::default()
        };
        if let (Some(server), Some(expected)) = (step.event.server(), &step.expected) {
            let Some(observation) = seen.next() else {
                let silent = || "it answered too few inputs".to_owned();
                beside.failed = Some(run.failed.unwrap_or_else(silent));
                return beside;
            };
            match observation.reaction {
                Reaction::Driven(output) => {
                    let view = observation.view;
                    let wanted = Wanted::new(expected, views[&server].applied);
                    let differences = compare(&wanted, &output, &view, shown);
                    told.differences.extend(differences);
                    told.actual = Some(Actual { output, view });
                }
                Reaction::NotDriven { reason } => {
                    // It has not changed, says the target, and is held to it.
                    let before = &views[&server];
                    let moved = compare_bystander(server, before, &observation.view, shown);
                    told.differences.extend(moved);
                    told.not_driven = Some(reason);
                }
            }
            views.insert(server, expected.view.clone());
        }
        beside.steps.push(told);
    }
    beside.failed = run.failed;
    beside
}
