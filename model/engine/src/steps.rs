//! The successors of a block of states, as a collapse lists them, and the classes that coverage counts.

use super::tally::{Cover, Tally};
use rustc_hash::FxHashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// The result of looking an action up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lookup {
    /// It must be executed to find out.
    Unknown,
    /// It leads beyond the boundary, or nowhere.
    Beyond,
    /// It leads to the state with this fingerprint, within the boundary, by a step of this class.
    Within(u64, SuccessorKey, u32),
    /// It leads within the boundary, by a step of this class, to a state that was found from a state with a
    /// lower number.
    Known(u32),
}

/// The numbers by which a collapse finds a successor again; they mean something to it alone.
pub type SuccessorKey = [u32; 4];

/// A successor, known by the way to it.
#[derive(Clone, Copy, Debug)]
pub struct Reached {
    /// Its fingerprint.
    pub fingerprint: u64,
    /// The key by which a [`Collapse`](super::Collapse) finds it again. (Without one: where its encoding begins and
    /// ends.)
    pub key: SuccessorKey,
    /// The number of the state in its block.
    pub parent: u32,
    /// The number of the action.
    pub action: u16,
    /// The kind of the action.
    pub kind: u16,
}

/// An action that must be executed to find out what becomes of it.
#[derive(Clone, Copy)]
pub struct Open {
    /// The place of its successor among those reached.
    pub place: usize,
    /// The number of the action.
    pub action: u16,
    /// The kind of the action.
    pub kind: u16,
}

/// The list into which a [`Collapse`](super::Collapse) enters the results of actions.
#[derive(Default)]
pub struct Steps {
    pub(super) reached: Vec<Reached>,
    /// Of the state being listed.
    pub open: Vec<Open>,
    /// The state being listed, and how many of its actions have been.
    parent: u32,
    actions: usize,
    /// The number of them that lead somewhere.
    steps: u32,
    pub(super) most_actions: usize,
    /// By kind of action.
    enabled: Vec<u64>,
    /// The number of times that each class was met. Others may have met classes with higher numbers.
    met: Vec<u64>,
    classes: Arc<Mutex<Classes>>,
}

/// The coverage classes of steps and states, each under a number that is the same in all threads. The number has no
/// meaning: it may depend on the class that comes first.
#[derive(Default)]
struct Classes {
    numbers: FxHashMap<(Option<usize>, Cover), u32>,
    /// The kind of action, if it is a step, and the cover.
    all: Vec<(Option<usize>, Cover)>,
}

fn locked(classes: &Mutex<Classes>) -> MutexGuard<'_, Classes> {
    // A class is either there or not when a thread panics.
    classes.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Classes {
    fn number(&mut self, class: (Option<usize>, Cover)) -> u32 {
        if let Some(number) = self.numbers.get(&class) {
            return *number;
        }
        let number = self.all.len() as u32;
        self.numbers.insert(class.clone(), number);
        self.all.push(class);
        number
    }
}

impl Steps {
    /// Returns an empty list, for actions of `kinds` kinds.
    pub fn new(kinds: usize) -> Self {
        Steps {
            enabled: vec![0; kinds],
            ..Steps::default()
        }
    }

    /// The same for another thread, with the same numbers for classes.
    pub fn fork(&self) -> Self {
        Steps {
            classes: self.classes.clone(),
            ..Steps::new(self.enabled.len())
        }
    }

    /// The next action of the state being listed is of this kind (a position in
    /// [`Checkable::action_kinds`](super::Checkable::action_kinds)), and this becomes of it.
    #[inline(always)]
    pub fn push(&mut self, kind: usize, lookup: Lookup) {
        let (place, action) = (self.reached.len(), self.actions as u16);
        self.actions += 1;
        self.enabled[kind] += 1;
        match lookup {
            Lookup::Beyond => {}
            Lookup::Known(class) => self.step(class),
            Lookup::Unknown => self.open.push(Open {
                place,
                action,
                kind: kind as u16,
            }),
            Lookup::Within(fingerprint, key, class) => {
                self.step(class);
                self.reached.push(Reached {
                    fingerprint,
                    key,
                    parent: self.parent,
                    action,
                    kind: kind as u16,
                });
            }
        }
    }

    /// The successors of the block so far.
    pub fn reached(&self) -> &[Reached] {
        &self.reached
    }

    /// The successors of the block so far, to change them.
    pub fn reached_mut(&mut self) -> &mut [Reached] {
        &mut self.reached
    }

    /// Returns the number of actions of the current state that have been listed.
    pub fn listed(&self) -> usize {
        self.actions
    }

    /// Forgets what the block before led to.
    pub(super) fn clear(&mut self) {
        self.reached.clear();
        self.most_actions = 0;
    }

    /// State number `parent` of the block comes next.
    pub fn begin(&mut self, parent: u32) {
        self.parent = parent;
        self.actions = 0;
        self.steps = 0;
        self.open.clear();
    }

    /// All actions of a state have been listed.
    pub(super) fn end(&mut self) {
        self.most_actions = self.most_actions.max(self.actions);
    }

    /// Enters the result of an action that was executed; `before` are the successors of this state that were entered
    /// behind their places since it was listed.
    pub(super) fn close(&mut self, open: Open, before: usize, lookup: Lookup) -> bool {
        let (fingerprint, key) = match lookup {
            Lookup::Unknown | Lookup::Beyond => return false,
            Lookup::Known(class) => {
                self.step(class);
                return false;
            }
            Lookup::Within(fingerprint, key, class) => {
                self.step(class);
                (fingerprint, key)
            }
        };
        let reached = Reached {
            fingerprint,
            key,
            parent: self.parent,
            action: open.action,
            kind: open.kind,
        };
        self.reached.insert(open.place + before, reached);
        true
    }

    /// The class of steps of this kind, or of states, with this cover.
    pub fn class(&self, kind: Option<usize>, cover: Cover) -> u32 {
        locked(&self.classes).number((kind, cover))
    }

    /// A step of class number `class` is there.
    #[inline]
    fn step(&mut self, class: u32) {
        self.steps += 1;
        self.meet(class);
    }

    /// Whether no action of the state being listed leads anywhere.
    pub(super) fn is_terminal(&self) -> bool {
        self.steps == 0
    }

    /// Class number `class` was met.
    #[inline]
    pub(super) fn meet(&mut self, class: u32) {
        match self.met.get_mut(class as usize) {
            Some(met) => *met += 1,
            None => self.meet_first(class),
        }
    }

    #[cold]
    fn meet_first(&mut self, class: u32) {
        self.met.resize(class as usize + 1, 0);
        self.met[class as usize] = 1;
    }

    /// Adds what was counted since the last time.
    pub(super) fn count(&mut self, tally: &mut Tally) {
        // Who met a class knows its number from the one who gave it: it is there by now.
        let classes = locked(&self.classes);
        for ((kind, cover), met) in classes.all.iter().zip(&mut self.met) {
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

#[cfg(test)]
mod tests {
    use super::*;

    fn pair(pair: u16) -> Cover {
        Cover {
            antecedents: vec![0],
            pairs: vec![pair],
        }
    }

    /// A class has one number, whoever meets it, and counts once for each time it was met.
    #[test]
    fn classes_are_the_same_in_all_threads() {
        let mut one = Steps::new(2);
        let mut other = one.fork();
        let of_state = one.class(None, pair(0));
        let of_step = other.class(Some(1), pair(0));
        assert_ne!(of_state, of_step);
        assert_eq!(other.class(None, pair(0)), of_state);
        assert_eq!(one.class(Some(1), pair(0)), of_step);
        let last = other.class(Some(0), pair(1));
        // It never asked for the number.
        one.meet(last);
        one.meet(of_step);
        other.meet(of_step);
        other.meet(of_state);
        let mut tally = Tally::new(2, 1, 2);
        one.count(&mut tally);
        assert_eq!((&tally.pairs, &tally.fired), (&vec![1, 1], &vec![1, 1]));
        other.count(&mut tally);
        assert_eq!((&tally.pairs, &tally.fired), (&vec![3, 1], &vec![1, 2]));
        assert_eq!((tally.antecedents[0], tally.generated), (4, 3));
        // What was counted is not counted again.
        let counted = tally.clone();
        one.count(&mut tally);
        assert_eq!(tally, counted);
    }
}
