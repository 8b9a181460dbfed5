//! What a block of states leads to, as a shortcut lists it, and what coverage counts of that.

use super::tally::{Cover, Tally};
use super::traits::{Fate, Route};
use rustc_hash::FxHashMap;

/// A successor, known by the way to it.
pub(crate) struct Reached {
    pub fingerprint: u64,
    pub route: Route,
    pub parent: u32,
    pub action: u16,
    pub kind: u16,
}

/// An action that must be executed to find out what becomes of it.
#[derive(Clone, Copy)]
pub(crate) struct Open {
    /// Where its successor belongs among those reached.
    pub place: usize,
    pub action: u16,
    pub kind: u16,
}

/// Where a [`Shortcut`](super::Shortcut) lists what becomes of the actions of states.
#[derive(Default)]
pub struct Steps {
    pub(super) reached: Vec<Reached>,
    /// Of the state being listed.
    pub(crate) open: Vec<Open>,
    /// The state being listed, and how many of its actions have been.
    parent: u32,
    actions: usize,
    pub(super) most_actions: usize,
    /// By kind of action.
    enabled: Vec<u64>,
    /// How often each class was met.
    met: Vec<u64>,
    classes: Classes,
}

/// What is counted of steps and states, each under a number.
#[derive(Default)]
struct Classes {
    numbers: FxHashMap<(Option<usize>, Cover), u32>,
    /// The kind of action, if it is a step, and the cover.
    all: Vec<(Option<usize>, Cover)>,
}

impl Steps {
    /// For actions of so many kinds.
    pub(crate) fn new(kinds: usize) -> Self {
        Steps {
            enabled: vec![0; kinds],
            ..Steps::default()
        }
    }

    /// The next action of the state being listed is of this kind (a position in
    /// [`Checkable::action_kinds`](super::Checkable::action_kinds)), and this becomes of it.
    #[inline(always)]
    pub fn push(&mut self, kind: usize, fate: Fate) {
        let (place, action) = (self.reached.len(), self.actions as u16);
        self.actions += 1;
        self.enabled[kind] += 1;
        match fate {
            Fate::Beyond => {}
            Fate::Unknown => self.open.push(Open {
                place,
                action,
                kind: kind as u16,
            }),
            Fate::Within(fingerprint, route, class) => {
                self.meet(class);
                self.reached.push(Reached {
                    fingerprint,
                    route,
                    parent: self.parent,
                    action,
                    kind: kind as u16,
                });
            }
        }
    }

    pub(crate) fn reached(&self) -> &[Reached] {
        &self.reached
    }

    pub(crate) fn reached_mut(&mut self) -> &mut [Reached] {
        &mut self.reached
    }

    /// How many actions of the state being listed have been.
    #[cfg(test)]
    pub(crate) fn listed(&self) -> usize {
        self.actions
    }

    /// Forgets what the block before led to.
    pub(super) fn clear(&mut self) {
        self.reached.clear();
        self.most_actions = 0;
    }

    /// State number `parent` of the block comes next.
    pub(crate) fn begin(&mut self, parent: u32) {
        self.parent = parent;
        self.actions = 0;
        self.open.clear();
    }

    /// All actions of a state have been listed.
    pub(super) fn end(&mut self) {
        self.most_actions = self.most_actions.max(self.actions);
    }

    /// What became of an action that was executed; `before` are the successors of this state that were
    /// entered behind their places since it was listed.
    pub(super) fn close(&mut self, open: Open, before: usize, fate: Fate) -> bool {
        let Fate::Within(fingerprint, route, class) = fate else {
            return false;
        };
        self.meet(class);
        let reached = Reached {
            fingerprint,
            route,
            parent: self.parent,
            action: open.action,
            kind: open.kind,
        };
        self.reached.insert(open.place + before, reached);
        true
    }

    /// The class of steps of this kind, or of states, with this cover.
    pub(crate) fn class(&mut self, kind: Option<usize>, cover: Cover) -> u32 {
        let classes = &mut self.classes;
        let key = (kind, cover);
        if let Some(number) = classes.numbers.get(&key) {
            return *number;
        }
        let number = classes.all.len() as u32;
        classes.numbers.insert(key.clone(), number);
        classes.all.push(key);
        self.met.push(0);
        number
    }

    /// Class number `class` was met.
    #[inline]
    pub(super) fn meet(&mut self, class: u32) {
        self.met[class as usize] += 1;
    }

    /// Adds what was counted since the last time.
    pub(super) fn count(&mut self, tally: &mut Tally) {
        for ((kind, cover), met) in self.classes.all.iter().zip(&mut self.met) {
            let met = std::mem::take(met);
            tally.cover(cover, met);
            if let Some(kind) = kind {
                tally.fired[*kind] += met;
                tally.generated += met;
            }
        }
        super::tally::add(&mut tally.enabled, &self.enabled);
        self.enabled.fill(0);
    }

    /// Bytes of memory.
    pub(super) fn memory(&self) -> u64 {
        (self.reached.capacity() * size_of::<Reached>()) as u64
    }
}
