//! Servers have no identity: renaming them everywhere changes nothing that Raft or a property can see.
//!
//! The canonical form of a state orders the servers by a key that names nobody. Servers with equal keys may
//! still differ in how they relate to each other, so all their orders are tried and the smallest state is
//! taken: sorting alone would leave the order of ties to chance, and count states that are the same.

use crate::cluster::ClusterState;
use crate::ids::{Id, IdSet, MAX_SERVERS};
use crate::message::Message;
use crate::seq::Seq;
use crate::server::Server;
use arrayvec::ArrayVec;
use rustc_hash::FxHasher;
use std::hash::{Hash, Hasher};
use std::sync::Arc;

/// A renaming of the members: the member in slot `s` moves to slot `renaming[s]`.
type Renaming = ArrayVec<u8, MAX_SERVERS>;

impl ClusterState {
    /// How many renamings there are.
    pub fn renamings(servers: usize) -> usize {
        (1..=servers).product()
    }

    /// The state under renaming number `number`; number 0 is the identity.
    pub fn renamed(&self, number: usize) -> ClusterState {
        self.rename(&nth_renaming(self.servers.len(), number))
    }

    /// The representative of all states that this state can be renamed to, itself one of them.
    pub fn canonical(&self) -> ClusterState {
        let keys = self.keys();
        let mut order: Renaming = (0..self.servers.len() as u8).collect();
        order.sort_unstable_by_key(|slot| keys[usize::from(*slot)]);
        let tied = |pair: &[u8]| keys[usize::from(pair[0])] == keys[usize::from(pair[1])];
        if !order.windows(2).any(tied) {
            return self.rename(&inverse(&order));
        }
        let mut smallest: Option<ClusterState> = None;
        for_each_order(&keys, &mut order, 0, &mut |order| {
            let renamed = self.rename(&inverse(order));
            if smallest.as_ref().is_none_or(|smallest| renamed < *smallest) {
                smallest = Some(renamed);
            }
        });
        smallest.expect("there is at least one order")
    }

    /// For each server a number that says as much of it as can be said without a name.
    fn keys(&self) -> ArrayVec<u64, MAX_SERVERS> {
        let mut keys: ArrayVec<u64, MAX_SERVERS> = self.servers.iter().map(anonymous).collect();
        for message in self.network.iter() {
            let said = hash(&(message.term, &message.body));
            for (id, weight) in [(message.from, 3), (message.to, 5)] {
                if let Some(key) = keys.get_mut(id.slot()) {
                    *key = key.wrapping_add(said.wrapping_mul(weight));
                }
            }
        }
        for (term, leaders) in self.history.leaders.iter().enumerate() {
            for id in leaders.iter() {
                keys[id.slot()] = keys[id.slot()].wrapping_add(hash(&(term, "led")));
            }
        }
        // Whom a server follows or voted for tells more than that it does.
        let local = keys.clone();
        let of = |id: Option<Id>| id.and_then(|id| local.get(id.slot())).copied();
        for (server, key) in self.servers.iter().zip(&mut keys) {
            *key = hash(&(*key, of(server.vote), of(server.leader)));
        }
        keys
    }

    fn rename(&self, renaming: &Renaming) -> ClusterState {
        if renaming
            .iter()
            .enumerate()
            .all(|(slot, to)| slot == usize::from(*to))
        {
            return self.clone();
        }
        let back = inverse(renaming);
        ClusterState {
            servers: back
                .iter()
                .map(|slot| rename_server(&self.servers[usize::from(*slot)], renaming, &back))
                .collect(),
            network: self
                .network
                .iter()
                .map(|message| Message {
                    from: rename_id(message.from, renaming),
                    to: rename_id(message.to, renaming),
                    ..message.clone()
                })
                .collect(),
            history: crate::history::History {
                leaders: rename_sets(&self.history.leaders, renaming),
                committed_in: self.history.committed_in.clone(),
            },
            spent: self.spent,
        }
    }
}

/// What a server is, whoever it is.
fn anonymous(server: &Server) -> u64 {
    let mut peers: ArrayVec<u64, MAX_SERVERS> = ArrayVec::new();
    for (slot, peer) in server
        .peers
        .iter()
        .flat_map(|peers| peers.iter().enumerate())
    {
        if slot != server.id.slot() {
            peers.push(hash(peer));
        }
    }
    peers.sort_unstable();
    hash(&(
        (
            server.role,
            server.term,
            server.lease,
            server.commit,
            &server.log,
        ),
        (
            server.vote.map(|id| id == server.id),
            server.leader.map(|id| id == server.id),
            server.granted.len(),
            server.refused.len(),
        ),
        peers,
    ))
}

fn hash(value: &impl Hash) -> u64 {
    let mut hasher = FxHasher::default();
    value.hash(&mut hasher);
    hasher.finish()
}

fn rename_id(id: Id, renaming: &Renaming) -> Id {
    // A stranger keeps its name.
    renaming
        .get(id.slot())
        .map_or(id, |slot| Id::from_slot(usize::from(*slot)))
}

fn rename_set(ids: IdSet, renaming: &Renaming) -> IdSet {
    let mut renamed = IdSet::EMPTY;
    for id in ids.iter() {
        renamed.insert(rename_id(id, renaming));
    }
    renamed
}

fn rename_sets<const N: usize>(sets: &Seq<IdSet, N>, renaming: &Renaming) -> Seq<IdSet, N> {
    sets.iter().map(|ids| rename_set(ids, renaming)).collect()
}

fn rename_server(server: &Server, renaming: &Renaming, back: &Renaming) -> Server {
    let id = |id| rename_id(id, renaming);
    Server {
        id: id(server.id),
        vote: server.vote.map(id),
        leader: server.leader.map(id),
        granted: rename_set(server.granted, renaming),
        refused: rename_set(server.refused, renaming),
        peers: server.peers.as_ref().map(|peers| {
            Arc::new(
                back.iter()
                    .map(|slot| peers[usize::from(*slot)].clone())
                    .collect(),
            )
        }),
        log: server.log.clone(),
        ..*server
    }
}

fn inverse(renaming: &Renaming) -> Renaming {
    let mut inverse = renaming.clone();
    for (slot, to) in renaming.iter().enumerate() {
        inverse[usize::from(*to)] = slot as u8;
    }
    inverse
}

/// Calls `visit` with every order of the slots that keeps the keys ascending; `order` is one of them.
fn for_each_order(
    keys: &ArrayVec<u64, MAX_SERVERS>,
    order: &mut Renaming,
    from: usize,
    visit: &mut impl FnMut(&Renaming),
) {
    if from == order.len() {
        return visit(order);
    }
    for other in from..order.len() {
        if keys[usize::from(order[other])] != keys[usize::from(order[from])] {
            break;
        }
        order.swap(from, other);
        for_each_order(keys, order, from + 1, visit);
        order.swap(from, other);
    }
}

/// Renaming number `number` in the factorial number system; number 0 is the identity.
fn nth_renaming(servers: usize, mut number: usize) -> Renaming {
    let mut left: Renaming = (0..servers as u8).collect();
    (1..=servers)
        .rev()
        .map(|places| {
            let block: usize = (1..places).product();
            let slot = left.remove(number / block % places);
            number %= block;
            slot
        })
        .collect()
}
