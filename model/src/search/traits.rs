//! What a model tells the engine beyond stateright's [`Model`]: how its states are encoded, which
//! properties its steps have, what makes a property bite, and which symmetries it has.
//!
//! Only three methods of [`Checkable`] must be written; a small model ignores the rest.

use stateright::Model;

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

    /// One line that names the model with everything that shapes its state space: settings, bounds,
    /// planted mistakes. A checkpoint of a model of another identity is refused.
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

    /// A quicker way to encoded successors, if the model has one. It changes nothing but the time, and
    /// is not used where coverage is asked for or with symmetry.
    fn shortcut(&self) -> Option<Box<dyn Shortcut<Self> + Send + '_>> {
        None
    }

    /// The names of the kinds of action. A kind that never fires is a gap in the coverage.
    fn action_kinds(&self) -> Vec<&'static str> {
        vec!["action"]
    }

    /// The kind of `action`, as a position in [`action_kinds`](Self::action_kinds).
    fn action_kind(&self, _action: &Self::Action) -> usize {
        0
    }

    /// The names of the pairs that can meet, such as "leader receives RequestVote". What a pair is,
    /// is up to the model; one that is never met is a gap in the coverage.
    fn pairs(&self) -> Vec<String> {
        Vec::new()
    }

    /// The pair that meets when `action` is taken in `state`, as a position in
    /// [`pairs`](Self::pairs); `None` if the action is not about one. Evaluated only when coverage
    /// is asked for.
    fn pair(&self, _state: &Self::State, _action: &Self::Action) -> Option<usize> {
        None
    }
}

/// What remembers enough of the transitions executed to tell the result of others without executing
/// them: typically that the part of a state which an action concerns was the same once before.
///
/// The engine executes a transition, evaluates the step properties and witnesses on it, and, if nothing
/// is to be reported, hands it over to be learned. What is [`known`](Self::known) afterwards is neither
/// executed nor evaluated again. So whatever a step property or step witness looks at must be part of
/// what the shortcut compares.
pub trait Shortcut<M: Model> {
    /// From now on it is about the successors of `state`, which is encoded as `bytes`.
    fn begin(&mut self, state: &M::State, bytes: &[u8]);

    /// Appends the encoding of what `action` leads to, if that is known: `Some(true)` if it is within
    /// the boundary, `Some(false)` (and nothing of use appended) if it is not.
    fn known(
        &mut self,
        state: &M::State,
        bytes: &[u8],
        action: &M::Action,
        out: &mut Vec<u8>,
    ) -> Option<bool>;

    /// `action` led from `state` to `after`, which is within the boundary.
    fn learn(&mut self, state: &M::State, bytes: &[u8], action: &M::Action, after: &M::State);

    /// Bytes of memory.
    fn memory(&self) -> u64;
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

    /// How many different states `state` can be permuted to, itself included. The sum over all
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

/// The encoding of `state` by itself.
pub fn encoded<M: Checkable>(model: &M, state: &M::State) -> Vec<u8> {
    let mut bytes = Vec::new();
    model.encode(state, &mut bytes);
    bytes
}

/// The condition of a [`StepProperty`]: given the model, the state before, the action, the state after.
pub type StepCondition<M> =
    fn(&M, &<M as Model>::State, &<M as Model>::Action, &<M as Model>::State) -> bool;

/// A named property that every transition must have, or, as a witness, that some transition has.
pub struct StepProperty<M: Model> {
    /// The name it is reported and selected by.
    pub name: &'static str,
    /// True when the transition has the property.
    pub condition: StepCondition<M>,
}

impl<M: Model> StepProperty<M> {
    /// The step property `name`, with its condition.
    pub fn new(name: &'static str, condition: StepCondition<M>) -> Self {
        StepProperty { name, condition }
    }
}

impl<M: Model> Clone for StepProperty<M> {
    fn clone(&self) -> Self {
        StepProperty {
            name: self.name,
            condition: self.condition,
        }
    }
}

/// When a property says something at all.
pub struct Antecedent<M: Model> {
    /// The name of the property it belongs to.
    pub property: &'static str,
    /// True where the property is put to the test.
    pub condition: AntecedentCondition<M>,
}

/// Where an [`Antecedent`] is evaluated.
pub enum AntecedentCondition<M: Model> {
    /// On every distinct state.
    State(fn(&M, &M::State) -> bool),
    /// On every transition.
    Step(StepCondition<M>),
}

impl<M: Model> Antecedent<M> {
    /// The antecedent of the state property `property`.
    pub fn state(property: &'static str, condition: fn(&M, &M::State) -> bool) -> Self {
        Antecedent {
            property,
            condition: AntecedentCondition::State(condition),
        }
    }

    /// The antecedent of the step property `property`.
    pub fn step(property: &'static str, condition: StepCondition<M>) -> Self {
        Antecedent {
            property,
            condition: AntecedentCondition::Step(condition),
        }
    }
}
