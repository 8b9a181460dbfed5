//! The cluster as a cluster of machines: the specification's server is the machine.

use crate::bounds::{Bounds, Kind, Spent};
use crate::cluster::{
    Action, Cluster, ClusterState, LocalEvents, allowed_events, highest_value, is_of, stimulus,
    value_after,
};
use crate::codec;
use crate::history::{Before, History};
use crate::ids::Id;
use crate::message::{Message, Payload};
use crate::network::Network;
use crate::properties::gauge;
use crate::server::{Server, Stimulus};
use crate::settings::Settings;
use lockstep_engine::{
    Component, Components, Event, Happened, KindSet, Machines, MessageFacts, Replacement,
    ServerFacts, Shape,
};

impl AsRef<Cluster> for Cluster {
    fn as_ref(&self) -> &Cluster {
        self
    }
}

impl Cluster {
    /// Translates an event at a server into the stimulus that it takes. The value of a proposal does not matter to
    /// reads.
    pub(crate) fn stimulus_of<'m, M>(
        &self,
        server: &Server,
        happened: Happened<'m, M>,
    ) -> Stimulus<'m>
    where
        M: Machines<Message = Message>,
    {
        let number = match happened {
            Happened::Delivered(message) => return Stimulus::Deliver(message),
            Happened::Local(number, _) => self.numbers.event(number),
        };
        let action = Action::local(number, server.id).unwrap_or(Action::Restart(server.id));
        let value = highest_value(server) + 1;
        let stimulus = stimulus(action, value, self.change(action));
        stimulus.map_or(Stimulus::Restart(0), |(_, stimulus)| stimulus)
    }
}

impl Machines for Cluster {
    type Server = Server;
    type Message = Message;
    type History = History;
    type Budgets = Spent;

    fn shape(&self) -> Shape {
        Shape {
            servers: self.settings.servers(),
            max_in_flight: self.bounds.max_in_flight,
            local_kinds: self.numbers.of(Action::Deliver(0)),
            deliver: self.numbers.of(Action::Deliver(0)),
            duplicate: self.numbers.of(Action::Duplicate(0)),
            drop: self.numbers.of(Action::Drop(0)),
            parametric: KindSet::EMPTY.with(self.numbers.of(Action::Propose(FIRST)), true),
            probes: false,
            records_steps: self.reads(),
        }
    }

    fn server(&self, state: &ClusterState, slot: usize) -> Server {
        state.servers[slot].clone()
    }

    fn components<'s>(&self, state: &'s ClusterState) -> Components<'s, Self> {
        Components {
            messages: state.network.as_slice(),
            history: &state.history,
            budgets: &state.spent,
        }
    }

    fn replace(&self, state: &mut ClusterState, new: Replacement<'_, Self>) {
        for (slot, server) in new.servers {
            state.servers[slot].clone_from(server);
        }
        if let Some(messages) = new.messages {
            state.network = Network::from_sorted(messages.into_iter().cloned());
        }
        if let Some(history) = new.history {
            state.history.clone_from(history);
        }
        state.spent = *new.budgets;
    }

    fn event(&self, action: &Action) -> Event {
        match action {
            Action::Deliver(position) | Action::Duplicate(position) | Action::Drop(position) => {
                Event::Message(*position as usize, self.numbers.of(*action))
            }
            Action::Timeout(i)
            | Action::LeaseExpire(i)
            | Action::Heartbeat(i)
            | Action::CheckQuorum(i)
            | Action::Propose(i)
            | Action::Restart(i)
            | Action::ProposeConfChange(i)
            | Action::ProposeOtherConfChange(i)
            | Action::ReadIndex(i)
            | Action::ReadOtherIndex(i)
            | Action::ForgetLeader(i)
            | Action::Compact(i)
            | Action::TransferLeadership(i, _)
            | Action::ReportUnreachable(i, _)
            | Action::ReportSnapshot(i, _, _)
            | Action::Persist(i)
            | Action::Apply(i)
            | Action::RestartKeeping(i, _) => Event::Local(i.slot(), self.numbers.of(*action)),
        }
    }

    fn parameter(&self, highest: &mut dyn Iterator<Item = u64>) -> u32 {
        let payload = Payload::value(value_after(highest));
        payload.unwrap_or(Payload::EMPTY).code()
    }

    #[inline]
    fn kind_of(&self, number: usize) -> usize {
        self.numbers.kind(number)
    }

    fn spend(&self, spent: &Spent, number: usize) -> Spent {
        let mut after = *spent;
        if let Some(kind) = self.numbers.budget(number) {
            after.spend(kind, &self.bounds);
        }
        after
    }

    fn record(&self, history: &History, after: &Server, before: u32) -> History {
        let mut history = history.clone();
        history.record(after, Before::from_note(before), self.keeps_entries());
        history
    }

    fn record_step(
        &self,
        history: &History,
        step: (&Server, &Server),
        happened: Happened<'_, Self>,
    ) -> History {
        Cluster::record_step(self, history, step, self.stimulus_of(step.0, happened))
    }
}

/// The first server; what happens does not depend on to whom.
const FIRST: Id = match Id::new(1) {
    Some(id) => id,
    None => panic!("one is not zero"),
};

/// The number of events that have a number at all: those of a server, and what happens to messages.
const EVENTS: usize = Action::LOCAL_EVENTS + 3;

/// The numbers that the engine knows the events of a cluster by: those that happen in it, in the order of
/// [`Action::event_number`]. Few of them make short rows of the transition memo.
#[derive(Clone, Copy, Debug)]
pub(crate) struct EventNumbers {
    /// By event number.
    numbers: [u8; EVENTS],
    /// By number: the event number and the kind of action.
    events: [u8; EVENTS],
    kinds: [u8; EVENTS],
}

impl EventNumbers {
    /// The numbers of the events of a cluster with these settings and bounds.
    pub fn new(settings: &Settings, bounds: &Bounds) -> EventNumbers {
        let mut numbers = EventNumbers {
            numbers: [u8::MAX; EVENTS],
            events: [u8::MAX; EVENTS],
            kinds: [u8::MAX; EVENTS],
        };
        let mut count = 0;
        for number in 0..EVENTS {
            let action = event(number);
            let happens = action.kind().is_none_or(|kind| bounds.have(kind));
            let possible = match action {
                Action::ProposeConfChange(_) | Action::ProposeOtherConfChange(_) => true,
                action => is_of(settings, action),
            };
            if happens && possible {
                numbers.numbers[number] = count as u8;
                numbers.events[count] = number as u8;
                numbers.kinds[count] = action.number() as u8;
                count += 1;
            }
        }
        numbers
    }

    /// The number of an action, which must be one of the cluster.
    pub fn of(&self, action: Action) -> usize {
        usize::from(self.numbers[action.event_number()])
    }

    /// The numbers of those events that happen in the cluster.
    fn of_all(&self, events: KindSet) -> KindSet {
        let numbers = events.iter().map(|event| usize::from(self.numbers[event]));
        let numbers = numbers.filter(|number| *number < EVENTS);
        numbers.fold(KindSet::EMPTY, |set, number| set.with(number, true))
    }

    /// The event number that the engine knows by this number.
    fn event(&self, number: usize) -> usize {
        usize::from(self.events[number])
    }

    /// The kind of action of a number.
    #[inline]
    fn kind(&self, number: usize) -> usize {
        usize::from(self.kinds[number])
    }

    /// The budget that the event of a number is counted in.
    fn budget(&self, number: usize) -> Option<Kind> {
        event(usize::from(self.events[number])).kind()
    }
}

/// The event of this number at the first server, or to the first message.
fn event(number: usize) -> Action {
    match number.checked_sub(Action::LOCAL_EVENTS) {
        None => Action::local(number, FIRST).unwrap_or(Action::Restart(FIRST)),
        Some(0) => Action::Deliver(0),
        Some(1) => Action::Duplicate(0),
        Some(_) => Action::Drop(0),
    }
}

// Both the cluster and the cluster [in step](crate::InStep) with something else have these components.

impl<M: AsRef<Cluster>> Component<M> for Server {
    type Facts = ServerFacts;
    const KIND: u64 = 1;

    fn encode(&self, out: &mut Vec<u8>) {
        out.push(self.id.get());
        codec::put_server(self, out);
    }

    fn decode(bytes: &[u8], model: &M) -> Self {
        let id = Id::new(bytes[0]).expect("a server has a name");
        codec::take_server(&bytes[1..], id, model.as_ref().settings().servers())
    }

    fn facts(&self, model: &M) -> ServerFacts {
        let cluster = model.as_ref();
        let explored = LocalEvents::that_matter(self, cluster.settings());
        ServerFacts {
            level: highest_value(self),
            gauge: self.term,
            note: Before::of(self).note(),
            slot: self.id.slot() as u8,
            local: cluster.numbers.of_all(explored.numbers()),
            recorded: History::may_record(self) || cluster.reads(),
            within: model.as_ref().may_be(self),
        }
    }
}

impl<M: AsRef<Cluster>> Component<M> for Message {
    type Facts = MessageFacts;
    const KIND: u64 = 2;

    fn encode(&self, out: &mut Vec<u8>) {
        codec::put_message(self, out);
    }

    fn decode(bytes: &[u8], _: &M) -> Self {
        codec::take_message(bytes)
    }

    fn facts(&self, model: &M) -> MessageFacts {
        let (gauge, more) = gauge(self);
        let bounded = !model.as_ref().settings().is_async;
        let names = u64::from(self.from.get()) << 40 | u64::from(self.to.get()) << 32;
        MessageFacts {
            // What messages are ordered by first: sender, recipient, term.
            rank: names | u64::from(self.term),
            least_gauge: match bounded {
                true => self.term.saturating_sub(more),
                // A crash may take a term back that was told already.
                false => 0,
            },
            gauge: gauge.slot() as u8,
            to: self.to.slot() as u8,
        }
    }
}

impl<M: AsRef<Cluster>> Component<M> for History {
    type Facts = ();
    const KIND: u64 = 3;

    fn encode(&self, out: &mut Vec<u8>) {
        codec::put_history(self, out);
    }

    fn decode(bytes: &[u8], _: &M) -> Self {
        codec::take_history(bytes)
    }

    fn facts(&self, _: &M) {}
}

impl<M: AsRef<Cluster>> Component<M> for Spent {
    type Facts = KindSet;
    const KIND: u64 = 4;

    fn encode(&self, out: &mut Vec<u8>) {
        codec::put_spent(self, out);
    }

    fn decode(bytes: &[u8], _: &M) -> Self {
        codec::take_spent(bytes)
    }

    fn facts(&self, model: &M) -> KindSet {
        let cluster = model.as_ref();
        cluster
            .numbers
            .of_all(allowed_events(cluster.bounds(), self))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Preset;

    #[test]
    fn events_have_numbers() {
        for number in 0..EVENTS {
            assert_eq!(event(number).event_number(), number);
        }
        assert_eq!(Action::local(Action::LOCAL_EVENTS, FIRST), None);
    }

    #[test]
    fn a_cluster_numbers_the_events_that_happen_in_it() {
        let cluster = |name| {
            let preset = Preset::named(name).expect("there is such a preset");
            let settings = Settings::new(&preset.config).expect("presets are sensible");
            Cluster::new(settings, preset.bounds)
        };
        // Six that always happen, and for each of three servers a transfer.
        let restarts = Action::MOST_KEPT;
        for (name, local) in [
            ("smoke", 6),
            ("transfer", 9),
            ("snapshot", 7 + 3 * 3),
            ("async-election", 8 + restarts),
        ] {
            let cluster = cluster(name);
            assert_eq!(cluster.shape().local_kinds, local, "{name}");
            for number in 0..local + 3 {
                let action = event(usize::from(cluster.numbers.events[number]));
                assert_eq!(cluster.numbers.of(action), number);
                assert_eq!(cluster.kind_of(number), action.number());
                assert_eq!(cluster.numbers.budget(number), action.kind());
            }
        }
    }
}
