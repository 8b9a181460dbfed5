//! A trace file as a path: each event is looked for among the actions of the state before it.

use super::link::{Walked, menu};
use super::models::{ModelError, NamedModel};
use crate::compare::{Wanted, compare};
use crate::words::{self, SaidDifference};
use lockstep_model::{Cluster, Dialect};
use lockstep_traces::{Event, Expected, FieldSet, Trace, TraceError};
use serde::Serialize;

/// A trace that was followed.
#[derive(Clone, Debug, Serialize)]
pub struct Imported {
    /// The name in its header.
    pub name: String,
    /// The purpose in its header.
    pub purpose: String,
    /// The word of its model.
    pub model: String,
    /// The link of its path.
    pub path: String,
    /// The number of steps that the trace has.
    pub steps: usize,
    /// The first step at which the trace does not say what the specification says, from one, and how.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub disagrees: Option<Disagreement>,
}

/// A step at which trace and specification part.
#[derive(Clone, Debug, Serialize)]
pub struct Disagreement {
    /// The step, from one.
    pub step: usize,
    /// The mistake in it.
    pub reason: String,
    /// In what the two differ: `expected` is the specification's, `actual` the trace's.
    pub differences: Vec<SaidDifference>,
}

/// Why a trace cannot be followed at all.
#[derive(Debug, thiserror::Error)]
pub enum ImportError {
    /// It is no trace.
    #[error(transparent)]
    Trace(#[from] TraceError),
    /// Its configuration cannot be specified.
    #[error(transparent)]
    Model(#[from] ModelError),
}

/// Follows a trace as far as its events are possible.
///
/// # Errors
///
/// It is no trace, or its configuration cannot be specified.
pub fn import(bytes: &[u8], source: &str, dialect: Dialect) -> Result<Imported, ImportError> {
    let trace = Trace::parse(bytes, source)?;
    let model = NamedModel::of_trace(&trace, dialect)?;
    let cluster = &model.cluster;
    let mut walked = Walked::start(cluster);
    let mut disagrees = None;
    for (number, step) in trace.steps.iter().enumerate() {
        let found = find(cluster, &walked, &step.event);
        let Some(place) = found else {
            disagrees.get_or_insert_with(|| Disagreement {
                step: number + 1,
                reason: format!("impossible here: {}", words::sentence(&step.event)),
                differences: Vec::new(),
            });
            break;
        };
        let before = walked.last().clone();
        if walked.step(cluster, place).is_err() {
            break;
        }
        if let Some(expected) = &step.expected
            && disagrees.is_none()
        {
            let action = walked.actions[number];
            disagrees = disagreement(cluster, &before, &action, expected, number + 1);
        }
    }
    Ok(Imported {
        name: trace.header.name.clone(),
        purpose: trace.header.purpose.clone(),
        model: model.key,
        path: walked.link(),
        steps: trace.steps.len(),
        disagrees,
    })
}

/// The action that is this event.
fn find(cluster: &Cluster, walked: &Walked, event: &Event) -> Option<usize> {
    let state = walked.last();
    let same = |it: &lockstep_model::Action| cluster.event(state, it) == *event;
    menu(cluster, state).iter().position(same)
}

fn disagreement(
    cluster: &Cluster,
    before: &lockstep_model::ClusterState,
    action: &lockstep_model::Action,
    said: &Expected,
    step: usize,
) -> Option<Disagreement> {
    let transition = cluster.apply(before, action);
    let server = transition.moved?;
    let expected = Expected {
        outcome: transition.outcome,
        view: transition.next.server(server).view(cluster.settings()),
        sent: transition.sent,
        read_states: transition.read_states,
    };
    let applied = before.server(server).view(cluster.settings()).applied;
    let theirs = Wanted::new(said, applied);
    let differences = compare(
        &Wanted::new(&expected, applied),
        &theirs.output,
        &said.view,
        FieldSet::ALL,
    );
    (!differences.is_empty()).then(|| Disagreement {
        step,
        reason: "the trace expects something else than the specification".to_owned(),
        differences: differences.iter().map(words::difference).collect(),
    })
}
