//! Expanding blocks of states that are known by the short forms of a model's
//! [`Shortcut`](super::traits::Shortcut).

use super::expand::{Expander, Expansion, Own, Scratch};
use super::fingerprints::Fingerprints;
use super::frontier::States;
use super::tally::Cover;
use super::traits::{Checkable, Fate, Route, Step};

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
        own: &mut Own<'a, M>,
        scratch: &mut Scratch<'_, 'a, M>,
        out: &mut Expansion,
    ) {
        let mut listed = std::mem::take(&mut scratch.listed);
        listed.reached.clear();
        own.shortcut.tidy();
        for parent in 0..states.len() {
            self.list(states.get(parent), parent, own, &mut listed, out);
        }
        own.classes.count(&mut out.tally);
        let shortcut = &mut *own.shortcut;
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
        own: &mut Own<'a, M>,
        listed: &mut Listed,
        out: &mut Expansion,
    ) {
        let class = own.shortcut.steps(short, &mut listed.steps);
        out.most_actions = out.most_actions.max(listed.steps.len());
        let mut restored = None;
        if self.coverage || self.misses_states() {
            let class = class.unwrap_or_else(|| {
                let state = restored.insert(own.shortcut.restore(short));
                self.look_at(state, parent, out);
                let class = self.class(own, || self.cover_of_state(state));
                own.shortcut.settle_state(class);
                class
            });
            own.classes.meet(class);
        }
        let before = out.tally.generated;
        for (number, step) in listed.steps.iter().enumerate() {
            let kind = usize::from(step.kind);
            out.tally.enabled[kind] += 1;
            let fate = match step.fate {
                Fate::Unknown => {
                    let state = restored.get_or_insert_with(|| own.shortcut.restore(short));
                    self.execute(state, number, parent, own, out)
                }
                fate => fate,
            };
            if let Fate::Within(fingerprint, route, class) = fate {
                out.tally.fired[kind] += 1;
                out.tally.generated += 1;
                own.classes.meet(class);
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
        own: &mut Own<'a, M>,
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
        let class = self.class(own, || self.cover_of_step(state, action, &after));
        own.shortcut.learn(action, &after, class)
    }

    /// The number of the class with this cover; without coverage all are the same.
    fn class(&self, own: &mut Own<'a, M>, cover: impl FnOnce() -> Cover) -> u32 {
        own.classes.number(if self.coverage {
            cover()
        } else {
            Cover::default()
        })
    }
}
