//! Two-phase commit (Gray and Lamport, "Consensus on Transaction Commit", section 3): resource
//! managers that prepare, a transaction manager that commits once all have, messages that are never
//! lost and may be read at any time.

use crate::{Antecedent, Checkable, StepProperty, Symmetry};
use stateright::{Model, Property};

/// The model, for a number of resource managers.
#[derive(Clone, Debug)]
pub(crate) struct TwoPhase {
    pub managers: u8,
    /// The mistake: the transaction manager commits when one is still missing.
    pub hasty: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) enum Decision {
    None,
    Prepared,
    Committed,
    Aborted,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct State {
    pub managers: Vec<Decision>,
    pub transaction: Decision,
    /// The resource managers that the transaction manager knows to be prepared, and those that said so, as sets of
    /// bits.
    pub known: u8,
    pub said: u8,
    /// Whether the messages that commit and abort have been sent.
    pub commit: bool,
    pub abort: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Action {
    Prepare(u8),
    AbortAlone(u8),
    HearPrepared(u8),
    Commit,
    Abort,
    HearCommit(u8),
    HearAbort(u8),
}

fn consistent_inv(_: &TwoPhase, state: &State) -> bool {
    !(state.managers.contains(&Decision::Committed) && state.managers.contains(&Decision::Aborted))
}

fn decisions_are_final_step(_: &TwoPhase, before: &State, _: &Action, after: &State) -> bool {
    before
        .managers
        .iter()
        .zip(&after.managers)
        .all(|(before, after)| {
            before == after || !matches!(before, Decision::Committed | Decision::Aborted)
        })
}

impl Model for TwoPhase {
    type State = State;
    type Action = Action;

    fn init_states(&self) -> Vec<State> {
        vec![State {
            managers: vec![Decision::None; usize::from(self.managers)],
            transaction: Decision::None,
            known: 0,
            said: 0,
            commit: false,
            abort: false,
        }]
    }

    fn actions(&self, state: &State, actions: &mut Vec<Action>) {
        if state.transaction == Decision::None {
            let wanted = u32::from(self.managers) - u32::from(self.hasty);
            if state.known.count_ones() >= wanted {
                actions.push(Action::Commit);
            }
            actions.push(Action::Abort);
        }
        for manager in 0..self.managers {
            let decision = state.managers[usize::from(manager)];
            if decision == Decision::None {
                actions.extend([Action::Prepare(manager), Action::AbortAlone(manager)]);
            }
            if state.transaction == Decision::None && state.said & 1 << manager != 0 {
                actions.push(Action::HearPrepared(manager));
            }
            if state.commit {
                actions.push(Action::HearCommit(manager));
            }
            if state.abort {
                actions.push(Action::HearAbort(manager));
            }
        }
    }

    fn next_state(&self, last: &State, action: Action) -> Option<State> {
        let mut state = last.clone();
        match action {
            Action::Prepare(manager) => {
                state.managers[usize::from(manager)] = Decision::Prepared;
                state.said |= 1 << manager;
            }
            Action::AbortAlone(manager) => state.managers[usize::from(manager)] = Decision::Aborted,
            Action::HearPrepared(manager) => state.known |= 1 << manager,
            Action::Commit => (state.transaction, state.commit) = (Decision::Committed, true),
            Action::Abort => (state.transaction, state.abort) = (Decision::Aborted, true),
            Action::HearCommit(manager) => {
                state.managers[usize::from(manager)] = Decision::Committed;
            }
            Action::HearAbort(manager) => state.managers[usize::from(manager)] = Decision::Aborted,
        }
        Some(state)
    }

    fn properties(&self) -> Vec<Property<Self>> {
        vec![
            Property::sometimes("all_aborted_reachable", |_, state: &State| {
                state
                    .managers
                    .iter()
                    .all(|decision| *decision == Decision::Aborted)
            }),
            Property::sometimes("all_committed_reachable", |_, state: &State| {
                state
                    .managers
                    .iter()
                    .all(|decision| *decision == Decision::Committed)
            }),
            Property::always("consistent_inv", consistent_inv),
        ]
    }
}

fn code(decision: Decision) -> u8 {
    decision as u8
}

fn decision(code: u8) -> Decision {
    [
        Decision::None,
        Decision::Prepared,
        Decision::Committed,
        Decision::Aborted,
    ][usize::from(code)]
}

impl Checkable for TwoPhase {
    fn encode(&self, state: &State, out: &mut Vec<u8>) {
        out.extend(state.managers.iter().copied().map(code));
        out.push(code(state.transaction));
        out.extend([state.known, state.said]);
        out.push(u8::from(state.commit) | u8::from(state.abort) << 1);
    }

    fn decode(&self, bytes: &[u8]) -> State {
        let (managers, rest) = bytes.split_at(usize::from(self.managers));
        State {
            managers: managers.iter().copied().map(decision).collect(),
            transaction: decision(rest[0]),
            known: rest[1],
            said: rest[2],
            commit: rest[3] & 1 != 0,
            abort: rest[3] & 2 != 0,
        }
    }

    fn identity(&self) -> String {
        format!("{self:?}")
    }

    fn step_properties(&self) -> Vec<StepProperty<Self>> {
        vec![StepProperty::new(
            "decisions_are_final_step",
            decisions_are_final_step,
        )]
    }

    fn step_witnesses(&self) -> Vec<StepProperty<Self>> {
        vec![StepProperty::new(
            "abort_of_a_prepared_reachable",
            |_, before: &State, action: &Action, _| {
                matches!(action, Action::HearAbort(manager)
                if before.managers[usize::from(*manager)] == Decision::Prepared)
            },
        )]
    }

    fn antecedents(&self) -> Vec<Antecedent<Self>> {
        vec![
            Antecedent::state("consistent_inv", |_, state: &State| {
                state.managers.contains(&Decision::Committed)
            }),
            Antecedent::step("decisions_are_final_step", |_, before: &State, _, _| {
                before.managers.contains(&Decision::Committed)
            }),
        ]
    }

    fn action_kinds(&self) -> Vec<&'static str> {
        vec![
            "prepare",
            "abort alone",
            "hear prepared",
            "commit",
            "abort",
            "hear commit",
            "hear abort",
        ]
    }

    fn action_kind(&self, action: &Action) -> usize {
        match action {
            Action::Prepare(_) => 0,
            Action::AbortAlone(_) => 1,
            Action::HearPrepared(_) => 2,
            Action::Commit => 3,
            Action::Abort => 4,
            Action::HearCommit(_) => 5,
            Action::HearAbort(_) => 6,
        }
    }

    /// A resource manager's state and what it hears.
    fn pairs(&self) -> Vec<String> {
        let states = ["undecided", "prepared", "committed", "aborted"];
        states
            .iter()
            .flat_map(|state| ["commit", "abort"].map(|heard| format!("{state} hears {heard}")))
            .collect()
    }

    fn meet(&self, state: &State, action: &Action, met: &mut dyn FnMut(usize)) {
        let (manager, heard) = match action {
            Action::HearCommit(manager) => (manager, 0),
            Action::HearAbort(manager) => (manager, 1),
            _ => return,
        };
        met(usize::from(code(state.managers[usize::from(*manager)])) * 2 + heard);
    }
}

impl Symmetry for TwoPhase {
    fn permutations(&self) -> usize {
        (1..=usize::from(self.managers)).product()
    }

    fn permute(&self, state: &State, permutation: usize) -> State {
        let order = nth_permutation(usize::from(self.managers), permutation);
        let bits = |set: u8| {
            order
                .iter()
                .enumerate()
                .fold(0, |bits, (to, from)| bits | (set >> from & 1) << to)
        };
        State {
            managers: order.iter().map(|from| state.managers[*from]).collect(),
            known: bits(state.known),
            said: bits(state.said),
            ..state.clone()
        }
    }
}

/// Permutation number `number` of 0..`len`; number 0 is the identity.
pub(crate) fn nth_permutation(len: usize, mut number: usize) -> Vec<usize> {
    let mut left: Vec<usize> = (0..len).collect();
    (1..=len)
        .rev()
        .map(|remaining| {
            let block: usize = (1..remaining).product();
            let chosen = left.remove(number / block);
            number %= block;
            chosen
        })
        .collect()
}
