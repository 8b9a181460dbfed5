//! The orders in which servers take turns: every cyclic order, and everybody first.

use crate::ids::{Id, MAX_SERVERS};
use arrayvec::ArrayVec;

/// An order of servers.
type Order = ArrayVec<Id, MAX_SERVERS>;

/// All orders of some servers, and the positions in a schedule that follows one.
///
/// In a schedule the timer of each server fires once in its turn. That is a lock-step which may split votes for ever: a
/// server whose request does not reach another takes the term in which that one campaigns next. Randomised timeouts are
/// there to break it (paper, section 5.2). So there is a second schedule for each order, in which each timer fires twice
/// in a row.
#[derive(Clone, Debug)]
pub(super) struct Orders {
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
        3 * self.len()
    }

    /// The position at the beginning of an order in which timers fire once.
    pub fn once(&self, order: usize) -> usize {
        order
    }

    /// The position at the beginning of an order in which timers fire twice in a row.
    pub fn twice(&self, order: usize) -> usize {
        self.len() + order
    }

    /// The order of a position: who comes first, and so on.
    pub fn order(&self, position: usize) -> &[Id] {
        &self.orders[position % self.len()]
    }

    /// The position after the timer of a server has fired.
    pub fn after(&self, position: usize, fired: Id) -> usize {
        let (pace, order) = (position / self.len(), position % self.len());
        let first = usize::from(self.first[order][fired.slot()]);
        let last = usize::from(self.last[order][fired.slot()]);
        match pace {
            // Once: the next one comes first.
            0 => last,
            // Twice, and this was the second time.
            2 if first == order => self.twice(last),
            // Twice, and this was the first time.
            _ => 2 * self.len() + first,
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
        let mut position = orders.twice(0);
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
        assert_eq!(position, orders.twice(0));
    }
}
