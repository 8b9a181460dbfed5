//! The control of the catalogue: an invariant that looks right and is not.
//!
//! "If the log of one server is as up-to-date as that of another, it holds everything that the other knows to
//! be committed" was part of a specification of etcd's raft (SP-02). Legal behaviour refutes it. Whoever adds
//! it to the properties must see it refuted, and not the Raft that behaves so.

use super::{Caught, Finding, Rung, Side};
use crate::corpus::CorpusError;
use crate::corpus::story::Story;
use crate::path::{provenance, steps_along};
use lockstep_model::{Action, Cluster, ClusterState};
use lockstep_traces::{Config, Header, NodeView, Trace};
use std::time::Instant;

const WHAT: &str = "a log that is as up-to-date as another is believed to hold all that the other knows \
                    to be committed";

/// Tells the story that refutes the false invariant.
///
/// # Errors
///
/// The specification does not let the story happen any more.
pub fn try_control() -> Result<Finding, CorpusError> {
    let clock = Instant::now();
    let story = refutation()?;
    let refuted = refuted_after(&story);
    let caught = refuted.map(|steps| {
        let purpose = "a server with a newer log lacks an entry that another knows to be committed";
        let made = provenance("lockstep mutants", None, &story.cluster);
        let config = story.cluster.settings().config();
        let trace = Trace {
            header: Header::new("control", purpose, config, made),
            steps: steps_along(&story.cluster, &story.actions[..steps]),
        };
        Caught {
            rung: Rung::Smoke,
            run: "a story".to_owned(),
            by: "refuted, by behaviour that violates no property of ours".to_owned(),
            panicked: false,
            states: steps as u64 + 1,
            seconds: clock.elapsed().as_secs_f64(),
            steps,
            trace_ends: true,
            rules: super::rules(&trace),
            causes: None,
            path: super::path(&trace),
            trace: Some(trace),
        }
    });
    Ok(Finding {
        id: super::CONTROL.to_owned(),
        side: Side::Specification,
        what: WHAT.to_owned(),
        breaks: Vec::new(),
        caught,
        seen: Vec::new(),
        graphs: Vec::new(),
        searched: None,
        seconds: clock.elapsed().as_secs_f64(),
    })
}

/// Server 1 leads term 1 and keeps its entry to itself; so does server 5 with that of term 2. In term 3
/// server 1 brings its entry to 3 and 4, commits it with one of the new term, and then sends the old one, and
/// only that, to server 2.
fn refutation() -> Result<Story, CorpusError> {
    let config = Config {
        servers: 5,
        one_entry_per_append: true,
        ..Config::PAPER
    };
    let mut story = Story::new("control", &config)?;
    story.at(Action::Timeout, 1)?;
    story.elect(1, &[2, 3])?;
    story.lose_all();
    // Whoever does not know of a term yet needs two attempts for the next one.
    story.at(Action::Timeout, 5)?;
    story.lose_all();
    story.at(Action::Timeout, 5)?;
    story.elect(5, &[3, 4])?;
    story.lose_all();
    story.at(Action::Restart, 1)?;
    story.at(Action::Timeout, 1)?;
    story.lose_all();
    story.at(Action::Timeout, 1)?;
    story.elect(1, &[3, 4])?;
    // The others lack what precedes the entry of term 3, and say so.
    story.deliver_append((1, 2), 1, 1)?;
    story.talk(&[1, 3, 4])?;
    story.expect_log(1, &[1, 3], 2)?;
    story.deliver_refusal((2, 1))?;
    story.deliver_append((1, 2), 0, 1)?;
    story.expect_log(2, &[1], 1)?;
    story.expect_log(5, &[2], 0)?;
    Ok(story)
}

/// After how many events the invariant does not hold, if it ever does not.
fn refuted_after(story: &Story) -> Option<usize> {
    let mut state = story.cluster.initial();
    if !believed(&story.cluster, &state) {
        return Some(0);
    }
    story.actions.iter().enumerate().find_map(|(at, action)| {
        state = story.cluster.apply(&state, action).next;
        (!believed(&story.cluster, &state)).then_some(at + 1)
    })
}

/// The false invariant.
fn believed(cluster: &Cluster, state: &ClusterState) -> bool {
    let settings = cluster.settings();
    let views: Vec<_> = state.servers().map(|it| it.view(settings)).collect();
    let last = |view: &NodeView| (view.log.last().map(|entry| entry.term), view.log.len());
    views.iter().all(|i| {
        let committed = usize::try_from(i.commit.0).unwrap_or(usize::MAX);
        let up_to_date = |j: &&NodeView| last(j) >= last(i);
        let mut others = views.iter().filter(up_to_date);
        others.all(|j| {
            i.log
                .iter()
                .take(committed)
                .eq(j.log.iter().take(committed))
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::replay::replay;
    use crate::targets::lockstep_raft::LockstepRaft;
    use crate::verdict::{Strength, Verdict};
    use lockstep_model::properties::{state_properties, step_properties};
    use std::ops::ControlFlow;

    #[test]
    fn the_last_legal_event_refutes_the_false_invariant() {
        let story = refutation().expect("the story goes as it is told");
        assert_eq!(refuted_after(&story), Some(story.actions.len()));
        let mut state = story.cluster.initial();
        for action in &story.actions {
            let next = story.cluster.apply(&state, action).next;
            for property in step_properties() {
                let holds = property.holds(&story.cluster, &state, action, &next);
                assert!(holds, "{}", property.name);
            }
            for property in state_properties() {
                assert!(property.holds(&story.cluster, &next), "{}", property.name);
            }
            state = next;
        }
        let finding = try_control().expect("the story goes as it is told");
        let trace = finding
            .caught
            .and_then(|it| it.trace)
            .expect("it is refuted");
        let read = [Ok(("control".to_owned(), trace))];
        let report = replay(&LockstepRaft, read, &mut |_| ControlFlow::Continue(()));
        let report = report.expect("it runs");
        assert_eq!(report.verdict(), Verdict::Holds(Strength::Sampled));
    }
}
