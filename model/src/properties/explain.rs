//! What breaks a property: the parts of a state without which it would hold.
//!
//! Nothing here knows what a property says. A part of the state is put back to what it was before (or at the
//! start, for a part that the last step left alone), and the property is asked again: if it holds now, that part
//! is one of those that break it. So this works for every property, and cannot say anything untrue of one.

use super::{StateProperty, TransitionProperty, state_properties, step_properties};
use crate::cluster::{Action, Cluster, ClusterState};
use crate::history::History;
use crate::ids::IdSet;
use crate::network::Network;
use crate::server::Server;
use lockstep_traces::{Message, ServerId};
use std::panic::{AssertUnwindSafe, catch_unwind};

/// A transition: the state before, the action, the state after.
pub type Taken<'a> = (&'a ClusterState, Action, &'a ClusterState);

/// A property that a state or a transition does not have.
#[derive(Clone, Copy)]
pub enum Violated {
    /// Of the state after a transition, or of the first one.
    State(&'static StateProperty),
    /// Of the transition.
    Step(&'static TransitionProperty),
}

/// A part of a state.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Part {
    /// A field of a server, as views name it; `votes` and `peers` as a whole.
    Field {
        /// The server.
        server: ServerId,
        /// The field.
        field: &'static str,
    },
    /// Who has led a term.
    LeadersOf {
        /// The term.
        term: u32,
        /// All that ever led it.
        leaders: Vec<ServerId>,
    },
    /// A message that is in flight.
    InFlight(Message),
    /// A message that was sent in the step.
    Sent(Message),
}

impl Violated {
    /// The first property that a transition breaks, in the order in which a search looks at them.
    pub fn by_step(cluster: &Cluster, (before, action, after): Taken<'_>) -> Option<Violated> {
        let mut steps = step_properties().iter();
        steps
            .find(|property| !(property.holds)(cluster, before, &action, after))
            .map(Violated::Step)
            .or_else(|| Violated::by_state(cluster, after))
    }

    /// The first property that a state does not have.
    pub fn by_state(cluster: &Cluster, state: &ClusterState) -> Option<Violated> {
        let properties = state_properties().iter();
        let mut properties = properties.filter(|property| !(property.holds)(cluster, state));
        properties.next().map(Violated::State)
    }

    /// The property of that name.
    pub fn named(name: &str) -> Option<Violated> {
        let states = state_properties().iter();
        let mut states = states.filter(|property| property.name == name);
        let mut steps = step_properties()
            .iter()
            .filter(|property| property.name == name);
        let state = states.next().map(Violated::State);
        state.or_else(|| steps.next().map(Violated::Step))
    }

    /// The name of the property.
    pub fn name(self) -> &'static str {
        match self {
            Violated::State(property) => property.name,
            Violated::Step(property) => property.name,
        }
    }

    /// What the property says, and where that is from.
    pub fn source(self) -> &'static str {
        match self {
            Violated::State(property) => property.source,
            Violated::Step(property) => property.source,
        }
    }

    /// The parts of the state after the transition that break it: those without which it would hold. Where
    /// none does so alone, all that the transition changed.
    pub fn culprits(self, cluster: &Cluster, (before, action, after): Taken<'_>) -> Vec<Part> {
        let holds = |state: &ClusterState| {
            let asked = AssertUnwindSafe(|| match self {
                Violated::State(property) => (property.holds)(cluster, state),
                Violated::Step(property) => (property.holds)(cluster, before, &action, state),
            });
            // With one part put back a server may be inconsistent in itself, which properties need not bear.
            catch_unwind(asked).unwrap_or(false)
        };
        let changed = changes(before, after, Part::Sent);
        let of_step = changed
            .iter()
            .map(|part| (part, put_back(part, after, before)));
        let mut culprits: Vec<Part> = of_step
            .filter(|(_, state)| holds(state))
            .map(|(part, _)| part.clone())
            .collect();
        if let Violated::State(_) = self {
            // The other side of the contradiction was there before.
            let start = cluster.initial();
            let others = changes(&start, after, Part::InFlight);
            let others = others.into_iter().filter(|part| {
                let known = changed.iter().any(|it| it.is_same_place(part));
                !known && holds(&put_back(part, after, &start))
            });
            culprits.extend(others);
        }
        if culprits.is_empty() {
            changed
        } else {
            culprits
        }
    }
}

impl Part {
    /// Whether the other one is the same place of a state.
    fn is_same_place(&self, other: &Part) -> bool {
        match (self, other) {
            (Part::Sent(one), Part::InFlight(other)) => one == other,
            (one, other) => one == other,
        }
    }
}

type Field = (
    &'static str,
    fn(&Server, &Server) -> bool,
    fn(&mut Server, &Server),
);

/// The fields of a server: name, whether two agree in it, and how it is taken over from another.
const FIELDS: [Field; 9] = [
    ("role", |a, b| a.role == b.role, |a, b| a.role = b.role),
    ("term", |a, b| a.term == b.term, |a, b| a.term = b.term),
    ("vote", |a, b| a.vote == b.vote, |a, b| a.vote = b.vote),
    (
        "leader",
        |a, b| a.leader == b.leader,
        |a, b| a.leader = b.leader,
    ),
    ("lease", |a, b| a.lease == b.lease, |a, b| a.lease = b.lease),
    ("log", |a, b| a.log == b.log, |a, b| a.log = b.log.clone()),
    (
        "commit",
        |a, b| a.commit == b.commit,
        |a, b| a.commit = b.commit,
    ),
    (
        "votes",
        |a, b| (a.granted, a.refused) == (b.granted, b.refused),
        |a, b| (a.granted, a.refused) = (b.granted, b.refused),
    ),
    (
        "peers",
        |a, b| a.peers == b.peers,
        |a, b| a.peers.clone_from(&b.peers),
    ),
];

/// The parts in which a state differs from another one.
fn changes(from: &ClusterState, to: &ClusterState, message: fn(Message) -> Part) -> Vec<Part> {
    let mut parts = Vec::new();
    for (old, new) in from.servers.iter().zip(&to.servers) {
        let server = ServerId::from(new.id);
        let differs = FIELDS.iter().filter(|(_, same, _)| !same(old, new));
        parts.extend(differs.map(|(field, _, _)| Part::Field { server, field }));
    }
    for (term, leaders) in (1..).zip(to.history.leaders()) {
        if leaders != from.history.leaders_of(term) {
            let leaders = leaders.iter().map(ServerId::from).collect();
            parts.push(Part::LeadersOf { term, leaders });
        }
    }
    let copies = |of: &crate::message::Message| from.network.iter().filter(|it| *it == of).count();
    let more = to.network.distinct();
    let more = more.filter(|(_, it, count)| copies(it) < *count);
    parts.extend(more.map(|(_, it, _)| message(it.into())));
    parts
}

/// The state, with a part as it is in another one.
fn put_back(part: &Part, state: &ClusterState, other: &ClusterState) -> ClusterState {
    let mut state = state.clone();
    match part {
        Part::Field { server, field } => {
            let slot = server.get() as usize - 1;
            let put = FIELDS.iter().filter(|(name, _, _)| name == field);
            put.for_each(|(_, _, put)| put(&mut state.servers[slot], &other.servers[slot]));
        }
        Part::LeadersOf { term, .. } => {
            let slot = *term as usize - 1;
            let leaders = other.history.leaders_of(*term);
            set_leaders(&mut state.history, slot, leaders);
        }
        Part::InFlight(message) | Part::Sent(message) => remove(&mut state.network, message),
    }
    state
}

fn set_leaders(history: &mut History, slot: usize, leaders: IdSet) {
    if slot < history.leaders.len() {
        history.leaders.set(slot, leaders);
    }
}

fn remove(network: &mut Network, message: &Message) {
    let position = network.iter().position(|it| Message::from(it) == *message);
    if let Some(position) = position {
        network.remove(position);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Bounds, Settings};
    use lockstep_traces::{Config, Role};

    fn cluster() -> Cluster {
        let config = Config {
            servers: 3,
            pre_vote: false,
            check_quorum: false,
            one_entry_per_append: false,
            max_inflight: 1,
        };
        Cluster::new(Settings::new(&config).expect("in range"), Bounds::UNLIMITED)
    }

    fn id(number: u64) -> ServerId {
        ServerId::new(number).expect("not zero")
    }

    fn field(server: u64, field: &'static str) -> Part {
        let server = id(server);
        Part::Field { server, field }
    }

    #[test]
    fn a_step_is_blamed_for_what_it_changed_and_for_nothing_else() {
        let cluster = cluster();
        let mut before = cluster.initial();
        before.servers[1].term = 1;
        before.servers[1].vote = Some(before.servers[0].id);
        let mut after = before.clone();
        after.servers[1].vote = Some(before.servers[2].id);
        after.servers[1].leader = Some(before.servers[2].id);
        let taken = (&before, Action::Timeout(before.servers[1].id), &after);
        let violated = Violated::by_step(&cluster, taken).expect("it voted twice");
        assert_eq!(violated.name(), "one_vote_per_term_step");
        assert_eq!(violated.culprits(&cluster, taken), [field(2, "vote")]);
    }

    #[test]
    fn a_contradiction_has_two_sides() {
        let cluster = cluster();
        let mut before = cluster.initial();
        let entry = |term| crate::message::Entry {
            term,
            payload: crate::message::Payload::EMPTY,
        };
        for (slot, term) in [(0, 1), (1, 2)] {
            before.servers[slot].term = 2;
            before.servers[slot].log.push(entry(term));
        }
        before.servers[0].commit = 1;
        let mut after = before.clone();
        after.servers[1].commit = 1;
        let taken = (&before, Action::Heartbeat(before.servers[1].id), &after);
        let violated = Violated::named("state_machine_safety_inv").expect("it exists");
        let culprits = violated.culprits(&cluster, taken);
        for part in [
            field(2, "commit"),
            field(1, "commit"),
            field(1, "log"),
            field(2, "log"),
        ] {
            assert!(culprits.contains(&part), "{part:?} is not in {culprits:?}");
        }
        assert!(!culprits.contains(&field(1, "term")), "{culprits:?}");
    }

    #[test]
    fn history_and_messages_are_parts_too() {
        let cluster = cluster();
        let mut before = cluster.initial();
        let ids: Vec<_> = before.servers.iter().map(|server| server.id).collect();
        before.history.record_leader(1, ids[0]);
        let mut after = before.clone();
        after.history.record_leader(1, ids[1]);
        after.servers[1].role = Role::Follower;
        let taken = (&before, Action::Timeout(ids[1]), &after);
        let violated = Violated::by_state(&cluster, &after).expect("two leaders");
        assert_eq!(violated.name(), "election_safety_inv");
        let leaders = vec![id(1), id(2)];
        assert_eq!(
            violated.culprits(&cluster, taken),
            [Part::LeadersOf { term: 1, leaders }]
        );
    }
}
