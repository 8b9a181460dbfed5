//! The orders in which servers take turns: every cyclic order, and everybody first.

use crate::ids::{Id, MAX_SERVERS};
use arrayvec::ArrayVec;

/// An order of servers.
type Order = ArrayVec<Id, MAX_SERVERS>;

/// All orders of some servers, and the positions in a schedule that follows one.
///
/// In a schedule the timer of each server fires once in its turn. That is a lock-step which may split votes for ever: a
/// server whose request does not reach another takes the term in which that one campaigns next. Randomised timeouts are
/// there to break it (paper, section 5.2). So there are more schedules for each order: one in which each timer fires
/// twice in a row, and one for each server in which its timer alone does.
#[derive(Clone, Debug)]
pub(super) struct Orders {
    servers: usize,
    orders: Vec<Order>,
    /// For each order and each slot the order with the server in that slot first.
    first: Vec<[u8; MAX_SERVERS]>,
    /// The same with that server last.
    last: Vec<[u8; MAX_SERVERS]>,
}

impl Orders {
    pub fn new(servers: usize) -> Orders {
        let mut orders = vec![Order::new()];
        for slot in 0..servers {
            let id = Id::from_slot(slot);
            let longer = orders.iter().flat_map(|order| {
                (0..=order.len()).map(|place| {
                    let mut longer = order.clone();
                    longer.insert(place, id);
                    longer
                })
            });
            orders = longer.collect();
        }
        orders.sort_unstable();
        let turned = |more: usize| {
            let turned = orders.iter().map(|order| {
                let mut numbers = [0; MAX_SERVERS];
                for (place, id) in order.iter().enumerate() {
                    let mut turned = order.clone();
                    turned.rotate_left(place + more);
                    let number = orders.binary_search(&turned);
                    // At most 120 orders.
                    numbers[id.slot()] =
                        number.unwrap_or_else(|_| unreachable!("it is an order")) as u8;
                }
                numbers
            });
            turned.collect()
        };
        let (first, last) = (turned(0), turned(1));
        Orders {
            servers,
            orders,
            first,
            last,
        }
    }

    /// The number of orders.
    pub fn len(&self) -> usize {
        self.orders.len()
    }

    /// The number of positions.
    pub fn positions(&self) -> usize {
        2 * (2 + self.servers) * self.len()
    }

    /// The position at the beginning of an order in which timers fire once.
    pub fn once(&self, order: usize) -> usize {
        order
    }

    /// The positions at the beginning of an order in which timers fire twice in a row: all of them, or that of one server.
    pub fn uneven(&self, order: usize) -> impl Iterator<Item = usize> + use<> {
        let step = 2 * self.len();
        (0..1 + self.servers).map(move |kind| (1 + kind) * step + order)
    }

    /// The order of a position: who comes first, and so on.
    pub fn order(&self, position: usize) -> &[Id] {
        &self.orders[position % self.len()]
    }

    /// The position after the timer of a server has fired.
    pub fn after(&self, position: usize, fired: Id) -> usize {
        let (pace, order) = (position / self.len(), position % self.len());
        let (kind, had_one) = (pace / 2, pace % 2 == 1);
        let first = usize::from(self.first[order][fired.slot()]);
        let last = usize::from(self.last[order][fired.slot()]);
        let two_in_a_row = match kind {
            0 => false,
            1 => true,
            alone => alone - 2 == fired.slot(),
        };
        // Whoever had one comes first.
        let was_second = had_one && first == order;
        match two_in_a_row && !was_second {
            true => (2 * kind + 1) * self.len() + first,
            false => 2 * kind * self.len() + last,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_turn_passes_to_the_next_in_the_same_cyclic_order() {
        let orders = Orders::new(3);
        assert_eq!(orders.len(), 6);
        let [one, two, three] = [0, 1, 2].map(Id::from_slot);
        assert_eq!(orders.order(0), [one, two, three]);
        assert_eq!(orders.order(orders.after(0, one)), [two, three, one]);
        assert_eq!(orders.order(orders.after(0, two)), [three, one, two]);
        assert_eq!(orders.after(0, three), 0);
        assert_eq!(Orders::new(5).len(), 120);
    }

    #[test]
    fn a_turn_may_be_of_two_in_a_row() {
        let orders = Orders::new(3);
        let [one, two, three] = [0, 1, 2].map(Id::from_slot);
        let everybody = orders.uneven(0).next().expect("there is one");
        let mut position = everybody;
        for (fired, then) in [
            (one, [one, two, three]),
            (one, [two, three, one]),
            (two, [two, three, one]),
            // It was the turn of server 2 again, which has heard a leader meanwhile.
            (three, [three, one, two]),
            (three, [one, two, three]),
        ] {
            position = orders.after(position, fired);
            assert_eq!(orders.order(position), then);
            assert!((orders.len()..orders.positions()).contains(&position));
        }
        assert_eq!(position, everybody);
    }

    #[test]
    fn a_turn_may_be_of_two_in_a_row_for_one_server_alone() {
        let orders = Orders::new(3);
        let [one, two, three] = [0, 1, 2].map(Id::from_slot);
        assert_eq!(orders.uneven(0).count(), 4);
        let two_alone = orders.uneven(0).nth(2).expect("there is one");
        let mut position = two_alone;
        for (fired, then) in [
            (one, [two, three, one]),
            (two, [two, three, one]),
            (two, [three, one, two]),
            (three, [one, two, three]),
            (one, [two, three, one]),
            (two, [two, three, one]),
            // It was the turn of server 2 again, which has heard a leader meanwhile.
            (three, [one, two, three]),
        ] {
            position = orders.after(position, fired);
            assert_eq!(orders.order(position), then);
            assert!((orders.len()..orders.positions()).contains(&position));
        }
        assert_eq!(position, two_alone);
    }
}
