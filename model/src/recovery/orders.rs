//! The orders in which servers take turns: every cyclic order, and everybody first.

use crate::ids::{Id, MAX_SERVERS};
use arrayvec::ArrayVec;

/// Who comes when.
type Order = ArrayVec<Id, MAX_SERVERS>;

/// All orders of some servers.
#[derive(Clone, Debug)]
pub(super) struct Orders {
    orders: Vec<Order>,
    /// For each order and each slot the order after the turn of the server in that slot.
    after: Vec<[u8; MAX_SERVERS]>,
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
        let after = orders.iter().map(|order| {
            let mut after = [0; MAX_SERVERS];
            for (place, id) in order.iter().enumerate() {
                let mut turned = order.clone();
                turned.rotate_left(place + 1);
                let number = orders.binary_search(&turned);
                // At most 120 orders.
                after[id.slot()] = number.unwrap_or_else(|_| unreachable!("it is an order")) as u8;
            }
            after
        });
        let after = after.collect();
        Orders { orders, after }
    }

    /// The number of orders.
    pub fn len(&self) -> usize {
        self.orders.len()
    }

    /// The order of this number.
    pub fn order(&self, number: usize) -> &[Id] {
        &self.orders[number]
    }

    /// The number of the order after the turn of a server: it comes last, and who comes after it first.
    pub fn after(&self, number: usize, turn: Id) -> usize {
        usize::from(self.after[number][turn.slot()])
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
}
