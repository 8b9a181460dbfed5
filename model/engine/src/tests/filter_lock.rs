//! Peterson's filter lock for any number of processes ("Myths about the mutual exclusion problem",
//! 1981): to enter, a process passes all levels, at each of which one process stays behind.

use crate::{Checkable, StepProperty};
use stateright::{Model, Property};

/// The model, for a number of processes.
#[derive(Clone, Debug)]
pub(crate) struct FilterLock {
    pub processes: u8,
    /// The mistake: a process looks only at the one before it, not at all others.
    pub short_sighted: bool,
    /// The boundary: no process is in its level more than this deep.
    pub deepest: u8,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct State {
    /// The level each process is at: 0 outside, 1 and more on its way, the number of processes inside.
    pub level: Vec<u8>,
    /// For each process, true until it has named itself as the one who stays behind at that level.
    pub arriving: Vec<bool>,
    /// The process that stays behind at each level.
    pub behind: Vec<u8>,
}

/// Process number so and so takes its next step.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Action(pub u8);

impl Model for FilterLock {
    type State = State;
    type Action = Action;

    fn init_states(&self) -> Vec<State> {
        let processes = usize::from(self.processes);
        vec![State {
            level: vec![0; processes],
            arriving: vec![false; processes],
            behind: vec![0; processes],
        }]
    }

    fn actions(&self, _: &State, actions: &mut Vec<Action>) {
        actions.extend((0..self.processes).map(Action));
    }

    fn next_state(&self, last: &State, Action(process): Action) -> Option<State> {
        let me = usize::from(process);
        let level = last.level[me];
        let mut state = last.clone();
        if level == self.processes {
            state.level[me] = 0;
        } else if level == 0 {
            (state.level[me], state.arriving[me]) = (1, true);
        } else if last.arriving[me] {
            (state.behind[usize::from(level)], state.arriving[me]) = (process, false);
        } else {
            let in_my_way = |other: usize| other != me && last.level[other] >= level;
            let blocked = if self.short_sighted {
                in_my_way((me + 1) % usize::from(self.processes))
            } else {
                (0..usize::from(self.processes)).any(in_my_way)
            };
            if blocked && last.behind[usize::from(level)] == process {
                return None;
            }
            state.level[me] += 1;
            state.arriving[me] = state.level[me] < self.processes;
        }
        Some(state)
    }

    fn properties(&self) -> Vec<Property<Self>> {
        vec![
            Property::always("mutual_exclusion_inv", |model: &Self, state: &State| {
                state
                    .level
                    .iter()
                    .filter(|level| **level == model.processes)
                    .count()
                    <= 1
            }),
            Property::sometimes("entered_reachable", |model: &Self, state: &State| {
                state.level.contains(&model.processes)
            }),
        ]
    }

    fn within_boundary(&self, state: &State) -> bool {
        state.level.iter().all(|level| *level <= self.deepest)
    }
}

impl Checkable for FilterLock {
    fn encode(&self, state: &State, out: &mut Vec<u8>) {
        out.extend(
            state
                .level
                .iter()
                .zip(&state.arriving)
                .map(|(l, a)| l << 1 | u8::from(*a)),
        );
        out.extend(&state.behind);
    }

    fn decode(&self, bytes: &[u8]) -> State {
        let (levels, behind) = bytes.split_at(usize::from(self.processes));
        State {
            level: levels.iter().map(|byte| byte >> 1).collect(),
            arriving: levels.iter().map(|byte| byte & 1 != 0).collect(),
            behind: behind.to_vec(),
        }
    }

    fn identity(&self) -> String {
        format!("{self:?}")
    }

    fn step_properties(&self) -> Vec<StepProperty<Self>> {
        vec![StepProperty::new(
            "one_level_a_step",
            |model: &Self, before: &State, action: &Action, after: &State| {
                let me = usize::from(action.0);
                after.level[me] == 0 && before.level[me] == model.processes
                    || after.level[me] <= before.level[me] + 1
            },
        )]
    }
}
