//! Entry points of the fuzzer. Not part of the interface.

pub use crate::opaque::fuzzing::read_opaque_replies;
pub use crate::targets::exec::fuzzing::read_replies;
pub use crate::validate::fuzzing::read_recorded;

use crate::replay::{Progress, replay};
use crate::show::{Story, diagram, mermaid, page, svg};
use crate::target::Target;
use crate::targets::lockstep_raft::LockstepRaft;
use crate::targets::spec::Spec;
use lockstep_traces::Trace;
use std::ops::ControlFlow;

/// The longest trace that is replayed, in steps: a fuzzer looks for short ones.
const MOST_STEPS: usize = 64;

/// Reads any bytes as a trace, draws it, and replays it on the specification and on the production Raft. True if it was
/// replayed.
///
/// # Panics
/// If the work on a trace panics. A panic of a target is an answer, and no panic here.
pub fn replay_trace(bytes: &[u8]) -> bool {
    let Ok(trace) = Trace::parse(bytes, "input") else {
        return false;
    };
    if trace.steps.len() > MOST_STEPS {
        return false;
    }
    draw(&Story::of_trace(&trace));
    replay_on(&Spec, &trace);
    replay_on(&LockstepRaft, &trace);
    true
}

/// Replays a trace, and draws where the target parts from it.
pub(crate) fn replay_on<T: Target>(target: &T, trace: &Trace) {
    let traces = [Ok(("input".to_owned(), trace.clone()))];
    let progress: Progress<'_> = &mut |_| ControlFlow::Continue(());
    // A target need not take every configuration.
    let Ok(report) = replay(target, traces, progress) else {
        return;
    };
    assert!(report.compared <= report.steps);
    if let Some((_, found)) = &report.divergence {
        assert!(!found.differences.is_empty());
        draw(&Story::of_divergence(found));
    }
}

fn draw(story: &Story) {
    let drawings = [
        diagram(story, 100),
        svg(story),
        mermaid(story),
        page(story, &[]),
    ];
    assert!(drawings.iter().all(|drawing| !drawing.is_empty()));
}
