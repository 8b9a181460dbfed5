//! Servers have no identity: renaming them everywhere changes nothing that Raft or a property can see.
//!
//! The canonical form of a state orders the servers by a key that names nobody. Servers with equal keys may
//! still differ in how they relate to each other, so all their orders are tried and the smallest state is
//! taken (by a number made of hashes): sorting alone would leave the order of ties to chance, and count states that are the same.
//!
//! Where the configuration may change, servers are told apart by what they are at first and by the changes that
//! clients may propose. Only renamings that leave both as they are change nothing, so the canonical form is the smallest
//! under these. They are few.

use crate::bounds::{Bounds, Budget};
use crate::cluster::{Cluster, ClusterState};
use crate::configuration::Configuration;
use crate::history::{Asked, Clocks, History, ReadHistory};
use crate::ids::{Id, IdSet, MAX_SERVERS};
use crate::message::{Body, Entry, Message, Payload, Payloads};
use crate::seq::Seq;
use crate::server::{Append, HardState, Image, Log, Queue, Request, Server, Storage, Unconfirmed};
use crate::settings::Settings;
use arrayvec::ArrayVec;
use lockstep_engine::incremental_hash;
use rustc_hash::FxHasher;
use smallvec::SmallVec;
use std::borrow::Cow;
use std::hash::{Hash, Hasher};
use std::sync::Arc;

/// A renaming of the members: the member in slot `s` moves to slot `renaming[s]`.
pub(crate) type Renaming = ArrayVec<u8, MAX_SERVERS>;

/// A number for each server, by slot.
pub(crate) type Keys = ArrayVec<u64, MAX_SERVERS>;

impl ClusterState {
    /// The number of renamings.
    pub fn renamings(servers: usize) -> usize {
        (1..=servers).product()
    }

    /// The state under renaming number `number`; number 0 is the identity.
    pub fn renamed(&self, number: usize) -> ClusterState {
        self.rename(&nth_renaming(self.servers.len(), number))
    }

    /// The representative of all states that this state can be renamed to, itself one of them.
    pub fn canonical(&self, cluster: &Cluster) -> ClusterState {
        if let Some(renamings) = &cluster.renamings {
            let renamed = renamings.iter().map(|number| self.renamed(*number));
            let smallest = renamed.min_by_key(|renamed| incremental_hash(cluster, renamed));
            return smallest.expect("the identity is a renaming");
        }
        let servers = self.servers.iter().map(ServerMark::of);
        let messages = self.network.iter().map(MessageMark::of);
        let keys = keys(servers, messages, led(&self.history));
        let mut smallest: Option<(u128, ClusterState)> = None;
        let orders = orders(&keys);
        if let [order] = orders.as_slice() {
            return self.rename(&inverse(order));
        }
        for order in orders {
            let renamed = self.rename(&inverse(&order));
            let sum = incremental_hash(cluster, &renamed);
            if smallest.as_ref().is_none_or(|(least, _)| sum < *least) {
                smallest = Some((sum, renamed));
            }
        }
        smallest.expect("there is at least one order").1
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
                .map(|message| rename_message(message, renaming))
                .collect(),
            history: rename_history(&self.history, renaming),
            spent: self.spent,
        }
    }
}

/// The facts on a server that the keys of servers depend on.
#[derive(Clone, Copy)]
pub(crate) struct ServerMark {
    anonymous: u64,
    vote: Option<Id>,
    leader: Option<Id>,
}

impl ServerMark {
    pub(crate) fn of(server: &Server) -> ServerMark {
        ServerMark {
            anonymous: anonymous(server),
            vote: server.vote,
            leader: server.leader,
        }
    }
}

/// The facts on a message that the keys of servers depend on.
#[derive(Clone, Copy)]
pub(crate) struct MessageMark {
    from: Id,
    to: Id,
    said: u64,
}

impl MessageMark {
    pub(crate) fn of(message: &Message) -> MessageMark {
        MessageMark {
            from: message.from,
            to: message.to,
            said: hash(&(message.term, nameless(&message.body))),
        }
    }
}

/// Returns the facts on the history that the keys of servers depend on: numbers for those that led.
pub(crate) fn led(history: &History) -> impl Iterator<Item = (Id, u64)> + '_ {
    let terms = history.leaders.iter().enumerate();
    terms.flat_map(|(term, leaders)| {
        let mark = hash(&(term, "led"));
        leaders.iter().map(move |id| (id, mark))
    })
}

/// For each server, by slot, a number that says as much of it as can be said without a name.
pub(crate) fn keys(
    servers: impl Iterator<Item = ServerMark> + Clone,
    messages: impl Iterator<Item = MessageMark>,
    led: impl Iterator<Item = (Id, u64)>,
) -> Keys {
    let mut keys: Keys = servers.clone().map(|server| server.anonymous).collect();
    for message in messages {
        for (id, weight) in [(message.from, 3), (message.to, 5)] {
            if let Some(key) = keys.get_mut(id.slot()) {
                *key = key.wrapping_add(message.said.wrapping_mul(weight));
            }
        }
    }
    for (id, mark) in led {
        keys[id.slot()] = keys[id.slot()].wrapping_add(mark);
    }
    // Whom a server follows or voted for tells more than that it does.
    let local = keys.clone();
    let of = |id: Option<Id>| id.and_then(|id| local.get(id.slot())).copied();
    for (server, key) in servers.zip(&mut keys) {
        *key = hash(&(*key, of(server.vote), of(server.leader)));
    }
    keys
}

/// The orders of the slots in which the keys ascend: more than one if there are ties.
pub(crate) fn orders(keys: &Keys) -> SmallVec<[Renaming; 1]> {
    let mut order: Renaming = (0..keys.len() as u8).collect();
    order.sort_unstable_by_key(|slot| keys[usize::from(*slot)]);
    let mut orders = SmallVec::new();
    for_each_order(keys, &mut order, 0, &mut |order| orders.push(order.clone()));
    orders
}

/// Returns the hash of a server without the names of servers.
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
    let reads = server.reads.as_ref().map(|reads| {
        let waiting = reads.unconfirmed.iter();
        let waiting: Vec<_> = waiting
            .map(|read| (read.request.context, read.index, read.acks.len()))
            .collect();
        (
            reads.postponed.len(),
            waiting,
            reads.confirmed,
            reads.handed_over,
            reads.forwarded.clone(),
        )
    });
    let transfers = (server.transferee.is_some(), server.uncommitted);
    let stored = server.storage.as_ref().map(|storage| {
        let appends = storage.appends.iter().map(|append| {
            let written = append.hard_state.map(|it| (it.term, it.commit));
            (
                written,
                append.first,
                append.entries.len(),
                append.acknowledges,
            )
        });
        let durable = storage.durable.hard_state;
        (
            (
                durable.term,
                durable.vote.map(|id| id == server.id),
                durable.commit,
            ),
            (storage.durable.log.last(), storage.applied, storage.stable),
            appends.collect::<SmallVec<[_; 2]>>(),
        )
    });
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
        transfers,
        peers,
        stored,
        reads,
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

pub(crate) fn rename_message(message: &Message, renaming: &Renaming) -> Message {
    Message {
        from: rename_id(message.from, renaming),
        to: rename_id(message.to, renaming),
        term: message.term,
        body: rename_body(&message.body, renaming),
    }
}

/// Few bodies name anybody.
fn rename_body(body: &Body, renaming: &Renaming) -> Body {
    match body {
        Body::AppendEntries {
            prev,
            entries,
            commit,
        } => Body::AppendEntries {
            prev: *prev,
            entries: rename_entries(entries, renaming),
            commit: *commit,
        },
        Body::TransferLeader { transferee } => Body::TransferLeader {
            transferee: rename_id(*transferee, renaming),
        },
        Body::Propose { payloads } => Body::Propose {
            payloads: rename_payloads(payloads, renaming),
        },
        Body::ReadIndex { origin, context } => Body::ReadIndex {
            origin: rename_id(*origin, renaming),
            context: *context,
        },
        Body::InstallSnapshot {
            last,
            configuration,
        } => Body::InstallSnapshot {
            last: *last,
            configuration: rename_configuration(*configuration, renaming),
        },
        body => body.clone(),
    }
}

/// Returns the body without the names of servers. A change of the configuration may stay: where there is one, servers
/// are not ordered by what they say.
fn nameless(body: &Body) -> Cow<'_, Body> {
    match body {
        Body::TransferLeader { .. } => Cow::Owned(Body::TransferLeader {
            transferee: Id::from_slot(0),
        }),
        Body::InstallSnapshot { last, .. } => Cow::Owned(Body::InstallSnapshot {
            last: *last,
            configuration: Configuration::default(),
        }),
        Body::ReadIndex { context, .. } => Cow::Owned(Body::ReadIndex {
            origin: Id::from_slot(0),
            context: *context,
        }),
        body => Cow::Borrowed(body),
    }
}

/// Payloads that change the configuration name servers.
fn rename_payloads(payloads: &Payloads, renaming: &Renaming) -> Payloads {
    let renamed = payloads
        .iter()
        .map(|payload| rename_payload(payload, renaming));
    renamed.collect()
}

fn rename_payload(payload: Payload, renaming: &Renaming) -> Payload {
    match payload.as_conf_change() {
        None => payload,
        Some(change) => Payload::conf_change(change.renamed(|id| rename_id(id, renaming))),
    }
}

/// Entries that change the configuration name servers.
fn rename_entries<const N: usize>(entries: &Seq<Entry, N>, renaming: &Renaming) -> Seq<Entry, N> {
    let changes = |entry: Entry| entry.payload.as_conf_change().is_some();
    if !entries.iter().any(changes) {
        return entries.clone();
    }
    let renamed = entries.iter().map(|entry| Entry {
        payload: rename_payload(entry.payload, renaming),
        ..entry
    });
    renamed.collect()
}

pub(crate) fn rename_configuration(
    configuration: Configuration,
    renaming: &Renaming,
) -> Configuration {
    let set = |ids| rename_set(ids, renaming);
    Configuration {
        voters: set(configuration.voters),
        outgoing: set(configuration.outgoing),
        learners: set(configuration.learners),
        learners_next: set(configuration.learners_next),
        auto_leave: configuration.auto_leave,
    }
}

pub(crate) fn rename_history(history: &History, renaming: &Renaming) -> History {
    History {
        leaders: rename_sets(&history.leaders, renaming),
        committed_in: history.committed_in.clone(),
        committed: rename_entries(&history.committed, renaming),
        led_twice: history.led_twice,
        reads: history.reads.as_ref().map(|reads| {
            let mut asked: Vec<Asked> = reads.asked.clone();
            for asked in &mut asked {
                asked.server = rename_id(asked.server, renaming);
            }
            asked.sort_unstable();
            let mut answered = reads.answered.clone();
            for answered in &mut answered {
                answered.server = rename_id(answered.server, renaming);
            }
            let clocks = Clocks {
                silent: rename_set(reads.clocks.silent, renaming),
                ended: rename_set(reads.clocks.ended, renaming),
                ..reads.clocks
            };
            Arc::new(ReadHistory {
                asked,
                answered,
                clocks,
            })
        }),
    }
}

/// Reads name the servers whose clients read, and who has confirmed them.
fn rename_reads(reads: &Queue, renaming: &Renaming) -> Queue {
    let Queue {
        postponed,
        unconfirmed,
        confirmed,
        handed_over,
        forwarded,
    } = reads;
    let request = |request: Request| Request {
        origin: rename_id(request.origin, renaming),
        ..request
    };
    let unconfirmed = unconfirmed.iter().map(|read| Unconfirmed {
        request: request(read.request),
        acks: rename_set(read.acks, renaming),
        ..*read
    });
    Queue {
        postponed: postponed.iter().map(|it| request(*it)).collect(),
        unconfirmed: unconfirmed.collect(),
        confirmed: *confirmed,
        handed_over: *handed_over,
        forwarded: forwarded.clone(),
    }
}

pub(crate) fn rename_server(server: &Server, renaming: &Renaming, back: &Renaming) -> Server {
    let id = |id| rename_id(id, renaming);
    Server {
        id: id(server.id),
        vote: server.vote.map(id),
        leader: server.leader.map(id),
        transferee: server.transferee.map(id),
        granted: rename_set(server.granted, renaming),
        refused: rename_set(server.refused, renaming),
        peers: server.peers.as_ref().map(|peers| {
            Arc::new(
                back.iter()
                    .map(|slot| peers[usize::from(*slot)].clone())
                    .collect(),
            )
        }),
        log: rename_log(&server.log, renaming),
        configuration: rename_configuration(server.configuration, renaming),
        storage: server
            .storage
            .as_ref()
            .map(|storage| Arc::new(rename_storage(storage, renaming))),
        reads: server
            .reads
            .as_ref()
            .map(|reads| Arc::new(rename_reads(reads, renaming))),
        ..*server
    }
}

fn rename_log(log: &Log, renaming: &Renaming) -> Log {
    Log::behind(
        log.snapshot(),
        rename_configuration(log.snapshot_configuration(), renaming),
        rename_entries(log.entries(), renaming),
    )
}

fn rename_hard_state(hard_state: HardState, renaming: &Renaming) -> HardState {
    let vote = hard_state.vote.map(|id| rename_id(id, renaming));
    HardState { vote, ..hard_state }
}

fn rename_storage(storage: &Storage, renaming: &Renaming) -> Storage {
    let append = |append: &Append| Append {
        hard_state: append.hard_state.map(|it| rename_hard_state(it, renaming)),
        snapshot: append
            .snapshot
            .map(|(last, configuration)| (last, rename_configuration(configuration, renaming))),
        first: append.first,
        entries: rename_entries(&append.entries, renaming),
        responses: append
            .responses
            .iter()
            .map(|m| rename_message(m, renaming))
            .collect(),
        acknowledges: append.acknowledges,
    };
    Storage {
        durable: Image {
            hard_state: rename_hard_state(storage.durable.hard_state, renaming),
            log: rename_log(&storage.durable.log, renaming),
        },
        applied: storage.applied,
        stable: storage.stable,
        unstable_snapshot: storage.unstable_snapshot,
        appends: storage.appends.iter().map(append).collect(),
        applies: storage.applies.clone(),
    }
}

pub(crate) fn inverse(renaming: &Renaming) -> Renaming {
    let mut inverse = renaming.clone();
    for (slot, to) in renaming.iter().enumerate() {
        inverse[usize::from(*to)] = slot as u8;
    }
    inverse
}

/// Calls `visit` with every order of the slots that keeps the keys ascending; `order` is one of them.
fn for_each_order(
    keys: &Keys,
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
pub(crate) fn nth_renaming(servers: usize, mut number: usize) -> Renaming {
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

/// The renamings under which the configuration at first and the menu of changes stay what they are, by number; `None`
/// if those are all.
pub(crate) fn stabiliser(settings: &Settings, bounds: &Bounds) -> Option<Arc<[usize]>> {
    let servers = settings.servers();
    let stays = |number: &usize| {
        let renaming = nth_renaming(servers, *number);
        let proposed = bounds
            .changes
            .iter()
            .filter(|(_, budget)| *budget != Budget::Times(0));
        let mut changes = proposed.map(|(change, _)| *change);
        rename_configuration(settings.configuration, &renaming) == settings.configuration
            && changes.all(|change| change.renamed(|id| rename_id(id, &renaming)) == change)
    };
    let all = ClusterState::renamings(servers);
    let renamings: Arc<[usize]> = (0..all).filter(stays).collect();
    (renamings.len() < all).then_some(renamings)
}

/// The number of a renaming: [`nth_renaming`] the other way round.
pub(crate) fn number_of(renaming: &Renaming) -> usize {
    let mut number = 0;
    for (place, slot) in renaming.iter().enumerate() {
        let left = renaming.len() - place;
        let smaller = renaming[place..].iter().filter(|later| *later < slot);
        number = number * left + smaller.count();
    }
    number
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn renamings_are_numbered() {
        for servers in 1..=MAX_SERVERS {
            for number in 0..ClusterState::renamings(servers) {
                assert_eq!(number_of(&nth_renaming(servers, number)), number);
            }
        }
    }
}
