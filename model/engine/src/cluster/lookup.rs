//! The successor generator of one state: what its actions lead to, looked up.

use super::collapsed::{Tables, View};
use super::keys::{COPIES, NO_MESSAGE, PARAMETRIC, fingerprint};
use super::log::{Context, Input};
use super::machines::{Event, Machines, Shape};
use super::memo::{Memo, UNKNOWN};
use crate::steps::{Lookup, Steps};

/// A state, and what is needed to tell what its actions lead to.
pub(super) struct Lookups<'q, M: Machines> {
    pub model: &'q M,
    pub shape: Shape,
    pub tables: &'q mut Tables<M>,
    pub memo: &'q mut Memo,
    pub copies: [Option<u32>; 2],
    pub at: View<'q>,
    /// By position of the message.
    pub deliveries: &'q [u32],
    /// The sum of the hashes of its parts.
    pub sum: u128,
}

impl<M: Machines> Lookups<'_, M> {
    /// Lists what becomes of every action, in the order of [actions](stateright::Model::actions).
    #[inline]
    pub fn list(&mut self, steps: &mut Steps) {
        let at = self.at;
        let allowed = self.tables.allowed(at.budgets());
        for (slot, server) in at.servers.iter().enumerate() {
            let enabled = self.tables.servers.facts(*server).local.and(allowed);
            enabled.iter().for_each(|kind| {
                let lookup = self.local(slot, kind);
                steps.push(self.model.kind_of(kind), lookup);
            });
        }
        let Shape {
            deliver,
            duplicate,
            drop,
            ..
        } = self.shape;
        let duplicates = allowed.contains(duplicate);
        let drops = allowed.contains(drop);
        let mut before = NO_MESSAGE;
        for (position, message) in at.messages.iter().enumerate() {
            if std::mem::replace(&mut before, *message) == *message {
                continue;
            }
            steps.push(self.model.kind_of(deliver), self.delivery(position));
            if duplicates {
                steps.push(self.model.kind_of(duplicate), self.copies(position, 2));
            }
            if drops {
                steps.push(self.model.kind_of(drop), self.copies(position, 0));
            }
        }
    }

    /// Looks `event` up.
    pub fn lookup(&mut self, event: Event) -> Lookup {
        match event {
            Event::Local(slot, kind) => self.local(slot, kind),
            Event::Message(position, kind) if kind == self.shape.duplicate => {
                self.copies(position, 2)
            }
            Event::Message(position, kind) if kind == self.shape.drop => self.copies(position, 0),
            Event::Message(position, _) => self.delivery(position),
        }
    }

    /// The id of what is spent after an event of this kind, and what that changes in the hash.
    #[inline]
    fn spent_after(&self, kind: usize) -> (u32, u128) {
        self.tables.spend(self.at.budgets(), kind)
    }

    /// The input that a local event is.
    #[inline]
    pub fn input(&self, kind: usize) -> Input {
        if !self.shape.parametric.contains(kind) {
            return Input::Local(kind);
        }
        let servers = self.at.servers.iter();
        let mut levels = servers.map(|id| self.tables.servers.facts(*id).level);
        Input::Parametric(kind, self.model.parameter(&mut levels))
    }

    /// Looks a local event up.
    #[inline(always)]
    fn local(&mut self, slot: usize, kind: usize) -> Lookup {
        let server = self.at.servers[slot];
        let input = self.memo.input(slot, self.input(kind));
        let place = self.find(server, input);
        let (spent, change) = self.spent_after(kind);
        let sum = self.sum.wrapping_add(change);
        if self.shape.parametric.contains(kind) {
            return self.moved(server, place, PARAMETRIC, spent, sum, false);
        }
        let asleep = self.at.asleep().server(slot);
        self.moved(server, place, NO_MESSAGE, spent, sum, asleep)
    }

    /// Finds the step of server number `server` on `input`.
    #[inline(always)]
    fn find(&mut self, server: u32, input: u32) -> u32 {
        match self.memo.find(server, input) {
            // Another thread may have executed it since.
            UNKNOWN => self
                .memo
                .find_again((server, input), self.tables, self.model),
            place => place,
        }
    }

    /// Looks up the delivery of the message at `position`.
    #[inline(always)]
    fn delivery(&mut self, position: usize) -> Lookup {
        let message = self.at.messages[position];
        let server = self.at.servers[usize::from(self.tables.messages.facts(message).to)];
        let mut place = self.deliveries[position];
        if place == UNKNOWN {
            // It may have been executed since.
            place = self.find(server, self.memo.delivery(message));
        }
        let asleep = self.at.asleep().message(position);
        self.moved(server, place, message, self.at.budgets(), self.sum, asleep)
    }

    /// Applies a loss (`copies` = 0) or duplication (`copies` = 2) of a message.
    #[inline]
    fn copies(&mut self, position: usize, copies: usize) -> Lookup {
        let Some(class) = self.copies[copies / 2] else {
            return Lookup::Unknown;
        };
        if !self.has_room(self.at.messages.len() + copies - 1) {
            return Lookup::Beyond;
        }
        let asleep = self.at.asleep();
        if asleep.message(position)
            && self.has_room(self.at.messages.len() + asleep.more() + copies - 1)
        {
            return Lookup::Known(class);
        }
        let (spent, change) = self.spent_after(if copies == 0 {
            self.shape.drop
        } else {
            self.shape.duplicate
        });
        let sum = self.sum.wrapping_add(change);
        let hash = self.tables.messages.hash(self.at.messages[position]);
        let sum = match copies {
            0 => sum.wrapping_sub(hash),
            _ => sum.wrapping_add(hash),
        };
        let route = [COPIES, spent, position as u32, copies as u32];
        Lookup::Within(fingerprint(sum), route, class)
    }

    /// Whether this many messages may be in flight.
    #[inline]
    fn has_room(&self, in_flight: usize) -> bool {
        in_flight <= self.shape.max_in_flight
    }

    /// Looks up a step of server number `server`; `sum` is that of the state but for what the step changes.
    #[inline(always)]
    fn moved(
        &mut self,
        server: u32,
        place: u32,
        delivered: u32,
        spent: u32,
        sum: u128,
        asleep: bool,
    ) -> Lookup {
        if place == UNKNOWN {
            return Lookup::Unknown;
        }
        let effect = self.memo.get(place);
        let in_flight = self.at.messages.len() - usize::from(delivered < PARAMETRIC);
        let in_flight = in_flight + effect.sent_len();
        if effect.context == Context::Beyond || !self.has_room(in_flight) {
            return Lookup::Beyond;
        }
        if effect.context == Context::Unevaluated {
            return Lookup::Unknown;
        }
        let class = effect.class;
        let asleep = asleep && self.has_room(in_flight + self.at.asleep().more());
        if asleep && !effect.recorded {
            return Lookup::Known(class);
        }
        let mut sum = sum.wrapping_add(effect.change);
        let mut history = self.at.history();
        if effect.recorded {
            let (tables, model) = (&mut *self.tables, self.model);
            history = self
                .memo
                .history_after(place, server, history, tables, model);
            if asleep && history == self.at.history() {
                return Lookup::Known(class);
            }
            let hash = |number| self.tables.histories.hash(number);
            sum = sum
                .wrapping_sub(hash(self.at.history()))
                .wrapping_add(hash(history));
        }
        Lookup::Within(fingerprint(sum), [place, spent, history, delivered], class)
    }
}
