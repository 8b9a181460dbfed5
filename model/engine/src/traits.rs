//! The interface of a model beyond stateright's [`Model`]: how its states are encoded, which properties its steps have,
//! what makes a property bite, and which symmetries it has.
//!
//! Only three methods of [`Checkable`] must be written; a small model ignores the rest.

use super::frontier::{Packed, States};
use super::steps::{Lookup, Reached, Steps};
use stateright::Model;
use std::sync::Arc;

/// A stateright model whose states can be encoded to bytes, so that this engine can search it.
///
/// The state space, the state properties (`always`, `sometimes`) and the boundary are those of
/// [`Model`]. `eventually` is refused: a search over states, not over paths, cannot decide it
/// ([`SearchError::Eventually`](super::SearchError::Eventually)).
///
/// `init_states` and `actions` must be deterministic and give a fixed order, as stateright requires
/// too: a trace is rebuilt by executing again.
pub trait Checkable: Model {
    /// Appends the encoding of `state` to `out`.
    ///
    /// The encoding must be canonical: two states are equal if, and only if, their encodings are.
    /// The engine knows a state by its encoding alone, so a field that is left out merges states;
    /// the cross-check tests for that.
    fn encode(&self, state: &Self::State, out: &mut Vec<u8>);

    /// The state that [`encode`](Self::encode) turned into `bytes`.
    ///
    /// # Panics
    ///
    /// May panic on bytes that no state encodes to. The engine only hands it what `encode` wrote:
    /// whatever comes back from a disk has passed a checksum first.
    fn decode(&self, bytes: &[u8]) -> Self::State;

    /// One line that names the model with everything that shapes its state space: settings and
    /// bounds. A checkpoint of a model of another identity is refused.
    fn identity(&self) -> String;

    /// Properties of steps, evaluated on every transition that stays within the boundary, also on
    /// those that lead to a state already known.
    fn step_properties(&self) -> Vec<StepProperty<Self>> {
        Vec::new()
    }

    /// Witnesses that are steps: reached by the first transition on which the condition is true. They
    /// are reported together with the `sometimes` properties of [`Model`], which see states only.
    fn step_witnesses(&self) -> Vec<StepProperty<Self>> {
        Vec::new()
    }

    /// For properties of the form "if A then B": the A of each, so that a property which holds
    /// because its A never did is found out. Evaluated only when coverage is asked for.
    fn antecedents(&self) -> Vec<Antecedent<Self>> {
        Vec::new()
    }

    /// Prepares what the [shared conditions](StepCondition::Shared) on a step have in common, and calls `ask` once with
    /// a function that tells whether the one at a place holds. A model whose steps have many properties spares itself
    /// doing the same for each of them; one without shared conditions leaves this as it is.
    ///
    /// # Panics
    ///
    /// The function may panic at a place that no property, witness or antecedent of the model names.
    fn judge(
        &self,
        _before: &Self::State,
        _action: &Self::Action,
        _after: &Self::State,
        ask: &mut AskShared<'_>,
    ) {
        ask(&|place| panic!("the model has no shared condition, and one is asked for at {place}"));
    }

    /// The collapse compression of this model, if it is a [cluster of machines](crate::Machines): a
    /// [`Generator`](crate::Generator). Of representatives if `symmetric`. It changes nothing but the time.
    fn collapse(&self, _symmetric: bool) -> Option<Box<dyn Collapse<'_, Self> + '_>> {
        None
    }

    /// Appends the *probes* of `state`: actions beyond the [actions](Model::actions) that are executed and
    /// evaluated like those, and not followed. An input that must change nothing is one. A probe has a number
    /// behind those of the actions, and no part in the counts of transitions.
    fn probes(&self, _state: &Self::State, _probes: &mut Vec<Self::Action>) {}

    /// Appends what the model has found out while it was searched and cannot do without later, as far as it was
    /// not saved before: it becomes part of a checkpoint. A model whose steps are executed by something that is
    /// not part of its states, such as a running implementation, saves what it asked.
    fn save_answers(&self, _saved: &mut Vec<u8>) {}

    /// Takes over what was saved once, in the same order, before anything is decoded.
    ///
    /// # Errors
    ///
    /// Why the model cannot go on from there; the checkpoint is refused.
    fn load_answers(&self, _saved: &[u8]) -> Result<(), String> {
        Ok(())
    }

    /// The names of the kinds of action. A kind that never fires is a gap in the coverage.
    fn action_kinds(&self) -> Vec<&'static str> {
        vec!["action"]
    }

    /// The kind of `action`, as a position in [`action_kinds`](Self::action_kinds).
    fn action_kind(&self, _action: &Self::Action) -> usize {
        0
    }

    /// The names of what steps can meet, such as "leader receives RequestVote" or a rule of a protocol. What
    /// a pair is, is up to the model; one that is never met is a gap in the coverage.
    fn pairs(&self) -> Vec<String> {
        Vec::new()
    }

    /// Calls `met` with what is met when `action` is taken in `state`, as positions in
    /// [`pairs`](Self::pairs). Evaluated only when coverage is asked for.
    fn meet(&self, _state: &Self::State, _action: &Self::Action, _met: &mut dyn FnMut(usize)) {}
}

/// A store of states in a collapsed form, which remembers enough of the transitions executed to tell the result of
/// others without executing them: typically because the part of a state that an action concerns was the same once
/// before.
///
/// The engine executes what is [`Lookup::Unknown`], evaluates the step properties and witnesses on it if
/// it stays within the boundary, and hands it over to be [learned](Self::learn). What is known
/// afterwards is neither executed nor evaluated again. So whatever a step property, a step witness, the
/// antecedent of either or a pair looks at must be part of what the collapse compares.
///
/// The same goes for the properties, witnesses and antecedents of states: [`all_hold`](Self::all_hold)
/// and [`list`](Self::list) tell whether the questions to a state were settled for another one that cannot
/// be told apart by them.
///
/// What coverage counts is handed over as a *class*, a number that means something to the engine alone
/// (the same in all threads), and handed back wherever the same goes without asking again.
///
/// What one thread found out, those that were [forked](Self::fork) from the same may know at once. The
/// report must not depend on who knew what when, so the engine settles for all only what nothing was found
/// in: no violation, and no witness that is still missing. Of the states where something is found the one
/// that comes first counts, and a thread that is ahead of the others must not keep them from finding it.
pub trait Collapse<'a, M: Checkable>: Send {
    /// One for another thread. Both give the same collapsed form to a state, and the same routes lead to it.
    fn fork(&self) -> Box<dyn Collapse<'a, M> + 'a>;

    /// Appends the collapsed form of `state` (of its representative, with symmetry) to `out`; its
    /// fingerprint. The fingerprint does not depend on what was met before, the collapsed form may.
    fn collapse(&mut self, state: &M::State, out: &mut Vec<u8>) -> u64;

    /// The state that `collapsed` stands for.
    fn restore(&mut self, collapsed: &[u8]) -> &M::State;

    /// Another batch begins: no key given so far is followed any more. To be called on the one that the
    /// others are [forked](Self::fork) from, while no thread is at work with any of them.
    fn begin_batch(&mut self) {}

    /// Memory is short: what can be found out again is forgotten when the next batch begins, and
    /// [`memory`](Self::memory) leaves it out until then. To be called like that.
    fn forget(&mut self) {}

    /// Takes a block of states in their collapsed forms, to list what they lead to; the ones before are
    /// forgotten. Routes from them keep their meaning until the next [batch](Self::begin_batch).
    fn read(&mut self, states: States<'_>);

    /// Lists what becomes of each action in state number `number` of the block, in the order of
    /// [`actions`](Model::actions). The class of the state, if it is settled.
    fn list(&mut self, number: u32, steps: &mut Steps) -> Option<u32>;

    /// The state listed last.
    fn listed(&mut self) -> &M::State;

    /// Executing `action` in the state listed last led to `after`, a step of this class. Its lookup, which
    /// is not [`Lookup::Unknown`]. Unless it is `for_all`, other threads must go on executing it themselves.
    fn learn(&mut self, action: &M::Action, after: &M::State, class: u32, for_all: bool) -> Lookup;

    /// Whether the [probes](Checkable::probes) of the state listed last were evaluated in this thread, here or
    /// in other states whose probes cannot be told apart from these.
    fn probed(&self) -> bool {
        true
    }

    /// The probes of the state listed last were evaluated, and nothing was found.
    fn note_probed(&mut self) {}

    /// Takes a block of states that some thread has [read](Self::read) in this batch, and appends the short
    /// forms of `new` successors of theirs to `out`. States are numbered in the order of blocks and of
    /// `new`, and must be read in the order of their numbers: that is what [`Lookup::Known`] relies on.
    fn write(&mut self, states: States<'_>, new: &[Reached], out: &mut Packed);

    /// Whether it is settled that every property of states holds in number `number` of those written last.
    fn all_hold(&self, number: usize) -> bool;

    /// Settles that every property of states holds in number `number` of those written last.
    fn note_all_hold(&mut self, number: usize);

    /// Settles, for all threads, that the state last listed is of this class, and no witness that is
    /// missing.
    fn note_class(&mut self, class: u32);

    /// Appends what collapsed forms mean, as far as it was not saved before.
    fn save(&mut self, out: &mut Vec<u8>);

    /// Takes over what collapsed forms mean from what was saved, in the same order.
    fn load(&mut self, saved: &[u8]);

    /// Bytes of memory of this one alone, and bytes that are shared by all forks.
    fn memory(&self) -> (u64, u64);
}

/// A model whose states can be permuted without changing what they do: for every permutation `p`,
/// the successors of `p(s)` are the permuted successors of `s`, and every property holds in `p(s)`
/// if it holds in `s`.
pub trait Symmetry: Checkable {
    /// The number of permutations, at least one. Number 0 is the identity.
    fn permutations(&self) -> usize;

    /// `state` under permutation number `permutation` (less than [`permutations`](Self::permutations)).
    fn permute(&self, state: &Self::State, permutation: usize) -> Self::State;

    /// The one representative of everything `state` can be permuted to, itself one of them.
    ///
    /// It must be exact: equal for two states if, and only if, one is a permutation of the other.
    /// (Sorting alone is not: what is left among ties then depends on the order it came in.)
    /// The default takes the smallest encoding over all permutations.
    fn canonical(&self, state: &Self::State) -> Self::State {
        let smallest = (0..self.permutations())
            .map(|permutation| encoded(self, &self.permute(state, permutation)))
            .min()
            .expect("a model has at least the identity as a permutation");
        self.decode(&smallest)
    }

    /// Returns the number of different states that `state` can be permuted to, itself included. The sum over all
    /// representatives is the number of distinct states without symmetry.
    fn orbit_size(&self, state: &Self::State) -> u64 {
        let mut images: Vec<Vec<u8>> = (0..self.permutations())
            .map(|permutation| encoded(self, &self.permute(state, permutation)))
            .collect();
        images.sort_unstable();
        images.dedup();
        images.len() as u64
    }
}

/// A function of a [`Symmetry`] that the engine calls.
pub(super) type StateMap<M, T> = fn(&M, &<M as Model>::State) -> T;

/// The encoding of `state` by itself.
pub fn encoded<M: Checkable>(model: &M, state: &M::State) -> Vec<u8> {
    let mut bytes = Vec::new();
    model.encode(state, &mut bytes);
    bytes
}

/// A condition on a step by itself: given the model, the state before, the action, the state after.
pub type OwnCondition<M> = Arc<
    dyn Fn(&M, &<M as Model>::State, &<M as Model>::Action, &<M as Model>::State) -> bool
        + Send
        + Sync,
>;

/// A receiver of the function that tells of a step whether the shared condition at a place holds on it; see
/// [`Checkable::judge`].
pub type AskShared<'a> = dyn FnMut(&dyn Fn(usize) -> bool) + 'a;

/// The condition of a [`StepProperty`].
pub enum StepCondition<M: Model> {
    /// A condition that is judged by itself.
    Own(OwnCondition<M>),
    /// The condition at this place of a table of the model's own, which [judges](Checkable::judge) a step for all of
    /// them at once.
    Shared(usize),
}

impl<M: Model> Clone for StepCondition<M> {
    fn clone(&self) -> Self {
        match self {
            StepCondition::Own(condition) => StepCondition::Own(Arc::clone(condition)),
            StepCondition::Shared(place) => StepCondition::Shared(*place),
        }
    }
}

/// A step that conditions are asked about.
pub(super) struct Judged<'a, M: Checkable> {
    model: &'a M,
    pub before: &'a M::State,
    pub action: &'a M::Action,
    after: &'a M::State,
    shared: &'a dyn Fn(usize) -> bool,
}

impl<M: Checkable> Judged<'_, M> {
    /// Whether a condition holds on the step.
    pub fn holds(&self, condition: &StepCondition<M>) -> bool {
        match condition {
            StepCondition::Own(holds) => holds(self.model, self.before, self.action, self.after),
            StepCondition::Shared(place) => (self.shared)(*place),
        }
    }
}

/// Hands a step to `look`, prepared once for all the conditions that are asked about it.
pub(super) fn judged<M: Checkable, T>(
    model: &M,
    before: &M::State,
    action: &M::Action,
    after: &M::State,
    look: impl FnOnce(&Judged<'_, M>) -> T,
) -> T {
    let (mut look, mut result) = (Some(look), None);
    model.judge(before, action, after, &mut |shared| {
        let judged = Judged {
            model,
            before,
            action,
            after,
            shared,
        };
        result = look.take().map(|look| look(&judged));
    });
    result.expect("a judge asks once")
}

/// A condition on a state.
pub type StateCondition<M> = Arc<dyn Fn(&M, &<M as Model>::State) -> bool + Send + Sync>;

/// A named property that every transition must have, or, as a witness, that some transition has.
///
/// For a model with a [collapse](Checkable::collapse) it must depend on nothing that the collapse does not compare. A
/// cluster of machines sees to that with a type of its own for what its conditions are given.
pub struct StepProperty<M: Model> {
    /// The name it is reported and selected by.
    pub name: &'static str,
    /// True when the transition has the property.
    pub condition: StepCondition<M>,
}

impl<M: Model> StepProperty<M> {
    /// The step property `name`, with its condition.
    pub fn new(
        name: &'static str,
        condition: impl Fn(&M, &M::State, &M::Action, &M::State) -> bool + Send + Sync + 'static,
    ) -> Self {
        StepProperty {
            name,
            condition: StepCondition::Own(Arc::new(condition)),
        }
    }

    /// The step property `name`, whose condition the model [judges](Checkable::judge) with others.
    pub fn shared(name: &'static str, place: usize) -> Self {
        StepProperty {
            name,
            condition: StepCondition::Shared(place),
        }
    }
}

impl<M: Model> Clone for StepProperty<M> {
    fn clone(&self) -> Self {
        StepProperty {
            name: self.name,
            condition: self.condition.clone(),
        }
    }
}

/// The case in which a property says something at all.
pub struct Antecedent<M: Model> {
    /// The name of the property it belongs to.
    pub property: &'static str,
    /// True where the property is put to the test.
    pub condition: AntecedentCondition<M>,
}

/// The place where an [`Antecedent`] is evaluated.
pub enum AntecedentCondition<M: Model> {
    /// On every distinct state.
    State(StateCondition<M>),
    /// On every transition.
    Step(StepCondition<M>),
}

impl<M: Model> Antecedent<M> {
    /// The antecedent of the state property `property`.
    pub fn state(
        property: &'static str,
        condition: impl Fn(&M, &M::State) -> bool + Send + Sync + 'static,
    ) -> Self {
        Antecedent {
            property,
            condition: AntecedentCondition::State(Arc::new(condition)),
        }
    }

    /// The antecedent of the step property `property`.
    pub fn step(
        property: &'static str,
        condition: impl Fn(&M, &M::State, &M::Action, &M::State) -> bool + Send + Sync + 'static,
    ) -> Self {
        Antecedent {
            property,
            condition: AntecedentCondition::Step(StepCondition::Own(Arc::new(condition))),
        }
    }

    /// The antecedent of the step property `property`, which the model [judges](Checkable::judge) with others.
    pub fn shared(property: &'static str, place: usize) -> Self {
        Antecedent {
            property,
            condition: AntecedentCondition::Step(StepCondition::Shared(place)),
        }
    }
}
