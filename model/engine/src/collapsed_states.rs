//! Expanding blocks of states that are known by the collapsed forms of a model's
//! [`Collapse`](super::traits::Collapse).

use super::expand::{Expander, Expansion, Own};
use super::frontier::{Packed, States};
use super::report::PropertyKind;
use super::steps::{Lookup, Reached};
use super::traits::{Checkable, judged};

impl<'a, M> Expander<'a, M>
where
    M: Checkable,
    M::Action: Clone,
{
    /// [`expand`](Self::expand) the states of a block, of which there are `count`, with a collapse.
    pub fn expand_collapsed(
        &self,
        states: States<'_>,
        count: u32,
        own: &mut Own<'a, M>,
        out: &mut Expansion,
    ) {
        // Every block of a batch has a list of its own: how much memory that takes must not depend on the threads.
        std::mem::swap(&mut own.steps.reached, &mut out.reached);
        own.steps.clear();
        own.collapse.read(states);
        for parent in 0..count {
            self.list(parent, own, out);
        }
        own.steps.count(&mut out.tally);
        out.most_actions = own.steps.most_actions;
        std::mem::swap(&mut own.steps.reached, &mut out.reached);
    }

    /// Writes the new states that were reached from `states`, and looks at them, with a collapse.
    pub fn emit_collapsed(
        &self,
        states: States<'_>,
        own: &mut Own<'a, M>,
        expansion: &mut Expansion,
        out: &mut Packed,
    ) {
        let collapse = &mut *own.collapse;
        collapse.write(states, &expansion.reached, out);
        if self.selected.always.is_empty() {
            return;
        }
        for (number, short) in out.states().iter().enumerate() {
            if collapse.all_hold(number) {
                continue;
            }
            if let Some(property) = self.violated_by(collapse.restore(short)) {
                let Reached { parent, action, .. } = expansion.reached[number];
                expansion.note_violation(property, PropertyKind::State, parent, action.into());
                break;
            }
            collapse.note_all_hold(number);
        }
    }

    /// Lists the successors of one state.
    fn list(&self, parent: u32, own: &mut Own<'a, M>, out: &mut Expansion) {
        own.steps.begin(parent);
        let class = own.collapse.list(parent, &mut own.steps);
        own.steps.end();
        if self.each_state.is_some() {
            self.look_at_each(own.collapse.listed(), parent, out);
        }
        if self.coverage || self.misses_states() {
            let class = class.unwrap_or_else(|| {
                let state = own.collapse.listed();
                let found = self.look_at(state, parent, out);
                let cover = self.cover_of_state(state);
                let class = own.steps.class(None, cover);
                // A thread that is further back may meet the like, and it would be the first.
                if !found {
                    own.collapse.note_class(class);
                }
                class
            });
            own.steps.meet(class);
        }
        if !own.steps.open.is_empty() {
            self.execute(parent, own, out);
        }
        if !own.collapse.probed() && !self.look_at_probes(own.collapse.listed(), parent, out) {
            own.collapse.note_probed();
        }
        out.tally.terminal += u64::from(own.steps.is_terminal());
    }

    /// Executes what the collapse does not know of a state, which learns it.
    fn execute(&self, parent: u32, own: &mut Own<'a, M>, out: &mut Expansion) {
        let mut actions = Vec::new();
        self.model.actions(own.collapse.listed(), &mut actions);
        let mut entered = 0;
        for open in std::mem::take(&mut own.steps.open) {
            let number = usize::from(open.action);
            let action = &actions[number];
            let state = own.collapse.listed();
            let Some(after) = self.model.next_state(state, action.clone()) else {
                continue;
            };
            let is_within = self.model.within_boundary(&after);
            let (found, cover) = judged(self.model, state, action, &after, |step| {
                let found = is_within && self.look_at_step(step, number, parent, out);
                (found, self.cover_of_step(step))
            });
            let kind = Some(usize::from(open.kind));
            let class = own.steps.class(kind, cover);
            let lookup = own.collapse.learn(action, &after, class, !found);
            debug_assert_ne!(lookup, Lookup::Unknown);
            entered += usize::from(own.steps.close(open, entered, lookup));
        }
    }
}
