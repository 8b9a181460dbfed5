//! Executing a path again, from the numbers of its actions.

use super::error::SearchError;
use super::report::Trace;
use super::traits::{Checkable, StateMap, encoded};

/// The condition on the last step (none for a path without steps) and the last state of a trace.
pub(super) type Ending<'a, M> =
    &'a dyn Fn(&M, Option<Step<'_, M>>, &<M as stateright::Model>::State) -> bool;

/// A state and the action taken in it.
pub(super) type Step<'a, M> = (
    &'a <M as stateright::Model>::State,
    &'a <M as stateright::Model>::Action,
);

/// Executes again the path from initial state number `init` that takes the actions with these
/// `numbers`, and ends as `ending` says.
///
/// With symmetry the numbers are those of representatives. The trace starts in a real initial state
/// and follows: of the actions of the real state it takes the first that leads to a state with the
/// right representative. Since the real state is a permutation of the representative, there is one.
pub(super) fn rebuild<M>(
    model: &M,
    canonical: Option<StateMap<M, M::State>>,
    init: u64,
    numbers: &[u32],
    ending: Ending<'_, M>,
) -> Result<Trace<M>, SearchError>
where
    M: Checkable,
    M::Action: Clone,
{
    let lost = |what: &str| SearchError::NotReproducible(what.to_owned());
    let initial = model.init_states().into_iter().nth(init as usize);
    let initial = initial.ok_or_else(|| lost("its initial state is gone"))?;
    let mut trace = Trace {
        init: initial,
        steps: Vec::with_capacity(numbers.len()),
    };
    let mut representative = canonical.map(|canonical| canonical(model, &trace.init));
    for (at, number) in numbers.iter().enumerate() {
        let (action, after) = nth_step(
            model,
            representative.as_ref().unwrap_or(trace.last()),
            *number,
        )
        .ok_or_else(|| lost("an action on it is not offered any more"))?;
        let last = at + 1 == numbers.len();
        let fits = |action: &M::Action, after: &M::State| {
            !last || ending(model, Some((trace.last(), action)), after)
        };
        let step = match canonical {
            None => fits(&action, &after).then_some((action, after)),
            Some(canonical) => {
                let wanted = canonical(model, &after);
                let bytes = encoded(model, &wanted);
                representative = Some(wanted);
                actions_and_probes(model, trace.last())
                    .into_iter()
                    .find_map(|action| {
                        let after = model.next_state(trace.last(), action.clone())?;
                        let same = encoded(model, &canonical(model, &after)) == bytes;
                        (same && fits(&action, &after)).then_some((action, after))
                    })
            }
        };
        trace
            .steps
            .push(step.ok_or_else(|| lost("no step leads where it leads"))?);
    }
    if numbers.is_empty() && !ending(model, None, &trace.init) {
        return Err(lost("its initial state is not what it was"));
    }
    Ok(trace)
}

fn nth_step<M>(model: &M, state: &M::State, number: u32) -> Option<(M::Action, M::State)>
where
    M: Checkable,
    M::Action: Clone,
{
    let actions = actions_and_probes(model, state);
    let action = actions.into_iter().nth(number as usize)?;
    let after = model.next_state(state, action.clone())?;
    Some((action, after))
}

/// Everything that has a number in `state`, by number.
fn actions_and_probes<M: Checkable>(model: &M, state: &M::State) -> Vec<M::Action> {
    let mut actions = Vec::new();
    model.actions(state, &mut actions);
    model.probes(state, &mut actions);
    actions
}
