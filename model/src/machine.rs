//! The cluster as a cluster of machines: the specification's server is the machine.

use crate::bounds::Spent;
use crate::cluster::{
    Action, Cluster, ClusterState, LocalEvents, allowed_events, highest_value, value_after,
};
use crate::codec;
use crate::history::History;
use crate::ids::Id;
use crate::message::{Message, Payload};
use crate::network::Network;
use crate::properties::gauge;
use crate::server::Server;
use lockstep_engine::{
    Component, Components, Event, KindSet, Machines, MessageFacts, Replacement, ServerFacts, Shape,
};

impl AsRef<Cluster> for Cluster {
    fn as_ref(&self) -> &Cluster {
        self
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
            local_kinds: Action::LOCAL_EVENTS,
            deliver: Action::Deliver(0).event_number(),
            duplicate: Action::Duplicate(0).event_number(),
            drop: Action::Drop(0).event_number(),
            parametric: KindSet::EMPTY.with(Action::Propose(FIRST).event_number(), true),
            probes: false,
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
                Event::Message(*position as usize, action.event_number())
            }
            Action::Timeout(i)
            | Action::LeaseExpire(i)
            | Action::Heartbeat(i)
            | Action::CheckQuorum(i)
            | Action::Propose(i)
            | Action::Restart(i)
            | Action::ProposeConfChange(i)
            | Action::ProposeOtherConfChange(i)
            | Action::ForgetLeader(i)
            | Action::Compact(i)
            | Action::TransferLeadership(i, _)
            | Action::ReportUnreachable(i, _)
            | Action::ReportSnapshot(i, _, _) => Event::Local(i.slot(), action.event_number()),
        }
    }

    fn parameter(&self, highest: &mut dyn Iterator<Item = u64>) -> u32 {
        let payload = Payload::value(value_after(highest));
        payload.unwrap_or(Payload::EMPTY).code()
    }

    #[inline]
    fn kind_of(&self, number: usize) -> usize {
        KINDS[number]
    }

    fn spend(&self, spent: &Spent, number: usize) -> Spent {
        let mut after = *spent;
        if let Some(kind) = Action::kind_of_number(number) {
            after.spend(kind, &self.bounds);
        }
        after
    }

    fn record(&self, history: &History, after: &Server, committed: u32) -> History {
        let mut history = history.clone();
        history.record(after, committed, self.compacts());
        history
    }
}

/// The first server; what happens does not depend on to whom.
const FIRST: Id = match Id::new(1) {
    Some(id) => id,
    None => panic!("one is not zero"),
};

/// The kind of every event, by its number: those of a server, and then what happens to messages.
const KINDS: [usize; Action::LOCAL_EVENTS + 3] = {
    let (first, peers) = (Action::PLAIN, crate::ids::MAX_SERVERS);
    let mut kinds = [0; Action::LOCAL_EVENTS + 3];
    let mut number = 0;
    while number < kinds.len() {
        kinds[number] = if number < first {
            number
        } else if number < first + peers {
            first
        } else if number < first + 2 * peers {
            first + 1
        } else if number < first + 4 * peers {
            first + 2
        } else {
            first + 3 + number - Action::LOCAL_EVENTS
        };
        number += 1;
    }
    kinds
};

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
        let explored = LocalEvents::that_matter(self, model.as_ref().settings());
        ServerFacts {
            level: highest_value(self),
            gauge: self.term,
            note: self.commit,
            slot: self.id.slot() as u8,
            local: explored.numbers(),
            recorded: History::may_record(self),
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

    fn facts(&self, _: &M) -> MessageFacts {
        let (gauge, more) = gauge(self);
        let names = u64::from(self.from.get()) << 40 | u64::from(self.to.get()) << 32;
        MessageFacts {
            // What messages are ordered by first: sender, recipient, term.
            rank: names | u64::from(self.term),
            least_gauge: self.term.saturating_sub(more),
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
        allowed_events(model.as_ref().bounds(), self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events_and_their_kinds_have_numbers() {
        for (number, kind) in KINDS.into_iter().enumerate() {
            let action = match number.checked_sub(Action::LOCAL_EVENTS) {
                None => Action::local(number, FIRST).expect("an event of a server"),
                Some(0) => Action::Deliver(0),
                Some(1) => Action::Duplicate(0),
                Some(_) => Action::Drop(0),
            };
            assert_eq!((action.event_number(), action.number()), (number, kind));
            assert_eq!(action.kind(), Action::kind_of_number(number));
        }
        assert_eq!(Action::local(Action::LOCAL_EVENTS, FIRST), None);
    }
}
