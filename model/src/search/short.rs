//! Expanding blocks of states that are known by the short forms of a model's
//! [`Shortcut`](super::traits::Shortcut).

use super::expand::{Expander, Expansion, Scratch};
use super::fingerprints::Fingerprints;
use super::frontier::States;
use super::traits::{Checkable, Fate, Route, Shortcut, Step};

/// A successor, known by the way to it.
struct Reached {
    fingerprint: u64,
    parent: u32,
    action: u16,
    kind: u16,
    route: Route,
}

/// What a block leads to, before it is looked up.
#[derive(Default)]
pub(super) struct Listed {
    steps: Vec<Step>,
    reached: Vec<Reached>,
}

impl<'a, M> Expander<'a, M>
where
    M: Checkable,
    M::Action: Clone,
{
    /// [`expand`](Self::expand) the states of a block, with a shortcut.
    pub fn expand_short(
        &self,
        states: &States,
        known: &Fingerprints,
        shortcut: &mut (dyn Shortcut<'a, M> + 'a),
        scratch: &mut Scratch<'_, 'a, M>,
        out: &mut Expansion,
    ) {
        let mut listed = std::mem::take(&mut scratch.listed);
        listed.reached.clear();
        shortcut.tidy();
        for parent in 0..states.len() {
            self.list(states.get(parent), parent, shortcut, &mut listed, out);
        }
        // All of the block at once: the processor then waits for many places of a table that does not
        // fit into its caches at the same time.
        known.warm(listed.reached.iter().map(|reached| reached.fingerprint));
        for reached in &listed.reached {
            let fingerprint = reached.fingerprint;
            if !scratch.is_first(fingerprint) || known.contains(fingerprint) {
                continue;
            }
            let (parent, action) = (reached.parent, usize::from(reached.action));
            let start = out.bytes.len();
            let settled = shortcut.write(states.get(parent), reached.route, &mut out.bytes);
            if !settled && !self.selected.always.is_empty() {
                let state = shortcut.restore(&out.bytes[start..]);
                self.look_at_reached(&state, action, parent, out);
                if out.violation.is_none() {
                    shortcut.settle_properties();
                }
            }
            out.push_candidate(fingerprint, parent, action, usize::from(reached.kind));
        }
        scratch.listed = listed;
    }

    /// Lists the successors of one state.
    fn list(
        &self,
        short: &[u8],
        parent: u32,
        shortcut: &mut (dyn Shortcut<'a, M> + 'a),
        listed: &mut Listed,
        out: &mut Expansion,
    ) {
        let settled = shortcut.steps(short, &mut listed.steps);
        out.most_actions = out.most_actions.max(listed.steps.len());
        let mut restored = None;
        if !settled && self.misses_states() {
            let state = restored.insert(shortcut.restore(short));
            self.look_at(state, parent, out);
            shortcut.settle_witnesses();
        }
        let before = out.tally.generated;
        for (number, step) in listed.steps.iter().enumerate() {
            let kind = usize::from(step.kind);
            out.tally.enabled[kind] += 1;
            let fate = match step.fate {
                Fate::Unknown => {
                    let state = restored.get_or_insert_with(|| shortcut.restore(short));
                    self.execute(state, number, parent, shortcut, out)
                }
                fate => fate,
            };
            if let Fate::Within(fingerprint, route) = fate {
                out.tally.fired[kind] += 1;
                out.tally.generated += 1;
                listed.reached.push(Reached {
                    fingerprint,
                    parent,
                    action: number as u16,
                    kind: step.kind,
                    route,
                });
            }
        }
        out.tally.terminal += u64::from(out.tally.generated == before);
    }

    /// Executes what the shortcut does not know, which learns it.
    fn execute(
        &self,
        state: &M::State,
        number: usize,
        parent: u32,
        shortcut: &mut (dyn Shortcut<'a, M> + 'a),
        out: &mut Expansion,
    ) -> Fate {
        let mut actions = Vec::new();
        self.model.actions(state, &mut actions);
        let action = &actions[number];
        let Some(after) = self.model.next_state(state, action.clone()) else {
            return Fate::Beyond;
        };
        if self.model.within_boundary(&after) {
            self.look_at_step(state, (number, action), &after, parent, out);
        }
        shortcut.learn(state, action, &after)
    }
}
