//! stateright and this engine agree; encodings are faithful.

use super::filter_lock::{self, FilterLock};
use super::two_phase::{Action, State, TwoPhase};
use super::verdicts::{filter_lock, two_phase};
use crate::crosscheck::{Baseline, assert_faithful, baseline};
use crate::{Checkable, Search, Verdict};
use stateright::Model;
use std::hash::Hash;

/// Counts and verdicts of both, over the whole space.
fn assert_agreement<M>(model: M)
where
    M: Checkable + Clone + Send + Sync + 'static,
    M::State: Clone + PartialEq + Hash + Send + Sync + 'static,
    M::Action: Clone + PartialEq,
{
    let checked = Search::new(&model).threads(2).run().unwrap();
    for (search, threads) in [
        (Baseline::BreadthFirst, 1),
        (Baseline::DepthFirst, 1),
        (Baseline::BreadthFirst, 2),
    ] {
        let theirs = baseline(model.clone(), search, threads);
        match &checked.report.verdict {
            Verdict::Exhausted => {
                assert_eq!(theirs.violated, [""; 0]);
                assert_eq!(theirs.distinct, checked.report.distinct);
                assert_eq!(theirs.generated, checked.report.generated);
                assert_eq!(
                    theirs.unreached,
                    checked.report.unreached().collect::<Vec<_>>()
                );
            }
            Verdict::Violated { property, .. } => assert!(theirs.violated.contains(property)),
            Verdict::Bounded { stopped_by } => panic!("stopped by {stopped_by}"),
        }
    }
}

#[test]
fn on_two_phase_commit() {
    assert_agreement(two_phase(3));
    assert_agreement(two_phase(5));
    assert_agreement(TwoPhase {
        managers: 4,
        hasty: true,
    });
}

#[test]
fn on_the_filter_lock() {
    assert_agreement(filter_lock(2));
    assert_agreement(filter_lock(3));
    assert_agreement(FilterLock {
        short_sighted: true,
        ..filter_lock(3)
    });
    // With a boundary in the middle of the space.
    assert_agreement(FilterLock {
        deepest: 2,
        ..filter_lock(4)
    });
}

#[test]
fn every_field_reaches_the_fingerprint() {
    assert_eq!(assert_faithful(&two_phase(4), usize::MAX), 1568);
    assert_eq!(assert_faithful(&filter_lock(4), 1000), 1000);
}

/// A codec that forgets one field.
#[derive(Clone)]
struct Forgetful(TwoPhase);

impl Model for Forgetful {
    type State = State;
    type Action = Action;
    fn init_states(&self) -> Vec<State> {
        self.0.init_states()
    }
    fn actions(&self, state: &State, actions: &mut Vec<Action>) {
        self.0.actions(state, actions);
    }
    fn next_state(&self, state: &State, action: Action) -> Option<State> {
        self.0.next_state(state, action)
    }
}

impl Checkable for Forgetful {
    fn encode(&self, state: &State, out: &mut Vec<u8>) {
        self.0.encode(
            &State {
                abort: false,
                ..state.clone()
            },
            out,
        );
    }
    fn decode(&self, bytes: &[u8]) -> State {
        self.0.decode(bytes)
    }
    fn identity(&self) -> String {
        "forgetful".into()
    }
}

#[test]
#[should_panic(expected = "gives another state")]
fn a_forgotten_field_is_noticed() {
    assert_faithful(&Forgetful(two_phase(3)), usize::MAX);
}

#[test]
fn a_state_of_the_lock_is_what_it_was() {
    // The other model's codec, on states that no run reaches.
    let model = filter_lock(3);
    let state = filter_lock::State {
        level: vec![3, 1, 2],
        arriving: vec![true, false, true],
        behind: vec![2, 1, 0],
    };
    assert_eq!(model.decode(&crate::encoded(&model, &state)), state);
}
