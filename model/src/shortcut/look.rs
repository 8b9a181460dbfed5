//! What the actions of a state lead to, looked up.

use super::log::Input;
use super::moves::{Moves, Standing, UNKNOWN};
use super::short::{Tables, View};
use super::{COPIES, NO_MESSAGE, PROPOSAL, fingerprint};
use crate::bounds::Kind;
use crate::cluster::{Action, Cluster, value_after};
use crate::message::Payload;
use lockstep_engine::{Fate, Steps};

/// A state, and what is needed to tell what its actions lead to.
pub(super) struct Look<'q> {
    pub cluster: &'q Cluster,
    pub tables: &'q mut Tables,
    pub moves: &'q mut Moves,
    pub copies: [Option<u32>; 2],
    pub at: View<'q>,
    /// By position of the message.
    pub deliveries: &'q [u32],
    /// The sum of the hashes of its parts.
    pub sum: u128,
}

impl Look<'_> {
    /// Lists what becomes of every action, in the order of [`list_actions`](crate::cluster::list_actions).
    #[inline]
    pub fn list(&mut self, steps: &mut Steps) {
        let at = self.at;
        let allowed = self.tables.spents.facts(at.spent()).allowed;
        for (slot, server) in at.servers.iter().enumerate() {
            let events = self.tables.servers.facts(*server).events;
            events.list(allowed, |kind| {
                steps.push(kind as usize, self.event(slot, kind));
            });
        }
        let duplicate = allowed.contains(Kind::Duplicate);
        let drop = allowed.contains(Kind::Drop);
        let mut before = NO_MESSAGE;
        for (position, message) in at.messages.iter().enumerate() {
            if std::mem::replace(&mut before, *message) == *message {
                continue;
            }
            steps.push(Action::Deliver(0).number(), self.delivery(position));
            if duplicate {
                steps.push(Action::Duplicate(0).number(), self.copies(position, 2));
            }
            if drop {
                steps.push(Action::Drop(0).number(), self.copies(position, 0));
            }
        }
    }

    /// What becomes of `action`.
    pub fn fate(&mut self, action: Action) -> Fate {
        match action {
            Action::Deliver(position) => self.delivery(position as usize),
            Action::Duplicate(position) => self.copies(position as usize, 2),
            Action::Drop(position) => self.copies(position as usize, 0),
            local => match local.at_server() {
                Some((i, kind)) => self.event(i.slot(), kind),
                None => Fate::Unknown,
            },
        }
    }

    /// The number of what is spent after an event of this kind, and what that changes in the sum.
    #[inline]
    fn spent_after(&self, kind: Kind) -> (u32, u128) {
        let after = &self.tables.spents.facts(self.at.spent()).after;
        after
            .as_ref()
            .map_or((self.at.spent(), 0), |after| after[kind as usize])
    }

    /// The input that an event without a message is.
    #[inline]
    pub fn input(&self, kind: Kind) -> Input {
        match kind {
            Kind::Propose => {
                let servers = self.at.servers.iter();
                let value = value_after(
                    servers.map(|number| self.tables.servers.facts(*number).highest_value),
                );
                let payload = Payload::value(value).unwrap_or(Payload::EMPTY);
                Input::Proposal(payload.code())
            }
            kind => Input::Event(kind),
        }
    }

    /// What becomes of an event without a message.
    #[inline(always)]
    fn event(&mut self, slot: usize, kind: Kind) -> Fate {
        let server = self.at.servers[slot];
        let input = self.moves.input(slot, self.input(kind));
        let place = self.find(server, input);
        let (spent, change) = self.spent_after(kind);
        let sum = self.sum.wrapping_add(change);
        if kind == Kind::Propose {
            return self.moved(server, place, PROPOSAL, spent, sum, false);
        }
        let asleep = self.at.asleep().server(slot);
        self.moved(server, place, NO_MESSAGE, spent, sum, asleep)
    }

    /// Where the move of server number `server` on `input` is.
    #[inline(always)]
    fn find(&mut self, server: u32, input: u32) -> u32 {
        match self.moves.find(server, input) {
            // Another thread may have made it since.
            UNKNOWN => self
                .moves
                .find_again((server, input), self.tables, self.cluster),
            place => place,
        }
    }

    /// What becomes of the delivery of the message at `position`.
    #[inline(always)]
    fn delivery(&mut self, position: usize) -> Fate {
        let message = self.at.messages[position];
        let server = self.at.servers[usize::from(self.tables.messages.facts(message).to)];
        let mut place = self.deliveries[position];
        if place == UNKNOWN {
            // It may have been made since.
            place = self.find(server, self.moves.delivery(message));
        }
        let asleep = self.at.asleep().message(position);
        self.moved(server, place, message, self.at.spent(), self.sum, asleep)
    }

    /// What becomes of a message of which there will be so many copies for one.
    #[inline]
    fn copies(&mut self, position: usize, copies: usize) -> Fate {
        let Some(class) = self.copies[copies / 2] else {
            return Fate::Unknown;
        };
        if !self.cluster.has_room(self.at.messages.len() + copies - 1) {
            return Fate::Beyond;
        }
        let asleep = self.at.asleep();
        if asleep.message(position)
            && self
                .cluster
                .has_room(self.at.messages.len() + asleep.more() + copies - 1)
        {
            return Fate::Known(class);
        }
        let (spent, change) = self.spent_after(if copies == 0 {
            Kind::Drop
        } else {
            Kind::Duplicate
        });
        let sum = self.sum.wrapping_add(change);
        let hash = self.tables.messages.hash(self.at.messages[position]);
        let sum = match copies {
            0 => sum.wrapping_sub(hash),
            _ => sum.wrapping_add(hash),
        };
        let route = [COPIES, spent, position as u32, copies as u32];
        Fate::Within(fingerprint(sum), route, class)
    }

    /// What becomes of a move of server number `server`; `sum` is that of the state but for what the move changes.
    #[inline(always)]
    fn moved(
        &mut self,
        server: u32,
        place: u32,
        delivered: u32,
        spent: u32,
        sum: u128,
        asleep: bool,
    ) -> Fate {
        if place == UNKNOWN {
            return Fate::Unknown;
        }
        let moved = self.moves.get(place);
        let in_flight = self.at.messages.len() - usize::from(delivered < PROPOSAL);
        let in_flight = in_flight + moved.sent_len();
        if moved.standing == Standing::Beyond || !self.cluster.has_room(in_flight) {
            return Fate::Beyond;
        }
        if moved.standing == Standing::Unevaluated {
            return Fate::Unknown;
        }
        let class = moved.class;
        let asleep = asleep && self.cluster.has_room(in_flight + self.at.asleep().more());
        if asleep && !moved.leads {
            return Fate::Known(class);
        }
        let mut sum = sum.wrapping_add(moved.change);
        let mut history = self.at.history();
        if moved.leads {
            let (tables, cluster) = (&mut *self.tables, self.cluster);
            history = self
                .moves
                .history_after(place, server, history, tables, cluster);
            if asleep && history == self.at.history() {
                return Fate::Known(class);
            }
            let hash = |number| self.tables.histories.hash(number);
            sum = sum
                .wrapping_sub(hash(self.at.history()))
                .wrapping_add(hash(history));
        }
        Fate::Within(fingerprint(sum), [place, spent, history, delivered], class)
    }
}
