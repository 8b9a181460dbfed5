//! One property on one step that was seen from outside: in a trace, or at an implementation.

use super::{StateProperty, TransitionProperty, state_properties, step_properties};
use crate::bounds::{Bounds, Spent, Timing};
use crate::cluster::{Action, Cluster, ClusterState, stimulus};
use crate::history::{Answered, Asked, Clocks, History, ReadHistory, ReadStep};
use crate::ids::Id;
use crate::message::{Message, read_context};
use crate::network::Network;
use crate::server::{Server, Stimulus};
use crate::settings::Settings;
use lockstep_traces as vocabulary;
use lockstep_traces::{Entry, Index, Input, NodeView, Outcome, Role, ServerId, Term};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// A history has a place for each term: a trace with more is judged by nobody.
const MOST_TERMS: u32 = 1 << 16;

/// A step of a run, with all that a property can ask about it. It is data: a value can be exchanged for another
/// one, and the property asked again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Taken {
    /// Every server before the step, in order of names.
    pub before: Vec<NodeView>,
    /// The server that moves.
    pub server: ServerId,
    /// Its input.
    pub input: Input,
    /// Every server afterwards.
    pub after: Vec<NodeView>,
    /// The messages in flight before the step, the one that is delivered among them.
    pub in_flight: Vec<vocabulary::Message>,
    /// The messages that the step sent.
    pub sent: Vec<vocabulary::Message>,
    /// The leaders of each term, this step included.
    pub leaders: BTreeMap<Term, BTreeSet<ServerId>>,
    /// The first term that a server led twice, with a crash in between that took it back, this step included.
    pub led_twice: Option<Term>,
    /// For each index, from index one on, the term in which a leader first committed it.
    pub committed_in: Vec<Term>,
    /// For each index, from index one on, the entry that any server first committed there, and the term of that
    /// server.
    pub committed: Vec<(Entry, Term)>,
    /// The promise to each client that reads, when it first asked: its server, its context, and the highest index that
    /// any leader had committed then.
    pub asked: Vec<(ServerId, u64, Index)>,
    /// The reads that were answered to clients of the server that moves.
    pub read_states: Vec<vocabulary::ReadState>,
    /// The events of clocks before the step.
    pub clocks: RunClocks,
}

/// The clocks of a run so far, where reads are answered by lease: what is supposed of them, and whether the run has kept to it. Of
/// reads after it has not, nothing is said ([`Timing`]).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RunClocks {
    timing: Timing,
    clocks: Clocks,
    /// The highest term that has had a leader.
    led: u32,
}

impl RunClocks {
    /// Before the first step.
    pub fn new(timing: Timing) -> RunClocks {
        RunClocks {
            timing,
            ..RunClocks::default()
        }
    }

    /// Whether something is supposed of clocks, and the run has kept to it.
    fn hold(&self) -> bool {
        self.timing != Timing::Free && !self.clocks.broken
    }

    fn note(&mut self, before: &ClusterState, action: Action, after: &ClusterState, slot: usize) {
        let (i, next) = (&before.servers[slot], &after.servers[slot]);
        let message = match action {
            Action::Deliver(position) => before.network.iter().nth(position as usize),
            _ => None,
        };
        let local = || Some(stimulus(action, 0, Default::default())?.1);
        if let Some(stimulus) = message.map(Stimulus::Deliver).or_else(local) {
            let step = ReadStep {
                before: i,
                after: next,
                stimulus,
                outcome: Outcome::Accepted,
                answers: &[],
            };
            self.clocks.note(self.timing, &step, self.led);
        }
        if next.role == Role::Leader {
            self.led = self.led.max(next.term);
        }
    }
}

/// A property of the specification by its name.
#[derive(Clone, Copy)]
pub enum NamedProperty {
    /// Of the state after a step.
    State(&'static StateProperty),
    /// Of the step.
    Step(&'static TransitionProperty),
}

impl NamedProperty {
    /// The property of that name.
    pub fn find(name: &str) -> Option<NamedProperty> {
        let state = state_properties().iter().find(|it| it.name == name);
        let step = || step_properties().iter().find(|it| it.name == name);
        state
            .map(NamedProperty::State)
            .or_else(|| step().map(NamedProperty::Step))
    }

    /// Its name.
    pub fn name(self) -> &'static str {
        match self {
            NamedProperty::State(property) => property.name,
            NamedProperty::Step(property) => property.name,
        }
    }

    /// Its statement, with the source.
    pub fn source(self) -> &'static str {
        match self {
            NamedProperty::State(property) => property.source,
            NamedProperty::Step(property) => property.source,
        }
    }

    /// Evaluates the property on a step; `None` if what was seen is no state of the specification.
    pub fn holds(self, settings: &Settings, taken: &Taken) -> Option<bool> {
        let mut cluster = Cluster::new(*settings, Bounds::UNLIMITED);
        cluster.bounds.timing = taken.clocks.timing;
        if let Input::ProposeConfChange(change) = &taken.input {
            cluster.bounds.changes[0].0 = change.try_into().ok()?;
        }
        let (before, action, after) = taken.states(settings)?;
        Some(match self {
            NamedProperty::State(property) => property.holds(&cluster, &after),
            NamedProperty::Step(property) => property.holds(&cluster, &before, &action, &after),
        })
    }
}

impl Taken {
    /// Whether every server is consistent in itself, before and afterwards.
    pub fn is_consistent(&self, settings: &Settings) -> bool {
        let consistent = |state: ClusterState| {
            let mut servers = state.servers.iter();
            servers.all(|server| server.check(settings).is_ok())
        };
        self.states(settings)
            .is_some_and(|(before, _, after)| consistent(before) && consistent(after))
    }

    /// The clocks after the step; as before it if what was seen is no state of the specification.
    pub fn clocks_after(&self, settings: &Settings) -> RunClocks {
        let mut clocks = self.clocks;
        if clocks.timing != Timing::Free
            && let Some((before, action, after)) = self.states(settings)
            && let Ok(i) = Id::try_from(self.server)
        {
            clocks.note(&before, action, &after, i.slot());
        }
        clocks
    }

    /// Whether something is supposed of clocks, and the run has kept to it, this step included; false as well if what was
    /// seen is no state of the specification.
    pub fn keeps_clocks(&self, settings: &Settings) -> bool {
        self.clocks_after(settings).hold()
    }

    fn states(&self, settings: &Settings) -> Option<(ClusterState, Action, ClusterState)> {
        let mut in_flight: Network = messages(&self.in_flight)?.into_iter().collect();
        let before = self.state(settings, &self.before, in_flight.clone())?;
        let i = Id::try_from(self.server).ok()?;
        let action = match &self.input {
            Input::Deliver(message) => {
                let message = Message::try_from(message).ok()?;
                let position = in_flight.iter().position(|it| *it == message)?;
                in_flight.remove(position);
                Action::Deliver(u32::try_from(position).ok()?)
            }
            input => Action::of_input(i, input)?,
        };
        for message in messages(&self.sent)? {
            in_flight.insert(message);
        }
        let mut after = self.state(settings, &self.after, in_flight)?;
        let mut reads = ReadHistory::default();
        for (server, context, least) in &self.asked {
            reads.ask(Asked {
                server: Id::try_from(*server).ok()?,
                context: read_context(*context)?,
                least: u32::try_from(least.0).ok()?,
            });
        }
        for state in &self.read_states {
            let state = state.try_into().ok()?;
            reads.answered.push(Answered { server: i, state });
        }
        let mut clocks = self.clocks;
        clocks.note(&before, action, &after, i.slot());
        reads.clocks = clocks.clocks;
        if reads != ReadHistory::default() {
            after.history.reads = Some(Arc::new(reads));
        }
        Some((before, action, after))
    }

    fn state(
        &self,
        settings: &Settings,
        views: &[NodeView],
        network: Network,
    ) -> Option<ClusterState> {
        let servers = settings.ids().zip(views);
        let servers = servers.map(|(id, view)| Server::from_view(settings, id.into(), view));
        let mut history = History::default();
        for (term, leaders) in &self.leaders {
            let term = u32::try_from(term.0).ok().filter(|it| *it < MOST_TERMS)?;
            for leader in leaders {
                history.record_leader(term, Id::try_from(*leader).ok()?);
            }
        }
        for (index, term) in (1..).zip(&self.committed_in) {
            history.record_commit(index, u32::try_from(term.0).ok()?);
        }
        history.led_twice = u32::try_from(self.led_twice.unwrap_or_default().0).ok()?;
        // Kept for every index that a leader committed, or for none.
        let entries = self.committed.iter().zip(&self.committed_in);
        for ((entry, _), _) in entries {
            history.committed.push(entry.try_into().ok()?);
        }
        if history.committed.len() < history.committed_in.len() {
            history.committed = Default::default();
        }
        Some(ClusterState {
            servers: servers.collect::<Option<_>>()?,
            network,
            history,
            spent: Spent::default(),
        })
    }
}

fn messages(messages: &[vocabulary::Message]) -> Option<Vec<Message>> {
    let messages = messages.iter().map(|it| Message::try_from(it).ok());
    messages.collect()
}
