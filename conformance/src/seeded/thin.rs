//! A divergence at the end of a trace of the corpus, without the events that it does not need.
//!
//! Events are left out as long as the target still goes wrong. What is left is played on the specification
//! anew, so that nothing is delivered that was not sent: an event that is not possible any more goes with
//! those that made it possible.

use crate::divergence::Divergence;
use crate::path::steps_along;
use crate::replay::replay;
use crate::shrink::{Trial, shrink};
use crate::target::{Target, TargetError};
use lockstep_model::{Action, Bounds, Cluster, ClusterState, Settings};
use lockstep_traces::{Event, Input, Trace};
use std::ops::ControlFlow;

/// The shortest divergence that was found by leaving out events of this one; this one itself if none can
/// be spared.
pub(super) fn thin<T: Target>(target: &T, found: Divergence) -> Result<Divergence, TargetError> {
    let Ok(settings) = Settings::new(&found.trace.header.config) else {
        return Ok(found);
    };
    let cluster = Cluster::new(settings, Bounds::UNLIMITED);
    let events: Vec<&Event> = found.trace.steps.iter().map(|step| &step.event).collect();
    let mut failure = None;
    let mut shortest = None;
    let mut attempt = |kept: &[usize]| {
        let (positions, trace) = play(&cluster, &events, kept, &found.trace);
        let name = trace.header.name.clone();
        match replay(target, [Ok((name, trace))], &mut |_| {
            ControlFlow::Continue(())
        }) {
            Ok(report) => {
                let Some((_, divergence)) = report.divergence else {
                    return Trial::Passes;
                };
                let last = divergence.trace.steps.len() - 1;
                shortest = Some(*divergence);
                Trial::Fails(positions[last] + 1)
            }
            Err(error) => {
                failure = Some(error);
                Trial::GivenUp
            }
        }
    };
    let all: Vec<usize> = (0..events.len()).collect();
    if let Trial::Fails(_) = attempt(&all) {
        shrink(all, &mut attempt);
    }
    match failure {
        Some(crate::replay::ReplayError::Target(error)) => Err(error),
        _ => Ok(shortest.unwrap_or(found)),
    }
}

/// Applies the events that are kept: returns the positions among them of those that were possible, and the trace.
fn play(cluster: &Cluster, events: &[&Event], kept: &[usize], like: &Trace) -> (Vec<usize>, Trace) {
    let mut state = cluster.initial();
    let (mut positions, mut actions) = (Vec::new(), Vec::new());
    for (position, event) in kept.iter().enumerate() {
        if let Some(action) = possible(cluster, &state, events[*event]) {
            state = cluster.apply(&state, &action).next;
            actions.push(action);
            positions.push(position);
        }
    }
    let trace = Trace {
        header: like.header.clone(),
        steps: steps_along(cluster, &actions),
    };
    (positions, trace)
}

/// The action that is this event here. A client proposes whatever value comes next.
fn possible(cluster: &Cluster, state: &ClusterState, event: &Event) -> Option<Action> {
    let mut actions = Vec::new();
    cluster.enabled(state, &mut actions);
    cluster.probes(state, &mut actions);
    actions.into_iter().find(|action| {
        let other = cluster.event(state, action);
        other == *event || proposer(&other).is_some_and(|it| proposer(event) == Some(it))
    })
}

fn proposer(event: &Event) -> Option<lockstep_traces::ServerId> {
    match event {
        Event::Server {
            server,
            input: Input::Propose(_),
        } => Some(*server),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::corpus::corpus;
    use crate::planted::{Mistake, Planted};
    use crate::targets::spec::Spec;

    #[test]
    fn only_what_leads_to_the_mistake_is_left() {
        let target = Planted::new(Spec, Mistake::MissingMessage);
        let traces = corpus(1).expect("the corpus can be made");
        let beats = |step: &lockstep_traces::Step| {
            matches!(
                step.event,
                Event::Server {
                    input: Input::Heartbeat,
                    ..
                }
            )
        };
        let with_heartbeats = traces.into_iter().filter(|it| it.steps.iter().any(beats));
        let long = with_heartbeats.max_by_key(|trace| trace.steps.iter().position(beats));
        let long = long.expect("there are traces with heartbeats");
        let read = [Ok((long.header.name.clone(), long))];
        let report = replay(&target, read, &mut |_| ControlFlow::Continue(())).expect("it runs");
        let (_, found) = report.divergence.expect("the mistake is caught");
        let before = found.trace.steps.len();
        let thinned = thin(&target, *found).expect("it runs");
        // A leader has to be elected, and its heartbeat timer has to fire; the rest is left out.
        let after = thinned.trace.steps.len();
        assert!(2 * after < before, "{before} steps became {thinned:#?}");
        let last = thinned.trace.steps.last().expect("there is a step");
        assert!(beats(last), "{last:?}");
    }
}
