//! Expanding blocks of states that are known by the short forms of a model's
//! [`Shortcut`](super::traits::Shortcut).

use super::expand::{Expander, Expansion, Own, Scratch};
use super::fingerprints::Fingerprints;
use super::frontier::States;
use super::tally::Cover;
use super::traits::{Checkable, Fate};

impl<'a, M> Expander<'a, M>
where
    M: Checkable,
    M::Action: Clone,
{
    /// [`expand`](Self::expand) the states of a block, with a shortcut.
    pub fn expand_short(
        &self,
        states: &States<'_>,
        known: &Fingerprints,
        own: &mut Own<'a, M>,
        scratch: &mut Scratch<'_, 'a, M>,
        out: &mut Expansion,
    ) {
        own.steps.clear();
        own.shortcut.read(states);
        for parent in 0..states.len() {
            self.list(states.get(parent), parent, own, out);
        }
        own.steps.count(&mut out.tally);
        out.most_actions = own.steps.most_actions;
        let shortcut = &mut *own.shortcut;
        own.steps
            .reached
            .retain(|reached| scratch.is_first(reached.fingerprint));
        let reached = &own.steps.reached;
        // All of the block at once: the processor then waits for many places of a table that does not
        // fit into its caches at the same time.
        known.warm(reached.iter().map(|reached| reached.fingerprint));
        for reached in reached {
            if known.contains(reached.fingerprint) {
                continue;
            }
            let (parent, action) = (reached.parent, usize::from(reached.action));
            let start = out.bytes.len();
            let settled = shortcut.write(parent, reached.route, &mut out.bytes);
            if !settled && !self.selected.always.is_empty() {
                let state = shortcut.restore(&out.bytes[start..]);
                self.look_at_reached(state, action, parent, out);
                if out.violation.is_none() {
                    shortcut.settle_properties();
                }
            }
            let kind = usize::from(reached.kind);
            out.push_candidate(reached.fingerprint, parent, action, kind);
        }
    }

    /// Lists the successors of one state.
    fn list(&self, short: &[u8], parent: u32, own: &mut Own<'a, M>, out: &mut Expansion) {
        let first = own.steps.reached.len();
        own.steps.begin(parent);
        let class = own.shortcut.steps(parent, &mut own.steps);
        own.steps.end();
        if self.coverage || self.misses_states() {
            let class = class.unwrap_or_else(|| {
                let state = own.shortcut.restore(short);
                let found = self.look_at(state, parent, out);
                let cover = self.cover(|| self.cover_of_state(state));
                let class = own.steps.class(None, cover);
                // A thread that is further back may meet the like, and it would be the first.
                if !found {
                    own.shortcut.settle_state(class);
                }
                class
            });
            own.steps.meet(class);
        }
        if !own.steps.open.is_empty() {
            self.execute(short, parent, own, out);
        }
        out.tally.terminal += u64::from(own.steps.reached.len() == first);
    }

    /// Executes what the shortcut does not know of a state, which learns it.
    fn execute(&self, short: &[u8], parent: u32, own: &mut Own<'a, M>, out: &mut Expansion) {
        let mut actions = Vec::new();
        self.model
            .actions(own.shortcut.restore(short), &mut actions);
        let mut entered = 0;
        for open in std::mem::take(&mut own.steps.open) {
            let number = usize::from(open.action);
            let action = &actions[number];
            let state = own.shortcut.restore(short);
            let Some(after) = self.model.next_state(state, action.clone()) else {
                continue;
            };
            let found = self.model.within_boundary(&after)
                && self.look_at_step(state, (number, action), &after, parent, out);
            let kind = Some(usize::from(open.kind));
            let cover = self.cover(|| self.cover_of_step(state, action, &after));
            let class = own.steps.class(kind, cover);
            let fate = own.shortcut.learn(action, &after, class, !found);
            debug_assert_ne!(fate, Fate::Unknown);
            entered += usize::from(own.steps.close(open, entered, fate));
        }
    }

    /// What is counted if coverage is asked for.
    fn cover(&self, cover: impl FnOnce() -> Cover) -> Cover {
        if self.coverage {
            cover()
        } else {
            Cover::default()
        }
    }
}
