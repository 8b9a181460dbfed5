//! The cluster as the engines see it: stateright's, and our own.

use crate::canonical::Orbits;
use crate::cluster::{Action, Cluster, ClusterState};
use crate::message::Body;
use crate::properties::ServerStep;
use crate::rule::Rule;
use crate::server::Outbox;
use lockstep_engine::{
    Antecedent, AskShared, Canonical, Checkable, Collapse, Generator, StepProperty, Symmetry,
};
use lockstep_traces::Role;
use stateright::{Model, Property};

impl Model for Cluster {
    type State = ClusterState;
    type Action = Action;

    fn init_states(&self) -> Vec<ClusterState> {
        vec![self.initial()]
    }

    fn actions(&self, state: &ClusterState, actions: &mut Vec<Action>) {
        self.enabled(state, actions);
    }

    fn next_state(&self, state: &ClusterState, action: Action) -> Option<ClusterState> {
        let mut next = state.clone();
        self.advance(&mut next, action, &mut Outbox::new());
        Some(next)
    }

    fn properties(&self) -> Vec<Property<Self>> {
        crate::properties::for_stateright()
    }

    fn within_boundary(&self, state: &ClusterState) -> bool {
        self.is_within(state)
    }
}

const ROLES: [Role; 4] = [
    Role::Follower,
    Role::PreCandidate,
    Role::Candidate,
    Role::Leader,
];

impl Checkable for Cluster {
    fn encode(&self, state: &ClusterState, out: &mut Vec<u8>) {
        state.encode(out);
    }

    fn decode(&self, bytes: &[u8]) -> ClusterState {
        ClusterState::decode(bytes)
    }

    fn identity(&self) -> String {
        format!("raft {:?} {:?}", self.settings, self.bounds)
    }

    fn step_properties(&self) -> Vec<StepProperty<Self>> {
        crate::properties::for_steps()
    }

    fn step_witnesses(&self) -> Vec<StepProperty<Self>> {
        crate::properties::step_witnesses()
    }

    fn antecedents(&self) -> Vec<Antecedent<Self>> {
        crate::properties::antecedents()
    }

    fn judge(
        &self,
        before: &ClusterState,
        action: &Action,
        after: &ClusterState,
        ask: &mut AskShared<'_>,
    ) {
        let shared = crate::properties::shared_conditions();
        match ServerStep::of(self, before, action, after) {
            Some(step) => ask(&|place| (shared[place].condition)(&step)),
            None => ask(&|place| shared[place].otherwise),
        }
    }

    fn collapse(&self, symmetric: bool) -> Option<Box<dyn Collapse<'_, Self> + '_>> {
        let orbits = || {
            let servers = self.settings.servers();
            Box::new(Orbits::new(servers, self.renamings.clone())) as Box<dyn Canonical<Self>>
        };
        Some(Box::new(Generator::new(self, symmetric.then(orbits))))
    }

    fn action_kinds(&self) -> Vec<&'static str> {
        Action::KINDS.to_vec()
    }

    fn action_kind(&self, action: &Action) -> usize {
        action.number()
    }

    fn pairs(&self) -> Vec<String> {
        let pair = |role: Role| Body::NAMES.map(move |body| format!("{role:?} receives {body}"));
        let pairs = ROLES.into_iter().flat_map(pair);
        let rules = explored_rules().map(|rule| format!("rule {}", rule.name()));
        pairs.chain(rules).collect()
    }

    fn meet(&self, state: &ClusterState, action: &Action, met: &mut dyn FnMut(usize)) {
        if let Action::Deliver(position) = action {
            let message = state.message(*position);
            let role = state.servers[message.to.slot()].role;
            if let Some(number) = ROLES.iter().position(|r| *r == role) {
                met(number * Body::NAMES.len() + usize::from(message.body.number()));
            }
        }
        let applied = self.rules(state, *action);
        let first = ROLES.len() * Body::NAMES.len();
        for (number, rule) in explored_rules().enumerate() {
            if applied.contains(rule) {
                met(first + number);
            }
        }
    }
}

/// The rules that a step of a state graph of moderate size can apply: all but `SilentPeerSpared`, which needs the preset
/// `snapshot-silent`.
fn explored_rules() -> impl Iterator<Item = Rule> {
    let rules = Rule::ALL.iter().copied();
    rules.filter(|rule| *rule != Rule::SilentPeerSpared)
}

impl Symmetry for Cluster {
    fn permutations(&self) -> usize {
        let all = ClusterState::renamings(self.settings.servers());
        self.renamings.as_ref().map_or(all, |group| group.len())
    }

    fn permute(&self, state: &ClusterState, permutation: usize) -> ClusterState {
        let number = self
            .renamings
            .as_ref()
            .map_or(permutation, |group| group[permutation]);
        state.renamed(number)
    }

    fn canonical(&self, state: &ClusterState) -> ClusterState {
        state.canonical(self)
    }
}
